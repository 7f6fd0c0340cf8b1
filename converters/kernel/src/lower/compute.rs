//! The expression of each op's result at given coordinates.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::op::{self, AutoPad, CastRounding, Op, PadMode, ReduceKind};

use super::pull::{Pull, Val, scalar_of};
use super::{Place, Stop};
use crate::ir::{BinOp, Const, Expr, ExprId, Scalar, UnOp};

impl Pull<'_, '_> {
    /// A value that is not in memory, at coordinates.
    pub fn computed(&mut self, v: ValueId, at: &[Dim]) -> Result<Val, Stop> {
        let Place::Inline(id) = self.l.place(v)? else { return self.element(v, at) };
        self.computed_by(id, v, at)
    }

    /// The result of a node at coordinates, wherever the value is.
    pub fn computed_by(
        &mut self,
        id: airconv_ir::entity::NodeId,
        v: ValueId,
        at: &[Dim],
    ) -> Result<Val, Stop> {
        let node = self.l.f.nodes[id].clone();
        let dtype = self.l.tensor(v)?.dtype;
        let x = node.operand(0);
        match &node.op {
            Op::Transpose(t) => {
                let mut from = vec![Dim::Known(0); at.len()];
                for (i, &p) in t.perm.iter().enumerate() {
                    from[p as usize] = at[i].clone();
                }
                self.element(needed(x)?, &from)
            }
            Op::Broadcast(_) => {
                let x = needed(x)?;
                let shape = self.l.tensor(x)?.shape.clone();
                let skip = at.len() - shape.len();
                let from: Vec<Dim> = shape
                    .iter()
                    .zip(&at[skip..])
                    .zip(&self.l.tensor(v)?.shape[skip..])
                    .map(|((d, i), to)| self.broadcast_index(d, to, i))
                    .collect::<Result<_, _>>()?;
                self.element(x, &from)
            }
            Op::Reshape(_) => {
                let x = needed(x)?;
                let to = self.shape_of(v)?;
                if let Place::Buffer(b) = self.l.place(x)?
                    && !self.l.orders.contains_key(&b)
                {
                    let flat = self.flat(at, &to)?;
                    return self.element_flat(x, &flat);
                }
                let from = self.shape_of(x)?;
                let at = self.reshaped(at, &to, &from)?;
                self.element(x, &at)
            }
            Op::Slice(s) => self.slice(needed(x)?, s, at),
            Op::Pad(p) => self.pad(&node, p, at),
            Op::Iota(i) => {
                let index = self.b.index(at[i.axis as usize].clone());
                self.converted(DType::I64, i.dtype, Val::Real(index), true, CastRounding::Nearest)
            }
            Op::DimValue(d) => {
                let dims = self.shape(&d.dims);
                if d.scalar {
                    return Ok(Val::Real(self.b.index(dims[0].clone())));
                }
                let mut found = self.b.index(dims.last().cloned().unwrap_or(Dim::Known(0)));
                for (i, dim) in dims.iter().enumerate().rev().skip(1) {
                    let (here, want) =
                        (self.b.index(at[0].clone()), self.b.index(Dim::Known(i as i64)));
                    let is = self.b.binary(BinOp::Eq, here, want);
                    let this = self.b.index(dim.clone());
                    found = self.b.add(Expr::Select(is, this, found));
                }
                Ok(Val::Real(found))
            }
            Op::GatherNd(g) => self.gather(&node, g, at),
            Op::Reduce(r) => self.reduce(needed(x)?, r, dtype, at),
            Op::ReduceWindow(w) => self.reduce_window(needed(x)?, w, dtype, at),
            Op::Contract(c) => self.contract(&node, c, dtype, at),
            Op::Conv(c) => self.conv(&node, c, dtype, at),
            Op::Fft(f) => self.fft(needed(x)?, f, dtype, at),
            Op::Assert(_) => self.element(needed(node.operand(1))?, at),
            Op::Cast(c) => {
                let from = self.l.tensor(needed(x)?)?.dtype;
                let val = self.element(needed(x)?, at)?;
                self.converted(from, c.to, val, c.saturate, c.rounding)
            }
            Op::Bitcast(c) => self.bitcast(needed(x)?, c.to, at),
            Op::Complex(_) => {
                let re = self.real(needed(x)?, at)?;
                let im = self.real(needed(node.operand(1))?, at)?;
                Ok(Val::Complex(re, im))
            }
            Op::Real(_) => {
                let z = self.element(needed(x)?, at)?;
                Ok(Val::Real(self.parts(z).0))
            }
            Op::Imag(_) => {
                let z = self.element(needed(x)?, at)?;
                Ok(Val::Real(self.parts(z).1))
            }
            Op::Select(_) => {
                let c = self.real(needed(x)?, at)?;
                let a = self.element(needed(node.operand(1))?, at)?;
                let b = self.element(needed(node.operand(2))?, at)?;
                Ok(match (a, b) {
                    (Val::Real(a), Val::Real(b)) => Val::Real(self.b.add(Expr::Select(c, a, b))),
                    (a, b) => {
                        let ((ar, ai), (br, bi)) = (self.parts(a), self.parts(b));
                        let re = self.b.add(Expr::Select(c, ar, br));
                        Val::Complex(re, self.b.add(Expr::Select(c, ai, bi)))
                    }
                })
            }
            Op::Rng(op) => self.drawn(op, at),
            Op::LabelEncoder(op) => match self.l.tables.get(&id) {
                Some(table) => self.looked_up(needed(x)?, table, at),
                None => Err(Stop::Unsupported(format!("the table {}", op.keys))),
            },
            op => self.elementwise(&node, op, dtype, at),
        }
    }

    /// The index into an axis that is broadcast.
    fn broadcast_index(&mut self, from: &Dim, to: &Dim, i: &Dim) -> Result<Dim, Stop> {
        if from.as_known() == Some(1) {
            return Ok(Dim::Known(0));
        }
        if from == to || from.as_known().is_some() {
            return Ok(i.clone());
        }
        // A symbolic size that may be 1: the index is taken modulo it.
        let size = self.size(from);
        let range = size.range(&|v| self.range(v));
        if range.min.is_some_and(|m| m > 1) {
            return Ok(i.clone());
        }
        self.simple(Dim::min(i, &(&size - 1)))
    }

    fn slice(&mut self, x: ValueId, s: &op::Slice, at: &[Dim]) -> Result<Val, Stop> {
        let shape = self.shape_of(x)?;
        let mut from = at.to_vec();
        for (((&axis, start), _), &step) in s.axes.iter().zip(&s.starts).zip(&s.ends).zip(&s.steps)
        {
            let axis = axis as usize;
            let size = &shape[axis];
            let first = self.bound_of_slice(start, size, step)?;
            from[axis] = self.simple(&first + &(&at[axis] * step))?;
        }
        self.element(x, &from)
    }

    /// A bound of a slice as an index: negative ones count from the end, and what lies beyond
    /// the ends is held to them.
    pub fn bound_of_slice(&mut self, bound: &Dim, size: &Dim, step: i64) -> Result<Dim, Stop> {
        let bound = self.size(bound);
        let range = bound.range(&|v| self.range(v));
        let at = if range.min.is_some_and(|m| m >= 0) {
            bound
        } else if range.max.is_some_and(|m| m < 0) {
            &bound + size
        } else {
            // The sign is not known before the run.
            let e = self.b.index(bound.clone());
            let zero = self.b.index(Dim::Known(0));
            let negative = self.b.binary(BinOp::Lt, e, zero);
            let wrapped = self.b.index(&bound + size);
            let picked = self.b.add(Expr::Select(negative, wrapped, e));
            self.b.index_of(picked)
        };
        let (low, high) =
            if step > 0 { (Dim::Known(0), size.clone()) } else { (Dim::Known(-1), size - 1) };
        self.simple(Dim::min(&Dim::max(&at, &low), &high))
    }

    fn pad(&mut self, node: &Node, p: &op::Pad, at: &[Dim]) -> Result<Val, Stop> {
        let x = needed(node.operand(0))?;
        let shape = self.shape_of(x)?;
        let low = self.shape(&p.low);
        let mut from = Vec::with_capacity(at.len());
        for (i, l) in at.iter().zip(&low) {
            from.push(self.simple(i - l)?);
        }
        if p.mode == PadMode::Constant {
            let conds: Vec<_> = from.iter().zip(&shape).map(|(i, n)| self.within(i, n)).collect();
            let Some(inside) = self.all(conds) else { return self.element(x, &from) };
            let value = match node.operand(1) {
                Some(v) => self.element(v, &[])?,
                None => {
                    let zero = Const::from_i128(scalar_of(self.l.tensor(x)?.dtype)?, 0);
                    Val::Real(self.b.constant(zero))
                }
            };
            let element = self.element(x, &from)?;
            return Ok(match (element, value) {
                (Val::Real(a), Val::Real(b)) => Val::Real(self.b.add(Expr::Guard(inside, a, b))),
                (a, b) => {
                    let ((ar, ai), (br, bi)) = (self.parts(a), self.parts(b));
                    let re = self.b.add(Expr::Guard(inside, ar, br));
                    Val::Complex(re, self.b.add(Expr::Guard(inside, ai, bi)))
                }
            });
        }
        let mut inner = Vec::with_capacity(at.len());
        for ((i, n), (l, h)) in from.iter().zip(&shape).zip(low.iter().zip(&p.high)) {
            let known = |d: &Dim| d.as_known() == Some(0);
            if known(l) && known(h) {
                inner.push(i.clone());
                continue;
            }
            let last = n - 1;
            inner.push(self.simple(match p.mode {
                PadMode::Edge | PadMode::Constant => Dim::min(&Dim::max(i, &Dim::Known(0)), &last),
                PadMode::Wrap => i.rem(n),
                PadMode::Reflect if n.as_known() == Some(1) => Dim::Known(0),
                PadMode::Reflect => {
                    let period = &last * 2;
                    let turn = i.rem(&Dim::max(&period, &Dim::Known(1)));
                    Dim::min(&turn, &(&period - &turn))
                }
            })?);
        }
        self.element(x, &inner)
    }

    fn gather(&mut self, node: &Node, g: &op::GatherNd, at: &[Dim]) -> Result<Val, Stop> {
        let (x, indices) = (needed(node.operand(0))?, needed(node.operand(1))?);
        let shape = self.shape_of(x)?;
        let index_shape = self.l.tensor(indices)?.shape.clone();
        let outer = index_shape.len() - 1;
        let k = index_shape[outer]
            .as_known()
            .ok_or_else(|| Stop::NeedsSizes("`gather_nd`: the length of index tuples".to_owned()))?
            as usize;
        let batch = g.batch_dims as usize;
        let mut from: Vec<Dim> = at[..batch].to_vec();
        for j in 0..k {
            let mut place = at[..outer].to_vec();
            place.push(Dim::Known(j as i64));
            let index = self.real(indices, &place)?;
            from.push(match self.l.within_all(indices, &shape[batch + j]) {
                Some(last) => {
                    let index = self.b.cast(Scalar::I64, index);
                    let dim = self.b.index_of(index);
                    if let Some(var) = dim.as_symbol() {
                        self.bound(var, 0, last);
                    }
                    dim
                }
                None => self.checked_index(index, &shape[batch + j])?,
            });
        }
        from.extend_from_slice(&at[outer..]);
        self.element(x, &from)
    }

    /// Whether an index is the number of an iteration of a loop that runs at most as often as an
    /// axis has elements, counted from either end.
    fn runs_within(&mut self, index: ExprId, size: &Dim) -> bool {
        match *self.b.kernel.expr(index) {
            Expr::Load { param, ref at } if at.as_known() == Some(0) => {
                let most = self.buffers.get(param as usize).and_then(|b| self.l.iterations.get(b));
                most.cloned().is_some_and(|most| self.size(&most) == *size)
            }
            Expr::Binary(BinOp::Sub, last, i) => {
                let last = match self.b.kernel.expr(last) {
                    Expr::Index(d) => d.clone(),
                    Expr::Const(c) => Dim::Known(c.bits as i64),
                    _ => return false,
                };
                last == size - 1 && self.runs_within(i, size)
            }
            _ => false,
        }
    }

    /// An index into an axis; negative ones count from the end, others outside fail the run.
    pub fn checked_index(&mut self, index: ExprId, size: &Dim) -> Result<Dim, Stop> {
        let i = self.b.cast(Scalar::I64, index);
        if let Expr::Const(c) = self.b.kernel.expr(i)
            && let (Some(i), Some(n)) = (c.as_int(), size.as_known())
            && (-i128::from(n)..i128::from(n)).contains(&i)
        {
            return Ok(Dim::Known(if i < 0 { i as i64 + n } else { i as i64 }));
        }
        if self.runs_within(i, size) {
            let dim = self.b.index_of(i);
            if let (Some(var), Some(n)) = (dim.as_symbol(), size.range(&|v| self.range(v)).max) {
                self.bound(var, 0, (n - 1).max(0));
            }
            return Ok(dim);
        }
        let zero = self.b.index(Dim::Known(0));
        let n = self.b.index(size.clone());
        let negative = self.b.binary(BinOp::Lt, i, zero);
        let wrapped = self.b.binary(BinOp::Add, i, n);
        let at = self.b.add(Expr::Select(negative, wrapped, i));
        let low = self.b.binary(BinOp::Le, zero, at);
        let high = self.b.binary(BinOp::Lt, at, n);
        let ok = self.b.binary(BinOp::And, low, high);
        let safe = self.b.add(Expr::Select(ok, at, zero));
        let code = self.l.failure("an index is out of range");
        let checked = self.b.add(Expr::Check { ok, x: safe, code });
        let dim = self.b.index_of(checked);
        if let (Some(var), Some(n)) = (dim.as_symbol(), size.range(&|v| self.range(v)).max) {
            self.bound(var, 0, (n - 1).max(0));
        }
        Ok(dim)
    }

    fn reduce(
        &mut self,
        x: ValueId,
        r: &op::Reduce,
        dtype: DType,
        at: &[Dim],
    ) -> Result<Val, Stop> {
        let shape = self.shape_of(x)?;
        let mut axes = Vec::new();
        let mut from = Vec::with_capacity(shape.len());
        let mut out = at.iter();
        for (axis, size) in shape.iter().enumerate() {
            if r.axes.contains(&(axis as i64)) {
                if r.keepdims {
                    out.next();
                }
                from.push(self.reduction_index(size, &mut axes));
            } else {
                from.push(out.next().cloned().unwrap_or(Dim::Known(0)));
            }
        }
        let val = self.element(x, &from)?;
        self.combined(r.kind, axes, val, dtype)
    }

    /// An index that a reduction runs over; 0 where there is one element.
    pub fn reduction_index(&mut self, size: &Dim, axes: &mut Vec<(crate::ir::Var, Dim)>) -> Dim {
        if size.as_known() == Some(1) {
            return Dim::Known(0);
        }
        let index = self.counter(size);
        if let Some(var) = index.as_symbol() {
            axes.push((var, size.clone()));
        }
        index
    }

    /// A reduction of a value over index variables.
    pub fn combined(
        &mut self,
        kind: ReduceKind,
        axes: Vec<(crate::ir::Var, Dim)>,
        val: Val,
        dtype: DType,
    ) -> Result<Val, Stop> {
        if axes.is_empty() {
            return Ok(val);
        }
        match val {
            Val::Real(x) => {
                let y = self.b.add(Expr::Reduce { kind, axes, x });
                Ok(Val::Real(self.rounded(dtype, y)))
            }
            Val::Complex(re, im) if kind == ReduceKind::Sum => {
                let y = self.b.add(Expr::Reduce { kind, axes: axes.clone(), x: re });
                Ok(Val::Complex(y, self.b.add(Expr::Reduce { kind, axes, x: im })))
            }
            Val::Complex(..) => Err(Stop::Unsupported("a reduction of complex numbers".into())),
        }
    }

    fn reduce_window(
        &mut self,
        x: ValueId,
        w: &op::ReduceWindow,
        dtype: DType,
        at: &[Dim],
    ) -> Result<Val, Stop> {
        let mut axes = Vec::new();
        let mut from = Vec::with_capacity(at.len());
        for (axis, i) in at.iter().enumerate() {
            let k = self.reduction_index(&Dim::Known(w.window[axis]), &mut axes);
            from.push(self.simple(&(i * w.strides[axis]) + &(&k * w.dilations[axis]))?);
        }
        let val = self.element(x, &from)?;
        self.combined(w.kind, axes, val, dtype)
    }

    fn contract(
        &mut self,
        node: &Node,
        c: &op::Contract,
        dtype: DType,
        at: &[Dim],
    ) -> Result<Val, Stop> {
        let (lhs, rhs) = (needed(node.operand(0))?, needed(node.operand(1))?);
        let (ls, rs) = (self.shape_of(lhs)?, self.shape_of(rhs)?);
        let mut l = vec![None; ls.len()];
        let mut r = vec![None; rs.len()];
        let mut out = at.iter().cloned();
        for (&i, &j) in c.lhs_batch.iter().zip(&c.rhs_batch) {
            let index = out.next();
            l[i as usize] = index.clone();
            r[j as usize] = index;
        }
        let mut axes = Vec::new();
        for (&i, &j) in c.lhs_contract.iter().zip(&c.rhs_contract) {
            let index = self.reduction_index(&ls[i as usize].clone(), &mut axes);
            l[i as usize] = Some(index.clone());
            r[j as usize] = Some(index);
        }
        for slot in l.iter_mut().chain(r.iter_mut()).filter(|s| s.is_none()) {
            *slot = out.next();
        }
        let l: Vec<Dim> = l.into_iter().flatten().collect();
        let r: Vec<Dim> = r.into_iter().flatten().collect();
        let (a, b) = (self.element(lhs, &l)?, self.element(rhs, &r)?);
        let product = self.product(a, b);
        self.combined(ReduceKind::Sum, axes, product, dtype)
    }

    fn product(&mut self, a: Val, b: Val) -> Val {
        match (a, b) {
            (Val::Real(a), Val::Real(b)) => Val::Real(self.b.binary(BinOp::Mul, a, b)),
            (a, b) => {
                let (a, b) = (self.parts(a), self.parts(b));
                let (re, im) = self.complex_product(a, b);
                Val::Complex(re, im)
            }
        }
    }

    fn conv(&mut self, node: &Node, c: &op::Conv, dtype: DType, at: &[Dim]) -> Result<Val, Stop> {
        let (x, w) = (needed(node.operand(0))?, needed(node.operand(1))?);
        if matches!(c.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            // `flatten` made explicit padding of it, except for data with gaps.
            return Err(Stop::Unsupported("`conv` of data with gaps padded to size".to_owned()));
        }
        let (xs, ws) = (self.shape_of(x)?, self.shape_of(w)?);
        let mut axes = Vec::new();
        let inner = self.reduction_index(&ws[1].clone(), &mut axes);
        let mut from = vec![at[0].clone()];
        let mut taps = vec![at[1].clone(), inner.clone()];
        from.push(if c.groups == 1 {
            inner
        } else {
            let per_group = ws[0].floor_div(&Dim::Known(c.groups));
            let (group, _) = self.divide(&at[1], &per_group)?;
            self.simple(&(&group * &ws[1]) + &inner)?
        });
        let mut conds = Vec::new();
        for (s, i) in at[2..].iter().enumerate() {
            let k = self.reduction_index(&ws[2 + s].clone(), &mut axes);
            let low = c.pads.get(s).copied().unwrap_or(0);
            let place = self.simple(&(&(i * c.strides[s]) + &(&k * c.dilations[s])) - low)?;
            let gap = c.input_dilations[s];
            if gap == 1 {
                conds.push(self.within(&place, &xs[2 + s].clone()));
                from.push(place);
            } else {
                // Zeros lie between the elements.
                let by = Dim::Known(gap);
                let rest = self.b.index(place.rem(&by));
                let zero = self.b.index(Dim::Known(0));
                conds.push(Some(self.b.binary(BinOp::Eq, rest, zero)));
                let place = self.simple(place.floor_div(&by))?;
                conds.push(self.within(&place, &xs[2 + s].clone()));
                from.push(place);
            }
            taps.push(k);
        }
        let inside = self.all(conds);
        let a = self.real(x, &from)?;
        let b = self.real(w, &taps)?;
        let a = match inside {
            None => a,
            Some(inside) => {
                let ty = self.b.ty(a);
                let zero = self.b.constant(Const::from_i128(ty, 0));
                self.b.add(Expr::Guard(inside, a, zero))
            }
        };
        let product = self.b.binary(BinOp::Mul, a, b);
        // The bias joins before the result is rounded.
        let mut y = if axes.is_empty() {
            product
        } else {
            self.b.add(Expr::Reduce { kind: ReduceKind::Sum, axes, x: product })
        };
        if let Some(bias) = node.operand(2) {
            let bias = self.real(bias, &at[1..2])?;
            y = self.b.binary(BinOp::Add, y, bias);
        }
        Ok(Val::Real(self.rounded(dtype, y)))
    }

    /// A discrete Fourier transform by its definition.
    fn fft(&mut self, x: ValueId, f: &op::Fft, dtype: DType, at: &[Dim]) -> Result<Val, Stop> {
        let axis = f.axis as usize;
        let size = self.shape_of(x)?[axis].clone();
        let mut axes = Vec::new();
        let n = self.reduction_index(&size, &mut axes);
        let mut from = at.to_vec();
        from[axis] = n.clone();
        let part = scalar_of(dtype)?;
        let turn = self.b.index((&n * &at[axis]).rem(&size));
        let turn = self.b.cast(Scalar::F64, turn);
        let len = self.b.index(size);
        let len = self.b.cast(Scalar::F64, len);
        let sign = if f.inverse { 1.0 } else { -1.0 };
        let full = Const::from_f64(Scalar::F64, sign * std::f64::consts::TAU);
        let full = self.b.constant(full);
        let angle = self.b.binary(BinOp::Mul, full, turn);
        let angle = self.b.binary(BinOp::Div, angle, len);
        let (cos, sin) = (self.b.unary(UnOp::Cos, angle), self.b.unary(UnOp::Sin, angle));
        let z = self.element(x, &from)?;
        let (re, im) = self.parts(z);
        let (re, im) = (self.b.cast(Scalar::F64, re), self.b.cast(Scalar::F64, im));
        let (re, im) = self.complex_product((re, im), (cos, sin));
        let sum = self.combined(ReduceKind::Sum, axes, Val::Complex(re, im), DType::C128)?;
        let (mut re, mut im) = self.parts(sum);
        if f.inverse {
            re = self.b.binary(BinOp::Div, re, len);
            im = self.b.binary(BinOp::Div, im, len);
        }
        Ok(Val::Complex(self.b.cast(part, re), self.b.cast(part, im)))
    }
}

/// An operand that has to be there.
pub(super) fn needed(v: Option<ValueId>) -> Result<ValueId, Stop> {
    v.ok_or_else(|| Stop::Unsupported("an operand is absent".to_owned()))
}
