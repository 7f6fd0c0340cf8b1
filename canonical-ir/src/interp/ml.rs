//! Evaluation of the ml family.

mod scores;
mod svm;
mod trees;

pub use svm::{svm_classifier, svm_regressor};
pub use trees::{tree_ensemble, tree_ensemble_classifier, tree_ensemble_regressor};

use std::collections::BTreeMap;

use num_traits::AsPrimitive;
use rustc_hash::FxHashMap;

use self::scores::{Second, Transform};
use super::{Datum, EvalCx, EvalError, EvalResult, MapKey, one};
use crate::array::{Array, Element, RoundMode, Scalar, StrBytes, cast};
use crate::attr::Float;
use crate::dtype::DType;
use crate::op::*;
use crate::{dispatch_all, dispatch_real};

/// A matrix of numbers, one row per example.
struct Matrix<T> {
    rows: usize,
    columns: usize,
    values: Vec<T>,
}

impl<T> Matrix<T> {
    fn row(&self, row: usize) -> &[T] {
        self.values.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default()
    }
}

/// Operand 0 as a matrix of native floats; a vector is one row.
fn matrix<T: Copy + 'static>(cx: &EvalCx<'_, '_>, name: &str) -> Result<Matrix<T>, EvalError>
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
    i64: AsPrimitive<T>,
    i32: AsPrimitive<T>,
    i16: AsPrimitive<T>,
    i8: AsPrimitive<T>,
    u64: AsPrimitive<T>,
    u32: AsPrimitive<T>,
    u16: AsPrimitive<T>,
    u8: AsPrimitive<T>,
{
    let x = cx.array(0)?;
    let (rows, columns) = match x.shape.as_slice() {
        &[columns] => (1, columns),
        &[rows, columns] => (rows, columns),
        other => return EvalError::failed(format!("`{name}` of shape {other:?}")),
    };
    let values = dispatch_real!(&x.data, |v| v.iter().map(|e| e.as_()).collect(), else {
        return Err(EvalError::Unsupported(format!("`{name}` of {}", x.dtype)));
    });
    Ok(Matrix { rows, columns, values })
}

fn f32s(list: &[Float]) -> Vec<f32> {
    list.iter().map(|f| f.0 as f32).collect()
}

/// Class labels: one of two lists.
struct Labels<'a> {
    ints: &'a [i64],
    strings: &'a [String],
}

impl Labels<'_> {
    fn len(&self) -> usize {
        self.ints.len().max(self.strings.len())
    }

    /// The labels of classes by position.
    fn pick(&self, classes: &[usize]) -> Result<Array, EvalError> {
        let missing = || EvalError::Failed("a class has no label".to_owned());
        let shape = vec![classes.len()];
        if self.strings.is_empty() {
            let found: Option<Vec<i64>> =
                classes.iter().map(|&c| self.ints.get(c).copied()).collect();
            return Ok(Array::from_vec(shape, found.ok_or_else(missing)?)?);
        }
        let found: Option<Vec<&String>> = classes.iter().map(|&c| self.strings.get(c)).collect();
        Ok(Array::from_strs(shape, &found.ok_or_else(missing)?)?)
    }
}

/// The entries of the map in operand 0.
fn map<'a>(cx: &'a EvalCx<'_, '_>) -> Result<&'a BTreeMap<MapKey, Datum>, EvalError> {
    match cx.datum(0)? {
        Datum::Map(m) => Ok(m),
        Datum::Tensor(_) | Datum::Sequence(_) | Datum::Optional(_) => {
            EvalError::failed("the operand is not a map")
        }
    }
}

/// The one element of a value of a map.
fn element(datum: &Datum) -> Result<&Array, EvalError> {
    match datum.as_array() {
        Some(a) if a.numel() == 1 => Ok(a),
        _ => EvalError::failed("a value of the map is not one element"),
    }
}

/// The values of a map in order of keys, or at the positions that the keys name.
pub fn cast_map(cx: &mut EvalCx<'_, '_>, op: &CastMap) -> EvalResult {
    let entries = map(cx)?;
    let n = if op.sparse { usize::try_from(op.max_map).unwrap_or(0) } else { entries.len() };
    cx.check_size(op.cast_to, &[n])?;
    let mut out = Array::zeros(op.cast_to, vec![1, n])?;
    if op.cast_to == DType::String {
        for i in 0..n {
            out.set(i, &Scalar::Str(StrBytes::from(b"0.f".as_slice())))?;
        }
    }
    for (i, (key, value)) in entries.iter().enumerate() {
        let place = match key {
            MapKey::Int(k) if op.sparse => match usize::try_from(*k) {
                Ok(k) => k,
                Err(_) => return EvalError::failed(format!("the key {k} is negative")),
            },
            _ => i,
        };
        if place < n {
            out.set(place, &converted(element(value)?, op.cast_to)?)?;
        }
    }
    one(out)
}

/// One element in another dtype; floats become strings with six decimals.
fn converted(a: &Array, to: DType) -> Result<Scalar, EvalError> {
    let scalar = match (a.get(0), to) {
        (Some(Scalar::Float(x)), DType::String) => {
            return Ok(Scalar::Str(StrBytes::from(format!("{x:.6}").as_bytes())));
        }
        (Some(_), _) => cast(a, to, true, RoundMode::Nearest)?.get(0),
        (None, _) => None,
    };
    scalar.ok_or_else(|| EvalError::Failed("a value of the map is empty".to_owned()))
}

/// Strings to integers or back.
pub fn category_mapper(cx: &mut EvalCx<'_, '_>, op: &CategoryMapper) -> EvalResult {
    let x = cx.array(0)?;
    if let Some(strings) = x.as_slice::<StrBytes>() {
        let table: FxHashMap<&[u8], i64> = op
            .cats_strings
            .iter()
            .map(String::as_bytes)
            .zip(op.cats_int64s.iter().copied())
            .collect();
        let find = |s: &StrBytes| table.get(&s[..]).copied().unwrap_or(op.default_int64);
        return one(Array::from_vec(x.shape.clone(), strings.iter().map(find).collect())?);
    }
    let Some(ints) = x.as_slice::<i64>() else {
        return Err(EvalError::Unsupported(format!("`category_mapper` of {}", x.dtype)));
    };
    let table: FxHashMap<i64, &str> =
        op.cats_int64s.iter().copied().zip(op.cats_strings.iter().map(String::as_str)).collect();
    let found: Vec<&str> =
        ints.iter().map(|i| table.get(i).copied().unwrap_or(&op.default_string)).collect();
    one(Array::from_strs(x.shape.clone(), &found)?)
}

/// The values of a map at the keys of a vocabulary.
pub fn dict_vectorizer(cx: &mut EvalCx<'_, '_>, op: &DictVectorizer) -> EvalResult {
    let entries = map(cx)?;
    let keys: Vec<MapKey> = if op.string_vocabulary.is_empty() {
        op.int64_vocabulary.iter().map(|&k| MapKey::Int(k)).collect()
    } else {
        let key = |s: &String| MapKey::Str(StrBytes::from(s.as_bytes()));
        op.string_vocabulary.iter().map(key).collect()
    };
    let dtype = match cx.result_type(0).map(|t| t.dtype) {
        Some(dtype) => dtype,
        None => match entries.values().next() {
            Some(value) => element(value)?.dtype,
            None => return EvalError::failed("the map is empty and its type is not known"),
        },
    };
    let mut out = Array::zeros(dtype, vec![1, keys.len()])?;
    for (i, key) in keys.iter().enumerate() {
        if let Some(value) = entries.get(key).map(element).transpose()?.and_then(|a| a.get(0)) {
            out.set(i, &value)?;
        }
    }
    one(out)
}

/// A key of a table: every NaN is the same, and so are both zeros.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Int(i128),
    Float(u64),
    Str(StrBytes),
}

fn key(scalar: Scalar) -> Option<Key> {
    Some(match scalar {
        Scalar::Int(i) => Key::Int(i),
        Scalar::Bool(b) => Key::Int(b.into()),
        Scalar::Float(x) if x.is_nan() => Key::Float(f64::NAN.to_bits()),
        Scalar::Float(x) => Key::Float((x + 0.0).to_bits()),
        Scalar::Str(s) => Key::Str(s),
        Scalar::Complex(_) => return None,
    })
}

/// A table from keys to values; of equal keys the last counts.
pub fn label_encoder(cx: &mut EvalCx<'_, '_>, op: &LabelEncoder) -> EvalResult {
    let keys = cx.module_tensor(op.keys)?;
    let values = cx.module_tensor(op.values)?;
    let default = cx.module_tensor(op.default)?;
    let x = cx.array(0)?;
    if x.dtype != keys.dtype {
        return EvalError::failed(format!("x is {}, its keys are {}", x.dtype, keys.dtype));
    }
    let table: FxHashMap<Key, usize> =
        (0..keys.numel()).filter_map(|i| Some((key(keys.get(i)?)?, i))).collect();
    let found: Vec<Option<usize>> = (0..x.numel())
        .map(|i| x.get(i).and_then(key).and_then(|k| table.get(&k).copied()))
        .collect();
    fn pick<T: Element>(values: &[T], default: &Array, found: &[Option<usize>]) -> Option<Vec<T>> {
        let default = default.as_slice::<T>()?.first()?;
        let at = |i: &Option<usize>| i.and_then(|i| values.get(i)).unwrap_or(default).clone();
        Some(found.iter().map(at).collect())
    }
    let data = dispatch_all!(&values.data, |v| pick(v, &default, &found).map(Element::wrap));
    match data {
        Some(data) => one(Array::new(values.dtype, x.shape.clone(), data)?),
        None => EvalError::failed("the default is not one element of the values' dtype"),
    }
}

/// Linear scores and the classes of the greatest.
pub fn linear_classifier(cx: &mut EvalCx<'_, '_>, op: &LinearClassifier) -> EvalResult {
    let x: Matrix<f32> = matrix(cx, "linear_classifier")?;
    let labels = Labels { ints: &op.classlabels_ints, strings: &op.classlabels_strings };
    let coefficients = f32s(&op.coefficients);
    let mut intercepts = f32s(&op.intercepts);
    if intercepts.is_empty() {
        intercepts.resize(coefficients.len() / x.columns.max(1), 0.0);
    }
    let targets = intercepts.len();
    if targets == 0 || targets.checked_mul(x.columns) != Some(coefficients.len()) {
        return EvalError::failed("the coefficients do not go with the features");
    }
    let transform = Transform::parse(&op.post_transform);
    let second = targets == 1 && labels.len() == 2;
    let (mut scores, mut ids) = (Vec::new(), Vec::new());
    let mut flags = Vec::new();
    for r in 0..x.rows {
        let row = x.row(r);
        let mut line: Vec<f32> = intercepts
            .iter()
            .zip(coefficients.chunks(x.columns.max(1)).chain(std::iter::repeat([].as_slice())))
            .map(|(&b, c)| (svm::dot(row, c) + f64::from(b)) as f32)
            .collect();
        if let &[score] = line.as_slice() {
            let positive = score > 0.0;
            ids.push(usize::from(positive));
            flags.push(positive);
            let pair = if second { Second::Rest } else { Second::None };
            line = scores::finish(transform, line, pair);
            if second {
                line.resize(2, 0.0);
            }
        } else {
            ids.push(scores::first_greatest(&line));
            scores::apply(transform, &mut line);
        }
        scores.extend(line);
    }
    let classes = if targets == 1 && labels.len() != 2 {
        // Without a pair of labels the classes are called 0 and 1.
        if labels.strings.is_empty() {
            Array::from_vec(vec![x.rows], flags.iter().map(|&p| i64::from(p)).collect())?
        } else {
            let text: Vec<&str> = flags.iter().map(|&p| if p { "1" } else { "0" }).collect();
            Array::from_strs(vec![x.rows], &text)?
        }
    } else {
        labels.pick(&ids)?
    };
    let width = if second { 2 } else { targets };
    let scores = Array::from_vec(vec![x.rows, width], scores)?;
    Ok(vec![Some(classes.into()), Some(scores.into())])
}

/// One-hot of categories.
pub fn one_hot_encoder(cx: &mut EvalCx<'_, '_>, op: &OneHotEncoder) -> EvalResult {
    let x = cx.array(0)?;
    let (found, width): (Vec<Option<usize>>, usize) = if let Some(v) = x.as_slice::<StrBytes>() {
        let table: FxHashMap<&[u8], usize> =
            op.cats_strings.iter().enumerate().map(|(i, s)| (s.as_bytes(), i)).collect();
        (v.iter().map(|s| table.get(&s[..]).copied()).collect(), op.cats_strings.len())
    } else {
        let table: FxHashMap<i64, usize> =
            op.cats_int64s.iter().enumerate().map(|(i, &c)| (c, i)).collect();
        let find = |i: i64| table.get(&i).copied();
        let found = dispatch_real!(&x.data, |v| v.iter().map(|&e| find(e.as_())).collect(), else {
            return Err(EvalError::Unsupported(format!("`one_hot_encoder` of {}", x.dtype)));
        });
        (found, op.cats_int64s.len())
    };
    let mut shape = x.shape.clone();
    shape.push(width);
    cx.check_size(DType::F32, &shape)?;
    if !op.zeros && found.contains(&None) {
        return EvalError::failed("an element is in no category");
    }
    let mut out = vec![0f32; found.len().saturating_mul(width)];
    for (line, hot) in out.chunks_mut(width.max(1)).zip(found) {
        if let Some(slot) = hot.and_then(|i| line.get_mut(i)) {
            *slot = 1.0;
        }
    }
    one(Array::from_vec(shape, out)?)
}

/// Rows as maps.
pub fn zip_map(cx: &mut EvalCx<'_, '_>, op: &ZipMap) -> EvalResult {
    let x = cx.array(0)?;
    let keys: Vec<MapKey> = if op.classlabels_strings.is_empty() {
        op.classlabels_int64s.iter().map(|&k| MapKey::Int(k)).collect()
    } else {
        let key = |s: &String| MapKey::Str(StrBytes::from(s.as_bytes()));
        op.classlabels_strings.iter().map(key).collect()
    };
    let (rows, columns) = match x.shape.as_slice() {
        &[columns] => (1, columns),
        &[rows, columns] => (rows, columns),
        other => return EvalError::failed(format!("`zip_map` of shape {other:?}")),
    };
    if columns != keys.len() {
        return EvalError::failed(format!("{columns} scores for {} labels", keys.len()));
    }
    let mut maps = Vec::with_capacity(rows);
    for r in 0..rows {
        let mut entries = BTreeMap::new();
        for (i, key) in keys.iter().enumerate() {
            let Some(value) = x.get(r * columns + i) else { continue };
            entries.insert(key.clone(), Datum::from(Array::scalar(x.dtype, &value)?));
        }
        maps.push(Datum::Map(entries));
    }
    one(Datum::Sequence(maps))
}
