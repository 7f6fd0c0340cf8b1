use candle_core::{Result, Tensor};

use super::map;

/// The elements as powers of two from 2^-127 to 2^127: the greater one from the part `up` of the
/// way on. What is beyond becomes the last one or, where it does not `saturate`, NaN, like what is
/// below zero.
pub fn round_to_power(x: &Tensor, up: f64, saturate: bool) -> Result<Tensor> {
    map(x, |v| {
        if v.is_nan() || v < 0. {
            return f64::NAN;
        }
        let bits = v.abs().to_bits();
        let below = f64::from_bits(bits >> 52 << 52);
        let way = if v.is_finite() && below > 0. { v / below - 1. } else { 0. };
        let exponent = (bits >> 52) as i64 - 1023 + i64::from(way > 0. && way >= up);
        if (-127..=127).contains(&exponent) || saturate {
            (exponent.clamp(-127, 127) as f64).exp2()
        } else {
            f64::NAN
        }
    })
}
