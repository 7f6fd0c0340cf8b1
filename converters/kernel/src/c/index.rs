//! Index expressions and sizes as C.

use airconv_ir::dim::{Atom, Dim, Range};
use airconv_ir::entity::SymbolId;
use rustc_hash::FxHashMap;

use super::helpers::Helpers;
use crate::ir::Scalar;

/// What the variables of an index expression are called.
pub(super) struct Names<'a> {
    /// The text of each.
    pub(super) texts: &'a FxHashMap<SymbolId, String>,
    /// Whether results may be too great for 64 bits, so that they have to wrap.
    pub(super) wraps: bool,
    /// What is known to be the least value of a variable.
    pub(super) least: &'a dyn Fn(SymbolId) -> Option<i64>,
}

/// An integer literal of type `int64_t`, or of `int` where that is as good.
pub(super) fn int_literal(k: i64) -> String {
    match k {
        i64::MIN => "INT64_MIN".to_owned(),
        -1_000_000..0 => format!("({k})"),
        0..=1_000_000 => k.to_string(),
        _ if k < 0 => format!("(-INT64_C({}))", -k),
        _ => format!("INT64_C({k})"),
    }
}

/// A text for an index expression, in parentheses unless it is a name or a number.
pub(super) fn text(d: &Dim, names: &Names<'_>, helpers: &mut Helpers) -> String {
    let e = match d {
        Dim::Known(k) => return int_literal(*k),
        Dim::Any => return "0".to_owned(),
        Dim::Expr(e) => e,
    };
    if let Some(v) = d.as_symbol() {
        return names.texts.get(&v).cloned().unwrap_or_default();
    }
    let cast = if names.wraps { "(uint64_t)" } else { "" };
    let mut out = String::new();
    for (i, term) in e.terms().iter().enumerate() {
        let minus = !names.wraps && term.coeff() < 0 && term.coeff() != i64::MIN;
        out += match (i, minus) {
            (0, false) => "",
            (0, true) => "-",
            (_, false) => " + ",
            (_, true) => " - ",
        };
        let factor = if minus { -term.coeff() } else { term.coeff() };
        let mut factors = Vec::new();
        if factor != 1 || term.atoms().is_empty() {
            factors.push(format!("{cast}{}", int_literal(factor)));
        }
        for a in term.atoms() {
            factors.push(format!("{cast}{}", atom(a, names, helpers)));
        }
        out += &factors.join(" * ");
    }
    if names.wraps { format!("((int64_t)({out}))") } else { format!("({out})") }
}

fn atom(a: &Atom, names: &Names<'_>, helpers: &mut Helpers) -> String {
    let list: Vec<String> = a.args().map(|d| text(d, names, helpers)).collect();
    let mut args = a.args();
    let (first, second) = (args.next(), args.next());
    let least = |v| Range { min: (names.least)(v), max: None };
    // C divides toward zero, which is the same for what is not negative.
    let plain = first.is_some_and(|d| d.range(&least).min.is_some_and(|min| min >= 0))
        && second.and_then(Dim::as_known).is_some_and(|k| k > 0);
    let call = |f: String| format!("{f}({})", list.join(", "));
    match a {
        Atom::Symbol(v) => names.texts.get(v).cloned().unwrap_or_default(),
        Atom::FloorDiv(..) if plain => format!("({} / {})", list[0], list[1]),
        Atom::Mod(..) if plain => format!("({} % {})", list[0], list[1]),
        Atom::FloorDiv(..) => call(helpers.floor_div(Scalar::I64)),
        Atom::CeilDiv(..) => call(helpers.ceil_div()),
        Atom::Mod(..) => call(helpers.floor_rem(Scalar::I64)),
        Atom::Min(_) | Atom::Max(_) => {
            let f = helpers.extreme(Scalar::I64, matches!(a, Atom::Max(_)), true);
            let fold = |a: String, b: String| format!("{f}({a}, {b})");
            list.into_iter().reduce(fold).unwrap_or_default()
        }
        Atom::Broadcast(_) => {
            let fold = |a: String, b: String| format!("({a} == 1 ? {b} : {a})");
            list.into_iter().reduce(fold).unwrap_or_default()
        }
    }
}
