//! A lease is as good as the clocks: beyond the bound on their drift it lies, and the checkers see it.

use raft_sim::choices::{Random, Source};
use raft_sim::options::{Family, Leases, Options};
use raft_sim::trace::Reader;
use raft_sim::world::{Setup, World};

/// A run in which leases are relied on and leaders are cut off often, with clocks off by so many percent.
fn fell(seed: u64, drift: Option<u64>) -> Option<&'static str> {
    let mut choices = Source::Random(Random::new(seed, false));
    let mut options = Options::draw(&mut choices);
    options.leases = Leases::Safe;
    options.check_quorum = true;
    // As wherever leases are relied on: a lease of no length would allow clocks of any kind.
    options.drift_ticks = options.drift_ticks.min(options.election_ticks / 4);
    options.nodes = 3;
    options.seats = 3;
    options.faults = [None; Family::ALL.len()];
    options.faults[Family::Partition as usize] = Some(3 * options.election_timeout());
    options.faults[Family::Drift as usize] = Some(3 * options.election_timeout());
    options.workload.leased = 1_000_000;
    options.workload.reads = 500_000;
    options.drift = drift.unwrap_or(options.safe_drift());
    let mut world = World::with(options, choices, Setup { planted: None, reader: Reader::Nobody });
    world.run().err().map(|violation| violation.invariant)
}

#[test]
fn beyond_the_bound_a_lease_serves_stale_reads_and_within_it_none() {
    let stale = |seed: &u64| matches!(fell(*seed, Some(900)), Some("reads" | "leases"));
    assert!((0..40).any(|seed| stale(&seed)), "clocks that are ten times as fast as others break leases");
    for seed in 0..40 {
        assert_eq!(fell(seed, None), None, "seed {seed}");
    }
}
