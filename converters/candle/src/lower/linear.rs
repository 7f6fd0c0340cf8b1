//! Rules of the linear family.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::{Def, Node};
use airconv_ir::op::{Op, OpKind};

use super::cx::{Cx, Refuse, axes, float, other, tidy};
use super::elementwise::{binary, with_scalar};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::is_float;
use crate::program::{Arg, Func, Layer, Source, Var, VarInfo};

pub(super) const RULES: &[(OpKind, Rule)] =
    &[(OpKind::Matmul, matmul), (OpKind::Gemm, gemm), (OpKind::Contract, contract)];

/// A sum; where it adds a bias to a product with a weight, a linear layer.
pub(super) fn add<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    if is_float(dtype) {
        for (product, bias) in [(0, 1), (1, 0)] {
            if biased(cx, product, bias)? {
                return Ok(());
            }
        }
        if let Some((_, x, value)) = with_scalar(cx)? {
            return cx.done(&ADD_SCALAR, vec![x.into(), Arg::Float(value)]);
        }
    }
    binary(cx, &ADD, &BROADCAST_ADD)
}

/// A linear layer, if one operand is a product with a weight and the other a bias.
fn biased(cx: &mut Cx<'_, '_>, product: usize, bias: usize) -> Result<bool, Refuse> {
    let (Some(product), Some(bias)) = (cx.value(product), cx.value(bias)) else {
        return Ok(false);
    };
    if biased_layer(cx, product, bias)? {
        return Ok(true);
    }
    let Some(Node { op: Op::Matmul(_), operands, .. }) = cx.l.def(product) else {
        return Ok(false);
    };
    let (Some(Some(x)), Some(Some(w))) = (operands.first(), operands.get(1)) else {
        return Ok(false);
    };
    let bias = cx.bare_value(bias);
    let (Some(_), Some(_), true) = (cx.l.constant(*w), cx.l.constant(bias), cx.used_once(product))
    else {
        return Ok(false);
    };
    let bias = cx.l.var(bias)?;
    let w = cx.l.var(*w)?;
    let shape = cx.shape(w);
    let [_, out] = &shape[..] else { return Ok(false) };
    if cx.info(bias).shape != std::slice::from_ref(out)
        || cx.l.f().ty(product) != &cx.result_ty(0)?.into()
    {
        return Ok(false);
    }
    let x = cx.l.var(*x)?;
    linear(cx, x, w, false, Some(bias))
}

/// A linear layer with a bias, if one operand is a linear layer without one that nothing else uses.
fn biased_layer(cx: &mut Cx<'_, '_>, product: ValueId, bias: ValueId) -> Result<bool, Refuse> {
    let bias = cx.bare_value(bias);
    if cx.l.is_probing() || cx.l.constant(bias).is_none() || !cx.used_once(product) {
        return Ok(false);
    }
    let made = cx.l.var(product)?;
    let Some((Layer::Linear, x, weights)) = cx.layer_of(made) else { return Ok(false) };
    let [Arg::Tensor(w), Arg::Maybe(None)] = weights[..] else { return Ok(false) };
    let bias = cx.l.var(bias)?;
    let out = cx.shape(w).first().cloned();
    let fits = cx.shape(bias).as_slice() == out.as_slice()
        && cx.info(made).shape == cx.result_ty(0)?.shape[..];
    if fits {
        cx.done_layer(Layer::Linear, vec![x.into(), w.into(), Arg::Maybe(Some(bias))])?;
    }
    Ok(fits)
}

/// Ends in a linear layer where that is possible. `transposed`: whether the weight is
/// `[out, in]` already.
fn linear(
    cx: &mut Cx<'_, '_>,
    x: Var,
    w: Var,
    transposed: bool,
    bias: Option<Var>,
) -> Result<bool, Refuse> {
    if !cx.is_weight(w) || cx.shape(w).len() != 2 || !(2..=4).contains(&cx.shape(x).len()) {
        return Ok(false);
    }
    if !is_float(cx.info(w).dtype) {
        return Ok(false);
    }
    let x = cx.contiguous(x);
    let w = if transposed { w } else { turned(cx, w)? };
    cx.done_layer(Layer::Linear, vec![x.into(), w.into(), Arg::Maybe(bias)])?;
    Ok(true)
}

/// A weight with its two axes swapped. The swapped elements go to the weights file.
fn turned(cx: &mut Cx<'_, '_>, w: Var) -> Result<Var, Refuse> {
    let info = cx.info(w).clone();
    let Source::Weight(id) = info.source else { return other() };
    let shape = info.shape.iter().rev().cloned().collect();
    let source = Source::Turned(id);
    Ok(cx.l.push(VarInfo { shape, source, ..info }))
}

fn matmul<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let (mut a, mut b) = (cx.x(0)?, cx.x(1)?);
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "matrix product")?;
    if linear(cx, a, b, false, None)? {
        return Ok(());
    }
    let result = cx.result_ty(0)?.shape.to_vec();
    let (one_a, one_b) = (cx.shape(a).len() == 1, cx.shape(b).len() == 1);
    if one_a {
        let shape = [vec![Dim::Known(1)], cx.shape(a)].concat();
        a = cx.temp(&UNSQUEEZE, vec![a.into(), Arg::Number(0)], dtype, &shape);
    }
    if one_b {
        let shape = [cx.shape(b), vec![Dim::Known(1)]].concat();
        b = cx.temp(&UNSQUEEZE, vec![b.into(), Arg::Number(1)], dtype, &shape);
    }
    if !one_a && !one_b {
        let (func, args) = product(cx, a, b);
        return cx.done(func, args);
    }
    let mut shape = result.clone();
    if one_a {
        shape.insert(shape.len() - usize::from(!one_b), Dim::Known(1));
    }
    if one_b {
        shape.push(Dim::Known(1));
    }
    let (func, args) = product(cx, a, b);
    let y = cx.temp(func, args, dtype, &shape);
    let y = cx.reshaped(y, &result);
    cx.same(y)
}

/// A product of matrices or stacks of them.
fn product(cx: &mut Cx<'_, '_>, a: Var, b: Var) -> (&'static Func, Vec<Arg>) {
    let (left, right) = (cx.shape(a), cx.shape(b));
    let stacks = |s: &[Dim]| s.get(..s.len().saturating_sub(2)).map(<[Dim]>::to_vec);
    let func = if stacks(&left) == stacks(&right) { &MATMUL } else { &BROADCAST_MATMUL };
    let (a, b) = (cx.contiguous(a), cx.contiguous(b));
    (func, vec![a.into(), b.into()])
}

fn gemm<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Gemm(g) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "matrix product")?;
    let (mut a, mut b) = (cx.x(0)?, cx.x(1)?);
    let c = match cx.value(2) {
        Some(_) => Some(cx.bare(2)?),
        None => None,
    };
    let out = cx.result_ty(0)?.shape.to_vec();
    if g.trans_a {
        let shape: Vec<Dim> = cx.shape(a).into_iter().rev().collect();
        a = cx.temp(&T, vec![a.into()], dtype, &shape);
        cx.mark_view(a);
    }
    let plain = g.alpha.0 == 1.0 && (g.beta.0 == 1.0 || c.is_none());
    let bias_fits = c.is_none_or(|c| {
        cx.is_weight(c) && cx.info(c).shape.len() == 1 && cx.info(c).shape.last() == out.last()
    });
    if plain && bias_fits && linear(cx, a, b, g.trans_b, c)? {
        return Ok(());
    }
    if g.trans_b {
        let shape: Vec<Dim> = cx.shape(b).into_iter().rev().collect();
        b = cx.temp(&T, vec![b.into()], dtype, &shape);
    }
    let a = cx.contiguous(a);
    let mut y = cx.temp(&MATMUL, vec![a.into(), b.into()], dtype, &out);
    if g.alpha.0 != 1.0 {
        let args = vec![y.into(), Arg::Float(tidy(dtype, g.alpha.0))];
        y = cx.temp(&MUL_SCALAR, args, dtype, &out);
    }
    let Some(mut c) = c else { return cx.same(y) };
    if g.beta.0 != 1.0 {
        let shape = cx.shape(c);
        let args = vec![c.into(), Arg::Float(tidy(dtype, g.beta.0))];
        c = cx.temp(&MUL_SCALAR, args, dtype, &shape);
    }
    let func = if cx.info(c).shape == out { &ADD } else { &BROADCAST_ADD };
    cx.done(func, vec![y.into(), c.into()])
}

/// The axes of one operand of a product, by what they are to it.
struct Sides {
    batch: Vec<usize>,
    free: Vec<usize>,
    contract: Vec<usize>,
}

impl Sides {
    fn of(rank: usize, batch: &[i64], contract: &[i64]) -> Self {
        let (batch, contract) = (axes(batch), axes(contract));
        let free = (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect();
        Self { batch, free, contract }
    }
}

fn sizes(shape: &[Dim], axes: &[usize]) -> Vec<Dim> {
    axes.iter().filter_map(|&a| shape.get(a).cloned()).collect()
}

/// Any contraction as a stack of matrix products: axes moved and joined, then taken apart.
fn contract<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Contract(c) = op else { return other() };
    let held = cx.ty(0)?.dtype;
    let (mut a, mut b) = (cx.x(0)?, cx.x(1)?);
    let (left, right) = (cx.shape(a), cx.shape(b));
    let mut dtype = held;
    if !is_float(held) {
        let depth = numel(&sizes(&left, &axes(&c.lhs_contract)));
        check_exact(cx, held, &depth)?;
        dtype = DType::F64;
        (a, b) = (cx.as_dtype(a, dtype), cx.as_dtype(b, dtype));
    }
    let l = Sides::of(left.len(), &c.lhs_batch, &c.lhs_contract);
    let r = Sides::of(right.len(), &c.rhs_batch, &c.rhs_contract);
    let batch = numel(&sizes(&left, &l.batch));
    let inner = numel(&sizes(&left, &l.contract));
    let (m, n) = (numel(&sizes(&left, &l.free)), numel(&sizes(&right, &r.free)));
    let a = arranged(cx, a, [&l.batch, &l.free, &l.contract]);
    let b = arranged(cx, b, [&r.batch, &r.contract, &r.free]);
    let stacked = !l.batch.is_empty();
    let of = |x: &Dim, y: &Dim| {
        let matrix = vec![x.clone(), y.clone()];
        if stacked { [vec![batch.clone()], matrix].concat() } else { matrix }
    };
    let a = cx.reshaped(a, &of(&m, &inner));
    let b = cx.reshaped(b, &of(&inner, &n));
    let (a, b) = (cx.contiguous(a), cx.contiguous(b));
    let y = cx.temp(&MATMUL, vec![a.into(), b.into()], dtype, &of(&m, &n));
    let result = cx.result_ty(0)?.shape.to_vec();
    let y = cx.reshaped(y, &result);
    let y = cx.as_dtype(y, held);
    cx.same(y)
}

/// A variable with its axes in this order.
fn arranged(cx: &mut Cx<'_, '_>, x: Var, order: [&Vec<usize>; 3]) -> Var {
    let order: Vec<usize> = order.into_iter().flatten().copied().collect();
    if order.iter().enumerate().all(|(i, &a)| i == a) {
        return x;
    }
    let (dtype, shape) = (cx.info(x).dtype, sizes(&cx.shape(x), &order));
    let y = cx.temp(&PERMUTE, vec![x.into(), Arg::Numbers(order)], dtype, &shape);
    cx.mark_view(y);
    y
}

/// Refuses sums of products of integers that `f64` may not hold: it has to be known that the
/// operands come from few bits.
pub(super) fn check_exact(cx: &Cx<'_, '_>, dtype: DType, depth: &Dim) -> Result<(), Refuse> {
    let limit = |slot: usize| cx.value(slot).and_then(|v| magnitude(cx, v, 0));
    let depth = depth.as_known().unwrap_or(1 << 24) as f64;
    match (limit(0), limit(1)) {
        (Some(a), Some(b)) if a * b * depth < (1u64 << 53) as f64 => Ok(()),
        _ => Refuse::because(format!("candle has no products of {dtype}")),
    }
}

/// A bound of the magnitude of integers, by what they are made of.
pub(super) fn magnitude(cx: &Cx<'_, '_>, value: ValueId, depth: usize) -> Option<f64> {
    if depth > 16 {
        return None;
    }
    let dtype = cx.l.f().ty(value).dtype()?;
    if let Some((low, high)) = dtype.int_range()
        && dtype.bits() <= 16
    {
        return Some((low as f64).abs().max(high as f64));
    }
    let Some(node) = cx.l.def(value) else {
        return magnitude(cx, captured(cx, value)?, depth + 1);
    };
    let inner = |slot: usize| magnitude(cx, node.operand(slot)?, depth + 1);
    match &node.op {
        Op::Add(_) | Op::Sub(_) => Some(inner(0)? + inner(1)?),
        Op::Cast(_)
        | Op::Neg(_)
        | Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Split(_)
        | Op::Identity(_) => inner(0),
        Op::Pad(_) if node.operand(1).is_none() => inner(0),
        Op::Pad(_) => Some(inner(0)?.max(inner(1)?)),
        Op::Constant(c) => {
            let t = &cx.l.module.tensors[c.tensor];
            let array = t.to_array().ok()?;
            Some(
                array
                    .to_f64s()
                    .or_else(|| array.to_i64s().map(|v| v.into_iter().map(|i| i as f64).collect()))?
                    .into_iter()
                    .fold(0.0, |m, x| m.max(x.abs())),
            )
        }
        _ => None,
    }
}

/// The value around a region that a parameter of it stands for throughout.
fn captured(cx: &Cx<'_, '_>, value: ValueId) -> Option<ValueId> {
    let f = cx.l.f();
    let Def::Param { region, index } = f.values[value].def else { return None };
    let index = usize::try_from(index).ok()?;
    let node = f.nodes.values().find(|n| n.regions().contains(&region))?;
    match &node.op {
        Op::If(_) => node.operand(index + 1),
        Op::Loop(l) if index >= usize::try_from(l.carried).ok()? + 2 => node.operand(index),
        _ => None,
    }
}

/// A product of integers of at most 8 bits, computed in `f64`, which holds every sum.
pub(super) fn exact(cx: &mut Cx<'_, '_>, x: Var, zero: Option<Var>) -> Var {
    let shape = cx.shape(x);
    let wide = cx.as_dtype(x, DType::F64);
    let Some(zero) = zero else { return wide };
    let zero = cx.as_dtype(zero, DType::F64);
    cx.temp(&BROADCAST_SUB, vec![wide.into(), zero.into()], DType::F64, &shape)
}
