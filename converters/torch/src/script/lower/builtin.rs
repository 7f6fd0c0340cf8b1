//! Operators on lists, dictionaries, texts and types, and what tensors say of themselves.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::Class;

use super::eval::{Env, Halt, Lower, Run};
use super::heap::Cell;
use super::sink::AtenSink;
use super::value::Value;
use crate::common::dtype;
use crate::script::syntax::ast::{Expr, ExprKind, TypeExpr};

impl<'s, S: AtenSink> Lower<'s, '_, S> {
    /// An operator that is computed here; `None` if it is for the sink.
    pub(super) fn compute(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
        named: &[(String, Value<S::Tensor>)],
    ) -> Run<Option<Value<S::Tensor>>> {
        match name {
            "prim::RaiseException" => {
                let message = args.first().map_or(String::new(), |v| self.text(v));
                return Err(Halt::Raised(message, self.at()));
            }
            "aten::warn" | "prim::Print" | "aten::set_grad_enabled" => {
                return Ok(Some(Value::None));
            }
            "aten::is_grad_enabled"
            | "aten::is_autocast_enabled"
            | "aten::is_scripting"
            | "aten::backends::mha::get_fastpath_enabled"
            | "cuda::is_available" => {
                return Ok(Some(Value::Bool(name == "aten::is_scripting")));
            }
            "aten::format" => return self.format(args).map(Some),
            "aten::device" => {
                let name = args.first().map_or(String::new(), |v| self.text(v));
                return Ok(Some(Value::Device(name.into())));
            }
            _ => {}
        }
        if let (Some(first), true) = (args.first(), named.is_empty())
            && let Some(value) = match first {
                Value::Tensor(t) => self.compute_tensor(name, *t, args)?,
                Value::List(_) | Value::Tuple(_) | Value::Named(..) => {
                    self.compute_list(name, args)?
                }
                Value::Dict(_) => self.compute_dict(name, args)?,
                Value::Str(_) => self.compute_text(name, args)?,
                Value::Device(_) if name == "prim::type" => Some(Value::str("cpu")),
                Value::Device(_) if name == "prim::index" => Some(Value::None),
                _ => None,
            }
        {
            return Ok(Some(value));
        }
        if let Some(value) = self.compute_any(name, args)? {
            return Ok(Some(value));
        }
        match named.is_empty() && args.iter().all(|a| !matches!(a, Value::Tensor(_))) {
            true => self.compute_number(name, args),
            false => Ok(None),
        }
    }

    /// What any value answers.
    fn compute_any(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        Ok(Some(match (name, args) {
            ("aten::__is__", [a, b]) => Value::Bool(self.same(a, b, 0)),
            ("aten::__isnot__", [a, b]) => Value::Bool(!self.same(a, b, 0)),
            ("prim::unchecked_unwrap_optional" | "prim::unchecked_cast", [a]) => a.clone(),
            ("prim::NumToTensor", [a]) => Value::Tensor(self.number(a)?),
            ("prim::TupleIndex", [a, b]) => return self.get_item(a, b).map(Some),
            ("aten::dict", []) => Value::Dict(self.heap.push(Cell::Dict(Vec::new()))),
            ("aten::__range_length", [begin, end, step]) => {
                let parts = (begin.known_int(), end.known_int(), step.known_int());
                let (Some(begin), Some(end), Some(step)) = parts else {
                    return self.range_length(begin, end, step).map(Some);
                };
                Value::int(range_length(begin, end, step).unwrap_or(0))
            }
            ("aten::__derive_index", [at, begin, step]) => {
                let scaled = self.operator("aten::mul", vec![at.clone(), step.clone()], vec![])?;
                return self.operator("aten::add", vec![begin.clone(), scaled], vec![]).map(Some);
            }
            ("aten::Int" | "aten::Float" | "aten::Bool" | "aten::Scalar", [Value::Tensor(t)]) => {
                let item = self.item(*t)?;
                return match name {
                    "aten::Scalar" => Ok(Some(item)),
                    _ => self.operator(name, vec![item], vec![]).map(Some),
                };
            }
            ("aten::Int" | "aten::Float" | "aten::Bool", [_]) => {
                return self.compute_number(name, args);
            }
            _ => return Ok(None),
        }))
    }

    /// The number of iterations of a range whose ends are sizes.
    fn range_length(
        &mut self,
        begin: &Value<S::Tensor>,
        end: &Value<S::Tensor>,
        step: &Value<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        match (begin, end, step) {
            (Value::Int(begin), Value::Int(end), Value::Int(step)) => {
                let count = end.sub(begin).ceil_div(step);
                Ok(Value::Int(Dim::max_all([count, Dim::Known(0)])))
            }
            _ => self.unsupported("a range whose ends only a run can tell"),
        }
    }

    /// What a tensor says of itself.
    fn compute_tensor(
        &mut self,
        name: &str,
        tensor: S::Tensor,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        Ok(Some(match (name, args) {
            ("aten::size", [_]) => {
                let sizes = self.sizes(tensor)?;
                Value::List(self.heap.push(Cell::List(sizes)))
            }
            ("aten::size" | "aten::sym_size", [_, axis]) => {
                let sizes = self.sizes(tensor)?;
                let at = self.position(axis, sizes.len())?;
                sizes.get(at).cloned().unwrap_or(Value::None)
            }
            ("aten::len", [_]) => match self.sizes(tensor)?.into_iter().next() {
                Some(size) => size,
                None => return self.invalid("a tensor without axes has no length"),
            },
            ("aten::dim" | "prim::ndim", [_]) => Value::int(self.sizes(tensor)?.len() as i64),
            ("aten::numel", [_]) => {
                let sizes = self.sizes(tensor)?;
                let dims = sizes.iter().filter_map(|v| match v {
                    Value::Int(dim) => Some(dim.clone()),
                    _ => None,
                });
                Value::Int(dims.fold(Dim::Known(1), |n, d| n.mul(&d)))
            }
            ("prim::dtype", [_]) => {
                let dtype = self.dtype(tensor)?;
                match dtype::to_script(dtype) {
                    Some(code) => Value::int(code),
                    None => return self.unsupported(format!("a tensor of {dtype}")),
                }
            }
            ("prim::device", [_]) => Value::Device("cpu".into()),
            ("prim::layout", [_]) => Value::int(0),
            (
                "prim::is_cuda"
                | "prim::is_sparse"
                | "prim::is_quantized"
                | "prim::is_mkldnn"
                | "prim::is_nested"
                | "prim::requires_grad"
                | "prim::is_meta"
                | "prim::is_mps"
                | "prim::is_xla"
                | "prim::is_sparse_csr",
                [_],
            ) => Value::Bool(false),
            ("prim::is_cpu", [_]) => Value::Bool(true),
            ("aten::is_floating_point" | "aten::is_complex" | "aten::is_signed", [_]) => {
                let class = self.dtype(tensor)?.class();
                Value::Bool(match name {
                    "aten::is_floating_point" => class == Class::Float,
                    "aten::is_complex" => class == Class::Complex,
                    _ => !matches!(class, Class::Bool | Class::Unsigned),
                })
            }
            ("prim::data" | "aten::cpu", [a]) => a.clone(),
            ("aten::item", [_]) => return self.item(tensor).map(Some),
            _ => return Ok(None),
        }))
    }

    /// Lists and tuples.
    fn compute_list(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        let Some(first) = args.first() else { return Ok(None) };
        let items = self.items(first)?;
        let new = |lower: &mut Self, items| Value::List(lower.heap.push(Cell::List(items)));
        Ok(Some(match (name, args) {
            ("aten::len", [_]) => Value::int(items.len() as i64),
            ("aten::__getitem__" | "aten::select", [list, index]) => {
                return self.get_item(list, index).map(Some);
            }
            ("aten::_set_item", [list, index, value]) => {
                self.set_item(list, index.clone(), value.clone())?;
                list.clone()
            }
            ("aten::list" | "aten::copy", [_]) => new(self, items),
            ("aten::__contains__", [_, item]) => {
                Value::Bool(items.iter().any(|i| self.same(i, item, 0)))
            }
            ("aten::slice", [_, rest @ ..]) => {
                let bounds = self.slice_bounds(items.len(), rest)?;
                let picked = bounds.into_iter().filter_map(|i| items.get(i).cloned()).collect();
                new(self, picked)
            }
            ("aten::add", [_, other @ (Value::List(_) | Value::Tuple(_))]) => {
                let mut all = items;
                all.extend(self.items(other)?);
                match first {
                    Value::List(_) => new(self, all),
                    _ => Value::tuple(all),
                }
            }
            ("aten::mul", [_, count]) if count.known_int().is_some() => {
                let count = count.known_int().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                let total = items.len().saturating_mul(count);
                if total > 1 << 20 {
                    return self.unsupported(format!("a list of {total} elements"));
                }
                let all = std::iter::repeat_n(items, count).flatten().collect();
                new(self, all)
            }
            ("aten::index", [_, item]) => match items.iter().position(|i| self.same(i, item, 0)) {
                Some(at) => Value::int(at as i64),
                None => return self.invalid("a list does not have the element"),
            },
            ("aten::sum", [_]) if items.iter().all(Value::is_number) => {
                let mut sum = Value::int(0);
                for item in items {
                    sum = self.operator("aten::add", vec![sum, item], vec![])?;
                }
                sum
            }
            ("aten::all" | "aten::any", [_]) if items.iter().all(Value::is_number) => {
                let stop = name == "aten::any";
                let mut result = !stop;
                for item in items {
                    match self.truth(&item)? {
                        Some(b) if b == stop => {
                            result = stop;
                            break;
                        }
                        Some(_) => {}
                        None => return self.unsupported("a list of truth values of a run"),
                    }
                }
                Value::Bool(result)
            }
            ("prim::min" | "prim::max", [_]) => {
                let mut items = items.into_iter();
                let Some(mut best) = items.next() else { return self.invalid("an empty list") };
                for item in items {
                    best = self.operator(name, vec![best, item], vec![])?;
                }
                best
            }
            ("aten::sorted", [_]) => {
                let keys: Option<Vec<f64>> = items.iter().map(Value::known_float).collect();
                let Some(keys) = keys else { return self.unsupported("a list is sorted") };
                let mut order: Vec<usize> = (0..items.len()).collect();
                order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
                new(self, order.into_iter().filter_map(|i| items.get(i).cloned()).collect())
            }
            _ => return self.change_list(name, args),
        }))
    }

    /// Operators that change a list.
    fn change_list(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        let Some(Value::List(at)) = args.first() else { return Ok(None) };
        let more = match (name, args) {
            ("aten::extend", [_, other]) => self.items(other)?,
            _ => Vec::new(),
        };
        let length = self.heap.list(*at).len();
        let place = match (name, args) {
            ("aten::insert", [_, index, _]) => index.known_int().map(|i| {
                let i = if i < 0 { i.saturating_add(length as i64).max(0) } else { i };
                (i as usize).min(length)
            }),
            ("aten::pop", [_, index, ..]) => Some(self.position(index, length)?),
            ("aten::pop", [_]) if length > 0 => Some(length - 1),
            ("aten::Delete", [_, index]) => Some(self.position(index, length)?),
            _ => None,
        };
        let Some(items) = self.heap.list_mut(*at) else { return Ok(None) };
        Ok(Some(match (name, args, place) {
            ("aten::append", [list, item], _) => {
                items.push(item.clone());
                list.clone()
            }
            ("aten::extend", [_, _], _) => {
                items.extend(more);
                Value::None
            }
            ("aten::insert", [_, _, item], Some(place)) => {
                items.insert(place, item.clone());
                Value::None
            }
            ("aten::pop", _, Some(place)) => items.remove(place),
            ("aten::Delete", _, Some(place)) => {
                items.remove(place);
                Value::None
            }
            ("aten::clear", [_], _) => {
                items.clear();
                Value::None
            }
            ("aten::reverse", [_], _) => {
                items.reverse();
                Value::None
            }
            _ => return Ok(None),
        }))
    }

    fn compute_dict(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        let Some(Value::Dict(at)) = args.first() else { return Ok(None) };
        let pairs = self.heap.dict(*at).to_vec();
        let list = |lower: &mut Self, items| Value::List(lower.heap.push(Cell::List(items)));
        Ok(Some(match (name, args) {
            ("aten::len", [_]) => Value::int(pairs.len() as i64),
            ("aten::keys", [_]) => list(self, pairs.into_iter().map(|(k, _)| k).collect()),
            ("aten::values", [_]) => list(self, pairs.into_iter().map(|(_, v)| v).collect()),
            ("aten::items", [_]) => {
                list(self, pairs.into_iter().map(|(k, v)| Value::tuple(vec![k, v])).collect())
            }
            ("aten::copy" | "aten::dict", [_]) => Value::Dict(self.heap.push(Cell::Dict(pairs))),
            ("aten::__contains__", [_, key]) => {
                Value::Bool(pairs.iter().any(|(k, _)| self.same(k, key, 0)))
            }
            ("aten::__getitem__", [dict, key]) => return self.get_item(dict, key).map(Some),
            ("aten::get", [_, key, rest @ ..]) => {
                let found = pairs.iter().find(|(k, _)| self.same(k, key, 0));
                let default = rest.first().cloned().unwrap_or(Value::None);
                found.map_or(default, |(_, v)| v.clone())
            }
            ("aten::_set_item", [dict, key, value]) => {
                self.set_item(dict, key.clone(), value.clone())?;
                Value::None
            }
            ("aten::update", [dict, Value::Dict(other)]) => {
                for (key, value) in self.heap.dict(*other).to_vec() {
                    self.set_item(dict, key, value)?;
                }
                Value::None
            }
            _ => return Ok(None),
        }))
    }

    fn compute_text(
        &mut self,
        name: &str,
        args: &[Value<S::Tensor>],
    ) -> Run<Option<Value<S::Tensor>>> {
        Ok(Some(match (name, args) {
            ("aten::add", [Value::Str(a), Value::Str(b)]) => Value::str(&format!("{a}{b}")),
            ("aten::len", [Value::Str(a)]) => Value::int(a.chars().count() as i64),
            ("aten::startswith", [Value::Str(a), Value::Str(b)]) => {
                Value::Bool(a.starts_with(&**b))
            }
            ("aten::endswith", [Value::Str(a), Value::Str(b)]) => Value::Bool(a.ends_with(&**b)),
            ("aten::lower", [Value::Str(a)]) => Value::str(&a.to_lowercase()),
            ("aten::upper", [Value::Str(a)]) => Value::str(&a.to_uppercase()),
            ("aten::__contains__", [Value::Str(a), Value::Str(b)]) => Value::Bool(a.contains(&**b)),
            _ => return Ok(None),
        }))
    }

    fn format(&mut self, args: &[Value<S::Tensor>]) -> Run<Value<S::Tensor>> {
        let [Value::Str(pattern), rest @ ..] = args else {
            return self.invalid("a text is made of no pattern");
        };
        let mut out = String::new();
        let mut rest = rest.iter();
        for (i, piece) in pattern.split("{}").enumerate() {
            if i > 0 {
                out.push_str(&rest.next().map_or(String::new(), |v| self.text(v)));
            }
            out.push_str(piece);
        }
        Ok(Value::str(&out))
    }

    // Elements.

    /// An index made non-negative and checked.
    pub(super) fn position(&mut self, index: &Value<S::Tensor>, length: usize) -> Run<usize> {
        let Some(index) = index.known_int() else {
            return self.unsupported("an index that is not known");
        };
        let at = if index < 0 { index.saturating_add(length as i64) } else { index };
        match usize::try_from(at) {
            Ok(at) if at < length => Ok(at),
            _ => self.invalid(format!("index {index} is outside of {length} elements")),
        }
    }

    pub(super) fn get_item(
        &mut self,
        of: &Value<S::Tensor>,
        index: &Value<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        match of {
            Value::Dict(at) => {
                let found = self.heap.dict(*at).iter().find(|(k, _)| self.same(k, index, 0));
                match found {
                    Some((_, value)) => Ok(value.clone()),
                    None => self.invalid("a dictionary does not have the key"),
                }
            }
            Value::Object(at) => {
                // A container of modules: `getattr` by the number.
                let name = self.text(index);
                self.attr(&Value::Object(*at), &name)
            }
            Value::Tensor(_) => {
                let args = vec![of.clone(), Value::int(0), index.clone()];
                self.operator("aten::select", args, Vec::new())
            }
            _ => {
                let items = self.items(of)?;
                let at = self.position(index, items.len())?;
                Ok(items.get(at).cloned().unwrap_or(Value::None))
            }
        }
    }

    pub(super) fn set_item(
        &mut self,
        of: &Value<S::Tensor>,
        index: Value<S::Tensor>,
        value: Value<S::Tensor>,
    ) -> Run<()> {
        match of {
            Value::List(at) => {
                let place = self.position(&index, self.heap.list(*at).len())?;
                if let Some(slot) = self.heap.list_mut(*at).and_then(|l| l.get_mut(place)) {
                    *slot = value;
                }
                Ok(())
            }
            Value::Dict(at) => {
                let pairs = self.heap.dict(*at);
                let place = pairs.iter().position(|(k, _)| self.same(k, &index, 0));
                if let Some(pairs) = self.heap.dict_mut(*at) {
                    match place.and_then(|i| pairs.get_mut(i)) {
                        Some(pair) => pair.1 = value,
                        None => pairs.push((index, value)),
                    }
                }
                Ok(())
            }
            other => self.unsupported(format!("an element of {} is set", other.kind())),
        }
    }

    /// The positions that a slice of a list picks.
    fn slice_bounds(&mut self, length: usize, args: &[Value<S::Tensor>]) -> Run<Vec<usize>> {
        let n = length as i64;
        let mut bounds = [Some(0), Some(n), Some(1)];
        for (slot, arg) in bounds.iter_mut().zip(args) {
            if *arg != Value::None {
                *slot = arg.known_int();
            }
        }
        let [Some(begin), Some(end), Some(step)] = bounds else {
            return self.unsupported("a slice of a list whose ends are not known");
        };
        if step < 1 {
            return self.unsupported("a slice of a list that goes backwards");
        }
        let clamp = |i: i64| if i < 0 { (i.saturating_add(n)).max(0) } else { i.min(n) };
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        Ok((clamp(begin) as usize..clamp(end) as usize).step_by(step).collect())
    }

    // Functions of the language.

    /// A call of a function that has a plain name.
    pub(super) fn builtin(
        &mut self,
        name: &str,
        args: &'s [Expr],
        env: &mut Env<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        match (name, args) {
            ("annotate" | "unchecked_cast", [_, value]) => self.expr(value, env),
            ("uninitialized", [_]) => Ok(Value::Missing("it is not initialised".into())),
            ("isinstance", [value, ty]) => {
                let value = self.expr(value, env)?;
                self.is_a_any(&value, ty).map(Value::Bool)
            }
            ("getattr", [of, field]) => {
                let of = self.expr(of, env)?;
                match &field.kind {
                    ExprKind::Str(field) => self.attr(&of, field),
                    _ => self.invalid("`getattr` without a name"),
                }
            }
            ("hasattr", [of, field]) => {
                let of = self.expr(of, env)?;
                let field = self.expr(field, env)?;
                let name = self.text(&field);
                Ok(Value::Bool(self.attr(&of, &name).is_ok()))
            }
            ("int" | "float" | "bool" | "len" | "abs" | "min" | "max" | "str", _) => {
                let values: Vec<_> = args.iter().map(|a| self.expr(a, env)).collect::<Run<_>>()?;
                let operator = match name {
                    "int" => "aten::Int",
                    "float" => "aten::Float",
                    "bool" => "aten::Bool",
                    "len" => "aten::len",
                    "abs" => "prim::abs",
                    "min" => "prim::min",
                    "max" => "prim::max",
                    _ => {
                        let text = values.first().map_or(String::new(), |v| self.text(v));
                        return Ok(Value::str(&text));
                    }
                };
                self.operator(operator, values, Vec::new())
            }
            _ => self.unsupported(format!("`{name}`, which is not known")),
        }
    }

    fn is_a_any(&mut self, value: &Value<S::Tensor>, ty: &Expr) -> Run<bool> {
        if let ExprKind::Tuple(types) | ExprKind::List(types) = &ty.kind {
            for ty in types {
                if self.is_a_any(value, ty)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        match type_of_expr(ty) {
            Some(ty) => self.is_a(value, &ty),
            None => self.invalid("`isinstance` without a type"),
        }
    }

    /// Whether a value is of a type.
    fn is_a(&mut self, value: &Value<S::Tensor>, ty: &TypeExpr) -> Run<bool> {
        Ok(match (ty.name.as_str(), value) {
            ("Any", _) => true,
            ("Optional", Value::None) => true,
            ("Optional", _) => match ty.args.first() {
                Some(inner) => self.is_a(value, inner)?,
                None => false,
            },
            ("Union", _) => {
                let found = ty.args.iter().map(|t| self.is_a(value, t)).collect::<Run<Vec<_>>>()?;
                found.contains(&true)
            }
            ("NoneType", Value::None) => true,
            ("Tensor", Value::Tensor(_)) => true,
            ("bool", Value::Bool(_)) | ("int", Value::Int(_)) | ("float", Value::Float(_)) => true,
            ("str", Value::Str(_)) | ("Device", Value::Device(_)) => true,
            ("number", v) => v.is_number(),
            ("bool" | "int" | "float", Value::Number(t)) => {
                let class = self.dtype(*t)?.class();
                let want = match ty.name.as_str() {
                    "bool" => Class::Bool,
                    "int" => Class::Signed,
                    _ => Class::Float,
                };
                class == want
            }
            ("List" | "list", Value::List(at)) => {
                let items = self.heap.list(*at).to_vec();
                match ty.args.first() {
                    Some(element) => {
                        let found = items.iter().map(|v| self.is_a(v, element));
                        !found.collect::<Run<Vec<_>>>()?.contains(&false)
                    }
                    None => true,
                }
            }
            ("Dict" | "dict", Value::Dict(_)) => true,
            ("Tuple" | "tuple", Value::Tuple(_) | Value::Named(..)) => true,
            (name, Value::Named(class, _)) => **class == *name,
            (name, Value::Object(at)) => self.heap.object(*at).is_some_and(|o| *o.class == *name),
            _ => false,
        })
    }
}

/// The type that an expression writes.
fn type_of_expr(expr: &Expr) -> Option<TypeExpr> {
    match &expr.kind {
        ExprKind::None => Some(TypeExpr::plain("NoneType")),
        ExprKind::Index(of, args) => {
            let args = match &args.kind {
                ExprKind::Tuple(args) => args.iter().map(type_of_expr).collect::<Option<_>>()?,
                _ => vec![type_of_expr(args)?],
            };
            Some(TypeExpr { name: of.dotted()?, args })
        }
        _ => Some(TypeExpr { name: expr.dotted()?, args: Vec::new() }),
    }
}

/// The number of iterations of a range.
fn range_length(begin: i64, end: i64, step: i64) -> Option<i64> {
    let (begin, end, step) = (i128::from(begin), i128::from(end), i128::from(step));
    let count = match step {
        0 => return None,
        1.. => (end - begin + step - 1).div_euclid(step),
        _ => (begin - end - step - 1).div_euclid(-step),
    };
    i64::try_from(count.max(0)).ok()
}
