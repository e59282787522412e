//! A log as the checkers keep it: ids and running hashes, by index, and the configurations.

use raft_core::{Base, Entry, EntryId, Index, Log, Membership, Payload};

/// One entry, and the running hash of the log up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    id: EntryId,
    hash: u64,
    size: usize,
}

/// Consecutive entries behind a base. What a node forgets, because a snapshot covers it, is kept here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    base: EntryId,
    base_hash: u64,
    links: Vec<Link>,
    /// The configuration of the base, if there is one, and those of the entries.
    memberships: Vec<(Index, Membership)>,
}

/// How a log goes on from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Up to here, both are the same; the new base if it isn't in the old log.
    pub(crate) kept: Index,
    /// The new base isn't in the old log: a snapshot took its place.
    pub(crate) installed: bool,
}

impl Chain {
    /// An empty log on its base.
    pub(crate) fn on(base: Option<&Base>) -> Chain {
        Chain {
            base: base.map(|base| base.id).unwrap_or_default(),
            base_hash: base.map_or(0, |base| base.hash),
            links: Vec::new(),
            memberships: base.map(|base| (base.id.index, base.membership.clone())).into_iter().collect(),
        }
    }

    /// The base of a node's log, without its entries.
    pub(crate) fn behind(log: &Log) -> Chain {
        let base = log.base();
        let membership = log.membership_at(base.index).map(|members| (base.index, members.clone()));
        Chain {
            base,
            base_hash: log.hash_at(base.index).unwrap_or_default(),
            links: Vec::new(),
            memberships: membership.into_iter().collect(),
        }
    }

    /// Its first configuration, that came with no entry.
    pub(crate) fn found(&mut self, membership: &Membership) {
        if self.membership_at(self.base.index).is_none() {
            self.memberships.insert(0, (self.base.index, membership.clone()));
        }
    }

    pub(crate) fn base(&self) -> EntryId {
        self.base
    }

    pub(crate) fn last(&self) -> EntryId {
        self.links.last().map_or(self.base, |link| link.id)
    }

    pub(crate) fn last_hash(&self) -> u64 {
        self.links.last().map_or(self.base_hash, |link| link.hash)
    }

    pub(crate) fn id_at(&self, index: Index) -> Option<EntryId> {
        if index == self.base.index { Some(self.base) } else { self.link(index).map(|link| link.id) }
    }

    pub(crate) fn hash_at(&self, index: Index) -> Option<u64> {
        if index == self.base.index { Some(self.base_hash) } else { self.link(index).map(|link| link.hash) }
    }

    /// The payload bytes of the entry at an index; 0 where there is none.
    pub(crate) fn size_at(&self, index: Index) -> usize {
        self.link(index).map_or(0, |link| link.size)
    }

    /// Whether it holds this entry.
    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.id_at(id.index) == Some(id)
    }

    /// The configuration in force at an index, and where it stands.
    pub(crate) fn configuration_at(&self, index: Index) -> Option<(Index, &Membership)> {
        let newest = self.memberships.partition_point(|(at, _)| *at <= index).checked_sub(1)?;
        self.memberships.get(newest).map(|(at, members)| (*at, members))
    }

    pub(crate) fn membership_at(&self, index: Index) -> Option<&Membership> {
        self.configuration_at(index).map(|(_, members)| members)
    }

    /// The newest configuration, and where it stands.
    pub(crate) fn configuration(&self) -> Option<(Index, &Membership)> {
        self.memberships.last().map(|(at, members)| (*at, members))
    }

    /// All configurations, newest first, from the one in force at an index on backwards.
    pub(crate) fn configurations_before(
        &self,
        index: Index,
    ) -> impl Iterator<Item = (Index, &Membership)> + '_ {
        let newest = self.memberships.partition_point(|(at, _)| *at <= index);
        self.memberships.iter().take(newest).rev().map(|(at, members)| (*at, members))
    }

    /// The configurations from the one in force at an index on.
    pub(crate) fn configurations_since(&self, index: Index) -> impl Iterator<Item = &Membership> + '_ {
        let newest = self.memberships.partition_point(|(at, _)| *at <= index);
        self.memberships.iter().skip(newest.saturating_sub(1)).map(|(_, members)| members)
    }

    /// Appends an entry; `false` if it doesn't follow the last one.
    #[must_use]
    pub(crate) fn push(&mut self, entry: &Entry) -> bool {
        let follows = entry.index() == self.last().index.next() && entry.term() >= self.last().term;
        if follows {
            let hash = entry.running_hash(self.last_hash());
            self.links.push(Link { id: entry.id(), hash, size: entry.size() });
            if let Payload::Membership(members) = entry.payload() {
                self.memberships.push((entry.index(), members.clone()));
            }
        }
        follows
    }

    /// Removes everything after an index.
    pub(crate) fn truncate(&mut self, keep: Index) {
        self.links.truncate(position(Index(keep.0.saturating_sub(self.base.index.0))));
        let base = self.base.index;
        self.memberships.retain(|(at, _)| *at <= keep.max(base));
    }

    /// How a log goes on from this one. Costs as much as they differ.
    pub(crate) fn agreement(&self, log: &Log) -> Agreement {
        let base = log.base();
        if self.id_at(base.index) != Some(base) || self.hash_at(base.index) != log.hash_at(base.index) {
            return Agreement { kept: base.index, installed: true };
        }
        let mut at = self.last().index.min(log.last().index);
        while at > base.index && self.hash_at(at) != log.hash_at(at) {
            let Some(before) = at.previous() else { break };
            at = before;
        }
        Agreement { kept: at, installed: false }
    }

    fn link(&self, index: Index) -> Option<&Link> {
        self.links.get(position(Index(index.0.checked_sub(self.base.index.0 + 1)?)))
    }
}

/// An index as a position in a vector of this machine.
pub(crate) fn position(index: Index) -> usize {
    usize::try_from(index.0).unwrap_or(usize::MAX)
}
