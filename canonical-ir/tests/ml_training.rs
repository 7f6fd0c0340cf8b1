//! Classical models and optimiser steps against numbers that ONNX Runtime and NumPy give.

use std::collections::BTreeMap;

use airconv_ir::array::{Array, StrBytes};
use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter, MapKey};
use airconv_ir::module::{Function, Module};
use airconv_ir::op::*;
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;

fn empty() -> Module {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    m
}

fn run_in(m: Module, op: impl Into<Op>, operands: &[Datum]) -> Vec<Datum> {
    let operands: Vec<_> = operands.iter().cloned().map(Some).collect();
    let mut i = Interpreter::new(m, EvalLimits::default());
    i.eval_op(&op.into(), &operands).unwrap().into_iter().flatten().collect()
}

fn run(op: impl Into<Op>, operands: &[Array]) -> Vec<Array> {
    let operands: Vec<Datum> = operands.iter().cloned().map(Datum::from).collect();
    run_in(empty(), op, &operands).iter().map(|d| d.as_array().unwrap().clone()).collect()
}

fn f32s(shape: &[usize], v: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap()
}

fn floats(v: &[f64]) -> Vec<Float> {
    v.iter().map(|&x| Float(x)).collect()
}

#[track_caller]
fn near(a: &Array, shape: &[usize], want: &[f64]) {
    assert_eq!(a.shape, shape);
    let got = a.to_f64s().unwrap();
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 2e-6 * w.abs().max(1.0), "{got:?} is not {want:?}");
    }
}

fn ints(a: &Array) -> Vec<i64> {
    a.to_i64s().unwrap()
}

fn rows() -> Array {
    f32s(&[3, 2], &[1.0, 2.0, -3.0, 0.4, 0.5, -1.5])
}

fn linear(transform: &str, coefficients: &[f64], intercepts: &[f64]) -> LinearClassifier {
    LinearClassifier {
        coefficients: floats(coefficients),
        intercepts: floats(intercepts),
        classlabels_ints: vec![7, 9, 11],
        classlabels_strings: Vec::new(),
        multi_class: 0,
        post_transform: transform.to_owned(),
    }
}

#[test]
fn linear_models() {
    let table = [0.1, 0.2, 0.3, 0.4, -0.5, 0.6];
    let offsets = [0.05, 0.0, 0.1];
    let out = run(linear("SOFTMAX", &table, &offsets), &[rows()]);
    assert_eq!(ints(&out[0]), [9, 11, 7]);
    let want = [
        0.24892472, 0.43144956, 0.3196257, 0.11075617, 0.06263543, 0.8266084, 0.45326486,
        0.35300303, 0.19373214,
    ];
    near(&out[1], &[3, 3], &want);
    let pair = |t: &str| LinearClassifier {
        classlabels_ints: vec![7, 9],
        ..linear(t, &[0.1, 0.2], &[0.05])
    };
    let out = run(pair("NONE"), &[rows()]);
    assert_eq!(ints(&out[0]), [9, 7, 7]);
    near(&out[1], &[3, 2], &[0.45, 0.55, 1.17, -0.17, 1.2, -0.2]);
    let out = run(pair("LOGISTIC"), &[rows()]);
    near(&out[1], &[3, 2], &[0.3658644, 0.6341356, 0.5423979, 0.45760208]);

    let regressor = |transform: &str| LinearRegressor {
        coefficients: floats(&[0.1, 0.2, 0.3, 0.4]),
        intercepts: floats(&[0.05, 0.0]),
        targets: 2,
        post_transform: transform.to_owned(),
    };
    near(&run(regressor("NONE"), &[rows()])[0], &[3, 2], &[0.55, 1.1, -0.17, -0.74]);
    let y = &run(regressor("SOFTMAX_ZERO"), &[rows()])[0];
    near(y, &[3, 2], &[0.36586437, 0.6341356, 0.6387631, 0.3612368]);
    let probit = run(regressor("PROBIT"), &[rows()])[0].to_f64s().unwrap();
    assert!((probit[0] - 0.12566201).abs() < 1e-6 && probit[1].is_nan());
}

fn svc(kernel: &str) -> SvmClassifier {
    SvmClassifier {
        classlabels_ints: vec![3, 4, 5],
        classlabels_strings: Vec::new(),
        coefficients: floats(&[1.0, -0.5, 0.7, -1.2, 0.3, 0.4, -0.7, 0.9]),
        kernel_params: floats(&[0.5, 0.1, 2.0]),
        kernel_type: kernel.to_owned(),
        post_transform: "NONE".to_owned(),
        prob_a: Vec::new(),
        prob_b: Vec::new(),
        rho: floats(&[0.1, -0.2, 0.05]),
        support_vectors: floats(&[1.0, 0.0, 0.0, 1.0, 0.5, 0.5, -1.0, 2.0]),
        vectors_per_class: vec![1, 1, 2],
    }
}

#[test]
fn support_vectors() {
    let out = run(svc("POLY"), &[rows()]);
    assert_eq!(ints(&out[0]), [4, 3, 3]);
    let want = [-0.145, -2.6582503, 2.33225, 2.0149999, -4.20025, 3.4742498];
    near(&out[1], &[3, 3], &want);
    let out = run(svc("SIGMOID"), &[rows()]);
    near(&out[1], &[3, 3], &[0.23680004, -0.6611388, 0.7159526, -0.931008]);
    let platt = SvmClassifier {
        prob_a: floats(&[-1.0, -2.0, -0.5]),
        prob_b: floats(&[0.1, 0.2, 0.3]),
        ..svc("RBF")
    };
    let out = run(platt, &[rows()]);
    assert_eq!(ints(&out[0]), [3, 3, 5]);
    let want = [
        0.27606484, 0.31193772, 0.41199735, 0.25400552, 0.30539405, 0.4406004, 0.32795435,
        0.27407035, 0.39797527,
    ];
    near(&out[1], &[3, 3], &want);
    let two = |transform: &str| SvmClassifier {
        coefficients: floats(&[1.0, -0.5, 0.7]),
        kernel_params: floats(&[0.5, 0.1, 3.0]),
        support_vectors: floats(&[1.0, 0.0, 0.0, 1.0, 0.5, 0.5]),
        rho: floats(&[0.1]),
        vectors_per_class: vec![1, 2],
        classlabels_ints: Vec::new(),
        classlabels_strings: vec!["a".to_owned(), "b".to_owned()],
        post_transform: transform.to_owned(),
        ..svc("POLY")
    };
    let out = run(two("NONE"), &[rows()]);
    assert_eq!(out[0], Array::from_strs(vec![3], &["a", "b", "a"]).unwrap());
    near(&out[1], &[3, 2], &[-0.08038748, 0.08038748, 2.7739625, -2.7739625]);
    near(&run(two("LOGISTIC"), &[rows()])[1], &[3, 2], &[0.47991395, 0.52008605]);
    near(&run(two("SOFTMAX"), &[rows()])[1], &[3, 2], &[0.9196125, 0.08038748]);

    let regressor = SvmRegressor {
        coefficients: floats(&[1.0, -0.5, 0.7]),
        kernel_params: floats(&[0.5, 0.1, 3.0]),
        kernel_type: "RBF".to_owned(),
        n_supports: 3,
        one_class: false,
        post_transform: "NONE".to_owned(),
        rho: floats(&[0.1]),
        support_vectors: floats(&[1.0, 0.0, 0.0, 1.0, 0.5, 0.5]),
    };
    near(&run(regressor, &[rows()])[0], &[3, 1], &[0.25194892, 0.09719377, 0.4618524]);
}

fn texts(v: &[&str]) -> Vec<String> {
    v.iter().map(|&s| s.to_owned()).collect()
}

/// Two trees with five leaves: nodes 2, 3 and 4 of the first, 1 and 2 of the second.
fn classifier(ids: [i64; 5], weights: [f64; 5], labels: &[i64]) -> TreeEnsembleClassifier {
    TreeEnsembleClassifier {
        base_values: Vec::new(),
        base_values_as_tensor: None,
        class_ids: ids.to_vec(),
        class_nodeids: vec![2, 3, 4, 1, 2],
        class_treeids: vec![0, 0, 0, 1, 1],
        class_weights: floats(&weights),
        class_weights_as_tensor: None,
        classlabels_int64s: labels.to_vec(),
        classlabels_strings: Vec::new(),
        nodes_falsenodeids: vec![2, 4, 0, 0, 0, 2, 0, 0],
        nodes_featureids: vec![0, 1, 0, 0, 0, 1, 0, 0],
        nodes_hitrates: Vec::new(),
        nodes_hitrates_as_tensor: None,
        nodes_missing_value_tracks_true: vec![1, 0, 0, 0, 0, 0, 0, 0],
        nodes_modes: texts(&[
            "BRANCH_LEQ",
            "BRANCH_GT",
            "LEAF",
            "LEAF",
            "LEAF",
            "BRANCH_LT",
            "LEAF",
            "LEAF",
        ]),
        nodes_nodeids: vec![0, 1, 2, 3, 4, 0, 1, 2],
        nodes_treeids: vec![0, 0, 0, 0, 0, 1, 1, 1],
        nodes_truenodeids: vec![1, 3, 0, 0, 0, 1, 0, 0],
        nodes_values: floats(&[0.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        nodes_values_as_tensor: None,
        post_transform: "NONE".to_owned(),
    }
}

fn tree_rows() -> Array {
    f32s(&[4, 2], &[1.0, 2.0, -3.0, 0.4, 0.5, -1.5, f32::NAN, 3.0])
}

#[test]
fn trees_that_vote() {
    let positive = [0.3, 0.6, 0.1, 0.25, 0.5];
    let mixed = [1.0, -2.0, 0.1, 0.25, 0.5];
    let run = |op: TreeEnsembleClassifier| {
        let out = run(op, &[tree_rows()]);
        (ints(&out[0]), out[1].clone())
    };
    let (labels, scores) = run(classifier([0; 5], positive, &[5, 6]));
    assert_eq!(labels, [6, 6, 5, 6]);
    near(&scores, &[4, 2], &[0.2, 0.8, 0.4, 0.6, 0.65, 0.35, -0.1, 1.1]);
    let (labels, scores) = run(classifier([1; 5], positive, &[5, 6]));
    assert_eq!(labels, [6, 6, 5, 6]);
    near(&scores, &[4, 2], &[0.0, 0.8, 0.0, 0.6, 0.0, 0.35, 0.0, 1.1]);
    let (labels, scores) = run(TreeEnsembleClassifier {
        post_transform: "LOGISTIC".to_owned(),
        base_values: floats(&[0.3]),
        ..classifier([0; 5], mixed, &[5, 6])
    });
    assert_eq!(labels, [6, 6, 6, 5]);
    let want = [
        0.14185113, 0.8581489, 0.28905052, 0.7109495, 0.34298956, 0.65701044, 0.7685248, 0.23147517,
    ];
    near(&scores, &[4, 2], &want);
    let based = |ids| TreeEnsembleClassifier {
        base_values: floats(&[0.3, 0.4]),
        ..classifier(ids, mixed, &[5, 6])
    };
    let (labels, scores) = run(based([0; 5]));
    assert_eq!(labels, [6, 6, 6, 5]);
    near(&scores, &[4, 2], &[1.8, 0.0, 0.9, 0.0, 0.65, 0.0, -1.2, 0.0]);
    let (labels, scores) = run(based([1; 5]));
    assert_eq!(labels, [6; 4]);
    near(&scores, &[4, 2], &[0.0, 0.4, 0.0, 0.4, 0.0, 0.4, 0.0, 0.4]);
    let (labels, scores) = run(classifier([0, 1, 0, 1, 0], mixed, &[5, 6]));
    assert_eq!(labels, [1, 1, 1, 0]);
    near(&scores, &[4, 2], &[-1.5, 1.5, -0.6, 0.6, 0.1, 0.25, 0.5, -2.0]);
    let (labels, scores) = run(TreeEnsembleClassifier {
        post_transform: "SOFTMAX_ZERO".to_owned(),
        base_values: floats(&[0.1, 0.2, 0.3]),
        ..classifier([0, 1, 2, 1, 0], [1.0, 2.0, 0.1, 0.25, 0.5], &[5, 6, 7])
    });
    assert_eq!(labels, [5, 5, 6, 6]);
    near(&scores, &[4, 3], &[0.658272, 0.16232789, 0.17940007, 0.40175956, 0.2693075]);
    let lone = TreeEnsembleClassifier {
        post_transform: "LOGISTIC".to_owned(),
        ..classifier([0; 5], mixed, &[5])
    };
    let (labels, scores) = run(lone);
    assert_eq!(labels, [1, 1, 1, 0]);
    near(&scores, &[4, 1], &[1.5, 0.6, 0.35, -1.5]);
}

#[test]
fn trees_that_add_up() {
    let c = classifier([0; 5], [0.0; 5], &[5]);
    let regressor = |how: &str, ids: [i64; 5], n_targets| TreeEnsembleRegressor {
        aggregate_function: how.to_owned(),
        base_values: if n_targets == 1 { floats(&[0.1]) } else { Vec::new() },
        base_values_as_tensor: None,
        n_targets,
        nodes_falsenodeids: c.nodes_falsenodeids.clone(),
        nodes_featureids: c.nodes_featureids.clone(),
        nodes_hitrates: Vec::new(),
        nodes_hitrates_as_tensor: None,
        nodes_missing_value_tracks_true: c.nodes_missing_value_tracks_true.clone(),
        nodes_modes: c.nodes_modes.clone(),
        nodes_nodeids: c.nodes_nodeids.clone(),
        nodes_treeids: c.nodes_treeids.clone(),
        nodes_truenodeids: c.nodes_truenodeids.clone(),
        nodes_values: c.nodes_values.clone(),
        nodes_values_as_tensor: None,
        post_transform: "NONE".to_owned(),
        target_ids: ids.to_vec(),
        target_nodeids: c.class_nodeids.clone(),
        target_treeids: c.class_treeids.clone(),
        target_weights: floats(&[1.0, 2.0, -3.0, 0.25, 0.5]),
        target_weights_as_tensor: None,
    };
    let one = |how| run(regressor(how, [0; 5], 1), &[tree_rows()]).remove(0);
    near(&one("SUM"), &[4, 1], &[1.6, -2.4, -2.65, 2.6]);
    near(&one("AVERAGE"), &[4, 1], &[0.85, -1.15, -1.275, 1.35]);
    near(&one("MIN"), &[4, 1], &[0.6, -2.9, -2.9, 0.6]);
    near(&one("MAX"), &[4, 1], &[1.1, 0.6, 0.35, 2.1]);
    let two = regressor("MAX", [0, 1, 0, 1, 1], 2);
    near(&run(two, &[tree_rows()])[0], &[4, 2], &[1.0, 0.5, -3.0, 0.5, -3.0, 0.25, 0.0, 2.0]);
}

#[test]
fn cyclic_trees_fail() {
    let mut op = classifier([0; 5], [1.0; 5], &[5, 6]);
    op.nodes_truenodeids[1] = 0;
    op.nodes_falsenodeids[1] = 0;
    let mut i = Interpreter::new(empty(), EvalLimits::default());
    assert!(i.eval_op(&op.into(), &[Some(tree_rows().into())]).is_err());
}

#[test]
fn encoders_and_tables() {
    let mut m = empty();
    let mut add = |a: &Array| m.tensors.push(Tensor::from_array(a).unwrap());
    let op = LabelEncoder {
        keys: add(&f32s(&[3], &[1.0, f32::NAN, 0.0])),
        values: add(&Array::from_strs(vec![3], &["one", "nan", "zero"]).unwrap()),
        default: add(&Array::from_strs(vec![], &["?"]).unwrap()),
    };
    let x = f32s(&[5], &[1.0, -f32::NAN, -0.0, 0.0, 3.0]);
    let y = run_in(m, op, &[x.into()]);
    let want = Array::from_strs(vec![5], &["one", "nan", "zero", "zero", "?"]).unwrap();
    assert_eq!(y[0].as_array(), Some(&want));

    let op = CategoryMapper {
        cats_int64s: vec![1, 2],
        cats_strings: texts(&["a", "b"]),
        default_int64: -1,
        default_string: "_Unused".to_owned(),
    };
    let words = Array::from_strs(vec![3], &["b", "c", "a"]).unwrap();
    let back = Array::from_strs(vec![3], &["b", "_Unused", "a"]).unwrap();
    let numbers = run(op.clone(), &[words]).remove(0);
    assert_eq!(ints(&numbers), [2, -1, 1]);
    assert_eq!(run(op, &[numbers]), [back]);

    let op = OneHotEncoder { cats_int64s: vec![1, 3], cats_strings: Vec::new(), zeros: true };
    near(&run(op, &[f32s(&[3], &[1.7, 3.0, 5.0])])[0], &[3, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn maps() {
    let zip = ZipMap { classlabels_int64s: Vec::new(), classlabels_strings: texts(&["x", "y"]) };
    let scores = f32s(&[2, 2], &[0.25, 0.75, 0.5, 0.5]);
    let out = run_in(empty(), zip, &[scores.into()]).remove(0);
    let Datum::Sequence(maps) = out else { panic!("{out:?}") };
    assert_eq!(maps.len(), 2);
    let op =
        DictVectorizer { int64_vocabulary: Vec::new(), string_vocabulary: texts(&["y", "z", "x"]) };
    let y = run_in(empty(), op, &maps[..1]).remove(0);
    near(y.as_array().unwrap(), &[1, 3], &[0.75, 0.0, 0.25]);

    let entry = |k, v| (MapKey::Int(k), Datum::from(Array::from_strs(vec![], &[v]).unwrap()));
    let map = Datum::Map(BTreeMap::from([entry(3, "1.5"), entry(1, "-2")]));
    let dense = CastMap { cast_to: DType::F32, sparse: false, max_map: 1 };
    let y = run_in(empty(), dense.clone(), std::slice::from_ref(&map)).remove(0);
    near(y.as_array().unwrap(), &[1, 2], &[-2.0, 1.5]);
    let y = run_in(empty(), CastMap { sparse: true, max_map: 3, ..dense }, &[map]).remove(0);
    near(y.as_array().unwrap(), &[1, 3], &[0.0, -2.0, 0.0]);
    assert_eq!(MapKey::Str(StrBytes::from(b"x".as_slice())).clone(), {
        let Datum::Map(m) = &maps[0] else { panic!() };
        m.keys().next().unwrap().clone()
    });
}

#[test]
fn preparation_of_features() {
    let x = f32s(&[4, 2], &[-4.0, 2.0, 0.0, 0.0, 1.0, -3.0, -1.0, -2.0]);
    let norm = |n: &str| run(Normalizer { norm: n.to_owned() }, &[x.clone()]).remove(0);
    near(&norm("MAX"), &[4, 2], &[-2.0, 1.0, 0.0, 0.0, 1.0, -3.0, 1.0, 2.0]);
    near(&norm("L1"), &[4, 2], &[-0.6666667, 0.33333334, 0.0, 0.0, 0.25, -0.75]);
    near(&norm("L2"), &[4, 2], &[-0.8944272, 0.4472136, 0.0, 0.0, 0.31622776, -0.94868326]);
    let scaler = Scaler { offset: floats(&[1.0, 2.0]), scale: floats(&[0.5]) };
    let x = Array::from_vec(vec![2, 2], vec![1i64, 2, 3, 4]).unwrap();
    near(&run(scaler, &[x])[0], &[2, 2], &[0.0, 0.0, 1.0, 1.0]);
    let imputer = Imputer {
        imputed_value_floats: floats(&[7.0, 8.0]),
        imputed_value_int64s: Vec::new(),
        replaced_value_float: Float(f64::NAN),
        replaced_value_int64: 0,
    };
    let x = f32s(&[2, 2], &[f32::NAN, 1.0, 2.0, f32::NAN]);
    near(&run(imputer, &[x])[0], &[2, 2], &[7.0, 1.0, 2.0, 8.0]);
    let widths = FeatureVectorizer { input_dimensions: vec![2, 3] };
    let (a, b) = (f32s(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), f32s(&[2, 2], &[1.0; 4]));
    let want = [0.0, 1.0, 1.0, 1.0, 0.0, 3.0, 4.0, 1.0, 1.0, 0.0];
    near(&run(widths, &[a, b])[0], &[2, 5], &want);
    let at = Array::from_vec(vec![1, 2], vec![1i64, 3]).unwrap();
    let x = f32s(&[6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    near(&run(ArrayFeatureExtractor {}, &[x.clone(), at])[0], &[1, 2], &[1.0, 3.0]);
    let y = run(Binarizer { threshold: Float(2.0) }, &[x]).remove(0);
    near(&y, &[6], &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn optimiser_steps() {
    let scalar = |x: f32| f32s(&[], &[x]);
    let step = |t: i64| Array::from_vec(vec![], vec![t]).unwrap();
    let (x, g) = (f32s(&[2], &[1.2, 2.8]), f32s(&[2], &[-0.94, -2.5]));
    let v = f32s(&[2], &[1.7, 3.6]);
    let h = f32s(&[2], &[0.1, 0.1]);
    let adam = Adam {
        alpha: Float(0.95),
        beta: Float(0.1),
        epsilon: Float(1e-7),
        norm_coefficient: Float(0.001),
        norm_coefficient_post: Float(0.0),
    };
    let operands = [scalar(0.1), step(0), x.clone(), g.clone(), v.clone(), h];
    let out = run(adam, &operands);
    near(&out[0], &[2], &[1.0250363, 2.6610327]);
    near(&out[1], &[2], &[1.56806, 3.29514]);
    near(&out[2], &[2], &[0.8032105, 5.622407]);
    let momentum = |mode: &str| Momentum {
        alpha: Float(0.95),
        beta: Float(1.0),
        mode: mode.to_owned(),
        norm_coefficient: Float(0.01),
    };
    let operands = [scalar(0.1), step(0), x.clone(), g.clone(), v.clone()];
    let out = run(momentum("nesterov"), &operands);
    near(
        &out[0],
        &[2],
        &[1.2 - 0.1 * (-0.928 + 0.95 * 0.687), 2.8 - 0.1 * (-2.472 + 0.95 * 0.948)],
    );
    near(&out[1], &[2], &[0.687, 0.948]);
    let adagrad =
        Adagrad { decay_factor: Float(0.1), epsilon: Float(1e-5), norm_coefficient: Float(0.001) };
    let n = |t: i64| {
        [scalar(0.1), step(t), x.clone(), x.clone(), g.clone(), g.clone(), v.clone(), v.clone()]
    };
    let out = run(adagrad.clone(), &n(0));
    assert_eq!(out.len(), 4);
    assert_eq!(out[0], out[1]);
    let square = (0.001 * 1.2 - 0.94f64).powi(2);
    near(&out[2], &[2], &[1.7 + square]);
    let later = run(adagrad, &n(10));
    let change = |a: &Array| a.to_f64s().unwrap()[0] - 1.2;
    assert!((change(&later[0]) * 2.0 - change(&out[0])).abs() < 1e-6);
}

#[test]
fn scores_per_class_over_symbolic_rows() {
    let mut m = empty();
    let range = airconv_ir::dim::Range { min: Some(0), max: None };
    let entry = m.entry;
    let n = Dim::from(m.functions[entry].add_symbol("n", range, None));
    let x = Type::tensor(DType::F32, [n.clone(), Dim::Known(2)]);
    let op = svc("RBF").into();
    let out =
        airconv_ir::infer::infer_types(&m, m.main(), &op, std::iter::once(Some(&x)).collect());
    let want =
        [Type::tensor(DType::I64, [n.clone()]), Type::tensor(DType::F32, [n, Dim::Known(3)])];
    assert_eq!(out.unwrap(), want);
}
