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
        assert_eq!(
            values(&run(Sub {}, &[big.clone(), ints(DType::U8, &[2], &[201, 4])])),
            [255; 2]
        );
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

mod facts {
    use super::*;
    use airconv_ir::entity::ValueId;
    use airconv_ir::infer::facts::Facts;

    /// Builds on x f32[n, 4, n + 2], visits all nodes and gives what is known of one value.
    fn known_of(f: impl FnOnce(&mut Builder<'_>, ValueId, &Dim) -> ValueId) -> Option<String> {
        let mut m = empty();
        let entry = m.entry;
        let n = Dim::from(m.functions[entry].add_symbol("n", DimRange::NONNEG, None));
        let ty = Type::tensor(DType::F32, [n.clone(), Dim::Known(4), &n + 2]);
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let x = m.functions[entry].add_input("x", ty, role);
        let region = m.functions[entry].body;
        let v = f(&mut Builder::new(&mut m, entry, region, OriginId(0)), x, &n);
        let f = &m.functions[entry];
        let mut facts = Facts::new();
        let inner = f.regions.ids().filter(|r| *r != f.body).chain([f.body]);
        for node in inner.flat_map(|r| f.regions[r].nodes.clone()) {
            facts.visit(&m, f, node);
        }
        let text = |d: &Dim| if d.is_any() { "?".to_owned() } else { f.dim_text(d) };
        Some(facts.get(v)?.iter().map(text).collect::<Vec<_>>().join(", "))
    }

    fn shape(b: &mut Builder<'_>, x: ValueId) -> ValueId {
        b.emit(ShapeOf { start: 0, end: None }, &[x]).unwrap()
    }

    fn typed(b: &mut Builder<'_>, op: impl Into<Op>, xs: &[ValueId], dims: Vec<Dim>) -> ValueId {
        let xs: Vec<_> = xs.iter().map(|&v| Some(v)).collect();
        let node = b.typed_node(op.into(), &xs, vec![Type::tensor(DType::I64, dims)], &[true]);
        b.f().nodes[node].result(0).unwrap()
    }

    fn pick(b: &mut Builder<'_>, v: ValueId, i: i64) -> ValueId {
        let i = b.scalar_int(DType::I64, i).unwrap();
        typed(b, Gather { axis: 0 }, &[v, i], Vec::new())
    }

    #[test]
    fn shape_gather_mul_concat() {
        let got = known_of(|b, x, _| {
            let s = shape(b, x);
            let (first, last) = (pick(b, s, 0), pick(b, s, -1));
            let two = b.scalar_int(DType::I64, 2).unwrap();
            let product = b.mul(first, two).unwrap();
            let half = b.div(last, two).unwrap();
            let axes = |b: &mut Builder<'_>, v| b.emit(Unsqueeze { axes: vec![0] }, &[v]).unwrap();
            let minus = b.ints(&[-1]).unwrap();
            let parts = [axes(b, product), axes(b, half), minus];
            b.concat(&parts, 0).unwrap()
        });
        assert_eq!(got.unwrap(), "2*n, floordiv(n, 2) + 1, -1");
    }

    #[test]
    fn expand_replaces_minus_one_by_one() {
        // where(shape == -1, ones, shape)
        let got = known_of(|b, x, _| {
            let size = b.emit(ShapeOf { start: 0, end: Some(1) }, &[x]).unwrap();
            let rest = b.ints(&[-1, 7]).unwrap();
            let wanted = b.concat(&[size, rest], 0).unwrap();
            let s = shape(b, wanted);
            let one = b.scalar_int(DType::I64, 1).unwrap();
            let ones = b.emit(Broadcast { dims: known(&[3]), implicit: false }, &[one]).unwrap();
            let minus = b.scalar_int(DType::I64, -1).unwrap();
            let is = b.equal(wanted, minus).unwrap();
            let _ = s;
            b.select(is, ones, wanted).unwrap()
        });
        assert_eq!(got.unwrap(), "n, 1, 7");
    }

    #[test]
    fn unknown_elements_do_not_hide_the_known_ones() {
        let got = known_of(|b, x, _| {
            let rank0 = b.reduce(ReduceKind::Sum, x, &[0, 1, 2], false).unwrap();
            let data = b.cast(rank0, DType::I64).unwrap();
            let data = b.unsqueeze(data, &[0]).unwrap();
            let s = shape(b, x);
            let all = b.concat(&[data, s], 0).unwrap();
            let reversed = Slice {
                axes: vec![0],
                starts: known(&[-1]),
                ends: known(&[i64::MIN]),
                steps: vec![-1],
            };
            b.emit(reversed, &[all]).unwrap()
        });
        assert_eq!(got.unwrap(), "n + 2, 4, n, ?");
    }

    #[test]
    fn stated_sizes_and_products() {
        let got = known_of(|b, x, n| {
            let total = b.reduce(ReduceKind::Max, x, &[0, 1, 2], false).unwrap();
            let v = b.cast(total, DType::I32).unwrap();
            b.node(DimsOf { dims: vec![n * 3] }, &[Some(v)]).unwrap();
            let s = shape(b, x);
            let p = b.reduce(ReduceKind::Prod, s, &[0], false).unwrap();
            let v = b.cast(v, DType::I64).unwrap();
            b.sub(p, v).unwrap()
        });
        assert_eq!(got.unwrap(), "4*n*n + 5*n");
    }

    #[test]
    fn pads_turned_around() {
        // As exported: a flat list of pads by axis from the last one becomes starts and ends.
        let got = known_of(|b, x, _| {
            let size = b.emit(ShapeOf { start: 0, end: Some(1) }, &[x]).unwrap();
            let rest = b.ints(&[1, 2, 3]).unwrap();
            let flat = b.concat(&[size, rest], 0).unwrap();
            let pairs = b.reshape(flat, &known(&[2, 2])).unwrap();
            let reversed = Slice {
                axes: vec![0],
                starts: known(&[-1]),
                ends: known(&[-i64::MAX]),
                steps: vec![-1],
            };
            let pairs = b.emit(reversed, &[pairs]).unwrap();
            let turned = b.transpose(pairs, &[1, 0]).unwrap();
            b.reshape(turned, &known(&[4])).unwrap()
        });
        assert_eq!(got.unwrap(), "2, n, 3, 1");
    }

    #[test]
    fn truncating_division_needs_signs() {
        let div = |by| {
            known_of(|b, x, n| {
                let m = b.dim_scalar(&(n - 1)).unwrap();
                let by = b.scalar_int(DType::I64, by).unwrap();
                let _ = x;
                b.div(m, by).unwrap()
            })
        };
        // n - 1 may be -1, which truncates to 0 and floors to -1.
        assert_eq!(div(2), None);
    }

    #[test]
    fn a_known_condition_chooses_the_branch() {
        let got = known_of(|b, x, n| {
            let four = b.scalar_int(DType::I64, 4).unwrap();
            let s = shape(b, x);
            let middle = pick(b, s, 1);
            let condition = b.equal(middle, four).unwrap();
            let branch = |b: &mut Builder<'_>, dim: &Dim| {
                let (region, _) = b.new_region(&[]);
                let v = b.in_region(region, |b| b.dim_scalar(dim)).unwrap();
                b.set_results(region, &[v]);
                region
            };
            let then_branch = branch(b, &(n + 5));
            let else_branch = branch(b, n);
            b.emit(If { then_branch, else_branch }, &[condition]).unwrap()
        });
        assert_eq!(got.unwrap(), "n + 5");
    }

    #[test]
    fn scatter_and_split() {
        let got = known_of(|b, x, _| {
            let s = shape(b, x);
            let at = Array::from_i64s(DType::I64, vec![2, 1], &[2, 0]).unwrap();
            let at = b.constant(&at).unwrap();
            let new = b.ints(&[9, 8]).unwrap();
            let op = ScatterNd { reduction: ScatterReduction::None };
            let v = typed(b, op, &[s, at, new], known(&[3]));
            let op = Split { axis: 0, sizes: known(&[1, 2]) };
            b.emit_all(op, &[Some(v)]).unwrap()[1]
        });
        assert_eq!(got.unwrap(), "4, 9");
    }
}

mod reduce {
    use super::*;

    fn reduce(kind: ReduceKind, axes: &[i64], keepdims: bool) -> Reduce {
        Reduce { kind, axes: axes.to_vec(), keepdims }
    }

    #[test]
    fn axes_in_any_place() {
        let x = iota(&[2, 3, 2]);
        let y = run(reduce(ReduceKind::Sum, &[1], false), &[x.clone()]);
        assert_eq!(y.shape, [2, 2]);
        near(&y, &[6., 9., 24., 27.], 0.0);
        let y = run(reduce(ReduceKind::Max, &[2, 0], true), &[x.clone()]);
        assert_eq!(y.shape, [1, 3, 1]);
        near(&y, &[7., 9., 11.], 0.0);
        assert_eq!(run(reduce(ReduceKind::Prod, &[], false), &[x.clone()]), x);
    }

    #[test]
    fn nothing_reduces_to_the_neutral_element() {
        let none = |dtype| Array::zeros(dtype, vec![0, 2]).unwrap();
        let r = |kind, dtype| run(reduce(kind, &[0], false), &[none(dtype)]);
        near(&r(ReduceKind::Max, DType::F16), &[f64::NEG_INFINITY; 2], 0.0);
        near(&r(ReduceKind::Min, DType::F8E4M3FN), &[448.0; 2], 0.0);
        assert_eq!(values(&r(ReduceKind::Max, DType::I4)), [-8, -8]);
        assert_eq!(values(&r(ReduceKind::Prod, DType::U8)), [1, 1]);
        assert_eq!(r(ReduceKind::And, DType::Bool), bools(&[true, true]));
        let arg = ArgReduce { kind: ArgKind::Max, axis: 0, keepdims: false, select_last: false };
        assert!(try_op(arg, &[none(DType::F32)]).is_err());
    }

    #[test]
    fn sums_are_exact_where_the_dtype_allows() {
        let n = 100_000;
        let x = f32s(&[n], &vec![0.1; n]);
        near(&run(reduce(ReduceKind::Sum, &[0], false), &[x.clone()]), &[10000.0], 1e-6);
        let half = Array::from_f64s(DType::F16, vec![4096], &[1.0; 4096]).unwrap();
        let mean = ReduceMean { axes: vec![0], keepdims: false };
        near(&run(mean, &[half]), &[1.0], 0.0);
        let bytes = ints(DType::U8, &[3], &[200, 100, 7]);
        assert_eq!(values(&run(reduce(ReduceKind::Sum, &[0], false), &[bytes])), [51]);
    }

    #[test]
    fn positions_of_extremes() {
        let x = f32s(&[2, 4], &[1., 3., 3., 0., 2., f32::NAN, 5., f32::NAN]);
        let arg = |kind, select_last| {
            let op = ArgReduce { kind, axis: 1, keepdims: true, select_last };
            values(&run(op, &[x.clone()]))
        };
        assert_eq!(arg(ArgKind::Max, false), [1, 1]);
        assert_eq!(arg(ArgKind::Max, true), [2, 3]);
        assert_eq!(arg(ArgKind::Min, false), [3, 1]);
    }

    #[test]
    fn running_combinations() {
        let x = ints(DType::I64, &[2, 3], &[1, 2, 3, 4, 5, 6]);
        let scan = |kind, axis, exclusive, reverse| {
            let x = x.clone();
            values(&run(ScanReduce { kind, axis, exclusive, reverse }, &[x]))
        };
        assert_eq!(scan(ReduceKind::Sum, 1, false, false), [1, 3, 6, 4, 9, 15]);
        assert_eq!(scan(ReduceKind::Sum, 1, true, true), [5, 3, 0, 11, 6, 0]);
        assert_eq!(scan(ReduceKind::Sum, 0, false, true), [5, 7, 9, 4, 5, 6]);
        assert_eq!(scan(ReduceKind::Prod, 1, true, false), [1, 1, 2, 1, 4, 20]);
        let x = f32s(&[4], &[1.0, f32::NAN, 5.0, 2.0]);
        let op = ScanReduce { kind: ReduceKind::Max, axis: 0, exclusive: false, reverse: true };
        near(&run(op, &[x]), &[f64::NAN, f64::NAN, 5.0, 2.0], 0.0);
    }

    #[test]
    fn composites() {
        let x = f32s(&[2, 2], &[1000.0, 1000.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
        let (axes, keepdims) = (vec![1], false);
        let lse = ReduceLogSumExp { axes: axes.clone(), keepdims };
        near(&run(lse, &[x]), &[1000.0 + std::f64::consts::LN_2, f64::NEG_INFINITY], 1e-7);
        let x = ints(DType::I32, &[2, 2], &[3, 4, -5, -12]);
        let l2 = ReduceL2 { axes: axes.clone(), keepdims };
        assert_eq!(values(&run(l2, &[x.clone()])), [5, 13]);
        let mean = ReduceMean { axes: axes.clone(), keepdims };
        assert_eq!(values(&run(mean, &[x.clone()])), [3, -8]);
        let l1 = ReduceL1 { axes: axes.clone(), keepdims };
        assert_eq!(values(&run(l1, &[x.clone()])), [7, 17]);
        let squares = ReduceSumSquare { axes, keepdims };
        assert_eq!(values(&run(squares, &[x])), [25, 169]);
    }
}

mod activation {
    use super::*;
    use airconv_ir::attr::Float;

    #[test]
    fn relative_precision_is_kept() {
        let x = f32s(&[5], &[-20.0, -1e-4, 0.0, 3.0, 100.0]);
        let xs = [x];
        let softplus = [
            2.061153620314381e-09,
            0.6930971818112084,
            std::f64::consts::LN_2,
            3.048587351573742,
            100.,
        ];
        near(&run(Softplus {}, &xs), &softplus, 3e-7);
        let mish = [-4.122307240628762e-8, -5.9996798468438774e-5, 0.0, 2.986535004967957, 100.0];
        near(&run(Mish {}, &xs), &mish, 1e-6);
        let elu = [-0.9999999979388464, -9.999499764070263e-5, 0.0, 3.0, 100.0];
        near(&run(Elu { alpha: Float(1.0) }, &xs), &elu, 3e-7);
        let swish = [-4.122307236380407e-8, -4.999749873702215e-5, 0.0, 2.8577223804672998, 100.0];
        near(&run(Swish { alpha: Float(1.0) }, &xs), &swish, 3e-7);
    }

    #[test]
    fn celu_and_selu() {
        let x = f32s(&[3], &[-2.0, 0.0, 2.0]);
        let celu = run(Celu { alpha: Float(2.0) }, &[x.clone()]);
        near(&celu, &[-1.2642411176571153, 0.0, 2.0], 3e-7);
        let selu = Selu { alpha: Float(1.67326319), gamma: Float(1.05070102) };
        near(&run(selu, &[x]), &[-1.5201665, 0.0, 2.10140204], 1e-6);
    }

    #[test]
    fn gelus() {
        let x = f32s(&[4], &[-1.0, 0.0, 0.5, 3.0]);
        let exact = [-0.15865525393145707, 0.0, 0.34573123063700656, 2.99595030590511];
        let op = Gelu { approximate: GeluKind::Exact };
        near(&run(op, &[x.clone()]), &exact, 1e-6);
        let tanh = [-0.15880800939172324, 0.0, 0.34571400982514394, 2.996362607918227];
        let op = Gelu { approximate: GeluKind::Tanh };
        near(&run(op, &[x.clone()]), &tanh, 1e-6);
        let shifted = f32s(&[1, 4], &[-2.0, -1.0, -0.5, 2.0]);
        let bias = f32s(&[4], &[1.0; 4]);
        near(&run(BiasGelu {}, &[shifted.clone(), bias.clone()]), &exact, 1e-6);
        near(&run(FastGelu {}, &[shifted, bias]), &tanh, 1e-6);
    }

    #[test]
    fn piecewise_linear_ones() {
        let x = f32s(&[5], &[-3.5, -0.5, 0.0, 0.5, 3.5]);
        let xs = [x.clone()];
        near(&run(LeakyRelu { alpha: Float(0.5) }, &xs), &[-1.75, -0.25, 0., 0.5, 3.5], 0.0);
        let op = HardSigmoid { alpha: Float(0.25), beta: Float(0.5) };
        near(&run(op, &xs), &[0.0, 0.375, 0.5, 0.625, 1.0], 0.0);
        let want = [0.0, -0.20833333, 0.0, 0.29166667, 3.5];
        near(&run(HardSwish {}, &xs), &want, 1e-6);
        let op = Shrink { bias: Float(1.5), lambd: Float(0.5) };
        near(&run(op.clone(), &xs), &[-2.0, 0.0, 0.0, 0.0, 2.0], 0.0);
        assert_eq!(values(&run(op, &[ints(DType::I8, &[3], &[-2, 0, 2])])), [0, 0, 0]);
        near(&run(ThresholdedRelu { alpha: Float(0.5) }, &xs), &[0., 0., 0., 0., 3.5], 0.0);
        near(&run(Softsign {}, &[f32s(&[2], &[-1.0, 3.0])]), &[-0.5, 0.75], 0.0);
        let slope = f32s(&[2, 1], &[2.0, 3.0]);
        let x = f32s(&[1, 2, 2], &[-1.0, 1.0, -1.0, 1.0]);
        near(&run(Prelu {}, &[x, slope]), &[-2.0, 1.0, -3.0, 1.0], 0.0);
        assert_eq!(values(&run(Relu {}, &[ints(DType::I8, &[2], &[-2, 2])])), [0, 2]);
    }

    #[test]
    fn slopes_do_not_widen_x() {
        let x = f32s(&[2], &[1.0, 2.0]);
        assert!(try_op(Prelu {}, &[x.clone(), f32s(&[1, 2], &[1.0, 1.0])]).is_err());
        assert!(try_op(Prelu {}, &[x, f32s(&[3], &[1.0; 3])]).is_err());
    }

    #[test]
    fn narrow_floats_round_once() {
        let x = Array::from_f64s(DType::BF16, vec![2], &[-1.5, 2.0]).unwrap();
        let y = run(Sigmoid {}, &[x]);
        assert_eq!(y.dtype, DType::BF16);
        near(&y, &[0.1826171875, 0.87890625], 0.0);
    }
}
