//! What is wrong with a command line is said, and has one exit code.

use super::{airconv, code, model, text};

/// Runs a line that is wrong, and gives what it says.
#[track_caller]
fn wrong(line: &[&str], folder: &std::path::Path) -> String {
    let out = airconv(line, folder);
    let said = text(&out.stderr);
    assert_eq!(code(&out), 2, "{line:?}: {said}");
    assert!(!said.is_empty(), "{line:?} says nothing");
    said
}

#[test]
fn options_without_effect_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for (option, rest) in [
        ("--opset", &["17", "-o", "x.ir"][..]),
        ("--isa", &["v3", "-o", "x.onnx"]),
        ("--isa", &["v3", "-o", "x.c"]),
        ("--single-file", &["-o", "x.ir"]),
        ("--external-from", &["4", "-o", "x.irt"]),
        ("--input-type", &["x=f32[1]", "-o", "x.ir"]),
    ] {
        let line = [&["in.onnx", option], rest].concat();
        assert!(wrong(&line, dir.path()).contains(option), "{line:?}");
        assert!(!dir.path().join(rest[rest.len() - 1]).exists());
    }
    for (option, rest) in [
        ("--native-only", &[][..]),
        ("--threads", &["2"]),
        ("--isa", &["v3"]),
        ("--precision", &["bf16", "--executor", "c"]),
    ] {
        let line = [&["run", "in.onnx", option], rest].concat();
        assert!(wrong(&line, dir.path()).contains(option), "{line:?}");
    }
    // One that either of two takes is no mistake.
    let two = ["--executor", "interpreter", "--executor", "kernel", "--native-only"];
    let out = airconv(&[&["verify", "in.onnx", "in.onnx"], &two[..]].concat(), dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    wrong(&["bisect", "in.onnx", "in.onnx", "--threads", "2"], dir.path());
    let out = airconv(&["in.onnx", "--allow-lossy", "foo", "-o", "x.ir"], dir.path());
    assert_eq!(code(&out), 0);
    assert!(text(&out.stderr).contains("--allow-lossy foo"), "{}", text(&out.stderr));
}

#[test]
fn names_and_values_that_are_not_there_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for (line, said) in [
        (&["in.onnx", "--to", "foo", "-o", "x.ir"][..], "foo"),
        (&["in.onnx", "--from", "foo", "-o", "x.ir"], "onnx"),
        (&["run", "in.onnx", "--executor", "nobody"], "interpreter"),
        (&["run", "in.onnx", "--size", "nope=3"], "there are: batch"),
        (&["run", "in.onnx", "--dim", "batch=4", "--size", "batch=5"], "--dim batch has fixed it"),
        (&["run", "in.onnx", "--dim", "batch=4", "--dim", "batch=5"], "given twice"),
        (&["run", "in.onnx", "--size", "batch=4", "--size", "batch=5"], "given twice"),
        (&["in.onnx", "--isa", "v9", "-o", "x.so"], "v9"),
        (&["run", "in.onnx", "--executor", "llvm", "--precision", "foo"], "f32-high"),
        (&["in.onnx", "--bind", "x=foo", "-o", "x.ir"], "not a number"),
        (&["inspct", "in.onnx"], "did you mean `inspect`"),
        (&["inspct"], "did you mean `inspect`"),
        (&["in.onnx", "-o", "in.onnx"], "is the input"),
        (&["in.onnx", "-o", "./in.onnx"], "is the input"),
    ] {
        let all = wrong(line, dir.path());
        assert!(all.contains(said), "{line:?}: {all}");
    }
    let out = airconv(&["run", "in.onnx", "--dim", "batch=4", "--dim", "batch=4"], dir.path());
    assert_eq!(code(&out), 0, "the same twice is no mistake: {}", text(&out.stderr));
    let out = airconv(&["in.onnx", "--isa", "v9", "-o", "x.so"], dir.path());
    let other = if cfg!(target_arch = "x86_64") { "neon" } else { "v3" };
    assert!(!text(&out.stderr).contains(other), "artefacts of this machine have no such level");
}

#[test]
fn files_that_cannot_be_read_or_written_are_failures_of_the_system() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for line in [
        &["run", "in.onnx", "--inputs", "missing.npz"][..],
        &["run", "in.onnx", "--bind", "x=@missing.npy"],
        &["in.onnx", "--op-types", "missing.txt", "-o", "x.ir"],
        &["missing.onnx", "-o", "x.ir"],
        &["in.onnx", "-o", "missing/x.ir"],
        &["in.onnx", "-o", "missing/x.onnx"],
    ] {
        let out = airconv(line, dir.path());
        let said = text(&out.stderr);
        assert_eq!(code(&out), 5, "{line:?}: {said}");
        assert_eq!(said.matches("missing").count(), 1, "{line:?}: {said}");
        assert!(!said.contains(".airconv-"), "{line:?}: {said}");
    }
    for name in ["x.npz", "x.npy", "types.txt"] {
        std::fs::write(dir.path().join(name), "neither of them").unwrap();
    }
    for line in [
        &["run", "in.onnx", "--inputs", "x.npz"][..],
        &["run", "in.onnx", "--bind", "x=@x.npy"],
        &["in.onnx", "--op-types", "types.txt", "-o", "x.ir"],
    ] {
        assert_eq!(code(&airconv(line, dir.path())), 3, "{line:?}");
    }
}

#[test]
fn one_cause_is_one_error() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    std::fs::write(dir.path().join("empty.onnx"), b"").unwrap();
    let line = ["in.onnx", "--external-from", "4", "-o", "beside.onnx"];
    assert_eq!(code(&airconv(&line, dir.path())), 0);
    std::fs::remove_file(dir.path().join("beside.onnx.data")).unwrap();
    for (line, said) in [
        (&["inspect", "empty.onnx"][..], "is empty"),
        (&["inspect", "in.onnx", "--max-nodes", "1"], "more than 1 nodes"),
        (&["inspect", "beside.onnx"], "beside.onnx.data is missing"),
    ] {
        let out = airconv(line, dir.path());
        let all = text(&out.stderr);
        assert_eq!(code(&out), 3, "{line:?}: {all}");
        assert!(all.contains(said), "{line:?}: {all}");
        let errors: Vec<&str> = all.lines().filter(|l| l.starts_with("error")).collect();
        let missing = all.matches("is missing").count();
        assert_eq!(errors.len(), missing.max(1), "{line:?}: {all}");
    }
}

/// A program with an op of a format that nothing else knows.
const OPAQUE: &str = r#"airconv 0.1
opset "onnx" = 17
func @0 "main" {
  in "x": user
  out "y": user
  body ^0(%0 "x": f32[3]) {
    %1 "y": f32[3] = opaque(%0) {source = {format = "onnx", domain = "mine", name = "Twist", version = 1}, reason = "no rule"}
    return %1
  }
}
entry @0
"#;

#[test]
fn refusals_name_what_they_refuse() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.irt"), OPAQUE).unwrap();
    for artefact in ["x.c", "x.so"] {
        let out = airconv(&["in.irt", "-o", artefact], dir.path());
        assert_eq!(code(&out), 4, "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("mine::Twist"), "{}", text(&out.stderr));
    }
    let out = airconv(&["check", "in.irt"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let bare = text(&out.stderr).lines().any(|l| l.trim() == "at");
    assert!(!bare, "{}", text(&out.stderr));
}
