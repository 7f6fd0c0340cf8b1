//! Ops that were kept as they are, for the opset being written.

use std::collections::BTreeMap;

use airconv_api::ir::attr::Attr;
use airconv_api::ir::entity::ValueId;
use airconv_api::ir::module::Node;
use airconv_api::ir::op::Op;

use super::Exporter;
use crate::common::{ONNX, schema};
use crate::export::attr;
use crate::export::node::Refuse;
use crate::export::types::type_proto;
use crate::proto::AttributeProto;
use crate::proto::attribute_proto::AttributeType;

/// The opset that brought `CastLike`; what its attributes say only concerns newer dtypes.
const CAST_LIKE: i64 = 15;

impl Exporter<'_> {
    pub(super) fn write_opaque(&mut self, node: &Node, outputs: Vec<String>) -> Result<(), Refuse> {
        let Op::Opaque(opaque) = &node.op else { return Ok(()) };
        let source = &opaque.source;
        if source.format != "onnx" {
            return Refuse::because(format!(
                "{}::{} is an op of {}",
                source.domain, source.name, source.format
            ));
        }
        match (source.domain.as_str(), source.name.as_str(), node.operands.as_slice()) {
            (ONNX, "Upsample", [Some(x), Some(scales)]) => {
                return self.write_upsample(node, [*x, *scales], &source.attributes, outputs);
            }
            (ONNX, "CastLike", [Some(x), Some(like)]) if self.opset < CAST_LIKE => {
                if let Some(to) = self.ty(*like).dtype() {
                    let (inputs, attrs) = ([self.name_of(*x)?], vec![attr::dtype("to", to)]);
                    let label = self.node_name(node);
                    return self.write_node(ONNX, "Cast", label, &inputs, outputs, attrs);
                }
            }
            _ => {}
        }
        let here = schema::find(&source.domain, &source.name, self.version_of(&source.domain));
        let there = schema::find(&source.domain, &source.name, source.version);
        let same = match (here, there) {
            (Some(here), Some(there)) => {
                let text = |name: &str| {
                    source.attributes.iter().find_map(|(n, a)| match a {
                        Attr::Str(s) if n == name => Some(s.to_string()),
                        _ => None,
                    })
                };
                here.since == there.since || schema::same_meaning(&source.name, here, there, text)
            }
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Refuse::because(format!(
                "{} was kept as it is at version {} ({}); give what it needs with --bind or --dim, or write that version",
                source.name, source.version, opaque.reason
            ));
        }
        let captured = usize::try_from(opaque.captures).unwrap_or(0).min(node.operands.len());
        let formal = node.operands.len() - captured;
        let captures: Vec<ValueId> = node.operands[formal..].iter().flatten().copied().collect();
        let mut inputs = Vec::with_capacity(formal);
        for slot in &node.operands[..formal] {
            inputs.push(match slot {
                Some(v) => self.name_of(*v)?,
                None => String::new(),
            });
        }
        let moved = schema::moved(&source.name).filter(|name| here.is_some_and(|s| !s.has(name)));
        let mut attrs = Vec::new();
        for (name, value) in &source.attributes {
            match value {
                Attr::Ints(list) if moved == Some(name.as_str()) && inputs.len() == 1 => {
                    inputs.push(self.int_constant(list, false)?);
                }
                _ => attrs.push(self.generic_attr(name, value, &captures)?),
            }
        }
        let label = self.node_name(node);
        self.write_node(&source.domain, &source.name, label, &inputs, outputs, attrs).map_err(
            |Refuse(why)| Refuse(format!("{why}; it was kept as it is: {}", opaque.reason)),
        )?;
        if let (false, Some(last)) = (source.overload.is_empty(), self.scope().nodes.last_mut()) {
            last.overload = Some(source.overload.clone());
        }
        Ok(())
    }

    /// `Upsample` has a successor since opset 10 that says the same.
    fn write_upsample(
        &mut self,
        node: &Node,
        [x, scales]: [ValueId; 2],
        attributes: &BTreeMap<String, Attr>,
        outputs: Vec<String>,
    ) -> Result<(), Refuse> {
        let inputs = [self.name_of(x)?, String::new(), self.name_of(scales)?];
        let mut attrs = vec![
            attr::string("coordinate_transformation_mode", "asymmetric"),
            attr::string("nearest_mode", "floor"),
        ];
        for (name, value) in attributes {
            attrs.push(self.generic_attr(name, value, &[])?);
        }
        let label = self.node_name(node);
        self.write_node(ONNX, "Resize", label, &inputs, outputs, attrs)
    }

    fn generic_attr(
        &mut self,
        name: &str,
        value: &Attr,
        captures: &[ValueId],
    ) -> Result<AttributeProto, Refuse> {
        Ok(match value {
            Attr::Int(v) => attr::int(name, *v),
            Attr::Bool(v) => attr::bool(name, *v),
            Attr::Float(v) => attr::float(name, *v),
            Attr::Str(v) => attr::string(name, v),
            Attr::Bytes(v) => attr::bytes(name, v.clone()),
            Attr::DType(v) => attr::dtype(name, *v),
            Attr::Ints(v) => attr::ints(name, v),
            Attr::Floats(v) => attr::floats(name, v),
            Attr::Strs(v) => attr::strings(name, v),
            Attr::Tensor(t) => attr::tensor(name, self.tensor_proto(*t, "")?),
            Attr::Region(r) => attr::graph(name, self.subgraph(*r, captures)?),
            Attr::Type(t) => {
                let proto = type_proto(self.f(), t)
                    .ok_or_else(|| Refuse("a type is not known".to_owned()))?;
                attr::other(name, AttributeType::TypeProto, |a| a.tp = Some(Box::new(proto)))
            }
            Attr::List(items) => self.list_attr(name, items, captures)?,
            Attr::Dim(_) | Attr::Dims(_) | Attr::Func(_) | Attr::Map(_) => {
                return Refuse::because(format!("attribute `{name}` has no form in ONNX"));
            }
        })
    }

    fn list_attr(
        &mut self,
        name: &str,
        items: &[Attr],
        captures: &[ValueId],
    ) -> Result<AttributeProto, Refuse> {
        let mut out = attr::other(name, AttributeType::Undefined, |_| {});
        for item in items {
            let kind = match item {
                Attr::Bytes(b) => {
                    out.strings.push(b.clone());
                    AttributeType::Strings
                }
                Attr::Tensor(t) => {
                    out.tensors.push(self.tensor_proto(*t, "")?);
                    AttributeType::Tensors
                }
                Attr::Region(r) => {
                    out.graphs.push(self.subgraph(*r, captures)?);
                    AttributeType::Graphs
                }
                Attr::Type(t) => {
                    out.type_protos.extend(type_proto(self.f(), t));
                    AttributeType::TypeProtos
                }
                other => {
                    return Refuse::because(format!("attribute `{name}` lists a {}", other.kind()));
                }
            };
            out.r#type = Some(kind as i32);
        }
        Ok(out)
    }
}
