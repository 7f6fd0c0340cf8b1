//! The only mutable access that a pass has to a module.
//!
//! [`Editor::sweep`] shows a pass every node in order, with operands that already name what
//! earlier rewrites put in their place. A pass rewrites the node at hand through its [`Site`]:
//! new nodes go before it, its results are taken over by other values, and what only it used
//! goes with it. A sweep takes time in proportion to the module and to what is rewritten.
//!
//! What stays consistent without the pass's doing: use counts, origins (new nodes get
//! [`crate::module::Origin::Derived`] from the nodes that they replace), names (a new value takes the name of
//! the one that it replaces), and notes. Notes of a replaced node and of its results move to
//! the node and values made for them by the same rewrite; where a value that was there before
//! takes over, they are dropped, since its own notes hold. Notes of removed nodes are dropped.

use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};

use super::mentions::{Mentions, Substitute};
use super::symbols::{Binder, binders};
use super::{PassCx, Rewrite, effects, place, text};
use crate::builder::{BuildError, Builder};
use crate::dim::{Dim, Range};
use crate::entity::{EntityId, FuncId, NodeId, OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::infer::control::Bindings;
use crate::module::{Def, Entity, Function, InputRole, Module, Node};
use crate::op::{Op, OpKind};
use crate::types::Type;
use crate::visit::{tensors_of, walk};

/// The kinds of ops whose payload can refer to tensors.
static MENTIONS_TENSORS: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let holds = |kind: &str| matches!(kind, "tensor" | "source_op");
    OpKind::ALL.iter().map(|k| k.info().fields.iter().any(|f| holds(f.kind))).collect()
});

fn tensors_in(op: &Op) -> smallvec::SmallVec<[TensorId; 2]> {
    if MENTIONS_TENSORS.get(op.kind() as usize).copied().unwrap_or(true) {
        tensors_of(op)
    } else {
        Default::default()
    }
}

/// How many places refer to each tensor.
#[derive(Debug, Default)]
struct TensorRefs(Vec<u32>);

impl TensorRefs {
    fn of(module: &Module) -> Self {
        let mut refs = Self(vec![0; module.tensors.len()]);
        for f in module.functions.values() {
            for input in &f.inputs {
                let tensor = match input.role {
                    InputRole::User { default, .. } => default,
                    InputRole::Param(t) | InputRole::State(t) => t,
                };
                tensor.into_iter().for_each(|t| refs.add(t));
            }
            walk(f, &mut |_, node| {
                tensors_in(&f.nodes[node].op).into_iter().for_each(|t| refs.add(t));
            });
        }
        refs
    }
    fn get(&self, tensor: TensorId) -> u32 {
        self.0.get(tensor.index()).copied().unwrap_or(0)
    }
    fn add(&mut self, tensor: TensorId) {
        if self.0.len() <= tensor.index() {
            self.0.resize(tensor.index() + 1, 0);
        }
        self.0[tensor.index()] += 1;
    }
    /// One reference less; whether it was the last one.
    fn drop_one(&mut self, tensor: TensorId) -> bool {
        match self.0.get_mut(tensor.index()) {
            Some(n) => {
                *n = n.saturating_sub(1);
                *n == 0
            }
            None => false,
        }
    }
}

fn bytes_of(module: &Module, tensor: TensorId) -> u64 {
    module.tensors.get(tensor).and_then(crate::tensor::Tensor::byte_len).unwrap_or(0)
}

/// What a sweep knows of the function that it is in.
struct State {
    func: FuncId,
    /// How often each value is used, by operands and by results of regions.
    uses: Vec<u32>,
    /// Nodes that were removed.
    dead: Vec<bool>,
    any_dead: bool,
    /// What gives each symbol its value.
    binders: FxHashMap<SymbolId, Binder>,
    /// Nodes that give a symbol its value.
    binds: FxHashSet<NodeId>,
    /// Sizes in the place of symbols whose node went.
    bindings: Bindings,
    /// Who mentions them.
    mentions: Mentions,
}

impl State {
    fn of(f: &Function, func: FuncId, regions: &[RegionId]) -> Self {
        let mut uses = vec![0u32; f.values.len()];
        let mut add = |v: ValueId| {
            if let Some(n) = uses.get_mut(v.index()) {
                *n += 1;
            }
        };
        for region in regions.iter().filter_map(|&r| f.regions.get(r)) {
            for &node in &region.nodes {
                f.nodes[node].inputs().for_each(&mut add);
            }
            region.results.iter().copied().for_each(&mut add);
        }
        let binders = binders(f);
        let binds = binders.values().filter_map(|b| match b {
            Binder::Node(n) => Some(*n),
            Binder::Param => None,
        });
        Self {
            func,
            uses,
            dead: vec![false; f.nodes.len()],
            any_dead: false,
            binds: binds.collect(),
            mentions: Mentions::of(f, regions, &binders),
            binders,
            bindings: Bindings::default(),
        }
    }
    fn uses(&self, v: ValueId) -> u32 {
        self.uses.get(v.index()).copied().unwrap_or(0)
    }
    fn use_mut(&mut self, v: ValueId) -> &mut u32 {
        if self.uses.len() <= v.index() {
            self.uses.resize(v.index() + 1, 0);
        }
        &mut self.uses[v.index()]
    }
    fn is_dead(&self, node: NodeId) -> bool {
        self.dead.get(node.index()).copied().unwrap_or(false)
    }
    fn kill(&mut self, node: NodeId) {
        if self.dead.len() <= node.index() {
            self.dead.resize(node.index() + 1, false);
        }
        self.dead[node.index()] = true;
        self.any_dead = true;
    }
}

/// The mutable access of a pass to a module.
pub struct Editor<'m> {
    module: &'m mut Module,
    tensors: TensorRefs,
}

/// The regions of a function that can be reached from its body, outer before inner.
pub fn reachable_regions(f: &Function) -> Vec<RegionId> {
    let mut found = vec![f.body];
    let mut next = 0;
    while let Some(&region) = found.get(next) {
        next += 1;
        for &node in f.regions.get(region).into_iter().flat_map(|r| &r.nodes) {
            found.extend(f.nodes[node].regions());
        }
    }
    found
}

impl<'m> Editor<'m> {
    /// Access to a module.
    pub fn new(module: &'m mut Module) -> Self {
        let tensors = TensorRefs::of(module);
        Self { module, tensors }
    }
    /// The module.
    pub fn module(&self) -> &Module {
        self.module
    }
    /// A function.
    pub fn func(&self, func: FuncId) -> &Function {
        &self.module.functions[func]
    }
    /// The functions.
    pub fn functions(&self) -> Vec<FuncId> {
        self.module.functions.ids().collect()
    }

    /// Shows every node of every reachable region to `visit`, in order, and gives the number of
    /// rewrites. Nodes that a rewrite adds are not shown in the same sweep.
    pub fn sweep(
        &mut self,
        pass: &'static str,
        cx: &mut PassCx,
        visit: &mut dyn FnMut(&mut Site<'_>, &mut PassCx),
    ) -> u64 {
        let start = cx.applied();
        for func in self.functions() {
            if cx.exhausted() {
                break;
            }
            let regions = reachable_regions(self.func(func));
            let mut state = State::of(self.func(func), func, &regions);
            for region in regions {
                self.sweep_region(pass, &mut state, region, cx, visit);
            }
        }
        cx.applied() - start
    }

    fn sweep_region(
        &mut self,
        pass: &'static str,
        state: &mut State,
        region: RegionId,
        cx: &mut PassCx,
        visit: &mut dyn FnMut(&mut Site<'_>, &mut PassCx),
    ) {
        let func = state.func;
        let nodes = match self.module.functions[func].regions.get_mut(region) {
            Some(r) => std::mem::take(&mut r.nodes),
            None => return,
        };
        self.module.functions[func].regions[region].nodes.reserve(nodes.len());
        let mut subst: FxHashMap<ValueId, ValueId> = FxHashMap::default();
        if !state.bindings.is_empty() {
            self.substitute_params(func, region, &state.bindings);
        }
        for node in nodes {
            if !state.bindings.is_empty() {
                self.substitute_in(func, node, &state.bindings);
            }
            if !subst.is_empty() {
                for operand in self.module.functions[func].nodes[node].operands.iter_mut().flatten()
                {
                    if let Some(&new) = subst.get(operand) {
                        *operand = new;
                    }
                }
            }
            let mut gone = false;
            if !cx.exhausted() {
                let mut site = Site {
                    module: &mut *self.module,
                    tensors: &mut self.tensors,
                    state: &mut *state,
                    subst: &mut subst,
                    pass,
                    region,
                    node,
                    gone: false,
                };
                visit(&mut site, cx);
                gone = site.gone;
            }
            if !gone {
                self.module.functions[func].regions[region].nodes.push(node);
            }
        }
        let r = &mut self.module.functions[func].regions[region];
        for result in &mut r.results {
            if let Some(&new) = subst.get(result) {
                *result = new;
            }
        }
        if state.any_dead {
            r.nodes.retain(|&n| !state.is_dead(n));
        }
    }

    /// Removes nodes from a region. The caller knows that nothing that stays uses them.
    pub(crate) fn remove_nodes(
        &mut self,
        func: FuncId,
        region: RegionId,
        gone: &FxHashSet<NodeId>,
    ) {
        for &node in gone {
            drop_notes(self.module, func, node);
        }
        self.module.functions[func].regions[region].nodes.retain(|n| !gone.contains(n));
    }
    /// Makes an optional result absent. The caller knows that it is not used.
    pub(crate) fn drop_result(&mut self, func: FuncId, node: NodeId, slot: usize) {
        let n = &mut self.module.functions[func].nodes[node];
        let old = n.results.get_mut(slot).and_then(Option::take);
        while n.results.last() == Some(&None) {
            n.results.pop();
        }
        if let Some(value) = old {
            self.module.notes.remove(&Entity::Value(func, value));
        }
    }
    /// Gives open sizes at the top level of a type fresh symbols.
    pub(crate) fn name_open(&mut self, func: FuncId, ty: &Type, hint: &str) -> Type {
        let f = &mut self.module.functions[func];
        match ty {
            Type::Tensor(_) => ty.map_dims(&mut |d| match d {
                Dim::Any => {
                    let why = Some(format!("size found by {hint}"));
                    Dim::from(f.add_symbol(hint, Range::NONNEG, why))
                }
                d => d.clone(),
            }),
            other => other.clone(),
        }
    }
    /// Gives a value a type that says at least as much as the one it has.
    pub(crate) fn refine(&mut self, func: FuncId, value: ValueId, ty: Type) {
        if let Some(v) = self.module.functions[func].values.get_mut(value) {
            v.ty = ty;
        }
    }
    /// Puts sizes in the place of symbols in a node's payload and result types.
    pub(crate) fn substitute_in(&mut self, func: FuncId, node: NodeId, bindings: &Bindings) {
        let f = &mut self.module.functions[func];
        let Some(n) = f.nodes.get_mut(node) else { return };
        let mut mentioned = false;
        super::symbols::of_op(&n.op, &mut |s| mentioned |= bindings.contains_key(&s));
        if mentioned {
            n.op.visit_attrs_mut(&mut Substitute(bindings));
        }
        for value in n.results.iter().flatten() {
            substitute_type(&mut f.values[*value].ty, bindings);
        }
    }
    /// The same in the types of a region's parameters.
    pub(crate) fn substitute_params(
        &mut self,
        func: FuncId,
        region: RegionId,
        bindings: &Bindings,
    ) {
        let f = &mut self.module.functions[func];
        let params = f.regions.get(region).map(|r| r.params.clone()).unwrap_or_default();
        for param in params {
            substitute_type(&mut f.values[param].ty, bindings);
        }
    }
    /// The first node, of those that mention the symbols, that would not verify with sizes in
    /// the place of symbols.
    pub(super) fn contradicted(
        &mut self,
        func: FuncId,
        mentions: &Mentions,
        sizes: [&Bindings; 2],
    ) -> Option<NodeId> {
        mentions.contradicted(self.module, func, sizes, &|_| false)
    }
    /// Narrows the range of a symbol.
    pub(crate) fn narrow(&mut self, func: FuncId, symbol: SymbolId, range: Range) {
        self.module.functions[func].symbols.set_range(symbol, range);
    }
}

fn substitute_type(ty: &mut Type, bindings: &Bindings) {
    let mut mentioned = false;
    super::symbols::of_type(ty, &mut |s| mentioned |= bindings.contains_key(&s));
    if mentioned {
        *ty = crate::infer::control::replaced(ty, bindings);
    }
}

fn drop_notes(module: &mut Module, func: FuncId, node: NodeId) {
    if module.notes.is_empty() {
        return;
    }
    module.notes.remove(&Entity::Node(func, node));
    for value in module.functions[func].nodes[node].results.iter().flatten() {
        module.notes.remove(&Entity::Value(func, *value));
    }
}

fn move_notes(module: &mut Module, from: Entity, to: Entity) {
    if let Some(notes) = module.notes.remove(&from) {
        let target = module.notes.entry(to).or_default();
        for (key, text) in notes {
            target.entry(key).or_insert(text);
        }
    }
}

/// One node during a sweep, and how it may be rewritten.
pub struct Site<'s> {
    module: &'s mut Module,
    tensors: &'s mut TensorRefs,
    state: &'s mut State,
    subst: &'s mut FxHashMap<ValueId, ValueId>,
    pass: &'static str,
    /// The region that the node is in.
    pub region: RegionId,
    /// The node.
    pub node: NodeId,
    gone: bool,
}

/// The new values of a node's results, by slot.
pub type NewResults = Result<Vec<Option<ValueId>>, BuildError>;

impl Site<'_> {
    /// The module.
    pub fn module(&self) -> &Module {
        self.module
    }
    /// The function's id.
    pub fn func(&self) -> FuncId {
        self.state.func
    }
    /// The function.
    pub fn f(&self) -> &Function {
        &self.module.functions[self.state.func]
    }
    /// The node.
    pub fn n(&self) -> &Node {
        &self.f().nodes[self.node]
    }
    /// The op.
    pub fn op(&self) -> &Op {
        &self.n().op
    }
    /// The operand in a slot.
    pub fn operand(&self, slot: usize) -> Option<ValueId> {
        self.n().operand(slot)
    }
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        self.f().ty(value)
    }
    /// How often a value is used.
    pub fn uses(&self, value: ValueId) -> u32 {
        self.state.uses(value)
    }
    /// Whether the node was rewritten.
    pub fn gone(&self) -> bool {
        self.gone
    }
    /// The node that makes a value.
    pub fn producer(&self, value: ValueId) -> Option<NodeId> {
        match self.f().values.get(value)?.def {
            Def::Result { node, .. } => Some(node),
            Def::Param { .. } => None,
        }
    }
    /// Whether a node gives a symbol its value.
    pub fn binds_symbols(&self, node: NodeId) -> bool {
        self.state.binds.contains(&node)
    }
    /// How many places refer to a tensor.
    pub fn tensor_refs(&self, tensor: TensorId) -> u32 {
        self.tensors.get(tensor)
    }
    /// Records that the node was left as it is.
    pub fn decline(&self, cx: &mut PassCx, why: impl Into<String>) {
        cx.decline(self.pass, why, self.module, self.state.func, self.node);
    }

    /// Lets values that are there already take over the results.
    pub fn forward(&mut self, cx: &mut PassCx, why: &'static str, to: &[Option<ValueId>]) -> bool {
        let to = to.to_vec();
        self.replace(cx, why, &[], |_| Ok(to))
    }
    /// Lets one value take over the only result.
    pub fn forward_one(&mut self, cx: &mut PassCx, why: &'static str, to: ValueId) -> bool {
        self.forward(cx, why, &[Some(to)])
    }
    /// Puts another op with these operands in the node's place; its first result takes over.
    pub fn become_op(
        &mut self,
        cx: &mut PassCx,
        why: &'static str,
        from: &[NodeId],
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
    ) -> bool {
        let op = op.into();
        self.replace(cx, why, from, |b| Ok(vec![Some(b.emit_opt(op, operands)?)]))
    }

    /// A node that would not verify if sizes became these: the program fails when it runs, and is
    /// left to do so.
    fn contradicted(&mut self, bound: &Bindings) -> Option<NodeId> {
        let state = &*self.state;
        let gone = |n: NodeId| n == self.node || state.is_dead(n);
        let sizes = [&state.bindings, bound];
        state.mentions.contradicted(self.module, state.func, sizes, &gone)
    }

    /// Adds nodes before this one and lets what `build` gives take over its results; `from`
    /// are the other nodes that the new ones stand for. Nothing is changed, and the answer is
    /// false, when the limit of rewrites is reached, when a node cannot be built, or when a
    /// type would say less than before.
    pub fn replace(
        &mut self,
        cx: &mut PassCx,
        why: &'static str,
        from: &[NodeId],
        build: impl FnOnce(&mut Builder<'_>) -> NewResults,
    ) -> bool {
        if self.gone || cx.exhausted() {
            return false;
        }
        let func = self.state.func;
        let origin = self.n().origin;
        let nodes_mark = self.f().regions[self.region].nodes.len();
        let values_mark = self.f().values.len();
        let symbols_mark = self.f().symbols.len();
        let mut b = Builder::new(self.module, func, self.region, origin);
        let built = build(&mut b);
        let accepted = match built {
            Err(e) => {
                self.decline(cx, e.to_string());
                None
            }
            Ok(new) => match self.settle_types(&new, values_mark, symbols_mark) {
                Ok(bound) => match self.contradicted(&bound) {
                    None => {
                        for (symbol, size) in &bound {
                            self.state.mentions.moved(*symbol, size);
                        }
                        self.state.bindings.extend(bound);
                        Some(new)
                    }
                    Some(node) => {
                        self.decline(cx, format!("{node} cannot have the sizes that follow"));
                        None
                    }
                },
                Err(why) => {
                    self.decline(cx, why);
                    None
                }
            },
        };
        let Some(new) = accepted else {
            self.module.functions[func].regions[self.region].nodes.truncate(nodes_mark);
            return false;
        };
        let fresh: Vec<NodeId> = self.f().regions[self.region].nodes[nodes_mark..].to_vec();
        let grown = self.adopt(&fresh, from, origin);
        let old = self.n().results.clone();
        for (slot, old) in old.iter().enumerate() {
            let (Some(old), Some(new)) = (*old, new.get(slot).copied().flatten()) else { continue };
            let uses = std::mem::take(self.state.use_mut(old));
            *self.state.use_mut(new) += uses;
            self.subst.insert(old, new);
            let f = &mut self.module.functions[func];
            if f.values[new].name.is_none() {
                f.values[new].name = f.values[old].name.clone();
            }
            if new.index() >= values_mark && !self.module.notes.is_empty() {
                move_notes(self.module, Entity::Value(func, old), Entity::Value(func, new));
            }
        }
        if let (Some(&last), false) = (fresh.last(), self.module.notes.is_empty()) {
            let (from, to) = (Entity::Node(func, self.node), Entity::Node(func, last));
            move_notes(self.module, from, to);
        }
        let (killed, freed) = self.remove();
        let (f, module) = (&self.module.functions[func], &*self.module);
        let pass = self.pass;
        cx.applied_one(|| Rewrite {
            number: 0,
            pass,
            reason: why,
            func: f.name.clone(),
            place: place(module, func, killed.first().copied().unwrap_or(NodeId(0))),
            before: killed.iter().rev().map(|&n| text::line(f, n)).collect(),
            after: fresh.iter().map(|&n| text::line(f, n)).collect(),
            bytes: i64::try_from(grown).unwrap_or(i64::MAX)
                - i64::try_from(freed).unwrap_or(i64::MAX),
        });
        true
    }

    /// Checks that new results say at least as much as old ones, and gives fresh values the
    /// old types where those say more. A size that only this node names may take another form;
    /// the answer is what to put in the place of such names.
    fn settle_types(
        &mut self,
        new: &[Option<ValueId>],
        values_mark: usize,
        symbols_mark: usize,
    ) -> Result<Bindings, String> {
        let func = self.state.func;
        let mut bound = Bindings::default();
        let mut settled = Vec::new();
        for (slot, old) in self.n().results.clone().into_iter().enumerate() {
            let Some(old) = old else { continue };
            let Some(value) = new.get(slot).copied().flatten() else {
                if self.uses(old) > 0 {
                    return Err(format!("result {slot} is used and has nothing in its place"));
                }
                continue;
            };
            let (have, want) = (self.ty(value), self.ty(old));
            if have.refines(want) {
                continue;
            }
            let (Type::Tensor(h), Type::Tensor(w)) = (have, want) else {
                return Err("the types differ".to_owned());
            };
            if h.dtype != w.dtype || h.rank() != w.rank() {
                return Err("the types differ".to_owned());
            }
            let fresh = value.index() >= values_mark;
            let mut shape = h.shape.clone();
            for (h, w) in shape.iter_mut().zip(&w.shape) {
                let open = h.is_any() || h.as_symbol().is_some_and(|s| s.index() >= symbols_mark);
                if h == w {
                    continue;
                } else if let (Some(symbol), false) = (self.own_symbol(w, h), open) {
                    match bound.insert(symbol, h.clone()) {
                        Some(other) if other != *h => return Err("the types differ".to_owned()),
                        _ => {}
                    }
                } else if fresh && (open || h.proves_eq(w, &|s| self.f().symbol_range(s))) {
                    *h = w.clone();
                } else {
                    return Err("the types differ".to_owned());
                }
            }
            settled.push((value, Type::tensor(h.dtype, shape)));
        }
        for (value, ty) in settled {
            self.module.functions[func].values[value].ty = ty;
        }
        Ok(bound)
    }

    /// The symbol that is this size, if the node binds it and another size may be it.
    fn own_symbol(&self, size: &Dim, other: &Dim) -> Option<SymbolId> {
        let symbol = size.as_symbol()?;
        let own = self.state.binders.get(&symbol) == Some(&Binder::Node(self.node));
        let range = self.f().symbol_range(symbol);
        let fits = other.as_known().is_none_or(|k| range.contains(k));
        let mut cyclic = false;
        other.symbols(&mut |s| cyclic |= s == symbol);
        (own && fits && !cyclic).then_some(symbol)
    }

    /// Counts what fresh nodes use, and gives them their origin; the bytes of new constants.
    fn adopt(&mut self, fresh: &[NodeId], from: &[NodeId], origin: OriginId) -> u64 {
        let func = self.state.func;
        if fresh.is_empty() {
            return 0;
        }
        let mut parents = vec![origin];
        for &node in from {
            let o = self.f().nodes[node].origin;
            if !parents.contains(&o) {
                parents.push(o);
            }
        }
        let origin = self.module.derive(self.pass, parents);
        let mut grown = 0;
        for &node in fresh {
            let n = &mut self.module.functions[func].nodes[node];
            n.origin = origin;
            let (inputs, tensors): (Vec<ValueId>, _) = (n.inputs().collect(), tensors_in(&n.op));
            inputs.into_iter().for_each(|v| *self.state.use_mut(v) += 1);
            for tensor in tensors {
                if self.tensors.get(tensor) == 0 {
                    grown += bytes_of(self.module, tensor);
                }
                self.tensors.add(tensor);
            }
        }
        grown
    }

    /// Takes the node out, and with it what nothing else uses. Gives the removed nodes, this
    /// one first, and the bytes of constants that are free now.
    fn remove(&mut self) -> (Vec<NodeId>, u64) {
        let func = self.state.func;
        self.gone = true;
        let mut killed = vec![self.node];
        let mut freed = 0;
        let mut next = 0;
        while let Some(&node) = killed.get(next) {
            next += 1;
            let n = &self.module.functions[func].nodes[node];
            let (inputs, tensors): (Vec<ValueId>, _) = (n.inputs().collect(), tensors_in(&n.op));
            for tensor in tensors {
                if self.tensors.drop_one(tensor) {
                    freed += bytes_of(self.module, tensor);
                }
            }
            for v in inputs {
                let uses = self.state.use_mut(v);
                *uses = uses.saturating_sub(1);
                if *uses > 0 {
                    continue;
                }
                let Some(p) = self.producer(v) else { continue };
                let unused = self.f().nodes[p].outputs().all(|r| self.uses(r) == 0);
                if unused
                    && !self.state.is_dead(p)
                    && p != self.node
                    && !self.binds_symbols(p)
                    && effects::removable(self.module, func, p)
                {
                    self.state.kill(p);
                    killed.push(p);
                }
            }
            drop_notes(self.module, func, node);
        }
        (killed, freed)
    }
}
