//! Native artefacts, linked into a C program: the numbers of the interpreter, on memory between
//! guard pages, with the checks of compilers and of valgrind.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use airconv_api::{ReadOptions, Reader, Report};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::{EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::text::{ParseOptions, parse};
use airconv_kernel::c::{COptions, program_c};
use airconv_kernel::lower::{LowerOptions, lower};
use airconv_llvm::artefact::{Kind, NativeReader, Sanitizer, Settings, build};
use airconv_llvm::{Isa, Library, Output, Target};

const CALLER: &str = include_str!("caller.c");

/// The shapes of the weights of [`net`].
const WEIGHTS: [&[u64]; 7] =
    [&[20, 3, 3, 3], &[20, 1, 3, 3], &[40, 20, 1, 1], &[40], &[10, 40], &[10], &[10, 10]];

/// Convolutions of three kinds, a product, a loop of products and a softmax.
fn net(batch: &str) -> Module {
    let symbol = if batch == "n" { "symbol $0 \"n\": 1.." } else { "" };
    let mut text = format!(
        r#"airconv 0.1

func @0 "net" {{
  {symbol}
  in "x": user
  in "trips": user
  out "y": user
  body ^0(%0 "x": f32[{batch}, 3, 13, 13], %1 "trips": i64[]) {{
    %2: f32[20, 3, 3, 3] = constant {{tensor = #0}}
    %3: f32[20, 1, 3, 3] = constant {{tensor = #1}}
    %4: f32[40, 20, 1, 1] = constant {{tensor = #2}}
    %5: f32[40] = constant {{tensor = #3}}
    %6: f32[10, 40] = constant {{tensor = #4}}
    %7: f32[10] = constant {{tensor = #5}}
    %8: f32[10, 10] = constant {{tensor = #6}}
    %9: f32[{batch}, 20, 7, 7] = conv(%0, %2) {{strides = [2, 2], pads = [1, 1, 1, 1], dilations = [1, 1], input_dilations = [1, 1]}}
    %10: f32[{batch}, 20, 7, 7] = relu(%9)
    %11: f32[{batch}, 20, 7, 7] = conv(%10, %3) {{strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], input_dilations = [1, 1], groups = 20}}
    %12: f32[{batch}, 40, 7, 7] = conv(%11, %4, %5) {{strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], input_dilations = [1, 1]}}
    %13: f32[{batch}, 40, 7, 7] = sigmoid(%12)
    %14: f32[{batch}, 40] = reduce(%13) {{kind = max, axes = [2, 3]}}
    %15: f32[{batch}, 10] = gemm(%14, %6, %7) {{trans_b = true}}
    %16: f32[{batch}, 10] = loop(%1, _, %15, %8) {{body = ^1(
      %17: i64[],
      %18: bool[],
      %19: f32[{batch}, 10],
      %20: f32[10, 10],
    ) {{
      %21: f32[{batch}, 10] = gemm(%19, %20)
      %22: f32[{batch}, 10] = tanh(%21)
      return %18, %22
    }}, carried = 1}}
    %23: f32[{batch}, 10] = softmax(%16) {{axes = [1]}}
    return %23
  }}
}}

"#
    );
    let mut state = 7u32;
    for (i, shape) in WEIGHTS.iter().enumerate() {
        let count: u64 = shape.iter().product();
        let list: Vec<String> = (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (f64::from(state >> 16) / 65536.0 - 0.5).to_string()
            })
            .collect();
        let dims: Vec<String> = shape.iter().map(u64::to_string).collect();
        text += &format!("tensor #{i}: f32[{}] = [{}]\n", dims.join(", "), list.join(", "));
    }
    parse(&text, &ParseOptions::default()).unwrap()
}

/// What the interpreter gives for the inputs of the caller.
fn expected(batch: usize) -> Vec<f32> {
    let x = (0..batch * 3 * 169).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let x = Array::from_vec::<f32>(vec![batch, 3, 13, 13], x).unwrap();
    let trips = Array::from_vec(Vec::new(), vec![3i64]).unwrap();
    let inputs: BTreeMap<_, _> =
        [("x".to_owned(), x.into()), ("trips".to_owned(), trips.into())].into();
    let mut interpreter = Interpreter::new(net(&batch.to_string()), EvalLimits::default());
    let outputs = interpreter.run(&inputs).unwrap();
    outputs[0].1.as_array().unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command in a folder, which has to succeed, and gives what it prints.
fn command(folder: &Path, program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

fn make(folder: &Path, file: &str, batch: &str, kind: Kind, settings: &Settings) {
    let mut report = Report::default();
    let done = build(&net(batch), &folder.join(file), kind, settings, &mut report);
    assert!(done.is_ok(), "{:?}", report.diagnostics);
}

/// Compiles the caller with an artefact.
fn compile(folder: &Path, artefact: &str, batch: usize, rounds: usize, flags: &[&str]) {
    std::fs::write(folder.join("caller.c"), CALLER).unwrap();
    let (batch, rounds) = (format!("-DBATCH={batch}"), format!("-DROUNDS={rounds}"));
    let args = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", &batch, &rounds, "caller.c"];
    let rest = [artefact, "-o", "caller", "-lm", "-pthread"];
    command(folder, "cc", &[&args[..], flags, &rest[..]].concat());
}

fn compare(printed: &str, batch: usize) {
    let got: Vec<f32> = printed.lines().map(|line| line.parse().unwrap()).collect();
    let wanted = expected(batch);
    assert_eq!(got.len(), wanted.len());
    for (x, y) in got.iter().zip(&wanted) {
        assert!((x - y).abs() <= 1e-5, "{got:?} not {wanted:?}");
    }
}

/// The levels that run here and under valgrind.
fn common() -> Vec<Isa> {
    if cfg!(target_arch = "x86_64") { vec![Isa::V3] } else { vec![Isa::Neon] }
}

#[test]
fn a_static_library_needs_the_c_library_alone() {
    let dir = tempfile::tempdir().unwrap();
    // Sizes that are known, and sizes that are given with the inputs.
    for batch in ["2", "n"] {
        make(dir.path(), "net.a", batch, Kind::Archive, &Settings::default());
        compile(dir.path(), "net.a", 2, 20, &[]);
        let out = Command::new(dir.path().join("caller")).env_clear().output().unwrap();
        assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
        compare(&text(&out.stdout), 2);
    }
    compile(dir.path(), "net.a", 5, 1, &[]);
    compare(&command(dir.path(), "./caller", &[]), 5);
    let needs = command(dir.path(), "ldd", &["./caller"]);
    for line in needs.lines() {
        let known = ["linux-vdso", "libc.so", "libm.so", "libpthread.so", "ld-linux"];
        assert!(known.iter().any(|name| line.contains(name)), "{line}");
    }
    let names = command(dir.path(), "nm", &["-g", "--defined-only", "net.a"]);
    let defined = names.lines().filter_map(|l| l.split_whitespace().nth(2));
    assert!(defined.clone().all(|name| name.starts_with("net_")), "{names}");
    assert_eq!(defined.count(), 6, "{names}");
}

#[test]
fn the_header_is_c99_and_cpp() {
    let dir = tempfile::tempdir().unwrap();
    let levels = common();
    make(dir.path(), "net.o", "n", Kind::Object, &Settings { levels, ..Settings::default() });
    let strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"];
    for (tool, std, file) in [("cc", "-std=c99", "use.c"), ("c++", "-std=c++11", "use.cpp")] {
        let uses = "#include \"net.h\"\n#include \"net.h\"\nint f(void);\nint f(void) { return NET_INPUTS; }\n";
        std::fs::write(dir.path().join(file), uses).unwrap();
        command(dir.path(), tool, &[&[std][..], &strict, &[file]].concat());
    }
}

#[test]
fn compilers_find_no_fault() {
    for (sanitizer, rounds) in [(Sanitizer::Address, 2), (Sanitizer::Thread, 4)] {
        let dir = tempfile::tempdir().unwrap();
        // Races are looked for in accesses of up to 16 bytes, which is what vectors of v2 are.
        let levels = match sanitizer {
            Sanitizer::Thread if cfg!(target_arch = "x86_64") => vec![Isa::V2],
            _ => common(),
        };
        let settings = Settings { levels, sanitizer: Some(sanitizer), ..Settings::default() };
        make(dir.path(), "net.a", "2", Kind::Archive, &settings);
        compile(dir.path(), "net.a", 2, rounds, &[sanitizer.flag(), "-fno-sanitize-recover=all"]);
        compare(&command(dir.path(), "./caller", &[]), 2);
        // The same program by the C writer.
        let lowered = lower(&net("2"), LowerOptions { host: false, ..Default::default() }).unwrap();
        let options = COptions { name: "net".to_owned(), ..COptions::default() };
        let c = program_c(&lowered.program, &lowered.module, &options).unwrap();
        std::fs::write(dir.path().join("net.h"), c.header).unwrap();
        std::fs::write(dir.path().join("net.c"), c.source).unwrap();
        compile(dir.path(), "net.c", 2, rounds, &[sanitizer.flag(), "-fno-sanitize-recover=all"]);
        compare(&command(dir.path(), "./caller", &[]), 2);
    }
}

#[test]
fn valgrind_finds_no_fault() {
    let found = Command::new("valgrind").arg("--version").output();
    if let Err(e) = found {
        // It is no part of what building needs; the other tests run on guard pages too.
        assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let levels = common();
    make(dir.path(), "net.a", "n", Kind::Archive, &Settings { levels, ..Settings::default() });
    compile(dir.path(), "net.a", 2, 1, &[]);
    let args = ["-q", "--error-exitcode=9", "--leak-check=full", "./caller"];
    compare(&command(dir.path(), "valgrind", &args), 2);
}

#[test]
fn weights_beside_are_mapped_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { external_from: Some(256), levels: common(), ..Settings::default() };
    make(dir.path(), "net.so", "2", Kind::Shared, &settings);
    let weights = dir.path().join("net.weights");
    let all: u64 = WEIGHTS.iter().map(|s| s.iter().product::<u64>() * 4).sum();
    assert!(std::fs::metadata(&weights).unwrap().len() >= all - 512);
    compile(dir.path(), "./net.so", 2, 1, &[]);
    compare(&command(dir.path(), "./caller", &[]), 2);
    let read = || {
        let mut report = Report::default();
        NativeReader.read(&dir.path().join("net.so"), &ReadOptions::default(), &mut report)
    };
    let bytes =
        |m: &Module| -> Vec<_> { m.tensors.values().map(|t| t.to_array().unwrap()).collect() };
    assert_eq!(bytes(&read().unwrap()), bytes(&net("2")));
    // Elsewhere the path is told.
    std::fs::rename(&weights, dir.path().join("other")).unwrap();
    compare(&command(dir.path(), "./caller", &["other"]), 2);
    let out = Command::new("./caller").current_dir(dir.path()).output().unwrap();
    assert!(text(&out.stdout).contains("weights cannot be mapped"), "{}", text(&out.stdout));
    assert!(read().is_err());
    // A file of another version is as long, and none of this model's.
    let mut other = std::fs::read(dir.path().join("other")).unwrap();
    let last = other.len() - 1;
    other[last] ^= 1;
    std::fs::write(&weights, other).unwrap();
    let out = Command::new("./caller").current_dir(dir.path()).output().unwrap();
    assert!(text(&out.stdout).contains("is another's"), "{}", text(&out.stdout));
}

#[test]
fn ir_for_other_compilers() {
    let dir = tempfile::tempdir().unwrap();
    let levels = common();
    let level = levels[0];
    for (file, kind) in [("net.ll", Kind::Text), ("net.bc", Kind::Bitcode)] {
        let settings = Settings { levels: levels.clone(), ..Settings::default() };
        make(dir.path(), file, "2", kind, &settings);
        let ir = std::fs::read(dir.path().join(file)).unwrap();
        assert_eq!(ir.starts_with(b"BC"), kind == Kind::Bitcode);
        if kind == Kind::Text {
            let library = Library::get().unwrap();
            let target = Target::of(level);
            let object = airconv_llvm::compile(library, &text(&ir), &target, Output::Object);
            std::fs::write(dir.path().join("kernels.o"), object.unwrap()).unwrap();
            compile(dir.path(), "net.c", 2, 1, &["kernels.o"]);
            compare(&command(dir.path(), "./caller", &[]), 2);
        }
    }
}

/// A C program that runs `net` on one input of type `TYPE` and prints the one output.
const ONE: &str = r#"
#include "net.h"
#include <stdio.h>
int main(void)
{
    static TYPE x[IN], y[OUT];
    const int64_t shape[] = {SHAPE}, *const shapes[] = {shape};
    const void *inputs[] = {x};
    void *outputs[] = {y};
    const struct net_options options = {2, 1, NULL};
    net_context *context;
    for (int i = 0; i < IN; i++)
        x[i] = (TYPE)((float)(i * i % 1031 - 500) * SCALE);
    if (net_create(&context, shapes, &options) || net_run(context, inputs, outputs, NULL, NULL))
        return 1;
    net_destroy(context);
    for (int i = 0; i < OUT; i++)
        printf("%.9g\n", (double)y[i]);
    return 0;
}
"#;

/// What a program of one input gives in C and in the interpreter.
fn both(
    text: &str,
    (ty, dtype): (&str, DType),
    shape: &[usize],
    out: usize,
    scale: f32,
) -> [Vec<f32>; 2] {
    let module = parse(text, &ParseOptions::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut report = Report::default();
    let settings = Settings { levels: common(), ..Settings::default() };
    let done = build(&module, &dir.path().join("net.a"), Kind::Archive, &settings, &mut report);
    assert!(done.is_ok(), "{:?}", report.diagnostics);
    std::fs::write(dir.path().join("main.c"), ONE).unwrap();
    let count: usize = shape.iter().product();
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let defines = [
        format!("-DTYPE={ty}"),
        format!("-DIN={count}"),
        format!("-DOUT={out}"),
        format!("-DSHAPE={}", dims.join(",")),
        format!("-DSCALE={scale:?}f"),
    ];
    let mut args: Vec<&str> = defines.iter().map(String::as_str).collect();
    args.extend(["main.c", "net.a", "-o", "main", "-lm", "-pthread"]);
    command(dir.path(), "cc", &args);
    let printed = command(dir.path(), "./main", &[]);
    let got = printed.lines().map(|line| line.parse().unwrap()).collect();
    let x = (0..count).map(|i| f64::from((i * i % 1031) as f32 - 500.0) * f64::from(scale));
    let x = Array::from_f64s(dtype, shape.to_vec(), &x.collect::<Vec<_>>()).unwrap();
    let inputs: BTreeMap<_, _> = [("x".to_owned(), x.into())].into();
    let outputs = Interpreter::new(module, EvalLimits::default()).run(&inputs).unwrap();
    [got, outputs[0].1.as_array().unwrap().to_f64s().unwrap().iter().map(|&x| x as f32).collect()]
}

/// Rounding to narrow floats, which kernels leave to a function.
#[test]
fn narrow_floats_are_rounded_alike() {
    let text = r#"airconv 0.1

func @0 "net" {
  in "x": user
  out "y": user
  body ^0(%0 "x": f32[64]) {
    %1: f8e4m3fn[64] = cast(%0) {to = f8e4m3fn, saturate = true, rounding = up}
    %2: f32[64] = cast(%1) {to = f32, saturate = true, rounding = up}
    return %2
  }
}
"#;
    let [got, wanted] = both(text, ("float", DType::F32), &[64], 64, 0.375);
    assert_eq!(got, wanted);
}

/// A product of `f16` whose weights are bytes, which are made `f16` once.
#[test]
fn weights_that_are_computed() {
    let weights: Vec<String> = (0..48 * 40).map(|i| (i * 7 % 19 - 9).to_string()).collect();
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "x": user
  out "y": user
  body ^0(%0 "x": f16[5, 48]) {{
    %1: i8[48, 40] = constant {{tensor = #0}}
    %2: f16[48, 40] = cast(%1) {{to = f16, saturate = true, rounding = up}}
    %3: f16[5, 40] = matmul(%0, %2)
    return %3
  }}
}}

tensor #0: i8[48, 40] = [{}]
"#,
        weights.join(", ")
    );
    let [got, wanted] = both(&text, ("_Float16", DType::F16), &[5, 48], 200, 0.0009765625);
    assert_eq!(got.len(), wanted.len());
    for (x, y) in got.iter().zip(&wanted) {
        assert!((x - y).abs() <= 2e-3 * y.abs().max(1.0), "{got:?} not {wanted:?}");
    }
}
