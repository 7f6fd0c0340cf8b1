//! A program as the records of a `.pt2` file.

use std::collections::BTreeMap;

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::module::ArgKindRole;
use airconv_ir::types::TensorType;

use super::records::{
    Argument, Complex, Device, Double, ExportedProgram, Graph, GraphArgument, GraphModule,
    InputSpec, ModuleCall, ModuleCallSignature, NamedArgument, Node, OptionalTensorArgument,
    OutputSpec, SchemaVersion, Signature, SymInt, SymIntArgument, TensorArgument, TensorMeta,
};
use super::symbols::Symbols;
use crate::common::dtype;
use crate::common::schema::{Schema, Ty};
use crate::export::program::{
    self, Arg, Call, Input, IntOp, Kind, Output, Program, Returned, Stored, StoredKind, Target, Var,
};
use crate::import::arg::{Arg as Literal, strip_optional};

/// What is written; PyTorch 2.10 to 2.15 read it.
const SCHEMA: SchemaVersion = SchemaVersion { major: 8, minor: 20 };
/// The version of PyTorch whose operators are meant.
const TORCH: &str = "2.13.0";
/// The number of `torch.strided`.
const STRIDED: i64 = 7;
const POSITIONAL: Option<i64> = Some(1);
const KEYWORD: Option<i64> = Some(2);

/// Why a program has no form in the file, by the value or call concerned.
pub(super) type Emitted<T> = Result<T, String>;

struct Emitter<'p> {
    program: &'p Program,
    symbols: Symbols,
}

/// The records of a program.
pub(super) fn emit(program: &Program) -> Emitted<ExportedProgram> {
    let emitter = Emitter { program, symbols: Symbols::of(program) };
    let graph = emitter.graph(&program.graph, false)?;
    Ok(ExportedProgram {
        graph_module: GraphModule {
            graph,
            signature: emitter.signature()?,
            module_call_graph: vec![emitter.call_signature()],
            metadata: BTreeMap::new(),
            treespec_namedtuple_fields: BTreeMap::new(),
        },
        opset_version: BTreeMap::from([("aten".to_owned(), 10)]),
        range_constraints: emitter.symbols.ranges(),
        schema_version: SCHEMA,
        verifiers: vec!["TRAINING".to_owned()],
        torch_version: TORCH.to_owned(),
        guards_code: Vec::new(),
    })
}

/// The description of a row-major tensor of known or unknown sizes.
fn tensor_meta(sizes: Vec<SymInt>, strides: Vec<SymInt>, dtype: i64, grad: bool) -> TensorMeta {
    TensorMeta {
        dtype,
        sizes,
        requires_grad: grad,
        device: Device { r#type: "cpu".to_owned(), index: None },
        strides,
        storage_offset: SymInt::AsInt(0),
        layout: STRIDED,
    }
}

/// The strides of a row-major tensor.
fn strides(shape: &[Dim]) -> Vec<Dim> {
    let mut step = Dim::Known(1);
    let mut out: Vec<Dim> = shape
        .iter()
        .rev()
        .map(|size| {
            let own = step.clone();
            // An axis of size 0 counts as one of size 1.
            if *size != Dim::Known(0) {
                step = &step * size;
            }
            own
        })
        .collect();
    out.reverse();
    out
}

fn number(dtype: DType) -> Emitted<i64> {
    dtype::to_export(dtype).ok_or_else(|| format!("PyTorch has no {dtype}"))
}

/// Whether a stored tensor is one that gradients are found for.
fn trainable(stored: &Stored) -> bool {
    stored.kind == StoredKind::Parameter
        && matches!(stored.tensor.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// The description of a stored tensor.
pub(super) fn stored_meta(stored: &Stored) -> Emitted<TensorMeta> {
    let ty = stored.tensor.ty();
    let known = |d: &Dim| SymInt::AsInt(d.as_known().unwrap_or(0));
    let sizes = ty.shape.iter().map(known).collect();
    let strides = strides(&ty.shape).iter().map(known).collect();
    Ok(tensor_meta(sizes, strides, number(ty.dtype)?, trainable(stored)))
}

impl Emitter<'_> {
    fn name(&self, var: Var) -> String {
        self.program.var(var).map(|v| v.name.clone()).unwrap_or_default()
    }
    fn tensor(&self, var: Var) -> TensorArgument {
        TensorArgument { name: self.name(var) }
    }
    fn sym_int(&self, var: Var) -> SymIntArgument {
        SymIntArgument::AsName(self.name(var))
    }
    fn meta(&self, ty: &TensorType, grad: bool) -> Emitted<TensorMeta> {
        let sizes = ty.shape.iter().map(|d| self.symbols.size(d)).collect();
        let strides = strides(&ty.shape).iter().map(|d| self.symbols.size(d)).collect();
        Ok(tensor_meta(sizes, strides, number(ty.dtype)?, grad))
    }

    // Graphs.

    fn graph(&self, graph: &program::Graph, single: bool) -> Emitted<Graph> {
        let mut out = Graph {
            inputs: Vec::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
            tensor_values: BTreeMap::new(),
            sym_int_values: BTreeMap::new(),
            sym_bool_values: BTreeMap::new(),
            is_single_tensor_return: single,
            custom_obj_values: BTreeMap::new(),
            sym_float_values: BTreeMap::new(),
        };
        let grads: Vec<Var> = self
            .program
            .graph
            .inputs
            .iter()
            .zip(&self.program.inputs)
            .filter(|(_, input)| matches!(input, Input::Stored(s) if trainable(s)))
            .map(|(v, _)| *v)
            .collect();
        for &var in &graph.inputs {
            out.inputs.push(self.value(var));
            self.describe(&mut out, var, grads.contains(&var))?;
        }
        for call in &graph.calls {
            out.nodes.push(self.node(call)?);
            for result in &call.results {
                match result {
                    Returned::One(var) => self.describe(&mut out, *var, false)?,
                    Returned::Many(vars) => {
                        for &var in vars {
                            self.describe(&mut out, var, false)?;
                        }
                    }
                }
            }
        }
        out.outputs =
            graph.outputs.iter().map(|a| self.argument(a, &Ty::Scalar)).collect::<Emitted<_>>()?;
        Ok(out)
    }
    fn describe(&self, graph: &mut Graph, var: Var, grad: bool) -> Emitted<()> {
        let Some(info) = self.program.var(var) else { return Err(format!("{var:?} is nothing")) };
        match &info.kind {
            Kind::Tensor(ty) => {
                let meta = self.meta(ty, grad).map_err(|e| format!("`{}`: {e}", info.name))?;
                graph.tensor_values.insert(info.name.clone(), meta);
            }
            Kind::Int(dim) => {
                graph.sym_int_values.insert(info.name.clone(), self.symbols.size(dim));
            }
        }
        Ok(())
    }
    /// A value where it is made.
    fn value(&self, var: Var) -> Argument {
        match self.program.var(var).map(|v| &v.kind) {
            Some(Kind::Int(_)) => Argument::AsSymInt(self.sym_int(var)),
            _ => Argument::AsTensor(self.tensor(var)),
        }
    }

    // Calls.

    fn node(&self, call: &Call) -> Emitted<Node> {
        let (target, inputs) = match &call.target {
            Target::Operator(schema) => (operator(schema), self.operator_args(schema, &call.args)?),
            Target::Size => (
                "torch.ops.aten.sym_size.int".to_owned(),
                self.plain(&["self", "dim"], &call.args)?,
            ),
            Target::Item => {
                ("torch.ops.aten.item.default".to_owned(), self.plain(&["self"], &call.args)?)
            }
            Target::Arithmetic(op) => {
                (arithmetic(*op).to_owned(), self.plain(&["a", "b"], &call.args)?)
            }
            Target::Cond(then, otherwise) => {
                let graphs = [self.nested(then, false)?, self.nested(otherwise, false)?];
                ("torch.ops.higher_order.cond".to_owned(), self.cond_args(graphs, &call.args)?)
            }
            Target::While(condition, body) => {
                let graphs = [self.nested(condition, true)?, self.nested(body, false)?];
                (
                    "torch.ops.higher_order.while_loop".to_owned(),
                    self.loop_args(graphs, &call.args)?,
                )
            }
        };
        let nested = matches!(call.target, Target::Cond(..) | Target::While(..));
        let mut metadata = BTreeMap::new();
        let notes = [
            ("stack_trace", &call.metadata.stack_trace),
            ("nn_module_stack", &call.metadata.nn_module_stack),
        ];
        for (key, text) in notes {
            if let Some(text) = text {
                metadata.insert(key.to_owned(), text.clone());
            }
        }
        Ok(Node {
            target,
            inputs,
            outputs: call.results.iter().map(|r| self.returned(r)).collect(),
            metadata,
            is_hop_single_tensor_return: nested.then_some(false),
            name: Some(call.name.clone()),
        })
    }
    fn returned(&self, result: &Returned) -> Argument {
        match result {
            Returned::One(var) => self.value(*var),
            Returned::Many(vars) => {
                Argument::AsTensors(vars.iter().map(|&v| self.tensor(v)).collect())
            }
        }
    }
    /// Arguments of an operator: those that are left out at the end are left out, and what comes
    /// after one that is left out between goes by name.
    fn operator_args(&self, schema: &Schema, args: &[Arg]) -> Emitted<Vec<NamedArgument>> {
        let mut out = Vec::new();
        let pairs: Vec<_> = args.iter().zip(&schema.params).collect();
        let given = pairs.iter().rposition(|(a, p)| !p.keyword_only && !is_default(a, p));
        let mut by_name = false;
        for (i, (arg, param)) in pairs.into_iter().enumerate() {
            let late = !param.keyword_only && given.is_none_or(|last| i > last);
            if *arg == Arg::Default || (is_default(arg, param) && (late || param.keyword_only)) {
                by_name = true;
                continue;
            }
            let arg = self.argument(arg, &param.ty).map_err(|e| {
                format!("{}: argument `{}`: {e}", schema.display_name(), param.name)
            })?;
            let kind = if by_name || param.keyword_only { KEYWORD } else { POSITIONAL };
            out.push(NamedArgument { name: param.name.clone(), arg, kind });
        }
        Ok(out)
    }
    fn plain(&self, names: &[&str], args: &[Arg]) -> Emitted<Vec<NamedArgument>> {
        let named = |(name, arg): (&&str, &Arg)| {
            let arg = self.argument(arg, &Ty::Scalar)?;
            Ok(NamedArgument { name: (*name).to_owned(), arg, kind: POSITIONAL })
        };
        names.iter().zip(args).map(named).collect()
    }
    fn nested(&self, graph: &program::Graph, single: bool) -> Emitted<Argument> {
        let graph_record = self.graph(graph, single)?;
        let name = graph.name.clone();
        Ok(Argument::AsGraph(Box::new(GraphArgument { name, graph: graph_record })))
    }
    fn tensors(&self, arg: Option<&Arg>) -> Emitted<Argument> {
        self.argument(arg.unwrap_or(&Arg::List(Vec::new())), &Ty::List(Box::new(Ty::Tensor), None))
    }
    fn cond_args(&self, graphs: [Argument; 2], args: &[Arg]) -> Emitted<Vec<NamedArgument>> {
        let predicate = self.argument(args.first().unwrap_or(&Arg::None), &Ty::Tensor)?;
        let [then, otherwise] = graphs;
        Ok(unnamed([predicate, then, otherwise, self.tensors(args.get(1))?]))
    }
    fn loop_args(&self, graphs: [Argument; 2], args: &[Arg]) -> Emitted<Vec<NamedArgument>> {
        let [condition, body] = graphs;
        let (carried, others) = (self.tensors(args.first())?, self.tensors(args.get(1))?);
        Ok(unnamed([condition, body, carried, others]))
    }

    /// An argument in the form that its type has in files.
    fn argument(&self, arg: &Arg, ty: &Ty) -> Emitted<Argument> {
        let (ty, _) = strip_optional(ty);
        Ok(match (arg, ty) {
            (Arg::None, _) => Argument::AsNone(true),
            (Arg::Tensor(v), _) => Argument::AsTensor(self.tensor(*v)),
            (Arg::Size(v), _) => Argument::AsSymInt(self.sym_int(*v)),
            (Arg::Int(n), Ty::Float) => Argument::AsFloat(Double(*n as f64)),
            (Arg::Int(n), _) => Argument::AsInt(*n),
            (Arg::Float(v), _) => Argument::AsFloat(Double(*v)),
            (Arg::Bool(b), _) => Argument::AsBool(*b),
            (Arg::Complex(re, im), _) => {
                Argument::AsComplex(Complex { real: Double(*re), imag: Double(*im) })
            }
            (Arg::Str(text), _) => Argument::AsString(text.clone()),
            (Arg::DType(dtype), _) => Argument::AsScalarType(number(*dtype)?),
            (Arg::List(items), Ty::List(element, _)) => self.list(items, element)?,
            (Arg::List(_), _) => return Err("a list stands where none may".to_owned()),
            (Arg::Default, _) => return Err("it has no default".to_owned()),
        })
    }
    fn list(&self, items: &[Arg], element: &Ty) -> Emitted<Argument> {
        let wrong = |item: &Arg| Err(format!("{item:?} stands in a list of {element:?}"));
        let tensor = |item: &Arg| match item {
            Arg::Tensor(v) => Ok(self.tensor(*v)),
            other => wrong(other).map(|()| TensorArgument { name: String::new() }),
        };
        match element {
            Ty::Tensor => {
                Ok(Argument::AsTensors(items.iter().map(tensor).collect::<Emitted<_>>()?))
            }
            Ty::Optional(_) => {
                let one = |item: &Arg| match item {
                    Arg::None => Ok(OptionalTensorArgument::AsNone(true)),
                    item => tensor(item).map(OptionalTensorArgument::AsTensor),
                };
                Ok(Argument::AsOptionalTensors(items.iter().map(one).collect::<Emitted<_>>()?))
            }
            Ty::Float => {
                let one = |item: &Arg| match item {
                    Arg::Float(v) => Ok(Double(*v)),
                    Arg::Int(n) => Ok(Double(*n as f64)),
                    other => wrong(other).map(|()| Double(0.0)),
                };
                Ok(Argument::AsFloats(items.iter().map(one).collect::<Emitted<_>>()?))
            }
            Ty::Bool => {
                let one = |item: &Arg| match item {
                    Arg::Bool(b) => Ok(*b),
                    other => wrong(other).map(|()| false),
                };
                Ok(Argument::AsBools(items.iter().map(one).collect::<Emitted<_>>()?))
            }
            _ => {
                let known = |item: &Arg| match item {
                    Arg::Int(n) => Some(*n),
                    _ => None,
                };
                if let Some(ints) = items.iter().map(known).collect() {
                    return Ok(Argument::AsInts(ints));
                }
                let one = |item: &Arg| match item {
                    Arg::Int(n) => Ok(SymIntArgument::AsInt(*n)),
                    Arg::Size(v) => Ok(self.sym_int(*v)),
                    other => wrong(other).map(|()| SymIntArgument::AsInt(0)),
                };
                Ok(Argument::AsSymInts(items.iter().map(one).collect::<Emitted<_>>()?))
            }
        }
    }

    // The signature.

    fn signature(&self) -> Emitted<Signature> {
        let graph = &self.program.graph;
        let inputs = graph.inputs.iter().zip(&self.program.inputs);
        let outputs = graph.outputs.iter().zip(&self.program.outputs);
        Ok(Signature {
            input_specs: inputs.map(|(v, i)| self.input(*v, i)).collect::<Emitted<_>>()?,
            output_specs: outputs.map(|(a, o)| self.output(a, o)).collect::<Emitted<_>>()?,
        })
    }
    fn input(&self, var: Var, input: &Input) -> Emitted<InputSpec> {
        let arg = self.tensor(var);
        Ok(match input {
            Input::User(ArgKindRole::Tensor | ArgKindRole::Int) => {
                InputSpec::UserInput { arg: self.value(var) }
            }
            Input::User(_) => {
                return Err(format!(
                    "input `{}` is a number; exported programs take tensors and integers",
                    arg.name
                ));
            }
            Input::Stored(stored) => {
                let name = stored.name.clone();
                match stored.kind {
                    StoredKind::Parameter => InputSpec::Parameter { arg, parameter_name: name },
                    StoredKind::Buffer => {
                        InputSpec::Buffer { arg, buffer_name: name, persistent: true }
                    }
                    StoredKind::NonPersistentBuffer => {
                        InputSpec::Buffer { arg, buffer_name: name, persistent: false }
                    }
                    StoredKind::Constant => {
                        InputSpec::TensorConstant { arg, tensor_constant_name: name }
                    }
                }
            }
        })
    }
    fn output(&self, arg: &Arg, output: &Output) -> Emitted<OutputSpec> {
        let changed = || match arg {
            Arg::Tensor(v) => Ok(self.tensor(*v)),
            _ => Err("what is written is no tensor".to_owned()),
        };
        Ok(match output {
            Output::User => OutputSpec::UserOutput { arg: self.argument(arg, &Ty::Scalar)? },
            Output::Mutation(name) => {
                let stored = self.program.inputs.iter().find_map(|i| match i {
                    Input::Stored(s) if s.name == *name => Some(s.kind),
                    _ => None,
                });
                match stored {
                    Some(StoredKind::Parameter) => OutputSpec::ParameterMutation {
                        arg: changed()?,
                        parameter_name: name.clone(),
                    },
                    _ => OutputSpec::BufferMutation { arg: changed()?, buffer_name: name.clone() },
                }
            }
            Output::InputMutation(position) => OutputSpec::UserInputMutation {
                arg: changed()?,
                user_input_name: self
                    .program
                    .graph
                    .inputs
                    .get(*position)
                    .map(|v| self.name(*v))
                    .unwrap_or_default(),
            },
        })
    }

    /// How the program is called: as the source said, if that fits, else by position.
    fn call_signature(&self) -> ModuleCall {
        let program = self.program;
        let users: Vec<String> = program
            .graph
            .inputs
            .iter()
            .zip(&program.inputs)
            .filter(|(_, i)| matches!(i, Input::User(_)))
            .map(|(v, _)| self.name(*v))
            .collect();
        let given = program.outputs.iter().filter(|o| **o == Output::User).count();
        let note = |key: &str| program.notes.get(key).map(String::as_str);
        let fits = |spec: &&str, count| leaves(spec) == Some(count);
        let noted_in = note("torch.in_spec").filter(|s| fits(s, users.len()));
        let noted_out = note("torch.out_spec").filter(|s| fits(s, given));
        let names = match (noted_in, note("torch.forward_arg_names")) {
            (Some(_), Some(names)) => names.split(',').map(str::to_owned).collect(),
            _ => users.clone(),
        };
        let in_spec = noted_in.map_or_else(|| call_spec(users.len()), str::to_owned);
        let out_spec = noted_out.map_or_else(|| result_spec(given), str::to_owned);
        ModuleCall {
            fqn: String::new(),
            signature: Some(ModuleCallSignature {
                inputs: Vec::new(),
                outputs: Vec::new(),
                in_spec,
                out_spec,
                forward_arg_names: Some(names),
            }),
        }
    }
}

const LEAF: &str = r#"{"type": null, "context": null, "children_spec": []}"#;

fn tuple_spec(children: &[String]) -> String {
    let children = children.join(", ");
    format!(r#"{{"type": "builtins.tuple", "context": "null", "children_spec": [{children}]}}"#)
}

fn call_spec(count: usize) -> String {
    let args = tuple_spec(&vec![LEAF.to_owned(); count]);
    let named = r#"{"type": "builtins.dict", "context": "[]", "children_spec": []}"#.to_owned();
    format!("[1, {}]", tuple_spec(&[args, named]))
}

fn result_spec(count: usize) -> String {
    match count {
        1 => format!("[1, {LEAF}]"),
        n => format!("[1, {}]", tuple_spec(&vec![LEAF.to_owned(); n])),
    }
}

/// The number of leaves of a tree of containers; `None` if the text is none.
fn leaves(spec: &str) -> Option<usize> {
    fn count(node: &serde_json::Value) -> Option<usize> {
        let children = node.get("children_spec")?.as_array()?;
        match node.get("type")? {
            serde_json::Value::Null => Some(1),
            _ => children.iter().map(count).sum(),
        }
    }
    let parsed: serde_json::Value = serde_json::from_str(spec).ok()?;
    count(parsed.as_array()?.get(1)?)
}

fn unnamed<const N: usize>(args: [Argument; N]) -> Vec<NamedArgument> {
    let one = |arg| NamedArgument { name: String::new(), arg, kind: POSITIONAL };
    args.into_iter().map(one).collect()
}

fn operator(schema: &Schema) -> String {
    let name = schema.name.replace("::", ".");
    let overload = if schema.overload.is_empty() { "default" } else { &schema.overload };
    format!("torch.ops.{name}.{overload}")
}

fn arithmetic(op: IntOp) -> &'static str {
    match op {
        IntOp::Add => "_operator.add",
        IntOp::Mul => "_operator.mul",
        IntOp::FloorDiv => "_operator.floordiv",
        IntOp::Mod => "_operator.mod",
        IntOp::Min => "torch.sym_min",
        IntOp::Max => "torch.sym_max",
    }
}

/// Whether an argument is what the schema would have it be.
fn is_default(arg: &Arg, param: &crate::common::schema::Param) -> bool {
    match Literal::<airconv_ir::entity::ValueId>::default_of(param) {
        _ if *arg == Arg::Default => true,
        Some(default) => same(arg, &default),
        None => false,
    }
}

fn same(arg: &Arg, literal: &Literal) -> bool {
    match (arg, literal) {
        (Arg::None, Literal::None) => true,
        (Arg::Int(a), Literal::Int(b)) => b.as_known() == Some(*a),
        (Arg::Int(a), Literal::Float(b)) => *a as f64 == *b,
        (Arg::Float(a), Literal::Float(b)) => a == b,
        (Arg::Float(a), Literal::Int(b)) => b.as_known().is_some_and(|b| b as f64 == *a),
        (Arg::Bool(a), Literal::Bool(b)) => a == b,
        (Arg::Str(a), Literal::Str(b)) => **a == **b,
        (Arg::List(a), Literal::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}
