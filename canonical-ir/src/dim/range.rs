//! What is known about the values of sizes: intervals, proofs, and simplification by them.

use super::expr::{constant_difference, expanded, gcd, gcd_coeffs};
use super::{Atom, Dim};
use crate::entity::SymbolId;

/// An interval of integers, both ends included. `None` means no bound on that side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Range {
    /// The least value, if there is one.
    pub min: Option<i64>,
    /// The greatest value, if there is one.
    pub max: Option<i64>,
}

/// Greatest common multiple of divisors that [`Dim::range`] works with.
const MAX_COMMON_DIVISOR: i64 = 1 << 20;

/// An end of an interval, ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Low,
    At(i128),
    High,
}

impl End {
    fn sign(self) -> i128 {
        match self {
            End::Low => -1,
            End::At(v) => v.signum(),
            End::High => 1,
        }
    }

    /// Saturates: what leaves `i128` is no bound.
    fn mul(self, other: End) -> End {
        let infinite = || match self.sign() * other.sign() {
            0 => End::At(0),
            1.. => End::High,
            _ => End::Low,
        };
        match (self, other) {
            (End::At(a), End::At(b)) => a.checked_mul(b).map_or_else(infinite, End::At),
            _ => infinite(),
        }
    }

    /// The quotient by a positive end, rounded down, or up.
    fn div(self, by: End, up: bool) -> End {
        match (self, by) {
            (End::At(a), End::At(b)) => {
                let b = b.max(1);
                End::At(a.div_euclid(b) + i128::from(up && a.rem_euclid(b) != 0))
            }
            (End::At(a), _) => match (a.signum(), up) {
                (1, true) => End::At(1),
                (-1, false) => End::At(-1),
                _ => End::At(0),
            },
            // The divisor is finite; how great does not matter.
            (end, _) => end,
        }
    }
}

impl Range {
    /// Every integer.
    pub const FULL: Range = Range { min: None, max: None };
    /// Zero and above.
    pub const NONNEG: Range = Range { min: Some(0), max: None };
    /// One and above.
    pub const POSITIVE: Range = Range { min: Some(1), max: None };

    /// The interval with these ends.
    pub fn new(min: Option<i64>, max: Option<i64>) -> Range {
        Range { min, max }
    }

    /// One value only.
    pub fn exactly(value: i64) -> Range {
        Range { min: Some(value), max: Some(value) }
    }

    /// The value, when there is only one.
    pub fn as_known(&self) -> Option<i64> {
        self.min.filter(|min| self.max == Some(*min))
    }

    /// Whether the value is inside.
    pub fn contains(&self, value: i64) -> bool {
        self.min.is_none_or(|m| m <= value) && self.max.is_none_or(|m| value <= m)
    }

    /// Whether no value is inside: the bounds contradict each other.
    pub fn is_empty(&self) -> bool {
        matches!((self.min, self.max), (Some(a), Some(b)) if a > b)
    }

    /// What is inside both.
    pub fn intersect(&self, other: &Range) -> Range {
        let max = match (self.max, other.max) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Range { min: self.min.max(other.min), max }
    }

    /// The least interval around both.
    pub fn hull(&self, other: &Range) -> Range {
        Range {
            min: self.min.zip(other.min).map(|(a, b)| a.min(b)),
            max: self.max.zip(other.max).map(|(a, b)| a.max(b)),
        }
    }

    fn ends(&self) -> (End, End) {
        (
            self.min.map_or(End::Low, |v| End::At(i128::from(v))),
            self.max.map_or(End::High, |v| End::At(i128::from(v))),
        )
    }

    /// The narrowest range that holds the interval, with ends moved outwards to fit `i64`.
    fn of_ends(low: End, high: End) -> Range {
        let (least, greatest) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let fit = |v: i128| i64::try_from(v.clamp(least, greatest)).ok();
        Range {
            min: match low {
                End::At(v) if v >= least => fit(v),
                End::High => Some(i64::MAX),
                _ => None,
            },
            max: match high {
                End::At(v) if v <= greatest => fit(v),
                End::Low => Some(i64::MIN),
                _ => None,
            },
        }
    }

    fn add(&self, other: &Range) -> Range {
        let sum = |a: Option<i64>, b: Option<i64>| Some(i128::from(a?) + i128::from(b?));
        Range::of_ends(
            sum(self.min, other.min).map_or(End::Low, End::At),
            sum(self.max, other.max).map_or(End::High, End::At),
        )
    }

    fn mul(&self, other: &Range) -> Range {
        let ((a, b), (c, d)) = (self.ends(), other.ends());
        let corners = [a.mul(c), a.mul(d), b.mul(c), b.mul(d)];
        Range::of_ends(
            corners.into_iter().min().unwrap_or(End::Low),
            corners.into_iter().max().unwrap_or(End::High),
        )
    }

    fn neg(&self) -> Range {
        self.mul(&Range::exactly(-1))
    }

    /// The positive and the negative part of a divisor, the latter with its sign turned.
    fn divisors(&self) -> [Option<Range>; 2] {
        let positive = |r: Range| Some(r.intersect(&Range::POSITIVE)).filter(|r| !r.is_empty());
        [positive(*self), positive(self.neg())]
    }

    fn div(&self, by: &Range, up: bool) -> Range {
        let [plus, minus] = by.divisors();
        let over = |num: Range, den: Range| {
            let ((a, b), (c, d)) = (num.ends(), den.ends());
            Range::of_ends(a.div(c, up).min(a.div(d, up)), b.div(c, up).max(b.div(d, up)))
        };
        match (plus.map(|d| over(*self, d)), minus.map(|d| over(self.neg(), d))) {
            (Some(a), Some(b)) => a.hull(&b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => Range::FULL,
        }
    }

    fn rem(&self, by: &Range) -> Range {
        let over = |num: Range, den: Range| {
            let mut out = Range { min: Some(0), max: den.max.map(|d| d.saturating_sub(1)) };
            if num.min.is_some_and(|v| v >= 0) {
                if num.max.zip(den.min).is_some_and(|(n, d)| n < d) {
                    return num;
                }
                out = out.intersect(&Range { min: None, max: num.max });
            }
            out
        };
        let [plus, minus] = by.divisors();
        match (plus.map(|d| over(*self, d)), minus.map(|d| over(self.neg(), d).neg())) {
            (Some(a), Some(b)) => a.hull(&b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => Range::FULL,
        }
    }
}

impl Atom {
    fn range(&self, sym: &dyn Fn(SymbolId) -> Range) -> Range {
        match self {
            Atom::Symbol(s) => sym(*s),
            Atom::FloorDiv(a, b) => a.interval(sym).div(&b.interval(sym), false),
            Atom::CeilDiv(a, b) => a.interval(sym).div(&b.interval(sym), true),
            Atom::Mod(a, b) => a.interval(sym).rem(&b.interval(sym)),
            Atom::Min(v) => {
                let ranges = v.iter().map(|d| d.interval(sym));
                ranges
                    .reduce(|a, b| Range {
                        min: a.min.zip(b.min).map(|(a, b)| a.min(b)),
                        max: a.intersect(&b).max,
                    })
                    .unwrap_or_default()
            }
            Atom::Max(v) => {
                let ranges = v.iter().map(|d| d.interval(sym));
                ranges
                    .reduce(|a, b| Range {
                        min: a.min.max(b.min),
                        max: a.max.zip(b.max).map(|(a, b)| a.max(b)),
                    })
                    .unwrap_or_default()
            }
            Atom::Broadcast(v) => {
                // The result is one of the arguments, and is equal to each that is not 1.
                let ranges: Vec<Range> = v.iter().map(|d| d.interval(sym)).collect();
                let hull = ranges.iter().copied().reduce(|a, b| a.hull(&b)).unwrap_or_default();
                let narrow =
                    ranges.iter().filter(|r| !r.contains(1)).fold(hull, |a, b| a.intersect(b));
                if narrow.is_empty() { hull } else { narrow }
            }
        }
    }
}

impl Dim {
    /// Bounds of the value, given bounds of the symbols: every value that [`Dim::eval`] gives for
    /// symbols within their ranges is inside. They need not be the narrowest.
    pub fn range(&self, sym: &dyn Fn(SymbolId) -> Range) -> Range {
        let plain = self.interval(sym);
        match self.range_over_common_divisor(sym) {
            Some(other) => plain.intersect(&other),
            None => plain,
        }
    }

    /// Interval arithmetic term by term.
    fn interval(&self, sym: &dyn Fn(SymbolId) -> Range) -> Range {
        let e = match self {
            Dim::Known(k) => return Range::exactly(*k),
            Dim::Any => return Range::FULL,
            Dim::Expr(e) => e,
        };
        let mut sum = Range::exactly(0);
        for term in e.terms() {
            let mut product = Range::exactly(term.coeff());
            for same in term.atoms().chunk_by(|a, b| a == b) {
                let Some(atom) = same.first() else { continue };
                let base = atom.range(sym);
                let mut power = (1..same.len()).fold(base, |p, _| p.mul(&base));
                if same.len() % 2 == 0 {
                    power = power.intersect(&Range::NONNEG);
                }
                product = product.mul(&power);
            }
            sum = sum.add(&product);
        }
        sum
    }

    /// Bounds by `(x - b + 1) / b <= floordiv(x, b) <= x / b`: with `m` a common multiple of all
    /// such `b`, `m` times the expression is a polynomial without these divisions plus a known
    /// slack. In it, terms cancel that interval arithmetic counts twice.
    fn range_over_common_divisor(&self, sym: &dyn Fn(SymbolId) -> Range) -> Option<Range> {
        let Dim::Expr(e) = self else { return None };
        let mut multiple = 1i64;
        for term in e.terms() {
            if let [Atom::FloorDiv(_, Dim::Known(b))] = term.atoms() {
                let g = i64::try_from(gcd(multiple.unsigned_abs(), b.unsigned_abs())).ok()?;
                multiple = multiple.checked_mul(b.checked_div(g)?)?;
                if *b < 1 || multiple > MAX_COMMON_DIVISOR {
                    return None;
                }
            }
        }
        if multiple == 1 {
            return None;
        }
        let mut slack = Range::exactly(0);
        let mut rest = self.clone();
        let mut scaled = Dim::Known(0);
        for term in e.terms() {
            if let [atom @ Atom::FloorDiv(x, Dim::Known(b))] = term.atoms() {
                let factor = term.coeff().checked_mul(multiple / b)?;
                scaled = scaled.add(&x.mul(&Dim::Known(factor)));
                rest = rest.sub(&Dim::from_atom(atom.clone()).mul(&Dim::Known(term.coeff())));
                let error = Range::new(Some(1 - b), Some(0));
                slack = slack.add(&error.mul(&Range::exactly(factor)));
            }
        }
        let scaled = scaled.add(&rest.mul(&Dim::Known(multiple)));
        if scaled.is_any() {
            return None;
        }
        let sum = scaled.interval(sym).add(&slack);
        let by = End::At(i128::from(multiple));
        let (low, high) = sum.ends();
        Some(Range::of_ends(low.div(by, true), high.div(by, false)))
    }

    /// Whether the value is provably never negative.
    pub fn is_nonneg(&self, sym: &dyn Fn(SymbolId) -> Range) -> bool {
        !self.is_any() && self.range(sym).min.is_some_and(|m| m >= 0)
    }

    /// Whether both provably have the same value wherever both have one. `false` says nothing.
    pub fn proves_eq(&self, other: &Dim, sym: &dyn Fn(SymbolId) -> Range) -> bool {
        if self.is_any() || other.is_any() {
            return false;
        }
        let difference = self.sub(other);
        let is_zero = |d: &Dim| *d == Dim::Known(0);
        is_zero(&difference)
            || !difference.is_any()
                && (difference.range(sym).as_known() == Some(0)
                    || is_zero(&expanded(&difference))
                    || is_zero(&difference.simplify(sym)))
    }

    /// Whether both provably differ wherever both have a value. `false` says nothing.
    pub fn proves_ne(&self, other: &Dim, sym: &dyn Fn(SymbolId) -> Range) -> bool {
        let difference = self.sub(other);
        match &difference {
            Dim::Known(k) => *k != 0,
            Dim::Any => false,
            Dim::Expr(e) => {
                if let [rest @ .., last] = e.terms()
                    && last.atoms().is_empty()
                    && last.coeff() % gcd_coeffs(rest, 0).max(1) != 0
                {
                    return true;
                }
                let range = difference.range(sym);
                !range.contains(0) && !range.is_empty()
            }
        }
    }

    /// Resolves what the bounds of the symbols decide: minima and maxima of which one side always
    /// wins, broadcasts with a size that is never 1, remainders and quotients of small numerators,
    /// and whatever can have one value only.
    pub fn simplify(&self, sym: &dyn Fn(SymbolId) -> Range) -> Dim {
        let out = self.map_atoms(&mut |atom| {
            let range = atom.range(sym);
            if let Some(k) = range.as_known() {
                return Dim::Known(k);
            }
            match atom {
                Atom::Symbol(s) => Dim::symbol(*s),
                Atom::Min(v) => Dim::min_all(undominated(v, sym, false)),
                Atom::Max(v) => Dim::max_all(undominated(v, sym, true)),
                Atom::Broadcast(v) => {
                    let v: Vec<Dim> = v.iter().map(|d| d.simplify(sym)).collect();
                    match v.iter().find(|d| !d.is_any() && !d.range(sym).contains(1)) {
                        Some(size) => size.clone(),
                        None => Dim::broadcast_all(v),
                    }
                }
                Atom::Mod(x, y) => {
                    let (x, y) = (x.simplify(sym), y.simplify(sym));
                    let below = y.sub(&x).range(sym).min.is_some_and(|m| m >= 1);
                    if below && x.is_nonneg(sym) { x } else { x.rem(&y) }
                }
                other => other.rebuild(&mut |d| d.simplify(sym)),
            }
        });
        if out.is_any() {
            return self.clone();
        }
        match out.range(sym).as_known() {
            Some(k) => Dim::Known(k),
            None => out,
        }
    }
}

/// The simplified arguments without those that another one always beats.
fn undominated(args: &[Dim], sym: &dyn Fn(SymbolId) -> Range, greatest: bool) -> Vec<Dim> {
    let mut kept: Vec<Dim> = Vec::new();
    let beats = |a: &Dim, b: &Dim| {
        if constant_difference(a, b).is_some() {
            // The constructors resolve these.
            return false;
        }
        let (high, low) = if greatest { (a, b) } else { (b, a) };
        // An unbounded value is still an i64.
        let always = |known: &Dim, end: i64| known.as_known() == Some(end);
        always(high, i64::MAX) || always(low, i64::MIN) || high.sub(low).is_nonneg(sym)
    };
    for arg in args.iter().map(|d| d.simplify(sym)) {
        if kept.iter().any(|k| beats(k, &arg)) {
            continue;
        }
        kept.retain(|k| !beats(&arg, k));
        kept.push(arg);
    }
    kept
}
