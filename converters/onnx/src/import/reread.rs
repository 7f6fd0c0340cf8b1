//! Reading opaque nodes again, once more is known of their operands.
//!
//! The node is put back into ONNX's form and its rule is run. A graph attribute stands for a
//! region that was read before: the graph's name is the number of the region, and reading the
//! graph makes the region anew.

use std::collections::BTreeMap;

use airconv_api::ReadOptions;
use airconv_api::Report;
use airconv_api::ir::attr::Attr;
use airconv_api::ir::entity::RegionId;
use airconv_api::ir::module::{Function, Module, Node};
use airconv_api::ir::op::Op;
use airconv_api::ir::specialize::{Bodies, OpaqueNode, Place, Reading};
use airconv_api::ir::types::Type;
use airconv_api::ir::visit::walk_region;

use super::Importer;
use super::attrs::Attrs;
use super::graph::{Body, FuncState, Mark};
use super::node::{NodeCx, Outcome, Outputs, Stop};
use super::rules::{Found, Import, find};
use crate::common;
use crate::export::attr;
use crate::export::tensor_to_proto;
use crate::export::type_proto;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

/// Reads an opaque node again.
pub(crate) fn reread(node: &OpaqueNode<'_>, place: Place<'_>) -> Reading {
    let Place { module, func, region, known, bodies } = place;
    let source = &node.op.source;
    let proto = match node_proto(module, &module.functions[func], node, bodies) {
        Ok(proto) => proto,
        Err(why) => return Reading::Waits(why),
    };
    let (options, mut report) = (ReadOptions::default(), Report::default());
    let domain = common::domain(&source.domain);
    let opsets = BTreeMap::from([(domain.to_owned(), source.version)]);
    let mut fs = FuncState::new(func, region, opsets, "");
    let mark = Mark::of(&module.functions[func], region);
    fs.known = std::mem::take(known);
    let mut importer = Importer {
        module: std::mem::take(module),
        bodies: Some(bodies),
        captures: node.captures,
        ..Importer::bare(&options, &mut report)
    };
    let outcome = importer.again(&mut fs, &proto, domain, node);
    *module = std::mem::take(&mut importer.module);
    *known = fs.known;
    match outcome {
        Ok(values) => Reading::Read(values),
        Err(stop) => {
            mark.rewind(&mut module.functions[func], region);
            match stop {
                Stop::Defer(why) | Stop::Unsupported(why) => Reading::Waits(why),
                Stop::Invalid(why) => Reading::Invalid(why),
            }
        }
    }
}

impl<'p> Importer<'p> {
    /// Whether a node is read again.
    pub(super) fn reads_again(&self) -> bool {
        self.bodies.is_some()
    }

    fn again(
        &mut self,
        fs: &mut FuncState<'p>,
        proto: &'p NodeProto,
        domain: &str,
        node: &OpaqueNode<'_>,
    ) -> Outcome {
        let version = node.op.source.version;
        let Found::Rule(rule) = find(domain, proto.op_type(), version) else {
            return Err(Stop::Defer(node.op.reason.clone()));
        };
        let attrs = Attrs::new(proto, None)?;
        let mut inputs: smallvec::SmallVec<[_; 6]> = node.inputs.iter().copied().collect();
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        let origin = node.origin;
        let mut cx = NodeCx { imp: self, fs, attrs: &attrs, node: proto, version, inputs, origin };
        let outputs = match rule.import {
            Import::Mirror(mirror) => cx.mirror(mirror),
            Import::Rule(f) => f(&mut cx),
        }?;
        match attrs.unread().as_slice() {
            [] => Ok(outputs),
            unread => Err(Stop::Unsupported(format!(
                "attributes {} are not known to this op at version {version}",
                unread.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// Makes a region anew that was read before.
    pub(super) fn body_again(
        &mut self,
        fs: &mut FuncState<'p>,
        graph: &GraphProto,
        params: &[Type],
    ) -> Result<Body, Stop> {
        let captures = self.captures.to_vec();
        let Some(bodies) = self.bodies.as_deref_mut() else {
            return Err(Stop::Invalid("there is no such subgraph".to_owned()));
        };
        let region = match graph.name().parse() {
            Ok(id) => RegionId(id),
            Err(_) => return Err(Stop::Invalid("there is no such subgraph".to_owned())),
        };
        let region =
            bodies.body(&mut self.module, &mut fs.known, region, params).map_err(Stop::Invalid)?;
        Ok(Body { region, captures })
    }
}

impl NodeCx<'_, '_> {
    /// How far the current region is filled.
    pub(super) fn mark(&self) -> Mark {
        Mark::of(&self.imp.module.functions[self.fs.func], self.fs.region())
    }
    /// Takes back what was added since.
    pub(super) fn rewind(&mut self, mark: Mark) {
        mark.rewind(&mut self.imp.module.functions[self.fs.func], self.fs.region());
    }
    /// Puts a body without own parameters at the end of the current region.
    pub(super) fn inline(
        &mut self,
        body: Body,
    ) -> Result<Vec<airconv_api::ir::entity::ValueId>, Stop> {
        let start = self.imp.module.functions[self.fs.func].nodes.len();
        let results = self.b().inline_region(body.region, &body.captures)?;
        for index in start..self.imp.module.functions[self.fs.func].nodes.len() {
            let node = airconv_api::ir::entity::NodeId(index as u32);
            self.fs.visit(&self.imp.module, node);
        }
        Ok(results)
    }
    /// The branch that the `if` that makes these outputs takes.
    pub(super) fn branch(&self, outputs: &Outputs, truth: bool) -> Result<Body, Stop> {
        let f = &self.imp.module.functions[self.fs.func];
        let first = outputs.iter().flatten().next();
        let node = first.and_then(|&v| airconv_api::ir::visit::producer(f, v));
        match node.map(|n| &f.nodes[n]) {
            Some(Node { op: Op::If(op), operands, .. }) => Ok(Body {
                region: if truth { op.then_branch } else { op.else_branch },
                captures: operands.iter().skip(1).flatten().copied().collect(),
            }),
            _ => self.invalid("there is no such branch"),
        }
    }
    /// Whether the node that makes these outputs has types and regions without anything open.
    pub(super) fn is_complete(&self, outputs: &Outputs) -> bool {
        let f = &self.imp.module.functions[self.fs.func];
        let Some(&first) = outputs.iter().flatten().next() else { return true };
        let Some(node) = airconv_api::ir::visit::producer(f, first) else { return true };
        let mut complete = outputs.iter().flatten().all(|&v| f.ty(v).is_canonical());
        for region in f.nodes[node].regions() {
            walk_region(f, region, &mut |_, inner| {
                let inner = &f.nodes[inner];
                complete &= !matches!(inner.op, Op::Opaque(_))
                    && inner.outputs().all(|v| f.ty(v).is_canonical());
            });
        }
        complete
    }
}

/// The node in ONNX's form. Names of inputs and outputs only say which are there.
fn node_proto(
    module: &Module,
    f: &Function,
    node: &OpaqueNode<'_>,
    bodies: &dyn Bodies,
) -> Result<NodeProto, String> {
    let source = &node.op.source;
    let name = |there: bool| if there { "_".to_owned() } else { String::new() };
    let mut attribute = Vec::with_capacity(source.attributes.len());
    for (key, value) in &source.attributes {
        attribute.push(attribute_proto(module, f, key, value, bodies)?);
    }
    Ok(NodeProto {
        input: node.inputs.iter().map(|i| name(i.is_some())).collect(),
        output: node.results.iter().map(|&r| name(r)).collect(),
        op_type: Some(source.name.clone()),
        domain: Some(source.domain.clone()),
        overload: Some(source.overload.clone()).filter(|o| !o.is_empty()),
        attribute,
        ..NodeProto::default()
    })
}

fn attribute_proto(
    module: &Module,
    f: &Function,
    name: &str,
    value: &Attr,
    bodies: &dyn Bodies,
) -> Result<AttributeProto, String> {
    let tensor = |id: &airconv_api::ir::entity::TensorId| match module.tensors.get(*id) {
        Some(t) => tensor_to_proto(t, "").map_err(|e| e.0),
        None => Err(format!("there is no tensor {id}")),
    };
    let graph = |region: &RegionId| GraphProto {
        name: Some(region.0.to_string()),
        input: bodies
            .params(*region)
            .iter()
            .map(|ty| ValueInfoProto { r#type: type_proto(f, ty), ..ValueInfoProto::default() })
            .collect(),
        ..GraphProto::default()
    };
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
        Attr::Tensor(t) => attr::tensor(name, tensor(t)?),
        Attr::Region(r) => attr::graph(name, graph(r)),
        Attr::Type(t) => match type_proto(f, t) {
            Some(proto) => {
                attr::other(name, AttributeType::TypeProto, |a| a.tp = Some(Box::new(proto)))
            }
            None => return Err(format!("the type of attribute `{name}` is not known")),
        },
        Attr::List(items) => {
            let mut list = attr::other(name, AttributeType::Undefined, |_| {});
            for item in items {
                let kind = match item {
                    Attr::Bytes(b) => {
                        list.strings.push(b.clone());
                        AttributeType::Strings
                    }
                    Attr::Tensor(t) => {
                        list.tensors.push(tensor(t)?);
                        AttributeType::Tensors
                    }
                    Attr::Region(r) => {
                        list.graphs.push(graph(r));
                        AttributeType::Graphs
                    }
                    Attr::Type(t) => {
                        list.type_protos.extend(type_proto(f, t));
                        AttributeType::TypeProtos
                    }
                    other => return Err(format!("attribute `{name}` lists a {}", other.kind())),
                };
                list.r#type = Some(kind as i32);
            }
            list
        }
        Attr::Dim(_) | Attr::Dims(_) | Attr::Func(_) | Attr::Map(_) => {
            return Err(format!("attribute `{name}` has no form in ONNX"));
        }
    })
}
