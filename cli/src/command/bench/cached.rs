//! What a program takes that was compiled before: time until it can run, and memory.
//!
//! A process of its own tells, since memory that a process has used for compiling stays with it.
//! It is this program with the same arguments and one more.

use std::process::{Command, Stdio};
use std::time::Duration;

/// What a process took whose kernels were in the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cached {
    /// By how many KiB the most resident memory had grown after the first run.
    pub grown: u64,
    /// How long lowering and loading took.
    pub start: Duration,
}

impl Cached {
    /// As a line for the process that asked.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.grown, self.start.as_micros())
    }

    fn parse(line: &str) -> Option<Self> {
        let (grown, micros) = line.trim().split_once(' ')?;
        let start = Duration::from_micros(micros.parse().ok()?);
        Some(Self { grown: grown.parse().ok()?, start })
    }

    /// Starts a process that measures; `None` where that cannot be done, or nothing is cached.
    pub(super) fn measure() -> Option<Self> {
        airconv_llvm::Cache::user().folder()?;
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(std::env::args_os().skip(1)).arg("--once");
        let out = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        out.status.success().then(|| Self::parse(&String::from_utf8(out.stdout).ok()?))?
    }
}

/// The most resident memory that this process has had, in KiB; where `/proc` tells.
pub(super) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let cached = Cached { grown: 12345, start: Duration::from_micros(678) };
        assert_eq!(Cached::parse(&format!("{}\n", cached.line())), Some(cached));
        assert_eq!(Cached::parse("1 x"), None);
        assert_eq!(Cached::parse(""), None);
    }
}
