//! What variables, lists and attributes are after a branch that only a run chooses.

use std::sync::Arc;

use airconv_ir::dim::Dim;

use super::eval::{Env, Lower, Run};
use super::heap::{Cell, Heap, Object, Ref};
use super::sink::AtenSink;
use super::value::Value;

/// A value after both branches; results of the choice are named by their number.
#[derive(Clone, Debug)]
pub(super) enum Merged<T> {
    Same(Value<T>),
    Tensor(usize),
    Number(usize),
    Tuple(Vec<Merged<T>>),
    Named(Arc<str>, Vec<Merged<T>>),
    List(Vec<Merged<T>>),
    Missing(Arc<str>),
}

/// The values of both branches that the results of the choice are made of.
#[derive(Debug)]
pub(super) struct Pairs<T>(pub Vec<[Value<T>; 2]>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + PartialEq> Pairs<T> {
    fn add(&mut self, a: &Value<T>, b: &Value<T>) -> usize {
        let found = self.0.iter().position(|[x, y]| x == a && y == b);
        found.unwrap_or_else(|| {
            self.0.push([a.clone(), b.clone()]);
            self.0.len() - 1
        })
    }

    /// What a value is that the branches make `a` and `b`, with lists on their heaps.
    pub(super) fn merge(
        &mut self,
        a: &Value<T>,
        b: &Value<T>,
        heaps: [&Heap<T>; 2],
        depth: u32,
    ) -> Merged<T> {
        let missing = |what: String| Merged::Missing(what.into());
        if depth > 16 {
            return missing("it nests too deep to be chosen".to_owned());
        }
        match (a, b) {
            (Value::List(x), Value::List(y)) => {
                // The same list of before: what it holds is settled with the heap.
                if x == y && x.is_before(heaps) {
                    return Merged::Same(a.clone());
                }
                let (x, y) = (heaps[0].list(*x), heaps[1].list(*y));
                match x.len() == y.len() {
                    true => Merged::List(self.merge_all(x, y, heaps, depth)),
                    false => missing("two branches give lists of different lengths".to_owned()),
                }
            }
            (Value::Tuple(x), Value::Tuple(y)) if x.len() == y.len() => {
                Merged::Tuple(self.merge_all(x, y, heaps, depth))
            }
            (Value::Named(c, x), Value::Named(d, y)) if c == d && x.len() == y.len() => {
                Merged::Named(c.clone(), self.merge_all(x, y, heaps, depth))
            }
            (Value::Dict(x), Value::Dict(y)) | (Value::Object(x), Value::Object(y)) => {
                match x == y && x.is_before(heaps) {
                    true => Merged::Same(a.clone()),
                    false => missing("two branches give different objects".to_owned()),
                }
            }
            _ if a == b => Merged::Same(a.clone()),
            (Value::Tensor(_), Value::Tensor(_)) => Merged::Tensor(self.add(a, b)),
            _ if a.is_number() && b.is_number() => Merged::Number(self.add(a, b)),
            _ => missing(format!("one branch gives {}, the other {}", a.kind(), b.kind())),
        }
    }

    fn merge_all(
        &mut self,
        a: &[Value<T>],
        b: &[Value<T>],
        heaps: [&Heap<T>; 2],
        depth: u32,
    ) -> Vec<Merged<T>> {
        a.iter().zip(b).map(|(x, y)| self.merge(x, y, heaps, depth + 1)).collect()
    }
}

/// What the variables and the heap are after both branches.
#[derive(Debug)]
pub(super) struct Plan<T> {
    vars: Vec<(String, Merged<T>)>,
    cells: Vec<(Ref, MergedCell<T>)>,
    pub pairs: Pairs<T>,
}

#[derive(Debug)]
enum MergedCell<T> {
    List(Vec<Merged<T>>),
    Attrs(Vec<(Arc<str>, Merged<T>)>),
    Dict(Vec<(Value<T>, Merged<T>)>),
    Lost,
}

/// Variables and heap at the end of a branch.
pub(super) struct Side<'a, T> {
    pub env: &'a Env<T>,
    pub heap: &'a Heap<T>,
}

/// How to make one state of two. `names` are the variables that either branch sets.
pub(super) fn plan<T: Copy + PartialEq>(
    names: &[String],
    before: &Heap<T>,
    sides: [Side<'_, T>; 2],
) -> Plan<T> {
    let [a, b] = sides;
    let heaps = [a.heap, b.heap];
    let mut pairs = Pairs::default();
    let mut vars = Vec::new();
    for name in names {
        let merged = match (a.env.get(name), b.env.get(name)) {
            (Some(x), Some(y)) => match pairs.merge(x, y, heaps, 0) {
                Merged::Missing(why) => Merged::Missing(format!("`{name}`: {why}").into()),
                merged => merged,
            },
            (None, None) => continue,
            _ => Merged::Missing(format!("`{name}`: only one branch sets it").into()),
        };
        vars.push((name.clone(), merged));
    }
    let mut cells = Vec::new();
    for at in before.refs() {
        let (x, y) = (a.heap.cell(at), b.heap.cell(at));
        if x == y {
            // Both branches changed it in the same way, or neither did.
            continue;
        }
        let merged = match (x, y) {
            (Some(Cell::List(x)), Some(Cell::List(y))) if x.len() == y.len() => {
                MergedCell::List(pairs.merge_all(x, y, heaps, 0))
            }
            (Some(Cell::Object(x)), Some(Cell::Object(y))) => {
                MergedCell::Attrs(merge_attrs(&mut pairs, x, y, heaps))
            }
            (Some(Cell::Dict(x)), Some(Cell::Dict(y)))
                if x.len() == y.len() && x.iter().zip(y).all(|(a, b)| a.0 == b.0) =>
            {
                let entries = x.iter().zip(y);
                let merge = |(a, b): (&(Value<T>, _), &(_, _))| {
                    (a.0.clone(), pairs.merge(&a.1, &b.1, heaps, 0))
                };
                MergedCell::Dict(entries.map(merge).collect())
            }
            _ => MergedCell::Lost,
        };
        cells.push((at, merged));
    }
    Plan { vars, cells, pairs }
}

/// Attributes after both branches. One that only one branch looked up is as in the archive.
fn merge_attrs<T: Copy + PartialEq>(
    pairs: &mut Pairs<T>,
    a: &Object<T>,
    b: &Object<T>,
    heaps: [&Heap<T>; 2],
) -> Vec<(Arc<str>, Merged<T>)> {
    let mut out = Vec::new();
    for (name, x) in &a.attrs {
        match b.get(name) {
            Some(y) => out.push((name.clone(), pairs.merge(x, y, heaps, 0))),
            None => out.push((name.clone(), Merged::Missing(ONE_SIDED.into()))),
        }
    }
    for (name, _) in b.attrs.iter().filter(|(name, _)| a.get(name).is_none()) {
        out.push((name.clone(), Merged::Missing(ONE_SIDED.into())));
    }
    out
}

const ONE_SIDED: &str = "only one of two branches sets it";

impl Ref {
    /// Whether the place is on both heaps.
    fn is_before<T>(self, heaps: [&Heap<T>; 2]) -> bool {
        heaps.iter().all(|h| h.cell(self).is_some())
    }
}

impl<S: AtenSink> Lower<'_, '_, S> {
    /// Puts the state after both branches in place. The heap is that of before them, with what
    /// both did in the same way still to be taken over from `side`.
    pub(super) fn settle(
        &mut self,
        plan: Plan<S::Tensor>,
        results: &[Value<S::Tensor>],
        env: &mut Env<S::Tensor>,
    ) -> Run<()> {
        for (name, merged) in plan.vars {
            let value = self.merged(&merged, results);
            env.insert(name, value);
        }
        for (at, merged) in plan.cells {
            let cell = match merged {
                MergedCell::List(items) => {
                    Cell::List(items.iter().map(|m| self.merged(m, results)).collect())
                }
                MergedCell::Dict(pairs) => {
                    let pairs = pairs.into_iter().map(|(k, m)| (k, self.merged(&m, results)));
                    Cell::Dict(pairs.collect())
                }
                MergedCell::Attrs(attrs) => {
                    let made: Vec<_> =
                        attrs.into_iter().map(|(n, m)| (n, self.merged(&m, results))).collect();
                    if let Some(object) = self.heap.object_mut(at) {
                        for (name, value) in made {
                            object.set(&name, value);
                        }
                    }
                    continue;
                }
                MergedCell::Lost => {
                    return self.unsupported(
                        "a list or dictionary gets another length in one of two branches",
                    );
                }
            };
            if let Some(slot) = self.heap.cell_mut(at) {
                *slot = cell;
            }
        }
        Ok(())
    }

    fn merged(
        &mut self,
        merged: &Merged<S::Tensor>,
        results: &[Value<S::Tensor>],
    ) -> Value<S::Tensor> {
        let result = |i: &usize| results.get(*i).cloned().unwrap_or(Value::None);
        match merged {
            Merged::Same(value) => value.clone(),
            Merged::Tensor(i) | Merged::Number(i) => result(i),
            Merged::Tuple(items) => {
                Value::tuple(items.iter().map(|m| self.merged(m, results)).collect())
            }
            Merged::Named(class, items) => {
                let items: Vec<_> = items.iter().map(|m| self.merged(m, results)).collect();
                Value::Named(class.clone(), items.into())
            }
            Merged::List(items) => {
                let items = items.iter().map(|m| self.merged(m, results)).collect();
                Value::List(self.heap.push(Cell::List(items)))
            }
            Merged::Missing(why) => Value::Missing(why.clone()),
        }
    }
}

/// The leaves of a value that is carried through a loop, in order; `None` where it holds
/// something that cannot be.
pub(super) fn leaves<T: Copy>(value: &Value<T>, out: &mut Vec<Value<T>>) -> Option<()> {
    match value {
        Value::Tensor(_) | Value::Number(_) => out.push(value.clone()),
        Value::Int(Dim::Any) => return None,
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => out.push(value.clone()),
        Value::Tuple(items) | Value::Named(_, items) => {
            items.iter().try_for_each(|item| leaves(item, out))?;
        }
        Value::None | Value::Str(_) | Value::Device(_) | Value::Complex(..) => {}
        _ => return None,
    }
    Some(())
}

/// A value with other leaves, in order.
pub(super) fn with_leaves<T: Copy>(
    value: &Value<T>,
    next: &mut impl Iterator<Item = Value<T>>,
) -> Value<T> {
    match value {
        Value::Tuple(items) => {
            Value::tuple(items.iter().map(|item| with_leaves(item, next)).collect())
        }
        Value::Named(class, items) => {
            let items: Vec<_> = items.iter().map(|item| with_leaves(item, next)).collect();
            Value::Named(class.clone(), items.into())
        }
        Value::Tensor(_) | Value::Number(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
            next.next().unwrap_or(Value::None)
        }
        other => other.clone(),
    }
}

/// Whether two values have their leaves at the same places and are equal elsewhere.
pub(super) fn same_form<T: Copy + PartialEq>(a: &Value<T>, b: &Value<T>) -> bool {
    match (a, b) {
        (Value::Tuple(x), Value::Tuple(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(a, b)| same_form(a, b))
        }
        (Value::Named(c, x), Value::Named(d, y)) => {
            c == d && x.len() == y.len() && x.iter().zip(y.iter()).all(|(a, b)| same_form(a, b))
        }
        (Value::Tensor(_), Value::Tensor(_)) => true,
        _ if a.is_number() => b.is_number(),
        _ => a == b,
    }
}
