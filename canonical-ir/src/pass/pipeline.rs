//! Lists of passes by name, and their run.

use std::collections::BTreeMap;

use super::{Editor, Outcome, Pass, PassCx};
use crate::diag::Diagnostic;
use crate::module::Module;
use crate::verify::{Stage, verify};

/// A list of passes, repeated until nothing changes or not.
pub struct Pipeline {
    passes: Vec<Box<dyn Pass>>,
    repeat: bool,
}

/// Why a pipeline could not be made or did not finish.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PipelineError {
    /// No pass and no pipeline has that name.
    #[error("there is no pass or pipeline `{name}`; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// A pass left a module that does not verify.
    #[error("after pass `{pass}` the module does not verify: {}", first(diagnostics))]
    Broken {
        /// The pass.
        pass: &'static str,
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
    },
}

fn first(diagnostics: &[Diagnostic]) -> String {
    diagnostics.first().map(|d| d.message.clone()).unwrap_or_default()
}

/// What one pass did over a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassSummary {
    /// How often it ran.
    pub runs: u64,
    /// How many rewrites it made.
    pub rewrites: u64,
    /// Why it did not look at the module.
    pub declined: Option<String>,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By pass.
    pub passes: BTreeMap<&'static str, PassSummary>,
    /// How often the list was run.
    pub rounds: u32,
}

impl Summary {
    /// The rewrites of all passes.
    pub fn rewrites(&self) -> u64 {
        self.passes.values().map(|p| p.rewrites).sum()
    }
}

/// Every pass.
pub fn all_passes() -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(super::propagate::Propagate),
        Box::new(super::canonicalise::Canonicalise),
        Box::new(super::fold::Fold),
        Box::new(super::cse::Cse),
        Box::new(super::dce::Dce),
        Box::new(super::raise_softmax::RaiseSoftmax),
        Box::new(super::raise_layer_norm::RaiseLayerNorm),
        Box::new(super::raise_rms_norm::RaiseRmsNorm),
        Box::new(super::raise_gelu::RaiseGelu),
        Box::new(super::raise_swish::RaiseSwish),
        Box::new(super::raise_attention::RaiseAttention),
        Box::new(super::fuse_conv_bn::FuseConvBn),
        Box::new(super::fuse_matmul_add::FuseMatmulAdd),
    ]
}

/// The named pipelines with their passes.
pub const PIPELINES: &[(&str, &[&str])] =
    &[("none", &[]), ("basic", BASIC), ("fuse", FUSE), ("all", FUSE)];

const BASIC: &[&str] = &["propagate", "canonicalise", "fold", "cse", "dce"];
const FUSE: &[&str] = &[
    "propagate",
    "canonicalise",
    "fold",
    "cse",
    "dce",
    "raise_softmax",
    "raise_layer_norm",
    "raise_rms_norm",
    "raise_gelu",
    "raise_swish",
    "raise_attention",
    "fuse_conv_bn",
    "fuse_matmul_add",
];

impl Pipeline {
    /// The passes of a comma list of pass and pipeline names. One pipeline name alone is
    /// repeated until nothing changes; a list is run once, in its order.
    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
        let mut wanted = Vec::new();
        let mut repeat = false;
        for name in &names {
            match PIPELINES.iter().find(|(n, _)| n == name) {
                Some((_, passes)) => {
                    wanted.extend_from_slice(passes);
                    repeat = names.len() == 1;
                }
                None => wanted.push(name),
            }
        }
        let mut passes = Vec::new();
        for name in wanted {
            match all_passes().into_iter().find(|p| p.name() == name) {
                Some(pass) => passes.push(pass),
                None => {
                    return Err(PipelineError::Unknown {
                        name: name.to_owned(),
                        known: known_names(),
                    });
                }
            }
        }
        Ok(Self { passes, repeat })
    }
    /// A list of passes that is run once.
    pub fn of(passes: Vec<Box<dyn Pass>>) -> Self {
        Self { passes, repeat: false }
    }
    /// The names of the passes.
    pub fn names(&self) -> Vec<&'static str> {
        self.passes.iter().map(|p| p.name()).collect()
    }
}

fn known_names() -> String {
    let mut names: Vec<&str> = PIPELINES.iter().map(|(n, _)| *n).collect();
    names.extend(all_passes().iter().map(|p| p.name()));
    names.join(", ")
}

/// The least complete types in reach of a module's functions.
fn stage_of(module: &Module) -> Stage {
    let complete = module.functions.values().all(|f| {
        super::editor::reachable_regions(f).into_iter().filter_map(|r| f.regions.get(r)).all(|r| {
            let nodes = r.nodes.iter().flat_map(|&n| f.nodes[n].outputs());
            nodes.chain(r.params.iter().copied()).all(|v| f.ty(v).is_canonical())
        })
    });
    if complete { Stage::Canonical } else { Stage::Imported }
}

/// Runs the passes of a pipeline on a module.
pub fn run_pipeline(
    module: &mut Module,
    pipeline: &Pipeline,
    cx: &mut PassCx,
) -> Result<Summary, PipelineError> {
    let mut summary = Summary::default();
    if pipeline.passes.is_empty() {
        return Ok(summary);
    }
    let rounds = if pipeline.repeat { cx.options.rounds.max(1) } else { 1 };
    // By pass: how many rewrites there were in all when it last found nothing to do.
    let mut settled: BTreeMap<&'static str, u64> = BTreeMap::new();
    for _ in 0..rounds {
        let start = cx.applied();
        summary.rounds += 1;
        for pass in &pipeline.passes {
            if cx.exhausted() {
                return Ok(summary);
            }
            if pipeline.repeat && settled.get(pass.name()) == Some(&cx.applied()) {
                continue;
            }
            let entry = summary.passes.entry(pass.name()).or_default();
            if pass.needs() > Stage::Imported && stage_of(module) < pass.needs() {
                entry.declined = Some("some types are not known".to_owned());
                continue;
            }
            entry.runs += 1;
            let before = cx.applied();
            match pass.run(&mut Editor::new(module), cx) {
                Outcome::Changed(n) => entry.rewrites += n,
                Outcome::NoEffect => {}
                Outcome::Declined(why) => entry.declined = Some(why),
            }
            if cx.applied() == before {
                settled.insert(pass.name(), before);
            }
            if let Some(stage) = cx.options.verify
                && let Err(diagnostics) = verify(module, stage)
            {
                return Err(PipelineError::Broken { pass: pass.name(), diagnostics });
            }
        }
        if cx.applied() == start {
            break;
        }
    }
    Ok(summary)
}
