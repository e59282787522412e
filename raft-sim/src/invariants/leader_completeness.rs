//! What is committed in a term is in the logs of the leaders of all later terms (Figure 3). A candidate of an older
//! term may still win late: it owes only what was committed in terms below its own.

use super::{Verdict, chain::Chain, demand};
use crate::facts::Class;
use raft_core::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;

/// The name of this invariant.
pub const NAME: &str = "leader_completeness";

/// The newest entry that was committed in each term, with the running hash there.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderCompleteness {
    newest: BTreeMap<Term, (EntryId, u64)>,
}

impl LeaderCompleteness {
    /// The newest term in which anything was committed.
    pub(crate) fn newest_term(&self) -> Term {
        self.newest.last_key_value().map(|(term, _)| *term).unwrap_or_default()
    }

    /// Whether what stands up to an index was committed in this term or before.
    pub(crate) fn has_committed(&self, index: Index, term: Term) -> bool {
        self.newest.range(..=term).rev().any(|(_, (id, _))| id.index >= index)
    }

    /// An entry was committed by the leader of a term.
    pub(crate) fn committed(&mut self, term: Term, id: EntryId, hash: u64) {
        self.newest.insert(term, (id, hash));
    }

    /// A node leads a term, with a log to `last` that begins behind `base` and has these running hashes. What is before its base
    /// is in it if the base is canonical.
    pub(crate) fn leads(
        &self,
        (node, term): (NodeId, Term),
        (base, last): (EntryId, EntryId),
        hash_at: impl Fn(Index) -> Option<u64>,
        canon: &Chain,
    ) -> Verdict {
        let owed = self.newest.range(..term).max_by_key(|(_, (id, _))| id.index);
        let Some((in_term, (id, hash))) = owed else { return Ok(()) };
        let compacted = id.index < base.index && canon.hash_at(base.index) == hash_at(base.index);
        demand(compacted || hash_at(id.index) == Some(*hash), NAME, Class::Safety, || {
            format!(
                "{id} was committed in term {in_term}, but node {node} leads term {term} without it, with a log to {last}"
            )
        })
    }
}
