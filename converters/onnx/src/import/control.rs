//! Reading rules of the control family. Values that a subgraph takes from outside become
//! operands of the node and parameters of its regions.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::ValueId;
use airconv_api::ir::op::{If, Loop, OpKind, Scan, SequenceMap};
use airconv_api::ir::types::{TensorType, Type};

use super::node::{NodeCx, Outcome};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("If", 1, &[OpKind::If], if_),
    ImportRule::new("Loop", 1, &[OpKind::Loop], loop_),
    ImportRule::new("Scan", 9, &[OpKind::Scan], scan),
    ImportRule::new("SequenceMap", 17, &[OpKind::SequenceMap], sequence_map),
];

/// `If`: two subgraphs without inputs.
fn if_(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let condition = cx.input(0)?;
    let bodies = [cx.body("then_branch", &[])?, cx.body("else_branch", &[])?];
    let captures = cx.unite_captures(&bodies);
    let [then_branch, else_branch] = bodies.map(|b| b.region);
    cx.emit_all(If { then_branch, else_branch }, &with(&[condition], captures))
}

/// `Loop`: the body takes iteration, condition and carried values.
fn loop_(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let carried = cx.inputs_from(2)?;
    let mut params = vec![
        Type::Tensor(TensorType::scalar(DType::I64)),
        Type::Tensor(TensorType::scalar(DType::Bool)),
    ];
    params.extend(carried.iter().map(|&v| changing(cx.ty(v))));
    let body = cx.body("body", &params)?;
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

/// `Scan` of opset 9 and later: states, then slices of the scanned inputs.
fn scan(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let scanned = cx.need_int("num_scan_inputs")?;
    let values = cx.inputs_from(0)?;
    let Some(states) = usize::try_from(scanned).ok().and_then(|s| values.len().checked_sub(s)) else {
        return cx.invalid(format!("there are {} inputs, fewer than num_scan_inputs", values.len()));
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

/// One axis per value, 0 where none is given.
fn axes_of(cx: &mut NodeCx<'_, '_>, name: &str, values: &[ValueId]) -> Result<Vec<i64>, super::node::Stop> {
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
            Type::Sequence(element) => match &**element {
                Type::Tensor(t) if t.shape.contains(&Dim::Any) => Type::Unranked(t.dtype),
                element => element.clone(),
            },
            other => other.clone(),
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
