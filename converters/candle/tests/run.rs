//! What is written runs, and so does the executor: both against the interpreter. The generated
//! code is that of `tests/golden`, compiled into this test.

mod common;
#[path = "common/exec.rs"]
mod exec;

#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/control/lib.rs"]
mod control;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/mlp/lib.rs"]
mod mlp;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "golden/residual/lib.rs"]
mod residual;

use std::collections::BTreeMap;

use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use candle_core::{Device, Tensor};
use exec::{executed, interpreted};

fn numbers(datum: &Datum) -> Vec<f64> {
    let array = datum.as_array().unwrap();
    let ints = || array.to_i64s().map(|v| v.into_iter().map(|i| i as f64).collect());
    array.to_f64s().or_else(ints).unwrap()
}

fn same(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        let close = (x - y).abs() <= 1e-5 * y.abs().max(1.0) || (x.is_nan() && y.is_nan());
        assert!(close, "{x} {y}");
    }
}

/// The same programs on a device that is no CPU; each test here runs on it too.
#[test]
#[cfg_attr(
    not(any(feature = "cuda", feature = "metal")),
    ignore = "needs a device, see Cargo.toml"
)]
fn devices_give_what_the_cpu_gives() {
    let module = common::residual();
    let array = Array::from_vec(vec![3, 8], features(3)).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), Datum::from(array))]);
    let all = executed(&module, &inputs);
    let (cpu, devices) = all.split_first().unwrap();
    for device in devices {
        same(&numbers(&device[0].1), &numbers(&cpu[0].1));
    }
}

fn features(rows: usize) -> Vec<f32> {
    (0..rows * 8).map(|i| (i * 5 % 13) as f32 / 6.5 - 1.0).collect()
}

/// The model of the golden code, with the weights that are written beside it.
fn written<M>(module: &Module, load: impl Fn(&std::path::Path) -> M) -> M {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m-candle");
    common::write(module, &path, false).unwrap();
    load(&path.join("model.safetensors"))
}

#[test]
fn layers_run_on_any_batch() {
    let module = common::mlp();
    let model = written(&module, |p| mlp::Model::from_safetensors(p, &Device::Cpu).unwrap());
    for rows in [1, 3] {
        let array = Array::from_vec(vec![rows, 8], features(rows)).unwrap();
        let inputs = BTreeMap::from([("features".to_owned(), Datum::from(array))]);
        let expected = interpreted(&module, &inputs);
        let x = Tensor::from_vec(features(rows), (rows, 8), &Device::Cpu).unwrap();
        let y = model.forward(&x).unwrap();
        assert_eq!(y.dims(), [rows, 3]);
        let y: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
        same(&y.into_iter().map(f64::from).collect::<Vec<_>>(), &numbers(&expected[0].1));
        for actual in executed(&module, &inputs) {
            same(&numbers(&actual[0].1), &numbers(&expected[0].1));
        }
    }
}

/// Blocks that lack what others have are loaded without it.
#[test]
fn what_some_blocks_lack_is_passed_over() {
    let module = common::residual();
    let model = written(&module, |p| residual::Model::from_safetensors(p, &Device::Cpu).unwrap());
    let array = Array::from_vec(vec![3, 8], features(3)).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), Datum::from(array))]);
    let expected = interpreted(&module, &inputs);
    let x = Tensor::from_vec(features(3), (3, 8), &Device::Cpu).unwrap();
    let y = model.forward(&x).unwrap().to_dtype(candle_core::DType::F64).unwrap();
    let y = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    same(&y, &numbers(&expected[0].1));
}

#[test]
fn loops_branches_and_sizes_from_tensors_run() {
    let module = common::control();
    let model = written(&module, |p| control::Model::from_safetensors(p, &Device::Cpu).unwrap());
    for (values, trips, k) in
        [(vec![1f32, 4.0, 2.25], 2, 2), (vec![-1.0, 3.0], 3, 1), (vec![-5.0], 0, 1)]
    {
        let array = Array::from_vec(vec![values.len()], values.clone()).unwrap();
        let scalar = |shape: Vec<usize>, v: i64| {
            Datum::from(Array::from_i64s(DType::I64, shape, &[v]).unwrap())
        };
        let inputs = BTreeMap::from([
            ("x".to_owned(), Datum::from(array)),
            ("trips".to_owned(), scalar(vec![], trips)),
            ("k".to_owned(), scalar(vec![1], k)),
        ]);
        let expected = interpreted(&module, &inputs);
        let x = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
        let [trips, k] = [Tensor::new(trips, &Device::Cpu), Tensor::new(&[k], &Device::Cpu)];
        let output = model.forward(&x, &trips.unwrap(), &k.unwrap()).unwrap();
        let tensors = [output.sums, output.greatest, output.positions];
        for (tensor, (_, e)) in tensors.iter().zip(&expected) {
            let t = tensor.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap();
            same(&t.to_vec1::<f64>().unwrap(), &numbers(e));
        }
        for actual in executed(&module, &inputs) {
            for ((_, a), (_, e)) in actual.iter().zip(&expected) {
                same(&numbers(a), &numbers(e));
            }
        }
    }
}
