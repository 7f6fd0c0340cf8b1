//! `airconv inspect IN`

use airconv_api::{Registry, Report};
use serde_json::json;

use crate::Exit;
use crate::args::Input;
use crate::facts::{Facts, size};
use crate::{output, session};

pub(crate) fn run(registry: &Registry, args: &Input) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    let facts = Facts::of(&module);
    if args.common.json {
        let pairs = |v: &[(String, String)]| -> Vec<_> {
            v.iter().map(|(n, t)| json!({"name": n, "type": t})).collect()
        };
        output::json(&json!({
            "inputs": pairs(&facts.inputs), "outputs": pairs(&facts.outputs),
            "symbols": facts.symbols, "opsets": module.opsets, "functions": facts.functions,
            "nodes": facts.nodes, "ops": facts.ops,
            "opaque": facts.opaque.iter().map(|(k, (n, why))| json!({"op": k, "count": n, "reason": why})).collect::<Vec<_>>(),
            "parameters": facts.parameters, "parameter_bytes": facts.bytes,
        }));
        return Ok(());
    }
    output::report(&report, &args.common);
    for (title, list) in [("inputs", &facts.inputs), ("outputs", &facts.outputs)] {
        output::line(format!("{title}:"));
        list.iter().for_each(|(n, t)| output::line(format!("  {n}: {t}")));
    }
    if !facts.symbols.is_empty() {
        output::line(format!("sizes:      {}", facts.symbols.join(", ")));
    }
    let opsets: Vec<String> = module.opsets.iter().map(|(k, v)| format!("{k} {v}")).collect();
    output::line(format!("opsets:     {}", opsets.join(", ")));
    output::line(format!("parameters: {} ({})", facts.parameters, size(facts.bytes)));
    output::line(format!("nodes:      {} in {} functions", facts.nodes, facts.functions));
    let mut ops: Vec<(&String, &usize)> = facts.ops.iter().collect();
    ops.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), name.as_str()));
    ops.iter().for_each(|(name, n)| output::line(format!("  {n:6}  {name}")));
    if !facts.opaque.is_empty() {
        output::line("without meaning here (passed through unchanged):");
        for (op, (n, why)) in &facts.opaque {
            output::line(format!("  {n:6}  {op}: {why}"));
        }
    }
    Ok(())
}
