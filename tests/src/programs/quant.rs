//! Quantised arithmetic. What is quantised is exact, so that all round alike.

use airconv_ir::dtype::DType;
use airconv_ir::op::*;
use airconv_ir::types::TensorType;

use super::maker::{Made, Maker};
use super::{Done, Step};

pub(super) const STEPS: &[Step] =
    &[quantize, quantize, dequantize, dequantize, matmul_integer, matmul_integer, conv_integer];

/// A power of two, so that divisions by it are exact.
fn scale(m: &mut Maker<'_>) -> Result<Made, airconv_ir::builder::BuildError> {
    let value = [0.5, 0.25, 0.0625][m.rng.below(3)];
    Ok(Made { value: m.scalar(DType::F32, value)?, grain: 0.0, dtype: DType::F32 })
}

fn byte(m: &mut Maker<'_>) -> DType {
    if m.rng.one_in(2) { DType::U8 } else { DType::I8 }
}

fn zero_point(m: &mut Maker<'_>, dtype: DType) -> Result<Made, airconv_ir::builder::BuildError> {
    let value = m.rng.below(100) as i64;
    Ok(Made { value: m.b.scalar_int(dtype, value)?, grain: 0.0, dtype })
}

fn quantize(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.exact(|ty| ty.dtype == DType::F32) else { return Ok(None) };
    // NaN has no quantised form that all agree on.
    let nan = m.b.is_nan(x.value)?;
    let zero = m.scalar(DType::F32, 0.0)?;
    let number = Made { value: m.b.select(nan, zero, x.value)?, ..x };
    let dtype = byte(m);
    let (scale, zero_point) = (scale(m)?, zero_point(m, dtype)?);
    let op = QuantizeLinear { axis: 0, block_size: 0, dtype, saturate: true, precision: None };
    m.moved(op, &[number, scale, zero_point])
}

fn is_byte(ty: &TensorType) -> bool {
    matches!(ty.dtype, DType::U8 | DType::I8)
}

fn dequantize(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.exact(is_byte) else { return Ok(None) };
    let (scale, zero_point) = (scale(m)?, zero_point(m, ty.dtype)?);
    let op = DequantizeLinear { axis: 0, block_size: 0, dtype: None };
    let value = m.b.emit(op, &[x.value, scale.value, zero_point.value])?;
    Ok(m.keep(value, 0.0, DType::F32))
}

fn matmul_integer(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.exact(|ty| is_byte(ty) && ty.shape.len() >= 2) else { return Ok(None) };
    let Some(rows) = ty.shape.last().and_then(|d| d.as_known()) else { return Ok(None) };
    let dtype = byte(m);
    let columns = [1, 7, 16, 33, 64][m.rng.below(5)];
    let w = m.fixed(dtype, &[rows as usize, columns])?;
    let (a, b) = (zero_point(m, ty.dtype)?, zero_point(m, dtype)?);
    let from = [x, w, a, b];
    let some = 2 + m.rng.below(3);
    m.moved(MatmulInteger {}, &from[..some])
}

fn conv_integer(m: &mut Maker<'_>) -> Done {
    let fits = |ty: &TensorType| {
        is_byte(ty)
            && ty.shape.len() == 4
            && ty.shape[1..].iter().all(|d| d.as_known().is_some_and(|n| n > 1))
    };
    let Some((x, ty)) = m.exact(fits) else { return Ok(None) };
    let channels = ty.shape[1].as_known().unwrap_or(1) as usize;
    let dtype = byte(m);
    let out = 1 + m.rng.below(9);
    let w = m.fixed(dtype, &[out, channels, 2, 2])?;
    let (a, b) = (zero_point(m, ty.dtype)?, zero_point(m, dtype)?);
    let op = ConvInteger {
        strides: vec![1, 1],
        pads: vec![1, 0, 0, 1],
        dilations: vec![1, 1],
        groups: 1,
        auto_pad: AutoPad::Explicit,
    };
    m.moved(op, &[x, w, a, b])
}
