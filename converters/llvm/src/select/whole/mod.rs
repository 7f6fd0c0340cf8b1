//! Products of bytes less their zero points, found by what they compute and done exactly in
//! `i32` ([`crate::micro::whole`]).

mod export;
mod pack;
mod run;

use airconv_ir::dim::Dim;
use airconv_kernel::ir::{BinOp, Elem, Expr, ExprId, Kernel, Scalar, Var};

use super::find::{Axis, linear};

use crate::micro::whole::WholeTile;
use crate::target::Isa;

pub use run::{Compiled, Selected};

/// Whether there are products of bytes at a level.
pub fn has_bytes(isa: Isa) -> bool {
    !WholeTile::table(isa).is_empty()
}

/// What is taken away from an operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Zero {
    /// A number.
    Number(i32),
    /// An element of a parameter.
    Element {
        /// The parameter.
        param: u32,
        /// The element where all counters are zero.
        base: Dim,
        /// The step for each axis of columns.
        columns: Vec<Dim>,
    },
}

/// What is taken away from the operands of a product of bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// From the left one; the same everywhere.
    pub left: Zero,
    /// From the right one; by columns.
    pub right: Zero,
}

impl Whole {
    /// The zero points of the left and the right operand, if they are of such a form.
    pub(super) fn new(
        kernel: &Kernel,
        (left, right): (Option<ExprId>, Option<ExprId>),
        counters: &[Var],
        columns: &[Axis],
    ) -> Option<Whole> {
        let whole = Whole {
            left: zero(kernel, left, counters, columns)?,
            right: zero(kernel, right, counters, columns)?,
        };
        let everywhere = match &whole.left {
            Zero::Number(_) => true,
            Zero::Element { columns, .. } => columns.iter().all(|d| d.as_known() == Some(0)),
        };
        everywhere.then_some(whole)
    }
}

/// An operand: the parameter, the element, where it is read and not zero, and what is taken away.
pub(super) type Operand<'k> = (u32, &'k Dim, Option<ExprId>, Option<ExprId>);

/// An operand of bytes.
pub(super) fn byte_operand(kernel: &Kernel, id: ExprId) -> Option<Operand<'_>> {
    match kernel.expr(id) {
        Expr::Guard(holds, x, other) => {
            let zero = matches!(kernel.expr(*other), Expr::Const(c) if c.bits == 0);
            let (param, at, inner, less) = byte_operand(kernel, *x)?;
            (zero && inner.is_none()).then_some((param, at, Some(*holds), less))
        }
        Expr::Binary(BinOp::Sub, x, less) => {
            let (param, at) = byte(kernel, *x)?;
            Some((param, at, None, Some(*less)))
        }
        _ => byte(kernel, id).map(|(param, at)| (param, at, None, None)),
    }
}

/// A byte that is loaded and widened.
fn byte(kernel: &Kernel, id: ExprId) -> Option<(u32, &Dim)> {
    let Expr::Cast(Scalar::I32, x) = kernel.expr(id) else { return None };
    let Expr::Load { param, at } = kernel.expr(*x) else { return None };
    matches!(kernel.params[*param as usize].elem, Elem::I8 | Elem::U8).then_some((*param, at))
}

/// A zero point.
fn zero(kernel: &Kernel, id: Option<ExprId>, counters: &[Var], columns: &[Axis]) -> Option<Zero> {
    let Some(mut id) = id else { return Some(Zero::Number(0)) };
    while let Expr::Cast(to, x) = kernel.expr(id) {
        if *to != Scalar::I32 || !matches!(kernel.ty(*x), Scalar::I8 | Scalar::U8) {
            return None;
        }
        id = *x;
    }
    match kernel.expr(id) {
        Expr::Const(c) => {
            let x = i32::try_from(c.as_int()?).ok()?;
            (-128..=255).contains(&x).then_some(Zero::Number(x))
        }
        Expr::Load { param, at } => {
            let elem = kernel.params[*param as usize].elem;
            if !matches!(elem, Elem::I8 | Elem::U8) {
                return None;
            }
            let (base, steps) = linear(kernel, at, counters)?;
            let step = |v: Var| counters.iter().position(|&c| c == v).map(|i| steps[i].clone());
            let fine = counters
                .iter()
                .zip(&steps)
                .all(|(&v, step)| step.as_known() == Some(0) || columns.iter().any(|a| a.var == v));
            let columns = columns.iter().map(|a| step(a.var)).collect::<Option<Vec<Dim>>>()?;
            fine.then_some(Zero::Element { param: *param, base, columns })
        }
        _ => None,
    }
}
