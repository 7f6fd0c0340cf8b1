//! Calls of functions replaced by what the functions do, for targets without functions.

use airconv_ir::builder::Builder;
use airconv_ir::copy::import_regions;
use airconv_ir::entity::{EntityId, FuncId, RegionId, ValueId};
use airconv_ir::module::{Function, Module, Node};
use airconv_ir::op::{self, Op};
use rustc_hash::FxHashMap;

/// The most nested calls.
const DEEPEST: usize = 64;

/// Whether the entry of a module, or a region in it, calls a function.
pub fn calls_functions(module: &Module) -> bool {
    let f = module.main();
    f.regions.values().any(|r| r.nodes.iter().any(|&n| is_call(f, n)))
}

fn is_call(f: &Function, node: airconv_ir::entity::NodeId) -> bool {
    matches!(f.nodes[node].op, Op::Call(_))
}

/// Puts the bodies of functions in the place of all calls in the entry of a module.
///
/// # Errors
/// Names the function that cannot be put in, and why.
pub fn inline_calls(module: &mut Module) -> Result<(), String> {
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
