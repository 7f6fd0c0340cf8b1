//! The reference interpreter as an executor.

use std::collections::BTreeMap;

use airconv_ir::diag::Diagnostic;
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::verify::Verified;

use crate::{Executor, Failed, Report, RunOptions};

/// Runs modules in the interpreter of the hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct InterpreterExecutor;

impl Executor for InterpreterExecutor {
    fn name(&self) -> &'static str {
        "interpreter"
    }
    fn available(&self) -> Result<(), String> {
        Ok(())
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        _options: &RunOptions,
        report: &mut Report,
    ) -> Result<Vec<(String, Datum)>, Failed> {
        let mut interpreter = Interpreter::new(module.module().clone(), EvalLimits::default());
        interpreter.run(inputs).map_err(|e| {
            let (code, failed) = match e.root() {
                EvalError::Unsupported(_) | EvalError::Decompose(_) | EvalError::NotCore => {
                    ("run-unsupported", Failed::Unsupported)
                }
                EvalError::Limit(_) => ("run-limit", Failed::System),
                _ => ("run-failed", Failed::System),
            };
            report.push(Diagnostic::error(code, e.to_string()));
            failed
        })
    }
}
