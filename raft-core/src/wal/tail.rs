//! Where the log stands, as far as its next record and the next segment's anchor depend on it.

use crate::entry::{Entry, Payload};
use crate::ids::{EntryId, Index, Term};
use crate::membership::Membership;
use crate::write::Base;
use alloc::vec::Vec;

/// Terms and running hashes of the log since its base, and its configurations. Invariant: `memberships` holds the
/// configuration in force at the base, if there is one, and those of the entries after it, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tail {
    base: EntryId,
    base_hash: u64,
    after: Vec<(Term, u64)>,
    memberships: Vec<(Index, Membership)>,
}

impl Tail {
    /// The entry that is not held here any more and that the first one follows.
    pub(super) fn base(&self) -> Index {
        self.base.index
    }

    /// The last entry; the base if there is none.
    pub(super) fn last(&self) -> EntryId {
        let index = Index(self.base.index.0.saturating_add(self.after.len() as u64));
        self.after.last().map_or(self.base, |(term, _)| EntryId { term: *term, index })
    }

    /// The running hash after the last entry.
    pub(super) fn running(&self) -> u64 {
        self.after.last().map_or(self.base_hash, |(_, hash)| *hash)
    }

    /// The configuration in force there; `None` before the founding, or before a joining node knows one.
    pub(super) fn membership(&self) -> Option<&Membership> {
        self.memberships.last().map(|(_, membership)| membership)
    }

    /// The entry at an index, with the running hash there; `None` outside of the log.
    pub(super) fn at(&self, index: Index) -> Option<(EntryId, u64)> {
        match index.0.checked_sub(self.base.index.0)?.checked_sub(1) {
            None => Some((self.base, self.base_hash)),
            Some(at) => {
                let (term, hash) = *self.after.get(usize::try_from(at).ok()?)?;
                Some((EntryId { term, index }, hash))
            }
        }
    }

    /// Starts again from a base.
    pub(super) fn reset(&mut self, base: &Base) {
        *self = Tail {
            base: base.id,
            base_hash: base.hash,
            after: Vec::new(),
            memberships: [(base.id.index, base.membership.clone())].into(),
        };
    }

    /// Adds the next entry, with the running hash after it.
    pub(super) fn push(&mut self, entry: &Entry, running: u64) {
        if let Payload::Membership(membership) = entry.payload() {
            self.memberships.push((entry.index(), membership.clone()));
        }
        self.after.push((entry.term(), running));
    }

    /// Forgets the entries after `keep`. Whether it is between the base and the end.
    pub(super) fn truncate(&mut self, keep: Index) -> bool {
        let inside = (self.base.index..=self.last().index).contains(&keep);
        if inside {
            self.after.truncate(usize::try_from(keep.0 - self.base.index.0).unwrap_or(usize::MAX));
            self.memberships.retain(|(index, _)| *index <= keep);
        }
        inside
    }

    /// Moves the base up to an index of the log: nothing before it is asked for any more.
    pub(super) fn release(&mut self, through: Index) {
        let Some((id, hash)) = self.at(through) else { return };
        self.after.drain(..usize::try_from(through.0 - self.base.index.0).unwrap_or(usize::MAX));
        let newer = self.memberships.partition_point(|(index, _)| *index <= through);
        self.memberships.drain(..newer.saturating_sub(1));
        (self.base, self.base_hash) = (id, hash);
    }
}
