//! Control flow: branches and loops become steps with steps inside.

use airconv_ir::dim::Dim;
use airconv_ir::entity::{RegionId, SymbolId, ValueId};
use airconv_ir::module::Node;
use airconv_ir::op;

use super::compute::needed;
use super::{Lowerer, Place, Stop};
use crate::ir::{BufferId, BufferKind, Loop, Step};

impl Lowerer<'_> {
    /// The steps of a region whose parameters are these buffers, and the buffers of its results.
    fn inner(
        &mut self,
        region: RegionId,
        args: &[BufferId],
    ) -> Result<(Vec<Step>, Vec<BufferId>), Stop> {
        self.note_bound();
        let outer = std::mem::take(&mut self.steps);
        let params = self.f.regions[region].params.clone();
        for (&param, &arg) in params.iter().zip(args) {
            if self.is_constant(param, arg) {
                continue;
            }
            let to = self.new_buffer(param, BufferKind::Temporary)?;
            self.steps.push(Step::Alias { to, from: arg });
            self.steps.push(Step::BindShape(to));
        }
        let made = self.region(region).and_then(|()| {
            let results = self.f.regions[region].results.clone();
            results.into_iter().map(|v| self.settle(v)).collect::<Result<Vec<_>, _>>()
        });
        let steps = std::mem::replace(&mut self.steps, outer);
        Ok((steps, made?))
    }

    /// Whether a parameter of a region stands for a constant of known shape: then it is that
    /// constant, for all that is made of it.
    fn is_constant(&mut self, param: ValueId, arg: BufferId) -> bool {
        let buffer = self.program.buffer(arg);
        let constant = matches!(buffer.kind, BufferKind::Constant(_));
        let known = self.f.ty(param).as_tensor().is_some_and(|t| {
            Some(t.dtype) == buffer.dtype
                && t.shape[..] == buffer.shape[..]
                && t.shape.iter().all(|d| d.as_known().is_some())
        });
        if constant && known {
            self.places.insert(param, Place::Buffer(arg));
        }
        constant && known
    }

    /// `if`.
    pub(super) fn branch(&mut self, node: &Node, op: &op::If) -> Result<(), Stop> {
        let mut args = Vec::new();
        for v in node.inputs().skip(1) {
            args.push(self.settle(v)?);
        }
        let condition = self.settle(needed(node.operand(0))?)?;
        let mut results = Vec::new();
        for v in &node.results {
            results.push(match v {
                Some(v) => Some(self.new_buffer(*v, BufferKind::Temporary)?),
                None => None,
            });
        }
        let mut sides = Vec::new();
        for region in [op.then_branch, op.else_branch] {
            let (mut steps, made) = self.inner(region, &args)?;
            for (to, from) in results.iter().zip(made) {
                if let Some(to) = *to {
                    steps.push(Step::Alias { to, from });
                }
            }
            sides.push(steps);
        }
        let otherwise = sides.pop().unwrap_or_default();
        let then = sides.pop().unwrap_or_default();
        self.steps.push(Step::If { condition, then, otherwise });
        self.steps.extend(results.into_iter().flatten().map(Step::BindShape));
        Ok(())
    }

    /// `loop`.
    pub(super) fn loop_(&mut self, node: &Node, op: &op::Loop) -> Result<(), Stop> {
        let count = op.carried as usize;
        let optional = |l: &mut Self, slot| match node.operand(slot) {
            Some(v) => l.settle(v).map(Some),
            None => Ok(None),
        };
        let most = node.operand(0).and_then(|v| self.known_number(v));
        let trips = optional(self, 0)?;
        let condition = optional(self, 1)?;
        let region = &self.f.regions[op.body];
        let (params, results) = (region.params.clone(), region.results.clone());
        let given: Vec<ValueId> = node.operands.iter().skip(2).flatten().copied().collect();
        let mut values = Vec::new();
        for &v in given.iter().take(count) {
            values.push(self.settle(v)?);
        }
        let mut captures = Vec::new();
        for (&v, &param) in given.iter().zip(params.iter().skip(2)).skip(count) {
            captures.extend(self.capture(v, param)?);
        }
        // What the body sees of its own.
        let mut seen = Vec::new();
        for &p in params.iter().take(2 + count) {
            seen.push(self.new_buffer(p, BufferKind::Temporary)?);
        }
        if let Some(most) = most {
            self.iterations.insert(seen[0], most);
        }
        self.note_bound();
        let outer = std::mem::take(&mut self.steps);
        for (to, from) in captures {
            self.steps.push(Step::Alias { to, from });
            self.steps.push(Step::BindShape(to));
        }
        for &buffer in &seen {
            // Where all sizes are known there is nothing to bind.
            if self.program.buffer(buffer).shape.iter().any(|d| d.as_known().is_none()) {
                self.steps.push(Step::BindShape(buffer));
            }
        }
        let made = self
            .region(op.body)
            .and_then(|()| results.iter().map(|&v| self.settle(v)).collect::<Result<Vec<_>, _>>());
        let body = std::mem::replace(&mut self.steps, outer);
        let made = made?;
        let fresh = self.fresh_in(&body);
        let mut carried = Vec::new();
        let mut stacked = Vec::new();
        let mut ends = Vec::new();
        for (i, slot) in node.results.iter().enumerate() {
            let out = match slot {
                Some(v) => self.new_buffer(*v, BufferKind::Temporary)?,
                None => self.unused(results.get(1 + i).copied())?,
            };
            ends.push(out);
        }
        while ends.len() < made.len() - 1 {
            let out = self.unused(results.get(1 + ends.len()).copied())?;
            ends.push(out);
        }
        for (i, &out) in ends.iter().enumerate() {
            if i < count {
                carried.push([values[i], seen[2 + i], made[1 + i], out]);
            } else {
                stacked.push((made[1 + i], out));
            }
        }
        self.steps.push(Step::Loop(Box::new(Loop {
            trips,
            condition,
            iteration: seen[0],
            running: seen[1],
            carried,
            next: made[0],
            stacked,
            body,
            fresh,
        })));
        self.steps.extend(ends.into_iter().map(Step::BindShape));
        Ok(())
    }

    /// The number that a scalar is known to be, over sizes.
    fn known_number(&self, v: ValueId) -> Option<Dim> {
        match self.places.get(&v)? {
            Place::Inline(id) => match &self.f.nodes[*id].op {
                op::Op::DimValue(d) if d.scalar => d.dims.first().cloned(),
                _ => None,
            },
            Place::Buffer(b) => {
                let (c, _) = self.scalar_constant(*b)?;
                c.as_int().and_then(|k| i64::try_from(k).ok()).map(Dim::Known)
            }
        }
    }

    /// Lets the parameter of a body stand for a value from outside: where that is, unless their
    /// shapes are said differently. Then the parameter has a buffer of its own, which each
    /// iteration lets stand for the other one.
    fn capture(
        &mut self,
        v: ValueId,
        param: ValueId,
    ) -> Result<Option<(BufferId, BufferId)>, Stop> {
        let same = self.f.ty(v) == self.f.ty(param);
        if same
            && let (Some(_), Ok(place @ Place::Inline(_))) = (self.known_number(v), self.place(v))
        {
            self.places.insert(param, place);
            return Ok(None);
        }
        let from = self.settle(v)?;
        if same {
            self.places.insert(param, Place::Buffer(from));
            return Ok(None);
        }
        let to = self.new_buffer(param, BufferKind::Temporary)?;
        Ok(Some((to, from)))
    }

    /// A buffer for a result that nobody uses.
    fn unused(&mut self, like: Option<ValueId>) -> Result<BufferId, Stop> {
        let v = needed(like)?;
        let held = self.places.get(&v).copied();
        let buffer = self.new_buffer(v, BufferKind::Temporary)?;
        if let Some(place) = held {
            self.places.insert(v, place);
        }
        // Its sizes are those of the last iteration; nothing is checked.
        self.program.buffers[buffer.0 as usize].shape.clear();
        Ok(buffer)
    }

    /// The sizes that steps of the body of a loop bind anew each time; those that were bound
    /// before the loop keep their values.
    fn fresh_in(&self, body: &[Step]) -> Vec<SymbolId> {
        let mut inside = Vec::new();
        self.bound_in(body, &mut inside);
        inside.retain(|s| !self.bound.contains(s));
        inside.sort_unstable();
        inside.dedup();
        inside
    }

    /// Notes what the steps so far bind, before steps inside of them are made.
    fn note_bound(&mut self) {
        let mut found = Vec::new();
        self.bound_in(&self.steps, &mut found);
        self.bound.extend(found);
    }

    /// The sizes that steps bind.
    fn bound_in(&self, steps: &[Step], out: &mut Vec<SymbolId>) {
        for step in steps {
            match step {
                Step::Bind(b) => b.dims.iter().for_each(|d| d.symbols(&mut |s| out.push(s))),
                Step::BindShape(b) => {
                    let shape = &self.program.buffer(*b).shape;
                    shape.iter().for_each(|d| d.symbols(&mut |s| out.push(s)));
                }
                Step::If { then, otherwise, .. } => {
                    self.bound_in(then, out);
                    self.bound_in(otherwise, out);
                }
                Step::Loop(inner) => self.bound_in(&inner.body, out),
                _ => {}
            }
        }
    }
}
