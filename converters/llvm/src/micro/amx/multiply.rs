//! Products of planes on tiles.

use std::ffi::c_void;

use super::{COLUMNS, Grade, ROWS, TILE};
use crate::emit::{FloatVector, Function, Module};
use crate::micro::epilogue::{Epilogue, Place};

/// A class of products.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AmxSpec {
    /// Name of the emitted function.
    pub name: String,
    /// How exact they are.
    pub grade: Grade,
}

/// A product, the first argument of an [`AmxFn`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AmxCall {
    /// The planes of the rows that are done, of chunks `begin..end`.
    pub a: *const u8,
    /// The planes of all columns, of all chunks.
    pub b: *const u8,
    /// For each column the number that sums are multiplied by.
    pub scales: *const f32,
    /// The result.
    pub c: *mut f32,
    /// For the epilogue.
    pub args: *const c_void,
    /// The function of [`kernel_module`].
    pub kernel: KernelFn,
    /// Sums of the rows that are done, of the panel of column `n0`: [`AmxCall::sums_bytes`] for
    /// each panel, or room for one.
    pub sums: *mut u8,
    /// Bytes from the sums of a panel to those of the next one; 0 where all are done at once.
    pub next_sums: i64,
    /// From row to row of the result.
    pub ldc: i64,
    /// Chunks of K.
    pub chunks: i64,
    /// The first chunk that is done; sums are those of the chunks before it.
    pub begin: i64,
    /// The end of the chunks that are done; the result is written where it is that of all chunks.
    pub end: i64,
    /// Chunks of K that are done for all rows before the next ones.
    pub piece: i64,
    /// See [`variant`].
    pub variant: i64,
}

impl AmxCall {
    /// Bytes of room for the sums of so many tiles of rows.
    pub fn sums_bytes(tiles: usize) -> usize {
        tiles.div_ceil(2) * 2 * ROWS * COLUMNS * 4
    }
}

/// The emitted function: rows `m0..m1`, and columns `n0..n1` of which `n0` is a multiple of
/// [`COLUMNS`].
pub type AmxFn = unsafe extern "C" fn(call: *const AmxCall, m0: i64, m1: i64, n0: i64, n1: i64);

const V: FloatVector = FloatVector { lanes: 16, fused: true };

/// Tiles of the left and of the right operand; those before hold sums.
const LEFT: usize = 4;
const RIGHT: usize = 6;

/// Bytes from row to row of sums in memory.
const LINE: usize = COLUMNS * 4;

/// Bytes of a line of a cache.
const LINE_BYTES: usize = 64;

/// The function of [`kernel_module`].
pub type KernelFn = unsafe extern "C" fn(
    which: i64,
    a: *const u8,
    strip: i64,
    b: *const u8,
    count: i64,
    sums: *mut u8,
    adds: bool,
    ahead: *const u8,
    lines: i64,
);

/// Its name.
pub fn kernel_name(grade: Grade) -> String {
    format!("amx_kernel_{}", grade.planes())
}

/// The number of the kernel for so many planes that are not zero of the left and right operand.
pub fn variant(grade: Grade, left: usize, right: usize) -> i64 {
    let planes = grade.planes();
    ((left.min(planes) - 1) * planes + right.min(planes) - 1) as i64
}

/// The IR text of the micro-kernels of a grade behind one function, see [`KernelFn`]: sums over
/// `count` chunks of one or two tiles of rows, whose planes are `strip` bytes apart, and one or
/// two of columns. With each chunk so many `lines` of memory are fetched from `ahead` on, which is
/// what is wanted next. The lowest bit of `which` says whether there are two of columns, the next one
/// whether there are two of rows, the others are a [`variant`].
pub fn kernel_module(grade: Grade) -> String {
    let name = kernel_name(grade);
    let parameters = "ptr noalias %a, i64 %strip, ptr noalias %b, i64 %count, ptr noalias %sums, \
                      i1 %adds, ptr %ahead, i64 %lines";
    let mut module = Module::new();
    let mut f = Function::new(format_args!(
        "define void @{name}(i64 %which, {}) nounwind",
        parameters.replace("i1 %adds", "i1 zeroext %adds")
    ));
    let mut cases = String::new();
    let mut calls = Vec::new();
    let planes = grade.planes();
    for left in 1..=planes {
        for right in 1..=planes {
            for shape in 0..4i64 {
                let which = variant(grade, left, right) * 4 + shape;
                let (rows, columns) = (1 + shape as usize / 2, 1 + shape as usize % 2);
                let inner = format!("{name}_{which}");
                let head = format!("define internal void @{inner}({parameters}) nounwind noinline");
                module.add(kernel(grade, &head, (left, right), rows, columns));
                cases += &format!(" i64 {which}, label %case{which}");
                calls.push((which, inner));
            }
        }
    }
    f.line(format_args!("switch i64 %which, label %none [{cases} ]"));
    for (which, inner) in calls {
        f.begin(&format!("case{which}"));
        f.line(format_args!(
            "tail call void @{inner}(ptr %a, i64 %strip, ptr %b, i64 %count, ptr %sums, i1 %adds, \
             ptr %ahead, i64 %lines)"
        ));
        f.line("ret void");
    }
    f.begin("none");
    f.line("ret void");
    module.add(f);
    module.text()
}

/// The IR text of a class: the function `NAME` (see [`AmxFn`]).
pub fn amx_module(spec: &AmxSpec, epilogue: &dyn Epilogue) -> String {
    let mut module = Module::new();
    module.add(finish(spec, epilogue));
    module.add(driver(spec));
    module.text()
}

fn load_tile(f: &mut Function, tile: usize, from: &str, stride: usize) {
    f.declare("void @llvm.x86.tileloadd64(i8 immarg, ptr, i64)");
    f.line(format_args!("call void @llvm.x86.tileloadd64(i8 {tile}, ptr {from}, i64 {stride})"));
}

/// The sums of `rows` times `columns` tiles over some chunks.
fn kernel(
    grade: Grade,
    head: &str,
    counts: (usize, usize),
    rows: usize,
    columns: usize,
) -> Function {
    let planes = grade.planes();
    let mut f = Function::new(head);
    let sums: Vec<(usize, String)> = (0..rows)
        .flat_map(|r| (0..columns).map(move |c| (r, c)))
        .map(|(r, c)| (2 * r + c, f.at("i8", "%sums", r * ROWS * LINE + c * 64)))
        .collect();
    f.branch("%adds", "old", "new");
    f.begin("old");
    for (tile, at) in &sums {
        load_tile(&mut f, *tile, at, LINE);
    }
    f.jump("ready");
    f.begin("new");
    f.declare("void @llvm.x86.tilezero(i8 immarg)");
    for (tile, _) in &sums {
        f.line(format_args!("call void @llvm.x86.tilezero(i8 {tile})"));
    }
    f.jump("ready");
    f.begin("ready");
    f.declare("void @llvm.x86.tdpbf16ps(i8 immarg, i8 immarg, i8 immarg)");
    f.for_loop("0", "%count", 1, |f, c| {
        let offset = f.int("mul nsw", c, planes * TILE);
        let left = f.at("i8", "%a", offset);
        let mut a = vec![left];
        if rows == 2 {
            let first = a[0].clone();
            a.push(f.at("i8", &first, "%strip"));
        }
        let offset = f.int("mul nsw", c, planes * 2 * TILE);
        let b = f.at("i8", "%b", offset);
        let lines = f.int("mul nsw", c, "%lines");
        let lines = f.int("shl nsw", lines, 6);
        let ahead = f.beyond("%ahead", lines);
        f.declare("void @llvm.prefetch.p0(ptr, i32 immarg, i32 immarg, i32 immarg)");
        f.for_loop("0", "%lines", 1, |f, line| {
            let offset = f.int("shl nsw", line, 6);
            let from = f.beyond(&ahead, offset);
            f.line(format_args!("call void @llvm.prefetch.p0(ptr {from}, i32 0, i32 2, i32 1)"));
        });
        let mut now = (usize::MAX, usize::MAX);
        for (p, q) in grade.products(counts) {
            if now.0 != p {
                for (r, a) in a.iter().enumerate() {
                    let from = f.at("i8", a, p * TILE);
                    load_tile(f, LEFT + r, &from, 64);
                }
            }
            if now.1 != q {
                for c in 0..columns {
                    let from = f.at("i8", &b, (2 * q + c) * TILE);
                    load_tile(f, RIGHT + c, &from, 64);
                }
            }
            now = (p, q);
            for r in 0..rows {
                for c in 0..columns {
                    f.line(format_args!(
                        "call void @llvm.x86.tdpbf16ps(i8 {}, i8 {}, i8 {})",
                        2 * r + c,
                        LEFT + r,
                        RIGHT + c
                    ));
                }
            }
        }
    });
    f.declare("void @llvm.x86.tilestored64(i8 immarg, ptr, i64)");
    for (tile, at) in &sums {
        f.line(format_args!("call void @llvm.x86.tilestored64(i8 {tile}, ptr {at}, i64 {LINE})"));
    }
    f.line("ret void");
    f
}

/// The function that brings the sums of a tile of rows into the result.
fn finish(spec: &AmxSpec, epilogue: &dyn Epilogue) -> Function {
    let mut f = Function::new(format_args!(
        "define internal void @{}_finish(ptr noalias %sums, ptr noalias %scales, ptr noalias %c, i64 %ldc, i64 %row, \
         i64 %rows, i64 %column, i64 %end, ptr noalias %args) nounwind noinline",
        spec.name
    ));
    let vectors = COLUMNS / V.lanes;
    let scale_of = |f: &mut Function, q: &str| {
        let within = f.int("mul nsw", q, V.lanes);
        let from = f.at("float", "%scales", within);
        V.load(f, &from)
    };
    let one = |f: &mut Function, (r, q): (&str, &str), scale: &str, mask: Option<&str>| {
        let within = f.int("mul nsw", q, V.lanes);
        let column = f.int("add nsw", "%column", &within);
        let offset = f.int("mul nsw", r, COLUMNS);
        let offset = f.int("add nsw", offset, within);
        let from = f.at("float", "%sums", offset);
        let value = V.load(f, &from);
        let value = f.value(format_args!("fmul {} {value}, {scale}", V.ty()));
        let row = f.int("add nsw", "%row", r);
        let place =
            Place { value: &value, row: &row, column: &column, mask, vector: V, args: "%args" };
        let value = epilogue.emit(f, &place);
        let offset = f.int("mul nsw", &row, "%ldc");
        let offset = f.int("add nsw", offset, &column);
        let to = f.at("float", "%c", offset);
        match mask {
            Some(mask) => V.masked_store(f, &value, &to, mask),
            None => V.store(f, &value, &to),
        }
    };
    let left = f.int("sub nsw", "%end", "%column");
    let partial = |f: &mut Function| {
        let count = f.min(&left, COLUMNS);
        let count = f.div_ceil(count, V.lanes);
        f.for_loop("0", &count, 1, |f, q| {
            let within = f.int("mul nsw", q, V.lanes);
            let left = f.int("sub nsw", &left, within);
            let mask = V.first_lanes(f, &left);
            let scale = scale_of(f, q);
            f.for_loop("0", "%rows", 1, |f, r| one(f, (r, q), &scale, Some(&mask)));
        });
    };
    if epilogue.is_short() {
        let full = f.value(format_args!("icmp sge i64 {left}, {COLUMNS}"));
        f.branch(&full, "full", "part");
        f.begin("full");
        let scales: Vec<String> = (0..vectors).map(|q| scale_of(&mut f, &q.to_string())).collect();
        f.for_loop("0", "%rows", 1, |f, r| {
            for (q, scale) in scales.iter().enumerate() {
                one(f, (r, &q.to_string()), scale, None);
            }
        });
        f.line("ret void");
        f.begin("part");
    }
    partial(&mut f);
    f.line("ret void");
    f
}

/// What tiles are: all of 16 rows of 64 bytes. Where there are fewer rows, what is made of the
/// others is not used.
pub(crate) fn shapes() -> String {
    let mut bytes = [0u8; 64];
    bytes[0] = 1;
    for tile in 0..8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = ROWS as u8;
    }
    let bytes: Vec<String> = bytes.iter().map(|b| format!("i8 {b}")).collect();
    format!("<64 x i8> < {} >", bytes.join(", "))
}

/// The loops over panels, pieces of K and pairs of tiles of rows.
fn driver(spec: &AmxSpec) -> Function {
    let name = &spec.name;
    let planes = spec.grade.planes();
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %call, i64 %m0, i64 %m1, i64 %n0, i64 %n1) nounwind"
    ));
    let pointers = ["a", "b", "scales", "c", "args", "kernel", "sums"];
    let numbers = ["next_sums", "ldc", "chunks", "begin", "end", "piece", "variant"];
    for (i, field) in pointers.iter().chain(&numbers).enumerate() {
        let address = f.at("i64", "%call", i);
        let ty = if i < pointers.len() { "ptr" } else { "i64" };
        f.line(format_args!("%{field} = load {ty}, ptr {address}, align 8"));
    }
    f.declare("void @llvm.x86.ldtilecfg(ptr)");
    f.declare("void @llvm.x86.tilerelease()");
    f.line("%shapes = alloca <64 x i8>, align 64");
    f.line(format_args!("store {}, ptr %shapes, align 64", shapes()));
    f.line("call void @llvm.x86.ldtilecfg(ptr %shapes)");
    let rows = f.int("sub nsw", "%m1", "%m0");
    let tiles = f.div_ceil(&rows, ROWS);
    let pairs = f.div_ceil(&tiles, 2);
    let variant = f.int("shl nsw", "%variant", 2);
    let some = f.int("sub nsw", "%end", "%begin");
    let strip = f.int("mul nsw", &some, planes * TILE);
    let panel_bytes = f.int("mul nsw", "%chunks", 2 * planes * TILE);
    // What the rows of a piece fetch together is the next piece.
    let lines = f.value(format_args!("sdiv i64 {}, {pairs}", planes * 2 * TILE / LINE_BYTES));
    f.for_loop("%n0", "%n1", COLUMNS, |f, column| {
        let panel = f.int("sdiv", column, COLUMNS);
        let offset = f.int("mul nsw", panel, &panel_bytes);
        let panel = f.at("i8", "%b", offset);
        let scales = f.at("float", "%scales", column);
        let left = f.int("sub nsw", "%n1", column);
        let wide = f.value(format_args!("icmp sgt i64 {left}, {}", V.lanes));
        let wide = f.value(format_args!("zext i1 {wide} to i64"));
        let next = f.int("sub nsw", column, "%n0");
        let next = f.int("sdiv", next, COLUMNS);
        let next = f.int("mul nsw", next, "%next_sums");
        let panel_sums = f.at("i8", "%sums", next);
        f.for_loop("%begin", "%end", "%piece", |f, chunk| {
            let left = f.int("sub nsw", "%end", chunk);
            let count = f.min(&left, "%piece");
            let adds = f.value(format_args!("icmp ne i64 {chunk}, 0"));
            let last = f.int("add nsw", chunk, &count);
            let done = f.value(format_args!("icmp eq i64 {last}, %chunks"));
            let a_offset = f.int("sub nsw", chunk, "%begin");
            let a_offset = f.int("mul nsw", a_offset, planes * TILE);
            let b_offset = f.int("mul nsw", chunk, 2 * planes * TILE);
            let b = f.at("i8", &panel, b_offset);
            // The next piece of this panel, or the first one of the next panel.
            let more = f.value(format_args!("icmp slt i64 {last}, %end"));
            let then = f.value(format_args!("select i1 {more}, i64 {last}, i64 %begin"));
            let then = f.int("mul nsw", then, 2 * planes * TILE);
            let skip = f.value(format_args!("select i1 {more}, i64 0, i64 {panel_bytes}"));
            let then = f.int("add nsw", then, skip);
            let ahead = f.beyond(&panel, then);
            let part = f.int("mul nsw", &count, &lines);
            let part = f.int("mul nsw", part, LINE_BYTES);
            f.for_loop("0", &pairs, 1, |f, pair| {
                let tile = f.int("shl nsw", pair, 1);
                let offset = f.int("mul nsw", &tile, &strip);
                let a = f.at("i8", "%a", offset);
                let a = f.at("i8", &a, &a_offset);
                let offset = f.int("mul nsw", &tile, ROWS * LINE);
                let sums = f.at("i8", &panel_sums, offset);
                let next = f.int("add nsw", &tile, 1);
                let two = f.value(format_args!("icmp slt i64 {next}, {tiles}"));
                let tall = f.value(format_args!("select i1 {two}, i64 2, i64 0"));
                let which = f.int("or", &tall, &wide);
                let which = f.int("or", which, &variant);
                let offset = f.int("mul nsw", pair, &part);
                let ahead = f.beyond(&ahead, offset);
                f.line(format_args!(
                    "call void %kernel(i64 {which}, ptr {a}, i64 {strip}, ptr {b}, i64 {count}, \
                     ptr {sums}, i1 zeroext {adds}, ptr {ahead}, i64 {lines})"
                ));
                f.if_true(&done, |f| {
                    let row = f.int("mul nsw", &tile, ROWS);
                    let some = f.int("sub nsw", &rows, &row);
                    let first = f.min(&some, ROWS);
                    let row = f.int("add nsw", &row, "%m0");
                    let finish = |f: &mut Function, sums: &str, row: &str, count: &str| {
                        f.line(format_args!(
                            "call void @{name}_finish(ptr {sums}, ptr {scales}, ptr %c, \
                             i64 %ldc, i64 {row}, i64 {count}, i64 {column}, i64 %n1, \
                             ptr %args)"
                        ));
                    };
                    finish(f, &sums, &row, &first);
                    let second = f.int("sub nsw", &some, &first);
                    let second = f.min(&second, ROWS);
                    let below = f.at("i8", &sums, ROWS * LINE);
                    let row = f.int("add nsw", &row, ROWS);
                    finish(f, &below, &row, &second);
                });
            });
        });
    });
    f.line("call void @llvm.x86.tilerelease()");
    f.line("ret void");
    f
}
