//! Bytes as the choices of a simulated run.

use raft_sim::choices::{Bytes, Source};
use raft_sim::options::Options;
use raft_sim::runner::{Ended, Failure, Play, Ran};
use raft_sim::trace::Reader;
use raft_sim::world::{Setup, World};

/// The storm ends after so many inputs to nodes, at the latest: many short runs find more than few long ones.
const INPUTS: u64 = 1_500;

/// A run that is still under way after so many steps is given up: with tiny limits it takes long to settle.
const STEPS: u64 = 100_000;

/// Simulates the run that these bytes choose; where they end, the weather is calm. No invariant may fall. Accepted is a
/// run that came to its end. The longer the input, the longer the storm: libFuzzer's `-max_len` lengthens it.
pub fn simulate(data: &[u8]) -> bool {
    let mut play = begin(data, Reader::Nobody);
    match play.drive(STEPS, |_| {}) {
        Ended::Clean => true,
        Ended::GivenUp => false,
        Ended::Failed(failure) => panic!("{}", report(data, &failure)),
    }
}

fn begin(data: &[u8], reader: Reader) -> Play {
    let mut choices = Source::Bytes(Bytes::new(data.to_vec().into()));
    let mut options = Options::draw(&mut choices);
    options.inputs = options.inputs.min(INPUTS);
    Play::new(World::with(options, choices, Setup { planted: None, reader }), &[])
}

/// What fell, in which run, and its last steps.
fn report(data: &[u8], failure: &Failure) -> String {
    let mut play = begin(data, Reader::Report);
    // It fails as it did: only now somebody reads along.
    let _ = play.drive(STEPS, |_| {});
    let ran = Ran::of(&play.world, None, Reader::Report);
    format!("{failure}\n{}\n{}", ran.options, ran.last.join("\n"))
}
