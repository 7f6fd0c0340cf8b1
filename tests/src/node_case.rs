//! The node tests of the `onnx` package: a model, inputs and expected outputs per folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airconv_api::{ReadOptions, Reader, Report};
use airconv_ir::array::Array;
use airconv_ir::entity::ValueId;
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::op::Op;
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::types::Type;
use airconv_onnx::OnnxReader;
use airconv_onnx::decode::{self, Limits};
use airconv_onnx::import::tensor_from_proto;
use airconv_onnx::proto::{SequenceProto, TensorProto};

use airconv_api::compare::distance;

/// The tolerances that onnx's own runner takes.
pub const RTOL: f64 = 1e-3;
/// See [`RTOL`].
pub const ATOL: f64 = 1e-7;

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The outputs are as expected.
    Pass,
    /// The reader refused the model.
    NotRead(String),
    /// The interpreter refused or failed by name.
    NotRun(String),
    /// The outputs are wrong.
    Wrong(String),
}

/// Reads a model with its report.
pub fn read(path: &Path, options: &ReadOptions) -> (Option<Module>, Report) {
    let mut report = Report::default();
    let module = OnnxReader.read(path, options, &mut report).ok();
    (module, report)
}

/// The first error of a report.
pub fn first_error(report: &Report) -> String {
    report
        .diagnostics
        .iter()
        .find(|d| d.severity == airconv_api::Severity::Error)
        .map_or_else(|| "no error".to_owned(), ToString::to_string)
}

/// Whether opaque nodes are left.
pub fn has_opaque(module: &Module) -> bool {
    module.functions.values().any(|f| {
        f.regions.values().flat_map(|r| &r.nodes).any(|&n| matches!(f.nodes[n].op, Op::Opaque(_)))
    })
}

/// The data sets of a case.
pub fn data_sets(case: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(case)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect();
    out.sort();
    out
}

/// The values of the files `<stem>_0.pb`, `<stem>_1.pb` ... An empty file is an absent value.
pub fn load(folder: &Path, stem: &str, types: &[Type]) -> Result<Vec<Option<Datum>>, String> {
    let mut out = Vec::new();
    loop {
        let path = folder.join(format!("{stem}_{}.pb", out.len()));
        if !path.exists() {
            return Ok(out);
        }
        let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
        let ty = types.get(out.len()).unwrap_or(&Type::Unknown);
        out.push(if bytes.is_empty() { None } else { Some(datum(bytes.into(), ty)?) });
    }
}

/// A message of the type that the model declares.
fn datum(bytes: bytes::Bytes, ty: &Type) -> Result<Datum, String> {
    let limits = Limits::default();
    let tensor = |t: &TensorProto| {
        tensor_from_proto(t)?.to_array().map(Datum::from).map_err(|e| e.to_string())
    };
    let sequence = |s: &SequenceProto| {
        s.tensor_values.iter().map(tensor).collect::<Result<Vec<_>, _>>().map(Datum::Sequence)
    };
    match ty {
        Type::Sequence(_) => {
            sequence(&decode::decode_sequence(bytes, &limits).map_err(|e| e.to_string())?)
        }
        Type::Optional(_) => {
            let o = decode::decode_optional(bytes, &limits).map_err(|e| e.to_string())?;
            let inner = match (o.tensor_value.as_deref(), o.sequence_value.as_deref()) {
                (Some(t), _) => Some(Box::new(tensor(t)?)),
                (None, Some(s)) => Some(Box::new(sequence(s)?)),
                (None, None) => None,
            };
            Ok(Datum::Optional(inner))
        }
        _ => tensor(&decode::decode_tensor(bytes, &limits).map_err(|e| e.to_string())?),
    }
}

/// The types of the inputs and outputs of a module's entry.
fn signature(module: &Module) -> (Vec<Type>, Vec<Type>) {
    let f = module.main();
    let types = |values: &[ValueId]| values.iter().map(|&v| f.ty(v).clone()).collect();
    (types(&f.body().params), types(&f.body().results))
}

/// The names of the inputs of a module's entry.
fn input_names(module: &Module) -> Vec<String> {
    module.main().inputs.iter().map(|i| i.name.clone()).collect()
}

/// Reads a case's model, with integer inputs bound to their values where a node waits for
/// them, and runs it in the interpreter on every data set.
pub fn interpret(case: &Path) -> Verdict {
    interpret_changed(case, &|_| Ok(()))
}

/// A change of a module before it runs.
pub type Change<'a> = &'a dyn Fn(&mut Module) -> Result<(), String>;

/// The same with a change of the module in between.
pub fn interpret_changed(case: &Path, change: Change<'_>) -> Verdict {
    run_changed(case, change, &interpreter)
}

/// What runs a module on inputs by name; an error says why it did not run.
pub type Runner<'a> = &'a dyn Fn(&Module, &BTreeMap<String, Datum>) -> Outcome;

/// Outputs by name, or why there are none.
pub type Outcome = Result<Vec<(String, Datum)>, String>;

/// Runs a module in the hub's interpreter.
pub fn interpreter(
    module: &Module,
    inputs: &BTreeMap<String, Datum>,
) -> Result<Vec<(String, Datum)>, String> {
    Interpreter::new(module.clone(), EvalLimits::default()).run(inputs).map_err(|e| describe(&e))
}

/// Runs a module in an executor.
pub fn by_executor<'e>(
    executor: &'e dyn airconv_api::Executor,
    options: &'e airconv_api::RunOptions,
) -> impl Fn(&Module, &BTreeMap<String, Datum>) -> Outcome + 'e {
    move |module, inputs| {
        let verified = airconv_ir::verify::verify(module, airconv_ir::verify::Stage::Imported)
            .map_err(|e| e.first().map_or(String::new(), ToString::to_string))?;
        let mut report = Report::default();
        executor.run(&verified, inputs, options, &mut report).map_err(|_| first_error(&report))
    }
}

/// Reads a case's model, changes it, and has it run on every data set.
pub fn run_changed(case: &Path, change: Change<'_>, runner: Runner<'_>) -> Verdict {
    let path = case.join("model.onnx");
    let (module, report) = read(&path, &ReadOptions::default());
    let Some(mut module) = module else { return Verdict::NotRead(first_error(&report)) };
    let names = input_names(&module);
    if let Err(why) = change(&mut module) {
        return Verdict::Wrong(why);
    }
    for set in data_sets(case) {
        match run_set(&module, &names, &set, change, runner) {
            Verdict::Pass => {}
            other => return other,
        }
    }
    Verdict::Pass
}

fn run_set(
    module: &Module,
    names: &[String],
    set: &Path,
    change: Change<'_>,
    runner: Runner<'_>,
) -> Verdict {
    let (ins, outs) = signature(module);
    let (inputs, wanted) = match (load(set, "input", &ins), load(set, "output", &outs)) {
        (Ok(i), Ok(o)) => (i, o),
        (Err(e), _) | (_, Err(e)) => return Verdict::NotRun(format!("test data: {e}")),
    };
    let given: BTreeMap<String, Datum> = names
        .iter()
        .zip(inputs)
        .filter_map(|(n, v)| v.map(|v| (n.clone(), as_declared(module, n, v))))
        .collect();
    let mut specialised = None;
    let mut first = None;
    if !has_opaque(module) {
        first = Some(runner(module, &given));
    }
    // What waits for the values of inputs gets them.
    if !matches!(first, Some(Ok(_))) {
        let binds = given.iter().filter(|(_, v)| bindable(v)).map(|(n, v)| (n.clone(), v.clone()));
        let fixed = Given { binds: binds.collect(), ..Given::default() };
        match specialize(module.clone(), &fixed, &[&OnnxReader]) {
            Ok(mut bound) => {
                if let Err(why) = change(&mut bound) {
                    return Verdict::Wrong(why);
                }
                specialised = Some(bound);
            }
            Err(errors) => {
                return Verdict::NotRead(errors.first().map_or(String::new(), |e| e.to_string()));
            }
        }
    }
    let outcome = match (first, specialised) {
        (_, Some(bound)) => runner(&bound, &given),
        (Some(outcome), None) => outcome,
        (None, None) => return Verdict::NotRun("it was not run".to_owned()),
    };
    let outputs = match outcome {
        Ok(outputs) => outputs,
        Err(e) => return Verdict::NotRun(e),
    };
    for ((name, got), want) in outputs.iter().zip(&wanted) {
        let Some(want) = want else { continue };
        let d = distance(got, want, RTOL, ATOL);
        if !d.agrees() {
            let why = d.structural.unwrap_or_else(|| {
                format!("{} of {} elements differ, by up to {:e}", d.outside, d.elements, d.max_abs)
            });
            return Verdict::Wrong(format!("`{name}`: {why}"));
        }
    }
    Verdict::Pass
}

/// The value as the type of the input that it is for: an optional tensor has the same bytes
/// as a sequence of one tensor.
fn as_declared(module: &Module, name: &str, value: Datum) -> Datum {
    let main = module.main();
    let input = main.inputs.iter().position(|i| i.name == name);
    let ty = input.and_then(|i| main.body().params.get(i)).map(|&p| main.ty(p));
    match (ty, value) {
        (Some(Type::Optional(element)), Datum::Sequence(mut items))
            if matches!(**element, Type::Tensor(_) | Type::Unranked(_)) =>
        {
            Datum::Optional(items.pop().map(Box::new))
        }
        (_, value) => value,
    }
}

fn describe(e: &EvalError) -> String {
    e.to_string()
}

/// Whether an input may be what a rule waits for: a small tensor.
fn bindable(v: &Datum) -> bool {
    v.as_array().is_some_and(|a: &Array| a.rank() <= 1 && a.numel() <= 64)
}

/// All cases of a folder, in order of name.
pub fn all_cases(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.join("model.onnx").exists())
        .collect();
    out.sort();
    out
}
