//! Speed of convolutions of `f32` on one thread, as a share of the processor's peak: see
//! `gemm_bench`.

#[allow(dead_code)]
mod support;

use airconv_llvm::micro::{
    Activation, Bias, ConvCall, ConvFn, ConvTables, DepthwiseCall, DepthwiseFn, DepthwiseSpec,
    GemmSpec, Image, Window, channel_block, conv_module, depthwise_module, pack_conv,
    pack_depthwise,
};
use airconv_llvm::{Buffer, Compiler, Jit, Library, Output, Result};
use support::{Arguments, Peak, Rates, random};

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let (isa, target) = (arguments.isa, arguments.target());
    let compiler = Compiler::find()?;
    let jit = Jit::new(Library::get()?)?;
    let mut peak = Peak::new(isa, &target, &jit)?;
    let epilogue = Bias { per_row: false, activation: Activation::Relu };
    let depthwise = DepthwiseSpec::new(isa);
    let text = depthwise_module(&depthwise, &epilogue);
    jit.add_object(&compiler.compile(&text, &target, Output::Object)?)?;
    // SAFETY: the module defines it with this type.
    let run_depthwise =
        unsafe { std::mem::transmute::<*const (), DepthwiseFn>(jit.lookup(&depthwise.name)?) };

    println!("{:>28} {:>7} {:>8} {:>8} {:>6}", "shape", "tile", "GF/s", "peak", "share");
    let show = |shape: String, tile: String, rates: &Rates| {
        let share = rates.rate / rates.peak * 100.0;
        let time = rates.time * 1e6;
        let (rate, peak) = (rates.rate, rates.peak);
        println!("{shape:>28} {tile:>7} {rate:8.1} {peak:8.1} {share:5.1}%   {time:.1} us");
    };
    // Channels in and out, size of the output, window, stride; no channels out: depthwise.
    let shapes: [[usize; 5]; 14] = [
        [3, 64, 112, 7, 2],
        [3, 32, 112, 3, 2],
        [64, 64, 56, 3, 1],
        [128, 128, 28, 3, 1],
        [128, 128, 28, 3, 2],
        [256, 256, 14, 3, 1],
        [512, 512, 7, 3, 1],
        [256, 512, 28, 1, 2],
        [32, 0, 112, 3, 1],
        [144, 0, 56, 3, 1],
        [144, 0, 28, 5, 2],
        [384, 0, 14, 3, 1],
        [960, 0, 7, 3, 1],
        [960, 0, 7, 5, 1],
    ];
    for (i, [channels, outputs, size, kernel, stride]) in shapes.into_iter().enumerate() {
        let before = (kernel - 1) / 2;
        let input_size = size * stride;
        let after = ((size - 1) * stride + kernel).saturating_sub(before + input_size);
        let border = [before, before, after, after];
        let input = Image { size: [input_size; 2], border, channels };
        let width = if outputs == 0 { channels } else { outputs };
        let output = Image { size: [size; 2], border: [0; 4], channels: width };
        let window = Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1; 2],
            padding: [before; 2],
        };
        let x = random(input.len(), 1);
        let bias = random(width, 2);
        let mut y = Buffer::floats(output.len());
        let shape = format!("{channels}->{outputs} {size}x{size} k{kernel} s{stride}");
        if outputs == 0 {
            let tables = ConvTables::taps_apart(1, &input, &output, &window);
            let weights = random(channels * kernel * kernel, 3);
            let packed = pack_depthwise(weights.f32s(), channels, kernel * kernel, isa);
            let mut call = DepthwiseCall {
                a: x.as_ptr().cast(),
                weights: packed.as_ptr().cast(),
                c: y.as_mut_ptr().cast(),
                args: bias.as_ptr().cast(),
                rows: tables.rows.as_ptr(),
                places: tables.places.as_ptr(),
                taps: tables.taps.as_ptr(),
                channels: channels as i64,
                tap_count: tables.taps.len() as i64,
                block: channel_block(&input, &window, isa) as i64,
            };
            let operations = 2.0 * (size * size * channels * kernel * kernel) as f64;
            let rates = peak.beside(arguments.budget(), operations, || {
                // SAFETY: the call describes live buffers that hold what its tables say.
                unsafe { run_depthwise((&raw mut call).cast(), 0, (size * size) as u64) }
            });
            show(shape, depthwise.pixels.to_string(), &rates);
            continue;
        }
        let mut spec = GemmSpec::conv(isa, size * size, outputs);
        spec.name = format!("conv{i}");
        spec.mc = arguments.number("mc", spec.mc);
        spec.kc = arguments.number("kc", spec.kc);
        let text = conv_module(&spec, &epilogue);
        jit.add_object(&compiler.compile(&text, &target, Output::Object)?)?;
        // SAFETY: the module defines it with this type.
        let conv = unsafe { std::mem::transmute::<*const (), ConvFn>(jit.lookup(&spec.name)?) };
        let tables = ConvTables::new(1, &input, &output, &window, channels);
        let weights = random(channels * outputs * kernel * kernel, 3);
        let sizes = (outputs, channels);
        let packed = pack_conv(weights.f32s(), sizes, [kernel; 2], spec.tile.columns());
        let call = ConvCall {
            a: x.as_ptr().cast(),
            b: packed.as_ptr().cast(),
            c: y.as_mut_ptr().cast(),
            args: bias.as_ptr().cast(),
            rows: tables.rows.as_ptr(),
            places: tables.places.as_ptr(),
            taps: tables.taps.as_ptr(),
            m: tables.rows.len() as i64,
            n: outputs as i64,
            tap_count: tables.taps.len() as i64,
            tap_len: tables.tap_len as i64,
            flags: 0,
            chunk_rows: 1,
            chunk_columns: 1,
        };
        let operations = 2.0 * (size * size * channels * outputs * kernel * kernel) as f64;
        let rates = peak.beside(arguments.budget(), operations, || {
            // SAFETY: the call describes live buffers that hold what its tables say.
            unsafe { conv(&call, 0, call.m, 0, call.n) }
        });
        show(shape, format!("{}x{}", spec.tile.rows, spec.tile.columns()), &rates);
    }
    Ok(())
}
