//! The calls of a program, one after the other. A value goes when the last call that reads it is
//! done.

use std::collections::BTreeMap;

use airconv_api::{Choice, Executor, Failed, Report, RunOptions};
use airconv_ir::array::{Array, Scalar};
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::ArgKindRole;
use airconv_ir::verify::Verified;
use airconv_torch::common::schema::{Param, Schema, Ty};
use airconv_torch::export::program::{
    Arg, Call, Graph, Input, IntOp, Kind, Program, Returned, Target, Var,
};
use rustc_hash::FxHashMap;
use tch::{Device, Kind as TchKind, Tensor};

use crate::bind::Bound;
use crate::calls;
use crate::error::{Error, Result, fail};
use crate::prepare::Job;
use crate::tensor::{dtype_of, kind_of, of_array, of_stored, to_array};

/// The most rounds of one loop.
const MOST_ROUNDS: u64 = 1 << 32;

/// Runs hub programs by calling a function of `tch` for each operator call.
#[derive(Clone, Copy, Debug, Default)]
pub struct TchExecutor;

impl Executor for TchExecutor {
    fn name(&self) -> &'static str {
        "tch"
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::Threads]
    }
    fn available(&self) -> std::result::Result<(), String> {
        Ok(())
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        options: &RunOptions,
        report: &mut Report,
    ) -> std::result::Result<Vec<(String, Datum)>, Failed> {
        let job = Job::new(module, inputs, report)?;
        job.check_dtypes(true, report)?;
        let missing = calls::missing(&job.program.graph);
        for name in &missing {
            report.error("run-unsupported", format!("tch is not asked for `{name}`"));
        }
        if !missing.is_empty() {
            return Err(Failed::Unsupported);
        }
        job.run(options, report, |job| Run::of(job)?.outputs(&job.program.graph))
    }
}

/// A value at run time.
enum Value {
    Tensor(Tensor),
    Int(i64),
}

impl Value {
    fn copy(&self) -> Self {
        match self {
            Self::Tensor(t) => Self::Tensor(t.shallow_clone()),
            Self::Int(n) => Self::Int(*n),
        }
    }
}

/// Which values go after which call of a graph.
struct Plan {
    done: Vec<Vec<Var>>,
}

impl Plan {
    fn of(graph: &Graph) -> Self {
        let mut last: FxHashMap<Var, usize> = FxHashMap::default();
        for (i, call) in graph.calls.iter().enumerate() {
            for made in call.results.iter().flat_map(made) {
                last.insert(made, i);
            }
            for arg in &call.args {
                reads(arg, &mut |v| {
                    last.insert(v, i);
                });
            }
        }
        for output in &graph.outputs {
            reads(output, &mut |v| {
                last.remove(&v);
            });
        }
        let mut done = vec![Vec::new(); graph.calls.len()];
        for (var, call) in last {
            done[call].push(var);
        }
        Self { done }
    }
}

fn made(returned: &Returned) -> Vec<Var> {
    match returned {
        Returned::One(var) => vec![*var],
        Returned::Many(vars) => vars.clone(),
    }
}

fn reads(arg: &Arg, f: &mut dyn FnMut(Var)) {
    match arg {
        Arg::Tensor(v) | Arg::Size(v) => f(*v),
        Arg::List(items) => items.iter().for_each(|i| reads(i, f)),
        _ => {}
    }
}

struct Run<'p> {
    program: &'p Program,
    values: FxHashMap<Var, Value>,
}

impl<'p> Run<'p> {
    /// A run with all inputs of the program in place.
    fn of(job: &'p Job) -> Result<Self> {
        let mut run = Self { program: &job.program, values: FxHashMap::default() };
        let mut given = job.given.iter();
        for (&var, input) in job.program.graph.inputs.iter().zip(&job.program.inputs) {
            let value = match input {
                // SAFETY: the job keeps its program and its arrays until the run is over, and
                // the table has no function that writes.
                Input::Stored(stored) => Value::Tensor(unsafe { of_stored(&stored.tensor)? }),
                Input::User(_) => match given.next() {
                    Some((kind, array)) => argument(*kind, array)?,
                    None => return fail("an input is not given"),
                },
            };
            run.set(var, value)?;
        }
        Ok(run)
    }

    fn outputs(mut self, graph: &Graph) -> Result<Vec<Array>> {
        self.graph(graph, &Plan::of(graph))?;
        graph.outputs.iter().map(|o| self.output(o)).collect()
    }
    fn output(&self, arg: &Arg) -> Result<Array> {
        let int = |n| Array::from_i64s(DType::I64, vec![], &[n]).map_err(|e| Error(e.to_string()));
        match self.value(arg)? {
            Value::Tensor(t) => to_array(&t),
            Value::Int(n) => int(n),
        }
    }

    // Values.

    fn get(&self, var: Var) -> Result<&Value> {
        self.values.get(&var).ok_or_else(|| Error("a value is used before it is made".to_owned()))
    }
    fn tensor(&self, var: Var) -> Result<&Tensor> {
        match self.get(var)? {
            Value::Tensor(t) => Ok(t),
            Value::Int(_) => fail("an integer stands where a tensor should"),
        }
    }
    fn int(&self, arg: &Arg) -> Result<i64> {
        match self.value(arg)? {
            Value::Int(n) => Ok(n),
            Value::Tensor(_) => fail("a tensor stands where an integer should"),
        }
    }
    fn value(&self, arg: &Arg) -> Result<Value> {
        match arg {
            Arg::Tensor(v) | Arg::Size(v) => Ok(self.get(*v)?.copy()),
            Arg::Int(n) => Ok(Value::Int(*n)),
            _ => fail("an argument is neither a tensor nor an integer"),
        }
    }

    /// Keeps a value, which has to be what the program says.
    fn set(&mut self, var: Var, value: Value) -> Result<()> {
        let Some(info) = self.program.var(var) else { return fail("there is no such value") };
        match (&value, &info.kind) {
            (Value::Tensor(t), Kind::Tensor(ty)) => {
                let (dtype, sizes) = (dtype_of(t)?, t.size());
                let known =
                    |(d, n): (&airconv_ir::dim::Dim, &i64)| d.as_known().is_none_or(|d| d == *n);
                let fits = ty.shape.len() == sizes.len() && ty.shape.iter().zip(&sizes).all(known);
                if dtype != ty.dtype || !fits {
                    return fail(format!("`{}` is {dtype}{sizes:?} instead of {ty:?}", info.name));
                }
            }
            (Value::Int(_), Kind::Int(_)) => {}
            _ => return fail(format!("`{}` is of another kind", info.name)),
        }
        self.values.insert(var, value);
        Ok(())
    }

    // Calls.

    fn graph(&mut self, graph: &Graph, plan: &Plan) -> Result<()> {
        for (call, done) in graph.calls.iter().zip(&plan.done) {
            self.call(call).map_err(|e| e.at(&place(call)))?;
            for var in done {
                self.values.remove(var);
            }
        }
        Ok(())
    }
    fn call(&mut self, call: &Call) -> Result<()> {
        let values = match &call.target {
            Target::Operator(schema) => {
                let args = self.bound(schema, &call.args)?;
                calls::run(schema, args)?.into_iter().map(Value::Tensor).collect()
            }
            Target::Size => match call.args.as_slice() {
                [Arg::Tensor(x), axis] => vec![Value::Int(self.size(*x, axis)?)],
                _ => return fail("a size of something else"),
            },
            Target::Item => match call.args.as_slice() {
                [Arg::Tensor(x)] => vec![Value::Int(self.tensor(*x)?.f_int64_value(&[])?)],
                _ => return fail("an element of something else"),
            },
            Target::Arithmetic(op) => match call.args.as_slice() {
                [a, b] => vec![Value::Int(arithmetic(*op, self.int(a)?, self.int(b)?)?)],
                _ => return fail("arithmetic of other than two integers"),
            },
            Target::Cond(then, otherwise) => self.branch(call, then, otherwise)?,
            Target::While(condition, body) => self.repeat(call, condition, body)?,
        };
        let vars: Vec<Var> = call.results.iter().flat_map(made).collect();
        if vars.len() != values.len() {
            return fail(format!("{} results instead of {}", values.len(), vars.len()));
        }
        vars.into_iter().zip(values).try_for_each(|(var, value)| self.set(var, value))
    }
    fn size(&self, x: Var, axis: &Arg) -> Result<i64> {
        let sizes = self.tensor(x)?.size();
        let axis = usize::try_from(self.int(axis)?).ok();
        axis.and_then(|a| sizes.get(a).copied())
            .ok_or_else(|| Error("a size of an axis that is not there".to_owned()))
    }

    // Control flow. Graphs are closed: what they are given gets the names of their inputs.

    fn list(&self, arg: Option<&Arg>) -> Result<Vec<Value>> {
        match arg {
            Some(Arg::List(items)) => items.iter().map(|i| self.value(i)).collect(),
            None => Ok(Vec::new()),
            Some(_) => fail("a graph is given something that is no list"),
        }
    }
    fn nested(&mut self, graph: &Graph, plan: &Plan, given: Vec<Value>) -> Result<Vec<Value>> {
        if given.len() != graph.inputs.len() {
            return fail(format!("a graph is given {} values", given.len()));
        }
        for (&var, value) in graph.inputs.iter().zip(given) {
            self.set(var, value)?;
        }
        self.graph(graph, plan)?;
        let results = graph.outputs.iter().map(|o| self.value(o)).collect::<Result<Vec<_>>>()?;
        let mut own: Vec<Var> = graph.inputs.clone();
        graph.outputs.iter().for_each(|o| reads(o, &mut |v| own.push(v)));
        for var in own {
            self.values.remove(&var);
        }
        Ok(results)
    }
    fn branch(&mut self, call: &Call, then: &Graph, otherwise: &Graph) -> Result<Vec<Value>> {
        let chosen = match call.args.first().map(|a| self.value(a)).transpose()? {
            Some(condition) if truth(&condition)? => then,
            Some(_) => otherwise,
            None => return fail("there is no condition"),
        };
        let given = self.list(call.args.get(1))?;
        self.nested(chosen, &Plan::of(chosen), given)
    }
    fn repeat(&mut self, call: &Call, condition: &Graph, body: &Graph) -> Result<Vec<Value>> {
        let mut carried = self.list(call.args.first())?;
        let others = self.list(call.args.get(1))?;
        let plans = (Plan::of(condition), Plan::of(body));
        let all = |carried: &[Value]| carried.iter().chain(&others).map(Value::copy).collect();
        for _ in 0..MOST_ROUNDS {
            let holds = self.nested(condition, &plans.0, all(&carried))?;
            if !holds.first().map_or(Ok(false), truth)? {
                return Ok(carried);
            }
            carried = self.nested(body, &plans.1, all(&carried))?;
        }
        fail(format!("a loop of more than {MOST_ROUNDS} rounds"))
    }

    // Arguments.

    fn bound(&self, schema: &Schema, args: &[Arg]) -> Result<Vec<Bound>> {
        let like = args.iter().find_map(|a| match a {
            Arg::Tensor(v) => self.tensor(*v).ok(),
            _ => None,
        });
        let one = |(arg, param): (&Arg, &Param)| {
            let bound = self.argument(arg)?;
            match (&param.ty, like) {
                (Ty::Tensor, Some(like)) => number_like(bound, like),
                _ => Ok(bound),
            }
        };
        args.iter().zip(&schema.params).map(one).collect()
    }
    fn argument(&self, arg: &Arg) -> Result<Bound> {
        Ok(match arg {
            Arg::Tensor(v) | Arg::Size(v) => match self.get(*v)? {
                Value::Tensor(t) => Bound::Tensor(t.shallow_clone()),
                Value::Int(n) => Bound::Int(*n),
            },
            Arg::Default => Bound::Default,
            Arg::None => Bound::None,
            Arg::Int(n) => Bound::Int(*n),
            Arg::Float(v) => Bound::Float(*v),
            Arg::Bool(b) => Bound::Bool(*b),
            Arg::Complex(..) => return fail("tch has no complex numbers but in tensors"),
            Arg::Str(text) => Bound::Str(text.clone()),
            Arg::DType(dtype) => Bound::Kind(kind_of(*dtype)?),
            Arg::List(items) => {
                Bound::List(items.iter().map(|i| self.argument(i)).collect::<Result<_>>()?)
            }
        })
    }
}

fn argument(kind: ArgKindRole, array: &Array) -> Result<Value> {
    if kind == ArgKindRole::Int
        && let Some(Scalar::Int(n)) = array.get(0)
    {
        return match i64::try_from(n) {
            Ok(n) => Ok(Value::Int(n)),
            Err(_) => fail(format!("the integer {n}")),
        };
    }
    // SAFETY: the job keeps its arrays until the run is over.
    Ok(Value::Tensor(unsafe { of_array(array)? }))
}

fn truth(value: &Value) -> Result<bool> {
    Ok(match value {
        Value::Tensor(t) => t.f_int64_value(&[])? != 0,
        Value::Int(n) => *n != 0,
    })
}

/// A number that stands for a tensor beside another one, whose dtype it does not change.
fn number_like(bound: Bound, like: &Tensor) -> Result<Bound> {
    let kind = like.f_kind()?;
    let inexact = dtype_of(like)?.is_float() || dtype_of(like)?.is_complex();
    let options = |kind| (kind, Device::Cpu);
    Ok(Bound::Tensor(match bound {
        Bound::Int(n) => {
            let kind = if kind == TchKind::Bool { TchKind::Int64 } else { kind };
            Tensor::f_scalar_tensor(n, options(kind))?
        }
        Bound::Bool(b) => Tensor::f_scalar_tensor(i64::from(b), options(TchKind::Bool))?,
        Bound::Float(v) => {
            let kind = if inexact { kind } else { TchKind::Float };
            Tensor::f_scalar_tensor(v, options(kind))?
        }
        other => return Ok(other),
    }))
}

/// Arithmetic of sizes, as Python has it.
fn arithmetic(op: IntOp, a: i64, b: i64) -> Result<i64> {
    let done = match op {
        IntOp::Add => a.checked_add(b),
        IntOp::Mul => a.checked_mul(b),
        IntOp::FloorDiv => {
            a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q })
        }
        IntOp::Mod => {
            a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
        }
        IntOp::Min => Some(a.min(b)),
        IntOp::Max => Some(a.max(b)),
    };
    done.ok_or_else(|| Error(format!("{op:?} of {a} and {b} is no size")))
}

/// A call as a message names it.
fn place(call: &Call) -> String {
    match &call.target {
        Target::Operator(schema) => format!("{} (`{}`)", schema.display_name(), call.name),
        _ => format!("`{}`", call.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_divided_as_in_python() {
        assert_eq!(arithmetic(IntOp::FloorDiv, -7, 2), Ok(-4));
        assert_eq!(arithmetic(IntOp::Mod, -7, 2), Ok(1));
        assert_eq!(arithmetic(IntOp::Mod, 7, -2), Ok(-1));
        assert!(arithmetic(IntOp::Mod, 1, 0).is_err());
        assert!(arithmetic(IntOp::FloorDiv, i64::MIN, -1).is_err());
        assert!(arithmetic(IntOp::Mul, i64::MAX, 2).is_err());
    }
}
