//! Which names of a graph are used.

use rustc_hash::FxHashSet;

use super::records::{
    Argument, Graph, Node, OptionalTensorArgument, SymBoolArgument, SymFloatArgument,
    SymIntArgument,
};
use super::target::is_assertion;

/// Adds the names that nodes and outputs of a graph use, its sub-graphs apart. Assertions state
/// what is known, so that what only they use counts as not used.
pub(super) fn of_graph<'p>(graph: &'p Graph, names: &mut FxHashSet<&'p str>) {
    let counts = |node: &&Node| match node.target.strip_prefix("torch.ops.") {
        Some(target) => !is_assertion(target),
        None => true,
    };
    for node in graph.nodes.iter().filter(counts) {
        node.inputs.iter().for_each(|input| of_argument(&input.arg, names));
    }
    graph.outputs.iter().for_each(|output| of_argument(output, names));
}

fn of_argument<'p>(arg: &'p Argument, names: &mut FxHashSet<&'p str>) {
    let int = |s: &'p SymIntArgument| match s {
        SymIntArgument::AsName(name) => Some(name.as_str()),
        SymIntArgument::AsInt(_) => None,
    };
    let float = |s: &'p SymFloatArgument| match s {
        SymFloatArgument::AsName(name) => Some(name.as_str()),
        SymFloatArgument::AsFloat(_) => None,
    };
    let bool = |s: &'p SymBoolArgument| match s {
        SymBoolArgument::AsName(name) => Some(name.as_str()),
        SymBoolArgument::AsBool(_) => None,
    };
    let optional = |t: &'p OptionalTensorArgument| match t {
        OptionalTensorArgument::AsTensor(t) => Some(t.name.as_str()),
        OptionalTensorArgument::AsNone(_) => None,
    };
    match arg {
        Argument::AsTensor(t) => names.extend([t.name.as_str()]),
        Argument::AsTensors(list) => names.extend(list.iter().map(|t| t.name.as_str())),
        Argument::AsNestedTensors(lists) => {
            names.extend(lists.iter().flatten().map(|t| t.name.as_str()));
        }
        Argument::AsOptionalTensor(t) => names.extend(optional(t)),
        Argument::AsOptionalTensors(list) => names.extend(list.iter().filter_map(optional)),
        Argument::AsSymInt(s) => names.extend(int(s)),
        Argument::AsSymInts(list) => names.extend(list.iter().filter_map(int)),
        Argument::AsSymFloat(s) => names.extend(float(s)),
        Argument::AsSymFloats(list) => names.extend(list.iter().filter_map(float)),
        Argument::AsSymBool(s) => names.extend(bool(s)),
        Argument::AsSymBools(list) => names.extend(list.iter().filter_map(bool)),
        Argument::AsStringToArgument(map) => {
            map.values().for_each(|value| of_argument(value, names));
        }
        _ => {}
    }
}
