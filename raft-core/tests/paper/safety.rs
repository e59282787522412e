//! Section 5.4: which leaders can be elected, and what they may commit.

use super::*;
use raft_core::{EntryId, NodeId};

/// Two servers of three: whether the second votes for the first, given the logs that they have.
fn grants(candidate: &[u64], voter: &[u64]) -> bool {
    let mut cluster = on_logs(&[candidate, voter, &[1]]);
    let newest = candidate.last().max(voter.last()).copied().unwrap();
    cluster.replace(1, with_log(3, candidate, newest, None));
    cluster.campaign(1);
    cluster.deliver(|packet| packet.to == 2);
    cluster.status(2).vote == Some(NodeId(1))
}

/// 5.4.1: of two logs whose last entries are of different terms, the one with the later term is more up-to-date.
#[test]
fn a_later_last_term_is_more_up_to_date_whatever_the_length() {
    assert!(grants(&[1, 3], &[1, 2, 2, 2, 2]));
    assert!(!grants(&[1, 2, 2, 2, 2], &[1, 3]));
}

/// 5.4.1: of two logs that end in the same term, the longer one is more up-to-date, and an equal one is up-to-date.
#[test]
fn with_the_same_last_term_the_longer_log_is_more_up_to_date() {
    assert!(grants(&[1, 2, 2], &[1, 2]));
    assert!(grants(&[1, 2], &[1, 2]));
    assert!(!grants(&[1, 2], &[1, 2, 2]));
}

/// 5.4.1: a voter whose log is more up-to-date than the candidate's refuses; so a candidate without all committed
/// entries finds no majority.
#[test]
fn a_candidate_without_a_committed_entry_cannot_win() {
    for n in [3, 5] {
        let mut cluster = led(n);
        let minority: Vec<u64> = (n / 2 + 2..=n).collect();
        minority.iter().for_each(|id| cluster.isolate(*id));
        cluster.propose(1, &["x"]);
        cluster.settle();
        assert_eq!(commit(&cluster, 1), 3);
        cluster.heal();
        for id in minority {
            for _ in 0..3 {
                cluster.campaign(id);
                cluster.settle();
                assert_ne!(role(&cluster, id), RoleName::Leader);
            }
        }
        cluster.campaign(2);
        cluster.campaign(2);
        cluster.settle();
        assert_eq!(role(&cluster, 2), RoleName::Leader, "one with the entry can");
    }
}

/// 5.4.1: entries flow from leaders to followers only: an elected leader has all committed entries from the start.
#[test]
fn a_new_leader_has_all_committed_entries_from_the_start() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    cluster.deliver(|packet| packet.to == 2);
    cluster.deliver(|packet| packet.to == 1);
    cluster.crash(1);
    cluster.campaign(2);
    cluster.deliver(|packet| packet.to == 3);
    cluster.deliver(|packet| packet.to == 2);
    assert_eq!(role(&cluster, 2), RoleName::Leader);
    let entry = cluster.node(2).log().entry(Index(3)).unwrap();
    assert_eq!((entry.id(), text(entry)), (EntryId::new(1, 3), Some("x".to_owned())));
}

/// 5.4.2, Figure 8: an entry of an earlier term on a majority is not committed, since it can still be overwritten.
#[test]
fn an_entry_of_an_earlier_term_on_a_majority_is_not_committed() {
    let mut cluster = figure_8c();
    assert_eq!((cluster.terms(2), cluster.terms(3)), (vec![1, 2, 4], vec![1, 2]));
    assert_eq!(commit(&cluster, 1), 1);
    cluster.crash(1);
    cluster.take(|_| true);
    cluster.heal();
    cluster.campaign(5);
    cluster.campaign(5);
    cluster.settle();
    assert_eq!(role(&cluster, 5), RoleName::Leader);
    assert!((2..=5).all(|id| cluster.terms(id) == [1, 3, 5]));
}

/// 5.4.2, Figure 8: once an entry of the leader's own term is on a majority, all before it are committed, too, and no
/// server without them can win.
#[test]
fn an_entry_of_the_own_term_commits_the_earlier_ones() {
    let mut cluster = figure_8c();
    for _ in 0..3 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    assert_eq!(commit(&cluster, 1), 3);
    cluster.crash(1);
    cluster.heal();
    for _ in 0..3 {
        cluster.campaign(5);
        cluster.settle();
        assert_ne!(role(&cluster, 5), RoleName::Leader);
    }
    cluster.campaign(2);
    cluster.campaign(2);
    cluster.settle();
    assert_eq!(cluster.terms(5)[..3], [1, 2, 4]);
}

/// Figure 8 (c): S1 of term 2 leads again, in term 4, and knows its entry 2 to be on S2 and S3. Its no-op of term 4 is on
/// no majority yet.
fn figure_8c() -> Cluster {
    let mut cluster = Cluster::with(5, |config| {
        config.pre_vote = false;
        config.check_quorum = false;
        config.limits.batch_entries = 1;
    });
    for (id, log) in (1..).zip([&[1, 2][..], &[1, 2], &[1], &[1], &[1, 3]]) {
        cluster.replace(id, with_log(5, log, 3, (id == 5).then_some(5)));
    }
    cluster.events.clear();
    cluster.isolate(4);
    cluster.isolate(5);
    cluster.campaign(1);
    cluster.deliver(|_| true);
    cluster.deliver(|_| true);
    // S2 says that it has entry 2, along with the no-op. Entry 2 reaches S3, and its acknowledgement S1; the no-op doesn't.
    for to in [2, 1, 3, 1, 3, 1] {
        cluster.deliver(|packet| packet.to == to);
    }
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Leader, 4));
    cluster
}

/// 5.4.2: entries keep the term in which they were made when a later leader replicates them.
#[test]
fn entries_keep_their_term_under_later_leaders() {
    let mut cluster = on_logs(&[&[1, 1, 2, 3], &[1], &[1]]);
    for leader in [1, 2, 3] {
        cluster.campaign(leader);
        cluster.settle();
        assert!((1..=3).all(|id| cluster.terms(id)[..4] == [1, 1, 2, 3]));
    }
}

/// 5.4.3, State Machine Safety: all servers apply the same entries in the same order, over three leaders that were each
/// cut off with entries that nobody else has.
#[test]
fn all_servers_apply_the_same_entries_in_the_same_order() {
    let mut cluster = led(3);
    for (leader, next) in [(1, 2), (2, 3), (3, 1)] {
        cluster.propose(leader, &["kept"]);
        cluster.settle();
        cluster.isolate(leader);
        cluster.propose(leader, &["lost", "lost"]);
        while role(&cluster, next) != RoleName::Leader {
            cluster.campaign(next);
            cluster.settle();
        }
        cluster.propose(next, &["kept, too"]);
        cluster.settle();
        cluster.heal();
        for _ in 0..3 {
            cluster.tick(next, 2);
            cluster.settle();
        }
    }
    let first = applied(&cluster, 1);
    assert_eq!(first.len(), 6);
    assert!(first.iter().all(|(_, command)| command.starts_with("kept")));
    assert_eq!((applied(&cluster, 2), applied(&cluster, 3)), (first.clone(), first));
}

/// Paper section 5.4.3: a leader holds all that is committed, since its voters and those who committed it have one in common. A
/// blind vote is none of these.
#[test]
fn a_blind_vote_elects_only_with_half_of_the_voters_who_compared() {
    for (servers, elected) in [(3, false), (4, true)] {
        let mut cluster = led(servers);
        cluster.isolate(2);
        cluster.isolate(4);
        cluster.propose(1, &["on the disks of 1 and 3"]);
        cluster.settle();
        // Two of three have committed it; of four two that don't have it can tell that it is not.
        let last = cluster.status(3).last;
        cluster.crash(1);
        cluster.crash(3);
        cluster.decay(3, last.index);
        cluster.restart(3);
        cluster.heal();
        for id in 2..=servers {
            cluster.tick(id, 30);
        }
        cluster.settle();
        cluster.campaign(2);
        cluster.settle();
        assert_eq!(role(&cluster, 2) == RoleName::Leader, elected, "{servers} servers");
    }
}

/// A disk that has lost the bytes of a command still has its id: its server votes by its log's end (5.4.1), and counts for no
/// commit of what it can't show ("Protocol-Aware Recovery for Consensus-Based Storage", section 3.3: the decayed entry is
/// neither taken for absent nor for present).
#[test]
fn what_a_disk_has_lost_is_voted_by_and_not_acknowledged() {
    let mut cluster = led(3);
    cluster.isolate(2);
    cluster.propose(1, &["kept"]);
    cluster.settle();
    let last = cluster.status(3).last;
    cluster.crash(3);
    cluster.decay(3, last.index);
    cluster.restart(3);
    cluster.crash(1);
    cluster.heal();
    cluster.campaign(2);
    cluster.settle();
    assert_ne!(role(&cluster, 2), RoleName::Leader, "server 3 refuses the shorter log");
    cluster.campaign(3);
    assert_eq!(role(&cluster, 3), RoleName::Follower, "and doesn't stand");
    cluster.restart(1);
    cluster.campaign(1);
    cluster.deliver(|packet| !matches!(packet.message.body, raft_core::Body::Copies { .. }));
    let durable = cluster.status(3).durable;
    assert!(durable < last.index, "what is lost is not durable: {durable}");
    for _ in 0..20 {
        cluster.tick(1, 2);
        cluster.tick(3, 2);
        cluster.settle();
    }
    assert_eq!((role(&cluster, 1), cluster.status(3).decayed), (RoleName::Leader, 0));
    assert!(cluster.status(3).durable > last.index);
    assert_eq!(applied(&cluster, 3).last(), applied(&cluster, 1).last());
}

/// Protocol-aware recovery asks those who may hold what is lost (FAST 2018, section 3.3); with section 6's changes of members these
/// may all be strangers, of whom the server knows only the one that leads it.
#[test]
fn what_is_lost_comes_from_those_who_took_all_places() {
    let mut cluster = with_learners(3, &[4, 5]);
    cluster.propose(1, &["lost on 3"]);
    cluster.settle();
    cluster.crash(3);
    cluster.decay(3, cluster.status(1).last.index);
    for changes in [vec![promote(4), promote(5)], vec![remove(1), remove(2)]] {
        cluster.change(1, changes, None);
        cluster.settle();
        spread(&mut cluster, 1);
    }
    cluster.crash(1);
    cluster.crash(2);
    elect(&mut cluster, 4);
    cluster.restart(3);
    assert!([4, 5].iter().all(|id| standing(&cluster, 3, *id) != Some(Standing::Voter)), "as 3 knows");
    for _ in 0..10 {
        cluster.tick(4, 2);
        cluster.tick(3, 2);
        cluster.settle();
    }
    assert_eq!((cluster.status(3).decayed, commit(&cluster, 3)), (0, commit(&cluster, 4)));
}
