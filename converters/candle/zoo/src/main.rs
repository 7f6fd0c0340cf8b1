//! Models of candle, unmodified, small and with random weights, for `airconv capture`:
//!
//! ```text
//! airconv capture --keep FOLDER -- cargo run -- OUT [NAME ...]
//! ```
//!
//! Every model is taken down at several sizes. Then it is run once more at sizes that were not
//! taken down, and what it was given and gave goes to `OUT/NAME.in.npz` and `OUT/NAME.out.npz`.
//! A model that fails does not keep the others from being taken down; `OUT/failed.txt` names it.

mod basic;
mod case;
mod random;
#[cfg(feature = "transformers")]
mod transformers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use case::{Case, Zoo};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(out) = args.next().map(PathBuf::from) else {
        eprintln!("usage: airconv-candle-zoo OUT [NAME ...]");
        return ExitCode::from(2);
    };
    let wanted: Vec<String> = args.collect();
    let basic: Vec<Case> = basic::CASES.to_vec();
    #[cfg(feature = "transformers")]
    let more = transformers::cases();
    #[cfg(not(feature = "transformers"))]
    let more = Vec::new();
    let zoo = Zoo::new(out);
    let mut failed = String::new();
    for (name, case) in basic.into_iter().chain(more) {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        // A model may panic in candle itself.
        let done = catch_unwind(AssertUnwindSafe(|| case(&zoo, name)));
        let why = match done {
            Ok(Ok(())) => {
                println!("{name}: taken down");
                continue;
            }
            Ok(Err(e)) => e.to_string(),
            Err(panic) => format!("it panics: {}", message(panic.as_ref())),
        };
        let why = why.lines().next().unwrap_or_default();
        println!("{name}: {why}");
        failed.push_str(&format!("{name}\t{why}\n"));
    }
    match std::fs::write(zoo.out().join("failed.txt"), failed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}: {e}", zoo.out().display());
            ExitCode::FAILURE
        }
    }
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}
