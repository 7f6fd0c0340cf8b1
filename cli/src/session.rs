//! What commands share: reading, verifying and optimising a program.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use airconv_api::npz::NpzError;
use airconv_api::{
    Choice, Diagnostic, Executor, Given, Limits, ReadOptions, Reader, Registry, Report, RunOptions,
};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::pass::{LogLevel, PassCx, PassOptions, Pipeline, Summary, run_pipeline};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, Verified, verify};
use serde_json::json;

use crate::Exit;
use crate::args::{Common, Optimising, Reading, Running};
use crate::output::{self, Progress};

/// Prints a report and gives the exit code of a failure.
pub(crate) fn fail(report: &Report, common: &Common, exit: impl Into<Exit>) -> Exit {
    output::report(report, common);
    exit.into()
}

/// Options for the reader.
fn read_options(reading: &Reading) -> ReadOptions {
    let defaults = Limits::default();
    ReadOptions {
        limits: Limits {
            nodes: reading.max_nodes.unwrap_or(defaults.nodes),
            depth: reading.max_depth.unwrap_or(defaults.depth),
            expanded_bytes: reading.max_expanded.unwrap_or(defaults.expanded_bytes),
            ..defaults
        },
        no_mmap: reading.no_mmap,
        inputs: reading.input_type.clone(),
    }
}

/// What the command line fixes.
fn given(reading: &Reading) -> Result<Given, Exit> {
    let mut binds = BTreeMap::new();
    for (name, value) in &once("--bind", &reading.bind)? {
        binds.insert(name.clone(), bound_value(name, value)?);
    }
    let op_types = match &reading.op_types {
        Some(path) => op_types(path)?,
        None => BTreeMap::new(),
    };
    let dims = once("--dim", &reading.dim)?;
    let max_nodes = reading.max_nodes.unwrap_or(Limits::default().nodes);
    Ok(Given { dims, binds, op_types, max_nodes })
}

/// What an option says by name; saying two things of one name is an error.
fn once<T: Clone + PartialEq>(
    flag: &str,
    pairs: &[(String, T)],
) -> Result<BTreeMap<String, T>, Exit> {
    let mut found: BTreeMap<String, T> = BTreeMap::new();
    for (name, value) in pairs {
        if found.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
            return Err(output::usage(format!("{flag} {name} is given twice, and differs")));
        }
    }
    Ok(found)
}

/// A bound value: `5` is a scalar, `5,` and `1,2` are vectors, `@FILE.npy` is that array.
/// Numbers with a point or an exponent are f32, others i64; `true` and `false` are bools.
fn bound_value(name: &str, text: &str) -> Result<Datum, Exit> {
    let Some(path) = text.strip_prefix('@') else {
        return literal(text).map_err(|e| output::usage(format!("--bind {name}: {e}")));
    };
    let bytes =
        std::fs::read(path).map_err(|e| output::system(format!("--bind {name}: {path}: {e}")))?;
    let array = airconv_api::npz::parse_npy(&bytes).and_then(|member| member.into_array(None));
    array.map(Datum::from).map_err(|e| {
        output::error(format!("--bind {name}: {path}: {e}"));
        Exit::Malformed
    })
}

/// A value that is written out.
fn literal(text: &str) -> Result<Datum, String> {
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
    let shape = if text.contains(',') { vec![items.len()] } else { Vec::new() };
    if items.iter().all(|s| matches!(*s, "true" | "false")) && !items.is_empty() {
        let values = items.iter().map(|s| *s == "true").collect();
        return Array::from_vec(shape, values).map(Datum::from).map_err(|e| e.to_string());
    }
    let ints: Result<Vec<i64>, _> = items.iter().map(|s| s.parse::<i64>()).collect();
    if let Ok(ints) = ints {
        return Array::from_i64s(DType::I64, shape, &ints)
            .map(Datum::from)
            .map_err(|e| e.to_string());
    }
    let floats: Result<Vec<f64>, _> = items.iter().map(|s| s.parse::<f64>()).collect();
    match floats {
        Ok(f) => {
            Array::from_f64s(DType::F32, shape, &f).map(Datum::from).map_err(|e| e.to_string())
        }
        Err(_) => Err(format!("`{text}` is not a number, a list of numbers or @FILE.npy")),
    }
}

/// The types in a file; see [`op_lines`].
fn op_types(path: &Path) -> Result<BTreeMap<String, Vec<Type>>, Exit> {
    let of = |e: String| format!("--op-types {}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| output::system(of(e.to_string())))?;
    op_lines(&text).map_err(|e| {
        output::error(of(e));
        Exit::Malformed
    })
}

/// Lines `domain::Op = f32[1, 2], i64[]`; `#` starts a comment.
fn op_lines(text: &str) -> Result<BTreeMap<String, Vec<Type>>, String> {
    let mut out = BTreeMap::new();
    for line in text.lines().map(|l| l.split('#').next().unwrap_or("").trim()) {
        if line.is_empty() {
            continue;
        }
        let (op, types) = line.split_once('=').ok_or_else(|| format!("`{line}` has no `=`"))?;
        let types: Result<Vec<Type>, String> = types
            .split(']')
            .map(|t| t.trim().trim_start_matches(',').trim())
            .filter(|t| !t.is_empty())
            .map(static_type)
            .collect();
        out.insert(op.trim().to_owned(), types?);
    }
    Ok(out)
}

fn static_type(text: &str) -> Result<Type, String> {
    let (dtype, dims) =
        text.split_once('[').ok_or_else(|| format!("`{text}` is not a type like f32[1, 2]"))?;
    let dtype: DType = dtype.trim().parse().map_err(|_| format!("`{dtype}` is not a dtype"))?;
    let dims: Result<Vec<airconv_ir::dim::Dim>, String> = dims
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| {
            d.parse::<i64>()
                .map(airconv_ir::dim::Dim::Known)
                .map_err(|_| format!("`{d}` is not a size"))
        })
        .collect();
    Ok(Type::tensor(dtype, dims?))
}

/// Reads a program; its report is printed when that fails.
pub(crate) fn read(
    registry: &Registry,
    path: &Path,
    reading: &Reading,
    common: &Common,
    report: &mut Report,
) -> Result<Module, Exit> {
    let reader = reader(registry, path, reading, common, report)?;
    refuse_unused_in_reading(&[reader], reading)?;
    read_with(registry, reader, path, reading, common, report)
}

/// Reads two programs, the same way; the report is printed when that fails.
pub(crate) fn read_both(
    registry: &Registry,
    (a, b): (&Path, &Path),
    reading: &Reading,
    common: &Common,
    report: &mut Report,
) -> Result<(Module, Module), Exit> {
    let readers = [
        reader(registry, a, reading, common, report)?,
        reader(registry, b, reading, common, report)?,
    ];
    refuse_unused_in_reading(&readers, reading)?;
    let [of_a, of_b] = readers;
    let a = read_with(registry, of_a, a, reading, common, report)?;
    Ok((a, read_with(registry, of_b, b, reading, common, report)?))
}

/// The reader for a file.
pub(crate) fn reader<'r>(
    registry: &'r Registry,
    path: &Path,
    reading: &Reading,
    common: &Common,
    report: &mut Report,
) -> Result<&'r dyn Reader, Exit> {
    let mut head = [0u8; 64];
    let count = match std::fs::File::open(path).and_then(|mut f| f.read(&mut head)) {
        Ok(count) => count,
        Err(e) => {
            report.push(Diagnostic::error("io-read", format!("{}: {e}", path.display())));
            return Err(fail(report, common, Exit::System));
        }
    };
    let Some(reader) = registry.reader_for(path, reading.from.as_deref(), &head[..count]) else {
        let known: Vec<&str> = registry.readers().map(|r| r.format()).collect();
        output::error(format!(
            "the format of {} is not known; name it with --from ({})",
            path.display(),
            known.join(", ")
        ));
        return Err(Exit::Usage);
    };
    Ok(reader)
}

/// Reads a program with this reader; its report is printed when that fails.
pub(crate) fn read_with(
    registry: &Registry,
    reader: &dyn Reader,
    path: &Path,
    reading: &Reading,
    common: &Common,
    report: &mut Report,
) -> Result<Module, Exit> {
    let given = given(reading)?;
    once("--input-type", &reading.input_type)?;
    let _progress = Progress::start(&format!("reading {}", path.display()), common);
    let options = read_options(reading);
    let module = reader.read(path, &options, report).and_then(|mut module| {
        if let Some(weights) = &reading.weights {
            let numbers = airconv_torch::WeightsReader.read(weights, &options, report)?;
            airconv_api::weights::apply(&mut module, &numbers, report)?;
        }
        registry.specialize(module, &given, report)
    });
    module.map_err(|failed| fail(report, common, failed))
}

/// Verifies a program; all errors are printed when that fails.
pub(crate) fn verified<'m>(
    module: &'m Module,
    stage: Stage,
    common: &Common,
    report: &mut Report,
) -> Result<Verified<'m>, Exit> {
    verify(module, stage).map_err(|errors| {
        report.diagnostics.extend(errors);
        fail(report, common, Exit::Malformed)
    })
}

/// Optimises a program in place, and gives the log and what each pass did.
pub(crate) fn optimise(
    module: &mut Module,
    optimising: &Optimising,
    log: LogLevel,
    common: &Common,
) -> Result<(PassCx, Summary), Exit> {
    let pipeline =
        Pipeline::parse(&optimising.opt).map_err(|e| output::usage(format!("--opt: {e}")))?;
    let mut cx = PassCx::new(PassOptions {
        limit: optimising.opt_limit,
        fold_growth: optimising.fold_budget,
        log,
        ..PassOptions::default()
    });
    let _progress = Progress::start("optimising", common);
    let summary =
        run_pipeline(module, &pipeline, &mut cx).map_err(|e| output::system(e.to_string()))?;
    // Rewrites leave what they replaced in the arenas.
    airconv_ir::pass::compact(module);
    Ok((cx, summary))
}

/// Refuses options that none of those takes which they would be for.
pub(crate) fn refuse_unused(
    choices: &[Choice],
    takes: &[&[Choice]],
    whose: &str,
) -> Result<(), Exit> {
    match choices.iter().find(|choice| !takes.iter().any(|list| list.contains(choice))) {
        None => Ok(()),
        Some(choice) => {
            let flag = choice.flag();
            Err(output::usage(format!("{flag} makes no difference to {whose}: leave it out")))
        }
    }
}

/// Refuses options of reading that none of the readers takes.
pub(crate) fn refuse_unused_in_reading(
    readers: &[&dyn Reader],
    reading: &Reading,
) -> Result<(), Exit> {
    let takes: Vec<&[Choice]> = readers.iter().map(|r| r.takes()).collect();
    let mut names: Vec<String> = readers.iter().map(|r| format!("`{}`", r.format())).collect();
    names.dedup();
    let whose = format!("the format {}", names.join(" and "));
    refuse_unused(&read_options(reading).choices(), &takes, &whose)
}

/// Refuses options of a run that none of its executors takes.
pub(crate) fn refuse_unused_by(
    executors: &[&dyn Executor],
    options: &RunOptions,
) -> Result<(), Exit> {
    let takes: Vec<&[Choice]> = executors.iter().map(|e| e.takes()).collect();
    let mut names: Vec<String> = executors.iter().map(|e| format!("`{}`", e.name())).collect();
    names.dedup();
    refuse_unused(&options.choices(), &takes, &format!("executor {}", names.join(" and ")))
}

/// The inputs of a run. `fixed` are sizes that something else asks for, where the command line does
/// not.
pub(crate) fn inputs(
    module: &Module,
    running: &Running,
    reading: &Reading,
    fixed: BTreeMap<String, i64>,
) -> Result<BTreeMap<String, Datum>, Exit> {
    if let Some(path) = &running.inputs {
        return inputs_of(module, path);
    }
    let mut given = once("--size", &running.size)?;
    let known = airconv_ir::specialize::size_names(module);
    if let Some(name) = given.keys().find(|name| !known.contains(name)) {
        if reading.dim.iter().any(|(fixed, _)| fixed == name) {
            return Err(output::usage(format!("--size {name}: --dim {name} has fixed it")));
        }
        let there = match known.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are: {}", known.join(", ")),
        };
        let message = format!("--size {name}: there is no size `{name}` of an input; {there}");
        return Err(output::usage(message));
    }
    for (name, size) in fixed {
        given.entry(name).or_insert(size);
    }
    let sizes = airconv_api::inputs::sizes(module, &given);
    airconv_api::inputs::seeded(module, running.seed, &sizes).map_err(output::usage)
}

/// Runs a program; where nodes of it wait for sizes or values of inputs, as it is for these.
pub(crate) fn run_on(
    registry: &Registry,
    executor: &dyn Executor,
    program: &Verified<'_>,
    inputs: &BTreeMap<String, Datum>,
    options: &RunOptions,
    report: &mut Report,
) -> Result<Vec<(String, Datum)>, airconv_api::Failed> {
    if executor.takes_opaque() {
        return executor.run(program, inputs, options, report);
    }
    match registry.for_inputs(program.module(), inputs, report) {
        None => executor.run(program, inputs, options, report),
        Some(module) => {
            let left = inputs_left(&module, inputs);
            match verify(&module, Stage::Imported) {
                Ok(fixed) => executor.run(&fixed, &left, options, report),
                Err(_) => executor.run(program, inputs, options, report),
            }
        }
    }
}

/// Those of some inputs that a program has.
pub(crate) fn inputs_left(
    module: &Module,
    inputs: &BTreeMap<String, Datum>,
) -> BTreeMap<String, Datum> {
    let names = module.main().inputs.iter().map(|input| &input.name);
    names.filter_map(|name| Some((name.clone(), inputs.get(name)?.clone()))).collect()
}

/// The inputs in a file.
fn inputs_of(module: &Module, path: &Path) -> Result<BTreeMap<String, Datum>, Exit> {
    let of = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let members = airconv_api::npz::read(path).map_err(|e| {
        output::error(of(&e));
        match e {
            NpzError::Io(_) => Exit::System,
            NpzError::Zip(_) | NpzError::Member { .. } => Exit::Malformed,
        }
    })?;
    airconv_api::inputs::from_members(module, members).map_err(|e| {
        output::error(of(&e));
        Exit::Malformed
    })
}

/// Whether a second program takes the inputs that were made for the first; what it does not take
/// is a result of the comparison.
pub(crate) fn same_inputs(
    second: &Module,
    inputs: &BTreeMap<String, Datum>,
    common: &Common,
) -> Result<(), Exit> {
    let misfits = airconv_api::inputs::misfits(second, inputs);
    if misfits.is_empty() {
        return Ok(());
    }
    if common.json {
        output::json(&json!({ "agree": false, "inputs": misfits, "outputs": [] }));
    } else {
        misfits.iter().for_each(output::line);
        output::line("NOT the same: their inputs differ");
    }
    Err(Exit::No)
}

/// The executor of a name, if it can be used here.
pub(crate) fn executor<'r>(registry: &'r Registry, name: &str) -> Result<&'r dyn Executor, Exit> {
    let Some(executor) = registry.executor_named(name) else {
        let known: Vec<&str> = registry.executors().map(|e| e.name()).collect();
        let known = known.join(", ");
        return Err(output::usage(format!("there is no executor `{name}`; there are {known}")));
    };
    let available = executor.available();
    available.map_err(|e| output::system(format!("executor `{name}`: {e}")))?;
    Ok(executor)
}
