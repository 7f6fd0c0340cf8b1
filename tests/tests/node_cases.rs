//! The node tests of the `onnx` package: every model is read, run in the interpreter, and
//! written back; what was written is judged by ONNX Runtime and the reference evaluator.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use airconv_api::{ReadOptions, Report, WriteOptions, Writer};
use airconv_ir::verify::{Stage, verify};
use airconv_ir::wire;
use airconv_onnx::OnnxWriter;
use airconv_tests::node_case::{Verdict, all_cases, first_error, interpret, read};
use airconv_tests::{corpus, python, root};

/// Cases that are not read, with the reason.
const NOT_READ: &[(&str, &str)] = &[
    ("test_not_2d", "opset 1 is older than what is read"),
    ("test_not_3d", "opset 1 is older than what is read"),
    ("test_not_4d", "opset 1 is older than what is read"),
];

/// Cases whose expected outputs hang on a random generator that ONNX leaves open.
const RANDOM: &[&str] = &["test_bernoulli", "test_training_dropout"];

/// Cases whose expected outputs the interpreter does not meet, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("test_dft_inverse", "values near zero: 7e-16 where the file has 1.9e-7, at atol 1e-7"),
    ("test_dft_inverse_opset19", "values near zero: 7e-16 where the file has 1.9e-7, at atol 1e-7"),
    (
        "test_resize_downsample_scales_cubic_align_corners",
        "the file takes a fractional output size; the specification and ONNX Runtime do not",
    ),
    (
        "test_resize_downsample_scales_linear_align_corners",
        "the file takes a fractional output size; the specification and ONNX Runtime do not",
    ),
];

fn cases() -> Vec<PathBuf> {
    let cases = all_cases(&corpus().join("node"));
    assert_eq!(cases.len(), 1765, "the node tests are laid out by ./test (corpus/node_cases.py)");
    cases
}

fn name(case: &std::path::Path) -> String {
    case.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned()
}

fn listed(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(n, _)| *n == name)
}

#[test]
fn the_interpreter_gives_the_expected_outputs() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut unread = BTreeSet::new();
    for case in cases() {
        let name = name(&case);
        let label = match interpret(&case) {
            Verdict::Pass => "pass",
            Verdict::Wrong(_) if RANDOM.iter().any(|r| name.starts_with(r)) => "random",
            Verdict::Wrong(_) if listed(DIFFERENT, &name) => "known to differ",
            Verdict::Wrong(why) => {
                wrong.push(format!("{name}: {why}"));
                "wrong"
            }
            Verdict::NotRead(_) => {
                unread.insert(name);
                "not read"
            }
            Verdict::NotRun(why) => {
                eprintln!("not run: {name}: {}", why.replace('\n', " "));
                "not run"
            }
        };
        *counts.entry(label).or_default() += 1;
    }
    eprintln!("interpreter: {counts:?}");
    assert!(wrong.is_empty(), "wrong answers:\n{}", wrong.join("\n"));
    assert_eq!(unread, NOT_READ.iter().map(|(n, _)| (*n).to_owned()).collect());
    assert!(counts.get("pass").copied().unwrap_or(0) >= 1730, "fewer than 98% pass: {counts:?}");
}

/// Every case through `.onnx -> .ir -> .onnx`, judged as the original is.
#[test]
fn written_cases_do_as_well_as_the_originals() {
    let folder = tempfile::tempdir().unwrap();
    let mut refused = Vec::new();
    for case in cases() {
        let name = name(&case);
        if listed(NOT_READ, &name) {
            continue;
        }
        let (module, report) = read(&case.join("model.onnx"), &ReadOptions::default());
        let Some(module) = module else { panic!("{name}: {}", first_error(&report)) };
        let ir = folder.path().join("case.ir");
        wire::write_ir(&module, &ir, &wire::WriteOptions::default()).unwrap();
        let module = wire::read_ir(&ir, &wire::ReadOptions::default()).unwrap();
        let verified = match verify(&module, Stage::Imported) {
            Ok(v) => v,
            Err(errors) => panic!("{name}: {}", errors[0]),
        };
        let mut report = Report::default();
        let out = folder.path().join(format!("{name}.onnx"));
        if OnnxWriter.write(&verified, &out, &WriteOptions::default(), &mut report).is_err() {
            refused.push(format!("{name}: {}", first_error(&report)));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    let judge = Command::new(python())
        .arg(root().join("tests/judge_cases.py"))
        .args([corpus().join("node"), folder.path().to_owned()])
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&judge.stdout));
    assert!(judge.status.success(), "{}", String::from_utf8_lossy(&judge.stderr));
}
