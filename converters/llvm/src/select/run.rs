//! Products compiled and run.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use airconv_kernel::ir::{BufferId, BufferKind, Kernel, Launch, Program, Step};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::LaunchError;
use rustc_hash::FxHashMap;

use super::epilogue::OfKernel;
use super::find::{Product, find};
use super::gather::{GatherCall, gather_module, gather_name};
use super::plan::{Layout, Plan, offsets};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::jit::Jit;
use crate::micro::{
    GemmFn, GemmSpec, Identity, PackCall, PackSpec, Tile, gemm_module, pack_module, packed_len,
};
use crate::pool::{ChunkFn, Pool};
use crate::target::Isa;

/// Operations that keep a thread busy for a few microseconds.
const GRAIN: f64 = 400_000.0;

/// The most bytes of the panels that are packed at once where they are needed.
const PANELS: i64 = 512 << 10;

/// The most batch axes.
const MOST_BATCH: usize = 8;

/// What a size that is not known is taken for when a tile is chosen.
const USUAL: i64 = 128;

/// A product with the text of the code for it.
pub struct Selected {
    kernel: Kernel,
    product: Product,
    tile: Tile,
    gemm: String,
    pack: String,
    gather: String,
}

impl Selected {
    /// The product that a kernel is, with texts of modules that have to be compiled for it;
    /// `None` when it is no product or not worth it.
    ///
    /// `constants` are the parameters that are constants of the program wherever it is launched.
    pub fn new(
        kernel: &Kernel,
        constants: &[bool],
        isa: Isa,
        texts: &mut Vec<String>,
    ) -> Option<Selected> {
        let product = find(kernel)?;
        let known = constants.get(product.right.param as usize).copied().unwrap_or(false);
        if product.is_thin() && !known {
            return None;
        }
        if product.batch.len() > MOST_BATCH || product.is_window() {
            return None;
        }
        let estimate = |axes: &[super::Axis]| {
            let sizes = axes.iter().map(|a| a.extent.as_known().unwrap_or(USUAL));
            sizes.fold(1i64, i64::saturating_mul).max(1) as usize
        };
        let (m, n) = (estimate(&product.rows), estimate(&product.columns));
        let tile = Tile::choose(isa, m, n);
        let epilogue = OfKernel::new(&product, isa)?;
        let spec = GemmSpec { name: "gemm".to_owned(), ..GemmSpec::with_tile(isa, tile) };
        let body = if crate::micro::Epilogue::is_identity(&epilogue) {
            gemm_module(&spec, &Identity)
        } else {
            gemm_module(&spec, &epilogue)
        };
        // Equal code has an equal name, so that it is compiled and cached once.
        let digest = blake3::hash(body.as_bytes()).to_hex();
        let gemm = format!("gemm_{}", &digest[..24]);
        texts.push(body.replace("@gemm", &format!("@{gemm}")));
        let pack = PackSpec::new(isa, tile);
        texts.push(pack_module(&pack));
        texts.push(gather_module(isa, tile));
        let gather = gather_name(isa, tile);
        Some(Selected { kernel: kernel.clone(), product, tile, gemm, pack: pack.name, gather })
    }

    /// The product with its code.
    ///
    /// # Errors
    /// When the code is not there.
    pub fn link(self, jit: &Jit) -> Result<Compiled> {
        let gemm = jit.lookup(&self.gemm)?;
        let (pack, gather) = (jit.lookup(&self.pack)?, jit.lookup(&self.gather)?);
        // SAFETY: the modules define them with these types.
        let (gemm, pack, gather) = unsafe {
            (
                std::mem::transmute::<*const (), GemmFn>(gemm),
                std::mem::transmute::<*const (), ChunkFn>(pack),
                std::mem::transmute::<*const (), ChunkFn>(gather),
            )
        };
        let Selected { kernel, product, tile, .. } = self;
        Ok(Compiled {
            kernel,
            product,
            tile,
            gemm,
            pack,
            gather,
            plans: Mutex::default(),
            last: Mutex::default(),
        })
    }
}

/// A constant that was packed: which one, as which side, for which width, and how it lies.
type PackedKey = (BufferId, bool, usize, Layout);

/// Constants of a program in the form that micro-kernels want.
pub struct Constants {
    constant: Vec<bool>,
    packed: Mutex<FxHashMap<PackedKey, Arc<Buffer>>>,
}

impl Constants {
    /// None packed yet.
    pub fn new(program: &Program) -> Constants {
        let constant =
            program.buffers.iter().map(|b| matches!(b.kind, BufferKind::Constant(_))).collect();
        Constants { constant, packed: Mutex::default() }
    }

    /// For each parameter of each kernel of a program whether it is a constant in all launches.
    pub fn of_kernels(program: &Program) -> Vec<Vec<bool>> {
        let params = program.kernels.iter().map(|k| vec![true; k.params.len()]);
        let mut out: Vec<Vec<bool>> = params.collect();
        fn walk(steps: &[Step], program: &Program, out: &mut [Vec<bool>]) {
            for step in steps {
                match step {
                    Step::Launch(l) => {
                        for (i, &b) in l.buffers.iter().enumerate() {
                            let kind = &program.buffer(b).kind;
                            let constant = matches!(kind, BufferKind::Constant(_));
                            out[l.kernel.0 as usize][i] &= constant;
                        }
                    }
                    Step::If { then, otherwise, .. } => {
                        walk(then, program, out);
                        walk(otherwise, program, out);
                    }
                    Step::Loop(l) => walk(&l.body, program, out),
                    _ => {}
                }
            }
        }
        walk(&program.steps, program, &mut out);
        out
    }

    fn is_constant(&self, buffer: BufferId) -> bool {
        self.constant.get(buffer.0 as usize).copied().unwrap_or(false)
    }

    fn get(&self, key: PackedKey, make: impl FnOnce(&Layout) -> Buffer) -> Arc<Buffer> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = packed.get(&key) {
            return found.clone();
        }
        let made = Arc::new(make(&key.3));
        packed.insert(key, made.clone());
        made
    }
}

/// A product that can be run.
pub struct Compiled {
    kernel: Kernel,
    product: Product,
    tile: Tile,
    gemm: GemmFn,
    pack: ChunkFn,
    gather: ChunkFn,
    /// By sizes.
    plans: Mutex<FxHashMap<Vec<i64>, Arc<Plan>>>,
    /// The packed constant of the launch before, which is often that of the next one too.
    last: Mutex<Option<(BufferId, Arc<Plan>, Arc<Buffer>)>>,
}

thread_local! {
    static SCRATCH: RefCell<Buffer> = RefCell::new(Buffer::floats(0));
}

/// Floats of this thread that are free until the end of the call.
fn with_scratch<T>(len: usize, f: impl FnOnce(*mut f32) -> T) -> T {
    SCRATCH.with_borrow_mut(|buffer| {
        if buffer.f32s().len() < len {
            *buffer = Buffer::floats(len);
        }
        f(buffer.as_mut_ptr().cast())
    })
}

/// A pointer that threads share; who uses it sees to the bounds.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: pointers into buffers of a launch, which outlive it and are written to disjointly.
unsafe impl<T> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Shared<T> {}

impl<T> Shared<T> {
    fn at(&self, offset: i64) -> *mut T {
        self.0.wrapping_offset(offset as isize)
    }
}

/// A packed operand: its floats and how many one matrix takes.
struct Operand {
    first: Shared<f32>,
    matrix: i64,
    /// Kept while the launch runs.
    _held: Option<Arc<Buffer>>,
}

/// The number of the matrix of an operand that belongs to a product of the batch, and the
/// offsets of the product in the operands and the result.
struct At {
    counters: [u64; MOST_BATCH],
    left: i64,
    right: i64,
    out: i64,
    left_matrix: i64,
    right_matrix: i64,
}

impl Plan {
    fn at(&self, index: i64) -> At {
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
                        *from.offset((layout.base + batch + row + offset) as isize);
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
    fn plan(&self, sizes: &[i64]) -> Option<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = plans.get(sizes) {
            return Some(found.clone());
        }
        let plan = Arc::new(Plan::new(&self.kernel, &self.product, self.tile, sizes)?);
        plans.insert(sizes.to_vec(), plan.clone());
        Some(plan)
    }

    /// Packs panels `begin..end` of a matrix of the right operand, to where all panels begin.
    fn pack(&self, plan: &Plan, from: *const f32, out: *mut f32, (begin, end): (i64, i64)) {
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
    fn left(
        &self,
        plan: &Plan,
        launch: &Launch,
        buffers: &[Mem],
        constants: &Constants,
    ) -> (Option<Operand>, i64) {
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
            constants.get((launch.buffers[param], true, 0, plan.left.clone()), make)
        } else {
            Arc::new(make(&plan.left))
        };
        let first = Shared(held.as_ptr().cast_mut().cast());
        (Some(Operand { first, matrix: plan.m * step, _held: Some(held) }), step)
    }

    /// The right operand, when it is packed as a whole.
    fn right(
        &self,
        plan: &Arc<Plan>,
        launch: &Launch,
        buffers: &[Mem],
        constants: &Constants,
        pool: &Pool,
    ) -> Option<Operand> {
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
        let operand = |held: Arc<Buffer>| {
            let first = Shared(held.as_ptr().cast_mut().cast());
            Some(Operand { first, matrix, _held: Some(held) })
        };
        let buffer = launch.buffers[param];
        if constant {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((of, by, held)) = &*last
                && *of == buffer
                && Arc::ptr_eq(by, plan)
            {
                return operand(held.clone());
            }
        }
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
            let held = constants.get((buffer, false, width as usize, plan.right.clone()), make);
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((buffer, plan.clone(), held.clone()));
            held
        } else {
            Arc::new(make(&plan.right))
        };
        operand(held)
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
        let (left, left_rows) = self.left(&plan, launch, buffers, constants);
        let right = self.right(&plan, launch, buffers, constants, pool);
        let pointers: Vec<*mut c_void> = buffers.iter().map(|m| m.ptr.cast()).collect();
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
        let context = [pointers.as_ptr() as u64, sizes.as_ptr() as u64, (&raw mut status) as u64];
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
                let multiply = |panels: *const f32| {
                    // SAFETY: the operands and the result are those of the kernel that this
                    // product is; every part of the result is written by one item.
                    unsafe {
                        (self.gemm)(
                            a,
                            left_rows,
                            panels,
                            c.at(at.out),
                            plan.out_rows,
                            m0,
                            m1,
                            n0,
                            n1,
                            plan.k,
                            0,
                            args.as_ptr().cast(),
                        );
                    }
                };
                match &right {
                    Some(packed) => multiply(packed.first.at(at.right_matrix * packed.matrix)),
                    None => {
                        let len = (last - first) * width * plan.k;
                        with_scratch(len as usize, |scratch| {
                            let panels = Shared(scratch).at(-(first * width * plan.k));
                            self.pack(&plan, b.at(at.right), panels, (first, last));
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
