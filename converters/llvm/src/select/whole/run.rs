//! Products of bytes compiled and run.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use airconv_ir::dim::Dim;
use airconv_kernel::ir::{Elem, Kernel, Launch, VarDef};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::LaunchError;
use rustc_hash::FxHashMap;

use super::pack::{Form, Left, Right, row_sum};
use super::{Whole, Zero};
use crate::buffer::Buffer;
use crate::compile::Modules;
use crate::error::Result;
use crate::linked::Linked;
use crate::micro::whole::{
    CHUNK, FinishCall, FinishFn, FinishSpec, KernelFn, TILE_ROWS, TileFn, TileNames, WholeTile,
    finish_module, kernel_module, tiles_module,
};
use crate::micro::{Epilogue, Identity, Tile};
use crate::pool::Pool;
use crate::select::constants::{Constants, Side, ZeroOf};
use crate::select::cost;
use crate::select::epilogue::OfKernel;
use crate::select::explain::Declined;
use crate::select::find::{Product, find};
use crate::select::plan::{Layout, Plan, offsets};
use crate::select::run::{At, GRAIN, MOST_BATCH, Means, Planned, Shared, UseTiles};
use crate::target::Isa;

/// Rows that are packed at once: whole tiles of all levels.
pub(super) const BLOCK: i64 = 96;

/// The fewest rows for which a right operand that is not known before is worth being packed.
const MANY: i64 = 16;

/// A product of bytes with the names of the code for it.
pub struct Selected {
    pub(super) kernel: Kernel,
    /// Rows, columns and length of sums, as far as they are known, else as they usually are.
    pub(in crate::select) sizes: [i64; 3],
    pub(crate) product: Product,
    whole: Whole,
    pub(super) form: Form,
    pub(super) multiply: String,
    pub(super) finish: String,
    pub(in crate::select) tiles: Option<TileNames>,
    always_tiles: bool,
}

/// The name of an element's type in LLVM, if the result of a product may consist of such.
fn element(elem: Elem) -> Option<&'static str> {
    match elem {
        Elem::F32 => Some("float"),
        Elem::I32 => Some("i32"),
        Elem::I8 | Elem::U8 => Some("i8"),
        _ => None,
    }
}

/// Whether a zero point is a value of the operand's own type.
fn is_own(kernel: &Kernel, zero: &Zero, elem: Elem) -> bool {
    match zero {
        Zero::Number(x) if elem == Elem::I8 => (-128..=127).contains(x),
        Zero::Number(x) => (0..=255).contains(x),
        Zero::Element { param, .. } => kernel.params[*param as usize].elem == elem,
    }
}

impl Selected {
    /// The product of bytes that a kernel is, with the modules that have to be compiled for
    /// it; or why it is none, or not worth it.
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
        let whole = product.whole.clone().ok_or(Declined::NoProduct)?;
        let elem = |param: u32| kernel.params[param as usize].elem;
        let element = element(elem(product.out.param)).ok_or(Declined::Epilogue)?;
        if product.window || product.is_window() {
            return Err(Declined::Small);
        }
        if product.batch.len() > MOST_BATCH {
            return Err(Declined::Axes);
        }
        let own = is_own(kernel, &whole.left, elem(product.left.param))
            && is_own(kernel, &whole.right, elem(product.right.param));
        let value = product.value().ok_or(Declined::Epilogue)?;
        if !own || product.epilogue.ty(value) != elem(product.out.param).scalar() {
            return Err(Declined::Epilogue);
        }
        let (m, n) = (cost::usual_count(&product.rows), cost::usual_count(&product.columns));
        let known = |param: u32| constants.get(param as usize).copied().unwrap_or(false);
        let known_zero = match &whole.right {
            Zero::Number(_) => true,
            Zero::Element { param, .. } => known(*param),
        };
        if !(known(product.right.param) && known_zero) && m < MANY {
            return Err(Declined::Thin);
        }
        let columns = usize::try_from(n).unwrap_or(usize::MAX);
        let tile = WholeTile::choose(isa, columns).ok_or(Declined::Narrow)?;
        let form = Form { tile, chunks: isa == Isa::Amx };
        let trial = Plan::new(kernel, &product, plain(tile), sizes);
        let gathered = trial.as_ref().is_some_and(|p| p.gathered.is_some());
        if !product.guards.is_empty() && !gathered {
            return Err(Declined::Guards);
        }
        let epilogue = OfKernel::new(&product, isa).ok_or(Declined::Epilogue)?;
        let identity = epilogue.is_identity();
        let epilogue: &dyn Epilogue = if identity { &Identity } else { &epilogue };
        let spec = FinishSpec { name: "finish", isa, tile, element };
        let body = finish_module(&spec, epilogue);
        let digest = blake3::hash(body.as_bytes()).to_hex();
        let finish = format!("whole_finish_{}_{isa}", &digest[..24]);
        let own = format!("@{finish}(");
        modules.entry(finish.clone()).or_insert_with(|| body.replace("@finish(", &own));
        modules.entry(tile.kernel_name(isa)).or_insert_with(|| kernel_module(isa, tile));
        let tiles = (isa == Isa::Amx).then(|| {
            let names = TileNames::new(tile);
            modules.entry(names.multiply.clone()).or_insert_with(|| tiles_module(tile));
            names
        });
        Ok(Selected {
            kernel: kernel.clone(),
            sizes: [m, n, cost::usual_count(&product.sums)],
            product,
            whole,
            form,
            multiply: tile.kernel_name(isa),
            finish,
            tiles,
            always_tiles: means.tiles == UseTiles::Always,
        })
    }

    /// The product with its code.
    ///
    /// # Errors
    /// When the code is not there.
    pub fn link(self, linked: &Linked) -> Result<Compiled> {
        let (multiply, finish) = (linked.lookup(&self.multiply)?, linked.lookup(&self.finish)?);
        let tiles = match &self.tiles {
            Some(names) => {
                let [multiply, begin, end] =
                    [&names.multiply, &names.begin, &names.end].map(|name| linked.lookup(name));
                // SAFETY: the module defines them with these types.
                unsafe {
                    Some(Tiles {
                        multiply: std::mem::transmute::<*const (), TileFn>(multiply?),
                        begin: std::mem::transmute::<*const (), unsafe extern "C" fn()>(begin?),
                        end: std::mem::transmute::<*const (), unsafe extern "C" fn()>(end?),
                    })
                }
            }
            None => None,
        };
        // SAFETY: the modules define them with these types.
        let (multiply, finish) = unsafe {
            (
                std::mem::transmute::<*const (), KernelFn>(multiply),
                std::mem::transmute::<*const (), FinishFn>(finish),
            )
        };
        let Selected { kernel, product, whole, form, always_tiles, .. } = self;
        let plans = Mutex::default();
        Ok(Compiled { kernel, product, whole, form, multiply, finish, tiles, always_tiles, plans })
    }
}

/// A tile of floats with the same panels.
pub(super) fn plain(tile: WholeTile) -> Tile {
    Tile { rows: tile.rows, vectors: tile.vectors, lanes: tile.lanes }
}

/// The code of products on AMX tiles.
#[derive(Clone, Copy)]
struct Tiles {
    multiply: TileFn,
    begin: unsafe extern "C" fn(),
    end: unsafe extern "C" fn(),
}

/// The plan for some sizes.
struct Sized {
    planned: Planned,
    /// The offsets of rows and of elements of a row of the left operand, where those are neither
    /// evenly apart nor in runs.
    places: Option<(Vec<i64>, Vec<i64>)>,
    right_zero: Option<(i64, Vec<i64>)>,
    left_zero: i64,
}

/// A product of bytes that can be run.
pub struct Compiled {
    kernel: Kernel,
    product: Product,
    whole: Whole,
    form: Form,
    multiply: KernelFn,
    finish: FinishFn,
    tiles: Option<Tiles>,
    always_tiles: bool,
    /// By sizes.
    plans: Mutex<FxHashMap<Vec<i64>, Arc<Sized>>>,
}

/// Memory of a thread that is free until the end of an item.
struct Workspace {
    left: Buffer,
    sums: Buffer,
    rests: Vec<i32>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::new(Workspace {
        left: Buffer::new(0),
        sums: Buffer::new(0),
        rests: Vec::new(),
    });
}

/// What all items of a launch share.
struct Launching<'l> {
    plan: &'l Sized,
    right: Right,
    packed: Arc<Buffer>,
    /// Whether right zero points are left.
    rest: bool,
    tiles: Option<Tiles>,
    left: Shared<u8>,
    out: Shared<u8>,
    /// Bytes of an element of the result.
    size: i64,
    signed: bool,
    zero: i32,
}

/// An element of a buffer of bytes.
fn byte_at(mem: &Mem, elem: Elem, at: i64) -> std::result::Result<i32, LaunchError> {
    let at = usize::try_from(at).ok().filter(|&at| at < mem.len);
    let Some(at) = at else {
        return Err(LaunchError::Broken("a zero point is outside of its array".to_owned()));
    };
    // SAFETY: it is within the buffer.
    let byte = unsafe { *mem.ptr.add(at) };
    Ok(if elem == Elem::I8 { i32::from(byte as i8) } else { i32::from(byte) })
}

impl Compiled {
    fn plan(&self, sizes: &[i64]) -> Option<Arc<Sized>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = plans.get(sizes) {
            return Some(found.clone());
        }
        let plan = Plan::new(&self.kernel, &self.product, plain(self.form.tile), sizes)?;
        if !self.product.guards.is_empty() && plan.gathered.is_none() {
            return None;
        }
        let value = |d: &Dim| {
            d.eval(&|s| match self.kernel.vars.get(s.0 as usize) {
                Some(VarDef::Size(i)) => sizes.get(*i as usize).copied(),
                _ => None,
            })
        };
        let left_zero = match &self.whole.left {
            Zero::Number(_) => 0,
            Zero::Element { base, .. } => value(base)?,
        };
        let right_zero = match &self.whole.right {
            Zero::Number(_) => None,
            Zero::Element { base, columns, .. } => {
                let axes = self.product.columns.iter().zip(columns);
                let axes: Option<Vec<(i64, i64)>> =
                    axes.map(|(a, step)| Some((value(&a.extent)?.max(0), value(step)?))).collect();
                Some((value(base)?, offsets(&axes?)))
            }
        };
        let even = plan.left_rows.is_some() || plan.gathered.is_some();
        let places = (!even).then(|| (offsets(&plan.left.outer), offsets(&plan.left.inner)));
        let planned = Planned::new(plan);
        let made = Arc::new(Sized { planned, places, right_zero, left_zero });
        plans.insert(sizes.to_vec(), made.clone());
        Some(made)
    }

    fn elem(&self, param: u32) -> Elem {
        self.kernel.params[param as usize].elem
    }

    /// The packed right operand.
    fn right(
        &self,
        plan: &Sized,
        right: Right,
        launch: &Launch,
        buffers: &[Mem],
        constants: &Constants,
    ) -> std::result::Result<Arc<Buffer>, LaunchError> {
        let param = self.product.right.param;
        let buffer = launch.buffers[param as usize];
        let mut constant = constants.is_constant(buffer);
        let zero = match &self.whole.right {
            Zero::Number(x) => ZeroOf::Number(*x),
            Zero::Element { param, .. } => {
                let buffer = launch.buffers[*param as usize];
                constant &= constants.is_constant(buffer);
                let ends = plan.right_zero.as_ref();
                let (first, last) = ends.map_or((0, 0), |(base, columns)| {
                    (*base, base + columns.last().copied().unwrap_or(0))
                });
                ZeroOf::Constant(buffer, first, last)
            }
        };
        let side = Side::Whole(zero);
        let make = |layout: &Layout| -> std::result::Result<Buffer, LaunchError> {
            let zeros: Vec<i32> = match (&self.whole.right, &plan.right_zero) {
                (Zero::Element { param, .. }, Some((base, columns))) => {
                    let (mem, elem) = (&buffers[*param as usize], self.elem(*param));
                    columns
                        .iter()
                        .map(|c| byte_at(mem, elem, base + c))
                        .collect::<std::result::Result<_, _>>()?
                }
                (Zero::Number(x), _) => vec![*x; plan.planned.n.max(0) as usize],
                _ => Vec::new(),
            };
            let zero = |c: usize| zeros.get(c).copied().unwrap_or(0);
            let from = (Shared(buffers[param as usize].ptr), self.elem(param) == Elem::I8);
            Ok(right.pack(self.form, (layout, plan.planned.k), from, &zero))
        };
        if !constant {
            return Ok(Arc::new(make(&plan.planned.right)?));
        }
        let width = self.form.tile.columns();
        let key = (buffer, side, width, plan.planned.right.clone());
        let make = |layout: &Layout| make(layout).unwrap_or_else(|_| Buffer::new(0));
        let source = &buffers[param as usize];
        let held = plan.planned.get((buffer, side), || constants.get(key, source, make));
        match held.is_empty() {
            true => Err(LaunchError::Broken("the zero points of a product".to_owned())),
            false => Ok(held),
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// When sizes are not known, and the status of failed checks.
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
        let planned = &plan.planned;
        let (m, n, k) = (planned.m, planned.n, planned.k);
        if m <= 0 || n <= 0 || planned.batches <= 0 {
            return Ok(());
        }
        let right = Right::new(self.form, planned);
        let packed = self.right(&plan, right, launch, buffers, constants)?;
        let zero = match &self.whole.left {
            Zero::Number(x) => *x,
            Zero::Element { param, .. } => {
                byte_at(&buffers[*param as usize], self.elem(*param), plan.left_zero)?
            }
        };
        let left_param = self.product.left.param;
        let signed = self.elem(left_param) == Elem::I8;
        let pays = self.always_tiles || cost::whole_pays(m, n, k);
        let out = self.product.out.param;
        let shared = Launching {
            plan: &plan,
            right,
            rest: right.has_zeros(&packed),
            packed,
            tiles: self.tiles.filter(|_| pays && k > 0),
            left: Shared(buffers[left_param as usize].ptr),
            out: Shared(buffers[out as usize].ptr),
            size: self.elem(out).bytes() as i64,
            signed,
            zero,
        };
        self.run(&shared, buffers, sizes, pool)
    }

    /// Cuts it into items, and does them.
    fn run(
        &self,
        shared: &Launching<'_>,
        buffers: &[Mem],
        sizes: &[i64],
        pool: &Pool,
    ) -> std::result::Result<(), LaunchError> {
        let plan = &shared.plan.planned;
        let pointers: Vec<*mut c_void> = buffers.iter().map(|m| m.ptr.cast()).collect();
        let mut status = 0i32;
        let context = [pointers.as_ptr() as u64, sizes.as_ptr() as u64, (&raw mut status) as u64];
        let width = self.form.tile.columns() as i64;
        let panels = (plan.n + width - 1) / width;
        let threads = pool.threads() as i64;
        let busy = threads > 1 && plan.operations() > 8.0 * GRAIN;
        let wanted = if busy { threads * 2 } else { 1 };
        let (mut group, mut tall) = (panels, plan.m);
        if plan.m >= wanted * BLOCK || panels * plan.batches < wanted {
            let parts = (wanted + plan.batches - 1) / plan.batches;
            let tiles = (plan.m + TILE_ROWS as i64 - 1) / TILE_ROWS as i64;
            tall = ((tiles + parts - 1) / parts * TILE_ROWS as i64).max(1);
        } else {
            group = (panels * plan.batches / wanted).clamp(1, panels);
        }
        let groups = (panels + group - 1) / group;
        let parts = (plan.m + tall - 1) / tall;
        let items = plan.batches * groups * parts;
        let each = plan.operations() / items as f64;
        let grain = if busy { (4.0 * GRAIN / each).max(1.0) as u64 } else { items as u64 };
        pool.for_each(items as u64, grain, |begin, end| {
            WORKSPACE.with_borrow_mut(|workspace| {
                if let Some(tiles) = shared.tiles {
                    // SAFETY: tiles are used only where the machine has them.
                    unsafe { (tiles.begin)() };
                }
                for item in begin as i64..end as i64 {
                    let (part, rest) = (item % parts, item / parts);
                    let (first, batch) = (rest % groups * group, rest / groups);
                    let at = plan.at(batch);
                    let mut args = [0u64; MOST_BATCH + 3];
                    args[..3].copy_from_slice(&context);
                    args[3..].copy_from_slice(&at.counters);
                    let rows = (part * tall, ((part + 1) * tall).min(plan.m));
                    let columns = (first * width, ((first + group) * width).min(plan.n));
                    self.item(shared, workspace, &at, rows, columns, &args);
                }
                if let Some(tiles) = shared.tiles {
                    // SAFETY: as above.
                    unsafe { (tiles.end)() };
                }
            });
        });
        match status {
            0 => Ok(()),
            code => Err(LaunchError::Check((code - 1) as u32)),
        }
    }

    /// Some rows and columns of one product.
    fn item(
        &self,
        l: &Launching<'_>,
        w: &mut Workspace,
        at: &At,
        (m0, m1): (i64, i64),
        (n0, n1): (i64, i64),
        args: &[u64],
    ) {
        let plan = &l.plan.planned;
        let left = Left {
            plan,
            places: l.plan.places.as_ref(),
            table: plan.gathered.as_ref().map_or(&[][..], |g| plan.table(g, at)),
            from: l.left.at(at.left),
            signed: l.signed,
            zero: l.zero,
        };
        let width = self.form.tile.columns() as i64;
        let panel_bytes = self.form.panel(plan.k);
        let panels = l.right.panels(&l.packed, at.right_matrix);
        let first = (at.right_matrix * l.right.columns) as usize;
        let of_columns = |list: &[i32]| list.get(first..).map_or(std::ptr::null(), <[i32]>::as_ptr);
        let room = TILE_ROWS * 2 * self.form.tile.columns() * 4;
        if w.sums.len() < room {
            w.sums = Buffer::new(room);
        }
        let sums = w.sums.as_mut_ptr().cast::<i32>();
        let mut call = FinishCall {
            sums,
            totals: of_columns(l.right.totals(&l.packed)),
            zeros: if l.rest { of_columns(l.right.zeros(&l.packed)) } else { std::ptr::null() },
            rests: std::ptr::null(),
            c: l.out.at(at.out * l.size),
            args: args.as_ptr().cast(),
            ldc: plan.out_rows,
            row: 0,
            rows: 0,
            column: 0,
            end: n1,
            zero: -i64::from(left.unsigned_zero()),
        };
        let mut begin = m0;
        while begin < m1 {
            let end = (begin + BLOCK).min(m1);
            let (a, lda) = self.block(l, w, &left, (begin, end));
            call.rests = w.rests.as_ptr();
            let mut column = n0;
            while column < n1 {
                let b = panels.wrapping_offset((column / width * panel_bytes) as isize);
                call.column = column;
                let mut row = begin;
                while row < end {
                    let from = a.wrapping_offset(((row - begin) * lda) as isize);
                    // SAFETY: the rows are packed or in place, the panel is packed, and there is
                    // room for the sums of two tiles.
                    let rows = unsafe { self.sums(l, from, lda, b, plan.k, end - row, sums) };
                    (call.row, call.rows) = (row, rows);
                    call.rests = w.rests.as_ptr().wrapping_offset((row - begin) as isize);
                    // SAFETY: the result is that of the kernel that this product is; every part
                    // of it is written by one item.
                    unsafe { (self.finish)(&raw const call) };
                    row += rows;
                }
                column += width;
            }
            begin = end;
        }
    }

    /// The sums of as many of `rows` rows as are done at once, which it gives.
    ///
    /// # Safety
    /// The operands are packed, and there is room for the sums.
    #[expect(clippy::too_many_arguments, reason = "a part of a product")]
    unsafe fn sums(
        &self,
        l: &Launching<'_>,
        a: *const u8,
        lda: i64,
        b: *const u8,
        k: i64,
        rows: i64,
        sums: *mut i32,
    ) -> i64 {
        let Some(tiles) = l.tiles else {
            // SAFETY: the caller's promise.
            return unsafe { (self.multiply)(rows, a, lda, b, self.form.groups(k), sums) };
        };
        let two = rows > TILE_ROWS as i64;
        let chunks = self.form.row(k) / CHUNK as i64;
        // SAFETY: the caller's promise.
        unsafe { (tiles.multiply)(i64::from(two), a, lda, b, chunks, sums) };
        rows.min(if two { 2 } else { 1 } * TILE_ROWS as i64)
    }

    /// Some rows of the left operand where micro-kernels can read them, and from row to row; and
    /// what is left of their sums, where that is needed.
    fn block(
        &self,
        l: &Launching<'_>,
        w: &mut Workspace,
        left: &Left<'_>,
        (m0, m1): (i64, i64),
    ) -> (*const u8, i64) {
        let k = left.plan.k;
        let dot = self.form.tile.dot;
        let multiple = if l.tiles.is_some() { CHUNK as i64 } else { 4 };
        // Tiles read all of their rows.
        let whole = l.tiles.is_none() || (m1 - m0) % TILE_ROWS as i64 == 0;
        let (a, lda) = match left.in_place(dot, multiple).filter(|_| whole) {
            Some(step) => (left.from.wrapping_offset((m0 * step) as isize), step),
            None => {
                let step = self.form.row(k);
                // Not a multiple of what caches are confused by.
                let step = if step % 1024 == 0 { step + 64 } else { step };
                let tall = (m1 - m0 + TILE_ROWS as i64 - 1) / TILE_ROWS as i64 * TILE_ROWS as i64;
                let room = (tall * step) as usize;
                if w.left.len() < room {
                    w.left = Buffer::new(room);
                }
                let out = w.left.as_mut_ptr();
                left.pack(dot, (m0, m1), out, step);
                (out.cast_const(), step)
            }
        };
        if l.rest {
            w.rests.clear();
            let less = left.unsigned_zero().wrapping_mul(k as i32);
            w.rests.extend((0..m1 - m0).map(|r| {
                let row = a.wrapping_offset((r * lda) as isize);
                // SAFETY: a row has `k` bytes.
                unsafe { row_sum(row, k) }.wrapping_sub(less)
            }));
        }
        (a, lda)
    }
}
