//! A product of bytes as the driver of an artefact has to know it.

use airconv_kernel::c::native::BytesCode;
use airconv_kernel::ir::Elem;

use super::Selected;
use super::run::{BLOCK, plain};
use crate::micro::whole::Dot;
use crate::select::plan::Plan;

impl Selected {
    /// Its code for the driver, without tiles.
    pub(crate) fn code(&self) -> BytesCode {
        let elem = |param: u32| self.kernel.params[param as usize].elem;
        let p = &self.product;
        let tile = self.form.tile;
        BytesCode {
            sums: self.multiply.clone(),
            finish: self.finish.clone(),
            rows: tile.rows,
            width: tile.columns(),
            words: tile.dot == Dot::Words,
            signed: [&p.left, &p.right].map(|at| elem(at.param) == Elem::I8),
            size: elem(p.out.param).bytes(),
            block: BLOCK,
        }
    }

    /// Whether it can be done so at these sizes.
    pub(crate) fn is_ready(&self, sizes: &[i64]) -> bool {
        let plan = Plan::new(&self.kernel, &self.product, plain(self.form.tile), sizes);
        let even = |p: &Plan| p.left_rows.is_some() && self.product.guards.is_empty();
        plan.is_some_and(|p| p.k > 0 && (even(&p) || p.gathered.is_some()))
    }
}
