//! `airconv run IN --executor NAME`

use std::collections::BTreeMap;

use airconv_api::{Registry, Report};
use airconv_ir::interp::Datum;
use airconv_ir::verify::Stage;
use serde_json::json;

use crate::Exit;
use crate::args::Run;
use crate::output::{self, Progress};
use crate::session;

pub(crate) fn run(registry: &Registry, args: &Run) -> Result<(), Exit> {
    let executor = session::executor(registry, &args.executor)?;
    let options = args.running.options();
    session::refuse_unused_by(&[executor], &options)?;
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    let verified = session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    let inputs = session::inputs(&module, &args.running, &args.reading, BTreeMap::new())?;
    let outputs = {
        let _progress = Progress::start("running", &args.common);
        session::run_on(registry, executor, &verified, &inputs, &options, &mut report)
    };
    output::report(&report, &args.common);
    let outputs = outputs.map_err(Exit::from)?;
    if let Some(path) = &args.outputs {
        let arrays = outputs.iter().filter_map(|(n, d)| d.as_array().map(|a| (n.as_str(), a)));
        if let Err(e) = airconv_api::npz::write(path, arrays) {
            return Err(output::system(format!("{}: {e}", path.display())));
        }
        for (name, _) in outputs.iter().filter(|(_, d)| d.as_array().is_none()) {
            output::error(format!("output `{name}` is not a tensor and was not saved"));
        }
    }
    if args.common.json {
        let list: Vec<_> =
            outputs.iter().map(|(n, d)| json!({"name": n, "value": summary(d)})).collect();
        output::json(&json!({ "outputs": list }));
    } else {
        outputs.iter().for_each(|(n, d)| output::line(format!("{n}: {}", summary(d))));
    }
    Ok(())
}

/// A value in a few words: type, range, first elements.
fn summary(datum: &Datum) -> String {
    match datum {
        Datum::Tensor(a) => {
            let shape: Vec<String> = a.shape.iter().map(|d| d.to_string()).collect();
            let ty = format!("{}[{}]", a.dtype, shape.join(", "));
            let first: Vec<String> =
                (0..a.numel().min(6)).filter_map(|i| a.get(i)).map(|s| s.to_string()).collect();
            let more = if a.numel() > 6 { ", ..." } else { "" };
            format!("{ty} = [{}{more}]", first.join(", "))
        }
        Datum::Sequence(items) => format!("sequence of {}", items.len()),
        Datum::Optional(None) => "empty optional".to_owned(),
        Datum::Optional(Some(d)) => format!("optional {}", summary(d)),
        Datum::Map(m) => format!("map of {}", m.len()),
    }
}
