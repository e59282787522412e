//! Configurations: how they follow each other, who counts by which, and who is none of it any more.

use super::super::{commit_quorum, configurations, election_safety, liveness, one_vote, pre_vote, tickets};
use super::*;
use crate::coverage::Mark;
use raft_core::{Answer, Ballot, Change, Member, Refusal, Report, Standing, Ticket};

/// Three founders of four seats. Node 1 leads term 1, and its no-op is committed.
pub(super) fn led() -> Stage {
    let mut stage = Stage::with(Rules { nodes: 4, founders: 3, ..rules(3) });
    stage.elect(1, &[2], 1);
    stage.sync(1).unwrap();
    stage.follow(2, 1).unwrap();
    stage.commit(1, 1).unwrap();
    stage
}

pub(super) const ADD: Change = Change::Add { id: NodeId(4), context: Bytes::new(), votes: true };
const REMOVE: Change = Change::Remove { id: NodeId(3) };

impl Stage {
    fn members(&mut self, node: u64) -> Membership {
        self.actor(node).log.membership().unwrap().clone()
    }

    /// A leader appends a configuration.
    fn configure(&mut self, node: u64, members: Membership) -> Verdict {
        let actor = self.actor(node);
        let id = EntryId { term: actor.status.term, index: actor.log.last().index.next() };
        self.append(node, vec![Entry::new(id, Payload::Membership(members))])
    }

    /// .. the one that a change makes of the one in force.
    pub(super) fn change(&mut self, node: u64, change: Change) -> Verdict {
        let members = self.members(node).change(&[change]).unwrap();
        self.configure(node, members)
    }

    /// .. the new half of a joint one.
    pub(super) fn leave(&mut self, node: u64) -> Verdict {
        let members = self.members(node).leave().unwrap();
        self.configure(node, members)
    }

    /// .. with this disk on record.
    pub(super) fn record(&mut self, node: u64, id: u64, disk: u64) -> Verdict {
        let members = self.members(node).with_disks(|other| (other.0 == id).then_some(DiskId(disk)));
        self.configure(node, members)
    }

    /// Everything in a leader's log is durable there and on these, and is committed.
    pub(super) fn settle(&mut self, leader: u64, followers: &[u64]) -> Verdict {
        self.sync(leader)?;
        for node in followers {
            self.follow(*node, leader)?;
        }
        let last = self.actor(leader).log.last().index.0;
        self.commit(leader, last)
    }

    /// A seat gets a fresh disk, and a process that joins.
    pub(super) fn seat(&mut self, node: u64, disk: u64) -> Verdict {
        self.tell(&Fact::Seated { node: NodeId(node) })?;
        let actor = self.actor(node);
        (actor.image, actor.joins) = (Recovered::default(), true);
        actor.stamp = Stamp { disk: DiskId(disk), boot: raft_core::Boot(0) };
        self.start(node)?;
        self.send(node, 1, Body::Conflict { asked: EntryId::ORIGIN, hint: EntryId::ORIGIN })
    }

    pub(super) fn halt(&mut self, node: u64, report: &Report) -> Verdict {
        self.tell(&Fact::Halted { node: NodeId(node), report })
    }
}

/// Node 4 is an entrant on record, as disk 400, and up to date.
fn entered() -> Stage {
    let mut stage = led();
    stage.change(1, ADD).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.seat(4, 400).unwrap();
    stage.record(1, 4, 400).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.follow(4, 1).unwrap();
    stage
}

/// Node 3 is on its way out and node 4 on its way in.
fn joint() -> Stage {
    let mut stage = entered();
    let changes = [Change::Promote { id: NodeId(4) }, REMOVE];
    let members = stage.members(1).change(&changes).unwrap();
    stage.configure(1, members).unwrap();
    stage
}

fn of(members: &[(u64, Standing)]) -> Membership {
    let member = |&(id, standing): &(u64, Standing)| Member {
        disk: Some(DiskId(id * 100)),
        ..Member::new(NodeId(id), standing, Bytes::new())
    };
    Membership::new(members.iter().map(member).collect()).unwrap()
}

#[test]
fn a_whole_change_is_accepted() {
    let mut stage = joint();
    stage.settle(1, &[2, 4]).unwrap();
    stage.leave(1).unwrap();
    stage.settle(1, &[2]).unwrap();
    let count = |mark| stage.judges.coverage().count(mark);
    assert_eq!((count(Mark::JointEntered), count(Mark::LearnerPromoted)), (1, 1));
    assert_eq!(count(Mark::JointLeftByOther), 0);
}

#[test]
fn quorums_that_need_not_meet_are_reported() {
    falls(led().configure(1, of(&[(1, Standing::Voter)])), configurations::ADJACENT);
    let voters: Vec<(u64, Standing)> = (1..=2).map(|id| (id, Standing::Voter)).collect();
    falls(led().configure(1, of(&voters)), configurations::STEP);
}

#[test]
fn a_joint_configuration_leads_to_its_new_half_only() {
    let mut stage = joint();
    stage.settle(1, &[2, 4]).unwrap();
    let voters: Vec<(u64, Standing)> = (1..=3).map(|id| (id, Standing::Voter)).collect();
    falls(stage.configure(1, of(&voters)), configurations::STEP);
}

#[test]
fn a_second_change_before_the_first_is_committed_is_reported() {
    let mut stage = led();
    stage.change(1, ADD).unwrap();
    let update = Change::Update { id: NodeId(2), context: Bytes::from_static(b"b:2") };
    falls(stage.change(1, update), configurations::APPENDED);
    let mut early = joint();
    falls(early.leave(1), configurations::APPENDED);
}

#[test]
fn a_change_before_the_first_own_commit_is_reported() {
    let mut stage = led();
    stage.commit(2, 1).unwrap();
    stage.elect(2, &[3], 2);
    falls(stage.change(2, ADD), configurations::APPENDED);
}

#[test]
fn a_disk_on_record_gives_way_to_none_first() {
    // What the founders have heard of each other is put right by the first change, and stays.
    let mut stage = led();
    stage.record(1, 2, 201).unwrap();
    stage.settle(1, &[3]).unwrap();
    falls(stage.record(1, 2, 200), configurations::DISK);
    let mut stage = led();
    stage.change(1, Change::Replace { id: NodeId(3), context: None }).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.record(1, 3, 301), configurations::DISK);
}

#[test]
fn a_disk_that_was_given_up_stays_away() {
    let replaced = || {
        let mut stage = led();
        stage.change(1, Change::Replace { id: NodeId(3), context: None }).unwrap();
        stage.settle(1, &[2]).unwrap();
        stage.leave(1).unwrap();
        stage.settle(1, &[2]).unwrap();
        stage
    };
    falls(replaced().record(1, 3, 300), configurations::DISK);
    let mut stage = replaced();
    stage.seat(3, 301).unwrap();
    stage.record(1, 3, 301).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::Replacements), 1);
}

/// Disk 400 has answered, its member is removed and added anew, and the answer reaches the leader late.
#[test]
fn a_disk_that_has_said_nothing_since_is_not_put_on_record() {
    let mut stage = led();
    stage.change(1, ADD).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.clone().record(1, 4, 400), configurations::DISK);
    stage.seat(4, 400).unwrap();
    stage.clone().record(1, 4, 400).unwrap();
    stage.change(1, Change::Remove { id: NodeId(4) }).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.change(1, ADD).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.clone().record(1, 4, 400), configurations::DISK);
    stage.seat(4, 401).unwrap();
    stage.record(1, 4, 401).unwrap();
}

#[test]
fn a_configuration_that_stays_in_force_when_its_entry_is_gone_is_reported() {
    let mut stage = led();
    stage.follow(3, 1).unwrap();
    stage.change(1, ADD).unwrap();
    stage.follow(3, 1).unwrap();
    let (gone, at) = (stage.members(3), Index(2));
    stage.adopt(3, 2, None).unwrap();
    stage.actor(3).log.truncate(Index(1));
    stage.actor(3).look();
    let (status, log) = (stage.actor(3).status.clone(), stage.actor(3).log.clone());
    let kept = Status { membership: gone, membership_at: at, ..status.clone() };
    falls(
        stage.clone().tell(&Fact::Stepped { node: NodeId(3), status: kept, log: &log }),
        configurations::IN_FORCE,
    );
    stage.tell(&Fact::Stepped { node: NodeId(3), status, log: &log }).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::MembershipRolledBack), 1);
}

#[test]
fn a_joint_configuration_commits_by_both_halves() {
    let mut stage = joint();
    stage.sync(1).unwrap();
    stage.follow(3, 1).unwrap();
    let last = stage.actor(1).log.last().index.0;
    falls(stage.commit(1, last), commit_quorum::NAME);
    stage = joint();
    stage.sync(1).unwrap();
    stage.follow(4, 1).unwrap();
    falls(stage.commit(1, last), commit_quorum::NAME);
}

#[test]
fn a_joint_configuration_elects_by_both_halves() {
    for (voters, elected) in [([3], false), ([2], true)] {
        let mut stage = joint();
        stage.settle(1, &[2, 4]).unwrap();
        stage.stand(1, 2).unwrap();
        stage.vote(voters[0], 1, 2).unwrap();
        match stage.lead(1) {
            Ok(()) => assert!(elected && stage.judges.coverage().count(Mark::ElectedWhileJoint) == 1),
            failed => {
                assert!(!elected);
                falls(failed, election_safety::NAME);
            }
        }
    }
}

#[test]
fn a_learner_counts_in_no_quorum() {
    let mut stage = entered();
    stage.append(1, vec![entry(1, 4, "a")]).unwrap();
    stage.sync(1).unwrap();
    stage.follow(4, 1).unwrap();
    falls(stage.commit(1, 4), commit_quorum::NAME);
    let mut stage = entered();
    stage.stand(1, 2).unwrap();
    stage.vote(4, 1, 2).unwrap();
    falls(stage.lead(1), election_safety::NAME);
    falls(entered().stand(4, 2), pre_vote::VOTER);
}

#[test]
fn who_left_may_still_stand_until_that_is_known_as_committed() {
    let mut stage = joint();
    stage.settle(1, &[2, 4]).unwrap();
    stage.follow(3, 1).unwrap();
    stage.commit(3, 4).unwrap();
    stage.leave(1).unwrap();
    stage.follow(3, 1).unwrap();
    stage.clone().stand(3, 2).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.commit(3, 5).unwrap();
    falls(stage.stand(3, 2), pre_vote::VOTER);
}

/// It may have had a vote on the disk that was lost; the new one is of a newcomer, until it is put on record.
#[test]
fn who_comes_again_on_a_new_disk_does_not_stand() {
    let mut stage = led();
    stage.change(1, Change::Replace { id: NodeId(3), context: None }).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.seat(3, 301).unwrap();
    stage.follow(3, 1).unwrap();
    falls(stage.clone().stand(3, 2), pre_vote::VOTER);
}

#[test]
fn another_leader_leaves_the_joint_configuration() {
    let mut stage = joint();
    stage.settle(1, &[2, 4]).unwrap();
    stage.elect(2, &[1, 4], 2);
    stage.settle(2, &[1, 4]).unwrap();
    stage.leave(2).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::JointLeftByOther), 1);
}

#[test]
fn a_fresh_seat_is_another_voter_and_a_wiped_one_is_not() {
    let mut stage = led();
    stage.adopt(3, 2, Some(2)).unwrap();
    stage.send(3, 2, Body::VoteReply { answer: Ballot::Granted }).unwrap();
    stage.crash(3, 0).unwrap();
    let mut wiped = stage.clone();
    wiped.tell(&Fact::Wiped { node: NodeId(3) }).unwrap();
    wiped.actor(3).image = Recovered::default();
    wiped.actor(3).stamp.disk = DiskId(301);
    wiped.start(3).unwrap();
    falls(wiped.vote(3, 1, 2), one_vote::NAME);
    stage.seat(3, 302).unwrap();
    stage.vote(3, 1, 2).unwrap();
}

/// Node 3 is removed, at index 5.
pub(super) fn removed() -> Stage {
    let mut stage = joint();
    stage.settle(1, &[2, 4]).unwrap();
    stage.leave(1).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage
}

impl Stage {
    fn reconfigure(&mut self, ticket: u64, changes: &[Change], expect: Option<Index>) -> Verdict {
        let node = NodeId(1);
        self.tell(&Fact::Reconfigured { node, ticket: Ticket(ticket), changes, expect })
    }

    fn reply(&mut self, ticket: u64, answer: Answer) -> Verdict {
        self.tell(&Fact::Answered { node: NodeId(1), ticket: Ticket(ticket), answer })
    }
}

/// Ticket 7 asks node 1 to add node 4, which happens at index 2.
fn asked(expect: Option<u64>) -> Stage {
    let mut stage = led();
    stage.reconfigure(7, &[ADD], expect.map(Index)).unwrap();
    stage.change(1, ADD).unwrap();
    stage
}

#[test]
fn a_change_is_answered_with_its_entry() {
    let committed = Answer::Committed(EntryId::new(1, 2));
    let mut stage = asked(Some(0));
    falls(stage.clone().reply(7, committed), tickets::NAME);
    stage.settle(1, &[2]).unwrap();
    stage.reply(7, committed).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::Reconfigurations), 1);
    let mut moved = asked(Some(1));
    moved.settle(1, &[2]).unwrap();
    // The configuration in force at index 1 is the one of the founding.
    moved.reply(7, committed).unwrap();
    let mut other = led();
    other.reconfigure(7, &[Change::Remove { id: NodeId(4) }], None).unwrap();
    other.change(1, ADD).unwrap();
    other.settle(1, &[2]).unwrap();
    falls(other.reply(7, committed), tickets::NAME);
}

#[test]
fn a_change_that_expects_another_configuration_is_not_made() {
    let mut stage = asked(None);
    stage.settle(1, &[2]).unwrap();
    let update = Change::Update { id: NodeId(2), context: Bytes::from_static(b"b:2") };
    stage.reconfigure(8, std::slice::from_ref(&update), Some(Index(0))).unwrap();
    stage.change(1, update).unwrap();
    stage.settle(1, &[2]).unwrap();
    falls(stage.reply(8, Answer::Committed(EntryId::new(1, 3))), tickets::NAME);
}

#[test]
fn a_refusal_is_true() {
    let refused = |changes: &[Change], expect, refusal| {
        let mut stage = led();
        stage.reconfigure(7, changes, expect).unwrap();
        stage.step(1).unwrap();
        stage.reply(7, Answer::Refused(refusal))
    };
    let (id, at) = (NodeId(4), Index(1));
    let unknown = Change::Remove { id };
    refused(std::slice::from_ref(&unknown), None, Refusal::UnknownMember { id }).unwrap();
    refused(&[ADD], Some(Index(9)), Refusal::Moved { at }).unwrap();
    falls(refused(&[ADD], None, Refusal::UnknownMember { id }), tickets::NAME);
    falls(refused(&[ADD], None, Refusal::AlreadyMember { id }), tickets::NAME);
    falls(refused(&[ADD], None, Refusal::Moved { at }), tickets::NAME);
    falls(refused(&[ADD], Some(at), Refusal::Moved { at }), tickets::NAME);
    falls(asked(None).reply(7, Answer::Refused(Refusal::TermNotCommitted)), tickets::NAME);
    falls(asked(None).reply(7, Answer::Unknown), tickets::NAME);
    falls(asked(None).reply(7, Answer::Lost), tickets::NAME);
}

#[test]
fn a_hand_over_is_answered_once_and_to_a_voter() {
    let asked = || {
        let mut stage = entered();
        stage.tell(&Fact::TransferAsked { node: NodeId(1), ticket: Ticket(7) }).unwrap();
        stage.step(1).unwrap();
        stage
    };
    let to = |id| Answer::HandingOver { to: NodeId(id) };
    let mut stage = asked();
    stage.reply(7, to(2)).unwrap();
    falls(stage.reply(7, to(2)), tickets::NAME);
    falls(asked().reply(7, to(4)), tickets::NAME);
    falls(asked().reply(7, to(1)), tickets::NAME);
    falls(asked().reply(7, Answer::Refused(Refusal::NotAVoter { id: NodeId(2) })), tickets::NAME);
    asked().reply(7, Answer::Refused(Refusal::NotAVoter { id: NodeId(4) })).unwrap();
}

/// The faults are over; these nodes have all that the leader has, and know it as committed and applied.
pub(super) fn converged(mut stage: Stage, nodes: &[u64]) -> Stage {
    let last = stage.actor(1).log.last().index;
    stage.sync(1).unwrap();
    for node in nodes.iter().filter(|node| **node != 1) {
        stage.follow(*node, 1).unwrap();
    }
    for node in nodes {
        stage.commit(*node, last.0).unwrap();
        stage.actor(*node).status.applied = last;
        stage.step(*node).unwrap();
    }
    stage
}

#[test]
fn a_change_that_stands_still_is_reported() {
    let all = &[1, 2, 3, 4];
    assert!(converged(joint(), all).judges.unsettled().unwrap().contains("is not left"));
    assert!(converged(entered(), all).judges.unsettled().unwrap().contains("waits for leader"));
    let mut demoted = entered();
    demoted.change(1, Change::Demote { id: NodeId(4) }).unwrap();
    assert_eq!(converged(demoted, all).judges.unsettled(), None);
}

#[test]
fn who_is_no_member_is_not_waited_for() {
    let stage = converged(removed(), &[1, 2, 4]);
    assert_eq!(stage.judges.unsettled(), None);
    let short = converged(removed(), &[1, 2]);
    assert!(short.judges.unsettled().unwrap().contains("node 4 has"));
}

#[test]
fn a_quorum_is_one_of_the_newest_configuration() {
    let mut stage = converged(removed(), &[1, 2, 4]);
    stage.tell(&Fact::Healed).unwrap();
    // Two of the old voters live, but of the new ones only one.
    stage.crash(1, 0).unwrap();
    stage.crash(4, 0).unwrap();
    stage.tell(&Fact::Ended).unwrap();
    let mut able = converged(removed(), &[1, 2, 4]);
    able.tell(&Fact::Healed).unwrap();
    able.crash(1, 0).unwrap();
    able.crash(3, 0).unwrap();
    falls(able.tell(&Fact::Ended), liveness::NAME);
}

#[test]
fn a_founder_that_nobody_can_tell_of_the_formed_cluster_counts_as_lost() {
    let left = |knows: bool| {
        let mut stage = converged(removed(), &[1, 2, 4]);
        stage.tell(&Fact::Healed).unwrap();
        stage.crash(1, 0).unwrap();
        // Of voters 2, 4 and the lost 1, the second has not founded.
        stage.actor(4).status.founded = false;
        stage.step(4).unwrap();
        if !knows {
            stage.crash(2, 0).unwrap();
            stage.start(2).unwrap();
            stage.step(2).unwrap();
        }
        stage
    };
    falls(left(true).tell(&Fact::Ended), liveness::NAME);
    left(false).tell(&Fact::Ended).unwrap();
}
