//! Time as the core sees it: whole ticks of a monotonic clock.

use std::time::Duration;
use tokio::time::Instant;

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
}

/// Counts the ticks of the clock.
pub(crate) struct Ticks {
    length: Duration,
    /// When the newest counted tick was due.
    counted: Instant,
}

impl Ticks {
    pub(crate) fn new(length: Duration, now: Instant) -> Ticks {
        Ticks { length, counted: now }
    }

    /// When the next tick is due.
    pub(crate) fn next(&self) -> Instant {
        self.counted + self.length
    }

    /// How many ticks are due by `now` and were not counted yet.
    pub(crate) fn due(&mut self, now: Instant) -> u32 {
        let waiting = now.saturating_duration_since(self.counted);
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
        let start = Instant::now();
        let mut ticks = Ticks::new(Duration::from_millis(10), start);
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(ticks.due(after(9)), 0);
        assert_eq!(ticks.due(after(25)), 2);
        assert_eq!(ticks.due(after(29)), 0);
        assert_eq!(ticks.due(after(30)), 1);
        assert_eq!(ticks.due(after(1030)), 100);
        assert_eq!(ticks.next(), after(1040));
    }

    #[test]
    fn times_never_get_shorter() {
        let times = TickTimes::new(Duration::from_millis(100), Duration::from_millis(505));
        assert_eq!((times.length, times.heartbeat, times.election), (LONGEST_TICK, 10, 51));
        let times = TickTimes::new(Duration::from_millis(5), Duration::from_millis(25));
        assert_eq!((times.length, times.heartbeat, times.election), (Duration::from_millis(1), 5, 25));
    }
}
