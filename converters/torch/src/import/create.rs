//! Reading rules of what makes tensors of nothing but sizes and numbers.

use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{BlackmanWindow, Broadcast, HammingWindow, HannWindow, OpKind};

use super::DEFAULT_DTYPE;
use super::arg::Arg;
use super::call::{CallCx, Stop};
use super::formula::{number, value, when};
use super::index::counting;
use super::promote::{Category, Number, Operand, result_type};
use super::rules::{ImportRule, Outcome};
use super::shape::filled;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::of("aten::blackman_window", "", &[OpKind::BlackmanWindow], blackman_window),
    ImportRule::of("aten::blackman_window", "periodic", &[OpKind::BlackmanWindow], blackman_window),
    ImportRule::of("aten::empty", "memory_format", &[OpKind::Broadcast], empty),
    ImportRule::new("aten::empty_like", &[OpKind::Broadcast], zeros_like),
    ImportRule::new("aten::empty_permuted", &[OpKind::Broadcast], empty),
    ImportRule::new("aten::empty_strided", &[OpKind::Broadcast], empty),
    ImportRule::new("aten::eye", &[OpKind::Iota, OpKind::Equal], eye),
    ImportRule::new("aten::fill", &[OpKind::Broadcast], fill),
    ImportRule::of("aten::hamming_window", "", &[OpKind::HammingWindow], hamming_window),
    ImportRule::of("aten::hamming_window", "periodic", &[OpKind::HammingWindow], hamming_window),
    ImportRule::of("aten::hann_window", "", &[OpKind::HannWindow], hann_window),
    ImportRule::of("aten::hann_window", "periodic", &[OpKind::HannWindow], hann_window),
    ImportRule::new("aten::linspace", &[OpKind::Iota, OpKind::Mul], linspace),
    ImportRule::new("aten::logspace", &[OpKind::Iota, OpKind::Pow], logspace),
    ImportRule::new("aten::new_empty", &[OpKind::Broadcast], new_zeros),
    ImportRule::new("aten::new_empty_strided", &[OpKind::Broadcast], new_zeros),
    ImportRule::new("aten::new_full", &[OpKind::Broadcast], new_full),
    ImportRule::new("aten::new_ones", &[OpKind::Broadcast], new_ones),
    ImportRule::new("aten::new_zeros", &[OpKind::Broadcast], new_zeros),
    ImportRule::new("aten::ones_like", &[OpKind::Broadcast], ones_like),
    ImportRule::new("aten::tensor", &[], tensor),
    ImportRule::new("aten::tril_indices", &[], tril_indices),
    ImportRule::new("aten::triu_indices", &[], triu_indices),
    ImportRule::new("aten::zero", &[OpKind::Broadcast], zeros_like),
    ImportRule::new("aten::zeros_like", &[OpKind::Broadcast], zeros_like),
];

/// The dtype that is asked for, or another; a default that is a number stands for none.
pub(super) fn dtype_or(cx: &mut CallCx<'_>, default: DType) -> Result<DType, Stop> {
    if !cx.has("dtype") {
        return Ok(default);
    }
    match cx.arg("dtype")? {
        Arg::DType(dtype) => Ok(*dtype),
        _ => Ok(default),
    }
}

/// `empty` and its kin: their elements are not specified, here zero.
fn empty(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["stride", "physical_layout"]);
    let dims = cx.dims("size")?;
    let dtype = dtype_or(cx, DEFAULT_DTYPE)?;
    Ok(filled(cx, &dims, &Number::Int(0.into()), dtype)?.into())
}

fn like(cx: &mut CallCx<'_>, of: i64) -> Outcome {
    let x = cx.tensor("self")?;
    let own = cx.dtype(x)?;
    let (shape, dtype) = (cx.shape(x)?, dtype_or(cx, own)?);
    Ok(filled(cx, &shape, &Number::Int(of.into()), dtype)?.into())
}

/// `zeros_like`, and `empty_like`, whose elements are not specified.
fn zeros_like(cx: &mut CallCx<'_>) -> Outcome {
    like(cx, 0)
}

/// `ones_like`.
fn ones_like(cx: &mut CallCx<'_>) -> Outcome {
    like(cx, 1)
}

fn new(cx: &mut CallCx<'_>, number: &Number) -> Outcome {
    cx.ignore(&["stride"]);
    let (x, dims) = (cx.tensor("self")?, cx.dims("size")?);
    let own = cx.dtype(x)?;
    let dtype = dtype_or(cx, own)?;
    Ok(filled(cx, &dims, number, dtype)?.into())
}

/// `new_zeros`, and `new_empty`, whose elements are not specified.
fn new_zeros(cx: &mut CallCx<'_>) -> Outcome {
    new(cx, &Number::Int(0.into()))
}

/// `new_ones`.
fn new_ones(cx: &mut CallCx<'_>) -> Outcome {
    new(cx, &Number::Int(1.into()))
}

/// `new_full`.
fn new_full(cx: &mut CallCx<'_>) -> Outcome {
    let number = cx.number("fill_value")?;
    new(cx, &number)
}

/// `fill`: one value in the shape and dtype of a tensor.
fn fill(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
    let value = cx.operand("value")?;
    let value = cx.operand_value(&value, dtype)?;
    let value = cx.b().reshape(value, &[])?;
    Ok(cx.emit(Broadcast { dims: shape.to_vec(), implicit: false }, &[value])?.into())
}

/// `tensor`: a number, or numbers in lists.
fn tensor(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["requires_grad"]);
    let name = if cx.schema.position("t").is_some() { "t" } else { "data" };
    let data = cx.arg(name)?.clone();
    let mut category = None;
    let mut left = MOST_NUMBERS;
    widest(cx, &data, &mut category, &mut left)?;
    let natural = category.map_or(DEFAULT_DTYPE, Category::number_dtype);
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(natural);
    Ok(of_lists(cx, &data, dtype)?.into())
}

/// The most numbers that one call makes a tensor of.
const MOST_NUMBERS: usize = 1 << 16;

fn a_number(cx: &CallCx<'_>, arg: &Arg) -> Result<Number, Stop> {
    Ok(match arg {
        Arg::Int(dim) => Number::Int(dim.clone()),
        Arg::Float(v) => Number::Float(*v),
        Arg::Bool(b) => Number::Bool(*b),
        Arg::Complex(re, im) => Number::Complex(*re, *im),
        Arg::Number(value) => Number::Value(*value, cx.category(*value)?),
        other => return cx.unsupported(format!("a tensor of {}", other.kind())),
    })
}

/// The category of the numbers of nested lists.
fn widest(
    cx: &CallCx<'_>,
    data: &Arg,
    category: &mut Option<Category>,
    left: &mut usize,
) -> Result<(), Stop> {
    let Some(less) = left.checked_sub(1) else { return cx.unsupported("as many numbers") };
    *left = less;
    match data {
        Arg::List(items) => items.iter().try_for_each(|i| widest(cx, i, category, left)),
        one => {
            let own = a_number(cx, one)?.category();
            *category = Some(category.map_or(own, |c| c.max(own)));
            Ok(())
        }
    }
}

/// Numbers in nested lists, as a tensor with an axis per list.
fn of_lists(cx: &mut CallCx<'_>, data: &Arg, dtype: DType) -> Result<ValueId, Stop> {
    let Arg::List(items) = data else {
        let number = a_number(cx, data)?;
        return cx.number_value(&number, dtype);
    };
    if items.is_empty() {
        return filled(cx, &[Dim::Known(0)], &Number::Int(0.into()), dtype);
    }
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let row = of_lists(cx, item, dtype)?;
        rows.push(cx.b().unsqueeze(row, &[0])?);
    }
    Ok(cx.b().concat(&rows, 0)?)
}

/// `eye`: ones on the diagonal.
fn eye(cx: &mut CallCx<'_>) -> Outcome {
    let rows = cx.dim("n")?;
    let columns = if cx.has("m") { cx.dim("m")? } else { rows.clone() };
    let dtype = dtype_or(cx, DEFAULT_DTYPE)?;
    Ok(identity(cx, &[rows, columns], dtype)?.into())
}

/// A matrix with ones on the diagonal.
pub(super) fn identity(
    cx: &mut CallCx<'_>,
    dims: &[Dim; 2],
    dtype: DType,
) -> Result<ValueId, Stop> {
    let (rows, columns) = (counting(cx, dims, 0)?, counting(cx, dims, 1)?);
    let diagonal = cx.b().equal(rows, columns)?;
    cx.cast(diagonal, dtype)
}

/// Start, end, number of points and dtype of a range of points.
struct Points {
    start: ValueId,
    end: ValueId,
    steps: i64,
    /// The dtype of the result, and that of the computation.
    dtype: DType,
    work: DType,
}

fn points(cx: &mut CallCx<'_>) -> Result<Points, Stop> {
    let operands = cx.operands(&["start", "end"])?;
    let natural = match result_type(cx, &operands)? {
        d if Category::of(d) == Category::Complex => d,
        _ => DEFAULT_DTYPE,
    };
    let dtype = dtype_or(cx, natural)?;
    if Category::of(dtype) == Category::Complex {
        return cx.unsupported("complex numbers");
    }
    let steps = cx.int("steps")?;
    let work = match Category::of(dtype) {
        Category::Float => super::formula::work_dtype(dtype),
        _ => DType::F64,
    };
    let end = |cx: &mut CallCx<'_>, operand: &Operand| {
        // Integers begin and end at integers.
        let v = match Category::of(dtype) {
            Category::Float => cx.operand_value(operand, work)?,
            _ => cx.operand_value(operand, dtype)?,
        };
        let v = cx.cast(v, work)?;
        Ok::<_, Stop>(cx.b().reshape(v, &[])?)
    };
    let (start, end) = (end(cx, &operands[0])?, end(cx, &operands[1])?);
    Ok(Points { start, end, steps, dtype, work })
}

/// Equally spaced numbers from start to end, each from the nearer one.
fn spaced(cx: &mut CallCx<'_>, p: &Points) -> Result<ValueId, Stop> {
    let at = cx.b().iota(p.work, p.steps.into())?;
    let (start, end, at) = (value(p.start), value(p.end), value(at));
    if p.steps <= 1 {
        return cx.formula(&(at + start), p.work);
    }
    let step = (&end - &start) / (p.steps - 1) as f64;
    let from_start = &start + &at * &step;
    let from_end = &end - (number((p.steps - 1) as f64) - &at) * &step;
    let first_half = at.lt((p.steps / 2) as f64);
    cx.formula(&when(&first_half, from_start, from_end), p.work)
}

/// `linspace`.
fn linspace(cx: &mut CallCx<'_>) -> Outcome {
    let points = points(cx)?;
    let y = spaced(cx, &points)?;
    Ok(cx.cast(y, points.dtype)?.into())
}

/// `logspace`: powers of the base with equally spaced exponents.
fn logspace(cx: &mut CallCx<'_>) -> Outcome {
    let base = cx.float("base")?;
    let points = points(cx)?;
    let y = spaced(cx, &points)?;
    let y = cx.formula(&number(base).pow(value(y)), points.work)?;
    Ok(cx.cast(y, points.dtype)?.into())
}

/// Positions of a triangle of a matrix: rows, then columns.
fn triangle(cx: &mut CallCx<'_>, upper: bool) -> Outcome {
    let (rows, columns, offset) = (cx.int("row")?, cx.int("col")?, cx.int("offset")?);
    let dtype = dtype_or(cx, DType::I64)?;
    const MOST: i64 = 1 << 24;
    if !(0..=MOST).contains(&rows) || !(0..=MOST).contains(&columns) || rows * columns > MOST {
        return cx.unsupported("positions in a matrix of this size");
    }
    let inside = |r: i64, c: i64| if upper { c - r >= offset } else { c - r <= offset };
    let all: Vec<(i64, i64)> = (0..rows)
        .flat_map(|r| (0..columns).map(move |c| (r, c)))
        .filter(|&(r, c)| inside(r, c))
        .collect();
    let flat: Vec<i64> = all.iter().map(|p| p.0).chain(all.iter().map(|p| p.1)).collect();
    let array = Array::from_i64s(dtype, vec![2, all.len()], &flat)
        .map_err(|e| Stop::Invalid(e.to_string()))?;
    Ok(cx.b().constant(&array)?.into())
}

/// `tril_indices`.
fn tril_indices(cx: &mut CallCx<'_>) -> Outcome {
    triangle(cx, false)
}

/// `triu_indices`.
fn triu_indices(cx: &mut CallCx<'_>) -> Outcome {
    triangle(cx, true)
}

/// Size, whether periodic, and dtype of a window.
fn window(cx: &mut CallCx<'_>) -> Result<(Dim, bool, DType), Stop> {
    let periodic = if cx.has("periodic") { cx.bool("periodic")? } else { true };
    Ok((cx.dim("window_length")?, periodic, dtype_or(cx, DEFAULT_DTYPE)?))
}

/// `hann_window`.
fn hann_window(cx: &mut CallCx<'_>) -> Outcome {
    let (size, periodic, dtype) = window(cx)?;
    Ok(cx.emit(HannWindow { size, periodic, dtype }, &[])?.into())
}

/// `blackman_window`.
fn blackman_window(cx: &mut CallCx<'_>) -> Outcome {
    let (size, periodic, dtype) = window(cx)?;
    Ok(cx.emit(BlackmanWindow { size, periodic, dtype }, &[])?.into())
}

/// `hamming_window`, whose coefficients are 0.54 and 0.46 here.
fn hamming_window(cx: &mut CallCx<'_>) -> Outcome {
    let (size, periodic, dtype) = window(cx)?;
    // The hub's window has 25/46 and 21/46: a linear function of it.
    let hub = cx.emit(HammingWindow { size, periodic, dtype: DType::F64 }, &[])?;
    let cosine = (value(hub) - 25.0 / 46.0) / (21.0 / 46.0);
    let y = cx.formula(&(cosine * 0.46 + 0.54), DType::F64)?;
    Ok(cx.cast(y, dtype)?.into())
}
