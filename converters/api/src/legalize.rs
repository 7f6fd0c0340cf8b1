//! Decomposes the composites that a target lacks, and only those.

use std::borrow::Cow;

use airconv_ir::builder::Builder;
use airconv_ir::decompose::{NoDecomposition, decompose};
use airconv_ir::diag::Diagnostic;
use airconv_ir::entity::{EntityId, FuncId, NodeId, RegionId, ValueId};
use airconv_ir::module::{Module, Node};
use airconv_ir::op::{Op, Tier};
use rustc_hash::FxHashMap;

use crate::{Failed, Report};

/// How many times a composite may decompose into another one.
const DEEPEST: u32 = 16;

/// Replaces every composite for which `can` gives a reason by its decomposition, until `can`
/// has nothing against any node. All nodes that cannot be helped are reported at once.
pub fn legalize<'m>(
    module: &'m Module,
    report: &mut Report,
    can: impl Fn(&Module, FuncId, NodeId) -> Result<(), String>,
) -> Result<Cow<'m, Module>, Failed> {
    let mut legal = Cow::Borrowed(module);
    let mut refused = Vec::new();
    for func in module.functions.ids() {
        for region in module.functions[func].regions.ids() {
            let bad = |m: &Module| {
                m.functions[func].regions[region].nodes.iter().any(|&n| can(m, func, n).is_err())
            };
            if bad(&legal) {
                legalize_region(legal.to_mut(), func, region, report, &can, &mut refused);
            }
        }
    }
    // Regions that decompositions made.
    for func in module.functions.ids() {
        let mut next = module.functions[func].regions.len();
        while next < legal.functions[func].regions.len() {
            let region = RegionId::from_index(next);
            legalize_region(legal.to_mut(), func, region, report, &can, &mut refused);
            next += 1;
        }
    }
    if refused.is_empty() {
        return Ok(legal);
    }
    report_refused(refused, report);
    Err(Failed::Unsupported)
}

struct Refused {
    op: String,
    reason: String,
    place: Option<String>,
}

fn report_refused(refused: Vec<Refused>, report: &mut Report) {
    let mut seen: Vec<(String, String, Option<String>, u64)> = Vec::new();
    for r in refused {
        match seen.iter_mut().find(|(op, reason, ..)| *op == r.op && *reason == r.reason) {
            Some(entry) => entry.3 += 1,
            None => seen.push((r.op, r.reason, r.place, 1)),
        }
    }
    for (op, reason, place, count) in seen {
        let times = if count == 1 { String::new() } else { format!(" ({count} times)") };
        let mut d =
            Diagnostic::error("target-op", format!("`{op}` cannot be written{times}: {reason}"));
        d.at.extend(place);
        report.push(d);
    }
}

fn legalize_region(
    module: &mut Module,
    func: FuncId,
    region: RegionId,
    report: &mut Report,
    can: &impl Fn(&Module, FuncId, NodeId) -> Result<(), String>,
    refused: &mut Vec<Refused>,
) {
    let nodes = std::mem::take(&mut module.functions[func].regions[region].nodes);
    let mut order = Vec::with_capacity(nodes.len());
    let mut replaced: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    // Nodes yet to be looked at, last first, with the depth of their decomposition.
    let mut todo: Vec<(NodeId, u32)> = nodes.into_iter().rev().map(|n| (n, 0)).collect();
    while let Some((id, depth)) = todo.pop() {
        let node = &mut module.functions[func].nodes[id];
        for operand in node.operands.iter_mut().flatten() {
            if let Some(&new) = replaced.get(operand) {
                *operand = new;
            }
        }
        let Err(reason) = can(module, func, id) else {
            order.push(id);
            continue;
        };
        let node = module.functions[func].nodes[id].clone();
        let place = module.source_of(node.origin).map(ToString::to_string);
        let name = match &node.op {
            Op::Opaque(o) => o.source.name.clone(),
            op => op.name().to_owned(),
        };
        let mut refuse = |reason: String| {
            refused.push(Refused { op: name.clone(), reason, place: place.clone() })
        };
        if node.op.info().tier != Tier::Composite || depth >= DEEPEST {
            refuse(reason);
            order.push(id);
            continue;
        }
        match expand(module, func, region, &node) {
            Ok(results) => {
                report.structural(
                    "decomposed",
                    &format!("`{name}` is written as simpler ops: {reason}"),
                    place.clone().unwrap_or_default(),
                );
                for (old, new) in results {
                    // Chains end at the newest value.
                    replaced.insert(old, new);
                }
                let fresh = std::mem::take(&mut module.functions[func].regions[region].nodes);
                todo.extend(fresh.into_iter().rev().map(|n| (n, depth + 1)));
            }
            Err(NoDecomposition::NotComposite) => refuse(reason),
            Err(other) => refuse(format!("{reason}; and it cannot be decomposed: {other}")),
        }
    }
    let r = &mut module.functions[func].regions[region];
    r.nodes = order;
    let last = |mut v: ValueId| {
        while let Some(&new) = replaced.get(&v) {
            v = new;
        }
        v
    };
    r.results = r.results.iter().map(|&v| last(v)).collect();
    // Operands may name a value that was replaced after they were looked at.
    let ids = r.nodes.clone();
    for id in ids {
        for operand in module.functions[func].nodes[id].operands.iter_mut().flatten() {
            *operand = last(*operand);
        }
    }
}

/// Emits a node's decomposition at the end of a region and pairs old with new results.
pub fn expand(
    module: &mut Module,
    func: FuncId,
    region: RegionId,
    node: &Node,
) -> Result<Vec<(ValueId, ValueId)>, NoDecomposition> {
    let by = format!("decompose {}", node.op.name());
    let origin = module.derive(&by, vec![node.origin]);
    let wanted: Vec<bool> = node.results.iter().map(Option::is_some).collect();
    let mut b = Builder::new(module, func, region, origin);
    let results = decompose(&mut b, &node.op, &node.operands, &wanted)?;
    let mut out = Vec::new();
    for (old, new) in node.results.iter().zip(results) {
        if let (Some(old), Some(new)) = (old, new) {
            let f = b.f_mut();
            // The new value takes the old one's name and, where it says more, its type.
            if f.values[new].name.is_none() {
                f.values[new].name = f.values[*old].name.clone();
            }
            if f.values[*old].ty.refines(&f.values[new].ty) {
                f.values[new].ty = f.values[*old].ty.clone();
            }
            out.push((*old, new));
        }
    }
    Ok(out)
}
