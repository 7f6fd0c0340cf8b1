//! Modules, functions, regions, nodes and values: plain data in arenas.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dim::{Dim, Range};
use crate::entity::{Arena, FuncId, NodeId, OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::op::Op;
use crate::tensor::Tensor;
use crate::types::Type;

/// A program: functions, the tensors they use, and where all of it came from.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Module {
    /// The functions.
    pub functions: Arena<FuncId, Function>,
    /// The function that is the program.
    pub entry: FuncId,
    /// Weights and constants.
    pub tensors: Arena<TensorId, Tensor>,
    /// Where things came from.
    pub origins: Arena<OriginId, Origin>,
    /// Names, documentation and metadata.
    pub notes: Notes,
    /// The operator sets of the source, by format-qualified domain (`onnx`, `onnx:ai.onnx.ml`).
    pub opsets: BTreeMap<String, i64>,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// The module.
    Module,
    /// A function.
    Func(FuncId),
    /// A node of a function.
    Node(FuncId, NodeId),
    /// A value of a function.
    Value(FuncId, ValueId),
    /// A region of a function.
    Region(FuncId, RegionId),
    /// A tensor.
    Tensor(TensorId),
}

/// What a source format says about an entity that has no meaning for the program.
/// Keys are prefixed with the format: `onnx.doc`.
pub type Notes = BTreeMap<Entity, BTreeMap<String, String>>;

/// A function: a typed graph with named inputs and outputs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Function {
    /// The name, unique in the module.
    pub name: String,
    /// Symbolic sizes.
    pub symbols: Symbols,
    /// One per parameter of the entry region.
    pub inputs: Vec<Input>,
    /// One per result of the entry region.
    pub outputs: Vec<Output>,
    /// The region that is the function's body.
    pub body: RegionId,
    /// Regions: identity only.
    pub regions: Arena<RegionId, Region>,
    /// Nodes: identity only; their order is in the regions.
    pub nodes: Arena<NodeId, Node>,
    /// Values.
    pub values: Arena<ValueId, Value>,
}

/// A symbolic size with its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    /// The name, unique in the function.
    pub name: String,
    /// The values it can take; sizes are not negative, other integers may be.
    pub range: Range,
    /// Where it comes from, when it is not the size of an input axis.
    pub why: Option<String>,
}

/// The symbols of a function, found by id and by name.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Symbols {
    arena: Arena<SymbolId, Symbol>,
    by_name: FxHashMap<String, SymbolId>,
}

impl Symbols {
    /// Adds a symbol. Of two with one name the first is found by it.
    pub fn push(&mut self, symbol: Symbol) -> SymbolId {
        let name = symbol.name.clone();
        let id = self.arena.push(symbol);
        self.by_name.entry(name).or_insert(id);
        id
    }
    /// The symbol of this name.
    pub fn named(&self, name: &str) -> Option<SymbolId> {
        self.by_name.get(name).copied()
    }
    /// The number of symbols.
    pub fn len(&self) -> usize {
        self.arena.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.arena.is_empty()
    }
    /// The symbol, if the id is in range.
    pub fn get(&self, id: SymbolId) -> Option<&Symbol> {
        self.arena.get(id)
    }
    /// All symbols with their ids, in order of id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (SymbolId, &Symbol)> + ExactSizeIterator {
        self.arena.iter()
    }
    /// All symbols in order of id.
    pub fn values(&self) -> std::slice::Iter<'_, Symbol> {
        self.arena.values()
    }
    /// Narrows the range of a symbol.
    pub fn set_range(&mut self, id: SymbolId, range: Range) {
        if let Some(s) = self.arena.get_mut(id) {
            s.range = range;
        }
    }
}

impl std::ops::Index<SymbolId> for Symbols {
    type Output = Symbol;
    fn index(&self, id: SymbolId) -> &Symbol {
        &self.arena[id]
    }
}

impl FromIterator<Symbol> for Symbols {
    fn from_iter<I: IntoIterator<Item = Symbol>>(iter: I) -> Self {
        let mut out = Self::default();
        for symbol in iter {
            out.push(symbol);
        }
        out
    }
}

/// A named input of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The name, unique among the inputs.
    pub name: String,
    /// What it is to the program.
    pub role: InputRole,
}

/// What an input is to the program.
#[derive(Clone, Debug, PartialEq)]
pub enum InputRole {
    /// Given by the caller at each run.
    User {
        /// What it is when the caller gives nothing.
        default: Option<TensorId>,
        /// How the source's calling convention passes it.
        kind: ArgKindRole,
    },
    /// A trained parameter; `None` when the numbers are not supplied.
    Param(Option<TensorId>),
    /// State carried from run to run; `None` when the first value is not supplied.
    State(Option<TensorId>),
}

impl InputRole {
    /// What the input is when the caller gives nothing, where the program says that.
    pub fn stored(&self) -> Option<TensorId> {
        match *self {
            Self::User { default, .. } => default,
            Self::Param(tensor) | Self::State(tensor) => tensor,
        }
    }
}

/// How a calling convention passes an argument or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ArgKindRole {
    /// A tensor (or a container).
    #[default]
    Tensor,
    /// A host integer.
    Int,
    /// A host float.
    Float,
    /// A host truth value.
    Bool,
    /// A constant of the signature.
    Constant,
}

/// A named output of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The name, unique among the outputs.
    pub name: String,
    /// What it is to the program.
    pub role: OutputRole,
}

/// What an output is to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputRole {
    /// Returned to the caller.
    User(ArgKindRole),
    /// The next value of the state of that name.
    StateUpdate(String),
    /// The new contents of the input at that index, which the source mutates.
    InputUpdate(u32),
}

/// A body of nodes in order. Closed: it uses only its own values; what it needs from
/// outside comes in as parameters.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Region {
    /// Parameters.
    pub params: Vec<ValueId>,
    /// Nodes in order of execution.
    pub nodes: Vec<NodeId>,
    /// Results.
    pub results: Vec<ValueId>,
}

/// A list of operand slots. Absent trailing slots are left out.
pub type Operands = SmallVec<[Option<ValueId>; 4]>;
/// A list of result slots. Absent trailing slots are left out.
pub type Results = SmallVec<[Option<ValueId>; 2]>;

/// An application of an op.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The op with its fields.
    pub op: Op,
    /// Operands by slot.
    pub operands: Operands,
    /// Results by slot.
    pub results: Results,
    /// Where it came from.
    pub origin: OriginId,
}

impl Node {
    /// The operands that are present.
    pub fn inputs(&self) -> impl DoubleEndedIterator<Item = ValueId> + '_ {
        self.operands.iter().flatten().copied()
    }
    /// The results that are present.
    pub fn outputs(&self) -> impl DoubleEndedIterator<Item = ValueId> + '_ {
        self.results.iter().flatten().copied()
    }
    /// The operand in a slot, if present.
    pub fn operand(&self, slot: usize) -> Option<ValueId> {
        self.operands.get(slot).copied().flatten()
    }
    /// The result in a slot, if present.
    pub fn result(&self, slot: usize) -> Option<ValueId> {
        self.results.get(slot).copied().flatten()
    }
    /// The regions that the op carries.
    pub fn regions(&self) -> SmallVec<[RegionId; 2]> {
        crate::visit::regions_of(&self.op)
    }
}

/// A value: one result of a node or one parameter of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The type.
    pub ty: Type,
    /// What makes it.
    pub def: Def,
    /// The name in the source.
    pub name: Option<Arc<str>>,
}

/// What makes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Def {
    /// A parameter of a region.
    Param {
        /// The region.
        region: RegionId,
        /// Its position.
        index: u32,
    },
    /// A result of a node.
    Result {
        /// The node.
        node: NodeId,
        /// Its slot.
        index: u32,
    },
}

/// Where a node came from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// Nowhere in particular.
    #[default]
    Unknown,
    /// A place in a source file.
    Source {
        /// The format.
        format: Arc<str>,
        /// The path of graphs and branches down to the node, or of modules.
        path: Arc<str>,
        /// The node's name; may be empty.
        name: Arc<str>,
        /// The op as the source calls it, with its domain.
        op: Arc<str>,
    },
    /// Made by a pass or a conversion step from others.
    Derived {
        /// The pass or step.
        by: Arc<str>,
        /// What it was made from.
        from: Vec<OriginId>,
    },
}

impl Module {
    /// The function that is the program.
    pub fn main(&self) -> &Function {
        &self.functions[self.entry]
    }
    /// Adds a note; an empty text adds nothing.
    pub fn note(&mut self, about: Entity, key: &str, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.notes.entry(about).or_default().insert(key.to_owned(), text);
        }
    }
    /// A note's text.
    pub fn noted(&self, about: Entity, key: &str) -> Option<&str> {
        self.notes.get(&about)?.get(key).map(String::as_str)
    }
    /// The origin of what `by` makes from things of these origins.
    pub fn derive(&mut self, by: &str, from: Vec<OriginId>) -> OriginId {
        if self.origins.is_empty() {
            // The origin of what comes from nowhere.
            self.origins.push(Origin::Unknown);
        }
        self.origins.push(Origin::Derived { by: by.into(), from })
    }
    /// The source place of an origin: itself, or the first one that it was derived from.
    pub fn source_of(&self, mut origin: OriginId) -> Option<&Origin> {
        for _ in 0..64 {
            match self.origins.get(origin)? {
                found @ Origin::Source { .. } => return Some(found),
                Origin::Derived { from, .. } => origin = *from.first()?,
                Origin::Unknown => return None,
            }
        }
        None
    }
}

impl Function {
    /// An empty function with an empty body.
    pub fn new(name: impl Into<String>) -> Self {
        let mut f = Self { name: name.into(), ..Self::default() };
        f.body = f.regions.push(Region::default());
        f
    }
    /// The body region.
    pub fn body(&self) -> &Region {
        &self.regions[self.body]
    }
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.values[value].ty
    }
    /// Adds a parameter to a region.
    pub fn add_param(&mut self, region: RegionId, ty: Type, name: Option<Arc<str>>) -> ValueId {
        let index = self.regions[region].params.len() as u32;
        let value = self.values.push(Value { ty, def: Def::Param { region, index }, name });
        self.regions[region].params.push(value);
        value
    }
    /// Puts the parameters of a region in this order, which is a permutation of them.
    pub fn order_params(&mut self, region: RegionId, order: Vec<ValueId>) {
        for (index, &value) in order.iter().enumerate() {
            self.values[value].def = Def::Param { region, index: index as u32 };
        }
        self.regions[region].params = order;
    }
    /// Adds an input.
    pub fn add_input(&mut self, name: &str, ty: Type, role: InputRole) -> ValueId {
        self.inputs.push(Input { name: name.to_owned(), role });
        self.add_param(self.body, ty, Some(name.into()))
    }
    /// Adds an output.
    pub fn add_output(&mut self, name: &str, value: ValueId, role: OutputRole) {
        self.outputs.push(Output { name: name.to_owned(), role });
        let body = self.body;
        self.regions[body].results.push(value);
    }
    /// Adds a node with fresh results of these types (`None`: absent) at the end of a region.
    pub fn add_node(
        &mut self,
        region: RegionId,
        op: Op,
        mut operands: Operands,
        results: impl IntoIterator<Item = Option<Type>>,
        origin: OriginId,
    ) -> NodeId {
        while operands.last() == Some(&None) {
            operands.pop();
        }
        let node = NodeId(self.nodes.len() as u32);
        let mut ids = Results::new();
        for (index, ty) in results.into_iter().enumerate() {
            ids.push(ty.map(|ty| {
                let def = Def::Result { node, index: index as u32 };
                self.values.push(Value { ty, def, name: None })
            }));
        }
        while ids.last() == Some(&None) {
            ids.pop();
        }
        self.nodes.push(Node { op, operands, results: ids, origin });
        self.regions[region].nodes.push(node);
        node
    }
    /// A fresh symbol whose name starts with `hint`.
    pub fn add_symbol(&mut self, hint: &str, range: Range, why: Option<String>) -> SymbolId {
        let stem = if hint.is_empty() { "n" } else { hint };
        let mut name = stem.to_owned();
        let mut i = self.symbols.len();
        while self.symbols.named(&name).is_some() {
            name = format!("{stem}_{i}");
            i += 1;
        }
        self.symbols.push(Symbol { name, range, why })
    }
    /// The symbol of this name.
    pub fn symbol_named(&self, name: &str) -> Option<SymbolId> {
        self.symbols.named(name)
    }
    /// The range of a symbol.
    pub fn symbol_range(&self, id: SymbolId) -> Range {
        self.symbols.get(id).map_or(Range { min: None, max: None }, |s| s.range)
    }
    /// A size in text.
    pub fn dim_text(&self, dim: &Dim) -> String {
        dim.display(&|s| self.symbols.get(s).map_or_else(|| s.to_string(), |x| x.name.clone()))
            .to_string()
    }
}
