//! `airconv diff A B`

use airconv_api::diff::{Change, Diff, FunctionDiff, Place, Port, diff};
use airconv_api::{Registry, Report};
use airconv_ir::verify::Stage;
use serde_json::{Value, json};

use crate::Exit;
use crate::args::Diff as Args;
use crate::output::{self, Mark, Progress};
use crate::session;

pub(crate) fn run(registry: &Registry, args: &Args) -> Result<(), Exit> {
    let mut report = Report::default();
    let paths = (args.a.as_path(), args.b.as_path());
    let (a, b) = session::read_both(registry, paths, &args.reading, &args.common, &mut report)?;
    for module in [&a, &b] {
        session::verified(module, Stage::Imported, &args.common, &mut report)?;
    }
    let found = {
        let _progress = Progress::start("comparing", &args.common);
        diff(&a, &b)
    };
    output::report(&report, &args.common);
    if args.common.json {
        output::json(&as_json(&found));
    } else {
        print(&found, args);
    }
    if found.is_empty() { Ok(()) } else { Err(Exit::No) }
}

fn print(found: &Diff, args: &Args) {
    for (title, list) in [("input", &found.inputs), ("output", &found.outputs)] {
        for Port { name, a, b } in list {
            match (a, b) {
                (Some(a), Some(b)) => {
                    output::marked(Mark::Changed, &format!("{title} {name}: {a} is now {b}"));
                }
                (Some(a), None) => output::marked(Mark::Removed, &format!("{title} {name}: {a}")),
                (None, Some(b)) => output::marked(Mark::Added, &format!("{title} {name}: {b}")),
                (None, None) => {}
            }
        }
    }
    let limit = args.limit.unwrap_or(usize::MAX);
    for f in &found.functions {
        let wanted = |c: &&Change| {
            !args.common.quiet && (c.a.is_some() || !c.why.is_empty() || c.b.is_some())
        };
        let shown: Vec<&Change> = f.changes.iter().filter(wanted).collect();
        if found.functions.len() > 1 && !(f.changes.is_empty() && f.retyped.is_empty()) {
            output::line(format!("function {}:", f.name));
        }
        shown.iter().take(limit).for_each(|c| change(c));
        if shown.len() > limit {
            output::line(format!("and {} more; see them with --limit N", shown.len() - limit));
        }
        if args.common.verbose {
            f.retyped.iter().for_each(change);
        }
    }
    if !found.ops.is_empty() {
        output::line("ops:");
        for (op, (a, b)) in &found.ops {
            output::line(format!("  {a:6} -> {b:<6} {op}"));
        }
    }
    let sum =
        |count: fn(&FunctionDiff) -> usize| -> usize { found.functions.iter().map(count).sum() };
    let kind = |a: bool, b: bool| -> usize {
        let all = found.functions.iter().flat_map(|f| &f.changes);
        all.filter(|c| c.a.is_some() == a && c.b.is_some() == b).count()
    };
    let retyped = match sum(|f| f.retyped.len()) {
        0 => String::new(),
        n => {
            format!(", {n} with other types only{}", if args.common.verbose { "" } else { " (-v)" })
        }
    };
    if found.is_empty() {
        output::line(format!("the same: {} nodes, constants among them", sum(|f| f.same)));
    } else {
        output::line(format!(
            "{} changed, {} removed, {} added{retyped}, {} the same",
            kind(true, true) + kind(false, false),
            kind(true, false),
            kind(false, true),
            sum(|f| f.same)
        ));
    }
}

fn change(c: &Change) {
    let place = |mark: Mark, p: &Place| {
        let origin = p.origin.as_ref().map_or(String::new(), |o| format!("   at {o}"));
        output::marked(mark, &format!("{}{origin}", p.line));
    };
    match (&c.a, &c.b) {
        (Some(a), Some(b)) => {
            place(Mark::Changed, a);
            c.why.iter().for_each(|w| output::line(format!("      {w}")));
            output::line(format!("      now {}", b.line));
        }
        (Some(a), None) => place(Mark::Removed, a),
        (None, Some(b)) => place(Mark::Added, b),
        (None, None) => c.why.iter().for_each(|w| output::marked(Mark::Changed, w)),
    }
}

fn as_json(found: &Diff) -> Value {
    let ports = |list: &[Port]| -> Vec<Value> {
        list.iter().map(|p| json!({ "name": p.name, "a": p.a, "b": p.b })).collect()
    };
    let place = |p: &Option<Place>| {
        p.as_ref()
            .map(|p| json!({ "node": p.node.to_string(), "line": p.line, "origin": p.origin }))
    };
    let changes = |list: &[Change]| -> Vec<Value> {
        list.iter().map(|c| json!({ "a": place(&c.a), "b": place(&c.b), "why": c.why })).collect()
    };
    let functions: Vec<Value> = found
        .functions
        .iter()
        .map(|f| {
            json!({
                "name": f.name, "same": f.same, "changes": changes(&f.changes),
                "retyped": changes(&f.retyped),
            })
        })
        .collect();
    let ops: serde_json::Map<String, Value> =
        found.ops.iter().map(|(op, (a, b))| (op.clone(), json!({ "a": a, "b": b }))).collect();
    json!({
        "same": found.is_empty(), "inputs": ports(&found.inputs),
        "outputs": ports(&found.outputs), "ops": ops, "functions": functions,
    })
}
