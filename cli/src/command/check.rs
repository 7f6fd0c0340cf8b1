//! `airconv check IN`

use airconv_api::{Registry, Report};
use airconv_ir::verify::{Stage, verify};
use serde_json::json;

use crate::Exit;
use crate::args::Input;
use crate::{facts, output, session};

pub(crate) fn run(registry: &Registry, args: &Input) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    if let Err(errors) = verify(&module, Stage::Imported) {
        report.diagnostics.extend(errors);
    }
    let sound = !report.has_errors();
    // What would keep an executor from running it is worth a warning.
    let mut open = 0;
    if sound && let Err(errors) = verify(&module, Stage::Canonical) {
        open = errors.len();
        for mut e in errors {
            e.severity = airconv_api::Severity::Warning;
            e.help.get_or_insert_with(|| "fix what it depends on with --bind or --dim".to_owned());
            report.push(e);
        }
    }
    if args.common.json {
        let mut value = output::report_json(&report);
        value["sound"] = json!(sound);
        value["open"] = json!(open);
        output::json(&value);
    } else {
        output::report(&report, &args.common);
        if sound {
            let nodes = facts::nodes(&module);
            output::line(format!("{}: sound, {nodes} nodes, {open} open", args.input.display()));
        }
    }
    if sound { Ok(()) } else { Err(Exit::No) }
}
