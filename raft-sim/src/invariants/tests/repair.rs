//! Disks that have lost commands: nothing is promised of them, and what is given is what was lost.

use super::super::{election_safety, promises, repair};
use super::*;

/// Node 1 leads with two commands that all have; node 3 restarts on a disk that has lost the first of them.
fn lost() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a"), entry(1, 3, "b")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.commit(1, 3).unwrap();
    stage.crash(3, 0).unwrap();
    stage.actor(3).image.entries[1] = decayed();
    stage.start(3).unwrap();
    stage
}

fn decayed() -> Entry {
    let a = entry(1, 2, "a");
    Entry::decayed(a.id(), a.hash(), 1)
}

/// The command is back, and the log from there on is written again.
fn rewrite(stage: &mut Stage) {
    stage.actor(3).log = stage.actor(1).log.clone();
    stage.step(3).unwrap();
    let entries = vec![entry(1, 2, "a"), entry(1, 3, "b")];
    stage.write_durably(3, Update { keep: Some(Index(1)), entries, ..Update::default() }).unwrap();
}

#[test]
fn a_promise_of_what_is_lost_is_reported() {
    let mut stage = lost();
    stage.send(3, 1, Body::Appended { matched: Index(1) }).unwrap();
    falls(stage.clone().send(3, 1, Body::Appended { matched: Index(3) }), promises::NAME);
    stage.commit(3, 3).unwrap();
    stage.apply(3, 1).unwrap();
    falls(stage.clone().apply(3, 2), promises::NAME);
    rewrite(&mut stage);
    stage.send(3, 1, Body::Appended { matched: Index(3) }).unwrap();
    stage.apply(3, 2).unwrap();
}

#[test]
fn what_came_back_and_is_not_written_is_reported() {
    let mut stage = lost();
    stage.step(3).unwrap();
    let mut writes = stage.clone();
    rewrite(&mut writes);
    writes.step(3).unwrap();
    stage.actor(3).log = stage.actor(1).log.clone();
    stage.step(3).unwrap();
    falls(stage.step(3), repair::NAME);
}

#[test]
fn a_candidate_that_has_lost_a_command_is_reported() {
    let mut stage = lost();
    // It votes by the ids that it has.
    stage.clone().vote(3, 2, 2).unwrap();
    falls(stage.clone().stand(3, 2), repair::NAME);
    rewrite(&mut stage);
    stage.stand(3, 2).unwrap();
}

#[test]
fn what_is_given_is_there_and_is_what_was_lost() {
    let mut stage = lost();
    let prev = EntryId::new(1, 1);
    let give =
        |stage: &mut Stage, node, entries| stage.send(node, 3, Body::Copies { slice: slice(prev, entries) });
    give(&mut stage, 2, vec![entry(1, 2, "a"), entry(1, 3, "b")]).unwrap();
    falls(give(&mut stage.clone(), 2, vec![entry(1, 2, "x")]), repair::NAME);
    falls(give(&mut stage.clone(), 1, vec![decayed()]), repair::NAME);
    let appends = Body::Append { slice: slice(prev, vec![decayed()]), commit: Index(3) };
    falls(stage.clone().send(1, 3, appends), repair::NAME);
    // What it gave may be gone from its own log since.
    stage.adopt(2, 2, None).unwrap();
    stage.actor(2).log = Log::new(None);
    give(&mut stage, 2, vec![entry(1, 2, "a")]).unwrap();
}

/// Of four nodes only 1, the leader, and these have a command, and lose it.
fn lost_by(nodes: &[u64]) -> Stage {
    let mut stage = Stage::new(4);
    stage.elect(1, &[2, 3], 1);
    stage.sync(1).unwrap();
    for node in 2..=4 {
        stage.follow(node, 1).unwrap();
    }
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    for node in nodes {
        stage.follow(*node, 1).unwrap();
        stage.crash(*node, 0).unwrap();
        stage.actor(*node).image.entries[1] = decayed();
        stage.start(*node).unwrap();
    }
    stage
}

fn vote_blindly(stage: &mut Stage, node: u64, candidate: u64, term: u64) -> Verdict {
    stage.adopt(node, term, Some(candidate))?;
    stage.send(node, candidate, Body::VoteReply { answer: Ballot::Blind })
}

#[test]
fn a_blind_vote_of_who_has_lost_nothing_is_reported() {
    let mut stage = lost_by(&[3]);
    falls(vote_blindly(&mut stage.clone(), 4, 2, 2), repair::NAME);
    stage.stand(2, 2).unwrap();
    vote_blindly(&mut stage, 3, 2, 2).unwrap();
    stage.vote(4, 2, 2).unwrap();
    // Two of four have compared, so the command is on no three.
    stage.lead(2).unwrap();
}

#[test]
fn a_leader_by_blind_votes_alone_is_reported() {
    let mut stage = lost_by(&[3, 4]);
    stage.stand(2, 2).unwrap();
    vote_blindly(&mut stage, 3, 2, 2).unwrap();
    vote_blindly(&mut stage, 4, 2, 2).unwrap();
    falls(stage.lead(2), election_safety::NAME);
}
