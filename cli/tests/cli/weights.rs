//! Weights alone: out of a program, looked at, and into another one.

use super::{airconv, code, model, text};

#[test]
fn weights_leave_a_program_and_come_into_another() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "two.onnx", 2.0);
    model(dir.path(), "three.onnx", 3.0);
    let run = |args: &[&str]| airconv(args, dir.path());

    let refused = run(&["three.onnx", "-o", "three.safetensors"]);
    assert_eq!(code(&refused), 4);
    assert!(text(&refused.stderr).contains("--allow-lossy weights-only"));
    assert!(!dir.path().join("three.safetensors").exists());

    let line = &["three.onnx", "--allow-lossy", "weights-only", "-o", "three.safetensors"];
    let out = run(line);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let out = run(&["inspect", "three.safetensors"]);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));

    let out = run(&["two.onnx", "--weights", "three.safetensors", "-o", "mixed.onnx"]);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let same = |other: &str| code(&run(&["verify", "mixed.onnx", other, "--size", "batch=2"]));
    assert_eq!((same("three.onnx"), same("two.onnx")), (0, 1));
}

#[test]
fn weights_of_another_program_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "two.onnx", 2.0);
    // One f32 of another name.
    let header = br#"{"other":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&1f32.to_le_bytes());
    std::fs::write(dir.path().join("other.safetensors"), bytes).unwrap();
    let args = ["two.onnx", "--weights", "other.safetensors", "-o", "mixed.onnx"];
    let out = airconv(&args, dir.path());
    assert_eq!(code(&out), 4, "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("no name in common"));
    assert!(!dir.path().join("mixed.onnx").exists());
}
