//! Matrix products of `f32` on AMX tiles, whose operands are split into planes of bf16.
//!
//! A float is the sum of three numbers of eight bits each, its planes: the float rounded to bf16,
//! what is left rounded to bf16, and what is left then. A product of floats is the sum of the
//! products of their planes, of which the six largest are enough for the accuracy of `f32`, and
//! the three largest for half the digits ([`Grade`]). Tiles add products of bf16 into `f32`.
//! (The scheme is that of Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial
//! Intelligence Datatype For Higher-Precision Computations", 2019.)
//!
//! Operands are split by [`split_module`] into blocks that tiles are loaded from in order; what
//! splits them also says how large the numbers are ([`Range`]). Planes of numbers that are not
//! finite, or of very large or small ones, do not have that sum: a product is done so only where
//! [`exact`] says that all of its operands' numbers are of a size that does. Columns of the right
//! operand whose numbers are all very small (weights that training has let die) or large are
//! multiplied by a power of two before, and the result is divided by it.
//!
//! The order of K within a block is by halves: pair `i` of a tile's row holds elements `i` and
//! `16 + i` of a chunk of 32. It is the same on both sides, and makes two vectors of floats into
//! one of pairs without moving lanes.

mod multiply;
mod split;

pub(crate) use multiply::shapes;
pub use multiply::{
    AmxCall, AmxFn, AmxSpec, KernelFn, amx_module, kernel_module, kernel_name, variant,
};
pub use split::{LeftCall, RightCall, SplitSpec, split_module};

/// Elements of K in a tile.
pub const CHUNK: usize = 32;
/// The most rows of a tile.
pub const ROWS: usize = 16;
/// Bytes of a whole tile.
pub const TILE: usize = 1024;
/// Columns of a panel of the right operand: two tiles.
pub const COLUMNS: usize = 32;

/// How exact a product is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Grade {
    /// As `f32`: three planes, six products.
    #[default]
    F32,
    /// An error of about four millionths of the operands' size: two planes, three products.
    High,
    /// Operands are rounded to bf16.
    Bf16,
}

impl Grade {
    /// Every grade, the most exact first.
    pub const ALL: [Grade; 3] = [Grade::F32, Grade::High, Grade::Bf16];

    /// How many planes an operand has.
    pub fn planes(self) -> usize {
        match self {
            Grade::F32 => 3,
            Grade::High => 2,
            Grade::Bf16 => 1,
        }
    }

    /// Which planes of the left and the right operand are multiplied, of which so many are not
    /// zero, in an order that changes one of them at a time.
    pub(super) fn products(self, (left, right): (usize, usize)) -> Vec<(usize, usize)> {
        let all = [(1, 1), (1, 0), (2, 0), (0, 0), (0, 2), (0, 1)];
        let counts = |&(a, b): &(usize, usize)| a < left && b < right && a + b < self.planes();
        all.into_iter().filter(counts).collect()
    }

    /// How many products of planes make one of floats.
    pub fn products_count(self) -> usize {
        self.products((3, 3)).len()
    }

    /// The name that is parsed.
    pub fn name(self) -> &'static str {
        match self {
            Grade::F32 => "f32",
            Grade::High => "f32-high",
            Grade::Bf16 => "bf16",
        }
    }

    /// The grade of a name.
    pub fn parse(name: &str) -> Option<Grade> {
        Self::ALL.into_iter().find(|g| g.name() == name)
    }
}

/// How large the numbers of an operand are, as the bits of floats without sign.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least of the largest numbers of each row (of the left operand) or column (of the right
    /// one), of those rows or columns that are not all zeros; all ones where there are none.
    pub low: u32,
    /// The largest number of all.
    pub high: u32,
    /// The bits that are set in any of the numbers.
    pub bits: u32,
}

impl Range {
    /// Of no numbers.
    pub const NONE: Range = Range { low: u32::MAX, high: 0, bits: 0 };

    /// Of the numbers of both.
    pub fn and(self, other: Range) -> Range {
        Range {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            bits: self.bits | other.bits,
        }
    }

    /// How many planes of the numbers are not all zeros: one of whole numbers up to 256 and of
    /// what was bf16 before.
    pub fn planes(self) -> usize {
        match self.bits {
            b if b & 0xffff == 0 => 1,
            b if b & 0xff == 0 => 2,
            _ => 3,
        }
    }
}

/// Whether a product of sums of `k` products over planes is as exact as it should be: every
/// number is finite, no sum of planes overflows where that of the floats does not, and what is
/// too small for a plane does not count against the largest numbers of its row and column.
pub fn exact(left: Range, right: Range, k: i64) -> bool {
    const INFINITE: u32 = 0x7f80_0000;
    // The exponent of the lowest plane that counts is 24 below, and the least one is 1.
    const LEAST: i64 = 27;
    let exponent = |bits: u32| i64::from(bits >> 23);
    if left.high >= INFINITE || right.high >= INFINITE {
        return false;
    }
    if left.low == u32::MAX || right.low == u32::MAX {
        return true;
    }
    let length = i64::from(64 - k.max(1).leading_zeros());
    let top = exponent(left.high) + exponent(right.high) - 254 + length + 2;
    let bottom = exponent(left.low) + exponent(right.low) - 254;
    top <= 126
        && bottom >= -90
        && exponent(left.low).min(exponent(right.low)) >= LEAST
        && exponent(left.high).max(exponent(right.high)) <= 252
}

/// Bytes of the planes of one tile of rows, or of one half of a panel, over K of `chunks`.
pub fn strip_bytes(grade: Grade, chunks: usize) -> usize {
    chunks * grade.planes() * TILE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_change_one_plane_at_a_time() {
        for grade in [Grade::F32, Grade::High, Grade::Bf16] {
            assert_eq!(Grade::parse(grade.name()), Some(grade));
            for planes in (1..=3).flat_map(|a| (1..=3).map(move |b| (a, b))) {
                let products = grade.products(planes);
                assert!(products.contains(&(0, 0)));
                for pair in products.windows(2) {
                    assert!(pair[0].0 == pair[1].0 || pair[0].1 == pair[1].1);
                }
            }
        }
    }

    #[test]
    fn ranges_that_are_refused() {
        let of = |low: f32, high: f32| Range { low: low.to_bits(), high: high.to_bits(), bits: 0 };
        let usual = of(1e-3, 10.0);
        assert!(exact(usual, usual, 4096));
        assert!(exact(Range::NONE, usual, 1) && exact(usual, Range::NONE, 1));
        assert!(!exact(of(1.0, f32::INFINITY), usual, 1));
        assert!(!exact(usual, of(1.0, f32::NAN), 1));
        assert!(!exact(Range::NONE, of(1.0, f32::NAN), 1));
        assert!(!exact(of(1.0, 1e30), of(1.0, 1e9), 1));
        assert!(!exact(of(1e-36, 1.0), usual, 1));
        assert!(!exact(of(1e-20, 1.0), of(1e-20, 1.0), 1));
        assert!(exact(of(1e-12, 1.0), of(1e-12, 1.0), 1));
    }

    #[test]
    fn planes_that_are_not_zero() {
        let planes = |x: f32| Range { low: 0, high: 0, bits: x.to_bits() }.planes();
        assert_eq!([0.0, 255.0, -256.0, 257.0, 1001.0, 0.1].map(planes), [1, 1, 1, 2, 2, 3]);
    }
}
