//! What emitted kernels call in the host: rounding to dtypes of eight bits and less.

use airconv_ir::array::{RoundMode, Rounder};
use airconv_ir::dtype::DType;
use airconv_ir::op::CastRounding;
use airconv_kernel::ir::Narrow;

/// The name under which kernels call [`narrow`].
pub const NARROW: &str = "airconv_narrow";

/// A rounding as a number.
pub fn narrow_code(n: Narrow) -> i32 {
    let dtype = DType::ALL.iter().position(|&d| d == n.to).unwrap_or(0) as i32;
    let rounding = match n.rounding {
        CastRounding::Up => 0,
        CastRounding::Down => 1,
        CastRounding::Nearest => 2,
    };
    dtype * 8 + i32::from(n.saturate) * 4 + rounding
}

/// Rounds a number as a [`narrow_code`] says.
pub extern "C" fn narrow(x: f64, code: i32) -> f64 {
    let mode = match code & 3 {
        0 => RoundMode::Up,
        1 => RoundMode::Down,
        _ => RoundMode::Nearest,
    };
    let dtype = DType::ALL.get((code >> 3) as usize).copied();
    let rounder = dtype.and_then(|d| Rounder::new(d, code & 4 != 0, mode));
    rounder.map_or(x, |r| f64::from(r.round(x)))
}
