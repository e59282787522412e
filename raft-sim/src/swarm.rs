//! Many seeds at once. The only file that may use threads and the wall clock: they decide which seeds are run and how
//! fast, never what happens in one of them.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use crate::coverage::Mark;
use crate::runner::{Ran, Totals, run_seed};
use crate::trace::Reader;
use crate::world::Setup;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Which seeds, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// The seed after the last one.
    pub end: u64,
    /// No new run begins after this time.
    pub limit: Option<Duration>,
    /// Runs at once.
    pub jobs: usize,
    /// Go on after a failure.
    pub keep_going: bool,
}

/// What a swarm found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// All runs together.
    pub totals: Totals,
    /// The first seed that reached each mark.
    pub firsts: BTreeMap<Mark, u64>,
    /// The failed seeds and what fell.
    pub failures: BTreeMap<u64, Ran>,
    /// How long it took.
    pub took: Duration,
}

/// How many cores there are.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the seeds of a plan.
pub fn swarm(plan: Plan, setup: Setup) -> Found {
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(plan.first), AtomicBool::new(false));
    let found = Mutex::new(Found::default());
    let bar = progress(&plan);
    let work = || {
        while !stop.load(Ordering::Relaxed) && plan.limit.is_none_or(|limit| began.elapsed() < limit) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= plan.end {
                return;
            }
            let ran = run_seed(seed, Setup { reader: Reader::Nobody, ..setup });
            let mut found = found.lock().expect("a worker catches the panics of its runs");
            found.totals.add(&ran);
            for (mark, _) in ran.coverage.iter().filter(|(_, count)| *count > 0) {
                let first = found.firsts.entry(mark).or_insert(seed);
                *first = seed.min(*first);
            }
            if ran.failure.is_some() {
                stop.fetch_or(!plan.keep_going, Ordering::Relaxed);
                found.failures.insert(seed, ran);
            }
            show(&bar, &plan, &found, began.elapsed());
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().expect("a worker catches the panics of its runs");
        }
    });
    bar.finish_and_clear();
    let mut found = found.into_inner().expect("all workers are done");
    found.took = began.elapsed();
    found
}

/// A bar on stderr; nothing if that is no terminal.
fn progress(plan: &Plan) -> ProgressBar {
    let length = plan.limit.map_or(plan.end - plan.first, |limit| limit.as_secs().max(1));
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {percent}% {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, plan: &Plan, found: &Found, elapsed: Duration) {
    bar.set_position(if plan.limit.is_some() { elapsed.as_secs() } else { found.totals.runs });
    bar.set_message(format!("{}, {} failed", rates(&found.totals, elapsed), found.failures.len()));
}

/// Seeds, simulated time and events a second.
pub fn rates(totals: &Totals, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    format!(
        "{} seeds, {:.1} a second; {:.0} events a second; {:.0} times real time",
        totals.runs,
        totals.runs as f64 / seconds,
        totals.inputs() as f64 / seconds,
        totals.simulated as f64 / 1e6 / seconds
    )
}

/// Does the same with each of these, several at once.
pub fn map<T: Sync, R: Send>(items: &[T], jobs: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let done = each(items, jobs, |item, _| Some(work(item)));
    done.into_values().collect()
}

/// Does the same with each of these, several at once, and tells what came of each, in their order, as soon as all before
/// it are done.
pub fn in_order<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
    tell: impl FnMut(&T, R) + Send,
) {
    let places: Vec<usize> = (0..items.len()).collect();
    let told = Mutex::new((0, BTreeMap::new(), tell));
    each(&places, jobs, |at, _| {
        let result = work(&items[*at]);
        let mut told = told.lock().expect("a worker catches the panics of its runs");
        let (next, done, tell) = &mut *told;
        done.insert(*at, result);
        while let Some(result) = done.remove(next) {
            tell(&items[*next], result);
            *next += 1;
        }
        None::<()>
    });
}

/// The first of these that passes a test. How many of those behind it are tried for nothing depends on the jobs; which
/// one is found doesn't.
pub fn first<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    test: impl Fn(&T) -> Option<R> + Sync,
) -> Option<(usize, R)> {
    let passed = each(items, jobs, |item, stop| {
        let passed = test(item);
        stop.fetch_or(passed.is_some(), Ordering::Relaxed);
        passed
    });
    // All before the first one that passed had been taken before it, and were tried to their end.
    passed.into_iter().next()
}

/// What came of each of these, as far as something did. They are taken in order, until one says stop.
fn each<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T, &AtomicBool) -> Option<R> + Sync,
) -> BTreeMap<usize, R> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(BTreeMap::new());
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            if let Some(result) = work(item, &stop) {
                done.lock().expect("a worker catches the panics of its runs").insert(at, result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    done.into_inner().expect("all workers are done")
}

/// The time that a search may take, and what a person sees of it meanwhile.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    limit: Option<Duration>,
    bar: ProgressBar,
}

impl Watch {
    /// Begins now.
    pub fn new(limit: Option<Duration>) -> Watch {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        Watch { began: Instant::now(), limit, bar }
    }

    /// Whether the time is over.
    pub fn over(&self) -> bool {
        self.limit.is_some_and(|limit| self.began.elapsed() >= limit)
    }

    /// How long it took so far.
    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Says how far it is, on stderr if that is a terminal.
    pub fn say(&self, words: String) {
        self.bar.set_message(words);
        self.bar.tick();
    }

    /// The line goes away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_passes_is_the_same_with_any_number_of_jobs() {
        let items: Vec<u64> = (0..1_000).collect();
        for jobs in [1, 2, 7] {
            let found = first(&items, jobs, |item| (item % 97 == 96).then_some(*item));
            assert_eq!(found, Some((96, 96)), "{jobs} jobs");
            assert_eq!(map(&items, jobs, |item| item + 1)[500], 501);
        }
        assert_eq!(first(&items, 3, |_| None::<()>), None);
        let mut told = Vec::new();
        in_order(&items, 3, |item| item + 1, |item, result| told.push((*item, result)));
        assert!(told.iter().enumerate().all(|(at, pair)| *pair == (at as u64, at as u64 + 1)));
        assert_eq!(told.len(), items.len());
    }
}
