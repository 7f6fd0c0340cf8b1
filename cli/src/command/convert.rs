//! `airconv IN --opt LIST -o OUT`

use std::fs;
use std::path::{Path, PathBuf};

use airconv_api::{Diagnostic, LedgerKind, Registry, Report, WriteOptions, Writer};
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
    if same_file(input, path) {
        return Err(output::usage(format!("{} is the input: name another output", path.display())));
    }
    if args.report.as_ref().is_some_and(|r| same_file(r, path) || same_file(r, input)) {
        return Err(output::usage("--report names the input or the output"));
    }
    let options = WriteOptions {
        opset: args.opset,
        allow_lossy: args.allow_lossy.clone(),
        external_from: args.external_from,
        single_file: args.single_file,
        isa: args.isa.clone(),
    };
    let whose = format!("the format `{}`", writer.format());
    session::refuse_unused(&options.choices(), &[writer.takes()], &whose)?;
    let mut made = Conversion {
        input: Side::new(input, ""),
        output: Side::new(path, writer.format()),
        opt: args.optimising.opt.clone(),
        ..Conversion::default()
    };
    let done = convert(registry, args, input, writer, path, &options, &mut made);
    made.failed = done.err();
    if args.common.json && made.failed != Some(Exit::Usage) {
        output::json(&made.json());
    }
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
    options: &WriteOptions,
    made: &mut Conversion,
) -> Result<(), Exit> {
    let (reading, common) = (&args.reading, &args.common);
    let reader = session::reader(registry, input, reading, common, &mut made.report)?;
    session::refuse_unused_in_reading(&[reader], reading)?;
    reader.format().clone_into(&mut made.input.format);
    made.input.bytes = bytes_of(input, &[]);
    let mut module =
        session::read_with(registry, reader, input, reading, common, &mut made.report)?;
    session::verified(&module, Stage::Imported, common, &mut made.report)?;
    let told = args.report.is_some() || common.json;
    let log = if told {
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
    if told {
        made.output.look(&module);
    }
    let written = {
        let _progress = Progress::start(&format!("writing {}", path.display()), common);
        writer.write(&verified, path, options, &mut made.report)
    };
    if written.is_ok() {
        warn_of_unused(&options.allow_lossy, &mut made.report);
    }
    output::report(&made.report, common);
    written?;
    made.output.bytes = bytes_of(path, &made.report.written.beside);
    if !made.report.written.opsets.is_empty() {
        made.output.opsets.clone_from(&made.report.written.opsets);
    }
    Ok(())
}

/// Warns of lossy steps that were allowed and not taken: the name may be a wrong one.
fn warn_of_unused(allowed: &[String], report: &mut Report) {
    let taken = |name: &&String| {
        report.ledger.entries.iter().any(|e| e.kind == LedgerKind::Lossy && e.name == **name)
    };
    let unused: Vec<&String> = allowed.iter().filter(|name| !taken(name)).collect();
    for name in unused {
        let message = format!("--allow-lossy {name}: there was no lossy step of that name");
        report.push(Diagnostic::warning("lossy-unused", message));
    }
}

/// Whether two paths are one file that is there.
fn same_file(a: &Path, b: &Path) -> bool {
    a == b || fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

/// Bytes of a file and of those that belong to it.
fn bytes_of(path: &Path, beside: &[PathBuf]) -> Option<u64> {
    let length = |p: &Path| fs::metadata(p).ok().map(|m| m.len());
    beside.iter().try_fold(length(path)?, |sum, p| Some(sum + length(p)?))
}
