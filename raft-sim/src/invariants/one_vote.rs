//! A node gives one vote a term (paper section 5.2), over all its crashes: what was durable isn't forgotten, and what
//! was sent isn't given again to another. Standing for election is a vote for oneself.
//!
//! A founder whose disk was wiped votes anew only if it founds anew, and then every other founder has said that it has
//! not founded with the lost disk. So none has asked that disk for a vote, and its own candidacy died with it. That vote
//! for itself is void, unless it has won by it; any other vote that a lost disk has given still binds.

use super::{
    Broken, Verdict,
    cluster::{Seat, Vote},
    demand,
};
use crate::facts::Class;
use raft_core::{DiskId, HardState, NodeId, Stamp, Term};

/// The name of this invariant.
pub const NAME: &str = "one_vote";

/// A hard state replaces another one on a disk.
pub(crate) fn durable(old: HardState, new: HardState) -> Verdict {
    let kept = old.term != new.term || old.vote.is_none() || old.vote == new.vote;
    demand(kept, NAME, Class::Safety, || format!("a disk that held {old:?} is given {new:?}"))
}

/// A vote leaves a node. A seat that was given a fresh disk to join anew is another voter. `leader`: who has won the term.
/// Whether the same vote had left before.
pub(crate) fn sent(
    seat: &mut Seat,
    voter: NodeId,
    term: Term,
    vote: Vote,
    leader: Option<(NodeId, Stamp)>,
) -> Result<bool, Broken> {
    let all = (term, DiskId(0))..=(term, DiskId(u64::MAX));
    let binds = |given: &Vote| {
        let died =
            given.disk != vote.disk && given.candidate == voter && leader != Some((voter, given.asker));
        given.seating == vote.seating && !died
    };
    for given in seat.votes.range(all).map(|(_, given)| given).filter(|given| binds(given)) {
        // A replaced disk and the next one of its id are two candidates.
        let same = given.candidate == vote.candidate && given.asker.disk == vote.asker.disk;
        demand(same, NAME, Class::Safety, || {
            format!(
                "node {voter} votes for node {} on disk {:016x} in term {term}, and has voted for node {} on disk {:016x} in it",
                vote.candidate, vote.asker.disk.0, given.candidate, given.asker.disk.0
            )
        })?;
    }
    Ok(seat.votes.insert((term, vote.disk), vote).is_some())
}
