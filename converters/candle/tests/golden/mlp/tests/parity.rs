//! The model gives what it gave where it came from.

use candle_core::{DType, Device, Result, Tensor};
use mlp_candle::Model;

#[test]
fn outputs_are_what_they_were() -> Result<()> {
    let device = Device::Cpu;
    let folder = env!("CARGO_MANIFEST_DIR");
    let model = Model::from_safetensors(format!("{folder}/model.safetensors"), &device)?;
    let tensors = candle_core::safetensors::load(
        format!("{folder}/tests/parity.safetensors"),
        &device,
    )?;
    let output = model.forward(&tensors["in.features"])?;
    for (name, actual) in [("probabilities", output)] {
        let expected = &tensors[&format!("out.{name}")];
        let difference = difference(&actual, expected)?;
        assert!(difference < 1e-4, "`{name}` differs by {difference}");
    }

    Ok(())
}

/// The greatest difference of elements, in proportion to the greatest element.
fn difference(actual: &Tensor, expected: &Tensor) -> Result<f64> {
    assert_eq!(actual.dims(), expected.dims());
    if expected.elem_count() == 0 {
        return Ok(0.);
    }

    let [actual, expected] = [actual, expected].map(|x| x.to_dtype(DType::F64));
    let (actual, expected) = (actual?, expected?);
    let scale = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
    let difference = (actual - expected)?.abs()?.flatten_all()?.max(0)?;
    Ok(difference.to_scalar::<f64>()? / scale.max(1e-6))
}
