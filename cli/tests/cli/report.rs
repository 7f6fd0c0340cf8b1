//! `--report`: the same facts as JSON and as a page.

use super::{airconv, code, model, text};

#[test]
fn a_report_is_json_or_a_page() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let line = ["in.onnx", "--opt", "fuse", "--opset", "17", "-o", "out.onnx", "--report"];
    for report in ["r.json", "r.html", "again.html"] {
        let out = airconv(&[&line[..], &[report]].concat(), dir.path());
        assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!(value["exit"], 0);
    assert_eq!(value["output"]["opsets"]["onnx"], 17);
    assert_eq!(value["input"]["program"]["ops"]["relu"], 1);
    let bytes = std::fs::metadata(dir.path().join("out.onnx")).unwrap().len();
    assert_eq!(value["output"]["bytes"], bytes);
    let page = read("r.html");
    assert_eq!(page, read("again.html"));
    for wanted in ["<!DOCTYPE html>", "in.onnx", "out.onnx", "relu", "f32[batch, 3]", "--opt fuse"]
    {
        assert!(page.contains(wanted), "{wanted} is not in the page");
    }
    for outside in ["http:", "https:", "<script", "<link", "url("] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
}

#[test]
fn a_report_says_why_nothing_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(model(dir.path(), "in.onnx", 2.0)).unwrap();
    let line = ["in.onnx", "--opset", "99", "-o", "out.onnx", "--report", "r.html"];
    assert_eq!(code(&airconv(&line, dir.path())), 4);
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(page.contains("Nothing was written") && page.contains("13 to 28"));
    std::fs::write(dir.path().join("cut.onnx"), &whole[..whole.len() / 2]).unwrap();
    let line = ["cut.onnx", "-o", "out.onnx", "--report", "cut.html"];
    assert_eq!(code(&airconv(&line, dir.path())), 3);
    let page = std::fs::read_to_string(dir.path().join("cut.html")).unwrap();
    assert!(page.contains("onnx-protobuf"), "{page}");
    let line = ["in.onnx", "-o", "out.onnx", "--report", "out.onnx"];
    assert_eq!(code(&airconv(&line, dir.path())), 2);
}
