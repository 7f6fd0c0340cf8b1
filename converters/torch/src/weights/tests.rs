use std::fs;
use std::path::{Path, PathBuf};

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use airconv_ir::tensor::Storage;
use bytes::Bytes;

use super::*;
use crate::archive::ArchiveWriter;
use crate::error::ErrorKind;
use crate::pickle::{PickleWriter, TensorParts};

fn parts<'a>(sizes: &'a [u64], strides: &'a [i64], offset: u64) -> TensorParts<'a> {
    let (key, dtype) = ("0", DType::F32);
    TensorParts { key, dtype, numel: 6, offset, sizes, strides, requires_grad: true }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn numbers() -> Vec<u8> {
    (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

fn save(folder: &Path, write: impl FnOnce(&mut PickleWriter)) -> PathBuf {
    let mut pickle = PickleWriter::new();
    write(&mut pickle);
    let path = folder.join("m.pt");
    let mut archive = ArchiveWriter::create(&path).unwrap();
    archive.add("data.pkl", &pickle.finish()).unwrap();
    archive.add("data/0", &numbers()).unwrap();
    archive.add("byteorder", b"little").unwrap();
    archive.finish().unwrap();
    path
}

fn read(path: &Path) -> Result<Weights, FileError> {
    read_weights(path, true, &Limits::default())
}

#[test]
fn a_state_dict_has_views_of_its_storages() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), |p| {
        p.dict().str("epoch").int(3).str("model").dict();
        p.str("a").tensor(&parts(&[2, 3], &[3, 1], 0)).unwrap();
        p.str("t").tensor(&parts(&[3, 2], &[1, 3], 0)).unwrap();
        p.str("row").tensor(&parts(&[2], &[1], 3)).unwrap();
        p.str("same").tensor(&parts(&[4, 5], &[0, 0], 2)).unwrap();
        p.end_dict().end_dict();
    });
    let weights = read(&path).unwrap();
    assert_eq!(weights.found_in.as_deref(), Some("model"));
    let names: Vec<_> = weights.tensors.iter().map(|w| &*w.name).collect();
    assert_eq!(names, ["a", "t", "row", "same"]);
    let mut budget = Budget::new(&Limits::default());
    let mut get = |name: &str| floats(&weights.get(name).unwrap().view.bytes(&mut budget).unwrap());
    assert_eq!(get("a"), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(get("t"), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(get("row"), [3., 4.]);
    let same = weights.get("same").unwrap().view.tensor(&mut budget).unwrap();
    assert!(matches!(&same.storage, Storage::Splat(b) if floats(b) == [2.]));
    let (a, row) = (&weights.tensors[0].view, &weights.tensors[2].view);
    let begin = a.bytes(&mut budget).unwrap().as_ptr() as usize;
    assert_eq!(row.bytes(&mut budget).unwrap().as_ptr() as usize, begin + 12);
}

#[test]
fn views_outside_of_a_storage_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (sizes, strides, offset) in [
        (&[2u64, 3][..], &[3i64, 1][..], 1),
        (&[7], &[1], 0),
        (&[2], &[6], 0),
        (&[2], &[-1], 3),
        (&[u64::MAX >> 1, 2], &[0, 0], 0),
        (&[u64::MAX >> 1, 0, 4], &[1, 1, 1], 0),
        (&[1], &[1], 1 << 62),
    ] {
        let path = save(folder.path(), |p| {
            p.dict().str("x").tensor(&parts(sizes, strides, offset)).unwrap();
            p.end_dict();
        });
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{sizes:?} {strides:?} {offset}");
        assert!(error.place.contains("m.pt: x"), "{error}");
    }
}

#[test]
fn layouts_that_repeat_elements_are_bounded() {
    let view = View::strided(DType::U8, vec![1 << 20, 2], vec![0, 1], 0, Bytes::from_static(b"ab"));
    let view = view.unwrap();
    let limits = Limits { expanded_bytes: 3 << 20, ..Limits::default() };
    let mut budget = Budget::new(&limits);
    assert_eq!(view.bytes(&mut budget).unwrap()[..4], *b"abab");
    assert_eq!(view.bytes(&mut budget).unwrap_err().kind, ErrorKind::Limit);
}

/// A file as PyTorch 1.5 wrote it, with one storage and a part of it.
fn legacy() -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    let mut system = PickleWriter::new();
    system.dict().str("little_endian").bool(true).end_dict();
    file.extend(system.finish());
    let mut content = PickleWriter::new();
    content.dict().str("w").tensor(&parts(&[3], &[2], 1)).unwrap();
    content.end_dict();
    file.extend(content.finish());
    let mut keys = PickleWriter::new();
    keys.list().str("0").end_list();
    file.extend(keys.finish());
    file.extend(6u64.to_le_bytes());
    file.extend(numbers());
    file
}

#[test]
fn old_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.pth");
    fs::write(&path, legacy()).unwrap();
    let weights = read(&path).unwrap();
    let bytes = weights.get("w").unwrap().view.bytes(&mut Budget::new(&Limits::default()));
    assert_eq!(floats(&bytes.unwrap()), [1., 3., 5.]);
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

#[test]
fn safetensors_and_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let header = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "a":{"dtype":"U8","shape":[2],"data_offsets":[24,26]}}"#;
    let mut data = numbers();
    data.extend([8, 9]);
    fs::write(folder.path().join("x.safetensors"), safetensors(header, &data)).unwrap();
    let index = folder.path().join("x.safetensors.index.json");
    let text = r#"{"weight_map":{"b":"x.safetensors","a":"x.safetensors"}}"#;
    fs::write(&index, text).unwrap();
    for path in [folder.path().join("x.safetensors"), index.clone()] {
        let weights = read(&path).unwrap();
        let names: Vec<_> = weights.tensors.iter().map(|w| &*w.name).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(weights.metadata, [("format".to_owned(), "pt".to_owned())]);
        let view = &weights.tensors[1].view;
        assert_eq!(view.bytes(&mut Budget::new(&Limits::default())).unwrap()[..], [8, 9]);
    }
    for file in ["../x.safetensors", "", "x.safetensors.index.json"] {
        fs::write(&index, format!(r#"{{"weight_map":{{"b":"{file}"}}}}"#)).unwrap();
        assert!(read(&index).is_err(), "{file}");
    }
    fs::write(&index, r#"{"weight_map":{"c":"x.safetensors"}}"#).unwrap();
    assert!(read(&index).unwrap_err().message.contains("`c`"));
}

/// A GGUF file: a text and a list, and a plain tensor and one of blocks.
fn gguf() -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    out.extend(b"GGUF");
    out.extend(3u32.to_le_bytes());
    out.extend([2u64, 2].map(u64::to_le_bytes).concat());
    text(&mut out, "general.architecture");
    out.extend(8u32.to_le_bytes());
    text(&mut out, "llama");
    text(&mut out, "scales");
    out.extend([9u32, 6].map(u32::to_le_bytes).concat());
    out.extend(9u64.to_le_bytes());
    out.extend((0..9).flat_map(|i| (i as f32).to_le_bytes()));
    for (name, sizes, kind, offset) in
        [("plain", &[3u64, 2][..], 0u32, 0u64), ("blocks", &[64], 8, 32)]
    {
        text(&mut out, name);
        out.extend((sizes.len() as u32).to_le_bytes());
        out.extend(sizes.iter().flat_map(|s| s.to_le_bytes()));
        out.extend(kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
    out.extend([0; 8]);
    for scale in [0x3800u16, 0xc000] {
        // 0.5 and -2
        out.extend(scale.to_le_bytes());
        out.extend((0..32).map(|i| (i - 16) as i8 as u8));
    }
    out
}

#[test]
fn gguf_blocks_are_decoded_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.gguf");
    fs::write(&path, gguf()).unwrap();
    let weights = read_weights(&path, true, &Limits::default()).unwrap();
    assert_eq!(weights.metadata[0], ("general.architecture".to_owned(), "llama".to_owned()));
    assert_eq!(weights.metadata[1].1, "[0, 1, 2, 3, 4, 5, 6, 7, ... 9 in all]");
    assert_eq!(weights.decoded, [("blocks".to_owned(), "Q8_0".to_owned())]);
    let floats = |name: &str| {
        let view = &weights.get(name).unwrap().view;
        let tensor = view.tensor(&mut Budget::new(&Limits::default())).unwrap();
        (tensor.dims.clone(), tensor.to_array().unwrap().to_f64s().unwrap())
    };
    assert_eq!(floats("plain"), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    let (sizes, blocks) = floats("blocks");
    assert_eq!(sizes, [64]);
    assert_eq!([blocks[0], blocks[31], blocks[32], blocks[63]], [-8.0, 7.5, 32.0, -30.0]);

    let cut = &gguf()[..gguf().len() - 1];
    fs::write(&path, cut).unwrap();
    let error = read_weights(&path, true, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("blocks: its elements are not all in the file"), "{error}");
    fs::write(&path, gguf()).unwrap();
    let tight = Limits { expanded_bytes: 255, ..Limits::default() };
    assert_eq!(read_weights(&path, true, &tight).unwrap_err().kind, ErrorKind::Limit);
}

#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let state = fs::read(save(folder.path(), |p| {
        p.dict().str("a").tensor(&parts(&[2, 3], &[3, 1], 0)).unwrap();
        p.end_dict();
    }));
    let header = r#"{"b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
    let whole = [state.unwrap(), legacy(), safetensors(header, &numbers()), gguf()];
    let path = folder.path().join("damaged");
    let mut random = crate::common::rng::Rng::new(3);
    for file in &whole {
        for _ in 0..700 {
            fs::write(&path, random.damage(file)).unwrap();
            if let Ok(weights) = read_weights(&path, false, &Limits::default()) {
                for weight in weights.tensors {
                    let limits = Limits { expanded_bytes: 1 << 20, ..Limits::default() };
                    let _ = weight.view.tensor(&mut Budget::new(&limits));
                }
            }
        }
    }
}

#[test]
fn names_that_repeat_a_long_key_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), |p| {
        p.dict().str(&"k".repeat(1 << 20)).list();
        for i in 0..80 {
            p.int(i);
        }
        p.end_list().end_dict();
    });
    let error = read(&path).unwrap_err();
    assert!(error.message.contains("names"), "{error}");
}

#[test]
fn tensors_of_one_name_that_differ_are_refused() {
    use airconv_api::Report;
    use airconv_ir::array::Array;
    use airconv_ir::builder::Builder;
    use airconv_ir::entity::OriginId;
    use airconv_ir::module::{Function, Module};

    let refused = |numbers: [f32; 2]| {
        let mut module = Module::default();
        let func = module.functions.push(Function::new("main"));
        module.entry = func;
        let region = module.functions[func].body;
        for number in numbers {
            let array = Array::from_vec(vec![1], vec![number]).unwrap();
            let mut b = Builder::new(&mut module, func, region, OriginId(0));
            let value = b.constant(&array).unwrap();
            b.name(value, "w");
        }
        let mut report = Report::default();
        let named = writer::named_tensors(&module, &mut report).len();
        assert_eq!(named, 1);
        report.has_errors()
    };
    assert!(!refused([1.0, 1.0]));
    assert!(refused([1.0, 2.0]));
}
