//! Operands of products of bytes as micro-kernels read them.

use crate::buffer::Buffer;
use crate::micro::ZEROS;
use crate::micro::whole::{CHUNK, Dot, GROUP, WholeTile};
use crate::select::plan::{Layout, Plan, offsets};
use crate::select::run::Shared;

/// What is added to a signed byte to make it an unsigned one.
const OFFSET: i32 = 128;

/// How operands are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) tile: WholeTile,
    /// Whether rows are as long as whole tiles of AMX.
    pub(super) chunks: bool,
}

impl Form {
    /// Groups of K.
    pub(super) fn groups(self, k: i64) -> i64 {
        match self.tile.dot {
            Dot::Bytes => (k + 3) / 4,
            Dot::Words => (k + 1) / 2,
        }
    }

    /// Bytes of K of a row, with what fills it up.
    pub(super) fn row(self, k: i64) -> i64 {
        let bytes = self.groups(k) * GROUP as i64;
        if self.chunks { (bytes + CHUNK as i64 - 1) / CHUNK as i64 * CHUNK as i64 } else { bytes }
    }

    /// Bytes of a panel.
    pub(super) fn panel(self, k: i64) -> i64 {
        self.row(k) * self.tile.columns() as i64
    }
}

/// A packed right operand: panels of all of its matrices, and for each column of each matrix the
/// sum of what was packed and the zero point that is left.
#[derive(Clone, Copy)]
pub(super) struct Right {
    /// Bytes of the panels of a matrix.
    pub(super) matrix: i64,
    /// Columns of a matrix with those that fill up the last panel.
    pub(super) columns: i64,
    /// How many matrices.
    count: i64,
}

impl Right {
    /// That of a plan.
    pub(super) fn new(form: Form, plan: &Plan) -> Right {
        let width = form.tile.columns() as i64;
        let panels = (plan.n + width - 1) / width;
        Right {
            matrix: panels * form.panel(plan.k),
            columns: panels * width,
            count: plan.right.batch.iter().map(|(n, _)| n).product(),
        }
    }

    fn sums(self) -> i64 {
        self.count * self.matrix
    }

    /// Where the panels of a matrix are.
    pub(super) fn panels(self, buffer: &Buffer, matrix: i64) -> *const u8 {
        buffer.as_ptr().wrapping_offset((matrix * self.matrix) as isize)
    }

    /// The sums of the columns of all matrices.
    pub(super) fn totals(self, buffer: &Buffer) -> &[i32] {
        self.numbers(buffer, self.sums())
    }

    /// The zero points of the columns of all matrices.
    pub(super) fn zeros(self, buffer: &Buffer) -> &[i32] {
        self.numbers(buffer, self.sums() + 4 * self.count * self.columns)
    }

    /// Whether any of those is not zero.
    pub(super) fn has_zeros(self, buffer: &Buffer) -> bool {
        buffer.bytes().last().is_some_and(|&b| b != 0)
    }

    fn numbers(self, buffer: &Buffer, at: i64) -> &[i32] {
        let count = (self.count * self.columns) as usize;
        // SAFETY: the buffer was made by `pack` with room for that, at a multiple of four bytes.
        unsafe {
            let first = buffer.as_ptr().add(at as usize).cast::<i32>();
            std::slice::from_raw_parts(first, count)
        }
    }

    /// Packs the operand whose elements lie so from `from` on. `zero` is what is taken away from a
    /// column.
    pub(super) fn pack(
        self,
        form: Form,
        (layout, k): (&Layout, i64),
        (from, signed): (Shared<u8>, bool),
        zero: &dyn Fn(usize) -> i32,
    ) -> Buffer {
        // The last byte says whether there are zero points.
        let mut out = Buffer::new((self.sums() + 8 * self.count * self.columns + 1) as usize);
        let mut has_zeros = false;
        let (rows, columns) = (offsets(&layout.inner), offsets(&layout.outer));
        let width = form.tile.columns();
        let get = |at: i64| {
            // SAFETY: the layout is within the operand, as the kernel that it is from is.
            let byte = unsafe { *from.at(at) };
            if signed { i32::from(byte as i8) } else { i32::from(byte) }
        };
        let panel_bytes = form.panel(k) as usize;
        let sums = self.sums() as usize;
        let numbers = (self.count * self.columns) as usize * 4;
        for (b, batch) in offsets(&layout.batch).into_iter().enumerate() {
            for (j, places) in columns.chunks(width).enumerate() {
                let base = layout.base + batch;
                let mut range = vec![(i32::MAX, i32::MIN); places.len()];
                for row in &rows {
                    for (place, range) in places.iter().zip(&mut range) {
                        let x = get(base + row + place);
                        *range = (range.0.min(x), range.1.max(x));
                    }
                }
                let less: Vec<(i32, i32)> = range
                    .iter()
                    .enumerate()
                    .map(|(c, &range)| less(form.tile.dot, signed, zero(j * width + c), range))
                    .collect();
                let mut totals = vec![0i32; places.len()];
                let first = b * self.matrix as usize + j * panel_bytes;
                let panel = &mut out.bytes_mut()[first..first + panel_bytes];
                for (i, row) in rows.iter().enumerate() {
                    for (c, place) in places.iter().enumerate() {
                        let x = get(base + row + place) - less[c].0;
                        totals[c] = totals[c].wrapping_add(x);
                        match form.tile.dot {
                            Dot::Bytes => panel[(i / 4 * width + c) * 4 + i % 4] = x as u8,
                            Dot::Words => {
                                let at = (i / 2 * width + c) * 4 + i % 2 * 2;
                                panel[at..at + 2].copy_from_slice(&(x as i16).to_le_bytes());
                            }
                        }
                    }
                }
                let at = sums + (b * self.columns as usize + j * width) * 4;
                for (c, total) in totals.iter().enumerate() {
                    let at = at + 4 * c;
                    let bytes = out.bytes_mut();
                    bytes[at..at + 4].copy_from_slice(&total.to_le_bytes());
                    let at = at + numbers;
                    bytes[at..at + 4].copy_from_slice(&less[c].1.to_le_bytes());
                    has_zeros |= less[c].1 != 0;
                }
            }
        }
        if let Some(last) = out.bytes_mut().last_mut() {
            *last = u8::from(has_zeros);
        }
        out
    }
}

/// What is taken away from the bytes of a column before they are packed, and what is left of the
/// zero point: nothing if the differences fit.
fn less(dot: Dot, signed: bool, zero: i32, (low, high): (i32, i32)) -> (i32, i32) {
    let fits = low > high || (low - zero >= -OFFSET && high - zero < OFFSET);
    if dot == Dot::Words || fits {
        return (zero, 0);
    }
    let less = if signed { 0 } else { OFFSET };
    (less, zero - less)
}

/// The left operand of a product of the batch.
#[derive(Clone, Copy)]
pub(super) struct Left<'p> {
    pub(super) plan: &'p Plan,
    /// The offsets of all rows and of all elements of a row, where neither rows are evenly apart
    /// nor runs are known.
    pub(super) places: Option<&'p (Vec<i64>, Vec<i64>)>,
    /// Where each run of each row is, where it is read in runs.
    pub(super) table: &'p [i32],
    pub(super) from: *const u8,
    pub(super) signed: bool,
    pub(super) zero: i32,
}

impl Left<'_> {
    /// The zero point of what is packed as bytes.
    pub(super) fn unsigned_zero(&self) -> i32 {
        if self.signed { self.zero + OFFSET } else { self.zero }
    }

    /// From row to row, where rows can be read where they are.
    pub(super) fn in_place(&self, dot: Dot, multiple: i64) -> Option<i64> {
        let plain = dot == Dot::Bytes && !self.signed && self.plan.gathered.is_none();
        self.plan.left_rows.filter(|_| plain && self.plan.k % multiple == 0)
    }

    /// Packs rows `m0..m1`, each `step` bytes after the one before.
    pub(super) fn pack(&self, dot: Dot, (m0, m1): (i64, i64), out: *mut u8, step: i64) {
        for m in m0..m1 {
            let to = out.wrapping_offset(((m - m0) * step) as isize);
            match dot {
                Dot::Bytes => self.row(
                    m,
                    Bytes {
                        to,
                        flip: if self.signed { 0x80 } else { 0 },
                        fill: self.unsigned_zero() as u8,
                    },
                ),
                Dot::Words => self
                    .row(m, Words { to: to.cast(), signed: self.signed, zero: self.zero as i16 }),
            }
        }
    }

    fn row(&self, m: i64, mut to: impl Sink) {
        let plan = self.plan;
        let at = |offset: i64| self.from.wrapping_offset(offset as isize);
        if let Some(g) = &plan.gathered {
            let first = (m * g.taps) as usize;
            for &entry in self.table.get(first..first + g.taps as usize).unwrap_or(&[]) {
                match entry {
                    ZEROS => to.fill(g.run as usize),
                    // SAFETY: the table is within the operand.
                    entry => unsafe { to.copy(at(i64::from(entry)), g.run as usize) },
                }
            }
        } else if let Some(step) = plan.left_rows {
            // SAFETY: rows are within the operand.
            unsafe { to.copy(at(m * step), plan.k as usize) };
        } else if let Some((rows, inner)) = self.places {
            let row = rows.get(m as usize).copied().unwrap_or(0);
            for offset in inner {
                // SAFETY: elements are within the operand.
                unsafe { to.copy(at(row + offset), 1) };
            }
        }
    }
}

/// Where a row goes, from its begin on.
trait Sink {
    /// Adds bytes.
    ///
    /// # Safety
    /// There are so many at `from`, and there is room for them.
    unsafe fn copy(&mut self, from: *const u8, count: usize);
    /// Adds so many zero points.
    fn fill(&mut self, count: usize);
}

struct Bytes {
    to: *mut u8,
    flip: u8,
    fill: u8,
}

impl Sink for Bytes {
    unsafe fn copy(&mut self, from: *const u8, count: usize) {
        // SAFETY: the caller's promise; what is packed is not what is read.
        unsafe {
            if self.flip == 0 {
                std::ptr::copy_nonoverlapping(from, self.to, count);
            } else {
                for i in 0..count {
                    *self.to.add(i) = *from.add(i) ^ self.flip;
                }
            }
            self.to = self.to.add(count);
        }
    }

    fn fill(&mut self, count: usize) {
        // SAFETY: there is room for a row.
        unsafe {
            std::ptr::write_bytes(self.to, self.fill, count);
            self.to = self.to.add(count);
        }
    }
}

struct Words {
    to: *mut i16,
    signed: bool,
    zero: i16,
}

impl Sink for Words {
    unsafe fn copy(&mut self, from: *const u8, count: usize) {
        // SAFETY: as above.
        unsafe {
            if self.signed {
                for i in 0..count {
                    *self.to.add(i) = i16::from(*from.add(i) as i8) - self.zero;
                }
            } else {
                for i in 0..count {
                    *self.to.add(i) = i16::from(*from.add(i)) - self.zero;
                }
            }
            self.to = self.to.add(count);
        }
    }

    fn fill(&mut self, count: usize) {
        // SAFETY: there is room for a row.
        unsafe {
            std::ptr::write_bytes(self.to, 0, count);
            self.to = self.to.add(count);
        }
    }
}

/// The sum of the bytes of a row, packed or unsigned.
///
/// # Safety
/// There are so many bytes.
pub(super) unsafe fn row_sum(row: *const u8, k: i64) -> i32 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(row, k as usize) };
    // Sums of 64 KiB of bytes fit.
    bytes.chunks(1 << 16).fold(0i32, |sum, part| {
        let part: u32 = part.iter().map(|&x| u32::from(x)).sum();
        sum.wrapping_add(part as i32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_points_go_where_they_fit() {
        assert_eq!(less(Dot::Bytes, false, 128, (0, 255)), (128, 0));
        assert_eq!(less(Dot::Bytes, false, 120, (0, 255)), (128, -8));
        assert_eq!(less(Dot::Bytes, false, 120, (5, 240)), (120, 0));
        assert_eq!(less(Dot::Bytes, true, 3, (-128, 127)), (0, 3));
        assert_eq!(less(Dot::Bytes, true, 0, (-128, 127)), (0, 0));
        assert_eq!(less(Dot::Words, false, 7, (0, 255)), (7, 0));
    }

    #[test]
    fn sums_of_rows() {
        let row = vec![255u8; 200_000];
        // SAFETY: so long it is.
        assert_eq!(unsafe { row_sum(row.as_ptr(), 200_000) }, 51_000_000);
    }
}
