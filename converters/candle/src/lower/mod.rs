//! Lowering: from a hub program to the calls of candle that compute it.
//!
//! A rule per op says which calls these are or refuses with the reason; a composite that is
//! refused is decomposed first ([`airconv_api::legalize`]). Implicit broadcasts are left to
//! candle's own broadcasting where that provably gives the same shape, and what is a layer of
//! `candle_nn` becomes one, such as a matrix product with a weight and a bias that is added.

mod cx;
mod paths;
mod prepare;
mod rules;
mod support;

mod activation;
mod attention;
mod control;
mod conv;
mod elementwise;
mod image;
mod index;
mod linear;
mod ml;
mod norm;
mod pool;
mod quant;
mod reduce;
mod rnn;
mod shape;
mod symbols;

use airconv_api::{Failed, Report};
use airconv_ir::module::Module;

use crate::program::Program;

pub(crate) use cx::Refuse;
pub use support::support;

/// A program of candle calls, and the module whose tensors it reads.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The module in the form that was lowered.
    pub module: Module,
    /// The calls.
    pub program: Program,
}

/// The calls of candle that compute a module's entry function.
///
/// # Errors
/// `Unsupported` when something has no form in candle; the report names all of it.
pub fn lower(module: &Module, report: &mut Report) -> Result<Lowered, Failed> {
    let paths = paths::Paths::of(module);
    let ready = prepare::prepare(module, report)?;
    let mut lowerer = cx::Lowerer::new(&ready, ready.entry, &paths, false);
    let done = lowerer.function();
    match done {
        Ok(mut program) => {
            program.classes = paths.classes;
            symbols::name(&mut program);
            Ok(Lowered { program, module: ready })
        }
        Err(Refuse(why)) => {
            report.error("candle-unsupported", why);
            Err(Failed::Unsupported)
        }
    }
}
