//! What is printed, and what becomes of it.

use std::fs::File;
use std::process::{Command, Stdio};

use super::{airconv, code, model, text};

#[test]
fn results_that_are_lost_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for line in [
        &["inspect", "in.onnx"][..],
        &["print", "in.onnx"],
        &["support"],
        &["completions", "bash"],
        &["--help"],
        &["verify", "in.onnx", "in.onnx"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_airconv"));
        let out = command.args(line).current_dir(dir.path()).stdout(full).output().unwrap();
        assert_eq!(code(&out), 5, "{line:?}: {}", text(&out.stderr));
        assert_eq!(text(&out.stderr).matches("could not be printed").count(), 1, "{line:?}");
        // One who has seen enough is no error.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_airconv"));
        let out = command.args(line).current_dir(dir.path()).stdout(writer).output().unwrap();
        assert_eq!(code(&out), 0, "{line:?}: {}", text(&out.stderr));
        assert_eq!(text(&out.stderr), "", "{line:?}");
    }
}

#[test]
fn outputs_that_do_not_fit_are_one_error() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let out = airconv(&["run", "in.onnx", "--outputs", "/dev/full"], dir.path());
    assert_eq!(code(&out), 5);
    assert_eq!(text(&out.stderr).lines().count(), 1, "{}", text(&out.stderr));
}

#[test]
fn every_command_has_json() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for line in [
        &["in.onnx", "-o", "x.ir"][..],
        &["print", "in.onnx"],
        &["inspect", "in.onnx"],
        &["check", "in.onnx"],
        &["opt", "in.onnx", "--opt", "fuse"],
        &["run", "in.onnx"],
        &["diff", "in.onnx", "in.onnx"],
    ] {
        let child = Command::new(env!("CARGO_BIN_EXE_airconv"))
            .args(line)
            .arg("--json")
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .spawn();
        let out = child.unwrap().wait_with_output().unwrap();
        assert_eq!(code(&out), 0, "{line:?}");
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap();
    }
    for line in [&["--nonsense"][..], &["in.onnx", "-o", "in.onnx"], &["inspct"]] {
        let out = airconv(&[line, &["--json"]].concat(), dir.path());
        assert_eq!(code(&out), 2, "{line:?}");
        let said: serde_json::Value = serde_json::from_slice(&out.stderr).unwrap();
        assert_eq!(said["diagnostics"][0]["severity"], "error", "{said}");
    }
}

#[test]
fn nodes_are_counted_alike() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let json = |line: &[&str]| -> serde_json::Value {
        let out = airconv(&[line, &["--json"]].concat(), dir.path());
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let count = json(&["inspect", "in.onnx"])["nodes"].clone();
    assert_eq!(json(&["opt", "in.onnx"])["before"], count);
    let out = airconv(&["check", "in.onnx"], dir.path());
    assert!(text(&out.stdout).contains(&format!("{count} nodes")), "{}", text(&out.stdout));
}

#[test]
fn the_help_lists_names() {
    let dir = tempfile::tempdir().unwrap();
    let help = |line: &[&str]| text(&airconv(line, dir.path()).stdout);
    let convert = help(&["--help"]);
    for name in ["torchscript", "safetensors", "AIRCONV_CACHE_DIR"] {
        assert!(convert.contains(name), "{name} is not in\n{convert}");
    }
    let run = help(&["run", "--help"]);
    assert!(run.contains("interpreter") && run.contains("kernel"), "{run}");
}
