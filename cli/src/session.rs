//! What commands share: reading, verifying and optimising a program.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use airconv_api::{Diagnostic, Executor, Given, Limits, ReadOptions, Reader, Registry, Report};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::pass::{LogLevel, PassCx, PassOptions, Pipeline, Summary, run_pipeline};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, Verified, verify};

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
fn given(reading: &Reading) -> Result<Given, String> {
    let mut binds = BTreeMap::new();
    for (name, value) in &reading.bind {
        binds.insert(name.clone(), bound_value(value).map_err(|e| format!("--bind {name}: {e}"))?);
    }
    let op_types = match &reading.op_types {
        Some(path) => op_types(path).map_err(|e| format!("--op-types {}: {e}", path.display()))?,
        None => BTreeMap::new(),
    };
    let dims = reading.dim.iter().cloned().collect();
    let max_nodes = reading.max_nodes.unwrap_or(Limits::default().nodes);
    Ok(Given { dims, binds, op_types, max_nodes })
}

/// A bound value: `5` is a scalar, `5,` and `1,2` are vectors, `@FILE.npy` is that array.
/// Numbers with a point or an exponent are f32, others i64; `true` and `false` are bools.
fn bound_value(text: &str) -> Result<Datum, String> {
    if let Some(path) = text.strip_prefix('@') {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        return airconv_api::npz::parse_npy(&bytes)?.into_array(None).map(Datum::from);
    }
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

/// Lines `domain::Op = f32[1, 2], i64[]`; `#` starts a comment.
fn op_types(path: &Path) -> Result<BTreeMap<String, Vec<Type>>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
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
    read_with(registry, reader, path, reading, common, report)
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
    let given = given(reading).map_err(|e| {
        output::error(e);
        Exit::Usage
    })?;
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
    let pipeline = Pipeline::parse(&optimising.opt).map_err(|e| {
        output::error(format!("--opt: {e}"));
        Exit::Usage
    })?;
    let mut cx = PassCx::new(PassOptions {
        limit: optimising.opt_limit,
        fold_growth: optimising.fold_budget,
        log,
        ..PassOptions::default()
    });
    let _progress = Progress::start("optimising", common);
    let summary = run_pipeline(module, &pipeline, &mut cx).map_err(|e| {
        output::error(e.to_string());
        Exit::System
    })?;
    // Rewrites leave what they replaced in the arenas.
    airconv_ir::pass::compact(module);
    Ok((cx, summary))
}

/// The inputs of a run.
pub(crate) fn inputs(module: &Module, running: &Running) -> Result<BTreeMap<String, Datum>, Exit> {
    let sizes = running.size.iter().cloned().collect();
    let made = match &running.inputs {
        Some(path) => airconv_api::npz::read(path)
            .map_err(|e| format!("{}: {e}", path.display()))
            .and_then(|members| airconv_api::inputs::from_members(module, members)),
        None => airconv_api::inputs::seeded(module, running.seed, &sizes),
    };
    made.map_err(|e| {
        output::error(e);
        Exit::Malformed
    })
}

/// The executor of a name, if it can be used here.
pub(crate) fn executor<'r>(registry: &'r Registry, name: &str) -> Result<&'r dyn Executor, Exit> {
    let Some(executor) = registry.executor_named(name) else {
        let known: Vec<&str> = registry.executors().map(|e| e.name()).collect();
        output::error(format!("there is no executor `{name}`; there are {}", known.join(", ")));
        return Err(Exit::Usage);
    };
    executor.available().map_err(|e| {
        output::error(format!("executor `{name}`: {e}"));
        Exit::System
    })?;
    Ok(executor)
}
