//! Models that listen.

use candle_core::{Module, Result};
use candle_transformers::models::{encodec, whisper};
use serde_json::json;

use super::config;
use crate::case::{BATCH, Case, Zoo, floats, tokens};

pub const CASES: &[Case] = &[
    ("whisper_encoder", whisper_encoder),
    ("whisper_decoder", whisper_decoder),
    ("encodec_decoder", encodec_decoder),
];

fn whisper() -> Result<whisper::Config> {
    config(json!({
        "num_mel_bins": 8, "max_source_positions": 32, "d_model": 32,
        "encoder_attention_heads": 4, "encoder_layers": 2, "vocab_size": 50,
        "max_target_positions": 16, "decoder_attention_heads": 4, "decoder_layers": 2
    }))
}

fn whisper_encoder(zoo: &Zoo, name: &str) -> Result<()> {
    let mut model = whisper::model::Whisper::load(&zoo.variables(), whisper()?)?;
    zoo.record(
        name,
        &[BATCH, ("frames", &[20, 28, 44, 36])],
        |s| Ok(vec![("mel", floats(&[s["batch"], 8, s["frames"]])?)]),
        |x| model.encoder.forward(&x["mel"], true),
    )
}

fn whisper_decoder(zoo: &Zoo, name: &str) -> Result<()> {
    let mut model = whisper::model::Whisper::load(&zoo.variables(), whisper()?)?;
    zoo.record(
        name,
        &[BATCH, ("seq", &[5, 7, 11, 9]), ("frames", &[10, 12, 14, 13])],
        |s| {
            let heard = floats(&[s["batch"], s["frames"], 32])?;
            Ok(vec![("tokens", tokens(s["batch"], s["seq"], 50)?), ("heard", heard)])
        },
        |x| {
            let y = model.decoder.forward(&x["tokens"], &x["heard"], true)?;
            model.decoder.final_linear(&y)
        },
    )
}

/// Residual convolutions, transposed ones, an LSTM, weights in two parts. One sound: candle-core
/// 0.11.1 multiplies a transposed batch by weights without a batch wrongly.
fn encodec_decoder(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = encodec::Config { num_filters: 4, hidden_size: 16, ..encodec::Config::default() };
    let model = encodec::Decoder::new(&cfg, zoo.variables())?;
    zoo.record(
        name,
        &[],
        |_| Ok(vec![("codes", floats(&[1, 16, 3])?)]),
        |x| model.forward(&x["codes"]),
    )
}
