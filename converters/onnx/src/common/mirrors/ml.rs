//! Mirrored ops of the ml family.

use airconv_api::ir::op::OpKind;

use crate::common::ML;
use crate::common::mirror::Mirror;

/// An op that every version of the domain has.
const fn ml(name: &'static str, kind: OpKind) -> Mirror {
    Mirror::of(ML, name, 1, kind)
}

pub(super) const MIRRORS: &[Mirror] = &[
    ml("ArrayFeatureExtractor", OpKind::ArrayFeatureExtractor),
    ml("Binarizer", OpKind::Binarizer),
    ml("CategoryMapper", OpKind::CategoryMapper),
    ml("DictVectorizer", OpKind::DictVectorizer),
    ml("FeatureVectorizer", OpKind::FeatureVectorizer)
        .renaming(&[("input_dimensions", "inputdimensions")]),
    ml("Imputer", OpKind::Imputer),
    ml("LinearClassifier", OpKind::LinearClassifier),
    ml("LinearRegressor", OpKind::LinearRegressor),
    ml("Normalizer", OpKind::Normalizer),
    ml("OneHotEncoder", OpKind::OneHotEncoder),
    // ONNX Runtime asks for some attributes that have a default.
    ml("SVMClassifier", OpKind::SvmClassifier),
    ml("SVMRegressor", OpKind::SvmRegressor).always(&["n_supports"]),
    ml("Scaler", OpKind::Scaler),
    Mirror::of(ML, "TreeEnsemble", 5, OpKind::TreeEnsemble).always(&["n_targets"]),
    ml("TreeEnsembleClassifier", OpKind::TreeEnsembleClassifier),
    ml("TreeEnsembleRegressor", OpKind::TreeEnsembleRegressor).always(&["n_targets"]),
    ml("ZipMap", OpKind::ZipMap),
];
