//! Evaluation of the control family.

use super::{Datum, EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, Scalar, checked_numel};
use crate::dim::Dim;
use crate::op::*;
use crate::types::Type;

/// The one truth value of a tensor.
fn truth(datum: &Datum, what: &str) -> Result<bool, EvalError> {
    let found = datum.as_array().filter(|a| a.numel() == 1).and_then(|a| a.get(0));
    match found {
        Some(Scalar::Bool(b)) => Ok(b),
        _ => EvalError::failed(format!("{what} is not a single bool")),
    }
}

/// The operands from a slot on, none of which may be absent.
fn values_from(cx: &EvalCx<'_, '_>, first: usize) -> Result<Vec<Datum>, EvalError> {
    (first..cx.operand_count()).map(|i| cx.datum(i).cloned()).collect()
}

fn present(values: Vec<Datum>) -> EvalResult {
    Ok(values.into_iter().map(Some).collect())
}

/// Runs the branch that the condition picks.
pub fn if_(cx: &mut EvalCx<'_, '_>, op: &If) -> EvalResult {
    let holds = truth(cx.datum(0)?, "the condition")?;
    let captures = values_from(cx, 1)?;
    present(cx.run_region(if holds { op.then_branch } else { op.else_branch }, captures)?)
}

/// Runs the body until the trip count is reached or the condition fails.
pub fn loop_(cx: &mut EvalCx<'_, '_>, op: &Loop) -> EvalResult {
    let trips = match cx.opt_scalar(0)? {
        None => None,
        Some(Scalar::Int(n)) => Some(n),
        Some(_) => return EvalError::failed("the trip count is not an integer"),
    };
    let mut running = match cx.opt(1) {
        None => true,
        Some(c) => truth(c, "the condition")?,
    };
    let mut state = values_from(cx, 2)?;
    let count = usize::try_from(op.carried).unwrap_or(usize::MAX);
    if count > state.len() {
        return EvalError::failed(format!("{} carried values are not given", op.carried));
    }
    let captures = state.split_off(count);
    let mut stacks: Vec<Vec<Datum>> = Vec::new();
    let mut iteration = 0i64;
    while running && trips.is_none_or(|n| i128::from(iteration) < n) {
        cx.interp.steps += 1;
        if cx.interp.steps > cx.interp.limits.steps {
            return Err(EvalError::Limit(format!("{} node executions", cx.interp.limits.steps)));
        }
        let mut args = Vec::with_capacity(2 + state.len() + captures.len());
        args.push(Array::from_vec(Vec::new(), vec![iteration])?.into());
        args.push(Array::from_vec(Vec::new(), vec![running])?.into());
        args.append(&mut state);
        args.extend(captures.iter().cloned());
        let mut results = cx.run_region(op.body, args)?.into_iter();
        match results.next() {
            Some(c) => running = truth(&c, "the condition")?,
            None => return EvalError::failed("the body gave no condition"),
        }
        state.extend(results.by_ref().take(count));
        if state.len() < count {
            return EvalError::failed("the body gave too few results");
        }
        for (i, element) in results.enumerate() {
            if i == stacks.len() {
                stacks.push(Vec::new());
            }
            if let Some(stack) = stacks.get_mut(i) {
                // What is stacked has to fit one array in the end.
                if let Some(a) = element.as_array() {
                    let mut shape = vec![stack.len() + 1];
                    shape.extend(&a.shape);
                    cx.check_size(a.dtype, &shape)?;
                }
                stack.push(element);
            }
        }
        iteration += 1;
    }
    if iteration == 0 {
        for (slot, value) in state.iter_mut().enumerate() {
            // What starts as an optional of the result has to hold it when nothing else comes.
            let wrapped = !matches!(cx.result_types.get(slot), Some(Some(Type::Optional(_))));
            if let (true, Datum::Optional(held)) = (wrapped, &*value) {
                match held.as_deref().cloned() {
                    Some(held) => *value = held,
                    None => {
                        return EvalError::failed(
                            "an optional that holds no element is carried out",
                        );
                    }
                }
            }
        }
        let func = &cx.interp.module.functions[cx.func];
        let results = func.regions.get(op.body).map_or(0, |r| r.results.len());
        stacks.resize(results.saturating_sub(count + 1), Vec::new());
    }
    for (i, stack) in stacks.iter().enumerate() {
        state.push(if stack.is_empty() {
            empty_stack(cx, op, count, i)?
        } else {
            stacked(cx, stack)?
        });
    }
    present(state)
}

/// The elements along a new first axis.
fn stacked(cx: &EvalCx<'_, '_>, elements: &[Datum]) -> Result<Datum, EvalError> {
    let mut arrays = Vec::with_capacity(elements.len());
    for element in elements {
        match element.as_array() {
            Some(a) => arrays.push(a),
            None => return EvalError::failed("a stacked output is not a tensor"),
        }
    }
    let Some(first) = arrays.first() else {
        return EvalError::failed("there is nothing to stack");
    };
    if let Some(other) = arrays.iter().find(|a| a.shape != first.shape) {
        return EvalError::failed(format!(
            "stacked elements have shapes {:?} and {:?}",
            first.shape, other.shape
        ));
    }
    let mut shape = vec![arrays.len()];
    shape.extend(&first.shape);
    cx.check_size(first.dtype, &shape)?;
    if first.rank() > 0 {
        return Ok(Array::concat(&arrays, 0)?.reshape(shape)?.into());
    }
    // A scalar has no axis to join along.
    let lifted: Result<Vec<Array>, _> =
        arrays.iter().map(|&a| a.clone().reshape(vec![1])).collect();
    Ok(Array::concat(&lifted?.iter().collect::<Vec<_>>(), 0)?.into())
}

/// A stacked output of a loop that never ran: its first axis is 0, and so is any other that
/// is not known.
fn empty_stack(
    cx: &EvalCx<'_, '_>,
    op: &Loop,
    count: usize,
    index: usize,
) -> Result<Datum, EvalError> {
    let func = &cx.interp.module.functions[cx.func];
    let result = func.regions.get(op.body).and_then(|r| r.results.get(1 + count + index));
    let ty = result.and_then(|&v| func.values.get(v)).map(|v| &v.ty);
    let (dtype, dims) = match ty {
        Some(Type::Tensor(t)) => (t.dtype, t.shape.to_vec()),
        Some(Type::Unranked(d)) => (*d, Vec::new()),
        _ => {
            return Err(EvalError::Unsupported(
                "a loop that never runs with a stacked output of unknown type".to_owned(),
            ));
        }
    };
    let mut shape = vec![0usize];
    shape.extend(
        dims.iter().map(|d: &Dim| cx.dim(d).map_or(0, |n| usize::try_from(n).unwrap_or(0))),
    );
    checked_numel(&shape)?;
    Ok(Array::zeros(dtype, shape)?.into())
}

/// Gives the operand if the condition holds.
pub fn assert(cx: &mut EvalCx<'_, '_>, op: &Assert) -> EvalResult {
    let condition = cx.array(0)?;
    let holds = match &condition.data {
        Data::Bool(v) => v.iter().all(|&b| b),
        _ => return EvalError::failed("the condition is not bool"),
    };
    if holds { one(cx.datum(1)?.clone()) } else { EvalError::failed(op.message.clone()) }
}

/// Runs a function of the module.
pub fn call(cx: &mut EvalCx<'_, '_>, op: &Call) -> EvalResult {
    if cx.interp.module.functions.get(op.function).is_none() {
        return EvalError::failed(format!("there is no function {}", op.function));
    }
    let args = values_from(cx, 0)?;
    present(cx.call(op.function, args)?)
}

/// An opaque op has no meaning to run.
pub fn opaque(_cx: &mut EvalCx<'_, '_>, op: &Opaque) -> EvalResult {
    let source = &op.source;
    let domain = if source.domain.is_empty() { "" } else { "::" };
    Err(EvalError::Unsupported(format!(
        "{} op `{}{domain}{}` ({})",
        source.format, source.domain, source.name, op.reason
    )))
}
