//! Quantised blocks: what their bytes mean, after the layouts of ggml.
//!
//! A block has a scale or two, a minimum or none, and a small integer per element. Those of 256
//! elements ("K") have scales of their own for each 16 or 32 elements, themselves quantised.

use half::f16;

/// The size of a block.
pub(super) struct Layout {
    pub elements: u64,
    pub bytes: u64,
}

/// What a type of element is called.
pub(super) fn name(kind: u32) -> &'static str {
    match kind {
        2 => "Q4_0",
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        8 => "Q8_0",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        _ => "unknown",
    }
}

/// The blocks of a type of element; `None` where it is not known.
pub(super) fn layout(kind: u32) -> Option<Layout> {
    let (elements, bytes) = match kind {
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        _ => return None,
    };
    Some(Layout { elements, bytes })
}

/// Decodes blocks one after the other.
pub(super) fn decode(kind: u32, bytes: &[u8], each: &mut dyn FnMut(&[f32])) {
    match kind {
        2 => all(bytes, each, q4_0),
        3 => all(bytes, each, q4_1),
        6 => all(bytes, each, q5_0),
        7 => all(bytes, each, q5_1),
        8 => all(bytes, each, q8_0),
        9 => all(bytes, each, q8_1),
        10 => all(bytes, each, q2_k),
        11 => all(bytes, each, q3_k),
        12 => all(bytes, each, q4_k),
        13 => all(bytes, each, q5_k),
        14 => all(bytes, each, q6_k),
        15 => all(bytes, each, q8_k),
        _ => {}
    }
}

/// Decodes blocks of `B` bytes to `N` elements each.
fn all<const B: usize, const N: usize>(
    bytes: &[u8],
    each: &mut dyn FnMut(&[f32]),
    block: fn(&[u8; B], &mut [f32; N]),
) {
    let mut values = [0.0; N];
    for bytes in bytes.as_chunks::<B>().0 {
        block(bytes, &mut values);
        each(&values);
    }
}

fn half(a: u8, b: u8) -> f32 {
    f16::from_le_bytes([a, b]).to_f32()
}

fn q4_0(b: &[u8; 18], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    for j in 0..16 {
        y[j] = (f32::from(b[2 + j] & 15) - 8.0) * d;
        y[j + 16] = (f32::from(b[2 + j] >> 4) - 8.0) * d;
    }
}

fn q4_1(b: &[u8; 20], y: &mut [f32; 32]) {
    let (d, m) = (half(b[0], b[1]), half(b[2], b[3]));
    for j in 0..16 {
        y[j] = f32::from(b[4 + j] & 15) * d + m;
        y[j + 16] = f32::from(b[4 + j] >> 4) * d + m;
    }
}

/// The elements of `q5_0` and `q5_1`, from 0 to 31: four bits each, and the fifth ones together.
fn fives(high: [u8; 4], low: &[u8], y: &mut [f32; 32]) {
    let high = u32::from_le_bytes(high);
    for (j, &q) in low.iter().enumerate().take(16) {
        let fifth = |at: usize| ((high >> at) & 1) as u8 * 16;
        y[j] = f32::from((q & 15) | fifth(j));
        y[j + 16] = f32::from((q >> 4) | fifth(j + 16));
    }
}

fn q5_0(b: &[u8; 22], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    fives([b[2], b[3], b[4], b[5]], &b[6..], y);
    y.iter_mut().for_each(|v| *v = (*v - 16.0) * d);
}

fn q5_1(b: &[u8; 24], y: &mut [f32; 32]) {
    let (d, m) = (half(b[0], b[1]), half(b[2], b[3]));
    fives([b[4], b[5], b[6], b[7]], &b[8..], y);
    y.iter_mut().for_each(|v| *v = *v * d + m);
}

fn q8_0(b: &[u8; 34], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    y.iter_mut().zip(&b[2..]).for_each(|(v, &q)| *v = f32::from(q as i8) * d);
}

fn q8_1(b: &[u8; 36], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    y.iter_mut().zip(&b[4..]).for_each(|(v, &q)| *v = f32::from(q as i8) * d);
}

fn q2_k(b: &[u8; 84], y: &mut [f32; 256]) {
    let (scales, bits) = (&b[..16], &b[16..80]);
    let (d, min) = (half(b[80], b[81]), half(b[82], b[83]));
    for (i, v) in y.iter_mut().enumerate() {
        // Two rounds of 128 elements: four times 32, two bits higher each time.
        let (round, pair, at) = (i / 128, i % 128 / 32, i % 32);
        let q = (bits[32 * round + at] >> (2 * pair)) & 3;
        let scale = scales[i / 16];
        *v = d * f32::from(scale & 15) * f32::from(q) - min * f32::from(scale >> 4);
    }
}

fn q3_k(b: &[u8; 110], y: &mut [f32; 256]) {
    let (high, bits, packed) = (&b[..32], &b[32..96], &b[96..108]);
    let d = half(b[108], b[109]);
    for (i, v) in y.iter_mut().enumerate() {
        let (round, pair, at) = (i / 128, i % 128 / 32, i % 32);
        let low = i16::from((bits[32 * round + at] >> (2 * pair)) & 3);
        let third = high[at] >> (4 * round + pair) & 1;
        let q = low - if third == 1 { 0 } else { 4 };
        // Six bits each: the low four of scales 8 to 15 above those of 0 to 7, the high two after.
        let s = i / 16;
        let four = packed[s % 8] >> (s / 8 * 4) & 15;
        let two = packed[8 + s % 4] >> (s / 4 * 2) & 3;
        let scale = i16::from(four | two << 4) - 32;
        *v = d * f32::from(scale) * f32::from(q);
    }
}

/// The scale and the minimum of the 32 elements at a place, six bits each, of `q4_k` and `q5_k`.
fn scale_and_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let both = packed[j + 4];
        ((both & 15) | packed[j - 4] >> 6 << 4, both >> 4 | packed[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(b: &[u8; 144], y: &mut [f32; 256]) {
    let (d, least) = (half(b[0], b[1]), half(b[2], b[3]));
    let (packed, bits) = (&b[4..16], &b[16..]);
    for (i, v) in y.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(packed, i / 32);
        let q = bits[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
        *v = d * scale * f32::from(q) - least * min;
    }
}

fn q5_k(b: &[u8; 176], y: &mut [f32; 256]) {
    let (d, least) = (half(b[0], b[1]), half(b[2], b[3]));
    let (packed, high, bits) = (&b[4..16], &b[16..48], &b[48..]);
    for (i, v) in y.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(packed, i / 32);
        let four = bits[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
        let fifth = high[i % 32] >> (i / 32) & 1;
        *v = d * scale * f32::from(four | fifth << 4) - least * min;
    }
}

fn q6_k(b: &[u8; 210], y: &mut [f32; 256]) {
    let (low, high, scales) = (&b[..128], &b[128..192], &b[192..208]);
    let d = half(b[208], b[209]);
    for (i, v) in y.iter_mut().enumerate() {
        // Two rounds of 128 elements: four times 32.
        let (round, part, at) = (i / 128, i % 128 / 32, i % 32);
        let four = low[64 * round + part % 2 * 32 + at] >> (part / 2 * 4) & 15;
        let two = high[32 * round + at] >> (2 * part) & 3;
        let q = i16::from(four | two << 4) - 32;
        *v = d * f32::from(scales[i / 16] as i8) * f32::from(q);
    }
}

fn q8_k(b: &[u8; 292], y: &mut [f32; 256]) {
    let d = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    y.iter_mut().zip(&b[4..260]).for_each(|(v, &q)| *v = f32::from(q as i8) * d);
}
