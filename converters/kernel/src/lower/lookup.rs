//! Tables from keys to values: each element finds its key by halving, as an expression.

use airconv_ir::array::{Array, Scalar as Number};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{TensorId, ValueId};
use airconv_ir::module::Module;
use airconv_ir::op::LabelEncoder;

use super::Stop;
use super::code::tensor_of;
use super::pull::{Pull, Val, scalar_of};
use crate::ir::{BufferId, Const, ExprId, Scalar, UnOp};

/// A table, its keys in order and padded with the last one to a power of two.
#[derive(Clone, Debug)]
pub(super) struct Table {
    keys: TensorId,
    values: TensorId,
    /// The buffers of both, once they have some.
    pub buffers: Option<[BufferId; 2]>,
    /// How many keys there are; a power of two, or none.
    count: u64,
    default: Const,
    /// The value of NaN, where it is a key.
    nan: Option<Const>,
}

impl Table {
    /// The tensors of keys and values.
    pub fn tensors(&self) -> [TensorId; 2] {
        [self.keys, self.values]
    }
}

/// A number that has an order, and its place among the keys.
fn constant(value: &Number, dtype: DType) -> Result<Const, Stop> {
    let ty = scalar_of(dtype)?;
    match value {
        Number::Bool(b) => Ok(Const::bool(*b)),
        Number::Int(i) => Ok(Const::from_i128(ty, *i)),
        Number::Float(x) => Ok(Const::from_f64(ty, *x)),
        Number::Str(_) | Number::Complex(_) => {
            Err(Stop::Unsupported("values that are not real numbers".to_owned()))
        }
    }
}

/// The table of a label encoder.
pub(super) fn of_encoder(module: &mut Module, op: &LabelEncoder) -> Result<Table, Stop> {
    let array =
        |id: TensorId| module.tensors[id].to_array().map_err(|e| Stop::Unsupported(e.to_string()));
    let (keys, values, default) = (array(op.keys)?, array(op.values)?, array(op.default)?);
    if keys.dtype == DType::String || values.dtype == DType::String {
        return Err(Stop::Unsupported("a table with strings".to_owned()));
    }
    if keys.dtype.is_complex() || keys.dtype == DType::Bool || values.dtype.is_complex() {
        return Err(Stop::Unsupported(format!("a table of {}", keys.dtype)));
    }
    let Some(Number::Bool(_) | Number::Int(_) | Number::Float(_)) = default.get(0) else {
        return Err(Stop::Unsupported("a default that is not a number".to_owned()));
    };
    let value = |i: usize| values.get(i).map(|v| constant(&v, values.dtype)).transpose();
    // Of equal keys the last counts.
    let mut order: Vec<(Number, usize)> = Vec::new();
    let mut nan = None;
    for i in 0..keys.numel() {
        match keys.get(i) {
            Some(Number::Float(x)) if x.is_nan() => nan = value(i)?,
            Some(Number::Float(x)) => order.push((Number::Float(x + 0.0), i)),
            Some(key) => order.push((key, i)),
            None => {}
        }
    }
    order.sort_by(|a, b| match (&a.0, &b.0) {
        (Number::Float(x), Number::Float(y)) => x.total_cmp(y),
        (Number::Int(x), Number::Int(y)) => x.cmp(y),
        _ => std::cmp::Ordering::Equal,
    });
    let mut kept: Vec<(Number, usize)> = Vec::new();
    for item in order {
        match kept.last_mut() {
            Some(last) if last.0 == item.0 => *last = item,
            _ => kept.push(item),
        }
    }
    if let Some(last) = kept.last().cloned() {
        kept.resize(kept.len().next_power_of_two(), last);
    }
    let count = kept.len();
    let failed = |e: airconv_ir::array::ArrayError| Stop::Unsupported(e.to_string());
    let mut sorted = Array::zeros(keys.dtype, vec![count]).map_err(failed)?;
    let mut found = Array::zeros(values.dtype, vec![count]).map_err(failed)?;
    for (at, (key, i)) in kept.iter().enumerate() {
        sorted.set(at, key).map_err(failed)?;
        if let Some(value) = values.get(*i) {
            found.set(at, &value).map_err(failed)?;
        }
    }
    let default = default.get(0).map(|d| constant(&d, values.dtype)).transpose()?;
    let zero = Const::from_i128(scalar_of(values.dtype)?, 0);
    Ok(Table {
        keys: tensor_of(module, &sorted)?,
        values: tensor_of(module, &found)?,
        buffers: None,
        count: count as u64,
        default: default.unwrap_or(zero),
        nan,
    })
}

impl Pull<'_, '_> {
    /// The value of an element in a table.
    pub fn looked_up(&mut self, x: ValueId, table: &Table, at: &[Dim]) -> Result<Val, Stop> {
        let x = self.real(x, at)?;
        let default = self.b.constant(table.default);
        let mut found = default;
        if let (Some([keys, values]), true) = (table.buffers, table.count > 0) {
            let keys = self.reads(keys)?;
            let values = self.reads(values)?;
            // The last key that is not above x, or the first one.
            let mut below = self.int(0);
            let mut step = table.count / 2;
            while step > 0 {
                below = self.halved(keys, x, below, step as i64);
                step /= 2;
            }
            let key = self.load_at(keys, below);
            let is = self.equals(key, x);
            let value = self.load_at(values, below);
            found = self.pick(is, value, default);
        }
        if self.b.ty(x).is_float() {
            let is = self.b.unary(UnOp::IsNan, x);
            let value = self.b.constant(table.nan.unwrap_or(table.default));
            found = self.pick(is, value, found);
        }
        Ok(Val::Real(found))
    }

    /// A place further on by a step where the key there is not above x.
    fn halved(&mut self, keys: u32, x: ExprId, below: ExprId, step: i64) -> ExprId {
        let width = self.int(step);
        let next = self.plus(below, width);
        let key = self.load_at(keys, next);
        let passes = self.at_most(key, x);
        let passes = self.b.cast(Scalar::I64, passes);
        let go = self.times(passes, width);
        self.plus(below, go)
    }
}
