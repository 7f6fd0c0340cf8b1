//! Ops of the hub for which ONNX has no op of the same meaning are written in other ones. What
//! is written reads back as a program that gives the same numbers.

use std::collections::BTreeMap;

use airconv_api::{ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range as DimRange};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, Origin, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::{OnnxReader, OnnxWriter};

/// A program of one op on operands whose first axis is a symbol.
fn program(op: impl Into<Op>, operands: &[Array]) -> Module {
    let mut m = Module::default();
    m.origins.push(Origin::Unknown);
    let func = m.functions.push(Function::new("main"));
    let f = &mut m.functions[func];
    let n = Dim::from(f.add_symbol("n", DimRange::NONNEG, None));
    let mut values = Vec::new();
    let first = operands.first().and_then(|a| a.shape.first()).copied().unwrap_or(0);
    for (i, a) in operands.iter().enumerate() {
        let dims = a.shape.iter().enumerate().map(|(axis, &d)| {
            if axis == 0 && d == first { n.clone() } else { Dim::Known(d as i64) }
        });
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let ty = Type::tensor(a.dtype, dims);
        values.push(Some(f.add_input(&format!("x{i}"), ty, role)));
    }
    let region = f.body;
    let mut b = Builder::new(&mut m, func, region, OriginId(0));
    let y = b.emit_opt(op, &values).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
    m
}

fn run(m: &Module, operands: &[Array]) -> Array {
    let named = operands.iter().enumerate();
    let inputs: BTreeMap<String, Datum> =
        named.map(|(i, a)| (format!("x{i}"), Datum::from(a.clone()))).collect();
    let out = Interpreter::new(m.clone(), EvalLimits::default()).run(&inputs).unwrap();
    out[0].1.as_array().unwrap().clone()
}

/// Writes at an opset, reads back, and compares the runs.
#[track_caller]
fn check(op: impl Into<Op>, operands: &[Array], opset: i64) {
    let m = program(op, operands);
    let want = run(&m, operands);
    let folder = tempfile::tempdir().unwrap();
    let path = match std::env::var_os("AIRCONV_KEEP") {
        Some(kept) => {
            std::path::PathBuf::from(kept).join(format!("{}_{opset}.onnx", fingerprint(&m)))
        }
        None => folder.path().join("m.onnx"),
    };
    let mut report = Report::default();
    let options = WriteOptions { opset: Some(opset), ..Default::default() };
    let verified = verify(&m, Stage::Canonical).unwrap();
    OnnxWriter
        .write(&verified, &path, &options, &mut report)
        .unwrap_or_else(|e| panic!("{e}: {:?}", report.diagnostics));
    let back = OnnxReader.read(&path, &ReadOptions::default(), &mut report).unwrap();
    let got = run(&back, operands);
    assert_eq!((got.dtype, &got.shape), (want.dtype, &want.shape));
    for i in 0..want.numel() {
        // The sign of a zero may get lost.
        let text = |a: &Array| a.get(i).unwrap().to_string().replace("-0.0", "0.0");
        assert_eq!(text(&got), text(&want), "element {i} at opset {opset}");
    }
}

fn fingerprint(m: &Module) -> String {
    let node = m.main().nodes.values().next().unwrap();
    format!("{:?}", node.op).chars().filter(|c| c.is_ascii_alphanumeric()).take(60).collect()
}

fn ints(dtype: DType, shape: &[usize], v: &[i64]) -> Array {
    Array::from_i64s(dtype, shape.to_vec(), v).unwrap()
}

fn floats(shape: &[usize], v: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap()
}

#[test]
fn rounding_and_signs_of_division() {
    let a = ints(DType::I64, &[6], &[7, -7, 7, -7, 0, 6]);
    let b = ints(DType::I64, &[6], &[2, 2, -2, -2, 5, -3]);
    let x = floats(&[5], &[-4.5, 7.25, 5.0, -1.0, 4.0]);
    let y = floats(&[5], &[2.0, -3.5, 8.0, 8.0, -2.0]);
    for opset in [13, 21] {
        for rounding in [IntRounding::Floor, IntRounding::Trunc] {
            check(Div { rounding }, &[a.clone(), b.clone()], opset);
            check(Rem { rounding }, &[a.clone(), b.clone()], opset);
            check(Rem { rounding }, &[x.clone(), y.clone()], opset);
        }
    }
}

#[test]
fn extremes_that_skip_nan() {
    let a = floats(&[4], &[f32::NAN, 1.0, 2.0, f32::NAN]);
    let b = floats(&[4], &[1.0, f32::NAN, 3.0, f32::NAN]);
    for nan in [NanRule::Number, NanRule::Propagate] {
        check(Max { nan }, &[a.clone(), b.clone()], 13);
        check(Min { nan }, &[a.clone(), b.clone()], 13);
    }
}

#[test]
fn shifts_of_signed_integers() {
    let x = ints(DType::I32, &[6], &[-5, 5, i64::from(i32::MIN), -1, 1, i64::from(i32::MAX)]);
    let n = ints(DType::I32, &[6], &[1, 2, 31, 40, 32, 30]);
    check(ShiftRight {}, &[x.clone(), n.clone()], 17);
    check(ShiftLeft {}, &[x.clone(), n], 17);
    check(BitNot {}, &[x], 14);
    check(BitNot {}, &[ints(DType::U8, &[2], &[0, 200])], 14);
}

#[test]
fn reductions_of_other_dtypes() {
    let bools = Array::from_vec(vec![2, 2], vec![true, false, true, true]).unwrap();
    let bytes = ints(DType::I8, &[2, 2], &[100, 100, -7, 3]);
    let axes = vec![1];
    for opset in [13, 18, 21] {
        for kind in [ReduceKind::And, ReduceKind::Or] {
            check(Reduce { kind, axes: axes.clone(), keepdims: false }, &[bools.clone()], opset);
        }
        for kind in [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max] {
            check(Reduce { kind, axes: axes.clone(), keepdims: true }, &[bytes.clone()], opset);
        }
        let none = Reduce { kind: ReduceKind::Sum, axes: Vec::new(), keepdims: true };
        check(none, &[floats(&[2], &[1.0, 2.0])], opset);
    }
}

#[test]
fn running_extremes_and_products() {
    let x = floats(&[2, 4], &[1.0, 3.0, 2.0, 5.0, -1.0, -4.0, 0.5, 7.0]);
    for kind in [ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod, ReduceKind::Sum] {
        for (axis, exclusive, reverse) in [(1, false, false), (0, false, true), (1, true, true)] {
            check(ScanReduce { kind, axis, exclusive, reverse }, &[x.clone()], 13);
        }
    }
    let x = ints(DType::I64, &[3], &[4, -2, 9]);
    let op = ScanReduce { kind: ReduceKind::Max, axis: 0, exclusive: true, reverse: false };
    check(op, &[x], 21);
}

#[test]
fn shapes() {
    let x = floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let known = |d: &[i64]| d.iter().map(|&d| Dim::Known(d)).collect::<Vec<_>>();
    for opset in [13, 18] {
        check(ShapeOf { start: 1, end: Some(2) }, &[x.clone()], opset);
        check(Iota { dtype: DType::F16, dims: known(&[2, 3]), axis: 1 }, &[], opset);
        check(Iota { dtype: DType::I64, dims: known(&[3]), axis: 0 }, &[], opset);
        check(Trilu { upper: false, k: Dim::Known(-1) }, &[x.clone()], opset);
        check(CenterCropPad { axes: vec![1, 0], dims: known(&[2, 5]) }, &[x.clone()], opset);
        let low = known(&[1, -1]);
        check(Pad { low: low.clone(), high: low, mode: PadMode::Constant }, &[x.clone()], opset);
        check(Tile { repeats: known(&[2, 1]) }, &[x.clone()], opset);
        check(EyeLike { dtype: Some(DType::F64), k: 1 }, &[x.clone()], opset);
    }
}

#[test]
fn newer_activations_at_an_old_opset() {
    let x = floats(&[4], &[-3.0, -0.5, 0.5, 4.0]);
    check(HardSwish {}, &[x.clone()], 13);
    check(Mish {}, &[x.clone()], 13);
    check(Gelu { approximate: GeluKind::Tanh }, &[x.clone()], 13);
    check(Gelu { approximate: GeluKind::Exact }, &[x.clone()], 20);
    check(Swish { alpha: 1.5.into() }, &[x.clone()], 13);
    check(BiasGelu {}, &[floats(&[1, 4], &[1.0, 2.0, -1.0, 0.0]), x], 13);
}
