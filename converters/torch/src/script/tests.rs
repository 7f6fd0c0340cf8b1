use std::path::{Path, PathBuf};

use airconv_api::Limits;
use airconv_ir::dtype::DType;

use super::*;
use crate::archive::ArchiveWriter;
use crate::error::FileError;
use crate::pickle::{PickleWriter, TensorParts};

const SOURCE: &str = r#"class Net(Module):
  __parameters__ = ["w", ]
  __buffers__ = ["b", ]
  training : bool
  w : Tensor
  b : Tensor
  tied : Tensor
  inner : __torch__.sub.Inner
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    return torch.linear(x, self.w, self.b)
"#;
const INNER: &str =
    "class Inner(Module):\n  sizes : List[int]\n  def f(self) -> int:\n    return 1\n";

fn parts<'a>(key: &'a str, sizes: &'a [u64], strides: &'a [i64], offset: u64) -> TensorParts<'a> {
    TensorParts { key, dtype: DType::F32, numel: 8, offset, sizes, strides, requires_grad: false }
}

pub(crate) fn archive(folder: &Path, source: &str) -> PathBuf {
    let mut data = PickleWriter::new();
    data.object("__torch__", "Net").dict().str("training").bool(false);
    data.str("w").tensor(&parts("0", &[2, 3], &[3, 1], 0)).unwrap();
    data.str("b").tensor(&parts("0", &[2], &[1], 6)).unwrap();
    data.str("tied").tensor(&parts("0", &[2, 3], &[3, 1], 0)).unwrap();
    data.str("inner").object("__torch__.sub", "Inner").dict();
    data.str("sizes").list().int(2).int(3).end_list().end_dict().end_object();
    data.end_dict().end_object();
    let mut constants = PickleWriter::new();
    constants.mark().tensor(&parts("0", &[], &[], 1)).unwrap();
    constants.tuple();
    let storage: Vec<u8> = (0..8).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let path = folder.join("net.pt");
    let mut out = ArchiveWriter::create(&path).unwrap();
    out.add("data.pkl", &data.finish()).unwrap();
    out.add("code/__torch__.py", source.as_bytes()).unwrap();
    out.add("code/__torch__/sub.py", INNER.as_bytes()).unwrap();
    out.add("data/0", &storage).unwrap();
    out.add("constants.pkl", &constants.finish()).unwrap();
    out.add("constants/0", &storage).unwrap();
    out.add("version", b"10\n").unwrap();
    out.finish().unwrap();
    path
}

fn open(path: &Path) -> Result<Script, FileError> {
    Script::open(path, true, &Limits::default())
}

#[test]
fn a_program_has_classes_objects_and_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let script = open(&archive(folder.path(), SOURCE)).unwrap();
    assert_eq!(script.version, 10);
    let net = script.module().unwrap();
    let (source, class) = script.class(&net.class).unwrap();
    assert_eq!((&*source.path, class.methods.len()), ("code/__torch__.py", 1));
    let names: Vec<_> = script.tensors.iter().map(|t| (&*t.name, t.role)).collect();
    let want = [("w", Role::Parameter), ("b", Role::Buffer), ("CONSTANTS.c0", Role::Constant)];
    assert_eq!(names, want);
    assert_eq!(net.get("tied"), net.get("w"));
    let Some(Value::Object(inner)) = net.get("inner") else { panic!("{net:?}") };
    let inner = script.object(*inner).unwrap();
    assert_eq!((&*inner.class, &*inner.path), ("__torch__.sub.Inner", "inner"));
    assert_eq!(inner.get("sizes"), Some(&Value::List(vec![Value::Int(2), Value::Int(3)])));
    assert!(script.class("__torch__.sub.Inner").is_some());
    assert_eq!(script.constants, [Value::Tensor(TensorId(2))]);
}

#[test]
fn errors_name_the_line_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&archive(folder.path(), "class Net(Module):\n  def\n")).unwrap_err();
    assert!(error.place.ends_with("net.pt: code/__torch__.py:2"), "{error}");
}
