//! Both executors against results that others gave, and against each other.

#[path = "../../torch/tests/common/judge.rs"]
mod judge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airconv_api::compare::distance;
use airconv_api::conformance::cases;
use airconv_api::{Executor, Failed, ReadOptions, Reader, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::op::Reshape;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_tch::{TchExecutor, TorchScriptExecutor};
use airconv_torch::Pt2Reader;

type Ran = Result<Vec<(String, Datum)>, (Failed, String)>;

fn executors() -> [&'static dyn Executor; 2] {
    [&TorchScriptExecutor, &TchExecutor]
}

fn run(executor: &dyn Executor, module: &Module, inputs: &BTreeMap<String, Datum>) -> Ran {
    let verified = verify(module, Stage::Imported).unwrap();
    let mut report = Report::default();
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    executor
        .run(&verified, inputs, &options, &mut report)
        .map_err(|failed| (failed, judge::messages(&report)))
}

fn program(name: &str) -> (PathBuf, Module) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../torch/tests/data");
    let path = data.join(format!("{name}.pt2"));
    let mut report = Report::default();
    let module = Pt2Reader.read(&path, &ReadOptions::default(), &mut report);
    (path, module.unwrap_or_else(|_| panic!("{name}: {}", judge::messages(&report))))
}

/// What neither executor runs: PyTorch hardly computes with wide unsigned integers, and tch has
/// no name for them.
const REFUSED: &[&str] = &["tch has no u", "PyTorch has no order of u64"];

#[test]
fn every_op_gives_what_it_has_to() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for case in cases().unwrap() {
        for executor in executors() {
            let said = match run(executor, &case.module, &case.inputs) {
                Ok(outputs) => {
                    let pairs = outputs.iter().zip(&case.outputs);
                    let differs = outputs.len() != case.outputs.len()
                        || pairs.clone().any(|((_, got), (_, want))| {
                            !distance(got, want, case.rtol.max(1e-6), case.rtol.max(1e-6)).agrees()
                        });
                    ran += usize::from(!differs);
                    if !differs {
                        continue;
                    }
                    let (got, want): (Vec<_>, Vec<_>) = pairs.unzip();
                    format!("{got:?} instead of {want:?}")
                }
                Err((Failed::Unsupported, why))
                    if REFUSED.iter().any(|part| why.contains(part)) =>
                {
                    continue;
                }
                Err((failed, why)) => format!("{failed:?}: {why}"),
            };
            wrong.push(format!("{} {}: {said}", executor.name(), case.name));
        }
    }
    assert!(wrong.is_empty(), "{} wrong, {ran} right:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ran > 640, "{ran}");
}

#[test]
fn programs_give_what_pytorch_gave() {
    let names = [
        "conv_net",
        "conv_net.core",
        "transformer",
        "transformer.core",
        "lstm",
        "sizes",
        "shared",
        "control_flow",
        "counter",
        "mapped",
        "nested",
        "training_step",
        "unbacked",
    ];
    for name in names {
        let (path, module) = program(name);
        for executor in executors() {
            let members = judge::reference(&path).unwrap();
            match judge::run_on(executor, &module, members, 1e-4, 1e-5) {
                Ok(_) => {}
                Err(judge::Verdict::Wrong(why)) => panic!("{name} on {}: {why}", executor.name()),
                Err(_) => panic!("{name} on {} did not run", executor.name()),
            }
        }
    }
}

/// What a program changes is among its outputs, and the weights in its module stay as they are.
#[test]
fn state_is_given_and_returned() {
    let (_, module) = program("counter");
    let names: Vec<&str> = module.main().outputs.iter().map(|o| o.name.as_str()).collect();
    let inputs = airconv_api::inputs::seeded(&module, 3, &BTreeMap::new()).unwrap();
    let expected = {
        use airconv_ir::interp::{EvalLimits, Interpreter};
        Interpreter::new(module.clone(), EvalLimits::default()).run(&inputs).unwrap()
    };
    for executor in executors() {
        for _ in 0..2 {
            let got = run(executor, &module, &inputs).unwrap();
            assert_eq!(got.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), names);
            for ((name, got), (_, want)) in got.iter().zip(&expected) {
                assert!(distance(got, want, 1e-5, 1e-6).agrees(), "{name}: {got:?}");
            }
        }
    }
}

fn module_of(x: Type, build: impl FnOnce(&mut Builder<'_>, airconv_ir::entity::ValueId)) -> Module {
    let mut module = Module::default();
    let func = module.functions.push(Function::new("main"));
    module.entry = func;
    let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
    let x = module.functions[func].add_input("x", x, role);
    let body = module.functions[func].body;
    build(&mut Builder::new(&mut module, func, body, OriginId(0)), x);
    module
}

#[test]
fn what_cannot_be_run_is_an_error_with_a_reason() {
    // An input that is not given.
    let (_, module) = program("conv_net");
    for executor in executors() {
        let (failed, why) = run(executor, &module, &BTreeMap::new()).unwrap_err();
        assert_eq!(failed, Failed::System);
        assert!(why.contains("is not given"), "{why}");
    }
    // A dtype that libtorch has and tch has not.
    let mut module = module_of(Type::tensor(DType::U16, [Dim::Known(2)]), |_, _| {});
    let func = module.entry;
    let x = module.functions[func].body().params[0];
    module.functions[func].add_output("y", x, OutputRole::User(ArgKindRole::Tensor));
    let array = Array::from_i64s(DType::U16, vec![2], &[1, 2]).unwrap();
    for executor in executors() {
        let inputs = BTreeMap::from([("x".to_owned(), Datum::from(array.clone()))]);
        let (_, why) = run(executor, &module, &inputs).unwrap_err();
        assert!(why.contains("tch has no u16"), "{why}");
    }
    // A size that the program does not take: libtorch says so, and names the call.
    let mut module = Module::default();
    let func = module.functions.push(Function::new("main"));
    module.entry = func;
    let f = &mut module.functions[func];
    let n = Dim::symbol(f.add_symbol("n", Range { min: Some(1), max: None }, None));
    let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
    let x = f.add_input("x", Type::tensor(DType::F32, [n]), role);
    let body = f.body;
    let mut b = Builder::new(&mut module, func, body, OriginId(0));
    let dims = vec![Dim::Known(2), Dim::Known(3)];
    let y = b.emit(Reshape { dims }, &[x]).unwrap();
    module.functions[func].add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
    let array = Array::from_vec(vec![5], vec![0f32; 5]).unwrap();
    for executor in executors() {
        let inputs = BTreeMap::from([("x".to_owned(), Datum::from(array.clone()))]);
        let (failed, why) = run(executor, &module, &inputs).unwrap_err();
        assert_eq!(failed, Failed::System);
        assert!(why.contains("reshape") || why.contains("is invalid for input of size"), "{why}");
        assert!(!why.contains("frame #"), "{why}");
    }
}
