//! Hub programs run by PyTorch's C++ library, in process and on the CPU.
//!
//! Both executors take the program of ATen calls that `airconv-torch` writes files of.
//! `TorchScriptExecutor` makes a TorchScript archive of it in memory, which libtorch loads and
//! interprets; `TchExecutor` calls one function of `tch` per operator call. They share nothing but the
//! list of calls, so that each checks the other and what is written.
//!
//! Everything is behind the feature `exec`, which links libtorch: `LIBTORCH` names its folder
//! when the crate is compiled.

#[cfg(feature = "exec")]
mod bind;
#[cfg(feature = "exec")]
mod calls;
#[cfg(feature = "exec")]
mod eager;
#[cfg(feature = "exec")]
mod error;
#[cfg(feature = "exec")]
mod helpers;
#[cfg(feature = "exec")]
mod prepare;
#[cfg(feature = "exec")]
mod script;
#[cfg(feature = "exec")]
mod tensor;

#[cfg(feature = "exec")]
pub use eager::TchExecutor;
#[cfg(feature = "exec")]
pub use script::TorchScriptExecutor;
