//! Writing rules of the attention family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{Attention, Op, OpKind};

use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[ExportRule::new(OpKind::Attention, attention)];

/// `attention`: PyTorch's where there is no cache, cap or view of the scores. Its softmax of a
/// row that is masked throughout is 0, so a mask is given to it only where it was PyTorch's or
/// has no such row.
fn attention(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Attention(a) = op else { return other_op() };
    plain(cx, a)?;
    let q = heads(cx, 0, a.q_num_heads)?;
    let k = heads(cx, 1, a.kv_num_heads)?;
    let v = heads(cx, 2, a.kv_num_heads)?;
    let (q_shape, k_shape) = (cx.shape(q)?, cx.shape(k)?);
    let mask = match cx.value(3) {
        None => Arg::None,
        Some(_) if a.is_causal => {
            return Refuse::because("PyTorch takes a mask or hides what comes later");
        }
        Some(value) => {
            let masks_rows = cx.ex.constant_of(value).is_none_or(|(_, t)| masks_a_row(t));
            if masks_rows && !cx.torch_origin().contains("scaled_dot_product") {
                return Refuse::because("a row that is masked throughout would be 0");
            }
            let mask = cx.x(3)?;
            if cx.shape(mask)?.last() != k_shape.get(2) {
                return Refuse::because("PyTorch's mask is as long as the keys");
            }
            mask.into()
        }
    };
    let grouped = q_shape.get(1) != k_shape.get(1);
    let mut args = args![q, k, v, mask, 0.0, a.is_causal];
    args.push(a.scale.map_or(Arg::None, |s| s.0.into()));
    args.push(if grouped { true.into() } else { Arg::Default });
    let mut ty = cx.ty(q)?;
    if let (Some(size), Some(last)) = (cx.shape(v)?.last().cloned(), ty.shape.last_mut()) {
        *last = size;
    }
    let y = cx.op("aten::scaled_dot_product_attention", args, ty)?;
    let result = cx.result_type(0)?;
    let y = if result.rank() == 3 {
        let y = cx.permute(y, &[0, 2, 1, 3])?;
        cx.reshape(y, &result.shape)?
    } else {
        y
    };
    cx.one(y)
}

/// What PyTorch's attention does not do.
fn plain(cx: &ExportCx<'_, '_>, a: &Attention) -> Result<(), Refuse> {
    let dtype = cx.operand_type(0)?.dtype;
    if (4..7).any(|slot| cx.value(slot).is_some()) || (1..4).any(|slot| cx.wants(slot)) {
        return Refuse::because("PyTorch's attention has no cache");
    }
    if a.softcap.0 != 0.0 {
        return Refuse::because("PyTorch's scores have no cap");
    }
    let narrow = a.softmax_precision.is_some_and(|p| p != DType::F32 && p != dtype);
    if narrow || !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        return Refuse::because("PyTorch's softmax is in another precision");
    }
    Ok(())
}

/// An operand with its heads as an axis.
fn heads(cx: &mut ExportCx<'_, '_>, slot: usize, count: Option<i64>) -> Result<Var, Refuse> {
    let x = cx.x(slot)?;
    let shape = cx.shape(x)?;
    match (&shape[..], count) {
        ([_, _, _, _], _) => Ok(x),
        ([batch, length, width], Some(n)) => {
            let n = Dim::Known(n);
            let dims = [batch.clone(), length.clone(), n.clone(), width.floor_div(&n)];
            let x = cx.reshape(x, &dims)?;
            cx.permute(x, &[0, 2, 1, 3])
        }
        _ => Refuse::because("the number of heads is not known"),
    }
}

/// Whether a row of a mask hides everything.
fn masks_a_row(mask: &airconv_ir::tensor::Tensor) -> bool {
    let row = mask.dims.last().map_or(1, |&d| d as usize);
    let Ok(array) = mask.to_array() else { return true };
    let visible: Vec<bool> = match array.to_f64s() {
        Some(v) => v
            .iter()
            .map(|&x| x > f64::NEG_INFINITY && (mask.dtype != DType::Bool || x != 0.0))
            .collect(),
        None => match array.as_slice::<bool>() {
            Some(v) => v.to_vec(),
            None => return true,
        },
    };
    row == 0 || visible.chunks(row).any(|r| r.iter().all(|v| !v))
}
