//! The programs that mutation starts from, and the seal of `.ir` files.

use airconv_onnx::proto::attribute_proto::AttributeType;
use airconv_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use airconv_onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use sha2::{Digest as _, Sha256};

/// An attribute from a line like `axis=1`, `pads=[1, 1]`, `alpha=0.5` or `mode=linear`.
fn attribute(text: &str) -> AttributeProto {
    let (name, value) = text.split_once('=').unwrap_or((text, "0"));
    let mut a = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
    let kind = if let Some(list) = value.strip_prefix('[') {
        let items: Vec<&str> =
            list.trim_end_matches(']').split(',').filter(|t| !t.is_empty()).collect();
        let ints: Result<Vec<i64>, _> = items.iter().map(|t| t.parse()).collect();
        let floats: Result<Vec<f32>, _> = items.iter().map(|t| t.parse()).collect();
        match (ints, floats) {
            (Ok(v), _) => {
                a.ints = v;
                AttributeType::Ints
            }
            (_, Ok(v)) => {
                a.floats = v;
                AttributeType::Floats
            }
            _ => {
                a.strings = items.iter().map(|t| (*t).to_owned().into()).collect();
                AttributeType::Strings
            }
        }
    } else if let Ok(v) = value.parse() {
        a.i = Some(v);
        AttributeType::Int
    } else if let Ok(v) = value.parse() {
        a.f = Some(v);
        AttributeType::Float
    } else {
        a.s = Some(value.to_owned().into());
        AttributeType::String
    };
    a.r#type = Some(kind as i32);
    a
}

/// A node from a line like `y = Conv x w ; pads=[1,1,1,1] ; group=1`. `_` is no operand.
fn node(line: &str) -> NodeProto {
    let mut parts = line.split(';').map(str::trim);
    let head = parts.next().unwrap_or_default();
    let (outputs, call) = head.split_once('=').unwrap_or(("", head));
    let mut words = call.split_whitespace();
    let op = words.next().unwrap_or_default();
    let (domain, op) = op.split_once("::").unwrap_or(("", op));
    let named = |w: &str| if w == "_" { String::new() } else { w.to_owned() };
    NodeProto {
        op_type: Some(op.to_owned()),
        domain: Some(domain.to_owned()),
        input: words.map(named).collect(),
        output: outputs.split_whitespace().map(named).collect(),
        attribute: parts.filter(|p| !p.is_empty()).map(attribute).collect(),
        ..Default::default()
    }
}

/// A declaration like `x:1:n,3,8,8`: name, element type, sizes.
fn value(text: &str) -> ValueInfoProto {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let elem_type = parts.next().and_then(|t| t.parse().ok());
    let shape = parts.next().map(|dims| TensorShapeProto {
        dim: dims
            .split(',')
            .filter(|d| !d.is_empty())
            .map(|d| Dimension {
                value: Some(match d.parse() {
                    Ok(v) => dimension::Value::DimValue(v),
                    Err(_) => dimension::Value::DimParam(d.to_owned()),
                }),
                denotation: None,
            })
            .collect(),
    });
    let tensor = type_proto::Tensor { elem_type, shape };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: elem_type.map(|_| TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            denotation: None,
        }),
        ..Default::default()
    }
}

/// A stored tensor like `w:1:4,3,1,1`, with small numbers, or `s:7:2=3,4` with those.
fn stored(text: &str) -> TensorProto {
    let (head, data) = text.split_once('=').unwrap_or((text, ""));
    let info = value(head);
    let mut t = TensorProto { name: info.name.clone(), ..Default::default() };
    if let Some(TypeProto { value: Some(type_proto::Value::TensorType(ty)), .. }) = info.r#type {
        t.data_type = ty.elem_type;
        let dims = ty.shape.unwrap_or_default().dim;
        t.dims = dims
            .iter()
            .map(|d| match d.value {
                Some(dimension::Value::DimValue(v)) => v,
                _ => 0,
            })
            .collect();
    }
    let n = t.dims.iter().product::<i64>();
    let given: Vec<&str> = data.split(',').filter(|v| !v.is_empty()).collect();
    let at = |i: i64| given.get(i as usize).and_then(|v| v.parse().ok()).unwrap_or((i % 5) as f64);
    match t.data_type {
        Some(1) => t.float_data = (0..n).map(|i| at(i) as f32 * 0.25).collect(),
        Some(7) => t.int64_data = (0..n).map(|i| at(i) as i64).collect(),
        Some(8) => t.string_data = (0..n).map(|i| format!("s{i}").into()).collect(),
        _ => t.int32_data = (0..n).map(|i| at(i) as i32).collect(),
    }
    t
}

/// A graph of inputs, tensors, nodes and outputs, a line each.
pub fn graph(inputs: &[&str], tensors: &[&str], nodes: &[&str], outputs: &[&str]) -> GraphProto {
    GraphProto {
        name: Some("g".to_owned()),
        node: nodes.iter().map(|n| node(n)).collect(),
        initializer: tensors.iter().map(|t| stored(t)).collect(),
        input: inputs.iter().map(|v| value(v)).collect(),
        output: outputs.iter().map(|v| value(v)).collect(),
        ..Default::default()
    }
}

/// A model of a graph at a version of the standard operators.
pub fn model(graph: GraphProto, opset: i64) -> ModelProto {
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    ModelProto {
        ir_version: Some(10),
        graph: Some(graph),
        opset_import: vec![
            set("", opset),
            set("ai.onnx.ml", 5),
            set("com.microsoft", 1),
            set("own", 1),
        ],
        ..Default::default()
    }
}

fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Graph as i32),
        g: Some(Box::new(graph)),
        ..Default::default()
    }
}

/// Small programs that between them use every kind of thing a graph has.
pub fn models() -> Vec<ModelProto> {
    let mut out = vec![
        model(
            graph(
                &["x:1:n,3,8,8"],
                &["w:1:4,3,3,3", "b:1:4", "g:1:4", "m:1:4", "v:1:4=1,1,1,1", "k:1:4,4,2,2"],
                &[
                    "c = Conv x w b ; pads=[1,1,1,1] ; strides=[1,1] ; dilations=[1,1] ; group=1",
                    "d = BatchNormalization c g b m v ; epsilon=0.001",
                    "e = Relu d",
                    "f = MaxPool e ; kernel_shape=[2,2] ; strides=[2,2] ; ceil_mode=1",
                    "h = AveragePool f ; kernel_shape=[3,3] ; pads=[1,1,1,1] ; count_include_pad=1",
                    "i = ConvTranspose h k ; strides=[2,2] ; output_padding=[0,0]",
                    "j = GlobalAveragePool i",
                    "y = Flatten j ; axis=1",
                ],
                &["y:1:n,4"],
            ),
            17,
        ),
        model(
            graph(
                &["x:1:b,s,8", "mask:9:b,1,s,s"],
                &["w:1:8,8", "two:7:1=2", "g:1:8", "h:7:4=0,0,2,4", "r:7:3=0,0,8"],
                &[
                    "l = LayerNormalization x g g ; axis=-1 ; epsilon=0.00001",
                    "q = MatMul l w",
                    "q4 = Reshape q h",
                    "qt = Transpose q4 ; perm=[0,2,1,3]",
                    "kt = Transpose q4 ; perm=[0,2,3,1]",
                    "s = MatMul qt kt",
                    "p = Softmax s ; axis=-1",
                    "o = MatMul p qt",
                    "ot = Transpose o ; perm=[0,2,1,3]",
                    "oo = Reshape ot r",
                    "z = Add oo x",
                    "y = Gelu z ; approximate=tanh",
                ],
                &["y:1:b,s,8"],
            ),
            20,
        ),
        model(
            graph(
                &["x:1:n,6", "i:7:3"],
                &[
                    "st:7:2=1,0", "en:7:2=5,3", "ax:7:2=1,0", "sp:7:2=2,1", "pd:7:4=1,0,2,1",
                    "rp:7:2=2,3", "ix:7:2=0,1", "sh:7:2=2,-1", "sc:1:2=8,8", "ex:7:2=1,6",
                    "one:7:1=1", "k:7:1=2", "c:1:", "d:7:=0",
                ],
                &[
                    "a = Slice x st en ax sp", "b = Pad x pd c ; mode=constant", "e = Tile x rp",
                    "f = Gather x ix ; axis=1", "g = Reshape e sh ; allowzero=0",
                    "h = Expand x ex", "j = Unsqueeze x one", "l = Squeeze j one",
                    "m n = TopK x k ; axis=1 ; largest=1", "o = Concat x h ; axis=0",
                    "p q = Split x ; axis=1 ; num_outputs=2", "r = Shape x ; start=0 ; end=2",
                    "s = ConstantOfShape r", "t = ReduceSum x one ; keepdims=0",
                    "u = ArgMax x ; axis=1", "v = CumSum x d", "w = OneHot i k c2",
                    "z = Resize x _ sc ; mode=nearest", "aa = NonZero x", "ab = Range d k0 d1",
                    "ac = ScatterElements x ii ux ; axis=1", "ad = GatherND x ix",
                    "ae = Trilu x d ; upper=1", "af = Einsum x x ; equation=ij,kj->ik",
                    "ag = EyeLike x ; k=1", "ah = DepthToSpace x4 ; blocksize=2",
                ][..24]
                    .iter()
                    .copied()
                    .filter(|l| !["OneHot", "Range", "Scatter"].iter().any(|o| l.contains(o)))
                    .collect::<Vec<_>>()
                    .as_slice(),
                &["a", "b", "f", "g", "l", "m", "n", "o", "p", "q", "s", "t", "u", "v", "z", "aa"],
            ),
            18,
        ),
        model(
            graph(
                &["x:1:5,n,3"],
                &["w:1:1,16,3", "r:1:1,16,4", "b:1:1,32", "gw:1:2,12,3", "gr:1:2,12,4"],
                &[
                    "y yh yc = LSTM x w r b ; hidden_size=4 ; direction=forward",
                    "z zh = GRU x gw gr ; hidden_size=4 ; direction=bidirectional",
                    "s = Squeeze y",
                    "t = ReduceMean z",
                ],
                &["s", "t", "yc", "zh"],
            ),
            14,
        ),
        model(
            graph(
                &["x:1:n,4"],
                &["s:1:=1", "z:3:=0", "w:1:4,4", "ws:1:4=1,1,1,1", "wz:3:4=0,0,0,0"],
                &[
                    "q = QuantizeLinear x s z", "d = DequantizeLinear q s z",
                    "wq = QuantizeLinear w ws wz ; axis=1", "wd = DequantizeLinear wq ws wz ; axis=1",
                    "m = MatMul d wd", "y = QuantizeLinear m s z",
                    "dq ds dz = DynamicQuantizeLinear x", "mi = MatMulInteger dq wq dz wz",
                    "ql = QLinearMatMul q s z wq s z s z", "c = Cast x ; to=10", "e = Clip x s _",
                ],
                &["y", "mi", "ql", "c", "e"],
            ),
            19,
        ),
        model(
            graph(
                &["x:1:n,3", "t:8:n"],
                &["w:8:2"],
                &[
                    "a = StringNormalizer w ; case_change_action=LOWER ; stopwords=[s0,b]",
                    "b = LabelEncoder t ; keys_strings=[s0,s1] ; values_int64s=[1,2] ; domain=0",
                    "c = ai.onnx.ml::Scaler x ; offset=[0.5,0.5,0.5] ; scale=[1.5,2.5,0.5]",
                    "d = ai.onnx.ml::LinearRegressor c ; coefficients=[0.5,1.5,2.5] ; targets=1",
                    "e = ai.onnx.ml::TreeEnsembleRegressor c ; n_targets=1 ; nodes_treeids=[0,0,0] ; nodes_nodeids=[0,1,2] ; nodes_featureids=[0,0,0] ; nodes_values=[0.5,0.0,0.0] ; nodes_modes=[BRANCH_LEQ,LEAF,LEAF] ; nodes_truenodeids=[1,0,0] ; nodes_falsenodeids=[2,0,0] ; target_treeids=[0,0] ; target_nodeids=[1,2] ; target_ids=[0,0] ; target_weights=[0.5,1.5]",
                    "f = ai.onnx.ml::Normalizer c ; norm=L2",
                    "g = ai.onnx.ml::LabelEncoder t ; keys_strings=[s0,s1] ; values_int64s=[1,2]",
                    "h = ai.onnx.ml::SVMRegressor c ; coefficients=[0.5,1.5] ; kernel_type=RBF ; kernel_params=[0.5,0.0,3.0] ; n_supports=2 ; support_vectors=[0.1,0.2,0.3,0.4,0.5,0.6] ; rho=[0.5]",
                    "i = RegexFullMatch t ; pattern=s[0-3]", "j = StringConcat t t",
                    "k l = StringSplit t ; delimiter=s ; maxsplit=2",
                ][..]
                    .iter()
                    .copied()
                    .filter(|l| !l.starts_with("b ="))
                    .collect::<Vec<_>>()
                    .as_slice(),
                &["a", "d", "e", "f", "g", "h", "i", "j", "k", "l"],
            ),
            20,
        ),
    ];
    for ops in [
        &[
            "a = SequenceConstruct x x",
            "b = SequenceInsert a x",
            "c = ConcatFromSequence b ; axis=0",
            "d = SequenceLength b",
            "e = SplitToSequence x ; axis=1",
            "f = SequenceAt b d0",
            "g = Optional x",
            "h = OptionalGetElement g",
            "i = OptionalHasElement g",
        ][..],
        &[
            "a = STFT x4 one w",
            "b = HannWindow six",
            "c = DFT x4 ; axis=1",
            "d = BitShift u u ; direction=LEFT",
        ],
        &[
            "a = RandomNormal ; shape=[2,3] ; seed=1.5",
            "b = Bernoulli x",
            "c = Dropout x",
            "d = Multinomial x ; sample_size=4",
            "e = RandomUniformLike x",
        ],
        &[
            "a = com.microsoft::FastGelu x",
            "b = com.microsoft::SkipLayerNormalization x x w6 w6",
            "c = com.microsoft::FusedMatMul x x ; transB=1",
            "d = com.microsoft::QuickGelu x",
        ],
        &[
            "a = GroupNormalization x4 w2 w2 ; num_groups=1",
            "b = LRN x4 ; size=3",
            "c = InstanceNormalization x4 w2 w2",
            "d = LpPool x4 ; kernel_shape=[2,2]",
            "e = GridSample x4 gr",
            "f = DepthToSpace x4 ; blocksize=1",
            "g = SpaceToDepth x4 ; blocksize=2",
            "h = MaxUnpool x4 i4 ; kernel_shape=[2,2] ; strides=[2,2]",
            "i = RoiAlign x4 ro ri ; output_height=2 ; output_width=2",
            "j = Col2Im co sz bl",
            "k = AffineGrid th si",
            "l = Upsample x4 sc4",
            "m = CenterCropPad x4 sz ; axes=[2,3]",
        ],
        &[
            "a = Attention q4 q4 q4 ; is_causal=1",
            "b = RMSNormalization x w6",
            "c = RotaryEmbedding q4 cc cc",
            "d = Swish x",
            "e = TensorScatter q4 q4",
        ],
        &[
            "a = ArrayFeatureExtractor x six",
            "b = Det sq",
            "c = Hardmax x",
            "d = LogSoftmax x",
            "e = CastLike x u",
            "f = Mod x x ; fmod=1",
            "g = Pow x x",
            "h = Compress x bo ; axis=1",
            "i = Unique x ; axis=1",
            "j = NonMaxSuppression bx scs six",
            "k = NegativeLogLikelihoodLoss x li",
            "l = SoftmaxCrossEntropyLoss x li",
            "m = Gemm x x ; transB=1 ; alpha=0.5",
            "n = ReverseSequence x li",
            "o = ScatterND x i4b ux",
            "p = GatherElements x gi ; axis=1",
            "q = Shrink x",
            "r = BlackmanWindow six",
        ],
    ] {
        // Each op is a graph of its own, and all are one.
        let tensors = [
            "d0:7:=0",
            "w6:1:6",
            "w2:1:2=1,1",
            "one:7:=1",
            "six:7:=6",
            "w:1:4",
            "u:12:3",
            "gr:1:1,2,2,2",
            "i4:7:1,2,4,4",
            "ro:1:1,4",
            "ri:7:1",
            "co:1:1,8,4",
            "sz:7:2=3,3",
            "bl:7:2=2,2",
            "th:1:1,2,3",
            "si:7:4=1,1,3,3",
            "sc4:1:4=4,4,8,8",
            "cc:1:1,3,2",
            "sq:1:2,3,3",
            "bo:9:6=1,0,1,0,1,0",
            "bx:1:1,3,4",
            "scs:1:1,1,3",
            "li:7:2=0,1",
            "i4b:7:2,1=0,1",
            "ux:1:2,6",
            "gi:7:2,2=0,1,1,0",
        ];
        let inputs = ["x:1:2,6", "x4:1:1,2,4,4", "q4:1:1,2,3,4"];
        for op in ops {
            let names = op.split(';').next().unwrap_or_default();
            let used = |d: &&str| {
                let name = d.split(':').next().unwrap_or_default();
                names.split_whitespace().any(|w| w == name)
            };
            let inputs: Vec<&str> = inputs.iter().copied().filter(used).collect();
            let tensors: Vec<&str> = tensors.iter().copied().filter(used).collect();
            let first = op.split_whitespace().next().unwrap_or_default();
            out.push(model(graph(&inputs, &tensors, &[op], &[first]), 24));
        }
        out.push(model(graph(&inputs, &tensors, ops, &["a", "b", "c", "d"]), 21));
    }
    out.push(conditional());
    out.push(repeated());
    out.push(scanned());
    out.push(called());
    out
}

fn conditional() -> ModelProto {
    let mut g = graph(
        &["x:1:n,3"],
        &["z:1:=0", "ax:7:2=0,1"],
        &["s = ReduceSum x ax ; keepdims=0", "c = Greater s z", "y = If c"],
        &["y"],
    );
    g.node[2].attribute = vec![
        body("then_branch", graph(&[], &[], &["t = Relu x"], &["t:1:n,3"])),
        body("else_branch", graph(&[], &["o:1:1,1"], &["e = Sub x o"], &["e:1:n,3"])),
    ];
    model(g, 16)
}

fn repeated() -> ModelProto {
    let mut g =
        graph(&["x:1:n,3"], &["trips:7:=4", "go:9:=1"], &["v s = Loop trips go x"], &["v", "s"]);
    g.node[0].attribute = vec![body(
        "body",
        graph(
            &["i:7:", "c:9:", "a:1:n,3"],
            &["o:1:=1"],
            &["b = Add a o", "k = Identity c", "d = ReduceMean b ; keepdims=0"],
            &["k:9:", "b:1:n,3", "d:1:"],
        ),
    )];
    model(g, 16)
}

fn scanned() -> ModelProto {
    let mut g =
        graph(&["x:1:n,3"], &["z:1:3"], &["v s = Scan z x ; num_scan_inputs=1"], &["v", "s"]);
    g.node[0].attribute.push(body(
        "body",
        graph(&["a:1:3", "e:1:3"], &[], &["b = Add a e", "o = Tanh b"], &["b:1:3", "o:1:3"]),
    ));
    model(g, 16)
}

fn called() -> ModelProto {
    let g = graph(&["x:1:n,3"], &[], &["a = own::F x ; alpha=0.5", "y = own::F a"], &["y"]);
    let mut m = model(g, 16);
    let mut inner = node("b = LeakyRelu p");
    inner.attribute.push(AttributeProto {
        name: Some("alpha".to_owned()),
        ref_attr_name: Some("alpha".to_owned()),
        r#type: Some(AttributeType::Float as i32),
        ..Default::default()
    });
    m.functions.push(FunctionProto {
        name: Some("F".to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["p".to_owned()],
        output: vec!["r".to_owned()],
        attribute_proto: vec![attribute("alpha=0.25")],
        node: vec![inner, node("r = Add b p")],
        opset_import: m.opset_import.clone(),
        ..Default::default()
    });
    m
}

/// Changes the program section of a `.ir` file and makes lengths and digests right again.
pub fn reseal(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    const ENTRY: usize = 128;
    let long = |at: usize| -> Option<usize> {
        let word = bytes.get(at..at + 8)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(word)).ok()
    };
    let (offset, length) = (long(ENTRY + 8)?, long(ENTRY + 16)?);
    let mut section = bytes.get(offset..offset.checked_add(length)?)?.to_vec();
    change(&mut section);
    let mut out = bytes.get(..offset)?.to_vec();
    let end = (offset + section.len()) as u64;
    out[16..24].copy_from_slice(&end.to_le_bytes());
    out[ENTRY + 16..ENTRY + 24].copy_from_slice(&(section.len() as u64).to_le_bytes());
    out[ENTRY + 32..ENTRY + 64].copy_from_slice(&Sha256::digest(&section));
    let mut hasher = Sha256::new();
    hasher.update(&out[..32]);
    hasher.update(&out[64..192]);
    out[32..64].copy_from_slice(&hasher.finalize());
    out.extend(section);
    Some(out)
}
