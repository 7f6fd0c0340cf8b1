//! A region as a graph for the algorithms of `petgraph`, and programs as DOT text.
//!
//! [`RegionGraph`] borrows the function and adds an index of its edges. Its vertices are the
//! nodes of one region, an entry that makes the parameters, and an exit that uses the results.
//! Its edges are the uses of values. A node without operands has an edge from the entry that
//! carries no value, so that everything is reached from there.

use std::fmt::Write as _;

use petgraph::Directed;
use petgraph::visit::{
    Data, EdgeCount, EdgeRef, GraphBase, GraphProp, IntoEdgeReferences, IntoEdges,
    IntoEdgesDirected, IntoNeighbors, IntoNeighborsDirected, IntoNodeIdentifiers,
    NodeCompactIndexable, NodeCount, NodeIndexable, VisitMap, Visitable,
};
use rustc_hash::FxHashMap;

use crate::entity::{FuncId, NodeId, RegionId, ValueId};
use crate::module::{Def, Function, Module};
use crate::op::Op;

pub use petgraph::Direction;

/// A vertex of a [`RegionGraph`]. In order: the entry, the nodes in the order of the region,
/// the exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vertex(u32);

/// What a vertex stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// The parameters of the region.
    Entry,
    /// A node.
    Node(NodeId),
    /// The results of the region.
    Exit,
}

/// A use of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What makes it.
    pub source: Vertex,
    /// What uses it.
    pub target: Vertex,
    /// The operand slot, or the position among the region's results.
    pub slot: u32,
    /// The value; `None` from the entry to a node without operands.
    pub value: Option<ValueId>,
}

/// One region of a function as a directed graph.
#[derive(Clone, Debug)]
pub struct RegionGraph<'f> {
    nodes: &'f [NodeId],
    vertices: FxHashMap<NodeId, Vertex>,
    /// In order of target, then slot.
    edges: Vec<Edge>,
    /// Where the edges into each vertex start; one more at the end.
    into: Vec<u32>,
    /// Positions of edges in order of source, then target.
    by_source: Vec<u32>,
    /// Where the edges out of each vertex start in `by_source`; one more at the end.
    out: Vec<u32>,
}

impl<'f> RegionGraph<'f> {
    /// The graph of a region; empty but for entry and exit when there is no such region. Uses
    /// of values that the region does not make are left out.
    pub fn new(f: &'f Function, region: RegionId) -> Self {
        let (nodes, results) = match f.regions.get(region) {
            Some(r) => (&r.nodes[..], &r.results[..]),
            None => (&[][..], &[][..]),
        };
        let vertices: FxHashMap<NodeId, Vertex> =
            nodes.iter().zip(1u32..).map(|(&n, i)| (n, Vertex(i))).collect();
        let maker = |value: ValueId| match f.values.get(value)?.def {
            Def::Param { region: r, .. } => (r == region).then_some(Vertex(0)),
            Def::Result { node, .. } => vertices.get(&node).copied(),
        };
        let exit = Vertex(nodes.len() as u32 + 1);
        let mut edges = Vec::new();
        // The entry has no edges into it.
        let mut into = vec![0, 0];
        for (&node, target) in nodes.iter().zip((1u32..).map(Vertex)) {
            let before = edges.len();
            let operands = f.nodes.get(node).into_iter().flat_map(|n| &n.operands);
            for (slot, value) in (0u32..).zip(operands) {
                if let Some((value, source)) = value.and_then(|v| Some((v, maker(v)?))) {
                    edges.push(Edge { source, target, slot, value: Some(value) });
                }
            }
            if edges.len() == before {
                edges.push(Edge { source: Vertex(0), target, slot: 0, value: None });
            }
            into.push(edges.len() as u32);
        }
        for (slot, &value) in (0u32..).zip(results) {
            if let Some(source) = maker(value) {
                edges.push(Edge { source, target: exit, slot, value: Some(value) });
            }
        }
        into.push(edges.len() as u32);
        let mut out = vec![0u32; exit.0 as usize + 2];
        edges.iter().for_each(|e| out[e.source.0 as usize + 1] += 1);
        for i in 1..out.len() {
            out[i] += out[i - 1];
        }
        let mut next = out.clone();
        let mut by_source = vec![0u32; edges.len()];
        for (e, i) in edges.iter().zip(0u32..) {
            let at = &mut next[e.source.0 as usize];
            by_source[*at as usize] = i;
            *at += 1;
        }
        Self { nodes, vertices, edges, into, by_source, out }
    }
    /// The vertex that makes the parameters.
    pub fn entry(&self) -> Vertex {
        Vertex(0)
    }
    /// The vertex that uses the results.
    pub fn exit(&self) -> Vertex {
        Vertex(self.nodes.len() as u32 + 1)
    }
    /// The vertex of a node of the region.
    pub fn vertex(&self, node: NodeId) -> Option<Vertex> {
        self.vertices.get(&node).copied()
    }
    /// What a vertex stands for.
    pub fn at(&self, vertex: Vertex) -> At {
        match (vertex.0 as usize).checked_sub(1) {
            None => At::Entry,
            Some(i) => self.nodes.get(i).map_or(At::Exit, |&n| At::Node(n)),
        }
    }
    /// The node of a vertex, if it is one.
    pub fn node(&self, vertex: Vertex) -> Option<NodeId> {
        match self.at(vertex) {
            At::Node(n) => Some(n),
            At::Entry | At::Exit => None,
        }
    }
    /// The uses of values, in order of user and slot.
    pub fn uses(&self) -> &[Edge] {
        &self.edges
    }
    /// The edges into or out of a vertex; none for a vertex of another graph.
    pub fn edges_at(&self, vertex: Vertex, direction: Direction) -> Edges<'_> {
        let starts = if direction == Direction::Incoming { &self.into } else { &self.out };
        let at = vertex.0 as usize;
        let range = match (starts.get(at), starts.get(at + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        };
        let by_source = (direction == Direction::Outgoing).then_some(&self.by_source[..]);
        Edges { edges: &self.edges, by_source, range }
    }
}

/// Edges of a [`RegionGraph`].
#[derive(Clone, Debug)]
pub struct Edges<'g> {
    edges: &'g [Edge],
    by_source: Option<&'g [u32]>,
    range: std::ops::Range<u32>,
}

impl<'g> Iterator for Edges<'g> {
    type Item = EdgeView<'g>;
    fn next(&mut self) -> Option<EdgeView<'g>> {
        let i = self.range.next()? as usize;
        let id = self.by_source.map_or(i as u32, |s| s[i]);
        Some(EdgeView { id: EdgeId(id), edge: &self.edges[id as usize] })
    }
}

/// The vertices at the other end of edges; one comes once for each edge.
#[derive(Clone, Debug)]
pub struct Neighbors<'g>(Edges<'g>);

impl Iterator for Neighbors<'_> {
    type Item = Vertex;
    fn next(&mut self) -> Option<Vertex> {
        let outgoing = self.0.by_source.is_some();
        self.0.next().map(|e| if outgoing { e.edge.target } else { e.edge.source })
    }
}

/// The position of an edge in [`RegionGraph::uses`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(u32);

/// An edge with its id.
#[derive(Clone, Copy, Debug)]
pub struct EdgeView<'g> {
    id: EdgeId,
    edge: &'g Edge,
}

impl<'g> EdgeView<'g> {
    /// The edge.
    pub fn edge(self) -> &'g Edge {
        self.edge
    }
}

impl EdgeRef for EdgeView<'_> {
    type NodeId = Vertex;
    type EdgeId = EdgeId;
    type Weight = Option<ValueId>;
    fn source(&self) -> Vertex {
        self.edge.source
    }
    fn target(&self) -> Vertex {
        self.edge.target
    }
    fn weight(&self) -> &Option<ValueId> {
        &self.edge.value
    }
    fn id(&self) -> EdgeId {
        self.id
    }
}

/// The vertices that a traversal has seen.
#[derive(Clone, Debug, Default)]
pub struct Visited(Vec<bool>);

impl VisitMap<Vertex> for Visited {
    fn visit(&mut self, a: Vertex) -> bool {
        self.0.get_mut(a.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true))
    }
    fn is_visited(&self, a: &Vertex) -> bool {
        self.0.get(a.0 as usize).copied().unwrap_or(false)
    }
    fn unvisit(&mut self, a: Vertex) -> bool {
        self.0.get_mut(a.0 as usize).is_some_and(std::mem::take)
    }
}

impl GraphBase for RegionGraph<'_> {
    type EdgeId = EdgeId;
    type NodeId = Vertex;
}
impl Data for RegionGraph<'_> {
    type NodeWeight = ();
    type EdgeWeight = Option<ValueId>;
}
impl GraphProp for RegionGraph<'_> {
    type EdgeType = Directed;
}
impl NodeIndexable for RegionGraph<'_> {
    fn node_bound(&self) -> usize {
        self.nodes.len() + 2
    }
    fn to_index(&self, a: Vertex) -> usize {
        a.0 as usize
    }
    fn from_index(&self, i: usize) -> Vertex {
        Vertex(i as u32)
    }
}
impl NodeCount for RegionGraph<'_> {
    fn node_count(&self) -> usize {
        self.nodes.len() + 2
    }
}
impl NodeCompactIndexable for RegionGraph<'_> {}
impl EdgeCount for RegionGraph<'_> {
    fn edge_count(&self) -> usize {
        self.edges.len()
    }
}
impl Visitable for RegionGraph<'_> {
    type Map = Visited;
    fn visit_map(&self) -> Visited {
        Visited(vec![false; self.node_bound()])
    }
    fn reset_map(&self, map: &mut Visited) {
        *map = self.visit_map();
    }
}
impl IntoNodeIdentifiers for &RegionGraph<'_> {
    type NodeIdentifiers = std::iter::Map<std::ops::Range<u32>, fn(u32) -> Vertex>;
    fn node_identifiers(self) -> Self::NodeIdentifiers {
        (0..self.node_bound() as u32).map(Vertex)
    }
}
impl<'g> IntoNeighbors for &'g RegionGraph<'_> {
    type Neighbors = Neighbors<'g>;
    fn neighbors(self, a: Vertex) -> Neighbors<'g> {
        Neighbors(self.edges_at(a, Direction::Outgoing))
    }
}
impl<'g> IntoNeighborsDirected for &'g RegionGraph<'_> {
    type NeighborsDirected = Neighbors<'g>;
    fn neighbors_directed(self, a: Vertex, direction: Direction) -> Neighbors<'g> {
        Neighbors(self.edges_at(a, direction))
    }
}
impl<'g> IntoEdgeReferences for &'g RegionGraph<'_> {
    type EdgeRef = EdgeView<'g>;
    type EdgeReferences = Edges<'g>;
    fn edge_references(self) -> Edges<'g> {
        Edges { edges: &self.edges, by_source: None, range: 0..self.edges.len() as u32 }
    }
}
impl<'g> IntoEdges for &'g RegionGraph<'_> {
    type Edges = Edges<'g>;
    fn edges(self, a: Vertex) -> Edges<'g> {
        self.edges_at(a, Direction::Outgoing)
    }
}
impl<'g> IntoEdgesDirected for &'g RegionGraph<'_> {
    type EdgesDirected = Edges<'g>;
    fn edges_directed(self, a: Vertex, direction: Direction) -> Edges<'g> {
        self.edges_at(a, direction)
    }
}

/// The deepest nesting of regions that is drawn.
const DEEPEST: usize = 64;

/// A function as DOT text: a cluster for each region, an edge for each use of a value with
/// its type. The same function gives the same text.
pub fn dot(module: &Module, func: FuncId) -> String {
    let mut out = String::new();
    let Some(f) = module.functions.get(func) else {
        return "digraph {\n}\n".to_owned();
    };
    let mut drawing = Drawing { module, func, f, out: &mut out };
    drawing.line(0, format_args!("digraph {} {{", quoted(&f.name)));
    drawing.line(1, format_args!("node [shape=box, fontname=\"sans-serif\"];"));
    drawing.region(f.body, None, 1);
    drawing.line(0, format_args!("}}"));
    out
}

struct Drawing<'a> {
    module: &'a Module,
    func: FuncId,
    f: &'a Function,
    out: &'a mut String,
}

impl Drawing<'_> {
    fn line(&mut self, indent: usize, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "{:1$}{text}", "", indent * 2);
    }

    /// Draws a region; `owner` is the node that carries it.
    fn region(&mut self, region: RegionId, owner: Option<(NodeId, usize)>, depth: usize) {
        let f = self.f;
        let Some(r) = f.regions.get(region) else { return };
        let graph = RegionGraph::new(f, region);
        let mut indent = depth;
        if let Some((node, index)) = owner {
            self.line(depth, format_args!("subgraph cluster_{} {{", region.0));
            indent += 1;
            let op = f.nodes.get(node).map_or("", |n| n.op.name());
            let label = format!("{op} {node}, region {index}");
            self.line(indent, format_args!("label={};", quoted(&label)));
        }
        let named = |v: &ValueId| {
            f.values
                .get(*v)
                .and_then(|v| v.name.as_deref())
                .map_or_else(|| v.to_string(), str::to_owned)
        };
        let names = |values: &[ValueId]| values.iter().map(named).collect::<Vec<_>>().join(", ");
        let (params, results) = (names(&r.params), names(&r.results));
        self.line(indent, format_args!("in{} [shape=oval, label={}];", region.0, quoted(&params)));
        for &node in &r.nodes {
            let Some(n) = f.nodes.get(node) else { continue };
            let label = self.label(&n.op);
            let about = match n.origin.0 {
                0 => String::new(),
                _ => self.module.source_of(n.origin).map(ToString::to_string).unwrap_or_default(),
            };
            self.line(
                indent,
                format_args!("{node} [label={}, tooltip={}];", quoted(&label), quoted(&about)),
            );
            if depth < DEEPEST {
                for (index, inner) in n.regions().into_iter().enumerate() {
                    self.region(inner, Some((node, index)), indent);
                    self.line(indent, format_args!("{node} -> in{} [style=dashed];", inner.0));
                }
            }
        }
        self.line(
            indent,
            format_args!("out{} [shape=oval, label={}];", region.0, quoted(&results)),
        );
        for edge in graph.uses() {
            let Some(value) = edge.value else { continue };
            let end = |v: Vertex| match graph.at(v) {
                At::Entry => format!("in{}", region.0),
                At::Node(n) => n.to_string(),
                At::Exit => format!("out{}", region.0),
            };
            let ty = f.values.get(value).map(|v| crate::text::print_type(f, &v.ty));
            self.line(
                indent,
                format_args!(
                    "{} -> {} [label={}];",
                    end(edge.source),
                    end(edge.target),
                    quoted(&ty.unwrap_or_default())
                ),
            );
        }
        if owner.is_some() {
            self.line(depth, format_args!("}}"));
        }
    }

    fn label(&self, op: &Op) -> String {
        match op {
            Op::Call(c) => {
                let callee =
                    self.module.functions.get(c.function).filter(|_| c.function != self.func);
                format!("call {}", callee.map_or("", |g| g.name.as_str()))
            }
            Op::Opaque(o) if o.source.domain.is_empty() => format!("opaque {}", o.source.name),
            Op::Opaque(o) => format!("opaque {}::{}", o.source.domain, o.source.name),
            other => other.name().to_owned(),
        }
    }
}

/// A quoted string of DOT.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use petgraph::algo::{dominators, has_path_connecting, toposort};
    use petgraph::visit::{EdgeFiltered, Reversed};

    use super::*;
    use crate::builder::Builder;
    use crate::dim::Dim;
    use crate::dtype::DType;
    use crate::entity::OriginId;
    use crate::module::{ArgKindRole, InputRole, OutputRole};
    use crate::op::{Add, Exp, If, Mul, Neg};
    use crate::types::Type;

    /// y = exp(x) * (-exp(x)) + 1
    fn diamond() -> (Module, Vec<NodeId>) {
        let mut m = Module::default();
        let func = m.functions.push(Function::new("main"));
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let x = m.functions[func].add_input("x", Type::tensor(DType::F32, []), role);
        let body = m.functions[func].body;
        let mut b = Builder::new(&mut m, func, body, OriginId(0));
        let e = b.emit(Exp {}, &[x]).unwrap();
        let n = b.emit(Neg {}, &[e]).unwrap();
        let p = b.emit(Mul {}, &[e, n]).unwrap();
        let one = b.scalar(DType::F32, 1.0).unwrap();
        let y = b.emit(Add {}, &[p, one]).unwrap();
        let f = &mut m.functions[func];
        f.add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
        let nodes = f.body().nodes.clone();
        (m, nodes)
    }

    #[test]
    fn toposort_orders_a_shuffled_region() {
        let (mut m, nodes) = diamond();
        let body = m.main().body;
        m.functions[FuncId(0)].regions[body].nodes.reverse();
        let graph = RegionGraph::new(m.main(), body);
        assert_eq!((graph.node_count(), graph.edge_count()), (7, 8));
        let order = toposort(&graph, None).unwrap();
        let at = |n: NodeId| order.iter().position(|&v| graph.node(v) == Some(n)).unwrap();
        let [e, n, p, one, y] = nodes[..] else { panic!() };
        assert!(at(e) < at(n) && at(n) < at(p) && at(p) < at(y) && at(one) < at(y));
        assert_eq!((order[0], order[6]), (graph.entry(), graph.exit()));
    }

    #[test]
    fn a_cycle_is_found() {
        let (mut m, nodes) = diamond();
        let f = &mut m.functions[FuncId(0)];
        let last = f.nodes[nodes[4]].result(0);
        f.nodes[nodes[0]].operands[0] = last;
        let graph = RegionGraph::new(m.main(), m.main().body);
        assert!(toposort(&graph, None).is_err());
    }

    #[test]
    fn dominators_of_both_directions() {
        let (m, nodes) = diamond();
        let graph = RegionGraph::new(m.main(), m.main().body);
        let v = |i: usize| graph.vertex(nodes[i]).unwrap();
        let forward = dominators::simple_fast(&graph, graph.entry());
        assert_eq!(forward.immediate_dominator(v(2)), Some(v(0)));
        assert_eq!(forward.immediate_dominator(v(4)), Some(graph.entry()));
        let backward = dominators::simple_fast(Reversed(&graph), graph.exit());
        assert_eq!(backward.immediate_dominator(v(0)), Some(v(2)));
        assert_eq!(backward.immediate_dominator(v(3)), Some(v(4)));
    }

    #[test]
    fn edges_are_uses() {
        let (m, nodes) = diamond();
        let f = m.main();
        let graph = RegionGraph::new(f, f.body);
        let v = |i: usize| graph.vertex(nodes[i]).unwrap();
        let made = f.nodes[nodes[0]].result(0);
        let uses: Vec<_> =
            graph.edges(v(0)).map(|e| (e.target(), e.edge().slot, *e.weight())).collect();
        assert_eq!(uses, [(v(1), 0, made), (v(2), 0, made)]);
        let into: Vec<_> = graph.neighbors_directed(v(2), Direction::Incoming).collect();
        assert_eq!(into, [v(0), v(1)]);
        let constant: Vec<_> = graph.edges_directed(v(3), Direction::Incoming).collect();
        assert_eq!((constant.len(), *constant[0].weight()), (1, None));
        // Without the values that `exp` makes nothing is left of the product.
        let without = EdgeFiltered::from_fn(&graph, |e: EdgeView<'_>| *e.weight() != made);
        assert!(!has_path_connecting(&without, v(0), v(2), None));
        assert!(has_path_connecting(&graph, v(0), v(2), None));
        assert!(graph.edge_references().zip(graph.uses()).all(|(a, b)| a.edge() == b));
        assert_eq!(RegionGraph::new(f, RegionId(9)).edge_count(), 0);
    }

    #[test]
    fn dot_text() {
        let (m, _) = diamond();
        let text = dot(&m, m.entry);
        assert_eq!(text, dot(&m.clone(), m.entry));
        assert_eq!(
            text,
            "digraph \"main\" {\n\
             \x20 node [shape=box, fontname=\"sans-serif\"];\n\
             \x20 in0 [shape=oval, label=\"x\"];\n\
             \x20 n0 [label=\"exp\", tooltip=\"\"];\n\
             \x20 n1 [label=\"neg\", tooltip=\"\"];\n\
             \x20 n2 [label=\"mul\", tooltip=\"\"];\n\
             \x20 n3 [label=\"constant\", tooltip=\"\"];\n\
             \x20 n4 [label=\"add\", tooltip=\"\"];\n\
             \x20 out0 [shape=oval, label=\"%5\"];\n\
             \x20 in0 -> n0 [label=\"f32[]\"];\n\
             \x20 n0 -> n1 [label=\"f32[]\"];\n\
             \x20 n0 -> n2 [label=\"f32[]\"];\n\
             \x20 n1 -> n2 [label=\"f32[]\"];\n\
             \x20 n2 -> n4 [label=\"f32[]\"];\n\
             \x20 n3 -> n4 [label=\"f32[]\"];\n\
             \x20 n4 -> out0 [label=\"f32[]\"];\n\
             }\n"
        );
        assert_eq!(dot(&m, FuncId(7)), "digraph {\n}\n");
    }

    #[test]
    fn regions_are_clusters() {
        let mut m = Module::default();
        let func = m.functions.push(Function::new("a \"name\"\n"));
        let role = || InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let ty = Type::tensor(DType::F32, [Dim::Known(2)]);
        let c = m.functions[func].add_input("c", Type::tensor(DType::Bool, []), role());
        let x = m.functions[func].add_input("x", ty.clone(), role());
        let body = m.functions[func].body;
        let mut b = Builder::new(&mut m, func, body, OriginId(0));
        let branch = |b: &mut Builder<'_>, op: Op| {
            let (region, params) = b.new_region(std::slice::from_ref(&ty));
            let y = b.in_region(region, |b| b.emit(op, &params)).unwrap();
            b.set_results(region, &[y]);
            region
        };
        let then_branch = branch(&mut b, Exp {}.into());
        let else_branch = branch(&mut b, Neg {}.into());
        let y = b.emit(If { then_branch, else_branch }, &[c, x]).unwrap();
        m.functions[func].add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
        let text = dot(&m, func);
        assert!(text.starts_with("digraph \"a \\\"name\\\" \" {"), "{text}");
        for part in ["subgraph cluster_1 {", "subgraph cluster_2 {", "n2 -> in1 [style=dashed];"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
