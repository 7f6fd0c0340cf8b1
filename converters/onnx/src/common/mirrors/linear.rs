//! Mirrored ops of the linear family.

use airconv_ir::op::OpKind;

use crate::common::MICROSOFT;
use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("MatMul", 1, OpKind::Matmul),
    Mirror::new("Gemm", 7, OpKind::Gemm).renaming(&[("trans_a", "transA"), ("trans_b", "transB")]),
    Mirror::new("Det", 11, OpKind::Det),
    Mirror::of(MICROSOFT, "FusedMatMul", 1, OpKind::FusedMatmul).renaming(&[
        ("trans_a", "transA"),
        ("trans_b", "transB"),
        ("trans_batch_a", "transBatchA"),
        ("trans_batch_b", "transBatchB"),
    ]),
];
