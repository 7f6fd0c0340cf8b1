use candle_core::{Result, Tensor};

use super::int_div;

/// What a division leaves: of the sign of `a`, or with `floor` of the sign of `b`.
pub fn rem(a: &Tensor, b: &Tensor, floor: bool) -> Result<Tensor> {
    let quotient = if a.dtype().is_int() {
        int_div(a, b, floor)?
    } else {
        let quotient = a.broadcast_div(b)?;
        if floor { quotient.floor()? } else { (quotient.sign()? * quotient.abs()?.floor()?)? }
    };
    a.broadcast_sub(&quotient.broadcast_mul(b)?)
}
