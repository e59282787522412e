//! Section 5.2: leader election.

use super::*;
use raft_core::{Ballot, Config, DiskId, EntryId, Input, LogSlice, Message, NodeId, Term};
use std::collections::BTreeSet;

/// 5.2: servers start as followers.
#[test]
fn a_server_starts_as_a_follower() {
    let mut cluster = led(3);
    cluster.crash(1);
    cluster.restart(1);
    assert_eq!(role(&cluster, 1), RoleName::Follower);
    assert_eq!(role(&plain(3), 1), RoleName::Follower);
}

/// 5.2: as long as valid requests of a leader or candidate come in, a server stays a follower.
#[test]
fn a_server_that_hears_a_leader_stays_a_follower() {
    let mut cluster = led(3);
    for _ in 0..50 {
        cluster.tick(1, 2);
        cluster.settle();
        cluster.tick(2, 9);
        cluster.tick(3, 9);
    }
    assert_eq!((term(&cluster, 1), term(&cluster, 2), term(&cluster, 3)), (1, 1, 1));
}

/// 5.2: to grant a vote counts as having heard a candidate.
#[test]
fn a_granted_vote_restarts_the_election_timer() {
    let mut cluster = plain(3);
    cluster.tick(3, 9);
    cluster.campaign(1);
    cluster.deliver(|packet| packet.to == 3);
    cluster.tick(3, 9);
    assert_eq!((role(&cluster, 3), term(&cluster, 3)), (RoleName::Follower, 1));
}

/// 5.2: a leader sends heartbeats to all followers, periodically.
#[test]
fn a_leader_sends_periodic_heartbeats_to_all() {
    let mut cluster = led(4);
    for _ in 0..3 {
        cluster.tick(1, 1);
        cluster.tick(1, 1);
    }
    let beats = receivers(&cluster, |body| matches!(body, Body::Heartbeat { .. }));
    assert_eq!(beats, [2, 3, 4, 2, 3, 4, 2, 3, 4]);
}

/// 5.2: a follower that hears nothing for an election timeout begins an election.
#[test]
fn a_follower_that_hears_nothing_begins_an_election() {
    let mut cluster = led(3);
    cluster.isolate(1);
    cluster.tick(2, 20);
    assert_eq!((role(&cluster, 2), term(&cluster, 2)), (RoleName::Candidate, 2));
}

/// 5.2: an election begins with the next term, the own vote, and requests to all others at the same time.
#[test]
fn a_candidate_raises_its_term_votes_for_itself_and_asks_all() {
    let mut cluster = plain(5);
    cluster.campaign(3);
    let status = cluster.status(3);
    assert_eq!((status.role, status.term, status.vote), (RoleName::Candidate, Term(1), Some(NodeId(3))));
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Vote { .. })), [1, 2, 4, 5]);
}

/// 5.2: the votes of a majority of all servers, in the same term, win.
#[test]
fn votes_of_a_majority_win() {
    for n in 1..=7 {
        let mut cluster = plain(n);
        cluster.campaign(1);
        for votes in 2..=n {
            let won = role(&cluster, 1) == RoleName::Leader;
            assert_eq!(won, votes - 1 > n / 2, "{} of {n}", votes - 1);
            cluster.deliver(|packet| packet.to == votes);
            cluster.deliver(|packet| packet.to == 1);
        }
        assert_eq!(role(&cluster, 1), RoleName::Leader);
    }
}

/// 5.2: votes of an earlier term don't count in a later one.
#[test]
fn votes_count_only_in_their_term() {
    let mut cluster = plain(3);
    cluster.campaign(1);
    cluster.deliver(|packet| packet.to == 2);
    cluster.campaign(1);
    cluster.deliver(|packet| packet.to == 1);
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Candidate, 2));
}

/// 5.2: a server votes for one candidate a term, the first that asks. Asked again by the same, it says the same.
#[test]
fn a_server_votes_once_a_term_first_come_first_served() {
    let mut cluster = plain(3);
    cluster.campaign(2);
    cluster.campaign(1);
    cluster.deliver(|packet| (packet.from, packet.to) == (2, 3));
    let again = cluster.network().iter().position(|packet| (packet.from, packet.to) == (1, 3)).unwrap();
    cluster.repeat(&[again]);
    cluster.deliver(|packet| (packet.from, packet.to) == (1, 3));
    assert_eq!(cluster.status(3).vote, Some(NodeId(2)));
    let reply = |to| move |packet: &&Packet| (packet.from, packet.to) == (3, to);
    let said = |to| -> Vec<Body> {
        cluster.network().iter().filter(reply(to)).map(|packet| packet.message.body.clone()).collect()
    };
    assert_eq!(said(2), [Body::VoteReply { answer: Ballot::Granted }]);
    assert_eq!(
        said(1),
        [Body::VoteReply { answer: Ballot::Refused }, Body::VoteReply { answer: Ballot::Refused }]
    );
}

/// What server 3 says to requests for its vote in one term by server 1, each from its disk or from another one, with a restart
/// before the last.
fn votes(disks: &[u64], change: impl Fn(&mut Config)) -> Vec<Ballot> {
    let mut cluster = Cluster::with(3, change);
    cluster.campaign(1);
    let asked = cluster.take(|packet| (packet.from, packet.to) == (1, 3)).remove(0);
    let mut ask = |(nth, disk): (usize, &u64)| {
        let mut packet = asked.clone();
        packet.message.from.disk = DiskId(*disk);
        // A longer log may have a newer record of disks.
        packet.message.body = Body::Vote { last: EntryId::new(1, 9), transfer: false, recorded: true };
        if nth + 1 == disks.len() {
            cluster.crash(3);
            cluster.restart(3);
        }
        cluster.receive(packet);
        match cluster.take(|packet| packet.from == 3).remove(0).message.body {
            Body::VoteReply { answer } => answer,
            other => panic!("{other:?}"),
        }
    };
    disks.iter().enumerate().map(&mut ask).collect()
}

/// 5.2, rule 16: the vote is a disk's. A replaced one and its successor bear one id, and both may stand. Which disk has it
/// is not known after a restart: then nobody is told again.
#[test]
fn a_vote_is_given_again_only_to_the_disk_that_has_it() {
    use Ballot::{Granted, Refused};
    assert_eq!(votes(&[8, 8, 9, 8, 8], plainly), [Granted, Granted, Refused, Granted, Refused]);
    assert_eq!(votes(&[9, 8, 9, 9], plainly), [Granted, Refused, Granted, Refused]);
    #[cfg(feature = "planted")]
    {
        let bug = Some(raft_core::planted::Bug::VotesForIdAlone);
        let planted = |config: &mut Config| {
            plainly(config);
            config.bug = bug;
        };
        assert_eq!(votes(&[8, 9, 8], planted), [Granted; 3], "two disks may win the term");
    }
}

/// 5.2: the winner tells all others at once, so that no other election begins.
#[test]
fn a_new_leader_makes_itself_known_to_all_at_once() {
    let mut cluster = plain(5);
    cluster.campaign(1);
    cluster.deliver(|packet| packet.to != 1);
    cluster.events.clear();
    cluster.deliver(|packet| packet.to == 1);
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Append { .. })), [2, 3, 4, 5]);
    cluster.deliver(|_| true);
    assert!((2..=5).all(|id| cluster.status(id).leader == Some(NodeId(1))));
}

/// 5.2: a candidate that hears a leader of its term, or of a later one, accepts it.
#[test]
fn a_candidate_accepts_a_leader_of_its_term_or_later() {
    for behind in [false, true] {
        let mut cluster = plain(3);
        cluster.campaign(3);
        if behind {
            cluster.campaign(1);
        }
        cluster.campaign(1);
        cluster.deliver(|packet| packet.to == 2 && packet.from == 1);
        cluster.deliver(|packet| packet.to == 1);
        assert_eq!((role(&cluster, 1), role(&cluster, 3)), (RoleName::Leader, RoleName::Candidate));
        cluster.deliver(|packet| packet.to == 3 && matches!(packet.message.body, Body::Append { .. }));
        assert_eq!((role(&cluster, 3), cluster.status(3).leader), (RoleName::Follower, Some(NodeId(1))));
        assert_eq!(term(&cluster, 3), term(&cluster, 1));
    }
}

/// 5.2: a candidate that hears a leader of an earlier term refuses it and goes on.
#[test]
fn a_candidate_refuses_a_leader_of_an_earlier_term() {
    let mut cluster = led(3);
    cluster.isolate(3);
    cluster.campaign(3);
    cluster.heal();
    cluster.turn(1, vec![Input::Heartbeat]);
    cluster.deliver(|packet| packet.to == 3);
    assert_eq!((role(&cluster, 3), term(&cluster, 3)), (RoleName::Candidate, 2));
    assert_eq!(sent(&cluster).last().unwrap().message.body, Body::Stale);
}

/// 5.2: a candidate whose election neither succeeds nor fails tries again in a new term after another timeout.
#[test]
fn a_candidate_without_a_result_tries_again_in_the_next_term() {
    let mut cluster = plain(3);
    cluster.isolate(1);
    for expected in 1..=4 {
        cluster.tick(1, 20);
        assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Candidate, expected));
    }
}

/// How many ticks until a server that hears nothing campaigns for the first time, and then for the second.
fn timeouts(seed: u64) -> (u64, u64) {
    let mut cluster = Cluster::with(3, |config| {
        config.seed = seed;
        config.pre_vote = false;
    });
    let mut until = |wanted| {
        (1..).find(|_| {
            cluster.tick(1, 1);
            term(&cluster, 1) == wanted
        })
    };
    (until(1).unwrap(), until(2).unwrap())
}

/// 5.2: election timeouts are drawn at random from a fixed interval, here [10, 20) ticks, all of which occur.
#[test]
fn election_timeouts_are_drawn_from_a_fixed_interval() {
    let drawn: BTreeSet<u64> = (0..200).map(|seed| timeouts(seed).0).collect();
    assert_eq!(drawn, (10..20).collect());
}

/// 5.2: a candidate draws a new timeout for each election and waits for its end before the next one.
#[test]
fn each_election_draws_a_new_timeout() {
    let drawn: Vec<(u64, u64)> = (0..50).map(timeouts).collect();
    assert!(drawn.iter().all(|(_, second)| (10..20).contains(second)));
    let same = drawn.iter().filter(|(first, second)| first == second).count();
    assert!(same < 15, "{same} of 50 draws were the same twice");
}

/// 5.2: with random timeouts split votes are rare and resolved quickly. All servers lose their leader at once, tick
/// alike, and hear each other one tick later.
#[test]
fn random_timeouts_resolve_split_votes() {
    for seed in 0..50 {
        let mut cluster = Cluster::with(5, |config| {
            config.seed = 1_000 * seed + config.id.0;
            config.pre_vote = false;
        });
        let elected = (1..=200).find(|_| {
            (1..=5).for_each(|id| cluster.tick(id, 1));
            cluster.deliver(|_| true);
            (1..=5).any(|id| role(&cluster, id) == RoleName::Leader)
        });
        assert!(elected.is_some(), "seed {seed}");
    }
}

/// 5.2 and 5.3: an append of a leader of an earlier term changes nothing, whatever it carries.
#[test]
fn an_append_of_an_earlier_term_changes_nothing() {
    let mut cluster = led(3);
    elect(&mut cluster, 2);
    let before = cluster.terms(3);
    let entry = Entry::new(EntryId::new(1, 3), Payload::Command("old".into()));
    let slice = LogSlice::new(EntryId::new(1, 2), vec![entry]).unwrap();
    let body = Body::Append { slice, commit: Index(3) };
    let message = Message { from: cluster.node(1).stamp(), to: None, term: Term(1), body };
    cluster.receive(Packet { from: 1, to: 3, message });
    assert_eq!(cluster.terms(3), before);
}
