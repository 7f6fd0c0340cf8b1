//! `airconv opt IN --opt LIST --explain`

use airconv_api::{Registry, Report};
use airconv_ir::verify::Stage;
use serde_json::json;

use crate::Exit;
use crate::args::Opt;
use crate::{output, session};

pub(crate) fn run(registry: &Registry, args: &Opt) -> Result<(), Exit> {
    let mut report = Report::default();
    let mut module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    output::report(&report, &args.common);
    let count = |m: &airconv_ir::module::Module| -> usize {
        m.functions.values().map(|f| f.regions.values().map(|r| r.nodes.len()).sum::<usize>()).sum()
    };
    let before = count(&module);
    let cx = session::optimise(&mut module, &args.optimising, &args.common)?;
    let after = count(&module);
    session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    if args.common.json {
        let rewrites: Vec<_> = cx.log.iter().map(|e| json!({"pass": e.pass, "function": e.function, "before": e.before, "after": e.after, "reason": e.reason})).collect();
        let declined: Vec<_> = cx.declined.iter().map(|d| json!({"pass": d.pass, "at": d.at, "reason": d.reason})).collect();
        output::json(&json!({"before": before, "after": after, "rewrites": rewrites, "declined": declined}));
        return Ok(());
    }
    let mut per_pass: Vec<(String, usize)> = Vec::new();
    for e in &cx.log {
        match per_pass.iter_mut().find(|(p, _)| *p == e.pass) {
            Some((_, n)) => *n += 1,
            None => per_pass.push((e.pass.to_string(), 1)),
        }
    }
    for (pass, n) in per_pass {
        output::line(format!("{n:6}  {pass}"));
    }
    if args.explain {
        for e in &cx.log {
            output::line(format!("{}: {}", e.pass, e.reason));
            e.before.iter().for_each(|l| output::line(format!("  - {l}")));
            e.after.iter().for_each(|l| output::line(format!("  + {l}")));
        }
        for d in &cx.declined {
            output::line(format!("{} declined at {}: {}", d.pass, d.at, d.reason));
        }
    }
    output::line(format!("{before} nodes before, {after} after"));
    Ok(())
}
