//! A program in the interpreter and in candle.

use std::collections::BTreeMap;

use airconv_api::{Executor, Report, RunOptions};
use airconv_candle::CandleExecutor;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};

/// Inputs by name.
pub type Named = BTreeMap<String, Datum>;

/// What the interpreter makes of a program.
pub fn interpreted(module: &Module, inputs: &Named) -> Vec<(String, Datum)> {
    Interpreter::new(module.clone(), EvalLimits::default()).run(inputs).unwrap()
}

/// The executors of this build whose device is there; of others it is said that they are skipped.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub fn executors() -> Vec<CandleExecutor> {
    let there = |e: &CandleExecutor| match e.available() {
        Ok(()) => true,
        Err(why) => {
            eprintln!("{}: skipped: {why}", e.name());
            false
        }
    };
    CandleExecutor::all().into_iter().filter(there).collect()
}

/// What candle makes of a program, on each device.
pub fn executed(module: &Module, inputs: &Named) -> Vec<Vec<(String, Datum)>> {
    let verified = verify(module, Stage::Canonical).unwrap();
    let run = |executor: CandleExecutor| {
        let mut report = Report::default();
        executor
            .run(&verified, inputs, &RunOptions::default(), &mut report)
            .unwrap_or_else(|_| panic!("{}: {report:?}", executor.name()))
    };
    executors().into_iter().map(run).collect()
}
