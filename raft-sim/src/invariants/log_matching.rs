//! Two logs that have an entry of the same index and term are the same up to it (Figure 3).

use super::{Verdict, chain::position, cluster::Step, demand};
use crate::facts::Class;
use raft_core::{EntryId, Index, NodeId, Term};

/// The name of this invariant.
pub const NAME: &str = "log_matching";

/// The running hash of the first log that was seen with each entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogMatching {
    seen: Vec<Vec<(Term, u64, NodeId)>>,
}

impl LogMatching {
    /// Looks at what a turn appended.
    pub(crate) fn stepped(&mut self, step: &Step<'_>) -> Verdict {
        let base = step.log.base();
        if step.installed
            && let Some(hash) = step.log.hash_at(base.index)
            && base.index > Index(0)
        {
            self.appended(step.node, base.term, base.index, hash)?;
        }
        let mut index = step.kept.next();
        while let (Some(id), Some(hash)) = (step.log.id_at(index), step.log.hash_at(index)) {
            self.appended(step.node, id.term, index, hash)?;
            index = index.next();
        }
        Ok(())
    }

    /// The running hash with an entry, if any log was seen with it.
    pub(crate) fn hash_of(&self, id: EntryId) -> Option<u64> {
        let here = self.seen.get(position(id.index))?;
        here.iter().find(|(seen, _, _)| *seen == id.term).map(|(_, hash, _)| *hash)
    }

    fn appended(&mut self, node: NodeId, term: Term, index: Index, hash: u64) -> Verdict {
        let at = position(index);
        if self.seen.len() <= at {
            self.seen.resize(at + 1, Vec::new());
        }
        let here = &mut self.seen[at];
        match here.iter().find(|(seen, _, _)| *seen == term) {
            None => {
                here.push((term, hash, node));
                Ok(())
            }
            Some(&(_, first, whose)) => demand(first == hash, NAME, Class::Safety, || {
                format!(
                    "the logs of nodes {whose} and {node} both have {index}@{term}, and differ up to there \
                     (running hashes {first:016x} and {hash:016x})"
                )
            }),
        }
    }
}
