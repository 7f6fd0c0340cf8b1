//! Written `.pt2` files: what is in them, and that they mean what the program means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use airconv_api::conformance::{OpCase, cases};
use airconv_api::{Failed, ReadOptions, Reader, Report, WriteOptions, Writer, compare};
use airconv_ir::array::Array;
use airconv_ir::attr::Float;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::interp::{EvalLimits, Interpreter};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::op::{Add, Constant, DimsOf, Gemm, NonMaxSuppression, Relu, Reshape, StringConcat};
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_torch::{Pt2Reader, Pt2Writer, ScriptWriter};
use serde_json::{Value, json};

fn write(module: &Module, path: &Path) -> Result<Report, Vec<String>> {
    let mut report = Report::default();
    let messages = |report: &Report| -> Vec<String> {
        report.diagnostics.iter().map(|d| d.message.clone()).collect()
    };
    let verified = verify(module, Stage::Imported).expect("the program is valid");
    match Pt2Writer.write(&verified, path, &WriteOptions::default(), &mut report) {
        Ok(()) => Ok(report),
        Err(Failed::Unsupported) => {
            assert!(!path.exists(), "a refused program leaves no file");
            Err(messages(&report))
        }
        Err(other) => panic!("{other:?}: {:?}", messages(&report)),
    }
}

/// The entries of a written archive.
fn entries(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let limits = airconv_api::Limits::default();
    let archive = airconv_torch::archive::Archive::open(path, false, &limits).unwrap();
    let names: Vec<String> = archive.entries().iter().map(|e| e.name.clone()).collect();
    names.into_iter().map(|n| (n.clone(), archive.get(&n).unwrap().to_vec())).collect()
}

fn program(path: &Path) -> Value {
    serde_json::from_slice(&entries(path)["models/model.json"]).unwrap()
}

/// A function of one input `x` and what `build` makes of it.
fn module(x: Type, build: impl FnOnce(&mut Builder<'_>, ValueId) -> ValueId) -> Module {
    let mut module = Module::default();
    let func = module.functions.push(Function::new("main"));
    module.entry = func;
    let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
    let f = &mut module.functions[func];
    let x = f.add_input("x", x, role);
    let body = f.body;
    let y = build(&mut Builder::new(&mut module, func, body, OriginId(0)), x);
    let role = OutputRole::User(ArgKindRole::Tensor);
    module.functions[func].add_output("y", y, role);
    module
}

fn constant(b: &mut Builder<'_>, name: &str, dims: &[u64], values: &[f32]) -> ValueId {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensor = Tensor::from_bytes(DType::F32, dims.to_vec(), bytes.into()).unwrap();
    let tensor = b.add_tensor(tensor);
    let value = b.emit(Constant { tensor }, &[]).unwrap();
    b.name(value, name);
    value
}

/// A layer of a dynamic batch.
fn layer() -> Module {
    let mut module = module(Type::tensor(DType::F32, [Dim::Known(1), Dim::Known(3)]), |_, x| x);
    let func = module.entry;
    let f = &mut module.functions[func];
    let batch = f.add_symbol("batch", Range::new(Some(1), Some(64)), None);
    let (x, body) = (f.body().params[0], f.body);
    f.values[x].ty = Type::tensor(DType::F32, [Dim::symbol(batch), Dim::Known(3)]);
    let mut b = Builder::new(&mut module, func, body, OriginId(0));
    let weights: Vec<f32> = (0..18).map(|v| v as f32 / 4.0).collect();
    let w = constant(&mut b, "layer.weight", &[6, 3], &weights);
    let c = constant(&mut b, "layer.bias", &[6], &[0.5, -0.5, 1.0, 2.0, 3.0, 4.0]);
    let one = Float(1.0);
    let gemm = Gemm { alpha: one, beta: one, trans_a: false, trans_b: true };
    let y = b.emit_opt(gemm, &[Some(x), Some(w), Some(c)]).unwrap();
    let y = b.emit(Relu {}, &[y]).unwrap();
    let dims = vec![&Dim::symbol(batch) * 2, Dim::Known(3)];
    let y = b.emit(Reshape { dims }, &[y]).unwrap();
    let f = &mut module.functions[func];
    f.regions[body].results = vec![y];
    module
}

#[test]
fn a_layer_is_written_as_pytorch_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.pt2");
    write(&layer(), &path).unwrap();
    let program = program(&path);
    let graph = &program["graph_module"]["graph"];
    let batch = "Symbol('s_batch', positive=True, integer=True)";
    let linear = json!({
        "target": "torch.ops.aten.linear.default",
        "inputs": [
            {"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
            {"name": "weight", "arg": {"as_tensor": {"name": "p_layer_weight"}}, "kind": 1},
            {"name": "bias", "arg": {"as_tensor": {"name": "c_layer_bias"}}, "kind": 1},
        ],
        "outputs": [{"as_tensor": {"name": "linear"}}],
        "metadata": {}, "is_hop_single_tensor_return": null, "name": "linear",
    });
    assert_eq!(graph["nodes"][0], linear);
    let targets: Vec<&str> =
        graph["nodes"].as_array().unwrap().iter().filter_map(|n| n["target"].as_str()).collect();
    let wanted = [
        "torch.ops.aten.linear.default",
        "torch.ops.aten.relu.default",
        "torch.ops.aten.reshape.default",
    ];
    assert_eq!(targets, wanted);
    assert_eq!(
        graph["tensor_values"]["x"]["sizes"],
        json!([{"as_expr": {"expr_str": batch, "hint": {"as_int": 7}}}, {"as_int": 3}])
    );
    assert_eq!(
        graph["tensor_values"]["y"]["sizes"][0]["as_expr"],
        json!({"expr_str": format!("Mul(Integer(2), {batch})"), "hint": {"as_int": 14}})
    );
    assert_eq!(program["range_constraints"], json!({"s_batch": {"min_val": 1, "max_val": 64}}));
    assert_eq!(program["schema_version"], json!({"major": 8, "minor": 20}));
    let entries = entries(&path);
    assert_eq!(entries["data/weights/weight_0"].len(), 72);
    assert_eq!(entries["data/constants/tensor_0"].len(), 24);
    assert_eq!(entries[".data/version"], b"6\n");
    assert!(entries.contains_key("data/sample_inputs/model.pt"), "PyTorch asks for it");
}

#[test]
fn a_check_of_sizes_that_is_not_written_stands_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let checked = module(Type::tensor(DType::I64, [Dim::Known(2)]), |b, x| {
        let dims = vec![Dim::Known(3), Dim::Known(4)];
        b.node(DimsOf { dims }, &[Some(x)]).unwrap();
        b.emit(Add {}, &[x, x]).unwrap()
    });
    let report = write(&checked, &folder.path().join("checked.pt2")).unwrap();
    let entry = report.ledger.entries.iter().find(|e| e.name == "sizes-unchecked").unwrap();
    assert!(entry.message.contains("3, 4"), "{}", entry.message);
}

/// The boxes that are kept of `f32[1, 4, 4]` with scores of classes, and perhaps a least score.
fn suppressed(classes: u64, by_center: bool, least: Option<f32>) -> Module {
    let boxes = Type::tensor(DType::F32, [1, 4, 4].map(Dim::Known));
    module(boxes, |b, x| {
        let scores: Vec<f32> = (0..4 * classes).map(|i| (i * 7 % 5) as f32 / 5.0).collect();
        let scores = constant(b, "scores", &[1, classes, 4], &scores);
        let most = b.scalar_int(DType::I64, i64::MAX).unwrap();
        let threshold = b.scalar(DType::F32, 0.5).unwrap();
        let least = least.map(|v| b.scalar(DType::F32, f64::from(v)).unwrap());
        let op = NonMaxSuppression { center_point_box: by_center };
        b.emit_opt(op, &[Some(x), Some(scores), Some(most), Some(threshold), least]).unwrap()
    })
}

/// Four boxes, of which three overlap; the corners of the third are the upper one first.
const BOXES: [f32; 16] =
    [0.0, 0.0, 4.0, 4.0, 0.5, 0.0, 4.5, 4.0, 4.0, 4.2, 0.0, 0.2, 8.0, 8.0, 2.0, 3.0];

fn kept(module: &Module) -> Vec<i64> {
    let boxes = Array::from_vec(vec![1, 4, 4], BOXES.to_vec()).unwrap();
    let mut interpreter = Interpreter::new(module.clone(), EvalLimits::default());
    let out = interpreter.run(&BTreeMap::from([("x".to_owned(), boxes.into())])).unwrap();
    out[0].1.as_array().and_then(|a| a.to_i64s()).unwrap()
}

#[test]
fn boxes_are_suppressed_by_torchvision() {
    let folder = tempfile::tempdir().unwrap();
    for by_center in [false, true] {
        let module = suppressed(1, by_center, None);
        let path = folder.path().join("boxes.pt2");
        let report = write(&module, &path).unwrap();
        assert!(report.ledger.entries.iter().any(|e| e.name == "torchvision"));
        let nodes = program(&path)["graph_module"]["graph"]["nodes"].clone();
        let calls = nodes.as_array().unwrap().iter();
        let calls: Vec<_> =
            calls.filter(|n| n["target"] == "torch.ops.torchvision.nms.default").collect();
        assert_eq!(calls.len(), 1);
        let read = Pt2Reader.read(&path, &ReadOptions::default(), &mut Report::default()).unwrap();
        let found = kept(&module);
        assert!(!found.is_empty() && found.len() < 12, "{found:?}");
        assert_eq!(kept(&read), found);
        let script = folder.path().join("boxes.pt");
        let verified = verify(&module, Stage::Imported).unwrap();
        let options = WriteOptions::default();
        ScriptWriter.write(&verified, &script, &options, &mut Report::default()).unwrap();
        let code = String::from_utf8(entries(&script)["code/__torch__.py"].clone()).unwrap();
        assert!(code.contains("ops.torchvision.nms("), "{code}");
    }
    let path = folder.path().join("refused.pt2");
    for (module, why) in [
        (suppressed(2, false, None), "one class"),
        (suppressed(1, false, Some(0.1)), "no least score"),
    ] {
        let refused = write(&module, &path).unwrap_err();
        assert!(refused.iter().any(|m| m.contains(why)), "{refused:?}");
    }
}

#[test]
fn equal_weights_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tied.pt2");
    let ty = Type::tensor(DType::F32, [Dim::Known(4), Dim::Known(8)]);
    let values: Vec<f32> = (0..32).map(|v| v as f32).collect();
    let tied = module(ty, |b, x| {
        let first = constant(b, "encoder.weight", &[4, 8], &values);
        let second = constant(b, "decoder.weight", &[4, 8], &values);
        let y = b.emit(Add {}, &[x, first]).unwrap();
        b.emit(Add {}, &[y, second]).unwrap()
    });
    write(&tied, &path).unwrap();
    let entries = entries(&path);
    let records = entries.keys().filter(|n| n.starts_with("data/weights/weight_")).count();
    assert_eq!(records, 1);
    let config: Value =
        serde_json::from_slice(&entries["data/weights/model_weights_config.json"]).unwrap();
    for name in ["encoder.weight", "decoder.weight"] {
        assert_eq!(config["config"][name]["path_name"], "weight_0", "{name}");
        assert_eq!(config["config"][name]["is_param"], true);
    }
}

#[test]
fn what_cannot_be_written_is_named_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ty = Type::tensor(DType::String, [Dim::Known(2)]);
    let text = module(ty, |b, x| {
        let y = b.emit(StringConcat {}, &[x, x]).unwrap();
        b.emit(StringConcat {}, &[y, x]).unwrap()
    });
    let messages = write(&text, &folder.path().join("text.pt2")).unwrap_err();
    assert!(
        messages.iter().any(|m| m.contains("string_concat") && m.contains("2 times")),
        "{messages:?}"
    );
    let narrow =
        module(Type::tensor(DType::I4, [Dim::Known(2)]), |b, x| b.cast(x, DType::I8).unwrap());
    let messages = write(&narrow, &folder.path().join("narrow.pt2")).unwrap_err();
    assert!(messages.iter().any(|m| m.contains("PyTorch has no i4")), "{messages:?}");
}

/// Whether every name of a graph is defined before it is used, and every value has a type.
fn check_graph(graph: &Value, place: &str) {
    let mut known = BTreeSet::new();
    let mut define = |item: &Value| {
        for name in names(item) {
            let described =
                ["tensor_values", "sym_int_values"].iter().any(|t| !graph[*t][&name].is_null());
            assert!(described, "{place}: `{name}` has no type");
            assert!(known.insert(name.clone()), "{place}: `{name}` is defined twice");
        }
    };
    graph["inputs"].as_array().unwrap().iter().for_each(&mut define);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for item in graph["inputs"].as_array().unwrap() {
        seen.extend(names(item));
    }
    for node in graph["nodes"].as_array().unwrap() {
        for input in node["inputs"].as_array().unwrap() {
            match &input["arg"]["as_graph"] {
                Value::Null => {
                    for name in names(&input["arg"]) {
                        assert!(
                            seen.contains(&name),
                            "{place}: `{name}` is used before it is made"
                        );
                    }
                }
                nested => check_graph(&nested["graph"], place),
            }
        }
        for output in node["outputs"].as_array().unwrap() {
            define(output);
            seen.extend(names(output));
        }
    }
    for output in graph["outputs"].as_array().unwrap() {
        names(output).iter().for_each(|n| assert!(seen.contains(n), "{place}: output `{n}`"));
    }
}

/// The names in an argument.
fn names(arg: &Value) -> Vec<String> {
    match arg {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("name" | "as_name", Value::String(name)) => vec![name.clone()],
                ("as_string" | "as_strings", _) => Vec::new(),
                (_, value) => names(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// Runs what was read and compares with what the case has to give.
fn agrees(case: &OpCase, module: &Module) -> Result<(), String> {
    let mut interpreter = Interpreter::new(module.clone(), EvalLimits::default());
    let got = interpreter.run(&case.inputs).map_err(|e| e.to_string())?;
    for ((_, got), (name, want)) in got.iter().zip(&case.outputs) {
        let rtol = case.rtol.max(1e-5);
        if !compare::distance(got, want, rtol, rtol).agrees() {
            return Err(format!("`{name}` is {got:?}, not {want:?}"));
        }
    }
    Ok(())
}

#[test]
fn every_op_is_written_the_same_way_twice_and_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut written, mut read_back, mut failures) = (0, 0, Vec::new());
    for case in cases().unwrap() {
        let path = folder.path().join("case.pt2");
        match write(&case.module, &path) {
            Err(messages) => {
                assert!(!messages.is_empty(), "{} is refused without a reason", case.name);
                continue;
            }
            Ok(_) => written += 1,
        }
        let first = std::fs::read(&path).unwrap();
        check_graph(&program(&path)["graph_module"]["graph"], &case.name);
        write(&case.module, &path).unwrap();
        assert!(std::fs::read(&path).unwrap() == first, "{}: other bytes", case.name);
        let mut report = Report::default();
        if let Ok(module) = Pt2Reader.read(&path, &ReadOptions::default(), &mut report) {
            read_back += 1;
            if let Err(why) = agrees(&case, &module) {
                failures.push(format!("{}: {why}", case.name));
            }
        } else if report.diagnostics.iter().any(|d| !d.message.contains("cannot be read")) {
            let all: Vec<_> = report.diagnostics.iter().map(|d| d.message.clone()).collect();
            failures.push(format!("{}: {}", case.name, all.join("; ")));
        }
        std::fs::remove_file(&path).unwrap();
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(written > 200 && read_back > 60, "{written} written, {read_back} read back");
}
