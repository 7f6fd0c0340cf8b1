//! Candle programs, unmodified, as programs of the hub.
//!
//! candle has no file that holds a program, so a program is recorded while it runs:
//! [`prepare`] makes copies of the user's own candle-core and candle-nn that note which calls make
//! every tensor, the crate in `converters/candle/trace` marks inputs, outputs and sizes and writes what
//! was noted to a [file](recording), and [`RecordingReader`] reads that file. Runs at different
//! sizes are [joined](generalise), and numbers that differ [explained](explain) as expressions of
//! the sizes; then every call has a [rule](rules) that says what it is in the hub.

mod build;
pub mod command;
mod error;
mod explain;
mod generalise;
mod interrupt;
mod pattern;
pub mod prepare;
mod reader;
pub mod recording;
mod rules;

pub use reader::RecordingReader;
