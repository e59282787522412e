//! Section 5.1: servers, roles and terms.

use super::*;
use crate::cluster::config;
use raft_core::{Answer, ConfigError, Input, Message, Node, NodeId, Term};

/// 5.1: normally one server leads and all others follow it.
#[test]
fn normally_there_is_one_leader_and_all_others_follow() {
    let cluster = led(5);
    assert_eq!(role(&cluster, 1), RoleName::Leader);
    for id in 2..=5 {
        assert_eq!((role(&cluster, id), cluster.status(id).leader), (RoleName::Follower, Some(NodeId(1))));
    }
}

/// 5.1: followers only answer what leaders and candidates ask.
#[test]
fn followers_issue_no_requests_of_their_own() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    cluster.tick(2, 1);
    cluster.tick(1, 2);
    cluster.settle();
    for packet in sent(&cluster).iter().filter(|packet| packet.from != 1) {
        assert!(packet.message.body.is_reply(), "{packet}");
    }
}

/// 5.1: the leader takes the clients' requests; a client that asks a follower is sent to the leader.
#[test]
fn a_follower_redirects_clients_to_the_leader() {
    let mut cluster = led(3);
    let write = cluster.propose(2, &["x"]);
    assert_eq!(cluster.answers(write), [Answer::NotLeader { leader: Some(NodeId(1)) }]);
    let read = cluster.read(3);
    assert!(cluster.answers(read).is_empty(), "a follower asks the leader by itself (dissertation 6.4)");
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::ReadIndex { .. })), [1]);
}

/// 5.1: terms are numbered with consecutive integers, and each begins with an election.
#[test]
fn each_election_begins_the_next_term() {
    let mut cluster = plain(3);
    for expected in 1..=5 {
        let candidate = 1 + expected % 3;
        cluster.campaign(candidate);
        assert_eq!(term(&cluster, candidate), expected);
        cluster.settle();
    }
}

/// 5.1: when the vote is split, the term ends without a leader, and another one with another election follows.
#[test]
fn a_split_vote_ends_a_term_without_a_leader() {
    let mut cluster = plain(4);
    cluster.campaign(1);
    cluster.campaign(2);
    cluster.deliver(|packet| (packet.from, packet.to) == (1, 3));
    cluster.deliver(|packet| (packet.from, packet.to) == (2, 4));
    cluster.settle();
    assert!((1..=4).all(|id| role(&cluster, id) != RoleName::Leader && term(&cluster, id) == 1));
    cluster.tick(1, 20);
    cluster.settle();
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Leader, 2));
}

/// 5.1: a term has at most one leader. Two candidates ask three undecided servers; many orders in which requests and
/// votes can arrive are tried.
#[test]
fn a_term_has_at_most_one_leader() {
    let mut won = [0, 0];
    for order in 0..3_u32.pow(7) {
        let mut cluster = plain(5);
        cluster.campaign(1);
        cluster.campaign(2);
        let mut rest = order as usize;
        while !cluster.network().is_empty() {
            let at = rest % cluster.network().len().min(3);
            rest /= 3;
            let packet = cluster.take_at(&[at]).remove(0);
            if matches!(packet.message.body, Body::Vote { .. } | Body::VoteReply { .. }) {
                cluster.receive(packet);
            }
        }
        let leads = |id| role(&cluster, id) == RoleName::Leader && term(&cluster, id) == 1;
        assert!(!(leads(1) && leads(2)), "order {order}");
        won = [won[0] + u32::from(leads(1)), won[1] + u32::from(leads(2))];
    }
    assert!(won.iter().all(|times| *times > 20), "{won:?}");
}

/// 5.1: the current term is stored and never goes down, whatever is heard and over restarts.
#[test]
fn the_current_term_never_goes_down() {
    let mut cluster = led(3);
    let old = cluster.node(1).stamp();
    (1..=3).for_each(|_| cluster.campaign(2));
    cluster.settle();
    let newest = term(&cluster, 3);
    assert_eq!(newest, 4);
    let old_vote = Body::Vote { last: cluster.status(1).last, transfer: false, recorded: true };
    cluster.receive(Packet {
        from: 1,
        to: 3,
        message: Message { from: old, to: None, term: Term(2), body: old_vote },
    });
    assert_eq!(term(&cluster, 3), newest);
    cluster.crash(3);
    cluster.restart(3);
    assert_eq!(term(&cluster, 3), newest);
}

/// 5.1: every message carries the term, and a server whose term is smaller adopts the larger one.
#[test]
fn terms_are_exchanged_with_every_message_and_the_larger_is_adopted() {
    let kinds: [fn(&Body) -> bool; 3] = [
        |body| matches!(body, Body::Vote { .. }),
        |body| matches!(body, Body::Append { .. }),
        |body| matches!(body, Body::Heartbeat { .. }),
    ];
    for kind in kinds {
        let mut cluster = plain(3);
        cluster.campaign(1);
        cluster.deliver(|packet| packet.to == 2);
        cluster.deliver(|packet| packet.to == 1);
        cluster.turn(1, vec![Input::Heartbeat]);
        assert_eq!(term(&cluster, 3), 0);
        cluster.deliver(|packet| packet.to == 3 && kind(&packet.message.body));
        assert_eq!(term(&cluster, 3), 1);
    }
    let mut cluster = led(3);
    cluster.isolate(1);
    elect(&mut cluster, 2);
    cluster.heal();
    cluster.turn(1, vec![Input::Heartbeat]);
    cluster.settle();
    assert_eq!(term(&cluster, 1), 2, "learnt from a reply");
}

/// 5.1: a leader or candidate that finds its term out of date becomes a follower at once.
#[test]
fn a_leader_or_candidate_of_an_older_term_becomes_a_follower() {
    let mut cluster = led(3);
    cluster.isolate(1);
    cluster.isolate(3);
    cluster.campaign(3);
    cluster.heal();
    cluster.campaign(2);
    cluster.campaign(2);
    cluster.deliver(|packet| packet.message.term == Term(3));
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Follower, 3));
    assert_eq!((role(&cluster, 3), term(&cluster, 3)), (RoleName::Follower, 3));
}

/// 5.1: a request with an older term is refused.
#[test]
fn a_request_of_an_older_term_is_refused() {
    let mut cluster = led(3);
    cluster.isolate(1);
    elect(&mut cluster, 2);
    let before = cluster.terms(3);
    cluster.heal();
    cluster.propose(1, &["x"]);
    cluster.turn(1, vec![Input::Heartbeat]);
    cluster.deliver(|packet| (packet.from, packet.to) == (1, 3));
    let answers: Vec<Packet> = sent(&cluster).into_iter().filter(|packet| packet.from == 3).collect();
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|packet| packet.message.body == Body::Stale));
    assert_eq!((cluster.terms(3), cluster.status(3).leader), (before, Some(NodeId(2))));
}

/// 5.1: a request without an answer is sent again; requests to several servers leave at the same time.
#[test]
fn requests_leave_in_parallel_and_are_repeated_until_answered() {
    let mut cluster = led(5);
    cluster.isolate(5);
    cluster.propose(1, &["x"]);
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Append { .. })), [2, 3, 4, 5]);
    cluster.settle();
    cluster.heal();
    for _ in 0..4 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    assert_eq!(cluster.terms(5), cluster.terms(1));
}

/// Figure 2, "persistent state": the safety of Raft rests on what servers have on stable storage. A server whose disk was
/// put back to an earlier state has lost some of that; who has heard from a later start of it takes no vote of it, it is
/// told, and never takes part again.
#[test]
fn a_server_that_lost_persistent_state_is_not_heard_and_stops() {
    let mut cluster = led(3);
    cluster.image(3);
    for _ in 0..2 {
        cluster.crash(3);
        cluster.restart(3);
    }
    cluster.turn(1, vec![Input::Heartbeat]);
    cluster.settle();
    cluster.put_back(3);
    cluster.restart(3);
    cluster.turn(1, vec![Input::Heartbeat]);
    let ignored = cluster.status(1).ignored;
    cluster.deliver(|packet| (packet.from, packet.to) == (1, 3));
    cluster.deliver(|packet| (packet.from, packet.to) == (3, 1));
    assert_eq!(cluster.status(1).ignored, ignored + 1, "its answer to the heartbeat counts for nothing");
    cluster.settle();
    let halts = |event: &Event| matches!(event, Event::Halt { at: 3, report: Report::RolledBack { .. } });
    assert!(cluster.events.iter().any(halts));
    cluster.crash(3);
    let again = Node::new(config(3, 3), cluster.found(3));
    assert_eq!(again.unwrap_err(), ConfigError::GivenUp);
}
