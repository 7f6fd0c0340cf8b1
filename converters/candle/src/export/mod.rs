//! Writing: from a program of candle calls to a crate.

mod helpers;

/// Writes programs as crates.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandleWriter;
