//! The Python reader sees what was written.

use std::path::PathBuf;
use std::process::Command;

use airconv_schema::{WriteOptions, write};

use crate::sample::{DTYPES, everything};

/// `AIRCONV_PYTHON`, or the virtual environment of the repository.
fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("AIRCONV_PYTHON") {
        return path.into();
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    assert!(path.exists(), "corpus/setup.sh makes .venv, or AIRCONV_PYTHON names a Python");
    path
}

const SCRIPT: &str = r#"
import sys, json, hashlib
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import numpy as np
import air_reader
f = air_reader.AirFile(sys.argv[2])
print("entry", f.entry, [x["name"] for x in f.functions])
print("node", json.dumps(f.functions[0]["nodes"][0], sort_keys=True))
print("value", json.dumps(f.functions[0]["values"][0], sort_keys=True))
n = f.functions[1]["nodes"][0]
print("slots", n["op"], n["operands"], n["results"], n["origin"])
for k in sorted(n["attrs"]):
    print("attr", k, n["attrs"][k])
print("input", f.functions[1]["inputs"][0])
print("output", f.functions[1]["outputs"][1])
print("defs", [v["def"] for v in f.functions[1]["values"]][4:])
print("origins", f.program["origins"])
print("opsets", f.program["opsets"], len(f.program["notes"]))
for i, t in enumerate(f.tensors()):
    e = f.program["tensors"][i]
    print("tensor", i, e["dtype"], e["storage"][0], list(t.shape), t.dtype.str, end=" ")
    if t.dtype == object:
        print(list(t))
    elif t.size > 1000:
        print(t.min(), t.max(), hashlib.sha256(np.ascontiguousarray(t)).hexdigest()[:16] if t.size < 100000 else "")
    elif e["storage"][0] == "Blob" and e["dtype"] in air_reader.PACKED:
        print([int(x) for x in t.ravel()])
    else:
        print(t.tobytes().hex())
for name, codes in [("bf16", [0x3f80, 0xff80, 0x0001]), ("f8e4m3fn", [0x7e, 0x7f, 0x81]),
                    ("f8e4m3fnuz", [0x7f, 0x80, 1]), ("f8e5m2", [0x7b, 0xfc, 1]), ("f8e5m2fnuz", [0x7f, 0x80, 1]),
                    ("f8e8m0", [0, 127, 255]), ("f4e2m1", [7, 9, 0]), ("f6e2m3", [31, 33, 0]), ("f6e3m2", [31, 33, 0])]:
    print("floats", name, [float(x) for x in air_reader.to_float32(name, np.array(codes))])
"#;

/// The elements of a packed dtype, by a way that has nothing in common with the reader's.
fn elements(bytes: &[u8], bits: usize, signed: bool) -> String {
    let all = bytes.iter().rev().map(|b| format!("{b:08b}")).collect::<String>();
    let list: Vec<String> = (0..15)
        .map(|i| {
            let end = all.len() - i * bits;
            let code = i32::from_str_radix(&all[end - bits..end], 2).unwrap();
            let value = if signed && code >= 1 << (bits - 1) { code - (1 << bits) } else { code };
            value.to_string()
        })
        .collect();
    format!("[{}]", list.join(", "))
}

#[test]
fn reads_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.ir");
    let contents = everything();
    write(&path, contents.clone(), &WriteOptions::default()).unwrap();
    std::fs::create_dir(folder.path().join("weights")).unwrap();
    let mut external = vec![0xee; 4096];
    external.extend([3.0f32, 4.0].iter().flat_map(|x| x.to_le_bytes()));
    std::fs::write(folder.path().join("weights/w.bin"), external).unwrap();

    let out = Command::new(python())
        .args(["-c", SCRIPT, env!("CARGO_MANIFEST_DIR")])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));

    let mut wanted = vec![
        "entry 0 ['main', 'helper']".to_owned(),
        r#"node {"attrs": {}, "op": "add", "operands": [0, 1], "origin": 0, "results": [2]}"#.into(),
        r#"value {"def": null, "name": "x", "type": ["Tensor", {"dtype": "f32", "shape": [2]}]}"#.into(),
        "slots opaque [0, None, 2] [None, 3, 4] 2".into(),
        "attr bool ('Bool', True)".into(),
        r"attr bytes ('Bytes', b'\x00\xff\x80')".into(),
        "attr dtype ('DType', 'bf16')".into(),
        "attr float ('Float', 1.0)".into(),
        "attr floats ('Floats', [-0.0, inf, 1e-310])".into(),
        "attr floats_none ('Floats', [])".into(),
        "attr func ('Func', 1)".into(),
        "attr int ('Int', 1)".into(),
        "attr ints ('Ints', [-9223372036854775808, -1, 0, 127, 128, 65536, 9223372036854775807])".into(),
        "attr ints_none ('Ints', [])".into(),
        "attr list ('List', [('Int', 0), ('List', []), ('Str', '')])".into(),
        "attr map ('Map', {'': ('Map', {}), 'k': ('Bool', False)})".into(),
        "attr region ('Region', 1)".into(),
        "attr str ('Str', 'grüße\\n')".into(),
        "attr strs ('Strs', ['a', ''])".into(),
        "attr tensor ('Tensor', 2)".into(),
        "attr type ('Map', {'key': 'string', 'value': ('Sequence', ('Optional', ('Tensor', {'dtype': 'f32', 'shape': [None]})))})".replace("attr type (", "attr type ('Type', (") + ")",
        "attr dim ('Dim', [{'coeff': -3, 'atoms': [('FloorDiv', ([{'coeff': 1, 'atoms': [('Symbol', 0)]}], 2))]}, {'coeff': 7, 'atoms': []}])".into(),
        "input {'name': 'a', 'role': ('User', {'default': 1, 'kind': ('Constant', None)})}".into(),
        "output {'name': 'a2', 'role': ('InputUpdate', 0)}".into(),
        "defs [None, ('Param', (1, 7)), ('Result', (0, 9))]".into(),
        "origins [('Unknown', None), ('Source', {'format': 1, 'path': 2, 'name': 3, 'op': 0}), ('Derived', {'by': 4, 'from': [1, 0]})]".into(),
        "opsets {'onnx': 24, 'onnx:ai.onnx.ml': 5} 6".into(),
        "tensor 0 f32 Blob [2] <f4 0000c03f000000c0".into(),
        "floats bf16 [1.0, -inf, 9.183549615799121e-41]".into(),
        "floats f8e4m3fn [448.0, nan, -0.001953125]".into(),
        "floats f8e4m3fnuz [240.0, nan, 0.0009765625]".into(),
        "floats f8e5m2 [57344.0, -inf, 1.52587890625e-05]".into(),
        "floats f8e5m2fnuz [57344.0, nan, 7.62939453125e-06]".into(),
        "floats f8e8m0 [5.877471754111438e-39, 1.0, nan]".into(),
        "floats f4e2m1 [6.0, -0.5, 0.0]".into(),
        "floats f6e2m3 [7.5, -0.125, 0.0]".into(),
        "floats f6e3m2 [28.0, -0.0625, 0.0]".into(),
    ];
    for (i, (dtype, bits)) in DTYPES.iter().enumerate() {
        let data = &contents.data[i + 1];
        let hex = data.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let (numpy, shown) = match *dtype {
            "bool" => ("|b1", hex),
            "i2" | "i4" => ("|i1", elements(data, *bits as usize, true)),
            _ if *bits < 8 => ("|u1", elements(data, *bits as usize, false)),
            "i8" => ("|i1", hex),
            "u8" => ("|u1", hex),
            "bf16" => ("<u2", hex),
            "f16" => ("<f2", hex),
            "f32" => ("<f4", hex),
            "f64" => ("<f8", hex),
            "c64" => ("<c8", hex),
            "c128" => ("<c16", hex),
            "i16" => ("<i2", hex),
            "i32" => ("<i4", hex),
            "i64" => ("<i8", hex),
            "u16" => ("<u2", hex),
            "u32" => ("<u4", hex),
            "u64" => ("<u8", hex),
            _ => ("|u1", hex),
        };
        wanted.push(format!("tensor {} {dtype} Blob [3, 5] {numpy} {shown}", i + 1));
    }
    use sha2::Digest as _;
    let large = &contents.data[contents.data.len() - 2];
    let (min, max) = (large.iter().min().unwrap(), large.iter().max().unwrap());
    let digest = sha2::Sha256::digest(large);
    let digest = digest[..8].iter().map(|b| format!("{b:02x}")).collect::<String>();
    wanted.extend([
        "tensor 28 f64 Blob [0, 4] <f8 ".to_owned(),
        format!("tensor 29 u8 Blob [70000] |u1 {min} {max} {digest}"),
        "tensor 30 f32 Blob [1, 2] <f4 0000c03f000000c0".into(),
        "tensor 31 i4 Splat [1000, 1000] |i1 -3 -3 ".into(),
        "tensor 32 f32 Splat [] <f4 0000803f".into(),
        r"tensor 33 string Strings [2] |O [b'caf\xc3\xa9', b'\xff']".into(),
        "tensor 34 f32 External [2] <f4 0000404000008040".into(),
    ]);
    for line in &wanted {
        assert!(text.lines().any(|l| l == line), "lacks\n{line}\nin\n{text}");
    }
    // `dims`, `dims_none` and `strs_none` are too long or too short to spell out above.
    assert_eq!(text.lines().count(), wanted.len() + 3, "{text}");
}

#[test]
fn the_reader_is_short_and_needs_little() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("air_reader.py");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().count() < 150);
    let imports: Vec<&str> =
        text.lines().filter(|l| l.starts_with("import ") || l.starts_with("from ")).collect();
    assert_eq!(
        imports,
        [
            "import hashlib",
            "import json",
            "import os",
            "import struct",
            "import sys",
            "import msgpack",
            "import numpy as np"
        ]
    );
}
