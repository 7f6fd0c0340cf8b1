//! Files of quantised weights: what candle writes is read, block by block, as candle reads it.

use std::path::Path;

use airconv_api::{ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::interp::{EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_torch::{GgufWriter, WeightsReader};
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};

const TYPES: &[(&str, GgmlDType)] = &[
    ("f32", GgmlDType::F32),
    ("f16", GgmlDType::F16),
    ("bf16", GgmlDType::BF16),
    ("q4_0", GgmlDType::Q4_0),
    ("q4_1", GgmlDType::Q4_1),
    ("q5_0", GgmlDType::Q5_0),
    ("q5_1", GgmlDType::Q5_1),
    ("q8_0", GgmlDType::Q8_0),
    ("q2k", GgmlDType::Q2K),
    ("q3k", GgmlDType::Q3K),
    ("q4k", GgmlDType::Q4K),
    ("q5k", GgmlDType::Q5K),
    ("q6k", GgmlDType::Q6K),
    ("q8k", GgmlDType::Q8K),
];

/// Numbers of several magnitudes, so that blocks have scales of their own.
fn numbers() -> Tensor {
    let number = |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0) * (1 + i / 200) as f32;
    let values: Vec<f32> = (0..3 * 512).map(number).collect();
    Tensor::from_vec(values, (3, 512), &Device::Cpu).unwrap()
}

fn write(path: &Path) -> Vec<QTensor> {
    let quantised: Vec<QTensor> =
        TYPES.iter().map(|(_, ty)| QTensor::quantize(&numbers(), *ty).unwrap()).collect();
    let tensors: Vec<(&str, &QTensor)> =
        TYPES.iter().zip(&quantised).map(|((name, _), t)| (*name, t)).collect();
    let architecture = gguf_file::Value::String("test".to_owned());
    let mut file = std::fs::File::create(path).unwrap();
    gguf_file::write(&mut file, &[("general.architecture", &architecture)], &tensors).unwrap();
    quantised
}

/// What is written is what candle reads: `f32`, as blocks were decoded, and halves as they are.
fn rewritten(module: &Module, folder: &Path) {
    let path = folder.join("again.gguf");
    let verified = verify(module, Stage::Imported).unwrap();
    let mut report = Report::default();
    let done = GgufWriter.write(&verified, &path, &WriteOptions::default(), &mut report);
    done.unwrap_or_else(|_| panic!("{report:?}"));
    let mut file = std::fs::File::open(&path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    assert_eq!(content.tensor_infos.len(), TYPES.len());
    for name in ["f32", "f16", "bf16", "q4k"] {
        let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
        assert_eq!(tensor.shape().dims(), [3, 512], "{name}");
        let values = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        let array = module.tensors.values().nth(place(name)).unwrap().to_array().unwrap();
        let values = values.to_vec1::<f32>().unwrap().into_iter().map(f64::from);
        assert_eq!(values.collect::<Vec<_>>(), array.to_f64s().unwrap(), "{name}");
    }
}

fn place(name: &str) -> usize {
    TYPES.iter().position(|(n, _)| *n == name).unwrap()
}

#[test]
fn every_type_of_block_is_what_candle_makes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.gguf");
    let quantised = write(&path);
    let mut report = Report::default();
    let module = WeightsReader
        .read(&path, &ReadOptions::default(), &mut report)
        .unwrap_or_else(|_| panic!("{report:?}"));
    let decoded = report.ledger.entries.iter().filter(|e| e.name == "gguf-decoded").count();
    assert!(decoded >= 11, "{:?}", report.ledger.entries);
    rewritten(&module, folder.path());
    let outputs = Interpreter::new(module, EvalLimits::default()).run(&Default::default()).unwrap();
    assert_eq!(outputs.len(), TYPES.len());
    for ((name, datum), tensor) in outputs.iter().zip(&quantised) {
        let array = datum.as_array().unwrap();
        assert_eq!(array.shape, [3, 512], "{name}");
        let expected = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        let expected = expected.to_vec1::<f32>().unwrap();
        let distinct: std::collections::BTreeSet<u32> =
            expected.iter().map(|v| v.to_bits()).collect();
        assert!(distinct.len() > 16, "{name}");
        for (a, e) in array.to_f64s().unwrap().into_iter().zip(expected) {
            let close = (a - f64::from(e)).abs() <= 1e-6 * f64::from(e.abs()).max(1.0);
            assert!(close, "{name}: {a} instead of {e}");
        }
    }
}
