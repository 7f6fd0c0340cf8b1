//! Functions, regions, nodes and values.

use std::collections::BTreeMap;

use super::Parser;
use crate::attr::Attr;
use crate::dim::Range;
use crate::entity::{Arena, EntityId, NodeId, OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{
    ArgKindRole, Def, Function, Input, InputRole, Node, Operands, Output, OutputRole, Region,
    Results, Symbol, Symbols, Value,
};
use crate::op::{Op, OpKind};
use crate::text::ErrorKind;
use crate::text::lex::{Parsed, fail};

/// What a function has so far. Ids come in any order; each is placed at the end.
#[derive(Default)]
pub(super) struct State {
    pub(super) symbols: Symbols,
    regions: Vec<Item<RegionId, Region>>,
    nodes: Vec<Item<NodeId, Node>>,
    values: Vec<Item<ValueId, Value>>,
    /// The id of a node that does not say its own.
    next_node: u32,
}

/// An entity and the place in the text where it begins.
struct Item<K, V> {
    at: usize,
    id: K,
    item: V,
}

/// Puts each entity in its place. Every id up to the number of them must be there once.
fn place<K: EntityId, V>(items: Vec<Item<K, V>>) -> Parsed<Arena<K, V>> {
    let count = items.len();
    let mut slots: Vec<Option<V>> = Vec::new();
    slots.resize_with(count, || None);
    let mut beyond = None;
    for Item { at, id, item } in items {
        match slots.get_mut(id.index()) {
            Some(slot @ None) => *slot = Some(item),
            Some(Some(_)) => {
                return fail(ErrorKind::Structure, at, format!("{id} is defined twice"));
            }
            None => beyond = beyond.or(Some((at, id))),
        }
    }
    if let (Some((at, id)), Some(hole)) = (beyond, slots.iter().position(Option::is_none)) {
        let hole = K::from_index(hole);
        let message = format!("{id} is defined and {hole} is not; ids have no gaps");
        return fail(ErrorKind::Structure, at, message);
    }
    Ok(slots.into_iter().flatten().collect())
}

impl Parser<'_> {
    fn count(&mut self, at: usize) -> Parsed<()> {
        self.entities += 1;
        match self.entities > self.options.limits.entities {
            true => fail(ErrorKind::Limit, at, "there are too many nodes, values and regions"),
            false => Ok(()),
        }
    }

    /// A function, from its name on.
    pub(super) fn function(&mut self) -> Parsed<Function> {
        self.state = State::default();
        let mut f = Function { name: self.c.string()?, ..Function::default() };
        self.c.expect(b'{')?;
        let mut body = false;
        while !self.c.eat(b'}') {
            let at = self.c.here();
            match self.c.name("an item of a function or `}`")? {
                "symbol" => self.symbol()?,
                "in" => {
                    let name = self.c.string()?;
                    self.c.expect(b':')?;
                    f.inputs.push(Input { name, role: self.input_role()? });
                }
                "out" => {
                    let name = self.c.string()?;
                    self.c.expect(b':')?;
                    f.outputs.push(Output { name, role: self.output_role()? });
                }
                "body" if body => {
                    return fail(ErrorKind::Structure, at, "a function has one body");
                }
                "body" => {
                    f.body = self.region()?;
                    body = true;
                }
                "region" => drop(self.region()?),
                "node" => drop(self.node()?),
                "value" => self.loose_value()?,
                other => {
                    let message = format!(
                        "expected `symbol`, `in`, `out`, `body`, `region`, `node` or `value`, \
                         not `{other}`"
                    );
                    return fail(ErrorKind::Syntax, at, message);
                }
            }
        }
        let state = std::mem::take(&mut self.state);
        f.symbols = state.symbols;
        f.regions = place(state.regions)?;
        f.nodes = place(state.nodes)?;
        f.values = place(state.values)?;
        Ok(f)
    }

    fn symbol(&mut self) -> Parsed<()> {
        let at = self.c.here();
        let id = SymbolId(self.c.id(b'$')?);
        self.in_order(at, id, self.state.symbols.len())?;
        let name = self.c.string()?;
        self.c.expect(b':')?;
        let min = match self.c.peek() {
            Some(b'.') => None,
            _ => Some(self.c.integer()?),
        };
        self.c.expect(b'.')?;
        self.c.expect(b'.')?;
        let max = match self.c.eat(b'=') {
            true => Some(self.c.integer()?),
            false => None,
        };
        let why = match self.c.word("why") {
            true => Some(self.c.string()?),
            false => None,
        };
        self.state.symbols.push(Symbol { name, range: Range { min, max }, why });
        Ok(())
    }

    fn kind(&mut self) -> ArgKindRole {
        let kinds = [
            ("tensor", ArgKindRole::Tensor),
            ("int", ArgKindRole::Int),
            ("float", ArgKindRole::Float),
            ("bool", ArgKindRole::Bool),
            ("constant", ArgKindRole::Constant),
        ];
        let found = kinds.into_iter().find(|(word, _)| self.c.word(word));
        found.map_or(ArgKindRole::Tensor, |(_, kind)| kind)
    }

    fn tensor_id(&mut self) -> Parsed<Option<TensorId>> {
        match self.c.peek() {
            Some(b'#') => Ok(Some(TensorId(self.c.id(b'#')?))),
            _ => Ok(None),
        }
    }

    fn input_role(&mut self) -> Parsed<InputRole> {
        if self.c.word("user") {
            let kind = self.kind();
            let default = match self.c.word("default") {
                true => Some(TensorId(self.c.id(b'#')?)),
                false => None,
            };
            return Ok(InputRole::User { default, kind });
        }
        if self.c.word("param") {
            return Ok(InputRole::Param(self.tensor_id()?));
        }
        if self.c.word("state") {
            return Ok(InputRole::State(self.tensor_id()?));
        }
        self.c.expected("`user`, `param` or `state`")
    }

    fn output_role(&mut self) -> Parsed<OutputRole> {
        if self.c.word("user") {
            return Ok(OutputRole::User(self.kind()));
        }
        if self.c.word("state") {
            return Ok(OutputRole::StateUpdate(self.c.string()?));
        }
        if self.c.word("input") {
            return Ok(OutputRole::InputUpdate(self.c.integer()?));
        }
        self.c.expected("`user`, `state` or `input`")
    }

    /// A value where it may be defined.
    fn value(&mut self, def: Def) -> Parsed<ValueId> {
        let at = self.c.here();
        let id = ValueId(self.c.id(b'%')?);
        let name = match self.c.peek() {
            Some(b'"') => Some(self.c.string()?.into()),
            _ => None,
        };
        if name.is_some() || self.c.peek() == Some(b':') {
            self.c.expect(b':')?;
            let ty = self.ty()?;
            self.count(at)?;
            self.state.values.push(Item { at, id, item: Value { ty, def, name } });
        }
        Ok(id)
    }

    /// A value that no region and no node has.
    fn loose_value(&mut self) -> Parsed<()> {
        let place = Def::Param { region: RegionId(0), index: 0 };
        let before = self.state.values.len();
        self.value(place)?;
        self.c.expect(b'=')?;
        let def = if self.c.word("param") {
            Def::Param { region: RegionId(self.c.id(b'^')?), index: self.c.integer()? }
        } else if self.c.word("result") {
            match self.c.named_id("n") {
                Some(node) => Def::Result { node: NodeId(node), index: self.c.integer()? },
                None => return self.c.expected("an `nN`"),
            }
        } else {
            return self.c.expected("`param` or `result`");
        };
        match self.state.values.get_mut(before) {
            Some(value) => value.item.def = def,
            None => return self.c.expected("a type before this"),
        }
        Ok(())
    }

    /// A region, or only its name.
    pub(super) fn region(&mut self) -> Parsed<RegionId> {
        let at = self.c.here();
        let id = RegionId(self.c.id(b'^')?);
        if !matches!(self.c.peek(), Some(b'(' | b'{')) {
            return Ok(id);
        }
        self.count(at)?;
        let item = self.nested(|p| p.region_body(id))?;
        self.state.regions.push(Item { at, id, item });
        Ok(id)
    }

    fn region_body(&mut self, region: RegionId) -> Parsed<Region> {
        let mut r = Region::default();
        if self.c.eat(b'(') {
            let mut index = 0;
            r.params = self.list(b')', |p| {
                let value = p.value(Def::Param { region, index })?;
                index += 1;
                Ok(value)
            })?;
        }
        self.c.expect(b'{')?;
        loop {
            if self.c.eat(b'}') {
                return Ok(r);
            }
            if self.c.word("return") {
                r.results = self.list(b'}', |p| Ok(ValueId(p.c.id(b'%')?)))?;
                return Ok(r);
            }
            if self.c.word("node") {
                match self.c.named_id("n") {
                    Some(id) => r.nodes.push(NodeId(id)),
                    None => return self.c.expected("an `nN`"),
                }
                continue;
            }
            r.nodes.push(self.node()?);
        }
    }

    fn node(&mut self) -> Parsed<NodeId> {
        let at = self.c.here();
        let id = match self.c.named_id("n") {
            Some(id) => {
                self.c.expect(b':')?;
                id
            }
            None => self.state.next_node,
        };
        self.state.next_node = id.wrapping_add(1);
        let id = NodeId(id);
        self.count(at)?;
        let results = self.results(id)?;
        let (op_at, kind) = self.op()?;
        let operands = self.operands()?;
        let op = self.fields(op_at, kind)?;
        let origin = OriginId(self.c.named_id("loc").unwrap_or(0));
        self.state.nodes.push(Item { at, id, item: Node { op, operands, results, origin } });
        Ok(id)
    }

    fn results(&mut self, node: NodeId) -> Parsed<Results> {
        let mut results = Results::new();
        loop {
            let index = results.len() as u32;
            if self.c.peek() == Some(b'%') {
                results.push(Some(self.value(Def::Result { node, index })?));
            } else if self.c.word("_") {
                results.push(None);
            } else {
                break;
            }
            if !self.c.eat(b',') {
                break;
            }
        }
        if !results.is_empty() {
            self.c.expect(b'=')?;
        }
        Ok(results)
    }

    fn op(&mut self) -> Parsed<(usize, OpKind)> {
        let at = self.c.here();
        let name = self.c.name("an op, a result, `return` or `}`")?;
        match OpKind::from_name(name) {
            Some(kind) => Ok((at, kind)),
            None => fail(ErrorKind::Structure, at, format!("no op is called `{name}`")),
        }
    }

    fn operands(&mut self) -> Parsed<Operands> {
        let mut operands = Operands::new();
        if !self.c.eat(b'(') {
            return Ok(operands);
        }
        while !self.c.eat(b')') {
            operands.push(match self.c.word("_") {
                true => None,
                false => Some(ValueId(self.c.id(b'%')?)),
            });
            if !self.c.eat(b',') && self.c.peek() != Some(b')') {
                return self.c.expected("`,` or `)`");
            }
        }
        Ok(operands)
    }

    fn fields(&mut self, at: usize, kind: OpKind) -> Parsed<Op> {
        let mut attrs: BTreeMap<String, Attr> = BTreeMap::new();
        if self.c.eat(b'{') {
            while !self.c.eat(b'}') {
                let at = self.c.here();
                let (key, attr) = self.named_field(kind)?;
                if attrs.insert(key, attr).is_some() {
                    return fail(ErrorKind::Structure, at, "this field is given twice");
                }
                if !self.c.eat(b',') && self.c.peek() != Some(b'}') {
                    return self.c.expected("`,` or `}`");
                }
            }
        }
        match Op::from_attrs(kind, attrs) {
            Ok(op) => Ok(op),
            Err(e) => fail(ErrorKind::Structure, at, format!("op `{kind}`: {e}")),
        }
    }

    fn named_field(&mut self, kind: OpKind) -> Parsed<(String, Attr)> {
        let at = self.c.here();
        let key = self.key()?;
        let fields = &kind.info().fields;
        let Some(field) = fields.iter().find(|f| f.name == key) else {
            let names: Vec<&str> = fields.iter().map(|f| f.name).collect();
            let message = match names.is_empty() {
                true => format!("op `{kind}` has no fields"),
                false => {
                    format!("op `{kind}` has no field `{key}`; it has {}", names.join(", "))
                }
            };
            return fail(ErrorKind::Structure, at, message);
        };
        self.c.expect(b'=')?;
        Ok((key, self.field(field.kind)?))
    }
}
