use candle_core::{Result, Tensor};

use super::map;

/// The elements in a narrower format: nearest values of `digits` binary digits after the leading
/// one, with exponents from `least` on, ties to even. Magnitudes above the `greatest` one become
/// `beyond` with their sign, NaN becomes `none`.
pub fn round_float(
    x: &Tensor,
    digits: i64,
    least: i64,
    greatest: f64,
    beyond: f64,
    none: f64,
) -> Result<Tensor> {
    map(x, |v| {
        if v.is_nan() {
            return none;
        }
        let magnitude = v.abs().min(4. * greatest);
        let exponent = ((magnitude.to_bits() >> 52) as i64 - 1023).max(least);
        // To add and subtract 2^52 steps leaves whole steps.
        let steps = ((exponent - digits + 52) as f64).exp2();
        let rounded = (magnitude + steps) - steps;
        (if rounded > greatest { beyond } else { rounded }).copysign(v)
    })
}
