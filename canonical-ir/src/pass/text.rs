//! One line of text per node, for the log.

use crate::entity::NodeId;
use crate::module::Function;

/// A node as text: results, op, operands and fields.
pub(crate) fn line(f: &Function, node: NodeId) -> String {
    let Some(n) = f.nodes.get(node) else { return node.to_string() };
    let list = |values: &[Option<crate::entity::ValueId>]| {
        let texts: Vec<String> =
            values.iter().map(|v| v.map_or_else(|| "_".to_owned(), |v| v.to_string())).collect();
        texts.join(", ")
    };
    let mut out = String::new();
    if !n.results.is_empty() {
        out.push_str(&list(&n.results));
        out.push_str(" = ");
    }
    out.push_str(n.op.name());
    if !n.operands.is_empty() {
        out.push(' ');
        out.push_str(&list(&n.operands));
    }
    let attrs = n.op.attrs();
    if !attrs.is_empty() {
        let texts: Vec<String> =
            attrs.iter().map(|(k, v)| format!("{k}={}", value(f, v))).collect();
        out.push_str(&format!(" {{{}}}", texts.join(", ")));
    }
    out
}

fn value(f: &Function, attr: &crate::attr::Attr) -> String {
    use crate::attr::Attr;
    match attr {
        Attr::Bool(v) => v.to_string(),
        Attr::Int(v) => v.to_string(),
        Attr::Float(v) => format!("{:?}", v.0),
        Attr::Str(v) => format!("{v:?}"),
        Attr::DType(v) => v.to_string(),
        Attr::Dim(v) => f.dim_text(v),
        Attr::Dims(v) => {
            let texts: Vec<String> = v.iter().map(|d| f.dim_text(d)).collect();
            format!("[{}]", texts.join(", "))
        }
        Attr::Ints(v) => format!("{v:?}"),
        Attr::Floats(v) => format!("{:?}", v.iter().map(|x| x.0).collect::<Vec<_>>()),
        Attr::Tensor(v) => v.to_string(),
        Attr::Region(v) => v.to_string(),
        Attr::Func(v) => v.to_string(),
        Attr::Bytes(_) | Attr::Type(_) | Attr::Strs(_) | Attr::List(_) | Attr::Map(_) => {
            format!("<{}>", attr.kind())
        }
    }
}
