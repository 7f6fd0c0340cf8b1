//! Scalar functions of LLVM IR as programs, against what they compute.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use airconv_api::{Failed, ReadOptions, Reader, Report};
use airconv_ir::array::Array;
use airconv_ir::interp::{EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_llvm::scalar::ScalarReader;

fn read(ir: &str) -> Result<Module, (Failed, String)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.ll");
    std::fs::write(&path, ir).unwrap();
    let mut report = Report::default();
    let read = ScalarReader.read(&path, &ReadOptions::default(), &mut report);
    read.map_err(|failed| {
        let text: Vec<String> = report.diagnostics.iter().map(ToString::to_string).collect();
        (failed, text.join("; "))
    })
}

/// What the program of a function of two `float` gives.
fn eval(ir: &str, points: &[(f32, f32)]) -> Vec<f32> {
    let module = read(ir).unwrap_or_else(|e| panic!("{e:?}"));
    verify(&module, Stage::Imported).unwrap_or_else(|e| panic!("{e:?}"));
    let column = |pick: fn(&(f32, f32)) -> f32| {
        Array::from_vec(vec![points.len()], points.iter().map(pick).collect()).unwrap().into()
    };
    let names: Vec<String> = module.main().inputs.iter().map(|i| i.name.clone()).collect();
    let columns = [column(|p| p.0), column(|p| p.1)];
    let inputs: BTreeMap<_, _> = names.into_iter().zip(columns).collect();
    let outputs = Interpreter::new(module, EvalLimits::default()).run(&inputs).unwrap();
    outputs[0].1.as_array().unwrap().as_slice::<f32>().unwrap().to_vec()
}

const POINTS: [(f32, f32); 6] =
    [(0.5, 2.0), (-3.25, 1.5), (7.75, -2.0), (0.0, 0.0), (f32::NAN, 1.0), (1.0, f32::NAN)];

fn same(got: &[f32], wanted: impl Fn(f32, f32) -> f32) {
    for (x, &(a, b)) in got.iter().zip(&POINTS) {
        let y = wanted(a, b);
        let near = (x - y).abs() <= 1e-6 * y.abs().max(1.0);
        assert!(near || x.is_nan() && y.is_nan(), "f({a}, {b}) is {y}, not {x}");
    }
    assert_eq!(got.len(), POINTS.len());
}

#[test]
fn arithmetic_and_calls() {
    let ir = r#"
declare float @llvm.sqrt.f32(float)
declare float @llvm.fmuladd.f32(float, float, float)
declare float @tanhf(float)
declare float @fmaxf(float, float)
define float @f(float %a, float %b) {
  %1 = fmul fast float %a, %a
  %2 = tail call float @llvm.fmuladd.f32(float %b, float %b, float %1)
  %3 = call float @llvm.sqrt.f32(float %2)
  %4 = fadd float %3, 2.500000e-01
  %5 = fpext float %4 to double
  %6 = fdiv double %5, 3.000000e+00
  %7 = fptrunc double %6 to float
  %8 = call float @tanhf(float %7)
  %9 = fneg float %8
  %10 = call float @fmaxf(float %9, float %b)
  ret float %10
}
"#;
    same(&eval(ir, &POINTS), |a, b| {
        let x = ((f64::from((b * b + a * a).sqrt() + 0.25)) / 3.0) as f32;
        (-x.tanh()).max(b)
    });
}

#[test]
fn comparisons_with_nan() {
    for (predicate, holds) in [
        ("olt", (|a, b| a < b) as fn(f32, f32) -> bool),
        ("ult", |a, b| a < b || (a.is_nan() || b.is_nan())),
        ("oge", |a, b| a >= b),
        ("ugt", |a, b| a > b || (a.is_nan() || b.is_nan())),
        ("oeq", |a, b| a == b),
        ("une", |a, b| a != b),
        ("one", |a, b| a != b && !a.is_nan() && !b.is_nan()),
        ("ueq", |a, b| a == b || a.is_nan() || b.is_nan()),
        ("ord", |a, b| !a.is_nan() && !b.is_nan()),
        ("uno", |a, b| a.is_nan() || b.is_nan()),
    ] {
        let ir = format!(
            "define float @f(float %a, float %b) {{\n  %c = fcmp {predicate} float %a, %b\n  \
             %r = select i1 %c, float 1.0, float -1.0\n  ret float %r\n}}\n"
        );
        same(&eval(&ir, &POINTS), |a, b| if holds(a, b) { 1.0 } else { -1.0 });
    }
}

#[test]
fn code_that_was_not_optimised() {
    // A variable in memory and a branch, as compilers without optimisation write them.
    let ir = r#"
define float @leaky(float %a, float %b) {
  %slot = alloca float
  store float %a, ptr %slot
  %x = load float, ptr %slot
  %c = fcmp olt float %x, 0.000000e+00
  br i1 %c, label %less, label %rest
less:
  %y = fmul float %x, %b
  store float %y, ptr %slot
  br label %rest
rest:
  %r = load float, ptr %slot
  ret float %r
}
"#;
    same(&eval(ir, &POINTS), |a, b| if a < 0.0 { a * b } else { a });
}

#[test]
fn the_rest_is_refused_by_name() {
    let refused = |ir: &str, what: &str| {
        let (failed, text) = read(ir).unwrap_err();
        assert!(failed == Failed::Unsupported && text.contains(what), "{text}");
    };
    refused(
        "declare float @magic(float)\ndefine float @f(float %a) {\n  \
         %x = call float @magic(float %a)\n  ret float %x\n}\n",
        "`magic`",
    );
    refused(
        "define float @f(ptr %p) {\n  %x = load float, ptr %p\n  ret float %x\n}\n",
        "parameter",
    );
    refused("define i32 @f(i32 %a) {\n  %x = lshr i32 %a, 3\n  ret i32 %x\n}\n", "lshr");
    refused(
        "define float @f(float %a) {\n  ret float %a\n}\ndefine float @g(float %a) {\n  \
         ret float %a\n}\n",
        "`f`, `g`",
    );
    refused(
        "define float @f(float %a) {\nentry:\n  br label %l\nl:\n  \
         %x = phi float [ %a, %entry ], [ %y, %l ]\n  %y = fmul float %x, %x\n  \
         %c = fcmp olt float %y, 9.0\n  br i1 %c, label %l, label %e\ne:\n  ret float %y\n}\n",
        "control flow",
    );
    let (failed, _) = read("define float @f(").unwrap_err();
    assert_eq!(failed, Failed::Malformed);
}

#[test]
fn names_of_arguments_and_of_the_result_differ() {
    let ir = "define float @f(float %y, float %x1, float) {\n  %a = fadd float %y, %x1\n  \
              %b = fmul float %a, %0\n  ret float %b\n}\n";
    // An argument without a name is called after its place, as the one before it is here.
    for ir in [ir.to_owned(), ir.replace("x1", "x2")] {
        let module = read(&ir).unwrap();
        let f = module.main();
        let inputs = f.inputs.iter().map(|i| i.name.clone());
        let mut names: Vec<String> =
            inputs.chain(f.outputs.iter().map(|o| o.name.clone())).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4, "{names:?}");
    }
}
