//! Running hub programs on candle, in process, on the CPU, or with the features `cuda` and `metal`
//! on such a device.

pub mod bind;
mod layer;
mod run;
mod tensor;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use airconv_api::inputs::sizes_of;
use airconv_api::{Executor, Failed, Report, RunOptions};
use airconv_ir::diag::Diagnostic;
use airconv_ir::interp::Datum;
use airconv_ir::module::{InputRole, Module};
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::verify::Verified;
use candle_core::{Device, Tensor};

use crate::lower::{Lowered, lower};
use run::Run;

/// Where programs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On the CPU.
    #[default]
    Cpu,
    /// On the first CUDA device; `CUDA_VISIBLE_DEVICES` says which one that is.
    Cuda,
    /// On the Metal device.
    Metal,
}

/// Runs hub programs by calling candle for each op; on the CPU by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandleExecutor {
    place: Place,
}

impl CandleExecutor {
    /// All that this build has, that of the CPU first.
    pub fn all() -> Vec<Self> {
        let built = [
            (Place::Cpu, true),
            (Place::Cuda, cfg!(feature = "cuda")),
            (Place::Metal, cfg!(feature = "metal")),
        ];
        built.into_iter().filter(|b| b.1).map(|(place, _)| Self { place }).collect()
    }

    /// The device, or why there is none.
    fn device(self) -> Result<Device, String> {
        // Where a driver's library is missing, its bindings may panic.
        let made = catch_unwind(|| match self.place {
            Place::Cpu => Ok(Device::Cpu),
            Place::Cuda => Device::new_cuda(0),
            Place::Metal => Device::new_metal(0),
        });
        match made {
            Ok(device) => device.map_err(|e| without_trace(&e)),
            Err(_) => Err(format!("`{}` finds no driver", self.name())),
        }
    }
}

impl Executor for CandleExecutor {
    fn name(&self) -> &'static str {
        match self.place {
            Place::Cpu => "candle",
            Place::Cuda => "candle-cuda",
            Place::Metal => "candle-metal",
        }
    }
    fn available(&self) -> Result<(), String> {
        self.device().map(|_| ())
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        _options: &RunOptions,
        report: &mut Report,
    ) -> Result<Vec<(String, Datum)>, Failed> {
        let lowered = lower_for(module.module(), inputs, report)?;
        let fail = |report: &mut Report, e: String| {
            report.push(Diagnostic::error("run-failed", e));
            Failed::System
        };
        let device = self.device().map_err(|e| fail(report, e))?;
        let params = params(&lowered, inputs, &device).map_err(|e| fail(report, e))?;
        let run = Run::new(&lowered.program, &lowered.module, device);
        // Candle checks most of what it is asked to do, but not all of it.
        let results = catch_unwind(AssertUnwindSafe(|| run.run(params)))
            .map_err(|_| fail(report, "candle panicked".to_owned()))?
            .map_err(|e| fail(report, without_trace(&e)))?;
        let mut out = Vec::new();
        let f = lowered.module.main();
        for ((output, &value), tensor) in f.outputs.iter().zip(&f.body().results).zip(results) {
            let name = &output.name;
            // One variable may stand for values of several dtypes that candle holds alike.
            let Some(dtype) = f.ty(value).dtype() else {
                return Err(fail(report, format!("`{name}` is no tensor")));
            };
            let array =
                tensor::to_array(&tensor, dtype).map_err(|e| fail(report, e.to_string()))?;
            out.push((name.clone(), Datum::from(array)));
        }
        Ok(out)
    }
}

/// What an error says, without the stack that candle adds where it is asked for.
fn without_trace(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => without_trace(inner),
        other => other.to_string(),
    }
}

/// The program of a module; where decompositions ask for sizes, those of the inputs are taken.
fn lower_for(
    module: &Module,
    inputs: &BTreeMap<String, Datum>,
    report: &mut Report,
) -> Result<Lowered, Failed> {
    let mut first = Report::default();
    if let Ok(lowered) = lower(module, &mut first) {
        return Ok(lowered);
    }
    let dims = sizes_of(module, inputs);
    if dims.is_empty() {
        *report = first;
        return Err(Failed::Unsupported);
    }
    let given = Given { dims, max_nodes: 10_000_000, ..Given::default() };
    match specialize(module.clone(), &given, &[]) {
        Ok(fixed) => lower(&fixed, report),
        Err(_) => {
            *report = first;
            Err(Failed::Unsupported)
        }
    }
}

/// The tensors of the parameters, from inputs by name or from what the module holds for them.
fn params(
    lowered: &Lowered,
    inputs: &BTreeMap<String, Datum>,
    device: &Device,
) -> Result<Vec<Tensor>, String> {
    let mut out = Vec::new();
    for input in &lowered.module.main().inputs {
        let stored = match &input.role {
            InputRole::User { default, .. } => *default,
            InputRole::Param(Some(_)) => continue,
            InputRole::Param(None) => None,
            InputRole::State(tensor) => *tensor,
        };
        let array = match (inputs.get(&input.name), stored) {
            (Some(given), _) => given.as_array().cloned(),
            (None, Some(id)) => {
                Some(lowered.module.tensors[id].to_array().map_err(|e| e.to_string())?)
            }
            (None, None) => return Err(format!("input `{}` is not given", input.name)),
        };
        let array = array.ok_or_else(|| format!("input `{}` is no tensor", input.name))?;
        let tensor = tensor::to_tensor(&array, device).map_err(|e| e.to_string())?;
        out.push(tensor);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_this_build_lacks_is_not_available() {
        let (cuda, metal) = (cfg!(feature = "cuda"), cfg!(feature = "metal"));
        for (place, built) in [(Place::Cpu, true), (Place::Cuda, cuda), (Place::Metal, metal)] {
            let executor = CandleExecutor { place };
            assert!(built || executor.available().is_err(), "{}", executor.name());
        }
        let names: Vec<&str> = CandleExecutor::all().iter().map(|e| e.name()).collect();
        assert_eq!(names.first(), Some(&"candle"));
        assert_eq!(names.len(), 1 + usize::from(cuda) + usize::from(metal));
    }
}
