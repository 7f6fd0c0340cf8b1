//! Inference rules of the ml family.

use super::{InferCx, InferError, InferResult, one};
use crate::attr::Float;
use crate::dim::{Dim, Shape, numel};
use crate::dtype::DType;
use crate::entity::TensorId;
use crate::op::*;
use crate::types::{TensorType, Type};

/// The names of post-transforms.
const TRANSFORMS: [&str; 5] = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"];

fn number(dtype: DType) -> bool {
    dtype.is_float() || dtype.is_integer()
}

/// Checks for an operand of numbers that is a matrix of one row per example, or one row.
fn examples<'a>(cx: &InferCx<'a>) -> Result<&'a TensorType, InferError> {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, number(x.dtype), "numbers")?;
    cx.require(matches!(x.rank(), 1 | 2), "ml-c1", || {
        format!("x has rank {}, not 1 or 2", x.rank())
    })?;
    Ok(x)
}

/// The number of rows of a matrix; a vector is one row.
fn rows(x: &TensorType) -> Dim {
    match x.shape.as_slice() {
        [n, _] => n.clone(),
        _ => Dim::Known(1),
    }
}

/// The number of features per row.
fn features(x: &TensorType) -> Dim {
    x.shape.last().cloned().unwrap_or(Dim::Known(1))
}

fn transform(cx: &InferCx<'_>, name: &str) -> Result<(), InferError> {
    cx.require(TRANSFORMS.contains(&name), "post-transform", || {
        format!("there is no post-transform `{name}`")
    })
}

/// The dtype and number of class labels, of which there is one list.
fn labels(cx: &InferCx<'_>, ints: &[i64], strings: &[String]) -> Result<(DType, i64), InferError> {
    cx.require(ints.is_empty() != strings.is_empty(), "class-labels", || {
        "there is exactly one list of class labels".to_owned()
    })?;
    let dtype = if strings.is_empty() { DType::I64 } else { DType::String };
    Ok((dtype, ints.len().max(strings.len()) as i64))
}

/// Columns.
pub fn array_feature_extractor(cx: &InferCx<'_>, _op: &ArrayFeatureExtractor) -> InferResult {
    let (x, y) = (cx.tensor(0)?, cx.tensor(1)?);
    cx.require_dtype(y.dtype, y.dtype.is_integer(), "integer indices")?;
    cx.require(x.rank() >= 1, "array_feature_extractor-c1", || "x is a scalar".to_owned())?;
    let mut shape: Shape = x.shape.iter().take(x.rank() - 1).cloned().collect();
    if shape.is_empty() {
        shape.push(Dim::Known(1));
    }
    shape.push(numel(&y.shape));
    one(Type::tensor(x.dtype, shape))
}

/// Threshold.
pub fn binarizer(cx: &InferCx<'_>, _op: &Binarizer) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, number(x.dtype), "numbers")?;
    one(x.clone())
}

/// The key dtype and element dtype of a map operand.
fn map_operand(cx: &InferCx<'_>) -> Result<(DType, DType), InferError> {
    match cx.operand(0)? {
        Type::Map(key, value) => match value.dtype() {
            Some(dtype) => Ok((*key, dtype)),
            None => Err(InferError::Unknown(cx.slot_name(0))),
        },
        Type::Unknown => Err(InferError::Unknown(cx.slot_name(0))),
        _ => cx.fail("map-operand", "the operand is not a map"),
    }
}

/// A map as a vector.
pub fn cast_map(cx: &InferCx<'_>, op: &CastMap) -> InferResult {
    let (key, value) = map_operand(cx)?;
    cx.require(key.is_integer(), "cast_map-c1", || "the keys are not integers".to_owned())?;
    cx.require_dtype(value, value == DType::String || number(value), "numbers or strings")?;
    let to = op.cast_to;
    let plain = matches!(to, DType::F32 | DType::I64 | DType::String);
    cx.require_dtype(to, plain, "f32, i64 or string")?;
    cx.require(!op.sparse || op.max_map > 0, "cast_map-c2", || {
        "the length of the sparse form is not positive".to_owned()
    })?;
    let n = if op.sparse { Dim::Known(op.max_map) } else { Dim::Any };
    one(Type::tensor(to, [Dim::Known(1), n]))
}

/// Strings and integers.
pub fn category_mapper(cx: &InferCx<'_>, op: &CategoryMapper) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require(op.cats_int64s.len() == op.cats_strings.len(), "category_mapper-c1", || {
        "there are not as many integers as strings".to_owned()
    })?;
    let to = match x.dtype {
        DType::String => DType::I64,
        DType::I64 => DType::String,
        other => return cx.fail("dtype-class", format!("wants strings or i64, not {other}")),
    };
    one(Type::tensor(to, x.shape.iter().cloned()))
}

/// A map by a vocabulary.
pub fn dict_vectorizer(cx: &InferCx<'_>, op: &DictVectorizer) -> InferResult {
    let (key, value) = map_operand(cx)?;
    let (ints, strings) = (op.int64_vocabulary.len(), op.string_vocabulary.len());
    cx.require((ints == 0) != (strings == 0), "dict_vectorizer-c1", || {
        "there is exactly one vocabulary".to_owned()
    })?;
    let fits = if ints > 0 { key.is_integer() } else { key == DType::String };
    cx.require(fits, "dict_vectorizer-c2", || {
        format!("the vocabulary does not go with {key} keys")
    })?;
    let n = ints.max(strings) as i64;
    one(Type::tensor(value, [Dim::Known(1), Dim::Known(n)]))
}

/// Features side by side.
pub fn feature_vectorizer(cx: &InferCx<'_>, op: &FeatureVectorizer) -> InferResult {
    let xs = cx.tensors_from(0)?;
    let given = op.input_dimensions.len();
    cx.require(given == 0 || given == xs.len(), "feature_vectorizer-c1", || {
        format!("{given} widths for {} inputs", xs.len())
    })?;
    cx.require(op.input_dimensions.iter().all(|&w| w >= 0), "feature_vectorizer-c2", || {
        "a width is negative".to_owned()
    })?;
    let (mut n, mut width) = (Dim::Any, Dim::Known(0));
    for (i, x) in xs.iter().enumerate() {
        cx.require_dtype(x.dtype, number(x.dtype), "numbers")?;
        cx.require(x.rank() >= 1, "feature_vectorizer-c3", || "an input is a scalar".to_owned())?;
        let (rows, columns) = matrix_dims(&x.shape);
        n = cx.merge_dim(&n, &rows)?;
        width = match op.input_dimensions.get(i) {
            Some(&w) => &width + w,
            None => &width + &columns,
        };
    }
    one(Type::tensor(DType::F32, [n, width]))
}

/// The sizes of a tensor as a matrix: a vector is one row, later axes are merged.
pub(crate) fn matrix_dims(shape: &[Dim]) -> (Dim, Dim) {
    match shape {
        [] => (Dim::Known(1), Dim::Known(1)),
        [columns] => (Dim::Known(1), columns.clone()),
        [rows, rest @ ..] => (rows.clone(), numel(rest)),
    }
}

/// Checks a list of one number, or one per feature.
fn per_feature(cx: &InferCx<'_>, count: usize, x: &TensorType) -> Result<(), InferError> {
    let fits = features(x).as_known().is_none_or(|f| count <= 1 || count as i64 == f);
    cx.require(fits, "per-feature", || {
        format!("{count} numbers are neither one nor one per feature")
    })
}

/// Replacement of a marker.
pub fn imputer(cx: &InferCx<'_>, op: &Imputer) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, number(x.dtype), "numbers")?;
    let count = if x.dtype.is_float() {
        op.imputed_value_floats.len()
    } else {
        op.imputed_value_int64s.len()
    };
    cx.require(count > 0, "imputer-c1", || {
        format!("there are no replacements for {} elements", x.dtype)
    })?;
    per_feature(cx, count, x)?;
    one(x.clone())
}

/// A table.
pub fn label_encoder(cx: &InferCx<'_>, op: &LabelEncoder) -> InferResult {
    let x = cx.tensor(0)?;
    let (keys, values) = (cx.module_tensor(op.keys)?, cx.module_tensor(op.values)?);
    let default = cx.module_tensor(op.default)?;
    cx.require(keys.dtype == x.dtype, "label_encoder-c1", || {
        format!("x is {}, its keys are {}", x.dtype, keys.dtype)
    })?;
    let count = |dims: &[u64]| dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    cx.require(count(&keys.dims) == count(&values.dims), "label_encoder-c2", || {
        "there are not as many values as keys".to_owned()
    })?;
    cx.require(
        default.dtype == values.dtype && count(&default.dims) == Some(1),
        "label_encoder-c3",
        || "the default is not one element of the values' dtype".to_owned(),
    )?;
    one(Type::tensor(values.dtype, x.shape.iter().cloned()))
}

/// The number of rows of a matrix of coefficients that is known only through the number of its
/// intercepts, or else through that of the features.
fn coefficient_rows(
    cx: &InferCx<'_>,
    coefficients: &[Float],
    rows: usize,
    x: &TensorType,
) -> Result<Dim, InferError> {
    let rows = match (rows, features(x).as_known()) {
        (0, Some(f)) if f > 0 => coefficients.len() as i64 / f,
        (0, _) => return Ok(Dim::Any),
        (n, _) => n as i64,
    };
    let fits = match features(x).as_known() {
        Some(f) => rows.checked_mul(f) == Some(coefficients.len() as i64),
        None => rows > 0 && coefficients.len() as i64 % rows == 0,
    };
    cx.require(fits, "coefficients", || {
        format!("{} coefficients do not make {rows} rows", coefficients.len())
    })?;
    Ok(Dim::Known(rows))
}

/// Linear scores and classes.
pub fn linear_classifier(cx: &InferCx<'_>, op: &LinearClassifier) -> InferResult {
    let x = examples(cx)?;
    transform(cx, &op.post_transform)?;
    let (dtype, count) = labels(cx, &op.classlabels_ints, &op.classlabels_strings)?;
    let scores = coefficient_rows(cx, &op.coefficients, op.intercepts.len(), x)?;
    let scores = match scores.as_known() {
        Some(1) if count == 2 => Dim::Known(2),
        Some(n) => {
            cx.require(n == 1 || n <= count, "linear_classifier-c1", || {
                format!("{n} scores for {count} classes")
            })?;
            Dim::Known(n)
        }
        None => Dim::Any,
    };
    Ok(vec![Type::tensor(dtype, [rows(x)]), Type::tensor(DType::F32, [rows(x), scores])])
}

/// Linear regression.
pub fn linear_regressor(cx: &InferCx<'_>, op: &LinearRegressor) -> InferResult {
    let x = examples(cx)?;
    transform(cx, &op.post_transform)?;
    let targets = usize::try_from(op.targets).unwrap_or(0);
    cx.require(targets > 0, "linear_regressor-c1", || "there are no targets".to_owned())?;
    cx.require(
        op.intercepts.is_empty() || op.intercepts.len() == targets,
        "linear_regressor-c2",
        || format!("{} intercepts for {targets} targets", op.intercepts.len()),
    )?;
    let targets = coefficient_rows(cx, &op.coefficients, targets, x)?;
    one(Type::tensor(DType::F32, [rows(x), targets]))
}

/// Rows by their norm.
pub fn normalizer(cx: &InferCx<'_>, op: &Normalizer) -> InferResult {
    let x = examples(cx)?;
    cx.require(matches!(op.norm.as_str(), "MAX" | "L1" | "L2"), "normalizer-c1", || {
        format!("there is no norm `{}`", op.norm)
    })?;
    one(Type::tensor(DType::F32, x.shape.iter().cloned()))
}

/// One-hot.
pub fn one_hot_encoder(cx: &InferCx<'_>, op: &OneHotEncoder) -> InferResult {
    let x = cx.tensor(0)?;
    let count = if x.dtype == DType::String {
        op.cats_strings.len()
    } else {
        cx.require_dtype(x.dtype, number(x.dtype), "numbers or strings")?;
        op.cats_int64s.len()
    };
    cx.require(count > 0, "one_hot_encoder-c1", || {
        format!("there are no categories of {} elements", x.dtype)
    })?;
    let mut shape = x.shape.clone();
    shape.push(Dim::Known(count as i64));
    one(Type::tensor(DType::F32, shape))
}

/// Shift and factor.
pub fn scaler(cx: &InferCx<'_>, op: &Scaler) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, number(x.dtype), "numbers")?;
    per_feature(cx, op.offset.len(), x)?;
    per_feature(cx, op.scale.len(), x)?;
    one(Type::tensor(DType::F32, x.shape.iter().cloned()))
}

/// Checks the name and the parameters of a support vector kernel.
fn kernel(cx: &InferCx<'_>, kind: &str, params: &[Float]) -> Result<(), InferError> {
    cx.require(matches!(kind, "LINEAR" | "POLY" | "RBF" | "SIGMOID"), "svm-c1", || {
        format!("there is no kernel `{kind}`")
    })?;
    cx.require(matches!(params.len(), 0 | 3), "svm-c2", || {
        "the kernel parameters are gamma, coef0 and degree".to_owned()
    })
}

/// The number of support vectors of a classifier, 0 for a linear one.
pub(crate) fn support_count(vectors_per_class: &[i64]) -> Option<usize> {
    vectors_per_class.iter().try_fold(0usize, |n, &v| n.checked_add(usize::try_from(v).ok()?))
}

/// Support vector classes.
pub fn svm_classifier(cx: &InferCx<'_>, op: &SvmClassifier) -> InferResult {
    let x = examples(cx)?;
    transform(cx, &op.post_transform)?;
    kernel(cx, &op.kernel_type, &op.kernel_params)?;
    let (dtype, classes) = labels(cx, &op.classlabels_ints, &op.classlabels_strings)?;
    let Some(vectors) = support_count(&op.vectors_per_class) else {
        return cx.fail("svm-c3", "a number of support vectors is negative or too large");
    };
    let pairs = classes * (classes - 1) / 2;
    let has_probabilities = !op.prob_a.is_empty();
    cx.require(op.prob_a.len() == op.prob_b.len(), "svm-c4", || {
        "there are not as many first as second Platt coefficients".to_owned()
    })?;
    let scores = if vectors == 0 {
        cx.require(!op.rho.is_empty(), "svm-c5", || "there is no offset".to_owned())?;
        coefficient_rows(cx, &op.coefficients, classes as usize, x)?;
        classes
    } else {
        cx.require(classes >= 2, "svm-c6", || "there are fewer than two classes".to_owned())?;
        cx.require(op.vectors_per_class.len() as i64 == classes, "svm-c7", || {
            "there is not one number of support vectors per class".to_owned()
        })?;
        let coefficients = (classes as usize - 1).checked_mul(vectors);
        cx.require(coefficients == Some(op.coefficients.len()), "svm-c8", || {
            "the coefficients are not one row of support vectors per class but one".to_owned()
        })?;
        cx.require(op.rho.len() as i64 >= pairs, "svm-c5", || {
            "there is not one offset per pair of classes".to_owned()
        })?;
        cx.require(!has_probabilities || op.prob_a.len() as i64 >= pairs, "svm-c9", || {
            "there is not one Platt coefficient per pair of classes".to_owned()
        })?;
        support_features(cx, op.support_vectors.len(), vectors, x)?;
        match (has_probabilities, classes) {
            (true, _) => classes,
            (false, 2) => 2,
            (false, _) => pairs,
        }
    };
    let scores = Type::tensor(DType::F32, [rows(x), Dim::Known(scores)]);
    Ok(vec![Type::tensor(dtype, [rows(x)]), scores])
}

fn support_features(
    cx: &InferCx<'_>,
    numbers: usize,
    vectors: usize,
    x: &TensorType,
) -> Result<(), InferError> {
    let fits = match features(x).as_known().and_then(|f| usize::try_from(f).ok()) {
        Some(f) => f.checked_mul(vectors) == Some(numbers),
        None => numbers.is_multiple_of(vectors.max(1)),
    };
    cx.require(fits, "svm-c10", || format!("{numbers} numbers are not {vectors} support vectors"))
}

/// Support vector regression.
pub fn svm_regressor(cx: &InferCx<'_>, op: &SvmRegressor) -> InferResult {
    let x = examples(cx)?;
    transform(cx, &op.post_transform)?;
    kernel(cx, &op.kernel_type, &op.kernel_params)?;
    cx.require(!op.rho.is_empty(), "svm-c5", || "there is no offset".to_owned())?;
    let Ok(vectors) = usize::try_from(op.n_supports) else {
        return cx.fail("svm-c3", "the number of support vectors is negative");
    };
    if vectors == 0 {
        coefficient_rows(cx, &op.coefficients, 1, x)?;
    } else {
        cx.require(op.coefficients.len() == vectors, "svm-c8", || {
            "there is not one coefficient per support vector".to_owned()
        })?;
        support_features(cx, op.support_vectors.len(), vectors, x)?;
    }
    one(Type::tensor(DType::F32, [rows(x), Dim::Known(1)]))
}

/// Checks that lists which describe the same things are equally long.
fn parallel(cx: &InferCx<'_>, lengths: &[usize], what: &str) -> Result<(), InferError> {
    let first = lengths.first();
    cx.require(lengths.iter().all(|n| Some(n) == first), "tree-c1", || {
        format!("the lists about {what} are not equally long")
    })
}

/// The number of entries of a list that is either plain or a tensor.
fn either(
    cx: &InferCx<'_>,
    plain: &[Float],
    tensor: Option<TensorId>,
) -> Result<usize, InferError> {
    let Some(id) = tensor else { return Ok(plain.len()) };
    cx.require(plain.is_empty(), "tree-c2", || {
        "a list is given in single and in double precision".to_owned()
    })?;
    float_tensor(cx, id)
}

fn float_tensor(cx: &InferCx<'_>, id: TensorId) -> Result<usize, InferError> {
    let t = cx.module_tensor(id)?;
    cx.require_dtype(t.dtype, t.dtype.is_float(), "a tensor of floats")?;
    entries(cx, id)
}

fn entries(cx: &InferCx<'_>, id: TensorId) -> Result<usize, InferError> {
    let dims = &cx.module_tensor(id)?.dims;
    let count = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    match count.and_then(|n| usize::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => cx.fail("tree-c3", "a tensor is too large"),
    }
}

/// Trees of version 5.
pub fn tree_ensemble(cx: &InferCx<'_>, op: &TreeEnsemble) -> InferResult {
    let x = examples(cx)?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "floats")?;
    let nodes = op.nodes_featureids.len();
    let mut lengths = vec![
        nodes,
        op.nodes_truenodeids.len(),
        op.nodes_trueleafs.len(),
        op.nodes_falsenodeids.len(),
        op.nodes_falseleafs.len(),
        float_tensor(cx, op.nodes_splits)?,
    ];
    let modes = cx.module_tensor(op.nodes_modes)?;
    cx.require_dtype(modes.dtype, modes.dtype.is_integer(), "modes that are integers")?;
    lengths.push(entries(cx, op.nodes_modes)?);
    if !op.nodes_missing_value_tracks_true.is_empty() {
        lengths.push(op.nodes_missing_value_tracks_true.len());
    }
    parallel(cx, &lengths, "nodes")?;
    parallel(cx, &[op.leaf_targetids.len(), float_tensor(cx, op.leaf_weights)?], "leaves")?;
    if let Some(members) = op.membership_values {
        float_tensor(cx, members)?;
    }
    cx.require((0..=3).contains(&op.aggregate_function), "tree-c4", || {
        format!("there is no aggregate function {}", op.aggregate_function)
    })?;
    cx.require((0..=4).contains(&op.post_transform), "post-transform", || {
        format!("there is no post-transform {}", op.post_transform)
    })?;
    cx.require(op.n_targets > 0, "tree-c5", || "there are no targets".to_owned())?;
    one(Type::tensor(x.dtype, [rows(x), Dim::Known(op.n_targets)]))
}

/// Trees that vote for classes.
pub fn tree_ensemble_classifier(cx: &InferCx<'_>, op: &TreeEnsembleClassifier) -> InferResult {
    let x = examples(cx)?;
    transform(cx, &op.post_transform)?;
    let (dtype, classes) = labels(cx, &op.classlabels_int64s, &op.classlabels_strings)?;
    let nodes = [
        op.nodes_treeids.len(),
        op.nodes_nodeids.len(),
        op.nodes_featureids.len(),
        op.nodes_modes.len(),
        op.nodes_truenodeids.len(),
        op.nodes_falsenodeids.len(),
        either(cx, &op.nodes_values, op.nodes_values_as_tensor)?,
    ];
    parallel(cx, &nodes, "nodes")?;
    let votes = [
        op.class_ids.len(),
        op.class_nodeids.len(),
        op.class_treeids.len(),
        either(cx, &op.class_weights, op.class_weights_as_tensor)?,
    ];
    parallel(cx, &votes, "class weights")?;
    either(cx, &op.base_values, op.base_values_as_tensor)?;
    let scores = Type::tensor(DType::F32, [rows(x), Dim::Known(classes)]);
    Ok(vec![Type::tensor(dtype, [rows(x)]), scores])
}

/// Trees that add up to targets.
pub fn tree_ensemble_regressor(cx: &InferCx<'_>, op: &TreeEnsembleRegressor) -> InferResult {
    let x = examples(cx)?;
    transform(cx, &op.post_transform)?;
    let aggregate = op.aggregate_function.as_str();
    cx.require(matches!(aggregate, "SUM" | "AVERAGE" | "MIN" | "MAX"), "tree-c4", || {
        format!("there is no aggregate function `{aggregate}`")
    })?;
    let nodes = [
        op.nodes_treeids.len(),
        op.nodes_nodeids.len(),
        op.nodes_featureids.len(),
        op.nodes_modes.len(),
        op.nodes_truenodeids.len(),
        op.nodes_falsenodeids.len(),
        either(cx, &op.nodes_values, op.nodes_values_as_tensor)?,
    ];
    parallel(cx, &nodes, "nodes")?;
    let votes = [
        op.target_ids.len(),
        op.target_nodeids.len(),
        op.target_treeids.len(),
        either(cx, &op.target_weights, op.target_weights_as_tensor)?,
    ];
    parallel(cx, &votes, "target weights")?;
    either(cx, &op.base_values, op.base_values_as_tensor)?;
    cx.require(op.n_targets > 0, "tree-c5", || "there are no targets".to_owned())?;
    one(Type::tensor(DType::F32, [rows(x), Dim::Known(op.n_targets)]))
}

/// Rows as maps.
pub fn zip_map(cx: &InferCx<'_>, op: &ZipMap) -> InferResult {
    let x = examples(cx)?;
    let (dtype, count) = labels(cx, &op.classlabels_int64s, &op.classlabels_strings)?;
    cx.merge_dim(&features(x), &Dim::Known(count))?;
    let value = Type::tensor(x.dtype, []);
    one(Type::Sequence(Box::new(Type::Map(dtype, Box::new(value)))))
}
