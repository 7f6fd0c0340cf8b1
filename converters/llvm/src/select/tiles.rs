//! Products on AMX tiles: operands split into planes, and what is done where planes are not
//! exact.

use std::cell::RefCell;
use std::sync::Arc;

use airconv_kernel::ir::Launch;
use airconv_kernel::run::LaunchError;

use super::constants::{Constants, Side};
use super::cost::Work;
use super::epilogue::is_long;
use super::plan::{Layout, Plan, offsets};
use super::run::{At, Compiled, GRAIN, Given, MOST_BATCH, Operand, PANELS, Planned, Shared};
use crate::buffer::Buffer;
use crate::compile::Modules;
use crate::error::Result;
use crate::linked::Linked;
use crate::micro::amx::{
    AmxCall, AmxFn, AmxSpec, CHUNK, COLUMNS, Grade, KernelFn, LeftCall, ROWS, Range, RightCall,
    SplitSpec, amx_module, exact, kernel_module, kernel_name, split_module, strip_bytes, variant,
};
use crate::micro::{Epilogue, Tile};
use crate::pool::ChunkFn;

/// The tile of `f32` registers whose panels are as wide as those of AMX tiles. It is low, so that
/// there is little code beside that for tiles.
pub(super) const TILE: Tile = Tile { rows: 4, vectors: 2, lanes: 16 };

/// The most bytes of the planes of a block of rows.
pub(super) const BLOCK: i64 = 768 << 10;

/// Chunks of K that are done for all rows of a block before the next ones.
pub(super) const PIECE: i64 = 16;

/// Chunks of K up to which what takes time is the result, which is then made in blocks of so few
/// rows that they are written as a whole.
pub(super) const FEW: i64 = 4;
pub(super) const SHORT: i64 = 64;

/// Names of the code of a product on tiles.
pub(super) struct Names {
    pub(super) multiply: String,
    pub(super) split: SplitSpec,
}

impl Names {
    /// The code for an epilogue, whose modules are added to those that are compiled.
    pub(super) fn new(grade: Grade, epilogue: &dyn Epilogue, modules: &mut Modules) -> Names {
        let body = amx_module(&AmxSpec { name: "amx".to_owned(), grade }, epilogue);
        let digest = blake3::hash(body.as_bytes()).to_hex();
        let multiply = format!("amx_{}", &digest[..24]);
        let own = format!("@{multiply}");
        modules.entry(multiply.clone()).or_insert_with(|| body.replace("@amx", &own));
        let split = SplitSpec::new(grade);
        modules.entry(split.even.clone()).or_insert_with(|| split_module(&split));
        modules.entry(kernel_name(grade)).or_insert_with(|| kernel_module(grade));
        Names { multiply, split }
    }

    /// The code.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn link(&self, linked: &Linked) -> Result<Code> {
        let split = &self.split;
        let kernel = kernel_name(split.grade);
        let [multiply, kernel, even, gathered, right] =
            [&self.multiply, &kernel, &split.even, &split.gathered, &split.right]
                .map(|name| linked.lookup(name));
        // SAFETY: the modules define them with these types.
        unsafe {
            Ok(Code {
                grade: self.split.grade,
                multiply: std::mem::transmute::<*const (), AmxFn>(multiply?),
                kernel: std::mem::transmute::<*const (), KernelFn>(kernel?),
                even: std::mem::transmute::<*const (), ChunkFn>(even?),
                gathered: std::mem::transmute::<*const (), ChunkFn>(gathered?),
                right: std::mem::transmute::<*const (), ChunkFn>(right?),
            })
        }
    }
}

/// The code of a product on tiles.
#[derive(Clone, Copy)]
pub(super) struct Code {
    grade: Grade,
    multiply: AmxFn,
    kernel: KernelFn,
    even: ChunkFn,
    gathered: ChunkFn,
    right: ChunkFn,
}

/// Memory of a thread that is free until the end of an item.
struct Workspace {
    panels: Buffer,
    right: Buffer,
    ranges: Buffer,
    scales: Buffer,
    left: Buffer,
    rows: Buffer,
    sums: Buffer,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::new(Workspace {
        panels: Buffer::new(0),
        right: Buffer::new(0),
        ranges: Buffer::new(0),
        scales: Buffer::new(0),
        left: Buffer::new(0),
        rows: Buffer::new(0),
        sums: Buffer::new(0),
    });
}

/// At least so many bytes.
fn room(buffer: &mut Buffer, bytes: usize) -> *mut u8 {
    if buffer.len() < bytes {
        *buffer = Buffer::new(bytes);
    }
    buffer.as_mut_ptr()
}

/// How the rows and columns of a product are cut.
struct Cut {
    panels: i64,
    /// Panels of an item.
    group: i64,
    /// Rows of an item.
    tall: i64,
    /// Rows that are split at once.
    block: i64,
    chunks: i64,
    /// Chunks that are done for all panels before the next ones.
    deep: i64,
}

/// What all items of a launch share.
struct Launching<'l> {
    code: Code,
    plan: &'l Plan,
    cut: Cut,
    /// The left operand where it was packed, and from row to row of it.
    left: Option<Operand>,
    left_rows: i64,
    /// The planes of the right operand where they were made before, and where their ranges are.
    right: Option<Operand>,
    a: Shared<f32>,
    b: Shared<f32>,
    c: Shared<f32>,
}

/// Tiles of rows.
fn tiles_of((m0, m1): (i64, i64)) -> i64 {
    (m1 - m0 + ROWS as i64 - 1) / ROWS as i64
}

/// How many of `tall` rows are split at once, and of how many chunks, so that their planes stay in
/// the cache of a core and the fewest bytes go through it: with fewer rows at once, all of the
/// right operand is read more often; with fewer chunks, whose number is a multiple of `unit`, the
/// sums of all `columns` are read and written more often.
fn blocks(grade: Grade, (tall, chunks, columns): (i64, i64, i64), unit: i64) -> (i64, i64) {
    let rows = ROWS as i64;
    let of_chunk = strip_bytes(grade, 1) as i64;
    let units = (chunks + unit - 1) / unit;
    if chunks <= FEW && columns * chunks * of_chunk / rows <= BLOCK {
        return (tall.min(SHORT), chunks);
    }
    let mut best = (i64::MAX, tall, chunks);
    for times in 1..=units {
        let deep = ((units + times - 1) / times * unit).min(chunks);
        let most = (BLOCK / (deep * of_chunk)).max(2) * rows;
        let blocks = (tall + most - 1) / most;
        let again = (chunks + deep - 1) / deep - 1;
        let right = blocks * columns * chunks * of_chunk / rows;
        let bytes = right + again * tall * columns * 8;
        if bytes < best.0 {
            best = (bytes, (tall + blocks - 1) / blocks, deep);
        }
        if blocks == 1 {
            break;
        }
    }
    (best.1, best.2)
}

/// The planes of panels of a right operand.
struct Planes {
    /// Where panel 0 is.
    first: *const u8,
    /// Where the scales of panel 0 are.
    scales: *const f32,
    range: Range,
}

impl Compiled {
    /// The code for tiles, where they are faster for these sizes.
    pub(super) fn on_tiles(
        &self,
        plan: &Plan,
        launch: &Launch,
        constants: &Constants,
    ) -> Option<Code> {
        let code = self.tiles?;
        let constant = constants.is_constant(launch.buffers[self.product.right.param as usize]);
        let work = Work {
            m: plan.m,
            n: plan.n,
            k: plan.k,
            constant,
            run: plan.gathered.as_ref().map(|g| g.run),
            weights: constants.weights,
            long: is_long(&self.product),
        };
        (plan.k > 0 && (self.always_tiles || work.pays(code.grade))).then_some(code)
    }

    /// Runs it on tiles; see [`Compiled::launch`].
    pub(super) fn launch_tiles(
        &self,
        code: Code,
        plan: &Planned,
        given: &Given<'_>,
    ) -> std::result::Result<(), LaunchError> {
        let (left, left_rows) = self.left(plan, given);
        let right = self.planes(code, plan, given);
        let Given { buffers, sizes, pool, .. } = *given;
        let cut = self.cut(code.grade, plan, right.is_some(), pool.threads() as i64);
        let base = |param: u32| Shared(buffers[param as usize].ptr.cast::<f32>());
        let shared = Launching {
            code,
            plan,
            cut,
            left,
            left_rows,
            right,
            a: base(self.product.left.param),
            b: base(self.product.right.param),
            c: base(self.product.out.param),
        };
        let cut = &shared.cut;
        let groups = (cut.panels + cut.group - 1) / cut.group;
        let parts = (plan.m + cut.tall - 1) / cut.tall;
        let items = plan.batches * groups * parts;
        let each = plan.operations() / items as f64;
        let busy = plan.operations() > 2.0 * GRAIN && pool.threads() > 1;
        let grain = if busy { (2.0 * GRAIN / each).max(1.0) as u64 } else { items as u64 };
        let mut status = 0i32;
        let context =
            [given.pointers.as_ptr() as u64, sizes.as_ptr() as u64, (&raw mut status) as u64];
        pool.for_each(items as u64, grain, |begin, end| {
            WORKSPACE.with_borrow_mut(|workspace| {
                for item in begin as i64..end as i64 {
                    let (part, rest) = (item % parts, item / parts);
                    let (first, batch) = (rest % groups * cut.group, rest / groups);
                    let last = (first + cut.group).min(cut.panels);
                    let at = plan.at(batch);
                    let mut args = [0u64; MOST_BATCH + 3];
                    args[..3].copy_from_slice(&context);
                    args[3..].copy_from_slice(&at.counters);
                    let rows = (part * cut.tall, ((part + 1) * cut.tall).min(plan.m));
                    self.item(&shared, workspace, &at, rows, (first, last), &args);
                }
            });
        });
        match status {
            0 => Ok(()),
            code => Err(LaunchError::Check((code - 1) as u32)),
        }
    }

    /// The cut for a number of threads.
    fn cut(&self, grade: Grade, plan: &Plan, whole: bool, threads: i64) -> Cut {
        let panels = (plan.n + COLUMNS as i64 - 1) / COLUMNS as i64;
        let chunks = (plan.k + CHUNK as i64 - 1) / CHUNK as i64;
        let busy = plan.operations() > 4.0 * GRAIN && threads > 1;
        let wanted = if busy { threads } else { 1 };
        let mut group = panels;
        let mut tall = plan.m;
        if !whole {
            group = group.min((PANELS / (plan.k * COLUMNS as i64 * 4).max(1)).max(1));
        }
        let groups = (panels + group - 1) / group;
        if groups * plan.batches < wanted {
            // Rows that are many share the planes of columns; else columns share those of rows.
            let parts = (wanted + plan.batches - 1) / plan.batches;
            if whole && plan.m < 4 * ROWS as i64 * parts || !whole && plan.n > 4 * plan.m {
                group = ((panels + parts - 1) / parts).max(1).min(group);
            } else {
                let rows = 2 * ROWS as i64;
                tall = ((plan.m + parts - 1) / parts + rows - 1) / rows * rows;
            }
        }
        let unit = match &plan.gathered {
            None => PIECE,
            Some(g) if g.run % CHUNK as i64 == 0 => {
                let run = g.run / CHUNK as i64;
                (PIECE + run - 1) / run * run
            }
            Some(_) => chunks,
        };
        let columns = plan.n.min(group * COLUMNS as i64);
        let (block, deep) = blocks(grade, (tall, chunks, columns), unit);
        Cut { panels, group, tall, block, chunks, deep }
    }

    /// One item: rows and panels of one product.
    fn item(
        &self,
        l: &Launching<'_>,
        w: &mut Workspace,
        at: &At,
        (m0, m1): (i64, i64),
        (first, last): (i64, i64),
        args: &[u64],
    ) {
        let (plan, cut) = (l.plan, &l.cut);
        let panel = 2 * strip_bytes(l.code.grade, cut.chunks as usize) as i64;
        let width = COLUMNS as i64;
        let columns = (first * width, (last * width).min(plan.n));
        let a = match &l.left {
            Some(packed) => packed.first.at(at.left_matrix * packed.matrix),
            None => l.a.at(at.left),
        };
        let c = l.c.at(at.out);
        let planes = match &l.right {
            Some(made) => {
                let bytes: Shared<u8> = Shared(made.first.0.cast());
                let ranges: Shared<Range> = Shared(bytes.at(made.ranges).cast());
                let of_panel = |p: i64| {
                    // SAFETY: there is a range for each panel of each matrix.
                    unsafe { *ranges.at(at.right_matrix * cut.panels + p) }
                };
                let range = (first..last).map(of_panel).fold(Range::NONE, Range::and);
                let scales: Shared<f32> = Shared(bytes.at(made.scales).cast());
                Planes {
                    first: bytes.at(at.right_matrix * made.matrix),
                    scales: scales.at(at.right_matrix * cut.panels * width),
                    range,
                }
            }
            None => {
                let count = (last - first) as usize;
                let panels = room(&mut w.panels, count * plan.k as usize * COLUMNS * 4);
                let panels = Shared(panels.cast::<f32>()).at(-(first * width * plan.k));
                self.pack(plan, l.b.at(at.right), panels, (first, last));
                let out = Shared(room(&mut w.right, count * panel as usize)).at(-(first * panel));
                let ranges = room(&mut w.ranges, count * size_of::<Range>()).cast::<Range>();
                let ranges = Shared(ranges).at(-first);
                let scales = room(&mut w.scales, count * COLUMNS * 4).cast::<f32>();
                let scales = Shared(scales).at(-(first * width));
                let (k, chunks) = (plan.k, cut.chunks);
                let mut call = RightCall { b: panels, out, ranges, scales, k, chunks };
                // SAFETY: there is room for the panels `first..last`.
                let all = unsafe {
                    (l.code.right)((&raw mut call).cast(), first as u64, last as u64);
                    (first..last)
                        .map(|p| *ranges.wrapping_offset(p as isize))
                        .fold(Range::NONE, Range::and)
                };
                Planes { first: out, scales, range: all }
            }
        };
        let mut begin = m0;
        while begin < m1 {
            let rows = (begin, (begin + cut.block).min(m1));
            if !self.rows(l, w, at, (a, c), &planes, rows, columns, args) {
                self.inexact(l, w, at, (a, c), rows, (first, last), args);
            }
            begin = rows.1;
        }
    }

    /// Some rows of an item; gives whether their planes are exact, and so the result is there.
    #[expect(clippy::too_many_arguments, reason = "a part of a product")]
    fn rows(
        &self,
        l: &Launching<'_>,
        w: &mut Workspace,
        at: &At,
        (a, c): (*const f32, *mut f32),
        planes: &Planes,
        rows: (i64, i64),
        columns: (i64, i64),
        args: &[u64],
    ) -> bool {
        let (plan, cut) = (l.plan, &l.cut);
        let of_panel = AmxCall::sums_bytes(tiles_of(rows) as usize);
        let split = cut.deep < cut.chunks;
        let panels = (columns.1 - columns.0 + COLUMNS as i64 - 1) / COLUMNS as i64;
        let sums = room(&mut w.sums, of_panel * if split { panels as usize } else { 1 });
        let mut begin = 0;
        while begin < cut.chunks {
            let end = (begin + cut.deep).min(cut.chunks);
            let (range, left) = self.split_left(l, w, at, a, rows, (begin, end));
            if !exact(range, planes.range, plan.k) {
                return false;
            }
            let call = AmxCall {
                a: left,
                b: planes.first,
                scales: planes.scales,
                c,
                args: args.as_ptr().cast(),
                kernel: l.code.kernel,
                sums,
                next_sums: if split { of_panel as i64 } else { 0 },
                ldc: plan.out_rows,
                chunks: cut.chunks,
                begin,
                end,
                piece: PIECE,
                variant: variant(l.code.grade, range.planes(), planes.range.planes()),
            };
            // SAFETY: the operands and the result are those of the kernel that this product is;
            // every part of the result is written by one item.
            unsafe { (l.code.multiply)(&raw const call, rows.0, rows.1, columns.0, columns.1) };
            begin = end;
        }
        true
    }

    /// The planes of some rows and chunks, and how large their numbers are; all chunks where rows
    /// are runs.
    fn split_left(
        &self,
        l: &Launching<'_>,
        w: &mut Workspace,
        at: &At,
        a: *const f32,
        (m0, m1): (i64, i64),
        (begin, end): (i64, i64),
    ) -> (Range, *const u8) {
        let plan = l.plan;
        let (chunk, chunks) = (CHUNK as i64, end - begin);
        let strip = strip_bytes(l.code.grade, chunks as usize);
        let out = room(&mut w.left, tiles_of((m0, m1)) as usize * strip);
        let mut range = Range::NONE;
        let mut call = LeftCall {
            a,
            out,
            range: &raw mut range,
            table: std::ptr::null(),
            zeros: std::ptr::null(),
            rows: std::ptr::null_mut(),
            lda: l.left_rows,
            k: plan.k.min(end * chunk) - begin * chunk,
            taps: 0,
            run: 0,
            chunks,
        };
        let mut code = l.code.even;
        match &plan.gathered {
            None => call.a = call.a.wrapping_offset((begin * chunk) as isize),
            Some(g) => {
                code = l.code.gathered;
                call.table = plan.table(g, at).as_ptr();
                call.zeros = g.zeros.as_ptr();
                (call.lda, call.run, call.taps) = (g.taps, g.run, g.taps);
                if g.run % chunk == 0 {
                    call.table = call.table.wrapping_offset((begin * chunk / g.run) as isize);
                    call.taps = chunks * chunk / g.run;
                } else {
                    let floats = ROWS as i64 * chunks * chunk;
                    call.rows = room(&mut w.rows, floats as usize * 4).cast();
                }
            }
        }
        // SAFETY: the rows are those of the operand, and there is room for their planes.
        unsafe { code((&raw mut call).cast(), m0 as u64, m1 as u64) };
        (range, out)
    }

    /// Some rows by products of `f32`, since their planes are not exact.
    #[expect(clippy::too_many_arguments, reason = "a part of a product")]
    fn inexact(
        &self,
        l: &Launching<'_>,
        w: &mut Workspace,
        at: &At,
        (a, c): (*const f32, *mut f32),
        rows: (i64, i64),
        (first, last): (i64, i64),
        args: &[u64],
    ) {
        let (plan, width) = (l.plan, COLUMNS as i64);
        let most = (PANELS / (plan.k * width * 4).max(1)).max(1);
        let mut begin = first;
        while begin < last {
            let end = (begin + most).min(last);
            let floats = (end - begin) * width * plan.k;
            let panels = Shared(room(&mut w.panels, floats as usize * 4).cast::<f32>());
            let panels = panels.at(-(begin * width * plan.k));
            self.pack(plan, l.b.at(at.right), panels, (begin, end));
            let columns = (begin * width, (end * width).min(plan.n));
            self.multiply(plan, at, (a, l.left_rows), panels, c, rows, columns, args);
            begin = end;
        }
    }

    /// The planes of the right operand, when they are made as a whole: where they are constant,
    /// or where several threads need them.
    fn planes(&self, code: Code, plan: &Planned, given: &Given<'_>) -> Option<Operand> {
        let Given { launch, buffers, constants, pool, .. } = *given;
        let buffer = launch.buffers[self.product.right.param as usize];
        let constant = constants.is_constant(buffer);
        let panels = (plan.n + COLUMNS as i64 - 1) / COLUMNS as i64;
        let threads = pool.threads() as i64;
        let few = threads > 1 && plan.batches < threads && plan.operations() > 4.0 * GRAIN;
        if !constant && !few {
            return None;
        }
        let chunks = (plan.k + CHUNK as i64 - 1) / CHUNK as i64;
        let panel = 2 * strip_bytes(code.grade, chunks as usize) as i64;
        let count: i64 = plan.right.batch.iter().map(|(n, _)| n).product();
        // Planes, then scales, then ranges.
        let scale_bytes = COLUMNS as i64 * 4;
        let of_panel = scale_bytes + size_of::<Range>() as i64;
        let all = count * panels * panel;
        let ranges_at = all + count * panels * scale_bytes;
        let source = &buffers[self.product.right.param as usize];
        let from = Shared(source.ptr.cast::<f32>());
        let make = |layout: &Layout| {
            let bytes = all + count * panels * of_panel;
            let out = Buffer::new(bytes as usize);
            let to = Shared(out.as_ptr().cast_mut());
            let batches = offsets(&layout.batch);
            pool.for_each((count * panels) as u64, 1, |begin, end| {
                let mut room = Buffer::floats(plan.k as usize * COLUMNS);
                for i in begin as i64..end as i64 {
                    let (b, p) = (i / panels, i % panels);
                    let from = from.at(layout.base + batches[b as usize]);
                    let floats = Shared(room.as_mut_ptr().cast::<f32>());
                    let floats = floats.at(-(p * COLUMNS as i64 * plan.k)).cast_const();
                    self.pack(plan, from, floats.cast_mut(), (p, p + 1));
                    let ranges: Shared<Range> = Shared(to.at(ranges_at).cast());
                    let scales: Shared<f32> = Shared(to.at(all).cast());
                    let mut call = RightCall {
                        b: floats,
                        out: to.at(b * panels * panel),
                        ranges: ranges.at(b * panels),
                        scales: scales.at(b * panels * COLUMNS as i64),
                        k: plan.k,
                        chunks,
                    };
                    // SAFETY: there is room for every panel of every matrix, and for its range.
                    unsafe { (code.right)((&raw mut call).cast(), p as u64, p as u64 + 1) };
                }
            });
            out
        };
        let held = if constant {
            let side = Side::Planes(code.grade);
            plan.get((buffer, side), || {
                constants.get((buffer, side, COLUMNS, plan.right.clone()), source, make)
            })
        } else {
            Arc::new(make(&plan.right))
        };
        let first = Shared(held.as_ptr().cast_mut().cast());
        Some(Operand { first, matrix: panels * panel, scales: all, ranges: ranges_at, _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_read_as_little_as_they_can() {
        let of = |tall, k, columns| blocks(Grade::F32, (tall, k / CHUNK as i64, columns), PIECE);
        // All at once where it fits, and in parts of K where that takes fewer bytes than rows do.
        assert_eq!(of(128, 768, 3072), (128, 24));
        assert_eq!(of(128, 3072, 768), (128, 32));
        assert_eq!(of(4096, 512, 512), (256, 16));
        // Few chunks: short blocks, whose result is written row by row.
        assert_eq!(of(3136, 64, 256), (SHORT, 2));
        // Whole units only.
        assert_eq!(blocks(Grade::F32, (196, 72, 256), 24), (98, 24));
    }
}
