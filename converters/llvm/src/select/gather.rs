//! Packing of a right operand whose elements lie at the sum of an offset of their row and one of
//! their column.
//!
//! Panels are those of [`crate::micro::pack_b`]. For each vector of columns a table says how
//! their offsets lie ([`Lie`]): together, in up to three runs (the end of one image row and the
//! beginning of the next), two apart (a stride of two), or anyhow; there is one loop over the
//! rows for each.

use crate::emit::{FloatVector, Function, Module, READ_ALIGN};
use crate::micro::Tile;
use crate::target::Isa;

/// How the columns of a vector lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Each one element after the one before.
    Together,
    /// In runs, the second one from this lane on and the third one from that lane on.
    Runs(usize, usize),
    /// Each two elements after the one before.
    Apart,
    /// Anyhow.
    Anyhow,
}

impl Lie {
    /// How these offsets lie.
    pub fn of(offsets: &[i32]) -> Lie {
        let lanes = offsets.len();
        let steps = |by: i32| offsets.windows(2).all(|w| w[1].wrapping_sub(w[0]) == by);
        if steps(1) {
            return Lie::Together;
        }
        if steps(2) {
            return Lie::Apart;
        }
        let breaks: Vec<usize> =
            (1..lanes).filter(|&i| offsets[i].wrapping_sub(offsets[i - 1]) != 1).collect();
        match breaks[..] {
            [a] => Lie::Runs(a, lanes),
            [a, b] => Lie::Runs(a, b),
            _ => Lie::Anyhow,
        }
    }

    /// The number that stands for it in a table.
    pub fn code(self) -> i32 {
        match self {
            Lie::Together => 0,
            Lie::Apart => 1,
            Lie::Anyhow => 2,
            Lie::Runs(a, b) => 3 | (a as i32) << 8 | (b as i32) << 16,
        }
    }
}

/// What is packed: the context of the emitted function.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GatherCall {
    /// The operand.
    pub b: *const f32,
    /// The panels.
    pub out: *mut f32,
    /// Offset of every row.
    pub rows: *const i64,
    /// Offset of every column, up to a whole number of panels.
    pub columns: *const i32,
    /// How each vector of columns lies.
    pub lies: *const i32,
    /// Rows.
    pub k: i64,
}

/// The name of the class for a tile.
pub fn gather_name(isa: Isa, tile: Tile) -> String {
    format!("gather_{}_{isa}", tile.columns())
}

/// The IR text of a class: one function of the shape that a pool calls, whose items are panels.
pub fn gather_module(isa: Isa, tile: Tile) -> String {
    let v = FloatVector::of(isa);
    let (width, lanes) = (tile.columns(), v.lanes);
    let mut f = Function::new(format_args!(
        "define void @{}(ptr noalias %call, i64 %begin, i64 %end) nounwind",
        gather_name(isa, tile)
    ));
    for (i, name) in ["b", "out", "rows", "columns", "lies", "k"].iter().enumerate() {
        let address = f.at("i64", "%call", i);
        let ty = if i < 5 { "ptr" } else { "i64" };
        f.line(format_args!("%{name} = load {ty}, ptr {address}, align 8"));
    }
    f.for_loop("%begin", "%end", 1, |f, panel| {
        let first = f.int("mul nsw", panel, width);
        let offset = f.int("mul nsw", &first, "%k");
        let out = f.at("float", "%out", offset);
        f.for_loop("0", tile.vectors, 1, |f, q| {
            let within = f.int("mul nsw", q, lanes);
            let out = f.at("float", &out, &within);
            let column = f.int("add nsw", &first, &within);
            let columns = f.at("i32", "%columns", &column);
            let vector = f.int("udiv", &column, lanes);
            let lie = f.at("i32", "%lies", &vector);
            let lie = f.value(format_args!("load i32, ptr {lie}, align 4"));
            let kind = f.value(format_args!("and i32 {lie}, 255"));
            let names = ["together", "apart", "anyhow", "runs", "packed"];
            let [together, apart, anyhow, runs, done] = names.map(|stem| f.label(stem));
            f.line(format_args!(
                "switch i32 {kind}, label %{anyhow} [ i32 0, label %{together} \
                 i32 1, label %{apart} i32 3, label %{runs} ]"
            ));
            let offset = |f: &mut Function, lane: &str| {
                let lane = f.at("i32", &columns, lane);
                let offset = f.value(format_args!("load i32, ptr {lane}, align 4"));
                f.value(format_args!("sext i32 {offset} to i64"))
            };
            f.begin(&together);
            let start = offset(f, "0");
            let base = f.at("float", "%b", &start);
            each_row(f, v, width, &base, &out, |f, from| v.load(f, from));
            f.jump(&done);

            f.begin(&apart);
            let start = offset(f, "0");
            let base = f.at("float", "%b", &start);
            each_row(f, v, width, &base, &out, |f, from| {
                // Nothing beyond the last lane is read.
                let low = v.load(f, from);
                let high = f.at("float", from, lanes - 1);
                let high = v.load(f, &high);
                let picks: Vec<String> = (0..lanes)
                    .map(|i| if i < lanes / 2 { 2 * i } else { lanes + 2 * i - lanes + 1 })
                    .map(|i| format!("i32 {i}"))
                    .collect();
                let ty = v.ty();
                f.value(format_args!(
                    "shufflevector {ty} {low}, {ty} {high}, <{lanes} x i32> <{}>",
                    picks.join(", ")
                ))
            });
            f.jump(&done);

            f.begin(&runs);
            runs_of(f, v, width, &lie, &offset, &out);
            f.jump(&done);

            f.begin(&anyhow);
            let all = f.value(format_args!("load <{lanes} x i32>, ptr {columns}, align 4"));
            let ty = v.ty();
            let mask = format!("<{}>", vec!["i1 true"; lanes].join(", "));
            f.declare(format!(
                "{ty} @llvm.masked.gather.v{lanes}f32.v{lanes}p0(<{lanes} x ptr>, i32, \
                 <{lanes} x i1>, {ty})"
            ));
            each_row(f, v, width, "%b", &out, |f, from| {
                let places =
                    f.value(format_args!("getelementptr float, ptr {from}, <{lanes} x i32> {all}"));
                f.value(format_args!(
                    "call {ty} @llvm.masked.gather.v{lanes}f32.v{lanes}p0(<{lanes} x ptr> \
                     {places}, i32 {READ_ALIGN}, <{lanes} x i1> {mask}, {ty} poison)"
                ))
            });
            f.jump(&done);
            f.begin(&done);
        });
    });
    f.line("ret void");
    let mut module = Module::new();
    module.add(f);
    module.text()
}

/// One vector of each row: what `load` makes from where the row begins.
fn each_row(
    f: &mut Function,
    v: FloatVector,
    width: usize,
    base: &str,
    out: &str,
    load: impl Fn(&mut Function, &str) -> String,
) {
    f.for_loop("0", "%k", 1, |f, k| {
        let row = f.at("i64", "%rows", k);
        let row = f.value(format_args!("load i64, ptr {row}, align 8"));
        let from = f.at("float", base, row);
        let x = load(f, &from);
        let to = f.int("mul nsw", k, width);
        let to = f.at("float", out, to);
        v.store(f, &x, &to);
    });
}

/// Vectors of columns in up to three runs.
fn runs_of(
    f: &mut Function,
    v: FloatVector,
    width: usize,
    lie: &str,
    offset: &impl Fn(&mut Function, &str) -> String,
    out: &str,
) {
    let lanes = v.lanes;
    let byte = |f: &mut Function, shift: usize| {
        let x = f.value(format_args!("lshr i32 {lie}, {shift}"));
        let x = f.value(format_args!("and i32 {x}, 255"));
        f.value(format_args!("zext i32 {x} to i64"))
    };
    let (second, third) = (byte(f, 8), byte(f, 16));
    let two = f.value(format_args!("icmp eq i64 {third}, {lanes}"));
    let last = f.value(format_args!("select i1 {two}, i64 {second}, i64 {third}"));
    let begins = [("0", "0".to_owned()), ("s", second.clone()), ("t", last)];
    let mut bases = Vec::new();
    for (_, lane) in &begins {
        let start = offset(f, lane);
        let start = f.int("sub nsw", &start, lane);
        bases.push(start);
    }
    let all = v.mask_ty();
    let below_second = v.first_lanes(f, &second);
    let below_third = v.first_lanes(f, &third);
    let ones = format!("<{}>", vec!["i1 true"; lanes].join(", "));
    let from_second = f.value(format_args!("xor {all} {below_second}, {ones}"));
    let middle = f.value(format_args!("and {all} {from_second}, {below_third}"));
    let end = f.value(format_args!("xor {all} {below_third}, {ones}"));
    let masks = [below_second, middle, end];
    each_row(f, v, width, "%b", out, |f, from| {
        let mut parts = Vec::new();
        for (base, mask) in bases.iter().zip(&masks) {
            let address = f.at("float", from, base);
            parts.push(v.masked_load(f, &address, mask));
        }
        let ty = v.ty();
        let x = f
            .value(format_args!("select {all} {}, {ty} {}, {ty} {}", masks[0], parts[0], parts[1]));
        f.value(format_args!("select {all} {}, {ty} {}, {ty} {x}", masks[2], parts[2]))
    });
}

#[cfg(test)]
mod tests {
    use super::Lie;

    #[test]
    fn lies() {
        assert_eq!(Lie::of(&[3, 4, 5, 6]), Lie::Together);
        assert_eq!(Lie::of(&[3, 5, 7, 9]), Lie::Apart);
        assert_eq!(Lie::of(&[3, 4, 9, 10]), Lie::Runs(2, 4));
        assert_eq!(Lie::of(&[3, 9, 10, 20]), Lie::Runs(1, 3));
        assert_eq!(Lie::of(&[3, 9, 19, 20]), Lie::Runs(1, 2));
        assert_eq!(Lie::of(&[0, 9, 19, 30]), Lie::Anyhow);
        assert_eq!(Lie::of(&[5, 4, 3, 2]), Lie::Anyhow);
    }
}
