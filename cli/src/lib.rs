//! The command line of airconv as a library: [`run`] takes a registry of converters and
//! executors, so that a program with more of them is five lines long.

mod args;
mod command;
mod conversion;
mod facts;
mod nearest;
mod output;
mod page;
mod session;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use airconv_api::{Failed, Registry};
use clap::FromArgMatches;

/// What a run of the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A comparison or check said no.
    No = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The input is malformed or over a limit.
    Malformed = 3,
    /// Something in it is not supported.
    Unsupported = 4,
    /// An executor, plug-in or the system failed.
    System = 5,
}

impl From<Failed> for Exit {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Argument => Self::Usage,
            Failed::Malformed => Self::Malformed,
            Failed::Unsupported => Self::Unsupported,
            Failed::System => Self::System,
        }
    }
}

/// The registry of everything that the project brings.
pub fn registry() -> Registry {
    let registry = Registry::default()
        .reader(airconv_api::hub::IrReader)
        .reader(airconv_api::hub::IrtReader)
        .reader(airconv_onnx::OnnxReader)
        .reader(airconv_torch::Pt2Reader)
        .reader(airconv_torch::ScriptReader)
        .reader(airconv_torch::WeightsReader)
        .reader(airconv_candle::capture::RecordingReader)
        .reader(airconv_llvm::artefact::NativeReader)
        .reader(airconv_llvm::scalar::ScalarReader)
        .writer(airconv_api::hub::IrWriter)
        .writer(airconv_api::hub::IrtWriter)
        .writer(airconv_onnx::OnnxWriter)
        .writer(airconv_torch::Pt2Writer)
        .writer(airconv_torch::ScriptWriter)
        .writer(airconv_torch::GgufWriter)
        .writer(airconv_torch::SafetensorsWriter)
        .writer(airconv_candle::CandleWriter)
        .writer(airconv_kernel::c::CWriter)
        .writer(airconv_llvm::artefact::NativeWriter(airconv_llvm::artefact::Kind::Object))
        .writer(airconv_llvm::artefact::NativeWriter(airconv_llvm::artefact::Kind::Archive))
        .writer(airconv_llvm::artefact::NativeWriter(airconv_llvm::artefact::Kind::Shared))
        .writer(airconv_llvm::artefact::NativeWriter(airconv_llvm::artefact::Kind::Text))
        .writer(airconv_llvm::artefact::NativeWriter(airconv_llvm::artefact::Kind::Bitcode))
        .executor(airconv_api::interpreter::InterpreterExecutor)
        .executor(airconv_onnx::OrtExecutor)
        .executor(airconv_kernel::executor::KernelExecutor)
        .executor(airconv_kernel::c::CExecutor::default())
        .executor(airconv_llvm::executor::LlvmExecutor);
    #[cfg(feature = "candle")]
    let registry = airconv_candle::CandleExecutor::all()
        .into_iter()
        .fold(registry, |registry, executor| registry.executor(executor));
    #[cfg(feature = "tch")]
    let registry =
        registry.executor(airconv_tch::TorchScriptExecutor).executor(airconv_tch::TchExecutor);
    registry
}

/// Runs a command line. The first argument is the program's name.
pub fn run(registry: &Registry, arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    output::as_json(false);
    let command = args::Cli::of(registry);
    let parsed = command.clone().try_get_matches_from(&arguments);
    match parsed.and_then(|m| args::Cli::from_arg_matches(&m)) {
        Ok(cli) => command::dispatch(registry, cli),
        Err(e) => not_run(&e, &command, &arguments),
    }
}

/// Prints what there is to say instead of running something: help, the version, or an error.
fn not_run(error: &clap::Error, command: &clap::Command, arguments: &[OsString]) -> Exit {
    if !error.use_stderr() {
        // The help and the version are results.
        output::put(|_| write!(anstream::stdout(), "{}", error.render().ansi()));
        return output::finish().err().unwrap_or(Exit::Done);
    }
    output::as_json(arguments.iter().any(|a| a == "--json"));
    match (nearest::command(command, arguments), output::is_json()) {
        (Some(message), _) => output::error(message),
        (None, true) => {
            let text = error.render().to_string();
            output::error(text.trim().strip_prefix("error: ").unwrap_or(&text));
        }
        // Where stderr is closed there is nobody to tell.
        (None, false) => drop(error.print()),
    }
    Exit::Usage
}

/// The program.
pub fn main() -> ExitCode {
    ExitCode::from(run(&registry(), std::env::args_os()) as u8)
}
