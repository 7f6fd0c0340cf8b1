//! The `.ir` file: wire records, container, limits, versions.
//!
//! The file is specified in `SPEC.md`; comments here cite its constraints as `C-nnn`. This
//! crate reads, writes, upgrades and downgrades, and knows nothing of what a program means.
//!
//! [`Contents`] is a program with the bytes of its tensors. [`write`] puts it into a file;
//! [`read`] gives an [`IrFile`], whose tensors are slices of the mapped file.

mod container;
mod error;
mod limits;
pub mod program;
mod read;
mod record;
mod scan;
mod version;
mod write;

pub use container::{ALIGN, LARGE, LARGE_ALIGN, MAGIC};
pub use error::{Malformed, ReadError, WriteError};
pub use limits::Limits;
pub use program::Program;
pub use read::{IrFile, ReadOptions, is_ir, read, read_bytes};
pub use record::{Bin, Catalog, Digest, Named, Need, Wire, schema_json};
pub use version::{Unsupported, Version, downgrade, upgrade};
pub use write::{Target, WriteOptions, Written, write, write_to};

use bytes::Bytes;

/// A program and the bytes that its blobs stand for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The program. A tensor of storage `blob` refers to `data` by position.
    pub program: Program,
    /// The bytes of each blob. Reading gives one per entry of [`Program::blobs`]; for
    /// writing the table may be empty, and equal blobs are stored once.
    pub data: Vec<Bytes>,
}
