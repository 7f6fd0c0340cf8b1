//! tract, optimised for the sizes of the inputs.

use airconv_peers::{Array, Data, Outcome, Task, serve};
use tract_onnx::prelude::*;
use tract_linalg::multithread;

fn main() {
    serve("tract", "0.23.9", load);
}

fn load(task: Task) -> Outcome<impl FnMut() -> Outcome<Vec<Option<Array>>>> {
    if task.threads > 1 {
        multithread::set_default_executor(multithread::Executor::multithread(task.threads));
    }
    let mut model = tract_onnx::onnx().model_for_path(&task.model)?;
    let mut inputs: TVec<TValue> = tvec![];
    for (i, outlet) in model.input_outlets()?.to_vec().into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        let array = task.inputs.get(&name).ok_or_else(|| format!("input `{name}` is not given"))?;
        let tensor = tensor(array)?;
        model = model.with_input_fact(i, InferenceFact::dt_shape(tensor.datum_type(), tensor.shape()))?;
        inputs.push(tensor.into_tvalue());
    }
    let plan = model.into_optimized()?.into_runnable()?;
    Ok(move || Ok(plan.run(inputs.clone())?.iter().map(|v| array(v)).collect()))
}

fn tensor(array: &Array) -> Outcome<Tensor> {
    let shape = &array.shape[..];
    Ok(match &array.data {
        Data::F32(v) => Tensor::from_shape(shape, v)?,
        Data::F64(v) => Tensor::from_shape(shape, v)?,
        Data::I8(v) => Tensor::from_shape(shape, v)?,
        Data::U8(v) => Tensor::from_shape(shape, v)?,
        Data::I32(v) => Tensor::from_shape(shape, v)?,
        Data::I64(v) => Tensor::from_shape(shape, v)?,
        Data::Bool(v) => Tensor::from_shape(shape, v)?,
    })
}

fn array(t: &Tensor) -> Option<Array> {
    let plain = t.try_as_plain_ram().ok()?;
    let data = match t.datum_type() {
        d if d == f32::datum_type() => Data::F32(plain.as_slice::<f32>().ok()?.to_vec()),
        d if d == f64::datum_type() => Data::F64(plain.as_slice::<f64>().ok()?.to_vec()),
        d if d == i64::datum_type() => Data::I64(plain.as_slice::<i64>().ok()?.to_vec()),
        d if d == i32::datum_type() => Data::I32(plain.as_slice::<i32>().ok()?.to_vec()),
        d if d == u8::datum_type() => Data::U8(plain.as_slice::<u8>().ok()?.to_vec()),
        d if d == i8::datum_type() => Data::I8(plain.as_slice::<i8>().ok()?.to_vec()),
        d if d == bool::datum_type() => Data::Bool(plain.as_slice::<bool>().ok()?.to_vec()),
        _ => return None,
    };
    Some(Array { shape: t.shape().to_vec(), data })
}
