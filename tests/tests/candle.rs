//! The node tests of the `onnx` package on candle. `AIRCONV_BLESS=1` writes what came of them to
//! `converters/candle/OPS.md`, by operator.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use airconv_api::{Executor, ReadOptions, RunOptions};
use airconv_candle::CandleExecutor;
use airconv_ir::module::Origin;
use airconv_tests::node_case::{Verdict, all_cases, by_executor, read, run_changed};
use airconv_tests::{corpus, root};

/// Cases whose expected outputs hang on a random generator that ONNX leaves open.
const RANDOM: &[&str] = &["test_bernoulli", "test_training_dropout"];

/// Cases that candle answers differently, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("test_dft_inverse", "the hub's interpreter differs too"),
    ("test_resize_downsample_scales_cubic_align_corners", "the hub's interpreter differs too"),
    ("test_resize_downsample_scales_linear_align_corners", "the hub's interpreter differs too"),
];

/// What came of the cases of an operator.
#[derive(Default)]
struct Tried {
    passed: usize,
    cases: usize,
    /// What was refused, and why.
    reasons: BTreeSet<String>,
}

/// The operator that a case is about: the one that all of its nodes come from, or else its name.
fn operator(case: &Path) -> String {
    let (module, _) = read(&case.join("model.onnx"), &ReadOptions::default());
    let mut ops = BTreeSet::new();
    if let Some(module) = &module {
        let main = module.main();
        for node in main.body().nodes.iter().map(|&n| &main.nodes[n]) {
            if let Some(Origin::Source { op, .. }) = module.source_of(node.origin) {
                ops.insert(op.to_string());
            }
        }
    }
    match ops.len() {
        1 => ops.pop_first().unwrap_or_default(),
        _ => "several".to_owned(),
    }
}

/// A reason without what only one case has.
fn reason(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    let line = line.split_once("]: ").map_or(line, |(_, rest)| rest);
    line.split(" (").next().unwrap_or(line).replace('|', "\\|")
}

/// What is said of NaN.
const NAN: &str = "NaN is what candle makes of it where its functions compare: `Max` and `Min` of \
                   two give the first one where either is NaN, `Relu` gives 0, and \
                   greatest and least elements (reductions, `ArgMax` and `ArgMin`, `MaxPool`, \
                   running ones) pass NaN over unless it comes first.";

fn page(tried: &BTreeMap<String, Tried>) -> String {
    let (passed, cases) = tried.values().fold((0, 0), |(p, c), t| (p + t.passed, c + t.cases));
    let mut text = format!(
        "# ONNX operators on candle\n\nWhat came of the node tests of the `onnx` package when the \
         executor ran them: {passed} of {cases} give the expected outputs, the others are refused \
         by name. `AIRCONV_BLESS=1 cargo nextest run -p airconv-tests --features candle -E \
         'binary(candle)'` writes this page.\n\n{NAN}\n\n| operator | passed | of | |\n|---|---|---|---|\n"
    );
    for (op, t) in tried {
        let reasons: Vec<&str> = t.reasons.iter().map(String::as_str).collect();
        text += &format!("| {op} | {} | {} | {} |\n", t.passed, t.cases, reasons.join("; "));
    }
    text
}

/// What came of the node tests on an executor, by operator, and what it got wrong.
fn node_tests(executor: &CandleExecutor) -> (BTreeMap<String, Tried>, Vec<String>) {
    let cases = all_cases(&corpus().join("node"));
    assert_eq!(cases.len(), 1765, "the node tests are laid out by ./test (corpus/node_cases.py)");
    let next = AtomicUsize::new(0);
    let tried = Mutex::new(BTreeMap::<String, Tried>::new());
    let wrong = Mutex::new(Vec::new());
    let work = || {
        let options = RunOptions::default();
        let run = by_executor(executor, &options);
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = case.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let known = DIFFERENT.iter().find(|(n, _)| *n == name);
            let verdict = run_changed(case, &|_| Ok(()), &run);
            let refusal = match &verdict {
                Verdict::Pass => None,
                Verdict::Wrong(_) if RANDOM.iter().any(|r| name.starts_with(r)) => {
                    Some("random".to_owned())
                }
                Verdict::Wrong(_) | Verdict::NotRun(_) if known.is_some() => {
                    known.map(|(_, why)| (*why).to_owned())
                }
                Verdict::Wrong(why) => {
                    wrong.lock().unwrap().push(format!("{name}: {why}"));
                    None
                }
                // A refusal comes before the run; what fails in it is a mistake.
                Verdict::NotRun(why) if why.contains("[run-failed]") => {
                    wrong.lock().unwrap().push(format!("{name}: {why}"));
                    None
                }
                Verdict::NotRun(why) | Verdict::NotRead(why) => Some(reason(why)),
            };
            let mut tried = tried.lock().unwrap();
            let entry = tried.entry(operator(case)).or_default();
            entry.cases += 1;
            entry.passed += usize::from(verdict == Verdict::Pass);
            entry.reasons.extend(refusal);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    (tried.into_inner().unwrap(), wrong)
}

fn passed(tried: &BTreeMap<String, Tried>) -> usize {
    tried.values().map(|t| t.passed).sum()
}

#[test]
fn node_tests_give_the_expected_outputs_or_are_refused() {
    let (tried, wrong) = node_tests(&CandleExecutor::default());
    let passed = passed(&tried);
    eprintln!("candle: {passed} pass");
    if std::env::var_os("AIRCONV_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(root().join("converters/candle/OPS.md"), page(&tried)).unwrap();
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed >= 1300, "only {passed} pass");
}

/// On devices candle lacks some dtypes and calls: there the run fails, and that is counted.
#[test]
#[cfg_attr(
    not(any(feature = "cuda", feature = "metal")),
    ignore = "needs a device, see Cargo.toml"
)]
fn node_tests_on_devices_give_the_expected_outputs_or_fail() {
    for executor in CandleExecutor::all().iter().skip(1) {
        if let Err(why) = executor.available() {
            eprintln!("{}: 1765 skipped: {why}", executor.name());
            continue;
        }
        let (tried, wrong) = node_tests(executor);
        let (failed, wrong): (Vec<String>, Vec<String>) =
            wrong.into_iter().partition(|why| why.contains("[run-failed]"));
        let passed = passed(&tried);
        eprintln!("{}: {passed} pass, {} fail", executor.name(), failed.len());
        assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
        assert!(passed >= 600, "only {passed} pass");
    }
}
