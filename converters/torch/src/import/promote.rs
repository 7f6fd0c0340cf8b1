//! PyTorch's type promotion, made explicit with casts.
//!
//! Source of the rules: PyTorch's documentation of `torch.result_type` and
//! `torch.promote_types`. Operands are of three ranks of priority: tensors with axes, tensors of
//! rank 0, Python numbers. A lower rank raises the dtype only when its category (bool, integer,
//! float, complex) is higher.

use airconv_ir::array::{Array, Scalar};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::{Class, DType};
use airconv_ir::entity::ValueId;

use super::arg::Arg;
use super::call::{CallCx, Stop};

/// The category of a dtype, from low to high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Category {
    /// Truth values.
    Bool,
    /// Integers.
    Int,
    /// Floats.
    Float,
    /// Complex numbers.
    Complex,
}

impl Category {
    /// The category of a dtype.
    pub(crate) fn of(dtype: DType) -> Self {
        match dtype.class() {
            Class::Bool => Self::Bool,
            Class::Signed | Class::Unsigned => Self::Int,
            Class::Float | Class::String => Self::Float,
            Class::Complex => Self::Complex,
        }
    }
    /// The dtype that a Python number of the category stands for.
    pub(super) fn number_dtype(self) -> DType {
        match self {
            Self::Bool => DType::Bool,
            Self::Int => DType::I64,
            Self::Float => DType::F32,
            Self::Complex => DType::C64,
        }
    }
}

/// A Python number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    /// An integer, possibly symbolic.
    Int(Dim),
    /// A float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A complex number.
    Complex(f64, f64),
    /// What only a run can tell: a tensor of rank 0.
    Value(ValueId, Category),
}

impl Number {
    /// The category.
    pub(crate) fn category(&self) -> Category {
        match self {
            Self::Int(_) => Category::Int,
            Self::Float(_) => Category::Float,
            Self::Bool(_) => Category::Bool,
            Self::Complex(..) => Category::Complex,
            Self::Value(_, category) => *category,
        }
    }
    /// The dtype of a tensor made of the number alone.
    pub(crate) fn default_dtype(&self) -> DType {
        self.category().number_dtype()
    }
    /// The value of a known real number.
    pub(crate) fn known(&self) -> Option<f64> {
        match self {
            Self::Int(dim) => dim.as_known().map(|n| n as f64),
            Self::Float(v) => Some(*v),
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Complex(..) | Self::Value(..) => None,
        }
    }
    /// Whether it is known to be this integer.
    pub(crate) fn is(&self, n: i64) -> bool {
        self.known() == Some(n as f64)
    }
}

/// A number as a tensor of rank 0 of a dtype.
pub(super) fn number_value(
    cx: &mut CallCx<'_>,
    number: &Number,
    dtype: DType,
) -> Result<ValueId, Stop> {
    let scalar = match number {
        Number::Int(Dim::Known(n)) => Scalar::Int((*n).into()),
        Number::Int(dim) => {
            let value = cx.b().dim_scalar(dim)?;
            return cx.cast(value, dtype);
        }
        Number::Value(value, _) => return cx.cast(*value, dtype),
        Number::Float(v) => Scalar::Float(*v),
        Number::Bool(b) => Scalar::Bool(*b),
        Number::Complex(re, im) => Scalar::Complex(num_complex::Complex::new(*re, *im)),
    };
    let scalar = converted(scalar, dtype);
    let array = Array::scalar(dtype, &scalar).map_err(|e| Stop::Invalid(e.to_string()))?;
    Ok(cx.b().constant(&array)?)
}

/// A scalar in the class of a dtype, converted as C++ does.
fn converted(scalar: Scalar, dtype: DType) -> Scalar {
    let float = match &scalar {
        Scalar::Int(n) => *n as f64,
        Scalar::Float(v) => *v,
        Scalar::Bool(b) => f64::from(u8::from(*b)),
        _ => return scalar,
    };
    match (dtype.class(), &scalar) {
        (Class::Bool, _) => Scalar::Bool(float != 0.0),
        (Class::Signed | Class::Unsigned, Scalar::Int(n)) => {
            // Out of range numbers wrap.
            let bits = dtype.bits();
            let low = *n & ((1i128 << bits) - 1);
            let negative = dtype.is_signed_int() && low >> (bits - 1) & 1 == 1;
            Scalar::Int(if negative { low - (1i128 << bits) } else { low })
        }
        (Class::Signed | Class::Unsigned, _) => Scalar::Int(float as i128),
        _ => Scalar::Float(float),
    }
}

/// The dtype to which two promote; `None` if PyTorch has none.
pub(crate) fn promote_types(a: DType, b: DType) -> Option<DType> {
    if a == b {
        return Some(a);
    }
    let (low, high) = if Category::of(a) <= Category::of(b) { (a, b) } else { (b, a) };
    let narrow = |d: DType| d.is_float() && d.bits() < 16;
    if narrow(a) || narrow(b) {
        return (Category::of(low) < Category::Float).then_some(high);
    }
    match (Category::of(low), Category::of(high)) {
        (Category::Bool, _) => Some(high),
        (Category::Int, Category::Int) => promote_ints(a, b),
        (Category::Int, _) => Some(high),
        (Category::Float, Category::Float) => Some(match (a, b) {
            (DType::F16, DType::BF16) | (DType::BF16, DType::F16) => DType::F32,
            _ if a.bits() >= b.bits() => a,
            _ => b,
        }),
        (Category::Float, Category::Complex) | (Category::Complex, Category::Complex) => {
            let wide = [a, b].iter().any(|d| matches!(d, DType::F64 | DType::C128));
            Some(if wide { DType::C128 } else { DType::C64 })
        }
        _ => None,
    }
}

fn promote_ints(a: DType, b: DType) -> Option<DType> {
    // Of the unsigned dtypes, the byte alone promotes.
    match (a, b) {
        (DType::I8, DType::U8) | (DType::U8, DType::I8) => Some(DType::I16),
        (signed, DType::U8) | (DType::U8, signed) if signed.is_signed_int() => Some(signed),
        _ if a.is_signed_int() && b.is_signed_int() => {
            Some(if a.bits() >= b.bits() { a } else { b })
        }
        _ => None,
    }
}

/// An operand of a promotion.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// A tensor.
    Tensor(ValueId),
    /// A number.
    Number(Number),
}

/// The dtype that operands promote to (`torch.result_type`).
pub(crate) fn result_type(cx: &CallCx<'_>, operands: &[Operand]) -> Result<DType, Stop> {
    let mut ranks: [Option<DType>; 3] = [None; 3];
    for operand in operands {
        let (priority, dtype) = match operand {
            Operand::Tensor(v) if cx.rank(*v)? > 0 => (0, cx.dtype(*v)?),
            Operand::Tensor(v) => (1, cx.dtype(*v)?),
            Operand::Number(n) => (2, n.default_dtype()),
        };
        let slot = &mut ranks[priority];
        *slot = Some(match *slot {
            None => dtype,
            Some(before) => promoted(before, dtype)?,
        });
    }
    let [axes, zero, numbers] = ranks;
    let lower = combine(zero, numbers)?;
    combine(axes, lower)?
        .ok_or_else(|| Stop::Invalid("there is nothing to take a dtype from".to_owned()))
}

fn promoted(a: DType, b: DType) -> Result<DType, Stop> {
    let none = || Stop::Invalid(format!("{a} and {b} do not promote to a common dtype"));
    promote_types(a, b).ok_or_else(none)
}

/// The dtype of a higher and a lower priority.
fn combine(higher: Option<DType>, lower: Option<DType>) -> Result<Option<DType>, Stop> {
    let (Some(high), Some(low)) = (higher, lower) else { return Ok(higher.or(lower)) };
    let (h, l) = (Category::of(high), Category::of(low));
    if l <= h {
        return Ok(Some(high));
    }
    match (h, l) {
        // The precision of the tensor stays: f64 and a complex number give c128.
        (Category::Float, Category::Complex) => match high {
            DType::F64 => Ok(Some(DType::C128)),
            DType::F32 => Ok(Some(DType::C64)),
            _ => Err(Stop::Unsupported(format!("complex numbers of {high} parts"))),
        },
        _ => promoted(high, low).map(Some),
    }
}

impl CallCx<'_> {
    /// An argument as an operand of a promotion.
    pub fn operand(&mut self, name: &str) -> Result<Operand, Stop> {
        match self.arg(name)? {
            Arg::Tensor(value) => Ok(Operand::Tensor(*value)),
            _ => self.number(name).map(Operand::Number),
        }
    }
    /// An operand as a tensor of a dtype.
    pub fn operand_value(&mut self, operand: &Operand, dtype: DType) -> Result<ValueId, Stop> {
        match operand {
            Operand::Tensor(value) => self.cast(*value, dtype),
            Operand::Number(number) => self.number_value(number, dtype),
        }
    }
    /// Arguments promoted to a common dtype and broadcast to a common shape.
    pub fn promoted(&mut self, names: &[&str]) -> Result<Vec<ValueId>, Stop> {
        let operands = self.operands(names)?;
        let dtype = result_type(self, &operands)?;
        self.operands_as(&operands, dtype)
    }
    /// The same for an operator that computes in floats: integers become f32.
    pub fn promoted_float(&mut self, names: &[&str]) -> Result<Vec<ValueId>, Stop> {
        let operands = self.operands(names)?;
        let dtype = match result_type(self, &operands)? {
            d if Category::of(d) < Category::Float => DType::F32,
            d => d,
        };
        self.operands_as(&operands, dtype)
    }
    /// Arguments as operands.
    pub fn operands(&mut self, names: &[&str]) -> Result<Vec<Operand>, Stop> {
        names.iter().map(|n| self.operand(n)).collect()
    }
    /// Operands in a dtype, broadcast to a common shape.
    pub fn operands_as(
        &mut self,
        operands: &[Operand],
        dtype: DType,
    ) -> Result<Vec<ValueId>, Stop> {
        let values: Result<Vec<_>, _> =
            operands.iter().map(|o| self.operand_value(o, dtype)).collect();
        self.broadcast(&values?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_promote_as_in_pytorch() {
        use DType::*;
        // Written down from torch.promote_types.
        for (a, b, want) in [
            (U8, I8, Some(I16)),
            (U8, I64, Some(I64)),
            (Bool, I8, Some(I8)),
            (F16, BF16, Some(F32)),
            (I64, F16, Some(F16)),
            (F64, C64, Some(C128)),
            (F16, C64, Some(C64)),
            (U16, I32, None),
            (U16, U32, None),
            (F8E4M3FN, F32, None),
        ] {
            assert_eq!(promote_types(a, b), want, "{a} {b}");
            assert_eq!(promote_types(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn a_lower_priority_raises_only_the_category() {
        assert_eq!(combine(Some(DType::F16), Some(DType::F64)).unwrap(), Some(DType::F16));
        assert_eq!(combine(Some(DType::I32), Some(DType::F32)).unwrap(), Some(DType::F32));
        assert_eq!(combine(Some(DType::F64), Some(DType::C64)).unwrap(), Some(DType::C128));
        assert_eq!(combine(Some(DType::Bool), Some(DType::I64)).unwrap(), Some(DType::I64));
    }

    #[test]
    fn integers_wrap_into_their_dtype() {
        assert_eq!(converted(Scalar::Int(300), DType::U8), Scalar::Int(44));
        assert_eq!(converted(Scalar::Int(-1), DType::U8), Scalar::Int(255));
        assert_eq!(converted(Scalar::Float(2.7), DType::I32), Scalar::Int(2));
    }
}
