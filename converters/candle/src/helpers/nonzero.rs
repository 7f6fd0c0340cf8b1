use candle_core::{DType, Result, Tensor};

/// The positions of the elements that are not zero, one column each: `[rank, n]`.
pub fn nonzero(x: &Tensor) -> Result<Tensor> {
    let values = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let found = (0..values.len()).filter(|&i| values[i] != 0.).collect::<Vec<_>>();
    let mut out = Vec::with_capacity(found.len() * x.rank());
    for axis in 0..x.rank() {
        let (len, stride) = (x.dims()[axis], x.dims()[axis + 1..].iter().product::<usize>());
        out.extend(found.iter().map(|i| (i / stride % len) as i64));
    }
    Tensor::from_vec(out, (x.rank(), found.len()), x.device())
}
