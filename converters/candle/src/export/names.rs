//! Names: of variables, fields, types and tensors.

use std::collections::{BTreeMap, BTreeSet};

/// Words that Rust keeps for itself, and names that generated code uses.
const TAKEN: &[&str] = &[
    "as", "break", "const", "continue", "crate", "else", "enum", "extern", "false", "fn", "for",
    "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return",
    "self", "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where",
    "while", "async", "await", "dyn", "abstract", "become", "box", "do", "final", "macro",
    "override", "priv", "typeof", "unsized", "virtual", "yield", "try", "gen", "device", "vb",
    "ops",
];

/// A name in snake case out of any text: what stands for it in a field or a variable.
pub(super) fn snake(text: &str) -> String {
    let mut out = String::new();
    let mut lower = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && lower {
                out.push('_');
            }
            lower = c.is_ascii_lowercase() || c.is_ascii_digit();
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
            lower = false;
        }
    }
    let mut out = out.trim_matches('_').to_owned();
    if out.is_empty() {
        out = "x".to_owned();
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        // A number goes to the end.
        let (number, rest) = out.split_once('_').unwrap_or((&out, "item"));
        out = format!("{rest}_{number}");
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, 'n');
    }
    match out.as_str() {
        "self" => "self_attention".to_owned(),
        word if TAKEN.contains(&word) => format!("{word}_"),
        _ => out,
    }
}

/// The longest path that a field is named after as a whole.
const LONGEST_PATH: usize = 32;

/// What stands for a path in a field: all of it, or where that is long what comes last, with the
/// numbers after it.
pub(super) fn field(path: &[std::sync::Arc<str>]) -> String {
    if let [only] = path
        && only.parse::<usize>().is_ok()
    {
        return format!("block_{only}");
    }
    let whole = snake(&path.join("."));
    if whole.len() <= LONGEST_PATH {
        return whole;
    }
    let last = path.iter().rposition(|p| p.parse::<usize>().is_err()).unwrap_or(0);
    snake(&path.get(last..).unwrap_or_default().join("."))
}

/// What a layer calls a value that it makes; a number says nothing.
pub(super) fn layer(path: &[std::sync::Arc<str>]) -> Option<String> {
    path.last().filter(|n| n.parse::<usize>().is_err()).map(|n| snake(n))
}

/// The name of an output as that of a field.
pub(super) fn output(name: &str) -> String {
    if name.chars().all(|c| c.is_ascii_digit()) { format!("output_{name}") } else { snake(name) }
}

/// A name in camel case: what stands for it as a type.
pub(super) fn camel(text: &str) -> String {
    let snake = snake(text);
    snake
        .split('_')
        .map(|part| {
            let mut chars = part.chars();
            chars
                .next()
                .map_or(String::new(), |c| c.to_ascii_uppercase().to_string() + chars.as_str())
        })
        .collect()
}

/// What a value is called: after the name that its source gives it, or after its op.
pub(super) fn of_value(info: &crate::program::VarInfo) -> String {
    let op = match info.op {
        "if" => "chosen",
        "loop" => "state",
        "reduce" => "reduced",
        op => op,
    };
    hint(&info.name).unwrap_or_else(|| snake(op))
}

/// The longest name of a source that a value takes.
const LONGEST: usize = 18;

/// What a name that a source gives says about a value; `None` where it says nothing.
fn hint(name: &str) -> Option<String> {
    let name = name.split(';').next().unwrap_or_default();
    let last = name.rsplit(['/', '.', ':']).find(|s| !s.is_empty())?;
    let last = last.strip_suffix("_output_0").unwrap_or(last);
    let numbered = |c: char| c.is_ascii_digit() || c == '_';
    let mut bare = last.trim_end_matches(numbered);
    for branch in ["_true_graph", "_false_graph"] {
        bare = bare.strip_suffix(branch).unwrap_or(bare).trim_end_matches(numbered);
    }
    let says = bare.chars().filter(|c| c.is_ascii_alphabetic()).count() > 1;
    if !says || bare.len() > LONGEST || matches!(bare, "val" | "node" | "tmp" | "output") {
        return None;
    }
    Some(snake(bare))
}

/// Text of a model as part of a comment or of Markdown: one line without marks that end the code
/// or the cell that it is in, or turn its direction.
pub(super) fn quoted(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends = |c: char| c.is_control() || matches!(c, '`' | '|' | '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if ends(c) || turns(c) { ' ' } else { c }).collect()
}

/// Whether a source gives a tensor a name of its own, rather than numbering it.
pub(super) fn is_named(name: &str) -> bool {
    let anonymous = name.contains("::")
        || name.contains('/')
        || name.ends_with("_output_0")
        || name.starts_with("val_")
        || name.starts_with("_val")
        || name.chars().all(|c| c.is_ascii_digit());
    !anonymous && !name.is_empty()
}

/// Names that are in use, to make others that are not.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    taken: BTreeSet<String>,
    next: BTreeMap<String, usize>,
}

impl Used {
    /// The name, or one like it that is not in use; it is in use from now on.
    pub fn fresh(&mut self, name: &str) -> String {
        let mut out = name.to_owned();
        while !self.taken.insert(out.clone()) {
            let next = self.next.entry(name.to_owned()).or_insert(1);
            *next += 1;
            out = format!("{}_{next}", name.trim_end_matches('_'));
        }
        out
    }
    /// Puts a name out of use.
    pub fn release(&mut self, name: &str) {
        self.taken.remove(name);
    }
    /// Whether a name is in use.
    pub fn has(&self, name: &str) -> bool {
        self.taken.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_any_text() {
        let snakes = [
            ("LayerNorm", "layer_norm"),
            ("self", "self_attention"),
            ("onnx::MatMul_470", "onnx_mat_mul_470"),
            ("0", "item_0"),
            ("2.conv", "conv_2"),
            ("type", "type_"),
            ("..", "x"),
        ];
        for (text, name) in snakes {
            assert_eq!(snake(text), name);
        }
        assert_eq!(camel("layer_norm"), "LayerNorm");
        assert_eq!(camel("batch_norm2d"), "BatchNorm2d");
        assert_eq!(hint("/encoder/layer.0/Softmax_output_0").as_deref(), Some("softmax"));
        assert_eq!(hint("stack_3_true_graph__1").as_deref(), Some("stack"));
        assert_eq!(hint("val_30"), None);
        assert!(is_named("encoder.layer.0.weight") && !is_named("onnx::MatMul_12"));
        assert_eq!(quoted("n\r\npub fn f() {}\u{2028}//`|\u{202e}é"), "n  pub fn f() {} //   é");
        let mut used = Used::default();
        assert_eq!([used.fresh("x"), used.fresh("x"), used.fresh("x")], ["x", "x_2", "x_3"]);
    }
}
