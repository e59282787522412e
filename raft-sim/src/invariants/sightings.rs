//! The rare states that the checkers see pass by, counted as coverage marks.

use super::{
    cluster::{Cluster, Seat, Step, Vote},
    ledger::Survival,
    quorum,
    tickets::Answered,
};
use crate::coverage::{Coverage, Mark};
use crate::facts::Room;
use raft_core::{Answer, Ballot, Body, Boot, Membership, Message, NodeId, RoleName, Stamp, Term};

/// A process starts.
pub(super) fn started(coverage: &mut Coverage, stamp: Stamp, survival: Survival, from_snapshot: bool) {
    if from_snapshot {
        coverage.reach(Mark::StartedFromSnapshot);
    }
    if stamp.boot > Boot(1) {
        coverage.reach(Mark::Restarts);
    }
    if survival.lost > 0 {
        coverage.reach(Mark::CrashLostWrite);
    }
    if survival.kept > 0 {
        coverage.reach(Mark::CrashKeptWrite);
    }
}

/// A turn is over, and the cluster knows it.
pub(super) fn stepped(cluster: &Cluster, coverage: &mut Coverage, step: &Step<'_>) {
    if step.truncated() {
        coverage.reach(Mark::Truncations);
    }
    if step.before.is_some_and(|before| before.membership_at > step.kept) && step.truncated() {
        coverage.reach(Mark::MembershipRolledBack);
    }
    if step.before.is_some_and(|before| before.base < step.after.base) && !step.installed {
        coverage.reach(Mark::CompactedLogs);
    }
    if step.installed && step.ended.index > step.log.base().index {
        coverage.reach(Mark::SuffixDropped);
    }
    let commit = step.after.commit;
    let advanced = step.before.is_none_or(|before| before.commit < commit);
    if advanced && cluster.seat(step.node).ledger.chain().last().index < commit {
        let led = step.after.role == RoleName::Leader;
        coverage.reach(if led { Mark::CommitPassedOwnDisk } else { Mark::FollowerCommitPassedOwnDisk });
    }
}

/// A node has won an election. `newest`: the newest term that was led before, and by whom.
pub(super) fn elected(
    cluster: &Cluster,
    coverage: &mut Coverage,
    newest: Option<(Term, NodeId)>,
    step: &Step<'_>,
) {
    coverage.reach(Mark::Elections);
    let term = step.after.term;
    match newest {
        Some((newest, _)) if newest > term => coverage.reach(Mark::OldTermWonLate),
        Some((_, leader)) if leader == step.node => coverage.reach(Mark::Reelection),
        _ => {}
    }
    if cluster.seat(step.node).room == Room::InReserve {
        coverage.reach(Mark::ElectedOnReserve);
    }
    let mut terms = 0;
    let mut above = None;
    for entry in step.log.from(cluster.canon.last().index.next()) {
        terms += u32::from(above != Some(entry.term()));
        above = Some(entry.term());
        if terms == 3 {
            break;
        }
    }
    if step.after.membership.is_joint() {
        coverage.reach(Mark::ElectedWhileJoint);
    }
    if terms >= 3 {
        coverage.reach(Mark::LeaderWithThreeTerms);
    }
    if terms >= 2 {
        coverage.reach(Mark::LeaderWithOldTail);
    }
}

/// A message leaves a node.
pub(super) fn sent(seat: &Seat, coverage: &mut Coverage, to: NodeId, message: &Message) {
    match message.body {
        Body::Conflict { .. } => coverage.reach(Mark::Conflicts),
        Body::VoteReply { answer: Ballot::Refused } => {
            let voted = seat.votes.get(&(message.term, message.from.disk));
            if voted.is_some_and(|vote| vote.candidate != to) {
                coverage.reach(Mark::VoteRefusedInTerm);
            }
        }
        Body::ChunkReply { have, .. } if have > 0 && !seat.said_what_it_has => {
            coverage.reach(Mark::TransferResumed);
        }
        Body::Removed { .. } => coverage.reach(Mark::RemovedTold),
        Body::TimeoutNow => {
            let settled = seat.members_at().is_none_or(|at| at <= seat.commit());
            if !settled || seat.members().is_some_and(Membership::is_joint) {
                coverage.reach(Mark::TransferWhileChanging);
            }
        }
        _ => {}
    }
}

/// A vote leaves a node.
pub(super) fn voted(seat: &Seat, coverage: &mut Coverage, node: NodeId, term: Term, vote: Vote, again: bool) {
    if vote.candidate == node {
        return;
    }
    if again {
        coverage.reach(Mark::VoteRepeated);
    }
    if seat.started_in == term {
        coverage.reach(Mark::VoteAfterRestartInTerm);
    }
}

/// A message reaches a node.
pub(super) fn received(
    cluster: &Cluster,
    coverage: &mut Coverage,
    node: NodeId,
    from: NodeId,
    message: &Message,
) {
    let seat = cluster.seat(node);
    if message.to.is_some_and(|asker| asker.disk == seat.stamp.disk && asker.boot < seat.stamp.boot) {
        coverage.reach(Mark::ReplyToEarlierBoot);
    }
    if let Body::Chunk { ref snapshot, .. } = message.body {
        if snapshot.last().index <= seat.commit() {
            coverage.reach(Mark::SnapshotRefusedAsOld);
        } else if seat.log.holds(snapshot.last()) {
            coverage.reach(Mark::SuffixKept);
        }
    }
    let Some(status) = seat.leading() else { return };
    match message.body {
        Body::Stale => coverage.reach(Mark::StaleLeaderTold),
        Body::Conflict { asked, .. } if message.term == status.term => {
            let ack =
                cluster.find(from).and_then(|sender| sender.acks.get(&(status.term, message.from.disk)));
            if ack.is_some_and(|ack| ack.matched >= asked.index) {
                coverage.reach(Mark::LateConflict);
            }
        }
        _ => {}
    }
}

/// A leader answers a read after a round.
pub(super) fn read(cluster: &Cluster, coverage: &mut Coverage, node: NodeId) {
    let seat = cluster.seat(node);
    let is_full = |id| cluster.find(id).is_some_and(|seat| seat.room != Room::Enough);
    if is_full(node) && seat.members().is_some_and(|members| quorum::agreed(members, is_full)) {
        coverage.reach(Mark::ReadWhenFull);
    }
}

/// A ticket is answered.
pub(super) fn answered(coverage: &mut Coverage, asked: Answered, answer: Answer) {
    match answer {
        Answer::Committed(_) if matches!(asked, Answered::Change) => coverage.reach(Mark::Reconfigurations),
        Answer::Refused(_) if matches!(asked, Answered::Change) => coverage.reach(Mark::ChangesRefused),
        Answer::Unknown => coverage.reach(Mark::UnknownAnswers),
        Answer::Lost => coverage.reach(Mark::LostAnswers),
        Answer::Busy(_) => coverage.reach(Mark::BusyAnswers),
        Answer::NotLeader { .. } => coverage.reach(Mark::NotLeaderAnswers),
        Answer::ReadAt(_) => coverage.reach(Mark::ReadAnswers),
        Answer::Committed(_) | Answer::Refused(_) | Answer::HandingOver { .. } => {}
    }
}
