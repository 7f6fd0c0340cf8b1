//! Matrix products of `f32` whose left operand lies in runs: convolutions of images whose
//! channels lie last.
//!
//! An output pixel is a row of the product, an output channel a column. The row of a pixel
//! consists of runs of consecutive floats, one for each tap (all channels of a pixel, or of
//! several pixels that touch). Where a run begins is said by a table with an entry for each row
//! and tap, so that stride, dilation and padding are in the table: a run of padding is marked,
//! and read from a row of zeros. No matrix of patches is made and nothing is copied; the table
//! is made once for a shape. The scheme is that of indirect convolution (Dukhan, "The Indirect
//! Convolution Algorithm", 2019), with offsets in place of pointers so that the table outlives
//! the buffers.
//!
//! Sums stay in registers over as many taps as a panel of the weights takes of the second-level
//! cache, mostly all of them.

use std::ffi::c_void;

use super::epilogue::Epilogue;
use super::gemm::GemmSpec;
use super::inner::{Inner, LINE, LINES, Left, Steps};
use super::store::{ADD, LAST, RowTiles, Store, dispatch, heights};
use crate::emit::{FloatVector, Function, Module};

/// The entry of a table for a run of zeros.
pub const ZEROS: i32 = i32::MIN;

/// A product, the first argument of a [`GatheredFn`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GatheredCall {
    /// The left operand.
    pub a: *const f32,
    /// The right operand, packed: row `t * run + i` belongs to float `i` of tap `t`.
    pub b: *const f32,
    /// The result.
    pub c: *mut f32,
    /// For the epilogue.
    pub args: *const c_void,
    /// Offsets of runs in floats, those of a row together; [`ZEROS`] for one of zeros.
    pub table: *const i32,
    /// As many zeros as a run is long.
    pub zeros: *const f32,
    /// From row to row of the result.
    pub ldc: i64,
    /// Runs of a row.
    pub taps: i64,
    /// Floats of a run.
    pub run: i64,
}

/// The emitted function: rows `m0..m1` and columns `n0..n1`, `n0` a multiple of the panel's
/// width.
pub type GatheredFn =
    unsafe extern "C" fn(call: *const GatheredCall, m0: i64, m1: i64, n0: i64, n1: i64);

/// The IR text of a class: the function `NAME` (see [`GatheredFn`]).
pub fn gathered_module(spec: &GemmSpec, epilogue: &dyn Epilogue) -> String {
    let (name, tile, vector) = (&spec.name, spec.tile, FloatVector::of(spec.isa));
    let store = Store { name, tile, vector, epilogue };
    let inner = Inner { tile, vector, unroll: spec.unroll };
    let mut module = Module::new();
    for rows in heights(tile) {
        module.add(kernel(&store, &inner, rows));
    }
    module.add(store.function());
    module.add(driver(spec));
    module.text()
}

/// The address of a run: entry `index` of a table, or the zeros.
pub(super) fn run_at(
    f: &mut Function,
    (a, zeros): (&str, &str),
    table: &str,
    index: &str,
) -> String {
    let entry = f.at("i32", table, index);
    let entry = f.value(format_args!("load i32, ptr {entry}, align 4"));
    let padding = f.value(format_args!("icmp eq i32 {entry}, {ZEROS}"));
    let offset = f.value(format_args!("sext i32 {entry} to i64"));
    let inside = f.value(format_args!("getelementptr float, ptr {a}, i64 {offset}"));
    f.value(format_args!("select i1 {padding}, ptr {zeros}, ptr {inside}"))
}

/// The micro-kernel of `rows` rows: one tile, some taps.
fn kernel(store: &Store<'_>, inner: &Inner, rows: usize) -> Function {
    let ty = store.vector.ty();
    let mut f = Function::new(format_args!(
        "define internal void @{}_rows{rows}(ptr %a, ptr %zeros, ptr noalias %table, i64 %taps, \
         i64 %count, i64 %length, ptr noalias %b, ptr %ahead, {}) nounwind noinline",
        store.name,
        store.parameters()
    ));
    let tables: Vec<String> = (0..rows)
        .map(|r| {
            let first = f.int("mul nsw", "%taps", r);
            f.at("i32", "%table", first)
        })
        .collect();
    let start = store.start(&mut f, rows);
    let begin = f.block().to_string();
    let some = f.value("icmp sgt i64 %count, 0");
    f.branch(&some, "run", "done");

    f.begin("run");
    let phi = |f: &mut Function, ty: &str, value: &str| {
        let (now, next) = (f.name(), f.name());
        f.line(format_args!("{now} = phi {ty} [ {value}, %{begin} ], [ {next}, %next ]"));
        (now, next)
    };
    let (t, t_next) = phi(&mut f, "i64", "0");
    let (b, b_next) = phi(&mut f, "ptr", "%b");
    let phis: Vec<(String, String)> = start.iter().map(|x| phi(&mut f, &ty, x)).collect();
    let sums: Vec<String> = phis.iter().map(|(now, _)| now.clone()).collect();
    let pointers = tables.iter().map(|table| run_at(&mut f, ("%a", "%zeros"), table, &t)).collect();
    // Every run fetches ahead as much as its own steps allow.
    let offset = f.int("mul nsw", &t, "%length");
    let offset = f.int("mul nsw", offset, (LINES * LINE / inner.unroll).max(1));
    let ahead = f.at("float", "%ahead", offset);
    let left = Left::Anywhere(pointers);
    let steps = Steps { rows, left: &left, b: &b, begin: "0", count: "%length", ahead: &ahead };
    let (b_after, sums) = inner.emit(&mut f, &steps, &sums);
    f.jump("next");
    f.begin("next");
    for (value, (_, next)) in sums.iter().zip(&phis) {
        f.line(format_args!("{next} = bitcast {ty} {value} to {ty}"));
    }
    f.line(format_args!("{b_next} = getelementptr inbounds i8, ptr {b_after}, i64 0"));
    f.line(format_args!("{t_next} = add nsw i64 {t}, 1"));
    let more = f.value(format_args!("icmp slt i64 {t_next}, %count"));
    f.branch(&more, "run", "done");

    f.begin("done");
    let sums: Vec<String> = start
        .iter()
        .zip(&phis)
        .map(|(x, (_, y))| f.value(format_args!("phi {ty} [ {x}, %{begin} ], [ {y}, %next ]")))
        .collect();
    store.finish(&mut f, rows, &sums);
    f
}

/// The loops over tiles.
fn driver(spec: &GemmSpec) -> Function {
    let (name, tile) = (&spec.name, spec.tile);
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %call, i64 %m0, i64 %m1, i64 %n0, i64 %n1) nounwind"
    ));
    for (i, field) in
        ["a", "b", "c", "args", "table", "zeros", "ldc", "taps", "run"].iter().enumerate()
    {
        let address = f.at("i64", "%call", i);
        let ty = if i < 6 { "ptr" } else { "i64" };
        f.line(format_args!("%{field} = load {ty}, ptr {address}, align 8"));
    }
    let k = f.int("mul nsw", "%taps", "%run");
    f.declare("i64 @llvm.smax.i64(i64, i64)");
    let at_least = |f: &mut Function, x: &str, least: usize| {
        f.value(format_args!("call i64 @llvm.smax.i64(i64 {x}, i64 {least})"))
    };
    let rows = f.int("sub nsw", "%m1", "%m0");
    let rows = at_least(&mut f, &rows, 0);
    let tiles = RowTiles::new(&mut f, tile, &rows);
    let block = (spec.mc / tile.rows).max(1);
    // Pieces of taps, of even number; one piece for none.
    let pieces = f.div_ceil(&k, spec.kc);
    let pieces = at_least(&mut f, &pieces, 1);
    let piece = f.div_ceil("%taps", &pieces);
    let piece = at_least(&mut f, &piece, 1);
    let end = at_least(&mut f, "%taps", 1);
    let panel_size = f.int("mul nsw", &k, tile.columns());
    f.for_loop("0", &end, &piece, |f, first| {
        let left = f.int("sub nsw", "%taps", first);
        let some = f.min(&left, &piece);
        let after = f.int("add nsw", first, &some);
        let at_start = f.value(format_args!("icmp eq i64 {first}, 0"));
        let adds = f.value(format_args!("select i1 {at_start}, i64 0, i64 {ADD}"));
        let at_end = f.value(format_args!("icmp sge i64 {after}, %taps"));
        let last = f.value(format_args!("select i1 {at_end}, i64 {LAST}, i64 0"));
        let state = f.int("or", adds, last);
        let table = f.at("i32", "%table", first);
        let steps = f.int("mul nsw", first, "%run");
        let offset = f.int("mul nsw", steps, tile.columns());
        let b = f.at("float", "%b", offset);
        // While a panel is done, a part of the next one is fetched with each tile.
        let steps = f.int("mul nsw", &some, "%run");
        let lines = f.int("udiv", &steps, spec.unroll);
        let lines = f.int("mul nsw", lines, LINES * LINE);
        let size = f.int("mul nsw", &steps, tile.columns());
        f.for_loop("0", &tiles.count, block, |f, t0| {
            let t1 = f.int("add nsw", t0, block);
            let t1 = f.min(t1, &tiles.count);
            f.for_loop("%n0", "%n1", tile.columns(), |f, column| {
                let offset = f.int("mul nsw", column, &k);
                let panel = f.at("float", &b, offset);
                let next_panel = f.at("float", &panel, &panel_size);
                f.for_loop(t0, &t1, 1, |f, t| {
                    let (row, rows) = tiles.tile(f, t);
                    let row = f.int("add nsw", row, "%m0");
                    let entries = f.int("mul nsw", &row, "%taps");
                    let table = f.at("i32", &table, entries);
                    let offset = f.int("mul nsw", &row, "%ldc");
                    let offset = f.int("add nsw", offset, column);
                    let c = f.at("float", "%c", offset);
                    let ahead = f.int("mul nsw", t, &lines);
                    let within = f.value(format_args!("icmp slt i64 {ahead}, {size}"));
                    let ahead = f.value(format_args!("select i1 {within}, i64 {ahead}, i64 0"));
                    let ahead = f.at("float", &next_panel, ahead);
                    dispatch(f, tile, &rows, |r| {
                        format!(
                            "call void @{name}_rows{r}(ptr %a, ptr %zeros, ptr {table}, i64 %taps, \
                             i64 {some}, i64 %run, ptr {panel}, ptr {ahead}, ptr {c}, \
                             i64 %ldc, i64 {row}, i64 {column}, i64 %n1, i64 {state}, ptr %args)"
                        )
                    });
                });
            });
        });
    });
    f.line("ret void");
    f
}
