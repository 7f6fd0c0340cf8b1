//! Equality in structure: which nodes of two programs correspond, and what differs.
//!
//! Names and numbers of values, the order of nodes, and how constants are stored make no
//! difference. Nodes are matched region by region, in this order:
//!
//! 1. what is computed from the same by the same ops;
//! 2. what goes the same way to the results;
//! 3. the same op under the same name;
//! 4. the same op in the same order among what is left;
//! 5. an op of the same kind there, with other fields.

mod label;
mod matching;

use std::collections::BTreeMap;

use airconv_ir::entity::{FuncId, NodeId, RegionId, ValueId};
use airconv_ir::module::{Function, InputRole, Module};
use airconv_ir::op::Op;
use airconv_ir::text::{print_node, print_type};
use rustc_hash::FxHashMap;

use label::{DEEPEST, Side};

/// How two programs differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Inputs that are not the same.
    pub inputs: Vec<Port>,
    /// Outputs that are not the same.
    pub outputs: Vec<Port>,
    /// How often each op is used in the first and in the second, where that differs.
    pub ops: BTreeMap<String, (usize, usize)>,
    /// The functions, the program itself first.
    pub functions: Vec<FunctionDiff>,
}

/// An input or output that one program lacks, or that has another type there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name.
    pub name: String,
    /// The type in the first program.
    pub a: Option<String>,
    /// The type in the second program.
    pub b: Option<String>,
}

/// How two functions differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionDiff {
    /// The name, in the first program if it is there.
    pub name: String,
    /// Nodes that are the same.
    pub same: usize,
    /// What differs, in the order of the first program.
    pub changes: Vec<Change>,
    /// Nodes that are the same but for the types of their results.
    pub retyped: Vec<Change>,
}

/// A node that differs: gone, new, or with a counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The node in the first program.
    pub a: Option<Place>,
    /// The node in the second program.
    pub b: Option<Place>,
    /// What differs between the two.
    pub why: Vec<String>,
}

/// A node for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Its line.
    pub line: String,
    /// Where it came from.
    pub origin: Option<String>,
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
            && self.outputs.is_empty()
            && self.functions.iter().all(|f| f.changes.is_empty() && f.retyped.is_empty())
    }
}

/// The difference of two modules. They have passed the verifier.
pub fn diff(a: &Module, b: &Module) -> Diff {
    let (f, g) = (a.main(), b.main());
    let mut out = Diff {
        inputs: ports(&inputs_of(f), &inputs_of(g)),
        outputs: ports(&outputs_of(f), &outputs_of(g)),
        ops: BTreeMap::new(),
        functions: vec![functions(a, a.entry, b, b.entry)],
    };
    for (module, second) in [(a, false), (b, true)] {
        for f in module.functions.values() {
            for &node in f.regions.values().flat_map(|r| &r.nodes) {
                let entry = out.ops.entry(op_name(&f.nodes[node].op)).or_default();
                *(if second { &mut entry.1 } else { &mut entry.0 }) += 1;
            }
        }
    }
    out.ops.retain(|_, (x, y)| x != y);
    let others = |m: &Module| -> BTreeMap<String, FuncId> {
        m.functions
            .iter()
            .filter(|(id, _)| *id != m.entry)
            .map(|(id, f)| (f.name.clone(), id))
            .collect()
    };
    let (of_a, of_b) = (others(a), others(b));
    for (name, &func) in &of_a {
        out.functions.push(match of_b.get(name) {
            Some(&twin) => functions(a, func, b, twin),
            None => alone(a, func, true),
        });
    }
    let new = of_b.iter().filter(|(name, _)| !of_a.contains_key(*name));
    out.functions.extend(new.map(|(_, &func)| alone(b, func, false)));
    out
}

/// A value of each program that stand for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The value in the first program.
    pub a: ValueId,
    /// The value in the second program.
    pub b: ValueId,
    /// Whether they are computed from the same by the same ops.
    pub same: bool,
}

/// The values of two programs' entry functions that correspond beyond being alike: the inputs,
/// and results of nodes that are computed from the same or go the same way to the outputs.
pub fn corresponding(a: &Module, b: &Module) -> Vec<Pair> {
    let mut work = Work::new(a, a.entry, b, b.entry);
    let params = work.entry_params();
    let (f, g) = (work.a.f, work.b.f);
    let found = matching::region(&mut work.a, f.body, &mut work.b, g.body, &params, 0);
    let mut out = params;
    for (x, y) in found.pairs.into_iter().take(found.sound) {
        let (x, y) = (&f.nodes[x], &g.nodes[y]);
        out.extend(x.results.iter().zip(&y.results).filter_map(|(x, y)| Some(((*x)?, (*y)?))));
    }
    let same = |a, b| found.a.get(&a).zip(found.b.get(&b)).is_some_and(|(p, q)| p == q);
    out.into_iter().map(|(a, b)| Pair { a, b, same: same(a, b) }).collect()
}

fn op_name(op: &Op) -> String {
    match op {
        Op::Opaque(o) => o.source.full_name(),
        op => op.name().to_owned(),
    }
}

fn inputs_of(f: &Function) -> Vec<(&str, String)> {
    f.inputs
        .iter()
        .zip(&f.body().params)
        .map(|(input, &v)| {
            let role = match &input.role {
                InputRole::User { default: None, .. } => "",
                InputRole::User { default: Some(_), .. } => " with a default",
                InputRole::Param(_) => ", a parameter",
                InputRole::State(_) => ", state",
            };
            (input.name.as_str(), print_type(f, f.ty(v)) + role)
        })
        .collect()
}

fn outputs_of(f: &Function) -> Vec<(&str, String)> {
    let values = f.outputs.iter().zip(&f.body().results);
    values.map(|(o, &v)| (o.name.as_str(), print_type(f, f.ty(v)))).collect()
}

fn ports(a: &[(&str, String)], b: &[(&str, String)]) -> Vec<Port> {
    let of = |list: &[(&str, String)], name: &str| {
        list.iter().find(|(n, _)| *n == name).map(|(_, t)| t.clone())
    };
    let only_b = b.iter().filter(|(n, _)| of(a, n).is_none());
    a.iter()
        .chain(only_b)
        .map(|(n, _)| Port { name: (*n).to_owned(), a: of(a, n), b: of(b, n) })
        .filter(|p| p.a != p.b)
        .collect()
}

fn place(side: &Side<'_>, node: NodeId) -> Place {
    let origin = side.f.nodes.get(node).and_then(|n| side.module.source_of(n.origin));
    Place {
        node,
        line: print_node(side.module, side.func, node),
        origin: origin.map(ToString::to_string),
    }
}

/// A function that only one of the programs has.
fn alone(module: &Module, func: FuncId, first: bool) -> FunctionDiff {
    let side = Side::new(module, func);
    let mut changes = Vec::new();
    airconv_ir::visit::walk(side.f, &mut |_, node| {
        let here = Some(place(&side, node));
        let (a, b) = if first { (here, None) } else { (None, here) };
        changes.push(Change { a, b, why: Vec::new() });
    });
    FunctionDiff { name: side.f.name.clone(), same: 0, changes, retyped: Vec::new() }
}

fn functions(a: &Module, fa: FuncId, b: &Module, fb: FuncId) -> FunctionDiff {
    let mut work = Work::new(a, fa, b, fb);
    let params = work.entry_params();
    let bodies = (work.a.f.body, work.b.f.body);
    let names: Vec<&str> = work.a.f.outputs.iter().map(|o| o.name.as_str()).collect();
    // Results are compared by name where both are outputs of that name.
    let order: Vec<Option<usize>> =
        names.iter().map(|n| work.b.f.outputs.iter().position(|o| o.name == *n)).collect();
    work.out.name.clone_from(&work.a.f.name);
    work.region(bodies, &params, Some(&order), 0);
    work.out
}

struct Work<'m> {
    a: Side<'m>,
    b: Side<'m>,
    out: FunctionDiff,
}

impl<'m> Work<'m> {
    fn new(a: &'m Module, fa: FuncId, b: &'m Module, fb: FuncId) -> Self {
        Self { a: Side::new(a, fa), b: Side::new(b, fb), out: FunctionDiff::default() }
    }

    /// Parameters of the two bodies: of the same name, else the same position among the rest.
    fn entry_params(&self) -> Vec<(ValueId, ValueId)> {
        let (f, g) = (self.a.f, self.b.f);
        let twin = |name: &str| g.inputs.iter().position(|i| i.name == name);
        let mut out = Vec::new();
        let mut rest_a = Vec::new();
        let mut taken = vec![false; g.inputs.len()];
        for (i, input) in f.inputs.iter().enumerate() {
            match twin(&input.name) {
                Some(j) => {
                    taken[j] = true;
                    out.push((f.body().params[i], g.body().params[j]));
                }
                None => rest_a.push(f.body().params[i]),
            }
        }
        let rest_b = g.body().params.iter().zip(taken).filter(|(_, t)| !t).map(|(&v, _)| v);
        out.extend(rest_a.into_iter().zip(rest_b));
        out
    }

    /// Compares two regions; `order` says which result of the second goes with each of the
    /// first, where that is not the same position.
    fn region(
        &mut self,
        (ra, rb): (RegionId, RegionId),
        params: &[(ValueId, ValueId)],
        order: Option<&[Option<usize>]>,
        depth: u32,
    ) {
        let (f, g) = (self.a.f, self.b.f);
        let found = matching::region(&mut self.a, ra, &mut self.b, rb, params, depth);
        let pairs: FxHashMap<NodeId, NodeId> = found.pairs.iter().copied().collect();
        let mut values: FxHashMap<ValueId, ValueId> = params.iter().copied().collect();
        for (&x, &y) in &pairs {
            let results = f.nodes[x].results.iter().zip(&g.nodes[y].results);
            values.extend(results.filter_map(|(x, y)| Some(((*x)?, (*y)?))));
        }
        let agree = |x: Option<ValueId>, y: Option<ValueId>| match (x, y) {
            (Some(x), Some(y)) => {
                values.get(&x) == Some(&y)
                    || found.a.get(&x).zip(found.b.get(&y)).is_some_and(|(p, q)| p == q)
            }
            (None, None) => true,
            _ => false,
        };
        for &x in &f.regions[ra].nodes {
            let Some(&y) = pairs.get(&x) else {
                let gone = place(&self.a, x);
                self.out.changes.push(Change { a: Some(gone), b: None, why: Vec::new() });
                continue;
            };
            let mut why = self.fields(x, y);
            let (n, m) = (&f.nodes[x], &g.nodes[y]);
            for slot in 0..n.operands.len().max(m.operands.len()) {
                let (p, q) = (n.operand(slot), m.operand(slot));
                if !agree(p, q) {
                    let said = |v: Option<ValueId>| {
                        v.map_or_else(|| "nothing".to_owned(), |v| v.to_string())
                    };
                    why.push(format!("operand {slot}: {} is now {}", said(p), said(q)));
                }
            }
            let types = |f: &Function, results: &[Option<ValueId>]| -> Vec<Option<String>> {
                results.iter().map(|r| r.map(|v| print_type(f, f.ty(v)))).collect()
            };
            let (s, t) = (types(f, &n.results), types(g, &m.results));
            if s != t {
                let text = |list: Vec<Option<String>>| {
                    list.into_iter().flatten().collect::<Vec<_>>().join(", ")
                };
                let line = format!("type: {} is now {}", text(s), text(t));
                if why.is_empty() {
                    let (p, q) = (place(&self.a, x), place(&self.b, y));
                    self.out.retyped.push(Change { a: Some(p), b: Some(q), why: vec![line] });
                } else {
                    why.push(line);
                    self.changed(x, y, why);
                }
            } else if why.is_empty() {
                self.out.same += 1;
            } else {
                self.changed(x, y, why);
            }
            if depth < DEEPEST {
                let inner: Vec<_> = n.regions().into_iter().zip(m.regions()).collect();
                for (p, q) in inner {
                    let params: Vec<(ValueId, ValueId)> = f.regions[p]
                        .params
                        .iter()
                        .copied()
                        .zip(g.regions[q].params.iter().copied())
                        .collect();
                    self.region((p, q), &params, None, depth + 1);
                }
            }
        }
        let twins: std::collections::BTreeSet<NodeId> = pairs.values().copied().collect();
        for &y in g.regions[rb].nodes.iter().filter(|y| !twins.contains(*y)) {
            let new = place(&self.b, y);
            self.out.changes.push(Change { a: None, b: Some(new), why: Vec::new() });
        }
        let (s, t) = (&f.regions[ra].results, &g.regions[rb].results);
        for (i, &x) in s.iter().enumerate() {
            let j = order.map_or(Some(i), |o| o.get(i).copied().flatten());
            if let Some(&y) = j.and_then(|j| t.get(j))
                && !agree(Some(x), Some(y))
            {
                let name = match depth {
                    0 => format!("`{}`", f.outputs.get(i).map_or("", |o| o.name.as_str())),
                    _ => format!("{i} of {ra}"),
                };
                let why = vec![format!("result {name}: {x} is now {y}")];
                self.out.changes.push(Change { a: None, b: None, why });
            }
        }
    }

    fn changed(&mut self, x: NodeId, y: NodeId, why: Vec<String>) {
        let (a, b) = (place(&self.a, x), place(&self.b, y));
        self.out.changes.push(Change { a: Some(a), b: Some(b), why });
    }

    /// What differs in the fields of two nodes of one op.
    fn fields(&mut self, x: NodeId, y: NodeId) -> Vec<String> {
        if self.a.label(x) == self.b.label(y) {
            return Vec::new();
        }
        let (p, q) = (self.a.fields(x), self.b.fields(y));
        let of = |list: &[(&str, String)], key: &str| {
            let found = list.iter().find(|(k, _)| *k == key);
            found.map_or_else(|| "not given".to_owned(), |(_, v)| v.clone())
        };
        let mut keys: Vec<&str> = p.iter().chain(&q).map(|(k, _)| *k).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut why: Vec<String> = keys
            .into_iter()
            .map(|k| (k, of(&p, k), of(&q, k)))
            .filter(|(_, v, w)| v != w)
            .map(|(k, v, w)| format!("{k}: {v} is now {w}"))
            .collect();
        if why.is_empty() {
            why.push("the number of results differs".to_owned());
        }
        why
    }
}

#[cfg(test)]
mod tests;
