//! The log since its base, in memory: what this server has appended, durable or not.

use crate::entry::Entry;
use crate::ids::{EntryId, Index, Term};
use crate::membership::Membership;
use crate::write::Base;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// An entry and the running hash after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    entry: Entry,
    hash: u64,
}

/// The log. Invariants: indexes are contiguous from the base, terms never go down, each running hash continues the one
/// before it, `memberships` holds exactly the configuration in force at the base, with the index where it stands as far as that
/// is known, and those of the entries, in order; `decayed` holds exactly the indexes of decayed entries, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    base: EntryId,
    base_hash: u64,
    slots: VecDeque<Slot>,
    memberships: Vec<(Index, Membership)>,
    decayed: Vec<Index>,
}

impl Log {
    /// A log on its base, or on nothing at all before the founding.
    pub fn new(base: Option<&Base>) -> Log {
        Log {
            base: base.map_or(EntryId::ORIGIN, |base| base.id),
            base_hash: base.map_or(0, |base| base.hash),
            slots: VecDeque::new(),
            memberships: base.map(|base| (base.id.index, base.membership.clone())).into_iter().collect(),
            decayed: Vec::new(),
        }
    }

    /// What a data directory held.
    pub fn recovered(base: Option<&Base>, entries: impl IntoIterator<Item = Entry>) -> Log {
        let mut log = Log::new(base);
        for entry in entries {
            log.append(entry);
        }
        log
    }

    /// Whether it holds the last entry that this base covers, and with it all before.
    pub fn holds(&self, base: &Base) -> bool {
        self.id_at(base.id.index) == Some(base.id) && self.hash_at(base.id.index) == Some(base.hash)
    }

    /// The base that the log would have if it began behind this index.
    pub fn base_at(&self, index: Index) -> Option<Base> {
        let (id, hash) = self.id_at(index).zip(self.hash_at(index))?;
        Some(Base { id, hash, membership: self.membership_at(index)?.clone() })
    }

    /// The configuration in force at an index of the log; `None` before the founding.
    pub fn membership_at(&self, index: Index) -> Option<&Membership> {
        self.in_force_at(index).map(|(_, membership)| membership)
    }

    /// The configuration in force at an index, and where it stands.
    fn in_force_at(&self, index: Index) -> Option<&(Index, Membership)> {
        let newest = self.memberships.partition_point(|(at, _)| *at <= index);
        self.memberships.get(newest.checked_sub(1)?)
    }

    /// Whether the configuration in force at an index is what the founders heard of each other, not yet put on record.
    pub(crate) fn is_hearsay_at(&self, index: Index) -> bool {
        self.in_force_at(index).is_some_and(|(at, _)| *at == EntryId::ORIGIN.index)
    }

    /// The configuration in force at an index, and all later ones.
    pub(crate) fn memberships_from(&self, index: Index) -> impl Iterator<Item = &Membership> {
        let newest = self.memberships.partition_point(|(at, _)| *at <= index);
        self.memberships.iter().skip(newest.saturating_sub(1)).map(|(_, membership)| membership)
    }

    /// Forgets the entries up to an index; a snapshot covers them.
    pub fn compact(&mut self, through: Index) {
        let base = self.base_at(through).expect("what is forgotten is in the log");
        let gone = usize::try_from(through.0 - self.base.index.0).unwrap_or(usize::MAX);
        self.slots.drain(..gone);
        let in_force = self.memberships.partition_point(|(at, _)| *at <= through);
        self.memberships.drain(..in_force.saturating_sub(1));
        self.decayed.retain(|index| *index > through);
        (self.base, self.base_hash) = (base.id, base.hash);
    }

    /// The entry that the base covers: the last one that is not held here.
    pub fn base(&self) -> EntryId {
        self.base
    }

    /// The last entry; the base's if there is none.
    pub fn last(&self) -> EntryId {
        self.slots.back().map_or(self.base, |slot| slot.entry.id())
    }

    /// The term of the entry at an index; `None` before the base and after the end.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            Some(self.base.term)
        } else {
            self.slot(index).map(|slot| slot.entry.term())
        }
    }

    /// The id of the entry at an index; `None` before the base and after the end.
    pub fn id_at(&self, index: Index) -> Option<EntryId> {
        self.term_at(index).map(|term| EntryId { term, index })
    }

    /// The running hash after an index; `None` before the base and after the end.
    pub fn hash_at(&self, index: Index) -> Option<u64> {
        if index == self.base.index { Some(self.base_hash) } else { self.slot(index).map(|slot| slot.hash) }
    }

    /// The entry at an index.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.slot(index).map(|slot| &slot.entry)
    }

    /// The entries from an index on.
    pub fn from(&self, index: Index) -> impl Iterator<Item = &Entry> {
        let skip = index.0.saturating_sub(self.base.index.0 + 1);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.slots.len());
        self.slots.range(skip..).map(|slot| &slot.entry)
    }

    /// The configuration in force: the newest in the log, committed or not (dissertation 4.1). `None` before the
    /// founding.
    pub fn membership(&self) -> Option<&Membership> {
        self.memberships.last().map(|(_, membership)| membership)
    }

    /// What the cluster was founded with, as long as the log begins there.
    pub fn founding(&self) -> Option<&Membership> {
        let first = self.memberships.first().filter(|(at, _)| *at == EntryId::ORIGIN.index);
        first.filter(|_| self.base == EntryId::ORIGIN).map(|(_, membership)| membership)
    }

    /// Where the configuration in force stands.
    pub fn membership_index(&self) -> Option<Index> {
        self.memberships.last().map(|(index, _)| *index)
    }

    /// The newest own entry at or before `index` whose term is at most `term`: where two logs may still agree.
    pub(crate) fn newest_within(&self, index: Index, term: Term) -> EntryId {
        let mut at = index.min(self.last().index);
        loop {
            match self.id_at(at) {
                Some(id) if id.term <= term => return id,
                Some(_) => at = at.previous().unwrap_or_default(),
                None => return self.base,
            }
        }
    }

    /// Appends an entry right after the last one.
    pub fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert_eq!(entry.index(), last.index.next(), "entries are contiguous");
        assert!(entry.term() >= last.term, "terms never go down along the log");
        let before = self.slots.back().map_or(self.base_hash, |slot| slot.hash);
        if let crate::entry::Payload::Membership(membership) = entry.payload() {
            self.memberships.push((entry.index(), membership.clone()));
        }
        if entry.is_decayed() {
            self.decayed.push(entry.index());
        }
        let hash = entry.running_hash(before);
        self.slots.push_back(Slot { entry, hash });
    }

    /// The indexes of the entries whose commands this server's disk has lost, in order.
    pub fn decayed(&self) -> &[Index] {
        &self.decayed
    }

    /// Puts an entry in the place of the same one whose command is lost. Whether there is such a one.
    pub(crate) fn mend(&mut self, entry: &Entry) -> bool {
        let Ok(at) = self.decayed.binary_search(&entry.index()) else { return false };
        let slot = (entry.index().0 - self.base.index.0 - 1) as usize;
        let Some(slot) = self.slots.get_mut(slot) else { return false };
        let same = slot.entry.id() == entry.id() && slot.entry.hash() == entry.hash();
        if same {
            slot.entry = entry.clone();
            self.decayed.remove(at);
        }
        same
    }

    /// Removes the entries after `keep`, and with them their configurations.
    pub fn truncate(&mut self, keep: Index) {
        assert!(keep >= self.base.index, "the base is committed");
        self.truncate_entries(keep);
        self.memberships.retain(|(index, _)| *index <= keep);
    }

    /// Removes the entries after `keep`, and keeps their configurations (used by a planted bug).
    pub(crate) fn truncate_entries(&mut self, keep: Index) {
        let kept = usize::try_from(keep.0 - self.base.index.0).unwrap_or(usize::MAX);
        self.slots.truncate(kept);
        self.decayed.retain(|index| *index <= keep);
    }

    fn slot(&self, index: Index) -> Option<&Slot> {
        let after_base = index.0.checked_sub(self.base.index.0 + 1)?;
        self.slots.get(usize::try_from(after_base).ok()?)
    }
}
