//! Padding that is found from sizes.

use crate::dim::Dim;
use crate::infer::conv::window::{Windows, spread};
use crate::op::*;
use crate::pass::{PassCx, Site};

/// The payload's window fields.
struct Fields<'a> {
    kernel: Vec<Dim>,
    strides: &'a [i64],
    dilations: &'a [i64],
    input_dilations: &'a [i64],
    auto_pad: AutoPad,
    ceil_mode: bool,
}

fn fields<'a>(site: &'a Site<'_>) -> Option<Fields<'a>> {
    let known = |sizes: &[i64]| sizes.iter().map(|&k| Dim::Known(k)).collect();
    let weights = || site.operand(1).and_then(|w| site.tensor_ty(w)?.shape.get(2..));
    Some(match site.op() {
        Op::Conv(op) => Fields {
            kernel: weights()?.to_vec(),
            strides: &op.strides,
            dilations: &op.dilations,
            input_dilations: &op.input_dilations,
            auto_pad: op.auto_pad,
            ceil_mode: false,
        },
        Op::FusedConv(op) => Fields {
            kernel: weights()?.to_vec(),
            strides: &op.strides,
            dilations: &op.dilations,
            input_dilations: &[],
            auto_pad: op.auto_pad,
            ceil_mode: false,
        },
        Op::MaxPool(op) => Fields {
            kernel: known(&op.kernel_shape),
            strides: &op.strides,
            dilations: &op.dilations,
            input_dilations: &[],
            auto_pad: op.auto_pad,
            ceil_mode: op.ceil_mode,
        },
        Op::AveragePool(op) => Fields {
            kernel: known(&op.kernel_shape),
            strides: &op.strides,
            dilations: &op.dilations,
            input_dilations: &[],
            auto_pad: op.auto_pad,
            ceil_mode: op.ceil_mode,
        },
        Op::LpPool(op) => Fields {
            kernel: known(&op.kernel_shape),
            strides: &op.strides,
            dilations: &op.dilations,
            input_dilations: &[],
            auto_pad: op.auto_pad,
            ceil_mode: op.ceil_mode,
        },
        _ => return None,
    })
}

/// The explicit padding of a node: what goes before each axis, then what goes after.
fn pads(site: &Site<'_>) -> Option<Vec<i64>> {
    let f = fields(site)?;
    if f.auto_pad == AutoPad::Explicit || f.ceil_mode {
        return None;
    }
    let spatial = site.operand(0).and_then(|x| site.tensor_ty(x)?.shape.get(2..))?;
    if f.auto_pad == AutoPad::Valid {
        return Some(vec![0; 2 * spatial.len()]);
    }
    let mut sizes = spatial.to_vec();
    for (size, &d) in sizes.iter_mut().zip(f.input_dilations) {
        *size = spread(size, d);
    }
    let windows = Windows {
        kernel: &f.kernel,
        strides: f.strides,
        dilations: f.dilations,
        pads: &[],
        auto_pad: f.auto_pad,
        ceil_mode: false,
    };
    let axes = windows.axes(&sizes)?;
    axes.iter().map(|a| &a.low).chain(axes.iter().map(|a| &a.high)).map(Dim::as_known).collect()
}

pub(super) fn explicit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Some(found) = pads(site) else { return false };
    let mut op = site.op().clone();
    let (auto_pad, pads) = match &mut op {
        Op::Conv(op) => (&mut op.auto_pad, &mut op.pads),
        Op::FusedConv(op) => (&mut op.auto_pad, &mut op.pads),
        Op::MaxPool(op) => (&mut op.auto_pad, &mut op.pads),
        Op::AveragePool(op) => (&mut op.auto_pad, &mut op.pads),
        Op::LpPool(op) => (&mut op.auto_pad, &mut op.pads),
        _ => return false,
    };
    (*auto_pad, *pads) = (AutoPad::Explicit, found);
    let operands = site.n().operands.clone();
    let present: Vec<bool> = site.n().results.iter().map(Option::is_some).collect();
    site.replace(cx, "the sizes tell the padding", &[], |b| {
        let node = b.node_with(op, &operands, &present)?;
        Ok(b.f().nodes[node].results.to_vec())
    })
}
