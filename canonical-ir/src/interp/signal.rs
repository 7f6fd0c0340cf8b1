//! Evaluation of the signal family.

use num_complex::Complex;
use rustfft::FftPlanner;

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data};
use crate::op::Fft;

/// Fourier transform along an axis, in double precision.
pub fn fft(cx: &mut EvalCx<'_, '_>, op: &Fft) -> EvalResult {
    let x = cx.array(0)?;
    let Some(axis) = usize::try_from(op.axis).ok().filter(|&a| a < x.rank()) else {
        return EvalError::failed(format!("axis {} is not within rank {}", op.axis, x.rank()));
    };
    let data = match &x.data {
        Data::C64(v) => {
            let wide = v.iter().map(|z| Complex::new(f64::from(z.re), f64::from(z.im))).collect();
            let out = transform(wide, &x.shape, axis, op.inverse);
            Data::C64(out.into_iter().map(|z| Complex::new(z.re as f32, z.im as f32)).collect())
        }
        Data::C128(v) => Data::C128(transform(v.clone(), &x.shape, axis, op.inverse)),
        _ => return Err(EvalError::Unsupported(format!("`fft` of {}", x.dtype))),
    };
    one(Array::new(x.dtype, x.shape.clone(), data)?)
}

fn transform(
    mut values: Vec<Complex<f64>>,
    shape: &[usize],
    axis: usize,
    inverse: bool,
) -> Vec<Complex<f64>> {
    let length = shape.get(axis).copied().unwrap_or(0);
    let stride: usize = shape.iter().skip(axis + 1).product();
    if values.is_empty() || length == 0 {
        return values;
    }
    let mut planner = FftPlanner::new();
    let plan =
        if inverse { planner.plan_fft_inverse(length) } else { planner.plan_fft_forward(length) };
    let factor = if inverse { 1.0 / length as f64 } else { 1.0 };
    let mut line = vec![Complex::default(); length];
    let mut scratch = vec![Complex::default(); plan.get_inplace_scratch_len()];
    for block in values.chunks_exact_mut(length * stride) {
        for offset in 0..stride {
            for (to, from) in line.iter_mut().zip(block.iter().skip(offset).step_by(stride)) {
                *to = *from;
            }
            plan.process_with_scratch(&mut line, &mut scratch);
            for (to, from) in block.iter_mut().skip(offset).step_by(stride).zip(&line) {
                *to = from * factor;
            }
        }
    }
    values
}
