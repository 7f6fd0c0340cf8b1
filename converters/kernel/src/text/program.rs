//! The text form of programs: declarations, kernels, then the steps.

use std::fmt::Write;

use airconv_ir::dim::{Dim, Range};
use airconv_ir::entity::{NodeId, SymbolId, TensorId};

use super::names::quote;
use super::parse::{Lines, Parsed, TextError, Words, close, parse_kernel};
use super::print::{line, print_kernel};
use crate::ir::{
    Binding, Buffer, BufferId, BufferKind, Fit, HostOp, KernelId, Launch, Loop, Program, Size, Step,
};

/// The text form of a program.
pub fn print_program(program: &Program) -> String {
    let mut out = String::from("program ");
    quote(&mut out, &program.name);
    out.push_str(" {\n");
    let bound = |b: Option<i64>| b.map_or("*".to_owned(), |b| b.to_string());
    for (i, Size { name, range }) in program.sizes.iter().enumerate() {
        let (min, max) = (bound(range.min), bound(range.max));
        line!(out, "  ", "size s{i} = {} from {min} to {max}", quoted(name));
    }
    for (i, Buffer { dtype, shape, kind }) in program.buffers.iter().enumerate() {
        let dtype = dtype.map_or("-", |d| d.name());
        let kind = match kind {
            BufferKind::Input(n) => format!("input {n}"),
            BufferKind::Constant(t) => format!("constant {}", t.0),
            BufferKind::Temporary => "temporary".to_owned(),
            BufferKind::Host => "host".to_owned(),
        };
        line!(out, "  ", "buffer b{i} = {dtype} [{}] {kind}", dims(shape));
    }
    for (word, list) in [("input", &program.inputs), ("output", &program.outputs)] {
        for (name, b) in list {
            line!(out, "  ", "{word} {} = b{}", quoted(name), b.0);
        }
    }
    for text in &program.failures {
        line!(out, "  ", "failure {}", quoted(text));
    }
    for text in &program.notes {
        line!(out, "  ", "note {}", quoted(text));
    }
    for (i, kernel) in program.kernels.iter().enumerate() {
        line!(out, "  ", "// k{i}");
        print_kernel(&mut out, kernel, "  ");
    }
    steps(&mut out, &program.steps, "  ");
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote(&mut out, text);
    out
}

fn dims(list: &[Dim]) -> String {
    let texts: Vec<String> =
        list.iter().map(|d| d.display(&|s| format!("s{}", s.0)).to_string()).collect();
    texts.join(", ")
}

fn ids(list: &[BufferId]) -> String {
    list.iter().map(|b| format!("b{}", b.0)).collect::<Vec<_>>().join(" ")
}

fn slots(list: &[Option<BufferId>]) -> String {
    list.iter().map(|b| slot(*b)).collect::<Vec<_>>().join(" ")
}

fn slot(b: Option<BufferId>) -> String {
    b.map_or("-".to_owned(), |b| format!("b{}", b.0))
}

fn steps(out: &mut String, list: &[Step], indent: &str) {
    let inner = &format!("{indent}  ");
    for step in list {
        match step {
            Step::Launch(Launch { kernel, buffers, sizes }) => {
                let (b, s) = (ids(buffers), dims(sizes));
                line!(out, indent, "launch k{} ({b}) [{s}]", kernel.0);
            }
            Step::Bind(Binding { buffer, dims: d }) => {
                line!(out, indent, "bind b{} [{}]", buffer.0, dims(d));
            }
            Step::BindShape(b) => line!(out, indent, "bind_shape b{}", b.0),
            Step::Fit(Fit { op, from, to, or_one }) => {
                let (list, one) =
                    (dims(&[from.clone(), to.clone()]), if *or_one { " or 1" } else { "" });
                line!(out, indent, "fit {} [{list}]{one}", quoted(op));
            }
            Step::Alias { to, from } => line!(out, indent, "alias b{} b{}", to.0, from.0),
            Step::Host(HostOp { node, name, operands, results }) => {
                let (n, name) = (node.0, quoted(name));
                line!(out, indent, "host {n} {name} ({}) ({})", slots(operands), slots(results));
            }
            Step::Assert { condition, message } => {
                line!(out, indent, "assert b{} {}", condition.0, quoted(message));
            }
            Step::If { condition, then, otherwise } => {
                line!(out, indent, "if b{} {{", condition.0);
                steps(out, then, inner);
                line!(out, indent, "}} else {{");
                steps(out, otherwise, inner);
                line!(out, indent, "}}");
            }
            Step::Loop(l) => {
                let (trips, condition) = (slot(l.trips), slot(l.condition));
                let (i, running, next) = (l.iteration.0, l.running.0, l.next.0);
                line!(out, indent, "loop {trips} {condition} b{i} b{running} b{next} {{");
                for four in &l.carried {
                    line!(out, inner, "carried {}", ids(four));
                }
                for (one, all) in &l.stacked {
                    line!(out, inner, "stacked b{} b{}", one.0, all.0);
                }
                for size in &l.fresh {
                    line!(out, inner, "fresh s{}", size.0);
                }
                steps(out, &l.body, inner);
                line!(out, indent, "}}");
            }
            Step::Free(b) => line!(out, indent, "free b{}", b.0),
        }
    }
}

/// Reads a program. The result need not keep the rules that the checker knows.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse_program(text: &str) -> Result<Program, TextError> {
    let mut lines = Lines::new(text);
    let mut p = Program::default();
    let mut w = lines.take()?;
    w.expect("program")?;
    p.name = w.text()?;
    w.expect("{")?;
    w.end()?;
    while let Some(line) = lines.peek() {
        if line.starts_with("kernel ") {
            p.kernels.push(parse_kernel(&mut lines)?);
            continue;
        }
        if !["size ", "buffer ", "input ", "output ", "failure ", "note "]
            .iter()
            .any(|word| line.starts_with(word))
        {
            break;
        }
        let mut w = lines.take()?;
        declaration(&mut p, &mut w)?;
        w.end()?;
    }
    p.steps = block(&mut lines, 256)?;
    close(&mut lines)?;
    lines.end()?;
    Ok(p)
}

fn buffer(w: &mut Words<'_>) -> Parsed<BufferId> {
    w.id('b').map(BufferId)
}

fn fit(w: &mut Words<'_>) -> Parsed<Fit> {
    let op = w.text()?;
    let line = *w;
    let [from, to] = w.dims('s')?.try_into().or_else(|_| line.error("expected two sizes"))?;
    let or_one = w.eat("or");
    if or_one {
        w.expect("1")?;
    }
    Ok(Fit { op, from, to, or_one })
}

fn declaration(p: &mut Program, w: &mut Words<'_>) -> Parsed<()> {
    fn bound(w: &mut Words<'_>) -> Parsed<Option<i64>> {
        match w.word() {
            "*" => Ok(None),
            word => word.parse().map(Some).or_else(|_| w.error(format!("`{word}` is no bound"))),
        }
    }
    fn next(w: &mut Words<'_>, letter: char, next: usize) -> Parsed<()> {
        if w.id(letter)? as usize != next {
            return w.error(format!("expected `{letter}{next}`"));
        }
        w.expect("=")
    }
    match w.word() {
        "size" => {
            next(w, 's', p.sizes.len())?;
            let name = w.text()?;
            w.expect("from")?;
            let min = bound(w)?;
            w.expect("to")?;
            p.sizes.push(Size { name, range: Range { min, max: bound(w)? } });
        }
        "buffer" => {
            next(w, 'b', p.buffers.len())?;
            let dtype = match w.word() {
                "-" => None,
                word => match word.parse() {
                    Ok(dtype) => Some(dtype),
                    Err(_) => return w.error(format!("`{word}` is no dtype")),
                },
            };
            let shape = w.dims('s')?;
            let kind = match w.word() {
                "input" => BufferKind::Input(w.number()?),
                "constant" => BufferKind::Constant(TensorId(w.number()?)),
                "temporary" => BufferKind::Temporary,
                "host" => BufferKind::Host,
                word => return w.error(format!("`{word}` is no place of a buffer")),
            };
            p.buffers.push(Buffer { dtype, shape, kind });
        }
        word @ ("input" | "output") => {
            let name = w.text()?;
            w.expect("=")?;
            let list = if word == "input" { &mut p.inputs } else { &mut p.outputs };
            list.push((name, buffer(w)?));
        }
        "failure" => p.failures.push(w.text()?),
        _ => p.notes.push(w.text()?),
    }
    Ok(())
}

/// Buffers in parentheses, some of them absent.
fn listed(w: &mut Words<'_>) -> Parsed<Vec<Option<BufferId>>> {
    w.expect("(")?;
    let mut list = Vec::new();
    while !w.eat(")") {
        list.push(optional(w)?);
    }
    Ok(list)
}

fn optional(w: &mut Words<'_>) -> Parsed<Option<BufferId>> {
    if w.eat("-") { Ok(None) } else { buffer(w).map(Some) }
}

/// Steps up to a closing brace, which is left.
fn block(lines: &mut Lines<'_>, depth: usize) -> Parsed<Vec<Step>> {
    let mut list = Vec::new();
    while lines.peek().is_some_and(|line| !line.starts_with('}')) {
        let mut w = lines.take()?;
        if depth == 0 {
            return w.error("blocks are nested too deep");
        }
        let step = match w.word() {
            "launch" => {
                let kernel = KernelId(w.id('k')?);
                let line = w;
                let buffers: Option<Vec<BufferId>> = listed(&mut w)?.into_iter().collect();
                let Some(buffers) = buffers else { return line.error("a buffer is absent") };
                Step::Launch(Launch { kernel, buffers, sizes: w.dims('s')? })
            }
            "bind" => Step::Bind(Binding { buffer: buffer(&mut w)?, dims: w.dims('s')? }),
            "bind_shape" => Step::BindShape(buffer(&mut w)?),
            "fit" => Step::Fit(fit(&mut w)?),
            "alias" => Step::Alias { to: buffer(&mut w)?, from: buffer(&mut w)? },
            "host" => {
                let node = NodeId(w.number()?);
                let name = w.text()?;
                let operands = listed(&mut w)?;
                Step::Host(HostOp { node, name, operands, results: listed(&mut w)? })
            }
            "assert" => Step::Assert { condition: buffer(&mut w)?, message: w.text()? },
            "if" => {
                let condition = buffer(&mut w)?;
                w.expect("{")?;
                w.end()?;
                let then = block(lines, depth - 1)?;
                let mut middle = lines.take()?;
                middle.expect("} else {")?;
                middle.end()?;
                let otherwise = block(lines, depth - 1)?;
                close(lines)?;
                list.push(Step::If { condition, then, otherwise });
                continue;
            }
            "loop" => {
                let mut l = Loop {
                    trips: optional(&mut w)?,
                    condition: optional(&mut w)?,
                    iteration: buffer(&mut w)?,
                    running: buffer(&mut w)?,
                    next: buffer(&mut w)?,
                    carried: Vec::new(),
                    stacked: Vec::new(),
                    body: Vec::new(),
                    fresh: Vec::new(),
                };
                w.expect("{")?;
                w.end()?;
                heads(lines, &mut l)?;
                l.body = block(lines, depth - 1)?;
                close(lines)?;
                list.push(Step::Loop(Box::new(l)));
                continue;
            }
            "free" => Step::Free(buffer(&mut w)?),
            word => return w.error(format!("`{word}` is no step")),
        };
        w.end()?;
        list.push(step);
    }
    Ok(list)
}

/// What a loop carries, stacks and binds.
fn heads(lines: &mut Lines<'_>, l: &mut Loop) -> Parsed<()> {
    while let Some(line) = lines.peek() {
        if !["carried ", "stacked ", "fresh "].iter().any(|word| line.starts_with(word)) {
            break;
        }
        let mut w = lines.take()?;
        match w.word() {
            "carried" => {
                let mut four = [BufferId(0); 4];
                for b in &mut four {
                    *b = buffer(&mut w)?;
                }
                l.carried.push(four);
            }
            "stacked" => l.stacked.push((buffer(&mut w)?, buffer(&mut w)?)),
            _ => l.fresh.push(SymbolId(w.id('s')?)),
        }
        w.end()?;
    }
    Ok(())
}
