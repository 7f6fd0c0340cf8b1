//! `airconv bisect`: the first guilty node, and the first guilty rewrite.

use std::path::Path;

use super::{airconv, code, model, text};

/// Two layers with a gelu written out between them, which `--opt raise_gelu` finds.
fn gelu(folder: &Path, name: &str, factor: f64) {
    let text = format!(
        "airconv 0.1\nfunc @0 \"main\" {{\n in \"x\": user\n out \"y\": user\n \
         body ^0(%0 \"x\": f32[64]) {{\n \
         %1: f32[64] = constant {{tensor = #0}}\n %2 \"s\": f32[64] = mul(%0, %1)\n \
         %3: f32[64] = constant {{tensor = #1}}\n %4: f32[64] = div(%2, %3)\n \
         %5: f32[64] = erf(%4)\n %6: f32[64] = constant {{tensor = #2}}\n \
         %7: f32[64] = add(%5, %6)\n %8: f32[64] = mul(%2, %7)\n \
         %9: f32[64] = constant {{tensor = #3}}\n %10 \"g\": f32[64] = mul(%8, %9)\n \
         %11 \"t\": f32[64] = add(%10, %10)\n %12: f32[64] = tanh(%11)\n return %12\n }}\n}}\n\
         entry @0\ntensor #0: f32[64] = splat({factor})\n\
         tensor #1: f32[64] = splat(1.4142135)\ntensor #2: f32[64] = splat(1)\n\
         tensor #3: f32[64] = splat(0.5)\n"
    );
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn the_first_guilty_node_is_found_and_reproduced() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "a.onnx", 2.0);
    model(dir.path(), "b.onnx", 2.5);
    let line = ["bisect", "a.onnx", "b.onnx", "--size", "batch=2", "--repro", "r.irt"];
    let out = airconv(&line, dir.path());
    assert_eq!(code(&out), 1, "{}", text(&out.stderr));
    let shown = text(&out.stdout);
    assert!(shown.contains("the first value that differs:"), "{shown}");
    assert!(shown.contains("constant") && shown.contains("max abs 5.000e-1"), "{shown}");
    let out = airconv(&["verify", "r.right.irt", "r.irt"], dir.path());
    assert_eq!(code(&out), 1, "the reproducer differs by itself: {}", text(&out.stderr));
    let out = airconv(&["bisect", "a.onnx", "a.onnx", "--json"], dir.path());
    assert_eq!(code(&out), 0);
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&value["agree"], &value["first"]), (&true.into(), &serde_json::Value::Null));
}

#[test]
fn the_guilty_node_is_the_one_before_others_that_differ_too() {
    let dir = tempfile::tempdir().unwrap();
    gelu(dir.path(), "a.irt", 1.0);
    let whole = std::fs::read_to_string(dir.path().join("a.irt")).unwrap();
    let other = whole.replace("add(%10, %10)", "mul(%10, %10)");
    std::fs::write(dir.path().join("b.irt"), other).unwrap();
    let line = ["bisect", "a.irt", "b.irt", "--json", "--repro", "r.ir"];
    let out = airconv(&line, dir.path());
    assert_eq!(code(&out), 1, "{}", text(&out.stderr));
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let first = &value["first"];
    assert!(first["a"]["line"].as_str().unwrap().contains("add("), "{first}");
    assert!(first["b"]["line"].as_str().unwrap().contains("mul("), "{first}");
    assert_eq!(first["b"]["from"], serde_json::json!(["g"]));
    let out = airconv(&["verify", "r.right.ir", "r.ir"], dir.path());
    assert_eq!(code(&out), 1);
}

#[test]
fn the_guilty_rewrite_is_found() {
    let dir = tempfile::tempdir().unwrap();
    gelu(dir.path(), "in.irt", 1.0);
    let out = airconv(&["bisect", "in.irt", "--opt", "fuse"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let line = ["bisect", "in.irt", "--opt", "fuse", "--rtol", "0", "--atol", "0"];
    let out = airconv(&line, dir.path());
    assert_eq!(code(&out), 1, "{}", text(&out.stdout));
    let shown = text(&out.stdout);
    assert!(shown.contains("raise_gelu") && shown.contains("+ %"), "{shown}");
    let out = airconv(&[&line[..], &["--json"]].concat(), dir.path());
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(value["guilty"]["rewrite"]["pass"], "raise_gelu");
    assert_eq!(code(&airconv(&["bisect", "in.irt"], dir.path())), 2);
}
