//! Operators whose numbers `tch` leaves out of its functions, or that it lacks, in others.

use tch::{Scalar, Tensor};

use crate::error::{Result, fail};

/// `elu`: above 0 the element by `scale`, else `alpha * scale * (e^(x * inner) - 1)`.
pub fn elu(x: &Tensor, alpha: f64, scale: f64, inner: f64) -> Result<Tensor> {
    let below = x.f_mul_scalar(inner)?.f_expm1()?.f_mul_scalar(alpha * scale)?;
    pick(x, &x.f_mul_scalar(scale)?, &below)
}

/// `celu`: below 0 `alpha * (e^(x / alpha) - 1)`.
pub fn celu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    elu(x, alpha, 1.0, 1.0 / alpha)
}

/// `leaky_relu`: below 0 the element by `slope`.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    pick(x, x, &x.f_mul_scalar(slope)?)
}

/// One tensor where `x` is above 0, another elsewhere.
fn pick(x: &Tensor, above: &Tensor, below: &Tensor) -> Result<Tensor> {
    Ok(above.f_where_self(&x.f_gt(0i64)?, below)?)
}

/// `softplus`: the element itself where `x * beta` is above the threshold.
pub fn softplus(x: &Tensor, beta: f64, threshold: f64) -> Result<Tensor> {
    let wide = x.f_mul_scalar(beta)?;
    let soft = wide.f_exp()?.f_log1p()?.f_div_scalar(beta)?;
    Ok(x.f_where_self(&wide.f_gt(threshold)?, &soft)?)
}

/// `hardshrink`: 0 from `-lambda` to `lambda`.
pub fn hardshrink(x: &Tensor, lambda: f64) -> Result<Tensor> {
    let inside = x.f_abs()?.f_le(lambda)?;
    Ok(x.f_zeros_like()?.f_where_self(&inside, x)?)
}

/// `softshrink`: towards 0 by at most `lambda`.
pub fn softshrink(x: &Tensor, lambda: f64) -> Result<Tensor> {
    Ok(x.f_sub(&x.f_clamp(-lambda, lambda)?)?)
}

/// `clamp` with either bound.
pub fn clamp(x: &Tensor, low: Option<Scalar>, high: Option<Scalar>) -> Result<Tensor> {
    Ok(match (low, high) {
        (Some(low), Some(high)) => x.f_clamp(low, high)?,
        (Some(low), None) => x.f_clamp_min(low)?,
        (None, Some(high)) => x.f_clamp_max(high)?,
        (None, None) => x.shallow_clone(),
    })
}

/// `constant_pad_nd`, in floats: an integer that is none of them is refused.
pub fn constant_pad(x: &Tensor, pads: Vec<i64>, value: Scalar) -> Result<Tensor> {
    let number = value.to_float()?;
    if number.fract() == 0.0 && number.abs() >= (1u64 << 53) as f64 {
        return fail("tch pads with a float, which this integer is not");
    }
    Ok(x.f_pad(pads, "constant", number)?)
}

/// `addmm`: `c * beta + a @ b * alpha`.
pub fn addmm(c: &Tensor, a: &Tensor, b: &Tensor, beta: f64, alpha: f64) -> Result<Tensor> {
    if (beta, alpha) == (1.0, 1.0) {
        return Ok(c.f_addmm(a, b)?);
    }
    let product = a.f_mm(b)?.f_mul_scalar(alpha)?;
    Ok(product.f_add(&c.f_mul_scalar(beta)?)?)
}

/// `linalg_vector_norm` over some axes.
pub fn vector_norm(
    x: &Tensor,
    order: Scalar,
    axes: Option<Vec<i64>>,
    keep: bool,
) -> Result<Tensor> {
    let all = || (0..x.dim() as i64).collect();
    Ok(x.f_norm_scalaropt_dim(order, axes.unwrap_or_else(all), keep)?)
}

/// `_assert_async`: fails with the message unless the tensor is true.
pub fn assert(holds: &Tensor, message: &str) -> Result<Vec<Tensor>> {
    match holds.f_int64_value(&[])? {
        0 => fail(message),
        _ => Ok(Vec::new()),
    }
}
