//! Ops whose loop nests are not one expression per element.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::op::{self, ArgKind, ReduceKind, ScatterReduction};

use super::compute::needed;
use super::nest::around;
use super::pull::{Pull, Val};
use super::{Lowerer, Stop};
use crate::ir::{
    Access, BinOp, Binding, Buffer, BufferId, BufferKind, Const, Expr, ExprId, Kernel, LocalId,
    LoopKind, Scalar, Step, Stmt, UnOp,
};

impl Lowerer<'_> {
    /// The result of a node, in a new buffer.
    fn result(&mut self, node: &Node, slot: usize) -> Result<(ValueId, BufferId), Stop> {
        let v = needed(node.result(slot))?;
        self.tensor(v)?;
        Ok((v, self.new_buffer(v, BufferKind::Temporary)?))
    }

    /// Binds the sizes that only a slice itself says, from its bounds.
    pub(super) fn slice_sizes(&mut self, node: &Node, s: &op::Slice) -> Result<(), Stop> {
        let (x, v) = (needed(node.operand(0))?, needed(node.result(0))?);
        let own: Vec<(usize, Dim)> = s
            .axes
            .iter()
            .enumerate()
            .map(|(i, &axis)| Ok((i, self.tensor(v)?.shape[axis as usize].clone())))
            .collect::<Result<Vec<_>, Stop>>()?;
        let named = |d: &Dim| {
            let symbol = d.as_symbol().and_then(|s| self.f.symbols.get(s));
            symbol.and_then(|s| s.why.as_deref()).is_some_and(|w| w.starts_with("size found by"))
        };
        let own: Vec<(usize, Dim)> = own.into_iter().filter(|(_, d)| named(d)).collect();
        if own.is_empty() {
            return Ok(());
        }
        let count = Dim::Known(own.len() as i64);
        let buffer = self.add_buffer(Buffer {
            dtype: Some(DType::I64),
            shape: vec![count],
            kind: BufferKind::Temporary,
        });
        let made = {
            let mut p = Pull::new(self, "slice_sizes");
            let shape = p.shape_of(x)?;
            let param = p.parameter(buffer, Access::Write)?;
            let mut body = Vec::new();
            for (place, (i, _)) in own.iter().enumerate() {
                let size = shape[s.axes[*i] as usize].clone();
                let step = s.steps[*i];
                let first = p.bound_of_slice(&s.starts[*i], &size, step)?;
                let last = p.bound_of_slice(&s.ends[*i], &size, step)?;
                let span = if step > 0 { &last - &first } else { &first - &last };
                let width = step.unsigned_abs().max(1) as i64;
                let span = Dim::max(&span, &Dim::Known(0));
                let len = (&span + (width - 1)).floor_div(&Dim::Known(width));
                let value = p.b.index(len);
                body.push(Stmt::Store { param, at: Dim::Known(place as i64), value });
            }
            p.finish(body)
        };
        self.launch(made.0, made.1, made.2);
        let dims = own.into_iter().map(|(_, d)| d).collect();
        self.steps.push(Step::Bind(Binding { buffer, dims }));
        Ok(())
    }

    /// One kernel per operand, each of which writes its part.
    pub(super) fn concat(&mut self, node: &Node, c: &op::Concat) -> Result<(), Stop> {
        let axis = c.axis as usize;
        let operands: Vec<ValueId> = node.inputs().collect();
        for &x in &operands {
            self.tensor(x)?;
            if self.cores.contains_key(&x) {
                self.stored(x)?;
            }
        }
        let (v, out) = self.result(node, 0)?;
        let order = self.order_of(v);
        if let Some(order) = &order {
            self.lay(out, order);
        }
        let mut first = Dim::Known(0);
        for x in operands {
            let size = self.tensor(x)?.shape[axis].clone();
            let made = {
                let mut p = Pull::new(self, "concat");
                let shape = p.shape_of(x)?;
                let (at, axes) = p.space_in(&shape, 1, order.as_deref());
                let val = p.element(x, &at)?;
                let param = p.parameter(out, Access::Write)?;
                let mut to = at;
                let start = p.size(&first);
                to[axis] = &to[axis] + &start;
                let flat = p.place_in(out, &to)?;
                let body = p.store(param, flat, val);
                p.finish(around(axes, body))
            };
            self.launch(made.0, made.1, made.2);
            first = &first + &size;
        }
        Ok(())
    }

    /// The place of the extreme along an axis.
    pub(super) fn arg_reduce(&mut self, node: &Node, a: &op::ArgReduce) -> Result<(), Stop> {
        let x = needed(node.operand(0))?;
        self.tensor(x)?;
        self.settle(x)?;
        let (v, out) = self.result(node, 0)?;
        let made = {
            let mut p = Pull::new(self, "arg_reduce");
            let shape = p.shape_of(x)?;
            let whole = p.shape_of(v)?;
            let (mut at, axes) = p.space(&whole, 1);
            let to = p.flat(&at, &whole)?;
            let axis = a.axis as usize;
            if !a.keepdims {
                at.insert(axis, Dim::Known(0));
            }
            at[axis] = Dim::Known(0);
            let size = shape[axis].clone();
            let first = p.real(x, &at)?;
            let best = p.b.local(p.b.ty(first));
            let place = p.b.local(Scalar::I64);
            let i = p.counter(&size);
            at[axis] = i.clone();
            let here = p.real(x, &at)?;
            let held = p.b.add(Expr::Local(best));
            let better = p.beats(here, held, a.kind, a.select_last);
            let index = p.b.index(i.clone());
            let zero = p.b.index(Dim::Known(0));
            let found = p.b.add(Expr::Local(place));
            let param = p.parameter(out, Access::Write)?;
            let code = p.l.failure("`arg_reduce` of no elements");
            let n = p.b.index(size.clone());
            let some = p.b.binary(BinOp::Lt, zero, n);
            let checked = p.b.add(Expr::Check { ok: some, x: found, code });
            // Nothing is read from an empty axis.
            let none = p.b.constant(Const::from_i128(p.b.ty(first), 0));
            let start = p.b.add(Expr::Guard(some, first, none));
            let body = vec![
                Stmt::Set { local: best, value: start },
                Stmt::Set { local: place, value: zero },
                Stmt::For {
                    var: variable(&i)?,
                    extent: size,
                    kind: LoopKind::Serial,
                    body: vec![Stmt::If {
                        cond: better,
                        then: vec![
                            Stmt::Set { local: best, value: here },
                            Stmt::Set { local: place, value: index },
                        ],
                        otherwise: Vec::new(),
                    }],
                },
                Stmt::Store { param, at: to, value: checked },
            ];
            p.finish(around(axes, body))
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }

    /// Running combinations along an axis.
    pub(super) fn scan_reduce(&mut self, node: &Node, s: &op::ScanReduce) -> Result<(), Stop> {
        let x = needed(node.operand(0))?;
        let dtype = self.tensor(x)?.dtype;
        if dtype.is_complex() || matches!(s.kind, ReduceKind::And | ReduceKind::Or) {
            return Err(Stop::Unsupported("a scan of complex numbers or truth values".into()));
        }
        self.settle(x)?;
        let (_, out) = self.result(node, 0)?;
        let made = {
            let mut p = Pull::new(self, "scan_reduce");
            let shape = p.shape_of(x)?;
            let axis = s.axis as usize;
            let mut outer = shape.clone();
            outer[axis] = Dim::Known(1);
            let (mut at, axes) = p.space(&outer, 1);
            let size = shape[axis].clone();
            let i = p.counter(&size);
            at[axis] = if s.reverse { p.simple(&(&size - 1) - &i)? } else { i.clone() };
            let here = p.real(x, &at)?;
            let ty = p.b.ty(here);
            // Floats narrower than double are summed in double.
            let wide = if ty == Scalar::F32 { Scalar::F64 } else { ty };
            let acc = p.b.local(wide);
            let start = p.b.constant(empty(s.kind, wide, dtype));
            let held = p.b.add(Expr::Local(acc));
            let value = p.b.cast(wide, here);
            let next = p.b.binary(Kernel::combine(s.kind), held, value);
            let shown = p.b.cast(ty, held);
            let shown = p.rounded(dtype, shown);
            let param = p.parameter(out, Access::Write)?;
            let to = p.flat(&at, &shape)?;
            let step = Stmt::Set { local: acc, value: next };
            let store = Stmt::Store { param, at: to, value: shown };
            let each = if s.exclusive { vec![store, step] } else { vec![step, store] };
            let body = vec![
                Stmt::Set { local: acc, value: start },
                Stmt::For { var: variable(&i)?, extent: size, kind: LoopKind::Serial, body: each },
            ];
            p.finish(around(axes, body))
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }

    /// The first `k` of each lane, one after another: each is the best of those that come after
    /// the one before.
    pub(super) fn top_k(&mut self, node: &Node, t: &op::TopK) -> Result<(), Stop> {
        let x = needed(node.operand(0))?;
        let dtype = self.tensor(x)?.dtype;
        if dtype.is_complex() {
            return Err(Stop::Unsupported("`top_k` of complex numbers".into()));
        }
        self.settle(x)?;
        let values = match node.result(0) {
            Some(_) => Some(self.result(node, 0)?),
            None => None,
        };
        let places = match node.result(1) {
            Some(_) => Some(self.result(node, 1)?),
            None => None,
        };
        let Some((any, _)) = values.or(places) else { return Ok(()) };
        let made = {
            let mut p = Pull::new(self, "top_k");
            let shape = p.shape_of(x)?;
            let whole = p.shape_of(any)?;
            let axis = t.axis as usize;
            let size = shape[axis].clone();
            let mut outer = shape.clone();
            outer[axis] = Dim::Known(1);
            let (mut at, axes) = p.space(&outer, 1);
            let i = p.counter(&size);
            at[axis] = i.clone();
            let here = p.real(x, &at)?;
            let ty = p.b.ty(here);
            let (last, last_at) = (p.b.local(ty), p.b.local(Scalar::I64));
            let (best, best_at) = (p.b.local(ty), p.b.local(Scalar::I64));
            let get = |p: &mut Pull<'_, '_>, l: LocalId| p.b.add(Expr::Local(l));
            let (last_v, last_i) = (get(&mut p, last), get(&mut p, last_at));
            let (best_v, best_i) = (get(&mut p, best), get(&mut p, best_at));
            let index = p.b.index(i.clone());
            let (none, zero) = (p.b.index(Dim::Known(-1)), p.b.index(Dim::Known(0)));
            // After the last one taken: worse, or equal and further on.
            let worse = p.ordered_before(last_v, here, t.largest);
            let better = p.ordered_before(here, last_v, t.largest);
            let further = p.b.binary(BinOp::Lt, last_i, index);
            let not_better = p.not(better);
            let tied = p.b.binary(BinOp::And, not_better, further);
            let after = p.b.binary(BinOp::Or, worse, tied);
            let first = p.b.binary(BinOp::Lt, last_i, zero);
            let free = p.b.binary(BinOp::Or, first, after);
            let beats = p.ordered_before(here, best_v, t.largest);
            let unset = p.b.binary(BinOp::Lt, best_i, zero);
            let wins = p.b.binary(BinOp::Or, beats, unset);
            let take = p.b.binary(BinOp::And, free, wins);
            let k = p.size(&t.k);
            let r = p.counter(&k);
            let mut to = at.clone();
            to[axis] = r.clone();
            let to = p.flat(&to, &whole)?;
            let blank = p.b.constant(Const::from_i128(ty, 0));
            let set = |local, value| Stmt::Set { local, value };
            let mut each = vec![
                set(best, blank),
                set(best_at, none),
                Stmt::For {
                    var: variable(&i)?,
                    extent: size,
                    kind: LoopKind::Serial,
                    body: vec![Stmt::If {
                        cond: take,
                        then: vec![set(best, here), set(best_at, index)],
                        otherwise: Vec::new(),
                    }],
                },
            ];
            if let Some((_, b)) = values {
                let param = p.parameter(b, Access::Write)?;
                each.push(Stmt::Store { param, at: to.clone(), value: best_v });
            }
            if let Some((_, b)) = places {
                let param = p.parameter(b, Access::Write)?;
                each.push(Stmt::Store { param, at: to, value: best_i });
            }
            each.extend([set(last, best_v), set(last_at, best_i)]);
            let body = vec![
                set(last, blank),
                set(last_at, none),
                Stmt::For { var: variable(&r)?, extent: k, kind: LoopKind::Serial, body: each },
            ];
            p.finish(around(axes, body))
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }

    /// A copy, into which updates are combined one after another.
    pub(super) fn scatter(&mut self, node: &Node, s: &op::ScatterNd) -> Result<(), Stop> {
        let x = needed(node.operand(0))?;
        let (indices, updates) = (needed(node.operand(1))?, needed(node.operand(2))?);
        let dtype = self.tensor(x)?.dtype;
        if dtype.is_complex() && s.reduction != ScatterReduction::None {
            return Err(Stop::Unsupported("`scatter_nd` that combines complex numbers".into()));
        }
        for v in [x, indices, updates] {
            self.tensor(v)?;
            if self.cores.contains_key(&v) {
                self.settle(v)?;
            }
        }
        let (v, out) = self.result(node, 0)?;
        let copy = {
            let mut p = Pull::new(self, "copy");
            let shape = p.shape_of(x)?;
            let (at, axes) = p.space(&shape, 1);
            let val = p.element(x, &at)?;
            let param = p.parameter(out, Access::Write)?;
            let flat = p.flat(&at, &shape)?;
            let body = p.store(param, flat, val);
            p.finish(around(axes, body))
        };
        self.launch(copy.0, copy.1, copy.2);
        let made = {
            let mut p = Pull::new(self, "scatter_nd");
            let shape = p.shape_of(v)?;
            let index_shape = p.shape_of(indices)?;
            let outer = index_shape.len() - 1;
            let tuple = index_shape[outer].as_known().ok_or_else(|| {
                Stop::NeedsSizes("`scatter_nd`: the length of index tuples".to_owned())
            })? as usize;
            let mut space = index_shape[..outer].to_vec();
            space.extend_from_slice(&shape[tuple..]);
            let (at, axes) = p.space(&space, 1);
            let mut to = Vec::with_capacity(shape.len());
            for (j, size) in shape.iter().enumerate().take(tuple) {
                let mut place = at[..outer].to_vec();
                place.push(Dim::Known(j as i64));
                let index = p.real(indices, &place)?;
                to.push(p.checked_index(index, size)?);
            }
            to.extend_from_slice(&at[outer..]);
            let update = p.element(updates, &at)?;
            let param = p.parameter(out, Access::ReadWrite)?;
            let flat = p.flat(&to, &shape)?;
            let val = match (update, s.reduction) {
                (update, ScatterReduction::None) => update,
                (update, kind) => {
                    let held = p.b.load(param, flat.clone());
                    let op = match kind {
                        ScatterReduction::Add => BinOp::Add,
                        ScatterReduction::Mul => BinOp::Mul,
                        ScatterReduction::Min => BinOp::Min,
                        ScatterReduction::Max | ScatterReduction::None => BinOp::Max,
                    };
                    let op = if dtype == DType::Bool && op == BinOp::Add { BinOp::Or } else { op };
                    let y = p.b.binary(op, held, update.real()?);
                    Val::Real(p.rounded(dtype, y))
                }
            };
            let body = p.store(param, flat, val);
            // Updates may meet: their order counts.
            let mut nest = around(axes, body);
            serial(&mut nest);
            p.finish(nest)
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }
}

/// Makes all loops run in order.
fn serial(body: &mut [Stmt]) {
    for stmt in body {
        if let Stmt::For { kind, body, .. } = stmt {
            *kind = LoopKind::Serial;
            serial(body);
        }
    }
}

/// The variable of an index.
pub(super) fn variable(index: &Dim) -> Result<crate::ir::Var, Stop> {
    index.as_symbol().ok_or(Stop::TooComplex)
}

/// What an exclusive scan starts from.
fn empty(kind: ReduceKind, ty: Scalar, dtype: DType) -> Const {
    if let (ReduceKind::Max | ReduceKind::Min, Some((low, high))) = (kind, dtype.int_range()) {
        return Const::from_i128(ty, if kind == ReduceKind::Max { low } else { high });
    }
    Kernel::neutral(kind, ty)
}

impl Pull<'_, '_> {
    /// Whether an element takes the place of the extreme so far; NaN beats all.
    fn beats(&mut self, x: ExprId, best: ExprId, kind: ArgKind, ties: bool) -> ExprId {
        let (less, more) = match kind {
            ArgKind::Max => (best, x),
            ArgKind::Min => (x, best),
        };
        let op = if ties { BinOp::Le } else { BinOp::Lt };
        let wins = self.b.binary(op, less, more);
        if !self.b.ty(x).is_float() {
            return wins;
        }
        let x_nan = self.b.unary(UnOp::IsNan, x);
        let best_nan = self.b.unary(UnOp::IsNan, best);
        if ties {
            return self.b.binary(BinOp::Or, wins, x_nan);
        }
        let held = self.not(best_nan);
        let first = self.b.binary(BinOp::And, x_nan, held);
        self.b.binary(BinOp::Or, wins, first)
    }

    /// Whether one element comes strictly before another; NaN counts as the greatest.
    fn ordered_before(&mut self, a: ExprId, b: ExprId, largest: bool) -> ExprId {
        let (small, great) = if largest { (b, a) } else { (a, b) };
        let less = self.b.binary(BinOp::Lt, small, great);
        if !self.b.ty(a).is_float() {
            return less;
        }
        let great_nan = self.b.unary(UnOp::IsNan, great);
        let small_nan = self.b.unary(UnOp::IsNan, small);
        let small_is = self.not(small_nan);
        let by_nan = self.b.binary(BinOp::And, great_nan, small_is);
        self.b.binary(BinOp::Or, less, by_nan)
    }
}
