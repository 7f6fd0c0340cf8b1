//! Encoders of text.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    bert, debertav2, distilbert, jina_bert, modernbert, nomic_bert, t5, xlm_roberta,
};
use serde_json::json;

use super::config;
use crate::case::{BATCH, Case, SEQ, Zoo, mask, tokens};

pub const CASES: &[Case] = &[
    ("bert", bert),
    ("distilbert", distilbert),
    ("xlm_roberta", xlm_roberta),
    ("nomic_bert", nomic_bert),
    ("jina_bert", jina_bert),
    ("modernbert", modernbert),
    ("debertav2", debertav2),
    ("t5_encoder", t5_encoder),
    ("t5_decoder", t5_decoder),
    ("minilm", minilm),
];

type Named = Vec<(&'static str, Tensor)>;

fn ids_and_mask(batch: usize, seq: usize, dtype: DType) -> Result<Named> {
    Ok(vec![("input_ids", tokens(batch, seq, 50)?), ("attention_mask", mask(batch, seq, dtype)?)])
}

fn bert(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: bert::Config = config(json!({
        "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 64, "type_vocab_size": 2, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "classifier_dropout": null,
        "model_type": "bert"
    }))?;
    let model = bert::BertModel::load(zoo.variables(), &cfg)?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| {
            let mut inputs = ids_and_mask(s["batch"], s["seq"], DType::U32)?;
            inputs.push(("token_type_ids", tokens(s["batch"], s["seq"], 2)?));
            Ok(inputs)
        },
        |x| model.forward(&x["input_ids"], &x["token_type_ids"], Some(&x["attention_mask"])),
    )
}

/// The sentence encoder all-MiniLM-L6-v2 with its real weights, whose safetensors file is named by
/// `ZOO_MINILM`; without it there is nothing to do. The check is ten sentences.
fn minilm(zoo: &Zoo, name: &str) -> Result<()> {
    let Some(weights) = std::env::var_os("ZOO_MINILM") else { return Ok(()) };
    let cfg: bert::Config = config(json!({
        "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
        "intermediate_size": 1536, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "classifier_dropout": null,
        "model_type": "bert"
    }))?;
    let tensors = candle_core::safetensors::load(weights, &Device::Cpu)?;
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let model = bert::BertModel::load(airconv_candle_trace::named(vb), &cfg)?;
    let width = SENTENCES.iter().map(|s| s.len()).max().unwrap_or(0);
    zoo.record(
        name,
        &[("batch", &[2, 3, 5, SENTENCES.len()]), ("seq", &[7, 11, 13, width])],
        |s| {
            let (batch, seq) = (s["batch"], s["seq"]);
            let at = |k: usize| {
                let sentence = SENTENCES[k / seq % SENTENCES.len()];
                sentence.get(k % seq).copied().unwrap_or(0)
            };
            let ids: Vec<u32> = (0..batch * seq).map(at).collect();
            let ids = Tensor::from_vec(ids, (batch, seq), &Device::Cpu)?;
            let mask = ids.ne(0u32)?.to_dtype(DType::U32)?;
            Ok(vec![("input_ids", ids), ("attention_mask", mask)])
        },
        |x| {
            let types = x["input_ids"].zeros_like()?;
            model.forward(&x["input_ids"], &types, Some(&x["attention_mask"]))
        },
    )
}

/// Sentences in the numbers that the vocabulary of uncased BERT gives to their words.
const SENTENCES: [&[u32]; 10] = [
    &[101, 2023, 2003, 2019, 2742, 6251, 102], // this is an example sentence
    &[101, 2169, 6251, 2003, 4991, 102],       // each sentence is converted
    &[101, 1996, 4937, 2938, 2006, 1996, 13523, 102], // the cat sat on the mat
    &[101, 7592, 2088, 102],                   // hello world
    &[101, 1037, 2158, 2003, 2652, 2858, 102], // a man is playing guitar
    &[101, 1037, 2450, 2003, 5983, 2833, 102], // a woman is eating food
    &[101, 1996, 2047, 3185, 2003, 2061, 2307, 1012, 102], // the new movie is so great .
    &[101, 2129, 2024, 2017, 1029, 102],       // how are you ?
    &[101, 2054, 2003, 2115, 2171, 1029, 102], // what is your name ?
    &[101, 1045, 2293, 6077, 1998, 8870, 102], // i love dogs and cats
];

fn distilbert(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: distilbert::Config = config(json!({
        "vocab_size": 50, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64,
        "activation": "gelu", "max_position_embeddings": 64, "initializer_range": 0.02,
        "pad_token_id": 0, "model_type": "distilbert"
    }))?;
    let model = distilbert::DistilBertModel::load(zoo.variables(), &cfg)?;
    // Its mask says what to leave out, and has to broadcast to the scores.
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| {
            let keep = mask(s["batch"], s["seq"], DType::U8)?;
            let out = keep.eq(0u8)?.reshape((s["batch"], 1, 1, s["seq"]))?;
            let ids = tokens(s["batch"], s["seq"], 50)?;
            Ok(vec![("input_ids", ids), ("attention_mask", out)])
        },
        |x| model.forward(&x["input_ids"], &x["attention_mask"]),
    )
}

fn xlm_roberta(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: xlm_roberta::Config = config(json!({
        "hidden_size": 32, "layer_norm_eps": 1e-5, "attention_probs_dropout_prob": 0.1,
        "hidden_dropout_prob": 0.1, "num_attention_heads": 4,
        "position_embedding_type": "absolute", "intermediate_size": 64, "hidden_act": "gelu",
        "num_hidden_layers": 2, "vocab_size": 50, "max_position_embeddings": 64,
        "type_vocab_size": 1, "pad_token_id": 1
    }))?;
    let model = xlm_roberta::XLMRobertaModel::new(&cfg, zoo.variables())?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| {
            let mut inputs = ids_and_mask(s["batch"], s["seq"], DType::F32)?;
            inputs.push(("token_type_ids", tokens(s["batch"], s["seq"], 1)?));
            Ok(inputs)
        },
        |x| {
            let (ids, mask) = (&x["input_ids"], &x["attention_mask"]);
            model.forward(ids, mask, &x["token_type_ids"], None, None, None)
        },
    )
}

fn nomic_bert(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: nomic_bert::Config = config(json!({
        "vocab_size": 50, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_inner": 64,
        "n_positions": 64, "type_vocab_size": 2, "layer_norm_epsilon": 1e-12,
        "rotary_emb_fraction": 1.0, "rotary_emb_base": 1000.0, "rotary_emb_interleaved": false,
        "qkv_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false,
        "activation_function": "swiglu", "prenorm": false, "model_type": "nomic_bert"
    }))?;
    let model = nomic_bert::NomicBertModel::load(zoo.variables(), &cfg)?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| ids_and_mask(s["batch"], s["seq"], DType::U8),
        |x| model.forward(&x["input_ids"], None, Some(&x["attention_mask"])),
    )
}

fn jina_bert(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = jina_bert::Config::new(
        50,
        32,
        2,
        4,
        64,
        candle_nn::Activation::Gelu,
        64,
        2,
        0.02,
        1e-12,
        0,
        jina_bert::PositionEmbeddingType::Alibi,
    );
    let model = jina_bert::BertModel::new(zoo.variables(), &cfg)?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| Ok(vec![("input_ids", tokens(s["batch"], s["seq"], 50)?)]),
        |x| model.forward(&x["input_ids"]),
    )
}

fn modernbert(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: modernbert::Config = config(json!({
        "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 64, "layer_norm_eps": 1e-5,
        "pad_token_id": 0, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
        "local_attention": 8, "local_rope_theta": 10000.0
    }))?;
    let model = modernbert::ModernBert::load(zoo.variables(), &cfg)?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| ids_and_mask(s["batch"], s["seq"], DType::U32),
        |x| model.forward(&x["input_ids"], &x["attention_mask"]),
    )
}

fn debertav2(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: debertav2::Config = config(json!({
        "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 64, "type_vocab_size": 0,
        "initializer_range": 0.02, "layer_norm_eps": 1e-7, "relative_attention": true,
        "max_relative_positions": -1, "pad_token_id": 0, "position_biased_input": false,
        "pos_att_type": "p2c|c2p", "position_buckets": 16, "share_att_key": true,
        "norm_rel_ebd": "layer_norm"
    }))?;
    let model = debertav2::DebertaV2Model::load(zoo.variables(), &cfg)?;
    zoo.record(
        name,
        &[BATCH],
        |s| ids_and_mask(s["batch"], 9, DType::U8),
        |x| model.forward(&x["input_ids"], None, Some(x["attention_mask"].clone())),
    )
}

fn t5() -> Result<t5::Config> {
    config(json!({
        "vocab_size": 50, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16,
        "dropout_rate": 0.1, "layer_norm_epsilon": 1e-6, "initializer_factor": 1.0,
        "feed_forward_proj": "relu", "is_encoder_decoder": true, "use_cache": false,
        "pad_token_id": 0, "eos_token_id": 1
    }))
}

/// The buckets of relative positions are made on the host from logarithms, so the length is fixed.
fn t5_encoder(zoo: &Zoo, name: &str) -> Result<()> {
    let mut model = t5::T5EncoderModel::load(zoo.variables(), &t5()?)?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("input_ids", tokens(s["batch"], 9, 50)?)]),
        |x| model.forward(&x["input_ids"]),
    )
}

fn t5_decoder(zoo: &Zoo, name: &str) -> Result<()> {
    let mut model = t5::T5ForConditionalGeneration::load(zoo.variables(), &t5()?)?;
    zoo.record(
        name,
        &[BATCH],
        |s| {
            let ids = tokens(s["batch"], 9, 50)?;
            Ok(vec![("input_ids", ids), ("decoder_input_ids", tokens(s["batch"], 4, 50)?)])
        },
        |x| {
            model.clear_kv_cache();
            model.forward(&x["input_ids"], &x["decoder_input_ids"])
        },
    )
}
