//! Reads by a lease, and at followers.

use super::super::{hand_over, leadership, leases, patience, reads};
use super::*;
use crate::coverage::Mark;
use raft_core::{Answer, Ballot, Change, Ticket};

/// Node 1 leads term 1, has committed its no-op, and has begun round 1, which node 2 has answered; a client knows of
/// index 1.
fn leased(lease: bool) -> Stage {
    let mut stage = Stage::with(Rules { lease, ..rules(3) });
    stage.elect(1, &[2], 1);
    stage.settle(1, &[2]).unwrap();
    stage.round(1, 1, &[2]).unwrap();
    stage.ask(1, 6, false).unwrap();
    stage.round(1, 2, &[2]).unwrap();
    stage.answer(1, 6, Answer::ReadAt(Index(1))).unwrap();
    stage
}

impl Stage {
    fn ask(&mut self, node: u64, ticket: u64, lease: bool) -> Verdict {
        self.tell(&Fact::ReadAsked { node: NodeId(node), ticket: Ticket(ticket), lease })
    }

    fn read_by_lease(&mut self) -> Verdict {
        self.ask(1, 7, true)?;
        self.answer(1, 7, Answer::ReadAt(Index(1)))
    }

    /// A follower asks a leader, which hears it.
    fn question(&mut self, node: u64, leader: u64, batch: u64) -> Verdict {
        let term = self.actor(node).status.term.0;
        let question = self.message(node, leader, term, Body::ReadIndex { batch: Round(batch) });
        self.tell(&Fact::Sent { node: NodeId(node), to: NodeId(leader), message: &question })?;
        self.tell(&Fact::Received { node: NodeId(leader), from: NodeId(node), message: &question })
    }

    /// The leader answers, and the follower hears it.
    fn tells(&mut self, leader: u64, node: u64, batch: u64, index: u64) -> Verdict {
        let body = Body::ReadIndexReply { batch: Round(batch), index: Index(index) };
        let reply = self.message(leader, node, self.actors[leader as usize - 1].status.term.0, body);
        self.tell(&Fact::Sent { node: NodeId(leader), to: NodeId(node), message: &reply })?;
        self.tell(&Fact::Received { node: NodeId(node), from: NodeId(leader), message: &reply })
    }
}

#[test]
fn a_lease_answers_without_a_round() {
    let mut stage = leased(true);
    for (ticks, in_the_last) in [(7, 0), (1, 1)] {
        stage.now += 100 * u64::from(ticks);
        stage.tell(&Fact::Ticked { node: NodeId(1), elapsed: ticks }).unwrap();
        let mut reads = stage.clone();
        reads.read_by_lease().unwrap();
        let count = |mark| reads.judges.coverage().count(mark);
        assert_eq!((count(Mark::LeaseReads), count(Mark::LeaseReadNearEnd)), (1, in_the_last));
    }
    let mut plain = leased(true);
    plain.ask(1, 7, false).unwrap();
    falls(plain.answer(1, 7, Answer::ReadAt(Index(1))), reads::ROUND);
}

#[test]
fn a_lease_ends_with_the_election_timeout_of_its_round() {
    let late = |lease| {
        let mut stage = leased(lease);
        stage.now += 1_000;
        stage.read_by_lease()
    };
    falls(late(true), leases::NAME);
    // With clocks as bad as they like nothing is said.
    late(false).unwrap();
}

/// The round began before its answer came: that is what counts.
#[test]
fn a_lease_runs_from_when_its_round_began() {
    let mut stage = leased(true);
    let round = Round(3);
    stage.send(1, 2, Body::Heartbeat { commit: Index(1), round }).unwrap();
    stage.now += 900;
    stage.send(2, 1, Body::HeartbeatReply { round }).unwrap();
    stage.clone().read_by_lease().unwrap();
    stage.now += 200;
    falls(stage.read_by_lease(), leases::NAME);
}

#[test]
fn a_lease_ends_with_a_hand_over() {
    let mut stage = leased(true);
    stage.send(1, 2, Body::TimeoutNow).unwrap();
    falls(stage.read_by_lease(), leases::NAME);
}

/// Node 2 has given the lease, and in the new half node 3 alone votes.
#[test]
fn a_lease_is_for_a_quorum_of_the_configuration_in_force_to_give() {
    let mut stage = leased(true);
    stage.adopt(3, 1, None).unwrap();
    let founders = stage.actor(1).log.membership().unwrap().clone();
    let remove = |id| Change::Remove { id: NodeId(id) };
    let joint = founders.change(&[remove(2), Change::Demote { id: NodeId(1) }]).unwrap();
    stage.append(1, vec![Entry::new(EntryId::new(1, 2), Payload::Membership(joint))]).unwrap();
    // In the turn of the change the lease before it still counts.
    stage.clone().read_by_lease().unwrap();
    stage.step(1).unwrap();
    falls(stage.clone().read_by_lease(), leases::NAME);
    stage.round(1, 3, &[2]).unwrap();
    falls(stage.clone().read_by_lease(), leases::NAME);
    stage.round(1, 4, &[3]).unwrap();
    stage.read_by_lease().unwrap();
}

#[test]
fn a_lease_while_another_leader_commits_is_reported() {
    let mut stage = leased(true);
    stage.elect(2, &[3], 2);
    stage.settle(2, &[3]).unwrap();
    // Nobody was told of index 2 yet: the read may even be right.
    falls(stage.read_by_lease(), leases::NAME);
}

#[test]
fn a_lease_of_who_does_not_lead_is_reported() {
    let mut stage = leased(true);
    stage.actor(1).status.role = RoleName::Follower;
    stage.step(1).unwrap();
    falls(stage.read_by_lease(), leases::NAME);
}

/// Node 2 has answered a round of node 1 in term 1, and has heard it when the time is 0 for this test.
fn promised() -> Stage {
    let mut stage = leased(true);
    let beat = stage.message(1, 2, 1, Body::Heartbeat { commit: Index(1), round: Round(3) });
    stage.tell(&Fact::Received { node: NodeId(2), from: NodeId(1), message: &beat }).unwrap();
    stage.send(2, 1, Body::HeartbeatReply { round: Round(3) }).unwrap();
    stage
}

#[test]
fn a_voter_that_hears_a_leader_gives_nobody_its_voice() {
    let mut stage = promised();
    stage.now += 800;
    falls(stage.clone().send_in(2, 3, 2, Body::PreVoteReply { answer: Ballot::Granted }), patience::NAME);
    falls(stage.clone().vote(2, 3, 2), patience::NAME);
    // Nor does it after a restart; nor for a leader's word that it only heard later.
    let mut restarted = stage.clone();
    restarted.restart(2, 0).unwrap();
    falls(restarted.vote(2, 3, 2), patience::NAME);
    stage.now += 100;
    stage.vote(2, 3, 2).unwrap();
}

#[test]
fn a_voter_votes_for_whom_its_leader_hands_over_to() {
    let mut stage = promised();
    let request =
        stage.message(3, 2, 2, Body::Vote { last: EntryId::new(1, 1), transfer: true, recorded: true });
    stage.tell(&Fact::Received { node: NodeId(2), from: NodeId(3), message: &request }).unwrap();
    stage.clone().vote(2, 3, 2).unwrap();
    falls(stage.vote(2, 1, 2), patience::NAME);
    let unsafe_clocks = Rules { lease: false, ..rules(3) };
    Stage::with(unsafe_clocks).vote(2, 3, 2).unwrap();
}

#[test]
fn who_gave_a_vote_and_stands_too_early_is_reported() {
    let mut stage = Stage::new(3);
    stage.vote(2, 3, 1).unwrap();
    stage.now += 700;
    falls(stage.clone().adopt(2, 2, Some(2)), patience::WAITS);
    // It may if it is told to, by a leader or by anybody else, and when it has waited.
    let mut told = stage.clone();
    let now = told.message(1, 2, 1, Body::TimeoutNow);
    told.tell(&Fact::Received { node: NodeId(2), from: NodeId(1), message: &now }).unwrap();
    told.adopt(2, 2, Some(2)).unwrap();
    stage.clone().stand(2, 2).unwrap();
    stage.now += 200;
    stage.adopt(2, 2, Some(2)).unwrap();
}

#[test]
fn a_leader_that_takes_commands_while_it_hands_over_is_reported() {
    let mut stage = Stage::new(3);
    stage.elect(1, &[2], 1);
    stage.actor(1).status.transferring = Some(NodeId(2));
    // What came in the turn in which it began came before.
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    let ticket = Ticket(8);
    let mut again = stage.clone();
    again.tell(&Fact::TransferAsked { node: NodeId(1), ticket }).unwrap();
    again.append(1, vec![entry(1, 3, "b")]).unwrap();
    falls(stage.append(1, vec![entry(1, 3, "b")]), hand_over::NAME);
}

#[test]
fn a_leader_without_a_quorum_or_a_disk_is_reported() {
    let mut stage = leased(true);
    let reply = stage.message(2, 1, 1, Body::HeartbeatReply { round: Round(2) });
    stage.tell(&Fact::Received { node: NodeId(1), from: NodeId(2), message: &reply }).unwrap();
    stage.now += 1_900;
    stage.step(1).unwrap();
    let mut deaf = stage.clone();
    deaf.now += 200;
    falls(deaf.step(1), leadership::QUORUM);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.now += 1_990;
    stage.tell(&Fact::Received { node: NodeId(1), from: NodeId(2), message: &reply }).unwrap();
    stage.step(1).unwrap();
    let mut stalled = stage.clone();
    stalled.now += 100;
    falls(stalled.step(1), leadership::DISK);
    stage.sync(1).unwrap();
    stage.now += 100;
    stage.step(1).unwrap();
}

#[test]
fn a_follower_serves_what_its_leader_tells() {
    let mut stage = leased(true);
    stage.ask(2, 7, false).unwrap();
    stage.question(2, 1, 1).unwrap();
    stage.round(1, 3, &[2]).unwrap();
    stage.tells(1, 2, 1, 1).unwrap();
    stage.answer(2, 7, Answer::ReadAt(Index(1))).unwrap();
    assert_eq!(stage.judges.coverage().count(Mark::FollowerReads), 1);
}

#[test]
fn a_follower_that_serves_without_asking_is_reported() {
    let mut stage = leased(true);
    stage.question(2, 1, 1).unwrap();
    stage.round(1, 3, &[2]).unwrap();
    stage.tells(1, 2, 1, 1).unwrap();
    stage.ask(2, 7, false).unwrap();
    falls(stage.answer(2, 7, Answer::ReadAt(Index(1))), reads::OWN_TERM);
}

#[test]
fn a_leader_that_tells_an_index_without_a_round_is_reported() {
    let mut stage = leased(true);
    falls(stage.clone().tells(1, 2, 1, 1), reads::NAME);
    stage.question(2, 1, 1).unwrap();
    falls(stage.clone().tells(1, 2, 1, 1), reads::ROUND);
    stage.round(1, 3, &[2]).unwrap();
    falls(stage.clone().tells(1, 2, 1, 0), reads::NAME);
    stage.tells(1, 2, 1, 1).unwrap();
    // The same question again is answered by the same round; a new one isn't.
    stage.question(2, 1, 1).unwrap();
    stage.tells(1, 2, 1, 1).unwrap();
    stage.question(2, 1, 2).unwrap();
    falls(stage.tells(1, 2, 2, 1), reads::ROUND);
}

#[test]
fn a_follower_that_serves_too_little_is_reported() {
    let mut stage = leased(true);
    stage.append(1, vec![entry(1, 2, "a")]).unwrap();
    stage.settle(1, &[2]).unwrap();
    stage.ask(1, 8, false).unwrap();
    stage.round(1, 3, &[2]).unwrap();
    stage.answer(1, 8, Answer::ReadAt(Index(2))).unwrap();
    stage.ask(2, 7, false).unwrap();
    stage.question(2, 1, 1).unwrap();
    stage.round(1, 4, &[2]).unwrap();
    stage.tells(1, 2, 1, 2).unwrap();
    falls(stage.answer(2, 7, Answer::ReadAt(Index(1))), reads::NAME);
}
