//! Section 7: log compaction.

use super::*;
use crate::cluster::Work;
use raft_core::{Config, EntryId, Input, Message, Snapshot, Term};

/// Snapshots as soon as there is anything to cover, one entry retained, chunks of two bytes.
fn small(config: &mut Config) {
    plainly(config);
    let limits = &mut config.limits;
    (limits.snapshot_entries, limits.retain_entries) = (2, 1);
    (limits.chunk_bytes, limits.inflight_chunks) = (2, 2);
}

fn compacting(n: u64) -> Cluster {
    let mut cluster = Cluster::with(n, small);
    elect(&mut cluster, 1);
    cluster
}

/// A cluster whose server 3 was away while the others compacted their logs, and is back.
fn with_a_laggard() -> Cluster {
    let mut cluster = compacting(3);
    cluster.isolate(3);
    for command in ["a", "b", "c"] {
        cluster.propose(1, &[command]);
        cluster.settle();
    }
    spread(&mut cluster, 1);
    cluster.heal();
    cluster.events.clear();
    cluster
}

/// Heartbeats until the first chunk for server 3 is on its way.
fn until_chunk(cluster: &mut Cluster) {
    for _ in 0..5 {
        cluster.tick(1, 2);
        if cluster.network().iter().any(is_chunk) {
            return;
        }
        cluster.settle();
    }
    panic!("no snapshot is sent");
}

fn is_chunk(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Chunk { .. })
}

fn state(cluster: &mut Cluster, id: u64) -> String {
    cluster.snapshots(id).state.clone()
}

fn snapshot(cluster: &Cluster, id: u64) -> Option<EntryId> {
    cluster.status(id).snapshot
}

/// Hands a message of server 1 to server 3.
fn tell_3(cluster: &mut Cluster, term: u64, body: Body) {
    let from = cluster.node(1).stamp();
    cluster.receive(Packet { from: 1, to: 3, message: Message { from, to: None, term: Term(term), body } });
}

/// The snapshot that server 1 has.
fn of_1(cluster: &mut Cluster) -> (Snapshot, bytes::Bytes) {
    let (snapshot, state) = cluster.snapshots(1).files().last().cloned().unwrap();
    (snapshot, state.into())
}

/// 7: each server takes snapshots on its own, without the leader knowing.
#[test]
fn each_server_takes_snapshots_on_its_own() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    cluster.settle();
    spread(&mut cluster, 1);
    cluster.events.clear();
    cluster.turn(2, vec![Input::Capture]);
    assert_eq!(snapshot(&cluster, 2).map(|last| last.index), Some(Index(3)));
    assert_eq!((snapshot(&cluster, 1), snapshot(&cluster, 3)), (None, None));
    assert!(sent(&cluster).is_empty());
}

/// 7: a snapshot covers committed entries only.
#[test]
fn a_snapshot_covers_committed_entries_only() {
    let mut cluster = led(3);
    cluster.propose(1, &["x"]);
    cluster.turn(1, vec![Input::Capture]);
    assert_eq!(snapshot(&cluster, 1).map(|last| last.index), Some(Index(2)), "x is not committed");
    assert_eq!(cluster.snapshots(1).files()[0].1, "");
}

/// 7: it is taken when the log has reached a certain size.
#[test]
fn it_is_taken_when_the_log_has_reached_a_size() {
    let mut cluster = Cluster::with(1, |config| {
        config.limits.snapshot_bytes = 100;
        config.limits.retain_entries = 1;
    });
    elect(&mut cluster, 1);
    cluster.propose(1, &[&"x".repeat(99)]);
    assert_eq!(snapshot(&cluster, 1), None);
    cluster.propose(1, &["x"]);
    assert_eq!(snapshot(&cluster, 1).map(|last| last.index), Some(Index(4)));
}

/// 7: a snapshot includes index and term of the last entry that it replaces, for the consistency check of the first
/// append behind it.
#[test]
fn the_last_index_and_term_stay_for_the_consistency_check() {
    let mut cluster = compacting(3);
    for command in ["a", "b", "c", "d"] {
        cluster.propose(1, &[command]);
        cluster.settle();
    }
    spread(&mut cluster, 1);
    let base = cluster.status(3).base;
    assert!(base.index > Index(1));
    assert_eq!(cluster.node(3).log().term_at(base.index), Some(base.term));
    let slice = raft_core::LogSlice::new(base, vec![]).unwrap();
    cluster.events.clear();
    tell_3(&mut cluster, 1, Body::Append { slice, commit: Index(0) });
    let matched =
        |packet: &Packet| matches!(packet.message.body, Body::Appended { matched } if matched == base.index);
    assert!(sent(&cluster).iter().any(matched));
}

/// 7: it includes the latest configuration as of that entry, also when a later one is in the log.
#[test]
fn it_includes_the_configuration_as_of_its_last_entry() {
    let mut cluster = led(2);
    cluster.propose(1, &["x"]);
    cluster.settle();
    cluster.hold(1, Work::Capture, true);
    cluster.turn(1, vec![Input::Capture]);
    cluster.change(1, vec![remove(2)], None);
    cluster.settle();
    cluster.hold(1, Work::Capture, false);
    let (snapshot, _) = of_1(&mut cluster);
    assert!(snapshot.base.membership.is_voter(NodeId(2)));
    assert_eq!(membership(&cluster, 1).get(NodeId(2)), None);
}

/// 7: once it is written, all entries up to its last one may go, and any earlier snapshot. (Some entries are kept for
/// followers that were away briefly.)
#[test]
fn entries_go_once_the_snapshot_is_written_and_not_before() {
    let mut cluster = compacting(1);
    cluster.hold(1, Work::Capture, true);
    cluster.propose(1, &["a", "b", "c"]);
    let before = cluster.status(1).base;
    cluster.propose(1, &["d", "e", "f"]);
    assert_eq!(cluster.status(1).base, before, "it is not written yet");
    cluster.events.clear();
    cluster.hold(1, Work::Capture, false);
    let last = snapshot(&cluster, 1).unwrap();
    assert_eq!(cluster.status(1).base.index, last.index.previous().unwrap());
    let released = cluster.events.iter().rev().find_map(|event| match event {
        Event::Release { through, .. } => Some(*through),
        _ => None,
    });
    assert_eq!(released, last.index.previous());
}

/// 7: writing it must not delay normal operations, and it shows the state of the moment when it began.
#[test]
fn writing_it_delays_nothing_and_shows_one_moment() {
    let mut cluster = compacting(1);
    cluster.hold(1, Work::Capture, true);
    cluster.propose(1, &["a", "b"]);
    let ticket = cluster.propose(1, &["c"]);
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]));
    cluster.work(1, Work::Capture);
    let files: Vec<_> = cluster.snapshots(1).files().iter().map(|(_, state)| state.clone()).collect();
    assert!(files.contains(&"a;b;".to_owned()), "{files:?}");
}

/// 7: a server that restarts has its snapshot, and applies only what follows it.
#[test]
fn after_a_restart_only_what_follows_the_snapshot_is_applied() {
    let mut cluster = compacting(1);
    cluster.propose(1, &["a", "b"]);
    let last = snapshot(&cluster, 1).unwrap();
    cluster.propose(1, &["c"]);
    cluster.crash(1);
    cluster.events.clear();
    cluster.restart(1);
    assert_eq!(cluster.status(1).applied, last.index);
    cluster.tick(1, 40);
    assert_eq!(state(&mut cluster, 1), "a;b;c;");
    assert_eq!(applied(&cluster, 1), [(Index(5), "c".to_owned())]);
}

/// 7: the leader sends snapshots only when it has discarded the next entry that a follower needs.
#[test]
fn a_snapshot_is_sent_only_when_the_entries_are_gone() {
    let mut cluster = Cluster::with(3, |config| {
        small(config);
        config.limits.retain_entries = 100;
    });
    elect(&mut cluster, 1);
    cluster.isolate(3);
    cluster.propose(1, &["a", "b", "c"]);
    cluster.settle();
    cluster.heal();
    cluster.events.clear();
    spread(&mut cluster, 1);
    assert!(!sent(&cluster).iter().any(is_chunk));
    assert_eq!(state(&mut cluster, 3), "a;b;c;");
}

/// 7: otherwise it must.
#[test]
fn a_follower_that_lags_too_far_is_sent_a_snapshot() {
    let mut cluster = with_a_laggard();
    spread(&mut cluster, 1);
    assert!(sent(&cluster).iter().any(is_chunk));
    assert_eq!(state(&mut cluster, 3), "a;b;c;");
    assert_eq!(cluster.status(3).last, cluster.status(1).last);
}

/// 7: so is a new server.
#[test]
fn a_new_server_is_sent_a_snapshot() {
    let mut cluster = compacting(1);
    cluster.propose(1, &["a", "b", "c"]);
    cluster.join(2, small);
    cluster.change(1, vec![Change::Add { id: NodeId(2), context: "".into(), votes: true }], None);
    spread(&mut cluster, 1);
    assert!(sent(&cluster).iter().any(is_chunk));
    assert_eq!((state(&mut cluster, 2), standing(&cluster, 1, 2)), ("a;b;c;".into(), Some(Standing::Voter)));
}

/// Figure 13: chunks are sent in order, and the follower writes them at their offsets.
#[test]
fn chunks_are_sent_in_order_and_cover_the_whole() {
    let mut cluster = with_a_laggard();
    spread(&mut cluster, 1);
    let (snapshot, _) = cluster.snapshots(3).files().last().cloned().unwrap();
    let mut end = 0;
    for packet in sent(&cluster) {
        let Body::Chunk { snapshot: sent, offset, data } = packet.message.body else { continue };
        if sent == snapshot {
            assert_eq!(offset, end, "without a hole");
            end = offset + data.len() as u64;
        }
    }
    assert_eq!(end, snapshot.size);
}

/// Figure 13, 1: a chunk of an older term is refused at once.
#[test]
fn a_chunk_of_an_older_term_is_refused() {
    let mut cluster = with_a_laggard();
    let (snapshot, data) = of_1(&mut cluster);
    cluster.campaign(2);
    cluster.settle();
    cluster.events.clear();
    let chunk = Body::Chunk { snapshot, offset: 0, data };
    tell_3(&mut cluster, 1, chunk);
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Stale)), [1]);
    assert!(!cluster.events.iter().any(|event| matches!(event, Event::Store { .. })));
}

/// 7: chunks are a sign of life, like heartbeats.
#[test]
fn a_chunk_restarts_the_election_timer() {
    let mut cluster = with_a_laggard();
    until_chunk(&mut cluster);
    cluster.take(|packet| packet.to == 3 && !is_chunk(packet));
    cluster.tick(3, 9);
    cluster.deliver(is_chunk);
    cluster.tick(3, 9);
    assert_eq!((role(&cluster, 3), term(&cluster, 3)), (RoleName::Follower, 1));
}

/// Figure 13, 4: the follower answers each chunk, and waits for more.
#[test]
fn each_chunk_is_answered_until_all_is_there() {
    let mut cluster = with_a_laggard();
    until_chunk(&mut cluster);
    cluster.events.clear();
    cluster.deliver(is_chunk);
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::ChunkReply { have: 2, .. })), [1]);
    assert_eq!(state(&mut cluster, 3), "", "it isn't complete");
}

/// Figure 13, 5: an earlier snapshot that is half there gives way to a newer one.
#[test]
fn a_newer_snapshot_replaces_an_older_half() {
    let mut cluster = with_a_laggard();
    until_chunk(&mut cluster);
    cluster.deliver(is_chunk);
    let (older, _) = cluster.snapshots(3).partial().unwrap();
    cluster.take(|_| true);
    cluster.propose(1, &["d", "e", "f"]);
    cluster.deliver(|packet| packet.to == 2);
    cluster.deliver(|packet| packet.to == 1);
    cluster.turn(1, vec![Input::Capture]);
    let (newer, data) = of_1(&mut cluster);
    assert!(newer.last() > older);
    tell_3(&mut cluster, 1, Body::Chunk { snapshot: newer.clone(), offset: 0, data: data.slice(..2) });
    assert_eq!(cluster.snapshots(3).partial(), Some((newer.last(), 2)));
}

/// Figure 13, 6: if the log has an entry of the index and term of the snapshot's last one, what follows it is retained.
#[test]
fn what_follows_the_snapshot_in_the_log_is_retained() {
    let mut cluster = compacting(3);
    cluster.propose(1, &["a", "b"]);
    cluster.settle();
    let (snapshot, data) = of_1(&mut cluster);
    cluster.propose(1, &["c"]);
    cluster.deliver(|packet| packet.to == 3);
    let before = (cluster.status(3).last, cluster.status(3).commit);
    assert!(before.0.index > snapshot.last().index);
    cluster.events.clear();
    tell_3(&mut cluster, 1, Body::Chunk { snapshot: snapshot.clone(), offset: 0, data });
    assert_eq!(cluster.status(3).last, before.0);
    assert!(cluster.status(3).commit >= before.1.max(snapshot.last().index));
    let matched =
        |body: &Body| matches!(body, Body::Appended { matched } if *matched >= snapshot.last().index);
    assert_eq!(receivers(&cluster, matched), [1], "and answered, so that the leader goes on behind it");
}

/// Figure 13, 7 and 8: otherwise the whole log goes, and the state machine is reset to the snapshot.
#[test]
fn a_conflicting_log_goes_as_a_whole() {
    let mut cluster = compacting(3);
    cluster.isolate(3);
    cluster.campaign(3);
    elect(&mut cluster, 1);
    cluster.propose(1, &["a", "b", "c"]);
    cluster.settle();
    spread(&mut cluster, 1);
    let conflicting = crate::cluster::with_log(3, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 1, None);
    cluster.replace(3, conflicting);
    cluster.heal();
    spread(&mut cluster, 1);
    assert_eq!(cluster.status(3).last, cluster.status(1).last);
    assert_eq!(state(&mut cluster, 3), "a;b;c;");
}

/// Figure 13, 8: the configuration comes with the snapshot.
#[test]
fn the_configuration_comes_with_the_snapshot() {
    let mut cluster = compacting(3);
    cluster.isolate(3);
    cluster.change(1, vec![Change::Update { id: NodeId(2), context: "elsewhere".into() }], None);
    cluster.settle();
    cluster.propose(1, &["a", "b", "c"]);
    cluster.settle();
    cluster.heal();
    spread(&mut cluster, 1);
    assert_eq!(membership(&cluster, 3), membership(&cluster, 1));
    assert!(cluster.status(3).base.index > Index(3), "the entry itself never came");
}

/// 7, and what the disk promises: the acknowledgement and the restore wait until the log's new beginning is durable.
#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    let mut cluster = with_a_laggard();
    until_chunk(&mut cluster);
    cluster.slow(3, true);
    for _ in 0..4 {
        cluster.deliver(|_| true);
    }
    cluster.events.clear();
    assert_eq!(cluster.writes(3).len(), 1, "the new base");
    assert_eq!(state(&mut cluster, 3), "");
    cluster.slow(3, false);
    let (_, restored) = cluster.snapshots(3).files().last().cloned().unwrap();
    assert_eq!(state(&mut cluster, 3), restored);
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Appended { .. })), [1]);
}

/// 7: data flow only from leaders to followers also with snapshots: a candidate's or an old leader's chunk changes nothing.
#[test]
fn only_the_terms_leader_sends_snapshots() {
    let mut cluster = with_a_laggard();
    let (snapshot, data) = of_1(&mut cluster);
    elect(&mut cluster, 2);
    let before = cluster.status(3);
    let (from, term) = (cluster.node(1).stamp(), before.term);
    let body = Body::Chunk { snapshot, offset: 0, data };
    cluster.receive(Packet { from: 1, to: 3, message: Message { from, to: None, term, body } });
    assert_eq!(cluster.status(3).last, before.last);
    assert!(cluster.snapshots(3).partial().is_none());
}

/// Figure 2, persistent state: the term is on the disk before anything that depends on it. What a snapshot covers may have been
/// committed in the newest term: a start that finds the one and not the other would hear leaders that know nothing of it.
#[test]
fn a_snapshot_waits_for_the_term() {
    let mut cluster = compacting(3);
    cluster.propose(1, &["a", "b", "c"]);
    cluster.settle();
    cluster.cut(1, 3);
    spread(&mut cluster, 1);
    let before = snapshot(&cluster, 3);
    cluster.slow(3, true);
    cluster.transfer(1, Some(2));
    cluster.settle();
    let status = cluster.status(3);
    assert!(term(&cluster, 3) == 2 && status.applied > before.unwrap_or_default().index, "{status:?}");
    assert_eq!((cluster.durable(3).hard.term, snapshot(&cluster, 3)), (Term(1), before));
    cluster.slow(3, false);
    assert_eq!(cluster.durable(3).hard.term, Term(2));
    assert!(snapshot(&cluster, 3) > before);
}
