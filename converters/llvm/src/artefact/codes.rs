//! The kernels of a program for several instruction set levels: what is compiled, and what the
//! driver is told of it.

use std::collections::BTreeMap;

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use airconv_kernel::c::native::{
    ExternalChain, ExternalKernel, Form, MOST_PARAMS, Nest, ProductCode, TileNumbers, TilesCode,
};
use airconv_kernel::ir::{Kernel, Launch, Program, Step};

use crate::compile::Modules;
use crate::error::Result;
use crate::micro::Tile;
use crate::micro::amx::Grade;
use crate::nest::NestText;
use crate::select::attention::{Joinable, Part, follow, in_chains, joinable};
use crate::select::export::tile_numbers;
use crate::select::find::find;
use crate::select::plan::Plan;
use crate::select::run::{Means, Selected, UseTiles};
use crate::select::{Constants, right_operands, split_axes};
use crate::target::Isa;

/// What a size that is not known is taken for when the form of a product is chosen.
const LIKELY: i64 = 24;

/// The kernels of a program as text.
pub(super) struct Codes {
    /// The modules to be compiled, with what they are compiled for.
    pub(super) modules: Vec<(Isa, Modules)>,
    /// The levels that the driver chooses among.
    pub(super) levels: Vec<Isa>,
    /// What the driver is told.
    pub(super) kernels: Vec<ExternalKernel>,
    /// The launches that are done together with the next two, by position among all launches.
    pub(super) chains: BTreeMap<usize, ExternalChain>,
    /// What the driver is told for products on tiles, where there are any.
    pub(super) numbers: Option<TileNumbers>,
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

/// The level whose vectors a level has: tiles are there beside the code of another level, and all
/// that is not done on them is that code.
fn vectors_of(isa: Isa) -> Isa {
    if isa == Isa::Amx { Isa::V4 } else { isa }
}

/// A kernel for all levels.
struct Made {
    /// With the code of each level without tiles.
    kernel: ExternalKernel,
    /// Its code on tiles.
    tiles: Option<TilesCode>,
    /// See [`NestText::rows`].
    rows: Option<Box<Kernel>>,
}

/// The code of kernels in the making.
struct Making {
    /// How kernels are done at each of the levels without tiles.
    means: Vec<Means>,
    /// The modules of each.
    modules: Vec<Modules>,
    /// Which of them has a level with tiles above it, and where tiles are used there.
    above: Option<(usize, UseTiles)>,
    /// The modules for tiles.
    tiles: Modules,
}

impl Codes {
    /// The code of all kernels for these levels, best first; with tiles wherever they can be,
    /// whatever the cost, where that is asked for. A level with tiles that no kernel uses is left
    /// off where there is the one without them.
    ///
    /// # Errors
    /// When a kernel has no native form.
    pub(super) fn new(program: &Program, levels: &[Isa], always_tiles: bool) -> Result<Codes> {
        let constants = Constants::of_kernels(program);
        let simpler: Vec<Option<Kernel>> = program.kernels.iter().map(split_axes).collect();
        let looked = || program.kernels.iter().zip(&simpler).map(|(k, s)| s.as_ref().unwrap_or(k));
        let right = right_operands(looked());
        let weights = Constants::weights(program, &right);
        let mut vectors: Vec<Isa> = levels.iter().map(|&isa| vectors_of(isa)).collect();
        vectors.dedup();
        let (grade, never) = (Grade::default(), UseTiles::Never);
        let means = |&isa: &Isa| Means { isa, grade, weights, tiles: never, beside: false };
        let used = if always_tiles { UseTiles::Always } else { UseTiles::WherePaid };
        let below = vectors.iter().position(|&isa| isa == vectors_of(Isa::Amx));
        let mut making = Making {
            means: vectors.iter().map(means).collect(),
            modules: vec![Modules::new(); vectors.len()],
            above: below.filter(|_| levels.contains(&Isa::Amx)).map(|at| (at, used)),
            tiles: Modules::new(),
        };
        let mut made = Vec::with_capacity(program.kernels.len());
        let launches = launches(program);
        let given = constants.iter().zip(in_chains(program, &constants));
        for ((kernel, given), known) in looked().zip(given).zip(&launches) {
            made.push(making.kernel(kernel, given, known.as_deref())?);
        }
        let numbers = made.iter().any(|m| m.tiles.is_some()).then(|| tile_numbers(always_tiles));
        let alone = !levels.contains(&vectors_of(Isa::Amx));
        let mut levels = levels.to_vec();
        levels.retain(|&isa| isa != Isa::Amx || alone || numbers.is_some());
        let at: Vec<(bool, usize)> = levels
            .iter()
            .map(|&isa| {
                let below = vectors.iter().position(|&v| v == vectors_of(isa));
                (isa == Isa::Amx, below.unwrap_or(0))
            })
            .collect();
        let rows: Vec<Option<Box<Kernel>>> = made.iter_mut().map(|m| m.rows.take()).collect();
        let kernels: Vec<ExternalKernel> = made.into_iter().map(|m| m.for_levels(&at)).collect();
        let looked: Vec<&Kernel> = looked().collect();
        let mut chains = BTreeMap::new();
        let mut end = 0;
        for found in joinable(program, &constants) {
            let [_, middle, _] = found.launches.map(|l| l.kernel.0 as usize);
            let ready = found.position >= end
                && rows[middle].as_ref().is_some_and(|m| can_join(&found, m, &looked, &kernels));
            if ready {
                end = found.position + found.launches.len();
                let [(_, read), (kept, _)] = found.links;
                chains.insert(found.position, ExternalChain { read, kept });
            }
        }
        Ok(Codes { modules: making.modules(), levels, kernels, chains, numbers })
    }
}

/// Whether launches can be done together with the code that their kernels have at all levels;
/// `middle` is the kernel in the middle as it was emitted.
fn can_join(
    found: &Joinable<'_>,
    middle: &Kernel,
    looked: &[&Kernel],
    kernels: &[ExternalKernel],
) -> bool {
    let even = |code: &Option<ProductCode>| {
        let plain = |c: &ProductCode| c.form == Form::Even && c.tiles.is_none();
        code.as_ref().is_some_and(|c| plain(c) && c.convert.is_none())
    };
    let whole = |launch: &Launch| {
        let kernel = &kernels[launch.kernel.0 as usize];
        let product = kernel.product.as_ref().filter(|_| kernel.nest.is_none());
        product.is_some_and(|p| p.codes.iter().all(even))
    };
    let [first, between, second] = found.launches;
    let between = &kernels[between.kernel.0 as usize];
    let split = between.nest.as_ref().is_some_and(|n| n.extent.is_some());
    if !whole(first)
        || !whole(second)
        || !split
        || between.product.is_some()
        || middle.params.len() > MOST_PARAMS
    {
        return false;
    }
    let planned = |launch: &Launch| {
        let kernel = looked[launch.kernel.0 as usize];
        let sizes: Option<Vec<i64>> = launch.sizes.iter().map(Dim::as_known).collect();
        let product = find(kernel)?;
        let plan = Plan::new(kernel, &product, Tile::choose(Isa::V4, 1, 1), &sizes?)?;
        Some((kernel, product, plan))
    };
    let [Some(a), Some(b)] = [planned(first), planned(second)] else { return false };
    let parts = [&a, &b].map(|(kernel, product, plan)| Part { kernel, product, plan });
    follow(parts, middle, found.links)
}

impl Made {
    /// The kernel for these levels: whether each has tiles, and which of the levels without tiles
    /// it has the code of.
    fn for_levels(self, levels: &[(bool, usize)]) -> ExternalKernel {
        let mut kernel = self.kernel;
        if let Some(product) = &mut kernel.product {
            let code = |&(tiles, below): &(bool, usize)| {
                let mut code = product.codes.get(below)?.clone()?;
                code.tiles = self.tiles.clone().filter(|_| tiles).map(Box::new);
                Some(code)
            };
            product.codes = levels.iter().map(code).collect();
        }
        if let Some(nest) = &mut kernel.nest {
            let function = |&(_, below): &(bool, usize)| nest.functions.get(below).cloned();
            nest.functions = levels.iter().filter_map(function).collect();
        }
        kernel
    }
}

impl Making {
    /// One kernel for all levels; with what of it is constant, and whether it is in a chain.
    fn kernel(
        &mut self,
        kernel: &Kernel,
        (constant, chained): (&Vec<bool>, bool),
        known: Option<&[Vec<i64>]>,
    ) -> Result<Made> {
        let (mut product, mut tiles) = (None, None);
        let mut codes = Vec::with_capacity(self.means.len());
        let mut sure = known.is_some();
        let likely = vec![LIKELY; if sure { 0 } else { kernel.sizes as usize }];
        for (i, (&means, modules)) in self.means.iter().zip(&mut self.modules).enumerate() {
            let mut own = Modules::new();
            let selected = Selected::for_sizes(kernel, constant, means, &likely, &mut own);
            let external = selected.as_ref().ok().and_then(Selected::external);
            let (Ok(selected), Some(external)) = (selected, external) else {
                sure = false;
                codes.push(None);
                continue;
            };
            modules.append(&mut own);
            sure &= known.into_iter().flatten().all(|sizes| selected.is_ready(sizes));
            codes.push(Some(selected.code()));
            let above =
                self.above.filter(|(at, used)| *at == i && (!chained || *used == UseTiles::Always));
            if let Some((_, used)) = above {
                let means = Means { tiles: used, beside: true, ..means };
                let mut more = Modules::new();
                let beside = Selected::for_sizes(kernel, constant, means, &likely, &mut more);
                tiles = beside.ok().and_then(|b| b.tiles(&selected, &mut more));
                if tiles.is_some() {
                    self.tiles.append(&mut more);
                }
            }
            product.get_or_insert(external);
        }
        if let Some(product) = &mut product {
            product.codes = codes;
        }
        let mut made = ExternalKernel { nest: None, product };
        let mut rows = None;
        if !sure || made.product.is_none() {
            let mut functions = Vec::with_capacity(self.means.len());
            for (means, modules) in self.means.iter().zip(&mut self.modules) {
                let nest = NestText::new(kernel, means.isa, modules)?;
                functions.push(nest.name.clone());
                rows = nest.rows.clone();
                let found =
                    Nest { functions: Vec::new(), extent: extent(&nest), grain: nest.grain };
                made.nest.get_or_insert(found);
            }
            if let Some(nest) = &mut made.nest {
                nest.functions = functions;
            }
        }
        Ok(Made { kernel: made, tiles, rows })
    }

    /// The modules of each level; those of the level with tiles are what the one below has not.
    fn modules(self) -> Vec<(Isa, Modules)> {
        let mut out = Vec::with_capacity(self.means.len() + 1);
        if let Some((at, _)) = self.above {
            let mut tiles = self.tiles;
            tiles.retain(|name, _| !self.modules[at].contains_key(name));
            out.extend(Some((Isa::Amx, tiles)).filter(|(_, modules)| !modules.is_empty()));
        }
        out.extend(self.means.iter().map(|means| means.isa).zip(self.modules));
        out
    }
}

/// Modules that are joined: what they declare and small functions of their own once each, and
/// definitions one after the other.
pub(super) fn joined<'t>(modules: impl Iterator<Item = &'t String>) -> String {
    let mut once: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rest = String::new();
    for line in modules.flat_map(|t| t.lines()) {
        // Declarations may tell more or less of the parameters.
        let declared = line.strip_prefix("declare ").and_then(|l| l.split(['@', '(']).nth(1));
        let small = || line.starts_with("define internal ") && line.ends_with('}');
        match declared.or_else(|| small().then_some(line)) {
            Some(name) => _ = once.entry(name).or_insert(line),
            None => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    let once: Vec<&str> = once.into_values().collect();
    format!("{}\n{rest}", once.join("\n"))
}
