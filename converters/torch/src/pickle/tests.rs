use airconv_api::Limits;
use airconv_ir::dtype::DType;
use bytes::Bytes;

use super::*;
use crate::error::{ErrorKind, FileError};

fn read(bytes: impl Into<Vec<u8>>) -> Result<Pickle, FileError> {
    load(&Bytes::from(bytes.into()), &Limits::default())
}

/// A dictionary with one of each form, as PyTorch writes it.
fn sample() -> Vec<u8> {
    let mut p = PickleWriter::new();
    p.object("__torch__.net", "Net").dict();
    p.str("training").bool(false).str("none").none().str("ratio").float(0.5);
    p.str("ints").list().int(3).int(70_000).int(-1).int(1 << 40).end_list();
    let parts = TensorParts {
        key: "7",
        dtype: DType::F16,
        numel: 12,
        offset: 2,
        sizes: &[2, 3],
        strides: &[1, 2],
        requires_grad: true,
    };
    p.str("w").tensor(&parts).unwrap();
    p.end_dict().end_object();
    p.finish()
}

#[test]
fn what_is_written_is_read() {
    let pickle = read(sample()).unwrap();
    let Value::Object { class, state: Some(state) } = pickle.get(pickle.root()) else {
        panic!("{pickle:?}")
    };
    assert_eq!(&**class, "__torch__.net.Net");
    let entry = |key| pickle.get(pickle.entry(*state, key).unwrap());
    assert_eq!(entry("training"), &Value::Bool(false));
    assert_eq!(entry("none"), &Value::None);
    assert_eq!(entry("ratio"), &Value::Float(0.5));
    let ints = pickle.items(pickle.entry(*state, "ints").unwrap()).unwrap();
    let ints: Vec<_> = ints.iter().map(|&i| pickle.int(i).unwrap()).collect();
    assert_eq!(ints, [3, 70_000, -1, 1 << 40]);
    let Value::Tensor(tensor) = entry("w") else { panic!("{pickle:?}") };
    assert_eq!((&*tensor.storage.key, tensor.storage.numel), ("7", 12));
    assert_eq!((tensor.dtype, tensor.offset, tensor.requires_grad), (DType::F16, 2, true));
    assert_eq!((&tensor.sizes[..], &tensor.strides[..]), (&[2, 3][..], &[1, 2][..]));
}

#[test]
fn names_outside_the_table_are_refused_and_named() {
    for (module, name) in [("os", "system"), ("builtins", "eval"), ("torch", "load")] {
        let mut p = PickleWriter::new();
        p.global(module, name).mark().str("x").tuple().reduce();
        let error = read(p.finish()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.message.contains(&format!("{module}.{name}")), "{error}");
    }
    // The same through the opcode that takes the name from the stack.
    let error = read(b"\x80\x04\x8c\x02os\x8c\x06system\x93.".as_slice()).unwrap_err();
    assert!(error.message.contains("os.system"), "{error}");
    // A class that is only named cannot be called.
    let mut p = PickleWriter::new();
    p.global("torch", "Tensor").empty_tuple().reduce();
    assert_eq!(read(p.finish()).unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn members_of_enumerations_have_their_value() {
    let mut p = PickleWriter::new();
    p.global("__torch__.layout", "Format").str("NCHW").reduce();
    let pickle = read(p.finish()).unwrap();
    let Value::Object { class, state: Some(state) } = pickle.get(pickle.root()) else {
        panic!("{pickle:?}")
    };
    assert_eq!((&**class, pickle.str(*state)), ("__torch__.layout.Format", Some("NCHW")));
}

#[test]
fn numbers_of_every_width() {
    let first = |bytes: &[u8]| {
        let pickle = read(bytes).unwrap();
        pickle.get(pickle.root()).clone()
    };
    assert_eq!(first(b"\x80\x02J\xfe\xff\xff\xff."), Value::Int(-2));
    assert_eq!(first(b"\x80\x02M\x01\x02."), Value::Int(513));
    assert_eq!(first(b"\x80\x02\x8a\x00."), Value::Int(0));
    assert_eq!(first(b"\x80\x02\x8a\x02\x00\x80."), Value::Int(-32768));
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    assert_eq!(first(magic), Value::Long(0x1950_a86a_20f9_469c_fc6c));
    assert_eq!(first(b"\x80\x02G\x3f\xf8\0\0\0\0\0\0."), Value::Float(1.5));
}

#[test]
fn malformed_pickles_are_errors() {
    for bytes in [
        &b""[..],
        b"\x80",
        b"\x80\x01N.",
        b"\x80\x02.",
        b"\x80\x02N",
        b"\x80\x02N.N",
        b"\x80\x02h\x00.",
        b"\x80\x02t.",
        b"\x80\x02Na.",
        b"\x80\x02}NNNu.",
        b"\x80\x02}(Nu.",
        b"\x80\x02X\xff\xff\xff\xffab.",
        b"\x80\x02X\x01\0\0\0\xff.",
        b"\x80\x02i__main__\nX\n.",
        b"\x80\x02NQ.",
        b"\x80\x02NNR.",
        b"\x80\x02N(0.",
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn shared_parts_stay_shared() {
    // A list of twice the list before, 60 times: 2^60 elements as a tree.
    let mut bytes = b"\x80\x02]q\x00".to_vec();
    for i in 1..60u8 {
        bytes.extend([b'h', i - 1, b'h', i - 1, 0x86, b'q', i]);
    }
    bytes.push(b'.');
    let pickle = read(bytes).unwrap();
    assert_eq!(pickle.len(), 60);
    // Deep nesting and cycles do not overflow the stack, also when dropped.
    let mut deep = b"\x80\x02N".to_vec();
    deep.extend(std::iter::repeat_n(0x85, 1 << 20));
    deep.push(b'.');
    drop(read(deep).unwrap());
    let cyclic = read(b"\x80\x02]q\x00h\x00a.".as_slice()).unwrap();
    assert_eq!(cyclic.items(cyclic.root()).unwrap(), [cyclic.root()]);
}

#[test]
fn copies_and_values_are_counted() {
    let small = Limits { nodes: 1000, ..Limits::default() };
    let mut long = b"\x80\x02".to_vec();
    long.extend(std::iter::repeat_n(b'N', 2000));
    long.push(b'.');
    assert_eq!(load(&long.into(), &small).unwrap_err().kind, ErrorKind::Limit);
    // `list(x)` of a long list, again and again.
    let mut p = PickleWriter::new();
    p.list();
    for _ in 0..100 {
        p.none();
    }
    p.end_list();
    let mut bytes = p.finish();
    bytes.pop();
    bytes.extend(b"\x85q\x00cbuiltins\nlist\nq\x01");
    for _ in 0..100 {
        bytes.extend(b"h\x01h\x00R");
    }
    bytes.push(b'.');
    assert_eq!(load(&bytes.clone().into(), &small).unwrap_err().kind, ErrorKind::Limit);
    assert!(read(bytes).is_ok());
}

#[test]
fn damaged_pickles_never_panic() {
    let bytes = sample();
    let mut random = crate::common::rng::Rng::new(2);
    let mut good = 0;
    for _ in 0..5000 {
        good += usize::from(read(random.damage(&bytes)).is_ok());
    }
    assert!(good < 4500);
}
