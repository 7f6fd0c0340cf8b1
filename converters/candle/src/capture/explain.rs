//! Numbers of several runs as expressions of the sizes.

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;

/// The symbolic sizes, and their values in every run.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    symbols: Vec<SymbolId>,
    /// One list per run, in the order of the symbols.
    runs: Vec<Vec<i64>>,
    /// Symbolic sizes met so far, with their values in every run.
    met: Vec<(Vec<i64>, Dim)>,
}

/// A number of the program.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// The same in every run.
    Known(f64),
    /// A size.
    Size(Dim),
    /// One divided by a size.
    Inverse(Dim),
}

/// The most sizes met that are tried for an expression.
const MOST_MET: usize = 256;

impl Sizes {
    /// Sizes of these symbols, with their values in every run.
    pub fn new(symbols: Vec<SymbolId>, runs: Vec<Vec<i64>>) -> Self {
        let mut out = Self { symbols, runs, met: Vec::new() };
        for symbol in out.symbols.clone() {
            out.meet(&Dim::symbol(symbol));
        }
        out
    }

    /// The values of an expression in every run, where it has one in all.
    pub fn values(&self, dim: &Dim) -> Option<Vec<i64>> {
        let at = |run: &Vec<i64>| {
            let value = |s: SymbolId| {
                let i = self.symbols.iter().position(|&x| x == s)?;
                run.get(i).copied()
            };
            dim.eval(&value)
        };
        self.runs.iter().map(at).collect()
    }

    /// Remembers a size that the program has.
    pub fn meet(&mut self, dim: &Dim) {
        if dim.as_known().is_some() || self.met.len() >= MOST_MET {
            return;
        }
        if let Some(values) = self.values(dim)
            && !self.met.iter().any(|(v, _)| *v == values)
        {
            self.met.push((values, dim.clone()));
        }
    }

    /// An expression that has these values, tried in this order: a constant; a size of `near`, or
    /// one met before; a linear expression of one of them, of all symbols; a multiple of a product.
    pub fn explain(&self, values: &[i64], near: &[Dim]) -> Option<Dim> {
        let (&first, rest) = values.split_first()?;
        if rest.iter().all(|&v| v == first) {
            return Some(Dim::Known(first));
        }
        let near: Vec<(Vec<i64>, Dim)> = near
            .iter()
            .filter(|d| d.as_known().is_none())
            .filter_map(|d| Some((self.values(d)?, d.clone())))
            .collect();
        let all = || near.iter().chain(&self.met);
        all()
            .find(|(v, _)| v == values)
            .map(|(_, d)| d.clone())
            .or_else(|| all().find_map(|(v, d)| linear(values, v, d)))
            .or_else(|| self.linear_in_all(values))
            .or_else(|| products(values, &near))
            .or_else(|| products(values, &self.met[..self.met.len().min(24)]))
    }

    /// An expression, or a number that depends on one.
    pub fn number(&self, values: &[f64], near: &[Dim]) -> Option<Number> {
        let (&first, rest) = values.split_first()?;
        if rest.iter().all(|v| v.to_bits() == first.to_bits()) {
            return Some(Number::Known(first));
        }
        let whole = |v: &f64| (v.fract() == 0. && v.abs() < 9e15).then_some(*v as i64);
        if let Some(ints) = values.iter().map(whole).collect::<Option<Vec<i64>>>() {
            return self.explain(&ints, near).map(Number::Size);
        }
        let inverse = |v: &f64| {
            let n = (1. / v).round();
            (n != 0. && 1. / n == *v).then_some(n as i64)
        };
        let ints = values.iter().map(inverse).collect::<Option<Vec<i64>>>()?;
        self.explain(&ints, near).map(Number::Inverse)
    }

    /// `c + a * s + b * t ...` from runs that differ in one symbol.
    fn linear_in_all(&self, values: &[i64]) -> Option<Dim> {
        let base = self.runs.first()?;
        let mut sum = Dim::Known(0);
        for (i, &symbol) in self.symbols.iter().enumerate() {
            let alone = |run: &Vec<i64>| {
                run.iter().zip(base).enumerate().all(|(j, (a, b))| (a == b) != (i == j))
            };
            let Some(other) = self.runs.iter().position(alone) else { continue };
            let step = self.runs[other][i].checked_sub(base[i])?;
            let rise = values.get(other)?.checked_sub(values[0])?;
            let slope = exact(rise, step)?;
            sum = &sum + &(&Dim::Known(slope) * &Dim::symbol(symbol));
        }
        let at_base = *self.values(&sum)?.first()?;
        let sum = &sum + &Dim::Known(values[0].checked_sub(at_base)?);
        (self.values(&sum)? == values).then_some(sum)
    }
}

/// A quotient without remainder.
fn exact(a: i64, b: i64) -> Option<i64> {
    if a.checked_rem(b)? == 0 { a.checked_div(b) } else { None }
}

/// `a * dim + b` with these values.
fn linear(values: &[i64], of: &[i64], dim: &Dim) -> Option<Dim> {
    let other = of.iter().position(|v| *v != of[0])?;
    let (step, rise) = (of[other].checked_sub(of[0])?, values[other].checked_sub(values[0])?);
    let a = exact(rise, step)?;
    let b = values[0].checked_sub(a.checked_mul(of[0])?)?;
    let fits = |(v, d): (&i64, &i64)| a.checked_mul(*d).and_then(|x| x.checked_add(b)) == Some(*v);
    let fits = values.iter().zip(of).all(fits);
    fits.then(|| &(&Dim::Known(a) * dim) + &Dim::Known(b))
}

/// A multiple of a product of two or three of these sizes.
fn products(values: &[i64], sizes: &[(Vec<i64>, Dim)]) -> Option<Dim> {
    for (i, (a, da)) in sizes.iter().enumerate() {
        for (j, (b, db)) in sizes.iter().enumerate().skip(i) {
            let pair = times(a, b)?;
            let product = da * db;
            if let Some(found) = linear(values, &pair, &product) {
                return Some(found);
            }
            for (c, dc) in sizes.iter().skip(j) {
                if let Some(found) = linear(values, &times(&pair, c)?, &(&product * dc)) {
                    return Some(found);
                }
            }
        }
    }
    None
}

fn times(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    a.iter().zip(b).map(|(x, y)| x.checked_mul(*y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> (Sizes, Dim, Dim) {
        let (b, s) = (SymbolId(0), SymbolId(1));
        let runs = vec![vec![2, 7], vec![3, 7], vec![5, 7], vec![2, 11], vec![2, 13], vec![5, 13]];
        (Sizes::new(vec![b, s], runs), Dim::symbol(b), Dim::symbol(s))
    }

    fn of(sizes: &Sizes, f: impl Fn(i64, i64) -> i64) -> Vec<i64> {
        sizes.runs.iter().map(|r| f(r[0], r[1])).collect()
    }

    #[test]
    fn sums_and_products_are_found() {
        let (z, b, s) = sizes();
        let expect = |f: &dyn Fn(i64, i64) -> i64, want: Option<Dim>| {
            assert_eq!(z.explain(&of(&z, f), &[]), want);
        };
        expect(&|_, _| 4, Some(Dim::Known(4)));
        expect(&|b, _| b, Some(b.clone()));
        expect(&|_, s| 2 * s - 1, Some(&(&Dim::Known(2) * &s) - &Dim::Known(1)));
        expect(&|b, s| 3 * b + s, Some(&(&Dim::Known(3) * &b) + &s));
        expect(&|b, s| 12 * b * s, Some(&Dim::Known(12) * &(&b * &s)));
        expect(&|b, s| b * s * s, Some(&b * &(&s * &s)));
        // Not one of these, and not a guess either.
        expect(&|_, s| if s == 11 { 5 } else { s }, None);
    }

    #[test]
    fn sizes_nearby_are_preferred_and_others_remembered() {
        let (mut z, _, s) = sizes();
        let half = s.floor_div(&Dim::Known(2));
        let values = of(&z, |_, s| s / 2);
        assert_eq!(z.explain(&values, &[]), None);
        assert_eq!(z.explain(&values, &[half.clone()]), Some(half.clone()));
        z.meet(&half);
        assert_eq!(z.explain(&values, &[]), Some(half));
    }

    #[test]
    fn numbers_may_be_sizes_or_parts_of_one() {
        let (z, _, s) = sizes();
        let floats = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
            z.runs.iter().map(|r| f(r[1] as f64)).collect()
        };
        assert_eq!(z.number(&floats(&|_| 0.1), &[]), Some(Number::Known(0.1)));
        assert_eq!(z.number(&floats(&|s| 1. / s), &[]), Some(Number::Inverse(s.clone())));
        assert_eq!(z.number(&floats(&|s| s), &[]), Some(Number::Size(s)));
        assert_eq!(z.number(&floats(&|s| s.sqrt()), &[]), None);
    }
}
