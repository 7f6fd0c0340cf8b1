//! A product at certain sizes.

use airconv_ir::dim::Dim;
use airconv_kernel::ir::{Kernel, VarDef};

use super::find::{Axis, Product};
use super::gather::Lie;
use super::gathered::Gathered;
use crate::micro::Tile;

/// A batch axis: how often, and the steps in the operands and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How often.
    pub extent: i64,
    /// Step in the left operand.
    pub left: i64,
    /// Step in the right operand.
    pub right: i64,
    /// Step in the result.
    pub out: i64,
}

/// How the elements of an operand lie: how often and how far each axis goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Where it begins.
    pub base: i64,
    /// Rows of the left operand, columns of the right one.
    pub outer: Vec<(i64, i64)>,
    /// What is summed over.
    pub inner: Vec<(i64, i64)>,
    /// The batch axes on which it depends.
    pub batch: Vec<(i64, i64)>,
}

/// A product with numbers for its sizes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rows.
    pub m: i64,
    /// Columns.
    pub n: i64,
    /// Length of the sums.
    pub k: i64,
    /// The batch axes.
    pub batch: Vec<Batch>,
    /// How many products.
    pub batches: i64,
    /// Where the left operand is.
    pub left: Layout,
    /// From row to row of the left operand, where its rows are evenly apart and their elements
    /// together.
    pub left_rows: Option<i64>,
    /// Where the right operand is.
    pub right: Layout,
    /// From row to row and from column to column of the right operand, where they are evenly
    /// apart.
    pub right_steps: Option<(i64, i64)>,
    /// The right operand's tables, where there is more than one axis of rows or columns.
    pub tables: Option<Tables>,
    /// The left operand's runs, where it is read in runs.
    pub gathered: Option<Gathered>,
    /// First element of the result.
    pub out: i64,
    /// From row to row of the result.
    pub out_rows: i64,
}

/// See [`super::gather::GatherCall`].
#[derive(Clone, Debug)]
pub struct Tables {
    /// Offset of every row.
    pub rows: Vec<i64>,
    /// Offset of every column.
    pub columns: Vec<i32>,
    /// How each vector of columns lies.
    pub lies: Vec<i32>,
}

/// The step of the axes taken as one, when they walk evenly.
fn even(axes: &[(i64, i64)]) -> Option<i64> {
    let mut found: Option<(i64, i64)> = None;
    for &(extent, step) in axes.iter().rev() {
        if extent == 1 {
            continue;
        }
        match &mut found {
            None => found = Some((extent, step)),
            Some((inner, first)) => {
                if step != *inner * *first {
                    return None;
                }
                *inner *= extent;
            }
        }
    }
    Some(found.map_or(1, |(_, step)| step))
}

/// The offsets of all combinations of axes, the first axis outermost.
pub(super) fn offsets(axes: &[(i64, i64)]) -> Vec<i64> {
    let mut out = vec![0i64];
    for &(extent, step) in axes {
        out = out.iter().flat_map(|&o| (0..extent.max(0)).map(move |i| o + i * step)).collect();
    }
    out
}

impl Plan {
    /// The plan of a product, for a tile; `None` when a size is not known or an offset is too
    /// large.
    pub fn new(kernel: &Kernel, product: &Product, tile: Tile, sizes: &[i64]) -> Option<Plan> {
        let value = |d: &Dim| {
            d.eval(&|s| match kernel.vars.get(s.0 as usize) {
                Some(VarDef::Size(i)) => sizes.get(*i as usize).copied(),
                _ => None,
            })
        };
        let list = |axes: &[Axis], step: fn(&Axis) -> &Dim| -> Option<Vec<(i64, i64)>> {
            axes.iter().map(|a| Some((value(&a.extent)?.max(0), value(step(a))?))).collect()
        };
        let count = |axes: &[(i64, i64)]| axes.iter().map(|(n, _)| n).product::<i64>();
        let zero = Dim::Known(0);
        let depends = |step: fn(&Axis) -> &Dim| -> Vec<Axis> {
            product.batch.iter().filter(|a| *step(a) != zero).cloned().collect()
        };
        let left = Layout {
            base: value(&product.left.base)?,
            outer: list(&product.rows, |a| &a.left)?,
            inner: list(&product.sums, |a| &a.left)?,
            batch: list(&depends(|a| &a.left), |a| &a.left)?,
        };
        let right = Layout {
            base: value(&product.right.base)?,
            outer: list(&product.columns, |a| &a.right)?,
            inner: list(&product.sums, |a| &a.right)?,
            batch: list(&depends(|a| &a.right), |a| &a.right)?,
        };
        let mut batch = Vec::with_capacity(product.batch.len());
        for a in &product.batch {
            batch.push(Batch {
                extent: value(&a.extent)?.max(0),
                left: value(&a.left)?,
                right: value(&a.right)?,
                out: value(&a.out)?,
            });
        }
        let (m, n, k) = (count(&left.outer), count(&right.outer), count(&right.inner));
        let out_rows = match product.rows.last() {
            Some(row) => value(&row.out)?,
            None => n,
        };
        let together = even(&left.inner).is_some_and(|step| step == 1);
        let left_rows = even(&left.outer).filter(|_| together);
        let gathered = match left_rows {
            Some(_) if product.guards.is_empty() && !product.window => None,
            _ => Gathered::new(product, &left, n, &value),
        };
        let right_steps = even(&right.inner).zip(even(&right.outer));
        let mut plan = Plan {
            m,
            n,
            k,
            batches: batch.iter().map(|b| b.extent).product(),
            batch,
            left,
            left_rows,
            right,
            right_steps,
            tables: None,
            gathered,
            out: value(&product.out.base)?,
            out_rows,
        };
        if plan.right_steps.is_none() {
            plan.tables = Some(Tables::new(&plan.right, tile)?);
        }
        Some(plan)
    }

    /// Operations of all products.
    pub fn operations(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64 * self.batches as f64
    }
}

impl Tables {
    fn new(right: &Layout, tile: Tile) -> Option<Tables> {
        let columns = offsets(&right.outer);
        let mut columns =
            columns.into_iter().map(|o| i32::try_from(o).ok()).collect::<Option<Vec<i32>>>()?;
        if let Some(&last) = columns.last() {
            let whole = columns.len().next_multiple_of(tile.columns());
            columns.resize(whole, last);
        }
        let lies = columns.chunks_exact(tile.lanes).map(|c| Lie::of(c).code()).collect();
        Some(Tables { rows: offsets(&right.inner), columns, lies })
    }
}
