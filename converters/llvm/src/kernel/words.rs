//! Vectors of floats as integers of 32 bits.
//!
//! On x86 the conversion that limits what does not fit is done lane by lane; the one that does not
//! is one instruction.

use airconv_kernel::ir::{BinOp, Const, Expr, ExprId, Kernel, Scalar};

use super::{Emitter, Value};

/// The number that an expression is, if it is a constant that an integer of 32 bits can hold.
fn bound(kernel: &Kernel, id: ExprId) -> bool {
    matches!(kernel.expr(id), Expr::Const(c) if c.as_f64().abs() < 2_147_483_648.0)
}

/// Whether a float is limited to what an integer of 32 bits can hold, and is no NaN.
fn is_limited(kernel: &Kernel, id: ExprId) -> bool {
    let with_bound = |id: ExprId, ops: &[BinOp]| match *kernel.expr(id) {
        Expr::Binary(op, x, y) if ops.contains(&op) => match (bound(kernel, x), bound(kernel, y)) {
            (_, true) => Some(x),
            (true, _) => Some(y),
            _ => None,
        },
        _ => None,
    };
    // The greater of a number and NaN is the number.
    let (below, above) = ([BinOp::Min, BinOp::MinNum], [BinOp::MaxNum]);
    [(&below[..], &above[..]), (&above[..], &below[..])]
        .into_iter()
        .any(|(outer, inner)| with_bound(id, outer).is_some_and(|x| with_bound(x, inner).is_some()))
}

impl Emitter<'_> {
    /// A vector of `f32` as `i32`: toward zero, limited, NaN gives 0.
    pub(super) fn words(&mut self, x: ExprId, v: &Value) -> Value {
        if is_limited(self.kernel, x) {
            return self.map(v, Scalar::F32, Scalar::I32, "fptosi");
        }
        let single = |x: f64| Value::uniform(super::expr::literal(Const::from_f64(Scalar::F32, x)));
        let (least, end) = (single(-2_147_483_648.0), single(2_147_483_648.0));
        let low = self.compare_as("fcmp ole", Scalar::F32, v, &least);
        let high = self.compare_as("fcmp uge", Scalar::F32, v, &end);
        let fits = self.select(Scalar::F32, &low, &least, v);
        // What is too great or NaN is not converted.
        let fits = self.select(Scalar::F32, &high, &single(0.0), &fits);
        let made = self.map(&fits, Scalar::F32, Scalar::I32, "fptosi");
        let too_great = self.compare_as("fcmp oge", Scalar::F32, v, &end);
        let most = self.whole(Scalar::I32, i32::MAX.into());
        self.select(Scalar::I32, &too_great, &most, &made)
    }
}
