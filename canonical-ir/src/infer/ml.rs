//! infer rules of the ml family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn array_feature_extractor(cx: &InferCx<'_>, op: &ArrayFeatureExtractor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn binarizer(cx: &InferCx<'_>, op: &Binarizer) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn cast_map(cx: &InferCx<'_>, op: &CastMap) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn category_mapper(cx: &InferCx<'_>, op: &CategoryMapper) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dict_vectorizer(cx: &InferCx<'_>, op: &DictVectorizer) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn feature_vectorizer(cx: &InferCx<'_>, op: &FeatureVectorizer) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn imputer(cx: &InferCx<'_>, op: &Imputer) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn label_encoder(cx: &InferCx<'_>, op: &LabelEncoder) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn linear_classifier(cx: &InferCx<'_>, op: &LinearClassifier) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn linear_regressor(cx: &InferCx<'_>, op: &LinearRegressor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn normalizer(cx: &InferCx<'_>, op: &Normalizer) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn one_hot_encoder(cx: &InferCx<'_>, op: &OneHotEncoder) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn scaler(cx: &InferCx<'_>, op: &Scaler) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn svm_classifier(cx: &InferCx<'_>, op: &SvmClassifier) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn svm_regressor(cx: &InferCx<'_>, op: &SvmRegressor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tree_ensemble(cx: &InferCx<'_>, op: &TreeEnsemble) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tree_ensemble_classifier(cx: &InferCx<'_>, op: &TreeEnsembleClassifier) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tree_ensemble_regressor(cx: &InferCx<'_>, op: &TreeEnsembleRegressor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn zip_map(cx: &InferCx<'_>, op: &ZipMap) -> InferResult {
    cx.fail("stub", "no rule")
}
