//! Ops that become kernels of their own kind, against the hub's interpreter: in the interpreter
//! of kernels and as native code.

use std::collections::BTreeMap;

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::attr::Float;
use airconv_ir::builder::Builder;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::interp::Datum;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::executor::KernelExecutor;
use airconv_llvm::executor::LlvmExecutor;

/// A function of one input whose results are what `body` emits.
fn module(input: &Array, body: impl FnOnce(&mut Builder<'_>, ValueId) -> Vec<ValueId>) -> Module {
    let mut module = Module::default();
    module.origins.push(Default::default());
    let mut f = Function::new("main");
    let role = InputRole::User { default: None, kind: Default::default() };
    let dims = input.shape.iter().map(|&d| Dim::Known(d as i64));
    let x = f.add_input("x", Type::tensor(input.dtype, dims), role);
    let func = module.functions.push(f);
    let region = module.functions[func].body;
    let mut b = Builder::new(&mut module, func, region, OriginId(0));
    for (i, y) in body(&mut b, x).into_iter().enumerate() {
        b.f_mut().add_output(&format!("y{i}"), y, OutputRole::User(Default::default()));
    }
    module
}

fn outputs(executor: &dyn Executor, module: &Module, input: &Array) -> Vec<Array> {
    let inputs: BTreeMap<String, Datum> = [("x".to_owned(), input.clone().into())].into();
    let verified = verify(module, Stage::Imported).unwrap();
    let mut report = Report::default();
    let options = RunOptions { native_only: true, threads: 1, ..RunOptions::default() };
    match executor.run(&verified, &inputs, &options, &mut report) {
        Ok(all) => all.into_iter().map(|(_, d)| d.as_array().unwrap().clone()).collect(),
        Err(e) => panic!("{}: {e:?} {:?}", executor.name(), report.diagnostics),
    }
}

/// Runs a module on all executors; the results may differ by so much, relative to the greatest.
fn agree(module: &Module, input: &Array, tolerance: f64) -> Vec<Array> {
    let wanted = outputs(&InterpreterExecutor, module, input);
    for executor in [&KernelExecutor as &dyn Executor, &LlvmExecutor] {
        if executor.available().is_err() {
            continue;
        }
        let got = outputs(executor, module, input);
        assert_eq!(got.len(), wanted.len());
        for (g, w) in got.iter().zip(&wanted) {
            assert_eq!((&g.shape, g.dtype), (&w.shape, w.dtype), "{}", executor.name());
            let (g, w) = (g.to_f64s().unwrap(), w.to_f64s().unwrap());
            let most = w.iter().filter(|x| x.is_finite()).fold(0f64, |m, x| m.max(x.abs()));
            for (i, (a, b)) in g.iter().zip(&w).enumerate() {
                let same = a == b || (a.is_nan() && b.is_nan());
                let near = (a - b).abs() <= tolerance * most;
                assert!(same || near, "{} {i}: {a}, not {b}", executor.name());
            }
        }
    }
    wanted
}

/// Numbers that look random, in [-1, 1).
fn noise(shape: &[usize], seed: u32) -> Array {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| next()).collect();
    Array::from_f64s(DType::F32, shape.to_vec(), &values).unwrap()
}

fn integers(dtype: DType, shape: &[usize], seed: u32, (low, high): (i64, i64)) -> Array {
    let values = noise(shape, seed).to_f64s().unwrap();
    let whole: Vec<i64> =
        values.iter().map(|x| low + ((x + 1.0) / 2.0 * (high - low + 1) as f64) as i64).collect();
    Array::from_i64s(dtype, shape.to_vec(), &whole).unwrap()
}

/// Complete trees of some depth over some features, each leaf voting for one class or for all.
fn classifier(depth: u32, trees: i64, classes: i64, all: bool, transform: &str) -> Op {
    let nodes = (1i64 << (depth + 1)) - 1;
    let inner = (1i64 << depth) - 1;
    let mut op = TreeEnsembleClassifier {
        base_values: Vec::new(),
        base_values_as_tensor: None,
        class_ids: Vec::new(),
        class_nodeids: Vec::new(),
        class_treeids: Vec::new(),
        class_weights: Vec::new(),
        class_weights_as_tensor: None,
        classlabels_int64s: (0..classes).map(|c| 10 * c + 7).collect(),
        classlabels_strings: Vec::new(),
        nodes_falsenodeids: Vec::new(),
        nodes_featureids: Vec::new(),
        nodes_hitrates: Vec::new(),
        nodes_hitrates_as_tensor: None,
        nodes_missing_value_tracks_true: Vec::new(),
        nodes_modes: Vec::new(),
        nodes_nodeids: Vec::new(),
        nodes_treeids: Vec::new(),
        nodes_truenodeids: Vec::new(),
        nodes_values: Vec::new(),
        nodes_values_as_tensor: None,
        post_transform: transform.to_owned(),
    };
    let modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ"];
    for tree in 0..trees {
        for node in 0..nodes {
            let branch = node < inner;
            let salt = tree * 31 + node * 7;
            op.nodes_treeids.push(tree);
            op.nodes_nodeids.push(node);
            op.nodes_featureids.push(if branch { salt % 5 } else { 0 });
            op.nodes_values.push(Float(((salt * 37 % 200) - 100) as f64 / 128.0));
            op.nodes_modes
                .push(if branch { modes[(salt % 5) as usize] } else { "LEAF" }.to_owned());
            op.nodes_truenodeids.push(if branch { 2 * node + 1 } else { 0 });
            op.nodes_falsenodeids.push(if branch { 2 * node + 2 } else { 0 });
            op.nodes_missing_value_tracks_true.push(salt % 3 % 2);
            let votes = if branch { 0..0 } else { 0..if all { classes } else { 1 } };
            for vote in votes {
                op.class_treeids.push(tree);
                op.class_nodeids.push(node);
                op.class_ids.push(if all { vote } else { salt % classes });
                op.class_weights.push(Float(((salt * 13 + vote) % 64) as f64 / 64.0 - 0.25));
            }
        }
    }
    Op::TreeEnsembleClassifier(op)
}

#[test]
fn trees_vote_as_the_interpreter_counts() {
    let mut x = noise(&[9, 5], 3);
    x.set(7, &airconv_ir::array::Scalar::Float(f64::NAN)).unwrap();
    // Shallow trees are walked in one stretch, deep ones in several.
    for (depth, trees) in [(3, 7), (9, 3)] {
        for (classes, all) in [(1, true), (2, false), (2, true), (4, false), (4, true)] {
            for transform in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"] {
                let op = classifier(depth, trees, classes, all, transform);
                let m = module(&x, |b, x| b.emit_all(op, &[Some(x)]).unwrap());
                // The formula of probit subtracts numbers that are almost equal.
                agree(&m, &x, if transform == "PROBIT" { 1e-4 } else { 2e-6 });
            }
        }
    }
}

#[test]
fn label_encoders_find_every_key() {
    let keys = Array::from_f64s(DType::F32, vec![5], &[2.5, -1.0, 0.0, f64::NAN, 2.5]).unwrap();
    let values = Array::from_i64s(DType::I64, vec![5], &[1, 2, 3, 4, 5]).unwrap();
    let default = Array::from_i64s(DType::I64, vec![1], &[-9]).unwrap();
    let x = [2.5, -1.0, -0.0, f64::NAN, 7.0, -7.0, 1.0, f64::INFINITY];
    let x = Array::from_f64s(DType::F32, vec![8], &x).unwrap();
    let m = module(&x, |b, x| {
        let [keys, values, default] =
            [&keys, &values, &default].map(|a| b.add_tensor(Tensor::from_array(a).unwrap()));
        vec![b.emit(LabelEncoder { keys, values, default }, &[x]).unwrap()]
    });
    let y = agree(&m, &x, 0.0);
    assert_eq!(y[0].to_i64s().unwrap(), [5, 2, 3, 4, -9, -9, -9, -9]);
}

#[test]
fn distinct_slices_and_places_that_are_not_zero() {
    let x = integers(DType::I32, &[6, 5, 2], 11, (0, 1));
    for axis in [None, Some(0), Some(1), Some(2)] {
        for sorted in [true, false] {
            let op = Unique { axis, sorted };
            agree(&module(&x, |b, x| b.emit_all(op, &[Some(x)]).unwrap()), &x, 0.0);
        }
    }
    agree(&module(&x, |b, x| vec![b.emit(Nonzero {}, &[x]).unwrap()]), &x, 0.0);
    let floats = Array::from_f64s(
        DType::F32,
        vec![9],
        &[0.5, f64::NAN, -0.0, 0.0, f64::NAN, -3.0, 0.5, 9.0, f64::INFINITY],
    )
    .unwrap();
    let op = Unique { axis: None, sorted: true };
    agree(&module(&floats, |b, x| b.emit_all(op, &[Some(x)]).unwrap()), &floats, 0.0);
}

#[test]
fn seeded_draws_are_the_same_everywhere() {
    let x = noise(&[3], 1);
    for dtype in [DType::F32, DType::F64, DType::F16] {
        for distribution in [Distribution::Uniform, Distribution::Normal] {
            let op = Rng {
                algorithm: RngAlgorithm::Philox,
                distribution,
                dtype,
                dims: vec![Dim::Known(7), Dim::Known(11)],
                seed: Some(Float(42.5)),
            };
            agree(&module(&x, |b, _| vec![b.emit(op, &[]).unwrap()]), &x, 1e-6);
        }
    }
}

#[test]
fn boxes_are_suppressed_in_order() {
    let x = noise(&[2, 40, 4], 5);
    let scores = noise(&[2, 3, 40], 6);
    for center_point_box in [false, true] {
        let m = module(&x, |b, boxes| {
            let scores = b.constant(&scores).unwrap();
            let most = b.scalar_int(DType::I64, 6).unwrap();
            let overlap = b.scalar(DType::F32, 0.3).unwrap();
            let least = b.scalar(DType::F32, -0.5).unwrap();
            let slots = [boxes, scores, most, overlap, least].map(Some);
            b.emit_all(NonMaxSuppression { center_point_box }, &slots).unwrap()
        });
        agree(&m, &x, 0.0);
    }
}

#[test]
fn products_of_bytes_are_exact_whatever_their_length() {
    for length in [24usize, 256, 257, 1000] {
        let x = integers(DType::U8, &[5, length], 7, (0, 255));
        let w = integers(DType::I8, &[length, 20], 8, (-128, 127));
        let m = module(&x, |b, x| {
            let w = b.constant(&w).unwrap();
            let zero = b.scalar_int(DType::U8, 255).unwrap();
            b.emit_all(MatmulInteger {}, &[Some(x), Some(w), Some(zero), None]).unwrap()
        });
        agree(&m, &x, 0.0);
    }
    // All at the ends of their ranges, so that sums are as great as they can be.
    let x = Array::full(DType::U8, vec![1, 700], &airconv_ir::array::Scalar::Int(255)).unwrap();
    let w = Array::full(DType::I8, vec![700, 4], &airconv_ir::array::Scalar::Int(-127)).unwrap();
    let m = module(&x, |b, x| {
        let w = b.constant(&w).unwrap();
        b.emit_all(MatmulInteger {}, &[Some(x), Some(w), None, None]).unwrap()
    });
    let y = agree(&m, &x, 0.0);
    assert_eq!(y[0].to_i64s().unwrap(), [-127 * 255 * 700; 4]);
}

#[test]
fn layers_run_step_by_step() {
    let x = noise(&[13, 2, 6], 21);
    for (direction, dirs) in [(RnnDirection::Forward, 1), (RnnDirection::Bidirectional, 2)] {
        let hidden = 10;
        let names = ["sigmoid", "tanh", "tanh"];
        let lstm = Lstm {
            activations: names.iter().cycle().take(3 * dirs).map(|s| (*s).to_owned()).collect(),
            activation_alpha: Vec::new(),
            activation_beta: Vec::new(),
            clip: None,
            direction,
            hidden_size: hidden as i64,
            batch_first: false,
            input_forget: false,
        };
        let m = module(&x, |b, x| {
            let w = b.constant(&noise(&[dirs, 4 * hidden, 6], 1)).unwrap();
            let r = b.constant(&noise(&[dirs, 4 * hidden, hidden], 2)).unwrap();
            let bias = b.constant(&noise(&[dirs, 8 * hidden], 3)).unwrap();
            b.emit_all(lstm, &[Some(x), Some(w), Some(r), Some(bias)]).unwrap()
        });
        let y = agree(&m, &x, 2e-5);
        assert_eq!(y[0].shape, [13, dirs, 2, hidden]);
    }
}

/// What is summed in a wider dtype than the result has is not kept in the result.
#[test]
fn softmax_in_wider_floats() {
    let x = noise(&[3, 40], 5);
    for (inner, outer) in
        [(DType::F64, DType::F32), (DType::F32, DType::F64), (DType::F64, DType::F64)]
    {
        let m = module(&x, |b, x| {
            let wide = b.cast(x, inner).unwrap();
            let y = b.emit(Softmax { axes: vec![1] }, &[wide]).unwrap();
            vec![b.cast(y, outer).unwrap()]
        });
        agree(&m, &x, 1e-6);
    }
}

/// The sign of zero decides between infinities.
#[test]
fn zeros_keep_their_signs() {
    let x = Array::from_f64s(DType::F32, vec![4], &[-0.0, 0.0, -0.2, 0.2]).unwrap();
    let m = module(&x, |b, x| {
        let scale = b.scalar(DType::F32, 0.5).unwrap();
        let zero = b.scalar(DType::I8, 0.0).unwrap();
        let op = QuantizeLinear {
            axis: 0,
            block_size: 0,
            dtype: DType::I8,
            saturate: true,
            precision: None,
        };
        let q = b.emit(op, &[x, scale, zero]).unwrap();
        let op = DequantizeLinear { axis: 0, block_size: 0, dtype: None };
        let y = b.emit(op, &[q, scale, zero]).unwrap();
        let nothing = b.scalar(DType::F32, 0.0).unwrap();
        let sum = b.add(x, nothing).unwrap();
        let one = b.scalar(DType::F32, 1.0).unwrap();
        vec![b.div(one, y).unwrap(), b.div(one, sum).unwrap()]
    });
    let got = agree(&m, &x, 0.0);
    assert_eq!(got[0].to_f64s().unwrap(), [f64::INFINITY; 4]);
}
