//! Products of bytes in native artefacts, bit by bit as the interpreter does them where they are
//! of integers, and a step of a byte apart at most where they stand for products of floats.
#![cfg(all(unix, target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "common/net.rs"]
mod net;

use airconv_llvm::Isa;
use airconv_llvm::artefact::{Sanitizer, Settings};
use net::{Net, numbers, settings};

/// A constant of bytes: any, or the ends of the range only.
fn tensor(i: usize, ty: &str, shape: &[usize], ends: bool) -> String {
    let low = if ty == "i8" { -128.0 } else { 0.0 };
    let byte = |x: &f32| match ends {
        true => low + if *x < 0.0 { 0.0 } else { 255.0 },
        false => low + ((x + 1.0) * 128.0).floor(),
    };
    let list = numbers(shape.iter().product(), 99 + i as u64);
    let list: Vec<String> = list.iter().map(|x| byte(x).to_string()).collect();
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("tensor #{i}: {ty}[{}] = [{}]\n", dims.join(", "), list.join(", "))
}

/// Products of each pair of types: of constants whose zero points differ by column, or are none; of
/// inputs, of one row, of rows that are read where they are, of rows that lie column by column.
fn matrices() -> Net {
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "a": user
  in "b": user
  in "c": user
  in "d": user
  in "e": user
  in "f": user
  in "g": user
  in "za": user
  in "zb": user
  in "zd": user
  out "p": user
  out "q": user
  out "r": user
  out "s": user
  out "t": user
  out "u": user
  out "v": user
  out "w": user
  body ^0(%0 "a": u8[37, 131], %1 "b": i8[37, 131], %2 "c": i8[20, 3, 45], %3 "d": u8[45, 3, 33], %4 "e": u8[1, 200], %5 "f": u8[26, 64], %6 "g": i8[131, 37], %7 "za": u8[], %8 "zb": i8[], %9 "zd": u8[]) {{
    %10: i8[131, 70] = constant {{tensor = #0}}
    %11: i8[70] = constant {{tensor = #1}}
    %12: u8[131, 33] = constant {{tensor = #2}}
    %13: u8[33] = constant {{tensor = #3}}
    %14: i8[200, 51] = constant {{tensor = #4}}
    %15: i8[64, 48] = constant {{tensor = #5}}
    %16: i32[37, 70] = matmul_integer(%0, %10, %7, %11)
    %17: i32[37, 33] = matmul_integer(%1, %12, %8, %13)
    %18: i32[37, 33] = matmul_integer(%0, %12)
    %19: i32[37, 70] = matmul_integer(%1, %10, %8)
    %25: i8[3, 20, 45] = transpose(%2) {{perm = [1, 0, 2]}}
    %26: u8[3, 45, 33] = transpose(%3) {{perm = [1, 0, 2]}}
    %20: i32[3, 20, 33] = matmul_integer(%25, %26, %8, %9)
    %21: i32[1, 51] = matmul_integer(%4, %14, %7)
    %22: i32[26, 48] = matmul_integer(%5, %15)
    %23: i8[37, 131] = transpose(%6) {{perm = [1, 0]}}
    %24: i32[37, 33] = matmul_integer(%23, %12, %8, %13)
    return %16, %17, %18, %19, %20, %21, %22, %24
  }}
}}

{}{}{}{}{}{}"#,
        tensor(0, "i8", &[131, 70], false),
        tensor(1, "i8", &[70], false),
        tensor(2, "u8", &[131, 33], false),
        tensor(3, "u8", &[33], false),
        tensor(4, "i8", &[200, 51], true),
        tensor(5, "i8", &[64, 48], true),
    );
    let inputs = vec![
        ("a", vec![37, 131]),
        ("b", vec![37, 131]),
        ("c", vec![20, 3, 45]),
        ("d", vec![45, 3, 33]),
        ("e", vec![1, 200]),
        ("f", vec![26, 64]),
        ("g", vec![131, 37]),
        ("za", vec![]),
        ("zb", vec![]),
        ("zd", vec![]),
    ];
    let outputs = vec![
        vec![37, 70],
        vec![37, 33],
        vec![37, 33],
        vec![37, 70],
        vec![3, 20, 33],
        vec![1, 51],
        vec![26, 48],
        vec![37, 33],
    ];
    Net { text, inputs, outputs }
}

/// Convolutions with zero points around: of few channels and of many, with strides, dilations and
/// groups (these are done in floats); and a product that becomes bytes again.
fn convolutions() -> Net {
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "x": user
  in "y": user
  in "a": user
  in "zx": user
  in "zy": user
  out "p": user
  out "q": user
  out "r": user
  out "s": user
  out "t": user
  body ^0(%0 "x": u8[2, 3, 9, 11], %1 "y": i8[2, 24, 10, 7], %2 "a": u8[37, 50], %3 "zx": u8[], %4 "zy": i8[]) {{
    %5: i8[40, 3, 3, 3] = constant {{tensor = #0}}
    %6: u8[40, 24, 3, 3] = constant {{tensor = #1}}
    %7: u8[40] = constant {{tensor = #2}}
    %8: i8[36, 12, 3, 3] = constant {{tensor = #3}}
    %9: i8[50, 34] = constant {{tensor = #4}}
    %10: f32[] = constant {{tensor = #5}}
    %11: u8[] = constant {{tensor = #6}}
    %12: i8[34] = constant {{tensor = #7}}
    %13: f32[34] = constant {{tensor = #8}}
    %14: i32[2, 40, 5, 6] = conv_integer(%0, %5, %3) {{strides = [2, 2], pads = [1, 1, 1, 1], dilations = [1, 1]}}
    %15: i32[2, 40, 10, 7] = conv_integer(%1, %6, %4, %7) {{strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}}
    %16: i32[2, 36, 8, 5] = conv_integer(%1, %8, %4) {{strides = [1, 1], pads = [1, 1, 1, 1], dilations = [2, 2], groups = 2}}
    %17: u8[37, 34] = qlinear_matmul(%2, %10, %11, %9, %13, %12, %10, %11)
    %18: f32[37, 34] = dequantize_linear(%17, %10, %11)
    return %14, %15, %16, %17, %18
  }}
}}

{}{}{}{}{}tensor #5: f32[] = [0.03]
tensor #6: u8[] = [120]
{}tensor #8: f32[34] = [{}]
"#,
        tensor(0, "i8", &[40, 3, 3, 3], false),
        tensor(1, "u8", &[40, 24, 3, 3], false),
        tensor(2, "u8", &[40], false),
        tensor(3, "i8", &[36, 12, 3, 3], true),
        tensor(4, "i8", &[50, 34], false),
        tensor(7, "i8", &[34], false),
        (0..34).map(|i| (0.002 + 0.0001 * f64::from(i)).to_string()).collect::<Vec<_>>().join(", "),
    );
    let inputs = vec![
        ("x", vec![2, 3, 9, 11]),
        ("y", vec![2, 24, 10, 7]),
        ("a", vec![37, 50]),
        ("zx", vec![]),
        ("zy", vec![]),
    ];
    let outputs =
        vec![vec![2, 40, 5, 6], vec![2, 40, 10, 7], vec![2, 36, 8, 5], vec![37, 34], vec![37, 34]];
    Net { text, inputs, outputs }
}

/// A network of floats between which there are bytes, with scales for each channel of the weights:
/// what a convolution makes goes to two others, whose results meet in a sum.
fn scaled() -> Net {
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "x": user
  out "p": user
  out "q": user
  body ^0(%0 "x": u8[2, 24, 9, 7]) {{
    %1: i8[24, 24, 3, 3] = constant {{tensor = #0}}
    %2: i8[24, 24, 1, 1] = constant {{tensor = #1}}
    %3: i8[40, 24, 3, 3] = constant {{tensor = #2}}
    %4: f32[24] = constant {{tensor = #3}}
    %5: f32[24] = constant {{tensor = #4}}
    %6: i8[24] = constant {{tensor = #5}}
    %7: f32[] = constant {{tensor = #6}}
    %8: f32[] = constant {{tensor = #7}}
    %9: u8[] = constant {{tensor = #8}}
    %10: i8[] = constant {{tensor = #9}}
    %11: f32[2, 24, 9, 7] = dequantize_linear(%0, %7, %9)
    %12: f32[24, 24, 3, 3] = dequantize_linear(%1, %4, %6) {{axis = 0}}
    %13: f32[24, 24, 1, 1] = dequantize_linear(%2, %4, %6) {{axis = 0}}
    %14: f32[40, 24, 3, 3] = dequantize_linear(%3, %8, %10)
    %15: f32[2, 24, 9, 7] = conv(%11, %12, %5) {{strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], input_dilations = [1, 1]}}
    %16: u8[2, 24, 9, 7] = quantize_linear(%15, %7, %9) {{dtype = u8}}
    %17: f32[2, 24, 9, 7] = dequantize_linear(%16, %7, %9)
    %18: f32[2, 24, 9, 7] = conv(%17, %13, %5) {{strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], input_dilations = [1, 1]}}
    %19: u8[2, 24, 9, 7] = quantize_linear(%18, %7, %9) {{dtype = u8}}
    %20: f32[2, 24, 9, 7] = dequantize_linear(%19, %7, %9)
    %21: f32[2, 24, 9, 7] = conv(%17, %13) {{strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], input_dilations = [1, 1]}}
    %22: u8[2, 24, 9, 7] = quantize_linear(%21, %7, %9) {{dtype = u8}}
    %23: f32[2, 24, 9, 7] = dequantize_linear(%22, %7, %9)
    %24: f32[2, 24, 9, 7] = add(%20, %23)
    %25: u8[2, 24, 9, 7] = quantize_linear(%24, %7, %9) {{dtype = u8}}
    %26: f32[2, 24, 9, 7] = dequantize_linear(%25, %7, %9)
    %27: f32[2, 40, 5, 4] = conv(%26, %14) {{strides = [2, 2], pads = [1, 1, 1, 1], dilations = [1, 1], input_dilations = [1, 1]}}
    %28: u8[2, 40, 5, 4] = quantize_linear(%27, %7, %9) {{dtype = u8}}
    return %25, %28
  }}
}}

{}{}{}tensor #3: f32[24] = [{}]
tensor #4: f32[24] = [{}]
tensor #5: i8[24] = [{}]
tensor #6: f32[] = [0.06]
tensor #7: f32[] = [0.001]
tensor #8: u8[] = [117]
tensor #9: i8[] = [0]
"#,
        tensor(0, "i8", &[24, 24, 3, 3], false),
        tensor(1, "i8", &[24, 24, 1, 1], false),
        tensor(2, "i8", &[40, 24, 3, 3], false),
        (0..24)
            .map(|i| (0.0010007 + 0.00009973 * f64::from(i)).to_string())
            .collect::<Vec<_>>()
            .join(", "),
        (0..24).map(|i| (0.1 * f64::from(i) - 1.0).to_string()).collect::<Vec<_>>().join(", "),
        ["0"; 24].join(", "),
    );
    let outputs = vec![vec![2, 24, 9, 7], vec![2, 40, 5, 4]];
    Net { text, inputs: vec![("x", vec![2, 24, 9, 7])], outputs }
}

/// Products whose rows and batches are not known when the code is made.
fn open(rows: usize) -> Net {
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  symbol $0 "n": 1..
  in "a": user
  in "b": user
  in "c": user
  in "z": user
  out "p": user
  out "q": user
  body ^0(%0 "a": u8[n, 250], %1 "b": i8[n, 33, 45], %2 "c": u8[n, 45, 20], %3 "z": u8[]) {{
    %4: i8[250, 512] = constant {{tensor = #0}}
    %5: i32[n, 512] = matmul_integer(%0, %4, %3)
    %6: i32[n, 33, 20] = matmul_integer(%1, %2, _, %3)
    return %5, %6
  }}
}}

{}"#,
        tensor(0, "i8", &[250, 512], false),
    );
    let inputs = vec![
        ("a", vec![rows, 250]),
        ("b", vec![rows, 33, 45]),
        ("c", vec![rows, 45, 20]),
        ("z", vec![]),
    ];
    Net { text, inputs, outputs: vec![vec![rows, 512], vec![rows, 33, 20]] }
}

/// The levels of this machine that have code for products of bytes in artefacts.
fn levels() -> impl Iterator<Item = Isa> {
    [Isa::V2, Isa::V3, Isa::V4, Isa::Vnni].into_iter().filter(|isa| isa.runs_here())
}

/// Whether bytes are no more than a step apart.
fn are_near(got: &[u8], wanted: &[u8], step: u8) -> bool {
    got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= step)
}

/// How many products the driver does with code for bytes.
fn products(net: &Net, isa: Isa) -> usize {
    net.driver(&[isa]).matches("static const struct ac_of_bytes").count()
}

#[test]
fn products_are_those_of_the_interpreter() {
    for (net, count, step) in [(matrices(), 7, 0), (convolutions(), 3, 0), (scaled(), 4, 1)] {
        let usual = net.usual();
        let wanted = net.bytes(&usual);
        for isa in [Isa::V2, Isa::V3, Isa::V4, Isa::Vnni, Isa::Amx] {
            assert_eq!(products(&net, isa), count, "{isa}");
        }
        for isa in levels() {
            let dir = tempfile::tempdir().unwrap();
            net.build(dir.path(), &settings(&[isa]));
            for threads in [1, 2] {
                let got = net.run_bytes(dir.path(), &usual, threads);
                assert!(are_near(&got, &wanted, step), "{isa}, {threads} threads");
            }
        }
    }
}

#[test]
fn compilers_find_no_fault() {
    let best = levels().last().unwrap();
    for (net, step) in [(matrices(), 0), (convolutions(), 0), (scaled(), 1)] {
        let usual = net.usual();
        let wanted = net.bytes(&usual);
        for (isa, sanitizer) in [
            (Isa::V2, Sanitizer::Address),
            (best, Sanitizer::Address),
            (Isa::V2, Sanitizer::Thread),
            (best, Sanitizer::Thread),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let sanitizer = Some(sanitizer);
            net.build(dir.path(), &Settings { sanitizer, ..settings(&[isa]) });
            for threads in [1, 2] {
                let got = net.run_bytes(dir.path(), &usual, threads);
                let near = are_near(&got, &wanted, step);
                assert!(near, "{isa}, {threads} threads, {sanitizer:?}");
            }
        }
    }
}

#[test]
fn sizes_are_known_when_a_context_is_made() {
    let dir = tempfile::tempdir().unwrap();
    open(1).build(dir.path(), &settings(&[]));
    for rows in [3, 130] {
        let net = open(rows);
        let usual = net.usual();
        net.compile(dir.path(), &["net.a"], None);
        for threads in [1, 2] {
            assert!(net.run_bytes(dir.path(), &usual, threads) == net.bytes(&usual), "{rows} rows");
        }
    }
    assert_eq!(products(&open(1), Isa::Vnni), 2);
}

#[test]
fn levels_without_use_are_left_off() {
    let text = |dtype: &str, op: &str, out: &str| {
        format!(
            "airconv 0.1\n\nfunc @0 \"net\" {{\n  in \"a\": user\n  out \"p\": user\n  \
             body ^0(%0 \"a\": {dtype}[40, 20]) {{\n    %1: {dtype}[20, 30] = constant {{tensor = #0}}\n    \
             %2: {out}[40, 30] = {op}(%0, %1)\n    return %2\n  }}\n}}\n\n{}",
            tensor(0, dtype, &[20, 30], false)
        )
    };
    for (text, is_there) in
        [(text("u8", "matmul_integer", "i32"), true), (text("f32", "matmul", "f32"), false)]
    {
        let net = Net { text, inputs: vec![("a", vec![40, 20])], outputs: vec![vec![40, 30]] };
        let dir = tempfile::tempdir().unwrap();
        net.build(dir.path(), &settings(&[]));
        let made = std::fs::read(dir.path().join("net.a")).unwrap();
        let names = |level: &str| made.windows(level.len()).any(|x| x == level.as_bytes());
        assert!(names("_v4") && names("_v3"));
        assert_eq!(names("_vnni"), is_there);
    }
}
