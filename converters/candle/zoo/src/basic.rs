//! Models of candle-nn alone.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN};
use candle_nn::{BatchNormConfig, Conv1dConfig, Conv2dConfig, Module, ModuleT, ops};

use crate::case::{BATCH, Case, SEQ, Zoo, floats, tokens};

pub const CASES: &[Case] = &[
    ("mlp", mlp),
    ("convnet", convnet),
    ("lstm", lstm),
    ("gru", gru),
    ("causal_attention", causal_attention),
    ("dtypes", dtypes),
    ("bfloat16", bfloat16),
    ("positions", positions),
    ("images", images),
];

/// Layers, activations, norms.
fn mlp(zoo: &Zoo, name: &str) -> Result<()> {
    let vb = zoo.variables();
    let first = candle_nn::linear(16, 32, vb.pp("first"))?;
    let norm = candle_nn::layer_norm(32, 1e-5, vb.pp("norm"))?;
    let rms = candle_nn::rms_norm(32, 1e-6, vb.pp("rms"))?;
    let second = candle_nn::linear(32, 8, vb.pp("second"))?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", floats(&[s["batch"], 16])?)]),
        |x| {
            let h = norm.forward(&first.forward(&x["x"])?.gelu_erf()?)?;
            let h = rms.forward(&(h.silu()? + h.relu()?)?)?;
            ops::softmax_last_dim(&second.forward(&h.tanh()?)?)
        },
    )
}

/// Convolutions with groups, batch norm, pools, one that is transposed.
fn convnet(zoo: &Zoo, name: &str) -> Result<()> {
    let vb = zoo.variables();
    let conv =
        |padding, stride, groups| Conv2dConfig { padding, stride, groups, ..Default::default() };
    let first = candle_nn::conv2d(3, 8, 3, conv(1, 2, 1), vb.pp("first"))?;
    let norm = candle_nn::batch_norm(8, BatchNormConfig::default(), vb.pp("norm"))?;
    let depthwise = candle_nn::conv2d_no_bias(8, 8, 3, conv(1, 1, 8), vb.pp("depthwise"))?;
    let up = candle_nn::conv_transpose2d(
        8,
        4,
        2,
        candle_nn::ConvTranspose2dConfig { stride: 2, ..Default::default() },
        vb.pp("up"),
    )?;
    let one = Conv1dConfig { padding: 1, dilation: 1, ..Default::default() };
    let line = candle_nn::conv1d(4, 6, 3, one, vb.pp("line"))?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("image", floats(&[s["batch"], 3, 16, 16])?)]),
        |x| {
            let h = norm.forward_t(&first.forward(&x["image"])?, false)?.relu()?;
            let h = depthwise.forward(&h)?.max_pool2d(2)?;
            let h = up.forward(&h)?.avg_pool2d((2, 2))?.elu(0.7)?;
            line.forward(&h.flatten_from(2)?)?.mean(2)
        },
    )
}

fn lstm(zoo: &Zoo, name: &str) -> Result<()> {
    let cell = candle_nn::lstm(6, 10, LSTMConfig::default(), zoo.variables().pp("lstm"))?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", floats(&[s["batch"], 5, 6])?)]),
        |x| {
            let states = cell.seq(&x["x"])?;
            let all: Vec<Tensor> = states.iter().map(|s| s.h().clone()).collect();
            Tensor::stack(&all, 1)
        },
    )
}

fn gru(zoo: &Zoo, name: &str) -> Result<()> {
    let cell = candle_nn::gru(6, 10, GRUConfig::default(), zoo.variables().pp("gru"))?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", floats(&[s["batch"], 5, 6])?)]),
        |x| {
            let states = cell.seq(&x["x"])?;
            let all: Vec<Tensor> = states.iter().map(|s| s.h.clone()).collect();
            Tensor::stack(&all, 1)
        },
    )
}

/// Masks made on the host and by candle, positions, embeddings, rotary embeddings, a buffer that is
/// written in place.
fn causal_attention(zoo: &Zoo, name: &str) -> Result<()> {
    let vb = zoo.variables();
    let words = candle_nn::embedding(50, 16, vb.pp("words"))?;
    let places = candle_nn::embedding(64, 16, vb.pp("places"))?;
    let project = candle_nn::linear_no_bias(16, 48, vb.pp("project"))?;
    let dev = Device::Cpu;
    let angles = Tensor::arange(0f32, 64. * 4., &dev)?.reshape((64, 4))?.affine(0.05, 0.1)?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| Ok(vec![("ids", tokens(s["batch"], s["seq"], 50)?)]),
        |x| {
            let (b, t) = x["ids"].dims2()?;
            let at = Tensor::arange(0u32, t as u32, &dev)?;
            let h = words.forward(&x["ids"])?.broadcast_add(&places.forward(&at)?)?;
            let heads = project.forward(&h)?.reshape((b, t, 3, 2, 8))?;
            let part = |i| heads.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
            let (q, k, v): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
            let (c, s) = (cos.narrow(0, 0, t)?, sin.narrow(0, 0, t)?);
            let q = candle_nn::rotary_emb::rope(&q, &c, &s)?;
            let k = candle_nn::rotary_emb::rope_i(&k, &c, &s)?;
            let cache = Tensor::zeros((b, 2, 2 * t, 8), DType::F32, &dev)?;
            cache.slice_set(&k, 2, 0)?;
            let k = cache.narrow(2, 0, t)?;
            let scores = (q.matmul(&k.t()?)? * (1. / 8f64.sqrt()))?;
            let host: Vec<f32> =
                (0..t * t).map(|n| if n % t > n / t { f32::NEG_INFINITY } else { 0. }).collect();
            let scores = scores.broadcast_add(&Tensor::from_vec(host, (t, t), &dev)?)?;
            let lower = Tensor::tril2(t, DType::U8, &dev)?.broadcast_as(scores.shape())?;
            let low = Tensor::full(-1e9f32, scores.shape(), &dev)?;
            let scores = lower.where_cond(&scores, &low)?;
            let out = ops::softmax_last_dim(&scores)?.matmul(&v)?;
            out.transpose(1, 2)?.reshape((b, t, 16))
        },
    )
}

/// Element types, comparisons, conversions.
fn dtypes(zoo: &Zoo, name: &str) -> Result<()> {
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", (floats(&[s["batch"], 8])? * 3.)?)]),
        |x| {
            let x = &x["x"];
            let half = (x.to_dtype(DType::F16)? * 2.)?.to_dtype(DType::F32)?;
            let brain = (x.to_dtype(DType::F16)?.sqr()? + 1.)?.to_dtype(DType::F32)?;
            let wide =
                (x.to_dtype(DType::F64)?.abs()? + 0.5)?.log()?.powf(3.)?.to_dtype(DType::F32)?;
            let ints = (x.to_dtype(DType::I64)? * 5.)?;
            let bytes = x.gt(0f32)?;
            let back = bytes.to_dtype(DType::F32)?;
            let picked = bytes.where_cond(&half, &brain)?;
            let rounded = (x.round()? + x.floor()? + x.ceil()? + x.sign()?)?;
            let limited = x.clamp(-1f32, 1f32)?.maximum(&(x * 0.5)?)?;
            let sum = (picked + wide)? + back;
            let other = (ints.to_dtype(DType::F32)? + rounded)? + limited;
            let many = (bytes.to_dtype(DType::U32)?
                + ints.to_dtype(DType::U32)?.eq(5u32)?.to_dtype(DType::U32)?)?;
            Ok(vec![("sum", sum?), ("other", other?), ("ints", ints), ("many", many)])
        },
    )
}

/// Computed in bf16, which ONNX Runtime does not do on CPUs.
fn bfloat16(zoo: &Zoo, name: &str) -> Result<()> {
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", floats(&[s["batch"], 8])?)]),
        |x| {
            let x = x["x"].to_dtype(DType::BF16)?;
            ((&x * 2.)? + x.sqr()?)?.to_dtype(DType::F32)
        },
    )
}

/// Everything that goes by position.
fn positions(zoo: &Zoo, name: &str) -> Result<()> {
    let index = Tensor::new(&[2u32, 0, 3, 1], &Device::Cpu)?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", floats(&[s["batch"], 4, 6])?)]),
        |x| {
            let x = &x["x"];
            let (b, _, _) = x.dims3()?;
            let picked = x.index_select(&index, 1)?;
            let order = x.arg_sort_last_dim(true)?;
            let sorted = x.gather(&order, 2)?;
            let most = x.argmax_keepdim(2)?;
            let base = Tensor::zeros((b, 4, 6), DType::F32, x.device())?;
            let at = most.broadcast_as((b, 4, 6))?.contiguous()?;
            let scattered = base.scatter_add(&at, x, 2)?;
            let set = base.scatter(&most, &x.narrow(2, 0, 1)?.contiguous()?, 2)?;
            let added = base.index_add(&index, x, 1)?;
            let sliced = base.slice_scatter(&x.narrow(1, 0, 2)?.contiguous()?, 1, 1)?;
            let windows = x.unfold(2, 3, 2)?.sum(3)?;
            let flipped = x.flip(&[1, 2])?;
            let rolled = x.roll(2, 2)?;
            let running = x.cumsum(2)?;
            let padded = x.pad_with_zeros(2, 1, 2)?.pad_with_same(1, 1, 0)?;
            let low = x.min_keepdim(1)?.broadcast_add(&x.max_keepdim(1)?)?;
            let mean = x.mean_keepdim((0, 2))?.broadcast_add(&x.var_keepdim(2)?)?;
            let all = [picked, sorted, scattered, set, added, sliced, flipped, rolled, running];
            let all = Tensor::stack(&all, 0)?;
            Ok(vec![
                ("all", all),
                ("order", order),
                ("windows", windows),
                ("padded", padded),
                ("low", low),
                ("mean", mean),
                ("lse", x.log_sum_exp(2)?),
            ])
        },
    )
}

/// Images that become larger.
fn images(zoo: &Zoo, name: &str) -> Result<()> {
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("x", floats(&[s["batch"], 2, 5, 6])?)]),
        |x| {
            let x = &x["x"];
            Ok(vec![
                ("nearest", x.upsample_nearest2d(10, 9)?),
                ("bilinear", x.upsample_bilinear2d(8, 11, false)?),
                ("corners", x.upsample_bilinear2d(7, 12, true)?),
                ("scaled", x.upsample_bilinear2d_with_scale(2.0, 1.5, false)?),
                ("line", x.flatten_from(2)?.upsample_nearest1d(45)?),
                ("shuffled", candle_nn::ops::pixel_unshuffle(&x.narrow(2, 0, 4)?, 2)?),
            ])
        },
    )
}
