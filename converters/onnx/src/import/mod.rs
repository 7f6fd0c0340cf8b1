//! Reading: from messages to a module at stage `Imported`.
//!
//! A rule per op makes one hub node (plus implicit `broadcast` and `dims_of` nodes). What a
//! rule cannot give meaning to yet, because a rank or an axis is only known at run time,
//! stays an opaque node with its source op and is written back unchanged.

mod attrs;
mod function;
mod graph;
mod node;
mod opaque;
mod reread;
mod rules;
mod tensor;
mod types;

mod activation;
mod attention;
mod control;
mod conv;
mod elementwise;
mod image;
mod index;
mod linear;
mod ml;
mod norm;
mod quant;
mod random;
mod reduce;
mod rnn;
mod sequence;
mod shape;
mod signal;
mod string;
mod training;

use std::collections::BTreeMap;
use std::sync::Arc;

use airconv_api::{Failed, ReadOptions, Report};
use airconv_ir::diag::Diagnostic;
use airconv_ir::entity::{FuncId, ValueId};
use airconv_ir::module::{Entity, Module, Origin};
use airconv_ir::specialize::Bodies;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::common::{self, NEWEST, NEWEST_IR, OLDEST_READ};
use crate::external::ExternalFiles;
use crate::proto::{FunctionProto, ModelProto};

pub(crate) use reread::reread;
pub use rules::{ImportRule, all_rules};
pub use tensor::tensor_from_proto;
pub(crate) use types::UNNAMED;

/// The state of one reading.
pub(crate) struct Importer<'p> {
    module: Module,
    files: Option<ExternalFiles>,
    options: &'p ReadOptions,
    report: &'p mut Report,
    functions: FxHashMap<(&'p str, &'p str, &'p str), &'p FunctionProto>,
    specialised: Vec<(function::Key<'p>, FuncId)>,
    active: Vec<(&'p str, &'p str, &'p str)>,
    function_names: FxHashSet<String>,
    ir_version: i64,
    nodes: u64,
    expanded: u64,
    unknown: BTreeMap<String, (u64, String)>,
    onnx: Arc<str>,
    /// The regions of the node that is read again.
    bodies: Option<&'p mut (dyn Bodies + 'p)>,
    /// What these regions capture.
    captures: &'p [ValueId],
}

/// Reads a model. `files` gives external data.
pub fn import_model(
    model: &ModelProto,
    files: Option<ExternalFiles>,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, Failed> {
    let opsets = check_opsets(model, report)?;
    let Some(graph) = &model.graph else {
        report.error("onnx-no-graph", "the model has no graph");
        return Err(Failed::Malformed);
    };
    if !model.training_info.is_empty() {
        report.lossy("onnx-training-info", "training information is not kept", "model");
    }
    let mut module = Module::default();
    module.origins.push(Origin::Unknown);
    module.opsets = opsets.iter().map(|(d, v)| (opset_key(d), *v)).collect();
    model_notes(&mut module, model);
    let mut functions = FxHashMap::default();
    for f in &model.functions {
        let key = (common::domain(f.domain()), f.name(), f.overload());
        if functions.insert(key, f).is_some() {
            report.error(
                "onnx-function-twice",
                format!("function {}::{} is defined twice", key.0, key.1),
            );
        }
    }
    let mut importer = Importer {
        module,
        files,
        functions,
        ir_version: model.ir_version(),
        ..Importer::bare(options, report)
    };
    let entry = importer.main_graph(graph, &opsets);
    importer.report_unknown();
    let Importer { mut module, report, .. } = importer;
    module.entry = entry;
    if report.has_errors() { Err(Failed::Malformed) } else { Ok(module) }
}

/// The key of a domain in [`Module::opsets`].
pub(crate) fn opset_key(domain: &str) -> String {
    if domain.is_empty() { "onnx".to_owned() } else { format!("onnx:{domain}") }
}

fn check_opsets(model: &ModelProto, report: &mut Report) -> Result<BTreeMap<String, i64>, Failed> {
    let mut opsets = BTreeMap::new();
    for entry in &model.opset_import {
        let domain = common::domain(entry.domain()).to_owned();
        if opsets.insert(domain.clone(), entry.version()).is_some_and(|v| v != entry.version()) {
            report.error(
                "onnx-opset-twice",
                format!("domain `{domain}` is imported at two versions"),
            );
            return Err(Failed::Malformed);
        }
    }
    if opsets.is_empty() {
        report.error("onnx-no-opset", "the model imports no operator set");
        return Err(Failed::Malformed);
    }
    match opsets.get(common::ONNX) {
        Some(&v) if !(OLDEST_READ..=NEWEST).contains(&v) => {
            let message =
                format!("opset {v} is outside the supported range {OLDEST_READ} to {NEWEST}");
            let help = if v > NEWEST {
                "a newer version of this program may read it"
            } else {
                "convert it to opset 7 or later with onnx.version_converter first"
            };
            report.push(Diagnostic::error("onnx-opset-range", message).help(help));
            Err(Failed::Unsupported)
        }
        _ => Ok(opsets),
    }
}

fn model_notes(module: &mut Module, model: &ModelProto) {
    let about = Entity::Module;
    module.note(about, "onnx.ir_version", model.ir_version().to_string());
    module.note(about, "onnx.producer_name", model.producer_name());
    module.note(about, "onnx.producer_version", model.producer_version());
    module.note(about, "onnx.domain", model.domain());
    if model.model_version.is_some() {
        module.note(about, "onnx.model_version", model.model_version().to_string());
    }
    module.note(about, "onnx.doc", model.doc_string());
    for entry in &model.metadata_props {
        module.note(about, &format!("onnx.meta.{}", entry.key()), entry.value());
    }
}

impl<'p> Importer<'p> {
    /// An importer of nothing yet.
    fn bare(options: &'p ReadOptions, report: &'p mut Report) -> Self {
        Self {
            module: Module::default(),
            files: None,
            options,
            report,
            functions: FxHashMap::default(),
            specialised: Vec::new(),
            active: Vec::new(),
            function_names: FxHashSet::default(),
            ir_version: NEWEST_IR,
            nodes: 0,
            expanded: 0,
            unknown: BTreeMap::new(),
            onnx: "onnx".into(),
            bodies: None,
            captures: &[],
        }
    }

    /// Notes an op without rule, to be reported with all others at the end.
    fn note_unknown(&mut self, op: String, place: String) {
        self.unknown.entry(op).or_insert((0, place)).0 += 1;
    }

    fn report_unknown(&mut self) {
        for (op, (count, place)) in std::mem::take(&mut self.unknown) {
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            self.report.push(
                Diagnostic::warning("onnx-opaque-op", format!("`{op}` has no meaning here; it passes through unchanged (used {times})"))
                    .at(place)
                    .help("executors refuse it; declare its result types with --op-types FILE if they are missing"),
            );
        }
    }
}
