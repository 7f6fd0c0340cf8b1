use candle_core::{Result, Tensor};

/// Convolution of `x` `[n, c, ...]` with `w` `[m, c / groups, ...]` over any number of axes, each
/// with its own stride and distance of kernel elements: a matrix product per kernel element.
pub fn conv_nd(
    x: &Tensor,
    w: &Tensor,
    strides: &[i64],
    dilations: &[i64],
    groups: usize,
) -> Result<Tensor> {
    let (xs, ws) = (x.chunk(groups, 1)?, w.chunk(groups, 0)?);
    let parts = xs.iter().zip(&ws).map(|(x, w)| one_group(&x.contiguous()?, w, strides, dilations));
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
}

fn one_group(x: &Tensor, w: &Tensor, strides: &[i64], dilations: &[i64]) -> Result<Tensor> {
    let kernel = &w.dims()[2..];
    let mut sizes = Vec::with_capacity(kernel.len());
    for (i, &k) in kernel.iter().enumerate() {
        let reach = (k - 1) * dilations[i] as usize + 1;
        sizes.push((x.dim(i + 2)? + 1).saturating_sub(reach).div_ceil(strides[i] as usize));
    }
    let (batch, channels, filters) = (x.dim(0)?, x.dim(1)?, w.dim(0)?);
    let points = sizes.iter().product::<usize>();
    let taps = w.flatten_from(2)?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..kernel.iter().product::<usize>() {
        let (mut window, mut rest) = (x.clone(), tap);
        for i in (0..kernel.len()).rev() {
            let first = (rest % kernel[i]) as i64 * dilations[i];
            rest /= kernel[i];
            let at = (0..sizes[i] as i64).map(|j| first + j * strides[i]);
            window = window.index_select(&Tensor::from_iter(at, x.device())?, i + 2)?;
        }
        let weight = taps.narrow(2, tap, 1)?.squeeze(2)?.contiguous()?;
        let part = weight.broadcast_matmul(&window.reshape((batch, channels, points))?)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    let shape = [&[batch, filters][..], &sizes].concat();
    match sum {
        Some(sum) => sum.reshape(shape),
        None => Tensor::zeros(shape, x.dtype(), x.device()),
    }
}
