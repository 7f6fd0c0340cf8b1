//! Models of candle-transformers, one short function each.

mod audio;
mod decoder;
mod diffusion;
mod encoder;
mod vision;

use candle_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::case::Case;

/// All models.
pub fn cases() -> Vec<Case> {
    [encoder::CASES, decoder::CASES, vision::CASES, audio::CASES, diffusion::CASES].concat()
}

/// A configuration from JSON, as users read theirs.
fn config<T: DeserializeOwned>(json: Value) -> Result<T> {
    serde_json::from_value(json).map_err(Error::wrap)
}
