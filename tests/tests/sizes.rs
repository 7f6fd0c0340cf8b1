//! Sizes that only a run tells and that do not fit: every executor refuses them by name, and none
//! computes with them.

use std::collections::BTreeMap;

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::text::{ParseOptions, parse};
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::c::CExecutor;
use airconv_kernel::executor::KernelExecutor;
use airconv_llvm::executor::LlvmExecutor;

/// A program of two inputs, whose body comes after them.
fn program(x: &str, y: &str, symbols: &[&str], body: &str) -> Module {
    let symbols: String =
        symbols.iter().enumerate().map(|(i, s)| format!("  symbol ${i} \"{s}\": 0..\n")).collect();
    let text = format!(
        "airconv 0.1\n\nfunc @0 \"f\" {{\n{symbols}  in \"x\": user\n  in \"y\": user\n  \
         out \"z\": user\n  body ^0(%0 \"x\": {x}, %1 \"y\": {y}) {{\n{body}  }}\n}}\n"
    );
    match parse(&text, &ParseOptions::default()) {
        Ok(module) => module,
        Err(e) => panic!("{e:?}\n{text}"),
    }
}

fn run(module: &Module, executor: &dyn Executor, shapes: [&[usize]; 2]) -> Result<Array, String> {
    let inputs: BTreeMap<String, Datum> = ["x", "y"]
        .iter()
        .zip(shapes)
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let numbers: Vec<f64> = (0..count).map(|i| i as f64).collect();
            let array = Array::from_f64s(DType::F32, shape.to_vec(), &numbers).unwrap();
            (name.to_string(), array.into())
        })
        .collect();
    let verified = verify(module, Stage::Imported).unwrap();
    let mut report = Report::default();
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    match executor.run(&verified, &inputs, &options, &mut report) {
        Ok(all) => Ok(all[0].1.as_array().unwrap().clone()),
        Err(_) => Err(report.diagnostics.iter().map(|d| d.message.as_str()).collect()),
    }
}

/// Every executor gives the same for what fits, and an error for what does not.
fn check(module: &Module, fits: [&[usize]; 2], others: &[[&[usize]; 2]]) {
    let c = CExecutor::default();
    for executor in [&InterpreterExecutor as &dyn Executor, &KernelExecutor, &LlvmExecutor, &c] {
        let name = executor.name();
        let good = run(module, executor, fits).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(good, run(module, &InterpreterExecutor, fits).unwrap(), "{name}");
        for shapes in others {
            let why = run(module, executor, *shapes);
            assert!(why.as_ref().is_err_and(|e| !e.is_empty()), "{name}, {shapes:?}: {why:?}");
        }
    }
}

#[test]
fn reshapes_keep_the_number_of_elements() {
    let body = "    %2: f32[b, c] = reshape(%0) {dims = [b, c]}\n    \
                %3: f32[b, c] = add(%2, %1)\n    return %3\n";
    let module = program("f32[a]", "f32[b, c]", &["a", "b", "c"], body);
    check(&module, [&[6], &[2, 3]], &[[&[4], &[2, 3]], [&[4], &[300, 1000]], [&[8], &[1, 2]]]);
}

#[test]
fn sizes_that_broadcast_are_one_or_equal() {
    let to = "broadcast(a, b)";
    let body = format!(
        "    %2: f32[{to}] = broadcast(%0) {{dims = [{to}]}}\n    \
         %3: f32[{to}] = broadcast(%1) {{dims = [{to}]}}\n    \
         %4: f32[{to}] = sub(%2, %3)\n    return %4\n"
    );
    let module = program("f32[a]", "f32[b]", &["a", "b"], &body);
    check(&module, [&[1], &[5]], &[[&[3], &[5]], [&[5], &[3]], [&[5], &[0]]]);
}

#[test]
fn products_sum_over_the_same_size() {
    let body = "    %2: f32[] = contract(%0, %1) {lhs_batch = [], rhs_batch = [], \
                lhs_contract = [0], rhs_contract = [0]}\n    return %2\n";
    let module = program("f32[a]", "f32[b]", &["a", "b"], body);
    check(&module, [&[5], &[5]], &[[&[5000], &[3]], [&[3], &[5000]]]);
}

#[test]
fn elementwise_operands_have_one_shape() {
    let body = "    %2: f32[a] = mul(%0, %1)\n    return %2\n";
    let module = program("f32[a]", "f32[b]", &["a", "b"], body);
    check(&module, [&[5], &[5]], &[[&[5000], &[3]], [&[3], &[5000]]]);
}
