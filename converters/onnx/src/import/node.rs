//! What a rule sees of a node.

use airconv_api::ir::array::Array;
use airconv_api::ir::attr::{Attr, Float};
use airconv_api::ir::builder::{BuildError, Builder};
use airconv_api::ir::dim::{Dim, Range, Shape, broadcast_shapes};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::{OriginId, TensorId, ValueId};
use airconv_api::ir::infer::InferError;
use airconv_api::ir::module::Def;
use airconv_api::ir::op::{Broadcast, DimsOf, Op};
use airconv_api::ir::types::{TensorType, Type};
use smallvec::SmallVec;

use super::Importer;
use super::attrs::{AttrError, Attrs};
use super::graph::FuncState;
use crate::common::mirror::Mirror;
use crate::proto::NodeProto;

/// The values of a node's outputs by position; `None` for one that is not there.
pub(crate) type Outputs = SmallVec<[Option<ValueId>; 2]>;

/// What a rule gives.
pub(crate) type Outcome = Result<Outputs, Stop>;

/// Why a rule gave nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    /// It needs to know more than is known before run time; the node stays opaque.
    Defer(String),
    /// The node is wrong.
    Invalid(String),
    /// The node is right and cannot be read.
    Unsupported(String),
}

impl From<AttrError> for Stop {
    fn from(e: AttrError) -> Self {
        Self::Invalid(e.to_string())
    }
}

impl From<BuildError> for Stop {
    fn from(e: BuildError) -> Self {
        match e {
            BuildError::Infer(InferError::Unknown(what)) => {
                Self::Defer(format!("the type of `{what}` is not known"))
            }
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// A node while its rule runs.
pub(crate) struct NodeCx<'a, 'p> {
    pub(super) imp: &'a mut Importer<'p>,
    pub(super) fs: &'a mut FuncState<'p>,
    /// The node's attributes.
    pub attrs: &'a Attrs<'p>,
    pub(super) node: &'p NodeProto,
    /// The version of the node's domain.
    pub version: i64,
    pub(super) inputs: SmallVec<[Option<ValueId>; 6]>,
    pub(super) origin: OriginId,
}

impl<'a, 'p> NodeCx<'a, 'p> {
    /// A builder at the end of the current region.
    pub fn b(&mut self) -> Builder<'_> {
        let (func, region) = (self.fs.func, self.fs.region());
        Builder::new(&mut self.imp.module, func, region, self.origin)
    }
    /// The number of inputs given, absent inner ones counted.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }
    /// The number of outputs named, absent inner ones counted.
    pub fn output_count(&self) -> usize {
        self.node.output.len()
    }
    /// Whether an output is there.
    pub fn wants(&self, output: usize) -> bool {
        self.node.output.get(output).is_some_and(|o| !o.is_empty())
    }
    /// An input that may be absent.
    pub fn opt(&self, input: usize) -> Option<ValueId> {
        self.inputs.get(input).copied().flatten()
    }
    /// A required input.
    pub fn input(&self, input: usize) -> Result<ValueId, Stop> {
        self.opt(input).ok_or_else(|| Stop::Invalid(format!("input {input} is missing")))
    }
    /// All inputs from a position on; absent ones are an error.
    pub fn inputs_from(&self, first: usize) -> Result<Vec<ValueId>, Stop> {
        (first..self.inputs.len()).map(|i| self.input(i)).collect()
    }
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        self.imp.module.functions[self.fs.func].ty(value)
    }
    /// The tensor type of a value; without it the node waits.
    pub fn tensor_ty(&self, value: ValueId) -> Result<TensorType, Stop> {
        match self.ty(value) {
            Type::Tensor(t) => Ok(t.clone()),
            Type::Unranked(_) | Type::Unknown => {
                Err(Stop::Defer(format!("the rank of {} is not known", self.value_name(value))))
            }
            Type::Sequence(_) | Type::Optional(_) | Type::Map(..) => {
                Err(Stop::Invalid(format!("{} is not a tensor", self.value_name(value))))
            }
        }
    }
    fn value_name(&self, value: ValueId) -> String {
        match &self.imp.module.functions[self.fs.func].values[value].name {
            Some(name) => format!("`{name}`"),
            None => value.to_string(),
        }
    }
    /// The tensor type of a required input.
    pub fn input_ty(&self, input: usize) -> Result<TensorType, Stop> {
        self.tensor_ty(self.input(input)?)
    }
    /// The rank of a required input.
    pub fn rank(&self, input: usize) -> Result<usize, Stop> {
        Ok(self.input_ty(input)?.rank())
    }
    /// The dtype of a required input.
    pub fn dtype(&self, input: usize) -> Result<DType, Stop> {
        let v = self.input(input)?;
        self.ty(v)
            .dtype()
            .ok_or_else(|| Stop::Defer(format!("the dtype of {} is not known", self.value_name(v))))
    }
    /// An error about the node.
    pub fn invalid<T>(&self, message: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Invalid(message.into()))
    }

    // Attributes with their defaults.

    /// An integer.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, Stop> {
        Ok(self.attrs.opt_int(name)?.unwrap_or(default))
    }
    /// A required integer.
    pub fn need_int(&self, name: &str) -> Result<i64, Stop> {
        self.attrs.opt_int(name)?.ok_or_else(|| AttrError::Missing(name.to_owned()).into())
    }
    /// A truth value.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool, Stop> {
        Ok(self.attrs.opt_bool(name)?.unwrap_or(default))
    }
    /// A float; the default is rounded to f32 as the attribute would be.
    pub fn float(&self, name: &str, default: f32) -> Result<Float, Stop> {
        Ok(self.attrs.opt_float(name)?.unwrap_or(Float(f64::from(default))))
    }
    /// A string.
    pub fn string(&self, name: &str, default: &str) -> Result<String, Stop> {
        Ok(self.attrs.opt_string(name)?.unwrap_or_else(|| default.to_owned()))
    }
    /// A string spelled as an enumerated choice.
    pub fn choice<T>(
        &self,
        name: &str,
        default: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, Stop> {
        let text = self.string(name, default)?;
        parse(&text).ok_or_else(|| Stop::Invalid(format!("attribute `{name}` is `{text}`")))
    }
    /// Integers; empty when absent.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, Stop> {
        Ok(self.attrs.opt_ints(name)?.unwrap_or_default())
    }
    /// Floats; empty when absent.
    pub fn floats(&self, name: &str) -> Result<Vec<Float>, Stop> {
        Ok(self.attrs.opt_floats(name)?.unwrap_or_default())
    }
    /// Strings; empty when absent.
    pub fn strings(&self, name: &str) -> Result<Vec<String>, Stop> {
        Ok(self.attrs.opt_strings(name)?.unwrap_or_default())
    }
    /// A tensor, added to the module.
    pub fn tensor(&mut self, name: &str) -> Result<Option<TensorId>, Stop> {
        match self.attrs.opt_tensor(name)? {
            Some(proto) => self.imp.add_tensor(proto).map(Some).map_err(Stop::Invalid),
            None => Ok(None),
        }
    }
    /// Checks that an attribute has the one value that is supported.
    pub fn must_be(&self, name: &str, value: i64) -> Result<(), Stop> {
        match self.int(name, value)? {
            v if v == value => Ok(()),
            v => Err(Stop::Unsupported(format!(
                "attribute `{name}` is {v}; only {value} is supported"
            ))),
        }
    }

    // Axes.

    /// An axis made non-negative and checked.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<i64, Stop> {
        let r = rank as i64;
        let a = if axis < 0 { axis + r } else { axis };
        if (0..r).contains(&a) {
            Ok(a)
        } else {
            Err(Stop::Invalid(format!("axis {axis} is out of range for rank {rank}")))
        }
    }
    /// Axes made non-negative, checked and distinct.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<i64>, Stop> {
        let mut out = Vec::with_capacity(axes.len());
        for &axis in axes {
            let a = self.axis(axis, rank)?;
            if out.contains(&a) {
                return self.invalid(format!("axis {axis} occurs twice"));
            }
            out.push(a);
        }
        Ok(out)
    }

    // Values known before run time.

    /// The value outside of all regions that a capture stands for.
    fn root(&self, value: ValueId) -> ValueId {
        self.fs.known.root(value)
    }
    /// The tensor of a value that is a constant.
    pub fn const_tensor(&self, value: ValueId) -> Option<TensorId> {
        self.fs.known.tensor(&self.imp.module.functions[self.fs.func], value)
    }
    /// The elements of an input that is a constant, or follows from constants.
    pub fn const_array(&self, input: usize) -> Option<Array> {
        self.value_array(self.opt(input)?)
    }
    fn value_array(&self, value: ValueId) -> Option<Array> {
        if let Some(tensor) = self.const_tensor(value) {
            return self.imp.module.tensors[tensor].to_array().ok();
        }
        let module = &self.imp.module;
        self.fs.known.array(module, &module.functions[self.fs.func], value)
    }
    /// The truth value of an input, if it is known.
    pub fn truth(&self, input: usize) -> Option<bool> {
        let module = &self.imp.module;
        self.fs.known.truth(module, &module.functions[self.fs.func], self.opt(input)?)
    }
    /// The elements of an input that has to be a constant; else the node waits.
    pub fn need_array(&self, input: usize, what: &str) -> Result<Array, Stop> {
        self.input(input)?;
        self.const_array(input)
            .ok_or_else(|| Stop::Defer(format!("{what} is only known at run time")))
    }
    /// The elements of an integer input in terms of sizes, if known.
    pub fn facts(&self, input: usize) -> Option<Vec<Dim>> {
        let value = self.root(self.opt(input)?);
        if let Some(known) = self.fs.known.facts.get(value) {
            return Some(known.to_vec());
        }
        let ints = self.value_array(value)?.to_i64s()?;
        Some(ints.into_iter().map(Dim::Known).collect())
    }
    /// The elements of an integer input, if all are numbers.
    pub fn const_ints(&self, input: usize) -> Option<Vec<i64>> {
        self.facts(input)?.iter().map(Dim::as_known).collect()
    }
    /// The elements of an integer input that have to be numbers; else the node waits.
    pub fn need_ints(&self, input: usize, what: &str) -> Result<Vec<i64>, Stop> {
        self.input(input)?;
        self.const_ints(input)
            .ok_or_else(|| Stop::Defer(format!("{what} is only known at run time")))
    }
    /// The elements of an integer input of rank 0 or 1 as sizes. What is not known becomes
    /// symbols that a `dims_of` node binds, which needs the number of elements.
    pub fn dims_input(&mut self, input: usize, what: &str) -> Result<Vec<Dim>, Stop> {
        let value = self.input(input)?;
        if let Some(ints) = self.const_ints(input) {
            return Ok(ints.into_iter().map(Dim::Known).collect());
        }
        let dims = match self.facts(input) {
            Some(mut dims) => {
                let why = format!("element of {what}");
                for dim in dims.iter_mut().filter(|d| d.is_any()) {
                    let range = Range { min: None, max: None };
                    let symbol = self.b().f_mut().add_symbol("d", range, Some(why.clone()));
                    *dim = Dim::from(symbol);
                }
                dims
            }
            None => {
                let ty = self.tensor_ty(value)?;
                let count = match ty.shape.as_slice() {
                    [] => 1,
                    [n] => n.as_known().filter(|n| (0..=64).contains(n)).ok_or_else(|| {
                        Stop::Defer(format!(
                            "the number of elements of {what} is only known at run time"
                        ))
                    })?,
                    _ => return self.invalid(format!("{what} has rank {}", ty.rank())),
                };
                let why = format!("element of {what}");
                let mut b = self.b();
                (0..count)
                    .map(|_| {
                        let range = Range { min: None, max: None };
                        Dim::from(b.f_mut().add_symbol("d", range, Some(why.clone())))
                    })
                    .collect()
            }
        };
        let node = self.b().node(DimsOf { dims: dims.clone() }, &[Some(value)])?;
        self.fs.visit(&self.imp.module, node);
        Ok(dims)
    }
    /// Whether an input is given at run time and nothing is known of its elements.
    pub fn is_given(&self, input: usize) -> bool {
        let f = &self.imp.module.functions[self.fs.func];
        let Some(value) = self.opt(input).map(|v| self.root(v)) else { return false };
        matches!(f.values[value].def, Def::Param { .. }) && self.facts(input).is_none()
    }
    /// A size as the ranges of its symbols allow to write it.
    pub fn simplified(&self, dim: Dim) -> Dim {
        let f = &self.imp.module.functions[self.fs.func];
        dim.simplify(&|s| f.symbol_range(s))
    }
    /// The one element of an integer scalar input as a size.
    pub fn dim_input(&mut self, input: usize, what: &str) -> Result<Dim, Stop> {
        match <[Dim; 1]>::try_from(self.dims_input(input, what)?) {
            Ok([dim]) => Ok(dim),
            Err(dims) => self.invalid(format!("{what} has {} elements, not one", dims.len())),
        }
    }

    // Nodes.

    /// Values broadcast to their common shape by implicit nodes.
    pub fn broadcast(&mut self, values: &[ValueId]) -> Result<Vec<ValueId>, Stop> {
        let mut shape = Shape::new();
        for &v in values {
            let ty = self.tensor_ty(v)?;
            shape =
                broadcast_shapes(&shape, &ty.shape).map_err(|e| Stop::Invalid(e.to_string()))?;
        }
        values.iter().map(|&v| self.broadcast_to(v, &shape)).collect()
    }
    /// A value broadcast to a shape by an implicit node.
    pub fn broadcast_to(&mut self, value: ValueId, shape: &[Dim]) -> Result<ValueId, Stop> {
        if self.tensor_ty(value)?.shape.as_slice() == shape {
            return Ok(value);
        }
        let op = Broadcast { dims: shape.to_vec(), implicit: true };
        let node = self.b().node(op, &[Some(value)])?;
        self.fs.visit(&self.imp.module, node);
        let result = self.imp.module.functions[self.fs.func].nodes[node].result(0);
        result.ok_or_else(|| Stop::Invalid("a broadcast has no result".to_owned()))
    }
    /// Adds the node's hub node. Results correspond to outputs by position.
    pub fn emit(&mut self, op: impl Into<Op>, operands: &[Option<ValueId>]) -> Outcome {
        let present: SmallVec<[bool; 4]> = self.node.output.iter().map(|o| !o.is_empty()).collect();
        let node = self.b().node_with(op, operands, &present)?;
        self.fs.visit(&self.imp.module, node);
        let results = &self.imp.module.functions[self.fs.func].nodes[node].results;
        Ok(results.iter().copied().collect())
    }
    /// Adds the node's hub node with operands that are all present.
    pub fn emit_all(&mut self, op: impl Into<Op>, operands: &[ValueId]) -> Outcome {
        let operands: SmallVec<[_; 6]> = operands.iter().map(|&v| Some(v)).collect();
        self.emit(op, &operands)
    }
    /// Adds the node's hub node with the node's own inputs as operands.
    pub fn emit_same(&mut self, op: impl Into<Op>) -> Outcome {
        let operands = self.inputs.clone();
        self.emit(op, &operands)
    }
    /// Adds an elementwise node with its operands broadcast.
    pub fn emit_broadcast(&mut self, op: impl Into<Op>) -> Outcome {
        let values = self.inputs_from(0)?;
        let wide = self.broadcast(&values)?;
        self.emit_all(op, &wide)
    }

    /// Reads a mirrored op.
    pub(super) fn mirror(&mut self, mirror: &Mirror) -> Outcome {
        let mut fields = std::collections::BTreeMap::new();
        for field in &mirror.kind.info().fields {
            let name = mirror.attribute(field.name);
            let value = if field.kind == "tensor" {
                self.tensor(name)?.map(Attr::Tensor)
            } else {
                self.attrs.field(name, field.kind)?
            };
            if let Some(value) = value {
                fields.insert(field.name.to_owned(), value);
            }
        }
        mirror.ignored.iter().for_each(|name| self.attrs.ignore(name));
        let op = Op::from_attrs(mirror.kind, fields).map_err(|e| Stop::Invalid(e.to_string()))?;
        if mirror.broadcasts { self.emit_broadcast(op) } else { self.emit_same(op) }
    }
}

impl NodeCx<'_, '_> {
    /// The tensor of a `Constant` node that has no `value`.
    pub(super) fn constant_value(&mut self) -> Result<TensorId, Stop> {
        use crate::proto::attribute_proto::AttributeType;
        use airconv_api::ir::tensor::Tensor;
        if let Some(a) = self.attrs.opt_proto("sparse_value", AttributeType::SparseTensor)? {
            let Some(sparse) = a.sparse_tensor.as_deref() else {
                return self.invalid("`sparse_value` has no tensor");
            };
            self.imp.report.structural(
                "sparse-to-dense",
                "sparse constants are made dense",
                "Constant",
            );
            return self.imp.add_sparse(sparse).map_err(Stop::Invalid);
        }
        let array = if let Some(v) = self.attrs.opt_int("value_int")? {
            Array::from_i64s(DType::I64, Vec::new(), &[v])
        } else if let Some(v) = self.attrs.opt_ints("value_ints")? {
            Array::from_i64s(DType::I64, vec![v.len()], &v)
        } else if let Some(v) = self.attrs.opt_float("value_float")? {
            Array::from_f64s(DType::F32, Vec::new(), &[v.0])
        } else if let Some(v) = self.attrs.opt_floats("value_floats")? {
            let v: Vec<f64> = v.into_iter().map(|f| f.0).collect();
            Array::from_f64s(DType::F32, vec![v.len()], &v)
        } else if let Some(a) = self.attrs.opt_proto("value_string", AttributeType::String)? {
            Array::from_strs(Vec::new(), &[a.s()])
        } else if let Some(a) = self.attrs.opt_proto("value_strings", AttributeType::Strings)? {
            Array::from_strs(vec![a.strings.len()], &a.strings)
        } else {
            return self.invalid("it has no value");
        };
        let tensor =
            array.and_then(|a| Tensor::from_array(&a)).map_err(|e| Stop::Invalid(e.to_string()))?;
        Ok(self.imp.module.tensors.push(tensor))
    }

    /// Adds a note to the node that makes the first output.
    pub(super) fn note_node(&mut self, outputs: &Outputs, key: &str, text: &str) {
        use airconv_api::ir::module::Entity;
        let Some(value) = outputs.iter().flatten().next() else { return };
        let func = self.fs.func;
        if let Some(node) =
            airconv_api::ir::visit::producer(&self.imp.module.functions[func], *value)
        {
            self.imp.module.note(Entity::Node(func, node), key, text);
        }
    }

    /// Reads a subgraph attribute whose formal inputs have these types.
    pub fn body(&mut self, name: &str, params: &[Type]) -> Result<super::graph::Body, Stop> {
        use crate::proto::attribute_proto::AttributeType;
        let graph =
            match self.attrs.opt_proto(name, AttributeType::Graph)?.and_then(|a| a.g.as_deref()) {
                Some(graph) => graph,
                None => return Err(AttrError::Missing(name.to_owned()).into()),
            };
        let label = match self.node.name() {
            "" => format!("{}.{name}", self.node.op_type()),
            node => format!("{node}.{name}"),
        };
        self.imp.body(self.fs, graph, &label, params)
    }
    /// Whether the node has a subgraph attribute.
    pub fn has_attr(&self, name: &str) -> bool {
        self.attrs.has(name)
    }
    /// Whether a subgraph attribute declares the rank of one of its inputs.
    pub fn declares_rank(&self, name: &str, input: usize) -> Result<bool, Stop> {
        use crate::proto::attribute_proto::AttributeType;
        use crate::proto::type_proto::Value;
        let a = self.attrs.opt_proto(name, AttributeType::Graph)?;
        let info = a.and_then(|a| a.g.as_deref()).and_then(|g| g.input.get(input));
        let ty = info.and_then(|i| i.r#type.as_ref()).and_then(|t| t.value.as_ref());
        Ok(matches!(ty, Some(Value::TensorType(t)) if t.shape.is_some()))
    }
    /// The captures of several bodies as one list that all of them take in its order.
    pub fn unite_captures(&mut self, bodies: &[super::graph::Body]) -> Vec<ValueId> {
        let mut all: Vec<ValueId> = Vec::new();
        for body in bodies {
            for &outer in &body.captures {
                if !all.contains(&outer) {
                    all.push(outer);
                }
            }
        }
        for body in bodies {
            self.imp.share_captures(self.fs.func, body.region, &body.captures, &all);
        }
        all
    }
}

impl NodeCx<'_, '_> {
    /// The rank of each result of a region; unknown ones make the node wait.
    pub(super) fn body_output_ranks(
        &self,
        region: airconv_api::ir::entity::RegionId,
    ) -> Vec<Result<usize, Stop>> {
        let f = &self.imp.module.functions[self.fs.func];
        f.regions[region].results.iter().map(|&v| self.tensor_ty(v).map(|t| t.rank())).collect()
    }
}
