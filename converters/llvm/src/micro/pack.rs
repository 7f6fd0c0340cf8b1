//! Packing of the right operand: panels of as many columns as a tile has, each panel row by row.
//!
//! Row `k` of panel `j` holds B`[k][j * width ..][.. width]` at `(j * K + k) * width`; columns
//! beyond the last are zero.

use crate::buffer::Buffer;

/// How many floats B of `k` rows and `n` columns takes in panels of `width` columns.
pub fn packed_len(k: usize, n: usize, width: usize) -> usize {
    n.div_ceil(width) * width * k
}

/// Packs B, whose element in row `r` and column `c` is `b[r * row_stride + c * column_stride]`.
pub fn pack_b(
    b: &[f32],
    (k, n): (usize, usize),
    (row_stride, column_stride): (usize, usize),
    width: usize,
) -> Buffer {
    let mut out = Buffer::floats(packed_len(k, n, width));
    pack_b_into(out.f32s_mut(), b, (k, n), (row_stride, column_stride), width);
    out
}

/// Packs B into `out`, all of which is written.
///
/// # Panics
/// When `out` is not of [`packed_len`] floats, or `b` is too short for its sizes.
pub fn pack_b_into(
    out: &mut [f32],
    b: &[f32],
    (k, n): (usize, usize),
    (row_stride, column_stride): (usize, usize),
    width: usize,
) {
    assert_eq!(out.len(), packed_len(k, n, width));
    if k == 0 || n == 0 {
        return;
    }
    for (j, panel) in out.chunks_exact_mut(k * width).enumerate() {
        let first = j * width;
        let columns = width.min(n - first);
        if column_stride == 1 {
            for (r, to) in panel.chunks_exact_mut(width).enumerate() {
                let from = r * row_stride + first;
                to[..columns].copy_from_slice(&b[from..from + columns]);
                to[columns..].fill(0.0);
            }
            continue;
        }
        // Blocks of rows, so that what one column brings into the cache is used for all of it.
        const BLOCK: usize = 16;
        for r0 in (0..k).step_by(BLOCK) {
            let rows = BLOCK.min(k - r0);
            for c in 0..width {
                for r in r0..r0 + rows {
                    panel[r * width + c] = match c < columns {
                        true => b[r * row_stride + (first + c) * column_stride],
                        false => 0.0,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns() {
        let (k, n, width) = (19, 11, 4);
        let b: Vec<f32> = (0..k * n).map(|i| i as f32).collect();
        let transposed: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
        let one = pack_b(&b, (k, n), (n, 1), width);
        let two = pack_b(&transposed, (k, n), (1, k), width);
        assert_eq!(one.f32s(), two.f32s());
        assert_eq!(one.f32s().len(), 12 * k);
        for c in 0..12 {
            for r in 0..k {
                let expected = if c < n { b[r * n + c] } else { 0.0 };
                assert_eq!(one.f32s()[(c / width * k + r) * width + c % width], expected);
            }
        }
        assert!(pack_b(&[], (0, 5), (5, 1), 4).is_empty());
    }
}
