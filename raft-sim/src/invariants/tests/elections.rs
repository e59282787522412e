//! Elections: one leader a term, one vote a term, for an up-to-date candidate.

use super::super::{election_safety, leader_completeness, one_vote, pre_vote, promises, up_to_date};
use super::*;
use crate::coverage::Mark;
use raft_core::Ballot;

#[test]
fn two_leaders_in_one_term_are_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.adopt(3, 1, None).unwrap();
    falls(stage.lead(3), election_safety::NAME);
}

#[test]
fn leading_by_word_alone_is_leading() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.adopt(3, 1, None).unwrap();
    let beat = Body::Heartbeat { commit: Index(0), round: raft_core::Round(1) };
    falls(stage.send(3, 1, beat), election_safety::NAME);
}

#[test]
fn winning_one_term_twice_over_a_restart_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.restart(1, 0).unwrap();
    falls(stage.lead(1), election_safety::NAME);
}

#[test]
fn a_minority_elects_nobody() {
    let mut stage = Stage::new(5);
    stage.stand(1, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    falls(stage.lead(1), election_safety::NAME);
}

#[test]
fn half_of_four_is_a_minority() {
    let mut stage = Stage::new(4);
    stage.stand(1, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    falls(stage.lead(1), election_safety::NAME);
}

#[test]
fn the_own_vote_counts_only_when_durable() {
    let mut stage = Stage::new(3);
    let hard = stage.actor(1).adopt(1, Some(1));
    stage.actor(1).status.role = RoleName::Candidate;
    stage.step(1).unwrap();
    stage.write(1, Update { hard: Some(hard), ..Update::default() }).unwrap();
    stage.vote(2, 1, 1).unwrap();
    falls(stage.lead(1), election_safety::NAME);
}

#[test]
fn a_vote_from_a_disk_that_is_not_on_record_counts_for_nothing() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.crash(2, 0).unwrap();
    stage.tell(&Fact::Wiped { node: NodeId(2) }).unwrap();
    stage.actor(2).image = Recovered::default();
    stage.actor(2).stamp.disk = DiskId(201);
    stage.start(2).unwrap();
    stage.vote(2, 1, 1).unwrap();
    falls(stage.lead(1), election_safety::NAME);
}

#[test]
fn a_vote_for_an_earlier_process_counts_for_nothing() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    stage.restart(1, 0).unwrap();
    falls(stage.lead(1), election_safety::NAME);
}

#[test]
fn a_node_may_lead_a_term_after_the_leader_of_a_later_one() {
    let mut stage = Stage::new(5);
    stage.stand(1, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    stage.vote(3, 1, 1).unwrap();
    // The replies are slow: term 2 is won, and has committed, before node 1 counts.
    stage.elect(5, &[3, 4], 2);
    stage.sync(5).unwrap();
    stage.follow(3, 5).unwrap();
    stage.follow(4, 5).unwrap();
    stage.commit(5, 1).unwrap();
    stage.lead(1).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::OldTermWonLate), 1);
}

#[test]
fn a_second_vote_in_a_term_is_reported_over_a_crash() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.stand(3, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    stage.restart(2, 0).unwrap();
    falls(stage.vote(2, 3, 1), one_vote::NAME);
}

#[test]
fn a_vote_for_another_disk_of_the_same_id_is_a_second_vote() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    stage.crash(1, 0).unwrap();
    stage.tell(&Fact::Wiped { node: NodeId(1) }).unwrap();
    stage.actor(1).image = Recovered::default();
    stage.actor(1).stamp.disk = DiskId(101);
    stage.start(1).unwrap();
    stage.stand(1, 1).unwrap();
    stage.vote(3, 1, 1).unwrap();
    falls(stage.vote(2, 1, 1), one_vote::NAME);
}

/// A process on an earlier disk of a node stands for election with that node's log, or has won.
fn revenant(stage: &mut Stage, node: u64, term: u64, leads: bool) -> Verdict {
    let (log, stamp) = (stage.actor(node).log.clone(), Stamp { disk: DiskId(77), boot: raft_core::Boot(9) });
    stage.tell(&Fact::Revenant { node: NodeId(node), stamp, term: Term(term), log: &log, leads })
}

#[test]
fn an_earlier_disk_wins_no_term_that_another_leads() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    revenant(&mut stage, 3, 2, true).unwrap();
    falls(revenant(&mut stage, 3, 1, true), election_safety::NAME);
}

#[test]
fn an_earlier_disk_wins_only_with_what_is_committed() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 1).unwrap();
    revenant(&mut stage.clone(), 2, 2, true).unwrap();
    falls(revenant(&mut stage, 3, 2, true), leader_completeness::NAME);
}

#[test]
fn an_earlier_disk_gets_no_vote_for_the_log_of_the_newer_one() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    revenant(&mut stage, 3, 2, false).unwrap();
    stage.follow(3, 1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.stand(3, 2).unwrap();
    stage.adopt(2, 2, Some(3)).unwrap();
    let mut vote = stage.message(2, 3, 2, Body::VoteReply { answer: Ballot::Granted });
    stage.tell(&Fact::Sent { node: NodeId(2), to: NodeId(3), message: &vote }).unwrap();
    vote.to = Some(Stamp { disk: DiskId(77), boot: raft_core::Boot(9) });
    falls(stage.tell(&Fact::Sent { node: NodeId(2), to: NodeId(3), message: &vote }), up_to_date::NAME);
}

#[test]
fn a_vote_that_was_sent_and_lost_is_not_given_again() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.stand(3, 1).unwrap();
    stage.vote(2, 1, 1).unwrap();
    stage.crash(2, 0).unwrap();
    // The disk forgets: the checkers are told that this is what was durable.
    stage.tell(&Fact::Wiped { node: NodeId(2) }).unwrap();
    stage.actor(2).image = Recovered::default();
    stage.start(2).unwrap();
    falls(stage.vote(2, 3, 1), one_vote::NAME);
}

#[test]
fn a_founder_that_founds_anew_is_bound_by_the_elections_that_it_won() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    let wiped = |stage: &mut Stage| {
        stage.crash(1, 0).unwrap();
        stage.tell(&Fact::Wiped { node: NodeId(1) }).unwrap();
        stage.actor(1).image = Recovered::default();
        stage.actor(1).stamp.disk = DiskId(101);
        stage.start(1).unwrap();
        stage.stand(2, 1).unwrap();
        stage.vote(1, 2, 1)
    };
    wiped(&mut stage.clone()).unwrap();
    stage.vote(3, 1, 1).unwrap();
    stage.lead(1).unwrap();
    falls(wiped(&mut stage), one_vote::NAME);
}

#[test]
fn a_vote_that_never_left_may_be_lost_and_another_given() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.stand(3, 1).unwrap();
    let hard = stage.actor(2).adopt(1, Some(1));
    stage.write(2, Update { hard: Some(hard), ..Update::default() }).unwrap();
    stage.restart(2, 0).unwrap();
    stage.vote(2, 3, 1).unwrap();
    // And the same vote may leave again, also after another restart.
    stage.restart(2, 0).unwrap();
    stage.vote(2, 3, 1).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::VoteRepeated), 1);
    assert_eq!(stage.judges.coverage().count(Mark::VoteAfterRestartInTerm), 1);
}

#[test]
fn a_vote_leaves_only_when_durable() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    let hard = stage.actor(2).adopt(1, Some(1));
    stage.step(2).unwrap();
    stage.write(2, Update { hard: Some(hard), ..Update::default() }).unwrap();
    falls(stage.send(2, 1, Body::VoteReply { answer: Ballot::Granted }), promises::NAME);
}

#[test]
fn a_vote_of_a_term_that_is_durably_over_may_leave_late() {
    let mut stage = Stage::new(3);
    stage.stand(1, 1).unwrap();
    stage.adopt(2, 2, None).unwrap();
    stage.send_in(2, 1, 1, Body::VoteReply { answer: Ballot::Granted }).unwrap();
}

#[test]
fn a_request_for_votes_waits_for_its_vote_and_for_the_log_that_it_advertises() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    let request = |last| Body::Vote { last, transfer: false, recorded: true };
    let hard = stage.actor(1).adopt(2, Some(1));
    stage.actor(1).status.role = RoleName::Candidate;
    stage.step(1).unwrap();
    stage.write(1, Update { hard: Some(hard), ..Update::default() }).unwrap();
    let early = stage.send(1, 2, request(EntryId::new(1, 1)));
    falls(early, promises::NAME);
    // The vote is durable, and an entry after it isn't yet.
    stage.sync(1).unwrap();
    stage.send(1, 2, request(EntryId::new(1, 1))).unwrap();
    falls(stage.send(1, 2, request(EntryId::new(1, 2))), promises::NAME);
}

#[test]
fn a_vote_for_a_shorter_log_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.follow(2, 1).unwrap();
    stage.stand(3, 2).unwrap();
    falls(stage.vote(2, 3, 2), up_to_date::NAME);
}

#[test]
fn a_pre_vote_for_a_shorter_log_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.follow(2, 1).unwrap();
    let asks = |stage: &mut Stage, last: EntryId| {
        let message = stage.message(3, 2, 2, Body::PreVote { last, recorded: true });
        stage.tell(&Fact::Received { node: NodeId(2), from: NodeId(3), message: &message }).unwrap();
        stage.now += 900;
        stage.send_in(2, 3, 2, Body::PreVoteReply { answer: Ballot::Granted })
    };
    falls(asks(&mut stage.clone(), EntryId::ORIGIN), up_to_date::NAME);
    asks(&mut stage, EntryId::new(1, 1)).unwrap();
}

#[test]
fn the_answer_to_a_pre_vote_is_not_judged_by_an_older_one_that_comes_again() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.follow(2, 1).unwrap();
    stage.restart(2, 0).unwrap();
    // Seed 30013431: the answer waits for its boot to be durable, and old questions arrive meanwhile.
    stage.actor(2).status.held = 1;
    stage.step(2).unwrap();
    for (term, last) in [(3, EntryId::new(1, 1)), (2, EntryId::ORIGIN), (3, EntryId::ORIGIN)] {
        let message = stage.message(3, 2, term, Body::PreVote { last, recorded: true });
        stage.tell(&Fact::Received { node: NodeId(2), from: NodeId(3), message: &message }).unwrap();
    }
    stage.now += 900;
    stage.send_in(2, 3, 3, Body::PreVoteReply { answer: Ballot::Granted }).unwrap();
    falls(stage.send_in(2, 3, 2, Body::PreVoteReply { answer: Ballot::Granted }), up_to_date::NAME);
}

#[test]
fn a_shorter_log_of_a_later_term_is_up_to_date() {
    let mut stage = Stage::new(5);
    stage.elect(1, &[2, 4], 1);
    stage.append(1, vec![entry(1, 2, "a"), entry(1, 3, "b")]).unwrap();
    stage.follow(2, 1).unwrap();
    stage.elect(3, &[4, 5], 2);
    stage.sync(3).unwrap();
    stage.stand(3, 3).unwrap();
    stage.vote(2, 3, 3).unwrap();
}

#[test]
fn standing_without_pre_votes_is_reported() {
    let asked = || {
        let mut stage = Stage::with(Rules { pre_vote: true, ..rules(3) });
        stage.send_in(2, 1, 1, Body::PreVoteReply { answer: Ballot::Granted }).unwrap();
        stage
    };
    asked().stand(1, 1).unwrap();
    falls(asked().stand(3, 1), pre_vote::NAME);
    let mut restarted = asked();
    restarted.restart(1, 0).unwrap();
    falls(restarted.stand(1, 1), pre_vote::NAME);
}

#[test]
fn a_leader_without_a_committed_entry_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 1).unwrap();
    // Node 3 lacks it, and still gets the vote of node 1, in a write that also touches the log, so that the vote alone
    // tells nothing.
    stage.stand(3, 2).unwrap();
    let hard = Some(stage.actor(1).adopt(2, Some(3)));
    stage.actor(1).status.role = RoleName::Follower;
    stage.step(1).unwrap();
    stage.write_durably(1, Update { hard, keep: Some(Index(1)), ..Update::default() }).unwrap();
    stage.send(1, 3, Body::VoteReply { answer: Ballot::Granted }).unwrap();
    falls(stage.lead(3), leader_completeness::NAME);
}
