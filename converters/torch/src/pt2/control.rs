//! Higher-order operators: control flow with sub-graphs.

use airconv_ir::entity::{RegionId, ValueId};
use airconv_ir::op::{If, Loop, Scan};
use airconv_ir::types::Type;

use super::import::{GraphReader, Names};
use super::records::{Argument, Graph, Node};
use super::target::is_assertion;
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
        "map_impl" => map(reader, node, names)?,
        "scan" => scan(reader, node, names)?,
        "associative_scan" => associative_scan(reader, node, names)?,
        "wrap_with_set_grad_enabled"
        | "wrap_with_autocast"
        | "strict_mode"
        | "invoke_subgraph"
        | "wrap"
        | "tag_activation_checkpoint" => wrapped(reader, node, names)?,
        "with_effects" => checked(node)?,
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

/// The types of the tensors among items.
fn types(reader: &mut GraphReader<'_>, items: &[Item]) -> Result<Vec<Type>, Stop> {
    let values = values(reader, items)?;
    Ok(values.into_iter().map(|v| reader.imp.function().ty(v).clone()).collect())
}

/// Reads a sub-graph into a new region, which has a parameter for each tensor among the items,
/// of its type, after those of the types before. Gives the region and the values of its results.
fn body<'p>(
    reader: &mut GraphReader<'p>,
    graph: &'p Graph,
    before: &[Type],
    items: &[Item],
) -> Result<(RegionId, Vec<ValueId>), Stop> {
    let own = types(reader, items)?;
    body_of_types(reader, graph, before, items, own)
}

/// The same with other types for the tensors.
fn body_of_types<'p>(
    reader: &mut GraphReader<'p>,
    graph: &'p Graph,
    before: &[Type],
    items: &[Item],
    own: Vec<Type>,
) -> Result<(RegionId, Vec<ValueId>), Stop> {
    if graph.inputs.len() != items.len() {
        return Err(Stop::Invalid(format!(
            "a graph of {} inputs is given {}",
            graph.inputs.len(),
            items.len()
        )));
    }
    let types = [before, &own].concat();
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

/// `with_effects(token, operator, arguments...)`: a check, which gives the next token and nothing
/// else. What a check would refuse fails or is seen where it is computed.
fn checked(node: &Node) -> Result<Vec<Item>, Stop> {
    let Argument::AsOperator(target) = argument(node, 1)? else {
        return Err(Stop::Invalid("argument 1 is no operator".to_owned()));
    };
    let target = target.strip_prefix("torch.ops.").unwrap_or(target);
    if target == "aten._linalg_check_errors.default" || is_assertion(target) {
        return Ok(vec![Arg::None; node.outputs.len()]);
    }
    Err(Stop::Unsupported(format!("the effect of `{target}`")))
}

/// `cond(predicate, true graph, false graph, operands)`.
fn cond<'p>(
    reader: &mut GraphReader<'p>,
    node: &'p Node,
    names: &Names,
) -> Result<Vec<Item>, Stop> {
    let predicate = match reader.argument(names, argument(node, 0)?)? {
        Arg::Tensor(handle) | Arg::Number(handle) => reader.imp.value(handle)?,
        Arg::Bool(holds) => {
            let operands = items(reader, names, argument(node, 3)?)?;
            let taken = sub_graph(node, if holds { 1 } else { 2 })?;
            let results = inline(reader, taken, &operands)?;
            return Ok(fresh(reader, results));
        }
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

/// Runs a graph on slices along the first axis of `xs`, with states that go from one to the
/// next: the last states, then the stacked outputs.
fn scanned<'p>(
    reader: &mut GraphReader<'p>,
    graph: &'p Graph,
    states: &[Item],
    xs: &[Item],
    captured: &[Item],
) -> Result<Vec<ValueId>, Stop> {
    let all: Vec<Item> = [states, xs, captured].concat();
    let mut slices = types(reader, states)?;
    let state_count = slices.len();
    for ty in types(reader, xs)? {
        let Type::Tensor(mut tensor) = ty else {
            return Err(Stop::Unsupported("slices of a tensor of unknown rank".to_owned()));
        };
        if tensor.shape.is_empty() {
            return Err(Stop::Invalid("a scalar has no slices".to_owned()));
        }
        tensor.shape.remove(0);
        slices.push(Type::Tensor(tensor));
    }
    let slice_count = slices.len() - state_count;
    slices.extend(types(reader, captured)?);
    let (region, results) = body_of_types(reader, graph, &[], &all, slices)?;
    reader.imp.builder().set_results(region, &results);
    let outputs = results.len().saturating_sub(state_count);
    let op = Scan {
        body: region,
        states: state_count as i64,
        scanned: slice_count as i64,
        input_axes: vec![0; slice_count],
        input_reverse: vec![0; slice_count],
        output_axes: vec![0; outputs],
        output_reverse: vec![0; outputs],
    };
    let inputs: Vec<Option<ValueId>> = values(reader, &all)?.into_iter().map(Some).collect();
    Ok(reader.imp.builder().emit_all(op, &inputs)?)
}

/// `map_impl(graph, mapped, captured)`: the results of a graph on slices, stacked.
fn map<'p>(reader: &mut GraphReader<'p>, node: &'p Node, names: &Names) -> Result<Vec<Item>, Stop> {
    let xs = items(reader, names, argument(node, 1)?)?;
    let captured = items(reader, names, argument(node, 2)?)?;
    let results = scanned(reader, sub_graph(node, 0)?, &[], &xs, &captured)?;
    Ok(fresh(reader, results))
}

/// `scan(graph, states, scanned, captured)`.
fn scan<'p>(
    reader: &mut GraphReader<'p>,
    node: &'p Node,
    names: &Names,
) -> Result<Vec<Item>, Stop> {
    let states = items(reader, names, argument(node, 1)?)?;
    let xs = items(reader, names, argument(node, 2)?)?;
    let captured = items(reader, names, argument(node, 3)?)?;
    let results = scanned(reader, sub_graph(node, 0)?, &states, &xs, &captured)?;
    Ok(fresh(reader, results))
}

/// `associative_scan(graph, scanned, captured)`: running combinations, one after the other. The
/// first slices are the states before the second ones, and each new state is an output too.
fn associative_scan<'p>(
    reader: &mut GraphReader<'p>,
    node: &'p Node,
    names: &Names,
) -> Result<Vec<Item>, Stop> {
    let xs = items(reader, names, argument(node, 1)?)?;
    let captured = items(reader, names, argument(node, 2)?)?;
    let mut firsts = Vec::new();
    let mut heads = Vec::new();
    let mut rests = Vec::new();
    for x in values(reader, &xs)? {
        let mut b = reader.imp.builder();
        let head = b.slice_axis(x, 0, 0.into(), 1.into())?;
        let rest = b.slice_axis(x, 0, 1.into(), i64::MAX.into())?;
        firsts.push(b.squeeze(head, &[0])?);
        heads.push(head);
        rests.push(rest);
    }
    let (states, rests) = (fresh(reader, firsts), fresh(reader, rests));
    let graph = sub_graph(node, 0)?;
    let all: Vec<Item> = [&states[..], &rests[..], &captured[..]].concat();
    let mut slices = types(reader, &states)?;
    slices.extend(slices.clone());
    slices.extend(types(reader, &captured)?);
    let (region, next) = body_of_types(reader, graph, &[], &all, slices)?;
    let both = [&next[..], &next[..]].concat();
    reader.imp.builder().set_results(region, &both);
    let count = states.len();
    let op = Scan {
        body: region,
        states: count as i64,
        scanned: count as i64,
        input_axes: vec![0; count],
        input_reverse: vec![0; count],
        output_axes: vec![0; count],
        output_reverse: vec![0; count],
    };
    let inputs: Vec<Option<ValueId>> = values(reader, &all)?.into_iter().map(Some).collect();
    let results = reader.imp.builder().emit_all(op, &inputs)?;
    let mut whole = Vec::new();
    for (head, rest) in heads.iter().zip(results.iter().skip(count)) {
        whole.push(reader.imp.builder().concat(&[*head, *rest], 0)?);
    }
    Ok(fresh(reader, whole))
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
        let given = items(reader, names, &input.arg)?;
        // A graph may be followed by its name.
        operands.extend(given.into_iter().filter(|item| !matches!(item, Arg::Str(_))));
    }
    let results = inline(reader, sub_graph(node, at)?, &operands)?;
    Ok(fresh(reader, results))
}
