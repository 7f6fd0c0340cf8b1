use std::fs;
use std::path::Path;

use super::*;
use crate::proto::*;

fn entry() -> Vec<StringStringEntryProto> {
    vec![StringStringEntryProto { key: Some("k".into()), value: Some("v".into()) }]
}

fn text(word: &str) -> Option<String> {
    Some(word.into())
}

fn tensor() -> TensorProto {
    TensorProto {
        dims: vec![1, -2],
        data_type: Some(1),
        segment: Some(tensor_proto::Segment { begin: Some(0), end: Some(1) }),
        float_data: vec![1.5, 2.5],
        int32_data: vec![-3, 300],
        string_data: vec![Bytes::from_static(b"\xff")],
        int64_data: vec![i64::MIN, 7],
        name: text("t"),
        raw_data: Some(Bytes::from_static(b"\x00\x01\xfe\xff")),
        double_data: vec![0.25],
        uint64_data: vec![u64::MAX],
        doc_string: text("d"),
        external_data: entry(),
        data_location: Some(1),
        metadata_props: entry(),
    }
}

fn sparse() -> SparseTensorProto {
    SparseTensorProto { values: Some(tensor()), indices: Some(tensor()), dims: vec![4, 4] }
}

fn types() -> Vec<TypeProto> {
    use tensor_shape_proto::{Dimension, dimension};
    use type_proto::Value;
    let wrap = |value| TypeProto { value: Some(value), denotation: text("IMAGE") };
    let shape = TensorShapeProto {
        dim: vec![
            Dimension { value: Some(dimension::Value::DimValue(3)), denotation: text("C") },
            Dimension { value: Some(dimension::Value::DimParam("n".into())), ..Default::default() },
            Dimension::default(),
        ],
    };
    let dense = type_proto::Tensor { elem_type: Some(1), shape: Some(shape.clone()) };
    let dense = wrap(Value::TensorType(dense));
    let boxed = Some(Box::new(dense.clone()));
    let sparse = type_proto::SparseTensor { elem_type: Some(1), shape: Some(shape) };
    let map = type_proto::Map { key_type: Some(8), value_type: boxed.clone() };
    let opaque = type_proto::Opaque { domain: text("d"), name: text("n") };
    vec![
        dense,
        wrap(Value::SequenceType(type_proto::Sequence { elem_type: boxed.clone() })),
        wrap(Value::MapType(map)),
        wrap(Value::OptionalType(type_proto::Optional { elem_type: boxed })),
        wrap(Value::SparseTensorType(sparse)),
        wrap(Value::OpaqueType(opaque)),
    ]
}

fn values() -> Vec<ValueInfoProto> {
    let value = |of: TypeProto| ValueInfoProto {
        name: text("v"),
        r#type: Some(of),
        doc_string: text("d"),
        metadata_props: entry(),
    };
    types().into_iter().map(value).collect()
}

fn attribute(inner: Option<GraphProto>) -> AttributeProto {
    AttributeProto {
        name: text("a"),
        f: Some(0.5),
        i: Some(-1),
        s: Some(Bytes::from_static(b"\xff")),
        t: Some(Box::new(tensor())),
        g: inner.clone().map(Box::new),
        floats: vec![1.0, 2.0],
        ints: vec![1, -1],
        strings: vec![Bytes::from_static(b"s")],
        tensors: vec![tensor()],
        graphs: inner.into_iter().collect(),
        doc_string: text("d"),
        tp: types().pop().map(Box::new),
        type_protos: types(),
        r#type: Some(2),
        ref_attr_name: text("r"),
        sparse_tensor: Some(Box::new(sparse())),
        sparse_tensors: vec![sparse()],
    }
}

fn node(inner: Option<GraphProto>) -> NodeProto {
    use simple_sharded_dim_proto::Dim;
    let split = |dim| SimpleShardedDimProto { dim: Some(dim), num_shards: Some(2) };
    let spec = ShardingSpecProto {
        tensor_name: text("t"),
        device: vec![0, -1],
        index_to_device_group_map: vec![IntIntListEntryProto { key: Some(-1), value: vec![1, 2] }],
        sharded_dim: vec![ShardedDimProto {
            axis: Some(-1),
            simple_sharding: vec![split(Dim::DimValue(8)), split(Dim::DimParam("n".into()))],
        }],
    };
    NodeProto {
        input: vec!["x".into(), String::new()],
        output: vec!["y".into()],
        name: text("n"),
        op_type: text("If"),
        attribute: vec![attribute(inner)],
        doc_string: text("d"),
        domain: text("ai.onnx"),
        overload: text("o"),
        metadata_props: entry(),
        device_configurations: vec![NodeDeviceConfigurationProto {
            configuration_id: text("c"),
            sharding_spec: vec![spec],
            pipeline_stage: Some(3),
        }],
    }
}

fn graph(inner: Option<GraphProto>) -> GraphProto {
    GraphProto {
        node: vec![node(inner)],
        name: text("g"),
        initializer: vec![tensor()],
        doc_string: text("d"),
        input: values(),
        output: values(),
        value_info: values(),
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: text("t"),
            quant_parameter_tensor_names: entry(),
        }],
        sparse_initializer: vec![sparse()],
        metadata_props: entry(),
    }
}

/// A model in which every field of every message is set.
fn full_model() -> ModelProto {
    let opset = vec![OperatorSetIdProto { domain: text(""), version: Some(26) }];
    ModelProto {
        ir_version: Some(Version::V14 as i64),
        producer_name: text("p"),
        producer_version: text("1"),
        domain: text("d"),
        model_version: Some(2),
        doc_string: text("d"),
        graph: Some(graph(Some(graph(None)))),
        opset_import: opset.clone(),
        metadata_props: entry(),
        training_info: vec![TrainingInfoProto {
            initialization: Some(graph(None)),
            algorithm: Some(graph(None)),
            initialization_binding: entry(),
            update_binding: entry(),
        }],
        functions: vec![FunctionProto {
            name: text("f"),
            input: vec!["x".into()],
            output: vec!["y".into()],
            attribute: vec!["a".into()],
            node: vec![node(None)],
            doc_string: text("d"),
            opset_import: opset,
            domain: text("d"),
            attribute_proto: vec![attribute(None)],
            value_info: values(),
            overload: text("o"),
            metadata_props: entry(),
        }],
        configuration: vec![DeviceConfigurationProto {
            name: text("c"),
            num_devices: Some(2),
            device: vec!["cpu".into()],
        }],
    }
}

fn wrapped(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

#[test]
fn every_field_is_known_to_the_scan_and_survives() {
    let model = full_model();
    let bytes = model.encode_to_vec();
    let found = scan_model(&bytes, &Limits::default()).expect("valid");
    assert_eq!(found.first_unknown, None);
    assert!(found.decoded_bytes > bytes.len() as u64);
    let back = decode_model(Bytes::from(bytes), &Limits::default()).expect("valid");
    assert_eq!(back, model);

    let sequence = SequenceProto {
        name: text("s"),
        elem_type: Some(ElementKind::Tensor as i32),
        tensor_values: vec![tensor()],
        sparse_tensor_values: vec![sparse()],
        ..Default::default()
    };
    let map = MapProto {
        name: text("m"),
        key_type: Some(7),
        keys: vec![1, -1],
        string_keys: vec![Bytes::from_static(b"k")],
        values: Some(sequence.clone()),
    };
    let optional = OptionalProto {
        name: text("o"),
        elem_type: Some(1),
        tensor_value: Some(Box::new(tensor())),
        sparse_tensor_value: Some(Box::new(sparse())),
        sequence_value: Some(Box::new(sequence.clone())),
        map_value: Some(Box::new(map.clone())),
        optional_value: Some(Box::default()),
    };
    let all = SequenceProto {
        sequence_values: vec![sequence],
        map_values: vec![map],
        optional_values: vec![optional],
        ..Default::default()
    };
    let bytes = Bytes::from(all.encode_to_vec());
    let found = scan(Kind::SequenceValue, &bytes, &Limits::default()).expect("valid");
    assert_eq!(found.first_unknown, None);
    assert_eq!(decode_sequence(bytes, &Limits::default()).expect("valid"), all);
}

#[test]
fn payloads_are_views_of_the_input() {
    let payload = vec![7u8; 4096];
    let initializer =
        TensorProto { raw_data: Some(Bytes::from(payload.clone())), ..Default::default() };
    let graph = GraphProto { initializer: vec![initializer], ..Default::default() };
    let model = ModelProto { graph: Some(graph), ..Default::default() };
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("m.onnx");
    fs::write(&path, model.encode_to_vec()).expect("written");
    for use_mmap in [true, false] {
        let input = map_file(&path, use_mmap).expect("opened");
        let range = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
        let model = decode_model(input, &Limits::default()).expect("valid");
        let tensor = &model.graph.as_ref().expect("graph").initializer[0];
        let raw = tensor.raw_data.as_ref().expect("payload");
        assert_eq!(raw[..], payload[..]);
        assert!(range.contains(&(raw.as_ptr() as usize)));
    }
}

#[test]
fn map_file_takes_regular_files_only() {
    let folder = tempfile::tempdir().expect("folder");
    assert!(map_file(folder.path(), true).is_err());
    let path = folder.path().join("empty");
    fs::write(&path, b"").expect("written");
    assert!(map_file(&path, true).expect("empty is fine").is_empty());
    #[cfg(target_os = "linux")]
    assert!(map_file(Path::new("/dev/zero"), false).is_err());
}

/// Attribute, graph and node, one within the other, `levels` messages deep under the model.
fn nested(levels: u32) -> Vec<u8> {
    let tags = [7, 1, 5, 6];
    let mut bytes = Vec::new();
    for level in (0..levels).rev() {
        let tag = if level == 0 { tags[0] } else { tags[1 + (level as usize - 1) % 3] };
        bytes = wrapped(tag, &bytes);
    }
    bytes
}

#[test]
fn depth_is_bounded() {
    let limits = Limits::default();
    let found = scan_model(&nested(100), &limits).expect("100 levels are allowed");
    assert_eq!(found.depth, 100);
    assert!(decode_model(nested(100).into(), &limits).is_ok());
    for levels in [101, 5000] {
        let refused = decode_model(nested(levels).into(), &limits);
        assert!(matches!(refused, Err(DecodeError::TooDeep { limit: 100, .. })));
    }
    let tight = Limits { max_depth: 4, ..Limits::default() };
    assert!(decode_model(nested(4).into(), &tight).is_ok());
    assert!(matches!(
        decode_model(nested(5).into(), &tight),
        Err(DecodeError::TooDeep { limit: 4, .. })
    ));
    // Groups, which the format does not use, nest by another road.
    let groups = vec![0x4b; 200_000];
    assert!(matches!(
        decode_model(groups.into(), &limits),
        Err(DecodeError::TooDeep { limit: 100, .. })
    ));
}

#[test]
fn counts_and_memory_are_bounded() {
    // Empty nodes take two bytes each and some hundreds when decoded.
    let bomb = wrapped(7, &[0x0a, 0x00].repeat(2 << 20));
    assert!(matches!(
        decode_model(bomb.clone().into(), &Limits::default()),
        Err(DecodeError::TooMuchMemory { .. })
    ));
    let few = Limits { max_messages: 1000, ..Limits::default() };
    assert!(matches!(
        decode_model(bomb.into(), &few),
        Err(DecodeError::TooManyMessages { limit: 1000 })
    ));
    // The same by names, by views and by packed numbers.
    let small = Limits { expansion_base: 0, expansion_factor: 6, ..Limits::default() };
    for (tag, content) in [(1, vec![0x0a, 0x00]), (5, vec![0x32, 0x00])] {
        let bomb = wrapped(7, &wrapped(tag, &content.repeat(1 << 16)));
        let refused = decode_model(bomb.into(), &small);
        assert!(matches!(refused, Err(DecodeError::TooMuchMemory { .. })));
    }
    let bomb = wrapped(7, &wrapped(5, &wrapped(7, &vec![0; 1 << 16])));
    assert!(matches!(decode_model(bomb.into(), &small), Err(DecodeError::TooMuchMemory { .. })));
}

#[test]
fn damage_is_reported_with_its_kind() {
    let limits = Limits::default();
    let try_it = |bytes: &[u8]| decode_model(Bytes::copy_from_slice(bytes), &limits);
    assert!(try_it(b"").is_ok());
    assert!(matches!(
        try_it(&[0x12, 2, 0xff, 0xfe]),
        Err(DecodeError::InvalidUtf8 { field: "producer_name", offset: 2, .. })
    ));
    assert!(matches!(
        try_it(&[0x10, 1]),
        Err(DecodeError::WrongKind { field: "producer_name", .. })
    ));
    assert!(matches!(try_it(&[0x12, 9, b'x']), Err(DecodeError::Truncated { .. })));
    assert!(matches!(try_it(&[0x08, 0x80]), Err(DecodeError::Truncated { .. })));
    assert!(matches!(try_it(&[0x00, 0x00]), Err(DecodeError::BadField { .. })));
    assert!(matches!(try_it(&[0x0f]), Err(DecodeError::BadField { .. })));
    assert!(matches!(try_it(&[0x08; 1]), Err(DecodeError::Truncated { .. })));
    let huge = [0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(matches!(try_it(&huge), Err(DecodeError::Truncated { .. })));
    // A field of another IR version: counted, then dropped.
    let found = scan_model(&[0xf8, 0x01, 5], &limits).expect("valid");
    assert_eq!((found.unknown_fields, found.first_unknown), (1, Some(("ModelProto", 31))));
}

#[test]
fn mutations_never_panic() {
    let original = full_model().encode_to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..2000 {
        let mut bytes = original.clone();
        for _ in 0..1 + next(4) {
            let place = next(bytes.len());
            bytes[place] = next(256) as u8;
        }
        bytes.truncate(1 + next(original.len()) * 2);
        let raw = Bytes::from(bytes);
        // What the scan lets pass, the decoder takes.
        let result = decode_model(raw, &Limits::default());
        assert!(
            !matches!(result, Err(DecodeError::Malformed(_))),
            "the scan missed \
        {result:?}"
        );
    }
}
