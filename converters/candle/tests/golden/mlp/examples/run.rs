//! Runs the model on tensors of a file: `run [--cuda N | --metal] IN.safetensors [OUT.safetensors]`.

use candle_core::{Device, Result, Tensor, bail};
use mlp_candle::Model;
use std::collections::HashMap;

fn main() -> Result<()> {
    let mut device = Device::Cpu;
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--cuda" => {
                let ordinal = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                device = Device::new_cuda(ordinal)?;
            }
            "--metal" => device = Device::new_metal(0)?,
            _ => files.push(argument),
        }
    }

    let Some(inputs) = files.first() else {
        bail!("name a safetensors file with the inputs")
    };
    let inputs = candle_core::safetensors::load(inputs, &device)?;
    let input = |name: &str| match inputs.get(name) {
        Some(tensor) => Ok(tensor.clone()),
        None => bail!("there is no tensor `{name}`"),
    };
    let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/model.safetensors");
    let model = Model::from_safetensors(weights, &device)?;
    let output = model.forward(&input("features")?)?;
    let outputs: HashMap<&str, Tensor> = [("probabilities", output)].into();
    for (name, tensor) in &outputs {
        println!("{name}: {:?} {:?}", tensor.dtype(), tensor.dims());
    }

    if let Some(path) = files.get(1) {
        candle_core::safetensors::save(&outputs, path)?;
    }

    Ok(())
}
