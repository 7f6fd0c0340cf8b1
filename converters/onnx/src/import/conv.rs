//! Reading rules of the conv family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::op::{
    AutoPad, AveragePool, CausalConvWithState, Col2Im, Conv, ConvTranspose, DeformConv, FusedConv,
    LpPool, MaxPool, MaxUnpool, OpKind,
};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Conv", 1, &[OpKind::Conv], conv),
    ImportRule::new("ConvTranspose", 1, &[OpKind::ConvTranspose], conv_transpose),
    ImportRule::new("DeformConv", 19, &[OpKind::DeformConv], deform_conv),
    ImportRule::new("MaxPool", 1, &[OpKind::MaxPool], max_pool),
    ImportRule::new("AveragePool", 1, &[OpKind::AveragePool], average_pool),
    ImportRule::new("LpPool", 2, &[OpKind::LpPool], lp_pool),
    ImportRule::new("MaxUnpool", 9, &[OpKind::MaxUnpool], max_unpool),
    ImportRule::new("Col2Im", 18, &[OpKind::Col2Im], col2im),
    ImportRule::ms("FusedConv", &[OpKind::FusedConv], fused_conv),
    ImportRule::ms("CausalConvWithState", &[OpKind::CausalConvWithState], causal_conv),
];

/// The window attributes of a node, with their defaults put in.
struct Window {
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
    auto_pad: AutoPad,
}

fn auto_pad(text: &str) -> Option<AutoPad> {
    match text {
        "" | "NOTSET" => Some(AutoPad::Explicit),
        "SAME_UPPER" => Some(AutoPad::SameUpper),
        "SAME_LOWER" => Some(AutoPad::SameLower),
        "VALID" => Some(AutoPad::Valid),
        _ => None,
    }
}

fn or_all(given: Vec<i64>, len: usize, value: i64) -> Vec<i64> {
    if given.is_empty() { vec![value; len] } else { given }
}

/// The window attributes for a number of spatial axes.
fn window(cx: &NodeCx<'_, '_>, spatial: usize) -> Result<Window, Stop> {
    let auto_pad = cx.choice("auto_pad", "NOTSET", auto_pad)?;
    let pads = cx.ints("pads")?;
    Ok(Window {
        strides: or_all(cx.ints("strides")?, spatial, 1),
        dilations: or_all(cx.ints("dilations")?, spatial, 1),
        pads: match auto_pad {
            AutoPad::Explicit => or_all(pads, 2 * spatial, 0),
            AutoPad::SameUpper | AutoPad::SameLower | AutoPad::Valid => Vec::new(),
        },
        auto_pad,
    })
}

/// The number of spatial axes of the first input.
fn spatial(cx: &NodeCx<'_, '_>) -> Result<usize, Stop> {
    match cx.rank(0)?.checked_sub(2) {
        Some(n) if n > 0 => Ok(n),
        _ => Err(Stop::Invalid("the first input has no spatial axes".to_owned())),
    }
}

/// Checks the kernel sizes, where they are given, against those of the weights.
fn check_kernel(cx: &NodeCx<'_, '_>) -> Result<(), Stop> {
    let given = cx.ints("kernel_shape")?;
    let w = cx.input_ty(1)?;
    let own = w.shape.get(2..).unwrap_or_default();
    let differs = |(&k, d): (&i64, &Dim)| d.as_known().is_some_and(|d| d != k);
    if !given.is_empty() && (given.len() != own.len() || given.iter().zip(own).any(differs)) {
        return Err(Stop::Invalid(format!("`kernel_shape` {given:?} is not that of the weights")));
    }
    Ok(())
}

/// `Conv`
fn conv(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let n = spatial(cx)?;
    check_kernel(cx)?;
    let w = window(cx, n)?;
    let op = Conv {
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        input_dilations: vec![1; n],
        groups: cx.int("group", 1)?,
        auto_pad: w.auto_pad,
    };
    cx.emit_same(op)
}

/// `ConvTranspose`
fn conv_transpose(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let n = spatial(cx)?;
    check_kernel(cx)?;
    let w = window(cx, n)?;
    let mut output_shape = cx.ints("output_shape")?;
    if output_shape.len() == n + 2 {
        // Some exporters give batch and channels, too.
        output_shape.drain(..2);
    }
    let op = ConvTranspose {
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        groups: cx.int("group", 1)?,
        auto_pad: w.auto_pad,
        output_padding: or_all(cx.ints("output_padding")?, n, 0),
        output_shape,
    };
    cx.emit_same(op)
}

/// `DeformConv`
fn deform_conv(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let n = spatial(cx)?;
    check_kernel(cx)?;
    let op = DeformConv {
        strides: or_all(cx.ints("strides")?, n, 1),
        pads: or_all(cx.ints("pads")?, 2 * n, 0),
        dilations: or_all(cx.ints("dilations")?, n, 1),
        groups: cx.int("group", 1)?,
        offset_groups: cx.int("offset_group", 1)?,
    };
    cx.emit_same(op)
}

/// `com.microsoft.FusedConv`
fn fused_conv(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let n = spatial(cx)?;
    check_kernel(cx)?;
    let w = window(cx, n)?;
    let op = FusedConv {
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        groups: cx.int("group", 1)?,
        auto_pad: w.auto_pad,
        activation: cx.string("activation", "")?,
        activation_params: cx.floats("activation_params")?,
    };
    cx.emit_same(op)
}

/// `com.microsoft.CausalConvWithState`
fn causal_conv(cx: &mut NodeCx<'_, '_>) -> Outcome {
    cx.must_be("ndim", 1)?;
    let activation = cx.string("activation", "none")?;
    cx.emit_same(CausalConvWithState { activation })
}

/// The window sizes of a pooling.
fn kernel(cx: &NodeCx<'_, '_>) -> Result<Vec<i64>, Stop> {
    match cx.attrs.opt_ints("kernel_shape")? {
        Some(k) => Ok(k),
        None => Err(Stop::Invalid("attribute `kernel_shape` is missing".to_owned())),
    }
}

/// `MaxPool`
fn max_pool(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let w = window(cx, spatial(cx)?)?;
    let op = MaxPool {
        kernel_shape: kernel(cx)?,
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        auto_pad: w.auto_pad,
        ceil_mode: cx.bool("ceil_mode", false)?,
        column_major: cx.bool("storage_order", false)?,
    };
    cx.emit_same(op)
}

/// `AveragePool`
fn average_pool(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let w = window(cx, spatial(cx)?)?;
    let op = AveragePool {
        kernel_shape: kernel(cx)?,
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        auto_pad: w.auto_pad,
        ceil_mode: cx.bool("ceil_mode", false)?,
        count_include_pad: cx.bool("count_include_pad", false)?,
    };
    cx.emit_same(op)
}

/// `LpPool`
fn lp_pool(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let w = window(cx, spatial(cx)?)?;
    let op = LpPool {
        kernel_shape: kernel(cx)?,
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        auto_pad: w.auto_pad,
        ceil_mode: cx.bool("ceil_mode", false)?,
        p: cx.int("p", 2)?,
    };
    cx.emit_same(op)
}

/// `MaxUnpool`
fn max_unpool(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let n = spatial(cx)?;
    let dims = match cx.opt(2) {
        Some(_) => cx.dims_input(2, "the output shape")?,
        None => Vec::new(),
    };
    let op = MaxUnpool {
        kernel_shape: kernel(cx)?,
        strides: or_all(cx.ints("strides")?, n, 1),
        pads: or_all(cx.ints("pads")?, 2 * n, 0),
        dims,
    };
    let operands = [cx.input(0)?, cx.input(1)?];
    cx.emit_all(op, &operands)
}

/// `Col2Im`
fn col2im(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let image_dims = cx.dims_input(1, "the image shape")?;
    let block_shape = cx.need_ints(2, "the block shape")?;
    let n = image_dims.len();
    let op = Col2Im {
        image_dims,
        block_shape,
        strides: or_all(cx.ints("strides")?, n, 1),
        pads: or_all(cx.ints("pads")?, 2 * n, 0),
        dilations: or_all(cx.ints("dilations")?, n, 1),
    };
    let x = cx.input(0)?;
    cx.emit_all(op, &[x])
}
