//! `airconv bench IN`: native code against ONNX Runtime, run by run in turns.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use airconv_api::{Registry, Report, RunOptions, WriteOptions, Writer, npz};
use airconv_ir::interp::Datum;
use airconv_ir::verify::{Stage, Verified};
use airconv_kernel::run::{Machine, RunLimits};
use airconv_llvm::executor::prepare;
use serde_json::json;

use crate::Exit;
use crate::args::Bench;
use crate::output::{self, Progress};
use crate::session;

/// The peer: all optimisations, so many threads; one run per line that it reads, and the
/// nanoseconds that it took as the answer.
const PEER: &str = r#"
import sys, time
import numpy as np
import onnxruntime as ort

model, inputs, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = ort.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
options.log_severity_level = 4
options.add_session_config_entry("session.set_denormal_as_zero", "1")
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
known = {spec.name for spec in session.get_inputs()}
feeds = {name: value for name, value in np.load(inputs).items() if name in known}
print("ready", ort.__version__, flush=True)
for line in sys.stdin:
    start = time.perf_counter_ns()
    session.run(None, feeds)
    print(time.perf_counter_ns() - start, flush=True)
"#;

/// Runs before any time counts.
const WARM: usize = 3;
/// The fewest runs that count.
const RUNS: usize = 30;
/// The least time that runs go on for.
const LEAST: Duration = Duration::from_secs(1);
/// The longest time that runs go on for.
const MOST: Duration = Duration::from_secs(30);

pub(crate) fn run(registry: &Registry, args: &Bench) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    let verified = session::verified(&module, Stage::Imported, &args.common, &mut report)?;
    let inputs = session::inputs(&module, &args.running)?;
    let options = RunOptions { threads: args.running.threads.max(1), ..args.running.options() };
    let started = Instant::now();
    let made = prepare(&verified, &inputs, &options, &mut report);
    let (lowered, compiled) =
        made.map_err(|failed| session::fail(&report, &args.common, failed))?;
    let compile = started.elapsed();
    output::report(&report, &args.common);
    let mut machine = Machine::new(&lowered, &compiled, RunLimits::default());
    let folder = tempfile::tempdir().map_err(system)?;
    let mut peer = match args.against.as_deref() {
        Some("none") => None,
        Some("ort") | None => match start(folder.path(), &verified, &inputs, options.threads) {
            Ok(peer) => Some(peer),
            Err(why) if args.against.is_none() => {
                output::error(format!("without a peer: {why}"));
                None
            }
            Err(why) => {
                output::error(why);
                return Err(Exit::System);
            }
        },
        Some(other) => {
            output::error(format!("there is no peer `{other}`; there are ort and none"));
            return Err(Exit::Usage);
        }
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let progress = Progress::start("running in turns", &args.common);
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds < WARM
        || begun.elapsed() < MOST && (rounds < WARM + RUNS || begun.elapsed() < LEAST)
    {
        let start = Instant::now();
        let outputs = machine.run(&inputs).map_err(|e| {
            output::error(e.to_string());
            Exit::System
        })?;
        let took = start.elapsed();
        drop(outputs);
        let other = peer.as_mut().map(Peer::once).transpose().map_err(system)?;
        if rounds >= WARM {
            ours.push(took.as_secs_f64());
            theirs.extend(other);
        }
        rounds += 1;
    }
    drop(progress);
    print(args, &options, compile, &ours, peer.as_ref().map(|p| (p.name.as_str(), &theirs[..])));
    Ok(())
}

/// ONNX Runtime in a process of its own.
struct Peer {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
    name: String,
}

impl Peer {
    /// The seconds of one run.
    fn once(&mut self) -> std::io::Result<f64> {
        if let Some(stdin) = &mut self.process.stdin {
            stdin.write_all(b"run\n")?;
            stdin.flush()?;
        }
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let nanoseconds: f64 = line
            .trim()
            .parse()
            .map_err(|_| std::io::Error::other(format!("ONNX Runtime stopped: {line:?}")))?;
        Ok(nanoseconds / 1e9)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input does; a leftover process is not waited for.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn start(
    folder: &Path,
    module: &Verified<'_>,
    inputs: &BTreeMap<String, Datum>,
    threads: usize,
) -> Result<Peer, String> {
    let (model, given) = (folder.join("model.onnx"), folder.join("in.npz"));
    let mut report = Report::default();
    airconv_onnx::OnnxWriter
        .write(module, &model, &WriteOptions::default(), &mut report)
        .map_err(|_| "the program cannot be written as ONNX".to_owned())?;
    let arrays = inputs.iter().filter_map(|(n, d)| d.as_array().map(|a| (n.as_str(), a)));
    npz::write(&given, arrays).map_err(|e| e.to_string())?;
    let mut process = Command::new(airconv_onnx::python())
        .args(["-c", PEER])
        .args([&model, &given])
        .arg(threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("no Python: {e}"))?;
    let Some(stdout) = process.stdout.take() else {
        return Err("the peer has no output".to_owned());
    };
    let mut answers = BufReader::new(stdout);
    let mut line = String::new();
    let read = answers.read_line(&mut line);
    match line.strip_prefix("ready ") {
        Some(version) if read.is_ok() => {
            let name = format!("ONNX Runtime {}", version.trim());
            Ok(Peer { process, answers, name })
        }
        _ => Err("ONNX Runtime did not start: it takes a Python with onnxruntime and numpy, \
                  which AIRCONV_PYTHON may name"
            .to_owned()),
    }
}

/// The least and the median of some times, in milliseconds.
fn summary(times: &[f64]) -> (f64, f64) {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN) * 1e3;
    (at(0), at(sorted.len() / 2))
}

fn print(
    args: &Bench,
    options: &RunOptions,
    compile: Duration,
    ours: &[f64],
    theirs: Option<(&str, &[f64])>,
) {
    let (min, median) = summary(ours);
    let compile = compile.as_secs_f64() * 1e3;
    let peer = theirs.map(|(name, times)| (name, summary(times)));
    if args.common.json {
        output::json(&json!({
            "threads": options.threads,
            "runs": ours.len(),
            "compile_ms": compile,
            "min_ms": min,
            "median_ms": median,
            "peer": peer.map(|(name, (m, _))| json!({ "name": name, "min_ms": m })),
            "peer_median_ms": peer.map(|(_, (_, m))| m),
            "ratio_min": peer.map(|(_, (m, _))| m / min),
            "ratio_median": peer.map(|(_, (_, m))| m / median),
        }));
        return;
    }
    let threads = options.threads;
    output::line(format!("{} runs in turns, {threads} thread(s), subnormals flushed", ours.len()));
    output::line(format!("{:24} {:>10} {:>10}", "", "min ms", "median ms"));
    output::line(format!("{:24} {min:10.3} {median:10.3}", "airconv (llvm)"));
    if let Some((name, (m, d))) = peer {
        output::line(format!("{name:24} {m:10.3} {d:10.3}"));
        output::line(format!("{:24} {:10.2} {:10.2}", "times as fast", m / min, d / median));
    }
    output::line(format!("lowered and compiled in {compile:.0} ms"));
}

fn system(e: impl std::fmt::Display) -> Exit {
    output::error(e.to_string());
    Exit::System
}
