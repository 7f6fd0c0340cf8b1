//! Writing rules of the index family.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Op, OpKind, ScatterReduction};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Compress, compress),
    ExportRule::new(OpKind::Gather, gather),
    ExportRule::new(OpKind::GatherElements, gather_elements),
    ExportRule::new(OpKind::GatherNd, gather_nd),
    ExportRule::new(OpKind::Nonzero, nonzero),
    ExportRule::new(OpKind::OneHot, one_hot),
    ExportRule::new(OpKind::ReverseSequence, reverse_sequence),
    ExportRule::new(OpKind::ScatterElements, scatter_elements),
    ExportRule::new(OpKind::ScatterNd, scatter_nd),
    ExportRule::new(OpKind::TensorScatter, tensor_scatter),
    ExportRule::new(OpKind::TopK, top_k),
    ExportRule::new(OpKind::Unique, unique),
];

type Written = Result<(), Refuse>;

/// The answer of a rule that was given another op than its own.
pub(super) fn other_op(op: &Op) -> Written {
    Refuse::because(format!("the rule is not for `{}`", op.name()))
}

/// The name of an integer operand as one of these dtypes; others are cast to i64.
pub(super) fn index(
    cx: &mut ExportCx<'_, '_>,
    slot: usize,
    native: &[DType],
) -> Result<String, Refuse> {
    let name = cx.x(slot)?;
    match cx.ty(slot).and_then(|t| t.dtype()) {
        Some(d) if native.contains(&d) => Ok(name),
        _ => cx.temp("Cast", &[name], vec![attr::dtype("to", DType::I64)], DType::I64),
    }
}

const SHORT_OR_LONG: &[DType] = &[DType::I32, DType::I64];
const LONG: &[DType] = &[DType::I64];

fn gather(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Gather(g) = op else { return other_op(op) };
    let inputs = [cx.x(0)?, index(cx, 1, SHORT_OR_LONG)?];
    cx.emit("Gather", &inputs, vec![attr::int("axis", g.axis)])
}

fn gather_elements(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::GatherElements(g) = op else { return other_op(op) };
    let inputs = [cx.x(0)?, index(cx, 1, SHORT_OR_LONG)?];
    cx.emit("GatherElements", &inputs, vec![attr::int("axis", g.axis)])
}

fn gather_nd(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::GatherNd(g) = op else { return other_op(op) };
    let inputs = [cx.x(0)?, index(cx, 1, LONG)?];
    cx.emit("GatherND", &inputs, vec![attr::int("batch_dims", g.batch_dims)])
}

/// The attribute of a reduction; none for plain replacement.
fn reduction(
    cx: &ExportCx<'_, '_>,
    reduction: ScatterReduction,
) -> Result<Option<AttributeProto>, Refuse> {
    let since = match reduction {
        ScatterReduction::None => return Ok(None),
        ScatterReduction::Add | ScatterReduction::Mul => 16,
        ScatterReduction::Min | ScatterReduction::Max => 18,
    };
    let name = reduction.as_str();
    if cx.opset() < since {
        return Refuse::because(format!("scattering with `{name}` needs opset {since}"));
    }
    Ok(Some(attr::string("reduction", name)))
}

fn scatter_elements(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ScatterElements(s) = op else { return other_op(op) };
    let mut attrs = vec![attr::int("axis", s.axis)];
    attrs.extend(reduction(cx, s.reduction)?);
    let inputs = [cx.x(0)?, index(cx, 1, SHORT_OR_LONG)?, cx.x(2)?];
    cx.emit("ScatterElements", &inputs, attrs)
}

fn scatter_nd(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ScatterNd(s) = op else { return other_op(op) };
    let attrs = reduction(cx, s.reduction)?.into_iter().collect();
    let inputs = [cx.x(0)?, index(cx, 1, LONG)?, cx.x(2)?];
    cx.emit("ScatterND", &inputs, attrs)
}

fn top_k(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::TopK(t) = op else { return other_op(op) };
    let attrs = vec![
        attr::int("axis", t.axis),
        attr::bool("largest", t.largest),
        attr::bool("sorted", t.sorted),
    ];
    let inputs = [cx.x(0)?, cx.dims(std::slice::from_ref(&t.k))?];
    cx.emit("TopK", &inputs, attrs)
}

fn nonzero(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Nonzero(_) = op else { return other_op(op) };
    let x = cx.x(0)?;
    if cx.tensor_ty(0)?.rank() > 0 {
        return cx.emit("NonZero", &[x], Vec::new());
    }
    // ONNX counts a scalar as a vector of one element: its row of positions is left out.
    let dtype = cx.tensor_ty(0)?.dtype;
    let (zero, one) = (cx.ints(&[0])?, cx.ints(&[1])?);
    let x = cx.temp("Reshape", &[x, one], Vec::new(), dtype)?;
    let found = cx.temp("NonZero", &[x], Vec::new(), DType::I64)?;
    cx.emit("Slice", &[found, zero.clone(), zero.clone(), zero], Vec::new())
}

fn unique(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Unique(u) = op else { return other_op(op) };
    let mut attrs = vec![attr::bool("sorted", u.sorted)];
    attrs.extend(u.axis.map(|a| attr::int("axis", a)));
    let x = cx.x(0)?;
    cx.emit("Unique", &[x], attrs)
}

fn compress(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Compress(c) = op else { return other_op(op) };
    let inputs = cx.all()?;
    cx.emit("Compress", &inputs, c.axis.map(|a| attr::int("axis", a)).into_iter().collect())
}

fn one_hot(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::OneHot(o) = op else { return other_op(op) };
    let dtype = |slot| cx.ty(slot).and_then(|t| t.dtype());
    // The combinations that ONNX Runtime has.
    let float = matches!(
        (dtype(0), dtype(1)),
        (Some(DType::F32 | DType::I32), Some(DType::F32)) | (Some(DType::I64), Some(DType::I32))
    );
    let mut depth = cx.dim_scalar(&o.depth)?;
    if float {
        depth = match o.depth.as_known() {
            Some(d) => cx.scalar(DType::F32, d as f64)?,
            None => cx.temp("Cast", &[depth], vec![attr::dtype("to", DType::F32)], DType::F32)?,
        };
    }
    let inputs = [cx.x(0)?, depth, cx.x(1)?];
    cx.emit("OneHot", &inputs, vec![attr::int("axis", o.axis)])
}

fn reverse_sequence(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ReverseSequence(r) = op else { return other_op(op) };
    let inputs = [cx.x(0)?, index(cx, 1, LONG)?];
    let attrs = vec![attr::int("batch_axis", r.batch_axis), attr::int("time_axis", r.time_axis)];
    cx.emit("ReverseSequence", &inputs, attrs)
}

fn tensor_scatter(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::TensorScatter(t) = op else { return other_op(op) };
    let mut inputs = vec![cx.x(0)?, cx.x(1)?];
    if cx.value(2).is_some() {
        inputs.push(index(cx, 2, LONG)?);
    }
    let attrs = vec![attr::int("axis", t.axis), attr::string("mode", t.mode.as_str())];
    cx.emit("TensorScatter", &inputs, attrs)
}
