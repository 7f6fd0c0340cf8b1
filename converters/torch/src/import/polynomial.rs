//! Reading rules of orthogonal polynomials: their three-term recurrences, up to the greatest
//! degree that occurs.
//!
//! The recurrences are those of the Digital Library of Mathematical Functions, 18.9.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{OpKind, ReduceKind};

use super::call::{CallCx, Stop};
use super::formula::{Formula, number, value, when};
use super::repeat::{Next, repeated};
use super::rules::{ImportRule, Outcome};

const MAKES: &[OpKind] = &[OpKind::Loop, OpKind::Mul, OpKind::Select];

/// A family of polynomials.
struct Family {
    /// The one of degree 1.
    first: fn(&Formula) -> Formula,
    /// The one of degree k + 1 from x, k, and those of degree k and k - 1.
    next: fn(&Formula, &Formula, &Formula, &Formula) -> Formula,
}

macro_rules! families {
    ($($(#[doc = $doc:literal])* $name:literal $rule:ident = $first:expr, $next:expr;)*) => {
        pub(super) const RULES: &[ImportRule] = &[$(ImportRule::new($name, MAKES, $rule)),*];
        $($(#[doc = $doc])* fn $rule(cx: &mut CallCx<'_>) -> Outcome {
            evaluated(cx, &Family { first: $first, next: $next })
        })*
    };
}

/// 2 x p - q, with x shifted to [0, 1] or not.
fn chebyshev(x: &Formula, _: &Formula, p: &Formula, q: &Formula) -> Formula {
    x * 2.0 * p - q
}

fn shifted(x: &Formula, k: &Formula, p: &Formula, q: &Formula) -> Formula {
    chebyshev(&(x * 2.0 - 1.0), k, p, q)
}

families! {
    /// Chebyshev polynomials of the first kind.
    "aten::special_chebyshev_polynomial_t" chebyshev_t = |x| x.clone(), chebyshev;
    /// Of the second kind.
    "aten::special_chebyshev_polynomial_u" chebyshev_u = |x| x * 2.0, chebyshev;
    /// Of the third kind.
    "aten::special_chebyshev_polynomial_v" chebyshev_v = |x| x * 2.0 - 1.0, chebyshev;
    /// Of the fourth kind.
    "aten::special_chebyshev_polynomial_w" chebyshev_w = |x| x * 2.0 + 1.0, chebyshev;
    /// The first kind on [0, 1].
    "aten::special_shifted_chebyshev_polynomial_t" shifted_t = |x| x * 2.0 - 1.0, shifted;
    /// The second kind on [0, 1].
    "aten::special_shifted_chebyshev_polynomial_u" shifted_u = |x| x * 4.0 - 2.0, shifted;
    /// The third kind on [0, 1].
    "aten::special_shifted_chebyshev_polynomial_v" shifted_v = |x| x * 4.0 - 3.0, shifted;
    /// The fourth kind on [0, 1].
    "aten::special_shifted_chebyshev_polynomial_w" shifted_w = |x| x * 4.0 - 1.0, shifted;
    /// Hermite polynomials of physics.
    "aten::special_hermite_polynomial_h" hermite_h = |x| x * 2.0,
        |x, k, p, q| (x * p - k * q) * 2.0;
    /// Hermite polynomials of probability.
    "aten::special_hermite_polynomial_he" hermite_he = |x| x.clone(), |x, k, p, q| x * p - k * q;
    /// Laguerre polynomials.
    "aten::special_laguerre_polynomial_l" laguerre = |x| number(1.0) - x,
        |x, k, p, q| ((k * 2.0 + 1.0 - x) * p - k * q) / (k + 1.0);
    /// Legendre polynomials.
    "aten::special_legendre_polynomial_p" legendre = |x| x.clone(),
        |x, k, p, q| ((k * 2.0 + 1.0) * x * p - k * q) / (k + 1.0);
}

/// The polynomials of the degrees `n`, without their fractions, in f64; 0 for negative degrees.
fn evaluated(cx: &mut CallCx<'_>, family: &Family) -> Outcome {
    let operands = cx.promoted_float(&["x", "n"])?;
    super::math::real_only(cx, operands[0])?;
    let dtype = cx.dtype(operands[0])?;
    let (x, n) = (cx.cast(operands[0], DType::F64)?, cx.cast(operands[1], DType::F64)?);
    let n = cx.formula(&value(n).truncated(), DType::F64)?;
    let (fx, fn_) = (value(x), value(n));
    let shape = cx.shape(x)?;
    let one = cx.formula(&when(&fx.is_nan(), &fx, 1.0), DType::F64)?;
    let first = (family.first)(&fx);
    let low = when(&fn_.lt(0.0), 0.0, when(&fn_.eq(0.0), 1.0, &first));
    let (first, low) = (cx.formula(&first, DType::F64)?, cx.formula(&low, DType::F64)?);
    let state: Result<Vec<_>, Stop> =
        [first, one, low].into_iter().map(|v| cx.broadcast_to(v, &shape)).collect();
    let count = steps(cx, n)?;
    let last = repeated(cx, Some(count), &state?, &[x, n], |cx, turn| {
        let k = cx.cast(turn.number, DType::F64)?;
        let k = value(k) + 1.0;
        let &[x, n] = turn.fixed else { return cx.invalid("two values are fixed") };
        let &[p, q, found] = turn.state else { return cx.invalid("there are three values") };
        let next = (family.next)(&value(x), &k, &value(p), &value(q));
        let met = when(&value(n).eq(&k + 1.0), &next, value(found));
        let (next, met) = (cx.formula(&next, DType::F64)?, cx.formula(&met, DType::F64)?);
        Ok(Next { again: None, state: vec![next, p, met] })
    })?;
    let found = last.get(2).copied().unwrap_or(low);
    Ok(cx.cast(found, dtype)?.into())
}

/// How many steps lead from degree 1 to the greatest one.
fn steps(cx: &mut CallCx<'_>, n: ValueId) -> Result<ValueId, Stop> {
    let n = cx.cast(n, DType::I64)?;
    let axes: Vec<usize> = (0..cx.rank(n)?).collect();
    let top = super::reduce::reduced(cx, ReduceKind::Max, n, &axes, false)?;
    let one = cx.b().scalar_int(DType::I64, 1)?;
    let top = cx.b().max(top, one)?;
    Ok(cx.b().sub(top, one)?)
}
