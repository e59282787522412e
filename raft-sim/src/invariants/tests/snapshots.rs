//! Snapshots: what is in them, in which order they become what the log stands on, and how much log they leave.

use super::super::{bounds, commit_told, configurations, ledger, monotone, promises, snapshots, tickets};
use super::members::{ADD, led};
use super::*;
use crate::coverage::Mark;
use crate::facts::{Action, register_digest};
use raft_core::{Answer, Snapshot, Ticket};

fn put(term: u64, index: u64, key: u64, value: u64) -> Entry {
    let command = Action::Put { key, value }.command(0, 0, None).unwrap();
    Entry::new(EntryId::new(term, index), Payload::Command(command))
}

/// Node 1 leads term 1; a key is put at index 2 and again at 3, both committed there and applied on nodes 1 and 2.
fn stored() -> Stage {
    put_on(led(), 1)
}

/// .. behind the first entry of this term.
fn put_on(mut stage: Stage, term: u64) -> Stage {
    stage.append(1, vec![put(term, 2, 5, 50), put(term, 3, 5, 51)]).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.commit(2, 3).unwrap();
    for node in [1, 2] {
        for index in 1..=3 {
            stage.apply(node, index).unwrap();
        }
        stage.actor(node).status.applied = Index(3);
        stage.step(node).unwrap();
    }
    stage
}

fn digest(value: u64) -> u64 {
    register_digest(5, value)
}

impl Stage {
    /// The snapshot that a node's log stands for at an index.
    fn snapshot(&mut self, node: u64, index: u64) -> Snapshot {
        let base = self.actor(node).log.base_at(Index(index)).unwrap();
        Snapshot { base, size: 8, digest: 0 }
    }

    fn capturing(&mut self, node: u64, base: &Base, machine: u64) -> Verdict {
        self.tell(&Fact::Capturing { node: NodeId(node), base, machine })
    }

    /// A node captures its application at index 3, and knows of it.
    fn capture(&mut self, node: u64) -> Verdict {
        let snapshot = self.snapshot(node, 3);
        self.capturing(node, &snapshot.base, digest(51))?;
        self.tell(&Fact::Captured { node: NodeId(node), snapshot: &snapshot })?;
        self.actor(node).status.snapshot = Some(snapshot.last());
        self.actor(node).image.snapshot = Some(snapshot);
        self.step(node)
    }

    fn stores(&mut self, node: u64, snapshot: &Snapshot) -> Verdict {
        self.tell(&Fact::Stored { node: NodeId(node), snapshot })
    }

    /// A turn puts a snapshot in the place of the log, and writes that.
    fn install(&mut self, node: u64, snapshot: &Snapshot) -> Verdict {
        let actor = self.actor(node);
        actor.log = Log::new(Some(&snapshot.base));
        actor.status.snapshot = Some(snapshot.last());
        actor.status.commit = snapshot.last().index;
        let message = self.message(
            1,
            node,
            1,
            Body::Chunk { snapshot: snapshot.clone(), offset: 0, data: Bytes::from_static(&[0; 8]) },
        );
        self.tell(&Fact::Received { node: NodeId(node), from: NodeId(1), message: &message })?;
        self.step(node)?;
        self.write(node, Update { base: Some(snapshot.base.clone()), ..Update::default() })
    }

    fn restore(&mut self, node: u64, snapshot: &Snapshot, machine: u64) -> Verdict {
        self.tell(&Fact::Restored { node: NodeId(node), snapshot, machine })
    }

    fn release(&mut self, node: u64, through: u64) -> Verdict {
        self.tell(&Fact::Released { node: NodeId(node), through: Index(through) })
    }
}

#[test]
fn a_snapshot_of_the_canonical_prefix_is_accepted() {
    let mut stage = stored();
    stage.capture(1).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::Snapshots), 1);
}

#[test]
fn a_snapshot_of_anything_else_is_reported() {
    let with = |change: fn(&mut Base), machine| {
        let mut stage = stored();
        let mut base = stage.snapshot(1, 3).base;
        change(&mut base);
        stage.capturing(1, &base, machine)
    };
    with(|_| (), digest(51)).unwrap();
    falls(with(|_| (), digest(50)), snapshots::CONTENT);
    falls(with(|_| (), digest(50).wrapping_add(digest(51))), snapshots::CONTENT);
    falls(with(|base| base.hash ^= 1, digest(51)), snapshots::CONTENT);
    falls(with(|base| base.id.term = Term(2), digest(51)), snapshots::CONTENT);
    let fewer = |base: &mut Base| base.membership = Membership::founders([NodeId(1)]).unwrap();
    falls(with(fewer, digest(51)), snapshots::CONTENT);
    // Its place in the stream is behind index 3.
    let mut early = stored();
    let base = early.snapshot(1, 2).base;
    falls(early.capturing(1, &base, digest(50)), snapshots::CONTENT);
    let mut unasked = stored();
    let snapshot = unasked.snapshot(1, 3);
    falls(unasked.tell(&Fact::Captured { node: NodeId(1), snapshot: &snapshot }), snapshots::CONTENT);
}

#[test]
fn a_snapshot_is_installed_in_its_order() {
    let mut stage = stored();
    stage.capture(1).unwrap();
    let snapshot = stage.snapshot(1, 3);
    stage.adopt(3, 1, None).unwrap();
    stage.stores(3, &snapshot).unwrap();
    stage.install(3, &snapshot).unwrap();
    let matched = Body::Appended { matched: Index(3) };
    falls(stage.clone().send(3, 1, matched.clone()), promises::NAME);
    falls(stage.clone().restore(3, &snapshot, digest(51)), snapshots::ORDER);
    stage.sync(3).unwrap();
    stage.send(3, 1, matched).unwrap();
    falls(stage.clone().restore(3, &snapshot, digest(50)), snapshots::CONTENT);
    stage.restore(3, &snapshot, digest(51)).unwrap();
    // Applies go on behind it.
    stage.append(1, vec![put(1, 4, 6, 60)]).unwrap();
    stage.settle(1, &[2, 3]).unwrap();
    stage.commit(3, 4).unwrap();
    stage.apply(3, 4).unwrap();
    falls(stage.apply(3, 4), monotone::COMMIT);
    assert_eq!(stage.judges.coverage().count(Mark::SnapshotsInstalled), 1);
}

#[test]
fn a_base_without_its_snapshot_is_reported() {
    let mut stage = stored();
    let snapshot = stage.snapshot(1, 3);
    stage.adopt(3, 1, None).unwrap();
    falls(stage.install(3, &snapshot), snapshots::ORDER);
}

#[test]
fn a_snapshot_that_nobody_sent_commits_nothing() {
    let mut stage = stored();
    let snapshot = stage.snapshot(1, 3);
    stage.adopt(3, 1, None).unwrap();
    stage.actor(3).log = Log::new(Some(&snapshot.base));
    stage.actor(3).status.commit = Index(3);
    falls(stage.step(3), commit_told::NAME);
}

#[test]
fn a_log_that_begins_with_another_configuration_is_reported() {
    let mut stage = stored();
    let mut snapshot = stage.snapshot(1, 3);
    stage.adopt(3, 1, None).unwrap();
    snapshot.base.membership = snapshot.base.membership.change(&[ADD]).unwrap();
    falls(stage.clone().stores(3, &snapshot), snapshots::CONTENT);
    falls(stage.install(3, &snapshot), configurations::IN_FORCE);
}

#[test]
fn a_log_is_released_only_behind_a_snapshot() {
    let mut stage = stored();
    falls(stage.clone().release(1, 1), snapshots::ORDER);
    stage.capture(1).unwrap();
    falls(stage.clone().release(1, 4), snapshots::ORDER);
    stage.release(1, 2).unwrap();
}

/// The disk forgets whole files, and late.
#[test]
fn a_log_may_begin_anywhere_up_to_what_was_released() {
    let restarted = |begins: u64| {
        let mut stage = stored();
        stage.capture(1).unwrap();
        stage.release(1, 2).unwrap();
        stage.crash(1, 0).unwrap();
        let log = stage.actor(1).log.clone();
        let image = &mut stage.actor(1).image;
        image.base = log.base_at(Index(begins));
        image.entries.retain(|entry| entry.index() > Index(begins));
        let started = stage.start(1);
        (stage, started)
    };
    for begins in 0..=2 {
        let (mut stage, started) = restarted(begins);
        started.unwrap();
        assert_eq!(stage.judges.coverage().count(Mark::StartedFromSnapshot), 1);
        // It doesn't know index 4 yet; what it knows goes on.
        falls(stage.apply(1, 3), monotone::COMMIT);
    }
    falls(restarted(3).1, ledger::RECOVERY);
}

#[test]
fn a_log_without_its_beginning_needs_a_snapshot() {
    let mut stage = stored();
    stage.capture(1).unwrap();
    stage.release(1, 2).unwrap();
    stage.crash(1, 0).unwrap();
    let log = stage.actor(1).log.clone();
    let image = &mut stage.actor(1).image;
    image.base = log.base_at(Index(2));
    image.entries.retain(|entry| entry.index() > Index(2));
    image.snapshot = None;
    falls(stage.start(1), snapshots::ORDER);
}

#[test]
fn a_start_begins_with_what_its_snapshot_covers() {
    let mut stage = stored();
    stage.capture(1).unwrap();
    stage.crash(1, 0).unwrap();
    let recovered = stage.actor(1).image.clone();
    stage.actor(1).stamp.boot.0 += 1;
    let stamp = stage.actor(1).stamp;
    stage.tell(&Fact::Started { node: NodeId(1), stamp, recovered: &recovered, joins: false }).unwrap();
    stage.actor(1).status = status(NodeId(1), HardState { boot: stamp.boot, ..recovered.hard });
    falls(stage.step(1), monotone::COMMIT);
}

#[test]
fn a_part_of_a_snapshot_that_never_was_is_reported() {
    let mut stage = stored();
    let snapshot = stage.snapshot(1, 3);
    let chunk = Body::Chunk { snapshot, offset: 0, data: Bytes::new() };
    falls(stage.clone().send(1, 3, chunk.clone()), snapshots::CONTENT);
    stage.capture(1).unwrap();
    stage.send(1, 3, chunk).unwrap();
}

/// A compacted log goes on as before: nothing was removed from its end, and a leader may do it.
#[test]
fn a_log_may_begin_later_but_never_earlier() {
    let mut stage = stored();
    stage.capture(1).unwrap();
    let whole = stage.actor(1).log.clone();
    stage.actor(1).log.compact(Index(2));
    stage.step(1).unwrap();
    stage.append(1, vec![put(1, 4, 6, 60)]).unwrap();
    stage.settle(1, &[2]).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::CompactedLogs), 1);
    stage.actor(1).log = whole;
    falls(stage.step(1), monotone::BASE);
}

#[test]
fn an_answer_is_unknown_only_if_a_snapshot_came_over_it() {
    let mut stage = Stage::new(3);
    let command = Bytes::from_static(b"x");
    stage.elect(3, &[2], 1);
    stage.tell(&Fact::Proposed { node: NodeId(3), ticket: Ticket(7), command: &command }).unwrap();
    stage.append(3, vec![entry(1, 2, "x")]).unwrap();
    stage.sync(3).unwrap();
    stage.elect(1, &[2], 2);
    let mut stage = put_on(stage, 2);
    stage.capture(1).unwrap();
    let snapshot = stage.snapshot(1, 3);
    stage.adopt(3, 2, None).unwrap();
    let answer = Fact::Answered { node: NodeId(3), ticket: Ticket(7), answer: Answer::Unknown };
    falls(stage.clone().tell(&answer), tickets::NAME);
    stage.stores(3, &snapshot).unwrap();
    stage.install(3, &snapshot).unwrap();
    stage.tell(&answer).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::UnknownAnswers), 1);
}

fn limited(limits: Limits) -> Stage {
    let mut stage = Stage::with(Rules { limits, ..rules(1) });
    stage.elect(1, &[], 1);
    stage
}

#[test]
fn more_parts_at_a_disk_than_allowed_are_reported() {
    let mut stage = limited(Limits { inflight_chunks: 1, chunk_bytes: 2, ..Limits::default() });
    let storing = Fact::Storing { node: NodeId(1) };
    // A window, and a question.
    stage.tell(&storing).unwrap();
    stage.tell(&storing).unwrap();
    stage.tell(&Fact::StoreAnswered { node: NodeId(1) }).unwrap();
    stage.tell(&storing).unwrap();
    falls(stage.clone().tell(&storing), bounds::NAME);
    let fetching = |bytes| Fact::Fetching { node: NodeId(1), to: NodeId(1), bytes };
    falls(stage.clone().tell(&fetching(3)), bounds::NAME);
    for _ in 0..4 {
        stage.tell(&fetching(2)).unwrap();
    }
    // What is not there any more is not on its way (seed 22047103).
    stage.tell(&Fact::Unread { node: NodeId(1), to: NodeId(1) }).unwrap();
    stage.tell(&fetching(2)).unwrap();
    falls(stage.tell(&fetching(2)), bounds::NAME);
}

#[test]
fn a_log_that_grows_without_a_snapshot_is_reported() {
    let grown = |entries: u64, captures: bool, in_doubt: bool| {
        let mut stage = limited(Limits { snapshot_entries: 1, ..Limits::default() });
        let update = raft_core::Change::Update { id: NodeId(1), context: Bytes::from_static(b"a:1") };
        stage.settle(1, &[]).unwrap();
        stage.change(1, update).unwrap();
        stage.append(1, (3..=entries).map(|index| put(1, index, 5, index)).collect()).unwrap();
        stage.settle(1, &[]).unwrap();
        for index in 1..=entries {
            stage.apply(1, index).unwrap();
        }
        if in_doubt {
            let hard = Some(stage.actor(1).image.hard);
            stage.write(1, Update { hard, ..Update::default() }).unwrap();
        }
        stage.actor(1).status.applied = Index(entries);
        stage.step(1).unwrap();
        if captures {
            let base = stage.snapshot(1, entries).base;
            stage.capturing(1, &base, digest(entries)).unwrap();
        }
        stage.step(1)
    };
    grown(4, false, false).unwrap();
    grown(5, true, false).unwrap();
    falls(grown(5, false, false), bounds::NAME);
    // The term has to be durable first.
    grown(5, false, true).unwrap();
}
