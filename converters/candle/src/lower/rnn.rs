//! Rules of recurrent layers: what the helpers take; anything else becomes a loop.
//!
//! The helpers take the gates in PyTorch's order, and so weights that PyTorch wrote keep their
//! names and their elements.

use airconv_ir::array::Array;
use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{Function, Module};
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

/// Which block of rows of the hub's weights is the first, the second ... of PyTorch's.
const LSTM_GATES: &[usize] = &[0, 2, 3, 1];
const GRU_GATES: &[usize] = &[1, 0, 2];
const RNN_GATES: &[usize] = &[0];

/// The deepest chain of ops through which a constant is followed.
const DEEPEST: usize = 16;

/// The elements of a value that is made of constants by moving elements only, and the constants.
fn known(
    cx: &Cx<'_, '_>,
    value: ValueId,
    depth: usize,
    leaves: &mut Vec<ValueId>,
) -> Option<Array> {
    if let Some(tensor) = cx.l.constant(value) {
        leaves.push(value);
        return cx.l.module.tensors[tensor].to_array().ok();
    }
    let node = cx.l.def(value).filter(|_| depth < DEEPEST)?;
    let moves = matches!(
        node.op,
        Op::Slice(_)
            | Op::Concat(_)
            | Op::Reshape(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Transpose(_)
            | Op::Split(_)
            | Op::Identity(_)
    );
    if !moves {
        return None;
    }
    let mut operands = Vec::new();
    for operand in &node.operands {
        operands.push(match operand {
            Some(v) => Some(Datum::from(known(cx, *v, depth + 1, leaves)?)),
            None => None,
        });
    }
    let slot = node.results.iter().position(|r| *r == Some(value))?;
    let mut alone = Module::default();
    alone.functions.push(Function::new("main"));
    let mut interpreter = Interpreter::new(alone, EvalLimits::default());
    let results = interpreter.eval_op(&node.op, &operands).ok()?;
    results.get(slot)?.as_ref()?.as_array().cloned()
}

/// A weight of one direction: its name, the order of its blocks of rows, and which half of the
/// rows it is, where the hub has two in one.
struct Weight<'a> {
    slot: usize,
    direction: usize,
    name: &'a str,
    order: &'a [usize],
    half: Option<usize>,
}

impl Weight<'_> {
    /// The rows of the hub's weight that it has, in order.
    fn rows(&self, all: usize) -> Option<Vec<usize>> {
        let (start, len) = match self.half {
            Some(half) => (half * (all / 2), all / 2),
            None => (0, all),
        };
        let block = len.checked_div(self.order.len())?;
        Some(self.order.iter().flat_map(|&g| start + g * block..start + (g + 1) * block).collect())
    }

    /// The weight as a tensor of the model that has its elements, or as one of its own.
    fn constant(&self, cx: &mut Cx<'_, '_>, value: ValueId) -> Option<Var> {
        let mut leaves = Vec::new();
        let all = known(cx, value, 0, &mut leaves)?;
        let shape = all.shape.get(1..)?.to_vec();
        let own = all.gather_rows(0, &[self.direction]).ok()?.reshape(shape).ok()?;
        let rows = self.rows(*own.shape.first()?)?;
        let own = own.gather_rows(0, &rows).ok()?;
        for leaf in leaves {
            let tensor = cx.l.constant(leaf).map(|t| &cx.l.module.tensors[t]);
            let same = tensor.is_some_and(|t| {
                t.numel() == Some(own.numel() as u64)
                    && t.to_array().is_ok_and(|a| a.shape == own.shape && a.data == own.data)
            });
            if same {
                return cx.l.var(leaf).ok();
            }
        }
        let reverse = if self.direction > 0 { "_reverse" } else { "" };
        Some(cx.named_literal(own, &format!("{}_l0{reverse}", self.name)))
    }

    /// The weight, computed where it is no constant.
    fn var(&self, cx: &mut Cx<'_, '_>) -> Result<Option<Var>, Refuse> {
        let Some(value) = cx.value(self.slot) else { return Ok(None) };
        if let Some(var) = self.constant(cx, value) {
            return Ok(Some(var));
        }
        let Some(mut x) = part(cx, self.slot, self.direction)? else { return Ok(None) };
        let (dtype, mut shape) = (cx.info(x).dtype, cx.shape(x));
        let Some(rows) = shape.first().cloned() else { return other() };
        let rows = cx.known(&rows, "the number of gates")?;
        let mut take = |cx: &mut Cx<'_, '_>, x: Var, start: usize, len: usize| {
            if let Some(first) = shape.first_mut() {
                *first = Dim::Known(len as i64);
            }
            let size = |n: usize| Arg::Size(Dim::Known(n as i64));
            let args = vec![x.into(), Arg::Number(0), size(start), size(len)];
            cx.temp(&NARROW, args, dtype, &shape)
        };
        let mut len = rows;
        if let Some(half) = self.half {
            len = rows / 2;
            x = take(cx, x, half * len, len);
        }
        if self.order.is_sorted() {
            return Ok(Some(x));
        }
        let block = len / self.order.len().max(1);
        let parts = self.order.iter().map(|&g| take(cx, x, g * block, block)).collect();
        if let Some(first) = shape.first_mut() {
            *first = Dim::Known(len as i64);
        }
        let args = vec![Arg::Tensors(parts), Arg::Number(0)];
        Ok(Some(cx.temp(&CAT, args, dtype, &shape)))
    }
}

/// An operand of one direction; the first axis is that of directions.
fn part(cx: &mut Cx<'_, '_>, slot: usize, direction: usize) -> Result<Option<Var>, Refuse> {
    let Some(x) = cx.opt(slot)? else { return Ok(None) };
    if let Some(before) = cx.without_axis(x, 0).filter(|_| direction == 0) {
        return Ok(Some(before));
    }
    let (dtype, shape) = (cx.info(x).dtype, cx.shape(x));
    let rest = shape.get(1..).unwrap_or_default().to_vec();
    Ok(Some(cx.temp(&GET, vec![x.into(), Arg::Number(direction)], dtype, &rest)))
}

/// Runs the layer in each direction and joins what comes out. `starts`: the operands that states
/// start from, of which a run gives the last ones after the sequence.
fn directions(
    cx: &mut Cx<'_, '_>,
    func: &'static Func,
    c: &Common<'_>,
    order: &[usize],
    starts: &[usize],
    tail: &[Arg],
) -> Result<(), Refuse> {
    let states = starts.len();
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
        let weights = [
            (1, "weight_ih", None),
            (2, "weight_hh", None),
            (3, "bias_ih", Some(0)),
            (3, "bias_hh", Some(1)),
        ];
        for (slot, name, half) in weights {
            let found = Weight { slot, direction, name, order, half }.var(cx)?;
            args.push(match (half, found) {
                (None, Some(v)) => v.into(),
                (None, None) => return other(),
                (Some(_), v) => Arg::Maybe(v),
            });
        }
        for &slot in starts {
            args.push(Arg::Maybe(part(cx, slot, direction)?));
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
    directions(cx, &LSTM, &common, LSTM_GATES, &[5, 6], &[])
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
    let after = Arg::Bool(g.linear_before_reset);
    directions(cx, &GRU, &common, GRU_GATES, &[5], &[after])
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
    directions(cx, &RNN, &common, RNN_GATES, &[5], &[])
}
