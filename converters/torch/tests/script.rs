//! TorchScript there and back: a program is written as an archive, read again, and gives what
//! PyTorch gave for the program that it came from.

#[path = "common/judge.rs"]
mod judge;

use std::io::Read;
use std::path::Path;

use airconv_api::{ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_torch::{Pt2Reader, Pt2Writer, ScriptReader, ScriptWriter};

/// Programs of `data/` that TorchScript can say.
const PROGRAMS: &[&str] = &["conv_net", "transformer", "lstm", "sizes", "shared", "control_flow"];

/// The types of the inputs as the reader takes them.
fn input_types(module: &Module) -> Vec<(String, String)> {
    let f = module.main();
    let given = f.inputs.iter().zip(&f.body().params);
    let users = given.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    users
        .map(|(input, &value)| {
            let Type::Tensor(ty) = f.ty(value) else { panic!("{} is no tensor", input.name) };
            let dims: Vec<String> = ty.shape.iter().map(|d| f.dim_text(d)).collect();
            (input.name.clone(), format!("{}[{}]", ty.dtype, dims.join(", ")))
        })
        .collect()
}

#[test]
fn programs_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.pt2"));
        let mut report = Report::default();
        let module = Pt2Reader.read(&path, &ReadOptions::default(), &mut report).unwrap();
        let archive = folder.path().join(format!("{name}.pt"));
        let verified = verify(&module, Stage::Canonical).unwrap();
        let written =
            ScriptWriter.write(&verified, &archive, &WriteOptions::default(), &mut report);
        assert!(written.is_ok(), "{name}: {}", judge::messages(&report));
        let options = ReadOptions { inputs: input_types(&module), ..Default::default() };
        let again = ScriptReader.read(&archive, &options, &mut report);
        let again = again.unwrap_or_else(|_| panic!("{name}: {}", judge::messages(&report)));
        let members = judge::reference(&path).unwrap();
        match judge::run(&again, members, 1e-4, 1e-5) {
            Ok(_) => {}
            Err(judge::Verdict::Wrong(why)) => panic!("{name}: {why}"),
            Err(_) => panic!("{name} did not run"),
        }
    }
}

#[test]
fn input_types_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conv_net.pt2");
    let mut report = Report::default();
    let module = Pt2Reader.read(&path, &ReadOptions::default(), &mut report).unwrap();
    let archive = folder.path().join("net.pt");
    let verified = verify(&module, Stage::Canonical).unwrap();
    ScriptWriter.write(&verified, &archive, &WriteOptions::default(), &mut report).unwrap();
    assert!(ScriptReader.read(&archive, &ReadOptions::default(), &mut report).is_err());
    assert!(judge::messages(&report).contains("--input-type"), "{}", judge::messages(&report));
}

/// A program of two states: the first one becomes the input, the second one the first. It gives
/// the sum of both as it was, what the first one was, and the transpose of what the second was.
fn shift_register() -> Module {
    let mut module = Module::default();
    let func = module.functions.push(Function::new("forward"));
    module.entry = func;
    let ty = Type::tensor(DType::F32, [2.into(), 2.into()]);
    let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
    let x = module.functions[func].add_input("x", ty.clone(), role);
    let states = ["first", "second"].map(|name| {
        let zeros = Array::from_vec(vec![2, 2], vec![0f32; 4]).unwrap();
        let zeros = Tensor::from_array(&zeros).unwrap();
        let role = InputRole::State(Some(module.tensors.push(zeros)));
        module.functions[func].add_input(name, ty.clone(), role)
    });
    let [first, second] = states;
    let region = module.functions[func].body;
    let mut b = Builder::new(&mut module, func, region, OriginId(0));
    let sum = b.add(first, second).unwrap();
    let turned = b.transpose(second, &[1, 0]).unwrap();
    let f = &mut module.functions[func];
    for (name, value) in [("sum", sum), ("first.old", first), ("turned", turned)] {
        f.add_output(name, value, OutputRole::User(ArgKindRole::Tensor));
    }
    f.add_output("first.new", x, OutputRole::StateUpdate("first".to_owned()));
    f.add_output("second.new", first, OutputRole::StateUpdate("second".to_owned()));
    module
}

#[test]
fn outputs_are_not_what_a_change_makes_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let module = shift_register();
    let archive = folder.path().join("shift.pt");
    let mut report = Report::default();
    let verified = verify(&module, Stage::Canonical).unwrap();
    ScriptWriter.write(&verified, &archive, &WriteOptions::default(), &mut report).unwrap();
    let options = ReadOptions { inputs: input_types(&module), ..Default::default() };
    let again = ScriptReader.read(&archive, &options, &mut report);
    let again = again.unwrap_or_else(|_| panic!("{}", judge::messages(&report)));
    let array = |from: f32| Array::from_vec(vec![2, 2], (0..4).map(|i| from + i as f32).collect());
    let given = [("x", 1.0), ("first", 10.0), ("second", 20.0)];
    let inputs = given.map(|(name, v)| (name.to_owned(), Datum::from(array(v).unwrap())));
    let inputs = inputs.into_iter().collect();
    let results = |module: Module| {
        let given = Interpreter::new(module, EvalLimits::default()).run(&inputs).unwrap();
        let numbers = |d: &Datum| d.as_array().unwrap().to_f64s().unwrap();
        given.iter().map(|(_, datum)| numbers(datum)).collect::<Vec<_>>()
    };
    let want = results(module);
    assert_eq!(want[1], [10.0, 11.0, 12.0, 13.0]);
    assert_eq!(want[3], [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(results(again), want);
}

#[test]
fn states_that_are_equal_at_first_have_memory_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let module = shift_register();
    let verified = verify(&module, Stage::Canonical).unwrap();
    let mut report = Report::default();
    let entries = |path: &Path, part: &str| {
        let zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        zip.file_names().filter(|n| n.as_ref().is_ok_and(|n| n.contains(part))).count()
    };
    let script = folder.path().join("shift.pt");
    ScriptWriter.write(&verified, &script, &WriteOptions::default(), &mut report).unwrap();
    assert_eq!(entries(&script, "/data/"), 2);
    let program = folder.path().join("shift.pt2");
    Pt2Writer.write(&verified, &program, &WriteOptions::default(), &mut report).unwrap();
    assert_eq!(entries(&program, "/data/weights/weight_"), 2);
    // PyTorch changes state in place before it gives the outputs.
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&program).unwrap()).unwrap();
    let mut text = String::new();
    let model =
        zip.file_names().map(|n| n.unwrap().into_owned()).find(|n| n.ends_with("model.json"));
    zip.by_name(&model.unwrap()).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("aten.clone.default").count(), 2, "{text}");
}
