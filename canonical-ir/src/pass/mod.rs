//! Passes: rewrites of a module that keep what it computes.
//!
//! A [`Pass`] gets an [`Editor`], the only mutable access to a module, and a [`PassCx`], which
//! counts and logs rewrites, knows the budgets, and collects why a rewrite was declined. A
//! [`Pipeline`] is a list of passes; [`run_pipeline`] runs it until nothing changes.
//!
//! Each pass lists its cases by number. A pass looks at every node a bounded number of times,
//! so that a run takes time in proportion to the size of the module.

use std::collections::BTreeMap;

use crate::entity::{FuncId, NodeId};
use crate::module::Module;
use crate::verify::Stage;

pub mod compact;
pub mod editor;
pub mod effects;
pub mod matcher;
mod mentions;
pub mod pipeline;
pub mod symbols;
mod text;

pub mod canonicalise;
pub mod cse;
pub mod dce;
pub mod fold;
pub mod propagate;

pub mod fuse_conv_bn;
pub mod fuse_matmul_add;
pub mod raise_attention;
pub mod raise_gelu;
pub mod raise_layer_norm;
pub mod raise_rms_norm;
pub mod raise_softmax;
pub mod raise_swish;

#[cfg(test)]
mod tests;

pub use compact::compact;
pub use editor::{Editor, Site};
pub use pipeline::{PassSummary, Pipeline, PipelineError, Summary, run_pipeline};

/// A rewrite of a module that keeps what it computes.
pub trait Pass {
    /// The name, as in `--opt`.
    fn name(&self) -> &'static str;
    /// What it does, in one sentence.
    fn doc(&self) -> &'static str;
    /// The least complete types that it can work on.
    fn needs(&self) -> Stage {
        Stage::Imported
    }
    /// Rewrites the module.
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome;
}

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It made so many rewrites.
    Changed(u64),
    /// There was nothing to do.
    NoEffect,
    /// It did not look at the module.
    Declined(String),
}

impl Outcome {
    /// The outcome of so many rewrites.
    pub fn of(rewrites: u64) -> Self {
        if rewrites == 0 { Self::NoEffect } else { Self::Changed(rewrites) }
    }
}

/// How much of each rewrite is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Counts only.
    #[default]
    Counts,
    /// The text before and after, the reason and the place.
    Full,
}

/// Budgets and switches of a run.
#[derive(Clone, Debug)]
pub struct PassOptions {
    /// The most rewrites of the whole run; for bisection.
    pub limit: Option<u64>,
    /// By how many bytes one folded constant may be larger than what it replaces.
    pub fold_growth: u64,
    /// The most bytes of operands that are read to fold one node.
    pub fold_operand_bytes: u64,
    /// The most elements of the operands of a node that takes more than one step per element.
    pub fold_heavy_elements: u64,
    /// What the log keeps.
    pub log: LogLevel,
    /// The most entries of the log; later rewrites are counted only.
    pub log_entries: usize,
    /// Verify the module after each pass at this stage.
    pub verify: Option<Stage>,
    /// How often a named pipeline is repeated at most.
    pub rounds: u32,
}

impl Default for PassOptions {
    fn default() -> Self {
        Self {
            limit: None,
            fold_growth: 0,
            fold_operand_bytes: 256 << 20,
            fold_heavy_elements: 1 << 17,
            log: LogLevel::Counts,
            log_entries: 100_000,
            verify: None,
            rounds: 4,
        }
    }
}

/// One rewrite, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Its number in the run, from 1.
    pub number: u64,
    /// The pass.
    pub pass: &'static str,
    /// What was done and why.
    pub reason: &'static str,
    /// The function.
    pub func: String,
    /// The place in the source.
    pub place: Option<String>,
    /// The nodes that went, as text.
    pub before: Vec<String>,
    /// The nodes that came, as text.
    pub after: Vec<String>,
    /// By how many bytes the constants grew.
    pub bytes: i64,
}

/// Why a candidate was left as it is, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    /// How many candidates.
    pub count: u64,
    /// The place of the first one.
    pub first: String,
}

/// What a run of passes shares.
#[derive(Debug, Default)]
pub struct PassCx {
    /// Budgets and switches.
    pub options: PassOptions,
    /// Rewrites in order, when [`LogLevel::Full`] asks for them.
    pub log: Vec<Rewrite>,
    /// Declined candidates by pass and reason.
    pub declined: BTreeMap<(&'static str, String), Declined>,
    applied: u64,
}

impl PassCx {
    /// A context with these options.
    pub fn new(options: PassOptions) -> Self {
        Self { options, ..Self::default() }
    }
    /// How many rewrites were made.
    pub fn applied(&self) -> u64 {
        self.applied
    }
    /// Whether the limit of rewrites is reached.
    pub fn exhausted(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.applied >= limit)
    }
    /// Whether the log keeps text.
    pub fn logs(&self) -> bool {
        self.options.log == LogLevel::Full && self.log.len() < self.options.log_entries
    }
    /// Counts a rewrite and keeps its entry, which is made only if it is kept. The number is
    /// filled in.
    pub fn applied_one(&mut self, entry: impl FnOnce() -> Rewrite) {
        self.applied += 1;
        if self.logs() {
            let number = self.applied;
            self.log.push(Rewrite { number, ..entry() });
        }
    }
    /// Records that a candidate was left as it is.
    pub fn decline(
        &mut self,
        pass: &'static str,
        why: impl Into<String>,
        module: &Module,
        func: FuncId,
        node: NodeId,
    ) {
        let entry = self.declined.entry((pass, why.into()));
        entry.and_modify(|d| d.count += 1).or_insert_with(|| Declined {
            count: 1,
            first: place(module, func, node)
                .unwrap_or_else(|| text::line(&module.functions[func], node)),
        });
    }
}

/// The source place of a node.
pub(crate) fn place(module: &Module, func: FuncId, node: NodeId) -> Option<String> {
    let node = module.functions.get(func)?.nodes.get(node)?;
    module.source_of(node.origin).map(ToString::to_string)
}
