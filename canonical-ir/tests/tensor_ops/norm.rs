//! Ops of the norm family against numbers of NumPy and ONNX Runtime.

use airconv_ir::array::{Array, Data};
use airconv_ir::dtype::DType;
use airconv_ir::op::*;

use crate::{Symbols, close, f32s, ramp, run, same_when_symbolic};

#[test]
fn softmaxes() {
    let mut x = ramp(&[2, 3], 0);
    if let Data::F32(v) = &mut x.data {
        v.iter_mut().for_each(|x| *x *= 100.0);
    }
    let y = run(Softmax { axes: vec![1] }, &[x]);
    close(&y[0], &[2, 3], &[0.0, 1.0, 0.0, 1.388794e-11, 0.0, 1.0]);
    let y = run(LogSoftmax { axes: vec![0] }, &[ramp(&[2, 3], 0)]);
    close(
        &y[0],
        &[2, 3],
        &[-2.126928, -0.25192904, -2.126928, -0.12692805, -1.501929, -0.12692805],
    );
    let y = run(Softmax { axes: vec![0, 1] }, &[f32s(&[2, 2], &[7.0; 4])]);
    close(&y[0], &[2, 2], &[0.25; 4]);
    let x = f32s(&[2, 3], &[1.0, 3.0, 3.0, 2.0, 2.0, 1.0]);
    let y = run(Hardmax { axes: vec![1] }, &[x.clone()]);
    close(&y[0], &[2, 3], &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let y = run(Hardmax { axes: vec![0, 1] }, &[x]);
    close(&y[0], &[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn batch_normalizations() {
    let mut var = ramp(&[3], 4);
    if let Data::F32(v) = &mut var.data {
        v.iter_mut().for_each(|x| *x = x.abs());
    }
    let x = [ramp(&[2, 3, 2], 0), ramp(&[3], 1), ramp(&[3], 2), ramp(&[3], 3), var];
    let op =
        BatchNormalization { epsilon: 0.01.into(), momentum: 0.7.into(), training_mode: false };
    let y = run(op.clone(), &x);
    close(
        &y[0],
        &[2, 3, 2],
        &[
            0.3127625, -2.75035, -0.2522297, 0.5272823, 0.23058069, -3.2014518, -1.0, -4.0631123,
            0.08184689, 0.8613589, -1.2402904, -4.6723228,
        ],
    );
    let y = run(BatchNormalization { training_mode: true, ..op }, &x);
    close(
        &y[0],
        &[2, 3, 2],
        &[
            0.63234913,
            -1.6529396,
            0.09706038,
            1.0111759,
            0.55587924,
            -1.2723517,
            -0.34706038,
            -2.632349,
            0.48882416,
            1.4029396,
            -0.22764832,
            -2.055879,
        ],
    );
    close(&y[1], &[3], &[-0.59999996, 0.7, -0.27499998]);
    close(&y[2], &[3], &[0.62187505, 1.146875, 0.44687504]);
}

#[test]
fn other_normalizations() {
    let op = InstanceNormalization { epsilon: 1e-5.into() };
    let y = run(op, &[ramp(&[1, 2, 4], 0), ramp(&[2], 1), ramp(&[2], 2)]);
    close(
        &y[0],
        &[1, 2, 4],
        &[
            0.4142046,
            -2.0606534,
            0.060653448,
            -2.4142046,
            0.18431818,
            1.1742613,
            0.32573864,
            1.3156818,
        ],
    );
    let op = GroupNormalization { num_groups: 2, epsilon: 0.1.into(), stash: None };
    let y = run(op, &[ramp(&[1, 4, 2], 0), ramp(&[4], 1), ramp(&[4], 2)]);
    close(
        &y[0],
        &[1, 4, 2],
        &[
            0.33155918, -1.9986693, 0.3505323, 1.2826236, 0.3152473, -1.5489354, 0.40079844,
            1.7989354,
        ],
    );
    let op = LayerNormalization { axis: 1, epsilon: 1e-5.into(), stash: Some(DType::F32) };
    let y = run(op, &[ramp(&[2, 2, 3], 0), ramp(&[2, 3], 1), ramp(&[3], 2)]);
    close(
        &y[0],
        &[2, 2, 3],
        &[
            0.5651091,
            1.097802,
            0.22384565,
            -0.26961577,
            1.271703,
            0.50208724,
            0.5651091,
            1.097802,
            0.22384565,
            -0.26961577,
            1.271703,
            0.50208724,
        ],
    );
    close(&y[1], &[2, 1, 1], &[-0.375, 0.375]);
    close(&y[2], &[2, 1, 1], &[1.1129664, 1.1129664]);
    let op = RmsNormalization { axis: 1, epsilon: 0.1.into(), stash: None };
    let y = run(op, &[ramp(&[2, 3], 0), ramp(&[3], 1)]);
    close(
        &y[0],
        &[2, 3],
        &[1.5894017, 0.105960116, 1.0596012, -0.74480444, -0.59584355, -0.89376533],
    );
    let y = run(LpNormalization { axis: 1, p: 1 }, &[ramp(&[2, 3], 0)]);
    close(&y[0], &[2, 3], &[-0.5, 0.083333336, -0.41666666, 0.22222222, -0.44444445, 0.33333334]);
    let y = run(LpNormalization { axis: 0, p: 2 }, &[f32s(&[2], &[0.0, 0.0])]);
    close(&y[0], &[2], &[0.0, 0.0]);
    let y = run(MeanVarianceNormalization { axes: vec![0, 2] }, &[ramp(&[2, 2, 2], 0)]);
    close(
        &y[0],
        &[2, 2, 2],
        &[-1.236245, 0.6868028, -1.236245, 0.6868028, -0.6868028, 1.236245, -0.6868028, 1.236245],
    );
}

#[test]
fn skip_normalizations_give_the_sum() {
    let x = [f32s(&[1, 1, 2], &[1.0, 2.0]), f32s(&[1, 1, 2], &[0.5, 1.5]), f32s(&[2], &[2.0, 4.0])];
    let y = run(SkipRmsNormalization { epsilon: 0.0.into() }, &x);
    // 1.5 and 3.5 over sqrt(7.25)
    close(&y[0], &[1, 1, 2], &[1.114172, 5.1994696]);
    close(&y[2], &[1, 1, 1], &[0.37139067]);
    close(&y[3], &[1, 1, 2], &[1.5, 3.5]);
    let y = run(SkipLayerNormalization { epsilon: 0.0.into() }, &x);
    close(&y[0], &[1, 1, 2], &[-2.0, 4.0]);
    close(&y[1], &[1, 1, 1], &[2.5]);
}

#[test]
fn losses() {
    let x = ramp(&[2, 3, 2], 0);
    let target = Array::from_i64s(DType::I64, vec![2, 2], &[0, 2, 1, 5]).unwrap();
    let weights = f32s(&[3], &[0.5, 1.0, 2.0]);
    let sce = |reduction| {
        let op = SoftmaxCrossEntropyLoss { ignore_index: Some(5), reduction };
        run(op, &[x.clone(), target.clone(), weights.clone()])
    };
    let nll = |reduction| {
        let op = NegativeLogLikelihoodLoss { ignore_index: Some(5), reduction };
        run(op, &[x.clone(), target.clone()])
    };
    close(&sce(LossReduction::None)[0], &[2, 2], &[0.684669, 1.7386761, 1.119338, 0.0]);
    close(
        &sce(LossReduction::None)[1],
        &[2, 3, 2],
        &[
            -1.369338,
            -1.369338,
            -1.119338,
            -1.119338,
            -0.86933804,
            -0.86933804,
            -1.369338,
            -1.369338,
            -1.119338,
            -1.119338,
            -0.86933804,
            -0.86933804,
        ],
    );
    close(&sce(LossReduction::Sum)[0], &[], &[3.5426831]);
    close(&sce(LossReduction::Mean)[0], &[], &[1.0121952]);
    close(&nll(LossReduction::None)[0], &[2, 2], &[1.5, -0.75, 0.5, 0.0]);
    close(&nll(LossReduction::Sum)[0], &[], &[1.25]);
    close(&nll(LossReduction::Mean)[0], &[], &[0.41666666]);
}

#[test]
fn types_of_statistics() {
    let mut t = Symbols::new(&["n"]);
    let x = t.input(&["n", "4", "8"]);
    let scale = t.input(&["8"]);
    let op = LayerNormalization { axis: 1, epsilon: 1e-5.into(), stash: None };
    assert_eq!(t.infer_slot(op, &[x, scale], 1).unwrap(), "n, 1, 1");
    let bad = t.input(&["7"]);
    let op = RmsNormalization { axis: 2, epsilon: 1e-5.into(), stash: None };
    assert!(t.infer(op, &[x, bad]).is_err());
    assert!(t.infer(Softmax { axes: vec![3] }, &[x]).is_err());
}

#[test]
fn normalizations_of_symbolic_sizes() {
    let x = ramp(&[3, 4, 5], 0);
    same_when_symbolic(Hardmax { axes: vec![1, 2] }, &[x.clone()], &[]);
    let op = GroupNormalization { num_groups: 2, epsilon: 0.1.into(), stash: None };
    same_when_symbolic(op.clone(), &[x.clone(), ramp(&[4], 1), ramp(&[4], 2)], &[]);
    same_when_symbolic(op, &[x.clone(), ramp(&[2], 1), ramp(&[2], 2)], &[]);
    let op = LayerNormalization { axis: 1, epsilon: 1e-5.into(), stash: None };
    same_when_symbolic(op, &[x.clone(), ramp(&[4, 5], 1), ramp(&[5], 2)], &[]);
    let target = Array::from_i64s(DType::I64, vec![3, 5], &[0, 1, 2, 3, 0].repeat(3)).unwrap();
    let op = SoftmaxCrossEntropyLoss { ignore_index: Some(2), reduction: LossReduction::Mean };
    same_when_symbolic(op, &[x, target, ramp(&[4], 5)], &[]);
}
