//! What the operators of a graph are called, and what their names say.

use crate::import::rules::find_functional;

/// Whether an operator gives the mean and the deviation that it found beside its result.
pub(super) fn saves_statistics(target: &str) -> bool {
    let name = target.split('.').nth(3).unwrap_or("");
    name.contains("batch_norm") || matches!(name, "native_layer_norm" | "native_group_norm")
}

/// Operators that state what ranges and types say already.
pub(super) fn is_assertion(target: &str) -> bool {
    let name = target.split('.').nth(1).unwrap_or("");
    matches!(
        name,
        "_assert_scalar"
            | "_assert_async"
            | "_assert_tensor_metadata"
            | "sym_constrain_range"
            | "sym_constrain_range_for_size"
            | "_functional_assert_async"
    )
}

/// `aten.add.Tensor` as `aten::add` and `Tensor`.
pub(super) fn operator(target: &str) -> Option<(String, &str)> {
    let (namespace, rest) = target.split_once('.')?;
    let (name, overload) = rest.rsplit_once('.')?;
    Some((format!("{namespace}::{name}"), if overload == "default" { "" } else { overload }))
}

/// Whether an operator can be read at all.
pub(super) fn has_rule(target: &str) -> bool {
    let Some(target) = target.strip_prefix("torch.ops.") else { return true };
    let Some((name, overload)) = operator(target) else { return true };
    name.starts_with("higher_order") || find_functional(&name, overload).is_some()
}

/// An operator as users know it.
pub(super) fn shown(target: &str) -> String {
    let target = target.strip_prefix("torch.ops.").unwrap_or(target);
    target.strip_suffix(".default").unwrap_or(target).to_owned()
}
