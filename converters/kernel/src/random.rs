//! Random kernels with buffers and sizes that they run on without a fault.
//!
//! They exercise every statement and expression, in bounds, without division by zero. With
//! [`Taste::exact`] two implementations that keep the rules give the same numbers, apart from
//! the payloads of NaN.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{CastRounding, ReduceKind};

use crate::ir::{
    Access, BinOp, Const, Elem, Expr, ExprId, Kernel, KernelBuilder, LocalId, LoopKind, Narrow,
    Scalar, Stmt, UnOp, Var,
};

/// A kernel and what it runs on.
#[derive(Clone, Debug)]
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// The sizes.
    pub sizes: Vec<i64>,
    /// The bytes of the buffers, native-endian.
    pub buffers: Vec<Vec<u8>>,
}

/// What random kernels consist of.
#[derive(Clone, Copy, Debug)]
pub struct Taste {
    /// No functions whose last digit is a matter of the implementation.
    pub exact: bool,
    /// Sums and products of `F32`, whose order is free.
    pub f32_sums: bool,
    /// Checks that may fail.
    pub checks: bool,
}

impl Default for Taste {
    fn default() -> Self {
        Taste { exact: true, f32_sums: true, checks: true }
    }
}

const SCALARS: [Scalar; 11] = [
    Scalar::Bool,
    Scalar::I8,
    Scalar::I16,
    Scalar::I32,
    Scalar::I64,
    Scalar::U8,
    Scalar::U16,
    Scalar::U32,
    Scalar::U64,
    Scalar::F32,
    Scalar::F64,
];

/// The kernel of a seed.
pub fn case(seed: u64, taste: Taste) -> Case {
    let mut g = Gen {
        state: seed,
        b: KernelBuilder::new(format!("random_{seed}")),
        taste,
        sizes: Vec::new(),
        lens: Vec::new(),
        open: Vec::new(),
        locals: Vec::new(),
        reductions: 0,
    };
    for _ in 0..g.below(3) {
        let value = g.below(6) as i64;
        g.b.size();
        g.sizes.push(value);
    }
    for _ in 0..=g.below(3) {
        let elem = g.elem();
        let len = 1 + g.below(20) as i64;
        g.param(elem, Access::Read, len);
    }
    for _ in 0..=g.below(3).saturating_sub(1) {
        let nest = if g.below(3) == 0 { g.serial() } else { g.independent() };
        g.b.kernel.body.extend(nest);
        g.locals.clear();
    }
    let kernel = g.b.kernel.clone();
    let fill = |g: &mut Gen, elem: Elem, len: i64| -> Vec<u8> {
        (0..len).flat_map(|_| g.element(elem)).collect()
    };
    let lens = g.lens.clone();
    let buffers =
        kernel.params.iter().zip(lens).map(|(p, len)| fill(&mut g, p.elem, len)).collect();
    Case { kernel, sizes: g.sizes, buffers }
}

struct Gen {
    state: u64,
    b: KernelBuilder,
    taste: Taste,
    /// The values of the sizes, whose variables are the first ones.
    sizes: Vec<i64>,
    /// The number of elements of each parameter.
    lens: Vec<i64>,
    /// Counters that run.
    open: Vec<Var>,
    /// Locals that have a value.
    locals: Vec<LocalId>,
    reductions: usize,
}

impl Gen {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn elem(&mut self) -> Elem {
        self.pick(&Elem::ALL)
    }

    fn param(&mut self, elem: Elem, access: Access, len: i64) -> u32 {
        self.lens.push(len);
        self.b.param(elem, access)
    }

    /// The bytes of an element.
    fn element(&mut self, elem: Elem) -> Vec<u8> {
        let small = self.below(21) as i64 - 10;
        let quarter = small as f32 / 4.0;
        match elem {
            Elem::Bool => vec![self.below(2) as u8],
            Elem::F16 => half::f16::from_f32(quarter).to_ne_bytes().to_vec(),
            Elem::Bf16 => half::bf16::from_f32(quarter).to_ne_bytes().to_vec(),
            _ => {
                let bits = self.constant(elem.scalar()).bits;
                let bytes = bits.to_le_bytes();
                let mut bytes = bytes[..elem.bytes()].to_vec();
                if cfg!(target_endian = "big") {
                    bytes.reverse();
                }
                bytes
            }
        }
    }

    fn constant(&mut self, ty: Scalar) -> Const {
        let small = self.below(21) as i64 - 10;
        match ty {
            Scalar::Bool => Const::bool(self.below(2) == 1),
            Scalar::F32 | Scalar::F64 => {
                let x = match self.below(12) {
                    0 => f64::NAN,
                    1 => f64::INFINITY,
                    2 => -0.0,
                    3 => 1e30,
                    4 => -70000.0,
                    5 => 1e-40,
                    6 => 464.1,
                    _ => small as f64 / 4.0,
                };
                Const::from_f64(ty, x)
            }
            _ => match self.below(8) {
                0 => Const::from_i128(ty, -(1i128 << (ty.bits() - 1))),
                1 => Const::from_i128(ty, (1i128 << (ty.bits() - 1)) - 1),
                2 => Const::from_i128(ty, self.next().into()),
                _ => Const::from_i128(ty, small.into()),
            },
        }
    }

    /// The value of an extent, and the extent.
    fn extent(&mut self) -> (i64, Dim) {
        if !self.sizes.is_empty() && self.below(2) == 0 {
            let n = self.below(self.sizes.len());
            return (self.sizes[n], Dim::symbol(airconv_ir::entity::SymbolId(n as u32)));
        }
        let n = self.below(5) as i64;
        (n, Dim::Known(n))
    }

    /// An index expression without bounds.
    fn free_index(&mut self) -> Dim {
        let mut d = Dim::Known(self.below(7) as i64 - 3);
        for _ in 0..self.below(4) {
            let vars = self.sizes.len() + self.open.len();
            if vars == 0 {
                break;
            }
            let at = self.below(vars);
            let var = match at.checked_sub(self.sizes.len()) {
                Some(i) => self.open[i],
                None => airconv_ir::entity::SymbolId(at as u32),
            };
            let term = Dim::symbol(var);
            let k = Dim::Known(1 + self.below(4) as i64);
            d = match self.below(8) {
                0 => &d * &term,
                1 => &d + &term.floor_div(&k),
                2 => &d + &term.rem(&k),
                3 => Dim::min_all([d, term]),
                4 => Dim::max_all([d, term]),
                5 => &d - &term.ceil_div(&k),
                _ => &d + &(&term * &k),
            };
        }
        d
    }

    /// An index expression below a length.
    fn index(&mut self, len: i64, depth: usize) -> Dim {
        let mut d = self.free_index();
        if depth > 0 && self.below(4) == 0 {
            let x = self.expr(Scalar::I64, depth - 1);
            let value = self.b.index_of(x).rem(&Dim::Known(1000));
            d = &d + &value;
        }
        d.rem(&Dim::Known(len))
    }

    fn truth(&mut self, depth: usize) -> ExprId {
        self.expr(Scalar::Bool, depth)
    }

    fn leaf(&mut self, ty: Scalar, depth: usize) -> ExprId {
        match self.below(6) {
            0 => {
                let c = self.constant(ty);
                self.b.constant(c)
            }
            1 => {
                let d = self.free_index();
                let x = self.b.index(d);
                self.b.cast(ty, x)
            }
            2 | 3 if !self.locals.is_empty() => {
                let l = self.pick(&self.locals.clone());
                let x = self.b.add(Expr::Local(l));
                self.b.cast(ty, x)
            }
            _ => {
                let readable: Vec<u32> = (0..self.b.kernel.params.len() as u32)
                    .filter(|p| self.b.kernel.params[*p as usize].access != Access::Write)
                    .collect();
                let fits = |p: &u32| self.b.kernel.params[*p as usize].elem.scalar() == ty;
                let best: Vec<u32> = readable.iter().copied().filter(fits).collect();
                let param = if best.is_empty() { self.pick(&readable) } else { self.pick(&best) };
                let at = self.index(self.lens[param as usize], depth);
                let x = self.b.load(param, at);
                self.b.cast(ty, x)
            }
        }
    }

    fn expr(&mut self, ty: Scalar, depth: usize) -> ExprId {
        if depth == 0 {
            return self.leaf(ty, 0);
        }
        let d = depth - 1;
        match self.below(16) {
            0 => self.leaf(ty, d),
            1 => {
                let from = self.pick(&SCALARS);
                let x = self.expr(from, d);
                self.b.cast(ty, x)
            }
            2 => {
                let (c, x, y) = (self.truth(d), self.expr(ty, d), self.expr(ty, d));
                self.b.add(Expr::Select(c, x, y))
            }
            3 => self.guarded(ty, d),
            4 | 5 if self.reductions < 2 => self.reduce(ty, d),
            6 if self.taste.checks => {
                let mut ok = self.truth(d);
                if self.below(8) != 0 {
                    let yes = self.b.constant(Const::bool(true));
                    ok = self.b.binary(BinOp::Or, ok, yes);
                }
                let (x, code) = (self.expr(ty, d), self.below(3) as u32);
                self.b.add(Expr::Check { ok, x, code })
            }
            7 => self.bits(ty, d),
            8 => self.narrow(ty, d),
            9 | 10 => self.unary(ty, d),
            _ => self.binary(ty, d),
        }
    }

    /// A load that is in bounds where a condition holds.
    fn guarded(&mut self, ty: Scalar, d: usize) -> ExprId {
        let at = self.free_index();
        let param = self.below(self.b.kernel.params.len()) as u32;
        if self.b.kernel.params[param as usize].access == Access::Write {
            return self.leaf(ty, d);
        }
        let index = self.b.index(at.clone());
        let len = Const::from_i128(Scalar::I64, self.lens[param as usize].into());
        let (zero, len) = (self.b.constant(Const::from_i128(Scalar::I64, 0)), self.b.constant(len));
        let (low, high) =
            (self.b.binary(BinOp::Le, zero, index), self.b.binary(BinOp::Lt, index, len));
        let inside = self.b.binary(BinOp::And, low, high);
        let x = self.b.load(param, at);
        let (x, other) = (self.b.cast(ty, x), self.expr(ty, d));
        self.b.add(Expr::Guard(inside, x, other))
    }

    fn reduce(&mut self, ty: Scalar, d: usize) -> ExprId {
        let kind = match ty {
            Scalar::Bool => self.pick(&[ReduceKind::And, ReduceKind::Or, ReduceKind::Max]),
            Scalar::F32 if !self.taste.f32_sums => self.pick(&[ReduceKind::Max, ReduceKind::Min]),
            _ => self.pick(&[ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min]),
        };
        let mut axes = Vec::new();
        for _ in 0..=self.below(2) {
            let (_, extent) = self.extent();
            let var = self.b.counter();
            axes.push((var, extent));
        }
        self.open.extend(axes.iter().map(|(v, _)| *v));
        self.reductions += 1;
        let x = self.expr(ty, d);
        self.reductions -= 1;
        self.open.truncate(self.open.len() - axes.len());
        self.b.add(Expr::Reduce { kind, axes, x })
    }

    fn bits(&mut self, ty: Scalar, d: usize) -> ExprId {
        let width: Vec<Scalar> = SCALARS.into_iter().filter(|s| s.bits() == ty.bits()).collect();
        let from = self.pick(&width);
        let mut x = self.expr(from, d);
        if from.is_float() {
            // The payload of NaN is not for kernels to see.
            let nan = self.b.unary(UnOp::IsNan, x);
            let zero = self.b.constant(Const::from_f64(from, 0.0));
            x = self.b.add(Expr::Select(nan, zero, x));
        }
        self.b.add(Expr::Bitcast(ty, x))
    }

    fn narrow(&mut self, ty: Scalar, d: usize) -> ExprId {
        let x = self.expr(ty, d);
        if ty == Scalar::Bool {
            return x;
        }
        let fits = |t: &&DType| match ty.is_float() {
            true => t.is_float() && t.bits() <= ty.bits(),
            false => t.is_integer() && t.bits() <= ty.bits(),
        };
        let list: Vec<DType> = DType::ALL.iter().filter(fits).copied().collect();
        let to = self.pick(&list);
        let rounding = self.pick(&[CastRounding::Up, CastRounding::Down, CastRounding::Nearest]);
        let saturate = self.below(2) == 0;
        self.b.add(Expr::Narrow(Narrow { to, saturate, rounding }, x))
    }

    fn unary(&mut self, ty: Scalar, d: usize) -> ExprId {
        use UnOp::*;
        if ty == Scalar::Bool && self.below(2) == 0 {
            let from = self.pick(&[Scalar::F32, Scalar::F64]);
            let x = self.expr(from, d);
            return self.b.unary(IsNan, x);
        }
        let op = match ty {
            Scalar::Bool => Not,
            Scalar::F32 | Scalar::F64 if self.taste.exact => {
                self.pick(&[Neg, Abs, Sign, Floor, Ceil, Round, Sqrt])
            }
            Scalar::F32 | Scalar::F64 => self.pick(&[
                Sqrt, Exp, Log, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Asinh, Acosh,
                Atanh, Erf,
            ]),
            _ => self.pick(&[Neg, Abs, Sign, Not]),
        };
        let x = self.expr(ty, d);
        self.b.unary(op, x)
    }

    fn binary(&mut self, ty: Scalar, d: usize) -> ExprId {
        use BinOp::*;
        if ty == Scalar::Bool && self.below(2) == 0 {
            let from = self.pick(&SCALARS);
            let (x, y) = (self.expr(from, d), self.expr(from, d));
            let op = self.pick(&[Eq, Lt, Le]);
            return self.b.binary(op, x, y);
        }
        let op = match ty {
            Scalar::Bool => self.pick(&[And, Or, Xor, Max, Min]),
            Scalar::F32 | Scalar::F64 if !self.taste.exact && self.below(8) == 0 => Pow,
            Scalar::F32 | Scalar::F64 => {
                self.pick(&[Add, Sub, Mul, Div, Rem, FloorRem, Max, Min, MaxNum, MinNum, Add, Mul])
            }
            _ => self.pick(&[
                Add, Sub, Mul, Div, FloorDiv, Rem, FloorRem, Max, Min, And, Or, Xor, Shl, Shr,
            ]),
        };
        let (x, mut y) = (self.expr(ty, d), self.expr(ty, d));
        if ty.is_int() && matches!(op, Div | FloorDiv | Rem | FloorRem) {
            let one = self.b.constant(Const::from_i128(ty, 1));
            y = self.b.binary(Or, y, one);
        }
        self.b.binary(op, x, y)
    }

    /// A new local with a value.
    fn set_new(&mut self) -> Stmt {
        let ty = self.pick(&SCALARS);
        let value = self.expr(ty, 2);
        let local = self.b.local(ty);
        self.locals.push(local);
        Stmt::Set { local, value }
    }

    /// Statements on locals, within one iteration.
    fn local_work(&mut self, depth: usize) -> Vec<Stmt> {
        let mut list = vec![self.set_new()];
        for _ in 0..self.below(3) {
            let known = self.locals.len();
            let stmt = match self.below(5) {
                0 if depth > 0 => {
                    let cond = self.truth(2);
                    let then = self.local_work(depth - 1);
                    self.locals.truncate(known);
                    let mut otherwise = Vec::new();
                    if self.below(2) == 0 {
                        otherwise = self.local_work(depth - 1);
                        self.locals.truncate(known);
                    }
                    Stmt::If { cond, then, otherwise }
                }
                1 if depth > 0 => {
                    let (_, extent) = self.extent();
                    let var = self.b.counter();
                    self.open.push(var);
                    let body = self.local_work(depth - 1);
                    self.open.pop();
                    self.locals.truncate(known);
                    Stmt::For { var, extent, kind: LoopKind::Serial, body }
                }
                2 if depth > 0 => {
                    list.extend(self.repeat(depth));
                    continue;
                }
                _ if !self.locals.is_empty() => {
                    let local = self.pick(&self.locals.clone());
                    let value = self.expr(self.b.kernel.locals[local.0 as usize], 2);
                    Stmt::Set { local, value }
                }
                _ => self.set_new(),
            };
            list.push(stmt);
        }
        list
    }

    /// A loop that ends after at most four rounds.
    fn repeat(&mut self, depth: usize) -> [Stmt; 2] {
        let count = self.b.local(Scalar::I32);
        let rounds = self.below(5) as i128;
        let start = self.b.constant(Const::from_i128(Scalar::I32, rounds));
        let (at, zero, one) = (
            self.b.add(Expr::Local(count)),
            self.b.constant(Const::from_i128(Scalar::I32, 0)),
            self.b.constant(Const::from_i128(Scalar::I32, 1)),
        );
        let more = self.b.binary(BinOp::Lt, zero, at);
        let extra = self.truth(1);
        let cond = self.b.binary(BinOp::And, more, extra);
        let next = self.b.binary(BinOp::Sub, at, one);
        let known = self.locals.len();
        let mut body = self.local_work(depth - 1);
        self.locals.truncate(known);
        body.push(Stmt::Set { local: count, value: next });
        [Stmt::Set { local: count, value: start }, Stmt::While { cond, body }]
    }

    /// Independent loops that store one element per iteration.
    fn independent(&mut self) -> Vec<Stmt> {
        let (mut at, mut len, mut loops) = (Dim::Known(0), 1, Vec::new());
        for _ in 0..=self.below(3) {
            let (n, extent) = self.extent();
            let var = self.b.counter();
            at = &(&at * &extent) + &Dim::symbol(var);
            len *= n;
            loops.push((var, extent));
            self.open.push(var);
        }
        let elem = self.elem();
        let param = self.param(elem, Access::Write, len.max(1));
        let mut body = if self.below(2) == 0 { self.local_work(2) } else { Vec::new() };
        let value = self.expr(elem.scalar(), 4);
        body.push(Stmt::Store { param, at, value });
        let innermost = loops.len() - 1;
        for (i, (var, extent)) in loops.into_iter().enumerate().rev() {
            let kind = match i == innermost && self.below(2) == 0 {
                true => LoopKind::Vector,
                false => LoopKind::Independent,
            };
            body = vec![Stmt::For { var, extent, kind, body }];
        }
        self.open.clear();
        body
    }

    /// A loop in order over memory that is read and written.
    fn serial(&mut self) -> Vec<Stmt> {
        let elem = self.elem();
        let len = 1 + self.below(9) as i64;
        let param = self.param(elem, Access::ReadWrite, len);
        let mut list = self.local_work(1);
        let (_, extent) = self.extent();
        let var = self.b.counter();
        self.open.push(var);
        let known = self.locals.len();
        let mut body = self.local_work(2);
        for _ in 0..=self.below(2) {
            let at = self.index(len, 2);
            let value = self.expr(elem.scalar(), 3);
            body.push(Stmt::Store { param, at, value });
        }
        self.locals.truncate(known);
        self.open.pop();
        list.push(Stmt::For { var, extent, kind: LoopKind::Serial, body });
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_kernel;
    use crate::interp::{Fault, run_kernel};
    use crate::memory::Block;

    #[test]
    fn random_kernels_are_well_formed_and_run() {
        let (mut failed, mut grids) = (0, 0);
        for seed in 0..2000 {
            let Case { kernel, sizes, buffers } = case(seed, Taste::default());
            assert_eq!(check_kernel(&kernel), Ok(()), "seed {seed}");
            let blocks: Vec<Block> = buffers
                .iter()
                .map(|bytes| {
                    let mut block = Block::new(bytes.len()).unwrap();
                    block.bytes_mut().copy_from_slice(bytes);
                    block
                })
                .collect();
            let mems: Vec<_> = blocks.iter().map(Block::mem).collect();
            match run_kernel(&kernel, &mems, &sizes) {
                Ok(()) => {}
                Err(Fault::Check(_)) => failed += 1,
                Err(fault) => panic!("seed {seed}: {fault}"),
            }
            grids += usize::from(kernel.grid().is_some());
        }
        assert!((20..600).contains(&failed), "{failed} checks failed");
        assert!(grids > 300, "{grids} kernels have a grid");
    }
}
