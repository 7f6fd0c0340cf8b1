//! Attention, and what is like it: a product, a kernel that does something with its rows, and a
//! product of these rows. They are done in blocks of rows, so that what lies between them stays in
//! the cache of the thread that makes it, and takes no memory of the run.
//!
//! The rows of a block are complete, so that the softmax of a row is the usual one; blocks of keys
//! with running maxima (T. Dao et al., "FlashAttention", 2022) are not needed where a cache holds
//! a few rows.

use std::ffi::c_void;

use airconv_ir::dim::{Dim, Range};
use airconv_kernel::ir::{Access, BufferId, Expr, Kernel, Launch, Param, Program, Step, Stmt, Var};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::{Chain, LaunchError};
use rustc_hash::FxHashMap;

use super::constants::Constants;
use super::find::{Axis, Product, find};
use super::plan::Plan;
use super::run::{Compiled, Given, MOST_BATCH, Planned, Shared, with_scratch};
use crate::kernel::Context;
use crate::micro::packed_len;
use crate::nest::sums_rows;
use crate::pool::{ChunkFn, Pool};

/// Bytes of what lies between the kernels, for one block.
pub(crate) const BETWEEN: i64 = 512 << 10;

/// Bytes that stay in the cache of a core from one kernel to the next.
const CACHE: i64 = 2 << 20;

/// The least rows of a block, if there are as many.
pub(crate) const LEAST_ROWS: i64 = 24;

/// Three launches in a row of a program, of known sizes, that could be done in blocks of rows, with
/// so much in between that blocks of rows are worth more than tiles, which are faster than vectors
/// but not than memory.
pub(crate) struct Joinable<'p> {
    /// The position of the first one among all launches.
    pub(crate) position: usize,
    pub(crate) launches: [&'p Launch; 3],
    /// As in [`Chain`].
    pub(crate) links: [(usize, usize); 2],
}

/// For each kernel of a program whether it is one of the products of a [`Joinable`]. `constants`
/// says for each kernel which of its parameters are constants.
pub(crate) fn in_chains(program: &Program, constants: &[Vec<bool>]) -> Vec<bool> {
    let mut found = vec![false; program.kernels.len()];
    for Joinable { launches: [first, _, second], .. } in joinable(program, constants) {
        found[first.kernel.0 as usize] = true;
        found[second.kernel.0 as usize] = true;
    }
    found
}

/// The launches that could be done together; see [`in_chains`].
pub(crate) fn joinable<'p>(program: &'p Program, constants: &[Vec<bool>]) -> Vec<Joinable<'p>> {
    let mut memory: Vec<BufferId> = (0..program.buffers.len() as u32).map(BufferId).collect();
    let mut launches: Vec<&Launch> = Vec::new();
    for step in &program.steps {
        match step {
            Step::Launch(l) => launches.push(l),
            Step::Alias { to, from } => memory[to.0 as usize] = memory[from.0 as usize],
            // Such programs run step by step, without chains.
            Step::Bind(_) | Step::Host(_) | Step::If { .. } | Step::Loop(_) => return Vec::new(),
            Step::BindShape(_) | Step::Fit(_) | Step::Assert { .. } | Step::Free(_) => {}
        }
    }
    let memory = |b: &BufferId| memory[b.0 as usize];
    // How often each memory is looked at or written.
    let mut uses = vec![0u32; program.buffers.len()];
    let mentioned = launches.iter().flat_map(|l| &l.buffers);
    for b in mentioned.chain(program.outputs.iter().map(|(_, b)| b)) {
        uses[memory(b).0 as usize] += 1;
    }
    let kernel = |l: &Launch| program.kernel(l.kernel);
    // The value that one launch makes, if it makes no other and only the next one reads it.
    let link = |from: &Launch, to: &Launch| {
        let written = |(_, p): &(usize, &Param)| p.access != Access::Read;
        let mut made = kernel(from).params.iter().enumerate().filter(written);
        let (Some((i, _)), None) = (made.next(), made.next()) else { return None };
        let value = memory(from.buffers.get(i)?);
        let j = to.buffers.iter().position(|b| memory(b) == value)?;
        let alone = uses[value.0 as usize] == 2 && kernel(to).params[j].access == Access::Read;
        alone.then_some((i, j))
    };
    let mut found = Vec::new();
    for (position, chain) in launches.windows(3).enumerate() {
        let &[first, middle, second] = chain else { continue };
        let [Some(a), Some(b)] = [find(kernel(first)), find(kernel(second))] else { continue };
        let count =
            |axes: &[Axis]| axes.iter().try_fold(1i64, |n, a| n.checked_mul(a.extent.as_known()?));
        let size = [&a.batch, &a.rows, &a.columns].map(|axes| count(axes));
        let between = size.iter().try_fold(8i64, |n, s| n.checked_mul((*s)?));
        let is_constant = |l: &Launch, param: u32| constants[l.kernel.0 as usize][param as usize];
        let [Some(made), Some(kept)] = [link(first, middle), link(middle, second)] else {
            continue;
        };
        if between.is_some_and(|n| n > CACHE)
            && !is_constant(first, a.right.param)
            && !is_constant(second, b.right.param)
            && sums_rows(kernel(middle))
            && (made.0, kept.1) == (a.out.param as usize, b.left.param as usize)
        {
            let launches = [first, middle, second];
            found.push(Joinable { position, launches, links: [made, kept] });
        }
    }
    found
}

/// The kernel in the middle.
pub(crate) struct Middle<'k> {
    /// As it was emitted; its grid is what the function takes a part of.
    pub(crate) kernel: &'k Kernel,
    /// Its code.
    pub(crate) function: ChunkFn,
}

/// A chain whose form allows blocks.
pub(crate) struct Attention<'c> {
    first: &'c Compiled,
    middle: Middle<'c>,
    second: &'c Compiled,
    plans: [std::sync::Arc<Planned>; 2],
}

/// Whether the products of a batch follow each other in memory, each `size` elements.
fn in_order(plan: &Plan, step: impl Fn(usize) -> i64, size: i64) -> bool {
    let mut expected = size;
    plan.batch.iter().enumerate().rev().all(|(i, b)| {
        let good = b.extent == 1 || step(i) == expected;
        expected *= b.extent;
        good
    })
}

/// A product of a chain at its sizes.
#[derive(Clone, Copy)]
pub(crate) struct Part<'k> {
    pub(crate) kernel: &'k Kernel,
    pub(crate) product: &'k Product,
    pub(crate) plan: &'k Plan,
}

/// Whether a kernel takes the rows of one product and makes the rows of another one, each from its
/// own and in their order.
pub(crate) fn follow(
    [first, second]: [Part<'_>; 2],
    middle: &Kernel,
    [(made, read), (kept, used)]: [(usize, usize); 2],
) -> bool {
    let (a, b) = (first.plan, second.plan);
    let Some(rows) = a.m.checked_mul(a.batches) else { return false };
    a.m > 1
        && [a.n, b.n, a.batches].into_iter().all(|n| n > 0)
        && (b.m, b.batches, b.k) == (a.m, a.batches, a.n)
        // The first product makes rows that follow each other ...
        && first.product.out.param as usize == made
        && (a.out, a.out_rows) == (0, a.n)
        && in_order(a, |i| a.batch[i].out, a.m * a.n)
        && loads(first.kernel, made as u32) == 0
        // ... and the second one takes such rows, and nothing else of them.
        && second.product.left.param as usize == used
        && (b.left.base, b.left_rows) == (0, Some(b.k))
        && in_order(b, |i| b.batch[i].left, b.m * b.k)
        && loads(second.kernel, used as u32) == 1
        && keeps_rows(middle, read as u32, (rows, a.n))
        && keeps_rows(middle, kept as u32, (rows, a.n))
}

impl<'c> Attention<'c> {
    /// A chain of these kernels; `None` when a size is not known.
    pub(crate) fn new(
        (first, middle, second): (&'c Compiled, Middle<'c>, &'c Compiled),
        chain: &Chain<'_>,
    ) -> Option<Attention<'c>> {
        let plans = [first.plan(chain.sizes[0])?, second.plan(chain.sizes[2])?];
        Some(Attention { first, middle, second, plans })
    }

    /// Whether the chain can be done in blocks of rows, and nothing speaks against it.
    pub(crate) fn fits(&self, chain: &Chain<'_>, constants: &Constants) -> bool {
        let Attention { first, middle, second, plans } = self;
        let [a, b] = [&*plans[0], &*plans[1]];
        let is_constant = |which: usize, c: &Compiled| {
            constants.is_constant(chain.launches[which].buffers[c.product.right.param as usize])
        };
        let simple = |which: usize, c: &Compiled, plan: &Plan| {
            c.is_even()
                && c.on_tiles(plan, chain.launches[which], constants).is_none()
                && !is_constant(which, c)
        };
        let part = |c: &'c Compiled, plan| Part { kernel: &c.kernel, product: &c.product, plan };
        simple(0, first, a)
            && simple(2, second, b)
            && follow([part(first, a), part(second, b)], middle.kernel, chain.links)
    }

    /// How many rows are done at once by so many threads.
    fn block(&self, threads: i64) -> i64 {
        let plan = &self.plans[0];
        let tile = self.first.tile_rows();
        let room = (BETWEEN / 8 / plan.n).max(LEAST_ROWS);
        // A few blocks for each thread.
        let parts = (2 * threads + plan.batches - 1) / plan.batches;
        let shared = if threads > 1 { (plan.m + parts - 1) / parts } else { plan.m };
        let rows = room.min(shared.max(LEAST_ROWS));
        ((rows + tile - 1) / tile * tile).min(plan.m)
    }

    /// In words.
    pub(crate) fn explain(&self, threads: usize) -> String {
        let rows = self.block(threads as i64);
        let bytes = 8 * rows * self.plans[0].n;
        format!(
            "with the next two kernels in blocks of {rows} rows; what lies between takes {} KiB \
             for each thread",
            (bytes + 1023) / 1024
        )
    }

    /// Runs the chain.
    ///
    /// # Errors
    /// A failed check.
    pub(crate) fn run(
        &self,
        chain: &Chain<'_>,
        memories: [&[Mem]; 3],
        constants: &Constants,
        pool: &Pool,
    ) -> Result<(), LaunchError> {
        let [(_, read), (kept, _)] = chain.links;
        let [a, b] = &self.plans;
        let pointers =
            memories.map(|m| m.iter().map(|m| m.ptr.cast()).collect::<Vec<*mut c_void>>());
        let [p0, p1, p2] = pointers;
        let given = |which: usize, pointers| Given {
            launch: chain.launches[which],
            buffers: memories[which],
            pointers,
            sizes: chain.sizes[which],
            constants,
            pool,
        };
        let (given_a, given_b) = (given(0, p0), given(2, p2));
        let base =
            |which: usize, param: u32| Shared(memories[which][param as usize].ptr.cast::<f32>());
        let left = base(0, self.first.product.left.param);
        let (packed_left, left_rows) = self.first.left(a, &given_a);
        let (keys, values) =
            (base(0, self.first.product.right.param), base(2, self.second.product.right.param));
        let out = base(2, self.second.product.out.param);
        let (m, n) = (a.m, a.n);
        let rows = self.block(pool.threads() as i64);
        let parts = (m + rows - 1) / rows;
        let room = |c: &Compiled, plan: &Plan| {
            packed_len(plan.k as usize, plan.n as usize, c.tile_columns()).next_multiple_of(16)
        };
        let (keys_room, values_room) = (room(self.first, a), room(self.second, b));
        let between = ((rows * n) as usize + 16).next_multiple_of(16);
        let middle = Shared(p1.as_ptr().cast_mut());
        let count = p1.len();
        let sizes = Shared(chain.sizes[1].as_ptr().cast_mut());
        let mut status = 0i32;
        let state = Shared(&raw mut status);
        // The blocks of one product together where there are enough of them, as each time its right
        // operands are packed anew.
        let many = a.batches >= 2 * pool.threads() as i64;
        let grain = if many { parts } else { 1 };
        pool.for_each((a.batches * parts) as u64, grain as u64, |begin, end| {
            with_scratch(keys_room + values_room + 2 * between, |scratch| {
                let at = |offset: usize| Shared(scratch).at(offset as i64);
                let (keys_packed, values_packed) = (at(0), at(keys_room));
                let blocks = [at(keys_room + values_room), at(keys_room + values_room + between)];
                // SAFETY: there are as many pointers.
                let mut pointers =
                    unsafe { std::slice::from_raw_parts(middle.at(0), count) }.to_vec();
                let mut packed = -1;
                for item in begin as i64..end as i64 {
                    let (batch, part) = (item / parts, item % parts);
                    let (here, there) = (a.at(batch), b.at(batch));
                    if packed != batch {
                        self.first.pack_all(a, keys.at(here.right), keys_packed);
                        self.second.pack_all(b, values.at(there.right), values_packed);
                        packed = batch;
                    }
                    let (m0, m1) = (part * rows, ((part + 1) * rows).min(m));
                    // Where all rows would begin, so that those of this block are in its memory.
                    let first_row = batch * m + m0;
                    let whole = blocks.map(|b| Shared(b).at(-first_row * n));
                    let query = match &packed_left {
                        Some(packed) => packed.first.at(here.left_matrix * packed.matrix),
                        None => left.at(here.left),
                    };
                    let args = args_of(&given_a, state.at(0), &here.counters);
                    self.first.multiply(
                        a,
                        &here,
                        (query.cast_const(), left_rows),
                        keys_packed,
                        Shared(whole[0]).at(here.out),
                        (m0, m1),
                        (0, n),
                        &args,
                    );
                    pointers[read] = whole[0].cast();
                    pointers[kept] = whole[1].cast();
                    let mut context = Context {
                        buffers: pointers.as_ptr(),
                        sizes: sizes.at(0),
                        status: state.at(0),
                    };
                    let (row, last) = (first_row as u64, (batch * m + m1) as u64);
                    // SAFETY: these rows of the grid read and write rows of the two blocks.
                    unsafe { (self.middle.function)((&raw mut context).cast(), row, last) };
                    let args = args_of(&given_b, state.at(0), &there.counters);
                    self.second.multiply(
                        b,
                        &there,
                        (Shared(whole[1]).at(there.left).cast_const(), n),
                        values_packed,
                        out.at(there.out),
                        (m0, m1),
                        (0, b.n),
                        &args,
                    );
                }
            });
        });
        match status {
            0 => Ok(()),
            code => Err(LaunchError::Check((code - 1) as u32)),
        }
    }
}

/// What an epilogue gets.
fn args_of(given: &Given<'_>, status: *mut i32, counters: &[u64]) -> [u64; MOST_BATCH + 3] {
    let mut args = [0u64; MOST_BATCH + 3];
    args[0] = given.pointers.as_ptr() as u64;
    args[1] = given.sizes.as_ptr() as u64;
    args[2] = status as u64;
    args[3..].copy_from_slice(counters);
    args
}

/// How many expressions load from a parameter.
fn loads(kernel: &Kernel, param: u32) -> usize {
    let is_load = |e: &&Expr| matches!(e, Expr::Load { param: p, .. } if *p == param);
    kernel.exprs.iter().filter(is_load).count()
}

/// Whether the grid of a kernel is that many rows, and each touches of a parameter only its own
/// row of that many elements.
fn keeps_rows(kernel: &Kernel, param: u32, (rows, length): (i64, i64)) -> bool {
    let Some((row, extent, body)) = kernel.grid() else { return false };
    if extent.as_known() != Some(rows) {
        return false;
    }
    let mut found = Accesses { param, ..Accesses::default() };
    found.statements(body);
    for expr in &kernel.exprs {
        match expr {
            Expr::Load { param: p, at } if *p == param => found.at.push(at),
            Expr::Reduce { axes, .. } => found.extents.extend(axes.iter().map(|(v, n)| (*v, n))),
            _ => {}
        }
    }
    let range = |v: Var| match found.extents.get(&v).and_then(|n| n.as_known()) {
        Some(n) => Range::new(Some(0), Some(n - 1)),
        None => Range::new(None, None),
    };
    !found.at.is_empty()
        && found.at.iter().all(|at| {
            let within = at.substitute(&mut |v| (v == row).then_some(Dim::Known(0)));
            let whole = &(&Dim::symbol(row) * &Dim::Known(length)) + &within;
            let reach = within.range(&range);
            whole == **at
                && reach.min.is_some_and(|x| x >= 0)
                && reach.max.is_some_and(|x| x < length)
        })
}

/// Where statements touch a parameter, and how far their counters go.
#[derive(Default)]
struct Accesses<'k> {
    param: u32,
    at: Vec<&'k Dim>,
    extents: FxHashMap<Var, &'k Dim>,
}

impl<'k> Accesses<'k> {
    fn statements(&mut self, body: &'k [Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, body, .. } => {
                    self.extents.insert(*var, extent);
                    self.statements(body);
                }
                Stmt::Store { param, at, .. } if *param == self.param => self.at.push(at),
                Stmt::Store { .. } | Stmt::Set { .. } => {}
                Stmt::If { then, otherwise, .. } => {
                    self.statements(then);
                    self.statements(otherwise);
                }
                Stmt::While { body, .. } => self.statements(body),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use airconv_ir::dtype::DType;
    use airconv_kernel::ir::{Buffer, BufferKind, KernelId};
    use airconv_kernel::text::parse;

    use super::*;

    /// A matrix product of these rows, columns and sums.
    fn product(m: i64, n: i64, k: i64) -> Kernel {
        let text = format!(
            "kernel \"product\" {{\n  param p0 = read f32\n  param p1 = read f32\n  \
             param p2 = write f32\n  sizes 0\n  var v0 = counter\n  var v1 = counter\n  \
             var v2 = counter\n  e0 = load p0 [{k}*v0 + v2] : f32\n  \
             e1 = load p1 [{n}*v2 + v1] : f32\n  e2 = mul e0 e1 : f32\n  \
             e3 = reduce sum [v2 < {k}] e2 : f32\n  independent v0 < [{m}] {{\n    \
             independent v1 < [{n}] {{\n      p2 [{n}*v0 + v1] = e3\n    }}\n  }}\n}}\n"
        );
        parse(&text).unwrap()
    }

    /// The rows of a square matrix less their greatest elements.
    fn rows(n: i64) -> Kernel {
        let text = format!(
            "kernel \"rows\" {{\n  param p0 = read f32\n  param p1 = write f32\n  sizes 0\n  \
             var v0 = counter\n  var v1 = counter\n  var v2 = counter\n  \
             e0 = load p0 [{n}*v0 + v1] : f32\n  e1 = load p0 [{n}*v0 + v2] : f32\n  \
             e2 = reduce max [v2 < {n}] e1 : f32\n  e3 = sub e0 e2 : f32\n  \
             independent v0 < [{n}] {{\n    independent v1 < [{n}] {{\n      \
             p1 [{n}*v0 + v1] = e3\n    }}\n  }}\n}}\n"
        );
        parse(&text).unwrap()
    }

    /// Two products of `n` rows with the rows of the first in between.
    fn program(n: i64) -> Program {
        let buffer = || Buffer {
            dtype: Some(DType::F32),
            shape: vec![Dim::Known(1)],
            kind: BufferKind::Temporary,
        };
        let launch = |kernel: u32, buffers: &[u32]| {
            Step::Launch(Launch {
                kernel: KernelId(kernel),
                buffers: buffers.iter().map(|&b| BufferId(b)).collect(),
                sizes: Vec::new(),
            })
        };
        Program {
            buffers: (0..6).map(|_| buffer()).collect(),
            kernels: vec![product(n, n, 16), rows(n), product(n, 16, n)],
            steps: vec![launch(0, &[0, 1, 2]), launch(1, &[2, 3]), launch(2, &[3, 4, 5])],
            outputs: vec![("y".to_owned(), BufferId(5))],
            ..Program::default()
        }
    }

    #[test]
    fn only_what_can_be_chained_goes_without_tiles() {
        let none = vec![vec![false; 3], vec![false; 2], vec![false; 3]];
        assert_eq!(in_chains(&program(1024), &none), [true, false, true]);
        // Little lies between.
        assert_eq!(in_chains(&program(128), &none), [false; 3]);
        // Weights: layers with a normalization between.
        for kernel in [0, 2] {
            let mut constants = none.clone();
            constants[kernel][1] = true;
            assert_eq!(in_chains(&program(1024), &constants), [false; 3]);
        }
        // Somebody else looks at what lies between.
        let mut shows = program(1024);
        shows.outputs.push(("p".to_owned(), BufferId(3)));
        assert_eq!(in_chains(&shows, &none), [false; 3]);
    }

    #[test]
    fn rows_are_told_from_columns() {
        assert!(keeps_rows(&rows(64), 0, (64, 64)) && keeps_rows(&rows(64), 1, (64, 64)));
        // Other counts, and a product, whose right operand is read as a whole.
        assert!(!keeps_rows(&rows(64), 0, (64, 32)) && !keeps_rows(&rows(64), 0, (32, 64)));
        assert!(keeps_rows(&product(64, 64, 64), 0, (64, 64)));
        assert!(!keeps_rows(&product(64, 64, 64), 1, (64, 64)));
    }
}
