//! Outputs that may share memory with what a program changes.
//!
//! PyTorch writes new contents of state and inputs in place, at the end. What is given besides
//! and is the same memory would change with it.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{Arg, Call, Input, Metadata, Output, Program, Returned, Target, Var, VarInfo};
use crate::common::schema::schemas;

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

/// Copies the outputs that may be the memory of what the program changes.
pub(super) fn keep_apart(program: &mut Program) {
    let Some(schema) = schemas().find("aten::clone", "") else { return };
    let mut copies = BTreeMap::new();
    for var in shared_outputs(program) {
        let Some(VarInfo { kind, name }) = program.var(var).cloned() else { continue };
        let name = new_name(program, &format!("{name}_kept"));
        let copy = Var(program.vars.len() as u32);
        program.vars.push(VarInfo { kind, name: name.clone() });
        program.graph.calls.push(Call {
            target: Target::Operator(schema),
            args: vec![var.into()],
            results: vec![Returned::One(copy)],
            name,
            metadata: Metadata::default(),
        });
        copies.insert(var, copy);
    }
    for arg in &mut program.graph.outputs {
        if let Arg::Tensor(var) = arg
            && let Some(copy) = copies.get(var)
        {
            *var = *copy;
        }
    }
}

/// A name that no value and no call has.
fn new_name(program: &Program, like: &str) -> String {
    let taken = |name: &str| {
        program.vars.iter().any(|v| v.name == name)
            || program.graph.calls.iter().any(|c| c.name == name)
    };
    let numbered = (1..).map(|i| format!("{like}_{i}"));
    let mut names = std::iter::once(like.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// The outputs of a program that may be the memory of what it changes, in order.
fn shared_outputs(program: &Program) -> Vec<Var> {
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
