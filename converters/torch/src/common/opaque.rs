//! Operators of PyTorch that the hub has no op for: how a call of one is kept in an opaque node,
//! and made again.
//!
//! The operands are the tensors among the arguments. The attribute [`OPERANDS`] names the
//! parameter of each; every tensor of a list names the same one. Other arguments are attributes
//! under the names of their parameters; what is left out has its default.

use airconv_ir::attr::{Attr, Float, SourceOp};
use airconv_ir::dim::Dim;
use airconv_ir::op::Opaque;

use super::schema::{Schema, Ty, schemas};
use crate::import::arg::{Arg, strip_optional};

/// The format of such nodes.
pub(crate) const FORMAT: &str = "torch";
/// The attribute that says which parameters the operands are.
pub(crate) const OPERANDS: &str = ".operands";

/// An operator call as an opaque op, with its operands; `None` where the arguments, or what the
/// operator does with memory, cannot be kept.
pub(crate) fn keep<T: Copy>(
    schema: &Schema,
    args: &[Arg<T>],
    reason: &str,
) -> Option<(Opaque, Vec<T>)> {
    let by_memory = schema.params.iter().any(|p| p.written)
        || schema.returns.iter().any(|r| !r.alias.is_empty() || !is_tensors(&r.ty));
    if by_memory || schema.returns.is_empty() {
        return None;
    }
    let (domain, name) = schema.name.split_once("::")?;
    let mut source = SourceOp {
        format: FORMAT.to_owned(),
        domain: domain.to_owned(),
        name: name.to_owned(),
        overload: schema.overload.clone(),
        ..SourceOp::default()
    };
    let (mut operands, mut slots) = (Vec::new(), Vec::new());
    for (param, arg) in schema.params.iter().zip(args) {
        match arg {
            Arg::None | Arg::Placement | Arg::ChannelsLast => {}
            Arg::Tensor(t) => {
                operands.push(*t);
                slots.push(param.name.clone());
            }
            Arg::List(items) if is_tensors(strip_optional(&param.ty).0) => {
                for item in items {
                    let Arg::Tensor(t) = item else { return None };
                    operands.push(*t);
                    slots.push(param.name.clone());
                }
            }
            other => drop(source.attributes.insert(param.name.clone(), attribute(other)?)),
        }
    }
    source.attributes.insert(OPERANDS.to_owned(), Attr::Strs(slots));
    Some((Opaque { source, captures: 0, reason: reason.to_owned() }, operands))
}

fn is_tensors(ty: &Ty) -> bool {
    match ty {
        Ty::Tensor => true,
        Ty::List(element, _) => **element == Ty::Tensor,
        _ => false,
    }
}

fn attribute<T>(arg: &Arg<T>) -> Option<Attr> {
    Some(match arg {
        Arg::Int(Dim::Known(n)) => Attr::Int(*n),
        Arg::Int(Dim::Any) => return None,
        Arg::Int(dim) => Attr::Dim(dim.clone()),
        Arg::Float(v) => Attr::Float(Float(*v)),
        Arg::Bool(b) => Attr::Bool(*b),
        Arg::Str(text) => Attr::Str(text.to_string()),
        Arg::DType(dtype) => Attr::DType(*dtype),
        Arg::List(items) => Attr::List(items.iter().map(attribute).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// The operator that a node of this format is, and which parameter each operand is.
pub(crate) fn operator(source: &SourceOp) -> Result<(&'static Schema, &[String]), String> {
    let name = format!("{}::{}", source.domain, source.name);
    let schema = schemas().find(&name, &source.overload);
    let schema = schema.ok_or_else(|| format!("PyTorch has no operator `{name}`"))?;
    match source.attributes.get(OPERANDS) {
        Some(Attr::Strs(slots)) => Ok((schema, slots)),
        _ => Err(format!("it is not said which arguments of `{name}` its operands are")),
    }
}
