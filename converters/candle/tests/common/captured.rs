//! Recordings against what candle computed.

use std::collections::BTreeMap;
use std::path::Path;

use airconv_api::inputs::from_members;
use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, compare, npz};
use airconv_candle::capture::RecordingReader;
use airconv_ir::interp::Datum;
use airconv_ir::verify::{Stage, verify};

/// What is allowed besides rounding.
const TOLERANCE: f64 = 1e-4;

/// What was compared.
pub struct Agreement {
    /// Nodes of the program.
    pub nodes: usize,
    /// Symbolic sizes.
    pub sizes: Vec<String>,
    /// The greatest difference of an output, relative to its greatest element.
    pub worst: f64,
}

/// A difference relative to the greatest element of what is wanted.
fn relative(difference: f64, want: &Datum) -> f64 {
    let elements = want.as_array().and_then(|a| a.to_f64s()).unwrap_or_default();
    let greatest = elements.into_iter().map(f64::abs).filter(|x| x.is_finite()).fold(0.0, f64::max);
    if greatest > 0.0 { difference / greatest } else { difference }
}

/// Reads `path`, runs it on `NAME.in.npz` of `results`, and compares what it gives with
/// `NAME.out.npz`; else what is wrong.
pub fn agrees(
    path: &Path,
    results: &Path,
    name: &str,
    executor: &dyn Executor,
) -> Result<Agreement, String> {
    let mut report = Report::default();
    let said = |report: &Report| {
        let all: Vec<String> = report.diagnostics.iter().map(|d| d.to_string()).collect();
        all.join("; ").replace('\n', " ")
    };
    let module = RecordingReader
        .read(path, &ReadOptions::default(), &mut report)
        .map_err(|_| said(&report))?;
    let lossy = report.refused(&[]);
    if lossy {
        return Err(said(&report));
    }
    let verified = verify(&module, Stage::Imported)
        .map_err(|all| all.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("; "))?;
    let members = |kind: &str| {
        npz::read(&results.join(format!("{name}.{kind}.npz"))).map_err(|e| e.to_string())
    };
    let inputs = from_members(&module, members("in")?)?;
    let got = executor
        .run(&verified, &inputs, &RunOptions::default(), &mut report)
        .map_err(|_| said(&report))?;
    let mut wanted: BTreeMap<String, npz::Member> = members("out")?;
    let mut worst = 0f64;
    for (output, datum) in &got {
        let want = wanted.remove(output).ok_or_else(|| format!("`{output}` is not expected"))?;
        let dtype = datum.as_array().map(|a| a.dtype);
        let want: Datum = want.into_array(dtype)?.into();
        let distance = compare::distance(datum, &want, TOLERANCE, TOLERANCE);
        if !distance.agrees() {
            return Err(format!(
                "`{output}` differs by {:.1e}{}",
                distance.max_abs,
                distance.structural.map(|s| format!(", {s}")).unwrap_or_default()
            ));
        }
        worst = worst.max(relative(distance.max_abs, &want));
    }
    if let Some(missing) = wanted.keys().next() {
        return Err(format!("`{missing}` is missing"));
    }
    let f = module.main();
    let sizes = f.symbols.values().map(|s| s.name.clone()).collect();
    Ok(Agreement { nodes: f.body().nodes.len(), sizes, worst })
}
