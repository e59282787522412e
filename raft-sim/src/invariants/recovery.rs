//! A restart finds everything that was durable, plus at most writes that were in flight; and no process speaks with
//! the stamp of an earlier one (rule 16 of DESIGN).

use super::{Broken, cluster::Seat, demand, ledger::Survival, receipts::Receipts};
use crate::facts::Class;
use raft_core::{Index, NodeId, Recovered, Stamp};

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
    seat.room = Default::default();
    seat.receipts = Receipts::started(recovered);
    seat.stamp = stamp;
    seat.started_in = recovered.hard.term;
    seat.started_at = recovered.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.last().index);
    seat.served_stale = Index(0);
    seat.status = None;
    seat.log = seat.ledger.chain().clone();
    seat.installed = seat.log.base().index;
    seat.forces = seat.members().cloned().into_iter().collect();
    seat.turn_since = 0;
    seat.led = None;
    seat.handed_over = None;
    seat.stands_by = None;
    seat.asked_to_vote = false;
    seat.asked_before.clear();
    seat.told = Index(0);
    seat.standing = Default::default();
    seat.snapshot_told = Index(0);
    seat.matched.clear();
    seat.questions.clear();
    seat.spoken_to.clear();
    seat.told_to_read = Default::default();
    seat.capturing = None;
    seat.said_what_it_has = false;
    seat.round = Default::default();
    seat.rounds.clear();
    Ok(survival)
}

/// A disk is emptied: what its node was, it is no more. What it said before stays said.
pub(crate) fn wiped(seat: &mut Seat) {
    seat.wiped = true;
    emptied(seat);
}

/// A seat gets a fresh disk, and its processes join anew: nothing binds them that was said before.
pub(crate) fn seated(seat: &mut Seat) {
    seat.wiped = false;
    seat.seating += 1;
    emptied(seat);
}

fn emptied(seat: &mut Seat) {
    seat.rolled_back = false;
    seat.ledger = Default::default();
    seat.log = Default::default();
    seat.snapshots.clear();
    seat.patience = Default::default();
    seat.started_at = Index(0);
}
