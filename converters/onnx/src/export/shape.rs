//! Writing rules of the shape family.

use airconv_api::ir::dim::{Dim, Shape};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Op, OpKind, PadMode};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Broadcast, broadcast),
    ExportRule::new(OpKind::CenterCropPad, center_crop_pad),
    ExportRule::new(OpKind::Concat, concat),
    ExportRule::new(OpKind::Flatten, flatten),
    ExportRule::new(OpKind::Full, full),
    ExportRule::new(OpKind::Iota, iota),
    ExportRule::new(OpKind::Pad, pad),
    ExportRule::new(OpKind::Range, range),
    ExportRule::new(OpKind::Reshape, reshape),
    ExportRule::new(OpKind::ShapeOf, shape_of),
    ExportRule::new(OpKind::Slice, slice),
    ExportRule::new(OpKind::Split, split),
    ExportRule::new(OpKind::Squeeze, squeeze),
    ExportRule::new(OpKind::Tile, tile),
    ExportRule::new(OpKind::Transpose, transpose),
    ExportRule::new(OpKind::Trilu, trilu),
    ExportRule::new(OpKind::Unsqueeze, unsqueeze),
];

fn mismatch<T>() -> Result<T, Refuse> {
    Refuse::because("not the op of this rule")
}

/// `Expand`.
fn broadcast(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Broadcast(op) = op else { return mismatch() };
    let inputs = [cx.x(0)?, cx.dims(&op.dims)?];
    cx.emit("Expand", &inputs, Vec::new())
}

/// The shape input of `Reshape` in constant form: 0 for a size that stays, -1 for one other.
fn constant_shape(from: &Shape, dims: &[Dim]) -> Option<Vec<i64>> {
    let mut open = false;
    let mut out = Vec::with_capacity(dims.len());
    for (i, dim) in dims.iter().enumerate() {
        let stays = from.get(i) == Some(dim);
        out.push(match dim.as_known() {
            Some(0) => return None,
            Some(k) => k,
            None if stays => 0,
            None if open => return None,
            None => {
                open = true;
                -1
            }
        });
    }
    Some(out)
}

/// The opset that brought `allowzero`.
const ALLOWZERO: i64 = 14;

/// `Reshape`.
fn reshape(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Reshape(op) = op else { return mismatch() };
    let x = cx.x(0)?;
    let from = cx.tensor_ty(0)?.shape;
    let all_known = op.dims.iter().all(|d| d.as_known().is_some());
    // A vector that the program computes serves as it is, unless its zeros would be misread.
    let noted = cx.note("onnx.allowzero").is_some();
    let misread = noted && cx.opset() < ALLOWZERO;
    let computed = if all_known || misread { None } else { cx.ex.fact(&op.dims, false) };
    let short = match &computed {
        None => constant_shape(&from, &op.dims),
        Some(_) => None,
    };
    if let Some(short) = short {
        let shape = cx.ints(&short)?;
        return cx.emit("Reshape", &[x, shape], Vec::new());
    }
    let stays = |(i, d): (usize, &Dim)| from.get(i) == Some(d);
    let literal_zero =
        noted || op.dims.iter().enumerate().any(|d| *d.1 == Dim::Known(0) && !stays(d));
    let shape = match computed {
        Some(name) => name,
        None => cx.dims(&op.dims)?,
    };
    if !literal_zero {
        return cx.emit("Reshape", &[x, shape], Vec::new());
    }
    if cx.opset() >= ALLOWZERO {
        return cx.emit("Reshape", &[x, shape], vec![attr::int("allowzero", 1)]);
    }
    reshape_or_empty(cx, &x, &shape)
}

/// What `allowzero` says, without it: where a size is 0 there are no elements to move.
fn reshape_or_empty(cx: &mut ExportCx<'_, '_>, x: &str, shape: &str) -> Result<(), Refuse> {
    let dtype = cx.result_ty(0)?.dtype;
    let (x, shape) = (x.to_owned(), shape.to_owned());
    let count =
        cx.temp("ReduceProd", &[shape.clone()], vec![attr::int("keepdims", 0)], DType::I64)?;
    let zero = cx.int_scalar(0)?;
    let empty = cx.temp("Equal", &[count, zero], Vec::new(), DType::Bool)?;
    let then_branch = cx.branch(|cx| {
        let none = cx.temp("ConstantOfShape", &[shape.clone()], Vec::new(), DType::F32)?;
        match dtype {
            DType::F32 => Ok(none),
            _ => cx.temp("Cast", &[none], vec![attr::dtype("to", dtype)], dtype),
        }
    })?;
    let else_branch = cx.branch(|cx| cx.temp("Reshape", &[x, shape.clone()], Vec::new(), dtype))?;
    let attrs =
        vec![attr::graph("then_branch", then_branch), attr::graph("else_branch", else_branch)];
    cx.emit("If", &[empty], attrs)
}

/// `Transpose`.
fn transpose(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Transpose(op) = op else { return mismatch() };
    let inputs = cx.all()?;
    cx.emit("Transpose", &inputs, vec![attr::ints("perm", &op.perm)])
}

/// `Concat`.
fn concat(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Concat(op) = op else { return mismatch() };
    let inputs = cx.all()?;
    cx.emit("Concat", &inputs, vec![attr::int("axis", op.axis)])
}

/// `Flatten`.
fn flatten(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Flatten(op) = op else { return mismatch() };
    let inputs = cx.all()?;
    cx.emit("Flatten", &inputs, vec![attr::int("axis", op.axis)])
}

/// `Slice`, with steps where there are other ones than 1.
fn slice(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Slice(op) = op else { return mismatch() };
    let mut inputs = vec![cx.x(0)?, cx.dims(&op.starts)?, cx.dims(&op.ends)?, cx.ints(&op.axes)?];
    if op.steps.iter().any(|s| *s != 1) {
        inputs.push(cx.ints(&op.steps)?);
    }
    cx.emit("Slice", &inputs, Vec::new())
}

/// `Pad`.
fn pad(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Pad(op) = op else { return mismatch() };
    let pads: Vec<Dim> = op.low.iter().chain(&op.high).cloned().collect();
    let mut value = cx.opt(1)?;
    if !value.is_empty() && cx.tensor_ty(1)?.rank() > 0 {
        let dtype = cx.tensor_ty(1)?.dtype;
        let shape = cx.ints(&[])?;
        value = cx.temp("Reshape", &[value, shape], Vec::new(), dtype)?;
    }
    let inputs = [cx.x(0)?, cx.dims(&pads)?, value];
    let attrs = match op.mode {
        PadMode::Constant => Vec::new(),
        mode => vec![attr::string("mode", mode.as_str())],
    };
    cx.emit("Pad", &inputs, attrs)
}

/// `ConstantOfShape`.
fn full(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Full(op) = op else { return mismatch() };
    let mut value = cx.tensor(op.value)?;
    value.dims = vec![1];
    let shape = cx.dims(&op.dims)?;
    cx.emit("ConstantOfShape", &[shape], vec![attr::tensor("value", value)])
}

/// `Range` from 0, cast, and expanded along the other axes.
fn iota(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Iota(op) = op else { return mismatch() };
    let axis = usize::try_from(op.axis).unwrap_or(usize::MAX);
    let Some(n) = op.dims.get(axis) else { return Refuse::because("the axis is out of range") };
    let inputs = [cx.int_scalar(0)?, cx.dim_scalar(n)?, cx.int_scalar(1)?];
    let last = |cx: &mut ExportCx<'_, '_>, x: String| {
        if op.dims.len() == 1 {
            return Ok(x);
        }
        let mut line = vec![1; op.dims.len()];
        if let Some(size) = line.get_mut(axis) {
            *size = -1;
        }
        let line = cx.ints(&line)?;
        let x = cx.temp("Reshape", &[x, line], Vec::new(), op.dtype)?;
        let dims = cx.dims(&op.dims)?;
        cx.temp("Expand", &[x, dims], Vec::new(), op.dtype)
    };
    if op.dtype == DType::I64 && op.dims.len() == 1 {
        return cx.emit("Range", &inputs, Vec::new());
    }
    let mut x = cx.temp("Range", &inputs, Vec::new(), DType::I64)?;
    if op.dtype == DType::I64 {
        let x = last(cx, x)?;
        return cx.emit("Identity", &[x], Vec::new());
    }
    let to = vec![attr::dtype("to", op.dtype)];
    if op.dims.len() == 1 {
        return cx.emit("Cast", &[x], to);
    }
    x = cx.temp("Cast", &[x], to, op.dtype)?;
    let x = last(cx, x)?;
    cx.emit("Identity", &[x], Vec::new())
}

/// `Range`.
fn range(cx: &mut ExportCx<'_, '_>, _: &Op) -> Result<(), Refuse> {
    for slot in 0..3 {
        if cx.tensor_ty(slot)?.rank() > 0 {
            return Refuse::because("an operand is not a scalar");
        }
    }
    let inputs = cx.all()?;
    cx.emit("Range", &inputs, Vec::new())
}

/// `Shape`; before opset 15 a part of it is a slice.
fn shape_of(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::ShapeOf(op) = op else { return mismatch() };
    let inputs = cx.all()?;
    if op.start == 0 && op.end.is_none() {
        return cx.emit("Shape", &inputs, Vec::new());
    }
    if cx.opset() >= 15 {
        let mut attrs = Vec::new();
        if op.start != 0 {
            attrs.push(attr::int("start", op.start));
        }
        if let Some(end) = op.end {
            attrs.push(attr::int("end", end));
        }
        return cx.emit("Shape", &inputs, attrs);
    }
    let whole = cx.temp("Shape", &inputs, Vec::new(), DType::I64)?;
    let end = op.end.unwrap_or(i64::MAX);
    let inputs = [whole, cx.ints(&[op.start])?, cx.ints(&[end])?, cx.ints(&[0])?];
    cx.emit("Slice", &inputs, Vec::new())
}

/// `Split` by sizes.
fn split(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Split(op) = op else { return mismatch() };
    let inputs = [cx.x(0)?, cx.dims(&op.sizes)?];
    // Absent results at the end still count.
    let outputs: Vec<String> = (0..op.sizes.len()).map(|i| cx.result(i)).collect();
    if outputs.iter().any(String::is_empty) {
        return Refuse::because("a part is not wanted");
    }
    cx.emit_to("Split", &inputs, vec![attr::int("axis", op.axis)], outputs)
}

/// `Squeeze`.
fn squeeze(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Squeeze(op) = op else { return mismatch() };
    let inputs = [cx.x(0)?, cx.ints(&op.axes)?];
    cx.emit("Squeeze", &inputs, Vec::new())
}

/// `Unsqueeze`.
fn unsqueeze(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Unsqueeze(op) = op else { return mismatch() };
    let inputs = [cx.x(0)?, cx.ints(&op.axes)?];
    cx.emit("Unsqueeze", &inputs, Vec::new())
}

/// `Tile`.
fn tile(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Tile(op) = op else { return mismatch() };
    let inputs = [cx.x(0)?, cx.dims(&op.repeats)?];
    cx.emit("Tile", &inputs, Vec::new())
}

/// `Trilu`.
fn trilu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Trilu(op) = op else { return mismatch() };
    let mut inputs = vec![cx.x(0)?];
    if op.k != Dim::Known(0) {
        inputs.push(cx.dim_scalar(&op.k)?);
    }
    cx.emit("Trilu", &inputs, vec![attr::bool("upper", op.upper)])
}

/// `CenterCropPad`.
fn center_crop_pad(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::CenterCropPad(op) = op else { return mismatch() };
    let inputs = [cx.x(0)?, cx.dims(&op.dims)?];
    cx.emit("CenterCropPad", &inputs, vec![attr::ints("axes", &op.axes)])
}
