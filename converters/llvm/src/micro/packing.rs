//! Packing of a right operand that is known at run time only, as a kernel.
//!
//! The form is that of [`super::pack_b`]. Rows that lie together (a plain matrix) are copied;
//! columns that lie together (a transposed one, such as the keys of attention) are transposed in
//! registers, a square of vectors at a time; all else is done float by float.

use crate::emit::{FloatVector, Function, Module, READ_ALIGN};
use crate::micro::Tile;
use crate::target::Isa;

/// A class of packing kernels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackSpec {
    /// Name of the emitted function.
    pub name: String,
    /// The level it is for.
    pub isa: Isa,
    /// The tile whose panels are packed.
    pub tile: Tile,
}

impl PackSpec {
    /// The class for a tile of a level.
    pub fn new(isa: Isa, tile: Tile) -> PackSpec {
        PackSpec { name: format!("pack_{}_{isa}", tile.columns()), isa, tile }
    }
}

/// What is packed: the context of a [`PackFn`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PackCall {
    /// The matrix.
    pub b: *const f32,
    /// The panels, [`super::packed_len`] floats.
    pub out: *mut f32,
    /// Rows.
    pub k: i64,
    /// Columns.
    pub n: i64,
    /// Floats from row to row.
    pub row_stride: i64,
    /// Floats from column to column.
    pub column_stride: i64,
}

/// The emitted function: panels `begin..end`. It is a [`crate::pool::ChunkFn`] whose items are
/// panels, of which there are as many as whole or begun widths in `n`.
pub type PackFn = crate::pool::ChunkFn;

/// The IR text of a class: the function `NAME` (see [`PackFn`]).
pub fn pack_module(spec: &PackSpec) -> String {
    let v = FloatVector::of(spec.isa);
    let width = spec.tile.columns();
    let mut f = Function::new(format_args!(
        "define void @{}(ptr noalias %call, i64 %begin, i64 %end) nounwind",
        spec.name
    ));
    for (i, name) in ["b", "out", "k", "n", "rs", "cs"].iter().enumerate() {
        let address = f.at("i64", "%call", i);
        let ty = if i < 2 { "ptr" } else { "i64" };
        f.line(format_args!("%{name} = load {ty}, ptr {address}, align 8"));
    }
    f.line("%together = icmp eq i64 %cs, 1");
    f.line("%upright = icmp eq i64 %rs, 1");
    let lanes = v.lanes;
    f.line(format_args!("%squares = and i64 %k, {}", -(lanes as i64)));
    f.for_loop("%begin", "%end", 1, |f, j| {
        let first = f.int("mul nsw", j, width);
        let offset = f.int("mul nsw", &first, "%k");
        let panel = f.at("float", "%out", offset);
        for q in 0..spec.tile.vectors {
            let column = f.int("add nsw", &first, q * lanes);
            let panel = f.at("float", &panel, q * lanes);
            let offset = f.int("mul nsw", &column, "%cs");
            let from = f.at("float", "%b", offset);
            let left = f.int("sub nsw", "%n", &column);
            let full = f.value(format_args!("icmp sge i64 {left}, {lanes}"));
            let [copy, other, square, single, done] =
                ["copy", "other", "square", "single", "packed"].map(|stem| f.label(stem));
            // Vectors beyond the last column are masked away, at an address that is not read.
            f.branch("%together", &copy, &other);
            f.begin(&copy);
            copy_rows(f, v, width, &from, &panel, &left);
            f.jump(&done);
            f.begin(&other);
            let squares = f.value(format_args!("and i1 %upright, {full}"));
            f.branch(&squares, &square, &single);
            f.begin(&square);
            f.for_loop("0", "%squares", lanes, |f, k| {
                transpose(f, v, width, &from, &panel, k);
            });
            singles(f, lanes, width, &from, &panel, "%squares", &left);
            f.jump(&done);
            f.begin(&single);
            singles(f, lanes, width, &from, &panel, "0", &left);
            f.jump(&done);
            f.begin(&done);
        }
    });
    f.line("ret void");
    let mut module = Module::new();
    module.add(f);
    module.text()
}

/// Copies one vector of every row.
fn copy_rows(f: &mut Function, v: FloatVector, width: usize, from: &str, panel: &str, left: &str) {
    let full = f.value(format_args!("icmp sge i64 {left}, {}", v.lanes));
    let [whole, part, done] = ["whole", "part", "copied"].map(|stem| f.label(stem));
    f.branch(&full, &whole, &part);
    for (block, masked) in [(whole, false), (part, true)] {
        f.begin(&block);
        let mask = if masked { v.first_lanes(f, left) } else { String::new() };
        f.for_loop("0", "%k", 1, |f, k| {
            let offset = f.int("mul nsw", k, "%rs");
            let source = f.at("float", from, offset);
            let x = match masked {
                true => v.masked_load(f, &source, &mask),
                false => v.load(f, &source),
            };
            let offset = f.int("mul nsw", k, width);
            let to = f.at("float", panel, offset);
            v.store(f, &x, &to);
        });
        f.jump(&done);
    }
    f.begin(&done);
}

/// Transposes as many rows and columns as a vector has lanes, from row `k` on.
fn transpose(f: &mut Function, v: FloatVector, width: usize, from: &str, panel: &str, k: &str) {
    let (lanes, ty) = (v.lanes, v.ty());
    let mut rows = Vec::new();
    let mut column = f.at("float", from, k);
    for i in 0..lanes {
        if i > 0 {
            column = f.at("float", &column, "%cs");
        }
        rows.push(v.load(f, &column));
    }
    // Swap the halves of blocks that are off the diagonal, for blocks of half the size each time.
    let mut block = lanes / 2;
    while block > 0 {
        for i in (0..lanes).filter(|i| i & block == 0) {
            let pick = |upper: bool| -> String {
                let lane = |l: usize| match (upper, l & block == 0) {
                    (false, true) => l,
                    (false, false) => lanes + l - block,
                    (true, true) => l + block,
                    (true, false) => lanes + l,
                };
                let picks: Vec<String> = (0..lanes).map(|l| format!("i32 {}", lane(l))).collect();
                picks.join(", ")
            };
            let (a, b) = (rows[i].clone(), rows[i + block].clone());
            for (to, picks) in [(i, pick(false)), (i + block, pick(true))] {
                rows[to] = f.value(format_args!(
                    "shufflevector {ty} {a}, {ty} {b}, <{lanes} x i32> <{picks}>"
                ));
            }
        }
        block /= 2;
    }
    let offset = f.int("mul nsw", k, width);
    let to = f.at("float", panel, offset);
    for (i, row) in rows.iter().enumerate() {
        let to = f.at("float", &to, i * width);
        v.store(f, row, &to);
    }
}

/// Packs rows from `begin` on float by float; columns that do not exist become zero.
fn singles(
    f: &mut Function,
    lanes: usize,
    width: usize,
    from: &str,
    panel: &str,
    begin: &str,
    left: &str,
) {
    f.for_loop(begin, "%k", 1, |f, k| {
        let row = f.int("mul nsw", k, "%rs");
        let source = f.at("float", from, row);
        let offset = f.int("mul nsw", k, width);
        let to = f.at("float", panel, offset);
        f.for_loop("0", lanes, 1, |f, c| {
            let exists = f.value(format_args!("icmp slt i64 {c}, {left}"));
            let (load, store) = (f.label("exists"), f.label("filled"));
            let before = f.block().to_string();
            f.branch(&exists, &load, &store);
            f.begin(&load);
            let offset = f.int("mul nsw", c, "%cs");
            let address = f.at("float", &source, offset);
            let x = f.value(format_args!("load float, ptr {address}, align {READ_ALIGN}"));
            f.jump(&store);
            f.begin(&store);
            let x = f.value(format_args!("phi float [ 0.0, %{before} ], [ {x}, %{load} ]"));
            let to = f.at("float", &to, c);
            f.line(format_args!("store float {x}, ptr {to}, align 4"));
        });
    });
}
