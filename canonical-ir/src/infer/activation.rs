//! Inference rules of the activation family: the result has the type of x.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::Dim;
use crate::op::*;

/// The type of x, which has to be a float.
fn float(cx: &InferCx<'_>) -> InferResult {
    let ty = cx.tensor(0)?;
    let label = format!("{}-c1", cx.name());
    cx.require(ty.dtype.is_float(), &label, || format!("wants a float dtype, not {}", ty.dtype))?;
    one(ty.clone())
}

/// The type of x, which has to be a float or an integer.
fn real(cx: &InferCx<'_>) -> InferResult {
    let ty = cx.tensor(0)?;
    let label = format!("{}-c1", cx.name());
    cx.require(ty.dtype.is_float() || ty.dtype.is_integer(), &label, || {
        format!("wants an integer or float dtype, not {}", ty.dtype)
    })?;
    one(ty.clone())
}

macro_rules! rules {
    ($($name:ident $Op:ident $rule:ident;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        pub fn $name(cx: &InferCx<'_>, _: &$Op) -> InferResult {
            $rule(cx)
        }
    )*};
}

rules! {
    relu Relu real;
    leaky_relu LeakyRelu float;
    elu Elu float;
    celu Celu float;
    selu Selu float;
    sigmoid Sigmoid float;
    hard_sigmoid HardSigmoid float;
    hard_swish HardSwish float;
    softplus Softplus float;
    softsign Softsign float;
    thresholded_relu ThresholdedRelu float;
    mish Mish float;
    gelu Gelu float;
    swish Swish float;
    shrink Shrink real;
}

/// Checks that an operand broadcasts to x without making it larger.
fn fits_x(cx: &InferCx<'_>, slot: usize) -> Result<(), InferError> {
    let (x, other) = (cx.tensor(0)?, cx.tensor(slot)?);
    let label = format!("{}-c2", cx.name());
    cx.same_dtype(0, slot)?;
    let Some(new) = x.rank().checked_sub(other.rank()) else {
        return cx.fail(&label, format!("rank {} is above that of x", other.rank()));
    };
    for (a, b) in other.shape.iter().zip(x.shape.iter().skip(new)) {
        if *a != Dim::Known(1) {
            cx.merge_dim(a, b)?;
        }
    }
    Ok(())
}

/// `prelu`.
pub fn prelu(cx: &InferCx<'_>, _: &Prelu) -> InferResult {
    fits_x(cx, 1)?;
    real(cx)
}

/// `bias_gelu`.
pub fn bias_gelu(cx: &InferCx<'_>, _: &BiasGelu) -> InferResult {
    fits_x(cx, 1)?;
    float(cx)
}

/// `fast_gelu`.
pub fn fast_gelu(cx: &InferCx<'_>, _: &FastGelu) -> InferResult {
    if cx.opt(1).is_some() {
        fits_x(cx, 1)?;
    }
    float(cx)
}
