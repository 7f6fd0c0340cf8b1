//! Hand-made kernels with known results.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{CastRounding, ReduceKind};

use super::*;
use crate::ir::{Access, BinOp, Elem, KernelBuilder, LoopKind, Narrow, UnOp};
use crate::memory::Block;

fn f32s(values: &[f32]) -> Block {
    let mut block = Block::new(values.len() * 4).unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_ne_bytes()).collect();
    block.bytes_mut().copy_from_slice(&bytes);
    block
}

fn read_f32s(block: &Block) -> Vec<f32> {
    block.bytes().chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect()
}

fn for_each(var: Var, extent: Dim, body: Vec<Stmt>) -> Stmt {
    Stmt::For { var, extent, kind: LoopKind::Independent, body }
}

/// `y[i] = sum over j of x[i * n + j]`, divided by the number of columns.
fn row_means() -> Kernel {
    let mut b = KernelBuilder::new("row_means");
    let (x, y) = (b.param(Elem::F32, Access::Read), b.param(Elem::F32, Access::Write));
    let (m, n) = (Dim::symbol(b.size()), Dim::symbol(b.size()));
    let (i, j) = (b.counter(), b.counter());
    let at = &(&Dim::symbol(i) * &n) + &Dim::symbol(j);
    let element = b.load(x, at);
    let sum = b.add(Expr::Reduce { kind: ReduceKind::Sum, axes: vec![(j, n.clone())], x: element });
    let count = b.index(n);
    let count = b.cast(Scalar::F32, count);
    let value = b.binary(BinOp::Div, sum, count);
    b.kernel.body = vec![for_each(i, m, vec![Stmt::Store { param: y, at: Dim::symbol(i), value }])];
    b.kernel
}

#[test]
fn means_of_rows() {
    let (x, y) = (f32s(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]), f32s(&[0.0; 2]));
    run_kernel(&row_means(), &[x.mem(), y.mem()], &[2, 3]).unwrap();
    assert_eq!(read_f32s(&y), [2.0, 20.0]);
    let fault = run_kernel(&row_means(), &[x.mem(), y.mem()], &[2, 4]);
    assert_eq!(fault, Err(Fault::OutOfBounds { param: 0, at: 6, len: 6 }));
    let fault = run_kernel(&row_means(), &[x.mem(), y.mem()], &[2]);
    assert!(matches!(fault, Err(Fault::Malformed(_))));
}

/// Values remembered across iterations are forgotten when a local or memory changes.
#[test]
fn running_sum_in_place() {
    let mut b = KernelBuilder::new("scan");
    let x = b.param(Elem::F32, Access::ReadWrite);
    let n = Dim::symbol(b.size());
    let i = b.counter();
    let total = b.local(Scalar::F32);
    let (element, sum) = (b.load(x, Dim::symbol(i)), b.add(Expr::Local(total)));
    let next = b.binary(BinOp::Add, sum, element);
    let first = b.load(x, Dim::Known(0));
    let value = b.binary(BinOp::Mul, sum, first);
    b.kernel.body = vec![Stmt::For {
        var: i,
        extent: n,
        kind: LoopKind::Serial,
        body: vec![
            Stmt::Set { local: total, value: next },
            Stmt::Store { param: x, at: Dim::symbol(i), value },
        ],
    }];
    let x = f32s(&[2.0, 3.0, 4.0]);
    run_kernel(&b.kernel, &[x.mem()], &[3]).unwrap();
    // 2*2, then (2+3)*4, then (5+4)*4.
    assert_eq!(read_f32s(&x), [4.0, 20.0, 36.0]);
}

#[test]
fn guards_are_lazy_and_checks_are_remembered() {
    let mut b = KernelBuilder::new("pad");
    let (x, y) = (b.param(Elem::F32, Access::Read), b.param(Elem::F32, Access::Write));
    let i = b.counter();
    let at = b.index(Dim::symbol(i));
    let two = b.constant(Const::from_i128(Scalar::I64, 2));
    let inside = b.binary(BinOp::Lt, at, two);
    let (element, zero) =
        (b.load(x, Dim::symbol(i)), b.constant(Const::from_f64(Scalar::F32, -1.0)));
    let guarded = b.add(Expr::Guard(inside, element, zero));
    let value = b.add(Expr::Check { ok: inside, x: guarded, code: 7 });
    let store = |value| Stmt::Store { param: y, at: Dim::symbol(i), value };
    let mut lazy = b.kernel.clone();
    lazy.body = vec![for_each(i, Dim::Known(4), vec![store(guarded)])];
    let (x, y) = (f32s(&[5.0, 6.0]), f32s(&[0.0; 4]));
    run_kernel(&lazy, &[x.mem(), y.mem()], &[]).unwrap();
    assert_eq!(read_f32s(&y), [5.0, 6.0, -1.0, -1.0]);
    let mut checked = b.kernel.clone();
    checked.body = vec![for_each(i, Dim::Known(4), vec![store(value)])];
    let y = f32s(&[0.0; 4]);
    assert_eq!(run_kernel(&checked, &[x.mem(), y.mem()], &[]), Err(Fault::Check(7)));
    assert_eq!(read_f32s(&y), [5.0, 6.0, -1.0, -1.0]);
}

/// `y[i] = x[index[i]]` with an index that is computed.
#[test]
fn gather() {
    let mut b = KernelBuilder::new("gather");
    let x = b.param(Elem::F32, Access::Read);
    let index = b.param(Elem::I8, Access::Read);
    let y = b.param(Elem::F16, Access::Write);
    let i = b.counter();
    let at = b.load(index, Dim::symbol(i));
    let at = b.cast(Scalar::I64, at);
    let at = b.index_of(at);
    let value = b.load(x, at);
    b.kernel.body =
        vec![for_each(i, Dim::Known(3), vec![Stmt::Store { param: y, at: Dim::symbol(i), value }])];
    let (x, mut index, y) =
        (f32s(&[1.0, 65520.0, 0.1]), Block::new(3).unwrap(), Block::new(6).unwrap());
    index.bytes_mut().copy_from_slice(&[2, 1, 0]);
    run_kernel(&b.kernel, &[x.mem(), index.mem(), y.mem()], &[]).unwrap();
    let codes: Vec<u16> =
        y.bytes().chunks_exact(2).map(|c| u16::from_ne_bytes([c[0], c[1]])).collect();
    assert_eq!(codes, [0x2e66, 0x7c00, 0x3c00]);
}

#[test]
fn while_loops_and_branches() {
    // The number of steps of the Collatz sequence from 27.
    let mut b = KernelBuilder::new("collatz");
    let y = b.param(Elem::I32, Access::Write);
    let (x, steps) = (b.local(Scalar::I64), b.local(Scalar::I64));
    let constant = |b: &mut KernelBuilder, k| b.constant(Const::from_i128(Scalar::I64, k));
    let (start, one, two) = (constant(&mut b, 27), constant(&mut b, 1), constant(&mut b, 2));
    let three = constant(&mut b, 3);
    let zero = constant(&mut b, 0);
    let (at, count) = (b.add(Expr::Local(x)), b.add(Expr::Local(steps)));
    let more = b.binary(BinOp::Lt, one, at);
    let half = b.binary(BinOp::Div, at, two);
    let odd = b.binary(BinOp::FloorRem, at, two);
    let even = b.binary(BinOp::Eq, odd, zero);
    let triple = b.binary(BinOp::Mul, at, three);
    let up = b.binary(BinOp::Add, triple, one);
    let next = b.binary(BinOp::Add, count, one);
    let value = b.cast(Scalar::I32, count);
    b.kernel.body = vec![
        Stmt::Set { local: x, value: start },
        Stmt::While {
            cond: more,
            body: vec![
                Stmt::If {
                    cond: even,
                    then: vec![Stmt::Set { local: x, value: half }],
                    otherwise: vec![Stmt::Set { local: x, value: up }],
                },
                Stmt::Set { local: steps, value: next },
            ],
        },
        Stmt::Store { param: y, at: Dim::Known(0), value },
    ];
    let y = Block::new(4).unwrap();
    run_kernel(&b.kernel, &[y.mem()], &[]).unwrap();
    assert_eq!(y.bytes(), 111i32.to_ne_bytes());
}

#[test]
fn reductions_of_nothing() {
    let mut b = KernelBuilder::new("empty");
    let y = b.param(Elem::F32, Access::Write);
    let n = Dim::symbol(b.size());
    let j = b.counter();
    let x = b.constant(Const::from_f64(Scalar::F32, 3.0));
    let kinds = [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min];
    for (i, kind) in kinds.into_iter().enumerate() {
        let value = b.add(Expr::Reduce { kind, axes: vec![(j, n.clone())], x });
        b.kernel.body.push(Stmt::Store { param: y, at: Dim::Known(i as i64), value });
    }
    let y = f32s(&[0.0; 4]);
    run_kernel(&b.kernel, &[y.mem()], &[-1]).unwrap();
    assert_eq!(read_f32s(&y), [0.0, 1.0, f32::NEG_INFINITY, f32::INFINITY]);
    run_kernel(&b.kernel, &[y.mem()], &[2]).unwrap();
    assert_eq!(read_f32s(&y), [6.0, 9.0, 3.0, 3.0]);
}

#[test]
fn faults_name_their_cause() {
    let mut b = KernelBuilder::new("bad");
    let y = b.param(Elem::I64, Access::Write);
    let n = Dim::symbol(b.size());
    let value = b.index(Dim::Known(5).floor_div(&n));
    b.kernel.body = vec![Stmt::Store { param: y, at: Dim::Known(0), value }];
    let y = Block::new(8).unwrap();
    assert_eq!(run_kernel(&b.kernel, &[y.mem()], &[0]), Err(Fault::BadIndex));
    run_kernel(&b.kernel, &[y.mem()], &[-2]).unwrap();
    assert_eq!(y.bytes(), (-3i64).to_ne_bytes());
    b.kernel.exprs[value.0 as usize] = Expr::Unary(UnOp::Neg, value);
    let fault = run_kernel(&b.kernel, &[y.mem()], &[1]);
    assert_eq!(fault, Err(Fault::Malformed("e0: operand e0 stands later".into())));
}

fn int(ty: Scalar, x: i128) -> u64 {
    Const::from_i128(ty, x).bits
}

#[test]
fn integer_operations() {
    let op = |op, ty, a, b| {
        let bits = ops::binary(op, ty, int(ty, a), int(ty, b))?;
        Const { ty, bits }.as_int()
    };
    let i8 = Scalar::I8;
    assert_eq!(op(BinOp::Add, i8, 127, 1), Some(-128));
    assert_eq!(op(BinOp::Mul, i8, 100, 3), Some(44));
    assert_eq!(op(BinOp::Div, i8, -128, -1), Some(-128));
    assert_eq!(op(BinOp::Rem, i8, -128, -1), Some(0));
    assert_eq!(op(BinOp::Div, i8, -7, 2), Some(-3));
    assert_eq!(op(BinOp::FloorDiv, i8, -7, 2), Some(-4));
    assert_eq!(op(BinOp::FloorRem, i8, -7, 2), Some(1));
    assert_eq!(op(BinOp::FloorRem, i8, 7, -2), Some(-1));
    assert_eq!(op(BinOp::Div, i8, 1, 0), None);
    assert_eq!(op(BinOp::Shl, i8, 1, 7), Some(-128));
    assert_eq!(op(BinOp::Shl, i8, 1, 8), Some(0));
    assert_eq!(op(BinOp::Shr, i8, -1, -1), Some(-1));
    assert_eq!(op(BinOp::Shr, Scalar::U8, 255, 9), Some(0));
    let most = i128::from(u64::MAX);
    assert_eq!(op(BinOp::Mul, Scalar::U64, most, most), Some(1));
    assert_eq!(op(BinOp::Max, Scalar::U64, most, 1), Some(most));
    let min = i128::from(i64::MIN);
    assert_eq!(op(BinOp::Mul, Scalar::I64, min, min), Some(0));
    assert_eq!(op(BinOp::Div, Scalar::I64, min, -1), Some(min));
}

#[test]
fn float_operations() {
    let op = |op, a: f32, b: f32| {
        let bits = |x: f32| u64::from(x.to_bits());
        f32::from_bits(ops::binary(op, Scalar::F32, bits(a), bits(b)).unwrap() as u32)
    };
    assert!(op(BinOp::Max, 1.0, f32::NAN).is_nan() && op(BinOp::Min, f32::NAN, 1.0).is_nan());
    assert_eq!(op(BinOp::MaxNum, f32::NAN, 1.0), 1.0);
    assert_eq!(op(BinOp::FloorRem, -1.0, 3.0), 2.0);
    assert_eq!(op(BinOp::FloorRem, 6.0, -3.0).to_bits(), (-0.0f32).to_bits());
    assert_eq!(op(BinOp::Rem, -7.5, 2.0), -1.5);
    assert_eq!(op(BinOp::Add, 16_777_216.0, 1.0), 16_777_216.0);
    let un = |op, x: f32| f32::from_bits(ops::unary(op, Scalar::F32, x.to_bits().into()) as u32);
    assert_eq!(un(UnOp::Sign, -0.0).to_bits(), 0);
    assert_eq!(un(UnOp::Round, 2.5), 2.0);
    assert_eq!(un(UnOp::Round, -0.4).to_bits(), (-0.0f32).to_bits());
    assert!((un(UnOp::Erf, 0.5) - 0.520_499_9).abs() < 1e-7);
}

#[test]
fn conversions() {
    let cast = |to, x: f32| {
        let bits = ops::cast(to, Scalar::F32, x.to_bits().into());
        Const { ty: to, bits }.as_int().unwrap()
    };
    assert_eq!(cast(Scalar::I8, 300.0), 127);
    assert_eq!(cast(Scalar::I8, -1e9), -128);
    assert_eq!(cast(Scalar::U8, -3.0), 0);
    assert_eq!(cast(Scalar::I64, f32::INFINITY), i64::MAX.into());
    assert_eq!(cast(Scalar::I32, f32::NAN), 0);
    assert_eq!(cast(Scalar::Bool, f32::NAN), 1);
    let wide = int(Scalar::I64, (1 << 54) + (1 << 30) + 1);
    assert_eq!(
        ops::cast(Scalar::F32, Scalar::I64, wide),
        u64::from((2f32.powi(54) + 2f32.powi(31)).to_bits())
    );
    let narrow = |to, saturate, ty, x| {
        ops::narrow(Narrow { to, saturate, rounding: CastRounding::Up }, ty, x)
    };
    let f = |x: f32| u64::from(x.to_bits());
    assert_eq!(narrow(DType::F8E4M3FN, true, Scalar::F32, f(1e9)), f(448.0));
    assert_eq!(narrow(DType::F8E8M0, true, Scalar::F32, f(1.1)), f(2.0));
    let x = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
    let up = 1.0 + 2f64.powi(-10);
    assert_eq!(narrow(DType::F16, true, Scalar::F64, x.to_bits()), up.to_bits());
    assert_eq!(narrow(DType::I4, true, Scalar::I8, 9), int(Scalar::I8, -7));
    assert_eq!(narrow(DType::U2, true, Scalar::U8, 7), 3);
}
