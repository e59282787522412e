//! Dissertation 6.2 to 6.4: reads without the log, leases, and leaders that lost their cluster.

use super::*;
use raft_core::{Change, Config, Input};

fn beat(cluster: &mut Cluster) {
    cluster.tick(1, 2);
    cluster.settle();
}

/// With the dissertation's precautions: server 1 leads and has just been heard.
fn careful(n: u64) -> Cluster {
    let mut cluster = Cluster::new(n);
    elect(&mut cluster, 1);
    cluster
}

/// Dissertation 6.2: a leader steps down if an election timeout passes without a round of heartbeats to a majority.
#[test]
fn a_leader_without_a_majority_steps_down() {
    let mut cluster = careful(3);
    cluster.isolate(1);
    cluster.tick(1, 8);
    assert_eq!(role(&cluster, 1), RoleName::Leader);
    cluster.tick(1, 2);
    assert_ne!(role(&cluster, 1), RoleName::Leader);
}

/// 6.2: so clients can try another server.
#[test]
fn its_clients_are_sent_on() {
    let mut cluster = careful(3);
    cluster.isolate(1);
    let ticket = cluster.read(1);
    cluster.tick(1, 8);
    cluster.tick(1, 2);
    assert_eq!(cluster.answers(ticket), [Answer::NotLeader { leader: None }]);
}

/// 6.4, step 2: a read sees what was committed when it arrived, at least.
#[test]
fn a_read_sees_what_was_committed_when_it_arrived() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    cluster.settle();
    let ticket = cluster.read(1);
    cluster.settle();
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(3))]);
}

/// 6.4, step 3: the round must have been sent after the read arrived: an earlier one proves nothing.
#[test]
fn an_earlier_round_confirms_no_later_read() {
    let mut cluster = led(3);
    cluster.turn(1, vec![Input::Heartbeat]);
    let earlier = cluster.take(|packet| matches!(packet.message.body, Body::Heartbeat { .. }));
    let ticket = cluster.read(1);
    cluster.take(|_| true);
    for packet in earlier {
        cluster.receive(packet);
    }
    cluster.settle();
    assert!(cluster.answers(ticket).is_empty());
}

/// 6.4, step 4: and waits until the state machine has got there.
#[test]
fn a_read_waits_until_its_index_is_applied() {
    let mut cluster = led(3);
    cluster.slow(1, true);
    cluster.propose(1, &["x"]);
    cluster.settle();
    let ticket = cluster.read(1);
    cluster.settle();
    assert!(cluster.answers(ticket).is_empty(), "x is committed, and not durable here");
    cluster.slow(1, false);
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(3))]);
}

/// 6.4: reads that wait share one round.
#[test]
fn many_reads_share_one_round() {
    let mut cluster = led(3);
    cluster.events.clear();
    let first = cluster.read(1);
    let others = [cluster.read(1), cluster.read(1), cluster.read(1)];
    cluster.settle();
    for ticket in [&[first], &others[..]].concat() {
        assert_eq!(cluster.answers(ticket).len(), 1);
    }
    let beats = receivers(&cluster, |body| matches!(body, Body::Heartbeat { .. }));
    assert_eq!(beats, [2, 3, 2, 3], "one for the first, one for those who came while it was under way");
}

/// 6.4: followers serve reads, too: they ask the leader for the index, which confirms its leadership first, and wait
/// until they have applied it.
#[test]
fn a_follower_serves_reads_at_an_index_that_the_leader_confirmed() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    talk(&mut cluster, 1, 3);
    let ticket = cluster.read(2);
    cluster.deliver(|packet| matches!(packet.message.body, Body::ReadIndex { .. }));
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::ReadIndexReply { .. })), [0_u64; 0]);
    cluster.deliver(|packet| packet.to == 3);
    cluster.deliver(|packet| packet.from == 3);
    cluster.deliver(|packet| matches!(packet.message.body, Body::ReadIndexReply { .. }));
    assert!(cluster.answers(ticket).is_empty(), "2 has not applied x");
    cluster.settle();
    beat(&mut cluster);
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(3))]);
    assert!(cluster.status(2).applied >= Index(3));
}

/// 6.4: a follower doesn't answer by a leader that was deposed.
#[test]
fn a_deposed_leader_confirms_no_followers_read() {
    let mut cluster = led(5);
    for id in [3, 4, 5] {
        cluster.cut(1, id);
        cluster.cut(id, 1);
        cluster.cut(2, id);
        cluster.cut(id, 2);
    }
    cluster.campaign(3);
    cluster.settle();
    cluster.propose(3, &["newer"]);
    cluster.settle();
    let ticket = cluster.read(2);
    for _ in 0..5 {
        beat(&mut cluster);
        cluster.tick(2, 2);
        cluster.settle();
    }
    assert!(cluster.answers(ticket).is_empty());
    cluster.heal();
    cluster.tick(3, 2);
    cluster.settle();
    assert!(matches!(cluster.answers(ticket)[..], [] | [Answer::NotLeader { .. }]));
}

/// 6.4.1: once a majority has acknowledged its heartbeats, a leader may assume for about an election timeout that nobody
/// else leads, and serve reads without a round.
#[test]
fn a_lease_serves_reads_without_a_round() {
    let mut cluster = careful(3);
    beat(&mut cluster);
    cluster.events.clear();
    let ticket = cluster.lease_read(1);
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(2))]);
    assert!(sent(&cluster).is_empty());
}

/// 6.4.1: the lease runs from when the heartbeats were sent, not from when they were answered.
#[test]
fn a_lease_runs_from_the_sending_of_the_heartbeats() {
    let mut cluster = careful(3);
    cluster.tick(1, 2);
    cluster.deliver(|packet| packet.from == 1);
    let answers = cluster.take(|packet| packet.to == 1);
    cluster.cut(1, 2);
    cluster.cut(1, 3);
    cluster.tick(1, 7);
    for packet in answers {
        cluster.receive(packet);
    }
    let within = cluster.lease_read(1);
    assert_eq!(cluster.answers(within).len(), 1);
    cluster.tick(1, 1);
    let after = cluster.lease_read(1);
    assert!(cluster.answers(after).is_empty(), "8 ticks: the timeout of 10 less a tick and the drift");
}

/// 6.4.1, and 4.3: a change of the configuration ends the lease, until a quorum of the new one has answered a round.
#[test]
fn a_lease_ends_with_its_configuration() {
    let mut cluster = careful(3);
    beat(&mut cluster);
    cluster.change(1, vec![Change::Demote { id: NodeId(3) }], None);
    let ticket = cluster.lease_read(1);
    assert!(cluster.answers(ticket).is_empty());
    cluster.settle();
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(2))]);
}

/// 6.4.1: while the lease lasts nobody else can be elected: the voters that acknowledged refuse.
#[test]
fn nobody_is_elected_while_a_lease_lasts() {
    let mut cluster = careful(3);
    cluster.tick(1, 2);
    cluster.deliver(|packet| packet.from == 1);
    cluster.deliver(|packet| packet.to == 1);
    cluster.isolate(1);
    // Time passes alike everywhere, as far as the drift allows; the candidate is as eager as it can be.
    for _ in 0..8 {
        (1..=3).for_each(|id| cluster.tick(id, 1));
        cluster.campaign(2);
        cluster.campaign(3);
        cluster.settle();
        let ticket = cluster.lease_read(1);
        let leased = !cluster.answers(ticket).is_empty();
        let others = [2, 3].iter().any(|id| role(&cluster, *id) == RoleName::Leader);
        assert!(!(leased && others), "two leaders serve reads");
    }
}

/// 6.4.1: without heartbeats that are answered the lease is not extended; the read asks then.
#[test]
fn a_lease_ends_without_answers() {
    let mut cluster = careful(3);
    beat(&mut cluster);
    cluster.isolate(1);
    cluster.tick(1, 8);
    let ticket = cluster.lease_read(1);
    assert!(cluster.answers(ticket).is_empty());
    cluster.heal();
    cluster.turn(1, vec![Input::Heartbeat]);
    cluster.settle();
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(2))]);
}

/// 6.4.1: a leader that hands over lets its lease expire first: here it is void from that moment on.
#[test]
fn a_lease_is_void_once_leadership_is_handed_over() {
    let mut cluster = careful(3);
    beat(&mut cluster);
    cluster.transfer(1, Some(2));
    let ticket = cluster.lease_read(1);
    assert!(cluster.answers(ticket).is_empty());
    cluster.settle();
    assert_ne!(role(&cluster, 1), RoleName::Leader);
    assert!(matches!(cluster.answers(ticket)[..], [Answer::NotLeader { .. }]));
}

/// 6.4.1: it also relies on voters that wait for an election timeout; where they don't, there is none.
#[test]
fn without_patient_voters_there_is_no_lease() {
    let mut cluster = Cluster::with(3, |config: &mut Config| config.check_quorum = false);
    elect(&mut cluster, 1);
    beat(&mut cluster);
    let ticket = cluster.lease_read(1);
    assert!(cluster.answers(ticket).is_empty());
}

/// 6.4.1: a restarted voter has forgotten that it heard a leader; so it waits as long as if it just had.
#[test]
fn a_restarted_voter_waits_before_it_votes() {
    let mut cluster = careful(3);
    beat(&mut cluster);
    cluster.crash(3);
    cluster.restart(3);
    cluster.isolate(1);
    cluster.tick(2, 40);
    cluster.settle();
    assert_ne!(role(&cluster, 2), RoleName::Leader);
    cluster.tick(3, 11);
    cluster.tick(2, 40);
    cluster.settle();
    assert_eq!(role(&cluster, 2), RoleName::Leader);
}
