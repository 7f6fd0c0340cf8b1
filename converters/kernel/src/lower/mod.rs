//! From the hub to a [`Program`].
//!
//! The entry function is flattened to core ops ([`flatten`]), then its nodes are visited in
//! order. A view or an elementwise op makes no kernel of its own: its value is *inline*, and
//! whoever needs it pulls it element by element into its own loop nest ([`pull`], [`compute`]).
//! A value gets memory (is *settled*) when it leaves the function, when it costs more to compute
//! again than to store, or when its user reads elements many times. A reduction, contraction or
//! convolution takes the elementwise ops that follow it into its loop nest.

mod arith;
mod code;
mod compute;
mod control;
mod facts;
mod flatten;
mod forest;
mod known;
mod layout;
mod lookup;
mod narrow;
mod nest;
mod pull;
mod random;
mod scaled;
mod scores;
mod sets;
mod special;
mod trees;
mod whole;

use std::cell::RefCell;

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{NodeId, RegionId, SymbolId, ValueId};
use airconv_ir::infer::{Assumption, assumptions};
use airconv_ir::module::{Function, Module, Node};
use airconv_ir::op::Op;
use airconv_ir::types::{TensorType, Type};
use rustc_hash::{FxHashMap, FxHashSet};

use self::flatten::{Groups, flatten};
use crate::ir::{
    Binding, Buffer, BufferId, BufferKind, Fit, HostOp, Kernel, KernelId, Program, Size, Step,
};

/// Why a module cannot be lowered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Stop {
    /// Something has no kernel form.
    #[error("{0}")]
    Unsupported(String),
    /// Sizes have to be known: specialise the module first.
    #[error("sizes are not known: {0}")]
    NeedsSizes(String),
    /// An index expression grew too large.
    #[error("an index expression is too complex")]
    TooComplex,
}

impl Stop {
    fn no_form(op: &Op) -> Self {
        Self::Unsupported(format!("`{}` on these operands", op.name()))
    }
    fn build(e: airconv_ir::builder::BuildError) -> Self {
        Self::NeedsSizes(e.to_string())
    }
}

/// How a program is made.
#[derive(Clone, Copy, Debug)]
pub struct LowerOptions {
    /// Whether ops without a kernel form may become [`Step::Host`].
    pub host: bool,
    /// Whether images may lie in memory with their channels last, for a back end that has
    /// convolutions of such images; plain loop nests are better off with rows.
    pub channel_last: bool,
    /// Whether products of bytes stay integers, for a back end that has such; else sums that are
    /// exact in single precision are taken there.
    pub bytes: bool,
}

impl Default for LowerOptions {
    fn default() -> Self {
        Self { host: true, channel_last: false, bytes: false }
    }
}

/// A program, and the flattened module whose nodes and tensors it refers to.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The program.
    pub program: Program,
    /// The module.
    pub module: Module,
}

/// Lowers the entry function of a module.
///
/// # Errors
/// [`Stop::NeedsSizes`] when a decomposition depends on sizes that are symbolic, and
/// [`Stop::Unsupported`] for what has no kernel form and may not run on the host.
pub fn lower(module: &Module, options: LowerOptions) -> Result<Lowered, Stop> {
    let (module, groups) = flatten(module, options.bytes)?;
    let program = {
        let f = module.main();
        let mut l = Lowerer::new(&module, f, &groups, options);
        l.function()?;
        l.program.failures = l.failures.into_inner();
        l.program
    };
    Ok(Lowered { program, module })
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// In memory, or with the host.
    Buffer(BufferId),
    /// Computed where it is needed.
    Inline(NodeId),
}

/// The most scalar operations of a value that is computed again for a second user.
const CHEAP: u32 = 2;
/// The most scalar operations that one value computed in place may take.
const HEAVY: u32 = 64;
/// What a transcendental function or a division counts for.
const SLOW: u32 = 8;

/// A kernel, the buffers of its parameters and its sizes.
type Made = (Kernel, Vec<BufferId>, Vec<SymbolId>);

struct Lowerer<'m> {
    module: &'m Module,
    f: &'m Function,
    groups: &'m Groups,
    options: LowerOptions,
    places: FxHashMap<ValueId, Place>,
    /// Scalar operations per element of an inline value.
    weights: FxHashMap<ValueId, u32>,
    /// Inline values that hold a reduction, contraction or convolution, with the result of it.
    cores: FxHashMap<ValueId, ValueId>,
    /// The place of each node in the order of its region.
    order: FxHashMap<NodeId, usize>,
    users: FxHashMap<ValueId, Vec<NodeId>>,
    /// How often a value is used, results of regions included.
    uses: FxHashMap<ValueId, u32>,
    /// The region that each node is in.
    regions: FxHashMap<NodeId, RegionId>,
    program: Program,
    kernels: FxHashMap<Kernel, KernelId>,
    failures: RefCell<Vec<String>>,
    /// The tables of label encoders, with their buffers.
    tables: FxHashMap<NodeId, lookup::Table>,
    /// The number of an iteration, and how many iterations there are at most.
    iterations: FxHashMap<BufferId, Dim>,
    /// What has no kernel form and may not run on the host.
    refused: Vec<String>,
    steps: Vec<Step>,
    /// Sizes that steps of the enclosing lists bind.
    bound: FxHashSet<SymbolId>,
    /// Values that are stored with their channels last ([`layout`]).
    channel_last: FxHashSet<ValueId>,
    /// Buffers that are not row-major: the axes of the value, outermost first.
    orders: FxHashMap<BufferId, Vec<usize>>,
    /// Row-major copies of values in such buffers.
    plain: FxHashMap<ValueId, BufferId>,
    /// Copies with channels last of values in row-major buffers.
    last: FxHashMap<ValueId, BufferId>,
}

impl<'m> Lowerer<'m> {
    fn new(module: &'m Module, f: &'m Function, groups: &'m Groups, options: LowerOptions) -> Self {
        let mut users: FxHashMap<ValueId, Vec<NodeId>> = FxHashMap::default();
        let mut uses: FxHashMap<ValueId, u32> = FxHashMap::default();
        let mut regions = FxHashMap::default();
        let mut order = FxHashMap::default();
        for (id, region) in f.regions.iter() {
            for (place, &n) in region.nodes.iter().enumerate() {
                regions.insert(n, id);
                order.insert(n, place);
                for v in f.nodes[n].inputs() {
                    users.entry(v).or_default().push(n);
                    *uses.entry(v).or_default() += 1;
                }
            }
            for &v in &region.results {
                // A result has to be in memory.
                *uses.entry(v).or_default() += 1;
            }
        }
        let sizes = f.symbols.iter().map(|(_, s)| Size { name: s.name.clone(), range: s.range });
        let program =
            Program { name: f.name.clone(), sizes: sizes.collect(), ..Program::default() };
        Self {
            module,
            f,
            groups,
            options,
            places: FxHashMap::default(),
            weights: FxHashMap::default(),
            cores: FxHashMap::default(),
            order,
            users,
            uses,
            regions,
            program,
            kernels: FxHashMap::default(),
            failures: RefCell::default(),
            tables: FxHashMap::default(),
            iterations: FxHashMap::default(),
            refused: Vec::new(),
            steps: Vec::new(),
            bound: FxHashSet::default(),
            channel_last: if options.channel_last { layout::find(f) } else { Default::default() },
            orders: FxHashMap::default(),
            plain: FxHashMap::default(),
            last: FxHashMap::default(),
        }
    }

    fn function(&mut self) -> Result<(), Stop> {
        let params = self.f.body().params.clone();
        for (i, (&v, input)) in params.iter().zip(&self.f.inputs).enumerate() {
            let buffer = self.new_buffer(v, BufferKind::Input(i as u32))?;
            self.program.inputs.push((input.name.clone(), buffer));
            self.steps.push(Step::BindShape(buffer));
        }
        self.region(self.f.body)?;
        if !self.refused.is_empty() {
            return Err(Stop::Unsupported(self.refused.join("; ")));
        }
        let results = self.f.body().results.clone();
        for (v, output) in results.into_iter().zip(&self.f.outputs) {
            let buffer = self.settle(v)?;
            self.program.outputs.push((output.name.clone(), buffer));
        }
        self.program.steps = std::mem::take(&mut self.steps);
        nest::free_dead(&mut self.program);
        Ok(())
    }

    fn region(&mut self, region: RegionId) -> Result<(), Stop> {
        let nodes = self.f.regions[region].nodes.clone();
        for id in nodes {
            self.node(id)?;
        }
        Ok(())
    }

    /// The type of a tensor value.
    fn tensor(&self, v: ValueId) -> Result<&'m TensorType, Stop> {
        match self.f.ty(v) {
            Type::Tensor(t) => Ok(t),
            other => Err(Stop::Unsupported(format!(
                "a value of type {}",
                airconv_ir::verify::type_text(self.f, other)
            ))),
        }
    }

    fn place(&self, v: ValueId) -> Result<Place, Stop> {
        let found = self.places.get(&v).copied();
        found.ok_or_else(|| Stop::Unsupported(format!("{v} is used before it is made")))
    }

    /// The code of a failure.
    fn failure(&self, text: &str) -> u32 {
        let mut failures = self.failures.borrow_mut();
        if let Some(i) = failures.iter().position(|f| f == text) {
            return i as u32;
        }
        failures.push(text.to_owned());
        failures.len() as u32 - 1
    }

    /// A new buffer for a value, which is where the value is from now on.
    fn new_buffer(&mut self, v: ValueId, kind: BufferKind) -> Result<BufferId, Stop> {
        let buffer = match self.f.ty(v) {
            Type::Tensor(t) if t.dtype != DType::String => {
                Buffer { dtype: Some(t.dtype), shape: t.shape.to_vec(), kind }
            }
            // What kernels have no form for stays with the host.
            other => {
                let kind = match kind {
                    BufferKind::Input(i) => BufferKind::Input(i),
                    BufferKind::Constant(t) => BufferKind::Constant(t),
                    BufferKind::Temporary | BufferKind::Host => BufferKind::Host,
                };
                let shape = other.as_tensor().map(|t| t.shape.to_vec()).unwrap_or_default();
                Buffer { dtype: None, shape, kind }
            }
        };
        let id = self.add_buffer(buffer);
        self.places.insert(v, Place::Buffer(id));
        Ok(id)
    }

    fn add_buffer(&mut self, buffer: Buffer) -> BufferId {
        self.program.buffers.push(buffer);
        BufferId(self.program.buffers.len() as u32 - 1)
    }

    fn is_complex_buffer(&self, buffer: BufferId) -> bool {
        self.program.buffer(buffer).dtype.is_some_and(DType::is_complex)
    }

    fn node(&mut self, id: NodeId) -> Result<(), Stop> {
        let node = self.f.nodes[id].clone();
        self.fits(&node);
        let mut done = self.try_node(id, &node);
        if done == Err(Stop::TooComplex) {
            // With its operands in memory the indices are simpler.
            for operand in node.inputs() {
                self.settle(operand)?;
            }
            done = self.try_node(id, &node).map_err(|e| match e {
                Stop::TooComplex => Stop::NeedsSizes(e.to_string()),
                other => other,
            });
        }
        match done {
            Err(Stop::Unsupported(why)) if node.regions().is_empty() => {
                let what = format!("`{}`: {why}", name_of(&node.op));
                if self.options.host {
                    self.program.notes.push(format!("host: {what}"));
                } else if !self.refused.contains(&what) {
                    self.refused.push(what);
                }
                // Without the host the rest is looked at too, so that all is reported at once.
                self.host(id, &node)
            }
            Err(Stop::Unsupported(why)) => {
                Err(Stop::Unsupported(format!("`{}`: {why}", name_of(&node.op))))
            }
            other => other,
        }
    }

    /// Checks what an op asks of sizes, where only a run can tell; views and elementwise ops that
    /// become part of other kernels are checked here as well.
    fn fits(&mut self, node: &Node) {
        // What cannot be inferred anew is lowered by its recorded types, as ever.
        let found = assumptions(self.module, self.f, &node.op, &node.operands);
        for Assumption { from, to, or_one } in found.unwrap_or_default() {
            let step = Step::Fit(Fit { op: node.op.name().to_owned(), from, to, or_one });
            if !self.steps.contains(&step) {
                self.steps.push(step);
            }
        }
    }

    fn try_node(&mut self, id: NodeId, node: &Node) -> Result<(), Stop> {
        match &node.op {
            Op::Constant(c) => {
                if let Some(v) = node.result(0) {
                    self.new_buffer(v, BufferKind::Constant(c.tensor))?;
                }
                Ok(())
            }
            Op::DimsOf(d) => {
                let buffer = self.settle(compute::needed(node.operand(0))?)?;
                self.steps.push(Step::Bind(Binding { buffer, dims: d.dims.clone() }));
                Ok(())
            }
            Op::Slice(slice) => {
                self.slice_sizes(node, slice)?;
                self.inline(id, node, 0)
            }
            Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Broadcast(_)
            | Op::Pad(_)
            | Op::Iota(_)
            | Op::DimValue(_)
            | Op::GatherNd(_) => self.inline(id, node, 0),
            Op::Reduce(_) => self.core(id, node, &[]),
            Op::Contract(_) => self.core(id, node, &[0, 1]),
            Op::Conv(_) => self.core(id, node, &[0, 1]),
            Op::ReduceWindow(_) => self.core(id, node, &[0]),
            Op::Fft(_) => self.core(id, node, &[0]),
            Op::Concat(c) => self.concat(node, c),
            Op::ArgReduce(a) => self.arg_reduce(node, a),
            Op::ScanReduce(s) => self.scan_reduce(node, s),
            Op::TopK(t) => self.top_k(node, t),
            Op::ScatterNd(s) => self.scatter(node, s),
            Op::Nonzero(_) => self.nonzero(node),
            Op::Unique(op) => self.unique(node, op),
            Op::NonMaxSuppression(op) => self.suppression(node, op),
            Op::TreeEnsemble(_) | Op::TreeEnsembleRegressor(_) | Op::TreeEnsembleClassifier(_) => {
                match self.groups.trees.get(&id) {
                    Some(Ok(trees)) => self.trees(node, trees),
                    Some(Err(stop)) => Err(stop.clone()),
                    None => Err(Stop::no_form(&node.op)),
                }
            }
            Op::LabelEncoder(_) => self.encoder(id, node),
            Op::Rng(_) => self.inline(id, node, HEAVY + 1),
            Op::If(op) => self.branch(node, op),
            Op::Loop(op) => self.loop_(node, op),
            Op::Assert(a) => {
                let condition = self.settle(compute::needed(node.operand(0))?)?;
                self.steps.push(Step::Assert { condition, message: a.message.clone() });
                self.inline(id, node, 0)
            }
            op => match weight(op) {
                Some(weight) => self.inline(id, node, weight),
                None => Err(Stop::Unsupported("it has no kernel form".to_owned())),
            },
        }
    }

    /// A label encoder whose table is numbers.
    fn encoder(&mut self, id: NodeId, node: &Node) -> Result<(), Stop> {
        let mut table = match self.groups.tables.get(&id) {
            Some(Ok(table)) => table.clone(),
            Some(Err(stop)) => return Err(stop.clone()),
            None => return Err(Stop::no_form(&node.op)),
        };
        table.buffers = Some(table.tensors().map(|t| self.table(t)));
        self.tables.insert(id, table);
        self.inline(id, node, HEAVY / 2)
    }

    /// Registers a view or elementwise result, and gives it memory at once if that is better.
    fn inline(&mut self, id: NodeId, node: &Node, own: u32) -> Result<(), Stop> {
        let Some(v) = node.result(0) else { return Ok(()) };
        self.tensor(v)?;
        for operand in node.inputs() {
            self.tensor(operand)?;
        }
        let group = self.groups.members.get(&id).copied();
        let elementwise = own > 0;
        // At most one reduction may come along, and only where shapes stay.
        let mut core: Option<ValueId> = None;
        let mut total = own;
        for operand in node.inputs() {
            if let Some(&root) = self.cores.get(&operand)
                && group.is_none()
            {
                let same = self.tensor(operand)?.shape == self.tensor(v)?.shape;
                if elementwise && same && core.is_none_or(|c| c == root) {
                    core = Some(root);
                } else {
                    self.stored_where_narrow(operand)?;
                }
            }
            total += self.weight_of(operand);
        }
        // A costly value that is broadcast is computed once.
        if matches!(node.op, Op::Broadcast(_) | Op::GatherNd(_)) && group.is_none() {
            for operand in node.inputs() {
                if self.weight_of(operand) > CHEAP {
                    self.stored(operand)?;
                }
            }
            total = node.inputs().map(|o| self.weight_of(o)).sum();
        }
        self.places.insert(v, Place::Inline(id));
        self.weights.insert(v, total);
        if let Some(root) = core {
            self.cores.insert(v, root);
        }
        // The form is tried now, so that what has none goes to the host alone.
        self.probe(id, v)?;
        if self.groups.results.contains_key(&v) {
            self.cores.insert(v, v);
            return self.settle_unless_followed(v);
        }
        if group.is_some() {
            return Ok(());
        }
        let uses = self.uses.get(&v).copied().unwrap_or(0);
        if core.is_some() {
            return self.settle_unless_followed(v);
        }
        let costly = total > HEAVY || (uses > 1 && total > CHEAP);
        if costly && !self.is_multiplied(v) && !self.stored_as_bytes(v, false)? {
            self.stored(v)?;
        }
        Ok(())
    }

    /// Checks that a node has an element form, without making a kernel.
    fn probe(&mut self, id: NodeId, v: ValueId) -> Result<(), Stop> {
        let mut pull = pull::Pull::new(self, "");
        let shape = pull.shape_of(v)?;
        let at: Vec<Dim> = shape.iter().map(|d| pull.counter(d)).collect();
        match pull.computed_by(id, v, &at) {
            Ok(_) => Ok(()),
            Err(Stop::TooComplex) => {
                let operands: Vec<ValueId> = self.f.nodes[id].inputs().collect();
                for operand in operands {
                    self.settle(operand)?;
                }
                Ok(())
            }
            Err(e) => {
                self.places.remove(&v);
                Err(e)
            }
        }
    }

    /// Registers a result that loops over its operands, which are settled if in `stored`.
    fn core(&mut self, id: NodeId, node: &Node, stored: &[usize]) -> Result<(), Stop> {
        let Some(v) = node.result(0) else { return Ok(()) };
        self.tensor(v)?;
        let group = self.groups.members.get(&id).copied();
        for (slot, operand) in node.operands.iter().enumerate() {
            let Some(operand) = *operand else { continue };
            self.tensor(operand)?;
            if let (0, Op::Conv(c), true) = (slot, &node.op, self.channel_last.contains(&v)) {
                self.image_of(node, c)?;
                continue;
            }
            if let (1, Op::Conv(c), true) = (slot, &node.op, self.channel_last.contains(&v))
                && self.taps_first(operand, c)?
            {
                continue;
            }
            let conv = matches!(node.op, Op::Conv(_));
            if stored.contains(&slot)
                && (conv || matches!(node.op, Op::Contract(_)))
                && self.stored_as_bytes(operand, conv)?
            {
                continue;
            }
            let bare = self.weight_of(operand) == 0
                && !self.is_guarded(operand)
                && !matches!(node.op, Op::Conv(_) | Op::ReduceWindow(_) | Op::Fft(_));
            if stored.contains(&slot) && !bare
                || (group.is_none() && self.cores.contains_key(&operand))
            {
                match node.op {
                    // Reads rows, whatever order the data has.
                    Op::Conv(_) => self.stored_in_rows(operand)?,
                    _ => self.stored(operand).map(|_| ())?,
                }
            }
        }
        self.places.insert(v, Place::Inline(id));
        self.weights.insert(v, SLOW);
        self.probe(id, v)?;
        if group.is_some() && !self.groups.results.contains_key(&v) {
            return Ok(());
        }
        self.cores.insert(v, v);
        self.settle_unless_followed(v)
    }

    /// Whether reading an inline value takes a branch or an index that is itself read.
    fn is_guarded(&self, v: ValueId) -> bool {
        let mut v = v;
        loop {
            let Some(Place::Inline(id)) = self.places.get(&v) else { return false };
            let node = &self.f.nodes[*id];
            match (&node.op, node.operand(0)) {
                (Op::Transpose(_) | Op::Slice(_) | Op::Reshape(_) | Op::Broadcast(_), Some(x)) => {
                    v = x;
                }
                _ => return true,
            }
        }
    }

    /// Gives a value with a reduction memory, unless what uses it is elementwise on the same shape
    /// and comes together in one value again.
    fn settle_unless_followed(&mut self, v: ValueId) -> Result<(), Stop> {
        let follows =
            self.comes_together(v) && (!self.is_product_of_floats(v) || self.ends_in_floats(v));
        if follows || self.stored_as_bytes(v, false)? {
            return Ok(());
        }
        self.stored(v).map(|_| ())
    }

    /// Whether a value is a product of floats itself; back ends have such whose results are floats.
    fn is_product_of_floats(&self, v: ValueId) -> bool {
        let made = airconv_ir::visit::producer(self.f, v).map(|id| &self.f.nodes[id].op);
        matches!(made, Some(Op::Contract(_) | Op::Conv(_))) && self.is_narrow_float(v)
    }

    /// Whether a value is of floats that are computed in single precision.
    fn is_narrow_float(&self, v: ValueId) -> bool {
        let dtype = self.f.ty(v).as_tensor().map(|t| t.dtype);
        matches!(dtype, Some(DType::F32 | DType::F16 | DType::BF16))
    }

    /// Whether the elementwise ops that follow a value alone end in floats, so that what they make
    /// can be the result of a product of floats.
    fn ends_in_floats(&self, v: ValueId) -> bool {
        let mut v = v;
        loop {
            let ty = self.f.ty(v).as_tensor();
            let next = match self.users.get(&v).map(Vec::as_slice) {
                Some(&[user]) if self.uses.get(&v) == Some(&1) => {
                    let n = &self.f.nodes[user];
                    let same = n.result(0).filter(|r| {
                        self.f.ty(*r).as_tensor().map(|t| &t.shape) == ty.map(|t| &t.shape)
                    });
                    same.filter(|_| weight(&n.op).is_some() && self.same_region(v, user))
                }
                _ => None,
            };
            match next {
                Some(next) => v = next,
                None => return self.is_narrow_float(v),
            }
        }
    }

    /// Whether all that uses a value is elementwise on its shape, and all but the last of it is
    /// used by nothing else, as in `x * sigmoid(x)`: then one loop nest can hold all of it.
    fn comes_together(&self, v: ValueId) -> bool {
        /// The most nodes until the last one.
        const MOST: usize = 16;
        let mut open = std::collections::BTreeMap::new();
        let mut next = v;
        for _ in 0..MOST {
            let users = self.users.get(&next).map_or(&[][..], Vec::as_slice);
            if users.is_empty() || self.uses.get(&next) != Some(&(users.len() as u32)) {
                return false;
            }
            open.extend(users.iter().map(|&n| (self.order.get(&n).copied(), n)));
            let Some((_, first)) = open.pop_first() else { return false };
            let node = &self.f.nodes[first];
            let Some(result) = node.result(0) else { return false };
            let shape = |x: ValueId| self.f.ty(x).as_tensor().map(|t| &t.shape);
            let follows = weight(&node.op).is_some()
                && shape(result) == shape(v)
                && !self.groups.members.contains_key(&first)
                && self.same_region(v, first);
            if !follows || open.is_empty() {
                return follows;
            }
            next = result;
        }
        false
    }

    fn same_region(&self, v: ValueId, user: NodeId) -> bool {
        let made = airconv_ir::visit::producer(self.f, v);
        made.is_some_and(|m| self.regions.get(&m) == self.regions.get(&user))
    }

    fn weight_of(&self, v: ValueId) -> u32 {
        match self.places.get(&v) {
            Some(Place::Inline(_)) => self.weights.get(&v).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// Brings a value into memory, in whatever order.
    fn stored(&mut self, v: ValueId) -> Result<BufferId, Stop> {
        match self.place(v)? {
            Place::Buffer(b) => Ok(b),
            Place::Inline(id) => {
                if let Some(b) = self.alias(id, v)? {
                    return Ok(b);
                }
                self.map_kernel(v)
            }
        }
    }

    /// The memory of a reshaped value that is in memory.
    fn alias(&mut self, id: NodeId, v: ValueId) -> Result<Option<BufferId>, Stop> {
        let node = &self.f.nodes[id];
        let (Op::Reshape(_), Some(x)) = (&node.op, node.operand(0)) else { return Ok(None) };
        let from = match (self.place(x)?, self.plain.get(&x)) {
            (_, Some(&plain)) => plain,
            (Place::Buffer(from), None) if !self.orders.contains_key(&from) => from,
            _ => return Ok(None),
        };
        let to = self.new_buffer(v, BufferKind::Temporary)?;
        self.steps.push(Step::Alias { to, from });
        Ok(Some(to))
    }

    /// Runs a node on the host.
    fn host(&mut self, id: NodeId, node: &Node) -> Result<(), Stop> {
        let mut operands = Vec::with_capacity(node.operands.len());
        for operand in &node.operands {
            operands.push(match operand {
                Some(v) => Some(self.settle(*v)?),
                None => None,
            });
        }
        let mut results = Vec::with_capacity(node.results.len());
        for result in &node.results {
            results.push(match result {
                Some(v) => Some(self.new_buffer(*v, BufferKind::Temporary)?),
                None => None,
            });
        }
        let made: Vec<BufferId> = results.iter().flatten().copied().collect();
        let name = name_of(&node.op);
        self.steps.push(Step::Host(HostOp { node: id, name, operands, results }));
        self.steps.extend(made.into_iter().map(Step::BindShape));
        Ok(())
    }
}

/// What an op is called where it is refused or left to the host; an opaque one is called as its
/// format does.
fn name_of(op: &Op) -> String {
    match op {
        Op::Opaque(o) => o.source.full_name(),
        op => op.name().to_owned(),
    }
}

/// Scalar operations of an elementwise op; `None` for other ops.
fn weight(op: &Op) -> Option<u32> {
    Some(match op {
        Op::Add(_)
        | Op::Sub(_)
        | Op::Mul(_)
        | Op::Max(_)
        | Op::Min(_)
        | Op::Neg(_)
        | Op::Abs(_)
        | Op::Floor(_)
        | Op::Ceil(_)
        | Op::Round(_)
        | Op::Not(_)
        | Op::And(_)
        | Op::Or(_)
        | Op::Xor(_)
        | Op::BitNot(_)
        | Op::BitAnd(_)
        | Op::BitOr(_)
        | Op::BitXor(_)
        | Op::ShiftLeft(_)
        | Op::ShiftRight(_)
        | Op::Equal(_)
        | Op::Less(_)
        | Op::LessOrEqual(_)
        | Op::IsNan(_)
        | Op::Select(_)
        | Op::Cast(_)
        | Op::Bitcast(_)
        | Op::Complex(_)
        | Op::Real(_)
        | Op::Imag(_)
        | Op::Sign(_) => 1,
        Op::Div(_)
        | Op::Rem(_)
        | Op::Pow(_)
        | Op::Sqrt(_)
        | Op::Exp(_)
        | Op::Log(_)
        | Op::Sin(_)
        | Op::Cos(_)
        | Op::Tan(_)
        | Op::Asin(_)
        | Op::Acos(_)
        | Op::Atan(_)
        | Op::Sinh(_)
        | Op::Cosh(_)
        | Op::Tanh(_)
        | Op::Asinh(_)
        | Op::Acosh(_)
        | Op::Atanh(_)
        | Op::Erf(_) => SLOW,
        _ => return None,
    })
}
