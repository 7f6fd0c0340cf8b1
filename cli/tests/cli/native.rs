//! Native code: executors, artefacts that C programs link, and the way back from them.

use std::path::Path;
use std::process::Command;

use super::{airconv, code, model, text};

/// A C program that runs the model of [`model`] on batches of one and four and prints sums.
const CALLER: &str = r#"
#include "net.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    for (int64_t batch = 1; batch <= 4; batch += 3) {
        float x[12], y[12] = {0};
        for (int i = 0; i < 12; i++)
            x[i] = (float)(i % 5) - 2.0f;
        const int64_t shape[] = {batch, 3};
        const int64_t *shapes[] = {shape};
        const void *inputs[] = {x};
        void *outputs[] = {y};
        net_context *context;
        int32_t status = net_create(&context, shapes, NULL);
        if (status != 0)
            return 1;
        void *workspace = aligned_alloc(64, (size_t)(net_workspace(context) / 64 + 1) * 64);
        status = net_run(context, inputs, outputs, NULL, workspace);
        free(workspace);
        net_destroy(context);
        if (status != 0) {
            puts(net_error(status));
            return 1;
        }
        float sum = 0;
        for (int i = 0; i < batch * 3; i++)
            sum += y[i];
        printf("%g\n", (double)sum);
    }
    return 0;
}
"#;

/// What the caller prints: relu(x + [1, -2, 3]) * 2, summed.
fn expected() -> String {
    let sum = |batch: i32| -> f32 {
        let c = [1.0, -2.0, 3.0];
        (0..batch * 3).map(|i| ((i % 5) as f32 - 2.0 + c[(i % 3) as usize]).max(0.0) * 2.0).sum()
    };
    format!("{}\n{}\n", sum(1), sum(4))
}

/// Compiles the caller with what was written and gives what it prints.
fn call(folder: &Path, artefact: &str) -> String {
    std::fs::write(folder.join("caller.c"), CALLER).unwrap();
    let cc = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "caller.c"])
        .args([&format!("./{artefact}"), "-o", "caller", "-lm"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(cc.status.success(), "{artefact}: {}", text(&cc.stderr));
    let run = Command::new("./caller").current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{artefact}: {}", text(&run.stdout));
    text(&run.stdout)
}

#[test]
fn one_artefact_serves_every_batch() {
    for artefact in ["net.so", "net.a", "net.o", "net.c"] {
        let dir = tempfile::tempdir().unwrap();
        model(dir.path(), "in.onnx", 2.0);
        let out = airconv(&["in.onnx", "-o", artefact], dir.path());
        assert_eq!(code(&out), 0, "{artefact}: {}", text(&out.stderr));
        assert_eq!(call(dir.path(), artefact), expected(), "{artefact}");
    }
}

#[test]
fn a_library_gives_its_program_back() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for artefact in ["net.so", "net.a", "net.o"] {
        assert_eq!(code(&airconv(&["in.onnx", "-o", artefact], dir.path())), 0);
        let out = airconv(&[artefact, "-o", "back.onnx"], dir.path());
        assert_eq!(code(&out), 0, "{artefact}: {}", text(&out.stderr));
        let out = airconv(&["diff", "in.onnx", "back.onnx"], dir.path());
        assert_eq!(code(&out), 0, "{artefact}: {}", text(&out.stdout));
    }
    // What airconv did not write carries no program.
    let caller = dir.path().join("other.c");
    std::fs::write(&caller, "int x;\n").unwrap();
    let cc = Command::new("cc").args(["-c", "other.c"]).current_dir(dir.path()).status().unwrap();
    assert!(cc.success());
    let out = airconv(&["inspect", "other.o"], dir.path());
    assert_eq!(code(&out), 3);
    assert!(text(&out.stderr).contains("carries no program"), "{}", text(&out.stderr));
}

#[test]
fn the_same_library_twice() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    let bytes = || {
        assert_eq!(code(&airconv(&["in.onnx", "-o", "net.a"], dir.path())), 0);
        std::fs::read(dir.path().join("net.a")).unwrap()
    };
    assert!(bytes() == bytes(), "two runs gave different archives");
}

#[test]
fn executors_agree() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), "in.onnx", 2.0);
    for executor in ["kernel", "llvm", "c"] {
        let line = ["verify", "in.onnx", "in.onnx", "--executor", "interpreter", "--executor"];
        let out = airconv(&[&line[..], &[executor, "--size", "batch=5"]].concat(), dir.path());
        assert_eq!(code(&out), 0, "{executor}: {}{}", text(&out.stdout), text(&out.stderr));
    }
    let line = ["run", "in.onnx", "--executor", "llvm", "--isa", "v9"];
    let out = airconv(&line, dir.path());
    assert_eq!(code(&out), 2);
    assert!(text(&out.stderr).contains("v9"), "{}", text(&out.stderr));
}

#[test]
fn bench_tells_of_each_kernel_what_it_takes_and_why() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "net.onnx", 2.0);
    let args =
        ["bench", "net.onnx", "--against", "none", "--explain", "--json", "--size", "batch=3"];
    let out = airconv(&args, folder.path());
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let kernels = told["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), 1, "{told}");
    assert_eq!(kernels[0]["launches"], 1);
    assert_eq!(kernels[0]["why"], "it is no matrix product");
    assert!(kernels[0]["us"].as_f64().unwrap() > 0.0);
    // A process of its own took the kernel from the cache.
    assert!(told["cached_ms"].as_f64().unwrap() > 0.0, "{told}");
    assert!(told["peak_kib"].as_u64().is_some(), "{told}");
}
