//! Rules of the index family.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::op::{Op, OpKind, ScatterReduction};

use super::cx::{Cx, Refuse, number, other};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::{held, is_float, is_own};
use crate::program::{Arg, Call, Callee, Func, Layer, Source, Stmt, Var, VarInfo};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::Gather, gather),
    (OpKind::GatherElements, gather_elements),
    (OpKind::GatherNd, gather_nd),
    (OpKind::ScatterNd, scatter_nd),
    (OpKind::ScatterElements, scatter_elements),
    (OpKind::TopK, top_k),
    (OpKind::Nonzero, nonzero),
    (OpKind::Unique, unique),
    (OpKind::NonMaxSuppression, non_max_suppression),
];

/// The most indices that are looked at while lowering.
const FEW: u64 = 4096;

/// Whether a value is known not to be below zero.
fn not_negative(cx: &Cx<'_, '_>, value: ValueId, depth: usize) -> bool {
    if cx.l.f().ty(value).dtype().is_some_and(DType::is_unsigned_int) {
        return true;
    }
    let Some(node) = cx.l.def(value) else { return false };
    let all = |node: &Node| depth < 8 && node.inputs().all(|v| not_negative(cx, v, depth + 1));
    match &node.op {
        Op::Constant(c) => {
            let t = &cx.l.module.tensors[c.tensor];
            let few = t.numel().is_some_and(|n| n <= FEW);
            few && t
                .to_array()
                .ok()
                .and_then(|a| a.to_i64s())
                .is_some_and(|v| v.iter().all(|&i| i >= 0))
        }
        Op::Iota(_) | Op::ArgReduce(_) | Op::Nonzero(_) | Op::ShapeOf(_) => true,
        // The first result is the values that were found.
        Op::TopK(_) => node.result(0) != Some(value),
        Op::NonMaxSuppression(_) => true,
        Op::Range(_) => {
            [0, 2].iter().all(|&i| node.operand(i).is_some_and(|v| not_negative(cx, v, depth + 1)))
        }
        Op::Add(_) | Op::Mul(_) | Op::Max(_) | Op::Concat(_) => all(node),
        Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Split(_)
        | Op::Cast(_)
        | Op::Gather(_)
        | Op::Identity(_) => {
            node.operand(0).is_some_and(|v| depth < 8 && not_negative(cx, v, depth + 1))
        }
        _ => false,
    }
}

/// The indices of a slot as candle takes them: i64, from zero up.
fn indices(cx: &mut Cx<'_, '_>, slot: usize, len: &Dim) -> Result<Var, Refuse> {
    let mut ids = cx.x(slot)?;
    // The greatest number of an unsigned dtype stands for no element in candle.
    let few = len.as_known().is_some_and(|n| n <= i64::from(u8::MAX));
    let taken = match cx.info(ids).dtype {
        DType::I64 | DType::U32 => true,
        DType::U8 => few,
        _ => false,
    };
    if !taken {
        ids = cx.as_dtype(ids, DType::I64);
    }
    let signed = cx.info(ids).dtype == DType::I64;
    let safe = cx.value(slot).is_some_and(|v| not_negative(cx, v, 0));
    if signed && !safe {
        let shape = cx.shape(ids);
        let args = vec![ids.into(), Arg::Size(len.clone())];
        ids = cx.temp(&WRAP_INDICES, args, DType::I64, &shape);
    }
    Ok(ids)
}

/// Indices as they were before they became i64, where candle takes them so too.
fn narrower(cx: &mut Cx<'_, '_>, ids: Var) -> Var {
    let u32s = |cx: &Cx<'_, '_>, v: Var| cx.cast_of(v).filter(|x| cx.info(*x).dtype == DType::U32);
    if let Some(inner) = u32s(cx, ids) {
        return inner;
    }
    match cx.reshape_of(ids).and_then(|v| u32s(cx, v)) {
        Some(inner) => {
            let shape = cx.shape(ids);
            cx.reshaped(inner, &shape)
        }
        None => ids,
    }
}

/// Whether an operand is an i64 input of the program.
fn is_input(cx: &Cx<'_, '_>, slot: usize) -> bool {
    let f = cx.l.f();
    cx.value(slot)
        .is_some_and(|v| f.body().params.contains(&v) && f.ty(v).dtype() == Some(DType::I64))
}

fn gather<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Gather(g) = op else { return other() };
    let x = cx.x(0)?;
    let Ok(axis) = usize::try_from(g.axis) else { return other() };
    let shape = cx.shape(x);
    let Some(len) = shape.get(axis).cloned() else { return other() };
    let rank = cx.ty(1)?.rank();
    if rank == 0
        && let Some(at) = cx.int_scalar(1)
    {
        let at = if at < 0 { len.as_known().map(|n| n + at) } else { Some(at) };
        if let Some(at) = at.and_then(|a| usize::try_from(a).ok()) {
            if axis == 0 {
                return super::shape::viewed(cx, &GET, x, at);
            }
            let args = vec![x.into(), Arg::Number(axis), Arg::Number(at)];
            cx.done(&GET_ON_DIM, args)?;
            if let Some(v) = cx.node.result(0) {
                let var = cx.l.var(v)?;
                cx.mark_view(var);
            }
            return Ok(());
        }
    }
    let is_table = cx.is_weight(x) && axis == 0 && shape.len() == 2 && is_float(cx.ty(0)?.dtype);
    if is_table && rank >= 1 && is_input(cx, 1) {
        // What the caller gives are rows of the table; candle refuses others.
        let ids = cx.x(1)?;
        return cx.done_layer(Layer::Embedding, vec![ids.into(), x.into()]);
    }
    let ids = indices(cx, 1, &len)?;
    if is_table && rank >= 1 {
        let ids = narrower(cx, ids);
        return cx.done_layer(Layer::Embedding, vec![ids.into(), x.into()]);
    }
    if rank == 1 {
        let (x, ids) = (cx.contiguous(x), cx.contiguous(ids));
        return cx.done(&INDEX_SELECT, vec![x.into(), ids.into(), Arg::Number(axis)]);
    }
    cx.done(&TAKE, vec![x.into(), ids.into(), Arg::Number(axis)])
}

/// `x` cut to the sizes of the indices on all axes but one; candle takes indices of its own sizes
/// there.
fn cut_to(cx: &mut Cx<'_, '_>, mut x: Var, ids: Var, axis: usize) -> Var {
    for (at, size) in cx.shape(ids).into_iter().enumerate() {
        let mut shape = cx.shape(x);
        let Some(slot) = shape.get_mut(at).filter(|s| at != axis && **s != size) else { continue };
        slot.clone_from(&size);
        let dtype = cx.info(x).dtype;
        let args = vec![x.into(), Arg::Number(at), Arg::Size(Dim::Known(0)), Arg::Size(size)];
        x = cx.temp(&NARROW, args, dtype, &shape);
        cx.mark_view(x);
    }
    x
}

fn gather_elements<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::GatherElements(g) = op else { return other() };
    let x = cx.x(0)?;
    let Ok(axis) = usize::try_from(g.axis) else { return other() };
    let Some(len) = cx.shape(x).get(axis).cloned() else { return other() };
    let ids = indices(cx, 1, &len)?;
    let x = cut_to(cx, x, ids, axis);
    let (x, ids) = (cx.contiguous(x), cx.contiguous(ids));
    cx.done(&GATHER, vec![x.into(), ids.into(), Arg::Number(axis)])
}

fn gather_nd<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::GatherNd(g) = op else { return other() };
    let Ok(batch) = usize::try_from(g.batch_dims) else { return other() };
    let args = vec![cx.x(0)?.into(), cx.x(1)?.into(), Arg::Number(batch)];
    cx.done(&GATHER_ND, args)
}

/// Whether a scatter adds; other combinations are refused.
fn adds(reduction: ScatterReduction) -> Result<bool, Refuse> {
    match reduction {
        ScatterReduction::None => Ok(false),
        ScatterReduction::Add => Ok(true),
        other => Refuse::because(format!("candle has no scatter with {}", other.as_str())),
    }
}

fn scatter_nd<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ScatterNd(s) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    let mut args = vec![cx.x(0)?.into(), cx.x(1)?.into(), cx.x(2)?.into()];
    let combine: &'static Func = match s.reduction {
        ScatterReduction::Mul if is_float(dtype) => &SCATTER_ND_MUL,
        ScatterReduction::Mul => &SCATTER_ND_MUL_INT,
        ScatterReduction::Max => &SCATTER_ND_MAX,
        ScatterReduction::Min => &SCATTER_ND_MIN,
        simple => {
            let add = adds(simple)?;
            if add {
                number(dtype, "scatter")?;
            }
            args.push(Arg::Bool(add));
            return cx.done(&SCATTER_ND, args);
        }
    };
    let exact = is_float(dtype) || (is_own(dtype) && dtype.bits() <= 32);
    if !exact {
        return Refuse::because(format!("candle has no such scatter of {dtype}"));
    }
    cx.done(combine, args)
}

fn scatter_elements<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ScatterElements(s) = op else { return other() };
    let add = adds(s.reduction)?;
    let x = cx.x(0)?;
    if add {
        number(cx.ty(0)?.dtype, "scatter")?;
    }
    let Ok(axis) = usize::try_from(s.axis) else { return other() };
    let Some(len) = cx.shape(x).get(axis).cloned() else { return other() };
    let ids = indices(cx, 1, &len)?;
    let off_axis = |shape: Vec<Dim>| {
        shape.into_iter().enumerate().filter(|(at, _)| *at != axis).collect::<Vec<_>>()
    };
    if off_axis(cx.shape(x)) != off_axis(cx.shape(ids)) {
        return Refuse::because("candle scatters along one axis into tensors of the same sizes");
    }
    let updates = cx.x(2)?;
    let (x, ids, updates) = (cx.contiguous(x), cx.contiguous(ids), cx.contiguous(updates));
    let func = if add { &SCATTER_ADD } else { &SCATTER };
    cx.done(func, vec![x.into(), ids.into(), updates.into(), Arg::Number(axis)])
}

fn top_k<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::TopK(t) = op else { return other() };
    if held(cx.ty(0)?.dtype).is_none() {
        return Refuse::because("candle has no such dtype");
    }
    let Ok(axis) = usize::try_from(t.axis) else { return other() };
    let args =
        vec![cx.x(0)?.into(), Arg::Size(t.k.clone()), Arg::Number(axis), Arg::Bool(t.largest)];
    cx.done_all(Callee::Func(&TOP_K), args, 2)
}

fn nonzero<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let x = cx.x(0)?;
    cx.done(&NONZERO, vec![x.into()])
}

/// Distinct slices: candle tells which they are by their first positions, which are then taken.
fn unique<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Unique(u) = op else { return other() };
    if held(cx.ty(0)?.dtype).is_none() {
        return Refuse::because("candle has no such dtype");
    }
    let mut x = cx.x(0)?;
    let axis = match u.axis {
        Some(axis) => {
            usize::try_from(axis).map_err(|_| Refuse("its axis is negative".to_owned()))?
        }
        None => {
            let (dtype, shape) = (cx.info(x).dtype, cx.shape(x));
            if shape.len() != 1 {
                x = cx.temp(&FLATTEN_ALL, vec![x.into()], dtype, &[numel(&shape)]);
            }
            0
        }
    };
    let args = vec![x.into(), Arg::Number(axis), Arg::Bool(u.sorted)];
    let distinct = cx.result_ty(0)?.shape.get(axis).cloned().unwrap_or(Dim::Known(1));
    let all = cx.shape(x).get(axis).cloned().unwrap_or(Dim::Known(1));
    let mut vars = Vec::new();
    for (slot, len) in [distinct.clone(), distinct.clone(), all, distinct].into_iter().enumerate() {
        vars.push(match cx.node.result(slot) {
            Some(v) => cx.l.var_of(v, Source::Made)?,
            None => {
                let (dtype, source) = (DType::I64, Source::Made);
                let info =
                    VarInfo { dtype, shape: vec![len], source, name: "".into(), op: "unique" };
                cx.l.push(info)
            }
        });
    }
    let (call, path) = (Call { callee: Callee::Func(&UNIQUE), args }, cx.l.path());
    cx.l.stmt(Stmt::Let { vars, call, path });
    Ok(())
}

fn non_max_suppression<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::NonMaxSuppression(n) = op else { return other() };
    let mut args = vec![cx.x(0)?.into(), cx.x(1)?.into()];
    for slot in 2..5 {
        args.push(Arg::Maybe(cx.opt(slot)?));
    }
    args.push(Arg::Bool(n.center_point_box));
    cx.done(&NON_MAX_SUPPRESSION, args)
}
