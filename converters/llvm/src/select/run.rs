//! Products compiled and run.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use airconv_kernel::ir::{BufferId, Kernel, Launch};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::LaunchError;
use rustc_hash::FxHashMap;

use super::constants::{Constants, Side};
use super::cost::{Estimate, Work, usual_count};
use super::epilogue::{OfKernel, is_long};
use super::explain::Declined;
use super::find::{Product, find};
use super::gather::{GatherCall, gather_module, gather_name};
use super::gathered::Gathered;
use super::plan::{Layout, Plan, offsets};
use super::tiles;
use crate::buffer::Buffer;
use crate::compile::Modules;
use crate::error::Result;
use crate::linked::Linked;
use crate::micro::amx::Grade;
use crate::micro::{
    GatheredCall, GatheredFn, GemmFn, GemmSpec, Identity, MOST_TAPS, PackCall, PackSpec, Tile,
    gathered_module, gemm_module, pack_module, packed_len, window_module,
};
use crate::pool::{ChunkFn, Pool};
use crate::target::Isa;

/// Operations that keep a thread busy for a few microseconds.
pub(super) const GRAIN: f64 = 400_000.0;

/// The most bytes of the panels that are packed at once where they are needed.
pub(super) const PANELS: i64 = 512 << 10;

/// The most batch axes.
pub(super) const MOST_BATCH: usize = 8;

/// The most of K that is done at once of an operand in runs.
const GATHERED_K: usize = 2560;

/// How a product is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The left operand's rows are evenly apart.
    Even,
    /// They are runs.
    Gathered,
    /// Channel by channel.
    Window,
}

/// A product with the text of the code for it.
pub struct Selected {
    pub(super) kernel: Kernel,
    pub(crate) product: Product,
    pub(super) work: Work,
    pub(super) estimate: Option<Estimate>,
    pub(super) tile: Tile,
    pub(super) form: Form,
    pub(super) isa: Isa,
    pub(super) gemm: String,
    pub(super) pack: String,
    pub(super) gather: String,
    pub(super) tiles: Option<tiles::Names>,
    pub(super) convert: Option<super::wide::Names>,
    /// Where tiles are used.
    pub(super) used: UseTiles,
}

/// The length of runs, as far as it is known before the sizes are.
fn run_of(product: &Product) -> Option<i64> {
    if product.guards.is_empty() {
        return None;
    }
    Some(product.sums.last().and_then(|a| a.extent.as_known()).unwrap_or(1))
}

/// What decides how a product is done.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// The instruction set level.
    pub isa: Isa,
    /// How exact products of `f32` are.
    pub grade: Grade,
    /// Bytes of all constants of the program.
    pub weights: i64,
    /// Where AMX tiles are used.
    pub tiles: UseTiles,
    /// Whether the level has tiles though its vectors are those of a lower one.
    pub beside: bool,
}

/// Where AMX tiles are used, on machines that have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseTiles {
    /// Wherever they can be, whatever the cost.
    Always,
    /// Where they are faster by estimate.
    #[default]
    WherePaid,
    /// Nowhere.
    Never,
}

impl Selected {
    /// The product that a kernel is, with the modules that have to be compiled for it; or why
    /// it is none, or not worth it.
    ///
    /// `constants` are the parameters that are constants of the program wherever it is launched.
    pub fn new(
        kernel: &Kernel,
        constants: &[bool],
        means: Means,
        modules: &mut Modules,
    ) -> Result<Selected, Declined> {
        Selected::for_sizes(kernel, constants, means, &[], modules)
    }

    /// The same with sizes like those that are to come, where the kernel does not know its own;
    /// see [`Selected::is_ready`].
    pub(crate) fn for_sizes(
        kernel: &Kernel,
        constants: &[bool],
        means: Means,
        sizes: &[i64],
        modules: &mut Modules,
    ) -> Result<Selected, Declined> {
        let isa = means.isa;
        let product = find(kernel).ok_or(Declined::NoProduct)?;
        if product.whole.is_some() {
            return Err(Declined::Bytes);
        }
        let known = constants.get(product.right.param as usize).copied().unwrap_or(false);
        if product.is_thin() && !known {
            return Err(Declined::Thin);
        }
        if product.batch.len() > MOST_BATCH {
            return Err(Declined::Axes);
        }
        if product.is_window() {
            return Err(Declined::Small);
        }
        // What it tells of the left operand is so whatever the tile is.
        let trial = Plan::new(kernel, &product, tiles::TILE, sizes);
        let work = Work {
            m: usual_count(&product.rows),
            n: usual_count(&product.columns),
            k: usual_count(&product.sums),
            constant: known,
            run: match &trial {
                Some(plan) => plan.gathered.as_ref().map(|g| g.run),
                None => run_of(&product),
            },
            weights: means.weights,
            long: is_long(&product),
        };
        let has = isa == Isa::Amx || means.beside;
        let can = has && !product.window && means.tiles != UseTiles::Never;
        let estimate = work.estimate(means.grade).filter(|_| can);
        let pays = estimate.is_some_and(Estimate::pays);
        let on_tiles = can && (means.tiles == UseTiles::Always || pays);
        let tile = if on_tiles {
            tiles::TILE
        } else {
            Tile::choose(isa, work.m as usize, work.n as usize)
        };
        let form = match trial.as_ref().and_then(|p| p.gathered.as_ref()) {
            Some(g) if product.window => {
                if g.taps > MOST_TAPS as i64 {
                    return Err(Declined::Taps);
                }
                Form::Window
            }
            Some(_) => Form::Gathered,
            None if product.guards.is_empty() && !product.window => Form::Even,
            None => return Err(Declined::Guards),
        };
        let wide = super::wide::needed(kernel, &product);
        if wide && isa == Isa::V2 {
            return Err(Declined::Narrow);
        }
        let epilogue = OfKernel::new(&product, isa).ok_or(Declined::Epilogue)?;
        let identity = crate::micro::Epilogue::is_identity(&epilogue);
        let epilogue: &dyn crate::micro::Epilogue = if identity { &Identity } else { &epilogue };
        let spec = GemmSpec { name: "gemm".to_owned(), ..GemmSpec::with_tile(isa, tile) };
        let body = match form {
            Form::Even => gemm_module(&spec, epilogue),
            Form::Gathered => gathered_module(&GemmSpec { kc: GATHERED_K, ..spec }, epilogue),
            Form::Window => window_module("gemm", isa, epilogue),
        };
        // Equal code has an equal name, so that it is compiled and cached once.
        let digest = blake3::hash(body.as_bytes()).to_hex();
        let gemm = format!("gemm_{}_{isa}", &digest[..24]);
        let own = format!("@{gemm}");
        modules.entry(gemm.clone()).or_insert_with(|| body.replace("@gemm", &own));
        let tiles = on_tiles.then(|| tiles::Names::new(means.grade, epilogue, modules));
        let convert = wide.then(|| super::wide::Names::new(isa, modules));
        let pack = PackSpec::new(isa, tile);
        modules.entry(pack.name.clone()).or_insert_with(|| pack_module(&pack));
        let gather = gather_name(isa, tile);
        modules.entry(gather.clone()).or_insert_with(|| gather_module(isa, tile));
        let (kernel, pack) = (kernel.clone(), pack.name);
        Ok(Selected {
            kernel,
            work,
            estimate,
            product,
            tile,
            form,
            isa,
            gemm,
            pack,
            gather,
            tiles,
            convert,
            used: means.tiles,
        })
    }

    /// The product with its code.
    ///
    /// # Errors
    /// When the code is not there.
    pub fn link(self, linked: &Linked) -> Result<Compiled> {
        let gemm = linked.lookup(&self.gemm)?;
        let (pack, gather) = (linked.lookup(&self.pack)?, linked.lookup(&self.gather)?);
        // SAFETY: the modules define them with these types.
        let (gemm, pack, gather) = unsafe {
            (
                match self.form {
                    Form::Even => Code::Even(std::mem::transmute::<*const (), GemmFn>(gemm)),
                    Form::Gathered => {
                        Code::Gathered(std::mem::transmute::<*const (), GatheredFn>(gemm))
                    }
                    Form::Window => Code::Window(std::mem::transmute::<*const (), ChunkFn>(gemm)),
                },
                std::mem::transmute::<*const (), ChunkFn>(pack),
                std::mem::transmute::<*const (), ChunkFn>(gather),
            )
        };
        let tiles = self.tiles.as_ref().map(|names| names.link(linked)).transpose()?;
        let convert = self.convert.as_ref().map(|names| names.link(linked)).transpose()?;
        let Selected { kernel, product, tile, isa, .. } = self;
        let lanes = isa.f32_lanes() as i64;
        Ok(Compiled {
            kernel,
            product,
            tile,
            lanes,
            code: gemm,
            pack,
            gather,
            tiles,
            convert,
            spare: Mutex::default(),
            always_tiles: self.used == UseTiles::Always,
            plans: Mutex::default(),
        })
    }
}

/// The code of a product.
#[derive(Clone, Copy)]
enum Code {
    Even(GemmFn),
    Gathered(GatheredFn),
    Window(ChunkFn),
}

/// A plan, with the constants that were packed for it.
pub(super) struct Planned {
    plan: Plan,
    packed: Mutex<FxHashMap<(BufferId, Side), Arc<Buffer>>>,
}

impl std::ops::Deref for Planned {
    type Target = Plan;
    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl Planned {
    /// Nothing packed yet.
    pub(super) fn new(plan: Plan) -> Planned {
        Planned { plan, packed: Mutex::default() }
    }

    /// A packed constant; which one, as which side.
    pub(super) fn get(
        &self,
        key: (BufferId, Side),
        make: impl FnOnce() -> Arc<Buffer>,
    ) -> Arc<Buffer> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        packed.entry(key).or_insert_with(make).clone()
    }
}

/// A product that can be run.
pub struct Compiled {
    pub(super) kernel: Kernel,
    pub(super) product: Product,
    tile: Tile,
    pub(super) lanes: i64,
    code: Code,
    pack: ChunkFn,
    gather: ChunkFn,
    pub(super) tiles: Option<tiles::Code>,
    /// Where an operand or the result is not `f32` in memory.
    convert: Option<super::wide::Code>,
    /// Memory that is free.
    pub(super) spare: Mutex<Vec<Buffer>>,
    pub(super) always_tiles: bool,
    /// By sizes.
    plans: Mutex<FxHashMap<Vec<i64>, Arc<Planned>>>,
}

/// A launch: what it is given, and what runs it.
pub(super) struct Given<'l> {
    pub(super) launch: &'l Launch,
    /// The buffers, with operands and the result as `f32`.
    pub(super) buffers: &'l [Mem],
    /// The buffers as the epilogue sees them.
    pub(super) pointers: Vec<*mut c_void>,
    pub(super) sizes: &'l [i64],
    pub(super) constants: &'l Constants,
    pub(super) pool: &'l Pool,
}

// SAFETY: the pointers are those of buffers, which threads write to disjointly.
unsafe impl Sync for Given<'_> {}

thread_local! {
    static SCRATCH: RefCell<Buffer> = RefCell::new(Buffer::floats(0));
}

/// Floats of this thread that are free until the end of the call.
pub(super) fn with_scratch<T>(len: usize, f: impl FnOnce(*mut f32) -> T) -> T {
    SCRATCH.with_borrow_mut(|buffer| {
        if buffer.f32s().len() < len {
            *buffer = Buffer::floats(len);
        }
        f(buffer.as_mut_ptr().cast())
    })
}

/// A pointer that threads share; who uses it sees to the bounds.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub(super) *mut T);
// SAFETY: pointers into buffers of a launch, which outlive it and are written to disjointly.
unsafe impl<T> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn at(&self, offset: i64) -> *mut T {
        self.0.wrapping_offset(offset as isize)
    }
}

/// A packed operand: its floats and how many one matrix takes; in planes its bytes, and how many
/// one matrix takes.
pub(super) struct Operand {
    pub(super) first: Shared<f32>,
    pub(super) matrix: i64,
    /// Where the scales of planes begin, in bytes.
    pub(super) scales: i64,
    /// Where the ranges of planes begin, in bytes.
    pub(super) ranges: i64,
    /// Kept while the launch runs.
    pub(super) _held: Arc<Buffer>,
}

/// The number of the matrix of an operand that belongs to a product of the batch, and the
/// offsets of the product in the operands and the result.
pub(super) struct At {
    pub(super) counters: [u64; MOST_BATCH],
    pub(super) left: i64,
    pub(super) right: i64,
    pub(super) out: i64,
    pub(super) left_matrix: i64,
    pub(super) right_matrix: i64,
}

impl Plan {
    /// The table of runs for a product of the batch.
    pub(super) fn table<'g>(&self, g: &'g Gathered, at: &At) -> &'g [i32] {
        g.at(self.m, |i| self.batch[i].extent, |i| at.counters[i] as i64)
    }

    pub(super) fn at(&self, index: i64) -> At {
        let mut at = At {
            counters: [0; MOST_BATCH],
            left: self.left.base,
            right: self.right.base,
            out: self.out,
            left_matrix: 0,
            right_matrix: 0,
        };
        let (mut rest, mut left_scale, mut right_scale) = (index, 1, 1);
        for (i, b) in self.batch.iter().enumerate().rev() {
            let c = rest % b.extent.max(1);
            rest /= b.extent.max(1);
            at.counters[i] = c as u64;
            at.left += c * b.left;
            at.right += c * b.right;
            at.out += c * b.out;
            if b.left != 0 {
                at.left_matrix += c * left_scale;
                left_scale *= b.extent;
            }
            if b.right != 0 {
                at.right_matrix += c * right_scale;
                right_scale *= b.extent;
            }
        }
        at
    }
}

/// Copies a left operand so that its rows are `step` apart and their elements together.
fn pack_left(layout: &Layout, (m, k, step): (i64, i64, i64), from: *const f32, to: *mut f32) {
    let (rows, inner) = (offsets(&layout.outer), offsets(&layout.inner));
    for (b, batch) in offsets(&layout.batch).into_iter().enumerate() {
        for (r, row) in rows.iter().enumerate() {
            for (i, offset) in inner.iter().enumerate() {
                let at = (b as i64 * m + r as i64) * step + i as i64;
                debug_assert!(i < k as usize);
                // SAFETY: the layout is within the operand, as the kernel that it is from is
                // within its buffers, and `to` has room for all rows.
                unsafe {
                    *to.offset(at as isize) =
                        from.offset((layout.base + batch + row + offset) as isize).read_unaligned();
                }
            }
        }
    }
}

/// From row to row of a packed left operand: not a multiple of what caches are confused by.
fn left_step(k: i64) -> i64 {
    let step = (k + 15) / 16 * 16;
    if step % 512 == 0 { step + 16 } else { step }
}

impl Compiled {
    /// Whether its left operand has rows that are evenly apart, and all is `f32` in memory.
    pub(super) fn is_even(&self) -> bool {
        matches!(self.code, Code::Even(_)) && self.convert.is_none()
    }

    /// Rows that are done at once.
    pub(super) fn tile_rows(&self) -> i64 {
        self.tile.rows as i64
    }

    /// Columns of a panel.
    pub(super) fn tile_columns(&self) -> usize {
        self.tile.columns()
    }

    /// Packs all panels of a matrix of the right operand.
    pub(super) fn pack_all(&self, plan: &Plan, from: *const f32, out: *mut f32) {
        let width = self.tile.columns() as i64;
        self.pack(plan, from, out, (0, (plan.n + width - 1) / width));
    }

    pub(super) fn plan(&self, sizes: &[i64]) -> Option<Arc<Planned>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = plans.get(sizes) {
            return Some(found.clone());
        }
        let mut plan = Plan::new(&self.kernel, &self.product, self.tile, sizes)?;
        if matches!(self.code, Code::Even(_)) {
            // Its code was chosen before the sizes were known.
            plan.gathered = None;
        }
        let plan = Arc::new(Planned::new(plan));
        plans.insert(sizes.to_vec(), plan.clone());
        Some(plan)
    }

    /// Packs panels `begin..end` of a matrix of the right operand, to where all panels begin.
    pub(super) fn pack(
        &self,
        plan: &Plan,
        from: *const f32,
        out: *mut f32,
        (begin, end): (i64, i64),
    ) {
        // SAFETY: the calls read elements of the operand that the kernel reads, and write
        // panels for which there is room.
        unsafe {
            match (&plan.right_steps, &plan.tables) {
                (Some((row_stride, column_stride)), _) => {
                    let mut call = PackCall {
                        b: from,
                        out,
                        k: plan.k,
                        n: plan.n,
                        row_stride: *row_stride,
                        column_stride: *column_stride,
                    };
                    (self.pack)((&raw mut call).cast(), begin as u64, end as u64);
                }
                (None, Some(tables)) => {
                    let mut call = GatherCall {
                        b: from,
                        out,
                        rows: tables.rows.as_ptr(),
                        columns: tables.columns.as_ptr(),
                        lies: tables.lies.as_ptr(),
                        k: plan.k,
                    };
                    (self.gather)((&raw mut call).cast(), begin as u64, end as u64);
                }
                (None, None) => {}
            }
        }
    }

    /// The left operand, where its rows are evenly apart.
    pub(super) fn left(&self, plan: &Planned, given: &Given<'_>) -> (Option<Operand>, i64) {
        let Given { launch, buffers, constants, .. } = *given;
        if plan.gathered.is_some() {
            return (None, 0);
        }
        let param = self.product.left.param as usize;
        let constant = constants.is_constant(launch.buffers[param]);
        if let Some(step) = plan.left_rows
            && !(constant && step % 512 == 0 && plan.m > 1)
        {
            return (None, step);
        }
        let step = left_step(plan.k);
        let from: *const f32 = buffers[param].ptr.cast();
        let count: i64 = plan.left.batch.iter().map(|(n, _)| n).product();
        let make = |layout: &Layout| {
            let mut out = Buffer::floats((count * plan.m * step) as usize);
            pack_left(layout, (plan.m, plan.k, step), from, out.as_mut_ptr().cast());
            out
        };
        let held = if constant {
            plan.get((launch.buffers[param], Side::Left), || {
                let key = (launch.buffers[param], Side::Left, 0, plan.left.clone());
                constants.get(key, &buffers[param], make)
            })
        } else {
            Arc::new(make(&plan.left))
        };
        let first = Shared(held.as_ptr().cast_mut().cast());
        (Some(Operand { first, matrix: plan.m * step, scales: 0, ranges: 0, _held: held }), step)
    }

    /// The right operand, when it is packed as a whole.
    fn right(&self, plan: &Planned, given: &Given<'_>) -> Option<Operand> {
        let Given { launch, buffers, constants, pool, .. } = *given;
        let param = self.product.right.param as usize;
        let width = self.tile.columns() as i64;
        let panels = (plan.n + width - 1) / width;
        let constant = constants.is_constant(launch.buffers[param]);
        let threads = pool.threads() as i64;
        let parts = panels * plan.batches;
        let few = threads > 1 && parts < 2 * threads && plan.operations() > 2.0 * GRAIN;
        if !constant && !few {
            return None;
        }
        let matrix = packed_len(plan.k as usize, plan.n as usize, width as usize) as i64;
        let count: i64 = plan.right.batch.iter().map(|(n, _)| n).product();
        let from = Shared(buffers[param].ptr.cast::<f32>());
        let make = |layout: &Layout| {
            let out = Buffer::floats((count * matrix) as usize);
            let to = Shared(out.as_ptr().cast_mut().cast::<f32>());
            // As `At` numbers the matrices: the last axis first.
            let batches = offsets(&layout.batch);
            pool.for_each((count * panels) as u64, 1, |begin, end| {
                for i in begin as i64..end as i64 {
                    let (b, panel) = (i / panels, i % panels);
                    let from = from.at(layout.base + batches[b as usize]);
                    self.pack(plan, from, to.at(b * matrix), (panel, panel + 1));
                }
            });
            out
        };
        let held = if constant {
            plan.get((launch.buffers[param], Side::Right), || {
                let key = (launch.buffers[param], Side::Right, width as usize, plan.right.clone());
                constants.get(key, &buffers[param], make)
            })
        } else {
            Arc::new(make(&plan.right))
        };
        let first = Shared(held.as_ptr().cast_mut().cast());
        Some(Operand { first, matrix, scales: 0, ranges: 0, _held: held })
    }

    /// Some rows and columns of one product, of a left operand and the step of its rows, and of
    /// panels of the right one.
    #[expect(clippy::too_many_arguments, reason = "a part of a product")]
    pub(super) fn multiply(
        &self,
        plan: &Plan,
        at: &At,
        (a, left_rows): (*const f32, i64),
        panels: *const f32,
        c: *mut f32,
        (m0, m1): (i64, i64),
        (n0, n1): (i64, i64),
        args: &[u64],
    ) {
        let (ldc, k, args) = (plan.out_rows, plan.k, args.as_ptr().cast());
        match (self.code, &plan.gathered) {
            // SAFETY: the operands and the result are those of the kernel that this product is;
            // every part of the result is written by one thread.
            (Code::Even(code), _) => unsafe {
                (code)(a, left_rows, panels, c, ldc, m0, m1, n0, n1, k, 0, args);
            },
            (Code::Gathered(code), Some(g)) => {
                let call = GatheredCall {
                    a,
                    b: panels,
                    c,
                    args,
                    table: plan.table(g, at).as_ptr(),
                    zeros: g.zeros.as_ptr(),
                    ldc,
                    taps: g.taps,
                    run: g.run,
                };
                // SAFETY: as above.
                unsafe { (code)(&raw const call, m0, m1, n0, n1) };
            }
            (Code::Gathered(_) | Code::Window(_), _) => {}
        }
    }

    /// Runs it; gives the status of failed checks.
    ///
    /// # Errors
    /// When sizes are not known.
    pub fn launch(
        &self,
        launch: &Launch,
        buffers: &[Mem],
        sizes: &[i64],
        constants: &Constants,
        pool: &Pool,
    ) -> std::result::Result<(), LaunchError> {
        let plan = self
            .plan(sizes)
            .ok_or_else(|| LaunchError::Broken("the sizes of a product".to_owned()))?;
        if plan.m <= 0 || plan.n <= 0 || plan.batches <= 0 {
            return Ok(());
        }
        let pointers: Vec<*mut c_void> = buffers.iter().map(|m| m.ptr.cast()).collect();
        let wide =
            self.convert.map(|code| (code, self.widened(code, launch, buffers, constants, pool)));
        let operands = wide.as_ref().map_or(buffers, |(_, w)| &w.buffers);
        let given = Given { launch, buffers: operands, pointers, sizes, constants, pool };
        match (self.code, self.on_tiles(&plan, launch, constants)) {
            (Code::Window(code), _) => self.windows(code, &plan, &given)?,
            (_, Some(code)) => self.launch_tiles(code, &plan, &given)?,
            _ => self.launch_plain(&plan, &given)?,
        }
        if let Some((code, wide)) = wide {
            self.narrowed(code, &plan, wide, buffers, pool);
        }
        Ok(())
    }

    /// Runs it by products of vectors; see [`Compiled::launch`].
    fn launch_plain(
        &self,
        plan: &Planned,
        given: &Given<'_>,
    ) -> std::result::Result<(), LaunchError> {
        let (left, left_rows) = self.left(plan, given);
        let right = self.right(plan, given);
        let Given { buffers, sizes, pool, .. } = *given;
        let mut status = 0i32;
        let width = self.tile.columns() as i64;
        let panels = (plan.n + width - 1) / width;
        let threads = pool.threads() as i64;
        // Parts of columns, and where there are too few of them parts of rows.
        let busy = plan.operations() > 2.0 * GRAIN && threads > 1;
        let wanted = if busy { threads * 2 } else { 1 };
        let mut group = (panels * plan.batches / wanted).clamp(1, panels);
        let mut tall = plan.m;
        if right.is_none() {
            let most = PANELS / (plan.k * width * 4).max(1);
            group = group.min(most.max(1));
        } else if busy && panels * plan.batches < wanted {
            let rows = self.tile.rows as i64;
            let parts = (wanted + panels * plan.batches - 1) / (panels * plan.batches);
            tall = ((plan.m + rows - 1) / rows + parts - 1) / parts * rows;
        }
        let groups = (panels + group - 1) / group;
        let parts = (plan.m + tall - 1) / tall;
        let items = plan.batches * groups * parts;
        let each = plan.operations() / items as f64;
        let grain = if busy { (GRAIN / each).max(1.0) as u64 } else { items as u64 };
        // The context of the epilogue.
        let context =
            [given.pointers.as_ptr() as u64, sizes.as_ptr() as u64, (&raw mut status) as u64];
        let base = |param: u32| Shared(buffers[param as usize].ptr.cast::<f32>());
        let (a, b) = (base(self.product.left.param), base(self.product.right.param));
        let c = base(self.product.out.param);
        pool.for_each(items as u64, grain, |begin, end| {
            for item in begin as i64..end as i64 {
                let (part, rest) = (item % parts, item / parts);
                let (first, batch) = (rest % groups * group, rest / groups);
                let last = (first + group).min(panels);
                let at = plan.at(batch);
                let mut args = [0u64; MOST_BATCH + 3];
                args[..3].copy_from_slice(&context);
                args[3..].copy_from_slice(&at.counters);
                let a = match &left {
                    Some(packed) => packed.first.at(at.left_matrix * packed.matrix),
                    None => a.at(at.left),
                };
                let (m0, m1) = (part * tall, ((part + 1) * tall).min(plan.m));
                let (n0, n1) = (first * width, (last * width).min(plan.n));
                let c = c.at(at.out);
                let multiply = |panels: *const f32| {
                    let a = (a.cast_const(), left_rows);
                    self.multiply(plan, &at, a, panels, c, (m0, m1), (n0, n1), &args);
                };
                match &right {
                    Some(packed) => multiply(packed.first.at(at.right_matrix * packed.matrix)),
                    None => {
                        let len = (last - first) * width * plan.k;
                        with_scratch(len as usize, |scratch| {
                            let panels = Shared(scratch).at(-(first * width * plan.k));
                            self.pack(plan, b.at(at.right), panels, (first, last));
                            multiply(panels);
                        });
                    }
                }
            }
        });
        match status {
            0 => Ok(()),
            code => Err(LaunchError::Check((code - 1) as u32)),
        }
    }
}
