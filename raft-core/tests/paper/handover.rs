//! Dissertation 3.10: leadership transfer.

use super::*;
use raft_core::{Config, Limit, Refusal};

fn careful(n: u64) -> Cluster {
    let mut cluster = Cluster::new(n);
    elect(&mut cluster, 1);
    cluster
}

fn timeout_now(cluster: &Cluster) -> Vec<u64> {
    receivers(cluster, |body| matches!(body, Body::TimeoutNow))
}

/// 3.10, step 1: the leader takes no new requests.
#[test]
fn it_takes_no_more_proposals_and_changes() {
    let mut cluster = careful(3);
    cluster.isolate(2);
    cluster.propose(1, &["x"]);
    cluster.transfer(1, Some(2));
    let write = cluster.propose(1, &["y"]);
    assert_eq!(cluster.answers(write), [Answer::Busy(Limit::Transferring)]);
    let change = cluster.change(1, vec![remove(3)], None);
    assert_eq!(cluster.answers(change), [Answer::Refused(Refusal::Transferring)]);
}

/// 3.10, step 2: the target's log is brought up to date first.
#[test]
fn the_target_is_brought_up_to_date_first() {
    let mut cluster = careful(3);
    cluster.propose(1, &["x"]);
    cluster.transfer(1, Some(2));
    assert_eq!(timeout_now(&cluster), [0_u64; 0]);
    talk(&mut cluster, 1, 2);
    assert_eq!(timeout_now(&cluster), [2]);
}

/// 3.10, step 3: the target acts as if its election timer had fired: a new term, and requests for votes; it waits for
/// nobody.
#[test]
fn the_target_campaigns_at_once() {
    let mut cluster = careful(3);
    cluster.transfer(1, Some(2));
    cluster.events.clear();
    cluster.deliver(|packet| packet.to == 2);
    assert_eq!((role(&cluster, 2), term(&cluster, 2)), (RoleName::Candidate, 2));
    assert_eq!(
        receivers(&cluster, |body| matches!(body, Body::Vote { .. })),
        [1, 3],
        "no pre-vote comes before it"
    );
}

/// 3.10: its request has a flag by which those who hear the leader vote all the same.
#[test]
fn voters_that_hear_the_leader_vote_for_the_target() {
    let mut cluster = careful(5);
    cluster.transfer(1, Some(2));
    cluster.settle();
    assert_eq!(role(&cluster, 2), RoleName::Leader);
    assert!((1..=5).all(|id| cluster.status(id).leader == Some(NodeId(2))));
}

/// 3.10: the request's newer term makes the old leader step down.
#[test]
fn the_old_leader_steps_down_at_the_request() {
    let mut cluster = careful(3);
    cluster.transfer(1, Some(2));
    cluster.deliver(|packet| packet.to == 2);
    cluster.deliver(|packet| packet.to == 1);
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Follower, 2));
}

/// 3.10: if it hasn't come about after about an election timeout, the leader gives it up and takes requests again.
#[test]
fn after_an_election_timeout_the_leader_goes_on() {
    let mut cluster = careful(3);
    cluster.isolate(2);
    cluster.propose(1, &["x"]);
    cluster.transfer(1, Some(2));
    for _ in 0..5 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    assert_eq!(role(&cluster, 1), RoleName::Leader);
    let ticket = cluster.propose(1, &["y"]);
    cluster.settle();
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]));
}

/// 3.10: a target that was told in vain changes nothing: the worst is an election.
#[test]
fn a_late_timeout_now_of_an_older_term_is_nothing() {
    let mut cluster = careful(3);
    cluster.transfer(1, Some(2));
    let late = cluster.take(|packet| matches!(packet.message.body, Body::TimeoutNow));
    cluster.campaign(3);
    cluster.tick(2, 20);
    cluster.tick(1, 20);
    cluster.campaign(3);
    cluster.settle();
    cluster.tick(3, 20);
    cluster.campaign(3);
    cluster.settle();
    let before = (role(&cluster, 2), term(&cluster, 2));
    assert!(before.1 > 1);
    for packet in late {
        cluster.receive(packet);
    }
    assert_eq!((role(&cluster, 2), term(&cluster, 2)), before);
}

/// 3.10, 4.2.2: only a voter can lead.
#[test]
fn only_to_a_voter() {
    let mut cluster = with_learners(3, &[4]);
    for (to, refusal) in [
        (Some(4), Refusal::NotAVoter { id: NodeId(4) }),
        (Some(9), Refusal::UnknownMember { id: NodeId(9) }),
        (Some(1), Refusal::NoSuccessor),
    ] {
        let ticket = cluster.transfer(1, to);
        assert_eq!(cluster.answers(ticket), [Answer::Refused(refusal)]);
    }
    let mut alone = careful(1);
    let ticket = alone.transfer(1, None);
    assert_eq!(alone.answers(ticket), [Answer::Refused(Refusal::NoSuccessor)]);
}

/// 3.10: without a name the leader chooses the one that is closest.
#[test]
fn by_default_it_goes_to_the_most_up_to_date_voter() {
    let mut cluster = careful(3);
    cluster.propose(1, &["x"]);
    talk(&mut cluster, 1, 3);
    let ticket = cluster.transfer(1, None);
    assert_eq!(cluster.answers(ticket), [Answer::HandingOver { to: NodeId(3) }]);
}

/// Dissertation 4.2.2: a leader that removed itself hands over, so that nobody has to wait for an election timeout.
#[test]
fn a_leader_that_removed_itself_hands_over() {
    let mut cluster = careful(3);
    cluster.change(1, vec![remove(1)], None);
    cluster.settle();
    assert_eq!(timeout_now(&cluster).len(), 1);
    assert!([2, 3].iter().any(|id| role(&cluster, *id) == RoleName::Leader));
}

/// A successor that lost the hand-over's election lost nothing else: without pre-vote as with it.
#[test]
fn with_and_without_pre_vote() {
    for pre_vote in [false, true] {
        let mut cluster = Cluster::with(3, |config: &mut Config| config.pre_vote = pre_vote);
        elect(&mut cluster, 1);
        let ticket = cluster.transfer(1, Some(3));
        assert_eq!(cluster.answers(ticket), [Answer::HandingOver { to: NodeId(3) }]);
        cluster.settle();
        assert_eq!(role(&cluster, 3), RoleName::Leader);
    }
}
