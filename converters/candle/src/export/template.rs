//! Bodies of the table of calls with arguments in the place of parameters.

/// Where in a body a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Before a method.
    Receiver,
    /// Beside an operator.
    Operand,
    /// Anywhere else.
    Argument,
}

/// The body with `arg(name, position)` for each name that it has an argument for.
pub(super) fn fill(body: &str, arg: &mut dyn FnMut(&str, Position) -> Option<String>) -> String {
    let chars: Vec<char> = body.chars().collect();
    let mut out = String::new();
    let mut i = 0;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(&c) = chars.get(i) {
        if !is_word(c) {
            out.push(c);
            i += 1;
            continue;
        }
        let start = i;
        while chars.get(i).is_some_and(|&c| is_word(c)) {
            i += 1;
        }
        let word: String = chars.get(start..i).unwrap_or_default().iter().collect();
        let before =
            chars.get(..start).unwrap_or_default().iter().rev().find(|c| !c.is_whitespace());
        let after = chars.get(i..).unwrap_or_default().iter().find(|c| !c.is_whitespace());
        let range = chars.get(..start).unwrap_or_default().ends_with(&['.', '.']);
        if matches!(before, Some('.' | ':')) && !range {
            out.push_str(&word);
            continue;
        }
        let operator = |c: Option<&char>| matches!(c, Some('+' | '-' | '*' | '/'));
        let position = if after == Some(&'.') {
            Position::Receiver
        } else if operator(before) || operator(after) {
            Position::Operand
        } else {
            Position::Argument
        };
        match arg(&word, position) {
            Some(text) => out.push_str(&text),
            None => out.push_str(&word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_name_and_position() {
        let mut seen = Vec::new();
        let mut number = |name: &str, _| (name == "n").then(|| "8".to_owned());
        assert_eq!(fill("(0..n).contains(x.n)", &mut number), "(0..8).contains(x.n)");
        let text = fill("(a + b)?.max(axis)?.a(a.dim(b))", &mut |name, position| {
            seen.push((name.to_owned(), position));
            match name {
                "a" | "b" => Some(format!("<{name}>")),
                "axis" => Some("1".to_owned()),
                _ => None,
            }
        });
        assert_eq!(text, "(<a> + <b>)?.max(1)?.a(<a>.dim(<b>))");
        use Position::*;
        let positions: Vec<Position> = seen.iter().map(|s| s.1).collect();
        assert_eq!(positions, [Operand, Operand, Argument, Receiver, Argument]);
    }
}
