//! Made-up histories of clusters that have settled: their leaders stay.

use super::super::liveness;
use super::clients::healed;
use super::members::{converged, removed};
use super::*;
use crate::coverage::Mark;
use raft_core::Ticket;

/// A healed cluster of three that has settled with leader 1.
fn settled() -> Stage {
    let mut stage = healed(true);
    stage.tell(&Fact::Settled).unwrap();
    stage
}

#[test]
fn a_settled_cluster_that_serves_on_is_accepted() {
    let mut stage = settled();
    assert_eq!(stage.judges.coverage().count(Mark::Watched), 1);
    stage.append(1, vec![entry(1, 3, "b")]).unwrap();
    stage.sync(1).unwrap();
    for node in 2..=3 {
        stage.follow(node, 1).unwrap();
    }
}

#[test]
fn a_settled_cluster_that_elects_is_reported() {
    falls(settled().adopt(2, 2, None), liveness::NAME);
    let mut unled = settled();
    unled.actor(1).status.role = RoleName::Follower;
    falls(unled.step(1), liveness::NAME);
}

#[test]
fn who_asks_for_another_leader_may_get_one() {
    let mut nudged = settled();
    nudged.elect(2, &[3], 2);
    let mut handed_over = settled();
    handed_over.tell(&Fact::TransferAsked { node: NodeId(1), ticket: Ticket(9) }).unwrap();
    handed_over.adopt(2, 2, None).unwrap();
}

#[test]
fn without_a_quorum_nobody_need_stay() {
    let mut stage = healed(true);
    stage.crash(2, 0).unwrap();
    stage.crash(3, 0).unwrap();
    stage.tell(&Fact::Settled).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::Watched), 0);
    stage.actor(1).status.role = RoleName::Follower;
    stage.step(1).unwrap();
}

#[test]
fn a_removed_server_may_stand_and_must_not_be_followed() {
    let mut stage = converged(removed(), &[1, 2, 4]);
    stage.tell(&Fact::Settled).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::WatchedWithStranger), 1);
    // By its own log it has a vote.
    stage.adopt(3, 9, Some(3)).unwrap();
    falls(stage.adopt(2, 9, None), liveness::NAME);
}
