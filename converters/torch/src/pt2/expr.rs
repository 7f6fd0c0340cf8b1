//! Symbolic sizes: expressions as `sympy.srepr` writes them.

use airconv_ir::dim::{Atom, Dim, Term};
use airconv_ir::entity::SymbolId;

use super::infix;

/// The deepest nesting that is read.
pub(super) const MAX_DEPTH: usize = 64;

/// Reads an expression; `symbol` gives the size of a name.
pub(crate) fn parse(text: &str, symbol: &mut dyn FnMut(&str) -> Dim) -> Result<Dim, String> {
    if infix::is_infix(text) {
        return infix::parse(text, symbol);
    }
    let mut parser = Parser { rest: text, symbol };
    let value = parser.expr(0)?;
    match parser.rest.trim() {
        "" => value.whole().ok_or_else(|| "it is no whole number".to_owned()),
        left => Err(format!("`{left}` is left over")),
    }
}

/// The value of a part of an expression: a size over a positive number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ratio {
    size: Dim,
    by: i64,
}

/// The greatest divisor, and numerator of a constant, that are computed with.
const MAX_RATIO: i64 = 1 << 31;

impl Ratio {
    fn new(size: Dim, by: i64) -> Result<Self, String> {
        match by {
            1..=MAX_RATIO if size.as_known().is_some_and(|n| n % by == 0) => {
                Ok(Self { size: size.floor_div(&Dim::Known(by)), by: 1 })
            }
            0 => Err("it divides by zero".to_owned()),
            1..=MAX_RATIO => Ok(Self { size, by }),
            _ if (-MAX_RATIO..0).contains(&by) => Ok(Self { size: size.neg(), by: -by }),
            _ => Err(format!("the divisor {by}")),
        }
    }
    pub(super) fn int(size: impl Into<Dim>) -> Self {
        Self { size: size.into(), by: 1 }
    }
    /// A float as a fraction, which most factors of sizes are.
    pub(super) fn float(value: f64) -> Result<Self, String> {
        let mut by = 1i64;
        while by <= MAX_RATIO {
            let size = value * by as f64;
            if size.fract() == 0.0 && size.abs() <= MAX_RATIO as f64 {
                return Ok(Self::int(size as i64).over(by));
            }
            by *= 2;
        }
        Err(format!("the factor {value}"))
    }
    fn over(self, by: i64) -> Self {
        Self { size: self.size, by }
    }
    /// The size, if it is not divided by anything.
    pub(super) fn whole(self) -> Option<Dim> {
        match (self.by, &self.size) {
            (1, _) => Some(self.size),
            (by, Dim::Known(n)) if n % by == 0 => Some(Dim::Known(n / by)),
            _ => None,
        }
    }
    pub(super) fn floor(&self) -> Dim {
        self.size.floor_div(&Dim::Known(self.by))
    }
    fn ceil(&self) -> Dim {
        self.size.ceil_div(&Dim::Known(self.by))
    }
    pub(super) fn times(&self, other: &Self) -> Result<Self, String> {
        let by = self.by.checked_mul(other.by).ok_or("the divisors are too great")?;
        Self::new(self.size.mul(&other.size), by)
    }
    pub(super) fn plus(&self, other: &Self) -> Result<Self, String> {
        let by = self.by.checked_mul(other.by).ok_or("the divisors are too great")?;
        let (a, b) = (self.size.mul(&other.by.into()), other.size.mul(&self.by.into()));
        match self.by == other.by {
            true => Self::new(self.size.add(&other.size), self.by),
            false => Self::new(a.add(&b), by),
        }
    }
    pub(super) fn divided(&self, other: &Self) -> Result<Self, String> {
        match other.size.as_known() {
            Some(n) => Self::new(self.size.mul(&other.by.into()), 1)?
                .times(&Self::new(1.into(), n)?)?
                .times(&Self::new(1.into(), self.by)?),
            None => Err("it divides by a size and keeps the fraction".to_owned()),
        }
    }
}

struct Parser<'t, 's> {
    rest: &'t str,
    symbol: &'s mut dyn FnMut(&str) -> Dim,
}

impl<'t> Parser<'t, '_> {
    fn skip(&mut self, token: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
    fn word(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }
    fn quoted(&mut self) -> Result<&'t str, String> {
        let inner = self.rest.trim_start().strip_prefix('\'').ok_or("a name is missing")?;
        let (name, rest) = inner.split_once('\'').ok_or("a name does not end")?;
        self.rest = rest;
        Ok(name)
    }
    /// What is said of a name besides, such as `positive=True`, and the bracket.
    fn options(&mut self) -> Result<(), String> {
        while self.skip(',') {
            self.word();
            if self.skip('=') {
                self.word();
            }
        }
        self.close()
    }

    fn expr(&mut self, depth: usize) -> Result<Ratio, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let head = self.word();
        if !self.skip('(') {
            return head.parse::<i64>().map(Ratio::int).map_err(|_| format!("`{head}` is no size"));
        }
        match head {
            "Symbol" => {
                let name = self.quoted()?;
                self.options()?;
                Ok(Ratio::int((self.symbol)(name)))
            }
            "Float" => {
                let digits = self.quoted()?;
                self.options()?;
                let value = digits.parse().map_err(|_| format!("`{digits}` is no float"))?;
                Ratio::float(value)
            }
            "Integer" => {
                let number = self.word();
                self.close()?;
                let value = number.parse::<i64>();
                value.map(Ratio::int).map_err(|_| format!("`{number}` is no integer"))
            }
            function => {
                let args = self.args(depth)?;
                apply(function, &args)
            }
        }
    }
    fn close(&mut self) -> Result<(), String> {
        if self.skip(')') { Ok(()) } else { Err("a bracket is missing".to_owned()) }
    }
    fn args(&mut self, depth: usize) -> Result<Vec<Ratio>, String> {
        let mut out = Vec::new();
        if self.skip(')') {
            return Ok(out);
        }
        loop {
            let before = self.rest;
            let word = self.word();
            // Options such as `evaluate=False` say nothing of the value.
            if !word.is_empty() && self.skip('=') {
                self.word();
            } else {
                self.rest = before;
                out.push(self.expr(depth + 1)?);
            }
            if !self.skip(',') {
                self.close()?;
                return Ok(out);
            }
        }
    }
}

/// The value of a function of sizes and fractions of sizes.
pub(super) fn apply(function: &str, args: &[Ratio]) -> Result<Ratio, String> {
    let fold = |f: fn(&Ratio, &Ratio) -> Result<Ratio, String>| {
        let (first, rest) = args.split_first().ok_or("it has no arguments")?;
        rest.iter().try_fold(first.clone(), |a, b| f(&a, b))
    };
    match (function, args) {
        ("Add", _) => fold(Ratio::plus),
        ("Mul", _) => fold(Ratio::times),
        ("ToFloat" | "Identity", [a]) => Ok(a.clone()),
        ("IntTrueDiv" | "FloatTrueDiv" | "Rational", [a, b]) => a.divided(b),
        ("FloorToInt" | "floor", [a]) => Ok(Ratio::int(a.floor())),
        ("CeilToInt" | "ceiling", [a]) => Ok(Ratio::int(a.ceil())),
        // Sizes and what they are multiplied with are not negative.
        ("TruncToInt" | "TruncToFloat", [a]) => Ok(Ratio::int(a.floor())),
        ("Pow" | "PowByNatural" | "FloatPow", [base, exponent]) => power(base, exponent),
        (_, args) => {
            let whole: Option<Vec<Dim>> = args.iter().map(|a| a.clone().whole()).collect();
            let whole = whole.ok_or_else(|| format!("the function `{function}` of fractions"))?;
            apply_whole(function, &whole).map(Ratio::int)
        }
    }
}

/// A whole power; the power -1 is a divisor.
pub(super) fn power(base: &Ratio, exponent: &Ratio) -> Result<Ratio, String> {
    match exponent.clone().whole() {
        Some(Dim::Known(-1)) => Ratio::int(1).divided(base),
        Some(Dim::Known(n @ 0..=16)) => (0..n).try_fold(Ratio::int(1), |p, _| p.times(base)),
        _ => Err("a power that is not a small whole number".to_owned()),
    }
}

/// The value of a function of whole sizes.
fn apply_whole(function: &str, args: &[Dim]) -> Result<Dim, String> {
    let fold = |f: fn(&Dim, &Dim) -> Dim| {
        args.iter().cloned().reduce(|a, b| f(&a, &b)).ok_or("it has no arguments".to_owned())
    };
    match (function, args) {
        ("Max", _) => fold(Dim::max),
        ("Min", _) => fold(Dim::min),
        ("FloorDiv" | "CleanDiv", [a, b]) => Ok(Dim::floor_div(a, b)),
        ("CeilDiv", [a, b]) => Ok(Dim::ceil_div(a, b)),
        ("Mod" | "PythonMod", [a, b]) => Ok(Dim::rem(a, b)),
        ("ModularIndexing", [a, b, c]) => Ok(Dim::rem(&Dim::floor_div(a, b), c)),
        ("LShift", [a, Dim::Known(n @ 0..=62)]) => Ok(Dim::mul(a, &Dim::Known(1 << n))),
        ("RShift", [a, Dim::Known(n @ 0..=62)]) => Ok(Dim::floor_div(a, &Dim::Known(1 << n))),
        (_, args) => Err(format!("the function `{function}` of {} sizes", args.len())),
    }
}

/// Writes an expression; `symbol` gives the text of a symbol. `None` for a size that is not known
/// at all.
pub(crate) fn write(dim: &Dim, symbol: &dyn Fn(SymbolId) -> String) -> Option<String> {
    match dim {
        Dim::Known(n) => Some(format!("Integer({n})")),
        Dim::Any => None,
        Dim::Expr(e) => {
            let terms = e.terms().iter().map(|t| write_term(t, symbol));
            joined("Add", terms.collect::<Option<Vec<_>>>()?)
        }
    }
}

/// A function of several arguments; of one it is the argument.
fn joined(function: &str, mut args: Vec<String>) -> Option<String> {
    match args.len() {
        0 => None,
        1 => args.pop(),
        _ => Some(format!("{function}({})", args.join(", "))),
    }
}

fn write_term(term: &Term, symbol: &dyn Fn(SymbolId) -> String) -> Option<String> {
    let mut factors = Vec::new();
    if term.coeff() != 1 || term.atoms().is_empty() {
        factors.push(format!("Integer({})", term.coeff()));
    }
    let mut atoms = term.atoms();
    while let Some(first) = atoms.first() {
        let power = atoms.iter().take_while(|a| *a == first).count();
        let text = write_atom(first, symbol)?;
        factors.push(match power {
            1 => text,
            n => format!("Pow({text}, Integer({n}))"),
        });
        atoms = atoms.get(power..).unwrap_or_default();
    }
    joined("Mul", factors)
}

fn write_atom(atom: &Atom, symbol: &dyn Fn(SymbolId) -> String) -> Option<String> {
    let args: Option<Vec<String>> = atom.args().map(|d| write(d, symbol)).collect();
    let args = args?.join(", ");
    Some(match atom {
        Atom::Symbol(s) => symbol(*s),
        Atom::FloorDiv(..) => format!("FloorDiv({args})"),
        Atom::CeilDiv(..) => format!("CeilDiv({args})"),
        Atom::Mod(..) => format!("PythonMod({args})"),
        Atom::Min(_) => format!("Min({args})"),
        // Sizes that broadcast are 1 or equal.
        Atom::Max(_) | Atom::Broadcast(_) => format!("Max({args})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<i64, String> {
        let dim = parse(text, &mut |name| match name {
            "s0" => Dim::from(SymbolId(0)),
            _ => Dim::from(SymbolId(1)),
        })?;
        Ok(dim.eval(&|s| Some(if s == SymbolId(0) { 10 } else { 3 })).unwrap())
    }

    #[test]
    fn expressions_have_their_value() {
        let s = "Symbol('s0', positive=True, integer=True)";
        let t = "Symbol('u1', integer=True)";
        assert_eq!(read(&format!("Add({s}, Mul(Integer(2), {t}), Integer(-1))")), Ok(15));
        assert_eq!(read(&format!("FloorDiv({s}, {t})")), Ok(3));
        assert_eq!(read(&format!("Mod({s}, Integer(4))")), Ok(2));
        assert_eq!(read(&format!("Mul({s}, Pow({t}, Integer(2)))")), Ok(90));
        assert_eq!(read(&format!("Max(Integer(4), {t})")), Ok(4));
    }

    #[test]
    fn fractions_are_rounded_to_sizes() {
        let s = "Symbol('s0', positive=True, integer=True)";
        let half = "Float('0.5', precision=53)";
        assert_eq!(read(&format!("TruncToInt(Mul({half}, ToFloat(Add({s}, Integer(1)))))")), Ok(5));
        assert_eq!(read(&format!("CeilToInt(IntTrueDiv({s}, Integer(4)))")), Ok(3));
        assert_eq!(read(&format!("FloorToInt(Mul(Rational(-1, 3), {s}))")), Ok(-4));
        assert_eq!(read(&format!("Mul({s}, Pow(Integer(5), Integer(-1)))")).ok(), None);
        assert_eq!(read(&format!("Add(FloorToInt(FloatTrueDiv({s}, Integer(-4))), {s})")), Ok(7));
        assert!(read("IntTrueDiv(Integer(1), Integer(0))").unwrap_err().contains("zero"));
        assert!(read(&format!("ToFloat({half})")).unwrap_err().contains("whole"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (n, m) = (Dim::symbol(SymbolId(0)), Dim::symbol(SymbolId(1)));
        let dims = [
            &(&n * &n) - 3,
            (&n + 2).floor_div(&Dim::Known(2)),
            n.ceil_div(&m),
            (&n * 4).rem(&m),
            Dim::max(&n, &(&m * 5)),
            Dim::min(&n, &m),
            -&n,
        ];
        for dim in dims {
            let text = write(&dim, &|s| format!("Symbol('s{}', positive=True)", s.0)).unwrap();
            let back =
                parse(&text, &mut |name| Dim::symbol(SymbolId(if name == "s0" { 0 } else { 1 })));
            assert_eq!(back, Ok(dim), "{text}");
        }
        assert_eq!(write(&Dim::Any, &|_| String::new()), None);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(read("Piecewise(Integer(1))").unwrap_err().contains("Piecewise"));
        assert!(read("Add(Integer(1)").is_err());
        assert!(read("Integer(1) Integer(2)").is_err());
        assert!(read(&"Add(".repeat(5000)).unwrap_err().contains("deeply"));
    }
}
