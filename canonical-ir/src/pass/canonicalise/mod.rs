//! Brings nodes to one simple form without changing any result bit.
//!
//! 1. `identity`, and `clip` without bounds, go.
//! 2. `transpose`: the identity goes, two in a row become one.
//! 3. `reshape`, `squeeze`, `unsqueeze`, `flatten`: what gives the operand's type goes; two in a
//!    row become one, or none where they undo each other.
//! 4. `cast` to the same dtype goes; a cast of a cast that kept every value casts from the
//!    start; `cast_like` becomes `cast`.
//! 5. `broadcast` and `tile` that repeat nothing go; two broadcasts become one.
//! 6. `slice` of everything, `pad` by nothing, `reduce` over no axes and `split` into one part go.
//! 7. `concat` of one tensor goes, empty parts of a `concat` go; `variadic_*` of one tensor goes.
//! 8. Two negations, complements or bitwise complements in a row go.
//! 9. `x * 1`, `x / 1`, `x - 0`, `x + (-0.0)`, for integers `x + 0`, `x ** 1`, bits and bools
//!    combined with what changes nothing, and `select` by a constant go. `x + 0.0` stays: it
//!    turns -0.0 into 0.0.
//! 10. `auto_pad` becomes explicit padding where the sizes tell it.

use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::op::Op;

mod arith;
mod layout;
mod window;

/// The pass.
pub struct Canonicalise;

impl Pass for Canonicalise {
    fn name(&self) -> &'static str {
        "canonicalise"
    }
    fn doc(&self) -> &'static str {
        "removes nodes that change nothing and merges chains of like nodes"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    match site.op() {
        Op::Identity(_) => layout::same(site, cx, "an identity"),
        Op::Clip(_) => layout::unbounded_clip(site, cx),
        Op::Transpose(_) => layout::transpose(site, cx),
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Flatten(_) => {
            layout::reshape(site, cx)
        }
        Op::Cast(_) => layout::cast(site, cx),
        Op::CastLike(_) => layout::cast_like(site, cx),
        Op::Broadcast(_) => layout::broadcast(site, cx),
        Op::Tile(_) => layout::tile(site, cx),
        Op::Slice(_) => layout::slice(site, cx),
        Op::Pad(_) => layout::pad(site, cx),
        Op::Reduce(_) => layout::reduce(site, cx),
        Op::Split(_) => layout::split(site, cx),
        Op::Concat(_) => layout::concat(site, cx),
        Op::VariadicSum(_) | Op::VariadicMean(_) | Op::VariadicMax(_) | Op::VariadicMin(_) => {
            layout::variadic(site, cx)
        }
        Op::Neg(_) | Op::Not(_) | Op::BitNot(_) => arith::involution(site, cx),
        Op::Add(_)
        | Op::Sub(_)
        | Op::Mul(_)
        | Op::Div(_)
        | Op::Pow(_)
        | Op::And(_)
        | Op::Or(_)
        | Op::Xor(_)
        | Op::BitAnd(_)
        | Op::BitOr(_)
        | Op::BitXor(_)
        | Op::ShiftLeft(_)
        | Op::ShiftRight(_) => arith::neutral(site, cx),
        Op::Select(_) => arith::select(site, cx),
        Op::Conv(_) | Op::FusedConv(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::LpPool(_) => {
            window::explicit(site, cx)
        }
        _ => false,
    }
}
