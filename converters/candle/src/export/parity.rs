//! What a generated crate is tested with: inputs from a seed, and what the hub's interpreter
//! makes of them.

use std::collections::BTreeMap;

use airconv_api::inputs::seeded;
use airconv_ir::array::Array;
use airconv_ir::dim::{Dim, numel};
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::op::Op;
use airconv_ir::specialize::{Given, specialize};

use crate::program::Program;

/// Inputs and outputs by name.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub inputs: BTreeMap<String, Array>,
    pub outputs: BTreeMap<String, Array>,
}

/// The most products of numbers that the interpreter computes.
const MOST_PRODUCTS: i64 = 400_000_000;
/// The most elements of all inputs and outputs.
const MOST_ELEMENTS: usize = 1 << 20;
/// Sizes that are tried for symbols.
const SIZES: &[i64] = &[2, 8, 1, 32, 512];

/// A small run of a module, if one of few sizes works and is quick.
pub(super) fn sample(module: &Module, program: &Program) -> Option<Sample> {
    SIZES.iter().find_map(|&size| {
        let sizes: BTreeMap<String, i64> =
            module.main().symbols.values().map(|s| (s.name.clone(), size)).collect();
        let inputs = seeded(module, 1, &sizes).ok()?;
        if products(module, &sizes)? > MOST_PRODUCTS {
            return None;
        }
        let limits = EvalLimits { array_bytes: 1 << 28, steps: 200_000, ..EvalLimits::default() };
        let outputs = Interpreter::new(module.clone(), limits).run(&inputs).ok()?;
        let arrays = |named: &mut dyn Iterator<Item = (String, Datum)>| {
            named.map(|(n, d)| Some((n, d.as_array()?.clone()))).collect::<Option<BTreeMap<_, _>>>()
        };
        let inputs = arrays(&mut inputs.into_iter().filter(|(n, _)| program.inputs.contains(n)))?;
        let outputs = arrays(&mut outputs.into_iter())?;
        let count: usize = inputs.values().chain(outputs.values()).map(Array::numel).sum();
        let finite = |a: &Array| a.to_f64s().is_none_or(|v| v.iter().all(|x| x.is_finite()));
        let fits = count <= MOST_ELEMENTS && outputs.values().all(finite);
        fits.then_some(Sample { inputs, outputs })
    })
}

/// About how many products a module computes at these sizes.
fn products(module: &Module, sizes: &BTreeMap<String, i64>) -> Option<i64> {
    let dims: BTreeMap<String, i64> = sizes
        .iter()
        .filter(|(name, _)| is_given(module, name))
        .map(|(n, s)| (n.clone(), *s))
        .collect();
    let fixed = if dims.is_empty() {
        module.clone()
    } else {
        let given = Given { dims, max_nodes: 1_000_000, ..Given::default() };
        specialize(module.clone(), &given, &[]).ok()?
    };
    let f = fixed.main();
    let mut sum = 0i64;
    airconv_ir::visit::walk(f, &mut |_, id| {
        let node = &f.nodes[id];
        let shape = |slot: usize| Some(f.ty(node.operand(slot)?).as_tensor()?.shape.clone());
        let inner = match &node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::FusedConv(_) => {
                shape(1).and_then(|w| numel(w.get(1..)?).as_known())
            }
            Op::Matmul(_) | Op::Gemm(_) | Op::Contract(_) | Op::FusedMatmul(_) => {
                shape(0).and_then(|x| x.iter().filter_map(Dim::as_known).max())
            }
            _ => None,
        };
        let result = node.result(0).and_then(|v| f.ty(v).as_tensor());
        let size = result.and_then(|t| numel(&t.shape).as_known());
        if let (Some(inner), Some(size)) = (inner, size) {
            sum = sum.saturating_add(inner.saturating_mul(size));
        }
    });
    Some(sum)
}

/// Whether a symbol is the size of an input.
fn is_given(module: &Module, name: &str) -> bool {
    let f = module.main();
    let Some(symbol) = f.symbol_named(name) else { return false };
    f.body().params.iter().any(|&v| {
        f.ty(v).as_tensor().is_some_and(|t| t.shape.iter().any(|d| d.as_symbol() == Some(symbol)))
    })
}
