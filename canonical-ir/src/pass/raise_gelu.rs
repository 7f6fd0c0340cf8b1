//! Recognises gelu that was written out.
//!
//! 1. The exact form `0.5 * x * (1 + erf(x / sqrt(2)))`, factors in any order and association,
//!    with `x * 0.7071...` for the quotient and `x * (0.5 + 0.5 * erf(...))` for the whole.
//! 2. The tanh form `0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`, with products
//!    or `pow` for the cube.
//! 3. The tanh form with the inner x taken out: `sqrt(2 / pi) * x * (1 + 0.044715 * x^2)`.
//!
//! Constants may be rounded to the dtype or to f32. Declined when an intermediate value has
//! other uses.

use super::matcher::{Matched, OrNoMatch, Pattern, matching, only, stands_for};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::{Gelu, GeluKind, Op, OpKind};

/// The pass.
pub struct RaiseGelu;

impl Pass for RaiseGelu {
    fn name(&self) -> &'static str {
        "raise_gelu"
    }
    fn doc(&self) -> &'static str {
        "recognises gelu written out with erf or tanh"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_) | Op::Div(_)) {
        return false;
    }
    let Some(((x, approximate), from)) = matching(site, cx, find) else { return false };
    site.become_op(cx, "a gelu written out", &from, Gelu { approximate }, &[Some(x)])
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<(ValueId, GeluKind)> {
    let y = p.site.n().result(0).or_no()?;
    let dtype = p.site.ty(y).dtype().or_no()?;
    let (factors, number) = p.factors(y);
    let [a, b] = factors[..] else { return Err(super::matcher::Decline::NoMatch) };
    let found = p.either((a, b), |p, x, gate| {
        let (inner, one) = p.with_scalar(gate, OpKind::Add)?;
        let (parts, unit) = p.factors(inner);
        let [t] = parts[..] else { return Err(super::matcher::Decline::NoMatch) };
        only(stands_for(dtype, unit, one) && stands_for(dtype, number * one, 0.5))?;
        let kind = p.or(|p| exact(p, t, x, dtype), |p| tanh(p, t, x, dtype))?;
        Ok((x, kind))
    })?;
    p.closed()?;
    Ok(found)
}

fn exact(p: &mut Pattern<'_, '_>, t: ValueId, x: ValueId, dtype: DType) -> Matched<GeluKind> {
    let u = p.unary(t, OpKind::Erf)?;
    let (factors, number) = p.factors(u);
    only(factors == [x] && stands_for(dtype, number, std::f64::consts::FRAC_1_SQRT_2))?;
    Ok(GeluKind::Exact)
}

fn tanh(p: &mut Pattern<'_, '_>, t: ValueId, x: ValueId, dtype: DType) -> Matched<GeluKind> {
    let u = p.unary(t, OpKind::Tanh)?;
    let (factors, number) = p.factors(u);
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let (sum, degree) = match factors[..] {
        [sum] => (sum, 3),
        [a, b] if a == x => (b, 2),
        [a, b] if b == x => (a, 2),
        _ => return Err(super::matcher::Decline::NoMatch),
    };
    // root * (linear + cubic), where the number may have been multiplied in.
    let (a, b) = p.binary(sum, OpKind::Add)?;
    p.either((a, b), |p, linear, cubic| {
        let unit = match p.site.scalar(linear) {
            Some(unit) if degree == 2 => unit,
            _ => {
                let (parts, unit) = p.factors(linear);
                only(degree == 3 && parts == [x])?;
                unit
            }
        };
        let (parts, c) = p.factors(cubic);
        only(power(p, &parts, x) == Some(degree))?;
        only(
            stands_for(dtype, number * unit, root)
                && stands_for(dtype, number * c, root * 0.044715),
        )?;
        Ok(GeluKind::Tanh)
    })
}

/// The exponent of x in a product of powers of x.
fn power(p: &mut Pattern<'_, '_>, factors: &[ValueId], x: ValueId) -> Option<i64> {
    let mut sum = 0;
    for &f in factors {
        if f == x {
            sum += 1;
            continue;
        }
        let (base, exponent) = p.binary(f, OpKind::Pow).ok()?;
        let exponent = p.site.scalar(exponent)?;
        if !p.same(base, x) || exponent.fract() != 0.0 || exponent.abs() > 3.0 {
            return None;
        }
        sum += exponent as i64;
    }
    Some(sum)
}
