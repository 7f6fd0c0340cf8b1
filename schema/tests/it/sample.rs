//! Synthetic programs.

use airconv_schema::program::*;
use airconv_schema::{Bin, Contents, Named, Program, WriteOptions, Written, write_to};
use bytes::Bytes;
use std::io::Cursor;

/// Every dtype with its bits per element.
pub const DTYPES: [(&str, u64); 27] = [
    ("bool", 8),
    ("i2", 2),
    ("i4", 4),
    ("i8", 8),
    ("i16", 16),
    ("i32", 32),
    ("i64", 64),
    ("u2", 2),
    ("u4", 4),
    ("u8", 8),
    ("u16", 16),
    ("u32", 32),
    ("u64", 64),
    ("f16", 16),
    ("bf16", 16),
    ("f32", 32),
    ("f64", 64),
    ("f8e4m3fn", 8),
    ("f8e4m3fnuz", 8),
    ("f8e5m2", 8),
    ("f8e5m2fnuz", 8),
    ("f8e8m0", 8),
    ("f4e2m1", 4),
    ("f6e2m3", 6),
    ("f6e3m2", 6),
    ("c64", 64),
    ("c128", 128),
];

/// Bytes that look random and are the same everywhere.
pub fn noise(seed: u64, n: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

pub fn named<T>(items: impl IntoIterator<Item = (&'static str, T)>) -> Named<T> {
    Named(items.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn f32s(shape: Vec<Dim>) -> Type {
    Type::Tensor(TensorType { dtype: "f32".into(), shape })
}

pub fn symbol(n: u32) -> Dim {
    Dim::Sum(vec![Term { coeff: 1, atoms: vec![Atom::Symbol(n)] }])
}

/// `add` of an input and a parameter.
pub fn tiny() -> Contents {
    let values = (0..3).map(|i| Value { ty: 0, name: (i == 0).then_some(0), def: None });
    let user = UserInput { default: None, kind: ArgKind::Tensor };
    let function = Function {
        name: "main".into(),
        symbols: vec![],
        inputs: vec![
            Input { name: "x".into(), role: InputRole::User(user) },
            Input { name: "w".into(), role: InputRole::Param(Some(0)) },
        ],
        outputs: vec![Output { name: "y".into(), role: OutputRole::User(ArgKind::Tensor) }],
        body: 0,
        regions: vec![Region { params: vec![0, 1], nodes: vec![0], results: vec![2] }],
        types: vec![f32s(vec![Dim::Known(2)])],
        nodes: vec![Node {
            op: 0,
            attrs: Named::default(),
            operands: vec![Some(0), Some(1)],
            results: vec![Some(2)],
            origin: 0,
        }],
        values: values.collect(),
    };
    let tensor = Tensor { dtype: "f32".into(), shape: vec![2], storage: Storage::Blob(0) };
    let data = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let program = Program {
        functions: vec![function],
        ops: vec!["add".into()],
        strings: vec!["x".into()],
        tensors: vec![tensor],
        origins: vec![Origin::Unknown],
        ..Program::default()
    };
    Contents { program, data: vec![data.into()] }
}

/// Every attribute by a name that says its kind.
pub fn attrs() -> Named<Attr> {
    let atom =
        |a| Dim::Sum(vec![Term { coeff: -3, atoms: vec![a] }, Term { coeff: 7, atoms: vec![] }]);
    named([
        ("bool", Attr::Bool(true)),
        ("bytes", Attr::Bytes(Bin(Bytes::from_static(b"\x00\xff\x80")))),
        ("dim", Attr::Dim(atom(Atom::FloorDiv((symbol(0), Dim::Known(2)))))),
        (
            "dims",
            Attr::Dims(vec![
                Dim::Known(-1),
                Dim::Any,
                symbol(1),
                atom(Atom::CeilDiv((symbol(0), symbol(1)))),
                atom(Atom::Mod((symbol(0), Dim::Known(5)))),
                atom(Atom::Min(vec![symbol(0), symbol(1)])),
                atom(Atom::Max(vec![symbol(0), Dim::Known(1)])),
                atom(Atom::Broadcast(vec![symbol(0), symbol(1)])),
            ]),
        ),
        ("dims_none", Attr::Dims(vec![])),
        ("dtype", Attr::DType("bf16".into())),
        ("float", Attr::Float(1.0)),
        ("floats", Attr::Floats(vec![-0.0, f64::INFINITY, 1e-310])),
        ("floats_none", Attr::Floats(vec![])),
        ("func", Attr::Func(1)),
        ("int", Attr::Int(1)),
        ("ints", Attr::Ints(vec![i64::MIN, -1, 0, 127, 128, 65536, i64::MAX])),
        ("ints_none", Attr::Ints(vec![])),
        ("list", Attr::List(vec![Attr::Int(0), Attr::List(vec![]), Attr::Str("".into())])),
        ("map", Attr::Map(named([("k", Attr::Bool(false)), ("", Attr::Map(named([])))]))),
        ("region", Attr::Region(1)),
        ("str", Attr::Str("grüße\n".into())),
        ("strs", Attr::Strs(vec!["a".into(), "".into()])),
        ("strs_none", Attr::Strs(vec![])),
        ("tensor", Attr::Tensor(2)),
        (
            "type",
            Attr::Type(Type::Map(MapType {
                key: "string".into(),
                value: Box::new(Type::Sequence(Box::new(Type::Optional(Box::new(f32s(vec![
                    Dim::Any,
                ])))))),
            })),
        ),
    ])
}

/// Everything that a file can hold.
pub fn everything() -> Contents {
    let Contents { mut program, mut data } = tiny();
    for (i, (dtype, bits)) in DTYPES.iter().enumerate() {
        let mut bytes = noise(i as u64, (15 * bits).div_ceil(8) as usize);
        match *dtype {
            "bool" => bytes.iter_mut().for_each(|b| *b &= 1),
            _ => {
                if let (Some(last), used @ 1..) = (bytes.last_mut(), 15 * bits % 8) {
                    *last &= (1u8 << used) - 1;
                }
            }
        }
        let blob = data.len() as u32;
        data.push(bytes.into());
        let storage = Storage::Blob(blob);
        program.tensors.push(Tensor { dtype: (*dtype).into(), shape: vec![3, 5], storage });
    }
    let mut tensor = |dtype: &str, shape: Vec<u64>, storage| {
        program.tensors.push(Tensor { dtype: dtype.into(), shape, storage });
    };
    data.push(Bytes::new());
    data.push(noise(99, 70_000).into());
    data.push(data[0].clone());
    let blob = |back: u32| Storage::Blob(data.len() as u32 - back);
    tensor("f64", vec![0, 4], blob(3));
    tensor("u8", vec![70_000], blob(2));
    tensor("f32", vec![1, 2], blob(1));
    let bin = |b: &'static [u8]| Bin(Bytes::from_static(b));
    tensor("i4", vec![1000, 1000], Storage::Splat(bin(&[13])));
    tensor("f32", vec![], Storage::Splat(bin(&[0, 0, 128, 63])));
    tensor("string", vec![2], Storage::Strings(vec![bin(b"caf\xc3\xa9"), bin(b"\xff")]));
    let external = External { path: "weights/w.bin".into(), offset: 4096, length: 8 };
    tensor("f32", vec![2], Storage::External(external));

    program.strings.extend(["onnx", "graph/If_3/then", "Conv_1", "fuse"].map(str::to_owned));
    program.origins.push(Origin::Source(Source { format: 1, path: 2, name: 3, op: 0 }));
    program.origins.push(Origin::Derived(Derived { by: 4, from: vec![1, 0] }));
    program.ops.push("opaque".into());
    program.opsets = named([("onnx", 24), ("onnx:ai.onnx.ml", 5)]);
    let texts = named([("onnx.doc", "text".to_owned()), ("onnx.empty", String::new())]);
    for about in [
        About::Program,
        About::Func(0),
        About::Node((0, 0)),
        About::Value((1, 2)),
        About::Region((1, 1)),
        About::Tensor(3),
    ] {
        program.notes.push(Note { about, texts: texts.clone() });
    }
    let value = |ty, def| Value { ty, name: None, def };
    program.functions.push(Function {
        name: "helper".into(),
        symbols: vec![
            Symbol { name: "N".into(), min: Some(1), max: Some(i64::MAX), why: None },
            Symbol { name: "M".into(), min: None, max: None, why: Some("nonzero".into()) },
        ],
        inputs: vec![
            Input {
                name: "a".into(),
                role: InputRole::User(UserInput { default: Some(1), kind: ArgKind::Constant }),
            },
            Input { name: "p".into(), role: InputRole::Param(None) },
            Input { name: "s".into(), role: InputRole::State(Some(0)) },
        ],
        outputs: vec![
            Output { name: "s2".into(), role: OutputRole::StateUpdate("s".into()) },
            Output { name: "a2".into(), role: OutputRole::InputUpdate(0) },
        ],
        body: 0,
        regions: vec![
            Region { params: vec![0, 1, 2], nodes: vec![0], results: vec![3, 4] },
            Region { params: vec![], nodes: vec![], results: vec![] },
        ],
        types: vec![
            f32s(vec![symbol(0), Dim::Known(3)]),
            Type::Unknown,
            Type::Unranked("string".into()),
        ],
        nodes: vec![Node {
            op: 1,
            attrs: attrs(),
            operands: vec![Some(0), None, Some(2)],
            results: vec![None, Some(3), Some(4)],
            origin: 2,
        }],
        values: vec![
            value(0, None),
            value(0, None),
            value(1, None),
            value(2, None),
            value(0, None),
            value(0, Some(Def::Param((1, 7)))),
            value(0, Some(Def::Result((0, 9)))),
        ],
    });
    Contents { program, data }
}

/// The bytes of a file.
pub fn file(contents: Contents) -> (Vec<u8>, Written) {
    let mut out = Cursor::new(Vec::new());
    let written = write_to(&mut out, contents, &WriteOptions::default()).unwrap();
    (out.into_inner(), written)
}
