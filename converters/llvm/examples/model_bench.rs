//! Runs a model as native code and prints how long a run takes, and which kernels take it.
//!
//! usage: model_bench MODEL.onnx [--data FILE.npz] [--threads N] [--dim NAME=SIZE]... [--top N]
//!                    [--passes LIST] [--seconds S] [--symbolic] [--kernel I]...
//!                    [--isa LEVEL] [--precision GRADE]
//!
//! Members of the file called `in:NAME` are inputs; outputs are compared with members called
//! `out:NAME`. Without a file inputs are drawn. Sizes are fixed to those of the inputs first, unless
//! `--symbolic` is given. With one thread the time is that of the thread. `--kernel` prints a kernel of the program.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

#[allow(dead_code)]
mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use airconv_api::compare::distance;
use airconv_api::{ReadOptions, Reader, Report, RunOptions};
use airconv_ir::dim::Dim;
use airconv_ir::interp::Datum;
use airconv_ir::pass::{PassCx, PassOptions, Pipeline, run_pipeline};
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::ir::{Expr, Kernel, Launch, Program, Stmt, VarDef};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::{Backend, LaunchError, Machine, RunLimits};
use airconv_kernel::text::print;
use airconv_llvm::executor::{Compiled, prepare};
use airconv_onnx::OnnxReader;
use support::thread_seconds;

/// A backend that measures each launch of another one.
struct Timed<'c> {
    inner: &'c Compiled,
    program: &'c Program,
    spent: RefCell<Vec<Spent>>,
    clock: Clock,
}

/// Seconds of a clock.
type Clock = fn() -> f64;

/// Seconds since the first call.
fn wall() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

#[derive(Clone, Default)]
struct Spent {
    launches: u32,
    seconds: f64,
    /// Of the fastest launch.
    least: f64,
    operations: f64,
}

impl Backend for &Timed<'_> {
    fn launch(&self, launch: &Launch, buffers: &[Mem], sizes: &[i64]) -> Result<(), LaunchError> {
        let start = (self.clock)();
        let inner = self.inner;
        let done = inner.launch(launch, buffers, sizes);
        let time = (self.clock)() - start;
        let spent = &mut self.spent.borrow_mut()[launch.kernel.0 as usize];
        spent.least = if spent.launches == 0 { time } else { spent.least.min(time) };
        spent.launches += 1;
        spent.seconds += time;
        spent.operations += operations(self.program.kernel(launch.kernel), sizes);
        done
    }
}

impl Timed<'_> {
    /// The kernels that took longest, per run.
    fn print(&self, top: usize, runs: f64) {
        let spent = self.spent.borrow();
        let launches: u32 = spent.iter().map(|s| s.launches).sum();
        let total: f64 = spent.iter().map(|s| s.least * f64::from(s.launches)).sum::<f64>() / runs;
        println!(
            "in kernels: {:.3} ms at their best, {:.0} launches",
            total * 1e3,
            f64::from(launches) / runs
        );
        let mut order: Vec<usize> = (0..spent.len()).collect();
        let weight = |i: usize| spent[i].least * f64::from(spent[i].launches);
        order.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
        for i in order.into_iter().take(top) {
            let s = &spent[i];
            let count = f64::from(s.launches.max(1));
            let kind = if self.inner.is_product(i) { "product" } else { "nest" };
            println!(
                "{:5.1}% {:8.1} us x {:<4} {:7.2} Gop/s {kind} {i} {}",
                weight(i) / runs / total * 100.0,
                s.least * 1e6,
                f64::from(s.launches) / runs,
                s.operations / count / s.least / 1e9,
                self.program.kernels[i].name
            );
        }
    }
}

/// Multiplications and additions of the reductions of a kernel, or else elements stored.
fn operations(kernel: &Kernel, sizes: &[i64]) -> f64 {
    let size = |d: &Dim| {
        let value = d.eval(&|s| match kernel.vars.get(s.0 as usize) {
            Some(VarDef::Size(i)) => sizes.get(*i as usize).copied(),
            _ => None,
        });
        value.unwrap_or(1).max(0) as f64
    };
    fn loops(body: &[Stmt], size: &dyn Fn(&Dim) -> f64) -> f64 {
        let one = |s: &Stmt| match s {
            Stmt::For { extent, body, .. } => size(extent) * loops(body, size),
            _ => 1.0,
        };
        body.iter().map(one).fold(0.0, f64::max)
    }
    let reduced: f64 = kernel
        .exprs
        .iter()
        .map(|e| match e {
            Expr::Reduce { axes, .. } => 2.0 * axes.iter().map(|(_, d)| size(d)).product::<f64>(),
            _ => 0.0,
        })
        .sum();
    loops(&kernel.body, &size) * reduced.max(1.0)
}

/// Seconds of the runs of a closure, sorted.
fn measure(clock: Clock, budget: f64, mut call: impl FnMut()) -> Vec<f64> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || begin.elapsed().as_secs_f64() < budget {
        let start = clock();
        call();
        times.push(clock() - start);
    }
    times.sort_by(f64::total_cmp);
    times
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (mut model, mut data) = (PathBuf::new(), None);
    let (mut threads, mut top, mut budget) = (0usize, 12usize, 1.0f64);
    let mut passes = "all".to_owned();
    let (mut shown, mut symbolic) = (Vec::new(), false);
    let (mut isa, mut precision) = (None, None);
    let mut sizes: BTreeMap<String, i64> = BTreeMap::new();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--data" => data = Some(PathBuf::from(value()?)),
            "--threads" => threads = value()?.parse()?,
            "--top" => top = value()?.parse()?,
            "--seconds" => budget = value()?.parse()?,
            "--kernel" => shown.push(value()?.parse::<usize>()?),
            "--symbolic" => symbolic = true,
            "--isa" => isa = Some(value()?),
            "--precision" => precision = Some(value()?),
            "--passes" => passes = value()?,
            "--dim" => {
                let text = value()?;
                let (name, size) = text.split_once('=').ok_or("NAME=SIZE")?;
                sizes.insert(name.to_owned(), size.parse()?);
            }
            _ => model = PathBuf::from(arg),
        }
    }
    let mut report = Report::default();
    let mut module = OnnxReader
        .read(&model, &ReadOptions::default(), &mut report)
        .map_err(|e| format!("{e:?} {:?}", report.diagnostics))?;
    let pipeline = Pipeline::parse(&passes)?;
    run_pipeline(&mut module, &pipeline, &mut PassCx::new(PassOptions::default()))?;
    let members = match &data {
        Some(path) => airconv_api::npz::read(path)?,
        None => BTreeMap::new(),
    };
    let mut wanted = BTreeMap::new();
    let mut given = BTreeMap::new();
    for (key, member) in members {
        match key.strip_prefix("out:") {
            Some(name) => {
                wanted.insert(name.to_owned(), Datum::from(member.into_array(None)?));
            }
            None => {
                given.insert(key, member);
            }
        }
    }
    let inputs = match data {
        Some(_) => airconv_api::inputs::from_members(&module, given)?,
        None => airconv_api::inputs::seeded(&module, 1, &sizes)?,
    };
    if !symbolic {
        let dims = airconv_kernel::executor::sizes_of(&module, &inputs);
        let given = Given { dims, max_nodes: 10_000_000, ..Given::default() };
        module = specialize(module, &given, &[]).map_err(|e| format!("{e:?}"))?;
        run_pipeline(&mut module, &pipeline, &mut PassCx::new(PassOptions::default()))?;
    }
    let verified = verify(&module, Stage::Imported).map_err(|e| format!("{e:?}"))?;

    let start = Instant::now();
    let options = RunOptions { threads, isa, precision, ..RunOptions::default() };
    let (lowered, compiled) = prepare(&verified, &inputs, &options, &mut report)
        .map_err(|e| format!("{e:?} {:?}", report.diagnostics))?;
    let name = model.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    println!(
        "{name}: {} kernels, {} of them matrix products; compiled in {:.0} ms",
        lowered.program.kernels.len(),
        compiled.products(),
        start.elapsed().as_secs_f64() * 1e3
    );
    for (op, count) in lowered.program.host_ops() {
        println!("  on the host: {count} x {op}");
    }

    for i in shown {
        println!("{}", print(&lowered.program.kernels[i]));
    }
    let mut machine = Machine::new(&lowered, &compiled, RunLimits::default());
    let outputs = machine.run(&inputs)?;
    for (name, got) in &outputs {
        let Some(want) = wanted.get(name) else { continue };
        let d = distance(got, want, 1e-4, 1e-5);
        let mark = if d.agrees() { "agrees" } else { "DIFFERS" };
        println!(
            "  {name} {mark}: max abs {:.2e}, max rel {:.2e}, {} of {} outside {}",
            d.max_abs,
            d.max_rel,
            d.outside,
            d.elements,
            d.structural.unwrap_or_default()
        );
    }
    let clock = if threads == 1 { thread_seconds } else { wall };
    let times = measure(clock, budget, || {
        machine.run(&inputs).map(drop).unwrap_or_else(|e| println!("{e}"));
    });
    println!(
        "{name}: min {:.3} ms, median {:.3} ms, {} runs",
        times[0] * 1e3,
        times[times.len() / 2] * 1e3,
        times.len()
    );
    let timed = Timed {
        inner: &compiled,
        program: &lowered.program,
        spent: RefCell::new(vec![Spent::default(); lowered.program.kernels.len()]),
        clock,
    };
    let mut machine = Machine::new(&lowered, &timed, RunLimits::default());
    machine.run(&inputs)?;
    timed.spent.borrow_mut().fill(Spent::default());
    let runs = times.len().clamp(1, 20);
    for _ in 0..runs {
        machine.run(&inputs)?;
    }
    timed.print(top, runs as f64);
    Ok(())
}
