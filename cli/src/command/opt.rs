//! `airconv opt IN --opt LIST --explain`

use airconv_api::{Registry, Report};
use airconv_ir::pass::{LogLevel, PassCx};
use airconv_ir::verify::Stage;
use serde_json::json;

use crate::Exit;
use crate::args::Opt;
use crate::{facts, output, session};

pub(crate) fn run(registry: &Registry, args: &Opt) -> Result<(), Exit> {
    let mut report = Report::default();
    let mut module =
        session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    output::report(&report, &args.common);
    let before = facts::nodes(&module);
    let log = LogLevel::Full;
    let (cx, _) = session::optimise(&mut module, &args.optimising, log, &args.common)?;
    let after = facts::nodes(&module);
    session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    if args.common.json {
        output::json(&json!({
            "before": before, "after": after, "rewrites": output::rewrites_json(&cx), "declined": output::declined_json(&cx),
        }));
        return Ok(());
    }
    let mut per_pass: Vec<(&str, u64)> = Vec::new();
    for e in &cx.log {
        match per_pass.iter_mut().find(|(p, _)| *p == e.pass) {
            Some((_, n)) => *n += 1,
            None => per_pass.push((e.pass, 1)),
        }
    }
    per_pass.iter().for_each(|(pass, n)| output::line(format!("{n:6}  {pass}")));
    if args.explain {
        explain(&cx);
    }
    output::line(format!("{before} nodes before, {after} after"));
    Ok(())
}

fn explain(cx: &PassCx) {
    cx.log.iter().for_each(output::rewrite);
    for ((pass, reason), d) in &cx.declined {
        output::line(format!("{pass} declined {} times: {reason} (first: {})", d.count, d.first));
    }
}
