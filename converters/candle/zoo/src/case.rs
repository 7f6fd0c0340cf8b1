//! What every model goes through.

use std::path::{Path, PathBuf};

use airconv_candle_trace::{self as trace, Inputs, Outputs, Sizes};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use crate::random::{Random, Rng};

/// A model by name.
pub type Case = (&'static str, fn(&Zoo, &str) -> Result<()>);

/// Where results go.
pub struct Zoo {
    out: PathBuf,
}

/// A size by name, and its values; the last is kept for the check.
pub type Size<'a> = (&'a str, &'a [usize]);

/// Batch sizes of most models.
pub const BATCH: Size<'static> = ("batch", &[2, 3, 5, 4]);
/// Lengths of sequences of most models.
pub const SEQ: Size<'static> = ("seq", &[7, 11, 13, 9]);

impl Zoo {
    pub fn new(out: PathBuf) -> Self {
        Self { out }
    }
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Random variables, the same in every run.
    pub fn variables(&self) -> VarBuilder<'static> {
        let random = VarBuilder::from_backend(Box::new(Random), DType::F32, Device::Cpu);
        trace::named(random)
    }

    /// Takes a model down, and runs it once more for the check.
    pub fn record<O: Outputs>(
        &self,
        name: &str,
        sizes: &[Size<'_>],
        inputs: impl Fn(&Sizes) -> Result<Vec<(&'static str, Tensor)>>,
        mut forward: impl FnMut(&Inputs) -> Result<O>,
    ) -> Result<()> {
        let mut program = trace::program(name);
        let mut last = Vec::new();
        for (size, values) in sizes {
            let Some((&kept, traced)) = values.split_last() else {
                candle_core::bail!("the size `{size}` has no values");
            };
            program = program.size(*size, traced);
            last.push((size.to_string(), kept));
        }
        program.run(&inputs, &mut forward)?;
        let given: Vec<(String, Tensor)> =
            inputs(&Sizes::new(last))?.into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
        self.write(name, "in", &given)?;
        let results = forward(&Inputs::new(given)?)?.named();
        self.write(name, "out", &results)
    }

    fn write(&self, name: &str, kind: &str, tensors: &[(String, Tensor)]) -> Result<()> {
        let tensors: Vec<(&str, Tensor)> = tensors
            .iter()
            .map(|(n, t)| Ok((n.as_str(), t.contiguous()?)))
            .collect::<Result<_>>()?;
        Tensor::write_npz(&tensors, self.out.join(format!("{name}.{kind}.npz")))
    }
}

/// Random numbers in the shape of an image or of features, the same for the same shape.
pub fn floats(shape: &[usize]) -> Result<Tensor> {
    let mut rng = Rng::of(&format!("{shape:?}"));
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.signed()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Random token numbers below a bound.
pub fn tokens(batch: usize, seq: usize, bound: u32) -> Result<Tensor> {
    let mut rng = Rng::of(&format!("tokens {batch} {seq}"));
    let values: Vec<u32> = (0..batch * seq).map(|_| rng.below(bound)).collect();
    Tensor::from_vec(values, (batch, seq), &Device::Cpu)
}

/// A mask of which the end of every row but the first is 0.
pub fn mask(batch: usize, seq: usize, dtype: DType) -> Result<Tensor> {
    let at = |k: usize| u32::from(k % seq < seq - (k / seq).min(seq - 1));
    let values: Vec<u32> = (0..batch * seq).map(at).collect();
    Tensor::from_vec(values, (batch, seq), &Device::Cpu)?.to_dtype(dtype)
}
