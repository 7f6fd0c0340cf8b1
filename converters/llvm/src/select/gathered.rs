//! Where the left operand of a product lies that is read in runs ([`crate::micro::GatheredCall`]).

use airconv_ir::dim::Dim;

use super::find::{Guard, Product};
use super::plan::{Layout, offsets};
use crate::micro::{AT_ONCE, ZEROS};

/// The shortest run that is worth a table.
const SHORT: i64 = 4;
/// The most entries of a table.
const MOST: i64 = 1 << 27;

/// The runs of a left operand.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// Floats of a run.
    pub run: i64,
    /// Runs of a row.
    pub taps: i64,
    /// For each combination of the batch axes that decide what is padding, for each row and tap;
    /// then [`AT_ONCE`] that are none.
    pub table: Vec<i32>,
    /// Those batch axes.
    pub batch: Vec<usize>,
    /// A run of zeros.
    pub zeros: Vec<f32>,
}

/// A guard with numbers: holds where the sum of what is said for the batch, the row and the tap
/// is not negative.
struct Form {
    batch: Vec<i64>,
    rows: Vec<i64>,
    taps: Vec<i64>,
}

fn step(guard: &Guard, axis: &super::Axis, value: &dyn Fn(&Dim) -> Option<i64>) -> Option<i64> {
    let found = guard.steps.iter().find(|(v, _)| *v == axis.var);
    found.map_or(Some(0), |(_, step)| value(step))
}

impl Gathered {
    /// The runs of a product, whose left operand lies so; `None` where they are short, or padding
    /// differs within a run.
    pub fn new(
        product: &Product,
        left: &Layout,
        columns: i64,
        value: &dyn Fn(&Dim) -> Option<i64>,
    ) -> Option<Gathered> {
        let list = |guard: &Guard, axes: &[super::Axis]| -> Option<Vec<(i64, i64)>> {
            axes.iter().map(|a| Some((value(&a.extent)?.max(0), step(guard, a, value)?))).collect()
        };
        let sums = &product.sums;
        let (mut run, mut count) = (1, sums.len());
        if product.window {
            run = columns;
        } else {
            while count > 0 {
                let (extent, along) = left.inner[count - 1];
                let axis = &sums[count - 1];
                let guarded =
                    product.guards.iter().any(|g| g.steps.iter().any(|(v, _)| *v == axis.var));
                if guarded || (extent != 1 && along != run) {
                    break;
                }
                (run, count) = (run * extent, count - 1);
            }
            // Runs of bytes are copied, so that short ones do.
            if run < SHORT && product.whole.is_none() {
                return None;
            }
        }
        let mut batch: Vec<usize> = Vec::new();
        for guard in &product.guards {
            let steps =
                |axes: &[super::Axis]| list(guard, axes).map(|l| l.iter().any(|x| x.1 != 0));
            if steps(&product.columns)? {
                return None;
            }
            for (i, axis) in product.batch.iter().enumerate() {
                if step(guard, axis, value)? != 0 && !batch.contains(&i) {
                    batch.push(i);
                }
            }
        }
        batch.sort_unstable();
        let decided: Vec<super::Axis> = batch.iter().map(|&i| product.batch[i].clone()).collect();
        let mut forms = Vec::new();
        for guard in &product.guards {
            let base = value(&guard.base)?;
            let mut over = offsets(&list(guard, &decided)?);
            over.iter_mut().for_each(|x| *x += base);
            forms.push(Form {
                batch: over,
                rows: offsets(&list(guard, &product.rows)?),
                taps: offsets(&list(guard, &sums[..count])?),
            });
        }
        let (rows, taps) = (offsets(&left.outer), offsets(&left.inner[..count]));
        let mut extents = decided.iter().map(|a| value(&a.extent));
        let kinds = extents.try_fold(1i64, |n, e| n.checked_mul(e?.max(0)))?;
        let entries = (rows.len() as i64).checked_mul(taps.len() as i64)?.checked_mul(kinds)?;
        if entries > MOST {
            return None;
        }
        let mut table = Vec::with_capacity(entries as usize + AT_ONCE);
        for kind in 0..kinds as usize {
            for (r, row) in rows.iter().enumerate() {
                for (t, tap) in taps.iter().enumerate() {
                    let inside = |f: &Form| f.batch[kind] + f.rows[r] + f.taps[t] >= 0;
                    table.push(match forms.iter().all(inside) {
                        true => i32::try_from(row + tap).ok().filter(|&x| x != ZEROS)?,
                        false => ZEROS,
                    });
                }
            }
        }
        table.extend([ZEROS; AT_ONCE]);
        let zeros = vec![0.0; usize::try_from(run).ok()?];
        Some(Gathered { run, taps: taps.len() as i64, table, batch, zeros })
    }

    /// The table for a combination of the batch axes, given the extents and counters of all.
    pub fn at(
        &self,
        rows: i64,
        extent: impl Fn(usize) -> i64,
        counter: impl Fn(usize) -> i64,
    ) -> &[i32] {
        let kind = self.batch.iter().fold(0, |n, &i| n * extent(i) + counter(i));
        let first = kind * rows * self.taps;
        self.table.get(first as usize..).unwrap_or(&[])
    }

    /// Floats between the first and the last tap of a row in the middle.
    pub fn reach(&self, rows: i64) -> i64 {
        let first = (rows / 2 * self.taps) as usize;
        let row = self.table.get(first..first + self.taps as usize).unwrap_or(&[]);
        let inside = || row.iter().filter(|&&x| x != ZEROS);
        match (inside().min(), inside().max()) {
            (Some(&low), Some(&high)) => i64::from(high) - i64::from(low),
            _ => 0,
        }
    }
}
