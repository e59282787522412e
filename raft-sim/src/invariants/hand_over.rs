//! A leader that hands over takes no commands until that has ended (dissertation 3.10): its successor's log has to get to
//! the end of its own.

use super::{Verdict, cluster::Seat, cluster::Step, demand};
use crate::facts::Class;
use raft_core::{Entry, Payload, RoleName, Status};

/// The name of this invariant.
pub const NAME: &str = "hands_over_or_serves";

/// A turn is over. One in which somebody asks for a hand-over may have ended one and begun another.
pub(crate) fn stepped(seat: &mut Seat, step: &Step<'_>) -> Verdict {
    let asked = std::mem::take(&mut seat.asked_to_hand_over);
    let under_way = |status: &Status| {
        let to = status.transferring.filter(|_| status.role == RoleName::Leader);
        to.map(|to| (status.term, to))
    };
    let Some((term, to)) = under_way(step.after) else { return Ok(()) };
    if asked || step.before.and_then(under_way) != Some((term, to)) {
        return Ok(());
    }
    let command = |entry: &&Entry| matches!(entry.payload(), Payload::Command(_));
    let taken = step.log.from(step.ended.index.next()).find(command);
    demand(taken.is_none(), NAME, Class::Liveness, || {
        let taken = taken.map(|entry| entry.id().to_string()).unwrap_or_default();
        format!("node {} hands over term {term} to node {to}, and takes the command {taken}", step.node)
    })
}
