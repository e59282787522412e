//! A vote goes only to a candidate whose log is at least as up-to-date as the voter's: last term first, then length
//! (paper section 5.4.1).

use super::{Verdict, cluster::Cluster, demand};
use crate::facts::Class;
use raft_core::{NodeId, Term};

/// The name of this invariant.
pub const NAME: &str = "up_to_date";

/// A vote leaves. What counts is the voter's log when the vote became durable; where the vote's own write changed the
/// log as well, the order of the two can't be told, and nothing is said.
pub(crate) fn granted(cluster: &Cluster, voter: NodeId, candidate: NodeId, term: Term) -> Verdict {
    let stood = cluster.find(candidate).and_then(|seat| seat.stood.get(&term));
    let ballot = cluster.seat(voter).ledger.ballot();
    let (Some(&last), Some(ballot)) = (stood, ballot) else { return Ok(()) };
    if ballot.term != term || !ballot.log_untouched {
        return Ok(());
    }
    demand(last >= ballot.tail, NAME, Class::Safety, || {
        format!(
            "node {voter}, with a log to {}, votes in term {term} for node {candidate}, whose log ends with {last}",
            ballot.tail
        )
    })
}
