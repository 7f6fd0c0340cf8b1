//! Random numbers as the hub's interpreter draws them: words of Philox 4x32 with 10 rounds by
//! counter, so that each element is an expression of its place.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{Distribution, Rng};

use super::Stop;
use super::pull::{Pull, Val, scalar_of};
use crate::ir::{BinOp, Const, Expr, ExprId, Scalar, UnOp};

/// The key that a seed stands for.
fn key_of(seed: f64) -> u64 {
    let whole = seed as i64;
    if whole as f64 == seed && whole != i64::MAX { whole as u64 } else { seed.to_bits() }
}

impl Pull<'_, '_> {
    fn word(&mut self, x: u64) -> ExprId {
        self.b.constant(Const::from_i128(Scalar::U64, x.into()))
    }

    /// The four words, each below 2^32, of a block.
    fn philox(&mut self, block: ExprId, key: u64) -> [ExprId; 4] {
        const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
        const STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
        let low = self.word(0xFFFF_FFFF);
        let half = self.word(32);
        let zero = self.word(0);
        let first = self.b.binary(BinOp::And, block, low);
        let second = self.b.binary(BinOp::Shr, block, half);
        let mut c = [first, second, zero, zero];
        let mut k = [key as u32, (key >> 32) as u32];
        for _ in 0..10 {
            let [m, n] = MULTIPLIERS.map(|m| self.word(m));
            let (a, b) = (self.times(m, c[0]), self.times(n, c[2]));
            let mixed = |p: &mut Self, product: ExprId, x: ExprId, key: u32| {
                let high = p.b.binary(BinOp::Shr, product, half);
                let key = p.word(key.into());
                let x = p.b.binary(BinOp::Xor, high, x);
                p.b.binary(BinOp::Xor, x, key)
            };
            let (x, y) = (mixed(self, b, c[1], k[0]), mixed(self, a, c[3], k[1]));
            let (a, b) = (self.b.binary(BinOp::And, a, low), self.b.binary(BinOp::And, b, low));
            c = [x, b, y, a];
            k = [k[0].wrapping_add(STEPS[0]), k[1].wrapping_add(STEPS[1])];
        }
        c
    }

    /// A number in [0, 1) of some bits from the words that begin at a place of a block.
    fn fraction(&mut self, words: &[ExprId; 4], at: usize, bits: u32) -> ExprId {
        let word = |i: usize| words.get(i).copied().unwrap_or(words[0]);
        let half = self.word(32);
        let whole = if bits > 32 {
            let high = self.b.binary(BinOp::Shl, word(at + 1), half);
            self.b.binary(BinOp::Or, high, word(at))
        } else {
            self.b.binary(BinOp::Shl, word(at), half)
        };
        let shift = self.word(u64::from(64 - bits));
        let top = self.b.binary(BinOp::Shr, whole, shift);
        let top = self.b.cast(Scalar::I64, top);
        let top = self.b.cast(Scalar::F64, top);
        let unit = self.number(Scalar::F64, 1.0 / (1u64 << bits) as f64);
        self.times(top, unit)
    }

    /// An element of what [`Rng`] draws.
    pub fn drawn(&mut self, op: &Rng, at: &[Dim]) -> Result<Val, Stop> {
        let Some(seed) = op.seed else {
            return Err(Stop::Unsupported("a draw without a seed".to_owned()));
        };
        let digits = match op.dtype {
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => op.dtype.float_format(),
            other => return Err(Stop::Unsupported(format!("random numbers of {other}"))),
        };
        let bits = digits.map_or(24, |f| f.digits());
        let normal = op.distribution == Distribution::Normal;
        let bits = if normal { bits.max(24) } else { bits };
        let words = usize::from(bits > 32) + 1;
        let each = if normal { 2 * words } else { words };
        let shape = self.shape(&op.dims);
        let place = self.flat(at, &shape)?;
        let place = self.b.index(place);
        let place = self.b.cast(Scalar::U64, place);
        // A block holds the words of this many elements.
        let share = 4 / each;
        let by = self.word(share as u64);
        let block = self.over(place, by);
        let part = self.b.binary(BinOp::Rem, place, by);
        let all = self.philox(block, key_of(seed.0));
        let mut words_of = all;
        for (slot, word) in words_of.iter_mut().enumerate().take(each) {
            for turn in 1..share {
                let number = self.word(turn as u64);
                let is = self.equals(part, number);
                let other = all.get(turn * each + slot).copied().unwrap_or(*word);
                *word = self.b.add(Expr::Select(is, other, *word));
            }
        }
        let u = self.fraction(&words_of, 0, bits);
        let value = if normal {
            let v = self.fraction(&words_of, words, bits);
            let (one, minus) = (self.number(Scalar::F64, 1.0), self.number(Scalar::F64, -2.0));
            let rest = self.minus(one, u);
            let log = self.b.unary(UnOp::Log, rest);
            let square = self.times(minus, log);
            let size = self.b.unary(UnOp::Sqrt, square);
            let turn = self.number(Scalar::F64, std::f64::consts::TAU);
            let angle = self.times(turn, v);
            let cos = self.b.unary(UnOp::Cos, angle);
            self.times(size, cos)
        } else {
            u
        };
        if op.dtype == DType::F64 {
            return Ok(Val::Real(value));
        }
        let narrow = self.rounded(op.dtype, value);
        Ok(Val::Real(self.b.cast(scalar_of(op.dtype)?, narrow)))
    }
}
