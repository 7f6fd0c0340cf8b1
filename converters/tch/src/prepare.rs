//! From a module and inputs to a program of operator calls with what it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use airconv_api::inputs::sizes_of;
use airconv_api::{Failed, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::diag::Diagnostic;
use airconv_ir::dtype::DType;
use airconv_ir::entity::TensorId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{ArgKindRole, InputRole, Module, OutputRole};
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::tensor::Tensor as Stored;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, Verified, verify};
use airconv_torch::export::export;
use airconv_torch::export::program::{Arg, Input, Kind, Program};

use crate::error::{Error, Result};
use crate::tensor::kind_of;

/// The most nodes that fixing sizes makes.
const MOST_NODES: u64 = 10_000_000;

/// The one loss that does not concern a run: inputs have defaults, which are given here.
const DEFAULTS: &str = "torch-default";

/// An output of the module: its name and the sizes that are known of it.
pub struct Wanted {
    /// Its place among the outputs of the module.
    place: usize,
    name: String,
    /// The shape, if it has no symbol.
    shape: Option<Vec<usize>>,
}

/// A program with what it is given.
pub struct Job {
    /// The calls.
    pub program: Program,
    /// What the caller gives, in the order of the program's inputs.
    pub given: Vec<(ArgKindRole, Array)>,
    /// One per output of the program.
    wanted: Vec<Wanted>,
}

impl Job {
    /// The program of a module for these inputs.
    pub fn new(
        verified: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        report: &mut Report,
    ) -> std::result::Result<Self, Failed> {
        let module = with_stored(verified.module(), inputs).map_err(|e| failed(report, e))?;
        let program = program_for(&module, inputs, report)?;
        let given = given(&module, inputs).map_err(|e| failed(report, e))?;
        Ok(Self { program, given, wanted: wanted(&module) })
    }

    /// Refuses dtypes that tch has no name for: of what is given and returned, or of all values.
    pub fn check_dtypes(&self, all: bool, report: &mut Report) -> std::result::Result<(), Failed> {
        let graph = &self.program.graph;
        let returned = graph.outputs.iter().filter_map(|o| match o {
            Arg::Tensor(var) => Some(*var),
            _ => None,
        });
        let users = graph.inputs.iter().zip(&self.program.inputs);
        let users = users.filter(|(_, i)| matches!(i, Input::User(_))).map(|(v, _)| *v);
        let ends = users.chain(returned).filter_map(|v| self.program.var(v));
        let inner = self.program.vars.iter().filter(|_| all);
        let dtypes: BTreeSet<DType> = ends
            .chain(inner)
            .filter_map(|v| match &v.kind {
                Kind::Tensor(ty) => Some(ty.dtype),
                Kind::Int(_) => None,
            })
            .collect();
        for e in dtypes.into_iter().filter_map(|d| kind_of(d).err()) {
            report.error("run-unsupported", e.0);
        }
        if report.has_errors() { Err(Failed::Unsupported) } else { Ok(()) }
    }

    /// Runs this with PyTorch's settings in place. What panics there is an error here.
    pub fn run(
        self,
        options: &RunOptions,
        report: &mut Report,
        run: impl FnOnce(&Self) -> Result<Vec<Array>>,
    ) -> std::result::Result<Vec<(String, Datum)>, Failed> {
        let work = || {
            tch::set_num_threads(threads(options));
            let _guard = tch::no_grad_guard();
            run(&self)
        };
        let arrays = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Error("libtorch panicked".to_owned())))
            .map_err(|e| failed(report, e))?;
        self.named(arrays).map_err(|e| failed(report, e))
    }

    fn named(&self, arrays: Vec<Array>) -> Result<Vec<(String, Datum)>> {
        let mut out = Vec::new();
        for (wanted, array) in self.wanted.iter().zip(arrays) {
            let array = match &wanted.shape {
                // An integer is a tensor of one element in the hub.
                Some(shape) if *shape != array.shape && array.numel() == 1 => {
                    array.reshape(shape.clone()).map_err(|e| Error(e.to_string()))?
                }
                _ => array,
            };
            out.push((wanted.place, wanted.name.clone(), array.into()));
        }
        out.sort_by_key(|(place, _, _)| *place);
        Ok(out.into_iter().map(|(_, name, datum)| (name, datum)).collect())
    }
}

fn failed(report: &mut Report, e: Error) -> Failed {
    report.push(Diagnostic::error("run-failed", e.0));
    Failed::System
}

fn threads(options: &RunOptions) -> i32 {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let count = if options.threads == 0 { all() } else { options.threads };
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The module with those stored tensors replaced that inputs are given for.
fn with_stored(module: &Module, inputs: &BTreeMap<String, Datum>) -> Result<Module> {
    let mut module = module.clone();
    let entry = module.entry;
    for i in 0..module.main().inputs.len() {
        let input = &module.main().inputs[i];
        if matches!(input.role, InputRole::User { .. }) {
            continue;
        }
        let Some(array) = inputs.get(&input.name).and_then(Datum::as_array) else { continue };
        let tensor = Stored::from_array(array).map_err(|e| Error(e.to_string()))?;
        let id = module.tensors.push(tensor);
        let role = &mut module.functions[entry].inputs[i].role;
        match role {
            InputRole::Param(stored) | InputRole::State(stored) => *stored = Some(id),
            InputRole::User { .. } => {}
        }
    }
    Ok(module)
}

/// The program of a module; where decompositions ask for sizes, those of the inputs are taken.
fn program_for(
    module: &Module,
    inputs: &BTreeMap<String, Datum>,
    report: &mut Report,
) -> std::result::Result<Program, Failed> {
    let mut first = Report::default();
    if let Ok(program) = program_of(module, &mut first) {
        return Ok(program);
    }
    let dims = sizes_of(module, inputs);
    if !dims.is_empty() {
        let given = Given { dims, max_nodes: MOST_NODES, ..Given::default() };
        if let Ok(fixed) = specialize(module.clone(), &given, &[]) {
            return program_of(&fixed, report);
        }
    }
    report.diagnostics.append(&mut first.diagnostics);
    Err(Failed::Unsupported)
}

fn program_of(module: &Module, report: &mut Report) -> std::result::Result<Program, Failed> {
    let mut own = Report::default();
    let program = match verify(module, Stage::Imported) {
        Ok(verified) => export(&verified, &mut own),
        Err(errors) => {
            own.diagnostics.extend(errors);
            Err(Failed::Malformed)
        }
    };
    let refused = program.is_ok() && own.refused(&[DEFAULTS.to_owned()]);
    if program.is_err() || refused {
        report.diagnostics.append(&mut own.diagnostics);
    }
    if refused { Err(Failed::Unsupported) } else { program }
}

/// What the caller gives, or the defaults of the module.
fn given(module: &Module, inputs: &BTreeMap<String, Datum>) -> Result<Vec<(ArgKindRole, Array)>> {
    let stored = |id: TensorId| module.tensors[id].to_array().map_err(|e| Error(e.to_string()));
    let mut out = Vec::new();
    for input in &module.main().inputs {
        let InputRole::User { default, kind } = &input.role else { continue };
        let array = match (inputs.get(&input.name), default) {
            (Some(datum), _) => datum
                .as_array()
                .cloned()
                .ok_or_else(|| Error(format!("input `{}` is no tensor", input.name)))?,
            (None, Some(id)) => stored(*id)?,
            (None, None) => return Err(Error(format!("input `{}` is not given", input.name))),
        };
        out.push((*kind, array));
    }
    Ok(out)
}

/// The outputs in the order of the program's: what changes something comes first.
fn wanted(module: &Module) -> Vec<Wanted> {
    let f = module.main();
    let (mut changed, mut user) = (Vec::new(), Vec::new());
    for (place, (output, &value)) in f.outputs.iter().zip(&f.body().results).enumerate() {
        let dims = match f.ty(value) {
            Type::Tensor(t) => t.shape.iter().map(|d| d.as_known()).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let shape = dims.and_then(|d| d.into_iter().map(|n| usize::try_from(n).ok()).collect());
        let one = Wanted { place, name: output.name.clone(), shape };
        match output.role {
            OutputRole::User(_) => user.push(one),
            OutputRole::StateUpdate(_) | OutputRole::InputUpdate(_) => changed.push(one),
        }
    }
    changed.append(&mut user);
    changed
}
