//! Products of bytes on AMX tiles, from the panels that VNNI reads.

use super::{GROUP, WholeTile};
use crate::emit::{Function, Module};
use crate::micro::amx::shapes;
use crate::target::Isa;

/// Rows of a tile.
pub const ROWS: usize = 16;
/// Bytes of K of a tile.
pub const CHUNK: usize = 64;

/// Tiles of the left and of the right operand; those before hold sums.
const LEFT: usize = 4;
const RIGHT: usize = 6;

/// The emitted function: the sums of one tile of rows (`which` is 0) or two (1), and the columns
/// of a panel over `chunks` chunks of K. Rows of the left operand are `lda` bytes apart; `sums`
/// gets the sums of all rows of the tiles.
pub type TileFn = unsafe extern "C" fn(
    which: i64,
    a: *const u8,
    lda: i64,
    b: *const u8,
    chunks: i64,
    sums: *mut i32,
);

/// Names of the functions of [`tiles_module`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileNames {
    /// A [`TileFn`].
    pub multiply: String,
    /// Makes the tiles of this thread ready; without arguments.
    pub begin: String,
    /// Gives them back; without arguments.
    pub end: String,
}

impl TileNames {
    /// Those for panels of a tile of registers.
    pub fn new(tile: WholeTile) -> TileNames {
        let name = format!("whole_tiles_{}", tile.columns());
        TileNames { begin: format!("{name}_begin"), end: format!("{name}_end"), multiply: name }
    }
}

/// The IR text of products on tiles for panels of a tile of registers of [`Isa::Amx`].
pub fn tiles_module(tile: WholeTile) -> String {
    debug_assert_eq!(tile.lanes, Isa::Amx.f32_lanes());
    let names = TileNames::new(tile);
    let mut module = Module::new();
    let parameters = "ptr noalias %a, i64 %lda, ptr noalias %b, i64 %chunks, ptr noalias %sums";
    let mut f = Function::new(format_args!(
        "define void @{}(i64 %which, {parameters}) nounwind",
        names.multiply
    ));
    f.line("%two = icmp ne i64 %which, 0");
    f.branch("%two", "tall", "low");
    for (label, rows) in [("low", 1), ("tall", 2)] {
        let inner = format!("{}_{rows}", names.multiply);
        module.add(kernel(&inner, parameters, tile, rows));
        f.begin(label);
        f.line(format_args!(
            "tail call void @{inner}(ptr %a, i64 %lda, ptr %b, i64 %chunks, ptr %sums)"
        ));
        f.line("ret void");
    }
    module.add(f);
    module.add(begin(&names.begin));
    let mut f = Function::new(format_args!("define void @{}() nounwind", names.end));
    f.declare("void @llvm.x86.tilerelease()");
    f.line("call void @llvm.x86.tilerelease()");
    f.line("ret void");
    module.add(f);
    module.text()
}

/// The function that says what tiles are: all of 16 rows of 64 bytes.
fn begin(name: &str) -> Function {
    let mut f = Function::new(format_args!("define void @{name}() nounwind"));
    f.declare("void @llvm.x86.ldtilecfg(ptr)");
    f.line("%shapes = alloca <64 x i8>, align 64");
    f.line(format_args!("store {}, ptr %shapes, align 64", shapes()));
    f.line("call void @llvm.x86.ldtilecfg(ptr %shapes)");
    f.line("ret void");
    f
}

fn load(f: &mut Function, tile: usize, from: &str, stride: &str) {
    f.declare("void @llvm.x86.tileloadd64(i8 immarg, ptr, i64)");
    f.line(format_args!("call void @llvm.x86.tileloadd64(i8 {tile}, ptr {from}, i64 {stride})"));
}

/// The sums of `rows` tiles of rows.
fn kernel(name: &str, parameters: &str, tile: WholeTile, rows: usize) -> Function {
    let columns = tile.vectors;
    let line = (tile.columns() * GROUP).to_string();
    let mut f =
        Function::new(format_args!("define internal void @{name}({parameters}) nounwind noinline"));
    f.declare("void @llvm.x86.tilezero(i8 immarg)");
    f.declare("void @llvm.x86.tdpbusd(i8 immarg, i8 immarg, i8 immarg)");
    f.declare("void @llvm.x86.tilestored64(i8 immarg, ptr, i64)");
    let each = || (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c)));
    for (r, c) in each() {
        f.line(format_args!("call void @llvm.x86.tilezero(i8 {})", 2 * r + c));
    }
    let below = f.int("mul nsw", "%lda", ROWS);
    f.for_loop("0", "%chunks", 1, |f, i| {
        let offset = f.int("mul nsw", i, CHUNK);
        let mut left = f.at("i8", "%a", offset);
        for r in 0..rows {
            if r > 0 {
                left = f.at("i8", &left, &below);
            }
            load(f, LEFT + r, &left, "%lda");
        }
        let offset = f.int("mul nsw", i, CHUNK * tile.columns());
        let right = f.at("i8", "%b", offset);
        for c in 0..columns {
            let from = f.at("i8", &right, c * tile.lanes * GROUP);
            load(f, RIGHT + c, &from, &line);
        }
        for (r, c) in each() {
            f.line(format_args!(
                "call void @llvm.x86.tdpbusd(i8 {}, i8 {}, i8 {})",
                2 * r + c,
                LEFT + r,
                RIGHT + c
            ));
        }
    });
    for (r, c) in each() {
        let to = f.at("i32", "%sums", r * ROWS * tile.columns() + c * tile.lanes);
        f.line(format_args!(
            "call void @llvm.x86.tilestored64(i8 {}, ptr {to}, i64 {line})",
            2 * r + c
        ));
    }
    f.line("ret void");
    f
}
