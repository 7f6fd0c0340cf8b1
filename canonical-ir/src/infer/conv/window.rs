//! The arithmetic of sliding windows: what inference, decomposition and evaluation of
//! convolutions and poolings share. All of it works on symbolic sizes.

use crate::dim::Dim;
use crate::infer::{InferCx, InferError};
use crate::op::AutoPad;

/// Windows along every spatial axis.
pub struct Windows<'a> {
    /// Elements of a window, per axis.
    pub kernel: &'a [Dim],
    /// Distance of windows, per axis.
    pub strides: &'a [i64],
    /// Distance of the elements of a window, per axis.
    pub dilations: &'a [i64],
    /// Before each axis, then after each; empty unless `auto_pad` is explicit.
    pub pads: &'a [i64],
    /// How padding is found.
    pub auto_pad: AutoPad,
    /// Whether a last window counts that reaches beyond the padded end.
    pub ceil_mode: bool,
}

/// What windows make of one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAxis {
    /// The number of windows.
    pub out: Dim,
    /// Padding before.
    pub low: Dim,
    /// Padding after. With `ceil_mode` the last window may reach beyond it.
    pub high: Dim,
}

/// The distance from the first element of a window to past its last.
pub fn extent(kernel: &Dim, dilation: i64) -> Dim {
    &(&(kernel - 1) * dilation) + 1
}

/// How many windows lie within an axis of this padded length.
pub fn count(padded: &Dim, extent: &Dim, stride: i64) -> Dim {
    &(padded - extent).floor_div(&Dim::Known(stride)) + 1
}

/// The size of an axis whose elements are `dilation` apart, with gaps between.
pub fn spread(size: &Dim, dilation: i64) -> Dim {
    match size {
        Dim::Known(0) => Dim::Known(0),
        _ => extent(size, dilation),
    }
}

fn split(total: &Dim, upper: bool) -> (Dim, Dim) {
    let less = total.floor_div(&Dim::Known(2));
    let more = total - &less;
    if upper { (less, more) } else { (more, less) }
}

fn pair(pads: &[i64], axis: usize) -> Option<(Dim, Dim)> {
    let low = pads.get(axis)?;
    let high = pads.get(axis + pads.len() / 2)?;
    Some((Dim::Known(*low), Dim::Known(*high)))
}

impl Windows<'_> {
    /// The windows along each axis of these sizes; `None` when lists are too short.
    pub fn axes(&self, input: &[Dim]) -> Option<Vec<WindowAxis>> {
        input.iter().enumerate().map(|(i, size)| self.axis(i, size)).collect()
    }

    fn axis(&self, i: usize, size: &Dim) -> Option<WindowAxis> {
        let stride = *self.strides.get(i)?;
        let by = Dim::Known(stride);
        let extent = extent(self.kernel.get(i)?, *self.dilations.get(i)?);
        Some(match self.auto_pad {
            AutoPad::Valid => {
                let zero = Dim::Known(0);
                WindowAxis { out: count(size, &extent, stride), low: zero.clone(), high: zero }
            }
            AutoPad::SameUpper | AutoPad::SameLower => {
                let out = size.ceil_div(&by);
                let total = &(&(&(&out - 1) * stride) + &extent) - size;
                let total = Dim::max(&total, &Dim::Known(0));
                let (low, high) = split(&total, self.auto_pad == AutoPad::SameUpper);
                WindowAxis { out, low, high }
            }
            AutoPad::Explicit => {
                let (low, high) = pair(self.pads, i)?;
                let padded = &(size + &low) + &high;
                let out = if self.ceil_mode {
                    let all = &(&padded - &extent).ceil_div(&by) + 1;
                    // A window must not start in the padding at the end, which it can only
                    // where that padding and a step are longer than the window.
                    match (&(&high + &by) - &extent).as_known() {
                        Some(beyond) if beyond <= 0 => all,
                        _ => Dim::min(&all, &(size + &low).ceil_div(&by)),
                    }
                } else {
                    count(&padded, &extent, stride)
                };
                WindowAxis { out, low, high }
            }
        })
    }

    /// Checks the lists against the number of spatial axes. `op` is the prefix of labels.
    pub fn check(&self, cx: &InferCx<'_>, spatial: usize) -> Result<(), InferError> {
        let op = cx.name();
        let lists = [
            ("kernel_shape", self.kernel.len()),
            ("strides", self.strides.len()),
            ("dilations", self.dilations.len()),
        ];
        for (name, len) in lists {
            cx.require(len == spatial, &format!("{op}-window"), || {
                format!("`{name}` has {len} entries for {spatial} spatial axes")
            })?;
        }
        let pads = if self.auto_pad == AutoPad::Explicit { 2 * spatial } else { 0 };
        cx.require(self.pads.len() == pads, &format!("{op}-window"), || {
            format!("`pads` has {} entries, not {pads}", self.pads.len())
        })?;
        cx.require(self.strides.iter().all(|&s| s >= 1), &format!("{op}-window"), || {
            "strides are at least 1".to_owned()
        })?;
        cx.require(self.dilations.iter().all(|&d| d >= 1), &format!("{op}-window"), || {
            "dilations are at least 1".to_owned()
        })?;
        cx.require(self.pads.iter().all(|&p| p >= 0), &format!("{op}-window"), || {
            "pads are not negative".to_owned()
        })?;
        let positive = |d: &Dim| d.as_known().is_none_or(|k| k >= 1);
        cx.require(self.kernel.iter().all(positive), &format!("{op}-window"), || {
            "a window has at least one element per axis".to_owned()
        })
    }

    /// Checks the lists and gives the number of windows along each axis.
    pub fn sizes(&self, cx: &InferCx<'_>, input: &[Dim]) -> Result<Vec<Dim>, InferError> {
        self.check(cx, input.len())?;
        let Some(axes) = self.axes(input) else {
            return cx.fail("window", "a list is too short");
        };
        axes.into_iter()
            .zip(input)
            .map(|(axis, size)| {
                cx.require(
                    axis.out.as_known().is_none_or(|n| n >= 0),
                    &format!("{}-window", cx.name()),
                    || format!("the window is longer than the padded size of {size}"),
                )?;
                Ok(axis.out)
            })
            .collect()
    }
}

/// A transposed convolution along every spatial axis.
pub(crate) struct Transposed<'a> {
    /// Elements of the kernel, per axis.
    pub kernel: &'a [Dim],
    /// Distance of input elements in the result, per axis.
    pub strides: &'a [i64],
    /// Distance of kernel elements, per axis.
    pub dilations: &'a [i64],
    /// Removed before each axis, then after each; empty unless explicit.
    pub pads: &'a [i64],
    /// How the removed part is found.
    pub auto_pad: AutoPad,
    /// Added at the end, per axis.
    pub output_padding: &'a [i64],
    /// Sizes of the result; empty when not given.
    pub output_shape: &'a [i64],
}

/// What a transposed convolution makes of one axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransposedAxis {
    /// The size of the result.
    pub out: Dim,
    /// Removed before.
    pub low: Dim,
    /// The size before anything is removed or added.
    pub full: Dim,
}

impl Transposed<'_> {
    /// The result along each axis of these input sizes; `None` when lists are too short.
    pub fn axes(&self, input: &[Dim]) -> Option<Vec<TransposedAxis>> {
        input.iter().enumerate().map(|(i, size)| self.axis(i, size)).collect()
    }

    fn axis(&self, i: usize, size: &Dim) -> Option<TransposedAxis> {
        let stride = *self.strides.get(i)?;
        let extent = extent(self.kernel.get(i)?, *self.dilations.get(i)?);
        let full = &(&(size - 1) * stride) + &extent;
        let natural = &full + *self.output_padding.get(i)?;
        let upper = self.auto_pad == AutoPad::SameUpper;
        let fitted = |out: &Dim| {
            let total = Dim::max(&(&natural - out), &Dim::Known(0));
            split(&total, upper).0
        };
        let (out, low) = match (self.output_shape.get(i), self.auto_pad) {
            (Some(&given), _) => {
                let out = Dim::Known(given);
                let low = fitted(&out);
                (out, low)
            }
            (None, AutoPad::SameUpper | AutoPad::SameLower) => {
                let out = size * stride;
                let low = fitted(&out);
                (out, low)
            }
            (None, AutoPad::Valid) => (natural, Dim::Known(0)),
            (None, AutoPad::Explicit) => {
                let (low, high) = pair(self.pads, i)?;
                (&(&natural - &low) - &high, low)
            }
        };
        Some(TransposedAxis { out, low, full })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::SymbolId;

    fn axis(
        size: Dim,
        kernel: i64,
        stride: i64,
        dilation: i64,
        rest: (&[i64], AutoPad, bool),
    ) -> WindowAxis {
        let w = Windows {
            kernel: &[Dim::Known(kernel)],
            strides: &[stride],
            dilations: &[dilation],
            pads: rest.0,
            auto_pad: rest.1,
            ceil_mode: rest.2,
        };
        w.axes(&[size]).unwrap().remove(0)
    }

    #[test]
    fn explicit_padding_rounds_down_or_up() {
        let out = |n, k, s, d, p: &[i64], ceil| {
            axis(Dim::Known(n), k, s, d, (p, AutoPad::Explicit, ceil)).out
        };
        assert_eq!(out(32, 5, 3, 1, &[0, 0], false), Dim::Known(10));
        assert_eq!(out(4, 3, 2, 1, &[0, 0], true), Dim::Known(2));
        assert_eq!(out(4, 3, 2, 1, &[0, 0], false), Dim::Known(1));
        // The second window would start in the padding at the end.
        assert_eq!(out(2, 1, 2, 1, &[0, 0], true), Dim::Known(1));
        assert_eq!(out(3, 2, 4, 1, &[1, 2], true), Dim::Known(1));
        assert_eq!(out(7, 3, 1, 2, &[1, 1], false), Dim::Known(5));
    }

    #[test]
    fn same_padding_keeps_the_ratio() {
        let a = axis(Dim::Known(5), 3, 2, 1, (&[], AutoPad::SameUpper, false));
        assert_eq!((a.out, a.low, a.high), (Dim::Known(3), Dim::Known(1), Dim::Known(1)));
        let a = axis(Dim::Known(32), 2, 1, 1, (&[], AutoPad::SameUpper, false));
        assert_eq!((a.out, a.low, a.high), (Dim::Known(32), Dim::Known(0), Dim::Known(1)));
        let a = axis(Dim::Known(32), 2, 1, 1, (&[], AutoPad::SameLower, false));
        assert_eq!((a.out, a.low, a.high), (Dim::Known(32), Dim::Known(1), Dim::Known(0)));
    }

    #[test]
    fn symbols_stay() {
        let n = Dim::symbol(SymbolId(0));
        let a = axis(n.clone(), 3, 1, 1, (&[], AutoPad::SameUpper, false));
        assert_eq!((a.out, a.low, a.high), (n.clone(), Dim::Known(1), Dim::Known(1)));
        let a = axis(n.clone(), 3, 2, 1, (&[1, 1], AutoPad::Explicit, false));
        assert_eq!(a.out.eval(&|_| Some(224)), Some(112));
        let a = axis(n, 3, 2, 1, (&[0, 0], AutoPad::Explicit, true));
        assert_eq!(a.out.eval(&|_| Some(112)), Some(56));
    }
}
