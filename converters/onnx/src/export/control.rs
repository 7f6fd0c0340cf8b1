//! Writing rules of the control family. Captures are not inputs in ONNX: subgraphs name the
//! values around them.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::ValueId;
use airconv_api::ir::op::{Op, OpKind};

use super::attr;
use super::index::{index, other_op};
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::If, if_),
    ExportRule::new(OpKind::Loop, loop_),
    ExportRule::new(OpKind::Scan, scan),
    ExportRule::new(OpKind::SequenceMap, sequence_map),
];

type Written = Result<(), Refuse>;

/// The operands from a slot on, all of which have to be there.
fn values(cx: &ExportCx<'_, '_>, first: usize) -> Result<Vec<ValueId>, Refuse> {
    (first..cx.count())
        .map(|i| cx.value(i).ok_or_else(|| Refuse(format!("operand {i} is missing"))))
        .collect()
}

/// A count of operands as an index.
fn count(n: i64, most: usize) -> Result<usize, Refuse> {
    match usize::try_from(n) {
        Ok(n) if n <= most => Ok(n),
        _ => Refuse::because(format!("{n} of {most} operands")),
    }
}

fn if_(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::If(i) = op else { return other_op(op) };
    let captures = values(cx, 1)?;
    let attrs = vec![
        attr::graph("then_branch", cx.graph(i.then_branch, &captures)?),
        attr::graph("else_branch", cx.graph(i.else_branch, &captures)?),
    ];
    let condition = cx.x(0)?;
    cx.emit("If", &[condition], attrs)
}

fn loop_(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Loop(l) = op else { return other_op(op) };
    let values = values(cx, 2)?;
    let carried = count(l.carried, values.len())?;
    let mut inputs = vec![String::new(), cx.opt(1)?];
    if cx.value(0).is_some() {
        inputs[0] = index(cx, 0, &[DType::I64])?;
    }
    for slot in 2..2 + carried {
        inputs.push(cx.x(slot)?);
    }
    let body = cx.graph(l.body, &values[carried..])?;
    cx.emit("Loop", &inputs, vec![attr::graph("body", body)])
}

fn scan(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Scan(s) = op else { return other_op(op) };
    let values = values(cx, 0)?;
    let formal = count(s.states.saturating_add(s.scanned), values.len())?;
    let inputs = (0..formal).map(|i| cx.x(i)).collect::<Result<Vec<_>, _>>()?;
    let body = cx.graph(s.body, &values[formal..])?;
    let mut attrs = vec![attr::graph("body", body), attr::int("num_scan_inputs", s.scanned)];
    let lists = [
        ("scan_input_axes", &s.input_axes),
        ("scan_input_directions", &s.input_reverse),
        ("scan_output_axes", &s.output_axes),
        ("scan_output_directions", &s.output_reverse),
    ];
    for (name, list) in lists {
        if list.iter().any(|&v| v != 0) {
            attrs.push(attr::ints(name, list));
        }
    }
    cx.emit("Scan", &inputs, attrs)
}

fn sequence_map(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::SequenceMap(s) = op else { return other_op(op) };
    let values = values(cx, 0)?;
    let formal = count(s.inputs, values.len())?;
    let inputs = (0..formal).map(|i| cx.x(i)).collect::<Result<Vec<_>, _>>()?;
    let body = cx.graph(s.body, &values[formal..])?;
    cx.emit("SequenceMap", &inputs, vec![attr::graph("body", body)])
}
