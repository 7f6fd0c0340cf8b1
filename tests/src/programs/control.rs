//! Branches and loops, whose bodies are made of steps as well.

use airconv_ir::builder::BuildError;
use airconv_ir::dtype::DType;
use airconv_ir::entity::RegionId;
use airconv_ir::op::*;
use airconv_ir::types::Type;

use super::maker::{Made, Maker};
use super::{Done, Step, step};

pub(super) const STEPS: &[Step] = &[branch, repeat];

/// How deep bodies may be within each other.
const DEEPEST: usize = 2;

/// A new region whose parameters stand for these values, with some steps, and one value of the
/// type of the first of them.
fn body(
    m: &mut Maker<'_>,
    before: &[Type],
    captures: &[Made],
) -> Result<(RegionId, Vec<airconv_ir::entity::ValueId>, Made), BuildError> {
    let mut params = before.to_vec();
    params.extend(captures.iter().map(|c| m.b.ty(c.value).clone()));
    let (region, values) = m.b.new_region(&params);
    let inner: Vec<Made> = captures
        .iter()
        .zip(&values[before.len()..])
        .map(|(c, &value)| Made { value, ..*c })
        .collect();
    let outer = std::mem::replace(&mut m.pool, inner.clone());
    let steps = 1 + m.rng.below(4);
    m.depth += 1;
    let cursor = std::mem::replace(&mut m.b.region, region);
    for _ in 0..steps {
        step(m);
    }
    let first = inner[0];
    let ty = m.b.ty(first.value).clone();
    let found = m.pool.iter().rev().find(|v| *m.b.ty(v.value) == ty && v.dtype == first.dtype);
    let result = found.copied().unwrap_or(first);
    m.b.region = cursor;
    m.depth -= 1;
    m.pool = outer;
    Ok((region, values, result))
}

/// Some values of the pool, the first of which may be anything.
fn captures(m: &mut Maker<'_>) -> Vec<Made> {
    let count = 1 + m.rng.below(3);
    (0..count).filter_map(|_| m.pick(|_, _| true).map(|p| p.0)).collect()
}

fn branch(m: &mut Maker<'_>) -> Done {
    if m.depth >= DEEPEST {
        return Ok(None);
    }
    let Some((c, ty)) = m.exact(|ty| ty.dtype == DType::Bool) else { return Ok(None) };
    let axes: Vec<usize> = (0..ty.shape.len()).collect();
    let condition = m.b.reduce(ReduceKind::Or, c.value, &axes, false)?;
    let captures = captures(m);
    if captures.is_empty() {
        return Ok(None);
    }
    let (then_branch, _, a) = body(m, &[], &captures)?;
    let (else_branch, _, b) = body(m, &[], &captures)?;
    m.b.set_results(then_branch, &[a.value]);
    m.b.set_results(else_branch, &[b.value]);
    let mut operands = vec![condition];
    operands.extend(captures.iter().map(|c| c.value));
    let value = m.b.emit(If { then_branch, else_branch }, &operands)?;
    Ok(m.keep_moved(value, &[a, b]))
}

/// A known number of rounds over one value that is carried, which is stacked as well.
fn repeat(m: &mut Maker<'_>) -> Done {
    if m.depth >= DEEPEST {
        return Ok(None);
    }
    let captures = captures(m);
    let Some(&first) = captures.first() else { return Ok(None) };
    // Round after round a value may grow coarser, so the first one counts as coarse.
    let coarse = Made { grain: super::maker::grain_of(first.dtype), ..first };
    let mut inside = captures.clone();
    inside[0] = coarse;
    let before = [Type::tensor(DType::I64, []), Type::tensor(DType::Bool, [])];
    let (region, params, result) = body(m, &before, &inside)?;
    m.b.set_results(region, &[params[1], result.value, result.value]);
    let rounds = m.rng.below(4) as i64;
    let rounds = m.b.scalar_int(DType::I64, rounds)?;
    let mut operands = vec![Some(rounds), None];
    operands.extend(captures.iter().map(|c| Some(c.value)));
    let all = m.b.emit_all(Loop { body: region, carried: 1 }, &operands)?;
    for value in all {
        m.keep_moved(value, &[coarse, result]);
    }
    Ok(Some(()))
}
