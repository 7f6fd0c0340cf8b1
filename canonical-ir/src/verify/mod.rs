//! The verifier. All errors are collected; each has the label of the invariant it breaks.
//!
//! | label | invariant |
//! |---|---|
//! | `V1`  | every id is in range |
//! | `V2`  | every value in use has one definition, and it points back |
//! | `V3`  | a value is used after its definition, in the region that it belongs to |
//! | `V4`  | every region is the body of its function or belongs to exactly one node |
//! | `V5`  | operand and result counts fit the op's slots |
//! | `V6`  | result types refine what inference gives |
//! | `V7`  | inputs go with parameters, outputs with results; their names are unique |
//! | `V8`  | the bytes of a tensor are as many as its type says |
//! | `V9`  | symbols are in range, their names unique, their ranges not empty |
//! | `V10` | a call's operands and results fit the function; no function calls itself |
//! | `V11` | function names are unique; the entry exists |
//! | `V12` | at stage `Canonical` every type is ranked and nothing is opaque for want of knowledge |
//!
//! After `verify` the ids of the module may be used to index without checks: a writer or an
//! executor that takes a [`Verified`] does not panic on it.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::attr::AttrVisitor;
use crate::diag::Diagnostic;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{EntityId, FuncId, NodeId, RegionId, TensorId, ValueId};
use crate::infer::{InferError, infer};
use crate::module::{Def, Function, InputRole, Module, Node};
use crate::op::Op;
use crate::tensor::{Storage, Tensor};
use crate::types::Type;

#[cfg(test)]
mod tests;

/// Which types and ops are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// As read: unknown and unranked types are legal.
    Imported,
    /// Everything is ranked, axes are static.
    Canonical,
}

/// A module that passed [`verify`]; nothing else makes one.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'m> {
    module: &'m Module,
    stage: Stage,
}

impl<'m> Verified<'m> {
    /// The module.
    pub fn module(&self) -> &'m Module {
        self.module
    }
    /// The stage that it was verified for.
    pub fn stage(&self) -> Stage {
        self.stage
    }
}

/// Errors beyond this number are counted, not listed.
const MOST_ERRORS: usize = 100;

/// Checks a module against every invariant.
pub fn verify(module: &Module, stage: Stage) -> Result<Verified<'_>, Vec<Diagnostic>> {
    let mut v = Verifier { module, stage, errors: Vec::new(), more: 0 };
    v.module_level();
    for (id, f) in module.functions.iter() {
        FunctionVerifier {
            v: &mut v,
            id,
            f,
            state: FxHashMap::default(),
            owned: FxHashSet::default(),
        }
        .run();
    }
    v.calls();
    let Verifier { mut errors, more, .. } = v;
    if errors.is_empty() {
        return Ok(Verified { module, stage });
    }
    if more > 0 {
        errors.push(Diagnostic::error("verify", format!("and {more} more errors")));
    }
    Err(errors)
}

struct Verifier<'m> {
    module: &'m Module,
    stage: Stage,
    errors: Vec<Diagnostic>,
    more: usize,
}

impl Verifier<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(diagnostic);
        } else {
            self.more += 1;
        }
    }
    fn error(&mut self, label: &str, message: impl Into<String>) {
        self.push(Diagnostic::error(label, message));
    }

    fn module_level(&mut self) {
        if self.module.functions.get(self.module.entry).is_none() {
            self.error("V11", format!("the entry {} does not exist", self.module.entry));
        }
        let mut names = FxHashSet::default();
        for (id, f) in self.module.functions.iter() {
            if !names.insert(f.name.as_str()) {
                self.error("V11", format!("{id}: the name `{}` is taken", f.name));
            }
        }
        for (id, tensor) in self.module.tensors.iter() {
            if let Some(message) = tensor_error(tensor) {
                self.error("V8", format!("{id}: {message}"));
            }
        }
        let count = self.module.origins.len();
        for (id, origin) in self.module.origins.iter() {
            if let crate::module::Origin::Derived { from, .. } = origin
                && from.iter().any(|f| f.index() >= count || f.index() >= id.index())
            {
                self.error("V1", format!("{id} is derived from a later origin or from none"));
            }
        }
    }

    /// No function may reach itself through calls.
    fn calls(&mut self) {
        if !self.errors.is_empty() {
            return;
        }
        let mut callees: Vec<Vec<FuncId>> = Vec::with_capacity(self.module.functions.len());
        for f in self.module.functions.values() {
            let mut out = Vec::new();
            crate::visit::walk(f, &mut |_, n| {
                if let Op::Call(call) = &f.nodes[n].op {
                    out.push(call.function);
                }
            });
            out.sort_unstable();
            out.dedup();
            callees.push(out);
        }
        // Depth first; 1 is open, 2 is done.
        let mut state = vec![0u8; callees.len()];
        for start in 0..callees.len() {
            let mut stack = vec![(start, 0usize)];
            while let Some((func, next)) = stack.pop() {
                if state[func] == 2 {
                    continue;
                }
                state[func] = 1;
                let Some(callee) = callees[func].get(next) else {
                    state[func] = 2;
                    continue;
                };
                stack.push((func, next + 1));
                match state[callee.index()] {
                    0 => stack.push((callee.index(), 0)),
                    1 => {
                        self.error("V10", format!("function {callee} calls itself"));
                        return;
                    }
                    _ => {}
                }
            }
        }
    }
}

fn tensor_error(tensor: &Tensor) -> Option<String> {
    let Some(numel) = tensor.numel() else {
        return Some(format!("the shape {:?} overflows", tensor.dims));
    };
    let expected = tensor.dtype.byte_len(numel);
    let (found, expected) = match &tensor.storage {
        Storage::Strings(s) => {
            if tensor.dtype != DType::String {
                return Some(format!("strings cannot be {}", tensor.dtype));
            }
            (s.len() as u64, numel)
        }
        Storage::Bytes(b) => (b.len() as u64, expected?),
        Storage::Splat(b) => (b.len() as u64, tensor.dtype.byte_len(1)?),
        Storage::External { length, .. } => (*length, expected?),
    };
    if tensor.dtype == DType::String && !matches!(tensor.storage, Storage::Strings(_)) {
        return Some("strings are not stored as bytes".to_owned());
    }
    (found != expected).then(|| format!("there are {found} bytes or elements, not {expected}"))
}

struct FunctionVerifier<'v, 'm> {
    v: &'v mut Verifier<'m>,
    id: FuncId,
    f: &'m Function,
    /// The region in which each value that was defined so far may be used.
    state: FxHashMap<ValueId, RegionId>,
    owned: FxHashSet<RegionId>,
}

impl<'m> FunctionVerifier<'_, 'm> {
    fn run(&mut self) {
        self.signature();
        self.symbols();
        if self.f.regions.get(self.f.body).is_none() {
            self.error("V1", "there is no body");
            return;
        }
        self.owned.insert(self.f.body);
        // Regions are closed, so each can be checked by itself.
        let mut todo = vec![self.f.body];
        while let Some(region) = todo.pop() {
            todo.extend(self.region(region));
        }
    }

    fn error(&mut self, label: &str, message: impl std::fmt::Display) {
        let text = format!("function `{}`: {message}", self.f.name);
        self.v.error(label, text);
    }
    fn node_error(
        &mut self,
        label: &str,
        id: NodeId,
        node: &Node,
        message: impl std::fmt::Display,
    ) {
        let text = format!("{id} `{}`: {message}", node.op.name());
        let line = line(self.v.module, self.id, id);
        let d = Diagnostic::error(label, text).at_origin(self.v.module, node.origin).line(line);
        self.v.push(d);
    }

    fn signature(&mut self) {
        let Some(body) = self.f.regions.get(self.f.body) else { return };
        if self.f.inputs.len() != body.params.len() {
            self.error(
                "V7",
                format!("{} inputs for {} parameters", self.f.inputs.len(), body.params.len()),
            );
        }
        if self.f.outputs.len() != body.results.len() {
            self.error(
                "V7",
                format!("{} outputs for {} results", self.f.outputs.len(), body.results.len()),
            );
        }
        let mut names = FxHashSet::default();
        for input in &self.f.inputs {
            if !names.insert(input.name.as_str()) {
                self.error("V7", format!("two inputs are called `{}`", input.name));
            }
            let tensor = match input.role {
                InputRole::User { default, .. } => default,
                InputRole::Param(tensor) | InputRole::State(tensor) => tensor,
            };
            if tensor.is_some_and(|t| self.v.module.tensors.get(t).is_none()) {
                self.error("V1", format!("the tensor of input `{}` does not exist", input.name));
            }
        }
        names.clear();
        for output in &self.f.outputs {
            if !names.insert(output.name.as_str()) {
                self.error("V7", format!("two outputs are called `{}`", output.name));
            }
        }
    }

    fn symbols(&mut self) {
        let mut names = FxHashSet::default();
        for (id, symbol) in self.f.symbols.iter() {
            if !names.insert(symbol.name.as_str()) {
                self.error("V9", format!("two symbols are called `{}`", symbol.name));
            }
            if symbol.range.is_empty() {
                self.error("V9", format!("{id} `{}` has an empty range", symbol.name));
            }
        }
    }

    /// Checks a region and gives the regions of its nodes.
    fn region(&mut self, region: RegionId) -> Vec<RegionId> {
        let mut inner = Vec::new();
        let r = &self.f.regions[region];
        for (index, &param) in r.params.iter().enumerate() {
            let def = Def::Param { region, index: index as u32 };
            self.define(region, param, def, &format!("parameter {index} of {region}"));
        }
        for &id in &r.nodes {
            let Some(node) = self.f.nodes.get(id) else {
                self.error("V1", format!("{region} lists {id}, which does not exist"));
                continue;
            };
            self.node(region, id, node, &mut inner);
        }
        for &result in &r.results {
            if self.state.get(&result) != Some(&region) {
                self.error("V3", format!("{region} returns {result}, which it does not define"));
            }
        }
        inner
    }

    fn define(&mut self, region: RegionId, value: ValueId, def: Def, what: &str) {
        match self.f.values.get(value) {
            None => self.error("V1", format!("{what} is {value}, which does not exist")),
            Some(found) => {
                if found.def != def {
                    self.error(
                        "V2",
                        format!("{value} is defined as {what} but does not point back"),
                    );
                }
                if self.state.insert(value, region).is_some() {
                    self.error("V2", format!("{value} is defined twice"));
                }
                self.check_type(value, &found.ty);
            }
        }
    }

    fn check_type(&mut self, value: ValueId, ty: &Type) {
        let mut bad = None;
        ty.for_each_dim(&mut |d| {
            d.symbols(&mut |s| {
                if self.f.symbols.get(s).is_none() {
                    bad = Some(s);
                }
            });
        });
        if let Some(s) = bad {
            self.error("V9", format!("the type of {value} uses {s}, which does not exist"));
        }
        if let Type::Tensor(t) = ty
            && t.shape.iter().any(|d| d.as_known().is_some_and(|v| v < 0))
        {
            self.error("V6", format!("{value} has a negative size"));
        }
        if self.v.stage == Stage::Canonical && !ty.is_canonical() {
            self.error("V12", format!("the type of {value} is not known"));
        }
    }

    fn node(&mut self, region: RegionId, id: NodeId, node: &'m Node, inner: &mut Vec<RegionId>) {
        let info = node.op.info();
        let mut sound = true;
        for value in node.inputs() {
            match self.state.get(&value) {
                Some(found) if *found == region => {}
                Some(_) => {
                    self.node_error("V3", id, node, format!("{value} belongs to another region"));
                    sound = false;
                }
                None => {
                    self.node_error(
                        "V3",
                        id,
                        node,
                        format!("{value} is not defined before its use"),
                    );
                    sound = false;
                }
            }
        }
        sound &= self.references(id, node, inner);
        let (least, most) = info.operand_count();
        let given = node.operands.len();
        if given < least || most.is_some_and(|m| given > m) {
            self.node_error("V5", id, node, format!("it has {given} operands"));
            sound = false;
        }
        let (_, most) = info.result_count();
        if most.is_some_and(|m| node.results.len() > m) {
            self.node_error("V5", id, node, format!("it has {} results", node.results.len()));
            sound = false;
        }
        if sound {
            self.types(id, node);
        }
        for (index, result) in node.results.iter().enumerate() {
            if let Some(value) = result {
                let def = Def::Result { node: id, index: index as u32 };
                self.define(region, *value, def, &format!("result {index} of {id}"));
            }
        }
    }

    /// Checks what the payload refers to.
    fn references(&mut self, id: NodeId, node: &Node, inner: &mut Vec<RegionId>) -> bool {
        let mut refs = References::default();
        refs.collect(&node.op);
        let mut sound = true;
        for tensor in refs.tensors {
            if self.v.module.tensors.get(tensor).is_none() {
                self.node_error("V1", id, node, format!("there is no tensor {tensor}"));
                sound = false;
            }
        }
        for func in refs.funcs {
            if self.v.module.functions.get(func).is_none() {
                self.node_error("V1", id, node, format!("there is no function {func}"));
                sound = false;
            }
        }
        for r in refs.regions {
            if self.f.regions.get(r).is_none() {
                self.node_error("V1", id, node, format!("there is no region {r}"));
                sound = false;
            } else if !self.owned.insert(r) {
                self.node_error("V4", id, node, format!("the region {r} belongs to another node"));
                sound = false;
            } else {
                inner.push(r);
            }
        }
        if refs.symbols.iter().any(|s| self.f.symbols.get(*s).is_none()) {
            self.node_error("V9", id, node, "it uses a symbol that does not exist");
            sound = false;
        }
        if self.v.module.origins.get(node.origin).is_none() && node.origin.index() != 0 {
            self.node_error("V1", id, node, format!("there is no origin {}", node.origin));
        }
        sound
    }

    fn types(&mut self, id: NodeId, node: &Node) {
        if let Op::Call(call) = &node.op {
            self.call_types(id, node, call.function);
            return;
        }
        if let Op::Opaque(opaque) = &node.op {
            let captures = usize::try_from(opaque.captures).unwrap_or(usize::MAX);
            if captures > node.operands.len() {
                self.node_error("V5", id, node, "it has more captures than operands");
            }
            return;
        }
        match infer(self.v.module, self.f, &node.op, &node.operands) {
            Ok(types) => {
                for (index, result) in node.results.iter().enumerate() {
                    let Some(value) = result else { continue };
                    match (types.get(index), self.f.values.get(*value)) {
                        (Some(ty), Some(found)) if !agrees(&found.ty, ty) => {
                            let (found, ty) = (type_text(self.f, &found.ty), type_text(self.f, ty));
                            self.node_error(
                                "V6",
                                id,
                                node,
                                format!("{value} is {found} where inference gives {ty}"),
                            );
                        }
                        (None, _) => {
                            self.node_error("V5", id, node, format!("it has no result {index}"))
                        }
                        _ => {}
                    }
                }
            }
            Err(InferError::Unknown(_)) if self.v.stage == Stage::Imported => {}
            Err(InferError::Unknown(what)) => {
                self.node_error("V12", id, node, format!("the type of {what} is not known"));
            }
            Err(InferError::Invalid { label, message }) => {
                self.node_error(&label, id, node, message)
            }
        }
    }

    fn call_types(&mut self, id: NodeId, node: &Node, func: FuncId) {
        let callee = &self.v.module.functions[func];
        let Some(body) = callee.regions.get(callee.body) else { return };
        if node.operands.len() != body.params.len() || node.operands.iter().any(Option::is_none) {
            self.node_error(
                "V10",
                id,
                node,
                format!("{} operands for {} inputs", node.operands.len(), body.params.len()),
            );
            return;
        }
        for (operand, param) in node.inputs().zip(&body.params) {
            let (given, wanted) = (self.f.values.get(operand), callee.values.get(*param));
            if let (Some(given), Some(wanted)) = (given, wanted)
                && !same_kind(&given.ty, &wanted.ty)
            {
                self.node_error(
                    "V10",
                    id,
                    node,
                    format!("{operand} does not fit the function's input {param}"),
                );
            }
        }
        if node.results.len() > body.results.len() {
            self.node_error("V10", id, node, "it has more results than the function");
        }
        for (result, inner) in node.results.iter().zip(&body.results) {
            let given = result.and_then(|r| self.f.values.get(r));
            if let (Some(given), Some(made)) = (given, callee.values.get(*inner))
                && !same_kind(&given.ty, &made.ty)
            {
                self.node_error("V10", id, node, "a result does not fit the function's output");
            }
        }
    }
}

/// Whether a stored type agrees with an inferred one: it refines it, or differs only in how
/// a size is expressed (a stored number or symbol where inference gives an expression).
pub(crate) fn agrees(stored: &Type, inferred: &Type) -> bool {
    match (stored, inferred) {
        (Type::Tensor(a), Type::Tensor(b)) => {
            a.dtype == b.dtype
                && a.shape.len() == b.shape.len()
                && a.shape.iter().zip(&b.shape).all(|(x, y)| {
                    !matches!((x, y), (Dim::Known(p), Dim::Known(q)) if p != q)
                        && (*x != Dim::Any || *y == Dim::Any)
                })
        }
        (Type::Unranked(a), Type::Tensor(b)) => *a == b.dtype,
        (Type::Unknown, _) | (_, Type::Unknown) => true,
        (Type::Sequence(a), Type::Sequence(b)) | (Type::Optional(a), Type::Optional(b)) => {
            agrees_inside(a, b)
        }
        (Type::Map(k, a), Type::Map(l, b)) => k == l && agrees_inside(a, b),
        (a, b) => a.refines(b),
    }
}

/// The same inside a container, whose element sizes need not be known.
fn agrees_inside(stored: &Type, inferred: &Type) -> bool {
    match (stored, inferred) {
        (Type::Tensor(a), Type::Tensor(b)) => a.dtype == b.dtype,
        (a, b) if a.dtype().is_some() && b.dtype().is_some() => a.dtype() == b.dtype(),
        (a, b) => agrees(a, b),
    }
}

/// Whether a value of one type may be where the other is declared, sizes aside.
fn same_kind(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Tensor(x), Type::Tensor(y)) => x.dtype == y.dtype && x.shape.len() == y.shape.len(),
        (Type::Unknown, _) | (_, Type::Unknown) => true,
        (a, b) if a.dtype().is_some() && b.dtype().is_some() => a.dtype() == b.dtype(),
        (Type::Sequence(x), Type::Sequence(y)) | (Type::Optional(x), Type::Optional(y)) => {
            same_kind(x, y)
        }
        (Type::Map(k, x), Type::Map(l, y)) => k == l && same_kind(x, y),
        _ => false,
    }
}

#[derive(Default)]
struct References {
    regions: Vec<RegionId>,
    tensors: Vec<TensorId>,
    funcs: Vec<FuncId>,
    symbols: Vec<crate::entity::SymbolId>,
}

impl References {
    fn collect(&mut self, op: &Op) {
        if let Op::Constant(c) = op {
            self.tensors.push(c.tensor);
            return;
        }
        if op.info().fields.is_empty() {
            return;
        }
        for (_, mut attr) in op.attrs() {
            attr.visit_mut(self);
        }
    }
}

impl AttrVisitor for References {
    fn dim(&mut self, dim: &mut Dim) {
        dim.symbols(&mut |s| self.symbols.push(s));
    }
    fn tensor(&mut self, tensor: &mut TensorId) {
        self.tensors.push(*tensor);
    }
    fn region(&mut self, region: &mut RegionId) {
        self.regions.push(*region);
    }
    fn func(&mut self, func: &mut FuncId) {
        self.funcs.push(*func);
    }
}

/// A type in text.
pub fn type_text(f: &Function, ty: &Type) -> String {
    match ty {
        Type::Tensor(t) => {
            let dims: Vec<String> = t.shape.iter().map(|d| f.dim_text(d)).collect();
            format!("{}[{}]", t.dtype, dims.join(", "))
        }
        Type::Unranked(dtype) => format!("{dtype}[..]"),
        Type::Sequence(t) => format!("seq<{}>", type_text(f, t)),
        Type::Optional(t) => format!("opt<{}>", type_text(f, t)),
        Type::Map(k, t) => format!("map<{k}, {}>", type_text(f, t)),
        Type::Unknown => "?".to_owned(),
    }
}

/// A node in one line, for diagnostics about modules that may be wrong.
fn line(module: &Module, func: FuncId, id: NodeId) -> String {
    let f = &module.functions[func];
    let Some(node) = f.nodes.get(id) else { return id.to_string() };
    let list = |slots: &[Option<ValueId>]| {
        let text: Vec<String> =
            slots.iter().map(|v| v.map_or_else(|| "_".to_owned(), |v| typed(f, v))).collect();
        text.join(", ")
    };
    format!("{} = {}({})", list(&node.results), node.op.name(), list(&node.operands))
}

fn typed(f: &Function, value: ValueId) -> String {
    match f.values.get(value) {
        Some(v) => format!("{value}: {}", type_text(f, &v.ty)),
        None => value.to_string(),
    }
}
