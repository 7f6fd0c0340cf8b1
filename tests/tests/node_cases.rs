//! The node tests of the `onnx` package: every model is read, run in the interpreter, and
//! written back; what was written is judged by ONNX Runtime and the reference evaluator.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use airconv_api::{ReadOptions, Report, WriteOptions, Writer};
use airconv_ir::module::Module;
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::verify::{Stage, verify};
use airconv_ir::wire;
use airconv_onnx::{OnnxReader, OnnxWriter};
use airconv_tests::node_case::{
    Verdict, all_cases, first_error, interpret, interpret_changed, read,
};
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

/// Specialisation with nothing fixed makes every node anew, and everything stays as it is.
#[test]
fn programs_made_anew_give_the_expected_outputs() {
    let again = |m: &mut Module| {
        let made = specialize(m.clone(), &Given::default(), &[&OnnxReader]);
        *m = made.map_err(|e| e.first().map_or(String::new(), |e| e.to_string()))?;
        verify(m, Stage::Imported).map(|_| ()).map_err(|e| e[0].to_string())
    };
    let mut wrong = Vec::new();
    for case in cases() {
        let name = name(&case);
        if listed(NOT_READ, &name) || RANDOM.iter().any(|r| name.starts_with(r)) {
            continue;
        }
        let (plain, made) = (interpret(&case), interpret_changed(&case, &again));
        if plain != made {
            wrong.push(format!("{name}: {made:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Writes every case through `.ir` at an opset (the source's when none is given), has what was
/// written judged, and gives the refusals. The judge passes over the `except`ed cases.
fn write_and_judge(opset: Option<i64>, except: &[&str]) -> Vec<String> {
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
        let options = WriteOptions { opset, ..Default::default() };
        if OnnxWriter.write(&verified, &out, &options, &mut report).is_err() {
            refused.push(format!("{name}: {}", first_error(&report)));
        }
    }
    let judge = Command::new(python())
        .arg(root().join("tests/judge_cases.py"))
        .args([corpus().join("node"), folder.path().to_owned()])
        .args(except)
        .output()
        .unwrap();
    eprintln!("opset {opset:?}: {} refused", refused.len());
    eprintln!("{}", String::from_utf8_lossy(&judge.stdout));
    let text = String::from_utf8_lossy(&judge.stdout).into_owned();
    assert!(judge.status.success(), "{text}{}", String::from_utf8_lossy(&judge.stderr));
    refused
}

#[test]
fn written_cases_do_as_well_as_the_originals() {
    let refused = write_and_judge(None, RANDOM);
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Moves to another opset: what is written does as well as the original, what is not says why.
fn moves_to(opset: i64, except: &[&str], most_refused: usize) {
    let except: Vec<&str> = RANDOM.iter().chain(except).copied().collect();
    let refused = write_and_judge(Some(opset), &except);
    assert!(refused.len() <= most_refused, "{} refused: {refused:#?}", refused.len());
    let unnamed: Vec<&String> = refused.iter().filter(|r| !r.contains('`')).collect();
    assert!(unnamed.is_empty(), "refused without naming the op: {unnamed:#?}");
}

#[test]
fn moves_to_opset_13() {
    // The transform is written as a product here, whose noise near zero is over atol 1e-7.
    moves_to(13, &["test_dft_inverse_opset19"], 360);
}

#[test]
fn moves_to_opset_17() {
    moves_to(17, &[], 325);
}

#[test]
fn moves_to_opset_21() {
    moves_to(21, &[], 75);
}

#[test]
fn moves_to_opset_25() {
    // ONNX Runtime 1.31 has Swish of opset 24 only.
    moves_to(25, &["test_swish"], 25);
}
