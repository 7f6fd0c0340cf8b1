//! Kernels that are done loop by loop: the text of their code, and how they are split.

use airconv_ir::dim::Dim;
use airconv_kernel::ir::{Expr, Kernel, Stmt, VarDef};
use airconv_kernel::phases;

use crate::compile::Modules;
use crate::error::{LlvmError, Result};
use crate::kernel::kernel_ir;
use crate::select;
use crate::target::Isa;

/// Elements that keep a thread busy for a few microseconds.
const ELEMENTS: i64 = 16_384;

/// A kernel as a function of a module that has to be compiled.
pub(crate) struct NestText {
    /// The function, a [`crate::pool::ChunkFn`] over a [`crate::kernel::Context`].
    pub(crate) name: String,
    /// The extent of its grid over the variables of `sizes`; `None` when it is not split.
    pub(crate) extent: Option<Dim>,
    /// The least number of grid items that is worth a thread.
    pub(crate) grain: u64,
    /// For each variable the size that it stands for.
    pub(crate) sizes: Vec<Option<u32>>,
    /// The kernel as it was emitted, where it may be the middle of a chain: it sums up rows of
    /// known sizes.
    pub(crate) rows: Option<Box<Kernel>>,
}

impl NestText {
    /// The code of a kernel for a level; its text goes to `modules`. Equal code has an equal name,
    /// so that it is compiled and cached once.
    ///
    /// # Errors
    /// When the kernel has no native form.
    pub(crate) fn new(kernel: &Kernel, isa: Isa, modules: &mut Modules) -> Result<NestText> {
        let phases = phases::in_one(kernel);
        let kernel = phases.as_ref().unwrap_or(kernel);
        let shared = select::share(kernel);
        let kernel = shared.as_ref().unwrap_or(kernel);
        let short = select::unroll(kernel);
        let kernel = short.as_ref().unwrap_or(kernel);
        let parts = select::split_guards(kernel);
        let kernel = parts.as_ref().unwrap_or(kernel);
        let body = kernel_ir(kernel, "kernel", isa)
            .map_err(|e| LlvmError::Refused(format!("kernel `{}`: {e}", kernel.name)))?;
        let digest = blake3::hash(body.as_bytes()).to_hex();
        let name = format!("k_{}_{isa}", &digest[..24]);
        let own = format!("@{name}(");
        modules.entry(name.clone()).or_insert_with(|| body.replace("@kernel(", &own));
        // What is launched is what was emitted: its grid may differ from the program's.
        let size = |d: &VarDef| match d {
            VarDef::Size(i) => Some(*i),
            _ => None,
        };
        Ok(NestText {
            name,
            extent: kernel.grid().map(|(_, extent, _)| extent.clone()),
            grain: grain_of(kernel),
            sizes: kernel.vars.iter().map(size).collect(),
            rows: sums_rows(kernel).then(|| Box::new(kernel.clone())),
        })
    }
}

/// Whether a kernel of known sizes has reductions in a grid.
pub(crate) fn sums_rows(kernel: &Kernel) -> bool {
    let reduces = |e: &Expr| matches!(e, Expr::Reduce { .. });
    kernel.sizes == 0 && kernel.grid().is_some() && kernel.exprs.iter().any(reduces)
}

/// Statements that a body runs, as far as it is known.
fn work(body: &[Stmt]) -> i64 {
    body.iter()
        .map(|s| match s {
            Stmt::For { extent, body, .. } => {
                extent.as_known().unwrap_or(64).saturating_mul(work(body))
            }
            Stmt::If { then, otherwise, .. } => work(then).max(work(otherwise)),
            Stmt::While { body, .. } => work(body).saturating_mul(16),
            Stmt::Store { .. } | Stmt::Set { .. } => 1,
        })
        .fold(0i64, i64::saturating_add)
        .max(1)
}

/// How many items of a grid make a chunk that is worth sending to another thread.
fn grain_of(kernel: &Kernel) -> u64 {
    let reduced: i64 = kernel
        .exprs
        .iter()
        .map(|e| match e {
            Expr::Reduce { axes, .. } => {
                axes.iter().fold(1i64, |n, (_, d)| n.saturating_mul(d.as_known().unwrap_or(64)))
            }
            _ => 0,
        })
        .fold(1i64, i64::saturating_add);
    match kernel.grid() {
        Some((_, _, body)) => (ELEMENTS / work(body).saturating_mul(reduced).max(1)).max(1) as u64,
        None => 1,
    }
}
