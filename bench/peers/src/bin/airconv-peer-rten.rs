//! rten, with optimisation and weights packed ahead.

use std::sync::Arc;

use airconv_peers::{Array, Data, Outcome, Task, serve};
use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::prelude::*;

fn main() {
    serve("rten", "0.27.0", load);
}

fn load(task: Task) -> Outcome<impl FnMut() -> Outcome<Vec<Option<Array>>>> {
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&task.model)?;
    let mut inputs = Vec::new();
    for &id in model.input_ids() {
        let name = model.node_info(id).and_then(|n| n.name().map(str::to_owned)).unwrap_or_default();
        if let Some(array) = task.inputs.get(&name) {
            inputs.push((id, value(array)?));
        }
    }
    let mut options = RunOptions::default();
    options.thread_pool = Some(Arc::new(ThreadPool::with_num_threads(task.threads)));
    let outputs: Vec<NodeId> = model.output_ids().to_vec();
    Ok(move || {
        let given = inputs.iter().map(|(id, v)| (*id, v.as_view().into())).collect();
        let made = model.run(given, &outputs, Some(options.clone()))?;
        Ok(made.iter().map(array).collect())
    })
}

/// rten has 32-bit integers only: wider ones and booleans are given as those, and read so.
fn value(array: &Array) -> Outcome<Value> {
    let shape = &array.shape[..];
    Ok(match &array.data {
        Data::F32(v) => Value::from_shape(shape, v.clone())?,
        Data::I32(v) => Value::from_shape(shape, v.clone())?,
        Data::I64(v) => Value::from_shape(shape, v.iter().map(|&x| x as i32).collect::<Vec<_>>())?,
        Data::Bool(v) => Value::from_shape(shape, v.iter().map(|&x| i32::from(x)).collect::<Vec<_>>())?,
        Data::U8(v) => Value::from_shape(shape, v.clone())?,
        Data::I8(v) => Value::from_shape(shape, v.clone())?,
        Data::F64(_) => return Err("rten has no f64".into()),
    })
}

/// Integers are left out: their width is not that of the model.
fn array(value: &Value) -> Option<Array> {
    let Value::FloatTensor(t) = value else { return None };
    Some(Array { shape: t.shape().to_vec(), data: Data::F32(t.to_vec()) })
}
