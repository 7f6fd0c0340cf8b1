//! Names of inputs and outputs where a format has one space for both.

use super::{airconv, code, text};

/// Outputs named like inputs: one that is computed, one that is the input itself, and one that is
/// the same again.
const CLASH: &str = r#"airconv 0.1
func @0 "main" {
  in "x": user
  in "y": user
  out "x": user
  out "y": user
  body ^0(%0 "x": f32[3], %1 "y": f32[3]) {
    %2: f32[3] = add(%0, %1)
    return %2, %1
  }
}
entry @0
"#;

#[test]
fn an_output_with_the_name_of_an_input_gets_another_in_onnx() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.irt"), CLASH).unwrap();
    let out = airconv(&["in.irt", "-v", "-o", "out.onnx"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("renamed-output"), "{}", text(&out.stderr));
    let out = airconv(&["inspect", "out.onnx", "--json"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_ne!(value["outputs"][0]["name"], "x");
    assert_eq!(value["outputs"][1]["name"], "y", "an input that is given as it came");
    let out = airconv(&["verify", "in.irt", "out.onnx"], dir.path());
    assert_eq!(code(&out), 0, "{}{}", text(&out.stdout), text(&out.stderr));
}
