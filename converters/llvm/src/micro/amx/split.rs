//! Splitting of operands into planes of bf16.

use super::{CHUNK, COLUMNS, Grade, ROWS, TILE};
use crate::emit::{FloatVector, Function, Module, splat};
use crate::micro::gathered::run_at;
use crate::target::Isa;

/// A class of functions that split.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SplitSpec {
    /// How many planes.
    pub grade: Grade,
    /// Name of the function for rows that are evenly apart ([`LeftCall`]).
    pub even: String,
    /// Name of the function for rows that are runs ([`LeftCall`]).
    pub gathered: String,
    /// Name of the function for panels of the right operand ([`RightCall`]).
    pub right: String,
}

impl SplitSpec {
    /// The class of a grade.
    pub fn new(grade: Grade) -> SplitSpec {
        let p = grade.planes();
        SplitSpec {
            grade,
            even: format!("split_even_{p}"),
            gathered: format!("split_gathered_{p}"),
            right: format!("split_right_{p}"),
        }
    }
}

/// A left operand that is split, the context of a [`crate::pool::ChunkFn`] whose items are its
/// rows. What is written begins with the first of them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LeftCall {
    /// The operand.
    pub a: *const f32,
    /// The planes: for each tile of rows, for each chunk of K, for each plane a tile.
    pub out: *mut u8,
    /// How large the numbers are; what is there already is taken into account.
    pub range: *mut super::Range,
    /// As in [`crate::micro::GatheredCall`].
    pub table: *const i32,
    /// As in [`crate::micro::GatheredCall`].
    pub zeros: *const f32,
    /// Room for a tile of rows, each of as many floats as there are in all chunks; only for runs
    /// that are no whole number of chunks.
    pub rows: *mut f32,
    /// From row to row: floats where they are evenly apart, and else entries of the table.
    pub lda: i64,
    /// Length of a row.
    pub k: i64,
    /// Runs of a row that are split.
    pub taps: i64,
    /// Floats of a run.
    pub run: i64,
    /// Chunks of K.
    pub chunks: i64,
}

/// A right operand that is split, the context of a [`crate::pool::ChunkFn`] whose items are
/// panels of [`COLUMNS`] columns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RightCall {
    /// The panels, as [`crate::micro::pack_b`] makes them.
    pub b: *const f32,
    /// The planes: for each panel, for each chunk of K, for each plane, for both halves a tile.
    pub out: *mut u8,
    /// How large the numbers of each panel are.
    pub ranges: *mut super::Range,
    /// For each column of each panel the power of two by which results are to be multiplied.
    pub scales: *mut f32,
    /// Rows.
    pub k: i64,
    /// Chunks of K.
    pub chunks: i64,
}

/// The vectors of AVX-512, which every machine with AMX has.
const V: FloatVector = FloatVector { lanes: 16, fused: true };
const INTS: &str = "<16 x i32>";

/// The IR text of a class.
pub fn split_module(spec: &SplitSpec) -> String {
    debug_assert_eq!(Isa::Amx.f32_lanes(), V.lanes);
    let mut module = Module::new();
    module.add(left(spec, false));
    module.add(left(spec, true));
    module.add(right(spec));
    module.text()
}

fn ints(f: &mut Function, op: &str, a: &str, b: &str) -> String {
    f.value(format_args!("{op} {INTS} {a}, {b}"))
}

fn all(f: &mut Function, x: i64) -> String {
    splat(f, 16, "i32", &x.to_string())
}

fn umax(f: &mut Function, a: &str, b: &str) -> String {
    f.declare(format!("{INTS} @llvm.umax.v16i32({INTS}, {INTS})"));
    f.value(format_args!("call {INTS} @llvm.umax.v16i32({INTS} {a}, {INTS} {b})"))
}

/// Takes two vectors of floats into account: the largest numbers in the words at `most`, all bits
/// in those of `%bits`.
fn measure(f: &mut Function, (low, high): (&str, &str), most: &str) {
    let mask = all(f, 0x7fff_ffff);
    let (ty, load) = (V.ty(), |f: &mut Function, at: &str| {
        f.value(format_args!("load {INTS}, ptr {at}, align 64"))
    });
    let a = f.value(format_args!("bitcast {ty} {low} to {INTS}"));
    let b = f.value(format_args!("bitcast {ty} {high} to {INTS}"));
    let before = load(f, "%bits");
    let either = ints(f, "or", &a, &b);
    let either = ints(f, "or", &either, &before);
    store_words(f, &either, "%bits");
    let (a, b) = (ints(f, "and", &a, &mask), ints(f, "and", &b, &mask));
    let now = umax(f, &a, &b);
    let before = load(f, most);
    let now = umax(f, &before, &now);
    store_words(f, &now, most);
}

/// The planes of two vectors of floats: vectors of pairs, those of the first one in the lower
/// halves.
fn planes(f: &mut Function, count: usize, low: &str, high: &str) -> Vec<String> {
    let ty = V.ty();
    let [half, upper, sixteen] = [0x8000, -0x1_0000, 16].map(|x| all(f, x));
    let mut rest = [low.to_owned(), high.to_owned()];
    let mut out = Vec::new();
    for p in 0..count {
        let mut cut = Vec::new();
        for x in &mut rest {
            let bits = f.value(format_args!("bitcast {ty} {x} to {INTS}"));
            // The third plane takes all that is left.
            let bits = if p == 2 { bits } else { ints(f, "add", &bits, &half) };
            let plane = ints(f, "and", &bits, &upper);
            if p + 1 < count {
                let value = f.value(format_args!("bitcast {INTS} {plane} to {ty}"));
                *x = f.value(format_args!("fsub {ty} {x}, {value}"));
            }
            cut.push((bits, plane));
        }
        let lower = ints(f, "lshr", &cut[0].0, &sixteen);
        out.push(ints(f, "or", &lower, &cut[1].1));
    }
    out
}

fn store_words(f: &mut Function, words: &str, to: &str) {
    f.line(format_args!("store {INTS} {words}, ptr {to}, align 64"));
}

fn fields(f: &mut Function, names: &[&str], pointers: usize) {
    for (i, field) in names.iter().enumerate() {
        let address = f.at("i64", "%call", i);
        let ty = if i < pointers { "ptr" } else { "i64" };
        f.line(format_args!("%{field} = load {ty}, ptr {address}, align 8"));
    }
}

/// The largest lane.
fn largest(f: &mut Function, words: &str) -> String {
    f.declare(format!("i32 @llvm.vector.reduce.umax.v16i32({INTS})"));
    f.value(format_args!("call i32 @llvm.vector.reduce.umax.v16i32({INTS} {words})"))
}

fn left(spec: &SplitSpec, gathered: bool) -> Function {
    let name = if gathered { &spec.gathered } else { &spec.even };
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %call, i64 %begin, i64 %end) nounwind"
    ));
    let names =
        ["a", "out", "range", "table", "zeros", "rows", "lda", "k", "taps", "run", "chunks"];
    fields(&mut f, &names, 6);
    f.line(format_args!("%largest = alloca [{ROWS} x {INTS}], align 64"));
    f.line(format_args!("%bits = alloca {INTS}, align 64"));
    store_words(&mut f, "zeroinitializer", "%bits");
    let all_rows = f.int("sub nsw", "%end", "%begin");
    let tiles = f.div_ceil(&all_rows, ROWS);
    let strip = f.int("mul nsw", "%chunks", spec.grade.planes() * TILE);
    let left = Left { planes: spec.grade.planes() };
    f.for_loop("0", &tiles, 1, |f, t| {
        let offset = f.int("mul nsw", t, &strip);
        let out = f.at("i8", "%out", offset);
        let first = f.int("mul nsw", t, ROWS);
        let rest = f.int("sub nsw", &all_rows, &first);
        let first = f.int("add nsw", &first, "%begin");
        let count = f.min(&rest, ROWS);
        f.for_loop("0", &count, 1, |f, i| {
            let to = f.at(INTS, "%largest", i);
            store_words(f, "zeroinitializer", &to);
        });
        if gathered {
            left.runs(f, &first, &count, &out);
        } else {
            let from = f.int("mul nsw", &first, "%lda");
            let from = f.at("float", "%a", from);
            left.rows(f, (&from, "%lda", "%k"), &count, &out);
        }
        f.for_loop("0", &count, 1, |f, i| {
            let from = f.at(INTS, "%largest", i);
            let words = f.value(format_args!("load {INTS}, ptr {from}, align 64"));
            let most = largest(f, &words);
            note(f, "%range", &most);
        });
    });
    note_bits(&mut f, "%range");
    f.line("ret void");
    f
}

/// Takes the bits of `%bits` into account.
fn note_bits(f: &mut Function, range: &str) {
    f.declare(format!("i32 @llvm.vector.reduce.or.v16i32({INTS})"));
    let words = f.value(format_args!("load {INTS}, ptr %bits, align 64"));
    let any = f.value(format_args!("call i32 @llvm.vector.reduce.or.v16i32({INTS} {words})"));
    let at = f.at("i32", range, 2);
    let before = f.value(format_args!("load i32, ptr {at}, align 4"));
    let any = f.value(format_args!("or i32 {before}, {any}"));
    f.line(format_args!("store i32 {any}, ptr {at}, align 4"));
}

/// Takes the largest number of a row or column into account.
fn note(f: &mut Function, range: &str, most: &str) {
    f.declare("i32 @llvm.umin.i32(i32, i32)");
    f.declare("i32 @llvm.umax.i32(i32, i32)");
    let low = f.value(format_args!("load i32, ptr {range}, align 4"));
    let above = f.at("i32", range, 1);
    let high = f.value(format_args!("load i32, ptr {above}, align 4"));
    // Subnormal numbers are taken for zeros.
    let some = f.value(format_args!("icmp uge i32 {most}, {}", 0x0080_0000));
    let least = f.value(format_args!("select i1 {some}, i32 {most}, i32 -1"));
    let low = f.value(format_args!("call i32 @llvm.umin.i32(i32 {low}, i32 {least})"));
    let high = f.value(format_args!("call i32 @llvm.umax.i32(i32 {high}, i32 {most})"));
    f.line(format_args!("store i32 {low}, ptr {range}, align 4"));
    f.line(format_args!("store i32 {high}, ptr {above}, align 4"));
}

struct Left {
    planes: usize,
}

impl Left {
    /// One chunk of row `i`: the two vectors at `from`, of which `left` floats exist where that
    /// is said.
    fn chunk(&self, f: &mut Function, from: &str, left: Option<&str>, i: &str, out: &str) {
        let second = f.at("float", from, 16);
        let (low, high) = match left {
            None => (V.load(f, from), V.load(f, &second)),
            Some(left) => {
                let mask = V.first_lanes(f, left);
                let low = V.masked_load(f, from, &mask);
                let rest = f.int("sub nsw", left, 16);
                let mask = V.first_lanes(f, &rest);
                (low, V.masked_load(f, &second, &mask))
            }
        };
        let most = f.at(INTS, "%largest", i);
        measure(f, (&low, &high), &most);
        let line = f.int("mul nsw", i, 64);
        let out = f.at("i8", out, line);
        for (p, words) in planes(f, self.planes, &low, &high).iter().enumerate() {
            let to = f.at("i8", &out, p * TILE);
            store_words(f, words, &to);
        }
    }

    /// The chunks of rows that are evenly apart: where the first one is, how far they are apart
    /// and how long they are.
    fn rows(
        &self,
        f: &mut Function,
        (from, step, length): (&str, &str, &str),
        count: &str,
        out: &str,
    ) {
        let whole = f.int("lshr", length, CHUNK.ilog2());
        let size = self.planes * TILE;
        let row = |f: &mut Function, c: &str, i: &str| {
            let offset = f.int("mul nsw", i, step);
            let within = f.int("mul nsw", c, CHUNK);
            let offset = f.int("add nsw", offset, within);
            f.at("float", from, offset)
        };
        f.for_loop("0", &whole, 1, |f, c| {
            let offset = f.int("mul nsw", c, size);
            let out = f.at("i8", out, offset);
            f.for_loop("0", count, 1, |f, i| {
                let from = row(f, c, i);
                self.chunk(f, &from, None, i, &out);
            });
        });
        let rest = f.int("and", length, CHUNK - 1);
        let some = f.value(format_args!("icmp ne i64 {rest}, 0"));
        f.if_true(&some, |f| {
            let offset = f.int("mul nsw", &whole, size);
            let out = f.at("i8", out, offset);
            f.for_loop("0", count, 1, |f, i| {
                let from = row(f, &whole, i);
                self.chunk(f, &from, Some(&rest), i, &out);
            });
        });
    }

    /// The chunks of rows that are runs, from row `first` on.
    fn runs(&self, f: &mut Function, first: &str, count: &str, out: &str) {
        let rest = f.int("and", "%run", CHUNK - 1);
        let whole = f.value(format_args!("icmp eq i64 {rest}, 0"));
        let [even, uneven, done] = ["even", "uneven", "split"].map(|stem| f.label(stem));
        f.branch(&whole, &even, &uneven);
        f.begin(&even);
        let chunks = f.int("lshr", "%run", CHUNK.ilog2());
        let size = self.planes * TILE;
        f.for_loop("0", "%taps", 1, |f, tap| {
            f.for_loop("0", &chunks, 1, |f, c| {
                let chunk = f.int("mul nsw", tap, &chunks);
                let chunk = f.int("add nsw", &chunk, c);
                let offset = f.int("mul nsw", chunk, size);
                let out = f.at("i8", out, offset);
                let within = f.int("mul nsw", c, CHUNK);
                f.for_loop("0", count, 1, |f, i| {
                    let from = start_of_run(f, first, i, tap);
                    let from = f.at("float", &from, &within);
                    self.chunk(f, &from, None, i, &out);
                });
            });
        });
        f.jump(&done);
        f.begin(&uneven);
        let step = f.int("mul nsw", "%chunks", CHUNK);
        f.for_loop("0", count, 1, |f, i| {
            let to = f.int("mul nsw", i, &step);
            let to = f.at("float", "%rows", to);
            f.for_loop("0", "%taps", 1, |f, tap| {
                let from = start_of_run(f, first, i, tap);
                let to_run = f.int("mul nsw", tap, "%run");
                let to = f.at("float", &to, to_run);
                f.for_loop("0", "%run", V.lanes, |f, x| {
                    let left = f.int("sub nsw", "%run", x);
                    let mask = V.first_lanes(f, &left);
                    let from = f.at("float", &from, x);
                    let value = V.masked_load(f, &from, &mask);
                    let to = f.at("float", &to, x);
                    V.masked_store(f, &value, &to, &mask);
                });
            });
        });
        self.rows(f, ("%rows", &step, "%k"), count, out);
        f.jump(&done);
        f.begin(&done);
    }
}

/// Where a run of row `first + i` is.
fn start_of_run(f: &mut Function, first: &str, i: &str, tap: &str) -> String {
    let row = f.int("add nsw", first, i);
    let entry = f.int("mul nsw", row, "%lda");
    let entry = f.int("add nsw", entry, tap);
    run_at(f, ("%a", "%zeros"), "%table", &entry)
}

/// Two vectors of one half of a panel: those of a pair of rows of chunk `c`. In the last chunk
/// rows may not exist.
fn pair_of_rows(
    f: &mut Function,
    (b, c, pair): (&str, &str, &str),
    half: usize,
    partial: bool,
) -> (String, String) {
    let first = f.int("mul nsw", c, CHUNK);
    let row = f.int("add nsw", first, pair);
    let other = f.int("add nsw", &row, ROWS);
    let load = |f: &mut Function, row: &str| {
        let offset = f.int("mul nsw", row, COLUMNS);
        let from = f.at("float", b, offset);
        let from = f.at("float", &from, half * V.lanes);
        if !partial {
            return V.load(f, &from);
        }
        let exists = f.value(format_args!("icmp slt i64 {row}, %k"));
        let mask = splat(f, V.lanes, "i1", &exists);
        V.masked_load(f, &from, &mask)
    };
    let low = load(f, &row);
    (low, load(f, &other))
}

/// From the largest numbers of columns the powers of two that bring them near one and back; one
/// for columns that are near it or zero.
fn powers(f: &mut Function, largest: &str) -> (String, String) {
    let (ty, mask_ty) = (V.ty(), V.mask_ty());
    let places = all(f, 23);
    let exponent = ints(f, "lshr", largest, &places);
    let compare = |f: &mut Function, op: &str, bound: i64| {
        let bound = all(f, bound);
        f.value(format_args!("icmp {op} {INTS} {exponent}, {bound}"))
    };
    let (low, high) = (compare(f, "ult", 127 - 30), compare(f, "ugt", 127 + 30));
    // Zeros and what is not finite stay.
    let (some, finite) = (compare(f, "ne", 0), compare(f, "ne", 255));
    let far = f.value(format_args!("or {mask_ty} {low}, {high}"));
    let far = f.value(format_args!("and {mask_ty} {far}, {some}"));
    let far = f.value(format_args!("and {mask_ty} {far}, {finite}"));
    let middle = all(f, 127);
    let by = ints(f, "sub", &middle, &exponent);
    for name in ["smin", "smax"] {
        f.declare(format!("{INTS} @llvm.{name}.v16i32({INTS}, {INTS})"));
    }
    let (least, most) = (all(f, -100), all(f, 100));
    let by = f.value(format_args!("call {INTS} @llvm.smin.v16i32({INTS} {by}, {INTS} {most})"));
    let by = f.value(format_args!("call {INTS} @llvm.smax.v16i32({INTS} {by}, {INTS} {least})"));
    let by = f.value(format_args!("select {mask_ty} {far}, {INTS} {by}, {INTS} zeroinitializer"));
    let mut power = |op: &str| {
        let x = ints(f, op, &middle, &by);
        let x = ints(f, "shl", &x, &places);
        f.value(format_args!("bitcast {INTS} {x} to {ty}"))
    };
    (power("add"), power("sub"))
}

fn right(spec: &SplitSpec) -> Function {
    let planes_of = spec.grade.planes();
    let ty = V.ty();
    let mut f = Function::new(format_args!(
        "define void @{}(ptr noalias %call, i64 %begin, i64 %end) nounwind",
        spec.right
    ));
    fields(&mut f, &["b", "out", "ranges", "scales", "k", "chunks"], 4);
    f.line(format_args!("%largest = alloca [2 x {INTS}], align 64"));
    f.line(format_args!("%bits = alloca {INTS}, align 64"));
    let whole = f.int("lshr", "%k", CHUNK.ilog2());
    let partial = f.value(format_args!("icmp slt i64 {whole}, %chunks"));
    let bytes = f.int("mul nsw", "%chunks", planes_of * 2 * TILE);
    f.for_loop("%begin", "%end", 1, |f, panel| {
        let columns = f.int("mul nsw", panel, COLUMNS);
        let offset = f.int("mul nsw", &columns, "%k");
        let b = f.at("float", "%b", offset);
        let offset = f.int("mul nsw", panel, &bytes);
        let out = f.at("i8", "%out", offset);
        let scales = f.at("float", "%scales", &columns);
        store_words(f, "zeroinitializer", "%bits");
        for half in 0..2 {
            let most = f.at(INTS, "%largest", half);
            store_words(f, "zeroinitializer", &most);
            let look = |f: &mut Function, c: &str, partial: bool| {
                f.for_loop("0", ROWS, 1, |f, pair| {
                    let (low, high) = pair_of_rows(f, (&b, c, pair), half, partial);
                    measure(f, (&low, &high), &most);
                });
            };
            f.for_loop("0", &whole, 1, |f, c| look(f, c, false));
            f.if_true(&partial, |f| look(f, &whole, true));
            let words = f.value(format_args!("load {INTS}, ptr {most}, align 64"));
            let (there, back) = powers(f, &words);
            let to = f.at("float", &scales, half * V.lanes);
            V.store(f, &back, &to);
            let scaled = f.value(format_args!("bitcast {INTS} {words} to {ty}"));
            let scaled = f.value(format_args!("fmul {ty} {scaled}, {there}"));
            let scaled = f.value(format_args!("bitcast {ty} {scaled} to {INTS}"));
            store_words(f, &scaled, &most);
            let chunk = |f: &mut Function, c: &str, partial: bool| {
                let offset = f.int("mul nsw", c, planes_of * 2 * TILE);
                let out = f.at("i8", &out, offset);
                f.for_loop("0", ROWS, 1, |f, pair| {
                    let (low, high) = pair_of_rows(f, (&b, c, pair), half, partial);
                    let low = f.value(format_args!("fmul {ty} {low}, {there}"));
                    let high = f.value(format_args!("fmul {ty} {high}, {there}"));
                    let line = f.int("mul nsw", pair, 64);
                    let to = f.at("i8", &out, line);
                    for (p, words) in planes(f, planes_of, &low, &high).iter().enumerate() {
                        let to = f.at("i8", &to, (2 * p + half) * TILE);
                        store_words(f, words, &to);
                    }
                });
            };
            f.for_loop("0", &whole, 1, |f, c| chunk(f, c, false));
            f.if_true(&partial, |f| chunk(f, &whole, true));
        }
        // The columns one by one.
        let range = f.at("[3 x i32]", "%ranges", panel);
        f.line(format_args!("store [3 x i32] [ i32 -1, i32 0, i32 0 ], ptr {range}, align 4"));
        f.for_loop("0", COLUMNS, 1, |f, column| {
            let from = f.at("i32", "%largest", column);
            let most = f.value(format_args!("load i32, ptr {from}, align 4"));
            note(f, &range, &most);
        });
        note_bits(f, &range);
    });
    f.line("ret void");
    f
}
