//! Evaluation of the random family.
//!
//! # From a seed to numbers
//!
//! Philox 4x32-10 turns a key of two words and a counter of four words into four words of
//! 32 bits. The key is the seed as a 64-bit integer, low word first: a seed that is a whole
//! number within the range of i64 is that number in two's complement, any other one is the
//! bit pattern of its f64. The counter starts at 0 and goes up by 1 per block; its words are
//! the low first. The words of all blocks in order are one stream.
//!
//! A dtype has `p` significant bits: 8 for bf16, 11 for f16, 24 for f32 and 53 for f64. A
//! *fraction* is the top `p` bits of one word times 2^-p; for f64 of two words, the low
//! first. It is exact in the dtype and below 1.
//!
//! - uniform: one fraction per element.
//! - normal: two fractions u and v per element, of 24 bits for the dtypes below f64:
//!   sqrt(-2 ln(1 - u)) cos(2 pi v), computed in f64 and rounded to the dtype.
//!
//! Elements take their words in row-major order. An unspecified algorithm is the same one
//! here; without a seed each draw takes another key.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, checked_numel};
use crate::dtype::DType;
use crate::op::*;

/// One block of Philox 4x32 with 10 rounds.
fn philox(counter: u128, key: u64) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let mut c = [0, 32, 64, 96].map(|shift| (counter >> shift) as u32);
    let mut k = [key as u32, (key >> 32) as u32];
    for _ in 0..10 {
        let a = MULTIPLIERS[0] * u64::from(c[0]);
        let b = MULTIPLIERS[1] * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(STEPS[0]), k[1].wrapping_add(STEPS[1])];
    }
    c
}

/// The words of a key, from the first on.
struct Words {
    key: u64,
    next: u128,
    block: [u32; 4],
    used: usize,
}

impl Words {
    fn new(key: u64) -> Self {
        Self { key, next: 0, block: [0; 4], used: 4 }
    }
    fn word(&mut self) -> u32 {
        if self.used == self.block.len() {
            self.block = philox(self.next, self.key);
            self.next += 1;
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }
    /// A number in [0, 1) of `bits` bits, at most 53.
    fn fraction(&mut self, bits: u32) -> f64 {
        let low = u64::from(self.word());
        let whole = if bits > 32 { u64::from(self.word()) << 32 | low } else { low << 32 };
        (whole >> (64 - bits)) as f64 * crate::dtype::exp2i(-(bits as i32))
    }
}

/// The key that a seed stands for.
fn key_of(seed: f64) -> u64 {
    let whole = seed as i64;
    if whole as f64 == seed && whole != i64::MAX { whole as u64 } else { seed.to_bits() }
}

/// Draws numbers.
pub fn rng(cx: &mut EvalCx<'_, '_>, op: &Rng) -> EvalResult {
    let bits = match op.dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            op.dtype.float_format().map_or(24, |f| f.digits())
        }
        other => return Err(EvalError::Unsupported(format!("rng of {other}"))),
    };
    let shape = cx.shape(op.dtype, &op.dims)?;
    let key = match op.seed {
        Some(seed) => key_of(seed.0),
        // Far from the small numbers that people choose for seeds.
        None => cx.next_draw().wrapping_mul(0x9E37_79B9_7F4A_7C15),
    };
    let mut words = Words::new(key);
    let numel = checked_numel(&shape)?;
    let values: Vec<f64> = match op.distribution {
        Distribution::Uniform => (0..numel).map(|_| words.fraction(bits)).collect(),
        Distribution::Normal => {
            let bits = bits.max(24);
            (0..numel)
                .map(|_| {
                    let (u, v) = (words.fraction(bits), words.fraction(bits));
                    // The same on every machine: these are not the system's functions.
                    libm::sqrt(-2.0 * libm::log(1.0 - u)) * libm::cos(std::f64::consts::TAU * v)
                })
                .collect()
        }
    };
    one(Array::from_f64s(op.dtype, shape, &values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    // From the known-answer file of the Random123 distribution.
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(philox(0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox(u128::MAX, u64::MAX),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        let counter = 0x0370_7344_1319_8a2e_85a3_08d3_243f_6a88;
        assert_eq!(
            philox(counter, 0x299f_31d0_a409_3822),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn fractions_are_below_one_and_exact() {
        let mut words = Words { key: 0, next: 1, block: [u32::MAX; 4], used: 0 };
        assert_eq!(words.fraction(24), 1.0 - 2f64.powi(-24));
        assert_eq!(words.fraction(8), 1.0 - 2f64.powi(-8));
        assert_eq!(words.fraction(53), 1.0 - 2f64.powi(-53));
        assert_eq!(Words::new(0).fraction(24), f64::from(0x6627_e8d5u32 >> 8) / 16_777_216.0);
    }

    #[test]
    fn seeds_that_are_whole_numbers_are_keys() {
        assert_eq!(key_of(7.0), 7);
        assert_eq!(key_of(-1.0), u64::MAX);
        assert_eq!(key_of(0.5), 0.5f64.to_bits());
        assert_eq!(key_of(1e30), 1e30f64.to_bits());
    }
}
