//! Which values of a program may share memory with what it changes.

use std::collections::BTreeSet;

use crate::export::program::{Arg, Call, Input, Output, Program, Returned, Target, Var};

/// Operators that may give their operand or a view of it although their schema does not say so.
const SILENT_VIEWS: &[&str] = &[
    "aten::alpha_dropout",
    "aten::atleast_1d",
    "aten::atleast_2d",
    "aten::atleast_3d",
    "aten::broadcast_tensors",
    "aten::channel_shuffle",
    "aten::dropout",
    "aten::einsum",
    "aten::feature_alpha_dropout",
    "aten::feature_dropout",
    "aten::meshgrid",
    "aten::pixel_shuffle",
    "aten::pixel_unshuffle",
    "aten::type_as",
];

/// The outputs of a program that may be the memory of what it changes, in order.
pub(super) fn shared_outputs(program: &Program) -> Vec<Var> {
    let mut shared: BTreeSet<Var> =
        program.outputs.iter().filter_map(|output| changed(program, output)).collect();
    if shared.is_empty() {
        return Vec::new();
    }
    for call in &program.graph.calls {
        if may_view(call) && call.args.iter().any(|arg| uses(arg, &shared)) {
            for result in &call.results {
                match result {
                    Returned::One(var) => drop(shared.insert(*var)),
                    Returned::Many(vars) => shared.extend(vars),
                }
            }
        }
    }
    let mut outputs = Vec::new();
    for arg in &program.graph.outputs {
        if let Arg::Tensor(var) = arg
            && shared.contains(var)
            && !outputs.contains(var)
        {
            outputs.push(*var);
        }
    }
    outputs
}

/// The input that an output gives new contents.
fn changed(program: &Program, output: &Output) -> Option<Var> {
    let at = match output {
        Output::User => return None,
        Output::InputMutation(at) => *at,
        Output::Mutation(name) => program
            .inputs
            .iter()
            .position(|input| matches!(input, Input::Stored(stored) if stored.name == *name))?,
    };
    program.graph.inputs.get(at).copied()
}

fn may_view(call: &Call) -> bool {
    match &call.target {
        Target::Operator(schema) => {
            schema.returns.iter().any(|r| !r.alias.is_empty())
                || SILENT_VIEWS.contains(&schema.name.as_str())
        }
        Target::Cond(..) | Target::While(..) => true,
        Target::Size | Target::Item | Target::Arithmetic(_) => false,
    }
}

fn uses(arg: &Arg, shared: &BTreeSet<Var>) -> bool {
    match arg {
        Arg::Tensor(var) => shared.contains(var),
        Arg::List(items) => items.iter().any(|item| uses(item, shared)),
        _ => false,
    }
}
