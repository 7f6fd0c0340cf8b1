//! The program as a TorchScript archive in memory, run by libtorch's interpreter.

use std::collections::BTreeMap;

use airconv_api::{Choice, Executor, Failed, Report, RunOptions};
use airconv_ir::array::{Array, Scalar};
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::ArgKindRole;
use airconv_ir::verify::Verified;
use airconv_torch::export::program::Output;
use airconv_torch::script;
use tch::{CModule, IValue};

use crate::error::{Error, Result, fail};
use crate::prepare::Job;
use crate::tensor::{of_array, to_array};

/// Runs hub programs as TorchScript.
#[derive(Clone, Copy, Debug, Default)]
pub struct TorchScriptExecutor;

impl Executor for TorchScriptExecutor {
    fn name(&self) -> &'static str {
        "torchscript"
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
        let mut job = Job::new(module, inputs, report)?;
        job.check_dtypes(false, report)?;
        // What the program changes is returned instead, so that it can be seen.
        job.program.outputs.fill(Output::User);
        job.run(options, report, run)
    }
}

fn run(job: &Job) -> Result<Vec<Array>> {
    let archive = script::to_bytes(&job.program).map_err(Error)?;
    // A program runs once, so that optimising it would only cost time.
    tch::jit::f_set_graph_executor_optimize(false)?;
    let module = CModule::load_data(&mut archive.as_slice())?;
    drop(archive);
    let given: Vec<IValue> =
        job.given.iter().map(|(k, a)| argument(*k, a)).collect::<Result<_>>()?;
    arrays(module.forward_is(&given)?)
}

fn argument(kind: ArgKindRole, array: &Array) -> Result<IValue> {
    Ok(match (kind, array.get(0)) {
        (ArgKindRole::Int, Some(Scalar::Int(n))) => {
            IValue::Int(i64::try_from(n).map_err(|_| Error(format!("the integer {n}")))?)
        }
        (ArgKindRole::Float, Some(Scalar::Float(v))) => IValue::Double(v),
        (ArgKindRole::Bool, Some(Scalar::Bool(b))) => IValue::Bool(b),
        // SAFETY: the job keeps its arrays until the run is over.
        _ => IValue::Tensor(unsafe { of_array(array)? }),
    })
}

fn arrays(value: IValue) -> Result<Vec<Array>> {
    match value {
        IValue::Tuple(items) => items.into_iter().map(array).collect(),
        IValue::None => Ok(Vec::new()),
        one => Ok(vec![array(one)?]),
    }
}

fn array(value: IValue) -> Result<Array> {
    match value {
        IValue::Tensor(t) => to_array(&t),
        IValue::Int(n) => {
            Array::from_i64s(DType::I64, vec![], &[n]).map_err(|e| Error(e.to_string()))
        }
        _ => fail("the program gives something that is no tensor"),
    }
}
