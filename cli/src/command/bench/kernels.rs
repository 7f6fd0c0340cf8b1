//! What each kernel takes, how it is done, and why so.

use std::collections::BTreeMap;

use airconv_ir::interp::Datum;
use airconv_kernel::lower::Lowered;
use airconv_kernel::run::{Machine, RunError, RunLimits, Spent, Timed};
use airconv_llvm::executor::Compiled;
use serde_json::{Value, json};

use crate::output;

/// Runs that are measured, after two that are not.
const RUNS: u32 = 10;

/// A kernel and what it takes.
struct Row {
    /// The last op of those that are done in it.
    name: String,
    how: String,
    why: String,
    /// Launches of one run.
    launches: u64,
    /// Microseconds of one run.
    micros: f64,
}

/// The kernels of a program, slowest first.
pub(super) struct Kernels(Vec<Row>);

impl Kernels {
    /// Runs the program some times and notes what each kernel takes.
    ///
    /// # Errors
    /// When a run stops.
    pub(super) fn measure(
        lowered: &Lowered,
        compiled: &Compiled,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Self, RunError> {
        let timed = Timed::new(compiled);
        let mut machine = Machine::new(lowered, &timed, RunLimits::default());
        for _ in 0..2 {
            machine.run(inputs)?;
        }
        timed.take();
        for _ in 0..RUNS {
            machine.run(inputs)?;
        }
        let row = |(i, spent): (usize, Spent)| {
            let explained = compiled.explained(i)?;
            Some(Row {
                name: lowered.program.kernels.get(i)?.name.clone(),
                how: match compiled.chained(i) {
                    Some(chained) => format!("{}; {chained}", explained.how),
                    None => explained.how.clone(),
                },
                why: explained.why.clone(),
                launches: spent.launches / u64::from(RUNS),
                micros: spent.time.as_secs_f64() * 1e6 / f64::from(RUNS),
            })
        };
        let spent = timed.take().into_iter().enumerate();
        let mut rows: Vec<Row> = spent.filter(|(_, s)| s.launches > 0).filter_map(row).collect();
        rows.sort_by(|a, b| b.micros.total_cmp(&a.micros));
        Ok(Self(rows))
    }

    fn total(&self) -> f64 {
        self.0.iter().map(|r| r.micros).sum()
    }

    /// A table for people.
    pub(super) fn print(&self) {
        let total = self.total();
        let launches: u64 = self.0.iter().map(|r| r.launches).sum();
        output::line(format!(
            "\n{} kernels, {launches} launches, {total:.0} us of each run, slowest first",
            self.0.len()
        ));
        output::line(format!("{:>6} {:>10} {:>5}  last op", "share", "us", "runs"));
        for Row { name, how, why, launches, micros } in &self.0 {
            let share = micros / total * 100.0;
            output::line(format!("{share:5.1}% {micros:10.1} {launches:5}  {name}"));
            output::line(format!("{:25}{how}", ""));
            output::line(format!("{:25}because {why}", ""));
        }
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let row = |r: &Row| {
            json!({
                "last_op": r.name,
                "how": r.how,
                "why": r.why,
                "launches": r.launches,
                "us": r.micros,
            })
        };
        self.0.iter().map(row).collect()
    }
}
