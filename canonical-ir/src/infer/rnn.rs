//! infer rules of the rnn family.

use super::{InferCx, InferError, InferResult};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

type R<T> = Result<T, InferError>;

/// What a recurrent op says of itself.
struct Layer<'a> {
    gates: i64,
    hidden: i64,
    direction: RnnDirection,
    batch_first: bool,
    activations: &'a [String],
    per_direction: usize,
    peepholes: Option<usize>,
    initial_c: Option<usize>,
    transposed: bool,
}

fn sized(cx: &InferCx<'_>, slot: usize, want: &[Dim], label: &str) -> R<()> {
    let Some(ty) = cx.opt_tensor(slot)? else { return Ok(()) };
    cx.require(ty.rank() == want.len(), label, || {
        format!("operand `{}` has rank {}, not {}", cx.slot_name(slot), ty.rank(), want.len())
    })?;
    for (a, b) in ty.shape.iter().zip(want) {
        if let (Some(x), Some(y)) = (a.as_known(), b.as_known()) {
            cx.require(x == y, label, || {
                format!("an axis of operand `{}` has size {x}, not {y}", cx.slot_name(slot))
            })?;
        }
    }
    Ok(())
}

/// The number of directions.
pub(crate) fn directions(direction: RnnDirection) -> i64 {
    if direction == RnnDirection::Bidirectional { 2 } else { 1 }
}

/// The activation functions that a recurrent layer may name, in lower case.
pub(crate) const ACTIVATIONS: [&str; 11] = [
    "relu",
    "tanh",
    "sigmoid",
    "affine",
    "leakyrelu",
    "thresholdedrelu",
    "scaledtanh",
    "hardsigmoid",
    "elu",
    "softsign",
    "softplus",
];

fn layer(cx: &InferCx<'_>, l: &Layer<'_>) -> InferResult {
    let name = cx.name();
    let label = |n: u32| format!("{name}-c{n}");
    let x = cx.tensor(0)?;
    let wide = matches!(x.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    cx.require_dtype(x.dtype, wide, "a float of 16 bits or more")?;
    cx.require(x.rank() == 3, &label(1), || format!("x has rank {}, not 3", x.rank()))?;
    let size = 1..=i64::from(i32::MAX);
    cx.require(size.contains(&l.hidden), &label(2), || format!("hidden_size is {}", l.hidden))?;
    let d = directions(l.direction);
    let count = l.per_direction * d as usize;
    cx.require(l.activations.len() == count, &label(3), || {
        format!("{} activations where {count} are needed", l.activations.len())
    })?;
    for a in l.activations {
        cx.require(ACTIVATIONS.contains(&a.to_ascii_lowercase().as_str()), &label(3), || {
            format!("there is no activation `{a}`")
        })?;
    }
    let (steps, batch) = if l.batch_first {
        (x.shape[1].clone(), x.shape[0].clone())
    } else {
        (x.shape[0].clone(), x.shape[1].clone())
    };
    let (dirs, hidden) = (Dim::Known(d), Dim::Known(l.hidden));
    let rows = Dim::Known(l.hidden.saturating_mul(l.gates));
    let features = x.shape[2].clone();
    if l.transposed {
        sized(cx, 1, &[dirs.clone(), features, rows.clone()], &label(4))?;
        sized(cx, 2, &[dirs.clone(), hidden.clone(), rows.clone()], &label(4))?;
    } else {
        cx.same_dtype(0, 1)?;
        cx.same_dtype(0, 2)?;
        sized(cx, 1, &[dirs.clone(), rows.clone(), features], &label(4))?;
        sized(cx, 2, &[dirs.clone(), rows.clone(), hidden.clone()], &label(4))?;
    }
    sized(cx, 3, &[dirs.clone(), &rows + &rows], &label(5))?;
    sized(cx, 4, std::slice::from_ref(&batch), &label(6))?;
    if let Some(n) = cx.opt_tensor(4)? {
        cx.require_dtype(n.dtype, n.dtype.is_integer(), "an integer")?;
    }
    let state = if l.batch_first {
        [batch.clone(), dirs.clone(), hidden.clone()]
    } else {
        [dirs.clone(), batch.clone(), hidden.clone()]
    };
    sized(cx, 5, &state, &label(7))?;
    let mut same = vec![3, 5];
    if let Some(slot) = l.initial_c {
        sized(cx, slot, &state, &label(7))?;
        same.push(slot);
    }
    if let Some(slot) = l.peepholes {
        sized(cx, slot, &[dirs.clone(), Dim::Known(l.hidden.saturating_mul(3))], &label(8))?;
        same.push(slot);
    }
    for slot in same {
        if cx.opt(slot).is_some() {
            cx.same_dtype(0, slot)?;
        }
    }
    let y = if l.batch_first { [batch, steps, dirs, hidden] } else { [steps, dirs, batch, hidden] };
    let state = Type::from(TensorType::new(x.dtype, state));
    let mut out = vec![Type::tensor(x.dtype, y), state.clone()];
    if l.initial_c.is_some() {
        out.push(state);
    }
    Ok(out)
}

/// Elman layer.
pub fn rnn(cx: &InferCx<'_>, op: &Rnn) -> InferResult {
    layer(
        cx,
        &Layer {
            gates: 1,
            hidden: op.hidden_size,
            direction: op.direction,
            batch_first: op.batch_first,
            activations: &op.activations,
            per_direction: 1,
            peepholes: None,
            initial_c: None,
            transposed: false,
        },
    )
}

/// Gated recurrent unit.
pub fn gru(cx: &InferCx<'_>, op: &Gru) -> InferResult {
    layer(
        cx,
        &Layer {
            gates: 3,
            hidden: op.hidden_size,
            direction: op.direction,
            batch_first: op.batch_first,
            activations: &op.activations,
            per_direction: 2,
            peepholes: None,
            initial_c: None,
            transposed: false,
        },
    )
}

/// Long short-term memory.
pub fn lstm(cx: &InferCx<'_>, op: &Lstm) -> InferResult {
    layer(
        cx,
        &Layer {
            gates: 4,
            hidden: op.hidden_size,
            direction: op.direction,
            batch_first: op.batch_first,
            activations: &op.activations,
            per_direction: 3,
            peepholes: Some(7),
            initial_c: Some(6),
            transposed: false,
        },
    )
}

/// LSTM with quantised weights.
pub fn dynamic_quantize_lstm(cx: &InferCx<'_>, op: &DynamicQuantizeLstm) -> InferResult {
    let out = layer(
        cx,
        &Layer {
            gates: 4,
            hidden: op.hidden_size,
            direction: op.direction,
            batch_first: false,
            activations: &op.activations,
            per_direction: 3,
            peepholes: Some(7),
            initial_c: Some(6),
            transposed: true,
        },
    )?;
    cx.require_dtype(cx.tensor(0)?.dtype, cx.tensor(0)?.dtype == DType::F32, "f32")?;
    let d = Dim::Known(directions(op.direction));
    let columns = Dim::Known(op.hidden_size.saturating_mul(4));
    for (weight, scale, zero) in [(1, 8, 9), (2, 10, 11)] {
        let dtype = cx.tensor(weight)?.dtype;
        cx.require_dtype(dtype, matches!(dtype, DType::I8 | DType::U8), "i8 or u8")?;
        let s = cx.tensor(scale)?.dtype;
        cx.require_dtype(s, s == DType::F32, "f32")?;
        cx.same_dtype(weight, zero)?;
        for slot in [scale, zero] {
            let rank = cx.tensor(slot)?.rank();
            let want: &[Dim] =
                if rank == 2 { &[d.clone(), columns.clone()] } else { std::slice::from_ref(&d) };
            sized(cx, slot, want, "dynamic_quantize_lstm-c9")?;
        }
    }
    Ok(out)
}
