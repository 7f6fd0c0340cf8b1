//! Writing rules of the rnn family: layers of PyTorch, whose gates are in another order.

use airconv_ir::dim::{Dim, Shape};
use airconv_ir::dtype::DType;
use airconv_ir::op::{Op, OpKind, RnnDirection};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Rnn, rnn),
    ExportRule::new(OpKind::Gru, gru),
    ExportRule::new(OpKind::Lstm, lstm),
];

/// A layer of any kind.
struct Layer<'a> {
    /// PyTorch's operator.
    name: &'static str,
    /// Where each of PyTorch's gates is among the op's.
    gates: &'a [i64],
    direction: RnnDirection,
    hidden: i64,
    batch_first: bool,
    /// How many states there are: hidden, and for LSTM cells.
    states: usize,
}

fn has_names(given: &[String], wanted: &[&str]) -> Result<(), Refuse> {
    let fits = given.chunks(wanted.len()).all(|c| {
        c.len() == wanted.len() && c.iter().zip(wanted).all(|(g, w)| g.eq_ignore_ascii_case(w))
    });
    if fits { Ok(()) } else { Refuse::because("PyTorch's layer has other activations") }
}

fn rnn(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Rnn(r) = op else { return other_op() };
    let name = if has_names(&r.activations, &["Tanh"]).is_ok() {
        "aten::rnn_tanh.input"
    } else {
        has_names(&r.activations, &["Relu"])?;
        "aten::rnn_relu.input"
    };
    if r.clip.is_some() {
        return Refuse::because("PyTorch's layer has no limit of pre-activations");
    }
    let layer = Layer {
        name,
        gates: &[0],
        direction: r.direction,
        hidden: r.hidden_size,
        batch_first: r.batch_first,
        states: 1,
    };
    write(cx, &layer)
}

fn gru(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Gru(g) = op else { return other_op() };
    has_names(&g.activations, &["Sigmoid", "Tanh"])?;
    if g.clip.is_some() || !g.linear_before_reset {
        return Refuse::because("PyTorch resets after the matrix product");
    }
    let layer = Layer {
        name: "aten::gru.input",
        gates: &[1, 0, 2],
        direction: g.direction,
        hidden: g.hidden_size,
        batch_first: g.batch_first,
        states: 1,
    };
    write(cx, &layer)
}

fn lstm(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Lstm(l) = op else { return other_op() };
    has_names(&l.activations, &["Sigmoid", "Tanh", "Tanh"])?;
    if l.clip.is_some() || l.input_forget || cx.value(7).is_some() {
        return Refuse::because("PyTorch's layer has no limit, coupling or peepholes");
    }
    let layer = Layer {
        name: "aten::lstm.input",
        gates: &[0, 2, 3, 1],
        direction: l.direction,
        hidden: l.hidden_size,
        batch_first: l.batch_first,
        states: 2,
    };
    write(cx, &layer)
}

fn write(cx: &mut ExportCx<'_, '_>, layer: &Layer<'_>) -> Written {
    let dtype = cx.operand_type(0)?.dtype;
    if !matches!(dtype, DType::F32 | DType::F64) {
        return Refuse::because(format!("PyTorch's layer is not of {dtype}"));
    }
    if cx.value(4).is_some() {
        return Refuse::because("lengths differ within the batch");
    }
    let mut x = cx.x(0)?;
    let shape = cx.shape(x)?;
    let (time, batch) = if layer.batch_first { (1, 0) } else { (0, 1) };
    let backward = layer.direction == RnnDirection::Reverse;
    if backward {
        x = cx.flip(x, &[time])?;
    }
    let both = layer.direction == RnnDirection::Bidirectional;
    let directions = if both { 2 } else { 1 };
    let params = params(cx, layer, directions)?;
    let batch_size = shape.get(batch).cloned().unwrap_or(Dim::Any);
    let state = [Dim::Known(directions), batch_size, Dim::Known(layer.hidden)];
    let mut starts = Vec::new();
    for i in 0..layer.states {
        starts.push(start(cx, 5 + i, &state, layer.batch_first, dtype)?);
    }
    let hx = if layer.states == 1 { Arg::Tensor(starts[0]) } else { starts.into() };
    let biased = cx.value(3).is_some();
    let args = args![x, hx, params, biased, 1i64, 0.0, false, both, layer.batch_first];
    let mut out_shape: Shape = shape.iter().take(2).cloned().collect();
    out_shape.push(Dim::Known(directions * layer.hidden));
    let out_ty = TensorType::new(dtype, out_shape);
    let state_ty = TensorType::new(dtype, state);
    let results: Vec<Var> = match layer.states {
        1 => cx.ops(layer.name, args, [out_ty, state_ty])?.to_vec(),
        _ => cx.ops(layer.name, args, [out_ty, state_ty.clone(), state_ty])?.to_vec(),
    };
    let mut out = vec![Some(sequence(cx, results[0], layer, directions, backward)?)];
    for &state in &results[1..] {
        let state = if layer.batch_first { cx.permute(state, &[1, 0, 2])? } else { state };
        out.push(Some(state));
    }
    out.truncate(cx.result_count());
    Ok(out)
}

/// Weights and biases of each direction in PyTorch's order.
fn params(
    cx: &mut ExportCx<'_, '_>,
    layer: &Layer<'_>,
    directions: i64,
) -> Result<Vec<Var>, Refuse> {
    let (w, r, b) = (cx.x(1)?, cx.x(2)?, cx.opt(3)?);
    let rows = layer.hidden * layer.gates.len() as i64;
    let mut out = Vec::new();
    for direction in 0..directions {
        for weight in [w, r] {
            let weight = cx.select(weight, 0, direction)?;
            out.push(reordered(cx, weight, layer)?);
        }
        if let Some(b) = b {
            let b = cx.select(b, 0, direction)?;
            for at in [0, rows] {
                let bounds = (&Dim::Known(at), &Dim::Known(at + rows));
                let half = cx.slice(b, 0, bounds, 1, Dim::Known(rows))?;
                out.push(reordered(cx, half, layer)?);
            }
        }
    }
    Ok(out)
}

/// The rows of a weight with its gates in PyTorch's order.
fn reordered(cx: &mut ExportCx<'_, '_>, x: Var, layer: &Layer<'_>) -> Result<Var, Refuse> {
    if layer.gates.len() == 1 {
        return Ok(x);
    }
    let mut parts = Vec::new();
    for &gate in layer.gates {
        let (from, to) = (Dim::Known(gate * layer.hidden), Dim::Known((gate + 1) * layer.hidden));
        parts.push(cx.slice(x, 0, (&from, &to), 1, Dim::Known(layer.hidden))?);
    }
    cx.cat(&parts, 0)
}

/// The first state: zero where it is not given.
fn start(
    cx: &mut ExportCx<'_, '_>,
    slot: usize,
    dims: &[Dim],
    batch_first: bool,
    dtype: DType,
) -> Result<Var, Refuse> {
    match cx.opt(slot)? {
        Some(x) if batch_first => cx.permute(x, &[1, 0, 2]),
        Some(x) => Ok(x),
        None => cx.full(dims, Arg::Float(0.0), dtype),
    }
}

/// The outputs of all steps with the directions as an axis.
fn sequence(
    cx: &mut ExportCx<'_, '_>,
    y: Var,
    layer: &Layer<'_>,
    directions: i64,
    backward: bool,
) -> Result<Var, Refuse> {
    let shape = cx.shape(y)?;
    let mut dims: Vec<Dim> = shape.iter().take(2).cloned().collect();
    dims.push(Dim::Known(directions));
    dims.push(Dim::Known(layer.hidden));
    let mut y = cx.reshape(y, &dims)?;
    if backward {
        y = cx.flip(y, &[usize::from(layer.batch_first)])?;
    }
    if layer.batch_first { Ok(y) } else { cx.permute(y, &[0, 2, 1, 3]) }
}
