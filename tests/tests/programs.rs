//! Random hub programs on every executor that is ours, against the hub's interpreter. The binary
//! `programs` runs as many as one likes.

use airconv_api::{Executor, RunOptions};
use airconv_kernel::c::CExecutor;
use airconv_kernel::executor::KernelExecutor;
use airconv_llvm::executor::LlvmExecutor;
use airconv_tests::programs::judge::{Judged, Verdict};

const STEPS: usize = 14;

/// Runs the programs of some seeds; most of them have to have something to compare.
fn agree(executor: &dyn Executor, seeds: std::ops::Range<u64>) {
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let count = seeds.end - seeds.start;
    let mut compared = 0;
    for seed in seeds {
        match Judged::new(seed, STEPS).on(executor, &options) {
            Verdict::Agrees(n) => compared += u64::from(n > 0),
            Verdict::NoReference(_) | Verdict::Refused(_) => {}
            Verdict::Differs(why) => {
                panic!("{}, `programs --only {seed} --steps {STEPS}`: {why}", executor.name())
            }
        }
    }
    assert!(4 * compared >= 3 * count, "only {compared} of {count} programs say anything");
}

#[test]
fn kernels_agree() {
    agree(&KernelExecutor, 0..60);
}

#[test]
fn native_code_agrees() {
    agree(&LlvmExecutor, 60..120);
}

#[test]
fn portable_code_agrees() {
    agree(&CExecutor::default(), 120..130);
}
