//! Passes on small modules: which ops are left, and whether the numbers are the same.

use std::collections::BTreeMap;

use super::{LogLevel, PassCx, PassOptions, Pipeline, compact, run_pipeline};
use crate::array::Array;
use crate::builder::{BuildError, Builder};
use crate::dim::{Dim, Range};
use crate::dtype::DType;
use crate::entity::{OriginId, RegionId, ValueId};
use crate::interp::{Datum, EvalLimits, Interpreter};
use crate::module::{Function, InputRole, Module, Origin, OutputRole};
use crate::op::*;
use crate::types::Type;
use crate::verify::{Stage, verify};

mod basic;
mod canonicalise;
mod fuse;
mod raise;

type R = Result<ValueId, BuildError>;

/// A module whose main function `build` fills; its value is the output `y`.
fn module(build: impl FnOnce(&mut Builder<'_>) -> R) -> Module {
    let mut m = Module::default();
    m.origins.push(Origin::Unknown);
    let func = m.functions.push(Function::new("main"));
    let mut b = Builder::new(&mut m, func, RegionId(0), OriginId(0));
    let y = build(&mut b).unwrap();
    output(&mut b, "y", y);
    verify(&m, Stage::Canonical).unwrap();
    m
}

fn output(b: &mut Builder<'_>, name: &str, value: ValueId) {
    b.f_mut().add_output(name, value, OutputRole::User(Default::default()));
}

fn input(b: &mut Builder<'_>, name: &str, dtype: DType, dims: &[Dim]) -> ValueId {
    let role = InputRole::User { default: None, kind: Default::default() };
    b.f_mut().add_input(name, Type::tensor(dtype, dims.iter().cloned()), role)
}

fn k(sizes: &[i64]) -> Vec<Dim> {
    sizes.iter().map(|&s| Dim::Known(s)).collect()
}

/// An f32 input of known sizes.
fn x32(b: &mut Builder<'_>, name: &str, sizes: &[i64]) -> ValueId {
    input(b, name, DType::F32, &k(sizes))
}

fn size(b: &mut Builder<'_>, name: &str) -> Dim {
    Dim::from(b.f_mut().add_symbol(name, Range::POSITIVE, None))
}

/// Numbers between -2 and 2 that no formula makes up.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1u32 << 24) * 4.0 - 2.0
        })
        .collect()
}

fn f32s(shape: &[usize], seed: u64) -> Array {
    Array::from_f64s(DType::F32, shape.to_vec(), &noise(shape.iter().product(), seed)).unwrap()
}

/// Contents for every input; symbols are 3.
fn contents(m: &Module) -> BTreeMap<String, Datum> {
    let f = m.main();
    let mut out = BTreeMap::new();
    for (i, (input, &param)) in f.inputs.iter().zip(&f.body().params).enumerate() {
        let ty = f.ty(param).as_tensor().unwrap();
        let shape: Vec<usize> =
            ty.shape.iter().map(|d| d.eval(&|_| Some(3)).unwrap() as usize).collect();
        let n = shape.iter().product();
        let values = noise(n, i as u64 + 7);
        let array = match ty.dtype {
            DType::Bool => {
                Array::from_vec(shape, values.iter().map(|v| *v > -1.0).collect::<Vec<bool>>())
            }
            d if d.is_float() => Array::from_f64s(d, shape, &values),
            d => {
                let ints: Vec<i64> = values.iter().map(|v| (v.abs() * 10.0) as i64).collect();
                Array::from_i64s(d, shape, &ints)
            }
        };
        out.insert(input.name.clone(), array.unwrap().into());
    }
    out
}

fn run(m: &Module) -> Vec<(String, Datum)> {
    Interpreter::new(m.clone(), EvalLimits::default()).run(&contents(m)).unwrap()
}

/// The ops of the body of the main function.
fn ops(m: &Module) -> Vec<&'static str> {
    let f = m.main();
    f.body().nodes.iter().map(|&n| f.nodes[n].op.name()).collect()
}

/// Without constants and broadcasts.
fn core(m: &Module) -> Vec<&'static str> {
    ops(m).into_iter().filter(|o| !matches!(*o, "constant" | "broadcast")).collect()
}

fn close(a: &Datum, b: &Datum, tolerance: f64) {
    if tolerance == 0.0 {
        // As text, NaN equals itself.
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        return;
    }
    let (a, b) = (a.as_array().unwrap(), b.as_array().unwrap());
    assert_eq!((a.dtype, &a.shape), (b.dtype, &b.shape));
    for (x, y) in a.to_f64s().unwrap().iter().zip(b.to_f64s().unwrap()) {
        let same = x == &y || (x.is_nan() && y.is_nan());
        assert!(same || (x - y).abs() <= tolerance * y.abs().max(1.0), "{x} is not {y}");
    }
}

fn context() -> PassCx {
    PassCx::new(PassOptions {
        log: LogLevel::Full,
        verify: Some(Stage::Canonical),
        ..PassOptions::default()
    })
}

/// Runs passes; the outputs may differ by the tolerance, 0 for not a bit.
fn opt_with(m: &Module, passes: &str, tolerance: f64, cx: &mut PassCx) -> Module {
    let before = run(m);
    let mut new = m.clone();
    run_pipeline(&mut new, &Pipeline::parse(passes).unwrap(), cx).unwrap();
    let check = |new: &Module| {
        let after = run(new);
        assert_eq!(before.len(), after.len());
        for ((name, a), (other, b)) in before.iter().zip(&after) {
            assert_eq!(name, other);
            close(b, a, tolerance);
        }
    };
    check(&new);
    let count = ops(&new).len();
    compact(&mut new);
    verify(&new, Stage::Canonical).unwrap();
    assert_eq!(ops(&new).len(), count);
    check(&new);
    new
}

fn opt(m: &Module, passes: &str, tolerance: f64) -> Module {
    opt_with(m, passes, tolerance, &mut context())
}

/// Why candidates were declined.
fn reasons(cx: &PassCx) -> Vec<&str> {
    cx.declined.keys().map(|(_, why)| why.as_str()).collect()
}
