//! Inference rules of the control family.
//!
//! The types of a region may mention symbols that come into being inside it: sizes of its
//! parameters and sizes that its nodes find. Such a symbol means nothing outside, so a size
//! that mentions one is open ([`Dim::Any`]) in the result types of the node.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{InferCx, InferError, InferResult, one};
use crate::attr::AttrVisitor;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{RegionId, SymbolId};
use crate::op::*;
use crate::types::{TensorType, Type};

/// What symbols stand for, where that is known.
pub type Bindings = FxHashMap<SymbolId, Dim>;

/// The type of a value that has one of two types: sizes that differ are open, and a tensor
/// of two ranks is unranked. `None` when the dtypes or kinds differ.
pub fn unify(a: &Type, b: &Type) -> Option<Type> {
    let boxed = |x: &Type, y: &Type| unify(x, y).map(Box::new);
    Some(match (a, b) {
        (Type::Unknown, _) | (_, Type::Unknown) => Type::Unknown,
        (Type::Tensor(x), Type::Tensor(y)) if x.dtype == y.dtype && x.rank() == y.rank() => {
            let dims = x.shape.iter().zip(&y.shape);
            Type::tensor(x.dtype, dims.map(|(p, q)| if p == q { p.clone() } else { Dim::Any }))
        }
        (Type::Tensor(_) | Type::Unranked(_), Type::Tensor(_) | Type::Unranked(_)) => {
            let dtype = a.dtype().filter(|d| Some(*d) == b.dtype())?;
            Type::Unranked(dtype)
        }
        (Type::Sequence(x), Type::Sequence(y)) => Type::Sequence(boxed(x, y)?),
        (Type::Optional(x), Type::Optional(y)) => Type::Optional(boxed(x, y)?),
        (Type::Map(k, x), Type::Map(l, y)) if k == l => Type::Map(*k, boxed(x, y)?),
        _ => return None,
    })
}

/// Whether a value of type `given` can be one of type `wanted`: nothing that both say is
/// different. Symbols are taken to fit anything.
pub fn fits(wanted: &Type, given: &Type) -> bool {
    match (wanted, given) {
        (Type::Unknown, _) | (_, Type::Unknown) => true,
        (Type::Tensor(a), Type::Tensor(b)) => {
            a.dtype == b.dtype
                && a.rank() == b.rank()
                && a.shape.iter().zip(&b.shape).all(|pair| match pair {
                    (Dim::Known(x), Dim::Known(y)) => x == y,
                    _ => true,
                })
        }
        (Type::Tensor(_) | Type::Unranked(_), Type::Tensor(_) | Type::Unranked(_)) => {
            wanted.dtype() == given.dtype()
        }
        (Type::Sequence(a), Type::Sequence(b)) | (Type::Optional(a), Type::Optional(b)) => {
            fits(a, b)
        }
        (Type::Map(k, a), Type::Map(l, b)) => k == l && fits(a, b),
        _ => false,
    }
}

/// Finds what the bare symbols of a parameter's type stand for when it is given a value of
/// another type. A symbol that is bound already stays as it is.
pub fn bind_type(param: &Type, given: &Type, bindings: &mut Bindings) {
    match (param, given) {
        (Type::Tensor(p), Type::Tensor(g)) => {
            for (dim, size) in p.shape.iter().zip(&g.shape) {
                if let (Some(symbol), false) = (dim.as_symbol(), size.is_any()) {
                    bindings.entry(symbol).or_insert_with(|| size.clone());
                }
            }
        }
        (Type::Sequence(p), Type::Sequence(g))
        | (Type::Optional(p), Type::Optional(g))
        | (Type::Map(_, p), Type::Map(_, g)) => bind_type(p, g, bindings),
        _ => {}
    }
}

/// The type with every bound symbol replaced.
pub fn replaced(ty: &Type, bindings: &Bindings) -> Type {
    if bindings.is_empty() {
        return ty.clone();
    }
    ty.map_dims(&mut |d| d.substitute(&mut |s| bindings.get(&s).cloned()))
}

fn symbols_of(ty: &Type, found: &mut FxHashSet<SymbolId>) {
    ty.for_each_dim(&mut |d| {
        d.symbols(&mut |s| {
            found.insert(s);
        });
    });
}

/// The symbols that the payload of an op mentions.
fn symbols_in_op(op: &Op) -> FxHashSet<SymbolId> {
    struct Found(FxHashSet<SymbolId>);
    impl AttrVisitor for Found {
        fn dim(&mut self, dim: &mut Dim) {
            dim.symbols(&mut |s| {
                self.0.insert(s);
            });
        }
    }
    let mut found = Found(FxHashSet::default());
    op.attrs().iter_mut().for_each(|(_, a)| a.visit_mut(&mut found));
    found.0
}

/// The symbols that come into being inside a region of a node whose operands have the
/// types `given`. Where that cannot be told, a symbol counts.
pub fn local_symbols(
    cx: &InferCx<'_>,
    region: RegionId,
    given: &[&Type],
) -> Result<FxHashSet<SymbolId>, InferError> {
    let mut local = FxHashSet::default();
    let mut mentioned = FxHashSet::default();
    for ty in cx.region_results(region)? {
        symbols_of(ty, &mut mentioned);
    }
    if mentioned.is_empty() {
        return Ok(local);
    }
    let mut outer = FxHashSet::default();
    given.iter().for_each(|ty| symbols_of(ty, &mut outer));
    for ty in cx.region_params(region)? {
        symbols_of(ty, &mut local);
    }
    local.retain(|s| !outer.contains(s));
    for input in cx.func.regions.get(cx.func.body).into_iter().flat_map(|r| &r.params) {
        if let Some(value) = cx.func.values.get(*input) {
            symbols_of(&value.ty, &mut outer);
        }
    }
    let nodes = cx.func.regions.get(region).into_iter().flat_map(|r| &r.nodes);
    for node in nodes.filter_map(|&n| cx.func.nodes.get(n)) {
        let mut here = FxHashSet::default();
        for value in node.outputs().filter_map(|v| cx.func.values.get(v)) {
            symbols_of(&value.ty, &mut here);
        }
        if let Op::DimsOf(d) = &node.op {
            d.dims.iter().for_each(|d| {
                d.symbols(&mut |s| {
                    here.insert(s);
                });
            });
            here.retain(|s| !outer.contains(s));
            local.extend(here);
            continue;
        }
        if here.is_empty() {
            continue;
        }
        let mut known = FxHashSet::default();
        for value in node.inputs().filter_map(|v| cx.func.values.get(v)) {
            symbols_of(&value.ty, &mut known);
        }
        for inner in node.regions() {
            cx.region_results(inner)?.iter().for_each(|ty| symbols_of(ty, &mut known));
        }
        here.retain(|s| !known.contains(s));
        if !here.is_empty() {
            let payload = symbols_in_op(&node.op);
            local.extend(here.into_iter().filter(|s| !payload.contains(s)));
        }
    }
    Ok(local)
}

/// The type with every size open that mentions one of the symbols.
fn without(ty: &Type, local: &FxHashSet<SymbolId>) -> Type {
    if local.is_empty() {
        return ty.clone();
    }
    ty.map_dims(&mut |d| {
        let mut inside = false;
        d.symbols(&mut |s| inside |= local.contains(&s));
        if inside { Dim::Any } else { d.clone() }
    })
}

fn condition(cx: &InferCx<'_>, ty: &Type, label: &str) -> Result<(), InferError> {
    let holds = match ty {
        Type::Tensor(t) => {
            t.dtype == DType::Bool && t.shape.iter().all(|d| d.as_known().is_none_or(|n| n == 1))
        }
        Type::Unranked(d) => *d == DType::Bool,
        Type::Unknown => true,
        Type::Sequence(_) | Type::Optional(_) | Type::Map(..) => false,
    };
    cx.require(holds, label, || "the condition is not a single bool".to_owned())
}

fn operands_from<'a>(cx: &InferCx<'a>, first: usize) -> Result<Vec<&'a Type>, InferError> {
    (first..cx.operand_count()).map(|i| cx.operand(i)).collect()
}

/// Checks that a region's parameters take values of these types.
fn check_params(
    cx: &InferCx<'_>,
    region: RegionId,
    given: &[&Type],
    label: &str,
) -> Result<(), InferError> {
    let params = cx.region_params(region)?;
    cx.require(params.len() == given.len(), label, || {
        format!("the region has {} parameters for {} values", params.len(), given.len())
    })?;
    for (i, (param, ty)) in params.iter().zip(given).enumerate() {
        cx.require(fits(param, ty), label, || {
            format!("parameter {i} of the region does not take a value of its operand's type")
        })?;
    }
    Ok(())
}

/// What the parameters of a region stand for, and the types of its results in terms of that.
fn region_types(
    cx: &InferCx<'_>,
    region: RegionId,
    given: &[&Type],
) -> Result<Vec<Type>, InferError> {
    let local = local_symbols(cx, region, given)?;
    let mut bindings = Bindings::default();
    for (param, ty) in cx.region_params(region)?.into_iter().zip(given) {
        bind_type(param, ty, &mut bindings);
    }
    bindings.retain(|s, _| local.contains(s));
    Ok(cx
        .region_results(region)?
        .into_iter()
        .map(|ty| without(&replaced(ty, &bindings), &local))
        .collect())
}

/// One of two regions: the results have what the branches agree on.
pub fn if_(cx: &InferCx<'_>, op: &If) -> InferResult {
    condition(cx, cx.operand(0)?, "if-c1")?;
    let captures = operands_from(cx, 1)?;
    check_params(cx, op.then_branch, &captures, "if-c2")?;
    check_params(cx, op.else_branch, &captures, "if-c2")?;
    let then = region_types(cx, op.then_branch, &captures)?;
    let other = region_types(cx, op.else_branch, &captures)?;
    cx.require(then.len() == other.len(), "if-c3", || {
        format!("the branches give {} and {} results", then.len(), other.len())
    })?;
    let mut out = Vec::with_capacity(then.len());
    for (i, (a, b)) in then.iter().zip(&other).enumerate() {
        match unify(a, b) {
            Some(ty) => out.push(ty),
            None => {
                return cx.fail("if-c4", format!("result {i} of the branches differs in dtype"));
            }
        }
    }
    Ok(out)
}

/// What an optional holds; any other type itself.
fn element(ty: &Type) -> &Type {
    match ty {
        Type::Optional(element) => element,
        other => other,
    }
}

/// The types of values that are carried around a region: `given` before it, `params` and
/// `results` of the region. Sizes that the region keeps stay, those that it changes are open.
/// Also gives what the region's symbols stand for in every round. A value may start as an
/// optional of what the region gives.
fn carried(
    cx: &InferCx<'_>,
    given: &[&Type],
    params: &[&Type],
    results: &[&Type],
    local: &FxHashSet<SymbolId>,
    bindings: &mut Bindings,
    label: &str,
) -> Result<Vec<Type>, InferError> {
    // A size that is a symbol of the region going in and the same coming out never changes.
    for ((param, result), init) in params.iter().zip(results).zip(given) {
        let (Type::Tensor(p), Type::Tensor(r), Type::Tensor(g)) = (param, result, init) else {
            continue;
        };
        for ((a, b), size) in p.shape.iter().zip(&r.shape).zip(&g.shape) {
            match a.as_symbol() {
                Some(s) if a == b && local.contains(&s) && !size.is_any() => {
                    bindings.entry(s).or_insert_with(|| size.clone());
                }
                _ => {}
            }
        }
    }
    let mut out = Vec::with_capacity(given.len());
    for (i, ((param, result), init)) in params.iter().zip(results).zip(given).enumerate() {
        let optional = !matches!(result, Type::Optional(_) | Type::Unknown);
        cx.require(
            fits(param, result) || (optional && fits(element(param), result)),
            label,
            || format!("carried value {i} comes out of the body in another type than it goes in"),
        )?;
        let init = if optional { element(init) } else { init };
        match unify(init, &without(&replaced(result, bindings), local)) {
            Some(ty) => out.push(ty),
            None => return cx.fail(label, format!("carried value {i} changes its dtype")),
        }
    }
    Ok(out)
}

/// A stacked output: the element's type with a new axis.
fn stacked(
    cx: &InferCx<'_>,
    element: &Type,
    axis: i64,
    size: &Dim,
    label: &str,
) -> Result<Type, InferError> {
    match element {
        Type::Tensor(t) => {
            let axis = cx.axis(axis, t.rank() + 1)?;
            let mut shape = t.shape.clone();
            shape.insert(axis, size.clone());
            Ok(Type::Tensor(TensorType { dtype: t.dtype, shape }))
        }
        Type::Unranked(d) => Ok(Type::Unranked(*d)),
        Type::Unknown => Ok(Type::Unknown),
        Type::Sequence(_) | Type::Optional(_) | Type::Map(..) => {
            cx.fail(label, "a stacked output is not a tensor")
        }
    }
}

/// A region run repeatedly.
pub fn loop_(cx: &InferCx<'_>, op: &Loop) -> InferResult {
    if let Some(ty) = cx.opt(0) {
        let holds = match ty {
            Type::Tensor(t) => {
                t.dtype.is_integer() && t.shape.iter().all(|d| d.as_known().is_none_or(|n| n == 1))
            }
            Type::Unranked(d) => d.is_integer(),
            Type::Unknown => true,
            Type::Sequence(_) | Type::Optional(_) | Type::Map(..) => false,
        };
        cx.require(holds, "loop-c1", || "the trip count is not a single integer".to_owned())?;
    }
    if let Some(ty) = cx.opt(1) {
        condition(cx, ty, "loop-c2")?;
    }
    let values = operands_from(cx, 2)?;
    let count = match usize::try_from(op.carried) {
        Ok(n) if n <= values.len() => n,
        _ => {
            return cx.fail(
                "loop-c3",
                format!("{} carried values of {} operands", op.carried, values.len()),
            );
        }
    };
    let iteration = Type::Tensor(TensorType::scalar(DType::I64));
    let running = Type::Tensor(TensorType::scalar(DType::Bool));
    let mut given = vec![&iteration, &running];
    given.extend(&values);
    check_params(cx, op.body, &given, "loop-c4")?;
    let results = cx.region_results(op.body)?;
    cx.require(results.len() > count, "loop-c5", || {
        format!("the body gives {} results, {} are due", results.len(), count + 1)
    })?;
    condition(cx, results[0], "loop-c5")?;

    // What is carried may change; what is captured may not.
    let params = cx.region_params(op.body)?;
    let local = local_symbols(cx, op.body, &values)?;
    let mut bindings = Bindings::default();
    for (param, ty) in params.iter().skip(2 + count).zip(&values[count..]) {
        bind_type(param, ty, &mut bindings);
    }
    bindings.retain(|s, _| local.contains(s));
    let mut out = carried(
        cx,
        &values[..count],
        &params[2..2 + count],
        &results[1..1 + count],
        &local,
        &mut bindings,
        "loop-c6",
    )?;
    for ty in &results[1 + count..] {
        let element = without(&replaced(ty, &bindings), &local);
        out.push(stacked(cx, &element, 0, &Dim::Any, "loop-c7")?);
    }
    Ok(out)
}

/// A region run over slices of tensors.
pub fn scan(cx: &InferCx<'_>, op: &Scan) -> InferResult {
    let values = operands_from(cx, 0)?;
    let (Ok(states), Ok(scanned)) = (usize::try_from(op.states), usize::try_from(op.scanned))
    else {
        return cx.fail("scan-c1", "a count is negative");
    };
    cx.require(states.saturating_add(scanned) <= values.len() && scanned > 0, "scan-c1", || {
        format!("{states} states and {scanned} scanned tensors of {} operands", values.len())
    })?;
    cx.require(
        op.input_axes.len() == scanned && op.input_reverse.len() == scanned,
        "scan-c2",
        || format!("not one axis and one direction for each of {scanned} scanned tensors"),
    )?;
    let mut size = Dim::Any;
    let mut slices = Vec::with_capacity(scanned);
    for (i, &axis) in op.input_axes.iter().enumerate() {
        let t = cx.tensor(states + i)?;
        let axis = cx.axis(axis, t.rank())?;
        size = cx.merge_dim(&size, &t.shape[axis])?;
        let mut slice = t.clone();
        slice.shape.remove(axis);
        slices.push(Type::Tensor(slice));
    }
    let mut given = values[..states].to_vec();
    given.extend(&slices);
    given.extend(&values[states + scanned..]);
    check_params(cx, op.body, &given, "scan-c3")?;
    let (params, results) = (cx.region_params(op.body)?, cx.region_results(op.body)?);
    cx.require(results.len() >= states, "scan-c4", || {
        format!("the body gives {} results, {states} states are due", results.len())
    })?;
    let outputs = results.len() - states;
    cx.require(
        op.output_axes.len() == outputs && op.output_reverse.len() == outputs,
        "scan-c5",
        || format!("not one axis and one direction for each of {outputs} stacked outputs"),
    )?;
    let local = local_symbols(cx, op.body, &values)?;
    let mut bindings = Bindings::default();
    for (param, ty) in params.iter().zip(&given).skip(states) {
        bind_type(param, ty, &mut bindings);
    }
    bindings.retain(|s, _| local.contains(s));
    let mut out = carried(
        cx,
        &values[..states],
        &params[..states],
        &results[..states],
        &local,
        &mut bindings,
        "scan-c6",
    )?;
    for (ty, &axis) in results[states..].iter().zip(&op.output_axes) {
        let element = without(&replaced(ty, &bindings), &local);
        out.push(stacked(cx, &element, axis, &size, "scan-c7")?);
    }
    Ok(out)
}

/// A region run on the elements of sequences.
pub fn sequence_map(cx: &InferCx<'_>, op: &SequenceMap) -> InferResult {
    let values = operands_from(cx, 0)?;
    let inputs = match usize::try_from(op.inputs) {
        Ok(n) if n >= 1 && n <= values.len() => n,
        _ => {
            return cx.fail(
                "sequence_map-c1",
                format!("{} inputs of {} operands", op.inputs, values.len()),
            );
        }
    };
    cx.require(matches!(values[0], Type::Sequence(_) | Type::Unknown), "sequence_map-c2", || {
        "the first operand is not a sequence".to_owned()
    })?;
    let given: Vec<&Type> = values
        .iter()
        .enumerate()
        .map(|(i, &ty)| match ty {
            Type::Sequence(element) if i < inputs => &**element,
            _ => ty,
        })
        .collect();
    check_params(cx, op.body, &given, "sequence_map-c3")?;
    let local = local_symbols(cx, op.body, &values)?;
    let mut bindings = Bindings::default();
    for (param, ty) in cx.region_params(op.body)?.into_iter().zip(&given) {
        bind_type(param, ty, &mut bindings);
    }
    bindings.retain(|s, _| local.contains(s));
    let results = cx.region_results(op.body)?;
    Ok(results
        .into_iter()
        .map(|ty| Type::Sequence(Box::new(without(&replaced(ty, &bindings), &local))))
        .collect())
}

/// The operand, unless the condition fails.
pub fn assert(cx: &InferCx<'_>, _op: &Assert) -> InferResult {
    condition(cx, cx.operand(0)?, "assert-c1")?;
    one(cx.operand(1)?.clone())
}

/// The results of the function, with its symbols replaced by what the operands make of them.
pub fn call(cx: &InferCx<'_>, op: &Call) -> InferResult {
    let Some(callee) = cx.module.functions.get(op.function) else {
        return cx.fail("call-c1", format!("there is no function {}", op.function));
    };
    let given = operands_from(cx, 0)?;
    let Some(body) = callee.regions.get(callee.body) else {
        return cx.fail("call-c1", format!("function {} has no body", op.function));
    };
    cx.require(body.params.len() == given.len(), "call-c2", || {
        format!("{} operands for {} inputs", given.len(), body.params.len())
    })?;
    let mut bindings = Bindings::default();
    for (i, (&param, ty)) in body.params.iter().zip(&given).enumerate() {
        let Some(param) = callee.values.get(param) else {
            return cx.fail("call-c1", format!("function {} is not whole", op.function));
        };
        cx.require(fits(&param.ty, ty), "call-c3", || {
            format!("input {i} does not take a value of its operand's type")
        })?;
        bind_type(&param.ty, ty, &mut bindings);
    }
    let mut out = Vec::with_capacity(body.results.len());
    for &result in &body.results {
        let Some(value) = callee.values.get(result) else {
            return cx.fail("call-c1", format!("function {} is not whole", op.function));
        };
        out.push(value.ty.map_dims(&mut |d| {
            d.substitute(&mut |s| Some(bindings.get(&s).cloned().unwrap_or(Dim::Any)))
        }));
    }
    Ok(out)
}

/// The types of an opaque op are declared, not inferred.
pub fn opaque(_cx: &InferCx<'_>, op: &Opaque) -> InferResult {
    Err(InferError::Unknown(format!("a result of {}:{}", op.source.format, op.source.name)))
}
