//! Nothing grows beyond its limit: bytes proposed and not committed, tickets without an answer, what one append
//! carries (rule 18 of DESIGN). Where a bound on bytes is smaller than one entry, one entry passes.

use super::{
    Verdict,
    chain::Chain,
    cluster::{Seat, Step},
    demand,
};
use crate::facts::Class;
use raft_core::{Body, Entry, EntryId, Index, Limits, Message, NodeId, RoleName, Term};

/// The name of this invariant.
pub const NAME: &str = "bounds";

/// What one leader has appended in its term and not committed.
#[derive(Clone, Copy, Debug, Default)]
struct Uncommitted {
    term: Term,
    /// Everything up to here is counted, or committed.
    counted: Index,
    committed: Index,
    bytes: usize,
    /// Entries with any bytes.
    entries: usize,
}

/// The counts of every node.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    limits: Limits,
    uncommitted: Vec<Uncommitted>,
}

impl Bounds {
    pub(crate) fn new(nodes: usize, limits: Limits) -> Bounds {
        Bounds { limits, uncommitted: vec![Uncommitted::default(); nodes + 1] }
    }

    /// A turn is over; `seat` has its log already. `waiting`: tickets from earlier turns without an answer.
    pub(crate) fn stepped(&mut self, seat: &Seat, step: &Step<'_>, waiting: usize) -> Verdict {
        let waiting = waiting.max(step.after.tickets);
        demand(waiting <= self.limits.tickets, NAME, Class::Bounds, || {
            format!(
                "node {} owes {waiting} answers, more than the {} allowed",
                step.node, self.limits.tickets
            )
        })?;
        let own = &mut self.uncommitted[step.node.0 as usize];
        if step.after.role != RoleName::Leader {
            return Ok(());
        }
        if own.term != step.after.term {
            let start = step.kept;
            *own =
                Uncommitted { term: step.after.term, counted: start, committed: start, bytes: 0, entries: 0 };
        }
        own.count(&seat.log, step.log.last(), step.after.commit);
        let own = *own;
        let limit = self.limits.uncommitted_bytes;
        demand(own.bytes <= limit || own.entries <= 1, NAME, Class::Bounds, || {
            format!(
                "node {} has {} bytes in {} entries of its term {} uncommitted, more than the {limit} allowed",
                step.node, own.bytes, own.entries, own.term
            )
        })
    }

    /// A message leaves a node.
    pub(crate) fn sent(&self, node: NodeId, message: &Message) -> Verdict {
        let Body::Append { slice, .. } = &message.body else { return Ok(()) };
        let (entries, limits) = (slice.entries().len(), &self.limits);
        demand(entries <= limits.batch_entries, NAME, Class::Bounds, || {
            format!(
                "node {node} sends {entries} entries at once, more than the {} allowed",
                limits.batch_entries
            )
        })?;
        let bytes: usize = slice.entries().iter().map(Entry::size).sum();
        demand(bytes <= limits.batch_bytes || entries <= 1, NAME, Class::Bounds, || {
            format!("node {node} sends {bytes} bytes at once, more than the {} allowed", limits.batch_bytes)
        })
    }
}

impl Uncommitted {
    fn count(&mut self, log: &Chain, last: EntryId, commit: Index) {
        while self.counted < last.index {
            self.counted = self.counted.next();
            let size = self.own_size(log, self.counted);
            self.bytes += size;
            self.entries += usize::from(size > 0);
        }
        while self.committed < commit.min(self.counted) {
            self.committed = self.committed.next();
            let size = self.own_size(log, self.committed);
            self.bytes -= size;
            self.entries -= usize::from(size > 0);
        }
    }

    /// The size of an entry of this term: what a leader inherited is not counted.
    fn own_size(&self, log: &Chain, index: Index) -> usize {
        if log.id_at(index).is_some_and(|id| id.term == self.term) { log.size_at(index) } else { 0 }
    }
}
