//! Which tile of the result a micro-kernel keeps in registers.

use crate::target::Isa;

/// A tile: `rows` rows of `vectors` vector registers each.
///
/// A micro-kernel holds the tile in accumulators, and for every step of K loads one row of B
/// (`vectors` registers) and the tile's column of A, one broadcast per row. Loads per
/// multiply-add fall with both sizes; the accumulators, one row of B and one broadcast must fit
/// into the registers, and the row pointers of A into the general ones, of which x86-64 has so
/// few that ten rows are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows of the result.
    pub rows: usize,
    /// Vector registers per row.
    pub vectors: usize,
    /// Floats per vector register.
    pub lanes: usize,
}

impl Tile {
    /// The tiles of a level, the best one for large results first.
    pub fn table(isa: Isa) -> &'static [Tile] {
        const fn t(rows: usize, vectors: usize, lanes: usize) -> Tile {
            Tile { rows, vectors, lanes }
        }
        const AVX512: [Tile; 4] = [t(8, 3, 16), t(6, 4, 16), t(8, 2, 16), t(8, 1, 16)];
        const AVX2: [Tile; 3] = [t(6, 2, 8), t(4, 3, 8), t(9, 1, 8)];
        const SSE: [Tile; 2] = [t(4, 2, 4), t(8, 1, 4)];
        const NEON: [Tile; 4] = [t(8, 3, 4), t(6, 4, 4), t(8, 2, 4), t(8, 1, 4)];
        match isa {
            Isa::V4 | Isa::Vnni | Isa::Amx => &AVX512,
            Isa::V3 => &AVX2,
            Isa::V2 => &SSE,
            Isa::Neon => &NEON,
        }
    }

    /// Columns of the result: the width of a panel of packed B.
    pub fn columns(self) -> usize {
        self.vectors * self.lanes
    }

    /// The tile that wastes least on a result of `m` rows and `n` columns; where several do
    /// alike, the first of the table.
    pub fn choose(isa: Isa, m: usize, n: usize) -> Tile {
        let cost = |tile: &Tile| {
            let panels = n.div_ceil(tile.columns()).max(1);
            // Steps of one row of a tile: the larger of multiply-adds and loads, two of which
            // are done at once. The loads of B are shared by the rows of a tile.
            let rows = m.clamp(1, tile.rows);
            let per_row = tile.vectors as f64;
            let loads = 1.0 + tile.vectors as f64 / rows as f64;
            panels as f64 * per_row.max(loads)
        };
        let mut best = Tile::table(isa)[0];
        for tile in &Tile::table(isa)[1..] {
            if cost(tile) < cost(&best) * 0.97 {
                best = *tile;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_into_registers() {
        for isa in Isa::ALL {
            for tile in Tile::table(isa) {
                assert_eq!(tile.lanes, isa.f32_lanes());
                let registers = tile.rows * tile.vectors + tile.vectors + 1;
                assert!(registers <= isa.vector_registers(), "{isa} {tile:?}");
                assert!(tile.rows <= 9);
            }
        }
    }

    #[test]
    fn the_choice_follows_the_columns() {
        let columns = |m, n| Tile::choose(Isa::V4, m, n).columns();
        assert_eq!(columns(512, 768), 48);
        assert_eq!(columns(512, 64), 64);
        assert_eq!(columns(512, 32), 32);
        assert_eq!(columns(512, 10), 16);
        assert_eq!(columns(512, 1000), 48);
    }
}
