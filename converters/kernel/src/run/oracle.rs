//! Kernels in the interpreter of this level.

use super::{Backend, LaunchError};
use crate::interp::{Fault, run_kernel};
use crate::ir::{Launch, Program};
use crate::memory::Mem;

/// Runs kernels in the interpreter of this level.
#[derive(Clone, Copy, Debug)]
pub struct Oracle<'p>(pub &'p Program);

impl Backend for Oracle<'_> {
    fn launch(&self, launch: &Launch, buffers: &[Mem], sizes: &[i64]) -> Result<(), LaunchError> {
        run_kernel(self.0.kernel(launch.kernel), buffers, sizes).map_err(|fault| match fault {
            Fault::Check(code) => LaunchError::Check(code),
            other => LaunchError::Broken(format!("{other:?}")),
        })
    }
}
