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
                Outcome::NotRead
                | Outcome::NotVerified
                | Outcome::Refused
                | Outcome::Broken(_) => {}
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

/// Runs a graph of one node through everything; what went wrong, if something did.
fn wrong(inputs: &[&str], tensors: &[&str], node: &str) -> Option<String> {
    let output = node.split_whitespace().next().unwrap_or_default();
    let bytes = encode_model(&model(graph(inputs, tensors, &[node], &[output]), 21)).unwrap();
    let start = Instant::now();
    let (send, receive) = std::sync::mpsc::channel();
    let worker = move || {
        let _ = send.send(drive(Kind::Onnx, &bytes));
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(worker).unwrap();
    match receive.recv_timeout(Duration::from_secs(10)) {
        Ok(Outcome::Panicked(text)) => Some(format!("{node}: {text}")),
        Ok(_) => None,
        Err(_) => Some(format!("{node}: not done after {:?}", start.elapsed())),
    }
}

#[test]
fn a_window_of_mostly_padding_is_not_walked() {
    let node = "y = LRN x ; size=4611686018427387904";
    assert_eq!(wrong(&["x:1:1,2,4,4"], &[], node), None);
}

#[test]
fn taps_of_a_tiny_scale_are_not_counted_below_zero() {
    let mut bad = Vec::new();
    let mut resize = |scales: &str, how: &str| {
        let node = format!("y = Resize x _ s ; {how}");
        bad.extend(wrong(&["x:1:1,1,4,4"], &[scales], &node));
    };
    for mode in ["linear", "cubic", "nearest"] {
        for scale in ["1e-38,4", "1e30,4", "4,1e9", "1e-9,1e-9", "1e18,1e-30"] {
            for rest in ["antialias=1", "antialias=0", "coordinate_transformation_mode=half_pixel_symmetric"] {
                resize(&format!("s:1:4=4,4,{scale}"), &format!("mode={mode} ; {rest}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_long_axis_beside_an_empty_one_is_not_walked() {
    let long = "4611686018427387904";
    let w = format!("w:1:0,{long}");
    let mut bad = Vec::new();
    for line in [
        "y = SplitToSequence w ; axis=1",
        "y = ReduceSum w",
        "y = ReduceMax w ; keepdims=0",
        "y = Softmax w ; axis=1",
        "y = CumSum w one",
        "y = TopK w ones ; axis=1",
        "y = ArgMax w ; axis=1",
        "y = Transpose w",
        "y = Concat w w ; axis=1",
        "y = Tile w two",
        "y = MatMul w wt",
        "y = Gemm w w ; transA=1",
        "y = NonZero w",
        "y = Unique w",
        "y = Split w ; axis=1 ; num_outputs=2",
        "y = Flatten w ; axis=0",
        "y = Einsum w w ; equation=ij,ij->j",
        "y = LpNormalization w ; axis=0",
        "y = DynamicQuantizeLinear w",
        "y = GatherND w e",
        "y = Hardmax w",
        "y = EyeLike w",
        "y = Trilu w",
        "y = Compress w b ; axis=1",
        "y = OneHot w one two",
        "y = LayerNormalization w w",
        "y = ai.onnx.ml::Normalizer w",
        "y = ai.onnx.ml::ArrayFeatureExtractor w one",
    ] {
        let tensors = [
            &w[..], "one:7:=1", "ones:7:1=1", "two:7:2=1,2", &format!("wt:1:{long},0"), "e:7:4,0",
            "b:9:3=1,1,1",
        ];
        bad.extend(wrong(&[], &tensors, line));
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
