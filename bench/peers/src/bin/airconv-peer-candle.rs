//! candle, through candle-onnx.

use std::collections::HashMap;

use airconv_peers::{Array, Data, Outcome, Task, serve};
use candle_core::{DType, Device, Tensor};

fn main() {
    serve("candle", "0.11.1", load);
}

fn load(task: Task) -> Outcome<impl FnMut() -> Outcome<Vec<Option<Array>>>> {
    // candle takes its threads from rayon's global pool.
    rayon::ThreadPoolBuilder::new().num_threads(task.threads).build_global()?;
    let model = candle_onnx::read_file(&task.model)?;
    let graph = model.graph.clone().ok_or("the model has no graph")?;
    let mut inputs = HashMap::new();
    for (name, array) in &task.inputs {
        inputs.insert(name.clone(), tensor(array)?);
    }
    Ok(move || {
        let mut made = candle_onnx::simple_eval(&model, inputs.clone())?;
        let mut out = Vec::new();
        for output in &graph.output {
            out.push(made.remove(&output.name).map(|t| array(&t)).transpose()?.flatten());
        }
        Ok(out)
    })
}

fn tensor(array: &Array) -> Outcome<Tensor> {
    let shape = &array.shape[..];
    let device = &Device::Cpu;
    Ok(match &array.data {
        Data::F32(v) => Tensor::from_slice(v, shape, device)?,
        Data::F64(v) => Tensor::from_slice(v, shape, device)?,
        Data::I32(v) => Tensor::from_slice(v, shape, device)?,
        Data::I64(v) => Tensor::from_slice(v, shape, device)?,
        Data::U8(v) => Tensor::from_slice(v, shape, device)?,
        Data::Bool(v) => {
            let bytes: Vec<u8> = v.iter().map(|&x| u8::from(x)).collect();
            Tensor::from_slice(&bytes, shape, device)?
        }
        Data::I8(_) => return Err("candle has no i8".into()),
    })
}

/// Other dtypes than these may stand for what candle lacks, and are not compared.
fn array(t: &Tensor) -> Outcome<Option<Array>> {
    let flat = t.flatten_all()?;
    let data = match t.dtype() {
        DType::F32 => Data::F32(flat.to_vec1()?),
        DType::F64 => Data::F64(flat.to_vec1()?),
        DType::I64 => Data::I64(flat.to_vec1()?),
        _ => return Ok(None),
    };
    Ok(Some(Array { shape: t.dims().to_vec(), data }))
}
