//! Makes functions anew, node by node.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::{Given, Known, Reread};
use crate::attr::AttrVisitor;
use crate::builder::Builder;
use crate::diag::Diagnostic;
use crate::dim::{Dim, Range as DimRange};
use crate::entity::{Arena, FuncId, NodeId, OriginId, RegionId, SymbolId, ValueId};
use crate::infer::control::{Bindings, bind_type, fits, replaced};
use crate::infer::facts::reshape_dims;
use crate::infer::{InferError, infer};
use crate::interp::Datum;
use crate::module::{Entity, Function, InputRole, Module, Node, Operands, OutputRole};
use crate::op::{Call, Constant, DimsOf, Op};
use crate::pass::symbols::{Binder, binders};
use crate::tensor::Tensor;
use crate::types::Type;
use crate::verify::type_text;

/// How deep regions and calls may be nested.
const DEEPEST: usize = 64;

/// A step that may find that the program cannot be.
pub(super) type Outcome<T> = Result<T, Box<Diagnostic>>;

/// The state of one specialisation.
pub(super) struct Replay<'a> {
    pub old: &'a Arena<FuncId, Function>,
    pub given: &'a Given,
    pub formats: &'a [&'a dyn Reread],
    called: Vec<(FuncId, Vec<Type>, FuncId)>,
    names: FxHashSet<String>,
    /// What old entities became.
    became: Vec<(Entity, Entity)>,
    left: u64,
}

/// A function being made.
pub(super) struct Making<'a> {
    pub from: FuncId,
    pub old: &'a Function,
    pub func: FuncId,
    /// What symbols of the old function stand for.
    pub bindings: Bindings,
    pub binders: FxHashMap<SymbolId, Binder>,
    /// Symbols of the function's inputs.
    pub of_inputs: FxHashSet<SymbolId>,
    /// What values of the old function became.
    pub values: FxHashMap<ValueId, ValueId>,
    pub known: Known,
    pub depth: usize,
}

/// Replaces symbols, regions and functions in payloads.
pub(super) struct Rewrite<'a> {
    pub bindings: &'a Bindings,
    pub regions: &'a FxHashMap<RegionId, RegionId>,
    pub function: Option<FuncId>,
}

impl AttrVisitor for Rewrite<'_> {
    fn dim(&mut self, dim: &mut Dim) {
        *dim = dim.substitute(&mut |s| self.bindings.get(&s).cloned());
    }
    fn region(&mut self, region: &mut RegionId) {
        *region = self.regions.get(region).copied().unwrap_or(*region);
    }
    fn func(&mut self, func: &mut FuncId) {
        *func = self.function.unwrap_or(*func);
    }
}

/// The module with everything made anew.
pub(super) fn replay(
    mut module: Module,
    given: &Given,
    formats: &[&dyn Reread],
) -> Outcome<Module> {
    let old = std::mem::take(&mut module.functions);
    let notes = std::mem::take(&mut module.notes);
    let mut replay = Replay {
        old: &old,
        given,
        formats,
        called: Vec::new(),
        names: FxHashSet::default(),
        became: Vec::new(),
        left: given.max_nodes,
    };
    module.entry = replay.entry(&mut module)?;
    let mut became: FxHashMap<Entity, Vec<Entity>> = FxHashMap::default();
    for (old, new) in replay.became {
        became.entry(old).or_default().push(new);
    }
    for (entity, texts) in notes {
        let targets = match entity {
            Entity::Module | Entity::Tensor(_) => vec![entity],
            _ => became.remove(&entity).unwrap_or_default(),
        };
        for target in targets {
            module.notes.entry(target).or_default().extend(texts.clone());
        }
    }
    Ok(module)
}

fn broken(message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("specialize", message))
}

impl<'a> Replay<'a> {
    fn begin(&mut self, module: &mut Module, from: FuncId) -> Outcome<Making<'a>> {
        let Some(old) = self.old.get(from) else {
            return Err(broken(format!("there is no function {from}")));
        };
        let mut name = old.name.clone();
        let mut i = 1;
        while !self.names.insert(name.clone()) {
            i += 1;
            name = format!("{}#{i}", old.name);
        }
        let mut f = Function::new(name);
        f.symbols = old.symbols.clone();
        let body = f.body;
        let func = module.functions.push(f);
        self.became.push((Entity::Func(from), Entity::Func(func)));
        self.became.push((Entity::Region(from, old.body), Entity::Region(func, body)));
        let mut of_inputs = FxHashSet::default();
        for &param in &old.body().params {
            old.ty(param).for_each_dim(&mut |d| {
                d.symbols(&mut |s| {
                    of_inputs.insert(s);
                });
            });
        }
        Ok(Making {
            from,
            old,
            func,
            bindings: Bindings::default(),
            binders: binders(old),
            of_inputs,
            values: FxHashMap::default(),
            known: Known::default(),
            depth: 0,
        })
    }

    fn entry(&mut self, module: &mut Module) -> Outcome<FuncId> {
        let mut m = self.begin(module, module.entry)?;
        for (name, &size) in &self.given.dims {
            let Some(symbol) = m.old.symbol_named(name) else { continue };
            if !m.old.symbol_range(symbol).contains(size) {
                let message = format!("--dim {name}: the size cannot be {size}");
                return Err(Diagnostic::error("option-value", message).into());
            }
            m.bindings.insert(symbol, Dim::Known(size));
        }
        let params = m.old.body().params.clone();
        let mut tensors = FxHashMap::default();
        for (input, &param) in m.old.inputs.iter().zip(&params) {
            if let Some(value) = self.given.binds.get(&input.name) {
                tensors.insert(input.name.as_str(), bound(&mut m, &input.name, param, value)?);
            }
        }
        // What only a bound input said has to be known.
        let (mut open, mut rest) = (FxHashSet::default(), FxHashSet::default());
        for (input, &param) in m.old.inputs.iter().zip(&params) {
            let mut found = |s: SymbolId| {
                match tensors.contains_key(input.name.as_str()) {
                    true if !m.bindings.contains_key(&s) => open.insert(s),
                    true => false,
                    false => rest.insert(s),
                };
            };
            m.old.ty(param).for_each_dim(&mut |d| d.symbols(&mut found));
        }
        if let Some(&symbol) = open.iter().filter(|s| !rest.contains(*s)).min() {
            let name = &m.old.symbols[symbol].name;
            let message = format!("the values that are bound do not say what `{name}` is");
            let error = Diagnostic::error("option-value", message);
            return Err(error.help(format!("give it with --dim {name}=N")).into());
        }
        let body = module.functions[m.func].body;
        let mut kept = Vec::new();
        for (input, &param) in m.old.inputs.iter().zip(&params) {
            let ty = replaced(m.old.ty(param), &m.bindings);
            let f = &mut module.functions[m.func];
            let value = match tensors.remove(input.name.as_str()) {
                None => {
                    kept.push(param);
                    f.add_input(&input.name, ty, input.role.clone())
                }
                Some(tensor) => {
                    let ty = Type::Tensor(tensor.ty());
                    let op = Constant { tensor: module.tensors.push(tensor) }.into();
                    let none = Operands::new();
                    let node = f.add_node(body, op, none, [Some(ty)], OriginId(0));
                    m.known.facts.visit(module, &module.functions[m.func], node);
                    match module.functions[m.func].nodes[node].result(0) {
                        Some(value) => value,
                        None => return Err(broken("a constant has no result")),
                    }
                }
            };
            self.is_now(module, &mut m, param, value);
        }
        self.finish(module, m, &kept)
    }

    /// The function with parameters of these types; one is made per combination.
    fn called(
        &mut self,
        module: &mut Module,
        from: FuncId,
        given: Vec<Type>,
        depth: usize,
    ) -> Outcome<FuncId> {
        if let Some((.., func)) = self.called.iter().find(|(f, g, _)| *f == from && *g == given) {
            return Ok(*func);
        }
        let mut m = self.begin(module, from)?;
        m.depth = depth;
        let params = m.old.body().params.clone();
        for (&param, ty) in params.iter().zip(&given) {
            let mut numbers = Bindings::default();
            bind_type(m.old.ty(param), ty, &mut numbers);
            for (symbol, size) in numbers {
                m.bindings.entry(symbol).or_insert(size);
            }
        }
        for (i, &param) in params.iter().enumerate() {
            let (Some(input), Some(given)) = (m.old.inputs.get(i), given.get(i)) else {
                return Err(broken(format!("function {} is not whole", m.old.name)));
            };
            let f = &mut module.functions[m.func];
            let ty = param_type(f, &replaced(m.old.ty(param), &m.bindings), given, &input.name);
            let value = f.add_input(&input.name, ty, input.role.clone());
            self.is_now(module, &mut m, param, value);
        }
        let func = self.finish(module, m, &params)?;
        self.called.push((from, given, func));
        Ok(func)
    }

    /// Makes the body and the outputs. `kept` are the inputs that are still there.
    fn finish(
        &mut self,
        module: &mut Module,
        mut m: Making<'a>,
        kept: &[ValueId],
    ) -> Outcome<FuncId> {
        let (from, to) = (m.old.body, module.functions[m.func].body);
        self.nodes(module, &mut m, from, to)?;
        let results = self.results(&m, from)?;
        let inputs = &module.functions[m.func].inputs;
        let state = |name: &str| {
            inputs.iter().any(|i| i.name == name && matches!(i.role, InputRole::State(_)))
        };
        let mut outputs = Vec::new();
        for (output, value) in m.old.outputs.iter().zip(results) {
            let role = match &output.role {
                OutputRole::User(kind) => OutputRole::User(*kind),
                OutputRole::StateUpdate(name) if state(name) => output.role.clone(),
                OutputRole::InputUpdate(index) => {
                    let param = m.old.body().params.get(*index as usize);
                    match kept.iter().position(|k| Some(k) == param) {
                        Some(index) => OutputRole::InputUpdate(index as u32),
                        None => return Err(broken("an input that is written to cannot be bound")),
                    }
                }
                OutputRole::StateUpdate(name) => {
                    return Err(broken(format!("the state `{name}` cannot be bound")));
                }
            };
            outputs.push((output.name.clone(), value, role));
        }
        for (name, value, role) in outputs {
            module.functions[m.func].add_output(&name, value, role);
        }
        Ok(m.func)
    }

    /// Notes what a value became, and names it.
    pub fn is_now(&mut self, module: &mut Module, m: &mut Making<'a>, old: ValueId, new: ValueId) {
        m.values.insert(old, new);
        self.became.push((Entity::Value(m.from, old), Entity::Value(m.func, new)));
        let slot = &mut module.functions[m.func].values[new].name;
        if slot.is_none() {
            slot.clone_from(&m.old.values[old].name);
        }
    }

    /// Notes what a region became.
    pub fn region_is_now(&mut self, m: &Making<'a>, old: RegionId, new: RegionId) {
        self.became.push((Entity::Region(m.from, old), Entity::Region(m.func, new)));
    }

    /// The values that the results of a region became.
    pub fn results(&self, m: &Making<'a>, region: RegionId) -> Outcome<Vec<ValueId>> {
        let Some(region) = m.old.regions.get(region) else {
            return Err(broken(format!("there is no region {region}")));
        };
        let value = |v| match m.values.get(v) {
            Some(&new) => Ok(new),
            None => Err(broken(format!("{v} is returned but not made"))),
        };
        region.results.iter().map(value).collect()
    }

    /// Makes the nodes of a region of the old function in a region of the new one.
    pub fn nodes(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        from: RegionId,
        to: RegionId,
    ) -> Outcome<()> {
        if m.depth > DEEPEST {
            return Err(broken(format!("regions and calls are nested deeper than {DEEPEST}")));
        }
        let nodes = m.old.regions.get(from).map(|r| r.nodes.as_slice()).unwrap_or_default();
        for &id in nodes {
            self.left = match self.left.checked_sub(1) {
                Some(left) => left,
                None => {
                    let most = self.given.max_nodes;
                    let message = format!("more than {most} nodes would be made");
                    return Err(Diagnostic::error("limit-nodes", message).into());
                }
            };
            self.node(module, m, id, to)?;
        }
        Ok(())
    }

    fn node(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        to: RegionId,
    ) -> Outcome<()> {
        let node = &m.old.nodes[id];
        let mut operands = Operands::new();
        for slot in &node.operands {
            operands.push(match slot {
                Some(v) => match m.values.get(v) {
                    Some(&new) => Some(new),
                    None => return Err(broken(format!("{v} is used before it is made"))),
                },
                None => None,
            });
        }
        let no_regions = FxHashMap::default();
        match &node.op {
            Op::DimsOf(d) => self.dims_of(module, m, id, d, &operands, to),
            Op::Call(c) => self.call(module, m, id, c, &operands, to),
            Op::Opaque(o) => self.opaque(module, m, id, o, &operands, to),
            Op::If(op) => {
                let truth = operands.first().copied().flatten().and_then(|condition| {
                    let f = &module.functions[m.func];
                    m.known.truth(module, f, condition)
                });
                match truth {
                    Some(truth) => {
                        let taken = if truth { op.then_branch } else { op.else_branch };
                        self.inline(module, m, id, taken, &operands[1..], to)
                    }
                    None => self.with_regions(module, m, id, &operands, to),
                }
            }
            Op::Broadcast(b) if b.implicit => {
                let mut op = node.op.clone();
                let (bindings, regions) = (&m.bindings, &no_regions);
                op.visit_attrs_mut(&mut Rewrite { bindings, regions, function: None });
                let same = match (&op, operands.first().copied().flatten()) {
                    (Op::Broadcast(b), Some(x)) => {
                        let ty = module.functions[m.func].ty(x).as_tensor();
                        ty.filter(|t| t.shape.as_slice() == b.dims.as_slice()).map(|_| x)
                    }
                    _ => None,
                };
                match same {
                    Some(x) => self.becomes(module, m, id, &[Some(x)]),
                    None => self.emit(module, m, id, op, &operands, to),
                }
            }
            op if !node.regions().is_empty() => {
                debug_assert!(!matches!(op, Op::If(_)));
                self.with_regions(module, m, id, &operands, to)
            }
            _ => {
                let mut op = node.op.clone();
                if !op.info().fields.is_empty() && !matches!(op, Op::Constant(_)) {
                    let (bindings, regions) = (&m.bindings, &no_regions);
                    op.visit_attrs_mut(&mut Rewrite { bindings, regions, function: None });
                }
                refresh(module, m, &mut op, &operands)?;
                self.emit(module, m, id, op, &operands, to)
            }
        }
    }

    /// `dims_of` binds symbols to what is known of the elements, and goes when all of them are.
    fn dims_of(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        op: &DimsOf,
        operands: &Operands,
        to: RegionId,
    ) -> Outcome<()> {
        let f = &module.functions[m.func];
        let value = operands.first().copied().flatten().map(|v| m.known.root(v));
        let mut elems: Option<Vec<Dim>> =
            value.and_then(|v| m.known.facts.get(v)).map(<[_]>::to_vec);
        if let Some(v) = value.filter(|_| elems.is_none()) {
            let array = m.known.array(module, f, v).and_then(|a| a.to_i64s());
            elems = array.map(|a| a.into_iter().map(Dim::Known).collect());
        }
        let elems = elems.filter(|e| e.len() == op.dims.len());
        for (dim, exact) in op.dims.iter().zip(elems.iter().flatten()) {
            own_symbol(m, id, dim, exact);
        }
        let dims: Vec<Dim> = op.dims.iter().map(|d| replaced_dim(d, &m.bindings)).collect();
        if elems.as_ref() == Some(&dims) {
            return Ok(());
        }
        self.emit(module, m, id, DimsOf { dims }.into(), operands, to)
    }

    fn call(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        call: &Call,
        operands: &Operands,
        to: RegionId,
    ) -> Outcome<()> {
        let f = &module.functions[m.func];
        let given: Vec<Type> = operands.iter().flatten().map(|&v| closed(f.ty(v))).collect();
        let function = self.called(module, call.function, given, m.depth + 1)?;
        let op = Op::Call(Call { function, source: call.source.clone() });
        self.emit(module, m, id, op, operands, to)
    }

    /// Adds a node with its types inferred anew.
    pub fn emit(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        op: Op,
        operands: &Operands,
        to: RegionId,
    ) -> Outcome<()> {
        let node = &m.old.nodes[id];
        let declared: Vec<Type> =
            node.results.iter().map(|r| r.map_or(Type::Unknown, |r| m.old.ty(r).clone())).collect();
        let f = &module.functions[m.func];
        let types = match infer(module, f, &op, operands) {
            Ok(exact) => {
                for (have, exact) in declared.iter().zip(&exact) {
                    own_symbols(m, id, have, exact);
                }
                let pairs = declared.iter().zip(exact);
                pairs.map(|(have, exact)| merged(&replaced(have, &m.bindings), exact)).collect()
            }
            Err(InferError::Unknown(_)) => {
                declared.iter().map(|ty| replaced(ty, &m.bindings)).collect::<Vec<Type>>()
            }
            Err(e) => return Err(invalid(module, m, node, &e.to_string())),
        };
        let present: SmallVec<[bool; 4]> = node.results.iter().map(Option::is_some).collect();
        let new =
            Builder::new(module, m.func, to, node.origin).typed_node(op, operands, types, &present);
        m.known.facts.visit(module, &module.functions[m.func], new);
        self.became.push((Entity::Node(m.from, id), Entity::Node(m.func, new)));
        let results = module.functions[m.func].nodes[new].results.clone();
        self.becomes(module, m, id, &results)
    }

    /// Notes what the results of a node became.
    pub fn becomes(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        values: &[Option<ValueId>],
    ) -> Outcome<()> {
        let results = &m.old.nodes[id].results;
        for (slot, old) in results.iter().enumerate() {
            let Some(old) = *old else { continue };
            let Some(new) = values.get(slot).copied().flatten() else {
                return Err(broken(format!("result {slot} of {id} is not made any more")));
            };
            // What cannot be inferred may have been declared.
            let ty = module.functions[m.func].ty(new).clone();
            own_symbols(m, id, m.old.ty(old), &ty);
            let declared = replaced(m.old.ty(old), &m.bindings);
            if matches!(ty, Type::Unknown | Type::Unranked(_)) && declared.refines(&ty) {
                module.functions[m.func].values[new].ty = declared;
            }
            self.is_now(module, m, old, new);
        }
        Ok(())
    }

    /// Notes what a node became that was replaced by others.
    pub fn node_is_now(&mut self, m: &Making<'a>, old: NodeId, new: NodeId) {
        self.became.push((Entity::Node(m.from, old), Entity::Node(m.func, new)));
    }
}

/// The tensor that an input is bound to; its sizes are those of the input's type.
fn bound(m: &mut Making<'_>, name: &str, param: ValueId, value: &Datum) -> Outcome<Tensor> {
    let declared = m.old.ty(param);
    let text = type_text(m.old, declared);
    let wrong = |what: String| Err(Diagnostic::error("option-value", what).into());
    let unfit = format!("--bind {name}: the value does not fit the type {text}");
    let Some(tensor) = value.as_array().and_then(|a| Tensor::from_array(a).ok()) else {
        return wrong(unfit);
    };
    let ty = Type::Tensor(tensor.ty());
    if !fits(declared, &ty) {
        return wrong(format!("{unfit}; it is {}", type_text(m.old, &ty)));
    }
    let shape = |ty: &Type| ty.as_tensor().map(|t| t.shape.clone()).unwrap_or_default();
    for (size, exact) in shape(declared).iter().zip(&shape(&ty)) {
        let (size, exact) = (replaced_dim(size, &m.bindings), exact.as_known().unwrap_or(0));
        if size.as_known().is_some_and(|s| s != exact) {
            return wrong(format!("{unfit} with the other sizes that are fixed"));
        }
        // A size that is linear in one symbol says what the symbol is.
        let solve = |value| size.solve_for(value, &|_| None);
        match solve(exact) {
            Some((symbol, n)) if m.old.symbol_range(symbol).contains(n) => {
                m.bindings.insert(symbol, Dim::Known(n));
            }
            Some(_) => return wrong(unfit),
            None if size.eval(&|_| Some(1)).and_then(solve).is_some() => return wrong(unfit),
            None => {}
        }
    }
    Ok(tensor)
}

/// The error of a node that does not take its operands.
pub(super) fn invalid(
    module: &Module,
    m: &Making<'_>,
    node: &Node,
    message: &str,
) -> Box<Diagnostic> {
    let text = |v: ValueId| type_text(&module.functions[m.func], module.functions[m.func].ty(v));
    let operands: Vec<String> =
        node.inputs().filter_map(|v| m.values.get(&v)).map(|&v| text(v)).collect();
    Diagnostic::error("specialize", format!("with what is fixed, {message}"))
        .at_origin(module, node.origin)
        .help(format!("the operands would be {}", operands.join(", ")))
        .into()
}

pub(super) fn replaced_dim(dim: &Dim, bindings: &Bindings) -> Dim {
    dim.substitute(&mut |s| bindings.get(&s).cloned())
}

/// Makes a symbol that a node binds stand for a size that is known more exactly.
fn own_symbol(m: &mut Making<'_>, id: NodeId, size: &Dim, exact: &Dim) {
    let Some(symbol) = size.as_symbol() else { return };
    if exact.is_any() || m.binders.get(&symbol) != Some(&Binder::Node(id)) {
        return;
    }
    let mut itself = false;
    exact.symbols(&mut |s| itself |= s == symbol);
    // A size that its range excludes is left for the program to fail on.
    let range = m.old.symbol_range(symbol);
    if !itself && exact.as_known().is_none_or(|k| range.contains(k)) {
        m.bindings.entry(symbol).or_insert_with(|| exact.clone());
    }
}

fn own_symbols(m: &mut Making<'_>, id: NodeId, have: &Type, exact: &Type) {
    match (have, exact) {
        (Type::Tensor(h), Type::Tensor(e)) if h.rank() == e.rank() => {
            for (size, exact) in h.shape.iter().zip(&e.shape) {
                own_symbol(m, id, size, exact);
            }
        }
        (Type::Sequence(h), Type::Sequence(e)) | (Type::Optional(h), Type::Optional(e)) => {
            own_symbols(m, id, h, e);
        }
        _ => {}
    }
}

/// The inferred type with what only the declared one says.
fn merged(have: &Type, exact: Type) -> Type {
    let boxed = |h: &Type, e: Type| Box::new(merged(h, e));
    match (have, exact) {
        (_, Type::Unknown) => have.clone(),
        (Type::Tensor(h), Type::Unranked(d)) if h.dtype == d => have.clone(),
        (Type::Tensor(h), Type::Tensor(e)) if h.dtype == e.dtype && h.rank() == e.rank() => {
            let sizes = h.shape.iter().zip(&e.shape).map(|(h, e)| match (h, e) {
                (_, Dim::Any) | (Dim::Known(_), Dim::Expr(_)) => h.clone(),
                _ => e.clone(),
            });
            Type::tensor(e.dtype, sizes)
        }
        (Type::Sequence(h), Type::Sequence(e)) => Type::Sequence(boxed(h, *e)),
        (Type::Optional(h), Type::Optional(e)) => Type::Optional(boxed(h, *e)),
        (_, exact) => exact,
    }
}

/// The type without symbols: what is not a number is open.
fn closed(ty: &Type) -> Type {
    ty.map_dims(&mut |d| d.as_known().map_or(Dim::Any, Dim::Known))
}

/// The type of a parameter that is given a value whose type may say more.
pub(super) fn param_type(f: &mut Function, declared: &Type, given: &Type, stem: &str) -> Type {
    match (declared, given) {
        (Type::Tensor(d), Type::Tensor(g)) if d.rank() == g.rank() => {
            let sizes = d.shape.iter().zip(&g.shape);
            Type::tensor(
                d.dtype,
                sizes.map(|(d, g)| if g.as_known().is_some() { g.clone() } else { d.clone() }),
            )
        }
        (Type::Unknown | Type::Unranked(_), given) if given.refines(declared) => {
            let mut axis = 0;
            let mut name = |d: &Dim| {
                let hint = format!("{stem}_{axis}");
                axis += 1;
                match d {
                    Dim::Any => Dim::from(f.add_symbol(&hint, DimRange::NONNEG, None)),
                    d => d.clone(),
                }
            };
            match given {
                Type::Tensor(_) => given.map_dims(&mut name),
                other => other.clone(),
            }
        }
        _ => declared.clone(),
    }
}

/// Fills in what a payload says of values that are known now.
fn refresh(module: &Module, m: &mut Making<'_>, op: &mut Op, operands: &Operands) -> Outcome<()> {
    let f = &module.functions[m.func];
    match op {
        // A size that the program works out as -1 stands for what is left.
        Op::Reshape(r) if r.dims.contains(&Dim::Known(-1)) => {
            let x = operands.first().copied().flatten().and_then(|v| f.ty(v).as_tensor());
            if let Some(x) = x {
                r.dims = reshape_dims(&x.shape, &r.dims, true).map_err(broken)?;
            }
        }
        Op::Range(r) if r.size.is_none() => {
            let mut numbers = Vec::new();
            for value in operands.iter().flatten() {
                let array = m.known.array(module, f, *value);
                match array.as_ref().and_then(|a| a.to_i64s()).as_deref() {
                    Some([one]) => numbers.push(i128::from(*one)),
                    _ => return Ok(()),
                }
            }
            if let [start, limit, delta] = numbers[..]
                && delta != 0
            {
                let steps = (limit - start + delta - delta.signum()) / delta;
                r.size = i64::try_from(steps.max(0)).ok().map(Dim::Known);
            }
        }
        _ => {}
    }
    Ok(())
}
