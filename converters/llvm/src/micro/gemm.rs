//! Matrix products of `f32`: C (+)= A · B with B packed.
//!
//! The emitted module has internal micro-kernels for the tile's rows and for every number up to
//! half of them, a loop over them with blocks for the caches, and, where the last panel is not
//! full or the epilogue is long, one copy of code that goes over a finished tile. Rows that do not
//! fill a tile are done as one or two smaller ones.
//!
//! Blocks: K in pieces of at most `kc`, so that a panel's piece stays in the nearest caches; the
//! rows in pieces of `mc`, so that A's block stays in the second-level cache while the panels
//! pass. A's rows are read where they are.

use std::ffi::c_void;

use super::epilogue::Epilogue;
use super::inner::{GROUP, Inner, LINE, LINES, Left, Steps};
use super::store::{ADD, LAST, RowTiles, Store, dispatch, heights};
use super::tile::Tile;
use crate::emit::{FloatVector, Function, Module};
use crate::target::Isa;

/// What the last argument but one of a GEMM says.
pub mod flags {
    /// C has values that are added to.
    pub const ACCUMULATE: i64 = 1;
    /// No epilogue: more products will be added.
    pub const NO_EPILOGUE: i64 = 2;
}

/// A class of matrix products.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GemmSpec {
    /// Name of the emitted function.
    pub name: String,
    /// The level it is for.
    pub isa: Isa,
    /// The tile.
    pub tile: Tile,
    /// Steps of K per turn of the innermost loop.
    pub unroll: usize,
    /// The most of K that is done at once.
    pub kc: usize,
    /// The most rows whose block of A is kept in the second-level cache.
    pub mc: usize,
}

impl GemmSpec {
    /// The class for results of about `m` rows and `n` columns.
    pub fn new(isa: Isa, m: usize, n: usize) -> GemmSpec {
        GemmSpec::with_tile(isa, Tile::choose(isa, m, n))
    }

    /// The class with a certain tile.
    pub fn with_tile(isa: Isa, tile: Tile) -> GemmSpec {
        GemmSpec {
            name: format!("gemm_{}x{}_{isa}", tile.rows, tile.columns()),
            isa,
            tile,
            unroll: 4,
            kc: 512,
            mc: 192,
        }
    }
}

/// The emitted function. A has `k` elements in a row and rows `lda` apart, C rows are `ldc`
/// apart; both start at row and column zero, of which rows `m0..m1` and columns `n0..n1` are
/// computed. `n0` is a multiple of the panel's width. `b` is packed with all of its columns.
pub type GemmFn = unsafe extern "C" fn(
    a: *const f32,
    lda: i64,
    b: *const f32,
    c: *mut f32,
    ldc: i64,
    m0: i64,
    m1: i64,
    n0: i64,
    n1: i64,
    k: i64,
    flags: i64,
    args: *const c_void,
);

/// A product as the context of a run on a pool: chunk `i` of `row_chunks * column_chunks` is
/// done by the emitted function `NAME_chunk(call, begin, end)`. Chunks of the same columns
/// follow each other.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GemmCall {
    /// The left operand.
    pub a: *const f32,
    /// The right operand, packed.
    pub b: *const f32,
    /// The result.
    pub c: *mut f32,
    /// For the epilogue.
    pub args: *const c_void,
    /// From row to row of A.
    pub lda: i64,
    /// From row to row of C.
    pub ldc: i64,
    /// Rows.
    pub m: i64,
    /// Columns.
    pub n: i64,
    /// Length of the sums.
    pub k: i64,
    /// See [`flags`].
    pub flags: i64,
    /// Rows of a chunk.
    pub chunk_rows: i64,
    /// Columns of a chunk, a multiple of the panel's width.
    pub chunk_columns: i64,
}

impl GemmCall {
    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        let rows = (self.m as u64).div_ceil(self.chunk_rows as u64);
        rows * (self.n as u64).div_ceil(self.chunk_columns as u64)
    }

    /// Sets the chunks for a number of threads: the columns are split where there are enough
    /// panels, so that each thread keeps its part of B, or else the rows.
    pub fn split(&mut self, tile: Tile, threads: usize) {
        let (width, threads) = (tile.columns() as i64, threads.max(1) as i64);
        let panels = (self.n + width - 1) / width;
        let wanted = if threads == 1 { 1 } else { threads * 2 };
        (self.chunk_rows, self.chunk_columns) = (self.m.max(1), (panels * width).max(1));
        if panels >= wanted {
            self.chunk_columns = (panels + wanted - 1) / wanted * width;
        } else if threads > 1 {
            let rows = tile.rows as i64;
            let tiles = (self.m + rows - 1) / rows;
            self.chunk_rows = ((tiles + wanted - 1) / wanted * rows).max(1);
        }
    }
}

/// The IR text of a class: functions `NAME` (see [`GemmFn`]) and `NAME_chunk` (see
/// [`GemmCall`]).
pub fn gemm_module(spec: &GemmSpec, epilogue: &dyn Epilogue) -> String {
    let (name, tile, vector) = (&spec.name, spec.tile, FloatVector::of(spec.isa));
    let store = Store { name, tile, vector, epilogue };
    let inner = Inner { tile, vector, unroll: spec.unroll };
    let mut module = Module::new();
    for rows in heights(tile) {
        module.add(kernel(&store, &inner, rows));
    }
    module.add(store.function());
    module.add(driver(spec));
    module.add(chunk(spec));
    module.text()
}

/// The micro-kernel of `rows` rows: one tile, K steps.
fn kernel(store: &Store<'_>, inner: &Inner, rows: usize) -> Function {
    let mut f = Function::new(format_args!(
        "define internal void @{}_rows{rows}(ptr noalias %a, i64 %lda, ptr noalias %b, i64 %k, \
         ptr %ahead, {}) nounwind noinline",
        store.name,
        store.parameters()
    ));
    f.line("%lda2 = shl nsw i64 %lda, 1");
    let group = f.int("mul nsw", "%lda", GROUP);
    let mut a = vec!["%a".to_string()];
    for r in 1..rows.div_ceil(GROUP) {
        let before = a[r - 1].clone();
        a.push(f.at("float", &before, &group));
    }
    let sums = store.start(&mut f, rows);
    let left = Left::Strided(a);
    let steps = Steps { rows, left: &left, b: "%b", begin: "0", count: "%k", ahead: "%ahead" };
    let (_, sums) = inner.emit(&mut f, &steps, &sums);
    store.finish(&mut f, rows, &sums);
    f
}

/// The loops over blocks and tiles.
fn driver(spec: &GemmSpec) -> Function {
    let (name, tile) = (&spec.name, spec.tile);
    let (mr, width) = (tile.rows, tile.columns());
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %a, i64 %lda, ptr noalias %b, ptr noalias %c, \
         i64 %ldc, i64 %m0, i64 %m1, i64 %n0, i64 %n1, i64 %k, i64 %user, \
         ptr noalias %args) nounwind"
    ));
    let rows = f.int("sub nsw", "%m1", "%m0");
    let some_rows = f.value(format_args!("icmp sgt i64 {rows}, 0"));
    let some_columns = f.value("icmp slt i64 %n0, %n1");
    let some = f.value(format_args!("and i1 {some_rows}, {some_columns}"));
    f.if_true(&some, |f| {
        let tiles = RowTiles::new(f, tile, &rows);
        // Pieces of K of even length, a multiple of the unrolled step; one piece for none.
        f.declare("i64 @llvm.smax.i64(i64, i64)");
        let pieces = f.div_ceil("%k", spec.kc);
        let pieces = f.value(format_args!("call i64 @llvm.smax.i64(i64 {pieces}, i64 1)"));
        let piece = f.div_ceil("%k", &pieces);
        let piece = f.int("add nsw", piece, spec.unroll - 1);
        let piece = f.int("and", piece, -(spec.unroll as i64));
        let piece =
            f.value(format_args!("call i64 @llvm.smax.i64(i64 {piece}, i64 {})", spec.unroll));
        let end = f.value("call i64 @llvm.smax.i64(i64 %k, i64 1)");
        let panel_size = f.int("mul nsw", "%k", width);
        let tile_of_a = f.int("mul nsw", "%lda", mr);
        let rows_touch = f.value(format_args!("icmp sle i64 %lda, {piece}"));
        f.for_loop("0", &end, &piece, |f, k0| {
            let left = f.int("sub nsw", "%k", k0);
            let steps = f.min(&left, &piece);
            let k1 = f.int("add nsw", k0, &steps);
            // Flags of this piece.
            let first = f.value(format_args!("icmp eq i64 {k0}, 0"));
            let user_adds = f.int("and", "%user", flags::ACCUMULATE);
            let adds = f.value(format_args!("select i1 {first}, i64 {user_adds}, i64 {ADD}"));
            let at_end = f.value(format_args!("icmp sge i64 {k1}, %k"));
            let hold = f.int("and", "%user", flags::NO_EPILOGUE);
            let hold = f.value(format_args!("icmp eq i64 {hold}, 0"));
            let last = f.value(format_args!("and i1 {at_end}, {hold}"));
            let last = f.value(format_args!("select i1 {last}, i64 {LAST}, i64 0"));
            let state = f.int("or", adds, last);
            let a_piece = f.at("float", "%a", k0);
            let b_piece = f.int("mul nsw", k0, width);
            let b_piece = f.at("float", "%b", b_piece);
            // While the first panel is done, the next rows of A are fetched if they lie
            // together; later a part of the next panel with each tile.
            let lines = f.int("udiv", &steps, spec.unroll);
            let lines = f.int("mul nsw", lines, LINES * LINE);
            let size = f.int("mul nsw", &steps, width);
            let block = (spec.mc / mr).max(1);
            f.for_loop("0", &tiles.count, block, |f, t0| {
                let t1 = f.int("add nsw", t0, block);
                let t1 = f.min(t1, &tiles.count);
                f.for_loop("%n0", "%n1", width, |f, column| {
                    let offset = f.int("mul nsw", column, "%k");
                    let panel = f.at("float", &b_piece, offset);
                    let next_panel = f.at("float", &panel, &panel_size);
                    let start = f.value(format_args!("icmp eq i64 {column}, %n0"));
                    let stream_a = f.value(format_args!("and i1 {start}, {rows_touch}"));
                    f.for_loop(t0, &t1, 1, |f, t| {
                        let (row, count) = tiles.tile(f, t);
                        let row = f.int("add nsw", row, "%m0");
                        let offset = f.int("mul nsw", &row, "%lda");
                        let a = f.at("float", &a_piece, offset);
                        let offset = f.int("mul nsw", &row, "%ldc");
                        let offset = f.int("add nsw", offset, column);
                        let c = f.at("float", "%c", offset);
                        let b_ahead = f.int("mul nsw", t, &lines);
                        let within = f.value(format_args!("icmp slt i64 {b_ahead}, {size}"));
                        let b_ahead =
                            f.value(format_args!("select i1 {within}, i64 {b_ahead}, i64 0"));
                        let b_ahead = f.at("float", &next_panel, b_ahead);
                        let a_ahead = f.at("float", &a, &tile_of_a);
                        let ahead = f.value(format_args!(
                            "select i1 {stream_a}, ptr {a_ahead}, ptr {b_ahead}"
                        ));
                        dispatch(f, tile, &count, |r| {
                            format!(
                                "call void @{name}_rows{r}(ptr {a}, i64 %lda, ptr {panel}, \
                                 i64 {steps}, ptr {ahead}, ptr {c}, i64 %ldc, i64 {row}, i64 {column}, \
                                 i64 %n1, i64 {state}, ptr %args)"
                            )
                        });
                    });
                });
            });
        });
    });
    f.line("ret void");
    f
}

/// The function that a pool calls.
fn chunk(spec: &GemmSpec) -> Function {
    let name = &spec.name;
    let mut f = Function::new(format_args!(
        "define void @{name}_chunk(ptr noalias %call, i64 %begin, i64 %end) nounwind"
    ));
    let mut field = 0;
    let mut load = |f: &mut Function, ty: &str| {
        let address = f.at("i64", "%call", field);
        field += 1;
        f.value(format_args!("load {ty}, ptr {address}, align 8"))
    };
    let pointers = [(); 4].map(|()| load(&mut f, "ptr"));
    let numbers = [(); 8].map(|()| load(&mut f, "i64"));
    let [a, b, c, args] = &pointers;
    let [lda, ldc, m, n, k, user, rows, columns] = &numbers;
    let row_chunks = f.div_ceil(m, rows);
    f.for_loop("%begin", "%end", 1, |f, i| {
        let j = f.int("udiv", i, &row_chunks);
        let i = f.int("urem", i, &row_chunks);
        let m0 = f.int("mul nsw", i, rows);
        let m1 = f.int("add nsw", &m0, rows);
        let m1 = f.min(m1, m);
        let n0 = f.int("mul nsw", j, columns);
        let n1 = f.int("add nsw", &n0, columns);
        let n1 = f.min(n1, n);
        f.line(format_args!(
            "call void @{name}(ptr {a}, i64 {lda}, ptr {b}, ptr {c}, i64 {ldc}, i64 {m0}, \
             i64 {m1}, i64 {n0}, i64 {n1}, i64 {k}, i64 {user}, ptr {args})"
        ));
    });
    f.line("ret void");
    f
}
