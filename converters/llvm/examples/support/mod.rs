//! What the benchmarks share: the processor's peak, and fair measuring.

use std::time::{Duration, Instant};

use airconv_llvm::emit::{FloatVector, Function, Module};
use airconv_llvm::{Buffer, Compiler, Isa, Jit, Output, Result, Target};

/// Multiply-adds in flight in the peak loop.
const CHAINS: usize = 12;
/// How often peak and product take turns.
const SLICES: u32 = 10;
/// Multiply-adds of each chain per turn of the peak loop.
const STEPS: usize = 4;

fn peak_module(isa: Isa) -> String {
    let v = FloatVector::of(isa);
    let ty = v.ty();
    let mut f = Function::new("define void @peak(ptr %out, i64 %n) nounwind");
    let x = v.splat(&mut f, "1.0");
    f.jump("loop");
    f.begin("loop");
    f.line("%i = phi i64 [ 0, %entry ], [ %j, %loop ]");
    for c in 0..CHAINS {
        f.line(format_args!("%a{c} = phi {ty} [ zeroinitializer, %entry ], [ %b{c}, %loop ]"));
    }
    let mut sums: Vec<String> = (0..CHAINS).map(|c| format!("%a{c}")).collect();
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = v.fma(&mut f, &x, &x, sum);
        }
    }
    for (c, sum) in sums.iter().enumerate() {
        f.line(format_args!("%b{c} = bitcast {ty} {sum} to {ty}"));
    }
    f.line("%j = add nsw i64 %i, 1");
    f.line("%more = icmp slt i64 %j, %n");
    f.branch("%more", "loop", "end");
    f.begin("end");
    for c in 0..CHAINS {
        let to = f.at("float", "%out", c * v.lanes);
        v.store(&mut f, &format!("%b{c}"), &to);
    }
    f.line("ret void");
    let mut module = Module::new();
    module.add(f);
    module.text()
}

/// Seconds that this thread has computed, so that what others do on the machine does not count;
/// seconds of any clock where that is not known.
pub fn thread_seconds() -> f64 {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes to `time`.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    }
}

/// The least time of a call, in seconds, measured for about `budget`.
fn best(budget: Duration, mut call: impl FnMut()) -> f64 {
    let end = Instant::now() + budget;
    let mut best = f64::MAX;
    let mut repeat = 1u32;
    while Instant::now() < end {
        let start = thread_seconds();
        for _ in 0..repeat {
            call();
        }
        let one = (thread_seconds() - start) / f64::from(repeat);
        best = best.min(one);
        repeat = (20e-6 / one).clamp(1.0, 1000.0) as u32;
    }
    best
}

/// Random floats between -1 and 1.
pub fn random(len: usize, mut seed: u64) -> Buffer {
    let mut out = Buffer::floats(len);
    for x in out.f32s_mut() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *x = (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    }
    out
}

/// The peak loop of a level.
pub struct Peak {
    run: extern "C" fn(*mut f32, i64),
    isa: Isa,
    out: Buffer,
}

/// What was measured: billions of operations in a second.
pub struct Rates {
    /// Of the call.
    pub rate: f64,
    /// Of the peak loop beside it.
    pub peak: f64,
    /// Seconds of a call.
    pub time: f64,
}

impl Peak {
    /// Compiles the loop.
    pub fn new(isa: Isa, target: &Target, jit: &Jit) -> Result<Peak> {
        jit.add_object(&Compiler::find()?.compile(&peak_module(isa), target, Output::Object)?)?;
        let symbol = jit.lookup("peak")?;
        // SAFETY: the module defines it with this type.
        let run = unsafe { std::mem::transmute::<*const (), extern "C" fn(*mut f32, i64)>(symbol) };
        Ok(Peak { run, isa, out: Buffer::floats(CHAINS * 16) })
    }

    /// Measures a call of `operations` operations and the peak in turns.
    pub fn beside(&mut self, budget: Duration, operations: f64, mut call: impl FnMut()) -> Rates {
        let turns = 200;
        let flops = turns as f64 * (CHAINS * STEPS * 2 * self.isa.f32_lanes()) as f64;
        let (mut peak, mut time) = (f64::MAX, f64::MAX);
        for _ in 0..SLICES {
            let to = self.out.as_mut_ptr().cast();
            peak = peak.min(best(budget / (4 * SLICES), || (self.run)(to, turns)));
            time = time.min(best(budget / SLICES, &mut call));
        }
        Rates { rate: operations / time / 1e9, peak: flops / peak / 1e9, time }
    }
}

/// The arguments of a benchmark: a level, and `KEY=VALUE`.
pub struct Arguments {
    /// The level to measure.
    pub isa: Isa,
    set: Vec<(String, String)>,
}

impl Arguments {
    /// Those of the program.
    pub fn read() -> Result<Arguments> {
        let (mut isa, mut set) = (Isa::host(), Vec::new());
        for arg in std::env::args().skip(1) {
            match arg.split_once('=') {
                Some((key, value)) => set.push((key.to_string(), value.to_string())),
                None => isa = Isa::parse(&arg)?,
            }
        }
        Ok(Arguments { isa, set })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.set.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The value of a key as a number.
    pub fn number(&self, key: &str, default: usize) -> usize {
        self.get(key).map_or(default, |v| v.parse().expect("a number"))
    }

    /// The target of the level.
    pub fn target(&self) -> Target {
        if self.isa == Isa::host() { Target::host() } else { Target::of(self.isa) }
    }

    /// Time for each shape.
    pub fn budget(&self) -> Duration {
        Duration::from_millis(self.number("ms", 300) as u64)
    }
}
