//! The outputs of an exported graph, and what it writes to.

use std::collections::BTreeSet;

use airconv_api::Report;
use airconv_ir::dtype::DType;
use airconv_ir::module::{ArgKindRole, Entity, OutputRole};

use super::import::{GraphReader, Names};
use super::records::{Argument, Graph, OutputSpec, SymIntArgument};
use crate::error::FileError;
use crate::import::alias::Handle;
use crate::import::arg::Arg;
use crate::import::call::Stop;

impl<'p> GraphReader<'p> {
    /// Gives the function its outputs, and what was written its new contents.
    pub(super) fn outputs(
        &mut self,
        graph: &'p Graph,
        names: &Names,
        owned: &[(String, Owned)],
        report: &mut Report,
    ) -> Result<(), FileError> {
        let specs = &self.program.graph_module.signature.output_specs;
        let mut used = BTreeSet::new();
        for (spec, output) in specs.iter().zip(&graph.outputs) {
            let role = match spec {
                OutputSpec::UserOutput { .. } | OutputSpec::LossOutput { .. } => {
                    OutputRole::User(ArgKindRole::Tensor)
                }
                // What is written is seen from the handles.
                OutputSpec::BufferMutation { buffer_name, .. }
                | OutputSpec::ParameterMutation { parameter_name: buffer_name, .. } => {
                    self.declared_write(names, output, buffer_name, owned);
                    continue;
                }
                OutputSpec::UserInputMutation { user_input_name, .. } => {
                    self.declared_write(names, output, user_input_name, owned);
                    continue;
                }
                OutputSpec::Token { .. } => continue,
                OutputSpec::GradientToParameter { .. } | OutputSpec::GradientToUserInput { .. } => {
                    return Err(FileError::unsupported("", "programs that give gradients"));
                }
            };
            self.user_output(names, output, role, &mut used, report);
        }
        for (name, owned) in owned {
            self.update(name, owned, &mut used, report);
        }
        Ok(())
    }

    /// A write that the signature states rather than the graph.
    fn declared_write(
        &mut self,
        names: &Names,
        output: &Argument,
        into: &str,
        owned: &[(String, Owned)],
    ) {
        let handle = owned.iter().find(|(name, _)| name == into).map(|(_, o)| o.handle());
        if let (Some(handle), Ok(Arg::Tensor(new))) = (handle, self.argument(names, output))
            && let Ok(value) = self.imp.value(new)
        {
            // What is no view is written without fail.
            self.imp.write(handle, value).ok();
        }
    }

    fn user_output(
        &mut self,
        names: &Names,
        output: &Argument,
        role: OutputRole,
        used: &mut BTreeSet<String>,
        report: &mut Report,
    ) {
        let item = self.argument(names, output);
        let (name, value, role) = match (output, item) {
            (Argument::AsTensor(t), Ok(Arg::Tensor(handle))) => match self.imp.value(handle) {
                Ok(value) => (t.name.as_str(), value, role),
                Err(stop) => return self.refused(&t.name, stop, report),
            },
            (Argument::AsSymInt(SymIntArgument::AsName(name)), Ok(Arg::Int(dim))) => {
                match self.imp.builder().dim_scalar(&dim) {
                    Ok(value) => (name.as_str(), value, OutputRole::User(ArgKindRole::Int)),
                    Err(_) => return,
                }
            }
            (_, Ok(Arg::Number(handle))) => match self.imp.value(handle) {
                Ok(value) => {
                    let kind = match self.imp.function().ty(value).dtype() {
                        Some(DType::F64) => ArgKindRole::Float,
                        Some(DType::Bool) => ArgKindRole::Bool,
                        _ => ArgKindRole::Int,
                    };
                    ("number", value, OutputRole::User(kind))
                }
                Err(_) => return,
            },
            (_, Ok(Arg::None | Arg::Int(_) | Arg::Float(_) | Arg::Bool(_) | Arg::Str(_))) => {
                let message = "outputs that are constants are left out";
                report.structural("torch-constant-output", message, "");
                return;
            }
            (_, Ok(_)) => {
                report.error("torch-unsupported", "an output is neither a tensor nor a number");
                return;
            }
            // The node that should have made it is reported.
            (_, Err(_)) if self.imp.has_unsupported() => return,
            (_, Err(Stop::Invalid(why) | Stop::Unsupported(why))) => {
                report.error("torch-malformed", format!("an output: {why}"));
                return;
            }
        };
        let name = unique(name, used);
        self.imp.function_mut().add_output(&name, value, role);
    }

    /// The new contents of what was written to.
    fn update(
        &mut self,
        name: &str,
        owned: &Owned,
        used: &mut BTreeSet<String>,
        report: &mut Report,
    ) {
        let handle = owned.handle();
        if !self.imp.was_written(handle) {
            return;
        }
        let role = match owned {
            Owned::Weight(_) => return,
            Owned::State(_) => OutputRole::StateUpdate(name.to_owned()),
            Owned::User(_, index) => OutputRole::InputUpdate(*index),
        };
        match self.imp.value(handle) {
            Ok(value) => {
                let name = unique(&format!("{name}.new"), used);
                self.imp.function_mut().add_output(&name, value, role);
            }
            Err(stop) => self.refused(&format!("{name}.new"), stop, report),
        }
    }

    /// Says why there is no value for an output, if nothing else was reported already.
    fn refused(&self, name: &str, stop: Stop, report: &mut Report) {
        if self.imp.has_unsupported() {
            return;
        }
        match stop {
            Stop::Unsupported(why) => {
                report.error("torch-unsupported", format!("output `{name}`: {why}"));
            }
            Stop::Invalid(why) => {
                report.error("torch-malformed", format!("output `{name}`: {why}"));
            }
        }
    }

    /// What the calling convention is, for the way back.
    pub(super) fn notes(&mut self) {
        let module = &mut self.imp.module;
        for (name, version) in &self.program.opset_version {
            module.opsets.insert(format!("torch:{name}"), *version);
        }
        let top = self.program.graph_module.module_call_graph.iter().find(|c| c.fqn.is_empty());
        if let Some(signature) = top.and_then(|c| c.signature.as_ref()) {
            module.note(Entity::Module, "torch.in_spec", signature.in_spec.as_str());
            module.note(Entity::Module, "torch.out_spec", signature.out_spec.as_str());
            if let Some(names) = &signature.forward_arg_names {
                module.note(Entity::Module, "torch.forward_arg_names", names.join(","));
            }
        }
    }
}

/// A tensor that the caller or the program owns.
pub(super) enum Owned {
    /// A parameter, buffer or constant that is not written to, as far as is known.
    Weight(Handle),
    /// One that is.
    State(Handle),
    /// An input, with its position.
    User(Handle, u32),
}

impl Owned {
    /// The tensor.
    pub(super) fn handle(&self) -> Handle {
        match self {
            Self::Weight(h) | Self::State(h) | Self::User(h, _) => *h,
        }
    }
}

/// A name that is not used yet.
fn unique(name: &str, used: &mut BTreeSet<String>) -> String {
    let mut out = name.to_owned();
    let mut n = 1;
    while !used.insert(out.clone()) {
        out = format!("{name}_{n}");
        n += 1;
    }
    out
}
