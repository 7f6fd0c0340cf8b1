//! Reading rules of convolutions.

use airconv_ir::entity::ValueId;
use airconv_ir::op::{AutoPad, Conv, ConvTranspose, DeformConv, OpKind};

use super::call::{CallCx, Stop};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_conv_depthwise2d", &[OpKind::Conv], conv_depthwise),
    ImportRule::new("aten::_convolution", &[OpKind::Conv, OpKind::ConvTranspose], convolution),
    ImportRule::new("aten::_convolution_mode", &[OpKind::Conv], conv),
    ImportRule::new("aten::conv1d", &[OpKind::Conv], conv),
    ImportRule::new("aten::conv2d", &[OpKind::Conv], conv),
    ImportRule::new("aten::conv3d", &[OpKind::Conv], conv),
    ImportRule::new("aten::conv_depthwise3d", &[OpKind::Conv], conv_depthwise),
    ImportRule::new("aten::conv_tbc", &[OpKind::Transpose, OpKind::Conv], conv_tbc),
    ImportRule::new("aten::conv_transpose1d", &[OpKind::ConvTranspose], conv_transpose),
    ImportRule::new("aten::conv_transpose2d", &[OpKind::ConvTranspose], conv_transpose),
    ImportRule::new("aten::conv_transpose3d", &[OpKind::ConvTranspose], conv_transpose),
    ImportRule::new("aten::convolution", &[OpKind::Conv, OpKind::ConvTranspose], convolution),
    ImportRule::new("torchvision::deform_conv2d", &[OpKind::DeformConv], deform_conv),
];

/// The same numbers before and after each axis, as the hub's ops want them.
pub(super) fn on_both_ends(pads: &[i64]) -> Vec<i64> {
    [pads, pads].concat()
}

/// x with a batch axis, and whether it was added: a sample alone has one axis less.
pub(super) fn batched(
    cx: &mut CallCx<'_>,
    x: ValueId,
    spatial: usize,
) -> Result<(ValueId, bool), Stop> {
    match cx.rank(x)? {
        r if r == spatial + 2 => Ok((x, false)),
        r if r == spatial + 1 => Ok((cx.b().unsqueeze(x, &[0])?, true)),
        r => cx.invalid(format!("an input of rank {r} for {spatial} spatial axes")),
    }
}

/// Takes the batch axis off again if it was added.
pub(super) fn unbatched(cx: &mut CallCx<'_>, y: ValueId, added: bool) -> Result<ValueId, Stop> {
    if added { Ok(cx.b().squeeze(y, &[0])?) } else { Ok(y) }
}

/// The number of spatial axes of a weight.
fn spatial_axes(cx: &CallCx<'_>, weight: ValueId) -> Result<usize, Stop> {
    match cx.rank(weight)?.checked_sub(2) {
        Some(n) if n > 0 => Ok(n),
        _ => cx.invalid("a convolution kernel has at least one spatial axis"),
    }
}

/// Padding by name: nothing for `valid`, what keeps the size for `same`, more of it at the end.
fn named_padding(
    cx: &mut CallCx<'_>,
    weight: ValueId,
    dilations: &[i64],
    strides: &[i64],
) -> Result<Vec<i64>, Stop> {
    let name = cx.string("padding")?;
    match &*name {
        "valid" => Ok(vec![0; 2 * dilations.len()]),
        "same" if strides.iter().any(|&s| s != 1) => {
            cx.invalid("the padding `same` wants strides of 1")
        }
        "same" => {
            let shape = cx.shape(weight)?;
            let mut pads = vec![0; 2 * dilations.len()];
            for (i, (size, d)) in shape.iter().skip(2).zip(dilations).enumerate() {
                let Some(k) = size.as_known() else {
                    return cx.unsupported("a kernel of unknown size");
                };
                let total = (k - 1).max(0).saturating_mul(*d);
                pads[i] = total / 2;
                pads[dilations.len() + i] = total - total / 2;
            }
            Ok(pads)
        }
        other => cx.invalid(format!("the padding is `{other}`")),
    }
}

/// `conv1d`, `conv2d`, `conv3d`, with padding in numbers or by name.
fn conv(cx: &mut CallCx<'_>) -> Outcome {
    let (x, weight, bias) = (cx.tensor("input")?, cx.tensor("weight")?, cx.opt_tensor("bias")?);
    let n = spatial_axes(cx, weight)?;
    let (strides, dilations) = (cx.spatial("stride", n)?, cx.spatial("dilation", n)?);
    let pads = match cx.arg("padding")? {
        super::arg::Arg::Str(_) => named_padding(cx, weight, &dilations, &strides)?,
        _ => on_both_ends(&cx.spatial("padding", n)?),
    };
    let groups = cx.int("groups")?;
    convolve(cx, [Some(x), Some(weight), bias], strides, pads, dilations, groups)
}

fn convolve(
    cx: &mut CallCx<'_>,
    [x, weight, bias]: [Option<ValueId>; 3],
    strides: Vec<i64>,
    pads: Vec<i64>,
    dilations: Vec<i64>,
    groups: i64,
) -> Outcome {
    let n = strides.len();
    let Some(x) = x else { return cx.invalid("there is no input") };
    let (x, added) = batched(cx, x, n)?;
    let input_dilations = vec![1; n];
    let auto_pad = AutoPad::Explicit;
    let op = Conv { strides, pads, dilations, input_dilations, groups, auto_pad };
    let y = cx.emit_opt(op, &[Some(x), weight, bias])?;
    Ok(unbatched(cx, y, added)?.into())
}

/// `conv_transpose1d`, `conv_transpose2d`, `conv_transpose3d`.
fn conv_transpose(cx: &mut CallCx<'_>) -> Outcome {
    let (x, weight, bias) = (cx.tensor("input")?, cx.tensor("weight")?, cx.opt_tensor("bias")?);
    let n = spatial_axes(cx, weight)?;
    let op = ConvTranspose {
        strides: cx.spatial("stride", n)?,
        pads: on_both_ends(&cx.spatial("padding", n)?),
        dilations: cx.spatial("dilation", n)?,
        groups: cx.int("groups")?,
        auto_pad: AutoPad::Explicit,
        output_padding: cx.spatial("output_padding", n)?,
        output_shape: Vec::new(),
    };
    let (x, added) = batched(cx, x, n)?;
    let y = cx.emit_opt(op, &[Some(x), Some(weight), bias])?;
    Ok(unbatched(cx, y, added)?.into())
}

/// `convolution`, transposed or not.
fn convolution(cx: &mut CallCx<'_>) -> Outcome {
    match cx.bool("transposed")? {
        true => conv_transpose(cx),
        false => {
            cx.ignore(&["output_padding"]);
            conv(cx)
        }
    }
}

/// `_conv_depthwise2d` and `conv_depthwise3d`: every channel has its own kernels.
fn conv_depthwise(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["kernel_size"]);
    let (x, weight, bias) = (cx.tensor("self")?, cx.tensor("weight")?, cx.opt_tensor("bias")?);
    let n = spatial_axes(cx, weight)?;
    let shape = cx.shape(x)?;
    let channels = shape.len().checked_sub(n + 1).and_then(|at| shape[at].as_known());
    let Some(groups) = channels else {
        return cx.unsupported("the number of channels is not known");
    };
    let pads = on_both_ends(&cx.spatial("padding", n)?);
    let (strides, dilations) = (cx.spatial("stride", n)?, cx.spatial("dilation", n)?);
    convolve(cx, [Some(x), Some(weight), bias], strides, pads, dilations, groups)
}

/// `conv_tbc`: a convolution of [time, batch, channels] with weights [kernel, in, out].
fn conv_tbc(cx: &mut CallCx<'_>) -> Outcome {
    let (x, weight, bias) = (cx.tensor("self")?, cx.tensor("weight")?, cx.tensor("bias")?);
    let pad = cx.int("pad")?;
    let x = cx.b().transpose(x, &[1, 2, 0])?;
    let weight = cx.b().transpose(weight, &[2, 1, 0])?;
    let op = Conv {
        strides: vec![1],
        pads: vec![pad, pad],
        dilations: vec![1],
        input_dilations: vec![1],
        groups: 1,
        auto_pad: AutoPad::Explicit,
    };
    let y = cx.emit(op, &[x, weight, bias])?;
    Ok(cx.b().transpose(y, &[2, 0, 1])?.into())
}

/// `deform_conv2d`: the sampling points are moved by offsets.
fn deform_conv(cx: &mut CallCx<'_>) -> Outcome {
    let (x, weight) = (cx.tensor("input")?, cx.tensor("weight")?);
    let (offset, mask, bias) = (cx.tensor("offset")?, cx.tensor("mask")?, cx.tensor("bias")?);
    let mask = cx.bool("use_mask")?.then_some(mask);
    let op = DeformConv {
        strides: vec![cx.int("stride_h")?, cx.int("stride_w")?],
        pads: on_both_ends(&[cx.int("pad_h")?, cx.int("pad_w")?]),
        dilations: vec![cx.int("dilation_h")?, cx.int("dilation_w")?],
        groups: cx.int("groups")?,
        offset_groups: cx.int("offset_groups")?,
    };
    Ok(cx.emit_opt(op, &[Some(x), Some(weight), Some(offset), Some(bias), mask])?.into())
}
