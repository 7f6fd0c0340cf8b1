//! What is written: the code of small programs as it is kept in `tests/golden`
//! (`AIRCONV_BLESS=1` replaces it), refusals, and folders that appear whole or not at all.

mod common;

use std::path::Path;

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::module::Module;
use airconv_ir::op::*;

/// Compares the files of a crate with those that are kept.
fn golden(name: &str, module: &Module, single: bool, files: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}-candle"));
    common::write(module, &path, single).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    for file in files {
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        let kept = kept.join(file.strip_prefix("src/").unwrap_or(file));
        if std::env::var_os("AIRCONV_BLESS").is_some_and(|v| v == "1") {
            std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
            std::fs::write(&kept, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&kept).unwrap_or_default();
        assert!(
            text == expected,
            "{name}: {file} differs from {}; AIRCONV_BLESS=1 replaces it. It is now:\n{text}",
            kept.display()
        );
    }
}

#[test]
fn blocks_become_structs_and_lists() {
    let files = ["src/lib.rs", "Cargo.toml", "examples/run.rs", "tests/parity.rs", "README.md"];
    golden("mlp", &common::mlp(), false, &files);
}

/// A block without a projection is the block with one that is absent, and both are one struct.
#[test]
fn what_some_blocks_lack_is_optional() {
    golden("residual", &common::residual(), false, &["src/lib.rs"]);
}

#[test]
fn control_flow_becomes_that_of_rust() {
    golden("control", &common::control(), true, &["src/lib.rs"]);
}

#[test]
fn the_same_program_is_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("m-candle"), folder.path().join("again/m-candle"));
    std::fs::create_dir(folder.path().join("again")).unwrap();
    common::write(&common::mlp(), &a, false).unwrap();
    common::write(&common::mlp(), &b, false).unwrap();
    for file in ["src/lib.rs", "model.safetensors", "tests/parity.safetensors", "Cargo.toml"] {
        let [a, b] = [&a, &b].map(|p| std::fs::read(p.join(file)).unwrap());
        assert!(a == b, "{file}");
    }
}

#[test]
fn weights_keep_their_names_in_the_layout_of_layers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m-candle");
    common::write(&common::mlp(), &path, false).unwrap();
    let bytes = std::fs::read(path.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("layers.2.fc1.weight").unwrap().shape(), [16, 8]);
    assert_eq!(file.tensor("layers.0.norm.bias").unwrap().shape(), [8]);
    assert_eq!(file.names().len(), 3 * 6 + 2);
}

#[test]
fn all_that_is_missing_is_named_and_nothing_is_written() {
    let mut d = common::Draft::new();
    let x = d.input("x", DType::F32, &[Dim::Known(4)]);
    let c = d.input("c", DType::C64, &[Dim::Known(4)]);
    let bits = d.emit(Bitcast { to: DType::U32 }, &[x]);
    let real = d.emit(Real {}, &[c]);
    d.output("bits", bits);
    d.output("real", real);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m-candle");
    let (failed, report) = common::write(&d.done(), &path, false).unwrap_err();
    assert_eq!(failed, airconv_api::Failed::Unsupported);
    let text: Vec<&str> = report.diagnostics.iter().map(|d| d.message.as_str()).collect();
    let text = text.join("\n");
    assert!(text.contains("`bitcast`") && text.contains("`real`"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn only_a_folder_that_was_written_here_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m-candle");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("mine.txt"), "mine").unwrap();
    let (failed, _) = common::write(&common::mlp(), &path, false).unwrap_err();
    assert_eq!(failed, airconv_api::Failed::System);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    std::fs::remove_file(path.join("mine.txt")).unwrap();
    common::write(&common::mlp(), &path, false).unwrap();
    std::fs::write(path.join("src/more.rs"), "").unwrap();
    common::write(&common::mlp(), &path, false).unwrap();
    assert!(!path.join("src/more.rs").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A chain of blocks that hold one weight each; what they are called is `name`.
fn named_blocks(name: &str) -> Module {
    let mut d = common::Draft::new();
    let rows = d.size("n\npub fn evil() {}\n//");
    let mut x = d.input("x\r\npub fn evil() {}//", DType::F32, &[rows, Dim::Known(8)]);
    for i in 0..2 {
        x = d.linear(&format!("{name}.{i}.fc"), x, [8, 8]);
    }
    d.output("y\npub fn evil() {}", x);
    d.done()
}

#[test]
fn names_of_a_model_are_no_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("std");
    common::write(&named_blocks("a\npub fn evil() {}\n//"), &path, false).unwrap();
    for file in ["src/lib.rs", "examples/run.rs", "tests/parity.rs", "README.md"] {
        let text = std::fs::read_to_string(path.join(file)).unwrap_or_default();
        let evil = text.lines().find(|l| l.trim_start().starts_with("pub fn evil"));
        assert_eq!(evil, None, "{file}: {text}");
    }
    let manifest = std::fs::read_to_string(path.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"std_model\""), "{manifest}");
}
