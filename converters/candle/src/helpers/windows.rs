use candle_core::{Result, Tensor, bail};

/// Combines the elements of windows along an axis: every `stride` elements one of `window`
/// elements that are `gap` apart.
pub fn windows(
    x: &Tensor,
    axis: usize,
    window: usize,
    stride: usize,
    gap: usize,
    combine: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let reach = (window - 1) * gap + 1;
    let count = (x.dim(axis)? + 1).saturating_sub(reach).div_ceil(stride) as i64;
    let mut combined: Option<Tensor> = None;
    for tap in 0..window {
        let at = (0..count).map(|i| i * stride as i64 + (tap * gap) as i64);
        let slice = x.contiguous()?.index_select(&Tensor::from_iter(at, x.device())?, axis)?;
        combined = Some(match combined {
            Some(so_far) => combine(&so_far, &slice)?,
            None => slice,
        });
    }
    match combined {
        Some(combined) => Ok(combined),
        None => bail!("a window without elements"),
    }
}
