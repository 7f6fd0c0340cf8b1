//! Random hub programs, for executors to agree on.
//!
//! A program is made from a seed and a number of steps alone: a step takes values that are there
//! and emits an op, so that fewer steps make a beginning of the same program, which is how a
//! failure is made small. Each value carries its *grain*: how coarsely the dtypes that it went
//! through round, 0 where every executor has to give the same bits. Ops that tear near values
//! apart (rounding, comparisons, positions of extremes) take values of grain 0 only.
//!
//! The same program exists with all floats as `f64`: how far the two are apart is the error that
//! rounding itself makes, and the measure of what executors may differ by.

mod control;
mod conv;
mod elementwise;
mod index;
pub mod judge;
mod linear;
mod maker;
mod norm;
mod quant;
mod reduce;
mod shape;

use std::collections::BTreeMap;

use airconv_ir::array::Array;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::{Class, DType};
use airconv_ir::entity::OriginId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::types::Type;

use crate::fuzz::Rng;
use maker::{Made, Maker};

/// A program, what it is run on, and how coarse its outputs are.
pub struct Program {
    /// The program.
    pub module: Module,
    /// Its inputs.
    pub inputs: BTreeMap<String, Datum>,
    /// The grain of each output.
    pub grains: BTreeMap<String, f64>,
}

/// What a step may do: one row per family, with its weight.
const FAMILIES: &[(usize, &[Step])] = &[
    (8, elementwise::STEPS),
    (8, shape::STEPS),
    (4, index::STEPS),
    (5, reduce::STEPS),
    (3, linear::STEPS),
    (3, conv::STEPS),
    (3, norm::STEPS),
    (2, quant::STEPS),
    (1, control::STEPS),
];

/// A step: emits something, if the values that are there allow for it.
type Step = fn(&mut Maker<'_>) -> Done;

/// Whether a step found what it needs.
type Done = Result<Option<()>, BuildError>;

/// The dtypes of inputs; floats are there more often.
const INPUTS: [DType; 18] = [
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I64,
    DType::I64,
    DType::I32,
    DType::I8,
    DType::U8,
    DType::Bool,
    DType::I16,
    DType::U32,
];

/// The program of a seed after some steps; `wide` makes all its floats `f64`.
pub fn program(seed: u64, steps: usize, wide: bool) -> Program {
    let mut rng = Rng::new(seed, 0x0a1c);
    let mut module = Module::default();
    module.origins.push(Default::default());
    let mut function = Function::new("main");
    let range = Range { min: Some(0), max: None };
    let symbol = function.add_symbol("n", range, None);
    let size = [3, 1, 2, 5, 8, 0, 17][rng.below(7)];
    let mut made = Vec::new();
    let mut inputs = BTreeMap::new();
    let special = rng.one_in(12);
    for i in 0..2 + rng.below(3) {
        let dtype = INPUTS[rng.below(INPUTS.len())];
        let rank = [2, 3, 4, 1, 2, 3, 0, 5][rng.below(8)];
        let shape: Vec<Dim> = (0..rank)
            .map(|_| if rng.one_in(5) { Dim::symbol(symbol) } else { maker::extent(&mut rng) })
            .collect();
        let sizes: Vec<usize> =
            shape.iter().map(|d| d.as_known().unwrap_or(size) as usize).collect();
        let array = numbers(&mut rng, dtype, wide, &sizes, special);
        let name = format!("x{i}");
        let role = InputRole::User { default: None, kind: Default::default() };
        let value = function.add_input(&name, Type::tensor(array.dtype, shape), role);
        inputs.insert(name, Datum::from(array));
        made.push(Made { value, grain: 0.0, dtype });
    }
    let func = module.functions.push(function);
    let region = module.functions[func].body;
    let builder = Builder::new(&mut module, func, region, OriginId(0));
    let mut maker = Maker { b: builder, rng, pool: made, wide, size, depth: 0 };
    for _ in 0..steps {
        step(&mut maker);
    }
    let grains = outputs(&mut maker);
    Program { module, inputs, grains }
}

/// Tries families until one finds what it needs.
fn step(maker: &mut Maker<'_>) {
    for _ in 0..8 {
        let sum = FAMILIES.iter().map(|f| f.0).sum();
        let mut at = maker.rng.below(sum);
        let family = FAMILIES.iter().find(|f| {
            let here = at < f.0;
            at = at.saturating_sub(f.0);
            here
        });
        let Some(&row) = family.and_then(|f| maker.rng.pick(f.1)) else { return };
        if let Ok(Some(())) = row(maker) {
            return;
        }
    }
}

/// Makes the last values outputs, and some of the others.
fn outputs(maker: &mut Maker<'_>) -> BTreeMap<String, f64> {
    let mut grains = BTreeMap::new();
    let pool = std::mem::take(&mut maker.pool);
    for (i, made) in pool.iter().enumerate() {
        let last = i + 3 >= pool.len();
        if last || maker.rng.one_in(4) {
            let name = format!("y{i}");
            maker.b.f_mut().add_output(&name, made.value, OutputRole::User(Default::default()));
            grains.insert(name, made.grain);
        }
    }
    grains
}

/// Numbers that every float dtype holds; `special` adds NaN and infinities to floats, and the
/// ends of their range to integers.
fn numbers(rng: &mut Rng, dtype: DType, wide: bool, shape: &[usize], special: bool) -> Array {
    let count = shape.iter().product();
    let stored = if wide && dtype.is_float() { DType::F64 } else { dtype };
    let mut one = || -> f64 {
        let small = rng.below(129) as f64 - 64.0;
        let odd = special && rng.one_in(9);
        let which = rng.below(3);
        match dtype.class() {
            Class::Float if odd => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][which],
            Class::Float => small / 16.0,
            Class::Bool => f64::from(small > 0.0),
            Class::Unsigned => (small / 8.0).trunc().abs(),
            _ => (small / 8.0).trunc(),
        }
    };
    let values: Vec<f64> = (0..count).map(|_| one()).collect();
    let array = if dtype.is_float() {
        Array::from_f64s(stored, shape.to_vec(), &values)
    } else if dtype == DType::Bool {
        Array::from_vec(shape.to_vec(), values.iter().map(|&v| v != 0.0).collect())
    } else {
        let whole: Vec<i64> = values.iter().map(|&v| v as i64).collect();
        Array::from_i64s(stored, shape.to_vec(), &whole)
    };
    array.expect("as many numbers as the shape says, of a dtype that holds them")
}
