//! A restart finds everything that was durable, plus at most writes that were in flight; and no process speaks with
//! the stamp of an earlier one (rule 16 of DESIGN).

use super::{Broken, cluster::Seat, demand, ledger::Survival};
use crate::facts::Class;
use raft_core::{NodeId, Recovered, Stamp};

/// The name of the invariant that every process has a stamp of its own.
pub const STAMP: &str = "own_stamp";

/// A process starts.
pub(crate) fn started(
    seat: &mut Seat,
    node: NodeId,
    stamp: Stamp,
    recovered: &Recovered,
) -> Result<Survival, Broken> {
    demand(stamp.disk != seat.spoke.disk || stamp.boot > seat.spoke.boot, STAMP, Class::Durability, || {
        format!("node {node} starts as {stamp:?}, and {:?} has sent messages", seat.spoke)
    })?;
    let survival = seat
        .ledger
        .started(recovered)
        .map_err(|broken| Broken { said: format!("node {node}: {}", broken.said), ..broken })?;
    seat.running = true;
    seat.halted = false;
    seat.stamp = stamp;
    seat.started_in = recovered.hard.term;
    seat.status = None;
    seat.log = seat.ledger.chain().clone();
    seat.members = None;
    seat.members_at = None;
    seat.led = None;
    seat.matched.clear();
    seat.round = Default::default();
    Ok(survival)
}

/// A disk is emptied: what its node was, it is no more. What it said before stays said.
pub(crate) fn wiped(seat: &mut Seat) {
    seat.wiped = true;
    seat.ledger = Default::default();
    seat.log = Default::default();
}
