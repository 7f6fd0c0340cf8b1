//! Graphs: scopes, inputs, constants, nodes in order, outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use airconv_api::ir::attr::SourceOp;
use airconv_api::ir::diag::Diagnostic;
use airconv_api::ir::entity::{FuncId, NodeId, OriginId, RegionId, TensorId, ValueId};
use airconv_api::ir::module::{
    ArgKindRole, Entity, Function, InputRole, Module, Origin, OutputRole,
};
use airconv_api::ir::op::{Constant, Opaque};
use airconv_api::ir::specialize::Known;
use airconv_api::ir::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::attrs::{Attrs, Bindings};
use super::node::{NodeCx, Outputs, Stop};
use super::rules::{Found, Import, find};
use super::{Importer, opset_key};
use crate::common;
use crate::proto::{GraphProto, NodeProto, TypeProto, ValueInfoProto};

/// A region being filled, with the names that are visible in it.
struct Scope<'p> {
    region: RegionId,
    names: FxHashMap<&'p str, ValueId>,
    /// Values of the enclosing scope that are parameters here, in order.
    captures: Vec<(ValueId, ValueId)>,
    path: Arc<str>,
}

/// A function being filled.
pub(crate) struct FuncState<'p> {
    pub(super) func: FuncId,
    scopes: Vec<Scope<'p>>,
    pub(super) known: Known,
    pub(super) declared: FxHashMap<&'p str, &'p TypeProto>,
    pub(super) bindings: Option<Bindings<'p>>,
    /// Inputs of a function that this use of it leaves out.
    pub(super) absent: FxHashSet<&'p str>,
    pub(super) opsets: BTreeMap<String, i64>,
}

impl<'p> FuncState<'p> {
    pub(super) fn new(
        func: FuncId,
        body: RegionId,
        opsets: BTreeMap<String, i64>,
        path: &str,
    ) -> Self {
        let scope = Scope {
            region: body,
            names: FxHashMap::default(),
            captures: Vec::new(),
            path: path.into(),
        };
        Self {
            func,
            scopes: vec![scope],
            known: Known::default(),
            declared: FxHashMap::default(),
            bindings: None,
            absent: FxHashSet::default(),
            opsets,
        }
    }
    /// The region being filled.
    pub(super) fn region(&self) -> RegionId {
        self.scopes.last().map_or(RegionId(0), |s| s.region)
    }
    /// Learns from a node that was added.
    pub(super) fn visit(&mut self, module: &Module, node: NodeId) {
        self.known.facts.visit(module, &module.functions[self.func], node);
    }
    pub(super) fn define(&mut self, name: &'p str, value: ValueId) -> bool {
        self.scopes.last_mut().is_some_and(|s| s.names.insert(name, value).is_none())
    }
    pub(super) fn declare(&mut self, infos: &'p [ValueInfoProto]) {
        for info in infos {
            if let Some(ty) = &info.r#type {
                self.declared.insert(info.name(), ty);
            }
        }
    }
    fn path(&self) -> Arc<str> {
        self.scopes.last().map_or_else(|| "".into(), |s| s.path.clone())
    }

    /// The value of a name in a scope, captured through the scopes between if need be.
    fn lookup(&mut self, f: &mut Function, name: &str, level: usize) -> Option<ValueId> {
        if let Some(&value) = self.scopes.get(level)?.names.get(name) {
            return Some(value);
        }
        let outer = self.lookup(f, name, level.checked_sub(1)?)?;
        Some(self.capture(f, level, outer))
    }

    /// The parameter of a scope's region that stands for a value of the scope around.
    fn capture(&mut self, f: &mut Function, level: usize, outer: ValueId) -> ValueId {
        let scope = &mut self.scopes[level];
        if let Some((_, inner)) = scope.captures.iter().find(|(o, _)| *o == outer) {
            return *inner;
        }
        let (ty, name) = (f.values[outer].ty.clone(), f.values[outer].name.clone());
        let inner = f.add_param(scope.region, ty, name);
        scope.captures.push((outer, inner));
        self.known.capture_of.insert(inner, outer);
        self.known.facts.alias(inner, outer);
        inner
    }

    pub(super) fn resolve(&mut self, f: &mut Function, name: &str) -> Option<ValueId> {
        let level = self.scopes.len().checked_sub(1)?;
        self.lookup(f, name, level)
    }
}

/// A subgraph that was read: its region and the values that it captures, in the order of
/// its last parameters.
pub(crate) struct Body {
    /// The region.
    pub region: RegionId,
    /// Captured values of the scope around.
    pub captures: Vec<ValueId>,
}

impl<'p> Importer<'p> {
    pub(super) fn main_graph(
        &mut self,
        graph: &'p GraphProto,
        opsets: &BTreeMap<String, i64>,
    ) -> FuncId {
        let name = if graph.name().is_empty() { "main" } else { graph.name() };
        self.function_names.insert(name.to_owned());
        let func = self.module.functions.push(Function::new(name));
        let body = self.module.functions[func].body;
        let mut fs = FuncState::new(func, body, opsets.clone(), "");
        self.module.note(Entity::Func(func), "onnx.doc", graph.doc_string());
        for entry in &graph.metadata_props {
            self.module.note(
                Entity::Func(func),
                &format!("onnx.meta.{}", entry.key()),
                entry.value(),
            );
        }
        fs.declare(&graph.value_info);
        fs.declare(&graph.output);
        let defaults = self.initializers(graph);
        self.inputs(&mut fs, graph, &defaults);
        self.constants(&mut fs, graph, &defaults);
        self.quantization_notes(func, graph);
        self.nodes(&mut fs, &graph.node);
        self.outputs(&mut fs, graph);
        func
    }

    /// The tensors of the initialisers by name.
    fn initializers(&mut self, graph: &'p GraphProto) -> FxHashMap<&'p str, TensorId> {
        let mut out = FxHashMap::default();
        for proto in &graph.initializer {
            match self.add_tensor(proto) {
                Ok(tensor) => {
                    self.module.note(Entity::Tensor(tensor), "onnx.doc", proto.doc_string());
                    if out.insert(proto.name(), tensor).is_some() {
                        self.report.error(
                            "onnx-name-twice",
                            format!("initializer `{}` is given twice", proto.name()),
                        );
                    }
                }
                Err(e) => {
                    let message = format!("initializer `{}`: {e}", proto.name());
                    self.report.error("onnx-tensor", message);
                    // So that what uses it is no error as well.
                    if let Some(tensor) = self.stand_in(proto) {
                        out.insert(proto.name(), tensor);
                    }
                }
            }
        }
        for proto in &graph.sparse_initializer {
            let name = proto.values.as_ref().map_or("", |v| v.name());
            match self.add_sparse(proto) {
                Ok(tensor) => {
                    self.report.structural(
                        "sparse-to-dense",
                        "sparse initializers are made dense",
                        name,
                    );
                    if out.insert(name, tensor).is_some() {
                        self.report.error(
                            "onnx-name-twice",
                            format!("initializer `{name}` is given twice"),
                        );
                    }
                }
                Err(e) => {
                    self.report.error("onnx-tensor", format!("sparse initializer `{name}`: {e}"))
                }
            }
        }
        out
    }

    fn inputs(
        &mut self,
        fs: &mut FuncState<'p>,
        graph: &'p GraphProto,
        defaults: &FxHashMap<&'p str, TensorId>,
    ) {
        for info in &graph.input {
            let name = info.name();
            // Before IR version 4 every initializer had to be an input too, and none of them
            // could be overridden.
            if let (true, Some(&tensor)) = (self.ir_version < 4, defaults.get(name)) {
                self.constant(fs, name, tensor);
                continue;
            }
            let mut f = std::mem::take(&mut self.module.functions[fs.func]);
            let ty = self.declared_type(&mut f, info.r#type.as_ref(), Some(name));
            let role =
                InputRole::User { default: defaults.get(name).copied(), kind: ArgKindRole::Tensor };
            let value = f.add_input(name, ty, role);
            self.module.functions[fs.func] = f;
            self.value_notes(fs.func, value, info);
            if !fs.define(name, value) {
                self.report.error("onnx-name-twice", format!("input `{name}` is given twice"));
            }
        }
    }

    /// Initialisers that are not inputs, as constants.
    fn constants(
        &mut self,
        fs: &mut FuncState<'p>,
        graph: &'p GraphProto,
        tensors: &FxHashMap<&'p str, TensorId>,
    ) {
        let inputs: FxHashSet<&str> = graph.input.iter().map(|i| i.name()).collect();
        let sparse =
            graph.sparse_initializer.iter().map(|s| s.values.as_ref().map_or("", |v| v.name()));
        let names = graph.initializer.iter().map(|t| t.name()).chain(sparse);
        for name in names {
            if let (false, Some(&tensor)) = (inputs.contains(name), tensors.get(name)) {
                self.constant(fs, name, tensor);
            }
        }
    }

    fn constant(&mut self, fs: &mut FuncState<'p>, name: &'p str, tensor: TensorId) {
        let ty = Type::Tensor(self.module.tensors[tensor].ty());
        let region = fs.region();
        let f = &mut self.module.functions[fs.func];
        let node = f.add_node(
            region,
            Constant { tensor }.into(),
            SmallVec::new(),
            [Some(ty)],
            OriginId(0),
        );
        fs.visit(&self.module, node);
        let f = &mut self.module.functions[fs.func];
        if let Some(value) = f.nodes[node].result(0) {
            f.values[value].name = Some(name.into());
            fs.define(name, value);
        }
    }

    fn value_notes(&mut self, func: FuncId, value: ValueId, info: &ValueInfoProto) {
        let about = Entity::Value(func, value);
        self.module.note(about, "onnx.doc", info.doc_string());
        for entry in &info.metadata_props {
            self.module.note(about, &format!("onnx.meta.{}", entry.key()), entry.value());
        }
        if let Some(denotation) = info.r#type.as_ref().map(|t| t.denotation()) {
            self.module.note(about, "onnx.denotation", denotation);
        }
    }

    fn quantization_notes(&mut self, func: FuncId, graph: &GraphProto) {
        for annotation in &graph.quantization_annotation {
            for entry in &annotation.quant_parameter_tensor_names {
                let key = format!("onnx.quant.{}.{}", annotation.tensor_name(), entry.key());
                self.module.note(Entity::Func(func), &key, entry.value());
            }
        }
    }

    fn outputs(&mut self, fs: &mut FuncState<'p>, graph: &'p GraphProto) {
        let mut seen = FxHashSet::default();
        for info in &graph.output {
            let name = info.name();
            if !seen.insert(name) {
                self.report.error("onnx-name-twice", format!("output `{name}` is given twice"));
            }
            let f = &mut self.module.functions[fs.func];
            match fs.resolve(f, name) {
                Some(value) => {
                    f.add_output(name, value, OutputRole::User(ArgKindRole::Tensor));
                    let func = fs.func;
                    self.output_notes(func, name, info);
                }
                None if self.over_limit() => {}
                None => self
                    .report
                    .error("onnx-no-value", format!("output `{name}` is not made by any node")),
            }
        }
    }

    fn output_notes(&mut self, func: FuncId, name: &str, info: &ValueInfoProto) {
        let about = Entity::Func(func);
        self.module.note(about, &format!("onnx.output_doc.{name}"), info.doc_string());
        if let Some(denotation) = info.r#type.as_ref().map(|t| t.denotation()) {
            self.module.note(about, &format!("onnx.output_denotation.{name}"), denotation);
        }
    }

    /// Reads nodes in an order in which each comes after what it uses.
    pub(super) fn nodes(&mut self, fs: &mut FuncState<'p>, nodes: &'p [NodeProto]) {
        match order(nodes) {
            Ok(order) => {
                if order.iter().enumerate().any(|(i, &n)| i != n) {
                    self.report.push(Diagnostic::warning(
                        "onnx-order",
                        "the nodes are not in topological order; they were sorted",
                    ));
                }
                for i in order {
                    if self.over_limit() {
                        return;
                    }
                    self.nodes += 1;
                    if self.over_limit() {
                        let limit = self.options.limits.nodes;
                        self.report
                            .error("limit-nodes", format!("there are more than {limit} nodes"));
                        return;
                    }
                    self.node(fs, &nodes[i]);
                }
            }
            Err(name) => {
                self.report.error("onnx-cycle", format!("the graph has a cycle through `{name}`"))
            }
        }
    }

    /// Whether reading has stopped: what is missing then is no further error.
    fn over_limit(&self) -> bool {
        self.nodes > self.options.limits.nodes
    }

    fn node(&mut self, fs: &mut FuncState<'p>, node: &'p NodeProto) {
        let domain = common::domain(node.domain());
        let op = common::op_name(domain, node.op_type());
        let path = fs.path();
        let origin = self.module.origins.push(Origin::Source {
            format: self.onnx.clone(),
            path: path.clone(),
            name: node.name().into(),
            op: op.as_str().into(),
        });
        let place = self.module.origins[origin].to_string();
        let mut inputs = SmallVec::new();
        for name in &node.input {
            if name.is_empty() || fs.absent.contains(name.as_str()) {
                inputs.push(None);
                continue;
            }
            let value = fs.resolve(&mut self.module.functions[fs.func], name);
            if value.is_none() {
                self.report.push(
                    Diagnostic::error("onnx-no-value", format!("`{name}` is used but not made"))
                        .at(place.clone()),
                );
            }
            inputs.push(value);
        }
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        let outputs = match Attrs::new(node, fs.bindings.as_ref()) {
            Ok(attrs) => self.apply(fs, node, domain, &attrs, &inputs, origin),
            Err(e) => Err(Stop::Invalid(e.to_string())),
        };
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(stop) => {
                self.refuse(&op, &place, stop);
                self.placeholder(fs, node, origin)
            }
        };
        self.bind_outputs(fs, node, &outputs, &place);
        if !node.doc_string().is_empty() || !node.metadata_props.is_empty() {
            self.node_notes(fs.func, node, &outputs);
        }
    }

    fn refuse(&mut self, op: &str, place: &str, stop: Stop) {
        if self.over_limit() {
            return;
        }
        let (code, message) = match stop {
            Stop::Invalid(m) => ("onnx-node", m),
            Stop::Unsupported(m) => ("onnx-unsupported", m),
            Stop::Defer(m) => ("onnx-deferred", m),
        };
        self.report.push(Diagnostic::error(code, format!("{op}: {message}")).at(place));
    }

    /// Runs the rule of a node, or keeps the node opaque.
    fn apply(
        &mut self,
        fs: &mut FuncState<'p>,
        node: &'p NodeProto,
        domain: &'p str,
        attrs: &Attrs<'p>,
        inputs: &SmallVec<[Option<ValueId>; 6]>,
        origin: OriginId,
    ) -> Result<Outputs, Stop> {
        let function = (domain, node.op_type(), node.overload());
        if self.functions.contains_key(&function) {
            return self.call(fs, node, function, attrs, inputs, origin);
        }
        let version = fs.opsets.get(domain).copied();
        let rule = match (version, find(domain, node.op_type(), version.unwrap_or(1))) {
            (None, Found::Rule(_)) if domain.is_empty() || domain == common::ML => {
                return Err(Stop::Invalid(format!("its domain `{domain}` is not imported")));
            }
            (_, Found::Deprecated(since)) => {
                return Err(Stop::Invalid(format!(
                    "the op was removed in version {since} of its domain"
                )));
            }
            (_, Found::Rule(rule)) => Some(rule),
            (_, Found::None) => None,
        };
        let version = version.unwrap_or(1);
        let Some(rule) = rule else {
            if domain.is_empty() && common::schema::find(domain, node.op_type(), version).is_none()
            {
                return Err(Stop::Unsupported(format!("there is no such op at opset {version}")));
            }
            self.note_unknown(common::op_name(domain, node.op_type()), fs.path().to_string());
            return self.opaque(fs, node, domain, version, attrs, inputs, origin, "no rule");
        };
        // A rule that waits may have added nodes; they are taken back.
        let mark = Mark::of(&self.module.functions[fs.func], fs.region());
        let nested = fs.scopes.len() > 1;
        let mut cx = NodeCx { imp: self, fs, attrs, node, version, inputs: inputs.clone(), origin };
        let outcome = match rule.import {
            Import::Mirror(mirror) => cx.mirror(mirror),
            Import::Rule(f) => f(&mut cx),
        };
        match outcome {
            Ok(outputs) => {
                let unread = attrs.unread();
                if !unread.is_empty() {
                    return Err(Stop::Unsupported(format!(
                        "attributes {} are not known to this op at version {version}",
                        unread.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
                    )));
                }
                Ok(outputs)
            }
            // A branch that is never taken need not be valid for the types at hand.
            Err(Stop::Defer(reason)) => {
                mark.rewind(&mut self.module.functions[fs.func], fs.region());
                self.opaque(fs, node, domain, version, attrs, inputs, origin, &reason)
            }
            // A branch that is never taken need not be valid for the sizes at hand.
            Err(Stop::Invalid(reason)) if nested => {
                mark.rewind(&mut self.module.functions[fs.func], fs.region());
                let reason = format!("not valid here: {reason}");
                self.opaque(fs, node, domain, version, attrs, inputs, origin, &reason)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Stands for the results of a node that could not be read, so that one error does not
    /// make others.
    fn placeholder(
        &mut self,
        fs: &mut FuncState<'p>,
        node: &'p NodeProto,
        origin: OriginId,
    ) -> Outputs {
        let source = SourceOp {
            format: "onnx".to_owned(),
            name: node.op_type().to_owned(),
            ..SourceOp::default()
        };
        let op = Opaque { source, captures: 0, reason: "refused".to_owned() };
        let types = node.output.iter().map(|o| (!o.is_empty()).then_some(Type::Unknown));
        let region = fs.region();
        let f = &mut self.module.functions[fs.func];
        let id = f.add_node(region, op.into(), SmallVec::new(), types, origin);
        f.nodes[id].results.iter().copied().collect()
    }

    fn bind_outputs(
        &mut self,
        fs: &mut FuncState<'p>,
        node: &'p NodeProto,
        outputs: &Outputs,
        place: &str,
    ) {
        for (i, name) in node.output.iter().enumerate() {
            if name.is_empty() {
                continue;
            }
            let Some(value) = outputs.get(i).copied().flatten() else {
                self.report.push(
                    Diagnostic::error("onnx-node", format!("there is no output {i} (`{name}`)"))
                        .at(place),
                );
                continue;
            };
            let declared = fs.declared.get(name.as_str()).copied();
            let mut f = std::mem::take(&mut self.module.functions[fs.func]);
            let slot = &mut f.values[value];
            if slot.name.is_none() {
                slot.name = Some(name.as_str().into());
            }
            // Inference knows better than the file, except where it knows nothing.
            if matches!(f.values[value].ty, Type::Unknown | Type::Unranked(_)) && declared.is_some()
            {
                let ty = self.declared_type(&mut f, declared, Some(name));
                if ty.refines(&f.values[value].ty) {
                    f.values[value].ty = ty;
                }
            }
            self.module.functions[fs.func] = f;
            if !fs.define(name, value) {
                self.report.push(
                    Diagnostic::error("onnx-name-twice", format!("`{name}` is made twice"))
                        .at(place),
                );
            }
        }
    }

    fn node_notes(&mut self, func: FuncId, node: &NodeProto, outputs: &Outputs) {
        let Some(value) = outputs.iter().flatten().next() else { return };
        let Some(id) = airconv_api::ir::visit::producer(&self.module.functions[func], *value)
        else {
            return;
        };
        let about = Entity::Node(func, id);
        self.module.note(about, "onnx.doc", node.doc_string());
        for entry in &node.metadata_props {
            self.module.note(about, &format!("onnx.meta.{}", entry.key()), entry.value());
        }
    }

    /// Reads a subgraph into a new region. `params` are the types of its formal inputs as far
    /// as the op knows them; declared types fill in the rest.
    pub(super) fn body(
        &mut self,
        fs: &mut FuncState<'p>,
        graph: &'p GraphProto,
        label: &str,
        params: &[Type],
    ) -> Result<Body, Stop> {
        if graph.input.len() != params.len() {
            return Err(Stop::Invalid(format!(
                "the subgraph `{label}` has {} inputs, not {}",
                graph.input.len(),
                params.len()
            )));
        }
        if self.bodies.is_some() {
            return self.body_again(fs, graph, params);
        }
        if fs.scopes.len() >= self.options.limits.depth as usize {
            return Err(Stop::Invalid(format!(
                "subgraphs are nested deeper than {}",
                fs.scopes.len()
            )));
        }
        let region = self.module.functions[fs.func].regions.push(Default::default());
        let path = match &*fs.path() {
            "" => label.to_owned(),
            outer => format!("{outer}/{label}"),
        };
        fs.scopes.push(Scope {
            region,
            names: FxHashMap::default(),
            captures: Vec::new(),
            path: path.as_str().into(),
        });
        self.module.note(Entity::Region(fs.func, region), "onnx.name", graph.name());
        self.module.note(Entity::Region(fs.func, region), "onnx.doc", graph.doc_string());
        fs.declare(&graph.value_info);
        fs.declare(&graph.output);
        for (info, ty) in graph.input.iter().zip(params) {
            let mut f = std::mem::take(&mut self.module.functions[fs.func]);
            let ty = match ty {
                Type::Unknown | Type::Unranked(_) => {
                    let declared =
                        self.declared_type(&mut f, info.r#type.as_ref(), Some(info.name()));
                    if declared.refines(ty) { declared } else { ty.clone() }
                }
                known => known.clone(),
            };
            let value = f.add_param(region, ty, Some(info.name().into()));
            self.module.functions[fs.func] = f;
            fs.define(info.name(), value);
        }
        let tensors = self.initializers(graph);
        self.constants(fs, graph, &tensors);
        self.nodes(fs, &graph.node);
        let mut results = Vec::new();
        for info in &graph.output {
            match fs.resolve(&mut self.module.functions[fs.func], info.name()) {
                Some(value) => results.push(value),
                None if self.over_limit() => {}
                None => self.report.error(
                    "onnx-no-value",
                    format!(
                        "output `{}` of the subgraph {path} is not made by any node",
                        info.name()
                    ),
                ),
            }
        }
        self.module.functions[fs.func].regions[region].results = results;
        let scope = fs.scopes.pop();
        let captures = scope.map(|s| s.captures.into_iter().map(|(outer, _)| outer).collect());
        Ok(Body { region, captures: captures.unwrap_or_default() })
    }

    /// Makes a region take `all` captures in that order, of which `own` are its parameters
    /// already, in their order at the end.
    pub(super) fn share_captures(
        &mut self,
        func: FuncId,
        region: RegionId,
        own: &[ValueId],
        all: &[ValueId],
    ) {
        let f = &mut self.module.functions[func];
        let formal = f.regions[region].params.len().saturating_sub(own.len());
        let mut order: Vec<ValueId> = f.regions[region].params[..formal].to_vec();
        let mine: Vec<ValueId> = f.regions[region].params[formal..].to_vec();
        for outer in all {
            let inner = match own.iter().position(|o| o == outer) {
                Some(i) => mine[i],
                None => {
                    let (ty, name) = (f.values[*outer].ty.clone(), f.values[*outer].name.clone());
                    f.add_param(region, ty, name)
                }
            };
            order.push(inner);
        }
        f.order_params(region, order);
    }

    /// Opsets of the module for a domain that a node uses.
    pub(super) fn note_opset(&mut self, domain: &str, version: i64) {
        self.module.opsets.entry(opset_key(domain)).or_insert(version);
    }
}

/// How far a function was filled, to take back what a rule added.
pub(super) struct Mark {
    nodes: usize,
}

impl Mark {
    pub(super) fn of(f: &Function, region: RegionId) -> Self {
        Self { nodes: f.regions[region].nodes.len() }
    }
    /// Nodes added to the region since are dropped from its order; their entries stay
    /// unused in the arena.
    pub(super) fn rewind(self, f: &mut Function, region: RegionId) {
        f.regions[region].nodes.truncate(self.nodes);
    }
}

/// An order of nodes in which each comes after those that make its inputs, as near to the
/// given one as can be; the name of a value on a cycle when there is none.
fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, String> {
    let mut maker: FxHashMap<&str, usize> = FxHashMap::default();
    for (i, node) in nodes.iter().enumerate() {
        for o in node.output.iter().filter(|o| !o.is_empty()) {
            maker.entry(o).or_insert(i);
        }
    }
    let mut sorted = true;
    let mut needs: Vec<SmallVec<[usize; 4]>> = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let mut own = SmallVec::new();
        collect_uses(node, &mut |name| {
            if let Some(&m) = maker.get(name)
                && m != i
                && !own.contains(&m)
            {
                own.push(m);
            }
        });
        if node.input.iter().any(|n| maker.get(n.as_str()) == Some(&i)) {
            return Err(node.output.first().cloned().unwrap_or_default());
        }
        sorted &= own.iter().all(|&m| m < i);
        needs.push(own);
    }
    if sorted {
        return Ok((0..nodes.len()).collect());
    }
    // Depth first from each node in order; 1 is open, 2 is done.
    let mut state = vec![0u8; nodes.len()];
    let mut out = Vec::with_capacity(nodes.len());
    for start in 0..nodes.len() {
        let mut stack = vec![(start, 0usize)];
        while let Some((node, next)) = stack.pop() {
            if state[node] == 2 {
                continue;
            }
            state[node] = 1;
            match needs[node].get(next) {
                Some(&need) => {
                    stack.push((node, next + 1));
                    match state[need] {
                        0 => stack.push((need, 0)),
                        1 => return Err(nodes[need].output.first().cloned().unwrap_or_default()),
                        _ => {}
                    }
                }
                None => {
                    state[node] = 2;
                    out.push(node);
                }
            }
        }
    }
    Ok(out)
}

/// Names that a node uses, those that its subgraphs may take from outside included.
fn collect_uses<'n>(node: &'n NodeProto, visit: &mut impl FnMut(&'n str)) {
    let mut graphs: Vec<&'n GraphProto> = Vec::new();
    let push_graphs = |node: &'n NodeProto, graphs: &mut Vec<&'n GraphProto>| {
        for a in &node.attribute {
            graphs.extend(a.g.as_deref());
            graphs.extend(&a.graphs);
        }
    };
    node.input.iter().filter(|n| !n.is_empty()).for_each(|n| visit(n));
    push_graphs(node, &mut graphs);
    while let Some(graph) = graphs.pop() {
        for inner in &graph.node {
            inner.input.iter().filter(|n| !n.is_empty()).for_each(|n| visit(n));
            push_graphs(inner, &mut graphs);
        }
        graph.output.iter().for_each(|o| visit(o.name()));
    }
}
