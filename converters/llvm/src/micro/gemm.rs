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

use super::epilogue::{Epilogue, Place};
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
    /// How many rows of a panel ahead B is prefetched; zero for none.
    pub prefetch: usize,
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
            kc: 384,
            mc: 384,
            prefetch: 0,
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
    let class = Class { spec, epilogue, vector: FloatVector::of(spec.isa) };
    let mut module = Module::new();
    for rows in class.heights() {
        module.add(class.kernel(rows));
    }
    module.add(class.finish());
    module.add(class.driver());
    module.add(class.chunk());
    module.text()
}

/// Flags of the internal functions: C is added to, and the epilogue is to be done.
const ADD: i64 = 1;
const LAST: i64 = 2;

/// Rows of A for each pointer of a micro-kernel.
const GROUP: usize = 3;

struct Class<'a> {
    spec: &'a GemmSpec,
    epilogue: &'a dyn Epilogue,
    vector: FloatVector,
}

impl Class<'_> {
    fn tile(&self) -> Tile {
        self.spec.tile
    }

    /// For how many rows there are micro-kernels.
    fn heights(&self) -> Vec<usize> {
        let rows = self.tile().rows;
        (1..=rows.div_ceil(2)).chain((rows > 1).then_some(rows)).collect()
    }

    /// Whether bit `bit` of `%flags` is set.
    fn flag(&self, f: &mut Function, bit: i64) -> String {
        let bits = f.int("and", "%flags", bit);
        f.value(format_args!("icmp ne i64 {bits}, 0"))
    }

    /// The micro-kernel of `rows` rows: one tile, K steps.
    fn kernel(&self, rows: usize) -> Function {
        let (name, tile, v) = (&self.spec.name, self.tile(), self.vector);
        let (nv, lanes, width) = (tile.vectors, tile.lanes, tile.columns());
        let ty = v.ty();
        let mut f = Function::new(format_args!(
            "define internal void @{name}_rows{rows}(ptr noalias %a, i64 %lda, ptr noalias %b, \
             ptr noalias %c, i64 %ldc, i64 %k, i64 %row, i64 %column, i64 %end, i64 %flags, \
             ptr noalias %args) nounwind noinline"
        ));
        let f = &mut f;
        f.line(format_args!("%buffer = alloca [{} x float], align 16", rows * width));
        // Pointers into A, one for every few rows: the others are at one and two times `lda`
        // from it, which an address can hold.
        let mut a = vec!["%a".to_string()];
        f.line("%lda2 = shl nsw i64 %lda, 1");
        let group = f.int("mul nsw", "%lda", GROUP);
        for r in 1..rows.div_ceil(GROUP) {
            let before = a[r - 1].clone();
            a.push(f.at("float", &before, &group));
        }
        let next_column = f.int("add nsw", "%column", width);
        let full = f.value(format_args!("icmp sle i64 {next_column}, %end"));
        let add = self.flag(f, ADD);
        let load = f.value(format_args!("and i1 {add}, {full}"));

        // A few rows leave multiply-adds waiting for each other: their sums are split.
        let sets = (8 / (rows * nv)).clamp(1, self.spec.unroll);
        let count = rows * nv;
        // Accumulators start as C, or as zero.
        f.branch(&load, "load", "zero");
        f.begin("load");
        let mut start = Vec::new();
        let mut c_row = "%c".to_string();
        for r in 0..rows {
            if r > 0 {
                c_row = f.at("float", &c_row, "%ldc");
            }
            for q in 0..nv {
                let address = f.at("float", &c_row, q * lanes);
                start.push(v.load(f, &address));
            }
        }
        f.jump("zero");
        f.begin("zero");
        let mut first: Vec<String> = Vec::new();
        for x in &start {
            first.push(
                f.value(format_args!("phi {ty} [ {x}, %load ], [ zeroinitializer, %entry ]")),
            );
        }
        first.resize(count * sets, "zeroinitializer".to_string());

        let unroll = self.spec.unroll as i64;
        let whole = f.int("and", "%k", -unroll);
        let any = f.value(format_args!("icmp sgt i64 {whole}, 0"));
        f.branch(&any, "main", "rest");
        let (b_main, a_main, main) =
            self.steps(f, "main", "zero", rows, &a, "0", "%b", &first, &whole, sets, unroll);
        f.begin("rest");
        let mut acc = Vec::new();
        for (x, y) in first.iter().zip(&main) {
            acc.push(f.value(format_args!("phi {ty} [ {x}, %zero ], [ {y}, %main ]")));
        }
        let done = f.value(format_args!("phi i64 [ 0, %zero ], [ {whole}, %main ]"));
        let b = f.value(format_args!("phi ptr [ %b, %zero ], [ {b_main}, %main ]"));
        for (x, y) in a.iter_mut().zip(&a_main) {
            *x = f.value(format_args!("phi ptr [ {x}, %zero ], [ {y}, %main ]"));
        }
        // Fold the sets into the first.
        for set in 1..sets {
            for i in 0..count {
                acc[i] = f.value(format_args!("fadd {ty} {}, {}", acc[i], acc[set * count + i]));
            }
        }
        acc.truncate(count);
        let more = f.value(format_args!("icmp slt i64 {done}, %k"));
        f.branch(&more, "tail", "store");
        let (_, _, tail) = self.steps(f, "tail", "rest", rows, &a, &done, &b, &acc, "%k", 1, 1);
        f.begin("store");
        let mut out = Vec::new();
        for (x, y) in acc.iter().zip(&tail) {
            out.push(f.value(format_args!("phi {ty} [ {x}, %rest ], [ {y}, %tail ]")));
        }
        self.store(f, rows, &out, &full);
        let empty = Function::new("");
        std::mem::replace(f, empty)
    }

    /// A loop over steps of K in a block of its own name, which goes on to the block that the
    /// caller begins next (`rest` after `main`, `store` after `tail`). Gives B's pointer and the
    /// accumulators after the last step.
    #[allow(clippy::too_many_arguments)]
    fn steps(
        &self,
        f: &mut Function,
        block: &str,
        from: &str,
        rows: usize,
        a: &[String],
        begin: &str,
        b: &str,
        acc: &[String],
        end: &str,
        sets: usize,
        unroll: i64,
    ) -> (String, Vec<String>, Vec<String>) {
        let (tile, v) = (self.tile(), self.vector);
        let (nv, lanes, width) = (tile.vectors, tile.lanes, tile.columns());
        let ty = v.ty();
        f.begin(block);
        let (k, k_next, b_now, b_next) = (f.name(), f.name(), f.name(), f.name());
        f.line(format_args!("{k} = phi i64 [ {begin}, %{from} ], [ {k_next}, %{block} ]"));
        f.line(format_args!("{b_now} = phi ptr [ {b}, %{from} ], [ {b_next}, %{block} ]"));
        let a_phis: Vec<(String, String)> = a.iter().map(|_| (f.name(), f.name())).collect();
        for (x, (phi, next)) in a.iter().zip(&a_phis) {
            f.line(format_args!("{phi} = phi ptr [ {x}, %{from} ], [ {next}, %{block} ]"));
        }
        let mut now = Vec::new();
        let phis: Vec<(String, String)> = acc.iter().map(|_| (f.name(), f.name())).collect();
        for (x, (phi, next)) in acc.iter().zip(&phis) {
            f.line(format_args!("{phi} = phi {ty} [ {x}, %{from} ], [ {next}, %{block} ]"));
            now.push(phi.clone());
        }
        let mut a_now = a_phis.iter().map(|(phi, _)| phi.clone()).collect::<Vec<_>>();
        let strides = ["%lda".to_string(), "%lda2".to_string()];
        for u in 0..unroll as usize {
            let set = u % sets * rows * nv;
            let mut b_row = Vec::new();
            for q in 0..nv {
                let address = f.at("float", &b_now, u * width + q * lanes);
                b_row.push(v.load(f, &address));
                if self.spec.prefetch > 0 {
                    f.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)");
                    let ahead = f.at("float", &address, self.spec.prefetch * width);
                    f.line(format_args!(
                        "call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 3, i32 1)"
                    ));
                }
            }
            for r in 0..rows {
                let mut address = a_now[r / GROUP].clone();
                if r % GROUP > 0 {
                    address = f.at("float", &address, &strides[r % GROUP - 1]);
                }
                let address = f.at("float", &address, u);
                let x = v.load_splat(f, &address);
                for (q, y) in b_row.iter().enumerate() {
                    let i = set + r * nv + q;
                    now[i] = v.fma(f, &x, y, &now[i]);
                }
            }
        }
        // The last values get the names that the phis refer to.
        for (value, (_, next)) in now.iter().zip(&phis) {
            f.line(format_args!("{next} = bitcast {ty} {value} to {ty}"));
        }
        for (x, (_, next)) in a_now.iter_mut().zip(&a_phis) {
            f.line(format_args!("{next} = getelementptr inbounds float, ptr {x}, i64 {unroll}"));
        }
        f.line(format_args!("{k_next} = add nsw i64 {k}, {unroll}"));
        f.line(format_args!(
            "{b_next} = getelementptr inbounds float, ptr {b_now}, i64 {}",
            unroll as usize * width
        ));
        let again = f.value(format_args!("icmp slt i64 {k_next}, {end}"));
        let after = if block == "main" { "rest" } else { "store" };
        f.branch(&again, block, after);
        (
            b_next,
            a_phis.into_iter().map(|(_, next)| next).collect(),
            phis.into_iter().map(|(_, next)| next).collect(),
        )
    }

    /// The end of a micro-kernel: accumulators to C.
    fn store(&self, f: &mut Function, rows: usize, acc: &[String], full: &str) {
        let (name, tile, v) = (&self.spec.name, self.tile(), self.vector);
        let (nv, lanes, width) = (tile.vectors, tile.lanes, tile.columns());
        let last = self.flag(f, LAST);
        f.branch(full, "whole", "part");

        let store_rows = |f: &mut Function, acc: &[String]| {
            let mut c_row = "%c".to_string();
            for r in 0..rows {
                if r > 0 {
                    c_row = f.at("float", &c_row, "%ldc");
                }
                for q in 0..nv {
                    let address = f.at("float", &c_row, q * lanes);
                    v.store(f, &acc[r * nv + q], &address);
                }
            }
        };
        let call_finish = |f: &mut Function, source: &str, stride: &str, flags: &str| {
            f.line(format_args!(
                "call void @{name}_finish(ptr {source}, i64 {stride}, ptr %c, i64 %ldc, \
                 i64 {rows}, i64 %row, i64 %column, i64 %end, i64 {flags}, ptr %args)"
            ));
        };

        f.begin("whole");
        if self.epilogue.is_identity() {
            store_rows(f, acc);
            f.line("ret void");
        } else {
            f.branch(&last, "finished", "unfinished");
            f.begin("unfinished");
            store_rows(f, acc);
            f.line("ret void");
            f.begin("finished");
            if self.epilogue.is_short() {
                let mut columns = vec!["%column".to_string()];
                for q in 1..nv {
                    columns.push(f.int("add nsw", "%column", q * lanes));
                }
                let mut done = Vec::new();
                for r in 0..rows {
                    let row = f.int("add nsw", "%row", r);
                    for (q, column) in columns.iter().enumerate() {
                        let value = &acc[r * nv + q];
                        let place = Place {
                            value,
                            row: &row,
                            column,
                            mask: None,
                            vector: v,
                            args: "%args",
                        };
                        done.push(self.epilogue.emit(f, &place));
                    }
                }
                store_rows(f, &done);
            } else {
                store_rows(f, acc);
                call_finish(f, "%c", "%ldc", &LAST.to_string());
            }
            f.line("ret void");
        }

        f.begin("part");
        for (i, x) in acc.iter().enumerate() {
            let address = f.at("float", "%buffer", i * lanes);
            v.store(f, x, &address);
        }
        call_finish(f, "%buffer", &width.to_string(), "%flags");
        f.line("ret void");
    }

    /// Goes over a tile: adds C where asked, does the epilogue where asked, stores what exists.
    fn finish(&self) -> Function {
        let (name, tile, v) = (&self.spec.name, self.tile(), self.vector);
        let ty = v.ty();
        let mut f = Function::new(format_args!(
            "define internal void @{name}_finish(ptr %source, i64 %stride, ptr %c, i64 %ldc, \
             i64 %rows, i64 %row, i64 %column, i64 %end, i64 %flags, ptr noalias %args) \
             nounwind noinline"
        ));
        let past = f.int("add nsw", "%column", tile.columns());
        let past = f.min(past, "%end");
        let add = self.flag(&mut f, ADD);
        let last = self.flag(&mut f, LAST);
        f.for_loop("%column", &past, tile.lanes, |f, column| {
            let left = f.int("sub nsw", "%end", column);
            let mask = v.first_lanes(f, &left);
            let within = f.int("sub nsw", column, "%column");
            f.for_loop("0", "%rows", 1, |f, r| {
                let offset = f.int("mul nsw", r, "%stride");
                let offset = f.int("add nsw", offset, &within);
                let address = f.at("float", "%source", offset);
                let value = v.masked_load(f, &address, &mask);
                let offset = f.int("mul nsw", r, "%ldc");
                let offset = f.int("add nsw", offset, &within);
                let to = f.at("float", "%c", offset);
                let (adding, added) = (f.label("add"), f.label("added"));
                let before = f.block().to_string();
                f.branch(&add, &adding, &added);
                f.begin(&adding);
                let old = v.masked_load(f, &to, &mask);
                let sum = f.value(format_args!("fadd {ty} {value}, {old}"));
                f.jump(&added);
                f.begin(&added);
                let value =
                    f.value(format_args!("phi {ty} [ {value}, %{before} ], [ {sum}, %{adding} ]"));
                let mut result = value.clone();
                if !self.epilogue.is_identity() {
                    let (finish, finished) = (f.label("last"), f.label("stored"));
                    let before = f.block().to_string();
                    f.branch(&last, &finish, &finished);
                    f.begin(&finish);
                    let row = f.int("add nsw", "%row", r);
                    let place = Place {
                        value: &value,
                        row: &row,
                        column,
                        mask: Some(&mask),
                        vector: v,
                        args: "%args",
                    };
                    let done = self.epilogue.emit(f, &place);
                    let from = f.block().to_string();
                    f.jump(&finished);
                    f.begin(&finished);
                    result = f.value(format_args!(
                        "phi {ty} [ {value}, %{before} ], [ {done}, %{from} ]"
                    ));
                }
                v.masked_store(f, &result, &to, &mask);
            });
        });
        f.line("ret void");
        f
    }

    /// The loops over blocks and tiles.
    fn driver(&self) -> Function {
        let (name, spec, tile) = (&self.spec.name, self.spec, self.tile());
        let (mr, width) = (tile.rows, tile.columns());
        let mut f = Function::new(format_args!(
            "define void @{name}(ptr noalias %a, i64 %lda, ptr noalias %b, ptr noalias %c, \
             i64 %ldc, i64 %m0, i64 %m1, i64 %n0, i64 %n1, i64 %k, i64 %user, \
             ptr noalias %args) nounwind"
        ));
        let f = &mut f;
        let rows = f.int("sub nsw", "%m1", "%m0");
        let some_rows = f.value(format_args!("icmp sgt i64 {rows}, 0"));
        let some_columns = f.value("icmp slt i64 %n0, %n1");
        let some = f.value(format_args!("and i1 {some_rows}, {some_columns}"));
        f.if_true(&some, |f| {
            // Whole tiles, then what is left as one or two.
            let whole = f.int("udiv", &rows, mr);
            let rest = f.int("urem", &rows, mr);
            let half = f.int("add nsw", &rest, 1);
            let half = f.int("lshr", half, 1);
            let split = f.value(format_args!("icmp sgt i64 {rest}, {}", mr.div_ceil(2)));
            let first_rest = f.value(format_args!("select i1 {split}, i64 {half}, i64 {rest}"));
            let second_rest = f.int("sub nsw", &rest, &first_rest);
            let any_rest = f.value(format_args!("icmp sgt i64 {rest}, 0"));
            let any_rest = f.value(format_args!("zext i1 {any_rest} to i64"));
            let split = f.value(format_args!("zext i1 {split} to i64"));
            let tiles = f.int("add nsw", &whole, any_rest);
            let tiles = f.int("add nsw", tiles, split);
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
                let block = (spec.mc / mr).max(1);
                f.for_loop("0", &tiles, block, |f, t0| {
                    let t1 = f.int("add nsw", t0, block);
                    let t1 = f.min(t1, &tiles);
                    f.for_loop("%n0", "%n1", width, |f, column| {
                        let offset = f.int("mul nsw", column, "%k");
                        let panel = f.at("float", &b_piece, offset);
                        f.for_loop(t0, &t1, 1, |f, t| {
                            let beyond = f.value(format_args!("icmp sgt i64 {t}, {whole}"));
                            let row = f.int("mul nsw", t, mr);
                            let second = f.int("sub nsw", &row, mr);
                            let second = f.int("add nsw", second, &first_rest);
                            let row = f
                                .value(format_args!("select i1 {beyond}, i64 {second}, i64 {row}"));
                            let row = f.int("add nsw", row, "%m0");
                            let offset = f.int("mul nsw", &row, "%lda");
                            let a = f.at("float", &a_piece, offset);
                            let offset = f.int("mul nsw", &row, "%ldc");
                            let offset = f.int("add nsw", offset, column);
                            let c = f.at("float", "%c", offset);
                            let full = f.value(format_args!("icmp slt i64 {t}, {whole}"));
                            let count = f.value(format_args!(
                                "select i1 {beyond}, i64 {second_rest}, i64 {first_rest}"
                            ));
                            let count =
                                f.value(format_args!("select i1 {full}, i64 {mr}, i64 {count}"));
                            self.dispatch(f, &count, |r| {
                                format!(
                                    "call void @{name}_rows{r}(ptr {a}, i64 %lda, ptr {panel}, \
                                     ptr {c}, i64 %ldc, i64 {steps}, i64 {row}, i64 {column}, \
                                     i64 %n1, i64 {state}, ptr %args)"
                                )
                            });
                        });
                    });
                });
            });
        });
        f.line("ret void");
        std::mem::replace(f, Function::new(""))
    }

    /// Does one of the calls, by the number of rows.
    fn dispatch(&self, f: &mut Function, count: &str, call: impl Fn(usize) -> String) {
        let after = f.label("called");
        let heights = self.heights();
        let cases: Vec<String> = heights.iter().map(|_| f.label("rows")).collect();
        let mut table = String::new();
        for (height, case) in heights.iter().zip(&cases).take(cases.len() - 1) {
            table += &format!(" i64 {height}, label %{case}");
        }
        let largest = &cases[cases.len() - 1];
        f.line(format_args!("switch i64 {count}, label %{largest} [{table} ]"));
        for (height, case) in heights.iter().zip(&cases) {
            f.begin(case);
            f.line(call(*height));
            f.jump(&after);
        }
        f.begin(&after);
    }

    /// The function that a pool calls.
    fn chunk(&self) -> Function {
        let name = &self.spec.name;
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
}
