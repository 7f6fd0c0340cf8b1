//! The threads that kernels run on.
//!
//! A run splits `n` items into chunks, and the chunks into one contiguous share for each thread.
//! A thread takes its own share first and then what is left of the others', so that repeated
//! runs find their data in the same core's cache, and a thread that comes late or not at all
//! holds nobody up. Workers spin a bounded time for the next run and then sleep. A run inside a
//! run, or beside another one, is done by its caller alone.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::float_mode::FlushGuard;

/// What a run calls for a range of items: context, first item, one past the last.
pub type ChunkFn = unsafe extern "C" fn(ctx: *mut c_void, begin: u64, end: u64);

/// How long a worker spins for the next run before it sleeps.
pub const DEFAULT_SPIN: Duration = Duration::from_micros(100);

/// How long a worker spins while a [`Session`] is open.
const SESSION_SPIN: Duration = Duration::from_millis(2);

/// The most chunks in the share of one thread: what fits into a slot.
const MOST_CHUNKS: u64 = 0xffff;

/// A value on cache lines of its own.
#[repr(align(128))]
struct Apart<T>(T);

/// One thread's share: the run's number in the upper half, and below it the next chunk and the
/// one past the last, 16 bits each. Chunks are taken by compare-and-swap of the whole, which
/// fails for a thread that has an older run in mind.
fn slot(run: u32, next: u64, end: u64) -> u64 {
    u64::from(run) << 32 | next << 16 | end
}

struct Shared {
    /// The number of the latest run; zero before the first.
    run: Apart<AtomicU32>,
    /// Items that are done.
    done: Apart<AtomicU64>,
    /// A run is in progress.
    busy: Apart<AtomicBool>,
    slots: Vec<Apart<AtomicU64>>,
    /// Which workers sleep, or are about to.
    asleep: Vec<Apart<AtomicBool>>,
    /// Open sessions.
    sessions: AtomicUsize,
    quit: AtomicBool,
    spin: Duration,
    // The run. Written while every slot is empty, before the run is published; read by threads
    // that then take a chunk, which proves that the run is still on.
    function: AtomicUsize,
    ctx: AtomicPtr<c_void>,
    items: AtomicU64,
    grain: AtomicU64,
}

/// Threads that wait for work. See the module's documentation.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller of a run included; never more than the processors
    /// that this process may use, and at least one. Zero asks for as many as there are.
    pub fn new(threads: usize) -> Pool {
        Pool::with_spin(threads, DEFAULT_SPIN)
    }

    /// The same with another time that workers spin before they sleep.
    pub fn with_spin(threads: usize, spin: Duration) -> Pool {
        let most = available();
        Pool::uncapped(if threads == 0 { most } else { threads.min(most) }, spin)
    }

    fn uncapped(threads: usize, spin: Duration) -> Pool {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            run: Apart(AtomicU32::new(0)),
            done: Apart(AtomicU64::new(0)),
            busy: Apart(AtomicBool::new(false)),
            slots: (0..threads).map(|_| Apart(AtomicU64::new(0))).collect(),
            asleep: (0..threads).map(|_| Apart(AtomicBool::new(false))).collect(),
            sessions: AtomicUsize::new(0),
            quit: AtomicBool::new(false),
            spin,
            function: AtomicUsize::new(0),
            ctx: AtomicPtr::new(std::ptr::null_mut()),
            items: AtomicU64::new(0),
            grain: AtomicU64::new(1),
        });
        // Where the system refuses a thread, the pool has fewer.
        let workers = (1..threads)
            .map_while(|me| {
                let shared = shared.clone();
                let builder = std::thread::Builder::new().name(format!("airconv-{me}"));
                builder.spawn(move || shared.work(me)).ok()
            })
            .collect();
        Pool { shared, workers }
    }

    /// How many threads a run may use.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(ctx, i, i + 1)` for every `i` below `n_chunks`, each once, on the threads of the
    /// pool, and returns when all are done.
    ///
    /// # Safety
    /// `f` may be called so from any thread, in any order and at the same time, and neither
    /// unwinds nor changes the floating-point mode for good.
    pub unsafe fn run(&self, n_chunks: u64, f: ChunkFn, ctx: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { self.parallel_for(n_chunks, 1, f, ctx) }
    }

    /// Calls `f` for ranges that together are `0..n`, of `grain` items each but for the last
    /// one and for runs of very many chunks. All threads flush subnormal numbers meanwhile.
    ///
    /// # Safety
    /// As for [`Pool::run`].
    pub unsafe fn parallel_for(&self, n: u64, grain: u64, f: ChunkFn, ctx: *mut c_void) {
        if n == 0 {
            return;
        }
        let _mode = FlushGuard::new();
        let grain = grain.max(1).max(n.div_ceil(MOST_CHUNKS));
        let chunks = n.div_ceil(grain);
        let shared = &*self.shared;
        if self.workers.is_empty() || chunks == 1 || shared.busy.0.swap(true, Ordering::Acquire) {
            // SAFETY: the caller's promise.
            unsafe { f(ctx, 0, n) };
            return;
        }
        let shares = self.threads().min(chunks as usize);
        let run = shared.run.0.load(Ordering::Relaxed).wrapping_add(1);
        shared.function.store(f as usize, Ordering::Relaxed);
        shared.ctx.store(ctx, Ordering::Relaxed);
        shared.items.store(n, Ordering::Relaxed);
        shared.grain.store(grain, Ordering::Relaxed);
        shared.done.0.store(0, Ordering::Relaxed);
        for (i, share) in shared.slots.iter().enumerate() {
            let at = |i: usize| chunks * i.min(shares) as u64 / shares as u64;
            share.0.store(slot(run, at(i), at(i + 1)), Ordering::Release);
        }
        // Sequentially consistent on both sides: either a worker sees the new run before it
        // sleeps, or this thread sees that it is asleep.
        shared.run.0.store(run, Ordering::SeqCst);
        for i in 1..shares {
            if shared.asleep[i].0.load(Ordering::SeqCst) {
                self.workers[i - 1].thread().unpark();
            }
        }
        shared.take_chunks(0, run);
        let mut spins = 0u32;
        while shared.done.0.load(Ordering::Acquire) != n {
            std::hint::spin_loop();
            spins += 1;
            if spins.is_multiple_of(1 << 10) {
                std::thread::yield_now();
            }
        }
        shared.busy.0.store(false, Ordering::Release);
    }

    /// Calls a Rust function for ranges that together are `0..n`; see [`Pool::parallel_for`].
    /// A panic of the function ends the process. The floating-point mode is that of kernels.
    pub fn for_each<F: Fn(u64, u64) + Sync>(&self, n: u64, grain: u64, f: F) {
        unsafe extern "C" fn call<F: Fn(u64, u64) + Sync>(f: *mut c_void, begin: u64, end: u64) {
            // SAFETY: `f` is the function below, which outlives the run, shared between threads.
            let f = unsafe { &*f.cast::<F>() };
            f(begin, end);
        }
        // SAFETY: `call` is for any thread since `F` is `Sync`; unwinding out of `extern "C"`
        // aborts.
        unsafe { self.parallel_for(n, grain, call::<F>, (&raw const f).cast_mut().cast()) }
    }

    /// Opens a session: until it is dropped, workers wait for the next run by spinning for
    /// longer, and this thread flushes subnormal numbers. For the time of one model's run.
    pub fn session(&self) -> Session<'_> {
        self.shared.sessions.fetch_add(1, Ordering::Relaxed);
        Session { pool: self, _mode: FlushGuard::new() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            let _ = worker.join();
        }
    }
}

/// See [`Pool::session`].
#[derive(Debug)]
pub struct Session<'a> {
    pool: &'a Pool,
    _mode: FlushGuard,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.pool.shared.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// The life of worker `me`.
    fn work(&self, me: usize) {
        let _mode = FlushGuard::new();
        let mut seen = 0;
        while let Some(run) = self.wait(me, seen) {
            seen = run;
            self.take_chunks(me, run);
        }
    }

    /// The number of a run other than `seen`, or nothing when the pool ends.
    fn wait(&self, me: usize, seen: u32) -> Option<u32> {
        let mut since: Option<Instant> = None;
        let mut spins = 0u32;
        loop {
            let run = self.run.0.load(Ordering::Acquire);
            if run != seen {
                return Some(run);
            }
            if self.quit.load(Ordering::Relaxed) {
                return None;
            }
            std::hint::spin_loop();
            spins += 1;
            if !spins.is_multiple_of(64) {
                continue;
            }
            let start = *since.get_or_insert_with(Instant::now);
            let open = self.sessions.load(Ordering::Relaxed) > 0;
            if start.elapsed() < if open { SESSION_SPIN.max(self.spin) } else { self.spin } {
                continue;
            }
            self.asleep[me].0.store(true, Ordering::SeqCst);
            while self.run.0.load(Ordering::SeqCst) == seen && !self.quit.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.asleep[me].0.store(false, Ordering::Relaxed);
        }
    }

    /// Does chunks of a run: those of share `me`, then those of the other shares.
    fn take_chunks(&self, me: usize, run: u32) {
        let mut done = 0;
        for i in 0..self.slots.len() {
            let share = &self.slots[(me + i) % self.slots.len()].0;
            let mut now = share.load(Ordering::Acquire);
            loop {
                let (next, end) = (now >> 16 & MOST_CHUNKS, now & MOST_CHUNKS);
                if (now >> 32) as u32 != run || next >= end {
                    break;
                }
                let function = self.function.load(Ordering::Relaxed);
                let ctx = self.ctx.load(Ordering::Relaxed);
                let items = self.items.load(Ordering::Relaxed);
                let grain = self.grain.load(Ordering::Relaxed);
                let taken = slot(run, next + 1, end);
                match share.compare_exchange(now, taken, Ordering::AcqRel, Ordering::Acquire) {
                    Err(other) => now = other,
                    Ok(_) => {
                        now = taken;
                        let begin = next * grain;
                        let end = (begin + grain).min(items);
                        // SAFETY: a chunk of this run was still to be taken, so the run is on
                        // and what was read above is its own; the address is that of a
                        // `ChunkFn`, whose caller promised that this may be done.
                        unsafe {
                            let f = std::mem::transmute::<usize, ChunkFn>(function);
                            f(ctx, begin, end);
                        }
                        done += end - begin;
                    }
                }
            }
        }
        if done > 0 {
            self.done.0.fetch_add(done, Ordering::Release);
        }
    }
}

/// The processors that this process may use.
fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The C interface of [`Pool::parallel_for`], for generated code. Without a pool the caller does
/// all of it.
///
/// # Safety
/// `pool` is null or a live [`Pool`], and `f` and `ctx` are as [`Pool::run`] wants them.
pub unsafe extern "C" fn parallel_for(
    pool: *const Pool,
    n: u64,
    grain: u64,
    f: ChunkFn,
    ctx: *mut c_void,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match pool.as_ref() {
            Some(pool) => pool.parallel_for(n, grain, f, ctx),
            None if n > 0 => f(ctx, 0, n),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float_mode::flushes;

    /// Every item of many runs is done once, whatever the shape of the run.
    fn check(pool: &Pool, rounds: usize) {
        let counts: Vec<AtomicU32> = (0..1000).map(|_| AtomicU32::new(0)).collect();
        for round in 0..rounds {
            let n = [1, 2, 3, 7, 64, 1000][round % 6];
            let grain = [1, 2, 5, 100][round / 6 % 4];
            pool.for_each(n, grain, |begin, end| {
                for count in &counts[begin as usize..end as usize] {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            for (i, count) in counts.iter().enumerate() {
                let expected = u32::from((i as u64) < n);
                assert_eq!(count.swap(0, Ordering::Relaxed), expected, "item {i}, round {round}");
            }
        }
    }

    #[test]
    fn every_item_once() {
        check(&Pool::new(1), 24);
        check(&Pool::new(0), 2000);
        check(&Pool::uncapped(5, Duration::ZERO), 500);
        check(&Pool::uncapped(3, DEFAULT_SPIN), 2000);
    }

    #[test]
    fn many_chunks_fit() {
        let pool = Pool::uncapped(2, DEFAULT_SPIN);
        let sum = AtomicU64::new(0);
        pool.for_each(10_000_000, 1, |begin, end| {
            sum.fetch_add((begin..end).sum::<u64>(), Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 10_000_000u64 * 9_999_999 / 2);
    }

    #[test]
    fn nested_and_concurrent_runs() {
        let pool = Pool::uncapped(3, DEFAULT_SPIN);
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        pool.for_each(8, 1, |begin, end| {
                            pool.for_each((end - begin) * 10, 3, |b, e| {
                                count.fetch_add(e - b, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 4 * 50 * 80);
    }

    #[test]
    fn a_sleeping_worker_holds_nobody_up() {
        let pool = Pool::uncapped(4, Duration::ZERO);
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(1));
            check(&pool, 6);
        }
    }

    #[test]
    fn workers_flush_and_the_caller_is_restored() {
        let pool = Pool::uncapped(2, DEFAULT_SPIN);
        let all = AtomicBool::new(true);
        pool.for_each(64, 1, |_, _| {
            all.fetch_and(flushes(), Ordering::Relaxed);
        });
        assert!(
            all.into_inner() || cfg!(not(any(target_arch = "x86_64", target_arch = "aarch64")))
        );
        assert!(!flushes());
        let session = pool.session();
        check(&pool, 100);
        drop(session);
        assert!(!flushes());
    }

    #[test]
    fn the_c_interface() {
        unsafe extern "C" fn add(ctx: *mut c_void, begin: u64, end: u64) {
            // SAFETY: the context below.
            unsafe { &*ctx.cast::<AtomicU64>() }.fetch_add(end - begin, Ordering::Relaxed);
        }
        let pool = Pool::new(2);
        let count = AtomicU64::new(0);
        let ctx = (&raw const count).cast_mut().cast();
        // SAFETY: `add` may be called from any thread with this context.
        unsafe {
            parallel_for(&pool, 100, 7, add, ctx);
            parallel_for(std::ptr::null(), 11, 7, add, ctx);
            parallel_for(std::ptr::null(), 0, 7, add, ctx);
            pool.run(5, add, ctx);
        }
        assert_eq!(count.into_inner(), 116);
    }
}
