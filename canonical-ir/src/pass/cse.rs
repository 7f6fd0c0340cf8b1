//! Computes equal things once.
//!
//! 1. Of two nodes of one region with equal op, fields and operands the second goes. Nodes
//!    that draw random numbers or act on the world, and nodes that carry regions or call
//!    functions, are left alone.
//! 2. The operands of a commutative op may be in either order.
//! 3. Constants with equal dtype, shape and bytes are equal.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;

use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::attr::Attr;
use crate::entity::{NodeId, RegionId, TensorId, ValueId};
use crate::module::{Module, Node, Operands};
use crate::op::{Effects, Op, Tier};
use crate::tensor::{Storage, Tensor};

/// Constants of more bytes are equal only when they are the same bytes in memory.
const MOST_COMPARED: u64 = 64 << 10;

/// The pass.
pub struct Cse;

impl Pass for Cse {
    fn name(&self) -> &'static str {
        "cse"
    }
    fn doc(&self) -> &'static str {
        "lets a node take the results of an equal one before it"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        let mut seen: FxHashMap<u64, SmallVec<[NodeId; 1]>> = FxHashMap::default();
        let mut region: Option<(crate::entity::FuncId, RegionId)> = None;
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            if region != Some((site.func(), site.region)) {
                region = Some((site.func(), site.region));
                seen.clear();
            }
            visit(site, cx, &mut seen);
        }))
    }
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx, seen: &mut FxHashMap<u64, SmallVec<[NodeId; 1]>>) {
    let n = site.n();
    let info = n.op.info();
    let mergeable = matches!(info.effects, Effects::Pure | Effects::MayFail)
        && info.tier != Tier::Reference
        && !n.results.is_empty()
        && n.regions().is_empty();
    if !mergeable {
        return;
    }
    let operands = ordered(&n.op, &n.operands);
    let key = hash(site.module(), &n.op, &operands);
    let equal = seen.get(&key).into_iter().flatten().copied().find(|&other| {
        let o = &site.f().nodes[other];
        same_results(o, n)
            && ordered(&o.op, &o.operands) == operands
            && same_op(site.module(), &o.op, &n.op)
    });
    match equal {
        Some(other) => {
            let results: Vec<Option<ValueId>> = site.f().nodes[other].results.to_vec();
            site.forward(cx, "an equal node comes before", &results);
        }
        None => seen.entry(key).or_default().push(site.node),
    }
}

/// Whether one node has every result that another one has.
fn same_results(have: &Node, want: &Node) -> bool {
    want.results.iter().enumerate().all(|(i, r)| r.is_none() || have.result(i).is_some())
}

fn commutes(op: &Op) -> bool {
    matches!(
        op,
        Op::Add(_)
            | Op::Mul(_)
            | Op::Equal(_)
            | Op::And(_)
            | Op::Or(_)
            | Op::Xor(_)
            | Op::BitAnd(_)
            | Op::BitOr(_)
            | Op::BitXor(_)
    )
}

fn ordered(op: &Op, operands: &Operands) -> Operands {
    let mut operands = operands.clone();
    if commutes(op) {
        operands.sort_unstable();
    }
    operands
}

fn same_op(module: &Module, a: &Op, b: &Op) -> bool {
    match (a, b) {
        (Op::Constant(x), Op::Constant(y)) => same_tensor(module, x.tensor, y.tensor),
        _ => a == b,
    }
}

fn same_tensor(module: &Module, a: TensorId, b: TensorId) -> bool {
    if a == b {
        return true;
    }
    let (Some(x), Some(y)) = (module.tensors.get(a), module.tensors.get(b)) else { return false };
    if x.dtype != y.dtype || x.dims != y.dims {
        return false;
    }
    match (&x.storage, &y.storage) {
        (Storage::Bytes(p), Storage::Bytes(q)) => {
            let one = p.as_ptr() == q.as_ptr() && p.len() == q.len();
            one || (p.len() as u64 <= MOST_COMPARED && p == q)
        }
        (p, q) => p == q,
    }
}

fn hash(module: &Module, op: &Op, operands: &Operands) -> u64 {
    let mut h = FxHasher::default();
    op.kind().hash(&mut h);
    operands.hash(&mut h);
    match op {
        Op::Constant(c) => {
            if let Some(t) = module.tensors.get(c.tensor) {
                hash_tensor(t, &mut h);
            }
        }
        _ if op.info().fields.is_empty() => {}
        _ => {
            for (name, attr) in op.attrs() {
                name.hash(&mut h);
                hash_attr(&attr, &mut h);
            }
        }
    }
    h.finish()
}

fn hash_tensor(t: &Tensor, h: &mut FxHasher) {
    t.dtype.hash(h);
    t.dims.hash(h);
    match &t.storage {
        // Large ones are told apart by a part of them.
        Storage::Bytes(b) if b.len() as u64 > MOST_COMPARED => b.as_ptr().hash(h),
        Storage::Bytes(b) | Storage::Splat(b) => b.hash(h),
        Storage::Strings(s) => s.len().hash(h),
        Storage::External { path, offset, .. } => (path, offset).hash(h),
    }
}

fn hash_attr(attr: &Attr, h: &mut FxHasher) {
    match attr {
        Attr::Bool(v) => v.hash(h),
        Attr::Int(v) => v.hash(h),
        Attr::Float(v) => v.hash(h),
        Attr::Str(v) => v.hash(h),
        Attr::Bytes(v) => v.hash(h),
        Attr::DType(v) => v.hash(h),
        Attr::Dim(v) => v.hash(h),
        Attr::Type(v) => v.hash(h),
        Attr::Tensor(v) => v.hash(h),
        Attr::Region(v) => v.hash(h),
        Attr::Func(v) => v.hash(h),
        Attr::Ints(v) => v.hash(h),
        Attr::Floats(v) => v.hash(h),
        Attr::Strs(v) => v.hash(h),
        Attr::Dims(v) => v.hash(h),
        Attr::List(v) => v.iter().for_each(|a| hash_attr(a, h)),
        Attr::Map(v) => v.iter().for_each(|(k, a)| {
            k.hash(h);
            hash_attr(a, h);
        }),
    }
}
