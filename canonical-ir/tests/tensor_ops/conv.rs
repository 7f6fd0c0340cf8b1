//! Ops of the conv family against numbers of NumPy and ONNX Runtime.

use airconv_ir::array::{Array, Data};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::*;

use crate::{Symbols, close, f32s, ramp, run, same_when_symbolic};

#[test]
fn convolutions() {
    let y = run(
        Conv {
            strides: vec![2],
            pads: vec![1, 2],
            dilations: vec![1],
            input_dilations: vec![1],
            groups: 2,
            auto_pad: AutoPad::Explicit,
        },
        &[ramp(&[1, 4, 5], 0), ramp(&[2, 2, 3], 3), ramp(&[2], 1)],
    );
    close(&y[0], &[1, 2, 3], &[-4.1875, -4.875, -3.5625, 0.125, -1.75, -1.1875]);
    let y = run(
        Conv {
            strides: vec![2, 1],
            pads: vec![],
            dilations: vec![1, 1],
            input_dilations: vec![1, 1],
            groups: 1,
            auto_pad: AutoPad::SameLower,
        },
        &[ramp(&[1, 2, 4, 5], 0), ramp(&[2, 2, 2, 3], 5)],
    );
    close(
        &y[0],
        &[1, 2, 2, 5],
        &[
            -1.75, -1.5, 0.375, -1.8125, -0.75, 1.625, 1.8125, 1.25, -1.75, -1.0625, -1.0625,
            -3.8125, -1.3125, -3.6875, -1.25, 1.875, 3.3125, -2.3125, 1.0, -1.1875,
        ],
    );
}

fn transposed(strides: &[i64], pads: &[i64]) -> ConvTranspose {
    ConvTranspose {
        strides: strides.to_vec(),
        pads: pads.to_vec(),
        dilations: vec![1; strides.len()],
        groups: 1,
        auto_pad: AutoPad::Explicit,
        output_padding: vec![0; strides.len()],
        output_shape: vec![],
    }
}

#[test]
fn transposed_convolutions() {
    let op = ConvTranspose { groups: 2, output_padding: vec![1], ..transposed(&[2], &[1, 0]) };
    let y = run(op, &[ramp(&[1, 2, 3], 0), ramp(&[2, 2, 3], 3), ramp(&[4], 1)]);
    close(
        &y[0],
        &[1, 4, 7],
        &[
            -2.75, -0.6875, -1.0, -0.4375, -2.5, -0.625, -1.25, 0.875, -1.4375, 0.4375, -0.6875,
            0.8125, -1.375, 0.5, -1.75, -0.875, 0.5, -1.25, -2.125, -0.8125, -1.0, 1.0, 1.5, 0.25,
            0.8125, 1.125, 0.0, 0.75,
        ],
    );
    // More is removed than a kernel reaches.
    let y = run(transposed(&[3], &[3, 2]), &[ramp(&[1, 1, 3], 0), ramp(&[1, 1, 2], 3)]);
    close(&y[0], &[1, 1, 3], &[-0.1875, 0.25, 0.0]);
    let operands = [ramp(&[1, 1, 3], 0), ramp(&[1, 1, 2], 3), ramp(&[1], 1)];
    let y = run(ConvTranspose { output_shape: vec![7], ..transposed(&[3], &[0, 0]) }, &operands);
    close(&y[0], &[1, 1, 7], &[-2.75, -1.25, -1.4375, -1.0, -1.25, -0.3125, -2.5]);
    let y = run(ConvTranspose { output_shape: vec![10], ..transposed(&[3], &[0, 0]) }, &operands);
    close(
        &y[0],
        &[1, 1, 10],
        &[-0.125, -2.75, -1.25, -1.4375, -1.0, -1.25, -0.3125, -2.5, -1.25, -1.25],
    );
    let op = ConvTranspose { auto_pad: AutoPad::SameUpper, ..transposed(&[2, 2], &[]) };
    let y = run(op, &[ramp(&[1, 1, 3, 2], 0), ramp(&[1, 1, 3, 3], 3)]);
    close(
        &y[0],
        &[1, 1, 6, 4],
        &[
            1.125, -1.5, 0.5625, 0.25, -1.875, 0.375, -1.9375, -0.0625, 0.9375, 1.0, -0.125, 0.125,
            -1.5625, 0.3125, -1.25, -0.125, 0.75, 0.875, -0.375, 0.0, -1.25, 0.25, -0.5625,
            -0.1875,
        ],
    );
}

fn max_pool(kernel: &[i64], strides: &[i64], pads: &[i64]) -> MaxPool {
    MaxPool {
        kernel_shape: kernel.to_vec(),
        strides: strides.to_vec(),
        pads: pads.to_vec(),
        dilations: vec![1; kernel.len()],
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
        column_major: false,
    }
}

#[test]
fn max_pools_with_positions() {
    let op = MaxPool { ceil_mode: true, ..max_pool(&[3, 2], &[2, 2], &[1, 0, 1, 1]) };
    let y = run(op, &[ramp(&[1, 2, 5, 4], 0)]);
    close(
        &y[0],
        &[1, 2, 3, 2],
        &[0.75, 1.0, 1.25, 1.5, 0.5, 0.75, 1.5, 1.25, 1.5, 1.25, 1.5, 1.25],
    );
    assert_eq!(y[1].to_i64s().unwrap(), [5, 7, 9, 11, 16, 18, 24, 22, 24, 35, 37, 35]);
    let op = MaxPool { column_major: true, ..max_pool(&[3, 2], &[1, 2], &[0; 4]) };
    let y = run(op, &[ramp(&[1, 2, 5, 4], 0)]);
    close(
        &y[0],
        &[1, 2, 3, 2],
        &[1.25, 1.5, 1.25, 1.5, 1.25, 1.5, 1.5, 1.25, 1.5, 1.25, 1.5, 1.25],
    );
    assert_eq!(y[1].to_i64s().unwrap(), [7, 17, 7, 17, 7, 17, 21, 30, 21, 38, 29, 38]);
    let op = MaxPool { dilations: vec![3, 2], ..max_pool(&[2, 2], &[2, 3], &[0; 4]) };
    let y = run(op, &[ramp(&[1, 1, 7, 7], 0)]);
    close(&y[0], &[1, 1, 2, 2], &[-0.25, 1.5, 1.5, 0.25]);
    assert_eq!(y[1].to_i64s().unwrap(), [23, 24, 37, 40]);
}

#[test]
fn maxima_of_nothing_but_infinities_and_nan() {
    let low = f32::NEG_INFINITY;
    let x = f32s(&[1, 1, 4], &[low, low, 1.0, f32::NAN]);
    let y = run(max_pool(&[2], &[2], &[1, 1]), &[x]);
    assert_eq!(y[1].to_i64s().unwrap(), [0, 2, 3]);
    let found = y[0].to_f64s().unwrap();
    assert!(found[0] == f64::NEG_INFINITY && found[1] == 1.0 && found[2].is_nan());
}

#[test]
fn other_pools() {
    let op = AveragePool {
        kernel_shape: vec![2, 3],
        strides: vec![2, 2],
        pads: vec![1, 1, 0, 1],
        dilations: vec![1, 1],
        auto_pad: AutoPad::Explicit,
        ceil_mode: true,
        count_include_pad: false,
    };
    let y = run(op.clone(), &[ramp(&[1, 1, 4, 5], 0)]);
    close(
        &y[0],
        &[1, 1, 3, 3],
        &[-0.625, -0.16666667, -0.25, 0.3125, -0.041666668, -0.125, -0.375, 0.083333336, 0.0],
    );
    let y = run(AveragePool { count_include_pad: true, ..op }, &[ramp(&[1, 1, 4, 5], 0)]);
    close(
        &y[0],
        &[1, 1, 3, 3],
        &[
            -0.20833333,
            -0.083333336,
            -0.083333336,
            0.20833333,
            -0.041666668,
            -0.083333336,
            -0.25,
            0.083333336,
            0.0,
        ],
    );
    let op = LpPool {
        kernel_shape: vec![3],
        strides: vec![2],
        pads: vec![0, 0],
        dilations: vec![1],
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
        p: 3,
    };
    let y = run(op, &[ramp(&[1, 1, 6], 0)]);
    close(&y[0], &[1, 1, 2], &[1.7482977, 1.454662]);
    let op = Lrn { alpha: 0.5.into(), beta: 0.6.into(), bias: 1.5.into(), size: 3 };
    let y = run(op, &[ramp(&[1, 5, 1, 2], 0)]);
    close(
        &y[0],
        &[1, 5, 1, 2],
        &[
            -0.95148444,
            0.19203968,
            -0.75794446,
            0.37079898,
            -0.6556645,
            0.5267401,
            -0.52673995,
            0.6556645,
            -0.37221417,
            0.8432759,
        ],
    );
}

#[test]
fn max_unpool_puts_back() {
    let op =
        MaxUnpool { kernel_shape: vec![2, 2], strides: vec![2, 2], pads: vec![0; 4], dims: vec![] };
    let at = Array::from_i64s(DType::I64, vec![1, 1, 2, 2], &[5, 7, 13, 15]).unwrap();
    let x = f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let y = run(op.clone(), &[x.clone(), at.clone()]);
    close(
        &y[0],
        &[1, 1, 4, 4],
        &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0],
    );
    let dims = [1, 1, 4, 5].map(Dim::Known).to_vec();
    let y = run(MaxUnpool { dims, ..op }, &[x, at]);
    assert_eq!(y[0].shape, [1, 1, 4, 5]);
    assert_eq!(y[0].to_f64s().unwrap()[6], 1.0);
}

#[test]
fn deformed_and_scattered_windows() {
    let op = DeformConv {
        strides: vec![1, 1],
        pads: vec![0; 4],
        dilations: vec![1, 1],
        groups: 2,
        offset_groups: 2,
    };
    let mut offset = ramp(&[1, 16, 2, 3], 2);
    if let Data::F32(v) = &mut offset.data {
        v.iter_mut().for_each(|x| *x *= 0.6);
    }
    let x = [ramp(&[1, 2, 3, 4], 0), ramp(&[2, 1, 2, 2], 3), offset, ramp(&[2], 1)];
    let y = run(op, &[&x[..], &[ramp(&[1, 8, 2, 3], 4)]].concat());
    close(
        &y[0],
        &[1, 2, 2, 3],
        &[
            -1.0006249,
            -0.18437481,
            -1.27625,
            -1.1926562,
            -2.2546873,
            0.24718761,
            1.7375002,
            0.71468747,
            -0.6129688,
            2.4859376,
            0.8218752,
            2.009375,
        ],
    );
    let op = Col2Im {
        image_dims: vec![Dim::Known(4), Dim::Known(3)],
        block_shape: vec![2, 2],
        strides: vec![1, 2],
        pads: vec![0, 1, 0, 0],
        dilations: vec![1, 1],
    };
    let y = run(op, &[ramp(&[1, 4, 6], 0)]);
    close(
        &y[0],
        &[1, 1, 4, 3],
        &[-0.75, 0.25, 1.0, 0.25, -1.0, 0.5, 0.75, -0.5, 1.0, 1.25, -1.0, -0.25],
    );
}

#[test]
fn causal_convolution_carries_state() {
    let op = CausalConvWithState { activation: "silu".to_owned() };
    let x = [ramp(&[1, 2, 3], 0), ramp(&[2, 1, 3], 1), ramp(&[2], 2), ramp(&[1, 2, 2], 3)];
    let y = run(op, &x);
    close(
        &y[0],
        &[1, 2, 3],
        &[1.6935246, -0.12131238, 2.0354636, -0.030273752, 0.18046731, 2.4476898],
    );
    close(&y[1], &[1, 2, 2], &[0.25, -1.25, -1.0, 0.75]);
}

#[test]
fn windows_of_integers_wrap() {
    let x = Array::from_i64s(DType::U8, vec![4], &[200, 100, 3, 4]).unwrap();
    let op = ReduceWindow {
        kind: ReduceKind::Sum,
        window: vec![2],
        strides: vec![1],
        dilations: vec![2],
        pads: vec![1, 0],
    };
    let y = run(op.clone(), &[x.clone()]);
    assert_eq!(y[0].to_i64s().unwrap(), [100, 203, 104]);
    let y = run(ReduceWindow { kind: ReduceKind::Min, ..op }, &[x]);
    assert_eq!(y[0].to_i64s().unwrap(), [100, 3, 4]);
}

#[test]
fn symbolic_sizes_of_windows() {
    let mut t = Symbols::new(&["n", "h"]);
    let x = t.input(&["n", "3", "h", "224"]);
    let w = t.input(&["64", "3", "7", "7"]);
    let conv = Conv {
        strides: vec![2, 2],
        pads: vec![3; 4],
        dilations: vec![1, 1],
        input_dilations: vec![1, 1],
        groups: 1,
        auto_pad: AutoPad::Explicit,
    };
    assert_eq!(t.infer(conv.clone(), &[x, w]).unwrap(), "n, 64, floordiv(h + 1, 2), 112");
    assert!(t.infer(Conv { groups: 2, ..conv }, &[x, w]).is_err());
}

#[test]
fn windows_over_symbolic_sizes() {
    let x = ramp(&[1, 4, 7, 5], 0);
    for auto_pad in [AutoPad::Explicit, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid] {
        for ceil_mode in [false, true] {
            let explicit = auto_pad == AutoPad::Explicit;
            let pads = if explicit { vec![1, 0, 2, 1] } else { vec![] };
            let op = MaxPool { auto_pad, ceil_mode, ..max_pool(&[3, 2], &[2, 3], &pads) };
            same_when_symbolic(op, &[x.clone()], &[]);
            for count_include_pad in [false, true] {
                let op = AveragePool {
                    kernel_shape: vec![3, 2],
                    strides: vec![2, 3],
                    pads: pads.clone(),
                    dilations: vec![1, 2],
                    auto_pad,
                    ceil_mode,
                    count_include_pad,
                };
                same_when_symbolic(op, &[x.clone()], &[]);
            }
        }
    }
    same_when_symbolic(
        Lrn { alpha: 0.5.into(), beta: 0.6.into(), bias: 1.5.into(), size: 3 },
        &[ramp(&[1, 5, 3, 2], 0)],
        &[],
    );
}

#[test]
fn transposed_convolutions_of_symbolic_sizes() {
    let operands = [ramp(&[1, 4, 3], 0), ramp(&[4, 3, 4], 3), ramp(&[6], 1)];
    let base = ConvTranspose { groups: 2, ..transposed(&[2], &[1, 0]) };
    let same = ConvTranspose { auto_pad: AutoPad::SameLower, pads: vec![], ..base.clone() };
    let forms = [
        ConvTranspose { output_padding: vec![1], ..base.clone() },
        ConvTranspose { pads: vec![5, 1], ..base.clone() },
        ConvTranspose { output_shape: vec![5], ..base.clone() },
        ConvTranspose { output_shape: vec![9], ..base.clone() },
        same,
    ];
    for op in forms {
        same_when_symbolic(op, &operands, &[(1, 2)]);
    }
}

#[test]
fn patches_of_symbolic_sizes() {
    let op = DeformConv {
        strides: vec![2, 1],
        pads: vec![1, 0, 1, 0],
        dilations: vec![1, 2],
        groups: 2,
        offset_groups: 2,
    };
    let operands = [ramp(&[1, 4, 5, 6], 0), ramp(&[6, 2, 2, 3], 3), ramp(&[1, 24, 3, 2], 2)];
    same_when_symbolic(op, &operands, &[(1, 3), (2, 1)]);
    let op = Col2Im {
        image_dims: vec![Dim::Known(4), Dim::Known(3)],
        block_shape: vec![2, 2],
        strides: vec![1, 2],
        pads: vec![0, 1, 0, 0],
        dilations: vec![1, 1],
    };
    same_when_symbolic(op, &[ramp(&[3, 8, 6], 0)], &[]);
}
