//! The world as a value: it forks, it is calm without choices, and it takes any bytes for choices.

use raft_sim::choices::{Bytes, Random, Source};
use raft_sim::runner::{Ran, run};
use raft_sim::tape::{Player, Tape};
use raft_sim::trace::Reader;
use raft_sim::world::{Setup, World};
use std::ops::Range;

const HONEST: Setup = Setup { planted: None, reader: Reader::Nobody };

#[test]
fn a_fork_goes_on_as_the_world_would_have() {
    let mut world = World::new(Source::Random(Random::new(5, false)), HONEST);
    for _ in 0..5_000 {
        world.step().expect("the seed is clean");
    }
    let mut fork = world.clone();
    world.run().expect("the seed is clean");
    assert_ne!(fork.trace().hash(), world.trace().hash());
    fork.run().expect("the seed is clean");
    assert_eq!(fork.trace().hash(), world.trace().hash());
}

#[test]
fn an_empty_tape_is_a_calm_run() {
    let ran = run(Source::Tape(Player::new(Tape::default())), HONEST);
    assert!(ran.failure.is_none(), "{:?}", ran.failure);
    assert_eq!((ran.counts.crashes, ran.network.lost), (0, 0));
    assert!(ran.counts.operations > 100);
}

#[test]
fn any_bytes_are_a_run() {
    for salt in 0..8_u8 {
        let input: Vec<u8> =
            (0..4_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ salt).collect();
        let ran = run(Source::Bytes(Bytes::new(input.into())), HONEST);
        assert!(ran.failure.is_none(), "{salt}: {:?}", ran.failure);
    }
}

/// The first of these seeds with a run of this kind: clean like the ones before it.
fn first(mut seeds: Range<u64>, is_such: impl Fn(&Ran) -> bool) -> Ran {
    let clean = |seed| {
        let ran = run(Source::Random(Random::new(seed, false)), HONEST);
        assert!(ran.failure.is_none(), "{seed}: {:?}", ran.failure);
        ran
    };
    seeds
        .find_map(|seed| Some(clean(seed)).filter(|ran| is_such(ran)))
        .expect("one of the seeds is such a run")
}

/// No voter can stand for election while it lacks a command: they mend each other first, and then somebody leads.
#[test]
fn voters_that_all_lack_what_others_have_mend_each_other() {
    let ran = first(0..60, |ran| ran.counts.crossed > 0 && ran.counts.none_whole > 0);
    assert!(ran.counts.repaired > 0 && ran.counts.ruins == 0);
}

/// No write is served after that, and the run is clean all the same.
#[test]
fn what_no_disk_has_any_more_is_not_made_up() {
    let ran = first(0..60, |ran| ran.counts.ruins > 0);
    assert_eq!(ran.counts.ruins, 1);
}
