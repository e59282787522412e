//! Tick counters: nothing that the protocol's safety depends on is here.

use crate::config::Config;
use crate::planted::Bug;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A node's sense of time, in ticks since this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Now.
    pub(crate) now: u64,
    /// Since the election timer was last reset.
    elapsed: u64,
    /// The randomised election timeout in force.
    timeout: u64,
    /// Until when this voter refuses to vote, because it hears a leader or might have before its restart (rule 14).
    quiet_until: u64,
    /// How many timeouts were drawn. The generator is made anew for each: it would be 300 bytes of an idle node.
    draws: u32,
}

impl Clock {
    /// The clock of a new boot. `restarted`: an earlier boot may have promised a leader its patience.
    pub(crate) fn new(config: &Config, restarted: bool) -> Clock {
        let wait = u64::from(config.election_ticks) + u64::from(config.drift_ticks);
        let quiet = restarted && !config.planted(Bug::RestartForgetsLeader);
        let quiet_until = if quiet { wait } else { 0 };
        let mut clock = Clock { now: 0, elapsed: 0, timeout: 0, quiet_until, draws: 0 };
        clock.draw(config);
        clock
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, ticks: u32) {
        self.now += u64::from(ticks);
        self.elapsed += u64::from(ticks);
    }

    /// Draws a new timeout from [minimal, 2 * minimal) and starts the timer anew (paper section 5.2).
    pub(crate) fn draw(&mut self, config: &Config) {
        let minimal = u64::from(config.election_ticks);
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        random.set_stream(config.id.0);
        // A number of 64 bits is two words.
        random.set_word_pos(2 * u128::from(self.draws));
        self.draws = self.draws.wrapping_add(1);
        self.timeout = minimal + random.next_u64() % minimal;
        self.elapsed = 0;
    }

    /// Starts the timer anew: a vote was granted, or the leader was heard.
    pub(crate) fn reset(&mut self) {
        self.elapsed = 0;
    }

    /// Whether this many ticks have passed; if so, the timer starts anew.
    pub(crate) fn passed(&mut self, ticks: u32) -> bool {
        let passed = self.elapsed >= u64::from(ticks);
        if passed {
            self.elapsed = 0;
        }
        passed
    }

    /// The leader was heard.
    pub(crate) fn leader_heard(&mut self, config: &Config) {
        self.elapsed = 0;
        self.quiet_until = self.quiet_until.max(self.now + u64::from(config.election_ticks));
    }

    /// Whether a leader was heard within the minimal election timeout, or might have been before a restart.
    pub(crate) fn hears_leader(&self) -> bool {
        self.now < self.quiet_until
    }

    /// Whether the election timeout has passed.
    pub(crate) fn timed_out(&self) -> bool {
        self.elapsed >= self.timeout
    }
}
