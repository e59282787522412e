//! A log as the checkers keep it: ids and running hashes, by index.

use raft_core::{Entry, EntryId, Index, Log};

/// One entry, and the running hash of the log up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    id: EntryId,
    hash: u64,
    size: usize,
}

/// Consecutive entries from index 1 on. (This protocol has no snapshots: every base stands at index 0.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    links: Vec<Link>,
}

impl Chain {
    pub(crate) fn last(&self) -> EntryId {
        self.links.last().map_or(EntryId::ORIGIN, |link| link.id)
    }

    pub(crate) fn last_hash(&self) -> u64 {
        self.links.last().map_or(0, |link| link.hash)
    }

    pub(crate) fn id_at(&self, index: Index) -> Option<EntryId> {
        if index == Index(0) { Some(EntryId::ORIGIN) } else { self.link(index).map(|link| link.id) }
    }

    pub(crate) fn hash_at(&self, index: Index) -> Option<u64> {
        if index == Index(0) { Some(0) } else { self.link(index).map(|link| link.hash) }
    }

    /// The payload bytes of the entry at an index; 0 where there is none.
    pub(crate) fn size_at(&self, index: Index) -> usize {
        self.link(index).map_or(0, |link| link.size)
    }

    /// Whether it holds this entry.
    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.id_at(id.index) == Some(id)
    }

    /// Appends an entry; `false` if it doesn't follow the last one.
    #[must_use]
    pub(crate) fn push(&mut self, entry: &Entry) -> bool {
        let follows = entry.index() == self.last().index.next() && entry.term() >= self.last().term;
        if follows {
            let hash = entry.running_hash(self.last_hash());
            self.links.push(Link { id: entry.id(), hash, size: entry.size() });
        }
        follows
    }

    /// Removes everything after an index.
    pub(crate) fn truncate(&mut self, keep: Index) {
        self.links.truncate(position(keep));
    }

    /// The last index up to which it is the same as a log. Costs as much as they differ.
    pub(crate) fn agreement(&self, log: &Log) -> Index {
        let mut at = self.last().index.min(log.last().index);
        while self.hash_at(at) != log.hash_at(at) {
            let Some(before) = at.previous() else { break };
            at = before;
        }
        at
    }

    fn link(&self, index: Index) -> Option<&Link> {
        self.links.get(position(index.previous()?))
    }
}

/// An index as a position in a vector of this machine.
pub(crate) fn position(index: Index) -> usize {
    usize::try_from(index.0).unwrap_or(usize::MAX)
}
