//! The swarm finds every planted bug, by an invariant that the table names. `raft-sim bugs --all --searches 20` prints
//! the medians.
#![cfg(feature = "planted")]

use raft_sim::hunt::{Effort, hunt};

#[test]
fn every_planted_bug_is_found() {
    raft_sim::runner::catch_panics();
    let effort = Effort { searches: 1, seeds: 400, jobs: raft_sim::swarm::cores() };
    assert!(hunt(&[], effort).unwrap(), "the table above says which were not found");
}
