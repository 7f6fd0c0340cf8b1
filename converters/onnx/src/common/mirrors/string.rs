//! Mirrored ops of the string family.

use airconv_ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("RegexFullMatch", 20, OpKind::RegexFullMatch),
    Mirror::new("StringConcat", 20, OpKind::StringConcat).broadcasting(),
    Mirror::new("StringNormalizer", 10, OpKind::StringNormalizer).renaming(&[
        ("case_change", "case_change_action"),
        ("case_sensitive", "is_case_sensitive"),
    ]),
    Mirror::new("StringSplit", 20, OpKind::StringSplit),
    Mirror::new("TfIdfVectorizer", 9, OpKind::TfidfVectorizer),
];
