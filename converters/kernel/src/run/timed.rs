//! How long kernels take.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::{Backend, Chain, LaunchError};
use crate::ir::Launch;
use crate::memory::Mem;

/// How often a kernel ran, and how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How often.
    pub launches: u64,
    /// How long.
    pub time: Duration,
}

/// Runs kernels on another backend, and notes how long each takes.
#[derive(Debug)]
pub struct Timed<B> {
    inner: B,
    spent: RefCell<Vec<Spent>>,
}

impl<B: Backend> Timed<B> {
    /// Notes what a backend does.
    pub fn new(inner: B) -> Self {
        Self { inner, spent: RefCell::default() }
    }

    /// What each kernel took since this was asked last, by its position in the program; kernels at
    /// the end that did not run are missing.
    pub fn take(&self) -> Vec<Spent> {
        self.spent.take()
    }
}

impl<B: Backend> Timed<B> {
    /// Does something, and notes how long it takes as the time of a kernel.
    fn note<T>(&self, launch: &Launch, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        let time = start.elapsed();
        let mut spent = self.spent.borrow_mut();
        let kernel = launch.kernel.0 as usize;
        if spent.len() <= kernel {
            spent.resize(kernel + 1, Spent::default());
        }
        spent[kernel].launches += 1;
        spent[kernel].time += time;
        done
    }
}

impl<B: Backend> Backend for &Timed<B> {
    fn launch(&self, launch: &Launch, buffers: &[Mem], sizes: &[i64]) -> Result<(), LaunchError> {
        self.note(launch, || self.inner.launch(launch, buffers, sizes))
    }

    fn chains(&self, chain: &Chain<'_>) -> bool {
        self.inner.chains(chain)
    }

    /// The time counts as that of the first kernel.
    fn launch_chain(&self, chain: &Chain<'_>, memories: [&[Mem]; 3]) -> Result<(), LaunchError> {
        self.note(chain.launches[0], || self.inner.launch_chain(chain, memories))
    }
}
