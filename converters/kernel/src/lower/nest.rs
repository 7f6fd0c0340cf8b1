//! Loop nests around element expressions.

use airconv_ir::dim::Dim;
use airconv_ir::entity::{NodeId, ValueId};
use airconv_ir::op::Op;
use rustc_hash::FxHashSet;

use super::pull::{Pull, Val};
use super::{Lowerer, Place, Stop};
use crate::ir::{
    Access, BufferId, BufferKind, ExprId, Kernel, KernelId, Launch, LoopKind, Program, Step, Stmt,
    Var,
};
use crate::phases;
use crate::schedule::schedule;

/// A loop of a nest: its counter and extent.
pub(super) type Axis = (Var, Dim);

impl Lowerer<'_> {
    /// A kernel that computes an inline value element by element into a new buffer.
    pub(super) fn map_kernel(&mut self, v: ValueId) -> Result<BufferId, Stop> {
        let Place::Inline(id) = self.place(v)? else { return self.stored(v) };
        let ty = self.tensor(v)?.clone();
        let buffer = self.new_buffer(v, BufferKind::Temporary)?;
        self.places.insert(v, Place::Inline(id));
        let order = self.order_of(v);
        if let Some(order) = &order {
            self.lay(buffer, order);
        }
        // A few channels make no vector: rows are walked instead.
        let walk = order.filter(|_| !self.has_few_channels(v));
        let groups = self.channel_groups(v);
        let made = {
            let mut pull = Pull::new(self, &self.ops_of(id));
            let shape = pull.shape(&ty.shape);
            let (at, axes) = pull.space_in(&shape, groups, walk.as_deref());
            pull.computed_by(id, v, &at).and_then(|val| {
                let out = pull.parameter(buffer, Access::Write)?;
                let flat = pull.place_in(buffer, &at)?;
                let body = pull.store(out, flat, val);
                Ok(pull.finish(around(axes, body)))
            })
        };
        match made {
            Ok((kernel, buffers, sizes)) => {
                self.launch(kernel, buffers, sizes);
                self.places.insert(v, Place::Buffer(buffer));
                self.cores.remove(&v);
                Ok(buffer)
            }
            Err(Stop::TooComplex) => {
                // With its operands in memory the indices are simpler.
                let operands: Vec<ValueId> = self.f.nodes[id].inputs().collect();
                if operands.iter().all(|o| matches!(self.place(*o), Ok(Place::Buffer(_)))) {
                    return Err(Stop::NeedsSizes("an index expression is too complex".into()));
                }
                for operand in operands {
                    self.stored(operand)?;
                }
                self.map_kernel(v)
            }
            Err(e) => Err(e),
        }
    }

    /// The ops that a kernel for a node does, in order, without those that only say where elements
    /// are; of many the first and the last ones.
    fn ops_of(&self, id: NodeId) -> String {
        /// The most that are named.
        const MOST: usize = 6;
        let (mut names, mut seen) = (Vec::new(), FxHashSet::default());
        let mut todo = vec![(id, false)];
        while let Some((id, operands_done)) = todo.pop() {
            let node = &self.f.nodes[id];
            if operands_done {
                if !is_view(&node.op) {
                    names.push(node.op.name());
                }
                continue;
            }
            if !seen.insert(id) {
                continue;
            }
            todo.push((id, true));
            let inline = |v: ValueId| match self.places.get(&v) {
                Some(Place::Inline(id)) => Some((*id, false)),
                _ => None,
            };
            let operands: Vec<_> = node.inputs().filter_map(inline).collect();
            todo.extend(operands.into_iter().rev());
        }
        names.dedup();
        if names.is_empty() {
            return self.f.nodes[id].op.name().to_owned();
        }
        if names.len() > MOST {
            let last = names.split_off(names.len() - MOST / 2);
            names.truncate(MOST / 2);
            names.push("...");
            names.extend(last);
        }
        names.join(" ")
    }

    /// The number of groups of the convolution that an inline value holds.
    fn channel_groups(&self, v: ValueId) -> i64 {
        let mut v = v;
        while let Some(Place::Inline(id)) = self.places.get(&v) {
            let node = &self.f.nodes[*id];
            if let Op::Conv(c) = &node.op {
                return c.groups;
            }
            match node.inputs().find(|o| self.cores.contains_key(o)) {
                Some(next) => v = next,
                None => return 1,
            }
        }
        1
    }

    /// Adds a launch, or one for each phase of data with gaps; equal kernels are stored once.
    pub(super) fn launch(
        &mut self,
        kernel: Kernel,
        buffers: Vec<BufferId>,
        sizes: Vec<airconv_ir::entity::SymbolId>,
    ) {
        let kernel = schedule(kernel);
        let sizes: Vec<Dim> = sizes.into_iter().map(Dim::symbol).collect();
        for kernel in phases::apart(&kernel).unwrap_or_else(|| vec![kernel]) {
            let mut key = kernel.clone();
            key.name.clear();
            let id = match self.kernels.get(&key) {
                Some(&id) => id,
                None => {
                    let id = KernelId(self.program.kernels.len() as u32);
                    self.program.kernels.push(kernel);
                    self.kernels.insert(key, id);
                    id
                }
            };
            let (buffers, sizes) = (buffers.clone(), sizes.clone());
            self.steps.push(Step::Launch(Launch { kernel: id, buffers, sizes }));
        }
    }
}

/// Whether an op only says where elements are.
pub(super) fn is_view(op: &Op) -> bool {
    matches!(op, Op::Transpose(_) | Op::Broadcast(_) | Op::Reshape(_) | Op::Slice(_))
}

impl Pull<'_, '_> {
    /// Coordinates over a shape with their loops. With groups the second axis has two loops.
    pub fn space(&mut self, shape: &[Dim], groups: i64) -> (Vec<Dim>, Vec<Axis>) {
        self.space_in(shape, groups, None)
    }

    /// As [`Pull::space`], with the loops in this order of the axes.
    pub fn space_in(
        &mut self,
        shape: &[Dim],
        groups: i64,
        order: Option<&[usize]>,
    ) -> (Vec<Dim>, Vec<Axis>) {
        let mut at = vec![Dim::Known(0); shape.len()];
        let mut axes = Vec::with_capacity(shape.len());
        for i in 0..shape.len() {
            let i = order.map_or(i, |o| o[i]);
            let size = &shape[i];
            at[i] = if i == 1 && groups > 1 {
                let inner = size.floor_div(&Dim::Known(groups));
                let group = self.axis(&Dim::Known(groups), &mut axes);
                let within = self.axis(&inner, &mut axes);
                &(&group * &inner) + &within
            } else {
                self.axis(size, &mut axes)
            };
        }
        (at, axes)
    }

    /// A loop index over an extent; no loop where the extent is 1.
    pub fn axis(&mut self, size: &Dim, axes: &mut Vec<Axis>) -> Dim {
        if size.as_known() == Some(1) {
            return Dim::Known(0);
        }
        let index = self.counter(size);
        if let Some(var) = index.as_symbol() {
            axes.push((var, size.clone()));
        }
        index
    }

    /// Stores a value at a position.
    pub fn store(&mut self, param: u32, flat: Dim, val: Val) -> Vec<Stmt> {
        let store = |at, value: ExprId| Stmt::Store { param, at, value };
        match val {
            Val::Real(x) => vec![store(flat, x)],
            Val::Complex(re, im) => {
                let at = &flat * 2;
                vec![store(at.clone(), re), store(&at + 1, im)]
            }
        }
    }

    /// The kernel with its body, the buffers of its parameters and its sizes.
    pub fn finish(
        self,
        body: Vec<Stmt>,
    ) -> (Kernel, Vec<BufferId>, Vec<airconv_ir::entity::SymbolId>) {
        let mut kernel = self.b.kernel;
        kernel.body = body;
        (kernel, self.buffers, self.sizes)
    }
}

/// Independent loops around statements, the first one outermost.
pub(super) fn around(axes: Vec<Axis>, body: Vec<Stmt>) -> Vec<Stmt> {
    axes.into_iter().rev().fold(body, |body, (var, extent)| {
        vec![Stmt::For { var, extent, kind: LoopKind::Independent, body }]
    })
}

/// Ends the life of temporaries after their last use in the outermost list of steps.
pub(super) fn free_dead(program: &mut Program) {
    let kept: FxHashSet<BufferId> = program.outputs.iter().map(|(_, b)| *b).collect();
    let mut seen: FxHashSet<BufferId> = kept;
    let mut steps = Vec::with_capacity(program.steps.len());
    for step in std::mem::take(&mut program.steps).into_iter().rev() {
        let mut used = Vec::new();
        buffers_of(&step, &mut used);
        let mut frees = Vec::new();
        for b in used {
            let kind = &program.buffer(b).kind;
            let owned = matches!(kind, BufferKind::Temporary | BufferKind::Host);
            if owned && seen.insert(b) {
                frees.push(Step::Free(b));
            }
        }
        steps.extend(frees.into_iter().rev());
        steps.push(step);
    }
    steps.reverse();
    program.steps = steps;
}

/// The buffers that a step mentions.
pub(crate) fn buffers_of(step: &Step, out: &mut Vec<BufferId>) {
    match step {
        Step::Launch(l) => out.extend(&l.buffers),
        Step::Bind(b) => out.push(b.buffer),
        Step::BindShape(b) | Step::Free(b) => out.push(*b),
        Step::Fit(_) => {}
        Step::Alias { to, from } => out.extend([*to, *from]),
        Step::Host(h) => out.extend(h.operands.iter().chain(&h.results).flatten()),
        Step::Assert { condition, .. } => out.push(*condition),
        Step::If { condition, then, otherwise } => {
            out.push(*condition);
            then.iter().chain(otherwise).for_each(|s| buffers_of(s, out));
        }
        Step::Loop(l) => {
            out.extend(l.trips.iter().chain(&l.condition));
            out.extend([l.iteration, l.running, l.next]);
            out.extend(l.carried.iter().flatten());
            out.extend(l.stacked.iter().flat_map(|(a, b)| [a, b]));
            l.body.iter().for_each(|s| buffers_of(s, out));
        }
    }
}
