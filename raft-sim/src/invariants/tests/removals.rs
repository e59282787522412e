//! Who halts because it is no member any more, or not with its disk; and who is told so.

use super::super::{commit_told, removal, rollback};
use super::logs::with_a_commit;
use super::members::{ADD, led, removed};
use super::*;
use raft_core::{Boot, Change, Report};

#[test]
fn who_was_removed_halts_and_nobody_else() {
    removed().halt(3, &Report::Removed { at: Index(5) }).unwrap();
    falls(removed().halt(3, &Report::Removed { at: Index(4) }), removal::NAME);
    falls(removed().halt(3, &Report::Removed { at: Index(6) }), removal::NAME);
    falls(removed().halt(2, &Report::Removed { at: Index(5) }), removal::NAME);
    let lost = Report::LostAcknowledged { commit: Index(4), last: EntryId::ORIGIN };
    falls(removed().halt(3, &lost), removal::HALTS);
}

/// Who was away hears of the newest configuration only, and so does a founder that has not founded yet.
#[test]
fn who_was_away_for_several_configurations_halts_all_the_same() {
    let mut stage = led();
    stage.change(1, Change::Replace { id: NodeId(3), context: None }).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.leave(1).unwrap();
    stage.settle(1, &[2]).unwrap();
    let mut again = stage.clone();
    again.seat(3, 301).unwrap();
    again.record(1, 3, 301).unwrap();
    again.settle(1, &[2]).unwrap();
    again.change(1, ADD).unwrap();
    again.settle(1, &[2]).unwrap();
    falls(again.clone().halt(3, &Report::Removed { at: Index(5) }), removal::NAME);
    again.actor(3).stamp.disk = DiskId(300);
    again.start(3).unwrap();
    again.halt(3, &Report::Removed { at: Index(5) }).unwrap();
    let off = Report::NotOnRecord { disk: DiskId(300), on_record: None, told_by: NodeId(1) };
    removed().halt(3, &off).unwrap();
}

/// Word of the removal of the disk before it reaches a new one late.
#[test]
fn an_old_removal_is_none_of_a_new_disk() {
    let mut stage = removed();
    stage.crash(3, 0).unwrap();
    let add = Change::Add { id: NodeId(3), context: Bytes::new(), votes: false };
    stage.change(1, add).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.seat(3, 301).unwrap();
    stage.record(1, 3, 301).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.halt(3, &Report::Removed { at: Index(5) }), removal::NAME);
}

#[test]
fn who_is_not_on_record_halts_and_nobody_else() {
    let off = |disk| Report::NotOnRecord { disk: DiskId(disk), on_record: None, told_by: NodeId(1) };
    falls(removed().halt(2, &off(200)), removal::NAME);
    let mut stage = led();
    stage.change(1, Change::Replace { id: NodeId(3), context: None }).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.halt(3, &off(301)), removal::NAME);
    stage.halt(3, &off(300)).unwrap();
}

#[test]
fn telling_a_member_that_it_is_none_is_reported() {
    let tell = |to: u64, at: u64| removed().send(1, to, Body::Removed { at: Index(at) });
    tell(3, 5).unwrap();
    falls(tell(3, 6), removal::NAME);
    let mut stage = led();
    stage.change(1, ADD).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.send(1, 4, Body::Removed { at: Index(2) }), removal::NAME);
}

/// A disk that was put back may say what it likes, but not lead; and nobody else is told that his was.
#[test]
fn a_disk_that_was_put_back_never_leads() {
    let report = Report::RolledBack { boot: Boot(1), seen: Boot(2), told_by: NodeId(1) };
    falls(led().halt(3, &report), rollback::NAME);
    let mut stage = led();
    stage.crash(3, 0).unwrap();
    stage.tell(&Fact::RolledBack { node: NodeId(3) }).unwrap();
    falls(stage.clone().lead(3), rollback::NAME);
    stage.vote(3, 2, 1).unwrap();
    stage.halt(3, &report).unwrap();
    stage.seat(3, 301).unwrap();
    falls(stage.halt(3, &report), rollback::NAME);
}

/// A paused follower goes by what a server said before its disk was put back: of a boot that doesn't begin again (seed 5042699), and of
/// one that does (13001780).
#[test]
fn words_from_before_a_disk_was_put_back_are_gone_by() {
    let commits = |boot: Option<u64>| {
        let mut stage = with_a_commit();
        let mut word = stage.message(1, 2, 1, Body::Heartbeat { commit: Index(2), round: Round(0) });
        (0..2).for_each(|_| stage.restart(1, 0).unwrap());
        stage.send(1, 3, Body::Stale).unwrap();
        stage.crash(1, 0).unwrap();
        stage.tell(&Fact::RolledBack { node: NodeId(1) }).unwrap();
        stage.actor(1).stamp.boot = Boot(1);
        stage.start(1).unwrap();
        if let Some(boot) = boot {
            word.from.boot = Boot(boot);
            stage.tell(&Fact::Received { node: NodeId(2), from: NodeId(1), message: &word }).unwrap();
        }
        stage.actor(2).status.commit = Index(2);
        stage.step(2)
    };
    commits(Some(1)).unwrap();
    commits(Some(2)).unwrap();
    falls(commits(None), commit_told::NAME);
}
