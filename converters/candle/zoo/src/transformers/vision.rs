//! Models that look at images.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    clip, convnext, dinov2, efficientnet, fastvit, hiera, mobilenetv4, mobileone, repvgg, resnet,
    segformer, siglip, vit,
};
use serde_json::json;

use super::config;
use crate::case::{BATCH, Case, SEQ, Size, Zoo, floats, tokens};

pub const CASES: &[Case] = &[
    ("vit", vit),
    ("resnet18", resnet18),
    ("resnet50", resnet50),
    ("resnet18_any_size", resnet18_any_size),
    ("efficientnet_b0", efficientnet_b0),
    ("convnext_atto", convnext_atto),
    ("mobileone_s0", mobileone_s0),
    ("mobilenetv4_small", mobilenetv4_small),
    ("repvgg_a0", repvgg_a0),
    ("fastvit_t8", fastvit_t8),
    ("hiera_tiny", hiera_tiny),
    ("dinov2", dinov2),
    ("segformer", segformer),
    ("clip_image", clip_image),
    ("clip", clip),
    ("clip_text", clip_text),
    ("siglip_vision", siglip_vision),
];

/// Fewer batch sizes for large models.
const FEW: Size<'static> = ("batch", &[2, 3, 4]);

/// Takes down a model of images of one size.
fn image(
    zoo: &Zoo,
    name: &str,
    size: usize,
    load: impl FnOnce(VarBuilder<'static>) -> Result<Box<dyn Fn(&Tensor) -> Result<Tensor>>>,
) -> Result<()> {
    let model = load(zoo.variables())?;
    zoo.record(
        name,
        &[FEW],
        |s| Ok(vec![("image", floats(&[s["batch"], 3, size, size])?)]),
        |x| model(&x["image"]),
    )
}

fn boxed(module: impl Module + 'static) -> Box<dyn Fn(&Tensor) -> Result<Tensor>> {
    Box::new(move |x| module.forward(x))
}

fn vit(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: vit::Config = config(json!({
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 16,
        "patch_size": 4, "num_channels": 3, "qkv_bias": true
    }))?;
    let model = vit::Model::new(&cfg, 10, zoo.variables())?;
    image(zoo, name, 16, |_| Ok(Box::new(move |x| model.forward(x))))
}

fn resnet18(zoo: &Zoo, name: &str) -> Result<()> {
    image(zoo, name, 64, |vb| Ok(boxed(resnet::resnet18(10, vb)?)))
}

fn resnet50(zoo: &Zoo, name: &str) -> Result<()> {
    image(zoo, name, 64, |vb| Ok(boxed(resnet::resnet50(10, vb)?)))
}

/// Images of any size: the sizes of feature maps follow from it.
fn resnet18_any_size(zoo: &Zoo, name: &str) -> Result<()> {
    let model = resnet::resnet18(10, zoo.variables())?;
    zoo.record(
        name,
        &[("height", &[64, 96, 160, 128]), ("width", &[96, 128, 192, 160])],
        |s| Ok(vec![("image", floats(&[2, 3, s["height"], s["width"]])?)]),
        |x| model.forward(&x["image"]),
    )
}

fn efficientnet_b0(zoo: &Zoo, name: &str) -> Result<()> {
    let configs = efficientnet::MBConvConfig::b0();
    image(zoo, name, 64, |vb| Ok(boxed(efficientnet::EfficientNet::new(vb, configs, 10)?)))
}

fn convnext_atto(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = convnext::Config::atto();
    image(zoo, name, 64, |vb| Ok(boxed(convnext::convnext(&cfg, 10, vb)?)))
}

fn mobileone_s0(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = mobileone::Config::s0();
    image(zoo, name, 64, |vb| Ok(boxed(mobileone::mobileone(&cfg, 10, vb)?)))
}

fn mobilenetv4_small(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = mobilenetv4::Config::small();
    image(zoo, name, 256, |vb| Ok(boxed(mobilenetv4::mobilenetv4(&cfg, 10, vb)?)))
}

fn repvgg_a0(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = repvgg::Config::a0();
    image(zoo, name, 32, |vb| Ok(boxed(repvgg::repvgg(&cfg, 10, vb)?)))
}

fn fastvit_t8(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = fastvit::Config::t8();
    image(zoo, name, 64, |vb| Ok(boxed(fastvit::fastvit(&cfg, 10, vb)?)))
}

fn hiera_tiny(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = hiera::Config::tiny();
    image(zoo, name, 224, |vb| Ok(boxed(hiera::hiera(&cfg, 10, vb)?)))
}

/// It takes one image at a time, of any number of patches.
fn dinov2(zoo: &Zoo, name: &str) -> Result<()> {
    let model = dinov2::DinoVisionTransformer::new(zoo.variables(), 2, 24, 3)?;
    zoo.record(
        name,
        &[("height", &[56, 84, 98, 126]), ("width", &[70, 98, 154, 112])],
        |s| Ok(vec![("image", floats(&[1, 3, s["height"], s["width"]])?)]),
        |x| model.forward(&x["image"]),
    )
}

/// One image: candle-core 0.11.1 multiplies a transposed batch by weights without a batch wrongly.
fn segformer(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: segformer::Config = config(json!({
        "num_channels": 3, "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1],
        "hidden_sizes": [16, 32], "patch_sizes": [7, 3], "strides": [4, 2],
        "num_attention_heads": [1, 2], "mlp_ratios": [2, 2], "hidden_act": "gelu",
        "layer_norm_eps": 1e-6, "decoder_hidden_size": 16
    }))?;
    let model = segformer::SemanticSegmentationModel::new(&cfg, 5, zoo.variables())?;
    zoo.record(
        name,
        &[("height", &[32, 64, 96, 128]), ("width", &[64, 96, 160, 192])],
        |s| Ok(vec![("image", floats(&[1, 3, s["height"], s["width"]])?)]),
        |x| model.forward(&x["image"]),
    )
}

fn clip_text_config() -> clip::text_model::ClipTextConfig {
    clip::text_model::ClipTextConfig {
        vocab_size: 50,
        embed_dim: 32,
        activation: clip::text_model::Activation::QuickGelu,
        intermediate_size: 64,
        max_position_embeddings: 16,
        pad_with: None,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        projection_dim: 16,
    }
}

fn clip_model(zoo: &Zoo) -> Result<clip::ClipModel> {
    let text_config = clip_text_config();
    let vision_config = clip::vision_model::ClipVisionConfig {
        embed_dim: 32,
        activation: clip::text_model::Activation::QuickGelu,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        projection_dim: 16,
        num_channels: 3,
        image_size: 16,
        patch_size: 4,
    };
    let cfg = clip::ClipConfig {
        text_config,
        vision_config,
        logit_scale_init_value: 2.6592,
        image_size: 16,
    };
    clip::ClipModel::new(zoo.variables(), &cfg)
}

fn clip_image(zoo: &Zoo, name: &str) -> Result<()> {
    let model = clip_model(zoo)?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("pixel_values", floats(&[s["batch"], 3, 16, 16])?)]),
        |x| model.get_image_features(&x["pixel_values"]),
    )
}

/// Its text side looks for the end of each text with `to_vec1`.
fn clip(zoo: &Zoo, name: &str) -> Result<()> {
    let model = clip_model(zoo)?;
    zoo.record(
        name,
        &[("images", &[2, 3, 5, 4])],
        |s| {
            let pixels = floats(&[s["images"], 3, 16, 16])?;
            Ok(vec![("pixel_values", pixels), ("input_ids", tokens(3, 9, 50)?)])
        },
        |x| model.forward(&x["pixel_values"], &x["input_ids"]),
    )
}

/// The states of the text side, from which the end of each text has yet to be taken.
fn clip_text(zoo: &Zoo, name: &str) -> Result<()> {
    let model = clip::text_model::ClipTextTransformer::new(zoo.variables(), &clip_text_config())?;
    zoo.record(
        name,
        &[BATCH, SEQ],
        |s| Ok(vec![("input_ids", tokens(s["batch"], s["seq"], 50)?)]),
        |x| model.forward_with_mask(&x["input_ids"], usize::MAX),
    )
}

fn siglip_vision(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg: siglip::VisionConfig = config(json!({
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_channels": 3, "image_size": 16, "patch_size": 4,
        "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6
    }))?;
    let model = siglip::VisionModel::new(&cfg, true, zoo.variables())?;
    zoo.record(
        name,
        &[BATCH],
        |s| Ok(vec![("image", floats(&[s["batch"], 3, 16, 16])?)]),
        |x| model.forward(&x["image"]),
    )
}
