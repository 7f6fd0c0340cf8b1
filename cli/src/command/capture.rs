//! `airconv capture -o OUT -- cargo run ...`

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use airconv_api::Registry;
use airconv_candle::capture::command::{self, CommandError};
use airconv_candle::capture::prepare;

use crate::Exit;
use crate::args::{Capture, Convert, Reading};
use crate::command::convert;
use crate::output;

pub(crate) fn run(registry: &Registry, args: &Capture) -> Result<(), Exit> {
    if let Some(folder) = &args.prepare {
        return write_parts(folder, &args.command).map_err(|e| refused(&e));
    }
    if args.command.is_empty() || (args.output.is_none() && args.keep.is_none()) {
        output::error("write it as `airconv capture -o OUT -- cargo run ...`");
        return Err(Exit::Usage);
    }
    let folder = tempfile::tempdir().map_err(|e| {
        output::error(e.to_string());
        Exit::System
    })?;
    let recordings =
        command::record(&args.command, folder.path()).map_err(|error| refused(&error))?;
    if recordings.is_empty() {
        output::error(
            "the program recorded nothing: mark what is wanted with the crate airconv-candle-trace \
             (`airconv capture --prepare FOLDER` writes it)",
        );
        return Err(Exit::Unsupported);
    }
    if let Some(to) = &args.keep {
        keep(&recordings, to)?;
    }
    let Some(to) = &args.output else { return Ok(()) };
    let recording = chosen(&recordings, args.program.as_deref())?;
    let convert = Convert {
        input: Some(recording),
        output: Some(to.clone()),
        to: None,
        opset: args.opset,
        allow_lossy: args.allow_lossy.clone(),
        external_from: None,
        single_file: false,
        isa: Vec::new(),
        report: None,
        reading: Reading::default(),
        optimising: args.optimising.clone(),
        common: args.common.clone(),
    };
    convert::run(registry, &convert)
}

/// Writes the two crates, and says how they are used.
fn write_parts(folder: &Path, given: &[OsString]) -> Result<(), CommandError> {
    let plain = [OsString::from("cargo")];
    let found = command::find(if given.is_empty() { &plain } else { given })?;
    let patches = found.prepare(|part| Ok(folder.join(part.part.name)))?;
    prepare::write_trace_crate(&folder.join("airconv-candle-trace"))?;
    let made: Vec<String> =
        found.parts.iter().map(|p| format!("{} {}", p.part.name, p.version)).collect();
    let options: Vec<String> = patches.iter().map(|p| format!("--config '{p}'")).collect();
    output::line(format!(
        "{} that record, for AIRCONV_RECORDING=1 cargo {} ...",
        made.join(" and "),
        options.join(" ")
    ));
    Ok(())
}

/// The recording of a name; the only one where none is given.
fn chosen(recordings: &[PathBuf], program: Option<&str>) -> Result<PathBuf, Exit> {
    let name = |p: &PathBuf| p.file_stem().map(|n| n.to_string_lossy().into_owned());
    let all: Vec<String> = recordings.iter().filter_map(name).collect();
    match (recordings, program) {
        ([one], None) => Ok(one.clone()),
        (_, Some(program)) => match all.iter().position(|n| n == program) {
            Some(at) => Ok(recordings[at].clone()),
            None => {
                let known = all.join(", ");
                output::error(format!("no program `{program}` was recorded; there are {known}"));
                Err(Exit::Usage)
            }
        },
        (_, None) => {
            let known = all.join(", ");
            output::error(format!(
                "several programs were recorded; name one by --program: {known}"
            ));
            Err(Exit::Usage)
        }
    }
}

/// Copies recordings to a folder.
fn keep(recordings: &[PathBuf], to: &Path) -> Result<(), Exit> {
    let system = |path: &Path, e: std::io::Error| {
        output::error(format!("{}: {e}", path.display()));
        Exit::System
    };
    fs::create_dir_all(to).map_err(|e| system(to, e))?;
    for from in recordings {
        let Some(name) = from.file_name() else { continue };
        let path = to.join(name);
        let mut source = fs::File::open(from).map_err(|e| system(from, e))?;
        airconv_api::files::write_whole(&path, |out| std::io::copy(&mut source, out).map(drop))
            .map_err(|e| system(&path, e))?;
    }
    Ok(())
}

fn refused(error: &CommandError) -> Exit {
    output::error(error.to_string());
    match error {
        CommandError::NotCargo(_) => Exit::Usage,
        CommandError::Candle(_) | CommandError::Prepare(_) => Exit::Unsupported,
        CommandError::Cargo(_) | CommandError::Failed(_) | CommandError::Io(_) => Exit::System,
    }
}
