//! Parts of Stable Diffusion.

use candle_core::Result;
use candle_transformers::models::stable_diffusion::unet_2d_blocks as blocks;
use candle_transformers::models::stable_diffusion::{unet_2d, vae};

use crate::case::{BATCH, Case, Zoo, floats};

pub const CASES: &[Case] =
    &[("sd_unet", sd_unet), ("sd_mid_block", sd_mid_block), ("sd_vae_decoder", sd_vae_decoder)];

/// The whole network with two stages, one of them with cross-attention.
fn sd_unet(zoo: &Zoo, name: &str) -> Result<()> {
    let block = |out_channels, use_cross_attn| unet_2d::BlockConfig {
        out_channels,
        use_cross_attn,
        attention_head_dim: 2,
    };
    let cfg = unet_2d::UNet2DConditionModelConfig {
        blocks: vec![block(32, Some(1)), block(64, None)],
        layers_per_block: 1,
        cross_attention_dim: 12,
        ..Default::default()
    };
    let model = unet_2d::UNet2DConditionModel::new(zoo.variables(), 4, 4, false, cfg)?;
    zoo.record(
        name,
        &[BATCH],
        |s| {
            let latent = floats(&[s["batch"], 4, 8, 8])?;
            Ok(vec![("latent", latent), ("text", floats(&[s["batch"], 5, 12])?)])
        },
        |x| model.forward(&x["latent"], 10.0, &x["text"]),
    )
}

fn sd_mid_block(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = blocks::UNetMidBlock2DCrossAttnConfig {
        resnet_groups: Some(4),
        attn_num_head_channels: 4,
        cross_attn_dim: 12,
        ..Default::default()
    };
    let model = blocks::UNetMidBlock2DCrossAttn::new(zoo.variables(), 16, Some(20), false, cfg)?;
    zoo.record(
        name,
        &[BATCH],
        |s| {
            let (image, time) = (floats(&[s["batch"], 16, 6, 6])?, floats(&[s["batch"], 20])?);
            Ok(vec![("x", image), ("time", time), ("text", floats(&[s["batch"], 5, 12])?)])
        },
        |x| model.forward(&x["x"], Some(&x["time"]), Some(&x["text"])),
    )
}

/// One image: candle-core 0.11.1 multiplies a transposed batch by weights without a batch wrongly.
fn sd_vae_decoder(zoo: &Zoo, name: &str) -> Result<()> {
    let cfg = vae::AutoEncoderKLConfig {
        block_out_channels: vec![8, 16],
        norm_num_groups: 4,
        ..Default::default()
    };
    let model = vae::AutoEncoderKL::new(zoo.variables(), 3, 3, cfg)?;
    zoo.record(
        name,
        &[("height", &[4, 6, 10, 8]), ("width", &[6, 10, 14, 12])],
        |s| Ok(vec![("latent", floats(&[1, 4, s["height"], s["width"]])?)]),
        |x| model.decode(&x["latent"]),
    )
}
