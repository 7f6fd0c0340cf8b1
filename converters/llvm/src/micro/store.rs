//! From accumulators to C: where rows are, partial tiles, the epilogue.

use super::epilogue::{Epilogue, Place};
use super::inner::LINE;
use super::tile::Tile;
use crate::emit::{FloatVector, Function};

/// Flags of internal functions: C is added to.
pub(super) const ADD: i64 = 1;
/// The sum is complete: the epilogue is to be done.
pub(super) const LAST: i64 = 2;

/// The part of a class that writes C. A function that uses it has the parameters of
/// [`Store::parameters`].
#[derive(Clone, Copy)]
pub(super) struct Store<'a> {
    pub(super) name: &'a str,
    pub(super) tile: Tile,
    pub(super) vector: FloatVector,
    pub(super) epilogue: &'a dyn Epilogue,
}

impl Store<'_> {
    /// The parameters that say where the tile is, where the columns end, and what is to be done.
    pub(super) fn parameters(&self) -> &'static str {
        "ptr noalias %c, i64 %ldc, i64 %row, i64 %column, i64 %end, i64 %flags, \
         ptr noalias %args"
    }

    /// Whether bit `bit` of `%flags` is set.
    fn flag(&self, f: &mut Function, bit: i64) -> String {
        let bits = f.int("and", "%flags", bit);
        f.value(format_args!("icmp ne i64 {bits}, 0"))
    }

    /// The address of row `r` of the tile.
    fn row(&self, f: &mut Function, r: &str) -> String {
        let offset = f.int("mul nsw", r, "%ldc");
        f.at("float", "%c", offset)
    }

    /// The addresses of the first rows of the tile.
    fn first_rows(&self, f: &mut Function, rows: usize) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for r in 0..rows {
            let row = match r {
                0 => "%c".to_string(),
                _ => {
                    let before = out[r - 1].clone();
                    f.at("float", &before, "%ldc")
                }
            };
            out.push(row);
        }
        out
    }

    /// The start of a micro-kernel: a place for a partial tile, whether the tile is full, and
    /// the sums to start from, C or zero.
    pub(super) fn start(&self, f: &mut Function, rows: usize) -> Vec<String> {
        let (tile, v) = (self.tile, self.vector);
        let ty = v.ty();
        f.line(format_args!("%buffer = alloca [{} x float], align 16", rows * tile.columns()));
        let past = f.int("add nsw", "%column", tile.columns());
        f.line(format_args!("%full = icmp sle i64 {past}, %end"));
        let add = self.flag(f, ADD);
        let load = f.value(format_args!("and i1 {add}, %full"));
        f.branch(&load, "load", "start");
        f.begin("load");
        let first_rows = self.first_rows(f, rows);
        // The tile below is next.
        f.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)");
        let below = f.int("mul nsw", "%ldc", rows);
        for row in &first_rows {
            let below = f.at("float", row, &below);
            for line in 0..tile.columns().div_ceil(LINE) {
                let address = f.at("float", &below, line * LINE);
                f.line(format_args!(
                    "call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)"
                ));
            }
        }
        let mut old = Vec::new();
        for row in &first_rows {
            for q in 0..tile.vectors {
                let address = f.at("float", row, q * tile.lanes);
                old.push(v.load(f, &address));
            }
        }
        f.jump("start");
        f.begin("start");
        old.iter()
            .map(|x| f.value(format_args!("phi {ty} [ {x}, %load ], [ zeroinitializer, %entry ]")))
            .collect()
    }

    /// The end of a micro-kernel: sums to C, and return.
    pub(super) fn finish(&self, f: &mut Function, rows: usize, sums: &[String]) {
        let (tile, v) = (self.tile, self.vector);
        let (nv, lanes) = (tile.vectors, tile.lanes);
        let store_rows = |f: &mut Function, sums: &[String]| {
            for (r, row) in self.first_rows(f, rows).iter().enumerate() {
                for q in 0..nv {
                    let address = f.at("float", row, q * lanes);
                    v.store(f, &sums[r * nv + q], &address);
                }
            }
            f.line("ret void");
        };
        let last = self.flag(f, LAST);
        let none = self.epilogue.is_identity();
        let short = none || self.epilogue.is_short();
        if !short {
            // A long epilogue goes through the buffer, even where the tile is full.
            let unfinished = f.value(format_args!("xor i1 {last}, true"));
            let plain = f.value(format_args!("and i1 %full, {unfinished}"));
            f.branch(&plain, "whole", "part");
        } else {
            f.branch("%full", "whole", "part");
        }
        f.begin("whole");
        if short && !none {
            f.branch(&last, "finished", "unfinished");
            f.begin("finished");
            let columns: Vec<String> =
                (0..nv).map(|q| f.int("add nsw", "%column", q * lanes)).collect();
            let mut done = Vec::new();
            for r in 0..rows {
                let row = f.int("add nsw", "%row", r);
                for (q, column) in columns.iter().enumerate() {
                    let value = &sums[r * nv + q];
                    let place =
                        Place { value, row: &row, column, mask: None, vector: v, args: "%args" };
                    done.push(self.epilogue.emit(f, &place));
                }
            }
            store_rows(f, &done);
            f.begin("unfinished");
        }
        store_rows(f, sums);

        f.begin("part");
        for (i, x) in sums.iter().enumerate() {
            let address = f.at("float", "%buffer", i * lanes);
            v.store(f, x, &address);
        }
        // A full tile has started from C.
        let flags = f.value(format_args!("select i1 %full, i64 {LAST}, i64 %flags"));
        f.line(format_args!(
            "call void @{}_finish(ptr %buffer, i64 {rows}, ptr %c, i64 %ldc, i64 %row, \
             i64 %column, i64 %end, i64 {flags}, ptr %args)",
            self.name
        ));
        f.line("ret void");
    }

    /// The function that goes over a tile in a buffer: adds C where asked, does the epilogue
    /// where asked, and stores what exists.
    pub(super) fn function(&self) -> Function {
        let (tile, v) = (self.tile, self.vector);
        let ty = v.ty();
        let mut f = Function::new(format_args!(
            "define internal void @{}_finish(ptr noalias %source, i64 %rows, {}) \
             nounwind noinline",
            self.name,
            self.parameters()
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
                let offset = f.int("mul nsw", r, tile.columns());
                let offset = f.int("add nsw", offset, &within);
                let address = f.at("float", "%source", offset);
                let value = v.load(f, &address);
                let to = self.row(f, r);
                let to = f.at("float", &to, &within);
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
                    result = f
                        .value(format_args!("phi {ty} [ {value}, %{added} ], [ {done}, %{from} ]"));
                }
                v.masked_store(f, &result, &to, &mask);
            });
        });
        f.line("ret void");
        f
    }
}

/// For how many rows a class has micro-kernels: the tile's, and every number up to half of them.
pub(super) fn heights(tile: Tile) -> Vec<usize> {
    (1..=tile.rows.div_ceil(2)).chain((tile.rows > 1).then_some(tile.rows)).collect()
}

/// A loop over tiles of rows: whole tiles, then what is left as one or two smaller ones. `body`
/// is given the first row from zero on and the number of rows.
pub(super) struct RowTiles {
    rows: usize,
    whole: String,
    first_rest: String,
    second_rest: String,
    /// How many tiles.
    pub(super) count: String,
}

impl RowTiles {
    /// The split of `rows`, an `i64`.
    pub(super) fn new(f: &mut Function, tile: Tile, rows: &str) -> RowTiles {
        let mr = tile.rows;
        let whole = f.int("udiv", rows, mr);
        let rest = f.int("urem", rows, mr);
        let half = f.int("add nsw", &rest, 1);
        let half = f.int("lshr", half, 1);
        let split = f.value(format_args!("icmp sgt i64 {rest}, {}", mr.div_ceil(2)));
        let first_rest = f.value(format_args!("select i1 {split}, i64 {half}, i64 {rest}"));
        let second_rest = f.int("sub nsw", &rest, &first_rest);
        let any_rest = f.value(format_args!("icmp sgt i64 {rest}, 0"));
        let any_rest = f.value(format_args!("zext i1 {any_rest} to i64"));
        let split = f.value(format_args!("zext i1 {split} to i64"));
        let count = f.int("add nsw", &whole, any_rest);
        let count = f.int("add nsw", count, split);
        RowTiles { rows: mr, whole, first_rest, second_rest, count }
    }

    /// The first row and the number of rows of tile `t`.
    pub(super) fn tile(&self, f: &mut Function, t: &str) -> (String, String) {
        let beyond = f.value(format_args!("icmp sgt i64 {t}, {}", self.whole));
        let row = f.int("mul nsw", t, self.rows);
        let second = f.int("sub nsw", &row, self.rows);
        let second = f.int("add nsw", second, &self.first_rest);
        let row = f.value(format_args!("select i1 {beyond}, i64 {second}, i64 {row}"));
        let full = f.value(format_args!("icmp slt i64 {t}, {}", self.whole));
        let count = f.value(format_args!(
            "select i1 {beyond}, i64 {}, i64 {}",
            self.second_rest, self.first_rest
        ));
        let count = f.value(format_args!("select i1 {full}, i64 {}, i64 {count}", self.rows));
        (row, count)
    }
}

/// Does one of the calls, by the number of rows.
pub(super) fn dispatch(f: &mut Function, tile: Tile, count: &str, call: impl Fn(usize) -> String) {
    let after = f.label("called");
    let heights = heights(tile);
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
