//! Reading rules of the regularised incomplete gamma functions, in f64.
//!
//! P(a, x) by its power series where x < a + 1, Q(a, x) by Legendre's continued fraction with
//! Lentz's algorithm elsewhere (Digital Library of Mathematical Functions, 8.7.1 and 8.9.2).

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{OpKind, ReduceKind};

use super::call::{CallCx, Stop};
use super::formula::{Formula, number, value, when};
use super::repeat::{Next, Turn, repeated};
use super::rules::{ImportRule, Outcome};
use super::special::log_gamma;

const MAKES: &[OpKind] = &[OpKind::Loop, OpKind::Exp, OpKind::Log, OpKind::Div];

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::igamma", MAKES, igamma),
    ImportRule::new("aten::igammac", MAKES, igammac),
];

/// The most terms; the number that is needed grows with the root of `a`.
const MOST_TERMS: i64 = 5000;
/// Where a term does not count any more.
const ENOUGH: f64 = 1e-16;
/// In the place of a zero denominator.
const TINY: f64 = 1e-300;

/// `igamma`: P(a, x).
fn igamma(cx: &mut CallCx<'_>) -> Outcome {
    regularised(cx, false)
}

/// `igammac`: Q(a, x) = 1 - P(a, x).
fn igammac(cx: &mut CallCx<'_>) -> Outcome {
    regularised(cx, true)
}

fn regularised(cx: &mut CallCx<'_>, upper: bool) -> Outcome {
    let operands = cx.promoted_float(&["self", "other"])?;
    super::math::real_only(cx, operands[0])?;
    let dtype = cx.dtype(operands[0])?;
    let (a, x) = (cx.cast(operands[0], DType::F64)?, cx.cast(operands[1], DType::F64)?);
    let (fa, fx) = (value(a), value(x));
    let plain = fa.gt(0.0).and(fx.gt(0.0)).and(fa.lt(f64::INFINITY)).and(fx.lt(f64::INFINITY));
    let (safe_a, safe_x) = (when(&plain, &fa, 1.0), when(&plain, &fx, 1.0));
    let by_series = safe_x.lt(&safe_a + 1.0);
    let scale = (safe_a.clone() * safe_x.log() - &safe_x - log_gamma(&safe_a)).exp();
    let (sum, fraction) = summed(cx, &safe_a, &safe_x, &by_series)?;
    let lower = value(sum) * &scale;
    let above = value(fraction) * &scale;
    let (p, q) = match upper {
        false => (lower, number(1.0) - above),
        true => (number(1.0) - lower, above),
    };
    let inside = when(&by_series, p, q);
    let y = when(&plain, inside, at_edges(&fa, &fx, upper));
    let y = cx.formula(&y, DType::F64)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// The values where either is zero or infinite, and NaN where either is negative or NaN.
fn at_edges(a: &Formula, x: &Formula, upper: bool) -> Formula {
    let (none, all) = if upper { (1.0, 0.0) } else { (0.0, 1.0) };
    let wrong = a.lt(0.0).or(x.lt(0.0)).or(a.is_nan()).or(x.is_nan());
    let both = a.eq(0.0).and(x.eq(0.0)).or(a.is_infinite().and(x.is_infinite()));
    let empty = x.eq(0.0).or(a.is_infinite());
    when(&wrong.or(both), f64::NAN, when(&empty, none, all))
}

/// The sum of the series over `a`, and the value of the fraction.
fn summed(
    cx: &mut CallCx<'_>,
    a: &Formula,
    x: &Formula,
    by_series: &Formula,
) -> Result<(ValueId, ValueId), Stop> {
    let mut make = |f: &Formula| cx.formula(f, DType::F64);
    let (a, x, by_series) = (make(a)?, make(x)?, make(by_series)?);
    let (fa, fx) = (value(a), value(x));
    // What is not used is left at what it is.
    let first = make(&fa.inverse())?;
    let b = &fx + 1.0 - &fa;
    let d = make(&away_from_zero(&b).inverse())?;
    let c = make(&(number(1.0 / TINY) + &fx * 0.0))?;
    let count = cx.b().scalar_int(DType::I64, MOST_TERMS)?;
    let state = [first, first, c, d, d];
    let last = repeated(cx, Some(count), &state, &[a, x, by_series], one_more)?;
    match last.as_slice() {
        &[_, sum, _, _, fraction, ..] => Ok((sum, fraction)),
        _ => cx.invalid("five values are carried"),
    }
}

fn away_from_zero(f: &Formula) -> Formula {
    when(&f.abs().lt(TINY), TINY, f)
}

/// Another term of the series and another level of the fraction: the state is the last term, the
/// sum, Lentz's two ratios, and the fraction.
fn one_more(cx: &mut CallCx<'_>, turn: Turn<'_>) -> Result<Next, Stop> {
    let &[a, x, by_series] = turn.fixed else { return cx.invalid("three values are fixed") };
    let &[term, sum, c, d, fraction] = turn.state else {
        return cx.invalid("five values are carried");
    };
    let n = cx.cast(turn.number, DType::F64)?;
    let n = value(n) + 1.0;
    let (a, x) = (value(a), value(x));
    let next_term = value(term) * &x / (&a + &n);
    let next_sum = value(sum) + &next_term;
    let level = &n * (&a - &n);
    let b = &x + 1.0 - &a + &n * 2.0;
    let next_d = away_from_zero(&(&level * value(d) + &b)).inverse();
    let next_c = away_from_zero(&(&b + &level / value(c)));
    let ratio = &next_c * &next_d;
    let next_fraction = value(fraction) * &ratio;
    let more_terms = (&next_sum * ENOUGH).abs().lt(next_term.abs());
    let more_levels = number(ENOUGH * 4.0).lt((&ratio - 1.0).abs());
    let more = when(&value(by_series), more_terms, more_levels);
    let more = cx.formula(&more, DType::F64)?;
    let mut state = Vec::with_capacity(5);
    for part in [next_term, next_sum, next_c, next_d, next_fraction] {
        state.push(cx.formula(&part, DType::F64)?);
    }
    let axes: Vec<usize> = (0..cx.rank(more)?).collect();
    let again = super::reduce::reduced(cx, ReduceKind::Or, more, &axes, false)?;
    Ok(Next { again: Some(again), state })
}
