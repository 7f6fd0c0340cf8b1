//! The node tests of the `onnx` package as kernels: in the interpreter of the kernel IR, and as
//! native code.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use airconv_api::{Executor, RunOptions};
use airconv_kernel::executor::KernelExecutor;
use airconv_llvm::executor::LlvmExecutor;
use airconv_tests::corpus;
use airconv_tests::node_case::{Verdict, all_cases, by_executor, run_changed};

/// Cases whose expected outputs hang on a random generator that ONNX leaves open.
const RANDOM: &[&str] = &["test_bernoulli", "test_training_dropout"];

/// Cases that the hub's interpreter does not meet either; `node_cases.rs` says why.
const DIFFERENT: &[&str] = &[
    "test_dft_inverse",
    "test_dft_inverse_opset19",
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
];

/// Runs every case and gives the counts by verdict; a wrong answer fails the test.
fn judge(executor: &(dyn Executor + Sync), options: &RunOptions) -> BTreeMap<&'static str, usize> {
    let cases = all_cases(&corpus().join("node"));
    assert_eq!(cases.len(), 1765, "the node tests are laid out by ./test (corpus/node_cases.py)");
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(BTreeMap::<&'static str, usize>::new());
    let wrong = Mutex::new(Vec::new());
    let work = || {
        let run = by_executor(executor, options);
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = case.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let label = match run_changed(case, &|_| Ok(()), &run) {
                Verdict::Pass => "pass",
                Verdict::Wrong(_) if RANDOM.iter().any(|r| name.starts_with(r)) => "random",
                Verdict::Wrong(_) if DIFFERENT.contains(&name) => "known to differ",
                Verdict::Wrong(why) => {
                    wrong.lock().unwrap().push(format!("{name}: {why}"));
                    "wrong"
                }
                Verdict::NotRead(_) => "not read",
                Verdict::NotRun(why) => {
                    eprintln!("not run: {name}: {}", why.replace('\n', " "));
                    "not run"
                }
            };
            *counts.lock().unwrap().entry(label).or_default() += 1;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let counts = counts.into_inner().unwrap();
    eprintln!("{}: {counts:?}", executor.name());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "wrong answers:\n{}", wrong.join("\n"));
    counts
}

#[test]
fn kernels_give_the_expected_outputs() {
    let counts = judge(&KernelExecutor, &RunOptions::default());
    assert!(counts.get("pass").copied().unwrap_or(0) >= 1730, "fewer than 98% pass: {counts:?}");
}

#[test]
fn native_code_gives_the_expected_outputs() {
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let counts = judge(&LlvmExecutor, &options);
    assert!(counts.get("pass").copied().unwrap_or(0) >= 1730, "fewer than 98% pass: {counts:?}");
}

/// Without the hub's interpreter for what has no kernel form.
#[test]
fn native_code_alone_gives_the_expected_outputs_or_refuses() {
    let options = RunOptions { threads: 1, native_only: true, ..RunOptions::default() };
    let counts = judge(&LlvmExecutor, &options);
    assert!(counts.get("pass").copied().unwrap_or(0) >= 1670, "too few pass: {counts:?}");
}
