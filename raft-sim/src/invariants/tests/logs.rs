//! Logs: append-only leaders, matching prefixes, commits by a durable quorum.

use super::super::{
    acknowledged_stays, commit_quorum, commit_told, leader_append_only, log_matching, monotone, progress,
    promises, state_machine_safety,
};
use super::*;
use crate::coverage::Mark;

/// Node 1 leads term 1 with its no-op and one command, durable on nodes 1 and 2 and committed.
pub(super) fn with_a_commit() -> Stage {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 2).unwrap();
    stage
}

#[test]
fn a_leader_that_truncates_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    falls(stage.truncate(1, 0), leader_append_only::NAME);
}

#[test]
fn a_leader_that_overwrites_is_reported_also_when_it_steps_down_with_it() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.actor(1).log.truncate(Index(0));
    stage.actor(1).log.append(entry(1, 1, "other"));
    stage.actor(1).status.role = RoleName::Follower;
    falls(stage.step(1), leader_append_only::NAME);
}

#[test]
fn an_old_leader_truncates_for_its_successor() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.elect(3, &[2], 2);
    stage.follow(1, 3).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::Truncations), 1);
}

#[test]
fn one_id_with_two_entries_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.adopt(3, 1, None).unwrap();
    let noop = Entry::new(EntryId::new(1, 1), Payload::Noop);
    falls(stage.append(3, vec![noop, entry(1, 2, "b")]), log_matching::NAME);
}

#[test]
fn one_id_after_different_prefixes_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.adopt(3, 1, None).unwrap();
    falls(stage.append(3, vec![entry(1, 1, "x"), entry(1, 2, "a")]), log_matching::NAME);
}

#[test]
fn an_index_may_have_entries_of_many_terms() {
    let mut stage = Stage::new(5);
    stage.elect(1, &[2, 3], 1);
    stage.elect(2, &[3, 4], 2);
    stage.elect(3, &[4, 5], 3);
    stage.follow(1, 3).unwrap();
    stage.follow(2, 3).unwrap();
}

#[test]
fn removing_what_was_acknowledged_to_this_leader_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.follow(2, 1).unwrap();
    falls(stage.truncate(2, 1), acknowledged_stays::NAME);
}

#[test]
fn what_was_acknowledged_to_an_earlier_leader_may_go() {
    let mut stage = Stage::new(5);
    stage.elect(1, &[2, 3], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.elect(3, &[4, 5], 2);
    stage.follow(2, 3).unwrap();
    assert_eq!(stage.actor(2).log.last(), EntryId::new(2, 1));
}

#[test]
fn an_acknowledgement_of_something_else_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.elect(3, &[2], 2);
    // Node 1 takes the leader's last index for its own.
    stage.adopt(1, 2, None).unwrap();
    stage.actor(1).status.role = RoleName::Follower;
    stage.step(1).unwrap();
    falls(stage.send(1, 3, Body::Appended { matched: Index(1) }), promises::TRUTHFUL);
}

#[test]
fn an_acknowledgement_that_was_held_may_leave_in_the_leaders_next_term() {
    let mut stage = Stage::new(5);
    stage.elect(1, &[2, 3], 1);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(3, 1).unwrap();
    // Node 1 follows node 2 in term 2 and leads again in term 3: another entry stands at index 2.
    stage.elect(2, &[4, 5], 2);
    stage.sync(2).unwrap();
    stage.follow(1, 2).unwrap();
    stage.elect(1, &[2, 4], 3);
    let held = Body::Appended { matched: Index(2) };
    stage.clone().send_in(3, 1, 1, held.clone()).unwrap();
    stage.adopt(3, 3, None).unwrap();
    falls(stage.send(3, 1, held), promises::TRUTHFUL);
}

#[test]
fn a_commit_without_a_durable_quorum_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    falls(stage.commit(1, 1), commit_quorum::NAME);
}

#[test]
fn the_leader_counts_itself_only_when_durable() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.follow(2, 1).unwrap();
    falls(stage.commit(1, 1), commit_quorum::NAME);
}

#[test]
fn half_of_four_commits_nothing() {
    let mut stage = Stage::new(4);
    stage.elect(1, &[2, 3], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    falls(stage.commit(1, 1), commit_quorum::NAME);
}

#[test]
fn an_acknowledgement_of_an_earlier_term_commits_nothing() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.elect(1, &[3], 2);
    stage.sync(1).unwrap();
    falls(stage.commit(1, 2), commit_quorum::NAME);
}

#[test]
fn a_leader_may_commit_what_its_own_disk_lacks() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.follow(2, 1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.commit(1, 1).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::CommitPassedOwnDisk), 1);
    falls(stage.apply(1, 1), promises::NAME);
}

#[test]
fn a_copy_counts_even_if_its_holder_has_lost_it_since() {
    let mut stage = Stage::new(5);
    stage.elect(1, &[2, 3], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.crash(2, 0).unwrap();
    stage.tell(&Fact::Wiped { node: NodeId(2) }).unwrap();
    stage.commit(1, 1).unwrap();
}

/// Figure 8 of the paper: an entry of an older term on a majority isn't committed by it.
#[test]
fn committing_an_older_term_by_counting_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.elect(1, &[3], 2);
    stage.sync(1).unwrap();
    let first = Entry::new(EntryId::new(1, 1), Payload::Noop);
    stage.append(3, vec![first]).unwrap();
    stage.sync(3).unwrap();
    stage.send(3, 1, Body::Appended { matched: Index(1) }).unwrap();
    falls(stage.commit(1, 1), commit_quorum::OWN_TERM);
}

#[test]
fn an_older_term_is_committed_along_with_the_own() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.elect(1, &[3], 2);
    stage.sync(1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.commit(1, 2).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::OldTermCommitted), 1);
}

#[test]
fn a_follower_is_never_the_first_to_know() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    falls(stage.commit(2, 1), commit_quorum::NAME);
}

#[test]
fn another_entry_at_a_committed_index_is_reported() {
    let mut stage = with_a_commit();
    stage.adopt(3, 1, None).unwrap();
    stage.append(3, vec![Entry::new(EntryId::new(1, 1), Payload::Noop)]).unwrap();
    falls(stage.commit(3, 2), state_machine_safety::NAME);
}

#[test]
fn a_divergent_tail_that_is_called_committed_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(3, &[2], 1);
    stage.elect(1, &[2], 2);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 1).unwrap();
    stage.adopt(3, 2, None).unwrap();
    falls(stage.commit(3, 1), state_machine_safety::NAME);
}

#[test]
fn truncating_what_is_committed_is_reported() {
    let mut stage = with_a_commit();
    stage.commit(2, 2).unwrap();
    stage.adopt(2, 2, None).unwrap();
    falls(stage.truncate(2, 1), state_machine_safety::NAME);
}

#[test]
fn applying_another_entry_is_reported() {
    let mut stage = with_a_commit();
    stage.apply(1, 1).unwrap();
    let other = entry(1, 2, "b");
    let fact = Fact::Applied { node: NodeId(1), entry: &other };
    falls(stage.tell(&fact), state_machine_safety::NAME);
}

#[test]
fn applies_come_one_by_one_and_again_after_a_restart() {
    let mut stage = with_a_commit();
    stage.apply(1, 1).unwrap();
    stage.apply(1, 2).unwrap();
    stage.restart(1, 0).unwrap();
    stage.apply(1, 1).unwrap();
    falls(stage.apply(1, 1), monotone::COMMIT);
    let mut skipping = with_a_commit();
    falls(skipping.apply(1, 2), monotone::COMMIT);
}

#[test]
fn a_commit_that_goes_back_is_reported_but_not_over_a_restart() {
    let mut stage = with_a_commit();
    stage.restart(1, 0).unwrap();
    stage.commit(1, 1).unwrap();
    falls(stage.commit(1, 0), monotone::COMMIT);
}

#[test]
fn applied_beyond_the_commit_or_going_back_is_reported() {
    let mut stage = with_a_commit();
    stage.actor(1).status.applied = Index(2);
    stage.step(1).unwrap();
    stage.actor(1).status.applied = Index(1);
    falls(stage.step(1), monotone::COMMIT);
    let mut beyond = with_a_commit();
    beyond.actor(2).status.applied = Index(1);
    falls(beyond.step(2), monotone::COMMIT);
}

#[test]
fn a_term_that_goes_back_is_reported_but_not_one_that_was_never_durable() {
    let mut stage = Stage::new(3);
    stage.adopt(1, 5, None).unwrap();
    stage.actor(1).status.term = Term(6);
    stage.step(1).unwrap();
    stage.restart(1, 0).unwrap();
    stage.actor(1).status.term = Term(4);
    falls(stage.step(1), monotone::TERM);
}

/// What a leader asks after hearing that node 2 holds its two entries.
fn asked_again(prev: EntryId, restarted: bool) -> Verdict {
    let mut stage = with_a_commit();
    let heard = stage.message(2, 1, 1, Body::Appended { matched: Index(2) });
    if restarted {
        stage.restart(2, 0).unwrap();
    }
    stage.tell(&Fact::Received { node: NodeId(1), from: NodeId(2), message: &heard }).unwrap();
    stage.send(1, 2, Body::Append { slice: slice(prev, vec![]), commit: Index(0) })
}

#[test]
fn asking_again_for_what_was_acknowledged_is_reported() {
    asked_again(EntryId::new(1, 2), false).unwrap();
    falls(asked_again(EntryId::new(1, 1), false), progress::NAME);
    // The acknowledgement of an earlier process may be ignored.
    asked_again(EntryId::new(1, 1), true).unwrap();
}

#[test]
fn a_commit_beyond_what_the_message_covers_is_reported() {
    let told = |covered: u64, commit: u64| {
        let mut stage = with_a_commit();
        let prev = EntryId::new(1, covered);
        stage.hear(2, Body::Append { slice: slice(prev, Vec::new()), commit: Index(2) }).unwrap();
        stage.actor(2).status.commit = Index(commit);
        stage.step(2)
    };
    told(2, 2).unwrap();
    told(1, 1).unwrap();
    falls(told(1, 2), commit_told::NAME);
}
