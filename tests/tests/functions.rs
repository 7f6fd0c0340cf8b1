//! Native transcendental functions keep the errors that they state, at every level of
//! instructions that this machine has: against double precision over all magnitudes.

use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_llvm::Isa;
use airconv_llvm::executor::LlvmExecutor;

/// Arguments of both signs and all magnitudes, the special ones, and a count that is no multiple
/// of a vector.
fn arguments() -> Vec<f32> {
    let mut out: Vec<f32> = (0..0x7f80_0000u32).step_by(20_011).map(f32::from_bits).collect();
    out.extend((0..40_000).map(|i| i as f32 * 1e-3));
    out.extend([0.0, 88.7, 88.72, 88.73, 89.0, 103.9, 104.1, 150.0, f32::MAX, f32::INFINITY]);
    let negative: Vec<f32> = out.iter().map(|x| -x).collect();
    out.extend(negative);
    out.push(f32::NAN);
    out
}

fn module(op: impl Into<Op>, n: usize) -> Module {
    let mut module = Module::default();
    module.origins.push(Default::default());
    let mut f = Function::new("main");
    let role = InputRole::User { default: None, kind: Default::default() };
    let x = f.add_input("x", Type::tensor(DType::F32, [Dim::Known(n as i64)]), role);
    let func = module.functions.push(f);
    let region = module.functions[func].body;
    let mut b = Builder::new(&mut module, func, region, OriginId(0));
    let y = b.emit(op, &[x]).expect("one operand");
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    module
}

fn run(module: &Module, x: &[f32], isa: Isa) -> Vec<f32> {
    let array = Array::from_vec(vec![x.len()], x.to_vec()).expect("one axis");
    let inputs = [("x".to_owned(), array.into())].into();
    let verified = verify(module, Stage::Imported).expect("a valid module");
    let isa = Some(isa.name().to_owned());
    let options = RunOptions { native_only: true, threads: 1, isa, ..RunOptions::default() };
    let out = LlvmExecutor.run(&verified, &inputs, &options, &mut Report::default());
    let out = out.unwrap_or_else(|e| panic!("{e:?}"));
    out[0].1.as_array().and_then(|a| a.as_slice::<f32>()).expect("an array").to_vec()
}

/// The distance in units of the last place of the right value.
fn ulps(got: f32, right: f64) -> f64 {
    let near = right as f32;
    if f64::from(got) == right || got == near || got.is_nan() && right.is_nan() {
        return 0.0;
    }
    let next = f32::from_bits(near.abs().to_bits() + 1);
    let unit = f64::from(next) - f64::from(near.abs());
    (f64::from(got) - right).abs() / unit
}

/// Runs an op and demands that its result is within so many ulp, or so near absolutely, where the
/// right one is a normal number; smaller ones may be zero. Without fused multiply-add it may be
/// twice as far.
fn check(name: &str, op: impl Into<Op>, right: fn(f64) -> f64, most: f64, absolute: f64) {
    if LlvmExecutor.available().is_err() {
        return;
    }
    let x = arguments();
    let module = module(op, x.len());
    let host = Isa::host();
    let usable = |isa: &Isa| *isa == host || host != Isa::Neon && *isa <= host;
    for isa in Isa::ALL.into_iter().filter(usable) {
        let most = if isa.has_fma() { most } else { 2.0 * most };
        for (&x, got) in x.iter().zip(run(&module, &x, isa)) {
            // Subnormal arguments are flushed.
            let seen = if x.is_subnormal() { 0.0 } else { f64::from(x) };
            let right = right(seen);
            let small = right.abs() < f64::from(f32::MIN_POSITIVE);
            let fine = small && f64::from(got).abs() <= f64::from(f32::MIN_POSITIVE)
                || ulps(got, right) <= most
                || (f64::from(got) - right).abs() <= absolute;
            let far = ulps(got, right);
            assert!(fine, "{name}({x:e}) = {got:e}, not {right:e}: {far:.1} ulp, {}", isa.name());
        }
    }
}

#[test]
fn exponential() {
    check("exp", Exp {}, f64::exp, 1.1, 0.0);
}

#[test]
fn logarithm() {
    check("log", Log {}, f64::ln, 2.0, 0.0);
}

#[test]
fn hyperbolic_tangent() {
    check("tanh", Tanh {}, f64::tanh, 6.0, 0.0);
}

#[test]
fn logistic_function() {
    check("sigmoid", Sigmoid {}, |x| 1.0 / (1.0 + (-x).exp()), 2.5, 0.0);
}

#[test]
fn error_function() {
    check("erf", Erf {}, libm::erf, 4.0, 1.5e-7);
}
