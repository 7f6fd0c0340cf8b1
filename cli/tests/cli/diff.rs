//! `airconv diff`: equality in structure.

use super::{airconv, code, model, text};

#[test]
fn programs_are_told_apart_by_structure() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "a.onnx", 2.0);
    model(dir.path(), "b.onnx", 2.5);
    assert_eq!(code(&airconv(&["a.onnx", "-o", "a.irt"], dir.path())), 0);
    let out = airconv(&["diff", "a.onnx", "a.irt"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("the same:"));
    let out = airconv(&["diff", "a.onnx", "b.onnx"], dir.path());
    assert_eq!(code(&out), 1);
    let shown = text(&out.stdout);
    assert!(shown.contains("1 changed, 0 removed, 0 added"), "{shown}");
    let out = airconv(&["diff", "a.onnx", "b.onnx", "--json"], dir.path());
    assert_eq!(code(&out), 1);
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(value["same"], false);
    let changes = value["functions"][0]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1);
    assert!(changes[0]["a"]["line"].as_str().unwrap().contains("constant"));
}

#[test]
fn what_is_fixed_differs_in_type() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "a.onnx", 2.0);
    assert_eq!(code(&airconv(&["a.onnx", "--dim", "batch=3", "-o", "b.ir"], dir.path())), 0);
    let out = airconv(&["diff", "a.onnx", "b.ir"], dir.path());
    assert_eq!(code(&out), 1);
    let shown = text(&out.stdout);
    assert!(shown.contains("input x: f32[batch, 3] is now f32[3, 3]"), "{shown}");
}
