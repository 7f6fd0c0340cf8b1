//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `x`: `f32` `[4]`
//! - `limit`: `i64` `[]`
//!
//! Outputs:
//!
//! - `root`: `f32` `[4]`
//! - `steps`: `f32` `[loop, 4]`
//! - `rounds`: `i64` `[]`
//! - `powers`: `f32` `[loop_1, 2]`

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
    /// - `x`: `f32` `[4]`
    /// - `limit`: `i64` `[]`
    pub fn forward(&self, x: &Tensor, limit: &Tensor) -> Result<Output> {
        let device = x.device();
        let add = (x.abs()? + 0.5)?;
        let trips = ops::ints(limit)?[0];
        let mut running = true;
        let mut root = add.clone();
        let mut rounds = Tensor::new(0i64, device)?;
        let mut slices = Vec::new();
        let mut trip = 0i64;
        while trip < trips && running {
            let add = ((&root + (&add / &root)?)? * 0.5)?;
            let go_out = (&add - &root)?.abs()?.max(0)?.gt(0.0001)?;
            let done_out = (&rounds + Tensor::new(1i64, device)?)?;
            running = ops::is_true(&go_out)?;
            slices.push(root.clone());
            (root, rounds) = (add, done_out);
            trip += 1;
        }
        let stacked = if slices.is_empty() {
            Tensor::zeros((0, 4), DType::F32, device)?
        } else {
            Tensor::stack(&slices, 0)?
        };
        let x = x.narrow(0, 0, 2)?;
        let trips_2 = ops::ints(limit)?[0];
        let mut last_power = x;
        let mut slices_2 = Vec::new();
        for _ in 0..trips_2 {
            let v_out = (&last_power + &last_power)?;
            let emitted = (&last_power * Tensor::new(&[1f32, -1.], device)?)?;
            slices_2.push(emitted);
            last_power = v_out;
        }
        let stacked_2 = if slices_2.is_empty() {
            Tensor::zeros((0, 2), DType::F32, device)?
        } else {
            Tensor::stack(&slices_2, 0)?
        };
        Ok(Output {
            root,
            steps: stacked,
            rounds,
            powers: stacked_2,
        })
    }
}

/// What the model gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// `f32` `[4]`.
    pub root: Tensor,
    /// `f32` `[loop, 4]`.
    pub steps: Tensor,
    /// `i64` `[]`.
    pub rounds: Tensor,
    /// `f32` `[loop_1, 2]`.
    pub powers: Tensor,
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
}
