//! Speed of the product of `f32` matrices on AMX tiles on one thread, beside the processor's
//! peak of `f32` multiply-adds: with the left operand split each time, and of tiles alone.
//!
//! ```text
//! cargo run --release -p airconv-llvm --example amx_bench -- [KEY=VALUE ...]
//! ```
//! Keys: `grade=f32|f32-high|bf16`, `piece` (chunks of K), `planes` (that are multiplied), `rows` (a
//! block), `ms` (time per shape), `shape=MxNxK`.

#[allow(dead_code)]
mod support;

use airconv_llvm::micro::amx::{
    AmxCall, AmxFn, AmxSpec, COLUMNS, Grade, KernelFn, LeftCall, ROWS, Range, RightCall, SplitSpec,
    amx_module, kernel_module, kernel_name, split_module, strip_bytes, variant,
};
use airconv_llvm::micro::{Identity, pack_b};
use airconv_llvm::pool::ChunkFn;
use airconv_llvm::{Buffer, Compiler, Isa, Jit, Library, Output, Result};
use support::{Arguments, Peak, random};

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    if !Isa::Amx.runs_here() {
        println!("no AMX here");
        return Ok(());
    }
    let target = arguments.target();
    let compiler = Compiler::find()?;
    let jit = Jit::new(Library::get()?)?;
    let mut peak = Peak::new(Isa::Amx, &target, &jit)?;
    let grade = Grade::parse(arguments.get("grade").unwrap_or("f32")).expect("a grade");
    let spec = AmxSpec { name: "amx".into(), grade };
    let split = SplitSpec::new(grade);
    for text in [amx_module(&spec, &Identity), split_module(&split), kernel_module(grade)] {
        let object = compiler.compile(&text, &target, Output::Object)?;
        jit.add_object(&object)?;
    }
    // SAFETY: the modules define them with these types.
    let (kernel, multiply, left, right) = unsafe {
        (
            std::mem::transmute::<*const (), KernelFn>(jit.lookup(&kernel_name(grade))?),
            std::mem::transmute::<*const (), AmxFn>(jit.lookup(&spec.name)?),
            std::mem::transmute::<*const (), ChunkFn>(jit.lookup(&split.even)?),
            std::mem::transmute::<*const (), ChunkFn>(jit.lookup(&split.right)?),
        )
    };
    let planes = arguments.number("planes", grade.planes());
    let mut shapes = vec![
        (64, 64, 64),
        (128, 128, 128),
        (256, 256, 256),
        (512, 512, 512),
        (1024, 1024, 1024),
        (16, 1536, 384),
        (128, 768, 768),
        (128, 3072, 768),
        (128, 768, 3072),
        (128, 128, 64),
        (128, 64, 128),
        (49, 512, 4608),
        (3136, 64, 576),
        (784, 128, 1152),
        (196, 256, 2304),
        (12544, 32, 32),
    ];
    if let Some(shape) = arguments.get("shape") {
        let sizes: Vec<usize> = shape.split('x').map(|s| s.parse().expect("a size")).collect();
        shapes = vec![(sizes[0], sizes[1], sizes[2])];
    }
    for (m, n, k) in shapes {
        let (a, b) = (random(m * k, 1), random(k * n, 2));
        let mut c = Buffer::floats(m * n);
        let (chunks, panels) = (k.div_ceil(32), n.div_ceil(COLUMNS));
        let packed = pack_b(b.f32s(), (k, n), (n, 1), COLUMNS);
        let strip = strip_bytes(grade, chunks);
        let mut b_planes = Buffer::new(panels * 2 * strip);
        let mut ranges = vec![Range::NONE; panels];
        let mut scales = vec![0f32; panels * COLUMNS];
        let mut call = RightCall {
            b: packed.as_ptr().cast(),
            out: b_planes.as_mut_ptr(),
            ranges: ranges.as_mut_ptr(),
            scales: scales.as_mut_ptr(),
            k: k as i64,
            chunks: chunks as i64,
        };
        // SAFETY: the buffers have the sizes that are passed.
        unsafe { right((&raw mut call).cast(), 0, panels as u64) };
        let most = (arguments.number("kb", 768) * 1024 / strip * 16).max(32) / 32 * 32;
        let block = arguments.number("rows", most).min(m);
        let mut a_planes = Buffer::new(block.div_ceil(ROWS) * strip);
        let mut sums = Buffer::new(AmxCall::sums_bytes(block.div_ceil(ROWS)));
        let piece = arguments.number("piece", 16) as i64;
        let mut run = |splits: bool, multiplies: bool| {
            for m0 in (0..m).step_by(block) {
                let m1 = (m0 + block).min(m);
                let mut range = Range::NONE;
                let mut call = LeftCall {
                    a: a.as_ptr().cast(),
                    out: a_planes.as_mut_ptr(),
                    range: &raw mut range,
                    table: std::ptr::null(),
                    zeros: std::ptr::null(),
                    rows: std::ptr::null_mut(),
                    lda: k as i64,
                    k: k as i64,
                    taps: 0,
                    run: 0,
                    chunks: chunks as i64,
                };
                if splits {
                    // SAFETY: as above.
                    unsafe { left((&raw mut call).cast(), m0 as u64, m1 as u64) };
                }
                let call = AmxCall {
                    a: a_planes.as_ptr(),
                    b: b_planes.as_ptr(),
                    scales: scales.as_ptr(),
                    c: c.as_mut_ptr().cast(),
                    args: std::ptr::null(),
                    kernel,
                    sums: sums.as_mut_ptr(),
                    next_sums: 0,
                    ldc: n as i64,
                    chunks: chunks as i64,
                    begin: 0,
                    end: chunks as i64,
                    piece,
                    variant: variant(grade, planes, planes),
                };
                if multiplies {
                    // SAFETY: as above.
                    unsafe { multiply(&raw const call, m0 as i64, m1 as i64, 0, n as i64) };
                }
            }
        };
        run(true, true);
        let operations = 2.0 * (m * n * k) as f64;
        let all = peak.beside(arguments.budget(), operations, || run(true, true));
        let tiles = peak.beside(arguments.budget(), operations, || run(false, true));
        let split = peak.beside(arguments.budget(), operations, || run(true, false));
        run(true, true);
        let mut worst = 0.0f64;
        for r in (0..m).step_by(7) {
            for q in (0..n).step_by(5) {
                let products = (0..k).map(|i| {
                    let (x, y) = (f64::from(a.f32s()[r * k + i]), f64::from(b.f32s()[i * n + q]));
                    (x * y, (x * y).abs())
                });
                let (sum, size) = products.fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
                worst = worst.max((f64::from(c.f32s()[r * n + q]) - sum).abs() / size);
            }
        }
        println!(
            "{:>16} {:8.1} GF/s {:5.1}% of the peak of f32; tiles alone {:8.1}; split {:4.1}%; \
             {:.1} us; greatest error {worst:.1e}",
            format!("{m}x{n}x{k}"),
            all.rate,
            all.rate / all.peak * 100.0,
            tiles.rate,
            split.time / all.time * 100.0,
            all.time * 1e6,
        );
    }
    Ok(())
}
