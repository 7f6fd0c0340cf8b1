//! The helper functions that a generated crate can need, as text.

/// A helper function: its name, which is that of its file, and the text of the file.
pub(crate) struct Helper {
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! helpers {
    ($($name:literal)*) => {
        &[$(Helper { name: $name, text: include_str!(concat!("../helpers/", $name, ".rs")) }),*]
    };
}

/// All helpers by name.
pub(crate) const HELPERS: &[Helper] = helpers! {
    "arg_last"
    "attention"
    "causal_mask"
    "conv_nd"
    "conv_transpose1d"
    "cumsum"
    "gather_nd"
    "gru"
    "hard_swish"
    "int_div"
    "ints"
    "is_true"
    "layer_norm"
    "lookup"
    "low_bits"
    "lstm"
    "map"
    "non_max_suppression"
    "nonzero"
    "pad_reflect"
    "pad_with"
    "pad_with_tensor"
    "pad_wrap"
    "pow"
    "prod_keepdim"
    "project"
    "range"
    "rem"
    "rms_norm"
    "rnn"
    "round_float"
    "round_ties_even"
    "round_to_power"
    "scan"
    "scatter_nd"
    "scatter_nd_with"
    "select"
    "sign"
    "sizes"
    "slice"
    "sort_keys"
    "take"
    "top_k"
    "tree_votes"
    "unique"
    "windows"
    "wrap_indices"
    "zip_ints"
};

/// Adds the helpers that these helpers use themselves.
pub(crate) fn with_dependencies(used: &mut std::collections::BTreeSet<&'static str>) {
    let mut todo: Vec<&'static str> = used.iter().copied().collect();
    while let Some(name) = todo.pop() {
        let Some(helper) = HELPERS.iter().find(|h| h.name == name) else { continue };
        for other in HELPERS {
            let uses = format!("use super::{};", other.name);
            if helper.text.contains(&uses) && used.insert(other.name) {
                todo.push(other.name);
            }
        }
    }
}
