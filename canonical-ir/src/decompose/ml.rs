//! decompose rules of the ml family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn array_feature_extractor(
    cx: &mut DecomposeCx<'_, '_>,
    op: &ArrayFeatureExtractor,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn binarizer(cx: &mut DecomposeCx<'_, '_>, op: &Binarizer) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn feature_vectorizer(cx: &mut DecomposeCx<'_, '_>, op: &FeatureVectorizer) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn imputer(cx: &mut DecomposeCx<'_, '_>, op: &Imputer) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn linear_regressor(cx: &mut DecomposeCx<'_, '_>, op: &LinearRegressor) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn normalizer(cx: &mut DecomposeCx<'_, '_>, op: &Normalizer) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn scaler(cx: &mut DecomposeCx<'_, '_>, op: &Scaler) -> DecomposeResult {
    cx.unsupported("stub")
}
