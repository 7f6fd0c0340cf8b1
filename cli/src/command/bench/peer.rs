//! Other frameworks as processes that run the same model when told to.
//!
//! A peer is started with the arguments `MODEL.onnx INPUTS.npz OUTPUTS.npz THREADS`. It loads the
//! model, runs it once, writes its outputs under the names `0`, `1` ..., and prints one line:
//! `ready NAME VERSION KIB` (by how much its peak of resident memory has grown; `_` for spaces),
//! `absent WHY` or `refused WHY`. Then it runs once for every line that it reads, and prints how
//! many nanoseconds that took. The peers in Python are in `peers.py`; any program on the path that
//! is called `airconv-peer-NAME` is one too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use airconv_api::{Report, WriteOptions, Writer, npz};
use airconv_ir::interp::Datum;
use airconv_ir::verify::Verified;

/// The peers in Python, which `peers.py` knows.
const IN_PYTHON: &[&str] = &["ort", "openvino"];
/// The peers that `bench/peers` makes.
const PROGRAMS: &[&str] = &["tract", "rten", "candle"];
const SCRIPT: &str = include_str!("peers.py");
/// The most bytes of its stderr that are looked at.
const MOST_SAID: u64 = 1 << 20;

/// Every peer that is known by name.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    IN_PYTHON.iter().chain(PROGRAMS).copied()
}

/// The model and its inputs as files that peers read.
pub(super) struct Task {
    folder: tempfile::TempDir,
    threads: usize,
}

/// Why a peer does not run.
pub(super) enum Unable {
    /// It is not installed.
    Absent(String),
    /// It cannot run this model.
    Refused(String),
}

impl Task {
    /// Writes the files.
    ///
    /// # Errors
    /// When the program cannot be written as ONNX, with the reason.
    pub(super) fn new(
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        threads: usize,
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut report = Report::default();
        airconv_onnx::OnnxWriter
            .write(module, &folder.path().join("model.onnx"), &WriteOptions::default(), &mut report)
            .map_err(|_| "the program cannot be written as ONNX".to_owned())?;
        let arrays = inputs.iter().filter_map(|(n, d)| d.as_array().map(|a| (n.as_str(), a)));
        npz::write(&folder.path().join("in.npz"), arrays).map_err(|e| e.to_string())?;
        Ok(Self { folder, threads })
    }

    /// Starts a peer and waits until it has run once.
    pub(super) fn start(&self, name: &str) -> Result<Peer, Unable> {
        let (mut process, mut complaints) = self.spawn(name)?;
        let Some(stdout) = process.stdout.take() else {
            return Err(Unable::Absent("it has no output".to_owned()));
        };
        let mut answers = BufReader::new(stdout);
        let mut line = String::new();
        if answers.read_line(&mut line).is_err() || line.is_empty() {
            let stopped = "it stopped before its first run".to_owned();
            return Err(Unable::Refused(with_last_line(stopped, &mut complaints)));
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ready", framework, version, grown] => {
                let outputs = outputs(&self.file(name)).map_err(Unable::Refused)?;
                let name = format!("{} {version}", framework.replace('_', " "));
                let grown = grown.parse().unwrap_or_default();
                Ok(Peer { process, answers, complaints, name, outputs, grown })
            }
            ["absent", ref why @ ..] => Err(Unable::Absent(why.join(" "))),
            ["refused", ref why @ ..] => Err(Unable::Refused(why.join(" "))),
            _ => Err(Unable::Refused(format!("it answered {:?}", line.trim()))),
        }
    }

    fn file(&self, peer: &str) -> PathBuf {
        self.folder.path().join(format!("out-{peer}.npz"))
    }

    /// Starts a peer; what it writes to stderr can be read from the file, which outlives its name.
    fn spawn(&self, name: &str) -> Result<(Child, File), Unable> {
        let path = self.folder.path().join(format!("err-{name}.txt"));
        let both = File::create(&path).and_then(|write| Ok((write, File::open(&path)?)));
        let (write, read) = both.map_err(|e| Unable::Refused(e.to_string()))?;
        let mut command = if IN_PYTHON.contains(&name) {
            let mut python = Command::new(airconv_onnx::python());
            python.args(["-c", SCRIPT, name]);
            python
        } else {
            Command::new(format!("airconv-peer-{name}"))
        };
        let folder = self.folder.path();
        command
            .args([folder.join("model.onnx"), folder.join("in.npz"), self.file(name)])
            .arg(self.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(write)
            .spawn()
            .map(|process| (process, read))
            .map_err(|e| Unable::Absent(e.to_string()))
    }
}

/// A framework that has run the model once.
pub(super) struct Peer {
    process: Child,
    answers: BufReader<ChildStdout>,
    /// What it writes to stderr.
    complaints: File,
    /// Its name and version.
    pub(super) name: String,
    /// What it gives, by position; `None` where that is no array.
    pub(super) outputs: BTreeMap<usize, Datum>,
    /// By how many KiB its peak of resident memory grew from its start to the end of its first run.
    pub(super) grown: u64,
}

impl Peer {
    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The seconds of one run.
    ///
    /// # Errors
    /// When it stops, with the last that it said.
    pub(super) fn once(&mut self) -> Result<f64, String> {
        let mut line = String::new();
        let asked = match &mut self.process.stdin {
            Some(stdin) => stdin.write_all(b"run\n").and_then(|()| stdin.flush()),
            None => Ok(()),
        };
        let answered = asked.and_then(|()| self.answers.read_line(&mut line));
        match (answered, line.trim().parse::<f64>()) {
            (Ok(_), Ok(nanoseconds)) => Ok(nanoseconds / 1e9),
            _ => Err(with_last_line("it stopped between runs".to_owned(), &mut self.complaints)),
        }
    }
}

/// A reason, with the last line of what is left to read, if there is one.
fn with_last_line(reason: String, file: &mut File) -> String {
    let mut bytes = Vec::new();
    // What can be read is better than nothing.
    let _ = file.take(MOST_SAID).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{reason}: {}", line.chars().take(300).collect::<String>()),
        None => reason,
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn outputs(file: &Path) -> Result<BTreeMap<usize, Datum>, String> {
    let members = npz::read(file).map_err(|e| format!("its outputs: {e}"))?;
    let mut out = BTreeMap::new();
    for (name, member) in members {
        let position = name.parse().map_err(|_| format!("an output is called {name:?}"))?;
        out.insert(position, Datum::from(member.into_array(None)?));
    }
    Ok(out)
}
