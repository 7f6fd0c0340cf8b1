//! Functions into graphs: values, stored tensors, nodes in order, inputs and outputs.

use std::borrow::Cow;

use airconv_api::inline::{calls_functions, inline_calls};
use airconv_api::legalize::legalize;
use airconv_api::{Diagnostic, Failed, Report};
use airconv_ir::array::Scalar;
use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, NodeId, RegionId, TensorId, ValueId};
use airconv_ir::module::{
    ArgKindRole, Def, Entity, Function, InputRole, Module, Node, Origin, OutputRole,
};
use airconv_ir::op::{Broadcast, Op};
use airconv_ir::tensor::{Storage, Tensor};
use airconv_ir::types::{TensorType, Type};
use airconv_ir::verify::{Stage, Verified, verify};
use rustc_hash::FxHashMap;

use super::cx::{ExportCx, Refuse};
use super::names::{Names, Qualified, name_calls};
use super::program::{
    Arg, Call, Graph, Input, Kind, Metadata, Output, Program, Returned, Stored, StoredKind, Target,
    Var, VarInfo,
};
use super::rules;
use super::shared::keep_apart;
use super::tidy::{drop_unused, join_biases};
use crate::common::dtype;
use crate::common::opaque::FORMAT;

/// A tensor of another source with more elements than this is a parameter or buffer.
const SMALL: u64 = 16;

/// A graph being filled.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) calls: Vec<Call>,
    vars: FxHashMap<ValueId, Var>,
    /// Stored tensors that a nested graph is given.
    stored: FxHashMap<TensorId, Var>,
    /// Sizes at hand.
    pub(super) sizes: FxHashMap<Dim, Var>,
    /// Axes that have a size.
    pub(super) places: FxHashMap<Dim, (Var, usize)>,
}

/// The state of writing one function.
pub(super) struct Exporter<'m> {
    pub(super) module: &'m Module,
    func: FuncId,
    pub(super) scopes: Vec<Scope>,
    vars: Vec<Draft>,
    stored: Vec<(Var, Stored)>,
    qualified: Qualified,
    graphs: usize,
    /// The node being written.
    pub(super) node: Option<NodeId>,
    /// Whether rules are only asked whether they would write.
    pub(super) probe: bool,
    /// What is lost, by name and message.
    pub(super) lossy: Vec<(&'static str, String)>,
    /// What has another form, by name and message.
    pub(super) structural: Vec<(&'static str, String)>,
}

/// A value without its final name.
struct Draft {
    kind: Kind,
    /// What its name is like.
    like: String,
    /// Whether the name is the source's.
    own: bool,
}

/// Writes a module as a program. All that cannot be written is reported at once.
pub fn export(verified: &Verified<'_>, report: &mut Report) -> Result<Program, Failed> {
    let whole = without_calls(verified.module(), report)?;
    let legal = legalize(&whole, report, |module, func, node| {
        if func != module.entry {
            // What called it has it in its place.
            return Ok(());
        }
        let mut ex = Exporter::new(module, func);
        ex.probe = true;
        ex.write(node).map_err(|r| r.0)
    })?;
    if let Err(errors) = verify(&legal, Stage::Imported) {
        report.diagnostics.extend(errors);
        return Err(Failed::Unsupported);
    }
    let mut ex = Exporter::new(&legal, legal.entry);
    let program = ex.program(report);
    for (name, message) in std::mem::take(&mut ex.lossy) {
        report.lossy(name, &message, "");
    }
    for (name, message) in std::mem::take(&mut ex.structural) {
        report.structural(name, &message, "");
    }
    program.filter(|_| !report.has_errors()).ok_or(Failed::Unsupported)
}

/// The module with the functions that it calls in the place of the calls.
fn without_calls<'m>(module: &'m Module, report: &mut Report) -> Result<Cow<'m, Module>, Failed> {
    if !calls_functions(module) {
        return Ok(Cow::Borrowed(module));
    }
    let mut whole = module.clone();
    inline_calls(&mut whole).map_err(|why| {
        report.error("target-op", format!("a call of a function cannot be written: {why}"));
        Failed::Unsupported
    })?;
    report.structural("inlined", "functions stand where they were called", "");
    Ok(Cow::Owned(whole))
}

impl<'m> Exporter<'m> {
    fn new(module: &'m Module, func: FuncId) -> Self {
        Self {
            module,
            func,
            scopes: vec![Scope::default()],
            vars: Vec::new(),
            stored: Vec::new(),
            qualified: Qualified::default(),
            graphs: 0,
            node: None,
            probe: false,
            lossy: Vec::new(),
            structural: Vec::new(),
        }
    }
    pub(super) fn f(&self) -> &'m Function {
        &self.module.functions[self.func]
    }
    pub(super) fn scope(&mut self) -> &mut Scope {
        // There is always the scope of the function's body.
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    // Values.

    /// A new value.
    pub(super) fn var(&mut self, kind: Kind, like: &str) -> Var {
        self.vars.push(Draft { kind, like: like.to_owned(), own: false });
        Var(self.vars.len() as u32 - 1)
    }
    /// What a value is.
    pub(super) fn kind(&self, var: Var) -> &Kind {
        &self.vars[var.0 as usize].kind
    }
    /// The type of a tensor.
    pub(super) fn tensor_type(&self, var: Var) -> Result<TensorType, Refuse> {
        match self.kind(var) {
            Kind::Tensor(ty) => Ok(ty.clone()),
            Kind::Int(_) => Refuse::because("an integer stands where a tensor should"),
        }
    }
    /// The tensor type of a hub value.
    pub(super) fn value_type(&self, value: ValueId) -> Result<TensorType, Refuse> {
        match self.f().ty(value) {
            Type::Tensor(ty) => writable(ty),
            Type::Unranked(_) | Type::Unknown => {
                Refuse::because("the rank of a tensor is not known")
            }
            Type::Sequence(_) => Refuse::because("PyTorch programs have no sequences"),
            Type::Optional(_) | Type::Map(..) => {
                Refuse::because("PyTorch programs have no optional or map values")
            }
        }
    }
    /// What makes a value.
    pub(super) fn maker(&self, value: ValueId) -> Option<&'m Node> {
        let f = self.f();
        match f.values[value].def {
            Def::Result { node, .. } => Some(&f.nodes[node]),
            Def::Param { .. } => None,
        }
    }
    /// A value without the identities before it.
    pub(super) fn root(&self, mut value: ValueId) -> ValueId {
        while let Some(Node { op: Op::Identity(_), operands, .. }) = self.maker(value) {
            match operands.first().copied().flatten() {
                Some(x) => value = x,
                None => break,
            }
        }
        value
    }
    /// The operand of an implicit broadcast, else the value itself.
    pub(super) fn bare(&self, value: ValueId) -> ValueId {
        let value = self.root(value);
        match self.maker(value) {
            Some(Node {
                op: Op::Broadcast(Broadcast { implicit: true, .. }), operands, ..
            }) => operands.first().copied().flatten().map_or(value, |x| self.root(x)),
            _ => value,
        }
    }
    /// The tensor that a value is, if it is a constant.
    pub(super) fn constant_of(&self, value: ValueId) -> Option<(TensorId, &'m Tensor)> {
        match &self.maker(self.root(value))?.op {
            Op::Constant(c) => Some((c.tensor, self.module.tensors.get(c.tensor)?)),
            _ => None,
        }
    }
    /// The element of a constant of one element.
    pub(super) fn scalar_of(&self, value: ValueId) -> Option<Scalar> {
        let (_, tensor) = self.constant_of(value)?;
        if tensor.numel() != Some(1) {
            return None;
        }
        tensor.to_array().ok()?.get(0)
    }
    /// The sizes that a value consists of, if it is made of sizes, and whether it is a scalar.
    pub(super) fn sizes_of(&self, value: ValueId) -> Option<(Vec<Dim>, bool)> {
        let node = self.maker(self.root(value))?;
        let shape = |v: Option<ValueId>| self.f().ty(v?).as_tensor().map(|t| t.shape.clone());
        match &node.op {
            Op::DimValue(d) => Some((d.dims.clone(), d.scalar)),
            Op::ShapeOf(s) => {
                let shape = shape(node.operand(0))?;
                let end = s.end.map_or(shape.len(), |e| e as usize).min(shape.len());
                Some((shape.get(s.start as usize..end)?.to_vec(), false))
            }
            Op::Size(_) => Some((vec![numel(&shape(node.operand(0))?)], true)),
            _ => None,
        }
    }

    /// The value that stands for a hub value. Constants, sizes and implicit broadcasts are
    /// written when they are asked for.
    pub(super) fn var_of(&mut self, value: ValueId) -> Result<Var, Refuse> {
        let value = self.root(value);
        if let Some(&var) = self.scope().vars.get(&value) {
            return Ok(var);
        }
        let ty = self.value_type(value)?;
        let var = if let Some((id, _)) = self.constant_of(value) {
            self.constant(value, id)?
        } else if let Some((dims, scalar)) = self.sizes_of(value) {
            self.sizes_tensor(&dims, scalar)?
        } else if self.bare(value) != value {
            let x = self.var_of(self.bare(value))?;
            let mut cx = ExportCx::helper(self);
            cx.expand(x, &ty.shape)?
        } else if self.probe {
            self.fresh_tensor(ty, "probe")
        } else {
            return Refuse::because(format!("{value} is used before it is written"));
        };
        self.scope().vars.insert(value, var);
        Ok(var)
    }
    fn fresh_tensor(&mut self, ty: TensorType, like: &str) -> Var {
        let var = self.var(Kind::Tensor(ty), like);
        self.add_places(var);
        var
    }
    /// Makes a value stand for a hub value, whose type is the one that counts.
    pub(super) fn bind(&mut self, value: ValueId, var: Var) {
        if let (Ok(ty), Kind::Tensor(old)) = (self.value_type(value), self.kind(var))
            && old.rank() == ty.rank()
        {
            self.vars[var.0 as usize].kind = Kind::Tensor(ty);
        }
        self.scope().vars.insert(value, var);
        self.add_places(var);
    }
    /// Names a value after a hub value.
    fn name_after(&mut self, var: Var, value: ValueId) {
        let name = self.f().values[value].name.clone();
        let draft = &mut self.vars[var.0 as usize];
        if let Some(name) = name
            && !draft.own
            && !name.is_empty()
        {
            draft.like = name.to_string();
            draft.own = true;
        }
    }

    // Stored tensors.

    fn constant(&mut self, value: ValueId, id: TensorId) -> Result<Var, Refuse> {
        if let Some(&var) = self.scope().stored.get(&id) {
            return Ok(var);
        }
        let Some(tensor) = self.module.tensors.get(id) else {
            return Refuse::because(format!("there is no tensor {id}"));
        };
        if self.probe {
            return Ok(self.fresh_tensor(writable(&tensor.ty())?, "probe"));
        }
        if self.scopes.len() > 1 {
            return Refuse::because("a nested graph uses a tensor that it was not given");
        }
        self.store(value, tensor)
    }

    /// Makes a tensor an input of the program.
    fn store(&mut self, value: ValueId, tensor: &Tensor) -> Result<Var, Refuse> {
        let ty = writable(&tensor.ty())?;
        if let Storage::External { path, .. } = &tensor.storage {
            return Refuse::because(format!("the data in `{path}` has not been opened"));
        }
        let kind = self.stored_kind(value, tensor);
        if kind == StoredKind::Constant
            && let Some((var, _)) = self.stored.iter().find(|(_, s)| {
                s.kind == kind && s.tensor.numel() <= Some(SMALL) && s.tensor == *tensor
            })
        {
            return Ok(*var);
        }
        let own = self.f().values[value].name.clone();
        let name = match own.as_deref().filter(|n| !n.is_empty()) {
            Some(own) => self.qualified.fresh(own),
            None if kind == StoredKind::Constant => {
                self.qualified.fresh(&format!("lifted_tensor_{}", self.stored.len()))
            }
            None => self.qualified.fresh("weight"),
        };
        Ok(self.add_stored(Stored { kind, name, tensor: tensor.clone() }, ty))
    }
    fn add_stored(&mut self, stored: Stored, ty: TensorType) -> Var {
        let prefix = match stored.kind {
            StoredKind::Parameter => "p",
            StoredKind::Buffer | StoredKind::NonPersistentBuffer => "b",
            StoredKind::Constant => "c",
        };
        let like = format!("{prefix}_{}", stored.name);
        let var = self.fresh_tensor(ty, &like);
        self.stored.push((var, stored));
        var
    }
    fn stored_kind(&self, value: ValueId, tensor: &Tensor) -> StoredKind {
        match self.module.noted(Entity::Value(self.func, value), "torch.kind") {
            Some("parameter") => StoredKind::Parameter,
            Some("buffer") => StoredKind::Buffer,
            Some("non-persistent buffer") => StoredKind::NonPersistentBuffer,
            Some(_) => StoredKind::Constant,
            None if tensor.numel().is_some_and(|n| n <= SMALL) || tensor.dims.is_empty() => {
                StoredKind::Constant
            }
            None if tensor.dtype.is_float() && tensor.dtype.bits() >= 16 => StoredKind::Parameter,
            None => StoredKind::Buffer,
        }
    }

    // Nodes.

    /// Writes a node by its rule.
    fn write(&mut self, id: NodeId) -> Result<(), Refuse> {
        let node = &self.f().nodes[id];
        match &node.op {
            Op::Constant(_) | Op::DimValue(_) | Op::ShapeOf(_) | Op::Size(_) | Op::Identity(_) => {
                return Ok(());
            }
            Op::Broadcast(Broadcast { implicit: true, .. }) => return Ok(()),
            Op::DimsOf(d) => return self.learn_sizes(node, &d.dims),
            Op::Opaque(o) if o.source.format == FORMAT => {
                self.node = Some(id);
                return self.kept(node, o);
            }
            Op::Opaque(o) if o.reason.is_empty() => {
                return Refuse::because(format!("`{}` has no meaning here", o.source.full_name()));
            }
            Op::Opaque(o) => return Refuse::because(o.reason.clone()),
            Op::Call(_) => return Refuse::because("calls of functions cannot be written"),
            _ => {}
        }
        let Some(rule) = rules::find(node.op.kind()) else {
            return Refuse::because("there is no rule for it");
        };
        for result in node.outputs() {
            self.value_type(result)?;
        }
        self.node = Some(id);
        let before = self.vars.len();
        let results = (rule.write)(&mut ExportCx::new(self, node), &node.op)?;
        for (slot, value) in node.results.iter().enumerate() {
            let Some(value) = *value else { continue };
            let Some(var) = results.get(slot).copied().flatten() else {
                return Refuse::because(format!("result {slot} was not made"));
            };
            self.check_type(var, value)?;
            self.bind(value, var);
            if var.0 as usize >= before {
                self.name_after(var, value);
            }
        }
        Ok(())
    }

    /// A result that a rule gave another type than the op has is a mistake of the rule.
    fn check_type(&self, var: Var, value: ValueId) -> Result<(), Refuse> {
        let (made, declared) = (self.tensor_type(var)?, self.value_type(value)?);
        let range = |s| self.f().symbol_range(s);
        let differ = made.dtype != declared.dtype
            || made.rank() != declared.rank()
            || made.shape.iter().zip(&declared.shape).any(|(a, b)| a.proves_ne(b, &range));
        match differ {
            true => Refuse::because(format!("its result would be {made:?}, not {declared:?}")),
            false => Ok(()),
        }
    }

    /// Adds a call.
    pub(super) fn add_call(&mut self, target: Target, args: Vec<Arg>, results: Vec<Returned>) {
        let metadata = match self.probe {
            true => Metadata::default(),
            false => self.metadata(),
        };
        self.scope().calls.push(Call { target, args, results, name: String::new(), metadata });
    }
    fn metadata(&self) -> Metadata {
        let Some(node) = self.node else { return Metadata::default() };
        let about = Entity::Node(self.func, node);
        let note = |key| self.module.noted(about, key).map(str::to_owned);
        Metadata {
            stack_trace: note("torch.stack_trace"),
            nn_module_stack: note("torch.nn_module_stack"),
        }
    }
    /// What PyTorch called the operator that a node came from, `aten.embedding`; empty if it
    /// came from elsewhere.
    pub(super) fn torch_origin(&self, node: &Node) -> &'m str {
        match self.module.source_of(node.origin) {
            Some(Origin::Source { format, op, .. }) if &**format == "torch" => op,
            _ => "",
        }
    }

    // Graphs.

    /// The stored tensors that a region needs, in order.
    pub(super) fn constants_in(&self, region: RegionId, out: &mut Vec<(TensorId, ValueId)>) {
        let f = self.f();
        let Some(r) = f.regions.get(region) else { return };
        for &id in &r.nodes {
            let node = &f.nodes[id];
            if let (Op::Constant(c), Some(value)) = (&node.op, node.result(0))
                && out.iter().all(|(t, _)| *t != c.tensor)
            {
                out.push((c.tensor, value));
            }
            for inner in node.regions() {
                self.constants_in(inner, out);
            }
        }
    }
    /// The value of a stored tensor that a nested graph is to be given.
    pub(super) fn stored_var(&mut self, id: TensorId, value: ValueId) -> Result<Var, Refuse> {
        self.constant(value, id)
    }

    /// A nested graph of a region. Its inputs are like the operands; parameters are bound in
    /// order to the first of them, stored tensors to the rest.
    pub(super) fn nested(
        &mut self,
        name: &str,
        params: &[(Vec<ValueId>, TensorType)],
        stored: &[(TensorId, TensorType)],
        body: impl FnOnce(&mut Self, &[Var]) -> Result<Vec<Var>, Refuse>,
    ) -> Result<Graph, Refuse> {
        self.scopes.push(Scope::default());
        let mut inputs = Vec::new();
        for (values, ty) in params {
            let var = self.fresh_tensor(ty.clone(), "arg");
            for &value in values {
                self.scope().vars.insert(value, var);
            }
            inputs.push(var);
        }
        for (id, ty) in stored {
            let var = self.fresh_tensor(ty.clone(), "arg");
            self.scope().stored.insert(*id, var);
            inputs.push(var);
        }
        let outer = self.node;
        let results = body(self, &inputs);
        self.node = outer;
        let results = results.and_then(|results| self.fresh_results(results, &inputs));
        let scope = self.scopes.pop().unwrap_or_default();
        let name = format!("{name}_{}", self.graphs);
        self.graphs += 1;
        let outputs = results?.into_iter().map(Arg::Tensor).collect();
        Ok(Graph { name, inputs, calls: scope.calls, outputs })
    }
    /// Results of a nested graph are not its inputs, and none is there twice.
    fn fresh_results(&mut self, results: Vec<Var>, inputs: &[Var]) -> Result<Vec<Var>, Refuse> {
        let mut out: Vec<Var> = Vec::new();
        for var in results {
            let taken = inputs.contains(&var) || out.contains(&var);
            out.push(if taken { ExportCx::helper(self).clone_of(var)? } else { var });
        }
        Ok(out)
    }
    /// Writes the nodes of a region and gives its results.
    pub(super) fn fill(&mut self, region: RegionId) -> Result<Vec<Var>, Refuse> {
        let f = self.f();
        let Some(r) = f.regions.get(region) else {
            return Refuse::because(format!("there is no region {region}"));
        };
        for &id in &r.nodes {
            self.write(id)?;
        }
        r.results.iter().map(|&v| self.var_of(v)).collect()
    }

    // The program.

    fn program(&mut self, report: &mut Report) -> Option<Program> {
        let f = self.f();
        let users = self.inputs(report);
        for &id in &f.body().nodes {
            if let Err(Refuse(reason)) = self.write(id) {
                let node = &f.nodes[id];
                let message = format!("`{}` cannot be written: {reason}", node.op.name());
                let diagnostic = Diagnostic::error("target-op", message);
                report.push(diagnostic.at_origin(self.module, node.origin));
                self.stand_in(node);
            }
        }
        if report.has_errors() {
            return None;
        }
        let (outputs, roles) = self.outputs(report, &users)?;
        Some(self.assemble(users, outputs, roles))
    }

    /// Lets values stand for the results of a node that was refused, so that what comes after is
    /// not refused for that reason.
    fn stand_in(&mut self, node: &Node) {
        for value in node.outputs() {
            if let Ok(ty) = self.value_type(value) {
                let var = self.fresh_tensor(ty, "refused");
                self.bind(value, var);
            }
        }
    }

    /// Binds the inputs; gives those of the caller by position.
    fn inputs(&mut self, report: &mut Report) -> Vec<(Var, Input, Option<usize>)> {
        let f = self.f();
        let mut users = Vec::new();
        for (position, (input, &param)) in f.inputs.iter().zip(&f.body().params).enumerate() {
            let ty = match self.value_type(param) {
                Ok(ty) => ty,
                Err(Refuse(why)) => {
                    report.error("target-input", format!("input `{}`: {why}", input.name));
                    continue;
                }
            };
            match &input.role {
                InputRole::User { default: Some(_), .. } => report.lossy(
                    "torch-default",
                    &format!(
                        "input `{}` has to be given: PyTorch has no default tensors",
                        input.name
                    ),
                    "",
                ),
                InputRole::User { .. } => {}
                InputRole::Param(id) | InputRole::State(id) => {
                    self.stored_input(input, param, *id, ty, report);
                    continue;
                }
            }
            let InputRole::User { kind, .. } = input.role else { continue };
            let var = match kind {
                ArgKindRole::Int => self.int_input(&input.name, param),
                _ => self.fresh_tensor(ty, &input.name),
            };
            self.vars[var.0 as usize].own = true;
            if kind != ArgKindRole::Int {
                self.scope().vars.insert(param, var);
            }
            users.push((var, Input::User(kind), Some(position)));
        }
        users
    }
    /// An integer of the caller: the size that a `dims_of` node says it is.
    fn int_input(&mut self, name: &str, param: ValueId) -> Var {
        let f = self.f();
        let stated = f.body().nodes.iter().find_map(|&id| match &f.nodes[id] {
            Node { op: Op::DimsOf(d), operands, .. } if operands.first() == Some(&Some(param)) => {
                d.dims.first().cloned()
            }
            _ => None,
        });
        let dim = stated.unwrap_or(Dim::Any);
        let var = self.var(Kind::Int(dim.clone()), name);
        if !dim.is_any() {
            self.scope().sizes.insert(dim, var);
        }
        var
    }
    fn stored_input(
        &mut self,
        input: &airconv_ir::module::Input,
        param: ValueId,
        id: Option<TensorId>,
        ty: TensorType,
        report: &mut Report,
    ) {
        let Some(tensor) = id.and_then(|id| self.module.tensors.get(id)) else {
            report.error("target-input", format!("the numbers of `{}` are missing", input.name));
            return;
        };
        let noted = self.module.noted(Entity::Value(self.func, param), "torch.kind");
        let kind = match (noted, &input.role) {
            (Some("non-persistent buffer"), _) => StoredKind::NonPersistentBuffer,
            (Some("parameter"), _) => StoredKind::Parameter,
            (None, InputRole::Param(_)) if tensor.dtype.is_float() => StoredKind::Parameter,
            _ => StoredKind::Buffer,
        };
        let name = self.qualified.fresh(&input.name);
        let var = self.add_stored(Stored { kind, name, tensor: tensor.clone() }, ty);
        self.scope().vars.insert(param, var);
    }

    fn outputs(
        &mut self,
        report: &mut Report,
        users: &[(Var, Input, Option<usize>)],
    ) -> Option<(Vec<Arg>, Vec<Output>)> {
        let f = self.f();
        let (mut changed, mut given) = (Vec::new(), Vec::new());
        for (output, &value) in f.outputs.iter().zip(&f.body().results) {
            let role = match &output.role {
                OutputRole::User(ArgKindRole::Int) if self.sizes_of(value).is_some() => {
                    given.push((self.int_output(value), Output::User));
                    continue;
                }
                OutputRole::User(_) => Ok(Output::User),
                OutputRole::StateUpdate(name) => self.updated(name),
                OutputRole::InputUpdate(index) => users
                    .iter()
                    .position(|(_, _, at)| *at == Some(*index as usize))
                    .map(Output::InputMutation)
                    .ok_or_else(|| Refuse(format!("there is no input {index}"))),
            };
            let pair = role.and_then(|role| Ok((self.var_of(value)?, role)));
            match pair {
                Ok((var, Output::User)) => {
                    self.name_output(var, &output.name);
                    given.push((Ok(var.into()), Output::User));
                }
                Ok((var, role)) => changed.push((Ok(var.into()), role)),
                Err(Refuse(why)) => {
                    report.error("target-output", format!("output `{}`: {why}", output.name));
                }
            }
        }
        let mut args = Vec::new();
        let mut roles = Vec::new();
        for (arg, role) in changed.into_iter().chain(given) {
            match arg {
                Ok(arg) => args.push(arg),
                Err(Refuse(why)) => report.error("target-output", why),
            }
            roles.push(role);
        }
        (!report.has_errors()).then_some((args, roles))
    }
    fn int_output(&mut self, value: ValueId) -> Result<Arg, Refuse> {
        let dims = self.sizes_of(value).map(|(dims, _)| dims).unwrap_or_default();
        match dims.as_slice() {
            [one] => self.size(one),
            _ => Refuse::because("an integer is not one size"),
        }
    }
    fn updated(&self, name: &str) -> Result<Output, Refuse> {
        let f = self.f();
        let inputs = f.inputs.iter().zip(&f.body().params);
        let mut found = inputs.filter(|(i, _)| i.name == name);
        let param = found.next().map(|(_, &p)| p);
        let var = param.and_then(|p| self.scopes.first()?.vars.get(&p).copied());
        let stored = var.and_then(|v| self.stored.iter().find(|(s, _)| *s == v));
        match stored {
            Some((_, stored)) => Ok(Output::Mutation(stored.name.clone())),
            None => Refuse::because(format!("there is no state `{name}`")),
        }
    }
    /// A value that the program gives and that has no name of its own is named after the output.
    fn name_output(&mut self, var: Var, name: &str) {
        let draft = &mut self.vars[var.0 as usize];
        if !draft.own && !self.stored.iter().any(|(v, _)| *v == var) {
            draft.like = name.to_owned();
            draft.own = true;
        }
    }

    /// Puts the parts together: stored tensors come before the caller's, and everything gets its
    /// name.
    fn assemble(
        &mut self,
        users: Vec<(Var, Input, Option<usize>)>,
        outputs: Vec<Arg>,
        mut roles: Vec<Output>,
    ) -> Program {
        let mut stored = std::mem::take(&mut self.stored);
        stored.sort_by_key(|(_, s)| match s.kind {
            StoredKind::Parameter => 0,
            StoredKind::Buffer | StoredKind::NonPersistentBuffer => 1,
            StoredKind::Constant => 2,
        });
        let shift = stored.len();
        for role in &mut roles {
            if let Output::InputMutation(position) = role {
                *position += shift;
            }
        }
        let mut graph = Graph { outputs, ..Graph::default() };
        let mut inputs = Vec::new();
        for (var, stored) in stored {
            graph.inputs.push(var);
            inputs.push(Input::Stored(stored));
        }
        for (var, input, _) in users {
            graph.inputs.push(var);
            inputs.push(input);
        }
        graph.calls = std::mem::take(&mut self.scope().calls);
        drop_unused(&mut graph);
        join_biases(&mut graph, &|v| self.tensor_type(v).ok());
        let (first, rest): (Vec<usize>, Vec<usize>) =
            (0..self.vars.len()).partition(|&i| self.vars[i].own);
        let mut names = Names::default();
        let mut given = vec![String::new(); self.vars.len()];
        // Inputs keep their names, then what the source named.
        let inputs_first = graph.inputs.iter().map(|v| v.0 as usize).chain(first).chain(rest);
        for i in inputs_first {
            if given[i].is_empty() {
                given[i] = names.fresh(&self.vars[i].like);
            }
        }
        name_calls(&mut graph, &given, &mut names);
        let drafts = std::mem::take(&mut self.vars);
        let vars = drafts.into_iter().zip(given).map(|(d, name)| VarInfo { kind: d.kind, name });
        let notes = self.module.notes.get(&Entity::Module).cloned().unwrap_or_default();
        let mut program = Program {
            vars: vars.collect(),
            graph,
            inputs,
            outputs: roles,
            symbols: self.f().symbols.clone(),
            notes: notes.into_iter().filter(|(k, _)| k.starts_with("torch.")).collect(),
        };
        keep_apart(&mut program);
        program
    }
}

/// A type that PyTorch has.
pub(super) fn writable(ty: &TensorType) -> Result<TensorType, Refuse> {
    check_dtype(ty.dtype)?;
    match ty.shape.iter().any(Dim::is_any) {
        true => Refuse::because("a size of a tensor is not known"),
        false => Ok(ty.clone()),
    }
}

/// Refuses dtypes that PyTorch does not have.
pub(super) fn check_dtype(wanted: DType) -> Result<(), Refuse> {
    match dtype::to_export(wanted) {
        Some(_) => Ok(()),
        None => Refuse::because(format!("PyTorch has no {wanted}")),
    }
}
