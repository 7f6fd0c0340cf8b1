//! Values by element: the expression of a value at given coordinates. Views become index
//! arithmetic, elementwise ops expressions, reductions [`Expr::Reduce`]; values that are in
//! memory become loads.

use airconv_ir::dim::{Atom, Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{SymbolId, ValueId};
use airconv_ir::op::{CastRounding, Op};
use rustc_hash::FxHashMap;

use super::{Lowerer, Place, Stop};
use crate::ir::{
    Access, BinOp, BufferId, Const, Elem, Expr, ExprId, KernelBuilder, Narrow, Scalar, UnOp, Var,
};

/// A value: one expression, or the two parts of a complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Val {
    /// A number or truth value.
    Real(ExprId),
    /// A complex number: real and imaginary part.
    Complex(ExprId, ExprId),
}

impl Val {
    /// The expression of a value that is not complex.
    pub fn real(self) -> Result<ExprId, Stop> {
        match self {
            Val::Real(x) => Ok(x),
            Val::Complex(..) => Err(Stop::Unsupported("a complex operand".to_owned())),
        }
    }
}

/// A kernel in the making.
pub(super) struct Pull<'l, 'm> {
    /// The values.
    pub l: &'l Lowerer<'m>,
    /// The kernel.
    pub b: KernelBuilder,
    /// The buffer of each parameter.
    pub buffers: Vec<BufferId>,
    /// The size symbol of each size parameter.
    pub sizes: Vec<SymbolId>,
    size_vars: FxHashMap<SymbolId, Var>,
    ranges: Vec<Range>,
    extents: FxHashMap<Var, Dim>,
    memo: FxHashMap<(ValueId, Vec<Dim>), Val>,
}

impl<'l, 'm> Pull<'l, 'm> {
    /// An empty kernel.
    pub fn new(l: &'l Lowerer<'m>, name: &str) -> Self {
        Self {
            l,
            b: KernelBuilder::new(name),
            buffers: Vec::new(),
            sizes: Vec::new(),
            size_vars: FxHashMap::default(),
            ranges: Vec::new(),
            extents: FxHashMap::default(),
            memo: FxHashMap::default(),
        }
    }

    fn set_range(&mut self, var: Var, range: Range) {
        let at = var.0 as usize;
        if self.ranges.len() <= at {
            self.ranges.resize(at + 1, Range::FULL);
        }
        self.ranges[at] = range;
    }

    /// Bounds the values of an index variable.
    pub fn bound(&mut self, var: Var, min: i64, max: i64) {
        self.set_range(var, Range { min: Some(min), max: Some(max) });
    }

    /// Bounds of an index variable.
    pub fn range(&self, var: Var) -> Range {
        self.ranges.get(var.0 as usize).copied().unwrap_or(Range::FULL)
    }

    /// A hub size over the size parameters of this kernel.
    pub fn size(&mut self, dim: &Dim) -> Dim {
        let mut used = Vec::new();
        dim.symbols(&mut |s| used.push(s));
        for s in used {
            if !self.size_vars.contains_key(&s) {
                let var = self.b.size();
                self.size_vars.insert(s, var);
                self.sizes.push(s);
                self.set_range(var, self.l.f.symbol_range(s));
            }
        }
        dim.substitute(&mut |s| self.size_vars.get(&s).map(|&v| Dim::symbol(v)))
    }

    /// Hub sizes over the size parameters of this kernel.
    pub fn shape(&mut self, dims: &[Dim]) -> Vec<Dim> {
        dims.iter().map(|d| self.size(d)).collect()
    }

    /// The shape of a value over the size parameters of this kernel.
    pub fn shape_of(&mut self, v: ValueId) -> Result<Vec<Dim>, Stop> {
        let ty = self.l.tensor(v)?.clone();
        Ok(self.shape(&ty.shape))
    }

    /// A counter from 0 up to an extent.
    pub fn counter(&mut self, extent: &Dim) -> Dim {
        let max = extent.range(&|v| self.range(v)).max.map(|m| (m - 1).max(0));
        let var = self.b.counter();
        self.set_range(var, Range { min: Some(0), max });
        self.extents.insert(var, extent.clone());
        Dim::symbol(var)
    }

    /// An index in its simplest form.
    pub fn simple(&self, dim: Dim) -> Result<Dim, Stop> {
        let out = rejoined(dim.simplify(&|v| self.range(v)));
        if out.is_any() { Err(Stop::TooComplex) } else { Ok(out) }
    }

    /// The position of coordinates in a dense row-major array.
    pub fn flat(&self, at: &[Dim], shape: &[Dim]) -> Result<Dim, Stop> {
        let mut out = Dim::Known(0);
        for (i, d) in at.iter().zip(shape) {
            out = &(&out * d) + i;
        }
        self.simple(out)
    }

    /// The position of coordinates of a value in the buffer that holds it.
    pub fn place_in(&mut self, buffer: BufferId, at: &[Dim]) -> Result<Dim, Stop> {
        let dims = self.l.program.buffer(buffer).shape.clone();
        let shape = self.shape(&dims);
        match self.l.orders.get(&buffer) {
            Some(order) => {
                let at: Vec<Dim> = order.iter().map(|&axis| at[axis].clone()).collect();
                self.flat(&at, &shape)
            }
            None => self.flat(at, &shape),
        }
    }

    /// The coordinates of a position.
    pub fn unflat(&self, flat: &Dim, shape: &[Dim]) -> Result<Vec<Dim>, Stop> {
        let mut out = vec![Dim::Known(0); shape.len()];
        let mut rest = flat.clone();
        let Some(last) = shape.iter().position(|d| d.as_known() != Some(1)) else {
            return Ok(out);
        };
        for axis in (0..shape.len()).rev() {
            let size = &shape[axis];
            if size.as_known() == Some(1) {
                continue;
            }
            if axis == last {
                out[axis] = rest.clone();
                break;
            }
            let (q, r) = self.divide(&rest, size)?;
            out[axis] = r;
            rest = q;
        }
        Ok(out)
    }

    /// Quotient and remainder by a positive size: terms that are multiples of it go to the
    /// quotient where what is left is known to be smaller.
    pub fn divide(&self, x: &Dim, by: &Dim) -> Result<(Dim, Dim), Stop> {
        if let Some(s) = by.as_symbol() {
            let rest = x.substitute(&mut |v| (v == s).then_some(Dim::Known(0)));
            let multiple = x - &rest;
            let whole = multiple.floor_div(by);
            let range = |v: Var| self.range(v);
            let fits = rest.is_nonneg(&range)
                && (self.runs_up_to(&rest, by) || (&(by - &rest) - 1).is_nonneg(&range));
            if &whole * by == multiple && fits {
                return Ok((self.simple(whole)?, self.simple(rest)?));
            }
        }
        if let Some(by) = by.as_known()
            && let Some((whole, rest, scale)) = self.parts_of(x, by)
        {
            // `scale * whole + rest`, with less than `scale` left over.
            let by = Dim::Known(by / scale);
            let left = &self.simple(whole.rem(&by))? * scale;
            return Ok((self.simple(whole.floor_div(&by))?, self.simple(&left + &rest)?));
        }
        Ok((self.simple(x.floor_div(by))?, self.simple(x.rem(by))?))
    }

    /// An index that is linear in its variables as `scale * whole + rest` with
    /// `0 <= rest < scale`, where `scale` is less than `by` and divides it.
    fn parts_of(&self, x: &Dim, by: i64) -> Option<(Dim, Dim, i64)> {
        let mut used = Vec::new();
        x.symbols(&mut |s| used.push(s));
        used.sort_unstable();
        used.dedup();
        let at = |one: Option<SymbolId>| {
            x.substitute(&mut |s| Some(Dim::Known(i64::from(Some(s) == one)))).as_known()
        };
        let base = at(None)?;
        let mut steps = Vec::with_capacity(used.len());
        let mut rebuilt = Dim::Known(base);
        for &s in &used {
            let step = at(Some(s))?.checked_sub(base)?;
            rebuilt = &rebuilt + &(&Dim::symbol(s) * step);
            steps.push((s, step));
        }
        if rebuilt != *x {
            return None;
        }
        let mut scales: Vec<i64> =
            steps.iter().map(|x| x.1).filter(|&k| k > 1 && k < by && by % k == 0).collect();
        scales.sort_unstable();
        scales.into_iter().rev().find_map(|scale| {
            let (mut whole, mut rest) = (Dim::Known(0), Dim::Known(base));
            for &(s, step) in &steps {
                if step % scale == 0 {
                    whole = &whole + &(&Dim::symbol(s) * (step / scale));
                } else {
                    rest = &rest + &(&Dim::symbol(s) * step);
                }
            }
            let range = rest.range(&|v| self.range(v));
            let fits = range.min.is_some_and(|n| n >= 0) && range.max.is_some_and(|n| n < scale);
            fits.then_some((whole, rest, scale))
        })
    }

    /// Whether an index is a counter that runs up to exactly this symbolic extent.
    fn runs_up_to(&self, index: &Dim, extent: &Dim) -> bool {
        index.as_symbol().and_then(|s| self.extents.get(&s)).is_some_and(|e| e == extent)
    }

    /// The value rounded to its dtype, where that is narrower than what it is computed in.
    pub fn rounded(&mut self, dtype: DType, x: ExprId) -> ExprId {
        let narrow = match dtype {
            DType::I2 | DType::I4 | DType::U2 | DType::U4 => true,
            d => d.is_float() && !matches!(d, DType::F32 | DType::F64),
        };
        if !narrow {
            return x;
        }
        self.narrowed(Narrow { to: dtype, saturate: false, rounding: CastRounding::Nearest }, x)
    }

    /// A rounding, unless it is there.
    pub fn narrowed(&mut self, narrow: Narrow, x: ExprId) -> ExprId {
        match self.b.kernel.expr(x) {
            Expr::Narrow(n, _) if n.to == narrow.to => x,
            Expr::Load { param, .. } => {
                // What is loaded from such elements is rounded.
                let elem = self.b.kernel.params[*param as usize].elem;
                let is = match narrow.to {
                    DType::F16 => elem == Elem::F16,
                    DType::BF16 => elem == Elem::Bf16,
                    _ => false,
                };
                if is { x } else { self.b.add(Expr::Narrow(narrow, x)) }
            }
            _ => self.b.add(Expr::Narrow(narrow, x)),
        }
    }

    /// The parameter of a buffer that is read.
    pub fn reads(&mut self, buffer: BufferId) -> Result<u32, Stop> {
        if let Some(i) = self.buffers.iter().position(|&b| b == buffer)
            && self.b.kernel.params[i].access != Access::Write
        {
            return Ok(i as u32);
        }
        self.parameter(buffer, Access::Read)
    }

    /// A new parameter.
    pub fn parameter(&mut self, buffer: BufferId, access: Access) -> Result<u32, Stop> {
        let dtype = self.l.program.buffer(buffer).dtype;
        let elem = dtype.and_then(Elem::of).map(|(e, _)| e);
        let Some(elem) = elem else {
            return Err(Stop::Unsupported("strings or sequences".to_owned()));
        };
        self.buffers.push(buffer);
        Ok(self.b.param(elem, access))
    }

    /// The element of a buffer at a position.
    pub fn load(&mut self, buffer: BufferId, flat: Dim) -> Result<Val, Stop> {
        if let Some(c) = self.l.scalar_constant(buffer) {
            return Ok(match c {
                (re, None) => Val::Real(self.b.constant(re)),
                (re, Some(im)) => Val::Complex(self.b.constant(re), self.b.constant(im)),
            });
        }
        let param = self.reads(buffer)?;
        if self.l.is_complex_buffer(buffer) {
            let re = &flat * 2;
            let im = &re + 1;
            return Ok(Val::Complex(self.b.load(param, re), self.b.load(param, im)));
        }
        Ok(Val::Real(self.b.load(param, flat)))
    }

    /// A value at coordinates.
    pub fn element(&mut self, v: ValueId, at: &[Dim]) -> Result<Val, Stop> {
        let key = (v, at.to_vec());
        if let Some(&val) = self.memo.get(&key) {
            return Ok(val);
        }
        let val = match self.l.place(v)? {
            Place::Buffer(buffer) => {
                let flat = self.place_in(buffer, at)?;
                self.load(buffer, flat)?
            }
            Place::Inline(_) => self.computed(v, at)?,
        };
        self.memo.insert(key, val);
        Ok(val)
    }

    /// A value that is not complex, at coordinates.
    pub fn real(&mut self, v: ValueId, at: &[Dim]) -> Result<ExprId, Stop> {
        self.element(v, at)?.real()
    }

    /// A value at a position of its row-major order.
    pub fn element_flat(&mut self, v: ValueId, flat: &Dim) -> Result<Val, Stop> {
        match self.l.place(v)? {
            Place::Buffer(buffer) => {
                let flat = self.simple(flat.clone())?;
                if self.l.orders.contains_key(&buffer) {
                    let shape = self.shape_of(v)?;
                    let at = self.unflat(&flat, &shape)?;
                    return self.element(v, &at);
                }
                self.load(buffer, flat)
            }
            Place::Inline(node) => {
                let node = &self.l.f.nodes[node];
                if let (Op::Reshape(_), Some(x)) = (&node.op, node.operand(0)) {
                    return self.element_flat(x, flat);
                }
                let shape = self.shape_of(v)?;
                let at = self.unflat(flat, &shape)?;
                self.element(v, &at)
            }
        }
    }

    /// The coordinates in one shape of coordinates in another one with as many elements. Axes
    /// are matched in groups with equal products, so that most keep their simple form.
    pub fn reshaped(&self, at: &[Dim], from: &[Dim], to: &[Dim]) -> Result<Vec<Dim>, Stop> {
        let mut out = Vec::with_capacity(to.len());
        let (mut i, mut j) = (0, 0);
        while j < to.len() || i < from.len() {
            let (first_i, first_j) = (i, j);
            let mut left = from.get(i).cloned().unwrap_or(Dim::Known(1));
            let mut right = to.get(j).cloned().unwrap_or(Dim::Known(1));
            i = (i + 1).min(from.len());
            j = (j + 1).min(to.len());
            while left != right {
                let take_left = match (left.as_known(), right.as_known()) {
                    (Some(a), Some(b)) => a < b,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (None, None) => left.terms_len() <= right.terms_len(),
                };
                if (take_left || j >= to.len()) && i < from.len() {
                    left = &left * &from[i];
                    i += 1;
                } else if j < to.len() {
                    right = &right * &to[j];
                    j += 1;
                } else {
                    break;
                }
            }
            // Sizes of 1 that nothing else will take go along.
            let flat = self.flat(&at[first_i..i], &from[first_i..i])?;
            out.extend(self.unflat(&flat, &to[first_j..j])?);
        }
        Ok(out)
    }

    /// Both parts of a value, the imaginary one of a real value being zero.
    pub fn parts(&mut self, v: Val) -> (ExprId, ExprId) {
        match v {
            Val::Complex(re, im) => (re, im),
            Val::Real(x) => {
                let ty = self.b.ty(x);
                let zero = self.b.constant(Const::from_i128(ty, 0));
                (x, zero)
            }
        }
    }

    /// Whether `0 <= index < size`, or nothing when that is known.
    pub fn within(&mut self, index: &Dim, size: &Dim) -> Option<ExprId> {
        let range = |v: Var| self.range(v);
        let low = index.is_nonneg(&range);
        let high = (&(size - index) - 1).is_nonneg(&range);
        let mut conds = Vec::new();
        if !low {
            let (zero, i) = (self.b.index(Dim::Known(0)), self.b.index(index.clone()));
            conds.push(self.b.binary(BinOp::Le, zero, i));
        }
        if !high {
            let (i, n) = (self.b.index(index.clone()), self.b.index(size.clone()));
            conds.push(self.b.binary(BinOp::Lt, i, n));
        }
        conds.into_iter().reduce(|a, b| self.b.binary(BinOp::And, a, b))
    }

    /// The conjunction of conditions; `None` when there is none.
    pub fn all(&mut self, conds: impl IntoIterator<Item = Option<ExprId>>) -> Option<ExprId> {
        let conds: Vec<ExprId> = conds.into_iter().flatten().collect();
        conds.into_iter().reduce(|a, b| self.b.binary(BinOp::And, a, b))
    }

    /// Negation of a truth value.
    pub fn not(&mut self, x: ExprId) -> ExprId {
        self.b.unary(UnOp::Not, x)
    }
}

/// A sum with `k * floordiv(x, k) + mod(x, k)` as `x`.
fn rejoined(dim: Dim) -> Dim {
    let Dim::Expr(e) = &dim else { return dim };
    for term in e.terms() {
        let [Atom::Mod(x, by)] = term.atoms() else { continue };
        let (Some(k), whole) = (by.as_known(), x.floor_div(by)) else { continue };
        let Some(coeff) = term.coeff().checked_mul(k) else { continue };
        let there = e.terms().iter().any(|t| {
            t.coeff() == coeff && matches!(t.atoms(), [Atom::FloorDiv(y, n)] if y == x && n == by)
        });
        if there {
            let parts = &(&whole * coeff) + &(&x.rem(by) * term.coeff());
            return rejoined(&(&dim - &parts) + &(x * term.coeff()));
        }
    }
    dim
}

trait TermsLen {
    fn terms_len(&self) -> usize;
}

impl TermsLen for Dim {
    fn terms_len(&self) -> usize {
        match self {
            Dim::Expr(e) => e.nodes(),
            Dim::Known(_) | Dim::Any => 1,
        }
    }
}

/// The type that values of a dtype are computed in.
pub(super) fn scalar_of(dtype: DType) -> Result<Scalar, Stop> {
    Scalar::of(dtype).ok_or_else(|| Stop::Unsupported("strings".to_owned()))
}
