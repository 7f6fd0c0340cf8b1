//! Nodes that are kept as they are: ops without a rule, and those whose rule waits for what
//! only a run can tell.

use std::collections::BTreeMap;

use airconv_api::ir::attr::{Attr, Float, SourceOp};
use airconv_api::ir::entity::{OriginId, RegionId, ValueId};
use airconv_api::ir::op::Opaque;
use airconv_api::ir::types::Type;
use bytes::Bytes;
use smallvec::SmallVec;

use super::Importer;
use super::attrs::Attrs;
use super::graph::FuncState;
use super::node::{Outputs, Stop};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto, NodeProto};

impl<'p> Importer<'p> {
    /// Keeps a node as it is, with its declared result types.
    #[expect(clippy::too_many_arguments, reason = "the parts of one node")]
    pub(super) fn opaque(
        &mut self,
        fs: &mut FuncState<'p>,
        node: &'p NodeProto,
        domain: &str,
        version: i64,
        attrs: &Attrs<'p>,
        inputs: &SmallVec<[Option<ValueId>; 6]>,
        origin: OriginId,
        reason: &str,
    ) -> Result<Outputs, Stop> {
        let mut attributes = BTreeMap::new();
        let mut captures: Vec<ValueId> = Vec::new();
        let mut bodies: Vec<(RegionId, Vec<ValueId>)> = Vec::new();
        for (name, attribute) in attrs.take_all() {
            let value = self.generic_attr(fs, name, attribute, &mut captures, &mut bodies)?;
            attributes.insert(name.to_owned(), value);
        }
        for (region, own) in &bodies {
            self.share_captures(fs.func, *region, own, &captures);
        }
        let source = SourceOp {
            format: "onnx".to_owned(),
            domain: domain.to_owned(),
            name: node.op_type().to_owned(),
            overload: node.overload().to_owned(),
            version,
            attributes,
        };
        let op = Opaque { source, captures: captures.len() as i64, reason: reason.to_owned() };
        let mut operands: SmallVec<[Option<ValueId>; 4]> = inputs.iter().copied().collect();
        operands.extend(captures.into_iter().map(Some));
        let types = self.declared_results(fs, node);
        let region = fs.region();
        let id =
            self.module.functions[fs.func].add_node(region, op.into(), operands, types, origin);
        Ok(self.module.functions[fs.func].nodes[id].results.iter().copied().collect())
    }

    fn declared_results(
        &mut self,
        fs: &mut FuncState<'p>,
        node: &'p NodeProto,
    ) -> Vec<Option<Type>> {
        let mut out = Vec::new();
        for name in &node.output {
            if name.is_empty() {
                out.push(None);
                continue;
            }
            let declared = fs.declared.get(name.as_str()).copied();
            let mut f = std::mem::take(&mut self.module.functions[fs.func]);
            let ty = self.declared_type(&mut f, declared, Some(name));
            self.module.functions[fs.func] = f;
            out.push(Some(ty));
        }
        out
    }

    /// An attribute of an op without meaning.
    fn generic_attr(
        &mut self,
        fs: &mut FuncState<'p>,
        name: &str,
        a: &'p AttributeProto,
        captures: &mut Vec<ValueId>,
        bodies: &mut Vec<(RegionId, Vec<ValueId>)>,
    ) -> Result<Attr, Stop> {
        let text = |b: &Bytes| match String::from_utf8(b.to_vec()) {
            Ok(s) => Attr::Str(s),
            Err(_) => Attr::Bytes(b.clone()),
        };
        Ok(match a.r#type() {
            AttributeType::Float => Attr::Float(Float(f64::from(a.f()))),
            AttributeType::Int => Attr::Int(a.i()),
            AttributeType::String => text(a.s.as_ref().unwrap_or(&Bytes::new())),
            AttributeType::Floats => {
                Attr::Floats(a.floats.iter().map(|&v| Float(f64::from(v))).collect())
            }
            AttributeType::Ints => Attr::Ints(a.ints.clone()),
            AttributeType::Strings => {
                let strings: Result<Vec<String>, _> =
                    a.strings.iter().map(|s| String::from_utf8(s.to_vec())).collect();
                match strings {
                    Ok(strings) => Attr::Strs(strings),
                    Err(_) => {
                        Attr::List(a.strings.iter().map(|s| Attr::Bytes(s.clone())).collect())
                    }
                }
            }
            AttributeType::Tensor => match a.t.as_deref() {
                Some(t) => Attr::Tensor(self.add_tensor(t).map_err(Stop::Invalid)?),
                None => return Err(Stop::Invalid(format!("attribute `{name}` has no tensor"))),
            },
            AttributeType::Tensors => {
                let ids: Result<Vec<Attr>, String> =
                    a.tensors.iter().map(|t| self.add_tensor(t).map(Attr::Tensor)).collect();
                Attr::List(ids.map_err(Stop::Invalid)?)
            }
            AttributeType::Graph => match a.g.as_deref() {
                Some(g) => Attr::Region(self.opaque_body(fs, name, g, captures, bodies)?),
                None => return Err(Stop::Invalid(format!("attribute `{name}` has no graph"))),
            },
            AttributeType::Graphs => {
                let mut regions = Vec::new();
                for (i, g) in a.graphs.iter().enumerate() {
                    let label = format!("{name}[{i}]");
                    regions.push(Attr::Region(self.opaque_body(fs, &label, g, captures, bodies)?));
                }
                Attr::List(regions)
            }
            AttributeType::TypeProto => {
                let mut f = std::mem::take(&mut self.module.functions[fs.func]);
                let ty = self.declared_type(&mut f, a.tp.as_deref(), None);
                self.module.functions[fs.func] = f;
                Attr::Type(ty)
            }
            AttributeType::TypeProtos => {
                let mut f = std::mem::take(&mut self.module.functions[fs.func]);
                let types = a
                    .type_protos
                    .iter()
                    .map(|t| Attr::Type(self.declared_type(&mut f, Some(t), None)));
                let list = Attr::List(types.collect());
                self.module.functions[fs.func] = f;
                list
            }
            AttributeType::SparseTensor | AttributeType::SparseTensors => {
                return Err(Stop::Unsupported(format!(
                    "attribute `{name}` is a sparse tensor, which only Constant may have"
                )));
            }
            AttributeType::Undefined => {
                return Err(Stop::Invalid(format!("attribute `{name}` has no kind")));
            }
        })
    }

    fn opaque_body(
        &mut self,
        fs: &mut FuncState<'p>,
        label: &str,
        graph: &'p GraphProto,
        captures: &mut Vec<ValueId>,
        bodies: &mut Vec<(RegionId, Vec<ValueId>)>,
    ) -> Result<RegionId, Stop> {
        let unknown = vec![Type::Unknown; graph.input.len()];
        let body = self.body(fs, graph, label, &unknown)?;
        for outer in &body.captures {
            if !captures.contains(outer) {
                captures.push(*outer);
            }
        }
        bodies.push((body.region, body.captures));
        Ok(body.region)
    }
}
