//! Models: operator sets, functions, and what stands around the main graph.

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::ir::entity::FuncId;
use airconv_api::ir::module::{Entity, Module};
use airconv_api::ir::op::Op;
use airconv_api::ir::verify::{Stage, Verified, verify};
use airconv_api::legalize::legalize;
use airconv_api::{Failed, Report, WriteOptions};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Exporter;
use crate::common::{self, MICROSOFT, ML, NEWEST, OLDEST_WRITTEN};
use crate::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// The opset of programs that come from elsewhere.
pub(super) const DEFAULT_OPSET: i64 = 21;

/// The lowest IR version for each opset from 13 on.
const IR_VERSIONS: &[(i64, i64)] =
    &[(13, 7), (15, 8), (19, 9), (21, 10), (23, 11), (24, 12), (25, 13), (28, 14)];

/// Writes a module as a message. Data stays shared with the module.
pub fn export_model(
    verified: &Verified<'_>,
    options: &WriteOptions,
    report: &mut Report,
) -> Result<ModelProto, Failed> {
    let source = verified.module();
    let opset = target_opset(source, options, report)?;
    let opsets = target_opsets(source, opset);
    let names = FxHashMap::default();
    let legal = legalize(source, report, |module, func, node| {
        let mut ex = Exporter::new(module, func, &opsets, &names);
        ex.probe = true;
        let n = &module.functions[func].nodes[node];
        ex.write(node, n).map_err(|r| r.0)
    })?;
    if let Err(errors) = verify(&legal, Stage::Imported) {
        report.diagnostics.extend(errors);
        return Err(Failed::Unsupported);
    }
    write_model(&legal, opset, &opsets, report)
}

fn target_opset(
    module: &Module,
    options: &WriteOptions,
    report: &mut Report,
) -> Result<i64, Failed> {
    let asked = options.opset.unwrap_or_else(|| {
        module.opsets.get("onnx").map_or(DEFAULT_OPSET, |&v| v.max(OLDEST_WRITTEN))
    });
    if (OLDEST_WRITTEN..=NEWEST).contains(&asked) {
        return Ok(asked);
    }
    report.error(
        "onnx-opset-range",
        format!("opset {asked} cannot be written; choose one from {OLDEST_WRITTEN} to {NEWEST}"),
    );
    Err(Failed::Unsupported)
}

fn target_opsets(module: &Module, opset: i64) -> BTreeMap<String, i64> {
    let mut out = BTreeMap::from([
        (ML.to_owned(), 3),
        (MICROSOFT.to_owned(), 1),
        (common::PREVIEW.to_owned(), 1),
        (common::TRAINING.to_owned(), 1),
    ]);
    for (key, &version) in &module.opsets {
        if let Some(domain) = key.strip_prefix("onnx:") {
            out.insert(domain.to_owned(), version);
        }
    }
    out.insert(String::new(), opset);
    out
}

fn write_model(
    module: &Module,
    opset: i64,
    opsets: &BTreeMap<String, i64>,
    report: &mut Report,
) -> Result<ModelProto, Failed> {
    let names = function_names(module);
    let mut domains = BTreeSet::new();
    let mut functions = Vec::new();
    let mut done = BTreeSet::new();
    let mut main = Exporter::new(module, module.entry, opsets, &names);
    let graph = main.main_graph(report);
    domains.append(&mut main.domains);
    let mut pending = main.called;
    while let Some(func) = pending.pop_first() {
        if !done.insert(func) {
            continue;
        }
        let mut ex = Exporter::new(module, func, opsets, &names);
        ex.constant_nodes = true;
        match ex.function() {
            Ok(f) => functions.push(f),
            Err(e) => report
                .error("onnx-write", format!("function {}: {}", module.functions[func].name, e.0)),
        }
        domains.append(&mut ex.domains);
        pending.append(&mut ex.called);
    }
    if report.has_errors() {
        return Err(Failed::Unsupported);
    }
    let Some(graph) = graph else { return Err(Failed::Unsupported) };
    for key in module.opsets.keys() {
        domains.insert(key.strip_prefix("onnx:").unwrap_or("").to_owned());
    }
    if domains.is_empty() {
        // A program of constants only; a model has to import something.
        domains.insert(String::new());
    }
    let ir = ir_version(opset, module, !functions.is_empty());
    let note = |key: &str| module.noted(Entity::Module, key).map(str::to_owned);
    Ok(ModelProto {
        ir_version: Some(ir),
        producer_name: note("onnx.producer_name").or_else(|| Some("airconv".to_owned())),
        producer_version: note("onnx.producer_version"),
        domain: note("onnx.domain"),
        model_version: note("onnx.model_version").and_then(|v| v.parse().ok()),
        doc_string: note("onnx.doc"),
        graph: Some(graph),
        opset_import: domains
            .into_iter()
            .map(|d| OperatorSetIdProto {
                version: Some(opsets.get(&d).copied().unwrap_or(1)),
                domain: Some(d),
            })
            .collect(),
        metadata_props: meta_props(module, Entity::Module),
        functions,
        ..Default::default()
    })
}

/// The lowest IR version for an opset and the features used.
fn ir_version(opset: i64, module: &Module, functions: bool) -> i64 {
    let by_opset = IR_VERSIONS.iter().rev().find(|(o, _)| *o <= opset).map_or(7, |(_, ir)| *ir);
    let overloads = module.functions.values().flat_map(|f| f.nodes.values()).any(
        |n| matches!(&n.op, Op::Call(c) if c.source.as_ref().is_some_and(|s| !s.overload.is_empty())),
    );
    let meta = module.notes.iter().any(|(e, notes)| {
        *e != Entity::Module && notes.keys().any(|k| k.starts_with("onnx.meta."))
    });
    let by_features = if overloads || meta {
        10
    } else if functions {
        8
    } else {
        0
    };
    by_opset.max(by_features)
}

pub(super) fn meta_props(module: &Module, about: Entity) -> Vec<StringStringEntryProto> {
    let Some(notes) = module.notes.get(&about) else { return Vec::new() };
    let entry = |(k, v): (&String, &String)| {
        k.strip_prefix("onnx.meta.")
            .map(|key| StringStringEntryProto { key: Some(key.to_owned()), value: Some(v.clone()) })
    };
    notes.iter().filter_map(entry).collect()
}

/// The domain, name and overload under which each function is written.
fn function_names(module: &Module) -> FxHashMap<FuncId, (String, String, String)> {
    let mut out: FxHashMap<FuncId, (String, String, String)> = FxHashMap::default();
    let mut taken: FxHashSet<(String, String, String)> = FxHashSet::default();
    for node in module.functions.values().flat_map(|f| f.nodes.values()) {
        let Op::Call(call) = &node.op else { continue };
        if out.contains_key(&call.function) {
            continue;
        }
        let mut key = match &call.source {
            Some(s) if s.format == "onnx" => (s.domain.clone(), s.name.clone(), s.overload.clone()),
            _ => {
                let name = module.functions.get(call.function).map_or("f", |f| f.name.as_str());
                (
                    "airconv".to_owned(),
                    name.replace(|c: char| !c.is_alphanumeric(), "_"),
                    String::new(),
                )
            }
        };
        let stem = key.1.clone();
        let mut i = 1;
        while !taken.insert(key.clone()) {
            i += 1;
            key.1 = format!("{stem}_{i}");
        }
        out.insert(call.function, key);
    }
    out
}
