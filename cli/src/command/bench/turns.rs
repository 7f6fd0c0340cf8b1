//! Runs in turns.
//!
//! A turn is a few runs of one framework, one after the other. The first does not count: caches
//! are still full of what the one before used, and threads sleep. Nor does a turn begin while
//! threads of the one before still spin for work that does not come (those of ONNX Runtime do for
//! tens of milliseconds): more threads would run than there are cores.

use std::path::Path;
use std::time::{Duration, Instant};

/// Turns of each framework before any that counts.
const WARM: usize = 1;
/// Runs of a turn that count.
const SERIES: usize = 3;
/// The fewest turns that count.
const TURNS: usize = 10;
/// The least time that turns go on for, and what is long for one: it ends with the first run that
/// counts.
const LEAST: Duration = Duration::from_secs(1);
/// The longest time that turns go on for, once one has counted.
const MOST: Duration = Duration::from_secs(30);
/// The longest time that is waited for threads to sleep.
const PATIENCE: Duration = Duration::from_millis(200);

/// The rounds of a benchmark, each a turn of everyone.
pub(super) struct Rounds {
    begun: Instant,
    done: usize,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), done: 0 }
    }

    /// Whether there is another round.
    pub(super) fn go_on(&self) -> bool {
        let long = self.begun.elapsed();
        self.done <= WARM || long < MOST && (self.done < WARM + TURNS || long < LEAST)
    }

    /// Does a turn of this round: seconds of one run each, added to the times if they count.
    ///
    /// # Errors
    /// What a run says.
    pub(super) fn turn<E>(
        &self,
        times: &mut Times,
        mut once: impl FnMut() -> Result<f64, E>,
    ) -> Result<(), E> {
        let started = Instant::now();
        for run in 0..=SERIES {
            if run > 1 && started.elapsed() > LEAST {
                break;
            }
            let took = once()?;
            if run > 0 && self.done >= WARM {
                times.0.push(took);
            }
        }
        Ok(())
    }

    /// Ends a round.
    pub(super) fn next(&mut self) {
        self.done += 1;
    }
}

/// Seconds of runs.
#[derive(Default)]
pub(super) struct Times(Vec<f64>);

impl Times {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The least and the median, in milliseconds.
    pub(super) fn summary(&self) -> (f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN) * 1e3;
        (at(0), at(sorted.len() / 2))
    }
}

/// Waits until no thread of a process runs, where the system tells (in `/proc`), or for as long as
/// patience lasts.
pub(super) fn until_it_sleeps(process: u32) {
    let started = Instant::now();
    while runs(&Path::new("/proc").join(process.to_string()).join("task"))
        && started.elapsed() < PATIENCE
    {
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Whether any of these threads is running or wants to.
fn runs(threads: &Path) -> bool {
    let Ok(threads) = std::fs::read_dir(threads) else { return false };
    threads.flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state comes after the name, which is in parentheses and may hold some.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_of_a_turn_and_the_first_turn_do_not_count() {
        let (mut rounds, mut times, mut run) = (Rounds::new(), Times::default(), 0.0);
        for _ in 0..WARM + 2 {
            assert!(rounds.go_on());
            let next = || -> Result<f64, ()> {
                run += 1.0;
                Ok(run)
            };
            rounds.turn(&mut times, next).unwrap();
            rounds.next();
        }
        let first = (WARM * (SERIES + 1)) as f64 + 2.0;
        assert_eq!(times.len(), 2 * SERIES);
        assert_eq!(times.summary(), (first * 1e3, (first + SERIES as f64 + 1.0) * 1e3));
        assert_eq!(rounds.turn(&mut times, || Err("no")), Err("no"));
    }

    #[test]
    fn one_turn_counts_however_long_runs_are() {
        let begun = Instant::now().checked_sub(2 * MOST).unwrap();
        assert!(Rounds { begun, done: WARM }.go_on());
        assert!(!Rounds { begun, done: WARM + 1 }.go_on());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_spins_is_seen() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (stop, me) = (AtomicBool::new(false), std::process::id());
        let threads = Path::new("/proc").join(me.to_string()).join("task");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            assert!(runs(&threads));
            stop.store(true, Ordering::Relaxed);
        });
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        let started = Instant::now();
        until_it_sleeps(child.id());
        assert!(started.elapsed() < PATIENCE);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
