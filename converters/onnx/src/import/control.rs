//! Reading rules of the control family. Values that a subgraph takes from outside become
//! operands of the node and parameters of its regions.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::{RegionId, ValueId};
use airconv_api::ir::op::{If, Loop, OpKind, Scan, SequenceMap};
use airconv_api::ir::types::{TensorType, Type};

use super::graph::Body;
use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;
use super::types::UNNAMED;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("If", 1, &[OpKind::If], if_),
    ImportRule::new("Loop", 1, &[OpKind::Loop], loop_),
    ImportRule::new("Scan", 8, &[OpKind::Scan], scan_batched).until(8),
    ImportRule::new("Scan", 9, &[OpKind::Scan], scan),
    ImportRule::new("SequenceMap", 17, &[OpKind::SequenceMap], sequence_map),
];

/// `If`: two subgraphs without inputs. Where the condition is known and the program would not
/// be complete with both of them, the one that is taken stands for the node.
fn if_(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let known = cx.truth(0);
    if let (Some(truth), true) = (known, cx.imp.reads_again()) {
        return taken(cx, truth);
    }
    let start = cx.mark();
    let both = both(cx);
    let Some(truth) = known else { return both };
    match both {
        Ok(outputs) if cx.is_complete(&outputs) => Ok(outputs),
        Ok(outputs) => {
            let body = cx.branch(&outputs, truth)?;
            cx.rewind(start);
            instead(cx, body)
        }
        Err(_) => {
            cx.rewind(start);
            taken(cx, truth)
        }
    }
}

/// The nodes of the branch that is taken.
fn taken(cx: &mut NodeCx<'_, '_>, truth: bool) -> Outcome {
    let (name, other) =
        if truth { ("then_branch", "else_branch") } else { ("else_branch", "then_branch") };
    cx.attrs.ignore(other);
    let body = cx.body(name, &[])?;
    instead(cx, body)
}

/// Puts a body in the place of its node.
fn instead(cx: &mut NodeCx<'_, '_>, body: Body) -> Outcome {
    let place = cx.imp.module.origins.get(cx.origin).map(ToString::to_string);
    cx.imp.report.structural(
        "if-taken",
        "an If whose condition is known is replaced by the branch that it takes",
        place.unwrap_or_default(),
    );
    let results = cx.inline(body)?;
    Ok(results.into_iter().map(Some).collect())
}

fn both(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let condition = cx.input(0)?;
    let bodies = [cx.body("then_branch", &[])?, cx.body("else_branch", &[])?];
    let captures = cx.unite_captures(&bodies);
    let [then_branch, else_branch] = bodies.map(|b| b.region);
    cx.emit_all(If { then_branch, else_branch }, &with(&[condition], captures))
}

/// `Loop`: the body takes iteration, condition and carried values.
fn loop_(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let carried = cx.inputs_from(2)?;
    let carried_types: Vec<Type> = carried.iter().map(|&v| cx.ty(v).clone()).collect();
    let mut ranks_stay = true;
    let body = loop {
        let mut params = vec![
            Type::Tensor(TensorType::scalar(DType::I64)),
            Type::Tensor(TensorType::scalar(DType::Bool)),
        ];
        for (i, ty) in carried_types.iter().enumerate() {
            let declared = cx.declares_rank("body", 2 + i)?;
            params.push(match changing(ty) {
                Type::Unranked(_) if ranks_stay && !declared => resized(cx, ty),
                other => other,
            });
        }
        let body = cx.body("body", &params)?;
        if !ranks_stay || keeps_ranks(cx, body.region, &carried_types) {
            break body;
        }
        // The body makes values of another rank; it is read again without a rank.
        ranks_stay = false;
    };
    let bodies = [body];
    let captures = cx.unite_captures(&bodies);
    let [body] = bodies.map(|b| b.region);
    let mut operands = vec![cx.opt(0), cx.opt(1)];
    operands.extend(carried.iter().chain(&captures).map(|&v| Some(v)));
    cx.emit(Loop { body, carried: carried.len() as i64 }, &operands)
}

/// The type of a value that a loop may change: its dtype and rank stay, its sizes are only
/// taken for granted where the body says so itself.
fn changing(ty: &Type) -> Type {
    match ty {
        Type::Tensor(t) if t.rank() == 0 => ty.clone(),
        Type::Tensor(t) => Type::Unranked(t.dtype),
        Type::Unranked(_)
        | Type::Sequence(_)
        | Type::Optional(_)
        | Type::Map(..)
        | Type::Unknown => ty.clone(),
    }
}

/// The type with a size of its own on each axis.
fn resized(cx: &mut NodeCx<'_, '_>, ty: &Type) -> Type {
    let mut b = cx.b();
    match ty {
        Type::Tensor(t) => {
            let fresh = |_| b.fresh_dim("carried", Some(UNNAMED.to_owned()));
            Type::tensor(t.dtype, (0..t.rank()).map(fresh))
        }
        other => other.clone(),
    }
}

/// Whether the carried results of a loop's body have the ranks that they started with.
fn keeps_ranks(cx: &NodeCx<'_, '_>, body: RegionId, carried: &[Type]) -> bool {
    let ranks = cx.body_output_ranks(body);
    carried.iter().zip(ranks.iter().skip(1)).all(|(ty, rank)| match (ty, rank) {
        (Type::Tensor(t), Ok(rank)) => t.rank() == *rank,
        (Type::Tensor(_), Err(_)) => false,
        _ => true,
    })
}

/// `Scan` of opset 9 and later: states, then slices of the scanned inputs.
fn scan(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let scanned = cx.need_int("num_scan_inputs")?;
    let values = cx.inputs_from(0)?;
    let Some(states) = usize::try_from(scanned).ok().and_then(|s| values.len().checked_sub(s))
    else {
        return cx
            .invalid(format!("there are {} inputs, fewer than num_scan_inputs", values.len()));
    };
    let scanned = values.len() - states;
    let input_axes = axes_of(cx, "scan_input_axes", &values[states..])?;
    let input_reverse = padded(cx.ints("scan_input_directions")?, scanned);
    let mut params: Vec<Type> = values[..states].iter().map(|&v| cx.ty(v).clone()).collect();
    for (&v, &axis) in values[states..].iter().zip(&input_axes) {
        let mut ty = cx.tensor_ty(v)?;
        ty.shape.remove(axis as usize);
        params.push(Type::Tensor(ty));
    }
    let bodies = [cx.body("body", &params)?];
    let captures = cx.unite_captures(&bodies);
    let [body] = bodies.map(|b| b.region);
    let outputs = cx.body_output_ranks(body);
    let stacked = outputs.len().saturating_sub(states);
    let given = padded(cx.ints("scan_output_axes")?, stacked);
    let mut output_axes = Vec::with_capacity(stacked);
    for (axis, rank) in given.into_iter().zip(outputs.into_iter().skip(states)) {
        output_axes.push(cx.axis(axis, rank? + 1)?);
    }
    let output_reverse = padded(cx.ints("scan_output_directions")?, stacked);
    let op = Scan {
        body,
        states: states as i64,
        scanned: scanned as i64,
        input_axes,
        input_reverse,
        output_axes,
        output_reverse,
    };
    cx.emit_all(op, &with(&values, captures))
}

/// `Scan` of opset 8, where the first axis of everything is a batch: a scan over the batch
/// whose body is the scan over the sequence.
fn scan_batched(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let scanned = cx.need_int("num_scan_inputs")?;
    if cx.opt(0).is_some() {
        return Err(Stop::Unsupported("sequences of several lengths in one batch".to_owned()));
    }
    let values = cx.inputs_from(1)?;
    let Some(states) = usize::try_from(scanned).ok().and_then(|s| values.len().checked_sub(s))
    else {
        return cx
            .invalid(format!("there are {} inputs, fewer than num_scan_inputs", values.len()));
    };
    let input_reverse = padded(cx.ints("directions")?, values.len() - states);
    let (mut items, mut params) = (Vec::new(), Vec::new());
    for (i, &v) in values.iter().enumerate() {
        let mut ty = cx.tensor_ty(v)?;
        for axis in 0..1 + usize::from(i >= states) {
            if ty.shape.is_empty() {
                return cx.invalid(format!("input {} has no axis {axis}", i + 1));
            }
            ty.shape.remove(0);
            if axis == 0 {
                items.push(Type::Tensor(ty.clone()));
            }
        }
        params.push(Type::Tensor(ty));
    }
    let bodies = [cx.body("body", &params)?];
    let captures = cx.unite_captures(&bodies);
    let [body] = bodies.map(|b| b.region);
    items.extend(captures.iter().map(|&v| cx.ty(v).clone()));
    let outputs = cx.output_count();
    let stacked = vec![0; outputs.saturating_sub(states)];
    let inner = Scan {
        body,
        states: states as i64,
        scanned,
        input_axes: vec![0; values.len() - states],
        input_reverse,
        output_axes: stacked.clone(),
        output_reverse: stacked,
    };
    let mut b = cx.b();
    let (batch, items) = b.new_region(&items);
    let items: Vec<Option<ValueId>> = items.into_iter().map(Some).collect();
    let results = b.in_region(batch, |b| b.emit_all(inner, &items))?;
    b.set_results(batch, &results);
    let outer = Scan {
        body: batch,
        states: 0,
        scanned: values.len() as i64,
        input_axes: vec![0; values.len()],
        input_reverse: vec![0; values.len()],
        output_axes: vec![0; outputs],
        output_reverse: vec![0; outputs],
    };
    cx.emit_all(outer, &with(&values, captures))
}

/// One axis per value, 0 where none is given.
fn axes_of(cx: &mut NodeCx<'_, '_>, name: &str, values: &[ValueId]) -> Result<Vec<i64>, Stop> {
    let given = padded(cx.ints(name)?, values.len());
    given
        .into_iter()
        .zip(values)
        .map(|(axis, &v)| {
            let rank = cx.tensor_ty(v)?.rank();
            cx.axis(axis, rank)
        })
        .collect()
}

fn padded(mut list: Vec<i64>, len: usize) -> Vec<i64> {
    list.resize(len, 0);
    list
}

/// `SequenceMap`: the body takes one element of each sequence, and tensors as they are.
fn sequence_map(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let values = cx.inputs_from(0)?;
    let params: Vec<Type> = values
        .iter()
        .map(|&v| match cx.ty(v) {
            Type::Sequence(element) => (**element).clone(),
            other => other.clone(),
        })
        .collect();
    let mut b = cx.b();
    let params: Vec<Type> = params
        .iter()
        .map(|ty| {
            ty.map_dims(&mut |d| match d {
                Dim::Any => b.fresh_dim("element", Some(UNNAMED.to_owned())),
                known => known.clone(),
            })
        })
        .collect();
    let bodies = [cx.body("body", &params)?];
    let captures = cx.unite_captures(&bodies);
    let [body] = bodies.map(|b| b.region);
    cx.emit_all(SequenceMap { body, inputs: values.len() as i64 }, &with(&values, captures))
}

fn with(first: &[ValueId], captures: Vec<ValueId>) -> Vec<ValueId> {
    first.iter().copied().chain(captures).collect()
}
