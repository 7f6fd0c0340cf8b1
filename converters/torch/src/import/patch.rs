//! Reading rules of windows as columns, and back.

use airconv_ir::builder::Builder;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Col2Im, Gather, Iota, OpKind, Pad, PadMode};

use super::call::{CallCx, Stop};
use super::conv::on_both_ends;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::col2im", &[OpKind::Col2Im], col2im),
    ImportRule::new("aten::im2col", &[OpKind::Pad, OpKind::Gather], im2col),
    ImportRule::new("aten::unfold", &[OpKind::Gather], unfold),
];

/// How many windows of a size lie in an axis.
fn window_count(size: &Dim, window: i64, step: i64) -> Dim {
    &(size - window).floor_div(&Dim::Known(step)) + 1
}

/// The positions of windows, as a table of `rows` and `columns`; a position is the sum of both
/// numbers, each times its step.
fn places(
    b: &mut Builder<'_>,
    (rows, row_step): (Dim, i64),
    (columns, column_step): (Dim, i64),
) -> Result<ValueId, Stop> {
    let dims = vec![rows, columns];
    let down = b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: 0 }, &[])?;
    let down = b.mul_const(down, row_step as f64)?;
    let along = b.emit(Iota { dtype: DType::I64, dims, axis: 1 }, &[])?;
    let along = b.mul_const(along, column_step as f64)?;
    Ok(b.add(down, along)?)
}

/// `unfold`: windows along an axis, their elements along a new last one.
fn unfold(cx: &mut CallCx<'_>) -> Outcome {
    let (x, size, step) = (cx.tensor("self")?, cx.int("size")?, cx.int("step")?);
    let shape = cx.shape(x)?;
    if size < 0 || step < 1 {
        return cx.invalid("a window has no negative size and moves forward");
    }
    let axis = cx.axis("dimension", shape.len())?;
    let x = if shape.is_empty() { cx.b().unsqueeze(x, &[0])? } else { x };
    let length = shape.get(axis).cloned().unwrap_or(Dim::Known(1));
    let mut b = cx.b();
    let at = places(&mut b, (window_count(&length, size, step), step), (size.into(), 1))?;
    let y = b.emit(Gather { axis: axis as i64 }, &[x, at])?;
    let rank = b.tensor_ty(y)?.rank() as i64;
    let inner = axis as i64 + 1;
    let perm: Vec<i64> = (0..rank).filter(|&a| a != inner).chain([inner]).collect();
    let y = b.transpose(y, &perm)?;
    Ok(match shape.is_empty() {
        true => b.squeeze(y, &[0])?.into(),
        false => y.into(),
    })
}

/// `im2col`: the windows of an image as columns [batch, channels * window, windows].
fn im2col(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (kernel, dilation) = (cx.spatial("kernel_size", 2)?, cx.spatial("dilation", 2)?);
    let (padding, stride) = (cx.spatial("padding", 2)?, cx.spatial("stride", 2)?);
    if stride.iter().chain(&kernel).chain(&dilation).any(|&n| n < 1) {
        return cx.invalid("windows, their steps and dilations are positive");
    }
    let alone = cx.rank(x)? == 3;
    let x = if alone { cx.b().unsqueeze(x, &[0])? } else { x };
    if cx.rank(x)? != 4 {
        return cx.invalid("an image of batch, channels, height and width is needed");
    }
    let mut b = cx.b();
    let ends = vec![0.into(), 0.into(), Dim::Known(padding[0]), Dim::Known(padding[1])];
    let x = match padding.iter().all(|&p| p == 0) {
        true => x,
        false => {
            let op = Pad { low: ends.clone(), high: ends, mode: PadMode::Constant };
            b.emit(op, &[x])?
        }
    };
    let shape = b.tensor_ty(x)?.shape;
    let reach = |i: usize| dilation[i].saturating_mul(kernel[i] - 1).saturating_add(1);
    let out = [0, 1].map(|i| window_count(&shape[i + 2], reach(i), stride[i]));
    // [n, c, k0, o0, w], then [n, c, k0, o0, k1, o1].
    let mut y = x;
    for (i, axis) in [(0, 2), (1, 4)] {
        let at = places(&mut b, (kernel[i].into(), dilation[i]), (out[i].clone(), stride[i]))?;
        y = b.emit(Gather { axis }, &[y, at])?;
    }
    let y = b.transpose(y, &[0, 1, 2, 4, 3, 5])?;
    let rows = &shape[1] * kernel[0].saturating_mul(kernel[1]);
    let dims = [shape[0].clone(), rows, &out[0] * &out[1]];
    let y = b.reshape(y, &dims)?;
    Ok(match alone {
        true => b.squeeze(y, &[0])?.into(),
        false => y.into(),
    })
}

/// `col2im`: columns summed up into an image.
fn col2im(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let op = Col2Im {
        image_dims: cx.dims("output_size")?,
        block_shape: cx.spatial("kernel_size", 2)?,
        strides: cx.spatial("stride", 2)?,
        pads: on_both_ends(&cx.spatial("padding", 2)?),
        dilations: cx.spatial("dilation", 2)?,
    };
    let alone = cx.rank(x)? == 2;
    let x = if alone { cx.b().unsqueeze(x, &[0])? } else { x };
    let y = cx.emit(op, &[x])?;
    Ok(match alone {
        true => cx.b().squeeze(y, &[0])?.into(),
        false => y.into(),
    })
}
