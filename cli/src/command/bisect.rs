//! `airconv bisect A B` and `airconv bisect IN --opt LIST`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airconv_api::bisect::{Found, Guilty, Options, first_difference, reproducer};
use airconv_api::compare::{Distance, outputs};
use airconv_api::inputs::sizes_fixed_by;
use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Registry, Report, RunOptions, WriteOptions};
use airconv_ir::interp::Datum;
use airconv_ir::module::{Def, Module};
use airconv_ir::pass::{LogLevel, Rewrite};
use airconv_ir::text::print_node;
use airconv_ir::verify::Stage;
use serde_json::{Value, json};

use crate::Exit;
use crate::args::{Bisect, Common, Optimising};
use crate::output::{self, Progress};
use crate::session;

pub(crate) fn run(registry: &Registry, args: &Bisect) -> Result<(), Exit> {
    let (reading, common) = (&args.reading, &args.common);
    // Both are run in the interpreter, which alone can stop at every value.
    session::refuse_unused_by(&[&InterpreterExecutor], &args.running.options())?;
    let mut report = Report::default();
    let agree = match (&args.b, args.optimising.opt.as_str()) {
        (None, "none") => {
            let message = "give a second program, or --opt with what is to be searched";
            return Err(output::usage(message));
        }
        (Some(_), opt) if opt != "none" => {
            return Err(output::usage("give a second program or --opt, not both"));
        }
        (Some(path), _) => {
            let (a, b) =
                session::read_both(registry, (&args.a, path), reading, common, &mut report)?;
            session::verified(&a, Stage::Imported, common, &mut report)?;
            session::verified(&b, Stage::Imported, common, &mut report)?;
            output::report(&report, common);
            let inputs = session::inputs(&a, &args.running, reading, sizes_fixed_by(&b, &a))?;
            session::same_inputs(&b, &inputs, common)?;
            programs(registry, args, &a, &b, &inputs)?
        }
        (None, _) if args.repro.is_some() => {
            return Err(output::usage("--repro needs a second program"));
        }
        (None, _) => {
            let a = session::read(registry, &args.a, reading, common, &mut report)?;
            session::verified(&a, Stage::Imported, common, &mut report)?;
            output::report(&report, common);
            let inputs = session::inputs(&a, &args.running, reading, BTreeMap::new())?;
            rewrites(args, &a, &inputs)?
        }
    };
    if agree { Ok(()) } else { Err(Exit::No) }
}

/// Finds the first value that differs; whether the outputs agree.
fn programs(
    registry: &Registry,
    args: &Bisect,
    a: &Module,
    b: &Module,
    inputs: &BTreeMap<String, Datum>,
) -> Result<bool, Exit> {
    let options = Options { rtol: args.rtol, atol: args.atol, waiting_bytes: args.max_waiting };
    let found = {
        let _progress = Progress::start("running both in the interpreter", &args.common);
        first_difference(a, b, inputs, &options).map_err(|e| {
            output::error(format!("{}: {e}", args.a.display()));
            Exit::System
        })?
    };
    let agree = found.stopped.is_none()
        && found.outputs.iter().all(|(_, d)| d.agrees())
        && a.main().outputs.len() == b.main().outputs.len();
    let mut files = Vec::new();
    if let (Some(file), Some(guilty)) = (&args.repro, &found.first) {
        files = write_reproducers(registry, file, a, b, guilty, inputs, &args.common)?;
    }
    if args.common.json {
        output::json(&found_json(a, b, &found, agree, &files));
        return Ok(agree);
    }
    match &found.first {
        Some(guilty) => {
            let among = if agree { ", though the outputs agree" } else { "" };
            output::line(format!("the first value that differs{among}:"));
            for (name, module, value) in [("A", a, guilty.a), ("B", b, guilty.b)] {
                let (line, origin) = line_of(module, value);
                output::line(format!("  {name}  {line}"));
                if let Some(origin) = origin {
                    output::line(format!("     at {origin}"));
                }
            }
            output::line(format!("  {}", output::distance(&guilty.distance)));
            for (name, cone) in [("A", &guilty.cone_a), ("B", &guilty.cone_b)] {
                let from: Vec<&str> = cone.inputs.iter().map(|(_, n)| n.as_str()).collect();
                let from = match from.as_slice() {
                    [] => "constants".to_owned(),
                    some => some.join(", "),
                };
                output::line(format!(
                    "  {name} makes it in {} nodes from {from}",
                    cone.nodes.len()
                ));
            }
        }
        None if agree => output::line("no value differs"),
        None => output::line("no value that both have differs before the outputs"),
    }
    let skipped = match found.skipped {
        0 => String::new(),
        n => format!(", {n} not compared (--max-waiting)"),
    };
    output::line(format!(
        "{} values compared, {} of A without counterpart in B{skipped}",
        found.compared, found.alone
    ));
    if let Some(why) = &found.stopped {
        output::line(format!("B stopped: {why}"));
    }
    output::rows(&found.outputs);
    if let [wrong, right] = files.as_slice() {
        output::line(format!("try: airconv verify {} {}", right.display(), wrong.display()));
    }
    Ok(agree)
}

/// The line of the node that makes a value, or the input, and its place in the source.
fn line_of(module: &Module, value: airconv_ir::entity::ValueId) -> (String, Option<String>) {
    let f = module.main();
    match f.values[value].def {
        Def::Result { node, .. } => {
            let origin = module.source_of(f.nodes[node].origin).map(ToString::to_string);
            (print_node(module, module.entry, node), origin)
        }
        Def::Param { index, .. } => {
            let name = f.inputs.get(index as usize).map_or("", |i| i.name.as_str());
            (format!("input {name}"), None)
        }
    }
}

fn found_json(a: &Module, b: &Module, found: &Found, agree: bool, files: &[PathBuf]) -> Value {
    let first = found.first.as_ref().map(|g| {
        let side = |module: &Module, value, cone: &airconv_api::bisect::Cone| {
            let (line, origin) = line_of(module, value);
            let from: Vec<&str> = cone.inputs.iter().map(|(_, n)| n.as_str()).collect();
            json!({ "line": line, "origin": origin, "nodes": cone.nodes.len(), "from": from })
        };
        json!({
            "a": side(a, g.a, &g.cone_a), "b": side(b, g.b, &g.cone_b),
            "distance": output::distance_json(&g.distance),
        })
    });
    let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    json!({
        "agree": agree, "compared": found.compared, "skipped": found.skipped,
        "alone": found.alone, "first": first, "stopped": found.stopped,
        "outputs": output::rows_json(&found.outputs), "reproducers": files,
    })
}

/// Writes what is guilty in B, and what does the same in A.
fn write_reproducers(
    registry: &Registry,
    file: &Path,
    a: &Module,
    b: &Module,
    guilty: &Guilty,
    inputs: &BTreeMap<String, Datum>,
    common: &Common,
) -> Result<Vec<PathBuf>, Exit> {
    let Some(writer) = registry.writer_for(file, None) else {
        output::error(format!("the format of {} is not known", file.display()));
        return Err(Exit::Usage);
    };
    let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let right = file.with_extension(format!("right.{extension}"));
    let name = a.main().values[guilty.a].name.as_deref().unwrap_or("value");
    for (path, module, cone, value) in
        [(file, b, &guilty.cone_b, guilty.b), (&right, a, &guilty.cone_a, guilty.a)]
    {
        let small = reproducer(module, cone, value, name, inputs).map_err(|e| {
            output::error(format!("a reproducer cannot be made: {e}"));
            Exit::Unsupported
        })?;
        let mut report = Report::default();
        let verified = session::verified(&small, Stage::Imported, common, &mut report)?;
        writer
            .write(&verified, path, &WriteOptions::default(), &mut report)
            .map_err(|failed| session::fail(&report, common, failed))?;
    }
    Ok(vec![file.to_owned(), right])
}

/// Finds the rewrite after which outputs differ; whether none is needed.
fn rewrites(
    args: &Bisect,
    module: &Module,
    inputs: &BTreeMap<String, Datum>,
) -> Result<bool, Exit> {
    let mut want = Vec::new();
    let mut rows = |module: &Module| -> Result<Vec<(String, Distance)>, Exit> {
        let mut report = Report::default();
        let verified = session::verified(module, Stage::Imported, &args.common, &mut report)?;
        let got = InterpreterExecutor
            .run(&verified, inputs, &RunOptions::default(), &mut report)
            .map_err(|failed| session::fail(&report, &args.common, failed))?;
        if want.is_empty() {
            want.clone_from(&got);
        }
        Ok(outputs(&want, &got, args.rtol, args.atol))
    };
    rows(module)?;
    let quiet = Common { quiet: true, ..args.common.clone() };
    let limited = |limit: Option<u64>, log: LogLevel| {
        let mut copy = module.clone();
        let optimising = Optimising { opt_limit: limit, ..args.optimising.clone() };
        let (cx, _) = session::optimise(&mut copy, &optimising, log, &quiet)?;
        Ok::<_, Exit>((copy, cx))
    };
    let (all, cx) = limited(args.optimising.opt_limit, LogLevel::Counts)?;
    let (total, last) = (cx.applied(), rows(&all)?);
    let mut tries = 1;
    let mut guilty: Option<(Rewrite, Vec<(String, Distance)>)> = None;
    let agree = last.iter().all(|(_, d)| d.agrees());
    if !agree {
        // The outputs agree after `good` rewrites, and not after `bad`.
        let (mut good, mut bad, mut far) = (0, total, last);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let found = rows(&limited(Some(middle), LogLevel::Counts)?.0)?;
            tries += 1;
            if found.iter().all(|(_, d)| d.agrees()) {
                good = middle;
            } else {
                (bad, far) = (middle, found);
            }
        }
        let (_, cx) = limited(Some(bad), LogLevel::Full)?;
        let Some(rewrite) = cx.log.into_iter().find(|r| r.number == bad) else {
            output::error(format!("rewrite #{bad} is not in the log"));
            return Err(Exit::System);
        };
        guilty = Some((rewrite, far));
    }
    if args.common.json {
        let first = guilty.as_ref().map(|(rewrite, far)| {
            json!({ "rewrite": output::rewrite_json(rewrite), "outputs": output::rows_json(far) })
        });
        output::json(&json!({
            "agree": agree, "rewrites": total, "runs": tries, "guilty": first,
        }));
        return Ok(agree);
    }
    match &guilty {
        Some((rewrite, far)) => {
            output::line(format!("of {total} rewrites this one makes the outputs differ:"));
            output::rewrite(rewrite);
            output::rows(far);
        }
        None => output::line(format!("the outputs agree after all {total} rewrites")),
    }
    Ok(agree)
}
