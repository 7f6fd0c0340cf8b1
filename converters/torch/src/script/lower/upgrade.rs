//! What operators meant in older versions of the format.
//!
//! Source: the table of upgraders in `torch/csrc/jit/operator_upgraders/version_map.h` of
//! PyTorch. Versions below the one named have the older meaning.
//!
//! | operator | version | before |
//! |---|---|---|
//! | `div` of integers | 4 | truncated |
//! | `full` without a dtype | 5 | always made floats |
//! | `linspace` without steps | 8 | 100 of them |
//! | `logspace` without steps | 9 | 100 of them |
//! | `gelu` | 10 | took no approximation, and used none |

use super::eval::{Lower, Run};
use super::sink::AtenSink;
use super::value::Value;

/// What the number of steps was if none was given.
const STEPS: i64 = 100;

type Args<T> = Vec<Value<T>>;
type Named<T> = Vec<(String, Value<T>)>;

impl<S: AtenSink> Lower<'_, '_, S> {
    /// Changes the arguments of a call so that it means today what it meant then.
    pub(super) fn upgrade(
        &mut self,
        name: &str,
        args: &mut Args<S::Tensor>,
        named: &mut Named<S::Tensor>,
    ) -> Run<()> {
        let version = self.script.version;
        match name {
            "aten::div" | "aten::div_" if version < 4 => self.truncate(args, named)?,
            "aten::full" if version < 5 => fill_floats(args, named),
            "aten::linspace" if version < 8 => count_steps(args, named),
            "aten::logspace" if version < 9 => count_steps(args, named),
            _ => {}
        }
        Ok(())
    }

    /// Integers were divided as C++ does it.
    fn truncate(&mut self, args: &[Value<S::Tensor>], named: &mut Named<S::Tensor>) -> Run<()> {
        let [Value::Tensor(a), b] = args else { return Ok(()) };
        if named.iter().any(|(name, _)| name == "rounding_mode") || self.is_inexact(*a)? {
            return Ok(());
        }
        let inexact = match b {
            Value::Tensor(t) | Value::Number(t) => self.is_inexact(*t)?,
            Value::Float(_) | Value::Complex(..) => true,
            _ => false,
        };
        if !inexact {
            named.push(("rounding_mode".to_owned(), Value::str("trunc")));
        }
        Ok(())
    }
    fn is_inexact(&mut self, tensor: S::Tensor) -> Run<bool> {
        let dtype = self.sink.dtype(tensor);
        let dtype = self.stopped(dtype, "")?;
        Ok(dtype.is_float() || dtype.is_complex())
    }
}

/// Without a dtype, the elements were floats.
fn fill_floats<T: Copy>(args: &mut Args<T>, named: &Named<T>) {
    let given = named.iter().any(|(name, v)| name == "dtype" && !matches!(v, Value::None));
    if given || args.get(2).is_some_and(|v| !matches!(v, Value::None)) {
        return;
    }
    let Some(fill) = args.get_mut(1) else { return };
    let float = match fill {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Int(dim) => dim.as_known().map(|n| n as f64),
        _ => None,
    };
    if let Some(v) = float {
        *fill = Value::Float(v);
    }
}

/// Without a number of steps there were 100.
fn count_steps<T: Copy>(args: &mut Args<T>, named: &mut Named<T>) {
    match args.get_mut(2) {
        Some(steps @ Value::None) => *steps = Value::int(STEPS),
        Some(_) => {}
        None => match named.iter_mut().find(|(name, _)| name == "steps") {
            Some((_, steps @ Value::None)) => *steps = Value::int(STEPS),
            Some(_) => {}
            None => args.push(Value::int(STEPS)),
        },
    }
}
