//! Reading rules of the reduce family.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::*;

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

/// Rules for a reduction before and since its axes are an input.
macro_rules! reduction {
    ($name:literal, $since:literal, $kinds:expr, $make:expr) => {
        [
            ImportRule::new($name, 1, $kinds, |cx| {
                let axes = cx.ints("axes")?;
                let (axes, keepdims) = common(cx, axes, false)?;
                let make: fn(&NodeCx<'_, '_>, Vec<i64>, bool) -> Result<Op, Stop> = $make;
                let (x, op) = (cx.input(0)?, make(cx, axes, keepdims)?);
                cx.emit_all(op, &[x])
            }),
            ImportRule::new($name, $since, $kinds, |cx| {
                let axes = match cx.opt(1) {
                    Some(_) => cx.need_ints(1, "the list of axes")?,
                    None => Vec::new(),
                };
                let keep_all = cx.bool("noop_with_empty_axes", false)?;
                let (axes, keepdims) = common(cx, axes, keep_all)?;
                let make: fn(&NodeCx<'_, '_>, Vec<i64>, bool) -> Result<Op, Stop> = $make;
                let (x, op) = (cx.input(0)?, make(cx, axes, keepdims)?);
                cx.emit_all(op, &[x])
            }),
        ]
    };
}

const TABLE: &[[ImportRule; 2]] = &[
    reduction!("ReduceSum", 13, &[OpKind::Reduce], |_, axes, keepdims| {
        Ok(Reduce { kind: ReduceKind::Sum, axes, keepdims }.into())
    }),
    reduction!("ReduceProd", 18, &[OpKind::Reduce], |_, axes, keepdims| {
        Ok(Reduce { kind: ReduceKind::Prod, axes, keepdims }.into())
    }),
    reduction!("ReduceMax", 18, &[OpKind::Reduce], |cx, axes, keepdims| {
        let kind = of_dtype(cx, ReduceKind::Max, ReduceKind::Or)?;
        Ok(Reduce { kind, axes, keepdims }.into())
    }),
    reduction!("ReduceMin", 18, &[OpKind::Reduce], |cx, axes, keepdims| {
        let kind = of_dtype(cx, ReduceKind::Min, ReduceKind::And)?;
        Ok(Reduce { kind, axes, keepdims }.into())
    }),
    reduction!("ReduceMean", 18, &[OpKind::ReduceMean], |_, axes, keepdims| {
        Ok(ReduceMean { axes, keepdims }.into())
    }),
    reduction!("ReduceL1", 18, &[OpKind::ReduceL1], |_, axes, keepdims| {
        Ok(ReduceL1 { axes, keepdims }.into())
    }),
    reduction!("ReduceL2", 18, &[OpKind::ReduceL2], |_, axes, keepdims| {
        Ok(ReduceL2 { axes, keepdims }.into())
    }),
    reduction!("ReduceLogSum", 18, &[OpKind::ReduceLogSum], |_, axes, keepdims| {
        Ok(ReduceLogSum { axes, keepdims }.into())
    }),
    reduction!("ReduceLogSumExp", 18, &[OpKind::ReduceLogSumExp], |_, axes, keepdims| {
        Ok(ReduceLogSumExp { axes, keepdims }.into())
    }),
    reduction!("ReduceSumSquare", 18, &[OpKind::ReduceSumSquare], |_, axes, keepdims| {
        Ok(ReduceSumSquare { axes, keepdims }.into())
    }),
];

const OTHERS: &[ImportRule] = &[
    ImportRule::new("ArgMax", 1, &[OpKind::ArgReduce], |cx| arg(cx, ArgKind::Max)),
    ImportRule::new("ArgMin", 1, &[OpKind::ArgReduce], |cx| arg(cx, ArgKind::Min)),
    ImportRule::new("CumSum", 11, &[OpKind::ScanReduce], |cx| cumulative(cx, ReduceKind::Sum)),
    ImportRule::new("CumProd", 26, &[OpKind::ScanReduce], |cx| cumulative(cx, ReduceKind::Prod)),
];

const COUNT: usize = TABLE.len() * 2 + OTHERS.len();

/// All rules in one list.
const ALL: [ImportRule; COUNT] = {
    let mut all = [OTHERS[0]; COUNT];
    let mut i = 0;
    while i < TABLE.len() {
        all[2 * i] = TABLE[i][0];
        all[2 * i + 1] = TABLE[i][1];
        i += 1;
    }
    i = 0;
    while i < OTHERS.len() {
        all[2 * TABLE.len() + i] = OTHERS[i];
        i += 1;
    }
    all
};

pub(super) const RULES: &[ImportRule] = &ALL;

/// The axes and whether they stay. No axes means all, or none when `keep_all`.
fn common(cx: &NodeCx<'_, '_>, axes: Vec<i64>, keep_all: bool) -> Result<(Vec<i64>, bool), Stop> {
    let keepdims = cx.bool("keepdims", true)?;
    let rank = cx.rank(0)?;
    let axes = match (axes.is_empty(), keep_all) {
        (false, _) => cx.axes(&axes, rank)?,
        (true, false) => (0..rank as i64).collect(),
        (true, true) => Vec::new(),
    };
    Ok((axes, keepdims))
}

/// Extremes of bools are all and any.
fn of_dtype(
    cx: &NodeCx<'_, '_>,
    kind: ReduceKind,
    logical: ReduceKind,
) -> Result<ReduceKind, Stop> {
    Ok(if cx.dtype(0)? == DType::Bool { logical } else { kind })
}

/// `ArgMax` and `ArgMin`.
fn arg(cx: &mut NodeCx<'_, '_>, kind: ArgKind) -> Outcome {
    let rank = cx.rank(0)?;
    let axis = cx.axis(cx.int("axis", 0)?, rank)?;
    let keepdims = cx.bool("keepdims", true)?;
    let select_last = cx.bool("select_last_index", false)?;
    cx.emit_same(ArgReduce { kind, axis, keepdims, select_last })
}

/// `CumSum` and `CumProd`: the axis is an input.
fn cumulative(cx: &mut NodeCx<'_, '_>, kind: ReduceKind) -> Outcome {
    let (x, rank) = (cx.input(0)?, cx.rank(0)?);
    let axis = match cx.need_ints(1, "the axis")?.as_slice() {
        [axis] => cx.axis(*axis, rank)?,
        other => return cx.invalid(format!("{} axes instead of one", other.len())),
    };
    let (exclusive, reverse) = (cx.bool("exclusive", false)?, cx.bool("reverse", false)?);
    cx.emit_all(ScanReduce { kind, axis, exclusive, reverse }, &[x])
}
