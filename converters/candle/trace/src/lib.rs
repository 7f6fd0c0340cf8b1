//! Marks what `airconv capture` takes down of a candle program.
//!
//! ```no_run
//! # use candle_core::{DType, Device, Result, Tensor};
//! # use candle_nn::{Module, VarBuilder};
//! # fn main() -> Result<()> {
//! # let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
//! use airconv_candle_trace as trace;
//!
//! let model = candle_nn::linear(16, 4, trace::named(vb))?; // parameters keep their names
//! trace::program("model")
//!     .size("batch", &[2, 3, 5])
//!     .run(
//!         |size| Ok(vec![("x", Tensor::zeros((size["batch"], 16), DType::F32, &Device::Cpu)?)]),
//!         |x| model.forward(&x["x"]),
//!     )?;
//! # Ok(())
//! # }
//! ```
//!
//! Run with `airconv capture -o model.onnx -- cargo run`, the program runs once for every
//! combination of sizes that is needed to tell how its parts depend on them, and what candle
//! computed is written to a file. Run without, [`Program::run`] computes the results once.
//!
//! Sizes of one name should differ from each other and from all other sizes of the model, and be
//! larger than 1: candle takes shortcuts where a size is 1. Three values of each tell a linear
//! dependence from any other.

mod names;
#[cfg(recording)]
mod record;
mod sizes;
mod values;

use candle_core::{Result, Tensor};

pub use names::named;
pub use sizes::Sizes;
pub use values::{Inputs, Outputs};

/// A program that is about to be taken down.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    sizes: Vec<(String, Vec<usize>)>,
}

/// A program of this name; the file that it goes to is called so.
pub fn program(name: impl Into<String>) -> Program {
    Program { name: name.into(), sizes: Vec::new() }
}

/// Takes down a program of which all sizes are fixed, and gives its results.
///
/// Errors are those of the program, and of writing the file.
pub fn trace<O: Outputs>(
    name: &str,
    inputs: &[(&str, Tensor)],
    forward: impl FnMut(&Inputs) -> Result<O>,
) -> Result<O> {
    program(name).run(|_| Ok(inputs.to_vec()), forward)
}

impl Program {
    /// A size that stays symbolic, and values to run the program at.
    pub fn size(mut self, name: impl Into<String>, values: &[usize]) -> Self {
        self.sizes.push((name.into(), values.to_vec()));
        self
    }

    /// Runs the program: `inputs` makes named inputs of given sizes, `forward` computes results
    /// from them. Gives the results for the first values of all sizes.
    ///
    /// Errors are those of the program, and of writing the file; a size without values is one.
    pub fn run<N: Into<String>, O: Outputs>(
        &self,
        mut inputs: impl FnMut(&Sizes) -> Result<Vec<(N, Tensor)>>,
        mut forward: impl FnMut(&Inputs) -> Result<O>,
    ) -> Result<O> {
        let combinations = sizes::combinations(&self.sizes)?;
        let mut first = None;
        #[cfg(recording)]
        let mut recorder = record::Recorder::new(&self.name);
        for sizes in &combinations {
            let given = inputs(sizes)?.into_iter().map(|(n, t)| (n.into(), t)).collect();
            let given = Inputs::new(given)?;
            #[cfg(recording)]
            let results = recorder.trace(sizes, &given, &mut forward)?;
            #[cfg(not(recording))]
            let results = forward(&given)?;
            first.get_or_insert(results);
            if cfg!(not(recording)) {
                break;
            }
        }
        #[cfg(recording)]
        recorder.write()?;
        #[cfg(not(recording))]
        let _ = &self.name;
        first.ok_or_else(|| candle_core::Error::Msg("the program was not run".to_owned()))
    }
}
