//! The numbers of `resize` along one axis of known size, computed in f32 as runtimes do it.

use crate::op::{CoordinateMode, NearestMode, Resize, ResizeMode};

/// What the pixels of one axis of the result are made of.
pub(super) struct Taps {
    /// Positions in the input, `per_pixel` for each pixel of the result.
    pub indices: Vec<i64>,
    /// Their weights; empty when each pixel is a copy of one.
    pub weights: Vec<f32>,
    /// How many there are for each pixel.
    pub per_pixel: usize,
}

/// Where a pixel of the result lies in the input.
fn coordinate(mode: CoordinateMode, i: f32, scale: f32, output: f32, input: f32) -> f32 {
    match mode {
        CoordinateMode::HalfPixel | CoordinateMode::TfCropAndResize => (i + 0.5) / scale - 0.5,
        CoordinateMode::HalfPixelSymmetric => {
            let offset = input / 2.0 * (1.0 - output / (scale * input));
            offset + (i + 0.5) / scale - 0.5
        }
        CoordinateMode::PytorchHalfPixel if output > 1.0 => (i + 0.5) / scale - 0.5,
        CoordinateMode::PytorchHalfPixel => 0.0,
        CoordinateMode::AlignCorners => i * (input - 1.0) / (output - 1.0).max(1.0),
        CoordinateMode::Asymmetric => i / scale,
        CoordinateMode::TfHalfPixelForNn => (i + 0.5) / scale,
    }
}

/// The cubic convolution kernel at the four neighbours of a point at distance `s` behind the
/// second of them.
fn cubic(s: f32, a: f32) -> [f32; 4] {
    let far = |d: f32| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    let near = |d: f32| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    [far(s + 1.0), near(s), near(1.0 - s), far(2.0 - s)]
}

/// The half width of the kernel of a mode in input pixels.
fn reach(mode: ResizeMode) -> f32 {
    if mode == ResizeMode::Cubic { 2.0 } else { 1.0 }
}

/// The number of taps of a filter that is stretched when shrinking.
pub(super) fn stretched_taps(mode: ResizeMode, scale: f32) -> i64 {
    let stretch = (1.0 / scale).max(1.0);
    // What is too large becomes the greatest number.
    ((reach(mode) * stretch).ceil() * 2.0 + 1.0) as i64
}

/// The taps of an axis.
pub(super) fn taps(op: &Resize, scale: f32, output: i64, input: i64) -> Taps {
    let (outf, inf) = (output as f32, input as f32);
    let last = (input - 1).max(0);
    let per_pixel = match op.mode {
        ResizeMode::Nearest => 1,
        _ if op.antialias => usize::try_from(stretched_taps(op.mode, scale)).unwrap_or(0),
        ResizeMode::Linear => 2,
        ResizeMode::Cubic => 4,
    };
    let mut t = Taps { indices: Vec::new(), weights: Vec::new(), per_pixel };
    for i in 0..output {
        let i = i as f32;
        let x = if scale == 1.0 { i } else { coordinate(op.coordinates, i, scale, outf, inf) };
        let at = t.weights.len();
        match op.mode {
            ResizeMode::Nearest => {
                let floor = x.floor();
                let up = match op.nearest {
                    NearestMode::RoundPreferFloor => x - floor > 0.5,
                    NearestMode::RoundPreferCeil => x - floor >= 0.5,
                    NearestMode::Floor => false,
                    NearestMode::Ceil => x > floor,
                };
                t.indices.push((floor as i64).saturating_add(up.into()).clamp(0, last));
                continue;
            }
            _ if op.antialias => stretched(op, scale, x, &mut t),
            ResizeMode::Linear => {
                let x = x.clamp(0.0, last as f32);
                let low = x.floor() as i64;
                t.indices.extend([low, (low + 1).min(last)]);
                let part = x - x.floor();
                t.weights.extend([1.0 - part, part]);
                continue;
            }
            ResizeMode::Cubic => {
                let low = x.floor() as i64;
                t.indices.extend([-1, 0, 1, 2].map(|k| low.saturating_add(k)));
                t.weights.extend(cubic(x - x.floor(), op.cubic_coeff.0 as f32));
            }
        }
        let indices = t.indices.get_mut(at..).unwrap_or_default();
        let weights = t.weights.get_mut(at..).unwrap_or_default();
        if op.exclude_outside {
            for (index, w) in indices.iter().zip(weights.iter_mut()) {
                if !(0..=last).contains(index) {
                    *w = 0.0;
                }
            }
        }
        if op.exclude_outside || op.antialias {
            let sum: f32 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|w| *w /= sum);
            }
        }
        indices.iter_mut().for_each(|i| *i = (*i).clamp(0, last));
    }
    t
}

/// The kernel of an antialiasing filter around `x`, not normalised.
fn stretched(op: &Resize, scale: f32, x: f32, t: &mut Taps) {
    let stretch = (1.0 / scale).max(1.0);
    let support = reach(op.mode) * stretch;
    let a = op.cubic_coeff.0 as f32;
    let first = (x - support + 1.0).floor() as i64;
    for k in 0..t.per_pixel as i64 {
        let index = first.saturating_add(k);
        let d = ((index as f32 - x) / stretch).abs();
        let w = match op.mode {
            ResizeMode::Cubic if d < 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            ResizeMode::Cubic if d < 2.0 => (((d - 5.0) * d + 8.0) * d - 4.0) * a,
            ResizeMode::Cubic => 0.0,
            _ => (1.0 - d).max(0.0),
        };
        t.indices.push(index);
        t.weights.push(w);
    }
}
