//! Programs with nodes that wait: for sizes, or for values of inputs that decide ranks, axes, or
//! which branch is taken. The inputs of a run have them all.

use std::collections::BTreeMap;

use airconv_ir::diag::Diagnostic;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::op::Op;
use airconv_ir::specialize::Given;

use crate::inputs::sizes_of;
use crate::{Registry, Report};

/// The most elements of an input whose values a program may wait for.
const MOST: usize = 64;

/// The nodes that have no meaning.
fn waiting(module: &Module) -> usize {
    let nodes = module.functions.values().flat_map(|f| f.nodes.values());
    nodes.filter(|n| matches!(n.op, Op::Opaque(_))).count()
}

/// Whether an input may decide what a program is: whole numbers and truth values, not many.
fn decides(datum: &Datum) -> bool {
    let few = |a: &&airconv_ir::array::Array| {
        a.numel() <= MOST && (a.dtype.is_integer() || a.dtype == airconv_ir::dtype::DType::Bool)
    };
    datum.as_array().filter(few).is_some()
}

impl Registry {
    /// A program as it is for the inputs of a run, where that gives nodes a meaning that had none:
    /// with the sizes of the inputs, or else also with the values of those that are few whole
    /// numbers, which then are no inputs any more. `None` where nothing waits, or it does not help.
    pub fn for_inputs(
        &self,
        module: &Module,
        inputs: &BTreeMap<String, Datum>,
        report: &mut Report,
    ) -> Option<Module> {
        let before = waiting(module);
        if before == 0 {
            return None;
        }
        let dims = sizes_of(module, inputs);
        let few = inputs.iter().filter(|(_, datum)| decides(datum));
        let binds: BTreeMap<String, Datum> = few.map(|(n, d)| (n.clone(), d.clone())).collect();
        let tries = [
            Given { dims: dims.clone(), ..Given::default() },
            Given { dims, binds, ..Given::default() },
        ];
        let mut why = None;
        for given in tries {
            let mut tried = Report::default();
            match self.specialize(module.clone(), &given, &mut tried) {
                Ok(made) if waiting(&made) == 0 => {
                    let sizes = given.dims.iter().map(|(name, n)| format!("{name} = {n}"));
                    let values = given.binds.keys().map(|name| format!("the value of `{name}`"));
                    let what: Vec<String> = sizes.chain(values).collect();
                    let text =
                        format!("{before} nodes wait; they are taken with {}", what.join(", "));
                    report.push(Diagnostic::note("fixed-for-run", text));
                    return Some(made);
                }
                Ok(_) => {}
                Err(_) => why = tried.diagnostics.into_iter().next(),
            }
        }
        // Whoever runs the program as it is says what cannot be run; this is why it is not fixed.
        if let Some(why) = why {
            let text =
                format!("{before} nodes wait for sizes or values; with these: {}", why.message);
            report.push(Diagnostic::warning("fixed-for-run", text));
        }
        None
    }
}
