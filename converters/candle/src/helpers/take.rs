use candle_core::{Result, Tensor};

/// Slices of `x` along an axis at indices of any shape, which takes the place of the axis.
pub fn take(x: &Tensor, indices: &Tensor, axis: usize) -> Result<Tensor> {
    let shape = [&x.dims()[..axis], indices.dims(), &x.dims()[axis + 1..]].concat();
    x.contiguous()?.index_select(&indices.flatten_all()?.contiguous()?, axis)?.reshape(shape)
}
