//! Terms that lag behind what is known to be committed, and terms that come with gifts.

use super::super::terms;
use super::*;
use raft_core::Snapshot;

/// Node 1 leads term 1 and node 2 term 3; all have its entry 2, which only node 2 knows to be committed, and entry 1 from before.
fn led_again() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.elect(2, &[1], 3);
    stage.sync(2).unwrap();
    stage.follow(1, 2).unwrap();
    stage.commit(2, 2).unwrap();
    stage
}

#[test]
fn a_commit_of_a_later_term_is_reported() {
    let mut stage = led_again();
    stage.clone().commit(1, 2).unwrap();
    // Node 3 has heard nothing of term 3.
    falls(stage.commit(3, 1), terms::COMMIT);
}

#[test]
fn a_start_from_a_snapshot_of_a_later_term_is_reported() {
    let mut stage = led_again();
    let base = stage.actor(3).log.base_at(Index(1)).unwrap();
    let start = |mut stage: Stage| {
        stage.crash(3, 0).unwrap();
        stage.actor(3).image.snapshot = Some(Snapshot { base: base.clone(), size: 4, digest: 7 });
        stage.start(3)
    };
    falls(start(stage.clone()), terms::COMMIT);
    stage.adopt(3, 3, None).unwrap();
    start(stage).unwrap();
}

/// A leader that was cut off hears late that a quorum has its entry.
#[test]
fn a_leader_of_an_earlier_term_may_commit_late() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.elect(2, &[3], 3);
    stage.sync(2).unwrap();
    stage.follow(3, 2).unwrap();
    stage.commit(2, 2).unwrap();
    let mut follows = stage.clone();
    // What it is told by the later one, and doesn't take, changes nothing.
    let told = stage.message(2, 1, 3, Body::Heartbeat { commit: Index(2), round: Round(0) });
    stage.tell(&Fact::Received { node: NodeId(1), from: NodeId(2), message: &told }).unwrap();
    stage.commit(1, 1).unwrap();
    follows.actor(1).status.role = RoleName::Follower;
    falls(follows.commit(1, 1), terms::COMMIT);
}

#[test]
fn a_gift_that_deposes_is_reported() {
    let given = |leader: Option<u64>, also: Option<u64>| {
        let mut stage = led_again();
        stage.actor(3).status.leader = leader.map(NodeId);
        stage.step(3).unwrap();
        let base = stage.actor(2).log.base_at(Index(1)).unwrap();
        let piece =
            Body::Piece { snapshot: Snapshot { base, size: 4, digest: 7 }, offset: 0, data: "ab".into() };
        let gives = stage.message(2, 3, 9, piece);
        stage.tell(&Fact::Received { node: NodeId(3), from: NodeId(2), message: &gives }).unwrap();
        if let Some(term) = also {
            let stale = stage.message(2, 3, term, Body::Stale);
            stage.tell(&Fact::Received { node: NodeId(3), from: NodeId(2), message: &stale }).unwrap();
        }
        stage.adopt(3, 9, None)
    };
    falls(given(Some(1), None), terms::GIVEN);
    falls(given(Some(1), Some(1)), terms::GIVEN);
    given(None, None).unwrap();
    given(Some(1), Some(2)).unwrap();
}
