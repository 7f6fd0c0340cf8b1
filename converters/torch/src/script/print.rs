//! A program as TorchScript source: one class per module of its weights, and `forward`.

use std::fmt::Write as _;

use airconv_ir::module::ArgKindRole;

use crate::common::dtype;
use crate::common::schema::{Param, Ty};
use crate::export::program::{
    Arg, Call, Graph, Input, IntOp, Output, Program, Returned, StoredKind, Target, Var,
};
use crate::import::arg::strip_optional;

/// A module of the program's weights.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The name of its class.
    pub class: String,
    /// Names of tensors, with the inputs of the program that they are.
    pub tensors: Vec<(String, usize)>,
    /// Names of modules, with their places in the list.
    pub modules: Vec<(String, usize)>,
}

/// The modules by the dotted names of the weights; the first one is the program.
#[derive(Debug)]
pub(super) struct Modules {
    pub list: Vec<Module>,
}

impl Modules {
    pub(super) fn of(program: &Program) -> Self {
        let mut out =
            Self { list: vec![Module { class: "Model".to_owned(), ..Module::default() }] };
        for (i, input) in program.inputs.iter().enumerate() {
            let Input::Stored(stored) = input else { continue };
            let mut at = 0;
            let (path, name) = stored.name.rsplit_once('.').unwrap_or(("", &stored.name));
            for word in path.split('.').filter(|w| !w.is_empty()) {
                at = out.inner(at, word);
            }
            if let Some(module) = out.list.get_mut(at) {
                module.tensors.push((name.to_owned(), i));
            }
        }
        out
    }
    fn inner(&mut self, at: usize, word: &str) -> usize {
        let found = self.list[at].modules.iter().find(|(name, _)| name == word);
        if let Some((_, inner)) = found {
            return *inner;
        }
        let next = self.list.len();
        self.list.push(Module { class: format!("Module{next}"), ..Module::default() });
        self.list[at].modules.push((word.to_owned(), next));
        next
    }
}

/// Whether a name can stand after a dot.
fn is_identifier(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

type Printed<T> = Result<T, String>;

/// The source of a program.
pub(super) fn print(program: &Program, modules: &Modules) -> Printed<String> {
    let mut out = String::new();
    for module in modules.list.iter().skip(1) {
        class(&mut out, program, modules, module);
    }
    if let Some(root) = modules.list.first() {
        class(&mut out, program, modules, root);
    }
    Printer { program, out, indent: 2 }.forward()
}

fn class(out: &mut String, program: &Program, modules: &Modules, module: &Module) {
    let kind = |input: &usize| match program.inputs.get(*input) {
        Some(Input::Stored(s)) => s.kind,
        _ => StoredKind::Constant,
    };
    let listed = |wanted: &dyn Fn(StoredKind) -> bool| -> String {
        let of = module.tensors.iter().filter(|(_, i)| wanted(kind(i)));
        of.map(|(name, _)| format!("\"{name}\", ")).collect()
    };
    let parameters = listed(&|k| k == StoredKind::Parameter);
    let buffers = listed(&|k| matches!(k, StoredKind::Buffer | StoredKind::NonPersistentBuffer));
    out.push_str(&format!("class {}(Module):\n", module.class));
    out.push_str(&format!("  __parameters__ = [{parameters}]\n  __buffers__ = [{buffers}]\n"));
    let odd = module.tensors.iter().chain(&module.modules).any(|(n, _)| !is_identifier(n));
    if odd {
        out.push_str("  __annotations__ = []\n");
    }
    let mut attribute = |name: &str, ty: &str| {
        match is_identifier(name) {
            true => out.push_str(&format!("  {name} : {ty}\n")),
            false => out.push_str(&format!("  __annotations__[\"{name}\"] = {ty}\n")),
        };
    };
    for (name, _) in &module.tensors {
        attribute(name, "Tensor");
    }
    attribute("training", "bool");
    attribute("_is_full_backward_hook", "Optional[bool]");
    for (name, inner) in &module.modules {
        let class = modules.list.get(*inner).map_or("", |m| m.class.as_str());
        attribute(name, &format!("__torch__.{class}"));
    }
}

struct Printer<'p> {
    program: &'p Program,
    out: String,
    indent: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', self.indent));
        self.out.push_str(text);
        self.out.push('\n');
    }
    fn name(&self, var: Var) -> &str {
        self.program.var(var).map_or("", |v| v.name.as_str())
    }

    fn forward(mut self) -> Printed<String> {
        let program = self.program;
        let users: Vec<Var> = self.users().map(|(v, _)| v).collect();
        let mut parameters = String::new();
        for (var, kind) in self.users() {
            let ty = match kind {
                ArgKindRole::Int => "int",
                ArgKindRole::Float => "float",
                ArgKindRole::Bool => "bool",
                _ => "Tensor",
            };
            let _ = write!(parameters, ",\n    {}: {ty}", self.name(var));
        }
        if users.is_empty() && program.graph.outputs.is_empty() {
            return Err("the program does nothing".to_owned());
        }
        let returned = self.returned();
        self.line(&format!("def forward(self: __torch__.Model{parameters}) -> {}:", returned.0));
        self.indent = 4;
        for (var, input) in program.graph.inputs.iter().zip(&program.inputs) {
            match input {
                Input::Stored(stored) => {
                    let line = format!("{} = {}", self.name(*var), path(&stored.name));
                    self.line(&line);
                }
                Input::User(ArgKindRole::Float | ArgKindRole::Bool) => {
                    let line = format!("{0} = torch.tensor({0})", self.name(*var));
                    self.line(&line);
                }
                Input::User(_) => {}
            }
        }
        self.calls(&program.graph)?;
        self.changes()?;
        self.line(&format!("return {}", returned.1?));
        Ok(self.out)
    }
    fn users(&self) -> impl Iterator<Item = (Var, ArgKindRole)> {
        let inputs = self.program.graph.inputs.iter().zip(&self.program.inputs);
        inputs.filter_map(|(v, i)| match i {
            Input::User(kind) => Some((*v, *kind)),
            Input::Stored(_) => None,
        })
    }
    /// The type and the value of what is returned.
    fn returned(&self) -> (String, Printed<String>) {
        let outputs = self.program.graph.outputs.iter().zip(&self.program.outputs);
        let given: Vec<&Arg> =
            outputs.filter(|(_, o)| **o == Output::User).map(|(a, _)| a).collect();
        let ty = |arg: &&Arg| match arg {
            Arg::Tensor(_) => "Tensor",
            _ => "int",
        };
        let types: Vec<&str> = given.iter().map(ty).collect();
        let values: Printed<Vec<String>> = given.iter().map(|a| self.arg(a, &Ty::Scalar)).collect();
        match types.as_slice() {
            [one] => ((*one).to_owned(), values.map(|v| v.concat())),
            [] => ("NoneType".to_owned(), Ok("None".to_owned())),
            types => (
                format!("Tuple[{}]", types.join(", ")),
                values.map(|v| format!("({})", v.join(", "))),
            ),
        }
    }
    /// Puts new contents into what the program changes.
    fn changes(&mut self) -> Printed<()> {
        let program = self.program;
        for (arg, output) in program.graph.outputs.iter().zip(&program.outputs) {
            let target = match output {
                Output::User => continue,
                Output::Mutation(name) => path(name),
                Output::InputMutation(at) => match program.graph.inputs.get(*at) {
                    Some(var) => self.name(*var).to_owned(),
                    None => continue,
                },
            };
            let line = format!("_0 = torch.copy_({target}, {})", self.arg(arg, &Ty::Tensor)?);
            self.line(&line);
        }
        Ok(())
    }

    fn calls(&mut self, graph: &Graph) -> Printed<()> {
        graph.calls.iter().try_for_each(|call| self.call(call))
    }
    fn call(&mut self, call: &Call) -> Printed<()> {
        match &call.target {
            Target::Operator(_) | Target::Size | Target::Item | Target::Arithmetic(_) => {
                let line = format!("{}{}", self.results(call), self.expression(call)?);
                self.line(&line);
                Ok(())
            }
            Target::Cond(then, otherwise) => self.branches(call, then, otherwise),
            Target::While(condition, body) => self.repeats(call, condition, body),
        }
    }
    /// The names of results before an equals sign.
    fn results(&self, call: &Call) -> String {
        match call.results.as_slice() {
            [] => String::new(),
            [Returned::One(var)] => format!("{} = ", self.name(*var)),
            [Returned::Many(vars)] => {
                vars.iter().map(|v| format!("{}, ", self.name(*v))).collect::<String>() + "= "
            }
            several => {
                let one = |r: &Returned| match r {
                    Returned::One(var) => format!("{}, ", self.name(*var)),
                    Returned::Many(_) => String::new(),
                };
                several.iter().map(one).collect::<String>() + "= "
            }
        }
    }
    fn expression(&self, call: &Call) -> Printed<String> {
        let all = || -> Printed<Vec<String>> {
            call.args.iter().map(|a| self.arg(a, &Ty::Scalar)).collect()
        };
        Ok(match &call.target {
            Target::Operator(schema) => {
                let name = schema.name.split("::").nth(1).unwrap_or("");
                let namespace = schema.name.split("::").next().unwrap_or("");
                let callee = match namespace {
                    // A dtype is an integer there, which `view` takes for a size.
                    "aten" if (name, schema.overload.as_str()) == ("view", "dtype") => {
                        "torch.view_copy".to_owned()
                    }
                    "aten" => format!("torch.{name}"),
                    other => format!("ops.{other}.{name}"),
                };
                format!("{callee}({})", self.arguments(&call.args, &schema.params)?)
            }
            Target::Size => format!("torch.size({})", all()?.join(", ")),
            Target::Item => format!("int({})", all()?.join(", ")),
            Target::Arithmetic(op) => format!("{}({})", arithmetic(*op), all()?.join(", ")),
            Target::Cond(..) | Target::While(..) => {
                return Err("a graph is no expression".to_owned());
            }
        })
    }
    fn arguments(&self, args: &[Arg], params: &[Param]) -> Printed<String> {
        let mut out = Vec::new();
        let mut by_name = false;
        for (arg, param) in args.iter().zip(params) {
            if *arg == Arg::Default {
                by_name = true;
                continue;
            }
            let text = self.arg(arg, &param.ty)?;
            out.push(match by_name || param.keyword_only {
                true => format!("{}={text}", param.name),
                false => text,
            });
        }
        Ok(out.join(", "))
    }
    fn arg(&self, arg: &Arg, ty: &Ty) -> Printed<String> {
        let (ty, _) = strip_optional(ty);
        Ok(match arg {
            Arg::Default => return Err("it has no default".to_owned()),
            Arg::None => "None".to_owned(),
            Arg::Tensor(v) | Arg::Size(v) => self.name(*v).to_owned(),
            Arg::Int(n) if *ty == Ty::Float => float(*n as f64),
            Arg::Int(n) => n.to_string(),
            Arg::Float(v) => float(*v),
            Arg::Bool(true) => "True".to_owned(),
            Arg::Bool(false) => "False".to_owned(),
            Arg::Complex(re, im) => format!("torch.complex({}, {})", float(*re), float(*im)),
            Arg::Str(text) => quoted(text),
            Arg::DType(d) => match dtype::to_script(*d) {
                Some(number) => number.to_string(),
                None => return Err(format!("PyTorch has no {d}")),
            },
            Arg::List(items) => self.list(items, ty)?,
        })
    }
    fn list(&self, items: &[Arg], ty: &Ty) -> Printed<String> {
        let element = match ty {
            Ty::List(element, _) => element,
            other => other,
        };
        let parts: Printed<Vec<String>> = items.iter().map(|i| self.arg(i, element)).collect();
        let text = format!("[{}]", parts?.join(", "));
        let annotation = match element {
            Ty::Optional(_) => "List[Optional[Tensor]]",
            _ if !items.is_empty() => return Ok(text),
            Ty::Tensor => "List[Tensor]",
            Ty::Float => "List[float]",
            Ty::Bool => "List[bool]",
            _ => "List[int]",
        };
        Ok(format!("annotate({annotation}, {text})"))
    }

    // Control flow.

    /// Names of the inputs of a nested graph for what they are given.
    fn bind(&mut self, graph: &Graph, given: &[&str]) {
        for (var, value) in graph.inputs.iter().zip(given) {
            let line = format!("{} = {value}", self.name(*var));
            self.line(&line);
        }
    }
    fn given<'a>(&'a self, arg: Option<&Arg>) -> Vec<&'a str> {
        match arg {
            Some(Arg::List(items)) => items
                .iter()
                .map(|i| match i {
                    Arg::Tensor(v) | Arg::Size(v) => self.name(*v),
                    _ => "None",
                })
                .collect(),
            _ => Vec::new(),
        }
    }
    fn result_names(&self, call: &Call) -> Vec<String> {
        let one = |r: &Returned| match r {
            Returned::One(v) => Some(self.name(*v).to_owned()),
            Returned::Many(_) => None,
        };
        call.results.iter().filter_map(one).collect()
    }
    fn branches(&mut self, call: &Call, then: &Graph, otherwise: &Graph) -> Printed<()> {
        let predicate = self.arg(call.args.first().unwrap_or(&Arg::None), &Ty::Tensor)?;
        let results = self.result_names(call);
        for (head, graph) in
            [(format!("if bool({predicate}):"), then), ("else:".to_owned(), otherwise)]
        {
            self.line(&head);
            self.indent += 2;
            let given: Vec<String> =
                self.given(call.args.get(1)).iter().map(|s| (*s).to_owned()).collect();
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            self.bind(graph, &given);
            self.calls(graph)?;
            self.assign(&results, graph)?;
            if results.is_empty() && graph.calls.is_empty() {
                self.line("pass");
            }
            self.indent -= 2;
        }
        Ok(())
    }
    /// Gives names to the results of a nested graph.
    fn assign(&mut self, names: &[String], graph: &Graph) -> Printed<()> {
        for (name, output) in names.iter().zip(&graph.outputs) {
            let line = format!("{name} = {}", self.arg(output, &Ty::Tensor)?);
            self.line(&line);
        }
        Ok(())
    }
    /// A loop: what it carries has the names of its results.
    fn repeats(&mut self, call: &Call, condition: &Graph, body: &Graph) -> Printed<()> {
        let results = self.result_names(call);
        let start: Vec<String> =
            self.given(call.args.first()).iter().map(|s| (*s).to_owned()).collect();
        let others: Vec<String> =
            self.given(call.args.get(1)).iter().map(|s| (*s).to_owned()).collect();
        for (name, value) in results.iter().zip(&start) {
            self.line(&format!("{name} = {value}"));
        }
        let given: Vec<&str> = results.iter().chain(&others).map(String::as_str).collect();
        let running = format!("{}_running", call.name);
        self.condition(condition, &given, &running)?;
        self.line(&format!("while {running}:"));
        self.indent += 2;
        self.bind(body, &given);
        self.calls(body)?;
        self.assign(&results, body)?;
        self.condition(condition, &given, &running)?;
        self.indent -= 2;
        Ok(())
    }
    fn condition(&mut self, graph: &Graph, given: &[&str], running: &str) -> Printed<()> {
        self.bind(graph, given);
        self.calls(graph)?;
        let value = self.arg(graph.outputs.first().unwrap_or(&Arg::Bool(false)), &Ty::Tensor)?;
        self.line(&format!("{running} = bool({value})"));
        Ok(())
    }
}

/// A weight by its dotted name.
fn path(name: &str) -> String {
    name.split('.').fold("self".to_owned(), |before, word| match is_identifier(word) {
        true => format!("{before}.{word}"),
        false => format!("getattr({before}, \"{word}\")"),
    })
}

fn arithmetic(op: IntOp) -> &'static str {
    match op {
        IntOp::Add => "torch.add",
        IntOp::Mul => "torch.mul",
        IntOp::FloorDiv => "torch.floordiv",
        IntOp::Mod => "torch.remainder",
        IntOp::Min => "ops.prim.min",
        IntOp::Max => "ops.prim.max",
    }
}

/// A float as Python reads it back.
fn float(v: f64) -> String {
    if v.is_nan() {
        "nan".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else {
        // The shortest text that reads back as the same number, always with a point or exponent.
        format!("{v:?}")
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::program::{Stored, StoredKind};
    use airconv_ir::dtype::DType;
    use airconv_ir::tensor::{Storage, Tensor};

    #[test]
    fn weights_are_found_by_their_dotted_names() {
        assert_eq!(path("weight"), "self.weight");
        assert_eq!(path("layers.0.weight"), "getattr(self.layers, \"0\").weight");
    }

    #[test]
    fn modules_are_made_of_dotted_names() {
        let stored = |name: &str| {
            let tensor = Tensor {
                dtype: DType::F32,
                dims: vec![0],
                storage: Storage::Bytes(Default::default()),
            };
            Input::Stored(Stored { kind: StoredKind::Parameter, name: name.to_owned(), tensor })
        };
        let program = Program {
            inputs: vec![stored("a.0.weight"), stored("a.1.weight"), stored("bias")],
            ..Program::default()
        };
        let modules = Modules::of(&program);
        assert_eq!(modules.list.len(), 4);
        assert_eq!(modules.list[0].tensors, [("bias".to_owned(), 2)]);
        assert_eq!(modules.list[1].modules, [("0".to_owned(), 2), ("1".to_owned(), 3)]);
    }

    #[test]
    fn floats_read_back() {
        assert_eq!(float(1.0), "1.0");
        assert_eq!(float(-1e-7), "-1e-7");
        assert_eq!(float(f64::NEG_INFINITY), "-inf");
    }
}
