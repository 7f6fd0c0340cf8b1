//! interp rules of the linear family.

use num_complex::Complex;

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, NumberElement, checked_numel, row_major_strides};
use crate::dispatch_numeric;
use crate::op::*;

/// An element type of products: what sums of products of it are held in. Floats are summed in
/// double precision, integers wrap in their own width.
pub(crate) trait Factor: NumberElement {
    /// The type of sums.
    type Sum: Copy + Default;
    /// The element as a factor.
    fn widen(self) -> Self::Sum;
    /// sum + a * b
    fn mul_add(sum: Self::Sum, a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// a + b
    fn plus(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// The sum as an element.
    fn narrow(sum: Self::Sum) -> Self;
}

macro_rules! factor_int {
    ($($t:ty)*) => {$(
        impl Factor for $t {
            type Sum = $t;
            #[inline(always)]
            fn widen(self) -> $t {
                self
            }
            #[inline(always)]
            fn mul_add(sum: $t, a: $t, b: $t) -> $t {
                sum.wrapping_add(a.wrapping_mul(b))
            }
            #[inline(always)]
            fn plus(a: $t, b: $t) -> $t {
                a.wrapping_add(b)
            }
            #[inline(always)]
            fn narrow(sum: $t) -> $t {
                sum
            }
        }
    )*};
}

macro_rules! factor_float {
    ($($t:ty, $sum:ty, |$x:ident| $widen:expr, |$y:ident| $narrow:expr;)*) => {$(
        impl Factor for $t {
            type Sum = $sum;
            #[inline(always)]
            fn widen(self) -> $sum {
                let $x = self;
                $widen
            }
            #[inline(always)]
            fn mul_add(sum: $sum, a: $sum, b: $sum) -> $sum {
                sum + a * b
            }
            #[inline(always)]
            fn plus(a: $sum, b: $sum) -> $sum {
                a + b
            }
            #[inline(always)]
            fn narrow($y: $sum) -> $t {
                $narrow
            }
        }
    )*};
}

factor_int! { i8 i16 i32 i64 u8 u16 u32 u64 }
factor_float! {
    f32, f64, |x| f64::from(x), |y| y as f32;
    f64, f64, |x| x, |y| y;
    Complex<f32>, Complex<f64>, |x| Complex::new(x.re.into(), x.im.into()),
        |y| Complex::new(y.re as f32, y.im as f32);
    Complex<f64>, Complex<f64>, |x| x, |y| y;
}

/// Rows and columns of a tile of the product.
const ROWS: usize = 4;
const COLUMNS: usize = 8;

/// Factors in the order in which tiles read them: for each tile all of its `depth` steps, each
/// with `WIDTH` neighbours. Neighbours that do not exist are zero.
pub(crate) struct Packed<S, const WIDTH: usize> {
    steps: Vec<[S; WIDTH]>,
    depth: usize,
    count: usize,
}

impl<S: Copy + Default, const WIDTH: usize> Packed<S, WIDTH> {
    /// Packs `count` vectors of length `depth`; `read(i, k)` is element k of vector i.
    pub fn new(count: usize, depth: usize, mut read: impl FnMut(usize, usize) -> S) -> Self {
        let tiles = count.div_ceil(WIDTH);
        let mut steps = Vec::with_capacity(tiles.saturating_mul(depth));
        for tile in 0..tiles {
            let first = tile * WIDTH;
            let width = WIDTH.min(count - first);
            for k in 0..depth {
                let mut step = [S::default(); WIDTH];
                for (i, s) in step.iter_mut().take(width).enumerate() {
                    *s = read(first + i, k);
                }
                steps.push(step);
            }
        }
        Self { steps, depth, count }
    }

    fn tile(&self, index: usize) -> &[[S; WIDTH]] {
        &self.steps[index * self.depth..(index + 1) * self.depth]
    }
}

/// Rows of a product, packed.
pub(crate) type Rows<T> = Packed<<T as Factor>::Sum, ROWS>;
/// Columns of a product, packed.
pub(crate) type Columns<T> = Packed<<T as Factor>::Sum, COLUMNS>;

/// The matrix product of packed rows and columns; `write(row, column, sum)` takes each element.
pub(crate) fn product<T: Factor>(
    rows: &Rows<T>,
    columns: &Columns<T>,
    mut write: impl FnMut(usize, usize, T::Sum),
) {
    for c in 0..columns.count.div_ceil(COLUMNS) {
        let right = columns.tile(c);
        for r in 0..rows.count.div_ceil(ROWS) {
            let left = rows.tile(r);
            let height = ROWS.min(rows.count - r * ROWS);
            let width = COLUMNS.min(columns.count - c * COLUMNS);
            if height == 1 {
                let mut sums = [T::Sum::default(); COLUMNS];
                for (a, b) in left.iter().zip(right) {
                    for j in 0..COLUMNS {
                        sums[j] = T::mul_add(sums[j], a[0], b[j]);
                    }
                }
                for (j, &sum) in sums.iter().take(width).enumerate() {
                    write(r * ROWS, c * COLUMNS + j, sum);
                }
                continue;
            }
            let mut sums = [[T::Sum::default(); COLUMNS]; ROWS];
            for (a, b) in left.iter().zip(right) {
                for i in 0..ROWS {
                    for j in 0..COLUMNS {
                        sums[i][j] = T::mul_add(sums[i][j], a[i], b[j]);
                    }
                }
            }
            for (i, line) in sums.iter().take(height).enumerate() {
                for (j, &sum) in line.iter().take(width).enumerate() {
                    write(r * ROWS + i, c * COLUMNS + j, sum);
                }
            }
        }
    }
}

/// One operand of a contraction: where its elements are, by batch, free index and contracted
/// index.
struct Side {
    batch: Vec<usize>,
    free: Vec<usize>,
    contract: Vec<usize>,
}

/// The offsets of all index tuples over some axes, row-major.
fn offsets(shape: &[usize], strides: &[usize], axes: &[usize]) -> Vec<usize> {
    let mut out = vec![0usize];
    for &axis in axes {
        let (size, stride) = (shape[axis], strides[axis]);
        out = out.iter().flat_map(|&o| (0..size).map(move |i| o + i * stride)).collect();
    }
    out
}

impl Side {
    fn new(x: &Array, batch: &[usize], contract: &[usize]) -> (Side, Vec<usize>) {
        let strides = row_major_strides(&x.shape);
        let free: Vec<usize> =
            (0..x.rank()).filter(|a| !batch.contains(a) && !contract.contains(a)).collect();
        let sizes = free.iter().map(|&a| x.shape[a]).collect();
        let at = |axes: &[usize]| offsets(&x.shape, &strides, axes);
        (Side { batch: at(batch), free: at(&free), contract: at(contract) }, sizes)
    }
}

fn indices(axes: &[i64], rank: usize) -> Result<Vec<usize>, EvalError> {
    let index = |&a: &i64| usize::try_from(a).ok().filter(|&a| a < rank);
    match axes.iter().map(index).collect() {
        Some(v) => Ok(v),
        None => EvalError::failed(format!("axes {axes:?} are not within rank {rank}")),
    }
}

fn contracted<T: Factor>(l: &[T], r: &[T], lhs: &Side, rhs: &Side) -> Result<Vec<T>, EvalError> {
    let (m, n, k) = (lhs.free.len(), rhs.free.len(), lhs.contract.len());
    let numel = checked_numel(&[lhs.batch.len(), m, n])?;
    let mut out = vec![T::narrow(T::Sum::default()); numel];
    if numel == 0 {
        return Ok(out);
    }
    for (b, (&lb, &rb)) in lhs.batch.iter().zip(&rhs.batch).enumerate() {
        let rows: Rows<T> = Packed::new(m, k, |i, k| l[lb + lhs.free[i] + lhs.contract[k]].widen());
        // Columns in parts, so that the packed copy stays small.
        let part = ((1 << 22) / k.max(1)).max(COLUMNS).min(n.max(1));
        let out = &mut out[b * m * n..(b + 1) * m * n];
        for first in (0..n).step_by(part) {
            let width = part.min(n - first);
            let columns: Columns<T> =
                Packed::new(width, k, |j, k| r[rb + rhs.free[first + j] + rhs.contract[k]].widen());
            product::<T>(&rows, &columns, |i, j, sum| out[i * n + first + j] = T::narrow(sum));
        }
    }
    Ok(out)
}

/// `contract`
pub fn contract(cx: &mut EvalCx<'_, '_>, op: &Contract) -> EvalResult {
    let (l, r) = (cx.array(0)?, cx.array(1)?);
    let dtype = l.dtype;
    let lb = indices(&op.lhs_batch, l.rank())?;
    let rb = indices(&op.rhs_batch, r.rank())?;
    let lc = indices(&op.lhs_contract, l.rank())?;
    let rc = indices(&op.rhs_contract, r.rank())?;
    let sizes =
        |x: &Array, axes: &[usize]| -> Vec<usize> { axes.iter().map(|&a| x.shape[a]).collect() };
    if r.dtype != dtype || sizes(l, &lb) != sizes(r, &rb) || sizes(l, &lc) != sizes(r, &rc) {
        return EvalError::failed(format!(
            "{dtype}{:?} and {}{:?} do not fit together",
            l.shape, r.dtype, r.shape
        ));
    }
    let (lhs, left) = Side::new(l, &lb, &lc);
    let (rhs, right) = Side::new(r, &rb, &rc);
    let shape = [sizes(l, &lb), left, right].concat();
    cx.check_size(dtype, &shape)?;
    fn run<T: Factor>(l: &[T], r: &Array, lhs: &Side, rhs: &Side) -> Result<Data, EvalError> {
        match r.as_slice::<T>() {
            Some(r) => Ok(T::wrap(contracted(l, r, lhs, rhs)?)),
            None => EvalError::failed("the operands differ in dtype"),
        }
    }
    let data = dispatch_numeric!(&l.data, |v| run(v, r, &lhs, &rhs)?, else {
        return Err(EvalError::Unsupported(format!("contract of {dtype}")));
    });
    one(Array::narrowed(dtype, shape, data)?)
}
