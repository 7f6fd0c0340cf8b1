//! The model gives what it gave where it came from.

use candle_core::{DType, Device, Result, Tensor};
use mlp_candle::Model;

#[test]
fn outputs_are_what_they_were() -> Result<()> {
    let device = Device::Cpu;
    let folder = env!("CARGO_MANIFEST_DIR");
    let model = Model::from_safetensors(format!("{folder}/model.safetensors"), &device)?;
    let tensors =
        candle_core::safetensors::load(format!("{folder}/tests/parity.safetensors"), &device)?;
    let output = model.forward(&tensors["in.features"])?;
    check("probabilities", &output, &tensors["out.probabilities"])?;
    Ok(())
}

/// The greatest difference of elements is small in proportion to the greatest element.
fn check(name: &str, actual: &Tensor, expected: &Tensor) -> Result<()> {
    assert_eq!(actual.dims(), expected.dims(), "`{name}`");
    if expected.elem_count() == 0 {
        return Ok(());
    }

    let actual = actual.to_dtype(DType::F64)?;
    let expected = expected.to_dtype(DType::F64)?;
    let greatest = |x: Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    let scale = greatest(expected.clone())?.max(1e-6);
    let difference = greatest((actual - expected)?)? / scale;
    assert!(difference < 1e-4, "`{name}` differs by {difference}");
    Ok(())
}
