//! Sizes as Rust text.

use airconv_ir::dim::{Atom, Dim};

/// Writes a size with a name for each part that `name` knows; `None` where it does not. Sizes are
/// `usize`: what is taken away comes last.
pub(super) fn text(dim: &Dim, name: &mut dyn FnMut(&Dim) -> Option<String>) -> Option<String> {
    if let Some(known) = name(dim) {
        return Some(known);
    }
    match dim {
        Dim::Known(k) => Some(k.to_string()),
        Dim::Any => None,
        Dim::Expr(_) => {
            let (plus, minus) = parts(dim, name)?;
            Some(difference(&plus, &minus))
        }
    }
}

fn difference(plus: &[String], minus: &[String]) -> String {
    let first = if plus.is_empty() { "0".to_owned() } else { plus.join(" + ") };
    minus.iter().fold(first, |text, part| format!("{text} - {part}"))
}

/// The summands that are added and those that are taken away.
fn parts(
    dim: &Dim,
    name: &mut dyn FnMut(&Dim) -> Option<String>,
) -> Option<(Vec<String>, Vec<String>)> {
    let Dim::Expr(expr) = dim else {
        return match dim.as_known()? {
            k if k < 0 => Some((Vec::new(), vec![(-k).to_string()])),
            k => Some((vec![k.to_string()], Vec::new())),
        };
    };
    let (mut plus, mut minus) = (Vec::new(), Vec::new());
    for term in expr.terms() {
        let size = term.coeff().unsigned_abs();
        let mut factors = Vec::new();
        if size != 1 || term.atoms().is_empty() {
            factors.push(size.to_string());
        }
        for a in term.atoms() {
            factors.push(atom(a, term.atoms().len() > 1 || size != 1, name)?);
        }
        let list = if term.coeff() < 0 { &mut minus } else { &mut plus };
        list.push(factors.join(" * "));
    }
    Some((plus, minus))
}

/// An atom; in parentheses where it is a factor among others.
fn atom(atom: &Atom, factor: bool, name: &mut dyn FnMut(&Dim) -> Option<String>) -> Option<String> {
    let around = |text: String| if factor { format!("({text})") } else { text };
    match atom {
        Atom::Symbol(s) => name(&Dim::symbol(*s)),
        Atom::FloorDiv(a, Dim::Known(k)) if *k > 1 && constant(a) == k - 1 => {
            let a = a - (k - 1);
            Some(format!("{}.div_ceil({k})", grouped(&a, name)?))
        }
        Atom::FloorDiv(a, b) => {
            Some(around(format!("{} / {}", grouped(a, name)?, grouped(b, name)?)))
        }
        Atom::CeilDiv(a, b) => Some(format!("{}.div_ceil({})", grouped(a, name)?, text(b, name)?)),
        Atom::Mod(a, Dim::Known(k)) if *k > 0 && parts(a, name)?.0.is_empty() => {
            // What is below zero by a multiple of the divisor is as far from the next one.
            let (_, minus) = parts(a, name)?;
            let away = minus.join(" + ");
            let away = if minus.len() > 1 { format!("({away})") } else { away };
            Some(around(format!("({k} - {away} % {k}) % {k}")))
        }
        Atom::Mod(a, b) => Some(around(format!("{} % {}", grouped(a, name)?, grouped(b, name)?))),
        Atom::Min(list) => fold(list, "min", name),
        Atom::Max(list) => match &list[..] {
            [Dim::Known(0), other] | [other, Dim::Known(0)] => {
                let (plus, minus) = parts(other, name)?;
                if minus.is_empty() {
                    return Some(around(difference(&plus, &minus)));
                }
                let plus = if plus.is_empty() { "0".to_owned() } else { plus.join(" + ") };
                let plus = if plus.contains(' ') { format!("({plus})") } else { plus };
                Some(format!("{plus}.saturating_sub({})", minus.join(" + ")))
            }
            _ => fold(list, "max", name),
        },
        Atom::Broadcast(list) => {
            let mut texts = Vec::new();
            for d in list {
                texts.push(text(d, name)?);
            }
            let last = texts.pop()?;
            Some(
                texts
                    .into_iter()
                    .rev()
                    .fold(last, |rest, t| format!("(if {t} == 1 {{ {rest} }} else {{ {t} }})")),
            )
        }
    }
}

/// What a size adds to its symbols.
fn constant(dim: &Dim) -> i64 {
    let Dim::Expr(expr) = dim else { return 0 };
    expr.terms().iter().find(|t| t.atoms().is_empty()).map_or(0, |t| t.coeff())
}

/// A size that can be a receiver or an operand.
fn grouped(dim: &Dim, name: &mut dyn FnMut(&Dim) -> Option<String>) -> Option<String> {
    let text = text(dim, name)?;
    let bare = text.chars().all(|c| c.is_alphanumeric() || c == '_');
    Some(if bare { text } else { format!("({text})") })
}

fn fold(
    list: &[Dim],
    method: &str,
    name: &mut dyn FnMut(&Dim) -> Option<String>,
) -> Option<String> {
    let mut order: Vec<&Dim> = list.iter().collect();
    // A bare number cannot be the receiver.
    order.sort_by_key(|d| d.as_known().is_some());
    let (first, rest) = order.split_first()?;
    let mut out = grouped(first, name)?;
    for d in rest {
        out = format!("{out}.{method}({})", text(d, name)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airconv_ir::entity::SymbolId;

    #[test]
    fn sizes_do_not_go_below_zero_on_the_way() {
        let n = Dim::symbol(SymbolId(0));
        let mut name = |d: &Dim| (*d == Dim::symbol(SymbolId(0))).then(|| "n".to_owned());
        let cases = [
            (&n - 1, "n - 1"),
            (&(&n * 2) + 3, "2 * n + 3"),
            ((&n + 64).floor_div(&Dim::Known(128)), "(n + 64) / 128"),
            ((&n + 3).floor_div(&Dim::Known(4)), "n.div_ceil(4)"),
            (Dim::max(&Dim::Known(0), &(&n - 4)), "n.saturating_sub(4)"),
            (Dim::min(&Dim::Known(512), &n), "n.min(512)"),
            ((&Dim::Known(0) - &n).rem(&Dim::Known(4)), "(4 - n % 4) % 4"),
            (Dim::Known(7), "7"),
        ];
        for (dim, expected) in cases {
            assert_eq!(text(&dim, &mut name).as_deref(), Some(expected));
        }
        assert_eq!(text(&Dim::symbol(SymbolId(1)), &mut name), None);
    }
}
