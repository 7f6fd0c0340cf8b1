//! Last steps on the calls of a program: what nobody uses goes, and a bias joins its `linear`.

use airconv_ir::types::TensorType;
use rustc_hash::{FxHashMap, FxHashSet};

use super::program::{Arg, Call, Graph, Returned, Target, Var};

/// Calls `f` on every value in an argument.
fn for_each_var(arg: &Arg, f: &mut dyn FnMut(Var)) {
    match arg {
        Arg::Tensor(v) | Arg::Size(v) => f(*v),
        Arg::List(items) => items.iter().for_each(|i| for_each_var(i, f)),
        _ => {}
    }
}

/// Takes out calls without effect whose results nobody uses: sizes that were asked for by rules
/// that then did without.
pub(super) fn drop_unused(graph: &mut Graph) {
    let mut used: FxHashSet<Var> = FxHashSet::default();
    let mark = |arg: &Arg, used: &mut FxHashSet<Var>| {
        for_each_var(arg, &mut |v| {
            used.insert(v);
        });
    };
    graph.outputs.iter().for_each(|a| mark(a, &mut used));
    let mut kept = Vec::with_capacity(graph.calls.len());
    while let Some(mut call) = graph.calls.pop() {
        let made = call.results.iter().any(|r| match r {
            Returned::One(v) => used.contains(v),
            Returned::Many(list) => list.iter().any(|v| used.contains(v)),
        });
        // Reading an element that a size is checked against has an effect.
        if !made && !call.results.is_empty() && call.target != Target::Item {
            continue;
        }
        call.args.iter().for_each(|a| mark(a, &mut used));
        if let Target::Cond(a, b) | Target::While(a, b) = &mut call.target {
            drop_unused(a);
            drop_unused(b);
        }
        kept.push(call);
    }
    kept.reverse();
    graph.calls = kept;
}

/// Makes `linear` and the sum of its result with a vector that is given from the start one call.
pub(super) fn join_biases(graph: &mut Graph, ty: &dyn Fn(Var) -> Option<TensorType>) {
    let mut uses: FxHashMap<Var, usize> = FxHashMap::default();
    let mut count = |arg: &Arg| for_each_var(arg, &mut |v| *uses.entry(v).or_default() += 1);
    graph.outputs.iter().for_each(&mut count);
    graph.calls.iter().flat_map(|c| &c.args).for_each(&mut count);
    let given: FxHashSet<Var> = graph.inputs.iter().copied().collect();
    let mut products: FxHashMap<Var, usize> = FxHashMap::default();
    let mut gone = Vec::new();
    for i in 0..graph.calls.len() {
        if let Some(out) = plain_linear(&graph.calls[i]) {
            products.insert(out, i);
            continue;
        }
        let Some((a, b, out)) = sum(&graph.calls[i]) else { continue };
        for (product, bias) in [(a, b), (b, a)] {
            let Some(&at) = products.get(&product) else { continue };
            let (Some(p), Some(c), Some(y)) = (ty(product), ty(bias), ty(out)) else { continue };
            let fits = c.rank() == 1 && c.shape.last() == p.shape.last() && p == y;
            if fits && given.contains(&bias) && uses.get(&product) == Some(&1) {
                graph.calls[at].args.push(Arg::Tensor(bias));
                graph.calls[at].results = vec![Returned::One(out)];
                gone.push(i);
                break;
            }
        }
    }
    let mut i = 0;
    graph.calls.retain(|_| {
        i += 1;
        gone.binary_search(&(i - 1)).is_err()
    });
    for call in &mut graph.calls {
        if let Target::Cond(a, b) | Target::While(a, b) = &mut call.target {
            join_biases(a, ty);
            join_biases(b, ty);
        }
    }
}

fn is_operator(call: &Call, name: &str, overload: &str) -> bool {
    matches!(&call.target, Target::Operator(s) if s.name == name && s.overload == overload)
}

/// The result of a `linear` without bias.
fn plain_linear(call: &Call) -> Option<Var> {
    let [Returned::One(out)] = call.results.as_slice() else { return None };
    (is_operator(call, "aten::linear", "") && call.args.len() == 2).then_some(*out)
}

/// The summands and the result of a sum of two tensors.
fn sum(call: &Call) -> Option<(Var, Var, Var)> {
    let ([Arg::Tensor(a), Arg::Tensor(b)], [Returned::One(out)]) =
        (call.args.as_slice(), call.results.as_slice())
    else {
        return None;
    };
    is_operator(call, "aten::add", "Tensor").then_some((*a, *b, *out))
}
