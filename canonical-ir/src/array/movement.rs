//! Operations that move elements without looking at them.

use super::{
    Array, ArrayError, Data, Element, Scalar, checked_numel, row_major_strides, with_room,
};
use crate::dispatch_all;

/// Reads elements in row-major order of a virtual shape: element `i` of it is at
/// `start + sum(i[axis] * strides[axis])` of the source.
struct View {
    start: usize,
    /// Dim and stride of each axis, outermost first, with as few axes as possible.
    axes: Vec<(usize, isize)>,
    numel: usize,
}

impl View {
    fn new(start: usize, shape: &[usize], strides: &[isize]) -> Result<View, ArrayError> {
        let numel = checked_numel(shape)?;
        let mut axes: Vec<(usize, isize)> = Vec::with_capacity(shape.len());
        for (&dim, &stride) in shape.iter().zip(strides).filter(|&(&dim, _)| dim != 1) {
            match axes.last_mut() {
                // One step outside is the same as a whole row inside: a single longer axis.
                Some(last) if last.1 == stride.wrapping_mul(dim as isize) => {
                    *last = (last.0.saturating_mul(dim), stride);
                }
                _ => axes.push((dim, stride)),
            }
        }
        Ok(View { start, axes, numel })
    }

    fn read<T: Element>(&self, source: &[T]) -> Result<Vec<T>, ArrayError> {
        let mut out = with_room(self.numel)?;
        if self.numel == 0 {
            return Ok(out);
        }
        let (&(row, step), outer) = self.axes.split_last().unwrap_or((&(1, 1), &[]));
        let mut counters = vec![0usize; outer.len()];
        let mut at = self.start;
        loop {
            match step {
                1 => out.extend_from_slice(&source[at..at + row]),
                0 => out.extend(std::iter::repeat_n(source[at].clone(), row)),
                _ if step > 0 => {
                    let picked = source[at..].iter().step_by(step as usize);
                    out.extend(picked.take(row).cloned());
                }
                _ => {
                    let picked = source[..=at].iter().rev().step_by(step.unsigned_abs());
                    out.extend(picked.take(row).cloned());
                }
            }
            // Advance the innermost outer axis that has not reached its end.
            let mut axis = outer.len();
            loop {
                if axis == 0 {
                    return Ok(out);
                }
                axis -= 1;
                let (dim, stride) = outer[axis];
                counters[axis] += 1;
                if counters[axis] < dim {
                    at = at.wrapping_add_signed(stride);
                    break;
                }
                counters[axis] = 0;
                at = at.wrapping_add_signed(stride.wrapping_mul(dim as isize - 1).wrapping_neg());
            }
        }
    }
}

/// Copies a row-major block into a larger row-major array.
fn place<T: Element>(
    out: &mut [T],
    out_shape: &[usize],
    corner: &[usize],
    block: &[T],
    block_shape: &[usize],
) {
    if block.is_empty() {
        return;
    }
    let strides = row_major_strides(out_shape);
    let row = block_shape.last().copied().unwrap_or(1);
    let outer = block_shape.len().saturating_sub(1);
    let mut counters = vec![0usize; outer];
    for piece in block.chunks_exact(row) {
        let inner = corner.last().copied().unwrap_or(0);
        let steps = counters.iter().zip(corner).zip(&strides);
        let at = steps.fold(inner, |at, ((&i, &c), &s)| at + (i + c) * s);
        out[at..at + row].clone_from_slice(piece);
        for axis in (0..outer).rev() {
            counters[axis] += 1;
            if counters[axis] < block_shape[axis] {
                break;
            }
            counters[axis] = 0;
        }
    }
}

impl Array {
    fn expect_rank(&self, entries: usize) -> Result<(), ArrayError> {
        let expected = self.rank();
        if entries == expected {
            Ok(())
        } else {
            Err(ArrayError::Rank { expected, actual: entries })
        }
    }

    fn expect_axis(&self, axis: usize) -> Result<(), ArrayError> {
        let rank = self.rank();
        if axis < rank { Ok(()) } else { Err(ArrayError::Axis { axis, rank }) }
    }

    fn signed_strides(&self) -> Vec<isize> {
        self.strides().into_iter().map(|s| s as isize).collect()
    }

    /// The array that a view of this one shows. Every element of the view lies in this array.
    fn viewed(
        &self,
        start: usize,
        shape: Vec<usize>,
        strides: &[isize],
    ) -> Result<Array, ArrayError> {
        let view = View::new(start, &shape, strides)?;
        let data = dispatch_all!(&self.data, |v| Element::wrap(view.read(v)?));
        Ok(Array { dtype: self.dtype, shape, data })
    }

    /// Reorders the axes: axis `i` of the result is axis `perm[i]` of this array.
    ///
    /// # Errors
    /// When `perm` does not name each axis once.
    pub fn transpose(&self, perm: &[usize]) -> Result<Array, ArrayError> {
        self.check()?;
        self.expect_rank(perm.len())?;
        let mut seen = vec![false; perm.len()];
        for &axis in perm {
            match seen.get_mut(axis) {
                Some(s) if !*s => *s = true,
                _ => return Err(ArrayError::Permutation { axes: perm.to_vec() }),
            }
        }
        let strides = self.signed_strides();
        let shape = perm.iter().map(|&a| self.shape[a]).collect();
        let strides: Vec<isize> = perm.iter().map(|&a| strides[a]).collect();
        self.viewed(0, shape, &strides)
    }

    /// Repeats elements along axes of length 1 and along new leading axes, until the array has
    /// `shape`. Axes correspond from the last one backwards.
    ///
    /// # Errors
    /// When an axis has a length that is neither 1 nor the wanted one, or the rank would fall.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Array, ArrayError> {
        self.check()?;
        let mismatch =
            || ArrayError::ShapeMismatch { from: self.shape.clone(), to: shape.to_vec() };
        let new = shape.len().checked_sub(self.rank()).ok_or_else(mismatch)?;
        let mut strides = vec![0isize; shape.len()];
        for (axis, stride) in self.signed_strides().into_iter().enumerate() {
            if self.shape[axis] == shape[new + axis] {
                strides[new + axis] = stride;
            } else if self.shape[axis] != 1 {
                return Err(mismatch());
            }
        }
        self.viewed(0, shape.to_vec(), &strides)
    }

    /// Takes, along each axis, `lens[axis]` elements: the first at `starts[axis]`, each further
    /// one `steps[axis]` after it. A step may be negative or zero.
    ///
    /// # Errors
    /// When the lists have not one entry for each axis, or an element lies outside the array. An
    /// empty range may start anywhere.
    pub fn slice(
        &self,
        starts: &[usize],
        steps: &[isize],
        lens: &[usize],
    ) -> Result<Array, ArrayError> {
        self.check()?;
        self.expect_rank(starts.len())?;
        self.expect_rank(steps.len())?;
        self.expect_rank(lens.len())?;
        for axis in 0..self.rank() {
            let (dim, start, step, len) = (self.shape[axis], starts[axis], steps[axis], lens[axis]);
            let last = start as i128 + len.saturating_sub(1) as i128 * step as i128;
            let inside = |i: i128| (0..dim as i128).contains(&i);
            if len > 0 && !(inside(start as i128) && inside(last)) {
                return Err(ArrayError::Slice { axis, dim, start, step, len });
            }
        }
        if lens.contains(&0) {
            return self.viewed(0, lens.to_vec(), &vec![0; lens.len()]);
        }
        let strides = self.signed_strides();
        // A step is only used where more than one element is taken, and is less than the dim then.
        let strides: Vec<isize> =
            strides.iter().zip(steps).map(|(&s, &step)| s.wrapping_mul(step)).collect();
        let start = starts.iter().zip(self.strides()).map(|(&i, s)| i * s).sum();
        self.viewed(start, lens.to_vec(), &strides)
    }

    /// Reverses the order of elements along each of `axes`; an axis named twice is as if once.
    ///
    /// # Errors
    /// When there is no such axis.
    pub fn reverse(&self, axes: &[usize]) -> Result<Array, ArrayError> {
        self.check()?;
        let mut strides = self.signed_strides();
        let mut start = 0;
        for (axis, stride) in strides.iter_mut().enumerate() {
            if axes.contains(&axis) && self.numel() > 0 {
                start += (self.shape[axis] - 1) * *stride as usize;
                *stride = -*stride;
            }
        }
        axes.iter().try_for_each(|&axis| self.expect_axis(axis))?;
        self.viewed(start, self.shape.clone(), &strides)
    }

    /// Joins arrays along `axis`; dtypes and all other dims have to agree.
    ///
    /// # Errors
    /// When they do not, when there is no such axis, and when there are no arrays.
    pub fn concat(arrays: &[&Array], axis: usize) -> Result<Array, ArrayError> {
        let first = *arrays.first().ok_or(ArrayError::NoArrays)?;
        first.expect_axis(axis)?;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for &a in arrays {
            a.check()?;
            if a.dtype != first.dtype {
                return Err(ArrayError::DTypeMismatch { expected: first.dtype, actual: a.dtype });
            }
            let dims = a.shape.iter().zip(&first.shape).enumerate();
            if a.rank() != first.rank() || { dims }.any(|(i, (x, y))| i != axis && x != y) {
                let (from, to) = (a.shape.clone(), first.shape.clone());
                return Err(ArrayError::ShapeMismatch { from, to });
            }
            let total = shape[axis].checked_add(a.shape[axis]);
            shape[axis] =
                total.ok_or_else(|| ArrayError::ShapeOverflow { shape: a.shape.clone() })?;
        }
        let numel = checked_numel(&shape)?;
        fn join<T: Element>(
            _: &[T],
            arrays: &[&Array],
            axis: usize,
            numel: usize,
        ) -> Result<Data, ArrayError> {
            let mut out: Vec<T> = with_room(numel)?;
            let blocks = arrays.iter().filter(|a| a.numel() > 0);
            let mut sources: Vec<_> = blocks
                .filter_map(|a| {
                    let block = a.shape[axis..].iter().product::<usize>();
                    Some(a.as_slice::<T>()?.chunks_exact(block))
                })
                .collect();
            while out.len() < numel {
                let before = out.len();
                for chunk in sources.iter_mut().filter_map(Iterator::next) {
                    out.extend_from_slice(chunk);
                }
                if out.len() == before {
                    break;
                }
            }
            Ok(T::wrap(out))
        }
        let data = dispatch_all!(&first.data, |v| join(v, arrays, axis, numel)?);
        Array::new(first.dtype, shape, data)
    }

    /// Takes whole slices along `axis`, in the order of `indices`, which may repeat.
    ///
    /// # Errors
    /// When there is no such axis, or an index is too large.
    pub fn gather_rows(&self, axis: usize, indices: &[usize]) -> Result<Array, ArrayError> {
        self.check()?;
        self.expect_axis(axis)?;
        let len = self.shape[axis];
        if let Some(&index) = indices.iter().find(|&&i| i >= len) {
            return Err(ArrayError::Index { index, len });
        }
        let mut shape = self.shape.clone();
        shape[axis] = indices.len();
        let numel = checked_numel(&shape)?;
        // The product of the inner dims only matters, and only fits, where there are elements.
        let row = if numel > 0 { checked_numel(&self.shape[axis + 1..])? } else { 0 };
        fn pick<T: Element>(
            v: &[T],
            indices: &[usize],
            len: usize,
            row: usize,
            numel: usize,
        ) -> Result<Data, ArrayError> {
            let mut out = with_room(numel)?;
            if numel > 0 {
                for block in v.chunks_exact(len * row) {
                    if row == 1 {
                        out.extend(indices.iter().map(|&i| block[i].clone()));
                    } else {
                        for &i in indices {
                            out.extend_from_slice(&block[i * row..(i + 1) * row]);
                        }
                    }
                }
            }
            Ok(T::wrap(out))
        }
        let data = dispatch_all!(&self.data, |v| pick(v, indices, len, row, numel)?);
        Ok(Array { dtype: self.dtype, shape, data })
    }

    /// Adds `low[axis]` copies of `value` before and `high[axis]` after the elements of each axis;
    /// a negative amount removes elements instead.
    ///
    /// # Errors
    /// When the lists have not one entry for each axis, more is removed than there is, the result
    /// is too large, or `value` cannot be one of the dtype.
    pub fn pad(&self, low: &[i64], high: &[i64], value: &Scalar) -> Result<Array, ArrayError> {
        self.check()?;
        self.expect_rank(low.len())?;
        self.expect_rank(high.len())?;
        let rank = self.rank();
        let (mut shape, mut kept) = (self.shape.clone(), self.shape.clone());
        let (mut starts, mut corner) = (vec![0usize; rank], vec![0usize; rank]);
        for axis in 0..rank {
            let (dim, lo, hi) = (self.shape[axis], low[axis], high[axis]);
            let bad = || ArrayError::Pad { axis, dim, low: lo, high: hi };
            let total = dim as i128 + i128::from(lo) + i128::from(hi);
            shape[axis] = usize::try_from(total).map_err(|_| bad())?;
            // What survives: from `cut` to `end` of the source. Both cuts may cover everything
            // while the other side adds; then nothing survives.
            let cut = usize::try_from(lo.min(0).unsigned_abs()).map_err(|_| bad())?.min(dim);
            let off = usize::try_from(hi.min(0).unsigned_abs()).map_err(|_| bad())?;
            starts[axis] = cut;
            kept[axis] = dim.saturating_sub(off).saturating_sub(cut);
            corner[axis] = usize::try_from(lo.max(0)).map_err(|_| bad())?;
        }
        let block = self.slice(&starts, &vec![1; rank], &kept)?;
        let mut out = Array::full(self.dtype, shape, value)?;
        fn put<T: Element>(v: &mut [T], shape: &[usize], corner: &[usize], block: &Array) {
            if let Some(b) = block.as_slice::<T>() {
                place(v, shape, corner, b, &block.shape);
            }
        }
        dispatch_all!(&mut out.data, |v| put(v, &out.shape, &corner, &block));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{StrBytes, ravel, unravel};
    use super::*;
    use crate::dtype::DType;

    fn iota(shape: &[usize]) -> Array {
        let n: usize = shape.iter().product();
        Array::from_vec(shape.to_vec(), (0..n as i32).collect()).unwrap()
    }

    fn ints(a: &Array) -> Vec<i64> {
        a.to_i64s().unwrap()
    }

    /// Compares with the definition, element by element.
    fn check(got: &Array, from: &Array, source: impl Fn(&[usize]) -> Vec<usize>) {
        got.check().unwrap();
        for i in 0..got.numel() {
            let coords = unravel(i, &got.shape).unwrap();
            let at = ravel(&source(&coords), &from.shape).unwrap();
            assert_eq!(got.get(i), from.get(at), "at {coords:?}");
        }
    }

    #[test]
    fn transpose_follows_its_definition() {
        let a = iota(&[2, 3, 1, 4]);
        for perm in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [0, 3, 1, 2]] {
            let t = a.transpose(&perm).unwrap();
            assert_eq!(t.shape, perm.map(|p| a.shape[p]));
            check(&t, &a, |c| {
                let mut s = vec![0; 4];
                perm.iter().zip(c).for_each(|(&p, &i)| s[p] = i);
                s
            });
        }
        let bad = ArrayError::Permutation { axes: vec![0, 0, 1, 2] };
        assert_eq!(a.transpose(&[0, 0, 1, 2]), Err(bad));
        assert!(a.transpose(&[0, 1, 2]).is_err());
        assert!(a.transpose(&[0, 1, 2, 4]).is_err());
        assert_eq!(iota(&[3, 0, 2]).transpose(&[2, 1, 0]).unwrap().shape, [2, 0, 3]);
        assert_eq!(iota(&[]).transpose(&[]).unwrap(), iota(&[]));
    }

    #[test]
    fn broadcast_repeats() {
        let a = iota(&[2, 1, 3]);
        let b = a.broadcast_to(&[4, 2, 5, 3]).unwrap();
        check(&b, &a, |c| vec![c[1], 0, c[3]]);
        assert_eq!(ints(&iota(&[]).broadcast_to(&[3]).unwrap()), [0, 0, 0]);
        assert_eq!(iota(&[1]).broadcast_to(&[0]).unwrap().numel(), 0);
        assert!(a.broadcast_to(&[3, 1, 3]).is_err());
        assert!(a.broadcast_to(&[1, 3]).is_err());
        assert!(iota(&[0]).broadcast_to(&[1]).is_err());
        assert!(iota(&[1]).broadcast_to(&[usize::MAX, usize::MAX]).is_err());
        assert!(iota(&[1]).broadcast_to(&[usize::MAX / 2]).is_err());
    }

    #[test]
    fn slices_step_both_ways() {
        let a = iota(&[4, 5]);
        let s = a.slice(&[3, 1], &[-2, 2], &[2, 2]).unwrap();
        assert_eq!(ints(&s), [16, 18, 6, 8]);
        assert_eq!(ints(&a.slice(&[1, 4], &[1, -1], &[1, 5]).unwrap()), [9, 8, 7, 6, 5]);
        assert_eq!(ints(&a.slice(&[0, 2], &[1, 0], &[2, 3]).unwrap()), [2, 2, 2, 7, 7, 7]);
        assert_eq!(a.slice(&[9, 0], &[1, 1], &[0, 5]).unwrap().shape, [0, 5]);
        let bad = a.slice(&[0, 3], &[1, 1], &[1, 3]).unwrap_err();
        assert_eq!(bad, ArrayError::Slice { axis: 1, dim: 5, start: 3, step: 1, len: 3 });
        assert!(a.slice(&[0, 0], &[1, -1], &[1, 2]).is_err());
        assert!(a.slice(&[0, 0], &[isize::MAX, 1], &[2, 1]).is_err());
        assert!(a.slice(&[4, 0], &[1, 1], &[1, 1]).is_err());
        let far = a.slice(&[1, 0], &[isize::MIN, 1], &[1, 5]).unwrap();
        assert_eq!(ints(&far), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn reverse_follows_its_definition() {
        let a = iota(&[2, 3, 4]);
        check(&a.reverse(&[0, 2]).unwrap(), &a, |c| vec![1 - c[0], c[1], 3 - c[2]]);
        check(&a.reverse(&[1, 1]).unwrap(), &a, |c| vec![c[0], 2 - c[1], c[2]]);
        assert!(a.reverse(&[3]).is_err());
        assert_eq!(iota(&[0, 2]).reverse(&[0, 1]).unwrap().shape, [0, 2]);
    }

    #[test]
    fn concat_interleaves_blocks() {
        let (a, b, none) = (iota(&[2, 2]), iota(&[2, 1]), iota(&[2, 0]));
        let c = Array::concat(&[&a, &none, &b], 1).unwrap();
        assert_eq!((c.shape.as_slice(), ints(&c)), (&[2, 3][..], vec![0, 1, 0, 2, 3, 1]));
        assert_eq!(ints(&Array::concat(&[&a, &a], 0).unwrap()), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(Array::concat(&[&none], 1).unwrap(), none);
        assert!(Array::concat(&[&a, &b], 0).is_err());
        assert!(Array::concat(&[&a], 2).is_err());
        assert_eq!(Array::concat(&[], 0), Err(ArrayError::NoArrays));
        let other = Array::zeros(DType::I64, vec![2, 2]).unwrap();
        assert!(matches!(Array::concat(&[&a, &other], 0), Err(ArrayError::DTypeMismatch { .. })));
    }

    #[test]
    fn gather_picks_rows() {
        let a = iota(&[2, 3, 2]);
        let g = a.gather_rows(1, &[2, 0, 2, 1]).unwrap();
        check(&g, &a, |c| vec![c[0], [2, 0, 2, 1][c[1]], c[2]]);
        assert_eq!(ints(&a.gather_rows(2, &[1]).unwrap()), [1, 3, 5, 7, 9, 11]);
        assert_eq!(a.gather_rows(0, &[]).unwrap().shape, [0, 3, 2]);
        assert_eq!(a.gather_rows(0, &[2]), Err(ArrayError::Index { index: 2, len: 2 }));
        let strings = Array::from_strs(vec![2], &[&b"\xff"[..], b"b"]).unwrap();
        let picked = strings.gather_rows(0, &[1, 0, 0]).unwrap();
        assert_eq!(picked.get(2), Some(Scalar::Str(StrBytes::from(&b"\xff"[..]))));
    }

    #[test]
    fn pad_adds_and_removes() {
        let a = iota(&[2, 2]);
        let p = a.pad(&[1, 0], &[0, 2], &Scalar::Int(9)).unwrap();
        assert_eq!(ints(&p), [9, 9, 9, 9, 0, 1, 9, 9, 2, 3, 9, 9]);
        let p = a.pad(&[-1, 1], &[0, -1], &Scalar::Int(9)).unwrap();
        assert_eq!((p.shape.as_slice(), ints(&p)), (&[1, 2][..], vec![9, 2]));
        let p = a.pad(&[-3, 0], &[2, 0], &Scalar::Int(9)).unwrap();
        assert_eq!((p.shape.as_slice(), ints(&p)), (&[1, 2][..], vec![9, 9]));
        assert!(a.pad(&[-2, 0], &[-1, 0], &Scalar::Int(9)).is_err());
        assert!(a.pad(&[i64::MAX, 0], &[i64::MAX, 0], &Scalar::Int(9)).is_err());
        assert!(a.pad(&[1], &[1], &Scalar::Int(9)).is_err());
        assert!(a.pad(&[0, 0], &[0, 0], &Scalar::Float(1.0)).is_err());
        assert_eq!(iota(&[]).pad(&[], &[], &Scalar::Int(9)).unwrap(), iota(&[]));
        assert_eq!(ints(&iota(&[0]).pad(&[1], &[1], &Scalar::Int(7)).unwrap()), [7, 7]);
    }
}
