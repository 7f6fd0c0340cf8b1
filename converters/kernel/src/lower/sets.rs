//! Ops whose results are as long as the data says: one kernel finds how long, the sizes are
//! bound, and another one writes the result.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::op::{self, ReduceKind};

use super::code::{each, either, repeat, set, when};
use super::compute::needed;
use super::nest::Axis;
use super::pull::Pull;
use super::{Lowerer, Stop};
use crate::ir::{
    Access, BinOp, Binding, BufferId, BufferKind, Expr, ExprId, LocalId, Scalar, Step, Stmt, UnOp,
};

/// The statements that set a local to whether one item comes strictly before another.
type Before<'c> =
    dyn FnMut(&mut Pull<'_, '_>, ExprId, ExprId, LocalId) -> Result<Vec<Stmt>, Stop> + 'c;

impl Lowerer<'_> {
    /// Operands that kernels read again and again, in memory.
    fn in_memory(&mut self, node: &Node) -> Result<(), Stop> {
        for v in node.inputs() {
            if self.tensor(v)?.dtype.is_complex() {
                return Err(Stop::Unsupported("complex numbers".to_owned()));
            }
        }
        for v in node.inputs() {
            self.settle(v)?;
        }
        Ok(())
    }

    /// Notes that a size that the data decides is at most another one.
    fn at_most(&mut self, size: &Dim, most: &Dim) {
        let (Some(symbol), Some(most)) = (size.as_symbol(), most.as_known()) else { return };
        if let Some(size) = self.program.sizes.get_mut(symbol.0 as usize) {
            size.range.max = Some(size.range.max.map_or(most, |m| m.min(most)));
        }
    }

    /// The places of the elements that are not zero.
    pub(super) fn nonzero(&mut self, node: &Node) -> Result<(), Stop> {
        self.in_memory(node)?;
        let x = needed(node.operand(0))?;
        let v = needed(node.result(0))?;
        let found = self.tensor(v)?.shape[1].clone();
        let most = numel(&self.tensor(x)?.shape);
        self.at_most(&found, &most);
        let count = self.scratch(DType::I64, vec![Dim::Known(1)]);
        let made = {
            let mut p = Pull::new(self, "nonzero_count");
            let (_, axes, hit) = p.nonzero_walk(x)?;
            let mut total = p.b.cast(Scalar::I64, hit);
            if !axes.is_empty() {
                total = p.b.add(Expr::Reduce { kind: ReduceKind::Sum, axes, x: total });
            }
            let param = p.parameter(count, Access::Write)?;
            p.finish(vec![Stmt::Store { param, at: Dim::Known(0), value: total }])
        };
        self.launch(made.0, made.1, made.2);
        self.steps.push(Step::Bind(Binding { buffer: count, dims: vec![found] }));
        let out = self.new_buffer(v, BufferKind::Temporary)?;
        let made = {
            let mut p = Pull::new(self, "nonzero");
            let (at, axes, hit) = p.nonzero_walk(x)?;
            let whole = p.shape_of(v)?;
            let place = p.b.local(Scalar::I64);
            let (held, one) = (p.get(place), p.int(1));
            let next = p.plus(held, one);
            let param = p.parameter(out, Access::Write)?;
            let column = p.b.index_of(held);
            let mut store = Vec::with_capacity(at.len() + 1);
            for (axis, index) in at.iter().enumerate() {
                let line = &Dim::Known(axis as i64) * &whole[1];
                let value = p.b.index(index.clone());
                store.push(Stmt::Store { param, at: &line + &column, value });
            }
            store.push(set(place, next));
            let mut body = vec![when(hit, store)];
            for (var, extent) in axes.into_iter().rev() {
                body = vec![each(&Dim::symbol(var), extent, body)?];
            }
            p.finish(body)
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }

    /// The distinct elements, or slices along an axis.
    pub(super) fn unique(&mut self, node: &Node, op: &op::Unique) -> Result<(), Stop> {
        self.in_memory(node)?;
        let x = needed(node.operand(0))?;
        let shape = self.tensor(x)?.shape.to_vec();
        let axis = op.axis.map(|a| a as usize);
        let (before, size, after) = match axis {
            None => (Dim::Known(1), numel(&shape), Dim::Known(1)),
            Some(a) if a < shape.len() => {
                (numel(&shape[..a]), shape[a].clone(), numel(&shape[a + 1..]))
            }
            Some(a) => return Err(Stop::Unsupported(format!("axis {a}"))),
        };
        let spans = Spans { before, size: size.clone(), after, scalar: axis.is_none() };
        let whole = |l: &mut Self| l.scratch(DType::I64, vec![size.clone()]);
        let (first, group, sizes, rank) = (whole(self), whole(self), whole(self), whole(self));
        let items = self.scratch(DType::I64, vec![&size * 2]);
        let count = self.scratch(DType::I64, vec![Dim::Known(1)]);
        let made = {
            let p = Pull::new(self, "unique_groups");
            p.groups(x, &spans, op.sorted, [items, first, group, sizes, rank, count])?
        };
        self.launch(made.0, made.1, made.2);
        // Sizes that no result has are not bound.
        let along = |l: &Self, slot: usize, axis: usize| -> Result<Dim, Stop> {
            match node.result(slot) {
                Some(v) => Ok(l.tensor(v)?.shape[axis].clone()),
                None => Ok(Dim::Known(0)),
            }
        };
        let dims = [along(self, 0, axis.unwrap_or(0))?, along(self, 1, 0)?, along(self, 3, 0)?];
        for (slot, dim) in [0, 1, 3].into_iter().zip(dims) {
            if node.result(slot).is_some() {
                self.at_most(&dim, &size);
                self.steps.push(Step::Bind(Binding { buffer: count, dims: vec![dim] }));
            }
        }
        let mut outs = Vec::new();
        for slot in 0..4 {
            outs.push(match node.result(slot) {
                Some(v) => Some(self.new_buffer(v, BufferKind::Temporary)?),
                None => None,
            });
        }
        let made = {
            let p = Pull::new(self, "unique");
            p.distinct(x, &spans, [first, group, sizes, rank, count], &outs)?
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }

    /// Boxes kept by greedy suppression.
    pub(super) fn suppression(
        &mut self,
        node: &Node,
        op: &op::NonMaxSuppression,
    ) -> Result<(), Stop> {
        self.in_memory(node)?;
        let (boxes, scores) = (needed(node.operand(0))?, needed(node.operand(1))?);
        let v = needed(node.result(0))?;
        let found = self.tensor(v)?.shape[0].clone();
        let shape = self.tensor(scores)?.shape.to_vec();
        let boxes_count = shape[2].clone();
        self.at_most(&found, &numel(&shape));
        let items = self.scratch(DType::I64, vec![&boxes_count * 2]);
        let picked = self.scratch(DType::I64, vec![numel(&shape), Dim::Known(3)]);
        let count = self.scratch(DType::I64, vec![Dim::Known(1)]);
        let made = {
            let p = Pull::new(self, "suppression");
            p.suppressed(node, [boxes, scores], op.center_point_box, [items, picked, count])?
        };
        self.launch(made.0, made.1, made.2);
        self.steps.push(Step::Bind(Binding { buffer: count, dims: vec![found] }));
        let out = self.new_buffer(v, BufferKind::Temporary)?;
        let made = {
            let mut p = Pull::new(self, "copy");
            let whole = p.shape_of(v)?;
            let (at, axes) = p.space(&whole, 1);
            let place = p.flat(&at, &whole)?;
            let source = p.parameter(picked, Access::Read)?;
            let param = p.parameter(out, Access::Write)?;
            let value = p.b.load(source, place.clone());
            p.finish(super::nest::around(axes, vec![Stmt::Store { param, at: place, value }]))
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }
}

/// How the slices that are compared lie: each is `before` times `after` elements.
struct Spans {
    before: Dim,
    size: Dim,
    after: Dim,
    scalar: bool,
}

/// A box as two corners.
#[derive(Clone, Copy)]
struct Corners {
    low: [ExprId; 2],
    high: [ExprId; 2],
}

impl Pull<'_, '_> {
    /// Coordinates over a value with the counters that run over them, and whether the element
    /// there differs from zero.
    fn nonzero_walk(&mut self, x: ValueId) -> Result<(Vec<Dim>, Vec<Axis>, ExprId), Stop> {
        let shape = self.shape_of(x)?;
        let mut axes = Vec::new();
        let at: Vec<Dim> = shape.iter().map(|n| self.reduction_index(n, &mut axes)).collect();
        let element = self.real(x, &at)?;
        let hit = match self.b.ty(element) {
            Scalar::Bool => element,
            ty => {
                let zero = self.b.constant(crate::ir::Const::from_i128(ty, 0));
                let same = self.equals(element, zero);
                self.not(same)
            }
        };
        Ok((at, axes, hit))
    }

    /// Sorts the first `count` items of a buffer that has room for twice as many, keeping the
    /// order of equal ones: bottom-up merging from one half of the buffer to the other. Gives
    /// the statements and the start of the half that the sorted items are in.
    fn sorted(
        &mut self,
        items: u32,
        room: &Dim,
        count: ExprId,
        before: &mut Before<'_>,
    ) -> Result<(Vec<Stmt>, ExprId), Stop> {
        let locals: Vec<LocalId> = (0..8).map(|_| self.b.local(Scalar::I64)).collect();
        let [width, from, to, start, i, j, k, swap] = locals[..] else {
            return Err(Stop::TooComplex);
        };
        let takes = self.b.local(Scalar::Bool);
        let [w, f, t, s, iv, jv, kv, sw] =
            [width, from, to, start, i, j, k, swap].map(|l| self.get(l));
        let take = self.get(takes);
        let (one, two, zero) = (self.int(1), self.int(2), self.int(0));
        let yes = self.b.constant(crate::ir::Const::bool(true));
        let no = self.b.constant(crate::ir::Const::bool(false));
        let far = self.plus(s, w);
        let middle = self.b.binary(BinOp::Min, far, count);
        let double = self.times(w, two);
        let far = self.plus(s, double);
        let end = self.b.binary(BinOp::Min, far, count);
        let (left_at, right_at) = (self.plus(f, iv), self.plus(f, jv));
        let (left, right) = (self.load_at(items, left_at), self.load_at(items, right_at));
        let compare = before(self, right, left, takes)?;
        let (no_left, no_right) = (self.at_most(middle, iv), self.at_most(end, jv));
        let choose = either(
            no_left,
            vec![set(takes, yes)],
            vec![either(no_right, vec![set(takes, no)], compare)],
        );
        let target = self.plus(t, kv);
        let next_i = self.plus(iv, one);
        let next_j = self.plus(jv, one);
        let next_k = self.plus(kv, one);
        let put = either(
            take,
            vec![self.store_at(items, target, right), set(j, next_j)],
            vec![self.store_at(items, target, left), set(i, next_i)],
        );
        let more = self.less(kv, end);
        let merge = repeat(more, vec![choose, put, set(k, next_k)]);
        let runs_left = self.less(s, count);
        let pass =
            repeat(runs_left, vec![set(i, s), set(j, middle), set(k, s), merge, set(start, end)]);
        let unsorted = self.less(w, count);
        let room = self.b.index(room.clone());
        let turn = vec![
            set(start, zero),
            pass,
            set(swap, f),
            set(from, t),
            set(to, sw),
            set(width, double),
        ];
        let all = vec![set(width, one), set(from, zero), set(to, room), repeat(unsorted, turn)];
        Ok((all, f))
    }

    /// Whether one element comes before another, NaN last.
    fn precedes(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let ty = self.b.ty(a);
        if ty == Scalar::Bool {
            let not = self.not(a);
            return self.and(not, b);
        }
        let less = self.less(a, b);
        if !ty.is_float() {
            return less;
        }
        let (a_nan, b_nan) = (self.b.unary(UnOp::IsNan, a), self.b.unary(UnOp::IsNan, b));
        let number = self.not(a_nan);
        let last = self.and(number, b_nan);
        self.or(less, last)
    }

    /// Sets a local to whether a slice comes before another.
    fn slice_precedes(
        &mut self,
        x: ValueId,
        spans: &[Dim; 3],
        scalar: bool,
        [a, b]: [ExprId; 2],
        result: LocalId,
    ) -> Result<Vec<Stmt>, Stop> {
        let [before, size, after] = spans;
        let buffer = self.l.place(x)?;
        let super::Place::Buffer(buffer) = buffer else { return Err(Stop::TooComplex) };
        let param = self.reads(buffer)?;
        if scalar {
            let (x, y) = (self.load_at(param, a), self.load_at(param, b));
            let precedes = self.precedes(x, y);
            return Ok(vec![set(result, precedes)]);
        }
        let place = self.b.local(Scalar::I64);
        let (at, open) = (self.get(place), self.b.local(Scalar::Bool));
        let still = self.get(open);
        let yes = self.b.constant(crate::ir::Const::bool(true));
        let no = self.b.constant(crate::ir::Const::bool(false));
        let (zero, one) = (self.int(0), self.int(1));
        let total = self.b.index(before * after);
        let (size, after) = (self.b.index(size.clone()), self.b.index(after.clone()));
        let outer = self.b.binary(BinOp::FloorDiv, at, after);
        let inner = self.b.binary(BinOp::FloorRem, at, after);
        let element = |p: &mut Self, item: ExprId| {
            let line = p.times(outer, size);
            let line = p.plus(line, item);
            let line = p.times(line, after);
            let place = p.plus(line, inner);
            p.load_at(param, place)
        };
        let (x, y) = (element(self, a), element(self, b));
        let (less, more) = (self.precedes(x, y), self.precedes(y, x));
        let inside = self.less(at, total);
        let go = self.and(still, inside);
        let next = self.plus(at, one);
        let step = either(
            less,
            vec![set(result, yes), set(open, no)],
            vec![either(more, vec![set(open, no)], vec![set(place, next)])],
        );
        Ok(vec![set(result, no), set(open, yes), set(place, zero), repeat(go, vec![step])])
    }

    /// Sorts the slices and numbers the groups of equal ones.
    fn groups(
        mut self,
        x: ValueId,
        spans: &Spans,
        sorted: bool,
        [items, first, group, sizes, rank, count]: [BufferId; 6],
    ) -> Result<super::Made, Stop> {
        let dims = [&spans.before, &spans.size, &spans.after].map(|d| self.size(d));
        let n = dims[1].clone();
        let items = self.parameter(items, Access::ReadWrite)?;
        let [first, group, sizes, rank] = {
            let mut all = [0; 4];
            for (slot, b) in all.iter_mut().zip([first, group, sizes, rank]) {
                *slot = self.parameter(b, Access::ReadWrite)?;
            }
            all
        };
        let out = self.parameter(count, Access::Write)?;
        let t = self.counter(&n);
        let index = self.b.index(t.clone());
        let fill = Stmt::Store { param: items, at: t.clone(), value: index };
        let mut body = vec![each(&t, n.clone(), vec![fill])?];
        let total = self.b.index(n.clone());
        let (scalar, spanned) = (spans.scalar, dims.clone());
        let (sort, from) = self.sorted(items, &n, total, &mut |p, a, b, to| {
            p.slice_precedes(x, &spanned, scalar, [a, b], to)
        })?;
        body.extend(sort);
        // Equal slices are neighbours now, the one that occurs first ahead.
        let (groups, item, last) =
            (self.b.local(Scalar::I64), self.b.local(Scalar::I64), self.b.local(Scalar::I64));
        let starts = self.b.local(Scalar::Bool);
        let [g, here, before] = [groups, item, last].map(|l| self.get(l));
        let new = self.get(starts);
        let (zero, one) = (self.int(0), self.int(1));
        let i = self.counter(&n);
        let i_index = self.b.index(i.clone());
        let at = self.plus(from, i_index);
        let value = self.load_at(items, at);
        let compare = self.slice_precedes(x, &dims, scalar, [before, here], starts)?;
        let begins = self.at_most(i_index, zero);
        let yes = self.b.constant(crate::ir::Const::bool(true));
        let own = self.minus(g, one);
        let held = self.load_at(sizes, own);
        let more = self.plus(held, one);
        let next = self.plus(g, one);
        let open =
            vec![self.store_at(first, g, here), self.store_at(sizes, g, zero), set(groups, next)];
        let count_one =
            vec![self.store_at(sizes, own, more), self.store_at(group, here, own), set(last, here)];
        let mut line = vec![
            set(item, value),
            either(begins, vec![set(starts, yes)], compare),
            when(new, open),
        ];
        line.extend(count_one);
        body.push(set(groups, zero));
        body.push(each(&i, n.clone(), line)?);
        body.push(Stmt::Store { param: out, at: Dim::Known(0), value: g });
        // The place of each group in the results.
        let t = self.counter(&n);
        let index = self.b.index(t.clone());
        if sorted {
            let same = Stmt::Store { param: rank, at: t.clone(), value: index };
            body.push(each(&t, n, vec![same])?);
        } else {
            let place = self.b.local(Scalar::I64);
            let held = self.get(place);
            let next = self.plus(held, one);
            let own = self.b.load(group, t.clone());
            let begin = self.load_at(first, own);
            let is = self.equals(begin, index);
            let number = vec![self.store_at(rank, own, held), set(place, next)];
            body.push(each(&t, n, vec![when(is, number)])?);
        }
        Ok(self.finish(body))
    }

    /// Writes the distinct slices and what is known of them.
    fn distinct(
        mut self,
        x: ValueId,
        spans: &Spans,
        [first, group, sizes, rank, count]: [BufferId; 5],
        outs: &[Option<BufferId>],
    ) -> Result<super::Made, Stop> {
        let [before, size, after] =
            [&spans.before, &spans.size, &spans.after].map(|d| self.size(d));
        let out = |slot: usize| outs.get(slot).copied().flatten();
        let mut read = [0; 5];
        for (slot, b) in read.iter_mut().zip([first, group, sizes, rank, count]) {
            *slot = self.parameter(b, Access::Read)?;
        }
        let [first, group, sizes, rank, count] = read;
        let groups = self.b.load(count, Dim::Known(0));
        let groups = self.b.index_of(groups);
        let g = self.counter(&groups);
        let g_index = self.b.index(g.clone());
        let place = self.load_at(rank, g_index);
        let item = self.load_at(first, g_index);
        let mut line = Vec::new();
        if let Some(out) = out(0) {
            let source = match self.l.place(x)? {
                super::Place::Buffer(buffer) => self.reads(buffer)?,
                super::Place::Inline(_) => return Err(Stop::TooComplex),
            };
            let param = self.parameter(out, Access::Write)?;
            let (b, a) = (self.counter(&before), self.counter(&after));
            let (place, item) = (self.b.index_of(place), self.b.index_of(item));
            let from = &(&(&(&b * &size) + &item) * &after) + &a;
            let to = &(&(&(&b * &groups) + &place) * &after) + &a;
            let value = self.b.load(source, from);
            let copy = vec![Stmt::Store { param, at: to, value }];
            line.push(each(&b, before, vec![each(&a, after, copy)?])?);
        }
        if let Some(out) = out(1) {
            let param = self.parameter(out, Access::Write)?;
            line.push(self.store_at(param, place, item));
        }
        if let Some(out) = out(3) {
            let param = self.parameter(out, Access::Write)?;
            let value = self.load_at(sizes, g_index);
            line.push(self.store_at(param, place, value));
        }
        let mut body = vec![each(&g, groups, line)?];
        if let Some(out) = out(2) {
            let param = self.parameter(out, Access::Write)?;
            let t = self.counter(&size);
            let own = self.b.load(group, t.clone());
            let value = self.load_at(rank, own);
            body.push(each(&t, size, vec![Stmt::Store { param, at: t.clone(), value }])?);
        }
        Ok(self.finish(body))
    }

    /// One number, or another one when it is absent.
    fn scalar_or(&mut self, v: Option<ValueId>, ty: Scalar) -> Result<Option<ExprId>, Stop> {
        let Some(v) = v else { return Ok(None) };
        let at = vec![Dim::Known(0); self.l.tensor(v)?.shape.len()];
        let x = self.real(v, &at)?;
        Ok(Some(self.b.cast(ty, x)))
    }

    /// The corners of a box that begins at an element.
    fn corners(&mut self, boxes: u32, at: &Dim, centre: bool) -> Corners {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| {
            let x = self.b.load(boxes, at + i);
            self.b.cast(Scalar::F32, x)
        });
        if !centre {
            let pair = |p: &mut Self, op| [p.b.binary(op, a, c), p.b.binary(op, b, d)];
            return Corners { low: pair(self, BinOp::MinNum), high: pair(self, BinOp::MaxNum) };
        }
        let two = self.number(Scalar::F32, 2.0);
        let (w, h) = (self.over(c, two), self.over(d, two));
        Corners {
            low: [self.minus(a, w), self.minus(b, h)],
            high: [self.plus(a, w), self.plus(b, h)],
        }
    }

    fn area(&mut self, c: &Corners) -> ExprId {
        let (w, h) = (self.minus(c.high[0], c.low[0]), self.minus(c.high[1], c.low[1]));
        self.times(w, h)
    }

    /// Whether the common part of two boxes, as a part of both, is above a threshold.
    fn overlaps(&mut self, a: &Corners, b: &Corners, threshold: ExprId) -> ExprId {
        let side = |p: &mut Self, i: usize| {
            let high = p.b.binary(BinOp::MinNum, a.high[i], b.high[i]);
            let low = p.b.binary(BinOp::MaxNum, a.low[i], b.low[i]);
            p.minus(high, low)
        };
        let (w, h) = (side(self, 0), side(self, 1));
        let common = self.times(w, h);
        let (first, second) = (self.area(a), self.area(b));
        let sum = self.plus(first, second);
        let union = self.minus(sum, common);
        let zero = self.number(Scalar::F32, 0.0);
        let ratio = self.over(common, union);
        let above = self.less(threshold, ratio);
        [w, h, common, first, second, union].into_iter().fold(above, |all, x| {
            let none = self.at_most(x, zero);
            let some = self.not(none);
            self.and(all, some)
        })
    }

    /// Picks boxes: per batch and class from the highest score down.
    fn suppressed(
        mut self,
        node: &Node,
        [boxes, scores]: [ValueId; 2],
        centre: bool,
        [items, picked, count]: [BufferId; 3],
    ) -> Result<super::Made, Stop> {
        let shape = self.shape_of(scores)?;
        let [batches, classes, n] = shape.clone().try_into().map_err(|_| Stop::TooComplex)?;
        let (zero, one) = (self.int(0), self.int(1));
        let none = self.number(Scalar::F32, 0.0);
        let most = self.scalar_or(node.operand(2), Scalar::I64)?.unwrap_or(zero);
        let threshold = self.scalar_or(node.operand(3), Scalar::F32)?.unwrap_or(none);
        let least = self.scalar_or(node.operand(4), Scalar::F32)?;
        let super::Place::Buffer(boxes) = self.l.place(boxes)? else {
            return Err(Stop::TooComplex);
        };
        let super::Place::Buffer(scores) = self.l.place(scores)? else {
            return Err(Stop::TooComplex);
        };
        let (boxes, scores) = (self.reads(boxes)?, self.reads(scores)?);
        let items = self.parameter(items, Access::ReadWrite)?;
        let picked = self.parameter(picked, Access::ReadWrite)?;
        let count = self.parameter(count, Access::Write)?;
        let (b, c) = (self.counter(&batches), self.counter(&classes));
        let line = self.flat(&[b.clone(), c.clone(), Dim::Known(0)], &shape)?;
        let found = self.b.local(Scalar::I64);
        let (total, start, kept) =
            (self.b.local(Scalar::I64), self.b.local(Scalar::I64), self.b.local(Scalar::I64));
        let free = self.b.local(Scalar::Bool);
        let (total_v, found_v) = (self.get(total), self.get(found));
        // The boxes with a score that counts.
        let i = self.counter(&n);
        let i_index = self.b.index(i.clone());
        let score = self.b.load(scores, &line + &i);
        let score = self.b.cast(Scalar::F32, score);
        let next = self.plus(found_v, one);
        let put = vec![self.store_at(items, found_v, i_index), set(found, next)];
        let list = match least {
            Some(least) => {
                let high = self.less(least, score);
                vec![when(high, put)]
            }
            None => put,
        };
        let mut body = vec![set(found, zero), each(&i, n.clone(), list)?];
        let line_of = line.clone();
        let (sort, from) = self.sorted(items, &n, found_v, &mut |p, a, b, to| {
            let score = |p: &mut Pull<'_, '_>, item: ExprId| {
                let item = p.b.index_of(item);
                let x = p.b.load(scores, &line_of + &item);
                p.b.cast(Scalar::F32, x)
            };
            let (a, b) = (score(p, a), score(p, b));
            let higher = p.less(b, a);
            Ok(vec![set(to, higher)])
        })?;
        body.extend(sort);
        // One after another, unless it overlaps with one that is kept.
        let at = self.b.local(Scalar::I64);
        let (place, first, k) = (self.get(at), self.get(start), self.get(kept));
        let item_at = self.plus(from, place);
        let item = self.load_at(items, item_at);
        let item_dim = self.b.index_of(item);
        let boxes_line = self.simple(&b * &n)?;
        let own = self.corners(boxes, &(&(&boxes_line + &item_dim) * 4), centre);
        let k_at = self.b.index_of(k);
        let other = self.b.load(picked, &(&k_at * 3) + 2);
        let other = self.b.index_of(other);
        let other = self.corners(boxes, &(&(&boxes_line + &other) * 4), centre);
        let overlap = self.overlaps(&other, &own, threshold);
        let clear = self.not(overlap);
        let free_v = self.get(free);
        let yes = self.b.constant(crate::ir::Const::bool(true));
        let more_kept = self.less(k, total_v);
        let go = self.and(free_v, more_kept);
        let next_k = self.plus(k, one);
        let check = repeat(go, vec![set(free, clear), set(kept, next_k)]);
        let total_at = self.b.index_of(total_v);
        let (b_index, c_index) = (self.b.index(b.clone()), self.b.index(c.clone()));
        let next_total = self.plus(total_v, one);
        let mut keep: Vec<Stmt> = [b_index, c_index, item]
            .into_iter()
            .zip(0..)
            .map(|(value, i)| Stmt::Store { param: picked, at: &(&total_at * 3) + i, value })
            .collect();
        keep.push(set(total, next_total));
        let next_at = self.plus(place, one);
        let here = self.minus(total_v, first);
        let room = self.less(here, most);
        let left = self.less(place, found_v);
        let go = self.and(room, left);
        let turn =
            vec![set(free, yes), set(kept, first), check, when(free_v, keep), set(at, next_at)];
        body.extend([set(start, total_v), set(at, zero), repeat(go, turn)]);
        let body = vec![each(&b, batches, vec![each(&c, classes, body)?])?];
        let mut all = body;
        all.push(Stmt::Store { param: count, at: Dim::Known(0), value: total_v });
        Ok(self.finish(all))
    }
}
