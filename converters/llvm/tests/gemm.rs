//! The matrix product against a plain loop in `f64`, at every tile of every level that runs here.

use std::ffi::c_void;

use airconv_llvm::micro::{
    Activation, Bias, Custom, Epilogue, GemmCall, GemmFn, GemmSpec, Identity, PackCall, PackFn,
    PackSpec, Place, Tile, flags, gemm_module, pack_b, pack_module,
};
use airconv_llvm::pool::{ChunkFn, Pool};
use airconv_llvm::{Compiler, Isa, Jit, Library, Output, Target};

/// Numbers that are not round, and the same at every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }
}

struct Class {
    spec: GemmSpec,
    gemm: GemmFn,
    chunk: ChunkFn,
    _jit: Jit,
}

fn class(spec: GemmSpec, epilogue: &dyn Epilogue) -> Class {
    let target = if spec.isa == Isa::host() { Target::host() } else { Target::of(spec.isa) };
    let text = gemm_module(&spec, epilogue);
    let object = Compiler::find().unwrap().compile(&text, &target, Output::Object).unwrap();
    let jit = Jit::new(Library::get().unwrap()).unwrap();
    jit.add_object(&object).unwrap();
    let gemm = jit.lookup(&spec.name).unwrap();
    let chunk = jit.lookup(&format!("{}_chunk", spec.name)).unwrap();
    // SAFETY: the module defines both with these types.
    let (gemm, chunk) = unsafe {
        (
            std::mem::transmute::<*const (), GemmFn>(gemm),
            std::mem::transmute::<*const (), ChunkFn>(chunk),
        )
    };
    Class { spec, gemm, chunk, _jit: jit }
}

fn levels() -> impl Iterator<Item = Isa> {
    // The level with AMX has the same products of f32 as the one below it.
    Isa::ALL.into_iter().filter(|isa| isa.runs_here() && *isa != Isa::Amx)
}

/// What the epilogue makes of a value at a row and a column.
type Reference<'a> = &'a dyn Fn(f64, usize, usize) -> f64;

/// One random product: sizes, strides, ranges and flags.
fn check(class: &Class, numbers: &mut Numbers, args: *const c_void, reference: Reference<'_>) {
    let width = class.spec.tile.columns();
    let (m, n, k) = (numbers.below(71), numbers.below(71 + width), numbers.below(71));
    check_sizes(class, numbers, (m, n, k), args, reference);
}

fn check_sizes(
    class: &Class,
    numbers: &mut Numbers,
    (m, n, k): (usize, usize, usize),
    args: *const c_void,
    reference: Reference<'_>,
) {
    let width = class.spec.tile.columns();
    let (lda, ldc) = (k + numbers.below(5), n + numbers.below(5));
    let m0 = numbers.below(m + 1).min(numbers.below(4));
    let n0 = numbers.below(n / width + 1) * width;
    let user = match numbers.below(6) {
        0 => flags::ACCUMULATE,
        1 => flags::NO_EPILOGUE,
        2 => flags::ACCUMULATE | flags::NO_EPILOGUE,
        _ => 0,
    };
    let a = numbers.floats(m * lda);
    let b = numbers.floats(k * n);
    let packed = pack_b(&b, (k, n), (n, 1), width);
    let before = numbers.floats(m * ldc + 3);
    let mut c = before.clone();
    let [m1, n1] = [m, n];
    // SAFETY: the slices hold what the sizes say.
    unsafe {
        (class.gemm)(
            a.as_ptr(),
            lda as i64,
            packed.as_ptr().cast(),
            c.as_mut_ptr(),
            ldc as i64,
            m0 as i64,
            m1 as i64,
            n0 as i64,
            n1 as i64,
            k as i64,
            user,
            args,
        );
    }
    let name = &class.spec.name;
    for (i, (&got, &old)) in c.iter().zip(&before).enumerate() {
        let (row, column) = (i / ldc.max(1), i % ldc.max(1));
        if ldc == 0 || row < m0 || row >= m || column < n0 || column >= n {
            assert_eq!(got.to_bits(), old.to_bits(), "{name} wrote at {row}, {column}");
            continue;
        }
        let (mut sum, mut scale) = (0f64, 1f64);
        for s in 0..k {
            let product = f64::from(a[row * lda + s]) * f64::from(b[s * n + column]);
            sum += product;
            scale += product.abs();
        }
        if user & flags::ACCUMULATE != 0 {
            sum += f64::from(old);
        }
        if user & flags::NO_EPILOGUE == 0 {
            sum = reference(sum, row, column);
        }
        scale += sum.abs();
        let error = (f64::from(got) - sum).abs();
        assert!(
            error <= scale * 3e-7,
            "{name} {m}x{n}x{k} flags {user}: {got} for {sum} at {row}, {column}"
        );
    }
}

#[test]
fn random_sizes_of_every_tile() {
    let mut numbers = Numbers(1);
    for isa in levels() {
        for tile in Tile::table(isa) {
            let mut spec = GemmSpec::with_tile(isa, *tile);
            // Small blocks, so that all loops have several turns.
            (spec.kc, spec.mc) = (24, 2 * tile.rows);
            let class = class(spec, &Identity);
            for _ in 0..150 {
                check(&class, &mut numbers, std::ptr::null(), &|x, _, _| x);
            }
        }
    }
}

#[test]
fn all_small_sizes() {
    let mut numbers = Numbers(2);
    for isa in levels() {
        let spec = GemmSpec::new(isa, 100, 100);
        let width = spec.tile.columns();
        let class = class(spec, &Identity);
        for m in 0..=class.spec.tile.rows + 2 {
            for n in [0, 1, 2, 15, 16, 17, width - 1, width, width + 1, 2 * width] {
                for k in 0..10 {
                    let none = std::ptr::null();
                    check_sizes(&class, &mut numbers, (m, n, k), none, &|x, _, _| x);
                }
            }
        }
    }
}

#[test]
fn bias_and_activation() {
    let mut numbers = Numbers(3);
    let bias = numbers.floats(256);
    let args = bias.as_ptr().cast();
    for isa in levels() {
        for per_row in [false, true] {
            for activation in [Activation::Linear, Activation::Relu, Activation::Relu6] {
                let mut spec = GemmSpec::new(isa, 100, 100);
                spec.kc = 32;
                let class = class(spec, &Bias { per_row, activation });
                let reference = |x: f64, row: usize, column: usize| {
                    let x = x + f64::from(bias[if per_row { row } else { column }]);
                    match activation {
                        Activation::Linear => x,
                        Activation::Relu => x.max(0.0),
                        Activation::Relu6 => x.clamp(0.0, 6.0),
                    }
                };
                for _ in 0..60 {
                    check(&class, &mut numbers, args, &reference);
                }
            }
        }
    }
}

#[test]
fn a_long_epilogue_knows_its_place() {
    // x * bias[column] + row
    let emit = |f: &mut airconv_llvm::emit::Function, at: &Place<'_>| {
        let ty = at.vector.ty();
        let address = f.at("float", at.args, at.column);
        let scale = at.load(f, &address);
        let row = f.value(format_args!("sitofp i64 {} to float", at.row));
        let row = at.vector.splat(f, &row);
        let scaled = f.value(format_args!("fmul {ty} {}, {scale}", at.value));
        f.value(format_args!("fadd {ty} {scaled}, {row}"))
    };
    let mut numbers = Numbers(4);
    let scale = numbers.floats(256);
    for isa in levels() {
        for short in [false, true] {
            let class = class(GemmSpec::new(isa, 100, 100), &Custom { short, emit });
            for _ in 0..60 {
                check(&class, &mut numbers, scale.as_ptr().cast(), &|x, row, column| {
                    x * f64::from(scale[column]) + row as f64
                });
            }
        }
    }
}

#[test]
fn on_a_pool() {
    let mut numbers = Numbers(5);
    let pool = Pool::new(2);
    for isa in levels() {
        let class = class(GemmSpec::new(isa, 100, 100), &Identity);
        let width = class.spec.tile.columns();
        for (m, n, k) in [(300, 20, 40), (1, 500, 33), (100, 300, 64), (3, 3, 3), (0, 5, 5)] {
            let (a, b) = (numbers.floats(m * k), numbers.floats(k * n));
            let packed = pack_b(&b, (k, n), (n, 1), width);
            let mut c = vec![f32::NAN; m * n];
            let mut call = GemmCall {
                a: a.as_ptr(),
                b: packed.as_ptr().cast(),
                c: c.as_mut_ptr(),
                args: std::ptr::null(),
                lda: k as i64,
                ldc: n as i64,
                m: m as i64,
                n: n as i64,
                k: k as i64,
                flags: 0,
                chunk_rows: 0,
                chunk_columns: 0,
            };
            call.split(class.spec.tile, pool.threads());
            // SAFETY: the call describes live buffers, and chunks write different parts of C.
            unsafe { pool.run(call.chunks(), class.chunk, (&raw mut call).cast()) };
            for (i, got) in c.iter().enumerate() {
                let sum: f64 =
                    (0..k).map(|s| f64::from(a[i / n * k + s]) * f64::from(b[s * n + i % n])).sum();
                assert!((f64::from(*got) - sum).abs() < 1e-5, "{isa} {m}x{n}x{k} at {i}");
            }
        }
    }
}

#[test]
fn packing_at_run_time() {
    let mut numbers = Numbers(6);
    let pool = Pool::new(2);
    for isa in levels() {
        for tile in Tile::table(isa) {
            let spec = PackSpec::new(isa, *tile);
            let target = if isa == Isa::host() { Target::host() } else { Target::of(isa) };
            let compiler = Compiler::find().unwrap();
            let object = compiler.compile(&pack_module(&spec), &target, Output::Object).unwrap();
            let jit = Jit::new(Library::get().unwrap()).unwrap();
            jit.add_object(&object).unwrap();
            let symbol = jit.lookup(&spec.name).unwrap();
            // SAFETY: the module defines it with this type.
            let pack = unsafe { std::mem::transmute::<*const (), PackFn>(symbol) };
            for round in 0..60 {
                let (k, n) = (numbers.below(70), numbers.below(3 * tile.columns()));
                let (row, column) = match round % 3 {
                    0 => (n + numbers.below(4), 1),
                    1 => (1, k + numbers.below(4)),
                    _ => (2 * n + 1, 2),
                };
                // No more than the matrix has: the kernel must not read beyond it.
                let len = if k * n == 0 { 0 } else { (k - 1) * row + (n - 1) * column + 1 };
                let b = numbers.floats(len);
                let expected = pack_b(&b, (k, n), (row, column), tile.columns());
                let mut out = vec![f32::NAN; expected.f32s().len()];
                let mut call = PackCall {
                    b: b.as_ptr(),
                    out: out.as_mut_ptr(),
                    k: k as i64,
                    n: n as i64,
                    row_stride: row as i64,
                    column_stride: column as i64,
                };
                let panels = n.div_ceil(tile.columns()) as u64;
                // SAFETY: the call describes live buffers.
                unsafe { pool.run(panels, pack, (&raw mut call).cast()) };
                assert_eq!(out, expected.f32s(), "{} {k}x{n} {row} {column}", spec.name);
            }
        }
    }
}

#[test]
fn every_level_compiles() {
    for isa in Isa::ALL {
        for tile in Tile::table(isa) {
            let spec = GemmSpec::with_tile(isa, *tile);
            let epilogue = Bias { per_row: false, activation: Activation::Relu };
            let text = gemm_module(&spec, &epilogue);
            let object = Compiler::find().unwrap().compile(&text, &Target::of(isa), Output::Object);
            assert!(object.unwrap().len() < 100_000, "{isa} {tile:?}");
        }
    }
}
