//! LLVM IR text to callable code.
//!
//! ```no_run
//! use airconv_llvm::{Cache, Compiler, Linked, Target};
//!
//! # fn main() -> airconv_llvm::Result<()> {
//! let ir = "define float @twice(float %x) {\n  %y = fadd float %x, %x\n  ret float %y\n}\n";
//! let object = Compiler::find()?.object(ir, &Target::host(), &Cache::user())?;
//! let code = Linked::link(&[object.into()], &[])?;
//! let twice = code.lookup("twice")?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing of LLVM is needed to build this crate: [`Library`] opens it at run time. [`Target`]
//! says what code is generated for, [`mod@compile`] generates it, [`cache`] keeps it, [`linked`]
//! links it into the process, and [`pool`] runs it on threads. What the cache has needs no LLVM.

pub mod artefact;
pub mod buffer;
pub mod cache;
pub mod compile;
mod elf;
pub mod emit;
pub mod error;
pub mod executor;
pub mod float_mode;
pub mod jit;
pub mod kernel;
pub mod library;
pub mod linked;
mod mapped;
pub mod micro;
mod nest;
pub mod pool;
pub mod scalar;
pub mod select;
pub mod target;

pub use buffer::Buffer;
pub use cache::Cache;
pub use compile::{Compiler, Output, compile};
pub use error::{LlvmError, Result};
pub use float_mode::FlushGuard;
pub use jit::Jit;
pub use library::Library;
pub use linked::Linked;
pub use pool::Pool;
pub use target::{Isa, Target};
