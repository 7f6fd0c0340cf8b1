//! Files that are damaged, or made to do harm, are refused by name or run; nothing panics.

use std::time::{Duration, Instant};

use airconv_onnx::encode::encode_model;
use airconv_tests::fuzz::seeds::{graph, model};
use airconv_tests::fuzz::{Corpus, Kind, Outcome, drive, keep_panics};

/// With the stack of a main thread.
fn with_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(8 << 20).spawn(f).unwrap().join().unwrap()
}

/// Mutated files, for some seconds at most.
fn mutated(kind: Kind, count: u64) {
    with_stack(move || {
        keep_panics();
        let corpus = Corpus::built_in();
        let start = Instant::now();
        let (mut ran, mut bad) = (0, Vec::new());
        for number in 0..count {
            if start.elapsed() > Duration::from_secs(25) {
                break;
            }
            match drive(kind, &corpus.case(kind, 1, number)) {
                Outcome::Panicked(text) => bad.push(format!("case {number}: {text}")),
                Outcome::Ran => ran += 1,
                Outcome::NotRead | Outcome::NotVerified | Outcome::Refused | Outcome::Broken(_) => {
                }
            }
        }
        // The hook of the process is ours, and silent: an assertion would say nothing.
        let _ = std::panic::take_hook();
        assert!(bad.is_empty(), "{bad:#?}");
        assert!(ran > 0, "no mutated file was a program any more");
    });
}

#[test]
fn mutated_onnx_does_not_panic() {
    mutated(Kind::Onnx, 1500);
}

#[test]
fn mutated_ir_does_not_panic() {
    mutated(Kind::Ir, 1500);
}

#[test]
fn mutated_irt_does_not_panic() {
    mutated(Kind::Irt, 1500);
}

/// Runs a graph of one node through everything.
#[track_caller]
fn quick(inputs: &[&str], tensors: &[&str], node: &str) -> Outcome {
    let output = node.split_whitespace().next().unwrap_or_default();
    let bytes = encode_model(&model(graph(inputs, tensors, &[node], &[output]), 21)).unwrap();
    let start = Instant::now();
    let outcome = with_stack(move || drive(Kind::Onnx, &bytes));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(!matches!(outcome, Outcome::Panicked(_)), "{outcome:?}");
    outcome
}

#[test]
fn a_window_of_mostly_padding_is_not_walked() {
    let node = "y = LRN x ; size=4611686018427387904";
    quick(&["x:1:1,2,4,4"], &[], node);
}
