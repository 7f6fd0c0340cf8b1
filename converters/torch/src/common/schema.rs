//! The schemas of PyTorch's operators: argument names, types, defaults and aliasing.
//!
//! Files name arguments and leave out those that have their default value; TorchScript does not
//! even name the overload. The table is `third-party/pytorch/aten.txt`, made from PyTorch by
//! `data/make_schemas.py`.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

const TABLE: &str = include_str!("../../../../third-party/pytorch/aten.txt");

/// The type of an argument or result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// A tensor.
    Tensor,
    /// A number of any kind.
    Scalar,
    /// An integer, possibly symbolic.
    Int,
    /// A float.
    Float,
    /// A truth value.
    Bool,
    /// A complex number.
    Complex,
    /// A string.
    Str,
    /// A dtype.
    ScalarType,
    /// A device.
    Device,
    /// A memory layout.
    Layout,
    /// A memory format.
    MemoryFormat,
    /// A source of random numbers.
    Generator,
    /// Absent or of this type.
    Optional(Box<Ty>),
    /// A list; a single value stands for a list of the given length.
    List(Box<Ty>, Option<usize>),
    /// Anything else, as PyTorch writes it.
    Other(String),
}

/// An argument of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: Ty,
    /// The default value as PyTorch writes it.
    pub default: Option<String>,
    /// Whether it can be passed by name only.
    pub keyword_only: bool,
    /// The alias set that the argument belongs to (`a` in `Tensor(a!)`), empty for none.
    pub alias: String,
    /// Whether the operator writes into it.
    pub written: bool,
}

/// A result of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// The type.
    pub ty: Ty,
    /// The alias set that it shares with an argument, empty for none.
    pub alias: String,
}

/// An operator: one overload.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The qualified name, `aten::add`.
    pub name: String,
    /// The overload, `Tensor`; empty for the default one.
    pub overload: String,
    /// Whether it belongs to the Core ATen operator set.
    pub core: bool,
    /// The arguments.
    pub params: Vec<Param>,
    /// The results.
    pub returns: Vec<Return>,
}

impl Schema {
    /// Name and overload as a user reads them: `aten.add.Tensor`.
    pub fn display_name(&self) -> String {
        let name = self.name.replace("::", ".");
        if self.overload.is_empty() { name } else { format!("{name}.{}", self.overload) }
    }
    /// The position of an argument.
    pub fn position(&self, param: &str) -> Option<usize> {
        self.params.iter().position(|p| p.name == param)
    }
}

/// All schemas.
pub struct Schemas {
    all: Vec<Schema>,
    by_name: FxHashMap<String, Vec<usize>>,
}

impl Schemas {
    /// The overloads of an operator, in the order of the table.
    pub fn overloads(&self, name: &str) -> impl Iterator<Item = &Schema> {
        self.by_name.get(name).into_iter().flatten().map(|&i| &self.all[i])
    }
    /// An overload of an operator.
    pub fn find(&self, name: &str, overload: &str) -> Option<&Schema> {
        self.overloads(name).find(|s| s.overload == overload)
    }
    /// All schemas, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.all.iter()
    }
}

/// The table.
pub fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let lines = TABLE.lines().filter(|l| !l.starts_with('#'));
        let all: Vec<Schema> = lines.filter_map(parse_line).collect();
        let mut by_name: FxHashMap<String, Vec<usize>> = FxHashMap::default();
        for (i, schema) in all.iter().enumerate() {
            by_name.entry(schema.name.clone()).or_default().push(i);
        }
        Schemas { all, by_name }
    });
    &SCHEMAS
}

/// A line of the table: a mark and a schema in PyTorch's notation.
fn parse_line(line: &str) -> Option<Schema> {
    let core = line.starts_with('*');
    let mut schema = parse_schema(line.get(1..)?)?;
    schema.core = core;
    Some(schema)
}

/// A schema in PyTorch's notation.
pub fn parse_schema(text: &str) -> Option<Schema> {
    let open = text.find('(')?;
    let (full, rest) = text.split_at(open);
    let (name, overload) = match full.split_once('.') {
        Some((name, overload)) => (name, overload),
        None => (full, ""),
    };
    let close = closing(rest)?;
    let params = parse_params(rest.get(1..close)?)?;
    let returns = rest.get(close + 1..)?.trim().strip_prefix("->")?.trim();
    Some(Schema {
        name: name.to_owned(),
        overload: overload.to_owned(),
        core: false,
        params,
        returns: parse_returns(returns)?,
    })
}

/// The position of the bracket that closes the first one.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quoted = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts of a list that are separated by commas outside of brackets and quotes.
fn split_list(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut depth, mut quoted, mut start) = (0i32, false, 0);
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                out.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        out.push(last);
    }
    out
}

fn parse_params(text: &str) -> Option<Vec<Param>> {
    let mut out = Vec::new();
    let mut keyword_only = false;
    for part in split_list(text) {
        if part == "*" {
            keyword_only = true;
            continue;
        }
        if part == "..." {
            continue;
        }
        let (declared, default) = match part.split_once('=') {
            Some((declared, default)) => (declared, Some(default.to_owned())),
            None => (part, None),
        };
        let (ty, name) = declared.rsplit_once(' ')?;
        let (ty, alias, written) = parse_aliased(ty.trim());
        out.push(Param { name: name.to_owned(), ty, default, keyword_only, alias, written });
    }
    Some(out)
}

fn parse_returns(text: &str) -> Option<Vec<Return>> {
    let list = match text.strip_prefix('(') {
        Some(inner) => split_list(inner.strip_suffix(')')?),
        None => vec![text],
    };
    let returns = list.into_iter().map(|part| {
        // A result may have a name: `Tensor values`.
        let ty = match part.rsplit_once(' ') {
            Some((ty, name)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => ty,
            _ => part,
        };
        let (ty, alias, _) = parse_aliased(ty.trim());
        Return { ty, alias }
    });
    Some(returns.collect())
}

/// A type with its alias set, and whether that is written to.
fn parse_aliased(text: &str) -> (Ty, String, bool) {
    if let (Some(open), Some(close)) = (text.find('('), text.find(')'))
        && open < close
        && !text.starts_with('(')
        && !text.starts_with("Dict")
    {
        let set = &text[open + 1..close];
        let plain = format!("{}{}", &text[..open], &text[close + 1..]);
        let written = set.contains('!');
        let before = set.split([' ', '!']).next().unwrap_or("");
        return (parse_ty(&plain), before.to_owned(), written);
    }
    (parse_ty(text), String::new(), false)
}

fn parse_ty(text: &str) -> Ty {
    if let Some(inner) = text.strip_suffix('?') {
        return Ty::Optional(Box::new(parse_ty(inner)));
    }
    if let Some(inner) = text.strip_suffix(']')
        && let Some((element, count)) = inner.rsplit_once('[')
    {
        return Ty::List(Box::new(parse_ty(element)), count.parse().ok());
    }
    match text {
        "Tensor" => Ty::Tensor,
        "Scalar" | "number" => Ty::Scalar,
        "int" | "SymInt" => Ty::Int,
        "float" => Ty::Float,
        "bool" => Ty::Bool,
        "complex" => Ty::Complex,
        "str" => Ty::Str,
        "ScalarType" => Ty::ScalarType,
        "Device" => Ty::Device,
        "Layout" => Ty::Layout,
        "MemoryFormat" => Ty::MemoryFormat,
        "Generator" => Ty::Generator,
        other => Ty::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let lines = TABLE.lines().filter(|l| !l.starts_with('#')).count();
        assert!(lines > 2500);
        assert_eq!(schemas().iter().count(), lines);
        assert_eq!(schemas().iter().filter(|s| s.core).count(), 192);
    }

    #[test]
    fn arguments_have_types_defaults_and_aliases() {
        let add = schemas().find("aten::add", "Tensor").unwrap();
        assert_eq!(add.params.len(), 3);
        let alpha = &add.params[2];
        assert!(alpha.keyword_only && alpha.ty == Ty::Scalar);
        assert_eq!(alpha.default.as_deref(), Some("1"));
        let put = schemas().find("aten::index_put_", "").unwrap();
        assert!(put.params[0].written && put.params[0].alias == "a");
        assert_eq!(put.returns[0].alias, "a");
        let indices = Ty::List(Box::new(Ty::Optional(Box::new(Ty::Tensor))), None);
        assert_eq!(put.params[1].ty, indices);
        let conv = schemas().find("aten::conv2d", "").unwrap();
        assert_eq!(conv.params[3].ty, Ty::List(Box::new(Ty::Int), Some(2)));
        assert_eq!(conv.params[3].default.as_deref(), Some("[1, 1]"));
        let split = schemas().find("aten::split", "Tensor").unwrap();
        assert_eq!(split.returns[0].ty, Ty::List(Box::new(Ty::Tensor), None));
        assert_eq!(split.params[0].alias, "a");
        let topk = schemas().find("aten::topk", "").unwrap();
        assert_eq!(topk.returns.len(), 2);
        assert_eq!(topk.display_name(), "aten.topk");
    }
}
