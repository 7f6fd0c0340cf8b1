//! `airconv IN --opt LIST -o OUT`

use airconv_api::files::write_whole;
use airconv_api::{Registry, Report, WriteOptions};
use airconv_ir::pass::LogLevel;
use airconv_ir::verify::Stage;

use crate::Exit;
use crate::args::Convert;
use crate::output::{self, Progress};
use crate::session;

pub(crate) fn run(registry: &Registry, args: &Convert) -> Result<(), Exit> {
    let (Some(input), Some(path)) = (&args.input, &args.output) else { return Err(Exit::Usage) };
    let Some(writer) = registry.writer_for(path, args.to.as_deref()) else {
        let known: Vec<&str> = registry.writers().map(|w| w.format()).collect();
        output::error(format!(
            "the format of {} is not known; name it with --to ({})",
            path.display(),
            known.join(", ")
        ));
        return Err(Exit::Usage);
    };
    let mut report = Report::default();
    let mut module = session::read(registry, input, &args.reading, &args.common, &mut report)?;
    session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    if args.optimising.opt != "none" {
        session::optimise(&mut module, &args.optimising, LogLevel::Counts, &args.common)?;
    }
    let verified = session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    let options = WriteOptions {
        opset: args.opset,
        allow_lossy: args.allow_lossy.clone(),
        external_from: args.external_from,
    };
    let written = {
        let _progress = Progress::start(&format!("writing {}", path.display()), &args.common);
        writer.write(&verified, path, &options, &mut report)
    };
    if let Some(file) = &args.report {
        let text = serde_json::to_string_pretty(&output::report_json(&report)).unwrap_or_default();
        if let Err(e) = write_whole(file, |out| out.write_all((text + "\n").as_bytes())) {
            output::error(format!("{}: {e}", file.display()));
            return Err(Exit::System);
        }
    }
    output::report(&report, &args.common);
    written.map_err(Exit::from)
}
