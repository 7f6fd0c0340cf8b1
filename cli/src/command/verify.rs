//! `airconv verify A B`

use airconv_api::compare::{Distance, outputs};
use airconv_api::{Registry, Report};
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
        _ => {
            output::error("--executor is given more than twice");
            return Err(Exit::Usage);
        }
    };
    let executors = [session::executor(registry, first)?, session::executor(registry, second)?];
    let mut report = Report::default();
    let mut modules = Vec::new();
    for path in [&args.a, &args.b] {
        modules.push(session::read(registry, path, &args.reading, &args.common, &mut report)?);
    }
    let inputs =
        modules.first().map(|m| session::inputs(m, &args.running)).transpose()?.unwrap_or_default();
    let mut results = Vec::new();
    for (module, executor) in modules.iter().zip(executors) {
        let verified = session::verified(module, Stage::Imported, &args.common, &mut report)?;
        let _progress = Progress::start(&format!("running on {}", executor.name()), &args.common);
        match executor.run(&verified, &inputs, &args.running.options(), &mut report) {
            Ok(outputs) => results.push(outputs),
            Err(failed) => return Err(session::fail(&report, &args.common, failed)),
        }
    }
    output::report(&report, &args.common);
    let [want, got] = results.as_slice() else { return Err(Exit::System) };
    let rows = outputs(want, got, args.rtol, args.atol);
    let agree = rows.iter().all(|(_, d)| d.agrees()) && want.len() == got.len();
    print(args, &rows, agree);
    if agree { Ok(()) } else { Err(Exit::No) }
}

fn print(args: &Verify, rows: &[(String, Distance)], agree: bool) {
    if args.common.json {
        output::json(&json!({
            "agree": agree, "rtol": args.rtol, "atol": args.atol,
            "outputs": output::rows_json(rows),
        }));
        return;
    }
    output::rows(rows);
    let verdict = if agree { "the same" } else { "NOT the same" };
    output::line(format!("{verdict} within rtol {:e}, atol {:e}", args.rtol, args.atol));
}
