//! The [`Reader`] of `.pt` files.
//!
//! TorchScript programs do not state the types of their inputs, so these are given by the caller
//! ([`ReadOptions::inputs`]). A `.pt` file that holds no program holds weights.

use std::collections::BTreeSet;
use std::path::Path;

use airconv_api::{Choice, Diagnostic, Failed, ReadOptions, Reader, Report, SupportRow};
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::module::{ArgKindRole, Entity, Function, InputRole, Module, OutputRole};
use airconv_ir::types::{TensorType, Type};
use bytes::Bytes;

use super::archive::{Role, Script, TracedInput};
use super::hub::HubSink;
use super::lower::missing::operators_without_rules;
use super::lower::{Outcome, Output, inputs, lower};
use crate::archive::{Archive, map_file};
use crate::error::FileError;
use crate::import::alias::Handle;
use crate::import::arg::Arg;
use crate::import::call::Stop;
use crate::weights::WeightsReader;

/// The method that is the program.
const METHOD: &str = "forward";

/// Reads `.pt` files: TorchScript programs, else weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptReader;

impl Reader for ScriptReader {
    fn format(&self) -> &'static str {
        "torchscript"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["pt", "jit", "torchscript"]
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::InputType]
    }
    fn sniff(&self, _head: &[u8]) -> bool {
        false
    }
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let script = map_file(path, !options.no_mmap).and_then(|bytes| script_of(bytes, options));
        match script {
            Ok(Some(script)) => read(&script, options, report),
            Ok(None) => return WeightsReader.read(path, options, report),
            Err(e) => Err(e),
        }
        .map_err(|e| {
            let failed = e.failed();
            report.push(e.within(&path.display().to_string()).diagnostic());
            failed
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        // Operators are those of exported programs.
        Vec::new()
    }
}

impl ScriptReader {
    /// Reads an archive that is in memory. One that holds no program is refused.
    pub fn read_bytes(
        &self,
        bytes: Bytes,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let script = script_of(bytes, options).and_then(|script| match script {
            Some(script) => read(&script, options, report),
            None => Err(FileError::malformed("", "the archive holds no program")),
        });
        script.map_err(|e| {
            let failed = e.failed();
            report.push(e.diagnostic());
            failed
        })
    }
}

/// The program of a file; `None` if it holds weights only.
fn script_of(bytes: Bytes, options: &ReadOptions) -> Result<Option<Script>, FileError> {
    if !bytes.starts_with(b"PK\x03\x04") {
        return Ok(None);
    }
    let archive = Archive::from_bytes(bytes, &options.limits)?;
    match Script::sniff(&archive) {
        true => Script::read(&archive, &options.limits).map(Some),
        false => Ok(None),
    }
}

/// Reads the program. Tensors that it writes to are state; which ones these are is seen by
/// reading it once.
fn read(script: &Script, options: &ReadOptions, report: &mut Report) -> Result<Module, FileError> {
    let read = read_program(script, options, report);
    if let Err(e) = &read
        && e.failed() == Failed::Unsupported
    {
        let missing = operators_without_rules(script);
        if !missing.is_empty() {
            let list: Vec<String> = missing.into_iter().collect();
            let message = format!("operators of its source that have no rule: {}", list.join(", "));
            report.push(Diagnostic::warning("torch-operators", message));
        }
    }
    read
}

fn read_program(
    script: &Script,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, FileError> {
    let mut state = BTreeSet::new();
    loop {
        let (mut sink, outcome) = run(script, options, &state)?;
        let written = written(script, &sink, &outcome);
        if written.is_subset(&state) {
            outputs(&mut sink, &outcome, &state)?;
            note_kinds(script, &mut sink);
            if !sink.from_trace.is_empty() {
                let message = format!(
                    "inputs have the types with which the program was traced: {}; \
                     --input-type gives others",
                    sink.from_trace.join(", ")
                );
                report.push(Diagnostic::warning("torch-traced-inputs", message));
            }
            for (what, place) in &sink.assumed {
                let message = format!("taken to hold for all inputs: {what}");
                report.push(Diagnostic::warning("torch-assumed", message).at(place.clone()));
            }
            return Ok(sink.imp.module);
        }
        state.extend(written);
    }
}

fn run(
    script: &Script,
    options: &ReadOptions,
    state: &BTreeSet<String>,
) -> Result<(HubSink, Outcome<Handle>), FileError> {
    let mut sink = HubSink::new(METHOD, &options.limits);
    sink.state.clone_from(state);
    let declared = inputs(script, METHOD)?;
    let names: Vec<&str> = declared.iter().map(|(name, _)| *name).collect();
    let given = |name: &str| options.inputs.iter().find(|(n, _)| n == name);
    if let Some((unknown, _)) = options.inputs.iter().find(|(n, _)| !names.contains(&n.as_str())) {
        let message = format!("there is no input `{unknown}`; there are {}", names.join(", "));
        return Err(FileError::unsupported("", message));
    }
    let traced = traced_types(script, names.len());
    let known = |i: usize, name: &str| match given(name) {
        Some((_, text)) => Some(text.clone()),
        None => traced.get(i).cloned().flatten(),
    };
    let missing: Vec<&str> = (names.iter().enumerate())
        .filter(|(i, n)| known(*i, n).is_none())
        .map(|(_, n)| *n)
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "TorchScript does not state the types of inputs; give those of {} with \
             --input-type NAME=TYPE, such as {}=f32[N, 3, 224, 224]",
            missing.join(", "),
            missing[0]
        );
        return Err(FileError::unsupported("", message));
    }
    let mut args = Vec::new();
    for (i, name) in names.into_iter().enumerate() {
        let Some(text) = known(i, name) else { continue };
        if given(name).is_none() {
            sink.from_trace.push(format!("{name}={text}"));
        }
        let f = sink.imp.function_mut();
        let ty = input_type(&text, f).map_err(|why| FileError::unsupported(name, why))?;
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let value = f.add_input(name, Type::Tensor(ty), role);
        args.push(Arg::Tensor(sink.imp.fresh(value)));
    }
    let outcome = lower(script, &mut sink, METHOD, &args, &options.limits)?;
    Ok((sink, outcome))
}

/// The types of the inputs with which the method was traced, if the archive says as many.
fn traced_types(script: &Script, count: usize) -> Vec<Option<String>> {
    let Some(inputs) = script.traced.get(METHOD).filter(|i| i.len() == count) else {
        return Vec::new();
    };
    let text = |input: &TracedInput| {
        let sizes: Vec<String> = input.sizes.iter().map(u64::to_string).collect();
        format!("{}[{}]", input.dtype, sizes.join(", "))
    };
    inputs.iter().map(|i| i.as_ref().map(text)).collect()
}

/// The type that a text such as `f32[N, 3]` names; names become symbolic sizes.
fn input_type(text: &str, f: &mut Function) -> Result<TensorType, String> {
    let wrong = || format!("`{text}` is not a type like f32[N, 3]");
    let (dtype, dims) = text.trim().split_once('[').ok_or_else(wrong)?;
    let dims = dims.strip_suffix(']').ok_or_else(wrong)?;
    let dtype: DType = dtype.trim().parse().map_err(|e| format!("{e}"))?;
    let mut shape = Vec::new();
    for dim in dims.split(',').map(str::trim).filter(|d| !d.is_empty()) {
        shape.push(match dim.parse::<i64>() {
            Ok(n) if n >= 0 => Dim::Known(n),
            Ok(n) => return Err(format!("{n} is no size")),
            Err(_) => match f.symbol_named(dim) {
                Some(symbol) => Dim::from(symbol),
                None => Dim::from(f.add_symbol(dim, Range::new(Some(1), None), None)),
            },
        });
    }
    Ok(TensorType::new(dtype, shape))
}

/// The tensors that the program writes to or replaces.
fn written(script: &Script, sink: &HubSink, outcome: &Outcome<Handle>) -> BTreeSet<String> {
    let inside = sink.weights.iter().filter(|(_, h)| sink.imp.was_written(*h));
    let replaced = outcome.changed.iter().map(|(path, _)| path);
    let stored = |name: &&String| script.tensors.iter().any(|t| t.name == **name);
    inside.map(|(name, _)| name).chain(replaced).filter(stored).cloned().collect()
}

/// The results of the method, and the new contents of state.
fn outputs(
    sink: &mut HubSink,
    outcome: &Outcome<Handle>,
    state: &BTreeSet<String>,
) -> Result<(), FileError> {
    let mut flat = Vec::new();
    flatten("output", &outcome.result, &mut flat);
    for (name, arg) in flat {
        output(sink, &name, arg, OutputRole::User(ArgKindRole::Tensor))?;
    }
    for name in state {
        let replaced = outcome.changed.iter().find(|(path, _)| path == name);
        let handle = match replaced {
            Some((_, Output::One(arg))) => arg.clone(),
            Some(_) => continue,
            None => match sink.weights.iter().find(|(n, _)| n == name) {
                Some((_, handle)) => Arg::Tensor(*handle),
                None => continue,
            },
        };
        let role = OutputRole::StateUpdate(name.clone());
        output(sink, &format!("{name}.new"), &handle, role)?;
    }
    Ok(())
}

fn output(
    sink: &mut HubSink,
    name: &str,
    arg: &Arg<Handle>,
    role: OutputRole,
) -> Result<(), FileError> {
    let stopped = |stop: Stop| match stop {
        Stop::Invalid(why) => FileError::malformed(name, why),
        Stop::Unsupported(why) => FileError::unsupported(name, why),
    };
    let value = match arg {
        Arg::Tensor(handle) | Arg::Number(handle) => sink.imp.value(*handle).map_err(stopped)?,
        Arg::Int(dim) => sink.imp.builder().dim_scalar(dim).map_err(|e| stopped(Stop::from(e)))?,
        // Constants of the program say nothing that a caller needs to be given.
        _ => return Ok(()),
    };
    sink.imp.function_mut().add_output(name, value, role);
    Ok(())
}

/// The single values of a result, with names that say where they are in it.
fn flatten<'o>(name: &str, output: &'o Output<Handle>, out: &mut Vec<(String, &'o Arg<Handle>)>) {
    match output {
        Output::One(arg) => out.push((name.to_owned(), arg)),
        Output::List(items) => {
            for (i, item) in items.iter().enumerate() {
                flatten(&format!("{name}_{i}"), item, out);
            }
        }
        Output::Dict(items) => {
            for (key, item) in items {
                let inner = if name == "output" { key.clone() } else { format!("{name}.{key}") };
                flatten(&inner, item, out);
            }
        }
    }
}

/// Notes what the tensors of the program are.
fn note_kinds(script: &Script, sink: &mut HubSink) {
    let func = sink.imp.func;
    for (name, handle) in sink.weights.clone() {
        let kind = match script.tensors.iter().find(|t| t.name == name).map(|t| t.role) {
            Some(Role::Parameter) => "parameter",
            Some(Role::Buffer) => "buffer",
            Some(Role::Attribute) => "non-persistent buffer",
            Some(Role::Constant) | None => "constant",
        };
        if let Ok(value) = sink.imp.value(handle) {
            sink.imp.module.note(Entity::Value(func, value), "torch.kind", kind);
        }
    }
}
