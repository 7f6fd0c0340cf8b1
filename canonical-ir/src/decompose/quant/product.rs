//! Sums of products of quantised operands.

use super::{
    Built, DecomposeCx, DecomposeResult, NoDecomposition, along, centred, dynamic, one,
    requantized, scalar_of,
};
use crate::array::{Array, Scalar};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

/// Scale or zero point of a left operand: a vector has one element per row.
fn per_row(b: &mut Builder<'_>, x: Option<ValueId>) -> Built<Option<ValueId>> {
    x.map(|x| along(b, x, 0, 2)).transpose()
}

/// Scale or zero point of a right operand: a vector has one element per column.
fn per_column(b: &mut Builder<'_>, x: Option<ValueId>) -> Built<Option<ValueId>> {
    x.map(|x| scalar_of(b, x)).transpose()
}

/// The matrix product of integers minus their zero points, in i32.
fn integer_product(
    b: &mut Builder<'_>,
    a: ValueId,
    a_zero: Option<ValueId>,
    w: ValueId,
    w_zero: Option<ValueId>,
) -> Built<ValueId> {
    let a_zero = if b.tensor_ty(a)?.rank() > 1 { per_row(b, a_zero)? } else { a_zero };
    let w_zero = per_column(b, w_zero)?;
    let a = centred(b, a, a_zero)?;
    let w = centred(b, w, w_zero)?;
    b.matmul(a, w)
}

/// Integer matrix product.
pub fn matmul_integer(cx: &mut DecomposeCx<'_, '_>, _: &MatmulInteger) -> DecomposeResult {
    let (a, w) = (cx.x(0)?, cx.x(1)?);
    let (a_zero, w_zero) = (cx.opt(2), cx.opt(3));
    one(integer_product(cx.b, a, a_zero, w, w_zero)?)
}

/// The fields that convolutions share.
struct Windows<'a> {
    strides: &'a [i64],
    pads: &'a [i64],
    dilations: &'a [i64],
    groups: i64,
    auto_pad: AutoPad,
}

fn integer_conv(
    b: &mut Builder<'_>,
    x: ValueId,
    x_zero: Option<ValueId>,
    w: ValueId,
    w_zero: Option<ValueId>,
    at: &Windows<'_>,
) -> Built<ValueId> {
    let rank = b.tensor_ty(w)?.rank();
    let x_zero = x_zero.map(|z| scalar_of(b, z)).transpose()?;
    let w_zero = w_zero.map(|z| along(b, z, 0, rank)).transpose()?;
    let x = centred(b, x, x_zero)?;
    let w = centred(b, w, w_zero)?;
    let conv = Conv {
        strides: at.strides.to_vec(),
        pads: at.pads.to_vec(),
        dilations: at.dilations.to_vec(),
        input_dilations: vec![1; rank.saturating_sub(2)],
        groups: at.groups,
        auto_pad: at.auto_pad,
    };
    b.emit(conv, &[x, w])
}

/// Integer convolution.
pub fn conv_integer(cx: &mut DecomposeCx<'_, '_>, op: &ConvInteger) -> DecomposeResult {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let (x_zero, w_zero) = (cx.opt(2), cx.opt(3));
    let at = Windows {
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        groups: op.groups,
        auto_pad: op.auto_pad,
    };
    one(integer_conv(cx.b, x, x_zero, w, w_zero, &at)?)
}

/// a_scale * w_scale / y_scale, in f32.
fn ratio(b: &mut Builder<'_>, a: ValueId, w: ValueId, y: Option<ValueId>) -> Built<ValueId> {
    let (a, w) = (b.cast(a, DType::F32)?, b.cast(w, DType::F32)?);
    let product = b.mul(a, w)?;
    let Some(y) = y else { return Ok(product) };
    let y = scalar_of(b, y)?;
    let y = b.cast(y, DType::F32)?;
    b.div(product, y)
}

/// Quantised matrix product.
pub fn qlinear_matmul(cx: &mut DecomposeCx<'_, '_>, _: &QlinearMatmul) -> DecomposeResult {
    let (a, w) = (cx.x(0)?, cx.x(3)?);
    let (a_scale, w_scale, y_scale) = (cx.x(1)?, cx.x(4)?, cx.x(6)?);
    let (a_zero, w_zero, y_zero) = (cx.x(2)?, cx.x(5)?, cx.x(7)?);
    let (a_dtype, w_dtype, dtype) = (cx.dtype(0)?, cx.dtype(3)?, cx.dtype(7)?);
    if [a_dtype, w_dtype, dtype].iter().any(|d| !d.is_integer()) {
        return cx.unsupported("a quantised product of float8 operands");
    }
    let b = &mut *cx.b;
    let a_scale = if b.tensor_ty(a)?.rank() > 1 { along(b, a_scale, 0, 2)? } else { a_scale };
    let w_scale = scalar_of(b, w_scale)?;
    let sum = integer_product(b, a, Some(a_zero), w, Some(w_zero))?;
    let sum = b.cast(sum, DType::F32)?;
    let factor = ratio(b, a_scale, w_scale, Some(y_scale))?;
    let y = b.mul(sum, factor)?;
    one(requantized(b, y, Some(y_zero), dtype)?)
}

/// Quantised convolution.
pub fn qlinear_conv(cx: &mut DecomposeCx<'_, '_>, op: &QlinearConv) -> DecomposeResult {
    let (x, w) = (cx.x(0)?, cx.x(3)?);
    let (x_scale, w_scale, y_scale) = (cx.x(1)?, cx.x(4)?, cx.x(6)?);
    let (x_zero, w_zero, y_zero) = (cx.x(2)?, cx.x(5)?, cx.x(7)?);
    let (dtype, rank) = (cx.dtype(7)?, cx.ty(0)?.rank());
    let bias = cx.opt(8);
    let at = Windows {
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        groups: op.groups,
        auto_pad: op.auto_pad,
    };
    let b = &mut *cx.b;
    let mut sum = integer_conv(b, x, Some(x_zero), w, Some(w_zero), &at)?;
    if let Some(bias) = bias {
        let bias = along(b, bias, 1, rank)?;
        sum = b.add(sum, bias)?;
    }
    let sum = b.cast(sum, DType::F32)?;
    let x_scale = scalar_of(b, x_scale)?;
    let w_scale = along(b, w_scale, 1, rank)?;
    let factor = ratio(b, x_scale, w_scale, Some(y_scale))?;
    let y = b.mul(sum, factor)?;
    one(requantized(b, y, Some(y_zero), dtype)?)
}

/// Integer matrix product, scaled.
pub fn matmul_integer_to_float(
    cx: &mut DecomposeCx<'_, '_>,
    _: &MatmulIntegerToFloat,
) -> DecomposeResult {
    let (a, w, a_scale, w_scale) = (cx.x(0)?, cx.x(1)?, cx.x(2)?, cx.x(3)?);
    let (a_zero, w_zero, bias) = (cx.opt(4), cx.opt(5), cx.opt(6));
    let dtype = cx.dtype(2)?;
    let b = &mut *cx.b;
    let a_scale = if b.tensor_ty(a)?.rank() > 1 { along(b, a_scale, 0, 2)? } else { a_scale };
    let w_scale = scalar_of(b, w_scale)?;
    let sum = integer_product(b, a, a_zero, w, w_zero)?;
    let sum = b.cast(sum, DType::F32)?;
    let factor = ratio(b, a_scale, w_scale, None)?;
    let mut y = b.mul(sum, factor)?;
    if let Some(bias) = bias {
        let bias = b.cast(bias, DType::F32)?;
        y = b.add(y, bias)?;
    }
    one(b.cast(y, dtype)?)
}

/// Matrix product of a float operand that is quantised as it comes.
pub fn dynamic_quantize_matmul(
    cx: &mut DecomposeCx<'_, '_>,
    _: &DynamicQuantizeMatmul,
) -> DecomposeResult {
    let (a, w, w_scale) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let (w_zero, bias) = (cx.opt(3), cx.opt(4));
    let b = &mut *cx.b;
    let [a, a_scale, a_zero] = dynamic(b, a)?;
    let w_scale = scalar_of(b, w_scale)?;
    let sum = integer_product(b, a, Some(a_zero), w, w_zero)?;
    let sum = b.cast(sum, DType::F32)?;
    let factor = ratio(b, a_scale, w_scale, None)?;
    let y = b.mul(sum, factor)?;
    one(match bias {
        Some(bias) => b.add(y, bias)?,
        None => y,
    })
}

/// Quantised gemm.
pub fn qgemm(cx: &mut DecomposeCx<'_, '_>, op: &Qgemm) -> DecomposeResult {
    let (mut a, mut w) = (cx.x(0)?, cx.x(3)?);
    let (a_scale, w_scale, y_scale) = (cx.x(1)?, cx.x(4)?, cx.opt(7));
    let (a_zero, w_zero, y_zero) = (cx.x(2)?, cx.x(5)?, cx.opt(8));
    let c = cx.opt(6);
    let (float, a_dtype) = (cx.dtype(1)?, cx.dtype(0)?);
    let dtype = if y_zero.is_some() { cx.dtype(8)? } else { a_dtype };
    let b = &mut *cx.b;
    if op.trans_a {
        a = b.transpose(a, &[1, 0])?;
    }
    if op.trans_b {
        w = b.transpose(w, &[1, 0])?;
    }
    let mut sum = integer_product(b, a, Some(a_zero), w, Some(w_zero))?;
    if let Some(c) = c {
        sum = b.add(sum, c)?;
    }
    let sum = b.cast(sum, DType::F32)?;
    let a_scale = scalar_of(b, a_scale)?;
    let a_scale = b.cast(a_scale, DType::F32)?;
    let a_scale = b.mul_const(a_scale, op.alpha.0)?;
    let w_scale = scalar_of(b, w_scale)?;
    let factor = ratio(b, a_scale, w_scale, y_scale)?;
    let y = b.mul(sum, factor)?;
    one(if y_scale.is_some() { requantized(b, y, y_zero, dtype)? } else { b.cast(y, float)? })
}

/// The elements of `bits` each that bytes hold along the last axis, low bits first, as u8.
fn unpacked(b: &mut Builder<'_>, x: ValueId, bits: i64) -> Result<ValueId, NoDecomposition> {
    let ty = b.tensor_ty(x)?;
    let rank = ty.rank();
    let Some(bytes) = ty.shape.last() else { return Ok(x) };
    if bits == 8 {
        return Ok(x);
    }
    let bytes = bytes.as_known().ok_or_else(|| {
        NoDecomposition::Unsupported("the number of packed bytes is symbolic".to_owned())
    })?;
    let count = bytes.saturating_mul(8) / bits.max(1);
    let mut dims = ty.shape.clone();
    if let Some(last) = dims.last_mut() {
        *last = Dim::Known(count);
    }
    let mask = (1i64 << bits) - 1;
    if 8 % bits == 0 {
        let per = 8 / bits;
        let shifts: Vec<i64> = (0..per).map(|i| i * bits).collect();
        let shifts = Array::from_i64s(DType::U8, vec![shifts.len()], &shifts)?;
        let shifts = b.constant(&shifts)?;
        let x = b.unsqueeze(x, &[rank])?;
        let parts = b.broadcasting(ShiftRight {}, &[x, shifts])?;
        let mask = b.scalar_int(DType::U8, mask)?;
        let parts = b.broadcasting(BitAnd {}, &[parts, mask])?;
        return Ok(b.reshape(parts, &dims)?);
    }
    if count > 1 << 24 {
        return Err(NoDecomposition::Unsupported(format!("{count} packed elements in a row")));
    }
    // An element lies in one byte or in two neighbours.
    let first: Vec<i64> = (0..count).map(|i| i * bits / 8).collect();
    let second: Vec<i64> = first.iter().map(|i| (i + 1).min(bytes - 1)).collect();
    let shifts: Vec<i64> = (0..count).map(|i| i * bits % 8).collect();
    let wide = b.cast(x, DType::U16)?;
    let axis = rank as i64 - 1;
    let at = |b: &mut Builder<'_>, at: &[i64]| -> Built<ValueId> {
        let at = b.ints(at)?;
        b.emit(Gather { axis }, &[wide, at])
    };
    let (low, high) = (at(b, &first)?, at(b, &second)?);
    let eight = b.constant(&Array::full(DType::U16, Vec::new(), &Scalar::Int(8))?)?;
    let high = b.broadcasting(ShiftLeft {}, &[high, eight])?;
    let both = b.broadcasting(BitOr {}, &[low, high])?;
    let shifts = b.constant(&Array::from_i64s(DType::U16, vec![shifts.len()], &shifts)?)?;
    let parts = b.broadcasting(ShiftRight {}, &[both, shifts])?;
    let mask = b.scalar_int(DType::U16, mask)?;
    let parts = b.broadcasting(BitAnd {}, &[parts, mask])?;
    Ok(b.cast(parts, DType::U8)?)
}

/// Product with a block-quantised matrix, in f32 (f64 for f64).
pub fn matmul_nbits(cx: &mut DecomposeCx<'_, '_>, op: &MatmulNbits) -> DecomposeResult {
    let (a, packed, scales) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let (zero, groups, bias) = (cx.opt(3), cx.opt(4), cx.opt(5));
    let dtype = cx.dtype(0)?;
    let work = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let (n, k, block) = (op.n, op.k, op.block_size.max(1));
    let blocks = (k - 1).max(0) / block + 1;
    let known = |v: i64| Dim::Known(v);
    let b = &mut *cx.b;
    let q = unpacked(b, packed, op.bits)?;
    let q = b.reshape(q, &[known(n), known(blocks), known(block)])?;
    let q = b.cast(q, work)?;
    let scales = b.cast(scales, work)?;
    let scales = b.reshape(scales, &[known(n), known(blocks)])?;
    let zero = match zero {
        None => {
            let half = b.scalar(work, (1i64 << (op.bits - 1).clamp(0, 7)) as f64)?;
            b.broadcast_to(half, &[known(n), known(blocks)])?
        }
        Some(zero) if b.tensor_ty(zero)?.dtype == DType::U8 => {
            let bytes = (blocks * op.bits - 1) / 8 + 1;
            let zero = b.reshape(zero, &[known(n), known(bytes)])?;
            let zero = unpacked(b, zero, op.bits)?;
            let zero = b.slice_axis(zero, 1, known(0), known(blocks))?;
            b.cast(zero, work)?
        }
        Some(zero) => {
            let zero = b.cast(zero, work)?;
            b.reshape(zero, &[known(n), known(blocks)])?
        }
    };
    let w = match groups {
        // The block of each column is stated.
        Some(groups) => {
            let q = b.reshape(q, &[known(n), known(blocks * block)])?;
            let q = b.slice_axis(q, 1, known(0), known(k))?;
            let groups = b.slice_axis(groups, 0, known(0), known(k))?;
            let zero = b.emit(Gather { axis: 1 }, &[zero, groups])?;
            let scales = b.emit(Gather { axis: 1 }, &[scales, groups])?;
            let q = b.sub(q, zero)?;
            b.mul(q, scales)?
        }
        None => {
            let zero = b.unsqueeze(zero, &[2])?;
            let scales = b.unsqueeze(scales, &[2])?;
            let q = b.sub(q, zero)?;
            let w = b.mul(q, scales)?;
            let w = b.reshape(w, &[known(n), known(blocks * block)])?;
            if blocks * block == k { w } else { b.slice_axis(w, 1, known(0), known(k))? }
        }
    };
    let a = b.cast(a, work)?;
    let last = b.tensor_ty(a)?.rank() as i64 - 1;
    let op = Contract {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![last],
        rhs_contract: vec![1],
    };
    let mut y = b.emit(op, &[a, w])?;
    if let Some(bias) = bias {
        let bias = b.cast(bias, work)?;
        y = b.add(y, bias)?;
    }
    one(b.cast(y, dtype)?)
}
