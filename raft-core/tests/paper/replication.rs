//! Section 5.3: log replication.

use super::*;
use raft_core::{Answer, EntryId, Input};

/// The followers' logs of Figure 7 under its leader of term 8, server 1; a to f are servers 2 to 7.
const FIGURE_7: [&[u64]; 7] = [
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6],
    &[1, 1, 1, 4],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    &[1, 1, 1, 4, 4, 4, 4],
    &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
];

/// Figure 7 with its leader elected: server 1's term is raised to 7, as if it had voted in it.
fn figure_7() -> Cluster {
    let mut cluster = on_logs(&FIGURE_7);
    cluster.replace(1, with_log(7, FIGURE_7[0], 7, None));
    cluster.events.clear();
    cluster
}

/// What the appends that were sent to a server covered: the index before the first entry, and the last.
fn appends(cluster: &Cluster, to: u64) -> Vec<(u64, u64)> {
    let range = |packet: &Packet| match &packet.message.body {
        Body::Append { slice, .. } if packet.to == to => Some((slice.prev().index.0, slice.last().index.0)),
        _ => None,
    };
    sent(cluster).iter().filter_map(range).collect()
}

/// 5.3: the leader appends a command to its log and sends it to all others at the same time.
#[test]
fn the_leader_appends_a_command_and_sends_it_to_all_in_parallel() {
    let mut cluster = led(5);
    cluster.propose(1, &["x"]);
    assert_eq!(cluster.status(1).last, EntryId::new(1, 3));
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Append { .. })), [2, 3, 4, 5]);
}

/// 5.3: once the entry is safely replicated the leader applies it and gives the client the result.
#[test]
fn the_leader_applies_and_answers_once_replicated() {
    let mut cluster = led(3);
    let ticket = cluster.propose(1, &["x"]);
    assert_eq!((applied(&cluster, 1), cluster.answers(ticket)), (vec![], vec![]));
    cluster.deliver(|packet| packet.to == 2);
    cluster.deliver(|packet| packet.to == 1);
    assert_eq!(applied(&cluster, 1), [(Index(3), "x".to_owned())]);
    assert_eq!(cluster.answers(ticket), [Answer::Committed(EntryId::new(1, 3))]);
}

/// 5.3: the leader repeats appends until every follower has all entries, also after it has answered the client.
#[test]
fn appends_are_repeated_until_all_followers_have_everything() {
    let mut cluster = led(3);
    cluster.isolate(3);
    let ticket = cluster.propose(1, &["x"]);
    cluster.settle();
    assert_eq!(cluster.answers(ticket).len(), 1);
    for _ in 0..30 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    cluster.heal();
    for _ in 0..3 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    assert_eq!((cluster.terms(3), commit(&cluster, 3)), (cluster.terms(1), 3));
}

/// 5.3: an entry stores the command, the term in which the leader received it, and its index.
#[test]
fn an_entry_stores_command_term_and_index() {
    let mut cluster = led(3);
    elect(&mut cluster, 2);
    cluster.propose(2, &["x"]);
    cluster.settle();
    for id in 1..=3 {
        let entry = cluster.node(id).log().entry(Index(4)).unwrap();
        assert_eq!((entry.id(), text(entry).unwrap().as_str()), (EntryId::new(2, 4), "x"));
    }
}

/// 5.3: an entry is committed once the leader that made it has it on a majority.
#[test]
fn an_entry_is_committed_once_a_majority_has_it() {
    for n in 1..=7 {
        let mut cluster = led(n);
        let index = cluster.status(1).last.index.0 + 1;
        cluster.propose(1, &["x"]);
        for copies in 1..=n {
            assert_eq!(commit(&cluster, 1) == index, copies > n / 2, "{copies} of {n}");
            cluster.deliver(|packet| packet.to == copies + 1);
            cluster.deliver(|packet| packet.to == 1);
        }
    }
}

/// 5.3: this commits all earlier entries of the leader's log, too, also those of earlier leaders.
#[test]
fn a_commit_covers_all_earlier_entries() {
    let mut cluster = on_logs(&[&[1, 1, 2, 3], &[1, 1], &[1]]);
    cluster.campaign(1);
    cluster.settle();
    assert_eq!(commit(&cluster, 1), 5);
    assert_eq!(applied(&cluster, 1).len(), 3);
}

/// 5.3: the leader's messages, heartbeats included, carry the highest index known to be committed, and a follower that
/// learns of a commit applies the entries in the order of the log.
#[test]
fn followers_learn_of_commits_and_apply_in_log_order() {
    let mut cluster = led(3);
    cluster.propose(1, &["a", "b"]);
    cluster.settle();
    assert_eq!(applied(&cluster, 2), []);
    cluster.turn(1, vec![Input::Heartbeat]);
    cluster.settle();
    let ab = [(Index(3), "a".to_owned()), (Index(4), "b".to_owned())];
    assert_eq!(applied(&cluster, 2), ab);
    cluster.propose(1, &["c"]);
    cluster.settle();
    cluster.propose(1, &["d"]);
    cluster.settle();
    assert_eq!(applied(&cluster, 2).len(), 3, "the append of d tells of c");
}

/// 5.3, Log Matching: a leader makes one entry for an index in its term, and no entry ever moves.
#[test]
fn a_leader_makes_one_entry_an_index() {
    let mut cluster = led(3);
    cluster.propose(1, &["a", "b"]);
    cluster.propose(1, &["c"]);
    let made: Vec<EntryId> = cluster.node(1).log().from(Index(1)).map(Entry::id).collect();
    assert_eq!(made, [1, 2, 3, 4, 5].map(|index| EntryId::new(1, index)));
}

/// 5.3, Log Matching: if two logs agree on an index and term, they agree on everything before.
#[test]
fn logs_that_agree_somewhere_agree_on_everything_before() {
    let mut cluster = figure_7();
    cluster.campaign(1);
    while !cluster.network().is_empty() {
        cluster.deliver(|_| true);
        for (a, b) in (1..=7).flat_map(|a| (1..a).map(move |b| (a, b))) {
            let (a, b) = (cluster.node(a).log(), cluster.node(b).log());
            let shorter = a.last().index.min(b.last().index);
            let same = (2..=shorter.0).rev().find(|at| a.id_at(Index(*at)) == b.id_at(Index(*at)));
            assert!(same.is_none_or(|at| a.hash_at(Index(at)) == b.hash_at(Index(at))));
        }
    }
}

/// 5.3: an append names the entry before it; a follower without that entry refuses.
#[test]
fn a_follower_refuses_an_append_that_does_not_meet_its_log() {
    for log in [&[1][..], &[1, 1], &[1, 1, 2]] {
        let mut cluster = on_logs(&[&[1, 1, 3], log, &[1, 1, 3]]);
        cluster.campaign(1);
        cluster.deliver(|packet| packet.to == 3);
        cluster.deliver(|packet| packet.to == 1);
        cluster.deliver(|packet| packet.to == 2);
        let said = sent(&cluster).into_iter().rfind(|packet| packet.from == 2).unwrap();
        assert!(matches!(said.message.body, Body::Conflict { asked, .. } if asked == EntryId::new(3, 3)));
        assert_eq!(cluster.terms(2), log);
    }
}

/// 5.3: when an append succeeds, the follower's log equals the leader's up to the append's last entry.
#[test]
fn a_successful_append_means_equal_logs_up_to_there() {
    let mut cluster = figure_7();
    cluster.campaign(1);
    let mut successes = 0;
    while !cluster.network().is_empty() {
        for packet in cluster.take(|_| true) {
            if let Body::Appended { matched } = packet.message.body {
                let hash = |id| cluster.node(id).log().hash_at(matched);
                assert_eq!(hash(packet.from), hash(1));
                successes += 1;
            }
            cluster.receive(packet);
        }
    }
    assert_eq!(successes, 6);
}

/// 5.3: as long as nothing fails the logs stay consistent and no append is refused.
#[test]
fn in_normal_operation_no_append_is_refused() {
    let mut cluster = led(5);
    for command in ["a", "b", "c", "d"] {
        cluster.propose(1, &[command, command]);
        cluster.tick(1, 1);
        cluster.deliver(|_| true);
    }
    cluster.settle();
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Conflict { .. })), []);
    assert!((2..=5).all(|id| cluster.node(id).log() == cluster.node(1).log()));
}

/// 5.3, Figure 7: followers that miss entries, have extra ones, or both, end with the leader's log: conflicting entries
/// are replaced by the leader's.
#[test]
fn all_followers_of_figure_7_duplicate_the_leaders_log() {
    let mut cluster = figure_7();
    cluster.campaign(1);
    cluster.settle();
    assert_eq!(cluster.terms(1), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]);
    assert!((2..=7).all(|id| cluster.terms(id) == cluster.terms(1)));
}

/// 5.3: the leader finds the last entry on which both logs agree; the follower removes what comes after it there, and
/// gets all that comes after it in the leader's log.
#[test]
fn the_logs_meet_at_the_last_entry_on_which_they_agree() {
    let meets = [(2, 9), (3, 4), (4, 10), (5, 10), (6, 5), (7, 3)];
    let mut cluster = figure_7();
    cluster.campaign(1);
    cluster.settle();
    for (id, meet) in meets {
        assert_eq!(appends(&cluster, id).last(), Some(&(meet, 11)), "server {id}");
        let kept = cluster.events.iter().find_map(|event| match event {
            Event::Persist { at, update, .. } if *at == id && !update.entries.is_empty() => Some(update.keep),
            _ => None,
        });
        let extra = FIGURE_7[id as usize - 1].len() as u64 > meet;
        assert_eq!(kept.unwrap(), extra.then_some(Index(meet)), "server {id}");
    }
}

/// 5.3: a new leader begins, for each follower, right after the last entry of its own log.
#[test]
fn a_new_leader_begins_after_its_last_entry() {
    let mut cluster = figure_7();
    cluster.campaign(1);
    cluster.settle();
    assert!((2..=7).all(|id| appends(&cluster, id).first() == Some(&(10, 11))));
}

/// 5.3: after a refusal the leader goes back and tries again, until the logs meet.
#[test]
fn after_a_refusal_the_leader_goes_back_and_tries_again() {
    let mut cluster = on_logs(&[&[1, 2, 2, 5, 5], &[1, 1, 1, 3, 3, 3], &[1, 2, 2, 5, 5]]);
    cluster.campaign(1);
    cluster.settle();
    let questions: Vec<u64> = appends(&cluster, 2).into_iter().map(|(prev, _)| prev).collect();
    assert!(questions.is_sorted_by(|a, b| a > b), "{questions:?}");
    assert_eq!((questions.first(), questions.last()), (Some(&5), Some(&1)));
    assert_eq!(cluster.terms(2), cluster.terms(1));
}

/// 5.3: with the term of the conflict in the refusal, one question a conflicting term is enough.
#[test]
fn one_question_a_conflicting_term_is_enough() {
    let follower = [vec![1], vec![2; 20], vec![4; 20], vec![6; 20]].concat();
    let leader = [vec![1], vec![3; 20], vec![5; 20], vec![7; 20]].concat();
    let mut cluster = on_logs(&[&leader, &follower, &leader]);
    cluster.campaign(1);
    cluster.settle();
    let questions = appends(&cluster, 2).len();
    assert!(questions <= 4, "{questions} questions");
    assert_eq!(cluster.terms(2), cluster.terms(1));
}

/// 5.3: a leader never overwrites or removes entries of its own log.
#[test]
fn a_leader_only_appends_to_its_own_log() {
    let mut cluster = figure_7();
    cluster.campaign(1);
    cluster.propose(1, &["lost on a candidate"]);
    cluster.settle();
    cluster.propose(1, &["x"]);
    cluster.settle();
    for event in &cluster.events {
        if let Event::Persist { at: 1, update, .. } = event {
            assert_eq!(update.keep, None);
        }
    }
    assert_eq!(cluster.terms(1)[..10], *FIGURE_7[0]);
}

/// 5.3: a majority is enough to go on; one slow follower holds nobody up.
#[test]
fn a_slow_follower_does_not_hold_up_the_majority() {
    let mut cluster = led(3);
    cluster.slow(3, true);
    for command in ["a", "b", "c"] {
        let ticket = cluster.propose(1, &[command]);
        cluster.settle();
        assert_eq!(cluster.answers(ticket).len(), 1);
    }
    assert_eq!(cluster.status(3).durable, Index(2));
}

/// 5.3: normally a new entry takes a single round of messages to a majority.
#[test]
fn an_entry_takes_one_round_of_messages() {
    let mut cluster = led(3);
    let ticket = cluster.propose(1, &["x"]);
    cluster.deliver(|_| true);
    cluster.deliver(|_| true);
    assert_eq!(cluster.answers(ticket).len(), 1);
    let messages = sent(&cluster).iter().filter(|packet| packet.to == 2 || packet.from == 2).count();
    assert_eq!(messages, 2);
}

/// Figure 2, AppendEntries 5: a follower commits up to the last entry that the append covered, not up to its own last one:
/// what stands behind may not be the leader's.
#[test]
fn a_follower_commits_only_what_the_append_covered() {
    let mut cluster = on_logs(&[&[1, 1, 3], &[1, 1, 2, 2], &[1, 1, 3]]);
    let from = cluster.node(1).stamp();
    let slice = raft_core::LogSlice::new(raft_core::EntryId::new(1, 2), vec![]).unwrap();
    let body = Body::Append { slice, commit: Index(4) };
    let message = raft_core::Message { from, to: None, term: raft_core::Term(4), body };
    cluster.receive(Packet { from: 1, to: 2, message });
    assert_eq!((commit(&cluster, 2), cluster.terms(2)), (2, vec![1, 1, 2, 2]));
}
