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
