//! The kernels of a program for several instruction set levels: what is compiled, and what the
//! driver is told of it.

use std::collections::BTreeMap;

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use airconv_kernel::c::native::{
    Code, ExternalChain, ExternalKernel, ExternalProduct, Form, MOST_PARAMS, Nest, ProductCode,
    TileNumbers, TilesCode,
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
use crate::select::{Constants, right_operands, split_axes, whole};
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

/// The level whose vectors a level has: tiles and VNNI are there beside the code of another level,
/// and all that is not done on them is that code.
fn vectors_of(isa: Isa) -> Isa {
    if isa > Isa::V4 && isa.is_x86() { Isa::V4 } else { isa }
}

/// The level whose code for products of bytes a level has. Its tiles are for floats.
fn bytes_of(isa: Isa) -> Isa {
    if isa == Isa::Amx { Isa::Vnni } else { isa }
}

/// The levels that some levels have the code of, by `of`.
fn distinct(levels: &[Isa], of: fn(Isa) -> Isa) -> Vec<Isa> {
    let mut out: Vec<Isa> = levels.iter().map(|&isa| of(isa)).collect();
    out.dedup();
    out
}

/// Whose code a level has.
struct Parts {
    /// Whether it has tiles.
    tiles: bool,
    /// Which of the levels of vectors.
    vectors: usize,
    /// Which of the levels of products of bytes.
    bytes: usize,
}

/// A kernel for all levels.
struct Made {
    /// With the code of each level of vectors, or of products of bytes.
    kernel: ExternalKernel,
    /// Its code on tiles.
    tiles: Option<TilesCode>,
    /// See [`NestText::rows`].
    rows: Option<Box<Kernel>>,
}

/// The code of kernels in the making.
struct Making {
    /// How kernels are done at each of the levels of vectors.
    means: Vec<Means>,
    /// How products of bytes are.
    bytes: Vec<Means>,
    /// Which of the levels of vectors has one with tiles above it, and where tiles are used there.
    above: Option<(Isa, UseTiles)>,
    /// The modules of each level; those for tiles are of the level that has them.
    modules: BTreeMap<Isa, Modules>,
}

/// What is known of a kernel.
struct Given<'k> {
    kernel: &'k Kernel,
    /// For each parameter whether it is a constant.
    constant: &'k [bool],
    /// Whether it is in a chain.
    chained: bool,
    /// The sizes of all launches, where all of them are known.
    known: Option<&'k [Vec<i64>]>,
    /// Sizes like those that are to come, where they are not.
    likely: Vec<i64>,
}

impl Given<'_> {
    /// Whether something holds for the sizes of all launches, as far as they are known.
    fn all(&self, holds: impl Fn(&[i64]) -> bool) -> bool {
        self.known.into_iter().flatten().all(|sizes| holds(sizes))
    }
}

/// A product with its code at some levels.
struct Found {
    product: Option<ExternalProduct>,
    codes: Vec<Option<Code>>,
    /// Whether it is done so at all levels and whatever the sizes.
    sure: bool,
}

impl Found {
    /// One that is nowhere yet.
    fn new(given: &Given<'_>) -> Found {
        Found { product: None, codes: Vec::new(), sure: given.known.is_some() }
    }

    /// Adds the code of a level, if there is some; and whether it is right for all sizes.
    fn add(&mut self, code: Option<(ExternalProduct, Code)>, ready: bool) {
        self.sure &= ready && code.is_some();
        let (product, code) = code.unzip();
        self.product = self.product.take().or(product);
        self.codes.push(code);
    }

    /// The product.
    fn product(self) -> Option<ExternalProduct> {
        self.product.map(|product| ExternalProduct { codes: self.codes, ..product })
    }
}

impl Codes {
    /// The code of all kernels for these levels, best first; with tiles wherever they can be,
    /// whatever the cost, where that is asked for. A level whose tiles or VNNI no kernel uses is
    /// left off where there is the one without them.
    ///
    /// # Errors
    /// When a kernel has no native form.
    pub(super) fn new(program: &Program, levels: &[Isa], always_tiles: bool) -> Result<Codes> {
        let constants = Constants::of_kernels(program);
        let simpler: Vec<Option<Kernel>> = program.kernels.iter().map(split_axes).collect();
        let looked = || program.kernels.iter().zip(&simpler).map(|(k, s)| s.as_ref().unwrap_or(k));
        let right = right_operands(looked());
        let weights = Constants::weights(program, &right);
        let (vectors, bytes) = (distinct(levels, vectors_of), distinct(levels, bytes_of));
        let (grade, never) = (Grade::default(), UseTiles::Never);
        let means = |&isa: &Isa| Means { isa, grade, weights, tiles: never, beside: false };
        let used = if always_tiles { UseTiles::Always } else { UseTiles::WherePaid };
        let mut making = Making {
            means: vectors.iter().map(means).collect(),
            bytes: bytes.iter().map(means).collect(),
            above: levels.contains(&Isa::Amx).then_some((vectors_of(Isa::Amx), used)),
            modules: BTreeMap::new(),
        };
        let mut made = Vec::with_capacity(program.kernels.len());
        let launches = launches(program);
        let given = constants.iter().zip(in_chains(program, &constants));
        for ((kernel, (constant, chained)), known) in looked().zip(given).zip(&launches) {
            let known = known.as_deref();
            let likely = vec![LIKELY; if known.is_some() { 0 } else { kernel.sizes as usize }];
            made.push(making.kernel(&Given { kernel, constant, chained, known, likely })?);
        }
        let numbers = made.iter().any(|m| m.tiles.is_some()).then(|| tile_numbers(always_tiles));
        let with_vnni = making.modules.contains_key(&Isa::Vnni);
        let own = |isa: Isa| match isa {
            Isa::Amx => numbers.is_some() || !levels.contains(&Isa::Vnni) && with_vnni,
            Isa::Vnni => with_vnni,
            _ => true,
        };
        let alone = |isa: Isa| !levels.contains(&vectors_of(isa));
        let levels: Vec<Isa> =
            levels.iter().copied().filter(|&isa| own(isa) || alone(isa)).collect();
        let parts = |&isa: &Isa| Parts {
            tiles: isa == Isa::Amx,
            vectors: vectors.iter().position(|&v| v == vectors_of(isa)).unwrap_or(0),
            bytes: bytes.iter().position(|&v| v == bytes_of(isa)).unwrap_or(0),
        };
        let at: Vec<Parts> = levels.iter().map(parts).collect();
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
    let even = |code: &Option<Code>| {
        let plain = |c: &ProductCode| c.form == Form::Even && c.tiles.is_none();
        matches!(code, Some(Code::Floats(c)) if plain(c) && c.convert.is_none())
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
    /// The kernel for levels with the code of these.
    fn for_levels(self, levels: &[Parts]) -> ExternalKernel {
        let mut kernel = self.kernel;
        if let Some(product) = &mut kernel.product {
            let code = |parts: &Parts| {
                let of = if product.zeros.is_some() { parts.bytes } else { parts.vectors };
                let mut code = product.codes.get(of)?.clone()?;
                if let Code::Floats(code) = &mut code {
                    code.tiles = self.tiles.clone().filter(|_| parts.tiles).map(Box::new);
                }
                Some(code)
            };
            product.codes = levels.iter().map(code).collect();
        }
        if let Some(nest) = &mut kernel.nest {
            let function = |parts: &Parts| nest.functions.get(parts.vectors).cloned();
            nest.functions = levels.iter().filter_map(function).collect();
        }
        kernel
    }
}

impl Making {
    /// Adds modules to those of a level.
    fn add(&mut self, isa: Isa, mut modules: Modules) {
        self.modules.entry(isa).or_default().append(&mut modules);
    }

    /// A product of floats, if the kernel is one, with its code on tiles.
    fn of_floats(&mut self, given: &Given<'_>) -> (Found, Option<TilesCode>) {
        let Given { kernel, constant, chained, likely, .. } = given;
        let (mut found, mut tiles) = (Found::new(given), None);
        for means in self.means.clone() {
            let mut own = Modules::new();
            let selected = Selected::for_sizes(kernel, constant, means, likely, &mut own);
            let made = selected.ok().and_then(|s| Some((s.product.external(kernel)?, s)));
            let Some((external, selected)) = made else {
                found.add(None, false);
                continue;
            };
            self.add(means.isa, own);
            let ready = given.all(|sizes| selected.is_ready(sizes));
            found.add(Some((external, Code::Floats(selected.code()))), ready);
            let above = self
                .above
                .filter(|(isa, used)| *isa == means.isa && (!chained || *used == UseTiles::Always));
            if let Some((_, used)) = above {
                let means = Means { tiles: used, beside: true, ..means };
                let mut more = Modules::new();
                let beside = Selected::for_sizes(kernel, constant, means, likely, &mut more);
                tiles = beside.ok().and_then(|b| b.tiles(&selected, &mut more));
                if tiles.is_some() {
                    self.add(Isa::Amx, more);
                }
            }
        }
        (found, tiles)
    }

    /// A product of bytes.
    fn of_bytes(&mut self, given: &Given<'_>) -> Found {
        let Given { kernel, constant, likely, .. } = given;
        let mut found = Found::new(given);
        for means in self.bytes.clone() {
            let mut own = Modules::new();
            let selected = whole::Selected::for_sizes(kernel, constant, means, likely, &mut own);
            let made = selected.ok().and_then(|s| Some((s.product.external(kernel)?, s)));
            let Some((external, selected)) = made else {
                found.add(None, false);
                continue;
            };
            self.add(means.isa, own);
            let ready = given.all(|sizes| selected.is_ready(sizes));
            found.add(Some((external, Code::Bytes(selected.code()))), ready);
        }
        found
    }

    /// One kernel for all levels.
    fn kernel(&mut self, given: &Given<'_>) -> Result<Made> {
        let kernel = given.kernel;
        let (found, tiles) = match find(kernel) {
            Some(product) if product.whole.is_some() => (self.of_bytes(given), None),
            _ => self.of_floats(given),
        };
        let sure = found.sure;
        let mut made = ExternalKernel { nest: None, product: found.product() };
        let mut rows = None;
        if !sure || made.product.is_none() {
            let mut functions = Vec::with_capacity(self.means.len());
            for means in &self.means {
                let modules = self.modules.entry(means.isa).or_default();
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

    /// The modules of each level, the best one first; those of the level with tiles are what the
    /// one below has not.
    fn modules(mut self) -> Vec<(Isa, Modules)> {
        let mut tiles = self.modules.remove(&Isa::Amx).unwrap_or_default();
        if let Some(below) = self.modules.get(&vectors_of(Isa::Amx)) {
            tiles.retain(|name, _| !below.contains_key(name));
        }
        let tiles = Some((Isa::Amx, tiles)).filter(|(_, modules)| !modules.is_empty());
        tiles.into_iter().chain(self.modules.into_iter().rev()).collect()
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
