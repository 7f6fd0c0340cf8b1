//! The kernels of a program for several instruction set levels: what is compiled, and what the
//! driver is told of it.

use std::collections::BTreeMap;

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use airconv_kernel::c::native::{ExternalKernel, Nest};
use airconv_kernel::ir::{Kernel, Launch, Program, Step};

use crate::error::Result;
use crate::micro::amx::Grade;
use crate::nest::NestText;
use crate::select::run::{Means, Selected, UseTiles};
use crate::select::{Constants, right_operands, split_axes};
use crate::target::Isa;

/// What a size that is not known is taken for when the form of a product is chosen.
const LIKELY: i64 = 24;

/// The kernels of a program as text.
pub(super) struct Codes {
    /// For each level the modules to be compiled, each once.
    pub(super) texts: Vec<Vec<String>>,
    /// What the driver is told.
    pub(super) kernels: Vec<ExternalKernel>,
}

/// The sizes of the launches of each kernel, where all of them are known in all launches.
fn launches(program: &Program) -> Vec<Option<Vec<Vec<i64>>>> {
    fn walk(steps: &[Step], out: &mut [Option<Vec<Vec<i64>>>]) {
        for step in steps {
            match step {
                Step::Launch(Launch { kernel, sizes, .. }) => {
                    let known: Option<Vec<i64>> = sizes.iter().map(Dim::as_known).collect();
                    let Some(slot) = out.get_mut(kernel.0 as usize) else { continue };
                    match (known, &mut *slot) {
                        (Some(known), Some(list)) => list.push(known),
                        _ => *slot = None,
                    }
                }
                Step::If { then, otherwise, .. } => {
                    walk(then, out);
                    walk(otherwise, out);
                }
                Step::Loop(l) => walk(&l.body, out),
                _ => {}
            }
        }
    }
    let mut out = vec![Some(Vec::new()); program.kernels.len()];
    walk(&program.steps, &mut out);
    out
}

/// The extent of a grid over the sizes of a launch.
fn extent(nest: &NestText) -> Option<Dim> {
    let found = nest.extent.as_ref()?;
    Some(found.substitute(&mut |v| {
        // What is no size is for the kernel to find, which then is not split.
        let size = nest.sizes.get(v.0 as usize).copied().flatten();
        Some(size.map_or(Dim::Any, |i| Dim::symbol(SymbolId(i))))
    }))
}

impl Codes {
    /// The code of all kernels for these levels.
    ///
    /// # Errors
    /// When a kernel has no native form.
    pub(super) fn new(program: &Program, levels: &[Isa]) -> Result<Codes> {
        let mut texts = vec![Vec::new(); levels.len()];
        let mut kernels = Vec::with_capacity(program.kernels.len());
        let constants = Constants::of_kernels(program);
        let simpler: Vec<Option<Kernel>> = program.kernels.iter().map(split_axes).collect();
        let looked = program.kernels.iter().zip(&simpler).map(|(k, s)| s.as_ref().unwrap_or(k));
        let right = right_operands(looked);
        let weights = Constants::weights(program, &right);
        let levels: Vec<Means> = levels
            .iter()
            .map(|&isa| Means { isa, grade: Grade::default(), weights, tiles: UseTiles::default() })
            .collect();
        let launches = launches(program);
        for ((kernel, constant), known) in program.kernels.iter().zip(&constants).zip(&launches) {
            kernels.push(one(kernel, constant, known.as_deref(), &levels, &mut texts)?);
        }
        for texts in &mut texts {
            let mut seen = std::collections::BTreeSet::new();
            texts.retain(|t| seen.insert(t.clone()));
        }
        Ok(Codes { texts, kernels })
    }
}

/// One kernel for all levels.
fn one(
    kernel: &Kernel,
    constant: &[bool],
    known: Option<&[Vec<i64>]>,
    levels: &[Means],
    texts: &mut [Vec<String>],
) -> Result<ExternalKernel> {
    let simpler = split_axes(kernel);
    let kernel = simpler.as_ref().unwrap_or(kernel);
    let mut product = None;
    let mut codes = Vec::with_capacity(levels.len());
    let mut sure = known.is_some();
    let likely = vec![LIKELY; if sure { 0 } else { kernel.sizes as usize }];
    for (&means, texts) in levels.iter().zip(&mut *texts) {
        let before = texts.len();
        let selected = Selected::for_sizes(kernel, constant, means, &likely, texts);
        let external = selected.as_ref().ok().and_then(Selected::external);
        let (Ok(selected), Some(external)) = (selected, external) else {
            texts.truncate(before);
            sure = false;
            codes.push(None);
            continue;
        };
        sure &= known.into_iter().flatten().all(|sizes| selected.is_ready(sizes));
        codes.push(Some(selected.code()));
        product.get_or_insert(external);
    }
    if let Some(product) = &mut product {
        product.codes = codes;
    }
    let mut made = ExternalKernel { nest: None, product };
    if !sure || made.product.is_none() {
        let mut functions = Vec::with_capacity(levels.len());
        for (means, texts) in levels.iter().zip(&mut *texts) {
            let nest = NestText::new(kernel, means.isa, texts)?;
            functions.push(nest.name.clone());
            let found = Nest { functions: Vec::new(), extent: extent(&nest), grain: nest.grain };
            made.nest.get_or_insert(found);
        }
        if let Some(nest) = &mut made.nest {
            nest.functions = functions;
        }
    }
    Ok(made)
}

/// Modules that are joined: equal declarations once, and definitions one after the other.
pub(super) fn joined(texts: &[String]) -> String {
    let mut once: BTreeMap<&str, ()> = BTreeMap::new();
    let mut rest = String::new();
    for line in texts.iter().flat_map(|t| t.lines()) {
        if line.starts_with("declare ")
            || (line.starts_with("define internal ") && line.ends_with('}'))
        {
            once.insert(line, ());
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    let once: Vec<&str> = once.into_keys().collect();
    format!("{}\n{rest}", once.join("\n"))
}
