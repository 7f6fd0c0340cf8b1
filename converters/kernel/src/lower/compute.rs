//! The expression of each op's result at given coordinates.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::op::{self, CastRounding, IntRounding, NanRule, Op, PadMode, ReduceKind};

use super::pull::{Pull, Val, scalar_of};
use super::{Place, Stop};
use crate::ir::{BinOp, Const, Expr, ExprId, Narrow, Scalar, UnOp};

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
                if let Place::Buffer(_) = self.l.place(x)? {
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
            op => self.elementwise(&node, op, dtype, at),
        }
    }

    fn elementwise(&mut self, node: &Node, op: &Op, dtype: DType, at: &[Dim]) -> Result<Val, Stop> {
        let a = self.element(needed(node.operand(0))?, at)?;
        let from = self.l.tensor(needed(node.operand(0))?)?.dtype;
        let Some(second) = node.operand(1) else {
            if let Val::Complex(re, im) = a {
                return self.complex_unary(op, re, im);
            }
            let x = a.real()?;
            let un = unary(op).ok_or_else(|| Stop::no_form(op))?;
            let y = self.b.unary(un, x);
            return Ok(Val::Real(if un == UnOp::IsNan { y } else { self.rounded(dtype, y) }));
        };
        let b = self.element(second, at)?;
        if let (Val::Complex(..), _) | (_, Val::Complex(..)) = (a, b) {
            let (a, b) = (self.parts(a), self.parts(b));
            return self.complex_binary(op, a, b);
        }
        let (a, b) = (a.real()?, b.real()?);
        let ty = self.b.ty(a);
        if let Op::Pow(_) = op {
            return self.pow(dtype, self.l.tensor(second)?.dtype, a, b);
        }
        let bin = binary(op, ty).ok_or_else(|| Stop::no_form(op))?;
        let b = match op {
            Op::Div(_) | Op::Rem(_) if ty.is_int() => self.divisor(b, op.name()),
            // A shift by the width of a narrow integer or more leaves nothing.
            _ => b,
        };
        let y = self.b.binary(bin, a, b);
        if bin.compares() {
            return Ok(Val::Real(y));
        }
        if let (Op::ShiftLeft(_) | Op::ShiftRight(_), Some(_)) = (op, from.int_range())
            && from.bits() < 8
        {
            return Err(Stop::no_form(op));
        }
        Ok(Val::Real(self.rounded(dtype, y)))
    }

    /// A divisor that is not zero: a run in which it is fails.
    fn divisor(&mut self, b: ExprId, op: &str) -> ExprId {
        if let Expr::Const(c) = self.b.kernel.expr(b)
            && c.bits != 0
        {
            return b;
        }
        let ty = self.b.ty(b);
        let (zero, one) = (Const::from_i128(ty, 0), Const::from_i128(ty, 1));
        let (zero, one) = (self.b.constant(zero), self.b.constant(one));
        let bad = self.b.binary(BinOp::Eq, b, zero);
        let safe = self.b.add(Expr::Select(bad, one, b));
        let ok = self.not(bad);
        let code = self.l.failure(&format!("`{op}` of integers by zero"));
        self.b.add(Expr::Check { ok, x: safe, code })
    }

    fn pow(&mut self, dtype: DType, exponent: DType, a: ExprId, b: ExprId) -> Result<Val, Stop> {
        let (ta, tb) = (self.b.ty(a), self.b.ty(b));
        if ta.is_float() {
            let wide = if ta == Scalar::F64 || tb.bits() > 32 { Scalar::F64 } else { Scalar::F32 };
            let (x, y) = (self.b.cast(wide, a), self.b.cast(wide, b));
            let y = self.b.binary(BinOp::Pow, x, y);
            let y = self.b.cast(ta, y);
            return Ok(Val::Real(self.rounded(dtype, y)));
        }
        if tb.is_float() {
            let (x, y) = (self.b.cast(Scalar::F64, a), self.b.cast(Scalar::F64, b));
            let y = self.b.binary(BinOp::Pow, x, y);
            return self.converted(DType::F64, dtype, Val::Real(y), true, CastRounding::Nearest);
        }
        let _ = exponent;
        Ok(Val::Real(self.int_pow(a, b)))
    }

    /// An integer power.
    fn int_pow(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let (ta, tb) = (self.b.ty(a), self.b.ty(b));
        let one = self.b.constant(Const::from_i128(ta, 1));
        if let Expr::Const(c) = self.b.kernel.expr(b)
            && let Some(e @ 0..=64) = c.as_int()
        {
            let (mut out, mut base, mut e) = (one, a, e);
            while e > 0 {
                if e & 1 == 1 {
                    out = if out == one { base } else { self.b.binary(BinOp::Mul, out, base) };
                }
                e >>= 1;
                if e > 0 {
                    base = self.b.binary(BinOp::Mul, base, base);
                }
            }
            return out;
        }
        let wide = if tb.is_signed() { Scalar::I64 } else { Scalar::U64 };
        let zero_e = self.b.constant(Const::from_i128(tb, 0));
        let one_e = self.b.constant(Const::from_i128(tb, 1));
        let (base, exponent) = (self.b.cast(wide, a), self.b.cast(wide, b));
        let out = self.b.binary(BinOp::Pow, base, exponent);
        let out = self.b.cast(ta, out);
        if !tb.is_signed() {
            return out;
        }
        // To a negative power: 1 stays, -1 alternates, others vanish, and zero fails.
        let negative = self.b.binary(BinOp::Lt, b, zero_e);
        let zero = self.b.constant(Const::from_i128(ta, 0));
        let is_zero = self.b.binary(BinOp::Eq, a, zero);
        let is_one = self.b.binary(BinOp::Eq, a, one);
        let mut unit = self.b.add(Expr::Select(is_one, one, zero));
        if ta.is_signed() {
            let minus = self.b.constant(Const::from_i128(ta, -1));
            let is_minus = self.b.binary(BinOp::Eq, a, minus);
            let odd = self.b.binary(BinOp::And, b, one_e);
            let odd = self.b.binary(BinOp::Eq, odd, one_e);
            let sign = self.b.add(Expr::Select(odd, minus, one));
            unit = self.b.add(Expr::Select(is_minus, sign, unit));
        }
        let value = self.b.add(Expr::Select(negative, unit, out));
        let bad = self.b.binary(BinOp::And, negative, is_zero);
        let ok = self.not(bad);
        let code = self.l.failure("`pow` of integer zero to a negative power");
        self.b.add(Expr::Check { ok, x: value, code })
    }

    fn complex_unary(&mut self, op: &Op, re: ExprId, im: ExprId) -> Result<Val, Stop> {
        match op {
            Op::Neg(_) => {
                Ok(Val::Complex(self.b.unary(UnOp::Neg, re), self.b.unary(UnOp::Neg, im)))
            }
            Op::Abs(_) => {
                let a = self.b.binary(BinOp::Mul, re, re);
                let b = self.b.binary(BinOp::Mul, im, im);
                let sum = self.b.binary(BinOp::Add, a, b);
                Ok(Val::Real(self.b.unary(UnOp::Sqrt, sum)))
            }
            Op::IsNan(_) => {
                let (a, b) = (self.b.unary(UnOp::IsNan, re), self.b.unary(UnOp::IsNan, im));
                Ok(Val::Real(self.b.binary(BinOp::Or, a, b)))
            }
            op => Err(Stop::no_form(op)),
        }
    }

    fn complex_binary(
        &mut self,
        op: &Op,
        (ar, ai): (ExprId, ExprId),
        (br, bi): (ExprId, ExprId),
    ) -> Result<Val, Stop> {
        let mut both =
            |bin| Ok(Val::Complex(self.b.binary(bin, ar, br), self.b.binary(bin, ai, bi)));
        match op {
            Op::Add(_) => both(BinOp::Add),
            Op::Sub(_) => both(BinOp::Sub),
            Op::Mul(_) => {
                let (re, im) = self.complex_product((ar, ai), (br, bi));
                Ok(Val::Complex(re, im))
            }
            Op::Equal(_) => {
                let (x, y) = (self.b.binary(BinOp::Eq, ar, br), self.b.binary(BinOp::Eq, ai, bi));
                Ok(Val::Real(self.b.binary(BinOp::And, x, y)))
            }
            op => Err(Stop::no_form(op)),
        }
    }

    /// A product of complex numbers.
    pub fn complex_product(
        &mut self,
        (ar, ai): (ExprId, ExprId),
        (br, bi): (ExprId, ExprId),
    ) -> (ExprId, ExprId) {
        let rr = self.b.binary(BinOp::Mul, ar, br);
        let ii = self.b.binary(BinOp::Mul, ai, bi);
        let ri = self.b.binary(BinOp::Mul, ar, bi);
        let ir = self.b.binary(BinOp::Mul, ai, br);
        (self.b.binary(BinOp::Sub, rr, ii), self.b.binary(BinOp::Add, ri, ir))
    }

    /// A value converted from one dtype to another, as the hub's `cast` does.
    pub fn converted(
        &mut self,
        from: DType,
        to: DType,
        val: Val,
        saturate: bool,
        rounding: CastRounding,
    ) -> Result<Val, Stop> {
        if from == to {
            return Ok(val);
        }
        if to.is_complex() {
            let part = scalar_of(to)?;
            let (re, im) = self.parts(val);
            return Ok(Val::Complex(self.b.cast(part, re), self.b.cast(part, im)));
        }
        if to == DType::Bool {
            let (re, im) = self.parts(val);
            let re_set = self.b.cast(Scalar::Bool, re);
            return Ok(Val::Real(match val {
                Val::Real(_) => re_set,
                Val::Complex(..) => {
                    let im_set = self.b.cast(Scalar::Bool, im);
                    self.b.binary(BinOp::Or, re_set, im_set)
                }
            }));
        }
        let x = self.parts(val).0;
        let (source, target) = (self.b.ty(x), scalar_of(to)?);
        if source.is_float() && target.is_int() && target.bits() < 32 {
            // By way of i32, and zero where that does not hold the value.
            let wide = self.b.cast(Scalar::I64, x);
            let back = self.b.cast(Scalar::I32, wide);
            let again = self.b.cast(Scalar::I64, back);
            let fits = self.b.binary(BinOp::Eq, wide, again);
            let narrow = self.b.cast(target, back);
            let zero = self.b.constant(Const::from_i128(target, 0));
            let y = self.b.add(Expr::Select(fits, narrow, zero));
            return Ok(Val::Real(self.rounded(to, y)));
        }
        let narrow = Narrow { to, saturate, rounding };
        let is_narrow_float = to.is_float() && !matches!(to, DType::F32 | DType::F64);
        if is_narrow_float && source != Scalar::F32 {
            // Rounded once: in the wide type, which then holds a value that F32 has too.
            let wide = self.b.cast(Scalar::F64, x);
            let y = self.narrowed(narrow, wide);
            return Ok(Val::Real(self.b.cast(Scalar::F32, y)));
        }
        let y = self.b.cast(target, x);
        Ok(Val::Real(if is_narrow_float { self.narrowed(narrow, y) } else { self.rounded(to, y) }))
    }

    fn bitcast(&mut self, x: ValueId, to: DType, at: &[Dim]) -> Result<Val, Stop> {
        let from = self.l.tensor(x)?.dtype;
        let plain = |d: DType| {
            matches!(
                d,
                DType::I8
                    | DType::I16
                    | DType::I32
                    | DType::I64
                    | DType::U8
                    | DType::U16
                    | DType::U32
                    | DType::U64
                    | DType::F32
                    | DType::F64
            )
        };
        // A truth value is a byte, 0 or 1.
        if from == DType::Bool && matches!(to, DType::I8 | DType::U8) {
            let value = self.real(x, at)?;
            return Ok(Val::Real(self.b.cast(scalar_of(to)?, value)));
        }
        if !plain(from) || !plain(to) || from.bits() != to.bits() {
            return Err(Stop::Unsupported(format!("`bitcast` from {from} to {to}")));
        }
        let value = self.real(x, at)?;
        let target = scalar_of(to)?;
        if self.b.ty(value) == target {
            return Ok(Val::Real(value));
        }
        Ok(Val::Real(self.b.add(Expr::Bitcast(target, value))))
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
            from.push(self.checked_index(index, &shape[batch + j])?);
        }
        from.extend_from_slice(&at[outer..]);
        self.element(x, &from)
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

/// The operation of a unary op.
fn unary(op: &Op) -> Option<UnOp> {
    Some(match op {
        Op::Neg(_) => UnOp::Neg,
        Op::Abs(_) => UnOp::Abs,
        Op::Sign(_) => UnOp::Sign,
        Op::Floor(_) => UnOp::Floor,
        Op::Ceil(_) => UnOp::Ceil,
        Op::Round(_) => UnOp::Round,
        Op::Sqrt(_) => UnOp::Sqrt,
        Op::Exp(_) => UnOp::Exp,
        Op::Log(_) => UnOp::Log,
        Op::Sin(_) => UnOp::Sin,
        Op::Cos(_) => UnOp::Cos,
        Op::Tan(_) => UnOp::Tan,
        Op::Asin(_) => UnOp::Asin,
        Op::Acos(_) => UnOp::Acos,
        Op::Atan(_) => UnOp::Atan,
        Op::Sinh(_) => UnOp::Sinh,
        Op::Cosh(_) => UnOp::Cosh,
        Op::Tanh(_) => UnOp::Tanh,
        Op::Asinh(_) => UnOp::Asinh,
        Op::Acosh(_) => UnOp::Acosh,
        Op::Atanh(_) => UnOp::Atanh,
        Op::Erf(_) => UnOp::Erf,
        Op::Not(_) | Op::BitNot(_) => UnOp::Not,
        Op::IsNan(_) => UnOp::IsNan,
        _ => return None,
    })
}

/// The operation of a binary op on operands of a type.
fn binary(op: &Op, ty: Scalar) -> Option<BinOp> {
    let whole = ty.is_int();
    Some(match op {
        Op::Add(_) => BinOp::Add,
        Op::Sub(_) => BinOp::Sub,
        Op::Mul(_) => BinOp::Mul,
        Op::Div(d) if whole && d.rounding == IntRounding::Floor => BinOp::FloorDiv,
        Op::Div(_) => BinOp::Div,
        Op::Rem(r) if r.rounding == IntRounding::Floor => BinOp::FloorRem,
        Op::Rem(_) => BinOp::Rem,
        Op::Max(m) if m.nan == NanRule::Propagate => BinOp::Max,
        Op::Max(_) => BinOp::MaxNum,
        Op::Min(m) if m.nan == NanRule::Propagate => BinOp::Min,
        Op::Min(_) => BinOp::MinNum,
        Op::And(_) | Op::BitAnd(_) => BinOp::And,
        Op::Or(_) | Op::BitOr(_) => BinOp::Or,
        Op::Xor(_) | Op::BitXor(_) => BinOp::Xor,
        Op::ShiftLeft(_) => BinOp::Shl,
        Op::ShiftRight(_) => BinOp::Shr,
        Op::Equal(_) => BinOp::Eq,
        Op::Less(_) => BinOp::Lt,
        Op::LessOrEqual(_) => BinOp::Le,
        _ => return None,
    })
}
