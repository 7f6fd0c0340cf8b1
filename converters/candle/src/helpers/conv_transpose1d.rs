use candle_core::{Result, Tensor};

/// Transposed convolution over one axis, one element of the batch after the other: candle 0.11
/// mixes up the elements of a batch.
#[allow(clippy::too_many_arguments)]
pub fn conv_transpose1d(
    x: &Tensor,
    w: &Tensor,
    padding: usize,
    output_padding: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let one = |i| {
        x.narrow(0, i, 1)?.conv_transpose1d(w, padding, output_padding, stride, dilation, groups)
    };
    let parts = (0..x.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 0)
}
