//! Writing rules of the image family.

use airconv_ir::array::Scalar;
use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{
    AspectPolicy, CoordinateMode, GridMode, GridPadding, NearestMode, Op, OpKind, Resize,
    ResizeMode,
};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, number_of, other_op};
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Resize, resize),
    ExportRule::new(OpKind::GridSample, grid_sample),
    ExportRule::new(OpKind::AffineGrid, affine_grid),
    ExportRule::new(OpKind::NonMaxSuppression, non_max_suppression),
];

/// How PyTorch resamples.
struct Sampler {
    name: &'static str,
    /// Whether it takes `align_corners`, and its value.
    corners: Option<bool>,
}

/// PyTorch's resampling of two spatial axes that is the same.
fn sampler(r: &Resize) -> Result<Sampler, Refuse> {
    use CoordinateMode as C;
    let corners = match r.coordinates {
        C::AlignCorners => true,
        C::HalfPixel | C::PytorchHalfPixel => false,
        _ => match (r.mode, r.nearest, r.coordinates) {
            (ResizeMode::Nearest, NearestMode::Floor, C::Asymmetric) => {
                return Ok(Sampler { name: "aten::upsample_nearest2d", corners: None });
            }
            _ => return Refuse::because("PyTorch maps coordinates differently"),
        },
    };
    match (r.mode, r.nearest, corners) {
        (ResizeMode::Linear, _, _) => {
            Ok(Sampler { name: "aten::upsample_bilinear2d", corners: Some(corners) })
        }
        (ResizeMode::Cubic, _, _) if r.cubic_coeff == Float(-0.75) && !r.exclude_outside => {
            Ok(Sampler { name: "aten::upsample_bicubic2d", corners: Some(corners) })
        }
        (ResizeMode::Nearest, NearestMode::RoundPreferCeil, false) => {
            Ok(Sampler { name: "aten::_upsample_nearest_exact2d", corners: None })
        }
        _ => Refuse::because("PyTorch weighs neighbours differently"),
    }
}

fn resize(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Resize(r) = op else { return other_op() };
    let x = cx.x(0)?;
    let (from, ty) = (cx.ty(x)?, cx.result_type(0)?);
    if ty.rank() != 4 || !matches!(ty.dtype, DType::F32 | DType::F64) {
        return Refuse::because("PyTorch resamples the two last of four axes of floats");
    }
    if r.antialias || r.aspect != AspectPolicy::Stretch || cx.value(1).is_some() {
        return Refuse::because("PyTorch does not filter or crop on the way");
    }
    if from.shape[..2] != ty.shape[..2] {
        return Refuse::because("PyTorch resamples the two last axes only");
    }
    let sampler = sampler(r)?;
    let alone = ty.shape[2..].iter().any(|d| *d == Dim::Known(1));
    if alone && r.coordinates == CoordinateMode::PytorchHalfPixel {
        return Refuse::because("a lone pixel stands elsewhere");
    }
    let scale = |axis: i64| -> Arg {
        let slot = match r.axes.is_empty() {
            true => usize::try_from(axis).ok(),
            false => r.axes.iter().position(|&a| a == axis),
        };
        slot.and_then(|i| r.scales.get(i)).map_or(Arg::Default, |s| s.0.into())
    };
    // PyTorch computes a factor from the sizes where none is given.
    let (height, width) = (scale(2), scale(3));
    let scales = match (height, width) {
        (Arg::Float(h), Arg::Float(w)) => vec![Arg::Float(h), Arg::Float(w)],
        (Arg::Default, Arg::Default) => Vec::new(),
        (h, w) => {
            let or_one = |a: Arg| if a == Arg::Default { Arg::Float(1.0) } else { a };
            vec![or_one(h), or_one(w)]
        }
    };
    let sizes = cx.sizes(&ty.shape[2..])?;
    let mut args = args![x, sizes];
    args.extend(sampler.corners.map(Arg::Bool));
    args.extend(scales);
    let y = cx.op(sampler.name, args, ty)?;
    cx.one(y)
}

fn grid_sample(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::GridSample(g) = op else { return other_op() };
    let (x, grid) = (cx.x(0)?, cx.x(1)?);
    let ty = cx.result_type(0)?;
    let same = cx.dtype(x)? == cx.dtype(grid)?;
    if !matches!(ty.dtype, DType::F32 | DType::F64) || !same || !matches!(ty.rank(), 4 | 5) {
        return Refuse::because("PyTorch samples images and volumes of floats");
    }
    let mode = match g.mode {
        GridMode::Linear => 0i64,
        GridMode::Nearest => 1,
        GridMode::Cubic if ty.rank() == 4 => 2,
        GridMode::Cubic => return Refuse::because("PyTorch samples volumes without cubics"),
    };
    let padding = match g.padding {
        GridPadding::Zeros => 0i64,
        GridPadding::Border => 1,
        GridPadding::Reflection => 2,
    };
    let y = cx.op("aten::grid_sampler", args![x, grid, mode, padding, g.align_corners], ty)?;
    cx.one(y)
}

fn affine_grid(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::AffineGrid(a) = op else { return other_op() };
    let theta = cx.x(0)?;
    let ty = cx.result_type(0)?;
    if !matches!(ty.dtype, DType::F32 | DType::F64) {
        return Refuse::because("PyTorch's grids are of f32 or f64");
    }
    let sizes = cx.sizes(&a.dims)?;
    let y = cx.op("aten::affine_grid_generator", args![theta, sizes, a.align_corners], ty)?;
    cx.one(y)
}

/// `non_max_suppression` of one image and one class, where all boxes that are found are kept:
/// torchvision's operator, whose boxes are told with the image and the class before.
fn non_max_suppression(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::NonMaxSuppression(n) = op else { return other_op() };
    let (boxes, scores) = (cx.operand_type(0)?, cx.operand_type(1)?);
    let (one, ty) = (Dim::Known(1), cx.result_type(0)?);
    let ([images, count, _], [_, classes, _]) = (&boxes.shape[..], &scores.shape[..]) else {
        return Refuse::because("boxes of another rank");
    };
    if *images != one || *classes != one {
        return Refuse::because("torchvision takes the boxes of one image and one class");
    }
    if boxes.dtype != scores.dtype || !matches!(boxes.dtype, DType::F32 | DType::F64) {
        return Refuse::because("torchvision takes boxes and scores of f32 or f64");
    }
    if !keeps_all(cx, count) {
        return Refuse::because("torchvision keeps all boxes that it finds");
    }
    if cx.value(4).is_some() {
        return Refuse::because("torchvision takes no least score");
    }
    let threshold = match (cx.value(3), cx.scalar(3).as_ref().and_then(float)) {
        (None, _) => 0.0,
        (_, Some(threshold)) => threshold,
        _ => return Refuse::because("the threshold is found at run time"),
    };
    let (boxes, scores) = (cx.x(0)?, cx.x(1)?);
    let boxes = cx.select(boxes, 0, 0)?;
    let boxes = corners(cx, boxes, n.center_point_box)?;
    let scores = cx.select(scores, 0, 0)?;
    let scores = cx.select(scores, 0, 0)?;
    let Some(found) = ty.shape.first().cloned() else { return other_op() };
    let list = TensorType::new(DType::I64, [found.clone()]);
    let kept = cx.op("torchvision::nms", args![boxes, scores, threshold], list)?;
    let column = cx.unsqueeze(kept, 1)?;
    let zeros = cx.full(&[found, Dim::Known(2)], Arg::Int(0), DType::I64)?;
    let y = cx.cat(&[zeros, column], 1)?;
    cx.note("torchvision", "PyTorch loads the program where `torchvision` is imported");
    cx.one(y)
}

fn float(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Float(v) => Some(*v),
        _ => None,
    }
}

/// Whether as many boxes may be kept as there are.
fn keeps_all(cx: &ExportCx<'_, '_>, count: &Dim) -> bool {
    if let Some(Scalar::Int(most)) = cx.scalar(2) {
        return most >= i128::from(cx.range(count).max.unwrap_or(i64::MAX));
    }
    cx.size_operand(2).is_some_and(|most| most == *count)
}

/// Boxes as torchvision takes them: the lower corner, then the upper one. It is the same to which
/// axis the first number of a corner belongs.
fn corners(cx: &mut ExportCx<'_, '_>, boxes: Var, by_center: bool) -> Result<Var, Refuse> {
    // Those that PyTorch had itself are in order, or are meant as they are.
    if cx.torch_origin() == "torchvision.nms" {
        return Ok(boxes);
    }
    let half = |cx: &mut ExportCx<'_, '_>, start: i64| {
        let two = Dim::Known(2);
        cx.slice(boxes, 1, (&Dim::Known(start), &Dim::Known(start + 2)), 1, two)
    };
    let (a, b) = (half(cx, 0)?, half(cx, 2)?);
    let (low, high) = match by_center {
        true => {
            let by = number_of(cx.dtype(b)?, 0.5);
            let reach = cx.with("aten::mul.Tensor", b, by)?;
            (cx.binary("aten::sub.Tensor", a, reach)?, cx.binary("aten::add.Tensor", a, reach)?)
        }
        false => (cx.binary("aten::minimum", a, b)?, cx.binary("aten::maximum", a, b)?),
    };
    cx.cat(&[low, high], 1)
}
