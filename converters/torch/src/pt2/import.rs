//! An exported graph into the hub: names, signature, nodes.

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::{ReadOptions, Report};
use airconv_ir::diag::Diagnostic;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::module::{ArgKindRole, Entity, InputRole, Module, Operands, Origin};
use airconv_ir::types::{TensorType, Type};
use rustc_hash::{FxHashMap, FxHashSet};

use super::outputs::Owned;
use super::payload::{Payloads, tensor_dtype};
use super::records::{
    Argument, ExportedProgram, Graph, InputSpec, Node, OptionalTensorArgument, SymBoolArgument,
    SymExpr, SymFloatArgument, SymInt, SymIntArgument, TensorArgument, TensorMeta,
};
use super::target::{has_rule, is_assertion, operator, saves_statistics, shown};
use super::{control, expr, uses};
use crate::common::schema::{Schema, schemas};
use crate::common::{dtype, opaque};
use crate::error::FileError;
use crate::import::alias::Handle;
use crate::import::arg::Arg;
use crate::import::call::Stop;
use crate::import::share::Layout;
use crate::import::{Importer, Item, NO_RULE};

/// What the names of a graph stand for.
pub(super) type Names = FxHashMap<String, Item>;

/// A program while it is read.
pub(super) struct GraphReader<'p> {
    pub imp: Importer,
    pub program: &'p ExportedProgram,
    payloads: &'p Payloads<'p>,
    /// From symbols of the program to sizes of the hub.
    symbols: BTreeMap<String, Dim>,
    /// Tensors of the program that are state: what it writes to.
    state: BTreeSet<String>,
    /// How often a tensor's type was found to differ from what the file says.
    mismatches: Vec<String>,
    /// The names that something besides an assertion uses, in the graphs that were begun.
    pub used: FxHashSet<&'p str>,
}

/// Reads a program. Parameters and buffers that it writes to are state; which ones these are is
/// seen by reading it once.
pub(super) fn import(
    program: &ExportedProgram,
    payloads: &Payloads<'_>,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, FileError> {
    let mut state = BTreeSet::new();
    loop {
        let mut reader = GraphReader {
            imp: Importer::new("main"),
            program,
            payloads,
            symbols: BTreeMap::new(),
            state: state.clone(),
            mismatches: Vec::new(),
            used: FxHashSet::default(),
        };
        reader.imp.strides_checked = true;
        let written = reader.program(options, report)?;
        if written.is_subset(&state) || report.has_errors() {
            if !reader.imp.report_unsupported(report) {
                reader.report_mismatches(report);
            }
            return Ok(reader.imp.module);
        }
        state.extend(written);
    }
}

impl<'p> GraphReader<'p> {
    /// Reads everything; gives the names of the parameters and buffers that are written to.
    fn program(
        &mut self,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<BTreeSet<String>, FileError> {
        let program = self.program;
        let graph = &program.graph_module.graph;
        self.check_size(graph, options)?;
        let mut names = Names::default();
        let owned = self.inputs(graph, &mut names)?;
        self.nodes(graph, &mut names);
        self.outputs(graph, &names, &owned, report)?;
        self.notes();
        let written = owned.into_iter().filter_map(|(name, input)| match input {
            Owned::Weight(handle) => self.imp.was_written(handle).then_some(name),
            Owned::State(_) | Owned::User(..) => None,
        });
        Ok(written.collect())
    }

    fn check_size(&self, graph: &Graph, options: &ReadOptions) -> Result<(), FileError> {
        match graph.nodes.len() as u64 > options.limits.nodes {
            true => Err(FileError::limit("", format!("there are {} nodes", graph.nodes.len()))),
            false => Ok(()),
        }
    }

    // Sizes.

    /// The size that a symbol of the program stands for.
    fn symbol(&mut self, name: &str) -> Dim {
        if let Some(dim) = self.symbols.get(name) {
            return dim.clone();
        }
        let range = self.range(name);
        let why = name.starts_with('u').then(|| "found when the program runs".to_owned());
        let dim = Dim::from(self.imp.function_mut().add_symbol(name, range, why));
        self.symbols.insert(name.to_owned(), dim.clone());
        dim
    }
    fn range(&self, name: &str) -> Range {
        match self.program.range_constraints.get(name) {
            Some(r) => Range { min: r.min_val, max: r.max_val },
            None => Range { min: None, max: None },
        }
    }
    /// An expression of sizes.
    pub(super) fn expression(&mut self, text: &str) -> Result<Dim, Stop> {
        expr::parse(text, &mut |name| self.symbol(name))
            .map_err(|why| Stop::Unsupported(format!("the size `{text}`: {why}")))
    }
    /// A size as it is written.
    pub(super) fn size(&mut self, size: &SymInt) -> Result<Dim, Stop> {
        match size {
            SymInt::AsInt(n) => Ok(Dim::Known(*n)),
            SymInt::AsExpr(e) => self.expression(&e.expr_str),
        }
    }
    /// The type of a tensor of the program.
    pub(super) fn tensor_type(&mut self, meta: &TensorMeta) -> Result<TensorType, Stop> {
        let dtype = tensor_dtype(meta).map_err(|e| Stop::Unsupported(e.message))?;
        let dims: Vec<Dim> = meta.sizes.iter().map(|s| self.size(s)).collect::<Result<_, _>>()?;
        match dims.iter().find_map(|d| d.as_known().filter(|n| *n < 0)) {
            Some(n) => Err(Stop::Invalid(format!("a size of {n}"))),
            None => Ok(TensorType::new(dtype, dims)),
        }
    }

    // Inputs.

    fn inputs(
        &mut self,
        graph: &'p Graph,
        names: &mut Names,
    ) -> Result<Vec<(String, Owned)>, FileError> {
        let specs = &self.program.graph_module.signature.input_specs;
        if specs.len() != graph.inputs.len() {
            return Err(FileError::malformed(
                "",
                format!("{} inputs have {} descriptions", graph.inputs.len(), specs.len()),
            ));
        }
        let mut owned = Vec::new();
        for (spec, input) in specs.iter().zip(&graph.inputs) {
            match spec {
                InputSpec::Parameter { arg, parameter_name } => {
                    owned.push(self.weight(
                        graph,
                        names,
                        &arg.name,
                        parameter_name,
                        "parameter",
                    )?);
                }
                InputSpec::Buffer { arg, buffer_name, persistent } => {
                    let kind = if *persistent { "buffer" } else { "non-persistent buffer" };
                    owned.push(self.weight(graph, names, &arg.name, buffer_name, kind)?);
                }
                InputSpec::TensorConstant { arg, tensor_constant_name } => {
                    let name = tensor_constant_name;
                    owned.push(self.weight(graph, names, &arg.name, name, "constant")?);
                }
                InputSpec::UserInput { .. } => self.user_input(graph, names, input, &mut owned)?,
                InputSpec::ConstantInput { name, value } => {
                    if let Ok(item) = self.argument(names, value) {
                        names.insert(name.clone(), item);
                    }
                }
                InputSpec::CustomObj { custom_obj_name, .. } => {
                    return Err(FileError::unsupported(
                        custom_obj_name.as_str(),
                        "objects of custom classes cannot be read",
                    ));
                }
                // It orders effects, of which none is left here.
                InputSpec::Token { .. } => {
                    if let Argument::AsTensor(token) = input {
                        names.insert(token.name.clone(), Arg::None);
                    }
                }
            }
        }
        Ok(owned)
    }

    /// A parameter, buffer or constant: a constant of the hub, or state if it is written to.
    fn weight(
        &mut self,
        graph: &'p Graph,
        names: &mut Names,
        arg: &str,
        name: &str,
        kind: &str,
    ) -> Result<(String, Owned), FileError> {
        let tensor = self.payloads.tensor(name)?;
        if let Some(meta) = graph.tensor_values.get(arg) {
            let declared = self.tensor_type(meta).map_err(|s| stopped(name, s))?;
            if declared != tensor.ty() {
                return Err(FileError::malformed(name, "it is stored with another type than used"));
            }
        }
        let handle = if self.state.contains(name) {
            let ty = Type::Tensor(tensor.ty());
            let id = self.imp.module.tensors.push(tensor);
            let role = InputRole::State(Some(id));
            let value = self.imp.function_mut().add_input(name, ty, role);
            self.note_value(value, kind);
            self.imp.fresh(value)
        } else {
            let handle = self.imp.constant(tensor, name);
            if let Ok(value) = self.imp.value(handle) {
                self.note_value(value, kind);
            }
            handle
        };
        if let Some(meta) = graph.tensor_values.get(arg) {
            self.lay_out(handle, meta);
        }
        names.insert(arg.to_owned(), Arg::Tensor(handle));
        let owned = match self.state.contains(name) {
            true => Owned::State(handle),
            false => Owned::Weight(handle),
        };
        Ok((name.to_owned(), owned))
    }

    fn note_value(&mut self, value: ValueId, kind: &str) {
        let about = Entity::Value(self.imp.func, value);
        self.imp.module.note(about, "torch.kind", kind);
    }

    fn user_input(
        &mut self,
        graph: &'p Graph,
        names: &mut Names,
        input: &Argument,
        owned: &mut Vec<(String, Owned)>,
    ) -> Result<(), FileError> {
        let (name, ty, kind) = match input {
            Argument::AsTensor(arg) => {
                let missing = || FileError::malformed(arg.name.as_str(), "it has no type");
                let meta = graph.tensor_values.get(&arg.name).ok_or_else(missing)?;
                let ty = self.tensor_type(meta).map_err(|s| stopped(&arg.name, s))?;
                (&arg.name, ty, ArgKindRole::Tensor)
            }
            Argument::AsSymInt(SymIntArgument::AsName(name)) => {
                (name, TensorType::scalar(DType::I64), ArgKindRole::Int)
            }
            Argument::AsSymFloat(SymFloatArgument::AsName(name)) => {
                (name, TensorType::scalar(DType::F64), ArgKindRole::Float)
            }
            // What is not a tensor was a constant when the program was traced.
            _ => return Ok(()),
        };
        let role = InputRole::User { default: None, kind };
        let f = self.imp.function_mut();
        let (index, value) = (f.inputs.len() as u32, f.add_input(name, Type::Tensor(ty), role));
        let handle = self.imp.fresh(value);
        if let Argument::AsTensor(arg) = input
            && let Some(meta) = graph.tensor_values.get(&arg.name)
        {
            self.lay_out(handle, meta);
        }
        let item = match kind {
            ArgKindRole::Int => {
                let dim = match graph.sym_int_values.get(name) {
                    Some(size) => self.size(size).map_err(|s| stopped(name, s))?,
                    None => self.symbol(name),
                };
                self.imp.bind(value, &dim).map_err(|s| stopped(name, s))?;
                Arg::Int(dim)
            }
            ArgKindRole::Float => Arg::Number(handle),
            _ => {
                owned.push((name.clone(), Owned::User(handle, index)));
                Arg::Tensor(handle)
            }
        };
        names.insert(name.clone(), item);
        Ok(())
    }

    // Arguments.

    /// The item of a name.
    fn named(&self, names: &Names, name: &str) -> Result<Item, Stop> {
        let unknown = || Stop::Invalid(format!("`{name}` is not defined"));
        names.get(name).cloned().ok_or_else(unknown)
    }

    /// An argument as an item.
    pub(super) fn argument(&mut self, names: &Names, arg: &Argument) -> Result<Item, Stop> {
        let sym_int = |reader: &Self, arg: &SymIntArgument| match arg {
            SymIntArgument::AsInt(n) => Ok(Arg::Int((*n).into())),
            SymIntArgument::AsName(name) => reader.named(names, name),
        };
        let sym_float = |reader: &Self, arg: &SymFloatArgument| match arg {
            SymFloatArgument::AsFloat(v) => Ok(Arg::Float(v.0)),
            SymFloatArgument::AsName(name) => reader.named(names, name),
        };
        let sym_bool = |reader: &Self, arg: &SymBoolArgument| match arg {
            SymBoolArgument::AsBool(b) => Ok(Arg::Bool(*b)),
            SymBoolArgument::AsName(name) => reader.named(names, name),
        };
        let optional = |reader: &Self, arg: &OptionalTensorArgument| match arg {
            OptionalTensorArgument::AsTensor(t) => reader.named(names, &t.name),
            OptionalTensorArgument::AsNone(_) => Ok(Arg::None),
        };
        Ok(match arg {
            Argument::AsNone(_) => Arg::None,
            Argument::AsTensor(t) => self.named(names, &t.name)?,
            Argument::AsTensors(list) => list_of(list, |t| self.named(names, &t.name))?,
            Argument::AsOptionalTensor(t) => optional(self, t)?,
            Argument::AsOptionalTensors(list) => list_of(list, |t| optional(self, t))?,
            Argument::AsInt(n) => Arg::Int((*n).into()),
            Argument::AsInts(list) => list_of(list, |n| Ok(Arg::Int((*n).into())))?,
            Argument::AsFloat(v) => Arg::Float(v.0),
            Argument::AsFloats(list) => list_of(list, |v| Ok(Arg::Float(v.0)))?,
            Argument::AsBool(b) => Arg::Bool(*b),
            Argument::AsBools(list) => list_of(list, |b| Ok(Arg::Bool(*b)))?,
            Argument::AsString(text) => Arg::Str(text.as_str().into()),
            Argument::AsStrings(list) => list_of(list, |t| Ok(Arg::Str(t.as_str().into())))?,
            Argument::AsSymInt(s) => sym_int(self, s)?,
            Argument::AsSymInts(list) => list_of(list, |s| sym_int(self, s))?,
            Argument::AsSymFloat(s) => sym_float(self, s)?,
            Argument::AsSymFloats(list) => list_of(list, |s| sym_float(self, s))?,
            Argument::AsComplex(c) => Arg::Complex(c.real.0, c.imag.0),
            Argument::AsScalarType(number) => match dtype::from_export(*number) {
                Some(dtype) => Arg::DType(dtype),
                None => return Err(Stop::Unsupported(format!("the dtype of number {number}"))),
            },
            Argument::AsMemoryFormat(2 | 3) => Arg::ChannelsLast,
            Argument::AsDevice(_) | Argument::AsLayout(_) | Argument::AsMemoryFormat(_) => {
                Arg::Placement
            }
            Argument::AsIntLists(lists) => {
                list_of(lists, |l| list_of(l, |n| Ok(Arg::Int((*n).into()))))?
            }
            Argument::AsFloatLists(lists) => {
                list_of(lists, |l| list_of(l, |v| Ok(Arg::Float(v.0))))?
            }
            Argument::AsNestedTensors(lists) => {
                list_of(lists, |l| list_of(l, |t| self.named(names, &t.name)))?
            }
            Argument::AsSymBool(b) => sym_bool(self, b)?,
            Argument::AsSymBools(list) => list_of(list, |b| sym_bool(self, b))?,
            Argument::AsGraph(_)
            | Argument::AsCustomObj(_)
            | Argument::AsOperator(_)
            | Argument::AsStringToArgument(_)
            | Argument::AsOpaqueObj(_) => {
                return Err(Stop::Unsupported(
                    "an argument that is no number or tensor".to_owned(),
                ));
            }
        })
    }

    // Nodes.

    /// Reads all nodes; what cannot be read is noted, and what depends on it left out.
    pub(super) fn nodes(&mut self, graph: &'p Graph, names: &mut Names) {
        uses::of_graph(graph, &mut self.used);
        for node in &graph.nodes {
            let before = self.imp.function().nodes.len();
            self.imp.origin = self.origin(node);
            if let Err(stop) = self.node(graph, node, names) {
                // An argument that is not there is the fault of a node before, but all operators
                // without a rule are named at once.
                let missing = node.inputs.iter().any(|a| is_missing(&a.arg, names));
                let follows = missing && self.imp.has_unsupported();
                if !follows || !has_rule(&node.target) {
                    let no_rule = Stop::Unsupported(NO_RULE.to_owned());
                    let stop = if follows { no_rule } else { stop };
                    let (Stop::Invalid(why) | Stop::Unsupported(why)) = &stop;
                    let place = node.name.clone().unwrap_or_default();
                    self.imp.note_unsupported(&shown(&node.target), why, &place);
                }
            }
            self.keep_metadata(node, before);
        }
        self.imp.origin = OriginId(0);
    }

    fn node(&mut self, graph: &'p Graph, node: &'p Node, names: &mut Names) -> Result<(), Stop> {
        if let Some(name) = node.target.strip_prefix("torch.ops.higher_order.") {
            return control::higher_order(self, name, graph, node, names);
        }
        let Some(target) = node.target.strip_prefix("torch.ops.") else {
            return self.python_function(graph, node, names);
        };
        if is_assertion(target) {
            return Ok(());
        }
        let (name, overload) = operator(target)
            .ok_or_else(|| Stop::Invalid(format!("`{target}` does not name an overload")))?;
        // The sizes of tensors are in the types.
        if name.starts_with("aten::sym_") {
            return self.python_function(graph, node, names);
        }
        let schema = schemas()
            .find(&name, overload)
            .ok_or_else(|| Stop::Unsupported("PyTorch 2.13 has no such operator".to_owned()))?;
        let mut args: Vec<Option<Item>> = vec![None; schema.params.len()];
        for input in &node.inputs {
            let position = schema.position(&input.name).ok_or_else(|| {
                Stop::Invalid(format!("the operator has no argument `{}`", input.name))
            })?;
            args[position] = Some(self.argument(names, &input.arg)?);
        }
        let args: Vec<Item> = args
            .into_iter()
            .zip(&schema.params)
            .map(|(arg, param)| arg.or_else(|| Arg::default_of(param)).unwrap_or(Arg::None))
            .collect();
        if name.contains("as_strided") {
            rows_in_order(graph, node)?;
        }
        let wanted: Vec<bool> = node.outputs.iter().map(|o| self.is_used(o)).collect();
        let results = match self.imp.call(schema, &args, Some(&wanted)) {
            Err(Stop::Unsupported(why)) => match self.kept(graph, node, schema, &args, &why)? {
                Some(results) => results,
                None => return Err(Stop::Unsupported(why)),
            },
            called => called?,
        };
        self.results(graph, node, results, names)
    }

    /// An operator that cannot be read as an opaque node of the types that the file states.
    /// `None` where it cannot be kept either.
    fn kept(
        &mut self,
        graph: &'p Graph,
        node: &'p Node,
        schema: &'static Schema,
        args: &[Item],
        why: &str,
    ) -> Result<Option<Vec<Item>>, Stop> {
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(arg.map(&mut |h| self.imp.value(*h))?);
        }
        let Some((op, operands)) = opaque::keep(schema, &values, why) else { return Ok(None) };
        let symbols = self.symbols.len();
        let mut types = Vec::new();
        let mut counts = Vec::new();
        for output in &node.outputs {
            let tensors: &[TensorArgument] = match output {
                Argument::AsTensor(t) => std::slice::from_ref(t),
                Argument::AsTensors(list) => list,
                _ => return Ok(None),
            };
            counts.push(matches!(output, Argument::AsTensors(_)).then_some(tensors.len()));
            for t in tensors {
                let Some(meta) = graph.tensor_values.get(&t.name) else { return Ok(None) };
                types.push(Some(Type::Tensor(self.tensor_type(meta)?)));
            }
        }
        // A size that nothing else tells would have no meaning.
        if self.symbols.len() != symbols || counts.len() != schema.returns.len() {
            return Ok(None);
        }
        let operands: Operands = operands.into_iter().map(Some).collect();
        let (region, origin) = (self.imp.region, self.imp.origin);
        let f = self.imp.function_mut();
        let id = f.add_node(region, op.into(), operands, types, origin);
        let results: Vec<ValueId> = f.nodes[id].outputs().collect();
        let mut items = results.into_iter().map(|v| Arg::Tensor(self.imp.fresh(v)));
        let item = |count: Option<usize>| match count {
            Some(n) => Some(Arg::List(items.by_ref().take(n).collect())),
            None => items.next(),
        };
        Ok(counts.into_iter().map(item).collect())
    }

    /// Whether something uses a result.
    fn is_used(&self, output: &Argument) -> bool {
        match output {
            Argument::AsTensor(t) => self.used.contains(t.name.as_str()),
            _ => true,
        }
    }

    /// Gives the results of a node their names.
    pub(super) fn results(
        &mut self,
        graph: &'p Graph,
        node: &'p Node,
        results: Vec<Item>,
        names: &mut Names,
    ) -> Result<(), Stop> {
        for (position, (output, item)) in node.outputs.iter().zip(results).enumerate() {
            match (output, item) {
                (Argument::AsTensor(t), item) => {
                    let item = match position > 0 && saves_statistics(&node.target) {
                        true => self.as_declared(graph, &t.name, item)?,
                        false => item,
                    };
                    self.define(graph, names, &t.name, item)?;
                }
                (Argument::AsTensors(list), Arg::List(items)) => {
                    if list.len() != items.len() {
                        return Err(Stop::Invalid(format!(
                            "{} results have {} names",
                            items.len(),
                            list.len()
                        )));
                    }
                    for (t, item) in list.iter().zip(items) {
                        self.define(graph, names, &t.name, item)?;
                    }
                }
                (Argument::AsSymInt(SymIntArgument::AsName(name)), item) => {
                    self.define_int(graph, names, name, item)?;
                }
                (Argument::AsSymFloat(SymFloatArgument::AsName(name)), item)
                | (Argument::AsSymBool(SymBoolArgument::AsName(name)), item) => {
                    names.insert(name.clone(), item);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A float in the dtype that the file states: which one statistics are saved in differs
    /// between devices.
    fn as_declared(&mut self, graph: &Graph, name: &str, item: Item) -> Result<Item, Stop> {
        let (Arg::Tensor(handle), Some(meta)) = (&item, graph.tensor_values.get(name)) else {
            return Ok(item);
        };
        let value = self.imp.value(*handle)?;
        let declared = tensor_dtype(meta).map_err(|e| Stop::Unsupported(e.message))?;
        let floats = [Some(declared), self.imp.function().ty(value).dtype()];
        if declared == DType::F64 || !floats.iter().all(|d| d.is_some_and(DType::is_float)) {
            return Ok(item);
        }
        let value = self.imp.builder().cast(value, declared)?;
        Ok(Arg::Tensor(self.imp.fresh(value)))
    }

    /// A tensor gets its name; its type is compared with what the file says.
    fn define(
        &mut self,
        graph: &'p Graph,
        names: &mut Names,
        name: &str,
        item: Item,
    ) -> Result<(), Stop> {
        if let Arg::Tensor(handle) | Arg::Number(handle) = item {
            let value = self.imp.value(handle)?;
            if let Some(meta) = graph.tensor_values.get(name) {
                self.compare(name, value, meta)?;
                self.lay_out(handle, meta);
            }
            self.imp.builder().name(value, name);
        }
        names.insert(name.to_owned(), item);
        Ok(())
    }

    /// An integer that is found at run time gets its name.
    fn define_int(
        &mut self,
        graph: &'p Graph,
        names: &mut Names,
        name: &str,
        item: Item,
    ) -> Result<(), Stop> {
        let found = match item {
            Arg::Int(dim) => dim,
            Arg::Number(handle) | Arg::Tensor(handle) => {
                let value = self.imp.value(handle)?;
                self.imp.dim_of_value(value)?
            }
            other => return Err(Stop::Invalid(format!("`{name}` is {}", other.kind()))),
        };
        if let Some(SymInt::AsExpr(SymExpr { expr_str, .. })) = graph.sym_int_values.get(name) {
            self.identify(expr_str, &found);
        }
        names.insert(name.to_owned(), Arg::Int(found));
        Ok(())
    }

    /// A symbol that stands for itself and is new is what was found.
    fn identify(&mut self, expression: &str, found: &Dim) {
        let Some(name) = lone_symbol(expression) else { return };
        if !self.symbols.contains_key(name) {
            let range = self.range(name);
            if let Some(symbol) = found.as_symbol() {
                let f = self.imp.function_mut();
                let narrowed = f.symbol_range(symbol).intersect(&range);
                if narrowed.is_empty() {
                    self.mismatches.push(format!("`{name}` cannot be in the range of the file"));
                    return;
                }
                f.symbols.set_range(symbol, narrowed);
            }
            self.symbols.insert(name.to_owned(), found.clone());
        }
    }

    /// Notes what the file says of how a tensor lies in memory, where that is known for all sizes.
    fn lay_out(&mut self, handle: Handle, meta: &TensorMeta) {
        let mut dims = |sizes: &[SymInt]| -> Vec<Option<Dim>> {
            sizes.iter().map(|size| self.size(size).ok()).collect()
        };
        let layout = Layout::of(&dims(&meta.sizes), &dims(&meta.strides));
        if layout != Layout::Unknown {
            self.imp.set_layout(handle, layout);
        }
    }

    /// Compares a type with what the file says of it. Sizes that are new there are identified
    /// with what was found here.
    fn compare(&mut self, name: &str, value: ValueId, meta: &TensorMeta) -> Result<(), Stop> {
        let found = match self.imp.function().ty(value) {
            Type::Tensor(t) => t.clone(),
            _ => return Ok(()),
        };
        for (size, dim) in meta.sizes.iter().zip(&found.shape) {
            if let SymInt::AsExpr(e) = size {
                self.identify(&e.expr_str, dim);
            }
        }
        let dtype = tensor_dtype(meta).map_err(|e| Stop::Unsupported(e.message))?;
        // What cannot be expressed here is not compared.
        let dims: Vec<Dim> = meta.sizes.iter().map(|s| self.size(s).unwrap_or(Dim::Any)).collect();
        let declared = TensorType::new(dtype, dims);
        let f = self.imp.function();
        let range = |s| f.symbol_range(s);
        let differ = found.dtype != declared.dtype
            || found.rank() != declared.rank()
            || found.shape.iter().zip(&declared.shape).any(|(a, b)| a.proves_ne(b, &range));
        if differ {
            let text = |t: &TensorType| {
                let dims: Vec<String> = t.shape.iter().map(|d| f.dim_text(d)).collect();
                format!("{}[{}]", t.dtype, dims.join(", "))
            };
            self.mismatches.push(format!(
                "`{name}` is {} here and {} in the file",
                text(&found),
                text(&declared)
            ));
        }
        Ok(())
    }

    fn report_mismatches(&self, report: &mut Report) {
        for (_, symbol) in self.imp.function().symbols.iter() {
            if symbol.range.is_empty() {
                let message = format!("the size `{}` has an empty range", symbol.name);
                report.push(Diagnostic::error("torch-malformed", message));
            }
        }
        for message in &self.mismatches {
            report.push(Diagnostic::error("torch-type", message.clone()));
        }
    }

    // Where things come from.

    fn origin(&mut self, node: &Node) -> OriginId {
        let path = node.metadata.get("nn_module_stack").map_or("", |stack| module_path(stack));
        let origin = Origin::Source {
            format: "torch".into(),
            path: path.into(),
            name: node.name.as_deref().unwrap_or("").into(),
            op: shown(&node.target).into(),
        };
        self.imp.module.origins.push(origin)
    }

    /// Keeps what the file says about a node with the first hub node that it became.
    fn keep_metadata(&mut self, node: &Node, before: usize) {
        let f = self.imp.function();
        if f.nodes.len() == before {
            return;
        }
        let about = Entity::Node(self.imp.func, airconv_ir::entity::NodeId(before as u32));
        for key in ["stack_trace", "nn_module_stack"] {
            if let Some(text) = node.metadata.get(key) {
                self.imp.module.note(about, &format!("torch.{key}"), text.as_str());
            }
        }
    }
}

fn list_of<T>(items: &[T], f: impl FnMut(&T) -> Result<Item, Stop>) -> Result<Item, Stop> {
    items.iter().map(f).collect::<Result<Vec<_>, _>>().map(Arg::List)
}

fn stopped(place: &str, stop: Stop) -> FileError {
    match stop {
        Stop::Invalid(why) => FileError::malformed(place, why),
        Stop::Unsupported(why) => FileError::unsupported(place, why),
    }
}

/// Whether an argument names something that was not read.
fn is_missing(arg: &Argument, names: &Names) -> bool {
    let gone = |name: &String| !names.contains_key(name);
    match arg {
        Argument::AsTensor(t) => gone(&t.name),
        Argument::AsTensors(list) => list.iter().any(|t| gone(&t.name)),
        Argument::AsOptionalTensors(list) => list.iter().any(|t| match t {
            OptionalTensorArgument::AsTensor(t) => gone(&t.name),
            OptionalTensorArgument::AsNone(_) => false,
        }),
        Argument::AsSymInt(SymIntArgument::AsName(name)) => gone(name),
        Argument::AsSymFloat(SymFloatArgument::AsName(name)) => gone(name),
        Argument::AsSymInts(list) => list.iter().any(|s| match s {
            SymIntArgument::AsName(name) => gone(name),
            SymIntArgument::AsInt(_) => false,
        }),
        _ => false,
    }
}

/// Whether the operand of an operator that goes by memory lies in row-major order from the start
/// of its storage, as values do here.
fn rows_in_order(graph: &Graph, node: &Node) -> Result<(), Stop> {
    let operand = node.inputs.first().map(|input| &input.arg);
    let Some(Argument::AsTensor(operand)) = operand else { return Ok(()) };
    let Some(meta) = graph.tensor_values.get(&operand.name) else { return Ok(()) };
    let known = |sizes: &[SymInt]| -> Vec<_> { sizes.iter().map(known_size).collect() };
    let layout = Layout::of(&known(&meta.sizes), &known(&meta.strides));
    let from_start = known_size(&meta.storage_offset) == Some(Dim::Known(0));
    match from_start && layout == Layout::Rows {
        true => Ok(()),
        false => Err(Stop::Unsupported(
            "its operand does not lie in row-major order, or is a part of another tensor"
                .to_owned(),
        )),
    }
}

fn known_size(size: &SymInt) -> Option<Dim> {
    match size {
        SymInt::AsInt(n) => Some(Dim::Known(*n)),
        SymInt::AsExpr(_) => None,
    }
}

/// The path of the innermost module: entries are `KEY,PATH,CLASS`, separated by `;`.
fn module_path(stack: &str) -> &str {
    let last = stack.rsplit(';').next().unwrap_or("");
    last.split(',').nth(1).unwrap_or("")
}

/// The name in `Symbol('NAME', ...)`.
fn lone_symbol(expression: &str) -> Option<&str> {
    let inner = expression.strip_prefix("Symbol('")?;
    let (name, rest) = inner.split_once('\'')?;
    (rest.matches(')').count() == 1 && rest.ends_with(')')).then_some(name)
}
