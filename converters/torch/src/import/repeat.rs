//! Loops that rules write.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::Loop;
use airconv_ir::types::Type;

use super::call::{CallCx, Stop};

/// The number of an iteration and, once the body has been made, all values that go through it.
pub(super) struct Turn<'v> {
    /// How many iterations came before, i64 of rank 0.
    pub number: ValueId,
    /// What the iteration before left.
    pub state: &'v [ValueId],
    /// What stays the same.
    pub fixed: &'v [ValueId],
}

/// What an iteration leaves.
pub(super) struct Next {
    /// Whether another one follows, a truth value of rank 0; `None` for as long as the count lasts.
    pub again: Option<ValueId>,
    /// The state, of the same types as before.
    pub state: Vec<ValueId>,
}

/// Repeats a step `count` times, or for as long as it says, or the less of both; gives the last
/// state. Without a count there is at least one iteration.
pub(super) fn repeated(
    cx: &mut CallCx<'_>,
    count: Option<ValueId>,
    state: &[ValueId],
    fixed: &[ValueId],
    step: impl FnOnce(&mut CallCx<'_>, Turn<'_>) -> Result<Next, Stop>,
) -> Result<Vec<ValueId>, Stop> {
    let all = [state, fixed].concat();
    let mut types = vec![Type::tensor(DType::I64, []), Type::tensor(DType::Bool, [])];
    types.extend(all.iter().map(|&v| cx.imp.function().ty(v).clone()));
    let (body, params) = cx.b().new_region(&types);
    let [number, given, values @ ..] = params.as_slice() else {
        return cx.invalid("a loop without parameters");
    };
    let (own, shared) = values.split_at(state.len());
    let outer = std::mem::replace(&mut cx.imp.region, body);
    let next = step(cx, Turn { number: *number, state: own, fixed: shared });
    cx.imp.region = outer;
    let next = next?;
    let mut results = vec![next.again.unwrap_or(*given)];
    results.extend(next.state);
    cx.b().set_results(body, &results);
    let mut inputs = vec![count, None];
    inputs.extend(all.into_iter().map(Some));
    cx.emit_all(Loop { body, carried: state.len() as i64 }, &inputs)
}
