//! The world as a value: it forks, it is calm without choices, and it takes any bytes for choices.

use raft_sim::choices::{Bytes, Random, Source};
use raft_sim::runner::run;
use raft_sim::tape::{Player, Tape};
use raft_sim::trace::Reader;
use raft_sim::world::{Setup, World};

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
