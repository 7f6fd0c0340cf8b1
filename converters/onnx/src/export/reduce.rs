//! Writing rules of the reduce family.

use airconv_api::ir::array::{Array, Scalar};
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{ArgKind, Op, OpKind, ReduceKind, ScanReduce};
use airconv_api::ir::tensor::Tensor;
use airconv_api::ir::types::Type;

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use super::types::type_proto;
use crate::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Reduce, reduce),
    ExportRule::new(OpKind::ArgReduce, arg_reduce),
    ExportRule::new(OpKind::ScanReduce, scan_reduce),
    ExportRule::new(OpKind::ReduceMean, composite),
    ExportRule::new(OpKind::ReduceL1, composite),
    ExportRule::new(OpKind::ReduceL2, composite),
    ExportRule::new(OpKind::ReduceLogSum, composite),
    ExportRule::new(OpKind::ReduceLogSumExp, composite),
    ExportRule::new(OpKind::ReduceSumSquare, composite),
];

/// Inputs and attributes that say the axes: an input since a version, an attribute before.
fn axes_of(
    cx: &mut ExportCx<'_, '_>,
    x: String,
    since: i64,
    axes: &[i64],
    keepdims: bool,
) -> Result<(Vec<String>, Vec<AttributeProto>), Refuse> {
    let mut attrs = vec![attr::bool("keepdims", keepdims)];
    if cx.opset() < since {
        if axes.is_empty() {
            return Refuse::because(format!("no axes need opset {since}"));
        }
        attrs.push(attr::ints("axes", axes));
        return Ok((vec![x], attrs));
    }
    if axes.is_empty() {
        attrs.push(attr::int("noop_with_empty_axes", 1));
        return Ok((vec![x], attrs));
    }
    let axes = cx.ints(axes)?;
    Ok((vec![x, axes], attrs))
}

/// The dtype that stands in where a reduction does not take one: results wrap the same.
fn stand_in(name: &str, dtype: DType) -> Option<DType> {
    match (name, dtype) {
        ("ReduceSum" | "ReduceProd", d) if d.is_integer() && d.bits() < 32 => Some(DType::I32),
        (_, DType::Bool) => Some(DType::U8),
        _ => None,
    }
}

/// `ReduceSum` and its kin.
fn reduce(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Reduce(op) = op else { return Refuse::because("not a reduction") };
    let dtype = cx.tensor_ty(0)?.dtype;
    let x = cx.x(0)?;
    if op.axes.is_empty() && cx.opset() < 18 {
        return cx.emit("Identity", &[x], Vec::new());
    }
    let (name, since) = match op.kind {
        ReduceKind::Sum => ("ReduceSum", 13),
        ReduceKind::Prod => ("ReduceProd", 18),
        ReduceKind::Max | ReduceKind::Or => ("ReduceMax", 18),
        ReduceKind::Min | ReduceKind::And => ("ReduceMin", 18),
    };
    let other = stand_in(name, dtype).filter(|d| *d != DType::U8 || cx.opset() < 20);
    let Some(other) = other else {
        let (inputs, attrs) = axes_of(cx, x, since, &op.axes, op.keepdims)?;
        return cx.emit(name, &inputs, attrs);
    };
    let x = cx.temp("Cast", &[x], vec![attr::dtype("to", other)], other)?;
    let (inputs, attrs) = axes_of(cx, x, since, &op.axes, op.keepdims)?;
    let y = cx.temp(name, &inputs, attrs, other)?;
    cx.emit("Cast", &[y], vec![attr::dtype("to", dtype)])
}

/// A reduction that ONNX has as one op.
fn composite(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let (name, axes, keepdims) = match op {
        Op::ReduceMean(o) => ("ReduceMean", &o.axes, o.keepdims),
        Op::ReduceL1(o) => ("ReduceL1", &o.axes, o.keepdims),
        Op::ReduceL2(o) => ("ReduceL2", &o.axes, o.keepdims),
        Op::ReduceLogSum(o) => ("ReduceLogSum", &o.axes, o.keepdims),
        Op::ReduceLogSumExp(o) => ("ReduceLogSumExp", &o.axes, o.keepdims),
        Op::ReduceSumSquare(o) => ("ReduceSumSquare", &o.axes, o.keepdims),
        _ => return Refuse::because("not a reduction"),
    };
    let x = cx.x(0)?;
    let (inputs, attrs) = axes_of(cx, x, 18, axes, keepdims)?;
    cx.emit(name, &inputs, attrs)
}

/// `ArgMax` and `ArgMin`.
fn arg_reduce(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::ArgReduce(op) = op else { return Refuse::because("not a position") };
    let name = if op.kind == ArgKind::Max { "ArgMax" } else { "ArgMin" };
    let mut attrs = vec![attr::int("axis", op.axis), attr::bool("keepdims", op.keepdims)];
    if op.select_last {
        attrs.push(attr::int("select_last_index", 1));
    }
    let inputs = cx.all()?;
    cx.emit(name, &inputs, attrs)
}

/// `CumSum` and `CumProd`; what ONNX lacks is a `Scan`.
fn scan_reduce(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::ScanReduce(op) = op else { return Refuse::because("not a running combination") };
    let name = match op.kind {
        ReduceKind::Sum => "CumSum",
        ReduceKind::Prod if cx.opset() >= 26 => "CumProd",
        _ => return scan(cx, op),
    };
    let mut attrs = Vec::new();
    if op.exclusive {
        attrs.push(attr::int("exclusive", 1));
    }
    if op.reverse {
        attrs.push(attr::int("reverse", 1));
    }
    let inputs = [cx.x(0)?, cx.int_scalar(op.axis)?];
    cx.emit(name, &inputs, attrs)
}

/// What a running combination starts from.
fn start(kind: ReduceKind, dtype: DType) -> Option<Scalar> {
    let (low, high) = match dtype.int_range() {
        Some((low, high)) => (Scalar::Int(low), Scalar::Int(high)),
        None if dtype.is_float() => {
            (Scalar::Float(f64::NEG_INFINITY), Scalar::Float(f64::INFINITY))
        }
        None => return None,
    };
    match kind {
        ReduceKind::Max => Some(low),
        ReduceKind::Min => Some(high),
        ReduceKind::Prod => Some(Scalar::Int(1)),
        ReduceKind::Sum | ReduceKind::And | ReduceKind::Or => None,
    }
}

/// A running combination as a `Scan` whose state is the combination so far.
fn scan(cx: &mut ExportCx<'_, '_>, op: &ScanReduce) -> Result<(), Refuse> {
    let ty = cx.tensor_ty(0)?;
    let combine = match op.kind {
        ReduceKind::Max => "Max",
        ReduceKind::Min => "Min",
        ReduceKind::Prod => "Mul",
        other => return Refuse::because(format!("ONNX has no running {}", other.as_str())),
    };
    let Some(first) = start(op.kind, ty.dtype) else {
        return Refuse::because(format!("ONNX has no running {combine} of {}", ty.dtype));
    };
    let first = Array::scalar(ty.dtype, &first).and_then(|a| Tensor::from_array(&a));
    let first = cx.ex.constant(&first.map_err(|e| Refuse(e.to_string()))?, "const")?;
    let axis = usize::try_from(op.axis).unwrap_or(usize::MAX);
    let rest = ty.shape.iter().enumerate().filter(|(i, _)| *i != axis);
    let slice: Vec<Dim> = rest.map(|(_, d)| d.clone()).collect();
    let dims = cx.dims(&slice)?;
    let state = cx.temp("Expand", &[first, dims], Vec::new(), ty.dtype)?;
    let [before, x, after, out, last] =
        ["before", "x", "after", "out", "last"].map(|stem| cx.ex.fresh_name(stem));
    let node = |op: &str, inputs: &[&String], output: &String| NodeProto {
        input: inputs.iter().map(|s| (*s).clone()).collect(),
        output: vec![output.clone()],
        op_type: Some(op.to_owned()),
        ..Default::default()
    };
    let info = |name: &String| {
        let slice = Type::tensor(ty.dtype, slice.iter().cloned());
        ValueInfoProto {
            name: Some(name.clone()),
            r#type: type_proto(cx.ex.f(), &slice),
            ..Default::default()
        }
    };
    let shown = if op.exclusive { &before } else { &after };
    let body = GraphProto {
        node: vec![node(combine, &[&before, &x], &after), node("Identity", &[shown], &out)],
        name: Some("step".to_owned()),
        input: vec![info(&before), info(&x)],
        output: vec![info(&after), info(&out)],
        ..Default::default()
    };
    let direction = i64::from(op.reverse);
    let attrs = vec![
        attr::graph("body", body),
        attr::int("num_scan_inputs", 1),
        attr::ints("scan_input_axes", &[op.axis]),
        attr::ints("scan_input_directions", &[direction]),
        attr::ints("scan_output_axes", &[op.axis]),
        attr::ints("scan_output_directions", &[direction]),
    ];
    let inputs = [state, cx.x(0)?];
    let outputs = vec![last, cx.result(0)];
    cx.emit_to("Scan", &inputs, attrs, outputs)
}
