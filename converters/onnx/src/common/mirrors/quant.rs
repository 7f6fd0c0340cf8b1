//! Mirrored ops of the quant family.

use airconv_api::ir::op::OpKind;

use crate::common::MICROSOFT;
use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("DynamicQuantizeLinear", 11, OpKind::DynamicQuantizeLinear),
    Mirror::new("MatMulInteger", 10, OpKind::MatmulInteger),
    Mirror::new("QLinearMatMul", 10, OpKind::QlinearMatmul),
    Mirror::of(MICROSOFT, "MatMulIntegerToFloat", 1, OpKind::MatmulIntegerToFloat),
    Mirror::of(MICROSOFT, "DynamicQuantizeMatMul", 1, OpKind::DynamicQuantizeMatmul),
    Mirror::of(MICROSOFT, "QLinearAdd", 1, OpKind::QlinearAdd),
    Mirror::of(MICROSOFT, "QLinearMul", 1, OpKind::QlinearMul),
    Mirror::of(MICROSOFT, "QLinearSigmoid", 1, OpKind::QlinearSigmoid),
    Mirror::of(MICROSOFT, "QLinearLeakyRelu", 1, OpKind::QlinearLeakyRelu),
    Mirror::of(MICROSOFT, "QLinearGlobalAveragePool", 1, OpKind::QlinearGlobalAveragePool),
    Mirror::of(MICROSOFT, "QGemm", 1, OpKind::Qgemm)
        .renaming(&[("trans_a", "transA"), ("trans_b", "transB")]),
];
