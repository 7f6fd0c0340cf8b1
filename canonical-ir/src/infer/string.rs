//! Inference rules of the string family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

fn strings<'a>(cx: &InferCx<'a>, slot: usize) -> Result<&'a TensorType, InferError> {
    let t = cx.tensor(slot)?;
    cx.require_dtype(t.dtype, t.dtype == DType::String, "strings")?;
    Ok(t)
}

/// Elementwise concatenation.
pub fn string_concat(cx: &InferCx<'_>, _op: &StringConcat) -> InferResult {
    strings(cx, 0)?;
    one(cx.same_type(0)?)
}

/// The parts along a new axis, and how many there are.
pub fn string_split(cx: &InferCx<'_>, _op: &StringSplit) -> InferResult {
    let x = strings(cx, 0)?;
    let mut parts = x.clone();
    parts.shape.push(Dim::Any);
    Ok(vec![
        Type::Tensor(parts),
        Type::Tensor(TensorType { dtype: DType::I64, shape: x.shape.clone() }),
    ])
}

/// What is left of the words.
pub fn string_normalizer(cx: &InferCx<'_>, op: &StringNormalizer) -> InferResult {
    let mut x = strings(cx, 0)?.clone();
    let rank = x.rank();
    cx.require(rank == 1 || rank == 2, "string_normalizer-c1", || {
        format!("the operand has rank {rank}, not 1 or 2")
    })?;
    if rank == 2 {
        cx.merge_dim(&x.shape[0], &Dim::Known(1))?;
        x.shape[0] = Dim::Known(1);
    }
    // Words are only dropped when there are words to drop, but nothing becomes one empty word.
    let last = rank - 1;
    x.shape[last] = match &x.shape[last] {
        d if op.stopwords.is_empty() => Dim::max(d, &Dim::Known(1)),
        _ => Dim::Any,
    };
    one(x)
}

/// Whether strings match.
pub fn regex_full_match(cx: &InferCx<'_>, _op: &RegexFullMatch) -> InferResult {
    let x = strings(cx, 0)?;
    one(TensorType { dtype: DType::Bool, shape: x.shape.clone() })
}

/// One number per n-gram.
pub fn tfidf_vectorizer(cx: &InferCx<'_>, op: &TfidfVectorizer) -> InferResult {
    let x = cx.tensor(0)?;
    let strings = !op.pool_strings.is_empty();
    cx.require(strings == op.pool_int64s.is_empty(), "tfidf_vectorizer-c1", || {
        "one of the pools has to be given, and not both".to_owned()
    })?;
    let fits = if strings { x.dtype == DType::String } else { x.dtype.is_integer() };
    cx.require(fits, "tfidf_vectorizer-c2", || format!("the pool holds no {}", x.dtype))?;
    cx.require(x.rank() <= 2, "tfidf_vectorizer-c3", || {
        format!("the operand has rank {}, more than 2", x.rank())
    })?;
    let valid = op.min_gram_length >= 1
        && op.max_gram_length >= op.min_gram_length
        && op.max_skip_count >= 0;
    cx.require(valid, "tfidf_vectorizer-c4", || {
        "the n-gram lengths or the skip count are out of range".to_owned()
    })?;
    let top = op.ngram_indexes.iter().max().copied();
    let Some(top) = top.filter(|_| op.ngram_indexes.iter().all(|&i| i >= 0)) else {
        return cx.fail("tfidf_vectorizer-c5", "an output position is negative, or none is given");
    };
    let width = Dim::Known(top) + Dim::Known(1);
    cx.require(
        op.weights.is_empty() || op.weights.len() == op.ngram_indexes.len(),
        "tfidf_vectorizer-c6",
        || format!("{} weights for {} n-grams", op.weights.len(), op.ngram_indexes.len()),
    )?;
    let rows = if x.rank() == 2 { Some(x.shape[0].clone()) } else { None };
    one(TensorType::new(DType::F32, rows.into_iter().chain([width])))
}
