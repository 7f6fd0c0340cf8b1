//! The program as a user calls it: results, diagnostics, exit codes, whole files or none.

mod bisect;
mod diff;
mod names;
mod native;
mod numbers;
mod printed;
mod refused;
mod report;
mod weights;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use airconv_api::{Report, WriteOptions, Writer};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxWriter;

fn airconv(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airconv")).args(args).current_dir(folder).output().unwrap()
}

fn code(out: &Output) -> i32 {
    out.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// relu(x + c) * factor with a symbolic batch, written as ONNX.
fn model(folder: &Path, name: &str, factor: f64) -> PathBuf {
    let mut m = Module::default();
    m.origins.push(Default::default());
    let mut f = Function::new("main");
    let batch = Dim::from(f.add_symbol("batch", Range::NONNEG, None));
    let role = InputRole::User { default: None, kind: Default::default() };
    let x = f.add_input("x", Type::tensor(DType::F32, [batch, Dim::Known(3)]), role);
    let func = m.functions.push(f);
    let body = m.functions[func].body;
    let mut b = Builder::new(&mut m, func, body, OriginId(0));
    let c = b.constant(&Array::from_f64s(DType::F32, vec![3], &[1.0, -2.0, 3.0]).unwrap()).unwrap();
    let sum = b.add(x, c).unwrap();
    let relu = b.emit(airconv_ir::op::Relu {}, &[sum]).unwrap();
    let y = b.mul_const(relu, factor).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    let path = folder.join(name);
    let verified = verify(&m, Stage::Canonical).unwrap();
    OnnxWriter.write(&verified, &path, &WriteOptions::default(), &mut Report::default()).unwrap();
    path
}

#[test]
fn there_and_back_again() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for line in [
        &["in.onnx", "--opt", "fuse", "-o", "out.ir"][..],
        &["out.ir", "-o", "out.onnx"],
        &["out.ir", "-o", "out.irt"],
        &["out.irt", "-o", "again.ir"],
    ] {
        let out = airconv(line, dir.path());
        assert_eq!(code(&out), 0, "{line:?}: {}", text(&out.stderr));
    }
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(read("out.ir"), read("again.ir"), "the text form keeps everything");
    let out = airconv(&["verify", "in.onnx", "out.onnx", "--size", "batch=4"], dir.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("the same within"));
}

#[test]
fn verify_tells_programs_apart() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "a.onnx", 2.0);
    model(dir.path(), "b.onnx", 2.1);
    let out = airconv(&["verify", "a.onnx", "b.onnx", "--json"], dir.path());
    assert_eq!(code(&out), 1);
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(value["agree"], false);
    assert!(value["outputs"][0]["max_abs"].as_f64().unwrap() > 0.01);
}

#[test]
fn inspect_shows_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let out = airconv(&["inspect", "in.onnx"], dir.path());
    let shown = text(&out.stdout);
    assert_eq!(code(&out), 0);
    for wanted in ["x: f32[batch, 3]", "y: f32[batch, 3]", "relu", "parameters: 4"] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    let out = airconv(&["inspect", "in.onnx", "--dim", "batch=7", "--json"], dir.path());
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(value["inputs"][0]["type"], "f32[7, 3]");
}

#[test]
fn run_gives_numbers_by_name() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let x = Array::from_f64s(DType::F32, vec![1, 3], &[1.0, 1.0, -10.0]).unwrap();
    airconv_api::npz::write(&dir.path().join("x.npz"), [("x", &x)]).unwrap();
    let line = ["run", "in.onnx", "--inputs", "x.npz", "--outputs", "y.npz"];
    assert_eq!(code(&airconv(&line, dir.path())), 0);
    let mut y = airconv_api::npz::read(&dir.path().join("y.npz")).unwrap();
    let y = y.remove("y").unwrap().into_array(None).unwrap();
    assert_eq!(y.to_f64s().unwrap(), [4.0, 0.0, 0.0]);
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for line in [
        &["in.onnx"][..],
        &["in.onnx", "-o", "out.nothing"],
        &["in.onnx", "--opt", "nosuchpass", "-o", "out.ir"],
        &["in.onnx", "--dim", "batch=x", "-o", "out.ir"],
        &["run", "in.onnx", "--executor", "nobody"],
        &["--nonsense"],
    ] {
        assert_eq!(code(&airconv(line, dir.path())), 2, "{line:?}");
    }
    assert_eq!(code(&airconv(&["--help"], dir.path())), 0);
}

#[test]
fn malformed_files_exit_with_3_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(model(dir.path(), "in.onnx", 2.0)).unwrap();
    std::fs::write(dir.path().join("cut.onnx"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(dir.path().join("empty.onnx"), b"").unwrap();
    std::fs::write(dir.path().join("noise.ir"), b"\x89AIR\r\n\x1a\nnot really").unwrap();
    std::fs::write(dir.path().join("noise.irt"), "airconv 0.1\nfunc oops").unwrap();
    for name in ["cut.onnx", "empty.onnx", "noise.ir", "noise.irt"] {
        let out = airconv(&[name, "-o", "out.ir"], dir.path());
        assert_eq!(code(&out), 3, "{name}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains("error"), "{name} says nothing");
        assert!(!dir.path().join("out.ir").exists());
    }
    assert_eq!(code(&airconv(&["missing.onnx", "-o", "out.ir"], dir.path())), 5);
}

#[test]
fn what_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let out = airconv(&["in.onnx", "--opset", "99", "-o", "out.onnx"], dir.path());
    assert_eq!(code(&out), 4);
    assert!(text(&out.stderr).contains("13 to 28"), "{}", text(&out.stderr));
    assert!(!dir.path().join("out.onnx").exists());
}

#[test]
fn what_is_fixed_has_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let out = airconv(&["in.onnx", "--dim", "btch=1", "-o", "out.ir"], dir.path());
    assert_eq!(code(&out), 2);
    assert!(text(&out.stderr).contains("there are: batch"), "{}", text(&out.stderr));
    let out = airconv(&["in.onnx", "--bind", "z=1", "-o", "out.ir"], dir.path());
    assert_eq!(code(&out), 2);
    assert!(text(&out.stderr).contains("there are: x"), "{}", text(&out.stderr));
    assert_eq!(code(&airconv(&["in.onnx", "-o", "out.ir"], dir.path())), 0);
    let out = airconv(&["out.ir", "--dim", "btch=1", "-o", "out.onnx"], dir.path());
    assert_eq!(code(&out), 2, "it is not ignored in silence");
    assert!(text(&out.stderr).contains("there are: batch"), "{}", text(&out.stderr));
}

/// The rank of `y` hangs on `rate`, and `Squeeze` on the size of an axis without a name.
const WAITING: &str = r#"airconv 0.1
opset "onnx" = 17

func @0 "main" {
  symbol $0 "x_0": 0.. why "axis without a name"
  in "x": user
  in "rate": user
  out "y": user
  body ^0(%0 "x": f32[x_0, 2], %1 "rate": i64[]) {
    %2: i64[] = constant {tensor = #0}
    %3: bool[] = equal(%1, %2)
    %4: f32[*] = if(%3, %0) {then_branch = ^1(%5: f32[x_0, 2]) {
      %6: f32[2, x_0] = transpose(%5) {perm = [1, 0]}
      return %6
    }, else_branch = ^2(%7: f32[x_0, 2]) {
      %8: f32[*] = opaque(%7) {source = {format = "onnx", name = "Squeeze", version = 17}, reason = "sizes"}
      return %8
    }}
    %9 "y": f32[*] = opaque(%4) {source = {format = "onnx", name = "Neg", version = 17}, reason = "rank"}
    return %9
  }
}

tensor #0: i64[] = [8]
"#;

#[test]
fn what_waits_is_read_when_it_is_fixed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.irt"), WAITING).unwrap();
    let ok = |line: &[&str]| {
        let out = airconv(line, dir.path());
        assert_eq!(code(&out), 0, "{line:?}: {}", text(&out.stderr));
        text(&out.stdout)
    };
    ok(&["in.irt", "-o", "in.onnx"]);
    ok(&["in.onnx", "-o", "open.ir"]);
    assert!(ok(&["inspect", "open.ir"]).contains("sizes:      x_0"));
    // A run has sizes and values for all that waits.
    for executor in ["interpreter", "llvm"] {
        let run = |size| ok(&["run", "open.ir", "--size", size, "--executor", executor]);
        assert!(run("x_0=1").contains("y: f32[2] ="), "{executor}");
        assert!(run("x_0=3").contains("y: f32[3, 2] ="), "{executor}");
    }
    for (rate, dim, ty) in
        [("8", "x_0=3", "f32[2, 3]"), ("9", "x_0=3", "f32[3, 2]"), ("9", "x_0=1", "f32[2]")]
    {
        let fixed = [format!("rate={rate}"), dim.to_owned()];
        let [rate, dim] = fixed.each_ref().map(String::as_str);
        let fix = ["--bind", rate, "--dim", dim, "-o"];
        // From the source at once, from the hub's file, and one after the other.
        ok(&[&["in.onnx"], &fix[..], &["direct.ir"]].concat());
        ok(&[&["open.ir"], &fix[..], &["later.ir"]].concat());
        ok(&["open.ir", "--dim", dim, "-o", "half.irt"]);
        ok(&["half.irt", "--bind", rate, "-o", "steps.ir"]);
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert!(read("direct.ir") == read("later.ir"), "{fixed:?}");
        for name in ["direct.ir", "steps.ir"] {
            assert!(ok(&["check", name]).contains("0 open"), "{name} {fixed:?}");
            let shown = ok(&["run", name]);
            assert!(shown.contains(&format!("y: {ty}")), "{name} {fixed:?}: {shown}");
        }
    }
}

#[test]
fn print_is_text_and_support_is_a_table() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let out = airconv(&["print", "in.onnx"], dir.path());
    assert!(text(&out.stdout).contains("relu"), "{}", text(&out.stdout));
    let out = airconv(&["support", "onnx", "--json"], dir.path());
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let rows = value[0]["ops"].as_array().unwrap();
    assert!(rows.len() > 200, "{} rows", rows.len());
    assert!(rows.iter().any(|r| r["source"] == "Conv" && r["hub"] == "conv"));
}
