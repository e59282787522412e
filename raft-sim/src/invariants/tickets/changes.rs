//! The answers to changes of the configuration and to hand-overs: `Committed` names an entry that is the very result of
//! the changes on the configuration before it, and a refusal is true of a configuration that was in force in the turn.

use super::{Desk, Place, lost, not_appended, placed as placed_at, unknown};
use crate::invariants::cluster::{Cluster, Step};
use raft_core::{Answer, Change, Index, NodeId, Payload, Refusal, RoleName};

/// A change that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) changes: Vec<Change>,
    pub(super) expect: Option<Index>,
    pub(super) place: Place,
}

/// A turn is over: is some new entry the change that was handed in for it? What a leader does on its own may look the
/// same; then nothing is said.
pub(super) fn placed(desk: &mut Desk, step: &Step<'_>) {
    let changed = std::mem::take(&mut desk.changed);
    let [ticket] = changed[..] else { return };
    let Some(super::Asked::Change(request)) = desk.open.get_mut(&ticket) else { return };
    if matches!(request.changes[..], [Change::Promote { .. }]) {
        return;
    }
    let term = step.after.term;
    let makes = |changes: &[Change], entry: &raft_core::Entry| {
        let before = entry.index().previous().and_then(|index| step.log.membership_at(index));
        match entry.payload() {
            Payload::Membership(members) if entry.term() == term => {
                before.is_some_and(|before| before.change(changes).as_ref() == Ok(members))
            }
            _ => false,
        }
    };
    // A vote that is taken from who has none changes nothing: what is left may be the leader's own promotion.
    let promotes = |change: &&Change| matches!(change, Change::Promote { .. });
    let promotions: Vec<_> = request.changes.iter().filter(promotes).cloned().collect();
    let found = step.log.from(step.kept.next()).find(|entry| makes(&request.changes, entry));
    request.place = match found.map(raft_core::Entry::id) {
        Some(_) if found.is_some_and(|entry| makes(&promotions, entry)) => Place::Unclear,
        Some(id) if step.after.role == RoleName::Leader => Place::At(id),
        None if step.led_throughout() => Place::Nowhere,
        _ => Place::Unclear,
    };
}

/// Whether an answer to a change is true; if not, why.
pub(super) fn truthful(
    cluster: &Cluster,
    node: NodeId,
    request: &Request,
    answer: Answer,
) -> Result<(), String> {
    match answer {
        Answer::Committed(id) => {
            let canon = &cluster.canon;
            let (at, before) = id
                .index
                .previous()
                .filter(|_| canon.holds(id))
                .and_then(|index| canon.configuration_at(index))
                .ok_or_else(|| format!("{id} is not committed"))?;
            let expected = before.change(&request.changes);
            let (stands, members) = canon.configuration_at(id.index).unwrap_or((at, before));
            if stands != id.index || expected.as_ref() != Ok(members) {
                return Err(format!("{id} is not what {:?} makes of the one before", request.changes));
            }
            if let Some(expect) = request.expect
                && canon.configuration_at(expect).map(|(expected, _)| expected) != Some(at)
            {
                return Err(format!(
                    "the one at {expect} was expected, and the one before {id} stands at {at}"
                ));
            }
            placed_at(request.place, id)
        }
        Answer::Lost => lost(cluster, request.place),
        Answer::Unknown => unknown(cluster, node, request.place),
        Answer::NotLeader { .. } | Answer::Busy(_) => not_appended(request.place),
        Answer::Refused(refusal) => {
            not_appended(request.place)?;
            refused(cluster, node, request, refusal)
        }
        Answer::HandingOver { .. } | Answer::ReadAt(_) => {
            Err("it stands for a change of the configuration".into())
        }
    }
}

/// A refusal that depends on the configuration alone must be what the arithmetic says of one in force in the turn. Of a
/// turn at whose end the node doesn't lead nothing is said: what was in force in it may be gone.
fn refused(cluster: &Cluster, node: NodeId, request: &Request, refusal: Refusal) -> Result<(), String> {
    let seat = cluster.seat(node);
    if seat.leading().is_none() {
        return Ok(());
    }
    let holds = match refusal {
        Refusal::Moved { at } => request.expect.is_some_and(|expect| expect != at),
        Refusal::InProgress { at } => at > Index(0),
        Refusal::UnknownMember { .. }
        | Refusal::AlreadyMember { .. }
        | Refusal::AlreadyVoter { .. }
        | Refusal::NotAConfiguration
        | Refusal::NoChange => {
            seat.in_play().iter().any(|members| members.change(&request.changes) == Err(refusal))
        }
        Refusal::Leads { id } => {
            let replaced = |change: &Change| matches!(change, Change::Replace { id, .. } if *id == node);
            id == node && request.changes.iter().any(replaced)
        }
        Refusal::NotAVoter { .. } | Refusal::NoSuccessor => false,
        Refusal::TermNotCommitted
        | Refusal::Transferring
        | Refusal::NotCaughtUp { .. }
        | Refusal::WouldLoseQuorum => true,
    };
    if holds {
        Ok(())
    } else {
        Err(format!("that isn't so for {:?}, expected at {:?}", request.changes, request.expect))
    }
}

/// Whether an answer to a hand-over is true; if not, why.
pub(super) fn handed_over(cluster: &Cluster, node: NodeId, answer: Answer) -> Result<(), String> {
    let seat = cluster.seat(node);
    let in_play = if seat.leading().is_some() { seat.in_play() } else { &[] };
    match answer {
        Answer::HandingOver { .. } | Answer::Refused(_) if in_play.is_empty() => Ok(()),
        Answer::HandingOver { to } if to == node || !in_play.iter().any(|members| members.is_voter(to)) => {
            Err(format!("{to} is no other voter"))
        }
        Answer::Refused(Refusal::NotAVoter { id }) if in_play.iter().all(|members| members.is_voter(id)) => {
            Err(format!("{id} votes"))
        }
        Answer::HandingOver { .. } | Answer::Refused(_) | Answer::NotLeader { .. } | Answer::Busy(_) => {
            Ok(())
        }
        _ => Err("it stands for a hand-over".into()),
    }
}
