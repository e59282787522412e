//! A vote goes only to a candidate whose log is at least as up-to-date as the voter's: last term first, then length
//! (paper section 5.4.1). Nobody says before an election that it would vote for another one (dissertation 9.6).

use super::{
    Verdict,
    cluster::{Cluster, Seat},
    demand,
};
use crate::facts::{Class, Time};
use raft_core::{DiskId, EntryId, Message, NodeId, Stamp, Term};

/// The name of this invariant.
pub const NAME: &str = "up_to_date";

/// A vote leaves. What counts is the voter's log when the vote became durable; where the vote's own write changed the
/// log as well, the order of the two can't be told, and nothing is said. Nor is it where that log has lost its end since, to the
/// leader of the term or to a snapshot: the vote was blind, and is asked for again.
pub(crate) fn granted(
    cluster: &Cluster,
    voter: NodeId,
    (candidate, disk): (NodeId, DiskId),
    term: Term,
) -> Verdict {
    let stood = cluster.find(candidate).and_then(|seat| seat.stood.get(&(term, disk)));
    let ballot = cluster.seat(voter).ledger.ballot();
    let (Some(&last), Some(ballot)) = (stood, ballot) else { return Ok(()) };
    let cut = !cluster.seat(voter).ledger.chain().holds(ballot.tail);
    if ballot.term != term || !ballot.log_untouched || cut {
        return Ok(());
    }
    demand(last >= ballot.tail, NAME, Class::Safety, || {
        format!(
            "node {voter}, with a log to {}, votes in term {term} for node {candidate}, whose log ends with {last}",
            ballot.tail
        )
    })
}

/// The questions of one process for one term that reached a node, whether it would vote for it, taken together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedBefore {
    /// When it first reached the node.
    first: Time,
    /// How far the asker's log goes.
    last: EntryId,
    /// How far its own went before the turn that answers.
    own: EntryId,
}

/// A node is asked whether it would vote for another.
pub(crate) fn asked_before(seat: &mut Seat, at: Time, from: NodeId, message: &Message, last: EntryId) {
    let own = seat.log.last();
    let fresh = AskedBefore { first: at, last, own };
    let known = seat.asked_before.entry((from, message.from, message.term)).or_insert(fresh);
    // The answer to an earlier question may wait for the boot to be durable: the shorter log counts, and the better question. When
    // nothing waited after the turn before, it has left.
    if known.first < at && seat.status.as_ref().is_some_and(|status| status.held == 0) {
        *known = fresh;
    }
    (known.last, known.own) = (known.last.max(last), known.own.min(own));
}

/// When a node first had to say whether it would vote for this candidate in this term.
pub(crate) fn asked_at(seat: &Seat, candidate: NodeId, asker: Stamp, term: Term) -> Option<Time> {
    seat.asked_before.get(&(candidate, asker, term)).map(|asked| asked.first)
}

/// A node says that it would vote for another. Its log may have changed in that turn: the shorter one counts.
pub(crate) fn would_grant(
    seat: &Seat,
    voter: NodeId,
    candidate: NodeId,
    asker: Stamp,
    term: Term,
) -> Verdict {
    let Some(asked) = seat.asked_before.get(&(candidate, asker, term)) else { return Ok(()) };
    let (last, own) = (asked.last, asked.own.min(seat.log.last()));
    demand(last >= own, NAME, Class::Safety, || {
        format!(
            "node {voter}, with a log to {own}, would vote in term {term} for node {candidate}, whose log ends with {last}"
        )
    })
}
