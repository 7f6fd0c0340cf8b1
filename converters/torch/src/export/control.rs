//! Writing rules of the control family: graphs that are given all that they use.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{RegionId, TensorId, ValueId};
use airconv_ir::op::{Loop, Op, OpKind};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::program::{Arg, Graph, Kind, Returned, Target, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::If, if_),
    ExportRule::new(OpKind::Loop, loop_),
    ExportRule::new(OpKind::Assert, assert),
];

/// Stored tensors that regions use, with the values that stand for them here.
type Stored = Vec<(TensorId, Var)>;

fn stored(cx: &mut ExportCx<'_, '_>, regions: &[RegionId]) -> Result<Stored, Refuse> {
    let mut found = Vec::new();
    for &region in regions {
        cx.ex.constants_in(region, &mut found);
    }
    let mut out = Vec::new();
    for (id, value) in found {
        out.push((id, cx.ex.stored_var(id, value)?));
    }
    Ok(out)
}

/// A condition as a bool of rank 0.
fn condition(cx: &mut ExportCx<'_, '_>, x: Var) -> Result<Var, Refuse> {
    let x = cx.cast(x, DType::Bool)?;
    cx.reshape(x, &[])
}

fn probe_results(cx: &mut ExportCx<'_, '_>) -> Written {
    let mut out = Vec::new();
    for slot in 0..cx.result_count() {
        out.push(match cx.wants(slot) {
            true => {
                let ty = cx.result_type(slot)?;
                Some(cx.ex.var(Kind::Tensor(ty), "probe"))
            }
            false => None,
        });
    }
    Ok(out)
}

/// The results of a call by slot; those that are not wanted have the type of the graph's.
fn results(
    cx: &mut ExportCx<'_, '_>,
    slots: usize,
    graph: &Graph,
    like: &str,
) -> Result<Vec<Var>, Refuse> {
    let mut out = Vec::new();
    for slot in 0..slots {
        let ty = match (cx.wants(slot), graph.outputs.get(slot)) {
            (true, _) => cx.result_type(slot)?,
            (false, Some(Arg::Tensor(v))) => cx.ty(*v)?,
            _ => return Refuse::because("a branch gives too few results"),
        };
        let var = cx.ex.var(Kind::Tensor(ty), like);
        cx.ex.add_places(var);
        out.push(var);
    }
    Ok(out)
}

fn returned(vars: &[Var]) -> Vec<Returned> {
    vars.iter().map(|&v| Returned::One(v)).collect()
}

fn if_(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::If(i) = op else { return other_op() };
    if cx.ex.probe {
        return probe_results(cx);
    }
    let predicate = cx.x(0)?;
    let predicate = condition(cx, predicate)?;
    let stored = stored(cx, &[i.then_branch, i.else_branch])?;
    let captures = cx.from(1)?;
    let branches = [("true_graph", i.then_branch), ("false_graph", i.else_branch)];
    let mut graphs = Vec::new();
    for (name, region) in branches {
        graphs.push(branch(cx, name, region, &captures, &stored)?);
    }
    let mut operands = captures;
    operands.extend(stored.iter().map(|(_, v)| *v));
    let [then, otherwise] = <[Graph; 2]>::try_from(graphs).map_err(|_| Refuse(String::new()))?;
    let out = results(cx, then.outputs.len(), &then, "cond")?;
    let target = Target::Cond(Box::new(then), Box::new(otherwise));
    cx.ex.add_call(target, args![predicate, operands], returned(&out));
    Ok(out.into_iter().map(Some).collect())
}

fn params(cx: &ExportCx<'_, '_>, region: RegionId) -> Result<Vec<ValueId>, Refuse> {
    match cx.ex.f().regions.get(region) {
        Some(r) => Ok(r.params.clone()),
        None => Refuse::because("it has no such region"),
    }
}

fn stored_types(
    cx: &ExportCx<'_, '_>,
    stored: &Stored,
) -> Result<Vec<(TensorId, TensorType)>, Refuse> {
    stored.iter().map(|(id, var)| Ok((*id, cx.ty(*var)?))).collect()
}

fn branch(
    cx: &mut ExportCx<'_, '_>,
    name: &str,
    region: RegionId,
    captures: &[Var],
    stored: &Stored,
) -> Result<Graph, Refuse> {
    let mut inputs = Vec::new();
    for (&param, &given) in params(cx, region)?.iter().zip(captures) {
        inputs.push((vec![param], cx.ty(given)?));
    }
    let stored = stored_types(cx, stored)?;
    cx.ex.nested(name, &inputs, &stored, |ex, _| ex.fill(region))
}

/// A loop while it is written.
struct Writing {
    body: RegionId,
    carried: usize,
    /// Whether what is stacked has its final size from the start.
    sized: bool,
    limited: bool,
}

/// `loop`: a while loop that carries the iteration number, the condition, the carried values and
/// what has been stacked.
fn loop_(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Loop(l) = op else { return other_op() };
    if cx.ex.probe {
        return probe_results(cx);
    }
    let stored = stored(cx, &[l.body])?;
    let values = cx.from(2)?;
    let carried = usize::try_from(l.carried).unwrap_or(usize::MAX).min(values.len());
    let stacks = stack_types(cx, l, carried)?;
    let writing = Writing {
        body: l.body,
        carried,
        sized: !stacks.is_empty() && runs_through(cx, l) && first_sizes_at_hand(cx, &stacks),
        limited: cx.value(0).is_some(),
    };
    let start = cx.full(&[], Arg::Int(0), DType::I64)?;
    let running = match cx.opt(1)? {
        Some(x) => condition(cx, x)?,
        None => cx.full(&[], Arg::Bool(true), DType::Bool)?,
    };
    let mut initial = vec![start, running];
    initial.extend(&values[..carried]);
    for ty in &stacks {
        initial.push(empty_stack(cx, ty, writing.sized)?);
    }
    let initial = distinct(cx, initial)?;
    let mut others = values[carried..].to_vec();
    others.extend(stored.iter().map(|(_, v)| *v));
    if let Some(trips) = cx.opt(0)? {
        let trips = cx.cast(trips, DType::I64)?;
        others.push(cx.reshape(trips, &[])?);
    }
    let inputs = loop_inputs(cx, &writing, &initial, &others, stored.len(), &stacks)?;
    let ids = stored_types(cx, &stored)?;
    let condition = while_condition(cx, &writing, &inputs, &ids)?;
    let body = while_body(cx, &writing, &inputs, &ids, stacks.len())?;
    let mut out = Vec::new();
    for (slot, &var) in initial.iter().enumerate() {
        let ty = match slot.checked_sub(2).filter(|&s| cx.wants(s)) {
            Some(s) => cx.result_type(s)?,
            None => cx.ty(var)?,
        };
        let var = cx.ex.var(Kind::Tensor(ty), "while_loop");
        out.push(var);
    }
    let target = Target::While(Box::new(condition), Box::new(body));
    cx.ex.add_call(target, args![initial, others], returned(&out));
    let out: Vec<Var> = out.into_iter().skip(2).collect();
    out.iter().for_each(|&v| cx.ex.add_places(v));
    Ok(out.into_iter().map(Some).collect())
}

/// The types of the stacked results.
fn stack_types(cx: &ExportCx<'_, '_>, l: &Loop, carried: usize) -> Result<Vec<TensorType>, Refuse> {
    let results = cx.ex.f().regions.get(l.body).map_or(0, |r| r.results.len());
    let mut out = Vec::new();
    for slot in carried..results.saturating_sub(1) {
        if !cx.wants(slot) {
            return Refuse::because("a stacked result that nobody uses");
        }
        out.push(cx.result_type(slot)?);
    }
    Ok(out)
}

/// Whether a loop runs as often as its trip count says: its condition is what it was.
fn runs_through(cx: &ExportCx<'_, '_>, l: &Loop) -> bool {
    let Some(r) = cx.ex.f().regions.get(l.body) else { return false };
    let (Some(&given), Some(&next)) = (r.params.get(1), r.results.first()) else { return false };
    let next = cx.ex.root(next);
    let stays = next == given || is_true(cx, next);
    let starts = cx.value(1).is_none_or(|v| is_true(cx, v));
    stays && starts && cx.value(0).is_some()
}

fn is_true(cx: &ExportCx<'_, '_>, value: ValueId) -> bool {
    matches!(cx.ex.scalar_of(value), Some(airconv_ir::array::Scalar::Bool(true)))
}

fn first_sizes_at_hand(cx: &mut ExportCx<'_, '_>, stacks: &[TensorType]) -> bool {
    stacks.iter().all(|ty| ty.shape.iter().all(|d| cx.size(d).is_ok()))
}

/// What is stacked before the first iteration: zeros that are written over, or nothing.
fn empty_stack(cx: &mut ExportCx<'_, '_>, ty: &TensorType, sized: bool) -> Result<Var, Refuse> {
    let mut dims = ty.shape.to_vec();
    if let (false, Some(first)) = (sized, dims.first_mut()) {
        *first = Dim::Known(0);
    }
    let zero = super::cx::number_of(ty.dtype, 0.0);
    cx.full(&dims, zero, ty.dtype)
}

/// Carried tensors are not each other's aliases.
fn distinct(cx: &mut ExportCx<'_, '_>, vars: Vec<Var>) -> Result<Vec<Var>, Refuse> {
    let mut out: Vec<Var> = Vec::new();
    for var in vars {
        out.push(if out.contains(&var) { cx.clone_of(var)? } else { var });
    }
    Ok(out)
}

/// The inputs of both graphs with the parameters that they stand for.
fn loop_inputs(
    cx: &ExportCx<'_, '_>,
    w: &Writing,
    initial: &[Var],
    others: &[Var],
    stored: usize,
    stacks: &[TensorType],
) -> Result<Vec<(Vec<ValueId>, TensorType)>, Refuse> {
    let params = params(cx, w.body)?;
    let mut out = Vec::new();
    for (slot, &var) in initial.iter().enumerate() {
        out.push(match slot.checked_sub(2 + w.carried) {
            Some(stack) => (Vec::new(), stacks[stack].clone()),
            None => {
                let values: Vec<ValueId> = params.get(slot).copied().into_iter().collect();
                // A carried value may change its size on the way.
                let ty = match values.first() {
                    Some(&v) => cx.ex.value_type(v)?,
                    None => cx.ty(var)?,
                };
                (values, ty)
            }
        });
    }
    let captures = others.len() - stored - usize::from(w.limited);
    for (i, &var) in others.iter().enumerate() {
        if i >= captures && i < captures + stored {
            continue;
        }
        let value = (i < captures).then(|| params.get(2 + w.carried + i).copied()).flatten();
        out.push((value.into_iter().collect(), cx.ty(var)?));
    }
    Ok(out)
}

/// The types in the order of [`Exporter::nested`]: stored tensors come after all others, so the
/// trip count is moved behind them.
fn while_condition(
    cx: &mut ExportCx<'_, '_>,
    w: &Writing,
    inputs: &[(Vec<ValueId>, TensorType)],
    stored: &[(TensorId, TensorType)],
) -> Result<Graph, Refuse> {
    let limited = w.limited;
    let mut graph = cx.ex.nested("while_loop_cond_graph", inputs, stored, |ex, given| {
        let mut cx = ExportCx::helper(ex);
        let (i, running) = (given[0], given[1]);
        if !limited {
            return Ok(vec![cx.clone_of(running)?]);
        }
        let trips = given[given.len() - stored.len() - 1];
        let within = cx.compare("aten::lt.Tensor", i, trips)?;
        Ok(vec![cx.binary("aten::logical_and", within, running)?])
    })?;
    trips_last(&mut graph, limited, stored.len());
    Ok(graph)
}

/// Puts the trip count behind the stored tensors.
fn trips_last(graph: &mut Graph, limited: bool, stored: usize) {
    if limited {
        let at = graph.inputs.len() - stored - 1;
        let trips = graph.inputs.remove(at);
        graph.inputs.push(trips);
    }
}

fn while_body(
    cx: &mut ExportCx<'_, '_>,
    w: &Writing,
    inputs: &[(Vec<ValueId>, TensorType)],
    stored: &[(TensorId, TensorType)],
    stacks: usize,
) -> Result<Graph, Refuse> {
    let mut graph = cx.ex.nested("while_loop_body_graph", inputs, stored, |ex, given| {
        let results = ex.fill(w.body)?;
        let mut cx = ExportCx::helper(ex);
        let i = given[0];
        let next = cx.with("aten::add.Tensor", i, 1i64)?;
        let running = condition(&mut cx, results[0])?;
        let mut out = vec![next, running];
        out.extend(&results[1..1 + w.carried]);
        for s in 0..stacks {
            let (stack, element) = (given[2 + w.carried + s], results[1 + w.carried + s]);
            out.push(stacked(&mut cx, w, i, stack, element)?);
        }
        Ok(out)
    })?;
    trips_last(&mut graph, w.limited, stored.len());
    Ok(graph)
}

/// A stack with one more element.
fn stacked(
    cx: &mut ExportCx<'_, '_>,
    w: &Writing,
    i: Var,
    stack: Var,
    element: Var,
) -> Result<Var, Refuse> {
    let ty = cx.ty(stack)?;
    let element = cx.unsqueeze(element, 0)?;
    if !w.sized {
        return cx.op("aten::cat", args![vec![stack, element]], ty);
    }
    let at = cx.unsqueeze(i, 0)?;
    cx.op("aten::index_put", args![stack, vec![at], element], ty)
}

/// `assert`: fails with the message.
fn assert(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Assert(a) = op else { return other_op() };
    let (holds, x) = (cx.x(0)?, cx.x(1)?);
    let holds = condition(cx, holds)?;
    cx.effect("aten::_assert_async.msg", args![holds, a.message.as_str()])?;
    cx.one(x)
}
