//! The interpreter's reduce family. Float sums and products are accumulated in f64.

use num_complex::Complex;

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{
    Array, ArrayError, Data, Element, IntElement, RealElement, RoundMode, Rounder, checked_numel,
};
use crate::dtype::DType;
use crate::op::*;
use crate::{dispatch_int, dispatch_real};

fn unsupported<T>(op: &str, dtype: DType) -> Result<T, EvalError> {
    Err(EvalError::Unsupported(format!("`{op}` of {dtype}")))
}

/// An array with the axes to combine moved to the end, as rows of `len` elements.
struct Rows {
    array: Array,
    shape: Vec<usize>,
    count: usize,
    len: usize,
}

fn rows(a: &Array, axes: &[i64], keepdims: bool) -> Result<Rows, EvalError> {
    let mut gone = vec![false; a.rank()];
    for &axis in axes {
        match usize::try_from(axis).ok().and_then(|i| gone.get_mut(i)) {
            Some(g) => *g = true,
            None => return EvalError::failed(format!("axis {axis} of rank {}", a.rank())),
        }
    }
    let kept = (0..a.rank()).filter(|&i| !gone[i]);
    let perm: Vec<usize> = kept.clone().chain((0..a.rank()).filter(|&i| gone[i])).collect();
    let kept: Vec<usize> = kept.map(|i| a.shape[i]).collect();
    let dropped: Vec<usize> =
        a.shape.iter().zip(&gone).filter(|(_, g)| **g).map(|(&d, _)| d).collect();
    let sorted = perm.iter().enumerate().all(|(i, &p)| i == p);
    let array = if sorted { a.clone() } else { a.transpose(&perm)? };
    let shape = if keepdims {
        a.shape.iter().zip(&gone).map(|(&d, &g)| if g { 1 } else { d }).collect()
    } else {
        kept.clone()
    };
    Ok(Rows { array, shape, count: checked_numel(&kept)?, len: checked_numel(&dropped)? })
}

impl Rows {
    /// Applies `f` to each row.
    fn each<T: Element, U>(&self, v: &[T], f: impl Fn(&[T]) -> U) -> Vec<U> {
        (0..self.count).map(|i| f(&v[i * self.len..(i + 1) * self.len])).collect()
    }
}

/// Sums by halves, so that the error grows with the logarithm of the length.
fn sum(v: &[f64]) -> f64 {
    if v.len() <= 64 {
        return v.iter().sum();
    }
    let (a, b) = v.split_at(v.len() / 2);
    sum(a) + sum(b)
}

fn complex_sum(v: &[Complex<f64>]) -> Complex<f64> {
    let part = |f: fn(&Complex<f64>) -> f64| sum(&v.iter().map(f).collect::<Vec<_>>());
    Complex::new(part(|z| z.re), part(|z| z.im))
}

fn product(v: &[f64]) -> f64 {
    v.iter().product()
}

/// The extreme of a row: NaN if there is one.
fn extreme<T: RealElement>(v: &[T], kind: ArgKind, empty: T) -> T {
    let mut best = match v.first() {
        Some(&first) => first,
        None => return empty,
    };
    for &x in v {
        if replaces(&x, &best, kind, false) {
            best = x;
        }
    }
    best
}

/// Whether x, which comes later, takes the place of the best so far.
fn replaces<T: PartialOrd>(x: &T, best: &T, kind: ArgKind, ties: bool) -> bool {
    // Only NaN differs from itself.
    let (x_nan, best_nan) = (!x.eq(x), !best.eq(best));
    match (x_nan, best_nan) {
        (true, true) => ties,
        (true, false) => true,
        (false, true) => false,
        (false, false) => match kind {
            ArgKind::Max => x > best || (ties && x >= best),
            ArgKind::Min => x < best || (ties && x <= best),
        },
    }
}

/// The lowest (for `max`) or highest (for `min`) value of a dtype: what nothing reduces to.
fn neutral(dtype: DType, kind: ArgKind) -> Result<Array, ArrayError> {
    let extreme = match (dtype.int_range(), dtype.float_format()) {
        (Some((low, high)), _) => {
            let value = if kind == ArgKind::Max { low } else { high };
            return Array::scalar(dtype, &crate::array::Scalar::Int(value));
        }
        (None, Some(f)) => match kind {
            _ if !f.is_signed() && kind == ArgKind::Max => f.min_normal(),
            _ if !f.has_inf() => f.max_finite(),
            _ => f64::INFINITY,
        },
        (None, None) => 0.0,
    };
    let signed = dtype.float_format().is_some_and(|f| f.is_signed());
    let value = if kind == ArgKind::Max && signed { -extreme } else { extreme };
    Array::from_f64s(dtype, Vec::new(), &[value])
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&x| x.into()).collect()
}

fn wide_complex(v: &[Complex<f32>]) -> Vec<Complex<f64>> {
    v.iter().map(|z| Complex::new(z.re.into(), z.im.into())).collect()
}

fn narrow_complex(z: Complex<f64>) -> Complex<f32> {
    Complex::new(z.re as f32, z.im as f32)
}

/// Rounds values computed in f64 to a float dtype that is held in `f32`.
fn rounded(dtype: DType, values: impl Iterator<Item = f64>) -> Data {
    Data::F32(match Rounder::new(dtype, false, RoundMode::Nearest) {
        Some(r) => values.map(|y| r.round(y)).collect(),
        None => values.map(|y| y as f32).collect(),
    })
}

fn summed(r: &Rows, kind: ReduceKind) -> Result<Data, EvalError> {
    fn ints<T: IntElement>(r: &Rows, v: &[T], add: bool) -> Data {
        T::wrap(r.each(v, |row| {
            if add {
                row.iter().fold(T::zero(), |a, b| a.wrapping_add(b))
            } else {
                row.iter().fold(T::one(), |a, b| a.wrapping_mul(b))
            }
        }))
    }
    let add = kind == ReduceKind::Sum;
    let f = if add { sum } else { product };
    let g = |v: &[Complex<f64>]| if add { complex_sum(v) } else { v.iter().product() };
    Ok(match &r.array.data {
        Data::F32(v) => rounded(r.array.dtype, r.each(v, |row| f(&wide(row))).into_iter()),
        Data::F64(v) => Data::F64(r.each(v, f)),
        Data::C64(v) => Data::C64(r.each(v, |row| narrow_complex(g(&wide_complex(row))))),
        Data::C128(v) => Data::C128(r.each(v, g)),
        other => {
            dispatch_int!(other, |v| ints(r, v, add), else
                return unsupported("reduce", r.array.dtype))
        }
    })
}

/// `reduce`.
pub fn reduce(cx: &mut EvalCx<'_, '_>, op: &Reduce) -> EvalResult {
    fn extremes<T: RealElement>(r: &Rows, v: &[T], kind: ArgKind, empty: &Array) -> Option<Data> {
        let empty = *empty.as_slice::<T>()?.first()?;
        Some(T::wrap(r.each(v, |row| extreme(row, kind, empty))))
    }
    let a = cx.array(0)?;
    if op.axes.is_empty() {
        return one(a.clone());
    }
    let r = rows(a, &op.axes, op.keepdims)?;
    cx.check_size(a.dtype, &r.shape)?;
    let data = match op.kind {
        ReduceKind::Sum | ReduceKind::Prod => summed(&r, op.kind)?,
        ReduceKind::Max | ReduceKind::Min => {
            let kind = if op.kind == ReduceKind::Max { ArgKind::Max } else { ArgKind::Min };
            let empty = neutral(a.dtype, kind)?;
            let found = dispatch_real!(&r.array.data, |v| extremes(&r, v, kind, &empty), else None);
            match found {
                Some(data) => data,
                None => return unsupported("reduce", a.dtype),
            }
        }
        ReduceKind::And | ReduceKind::Or => match &r.array.data {
            Data::Bool(v) if op.kind == ReduceKind::And => {
                Data::Bool(r.each(v, |row| row.iter().all(|&b| b)))
            }
            Data::Bool(v) => Data::Bool(r.each(v, |row| row.iter().any(|&b| b))),
            _ => return unsupported("reduce", a.dtype),
        },
    };
    one(Array::narrowed(a.dtype, r.shape, data)?)
}

/// `arg_reduce`.
pub fn arg_reduce(cx: &mut EvalCx<'_, '_>, op: &ArgReduce) -> EvalResult {
    fn position<T: RealElement>(row: &[T], op: &ArgReduce) -> i64 {
        let mut best = 0;
        for (i, x) in row.iter().enumerate().skip(1) {
            if replaces(x, &row[best], op.kind, op.select_last) {
                best = i;
            }
        }
        best as i64
    }
    let a = cx.array(0)?;
    let r = rows(a, &[op.axis], op.keepdims)?;
    if r.len == 0 && r.count > 0 {
        return EvalError::failed("`arg_reduce` of no elements");
    }
    let found = dispatch_real!(&r.array.data, |v| Some(r.each(v, |row| position(row, op))),
        else None);
    match found {
        Some(v) => one(Array::from_vec(r.shape, v)?),
        None => unsupported("arg_reduce", a.dtype),
    }
}

/// A running combination of one row, in order.
fn running<T: Copy>(row: &mut [T], start: T, exclusive: bool, f: impl Fn(T, T) -> T) {
    let mut acc = start;
    for x in row {
        let next = f(acc, *x);
        *x = if exclusive { acc } else { next };
        acc = next;
    }
}

/// Runs over each row, from its end when `reverse`.
fn scanned<T: Element + Copy>(
    v: &[T],
    len: usize,
    op: &ScanReduce,
    start: T,
    f: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut out = v.to_vec();
    for row in out.chunks_exact_mut(len.max(1)) {
        if op.reverse {
            row.reverse();
        }
        running(row, start, op.exclusive, &f);
        if op.reverse {
            row.reverse();
        }
    }
    out
}

fn scan_ints<T: IntElement>(v: &[T], len: usize, op: &ScanReduce, empty: &Array) -> Option<Data> {
    let empty = empty.as_slice::<T>().and_then(|e| e.first().copied());
    Some(T::wrap(match op.kind {
        ReduceKind::Sum => scanned(v, len, op, T::zero(), |a, b| a.wrapping_add(&b)),
        ReduceKind::Prod => scanned(v, len, op, T::one(), |a, b| a.wrapping_mul(&b)),
        ReduceKind::Max => scanned(v, len, op, empty?, Ord::max),
        ReduceKind::Min => scanned(v, len, op, empty?, Ord::min),
        ReduceKind::And | ReduceKind::Or => return None,
    }))
}

fn scan_floats(v: &[f64], len: usize, op: &ScanReduce, empty: f64) -> Option<Vec<f64>> {
    let pick = |kind| move |a: f64, b: f64| if replaces(&b, &a, kind, false) { b } else { a };
    Some(match op.kind {
        ReduceKind::Sum => scanned(v, len, op, 0.0, |a, b| a + b),
        ReduceKind::Prod => scanned(v, len, op, 1.0, |a, b| a * b),
        ReduceKind::Max => scanned(v, len, op, empty, pick(ArgKind::Max)),
        ReduceKind::Min => scanned(v, len, op, empty, pick(ArgKind::Min)),
        ReduceKind::And | ReduceKind::Or => return None,
    })
}

fn scan_complex(v: &[Complex<f64>], len: usize, op: &ScanReduce) -> Option<Vec<Complex<f64>>> {
    let (zero, unit) = (Complex::new(0.0, 0.0), Complex::new(1.0, 0.0));
    match op.kind {
        ReduceKind::Sum => Some(scanned(v, len, op, zero, |a, b| a + b)),
        ReduceKind::Prod => Some(scanned(v, len, op, unit, |a, b| a * b)),
        ReduceKind::Max | ReduceKind::Min | ReduceKind::And | ReduceKind::Or => None,
    }
}

/// `scan_reduce`.
pub fn scan_reduce(cx: &mut EvalCx<'_, '_>, op: &ScanReduce) -> EvalResult {
    let a = cx.array(0)?;
    let rank = a.rank();
    let Some(axis) = usize::try_from(op.axis).ok().filter(|&x| x < rank) else {
        return EvalError::failed(format!("axis {} of rank {rank}", op.axis));
    };
    // The axis goes last and comes back afterwards.
    let mut perm: Vec<usize> = (0..rank).filter(|&i| i != axis).collect();
    perm.push(axis);
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(i, &p)| back[p] = i);
    let moved = a.transpose(&perm)?;
    let (dtype, len) = (a.dtype, a.shape[axis]);
    let kind = if op.kind == ReduceKind::Min { ArgKind::Min } else { ArgKind::Max };
    let empty = neutral(if dtype.is_complex() { DType::F64 } else { dtype }, kind)?;
    let lowest = empty.to_f64s().and_then(|v| v.first().copied()).unwrap_or(0.0);
    let data = match &moved.data {
        Data::F32(v) => {
            scan_floats(&wide(v), len, op, lowest).map(|v| rounded(dtype, v.into_iter()))
        }
        Data::F64(v) => scan_floats(v, len, op, lowest).map(Data::F64),
        Data::C64(v) => scan_complex(&wide_complex(v), len, op)
            .map(|v| Data::C64(v.into_iter().map(narrow_complex).collect())),
        Data::C128(v) => scan_complex(v, len, op).map(Data::C128),
        other => dispatch_int!(other, |v| scan_ints(v, len, op, &empty), else None),
    };
    match data {
        Some(data) => one(Array::narrowed(dtype, moved.shape, data)?.transpose(&back)?),
        None => unsupported("scan_reduce", dtype),
    }
}
