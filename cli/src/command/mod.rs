//! One file per command.

mod bench;
mod bisect;
mod capture;
mod check;
mod convert;
mod diff;
mod inspect;
mod opt;
mod print;
mod run;
mod support;
mod verify;

use airconv_api::Registry;

use crate::Exit;
use crate::args::{Cli, Command};
use crate::output;

/// Runs the command of a command line.
pub(crate) fn dispatch(registry: &Registry, cli: Cli) -> Exit {
    output::as_json(cli.common().json);
    let result = match cli.command {
        None => convert::run(registry, &cli.convert),
        Some(Command::Inspect(args)) => inspect::run(registry, &args),
        Some(Command::Print(args)) => print::run(registry, &args),
        Some(Command::Check(args)) => check::run(registry, &args),
        Some(Command::Opt(args)) => opt::run(registry, &args),
        Some(Command::Run(args)) => run::run(registry, &args),
        Some(Command::Verify(args)) => verify::run(registry, &args),
        Some(Command::Bench(args)) => bench::run(registry, &args),
        Some(Command::Bisect(args)) => bisect::run(registry, &args),
        Some(Command::Diff(args)) => diff::run(registry, &args),
        Some(Command::Capture(args)) => capture::run(registry, &args),
        Some(Command::Support(args)) => support::run(registry, &args),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::of(registry), "airconv", &mut script);
            output::put(|out| out.write_all(&script));
            Ok(())
        }
    };
    output::finish().and(result).err().unwrap_or(Exit::Done)
}
