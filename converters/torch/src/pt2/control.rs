//! Higher-order operators: control flow with sub-graphs.

use airconv_ir::entity::{RegionId, ValueId};
use airconv_ir::op::{If, Loop};
use airconv_ir::types::Type;

use super::import::{GraphReader, Names};
use super::records::{Argument, Graph, Node};
use crate::import::Item;
use crate::import::arg::Arg;
use crate::import::call::Stop;

/// Reads a higher-order operator.
pub(super) fn higher_order<'p>(
    reader: &mut GraphReader<'p>,
    name: &str,
    graph: &'p Graph,
    node: &'p Node,
    names: &mut Names,
) -> Result<(), Stop> {
    let results = match name {
        "cond" => cond(reader, node, names)?,
        "while_loop" => while_loop(reader, node, names)?,
        "wrap_with_set_grad_enabled" | "wrap_with_autocast" => wrapped(reader, node, names)?,
        other => return Err(Stop::Unsupported(format!("the higher-order operator `{other}`"))),
    };
    // Results are one list, or one per output.
    let results = match node.outputs.as_slice() {
        [Argument::AsTensors(_)] => vec![Arg::List(results)],
        _ => results,
    };
    reader.results(graph, node, results, names)
}

fn argument(node: &Node, position: usize) -> Result<&Argument, Stop> {
    let missing = || Stop::Invalid(format!("argument {position} is missing"));
    node.inputs.get(position).map(|a| &a.arg).ok_or_else(missing)
}

fn sub_graph(node: &Node, position: usize) -> Result<&Graph, Stop> {
    match argument(node, position)? {
        Argument::AsGraph(g) => Ok(&g.graph),
        _ => Err(Stop::Invalid(format!("argument {position} is no graph"))),
    }
}

/// A list of arguments; a list is one argument.
fn items(reader: &mut GraphReader<'_>, names: &Names, arg: &Argument) -> Result<Vec<Item>, Stop> {
    match reader.argument(names, arg)? {
        Arg::List(items) => Ok(items),
        Arg::None => Ok(Vec::new()),
        one => Ok(vec![one]),
    }
}

/// The values of those items that are tensors.
fn values(reader: &mut GraphReader<'_>, items: &[Item]) -> Result<Vec<ValueId>, Stop> {
    let mut out = Vec::new();
    for item in items {
        if let Arg::Tensor(handle) = item {
            out.push(reader.imp.value(*handle)?);
        }
    }
    Ok(out)
}

/// Reads a sub-graph into a new region, which has a parameter for each tensor among the items,
/// after those of the types before. Gives the region and the values of its results.
fn body<'p>(
    reader: &mut GraphReader<'p>,
    graph: &'p Graph,
    before: &[Type],
    items: &[Item],
) -> Result<(RegionId, Vec<ValueId>), Stop> {
    if graph.inputs.len() != items.len() {
        return Err(Stop::Invalid(format!(
            "a graph of {} inputs is given {}",
            graph.inputs.len(),
            items.len()
        )));
    }
    let mut types = before.to_vec();
    for value in values(reader, items)? {
        types.push(reader.imp.function().ty(value).clone());
    }
    let (region, params) = reader.imp.builder().new_region(&types);
    let mut params = params.into_iter().skip(before.len());
    let mut names = Names::default();
    for (input, item) in graph.inputs.iter().zip(items) {
        let inner = match (item, input) {
            (Arg::Tensor(_), _) => match params.next() {
                Some(param) => Arg::Tensor(reader.imp.fresh(param)),
                None => return Err(Stop::Invalid("a parameter is missing".to_owned())),
            },
            (other, _) => other.clone(),
        };
        if let Some(name) = input_name(input) {
            names.insert(name.to_owned(), inner);
        }
    }
    let outer = std::mem::replace(&mut reader.imp.region, region);
    let origin = reader.imp.origin;
    reader.nodes(graph, &mut names);
    reader.imp.origin = origin;
    let results = results(reader, graph, &names);
    reader.imp.region = outer;
    Ok((region, results?))
}

fn results(
    reader: &mut GraphReader<'_>,
    graph: &Graph,
    names: &Names,
) -> Result<Vec<ValueId>, Stop> {
    let mut out = Vec::new();
    for output in &graph.outputs {
        match reader.argument(names, output)? {
            Arg::Tensor(handle) | Arg::Number(handle) => out.push(reader.imp.value(handle)?),
            Arg::Int(dim) => out.push(reader.imp.builder().dim_scalar(&dim)?),
            other => {
                return Err(Stop::Unsupported(format!("a branch that gives {}", other.kind())));
            }
        }
    }
    Ok(out)
}

fn input_name(input: &Argument) -> Option<&str> {
    use super::records::SymIntArgument;
    match input {
        Argument::AsTensor(t) => Some(&t.name),
        Argument::AsSymInt(SymIntArgument::AsName(name)) => Some(name),
        _ => None,
    }
}

fn fresh(reader: &mut GraphReader<'_>, values: Vec<ValueId>) -> Vec<Item> {
    values.into_iter().map(|v| Arg::Tensor(reader.imp.fresh(v))).collect()
}

/// `cond(predicate, true graph, false graph, operands)`.
fn cond<'p>(
    reader: &mut GraphReader<'p>,
    node: &'p Node,
    names: &Names,
) -> Result<Vec<Item>, Stop> {
    let predicate = match reader.argument(names, argument(node, 0)?)? {
        Arg::Tensor(handle) | Arg::Number(handle) => reader.imp.value(handle)?,
        other => return Err(Stop::Unsupported(format!("a condition that is {}", other.kind()))),
    };
    let operands = items(reader, names, argument(node, 3)?)?;
    let mut branches = Vec::new();
    for position in [1, 2] {
        let (region, results) = body(reader, sub_graph(node, position)?, &[], &operands)?;
        reader.imp.builder().set_results(region, &results);
        branches.push(region);
    }
    let mut inputs = vec![Some(predicate)];
    inputs.extend(values(reader, &operands)?.into_iter().map(Some));
    let op = If { then_branch: branches[0], else_branch: branches[1] };
    let results = reader.imp.builder().emit_all(op, &inputs)?;
    Ok(fresh(reader, results))
}

/// `while_loop(condition graph, body graph, carried, captured)`: the condition is looked at
/// before the first iteration and after each.
fn while_loop<'p>(
    reader: &mut GraphReader<'p>,
    node: &'p Node,
    names: &Names,
) -> Result<Vec<Item>, Stop> {
    let carried = items(reader, names, argument(node, 2)?)?;
    let captured = items(reader, names, argument(node, 3)?)?;
    let all: Vec<Item> = carried.iter().chain(&captured).cloned().collect();
    let (condition, step) = (sub_graph(node, 0)?, sub_graph(node, 1)?);
    let first = inline(reader, condition, &all)?;
    let before = [
        Type::tensor(airconv_ir::dtype::DType::I64, []),
        Type::tensor(airconv_ir::dtype::DType::Bool, []),
    ];
    let (region, next) = body(reader, step, &before, &all)?;
    let outer = std::mem::replace(&mut reader.imp.region, region);
    let params = reader.imp.function().regions[region].params.clone();
    let inner = fresh(reader, next.clone());
    let captures = params.iter().skip(2 + values(reader, &carried)?.len()).copied().collect();
    let captures = fresh(reader, captures);
    let given = placed(&all, inner.into_iter().chain(captures).collect());
    let again = inline(reader, condition, &given);
    let again = again.and_then(|list| one(list, "a condition"));
    reader.imp.region = outer;
    let mut results = vec![again?];
    results.extend(next);
    reader.imp.builder().set_results(region, &results);
    let first = one(first, "a condition")?;
    let mut inputs = vec![None, Some(first)];
    inputs.extend(values(reader, &all)?.into_iter().map(Some));
    let count = values(reader, &carried)?.len() as i64;
    let results = reader.imp.builder().emit_all(Loop { body: region, carried: count }, &inputs)?;
    Ok(fresh(reader, results))
}

/// Items with their tensors replaced in order.
fn placed(items: &[Item], tensors: Vec<Item>) -> Vec<Item> {
    let mut tensors = tensors.into_iter();
    let place = |item: &Item| match item {
        Arg::Tensor(_) => tensors.next().unwrap_or(Arg::None),
        other => other.clone(),
    };
    items.iter().map(place).collect()
}

fn one(list: Vec<ValueId>, what: &str) -> Result<ValueId, Stop> {
    match list.as_slice() {
        [value] => Ok(*value),
        _ => Err(Stop::Invalid(format!("{what} gives {} values", list.len()))),
    }
}

/// Reads a sub-graph in place.
fn inline<'p>(
    reader: &mut GraphReader<'p>,
    graph: &'p Graph,
    items: &[Item],
) -> Result<Vec<ValueId>, Stop> {
    let mut names = Names::default();
    for (input, item) in graph.inputs.iter().zip(items) {
        if let Some(name) = input_name(input) {
            names.insert(name.to_owned(), item.clone());
        }
    }
    let origin = reader.imp.origin;
    reader.nodes(graph, &mut names);
    reader.imp.origin = origin;
    results(reader, graph, &names)
}

/// A graph under a mode that has no bearing on values: `(mode..., graph, operands...)`.
fn wrapped<'p>(
    reader: &mut GraphReader<'p>,
    node: &'p Node,
    names: &Names,
) -> Result<Vec<Item>, Stop> {
    let is_graph = |a: &super::records::NamedArgument| matches!(a.arg, Argument::AsGraph(_));
    let at = node.inputs.iter().position(is_graph);
    let Some(at) = at else { return Err(Stop::Invalid("there is no graph".to_owned())) };
    let mut operands = Vec::new();
    for input in &node.inputs[at + 1..] {
        operands.extend(items(reader, names, &input.arg)?);
    }
    let results = inline(reader, sub_graph(node, at)?, &operands)?;
    Ok(fresh(reader, results))
}
