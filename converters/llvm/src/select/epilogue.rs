//! The epilogue of a product as code for a micro-kernel.

use airconv_kernel::analysis::free;
use airconv_kernel::ir::{Expr, ExprId, UnOp};

use super::find::Product;
use crate::emit::Function;
use crate::kernel::{Around, emit_value};
use crate::micro::{Epilogue, Place};
use crate::target::Isa;

/// The most expressions of an epilogue that is repeated for each register of a tile.
const SHORT: usize = 10;

/// Whether the epilogue of a product has more expressions than one that is repeated.
pub(super) fn is_long(product: &Product) -> bool {
    product.epilogue.exprs.len() > SHORT
}

/// The epilogue of a product. Its argument is the [`crate::kernel::Context`] of the kernel,
/// followed by the values of the batch counters.
pub(super) struct OfKernel<'p> {
    product: &'p Product,
    value: ExprId,
    isa: Isa,
}

impl<'p> OfKernel<'p> {
    /// The epilogue, if it has an emitted form.
    pub(super) fn new(product: &'p Product, isa: Isa) -> Option<OfKernel<'p>> {
        let value = product.value()?;
        let made = OfKernel { product, value, isa };
        // Once for trial: the trait has no errors.
        let mut f = Function::new("define void @trial()");
        let place = Place {
            value: "%x",
            row: "%row",
            column: "%column",
            mask: Some("%mask"),
            vector: crate::emit::FloatVector::of(isa),
            args: "%args",
        };
        made.emitted(&mut f, &place).ok()?;
        Some(made)
    }

    fn emitted(&self, f: &mut Function, at: &Place<'_>) -> Result<String, crate::kernel::Refused> {
        let p = self.product;
        let mut counters = Vec::new();
        for (i, axis) in p.batch.iter().enumerate() {
            counters.push((axis.var, Err(i)));
        }
        if let Some(row) = p.row {
            counters.push((row, Ok(at.row)));
        }
        counters.push((p.column, Ok(at.column)));
        let around = Around {
            context: at.args,
            counters: &counters,
            lanes: p.column,
            mask: at.mask,
            sum: (p.sum, at.value),
        };
        emit_value(&p.epilogue, self.value, self.isa, f, &around)
    }
}

impl Epilogue for OfKernel<'_> {
    fn is_short(&self) -> bool {
        let k = &self.product.epilogue;
        let slow = k.exprs.iter().any(|e| match e {
            Expr::Unary(op, _) => {
                !matches!(op, UnOp::Neg | UnOp::Abs | UnOp::Sqrt | UnOp::Not | UnOp::IsNan)
            }
            _ => false,
        });
        !slow && k.exprs.len() <= SHORT && free(k).iter().all(|f| !f.checks)
    }

    fn is_identity(&self) -> bool {
        matches!(self.product.epilogue.expr(self.value), Expr::Local(l) if *l == self.product.sum)
    }

    fn emit(&self, f: &mut Function, at: &Place<'_>) -> String {
        // It was tried when this was made.
        self.emitted(f, at).unwrap_or_else(|_| at.value.to_owned())
    }
}
