//! `airconv verify A B`

use std::collections::BTreeMap;

use airconv_api::compare::{Distance, outputs};
use airconv_api::inputs::{sizes_fixed_by, sizes_of};
use airconv_api::{Diagnostic, Registry, Report};
use airconv_ir::verify::Stage;
use serde_json::json;

use crate::Exit;
use crate::args::Verify;
use crate::output::{self, Progress};
use crate::session;

pub(crate) fn run(registry: &Registry, args: &Verify) -> Result<(), Exit> {
    let (first, second) = match args.executor.as_slice() {
        [] => ("interpreter", "interpreter"),
        [one] => (one.as_str(), one.as_str()),
        [a, b] => (a.as_str(), b.as_str()),
        _ => return Err(output::usage("--executor is given more than twice")),
    };
    let executors = [session::executor(registry, first)?, session::executor(registry, second)?];
    let options = args.running.options();
    session::refuse_unused_by(&executors, &options)?;
    let (common, mut report) = (&args.common, Report::default());
    let (a, b) =
        session::read_both(registry, (&args.a, &args.b), &args.reading, common, &mut report)?;
    let verified = [
        session::verified(&a, Stage::Imported, common, &mut report)?,
        session::verified(&b, Stage::Imported, common, &mut report)?,
    ];
    let inputs = session::inputs(&a, &args.running, &args.reading, sizes_fixed_by(&b, &a))?;
    session::same_inputs(&b, &inputs, common)?;
    let mut results = Vec::new();
    for (module, executor) in verified.iter().zip(executors) {
        let _progress = Progress::start(&format!("running on {}", executor.name()), common);
        match session::run_on(registry, executor, module, &inputs, &options, &mut report) {
            Ok(outputs) => results.push(outputs),
            Err(failed) => return Err(session::fail(&report, common, failed)),
        }
    }
    let [want, got] = results.as_slice() else { return Err(Exit::System) };
    let rows = outputs(want, got, args.rtol, args.atol);
    warn_of_nothing(&rows, &mut report);
    output::report(&report, common);
    let agree = rows.iter().all(|(_, d)| d.agrees()) && want.len() == got.len();
    print(args, &sizes_of(&a, &inputs), &rows, agree);
    if agree { Ok(()) } else { Err(Exit::No) }
}

/// Warns of outputs that agree because there is nothing in them.
fn warn_of_nothing(rows: &[(String, Distance)], report: &mut Report) {
    for (name, d) in rows.iter().filter(|(_, d)| d.says_nothing()) {
        let what = if d.elements == 0 { "is empty" } else { "is NaN throughout, on both sides" };
        let message = format!("output `{name}` {what}: nothing was compared");
        let help = "try other inputs (--seed, --inputs) or sizes (--size)";
        report.push(Diagnostic::warning("verify-nothing", message).help(help));
    }
}

fn print(args: &Verify, sizes: &BTreeMap<String, i64>, rows: &[(String, Distance)], agree: bool) {
    if args.common.json {
        output::json(&json!({
            "agree": agree, "rtol": args.rtol, "atol": args.atol, "sizes": sizes,
            "outputs": output::rows_json(rows),
        }));
        return;
    }
    if !sizes.is_empty() {
        let sizes: Vec<String> = sizes.iter().map(|(name, n)| format!("{name}={n}")).collect();
        output::line(format!("sizes: {}", sizes.join(", ")));
    }
    output::rows(rows);
    let verdict = match agree {
        true if rows.iter().all(|(_, d)| d.says_nothing()) => "nothing differs, nothing compared",
        true => "the same",
        false => "NOT the same",
    };
    output::line(format!("{verdict} within rtol {:e}, atol {:e}", args.rtol, args.atol));
}
