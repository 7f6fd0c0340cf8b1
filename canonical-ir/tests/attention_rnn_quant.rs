//! Attention, recurrent and quantised ops against numbers that ONNX Runtime gives.

use airconv_ir::array::Array;
use airconv_ir::attr::Float;
use airconv_ir::builder::Builder;
use airconv_ir::decompose::decompose;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::infer::{InferError, infer_types};
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::Type;

fn empty() -> Module {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    m
}

fn run(op: impl Into<Op>, operands: &[Option<Array>]) -> Vec<Array> {
    let operands: Vec<_> = operands.iter().map(|a| a.clone().map(Datum::from)).collect();
    let mut i = Interpreter::new(empty(), EvalLimits::default());
    let out = i.eval_op(&op.into(), &operands).unwrap();
    out.into_iter().flatten().map(|d| d.as_array().unwrap().clone()).collect()
}

/// (i % 7 - 3) * step + start for i in 0 .. n.
fn ramp(shape: &[usize], step: f32, start: f32) -> Option<Array> {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| ((i % 7) as f32 - 3.0) * step + start).collect();
    Some(Array::from_vec(shape.to_vec(), values).unwrap())
}

fn ints(dtype: DType, shape: &[usize], values: &[i64]) -> Option<Array> {
    Some(Array::from_i64s(dtype, shape.to_vec(), values).unwrap())
}

fn scalar(v: f32) -> Option<Array> {
    Some(Array::from_vec(vec![], vec![v]).unwrap())
}

#[track_caller]
fn near(a: &Array, want: &[f64]) {
    let got = a.to_f64s().unwrap();
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 2e-6, "{got:?} is not {want:?}");
    }
}

fn attention() -> Attention {
    Attention {
        is_causal: false,
        q_num_heads: None,
        kv_num_heads: None,
        scale: None,
        softcap: Float(0.0),
        softmax_precision: None,
        qk_mode: 0,
    }
}

#[test]
fn causal_attention_with_shared_keys_and_soft_cap() {
    let op = Attention { is_causal: true, softcap: Float(2.0), ..attention() };
    let q = ramp(&[1, 2, 3, 2], 0.5, 0.0);
    let k = ramp(&[1, 1, 3, 2], 0.4, 0.1);
    let v = ramp(&[1, 1, 3, 2], 1.0, 0.5);
    let y = run(op, &[q, k, v]);
    near(
        &y[0],
        &[
            -2.5, -1.5, -1.638167, -0.638167, 0.468984, 1.468984, -2.5, -1.5, -1.866046, -0.866047,
            -0.130411, 0.869589,
        ],
    );
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn lstm() -> Lstm {
    Lstm {
        activations: names(&["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Tanh"]),
        activation_alpha: vec![],
        activation_beta: vec![],
        clip: None,
        direction: RnnDirection::Bidirectional,
        hidden_size: 2,
        batch_first: false,
        input_forget: false,
    }
}

fn lstm_operands() -> Vec<Option<Array>> {
    vec![
        ramp(&[3, 2, 2], 0.3, 0.0),
        ramp(&[2, 8, 2], 0.2, 0.0),
        ramp(&[2, 8, 2], 0.1, 0.05),
        ramp(&[2, 16], 0.1, 0.0),
        ints(DType::I32, &[2], &[3, 1]),
    ]
}

const LSTM_Y: [f64; 24] = [
    -0.125867, 0.061238, -0.023095, -0.06501, 0.070986, 0.010477, -0.030978, -0.013256, -0.030423,
    -0.097193, 0.0, 0.0, -0.125388, -0.051566, 0.0, 0.0, -0.100848, -0.061147, 0.0, 0.0, 0.047532,
    0.006417, 0.0, 0.0,
];

#[test]
fn lstm_in_both_directions_with_lengths() {
    let out = run(lstm(), &lstm_operands());
    near(&out[0], &LSTM_Y);
    near(
        &out[1],
        &[-0.100848, -0.061147, -0.023095, -0.06501, 0.070986, 0.010477, -0.030978, -0.013256],
    );
    near(
        &out[2],
        &[-0.251877, -0.127169, -0.05024, -0.136272, 0.136774, 0.014326, -0.05852, -0.020389],
    );
}

/// A program of one op, decomposed one level deep while sizes are still symbols.
#[test]
fn lstm_decomposes_with_symbolic_steps_and_batch() {
    let mut m = empty();
    let operands = lstm_operands();
    let f = m.entry;
    let range = Range::new(Some(0), None);
    let steps = Dim::from(m.functions[f].add_symbol("T", range, None));
    let batch = Dim::from(m.functions[f].add_symbol("N", range, None));
    let mut ids = Vec::new();
    for (i, array) in operands.iter().enumerate() {
        let array = array.as_ref().unwrap();
        let mut dims: Vec<Dim> = array.shape.iter().map(|&d| Dim::Known(d as i64)).collect();
        match i {
            0 => (dims[0], dims[1]) = (steps.clone(), batch.clone()),
            4 => dims[0] = batch.clone(),
            _ => {}
        }
        let role = InputRole::User { default: None, kind: Default::default() };
        let ty = Type::tensor(array.dtype, dims);
        ids.push(Some(m.functions[f].add_input(&format!("x{i}"), ty, role)));
    }
    let region = m.functions[f].body;
    let mut b = Builder::new(&mut m, f, region, OriginId(0));
    let out = decompose(&mut b, &lstm().into(), &ids, &[true, false, false]).unwrap();
    assert_eq!((out[1], out[2]), (None, None));
    let y = out[0].unwrap();
    let want = [steps, Dim::Known(2), batch, Dim::Known(2)];
    assert_eq!(*b.ty(y), Type::tensor(DType::F32, want));
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    let inputs = operands
        .into_iter()
        .enumerate()
        .map(|(i, a)| (format!("x{i}"), Datum::from(a.unwrap())))
        .collect();
    let got = Interpreter::new(m, EvalLimits::default()).run(&inputs).unwrap();
    near(got[0].1.as_array().unwrap(), &LSTM_Y);
}

#[test]
fn gru_from_the_end_with_late_reset() {
    let op = Gru {
        activations: names(&["Sigmoid", "Tanh"]),
        activation_alpha: vec![],
        activation_beta: vec![],
        clip: None,
        direction: RnnDirection::Reverse,
        hidden_size: 2,
        batch_first: false,
        linear_before_reset: true,
    };
    let x = ramp(&[3, 2, 2], 0.3, 0.0);
    let w = ramp(&[1, 6, 2], 0.2, 0.0);
    let r = ramp(&[1, 6, 2], 0.3, 0.05);
    let bias = ramp(&[1, 12], 0.1, 0.0);
    let out = run(op, &[x, w, r, bias]);
    near(
        &out[0],
        &[
            0.12252, 0.201854, 0.071882, 0.212377, -0.07406, 0.273997, -0.050293, 0.150986,
            0.145236, 0.107508, 0.021187, 0.183063,
        ],
    );
    near(&out[1], &[0.12252, 0.201854, 0.071882, 0.212377]);
}

#[test]
fn activation_parameters_are_taken_in_order() {
    let op = Rnn {
        activations: names(&["HardSigmoid"]),
        activation_alpha: vec![Float(f64::from(0.3f32))],
        activation_beta: vec![Float(f64::from(0.4f32))],
        clip: None,
        direction: RnnDirection::Forward,
        hidden_size: 2,
        batch_first: false,
    };
    let x = ramp(&[3, 2, 2], 0.3, 0.0);
    let out = run(op, &[x, ramp(&[1, 2, 2], 0.5, 0.0), ramp(&[1, 2, 2], 0.3, 0.0)]);
    near(
        &out[0],
        &[
            0.985, 0.535, 0.535, 0.445, 0.0, 0.26635, 0.04045, 0.21685, 0.712057, 0.49, 0.260045,
            0.39636,
        ],
    );
}

fn quantize(dtype: DType) -> QuantizeLinear {
    QuantizeLinear { axis: 1, block_size: 0, dtype, saturate: true, precision: None }
}

#[test]
fn quantisation_rounds_half_to_even_before_the_zero_point() {
    let x = Array::from_vec(vec![6], vec![0.5f32, 1.5, 2.5, -0.5, 300.0, f32::NAN]).unwrap();
    let y = run(quantize(DType::U8), &[Some(x), scalar(1.0), ints(DType::U8, &[], &[1])]);
    assert_eq!(y[0].to_i64s().unwrap(), [1, 3, 3, 1, 255, 0]);
}

#[test]
fn blocks_may_end_short() {
    let x = Array::from_vec(vec![1, 5], vec![1.0f32, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let scale = Array::from_vec(vec![1, 3], vec![1.0f32, 0.5, 0.25]).unwrap();
    let op = QuantizeLinear { block_size: 2, ..quantize(DType::I8) };
    let y = run(op, &[Some(x), Some(scale.clone())]);
    assert_eq!(y[0].to_i64s().unwrap(), [1, 2, 6, 8, 20]);
    let op = DequantizeLinear { axis: 1, block_size: 2, dtype: None };
    let back = run(op, &[Some(y[0].clone()), Some(scale)]);
    near(&back[0], &[1.0, 2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn dynamic_quantisation() {
    let x = Array::from_vec(vec![4], vec![-1.5f32, 0.0, 0.25, 3.0]).unwrap();
    let out = run(DynamicQuantizeLinear {}, &[Some(x)]);
    assert_eq!(out[0].to_i64s().unwrap(), [0, 85, 99, 255]);
    near(&out[1], &[0.01764706]);
    assert_eq!(out[2].to_i64s().unwrap(), [85]);
    // A range of nothing has scale 1.
    let zeros = Array::zeros(DType::F32, vec![3]).unwrap();
    near(&run(DynamicQuantizeLinear {}, &[Some(zeros)])[1], &[1.0]);
}

#[test]
fn quantised_sum_rounds_with_its_zero_point() {
    let a = ints(DType::U8, &[4], &[1, 2, 3, 200]);
    let zero = || ints(DType::U8, &[], &[0]);
    let c = ints(DType::U8, &[1], &[1]);
    let one = ints(DType::U8, &[], &[1]);
    let operands = [a, scalar(0.5), zero(), c, scalar(0.5), zero(), scalar(1.0), one];
    assert_eq!(run(QlinearAdd {}, &operands)[0].to_i64s().unwrap(), [2, 2, 3, 102]);
}

/// What ONNX Runtime gives where an operand is at its zero point and the other adds half a step:
/// what the product with the zero point lost in rounding decides.
#[test]
fn quantised_sums_multiply_and_add_in_one_rounding() {
    let byte = |v: i64| ints(DType::U8, &[], &[v]);
    for (scale, want) in [(2.001, 127), (2.003, 128), (2.2352, 128), (2.67, 127)] {
        let x = || [ints(DType::U8, &[1, 3], &[129; 3]), scalar(scale), byte(129)];
        let half = || [ints(DType::U8, &[1], &[255]), scalar(0.5), byte(0)];
        for (a, c) in [(x(), half()), (half(), x())] {
            let operands = [&a[..], &c[..], &[scalar(1.0), byte(0)]].concat();
            let y = run(QlinearAdd {}, &operands);
            assert_eq!(y[0].to_i64s().unwrap(), [want; 3], "{scale}");
        }
    }
}

#[test]
fn packed_nibbles_come_low_first() {
    let op = MatmulNbits { k: 16, n: 1, bits: 4, block_size: 16, accuracy_level: 0 };
    let packed = ints(DType::U8, &[1, 1, 8], &[3, 20, 37, 54, 71, 88, 105, 122]);
    let scale = Some(Array::from_vec(vec![1, 1], vec![0.5f32]).unwrap());
    let y = run(op, &[ramp(&[1, 16], 0.25, 0.0), packed, scale, ints(DType::U8, &[1, 1], &[9])]);
    near(&y[0], &[3.625]);
}

#[test]
fn three_bit_elements_cross_bytes() {
    // 0 1 2 3 4 5 6 7 in 24 bits, low bits first.
    let bits: u32 = (0..8u32).map(|v| v << (3 * v)).sum();
    let bytes: Vec<i64> = bits.to_le_bytes()[..3].iter().map(|&b| b.into()).collect();
    let op = MatmulNbits { k: 8, n: 1, bits: 3, block_size: 8, accuracy_level: 0 };
    let a = Array::from_vec(vec![1, 8], (0..8).map(|i| 8f32.powi(i)).collect()).unwrap();
    let scale = Some(Array::from_vec(vec![1, 1], vec![1.0f32]).unwrap());
    let zero = Some(Array::from_vec(vec![1, 1], vec![0.0f32]).unwrap());
    let y = run(op, &[Some(a), ints(DType::U8, &[1, 1, 3], &bytes), scale, zero]);
    near(&y[0], &[f64::from(bits)]);
}

#[test]
fn a_region_changes_the_scores() {
    let mut m = empty();
    let f = m.entry;
    let role = || InputRole::User { default: None, kind: Default::default() };
    let known = |d: &[i64]| Type::tensor(DType::F32, d.iter().map(|&d| Dim::Known(d)));
    let x = m.functions[f].add_input("x", known(&[1, 1, 2, 2]), role());
    let bias = m.functions[f].add_input("bias", known(&[2]), role());
    let region = m.functions[f].body;
    let mut b = Builder::new(&mut m, f, region, OriginId(0));
    let (score_mod, p) = b.new_region(&[known(&[1, 1, 2, 2]), known(&[2])]);
    let sum = b.in_region(score_mod, |b| b.add(p[0], p[1])).unwrap();
    b.set_results(score_mod, &[sum]);
    let op = FlexAttention {
        scale: Some(Float(0.0)),
        softmax_precision: None,
        score_mod: Some(score_mod),
        prob_mod: None,
    };
    let y = b.emit(op, &[x, x, x, bias]).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    let x = Array::from_vec(vec![1, 1, 2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
    // Scores are the bias alone: weights 1/4 and 3/4.
    let bias = Array::from_vec(vec![2], vec![0.0f32, 3f32.ln()]).unwrap();
    let inputs = [("x".to_owned(), x.into()), ("bias".to_owned(), bias.into())].into();
    let out = Interpreter::new(m, EvalLimits::default()).run(&inputs).unwrap();
    near(out[0].1.as_array().unwrap(), &[2.5, 3.5, 2.5, 3.5]);
}

fn inferred(op: impl Into<Op>, operands: &[Type]) -> Result<Vec<Type>, InferError> {
    let m = empty();
    let refs = operands.iter().map(Some).collect();
    infer_types(&m, m.main(), &op.into(), refs)
}

#[test]
fn attention_types_and_constraints() {
    let n = Dim::symbol(airconv_ir::entity::SymbolId(0));
    let f32s = |d: &[Dim]| Type::tensor(DType::F32, d.iter().cloned());
    let k = |v| Dim::Known(v);
    let op = Attention { q_num_heads: Some(4), kv_num_heads: Some(2), ..attention() };
    let q = f32s(&[n.clone(), k(3), k(32)]);
    let kv = f32s(&[n.clone(), k(5), k(16)]);
    let out = inferred(op.clone(), &[q.clone(), kv.clone(), kv.clone()]).unwrap();
    assert_eq!(out[0], f32s(&[n.clone(), k(3), k(32)]));
    assert_eq!(out[1], f32s(&[n.clone(), k(2), k(5), k(8)]));
    assert_eq!(out[3], f32s(&[n.clone(), k(4), k(3), k(5)]));
    let label = |r: Result<Vec<Type>, InferError>| match r {
        Err(InferError::Invalid { label, .. }) => label,
        other => panic!("{other:?}"),
    };
    let odd = Attention { kv_num_heads: Some(3), ..op };
    assert_eq!(label(inferred(odd, &[q.clone(), kv.clone(), kv.clone()])), "attention-c2");
    assert_eq!(label(inferred(attention(), &[q, kv.clone(), kv])), "attention-c2");
}
