//! Names that Python accepts.

use rustc_hash::{FxHashMap, FxHashSet};

use super::program::{Graph, Returned, Target};

/// Words that cannot be names, or that generated code uses for something else.
const RESERVED: &[&str] = &[
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "inf",
    "is",
    "lambda",
    "nan",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "self",
    "torch",
    "try",
    "while",
    "with",
    "yield",
    "device",
    "math",
    "operator",
    "fx_pytree",
    "pytree",
    "NoneType",
    "forward",
    "training",
    "print",
    "slice",
    "int",
    "float",
    "bool",
    "len",
    "list",
    "tuple",
    "dict",
    "range",
    "type",
    "max",
    "min",
    "sum",
    "abs",
    "round",
    "super",
    "object",
    "property",
    "getattr",
    "setattr",
    "hasattr",
    "id",
    "map",
    "filter",
    "zip",
    "all",
    "any",
    "str",
    "set",
    "iter",
    "next",
    "hash",
    "pow",
    "complex",
    "bytes",
    "callable",
];

/// The words of dotted names that modules of PyTorch have for themselves.
const MODULE_WORDS: &[&str] = &[
    "training",
    "forward",
    "parameters",
    "buffers",
    "modules",
    "children",
    "to",
    "type",
    "float",
    "double",
    "half",
    "cuda",
    "cpu",
    "eval",
    "train",
    "apply",
    "state_dict",
    "compile",
    "share_memory",
    "named_parameters",
    "named_buffers",
    "register_buffer",
    "register_parameter",
    "zero_grad",
    "bfloat16",
    "add_module",
    "call_super_init",
    "dump_patches",
    "extra_repr",
    "load_state_dict",
    "xpu",
    "ipu",
    "mtia",
    "requires_grad_",
    "to_empty",
    "named_children",
    "named_modules",
    "get_buffer",
    "get_parameter",
    "get_submodule",
    "set_submodule",
    "get_extra_state",
    "set_extra_state",
    "T_destination",
    "graph",
    "code",
    "meta",
    "print_readable",
    "recompile",
    "add_submodule",
    "delete_submodule",
    "delete_all_unused_submodules",
];

/// Gives out names, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    used: FxHashSet<String>,
    next: FxHashMap<String, usize>,
}

impl Names {
    /// A free name that is like this one.
    pub(super) fn fresh(&mut self, like: &str) -> String {
        let stem = identifier(like);
        if self.used.insert(stem.clone()) {
            return stem;
        }
        let next = self.next.entry(stem.clone()).or_insert(1);
        loop {
            let name = format!("{stem}_{next}");
            *next += 1;
            if self.used.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// A text as a Python identifier.
pub(super) fn identifier(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' });
    }
    let trimmed = out.trim_matches('_');
    let out = if trimmed.is_empty() { "v" } else { trimmed };
    match out.chars().next() {
        Some(c) if c.is_ascii_digit() => format!("v{out}"),
        _ if RESERVED.contains(&out) => format!("{out}_"),
        _ => out.to_owned(),
    }
}

/// A text as the dotted name of a parameter: words between dots, none of them empty. A module
/// and a parameter do not share a name, which [`Qualified`] sees to.
fn qualified(text: &str) -> Vec<String> {
    let clean = |word: &str| -> String {
        let word: String = word
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
            .collect();
        if MODULE_WORDS.contains(&word.as_str()) { format!("{word}_") } else { word }
    };
    let words: Vec<String> =
        text.split(['.', '/', ':']).filter(|w| !w.is_empty()).map(clean).collect();
    if words.is_empty() { vec!["weight".to_owned()] } else { words }
}

/// Gives out qualified names such that no name is the path of another one's module.
#[derive(Debug, Default)]
pub(super) struct Qualified {
    names: FxHashSet<String>,
    modules: FxHashSet<String>,
}

impl Qualified {
    /// A free qualified name that is like this one.
    pub(super) fn fresh(&mut self, like: &str) -> String {
        let mut words = qualified(like);
        if (1..words.len()).any(|n| self.names.contains(&words[..n].join("."))) {
            // What would be its module is a parameter.
            words = vec![words.join("_")];
        }
        let stem = words.pop().unwrap_or_default();
        let mut n = 0usize;
        loop {
            words.push(if n == 0 { stem.clone() } else { format!("{stem}_{n}") });
            if self.take(&words) {
                return words.join(".");
            }
            words.pop();
            n += 1;
        }
    }
    fn take(&mut self, words: &[String]) -> bool {
        let full = words.join(".");
        let paths: Vec<String> = (1..words.len()).map(|n| words[..n].join(".")).collect();
        if self.names.contains(&full) || self.modules.contains(&full) {
            return false;
        }
        self.modules.extend(paths);
        self.names.insert(full);
        true
    }
}

/// A call of one result has its name; other calls get one of their own.
pub(super) fn name_calls(graph: &mut Graph, given: &[String], names: &mut Names) {
    for call in &mut graph.calls {
        call.name = match call.results.as_slice() {
            [Returned::One(var)]
                if !matches!(call.target, Target::Cond(..) | Target::While(..)) =>
            {
                given[var.0 as usize].clone()
            }
            _ => names.fresh(stem(&call.target)),
        };
        match &mut call.target {
            Target::Cond(a, b) | Target::While(a, b) => {
                name_calls(a, given, names);
                name_calls(b, given, names);
            }
            _ => {}
        }
    }
}

/// What results of a call are named after.
pub(super) fn stem(target: &Target) -> &str {
    match target {
        Target::Operator(schema) => {
            schema.name.split("::").nth(1).unwrap_or("call").trim_start_matches('_')
        }
        Target::Size => "sym_size",
        Target::Item => "item",
        Target::Arithmetic(_) => "size",
        Target::Cond(..) => "cond",
        Target::While(..) => "while_loop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_and_differ() {
        let mut names = Names::default();
        assert_eq!(names.fresh("input.1"), "input_1");
        assert_eq!(names.fresh("input/1"), "input_1_1");
        assert_eq!(names.fresh("12"), "v12");
        assert_eq!(names.fresh("lambda"), "lambda_");
        assert_eq!(names.fresh("..."), "v");
    }

    #[test]
    fn a_parameter_is_no_module() {
        let mut names = Qualified::default();
        assert_eq!(names.fresh("layer.0.weight"), "layer.0.weight");
        assert_eq!(names.fresh("layer.0"), "layer.0_1");
        assert_eq!(names.fresh("layer.0_1.bias"), "layer_0_1_bias");
        assert_eq!(names.fresh("layer.0.weight"), "layer.0.weight_1");
        assert_eq!(names.fresh("layer"), "layer_1");
        assert_eq!(names.fresh("onnx::MatMul_12"), "onnx.MatMul_12");
    }
}
