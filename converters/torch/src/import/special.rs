//! Reading rules of special functions, as formulas in f64.
//!
//! Where a function has no short closed form, it is a Chebyshev series (see `series.rs`), an
//! asymptotic expansion after a shift of the argument (gamma functions, Abramowitz and Stegun
//! 6.1.40, 6.3.18, 6.4.11) or the Euler-Maclaurin formula (zeta, 23.2.7).

use std::f64::consts::{FRAC_1_PI, FRAC_2_PI, FRAC_PI_4, LN_2, PI, SQRT_2};

use airconv_ir::op::OpKind;

use super::call::CallCx;
use super::formula::{Formula, chebyshev, number, polynomial, when};
use super::math::{float_pair, precise_function};
use super::rules::{ImportRule, Outcome};
use super::series;

const MAKES: &[OpKind] = &[OpKind::Mul, OpKind::Add, OpKind::Exp, OpKind::Log, OpKind::Select];

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::digamma", MAKES, digamma),
    ImportRule::new("aten::erfc", MAKES, erfc),
    ImportRule::new("aten::erfinv", MAKES, erfinv),
    ImportRule::new("aten::i0", MAKES, i0),
    ImportRule::new("aten::lgamma", MAKES, lgamma),
    ImportRule::new("aten::logit", MAKES, logit),
    ImportRule::new("aten::mvlgamma", MAKES, mvlgamma),
    ImportRule::new("aten::polygamma", MAKES, polygamma),
    ImportRule::new("aten::special_bessel_j0", MAKES, bessel_j0),
    ImportRule::new("aten::special_bessel_j1", MAKES, bessel_j1),
    ImportRule::new("aten::special_bessel_y0", MAKES, bessel_y0),
    ImportRule::new("aten::special_bessel_y1", MAKES, bessel_y1),
    ImportRule::new("aten::special_entr", MAKES, entr),
    ImportRule::new("aten::special_erfcx", MAKES, erfcx),
    ImportRule::new("aten::special_i0e", MAKES, i0e),
    ImportRule::new("aten::special_i1", MAKES, i1),
    ImportRule::new("aten::special_i1e", MAKES, i1e),
    ImportRule::new("aten::special_log_ndtr", MAKES, log_ndtr),
    ImportRule::new("aten::special_modified_bessel_i0", MAKES, i0),
    ImportRule::new("aten::special_modified_bessel_i1", MAKES, i1),
    ImportRule::new("aten::special_modified_bessel_k0", MAKES, bessel_k0),
    ImportRule::new("aten::special_modified_bessel_k1", MAKES, bessel_k1),
    ImportRule::new("aten::special_ndtr", MAKES, ndtr),
    ImportRule::new("aten::special_ndtri", MAKES, ndtri),
    ImportRule::new("aten::special_scaled_modified_bessel_k0", MAKES, scaled_k0),
    ImportRule::new("aten::special_scaled_modified_bessel_k1", MAKES, scaled_k1),
    ImportRule::new("aten::special_spherical_bessel_j0", MAKES, spherical_j0),
    ImportRule::new("aten::special_xlog1py", MAKES, xlog1py),
    ImportRule::new("aten::special_zeta", MAKES, zeta),
];

/// A rule of a function of one real operand.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident => $f:expr;)*) => {
        $($(#[$doc])* fn $name(cx: &mut CallCx<'_>) -> Outcome {
            let f: fn(&Formula) -> Formula = $f;
            precise_function(cx, f)
        })*
    };
}

functions! {
    /// `digamma`: the derivative of lgamma.
    digamma => psi;
    /// `erfc`: 1 - erf(x), exact where that cancels.
    erfc => complementary_erf;
    /// `erfinv`: the inverse of erf.
    erfinv => inverse_erf;
    /// `i0`: the modified Bessel function of order 0.
    i0 => |x| scaled_i0_of(x) * x.abs().exp();
    /// `lgamma`: the logarithm of the magnitude of the gamma function.
    lgamma => log_gamma;
    /// `special_bessel_j0`.
    bessel_j0 => j0_of;
    /// `special_bessel_j1`.
    bessel_j1 => j1_of;
    /// `special_bessel_y0`.
    bessel_y0 => y0_of;
    /// `special_bessel_y1`.
    bessel_y1 => y1_of;
    /// `special_entr`: -x log(x), 0 at 0, -inf below.
    entr => |x| {
        let inside = when(&x.eq(0.0), 0.0, -(x * x.log()));
        when(&x.lt(0.0), f64::NEG_INFINITY, inside)
    };
    /// `special_erfcx`: erfc(x) exp(x²).
    erfcx => scaled_erfc;
    /// `special_i0e`: exp(-|x|) i0(x).
    i0e => scaled_i0_of;
    /// `special_i1`: the modified Bessel function of order 1.
    i1 => |x| scaled_i1_of(x) * x.abs().exp();
    /// `special_i1e`: exp(-|x|) i1(x).
    i1e => scaled_i1_of;
    /// `special_log_ndtr`: the logarithm of ndtr.
    log_ndtr => |x| {
        let below = scaled_erfc(&(-x / SQRT_2)).log() - LN_2 - x.squared() * 0.5;
        let above = (-complementary_erf(&(x / SQRT_2)) * 0.5).log_1p();
        when(&x.lt(-1.0), below, above)
    };
    /// `special_modified_bessel_k0`.
    bessel_k0 => |x| scaled_k0_of(x) * (-x).exp();
    /// `special_modified_bessel_k1`.
    bessel_k1 => |x| scaled_k1_of(x) * (-x).exp();
    /// `special_ndtr`: the normal distribution function.
    ndtr => |x| complementary_erf(&(-x / SQRT_2)) * 0.5;
    /// `special_ndtri`: the inverse of ndtr.
    ndtri => |p| -inverse_erfc(&(p * 2.0)) * SQRT_2;
    /// `special_scaled_modified_bessel_k0`: exp(x) k0(x).
    scaled_k0 => scaled_k0_of;
    /// `special_scaled_modified_bessel_k1`: exp(x) k1(x).
    scaled_k1 => scaled_k1_of;
    /// `special_spherical_bessel_j0`: sin(x) / x.
    spherical_j0 => |x| {
        let zero = x.eq(0.0);
        let ratio = when(&zero, 1.0, x.sin() / when(&zero, 1.0, x));
        when(&x.is_infinite(), 0.0, ratio)
    };
}

/// `logit`: log(x / (1 - x)), with x held to [eps, 1 - eps] if eps is given.
fn logit(cx: &mut CallCx<'_>) -> Outcome {
    let eps = cx.opt_float("eps")?;
    precise_function(cx, |x| {
        let x = match eps {
            Some(eps) => x.max(eps).min(1.0 - eps),
            None => x.clone(),
        };
        (&x / (number(1.0) - &x)).log()
    })
}

/// `special_xlog1py`: x log(1 + y), 0 where x is zero.
fn xlog1py(cx: &mut CallCx<'_>) -> Outcome {
    float_pair(cx, ["self", "other"], true, |x, y| {
        let product = when(&x.eq(0.0), 0.0, x * y.log_1p());
        when(&y.is_nan(), f64::NAN, product)
    })
}

// Error functions.

/// erfc(x) exp(x²) for x >= 0, from its series.
fn scaled_erfc_above(x: &Formula) -> Formula {
    let t = number(2.0) / (x + 2.0);
    &t * chebyshev(&(&t * 2.0 - 1.0), series::ERFCX).exp()
}

fn scaled_erfc(x: &Formula) -> Formula {
    let above = scaled_erfc_above(&x.abs());
    let below = x.squared().exp() * 2.0 - &above;
    when(&x.lt(0.0), below, above)
}

fn complementary_erf(x: &Formula) -> Formula {
    let size = x.abs();
    let far = scaled_erfc_above(&size) * (-size.squared()).exp();
    let far = when(&size.gt(40.0), 0.0, far);
    let far = when(&x.lt(0.0), number(2.0) - &far, far);
    when(&size.lt(0.5).or(x.is_nan()), number(1.0) - x.erf(), far)
}

/// A first approximation of the inverse of erf from log(1 - x²), good to some thousandths
/// (Winitzki).
fn rough_inverse(log: &Formula) -> Formula {
    const A: f64 = 0.147;
    let half = log * 0.5 + FRAC_2_PI / A;
    ((half.squared() - log / A).max(0.0).sqrt() - half).max(0.0).sqrt()
}

/// A step of Halley's method towards f(y) = 0 for f' = ±2/sqrt(pi) exp(-y²); `rest` is f / f'.
fn halley(y: &Formula, rest: Formula) -> Formula {
    y - &rest / (y * &rest + 1.0)
}

/// The inverse of erfc on (0, 2).
fn inverse_erfc(q: &Formula) -> Formula {
    // For the smaller of both tails; the other one has the opposite sign.
    let turned = q.gt(1.0);
    let tail = when(&turned, number(2.0) - q, q);
    let mut y = rough_inverse(&(&tail * (number(2.0) - &tail)).log());
    for _ in 0..3 {
        let error = scaled_erfc_above(&y) - &tail * y.squared().exp();
        y = halley(&y, -error * (PI.sqrt() / 2.0));
    }
    let y = when(&turned, -&y, y);
    let end = when(&q.eq(2.0), f64::NEG_INFINITY, f64::NAN);
    let end = when(&q.eq(0.0), f64::INFINITY, end);
    when(&q.gt(0.0).and(q.lt(2.0)), y, end)
}

fn inverse_erf(x: &Formula) -> Formula {
    let size = x.abs();
    let mut near = rough_inverse(&(number(1.0) - x.squared()).max(0.1).log());
    for _ in 0..3 {
        let error = near.erf() - &size;
        near = halley(&near, error * near.squared().exp() * (PI.sqrt() / 2.0));
    }
    // Of numbers near 0 the line through it.
    let near = when(&size.lt(1e-8), &size * (PI.sqrt() / 2.0), near);
    let far = inverse_erfc(&(number(1.0) - &size));
    let y = when(&size.lt(0.5), near, far);
    when(&x.lt(0.0), -&y, y)
}

// Gamma functions.

/// Bernoulli numbers B2, B4, B6 ...
const BERNOULLI: [f64; 10] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
    -174611.0 / 330.0,
];

/// By how much an argument is raised for an asymptotic expansion.
const SHIFT: i32 = 10;

/// The sum of `c[k] / z^(2k + 2)`.
fn tail_of(z: &Formula, c: impl Fn(usize, f64) -> f64) -> Formula {
    let inverse = z.inverse();
    let square = inverse.squared();
    let terms: Vec<f64> = BERNOULLI.iter().enumerate().map(|(k, &b)| c(k + 1, b)).collect();
    let sum = terms.iter().rev().fold(number(0.0), |sum, &t| sum * &square + t);
    sum * square
}

/// lgamma for x > 0.
fn log_gamma_above(x: &Formula) -> Formula {
    let z = x + f64::from(SHIFT);
    let product = (1..SHIFT).fold(x.clone(), |p, i| p * (x + f64::from(i)));
    let tail = tail_of(&z, |k, b| b / (2 * k * (2 * k - 1)) as f64) * &z;
    let raised = (&z - 0.5) * z.log() - &z + (2.0 * PI).ln() / 2.0 + tail;
    // Far out the product overflows and is not needed.
    let far = (x - 0.5) * x.log() - x + (2.0 * PI).ln() / 2.0;
    let large = x.gt(1e15);
    let y = when(&large, far, raised - when(&large, 1.0, product).log());
    when(&x.is_infinite(), f64::INFINITY, y)
}

/// The logarithm of the magnitude of the gamma function.
pub(super) fn log_gamma(x: &Formula) -> Formula {
    let below = x.lt(0.5);
    let above = log_gamma_above(&when(&below, number(1.0) - x, x));
    // The fraction keeps the sine exact far from 0.
    let fraction = x - x.floor();
    let sine = (fraction * PI).sin().abs();
    let reflected = number(PI.ln()) - sine.log() - &above;
    let y = when(&below, reflected, above);
    let pole = x.le(0.0).and(x.floor().eq(x)).or(x.is_infinite());
    when(&pole, f64::INFINITY, y)
}

/// digamma for x > 0.
fn psi_above(x: &Formula) -> Formula {
    let z = x + f64::from(SHIFT);
    let sum = (1..SHIFT).fold(x.inverse(), |s, i| s + (x + f64::from(i)).inverse());
    let tail = tail_of(&z, |k, b| b / (2 * k) as f64);
    z.log() - z.inverse() * 0.5 - tail - sum
}

fn psi(x: &Formula) -> Formula {
    let below = x.lt(0.0);
    let above = psi_above(&when(&below, number(1.0) - x, x));
    let fraction = x - x.floor();
    let reflected = &above - number(PI) / (fraction * PI).tan();
    let y = when(&below, reflected, above);
    // Poles: of either sign at the zeros, without one at the negative integers.
    let integer = x.floor().eq(x).and(&below);
    let y = when(&integer, f64::NAN, y);
    when(&x.eq(0.0), -x.inverse(), y)
}

/// `mvlgamma`: the logarithm of the multivariate gamma function.
fn mvlgamma(cx: &mut CallCx<'_>) -> Outcome {
    let p = cx.int("p")?;
    if !(1..=64).contains(&p) {
        return cx.unsupported(format!("the multivariate gamma function of order {p}"));
    }
    precise_function(cx, |x| {
        let start = number((p * (p - 1)) as f64 / 4.0 * PI.ln());
        (0..p).fold(start, |sum, i| sum + log_gamma(&(x - i as f64 / 2.0)))
    })
}

/// The Hurwitz zeta function by Euler-Maclaurin summation.
fn hurwitz(s: &Formula, q: &Formula) -> Formula {
    summed_zeta(s, q, SHIFT)
}

/// The same with so many terms summed before the expansion.
fn summed_zeta(s: &Formula, q: &Formula, terms: i32) -> Formula {
    let minus = -s;
    let sum = (1..terms).fold(q.pow(&minus), |sum, k| sum + (q + f64::from(k)).pow(&minus));
    let a = q + f64::from(terms);
    let power = a.pow(&minus);
    let mut y = sum + &power * &a / (s - 1.0) + &power * 0.5;
    let mut term = s * &power / &a;
    let mut factorial = 2.0;
    for (k, b) in BERNOULLI.iter().enumerate() {
        y = y + &term * (b / factorial);
        let k = (2 * k + 2) as f64;
        factorial *= (k + 1.0) * (k + 2.0);
        term = term * (s + (k - 1.0)) * (s + k) / a.squared();
    }
    y
}

/// Below this zeta is not computed.
const LEAST_ZETA: i32 = -40;

/// zeta with its poles.
fn zeta_of(s: &Formula, q: &Formula) -> Formula {
    let y = summed_zeta(s, q, SHIFT - LEAST_ZETA);
    let y = when(&q.lt(f64::from(LEAST_ZETA)), f64::NAN, y);
    let integer = q.floor().eq(q);
    // Below zero the power of a negative number is defined for integer exponents only.
    let below = when(&s.floor().eq(s), &y, f64::NAN);
    let y = when(&q.le(0.0), when(&integer, f64::INFINITY, below), y);
    let y = when(&s.eq(1.0), f64::INFINITY, y);
    let y = when(&s.lt(1.0), f64::NAN, y);
    when(&s.is_nan().or(q.is_nan()), f64::NAN, y)
}

/// `special_zeta`: the Hurwitz zeta function.
fn zeta(cx: &mut CallCx<'_>) -> Outcome {
    float_pair(cx, ["self", "other"], true, zeta_of)
}

/// `polygamma`: derivatives of digamma.
fn polygamma(cx: &mut CallCx<'_>) -> Outcome {
    match cx.int("n")? {
        0 => precise_function(cx, psi),
        n @ 1..=30 => precise_function(cx, |x| derived_psi(n, x)),
        n => cx.unsupported(format!("the polygamma function of order {n}")),
    }
}

/// The n-th derivative of digamma, by reflection below one half.
fn derived_psi(n: i64, x: &Formula) -> Formula {
    let factorial = (1..=n).fold(1.0, |f, k| f * k as f64);
    let sign = if n % 2 == 0 { -1.0 } else { 1.0 };
    let below = x.lt(0.5);
    let inner = when(&below, number(1.0) - x, x);
    let above = hurwitz(&number(n as f64 + 1.0), &inner) * (sign * factorial);
    let angle = (x - x.floor()) * PI;
    let cotangent = angle.cos() / angle.sin();
    let slope = polynomial(&cotangent, &cotangent_derivative(n)) * PI.powi(n as i32 + 1);
    let reflected = if n % 2 == 0 { &above - slope } else { -(&above + slope) };
    let y = when(&below, reflected, above);
    let pole = x.le(0.0).and(x.floor().eq(x));
    when(&pole, if n % 2 == 0 { f64::NAN } else { f64::INFINITY }, y)
}

/// The n-th derivative of the cotangent as a polynomial of the cotangent, that of the highest
/// power first: c' = -(1 + c²).
fn cotangent_derivative(n: i64) -> Vec<f64> {
    let mut p = vec![0.0, 1.0];
    for _ in 0..n {
        let slope: Vec<f64> = p.iter().enumerate().skip(1).map(|(k, c)| k as f64 * c).collect();
        let mut next = vec![0.0; slope.len() + 2];
        for (k, c) in slope.iter().enumerate() {
            next[k] -= c;
            next[k + 2] -= c;
        }
        p = next;
    }
    p.reverse();
    p
}

// Bessel functions.

/// A series on [0, edge], and another one beyond.
fn two_ranges(
    x: &Formula,
    edge: f64,
    low: impl FnOnce(&Formula) -> Formula,
    high: impl FnOnce(&Formula) -> Formula,
) -> Formula {
    when(&x.le(edge), low(&x.min(edge)), high(&x.max(edge)))
}

fn scaled_i0_of(x: &Formula) -> Formula {
    let low = |x: &Formula| chebyshev(&(x / 4.0 - 1.0), series::I0_LOW);
    let high = |x: &Formula| chebyshev(&(number(16.0) / x - 1.0), series::I0_HIGH) / x.sqrt();
    two_ranges(&x.abs(), 8.0, low, high)
}

fn scaled_i1_of(x: &Formula) -> Formula {
    let low = |x: &Formula| chebyshev(&(x / 4.0 - 1.0), series::I1_LOW) * x;
    let high = |x: &Formula| chebyshev(&(number(16.0) / x - 1.0), series::I1_HIGH) / x.sqrt();
    let y = two_ranges(&x.abs(), 8.0, low, high);
    when(&x.lt(0.0), -&y, y)
}

/// (x / 8)² scaled to [-1, 1].
fn square_argument(x: &Formula) -> Formula {
    x.squared() / 32.0 - 1.0
}

/// The slow factors of a wave beyond 8, its angle and its height.
fn wave(x: &Formula, order: f64, p: &[f64], q: &[f64]) -> (Formula, Formula, Formula, Formula) {
    let y = number(128.0) / x.squared() - 1.0;
    let angle = x - (2.0 * order + 1.0) * FRAC_PI_4;
    let height = (number(FRAC_2_PI) / x).sqrt();
    (chebyshev(&y, p), chebyshev(&y, q) / x, angle, height)
}

fn cosine_wave(x: &Formula, order: f64, p: &[f64], q: &[f64]) -> Formula {
    let (p, q, angle, height) = wave(x, order, p, q);
    let y = height * (p * angle.cos() - q * angle.sin());
    when(&x.is_infinite(), 0.0, y)
}

fn sine_wave(x: &Formula, order: f64, p: &[f64], q: &[f64]) -> Formula {
    let (p, q, angle, height) = wave(x, order, p, q);
    let y = height * (p * angle.sin() + q * angle.cos());
    when(&x.is_infinite(), 0.0, y)
}

fn j0_of(x: &Formula) -> Formula {
    let low = |x: &Formula| chebyshev(&square_argument(x), series::J0_LOW);
    two_ranges(&x.abs(), 8.0, low, |x| cosine_wave(x, 0.0, series::P0, series::Q0))
}

fn j1_of(x: &Formula) -> Formula {
    let low = |x: &Formula| chebyshev(&square_argument(x), series::J1_LOW) * x;
    let y = two_ranges(&x.abs(), 8.0, low, |x| cosine_wave(x, 1.0, series::P1, series::Q1));
    when(&x.lt(0.0), -&y, y)
}

/// Functions with a singularity at 0: -inf or inf there, NaN below.
fn above_zero(x: &Formula, at_zero: f64, y: Formula) -> Formula {
    let y = when(&x.eq(0.0), at_zero, y);
    when(&x.lt(0.0).or(x.is_nan()), f64::NAN, y)
}

fn y0_of(x: &Formula) -> Formula {
    let low = |x: &Formula| {
        let regular = chebyshev(&square_argument(x), series::Y0_LOW);
        regular + x.log() * j0_of(x) * FRAC_2_PI
    };
    let y = two_ranges(x, 8.0, low, |x| sine_wave(x, 0.0, series::P0, series::Q0));
    above_zero(x, f64::NEG_INFINITY, y)
}

fn y1_of(x: &Formula) -> Formula {
    let low = |x: &Formula| {
        let regular = chebyshev(&square_argument(x), series::Y1_LOW) * x;
        regular + (x.log() * j1_of(x) - x.inverse()) * (2.0 * FRAC_1_PI)
    };
    let y = two_ranges(x, 8.0, low, |x| sine_wave(x, 1.0, series::P1, series::Q1));
    above_zero(x, f64::NEG_INFINITY, y)
}

fn scaled_k0_of(x: &Formula) -> Formula {
    let low = |x: &Formula| {
        let regular = chebyshev(&(x.squared() / 2.0 - 1.0), series::K0_LOW);
        let i0 = scaled_i0_of(x) * x.exp();
        (regular - (x / 2.0).log() * i0) * x.exp()
    };
    let high = |x: &Formula| chebyshev(&(number(4.0) / x - 1.0), series::K0_HIGH) / x.sqrt();
    above_zero(x, f64::INFINITY, two_ranges(x, 2.0, low, high))
}

fn scaled_k1_of(x: &Formula) -> Formula {
    let low = |x: &Formula| {
        let regular = chebyshev(&(x.squared() / 2.0 - 1.0), series::K1_LOW);
        let i1 = scaled_i1_of(x) * x.exp();
        ((x / 2.0).log() * i1 + regular / x) * x.exp()
    };
    let high = |x: &Formula| chebyshev(&(number(4.0) / x - 1.0), series::K1_HIGH) / x.sqrt();
    above_zero(x, f64::INFINITY, two_ranges(x, 2.0, low, high))
}
