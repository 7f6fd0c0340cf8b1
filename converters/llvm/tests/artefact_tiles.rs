//! Products of native artefacts on AMX tiles: the numbers of the interpreter, and bit by bit those
//! of this process; what planes are not exact for; and the choice, which is the same in C.
#![cfg(all(unix, target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "common/net.rs"]
mod net;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::verify::{Stage, verify};
use airconv_llvm::artefact::{Kind, Sanitizer, Settings, build};
use airconv_llvm::executor::LlvmExecutor;
use airconv_llvm::micro::amx::{Grade, Range, exact, variant};
use airconv_llvm::select::cost::Work;
use airconv_llvm::{Isa, Library, Output, Target};
use net::{Net, compare, finished, floats, joined, numbers, settings};

/// A constant, with some columns that are far smaller or larger than the others.
fn tensor(i: usize, ty: &str, shape: &[usize]) -> String {
    let columns = *shape.last().unwrap();
    let list: Vec<String> = numbers(shape.iter().product(), 77 + i as u64)
        .iter()
        .enumerate()
        .map(|(at, x)| match (ty, at % columns) {
            ("f32", 11) => (x * 2e-13).to_string(),
            ("f32", 12) => (x * 1e12).to_string(),
            _ => x.to_string(),
        })
        .collect();
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("tensor #{i}: {ty}[{}] = [{}]\n", dims.join(", "), list.join(", "))
}

/// Products of odd sizes of each kind: of constants and of inputs, patches in runs of whole
/// and of other chunks, and `f16`.
fn odd() -> Net {
    let conv =
        "{strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], input_dilations = [1, 1]}";
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "a": user
  in "b": user
  in "c": user
  in "x": user
  in "y": user
  out "p": user
  out "q": user
  out "u": user
  out "v": user
  out "w": user
  body ^0(%0 "a": f32[37, 200], %1 "b": f32[3, 45, 96], %2 "c": f32[3, 96, 70], %3 "x": f32[2, 24, 9, 11], %4 "y": f32[1, 64, 16, 14]) {{
    %5: f32[200, 75] = constant {{tensor = #0}}
    %6: f32[40, 24, 3, 3] = constant {{tensor = #1}}
    %7: f32[40] = constant {{tensor = #2}}
    %8: f32[36, 64, 3, 3] = constant {{tensor = #3}}
    %9: f16[200, 33] = constant {{tensor = #4}}
    %10: f32[37, 75] = matmul(%0, %5)
    %11: f32[3, 45, 70] = matmul(%1, %2)
    %12: f32[2, 40, 9, 11] = conv(%3, %6, %7) {conv}
    %13: f32[2, 40, 9, 11] = relu(%12)
    %14: f32[1, 36, 16, 14] = conv(%4, %8) {conv}
    %15: f16[37, 200] = cast(%0) {{to = f16, saturate = true, rounding = up}}
    %16: f16[37, 33] = matmul(%15, %9)
    %17: f32[37, 33] = cast(%16) {{to = f32, saturate = true, rounding = up}}
    return %10, %11, %13, %14, %17
  }}
}}

{}{}{}{}{}"#,
        tensor(0, "f32", &[200, 75]),
        tensor(1, "f32", &[40, 24, 3, 3]),
        tensor(2, "f32", &[40]),
        tensor(3, "f32", &[36, 64, 3, 3]),
        tensor(4, "f16", &[200, 33]),
    );
    Net {
        text,
        inputs: vec![
            ("a", vec![37, 200]),
            ("b", vec![3, 45, 96]),
            ("c", vec![3, 96, 70]),
            ("x", vec![2, 24, 9, 11]),
            ("y", vec![1, 64, 16, 14]),
        ],
        outputs: vec![
            vec![37, 75],
            vec![3, 45, 70],
            vec![2, 40, 9, 11],
            vec![1, 36, 16, 14],
            vec![37, 33],
        ],
    }
}

/// Products that are worth tiles: of a constant, of inputs, of many inputs, and of sums so long
/// that they are done in parts.
fn large() -> Net {
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "a": user
  in "b": user
  in "c": user
  in "d": user
  in "e": user
  in "f": user
  out "p": user
  out "q": user
  out "u": user
  out "v": user
  body ^0(%0 "a": f32[128, 256], %1 "b": f32[160, 300], %2 "c": f32[300, 200], %3 "d": f32[3, 96, 128], %4 "e": f32[3, 128, 160], %5 "f": f32[200, 1536]) {{
    %6: f32[256, 256] = constant {{tensor = #0}}
    %7: f32[1536, 64] = constant {{tensor = #1}}
    %8: f32[128, 256] = matmul(%0, %6)
    %9: f32[160, 200] = matmul(%1, %2)
    %10: f32[3, 96, 160] = matmul(%3, %4)
    %11: f32[200, 64] = matmul(%5, %7)
    return %8, %9, %10, %11
  }}
}}

{}{}"#,
        tensor(0, "f32", &[256, 256]),
        tensor(1, "f32", &[1536, 64])
    );
    Net {
        text,
        inputs: vec![
            ("a", vec![128, 256]),
            ("b", vec![160, 300]),
            ("c", vec![300, 200]),
            ("d", vec![3, 96, 128]),
            ("e", vec![3, 128, 160]),
            ("f", vec![200, 1536]),
        ],
        outputs: vec![vec![128, 256], vec![160, 200], vec![3, 96, 160], vec![200, 64]],
    }
}

/// A product whose rows are not known when the code is made.
fn open(rows: usize) -> Net {
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  symbol $0 "n": 1..
  in "a": user
  out "p": user
  body ^0(%0 "a": f32[n, 256]) {{
    %1: f32[256, 512] = constant {{tensor = #0}}
    %2: f32[n, 512] = matmul(%0, %1)
    return %2
  }}
}}

{}"#,
        tensor(0, "f32", &[256, 512])
    );
    Net { text, inputs: vec![("a", vec![rows, 256])], outputs: vec![vec![rows, 512]] }
}

/// What this process gives at a level.
fn here(net: &Net, values: &[Vec<f32>], isa: Isa, threads: usize) -> Vec<f32> {
    let module = net.module();
    let verified = verify(&module, Stage::Imported).unwrap();
    let options = RunOptions { threads, isa: Some(isa.name().to_owned()), ..RunOptions::default() };
    let mut report = Report::default();
    let out = LlvmExecutor.run(&verified, &net.data(values), &options, &mut report);
    joined(&out.unwrap_or_else(|_| panic!("{:?}", report.diagnostics)))
}

/// Whether tiles can be used here; says so where they cannot.
fn has_tiles() -> bool {
    let has = Isa::Amx.runs_here();
    if !has {
        println!("skipped: this machine has no AMX tiles");
    }
    has
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn large_products_are_done_on_tiles() {
    if !has_tiles() {
        return;
    }
    let (net, dir) = (large(), tempfile::tempdir().unwrap());
    let usual = net.usual();
    net.build(dir.path(), &settings(&[]));
    let wanted = net.expected(&usual);
    for threads in [1, 2] {
        let got = net.run(dir.path(), &usual, threads);
        compare(&got, &wanted, 1e-6);
        assert_eq!(bits(&got), bits(&here(&net, &usual, Isa::Amx, threads)), "{threads} threads");
        assert_ne!(bits(&got), bits(&here(&net, &usual, Isa::V4, threads)), "vectors are used");
    }
    // Rows whose planes are not exact, beside some that are.
    let mut odd = usual;
    for (x, width) in [(0, 256), (1, 300), (3, 128), (5, 1536)] {
        let row = |r: usize| r * width..(r + 1) * width;
        odd[x][row(5)][3] = f32::INFINITY;
        odd[x][row(20)][7] = f32::NAN;
        odd[x][row(60)][9] = 1e38;
        odd[x][row(75)][2] = f32::NEG_INFINITY;
        odd[x][row(40)].iter_mut().for_each(|v| *v *= 1e-30);
        odd[x][row(80)].iter_mut().for_each(|v| *v = (v.abs() + 1.0).copysign(*v) * 1e-36);
    }
    let wanted = net.expected(&odd);
    for threads in [1, 2] {
        compare(&net.run(dir.path(), &odd, threads), &wanted, 1e-6);
    }
}

#[test]
fn products_of_all_kinds_are_right_on_tiles() {
    if !has_tiles() {
        return;
    }
    let net = odd();
    let usual = net.usual();
    let mut odd = usual.clone();
    odd[1][200] = f32::NAN;
    odd[3][100] = f32::INFINITY;
    odd[4][20] = 1e38;
    for sanitizer in [None, Some(Sanitizer::Address), Some(Sanitizer::Thread)] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { sanitizer, always_tiles: true, ..settings(&[Isa::Amx]) };
        net.build(dir.path(), &settings);
        for values in [&usual, &odd] {
            let wanted = net.expected(values);
            for threads in [1, 2] {
                // The last output is rounded to `f16`.
                let got = net.run(dir.path(), values, threads);
                let last = got.len() - 37 * 33;
                let part = |from: usize, to: usize| {
                    [wanted[0][from..to].to_vec(), wanted[1][from..to].to_vec()]
                };
                compare(&got[..last], &part(0, last), 1e-6);
                compare(&got[last..], &part(last, got.len()), 1e-3);
            }
        }
    }
}

#[test]
fn sizes_decide_when_a_context_is_made() {
    if !has_tiles() {
        return;
    }
    let (tiles, vectors) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(1).build(tiles.path(), &settings(&[Isa::V3, Isa::Amx]));
    open(1).build(vectors.path(), &settings(&[Isa::V4]));
    for (rows, alike) in [(3, true), (160, false)] {
        let net = open(rows);
        let usual = net.usual();
        let [got, other] = [tiles.path(), vectors.path()].map(|folder| {
            net.compile(folder, &["net.a"], None);
            net.run(folder, &usual, 1)
        });
        compare(&got, &net.expected(&usual), 1e-6);
        assert_eq!(bits(&got) == bits(&other), alike, "{rows} rows");
    }
}

/// Valgrind plays a processor without tiles and without AVX-512.
#[test]
fn other_processors_do_without_tiles() {
    let found = Command::new("valgrind").arg("--version").output();
    if let Err(e) = found {
        assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
        println!("skipped: valgrind is not there");
        return;
    }
    let (net, dir) = (open(40), tempfile::tempdir().unwrap());
    let usual = net.usual();
    net.build(dir.path(), &settings(&[]));
    net.run(dir.path(), &usual, 1);
    std::fs::remove_file(dir.path().join("out")).unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["-q", "--error-exitcode=9", "--leak-check=full", "./caller", "1"]);
    finished(valgrind.current_dir(dir.path()));
    compare(&floats(&dir.path().join("out")), &net.expected(&usual), 1e-6);
}

/// Decides on tiles in C, as lines of input ask for.
const DECISIONS: &str = r#"
#include "net.c"
#include <stdio.h>
int main(void)
{
    long long m, n, k, run, constant, weights, is_long, planes, products;
    struct ac_range l, r;
    while (scanf("%lld %lld %lld %lld %lld %lld %lld %lld %lld %x %x %x %x %x %x", &m, &n, &k, &run,
                 &constant, &weights, &is_long, &planes, &products, &l.low, &l.high, &l.bits,
                 &r.low, &r.high, &r.bits) == 15) {
        struct ac_product p = {.m = m, .n = n, .k = k, .run = run};
        const struct ac_tiles t = {.planes = planes,
                                   .products = products,
                                   .weights = weights,
                                   .is_long = (int)is_long};
        printf("%d %d %d\n", ac_tiles_pay(&p, &t, (int)constant), ac_exact(l, r, k),
               (int)ac_variant(l, r, planes));
    }
    return 0;
}
"#;

/// The driver beside IR of the level with tiles: its numbers and its decisions are those of this
/// process.
#[test]
fn ir_with_tiles_and_decisions_in_c() {
    let (net, dir) = (large(), tempfile::tempdir().unwrap());
    let mut report = Report::default();
    let made = dir.path().join("net.ll");
    let done = build(&net.module(), &made, Kind::Text, &settings(&[Isa::Amx]), &mut report);
    assert!(done.is_ok(), "{:?}", report.diagnostics);
    let ir = std::fs::read_to_string(made).unwrap();
    let library = Library::get().unwrap();
    let object = airconv_llvm::compile(library, &ir, &Target::of(Isa::V4), Output::Object).unwrap();
    std::fs::write(dir.path().join("kernels.o"), object).unwrap();
    net.compile(dir.path(), &["net.c", "kernels.o"], None);
    if has_tiles() {
        let usual = net.usual();
        let got = net.run(dir.path(), &usual, 2);
        assert_eq!(bits(&got), bits(&here(&net, &usual, Isa::Amx, 2)));
    }
    std::fs::write(dir.path().join("decide.c"), DECISIONS).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O1", "decide.c", "kernels.o"]);
    finished(cc.args(["-o", "decide", "-lm", "-pthread"]).current_dir(dir.path()));

    let mut state = 5u64;
    let mut next = |most: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % most
    };
    let (mut asked, mut wanted) = (String::new(), Vec::new());
    for _ in 0..4000 {
        let mut size = || 1i64 << (2 + next(10)) | next(1 << 5) as i64;
        let [m, n, k] = [size(), size(), size()];
        let run = [None, None, Some(64), Some(24)][next(4) as usize];
        let grade = Grade::ALL[next(3) as usize];
        let (constant, long) = (next(2) == 1, next(2) == 1);
        let weights = [1i64 << 20, 1 << 30][next(2) as usize];
        let work = Work { m, n, k, constant, run, weights, long };
        let mut range = || {
            let exponent = |x: u64| (x as u32) << 23;
            let bits = [0xffff_0000, 0xffff_ff00, u32::MAX][next(3) as usize];
            match next(8) {
                0 => Range::NONE,
                1 => Range { low: exponent(100), high: exponent(255), bits },
                _ => {
                    let low = next(200);
                    Range { low: exponent(low), high: exponent(low + next(255 - low)), bits }
                }
            }
        };
        let (left, right) = (range(), range());
        let _ = writeln!(
            asked,
            "{m} {n} {k} {} {} {weights} {} {} {} {:x} {:x} {:x} {:x} {:x} {:x}",
            run.unwrap_or(0),
            i32::from(constant),
            i32::from(long),
            grade.planes(),
            grade.products_count(),
            left.low,
            left.high,
            left.bits,
            right.low,
            right.high,
            right.bits
        );
        let (pays, fine) = (work.pays(grade), exact(left, right, k));
        let which = variant(grade, left.planes(), right.planes());
        wanted.push(format!("{} {} {which}", i32::from(pays), i32::from(fine)));
    }
    for of in [0, 2] {
        let yes = wanted.iter().filter(|w| w.as_bytes()[of] == b'1').count();
        assert!((200..3800).contains(&yes), "{yes} of the cases");
    }
    let mut child = Command::new(dir.path().join("decide"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()).unwrap());
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(out.status.success());
    let printed = String::from_utf8(out.stdout).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), wanted);
}
