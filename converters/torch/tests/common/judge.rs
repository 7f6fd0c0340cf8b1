//! Judges exported programs: runs them on the interpreter and compares with what PyTorch gave.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::npz::{self, Member};
use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, compare};
use airconv_ir::array::{Array, RoundMode, cast};
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::{InputRole, Module, OutputRole};
use airconv_ir::op::Op;
use airconv_ir::verify::{Stage, verify};
use airconv_torch::Pt2Reader;

/// What came of a case.
pub enum Verdict {
    /// All outputs agree; the greatest relative difference.
    Pass(f64),
    /// The program cannot be read, for these reasons.
    Refused(String),
    /// It can be read, and does not give what PyTorch gives.
    Wrong(String),
    /// There is nothing to compare with.
    NoReference,
}

/// The programs of a folder whose path contains a pattern, in order.
pub fn cases(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "pt2"))
        .filter(|p| p.to_string_lossy().contains(pattern))
        .collect();
    out.sort();
    out
}

/// The inputs and outputs that belong to a program.
pub fn reference(path: &Path) -> Option<BTreeMap<String, Member>> {
    let name = path.file_name()?.to_str()?;
    let first = name.split('.').next()?;
    let stem = path.file_stem()?.to_str()?;
    let candidates = [format!("{stem}.npz"), format!("{first}.npz"), format!("{first}.ref.npz")];
    let found = candidates.iter().map(|n| path.with_file_name(n)).find(|p| p.is_file())?;
    npz::read(&found).ok()
}

/// Judges a case; a panic is a wrong result.
pub fn judged(path: &Path, rtol: f64, atol: f64) -> Verdict {
    std::panic::catch_unwind(|| case(path, rtol, atol))
        .unwrap_or_else(|_| Verdict::Wrong("it panics".to_owned()))
}

/// The tolerances for an array: of narrow floats four units in the last place of the greatest
/// element, since PyTorch rounds intermediate results of sums.
fn tolerances(want: &Array, rtol: f64, atol: f64) -> (f64, f64) {
    let unit = match want.dtype {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        _ => return (rtol, atol),
    };
    let values = want.to_f64s().unwrap_or_default();
    let finite = values.iter().filter(|v| v.is_finite());
    let greatest = finite.fold(0f64, |m, v| m.max(v.abs()));
    (rtol.max(2.0 * unit), atol.max(4.0 * unit * greatest))
}

/// Whether all that differs is some units in the last place of the greatest element: elements
/// that are small beside others are as exact as the sums that they come from.
fn close_to_the_greatest(distance: &compare::Distance, dtype: Option<DType>) -> bool {
    let single = matches!(dtype, Some(DType::F32 | DType::C64));
    single && distance.structural.is_none() && distance.max_rel <= 8.0 * 2f64.powi(-23)
}

fn case(path: &Path, rtol: f64, atol: f64) -> Verdict {
    let Some(members) = reference(path) else { return Verdict::NoReference };
    let mut report = Report::default();
    let options = ReadOptions::default();
    let module = match Pt2Reader.read(path, &options, &mut report) {
        Ok(module) => module,
        Err(_) => return Verdict::Refused(messages(&report)),
    };
    match run(&module, members, rtol, atol) {
        Ok(worst) => Verdict::Pass(worst),
        Err(verdict) => verdict,
    }
}

/// What a report says.
pub fn messages(report: &Report) -> String {
    let all: Vec<String> = report.diagnostics.iter().map(|d| d.message.clone()).collect();
    all.join("; ")
}

/// An array in a dtype; NumPy has no `bf16`, which may be kept as `f32`.
fn of_dtype(member: Member, dtype: Option<DType>) -> Result<Array, String> {
    let array = member.into_array(dtype)?;
    match dtype {
        Some(DType::BF16) => {
            cast(&array, DType::BF16, true, RoundMode::Nearest).map_err(|e| e.to_string())
        }
        _ => Ok(array),
    }
}

/// The operators that a program keeps without knowing what they mean, if there are any.
fn kept(module: &Module) -> Option<String> {
    let f = module.main();
    let nodes = f.regions.values().flat_map(|r| &r.nodes);
    let reasons: BTreeSet<String> = nodes
        .filter_map(|&id| match &f.nodes[id].op {
            Op::Opaque(o) => {
                let name = match o.source.overload.as_str() {
                    "" => o.source.full_name(),
                    overload => format!("{}.{overload}", o.source.full_name()),
                };
                let name = name.replace("::", ".");
                Some(format!("`{name}` cannot be read: {}", o.reason))
            }
            _ => None,
        })
        .collect();
    let all: Vec<String> = reasons.into_iter().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// An array rounded to a dtype.
fn rounded(member: Member, dtype: Option<DType>) -> Result<Array, String> {
    let array = member.into_array(None)?;
    match dtype {
        Some(dtype) => cast(&array, dtype, true, RoundMode::Nearest).map_err(|e| e.to_string()),
        None => Ok(array),
    }
}

/// Runs a program on the interpreter; see [`run_on`].
pub fn run(
    module: &Module,
    members: BTreeMap<String, Member>,
    rtol: f64,
    atol: f64,
) -> Result<f64, Verdict> {
    run_on(&InterpreterExecutor, module, members, rtol, atol)
}

/// Runs a program on `in_0`, `in_1` ... and compares with `out_0`, `out_1` ...; the greatest
/// relative difference.
pub fn run_on(
    executor: &dyn Executor,
    module: &Module,
    mut members: BTreeMap<String, Member>,
    rtol: f64,
    atol: f64,
) -> Result<f64, Verdict> {
    let f = module.main();
    let mut inputs = BTreeMap::new();
    let given = f.inputs.iter().zip(&f.body().params);
    let users = given.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    for (position, (input, value)) in users.enumerate() {
        let dtype = f.ty(*value).dtype();
        if let Some(member) = members.remove(&format!("in_{position}")) {
            let array = of_dtype(member, dtype).map_err(Verdict::Wrong)?;
            inputs.insert(input.name.clone(), Datum::from(array));
        }
    }
    if let Some(why) = kept(module) {
        return Err(Verdict::Refused(why));
    }
    let verified = verify(module, Stage::Canonical)
        .map_err(|e| Verdict::Wrong(format!("not valid: {}", e[0].message)))?;
    let mut report = Report::default();
    let outputs = executor
        .run(&verified, &inputs, &RunOptions::default(), &mut report)
        .map_err(|_| Verdict::Wrong(messages(&report)))?;
    let users = f.outputs.iter().zip(outputs);
    let users = users.filter(|(o, _)| matches!(o.role, OutputRole::User(_)));
    let mut worst = 0f64;
    for (position, (_, (name, got))) in users.enumerate() {
        let Some(member) = members.remove(&format!("out_{position}")) else { continue };
        let dtype = match &got {
            Datum::Tensor(a) => Some(a.dtype),
            _ => None,
        };
        let want = of_dtype(member, dtype).map_err(Verdict::Wrong)?;
        let (rtol, atol) = tolerances(&want, rtol, atol);
        let mut distance = compare::distance(&got, &Datum::from(want), rtol, atol);
        // Where PyTorch rounds intermediate results of narrow floats, what it gives in f32 is
        // right as well.
        if let (false, Some(member)) =
            (distance.agrees(), members.remove(&format!("wide_{position}")))
        {
            let wide = rounded(member, dtype).map_err(Verdict::Wrong)?;
            distance = compare::distance(&got, &Datum::from(wide), rtol, atol);
        }
        if !distance.agrees() && !close_to_the_greatest(&distance, dtype) {
            return Err(Verdict::Wrong(format!("{name}: {distance:?}")));
        }
        worst = worst.max(distance.max_rel);
    }
    match members.keys().find(|k| k.starts_with("out_")) {
        Some(missing) => Err(Verdict::Wrong(format!("there is no {missing}"))),
        None => Ok(worst),
    }
}
