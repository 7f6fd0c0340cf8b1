//! Convolutions against plain loops in `f64`, over strides, dilations, paddings and groups.

use airconv_llvm::micro::{
    Activation, Bias, ConvCall, ConvFn, ConvTables, DepthwiseCall, DepthwiseFn, DepthwiseSpec,
    Epilogue, GemmSpec, Image, Tile, Window, channel_block, conv_module, depthwise_module,
    pack_conv, pack_depthwise,
};
use airconv_llvm::pool::{ChunkFn, Pool};
use airconv_llvm::{Compiler, Isa, Jit, Library, Output, Target};

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn within(&mut self, low: usize, high: usize) -> usize {
        low + self.next() as usize % (high - low + 1)
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }
}

fn link(text: &str, isa: Isa) -> Jit {
    let target = if isa == Isa::host() { Target::host() } else { Target::of(isa) };
    let object = Compiler::find().unwrap().compile(text, &target, Output::Object).unwrap();
    let jit = Jit::new(Library::get().unwrap()).unwrap();
    jit.add_object(&object).unwrap();
    jit
}

fn levels() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.runs_here() && *isa != Isa::Amx)
}

const BIAS_RELU: Bias = Bias { per_row: false, activation: Activation::Relu };

/// A random geometry, and the input in an image with its border.
struct Case {
    batch: usize,
    input: Image,
    output: Image,
    window: Window,
    pixels: Vec<f32>,
}

impl Case {
    fn new(numbers: &mut Numbers, channels: usize, outputs: usize) -> Case {
        let mut n = |low, high| numbers.within(low, high);
        let kernel = [n(1, 4), n(1, 4)];
        let stride = [n(1, 3), n(1, 3)];
        let dilation = [n(1, 2), n(1, 2)];
        let padding = [n(0, 2), n(0, 2)];
        let out = [n(1, 5), n(1, 9)];
        let far = [n(0, 2), n(0, 2)];
        let size = [0, 1].map(|d| {
            let reach = (out[d] - 1) * stride[d] + (kernel[d] - 1) * dilation[d] + 1;
            reach.saturating_sub(padding[d] + far[d]).max(1)
        });
        let end = [0, 1].map(|d| {
            let reach = (out[d] - 1) * stride[d] + (kernel[d] - 1) * dilation[d] + 1;
            reach.saturating_sub(padding[d] + size[d])
        });
        let [top, left] = padding;
        let input = Image { size, border: [top, left, end[0], end[1]], channels };
        let output =
            Image { size: out, border: [n(0, 1), n(0, 1), n(0, 1), n(0, 1)], channels: outputs };
        let batch = n(1, 2);
        let mut pixels = vec![0f32; batch * input.len()];
        for image in 0..batch {
            for y in 0..size[0] {
                for x in 0..size[1] {
                    let at = image * input.len() + input.at(y as isize, x as isize) as usize;
                    pixels[at..at + channels].copy_from_slice(&numbers.floats(channels));
                }
            }
        }
        let window = Window { kernel, stride, dilation, padding };
        Case { batch, input, output, window, pixels }
    }

    /// The sum over taps and `channels` (first, count) of an output pixel.
    fn sum(
        &self,
        [image, y, x]: [usize; 3],
        (first, count): (usize, usize),
        weight: impl Fn(usize, [usize; 2]) -> f32,
    ) -> f64 {
        let Window { kernel, stride, dilation, padding } = self.window;
        let mut sum = 0.0;
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let iy = (y * stride[0] + ky * dilation[0]) as isize - padding[0] as isize;
                let ix = (x * stride[1] + kx * dilation[1]) as isize - padding[1] as isize;
                let [h, w] = self.input.size.map(|s| s as isize);
                if iy < 0 || ix < 0 || iy >= h || ix >= w {
                    continue;
                }
                let at = image * self.input.len() + self.input.at(iy, ix) as usize;
                for c in 0..count {
                    sum += f64::from(self.pixels[at + first + c]) * f64::from(weight(c, [ky, kx]));
                }
            }
        }
        sum
    }

    /// Compares an output with what `reference` says of pixel and channel, and that its border
    /// was left alone.
    fn compare(&self, out: &[f32], what: &str, reference: impl Fn([usize; 3], usize) -> f64) {
        let mut seen = 0;
        for image in 0..self.batch {
            for y in 0..self.output.size[0] {
                for x in 0..self.output.size[1] {
                    let at =
                        image * self.output.len() + self.output.at(y as isize, x as isize) as usize;
                    for c in 0..self.output.channels {
                        let (got, want) = (f64::from(out[at + c]), reference([image, y, x], c));
                        assert!(
                            (got - want).abs() < 2e-5,
                            "{what}: {got} for {want} at {image} {y} {x} {c}, {:?} {:?} {:?}",
                            self.input,
                            self.output,
                            self.window
                        );
                        seen += 1;
                    }
                }
            }
        }
        let border = out.iter().filter(|x| x.is_nan()).count();
        assert_eq!(border + seen, out.len(), "{what}: the border was written");
    }
}

#[test]
fn dense_and_grouped() {
    let mut numbers = Numbers(7);
    let pool = Pool::new(2);
    for isa in levels() {
        for tile in Tile::table(isa) {
            let mut spec = GemmSpec::with_tile(isa, *tile);
            (spec.kc, spec.mc) = (60, 2 * tile.rows);
            let jit = link(&conv_module(&spec, &BIAS_RELU), isa);
            let symbol = jit.lookup(&spec.name).unwrap();
            // SAFETY: the module defines both with these types.
            let conv = unsafe { std::mem::transmute::<*const (), ConvFn>(symbol) };
            let symbol = jit.lookup(&format!("{}_chunk", spec.name)).unwrap();
            // SAFETY: as above.
            let chunk = unsafe { std::mem::transmute::<*const (), ChunkFn>(symbol) };
            for round in 0..40 {
                let groups = numbers.within(1, 2);
                let (channels, outputs) = (numbers.within(1, 20), numbers.within(1, 40));
                let case = Case::new(&mut numbers, channels * groups, outputs * groups);
                let [kh, kw] = case.window.kernel;
                let size = outputs * channels * kh * kw;
                let weights = numbers.floats(size * groups);
                let bias = numbers.floats(outputs * groups);
                let mut out = vec![f32::NAN; case.batch * case.output.len()];
                let tables =
                    ConvTables::new(case.batch, &case.input, &case.output, &case.window, channels);
                for g in 0..groups {
                    let packed = pack_conv(
                        &weights[g * size..],
                        (outputs, channels),
                        [kh, kw],
                        tile.columns(),
                    );
                    let mut call = ConvCall {
                        a: case.pixels[g * channels..].as_ptr(),
                        b: packed.as_ptr().cast(),
                        c: out[g * outputs..].as_mut_ptr(),
                        args: bias[g * outputs..].as_ptr().cast(),
                        rows: tables.rows.as_ptr(),
                        places: tables.places.as_ptr(),
                        taps: tables.taps.as_ptr(),
                        m: tables.rows.len() as i64,
                        n: outputs as i64,
                        tap_count: tables.taps.len() as i64,
                        tap_len: tables.tap_len as i64,
                        flags: 0,
                        chunk_rows: tile.rows as i64,
                        chunk_columns: tile.columns() as i64,
                    };
                    // SAFETY: the call describes live buffers that hold what its tables say.
                    unsafe {
                        match round % 2 {
                            0 => conv(&call, 0, call.m, 0, call.n),
                            _ => pool.run(call.chunks(), chunk, (&raw mut call).cast()),
                        }
                    }
                }
                case.compare(&out, &spec.name, |pixel, c| {
                    let group = c / outputs;
                    let sum = case.sum(pixel, (group * channels, channels), |i, [y, x]| {
                        weights[((c * channels + i) * kh + y) * kw + x]
                    });
                    (sum + f64::from(bias[c])).max(0.0)
                });
            }
        }
    }
}

#[test]
fn depthwise() {
    let mut numbers = Numbers(8);
    let pool = Pool::new(2);
    let epilogue: &dyn Epilogue = &BIAS_RELU;
    for isa in levels() {
        let spec = DepthwiseSpec::new(isa);
        let jit = link(&depthwise_module(&spec, epilogue), isa);
        let symbol = jit.lookup(&spec.name).unwrap();
        // SAFETY: the module defines it with this type.
        let run = unsafe { std::mem::transmute::<*const (), DepthwiseFn>(symbol) };
        for _ in 0..60 {
            let channels = numbers.within(1, 40);
            let case = Case::new(&mut numbers, channels, channels);
            let [kh, kw] = case.window.kernel;
            let weights = numbers.floats(channels * kh * kw);
            let bias = numbers.floats(channels);
            let packed = pack_depthwise(&weights, channels, kh * kw, isa);
            let mut out = vec![f32::NAN; case.batch * case.output.len()];
            let tables =
                ConvTables::taps_apart(case.batch, &case.input, &case.output, &case.window);
            let mut call = DepthwiseCall {
                a: case.pixels.as_ptr(),
                weights: packed.as_ptr().cast(),
                c: out.as_mut_ptr(),
                args: bias.as_ptr().cast(),
                rows: tables.rows.as_ptr(),
                places: tables.places.as_ptr(),
                taps: tables.taps.as_ptr(),
                channels: channels as i64,
                tap_count: tables.taps.len() as i64,
                block: channel_block(&case.input, &case.window, isa) as i64,
            };
            let pixels = tables.rows.len() as u64;
            // SAFETY: the call describes live buffers that hold what its tables say.
            unsafe { pool.parallel_for(pixels, 11, run, (&raw mut call).cast()) };
            case.compare(&out, &spec.name, |pixel, c| {
                let weight = |_, [y, x]: [usize; 2]| weights[(c * kh + y) * kw + x];
                (case.sum(pixel, (c, 1), weight) + f64::from(bias[c])).max(0.0)
            });
        }
    }
}
