//! What a writing rule sees of a node.

use airconv_api::ir::attr::Attr;
use airconv_api::ir::dim::{Dim, broadcast_shapes};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::{RegionId, TensorId, ValueId};
use airconv_api::ir::module::Node;
use airconv_api::ir::op::Op;
use airconv_api::ir::types::{TensorType, Type};

use super::attr;
use super::graph::Exporter;
use crate::common::mirror::Mirror;
use crate::common::{ONNX, op_name, schema};
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Why a rule does not write a node in its own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refuse(pub String);

impl Refuse {
    /// A refusal with a reason.
    pub fn because<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self(reason.into()))
    }
}

/// A node while its rule runs.
pub(crate) struct ExportCx<'a, 'm> {
    pub(super) ex: &'a mut Exporter<'m>,
    pub(super) node: &'a Node,
    pub(super) outputs: Vec<String>,
}

impl<'a, 'm> ExportCx<'a, 'm> {
    /// The opset being written.
    pub fn opset(&self) -> i64 {
        self.ex.opset
    }
    /// The number of operand slots given, absent inner ones counted.
    pub fn count(&self) -> usize {
        self.node.operands.len()
    }
    /// The value in an operand slot.
    pub fn value(&self, slot: usize) -> Option<ValueId> {
        self.node.operand(slot)
    }
    /// The name of a required operand.
    pub fn x(&mut self, slot: usize) -> Result<String, Refuse> {
        match self.node.operand(slot) {
            Some(v) => self.ex.name_of(v),
            None => Refuse::because(format!("operand {slot} is missing")),
        }
    }
    /// The name of an optional operand, empty when it is absent.
    pub fn opt(&mut self, slot: usize) -> Result<String, Refuse> {
        match self.node.operand(slot) {
            Some(v) => self.ex.name_of(v),
            None => Ok(String::new()),
        }
    }
    /// The names of the operands from a slot on, empty where absent.
    pub fn from(&mut self, slot: usize) -> Result<Vec<String>, Refuse> {
        (slot..self.count()).map(|i| self.opt(i)).collect()
    }
    /// The names of all operands.
    pub fn all(&mut self) -> Result<Vec<String>, Refuse> {
        self.from(0)
    }
    /// The type of an operand.
    pub fn ty(&self, slot: usize) -> Option<&Type> {
        self.node.operand(slot).map(|v| self.ex.ty(v))
    }
    /// The tensor type of an operand.
    pub fn tensor_ty(&self, slot: usize) -> Result<TensorType, Refuse> {
        match self.ty(slot).and_then(Type::as_tensor) {
            Some(t) => Ok(t.clone()),
            None => Refuse::because(format!("the type of operand {slot} is not known")),
        }
    }
    /// The tensor type of a result.
    pub fn result_ty(&self, slot: usize) -> Result<TensorType, Refuse> {
        match self.node.result(slot).and_then(|v| self.ex.ty(v).as_tensor()) {
            Some(t) => Ok(t.clone()),
            None => Refuse::because(format!("the type of result {slot} is not known")),
        }
    }
    /// The name of a result, empty when it is absent.
    pub fn result(&self, slot: usize) -> String {
        self.outputs.get(slot).cloned().unwrap_or_default()
    }

    /// The names of the operands with implicit broadcasts left out, which the target's own
    /// broadcasting makes up for. Where it would not provably give the result's shape the
    /// broadcasts are written.
    pub fn broadcast_operands(&mut self) -> Result<Vec<String>, Refuse> {
        let values: Vec<ValueId> = self.node.inputs().collect();
        let bare: Vec<ValueId> = values.iter().map(|&v| self.ex.bare(v)).collect();
        if bare != values && self.broadcasts_to_result(&bare) {
            bare.into_iter().map(|v| self.ex.name_of(v)).collect()
        } else {
            values.into_iter().map(|v| self.ex.name_of(v)).collect()
        }
    }
    fn broadcasts_to_result(&self, values: &[ValueId]) -> bool {
        let Ok(result) = self.result_ty(0) else { return false };
        let mut shape = airconv_api::ir::dim::Shape::new();
        for &v in values {
            let Some(ty) = self.ex.ty(v).as_tensor() else { return false };
            match broadcast_shapes(&shape, &ty.shape) {
                Ok(wide) => shape = wide,
                Err(_) => return false,
            }
        }
        shape == result.shape
    }

    // Nodes.

    /// Writes the node itself: all results, standard domain.
    pub fn emit(
        &mut self,
        op: &str,
        inputs: &[String],
        attrs: Vec<AttributeProto>,
    ) -> Result<(), Refuse> {
        self.emit_in(ONNX, op, inputs, attrs)
    }
    /// Writes the node itself in a domain.
    pub fn emit_in(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[String],
        attrs: Vec<AttributeProto>,
    ) -> Result<(), Refuse> {
        let outputs = self.outputs.clone();
        let name = self.ex.node_name(self.node);
        self.write(domain, op, name, inputs, outputs, attrs)
    }
    /// Writes a node whose results are these names.
    pub fn emit_to(
        &mut self,
        op: &str,
        inputs: &[String],
        attrs: Vec<AttributeProto>,
        outputs: Vec<String>,
    ) -> Result<(), Refuse> {
        let name = self.ex.node_name(self.node);
        self.write(ONNX, op, name, inputs, outputs, attrs)
    }
    /// Writes a helper node with one result of a dtype and gives the result's name.
    pub fn temp(
        &mut self,
        op: &str,
        inputs: &[String],
        attrs: Vec<AttributeProto>,
        dtype: DType,
    ) -> Result<String, Refuse> {
        let out = self.ex.fresh_name(&self.result(0));
        self.ex.set_dtype(&out, Some(dtype));
        self.write(ONNX, op, None, inputs, vec![out.clone()], attrs)?;
        Ok(out)
    }
    /// A graph without inputs whose output is the node's first result: what `write` writes and
    /// names.
    pub fn branch(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<String, Refuse>,
    ) -> Result<GraphProto, Refuse> {
        let Some(value) = self.node.result(0) else { return Refuse::because("there is no result") };
        self.ex.open_branch();
        let output = write(self);
        self.ex.close_branch(value, output)
    }
    fn write(
        &mut self,
        domain: &str,
        op: &str,
        name: Option<String>,
        inputs: &[String],
        outputs: Vec<String>,
        attrs: Vec<AttributeProto>,
    ) -> Result<(), Refuse> {
        self.ex.write_node(domain, op, name, inputs, outputs, attrs)
    }

    // Constants.

    /// The name of an i64 vector of sizes.
    pub fn dims(&mut self, dims: &[Dim]) -> Result<String, Refuse> {
        self.ex.dims(dims)
    }
    /// The name of an i64 scalar of a size.
    pub fn dim_scalar(&mut self, dim: &Dim) -> Result<String, Refuse> {
        self.ex.dim_scalar(dim)
    }
    /// The name of an i64 vector constant.
    pub fn ints(&mut self, values: &[i64]) -> Result<String, Refuse> {
        self.ex.int_constant(values, false)
    }
    /// The name of an i64 scalar constant.
    pub fn int_scalar(&mut self, value: i64) -> Result<String, Refuse> {
        self.ex.int_constant(&[value], true)
    }
    /// The name of a scalar constant of a dtype.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Result<String, Refuse> {
        self.ex.scalar_constant(dtype, value)
    }
    /// A tensor of the module in ONNX's form, without name.
    pub fn tensor(&self, id: TensorId) -> Result<TensorProto, Refuse> {
        self.ex.tensor_proto(id, "")
    }
    /// A region as a graph. Its last parameters, as many as there are captures, stand for
    /// these values.
    pub fn graph(&mut self, region: RegionId, captures: &[ValueId]) -> Result<GraphProto, Refuse> {
        self.ex.subgraph(region, captures)
    }
    /// A note on the node.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.ex.node_note(self.node, key)
    }

    /// Writes a mirrored op.
    pub(super) fn mirror(&mut self, op: &Op, mirror: &Mirror) -> Result<(), Refuse> {
        let inputs = if mirror.broadcasts { self.broadcast_operands()? } else { self.all()? };
        let mut attrs = Vec::new();
        let given = op.attrs();
        for (field, value) in &given {
            attrs.push(self.field(mirror.attribute(field), value)?);
        }
        for field in &op.info().fields {
            let wanted = mirror.always.contains(&field.name);
            if let (true, Some(value)) = (wanted, &field.default)
                && given.iter().all(|(name, _)| *name != field.name)
            {
                attrs.push(self.field(mirror.attribute(field.name), value)?);
            }
        }
        self.emit_in(mirror.domain, mirror.name, &inputs, attrs)
    }
    fn field(&self, name: &str, value: &Attr) -> Result<AttributeProto, Refuse> {
        Ok(match value {
            Attr::Bool(v) => attr::bool(name, *v),
            Attr::Int(v) => attr::int(name, *v),
            Attr::Float(v) => attr::float(name, *v),
            Attr::Str(v) => attr::string(name, v),
            Attr::DType(v) => attr::dtype(name, *v),
            Attr::Ints(v) => attr::ints(name, v),
            Attr::Floats(v) => attr::floats(name, v),
            Attr::Strs(v) => attr::strings(name, v),
            Attr::Tensor(t) => attr::tensor(name, self.ex.tensor_proto(*t, "")?),
            other => {
                return Refuse::because(format!("attribute `{name}` cannot be a {}", other.kind()));
            }
        })
    }
}

/// Checks a node against the schema of its op at the version being written.
pub(super) fn check_schema(
    ex: &Exporter<'_>,
    domain: &str,
    node: &NodeProto,
) -> Result<(), Refuse> {
    if !schema::exists(domain, node.op_type()) {
        return if domain == ONNX {
            Refuse::because(format!("ONNX has no op {}", node.op_type()))
        } else {
            Ok(())
        };
    }
    let version = ex.version_of(domain);
    let name = op_name(domain, node.op_type());
    let Some(found) = schema::find(domain, node.op_type(), version) else {
        let first = schema::first_version(domain, node.op_type()).unwrap_or(0);
        return Refuse::because(format!("{name} needs version {first} of its domain"));
    };
    if found.deprecated {
        return Refuse::because(format!("{name} was removed in version {}", found.since));
    }
    let slots = |names: &[String]| names.iter().map(|n| ex.slot(n)).collect::<Vec<_>>();
    let attributes: Vec<&str> = node.attribute.iter().map(|a| a.name()).collect();
    let (inputs, outputs) = (slots(&node.input), slots(&node.output));
    let fits = |s: &schema::Schema| s.check(&inputs, &outputs, &attributes);
    fits(found).map_err(|why| {
        let later = schema::fits_from(domain, node.op_type(), version, |s| fits(s).is_ok());
        let hint = later.map_or_else(String::new, |v| format!("; version {v} does"));
        Refuse(format!("{name} at version {} {why}{hint}", found.since))
    })
}
