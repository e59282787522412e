//! The disks of a quorum have lied: who still knows what was committed doesn't give it up.

use super::super::perjury;
use super::*;
use crate::coverage::Mark;
use raft_core::Report;

/// Node 1 led with one command, which nodes 1 and 2 know to be committed. Then nodes 1 and 3 lose everything.
fn perjured() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[3], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 2).unwrap();
    stage.commit(2, 2).unwrap();
    for node in [1, 3] {
        stage.crash(node, 0).unwrap();
        stage.actor(node).image = Recovered::default();
    }
    stage.tell(&Fact::Perjured).unwrap();
    for node in [1, 3] {
        stage.start(node).unwrap();
    }
    stage
}

#[test]
fn who_gives_up_what_was_committed_is_reported() {
    let mut stage = perjured();
    stage.step(2).unwrap();
    let mut shorter = stage.clone();
    shorter.actor(2).log.truncate(Index(1));
    falls(shorter.step(2), perjury::NAME);
    let mut other = stage.clone();
    other.actor(2).log.truncate(Index(1));
    other.actor(2).log.append(entry(2, 2, "b"));
    falls(other.step(2), perjury::NAME);
    stage.actor(2).status.commit = Index(1);
    falls(stage.step(2), perjury::NAME);
}

#[test]
fn who_halts_instead_is_right_and_the_others_may_do_anything() {
    let mut stage = perjured();
    stage.elect(3, &[1], 1);
    stage.append(3, vec![entry(1, 2, "b")]).unwrap();
    let (theirs, ours) = (EntryId::new(2, 2), EntryId::new(1, 2));
    stage.actor(2).status.halted = true;
    stage.step(2).unwrap();
    let report = Report::ConflictBelowCommit { theirs, ours };
    stage.tell(&Fact::Halted { node: NodeId(2), report: &report }).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::ConflictBelowCommit), 1);
    // After a start it knows its snapshot alone to be committed.
    stage.restart(2, 0).unwrap();
    stage.actor(2).status.halted = false;
    stage.actor(2).log.truncate(Index(1));
    stage.actor(2).status.commit = Index(0);
    stage.step(2).unwrap();
}
