//! Fuzzes the readers and what follows them with mutated files.
//!
//! usage: fuzz [--count N] [--seed S] [--kind onnx|ir|irt|pt2|pt] [--only NUMBER] [--keep FOLDER]
//!             [--seconds N] [SEEDS]
//!
//! SEEDS is a folder of models (`.onnx`, `.pt2`, `.pt`), or of folders with a `model.onnx`. A
//! `.pt` file states the types of its inputs in an entry `extra/types.txt`. `--keep` stores the case at
//! hand there, so that it survives an abort.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use airconv_tests::fuzz::{Corpus, Kind, Outcome, drive, keep_panics, stage};

/// Counts what is in use.
struct Counting;

static IN_USE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

fn more(bytes: usize) {
    let now = IN_USE.fetch_add(bytes as i64, Ordering::Relaxed) + bytes as i64;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        IN_USE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The case at hand and when it began, in milliseconds, for the watchdog.
static CASE: AtomicU64 = AtomicU64::new(0);
static BEGAN: AtomicU64 = AtomicU64::new(u64::MAX);

/// No case may take longer.
const LONGEST: u64 = 10_000;
/// No case may take more memory.
const LARGEST: i64 = 1 << 30;

struct Args {
    count: u64,
    seed: u64,
    kinds: Vec<Kind>,
    only: Option<u64>,
    keep: Option<PathBuf>,
    seconds: u64,
    seeds: Vec<PathBuf>,
}

fn args() -> Args {
    let mut out = Args {
        count: 10_000,
        seed: 1,
        kinds: Kind::ALL.to_vec(),
        only: None,
        keep: None,
        seconds: u64::MAX,
        seeds: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|v| v.parse().ok());
        match arg.as_str() {
            "--count" => out.count = number().unwrap_or(out.count),
            "--seed" => out.seed = number().unwrap_or(out.seed),
            "--only" => out.only = number(),
            "--seconds" => out.seconds = number().unwrap_or(out.seconds),
            "--keep" => out.keep = args.next().map(PathBuf::from),
            "--kind" => {
                let name = args.next().unwrap_or_default();
                out.kinds.retain(|k| k.name() == name);
            }
            _ => out.seeds.push(arg.into()),
        }
    }
    out
}

/// The models of a folder that are not large.
fn add_folder(corpus: &mut Corpus, folder: &Path) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let path = if path.is_dir() { path.join("model.onnx") } else { path };
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let Some(kind) = Kind::ALL.into_iter().find(|k| k.name() == ending) else { continue };
        match (kind, std::fs::read(&path)) {
            (Kind::Onnx, Ok(bytes)) if bytes.len() < 1 << 16 => corpus.add_onnx(bytes),
            (Kind::Pt2 | Kind::Script, Ok(bytes)) if bytes.len() < 1 << 18 => {
                corpus.add(kind, bytes);
            }
            _ => {}
        }
    }
}

fn main() {
    // The stack of a main thread, whatever the limits of the shell.
    let worker = std::thread::Builder::new().stack_size(8 << 20).spawn(run);
    let failed = worker.ok().and_then(|w| w.join().ok()).unwrap_or(true);
    std::process::exit(i32::from(failed));
}

fn run() -> bool {
    let args = args();
    keep_panics();
    let mut corpus = Corpus::built_in();
    for folder in &args.seeds {
        add_folder(&mut corpus, folder);
    }
    let sizes: Vec<usize> = corpus.files.iter().map(Vec::len).collect();
    println!("seed {}, {} cases, files {sizes:?}", args.seed, args.count);
    let start = Instant::now();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = start.elapsed().as_millis() as u64;
            let began = BEGAN.load(Ordering::Relaxed);
            if now.saturating_sub(began) > LONGEST {
                let case = CASE.load(Ordering::Relaxed);
                println!("HANG: case {case} in {}", stage());
                std::process::exit(2);
            }
        }
    });
    let mut outcomes: BTreeMap<(Kind, &str), u64> = BTreeMap::new();
    let mut bad: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let (mut slowest, mut largest) = ((0, 0), (0, 0));
    let numbers = match args.only {
        Some(n) => n..n + 1,
        None => 0..args.count,
    };
    let mut done = 0;
    for number in numbers {
        if start.elapsed().as_secs() >= args.seconds {
            break;
        }
        let kind = args.kinds[number as usize % args.kinds.len().max(1)];
        CASE.store(number, Ordering::Relaxed);
        let began = start.elapsed();
        BEGAN.store(began.as_millis() as u64, Ordering::Relaxed);
        let bytes = corpus.case(kind, args.seed, number);
        if let Some(keep) = &args.keep {
            let _ = std::fs::create_dir_all(keep);
            let path = keep.join(format!("case.{}", kind.name()));
            if let Err(e) = std::fs::write(&path, &bytes) {
                eprintln!("{}: {e}", path.display());
            }
        }
        let before = IN_USE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let outcome = drive(kind, &bytes);
        let peak = PEAK.load(Ordering::Relaxed) - before;
        let took = (start.elapsed() - began).as_millis() as u64;
        BEGAN.store(u64::MAX, Ordering::Relaxed);
        slowest = slowest.max((took, number));
        largest = largest.max((peak, number));
        if peak > LARGEST {
            let entry = bad.entry(format!("memory over 1 GiB ({})", kind.name()));
            entry.or_insert((number, 0)).1 += 1;
        }
        let label = match outcome {
            Outcome::NotRead => "not read",
            Outcome::NotVerified => "not verified",
            Outcome::Refused => "refused",
            Outcome::Ran => "ran",
            Outcome::Panicked(text) => {
                bad.entry(format!("PANIC {text}")).or_insert((number, 0)).1 += 1;
                "panicked"
            }
            Outcome::Broken(text) => {
                bad.entry(format!("BROKEN {text}")).or_insert((number, 0)).1 += 1;
                "broken"
            }
        };
        *outcomes.entry((kind, label)).or_default() += 1;
        done += 1;
    }
    println!("{done} cases of seed {} in {} s", args.seed, start.elapsed().as_secs());
    for ((kind, label), count) in outcomes {
        println!("{:5} {label:13} {count}", kind.name());
    }
    println!("slowest: case {} with {} ms", slowest.1, slowest.0);
    println!("most memory: case {} with {} MiB", largest.1, largest.0 >> 20);
    for (text, (first, count)) in &bad {
        println!("case {first} ({count} times): {}", text.replace('\n', " "));
    }
    bad.keys().any(|t| !t.starts_with("BROKEN"))
}
