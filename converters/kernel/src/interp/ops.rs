//! Scalar operations on the bits of values.
//!
//! Functions that are not exact are computed in double precision and rounded once.

use airconv_ir::array::{RoundMode, Rounder};
use airconv_ir::op::CastRounding;

use crate::ir::{BinOp, Const, Narrow, Scalar, UnOp};

/// The value of an integer or truth value.
fn int(ty: Scalar, bits: u64) -> i128 {
    Const { ty, bits }.as_int().unwrap_or(0)
}

fn from_int(ty: Scalar, x: i128) -> u64 {
    Const::from_i128(ty, x).bits
}

fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

/// The bits of the result of a unary operation.
pub(super) fn unary(op: UnOp, ty: Scalar, x: u64) -> u64 {
    match ty {
        Scalar::Bool => u64::from(x == 0),
        Scalar::F32 if op == UnOp::IsNan => f32_of(x).is_nan().into(),
        Scalar::F64 if op == UnOp::IsNan => f64::from_bits(x).is_nan().into(),
        // The sign of a NaN is changed as well.
        Scalar::F32 | Scalar::F64 if op == UnOp::Neg => x ^ (1 << (ty.bits() - 1)),
        Scalar::F32 | Scalar::F64 if op == UnOp::Abs => x & !(1 << (ty.bits() - 1)),
        Scalar::F32 => u64::from((function(op, f64::from(f32_of(x))) as f32).to_bits()),
        Scalar::F64 => function(op, f64::from_bits(x)).to_bits(),
        _ => {
            let v = int(ty, x);
            from_int(
                ty,
                match op {
                    UnOp::Neg => -v,
                    UnOp::Abs => v.abs(),
                    UnOp::Sign => v.signum(),
                    _ => !v,
                },
            )
        }
    }
}

/// A function of a float.
fn function(op: UnOp, x: f64) -> f64 {
    match op {
        UnOp::Sign if x > 0.0 => 1.0,
        UnOp::Sign if x < 0.0 => -1.0,
        UnOp::Sign => x + 0.0,
        UnOp::Floor => x.floor(),
        UnOp::Ceil => x.ceil(),
        UnOp::Round => x.round_ties_even(),
        UnOp::Sqrt => x.sqrt(),
        UnOp::Exp => x.exp(),
        UnOp::Log => x.ln(),
        UnOp::Sin => x.sin(),
        UnOp::Cos => x.cos(),
        UnOp::Tan => x.tan(),
        UnOp::Asin => x.asin(),
        UnOp::Acos => x.acos(),
        UnOp::Atan => x.atan(),
        UnOp::Sinh => x.sinh(),
        UnOp::Cosh => x.cosh(),
        UnOp::Tanh => x.tanh(),
        UnOp::Asinh => x.asinh(),
        UnOp::Acosh => x.acosh(),
        UnOp::Atanh => x.atanh(),
        UnOp::Erf => libm::erf(x),
        UnOp::Neg => -x,
        UnOp::Abs => x.abs(),
        UnOp::Not | UnOp::IsNan => x,
    }
}

/// The bits of the result of a binary operation; `None` when integers are divided by zero.
pub(super) fn binary(op: BinOp, ty: Scalar, x: u64, y: u64) -> Option<u64> {
    Some(match ty {
        Scalar::F32 => {
            let (a, b) = (f32_of(x), f32_of(y));
            let r = match op {
                BinOp::Add => a + b,
                BinOp::Sub => a - b,
                BinOp::Mul => a * b,
                BinOp::Div => a / b,
                _ => return floats(op, ty, f64::from(a), f64::from(b)),
            };
            u64::from(r.to_bits())
        }
        Scalar::F64 => return floats(op, ty, f64::from_bits(x), f64::from_bits(y)),
        _ => {
            let (a, b) = (int(ty, x), int(ty, y));
            let bits = i128::from(ty.bits());
            let r = match op {
                BinOp::Add => a + b,
                BinOp::Sub => a - b,
                // Only the low bits count, and those of 64-bit factors fit.
                BinOp::Mul => a.wrapping_mul(b),
                BinOp::Div => a.checked_div(b)?,
                BinOp::Rem => a.checked_rem(b)?,
                BinOp::FloorDiv => floor_div(a, b)?,
                BinOp::FloorRem => a - floor_div(a, b)? * b,
                BinOp::Max | BinOp::MaxNum => a.max(b),
                BinOp::Min | BinOp::MinNum => a.min(b),
                BinOp::And => a & b,
                BinOp::Or => a | b,
                BinOp::Xor => a ^ b,
                BinOp::Shl if (0..bits).contains(&b) => a << b,
                BinOp::Shl => 0,
                BinOp::Shr if (0..bits).contains(&b) => a >> b,
                BinOp::Shr => {
                    if a < 0 {
                        -1
                    } else {
                        0
                    }
                }
                BinOp::Eq => i128::from(a == b),
                BinOp::Lt => i128::from(a < b),
                BinOp::Le => i128::from(a <= b),
                BinOp::Pow => i128::from(wrapping_pow(a as u64, b as u64)),
            };
            if op.compares() { r as u64 } else { from_int(ty, r) }
        }
    })
}

/// A power modulo 2^64, by squaring.
fn wrapping_pow(mut base: u64, mut exponent: u64) -> u64 {
    let mut out = 1u64;
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = out.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    out
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let (q, r) = (a.checked_div(b)?, a.checked_rem(b)?);
    Some(if r != 0 && (r < 0) != (b < 0) { q - 1 } else { q })
}

/// Operations on doubles, exact for those that come from singles or rounded once.
fn floats(op: BinOp, ty: Scalar, a: f64, b: f64) -> Option<u64> {
    let r = match op {
        BinOp::Add => a + b,
        BinOp::Sub => a - b,
        BinOp::Mul => a * b,
        BinOp::Div => a / b,
        BinOp::Rem => a % b,
        BinOp::FloorRem => {
            let r = a % b;
            if r == 0.0 {
                0f64.copysign(b)
            } else if (r < 0.0) == (b < 0.0) || r.is_nan() {
                r
            } else if ty == Scalar::F32 {
                // The sum is rounded once, as in singles.
                f64::from(r as f32 + b as f32)
            } else {
                r + b
            }
        }
        BinOp::Pow => a.powf(b),
        BinOp::Max => extreme(a, b, b > a, true),
        BinOp::Min => extreme(a, b, b < a, true),
        BinOp::MaxNum => extreme(a, b, b > a, false),
        BinOp::MinNum => extreme(a, b, b < a, false),
        BinOp::Eq => return Some((a == b).into()),
        BinOp::Lt => return Some((a < b).into()),
        BinOp::Le => return Some((a <= b).into()),
        BinOp::FloorDiv | BinOp::And | BinOp::Or | BinOp::Xor | BinOp::Shl | BinOp::Shr => 0.0,
    };
    Some(Const::from_f64(ty, r).bits)
}

/// The operand that is preferred; of equal ones the first. NaN wins or loses.
fn extreme(a: f64, b: f64, second: bool, nan_wins: bool) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => {
            if second {
                b
            } else {
                a
            }
        }
        (true, _) => {
            if nan_wins {
                a
            } else {
                b
            }
        }
        (false, true) => {
            if nan_wins {
                b
            } else {
                a
            }
        }
    }
}

/// The bits of a value in another type.
pub(super) fn cast(to: Scalar, from: Scalar, x: u64) -> u64 {
    let float = match from {
        Scalar::F32 => f64::from(f32_of(x)),
        Scalar::F64 => f64::from_bits(x),
        _ => {
            let v = int(from, x);
            return match to {
                // Straight to singles: by way of doubles they would round twice.
                Scalar::F32 => u64::from((v as f32).to_bits()),
                _ => from_int(to, v),
            };
        }
    };
    match to {
        Scalar::Bool => (float != 0.0).into(),
        Scalar::F32 | Scalar::F64 => Const::from_f64(to, float).bits,
        _ => {
            let bits = to.bits();
            let (lo, hi) = if to.is_signed() {
                (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
            } else {
                (0, (1i128 << bits) - 1)
            };
            from_int(to, (float as i128).clamp(lo, hi))
        }
    }
}

/// The bits of a value rounded to a narrower dtype.
pub(super) fn narrow(narrow: Narrow, ty: Scalar, x: u64) -> u64 {
    let Narrow { to, saturate, rounding } = narrow;
    if !ty.is_float() {
        let bits = to.bits().min(ty.bits());
        let low = x & (u64::MAX >> (64 - bits));
        let v = if to.is_signed_int() {
            i128::from(((low << (64 - bits)) as i64) >> (64 - bits))
        } else {
            i128::from(low)
        };
        return from_int(ty, v);
    }
    let mode = match rounding {
        CastRounding::Up => RoundMode::Up,
        CastRounding::Down => RoundMode::Down,
        CastRounding::Nearest => RoundMode::Nearest,
    };
    let v = Const { ty, bits: x }.as_f64();
    let rounded = match Rounder::new(to, saturate, mode) {
        Some(rounder) => f64::from(rounder.round(v)),
        None if to.bits() <= 32 => f64::from(v as f32),
        None => v,
    };
    Const::from_f64(ty, rounded).bits
}
