//! Convolutions of data with gaps: a kernel for each phase, none of which looks at the gaps.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Atom, Dim};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::{AutoPad, Conv};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::analysis::dims;
use airconv_kernel::ir::Kernel;
use airconv_kernel::lower::{LowerOptions, Lowered, lower};
use airconv_kernel::run::{Machine, Oracle, RunLimits};

/// Small whole numbers, so that sums are exact in any order.
fn numbers(shape: &[i64], seed: i64) -> Array {
    let count = shape.iter().product::<i64>();
    let of = |i: i64| ((i * i * 7919 + seed * 104_729 + i).rem_euclid(7) - 3) as f64;
    let shape = shape.iter().map(|&n| n as usize).collect();
    Array::from_f64s(DType::F32, shape, &(0..count).map(of).collect::<Vec<_>>()).unwrap()
}

/// Lowers a convolution of these inputs (`N C H W`), gaps and padding, and compares what its
/// kernels give with the hub's interpreter.
fn check(x: [i64; 4], w: [i64; 4], gaps: [i64; 2], pads: [i64; 4], groups: i64) -> Lowered {
    let mut module = Module::default();
    module.origins.push(Default::default());
    let mut f = Function::new("main");
    let mut inputs: BTreeMap<String, Datum> = BTreeMap::new();
    let mut values = Vec::new();
    for (i, shape) in [x.to_vec(), w.to_vec(), vec![w[0]]].into_iter().enumerate() {
        let name = format!("x{i}");
        let role = InputRole::User { default: None, kind: Default::default() };
        let dims = shape.iter().map(|&n| n.into());
        values.push(f.add_input(&name, Type::tensor(DType::F32, dims), role));
        inputs.insert(name, numbers(&shape, i as i64).into());
    }
    let func = module.functions.push(f);
    let body = module.functions[func].body;
    let mut b = Builder::new(&mut module, func, body, OriginId(0));
    let conv = Conv {
        strides: vec![1, 1],
        pads: pads.to_vec(),
        dilations: vec![1, 1],
        input_dilations: gaps.to_vec(),
        groups,
        auto_pad: AutoPad::Explicit,
    };
    let y = b.emit(conv, &values).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));

    let verified = verify(&module, Stage::Imported).unwrap();
    let options = RunOptions::default();
    let wanted =
        InterpreterExecutor.run(&verified, &inputs, &options, &mut Report::default()).unwrap();
    let options = LowerOptions { channel_last: true, ..LowerOptions::default() };
    let lowered = lower(&module, options).unwrap();
    let mut machine = Machine::new(&lowered, Oracle(&lowered.program), RunLimits::default());
    let got = machine.run(&inputs).unwrap();
    assert_eq!(got[0].1.as_array(), wanted[0].1.as_array(), "{x:?} {w:?} {gaps:?} {pads:?}");
    lowered
}

/// Whether anything is divided in the indices of a kernel.
fn divides(kernel: &Kernel) -> bool {
    kernel.exprs.iter().flat_map(dims).any(|d| match d {
        Dim::Expr(e) => {
            let mut atoms = e.terms().iter().flat_map(|t| t.atoms());
            atoms.any(|a| matches!(a, Atom::Mod(..) | Atom::FloorDiv(..)))
        }
        _ => false,
    })
}

/// The kernels of the convolution: all but the copy into the order of an output.
fn phases(lowered: &Lowered) -> usize {
    let sums = lowered.program.kernels.iter().filter(|k| k.name.contains("conv"));
    sums.inspect(|k| assert!(!divides(k), "{k:?}")).count()
}

#[test]
fn a_kernel_for_each_phase() {
    // As many taps as steps, more, and a number that is no multiple of the steps.
    assert_eq!(phases(&check([1, 24, 12, 13], [24, 24, 2, 2], [2, 2], [1, 1, 1, 1], 1)), 4);
    assert_eq!(phases(&check([2, 16, 9, 8], [32, 16, 4, 4], [2, 2], [2, 2, 2, 2], 1)), 4);
    assert_eq!(phases(&check([1, 16, 9, 11], [16, 16, 3, 5], [2, 3], [1, 3, 2, 2], 1)), 6);
    // Gaps along one axis alone, and fewer taps than steps: some phases are the bias.
    assert_eq!(phases(&check([1, 32, 6, 40], [16, 32, 3, 3], [1, 2], [1, 1, 1, 1], 1)), 2);
    assert_eq!(phases(&check([1, 32, 12, 12], [32, 32, 2, 2], [3, 3], [1, 1, 1, 1], 1)), 9);
}

#[test]
fn little_work_and_many_phases_stay_together() {
    let one = |lowered: &Lowered| lowered.program.kernels.len() == 1;
    assert!(one(&check([1, 8, 3, 3], [4, 8, 2, 2], [2, 2], [1, 1, 1, 1], 1)));
    assert!(one(&check([1, 2, 40, 40], [16, 2, 2, 2], [2, 2], [1, 1, 1, 1], 1)));
    assert!(one(&check([1, 8, 20, 20], [8, 8, 5, 5], [5, 5], [4, 4, 4, 4], 1)));
}
