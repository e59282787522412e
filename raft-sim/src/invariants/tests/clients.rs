//! Tickets, reads, limits, halts and what a healed cluster owes.

use super::super::{bounds, liveness, promises, reads, removal, tickets};
use super::*;
use crate::coverage::Mark;
use crate::facts::Room;
use raft_core::{Answer, DiskId, Limit, Report, Round, Ticket};

impl Stage {
    fn propose(&mut self, node: u64, ticket: u64, text: &'static str) -> Verdict {
        let command = Bytes::from_static(text.as_bytes());
        self.tell(&Fact::Proposed { node: NodeId(node), ticket: Ticket(ticket), command: &command })
    }

    fn read(&mut self, node: u64, ticket: u64) -> Verdict {
        self.tell(&Fact::ReadAsked { node: NodeId(node), ticket: Ticket(ticket), lease: false })
    }

    pub(super) fn answer(&mut self, node: u64, ticket: u64, answer: Answer) -> Verdict {
        self.tell(&Fact::Answered { node: NodeId(node), ticket: Ticket(ticket), answer })
    }

    /// A leader begins a round, and these followers answer it.
    pub(super) fn round(&mut self, leader: u64, round: u64, followers: &[u64]) -> Verdict {
        let round = Round(round);
        for node in followers {
            self.send(leader, *node, Body::Heartbeat { commit: Index(0), round })?;
            self.send(*node, leader, Body::HeartbeatReply { round })?;
        }
        Ok(())
    }
}

const NOT_LEADER: Answer = Answer::NotLeader { leader: None };
const BUSY: Answer = Answer::Busy(Limit::UncommittedBytes);

/// Node 1 leads term 1; "a" was proposed to it with ticket 7 and stands at index 2, durable on nodes 1 and 2, not
/// committed.
fn proposed() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.propose(1, 7, "a").unwrap();
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage
}

fn committed() -> Stage {
    let mut stage = proposed();
    stage.commit(1, 2).unwrap();
    stage
}

#[test]
fn a_committed_command_is_answered_once() {
    let mut stage = committed();
    let answer = Answer::Committed(EntryId::new(1, 2));
    stage.answer(1, 7, answer).unwrap();
    falls(stage.answer(1, 7, answer), tickets::NAME);
    falls(committed().answer(1, 8, answer), tickets::NAME);
}

#[test]
fn an_answer_before_the_commit_is_reported() {
    falls(proposed().answer(1, 7, Answer::Committed(EntryId::new(1, 2))), tickets::NAME);
}

#[test]
fn an_answer_with_another_entry_is_reported() {
    falls(committed().answer(1, 7, Answer::Committed(EntryId::new(1, 1))), tickets::NAME);
    let mut equal = Stage::new(1);
    equal.elect(1, &[], 1);
    equal.propose(1, 7, "same").unwrap();
    equal.append(1, vec![entry(1, 2, "same")]).unwrap();
    equal.propose(1, 8, "same").unwrap();
    equal.append(1, vec![entry(1, 3, "same")]).unwrap();
    equal.sync(1).unwrap();
    equal.commit(1, 3).unwrap();
    falls(equal.answer(1, 8, Answer::Committed(EntryId::new(1, 2))), tickets::NAME);
}

#[test]
fn an_entry_is_given_to_one_ticket_only() {
    let mut stage = Stage::new(1);
    stage.elect(1, &[], 1);
    stage.propose(1, 7, "same").unwrap();
    stage.propose(1, 8, "same").unwrap();
    stage.append(1, vec![entry(1, 2, "same")]).unwrap();
    stage.sync(1).unwrap();
    stage.commit(1, 2).unwrap();
    stage.answer(1, 7, Answer::Committed(EntryId::new(1, 2))).unwrap();
    falls(stage.answer(1, 8, Answer::Committed(EntryId::new(1, 2))), tickets::NAME);
}

#[test]
fn an_answer_before_its_node_holds_the_entry_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.propose(1, 7, "a").unwrap();
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.follow(2, 1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.commit(1, 2).unwrap();
    falls(stage.answer(1, 7, Answer::Committed(EntryId::new(1, 2))), promises::NAME);
}

#[test]
fn a_refusal_of_what_was_appended_is_reported() {
    falls(proposed().answer(1, 7, NOT_LEADER), tickets::NAME);
    falls(proposed().answer(1, 7, BUSY), tickets::NAME);
    falls(proposed().answer(1, 7, Answer::Unknown), tickets::NAME);
    falls(proposed().answer(1, 7, Answer::ReadAt(Index(2))), tickets::NAME);
}

#[test]
fn of_equal_commands_in_a_turn_any_may_be_the_refused_one() {
    for refused in [7, 8] {
        let mut stage = Stage::new(3);
        stage.elect(1, &[2], 1);
        stage.propose(1, 7, "").unwrap();
        stage.propose(1, 8, "").unwrap();
        stage.append(1, vec![entry(1, 2, "")]).unwrap();
        stage.answer(1, refused, BUSY).unwrap();
    }
}

#[test]
fn lost_before_another_entry_is_committed_there_is_reported() {
    falls(proposed().answer(1, 7, Answer::Lost), tickets::NAME);
    falls(committed().answer(1, 7, Answer::Lost), tickets::NAME);
}

/// The new leader's no-op takes the command's place.
#[test]
fn lost_once_another_entry_is_committed_there_is_true() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.propose(1, 7, "a").unwrap();
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    stage.elect(3, &[2], 2);
    stage.append(3, vec![entry(2, 2, "b")]).unwrap();
    stage.sync(3).unwrap();
    stage.follow(2, 3).unwrap();
    stage.commit(3, 2).unwrap();
    stage.follow(1, 3).unwrap();
    stage.answer(1, 7, Answer::Lost).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::LostAnswers), 1);
}

#[test]
fn a_crash_and_a_halt_end_what_a_node_owes() {
    let mut stage = proposed();
    stage.restart(1, 0).unwrap();
    falls(stage.answer(1, 7, Answer::Lost), tickets::NAME);
    let mut halted = proposed();
    halted.actor(1).status.halted = true;
    halted.actor(1).status.role = RoleName::Follower;
    halted.step(1).unwrap();
    halted.answer(1, 7, Answer::Unknown).unwrap();
}

/// Node 1 leads and has told a client of index 2; then the given node is asked to read.
fn asked_to_read(node: u64) -> Stage {
    let mut stage = committed();
    stage.answer(1, 7, Answer::Committed(EntryId::new(1, 2))).unwrap();
    stage.round(1, 4, &[2]).unwrap();
    stage.read(node, 8).unwrap();
    stage
}

#[test]
fn a_read_is_answered_after_its_round() {
    let mut stage = asked_to_read(1);
    stage.round(1, 5, &[2]).unwrap();
    stage.answer(1, 8, Answer::ReadAt(Index(2))).unwrap();
    falls(asked_to_read(1).answer(1, 8, Answer::ReadAt(Index(2))), reads::ROUND);
}

#[test]
fn a_read_goes_on_when_a_quorum_is_full() {
    let mut stage = committed();
    for (round, full, seen) in [(1, 1, 0), (2, 3, 1), (3, 2, 2)] {
        stage.tell(&Fact::Looked { node: NodeId(full), room: Room::Short }).unwrap();
        stage.read(1, 8 + round).unwrap();
        stage.round(1, round, &[2]).unwrap();
        stage.answer(1, 8 + round, Answer::ReadAt(Index(2))).unwrap();
        assert_eq!(stage.judges.coverage().count(Mark::ReadWhenFull), seen);
    }
    stage.tell(&Fact::Looked { node: NodeId(1), room: Room::Enough }).unwrap();
    stage.read(1, 12).unwrap();
    stage.round(1, 4, &[2]).unwrap();
    stage.answer(1, 12, Answer::ReadAt(Index(2))).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::ReadWhenFull), 2);
}

#[test]
fn an_election_is_seen_that_a_server_wins_in_its_reserve() {
    for (room, seen) in [(Room::Short, 0), (Room::InReserve, 1)] {
        let mut stage = Stage::new(3);
        stage.tell(&Fact::Looked { node: NodeId(1), room }).unwrap();
        stage.elect(1, &[2], 1);
        assert_eq!(stage.judges.coverage().count(Mark::ElectedOnReserve), seen);
    }
}

#[test]
fn the_late_answer_to_an_earlier_round_changes_nothing() {
    let mut stage = asked_to_read(1);
    stage.round(1, 5, &[2]).unwrap();
    stage.send(2, 1, Body::HeartbeatReply { round: Round(3) }).unwrap();
    stage.answer(1, 8, Answer::ReadAt(Index(2))).unwrap();
}

#[test]
fn a_read_below_what_is_known_is_reported() {
    let mut stage = asked_to_read(1);
    stage.round(1, 5, &[2]).unwrap();
    falls(stage.answer(1, 8, Answer::ReadAt(Index(1))), reads::NAME);
    let mut beyond = asked_to_read(1);
    beyond.round(1, 5, &[2]).unwrap();
    falls(beyond.answer(1, 8, Answer::ReadAt(Index(3))), reads::NAME);
}

#[test]
fn a_read_below_what_another_read_saw_is_reported() {
    let mut stage = committed();
    stage.read(1, 8).unwrap();
    stage.read(1, 9).unwrap();
    stage.round(1, 1, &[2]).unwrap();
    stage.answer(1, 8, Answer::ReadAt(Index(2))).unwrap();
    // It was asked before the other was answered: it may see less.
    stage.answer(1, 9, Answer::ReadAt(Index(1))).unwrap();
    stage.read(1, 10).unwrap();
    stage.round(1, 2, &[2]).unwrap();
    falls(stage.answer(1, 10, Answer::ReadAt(Index(1))), reads::NAME);
}

#[test]
fn a_read_before_the_first_own_commit_is_reported() {
    let mut stage = committed();
    stage.commit(2, 2).unwrap();
    stage.elect(2, &[3], 2);
    stage.read(2, 8).unwrap();
    stage.round(2, 1, &[3]).unwrap();
    falls(stage.answer(2, 8, Answer::ReadAt(Index(2))), reads::OWN_TERM);
    let mut follower = asked_to_read(2);
    falls(follower.answer(2, 8, Answer::ReadAt(Index(2))), reads::OWN_TERM);
}

#[test]
fn a_read_is_refused_and_not_lost() {
    asked_to_read(2).answer(2, 8, NOT_LEADER).unwrap();
    falls(asked_to_read(2).answer(2, 8, Answer::Lost), tickets::NAME);
}

fn limited(limits: Limits) -> Stage {
    let mut stage = Stage::with(Rules { limits, ..rules(1) });
    stage.elect(1, &[], 1);
    stage
}

#[test]
fn uncommitted_bytes_beyond_the_limit_are_reported() {
    let limits = Limits { uncommitted_bytes: 5, ..Limits::default() };
    let mut stage = limited(limits);
    stage.append(1, vec![entry(1, 2, "abc"), entry(1, 3, "de")]).unwrap();
    falls(stage.append(1, vec![entry(1, 4, "f")]), bounds::NAME);
    let mut emptied = limited(limits);
    emptied.append(1, vec![entry(1, 2, "abc"), entry(1, 3, "de")]).unwrap();
    emptied.sync(1).unwrap();
    emptied.commit(1, 2).unwrap();
    emptied.append(1, vec![entry(1, 4, "fgh")]).unwrap();
    falls(emptied.append(1, vec![entry(1, 5, "i")]), bounds::NAME);
}

#[test]
fn one_entry_passes_any_limit() {
    let mut stage = limited(Limits { uncommitted_bytes: 1, batch_bytes: 1, ..Limits::default() });
    stage.append(1, vec![entry(1, 2, "much"), entry(1, 3, "")]).unwrap();
    let append =
        Body::Append { slice: slice(EntryId::new(1, 1), vec![entry(1, 2, "much")]), commit: Index(0) };
    stage.send(1, 1, append).unwrap();
}

#[test]
fn an_append_beyond_its_limits_is_reported() {
    let entries = vec![entry(1, 2, "a"), entry(1, 3, "b")];
    let append = Body::Append { slice: slice(EntryId::new(1, 1), entries), commit: Index(0) };
    let send = |limits| limited(limits).send(1, 1, append.clone());
    send(Limits { batch_bytes: 2, batch_entries: 2, ..Limits::default() }).unwrap();
    falls(send(Limits { batch_bytes: 1, ..Limits::default() }), bounds::NAME);
    falls(send(Limits { batch_entries: 1, ..Limits::default() }), bounds::NAME);
}

#[test]
fn more_appends_on_their_way_than_allowed_are_reported() {
    let mut stage =
        Stage::with(Rules { limits: Limits { inflight_appends: 1, ..Limits::default() }, ..rules(2) });
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    let append = |stage: &mut Stage| {
        let slice = slice(EntryId::new(1, 1), vec![entry(1, 2, "a")]);
        stage.send(1, 2, Body::Append { slice, commit: Index(0) })
    };
    // A window and a question, and both again.
    for _ in 0..4 {
        append(&mut stage).unwrap();
    }
    falls(append(&mut stage.clone()), bounds::NAME);
    let reply = stage.message(2, 1, 1, Body::HeartbeatReply { round: Round(0) });
    stage.tell(&Fact::Received { node: NodeId(1), from: NodeId(2), message: &reply }).unwrap();
    append(&mut stage).unwrap();
}

#[test]
fn more_messages_that_wait_for_the_disk_than_allowed_are_reported() {
    let mut stage = limited(Limits { held: 1, inflight_chunks: 1, ..Limits::default() });
    stage.sync(1).unwrap();
    // One beyond may ask for votes; a leader promises each entry that its disk lacks; and parts of a snapshot that were taken while
    // the disk is slow are answered, each (seed 9827174, when they were not counted).
    let lacking = |stage: &mut Stage, held, durable| {
        let status = &mut stage.actor(1).status;
        (status.held, status.durable) = (held, Index(durable));
        stage.step(1)
    };
    lacking(&mut stage, 7, 1).unwrap();
    lacking(&mut stage, 8, 0).unwrap();
    falls(lacking(&mut stage, 8, 1), bounds::NAME);
}

#[test]
fn more_open_tickets_than_allowed_are_reported() {
    let mut stage = limited(Limits { tickets: 1, ..Limits::default() });
    stage.read(1, 1).unwrap();
    stage.read(1, 2).unwrap();
    stage.step(1).unwrap();
    stage.answer(1, 2, BUSY).unwrap();
    stage.step(1).unwrap();
    stage.read(1, 3).unwrap();
    stage.step(1).unwrap();
    falls(stage.step(1), bounds::NAME);
}

#[test]
fn a_halt_is_reported_unless_the_disk_was_lost() {
    let report = Report::NotOnRecord { disk: DiskId(100), on_record: None, told_by: NodeId(2) };
    let halt = Fact::Halted { node: NodeId(1), report: &report };
    falls(Stage::new(3).tell(&halt), removal::NAME);
    let mut stage = Stage::new(3);
    stage.crash(1, 0).unwrap();
    stage.tell(&Fact::Wiped { node: NodeId(1) }).unwrap();
    stage.tell(&halt).unwrap();
}

/// A healed cluster of three in which everything is done, but node 3 may have stayed away.
pub(super) fn healed(third_follows: bool) -> Stage {
    let mut stage = Stage::new(3);
    stage.tell(&Fact::Healed).unwrap();
    stage.elect(1, &[2], 1);
    stage.propose(1, 7, "a").unwrap();
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    for node in if third_follows { 2..=3 } else { 2..=2 } {
        stage.follow(node, 1).unwrap();
    }
    for node in 1..=3 {
        let last = stage.actor(node).log.last().index;
        stage.actor(node).status.applied = last;
        stage.commit(node, last.0).unwrap();
    }
    stage.answer(1, 7, Answer::Committed(EntryId::new(1, 2))).unwrap();
    stage.read(1, 8).unwrap();
    stage.round(1, 1, &[2]).unwrap();
    stage.answer(1, 8, Answer::ReadAt(Index(2))).unwrap();
    stage
}

#[test]
fn a_healed_cluster_settles() {
    let mut stage = healed(true);
    assert_eq!(stage.judges.unsettled(), None);
    stage.tell(&Fact::Ended).unwrap();
}

#[test]
fn a_healed_cluster_that_does_not_settle_is_reported() {
    falls(healed(false).tell(&Fact::Ended), liveness::NAME);
    let mut leaderless = healed(true);
    leaderless.restart(1, 0).unwrap();
    falls(leaderless.tell(&Fact::Ended), liveness::NAME);
    let mut silent = healed(true);
    silent.read(1, 9).unwrap();
    falls(silent.tell(&Fact::Ended), liveness::NAME);
    let mut unasked = healed(true);
    unasked.tell(&Fact::Healed).unwrap();
    falls(unasked.tell(&Fact::Ended), liveness::NAME);
}

#[test]
fn who_is_down_or_wiped_for_good_is_not_waited_for() {
    let mut down = healed(false);
    down.crash(3, 0).unwrap();
    down.tell(&Fact::Ended).unwrap();
    let mut wiped = healed(false);
    wiped.crash(3, 0).unwrap();
    wiped.tell(&Fact::Wiped { node: NodeId(3) }).unwrap();
    wiped.actor(3).image = Recovered::default();
    wiped.actor(3).stamp.disk = DiskId(301);
    wiped.start(3).unwrap();
    wiped.actor(3).status.founded = false;
    wiped.step(3).unwrap();
    wiped.tell(&Fact::Ended).unwrap();
}

#[test]
fn without_a_quorum_nothing_is_owed() {
    let mut stage = healed(false);
    stage.crash(1, 0).unwrap();
    stage.crash(2, 0).unwrap();
    stage.tell(&Fact::Ended).unwrap();
}

#[test]
fn a_cluster_is_founded_by_all_or_not_at_all() {
    let unfounded = || {
        let mut stage = Stage::new(3);
        for node in 1..=3 {
            stage.actor(node).status.founded = false;
            stage.step(node).unwrap();
        }
        stage.tell(&Fact::Healed).unwrap();
        stage
    };
    falls(unfounded().tell(&Fact::Ended), liveness::NAME);
    let mut without_one = unfounded();
    without_one.crash(3, 0).unwrap();
    without_one.tell(&Fact::Ended).unwrap();
}

#[test]
fn a_command_beyond_the_end_of_the_log_owes_no_answer_yet() {
    let mut stage = healed(true);
    stage.propose(1, 9, "b").unwrap();
    stage.propose(1, 10, "c").unwrap();
    stage.append(1, vec![entry(1, 3, "b"), entry(1, 4, "c")]).unwrap();
    stage.stand(2, 2).unwrap();
    stage.vote(3, 2, 2).unwrap();
    stage.lead(2).unwrap();
    stage.sync(2).unwrap();
    stage.follow(1, 2).unwrap();
    stage.follow(3, 2).unwrap();
    for node in [2, 1, 3] {
        stage.actor(node).status.applied = Index(3);
        stage.commit(node, 3).unwrap();
    }
    // Another entry stands at index 3, and none at index 4.
    assert_eq!(stage.judges.unsettled(), Some("node 1 owes 1 answers, with every log equal to 3@2".into()));
    stage.answer(1, 9, Answer::Lost).unwrap();
    stage.tell(&Fact::Ended).unwrap();
}

#[test]
fn a_late_leader_is_counted_and_time_runs_out() {
    let mut stage = Stage::new(3);
    stage.tell(&Fact::Healed).unwrap();
    assert!(!stage.judges.overdue(stage.now + 99_000));
    assert!(stage.judges.overdue(stage.now + 101_000));
    stage.now += 11_000;
    stage.elect(1, &[2], 1);
    assert_eq!(stage.judges.coverage().count(Mark::LateLeader), 1);
    assert!(!stage.judges.overdue(stage.now + 29_000));
    assert!(stage.judges.overdue(stage.now + 31_000));
}
