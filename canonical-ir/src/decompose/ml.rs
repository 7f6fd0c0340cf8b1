//! Decompositions of the ml family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::array::Array;
use crate::attr::Float;
use crate::builder::BuildError;
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::ml::matrix_dims;
use crate::op::*;

type R = Result<ValueId, BuildError>;

/// Columns at indices.
pub fn array_feature_extractor(
    cx: &mut DecomposeCx<'_, '_>,
    _op: &ArrayFeatureExtractor,
) -> DecomposeResult {
    let (ty, indices) = (cx.ty(0)?, cx.ty(1)?);
    let (mut x, y) = (cx.x(0)?, cx.x(1)?);
    if ty.rank() == 1 {
        x = cx.b.unsqueeze(x, &[0])?;
    }
    let y = cx.b.reshape(y, &[numel(&indices.shape)])?;
    let axis = ty.rank().max(2) as i64 - 1;
    one(cx.b.emit(Gather { axis }, &[x, y])?)
}

/// Threshold.
pub fn binarizer(cx: &mut DecomposeCx<'_, '_>, op: &Binarizer) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let x = cx.x(0)?;
    let x = if dtype.is_integer() { cx.b.cast(x, DType::F64)? } else { x };
    let threshold = cx.b.scalar_like(x, op.threshold.0)?;
    let above = cx.b.less(threshold, x)?;
    one(cx.b.cast(above, dtype)?)
}

/// Features side by side.
pub fn feature_vectorizer(cx: &mut DecomposeCx<'_, '_>, op: &FeatureVectorizer) -> DecomposeResult {
    let mut parts = Vec::new();
    for (i, x) in cx.from(0).into_iter().enumerate() {
        let (rows, columns) = matrix_dims(&cx.b.tensor_ty(x)?.shape);
        let x = cx.b.cast(x, DType::F32)?;
        let x = cx.b.reshape(x, &[rows, columns.clone()])?;
        parts.push(match op.input_dimensions.get(i).map(|&w| Dim::Known(w)) {
            Some(width) if width != columns => {
                let extra = Dim::max(&(&width - &columns), &Dim::Known(0));
                let pad = Pad {
                    low: vec![Dim::Known(0); 2],
                    high: vec![Dim::Known(0), extra],
                    mode: PadMode::Constant,
                };
                let x = cx.b.emit(pad, &[x])?;
                cx.b.slice_axis(x, 1, Dim::Known(0), width)?
            }
            _ => x,
        });
    }
    one(cx.b.concat(&parts, 1)?)
}

/// A vector of floats, rounded to a dtype.
fn vector(cx: &mut DecomposeCx<'_, '_>, values: &[Float], dtype: DType) -> R {
    let values: Vec<f64> = values.iter().map(|f| f.0).collect();
    let array = Array::from_f64s(dtype, vec![values.len()], &values)?;
    cx.b.constant(&array)
}

/// Replacement of a marker.
pub fn imputer(cx: &mut DecomposeCx<'_, '_>, op: &Imputer) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let x = cx.x(0)?;
    let (marked, values) = if dtype.is_float() {
        let marker = op.replaced_value_float.0;
        let marked = if marker.is_nan() {
            cx.b.is_nan(x)?
        } else {
            let marker = cx.b.scalar(dtype, marker)?;
            cx.b.equal(x, marker)?
        };
        (marked, vector(cx, &op.imputed_value_floats, dtype)?)
    } else {
        let marker = cx.b.scalar_int(dtype, op.replaced_value_int64)?;
        let values = &op.imputed_value_int64s;
        let values = Array::from_i64s(dtype, vec![values.len()], values)?;
        (cx.b.equal(x, marker)?, cx.b.constant(&values)?)
    };
    one(cx.b.select(marked, values, x)?)
}

/// Scores of a linear model: x times the rows of coefficients, plus an intercept per row.
fn linear_scores(
    cx: &mut DecomposeCx<'_, '_>,
    coefficients: &[Float],
    intercepts: &[Float],
    rows: i64,
) -> Result<ValueId, NoDecomposition> {
    let x = cx.x(0)?;
    let (n, features) = matrix_dims(&cx.shape(0)?);
    let x = cx.b.cast(x, DType::F32)?;
    let x = cx.b.reshape(x, &[n, features])?;
    let table = vector(cx, coefficients, DType::F32)?;
    let width = Dim::Known(coefficients.len() as i64 / rows.max(1));
    let table = cx.b.reshape(table, &[Dim::Known(rows), width])?;
    let product = Contract {
        lhs_batch: Vec::new(),
        rhs_batch: Vec::new(),
        lhs_contract: vec![1],
        rhs_contract: vec![1],
    };
    let scores = cx.b.emit(product, &[x, table])?;
    if intercepts.is_empty() {
        return Ok(scores);
    }
    let intercepts = vector(cx, intercepts, DType::F32)?;
    Ok(cx.b.add(scores, intercepts)?)
}

/// Linear regression.
pub fn linear_regressor(cx: &mut DecomposeCx<'_, '_>, op: &LinearRegressor) -> DecomposeResult {
    let scores = linear_scores(cx, &op.coefficients, &op.intercepts, op.targets)?;
    let single = op.targets == 1;
    one(match op.post_transform.as_str() {
        "PROBIT" => probit(cx, scores)?,
        "LOGISTIC" if !single => cx.b.emit(Sigmoid {}, &[scores])?,
        "SOFTMAX" if !single => softmax(cx, scores, false)?,
        "SOFTMAX_ZERO" if !single => softmax(cx, scores, true)?,
        _ => scores,
    })
}

/// The quantile of the normal distribution by Winitzki's approximation of the inverse error
/// function with 0.147.
fn probit(cx: &mut DecomposeCx<'_, '_>, x: ValueId) -> R {
    const A: f64 = 0.147;
    let double = cx.b.mul_const(x, 2.0)?;
    let x = cx.b.add_const(double, -1.0)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    let negative = cx.b.less(x, zero)?;
    let rest = cx.b.mul_const(x, -1.0)?;
    let rest = cx.b.add_const(rest, 1.0)?;
    let more = cx.b.add_const(x, 1.0)?;
    let product = cx.b.mul(rest, more)?;
    let log = cx.b.log(product)?;
    let half = cx.b.mul_const(log, 0.5)?;
    let v = cx.b.add_const(half, 2.0 / (std::f64::consts::PI * A))?;
    let square = cx.b.mul(v, v)?;
    let part = cx.b.mul_const(log, 1.0 / A)?;
    let root = cx.b.sub(square, part)?;
    let root = cx.b.sqrt(root)?;
    let inner = cx.b.sub(root, v)?;
    let size = cx.b.sqrt(inner)?;
    let size = cx.b.mul_const(size, std::f64::consts::SQRT_2)?;
    let minus = cx.b.neg(size)?;
    cx.b.select(negative, minus, size)
}

/// Softmax of rows. With `zero`, numbers next to 0 count as no score: they are scaled like the
/// others, but not part of the sum.
fn softmax(cx: &mut DecomposeCx<'_, '_>, x: ValueId, zero: bool) -> R {
    let most = cx.b.reduce(ReduceKind::Max, x, &[1], true)?;
    let rest = cx.b.sub(x, most)?;
    let e = cx.b.exp(rest)?;
    if !zero {
        let sum = cx.b.reduce(ReduceKind::Sum, e, &[1], true)?;
        return cx.b.div(e, sum);
    }
    let size = cx.b.abs(x)?;
    let limit = cx.b.scalar_like(x, 1e-7)?;
    let scored = cx.b.less(limit, size)?;
    let none = cx.b.scalar_like(x, 0.0)?;
    let counted = cx.b.select(scored, e, none)?;
    let sum = cx.b.reduce(ReduceKind::Sum, counted, &[1], true)?;
    let factor = cx.b.neg(most)?;
    let factor = cx.b.exp(factor)?;
    let small = cx.b.mul(x, factor)?;
    let y = cx.b.select(scored, e, small)?;
    cx.b.div(y, sum)
}

/// Rows by their norm; a row whose norm is 0 stays as it is.
pub fn normalizer(cx: &mut DecomposeCx<'_, '_>, op: &Normalizer) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let Some(last) = ty.rank().checked_sub(1) else { return cx.unsupported("a scalar") };
    let x = cx.x(0)?;
    let x = cx.b.cast(x, DType::F32)?;
    let norm = match op.norm.as_str() {
        "MAX" => cx.b.reduce(ReduceKind::Max, x, &[last], true)?,
        "L1" => {
            let size = cx.b.abs(x)?;
            cx.b.reduce(ReduceKind::Sum, size, &[last], true)?
        }
        _ => {
            let square = cx.b.mul(x, x)?;
            let sum = cx.b.reduce(ReduceKind::Sum, square, &[last], true)?;
            cx.b.sqrt(sum)?
        }
    };
    let zero = cx.b.scalar(DType::F32, 0.0)?;
    let unit = cx.b.scalar(DType::F32, 1.0)?;
    let none = cx.b.equal(norm, zero)?;
    let norm = cx.b.select(none, unit, norm)?;
    one(cx.b.div(x, norm)?)
}

/// Shift and factor.
pub fn scaler(cx: &mut DecomposeCx<'_, '_>, op: &Scaler) -> DecomposeResult {
    let work = if cx.dtype(0)? == DType::F64 { DType::F64 } else { DType::F32 };
    let x = cx.x(0)?;
    let mut x = cx.b.cast(x, work)?;
    if !op.offset.is_empty() {
        let offset = vector(cx, &op.offset, work)?;
        x = cx.b.sub(x, offset)?;
    }
    if !op.scale.is_empty() {
        let scale = vector(cx, &op.scale, work)?;
        x = cx.b.mul(x, scale)?;
    }
    one(cx.b.cast(x, DType::F32)?)
}
