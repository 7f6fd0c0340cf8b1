//! Weights and inputs that are random and the same everywhere.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;

/// Numbers that follow from a text.
pub struct Rng(u64);

impl Rng {
    pub fn of(text: &str) -> Self {
        // FNV-1a, then the steps of splitmix64.
        let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Self(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number in [-1, 1).
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
    /// A whole number below a bound.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound.max(1))) as u32
    }
}

/// Variables whose values follow from their names. Weights of normalisations and variances are
/// near 1, others small enough that values neither die out nor explode.
pub struct Random;

impl SimpleBackend for Random {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        let mut rng = Rng::of(name);
        let dims = s.dims().to_vec();
        let near_one =
            name.ends_with("running_var") || (dims.len() == 1 && name.ends_with("weight"));
        let fan_in: usize = dims.iter().skip(1).product();
        let scale = if dims.len() < 2 { 0.1 } else { (3.0 / fan_in as f32).sqrt() };
        let value = |rng: &mut Rng| match near_one {
            true => 1.0 + 0.1 * rng.signed().abs(),
            false => scale * rng.signed(),
        };
        let values: Vec<f32> = (0..s.elem_count()).map(|_| value(&mut rng)).collect();
        Tensor::from_vec(values, dims, dev)?.to_dtype(dtype)
    }
    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("the shape of `{name}` is not asked for")
    }
    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
