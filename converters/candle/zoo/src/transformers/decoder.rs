//! Generators of text.

use candle_core::{DType, Device, Result, Tensor};
use candle_transformers::models::{
    bigcode, falcon, gemma, gemma2, granite, helium, llama, mamba, mistral, olmo, phi, phi3, qwen2,
    qwen3, rwkv_v5, stable_lm, starcoder2,
};
use serde_json::{Value, json};

use super::config;
use crate::case::{BATCH, Case, SEQ, Zoo, tokens};

pub const CASES: &[Case] = &[
    ("llama", llama),
    ("llama_step", llama_step),
    ("mistral", mistral),
    ("qwen2", qwen2),
    ("qwen3", qwen3),
    ("phi", phi),
    ("phi3", phi3),
    ("falcon", falcon),
    ("gemma", gemma),
    ("gemma2", gemma2),
    ("starcoder2", starcoder2),
    ("olmo", olmo),
    ("stable_lm", stable_lm),
    ("bigcode", bigcode),
    ("helium", helium),
    ("granite", granite),
    ("mamba", mamba),
    ("rwkv_v5", rwkv_v5),
];

/// Takes down a generator that reads a whole prompt.
fn prompt(zoo: &Zoo, name: &str, mut forward: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<()> {
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| Ok(vec![("input_ids", tokens(s["batch"], s["seq"], 50)?)]),
        |x| forward(&x["input_ids"]),
    )
}

/// Takes down a generator that keeps keys and values from call to call: they are cleared before
/// each prompt, which begins at position 0 where the model asks for one.
macro_rules! whole_prompt {
    ($zoo:expr, $name:expr, $model:expr $(, $position:literal)?) => {{
        let mut model = $model;
        prompt($zoo, $name, |ids| {
            model.clear_kv_cache();
            model.forward(ids $(, $position)?)
        })
    }};
}

/// What most configurations share, and more.
fn with(more: Value) -> Value {
    let mut out = json!({
        "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false, "attention_bias": false, "head_dim": 8
    });
    if let (Some(out), Value::Object(more)) = (out.as_object_mut(), more) {
        out.extend(more);
    }
    out
}

fn llama_config() -> llama::Config {
    llama::Config {
        hidden_size: 32,
        intermediate_size: 64,
        vocab_size: 50,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        use_flash_attn: false,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: false,
    }
}

fn llama(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = llama_config();
    let model = llama::Llama::load(zoo.variables(), &cfg)?;
    prompt(zoo, name, |ids| {
        let mut cache = llama::Cache::new(false, DType::F32, &cfg, &Device::Cpu)?;
        model.forward(ids, 0, &mut cache)
    })
}

/// A prompt, then one more token with the cache of keys and values.
fn llama_step(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = llama_config();
    let model = llama::Llama::load(zoo.variables(), &cfg)?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| {
            let next = tokens(s["batch"], 1, 50)?;
            Ok(vec![("input_ids", tokens(s["batch"], s["seq"], 50)?), ("next", next)])
        },
        |x| {
            let mut cache = llama::Cache::new(true, DType::F32, &cfg, &Device::Cpu)?;
            let first = model.forward(&x["input_ids"], 0, &mut cache)?;
            let seq = x["input_ids"].dim(1)?;
            Ok((first, model.forward(&x["next"], seq, &mut cache)?))
        },
    )
}

fn mistral(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: mistral::Config = config(with(json!({ "sliding_window": 32 })))?;
    whole_prompt!(zoo, name, mistral::Model::new(&cfg, zoo.variables())?, 0)
}

fn qwen2(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: qwen2::Config = config(with(json!({
        "sliding_window": 32, "max_window_layers": 2, "use_sliding_window": false
    })))?;
    whole_prompt!(zoo, name, qwen2::ModelForCausalLM::new(&cfg, zoo.variables())?, 0)
}

fn qwen3(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: qwen3::Config = config(with(json!({
        "sliding_window": 32, "max_window_layers": 2, "use_sliding_window": false
    })))?;
    whole_prompt!(zoo, name, qwen3::ModelForCausalLM::new(&cfg, zoo.variables())?, 0)
}

fn phi(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: phi::Config = config(with(json!({
        "num_key_value_heads": null, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5,
        "partial_rotary_factor": 0.5, "qk_layernorm": false
    })))?;
    whole_prompt!(zoo, name, phi::Model::new(&cfg, zoo.variables())?)
}

fn phi3(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: phi3::Config = config(with(json!({})))?;
    whole_prompt!(zoo, name, phi3::Model::new(&cfg, zoo.variables())?, 0)
}

fn falcon(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: falcon::Config = config(with(json!({
        "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "use_cache": false,
        "bos_token_id": 1, "eos_token_id": 2, "hidden_dropout": 0.0, "attention_dropout": 0.0,
        "n_head_kv": null, "alibi": false, "new_decoder_architecture": false, "multi_query": true,
        "parallel_attn": true, "bias": false
    })))?;
    let mut model = falcon::Falcon::load(zoo.variables(), cfg)?;
    // With one head for all keys it takes a batch of one only.
    zoo.record(
        name,
        &[SEQ],
        |s| Ok(vec![("input_ids", tokens(1, s["seq"], 50)?)]),
        |x| {
            model.clear_kv_cache();
            model.forward(&x["input_ids"])
        },
    )
}

fn gemma(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: gemma::Config = config(with(json!({ "hidden_act": "gelu" })))?;
    whole_prompt!(zoo, name, gemma::Model::new(false, &cfg, zoo.variables())?, 0)
}

fn gemma2(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: gemma2::Config = config(with(json!({
        "hidden_activation": "gelu_pytorch_tanh", "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0, "query_pre_attn_scalar": 8, "sliding_window": null
    })))?;
    whole_prompt!(zoo, name, gemma2::Model::new(false, &cfg, zoo.variables())?, 0)
}

fn starcoder2(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: starcoder2::Config = config(with(json!({
        "hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5, "use_bias": true,
        "sliding_window": null
    })))?;
    whole_prompt!(zoo, name, starcoder2::Model::new(&cfg, zoo.variables())?, 0)
}

fn olmo(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: olmo::Config = config(with(json!({ "clip_qkv": 8.0 })))?;
    whole_prompt!(zoo, name, olmo::Model::new(&cfg, zoo.variables())?, 0)
}

/// Its cache has no way to be cleared, so the model is made anew for every run.
fn stable_lm(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: stable_lm::Config = config(with(json!({
        "partial_rotary_factor": 0.5, "layer_norm_eps": 1e-5, "use_cache": false
    })))?;
    let vb = zoo.variables();
    prompt(zoo, name, |ids| stable_lm::Model::new(&cfg, vb.clone())?.forward(ids, 0))
}

fn bigcode(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = || bigcode::Config {
        vocab_size: 50,
        max_position_embeddings: 64,
        num_hidden_layers: 2,
        hidden_size: 32,
        layer_norm_epsilon: 1e-5,
        n_inner: Some(64),
        num_attention_heads: 4,
        multi_query: true,
        use_cache: false,
    };
    let mut model = bigcode::GPTBigCode::load(zoo.variables(), cfg())?;
    prompt(zoo, name, |ids| model.forward(ids, 0))
}

fn helium(zoo: &Zoo, name: &str) -> Result<()> {
    let more = json!({ "bos_token_id": 1, "eos_token_id": 2, "mlp_bias": false });
    let cfg: helium::Config = config(with(more))?;
    whole_prompt!(zoo, name, helium::Model::new(&cfg, zoo.variables())?, 0)
}

fn granite(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = granite::Config {
        hidden_size: 32,
        intermediate_size: 64,
        vocab_size: 50,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        use_flash_attn: false,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: 64,
    };
    let model = granite::Granite::load(zoo.variables(), &cfg)?;
    prompt(zoo, name, |ids| {
        let mut cache = granite::Cache::new(false, DType::F32, &cfg, &Device::Cpu)?;
        model.forward(ids, 0, &mut cache)
    })
}

/// Two steps of a recurrent model from its first state; it takes a batch of one only.
fn mamba(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: mamba::Config = config(json!({
        "d_model": 16, "n_layer": 2, "vocab_size": 50, "pad_vocab_size_multiple": 1
    }))?;
    let model = mamba::Model::new(&cfg, zoo.variables().pp("backbone"))?;
    zoo.record(
        name,
        &[],
        |_| Ok(vec![("first", step(1, 1)?), ("second", step(1, 2)?)]),
        |x| {
            let mut state = mamba::State::new(1, &cfg, DType::F32, &Device::Cpu)?;
            let first = model.forward(&x["first"], &mut state)?;
            Ok((first, model.forward(&x["second"], &mut state)?))
        },
    )
}

/// The tokens of one step.
fn step(batch: usize, number: usize) -> Result<Tensor> {
    tokens(batch, number + 1, 50)?.narrow(1, number, 1)?.squeeze(1)?.contiguous()
}

fn rwkv_v5(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: rwkv_v5::Config = config(json!({
        "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32,
        "num_attention_heads": 8, "head_size": 8, "intermediate_size": 64,
        "layer_norm_epsilon": 1e-5, "rescale_every": 6
    }))?;
    let model = rwkv_v5::Model::new(&cfg, zoo.variables())?;
    zoo.record(
        name,
        &[],
        |_| Ok(vec![("first", tokens(1, 1, 50)?), ("second", tokens(1, 1, 49)?)]),
        |x| {
            let mut state = rwkv_v5::State::new(1, &cfg, &Device::Cpu)?;
            let first = model.forward(&x["first"], &mut state)?;
            Ok((first, model.forward(&x["second"], &mut state)?))
        },
    )
}
