//! The state of writing a function: names, facts about sizes, constants, nodes.

mod model;
mod opaque;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::{FuncId, NodeId, SymbolId, TensorId, ValueId};
use airconv_api::ir::module::{Def, Entity, Function, Module, Node, Origin};
use airconv_api::ir::op::{Broadcast, Op};
use airconv_api::ir::tensor::{Storage, Tensor};
use airconv_api::ir::types::Type;
use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use super::attr;
use super::dims::Place;
use super::node::{ExportCx, Refuse, check_schema};
use super::rules::{Export, find};
use crate::common::schema::Slot;
use crate::common::{self, ONNX};
use crate::proto::{AttributeProto, NodeProto, TensorProto};
use model::{DEFAULT_OPSET, meta_props};

pub use model::export_model;

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
