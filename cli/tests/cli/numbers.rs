//! `airconv verify`: what counts as the same numbers.

use super::{airconv, code, model, text};

#[test]
fn a_tolerance_is_a_number() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "a.onnx", 2.0);
    model(dir.path(), "b.onnx", 2.5);
    for command in ["verify", "bisect"] {
        for bound in ["--rtol=nan", "--rtol=1e400", "--rtol=-1", "--atol=inf", "--atol=x"] {
            let out = airconv(&[command, "a.onnx", "b.onnx", bound], dir.path());
            assert_eq!(code(&out), 2, "{bound}: {}", text(&out.stdout));
            assert!(text(&out.stderr).contains("zero or more"), "{}", text(&out.stderr));
        }
    }
    let out = airconv(&["verify", "a.onnx", "b.onnx", "--rtol=0", "--atol=1e9"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stdout));
}

#[test]
fn programs_with_other_inputs_differ() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "a.onnx", 2.0);
    let other = CHAIN.replace("\"x\"", "\"z\"");
    std::fs::write(dir.path().join("b.irt"), other).unwrap();
    for command in ["verify", "bisect"] {
        let out = airconv(&[command, "a.onnx", "b.irt"], dir.path());
        assert_eq!(code(&out), 1, "{}", text(&out.stderr));
        let said = text(&out.stdout);
        assert!(said.contains("`x`") && said.contains("`z`"), "{said}");
        assert!(!said.contains('%'), "{said}");
    }
}

/// A value of a 32nd of the input's size, and its mean.
const CHAIN: &str = r#"airconv 0.1
func @0 "main" {
  symbol $0 "n": 0..
  in "x": user
  out "y": user
  body ^0(%0 "x": f32[1, 1, n]) {
    %1: f32[1, 1, floordiv(n, 32)] = max_pool(%0) {kernel_shape = [32], strides = [32], pads = [0, 0], dilations = [1]}
    %2: f32[1, 1, 1] = global_average_pool(%1)
    return %2
  }
}
entry @0
"#;

#[test]
fn sizes_are_chosen_so_that_there_is_something_to_compare() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.irt"), CHAIN).unwrap();
    let out = airconv(&["verify", "in.irt", "in.irt"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("sizes: n=32"), "{}", text(&out.stdout));
    assert_eq!(text(&out.stderr), "");
    let out = airconv(&["verify", "in.irt", "in.irt", "--size", "n=8"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("nothing was compared"), "{}", text(&out.stderr));
    // Sizes that one of them has fixed are taken for the other.
    assert_eq!(code(&airconv(&["in.irt", "--dim", "n=96", "-o", "b.ir"], dir.path())), 0);
    let out = airconv(&["verify", "in.irt", "b.ir"], dir.path());
    assert_eq!(code(&out), 0, "{}{}", text(&out.stdout), text(&out.stderr));
    assert!(text(&out.stdout).contains("sizes: n=96"), "{}", text(&out.stdout));
}
