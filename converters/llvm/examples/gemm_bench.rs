//! Speed of the matrix product of `f32` on one thread, as a share of the processor's peak.
//!
//! The peak is measured in the same process, next to every product, by a loop of independent
//! fused multiply-adds; the best of many short runs counts on both sides.
//!
//! ```text
//! cargo run --release -p airconv-llvm --example gemm_bench -- [v3|v4|amx] [KEY=VALUE ...]
//! ```
//! Keys: `tile=8x3` (rows x vectors), `kc`, `mc`, `unroll`, `ms` (time per shape),
//! `shapes=big|all`, `shape=MxNxK`.

#[allow(dead_code)]
mod support;

use airconv_llvm::micro::{GemmFn, GemmSpec, Identity, Tile, gemm_module, pack_b};
use airconv_llvm::{Buffer, Compiler, Jit, Library, Output, Result};
use std::time::Instant;
use support::{Arguments, Peak, random};

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let (isa, target) = (arguments.isa, arguments.target());
    let compiler = Compiler::find()?;
    let jit = Jit::new(Library::get()?)?;
    let mut peak = Peak::new(isa, &target, &jit)?;

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
    if arguments.get("shapes") != Some("big") {
        shapes.extend(bert);
    }
    if let Some(shape) = arguments.get("shape") {
        let sizes: Vec<usize> = shape.split('x').map(|s| s.parse().unwrap()).collect();
        shapes = vec![(sizes[0], sizes[1], sizes[2])];
    }
    println!("{isa}, {:?}", compiler);
    println!("{:>18} {:>7} {:>8} {:>8} {:>6}", "m x n x k", "tile", "GF/s", "peak", "share");
    for (m, n, k) in shapes {
        let mut spec = GemmSpec::new(isa, m, n);
        if let Some((r, v)) = arguments.get("tile").and_then(|t| t.split_once('x')) {
            let lanes = isa.f32_lanes();
            let (rows, vectors) = (r.parse().unwrap(), v.parse().unwrap());
            spec = GemmSpec::with_tile(isa, Tile { rows, vectors, lanes });
        }
        spec.kc = arguments.number("kc", spec.kc);
        spec.mc = arguments.number("mc", spec.mc);
        spec.unroll = arguments.number("unroll", spec.unroll);
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
        let operations = 2.0 * (m * n * k) as f64;
        let rates = peak.beside(arguments.budget(), operations, || {
            let (a, b, c) = (a.as_ptr().cast(), packed.as_ptr().cast(), c.as_mut_ptr().cast());
            // SAFETY: the buffers have the sizes that are passed.
            unsafe { gemm(a, ki, b, c, ni, 0, mi, 0, ni, ki, 0, std::ptr::null()) }
        });
        println!(
            "{:>18} {:>7} {:8.1} {:8.1} {:5.1}%   {:.1} us, {} B, compiled in {compile:.0} ms",
            format!("{m}x{n}x{k}"),
            format!("{}x{}", spec.tile.rows, spec.tile.columns()),
            rates.rate,
            rates.peak,
            rates.rate / rates.peak * 100.0,
            rates.time * 1e6,
            object.len(),
        );
    }
    Ok(())
}
