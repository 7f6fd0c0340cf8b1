//! Decompositions of the control family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{RegionId, ValueId};
use crate::infer::{InferError, infer};
use crate::module::Operands;
use crate::op::*;
use crate::types::{TensorType, Type};

type Value = Result<ValueId, NoDecomposition>;

/// The types of some values.
fn types(cx: &DecomposeCx<'_, '_>, values: &[ValueId]) -> Vec<Type> {
    values.iter().map(|&v| cx.b.ty(v).clone()).collect()
}

/// A new loop body for carried values and captures of these types: the region, the
/// iteration number, the condition and the other parameters.
fn loop_body(
    cx: &mut DecomposeCx<'_, '_>,
    rest: &[Type],
) -> Result<(RegionId, ValueId, ValueId, Vec<ValueId>), NoDecomposition> {
    let mut params = vec![
        Type::Tensor(TensorType::scalar(DType::I64)),
        Type::Tensor(TensorType::scalar(DType::Bool)),
    ];
    params.extend(rest.iter().cloned());
    let (region, mut values) = cx.b.new_region(&params);
    if values.len() < 2 {
        return cx.unsupported("a region without parameters");
    }
    let rest = values.split_off(2);
    Ok((region, values[0], values[1], rest))
}

/// Emits a loop over a known number of rounds, and gives its results.
fn emit_loop(
    cx: &mut DecomposeCx<'_, '_>,
    body: RegionId,
    rounds: ValueId,
    carried: usize,
    values: &[ValueId],
    refine: impl FnOnce(&mut [Type]),
) -> Result<Vec<ValueId>, NoDecomposition> {
    let op: Op = Loop { body, carried: carried as i64 }.into();
    let operands: Vec<Option<ValueId>> =
        [Some(rounds), None].into_iter().chain(values.iter().map(|&v| Some(v))).collect();
    let mut types = infer(cx.b.module, cx.b.f(), &op, &Operands::from_slice(&operands))
        .map_err(crate::builder::BuildError::from)?;
    refine(&mut types);
    let present = vec![true; types.len()];
    let node = cx.b.typed_node(op, &operands, types, &present);
    Ok(cx.b.f().nodes[node].outputs().collect())
}

fn results(cx: &DecomposeCx<'_, '_>, values: Vec<ValueId>) -> DecomposeResult {
    Ok(values.into_iter().enumerate().map(|(i, v)| cx.wants(i).then_some(v)).collect())
}

/// position -> last - position
fn mirrored(cx: &mut DecomposeCx<'_, '_>, position: ValueId, size: &Dim) -> Value {
    let last = cx.b.dim_scalar(&(size - 1))?;
    Ok(cx.b.sub(last, position)?)
}

/// A loop over the slices; the states are carried, the outputs stacked.
pub fn scan(cx: &mut DecomposeCx<'_, '_>, op: &Scan) -> DecomposeResult {
    let values = cx.from(0);
    let (states, scanned) = match (usize::try_from(op.states), usize::try_from(op.scanned)) {
        (Ok(s), Ok(n)) if s.saturating_add(n) <= values.len() && n > 0 => (s, n),
        _ => return cx.unsupported("the counts do not fit the operands"),
    };
    let mut size = Dim::Any;
    for (&v, &axis) in values[states..].iter().zip(&op.input_axes) {
        let shape = cx.b.tensor_ty(v)?.shape;
        match usize::try_from(axis).ok().and_then(|a| shape.get(a)) {
            Some(d) if size.as_known().is_none() && !d.is_any() => size = d.clone(),
            Some(_) => {}
            None => return cx.unsupported("an axis is out of range"),
        }
    }
    let (body, iteration, running, rest) = {
        let types = types(cx, &values);
        loop_body(cx, &types)?
    };
    let outer = std::mem::replace(&mut cx.b.region, body);
    let made = scan_body(cx, op, states, scanned, &size, iteration, rest);
    cx.b.region = outer;
    let mut out = vec![running];
    out.extend(made?);
    cx.b.set_results(body, &out);

    let rounds = cx.b.dim_scalar(&size)?;
    let mut out = emit_loop(cx, body, rounds, states, &values, |types| {
        for ty in types.iter_mut().skip(states) {
            if let Type::Tensor(t) = ty
                && let Some(first) = t.shape.first_mut()
            {
                *first = size.clone();
            }
        }
    })?;
    for ((value, &axis), &reverse) in
        out.iter_mut().skip(states).zip(&op.output_axes).zip(&op.output_reverse)
    {
        if reverse != 0 {
            let order = cx.b.iota(DType::I64, size.clone())?;
            let order = mirrored(cx, order, &size)?;
            *value = cx.b.emit(Gather { axis: 0 }, &[*value, order])?;
        }
        let rank = cx.b.tensor_ty(*value)?.rank() as i64;
        let mut perm: Vec<i64> = (1..rank).collect();
        if axis < 0 || axis >= rank {
            return cx.unsupported("an output axis is out of range");
        }
        perm.insert(axis as usize, 0);
        *value = cx.b.transpose(*value, &perm)?;
    }
    results(cx, out)
}

/// The slices of one round, then the body on them.
fn scan_body(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Scan,
    states: usize,
    scanned: usize,
    size: &Dim,
    iteration: ValueId,
    mut args: Vec<ValueId>,
) -> Result<Vec<ValueId>, NoDecomposition> {
    let directions = op.input_axes.iter().zip(&op.input_reverse);
    let mut backward = None;
    for (arg, (&axis, &reverse)) in args.iter_mut().skip(states).take(scanned).zip(directions) {
        let position = match (reverse != 0, backward) {
            (false, _) => iteration,
            (true, Some(position)) => position,
            (true, None) => {
                let position = mirrored(cx, iteration, size)?;
                backward = Some(position);
                position
            }
        };
        *arg = cx.b.emit(Gather { axis }, &[*arg, position])?;
    }
    Ok(cx.b.inline_region(op.body, &args)?)
}

/// A loop over the length of the first sequence; the results are sequences that grow.
pub fn sequence_map(cx: &mut DecomposeCx<'_, '_>, op: &SequenceMap) -> DecomposeResult {
    let values = cx.from(0);
    let inputs = match usize::try_from(op.inputs) {
        Ok(n) if n >= 1 && n <= values.len() => n,
        _ => return cx.unsupported("the counts do not fit the operands"),
    };
    let operands: Vec<Option<ValueId>> = values.iter().map(|&v| Some(v)).collect();
    let whole: Op = op.clone().into();
    let kinds = infer(cx.b.module, cx.b.f(), &whole, &Operands::from_slice(&operands))
        .map_err(crate::builder::BuildError::from)?;
    let mut start = Vec::with_capacity(kinds.len() + values.len());
    for kind in &kinds {
        let dtype = match kind {
            Type::Sequence(element) => element.dtype(),
            _ => None,
        };
        let Some(dtype) = dtype else {
            return cx.unsupported("an element of a result is not a tensor");
        };
        let node =
            cx.b.typed_node(SequenceEmpty { dtype }.into(), &[], vec![kind.clone()], &[true]);
        let Some(value) = cx.b.f().nodes[node].result(0) else {
            return cx.unsupported("a sequence without a value");
        };
        start.push(value);
    }
    let rounds = cx.b.emit(SequenceLength {}, &values[..1])?;
    start.extend(&values);
    let (body, iteration, running, rest) = {
        let types = types(cx, &start);
        loop_body(cx, &types)?
    };
    let outer = std::mem::replace(&mut cx.b.region, body);
    let made = map_body(cx, op, kinds.len(), inputs, iteration, rest);
    cx.b.region = outer;
    let mut out = vec![running];
    out.extend(made?);
    cx.b.set_results(body, &out);
    let out = emit_loop(cx, body, rounds, kinds.len(), &start, |_| {})?;
    results(cx, out)
}

/// The elements of one round, the body on them, and its results put at the ends.
fn map_body(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SequenceMap,
    outputs: usize,
    inputs: usize,
    iteration: ValueId,
    mut rest: Vec<ValueId>,
) -> Result<Vec<ValueId>, NoDecomposition> {
    let mut args = rest.split_off(outputs);
    let wanted: Vec<Type> = match cx.b.f().regions.get(op.body) {
        Some(r) => r.params.iter().map(|&p| cx.b.ty(p).clone()).collect(),
        None => return cx.unsupported("there is no body"),
    };
    for (arg, param) in args.iter_mut().zip(wanted).take(inputs) {
        let element = match cx.b.ty(*arg) {
            Type::Sequence(element) => (**element).clone(),
            Type::Tensor(_)
            | Type::Unranked(_)
            | Type::Optional(_)
            | Type::Map(..)
            | Type::Unknown => continue,
        };
        // Where the sequence says less of its elements than the body, the body counts.
        let ty = match element {
            Type::Unranked(_) | Type::Unknown => param,
            known => known,
        };
        let operands = [Some(*arg), Some(iteration)];
        let node = cx.b.typed_node(SequenceAt {}.into(), &operands, vec![ty], &[true]);
        match cx.b.f().nodes[node].result(0) {
            Some(value) => *arg = value,
            None => return cx.unsupported("an element without a value"),
        }
    }
    let made = cx.b.inline_region(op.body, &args)?;
    if made.len() != outputs {
        return Err(crate::builder::BuildError::from(InferError::Invalid {
            label: "sequence_map-c4".to_owned(),
            message: format!("the body gives {} results, {outputs} are due", made.len()),
        })
        .into());
    }
    let mut grown = Vec::with_capacity(outputs);
    for (sequence, value) in rest.into_iter().zip(made) {
        grown.push(cx.b.emit(SequenceInsert {}, &[sequence, value])?);
    }
    Ok(grown)
}
