//! What a run gives: the result of a method, and what it left changed.

use airconv_ir::dim::Dim;

use super::Output;
use super::eval::{Halt, Lower, Run};
use super::sink::AtenSink;
use super::value::Value;
use crate::error::FileError;

impl<S: AtenSink> Lower<'_, '_, S> {
    pub(super) fn output(
        &mut self,
        value: &Value<S::Tensor>,
        depth: u32,
    ) -> Run<Output<S::Tensor>> {
        if depth > 32 {
            return Err(Halt::Error(FileError::limit(self.at(), "the result nests too deep")));
        }
        Ok(match value {
            Value::List(_) | Value::Tuple(_) => {
                let items = self.items(value)?;
                Output::List(items.iter().map(|v| self.output(v, depth + 1)).collect::<Run<_>>()?)
            }
            Value::Named(class, items) => {
                let fields = self.script.class(class).map_or(&[][..], |(_, c)| &c.fields);
                let pairs = fields
                    .iter()
                    .zip(items.iter())
                    .map(|(f, v)| Ok((f.name.clone(), self.output(v, depth + 1)?)));
                Output::Dict(pairs.collect::<Run<_>>()?)
            }
            Value::Dict(at) => {
                let pairs = self.heap.dict(*at).to_vec();
                let pairs = pairs.iter().map(|(key, value)| {
                    let key = match key {
                        Value::Str(text) => text.to_string(),
                        Value::Int(Dim::Known(n)) => n.to_string(),
                        other => {
                            let kind = other.kind();
                            return self.unsupported(format!("a result with {kind} as a key"));
                        }
                    };
                    Ok((key, self.output(value, depth + 1)?))
                });
                Output::Dict(pairs.collect::<Run<_>>()?)
            }
            Value::Object(_) => return self.unsupported("an object as a result"),
            other => Output::One(self.arg(other)?),
        })
    }

    /// Attributes of the archive's objects that hold other values now.
    pub(super) fn changed(&mut self) -> Run<Vec<(String, Output<S::Tensor>)>> {
        let mut out = Vec::new();
        let mut objects: Vec<_> = self.objects().iter().map(|(id, at)| (*id, *at)).collect();
        objects.sort_unstable();
        for (id, at) in objects {
            let (Some(source), Some(now)) = (self.script.object(id), self.heap.object(at)) else {
                continue;
            };
            for (name, value) in now.attrs.clone() {
                let before = source.get(&name).map(|v| self.archived(v)).transpose()?;
                let same = before.is_some_and(|b| self.same(&b, &value, 0));
                if same || matches!(value, Value::Object(_) | Value::Missing(_)) {
                    continue;
                }
                let path = match source.path.as_str() {
                    "" => name.to_string(),
                    path => format!("{path}.{name}"),
                };
                out.push((path, self.output(&value, 0)?));
            }
        }
        Ok(out)
    }

    /// Whether two values are equal, lists by their elements.
    pub(super) fn same(&self, a: &Value<S::Tensor>, b: &Value<S::Tensor>, depth: u32) -> bool {
        match (a, b) {
            _ if depth > 32 => false,
            (Value::List(x), Value::List(y)) => {
                let (x, y) = (self.heap.list(*x), self.heap.list(*y));
                x.len() == y.len() && x.iter().zip(y).all(|(a, b)| self.same(a, b, depth + 1))
            }
            (Value::Dict(x), Value::Dict(y)) => {
                let (x, y) = (self.heap.dict(*x), self.heap.dict(*y));
                let same = |(a, b): (&(_, _), &(_, _))| {
                    self.same(&a.0, &b.0, depth + 1) && self.same(&a.1, &b.1, depth + 1)
                };
                x.len() == y.len() && x.iter().zip(y).all(same)
            }
            (Value::Tuple(x), Value::Tuple(y)) => {
                x.len() == y.len()
                    && x.iter().zip(y.iter()).all(|(a, b)| self.same(a, b, depth + 1))
            }
            _ => a == b,
        }
    }
}
