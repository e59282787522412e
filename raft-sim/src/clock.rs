//! A node's own clock: its ticks are never quite as long as another's, and it may stop with its process.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Time;
use crate::options::{Leases, Options};

/// How many percent a clock is off when all is well.
const CALM: u64 = 5;

/// Where leases are relied on, that may be too much.
fn calm(options: &Options) -> u64 {
    if options.leases == Leases::Safe { CALM.min(options.drift) } else { CALM }
}

/// The clock of one node.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    tick: Time,
}

impl Clock {
    /// A clock that is off by at most this many percent: slower by all of it, or faster in proportion.
    fn off_by(percent: u64, node: usize, options: &Options, choices: &mut impl Choices) -> Clock {
        let site = Site::new(Purpose::Clock, node);
        let (slow, off) = (choices.pick(site, 2) == 1, choices.range(site, 0, percent));
        let tick = options.tick;
        Clock { tick: if slow { tick * (100 + off) / 100 } else { tick * 100 / (100 + off) } }
    }

    /// A clock as this run has them.
    pub fn draw(node: usize, options: &Options, choices: &mut impl Choices) -> Clock {
        Clock::off_by(options.drift, node, options, choices)
    }

    /// A clock as good ones are.
    pub fn calm(node: usize, options: &Options, choices: &mut impl Choices) -> Clock {
        Clock::off_by(calm(options), node, options, choices)
    }

    /// The election timeout on the slowest of the calm clocks.
    pub fn slowest_timeout(options: &Options) -> Time {
        options.election_timeout() * (100 + calm(options)) / 100
    }

    /// What a voter's patience with a leader is at least, on the fastest of the clocks as they are drawn: the first tick
    /// may come at once, and what was heard may wait for its turn.
    pub fn shortest_patience(options: &Options) -> Time {
        let ticks = u64::from(options.election_ticks) - 1;
        (ticks * (options.tick * 100 / (100 + options.drift))).saturating_sub(options.batch)
    }

    /// How long a lease lasts, in ticks (rule 14).
    pub fn lease_ticks(options: &Options) -> u64 {
        u64::from(options.election_ticks.saturating_sub(1).saturating_sub(options.drift_ticks))
    }

    /// How long a tick takes.
    pub fn tick(&self) -> Time {
        self.tick.max(1)
    }
}
