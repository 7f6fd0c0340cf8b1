//! Operator calls into the hub.
//!
//! What `.pt2` graphs and TorchScript programs have in common is a sequence of operator calls on
//! tensors that may share memory. [`Importer::call`] reads one: arguments become values, the rule
//! of the operator adds hub nodes, and views and writes are made functional.

mod activation;
pub(crate) mod alias;
pub(crate) mod arg;
mod attention;
pub(crate) mod call;
mod compare;
mod complex;
mod conv;
mod create;
mod decomposition;
mod diagonal;
mod distance;
mod dropout;
mod elementwise;
mod embedding;
mod encoder;
mod factor;
mod fft;
mod formula;
mod gradient;
mod image;
mod incomplete;
mod index;
mod integer;
mod inverse;
mod join;
mod layout;
mod linalg;
mod linear;
mod loss;
mod math;
mod misc;
mod norm;
mod order;
mod pad;
mod patch;
mod polynomial;
mod pool;
mod prims;
pub(crate) mod promote;
mod random;
mod reduce;
mod repeat;
mod rnn;
pub(crate) mod rules;
mod scan;
mod scatter;
mod segment;
mod series;
mod shape;
pub(crate) mod share;
mod singular;
mod special;
mod synonym;

use std::collections::BTreeMap;
use std::rc::Rc;

use airconv_api::Report;
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::diag::Diagnostic;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, NodeId, OriginId, RegionId, ValueId};
use airconv_ir::module::{Function, Module};
use airconv_ir::op::{Constant, DimsOf};
use airconv_ir::specialize::Known;
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;

use self::alias::{Handle, Handles, Look, ViewCall, Write};
use self::arg::{Arg, Returns};
use self::call::{CallCx, Stop};
use self::share::{Layout, Share, Untold};
use crate::common::schema::Schema;

pub use self::rules::{ImportRule, all_rules};

/// An argument or a result in terms of the source's tensors.
pub(crate) type Item = Arg<Handle>;

/// The longest chain of views that is made again after a write.
const MAX_VIEWS: usize = 500;

/// A function that is being filled with what a source program does.
pub(crate) struct Importer {
    /// The module.
    pub module: Module,
    /// The function.
    pub func: FuncId,
    /// The region that is being filled.
    pub region: RegionId,
    /// The origin of the nodes to come.
    pub origin: OriginId,
    /// Whether the source is known to hand operators that go by memory only tensors that lie in
    /// row-major order.
    pub strides_checked: bool,
    handles: Handles,
    known: Known,
    /// The nodes that `known` has seen.
    visited: usize,
    /// Operators that cannot be read: how often, where first, and why.
    unsupported: BTreeMap<(String, String), (u64, String)>,
}

impl Importer {
    /// An importer with one empty function.
    pub(crate) fn new(name: &str) -> Self {
        let mut module = Module::default();
        let func = module.functions.push(Function::new(name));
        module.entry = func;
        let region = module.functions[func].body;
        Self {
            module,
            func,
            region,
            origin: OriginId(0),
            strides_checked: false,
            handles: Handles::default(),
            known: Known::default(),
            visited: 0,
            unsupported: BTreeMap::new(),
        }
    }
    /// The function.
    pub(crate) fn function(&self) -> &Function {
        &self.module.functions[self.func]
    }
    /// The function for change.
    pub(crate) fn function_mut(&mut self) -> &mut Function {
        &mut self.module.functions[self.func]
    }
    /// A builder at the end of the current region.
    pub(crate) fn builder(&mut self) -> Builder<'_> {
        Builder::new(&mut self.module, self.func, self.region, self.origin)
    }
    /// A tensor of the source with memory of its own.
    pub(crate) fn fresh(&mut self, value: ValueId) -> Handle {
        self.handles.fresh(value)
    }
    /// A tensor of the source with memory of its own, in which it lies in row-major order.
    pub(crate) fn fresh_rows(&mut self, value: ValueId) -> Handle {
        let handle = self.fresh(value);
        self.set_layout(handle, Layout::Rows);
        handle
    }
    /// Says how a tensor lies in memory.
    pub(crate) fn set_layout(&mut self, handle: Handle, layout: Layout) {
        self.handles.set_layout(handle, layout);
    }
    /// A constant of the module as a tensor of the source.
    pub(crate) fn constant(&mut self, tensor: Tensor, name: &str) -> Handle {
        let value = self.constant_value(tensor, name);
        self.fresh(value)
    }
    /// A named constant of the module.
    pub(crate) fn constant_value(&mut self, tensor: Tensor, name: &str) -> ValueId {
        let ty = Type::Tensor(tensor.ty());
        let tensor = self.module.tensors.push(tensor);
        let (region, origin) = (self.region, self.origin);
        let f = self.function_mut();
        let op = Constant { tensor }.into();
        let node = f.add_node(region, op, Default::default(), [Some(ty)], origin);
        let value = f.nodes[node].result(0).unwrap_or(ValueId(0));
        f.values[value].name = Some(name.into());
        value
    }

    // What is known before run time.

    /// Learns from the nodes that were added.
    pub(crate) fn learn(&mut self) {
        let Self { module, func, known, visited, .. } = self;
        let nodes = module.functions[*func].nodes.len();
        for id in *visited..nodes {
            known.facts.visit(module, &module.functions[*func], NodeId(id as u32));
        }
        *visited = nodes;
    }
    /// The elements of a value that is a constant or follows from constants.
    pub(crate) fn const_array(&self, value: ValueId) -> Option<Array> {
        let f = self.function();
        match self.known.tensor(f, value) {
            Some(tensor) => self.module.tensors[tensor].to_array().ok(),
            None => self.known.array(&self.module, f, value),
        }
    }
    /// The element of an integer tensor of rank 0 as a size, if it is known.
    pub(crate) fn known_dim(&mut self, value: ValueId) -> Option<Dim> {
        self.learn();
        if let Some([dim]) = self.known.facts.get(value)
            && !dim.is_any()
        {
            return Some(dim.clone());
        }
        match self.const_array(value)?.to_i64s()?.as_slice() {
            [one] => Some(Dim::Known(*one)),
            _ => None,
        }
    }
    /// The element of an integer tensor of rank 0 as a size; one that is not known gets a symbol.
    pub(crate) fn dim_of_value(&mut self, value: ValueId) -> Result<Dim, Stop> {
        if let Some(dim) = self.known_dim(value) {
            return Ok(dim);
        }
        let range = Range { min: None, max: None };
        let why = Some("an element of a tensor".to_owned());
        let dim = Dim::from(self.function_mut().add_symbol("d", range, why));
        self.bind(value, &dim)?;
        Ok(dim)
    }
    /// States that the element of an integer tensor of rank 0 is a size.
    pub(crate) fn bind(&mut self, value: ValueId, dim: &Dim) -> Result<(), Stop> {
        let op = DimsOf { dims: vec![dim.clone()] };
        self.builder().node(op, &[Some(value)])?;
        Ok(())
    }

    // Tensors.

    /// The value of a tensor now.
    pub(crate) fn value(&mut self, handle: Handle) -> Result<ValueId, Stop> {
        self.value_at(handle, 0)
    }
    fn value_at(&mut self, handle: Handle, depth: usize) -> Result<ValueId, Stop> {
        match self.handles.look(handle) {
            Look::Value(value) => Ok(value),
            Look::Doubtful => Err(Stop::Unsupported(DOUBTFUL.to_owned())),
            Look::Replay(..) if depth >= MAX_VIEWS => {
                Err(Stop::Unsupported(format!("a view of more than {MAX_VIEWS} views")))
            }
            Look::Replay(of, call) => {
                let base = self.value_at(of, depth + 1)?;
                let value = self.replay(&call, base)?;
                self.handles.refreshed(handle, value);
                Ok(value)
            }
        }
    }
    /// A view made again of the new contents of what it is a view of.
    fn replay(&mut self, call: &ViewCall, base: ValueId) -> Result<ValueId, Stop> {
        let mut args = call.args.clone();
        if let Some(slot) = args.get_mut(call.viewed) {
            *slot = Arg::Tensor(base);
        }
        let (returns, _) = self.run(call.schema, &args, None)?;
        let item = match (call.item, returns.0.as_slice()) {
            (None, [Arg::Tensor(value), ..]) => Some(*value),
            (Some(i), [Arg::List(items), ..]) => match items.get(i) {
                Some(Arg::Tensor(value)) => Some(*value),
                _ => None,
            },
            _ => None,
        };
        item.ok_or_else(|| Stop::Invalid("a view is no tensor".to_owned()))
    }
    /// Gives a tensor new contents, and what it is a view of.
    pub(crate) fn write(&mut self, handle: Handle, value: ValueId) -> Result<(), Stop> {
        let mut path = vec![(handle, value)];
        let mut at = (handle, value);
        while let Write::Through(of, call) = self.handles.through(at.0) {
            if path.len() > MAX_VIEWS {
                return Err(Stop::Unsupported(format!("a view of more than {MAX_VIEWS} views")));
            }
            let base = self.value(of)?;
            let whole = inverse::write_back(self, &call, base, at.1)?;
            at = (of, whole);
            path.push(at);
        }
        if let Some((root, value)) = path.pop() {
            self.handles.set_root(root, value);
        }
        while let Some((view, value)) = path.pop() {
            self.handles.refreshed(view, value);
        }
        Ok(())
    }
    /// Whether a tensor, or what it shares memory with, was written to, as far as can be told.
    pub(crate) fn was_written(&self, handle: Handle) -> bool {
        self.handles.was_written(handle)
    }

    // Calls.

    /// Reads a call. `args` are in the order of the schema, without those at the end that are
    /// left out; `wanted` says which results are used, where that is known.
    pub(crate) fn call(
        &mut self,
        schema: &'static Schema,
        args: &[Item],
        wanted: Option<&[bool]>,
    ) -> Result<Vec<Item>, Stop> {
        let mut values = Vec::with_capacity(schema.params.len());
        for (i, param) in schema.params.iter().enumerate() {
            values.push(match args.get(i) {
                Some(item) => item.map(&mut |h| self.value(*h))?,
                None => Arg::default_of(param).unwrap_or(Arg::None),
            });
        }
        let (returns, writes) = self.run(schema, &values, wanted)?;
        if returns.0.len() != schema.returns.len() {
            return Err(Stop::Invalid(format!(
                "{} results were made of {}",
                returns.0.len(),
                schema.returns.len()
            )));
        }
        let written = self.write_results(schema, args, &returns, &writes)?;
        let own = self.layout_of_own(schema, args, &values);
        let mut out = Vec::with_capacity(returns.0.len());
        let untold = share::untold(schema);
        for (result, arg) in schema.returns.iter().zip(&returns.0) {
            let source = (!result.alias.is_empty())
                .then(|| aliased(schema, &result.alias))
                .flatten()
                .and_then(|i| Some((i, handle_of(args.get(i)?)?)));
            out.push(match source {
                Some((i, handle)) if written.contains(&i) => Arg::Tensor(handle),
                Some((i, handle)) => self.viewed(schema, &values, i, handle, arg),
                None => match untold {
                    Some(untold) => self.untold(schema, untold, &values, args, (arg, own)),
                    None => self.owned(arg, own),
                },
            });
        }
        Ok(out)
    }

    /// Results that share the memory of the first argument without the schema saying so.
    fn untold(
        &mut self,
        schema: &'static Schema,
        untold: Untold,
        values: &[Arg],
        args: &[Item],
        (arg, own): (&Arg, Layout),
    ) -> Item {
        let of = args.first();
        match (untold, of.and_then(handle_of), of) {
            (Untold::View, Some(of), _) => self.viewed(schema, values, 0, of, arg),
            (Untold::Unchanged, Some(of), _) if values.first() == Some(arg) => {
                self.viewed(schema, values, 0, of, arg)
            }
            (Untold::Unchanged, _, Some(Arg::List(of))) => match (&of[..], values.first()) {
                ([Arg::Tensor(of)], Some(Arg::List(value))) if value.first() == Some(arg) => {
                    Arg::Tensor(*of)
                }
                _ => self.owned(arg, own),
            },
            (Untold::EachMaybe, _, Some(Arg::List(of))) => match arg {
                Arg::List(items) => {
                    let each = items.iter().enumerate();
                    Arg::List(each.map(|(i, x)| self.maybe_viewed(of.get(i), x, own)).collect())
                }
                one => self.maybe_viewed(of.first().filter(|_| of.len() == 1), one, own),
            },
            _ => self.owned(arg, own),
        }
    }
    /// A result that may be a view of a tensor.
    fn maybe_viewed(&mut self, of: Option<&Item>, arg: &Arg, own: Layout) -> Item {
        match (of.and_then(handle_of), arg) {
            (Some(of), Arg::Tensor(value)) => Arg::Tensor(self.handles.own_or_view(of, *value)),
            _ => self.owned(arg, own),
        }
    }

    /// Results with memory of their own.
    fn owned(&mut self, arg: &Arg, layout: Layout) -> Item {
        let mut fresh = |v: &ValueId| {
            let handle = self.fresh(*v);
            self.set_layout(handle, layout);
            Ok::<_, std::convert::Infallible>(handle)
        };
        match arg.map(&mut fresh) {
            Ok(item) => item,
            Err(never) => match never {},
        }
    }

    /// How results with memory of their own lie in it.
    fn layout_of_own(&self, schema: &Schema, args: &[Item], values: &[Arg]) -> Layout {
        let in_rows = args.iter().all(|arg| self.all_in_rows(arg));
        match rules::find_functional(&schema.name, &schema.overload) {
            Some(rule) => share::layout_of_own(rule, values, in_rows),
            None => Layout::Unknown,
        }
    }
    fn all_in_rows(&self, item: &Item) -> bool {
        match item {
            Arg::Tensor(handle) => self.handles.layout(*handle) == Layout::Rows,
            Arg::List(items) => items.iter().all(|item| self.all_in_rows(item)),
            _ => true,
        }
    }

    /// Results that share the memory of an argument, or may do so.
    fn viewed(
        &mut self,
        schema: &'static Schema,
        values: &[Arg],
        viewed: usize,
        of: Handle,
        arg: &Arg,
    ) -> Item {
        let view = |item: Option<usize>| {
            let args = values.to_vec();
            Rc::new(ViewCall { schema, args, viewed, item })
        };
        let layout = share::layout_of_view(schema, values, self.handles.layout(of));
        match arg {
            Arg::Tensor(value) => {
                let handle = match self.share(schema, values, viewed, of, *value) {
                    Share::View => self.handles.view(of, view(None), *value),
                    Share::Copy => self.handles.fresh(*value),
                    Share::Either => self.handles.own_or_view(of, *value),
                };
                self.set_layout(handle, layout);
                Arg::Tensor(handle)
            }
            Arg::List(items) => {
                let items = items.iter().enumerate().map(|(i, item)| match item {
                    Arg::Tensor(value) => {
                        let handle = self.handles.view(of, view(Some(i)), *value);
                        self.set_layout(handle, layout);
                        Arg::Tensor(handle)
                    }
                    other => self.owned(other, Layout::Unknown),
                });
                Arg::List(items.collect())
            }
            other => self.owned(other, Layout::Unknown),
        }
    }

    /// What a result is to the argument that it may be a view of.
    fn share(
        &self,
        schema: &Schema,
        values: &[Arg],
        viewed: usize,
        of: Handle,
        result: ValueId,
    ) -> Share {
        let dtype = |value: ValueId| match self.function().ty(value) {
            Type::Tensor(ty) => Some(ty.dtype),
            _ => None,
        };
        let operand = match values.get(viewed) {
            Some(Arg::Tensor(value)) => dtype(*value),
            _ => None,
        };
        share::share(schema, values, self.handles.layout(of), operand == dtype(result))
    }

    /// Writes to the arguments that the operator writes into, what the rule says or else the
    /// result that is the same memory; gives their positions.
    fn write_results(
        &mut self,
        schema: &'static Schema,
        args: &[Item],
        returns: &Returns,
        writes: &[(usize, ValueId)],
    ) -> Result<Vec<usize>, Stop> {
        let mut written = Vec::new();
        for (i, param) in schema.params.iter().enumerate() {
            let stated = writes.iter().find(|(at, _)| *at == i).map(|(_, value)| *value);
            if !param.written && stated.is_none() {
                continue;
            }
            let Some(handle) = args.get(i).and_then(handle_of) else {
                return Err(Stop::Unsupported("writes into something unnamed".to_owned()));
            };
            let value = match stated {
                Some(value) => value,
                None => same_memory(schema, &param.alias, returns)?,
            };
            let old = self.value(handle)?;
            if old != value {
                let fitted = self.fitted(value, old)?;
                self.write(handle, fitted)?;
            }
            written.push(i);
        }
        Ok(written)
    }

    /// A value in the dtype and shape of another.
    fn fitted(&mut self, value: ValueId, like: ValueId) -> Result<ValueId, Stop> {
        let mut b = self.builder();
        let want = b.tensor_ty(like)?;
        let value = b.cast(value, want.dtype)?;
        Ok(b.broadcast_to(value, &want.shape)?)
    }

    /// Runs the rule of an operator on values: its results, and what it writes besides, by
    /// position of the argument.
    pub(crate) fn run(
        &mut self,
        schema: &'static Schema,
        args: &[Arg],
        wanted: Option<&[bool]>,
    ) -> Result<(Returns, Vec<(usize, ValueId)>), Stop> {
        let Some(rule) = rules::find_functional(&schema.name, &schema.overload) else {
            return Err(Stop::Unsupported(NO_RULE.to_owned()));
        };
        self.learn();
        let before = self.function().nodes.len();
        let mut cx = CallCx { imp: self, schema, args, read: 0, wanted, writes: Vec::new() };
        let returns = (rule.rule)(&mut cx)?;
        cx.imp.check_sizes(before)?;
        match cx.unread().as_slice() {
            [] => Ok((returns, cx.writes)),
            names => Err(Stop::Unsupported(format!("arguments {} are given", names.join(", ")))),
        }
    }

    /// Checks that no node from a number on has a result of negative size.
    fn check_sizes(&self, from: usize) -> Result<(), Stop> {
        let f = self.function();
        for id in from..f.nodes.len() {
            for value in f.nodes[NodeId(id as u32)].outputs() {
                let mut least = 0;
                f.ty(value).for_each_dim(&mut |d| least = least.min(d.as_known().unwrap_or(0)));
                if least < 0 {
                    return Err(Stop::Invalid(format!("a size of {least}")));
                }
            }
        }
        Ok(())
    }

    // Messages.

    /// Notes why an operator was not read.
    pub(crate) fn note_unsupported(&mut self, op: &str, why: &str, place: &str) {
        let entry = self.unsupported.entry((op.to_owned(), why.to_owned()));
        entry.or_insert_with(|| (0, place.to_owned())).0 += 1;
    }
    /// Whether anything was not read.
    pub(crate) fn has_unsupported(&self) -> bool {
        !self.unsupported.is_empty()
    }
    /// Says what was not read, all at once; whether there was anything.
    pub(crate) fn report_unsupported(&self, report: &mut Report) -> bool {
        for ((op, why), (count, place)) in &self.unsupported {
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            let message = format!("`{op}` cannot be read{times}: {why}");
            report.push(Diagnostic::error("torch-unsupported", message).at(place.clone()));
        }
        !self.unsupported.is_empty()
    }
}

/// The position of the parameter of an alias set.
fn aliased(schema: &Schema, alias: &str) -> Option<usize> {
    let one_of = |set: &str| alias.split('|').any(|a| a == set);
    schema.params.iter().position(|p| !p.alias.is_empty() && one_of(&p.alias))
}

/// The result that is the memory of an alias set.
fn same_memory(schema: &Schema, alias: &str, returns: &Returns) -> Result<ValueId, Stop> {
    let Some(result) = schema.returns.iter().position(|r| r.alias == alias) else {
        return Err(Stop::Unsupported("writes into something unnamed".to_owned()));
    };
    match returns.0.get(result) {
        Some(Arg::Tensor(value)) => Ok(*value),
        _ => Err(Stop::Invalid("what is written is no tensor".to_owned())),
    }
}

fn handle_of(item: &Item) -> Option<Handle> {
    match item {
        Arg::Tensor(handle) => Some(*handle),
        _ => None,
    }
}

/// The dtype of the parts of a complex dtype; a real one itself.
pub(crate) fn complex_part(dtype: DType) -> DType {
    match dtype {
        DType::C64 => DType::F32,
        DType::C128 => DType::F64,
        real => real,
    }
}

/// Why a tensor has no value.
const DOUBTFUL: &str = "`reshape`, `contiguous` or the like gave a copy or a view, which cannot be \
                        told, and one of the two was written to";

/// Why an operator that is not in the table is not read.
pub(crate) const NO_RULE: &str = "there is no rule for it";

/// The dtype that factory functions make when none is asked for.
pub(crate) const DEFAULT_DTYPE: DType = DType::F32;
