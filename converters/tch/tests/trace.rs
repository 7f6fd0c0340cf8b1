//! A program that is written with `tch` comes in by tracing and saving.

#[allow(dead_code)]
#[path = "../examples/trace.rs"]
mod example;

use std::collections::BTreeMap;

use airconv_ir::array::Array;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use tch::{Device, Kind, Tensor};

#[test]
fn a_traced_program_is_read_and_runs_at_any_batch() {
    let folder = tempfile::tempdir().unwrap();
    let net = example::net();
    let drawn = |batch| Tensor::rand([batch, 1, 12, 12], (Kind::Float, Device::Cpu));
    let file = folder.path().join("net.pt");
    let module = example::capture(&net, &drawn(2), "f32[N, 1, 12, 12]", &file).unwrap();
    let f = module.main();
    assert_eq!(f.dim_text(&f.ty(f.body().results[0]).as_tensor().unwrap().shape[0]), "N");
    let mut interpreter = Interpreter::new(module.clone(), EvalLimits::default());
    for batch in [1, 5] {
        let x = drawn(batch);
        let flat = |t: &Tensor| Vec::<f32>::try_from(t.flatten(0, -1)).unwrap();
        let array = Array::from_vec(vec![batch as usize, 1, 12, 12], flat(&x)).unwrap();
        let name = f.inputs[0].name.clone();
        let got = interpreter.run(&BTreeMap::from([(name, Datum::from(array))])).unwrap();
        let got = got[0].1.as_array().unwrap().to_f64s().unwrap();
        let want = flat(&net(&x));
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(&want) {
            assert!((g - f64::from(*w)).abs() < 1e-6, "{g} {w}");
        }
    }
}
