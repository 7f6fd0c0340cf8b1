//! Models of the corpus: what ONNX Runtime gave, the interpreter, the executor and the code that is
//! written for them agree. The code is that of `tests/golden`, compiled into this test.

#[allow(dead_code)]
#[path = "common/exec.rs"]
mod exec;

#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/conv_batch_norm/lib.rs"]
mod conv_batch_norm;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/if_thermostat/lib.rs"]
mod if_thermostat;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/loop_newton/lib.rs"]
mod loop_newton;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/rnn_states/lib.rs"]
mod rnn_states;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, WriteOptions, Writer, npz};
use airconv_candle::CandleWriter;
use airconv_ir::array::Array;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxReader;
use candle_core::{DType, Device, Result, Tensor};

/// How far outputs may be apart, relative to the greatest element.
const CLOSE: f64 = 1e-4;

/// Inputs by name.
type Inputs<'i> = &'i dyn Fn(&str) -> Tensor;

/// Tensors by name; the only one has none.
type Outputs = Vec<(&'static str, Tensor)>;

/// Numbers with their shape.
type Numbers = (Vec<usize>, Vec<f64>);

fn corpus() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.corpus");
    std::env::var_os("AIRCONV_CORPUS").map_or(root, PathBuf::from)
}

fn read(path: &Path) -> Module {
    let mut report = Report::default();
    let read = OnnxReader.read(path, &ReadOptions::default(), &mut report);
    read.unwrap_or_else(|_| {
        panic!("{}: {report:?} (the corpus is filled by ./test)", path.display())
    })
}

fn numbers(array: &Array) -> Numbers {
    let ints = || array.to_i64s().map(|v| v.into_iter().map(|i| i as f64).collect());
    (array.shape.clone(), array.to_f64s().or_else(ints).unwrap())
}

fn of_tensor(tensor: &Tensor) -> Numbers {
    let flat = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    (tensor.dims().to_vec(), flat.to_vec1().unwrap())
}

fn tensor(array: &Array) -> Tensor {
    let shape = array.shape.clone();
    match array.as_slice::<f32>() {
        Some(v) => Tensor::from_vec(v.to_vec(), shape, &Device::Cpu),
        None => Tensor::from_vec(array.to_i64s().unwrap(), shape, &Device::Cpu),
    }
    .unwrap()
}

fn same(what: &str, actual: &Numbers, expected: &Numbers) {
    assert_eq!(actual.0, expected.0, "{what}");
    let most = expected.1.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    for (a, e) in actual.1.iter().zip(&expected.1) {
        assert!((a - e).abs() <= CLOSE * most, "{what}: {a} instead of {e}");
    }
}

/// The arrays of a reference file by name.
fn arrays(path: &Path, kind: &str) -> BTreeMap<String, Array> {
    let members = npz::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let prefix = format!("{kind}:");
    let named = members.into_iter().filter_map(|(name, member)| {
        let name = name.strip_prefix(&prefix)?.to_owned();
        Some((name, member.into_array(None).unwrap()))
    });
    named.collect()
}

/// A model whose code is kept: what it is called, and how its code is called on inputs by name.
struct Model {
    name: &'static str,
    cases: &'static [&'static str],
    run: fn(&Path, Inputs<'_>) -> Result<Outputs>,
}

const MODELS: &[Model] = &[
    Model {
        name: "conv_batch_norm",
        cases: &["A", "B"],
        run: |weights, input| {
            let model = conv_batch_norm::Model::from_safetensors(weights, &Device::Cpu)?;
            Ok(vec![("", model.forward(&input("image"))?)])
        },
    },
    Model {
        name: "if_thermostat",
        cases: &["A", "B", "C", "D"],
        run: |weights, input| {
            let model = if_thermostat::Model::from_safetensors(weights, &Device::Cpu)?;
            let output = model.forward(&input("reading"))?;
            Ok(vec![("setting", output.setting), ("count", output.count)])
        },
    },
    Model {
        name: "loop_newton",
        cases: &["A", "B", "C"],
        run: |weights, input| {
            let model = loop_newton::Model::from_safetensors(weights, &Device::Cpu)?;
            let o = model.forward(&input("x"), &input("limit"))?;
            Ok(vec![
                ("root", o.root),
                ("steps", o.steps),
                ("rounds", o.rounds),
                ("powers", o.powers),
            ])
        },
    },
    Model {
        name: "rnn_states",
        cases: &["A", "B"],
        run: |weights, input| {
            let model = rnn_states::Model::from_safetensors(weights, &Device::Cpu)?;
            let output = model.forward(&input("x"), &input("h"), &input("c"))?;
            Ok(vec![("y", output.y), ("cell", output.cell)])
        },
    },
];

/// The code is the one that is kept; the weights beside it are for the other tests.
fn written(name: &str, module: &Module, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{name}-candle"));
    let verified = verify(module, Stage::Imported).unwrap();
    let options = WriteOptions { single_file: true, ..WriteOptions::default() };
    let mut report = Report::default();
    let done = CandleWriter.write(&verified, &path, &options, &mut report);
    done.unwrap_or_else(|_| panic!("{name}: {report:?}"));
    let text = std::fs::read_to_string(path.join("src/lib.rs")).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).join("lib.rs");
    if std::env::var_os("AIRCONV_BLESS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&kept).unwrap_or_default();
    assert!(text == expected, "{name}: AIRCONV_BLESS=1 replaces what is kept. It is now:\n{text}");
    path.join("model.safetensors")
}

fn agrees(model: &Model) {
    let Model { name, cases, run } = model;
    let folder = tempfile::tempdir().unwrap();
    let module = read(&corpus().join("generated").join(format!("{name}.onnx")));
    let weights = written(name, &module, folder.path());
    let verified = verify(&module, Stage::Imported).unwrap();
    for case in *cases {
        let reference = corpus().join("references").join(format!("{name}.{case}.npz"));
        let inputs = arrays(&reference, "in");
        let expected = arrays(&reference, "out");
        assert!(!expected.is_empty(), "{name}.{case}");
        let what = |by: &str, output: &str| format!("{name}.{case} {output} by {by}");

        let data: BTreeMap<String, Datum> =
            inputs.iter().map(|(n, a)| (n.clone(), Datum::from(a.clone()))).collect();
        let by_interpreter =
            Interpreter::new(module.clone(), EvalLimits::default()).run(&data).unwrap();
        let mut found = vec![("the interpreter", by_interpreter)];
        for executor in exec::executors() {
            let mut report = Report::default();
            let results = executor
                .run(&verified, &data, &RunOptions::default(), &mut report)
                .unwrap_or_else(|_| panic!("{name}: {report:?}"));
            found.push((executor.name(), results));
        }
        for (by, results) in found {
            assert_eq!(results.len(), expected.len());
            for (output, datum) in results {
                let actual = numbers(datum.as_array().unwrap());
                same(&what(by, &output), &actual, &numbers(&expected[&output]));
            }
        }
        let by_code = run(&weights, &|n| tensor(&inputs[n])).unwrap();
        assert_eq!(by_code.len(), expected.len());
        for (output, tensor) in by_code {
            let array =
                if output.is_empty() { expected.values().next() } else { expected.get(output) };
            same(&what("its code", output), &of_tensor(&tensor), &numbers(array.unwrap()));
        }
    }
}

#[test]
fn layers() {
    agrees(&MODELS[0]);
}

#[test]
fn branches() {
    agrees(&MODELS[1]);
}

#[test]
fn loops() {
    agrees(&MODELS[2]);
}

#[test]
fn recurrent_layers() {
    agrees(&MODELS[3]);
}
