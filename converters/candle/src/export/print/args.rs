//! Calls and their arguments as text.

use std::sync::Arc;

use airconv_ir::dim::Dim;

use super::super::literal;
use super::super::template::{self, Position};
use super::{Form, Printer, layer_of};
use crate::program::calls::Kind;
use crate::program::dtype::held;
use crate::program::{Arg, Call, Callee, Func, Source, Var};

impl Printer<'_> {
    /// The text of a call, and the variables that it reads.
    pub(super) fn call(
        &mut self,
        call: &Call,
        path: Option<&[Arc<str>]>,
    ) -> Result<(String, Vec<Var>), String> {
        match call.callee {
            Callee::Func(func) => self.func(func, call),
            Callee::Layer(_) => self.layer(call, path),
        }
    }

    fn func(&mut self, func: &'static Func, call: &Call) -> Result<(String, Vec<Var>), String> {
        let mut texts: Vec<(String, String, String)> = Vec::new();
        let mut reads = Vec::new();
        for (arg, (_, kind)) in call.args.iter().zip(func.params) {
            let at = |p: &mut Self, position| p.arg(arg, *kind, position);
            let (receiver, first) = at(self, Position::Receiver)?;
            let (operand, _) = at(self, Position::Operand)?;
            let (argument, _) = at(self, Position::Argument)?;
            reads.extend(first);
            texts.push((receiver, operand, argument));
        }
        let text = template::fill(func.body, &mut |name, position| {
            let i = func.params.iter().position(|(p, _)| *p == name)?;
            let (receiver, operand, argument) = texts.get(i)?;
            Some(match position {
                Position::Receiver => receiver.clone(),
                Position::Operand => operand.clone(),
                Position::Argument => argument.clone(),
            })
        });
        for name in template_helpers(func.body) {
            self.helper(name);
        }
        Ok((text, reads))
    }

    fn layer(
        &mut self,
        call: &Call,
        path: Option<&[Arc<str>]>,
    ) -> Result<(String, Vec<Var>), String> {
        let (Some(layer), Some(path)) = (layer_of(call), path) else {
            return Err("a layer without a place".to_owned());
        };
        let field = self.layer_field(layer, call, path)?;
        let train = matches!(layer, crate::program::Layer::BatchNorm { .. });
        let Some(Arg::Tensor(x)) = call.args.first() else {
            return Err("a layer without an input".to_owned());
        };
        if let Some(Form::Expr(..)) = self.scope.forms.get(x) {
            let (x, reads) = self.value(*x, Position::Receiver)?;
            let (apply, more) = if train { ("apply_t", ", false") } else { ("apply", "") };
            return Ok((format!("{x}.{apply}(&self.{field}{more})?"), reads));
        }
        let (x, reads) = self.value(*x, Position::Argument)?;
        let (forward, more) = if train { ("forward_t", ", false") } else { ("forward", "") };
        Ok((format!("self.{field}.{forward}({x}{more})?"), reads))
    }

    /// A value where it is read, and the variables that are read by that.
    pub(super) fn value(
        &mut self,
        var: Var,
        position: Position,
    ) -> Result<(String, Vec<Var>), String> {
        let form = self.form(var)?;
        let once = self.left.get(&var) == Some(&1) && self.scope.own.contains(&var);
        Ok(match form {
            Form::Expr(text, mut reads) => {
                reads.push(var);
                let text = match position {
                    Position::Argument => format!("&{text}"),
                    _ => text,
                };
                (text, reads)
            }
            Form::Local(name) => {
                let text = match position {
                    Position::Receiver => name,
                    Position::Operand if once => name,
                    Position::Operand | Position::Argument => format!("&{name}"),
                };
                (text, vec![var])
            }
            Form::Ref(name) => (name, vec![var]),
            Form::Field(name) => {
                let text = if position == Position::Receiver { name } else { format!("&{name}") };
                (text, vec![])
            }
        })
    }

    fn arg(
        &mut self,
        arg: &Arg,
        kind: Kind,
        position: Position,
    ) -> Result<(String, Vec<Var>), String> {
        let text = match arg {
            Arg::Tensor(v) => return self.value(*v, position),
            Arg::Maybe(None) => "None".to_owned(),
            Arg::Maybe(Some(v)) => {
                let (text, reads) = self.value(*v, Position::Argument)?;
                return Ok((format!("Some({text})"), reads));
            }
            Arg::Tensors(list) => {
                let (mut texts, mut reads) = (Vec::new(), Vec::new());
                for v in list {
                    let (text, read) = self.value(*v, Position::Argument)?;
                    texts.push(text);
                    reads.extend(read);
                }
                return Ok((format!("&[{}]", texts.join(", ")), reads));
            }
            // Each argument is written once: the other positions give the same text.
            _ if position != Position::Argument => match arg {
                Arg::Float(v) => literal::float(*v),
                _ => String::new(),
            },
            Arg::Size(d) => self.size(d, "size"),
            Arg::Index(d) => self.index(d),
            Arg::Shape(list) => self.shape(list),
            Arg::Number(n) => n.to_string(),
            Arg::Numbers(list) if kind == Kind::Pair => match list[..] {
                [a, b] if a == b => a.to_string(),
                _ => tuple(list.iter().map(ToString::to_string).collect()),
            },
            Arg::Numbers(list) => tuple(list.iter().map(ToString::to_string).collect()),
            Arg::Int(v) => format!("{v}i64"),
            Arg::Ints(list) => {
                let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
                format!("&[{}]", texts.join(", "))
            }
            Arg::Float(v) => literal::float(*v),
            Arg::Bool(b) => b.to_string(),
            Arg::DType(d) => match held(*d) {
                Some(held) => format!("DType::{}", held.name),
                None => return Err(format!("candle has no {d}")),
            },
            Arg::Device => {
                self.needs_device = true;
                "device".to_owned()
            }
        };
        Ok((text, Vec::new()))
    }

    /// A signed integer that may depend on sizes.
    fn index(&mut self, dim: &Dim) -> String {
        match dim.as_known() {
            Some(k) => format!("{k}i64"),
            None => {
                let text = self.size(dim, "size");
                let bare = text.chars().all(|c| c.is_alphanumeric() || c == '_');
                if bare { format!("{text} as i64") } else { format!("({text}) as i64") }
            }
        }
    }

    pub(super) fn shape(&mut self, list: &[Dim]) -> String {
        let texts: Vec<String> = list.iter().map(|d| self.size(d, "dim")).collect();
        tuple(texts)
    }

    /// A tensor of the module or of a rule: a field, or written down.
    pub(super) fn constant(&mut self, var: Var) -> Result<Form, String> {
        let info = self.program.info(var).clone();
        let array = match &info.source {
            Source::Literal(array) if !literal::is_loaded(&info) => array.clone(),
            Source::Weight(id) | Source::Turned(id) if !literal::is_loaded(&info) => {
                match self.classes.tensor(*id) {
                    Some(array) => Arc::new(array),
                    None => return Err(format!("`{}` has not been loaded", info.name)),
                }
            }
            _ => return self.tensor_field(var),
        };
        self.needs_device = true;
        if array.numel() == 0 {
            let sizes = tuple(array.shape.iter().map(ToString::to_string).collect());
            let dtype = held(array.dtype).map_or("F32", |h| h.name);
            let text = format!("Tensor::zeros({sizes}, DType::{dtype}, device)?");
            return Ok(Form::Expr(text, Vec::new()));
        }
        let text = match literal::elements(&array) {
            Some(text) => text,
            None => return Err(format!("candle has no {}", array.dtype)),
        };
        let mut text = format!("Tensor::new({text}, device)?");
        if array.rank() > 1 {
            let sizes = array.shape.iter().map(ToString::to_string).collect();
            text = format!("{text}.reshape({})?", tuple(sizes));
        }
        Ok(Form::Expr(text, Vec::new()))
    }
}

/// The helpers that a body calls.
fn template_helpers(body: &str) -> impl Iterator<Item = &str> {
    body.split("ops::").enumerate().filter(|(i, _)| *i > 0).filter_map(|(_, rest)| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end)
    })
}

/// Texts as a tuple that candle takes for a shape or for axes.
pub(super) fn tuple(texts: Vec<String>) -> String {
    match &texts[..] {
        [one] => one.clone(),
        many if many.len() <= 6 => format!("({})", many.join(", ")),
        many => format!("vec![{}]", many.join(", ")),
    }
}
