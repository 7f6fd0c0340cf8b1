//! Reading rules of the ml family.

use airconv_api::ir::array::{Array, ArrayError};
use airconv_api::ir::attr::Float;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::TensorId;
use airconv_api::ir::op::{CastMap, LabelEncoder, OpKind};
use airconv_api::ir::tensor::Tensor;

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::ml("CastMap", 1, &[OpKind::CastMap], cast_map),
    ImportRule::ml("LabelEncoder", 2, &[OpKind::LabelEncoder], label_encoder),
    ImportRule::ml("LabelEncoder", 1, &[OpKind::LabelEncoder], label_encoder_by_classes),
];

fn cast_map(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let cast_to = match cx.string("cast_to", "TO_FLOAT")?.as_str() {
        "TO_FLOAT" => DType::F32,
        "TO_INT64" => DType::I64,
        "TO_STRING" => DType::String,
        other => return cx.invalid(format!("attribute `cast_to` is `{other}`")),
    };
    let sparse = match cx.string("map_form", "DENSE")?.as_str() {
        "DENSE" => false,
        "SPARSE" => true,
        other => return cx.invalid(format!("attribute `map_form` is `{other}`")),
    };
    let max_map = cx.int("max_map", 1)?;
    cx.emit_same(CastMap { cast_to, sparse, max_map })
}

/// Adds an array to the module.
fn add(cx: &mut NodeCx<'_, '_>, array: Result<Array, ArrayError>) -> Result<TensorId, Stop> {
    let tensor = array.and_then(|a| Tensor::from_array(&a));
    Ok(cx.b().add_tensor(tensor.map_err(|e| Stop::Invalid(e.to_string()))?))
}

fn floats(values: &[Float]) -> Result<Array, ArrayError> {
    let values: Vec<f64> = values.iter().map(|f| f.0).collect();
    Array::from_f64s(DType::F32, vec![values.len()], &values)
}

/// One side of a table: one of four attributes with this prefix.
fn column(cx: &mut NodeCx<'_, '_>, prefix: &str) -> Result<TensorId, Stop> {
    let name = |kind: &str| format!("{prefix}_{kind}");
    if let Some(ints) = cx.attrs.opt_ints(&name("int64s"))? {
        return add(cx, Array::from_i64s(DType::I64, vec![ints.len()], &ints));
    }
    if let Some(texts) = cx.attrs.opt_strings(&name("strings"))? {
        return add(cx, Array::from_strs(vec![texts.len()], &texts));
    }
    if let Some(values) = cx.attrs.opt_floats(&name("floats"))? {
        return add(cx, floats(&values));
    }
    match cx.tensor(&name("tensor"))? {
        Some(tensor) => Ok(tensor),
        None => cx.invalid(format!("there are no {prefix}")),
    }
}

/// `LabelEncoder` from version 2 on. The default is the one for the dtype of the values.
fn label_encoder(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let keys = column(cx, "keys")?;
    let values = column(cx, "values")?;
    let given = cx.tensor("default_tensor")?;
    let (int, float) = (cx.int("default_int64", -1)?, cx.float("default_float", -0.0)?);
    let text = cx.string("default_string", "_Unused")?;
    let default = match given {
        Some(tensor) => tensor,
        None => {
            let dtype = cx.imp.module.tensors[values].dtype;
            let array = match dtype {
                DType::String => Array::from_strs(Vec::new(), &[text]),
                d if d.is_float() => Array::from_f64s(d, Vec::new(), &[float.0]),
                d => Array::from_i64s(d, Vec::new(), &[int]),
            };
            add(cx, array)?
        }
    };
    cx.emit_same(LabelEncoder { keys, values, default })
}

/// `LabelEncoder` of version 1: classes to their positions, or positions to classes.
fn label_encoder_by_classes(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let classes = cx.strings("classes_strings")?;
    let (int, text) = (cx.int("default_int64", -1)?, cx.string("default_string", "_Unused")?);
    let positions: Vec<i64> = (0..classes.len() as i64).collect();
    let n = vec![classes.len()];
    let strings = add(cx, Array::from_strs(n.clone(), &classes))?;
    let positions = add(cx, Array::from_i64s(DType::I64, n, &positions))?;
    let op = if cx.dtype(0)? == DType::String {
        let default = add(cx, Array::from_i64s(DType::I64, Vec::new(), &[int]))?;
        LabelEncoder { keys: strings, values: positions, default }
    } else {
        let default = add(cx, Array::from_strs(Vec::new(), &[text]))?;
        LabelEncoder { keys: positions, values: strings, default }
    };
    cx.emit_same(op)
}
