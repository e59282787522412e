//! Disks: what is durable stays, nothing is promised before, and every process speaks as itself.

use super::super::{ledger, monotone, one_vote, promises, receipts, recovery};
use super::*;
use crate::coverage::Mark;
use raft_core::Ballot;

/// Node 1 leads term 1 with its no-op durable and two commands in flight, in two writes.
fn in_flight() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.append(1, vec![entry(1, 3, "b")]).unwrap();
    stage
}

#[test]
fn recovery_may_keep_any_run_of_what_was_in_flight() {
    for surviving in 0..=2 {
        let mut stage = in_flight();
        stage.restart(1, surviving).unwrap();
        let coverage = stage.judges.coverage();
        assert_eq!(coverage.count(Mark::CrashLostWrite), u64::from(surviving < 2));
        assert_eq!(coverage.count(Mark::CrashKeptWrite), u64::from(surviving > 0));
    }
}

#[test]
fn a_receipt_covers_no_earlier_write() {
    let mut stage = in_flight();
    let newest = stage.actor(1).number;
    stage.tell(&Fact::Synced { node: NodeId(1), through: newest }).unwrap();
    stage.tell(&Fact::Confirmed { node: NodeId(1), number: newest }).unwrap();
    stage.actor(1).status.durable = Index(1);
    stage.step(1).unwrap();
    let mut early = stage.clone();
    early.actor(1).status.durable = Index(3);
    falls(early.step(1), receipts::NAME);
    stage.tell(&Fact::Confirmed { node: NodeId(1), number: newest - 1 }).unwrap();
    stage.actor(1).status.durable = Index(3);
    stage.step(1).unwrap();
}

#[test]
fn recovery_that_loses_a_durable_entry_is_reported() {
    let mut stage = in_flight();
    stage.crash(1, 0).unwrap();
    stage.actor(1).image.entries.clear();
    falls(stage.start(1), ledger::RECOVERY);
}

#[test]
fn recovery_that_loses_a_durable_vote_is_reported() {
    let mut stage = in_flight();
    stage.crash(1, 2).unwrap();
    stage.actor(1).image.hard.vote = None;
    falls(stage.start(1), ledger::RECOVERY);
}

#[test]
fn recovery_that_keeps_a_later_write_without_an_earlier_one_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    let hard = stage.actor(1).adopt(2, None);
    stage.write(1, Update { hard: Some(hard), ..Update::default() }).unwrap();
    stage.crash(1, 0).unwrap();
    stage.actor(1).image.hard = hard;
    falls(stage.start(1), ledger::RECOVERY);
}

#[test]
fn recovery_that_makes_up_an_entry_is_reported() {
    let mut stage = in_flight();
    stage.crash(1, 2).unwrap();
    stage.actor(1).image.entries[2] = entry(1, 3, "torn");
    falls(stage.start(1), ledger::RECOVERY);
}

#[test]
fn what_recovery_gave_is_durable_from_then_on() {
    let mut stage = in_flight();
    stage.restart(1, 2).unwrap();
    stage.crash(1, 0).unwrap();
    stage.actor(1).image.entries.truncate(1);
    falls(stage.start(1), ledger::RECOVERY);
}

#[test]
fn a_process_that_speaks_as_an_earlier_one_is_reported() {
    let mut stage = in_flight();
    stage.crash(1, 0).unwrap();
    stage.actor(1).stamp.boot.0 -= 1;
    falls(stage.start(1), recovery::STAMP);
}

#[test]
fn a_boot_that_never_spoke_may_be_used_again() {
    let mut stage = Stage::new(3);
    stage.crash(1, 0).unwrap();
    stage.actor(1).stamp.boot.0 -= 1;
    stage.start(1).unwrap();
}

#[test]
fn a_message_before_the_boot_is_durable_or_with_another_stamp_is_reported() {
    let ask = Body::PreVote { last: EntryId::ORIGIN, recorded: true };
    let mut stage = Stage::new(3);
    stage.crash(1, 0).unwrap();
    let (stamp, recovered) =
        (Stamp { boot: raft_core::Boot(2), ..stage.actor(1).stamp }, stage.actor(1).image.clone());
    stage.tell(&Fact::Started { node: NodeId(1), stamp, recovered: &recovered, joins: false }).unwrap();
    falls(stage.send(1, 2, ask.clone()), promises::NAME);
    stage.actor(1).stamp = stamp;
    falls(stage.send(1, 2, ask), promises::NAME);
}

#[test]
fn an_acknowledgement_before_its_write_is_durable_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(2, vec![Entry::new(EntryId::new(1, 1), Payload::Noop)]).unwrap();
    let early = stage.send(2, 1, Body::Appended { matched: Index(1) });
    falls(early, promises::NAME);
    stage.sync(2).unwrap();
    stage.send(2, 1, Body::Appended { matched: Index(1) }).unwrap();
}

/// An empty or repeated append is acknowledged only once the term is durable: before, a crash could bring the older
/// term back, and with it a leader that truncates.
#[test]
fn an_acknowledgement_before_its_term_is_durable_is_reported() {
    let mut stage = Stage::new(5);
    stage.elect(1, &[2, 3], 1);
    stage.follow(3, 1).unwrap();
    stage.elect(2, &[4, 5], 2);
    let hard = Some(stage.actor(3).adopt(2, None));
    stage.step(3).unwrap();
    stage.write(3, Update { hard, ..Update::default() }).unwrap();
    falls(stage.send(3, 2, Body::Appended { matched: Index(0) }), promises::NAME);
}

#[test]
fn an_acknowledgement_of_a_term_that_is_durably_over_may_leave_late() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(3, vec![]).unwrap();
    stage.adopt(3, 2, None).unwrap();
    stage.send_in(3, 1, 1, Body::Appended { matched: Index(1) }).unwrap();
}

#[test]
fn what_promises_nothing_leaves_at_once() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    let noop = Entry::new(EntryId::new(1, 1), Payload::Noop);
    let append = Body::Append { slice: slice(EntryId::ORIGIN, vec![noop]), commit: Index(0) };
    stage.send(1, 2, append).unwrap();
    stage.actor(3).status.term = Term(9);
    stage.step(3).unwrap();
    stage.send(3, 1, Body::VoteReply { answer: Ballot::Refused }).unwrap();
    stage.send(3, 1, Body::Conflict { asked: EntryId::new(1, 1), hint: EntryId::ORIGIN }).unwrap();
    stage.send(3, 1, Body::Stale).unwrap();
}

#[test]
fn writes_are_numbered_and_follow_each_other() {
    let mut stage = Stage::new(1);
    stage.actor(1).number += 1;
    falls(stage.write(1, Update::default()), ledger::WRITE_ORDER);
    let mut gap = Stage::new(1);
    gap.write(1, Update { entries: vec![entry(1, 2, "a")], ..Update::default() }).unwrap();
    falls(gap.sync(1), ledger::WRITE_ORDER);
}

#[test]
fn a_disk_never_takes_an_older_term_or_another_vote() {
    let hard = |term, vote: Option<u64>| {
        let vote = vote.map(NodeId);
        Update {
            hard: Some(HardState { term: Term(term), vote, boot: raft_core::Boot(1) }),
            ..Update::default()
        }
    };
    let with_vote = || {
        let mut stage = Stage::new(3);
        stage.write_durably(1, hard(3, Some(2))).unwrap();
        stage
    };
    with_vote().write_durably(1, hard(4, None)).unwrap();
    falls(with_vote().write_durably(1, hard(2, None)), monotone::TERM);
    falls(with_vote().write_durably(1, hard(3, Some(3))), one_vote::NAME);
    falls(with_vote().write_durably(1, hard(3, None)), one_vote::NAME);
}
