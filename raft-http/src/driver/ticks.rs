//! Time as the core sees it: whole ticks of a clock that never goes back and doesn't stand still while the machine is
//! suspended. A leader that slept must see that its lease is over.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The time since the machine was started, with the time that it was suspended.
pub(crate) fn since_start() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The configured durations in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickTimes {
    /// How long a tick is.
    pub(crate) length: Duration,
    /// A heartbeat interval.
    pub(crate) heartbeat: u32,
    /// The minimal election timeout.
    pub(crate) election: u32,
    /// How much a restarted voter waits longer: clocks may be off by a tenth.
    pub(crate) drift: u32,
}

/// The longest tick: what an election timeout is rounded to.
const LONGEST_TICK: Duration = Duration::from_millis(10);

impl TickTimes {
    /// Ticks of a tenth of a heartbeat interval, of 1 to 10 ms. Both times are rounded up, so none gets shorter than
    /// configured.
    pub(crate) fn new(heartbeat: Duration, election: Duration) -> TickTimes {
        let length = (heartbeat / 10).clamp(Duration::from_millis(1), LONGEST_TICK);
        let ticks = |time: Duration| {
            u32::try_from(time.as_nanos().div_ceil(length.as_nanos())).unwrap_or(u32::MAX / 4).max(1)
        };
        let election = ticks(election);
        TickTimes { length, heartbeat: ticks(heartbeat), election, drift: election.div_ceil(10) }
    }

    /// For how long a voter that has heard a leader surely waits for it: the tick in which it heard may be all but over.
    pub(crate) fn patience(&self) -> Duration {
        self.length * (self.election - 1)
    }
}

/// Counts the ticks of the clock.
pub(crate) struct Ticks {
    length: Duration,
    /// When the newest counted tick was due.
    counted: Duration,
}

impl Ticks {
    pub(crate) fn new(length: Duration, now: Duration) -> Ticks {
        Ticks { length, counted: now }
    }

    /// How long it is to the next tick.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        (self.counted + self.length).saturating_sub(now)
    }

    /// How many ticks are due by `now` and were not counted yet.
    pub(crate) fn due(&mut self, now: Duration) -> u32 {
        let waiting = now.saturating_sub(self.counted);
        let due = u32::try_from(waiting.as_nanos() / self.length.as_nanos()).unwrap_or(u32::MAX);
        self.counted += self.length * due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_is_lost_or_counted_twice() {
        let start = since_start();
        let mut ticks = Ticks::new(Duration::from_millis(10), start);
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(ticks.due(after(9)), 0);
        assert_eq!(ticks.due(after(25)), 2);
        assert_eq!(ticks.due(after(29)), 0);
        assert_eq!(ticks.due(after(30)), 1);
        assert_eq!(ticks.due(after(1030)), 100);
        assert_eq!(ticks.wait(after(1033)), Duration::from_millis(7));
        assert_eq!(ticks.wait(after(1050)), Duration::ZERO);
    }

    #[test]
    fn the_clock_runs() {
        let before = since_start();
        std::thread::sleep(Duration::from_millis(2));
        assert!(since_start() - before >= Duration::from_millis(2));
    }

    #[test]
    fn times_never_get_shorter() {
        let times = TickTimes::new(Duration::from_millis(100), Duration::from_millis(505));
        assert_eq!((times.length, times.heartbeat, times.election), (LONGEST_TICK, 10, 51));
        assert_eq!(times.patience(), Duration::from_millis(500));
        let times = TickTimes::new(Duration::from_millis(5), Duration::from_millis(25));
        assert_eq!((times.length, times.heartbeat, times.election), (Duration::from_millis(1), 5, 25));
    }
}
