//! Recordings of candle programs that lie in `captured/`, with what candle itself computed at sizes
//! that were not recorded. `zoo/run` makes them anew.

#[path = "common/captured.rs"]
mod captured;

use std::path::{Path, PathBuf};

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Failed, ReadOptions, Reader, Report};
use airconv_candle::capture::RecordingReader;
use airconv_ir::module::Module;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured")
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "recording"))
        .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn read(bytes: &[u8]) -> (Result<Module, Failed>, Report) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.recording");
    std::fs::write(&path, bytes).unwrap();
    let mut report = Report::default();
    let options = ReadOptions { no_mmap: true, ..ReadOptions::default() };
    (RecordingReader.read(&path, &options, &mut report), report)
}

/// What is said of a recording that is refused.
fn refusal(bytes: &[u8]) -> String {
    let (read, report) = read(bytes);
    assert!(read.is_err());
    report.diagnostics.iter().map(|d| d.to_string()).collect()
}

/// A recording without tensors, of this text.
fn recording(text: &str) -> Vec<u8> {
    let text = serde_json::Value::from(text);
    let header = format!(
        "{{\"__metadata__\":{{\"format\":\"airconv.candle-recording\",\"version\":\"1\",\"recording\":{text}}}}}"
    );
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.bytes());
    out
}

/// A program of a size `n` whose runs have these nodes.
fn program(runs: &[(i64, &str)]) -> Vec<u8> {
    let runs: Vec<String> = runs
        .iter()
        .map(|(n, nodes)| {
            let last = nodes.matches("\"op\"").count() - 1;
            format!(
                r#"{{"sizes":[{n}],"nodes":[{nodes}],"outputs":[{{"name":"y","node":{last}}}],"events":[]}}"#
            )
        })
        .collect();
    let runs = runs.join(",");
    recording(&format!(r#"{{"program":"p","candle":"0.11.1","sizes":["n"],"traces":[{runs}]}}"#))
}

fn input(n: i64) -> String {
    format!(r#"{{"op":"input","name":"x","dtype":"f32","dims":[{n},4]}}"#)
}

#[test]
fn recordings_agree_with_candle_at_other_sizes() {
    let names = names();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let path = folder().join(format!("{name}.recording"));
        let got = captured::agrees(&path, &folder(), &name, &InterpreterExecutor);
        let got = got.unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(got.nodes > 5 && !got.sizes.is_empty(), "{name}");
        assert!(got.worst < 1e-3, "{name}: {}", got.worst);
    }
}

#[test]
fn sizes_become_symbols() {
    let run = |n: i64| {
        let flat = n * 4;
        format!(
            r#"{},{{"op":"reshape","in":[0],"dtype":"f32","dims":[{flat}]}},{{"op":"affine","in":[1],"floats":["{}","0"],"dtype":"f32","dims":[{flat}]}}"#,
            input(n),
            1.0 / n as f64
        )
    };
    let runs = [run(2), run(3), run(7)];
    let runs: Vec<(i64, &str)> =
        [2, 3, 7].into_iter().zip(runs.iter().map(String::as_str)).collect();
    let (module, report) = read(&program(&runs));
    let module = module.unwrap_or_else(|_| panic!("{:?}", report.diagnostics));
    let f = module.main();
    let result = f.body().results[0];
    let dims = &f.ty(result).as_tensor().unwrap().shape;
    assert_eq!(f.dim_text(&dims[0]), "4*n");
}

#[test]
fn floats_are_limited_to_narrow_integers() {
    use airconv_ir::array::Array;
    use airconv_ir::dtype::DType;
    use airconv_ir::interp::{Datum, EvalLimits, Interpreter};

    for (through, to, want) in [
        ("f32", "u8", [0, 255, 255, 0]),
        ("f32", "i16", [-70, 300, 32767, 0]),
        ("f16", "i16", [-70, 300, 32767, 0]),
    ] {
        let nodes = format!(
            r#"{},{{"op":"to_dtype","in":[0],"dtype":"{through}","dims":[1,4]}},{{"op":"to_dtype","in":[1],"dtype":"{to}","dims":[1,4]}}"#,
            input(1)
        );
        let (module, report) = read(&program(&[(1, &nodes)]));
        let module = module.unwrap_or_else(|_| panic!("{:?}", report.diagnostics));
        let x = Array::from_vec(vec![1, 4], vec![-70.5f32, 300.0, 60000.0, f32::NAN]).unwrap();
        let inputs = [("x".to_owned(), Datum::from(x))].into();
        let got = Interpreter::new(module, EvalLimits::default()).run(&inputs).unwrap();
        let got = got[0].1.as_array().unwrap();
        assert_eq!(
            (got.dtype, got.to_i64s().unwrap()),
            (to.parse::<DType>().unwrap(), want.to_vec())
        );
    }
}

#[test]
fn what_differs_from_run_to_run_is_named() {
    let call = |n: i64, op: &str| {
        format!(r#"{},{{"op":"{op}","in":[0],"dtype":"f32","dims":[{n},4]}}"#, input(n))
    };
    let said = refusal(&program(&[(2, &call(2, "exp")), (3, &call(3, "log"))]));
    assert!(said.contains("node 1") && said.contains("`exp`") && said.contains("`log`"), "{said}");
    assert!(said.contains("n=2") && said.contains("n=3"), "{said}");
    // Sizes 4, 4, 6 for n = 2, 3, 5 are no expression of n.
    let odd = |n: i64, rows: i64| {
        format!(r#"{},{{"op":"full","floats":["0"],"dtype":"f32","dims":[{rows}]}}"#, input(n))
    };
    let said = refusal(&program(&[(2, &odd(2, 4)), (3, &odd(3, 4)), (5, &odd(5, 6))]));
    assert!(said.contains("`full`") && said.contains("does not follow"), "{said}");
}

#[test]
fn calls_that_are_not_known_are_named_all_at_once() {
    let nodes = format!(
        r#"{},{{"op":"custom Flash","in":[0],"dtype":"f32","dims":[2,4]}},{{"op":"rand","dtype":"f32","dims":[2,4]}},{{"op":"add","in":[1,2],"dtype":"f32","dims":[2,4]}}"#,
        input(2)
    );
    let said = refusal(&program(&[(2, &nodes)]));
    assert!(said.contains("Flash") && said.contains("`rand`"), "{said}");
}

#[test]
fn values_taken_out_are_a_lossy_step() {
    let text = program(&[(2, &input(2))]);
    let text = String::from_utf8(text[8..].to_vec()).unwrap();
    let event = r#"\"events\":[{\"what\":\"to_vec\",\"at\":\"src/main.rs:3:5\"}]"#;
    let text = text.replace(r#"\"events\":[]"#, event);
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    let (module, mut report) = read(&bytes);
    assert!(module.is_ok(), "{:?}", report.diagnostics);
    assert!(report.refused(&[]));
    let said: String = report.diagnostics.iter().map(|d| d.to_string()).collect();
    assert!(said.contains("to_vec") && said.contains("src/main.rs:3:5"), "{said}");
}

#[test]
fn contradictions_are_found() {
    let wrong = |nodes: &str, what: &str| {
        let said = refusal(&program(&[(2, &format!("{},{nodes}", input(2)))]));
        assert!(said.contains(what), "{said}");
    };
    wrong(r#"{"op":"exp","in":[0],"dtype":"f32","dims":[2,5]}"#, "axis 1 became");
    wrong(r#"{"op":"exp","in":[0],"dtype":"f64","dims":[2,4]}"#, "instead of f64");
    wrong(r#"{"op":"exp","in":[3],"dtype":"f32","dims":[2,4]}"#, "comes later");
    wrong(r#"{"op":"exp","dtype":"f32","dims":[2,4]}"#, "operand 0 is missing");
    wrong(r#"{"op":"exp","in":[0],"dtype":"f7","dims":[2,4]}"#, "f7");
    wrong(r#"{"op":"exp","in":[0],"dtype":"f32","dims":[2,-4]}"#, "no shape");
    wrong(r#"{"op":"parameter","name":"w","dtype":"f32","dims":[2]}"#, "no tensor `w`");
    wrong(r#"{"op":"cat","in":[0,0],"ints":[7],"dtype":"f32","dims":[4,4]}"#, "no axis");
    wrong(r#"{"op":"permute","in":[0],"ints":[0,0],"dtype":"f32","dims":[2,4]}"#, "permutation");
    wrong(r#"{"op":"affine","in":[0],"floats":["x","0"],"dtype":"f32","dims":[2,4]}"#, "no number");
    assert!(refusal(b"").contains("damaged"));
    assert!(refusal(&recording("{")).contains("damaged"));
    let other = recording("{}");
    let other = String::from_utf8(other[8..].to_vec()).unwrap().replace("\"1\"", "\"2\"");
    let mut bytes = (other.len() as u64).to_le_bytes().to_vec();
    bytes.extend(other.bytes());
    assert!(refusal(&bytes).contains("version 2"));
}

/// Damaged recordings are refused or read, and nothing else happens.
#[test]
fn damaged_recordings_do_not_panic() {
    let mut state = 1u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) as usize) % bound.max(1)
    };
    let mut refused = 0;
    for name in names() {
        let bytes = std::fs::read(folder().join(format!("{name}.recording"))).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + next(3) {
                let at = next(header);
                match next(4) {
                    0 => damaged[at] = b'0' + next(10) as u8,
                    1 => damaged[at] ^= 1 << next(8),
                    2 => damaged[at] = b"[]{},:\"-."[next(9)],
                    // Digits become other digits, which keeps the text well formed.
                    _ => {
                        let digit = (at..header).find(|&i| damaged[i].is_ascii_digit());
                        if let Some(i) = digit {
                            damaged[i] = b'0' + next(10) as u8;
                        }
                    }
                }
            }
            let (read, report) = read(&damaged);
            if read.is_err() {
                refused += 1;
                assert!(report.has_errors(), "{name}: refused without a word");
            }
        }
    }
    assert!(refused > 50, "{refused}");
}
