//! Section 8: client interaction.

use super::*;
use raft_core::Input;

/// 8: clients send their requests to the leader; a server that is none rejects them, and says who leads, as far as it
/// knows.
#[test]
fn a_server_that_does_not_lead_names_the_leader() {
    let mut cluster = led(3);
    let requests =
        [cluster.propose(2, &["x"]), cluster.transfer(2, None), cluster.change(2, vec![remove(3)], None)];
    for ticket in requests {
        assert_eq!(cluster.answers(ticket), [Answer::NotLeader { leader: Some(NodeId(1)) }]);
    }
    let mut cluster = plain(3);
    let ticket = cluster.propose(1, &["x"]);
    assert_eq!(cluster.answers(ticket), [Answer::NotLeader { leader: None }]);
}

/// 8: if the leader crashes, the client tries another server: the new leader is named as soon as it is known.
#[test]
fn after_a_crash_the_new_leader_is_named() {
    let mut cluster = led(3);
    cluster.crash(1);
    elect(&mut cluster, 2);
    let ticket = cluster.propose(3, &["x"]);
    assert_eq!(cluster.answers(ticket), [Answer::NotLeader { leader: Some(NodeId(2)) }]);
}

/// 8: a command is answered once it has been executed, and only once.
#[test]
fn a_command_is_answered_once_when_it_was_executed() {
    let mut cluster = led(3);
    let ticket = cluster.propose(1, &["x"]);
    assert!(cluster.answers(ticket).is_empty());
    cluster.settle();
    spread(&mut cluster, 1);
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]));
    let of_both = cluster.events.iter().filter_map(|event| match event {
        Event::Apply { at: 1, entry } if text(entry).is_some() => Some("executed"),
        Event::Answer { at: 1, .. } => Some("answered"),
        _ => None,
    });
    assert_eq!(of_both.collect::<Vec<_>>(), ["executed", "answered"]);
}

/// 8: a command may be executed though its leader crashed before it answered: whoever retries needs a name for it. The
/// core says so: it never calls lost what may still take effect.
#[test]
fn a_command_that_may_still_take_effect_is_never_called_lost() {
    let mut cluster = led(3);
    let ticket = cluster.propose(1, &["x"]);
    cluster.deliver(|packet| packet.to == 2);
    cluster.isolate(1);
    elect(&mut cluster, 2);
    cluster.heal();
    assert!(cluster.answers(ticket).is_empty());
    spread(&mut cluster, 2);
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]), "the new leader had it");
}

/// 8: a leader must know which entries are committed; so each commits a no-op at the start of its term.
#[test]
fn each_leader_begins_its_term_with_a_no_op() {
    let mut cluster = led(3);
    cluster.campaign(2);
    cluster.settle();
    let first = cluster.node(2).log().from(Index(3)).next().unwrap().clone();
    assert_eq!((first.term().0, first.payload()), (2, &Payload::Noop));
    assert_eq!(cluster.status(2).commit, cluster.status(2).last.index, "and with it all before");
}

/// 8: it waits for that before it serves a read.
#[test]
fn no_read_is_served_before_the_no_op_is_committed() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    cluster.settle();
    cluster.campaign(2);
    for _ in 0..2 {
        cluster.deliver(|packet| matches!(packet.message.body, Body::Vote { .. } | Body::VoteReply { .. }));
    }
    assert_eq!(role(&cluster, 2), RoleName::Leader);
    let ticket = cluster.read(2);
    cluster.turn(2, vec![Input::Heartbeat]);
    cluster.deliver(|packet| matches!(packet.message.body, Body::Heartbeat { .. }));
    cluster.deliver(|packet| matches!(packet.message.body, Body::HeartbeatReply { .. }));
    assert!(cluster.answers(ticket).is_empty());
    cluster.settle();
    cluster.settle();
    assert_eq!(cluster.answers(ticket), [Answer::ReadAt(Index(4))]);
}

/// 8: a leader must check whether it has been deposed before it serves a read: it exchanges heartbeats with a majority.
#[test]
fn a_read_is_served_after_a_majority_was_heard() {
    for (heard, served) in [(vec![], false), (vec![2], false), (vec![2, 3], true)] {
        let mut cluster = led(5);
        let ticket = cluster.read(1);
        heard.iter().for_each(|id| talk(&mut cluster, 1, *id));
        assert_eq!(!cluster.answers(ticket).is_empty(), served, "{heard:?}");
    }
}

/// 8: a leader that was deposed without knowing serves no read: the result would be stale.
#[test]
fn a_deposed_leader_serves_no_read() {
    let mut cluster = led(3);
    cluster.isolate(1);
    elect(&mut cluster, 2);
    cluster.propose(2, &["newer"]);
    cluster.settle();
    let ticket = cluster.read(1);
    cluster.heal();
    cluster.tick(1, 2);
    cluster.settle();
    assert!(
        matches!(cluster.answers(ticket)[..], [Answer::NotLeader { .. }]),
        "{:?}",
        cluster.answers(ticket)
    );
}

/// 8: reads write nothing to the log.
#[test]
fn a_read_writes_nothing() {
    let mut cluster = led(3);
    cluster.events.clear();
    cluster.read(1);
    cluster.read(2);
    cluster.settle();
    assert!(!cluster.events.iter().any(|event| matches!(event, Event::Persist { .. })));
}
