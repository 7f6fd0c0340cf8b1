//! What executors make of random programs.

use std::collections::BTreeMap;

use airconv_api::compare::distance;
use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::verify::{Stage, verify};

use super::{Program, program};

/// What came of a program on an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All outputs are as the interpreter's; this many could be told apart.
    Agrees(usize),
    /// The interpreter itself fails, by name.
    NoReference(String),
    /// The executor refuses, by name.
    Refused(String),
    /// An output differs.
    Differs(String),
}

type Outputs = BTreeMap<String, Datum>;

fn outputs(
    executor: &dyn Executor,
    program: &Program,
    options: &RunOptions,
) -> Result<Outputs, String> {
    let verified = verify(&program.module, Stage::Imported)
        .map_err(|e| format!("it does not verify: {e:?}"))?;
    let mut report = Report::default();
    match executor.run(&verified, &program.inputs, options, &mut report) {
        Ok(all) => Ok(all.into_iter().collect()),
        Err(_) => {
            Err(report.diagnostics.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "))
        }
    }
}

/// The greatest magnitude among the finite elements; `None` where an element is not finite.
fn greatest(datum: &Datum) -> Option<f64> {
    let numbers = datum.as_array()?.to_f64s()?;
    numbers.iter().try_fold(0.0, |m: f64, x| x.is_finite().then(|| m.max(x.abs())))
}

/// How far an output may be from the reference, given what more exact arithmetic makes of it, and
/// what it becomes where inputs change in their last bits; `None` where rounding leaves nothing to
/// compare.
fn allowed(grain: f64, narrow: &Datum, wide: Option<&Datum>, moved: Option<&Datum>) -> Option<f64> {
    if grain == 0.0 {
        return Some(0.0);
    }
    let most = greatest(narrow)?;
    let noise = distance(&as_f64(narrow)?, wide?, 0.0, 0.0);
    if noise.structural.is_some() {
        return None;
    }
    let moved = distance(narrow, moved?, 0.0, 0.0);
    if moved.structural.is_some() {
        return None;
    }
    let allowed = 32.0 * grain * most + 64.0 * noise.max_abs + 8.0 * moved.max_abs;
    // A noise that drowns the numbers says that the program is not worth computing.
    (allowed <= 0.05 * most || allowed < 1e-30).then_some(allowed)
}

fn as_f64(datum: &Datum) -> Option<Datum> {
    let array = datum.as_array()?;
    if !array.dtype.is_float() {
        return Some(datum.clone());
    }
    let numbers = array.to_f64s()?;
    Some(Array::from_f64s(DType::F64, array.shape.clone(), &numbers).ok()?.into())
}

/// Programs and what the interpreter makes of them, narrow and wide.
pub struct Judged {
    program: Program,
    reference: Result<Outputs, String>,
    wide: Outputs,
    moved: Outputs,
}

/// The program with its inputs of 32 bits changed in their last bits.
fn moved(mut program: Program) -> Program {
    for datum in program.inputs.values_mut() {
        let Some(array) = datum.as_array() else { continue };
        if array.dtype != DType::F32 {
            continue;
        }
        let Some(numbers) = array.to_f64s() else { continue };
        let changed = |(i, x): (usize, f64)| {
            // One up, one down and one as it is.
            x * (1.0 + f64::from(f32::EPSILON) * ((i % 3) as f64 - 1.0))
        };
        let numbers: Vec<f64> = numbers.into_iter().enumerate().map(changed).collect();
        if let Ok(array) = Array::from_f64s(DType::F32, array.shape.clone(), &numbers) {
            *datum = array.into();
        }
    }
    program
}

impl Judged {
    /// The program of a seed.
    pub fn new(seed: u64, steps: usize) -> Self {
        let options = RunOptions::default();
        let narrow = program(seed, steps, false);
        let reference = outputs(&InterpreterExecutor, &narrow, &options);
        let wide = outputs(&InterpreterExecutor, &program(seed, steps, true), &options);
        let moved = outputs(&InterpreterExecutor, &moved(program(seed, steps, false)), &options);
        let (wide, moved) = (wide.unwrap_or_default(), moved.unwrap_or_default());
        Self { program: narrow, reference, wide, moved }
    }
    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }
    /// Runs it.
    pub fn on(&self, executor: &dyn Executor, options: &RunOptions) -> Verdict {
        let reference = match &self.reference {
            Ok(reference) => reference,
            Err(why) => return Verdict::NoReference(why.clone()),
        };
        let got = match outputs(executor, &self.program, options) {
            Ok(got) => got,
            Err(why) => return Verdict::Refused(why),
        };
        let mut compared = 0;
        for (name, want) in reference {
            let Some(have) = got.get(name) else {
                return Verdict::Differs(format!("there is no output {name}"));
            };
            let grain = self.program.grains.get(name).copied().unwrap_or(0.0);
            let (wide, moved) = (self.wide.get(name), self.moved.get(name));
            let Some(atol) = allowed(grain, want, wide, moved) else { continue };
            let found = distance(have, want, 0.0, atol);
            if !found.agrees() {
                let by = found
                    .structural
                    .unwrap_or_else(|| format!("{:e} where {atol:e} is allowed", found.max_abs));
                return Verdict::Differs(format!("{name}: {by}"));
            }
            compared += 1;
        }
        Verdict::Agrees(compared)
    }
}

/// The least number of steps after which the program of a seed still fails so, and what fails.
pub fn shrink(
    seed: u64,
    steps: usize,
    executor: &dyn Executor,
    options: &RunOptions,
) -> (usize, Verdict) {
    let fails = |verdict: &Verdict| matches!(verdict, Verdict::Differs(_));
    for fewer in 1..steps {
        let verdict = Judged::new(seed, fewer).on(executor, options);
        if fails(&verdict) {
            return (fewer, verdict);
        }
    }
    (steps, Judged::new(seed, steps).on(executor, options))
}
