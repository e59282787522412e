//! How many inputs a fuzzer tried, and how many of them were accepted.

use std::cell::Cell;

struct Tally {
    executions: Cell<u64>,
    accepted: Cell<u64>,
}

impl Drop for Tally {
    /// The fuzzer leaves by `exit`, which ends the thread's locals: the only place at the end of a run that is ours.
    fn drop(&mut self) {
        let (executions, accepted) = (self.executions.get(), self.accepted.get());
        let share = 100.0 * accepted as f64 / executions.max(1) as f64;
        eprintln!("{executions} executions, {accepted} accepted ({share:.1} %)");
    }
}

thread_local! {
    static TALLY: Tally = const { Tally { executions: Cell::new(0), accepted: Cell::new(0) } };
}

/// Counts one execution; the totals are printed when the thread ends.
pub fn tally(accepted: bool) {
    TALLY.with(|tally| {
        tally.executions.set(tally.executions.get() + 1);
        tally.accepted.set(tally.accepted.get() + u64::from(accepted));
    });
}
