//! Calls: of methods, functions and classes of the program, and of operators.

use std::sync::Arc;

use airconv_ir::dim::Dim;

use super::eval::{Env, Lower, Run};
use super::heap::{Cell, Object, Ref};
use super::resolve::{Resolved, Types, resolve};
use super::sink::AtenSink;
use super::value::Value;
use crate::common::dtype;
use crate::common::schema::{Param, Ty, schemas};
use crate::import::arg::{Arg, strip_optional};
use crate::script::syntax::ast::{Class, Expr, ExprKind, Source, TypeExpr};

/// What a call counts for that is left in the program.
const KEPT: u64 = 10;

impl<'s, S: AtenSink> Lower<'s, '_, S> {
    pub(super) fn call(
        &mut self,
        function: &'s Expr,
        args: &'s [Expr],
        named: &'s [(String, Expr)],
        env: &mut Env<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        if let ExprKind::Name(name) = &function.kind
            && !env.contains_key(name)
        {
            return self.builtin(name, args, env);
        }
        if let ExprKind::Attr(of, method) = &function.kind {
            let of = self.expr(of, env)?;
            if let Value::Object(at) = of {
                let (args, named) = self.arguments(args, named, env)?;
                return self.call_method(at, method, args, named);
            }
            let callee = self.attr(&of, method)?;
            let (args, named) = self.arguments(args, named, env)?;
            return self.call_value(callee, args, named, function.line);
        }
        let callee = self.expr(function, env)?;
        let (args, named) = self.arguments(args, named, env)?;
        self.call_value(callee, args, named, function.line)
    }

    #[allow(clippy::type_complexity)]
    fn arguments(
        &mut self,
        args: &'s [Expr],
        named: &'s [(String, Expr)],
        env: &mut Env<S::Tensor>,
    ) -> Run<(Vec<Value<S::Tensor>>, Vec<(String, Value<S::Tensor>)>)> {
        let args = self.exprs(args, env)?;
        let named = named.iter().map(|(n, e)| Ok((n.clone(), self.expr(e, env)?)));
        Ok((args, named.collect::<Run<_>>()?))
    }

    pub(super) fn call_method(
        &mut self,
        at: Ref,
        method: &str,
        mut args: Vec<Value<S::Tensor>>,
        named: Vec<(String, Value<S::Tensor>)>,
    ) -> Run<Value<S::Tensor>> {
        let class = self.heap.object(at).map(|o| o.class.clone()).unwrap_or_default();
        let Some((source, found)) = self.script.class(&class) else {
            return self.unsupported(format!("class `{class}`, which has no source"));
        };
        let Some(function) = found.method(method) else {
            return self.invalid(format!("class `{class}` has no method `{method}`"));
        };
        args.insert(0, Value::Object(at));
        self.call_function(source, function, args, named)
    }

    fn call_value(
        &mut self,
        callee: Value<S::Tensor>,
        args: Vec<Value<S::Tensor>>,
        named: Vec<(String, Value<S::Tensor>)>,
        line: u32,
    ) -> Run<Value<S::Tensor>> {
        self.at_line(line);
        let name = match callee {
            Value::Name(name) => name,
            Value::Object(at) => return self.call_method(at, "__call__", args, named),
            other => return self.invalid(format!("{} is called", other.kind())),
        };
        if let Some(name) = name.strip_prefix("torch.") {
            let name = if name.contains('.') { name.replace('.', "::") } else { name.to_owned() };
            return self.operator(&format!("aten::{name}"), args, named);
        }
        if let Some(name) = name.strip_prefix("ops.") {
            return self.operator(&name.replacen('.', "::", 1), args, named);
        }
        if let Some((source, function)) = self.script.function(&name) {
            return self.call_function(source, function, args, named);
        }
        if let Some((source, class)) = self.script.class(&name) {
            return self.construct(&name, source, class, args, named);
        }
        if let Some(class) = name.strip_suffix(".__new__")
            && self.script.class(class).is_some()
        {
            let object = Object { class: class.into(), source: None, attrs: Vec::new() };
            return Ok(Value::Object(self.heap.push(Cell::Object(object))));
        }
        self.unsupported(format!("`{name}`, which has no source"))
    }

    fn construct(
        &mut self,
        name: &Arc<str>,
        source: &'s Source,
        class: &'s Class,
        mut args: Vec<Value<S::Tensor>>,
        named: Vec<(String, Value<S::Tensor>)>,
    ) -> Run<Value<S::Tensor>> {
        if class.base.as_deref() == Some("NamedTuple") {
            for field in class.fields.iter().skip(args.len()) {
                let given = named.iter().find(|(n, _)| *n == field.name).map(|(_, v)| v.clone());
                let value = match (given, &field.value) {
                    (Some(value), _) => value,
                    (None, Some(default)) => self.expr(default, &mut Env::default())?,
                    (None, None) => return self.invalid(format!("`{}` is missing", field.name)),
                };
                args.push(value);
            }
            return Ok(Value::Named(name.clone(), args.into()));
        }
        let object = Object { class: name.clone(), source: None, attrs: Vec::new() };
        let at = self.heap.push(Cell::Object(object));
        if let Some(init) = class.method("__init__") {
            args.insert(0, Value::Object(at));
            self.call_function(source, init, args, named)?;
        }
        Ok(Value::Object(at))
    }

    /// A call of an operator: computed where its arguments are known numbers, lists and the
    /// like, else passed on.
    pub(super) fn operator(
        &mut self,
        name: &str,
        mut args: Vec<Value<S::Tensor>>,
        mut named: Vec<(String, Value<S::Tensor>)>,
    ) -> Run<Value<S::Tensor>> {
        self.step()?;
        self.upgrade(name, &mut args, &mut named)?;
        if let Some(value) = self.compute(name, &args, &named)? {
            return Ok(value);
        }
        self.pass_on(name, &args, &named)
    }

    /// Passes a call on to the sink.
    pub(super) fn pass_on(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
        named: &[(String, Value<S::Tensor>)],
    ) -> Run<Value<S::Tensor>> {
        let sink = &mut *self.sink;
        let mut dtype = |t| sink.dtype(t).ok();
        let mut types = Types { heap: &self.heap, dtype: &mut dtype };
        let Some(Resolved { schema, args: placed }) = resolve(name, args, named, &mut types) else {
            let kinds: Vec<_> = args.iter().map(Value::kind).collect();
            let given = kinds.join(", ");
            return match schemas().overloads(name).next() {
                Some(_) => self.invalid(format!("`{name}` takes no {given}")),
                None => self.unsupported(format!("`{name}`, which is no operator of PyTorch")),
            };
        };
        let mut out = Vec::with_capacity(placed.len());
        for (param, value) in schema.params.iter().zip(&placed) {
            if let Some(Value::Tensor(t)) = value
                && param.written
            {
                self.refuse_outer_write(*t, &schema.name)?;
            }
            out.push(match value {
                Some(value) => self.argument(value, param)?,
                None => Arg::default_of(param).unwrap_or(Arg::None),
            });
        }
        self.steps(KEPT)?;
        let place = self.at();
        self.sink.place(&place);
        let results = self.sink.call(schema, &out);
        let mut results = self.stopped(results, &schema.display_name())?;
        for result in &results {
            self.born_all(result);
        }
        if results.len() != 1 {
            let items = results.iter().map(|r| self.value_of(r)).collect();
            return Ok(if schema.returns.is_empty() { Value::None } else { Value::tuple(items) });
        }
        Ok(results.pop().map_or(Value::None, |r| self.value_of(&r)))
    }

    /// A value as the argument that a parameter wants.
    fn argument(&mut self, value: &Value<S::Tensor>, param: &Param) -> Run<Arg<S::Tensor>> {
        let (ty, _) = strip_optional(&param.ty);
        let is_dtype = *ty == Ty::ScalarType || (*ty == Ty::Int && param.name == "dtype");
        match (ty, value) {
            (_, Value::None) => Ok(Arg::None),
            (_, Value::Int(dim)) if is_dtype => {
                let found = dim.as_known().and_then(dtype::from_script);
                match found {
                    Some(dtype) => Ok(Arg::DType(dtype)),
                    None => self.unsupported(format!("dtype {dim:?}")),
                }
            }
            // `torch.channels_last` and `torch.channels_last_3d` are 2 and 3.
            (Ty::MemoryFormat, Value::Int(Dim::Known(2 | 3))) => Ok(Arg::ChannelsLast),
            (Ty::Device | Ty::Layout | Ty::MemoryFormat, _) => Ok(Arg::Placement),
            (Ty::Scalar | Ty::Int | Ty::Float | Ty::Bool, Value::Tensor(t)) => {
                let tensor = self.local(*t)?;
                let item = self.sink.item(tensor);
                let item = self.stopped(item, &param.name)?;
                self.born_all(&item);
                Ok(item)
            }
            (Ty::Float, Value::Int(dim)) => match dim.as_known() {
                Some(n) => Ok(Arg::Float(n as f64)),
                None => Ok(Arg::Int(dim.clone())),
            },
            _ => self.arg(value),
        }
    }

    /// A value as an argument.
    pub(super) fn arg(&mut self, value: &Value<S::Tensor>) -> Run<Arg<S::Tensor>> {
        Ok(match value {
            Value::None => Arg::None,
            Value::Bool(b) => Arg::Bool(*b),
            Value::Int(Dim::Any) => return self.unsupported("a size that cannot be expressed"),
            Value::Int(dim) => Arg::Int(dim.clone()),
            Value::Float(v) => Arg::Float(*v),
            Value::Complex(re, im) => Arg::Complex(*re, *im),
            Value::Str(text) => Arg::Str(text.clone()),
            Value::Device(_) => Arg::Placement,
            Value::Tensor(t) => Arg::Tensor(self.local(*t)?),
            Value::Number(t) => Arg::Number(self.local(*t)?),
            Value::Tuple(_) | Value::Named(..) | Value::List(_) => {
                let items = self.items(value)?;
                Arg::List(items.iter().map(|v| self.arg(v)).collect::<Run<_>>()?)
            }
            other => return self.unsupported(format!("{} as an argument", other.kind())),
        })
    }

    /// A result of a call as a value.
    pub(super) fn value_of(&mut self, arg: &Arg<S::Tensor>) -> Value<S::Tensor> {
        match arg {
            Arg::None | Arg::Placement | Arg::ChannelsLast => Value::None,
            Arg::Tensor(t) => Value::Tensor(*t),
            Arg::Number(t) => Value::Number(*t),
            Arg::Int(dim) => Value::Int(dim.clone()),
            Arg::Float(v) => Value::Float(*v),
            Arg::Bool(b) => Value::Bool(*b),
            Arg::Complex(re, im) => Value::Complex(*re, *im),
            Arg::Str(text) => Value::Str(text.clone()),
            Arg::DType(dtype) => dtype::to_script(*dtype).map_or(Value::None, Value::int),
            Arg::List(items) => {
                let items = items.iter().map(|i| self.value_of(i)).collect();
                Value::List(self.heap.push(Cell::List(items)))
            }
        }
    }

    /// An input as a value of the stated type: lists and tuples differ.
    pub(super) fn typed_value(
        &mut self,
        arg: &Arg<S::Tensor>,
        ty: Option<&TypeExpr>,
    ) -> Run<Value<S::Tensor>> {
        let ty = ty.map(|t| match (t.name.as_str(), t.args.as_slice()) {
            ("Optional", [inner]) => inner,
            _ => t,
        });
        match (arg, ty) {
            (Arg::List(items), Some(ty)) => {
                let tuple = ty.name == "Tuple";
                let element = |i: usize| if tuple { ty.args.get(i) } else { ty.args.first() };
                let items = items.iter().enumerate();
                let items: Vec<_> =
                    items.map(|(i, a)| self.typed_value(a, element(i))).collect::<Run<_>>()?;
                Ok(match tuple {
                    true => Value::tuple(items),
                    false if self.script.class(&ty.name).is_some() => {
                        Value::Named(ty.name.as_str().into(), items.into())
                    }
                    false => Value::List(self.heap.push(Cell::List(items))),
                })
            }
            _ => Ok(self.value_of(arg)),
        }
    }
}
