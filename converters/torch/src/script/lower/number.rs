//! Arithmetic on numbers, sizes included.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::{Class, DType};

use super::eval::{Lower, Run};
use super::sink::{AtenSink, Compare};
use super::value::Value;

impl<S: AtenSink> Lower<'_, '_, S> {
    /// An operator on numbers; `None` if it is none of them.
    pub(super) fn compute_number(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        if args.iter().any(|a| matches!(a, Value::Number(_))) {
            return self.compute_at_run_time(name, args);
        }
        if let Some(how) = comparison(name)
            && let [a, b] = args
        {
            return self.compare(name, how, a, b).map(Some);
        }
        match args {
            [Value::Int(a)] => self.int_function(name, a),
            [Value::Bool(b)] => Ok(match name {
                "aten::__not__" => Some(Value::Bool(!b)),
                "aten::neg" => Some(Value::int(-i64::from(*b))),
                _ => None,
            }),
            [Value::Float(v)] => Ok(float_function(name, *v)),
            [Value::Int(a), Value::Int(b)] => self.int_operator(name, a, b),
            [Value::Bool(a), Value::Bool(b)] => match name {
                "aten::__and__" => Ok(Some(Value::Bool(a & b))),
                "aten::__or__" => Ok(Some(Value::Bool(a | b))),
                "aten::__xor__" => Ok(Some(Value::Bool(a ^ b))),
                _ => self.int_operator(name, &Dim::Known((*a).into()), &Dim::Known((*b).into())),
            },
            [a, b] => match (a.known_float(), b.known_float()) {
                (Some(x), Some(y)) => Ok(float_operator(name, x, y)),
                // A size with a float: its value is known at run time only.
                _ if is_arithmetic(name) => self.compute_at_run_time(name, args),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn int_function(&mut self, name: &str, a: &Dim) -> Run<Option<Value<S::Tensor>>> {
        let known = a.as_known();
        Ok(Some(match (name, known) {
            ("aten::neg", _) => Value::Int(a.neg()),
            ("aten::abs" | "prim::abs", _) => Value::Int(Dim::max_all([a.clone(), a.neg()])),
            ("aten::Int" | "aten::floor" | "aten::ceil", _) => Value::Int(a.clone()),
            // Of an integer too, what is rounded is a float.
            ("aten::round", None) => {
                return self.compute_at_run_time("aten::Float", &[Value::Int(a.clone())]);
            }
            ("aten::round", Some(n)) => Value::Float(n as f64),
            ("aten::Bool", Some(n)) => Value::Bool(n != 0),
            ("aten::__not__", Some(n)) => Value::Bool(n == 0),
            ("aten::bitwise_not", Some(n)) => Value::int(!n),
            ("aten::Float", Some(n)) => Value::Float(n as f64),
            (_, Some(n)) => return Ok(float_function(name, n as f64)),
            ("aten::Float" | "aten::Bool" | "aten::sqrt" | "aten::log" | "aten::exp", None) => {
                return self.compute_at_run_time(name, &[Value::Int(a.clone())]);
            }
            _ => return Ok(None),
        }))
    }

    fn int_operator(&mut self, name: &str, a: &Dim, b: &Dim) -> Run<Option<Value<S::Tensor>>> {
        let known = a.as_known().zip(b.as_known());
        let zero = b.as_known() == Some(0);
        let dim = match name {
            "aten::add" => a.add(b),
            "aten::sub" => a.sub(b),
            "aten::mul" => a.mul(b),
            "aten::floordiv" | "aten::remainder" if zero => {
                return self.invalid("a division by zero");
            }
            "aten::floordiv" => a.floor_div(b),
            "aten::remainder" => a.rem(b),
            "prim::min" | "aten::minimum" => Dim::min_all([a.clone(), b.clone()]),
            "prim::max" | "aten::maximum" => Dim::max_all([a.clone(), b.clone()]),
            _ => {
                let Some((x, y)) = known else {
                    return match is_arithmetic(name) {
                        true => {
                            let args = [Value::Int(a.clone()), Value::Int(b.clone())];
                            self.compute_at_run_time(name, &args)
                        }
                        false => Ok(None),
                    };
                };
                return Ok(known_ints(name, x, y));
            }
        };
        if dim.is_any() {
            return self
                .unsupported(format!("the result of `{name}` on sizes, which is too large"));
        }
        Ok(Some(Value::Int(dim)))
    }

    fn compare(
        &mut self,
        name: &str,
        how: Compare,
        a: &Value<S::Tensor>,
        b: &Value<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        if let (Value::Int(x), Value::Int(y)) = (a, b) {
            let found = match x.as_known().zip(y.as_known()) {
                Some((x, y)) => Some(holds(how, x.partial_cmp(&y))),
                None => self.sink.compare(how, x, y),
            };
            if let Some(result) = found {
                return Ok(Value::Bool(result));
            }
        } else if let (Some(x), Some(y)) = (a.known_float(), b.known_float()) {
            return Ok(Value::Bool(holds(how, x.partial_cmp(&y))));
        } else if let (Value::Str(x), Value::Str(y)) = (a, b) {
            return Ok(Value::Bool(holds(how, x.partial_cmp(y))));
        }
        let args = [a.clone(), b.clone()];
        if args.iter().all(Value::is_number)
            && let Some(value) = self.compute_at_run_time(name, &args)?
        {
            return Ok(value);
        }
        let equal = self.same(a, b, 0);
        match how {
            Compare::Eq => Ok(Value::Bool(equal)),
            Compare::Ne => Ok(Value::Bool(!equal)),
            _ => self.unsupported(format!("`{name}` of {} and {}", a.kind(), b.kind())),
        }
    }

    /// The same on tensors of rank 0.
    fn compute_at_run_time(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        if !args.iter().all(Value::is_number) {
            return Ok(None);
        }
        let to = match name {
            "aten::Int" => Some(DType::I64),
            "aten::Float" => Some(DType::F64),
            "aten::Bool" => Some(DType::Bool),
            _ => None,
        };
        if let (Some(to), [Value::Number(t)]) = (to, args)
            && self.dtype(*t)? == to
        {
            return Ok(Some(Value::Number(*t)));
        }
        let name = match name {
            "aten::floordiv" => "aten::floor_divide",
            "aten::__not__" => "aten::logical_not",
            "prim::min" => "aten::minimum",
            "prim::max" => "aten::maximum",
            "prim::abs" => "aten::abs",
            _ if to.is_some() => "aten::to",
            other => other,
        };
        let known = is_arithmetic(name) || comparison(name).is_some() || to.is_some();
        if !known {
            return Ok(None);
        }
        let mut tensors = Vec::new();
        for arg in args {
            tensors.push(Value::Tensor(self.number(arg)?));
        }
        if let Some(dtype) = to {
            let code = crate::common::dtype::to_script(dtype);
            tensors.push(code.map_or(Value::None, Value::int));
        }
        match self.pass_on(name, &tensors, &[])? {
            Value::Tensor(result) => self.item(result).map(Some),
            other => Ok(Some(other)),
        }
    }

    /// A number as a tensor of rank 0.
    pub(super) fn number(&mut self, value: &Value<S::Tensor>) -> Run<S::Tensor> {
        if let Value::Number(t) | Value::Tensor(t) = value {
            return self.local(*t);
        }
        let arg = self.arg(value)?;
        let made = self.sink.number(&arg);
        let made = self.stopped(made, "")?;
        self.born(made);
        Ok(made)
    }

    /// The element of a tensor as a number.
    pub(super) fn item(&mut self, tensor: S::Tensor) -> Run<Value<S::Tensor>> {
        let tensor = self.local(tensor)?;
        let item = self.sink.item(tensor);
        let item = self.stopped(item, "")?;
        self.born_all(&item);
        Ok(self.value_of(&item))
    }

    /// Whether a value counts as true; `None` if only a run can tell.
    pub(super) fn truth(&mut self, value: &Value<S::Tensor>) -> Run<Option<bool>> {
        Ok(match value {
            Value::None => Some(false),
            Value::Bool(b) => Some(*b),
            Value::Float(v) => Some(*v != 0.0),
            Value::Int(dim) => match dim.as_known() {
                Some(n) => Some(n != 0),
                None => self.sink.compare(Compare::Ne, dim, &Dim::Known(0)),
            },
            Value::Number(_) => None,
            Value::Tensor(t) => {
                let item = self.item(*t)?;
                match item {
                    Value::Number(_) | Value::Tensor(_) => None,
                    known => return self.truth(&known),
                }
            }
            other => return self.unsupported(format!("{} as a condition", other.kind())),
        })
    }

    /// A condition that only a run can tell, as a tensor of truth values of rank 0.
    pub(super) fn condition(&mut self, value: &Value<S::Tensor>) -> Run<S::Tensor> {
        let value = match value {
            Value::Tensor(t) => self.item(*t)?,
            other => other.clone(),
        };
        let tensor = self.number(&value)?;
        if self.dtype(tensor)?.class() == Class::Bool {
            return Ok(tensor);
        }
        let code = crate::common::dtype::to_script(DType::Bool).map_or(Value::None, Value::int);
        match self.pass_on("aten::to", &[Value::Tensor(tensor), code], &[])? {
            Value::Tensor(t) => Ok(t),
            other => self.invalid(format!("a condition is {}", other.kind())),
        }
    }

    /// A list of sizes as a value.
    pub(super) fn sizes(&mut self, tensor: S::Tensor) -> Run<Vec<Value<S::Tensor>>> {
        let shape = self.sink.shape(tensor);
        let shape = self.stopped(shape, "")?;
        Ok(shape.iter().cloned().map(Value::Int).collect())
    }

    /// A number as text.
    pub(super) fn text(&self, value: &Value<S::Tensor>) -> String {
        match value {
            Value::Str(text) => text.to_string(),
            Value::None => "None".to_owned(),
            Value::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
            Value::Int(Dim::Known(n)) => n.to_string(),
            Value::Float(v) => v.to_string(),
            Value::List(at) => {
                let items: Vec<_> = self.heap.list(*at).iter().map(|v| self.text(v)).collect();
                format!("[{}]", items.join(", "))
            }
            other => other.kind(),
        }
    }
}

fn comparison(name: &str) -> Option<Compare> {
    Some(match name {
        "aten::eq" => Compare::Eq,
        "aten::ne" => Compare::Ne,
        "aten::lt" => Compare::Lt,
        "aten::le" => Compare::Le,
        "aten::gt" => Compare::Gt,
        "aten::ge" => Compare::Ge,
        _ => return None,
    })
}

/// Operators of numbers that tensors have too.
fn is_arithmetic(name: &str) -> bool {
    matches!(
        name.split_once("::").map_or(name, |(_, n)| n),
        "add"
            | "sub"
            | "mul"
            | "div"
            | "floor_divide"
            | "floordiv"
            | "remainder"
            | "pow"
            | "neg"
            | "abs"
            | "minimum"
            | "maximum"
            | "min"
            | "max"
            | "logical_not"
            | "__not__"
            | "__and__"
            | "__or__"
            | "__xor__"
            | "sqrt"
            | "exp"
            | "log"
            | "floor"
            | "ceil"
            | "round"
            | "sin"
            | "cos"
    )
}

fn holds(how: Compare, order: Option<std::cmp::Ordering>) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match how {
        Compare::Eq => order == Some(Equal),
        Compare::Ne => order != Some(Equal),
        Compare::Lt => order == Some(Less),
        Compare::Le => matches!(order, Some(Less | Equal)),
        Compare::Gt => order == Some(Greater),
        Compare::Ge => matches!(order, Some(Greater | Equal)),
    }
}

fn known_ints<T>(name: &str, x: i64, y: i64) -> Option<Value<T>> {
    Some(match name {
        "aten::__and__" => Value::int(x & y),
        "aten::__or__" => Value::int(x | y),
        "aten::__xor__" => Value::int(x ^ y),
        "aten::__lshift__" => Value::int(x.checked_shl(u32::try_from(y).ok()?)?),
        "aten::__rshift__" => Value::int(x.checked_shr(u32::try_from(y).ok()?)?),
        _ => return float_operator(name, x as f64, y as f64),
    })
}

fn float_operator<T>(name: &str, x: f64, y: f64) -> Option<Value<T>> {
    Some(Value::Float(match name {
        "aten::add" => x + y,
        "aten::sub" => x - y,
        "aten::mul" => x * y,
        "aten::div" | "aten::truediv" => x / y,
        "aten::floordiv" => (x / y).floor(),
        "aten::remainder" => x - y * (x / y).floor(),
        "aten::pow" => x.powf(y),
        "prim::min" => x.min(y),
        "prim::max" => x.max(y),
        _ => return None,
    }))
}

fn float_function<T>(name: &str, v: f64) -> Option<Value<T>> {
    let whole = |v: f64| {
        let fits = v.abs() < 9e18;
        fits.then_some(Value::int(v as i64))
    };
    Some(Value::Float(match name {
        "aten::neg" => -v,
        "aten::abs" | "prim::abs" => v.abs(),
        "aten::sqrt" => v.sqrt(),
        "aten::exp" => v.exp(),
        "aten::log" => v.ln(),
        "aten::log2" => v.log2(),
        "aten::log10" => v.log10(),
        "aten::sin" => v.sin(),
        "aten::cos" => v.cos(),
        "aten::tanh" => v.tanh(),
        "aten::Float" => v,
        "aten::Int" => return whole(v.trunc()),
        "aten::floor" => return whole(v.floor()),
        "aten::ceil" => return whole(v.ceil()),
        "aten::round" => v.round_ties_even(),
        "aten::Bool" => return Some(Value::Bool(v != 0.0)),
        "aten::isnan" => return Some(Value::Bool(v.is_nan())),
        "aten::isinf" => return Some(Value::Bool(v.is_infinite())),
        _ => return None,
    }))
}
