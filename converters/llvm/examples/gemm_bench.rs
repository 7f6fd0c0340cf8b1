//! Speed of the matrix product of `f32` on one thread, as a share of the processor's peak.
//!
//! The peak is measured in the same process, next to every product, by a loop of independent
//! fused multiply-adds; the best of many short runs counts on both sides.
//!
//! ```text
//! cargo run --release -p airconv-llvm --example gemm_bench -- [v3|v4|amx] [KEY=VALUE ...]
//! ```
//! Keys: `tile=8x3` (rows x vectors), `kc`, `mc`, `unroll`, `prefetch`, `ms` (time per shape),
//! `shapes=big|all`, `shape=MxNxK`.

use std::time::{Duration, Instant};

use airconv_llvm::emit::{FloatVector, Function, Module};
use airconv_llvm::micro::{GemmFn, GemmSpec, Identity, Tile, gemm_module, pack_b};
use airconv_llvm::{Buffer, Compiler, Isa, Jit, Library, Output, Result, Target};

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

/// The least time of a call, in seconds, measured for about `budget`.
fn best(budget: Duration, mut call: impl FnMut()) -> f64 {
    let end = Instant::now() + budget;
    let mut best = f64::MAX;
    let mut repeat = 1u32;
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..repeat {
            call();
        }
        let one = start.elapsed().as_secs_f64() / f64::from(repeat);
        best = best.min(one);
        repeat = (20e-6 / one).clamp(1.0, 1000.0) as u32;
    }
    best
}

fn random(len: usize, mut seed: u64) -> Buffer {
    let mut out = Buffer::floats(len);
    for x in out.f32s_mut() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *x = (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    }
    out
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let mut isa = Isa::host();
    let mut tile = None;
    let mut set: Vec<(String, String)> = Vec::new();
    for arg in std::env::args().skip(1) {
        match arg.split_once('=') {
            Some(("tile", t)) => tile = Some(t.to_string()),
            Some((key, value)) => set.push((key.into(), value.into())),
            None => isa = Isa::parse(&arg)?,
        }
    }
    let get = |key: &str| set.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let number = |key: &str, default: usize| get(key).map_or(default, |v| v.parse().unwrap());
    let budget = Duration::from_millis(number("ms", 300) as u64);
    let target = if isa == Isa::host() { Target::host() } else { Target::of(isa) };
    let compiler = Compiler::find()?;
    let jit = Jit::new(Library::get()?)?;
    jit.add_object(&compiler.compile(&peak_module(isa), &target, Output::Object)?)?;
    // SAFETY: the module defines it with this type.
    let peak: extern "C" fn(*mut f32, i64) = unsafe { std::mem::transmute(jit.lookup("peak")?) };
    let mut out = Buffer::floats(CHAINS * 16);

    let cubes = [64, 128, 256, 512, 1024].map(|n| (n, n, n));
    let bert = [
        (1, 768, 3072),
        (1, 3072, 768),
        (16, 1536, 384),
        (128, 768, 768),
        (128, 3072, 768),
        (128, 768, 3072),
        (128, 128, 64),
        (128, 64, 128),
        (49, 512, 4608),
        (3136, 64, 576),
        (784, 128, 1152),
        (12544, 32, 27),
        (64, 10, 128),
    ];
    let mut shapes: Vec<(usize, usize, usize)> = cubes.to_vec();
    if get("shapes") != Some("big") {
        shapes.extend(bert);
    }
    if let Some(shape) = get("shape") {
        let sizes: Vec<usize> = shape.split('x').map(|s| s.parse().unwrap()).collect();
        shapes = vec![(sizes[0], sizes[1], sizes[2])];
    }
    println!("{isa}, {:?}", compiler);
    println!("{:>18} {:>7} {:>8} {:>8} {:>6}", "m x n x k", "tile", "GF/s", "peak", "share");
    for (m, n, k) in shapes {
        let mut spec = GemmSpec::new(isa, m, n);
        if let Some((r, v)) = tile.as_deref().and_then(|t| t.split_once('x')) {
            let lanes = isa.f32_lanes();
            let (rows, vectors) = (r.parse().unwrap(), v.parse().unwrap());
            spec = GemmSpec::with_tile(isa, Tile { rows, vectors, lanes });
        }
        spec.kc = number("kc", spec.kc);
        spec.mc = number("mc", spec.mc);
        spec.unroll = number("unroll", spec.unroll);
        spec.prefetch = number("prefetch", spec.prefetch);
        spec.name = format!("g_{m}_{n}_{k}");
        let text = gemm_module(&spec, &Identity);
        let start = Instant::now();
        let object = compiler.compile(&text, &target, Output::Object)?;
        let compile = start.elapsed().as_secs_f64() * 1e3;
        jit.add_object(&object)?;
        // SAFETY: the module defines it with this type.
        let gemm: GemmFn = unsafe { std::mem::transmute(jit.lookup(&spec.name)?) };
        let (a, b) = (random(m * k, 1), random(k * n, 2));
        let packed = pack_b(b.f32s(), (k, n), (n, 1), spec.tile.columns());
        let mut c = Buffer::floats(m * n);
        let [mi, ni, ki] = [m, n, k].map(|x| x as i64);
        let steps = 200;
        let (mut peak_rate, mut time) = (0f64, f64::MAX);
        for _ in 0..SLICES {
            let t = best(budget / (4 * SLICES), || peak(out.as_mut_ptr().cast(), steps));
            let flops = steps as f64 * (CHAINS * STEPS * 2 * isa.f32_lanes()) as f64;
            peak_rate = peak_rate.max(flops / t / 1e9);
            let once = best(budget / SLICES, || {
                // SAFETY: the buffers have the sizes that are passed.
                unsafe {
                    gemm(
                        a.as_ptr().cast(),
                        ki,
                        packed.as_ptr().cast(),
                        c.as_mut_ptr().cast(),
                        ni,
                        0,
                        mi,
                        0,
                        ni,
                        ki,
                        0,
                        std::ptr::null(),
                    )
                }
            });
            time = time.min(once);
        }
        let rate = 2.0 * (m * n * k) as f64 / time / 1e9;
        println!(
            "{:>18} {:>7} {rate:8.1} {peak_rate:8.1} {:5.1}%   {:.1} us, {} B, compiled in {compile:.0} ms",
            format!("{m}x{n}x{k}"),
            format!("{}x{}", spec.tile.rows, spec.tile.columns()),
            rate / peak_rate * 100.0,
            time * 1e6,
            object.len(),
        );
    }
    Ok(())
}
