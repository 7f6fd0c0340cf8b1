//! Brings a module into the form that rules take: calls inlined, simplified, larger units
//! recognised, and what no rule takes decomposed.

use airconv_api::inline::inline_calls;
use airconv_api::legalize::legalize;
use airconv_api::{Failed, Report};
use airconv_ir::module::Module;
use airconv_ir::pass::{PassCx, Pipeline, run_pipeline};
use airconv_ir::verify::{Stage, verify};

use super::cx::Lowerer;
use super::paths::Paths;

/// Passes before decomposing: larger units first, since candle has them. Equal constants stay
/// apart, since they are weights of their own.
const FIRST: &str = "propagate,canonicalise,fold,dce,raise_softmax,raise_layer_norm,\
     raise_rms_norm,raise_gelu,raise_swish,\
     raise_attention,propagate,canonicalise,fold,dce";
/// Passes after it.
const LAST: &str = "propagate,fold,dce";

/// A module that rules take: nothing in it is refused.
pub(super) fn prepare(module: &Module, report: &mut Report) -> Result<Module, Failed> {
    let mut ready = module.clone();
    inline_calls(&mut ready).map_err(|why| {
        report.error("candle-unsupported", why);
        Failed::Unsupported
    })?;
    simplify(&mut ready, FIRST, report)?;
    let mut ready = legal(&ready, report)?;
    simplify(&mut ready, LAST, report)?;
    let ready = legal(&ready, report)?;
    if let Err(errors) = verify(&ready, Stage::Canonical) {
        report.diagnostics.extend(errors);
        return Err(Failed::Unsupported);
    }
    Ok(ready)
}

fn simplify(module: &mut Module, passes: &str, report: &mut Report) -> Result<(), Failed> {
    let done = Pipeline::parse(passes).and_then(|pipeline| {
        let mut cx = PassCx::default();
        run_pipeline(module, &pipeline, &mut cx)
    });
    match done {
        Ok(_) => Ok(()),
        Err(e) => {
            report.error("candle-passes", e.to_string());
            Err(Failed::Unsupported)
        }
    }
}

fn legal(module: &Module, report: &mut Report) -> Result<Module, Failed> {
    let paths = Paths::default();
    let legal = legalize(module, report, |module, func, node| {
        if func != module.entry {
            // What called it has it inlined.
            return Ok(());
        }
        Lowerer::new(module, func, &paths, true).probe(node).map_err(|r| r.0)
    })?;
    Ok(legal.into_owned())
}
