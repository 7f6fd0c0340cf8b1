//! Changes of ONNX models that still decode.

use airconv_onnx::proto::attribute_proto::AttributeType;
use airconv_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use airconv_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
    type_proto,
};
use bytes::Bytes;

use super::Rng;
use super::mutate::{FLOATS, INTS};

/// Texts that attributes hold, and some that none should.
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

/// Names of attributes.
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
