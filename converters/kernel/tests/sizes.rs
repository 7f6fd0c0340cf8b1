//! Sizes that inputs say: kernels index by them, so inputs that contradict them are refused.

use std::collections::BTreeMap;

use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::executor::KernelExecutor;

/// `-x` for x of `n * m` elements, `n` and `m` being the sizes of two inputs that come later.
fn module(range: Range) -> Module {
    let mut module = Module::default();
    module.origins.push(Default::default());
    let mut f = Function::new("main");
    let n = Dim::from(f.add_symbol("n", range, None));
    let m = Dim::from(f.add_symbol("m", Range::NONNEG, None));
    let role = || InputRole::User { default: None, kind: Default::default() };
    let x = f.add_input("x", Type::tensor(DType::F32, [&n * &m]), role());
    f.add_input("a", Type::tensor(DType::F32, [n]), role());
    f.add_input("b", Type::tensor(DType::F32, [m]), role());
    let func = module.functions.push(f);
    let body = module.functions[func].body;
    let mut b = Builder::new(&mut module, func, body, OriginId(0));
    let y = b.emit(airconv_ir::op::Neg {}, &[x]).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    module
}

/// Runs on inputs of these sizes; the error is the text of the first diagnostic.
fn run(module: &Module, sizes: [usize; 3]) -> Result<usize, String> {
    let inputs: BTreeMap<String, Datum> = ["x", "a", "b"]
        .into_iter()
        .zip(sizes)
        .map(|(name, n)| (name.to_owned(), Array::zeros(DType::F32, vec![n]).unwrap().into()))
        .collect();
    let verified = verify(module, Stage::Canonical).unwrap();
    let mut report = Report::default();
    match KernelExecutor.run(&verified, &inputs, &RunOptions::default(), &mut report) {
        Ok(outputs) => Ok(outputs[0].1.as_array().map_or(0, Array::numel)),
        Err(_) => Err(report.diagnostics[0].message.clone()),
    }
}

#[test]
fn a_product_of_sizes_is_checked_once_they_are_known() {
    let module = module(Range::NONNEG);
    assert_eq!(run(&module, [6, 2, 3]), Ok(6));
    assert!(run(&module, [7, 2, 3]).unwrap_err().contains("size 7 where 6"));
}

#[test]
fn a_size_keeps_to_its_range() {
    let module = module(Range { min: Some(2), max: Some(4) });
    assert_eq!(run(&module, [6, 2, 3]), Ok(6));
    assert!(run(&module, [3, 1, 3]).unwrap_err().contains("`n` cannot be 1"));
}
