//! decompose rules of the rnn family: one loop per direction, whose trip count is the length
//! of the sequence.

use super::{DecomposeCx, DecomposeResult, NoDecomposition};
use crate::attr::Float;
use crate::builder::{BuildError, Builder};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;
use crate::types::Type;

type Built<T> = Result<T, BuildError>;
/// Builds a step: the next states for its number, the states and the captures.
type Step<'s> = dyn FnMut(
        &mut Builder<'_>,
        ValueId,
        &[ValueId],
        &[ValueId],
    ) -> Result<Vec<ValueId>, NoDecomposition>
    + 's;

/// An activation function with its parameters.
#[derive(Clone, Debug, PartialEq)]
struct Activation {
    name: String,
    alpha: f64,
    beta: f64,
}

/// The activations in order. Those that have parameters take theirs from the lists as long as
/// these last, then the defaults.
fn activations(names: &[String], alphas: &[Float], betas: &[Float]) -> Vec<Activation> {
    let (mut alphas, mut betas) = (alphas.iter(), betas.iter());
    names
        .iter()
        .map(|name| {
            let name = name.to_ascii_lowercase();
            let (alpha, beta) = match name.as_str() {
                "affine" => (Some(1.0), Some(0.0)),
                "leakyrelu" => (Some(f64::from(0.01f32)), None),
                "thresholdedrelu" | "elu" => (Some(1.0), None),
                "scaledtanh" => (Some(1.0), Some(1.0)),
                "hardsigmoid" => (Some(f64::from(0.2f32)), Some(0.5)),
                _ => (None, None),
            };
            let alpha = alpha.map(|d| alphas.next().map_or(d, |a| a.0)).unwrap_or_default();
            let beta = beta.map(|d| betas.next().map_or(d, |b| b.0)).unwrap_or_default();
            Activation { name, alpha, beta }
        })
        .collect()
}

impl Activation {
    fn apply(&self, b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, NoDecomposition> {
        let (alpha, beta) = (Float(self.alpha), Float(self.beta));
        Ok(match self.name.as_str() {
            "tanh" => b.tanh(x)?,
            "sigmoid" => b.emit(Sigmoid {}, &[x])?,
            "relu" => b.emit(Relu {}, &[x])?,
            "affine" => {
                let y = b.mul_const(x, self.alpha)?;
                b.add_const(y, self.beta)?
            }
            "leakyrelu" => b.emit(LeakyRelu { alpha }, &[x])?,
            "thresholdedrelu" => b.emit(ThresholdedRelu { alpha }, &[x])?,
            "scaledtanh" => {
                let y = b.mul_const(x, self.beta)?;
                let y = b.tanh(y)?;
                b.mul_const(y, self.alpha)?
            }
            "hardsigmoid" => b.emit(HardSigmoid { alpha, beta }, &[x])?,
            "elu" => b.emit(Elu { alpha }, &[x])?,
            "softsign" => b.emit(Softsign {}, &[x])?,
            "softplus" => b.emit(Softplus {}, &[x])?,
            other => {
                let why = format!("there is no activation `{other}`");
                return Err(NoDecomposition::Unsupported(why));
            }
        })
    }
}

/// x held to [-limit, limit].
fn clipped(b: &mut Builder<'_>, x: ValueId, limit: Option<Float>) -> Built<ValueId> {
    let Some(limit) = limit else { return Ok(x) };
    let (low, high) = (b.scalar_like(x, -limit.0)?, b.scalar_like(x, limit.0)?);
    let y = b.max(x, low)?;
    b.min(y, high)
}

/// The columns [i * width, (i + 1) * width) of the last axis.
fn gate(b: &mut Builder<'_>, x: ValueId, i: i64, width: i64) -> Built<ValueId> {
    let axis = b.tensor_ty(x)?.rank().saturating_sub(1);
    b.slice_axis(x, axis, Dim::Known(i * width), Dim::Known((i + 1) * width))
}

/// Sum over the last axis of x and one axis of the weights, a matrix.
fn product(b: &mut Builder<'_>, x: ValueId, w: ValueId, axis: i64) -> Built<ValueId> {
    let last = b.tensor_ty(x)?.rank() as i64 - 1;
    let op = Contract {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![last],
        rhs_contract: vec![axis],
    };
    b.emit(op, &[x, w])
}

fn plus(b: &mut Builder<'_>, x: ValueId, y: Option<ValueId>) -> Built<ValueId> {
    match y {
        Some(y) => b.add(x, y),
        None => Ok(x),
    }
}

/// The operands that recurrent ops share, with the step axis first.
struct Layer {
    /// [steps, batch, features].
    x: ValueId,
    steps: Dim,
    batch: Dim,
    hidden: i64,
    dtype: DType,
    lengths: Option<ValueId>,
    batch_first: bool,
    /// Whether each direction runs from the end.
    directions: &'static [bool],
    wants_y: bool,
}

fn layer(
    cx: &mut DecomposeCx<'_, '_>,
    direction: RnnDirection,
    hidden: i64,
    batch_first: bool,
) -> Result<Layer, NoDecomposition> {
    let mut x = cx.x(0)?;
    if batch_first {
        x = cx.b.transpose(x, &[1, 0, 2])?;
    }
    let ty = cx.b.tensor_ty(x)?;
    let [steps, batch, _] = ty.shape.as_slice() else {
        return cx.unsupported("x is not of rank 3");
    };
    let lengths = match cx.opt(4) {
        Some(n) => {
            let n = cx.b.cast(n, DType::I64)?;
            Some(cx.b.reshape(n, &[batch.clone(), Dim::Known(1)])?)
        }
        None => None,
    };
    Ok(Layer {
        x,
        steps: steps.clone(),
        batch: batch.clone(),
        hidden,
        dtype: ty.dtype,
        lengths,
        batch_first,
        directions: match direction {
            RnnDirection::Forward => &[false],
            RnnDirection::Reverse => &[true],
            RnnDirection::Bidirectional => &[false, true],
        },
        wants_y: cx.wants(0),
    })
}

impl Layer {
    /// The part of an operand with leading direction axis that belongs to one direction.
    fn of(&self, b: &mut Builder<'_>, x: Option<ValueId>, d: usize) -> Built<Option<ValueId>> {
        x.map(|x| b.index_axis(x, 0, d as i64)).transpose()
    }

    /// The initial state of a direction, [batch, hidden].
    fn initial(&self, b: &mut Builder<'_>, x: Option<ValueId>, d: usize) -> Built<ValueId> {
        let dims = [self.batch.clone(), Dim::Known(self.hidden)];
        match x {
            Some(x) => {
                let part = b.index_axis(x, usize::from(self.batch_first), d as i64)?;
                b.reshape(part, &dims)
            }
            None => {
                let zero = b.scalar(self.dtype, 0.0)?;
                b.broadcast_to(zero, &dims)
            }
        }
    }

    /// Runs one direction. `step` gives the next states for the number of the step, the states
    /// and the captures; the first state is also the output. Past the length of a sequence
    /// states stay and outputs are zero. Gives the last states, and the outputs as
    /// [steps, batch, hidden].
    fn run(
        &self,
        b: &mut Builder<'_>,
        reverse: bool,
        states: &[ValueId],
        captures: &[ValueId],
        step: &mut Step<'_>,
    ) -> Result<(Vec<ValueId>, Option<ValueId>), NoDecomposition> {
        let count = b.dim_scalar(&self.steps)?;
        let mut all = captures.to_vec();
        if reverse {
            all.push(b.dim_scalar(&(&self.steps - 1))?);
        }
        all.extend(self.lengths);
        let mut params = vec![Type::tensor(DType::I64, []), Type::tensor(DType::Bool, [])];
        params.extend(states.iter().chain(&all).map(|&v| b.ty(v).clone()));
        let (body, p) = b.new_region(&params);
        let missing = || NoDecomposition::Unsupported("the loop lacks operands".to_owned());
        let (&[i, going], inner) = p.split_first_chunk::<2>().ok_or_else(missing)?;
        let (old, inner) = inner.split_at_checked(states.len()).ok_or_else(missing)?;
        let (given, extra) = inner.split_at_checked(captures.len()).ok_or_else(missing)?;
        let mut extra = extra.iter().copied();
        let results = b.in_region(body, |b| -> Result<Vec<ValueId>, NoDecomposition> {
            let mut t = i;
            if reverse {
                t = b.sub(extra.next().ok_or_else(missing)?, i)?;
            }
            let mut new = step(b, t, old, given)?;
            let mut y = *new.first().ok_or_else(missing)?;
            if self.lengths.is_some() {
                let lengths = extra.next().ok_or_else(missing)?;
                let live = b.less(t, lengths)?;
                for (n, o) in new.iter_mut().zip(old) {
                    *n = b.select(live, *n, *o)?;
                }
                let zero = b.scalar(self.dtype, 0.0)?;
                y = b.select(live, y, zero)?;
            }
            let mut out = vec![going];
            out.extend(new);
            if self.wants_y {
                out.push(y);
            }
            Ok(out)
        })?;
        b.set_results(body, &results);
        let mut operands = vec![Some(count), None];
        operands.extend(states.iter().chain(&all).map(|&v| Some(v)));
        let mut out = b.emit_all(Loop { body, carried: states.len() as i64 }, &operands)?;
        let y = if self.wants_y { out.pop() } else { None };
        let y = match y {
            Some(y) if reverse => Some(b.emit(
                Slice {
                    axes: vec![0],
                    starts: vec![Dim::Known(-1)],
                    ends: vec![Dim::Known(-i64::MAX)],
                    steps: vec![-1],
                },
                &[y],
            )?),
            y => y,
        };
        let dims = [self.steps.clone(), self.batch.clone(), Dim::Known(self.hidden)];
        let y = y.map(|y| b.reshape(y, &dims)).transpose()?;
        Ok((out, y))
    }

    /// Joins states of the directions, each [batch, hidden].
    fn states(&self, b: &mut Builder<'_>, parts: &[ValueId]) -> Built<ValueId> {
        let axis = usize::from(self.batch_first);
        let wide = parts.iter().map(|&p| b.unsqueeze(p, &[axis])).collect::<Built<Vec<_>>>()?;
        b.concat(&wide, axis)
    }

    /// Joins outputs of the directions, each [steps, batch, hidden].
    fn outputs(&self, b: &mut Builder<'_>, parts: &[ValueId]) -> Built<Option<ValueId>> {
        if parts.is_empty() {
            return Ok(None);
        }
        let wide = parts.iter().map(|&p| b.unsqueeze(p, &[1])).collect::<Built<Vec<_>>>()?;
        let y = b.concat(&wide, 1)?;
        Ok(Some(if self.batch_first { b.transpose(y, &[2, 0, 1, 3])? } else { y }))
    }

    /// Both halves of the biases of a direction: those of the inputs and those of the states.
    fn biases(
        &self,
        b: &mut Builder<'_>,
        bias: Option<ValueId>,
        gates: i64,
    ) -> Built<Option<[ValueId; 2]>> {
        let Some(bias) = bias else { return Ok(None) };
        let width = gates * self.hidden;
        Ok(Some([gate(b, bias, 0, width)?, gate(b, bias, 1, width)?]))
    }
}

fn at(b: &mut Builder<'_>, x: ValueId, t: ValueId) -> Built<ValueId> {
    b.emit(Gather { axis: 0 }, &[x, t])
}

fn lacking<T>() -> Result<T, NoDecomposition> {
    Err(NoDecomposition::Unsupported("the loop lacks operands".to_owned()))
}

/// Elman layer.
pub fn rnn(cx: &mut DecomposeCx<'_, '_>, op: &Rnn) -> DecomposeResult {
    let l = layer(cx, op.direction, op.hidden_size, op.batch_first)?;
    let (w, r) = (cx.x(1)?, cx.x(2)?);
    let (bias, initial, wants_h) = (cx.opt(3), cx.opt(5), cx.wants(1));
    let functions = activations(&op.activations, &op.activation_alpha, &op.activation_beta);
    let b = &mut *cx.b;
    let (mut ys, mut hs) = (Vec::new(), Vec::new());
    for (d, &reverse) in l.directions.iter().enumerate() {
        let w = b.index_axis(w, 0, d as i64)?;
        let r = b.index_axis(r, 0, d as i64)?;
        let bias = l.of(b, bias, d)?;
        let mut xw = product(b, l.x, w, 1)?;
        if let Some([wb, rb]) = l.biases(b, bias, 1)? {
            let sum = b.add(wb, rb)?;
            xw = b.add(xw, sum)?;
        }
        let h = l.initial(b, initial, d)?;
        let Some(f) = functions.get(d) else { return cx.unsupported("an activation is missing") };
        let (last, y) = l.run(b, reverse, &[h], &[xw, r], &mut |b, t, states, captures| {
            let (&[h], &[xw, r]) = (states, captures) else { return lacking() };
            let x = at(b, xw, t)?;
            let hr = product(b, h, r, 1)?;
            let sum = b.add(x, hr)?;
            let sum = clipped(b, sum, op.clip)?;
            Ok(vec![f.apply(b, sum)?])
        })?;
        hs.extend(last.first());
        ys.extend(y);
    }
    let y = l.outputs(b, &ys)?;
    let h = if wants_h { Some(l.states(b, &hs)?) } else { None };
    Ok(vec![y, h])
}

/// Gated recurrent unit.
pub fn gru(cx: &mut DecomposeCx<'_, '_>, op: &Gru) -> DecomposeResult {
    let l = layer(cx, op.direction, op.hidden_size, op.batch_first)?;
    let (w, r) = (cx.x(1)?, cx.x(2)?);
    let (bias, initial, wants_h) = (cx.opt(3), cx.opt(5), cx.wants(1));
    let functions = activations(&op.activations, &op.activation_alpha, &op.activation_beta);
    let n = op.hidden_size;
    let b = &mut *cx.b;
    let (mut ys, mut hs) = (Vec::new(), Vec::new());
    for (d, &reverse) in l.directions.iter().enumerate() {
        let w = b.index_axis(w, 0, d as i64)?;
        let r = b.index_axis(r, 0, d as i64)?;
        let bias = l.of(b, bias, d)?;
        let mut xw = product(b, l.x, w, 1)?;
        // The update and reset gates are computed together; the candidate has its own weights.
        let zr = b.slice_axis(r, 0, Dim::Known(0), Dim::Known(2 * n))?;
        let rh = b.slice_axis(r, 0, Dim::Known(2 * n), Dim::Known(3 * n))?;
        let mut captures = vec![zr, rh];
        if let Some([wb, rb]) = l.biases(b, bias, 3)? {
            let added = if op.linear_before_reset {
                let rest = b.slice_axis(rb, 0, Dim::Known(0), Dim::Known(2 * n))?;
                captures.push(gate(b, rb, 2, n)?);
                let zero = b.scalar(l.dtype, 0.0)?;
                let zero = b.broadcast_to(zero, &[Dim::Known(n)])?;
                b.concat(&[rest, zero], 0)?
            } else {
                rb
            };
            let sum = b.add(wb, added)?;
            xw = b.add(xw, sum)?;
        }
        captures.insert(0, xw);
        let h = l.initial(b, initial, d)?;
        let Some([f, g]) = functions.get(2 * d..2 * d + 2) else {
            return cx.unsupported("an activation is missing");
        };
        let (last, y) = l.run(b, reverse, &[h], &captures, &mut |b, t, states, captures| {
            let (&[h], &[xw, zr, rh, ref late @ ..]) = (states, captures) else {
                return lacking();
            };
            let x = at(b, xw, t)?;
            let hr = product(b, h, zr, 1)?;
            let x_zr = b.slice_axis(x, 1, Dim::Known(0), Dim::Known(2 * n))?;
            let sum = b.add(x_zr, hr)?;
            let sum = clipped(b, sum, op.clip)?;
            let zr = f.apply(b, sum)?;
            let (z, r) = (gate(b, zr, 0, n)?, gate(b, zr, 1, n)?);
            let x_h = gate(b, x, 2, n)?;
            let hidden = if op.linear_before_reset {
                let hh = product(b, h, rh, 1)?;
                let hh = plus(b, hh, late.first().copied())?;
                b.mul(r, hh)?
            } else {
                let reset = b.mul(r, h)?;
                product(b, reset, rh, 1)?
            };
            let sum = b.add(x_h, hidden)?;
            let sum = clipped(b, sum, op.clip)?;
            let candidate = g.apply(b, sum)?;
            let one = b.scalar_like(z, 1.0)?;
            let rest = b.sub(one, z)?;
            let new = b.mul(rest, candidate)?;
            let kept = b.mul(z, h)?;
            Ok(vec![b.add(new, kept)?])
        })?;
        hs.extend(last.first());
        ys.extend(y);
    }
    let y = l.outputs(b, &ys)?;
    let h = if wants_h { Some(l.states(b, &hs)?) } else { None };
    Ok(vec![y, h])
}

/// What the gates of an LSTM have in common whatever the weights are.
struct Cell<'a> {
    functions: &'a [Activation],
    clip: Option<Float>,
    input_forget: bool,
    hidden: i64,
    peepholes: bool,
}

impl Cell<'_> {
    /// The next [h, c] for the sums of the four gates, in the order input, output, forget, cell.
    fn next(
        &self,
        b: &mut Builder<'_>,
        gates: ValueId,
        c: ValueId,
        p: Option<ValueId>,
    ) -> Result<Vec<ValueId>, NoDecomposition> {
        let [f, g, h] = self.functions else {
            return Err(NoDecomposition::Unsupported("an activation is missing".to_owned()));
        };
        let n = self.hidden;
        let look = |b: &mut Builder<'_>, x: ValueId, c: ValueId, i: i64| -> Built<ValueId> {
            let Some(p) = p else { return Ok(x) };
            let p = gate(b, p, i, n)?;
            let seen = b.mul(p, c)?;
            b.add(x, seen)
        };
        let i = gate(b, gates, 0, n)?;
        let i = look(b, i, c, 0)?;
        let i = clipped(b, i, self.clip)?;
        let i = f.apply(b, i)?;
        let forget = if self.input_forget {
            let one = b.scalar_like(i, 1.0)?;
            b.sub(one, i)?
        } else {
            let x = gate(b, gates, 2, n)?;
            let x = look(b, x, c, 2)?;
            let x = clipped(b, x, self.clip)?;
            f.apply(b, x)?
        };
        let x = gate(b, gates, 3, n)?;
        let x = clipped(b, x, self.clip)?;
        let candidate = g.apply(b, x)?;
        let (kept, new) = (b.mul(forget, c)?, b.mul(i, candidate)?);
        let c = b.add(kept, new)?;
        let o = gate(b, gates, 1, n)?;
        let o = look(b, o, c, 1)?;
        let o = clipped(b, o, self.clip)?;
        let o = f.apply(b, o)?;
        let out = h.apply(b, c)?;
        Ok(vec![b.mul(o, out)?, c])
    }
}

/// Collects the results of the directions of an LSTM.
fn lstm_results(
    b: &mut Builder<'_>,
    l: &Layer,
    ys: &[ValueId],
    states: &[Vec<ValueId>],
    wants: [bool; 2],
) -> DecomposeResult {
    let y = l.outputs(b, ys)?;
    let mut out = vec![y];
    for (k, wanted) in wants.into_iter().enumerate() {
        let parts: Vec<ValueId> = states.iter().filter_map(|s| s.get(k)).copied().collect();
        out.push(if wanted { Some(l.states(b, &parts)?) } else { None });
    }
    Ok(out)
}

/// Long short-term memory.
pub fn lstm(cx: &mut DecomposeCx<'_, '_>, op: &Lstm) -> DecomposeResult {
    let l = layer(cx, op.direction, op.hidden_size, op.batch_first)?;
    let (w, r) = (cx.x(1)?, cx.x(2)?);
    let (bias, initial_h, initial_c, p) = (cx.opt(3), cx.opt(5), cx.opt(6), cx.opt(7));
    let wants = [cx.wants(1), cx.wants(2)];
    let functions = activations(&op.activations, &op.activation_alpha, &op.activation_beta);
    let b = &mut *cx.b;
    let (mut ys, mut states) = (Vec::new(), Vec::new());
    for (d, &reverse) in l.directions.iter().enumerate() {
        let w = b.index_axis(w, 0, d as i64)?;
        let r = b.index_axis(r, 0, d as i64)?;
        let bias = l.of(b, bias, d)?;
        let p = l.of(b, p, d)?;
        let mut xw = product(b, l.x, w, 1)?;
        if let Some([wb, rb]) = l.biases(b, bias, 4)? {
            let sum = b.add(wb, rb)?;
            xw = b.add(xw, sum)?;
        }
        let h = l.initial(b, initial_h, d)?;
        let c = l.initial(b, initial_c, d)?;
        let cell = Cell {
            functions: functions.get(3 * d..3 * d + 3).unwrap_or_default(),
            clip: op.clip,
            input_forget: op.input_forget,
            hidden: op.hidden_size,
            peepholes: p.is_some(),
        };
        let mut captures = vec![xw, r];
        captures.extend(p);
        let (last, y) = l.run(b, reverse, &[h, c], &captures, &mut |b, t, states, captures| {
            let (&[h, c], &[xw, r, ref p @ ..]) = (states, captures) else { return lacking() };
            let x = at(b, xw, t)?;
            let hr = product(b, h, r, 1)?;
            let gates = b.add(x, hr)?;
            cell.next(b, gates, c, p.first().copied().filter(|_| cell.peepholes))
        })?;
        states.push(last);
        ys.extend(y);
    }
    lstm_results(b, &l, &ys, &states, wants)
}

/// Integers minus their zero point, in i32.
fn centred(b: &mut Builder<'_>, x: ValueId, zero: ValueId) -> Built<ValueId> {
    let (x, zero) = (b.cast(x, DType::I32)?, b.cast(zero, DType::I32)?);
    b.sub(x, zero)
}

/// Quantises x as a whole, and gives its product with quantised weights [k, n] in f32.
fn quantized_product(
    b: &mut Builder<'_>,
    x: ValueId,
    w: ValueId,
    w_zero: ValueId,
    w_scale: ValueId,
) -> Result<ValueId, NoDecomposition> {
    let parts = b.emit_all(DynamicQuantizeLinear {}, &[Some(x)])?;
    let &[q, scale, zero] = parts.as_slice() else { return lacking() };
    let q = centred(b, q, zero)?;
    let w = centred(b, w, w_zero)?;
    let sum = product(b, q, w, 0)?;
    let sum = b.cast(sum, DType::F32)?;
    let scale = b.mul(scale, w_scale)?;
    Ok(b.mul(sum, scale)?)
}

/// The sequences of [steps, batch, features] in reverse order, each within its length.
fn turn(b: &mut Builder<'_>, x: ValueId, lengths: Option<ValueId>) -> Built<ValueId> {
    let Some(lengths) = lengths else { return Ok(x) };
    let lengths = b.squeeze(lengths, &[1])?;
    b.emit(ReverseSequence { batch_axis: 1, time_axis: 0 }, &[x, lengths])
}

/// LSTM with quantised weights: the input is quantised once, the state at each step.
pub fn dynamic_quantize_lstm(
    cx: &mut DecomposeCx<'_, '_>,
    op: &DynamicQuantizeLstm,
) -> DecomposeResult {
    let l = layer(cx, op.direction, op.hidden_size, false)?;
    let (w, r) = (cx.x(1)?, cx.x(2)?);
    let (bias, initial_h, initial_c, p) = (cx.opt(3), cx.opt(5), cx.opt(6), cx.opt(7));
    let (w_scale, w_zero, r_scale, r_zero) = (cx.x(8)?, cx.x(9)?, cx.x(10)?, cx.x(11)?);
    let wants = [cx.wants(1), cx.wants(2)];
    let functions = activations(&op.activations, &op.activation_alpha, &op.activation_beta);
    let b = &mut *cx.b;
    let mut x = l.x;
    if let Some(lengths) = l.lengths {
        // Steps past the longest sequence have no say in the range of the input.
        let longest = b.reduce(ReduceKind::Max, lengths, &[0, 1], false)?;
        let t = b.iota(DType::I64, l.steps.clone())?;
        let live = b.less(t, longest)?;
        let live = b.reshape(live, &[l.steps.clone(), Dim::Known(1), Dim::Known(1)])?;
        let zero = b.scalar(DType::F32, 0.0)?;
        x = b.select(live, x, zero)?;
    }
    let (mut ys, mut states) = (Vec::new(), Vec::new());
    for (d, &reverse) in l.directions.iter().enumerate() {
        let pick = |b: &mut Builder<'_>, x: ValueId| b.index_axis(x, 0, d as i64);
        let (w, w_zero) = (pick(b, w)?, pick(b, w_zero)?);
        let (r, r_zero) = (pick(b, r)?, pick(b, r_zero)?);
        let (w_scale, r_scale) = (pick(b, w_scale)?, pick(b, r_scale)?);
        let bias = l.of(b, bias, d)?;
        let p = l.of(b, p, d)?;
        // Each sequence is turned within its length, so that the states of one step belong
        // together as they do in ONNX Runtime.
        let turned = if reverse { l.lengths } else { None };
        let x = turn(b, x, turned)?;
        let xw = quantized_product(b, x, w, w_zero, w_scale)?;
        // Weights stay narrow, inside of the loop too.
        let mut captures = vec![xw, r, r_zero, r_scale];
        let has_bias = bias.is_some();
        if let Some([wb, rb]) = l.biases(b, bias, 4)? {
            captures.push(b.add(wb, rb)?);
        }
        captures.extend(p);
        captures.extend(l.lengths);
        let h = l.initial(b, initial_h, d)?;
        let c = l.initial(b, initial_c, d)?;
        let cell = Cell {
            functions: functions.get(3 * d..3 * d + 3).unwrap_or_default(),
            clip: op.clip,
            input_forget: op.input_forget,
            hidden: op.hidden_size,
            peepholes: p.is_some(),
        };
        let back = reverse && turned.is_none();
        let (last, y) = l.run(b, back, &[h, c], &captures, &mut |b, t, states, captures| {
            let (&[h, c], &[xw, r, r_zero, r_scale, ref rest @ ..]) = (states, captures) else {
                return lacking();
            };
            let mut rest = rest.iter().copied();
            let bias = if has_bias { rest.next() } else { None };
            let p = if cell.peepholes { rest.next() } else { None };
            let seen = match rest.next() {
                Some(lengths) => {
                    // Sequences that are over no longer count in the range of the state.
                    let live = b.less_or_equal(t, lengths)?;
                    let zero = b.scalar(DType::F32, 0.0)?;
                    b.select(live, h, zero)?
                }
                None => h,
            };
            let x = at(b, xw, t)?;
            let hr = quantized_product(b, seen, r, r_zero, r_scale)?;
            let gates = b.add(x, hr)?;
            let gates = plus(b, gates, bias)?;
            cell.next(b, gates, c, p)
        })?;
        states.push(last);
        if let Some(y) = y {
            ys.push(turn(b, y, turned)?);
        }
    }
    lstm_results(b, &l, &ys, &states, wants)
}
