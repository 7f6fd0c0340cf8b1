use std::path::{Path, PathBuf};

use airconv_api::{Failed, Limits, ReadOptions, Reader, Report};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::types::Type;

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
    archive_of(folder, source, 10)
}

/// An archive of a version of the format, traced with one input `f32[2, 3]`.
pub(crate) fn archive_of(folder: &Path, source: &str, version: u64) -> PathBuf {
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
    out.add("version", format!("{version}\n").as_bytes()).unwrap();
    let mut traced = PickleWriter::new();
    traced.dict().str("forward").list();
    traced.tensor(&parts("0", &[2, 3], &[3, 1], 0)).unwrap().end_list().end_dict();
    out.add("traced_inputs.pkl", &traced.finish()).unwrap();
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

/// A program of one input that gives what `forward` returns.
fn net(body: &str) -> String {
    let head = SOURCE.split("    return").next().unwrap();
    format!("{head}    return {body}\n")
}

fn read(path: &Path) -> (Result<Module, Failed>, Report) {
    let mut report = Report::default();
    let module = ScriptReader.read(path, &ReadOptions::default(), &mut report);
    (module, report)
}

#[test]
fn inputs_without_a_type_have_that_of_the_trace() {
    let folder = tempfile::tempdir().unwrap();
    let body = "torch.add(x, torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=None))";
    let (module, report) = read(&archive(folder.path(), &net(body)));
    let module = module.unwrap();
    let f = module.main();
    assert_eq!(*f.ty(f.body().params[0]), Type::tensor(DType::F32, [2.into(), 3.into()]));
    let said = format!("{:?}", report.diagnostics);
    assert!(said.contains("x=f32[2, 3]") && said.contains("--input-type"), "{said}");
    assert_eq!(run(module, [0.5; 6]), [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]);
}

/// What a program gives for `x`.
fn run(module: Module, x: [f32; 6]) -> Vec<f64> {
    let x = Array::from_vec(vec![2, 3], x.to_vec()).unwrap();
    let inputs = [("x".to_owned(), Datum::from(x))].into();
    let got = Interpreter::new(module, EvalLimits::default()).run(&inputs).unwrap();
    got[0].1.as_array().unwrap().to_f64s().unwrap()
}

/// What a program of these lines gives for 0, 1 ... 5, or what is said of it.
fn given(lines: &str) -> Result<Vec<f64>, String> {
    let folder = tempfile::tempdir().unwrap();
    let head = SOURCE.split("    return").next().unwrap();
    let lines: String = lines.lines().map(|l| format!("    {}\n", l.trim())).collect();
    let (module, report) = read(&archive(folder.path(), &format!("{head}{lines}")));
    match module {
        Ok(module) => Ok(run(module, [0., 1., 2., 3., 4., 5.])),
        Err(_) => Err(format!("{:?}", report.diagnostics)),
    }
}

#[test]
fn a_copy_is_not_written_to() {
    for copied in ["torch.to(x, 7)", "torch.to(x, 6, False, True)"] {
        let after = format!("y = {copied}\n_0 = torch.add_(x, 1)\nreturn y");
        assert_eq!(given(&after).unwrap(), [0., 1., 2., 3., 4., 5.], "{copied}");
        let through = format!("y = {copied}\n_0 = torch.add_(y, 1)\nreturn x");
        assert_eq!(given(&through).unwrap(), [0., 1., 2., 3., 4., 5.], "{copied}");
    }
}

/// Numbers of PyTorch 2.13, of which those that round before scaling miss some by a bit.
#[test]
fn normalizations_of_half_precision_round_once() {
    let shifted = [-0.58251953125, -0.345458984375, 7.2265625, -0.75341796875, 0.2071533203125];
    let shifted: Vec<f64> = shifted.into_iter().chain([6.73046875]).collect();
    let scaled = [0., 0.79833984375, 8.234375, 0.452392578125, 1.6982421875, 6.83984375].to_vec();
    for (call, want) in [
        ("layer_norm(h, [3], w, b, 1e-5)", &shifted),
        ("group_norm(h, 1, w, b, 1e-5)", &shifted),
        ("rms_norm(h, [3], w, 1e-5)", &scaled),
    ] {
        let lines = format!(
            "q = torch.mul(x, x)
             h = torch.to(torch.mul(q, 0.7), 5)
             w = torch.to(torch.add(torch.select(q, 0, 0), 0.9), 5)
             b = torch.to(torch.mul(torch.select(x, 0, 1), 0.1), 5)
             return torch.to(torch.{call}, 6)"
        );
        assert_eq!(&given(&lines).unwrap(), want, "{call}");
    }
}

#[test]
fn what_is_a_view_for_certain_is_written_to() {
    let rows = "torch.slice(torch.mul(x, 1), 0, 0, 2)";
    for viewed in ["torch.reshape(b, [-1])", "torch.contiguous(b)", "torch.to(b, 6)"] {
        let after = format!("b = {rows}\ny = {viewed}\n_0 = torch.add_(b, 1)\nreturn y");
        assert_eq!(given(&after).unwrap(), [1., 2., 3., 4., 5., 6.], "{viewed}");
        let through = format!("b = {rows}\ny = {viewed}\n_0 = torch.add_(y, 1)\nreturn b");
        assert_eq!(given(&through).unwrap(), [1., 2., 3., 4., 5., 6.], "{viewed}");
    }
}

#[test]
fn an_operand_that_is_given_back_is_written_to_though_the_schema_does_not_say_so() {
    for same in [
        "torch.dropout(b, 0.5, False)",
        "torch.dropout(b, 0., True)",
        "torch.alpha_dropout(b, 0.5, False)",
        "torch.feature_dropout(b, 0.5, False)",
        "torch.feature_alpha_dropout(b, 0.5, False)",
        "torch.type_as(b, x)",
        "torch.sum_to_size(b, [2, 3])",
        "torch.atleast_2d(b)",
        "torch.atleast_3d(b)",
        "torch._cast_Float(b)",
        "torch.reshape(torch.cartesian_prod([torch.ravel(b)]), [2, 3])",
    ] {
        for (to, of) in [("b", "y"), ("y", "b")] {
            let lines = format!("b = torch.mul(x, 1)\ny = {same}\n_0 = torch.add_({to}, 1)");
            let got = given(&format!("{lines}\nreturn {of}"));
            assert_eq!(got.unwrap(), [1., 2., 3., 4., 5., 6.], "{same}");
        }
    }
    let chunk = "a, c = torch.unsafe_chunk(b, 2, 0)\n_0 = torch.add_(c, 1)";
    let got = given(&format!("b = torch.mul(x, 1)\n{chunk}\nreturn b"));
    assert_eq!(got.unwrap(), [0., 1., 2., 4., 5., 6.]);
    for copied in [
        "torch.dropout(b, 1., True)",
        "torch.type_as(b, torch.full([1], 1, dtype=4))",
        "torch._cast_Int(b)",
        "torch.cartesian_prod([torch.select(b, 0, 0), torch.select(b, 0, 1)])",
    ] {
        let lines = format!("b = torch.mul(x, 1)\ny = {copied}\n_0 = torch.add_(y, 1)");
        let got = given(&format!("{lines}\nreturn b"));
        assert_eq!(got.unwrap(), [0., 1., 2., 3., 4., 5.], "{copied}");
    }
}

#[test]
fn dropout_and_type_as_have_the_numbers_of_pytorch() {
    for (body, want) in [
        ("torch.dropout(x, 0.5, False)", [0., 1., 2., 3., 4., 5.]),
        ("torch.dropout(x, 0., True)", [0., 1., 2., 3., 4., 5.]),
        ("torch.dropout(x, 1., True)", [0.; 6]),
        (
            "torch.div(torch.type_as(torch.mul(x, 0.7), torch.full([1], 1, dtype=4)), 2)",
            [0., 0., 0.5, 1., 1., 1.5],
        ),
        (
            "torch.mul(torch.type_as(x, torch.full([1], True, dtype=11)), 1.)",
            [0., 1., 1., 1., 1., 1.],
        ),
    ] {
        assert_eq!(given(&format!("return {body}")).unwrap(), want, "{body}");
    }
    // Each element that is left is doubled, and the others are zero.
    let drawn = given("return torch.dropout(torch.add(torch.zeros_like(x), 1), 0.5, True)");
    assert!(drawn.unwrap().iter().all(|v| *v == 0. || *v == 2.));
}

#[test]
fn what_may_be_a_view_has_no_contents_after_a_write() {
    for base in ["torch.t(x)", "torch.slice(x, 1, 0, 2)", "torch.einsum(\"ij->ji\", [x])"] {
        for viewed in ["torch.reshape(b, [-1])", "torch.flatten(b)", "torch.resolve_conj(b)"] {
            let made = format!("b = {base}\ny = {viewed}");
            for (to, of) in [("b", "y"), ("y", "b"), ("y", "torch.mul(b, 2)")] {
                let said = given(&format!("{made}\n_0 = torch.add_({to}, 1)\nreturn {of}"));
                assert!(said.as_ref().is_err_and(|e| e.contains("a copy or a view")), "{said:?}");
            }
            let written = given(&format!("{made}\n_0 = torch.add_(y, 1)\nreturn y"));
            assert_eq!(written.unwrap().iter().min_by(|a, b| a.total_cmp(b)), Some(&1.0));
        }
    }
}

#[test]
fn operators_without_a_rule_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let body = "torch.add(torch.special_airy_ai(x), torch.linalg_eigvals(torch.relu(x)))";
    let (module, report) = read(&archive(folder.path(), &net(body)));
    assert_eq!(module.unwrap_err(), Failed::Unsupported);
    let said = format!("{:?}", report.diagnostics);
    assert!(said.contains("aten.linalg_eigvals, aten.special_airy_ai"), "{said}");
    assert!(!said.contains("relu"), "{said}");
}

#[test]
fn newer_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&archive_of(folder.path(), SOURCE, 11)).unwrap_err();
    assert!(error.message.contains("version 11"), "{error}");
}

#[test]
fn floor_division_is_that_of_pytorch() {
    let infinite = "torch.reciprocal(torch.full([1], 0.))";
    let lowest = format!("torch.neg({infinite})");
    let cases: [(&str, &str, [f64; 6]); 4] = [
        ("x", infinite, [0., 0., 0., 0., 0., 0.]),
        ("torch.neg(x)", infinite, [-0., -1., -1., -1., -1., -1.]),
        ("x", &lowest, [-0., -1., -1., -1., -1., -1.]),
        ("x", "torch.full([1], -2.)", [-0., -1., -1., -2., -2., -3.]),
    ];
    for (a, b, want) in cases {
        let got = given(&format!("return torch.floor_divide({a}, {b})")).unwrap();
        assert_eq!(bits(&got), bits(&want), "{a} // {b}: {got:?}");
    }
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn ranges_of_integers_have_a_start_and_a_step_without_fraction() {
    // The numbers of the dtypes are 3 for i32 and 4 for i64.
    let cases: [(&str, &[f64]); 5] = [
        ("0, 6, 1.5, dtype=3", &[0., 1., 2., 3.]),
        ("0.5, 5.5, 1.5, dtype=4", &[0., 1., 2., 3., 4.]),
        ("0.5, 5.5, 1.5, dtype=3", &[0., 1., 2., 3.]),
        ("5.5, 0.5, -2.5, dtype=4", &[5., 3., 1.]),
        ("5.5, dtype=4", &[0., 1., 2., 3., 4.]),
    ];
    for (bounds, want) in cases {
        let got = given(&format!("return torch.arange({bounds})"));
        assert_eq!(got.unwrap(), want, "{bounds}");
    }
}

#[test]
fn an_integer_that_is_rounded_is_a_float() {
    let rounded = given("return torch.div(torch.full([1], torch.round(7)), 2)");
    assert_eq!(rounded.unwrap(), [3.5]);
    let whole = given("return torch.full([1], torch.round(3))");
    assert_eq!(whole.unwrap(), [3.0]);
}

#[test]
fn sizes_that_cannot_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (body, why) in [
        ("torch.cat(torch.split_with_sizes(x, [1, 5], 1))", "parts of 6 elements of an axis of 3"),
        ("torch.cat(torch.split_with_sizes(x, [4, -1], 1))", "a part of a negative size"),
        ("torch.zeros([2, -7], dtype=6)", "-7"),
    ] {
        let (module, report) = read(&archive(folder.path(), &net(body)));
        assert_eq!(module.unwrap_err(), Failed::Malformed, "{body}");
        let said = format!("{:?}", report.diagnostics);
        assert!(said.contains(why), "{body}: {said}");
    }
}
