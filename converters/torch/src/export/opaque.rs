//! Operators that were kept as they were read.

use airconv_ir::attr::Attr;
use airconv_ir::module::Node;
use airconv_ir::op::Opaque;

use super::cx::Refuse;
use super::exporter::Exporter;
use super::program::{Arg, Kind, Returned, Target, Var};
use crate::common::opaque::{FORMAT, operator};
use crate::common::schema::{Param, Ty};
use crate::import::arg::strip_optional;

impl Exporter<'_> {
    /// Writes a node that holds an operator of PyTorch as that operator.
    pub(super) fn kept(&mut self, node: &Node, kept: &Opaque) -> Result<(), Refuse> {
        let source = &kept.source;
        if source.format != FORMAT {
            let why = format!("`{}` is an op of {}", source.full_name(), source.format);
            return Refuse::because(why);
        }
        let (schema, slots) = operator(source).map_err(Refuse)?;
        let operands: Vec<_> = node.inputs().collect();
        if operands.len() != slots.len() {
            return Refuse::because(format!("`{}` has other operands", source.full_name()));
        }
        let mut tensors: Vec<(&str, Var)> = Vec::new();
        for (slot, value) in slots.iter().zip(operands) {
            tensors.push((slot, self.var_of(value)?));
        }
        let mut args = Vec::with_capacity(schema.params.len());
        for param in &schema.params {
            let own: Vec<Var> =
                tensors.iter().filter(|(s, _)| *s == param.name).map(|(_, v)| *v).collect();
            args.push(self.kept_argument(param, own, source.attributes.get(&param.name))?);
        }
        while args.last() == Some(&Arg::Default) {
            args.pop();
        }
        let mut results = Vec::new();
        for value in &node.results {
            let Some(value) = *value else { return Refuse::because("a result has no type") };
            let ty = self.value_type(value)?;
            let var = self.var(Kind::Tensor(ty), &source.name);
            self.bind(value, var);
            results.push(var);
        }
        let many = schema.returns.iter().any(|r| r.ty != Ty::Tensor);
        let returned = match many {
            true => vec![Returned::Many(results)],
            false => results.into_iter().map(Returned::One).collect(),
        };
        if returned.len() != schema.returns.len() {
            return Refuse::because(format!("`{}` has other results", source.full_name()));
        }
        self.add_call(Target::Operator(schema), args, returned);
        Ok(())
    }

    fn kept_argument(
        &mut self,
        param: &Param,
        tensors: Vec<Var>,
        attribute: Option<&Attr>,
    ) -> Result<Arg, Refuse> {
        let (ty, optional) = strip_optional(&param.ty);
        match (tensors.as_slice(), attribute) {
            (_, Some(attribute)) => self.kept_number(attribute),
            ([one], None) if *ty == Ty::Tensor => Ok(Arg::Tensor(*one)),
            (_, None) if matches!(ty, Ty::List(e, _) if **e == Ty::Tensor) => Ok(tensors.into()),
            (_, None) if param.default.is_some() => Ok(Arg::Default),
            (_, None) if optional => Ok(Arg::None),
            _ => Refuse::because(format!("argument `{}` is missing", param.name)),
        }
    }
    fn kept_number(&mut self, attribute: &Attr) -> Result<Arg, Refuse> {
        Ok(match attribute {
            Attr::Int(n) => Arg::Int(*n),
            Attr::Dim(dim) => self.size(dim)?,
            Attr::Float(v) => Arg::Float(v.0),
            Attr::Bool(b) => Arg::Bool(*b),
            Attr::Str(text) => Arg::Str(text.clone()),
            Attr::DType(dtype) => Arg::DType(*dtype),
            Attr::Ints(list) => list.into(),
            Attr::List(list) => {
                Arg::List(list.iter().map(|a| self.kept_number(a)).collect::<Result<_, _>>()?)
            }
            other => return Refuse::because(format!("an argument is {}", other.kind())),
        })
    }
}
