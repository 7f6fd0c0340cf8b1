//! Reading rules of complex numbers and their parts.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{self, Complex, Imag, OpKind, Real};

use super::call::{CallCx, Stop};
use super::formula::{number, value, when};
use super::math::angle_of;
use super::promote::Category;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_conj", &[OpKind::Complex, OpKind::Neg], conj),
    ImportRule::new("aten::_conj_physical", &[OpKind::Complex, OpKind::Neg], conj),
    ImportRule::new("aten::_neg_view", &[OpKind::Neg], neg_view),
    ImportRule::new("aten::adjoint", &[OpKind::Transpose, OpKind::Complex], adjoint),
    ImportRule::new("aten::angle", &[OpKind::Atan, OpKind::Select], angle),
    ImportRule::new("aten::complex", &[OpKind::Complex], complex),
    ImportRule::new("aten::conj", &[OpKind::Complex, OpKind::Neg], conj),
    ImportRule::new("aten::conj_physical", &[OpKind::Complex, OpKind::Neg], conj),
    ImportRule::new("aten::imag", &[OpKind::Imag], imag),
    ImportRule::new("aten::polar", &[OpKind::Complex, OpKind::Cos, OpKind::Sin], polar),
    ImportRule::new("aten::real", &[OpKind::Real], real),
    ImportRule::new("aten::resolve_conj", &[], same),
    ImportRule::new("aten::resolve_neg", &[], same),
    ImportRule::new("aten::view_as_complex", &[OpKind::Complex], view_as_complex),
    ImportRule::new("aten::view_as_real", &[OpKind::Real, OpKind::Imag], view_as_real),
];

/// The real and the imaginary part.
pub(super) fn parts(cx: &mut CallCx<'_>, z: ValueId) -> Result<[ValueId; 2], Stop> {
    Ok([cx.emit(Real {}, &[z])?, cx.emit(Imag {}, &[z])?])
}

fn same(cx: &mut CallCx<'_>) -> Outcome {
    Ok(cx.tensor("self")?.into())
}

/// `_neg_view`: the negative.
fn neg_view(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(cx.b().neg(x)?.into())
}

/// The conjugate; real numbers stay.
pub(super) fn conjugate(cx: &mut CallCx<'_>, z: ValueId) -> Result<ValueId, Stop> {
    if cx.category(z)? != Category::Complex {
        return Ok(z);
    }
    let [re, im] = parts(cx, z)?;
    let im = cx.b().neg(im)?;
    cx.emit(Complex {}, &[re, im])
}

/// `conj`: the conjugate; real numbers stay.
pub(super) fn conj(cx: &mut CallCx<'_>) -> Outcome {
    let z = cx.tensor("self")?;
    Ok(conjugate(cx, z)?.into())
}

/// `adjoint`: the last two axes change places, and numbers are conjugated.
fn adjoint(cx: &mut CallCx<'_>) -> Outcome {
    let z = cx.tensor("self")?;
    let z = conjugate(cx, z)?;
    Ok(super::linalg::transposed(cx, z)?.into())
}

/// `real`: the real part; real numbers stay.
fn real(cx: &mut CallCx<'_>) -> Outcome {
    let z = cx.tensor("self")?;
    match cx.category(z)? {
        Category::Complex => Ok(cx.emit(Real {}, &[z])?.into()),
        _ => Ok(z.into()),
    }
}

/// `imag`: the imaginary part.
fn imag(cx: &mut CallCx<'_>) -> Outcome {
    let z = cx.tensor("self")?;
    Ok(cx.emit(Imag {}, &[z])?.into())
}

/// `complex` from its parts.
fn complex(cx: &mut CallCx<'_>) -> Outcome {
    let parts = [cx.tensor("real")?, cx.tensor("imag")?];
    let parts = cx.broadcast(&parts)?;
    Ok(cx.emit(Complex {}, &parts)?.into())
}

/// `polar`: from magnitude and angle.
fn polar(cx: &mut CallCx<'_>) -> Outcome {
    let given = [cx.tensor("abs")?, cx.tensor("angle")?];
    let given = cx.broadcast(&given)?;
    let (length, angle) = (value(given[0]), value(given[1]));
    let dtype = cx.dtype(given[0])?;
    let re = cx.formula(&(&length * angle.cos()), dtype)?;
    let im = cx.formula(&(&length * angle.sin()), dtype)?;
    Ok(cx.emit(Complex {}, &[re, im])?.into())
}

/// `angle`: of a complex number its argument, of a real one 0 or pi.
fn angle(cx: &mut CallCx<'_>) -> Outcome {
    let z = cx.tensor("self")?;
    if cx.category(z)? == Category::Complex {
        let [re, im] = parts(cx, z)?;
        return Ok(angle_of(cx, im, re)?.into());
    }
    let x = super::elementwise::float_operand(cx, "self")?;
    let angle = |v: &[super::formula::Formula]| {
        let turned = when(&v[0].lt(0.0), std::f64::consts::PI, 0.0);
        when(&v[0].is_nan(), &v[0], turned)
    };
    Ok(cx.computed(&[x], angle)?.into())
}

/// z / |z|, and 0 for 0.
pub(super) fn direction(cx: &mut CallCx<'_>, z: ValueId) -> Outcome {
    let length = cx.emit(op::Abs {}, &[z])?;
    let dtype = cx.dtype(length)?;
    let zero = value(length).eq(0.0);
    let scale = when(&zero, 0.0, number(1.0) / when(&zero, 1.0, value(length)));
    let [re, im] = parts(cx, z)?;
    let re = cx.formula(&(value(re) * &scale), dtype)?;
    let im = cx.formula(&(value(im) * &scale), dtype)?;
    Ok(cx.emit(Complex {}, &[re, im])?.into())
}

/// `view_as_real`: the parts along a new last axis.
fn view_as_real(cx: &mut CallCx<'_>) -> Outcome {
    let z = cx.tensor("self")?;
    let rank = cx.rank(z)?;
    let [re, im] = parts(cx, z)?;
    let (re, im) = (cx.b().unsqueeze(re, &[rank])?, cx.b().unsqueeze(im, &[rank])?);
    Ok(cx.b().concat(&[re, im], rank)?.into())
}

/// `view_as_complex`: the last axis holds the parts.
fn view_as_complex(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(joined(cx, x)?.into())
}

/// Complex numbers whose parts lie along the last axis.
pub(super) fn joined(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let Some((last, [.., Dim::Known(2)])) = shape.len().checked_sub(1).map(|l| (l, &shape[..]))
    else {
        return cx.invalid("the last axis has to be of size 2");
    };
    if !matches!(cx.dtype(x)?, DType::F32 | DType::F64) {
        return cx.unsupported("complex numbers of narrow floats");
    }
    let (re, im) = (cx.b().index_axis(x, last, 0)?, cx.b().index_axis(x, last, 1)?);
    cx.emit(Complex {}, &[re, im])
}
