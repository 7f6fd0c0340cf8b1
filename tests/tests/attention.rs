//! Attention in native code: two products and the softmax between them, done in blocks of rows.

use std::collections::BTreeMap;

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::text::{ParseOptions, parse};
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::run::{Machine, RunLimits};
use airconv_llvm::executor::{LlvmExecutor, prepare};

/// How often, heads, queries, keys, and elements of each.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    depth: usize,
}

/// Attention with a mask over keys whose operands lie head by head within each token, and its
/// inputs. `shows` gives the probabilities too; `axis` is that of the softmax.
fn attention(s: Sizes, dtype: &str, axis: usize, shows: bool) -> Module {
    let Sizes { batch: b, heads: h, queries: m, keys: n, depth: d } = s;
    let (out, more) = if shows {
        ("out \"y\": user\n  out \"p\": user", ", %10")
    } else {
        ("out \"y\": user", "")
    };
    let (scores, out_dims) =
        (format!("{dtype}[{b}, {h}, {m}, {n}]"), format!("{b}, {m}, {h}, {d}"));
    let text = format!(
        "airconv 0.1\n\
         func @0 \"main\" {{\n  in \"q\": user\n  in \"k\": user\n  in \"v\": user\n  \
         in \"mask\": user\n  {out}\n  \
         body ^0(%0 \"q\": {dtype}[{b}, {m}, {h}, {d}], %1 \"k\": {dtype}[{b}, {n}, {h}, {d}], \
         %2 \"v\": {dtype}[{b}, {n}, {h}, {d}], %3 \"mask\": {dtype}[{b}, 1, 1, {n}]) {{\n    \
         %4: {dtype}[{b}, {h}, {m}, {d}] = transpose(%0) {{perm = [0, 2, 1, 3]}}\n    \
         %5: {dtype}[{b}, {h}, {d}, {n}] = transpose(%1) {{perm = [0, 2, 3, 1]}}\n    \
         %6: {dtype}[{b}, {h}, {n}, {d}] = transpose(%2) {{perm = [0, 2, 1, 3]}}\n    \
         %7: {scores} = matmul(%4, %5)\n    \
         %8: {scores} = broadcast(%3) {{dims = [{b}, {h}, {m}, {n}]}}\n    \
         %9: {scores} = add(%7, %8)\n    \
         %10: {scores} = softmax(%9) {{axes = [{axis}]}}\n    \
         %11: {dtype}[{b}, {h}, {m}, {d}] = matmul(%10, %6)\n    \
         %12: {dtype}[{out_dims}] = transpose(%11) {{perm = [0, 2, 1, 3]}}\n    \
         return %12{more}\n  }}\n}}\n"
    );
    parse(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{e:?} in\n{text}"))
}

/// Numbers that look random; of the mask, zeros and some that are far below.
fn inputs(s: Sizes, dtype: DType) -> BTreeMap<String, Datum> {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    let mut array = |shape: [usize; 4], of: &dyn Fn(f64) -> f64| {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| of(next())).collect();
        Datum::from(Array::from_f64s(dtype, shape.to_vec(), &values).unwrap())
    };
    let Sizes { batch, heads, queries, keys, depth } = s;
    let mut out = BTreeMap::new();
    out.insert("q".to_owned(), array([batch, queries, heads, depth], &|x| x));
    out.insert("k".to_owned(), array([batch, keys, heads, depth], &|x| x));
    out.insert("v".to_owned(), array([batch, keys, heads, depth], &|x| x));
    let masked = |x: f64| if x > 0.6 { -8.0 } else { 0.0 };
    out.insert("mask".to_owned(), array([batch, 1, 1, keys], &masked));
    out
}

/// Runs it twice in native code; the results have to be those of the interpreter. Gives what was
/// said of kernels that were done together.
fn check(s: Sizes, dtype: DType, axis: usize, shows: bool, threads: usize) -> Option<String> {
    let module = attention(s, dtype.name(), axis, shows);
    let verified = verify(&module, Stage::Imported).unwrap();
    let inputs = inputs(s, dtype);
    let options = RunOptions { native_only: true, threads, ..RunOptions::default() };
    let mut report = Report::default();
    let wanted = InterpreterExecutor.run(&verified, &inputs, &options, &mut report).unwrap();
    let (lowered, compiled) = prepare(&verified, &inputs, &options, &mut report)
        .unwrap_or_else(|_| panic!("{:?}", report.diagnostics));
    let mut machine = Machine::new(&lowered, &compiled, RunLimits::default());
    for _ in 0..2 {
        let got = machine.run(&inputs).unwrap();
        assert_eq!(got.len(), wanted.len());
        for ((_, g), (_, w)) in got.iter().zip(&wanted) {
            let (g, w) = (g.as_array().unwrap(), w.as_array().unwrap());
            assert_eq!((&g.shape, g.dtype), (&w.shape, w.dtype));
            let near = if dtype == DType::F32 { 1e-5 } else { 2e-3 };
            for (i, (g, w)) in g.to_f64s().unwrap().iter().zip(w.to_f64s().unwrap()).enumerate() {
                assert!((g - w).abs() <= near, "{s:?} {threads}: element {i} is {g}, not {w}");
            }
        }
    }
    (0..lowered.program.kernels.len()).find_map(|i| compiled.chained(i))
}

#[test]
fn what_lies_between_stays_in_blocks() {
    if LlvmExecutor.available().is_err() {
        return;
    }
    let all = [
        Sizes { batch: 1, heads: 3, queries: 64, keys: 64, depth: 64 },
        Sizes { batch: 3, heads: 5, queries: 37, keys: 50, depth: 20 },
        Sizes { batch: 2, heads: 1, queries: 257, keys: 129, depth: 33 },
        Sizes { batch: 1, heads: 2, queries: 90, keys: 1100, depth: 16 },
    ];
    for s in all {
        for threads in [1, 2] {
            let said = check(s, DType::F32, 3, false, threads);
            assert!(said.is_some_and(|t| t.contains("in blocks of")), "{s:?} {threads}");
        }
    }
}

#[test]
fn what_is_looked_at_elsewhere_is_kept() {
    if LlvmExecutor.available().is_err() {
        return;
    }
    let s = Sizes { batch: 2, heads: 3, queries: 40, keys: 48, depth: 16 };
    assert_eq!(check(s, DType::F32, 3, true, 2), None);
    // A softmax over queries needs them all.
    assert_eq!(check(s, DType::F32, 2, false, 2), None);
    // One row is no block.
    assert_eq!(check(Sizes { queries: 1, ..s }, DType::F32, 3, false, 2), None);
    check(s, DType::F16, 3, false, 2);
    check(s, DType::F64, 3, false, 1);
}
