//! Graphs: names, constants, nodes in order, inputs and outputs.

mod opaque;

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::ir::diag::Diagnostic;
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::{FuncId, NodeId, RegionId, SymbolId, TensorId, ValueId};
use airconv_api::ir::module::{Def, Entity, Function, Module, Node, Origin};
use airconv_api::ir::op::{Broadcast, Op};
use airconv_api::ir::tensor::{Storage, Tensor};
use airconv_api::ir::types::Type;
use airconv_api::ir::verify::{Stage, Verified, verify};
use airconv_api::legalize::legalize;
use airconv_api::{Failed, Report, WriteOptions};
use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use super::attr;
use super::dims::Place;
use super::node::{ExportCx, Refuse, check_schema};
use super::rules::{Export, find};
use super::types::type_proto;
use crate::common::schema::Slot;
use crate::common::{self, MICROSOFT, ML, NEWEST, OLDEST_WRITTEN, ONNX};
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, ValueInfoProto,
};

/// The opset of programs that come from elsewhere.
const DEFAULT_OPSET: i64 = 21;

/// The lowest IR version for each opset from 13 on.
const IR_VERSIONS: &[(i64, i64)] =
    &[(13, 7), (15, 8), (19, 9), (21, 10), (23, 11), (24, 12), (25, 13), (28, 14)];

/// A region being written.
#[derive(Default)]
struct Scope {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    names: FxHashMap<ValueId, String>,
    facts: FxHashMap<(Vec<Dim>, bool), String>,
    /// Keys of `facts` in order of insertion, to take back those of a refused rule.
    fact_log: Vec<(Vec<Dim>, bool)>,
    places: FxHashMap<SymbolId, Place>,
}

/// The state of writing one function.
pub(crate) struct Exporter<'m> {
    pub(super) module: &'m Module,
    func: FuncId,
    pub(super) opset: i64,
    opsets: &'m BTreeMap<String, i64>,
    /// Domains that were used.
    domains: BTreeSet<String>,
    /// Functions that were called.
    called: BTreeSet<FuncId>,
    function_names: &'m FxHashMap<FuncId, (String, String, String)>,
    scopes: Vec<Scope>,
    used: FxHashSet<String>,
    node_names: FxHashSet<String>,
    counter: usize,
    /// What is known of the types of names; tensors without their shape.
    types: FxHashMap<String, Type>,
    broadcasts: FxHashMap<ValueId, ValueId>,
    constant_nodes: bool,
    /// Whether rules are only asked whether they would write.
    pub(super) probe: bool,
}

/// Writes a module as a message. Data stays shared with the module.
pub fn export_model(
    verified: &Verified<'_>,
    options: &WriteOptions,
    report: &mut Report,
) -> Result<ModelProto, Failed> {
    let source = verified.module();
    let opset = target_opset(source, options, report)?;
    let opsets = target_opsets(source, opset);
    let names = FxHashMap::default();
    let legal = legalize(source, report, |module, func, node| {
        let mut ex = Exporter::new(module, func, &opsets, &names);
        ex.probe = true;
        let n = &module.functions[func].nodes[node];
        ex.write(node, n).map_err(|r| r.0)
    })?;
    if let Err(errors) = verify(&legal, Stage::Imported) {
        report.diagnostics.extend(errors);
        return Err(Failed::Unsupported);
    }
    write_model(&legal, opset, &opsets, report)
}

fn target_opset(
    module: &Module,
    options: &WriteOptions,
    report: &mut Report,
) -> Result<i64, Failed> {
    let asked = options.opset.unwrap_or_else(|| {
        module.opsets.get("onnx").map_or(DEFAULT_OPSET, |&v| v.max(OLDEST_WRITTEN))
    });
    if (OLDEST_WRITTEN..=NEWEST).contains(&asked) {
        return Ok(asked);
    }
    report.error(
        "onnx-opset-range",
        format!("opset {asked} cannot be written; choose one from {OLDEST_WRITTEN} to {NEWEST}"),
    );
    Err(Failed::Unsupported)
}

fn target_opsets(module: &Module, opset: i64) -> BTreeMap<String, i64> {
    let mut out = BTreeMap::from([
        (ML.to_owned(), 3),
        (MICROSOFT.to_owned(), 1),
        (common::PREVIEW.to_owned(), 1),
        (common::TRAINING.to_owned(), 1),
    ]);
    for (key, &version) in &module.opsets {
        if let Some(domain) = key.strip_prefix("onnx:") {
            out.insert(domain.to_owned(), version);
        }
    }
    out.insert(String::new(), opset);
    out
}

fn write_model(
    module: &Module,
    opset: i64,
    opsets: &BTreeMap<String, i64>,
    report: &mut Report,
) -> Result<ModelProto, Failed> {
    let names = function_names(module);
    let mut domains = BTreeSet::new();
    let mut functions = Vec::new();
    let mut done = BTreeSet::new();
    let mut main = Exporter::new(module, module.entry, opsets, &names);
    let graph = main.main_graph(report);
    domains.append(&mut main.domains);
    let mut pending = main.called;
    while let Some(func) = pending.pop_first() {
        if !done.insert(func) {
            continue;
        }
        let mut ex = Exporter::new(module, func, opsets, &names);
        ex.constant_nodes = true;
        match ex.function() {
            Ok(f) => functions.push(f),
            Err(e) => report
                .error("onnx-write", format!("function {}: {}", module.functions[func].name, e.0)),
        }
        domains.append(&mut ex.domains);
        pending.append(&mut ex.called);
    }
    if report.has_errors() {
        return Err(Failed::Unsupported);
    }
    let Some(graph) = graph else { return Err(Failed::Unsupported) };
    for key in module.opsets.keys() {
        domains.insert(key.strip_prefix("onnx:").unwrap_or("").to_owned());
    }
    if domains.is_empty() {
        // A program of constants only; a model has to import something.
        domains.insert(String::new());
    }
    let ir = ir_version(opset, module, !functions.is_empty());
    let note = |key: &str| module.noted(Entity::Module, key).map(str::to_owned);
    Ok(ModelProto {
        ir_version: Some(ir),
        producer_name: note("onnx.producer_name").or_else(|| Some("airconv".to_owned())),
        producer_version: note("onnx.producer_version"),
        domain: note("onnx.domain"),
        model_version: note("onnx.model_version").and_then(|v| v.parse().ok()),
        doc_string: note("onnx.doc"),
        graph: Some(graph),
        opset_import: domains
            .into_iter()
            .map(|d| OperatorSetIdProto {
                version: Some(opsets.get(&d).copied().unwrap_or(1)),
                domain: Some(d),
            })
            .collect(),
        metadata_props: meta_props(module, Entity::Module),
        functions,
        ..Default::default()
    })
}

/// The lowest IR version for an opset and the features used.
fn ir_version(opset: i64, module: &Module, functions: bool) -> i64 {
    let by_opset = IR_VERSIONS.iter().rev().find(|(o, _)| *o <= opset).map_or(7, |(_, ir)| *ir);
    let overloads = module.functions.values().flat_map(|f| f.nodes.values()).any(
        |n| matches!(&n.op, Op::Call(c) if c.source.as_ref().is_some_and(|s| !s.overload.is_empty())),
    );
    let meta = module.notes.iter().any(|(e, notes)| {
        *e != Entity::Module && notes.keys().any(|k| k.starts_with("onnx.meta."))
    });
    let by_features = if overloads || meta {
        10
    } else if functions {
        8
    } else {
        0
    };
    by_opset.max(by_features)
}

fn meta_props(module: &Module, about: Entity) -> Vec<StringStringEntryProto> {
    let Some(notes) = module.notes.get(&about) else { return Vec::new() };
    let entry = |(k, v): (&String, &String)| {
        k.strip_prefix("onnx.meta.")
            .map(|key| StringStringEntryProto { key: Some(key.to_owned()), value: Some(v.clone()) })
    };
    notes.iter().filter_map(entry).collect()
}

/// The domain, name and overload under which each function is written.
fn function_names(module: &Module) -> FxHashMap<FuncId, (String, String, String)> {
    let mut out: FxHashMap<FuncId, (String, String, String)> = FxHashMap::default();
    let mut taken: FxHashSet<(String, String, String)> = FxHashSet::default();
    for node in module.functions.values().flat_map(|f| f.nodes.values()) {
        let Op::Call(call) = &node.op else { continue };
        if out.contains_key(&call.function) {
            continue;
        }
        let mut key = match &call.source {
            Some(s) if s.format == "onnx" => (s.domain.clone(), s.name.clone(), s.overload.clone()),
            _ => {
                let name = module.functions.get(call.function).map_or("f", |f| f.name.as_str());
                (
                    "airconv".to_owned(),
                    name.replace(|c: char| !c.is_alphanumeric(), "_"),
                    String::new(),
                )
            }
        };
        let stem = key.1.clone();
        let mut i = 1;
        while !taken.insert(key.clone()) {
            i += 1;
            key.1 = format!("{stem}_{i}");
        }
        out.insert(call.function, key);
    }
    out
}

impl<'m> Exporter<'m> {
    pub(super) fn new(
        module: &'m Module,
        func: FuncId,
        opsets: &'m BTreeMap<String, i64>,
        function_names: &'m FxHashMap<FuncId, (String, String, String)>,
    ) -> Self {
        Self {
            module,
            func,
            opset: opsets.get(ONNX).copied().unwrap_or(DEFAULT_OPSET),
            opsets,
            domains: BTreeSet::new(),
            called: BTreeSet::new(),
            function_names,
            scopes: vec![Scope::default()],
            used: FxHashSet::default(),
            node_names: FxHashSet::default(),
            counter: 0,
            types: FxHashMap::default(),
            broadcasts: FxHashMap::default(),
            constant_nodes: false,
            probe: false,
        }
    }
    pub(super) fn f(&self) -> &'m Function {
        &self.module.functions[self.func]
    }
    pub(super) fn ty(&self, value: ValueId) -> &'m Type {
        self.f().ty(value)
    }
    pub(super) fn version_of(&self, domain: &str) -> i64 {
        self.opsets.get(domain).copied().unwrap_or(1)
    }
    /// What stands in a slot under this name.
    pub(super) fn slot(&self, name: &str) -> Slot<'_> {
        if name.is_empty() { Slot::Absent } else { Slot::Given(self.types.get(name)) }
    }
    pub(super) fn set_dtype(&mut self, name: &str, dtype: Option<DType>) {
        if let Some(dtype) = dtype {
            self.types.insert(name.to_owned(), Type::Unranked(dtype));
        }
    }
    /// Notes the type of a value under a name.
    fn set_type(&mut self, name: &str, value: ValueId) {
        match self.ty(value) {
            Type::Unknown => {}
            Type::Tensor(t) => self.set_dtype(name, Some(t.dtype)),
            other => {
                self.types.insert(name.to_owned(), other.clone());
            }
        }
    }
    fn scope(&mut self) -> &mut Scope {
        // There is always the scope of the function's body.
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    // Names.

    /// A name that is not used yet, which starts with `stem`.
    pub(super) fn fresh_name(&mut self, stem: &str) -> String {
        let stem = if stem.is_empty() { "v" } else { stem };
        loop {
            let name = format!("{stem}_{}", self.counter);
            self.counter += 1;
            if self.used.insert(name.clone()) {
                return name;
            }
        }
    }
    fn lookup(&self, value: ValueId) -> Option<&String> {
        self.scopes.iter().rev().find_map(|s| s.names.get(&value))
    }
    /// Gives a value a name: its own if that is free.
    fn assign_name(&mut self, value: ValueId) -> String {
        let own = self.f().values[value].name.clone();
        let name = match own {
            Some(own) if !own.is_empty() && self.used.insert(own.to_string()) => own.to_string(),
            Some(own) => self.fresh_name(&own),
            None => self.fresh_name("v"),
        };
        self.bind_name(value, name.clone());
        name
    }
    fn bind_name(&mut self, value: ValueId, name: String) {
        self.set_type(&name, value);
        self.scope().names.insert(value, name);
    }
    /// The name of a value that was written; an implicit broadcast is written on demand.
    pub(super) fn name_of(&mut self, value: ValueId) -> Result<String, Refuse> {
        if let Some(name) = self.lookup(value) {
            return Ok(name.clone());
        }
        if let Some(&source) = self.broadcasts.get(&value) {
            return self.expand(value, source);
        }
        if self.probe {
            let name = value.to_string();
            self.set_type(&name, value);
            return Ok(name);
        }
        Refuse::because(format!("{value} is used before it is written"))
    }
    /// The operand of an implicit broadcast, else the value itself.
    pub(super) fn bare(&self, value: ValueId) -> ValueId {
        if let Some(&source) = self.broadcasts.get(&value) {
            return source;
        }
        match self.f().values[value].def {
            Def::Result { node, .. } if self.probe => match &self.f().nodes[node] {
                Node { op: Op::Broadcast(Broadcast { implicit: true, .. }), operands, .. } => {
                    operands.first().copied().flatten().unwrap_or(value)
                }
                _ => value,
            },
            _ => value,
        }
    }
    fn expand(&mut self, value: ValueId, source: ValueId) -> Result<String, Refuse> {
        let Some(ty) = self.ty(value).as_tensor().cloned() else {
            return Refuse::because("a broadcast has no tensor type");
        };
        let x = self.name_of(source)?;
        let shape = self.dims(&ty.shape)?;
        let name = self.assign_name(value);
        self.write_node(ONNX, "Expand", None, &[x, shape], vec![name.clone()], Vec::new())?;
        Ok(name)
    }

    // Facts about sizes.

    pub(super) fn fact(&self, dims: &[Dim], scalar: bool) -> Option<String> {
        let key = (dims.to_vec(), scalar);
        self.scopes.iter().rev().find_map(|s| s.facts.get(&key)).cloned()
    }
    pub(super) fn add_fact(&mut self, dims: Vec<Dim>, scalar: bool, name: String) {
        let scope = self.scope();
        scope.fact_log.push((dims.clone(), scalar));
        scope.facts.insert((dims, scalar), name);
    }
    pub(super) fn place_of(&self, symbol: SymbolId) -> Option<Place> {
        self.scopes.iter().rev().find_map(|s| s.places.get(&symbol)).cloned()
    }
    fn add_places(&mut self, value: ValueId) {
        let Some(t) = self.ty(value).as_tensor() else { return };
        for (axis, dim) in t.shape.iter().enumerate() {
            if let Some(symbol) = dim.as_symbol()
                && self.place_of(symbol).is_none()
            {
                self.scope().places.insert(symbol, Place::Axis(value, axis));
            }
        }
    }
    /// Learns from a `dims_of` node.
    fn learn_dims(&mut self, node: &Node, dims: &[Dim]) -> Result<(), Refuse> {
        let Some(value) = node.operand(0) else { return Ok(()) };
        let tensor = self.name_of(value)?;
        let Some(ty) = self.ty(value).as_tensor() else { return Ok(()) };
        let (dtype, scalar) = (ty.dtype, ty.rank() == 0);
        for (index, dim) in dims.iter().enumerate() {
            if let Some(symbol) = dim.as_symbol()
                && self.place_of(symbol).is_none()
            {
                let place = Place::Element { tensor: tensor.clone(), index, scalar, dtype };
                self.scope().places.insert(symbol, place);
            }
        }
        if dtype == DType::I64 {
            self.add_fact(dims.to_vec(), scalar, tensor);
        }
        Ok(())
    }

    // Constants.

    /// A tensor in ONNX's form.
    pub(super) fn tensor_proto(&self, id: TensorId, name: &str) -> Result<TensorProto, Refuse> {
        match self.module.tensors.get(id) {
            Some(t) => {
                let mut proto = to_proto(t, name)?;
                proto.doc_string =
                    self.module.noted(Entity::Tensor(id), "onnx.doc").map(str::to_owned);
                Ok(proto)
            }
            None => Refuse::because(format!("there is no tensor {id}")),
        }
    }
    /// Writes a constant and gives its name.
    pub(super) fn constant(&mut self, tensor: &Tensor, stem: &str) -> Result<String, Refuse> {
        let name = self.fresh_name(stem);
        let proto = to_proto(tensor, &name)?;
        self.set_dtype(&name, Some(tensor.dtype));
        self.place_constant(proto, &name, false)?;
        Ok(name)
    }
    fn place_constant(
        &mut self,
        mut proto: TensorProto,
        name: &str,
        as_node: bool,
    ) -> Result<(), Refuse> {
        if as_node || self.constant_nodes {
            proto.name = None;
            let attrs = vec![attr::tensor("value", proto)];
            return self.write_node(ONNX, "Constant", None, &[], vec![name.to_owned()], attrs);
        }
        self.scope().initializers.push(proto);
        Ok(())
    }

    // Nodes.

    pub(super) fn node_name(&self, node: &Node) -> Option<String> {
        match self.module.source_of(node.origin) {
            Some(Origin::Source { name, .. }) if !name.is_empty() => Some(name.to_string()),
            _ => None,
        }
    }
    pub(super) fn node_note(&self, node: &Node, key: &str) -> Option<&'m str> {
        let value = node.outputs().next()?;
        let id = airconv_api::ir::visit::producer(self.f(), value)?;
        self.module.noted(Entity::Node(self.func, id), key)
    }

    /// Adds a node after checking it against its schema.
    pub(super) fn write_node(
        &mut self,
        domain: &str,
        op: &str,
        name: Option<String>,
        inputs: &[String],
        outputs: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) -> Result<(), Refuse> {
        let mut input = inputs.to_vec();
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let mut output = outputs;
        while output.last().is_some_and(String::is_empty) {
            output.pop();
        }
        let name = name.filter(|n| self.node_names.insert(n.clone()));
        let node = NodeProto {
            input,
            output,
            name,
            op_type: Some(op.to_owned()),
            attribute,
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            ..Default::default()
        };
        check_schema(self, domain, &node)?;
        self.domains.insert(domain.to_owned());
        self.scope().nodes.push(node);
        Ok(())
    }

    /// Writes a node by the first rule that does not refuse.
    pub(super) fn write(&mut self, id: NodeId, node: &Node) -> Result<(), Refuse> {
        match &node.op {
            Op::Constant(c) => return self.write_constant(id, node, c.tensor),
            Op::Broadcast(Broadcast { implicit: true, .. }) => {
                if let (Some(x), Some(y)) = (node.operand(0), node.result(0)) {
                    self.broadcasts.insert(y, x);
                }
                return Ok(());
            }
            Op::DimsOf(d) => return self.learn_dims(node, &d.dims),
            Op::DimValue(d) => {
                let Some(y) = node.result(0) else { return Ok(()) };
                let name = match d.dims.as_slice() {
                    [one] if d.scalar => self.dim_scalar(one)?,
                    dims => self.dims(dims)?,
                };
                self.bind_name(y, name);
                return Ok(());
            }
            _ => {}
        }
        let outputs: Vec<String> = node
            .results
            .iter()
            .map(|r| r.map_or_else(String::new, |r| self.assign_output_name(r)))
            .collect();
        match &node.op {
            Op::Opaque(_) => self.write_opaque(node, outputs)?,
            Op::Call(_) => self.write_call(node, outputs)?,
            op => self.apply(node, op, outputs)?,
        }
        node.outputs().for_each(|v| self.add_places(v));
        self.copy_notes(id);
        Ok(())
    }

    fn assign_output_name(&mut self, value: ValueId) -> String {
        match self.lookup(value) {
            Some(name) => name.clone(),
            None => self.assign_name(value),
        }
    }

    fn apply(&mut self, node: &Node, op: &Op, outputs: Vec<String>) -> Result<(), Refuse> {
        let mut reasons: Vec<String> = Vec::new();
        for rule in find(op.kind()) {
            let scope = self.scope();
            let mark = (scope.nodes.len(), scope.initializers.len(), scope.fact_log.len());
            let mut cx = ExportCx { ex: self, node, outputs: outputs.clone() };
            let result = match rule.export {
                Export::Mirror(mirror) => cx.mirror(op, mirror),
                Export::Rule(f) => f(&mut cx, op),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(Refuse(reason)) => {
                    reasons.push(reason);
                    let scope = self.scope();
                    scope.nodes.truncate(mark.0);
                    scope.initializers.truncate(mark.1);
                    for key in scope.fact_log.split_off(mark.2) {
                        scope.facts.remove(&key);
                    }
                }
            }
        }
        if reasons.is_empty() {
            reasons.push(format!("there is no rule for `{}`", op.name()));
        }
        reasons.dedup();
        Refuse::because(reasons.join("; "))
    }

    fn write_constant(&mut self, id: NodeId, node: &Node, tensor: TensorId) -> Result<(), Refuse> {
        let Some(y) = node.result(0) else { return Ok(()) };
        let name = self.assign_output_name(y);
        let proto = self.tensor_proto(tensor, &name)?;
        let as_node = self.module.noted(Entity::Node(self.func, id), "onnx.constant").is_some();
        self.place_constant(proto, &name, as_node)?;
        if as_node
            && let Some(label) = self.node_name(node)
            && self.node_names.insert(label.clone())
            && let Some(last) = self.scope().nodes.last_mut()
        {
            last.name = Some(label);
        }
        // Small integer constants serve where sizes are wanted.
        if let Some(t) = self.module.tensors.get(tensor)
            && t.dtype == DType::I64
            && t.dims.len() <= 1
            && t.numel().is_some_and(|n| n <= 64)
            && let Ok(array) = t.to_array()
            && let Some(ints) = array.to_i64s()
        {
            let key: Vec<Dim> = ints.into_iter().map(Dim::Known).collect();
            if self.fact(&key, t.dims.is_empty()).is_none() {
                self.add_fact(key, t.dims.is_empty(), name);
            }
        }
        Ok(())
    }

    fn copy_notes(&mut self, id: NodeId) {
        let about = Entity::Node(self.func, id);
        if let Some(notes) = self.module.notes.get(&about) {
            let doc = notes.get("onnx.doc").cloned();
            let meta = meta_props(self.module, about);
            if let Some(last) = self.scope().nodes.last_mut() {
                last.doc_string = doc;
                last.metadata_props = meta;
            }
        }
    }

    fn write_call(&mut self, node: &Node, outputs: Vec<String>) -> Result<(), Refuse> {
        let Op::Call(call) = &node.op else { return Ok(()) };
        let inputs = node.inputs().map(|v| self.name_of(v)).collect::<Result<Vec<_>, _>>()?;
        self.called.insert(call.function);
        let Some((domain, name, overload)) = self.function_names.get(&call.function).cloned()
        else {
            return if self.probe { Ok(()) } else { Refuse::because("the function has no name") };
        };
        let label = self.node_name(node);
        self.write_node(&domain, &name, label, &inputs, outputs, Vec::new())?;
        if let (false, Some(last)) = (overload.is_empty(), self.scope().nodes.last_mut()) {
            last.overload = Some(overload);
        }
        Ok(())
    }

    // Graphs.

    /// A region as a graph, in a scope of its own. Its last parameters stand for captured
    /// values of the scope around and are left out of its inputs.
    pub(super) fn subgraph(
        &mut self,
        region: RegionId,
        captures: &[ValueId],
    ) -> Result<GraphProto, Refuse> {
        if self.probe {
            return Ok(GraphProto::default());
        }
        let f = self.f();
        let Some(r) = f.regions.get(region) else {
            return Refuse::because(format!("there is no region {region}"));
        };
        let formal = r.params.len().saturating_sub(captures.len());
        let outer: Vec<String> =
            captures.iter().map(|&v| self.name_of(v)).collect::<Result<_, _>>()?;
        self.scopes.push(Scope::default());
        let mut inputs = Vec::new();
        for &param in &r.params[..formal] {
            let name = self.assign_name(param);
            inputs.push(self.value_info(param, &name));
            self.add_places(param);
        }
        for (&param, name) in r.params[formal..].iter().zip(outer) {
            self.bind_name(param, name);
            self.add_places(param);
        }
        let result = self.fill(region);
        let scope = self.scopes.pop().unwrap_or_default();
        let outputs = result?;
        let about = Entity::Region(self.func, region);
        let name = self.module.noted(about, "onnx.name").unwrap_or("graph");
        Ok(GraphProto {
            node: scope.nodes,
            name: Some(name.to_owned()),
            initializer: scope.initializers,
            doc_string: self.module.noted(about, "onnx.doc").map(str::to_owned),
            input: inputs,
            output: outputs,
            ..Default::default()
        })
    }

    /// Starts a graph that a rule writes by itself, in a scope of its own.
    pub(super) fn open_branch(&mut self) {
        self.scopes.push(Scope::default());
    }
    /// Ends such a graph; its one output has the type of a value.
    pub(super) fn close_branch(
        &mut self,
        value: ValueId,
        output: Result<String, Refuse>,
    ) -> Result<GraphProto, Refuse> {
        let scope = self.scopes.pop().unwrap_or_default();
        let name = output?;
        Ok(GraphProto {
            node: scope.nodes,
            name: Some("graph".to_owned()),
            initializer: scope.initializers,
            output: vec![self.value_info(value, &name)],
            ..Default::default()
        })
    }

    /// Writes the nodes of a region and gives its outputs under fresh or own names. A result
    /// that is not made by a node of this region, or is given twice, goes through `Identity`.
    fn fill(&mut self, region: RegionId) -> Result<Vec<ValueInfoProto>, Refuse> {
        let f = self.f();
        let r = &f.regions[region];
        for &id in &r.nodes {
            self.write(id, &f.nodes[id])?;
        }
        let mut outputs = Vec::new();
        let mut given = FxHashSet::default();
        for &v in &r.results {
            let mut name = self.name_of(v)?;
            let own = self.scope().nodes.iter().any(|n| n.output.contains(&name));
            if !own || !given.insert(name.clone()) {
                let out = self.fresh_name(&name);
                self.set_type(&out, v);
                self.write_node(ONNX, "Identity", None, &[name], vec![out.clone()], Vec::new())?;
                given.insert(out.clone());
                name = out;
            }
            outputs.push(self.value_info(v, &name));
        }
        Ok(outputs)
    }

    fn value_info(&self, value: ValueId, name: &str) -> ValueInfoProto {
        let about = Entity::Value(self.func, value);
        let mut ty = type_proto(self.f(), self.ty(value));
        if let (Some(ty), Some(denotation)) = (&mut ty, self.module.noted(about, "onnx.denotation"))
        {
            ty.denotation = Some(denotation.to_owned());
        }
        ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: ty,
            doc_string: self.module.noted(about, "onnx.doc").map(str::to_owned),
            metadata_props: meta_props(self.module, about),
        }
    }

    fn main_graph(&mut self, report: &mut Report) -> Option<GraphProto> {
        let f = self.f();
        let body = f.body();
        // The names of inputs and outputs are taken before all others.
        let mut inputs = Vec::new();
        for (input, &param) in f.inputs.iter().zip(&body.params) {
            self.used.insert(input.name.clone());
            self.bind_name(param, input.name.clone());
            self.add_places(param);
            if let Some(tensor) = input.role.stored() {
                match self.tensor_proto(tensor, &input.name) {
                    Ok(proto) => self.scope().initializers.push(proto),
                    Err(e) => {
                        report.error("onnx-write", format!("input `{}`: {}", input.name, e.0))
                    }
                }
            }
            inputs.push(self.value_info(param, &input.name));
        }
        let names = self.output_names(report);
        let mut direct: FxHashSet<ValueId> = FxHashSet::default();
        for (name, &value) in names.iter().zip(&body.results) {
            if makes_output(f, value) && direct.insert(value) {
                self.bind_name(value, name.clone());
            }
        }
        for &id in &body.nodes {
            if let Err(Refuse(reason)) = self.write(id, &f.nodes[id]) {
                let n = &f.nodes[id];
                report.push(
                    Diagnostic::error(
                        "onnx-write",
                        format!("`{}` cannot be written: {reason}", n.op.name()),
                    )
                    .at_origin(self.module, n.origin),
                );
            }
        }
        if report.has_errors() {
            return None;
        }
        let mut outputs = Vec::new();
        for ((output, name), &value) in f.outputs.iter().zip(&names).zip(&body.results) {
            let written = self.name_of(value).and_then(|made| {
                if made == *name {
                    return Ok(());
                }
                self.set_type(name, value);
                self.write_node(ONNX, "Identity", None, &[made], vec![name.clone()], Vec::new())
            });
            if let Err(Refuse(reason)) = written {
                report.error("onnx-write", format!("output `{}`: {reason}", output.name));
            }
            outputs.push(self.output_info(value, &output.name, name));
        }
        let about = Entity::Func(self.func);
        let scope = std::mem::take(self.scope());
        Some(GraphProto {
            node: scope.nodes,
            name: Some(f.name.clone()),
            initializer: scope.initializers,
            doc_string: self.module.noted(about, "onnx.doc").map(str::to_owned),
            input: inputs,
            output: outputs,
            quantization_annotation: self.quantization(),
            metadata_props: meta_props(self.module, about),
            ..Default::default()
        })
    }

    /// The names under which the outputs are written. In ONNX an output shares them with the
    /// inputs, so one that has an input's name, or that of an output before it, gets another; an
    /// input that is given as it came keeps its own.
    fn output_names(&mut self, report: &mut Report) -> Vec<String> {
        let f = self.f();
        let mut given = FxHashSet::default();
        let mut names: Vec<Option<String>> = Vec::with_capacity(f.outputs.len());
        for (output, &value) in f.outputs.iter().zip(&f.body().results) {
            let first = given.insert(&output.name);
            let free = self.used.insert(output.name.clone());
            let own = first && (free || self.lookup(value) == Some(&output.name));
            names.push(own.then(|| output.name.clone()));
        }
        let mut name = |(name, old): (Option<String>, &str)| {
            name.unwrap_or_else(|| {
                let new = self.fresh_name(old);
                let message = "an output had the name of an input or of another output";
                report.structural("renamed-output", message, format!("`{old}` is `{new}` now"));
                new
            })
        };
        let old = f.outputs.iter().map(|o| o.name.as_str());
        names.into_iter().zip(old).map(&mut name).collect()
    }

    /// What is said of an output of the program that is written under a name.
    fn output_info(&self, value: ValueId, output: &str, name: &str) -> ValueInfoProto {
        let about = Entity::Func(self.func);
        let mut ty = type_proto(self.f(), self.ty(value));
        let denotation = self.module.noted(about, &format!("onnx.output_denotation.{output}"));
        if let (Some(ty), Some(denotation)) = (&mut ty, denotation) {
            ty.denotation = Some(denotation.to_owned());
        }
        let doc = self.module.noted(about, &format!("onnx.output_doc.{output}"));
        ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: ty,
            doc_string: doc.map(str::to_owned),
            metadata_props: Vec::new(),
        }
    }

    fn quantization(&self) -> Vec<TensorAnnotation> {
        let Some(notes) = self.module.notes.get(&Entity::Func(self.func)) else {
            return Vec::new();
        };
        let mut out: BTreeMap<String, Vec<StringStringEntryProto>> = BTreeMap::new();
        for (key, value) in notes {
            let Some((tensor, key)) =
                key.strip_prefix("onnx.quant.").and_then(|k| k.rsplit_once('.'))
            else {
                continue;
            };
            out.entry(tensor.to_owned()).or_default().push(StringStringEntryProto {
                key: Some(key.to_owned()),
                value: Some(value.clone()),
            });
        }
        out.into_iter()
            .map(|(name, quant_parameter_tensor_names)| TensorAnnotation {
                tensor_name: Some(name),
                quant_parameter_tensor_names,
            })
            .collect()
    }

    fn function(&mut self) -> Result<FunctionProto, Refuse> {
        let f = self.f();
        let body = f.body();
        let mut input = Vec::new();
        for (spec, &param) in f.inputs.iter().zip(&body.params) {
            self.used.insert(spec.name.clone());
            self.bind_name(param, spec.name.clone());
            self.add_places(param);
            input.push(spec.name.clone());
        }
        let outputs = self.fill(f.body)?;
        let scope = std::mem::take(self.scope());
        let (domain, name, overload) =
            self.function_names.get(&self.func).cloned().unwrap_or_default();
        let mut opset_import: Vec<OperatorSetIdProto> = self
            .domains
            .iter()
            .map(|d| OperatorSetIdProto {
                domain: Some(d.clone()),
                version: Some(self.version_of(d)),
            })
            .collect();
        if opset_import.is_empty() {
            opset_import.push(OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(self.opset),
            });
        }
        self.domains.insert(domain.clone());
        Ok(FunctionProto {
            name: Some(name),
            input,
            output: outputs.iter().map(|o| o.name().to_owned()).collect(),
            node: scope.nodes,
            doc_string: self.module.noted(Entity::Func(self.func), "onnx.doc").map(str::to_owned),
            opset_import,
            domain: Some(domain),
            overload: (!overload.is_empty()).then_some(overload),
            ..Default::default()
        })
    }
}

/// Whether a value is made by a node that is written as one that can carry an output's name.
fn makes_output(f: &Function, value: ValueId) -> bool {
    match f.values[value].def {
        Def::Param { .. } => false,
        Def::Result { node, .. } => !matches!(
            f.nodes[node].op,
            Op::DimValue(_) | Op::Broadcast(Broadcast { implicit: true, .. })
        ),
    }
}

/// A tensor in ONNX's form; bytes are shared.
pub(crate) fn to_proto(tensor: &Tensor, name: &str) -> Result<TensorProto, Refuse> {
    let Some(data_type) = common::dtype::to_onnx(tensor.dtype) else {
        return Refuse::because(format!("ONNX has no {}", tensor.dtype));
    };
    let dims = tensor
        .dims
        .iter()
        .map(|&d| i64::try_from(d).map_err(|_| Refuse(format!("the size {d} is too large"))))
        .collect::<Result<_, _>>()?;
    let mut proto = TensorProto {
        dims,
        data_type: Some(data_type),
        name: (!name.is_empty()).then(|| name.to_owned()),
        ..Default::default()
    };
    match &tensor.storage {
        Storage::Bytes(b) => proto.raw_data = Some(b.clone()),
        Storage::Splat(_) => {
            let array = tensor.to_array().map_err(|e| Refuse(e.to_string()))?;
            proto.raw_data = Some(array.to_bytes().map_err(|e| Refuse(e.to_string()))?.into());
        }
        Storage::Strings(strings) => {
            proto.string_data = strings.iter().map(|s| Bytes::copy_from_slice(s)).collect();
        }
        Storage::External { path, .. } => {
            return Refuse::because(format!("the data in `{path}` has not been opened"));
        }
    }
    Ok(proto)
}
