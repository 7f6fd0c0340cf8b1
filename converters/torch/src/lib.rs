//! PyTorch files into and out of the canonical array IR, without Python and without libtorch.
//!
//! Two kinds of file hold programs: archives of `torch.export` (`.pt2`) and of TorchScript
//! (`.pt`). Both are sequences of operator calls, so they share the rules of `import` and
//! `export`; `pt2` and `script` know the files.

pub mod archive;
pub mod common;
pub mod error;
pub mod export;
pub mod import;
pub mod pickle;
pub mod pt2;
pub mod script;
pub mod weights;

pub use pt2::{Pt2Reader, Pt2Writer};
pub use script::{ScriptReader, ScriptWriter};
pub use weights::{GgufWriter, SafetensorsWriter, WeightsReader};
