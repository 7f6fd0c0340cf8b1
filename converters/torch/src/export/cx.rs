//! What a writing rule sees of a node.

use airconv_ir::array::Scalar;
use airconv_ir::dim::{Dim, Range, Shape, broadcast_shapes, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::types::TensorType;

use super::exporter::{Exporter, check_dtype};
use super::names::stem;
use super::program::{Arg, Kind, Returned, Target, Var};
use crate::common::schema::{Schema, schemas};

/// Why a rule does not write a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refuse(pub String);

impl Refuse {
    /// A refusal with a reason.
    pub fn because<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self(reason.into()))
    }
}

/// What a rule gives: one value per result slot that is wanted.
pub(super) type Written = Result<Vec<Option<Var>>, Refuse>;

/// The rule was asked about an op of another kind.
pub(super) fn other_op<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}

/// A list of arguments of any kinds.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { vec![$($crate::export::program::Arg::from($arg)),*] };
}
pub(super) use args;

/// A node while its rule runs.
pub(super) struct ExportCx<'a, 'm> {
    pub(super) ex: &'a mut Exporter<'m>,
    node: Option<&'a Node>,
}

impl<'a, 'm> ExportCx<'a, 'm> {
    pub(super) fn new(ex: &'a mut Exporter<'m>, node: &'a Node) -> Self {
        Self { ex, node: Some(node) }
    }
    /// For calls that belong to no node.
    pub(super) fn helper(ex: &'a mut Exporter<'m>) -> Self {
        Self { ex, node: None }
    }

    // Operands.

    /// The number of operand slots given, absent inner ones counted.
    pub fn count(&self) -> usize {
        self.node.map_or(0, |n| n.operands.len())
    }
    /// The hub value in an operand slot.
    pub fn value(&self, slot: usize) -> Option<ValueId> {
        self.node.and_then(|n| n.operand(slot))
    }
    /// The hub value in a required slot.
    pub fn required(&self, slot: usize) -> Result<ValueId, Refuse> {
        self.value(slot).ok_or_else(|| Refuse(format!("operand {slot} is missing")))
    }
    /// A required operand.
    pub fn x(&mut self, slot: usize) -> Result<Var, Refuse> {
        let value = self.required(slot)?;
        self.ex.var_of(value)
    }
    /// An optional operand.
    pub fn opt(&mut self, slot: usize) -> Result<Option<Var>, Refuse> {
        self.value(slot).map(|v| self.ex.var_of(v)).transpose()
    }
    /// All operands from a slot on.
    pub fn from(&mut self, slot: usize) -> Result<Vec<Var>, Refuse> {
        (slot..self.count()).map(|i| self.x(i)).collect()
    }
    /// The type of an operand.
    pub fn operand_type(&self, slot: usize) -> Result<TensorType, Refuse> {
        self.ex.value_type(self.required(slot)?)
    }
    /// Whether a result is wanted.
    pub fn wants(&self, slot: usize) -> bool {
        self.node.is_some_and(|n| n.result(slot).is_some())
    }
    /// The type of a result.
    pub fn result_type(&self, slot: usize) -> Result<TensorType, Refuse> {
        match self.node.and_then(|n| n.result(slot)) {
            Some(v) => self.ex.value_type(v),
            None => Refuse::because(format!("there is no result {slot}")),
        }
    }
    /// The number of result slots.
    pub fn result_count(&self) -> usize {
        self.node.map_or(0, |n| n.results.len())
    }
    /// What PyTorch called the operator that the node came from; empty if elsewhere.
    pub fn torch_origin(&self) -> &'m str {
        self.node.map_or("", |n| self.ex.torch_origin(n))
    }
    /// The element of an operand that is a constant of one element.
    pub fn scalar(&self, slot: usize) -> Option<Scalar> {
        self.ex.scalar_of(self.ex.bare(self.value(slot)?))
    }
    /// The size that an operand tells; `None` of one that tells something else.
    pub fn size_operand(&self, slot: usize) -> Option<Dim> {
        match self.ex.sizes_of(self.ex.bare(self.value(slot)?))?.0.as_slice() {
            [size] => Some(size.clone()),
            _ => None,
        }
    }
    /// What a size may be.
    pub fn range(&self, dim: &Dim) -> Range {
        dim.range(&|s| self.ex.f().symbol_range(s))
    }
    /// Notes how the form of the program differs; nothing while types are tried out.
    pub fn note(&mut self, name: &'static str, message: &str) {
        if !self.ex.probe && self.ex.structural.iter().all(|(n, _)| *n != name) {
            self.ex.structural.push((name, message.to_owned()));
        }
    }
    /// The values of the operands of an elementwise op, without implicit broadcasts where the
    /// operator's own broadcasting gives the same shape.
    pub fn broadcast_values(&self, slots: &[usize]) -> Result<Vec<ValueId>, Refuse> {
        let values: Vec<ValueId> =
            slots.iter().map(|&s| self.required(s)).collect::<Result<_, _>>()?;
        let bare: Vec<ValueId> = values.iter().map(|&v| self.ex.bare(v)).collect();
        Ok(if self.broadcasts_to(&bare, &self.ex.value_type(values[0])?.shape) {
            bare
        } else {
            values
        })
    }
    fn broadcasts_to(&self, values: &[ValueId], wanted: &[Dim]) -> bool {
        let mut shape = Shape::new();
        for &v in values {
            let Ok(ty) = self.ex.value_type(v) else { return false };
            match broadcast_shapes(&shape, &ty.shape) {
                Ok(wide) => shape = wide,
                Err(_) => return false,
            }
        }
        shape.as_slice() == wanted
    }
    /// The operands of an elementwise op, see [`Self::broadcast_values`].
    pub fn broadcast_operands(&mut self, slots: &[usize]) -> Result<Vec<Var>, Refuse> {
        let values = self.broadcast_values(slots)?;
        values.into_iter().map(|v| self.ex.var_of(v)).collect()
    }

    // Results.

    /// The one result.
    pub fn one(&self, var: Var) -> Written {
        Ok(vec![Some(var)])
    }
    /// Results by slot.
    pub fn all<const N: usize>(&self, vars: [Var; N]) -> Written {
        Ok(vars.into_iter().map(Some).collect())
    }

    // Types.

    /// The type of a tensor.
    pub fn ty(&self, var: Var) -> Result<TensorType, Refuse> {
        self.ex.tensor_type(var)
    }
    /// The dtype of a tensor.
    pub fn dtype(&self, var: Var) -> Result<DType, Refuse> {
        Ok(self.ty(var)?.dtype)
    }
    /// The sizes of a tensor.
    pub fn shape(&self, var: Var) -> Result<Shape, Refuse> {
        Ok(self.ty(var)?.shape)
    }
    /// The size of an axis of a tensor.
    pub fn axis_size(&self, var: Var, axis: usize) -> Result<Dim, Refuse> {
        match self.shape(var)?.get(axis) {
            Some(dim) => Ok(dim.clone()),
            None => Refuse::because(format!("there is no axis {axis}")),
        }
    }

    // Calls.

    /// Calls an operator of one result.
    pub fn op(&mut self, name: &str, args: Vec<Arg>, ty: TensorType) -> Result<Var, Refuse> {
        let schema = operator(name)?;
        let out = self.result(schema, ty)?;
        self.call(schema, args, vec![Returned::One(out)])?;
        Ok(out)
    }
    /// Calls an operator of several results.
    pub fn ops<const N: usize>(
        &mut self,
        name: &str,
        args: Vec<Arg>,
        types: [TensorType; N],
    ) -> Result<[Var; N], Refuse> {
        let schema = operator(name)?;
        let mut out = [Var(0); N];
        for (slot, ty) in out.iter_mut().zip(types) {
            *slot = self.result(schema, ty)?;
        }
        self.call(schema, args, out.iter().map(|&v| Returned::One(v)).collect())?;
        Ok(out)
    }
    /// Calls an operator whose result is a list of tensors.
    pub fn list(
        &mut self,
        name: &str,
        args: Vec<Arg>,
        types: Vec<TensorType>,
    ) -> Result<Vec<Var>, Refuse> {
        let schema = operator(name)?;
        let mut out = Vec::with_capacity(types.len());
        for ty in types {
            out.push(self.result(schema, ty)?);
        }
        self.call(schema, args, vec![Returned::Many(out.clone())])?;
        Ok(out)
    }
    /// Calls an operator without results.
    pub fn effect(&mut self, name: &str, args: Vec<Arg>) -> Result<(), Refuse> {
        self.call(operator(name)?, args, Vec::new())
    }
    fn result(&mut self, schema: &'static Schema, ty: TensorType) -> Result<Var, Refuse> {
        check_dtype(ty.dtype)?;
        let var = self.ex.var(Kind::Tensor(ty), stem(&Target::Operator(schema)));
        self.ex.add_places(var);
        Ok(var)
    }
    fn call(
        &mut self,
        schema: &'static Schema,
        mut args: Vec<Arg>,
        results: Vec<Returned>,
    ) -> Result<(), Refuse> {
        if args.len() > schema.params.len() {
            let name = schema.display_name();
            return Refuse::because(format!("`{name}` takes {} arguments", schema.params.len()));
        }
        while args.last() == Some(&Arg::Default) {
            args.pop();
        }
        self.ex.add_call(Target::Operator(schema), args, results);
        Ok(())
    }

    // Sizes.

    /// A size as an argument.
    pub fn size(&mut self, dim: &Dim) -> Result<Arg, Refuse> {
        self.ex.size(dim)
    }
    /// Sizes as a list.
    pub fn sizes(&mut self, dims: &[Dim]) -> Result<Arg, Refuse> {
        dims.iter().map(|d| self.ex.size(d)).collect::<Result<Vec<_>, _>>().map(Arg::List)
    }
    /// Sizes of a reshape: one that is not known is left open where the others tell it.
    fn open_sizes(&mut self, dims: &[Dim]) -> Result<Arg, Refuse> {
        let open = dims.iter().filter(|d| d.as_known().is_none()).count();
        let none_is_zero = dims.iter().all(|d| *d != Dim::Known(0));
        if open != 1 || !none_is_zero {
            return self.sizes(dims);
        }
        Ok(Arg::List(dims.iter().map(|d| Arg::Int(d.as_known().unwrap_or(-1))).collect()))
    }

    // Common calls. Types are found here.

    /// An operator of one tensor that keeps its type.
    pub fn unary(&mut self, name: &str, x: Var) -> Result<Var, Refuse> {
        let ty = self.ty(x)?;
        self.op(name, args![x], ty)
    }
    /// An operator of two tensors of one dtype, which broadcasts.
    pub fn binary(&mut self, name: &str, a: Var, b: Var) -> Result<Var, Refuse> {
        let ty = self.joined(a, b, None)?;
        self.op(name, args![a, b], ty)
    }
    /// A comparison of two tensors, which broadcasts.
    pub fn compare(&mut self, name: &str, a: Var, b: Var) -> Result<Var, Refuse> {
        let ty = self.joined(a, b, Some(DType::Bool))?;
        self.op(name, args![a, b], ty)
    }
    /// An operator of a tensor and a number that keeps the tensor's type.
    pub fn with(&mut self, name: &str, x: Var, by: impl Into<Arg>) -> Result<Var, Refuse> {
        let ty = self.ty(x)?;
        self.op(name, args![x, by.into()], ty)
    }
    /// A comparison of a tensor with a number.
    pub fn compare_with(&mut self, name: &str, x: Var, by: impl Into<Arg>) -> Result<Var, Refuse> {
        let ty = TensorType { dtype: DType::Bool, ..self.ty(x)? };
        self.op(name, args![x, by.into()], ty)
    }
    fn joined(&self, a: Var, b: Var, dtype: Option<DType>) -> Result<TensorType, Refuse> {
        let (a, b) = (self.ty(a)?, self.ty(b)?);
        let shape = broadcast_shapes(&a.shape, &b.shape).map_err(|e| Refuse(e.to_string()))?;
        Ok(TensorType::new(dtype.unwrap_or(a.dtype), shape))
    }
    /// One of two tensors by a condition; all broadcast.
    pub fn select_by(&mut self, condition: Var, a: Var, b: Var) -> Result<Var, Refuse> {
        let ab = self.joined(a, b, None)?;
        let c = self.shape(condition)?;
        let shape = broadcast_shapes(&c, &ab.shape).map_err(|e| Refuse(e.to_string()))?;
        self.op("aten::where.self", args![condition, a, b], TensorType::new(ab.dtype, shape))
    }
    /// A tensor in another dtype; itself if it has it.
    pub fn cast(&mut self, x: Var, to: DType) -> Result<Var, Refuse> {
        let ty = self.ty(x)?;
        if ty.dtype == to {
            return Ok(x);
        }
        self.op("aten::to.dtype", args![x, to], TensorType { dtype: to, ..ty })
    }
    /// A copy.
    pub fn clone_of(&mut self, x: Var) -> Result<Var, Refuse> {
        self.unary("aten::clone", x)
    }
    /// The elements in another shape; itself if it has it.
    pub fn reshape(&mut self, x: Var, dims: &[Dim]) -> Result<Var, Refuse> {
        let ty = self.ty(x)?;
        if ty.shape.as_slice() == dims {
            return Ok(x);
        }
        let sizes = self.open_sizes(dims)?;
        self.op("aten::reshape", args![x, sizes], TensorType::new(ty.dtype, dims.iter().cloned()))
    }
    /// Axes in another order; itself if it is the same.
    pub fn permute(&mut self, x: Var, perm: &[usize]) -> Result<Var, Refuse> {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return Ok(x);
        }
        let ty = self.ty(x)?;
        let shape: Option<Shape> = perm.iter().map(|&p| ty.shape.get(p).cloned()).collect();
        let Some(shape) = shape.filter(|s| s.len() == ty.rank()) else {
            return Refuse::because("a permutation of other axes");
        };
        let order: Vec<i64> = perm.iter().map(|&p| p as i64).collect();
        self.op("aten::permute", args![x, &order], TensorType::new(ty.dtype, shape))
    }
    /// A new axis of size 1.
    pub fn unsqueeze(&mut self, x: Var, axis: usize) -> Result<Var, Refuse> {
        let mut ty = self.ty(x)?;
        ty.shape.insert(axis.min(ty.shape.len()), Dim::Known(1));
        self.op("aten::unsqueeze", args![x, axis], ty)
    }
    /// An explicit broadcast; itself if it has the shape.
    pub fn expand(&mut self, x: Var, dims: &[Dim]) -> Result<Var, Refuse> {
        let ty = self.ty(x)?;
        if ty.shape.as_slice() == dims {
            return Ok(x);
        }
        let sizes = self.sizes(dims)?;
        self.op("aten::expand", args![x, sizes], TensorType::new(ty.dtype, dims.iter().cloned()))
    }
    /// A tensor with all elements equal.
    pub fn full(&mut self, dims: &[Dim], value: Arg, dtype: DType) -> Result<Var, Refuse> {
        let sizes = self.sizes(dims)?;
        let ty = TensorType::new(dtype, dims.iter().cloned());
        self.op("aten::full", args![sizes, value, dtype], ty)
    }
    /// 0, 1, 2 ... as a vector.
    pub fn arange(&mut self, count: &Dim, dtype: DType) -> Result<Var, Refuse> {
        let end = self.size(count)?;
        self.op("aten::arange", args![end, dtype], TensorType::new(dtype, [count.clone()]))
    }
    /// One position of an axis, which is dropped.
    pub fn select(&mut self, x: Var, axis: usize, index: i64) -> Result<Var, Refuse> {
        let mut ty = self.ty(x)?;
        if axis >= ty.rank() {
            return Refuse::because(format!("there is no axis {axis}"));
        }
        ty.shape.remove(axis);
        self.op("aten::select.int", args![x, axis, index], ty)
    }
    /// The part of an axis from `start` by `step`, `count` elements of it.
    pub fn slice(
        &mut self,
        x: Var,
        axis: usize,
        (start, end): (&Dim, &Dim),
        step: i64,
        count: Dim,
    ) -> Result<Var, Refuse> {
        let mut ty = self.ty(x)?;
        match ty.shape.get_mut(axis) {
            Some(size) => *size = count,
            None => return Refuse::because(format!("there is no axis {axis}")),
        }
        let (start, end) = (self.size(start)?, self.size(end)?);
        let step = if step == 1 { Arg::Default } else { Arg::Int(step) };
        self.op("aten::slice.Tensor", args![x, axis, start, end, step], ty)
    }
    /// The axes from the end.
    pub fn flip(&mut self, x: Var, axes: &[usize]) -> Result<Var, Refuse> {
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        let ty = self.ty(x)?;
        self.op("aten::flip", args![x, &axes], ty)
    }
    /// Tensors joined along an axis.
    pub fn cat(&mut self, parts: &[Var], axis: usize) -> Result<Var, Refuse> {
        let [first, rest @ ..] = parts else { return Refuse::because("nothing to join") };
        let mut ty = self.ty(*first)?;
        for &part in rest {
            let more = self.axis_size(part, axis)?;
            match ty.shape.get_mut(axis) {
                Some(size) => *size = &*size + &more,
                None => return Refuse::because(format!("there is no axis {axis}")),
            }
        }
        self.op("aten::cat", args![parts.to_vec(), axis], ty)
    }
    /// A tensor with a constant around it: what is added before and after, by axis.
    pub fn pad(&mut self, x: Var, low: &[Dim], high: &[Dim], value: Arg) -> Result<Var, Refuse> {
        let mut ty = self.ty(x)?;
        let zero = Dim::Known(0);
        if low.iter().chain(high).all(|d| *d == zero) {
            return Ok(x);
        }
        let mut pads = Vec::new();
        for (axis, size) in ty.shape.iter_mut().enumerate() {
            let (l, h) = (low.get(axis).unwrap_or(&zero), high.get(axis).unwrap_or(&zero));
            *size = &(&*size + l) + h;
            pads.push((l.clone(), h.clone()));
        }
        // The last axis comes first.
        while pads.first().is_some_and(|(l, h)| *l == zero && *h == zero) {
            pads.remove(0);
        }
        let flat: Vec<Dim> = pads.into_iter().rev().flat_map(|(l, h)| [l, h]).collect();
        let pads = self.sizes(&flat)?;
        self.op("aten::constant_pad_nd", args![x, pads, value], ty)
    }
    /// Index tuples that count from the end, made to count from the start.
    pub fn counted_from_start(&mut self, index: Var, size: &Dim) -> Result<Var, Refuse> {
        let negative = self.compare_with("aten::lt.Scalar", index, 0i64)?;
        let size = self.size(size)?;
        let ty = self.ty(index)?;
        let shifted = self.op("aten::add.Tensor", args![index, size], ty)?;
        self.select_by(negative, shifted, index)
    }
    /// The number of elements of sizes.
    pub fn product(dims: &[Dim]) -> Dim {
        numel(dims)
    }
}

/// The operator of a name and an overload, `aten::add.Tensor`.
fn operator(full: &str) -> Result<&'static Schema, Refuse> {
    let (name, overload) = full.split_once('.').unwrap_or((full, ""));
    schemas().find(name, overload).ok_or_else(|| Refuse(format!("there is no operator `{full}`")))
}

/// A number as an argument.
pub(super) fn number(scalar: &Scalar) -> Option<Arg> {
    Some(match scalar {
        Scalar::Bool(b) => Arg::Bool(*b),
        Scalar::Int(n) => Arg::Int(i64::try_from(*n).ok()?),
        Scalar::Float(v) => Arg::Float(*v),
        Scalar::Complex(c) => Arg::Complex(c.re, c.im),
        Scalar::Str(_) => return None,
    })
}

/// A number in the kind that a dtype's operators take.
pub(super) fn number_of(dtype: DType, value: f64) -> Arg {
    match dtype {
        DType::Bool => Arg::Bool(value != 0.0),
        d if d.is_integer() => Arg::Int(value as i64),
        _ => Arg::Float(value),
    }
}

/// Axes that are not negative.
pub(super) fn axes_of(axes: &[i64]) -> Result<Vec<usize>, Refuse> {
    let one = |&a: &i64| usize::try_from(a).map_err(|_| Refuse(format!("the axis {a}")));
    axes.iter().map(one).collect()
}
