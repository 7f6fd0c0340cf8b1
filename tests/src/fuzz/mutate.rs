//! Changes of files: of bytes, of decoded messages, of tokens.

use airconv_onnx::proto::attribute_proto::AttributeType;
use airconv_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use airconv_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
    type_proto,
};
use bytes::Bytes;
use prost::Message;

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

const STRINGS: &[&[u8]] = &[
    b"",
    b"\xff\xfe",
    b"SAME_UPPER",
    b"SAME_LOWER",
    b"VALID",
    b"NOTSET",
    b"linear",
    b"cubic",
    b"nearest",
    b"reflect",
    b"edge",
    b"wrap",
    b"bidirectional",
    b"reverse",
    b"sum",
    b"mean",
    b"none",
    b"avg",
    b"max",
    b"Relu",
    b"Affine",
    b"ij,jk->ik",
    b"i...,...j",
    b"...",
    b"iii->",
    b"a->aa",
    b"AVERAGE",
    b"SOFTMAX",
    b"BRANCH_LEQ",
    b"LEAF",
    b"tanh",
    b"align_corners",
    b"half_pixel",
    b"tf_crop_and_resize",
    b"floor",
    b"ceil",
    b"round_prefer_floor",
    b"DCR",
    b"CRD",
    b"(",
    b"[",
    b"a*",
    b"\0",
    "\u{10ffff}".as_bytes(),
    b"right",
    b"lower",
    b"upper",
    b"mul",
    b"add",
];

const ATTRIBUTES: &[&str] = &[
    "axis",
    "axes",
    "perm",
    "pads",
    "strides",
    "dilations",
    "kernel_shape",
    "group",
    "keepdims",
    "to",
    "alpha",
    "beta",
    "mode",
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "storage_order",
    "epsilon",
    "momentum",
    "hidden_size",
    "direction",
    "layout",
    "activations",
    "blocksize",
    "block_size",
    "largest",
    "sorted",
    "k",
    "exclusive",
    "reverse",
    "batch_dims",
    "split",
    "num_outputs",
    "value",
    "value_ints",
    "shape",
    "dtype",
    "seed",
    "equation",
    "start",
    "end",
    "allowzero",
    "noop_with_empty_axes",
    "output_padding",
    "output_shape",
    "p",
    "size",
    "bias",
    "lambd",
    "min",
    "max",
    "low",
    "high",
    "saturate",
    "upper",
    "select_last_index",
    "fmod",
    "num_heads",
    "q_num_heads",
    "kv_num_heads",
    "qk_matmul_output_mode",
    "softcap",
    "is_causal",
    "scale",
    "num_groups",
    "stash_type",
    "spatial_scale",
    "sampling_ratio",
    "output_height",
    "output_width",
    "coordinate_transformation_mode",
    "nearest_mode",
    "antialias",
    "keep_aspect_ratio_policy",
    "cubic_coeff_a",
    "exclude_outside",
    "onesided",
    "periodic",
    "ngram_counts",
    "ngram_indexes",
    "max_gram_length",
    "min_gram_length",
    "max_skip_count",
    "num_scan_inputs",
    "scan_input_axes",
    "scan_output_axes",
    "scan_input_directions",
    "interleaved",
    "rotary_embedding_dim",
    "transA",
    "transB",
    "transBatchA",
    "detect_positive",
    "clip",
    "ignore_index",
    "reduction",
    "center_point_box",
    "align_corners",
    "padding_mode",
    "to_type",
    "ratio",
    "sample_size",
    "new_axis",
    "p",
    "broadcast",
    "is_test",
    "consumed_inputs",
    "ends",
    "starts",
    "scales",
    "height_scale",
    "width_scale",
    "count_include_pad",
    "time_axis",
    "batch_axis",
    "output_datatype",
    "K",
    "bits",
    "N",
    "accuracy_level",
    "do_rotary",
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

/// A graph of the model, often one within another.
fn some_graph<'a>(graph: &'a mut GraphProto, rng: &mut Rng) -> &'a mut GraphProto {
    let inner: Vec<(usize, usize)> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(i, n)| n.attribute.iter().enumerate().map(move |(k, a)| (i, k, a)))
        .filter(|(_, _, a)| a.g.is_some())
        .map(|(i, k, _)| (i, k))
        .collect();
    let chosen = if rng.one_in(2) { rng.pick(&inner).copied() } else { None };
    match chosen {
        None => graph,
        Some((i, k)) => {
            let g = graph.node[i].attribute[k].g.get_or_insert_default();
            some_graph(g, rng)
        }
    }
}

fn some_int(rng: &mut Rng) -> i64 {
    match rng.below(3) {
        0 => rng.below(6) as i64 - 2,
        _ => rng.pick(INTS).copied().unwrap_or(0),
    }
}

fn some_float(rng: &mut Rng) -> f32 {
    rng.pick(FLOATS).copied().unwrap_or(0.0)
}

fn some_bytes(rng: &mut Rng) -> Bytes {
    Bytes::from_static(rng.pick(STRINGS).copied().unwrap_or(b""))
}

/// All ops that the reader has a rule for, and one that it has not.
fn some_op(rng: &mut Rng) -> (String, String) {
    static OPS: std::sync::OnceLock<Vec<(String, String)>> = std::sync::OnceLock::new();
    let ops = OPS.get_or_init(|| {
        let mut ops: Vec<(String, String)> = airconv_onnx::import::all_rules()
            .map(|r| (r.domain.to_owned(), r.name.to_owned()))
            .collect();
        ops.push((String::new(), "NoSuchOp".to_owned()));
        ops.sort();
        ops.dedup();
        ops
    });
    rng.pick(ops).cloned().unwrap_or_default()
}

fn some_dim(rng: &mut Rng) -> Dimension {
    let value = match rng.below(5) {
        0 => None,
        1 => Some(dimension::Value::DimParam(
            (*rng.pick(&["n", "m", "", "n+1", "2*n", "floor(n/0)", "n*n*n*n", "?"]).unwrap_or(&""))
                .to_owned(),
        )),
        _ => Some(dimension::Value::DimValue(some_int(rng))),
    };
    Dimension { value, denotation: None }
}

fn some_attribute(rng: &mut Rng) -> AttributeProto {
    let name = rng.pick(ATTRIBUTES).copied().unwrap_or("axis");
    let mut a = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
    set_value(&mut a, rng);
    a
}

fn set_value(a: &mut AttributeProto, rng: &mut Rng) {
    let kind = match rng.below(9) {
        0..=2 => {
            a.i = Some(some_int(rng));
            AttributeType::Int
        }
        3 | 4 => {
            a.ints = (0..rng.below(6)).map(|_| some_int(rng)).collect();
            AttributeType::Ints
        }
        5 => {
            a.f = Some(some_float(rng));
            AttributeType::Float
        }
        6 => {
            a.floats = (0..rng.below(5)).map(|_| some_float(rng)).collect();
            AttributeType::Floats
        }
        7 => {
            a.s = Some(some_bytes(rng));
            AttributeType::String
        }
        _ => {
            a.strings = (0..rng.below(4)).map(|_| some_bytes(rng)).collect();
            AttributeType::Strings
        }
    };
    a.r#type = Some(kind as i32);
}

/// The names that a graph gives.
fn names(g: &GraphProto) -> Vec<String> {
    let inputs = g.input.iter().filter_map(|v| v.name.clone());
    let stored = g.initializer.iter().filter_map(|v| v.name.clone());
    let made = g.node.iter().flat_map(|n| n.output.iter().cloned());
    inputs.chain(stored).chain(made).collect()
}

fn some_name(g: &GraphProto, rng: &mut Rng) -> String {
    match rng.below(12) {
        0 => String::new(),
        1 => "nowhere".to_owned(),
        _ => rng.pick(&names(g)).cloned().unwrap_or_default(),
    }
}

fn some_tensor(name: &str, rng: &mut Rng) -> TensorProto {
    let n = rng.below(6);
    let scalar = rng.one_in(4);
    let count = if scalar { 1 } else { n };
    let mut t = TensorProto {
        name: Some(name.to_owned()),
        dims: if scalar { Vec::new() } else { vec![n as i64] },
        ..Default::default()
    };
    match rng.below(4) {
        0 => {
            t.data_type = Some(1);
            t.float_data = (0..count).map(|_| some_float(rng)).collect();
        }
        1 => {
            t.data_type = Some(6);
            t.int32_data = (0..count).map(|_| some_int(rng) as i32).collect();
        }
        _ => {
            t.data_type = Some(7);
            t.int64_data = (0..count).map(|_| some_int(rng)).collect();
        }
    }
    t
}

fn change_tensor(t: &mut TensorProto, rng: &mut Rng) {
    match rng.below(7) {
        0 => t.data_type = Some(rng.below(32) as i32 - 1),
        1 => {
            let at = rng.below(t.dims.len());
            if let Some(d) = t.dims.get_mut(at) {
                *d = some_int(rng);
            }
        }
        2 => t.dims.push(some_int(rng)),
        3 => {
            t.dims.pop();
        }
        4 => {
            if t.int64_data.is_empty() {
                let raw = t.raw_data.take().map(|r| r.to_vec()).unwrap_or_default();
                let mut raw = raw;
                let at = rng.below(raw.len() / 8 + 1) * 8;
                for (to, from) in raw.iter_mut().skip(at).zip(some_int(rng).to_le_bytes()) {
                    *to = from;
                }
                t.raw_data = (!raw.is_empty()).then(|| raw.into());
            }
            let at = rng.below(t.int64_data.len());
            if let Some(v) = t.int64_data.get_mut(at) {
                *v = some_int(rng);
            }
        }
        5 => {
            let at = rng.below(t.float_data.len());
            if let Some(v) = t.float_data.get_mut(at) {
                *v = some_float(rng);
            }
        }
        _ => {
            t.int64_data = (0..rng.below(4)).map(|_| some_int(rng)).collect();
            t.dims = vec![t.int64_data.len() as i64];
            t.data_type = Some(7);
            t.raw_data = None;
        }
    }
}

fn change_type(ty: &mut TypeProto, rng: &mut Rng) {
    if let Some(type_proto::Value::TensorType(t)) = &mut ty.value {
        match rng.below(6) {
            0 => t.elem_type = Some(rng.below(30) as i32),
            1 => t.shape = None,
            2 => t.shape.get_or_insert_default().dim.push(some_dim(rng)),
            3 => {
                let dims = &mut t.shape.get_or_insert_default().dim;
                dims.pop();
            }
            _ => {
                let dims = &mut t.shape.get_or_insert_default().dim;
                let at = rng.below(dims.len());
                if let Some(d) = dims.get_mut(at) {
                    *d = some_dim(rng);
                }
            }
        }
    }
    if rng.one_in(8) {
        let most = if rng.one_in(8) { 90 } else { 2 };
        for _ in 0..=rng.below(most) {
            let inner = Some(Box::new(std::mem::take(ty)));
            ty.value = Some(match rng.below(3) {
                0 => type_proto::Value::SequenceType(type_proto::Sequence { elem_type: inner }),
                1 => type_proto::Value::OptionalType(type_proto::Optional { elem_type: inner }),
                _ => type_proto::Value::MapType(type_proto::Map {
                    key_type: Some(7),
                    value_type: inner,
                }),
            });
        }
    }
}

/// The graph within a conditional, some levels deep.
fn wrap(g: &mut GraphProto, levels: usize) {
    for level in 0..levels {
        let inner = std::mem::take(g);
        let outputs: Vec<ValueInfoProto> = inner.output.clone();
        let branch = |name: &str| AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(Box::new(GraphProto { input: Vec::new(), ..inner.clone() })),
            ..Default::default()
        };
        let truth = TensorProto {
            name: Some(format!("truth{level}")),
            data_type: Some(9),
            int32_data: vec![1],
            ..Default::default()
        };
        let mut attribute = vec![branch("then_branch")];
        // Two copies at the outermost levels only: else there are too many.
        attribute.push(if level < 3 {
            branch("else_branch")
        } else {
            AttributeProto {
                name: Some("else_branch".to_owned()),
                r#type: Some(AttributeType::Graph as i32),
                g: Some(Box::default()),
                ..Default::default()
            }
        });
        *g = GraphProto {
            name: Some("outer".to_owned()),
            node: vec![NodeProto {
                op_type: Some("If".to_owned()),
                input: vec![format!("truth{level}")],
                output: outputs.iter().map(|o| format!("{}_", o.name())).collect(),
                attribute,
                ..Default::default()
            }],
            initializer: vec![truth],
            input: inner.input.clone(),
            output: outputs
                .iter()
                .map(|o| ValueInfoProto { name: Some(format!("{}_", o.name())), ..o.clone() })
                .collect(),
            ..Default::default()
        };
    }
}

/// A change of a message.
pub fn change_model(model: &mut ModelProto, rng: &mut Rng) {
    match rng.below(40) {
        0 => {
            if let Some(o) = model.opset_import.first_mut() {
                o.version = Some(if rng.one_in(4) { some_int(rng) } else { rng.below(28) as i64 });
            }
            return;
        }
        1 => {
            model.opset_import.extend(model.opset_import.first().cloned());
            return;
        }
        2 => {
            let at = rng.below(model.functions.len());
            if let Some(f) = model.functions.get_mut(at) {
                let mut g = GraphProto { node: std::mem::take(&mut f.node), ..Default::default() };
                change_graph(&mut g, rng);
                f.node = g.node;
                // A function that calls itself.
                if rng.one_in(3)
                    && let Some(n) = f.node.first_mut()
                {
                    n.op_type.clone_from(&f.name);
                    n.domain.clone_from(&f.domain);
                }
            }
            return;
        }
        _ => {}
    }
    if let Some(g) = &mut model.graph {
        if rng.one_in(60) {
            let levels = if rng.one_in(4) { 40 } else { 1 + rng.below(4) };
            wrap(g, levels);
            return;
        }
        change_graph(some_graph(g, rng), rng);
    }
}

fn change_graph(g: &mut GraphProto, rng: &mut Rng) {
    let some = some_name(g, rng);
    let count = g.node.len();
    let at = rng.below(count);
    match rng.below(27) {
        0 | 1 => {
            let all = g.input.len() + g.output.len() + g.value_info.len();
            let k = rng.below(all);
            let mut infos = g.input.iter_mut().chain(&mut g.output).chain(&mut g.value_info);
            if let Some(info) = infos.nth(k) {
                change_type(info.r#type.get_or_insert_default(), rng);
            }
        }
        2 | 3 => {
            let at = rng.below(g.initializer.len());
            if let Some(t) = g.initializer.get_mut(at) {
                change_tensor(t, rng);
            }
        }
        4 => {
            let name = format!("added{}", g.initializer.len());
            g.initializer.push(some_tensor(&name, rng));
            if let Some(n) = g.node.get_mut(at) {
                let k = rng.below(n.input.len() + 1);
                if k < n.input.len() { n.input[k] = name } else { n.input.push(name) }
            }
        }
        5 => {
            let other = rng.below(count);
            if count > 0 {
                g.node.swap(at, other);
            }
        }
        6 => {
            if count > 0 {
                let copy = g.node[at].clone();
                g.node.insert(rng.below(count), copy);
            }
        }
        7 => {
            if count > 0 {
                g.node.remove(at);
            }
        }
        8 | 9 => {
            // A new node, and what read its first operand may read its result.
            let (domain, op) = some_op(rng);
            let out = format!("new{count}");
            let n = NodeProto {
                op_type: Some(op),
                domain: Some(domain),
                input: (0..rng.below(5)).map(|_| some_name(g, rng)).collect(),
                output: (0..1 + rng.below(3))
                    .map(|i| if i == 0 { out.clone() } else { format!("{out}_{i}") })
                    .collect(),
                attribute: (0..rng.below(4)).map(|_| some_attribute(rng)).collect(),
                ..Default::default()
            };
            g.node.insert(at, n);
            g.output.push(ValueInfoProto { name: Some(out), ..Default::default() });
        }
        10 => {
            if let Some(o) = g.output.first_mut() {
                o.name = Some(some);
            }
        }
        11 => {
            g.input.extend(g.input.first().cloned());
        }
        12..=14 => store_input(g, rng),
        _ => {
            if let Some(n) = g.node.get_mut(at) {
                change_node(n, some, rng);
            }
        }
    }
}

/// An input of numbers becomes a stored tensor, some of whose elements are extreme.
fn store_input(g: &mut GraphProto, rng: &mut Rng) {
    let small = |v: &ValueInfoProto| -> Option<(i32, Vec<i64>)> {
        let Some(type_proto::Value::TensorType(t)) = v.r#type.as_ref()?.value.as_ref() else {
            return None;
        };
        let dims = t.shape.as_ref()?.dim.iter().map(|d| match d.value {
            Some(dimension::Value::DimValue(v)) => Some(v),
            _ => None,
        });
        let dims: Vec<i64> = dims.collect::<Option<_>>()?;
        let count = dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d).filter(|n| *n <= 64))?;
        (count >= 0).then_some((t.elem_type?, dims))
    };
    let fits: Vec<(String, i32, Vec<i64>)> = g
        .input
        .iter()
        .filter_map(|v| small(v).map(|(ty, dims)| (v.name().to_owned(), ty, dims)))
        .filter(|(_, ty, _)| matches!(ty, 1 | 6 | 7))
        .collect();
    let Some((name, ty, dims)) = rng.pick(&fits).cloned() else { return };
    let count = dims.iter().product::<i64>();
    let wild = rng.one_in(2);
    let ints: Vec<i64> = (0..count)
        .map(|_| if wild && rng.one_in(2) { some_int(rng) } else { rng.below(4) as i64 })
        .collect();
    let mut t = TensorProto { name: Some(name), data_type: Some(ty), dims, ..Default::default() };
    match ty {
        7 => t.int64_data = ints,
        6 => t.int32_data = ints.iter().map(|&v| v as i32).collect(),
        _ => {
            t.float_data =
                ints.iter().map(|&v| if wild { some_float(rng) } else { v as f32 }).collect();
        }
    }
    g.initializer.push(t);
}

fn change_node(n: &mut NodeProto, some: String, rng: &mut Rng) {
    let k = rng.below(n.attribute.len());
    match rng.below(14) {
        0 | 1 => {
            (n.domain, n.op_type) = {
                let (domain, op) = some_op(rng);
                (Some(domain), Some(op))
            }
        }
        2 => {
            let k = rng.below(n.input.len());
            if let Some(i) = n.input.get_mut(k) {
                *i = some;
            }
        }
        3 => n.input.push(some),
        4 => {
            n.input.pop();
        }
        5 => {
            let k = rng.below(n.output.len());
            if let Some(o) = n.output.get_mut(k) {
                *o = some;
            }
        }
        6 => n.output.push(format!("more{}", n.output.len())),
        7 | 8 => n.attribute.push(some_attribute(rng)),
        9 => {
            if k < n.attribute.len() {
                n.attribute.remove(k);
            }
        }
        10 => {
            if let Some(a) = n.attribute.get_mut(k) {
                set_value(a, rng);
            }
        }
        _ => {
            if let Some(a) = n.attribute.get_mut(k) {
                let at = rng.below(a.ints.len());
                if let Some(v) = a.ints.get_mut(at) {
                    *v = some_int(rng);
                } else if a.i.is_some() {
                    a.i = Some(some_int(rng));
                } else if a.f.is_some() {
                    a.f = Some(some_float(rng));
                } else if a.s.is_some() {
                    a.s = Some(some_bytes(rng));
                } else if let Some(t) = &mut a.t {
                    change_tensor(t, rng);
                } else if let Some(v) = a.floats.first_mut() {
                    *v = some_float(rng);
                } else {
                    set_value(a, rng);
                }
            }
        }
    }
}
