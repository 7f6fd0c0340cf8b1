//! Archives of `torch.export`.
//!
//! Source of the layout: the files that PyTorch 2.9 and later write, and the dataclasses of
//! `torch/_export/serde/schema.py`. An archive holds the program as JSON in `models/`, and the
//! elements of weights and constants as raw bytes in `data/`, which are mapped, not copied.

mod container;
mod control;
mod emit;
mod expr;
mod import;
mod infix;
mod number;
mod outputs;
mod payload;
mod reader;
mod records;
mod symbols;
mod target;
#[cfg(test)]
mod tests;
mod uses;
mod writer;

pub use reader::Pt2Reader;
pub use writer::{Pt2Writer, to_bytes};
