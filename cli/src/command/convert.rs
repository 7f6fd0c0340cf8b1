//! `airconv IN --opt LIST -o OUT`

use std::path::{Path, PathBuf};

use airconv_api::{Registry, WriteOptions, Writer};
use airconv_ir::pass::LogLevel;
use airconv_ir::verify::Stage;

use crate::Exit;
use crate::args::Convert;
use crate::conversion::{Conversion, Side};
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
    if args.report.as_ref().is_some_and(|r| r == path || r == input) {
        output::error("--report names the input or the output");
        return Err(Exit::Usage);
    }
    let mut made = Conversion {
        input: Side::new(input, ""),
        output: Side::new(path, writer.format()),
        opt: args.optimising.opt.clone(),
        ..Conversion::default()
    };
    let done = convert(registry, args, input, writer, path, &mut made);
    made.failed = done.err();
    if let Some(file) = args.report.as_ref().filter(|_| made.failed != Some(Exit::Usage))
        && let Err(e) = made.write(file)
    {
        output::error(format!("{}: {e}", file.display()));
        return Err(Exit::System);
    }
    done
}

/// Converts, and takes down in `made` what happens on the way.
fn convert(
    registry: &Registry,
    args: &Convert,
    input: &Path,
    writer: &dyn Writer,
    path: &Path,
    made: &mut Conversion,
) -> Result<(), Exit> {
    let (reading, common) = (&args.reading, &args.common);
    let reader = session::reader(registry, input, reading, common, &mut made.report)?;
    reader.format().clone_into(&mut made.input.format);
    made.input.bytes = bytes_of(input, &[]);
    let mut module =
        session::read_with(registry, reader, input, reading, common, &mut made.report)?;
    session::verified(&module, Stage::Imported, common, &mut made.report)?;
    let log = if args.report.is_some() {
        made.input.look(&module);
        LogLevel::Full
    } else {
        LogLevel::Counts
    };
    if args.optimising.opt != "none" {
        (made.passes, made.summary) =
            session::optimise(&mut module, &args.optimising, log, common)?;
    }
    let verified = session::verified(&module, Stage::Imported, common, &mut made.report)?;
    if args.report.is_some() {
        made.output.look(&module);
    }
    let options = WriteOptions {
        opset: args.opset,
        allow_lossy: args.allow_lossy.clone(),
        external_from: args.external_from,
        single_file: args.single_file,
        isa: args.isa.clone(),
    };
    let written = {
        let _progress = Progress::start(&format!("writing {}", path.display()), common);
        writer.write(&verified, path, &options, &mut made.report)
    };
    output::report(&made.report, common);
    written?;
    made.output.bytes = bytes_of(path, &made.report.written.beside);
    if !made.report.written.opsets.is_empty() {
        made.output.opsets.clone_from(&made.report.written.opsets);
    }
    Ok(())
}

/// Bytes of a file and of those that belong to it.
fn bytes_of(path: &Path, beside: &[PathBuf]) -> Option<u64> {
    let length = |p: &Path| std::fs::metadata(p).ok().map(|m| m.len());
    beside.iter().try_fold(length(path)?, |sum, p| Some(sum + length(p)?))
}
