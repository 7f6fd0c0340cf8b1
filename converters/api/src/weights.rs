//! Other numbers for a program.

use std::collections::{BTreeMap, BTreeSet};

use airconv_ir::entity::{FuncId, TensorId};
use airconv_ir::module::{InputRole, Module};
use airconv_ir::op::Op;
use airconv_ir::tensor::Tensor;

use crate::{Diagnostic, Failed, Report};

/// Gives a program the tensors of a file of weights: a module whose outputs are constants. A
/// named constant, parameter or state of the program takes the tensor of its name, whose type has
/// to be its own. Fails when a type differs or nothing has a name in common; names of the file
/// that the program does not have are a warning.
pub fn apply(module: &mut Module, weights: &Module, report: &mut Report) -> Result<(), Failed> {
    let given = named_outputs(weights);
    let mut used = BTreeSet::new();
    let mut next: BTreeMap<TensorId, (String, TensorId)> = BTreeMap::new();
    for (name, slot) in named_slots(module) {
        let Some(tensor) = given.get(&name) else { continue };
        used.insert(name.clone());
        let (old, new) = (module.tensors[slot.tensor].ty(), tensor.ty());
        if old != new {
            let message = format!("`{name}` is {old:?} in the program and {new:?} in the weights");
            report.push(Diagnostic::error("weights-type", message).at(name));
            continue;
        }
        // One tensor may serve several names; equal names get it once.
        let id = match next.get(&slot.tensor) {
            Some((same, id)) if *same == name => *id,
            _ => module.tensors.push((*tensor).clone()),
        };
        next.insert(slot.tensor, (name, id));
        slot.place.set(module, id);
    }
    if used.is_empty() {
        let help = "names are those that `airconv inspect` prints";
        let message = "the weights have no name in common with the program";
        report.push(Diagnostic::error("weights-names", message).help(help));
    }
    let left: Vec<&str> = given.keys().filter(|n| !used.contains(*n)).map(String::as_str).collect();
    if let Some(first) = left.first() {
        let message = format!("{} tensors have no place in the program, `{first}`", left.len());
        report.push(Diagnostic::warning("weights-unused", message));
    }
    if report.has_errors() { Err(Failed::Unsupported) } else { Ok(()) }
}

/// Where a program holds a tensor.
struct Slot {
    tensor: TensorId,
    place: Place,
}

enum Place {
    Constant(FuncId, airconv_ir::entity::NodeId),
    Input(FuncId, usize),
}

impl Place {
    fn set(&self, module: &mut Module, tensor: TensorId) {
        match *self {
            Self::Constant(func, node) => {
                if let Op::Constant(c) = &mut module.functions[func].nodes[node].op {
                    c.tensor = tensor;
                }
            }
            Self::Input(func, index) => {
                if let InputRole::Param(t) | InputRole::State(t) =
                    &mut module.functions[func].inputs[index].role
                {
                    *t = Some(tensor);
                }
            }
        }
    }
}

fn named_slots(module: &Module) -> Vec<(String, Slot)> {
    let mut out = Vec::new();
    for (func, f) in module.functions.iter() {
        for (index, input) in f.inputs.iter().enumerate() {
            if let InputRole::Param(Some(tensor)) | InputRole::State(Some(tensor)) = input.role {
                let place = Place::Input(func, index);
                out.push((input.name.clone(), Slot { tensor, place }));
            }
        }
        for (id, node) in f.nodes.iter() {
            let name = node.result(0).and_then(|v| f.values[v].name.as_deref());
            if let (Op::Constant(c), Some(name)) = (&node.op, name) {
                let slot = Slot { tensor: c.tensor, place: Place::Constant(func, id) };
                out.push((name.to_owned(), slot));
            }
        }
    }
    out
}

fn named_outputs(weights: &Module) -> BTreeMap<String, &Tensor> {
    let f = weights.main();
    let constant = |value| match f.values[value].def {
        airconv_ir::module::Def::Result { node, .. } => match &f.nodes[node].op {
            Op::Constant(c) => Some(&weights.tensors[c.tensor]),
            _ => None,
        },
        airconv_ir::module::Def::Param { .. } => None,
    };
    let outputs = f.outputs.iter().zip(&f.body().results);
    outputs.filter_map(|(o, &v)| Some((o.name.clone(), constant(v)?))).collect()
}
