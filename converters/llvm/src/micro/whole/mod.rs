//! Matrix products of bytes, exact in `i32`.
//!
//! Both operands lie in groups of four bytes along K: the left one row by row, a group of the right
//! one in one lane for each column. A step is one broadcast group of a row against a vector of
//! columns, and adds into `i32` ([`Dot`]):
//!
//! - where the machine has VNNI, a group is four bytes, unsigned on the left and signed on the
//!   right, and a step is one instruction (`vpdpbusd`, which does not saturate);
//! - elsewhere a group is two numbers of 16 bits, and a step is `pmaddwd` and an addition. The
//!   shorter `pmaddubsw` saturates, so that it is no choice;
//! - AMX tiles read the very panels of VNNI, 64 bytes of K at a time.
//!
//! Zero points are no part of the inner loops. With 16 bits they are taken away while operands are
//! packed; with bytes the sum over (a - p) (b - q) is that over a b, less p times the sum of the
//! column, less q times what is left of the sum of the row ([`FinishCall`]). All of it wraps as
//! `i32` does, so that the result is that of the definition whatever the size.

mod finish;
mod tiles;

pub use finish::{FinishCall, FinishFn, FinishSpec, finish_module};
pub use tiles::{CHUNK, ROWS as TILE_ROWS, TileFn, TileNames, tiles_module};

use crate::emit::{Function, Module, splat};
use crate::target::Isa;

/// How a step multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dot {
    /// Four bytes at once, unsigned times signed.
    Bytes,
    /// Two numbers of 16 bits at once.
    Words,
}

/// Bytes of a group.
pub const GROUP: usize = 4;

/// A tile of sums that a micro-kernel keeps in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WholeTile {
    /// How it multiplies.
    pub dot: Dot,
    /// Rows.
    pub rows: usize,
    /// Vector registers per row.
    pub vectors: usize,
    /// Sums per vector register.
    pub lanes: usize,
}

impl WholeTile {
    /// The tiles of a level, the widest one first; none where there are no kernels.
    pub fn table(isa: Isa) -> &'static [WholeTile] {
        const fn t(dot: Dot, rows: usize, vectors: usize, lanes: usize) -> WholeTile {
            WholeTile { dot, rows, vectors, lanes }
        }
        const VNNI: [WholeTile; 2] = [t(Dot::Bytes, 8, 2, 16), t(Dot::Bytes, 8, 1, 16)];
        const AVX512: [WholeTile; 2] = [t(Dot::Words, 8, 2, 16), t(Dot::Words, 8, 1, 16)];
        const AVX2: [WholeTile; 2] = [t(Dot::Words, 4, 2, 8), t(Dot::Words, 8, 1, 8)];
        const SSE: [WholeTile; 2] = [t(Dot::Words, 4, 2, 4), t(Dot::Words, 8, 1, 4)];
        match isa {
            Isa::Vnni | Isa::Amx => &VNNI,
            Isa::V4 => &AVX512,
            Isa::V3 => &AVX2,
            Isa::V2 => &SSE,
            Isa::Neon => &[],
        }
    }

    /// The tile for so many columns.
    pub fn choose(isa: Isa, columns: usize) -> Option<WholeTile> {
        let table = WholeTile::table(isa);
        let narrow = table.iter().find(|t| t.columns() >= columns && t.vectors == 1);
        narrow.or(table.first()).copied()
    }

    /// Columns: the width of a panel.
    pub fn columns(self) -> usize {
        self.vectors * self.lanes
    }

    /// For how many rows there are micro-kernels, the most first.
    pub fn heights(self) -> impl Iterator<Item = usize> {
        [8, 6, 4, 3, 2, 1].into_iter().filter(move |&r| r <= self.rows)
    }

    /// The name of its kernel.
    pub fn kernel_name(self, isa: Isa) -> String {
        format!("whole_{}x{}_{isa}", self.rows, self.columns())
    }
}

/// The emitted function: the sums of as many of `rows` rows as are done at once, the most of
/// [`WholeTile::heights`], and the columns of a panel over `count` groups. Gives how many rows that
/// are. Rows of the left operand are `lda` bytes apart; `sums` gets the sums row by row.
pub type KernelFn = unsafe extern "C" fn(
    rows: i64,
    a: *const u8,
    lda: i64,
    b: *const u8,
    count: i64,
    sums: *mut i32,
) -> i64;

/// The IR text of the micro-kernels of a tile, see [`KernelFn`].
pub fn kernel_module(isa: Isa, tile: WholeTile) -> String {
    let name = tile.kernel_name(isa);
    let mut module = Module::new();
    let mut f = Function::new(format_args!(
        "define i64 @{name}(i64 %rows, ptr noalias %a, i64 %lda, ptr noalias %b, i64 %count, \
         ptr noalias %sums) nounwind"
    ));
    for rows in tile.heights() {
        module.add(kernel(&name, tile, rows));
        let enough = f.value(format_args!("icmp sge i64 %rows, {rows}"));
        let (these, fewer) = (f.label("rows"), f.label("fewer"));
        f.branch(&enough, &these, &fewer);
        f.begin(&these);
        f.line(format_args!(
            "tail call void @{name}_rows{rows}(ptr %a, i64 %lda, ptr %b, i64 %count, ptr %sums)"
        ));
        f.line(format_args!("ret i64 {rows}"));
        f.begin(&fewer);
    }
    f.line("ret i64 0");
    module.add(f);
    module.text()
}

/// Steps per turn of the main loop.
const UNROLL: usize = 4;
/// Rows for each pointer: the others are at one and two times the step from it.
const SHARED: usize = 3;
/// Sums that have to be under way for steps not to wait for each other.
const CHAINS: usize = 8;

fn kernel(name: &str, tile: WholeTile, rows: usize) -> Function {
    let ty = format!("<{} x i32>", tile.lanes);
    let mut f = Function::new(format_args!(
        "define internal void @{name}_rows{rows}(ptr noalias %a, i64 %lda, ptr noalias %b, \
         i64 %count, ptr noalias %sums) nounwind noinline"
    ));
    f.line("%lda2 = shl nsw i64 %lda, 1");
    let group = f.int("mul nsw", "%lda", SHARED);
    let mut a = vec!["%a".to_owned()];
    for r in 1..rows.div_ceil(SHARED) {
        let before = a[r - 1].clone();
        a.push(f.at("i8", &before, &group));
    }
    let vectors = rows * tile.vectors;
    let sets = (CHAINS / vectors).clamp(1, UNROLL);
    let whole = f.int("and", "%count", -(UNROLL as i64));
    let start =
        State { a, b: "%b".to_owned(), sums: vec!["zeroinitializer".into(); vectors * sets] };
    let turns = Turns { tile, rows, ty: &ty };
    let mut now = turns.emit(&mut f, ("0", &whole), start, UNROLL);
    for set in 1..sets {
        for i in 0..vectors {
            let more = now.sums[set * vectors + i].clone();
            now.sums[i] = f.value(format_args!("add {ty} {}, {more}", now.sums[i]));
        }
    }
    now.sums.truncate(vectors);
    let end = turns.emit(&mut f, (&whole, "%count"), now, 1);
    for (i, sum) in end.sums.iter().enumerate() {
        let to = f.at("i32", "%sums", i * tile.lanes);
        f.line(format_args!("store {ty} {sum}, ptr {to}, align 4"));
    }
    f.line("ret void");
    f
}

/// What goes from turn to turn.
struct State {
    a: Vec<String>,
    b: String,
    sums: Vec<String>,
}

struct Turns<'t> {
    tile: WholeTile,
    rows: usize,
    ty: &'t str,
}

impl Turns<'_> {
    /// A loop over steps of a range, `unroll` of them in a turn; gives what is after it.
    fn emit(&self, f: &mut Function, range: (&str, &str), start: State, unroll: usize) -> State {
        let (head, inside, after) = (f.label("for"), f.label("do"), f.label("end"));
        let from = f.block().to_owned();
        f.jump(&head);
        f.begin(&head);
        let mut nexts = Vec::new();
        let mut phi = |f: &mut Function, ty: &str, start: &str| {
            let (now, next) = (f.name(), f.name());
            f.line(format_args!("{now} = phi {ty} [ {start}, %{from} ], [ {next}, %{inside} ]"));
            nexts.push(next);
            now
        };
        let k = phi(f, "i64", range.0);
        let a: Vec<String> = start.a.iter().map(|a| phi(f, "ptr", a)).collect();
        let b = phi(f, "ptr", &start.b);
        let sums: Vec<String> = start.sums.iter().map(|s| phi(f, self.ty, s)).collect();
        let more = f.value(format_args!("icmp slt i64 {k}, {}", range.1));
        f.branch(&more, &inside, &after);
        f.begin(&inside);
        let mut next_sums = sums.clone();
        for u in 0..unroll {
            self.step(f, (&a, &b), u, &mut next_sums);
        }
        let mut nexts = nexts.into_iter();
        let mut named = |f: &mut Function, value: std::fmt::Arguments<'_>| {
            if let Some(name) = nexts.next() {
                f.line(format_args!("{name} = {value}"));
            }
        };
        named(f, format_args!("add nsw i64 {k}, {unroll}"));
        for a in &a {
            named(f, format_args!("getelementptr inbounds i8, ptr {a}, i64 {}", unroll * GROUP));
        }
        let size = unroll * self.tile.columns() * GROUP;
        named(f, format_args!("getelementptr inbounds i8, ptr {b}, i64 {size}"));
        for sum in &next_sums {
            named(f, format_args!("bitcast {ty} {sum} to {ty}", ty = self.ty));
        }
        f.jump(&head);
        f.begin(&after);
        State { a, b, sums }
    }

    /// One step, the `u`-th of a turn.
    fn step(&self, f: &mut Function, (a, b): (&[String], &str), u: usize, sums: &mut [String]) {
        let WholeTile { dot, vectors, lanes, .. } = self.tile;
        let ty = self.ty;
        let count = self.rows * vectors;
        let set = u % (sums.len() / count) * count;
        let mut right = Vec::with_capacity(vectors);
        for q in 0..vectors {
            let from = f.at("i32", b, (u * vectors + q) * lanes);
            right.push(f.value(format_args!("load {ty}, ptr {from}, align 4")));
        }
        for r in 0..self.rows {
            let row = match r % SHARED {
                0 => a[r / SHARED].clone(),
                1 => f.at("i8", &a[r / SHARED], "%lda"),
                _ => f.at("i8", &a[r / SHARED], "%lda2"),
            };
            let from = f.at("i32", &row, u);
            let group = f.value(format_args!("load i32, ptr {from}, align 1"));
            let left = splat(f, lanes, "i32", &group);
            for (q, right) in right.iter().enumerate() {
                let i = set + r * vectors + q;
                sums[i] = multiply_add(f, dot, lanes, (&left, right), &sums[i]);
            }
        }
    }
}

/// Adds the products of the groups of each lane.
fn multiply_add(
    f: &mut Function,
    dot: Dot,
    lanes: usize,
    (left, right): (&str, &str),
    sum: &str,
) -> String {
    let ty = format!("<{lanes} x i32>");
    match dot {
        Dot::Bytes => {
            f.declare(format!("{ty} @llvm.x86.avx512.vpdpbusd.512({ty}, {ty}, {ty})"));
            f.value(format_args!(
                "call {ty} @llvm.x86.avx512.vpdpbusd.512({ty} {sum}, {ty} {left}, {ty} {right})"
            ))
        }
        Dot::Words => {
            let name = match lanes {
                16 => "llvm.x86.avx512.pmaddw.d.512",
                8 => "llvm.x86.avx2.pmadd.wd",
                _ => "llvm.x86.sse2.pmadd.wd",
            };
            let words = format!("<{} x i16>", 2 * lanes);
            f.declare(format!("{ty} @{name}({words}, {words})"));
            let [left, right] =
                [left, right].map(|x| f.value(format_args!("bitcast {ty} {x} to {words}")));
            let both = f.value(format_args!("call {ty} @{name}({words} {left}, {words} {right})"));
            f.value(format_args!("add {ty} {sum}, {both}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_into_registers() {
        for isa in Isa::ALL {
            for tile in WholeTile::table(isa) {
                assert_eq!(tile.lanes, isa.f32_lanes());
                let sums = tile.rows * tile.vectors;
                let others = tile.vectors + 1 + usize::from(tile.dot == Dot::Words);
                assert!(sums + others <= isa.vector_registers(), "{isa} {tile:?}");
                assert_eq!(tile.heights().next(), Some(tile.rows));
                assert_eq!(tile.heights().last(), Some(1));
            }
        }
    }

    #[test]
    fn few_columns_take_narrow_tiles() {
        let columns = |n| WholeTile::choose(Isa::Vnni, n).map(WholeTile::columns);
        assert_eq!([1, 16, 17, 1024].map(columns), [Some(16), Some(16), Some(32), Some(32)]);
        assert_eq!(WholeTile::choose(Isa::Neon, 64), None);
    }
}
