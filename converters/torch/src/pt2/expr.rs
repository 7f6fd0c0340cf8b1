//! Symbolic sizes: expressions as `sympy.srepr` writes them.

use airconv_ir::dim::{Atom, Dim, Term};
use airconv_ir::entity::SymbolId;

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// Reads an expression; `symbol` gives the size of a name.
pub(crate) fn parse(text: &str, symbol: &mut dyn FnMut(&str) -> Dim) -> Result<Dim, String> {
    let mut parser = Parser { rest: text, symbol };
    let dim = parser.expr(0)?;
    match parser.rest.trim() {
        "" => Ok(dim),
        left => Err(format!("`{left}` is left over")),
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

    fn expr(&mut self, depth: usize) -> Result<Dim, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let head = self.word();
        if !self.skip('(') {
            return head.parse().map(Dim::Known).map_err(|_| format!("`{head}` is no size"));
        }
        match head {
            "Symbol" => {
                let name = self.quoted()?;
                // Assumptions such as `positive=True` follow.
                while self.skip(',') {
                    self.word();
                    if self.skip('=') {
                        self.word();
                    }
                }
                self.close()?;
                Ok((self.symbol)(name))
            }
            "Integer" => {
                let number = self.word();
                self.close()?;
                number.parse().map(Dim::Known).map_err(|_| format!("`{number}` is no integer"))
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
    fn args(&mut self, depth: usize) -> Result<Vec<Dim>, String> {
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

/// The value of a function of sizes.
fn apply(function: &str, args: &[Dim]) -> Result<Dim, String> {
    let fold = |f: fn(&Dim, &Dim) -> Dim| {
        args.iter().cloned().reduce(|a, b| f(&a, &b)).ok_or("it has no arguments".to_owned())
    };
    match (function, args) {
        ("Add", _) => fold(Dim::add),
        ("Mul", _) => fold(Dim::mul),
        ("Max", _) => fold(Dim::max),
        ("Min", _) => fold(Dim::min),
        ("FloorDiv" | "CleanDiv", [a, b]) => Ok(Dim::floor_div(a, b)),
        ("CeilDiv", [a, b]) => Ok(Dim::ceil_div(a, b)),
        ("Mod" | "PythonMod", [a, b]) => Ok(Dim::rem(a, b)),
        ("ModularIndexing", [a, b, c]) => Ok(Dim::rem(&Dim::floor_div(a, b), c)),
        ("Pow" | "PowByNatural", [base, Dim::Known(n @ 0..=16)]) => {
            Ok((0..*n).fold(Dim::Known(1), |p, _| Dim::mul(&p, base)))
        }
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
