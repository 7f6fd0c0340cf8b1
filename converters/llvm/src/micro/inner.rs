//! The innermost loops of products: a tile of accumulators over steps of K.

use super::tile::Tile;
use crate::emit::{FloatVector, Function};

/// Rows of A for each pointer of [`Left::Strided`].
pub(super) const GROUP: usize = 3;

/// Where a micro-kernel finds its rows of A.
pub(super) enum Left {
    /// Evenly apart: one pointer for every few rows, which moves along; the others are at
    /// `%lda` and `%lda2` (twice as much) from it, which an address can hold.
    Strided(Vec<String>),
    /// Anywhere: one pointer for every row, and the step as the index.
    Anywhere(Vec<String>),
}

/// What the innermost loops are made of.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    pub(super) tile: Tile,
    pub(super) vector: FloatVector,
    /// Steps per turn of the main loop.
    pub(super) unroll: usize,
}

/// Cache lines of `%ahead` that the main loop prefetches in a turn.
pub(super) const LINES: usize = 2;
/// Floats of a cache line.
pub(super) const LINE: usize = 16;

/// Steps `begin..begin + count`; the pointers of A and B are those of step `begin` (of step zero
/// for rows that are anywhere).
pub(super) struct Steps<'a> {
    pub(super) rows: usize,
    pub(super) left: &'a Left,
    pub(super) b: &'a str,
    pub(super) begin: &'a str,
    pub(super) count: &'a str,
    /// What is needed soon and may not be in a near cache; any address will do.
    pub(super) ahead: &'a str,
}

/// One loop: its block, the block before, the one after.
struct Place<'a> {
    block: &'a str,
    from: &'a str,
    after: &'a str,
}

/// Values after a loop.
struct End {
    b: String,
    left: Left,
    sums: Vec<String>,
}

impl Inner {
    /// How many sets of sums there are for some rows: a few rows leave multiply-adds waiting for
    /// each other, so their sums are split.
    fn sets(&self, rows: usize) -> usize {
        (8 / (rows * self.tile.vectors)).clamp(1, self.unroll)
    }

    /// Emits the loops, which go on in a new block, and gives the pointer into B and the sums
    /// after the last step.
    pub(super) fn emit(
        &self,
        f: &mut Function,
        steps: &Steps<'_>,
        sums: &[String],
    ) -> (String, Vec<String>) {
        let ty = self.vector.ty();
        let Steps { rows, left, b, begin, count, ahead } = *steps;
        let from = f.block().to_string();
        let [main, rest, tail, after] = ["main", "rest", "tail", "after"].map(|stem| f.label(stem));
        let end = f.int("add nsw", begin, count);
        let whole = f.int("and", count, -(self.unroll as i64));
        let any = f.value(format_args!("icmp sgt i64 {whole}, 0"));
        let whole = f.int("add nsw", begin, whole);
        f.branch(&any, &main, &rest);

        let sets = self.sets(rows);
        let mut start = sums.to_vec();
        start.resize(sums.len() * sets, "zeroinitializer".into());
        let place = Place { block: &main, from: &from, after: &rest };
        let first = self.turns(f, &place, steps, &whole, &start, self.unroll);

        f.begin(&rest);
        let merge = |f: &mut Function, ty: &str, x: &str, y: &str| {
            f.value(format_args!("phi {ty} [ {x}, %{from} ], [ {y}, %{main} ]"))
        };
        let mut now = Vec::new();
        for (x, y) in start.iter().zip(&first.sums) {
            now.push(merge(f, &ty, x, y));
        }
        let done = merge(f, "i64", begin, &whole);
        let b_now = merge(f, "ptr", b, &first.b);
        let left_now = match (left, &first.left) {
            (Left::Strided(x), Left::Strided(y)) => {
                Left::Strided(x.iter().zip(y).map(|(x, y)| merge(f, "ptr", x, y)).collect())
            }
            (Left::Anywhere(x) | Left::Strided(x), _) => Left::Anywhere(x.clone()),
        };
        for set in 1..sets {
            for i in 0..sums.len() {
                let more = &now[set * sums.len() + i];
                now[i] = f.value(format_args!("fadd {ty} {}, {more}", now[i]));
            }
        }
        now.truncate(sums.len());
        let more = f.value(format_args!("icmp slt i64 {done}, {end}"));
        f.branch(&more, &tail, &after);

        let steps = Steps { rows, left: &left_now, b: &b_now, begin: &done, count, ahead };
        let place = Place { block: &tail, from: &rest, after: &after };
        let last = self.turns(f, &place, &steps, &end, &now, 1);
        f.begin(&after);
        let b = f.value(format_args!("phi ptr [ {b_now}, %{rest} ], [ {}, %{tail} ]", last.b));
        let sums = now
            .iter()
            .zip(&last.sums)
            .map(|(x, y)| f.value(format_args!("phi {ty} [ {x}, %{rest} ], [ {y}, %{tail} ]")))
            .collect();
        (b, sums)
    }

    /// One loop, of at least one turn of `unroll` steps.
    fn turns(
        &self,
        f: &mut Function,
        place: &Place<'_>,
        steps: &Steps<'_>,
        end: &str,
        sums: &[String],
        unroll: usize,
    ) -> End {
        let (tile, v) = (self.tile, self.vector);
        let (nv, lanes, width) = (tile.vectors, tile.lanes, tile.columns());
        let ty = v.ty();
        let Place { block, from, after } = *place;
        f.begin(block);
        let phi = |f: &mut Function, ty: &str, start: &str| {
            let (now, next) = (f.name(), f.name());
            f.line(format_args!("{now} = phi {ty} [ {start}, %{from} ], [ {next}, %{block} ]"));
            (now, next)
        };
        let (k, k_next) = phi(f, "i64", steps.begin);
        let (b, b_next) = phi(f, "ptr", steps.b);
        let pointers: Vec<(String, String)> = match steps.left {
            Left::Strided(a) => a.iter().map(|a| phi(f, "ptr", a)).collect(),
            Left::Anywhere(_) => Vec::new(),
        };
        let ahead = (unroll > 1).then(|| phi(f, "ptr", steps.ahead));
        let phis: Vec<(String, String)> = sums.iter().map(|x| phi(f, &ty, x)).collect();
        let mut now: Vec<String> = phis.iter().map(|(now, _)| now.clone()).collect();
        let rows: Vec<String> = match steps.left {
            Left::Strided(_) => (0..steps.rows)
                .map(|r| match r % GROUP {
                    0 => pointers[r / GROUP].0.clone(),
                    1 => f.at("float", &pointers[r / GROUP].0, "%lda"),
                    _ => f.at("float", &pointers[r / GROUP].0, "%lda2"),
                })
                .collect(),
            Left::Anywhere(a) => a.iter().map(|row| f.at("float", row, &k)).collect(),
        };
        let sets = if unroll == 1 { 1 } else { self.sets(steps.rows) };
        for u in 0..unroll {
            let set = u % sets * steps.rows * nv;
            let mut b_row = Vec::new();
            for q in 0..nv {
                let address = f.at("float", &b, u * width + q * lanes);
                b_row.push(v.load(f, &address));
            }
            for (r, row) in rows.iter().enumerate() {
                let address = f.at("float", row, u);
                let x = v.load_splat(f, &address);
                for (q, y) in b_row.iter().enumerate() {
                    let i = set + r * nv + q;
                    now[i] = v.fma(f, &x, y, &now[i]);
                }
            }
        }
        if let Some((now, next)) = &ahead {
            f.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)");
            for line in 0..LINES {
                let address = f.at("float", now, line * LINE);
                // To be read, into the second-level cache, as data.
                f.line(format_args!(
                    "call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 2, i32 1)"
                ));
            }
            f.line(format_args!("{next} = getelementptr float, ptr {now}, i64 {}", LINES * LINE));
        }
        // The last values get the names that the phis refer to.
        for (value, (_, next)) in now.iter().zip(&phis) {
            f.line(format_args!("{next} = bitcast {ty} {value} to {ty}"));
        }
        for (now, next) in &pointers {
            f.line(format_args!("{next} = getelementptr inbounds float, ptr {now}, i64 {unroll}"));
        }
        f.line(format_args!("{k_next} = add nsw i64 {k}, {unroll}"));
        f.line(format_args!(
            "{b_next} = getelementptr inbounds float, ptr {b}, i64 {}",
            unroll * width
        ));
        let again = f.value(format_args!("icmp slt i64 {k_next}, {end}"));
        f.branch(&again, block, after);
        let next = |pairs: Vec<(String, String)>| pairs.into_iter().map(|(_, next)| next).collect();
        End { b: b_next, left: Left::Strided(next(pointers)), sums: next(phis) }
    }
}
