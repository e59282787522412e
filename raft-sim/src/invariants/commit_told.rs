//! A follower commits what it was told, and no more than the telling message covers: min(leader's commit, the last
//! index that this very append covers), or a heartbeat's commit (rule 7 of DESIGN), or a snapshot that took the place of
//! its log. What lies beyond may differ from the leader's log.

use super::{
    Verdict,
    cluster::{Seat, Step},
    demand,
};
use crate::facts::Class;
use raft_core::{Body, Message, RoleName};

/// The name of this invariant.
pub const NAME: &str = "commit_told";

/// A message reaches a node: the most that it may commit by it.
pub(crate) fn received(seat: &mut Seat, message: &Message) {
    let told = match &message.body {
        Body::Append { slice, commit } => (*commit).min(slice.last().index),
        Body::Heartbeat { commit, .. } => *commit,
        // Its last entry may come into the log in another way, before all of it is here.
        Body::Chunk { snapshot, .. } | Body::Piece { snapshot, .. } => {
            seat.snapshot_told = seat.snapshot_told.max(snapshot.last().index);
            return;
        }
        _ => return,
    };
    seat.told = seat.told.max(told);
}

/// A turn is over. A leader commits by counting.
pub(crate) fn stepped(seat: &mut Seat, step: &Step<'_>) -> Verdict {
    let told = std::mem::take(&mut seat.told);
    let led = |status: &raft_core::Status| status.role == RoleName::Leader;
    let counts = led(step.after) || step.before.is_some_and(led);
    let known = step.before.map_or(seat.started_at, |before| before.commit);
    let told = told.max(seat.snapshot_told);
    demand(counts || step.after.commit <= told.max(known), NAME, Class::Safety, || {
        format!(
            "node {} follows and commits {}, but knew {known} and was told at most {told} by what it received",
            step.node, step.after.commit
        )
    })
}
