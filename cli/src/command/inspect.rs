//! `airconv inspect IN`

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::{Registry, Report};
use airconv_ir::module::Module;
use airconv_ir::op::Op;
use airconv_ir::tensor::Storage;
use airconv_ir::verify::type_text;
use serde_json::json;

use crate::Exit;
use crate::args::Input;
use crate::{output, session};

/// What is shown of a program.
struct Facts {
    inputs: Vec<(String, String)>,
    outputs: Vec<(String, String)>,
    symbols: Vec<String>,
    nodes: usize,
    ops: BTreeMap<String, usize>,
    opaque: BTreeMap<String, (usize, String)>,
    parameters: u64,
    bytes: u64,
    functions: usize,
}

pub(crate) fn run(registry: &Registry, args: &Input) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    let facts = facts(&module);
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

fn facts(module: &Module) -> Facts {
    let f = module.main();
    let named = |values: &[airconv_ir::entity::ValueId], names: Vec<&String>| {
        names.into_iter().cloned().zip(values.iter().map(|&v| type_text(f, f.ty(v)))).collect()
    };
    let mut out = Facts {
        inputs: named(&f.body().params, f.inputs.iter().map(|i| &i.name).collect()),
        outputs: named(&f.body().results, f.outputs.iter().map(|o| &o.name).collect()),
        symbols: airconv_ir::specialize::size_names(module),
        nodes: 0,
        ops: BTreeMap::new(),
        opaque: BTreeMap::new(),
        parameters: 0,
        bytes: 0,
        functions: module.functions.len(),
    };
    let mut tensors = BTreeSet::new();
    for f in module.functions.values() {
        for &id in f.regions.values().flat_map(|r| &r.nodes) {
            let node = &f.nodes[id];
            tensors.extend(airconv_ir::visit::tensors_of(&node.op));
            match &node.op {
                Op::Constant(_) => {}
                Op::Opaque(o) => {
                    let name = o.source.full_name();
                    out.nodes += 1;
                    out.opaque.entry(name).or_insert((0, o.reason.clone())).0 += 1;
                }
                op => {
                    out.nodes += 1;
                    *out.ops.entry(op.name().to_owned()).or_default() += 1;
                }
            }
        }
    }
    for id in tensors {
        if let Some(t) = module.tensors.get(id) {
            out.parameters += t.numel().unwrap_or(0);
            out.bytes += match &t.storage {
                Storage::Strings(s) => s.iter().map(|s| s.len() as u64).sum(),
                _ => t.byte_len().unwrap_or(0),
            };
        }
    }
    out
}

fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}
