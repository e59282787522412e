//! Stale reads, on whatever node.

use super::super::stale_reads;
use super::*;
use crate::coverage::Mark;
use crate::facts::{Action, OpId, StaleRead, Value};

/// The key that all of this is about.
const KEY: u64 = 5;

fn put(index: u64, value: Value) -> Entry {
    let command = Action::Put { key: KEY, value }.command(0, 0, None).unwrap();
    Entry::new(EntryId::new(1, index), Payload::Command(command))
}

/// Node 1 leads and has put 10 at index 2, 11 at index 3 and 12 at index 4, of which the last is not committed; node 2 has
/// all of it, and node 3 nothing.
fn stage() -> Stage {
    let mut stage = Stage::new(3);
    for value in 10..13 {
        stage.tell(&Fact::Invoked { op: OpId(value), action: &Action::Put { key: KEY, value } }).unwrap();
    }
    stage.elect(1, &[2], 1);
    stage.append(1, vec![put(2, 10), put(3, 11), put(4, 12)]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 3).unwrap();
    stage
}

impl Stage {
    /// A node serves a stale read that was to wait for an index.
    fn serve(&mut self, node: u64, value: Option<Value>, index: u64, least: u64) -> Verdict {
        let read = StaleRead { key: KEY, value, index: Index(index), least: Index(least) };
        self.tell(&Fact::ServedStale { node: NodeId(node), read })
    }
}

#[test]
fn a_stale_read_sees_the_committed_state_at_the_index_that_it_names() {
    let mut stage = stage();
    stage.serve(3, None, 0, 0).unwrap();
    stage.serve(2, Some(10), 2, 0).unwrap();
    stage.serve(2, Some(10), 2, 2).unwrap();
    stage.serve(1, Some(11), 3, 3).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::StaleReadBehind), 3);
    // Not what another index has, nor what is not committed, whatever it is called.
    for (value, index) in [(Some(10), 3), (None, 3), (Some(11), 2), (Some(12), 3), (Some(12), 4)] {
        falls(stage.clone().serve(2, value, index, 0), stale_reads::NAME);
    }
}

#[test]
fn a_stale_read_waits_as_long_as_it_was_asked_to() {
    falls(stage().serve(2, Some(10), 2, 3), stale_reads::NAME);
}

#[test]
fn stale_reads_go_back_with_a_restart_alone() {
    let mut stage = stage();
    stage.serve(2, Some(11), 3, 0).unwrap();
    falls(stage.clone().serve(2, Some(10), 2, 0), stale_reads::NAME);
    // Another node is another story.
    stage.serve(1, Some(10), 2, 0).unwrap();
    stage.restart(2, 0).unwrap();
    stage.serve(2, Some(10), 2, 0).unwrap();
}
