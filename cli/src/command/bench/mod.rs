//! `airconv bench IN`: native code against other frameworks, run by run in turns.

mod cached;
mod kernels;
mod peer;
mod turns;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use airconv_api::compare::distance;
use airconv_api::{Registry, Report, RunOptions};
use airconv_ir::interp::Datum;
use airconv_ir::verify::Stage;
use airconv_kernel::run::{Machine, RunLimits};
use airconv_llvm::executor::prepare;
use cached::{Cached, peak};
use kernels::Kernels;
use peer::{Peer, Task, Unable};
use serde_json::{Value, json};
use turns::{Rounds, Times, until_it_sleeps};

use crate::Exit;
use crate::args::{Bench, Running};
use crate::output::{self, Progress};
use crate::session;

/// Outputs further apart than this, as a share of the greatest magnitude, are said to differ.
const TOLERANCE: f64 = 1e-4;

pub(crate) fn run(registry: &Registry, args: &Bench) -> Result<(), Exit> {
    let before = peak();
    let names = names(args.against.as_deref())?;
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    let verified = session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    let inputs = session::inputs(&module, &args.running, &args.reading, BTreeMap::new())?;
    let options = RunOptions { threads: threads(&args.running), ..args.running.options() };
    let fixed = registry.for_inputs(&module, &inputs, &mut report);
    let program = fixed.as_ref().unwrap_or(&module);
    let program = session::verified(program, Stage::Imported, &args.common, &mut report)?;
    let given = session::inputs_left(program.module(), &inputs);
    let started = Instant::now();
    let made = prepare(&program, &given, &options, &mut report);
    let (lowered, compiled) =
        made.map_err(|failed| session::fail(&report, &args.common, failed))?;
    let compile = started.elapsed();
    output::report(&report, &args.common);
    let mut machine = Machine::new(&lowered, &compiled, RunLimits::default());
    let first = machine.run(&given).map_err(system)?;
    let grown = peak().zip(before).map(|(after, before)| after.saturating_sub(before));
    if args.once {
        let grown = grown.ok_or_else(|| system("nothing tells how much memory is used"))?;
        output::line(Cached { grown, start: compile }.line());
        return Ok(());
    }
    let kernels = match args.explain {
        true => Some(Kernels::measure(&lowered, &compiled, &given).map_err(system)?),
        false => None,
    };
    let cached = Cached::measure();
    let mut peers = match names.is_empty() {
        true => Vec::new(),
        false => start(&names, &Task::new(&verified, &inputs, options.threads), args),
    };
    let mut ours = Times::default();
    let progress = Progress::start("running in turns", &args.common);
    let mut rounds = Rounds::new();
    while rounds.go_on() {
        let once = || {
            let start = Instant::now();
            let outputs = machine.run(&given);
            let took = start.elapsed();
            outputs.map(|_| took.as_secs_f64())
        };
        rounds.turn(&mut ours, once).map_err(system)?;
        peers.iter_mut().for_each(|row| row.turn(&rounds));
        rounds.next();
    }
    drop(progress);
    let result = Outcome { threads: options.threads, compile, ours, grown, cached, kernels, first };
    match args.common.json {
        true => output::json(&result.json(&peers)),
        false => result.print(&peers),
    }
    Ok(())
}

/// The peers that are asked for; all that are known, when none is.
fn names(against: Option<&str>) -> Result<Vec<&str>, Exit> {
    let known: Vec<&str> = peer::known().collect();
    let asked = match against {
        None | Some("all") => return Ok(known),
        Some("none") => return Ok(Vec::new()),
        Some(list) => list.split(',').map(str::trim).collect::<Vec<_>>(),
    };
    match asked.iter().find(|name| !known.contains(name)) {
        None => Ok(asked),
        Some(other) => {
            let known = known.join(", ");
            let message = format!("there is no peer `{other}`; there are {known}, all and none");
            Err(output::usage(message))
        }
    }
}

/// How many threads all run with.
fn threads(running: &Running) -> usize {
    match running.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        asked => asked,
    }
}

/// A peer and its times.
struct Row<'a> {
    name: &'a str,
    found: Result<Peer, Unable>,
    times: Times,
}

impl Row<'_> {
    /// Gives the peer its turn, if it still runs; one that stops is told and left out from there.
    fn turn(&mut self, rounds: &Rounds) {
        let Ok(peer) = &mut self.found else { return };
        match rounds.turn(&mut self.times, || peer.once()) {
            Ok(()) => until_it_sleeps(peer.id()),
            Err(why) => self.found = Err(Unable::Refused(why)),
        }
    }
}

fn start<'a>(names: &[&'a str], task: &Result<Task, String>, args: &Bench) -> Vec<Row<'a>> {
    let progress = Progress::start("starting peers", &args.common);
    let row = |&name: &&'a str| {
        let found = match task {
            Ok(task) => task.start(name),
            Err(why) => Err(Unable::Refused(why.clone())),
        };
        Row { name, found, times: Times::default() }
    };
    let rows = names.iter().map(row).collect();
    drop(progress);
    rows
}

/// What was measured of native code.
struct Outcome {
    threads: usize,
    compile: Duration,
    ours: Times,
    /// Of this process, which compiled.
    grown: Option<u64>,
    cached: Option<Cached>,
    kernels: Option<Kernels>,
    first: Vec<(String, Datum)>,
}

impl Outcome {
    /// By how many KiB the most resident memory has grown, without compiling where there is a cache.
    fn memory(&self) -> Option<u64> {
        self.cached.map(|c| c.grown).or(self.grown)
    }

    /// How far the outputs are from a peer's: the greatest difference over the greatest magnitude
    /// of each, or what differs otherwise.
    fn apart(&self, outputs: &BTreeMap<usize, Datum>) -> Result<f64, String> {
        if let Some(more) = outputs.keys().find(|i| self.first.get(**i).is_none()) {
            return Err(format!("there is no output {more}"));
        }
        let arrays = self.first.iter().enumerate().filter(|(_, (_, d))| d.as_array().is_some());
        arrays.map(|(i, (name, ours))| apart(name, ours, outputs.get(&i))).try_fold(0.0, most)
    }

    fn print(&self, peers: &[Row<'_>]) {
        let (threads, runs) = (self.threads, self.ours.len());
        output::line(format!("{runs} runs in turns, {threads} thread(s), subnormals flushed"));
        output::line(format!(
            "{:24} {:>10} {:>10} {:>9}   airconv is",
            "", "min ms", "median ms", "MiB"
        ));
        let (min, median) = self.ours.summary();
        let memory = self.memory().map_or_else(|| "?".to_owned(), mebibytes);
        output::line(format!("{:24} {min:10.3} {median:10.3} {memory:>9}", "airconv (llvm)"));
        for row in peers {
            let peer = match &row.found {
                Ok(peer) => peer,
                Err(Unable::Absent(_)) => continue,
                Err(Unable::Refused(why)) => {
                    output::line(format!("{:24} cannot run it: {why}", row.name));
                    continue;
                }
            };
            let (m, d) = row.times.summary();
            let verdict = match self.apart(&peer.outputs) {
                Ok(far) if far <= TOLERANCE => String::new(),
                Ok(far) => format!(" (outputs differ by {far:.1e}: does not count)"),
                Err(what) => format!(" (outputs differ: {what}: does not count)"),
            };
            output::line(format!(
                "{:24} {m:10.3} {d:10.3} {:>9}   {:.2} times as fast, median {:.2}{verdict}",
                peer.name,
                mebibytes(peer.grown),
                m / min,
                d / median,
            ));
        }
        let absent = |row: &Row<'_>| matches!(row.found, Err(Unable::Absent(_)));
        let absent: Vec<&str> = peers.iter().filter(|r| absent(r)).map(|r| r.name).collect();
        if !absent.is_empty() {
            output::line(format!("not installed: {}", absent.join(", ")));
        }
        let again =
            self.cached.map(|c| format!(", {:.0} ms from the cache", milliseconds(c.start)));
        let compile = milliseconds(self.compile);
        output::line(format!(
            "lowered and compiled in {compile:.0} ms{}",
            again.unwrap_or_default()
        ));
        if let Some(kernels) = &self.kernels {
            kernels.print();
        }
    }

    fn json(&self, peers: &[Row<'_>]) -> Value {
        let (min, median) = self.ours.summary();
        let row = |row: &Row<'_>| {
            let peer = match &row.found {
                Ok(peer) => peer,
                Err(Unable::Absent(why)) => return json!({ "peer": row.name, "absent": why }),
                Err(Unable::Refused(why)) => return json!({ "peer": row.name, "refused": why }),
            };
            let (m, d) = row.times.summary();
            let apart = self.apart(&peer.outputs);
            json!({
                "peer": row.name,
                "name": peer.name,
                "min_ms": m,
                "median_ms": d,
                "peak_kib": peer.grown,
                "ratio_min": m / min,
                "ratio_median": d / median,
                "agrees": apart.as_ref().is_ok_and(|far| *far <= TOLERANCE),
                "max_rel": apart.as_ref().ok(),
                "differs": apart.as_ref().err(),
            })
        };
        json!({
            "threads": self.threads,
            "runs": self.ours.len(),
            "compile_ms": milliseconds(self.compile),
            "cached_ms": self.cached.map(|c| milliseconds(c.start)),
            "min_ms": min,
            "median_ms": median,
            "peak_kib": self.memory(),
            "kernels": self.kernels.as_ref().map(Kernels::json),
            "peers": peers.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn most(a: f64, b: Result<f64, String>) -> Result<f64, String> {
    b.map(|b| a.max(b))
}

/// How far an output is from a peer's. What is no float has to be equal.
fn apart(name: &str, ours: &Datum, theirs: Option<&Datum>) -> Result<f64, String> {
    let theirs = theirs.ok_or_else(|| format!("`{name}` is missing"))?;
    let far = distance(ours, theirs, 0.0, 0.0);
    if let Some(what) = far.structural {
        return Err(format!("`{name}`: {what}"));
    }
    let float = ours.as_array().is_some_and(|a| a.dtype.is_float() || a.dtype.is_complex());
    match (far.outside, far.max_rel) {
        (0, _) => Ok(0.0),
        (some, _) if !float => Err(format!("`{name}`: {some} of {} elements", far.elements)),
        // There is no magnitude that it could be a share of.
        (_, 0.0) => Ok(f64::INFINITY),
        (_, share) => Ok(share),
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn system(e: impl std::fmt::Display) -> Exit {
    output::system(e.to_string())
}

#[cfg(test)]
mod tests {
    use airconv_ir::array::Array;
    use airconv_ir::dtype::DType;

    use super::*;

    fn outcome(first: Vec<(String, Datum)>) -> Outcome {
        let (compile, ours) = (Duration::ZERO, Times::default());
        Outcome { threads: 1, compile, ours, grown: None, cached: None, kernels: None, first }
    }

    #[test]
    fn a_peer_has_to_give_every_output_and_every_word() {
        let floats = |v: &[f64]| Datum::from(Array::from_f64s(DType::F32, vec![2], v).unwrap());
        let words = |v: &[&str]| {
            let words: Vec<String> = v.iter().map(ToString::to_string).collect();
            Datum::from(Array::from_strs(vec![2], &words).unwrap())
        };
        let mine =
            vec![("y".to_owned(), floats(&[0.0, 2.0])), ("l".to_owned(), words(&["a", "b"]))];
        let mine = outcome(mine);
        let theirs = |y: Datum, l: Option<Datum>| -> BTreeMap<usize, Datum> {
            [Some((0, y)), l.map(|l| (1, l))].into_iter().flatten().collect()
        };
        let same = theirs(floats(&[0.0, 2.0]), Some(words(&["a", "b"])));
        assert_eq!(mine.apart(&same), Ok(0.0));
        assert_eq!(mine.apart(&theirs(floats(&[0.0, 1.0]), Some(words(&["a", "b"])))), Ok(1.0));
        let zeros = mine.apart(&theirs(floats(&[0.0, 0.0]), Some(words(&["a", "b"]))));
        assert_eq!(zeros, Ok(f64::INFINITY));
        assert!(mine.apart(&theirs(floats(&[0.0, 2.0]), Some(words(&["a", "c"])))).is_err());
        assert!(mine.apart(&theirs(floats(&[0.0, 2.0]), None)).is_err());
        assert!(mine.apart(&BTreeMap::new()).is_err());
        let more = [same, BTreeMap::from([(2, floats(&[1.0, 1.0]))])].into_iter().flatten();
        assert!(mine.apart(&more.collect()).is_err());
    }
}
