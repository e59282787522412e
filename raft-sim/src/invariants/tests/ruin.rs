//! Beyond what a cluster can bear: nobody has a committed command any more, and nobody goes on as if somebody had.

use super::super::ruin;
use super::*;
use raft_core::{Answer, Ticket};

/// Node 1 led with two commands, the first of them committed; node 3 was away. Then all lose it, and start again.
fn ruined() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a"), entry(1, 3, "b")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 2).unwrap();
    for node in 1..=3 {
        stage.crash(node, 0).unwrap();
    }
    let a = entry(1, 2, "a");
    for node in 1..=2 {
        stage.actor(node).image.entries[1] = Entry::decayed(a.id(), a.hash(), 1);
    }
    stage.tell(&Fact::Ruined { lost: a.id() }).unwrap();
    for node in 1..=3 {
        stage.start(node).unwrap();
    }
    stage
}

#[test]
fn who_stops_before_what_is_lost_is_right() {
    let mut stage = ruined();
    stage.vote(1, 2, 2).unwrap();
    stage.apply(2, 1).unwrap();
    stage.tell(&Fact::Proposed { node: NodeId(2), ticket: Ticket(1), command: &Bytes::new() }).unwrap();
    let answer = Answer::NotLeader { leader: None };
    stage.tell(&Fact::Answered { node: NodeId(2), ticket: Ticket(1), answer }).unwrap();
}

#[test]
fn who_leads_without_it_is_reported() {
    let mut stage = ruined();
    stage.stand(3, 2).unwrap();
    falls(stage.lead(3), ruin::NAME);
}

#[test]
fn who_commits_or_applies_it_is_reported() {
    let mut stage = ruined();
    stage.clone().commit(1, 1).unwrap();
    falls(stage.clone().commit(1, 2), ruin::NAME);
    stage.apply(1, 1).unwrap();
    let a = entry(1, 2, "a");
    falls(stage.tell(&Fact::Applied { node: NodeId(1), entry: &a }), ruin::NAME);
}

#[test]
fn who_answers_a_client_is_reported() {
    for answer in [Answer::Committed(EntryId::new(2, 2)), Answer::ReadAt(Index(1))] {
        falls(ruined().tell(&Fact::Answered { node: NodeId(3), ticket: Ticket(1), answer }), ruin::NAME);
    }
}

#[test]
fn who_does_not_say_what_it_has_lost_is_reported() {
    let mut stage = ruined();
    stage.step(1).unwrap();
    let (mut status, log) = (stage.actor(1).status.clone(), stage.actor(1).log.clone());
    status.decayed = 0;
    falls(stage.tell(&Fact::Stepped { node: NodeId(1), status, log: &log }), ruin::NAME);
}
