//! Elementwise, shape, reduce and activation ops against numbers that NumPy gives.

use std::collections::BTreeMap;

use airconv_ir::array::{Array, StrBytes};
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range as DimRange};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::Type;

fn empty() -> Module {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    m
}

fn try_op(op: impl Into<Op>, operands: &[Array]) -> Result<Array, EvalError> {
    let operands: Vec<_> = operands.iter().map(|a| Some(Datum::from(a.clone()))).collect();
    let mut i = Interpreter::new(empty(), EvalLimits::default());
    let out = i.eval_op(&op.into(), &operands)?;
    Ok(out.into_iter().flatten().next().and_then(|d| d.as_array().cloned()).unwrap())
}

fn run(op: impl Into<Op>, operands: &[Array]) -> Array {
    try_op(op, operands).unwrap()
}

fn f32s(shape: &[usize], v: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap()
}

fn ints(dtype: DType, shape: &[usize], v: &[i64]) -> Array {
    Array::from_i64s(dtype, shape.to_vec(), v).unwrap()
}

fn i64s(v: &[i64]) -> Array {
    ints(DType::I64, &[v.len()], v)
}

fn bools(v: &[bool]) -> Array {
    Array::from_vec(vec![v.len()], v.to_vec()).unwrap()
}

fn iota(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    f32s(shape, &(0..n).map(|i| i as f32).collect::<Vec<_>>())
}

fn values(a: &Array) -> Vec<i64> {
    a.to_i64s().unwrap()
}

fn floats(a: &Array) -> Vec<f64> {
    a.to_f64s().unwrap()
}

#[track_caller]
fn near(a: &Array, want: &[f64], rel: f64) {
    let got = floats(a);
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        let same = g == w || (g.is_nan() && w.is_nan());
        assert!(same || (g - w).abs() <= rel * w.abs(), "{got:?} is not {want:?}");
    }
}

fn known(dims: &[i64]) -> Vec<Dim> {
    dims.iter().map(|&d| Dim::Known(d)).collect()
}

mod elementwise {
    use super::*;

    #[test]
    fn integers_wrap_in_their_dtype() {
        let a = ints(DType::I4, &[2], &[7, -8]);
        assert_eq!(values(&run(Add {}, &[a.clone(), a.clone()])), [-2, 0]);
        assert_eq!(values(&run(Mul {}, &[a.clone(), a.clone()])), [1, 0]);
        assert_eq!(values(&run(Neg {}, &[a.clone()])), [-7, -8]);
        assert_eq!(values(&run(Abs {}, &[a.clone()])), [7, -8]);
        let minus = ints(DType::I4, &[2], &[-1, -1]);
        let div = Div { rounding: IntRounding::Trunc };
        assert_eq!(values(&run(div, &[a, minus])), [-7, -8]);
        let big = ints(DType::U8, &[2], &[200, 3]);
        assert_eq!(values(&run(Sub {}, &[big.clone(), ints(DType::U8, &[2], &[201, 4])])), [255; 2]);
    }

    #[test]
    fn division_rounds_as_asked() {
        let a = i64s(&[7, -7, 7, -7, i64::MIN]);
        let b = i64s(&[2, 2, -2, -2, -1]);
        let two = |op: Op| values(&run(op, &[a.clone(), b.clone()]));
        let (trunc, floor) = (IntRounding::Trunc, IntRounding::Floor);
        assert_eq!(two(Div { rounding: trunc }.into()), [3, -3, -3, 3, i64::MIN]);
        assert_eq!(two(Div { rounding: floor }.into()), [3, -4, -4, 3, i64::MIN]);
        assert_eq!(two(Rem { rounding: trunc }.into()), [1, -1, 1, -1, 0]);
        assert_eq!(two(Rem { rounding: floor }.into()), [1, 1, -1, -1, 0]);
        let zero = try_op(Div { rounding: trunc }, &[i64s(&[1]), i64s(&[0])]);
        assert!(matches!(zero, Err(EvalError::Failed(_))));
        let x = f32s(&[4], &[-4.3, 7.2, 5.0, -1.0]);
        let y = f32s(&[4], &[2.1, -3.4, 8.0, f32::INFINITY]);
        let mods = run(Rem { rounding: floor }, &[x, y]);
        near(&mods, &[2.0, -3.0, 5.0, f64::INFINITY], 1e-6);
    }

    #[test]
    fn powers_take_the_dtype_of_the_base() {
        let base = ints(DType::I32, &[4], &[2, -1, 3, 10]);
        let e = i64s(&[10, -3, -1, 10]);
        assert_eq!(values(&run(Pow {}, &[base.clone(), e])), [1024, -1, 0, 1410065408]);
        let e = f32s(&[4], &[0.5, 2.0, 2.0, 1.0]);
        assert_eq!(values(&run(Pow {}, &[base, e])), [1, 1, 9, 10]);
        let e = ints(DType::U8, &[2], &[3, 0]);
        near(&run(Pow {}, &[f32s(&[2], &[-1.5, f32::NAN]), e]), &[-3.375, 1.0], 0.0);
        let failed = try_op(Pow {}, &[i64s(&[0]), i64s(&[-1])]);
        assert!(matches!(failed, Err(EvalError::Failed(_))));
    }

    #[test]
    fn nan_rules_of_extremes() {
        let a = f32s(&[3], &[f32::NAN, 1.0, 2.0]);
        let b = f32s(&[3], &[1.0, f32::NAN, 3.0]);
        let two = |op: Op| floats(&run(op, &[a.clone(), b.clone()]));
        let p = two(Max { nan: NanRule::Propagate }.into());
        assert!(p[0].is_nan() && p[1].is_nan() && p[2] == 3.0);
        assert_eq!(two(Min { nan: NanRule::Number }.into()), [1.0, 1.0, 2.0]);
    }

    #[test]
    fn shifts_beyond_the_width() {
        let x = ints(DType::I8, &[4], &[-128, -128, 127, 1]);
        let n = ints(DType::I8, &[4], &[7, 8, 100, -1]);
        assert_eq!(values(&run(ShiftRight {}, &[x.clone(), n.clone()])), [-1, -1, 0, 0]);
        assert_eq!(values(&run(ShiftLeft {}, &[x, n])), [0, 0, 0, 0]);
    }

    #[test]
    fn functions_of_floats() {
        let x = f32s(&[3], &[0.5, -1.5, 2.5]);
        near(&run(Round {}, &[x.clone()]), &[0.0, -2.0, 2.0], 0.0);
        let erf = [0.5204998778130465, -0.9661051464753108, 0.999593047982555];
        near(&run(Erf {}, &[x.clone()]), &erf, 6e-8);
        let half = Array::from_f64s(DType::F16, vec![1], &[10.0]).unwrap();
        near(&run(Exp {}, &[half]), &[22032.0], 0.0);
        let sign = run(Sign {}, &[f32s(&[4], &[-0.0, f32::NAN, -3.0, 9.0])]);
        near(&sign, &[0.0, f64::NAN, -1.0, 1.0], 0.0);
    }

    #[test]
    fn bits_of_another_dtype() {
        let x = f32s(&[2], &[1.0, -0.0]);
        let y = run(Bitcast { to: DType::I32 }, &[x.clone()]);
        assert_eq!(values(&y), [0x3f80_0000, i64::from(i32::MIN)]);
        assert!(try_op(Bitcast { to: DType::I64 }, &[x]).is_err());
    }

    #[test]
    fn infinities_and_bounds() {
        let x = f32s(&[3], &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
        let inf = |p, n| run(IsInf { detect_positive: p, detect_negative: n }, &[x.clone()]);
        assert_eq!(inf(true, true), bools(&[true, true, false]));
        assert_eq!(inf(true, false), bools(&[true, false, false]));
        assert_eq!(inf(false, true), bools(&[false, true, false]));
        assert_eq!(inf(false, false), bools(&[false, false, false]));
        let bound = |v| ints(DType::I8, &[], &[v]);
        let y = run(Clip {}, &[ints(DType::I8, &[3], &[-5, 0, 5]), bound(2), bound(-1)]);
        assert_eq!(values(&y), [-1, -1, -1]);
        let words = |a, b| Array::from_strs(vec![2], &[a, b]).unwrap();
        let eq = run(Equal {}, &[words("a", "b"), words("a", "c")]);
        assert_eq!(eq, bools(&[true, false]));
    }

    #[test]
    fn means_of_many() {
        let ops = [f32s(&[2], &[1.0, 2.0]), f32s(&[2], &[2.0, 3.0]), f32s(&[2], &[6.0, 4.0])];
        near(&run(VariadicMean {}, &ops), &[3.0, 3.0], 0.0);
        near(&run(VariadicMax {}, &ops), &[6.0, 4.0], 0.0);
    }

    #[test]
    fn wrong_dtypes_are_refused() {
        assert!(try_op(Add {}, &[bools(&[true]), bools(&[true])]).is_err());
        assert!(try_op(And {}, &[i64s(&[1]), i64s(&[1])]).is_err());
        assert!(try_op(Add {}, &[i64s(&[1]), i64s(&[1, 2])]).is_err());
        assert!(try_op(Sqrt {}, &[i64s(&[4])]).is_err());
    }
}

mod shape {
    use super::*;

    fn slice(axis: i64, start: i64, end: i64, step: i64) -> Slice {
        Slice { axes: vec![axis], starts: known(&[start]), ends: known(&[end]), steps: vec![step] }
    }

    #[test]
    fn slices_clamp_as_numpy() {
        let x = i64s(&[0, 1, 2, 3, 4]);
        let take = |s, e, k| values(&run(slice(0, s, e, k), std::slice::from_ref(&x)));
        assert_eq!(take(1, i64::MAX, 2), [1, 3]);
        assert_eq!(take(-2, 100, 1), [3, 4]);
        assert_eq!(take(-1, i64::MIN, -2), [4, 2, 0]);
        assert_eq!(take(10, 1, -1), [4, 3, 2]);
        assert_eq!(take(3, 1, 1), [0i64; 0]);
        assert_eq!(take(-100, 2, 1), [0, 1]);
        assert_eq!(take(2, -1, i64::MIN), [0i64; 0]);
        assert_eq!(take(4, 0, i64::MIN), [4]);
    }

    #[test]
    fn pads_in_every_mode() {
        let x = i64s(&[1, 2, 3]);
        let pad = |mode, low, high| {
            values(&run(Pad { low: known(&[low]), high: known(&[high]), mode }, &[x.clone()]))
        };
        assert_eq!(pad(PadMode::Constant, 1, 2), [0, 1, 2, 3, 0, 0]);
        assert_eq!(pad(PadMode::Constant, -1, 1), [2, 3, 0]);
        assert_eq!(pad(PadMode::Edge, 2, 1), [1, 1, 1, 2, 3, 3]);
        assert_eq!(pad(PadMode::Reflect, 5, 3), [2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2]);
        assert_eq!(pad(PadMode::Wrap, 4, 2), [3, 1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(pad(PadMode::Edge, -2, 1), [3, 3]);
        let full = Pad { low: known(&[1]), high: known(&[0]), mode: PadMode::Constant };
        assert_eq!(values(&run(full, &[x, ints(DType::I64, &[], &[9])])), [9, 1, 2, 3]);
    }

    #[test]
    fn blocks_of_depth() {
        let x = iota(&[1, 8, 1, 2]);
        let d = |mode| run(DepthToSpace { blocksize: 2, mode }, &[x.clone()]);
        let y = d(DepthOrder::Dcr);
        assert_eq!(y.shape, [1, 2, 2, 4]);
        let want = [0., 4., 1., 5., 8., 12., 9., 13., 2., 6., 3., 7., 10., 14., 11., 15.];
        near(&y, &want, 0.0);
        let want = [0., 2., 1., 3., 4., 6., 5., 7., 8., 10., 9., 11., 12., 14., 13., 15.];
        near(&d(DepthOrder::Crd), &want, 0.0);
        let back = run(SpaceToDepth { blocksize: 2 }, &[y]);
        assert_eq!(back, x);
    }

    #[test]
    fn triangles_and_diagonals() {
        let x = ints(DType::I64, &[2, 3], &[1, 2, 3, 4, 5, 6]);
        let tri = |upper, k| run(Trilu { upper, k: Dim::Known(k) }, &[x.clone()]);
        assert_eq!(values(&tri(true, 1)), [0, 2, 3, 0, 0, 6]);
        assert_eq!(values(&tri(false, 0)), [1, 0, 0, 4, 5, 0]);
        let eye = run(EyeLike { dtype: Some(DType::F16), k: -1 }, &[x]);
        near(&eye, &[0., 0., 0., 1., 0., 0.], 0.0);
        assert_eq!(eye.dtype, DType::F16);
    }

    #[test]
    fn crops_and_pads_around_the_centre() {
        let ccp = |n: usize, to| {
            let op = CenterCropPad { axes: vec![0], dims: known(&[to]) };
            values(&run(op, &[i64s(&(1..=n as i64).collect::<Vec<_>>())]))
        };
        assert_eq!(ccp(5, 2), [2, 3]);
        assert_eq!(ccp(4, 1), [2]);
        assert_eq!(ccp(2, 5), [0, 1, 2, 0, 0]);
    }

    #[test]
    fn ranges() {
        let scalars = |v: &[f32; 3]| v.map(|x| f32s(&[], &[x]));
        let r = |v| run(Range { size: None }, &scalars(v));
        near(&r(&[1.0, 2.0, 0.3]), &[1.0, 1.3, 1.6, 1.9], 1e-6);
        near(&r(&[3.0, 2.0, 1.0]), &[], 0.0);
        let s = |v: [i64; 3]| v.map(|x| ints(DType::I32, &[], &[x]));
        assert_eq!(values(&run(Range { size: None }, &s([10, 3, -3]))), [10, 7, 4]);
        assert_eq!(values(&run(Range { size: None }, &s([0, -6, -3]))), [0, -3]);
        assert!(try_op(Range { size: None }, &s([0, 1, 0])).is_err());
    }

    #[test]
    fn tiles_and_splits() {
        let x = ints(DType::I64, &[2, 2], &[1, 2, 3, 4]);
        let t = run(Tile { repeats: known(&[2, 2]) }, &[x.clone()]);
        assert_eq!(values(&t), [1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4]);
        let mut i = Interpreter::new(empty(), EvalLimits::default());
        let op = Split { axis: 1, sizes: known(&[2, 0]) }.into();
        let parts = i.eval_op(&op, &[Some(x.into())]).unwrap();
        let shapes: Vec<_> =
            parts.iter().flatten().map(|d| d.as_array().unwrap().shape.clone()).collect();
        assert_eq!(shapes, [[2, 2], [2, 0]]);
    }

    #[test]
    fn strings_move_too() {
        let x = Array::from_strs(vec![2], &["a", "b"]).unwrap();
        let y = run(Pad { low: known(&[1]), high: known(&[0]), mode: PadMode::Constant }, &[x]);
        assert_eq!(y.as_slice::<StrBytes>().unwrap()[0].len(), 0);
    }

    /// A function of x f32[n, 4] with a builder at its body.
    fn with_symbolic<T>(
        f: impl FnOnce(&mut Builder<'_>, airconv_ir::entity::ValueId, &Dim) -> T,
    ) -> (Module, T) {
        let mut m = empty();
        let entry = m.entry;
        let n = Dim::from(m.functions[entry].add_symbol("n", DimRange::NONNEG, None));
        let ty = Type::tensor(DType::F32, [n.clone(), Dim::Known(4)]);
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let x = m.functions[entry].add_input("x", ty, role);
        let region = m.functions[entry].body;
        let mut b = Builder::new(&mut m, entry, region, OriginId(0));
        let out = f(&mut b, x, &n);
        (m, out)
    }

    #[test]
    fn symbolic_sizes_stay_exact() {
        let (_, shapes) = with_symbolic(|b, x, n| {
            let ops: [Op; 6] = [
                slice(0, 0, i64::MAX, 2).into(),
                slice(0, 1, -1, 1).into(),
                slice(0, -1, i64::MIN, -1).into(),
                Flatten { axis: 2 }.into(),
                Reshape { dims: vec![n * 4] }.into(),
                Pad { low: known(&[1, 0]), high: known(&[1, -4]), mode: PadMode::Edge }.into(),
            ];
            ops.map(|op| {
                let v = b.emit(op, &[x]).unwrap();
                let shape = b.tensor_ty(v).unwrap().shape;
                shape.iter().map(|d| b.f().dim_text(d)).collect::<Vec<_>>().join(", ")
            })
        });
        let want =
            ["floordiv(n + 1, 2), 4", "max(0, n - 2), 4", "n, 4", "4*n, 1", "4*n", "n + 2, 0"];
        assert_eq!(shapes, want);
    }

    #[test]
    fn programs_with_symbolic_sizes_run() {
        let (mut m, y) = with_symbolic(|b, x, n| {
            let t = b.emit(Tile { repeats: known(&[2, 1]) }, &[x]).unwrap();
            let k = b.emit(Trilu { upper: true, k: n - 1 }, &[t]).unwrap();
            b.emit(CenterCropPad { axes: vec![0], dims: vec![n + 1] }, &[k]).unwrap()
        });
        let entry = m.entry;
        m.functions[entry].add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
        let mut i = Interpreter::new(m, EvalLimits::default());
        let inputs = BTreeMap::from([("x".to_owned(), Datum::from(iota(&[2, 4])))]);
        let out = i.run(&inputs).unwrap();
        let y = out[0].1.as_array().unwrap();
        assert_eq!(y.shape, [3, 4]);
        near(y, &[0., 1., 2., 3., 0., 0., 6., 7., 0., 0., 0., 3.], 0.0);
    }
}
