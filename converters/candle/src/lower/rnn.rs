//! Rules of recurrent layers: what the helpers take; anything else becomes a loop.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::op::{Op, OpKind, RnnDirection};

use super::cx::{Cx, Refuse, float, other};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::{Arg, Call, Callee, Func, Source, Stmt, Var, VarInfo};

pub(super) const RULES: &[(OpKind, Rule)] =
    &[(OpKind::Lstm, lstm), (OpKind::Gru, gru), (OpKind::Rnn, rnn)];

/// What the layers have in common.
struct Common<'a> {
    activations: &'a [String],
    usual: &'a [&'a str],
    alpha: &'a [Float],
    beta: &'a [Float],
    clip: Option<Float>,
    direction: RnnDirection,
    batch_first: bool,
}

/// Refuses what the helpers lack.
fn check(cx: &Cx<'_, '_>, c: &Common<'_>) -> Result<(), Refuse> {
    float(cx.ty(0)?.dtype, "recurrent layers")?;
    let usual = c.activations.iter().enumerate().all(|(i, name)| {
        c.usual.get(i % c.usual.len().max(1)).is_some_and(|u| u.eq_ignore_ascii_case(name))
    });
    if !usual || !c.alpha.is_empty() || !c.beta.is_empty() || c.clip.is_some() {
        return Refuse::because("its activations are not the usual ones");
    }
    if c.batch_first {
        return Refuse::because("its batch axis comes first");
    }
    if cx.value(4).is_some() {
        return Refuse::because("its sequences have lengths");
    }
    Ok(())
}

/// An operand of one direction; the first axis is that of directions.
fn part(cx: &mut Cx<'_, '_>, slot: usize, direction: usize) -> Result<Option<Var>, Refuse> {
    let Some(x) = cx.opt(slot)? else { return Ok(None) };
    let (dtype, shape) = (cx.info(x).dtype, cx.shape(x));
    let rest = shape.get(1..).unwrap_or_default().to_vec();
    Ok(Some(cx.temp(&GET, vec![x.into(), Arg::Number(direction)], dtype, &rest)))
}

/// Runs the layer in each direction and joins what comes out. `states`: how many states a run
/// gives after the sequence.
fn directions(
    cx: &mut Cx<'_, '_>,
    func: &'static Func,
    c: &Common<'_>,
    slots: &[usize],
    tail: &[Arg],
    states: usize,
) -> Result<(), Refuse> {
    check(cx, c)?;
    let x = cx.x(0)?;
    let x = cx.contiguous(x);
    let (dtype, sizes) = (cx.info(x).dtype, cx.shape(x));
    let [time, batch, _] = &sizes[..] else { return other() };
    let hidden = cx.ty(2)?.shape.last().cloned().unwrap_or(Dim::Known(1));
    let reverse: &[bool] = match c.direction {
        RnnDirection::Forward => &[false],
        RnnDirection::Reverse => &[true],
        RnnDirection::Bidirectional => &[false, true],
    };
    let sequence = vec![time.clone(), batch.clone(), hidden.clone()];
    let state = vec![batch.clone(), hidden];
    let mut runs: Vec<Vec<Var>> = Vec::new();
    for (direction, &reverse) in reverse.iter().enumerate() {
        let mut args = vec![x.into()];
        for &slot in slots {
            let value = part(cx, slot, direction)?;
            args.push(match (slot, value) {
                (1 | 2, Some(v)) => v.into(),
                (1 | 2, None) => return other(),
                (_, v) => Arg::Maybe(v),
            });
        }
        args.push(Arg::Bool(reverse));
        args.extend_from_slice(tail);
        let mut vars = Vec::new();
        for (i, name) in ["states", "hidden", "cell"].into_iter().take(states + 1).enumerate() {
            let shape = if i == 0 { sequence.clone() } else { state.clone() };
            let source = Source::Made;
            let info = VarInfo { dtype, shape, source, name: "".into(), op: name };
            vars.push(cx.l.push(info));
        }
        let path = cx.l.path();
        let call = Call { callee: Callee::Func(func), args };
        cx.l.stmt(Stmt::Let { vars: vars.clone(), call, path });
        runs.push(vars);
    }
    for slot in 0..=states {
        let Some(value) = cx.node.result(slot) else { continue };
        let parts: Vec<Var> = runs.iter().filter_map(|r| r.get(slot).copied()).collect();
        // [time, directions, batch, hidden] and [directions, batch, hidden].
        let axis = usize::from(slot == 0);
        let shape = match cx.l.f().ty(value).as_tensor() {
            Some(t) => t.shape.to_vec(),
            None => return other(),
        };
        let y = match parts[..] {
            [one] => cx.temp(&UNSQUEEZE, vec![one.into(), Arg::Number(axis)], dtype, &shape),
            _ => cx.temp(&STACK, vec![Arg::Tensors(parts), Arg::Number(axis)], dtype, &shape),
        };
        cx.same_at(slot, y)?;
    }
    Ok(())
}

fn lstm<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Lstm(l) = op else { return other() };
    if l.input_forget || cx.value(7).is_some() {
        return Refuse::because("its gates are coupled or look at the cell");
    }
    let common = Common {
        activations: &l.activations,
        usual: &["Sigmoid", "Tanh", "Tanh"],
        alpha: &l.activation_alpha,
        beta: &l.activation_beta,
        clip: l.clip,
        direction: l.direction,
        batch_first: l.batch_first,
    };
    directions(cx, &LSTM, &common, &[1, 2, 3, 5, 6], &[], 2)
}

fn gru<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Gru(g) = op else { return other() };
    let common = Common {
        activations: &g.activations,
        usual: &["Sigmoid", "Tanh"],
        alpha: &g.activation_alpha,
        beta: &g.activation_beta,
        clip: g.clip,
        direction: g.direction,
        batch_first: g.batch_first,
    };
    directions(cx, &GRU, &common, &[1, 2, 3, 5], &[Arg::Bool(g.linear_before_reset)], 1)
}

fn rnn<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Rnn(r) = op else { return other() };
    let common = Common {
        activations: &r.activations,
        usual: &["Tanh"],
        alpha: &r.activation_alpha,
        beta: &r.activation_beta,
        clip: r.clip,
        direction: r.direction,
        batch_first: r.batch_first,
    };
    directions(cx, &RNN, &common, &[1, 2, 3, 5], &[], 1)
}
