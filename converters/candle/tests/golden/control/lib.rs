//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `x`: `f32` `[n]`
//! - `trips`: `i64` `[]`
//! - `k`: `i64` `[1]`
//!
//! Outputs:
//!
//! - `sums`: `f32` `[loop]`
//! - `greatest`: `f32` `[k]`
//! - `positions`: `i64` `[k]`

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

/// The model.
#[derive(Clone, Debug)]
pub struct Model {}

impl Model {
    /// Loads the weights from a safetensors file.
    pub fn from_safetensors(path: impl AsRef<std::path::Path>, device: &Device) -> Result<Self> {
        let weights = std::fs::read(path)?;
        let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, device)?;
        Self::load(vb)
    }

    /// Loads the weights.
    pub fn load(_vb: VarBuilder) -> Result<Self> {
        Ok(Self {})
    }

    /// Applies it to:
    ///
    /// - `x`: `f32` `[n]`
    /// - `trips`: `i64` `[]`
    /// - `k`: `i64` `[1]`
    pub fn forward(&self, x: &Tensor, trips: &Tensor, k: &Tensor) -> Result<Output> {
        let device = x.device();
        let trips_2 = ops::ints(trips)?[0];
        let mut state = x.clone();
        let mut slices = Vec::new();
        for _ in 0..trips_2 {
            let add = (&state + &state)?;
            let reduced = add.sum(0)?;
            slices.push(reduced);
            state = add;
        }
        let stacked = if slices.is_empty() {
            Tensor::zeros(0, DType::F32, device)?
        } else {
            Tensor::stack(&slices, 0)?
        };
        let less = Tensor::new(0f32, device)?.broadcast_lt(&state.sum(0)?)?;
        let chosen = if ops::is_true(&less)? {
            state.sqrt()?
        } else {
            state.neg()?
        };
        let k_2 = ops::sizes(k)?[0];
        let (greatest, positions) = ops::top_k(&chosen, k_2, 0, true)?;
        Ok(Output {
            sums: stacked,
            greatest,
            positions,
        })
    }
}

/// What the model gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// `f32` `[loop]`.
    pub sums: Tensor,
    /// `f32` `[k]`.
    pub greatest: Tensor,
    /// `i64` `[k]`.
    pub positions: Tensor,
}

mod ops {
    pub(crate) use ints::ints;
    mod ints {
        use candle_core::{DType, Result, Tensor};
        /// The elements as integers.
        pub fn ints(x: &Tensor) -> Result<Vec<i64>> {
            x.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()
        }
    }

    pub(crate) use is_true::is_true;
    mod is_true {
        use candle_core::{Result, Tensor};
        /// Whether all truth values are set.
        pub fn is_true(x: &Tensor) -> Result<bool> {
            Ok(x.flatten_all()?.to_vec1::<u8>()?.iter().all(|&v| v != 0))
        }
    }

    pub(crate) use sizes::sizes;
    mod sizes {
        use candle_core::{DType, Error, Result, Tensor};
        /// The elements as sizes; fails for numbers below zero.
        pub fn sizes(x: &Tensor) -> Result<Vec<usize>> {
            let values = x.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
            let size = |v| usize::try_from(v).map_err(|_| Error::Msg(format!("a size is {v}")));
            values.into_iter().map(size).collect()
        }
    }

    pub(crate) use sort_keys::sort_keys;
    mod sort_keys {
        use candle_core::{DType, Result, Tensor};
        /// Integers in the order of the elements. NaN is the greatest element and equal to itself.
        pub fn sort_keys(x: &Tensor) -> Result<Vec<i64>> {
            let x = x.flatten_all()?;
            if !x.dtype().is_float() {
                return x.to_dtype(DType::I64)?.to_vec1::<i64>();
            }
            let key = |v: f64| {
                let bits = (v + 0.0).to_bits() as i64;
                if v.is_nan() {
                    i64::MAX
                } else {
                    bits ^ ((bits >> 63) & i64::MAX)
                }
            };
            Ok(x.to_dtype(DType::F64)?
                .to_vec1::<f64>()?
                .into_iter()
                .map(key)
                .collect())
        }
    }

    pub(crate) use top_k::top_k;
    mod top_k {
        use super::sort_keys;
        use candle_core::{Result, Tensor, bail};
        /// The `k` greatest or least elements along an axis in order, and their positions. Of equal ones
        /// the first comes first; NaN counts as the greatest.
        pub fn top_k(x: &Tensor, k: usize, axis: usize, largest: bool) -> Result<(Tensor, Tensor)> {
            let moved = x.transpose(axis, x.rank() - 1)?.contiguous()?;
            let len = x.dim(axis)?;
            if k > len {
                bail!("the {k} first of {len} elements")
            }
            let keys = sort_keys(&moved)?;
            let mut positions = Vec::with_capacity(keys.len() / len.max(1) * k);
            for row in keys.chunks(len.max(1)) {
                let mut order = (0..len).collect::<Vec<_>>();
                order.sort_by(|&a, &b| {
                    let by_value = row[a].cmp(&row[b]);
                    if largest {
                        by_value.reverse()
                    } else {
                        by_value
                    }
                });
                positions.extend(order[..k].iter().map(|&i| i as i64));
            }
            let mut shape = moved.dims().to_vec();
            shape[x.rank() - 1] = k;
            let positions = Tensor::from_vec(positions, shape, x.device())?;
            let values = moved.gather(&positions, x.rank() - 1)?;
            let back = |t: Tensor| t.transpose(axis, x.rank() - 1)?.contiguous();
            Ok((back(values)?, back(positions)?))
        }
    }
}
