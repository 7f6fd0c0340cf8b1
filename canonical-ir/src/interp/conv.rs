//! interp rules of the conv family.

use num_complex::Complex;

use super::linear::{Columns, Factor, Packed, Rows, product};
use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, Element, NumberElement};
use crate::dim::Dim;
use crate::dispatch_numeric;
use crate::infer::conv::window::{Windows, spread};
use crate::op::*;

/// Where the windows along one axis lie.
struct Axis {
    out: usize,
    kernel: usize,
    /// Index of element k of window o: `origin + o * stride + k * dilation`, in units of which
    /// only multiples of `spacing` hold an element.
    origin: i64,
    stride: i64,
    dilation: i64,
    spacing: i64,
    size: usize,
}

impl Axis {
    /// The element of the axis that element k of window o is; `None` for padding.
    fn at(&self, o: usize, k: usize) -> Option<usize> {
        let place = self.origin + o as i64 * self.stride + k as i64 * self.dilation;
        if place < 0 || place % self.spacing != 0 {
            return None;
        }
        usize::try_from(place / self.spacing).ok().filter(|&i| i < self.size)
    }
}

impl Axis {
    /// The elements of window o that may lie on the axis: the rest of a long window is padding.
    fn inside(&self, o: usize) -> std::ops::Range<usize> {
        let start = self.origin + o as i64 * self.stride;
        let end = (self.size as i64).saturating_mul(self.spacing);
        // The first k from which a place is not below `place`.
        let first = |place: i64| {
            let gap = place.saturating_sub(start).max(0);
            let steps = gap / self.dilation + i64::from(gap % self.dilation != 0);
            usize::try_from(steps).unwrap_or(usize::MAX).min(self.kernel)
        };
        first(0)..first(end)
    }
}

/// The windows along axes of these sizes.
fn axes(windows: &Windows<'_>, sizes: &[usize], spacing: &[i64]) -> Result<Vec<Axis>, EvalError> {
    let spread: Vec<Dim> = sizes
        .iter()
        .zip(spacing.iter().chain(std::iter::repeat(&1)))
        .map(|(&s, &d)| spread(&Dim::Known(s as i64), d))
        .collect();
    let bad = || EvalError::Failed("the windows do not fit".to_owned());
    let found = windows.axes(&spread).ok_or_else(bad)?;
    found
        .iter()
        .enumerate()
        .map(|(i, axis)| {
            let known = |d: &Dim| d.as_known();
            let out = known(&axis.out).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
            let kernel = windows.kernel.get(i).and_then(known);
            let kernel = kernel.and_then(|k| usize::try_from(k).ok()).ok_or_else(bad)?;
            let stride = *windows.strides.get(i).ok_or_else(bad)?;
            let dilation = *windows.dilations.get(i).filter(|&&d| d >= 1).ok_or_else(bad)?;
            let origin = known(&axis.low).and_then(i64::checked_neg).ok_or_else(bad)?;
            // What `at` computes has to fit.
            let end = (out as i64).checked_mul(stride).zip((kernel as i64).checked_mul(dilation));
            end.and_then(|(a, b)| a.checked_add(b)?.checked_add(origin)).ok_or_else(bad)?;
            let spacing = spacing.get(i).copied().unwrap_or(1).max(1);
            Ok(Axis { out, kernel, origin, stride, dilation, spacing, size: sizes[i] })
        })
        .collect()
}

/// For windows `from..to` (row-major) and each kernel element, the flat position in the plane;
/// `usize::MAX` for padding.
fn plane_positions(axes: &[Axis], from: usize, to: usize) -> Vec<usize> {
    let taps: usize = axes.iter().map(|a| a.kernel).product();
    let mut out = Vec::with_capacity((to - from) * taps);
    let mut window = vec![0usize; axes.len()];
    for index in from..to {
        let mut rest = index;
        for (w, axis) in window.iter_mut().zip(axes).rev() {
            *w = rest % axis.out;
            rest /= axis.out;
        }
        let first = out.len();
        out.push(0usize);
        for (axis, &o) in axes.iter().zip(&window) {
            let so_far = out.split_off(first);
            for base in so_far {
                for k in 0..axis.kernel {
                    out.push(match axis.at(o, k) {
                        Some(i) if base != usize::MAX => base * axis.size + i,
                        _ => usize::MAX,
                    });
                }
            }
        }
    }
    out
}

/// The sizes of a convolution.
struct Sizes {
    batch: usize,
    channels: usize,
    outputs: usize,
    groups: usize,
    plane: usize,
    taps: usize,
    windows: usize,
}

fn convolved<T: Factor>(x: &[T], w: &[T], bias: Option<&[T]>, s: &Sizes, axes: &[Axis]) -> Vec<T> {
    let mut out = vec![T::narrow(T::Sum::default()); s.batch * s.outputs * s.windows];
    let (inner, each) = (s.channels / s.groups, s.outputs / s.groups);
    let depth = inner * s.taps;
    let rows: Vec<Rows<T>> = (0..s.groups)
        .map(|g| Packed::new(each, depth, |m, k| w[(g * each + m) * depth + k].widen()))
        .collect();
    let part =
        ((1 << 21) / depth.max(s.taps).max(1)).clamp(1, s.windows.max(1)).next_multiple_of(8);
    for first in (0..s.windows).step_by(part) {
        let last = s.windows.min(first + part);
        let positions = plane_positions(axes, first, last);
        for n in 0..s.batch {
            for (g, rows) in rows.iter().enumerate() {
                let base = (n * s.channels + g * inner) * s.plane;
                let columns: Columns<T> = Packed::new(last - first, depth, |j, k| {
                    let (c, tap) = (k / s.taps, k % s.taps);
                    match positions[j * s.taps + tap] {
                        usize::MAX => T::Sum::default(),
                        p => x[base + c * s.plane + p].widen(),
                    }
                });
                product::<T>(rows, &columns, |m, j, sum| {
                    let m = g * each + m;
                    let sum = match bias {
                        Some(b) => T::plus(sum, b[m].widen()),
                        None => sum,
                    };
                    out[(n * s.outputs + m) * s.windows + first + j] = T::narrow(sum);
                });
            }
        }
    }
    out
}

/// `conv`
pub fn conv(cx: &mut EvalCx<'_, '_>, op: &Conv) -> EvalResult {
    let (x, w, b) = (cx.array(0)?, cx.array(1)?, cx.opt_array(2)?);
    let dtype = x.dtype;
    let ([batch, channels, sizes @ ..], [outputs, inner, kernel @ ..]) =
        (&x.shape[..], &w.shape[..])
    else {
        return EvalError::failed("the operands have no channels");
    };
    let groups = usize::try_from(op.groups).unwrap_or(0);
    if groups == 0
        || inner.checked_mul(groups) != Some(*channels)
        || outputs % groups != 0
        || kernel.len() != sizes.len()
        || w.dtype != dtype
        || b.is_some_and(|b| b.dtype != dtype || b.shape != [*outputs])
    {
        return EvalError::failed(format!(
            "x {dtype}{:?}, w {}{:?} and {groups} groups do not fit together",
            x.shape, w.dtype, w.shape
        ));
    }
    let kernel: Vec<Dim> = kernel.iter().map(|&k| Dim::Known(k as i64)).collect();
    let windows = Windows {
        kernel: &kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: false,
    };
    let axes = axes(&windows, sizes, &op.input_dilations)?;
    let mut shape = vec![*batch, *outputs];
    shape.extend(axes.iter().map(|a| a.out));
    cx.check_size(dtype, &shape)?;
    let s = Sizes {
        batch: *batch,
        channels: *channels,
        outputs: *outputs,
        groups,
        plane: sizes.iter().product(),
        taps: axes.iter().map(|a| a.kernel).product(),
        windows: axes.iter().map(|a| a.out).product(),
    };
    fn run<T: Factor>(
        x: &[T],
        w: &Array,
        b: Option<&Array>,
        s: &Sizes,
        axes: &[Axis],
    ) -> Result<Data, EvalError> {
        let b = b.map(|b| b.as_slice::<T>());
        match (w.as_slice::<T>(), b) {
            (Some(w), None) => Ok(T::wrap(convolved(x, w, None, s, axes))),
            (Some(w), Some(Some(b))) => Ok(T::wrap(convolved(x, w, Some(b), s, axes))),
            _ => EvalError::failed("the operands differ in dtype"),
        }
    }
    let data = dispatch_numeric!(&x.data, |v| run(v, w, b, &s, &axes)?, else {
        return Err(EvalError::Unsupported(format!("conv of {dtype}")));
    });
    one(Array::narrowed(dtype, shape, data)?)
}

/// An element type of `reduce_window`: how two combine.
trait Combine: NumberElement {
    /// The type of partial results.
    type Part: Copy;
    fn widen(self) -> Self::Part;
    fn narrow(part: Self::Part) -> Self;
    /// The combination and its neutral element; `None` where the dtype has none.
    #[expect(clippy::type_complexity, reason = "a pair")]
    fn rule(kind: ReduceKind) -> Option<(fn(Self::Part, Self::Part) -> Self::Part, Self::Part)>;
}

macro_rules! combine_int {
    ($($t:ty)*) => {$(
        impl Combine for $t {
            type Part = $t;
            fn widen(self) -> $t {
                self
            }
            fn narrow(part: $t) -> $t {
                part
            }
            fn rule(kind: ReduceKind) -> Option<(fn($t, $t) -> $t, $t)> {
                Some(match kind {
                    ReduceKind::Sum => (<$t>::wrapping_add, 0),
                    ReduceKind::Prod => (<$t>::wrapping_mul, 1),
                    ReduceKind::Max => (Ord::max, <$t>::MIN),
                    ReduceKind::Min => (Ord::min, <$t>::MAX),
                    ReduceKind::And | ReduceKind::Or => return None,
                })
            }
        }
    )*};
}

macro_rules! combine_float {
    ($($t:ty)*) => {$(
        impl Combine for $t {
            type Part = f64;
            fn widen(self) -> f64 {
                f64::from(self)
            }
            fn narrow(part: f64) -> $t {
                part as $t
            }
            fn rule(kind: ReduceKind) -> Option<(fn(f64, f64) -> f64, f64)> {
                Some(match kind {
                    ReduceKind::Sum => (|a, b| a + b, 0.0),
                    ReduceKind::Prod => (|a, b| a * b, 1.0),
                    ReduceKind::Max => (greater, f64::NEG_INFINITY),
                    ReduceKind::Min => (|a, b| -greater(-a, -b), f64::INFINITY),
                    ReduceKind::And | ReduceKind::Or => return None,
                })
            }
        }
    )*};
}

macro_rules! combine_complex {
    ($($part:ty)*) => {$(
        impl Combine for Complex<$part> {
            type Part = Complex<f64>;
            fn widen(self) -> Complex<f64> {
                Complex::new(self.re.into(), self.im.into())
            }
            fn narrow(z: Complex<f64>) -> Self {
                Complex::new(z.re as $part, z.im as $part)
            }
            fn rule(
                kind: ReduceKind,
            ) -> Option<(fn(Self::Part, Self::Part) -> Self::Part, Self::Part)> {
                match kind {
                    ReduceKind::Sum => Some((|a, b| a + b, Complex::new(0.0, 0.0))),
                    ReduceKind::Prod => Some((|a, b| a * b, Complex::new(1.0, 0.0))),
                    _ => None,
                }
            }
        }
    )*};
}

combine_int! { i8 i16 i32 i64 u8 u16 u32 u64 }
combine_float! { f32 f64 }
combine_complex! { f32 f64 }

/// The greater; NaN wins, and 0 is above -0.
fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b || (a == b && b.is_sign_negative()) { a } else { b }
}

/// Combines the windows along one axis after the other.
fn reduced<T: Combine>(
    x: &[T],
    shape: &[usize],
    axes: &[Axis],
    kind: ReduceKind,
) -> Option<Vec<T>> {
    let (combine, neutral) = T::rule(kind)?;
    let mut parts: Vec<T::Part> = x.iter().map(|&v| v.widen()).collect();
    let mut shape = shape.to_vec();
    for (a, axis) in axes.iter().enumerate() {
        let plain =
            axis.kernel == 1 && axis.stride == 1 && axis.origin == 0 && axis.out == axis.size;
        if plain {
            continue;
        }
        let outer: usize = shape[..a].iter().product();
        let inner: usize = shape[a + 1..].iter().product();
        if outer == 0 || inner == 0 {
            shape[a] = axis.out;
            parts = Vec::new();
            continue;
        }
        let mut next = vec![neutral; outer * axis.out * inner];
        for o in 0..outer {
            for window in 0..axis.out {
                let to = &mut next[(o * axis.out + window) * inner..][..inner];
                for at in axis.inside(window).filter_map(|k| axis.at(window, k)) {
                    let from = &parts[(o * axis.size + at) * inner..][..inner];
                    for (t, &f) in to.iter_mut().zip(from) {
                        *t = combine(*t, f);
                    }
                }
            }
        }
        parts = next;
        shape[a] = axis.out;
    }
    Some(parts.into_iter().map(T::narrow).collect())
}

/// `reduce_window`
pub fn reduce_window(cx: &mut EvalCx<'_, '_>, op: &ReduceWindow) -> EvalResult {
    let x = cx.array(0)?;
    let dtype = x.dtype;
    let kernel: Vec<Dim> = op.window.iter().map(|&k| Dim::Known(k)).collect();
    let windows = Windows {
        kernel: &kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
    };
    if kernel.len() != x.rank() {
        return EvalError::failed(format!("{} windows for rank {}", kernel.len(), x.rank()));
    }
    let axes = axes(&windows, &x.shape, &[])?;
    let shape: Vec<usize> = axes.iter().map(|a| a.out).collect();
    // The axes are combined one by one: each step may keep the sizes of those to come.
    let mut step = x.shape.clone();
    for (i, axis) in axes.iter().enumerate() {
        step[i] = axis.out;
        cx.check_size(dtype, &step)?;
    }
    let found = dispatch_numeric!(&x.data, |v| {
        reduced(v, &x.shape, &axes, op.kind).map(Element::wrap)
    }, else None);
    let Some(data) = found else {
        return Err(EvalError::Unsupported(format!(
            "reduce_window by {} of {dtype}",
            op.kind.as_str()
        )));
    };
    one(Array::narrowed(dtype, shape, data)?)
}
