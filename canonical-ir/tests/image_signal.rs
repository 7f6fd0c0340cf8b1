//! Image and signal ops against numbers that ONNX Runtime and NumPy give, and their forms over
//! symbolic sizes against those over known ones.

use std::collections::BTreeMap;

use airconv_ir::array::{Array, Data};
use airconv_ir::attr::Float;
use airconv_ir::builder::Builder;
use airconv_ir::decompose::decompose;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::Type;

fn empty() -> Module {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    m
}

fn run(op: impl Into<Op>, operands: &[Array]) -> Array {
    let operands: Vec<_> = operands.iter().map(|a| Some(Datum::from(a.clone()))).collect();
    let mut i = Interpreter::new(empty(), EvalLimits::default());
    let out = i.eval_op(&op.into(), &operands).unwrap();
    out.into_iter().flatten().next().and_then(|d| d.as_array().cloned()).unwrap()
}

/// Runs the decomposition that is made for operands of unknown sizes. `op` is given one symbol
/// per axis of each operand, but for the last axes of the operands in `keep`.
fn run_symbolic(op: impl FnOnce(&[Vec<Dim>]) -> Op, operands: &[Array], keep: &[usize]) -> Array {
    let mut module = empty();
    let (func, body) = (module.entry, module.main().body);
    let mut b = Builder::new(&mut module, func, body, OriginId(0));
    let (mut dims, mut ids, mut given) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (i, a) in operands.iter().enumerate() {
        let last = a.shape.len().saturating_sub(1);
        let mut shape = Vec::new();
        for (axis, &n) in a.shape.iter().enumerate() {
            let known = keep.contains(&i) && axis == last;
            shape.push(if known { Dim::Known(n as i64) } else { b.fresh_dim("n", None) });
        }
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let ty = Type::tensor(a.dtype, shape.iter().cloned());
        ids.push(Some(b.f_mut().add_input(&format!("x{i}"), ty, role)));
        dims.push(shape);
        given.insert(format!("x{i}"), Datum::from(a.clone()));
    }
    let op = op(&dims);
    if op.info().operands.is_empty() {
        ids.clear();
    }
    // The op itself has to be typed, too.
    b.node(op.clone(), &ids).unwrap();
    let out = decompose(&mut b, &op, &ids, &[true]).unwrap();
    let y = out[0].unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
    let mut i = Interpreter::new(module, EvalLimits::default());
    i.run(&given).unwrap()[0].1.as_array().unwrap().clone()
}

fn f32s(shape: &[usize], v: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap()
}

fn image() -> Array {
    f32s(&[1, 1, 4, 4], &(1..=16).map(|i| i as f32).collect::<Vec<_>>())
}

#[track_caller]
fn near(a: &Array, shape: &[usize], want: &[f64]) {
    assert_eq!(a.shape, shape);
    let got = a.to_f64s().unwrap();
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 1e-5 * w.abs().max(1.0), "{got:?} is not {want:?}");
    }
}

fn known(dims: &[i64]) -> Vec<Dim> {
    dims.iter().map(|&d| Dim::Known(d)).collect()
}

fn resize(scales: &[f64], sizes: &[i64]) -> Resize {
    Resize {
        axes: Vec::new(),
        scales: scales.iter().map(|&s| Float(s)).collect(),
        sizes: known(sizes),
        mode: ResizeMode::Linear,
        coordinates: CoordinateMode::HalfPixel,
        nearest: NearestMode::RoundPreferFloor,
        antialias: false,
        cubic_coeff: Float(-0.75),
        exclude_outside: false,
        extrapolation_value: Float(0.0),
        aspect: AspectPolicy::Stretch,
    }
}

#[test]
fn resize_as_onnx_runtime() {
    let x = f32s(&[1, 1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
    let want = [1.0, 1.5, 2.1666665, 2.8333333, 3.5, 4.0];
    near(&run(resize(&[1.0, 1.0, 1.0, 1.5], &[]), &[x.clone()]), &[1, 1, 1, 6], &want);
    let symmetric = Resize {
        coordinates: CoordinateMode::HalfPixelSymmetric,
        ..resize(&[1.0, 1.0, 1.0, 1.7], &[])
    };
    let want = [1.0294119, 1.6176472, 2.2058825, 2.7941177, 3.382353, 3.9705882];
    near(&run(symmetric, &[x.clone()]), &[1, 1, 1, 6], &want);
    let corners =
        Resize { coordinates: CoordinateMode::AlignCorners, ..resize(&[1.0, 1.0, 1.0, 0.6], &[]) };
    near(&run(corners, &[x]), &[1, 1, 1, 2], &[1.0, 4.0]);

    let cubic = Resize {
        mode: ResizeMode::Cubic,
        exclude_outside: true,
        cubic_coeff: Float(-0.5),
        ..resize(&[], &[1, 1, 3, 5])
    };
    let want = [
        1.3681079, 2.0594625, 2.9113774, 3.763292, 4.4546466, 6.95673, 7.6480856, 8.5, 9.351914,
        10.043268, 12.545353, 13.236709, 14.088623, 14.940537, 15.631893,
    ];
    near(&run(cubic, &[image()]), &[1, 1, 3, 5], &want);
    let near_ceil = Resize {
        mode: ResizeMode::Nearest,
        nearest: NearestMode::RoundPreferCeil,
        coordinates: CoordinateMode::Asymmetric,
        ..resize(&[], &[1, 1, 7, 3])
    };
    let want = [
        1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 5.0, 6.0, 8.0, 9.0, 10.0, 12.0, 9.0, 10.0, 12.0, 13.0, 14.0,
        16.0, 13.0, 14.0, 16.0,
    ];
    near(&run(near_ceil, &[image()]), &[1, 1, 7, 3], &want);
    let policy = Resize {
        mode: ResizeMode::Nearest,
        axes: vec![2, 3],
        aspect: AspectPolicy::NotSmaller,
        ..resize(&[], &[1, 3])
    };
    let want = [1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 13.0, 14.0, 16.0];
    near(&run(policy, &[image()]), &[1, 1, 3, 3], &want);
}

#[test]
fn resize_with_a_filter_or_a_region() {
    let linear = Resize { antialias: true, ..resize(&[], &[1, 1, 2, 3]) };
    let want = [3.772727, 5.0, 6.227273, 10.772727, 12.0, 13.227272];
    near(&run(linear.clone(), &[image()]), &[1, 1, 2, 3], &want);
    let cubic = Resize { mode: ResizeMode::Cubic, ..linear };
    let want = [3.1159396, 4.4609375, 5.805937, 11.194065, 12.5390625, 13.884062];
    near(&run(cubic.clone(), &[image()]), &[1, 1, 2, 3], &want);
    let inside = Resize { exclude_outside: true, ..cubic };
    let want = [3.4302852, 4.7693872, 6.108489, 10.89151, 12.230612, 13.569714];
    near(&run(inside, &[image()]), &[1, 1, 2, 3], &want);
    let crop = Resize {
        coordinates: CoordinateMode::TfCropAndResize,
        extrapolation_value: Float(10.0),
        ..resize(&[], &[1, 1, 3, 3])
    };
    let roi = f32s(&[8], &[0.0, 0.0, 0.4, 0.6, 1.0, 1.0, 0.6, 1.2]);
    let want = [7.6, 8.5, 10.0, 8.8, 9.7, 10.0, 10.0, 10.9, 10.0];
    let y = run(crop, &[image(), roi]);
    // The last row of pixels is within the image, its middle column too.
    near(&y, &[1, 1, 3, 3], &want);
}

#[test]
fn resize_of_other_dtypes() {
    let x = Array::from_vec(vec![1, 1, 1, 4], vec![0u8, 9, 250, 4]).unwrap();
    let y = run(resize(&[1.0, 1.0, 1.0, 2.5], &[]), &[x]);
    assert_eq!(y.to_i64s().unwrap(), [0, 0, 4, 8, 81, 177, 225, 127, 28, 4]);
    let x = Array::from_strs(vec![2], &["a", "b"]).unwrap();
    let y = run(Resize { mode: ResizeMode::Nearest, ..resize(&[2.0], &[]) }, &[x]);
    assert_eq!(y, Array::from_strs(vec![4], &["a", "a", "b", "b"]).unwrap());
}

#[test]
fn resize_over_symbolic_sizes_is_the_same() {
    let x = f32s(&[1, 2, 5, 7], &(0..70).map(|i| (i * 37 % 11) as f32).collect::<Vec<_>>());
    let coordinates = [
        CoordinateMode::HalfPixel,
        CoordinateMode::HalfPixelSymmetric,
        CoordinateMode::PytorchHalfPixel,
        CoordinateMode::AlignCorners,
        CoordinateMode::Asymmetric,
        CoordinateMode::TfHalfPixelForNn,
    ];
    let variants = [
        (ResizeMode::Nearest, false, false),
        (ResizeMode::Linear, false, false),
        (ResizeMode::Cubic, false, true),
        (ResizeMode::Cubic, false, false),
        (ResizeMode::Linear, true, false),
        (ResizeMode::Cubic, true, true),
    ];
    for (mode, antialias, exclude_outside) in variants {
        for coordinates in coordinates {
            for (scales, sizes) in [(vec![0.7, 1.6], vec![]), (vec![], vec![1, 9])] {
                for nearest in NearestMode::ALL.iter().copied() {
                    if mode != ResizeMode::Nearest && nearest != NearestMode::Floor {
                        continue;
                    }
                    let op = Resize {
                        axes: vec![2, 3],
                        mode,
                        antialias,
                        exclude_outside,
                        coordinates,
                        nearest,
                        ..resize(&scales, &sizes)
                    };
                    let (a, b) = (
                        run(op.clone(), &[x.clone()]),
                        run_symbolic(|_| op.clone().into(), &[x.clone()], &[]),
                    );
                    assert_eq!(a.shape, b.shape, "{op:?}");
                    let (a, b) = (a.to_f64s().unwrap(), b.to_f64s().unwrap());
                    for (p, q) in a.iter().zip(&b) {
                        assert!((p - q).abs() < 1e-4, "{op:?}\n{a:?}\n{b:?}");
                    }
                }
            }
        }
    }
    for aspect in [AspectPolicy::NotLarger, AspectPolicy::NotSmaller] {
        let op = Resize { axes: vec![3, 2], aspect, ..resize(&[], &[4, 9]) };
        let (a, b) =
            (run(op.clone(), &[x.clone()]), run_symbolic(|_| op.clone().into(), &[x.clone()], &[]));
        assert_eq!(a.shape, b.shape);
    }
}

fn infer(op: &Op, operands: &[&Type]) -> Vec<Type> {
    let m = empty();
    let refs = operands.iter().map(|t| Some(*t)).collect();
    airconv_ir::infer::infer_types(&m, m.main(), op, refs).unwrap()
}

#[test]
fn resized_sizes_are_expressions_where_scales_are_exact() {
    let mut m = empty();
    let (func, body) = (m.entry, m.main().body);
    let mut b = Builder::new(&mut m, func, body, OriginId(0));
    let n = b.fresh_dim("n", None);
    let ty = Type::tensor(DType::F32, [n.clone(), n.clone(), Dim::Known(10), Dim::Known(190)]);
    let op = resize(&[2.0, 0.75, 0.7, 1.3f32.into()], &[]).into();
    let three_quarters = (&n * 3).floor_div(&Dim::Known(4));
    // 190 * 1.3 in f32 is just below 247.
    let want = Type::tensor(DType::F32, [&n * 2, three_quarters, Dim::Known(7), Dim::Known(246)]);
    assert_eq!(infer(&op, &[&ty]), [want]);
    let op = resize(&[0.3, 1.0, 1.0, 1.0], &[]).into();
    assert_eq!(infer(&op, &[&ty])[0].as_tensor().unwrap().shape[0], Dim::Any);
}

fn grid() -> Array {
    f32s(&[1, 2, 3, 2], &[-1.2, -0.4, 0.3, 0.9, 1.7, -2.3, 0.0, 0.0, -0.5, 0.25, 0.99, -3.1])
}

#[test]
fn grid_sample_as_onnx_runtime() {
    use GridMode::*;
    use GridPadding::*;
    let cases: [(GridMode, GridPadding, bool, [f64; 6]); 10] = [
        (Linear, Zeros, false, [0.37999967, 10.57, 0.0, 8.5, 9.5, 0.0]),
        (Linear, Border, true, [4.6, 14.349999, 4.0, 8.5, 9.25, 3.985]),
        (Linear, Reflection, false, [3.8, 15.1, 11.5, 8.5, 9.5, 16.0]),
        (Linear, Reflection, true, [4.9, 14.349999, 10.75, 8.5, 9.25, 15.385]),
        (Nearest, Zeros, true, [5.0, 15.0, 0.0, 11.0, 10.0, 0.0]),
        (Nearest, Border, false, [5.0, 15.0, 4.0, 11.0, 9.0, 4.0]),
        (Nearest, Reflection, true, [5.0, 15.0, 11.0, 11.0, 10.0, 16.0]),
        (Cubic, Zeros, false, [0.27913088, 11.439772, 0.0, 8.5, 10.25, 0.0]),
        (Cubic, Border, true, [4.31875, 14.475243, 3.999998, 8.5, 9.003906, 3.988748]),
        (Cubic, Reflection, false, [3.3755026, 15.772753, 11.713748, 8.5, 9.40625, 16.817204]),
    ];
    for (mode, padding, align_corners, want) in cases {
        let op = GridSample { mode, padding, align_corners };
        near(&run(op.clone(), &[image(), grid()]), &[1, 1, 2, 3], &want);
        let y = run_symbolic(|_| op.into(), &[image(), grid()], &[]);
        near(&y, &[1, 1, 2, 3], &want);
    }
    let volume = f32s(&[1, 2, 1, 2, 2], &(0..8).map(|i| i as f32).collect::<Vec<_>>());
    let at = f32s(&[1, 1, 1, 1, 3], &[0.25, -0.25, 0.0]);
    let op = GridSample { mode: Linear, padding: Border, align_corners: false };
    near(&run(op, &[volume, at]), &[1, 2, 1, 1, 1], &[1.25, 5.25]);
}

#[test]
fn affine_grid_as_onnx_runtime() {
    let theta = f32s(&[1, 2, 3], &[1.0, 0.5, 0.1, -0.2, 2.0, 0.3]);
    let op = AffineGrid { dims: known(&[1, 1, 2, 3]), align_corners: false };
    let want = [
        -0.81666666,
        -0.56666666,
        -0.15,
        -0.7,
        0.5166667,
        -0.8333333,
        -0.3166667,
        1.4333334,
        0.35,
        1.3,
        1.0166667,
        1.1666667,
    ];
    near(&run(op, &[theta]), &[1, 2, 3, 2], &want);
}

#[test]
fn regions_as_onnx_runtime() {
    let rois = f32s(&[3, 4], &[0.0, 0.0, 2.5, 3.0, 1.0, 1.0, 3.2, 3.9, -4.0, -4.0, -3.0, -3.0]);
    let batch = Array::from_vec(vec![3], vec![0i64; 3]).unwrap();
    let op = RoiAlign {
        mode: RoiMode::Avg,
        output_height: 2,
        output_width: 2,
        sampling_ratio: 0,
        spatial_scale: Float(1.0),
        half_pixel: true,
    };
    let operands = [image(), rois, batch];
    let want = [2.46875, 3.625, 8.21875, 9.375, 6.95, 8.05, 12.675, 13.775, 0.0, 0.0, 0.0, 0.0];
    near(&run(op.clone(), &operands), &[3, 1, 2, 2], &want);
    near(&run_symbolic(|_| op.clone().into(), &operands, &[1]), &[3, 1, 2, 2], &want);
    let op = RoiAlign { mode: RoiMode::Max, half_pixel: false, sampling_ratio: 2, ..op };
    let want = [
        4.921875, 4.9765625, 8.203125, 7.8203125, 8.280937, 10.128749, 12.375001, 14.799999, 0.0,
        0.0, 0.0, 0.0,
    ];
    near(&run(op, &operands), &[3, 1, 2, 2], &want);

    let minus = f32s(&[1, 1, 4, 4], &(1..=16).map(|i| -i as f32).collect::<Vec<_>>());
    let rois = [0.0, 0.0, 0.0, 3.0, 3.0, 0.0, 1.0, 1.0, 2.0, 2.0, 0.0, 5.0, 5.0, 9.0, 9.0];
    let op = MaxRoiPool { pooled_shape: vec![2, 2], spatial_scale: Float(1.0) };
    let y = run(op, &[minus, f32s(&[3, 5], &rois)]);
    let want = [-1.0, -3.0, -9.0, -11.0, -6.0, -7.0, -10.0, -11.0, 0.0, 0.0, 0.0, 0.0];
    near(&y, &[3, 1, 2, 2], &want);
}

#[test]
fn suppression_goes_by_score_then_position() {
    let boxes = f32s(
        &[1, 4, 4],
        &[0.0, 0.0, 1.0, 1.0, 1.0, 1.1, 0.0, 0.1, 0.0, -0.1, 1.0, 0.9, 0.0, 10.0, 1.0, 11.0],
    );
    let most = Array::from_vec(vec![], vec![3i64]).unwrap();
    let overlap = f32s(&[], &[0.5]);
    let least = f32s(&[], &[0.0]);
    let op = NonMaxSuppression { center_point_box: false };
    let scores = f32s(&[1, 1, 4], &[0.9, 0.75, 0.6, 0.95]);
    let y = run(op.clone(), &[boxes.clone(), scores, most.clone(), overlap.clone(), least]);
    assert_eq!((y.shape.clone(), y.to_i64s().unwrap()), (vec![2, 3], vec![0, 0, 3, 0, 0, 0]));
    let ties = f32s(&[1, 1, 4], &[0.5; 4]);
    let y = run(op, &[boxes, ties, most, overlap]);
    assert_eq!(y.to_i64s().unwrap(), [0, 0, 0, 0, 0, 3]);
}

#[test]
fn transforms_as_numpy() {
    let x = f32s(&[1, 5, 2], &(1..=10).map(|i| i as f32).collect::<Vec<_>>());
    let dft = Dft { axis: 1, length: None, inverse: false, onesided: false };
    let want = [
        25.0, 30.0, -11.88191, 1.8819141, -6.6246004, -3.3753936, -3.37541, -6.6245975, 1.8819065,
        -11.881912,
    ];
    near(&run(dft.clone(), &[x.clone()]), &[1, 5, 2], &want);
    near(&run_symbolic(|_| dft.into(), &[x], &[0]), &[1, 5, 2], &want);
}

#[test]
fn transforms_of_other_lengths_and_halves() {
    let x = f32s(&[1, 5, 2], &(1..=10).map(|i| i as f32).collect::<Vec<_>>());
    let dft = Dft { axis: 1, length: Some(Dim::Known(4)), inverse: true, onesided: false };
    let want = [4.0, 5.0, 0.0, -2.0, -1.0, -1.0, -2.0, 0.0];
    near(&run(dft, &[x.clone()]), &[1, 4, 2], &want);
    let back = Dft { axis: 1, length: None, inverse: true, onesided: true };
    let want = [5.0, -5.3284273, 1.0, -0.9142134, 0.0, 0.32842708, -1.0, 1.9142134];
    near(&run(back.clone(), &[x.clone()]), &[1, 8, 1], &want);
    near(&run_symbolic(|_| back.clone().into(), &[x.clone()], &[0]), &[1, 8, 1], &want);
    let seven = Dft { length: Some(Dim::Known(7)), ..back };
    let want = [4.4285717, -4.999109, 1.328647, -1.5677353, 1.2002473, -1.5046347, 2.1140134];
    near(&run(seven, &[x]), &[1, 7, 1], &want);
    let real = f32s(&[1, 5, 1], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let half = Dft { axis: 1, length: None, inverse: false, onesided: true };
    let want = [15.0, 0.0, -2.5, 3.4409571, -2.5, 0.81230152];
    near(&run(half, &[real]), &[1, 3, 2], &want);
    let z = Array::new(DType::C64, vec![2, 0], Data::C64(Vec::new())).unwrap();
    assert_eq!(run(Fft { axis: 1, inverse: true }, &[z.clone()]), z);
}

#[test]
fn frames_and_windows() {
    let signal = f32s(&[1, 7, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let window = f32s(&[4], &[0.5, 1.0, 0.5, 0.25]);
    let op = Stft { frame_step: Dim::Known(2), frame_length: Dim::Known(4), onesided: true };
    let want = [5.0, 0.0, -1.0, -1.0, -1.0, 0.0, 9.5, 0.0, -1.0, -2.5, -1.5, 0.0];
    near(&run(op.clone(), &[signal.clone(), window.clone()]), &[1, 2, 3, 2], &want);
    let flat = signal.reshape(vec![1, 7]).unwrap();
    near(&run(op.clone(), &[flat.clone(), window.clone()]), &[1, 2, 3, 2], &want);
    let y = run_symbolic(|_| op.into(), &[flat, window], &[]);
    near(&y, &[1, 2, 3, 2], &want);

    let dtype = DType::F32;
    let hann = HannWindow { size: Dim::Known(5), periodic: true, dtype };
    near(&run(hann, &[]), &[5], &[0.0, 0.3454915, 0.9045085, 0.9045085, 0.3454915]);
    let hamming = HammingWindow { size: Dim::Known(4), periodic: false, dtype };
    near(&run(hamming, &[]), &[4], &[0.0869565, 0.7717391, 0.7717391, 0.0869565]);
    let blackman = BlackmanWindow { size: Dim::Known(4), periodic: true, dtype };
    near(&run(blackman, &[]), &[4], &[0.0, 0.34, 1.0, 0.34]);
    let sized = f32s(&[4], &[0.0; 4]);
    let op =
        |d: &[Vec<Dim>]| BlackmanWindow { size: d[0][0].clone(), periodic: true, dtype }.into();
    near(&run_symbolic(op, &[sized], &[]), &[4], &[0.0, 0.34, 1.0, 0.34]);

    let mel = MelWeightMatrix { num_mel_bins: 3, dft_length: 12, sample_rate: 8000, dtype };
    let want = [
        1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        0.0, 0.0, 0.0,
    ];
    near(&run(mel, &[f32s(&[], &[100.0]), f32s(&[], &[4000.0])]), &[7, 3], &want);
}
