//! Whether a product is worth doing on AMX tiles.
//!
//! Times are estimates in cycles of one core, from what the micro-kernels reach on large
//! products and what memory gives; their ratio is what counts.

use super::Axis;
use super::tiles::BLOCK as CUT;
use crate::micro::amx::{CHUNK, Grade};

/// What a size that is not known is taken for.
const USUAL: i64 = 128;

/// How many combinations of axes there are, with sizes that are not known as they usually are.
pub fn usual_count(axes: &[Axis]) -> i64 {
    let sizes = axes.iter().map(|a| a.extent.as_known().unwrap_or(USUAL));
    sizes.fold(1i64, i64::saturating_mul).max(1)
}

/// A product to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Rows.
    pub m: i64,
    /// Columns.
    pub n: i64,
    /// Length of the sums.
    pub k: i64,
    /// Whether the right operand is packed ahead of time.
    pub constant: bool,
    /// The length of runs where the left operand is read in runs.
    pub run: Option<i64>,
    /// Bytes of the constants of the program that products read.
    pub weights: i64,
    /// Whether what follows the sum is long, such as an error function.
    pub long: bool,
}

/// Multiply-adds of `f32` per cycle that a micro-kernel reaches.
pub(super) const FMA: f64 = 27.0;
/// Rows that it does at once.
pub(super) const FMA_ROWS: f64 = 6.0;
/// Multiply-adds of bf16 per cycle that tiles reach.
pub(super) const TILES: f64 = 285.0;
/// Cycles for each float that is split.
pub(super) const SPLIT: f64 = 0.8;
/// The same of floats in runs, of a whole number of chunks and of other lengths.
pub(super) const SPLIT_RUNS: f64 = 0.9;
pub(super) const SPLIT_UNEVEN: f64 = 1.5;
/// Cycles for each float that is packed.
pub(super) const PACK: f64 = 0.2;
/// Cycles for bringing one vector of sums into the result, from registers and from tiles.
pub(super) const STORE: f64 = 10.0;
pub(super) const FINISH: f64 = 26.0;
/// What that takes more after tiles where what follows the sum is long.
pub(super) const LONG: f64 = 20.0;
/// Cycles for a product, before anything is done, and for each block of tiles.
pub(super) const START: f64 = 700.0;
pub(super) const BLOCK: f64 = 150.0;
/// Bytes per cycle of constants from a shared cache, and from memory.
pub(super) const NEAR: f64 = 10.0;
pub(super) const FAR: f64 = 3.0;
/// Bytes of constants that stay in a shared cache.
pub(super) const CACHED: i64 = 48 << 20;

/// What a product is estimated to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The time on tiles over that with vectors.
    pub share: f64,
}

impl Estimate {
    /// The share from which on tiles are not taken: they lose more than vectors do to whoever else
    /// uses the core.
    pub const MOST: f64 = 0.85;

    /// Whether tiles are faster.
    pub fn pays(self) -> bool {
        self.share < Self::MOST
    }
}

impl Work {
    /// Whether tiles are faster by estimate.
    pub fn pays(self, grade: Grade) -> bool {
        self.estimate(grade).is_some_and(Estimate::pays)
    }

    /// What it takes on tiles against vectors; `None` where it is too small for tiles.
    pub fn estimate(self, grade: Grade) -> Option<Estimate> {
        let Work { m, n, k, .. } = self;
        if m < 4 || n < 16 || k < 16 {
            return None;
        }
        let [m, n, k] = [m, n, k].map(|x| x as f64);
        let bytes = if self.weights > CACHED { FAR } else { NEAR };
        let vectors = m * (n / 16.0).ceil();
        let low = (m / FMA_ROWS).ceil() * FMA_ROWS;
        let plain = self.over(low * n * k / FMA, k * n * 4.0 / bytes)
            + vectors * STORE
            + if self.constant { 0.0 } else { k * n * PACK };
        let chunk = CHUNK as f64;
        let long = (k / chunk).ceil() * chunk;
        let wide = (n / 16.0).ceil() * 16.0;
        let products = grade.products_count() as f64;
        let split = match self.run {
            None => SPLIT,
            Some(run) if run % CHUNK as i64 == 0 => SPLIT_RUNS,
            Some(_) => SPLIT_UNEVEN,
        };
        let tall = (m / 16.0).ceil() * 16.0;
        let planes = 2.0 * grade.planes() as f64;
        // Rows that cannot be cut are done in blocks that fit a cache, each with all columns.
        let again = match self.run {
            Some(run) if run % CHUNK as i64 != 0 => (tall * long * planes / CUT as f64).ceil(),
            _ => 1.0,
        };
        let read = again * k * n * planes / bytes;
        let tiles = self.over(tall * wide * long * products / TILES, read)
            + m * long * split
            + vectors * if self.long { FINISH + LONG } else { FINISH }
            + tall * wide / 1024.0 * BLOCK
            + if self.constant { 0.0 } else { long * wide * (PACK + SPLIT) }
            + START;
        Some(Estimate { share: tiles / plain })
    }

    /// Work, while constants come from further away.
    fn over(self, work: f64, memory: f64) -> f64 {
        if self.constant { work.max(memory) } else { work }
    }
}

/// Whether a product of bytes of `m` rows, `n` columns and sums of length `k` is faster on tiles
/// than with vectors of the same bytes.
pub fn whole_pays(m: i64, n: i64, k: i64) -> bool {
    /// Multiply-adds per cycle that vectors and tiles reach.
    const VECTORS: f64 = 100.0;
    const TILED: f64 = 550.0;
    /// Bytes per cycle of rows that are copied to be whole tiles.
    const COPY: f64 = 16.0;
    /// Cycles for making tiles ready, and for each tile.
    const BEGIN: f64 = 300.0;
    const EACH: f64 = 30.0;
    let up = |x: i64, to: i64| ((x + to - 1) / to * to) as f64;
    let (tall, wide, long) = (up(m, 16), up(n, 16), up(k, 64));
    let vectors = m as f64 * wide * up(k, 4) / VECTORS;
    let tiles = tall * wide * long / TILED + m as f64 * long / COPY;
    m > 1 && tiles + BEGIN + tall * wide / 256.0 * EACH < 0.8 * vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pays(m: i64, n: i64, k: i64) -> bool {
        let work = Work { m, n, k, constant: true, run: None, weights: 1 << 20, long: false };
        work.pays(Grade::F32)
    }

    #[test]
    fn large_products_pay_and_thin_ones_do_not() {
        assert!(pays(256, 256, 256) && pays(512, 512, 512) && pays(128, 768, 768));
        assert!(!pays(1, 3072, 768) && !pays(2, 1024, 1024) && !pays(512, 8, 512));
        assert!(!pays(16, 16, 16));
    }

    #[test]
    fn bytes_go_to_tiles_from_a_few_rows_on() {
        assert!(whole_pays(64, 1024, 512) && whole_pays(3136, 64, 576));
        assert!(!whole_pays(1, 1024, 256) && !whole_pays(2, 1024, 256) && !whole_pays(64, 16, 8));
    }

    #[test]
    fn weights_from_memory_want_more_rows() {
        let work = Work {
            m: 32,
            n: 512,
            k: 2048,
            constant: true,
            run: None,
            weights: 1 << 20,
            long: false,
        };
        assert!(work.pays(Grade::F32));
        assert!(!Work { weights: 1 << 30, ..work }.pays(Grade::F32));
        assert!(Work { weights: 1 << 30, m: 128, ..work }.pays(Grade::F32));
    }
}
