//! Brings a module into the form that rules take: calls inlined, simplified, larger units
//! recognised, and what no rule takes decomposed.

use airconv_api::inline::inline_calls;
use airconv_api::legalize::legalize;
use airconv_api::{Failed, Report};
use airconv_ir::attr::Float;
use airconv_ir::entity::ValueId;
use airconv_ir::module::{Def, Module};
use airconv_ir::op::{Gemm, Op};
use airconv_ir::pass::{PassCx, Pipeline, run_pipeline};
use airconv_ir::verify::{Stage, verify};

use super::cx::Lowerer;
use super::paths::Paths;
use crate::program::dtype::is_float;

/// Passes before decomposing: larger units first, since candle has them. Equal constants stay
/// apart, since they are weights of their own.
const FIRST: &str = "propagate,canonicalise,fold,dce,raise_softmax,raise_layer_norm,\
     raise_rms_norm,raise_gelu,raise_swish,\
     raise_attention,propagate,canonicalise,fold,dce";
/// Passes after it.
const LAST: &str = "propagate,fold,dce";

/// A module that rules take: nothing in it is refused.
pub(super) fn prepare(module: &Module, report: &mut Report) -> Result<Module, Failed> {
    let mut ready = module.clone();
    inline_calls(&mut ready).map_err(|why| {
        report.error("candle-unsupported", why);
        Failed::Unsupported
    })?;
    keep_weights(&mut ready);
    simplify(&mut ready, FIRST, report)?;
    let mut ready = legal(&ready, report)?;
    simplify(&mut ready, LAST, report)?;
    let ready = legal(&ready, report)?;
    if let Err(errors) = verify(&ready, Stage::Canonical) {
        report.diagnostics.extend(errors);
        return Err(Failed::Unsupported);
    }
    Ok(ready)
}

/// Products of matrices with a weight whose axes are swapped become `gemm`, which swaps them itself:
/// the weight stays what it is, and keeps its name.
fn keep_weights(module: &mut Module) {
    let f = &module.functions[module.entry];
    let weight = |value: ValueId| {
        let Def::Result { node, .. } = f.values[value].def else { return None };
        let node = &f.nodes[node];
        let Op::Transpose(t) = &node.op else { return None };
        let inner = node.operand(0).filter(|_| t.perm == [1, 0])?;
        let Def::Result { node, .. } = f.values[inner].def else { return None };
        matches!(f.nodes[node].op, Op::Constant(_)).then_some(inner)
    };
    let mut found = Vec::new();
    airconv_ir::visit::walk(f, &mut |_, id| {
        let node = &f.nodes[id];
        if let (Op::Matmul(_), Some(a), Some(b)) = (&node.op, node.operand(0), node.operand(1))
            && f.ty(a).as_tensor().is_some_and(|t| t.rank() == 2 && is_float(t.dtype))
            && let Some(w) = weight(b)
        {
            found.push((id, a, w));
        }
    });
    for (id, a, w) in found {
        let node = &mut module.functions[module.entry].nodes[id];
        node.op =
            Op::Gemm(Gemm { alpha: Float(1.0), beta: Float(1.0), trans_a: false, trans_b: true });
        node.operands = [Some(a), Some(w)].into_iter().collect();
    }
}

fn simplify(module: &mut Module, passes: &str, report: &mut Report) -> Result<(), Failed> {
    let done = Pipeline::parse(passes).and_then(|pipeline| {
        let mut cx = PassCx::default();
        run_pipeline(module, &pipeline, &mut cx)
    });
    match done {
        Ok(_) => Ok(()),
        Err(e) => {
            report.error("candle-passes", e.to_string());
            Err(Failed::Unsupported)
        }
    }
}

fn legal(module: &Module, report: &mut Report) -> Result<Module, Failed> {
    let paths = Paths::default();
    let legal = legalize(module, report, |module, func, node| {
        if func != module.entry {
            // What called it has it inlined.
            return Ok(());
        }
        Lowerer::new(module, func, &paths, true).probe(node).map_err(|r| r.0)
    })?;
    Ok(legal.into_owned())
}
