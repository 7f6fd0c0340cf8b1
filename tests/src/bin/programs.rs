//! Runs random hub programs on executors and compares them with the hub's interpreter.
//!
//! usage: programs [--count N] [--seed S] [--steps N] [--executors kernel,llvm,c] [--isa LEVEL]
//!                 [--native-only] [--only SEED]
//!
//! Seeds run from S on. A program that differs is made as short as it still differs, and printed.
//! `--only` runs one seed and prints its program in any case.
//!
//! Exit status: 0 all agree, 1 some differ, 2 wrong usage.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use airconv_api::{Executor, RunOptions};
use airconv_ir::text::{PrintOptions, print};
use airconv_kernel::c::CExecutor;
use airconv_kernel::executor::KernelExecutor;
use airconv_llvm::executor::LlvmExecutor;
use airconv_tests::programs::judge::{Judged, Verdict, shrink};

struct Args {
    count: u64,
    seed: u64,
    steps: usize,
    executors: Vec<Box<dyn Executor>>,
    options: RunOptions,
    only: Option<u64>,
}

fn executor(name: &str) -> Result<Box<dyn Executor>, String> {
    match name {
        "kernel" => Ok(Box::new(KernelExecutor)),
        "llvm" => Ok(Box::new(LlvmExecutor)),
        "c" => Ok(Box::new(CExecutor::default())),
        _ => Err(format!("there is no executor {name}: kernel, llvm, c")),
    }
}

fn args() -> Result<Args, String> {
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let mut out = Args { count: 100, seed: 1, steps: 14, executors: vec![], options, only: None };
    let mut names = "kernel,llvm".to_owned();
    let mut all = std::env::args().skip(1);
    while let Some(flag) = all.next() {
        let mut value = || all.next().ok_or(format!("{flag} wants a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match flag.as_str() {
            "--count" => out.count = number(value()?)?,
            "--seed" => out.seed = number(value()?)?,
            "--steps" => out.steps = number(value()?)? as usize,
            "--only" => out.only = Some(number(value()?)?),
            "--executors" => names = value()?,
            "--isa" => out.options.isa = Some(value()?),
            "--native-only" => out.options.native_only = true,
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    out.executors = names.split(',').map(executor).collect::<Result<_, _>>()?;
    Ok(out)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(why) => {
            eprintln!("programs: {why}");
            return ExitCode::from(2);
        }
    };
    let mut counts = BTreeMap::<String, usize>::new();
    let mut refusals = BTreeMap::<String, usize>::new();
    let seeds = args.only.map_or(args.seed..args.seed + args.count, |only| only..only + 1);
    let mut wrong = 0;
    for seed in seeds {
        let judged = Judged::new(seed, args.steps);
        if args.only.is_some() {
            println!("{}", print(&judged.program().module, &PrintOptions::default()));
        }
        for executor in &args.executors {
            let verdict = judged.on(&**executor, &args.options);
            let label = match &verdict {
                Verdict::Agrees(0) => "nothing to compare",
                Verdict::Agrees(_) => "agrees",
                Verdict::NoReference(_) => "no reference",
                Verdict::Refused(_) => "refused",
                Verdict::Differs(_) => "differs",
            };
            *counts.entry(format!("{} {label}", executor.name())).or_default() += 1;
            match verdict {
                Verdict::NoReference(why) | Verdict::Refused(why) => {
                    *refusals.entry(format!("{label}: {why}")).or_default() += 1;
                }
                Verdict::Differs(_) => {
                    wrong += 1;
                    let (steps, verdict) = shrink(seed, args.steps, &**executor, &args.options);
                    println!("seed {seed}, {steps} steps, {}: {verdict:?}", executor.name());
                    let module = Judged::new(seed, steps);
                    println!("{}", print(&module.program().module, &PrintOptions::default()));
                }
                Verdict::Agrees(_) => {}
            }
        }
    }
    for (what, count) in refusals.iter().chain(&counts) {
        println!("{count:6}  {what}");
    }
    ExitCode::from(u8::from(wrong > 0))
}
