//! interp rules of the ml family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn cast_map(cx: &mut EvalCx<'_, '_>, op: &CastMap) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn category_mapper(cx: &mut EvalCx<'_, '_>, op: &CategoryMapper) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn dict_vectorizer(cx: &mut EvalCx<'_, '_>, op: &DictVectorizer) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn label_encoder(cx: &mut EvalCx<'_, '_>, op: &LabelEncoder) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn linear_classifier(cx: &mut EvalCx<'_, '_>, op: &LinearClassifier) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn one_hot_encoder(cx: &mut EvalCx<'_, '_>, op: &OneHotEncoder) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn svm_classifier(cx: &mut EvalCx<'_, '_>, op: &SvmClassifier) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn svm_regressor(cx: &mut EvalCx<'_, '_>, op: &SvmRegressor) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn tree_ensemble(cx: &mut EvalCx<'_, '_>, op: &TreeEnsemble) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn tree_ensemble_classifier(
    cx: &mut EvalCx<'_, '_>,
    op: &TreeEnsembleClassifier,
) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn tree_ensemble_regressor(cx: &mut EvalCx<'_, '_>, op: &TreeEnsembleRegressor) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn zip_map(cx: &mut EvalCx<'_, '_>, op: &ZipMap) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
