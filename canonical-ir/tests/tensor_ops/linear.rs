//! Ops of the linear family against numbers of NumPy and ONNX Runtime.

use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::op::*;

use crate::{Symbols, close, f32s, ramp, run, same_when_symbolic};

#[test]
fn contractions() {
    let op = Contract {
        lhs_batch: vec![1],
        rhs_batch: vec![0],
        lhs_contract: vec![0],
        rhs_contract: vec![2],
    };
    // einsum("kbi,bjk->bij")
    let y = run(op.clone(), &[ramp(&[3, 2, 2], 0), ramp(&[2, 1, 3], 4)]);
    close(&y[0], &[2, 2, 1], &[-0.375, 0.5, -1.5, -1.5]);
    let l = Array::from_i64s(DType::I8, vec![2, 1, 1], &[100, 7]).unwrap();
    let r = Array::from_i64s(DType::I8, vec![1, 1, 2], &[3, -2]).unwrap();
    let y = run(op, &[l, r]);
    assert_eq!(y[0].to_i64s().unwrap(), [300 - 14 - 256]);
}

#[test]
fn products_of_stacks() {
    let y = run(Matmul {}, &[ramp(&[2, 1, 2, 3], 0), ramp(&[2, 3, 2], 4)]);
    close(
        &y[0],
        &[2, 2, 2, 2],
        &[
            0.6875, 0.375, 0.0, -2.0, -1.1875, 2.5625, 0.1875, -0.1875, 0.125, 1.3125, -0.5625,
            -1.0625, -0.0625, 0.3125, 1.3125, -2.4375,
        ],
    );
    let y = run(Matmul {}, &[ramp(&[2, 3], 0), ramp(&[2, 3, 2], 4)]);
    close(&y[0], &[2, 2, 2], &[0.6875, 0.375, 0.0, -2.0, -1.1875, 2.5625, 0.1875, -0.1875]);
    let y = run(Matmul {}, &[f32s(&[2], &[1.0, 2.0]), f32s(&[2], &[3.0, 4.0])]);
    close(&y[0], &[], &[11.0]);
    let op = FusedMatmul {
        alpha: 0.5.into(),
        trans_a: true,
        trans_b: false,
        trans_batch_a: false,
        trans_batch_b: false,
    };
    let y = run(op, &[f32s(&[2, 1], &[1.0, 2.0]), f32s(&[2, 1], &[3.0, 4.0])]);
    close(&y[0], &[1, 1], &[5.5]);
}

#[test]
fn gemm_scales_and_broadcasts() {
    let op = Gemm { alpha: 0.5.into(), beta: 2.0.into(), trans_a: true, trans_b: true };
    let y = run(op, &[ramp(&[3, 2], 0), ramp(&[4, 3], 1), ramp(&[2, 1], 2)]);
    close(&y[0], &[2, 4], &[-0.875, -2.59375, -2.28125, -2.375, 1.09375, 1.78125, 1.65625, 1.125]);
}

#[test]
fn einsums() {
    let einsum = |equation: &str, x: &[Array]| run(Einsum { equation: equation.to_owned() }, x);
    let y = einsum("...ii->...i", &[ramp(&[2, 3, 3], 0)]);
    close(&y[0], &[2, 3], &[-1.5, -1.0, -0.5, 1.25, -1.5, -1.0]);
    let y = einsum("bij,jk,bk->bi", &[ramp(&[2, 2, 3], 0), ramp(&[3, 2], 1), ramp(&[2, 2], 2)]);
    close(&y[0], &[2, 2], &[-3.921875, 0.375, -0.359375, 3.765625]);
    // Size 1 repeats.
    let y = einsum("a...b,b...->a...", &[ramp(&[2, 3, 2], 0), ramp(&[2, 1], 2)]);
    close(&y[0], &[2, 3], &[1.6875, 1.625, 1.5625, 1.5, 1.4375, 1.375]);
}

#[test]
fn determinants() {
    let x = f32s(
        &[2, 3, 3],
        &[
            0.0, 2.0, 1.0, 3.0, -1.0, 4.0, 5.0, 6.0, -2.0, 1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 7.0, 8.0,
            1.0,
        ],
    );
    close(&run(Det {}, &[x])[0], &[2], &[75.0, 0.0]);
}

#[test]
fn symbolic_sizes_of_products() {
    let mut t = Symbols::new(&["n", "m"]);
    let a = t.input(&["n", "m", "4"]);
    let b = t.input(&["4", "5"]);
    assert_eq!(t.infer(Matmul {}, &[a, b]).unwrap(), "n, m, 5");
    let c = t.input(&["m", "5"]);
    assert!(t.infer(Matmul {}, &[b, b]).is_err());
    let op = Einsum { equation: "...ij,jk->k...i".to_owned() };
    assert_eq!(t.infer(op, &[a, c]).unwrap(), "5, n, m");
}

#[test]
fn products_of_symbolic_sizes() {
    same_when_symbolic(Matmul {}, &[ramp(&[3, 1, 4, 5], 0), ramp(&[6, 5, 7], 4)], &[]);
    same_when_symbolic(Matmul {}, &[ramp(&[5], 0), ramp(&[6, 5, 7], 4)], &[]);
    let op = Einsum { equation: "...ij,kjj->...k".to_owned() };
    same_when_symbolic(op, &[ramp(&[4, 3, 5, 6], 0), ramp(&[7, 6, 6], 4)], &[]);
    same_when_symbolic(Det {}, &[ramp(&[5, 4, 4], 3)], &[(0, 1), (0, 2)]);
}
