//! Writing rules of the image family.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{
    AspectPolicy, CoordinateMode, GridMode, GridPadding, NearestMode, Op, OpKind, Resize,
    ResizeMode,
};

use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::program::Arg;
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Resize, resize),
    ExportRule::new(OpKind::GridSample, grid_sample),
    ExportRule::new(OpKind::AffineGrid, affine_grid),
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
