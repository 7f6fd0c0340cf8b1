//! What a rule sees of a call.

use std::sync::Arc;

use airconv_ir::array::Array;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::{Dim, Shape, broadcast_shapes};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::infer::InferError;
use airconv_ir::op::{Broadcast, Cast, CastRounding, Op};
use airconv_ir::types::{TensorType, Type};

use super::Importer;
use super::arg::{Arg, strip_optional};
use super::promote::{self, Category, Number};
use crate::common::schema::{Schema, Ty};

/// Why a rule gave nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    /// The call is wrong.
    Invalid(String),
    /// The call is right and cannot be read.
    Unsupported(String),
}

impl From<BuildError> for Stop {
    fn from(e: BuildError) -> Self {
        match e {
            BuildError::Infer(InferError::Unknown(what)) => {
                Self::Unsupported(format!("the type of `{what}` is not known"))
            }
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// A call while its rule runs. Arguments are found by the name that the schema gives them.
pub(crate) struct CallCx<'a> {
    pub(super) imp: &'a mut Importer,
    /// The operator.
    pub schema: &'static Schema,
    pub(super) args: &'a [Arg],
    /// Which arguments were looked at, by position.
    pub(super) read: u64,
    /// The results that are used, by position; all where that is not known.
    pub(super) wanted: Option<&'a [bool]>,
    /// What arguments hold afterwards where the results do not say it.
    pub(super) writes: Vec<(usize, ValueId)>,
}

/// Arguments that say where and how elements are stored, or how fast, and nothing of values.
const STORAGE_ONLY: &[&str] = &[
    "device",
    "layout",
    "pin_memory",
    "memory_format",
    "non_blocking",
    "copy",
    "cudnn_enabled",
    "cudnn_enable",
    "benchmark",
    "deterministic",
    "cudnn_deterministic",
    "allow_tf32",
];

impl<'a> CallCx<'a> {
    /// A builder at the end of the current region.
    pub fn b(&mut self) -> Builder<'_> {
        self.imp.builder()
    }

    // Arguments.

    /// The position of an argument.
    fn position(&self, name: &str) -> Result<usize, Stop> {
        let missing = || Stop::Invalid(format!("the operator has no argument `{name}`"));
        self.schema.position(name).ok_or_else(missing)
    }
    /// Whether the schema has an argument of this name.
    pub fn has(&self, name: &str) -> bool {
        self.schema.position(name).is_some()
    }
    /// An argument as it is.
    pub fn arg(&mut self, name: &str) -> Result<&'a Arg, Stop> {
        let position = self.position(name)?;
        self.read |= 1 << position.min(63);
        Ok(self.args.get(position).unwrap_or(&Arg::None))
    }
    /// Says that an argument has no bearing on the result.
    pub fn ignore(&mut self, names: &[&str]) {
        for position in names.iter().filter_map(|n| self.schema.position(n)) {
            self.read |= 1 << position.min(63);
        }
    }
    fn wrong<T>(&self, name: &str, wanted: &str, arg: &Arg) -> Result<T, Stop> {
        Err(Stop::Invalid(format!("argument `{name}` is {}, not {wanted}", arg.kind())))
    }
    /// Whether an argument is given.
    pub fn given(&mut self, name: &str) -> Result<bool, Stop> {
        Ok(*self.arg(name)? != Arg::None)
    }
    /// A tensor; a number becomes one of rank 0.
    pub fn tensor(&mut self, name: &str) -> Result<ValueId, Stop> {
        match self.opt_tensor(name)? {
            Some(value) => Ok(value),
            None => Err(Stop::Invalid(format!("argument `{name}` is missing"))),
        }
    }
    /// A tensor that may be absent.
    pub fn opt_tensor(&mut self, name: &str) -> Result<Option<ValueId>, Stop> {
        match self.arg(name)? {
            Arg::None => Ok(None),
            Arg::Tensor(value) | Arg::Number(value) => Ok(Some(*value)),
            Arg::Int(_) | Arg::Float(_) | Arg::Bool(_) | Arg::Complex(..) => {
                let number = self.number(name)?;
                let dtype = number.default_dtype();
                Ok(Some(self.number_value(&number, dtype)?))
            }
            other => self.wrong(name, "a tensor", other),
        }
    }
    /// A list of tensors.
    pub fn tensors(&mut self, name: &str) -> Result<Vec<ValueId>, Stop> {
        let list = self.opt_tensors(name)?;
        let absent = || Stop::Invalid(format!("argument `{name}` has a tensor missing"));
        list.into_iter().map(|t| t.ok_or_else(absent)).collect()
    }
    /// A list of tensors that may be absent.
    pub fn opt_tensors(&mut self, name: &str) -> Result<Vec<Option<ValueId>>, Stop> {
        let arg = self.arg(name)?;
        let Arg::List(items) = arg else { return self.wrong(name, "a list of tensors", arg) };
        let item = |item: &Arg| match item {
            Arg::None => Ok(None),
            Arg::Tensor(value) => Ok(Some(*value)),
            other => self.wrong(name, "a list of tensors", other),
        };
        items.iter().map(item).collect()
    }
    /// A truth value.
    pub fn bool(&mut self, name: &str) -> Result<bool, Stop> {
        match self.arg(name)? {
            Arg::Bool(b) => Ok(*b),
            Arg::Int(Dim::Known(n)) => Ok(*n != 0),
            Arg::None => Ok(false),
            other => self.wrong(name, "a truth value", other),
        }
    }
    /// An integer, possibly symbolic.
    pub fn dim(&mut self, name: &str) -> Result<Dim, Stop> {
        match self.opt_dim(name)? {
            Some(dim) => Ok(dim),
            None => Err(Stop::Invalid(format!("argument `{name}` is missing"))),
        }
    }
    /// An integer that may be absent.
    pub fn opt_dim(&mut self, name: &str) -> Result<Option<Dim>, Stop> {
        let arg = self.arg(name)?.clone();
        self.dim_of(name, &arg)
    }
    fn dim_of(&mut self, name: &str, arg: &Arg) -> Result<Option<Dim>, Stop> {
        match arg {
            Arg::None => Ok(None),
            Arg::Int(dim) => Ok(Some(dim.clone())),
            Arg::Bool(b) => Ok(Some(i64::from(*b).into())),
            Arg::Number(value) => self.imp.dim_of_value(*value).map(Some),
            other => self.wrong(name, "an integer", other),
        }
    }
    /// A known integer.
    pub fn int(&mut self, name: &str) -> Result<i64, Stop> {
        match self.opt_int(name)? {
            Some(n) => Ok(n),
            None => Err(Stop::Invalid(format!("argument `{name}` is missing"))),
        }
    }
    /// A known integer that may be absent.
    pub fn opt_int(&mut self, name: &str) -> Result<Option<i64>, Stop> {
        match self.opt_dim(name)? {
            None => Ok(None),
            Some(dim) => self.known(name, &dim).map(Some),
        }
    }
    fn known(&self, name: &str, dim: &Dim) -> Result<i64, Stop> {
        let unknown = || {
            let text = self.imp.function().dim_text(dim);
            Stop::Unsupported(format!("argument `{name}` is {text}: it has to be a number"))
        };
        dim.as_known().ok_or_else(unknown)
    }
    /// A list of integers, possibly symbolic; nothing for an absent one. A single integer
    /// stands for as many as the schema says.
    pub fn dims(&mut self, name: &str) -> Result<Vec<Dim>, Stop> {
        let position = self.position(name)?;
        let arg = self.arg(name)?.clone();
        match &arg {
            Arg::None => Ok(Vec::new()),
            Arg::List(items) => {
                let missing = || Stop::Invalid(format!("argument `{name}` has a hole"));
                items.iter().map(|i| self.dim_of(name, i)?.ok_or_else(missing)).collect()
            }
            single => {
                let count = match strip_optional(&self.schema.params[position].ty).0 {
                    Ty::List(_, Some(count)) => *count,
                    _ => 1,
                };
                match self.dim_of(name, single)? {
                    Some(dim) => Ok(vec![dim; count]),
                    None => Ok(Vec::new()),
                }
            }
        }
    }
    /// A list of known integers.
    pub fn ints(&mut self, name: &str) -> Result<Vec<i64>, Stop> {
        self.dims(name)?.iter().map(|d| self.known(name, d)).collect()
    }
    /// A known list of integers, one per spatial axis: one stands for all.
    pub fn spatial(&mut self, name: &str, rank: usize) -> Result<Vec<i64>, Stop> {
        let ints = self.ints(name)?;
        match ints.as_slice() {
            [one] => Ok(vec![*one; rank]),
            list if list.len() == rank => Ok(ints),
            _ => Err(Stop::Invalid(format!("argument `{name}` does not have {rank} elements"))),
        }
    }
    /// A known number as a float.
    pub fn float(&mut self, name: &str) -> Result<f64, Stop> {
        match self.opt_float(name)? {
            Some(v) => Ok(v),
            None => Err(Stop::Invalid(format!("argument `{name}` is missing"))),
        }
    }
    /// A known number as a float; may be absent.
    pub fn opt_float(&mut self, name: &str) -> Result<Option<f64>, Stop> {
        match self.arg(name)? {
            Arg::None => Ok(None),
            Arg::Float(v) => Ok(Some(*v)),
            Arg::Int(Dim::Known(n)) => Ok(Some(*n as f64)),
            Arg::Bool(b) => Ok(Some((*b).into())),
            other => {
                let kind = other.kind();
                Err(Stop::Unsupported(format!(
                    "argument `{name}` is {kind}: it has to be a number"
                )))
            }
        }
    }
    /// A list of known floats; nothing for an absent one.
    pub fn floats(&mut self, name: &str) -> Result<Vec<f64>, Stop> {
        let arg = self.arg(name)?;
        let items = match arg {
            Arg::None => return Ok(Vec::new()),
            Arg::List(items) => items,
            other => return self.wrong(name, "a list of floats", other),
        };
        let item = |item: &Arg| match item {
            Arg::Float(v) => Ok(*v),
            Arg::Int(Dim::Known(n)) => Ok(*n as f64),
            other => self.wrong(name, "a list of floats", other),
        };
        items.iter().map(item).collect()
    }
    /// A string; empty when absent.
    pub fn string(&mut self, name: &str) -> Result<Arc<str>, Stop> {
        match self.arg(name)? {
            Arg::Str(text) => Ok(text.clone()),
            Arg::None => Ok("".into()),
            other => self.wrong(name, "a string", other),
        }
    }
    /// A dtype that may be absent.
    pub fn opt_dtype(&mut self, name: &str) -> Result<Option<DType>, Stop> {
        match self.arg(name)? {
            Arg::None => Ok(None),
            Arg::DType(dtype) => Ok(Some(*dtype)),
            other => self.wrong(name, "a dtype", other),
        }
    }
    /// A number, known or not, or a tensor that stands for one.
    pub fn number(&mut self, name: &str) -> Result<Number, Stop> {
        match self.opt_number(name)? {
            Some(number) => Ok(number),
            None => Err(Stop::Invalid(format!("argument `{name}` is missing"))),
        }
    }
    /// A number that may be absent.
    pub fn opt_number(&mut self, name: &str) -> Result<Option<Number>, Stop> {
        match self.arg(name)? {
            Arg::None => Ok(None),
            Arg::Int(dim) => Ok(Some(Number::Int(dim.clone()))),
            Arg::Float(v) => Ok(Some(Number::Float(*v))),
            Arg::Bool(b) => Ok(Some(Number::Bool(*b))),
            Arg::Complex(re, im) => Ok(Some(Number::Complex(*re, *im))),
            Arg::Number(value) => Ok(Some(Number::Value(*value, self.category(*value)?))),
            other => self.wrong(name, "a number", other),
        }
    }
    /// An axis of a tensor of this rank, made non-negative. A scalar has one axis for this.
    pub fn axis(&mut self, name: &str, rank: usize) -> Result<usize, Stop> {
        let axis = self.int(name)?;
        self.resolve_axis(axis, rank)
    }
    /// Axes, made non-negative and checked to be distinct. None given: none.
    pub fn axes(&mut self, name: &str, rank: usize) -> Result<Vec<usize>, Stop> {
        let mut out = Vec::new();
        for axis in self.ints(name)? {
            let resolved = self.resolve_axis(axis, rank)?;
            if out.contains(&resolved) {
                return self.invalid(format!("axis {axis} occurs twice"));
            }
            out.push(resolved);
        }
        Ok(out)
    }
    /// An axis made non-negative and checked.
    pub fn resolve_axis(&self, axis: i64, rank: usize) -> Result<usize, Stop> {
        let r = rank.max(1) as i64;
        let resolved = if axis < 0 { axis.saturating_add(r) } else { axis };
        match usize::try_from(resolved) {
            Ok(a) if resolved < r => Ok(a),
            _ => self.invalid(format!("axis {axis} is out of range for rank {rank}")),
        }
    }
    /// Arguments that were not looked at and do not have their default value.
    pub(super) fn unread(&self) -> Vec<&'static str> {
        let schema: &'static Schema = self.schema;
        let params = schema.params.iter().enumerate();
        let left = params.filter(|(i, p)| {
            self.read & (1 << i.min(&63)) == 0
                && !STORAGE_ONLY.contains(&p.name.as_str())
                && self
                    .args
                    .get(*i)
                    .is_some_and(|a| *a != Arg::None && Some(a) != Arg::default_of(p).as_ref())
        });
        left.map(|(_, p)| p.name.as_str()).collect()
    }
    /// Says what an argument holds afterwards. For operators that write into an argument and do
    /// not give it back; an argument that is absent is left alone.
    pub fn write(&mut self, name: &str, value: ValueId) -> Result<(), Stop> {
        let position = self.position(name)?;
        if matches!(self.args.get(position), Some(Arg::Tensor(_))) {
            self.writes.push((position, value));
        }
        Ok(())
    }
    /// Whether a result is used, as far as is known.
    pub fn wants(&self, result: usize) -> bool {
        self.wanted.is_none_or(|w| w.get(result).copied().unwrap_or(false))
    }
    /// An error about the call.
    pub fn invalid<T>(&self, message: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Invalid(message.into()))
    }
    /// Says what cannot be read.
    pub fn unsupported<T>(&self, message: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Unsupported(message.into()))
    }

    // Types.

    /// The type of a tensor.
    pub fn ty(&self, value: ValueId) -> Result<TensorType, Stop> {
        match self.imp.function().ty(value) {
            Type::Tensor(t) => Ok(t.clone()),
            _ => self.invalid("a tensor of known rank is needed"),
        }
    }
    /// The sizes of a tensor.
    pub fn shape(&self, value: ValueId) -> Result<Shape, Stop> {
        Ok(self.ty(value)?.shape)
    }
    /// The size of an axis of a tensor that may have fewer axes.
    pub fn size(&self, value: ValueId, axis: usize) -> Result<Dim, Stop> {
        match self.shape(value)?.get(axis) {
            Some(size) => Ok(size.clone()),
            None => self.invalid(format!("a tensor without axis {axis}")),
        }
    }
    /// The number of axes of a tensor.
    pub fn rank(&self, value: ValueId) -> Result<usize, Stop> {
        Ok(self.ty(value)?.rank())
    }
    /// The dtype of a tensor.
    pub fn dtype(&self, value: ValueId) -> Result<DType, Stop> {
        Ok(self.ty(value)?.dtype)
    }
    /// The category of a tensor's dtype in promotion.
    pub fn category(&self, value: ValueId) -> Result<Category, Stop> {
        Ok(Category::of(self.dtype(value)?))
    }
    /// The elements of a tensor that is a constant.
    pub fn const_array(&self, value: ValueId) -> Option<Array> {
        self.imp.const_array(value)
    }

    // Nodes.

    /// Adds a node whose one result is wanted.
    pub fn emit(&mut self, op: impl Into<Op>, operands: &[ValueId]) -> Result<ValueId, Stop> {
        Ok(self.b().emit(op, operands)?)
    }
    /// Adds a node with optional operands whose first result is wanted.
    pub fn emit_opt(
        &mut self,
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
    ) -> Result<ValueId, Stop> {
        Ok(self.b().emit_opt(op, operands)?)
    }
    /// Adds a node with all its results.
    pub fn emit_all(
        &mut self,
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
    ) -> Result<Vec<ValueId>, Stop> {
        Ok(self.b().emit_all(op, operands)?)
    }
    /// A tensor in another dtype; itself if it has it.
    pub fn cast(&mut self, value: ValueId, to: DType) -> Result<ValueId, Stop> {
        if self.dtype(value)? == to {
            return Ok(value);
        }
        // What is too great is an infinity or NaN in these, and the greatest value of f8e4m3fn.
        let overflows = matches!(to, DType::F8E5M2 | DType::F8E5M2FNUZ | DType::F8E4M3FNUZ);
        let saturate = !overflows;
        self.emit(Cast { to, saturate, rounding: CastRounding::Up }, &[value])
    }
    /// A tensor broadcast to a shape by an implicit node; itself if it has it.
    pub fn broadcast_to(&mut self, value: ValueId, shape: &[Dim]) -> Result<ValueId, Stop> {
        if self.shape(value)?.as_slice() == shape {
            return Ok(value);
        }
        self.emit(Broadcast { dims: shape.to_vec(), implicit: true }, &[value])
    }
    /// Tensors broadcast to their common shape.
    pub fn broadcast(&mut self, values: &[ValueId]) -> Result<Vec<ValueId>, Stop> {
        let mut shape = Shape::new();
        for &v in values {
            let next = self.shape(v)?;
            shape = broadcast_shapes(&shape, &next).map_err(|e| Stop::Invalid(e.to_string()))?;
        }
        values.iter().map(|&v| self.broadcast_to(v, &shape)).collect()
    }
    /// A number as a tensor of rank 0.
    pub fn number_value(&mut self, number: &Number, dtype: DType) -> Result<ValueId, Stop> {
        promote::number_value(self, number, dtype)
    }
}
