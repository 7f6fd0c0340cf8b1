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

/// What candle makes of a program.
pub fn executed(module: &Module, inputs: &Named) -> Vec<(String, Datum)> {
    let verified = verify(module, Stage::Canonical).unwrap();
    let mut report = Report::default();
    CandleExecutor
        .run(&verified, inputs, &RunOptions::default(), &mut report)
        .unwrap_or_else(|_| panic!("{report:?}"))
}
