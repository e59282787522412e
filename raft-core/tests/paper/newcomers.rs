//! Section 6's first issue and dissertation 4.2.1: how new servers catch up before they vote.

use super::*;
use crate::cluster::{config, disk_of};
use raft_core::{Acquaintance, Boot, Input, Message, Node, Output, Recovered, Round, Stamp, Term};

fn add(cluster: &mut Cluster, id: u64) -> Ticket {
    let changes = vec![Change::Add { id: NodeId(id), context: "".into(), votes: true }];
    cluster.change(1, changes, None)
}

/// 6: new servers join as non-voting members: the leader replicates to them, and they count in no majority.
#[test]
fn a_new_server_first_joins_as_a_non_voting_member() {
    let mut cluster = led(1);
    add(&mut cluster, 2);
    assert_eq!(standing(&cluster, 1, 2), Some(Standing::Entrant));
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Append { .. })), [2]);
    let ticket = cluster.propose(1, &["x"]);
    assert!(
        matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]),
        "it doesn't exist, and isn't missed"
    );
}

/// 6: once the new servers have caught up, the change goes on: here the leader does so by itself.
#[test]
fn once_it_has_caught_up_it_votes() {
    let mut cluster = led(3);
    cluster.propose(1, &["x", "y"]);
    cluster.join(4, plainly);
    add(&mut cluster, 4);
    cluster.settle();
    assert_eq!(standing(&cluster, 1, 4), Some(Standing::Voter));
    spread(&mut cluster, 1);
    assert_eq!(applied(&cluster, 4), [(Index(3), "x".to_owned()), (Index(4), "y".to_owned())]);
}

/// Dissertation 4.2.1: a new server whose disk is not on record yet is no voter, whatever it holds.
#[test]
fn it_is_put_on_record_before_it_votes() {
    let mut cluster = led(3);
    cluster.join(4, plainly);
    add(&mut cluster, 4);
    cluster.settle();
    let configurations = cluster.node(1).log().from(Index(3)).filter_map(|entry| match entry.payload() {
        Payload::Membership(membership) => membership.get(NodeId(4)).cloned(),
        _ => None,
    });
    let steps: Vec<_> = configurations.map(|member| (member.standing, member.disk.is_some())).collect();
    let expected = [
        (Standing::Entrant, false),
        (Standing::Entrant, true),
        (Standing::Joining, true),
        (Standing::Voter, true),
    ];
    assert_eq!(steps, expected);
}

/// Dissertation 4.2.1: replication to a new server is split into rounds, each up to the end of the log when the round
/// began. Only when a round took less than an election timeout is the server added.
#[test]
fn a_round_that_took_an_election_timeout_is_followed_by_another() {
    let mut cluster = led(1);
    cluster.propose(1, &["x"]);
    cluster.join(2, plainly);
    add(&mut cluster, 2);
    // It is slow: each of its answers takes longer than an election timeout.
    for _ in 0..5 {
        cluster.deliver(|packet| packet.to == 2);
        cluster.tick(1, 11);
        cluster.propose(1, &["more"]);
        cluster.deliver(|packet| packet.to == 1);
        assert_eq!(standing(&cluster, 1, 2), Some(Standing::Entrant));
    }
    cluster.settle();
    spread(&mut cluster, 1);
    assert_eq!(standing(&cluster, 1, 2), Some(Standing::Voter), "now it is fast enough");
}

/// Dissertation 4.2.1: a new server has no configuration until the log brings it one. If its disk loses commands before that, it
/// starts all the same, and the leader that it hears gives them ("Protocol-Aware Recovery", 2018).
#[test]
fn a_new_server_that_lost_commands_before_any_configuration_catches_up() {
    let small = |config: &mut raft_core::Config| config.limits.batch_entries = 2;
    let mut cluster = Cluster::with(1, small);
    cluster.slow(1, true);
    cluster.campaign(1);
    cluster.persist(1, |_| true);
    // They stand between the leader's first entry and the first configuration.
    cluster.propose(1, &["x", "y"]);
    cluster.persist(1, |_| true);
    cluster.slow(1, false);
    cluster.join(2, small);
    add(&mut cluster, 2);
    (0..2).for_each(|_| talk(&mut cluster, 1, 2));
    assert!(membership(&cluster, 2).members().is_empty() && applied(&cluster, 2).len() == 1);
    cluster.crash(2);
    cluster.decay(2, Index(2));
    cluster.restart(2);
    cluster.settle();
    for _ in 0..4 {
        cluster.tick(2, 2);
        spread(&mut cluster, 1);
    }
    assert_eq!((cluster.status(2).decayed, standing(&cluster, 1, 2)), (0, Some(Standing::Voter)));
}

/// Dissertation 4.2.1: one that is not there never becomes a voter, and harms nobody.
#[test]
fn a_new_server_that_is_gone_is_not_made_a_voter() {
    let mut cluster = led(3);
    cluster.join(4, plainly);
    add(&mut cluster, 4);
    talk(&mut cluster, 1, 4);
    cluster.crash(4);
    cluster.settle();
    spread(&mut cluster, 1);
    cluster.tick(1, 20);
    spread(&mut cluster, 1);
    assert_eq!(standing(&cluster, 1, 4), Some(Standing::Entrant));
}

/// Dissertation 4.2.1: a new server's log is empty; the leader learns where it ends at once instead of stepping back
/// entry by entry.
#[test]
fn the_leader_finds_an_empty_log_in_one_step() {
    let mut cluster = led(1);
    let commands: Vec<String> = (0..50).map(|at| at.to_string()).collect();
    cluster.propose(1, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.join(2, plainly);
    add(&mut cluster, 2);
    cluster.events.clear();
    talk(&mut cluster, 1, 2);
    let appends = sent(&cluster).into_iter().filter_map(|packet| match packet.message.body {
        Body::Append { slice, .. } => Some(slice.prev().index),
        _ => None,
    });
    assert_eq!(appends.collect::<Vec<_>>(), [Index(0)]);
}

/// Dissertation 4.2.1 (and 4.3): a server that doesn't vote doesn't campaign.
#[test]
fn a_non_voting_member_starts_no_election() {
    let mut cluster = with_learners(3, &[4]);
    spread(&mut cluster, 1);
    cluster.tick(4, 1_000);
    cluster.campaign(4);
    assert_eq!((role(&cluster, 4), term(&cluster, 4)), (RoleName::Follower, 1));
}

/// Dissertation 4.2.1 (and 4.4): a server that comes again on a new disk is a non-voting member like any other, though an earlier disk
/// of its id had a vote.
#[test]
fn who_comes_again_on_a_new_disk_starts_no_election() {
    let mut cluster = led(3);
    cluster.change(1, vec![remove(3)], None);
    cluster.settle();
    spread(&mut cluster, 1);
    cluster.crash(3);
    cluster.join(3, plainly);
    cluster.isolate(2);
    add(&mut cluster, 3);
    cluster.settle();
    assert_eq!(standing(&cluster, 3, 3), Some(Standing::Entrant));
    cluster.crash(3);
    cluster.restart(3);
    let term = term(&cluster, 3);
    cluster.isolate(1);
    cluster.campaign(3);
    cluster.tick(3, 1_000);
    assert_eq!((role(&cluster, 3), cluster.status(3).term.0), (RoleName::Follower, term));
}

/// Before anybody has spoken to it, a server that joins knows of no configuration: it says nothing at all.
#[test]
fn a_server_that_joins_is_silent_until_a_leader_speaks() {
    let mut cluster = Cluster::empty();
    cluster.join(4, plainly);
    cluster.tick(4, 1_000);
    cluster.campaign(4);
    assert!(sent(&cluster).is_empty());
    assert_eq!((role(&cluster, 4), term(&cluster, 4)), (RoleName::Follower, 0));
}

/// Dissertation 4.2.1: leaders may also use it for servers that stay non-voting: they are promoted on request, and not
/// before they have caught up.
#[test]
fn a_learner_is_promoted_on_request_once_it_has_caught_up() {
    let mut cluster = led(1);
    let changes = vec![Change::Add { id: NodeId(2), context: "".into(), votes: false }];
    cluster.change(1, changes, None);
    let early = cluster.change(1, vec![promote(2)], None);
    assert!(matches!(cluster.answers(early)[..], [Answer::Refused(_)]));
    cluster.join(2, plainly);
    spread(&mut cluster, 1);
    spread(&mut cluster, 1);
    assert_eq!(standing(&cluster, 1, 2), Some(Standing::Learner), "it stays what it is");
    let later = cluster.change(1, vec![promote(2)], None);
    cluster.settle();
    assert!(matches!(cluster.answers(later)[..], [Answer::Committed(_)]));
    assert_eq!(standing(&cluster, 1, 2), Some(Standing::Voter));
}

/// 4.2.1 and 4.4: the servers of the current configuration may all be others than those that a server began with. A founder whose
/// power went while the others founded knows these alone; once a leader sends it heartbeats, it asks that one, and is taken in if its
/// disk is on record.
#[test]
fn a_founder_that_all_others_have_left_hears_from_the_leader() {
    let mut node = Node::new(config(3, 3), Recovered::default()).unwrap();
    let hear = |node: &mut Node, body: Body| {
        let to = body.is_reply().then_some(node.stamp());
        let from = Stamp { disk: disk_of(7), boot: Boot(1) };
        let message = Message { from, to, term: Term(4), body };
        let mut asked = Vec::new();
        let mut inputs = vec![Input::Receive { from: NodeId(7), message }];
        while let Some(input) = inputs.pop() {
            for output in node.step(input) {
                match output {
                    Output::Persist(write) => inputs.push(Input::Persisted(write.persisted())),
                    Output::Send { to, message } if message.body == Body::Hello => asked.push(to.0),
                    _ => {}
                }
            }
        }
        asked
    };
    let heartbeat = || Body::Heartbeat { commit: Index(0), round: Round(1) };
    hear(&mut node, Body::HelloReply(Acquaintance::Founding));
    assert_eq!(hear(&mut node, heartbeat()), [7]);
    assert_eq!(node.status().leader, None);
    hear(&mut node, Body::HelloReply(Acquaintance::Stranger));
    assert!(!node.status().halted, "what a stranger says against it is not believed");
    hear(&mut node, Body::HelloReply(Acquaintance::TakenIn));
    assert_eq!(hear(&mut node, heartbeat()), []);
    assert_eq!(node.status().leader, Some(NodeId(7)));
}
