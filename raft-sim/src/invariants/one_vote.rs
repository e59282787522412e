//! A node gives one vote a term (paper section 5.2), over all its crashes: what was durable isn't forgotten, and what
//! was sent isn't given again to another. Standing for election is a vote for oneself.

use super::{
    Broken, Verdict,
    cluster::{Seat, Vote},
    demand,
};
use crate::facts::Class;
use raft_core::{DiskId, HardState, NodeId, Term};

/// The name of this invariant.
pub const NAME: &str = "one_vote";

/// A hard state replaces another one on a disk.
pub(crate) fn durable(old: HardState, new: HardState) -> Verdict {
    let kept = old.term != new.term || old.vote.is_none() || old.vote == new.vote;
    demand(kept, NAME, Class::Safety, || format!("a disk that held {old:?} is given {new:?}"))
}

/// A vote leaves a node. A seat that was given a fresh disk to join anew is another voter. Whether the same one had left before.
pub(crate) fn sent(seat: &mut Seat, voter: NodeId, term: Term, vote: Vote) -> Result<bool, Broken> {
    let all = (term, DiskId(0))..=(term, DiskId(u64::MAX));
    for given in seat.votes.range(all).map(|(_, given)| given).filter(|given| given.seating == vote.seating) {
        demand(given.candidate == vote.candidate, NAME, Class::Safety, || {
            format!(
                "node {voter} votes for node {} in term {term}, and has voted for node {} in it",
                vote.candidate, given.candidate
            )
        })?;
    }
    Ok(seat.votes.insert((term, vote.disk), vote).is_some())
}
