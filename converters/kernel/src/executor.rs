//! Kernel programs as executors: lowering with what the inputs say, and the executor that runs
//! kernels in the interpreter of this level.

use std::collections::BTreeMap;

pub use airconv_api::inputs::sizes_of;
use airconv_api::{Choice, Executor, Failed, Report, RunOptions};
use airconv_ir::diag::Diagnostic;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::verify::Verified;

use crate::lower::{LowerOptions, Lowered, Stop, lower};
use crate::run::{Machine, Oracle, RunError, RunLimits};

/// Lowers a module; where decompositions ask for sizes, the sizes of these inputs are taken.
///
/// # Errors
/// See [`lower`].
pub fn lower_for(
    module: &Module,
    inputs: &BTreeMap<String, Datum>,
    options: LowerOptions,
) -> Result<Lowered, Stop> {
    match lower(module, options) {
        Err(Stop::NeedsSizes(why)) => {
            let dims = sizes_of(module, inputs);
            if dims.is_empty() {
                return Err(Stop::NeedsSizes(why));
            }
            let given = Given { dims, max_nodes: 10_000_000, ..Given::default() };
            let fixed = specialize(module.clone(), &given, &[]).map_err(|errors| {
                let first = errors.first().map(ToString::to_string);
                Stop::NeedsSizes(format!("{why}; {}", first.unwrap_or_default()))
            })?;
            lower(&fixed, options)
        }
        other => other,
    }
}

/// Reports why a module could not be lowered.
pub fn report_stop(stop: &Stop, report: &mut Report) -> Failed {
    report.push(Diagnostic::error("run-unsupported", stop.to_string()));
    Failed::Unsupported
}

/// Reports why a run stopped.
pub fn report_run(error: &RunError, report: &mut Report) -> Failed {
    let (code, failed) = match error {
        RunError::Unsupported(_) => ("run-unsupported", Failed::Unsupported),
        RunError::Limit(_) => ("run-limit", Failed::System),
        RunError::Failed(_) | RunError::Input(_) | RunError::Internal(_) => {
            ("run-failed", Failed::System)
        }
    };
    report.push(Diagnostic::error(code, error.to_string()));
    failed
}

/// Runs modules as kernels in the interpreter of the kernel IR.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelExecutor;

impl Executor for KernelExecutor {
    fn name(&self) -> &'static str {
        "kernel"
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::NativeOnly]
    }
    fn available(&self) -> Result<(), String> {
        Ok(())
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        options: &RunOptions,
        report: &mut Report,
    ) -> Result<Vec<(String, Datum)>, Failed> {
        let lower = LowerOptions { host: !options.native_only, ..LowerOptions::default() };
        let lowered =
            lower_for(module.module(), inputs, lower).map_err(|stop| report_stop(&stop, report))?;
        let oracle = Oracle(&lowered.program);
        let mut machine = Machine::new(&lowered, oracle, RunLimits::default());
        machine.run(inputs).map_err(|e| report_run(&e, report))
    }
}
