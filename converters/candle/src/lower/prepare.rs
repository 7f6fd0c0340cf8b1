//! Brings a module into the form that rules take: calls inlined, simplified, larger units
//! recognised, and what no rule takes decomposed.

use airconv_api::legalize::legalize;
use airconv_api::{Failed, Report};
use airconv_ir::builder::Builder;
use airconv_ir::copy::import_regions;
use airconv_ir::entity::{EntityId, FuncId, RegionId, ValueId};
use airconv_ir::module::{Module, Node};
use airconv_ir::op::{self, Op};
use airconv_ir::pass::{PassCx, Pipeline, run_pipeline};
use airconv_ir::verify::{Stage, verify};
use rustc_hash::FxHashMap;

use super::cx::Lowerer;
use super::paths::Paths;

/// Passes before decomposing: larger units first, since candle has them.
const FIRST: &str =
    "basic,raise_softmax,raise_layer_norm,raise_rms_norm,raise_gelu,raise_swish,basic";
/// Passes after it.
const LAST: &str = "propagate,fold,cse,dce";
/// The most nested calls.
const DEEPEST: usize = 64;

/// A module that rules take: nothing in it is refused.
pub(super) fn prepare(module: &Module, report: &mut Report) -> Result<Module, Failed> {
    let mut ready = module.clone();
    inline_calls(&mut ready).map_err(|why| {
        report.error("candle-unsupported", why);
        Failed::Unsupported
    })?;
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

/// Puts the bodies of functions in the place of calls.
fn inline_calls(module: &mut Module) -> Result<(), String> {
    let func = module.entry;
    let mut region = 0;
    while region < module.functions[func].regions.len() {
        for _ in 0..DEEPEST {
            if !inline_in(module, func, RegionId::from_index(region))? {
                break;
            }
        }
        region += 1;
    }
    Ok(())
}

/// Inlines the calls of one region; whether there were any.
fn inline_in(module: &mut Module, func: FuncId, region: RegionId) -> Result<bool, String> {
    let is_call = |f: &airconv_ir::module::Function, n| matches!(f.nodes[n].op, Op::Call(_));
    let f = &module.functions[func];
    if !f.regions[region].nodes.iter().any(|&n| is_call(f, n)) {
        return Ok(false);
    }
    let nodes = std::mem::take(&mut module.functions[func].regions[region].nodes);
    let mut replaced: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    for id in nodes {
        let f = &mut module.functions[func];
        for operand in f.nodes[id].operands.iter_mut().flatten() {
            if let Some(&new) = replaced.get(operand) {
                *operand = new;
            }
        }
        let node = f.nodes[id].clone();
        let Op::Call(call) = &node.op else {
            f.regions[region].nodes.push(id);
            continue;
        };
        for (old, new) in inline_call(module, func, region, &node, call)? {
            replaced.insert(old, new);
        }
    }
    let results = &mut module.functions[func].regions[region].results;
    for result in results.iter_mut() {
        *result = replaced.get(result).copied().unwrap_or(*result);
    }
    Ok(true)
}

fn inline_call(
    module: &mut Module,
    func: FuncId,
    region: RegionId,
    node: &Node,
    call: &op::Call,
) -> Result<Vec<(ValueId, ValueId)>, String> {
    let callee = module.functions[call.function].clone();
    let body = Op::If(op::If { then_branch: callee.body, else_branch: callee.body });
    let Op::If(body) = import_regions(&callee, &mut module.functions[func], &body) else {
        return Err(format!("`{}` has no body", callee.name));
    };
    let args: Vec<ValueId> = node.inputs().collect();
    let mut b = Builder::new(module, func, region, node.origin);
    let results =
        b.inline_region(body.then_branch, &args).map_err(|e| format!("`{}`: {e}", callee.name))?;
    Ok(node.results.iter().zip(results).filter_map(|(old, new)| Some(((*old)?, new))).collect())
}
