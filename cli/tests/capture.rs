//! `airconv capture` from end to end: a recording candle-core is made from the registry's, small
//! models are built with it, run and converted, and what they compute is compared with what candle
//! computed at other sizes. Builds candle, which takes a minute or two when nothing is cached.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use airconv_api::{compare, npz};

/// Small models of the zoo.
const MODELS: [&str; 3] = ["mlp", "convnet", "lstm"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn airconv(arguments: &[&str]) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capture");
    Command::new(env!("CARGO_BIN_EXE_airconv"))
        .args(arguments)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", &target)
        .env("AIRCONV_CACHE_DIR", target.join("cache"))
        .output()
        .unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn models_of_candle_are_captured_and_compute_the_same() {
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&files.path().join(name));
    let zoo = ["cargo", "run", "--quiet", "--manifest-path", "converters/candle/zoo/Cargo.toml"];
    let out = at("");
    let zoo = [&zoo[..], &["--no-default-features", "--", &out]].concat();
    let lock = std::fs::read(root().join("converters/candle/zoo/Cargo.lock")).unwrap();

    let kept = at("kept");
    let done = airconv(&[&["capture", "--keep", &kept, "--"], &zoo[..], &MODELS].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for name in MODELS {
        agrees(files.path(), name);
    }
    // Only the one that is asked for is written, and the lock file is as it was.
    let model = at("mlp.onnx");
    let capture = ["capture", "-o", &model, "--program", "mlp", "--"];
    let done = airconv(&[&capture[..], &zoo[..], &MODELS[..2]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::metadata(&model).unwrap().len() > 1000);
    assert_eq!(std::fs::read(root().join("converters/candle/zoo/Cargo.lock")).unwrap(), lock);
    // A program that is not there.
    let capture = ["capture", "-o", &model, "--program", "other", "--"];
    let done = airconv(&[&capture[..], &zoo[..], &MODELS[..1]].concat());
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("there are mlp"));
}

/// Whether a recorded model gives what candle gave.
fn agrees(folder: &Path, name: &str) {
    let at = |file: &str| text(&folder.join(file));
    let got = at(&format!("{name}.got.npz"));
    let recording = at(&format!("kept/{name}.recording"));
    let inputs = at(&format!("{name}.in.npz"));
    let run = ["run", &recording, "--inputs", &inputs, "--outputs", &got];
    let done = airconv(&run);
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    let got = npz::read(Path::new(&got)).unwrap();
    let want = npz::read(Path::new(&at(&format!("{name}.out.npz")))).unwrap();
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (output, member) in want {
        let want = member.into_array(None).unwrap().into();
        let got = got[&output].clone().into_array(None).unwrap().into();
        let distance = compare::distance(&got, &want, 1e-4, 1e-5);
        assert!(distance.agrees(), "{name}: `{output}`: {distance:?}");
    }
}

#[test]
fn what_is_not_a_command_of_cargo_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(&folder.path().join("x.onnx"));
    let done = airconv(&["capture", "-o", &out, "--", "make", "run"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("`make` is not cargo"));
    let done = airconv(&["capture", "-o", &out]);
    assert_eq!(done.status.code(), Some(2));
}
