//! Changes of files: of bytes, of tokens, and of what is decoded ([`super::onnx`],
//! [`super::archives`]).

use airconv_onnx::proto::ModelProto;
use prost::Message;

use super::onnx::change_model;
use super::{Kind, Rng};

/// Integers at which things go wrong.
pub const INTS: &[i64] = &[
    0,
    1,
    -1,
    2,
    -2,
    3,
    -3,
    4,
    5,
    7,
    8,
    13,
    16,
    17,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    1 << 15,
    1 << 16,
    1 << 20,
    1 << 24,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 31,
    1 << 32,
    (1 << 32) + 1,
    1 << 40,
    1 << 61,
    1 << 62,
    -(1 << 62),
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
];

/// Floats at which things go wrong.
pub const FLOATS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-38,
    1e38,
    1e9,
    -1e9,
    3.0e18,
    1e20,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MIN_POSITIVE,
    f32::EPSILON,
];

/// A mutated file.
pub fn case(kind: Kind, files: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let Some(file) = rng.pick(files) else { return Vec::new() };
    let mut bytes = file.clone();
    let rounds = if rng.one_in(3) { 1 + rng.below(4) } else { 1 };
    match kind {
        Kind::Onnx if !rng.one_in(4) => {
            if let Ok(mut model) = ModelProto::decode(&bytes[..]) {
                for _ in 0..rounds {
                    change_model(&mut model, rng);
                }
                bytes = model.encode_to_vec();
                if !rng.one_in(16) {
                    return bytes;
                }
            }
        }
        Kind::Irt if !rng.one_in(4) => {
            for _ in 0..rounds {
                bytes = change_tokens(&bytes, files, rng);
            }
            return bytes;
        }
        Kind::Ir if !rng.one_in(3) => return change_ir(&bytes, rounds, files, rng),
        Kind::Pt2 | Kind::Script if !rng.one_in(8) => {
            return super::archives::change(&bytes, rounds, files, rng);
        }
        _ => {}
    }
    for _ in 0..rounds {
        change_bytes(&mut bytes, files, rng);
    }
    bytes
}

/// A change that knows nothing of the format.
pub fn change_bytes(bytes: &mut Vec<u8>, files: &[Vec<u8>], rng: &mut Rng) {
    let n = bytes.len();
    if n == 0 {
        return;
    }
    let p = rng.below(n);
    match rng.below(8) {
        0 => bytes[p] ^= 1 << rng.below(8),
        1 => bytes[p] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff, 0xfe, 0xc0]).unwrap_or(&0),
        2 => {
            let word = rng.pick(INTS).copied().unwrap_or(0).to_le_bytes();
            let width = 1 << rng.below(4);
            for (to, from) in bytes[p..].iter_mut().zip(&word[..width]) {
                *to = *from;
            }
        }
        3 => bytes.truncate(p),
        4 => {
            if let Some(other) = rng.pick(files) {
                let q = rng.below(other.len());
                bytes.truncate(p);
                bytes.extend_from_slice(&other[q..]);
            }
        }
        5 => {
            // A number of seven bits per byte gets longer.
            let mut longer = vec![bytes[p] | 0x80];
            longer.extend(std::iter::repeat_n(0x80 | rng.below(128) as u8, rng.below(10)));
            longer.push(rng.below(128) as u8);
            bytes.splice(p..=p, longer);
        }
        6 => {
            let q = (p + 1 + rng.below(64)).min(n);
            let chunk = bytes[p..q].to_vec();
            let times = 1 + rng.below(8);
            let to = rng.below(n);
            bytes.splice(to..to, chunk.repeat(times));
        }
        _ => {
            let q = (p + 1 + rng.below(16)).min(n);
            bytes.drain(p..q);
        }
    }
}

/// A change in the program section of a `.ir` file, with the checksums made right again.
fn change_ir(bytes: &[u8], rounds: usize, files: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    match super::seeds::reseal(bytes, |section| {
        for _ in 0..rounds {
            change_bytes(section, files, rng);
        }
    }) {
        Some(bytes) => bytes,
        None => bytes.to_vec(),
    }
}

/// A change of the tokens of a text.
fn change_tokens(bytes: &[u8], files: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut tokens = tokens(&text);
    if tokens.is_empty() {
        return Vec::new();
    }
    let n = tokens.len();
    let p = rng.below(n);
    let other = rng.pick(files).map(|f| String::from_utf8_lossy(f).into_owned());
    let others = other.as_deref().map(self::tokens).unwrap_or_default();
    let same = |rng: &mut Rng, from: &[String], like: &str| {
        let class = |t: &str| t.chars().next().map(|c| (c.is_ascii_digit(), c.is_alphabetic(), c));
        let fits: Vec<&String> = from
            .iter()
            .filter(|t| match (class(t), class(like)) {
                (Some((d, a, c)), Some((e, b, f))) => (d && e) || (a && b) || c == f,
                _ => false,
            })
            .collect();
        rng.pick(&fits).map(|t| (*t).clone())
    };
    match rng.below(10) {
        0 => {
            let q = rng.below(n);
            tokens.swap(p, q);
        }
        1 => {
            tokens.remove(p);
        }
        2 => tokens.insert(p, tokens[rng.below(n)].clone()),
        3 => {
            let ops: Vec<&str> =
                airconv_ir::op::OpKind::ALL.iter().map(|k| k.info().name).collect();
            let at: Vec<usize> = (0..n).filter(|&i| ops.contains(&tokens[i].as_str())).collect();
            if let (Some(&i), Some(op)) = (rng.pick(&at), rng.pick(&ops)) {
                tokens[i] = (*op).to_owned();
            }
        }
        4..=6 => {
            let at: Vec<usize> = (0..n)
                .filter(|&i| tokens[i].chars().next().is_some_and(|c| c.is_ascii_digit()))
                .collect();
            if let Some(&i) = rng.pick(&at) {
                tokens[i] = rng.pick(INTS).copied().unwrap_or(0).to_string();
            }
        }
        7 => {
            if let Some(t) = same(rng, &others, &tokens[p].clone()) {
                tokens[p] = t;
            }
        }
        _ => {
            if let Some(t) = same(rng, &tokens.clone(), &tokens[p].clone()) {
                tokens[p] = t;
            }
        }
    }
    tokens.join(" ").into_bytes()
}

fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut t = String::from(c);
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        if c == '"' {
            while let Some(c) = chars.next() {
                t.push(c);
                if c == '\\' {
                    t.extend(chars.next());
                } else if c == '"' {
                    break;
                }
            }
        } else if word(c) || "%@#$^-".contains(c) {
            while let Some(&c) = chars.peek().filter(|&&c| word(c)) {
                t.push(c);
                chars.next();
            }
        }
        // `hex"..."` is one token.
        if t.starts_with('"')
            && out.last().is_some_and(|l| l == "hex" || l == "nan" || l == "blake3")
        {
            if let Some(last) = out.last_mut() {
                last.push_str(&t);
            }
        } else {
            out.push(t);
        }
    }
    out
}
