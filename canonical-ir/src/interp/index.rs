//! Evaluation of the index family.

use std::cmp::Ordering;

use num_complex::Complex;
use num_traits::Float;
use rustc_hash::FxHashMap;

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, Element, StrBytes, checked_numel, row_major_strides};
use crate::dtype::DType;
use crate::op::*;
use crate::{dispatch_all, dispatch_real};

/// The integers of an index operand.
fn indices(cx: &EvalCx<'_, '_>, slot: usize) -> Result<(Vec<i64>, Vec<usize>), EvalError> {
    let a = cx.array(slot)?;
    match a.to_i64s() {
        Some(v) => Ok((v, a.shape.clone())),
        None => EvalError::failed(format!("indices of {} cannot be used", a.dtype)),
    }
}

/// Where the slice that an index tuple names starts.
fn offset(tuple: &[i64], dims: &[usize], strides: &[usize]) -> Result<usize, EvalError> {
    let mut at = 0usize;
    for ((&index, &dim), &stride) in tuple.iter().zip(dims).zip(strides) {
        let wrapped = if index < 0 { index.checked_add_unsigned(dim as u64) } else { Some(index) };
        match wrapped.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < dim) {
            Some(i) => at += i * stride,
            None => return EvalError::failed(format!("index {index} is out of range for {dim}")),
        }
    }
    Ok(at)
}

/// Copies the slices that index tuples name.
pub fn gather_nd(cx: &mut EvalCx<'_, '_>, op: &GatherNd) -> EvalResult {
    let x = cx.array(0)?;
    let (tuples, ishape) = indices(cx, 1)?;
    let batch = usize::try_from(op.batch_dims).unwrap_or(usize::MAX);
    let Some((&k, outer)) = ishape.split_last() else {
        return EvalError::failed("indices have rank 0");
    };
    if batch > outer.len() || batch.saturating_add(k) > x.rank() {
        return EvalError::failed("the indices do not fit the operand");
    }
    if x.shape[..batch] != outer[..batch] {
        return EvalError::failed("the batch axes differ");
    }
    let mut shape = outer.to_vec();
    shape.extend(&x.shape[batch + k..]);
    cx.check_size(x.dtype, &shape)?;
    let count = checked_numel(&shape)?;
    let dims = &x.shape[batch..batch + k];
    let strides = row_major_strides(&x.shape);
    let strides = &strides[batch..batch + k];
    let row = checked_numel(&x.shape[batch + k..])?;
    let group = checked_numel(&x.shape[batch..])?;
    let tuples_per_group = checked_numel(&outer[batch..])?;
    let groups = checked_numel(&outer[..batch])?;
    let mut starts = Vec::with_capacity(groups * tuples_per_group);
    for g in 0..groups {
        for t in 0..tuples_per_group {
            let at = (g * tuples_per_group + t) * k;
            starts.push(g * group + offset(&tuples[at..at + k], dims, strides)?);
        }
    }
    fn copy<T: Element>(v: &[T], starts: &[usize], row: usize, count: usize) -> Data {
        let mut out = Vec::with_capacity(count);
        if row == 1 {
            out.extend(starts.iter().map(|&s| v[s].clone()));
        } else {
            starts.iter().for_each(|&s| out.extend_from_slice(&v[s..s + row]));
        }
        T::wrap(out)
    }
    let data = dispatch_all!(&x.data, |v| copy(v, &starts, row, count));
    one(Array::new(x.dtype, shape, data)?)
}

/// A copy with slices replaced or combined.
pub fn scatter_nd(cx: &mut EvalCx<'_, '_>, op: &ScatterNd) -> EvalResult {
    let (x, updates) = (cx.array(0)?, cx.array(2)?);
    let (tuples, ishape) = indices(cx, 1)?;
    let Some((&k, outer)) = ishape.split_last() else {
        return EvalError::failed("indices have rank 0");
    };
    if k > x.rank() {
        return EvalError::failed("the indices do not fit the operand");
    }
    let mut wanted = outer.to_vec();
    wanted.extend(&x.shape[k..]);
    if wanted != updates.shape || x.dtype != updates.dtype {
        return EvalError::failed(format!(
            "updates of shape {:?} where {wanted:?} is due",
            updates.shape
        ));
    }
    let strides = row_major_strides(&x.shape);
    let row = checked_numel(&x.shape[k..])?;
    let starts = (0..checked_numel(outer)?)
        .map(|t| offset(&tuples[t * k..(t + 1) * k], &x.shape[..k], &strides[..k]))
        .collect::<Result<Vec<usize>, _>>()?;
    let mut data = x.data.clone();
    let place = Place { starts: &starts, row };
    let source = &updates.data;
    use ScatterReduction as R;
    let done = match op.reduction {
        R::None => dispatch_all!(&mut data, |v| place.apply(v, source, |a, b| a.clone_from(b))),
        R::Add => combine(&mut data, source, &place, Combine::Add),
        R::Mul => combine(&mut data, source, &place, Combine::Mul),
        R::Max => combine(&mut data, source, &place, Combine::Max),
        R::Min => combine(&mut data, source, &place, Combine::Min),
    };
    if !done {
        return Err(EvalError::Unsupported(format!(
            "scatter with {} of {}",
            op.reduction.as_str(),
            x.dtype
        )));
    }
    one(Array::narrowed(x.dtype, x.shape.clone(), data)?)
}

/// Where updates go.
struct Place<'a> {
    starts: &'a [usize],
    row: usize,
}

impl Place<'_> {
    /// Applies `f` to each element and its update; false when the data do not match.
    fn apply<T: Element>(&self, out: &mut [T], source: &Data, f: impl Fn(&mut T, &T)) -> bool {
        let Some(source) = T::slice(source) else { return false };
        for (i, &start) in self.starts.iter().enumerate() {
            let from = &source[i * self.row..(i + 1) * self.row];
            out[start..start + self.row].iter_mut().zip(from).for_each(|(a, b)| f(a, b));
        }
        true
    }
}

#[derive(Clone, Copy)]
enum Combine {
    Add,
    Mul,
    Max,
    Min,
}

/// Combines updates into data; false where that has no meaning. Integers wrap, NaN wins, and
/// bools are joined by or (add, max) and by and (mul, min).
fn combine(data: &mut Data, source: &Data, place: &Place<'_>, how: Combine) -> bool {
    macro_rules! ints {
        ($v:expr) => {
            match how {
                Combine::Add => place.apply($v, source, |a, b| *a = a.wrapping_add(*b)),
                Combine::Mul => place.apply($v, source, |a, b| *a = a.wrapping_mul(*b)),
                Combine::Max => place.apply($v, source, |a, b| *a = (*a).max(*b)),
                Combine::Min => place.apply($v, source, |a, b| *a = (*a).min(*b)),
            }
        };
    }
    macro_rules! floats {
        ($v:expr) => {
            match how {
                Combine::Add => place.apply($v, source, |a, b| *a += *b),
                Combine::Mul => place.apply($v, source, |a, b| *a *= *b),
                Combine::Max => place.apply($v, source, |a, b| {
                    if *b > *a || b.is_nan() {
                        *a = *b;
                    }
                }),
                Combine::Min => place.apply($v, source, |a, b| {
                    if *b < *a || b.is_nan() {
                        *a = *b;
                    }
                }),
            }
        };
    }
    macro_rules! complexes {
        ($v:expr) => {
            match how {
                Combine::Add => place.apply($v, source, |a, b| *a += *b),
                Combine::Mul => place.apply($v, source, |a, b| *a *= *b),
                Combine::Max | Combine::Min => false,
            }
        };
    }
    match data {
        Data::Bool(v) => match how {
            Combine::Add | Combine::Max => place.apply(v, source, |a, b| *a |= *b),
            Combine::Mul | Combine::Min => place.apply(v, source, |a, b| *a &= *b),
        },
        Data::I8(v) => ints!(v),
        Data::I16(v) => ints!(v),
        Data::I32(v) => ints!(v),
        Data::I64(v) => ints!(v),
        Data::U8(v) => ints!(v),
        Data::U16(v) => ints!(v),
        Data::U32(v) => ints!(v),
        Data::U64(v) => ints!(v),
        Data::F32(v) => floats!(v),
        Data::F64(v) => floats!(v),
        Data::C64(v) => complexes!(v),
        Data::C128(v) => complexes!(v),
        Data::Str(_) => false,
    }
}

/// Element types with a total order: NaN is one value, above all others; -0 equals 0.
trait Ordered {
    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! ordered {
    ($($t:ty)*) => {$(
        impl Ordered for $t {
            fn order(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        }
    )*};
}
ordered! { bool i8 i16 i32 i64 u8 u16 u32 u64 StrBytes }

fn order_floats<T: Float>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Ordered for f32 {
    fn order(&self, other: &Self) -> Ordering {
        order_floats(*self, *other)
    }
}
impl Ordered for f64 {
    fn order(&self, other: &Self) -> Ordering {
        order_floats(*self, *other)
    }
}
impl<T: Float> Ordered for Complex<T> {
    fn order(&self, other: &Self) -> Ordering {
        order_floats(self.re, other.re).then_with(|| order_floats(self.im, other.im))
    }
}

/// Sizes before, along and after an axis.
fn around(shape: &[usize], axis: usize) -> Result<(usize, usize, usize), EvalError> {
    Ok((checked_numel(&shape[..axis])?, shape[axis], checked_numel(&shape[axis + 1..])?))
}

fn axis_of(axis: i64, rank: usize) -> Result<usize, EvalError> {
    match usize::try_from(axis) {
        Ok(a) if a < rank => Ok(a),
        _ => EvalError::failed(format!("axis {axis} is not within rank {rank}")),
    }
}

/// The extreme elements along an axis, in order.
pub fn top_k(cx: &mut EvalCx<'_, '_>, op: &TopK) -> EvalResult {
    let x = cx.array(0)?;
    let axis = axis_of(op.axis, x.rank())?;
    let (before, size, after) = around(&x.shape, axis)?;
    let k = match usize::try_from(cx.dim(&op.k)?) {
        Ok(k) if k <= size => k,
        _ => return EvalError::failed(format!("k does not fit an axis of size {size}")),
    };
    let mut shape = x.shape.clone();
    shape[axis] = k;
    cx.check_size(DType::I64, &shape)?;
    let total = checked_numel(&shape)?;

    struct Lanes {
        before: usize,
        size: usize,
        after: usize,
        k: usize,
        largest: bool,
    }
    fn pick<T: Element + Ordered>(v: &[T], total: usize, s: &Lanes) -> (Data, Vec<i64>) {
        let mut values = vec![T::default(); total];
        let mut places = vec![0i64; total];
        let mut order: Vec<usize> = Vec::with_capacity(s.size);
        if total == 0 {
            return (T::wrap(values), places);
        }
        for b in 0..s.before {
            for a in 0..s.after {
                let base = b * s.size * s.after + a;
                let at = |i: usize| &v[base + i * s.after];
                let rank = |i: &usize, j: &usize| {
                    let by_value = at(*i).order(at(*j));
                    let by_value = if s.largest { by_value.reverse() } else { by_value };
                    by_value.then(i.cmp(j))
                };
                order.clear();
                order.extend(0..s.size);
                if s.k < s.size {
                    order.select_nth_unstable_by(s.k, rank);
                    order.truncate(s.k);
                }
                order.sort_unstable_by(rank);
                for (n, &i) in order.iter().enumerate() {
                    let to = (b * s.k + n) * s.after + a;
                    values[to] = at(i).clone();
                    places[to] = i as i64;
                }
            }
        }
        (T::wrap(values), places)
    }
    let lanes = Lanes { before, size, after, k, largest: op.largest };
    let (data, places) = dispatch_real!(&x.data, |v| pick(v, total, &lanes), else {
        return Err(EvalError::Unsupported(format!("top_k of {}", x.dtype)));
    });
    let values = Array::new(x.dtype, shape.clone(), data)?;
    let places = Array::new(DType::I64, shape, Data::I64(places))?;
    Ok(vec![Some(values.into()), Some(places.into())])
}

/// Positions of the elements that are not zero, false or empty.
pub fn nonzero(cx: &mut EvalCx<'_, '_>, _op: &Nonzero) -> EvalResult {
    let x = cx.array(0)?;
    fn find<T: Element>(v: &[T]) -> Vec<usize> {
        let zero = T::default();
        v.iter().enumerate().filter(|(_, e)| **e != zero).map(|(i, _)| i).collect()
    }
    let found = dispatch_all!(&x.data, |v| find(v));
    let (rank, n) = (x.rank(), found.len());
    cx.check_size(DType::I64, &[rank, n])?;
    let strides = row_major_strides(&x.shape);
    let mut out = Vec::with_capacity(rank * n);
    for (&stride, &dim) in strides.iter().zip(&x.shape) {
        out.extend(found.iter().map(|&i| (i / stride % dim) as i64));
    }
    one(Array::new(DType::I64, vec![rank, n], Data::I64(out))?)
}

/// The groups of equal items: for each group its first member, for each item its group, and
/// the sizes of the groups.
struct Groups {
    first: Vec<usize>,
    group: Vec<i64>,
    counts: Vec<i64>,
}

/// Groups `n` items; the groups are in the items' order or in that of their first members.
fn group_by(n: usize, sorted: bool, order: impl Fn(usize, usize) -> Ordering) -> Groups {
    let mut items: Vec<usize> = (0..n).collect();
    items.sort_by(|&a, &b| order(a, b));
    let mut out = Groups { first: Vec::new(), group: vec![0; n], counts: Vec::new() };
    for (i, &item) in items.iter().enumerate() {
        // The sort is stable, so that the first of equal ones is the one that occurs first.
        if i == 0 || order(items[i - 1], item) != Ordering::Equal {
            out.first.push(item);
            out.counts.push(0);
        }
        out.group[item] = out.first.len() as i64 - 1;
        if let Some(count) = out.counts.last_mut() {
            *count += 1;
        }
    }
    if !sorted {
        let mut by_place: Vec<usize> = (0..out.first.len()).collect();
        by_place.sort_unstable_by_key(|&g| out.first[g]);
        let place: FxHashMap<i64, i64> =
            by_place.iter().enumerate().map(|(new, &old)| (old as i64, new as i64)).collect();
        out.group.iter_mut().for_each(|g| *g = place.get(g).copied().unwrap_or(*g));
        out.first = by_place.iter().map(|&g| out.first[g]).collect();
        out.counts = by_place.iter().map(|&g| out.counts[g]).collect();
    }
    out
}

/// The distinct elements or slices.
pub fn unique(cx: &mut EvalCx<'_, '_>, op: &Unique) -> EvalResult {
    let x = cx.array(0)?;
    let axis = op.axis.map(|a| axis_of(a, x.rank())).transpose()?;
    let (before, size, after) = match axis {
        None => (1, x.numel(), 1),
        Some(axis) => around(&x.shape, axis)?,
    };
    fn groups<T: Element + Ordered>(
        v: &[T],
        (before, size, after): (usize, usize, usize),
        sorted: bool,
    ) -> Groups {
        group_by(size, sorted, |i, j| {
            for b in 0..before {
                let base = b * size * after;
                let (p, q) = (base + i * after, base + j * after);
                for a in 0..after {
                    let found = v[p + a].order(&v[q + a]);
                    if found != Ordering::Equal {
                        return found;
                    }
                }
            }
            Ordering::Equal
        })
    }
    let found = dispatch_all!(&x.data, |v| groups(v, (before, size, after), op.sorted));
    let y = match axis {
        None => x.clone().reshape(vec![size])?.gather_rows(0, &found.first)?,
        Some(axis) => x.gather_rows(axis, &found.first)?,
    };
    let ints = |v: Vec<i64>| Array::from_vec(vec![v.len()], v);
    let first = ints(found.first.iter().map(|&i| i as i64).collect())?;
    Ok(vec![
        Some(y.into()),
        Some(first.into()),
        Some(ints(found.group)?.into()),
        Some(ints(found.counts)?.into()),
    ])
}
