//! A TorchScript program as a sequence of operator calls.
//!
//! A program is run with tensors whose elements are not known. Modules and functions are entered
//! where they are called; attributes, numbers, lists and objects are computed on the way, sizes
//! as expressions, so that branches on them are decided, loops over them are unrolled and checks
//! that cannot fail disappear. What is left are calls of operators, which go to a [`AtenSink`]
//! one by one, and control flow that depends on elements, which goes there as regions.

mod builtin;
mod call;
mod eval;
mod flow;
mod heap;
mod merge;
pub(crate) mod missing;
mod number;
mod outcome;
mod resolve;
mod sink;
#[cfg(test)]
mod tests;
mod upgrade;
mod value;

use airconv_api::Limits;

use self::eval::{Halt, Lower};
pub(crate) use self::sink::{AtenSink, Compare};
use super::archive::Script;
use super::syntax::ast::TypeExpr;
use crate::error::FileError;
use crate::import::arg::Arg;

/// What a program gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output<T> {
    /// A tensor, a number, or another single value.
    One(Arg<T>),
    /// A list or tuple.
    List(Vec<Output<T>>),
    /// A dictionary, or a named tuple by field names.
    Dict(Vec<(String, Output<T>)>),
}

/// What running a method does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome<T> {
    /// Its result.
    pub result: Output<T>,
    /// Attributes that are other values than before, by the way to them from the root.
    pub changed: Vec<(String, Output<T>)>,
}

/// The inputs of a method: names and types, without `self`.
pub(crate) fn inputs<'s>(
    script: &'s Script,
    method: &str,
) -> Result<Vec<(&'s str, Option<&'s TypeExpr>)>, FileError> {
    let (_, function) = find_method(script, method)?;
    let params = function.params.iter().skip(1);
    Ok(params.map(|p| (p.name.as_str(), p.ty.as_ref())).collect())
}

fn find_method<'s>(
    script: &'s Script,
    method: &str,
) -> Result<(&'s super::syntax::ast::Source, &'s super::syntax::ast::Function), FileError> {
    let missing = |what: String| FileError::malformed("data.pkl", what);
    let module = script.module().ok_or_else(|| missing("it holds no module".to_owned()))?;
    let class = script.class(&module.class);
    let (source, class) =
        class.ok_or_else(|| missing(format!("class `{}` has no source", module.class)))?;
    let function = class.method(method);
    let function =
        function.ok_or_else(|| missing(format!("the module has no method `{method}`")))?;
    Ok((source, function))
}

/// Runs a method of the root module. `args` are its inputs in order; those that are left out
/// have their default value.
pub(crate) fn lower<S: AtenSink>(
    script: &Script,
    sink: &mut S,
    method: &str,
    args: &[Arg<S::Tensor>],
    limits: &Limits,
) -> Result<Outcome<S::Tensor>, FileError> {
    let (source, function) = find_method(script, method)?;
    let mut lower = Lower::new(script, sink, limits);
    let run = lower.run(source, function, args);
    run.map_err(|halt| match halt {
        Halt::Error(error) => error,
        Halt::Raised(message, place) => {
            FileError::malformed(place, format!("the program raises an exception: {message}"))
        }
    })
}
