//! What must hold in every run, one file each, checked after every fact at a cost that is bounded per fact.

use crate::coverage::Coverage;
use crate::facts::{Fact, Time, Violation};
use raft_core::Limits;

/// What the run's options mean for the checkers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Node ids are 1 to this.
    pub nodes: usize,
    /// The limits that every node runs with.
    pub limits: Limits,
    /// The minimal election timeout, in simulated time on the slowest clock.
    pub election_timeout: Time,
}

/// All invariants of a run.
#[derive(Clone, Debug)]
pub struct Judges {
    coverage: Coverage,
}

impl Judges {
    /// The checkers of a run that begins.
    pub fn new(_rules: Rules) -> Judges {
        Judges { coverage: Coverage::default() }
    }

    /// Takes in the next fact. After a violation the run is over: what a later call returns means nothing.
    pub fn observe(&mut self, _at: Time, _fact: &Fact<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// Whether the healed cluster has done all that liveness asks of it, so that the run may end.
    pub fn settled(&self) -> bool {
        false
    }

    /// The rare states that this run reached.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}
