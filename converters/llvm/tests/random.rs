//! Random kernels as native code against the interpreter of the kernel IR.

use std::ffi::c_void;

use airconv_kernel::interp::{Fault, run_kernel};
use airconv_kernel::ir::Elem;
use airconv_kernel::memory::Mem;
use airconv_kernel::random::{Case, Taste, case};
use airconv_llvm::kernel::{Context, host, kernel_ir};
use airconv_llvm::pool::ChunkFn;
use airconv_llvm::{Compiler, Isa, Jit, Library, Output, Target};

fn memories(buffers: &mut [Vec<u8>]) -> Vec<Mem> {
    buffers.iter_mut().map(|b| Mem { ptr: b.as_mut_ptr(), len: b.len() }).collect()
}

/// The buffers after a run in the interpreter, and whether a check failed.
fn interpreted(case: &Case) -> (Vec<Vec<u8>>, bool) {
    let mut buffers = case.buffers.clone();
    let failed = match run_kernel(&case.kernel, &memories(&mut buffers), &case.sizes) {
        Ok(()) => false,
        Err(Fault::Check(_)) => true,
        Err(other) => panic!("{other}"),
    };
    (buffers, failed)
}

/// The same for native code, whose operations are not contracted.
fn native(case: &Case, isa: Isa) -> (Vec<Vec<u8>>, bool) {
    let text = kernel_ir(&case.kernel, "kernel", isa).unwrap();
    let strict = text.replace(" contract ", " ");
    let compiler = Compiler::find().unwrap();
    let object = compiler.compile(&strict, &Target::of(isa), Output::Object).unwrap();
    let jit = Jit::new(Library::get().unwrap()).unwrap();
    jit.define(host::NARROW, host::narrow as *const ()).unwrap();
    jit.add_object(&object).unwrap();
    let address = jit.lookup("kernel").unwrap();
    // SAFETY: emitted kernels have this type.
    let function = unsafe { std::mem::transmute::<*const (), ChunkFn>(address) };
    // Aligned as the elements ask for: each buffer in memory of its own.
    let mut buffers = case.buffers.clone();
    let pointers: Vec<*mut c_void> = buffers.iter_mut().map(|b| b.as_mut_ptr().cast()).collect();
    let mut status = 0i32;
    let mut context =
        Context { buffers: pointers.as_ptr(), sizes: case.sizes.as_ptr(), status: &raw mut status };
    let get = |s: airconv_ir::entity::SymbolId| case.sizes.get(s.0 as usize).copied();
    let items = match case.kernel.grid() {
        Some((_, extent, _)) => extent.eval(&get).unwrap_or(0).max(0),
        None => 1,
    };
    // SAFETY: the buffers are those of the case, which runs on them without a fault.
    unsafe { function((&raw mut context).cast(), 0, items as u64) };
    (buffers, status != 0)
}

/// The elements of a buffer as numbers.
fn numbers(elem: Elem, bytes: &[u8]) -> Vec<f64> {
    let half = |b: &[u8]| u16::from_ne_bytes([b[0], b[1]]);
    bytes
        .chunks_exact(elem.bytes())
        .map(|b| match elem {
            Elem::F32 => f32::from_ne_bytes(b.try_into().unwrap()).into(),
            Elem::F64 => f64::from_ne_bytes(b.try_into().unwrap()),
            Elem::F16 => half::f16::from_bits(half(b)).into(),
            Elem::Bf16 => half::bf16::from_bits(half(b)).into(),
            _ => b.iter().rev().fold(0u64, |n, &x| (n << 8) | u64::from(x)) as f64,
        })
        .collect()
}

/// Equal, both NaN, or apart by what another order of a sum may change.
fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}

fn compare(seeds: std::ops::Range<u64>, isa: Isa) {
    if !isa.runs_here() {
        return;
    }
    let taste = Taste { f32_sums: false, ..Taste::default() };
    for seed in seeds {
        let case = case(seed, taste);
        let (want, want_failed) = interpreted(&case);
        let (got, failed) = native(&case, isa);
        assert_eq!(failed, want_failed, "seed {seed}: whether a check failed");
        for (i, param) in case.kernel.params.iter().enumerate() {
            let (a, b) = (numbers(param.elem, &got[i]), numbers(param.elem, &want[i]));
            assert!(
                a.iter().zip(&b).all(|(&x, &y)| close(x, y)),
                "seed {seed}, {}, buffer {i}: {a:?}, not {b:?}\n{}",
                isa.name(),
                airconv_kernel::text::print(&case.kernel)
            );
        }
    }
}

#[test]
fn random_kernels_give_what_the_interpreter_gives() {
    compare(0..300, Isa::host());
}

#[test]
fn random_kernels_at_the_level_of_avx2() {
    compare(300..500, Isa::V3);
}

#[test]
#[ignore = "takes minutes"]
fn many_random_kernels() {
    compare(1000..5000, Isa::host());
}
