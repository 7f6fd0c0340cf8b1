//! The canonical form: polynomial arithmetic, and the functions on top of it.
//!
//! Functions on term lists return `None` on overflow or when a limit is hit.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::smallvec;

use super::{
    Atom, Dim, DimExpr, MAX_DEPTH, MAX_NODES, MAX_TERMS, Monomial, Term, ceil_div_i64,
    floor_div_i64, mod_i64,
};

/// Most rewrites that one division may take.
const MAX_STEPS: usize = 256;
/// Most terms that a polynomial division may work on.
const MAX_WORK: usize = 4 * MAX_TERMS;

/// Order of terms in a sum: higher degree first, then lexicographic by atoms. It is a monomial
/// order: multiplying both sides by a monomial keeps it.
fn order(a: &[Atom], b: &[Atom]) -> Ordering {
    b.len().cmp(&a.len()).then_with(|| a.cmp(b))
}

fn constant(k: i64) -> Vec<Term> {
    if k == 0 { Vec::new() } else { vec![Term { coeff: k, atoms: Monomial::new() }] }
}

/// The terms of a `Dim`; `None` for `Any`.
fn terms(d: &Dim) -> Option<Vec<Term>> {
    match d {
        Dim::Known(k) => Some(constant(*k)),
        Dim::Expr(e) => Some(e.terms.clone()),
        Dim::Any => None,
    }
}

/// The value of a term list that is a constant.
fn as_constant(t: &[Term]) -> Option<i64> {
    match t {
        [] => Some(0),
        [only] if only.atoms.is_empty() => Some(only.coeff),
        _ => None,
    }
}

/// Splits off the constant term.
fn split_constant(t: &[Term]) -> (&[Term], i64) {
    match t {
        [rest @ .., last] if last.atoms.is_empty() => (rest, last.coeff),
        _ => (t, 0),
    }
}

/// `a + by * b`.
fn add_scaled(a: &[Term], b: &[Term], by: i64) -> Option<Vec<Term>> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    loop {
        let which = match (a.get(i), b.get(j)) {
            (None, None) => return Some(out),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) => order(&x.atoms, &y.atoms),
        };
        let mut coeff = 0i128;
        let mut atoms = None;
        if which != Ordering::Greater {
            coeff += i128::from(a[i].coeff);
            atoms = Some(&a[i].atoms);
            i += 1;
        }
        if which != Ordering::Less {
            coeff += i128::from(b[j].coeff) * i128::from(by);
            atoms = Some(&b[j].atoms);
            j += 1;
        }
        if let (Some(atoms), true) = (atoms, coeff != 0) {
            out.push(Term { coeff: i64::try_from(coeff).ok()?, atoms: atoms.clone() });
        }
    }
}

fn negate(t: &[Term]) -> Option<Vec<Term>> {
    add_scaled(&[], t, -1)
}

/// Merges two sorted products.
fn mul_monomials(a: &[Atom], b: &[Atom]) -> Monomial {
    let mut out = Monomial::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x <= y {
            out.push(x.clone());
            i += 1;
        } else {
            out.push(y.clone());
            j += 1;
        }
    }
    out.extend(a[i..].iter().chain(&b[j..]).cloned());
    out
}

/// `a / b`, when every factor of `b` is in `a`.
fn div_monomial(a: &[Atom], b: &[Atom]) -> Option<Monomial> {
    let mut out = Monomial::new();
    let mut j = 0;
    for x in a {
        if b.get(j) == Some(x) {
            j += 1;
        } else {
            out.push(x.clone());
        }
    }
    (j == b.len()).then_some(out)
}

/// The factors that both have.
fn common_monomial(a: &[Atom], b: &[Atom]) -> Monomial {
    let mut out = Monomial::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                out.push(x.clone());
                i += 1;
                j += 1;
            }
        }
    }
    out
}

fn mul_terms(a: &[Term], b: &[Term]) -> Option<Vec<Term>> {
    let mut all: Vec<(Monomial, i128)> = Vec::with_capacity(a.len() * b.len());
    for x in a {
        for y in b {
            if x.atoms.len() + y.atoms.len() > MAX_NODES {
                return None;
            }
            let coeff = i128::from(x.coeff) * i128::from(y.coeff);
            all.push((mul_monomials(&x.atoms, &y.atoms), coeff));
        }
    }
    all.sort_by(|x, y| order(&x.0, &y.0));
    let mut out: Vec<Term> = Vec::new();
    let mut all = all.into_iter().peekable();
    while let Some((atoms, mut coeff)) = all.next() {
        while let Some((_, more)) = all.next_if(|next| next.0 == atoms) {
            coeff = coeff.checked_add(more)?;
        }
        if coeff != 0 {
            out.push(Term { coeff: i64::try_from(coeff).ok()?, atoms });
        }
    }
    Some(out)
}

pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Greatest common divisor of the coefficients and `with`; 1 where it does not fit.
pub(super) fn gcd_coeffs(t: &[Term], with: u64) -> i64 {
    let g = t.iter().fold(with, |g, t| gcd(g, t.coeff.unsigned_abs()));
    i64::try_from(g).unwrap_or(1)
}

/// `t / (g * m)`, where that is exact.
fn div_exact(t: &[Term], g: i64, m: &[Atom]) -> Option<Vec<Term>> {
    t.iter()
        .map(|t| {
            let coeff = t.coeff.checked_div(g)?;
            Some(Term { coeff, atoms: div_monomial(&t.atoms, m)? })
        })
        .collect()
}

/// The integer and the monomial that divide every term of both; `None` when both are 1.
fn common_factor(num: &[Term], den: &[Term]) -> Option<(i64, Monomial)> {
    let (first, rest) = den.split_first()?;
    let g = gcd_coeffs(num, gcd_coeffs(den, 0).unsigned_abs());
    let mut m = first.atoms.clone();
    for t in rest.iter().chain(num) {
        if m.is_empty() {
            break;
        }
        m = common_monomial(&m, &t.atoms);
    }
    (g > 1 || !m.is_empty()).then_some((g, m))
}

/// Which residues a polynomial division leaves. Constants over a constant divisor `b` always end in
/// `[0, b)`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Residue {
    /// Of the sign of what was divided.
    Truncated,
    /// In `(-b/2, b/2]`.
    Symmetric,
}

/// `num = q * den + r` with no term of `r` further divisible by the leading term of `den`, whose
/// coefficient must be positive.
fn div_rem(num: &[Term], den: &[Term], residue: Residue) -> Option<(Vec<Term>, Vec<Term>)> {
    let lead = den.first()?;
    let mut quotient = Vec::new();
    let mut work = num.to_vec();
    let mut at = 0;
    while let Some(term) = work.get(at) {
        let q = match div_monomial(&term.atoms, &lead.atoms) {
            None => None,
            Some(atoms) => {
                let q = if term.atoms.is_empty() {
                    floor_div_i64(term.coeff, lead.coeff)?
                } else if residue == Residue::Truncated {
                    term.coeff.checked_div(lead.coeff)?
                } else {
                    let (c, b) = (i128::from(term.coeff), i128::from(lead.coeff));
                    i64::try_from(-((b - 2 * c).div_euclid(2 * b))).ok()?
                };
                (q != 0).then_some(Term { coeff: q, atoms })
            }
        };
        match q {
            None => at += 1,
            Some(q) => {
                if quotient.len() >= MAX_TERMS || work.len() > MAX_WORK {
                    return None;
                }
                let product = mul_terms(den, std::slice::from_ref(&q))?;
                work = add_scaled(&work, &product, -1)?;
                quotient.push(q);
            }
        }
    }
    Some((quotient, work))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Floor,
    Ceil,
}

/// The quotient of two term lists, rounded.
fn divide(mut num: Vec<Term>, mut den: Vec<Term>, mut rounding: Rounding) -> Option<Dim> {
    // The result is `sum + sign * rounding(num / den)` throughout.
    let mut sum = Vec::new();
    let mut sign = 1;
    for _ in 0..MAX_STEPS {
        if num.is_empty() {
            return Some(Dim::build(sum));
        }
        if den.first()?.coeff < 0 {
            num = negate(&num)?;
            den = negate(&den)?;
        }
        let known = as_constant(&den);
        if let (Some(b), Rounding::Ceil) = (known, rounding) {
            num = add_scaled(&num, &constant(b - 1), 1)?;
            rounding = Rounding::Floor;
            continue;
        }
        if let Some((g, m)) = common_factor(&num, &den) {
            num = div_exact(&num, g, &m)?;
            den = div_exact(&den, g, &m)?;
            continue;
        }
        let (q, r) = div_rem(&num, &den, Residue::Truncated)?;
        if !q.is_empty() {
            sum = add_scaled(&sum, &q, sign)?;
            num = r;
            continue;
        }
        if let Some(b) = known {
            let (symbolic, c) = split_constant(&num);
            let Some(lead) = symbolic.first() else {
                // The division left a constant in [0, b).
                return Some(Dim::build(sum));
            };
            // floor((g*x + c) / (g*b)) = floor((x + floor(c/g)) / b)
            let g = gcd_coeffs(symbolic, b.unsigned_abs());
            if g > 1 {
                let x = div_exact(symbolic, g, &[])?;
                num = add_scaled(&x, &constant(floor_div_i64(c, g)?), 1)?;
                den = constant(b / g);
                continue;
            }
            // floor((floor(x/a) + c) / b) = floor((x + a*c) / (a*b))
            if let [Term { coeff: 1, atoms }] = symbolic
                && let [Atom::FloorDiv(x, Dim::Known(a))] = &atoms[..]
                && let (Some(ab), Some(ac), true) = (a.checked_mul(b), a.checked_mul(c), *a > 0)
            {
                num = add_scaled(&terms(x)?, &constant(ac), 1)?;
                den = constant(ab);
                continue;
            }
            // floor(x/b) = -floor((-x + b-1) / b)
            if lead.coeff < 0 {
                num = add_scaled(&constant(b - 1), &num, -1)?;
                sign = -sign;
                continue;
            }
        } else if num.first()?.coeff < 0 {
            // floor(x/y) = -ceil(-x/y)
            num = negate(&num)?;
            sign = -sign;
            rounding = match rounding {
                Rounding::Floor => Rounding::Ceil,
                Rounding::Ceil => Rounding::Floor,
            };
            continue;
        }
        let (num, den) = (Dim::build(num), Dim::build(den));
        if num.is_any() || den.is_any() {
            return None;
        }
        let atom = match rounding {
            Rounding::Floor => Atom::FloorDiv(num, den),
            Rounding::Ceil => Atom::CeilDiv(num, den),
        };
        let last = [Term { coeff: sign, atoms: smallvec![atom] }];
        return Some(Dim::build(add_scaled(&sum, &last, 1)?));
    }
    None
}

/// What floor division leaves.
fn modulo(mut num: Vec<Term>, mut den: Vec<Term>) -> Option<Dim> {
    // The result is `sum + scale * mod(num, den)` throughout.
    let mut sum = Vec::new();
    let mut scale = constant(1);
    for _ in 0..MAX_STEPS {
        if num.is_empty() {
            return Some(Dim::build(sum));
        }
        if den.first()?.coeff < 0 {
            num = negate(&num)?;
            den = negate(&den)?;
            scale = negate(&scale)?;
        }
        if let Some((g, m)) = common_factor(&num, &den) {
            num = div_exact(&num, g, &m)?;
            den = div_exact(&den, g, &m)?;
            scale = mul_terms(&scale, &[Term { coeff: g, atoms: m }])?;
            continue;
        }
        let (q, r) = div_rem(&num, &den, Residue::Symmetric)?;
        if !q.is_empty() {
            num = r;
            continue;
        }
        if let Some(b) = as_constant(&den) {
            let (symbolic, c) = split_constant(&num);
            if symbolic.is_empty() {
                // The division left a constant in [0, b).
                return Some(Dim::build(add_scaled(&sum, &scale, c)?));
            }
            // mod(g*x + c, g*b) = g * mod(x + floor(c/g), b) + mod(c, g)
            let g = gcd_coeffs(symbolic, b.unsigned_abs());
            if g > 1 {
                sum = add_scaled(&sum, &scale, mod_i64(c, g)?)?;
                scale = mul_terms(&scale, &constant(g))?;
                let x = div_exact(symbolic, g, &[])?;
                num = add_scaled(&x, &constant(floor_div_i64(c, g)?), 1)?;
                den = constant(b / g);
                continue;
            }
            if let [Term { coeff: 1, atoms }] = &num[..]
                && let [Atom::Mod(_, Dim::Known(a))] = atoms[..]
                && 0 < a
                && a <= b
            {
                return Some(Dim::build(add_scaled(&sum, &mul_terms(&scale, &num)?, 1)?));
            }
            // k * mod(x, a) and k * x leave the same where b divides k*a.
            let inner = num.iter().find_map(|t| match &t.atoms[..] {
                [Atom::Mod(x, Dim::Known(a))]
                    if i128::from(t.coeff) * i128::from(*a) % i128::from(b) == 0 =>
                {
                    Some((t, x))
                }
                _ => None,
            });
            if let Some((term, x)) = inner {
                let without = add_scaled(&num, std::slice::from_ref(term), -1)?;
                num = add_scaled(&without, &terms(x)?, term.coeff)?;
                continue;
            }
        }
        let (num, den) = (Dim::build(num), Dim::build(den));
        if num.is_any() || den.is_any() {
            return None;
        }
        let last = [Term { coeff: 1, atoms: smallvec![Atom::Mod(num, den)] }];
        return Some(Dim::build(add_scaled(&sum, &mul_terms(&scale, &last)?, 1)?));
    }
    None
}

/// `a - b`, when that is a constant.
pub(super) fn constant_difference(a: &Dim, b: &Dim) -> Option<i128> {
    fn split(d: &Dim) -> Option<(&[Term], i64)> {
        match d {
            Dim::Known(k) => Some((&[], *k)),
            Dim::Expr(e) => Some(split_constant(&e.terms)),
            Dim::Any => None,
        }
    }
    let ((x, c), (y, d)) = (split(a)?, split(b)?);
    (x == y).then(|| i128::from(c) - i128::from(d))
}

impl Dim {
    /// Makes the `Dim` of canonical terms; `Any` over the limits.
    fn build(terms: Vec<Term>) -> Dim {
        if let Some(k) = as_constant(&terms) {
            return Dim::Known(k);
        }
        if terms.len() > MAX_TERMS {
            return Dim::Any;
        }
        let (mut nodes, mut depth) = (0usize, 0usize);
        for term in &terms {
            nodes += 1;
            for atom in &term.atoms {
                nodes += 1;
                let mut below = 0;
                for arg in atom.args() {
                    match arg {
                        Dim::Known(_) => nodes += 1,
                        Dim::Expr(e) => {
                            nodes += e.nodes();
                            below = below.max(e.depth());
                        }
                        Dim::Any => return Dim::Any,
                    }
                }
                depth = depth.max(below + 1);
            }
        }
        if nodes > MAX_NODES || depth > MAX_DEPTH {
            return Dim::Any;
        }
        // Both are below the limits, so the casts keep their values.
        Dim::Expr(Arc::new(DimExpr { terms, nodes: nodes as u32, depth: depth as u32 }))
    }

    /// One summand on its own.
    pub fn of_term(term: &Term) -> Dim {
        Dim::build(vec![term.clone()])
    }

    pub(super) fn from_atom(atom: Atom) -> Dim {
        Dim::build(vec![Term { coeff: 1, atoms: smallvec![atom] }])
    }

    /// The atom, when the expression is one atom and nothing else.
    pub(super) fn bare_atom(&self) -> Option<&Atom> {
        match self {
            Dim::Expr(e) => match &e.terms[..] {
                [Term { coeff: 1, atoms }] => match &atoms[..] {
                    [atom] => Some(atom),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// Puts `f(atom)` in the place of each atom of the polynomial (not of those inside atoms).
    pub(super) fn map_atoms(&self, f: &mut dyn FnMut(&Atom) -> Dim) -> Dim {
        let Dim::Expr(e) = self else { return self.clone() };
        let mut sum = Vec::new();
        for term in &e.terms {
            let mut product = Dim::Known(term.coeff);
            for atom in &term.atoms {
                product = product.mul(&f(atom));
            }
            let next = terms(&product).and_then(|p| add_scaled(&sum, &p, 1));
            let Some(next) = next else { return Dim::Any };
            sum = next;
        }
        Dim::build(sum)
    }

    fn lift(
        &self,
        other: &Dim,
        known: impl Fn(i64, i64) -> Option<i64>,
        general: impl Fn(Vec<Term>, Vec<Term>) -> Option<Dim>,
    ) -> Dim {
        let result = match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => known(*a, *b).map(Dim::Known),
            _ => terms(self).zip(terms(other)).and_then(|(a, b)| general(a, b)),
        };
        result.unwrap_or(Dim::Any)
    }

    /// The sum.
    pub fn add(&self, other: &Dim) -> Dim {
        self.lift(other, i64::checked_add, |a, b| add_scaled(&a, &b, 1).map(Dim::build))
    }

    /// The difference.
    pub fn sub(&self, other: &Dim) -> Dim {
        self.lift(other, i64::checked_sub, |a, b| add_scaled(&a, &b, -1).map(Dim::build))
    }

    /// The product.
    pub fn mul(&self, other: &Dim) -> Dim {
        self.lift(other, i64::checked_mul, |a, b| mul_terms(&a, &b).map(Dim::build))
    }

    /// The value with the other sign.
    pub fn neg(&self) -> Dim {
        Dim::Known(0).sub(self)
    }

    /// The quotient rounded towards negative infinity. Parts that divide exactly leave the
    /// division, and common factors cancel.
    pub fn floor_div(&self, by: &Dim) -> Dim {
        self.lift(by, floor_div_i64, |a, b| divide(a, b, Rounding::Floor))
    }

    /// The quotient rounded towards positive infinity.
    pub fn ceil_div(&self, by: &Dim) -> Dim {
        self.lift(by, ceil_div_i64, |a, b| divide(a, b, Rounding::Ceil))
    }

    /// What [`Dim::floor_div`] leaves: zero, or of the sign of `by`.
    pub fn rem(&self, by: &Dim) -> Dim {
        self.lift(by, mod_i64, modulo)
    }

    /// The smaller of the two values. On an owned receiver write `Dim::min(&a, &b)`: there
    /// `a.min(b)` is [`Ord::min`].
    pub fn min(&self, other: &Dim) -> Dim {
        Dim::min_all([self.clone(), other.clone()])
    }

    /// The greater of the two values. On an owned receiver write `Dim::max(&a, &b)`: there
    /// `a.max(b)` is [`Ord::max`].
    pub fn max(&self, other: &Dim) -> Dim {
        Dim::max_all([self.clone(), other.clone()])
    }

    /// The smallest of the values; `i64::MAX` for none.
    pub fn min_all(args: impl IntoIterator<Item = Dim>) -> Dim {
        extremum(args.into_iter(), false)
    }

    /// The greatest of the values; `i64::MIN` for none.
    pub fn max_all(args: impl IntoIterator<Item = Dim>) -> Dim {
        extremum(args.into_iter(), true)
    }

    /// The size that two axes have together when they are equal or one of them is 1. Two known
    /// sizes that do not fit give `Any`.
    pub fn broadcast(&self, other: &Dim) -> Dim {
        Dim::broadcast_all([self.clone(), other.clone()])
    }

    /// The size that all the axes have together; 1 for none.
    pub fn broadcast_all(args: impl IntoIterator<Item = Dim>) -> Dim {
        let mut known = 1;
        let mut list: Vec<Dim> = Vec::new();
        for arg in args {
            match (&arg, arg.bare_atom()) {
                (Dim::Any, _) => return Dim::Any,
                (Dim::Known(k), _) => match (known, *k) {
                    (_, 1) => {}
                    (1, k) => known = k,
                    (known, k) if known == k => {}
                    _ => return Dim::Any,
                },
                (_, Some(Atom::Broadcast(inner))) => list.extend(inner.iter().cloned()),
                _ => list.push(arg),
            }
            if list.len() > MAX_NODES {
                return Dim::Any;
            }
        }
        if known != 1 {
            // Wherever this has a value, it is that one.
            return Dim::Known(known);
        }
        list.sort();
        list.dedup();
        // `min(a, k)` with k above 1 says nothing beside `a`: where it is not a it is k, which
        // is neither a nor 1, and then there is no value.
        let all = list.clone();
        list.retain(|arg| match arg.bare_atom() {
            Some(Atom::Min(of)) => {
                let beside = |d: &Dim| d != arg && all.contains(d);
                let bound = |d: &Dim| d.as_known().is_some_and(|k| k > 1);
                !(of.iter().any(beside) && of.iter().all(|d| beside(d) || bound(d)))
            }
            _ => true,
        });
        match list.len() {
            0 => Dim::Known(1),
            1 => list.swap_remove(0),
            _ => Dim::from_atom(Atom::Broadcast(list)),
        }
    }
}

/// The smallest or, with `greatest`, the greatest value of a list.
fn extremum(args: impl Iterator<Item = Dim>, greatest: bool) -> Dim {
    // Of all values, `absorbing` is always the result and `neutral` never matters.
    let (absorbing, neutral) = if greatest { (i64::MAX, i64::MIN) } else { (i64::MIN, i64::MAX) };
    // Whether a value that differs from another by `difference` is the result of the two.
    let wins = |difference: i128| if greatest { difference >= 0 } else { difference <= 0 };
    let mut list: Vec<Dim> = Vec::new();
    for arg in args {
        let flat = match arg.bare_atom() {
            Some(Atom::Max(inner)) if greatest => inner.clone(),
            Some(Atom::Min(inner)) if !greatest => inner.clone(),
            _ if arg.is_any() => return Dim::Any,
            _ => vec![arg],
        };
        for arg in flat {
            match list.iter_mut().find_map(|k| Some((constant_difference(&arg, k)?, k))) {
                Some((difference, kept)) => {
                    if wins(difference) {
                        *kept = arg;
                    }
                }
                None => list.push(arg),
            }
        }
        if list.len() > MAX_NODES {
            return Dim::Any;
        }
    }
    if list.contains(&Dim::Known(absorbing)) {
        return Dim::Known(absorbing);
    }
    list.retain(|d| *d != Dim::Known(neutral));
    // max(x, min(x, y)) = x
    let kept: Vec<bool> = list
        .iter()
        .map(|d| {
            let inner = match d.bare_atom() {
                Some(Atom::Min(inner)) if greatest => inner,
                Some(Atom::Max(inner)) if !greatest => inner,
                _ => return true,
            };
            !list
                .iter()
                .any(|other| inner.iter().any(|x| constant_difference(other, x).is_some_and(wins)))
        })
        .collect();
    let mut at = kept.into_iter();
    list.retain(|_| at.next().unwrap_or(true));
    list.sort();
    match list.len() {
        0 => Dim::Known(neutral),
        1 => list.swap_remove(0),
        _ => Dim::from_atom(if greatest { Atom::Max(list) } else { Atom::Min(list) }),
    }
}

/// `floor(x / b)` in a form that is the same for every way to write it: residues are symmetric, and
/// of `floor(x/b)` and `-floor((-x + b-1)/b)` the one with the lesser numerator is taken.
fn floor_by_known(x: &Dim, b: i64) -> Option<Dim> {
    let den = constant(b);
    let x = terms(x)?;
    let (q, r) = div_rem(&x, &den, Residue::Symmetric)?;
    let flipped = add_scaled(&constant(b.checked_sub(1)?), &x, -1)?;
    let (p, s) = div_rem(&flipped, &den, Residue::Symmetric)?;
    let (sum, num, sign) = if r <= s { (q, r, 1) } else { (negate(&p)?, s, -1) };
    if as_constant(&num).is_some() {
        return Some(Dim::build(sum));
    }
    let num = Dim::build(num);
    if num.is_any() {
        return None;
    }
    let atom = Atom::FloorDiv(num, Dim::Known(b));
    let last = [Term { coeff: sign, atoms: smallvec![atom] }];
    Some(Dim::build(add_scaled(&sum, &last, 1)?))
}

/// Most functions that [`expanded`] rewrites.
const MAX_EXPANDED: usize = 1000;

/// A form that identifies more expressions than the canonical one and reads worse. `mod` is
/// written as a floor division. The result is for comparing and not for keeping: it holds floor
/// divisions that the constructors write in another way.
pub(super) fn expanded(d: &Dim) -> Dim {
    expand(d, &mut { MAX_EXPANDED })
}

fn expand(d: &Dim, fuel: &mut usize) -> Dim {
    d.map_atoms(&mut |atom| {
        let Some(left) = fuel.checked_sub(1) else { return Dim::Any };
        *fuel = left;
        match atom {
            Atom::Mod(x, y) => {
                let floor = expand(&x.floor_div(y), fuel);
                expand(x, fuel).sub(&expand(y, fuel).mul(&floor))
            }
            Atom::FloorDiv(x, Dim::Known(b)) if *b > 0 => {
                floor_by_known(&expand(x, fuel), *b).unwrap_or(Dim::Any)
            }
            other => other.rebuild(&mut |d| expand(d, fuel)),
        }
    })
}
