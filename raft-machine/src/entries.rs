//! All client entries, in order: sealed blocks and one that is being filled. A clone shares the sealed ones, so that the
//! state can be frozen for a snapshot however large it is.

use crate::block::{Block, Open};
use bytes::Bytes;
use imbl::Vector;
use raft_core::{EntryId, Index};
use std::num::NonZeroU64;

/// A block of this size is sealed. Freezing the state copies one open block at most.
const BLOCK_BYTES: usize = 64 << 10;

/// The client entries, each after the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    sealed: Vector<Block>,
    open: Open,
    count: u64,
    last: EntryId,
}

impl Entries {
    /// Appends an entry. A small one is copied: it must not keep a whole frame alive. A large one shares the memory of
    /// Raft's log, and what else was in its frame is little.
    pub(crate) fn push(&mut self, id: EntryId, command: &Bytes) {
        assert!(self.follows(id), "entries are applied in order");
        (self.count, self.last) = (self.count + 1, id);
        if command.len() >= BLOCK_BYTES {
            self.seal();
            self.sealed.push_back(Block::of_one(id, command.clone()));
            return;
        }
        if !self.open.has_room(id, command.len(), BLOCK_BYTES) {
            self.seal();
        }
        self.open.push(id, command);
    }

    /// Whether an entry may be the next one.
    pub(crate) fn follows(&self, id: EntryId) -> bool {
        id.index > self.last.index && id.term >= self.last.term
    }

    fn seal(&mut self) {
        if let Some(block) = self.open.block() {
            self.sealed.push_back(block);
            self.open.clear();
        }
    }

    /// Appends a block of a snapshot. Blocks have the same bounds as before the snapshot: entries go on being added to
    /// the last one.
    pub(crate) fn push_block(&mut self, block: Block) {
        self.seal();
        if block.size() > BLOCK_BYTES {
            // A large entry.
            assert!(self.follows(block.first()), "blocks are in order");
            (self.count, self.last) = (self.count + block.len() as u64, block.last());
            self.sealed.push_back(block);
        } else {
            for (id, command) in block.from(Index(0)) {
                self.push(id, &command);
            }
        }
    }

    /// Takes out the oldest sealed block, if at least `least` entries stay. What is sealed and what is not is the same on
    /// every replica, but for the last block, behind which no entries stand.
    pub(crate) fn take_oldest(&mut self, least: NonZeroU64) -> Option<Block> {
        let oldest = self.sealed.front()?.len() as u64;
        if self.count - oldest < least.get() {
            return None;
        }
        self.count -= oldest;
        self.sealed.pop_front()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The newest one; [`EntryId::ORIGIN`] if there is none.
    pub(crate) fn last(&self) -> EntryId {
        self.last
    }

    /// All of them.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + use<'_> {
        self.sealed.iter().cloned().chain(self.open.block())
    }

    /// The entries from an index on.
    pub(crate) fn from(&self, from: Index) -> impl Iterator<Item = (EntryId, Bytes)> + use<'_> {
        let after = self.sealed.binary_search_by_key(&from, |block| block.first().index);
        let start = after.unwrap_or_else(|after| after.saturating_sub(1));
        let sealed = (start..self.sealed.len()).filter_map(|at| self.sealed.get(at));
        let sealed = sealed.flat_map(move |block| block.from(from));
        // The open block is copied only if it is reached.
        let open = std::iter::once_with(|| self.open.block()).flatten();
        sealed.chain(open.flat_map(move |block| block.from(from).collect::<Vec<_>>()))
    }

    /// The command at an index, if it is a client's.
    pub(crate) fn at(&self, index: Index) -> Option<Bytes> {
        self.from(index).next().filter(|(id, _)| id.index == index).map(|(_, command)| command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a size at every second index from 2 on.
    fn entries(count: u64, size: usize) -> Entries {
        let mut entries = Entries::default();
        for at in 1..=count {
            entries.push(EntryId::new(1 + at / 100, 2 * at), &Bytes::from(vec![at as u8; size]));
        }
        entries
    }

    fn indexes(entries: &Entries, from: u64) -> Vec<u64> {
        entries.from(Index(from)).map(|(id, _)| id.index.0).collect()
    }

    #[test]
    fn every_entry_is_found_wherever_its_block_is() {
        for (count, size) in [(1, 0), (3000, 100), (7, 70_000), (9, 65_530), (300, 3_000)] {
            let entries = entries(count, size);
            assert_eq!((entries.count(), entries.last().index), (count, Index(2 * count)));
            assert_eq!(indexes(&entries, 0), (1..=count).map(|at| 2 * at).collect::<Vec<_>>());
            for at in 1..=count {
                assert_eq!(entries.at(Index(2 * at)).unwrap(), vec![at as u8; size]);
                assert_eq!(entries.at(Index(2 * at - 1)), None);
                assert_eq!(entries.from(Index(2 * at - 1)).next().unwrap().0.index, Index(2 * at));
            }
            assert_eq!(indexes(&entries, 2 * count + 1), [] as [u64; 0]);
        }
    }

    #[test]
    fn a_frozen_copy_stays_as_it_was() {
        let mut entries = entries(1000, 100);
        let frozen = entries.clone();
        entries.push(EntryId::new(50, 2001), &Bytes::from_static(b"later"));
        assert_eq!((frozen.count(), entries.count()), (1000, 1001));
        assert_eq!(indexes(&frozen, 1999), [2000]);
        assert_eq!(indexes(&entries, 1999), [2000, 2001]);
    }

    #[test]
    fn blocks_make_the_same_entries_and_go_on_alike() {
        for size in [100, 65_530, 70_000] {
            let mut before = entries(1000, size);
            let mut after = Entries::default();
            before.blocks().for_each(|block| after.push_block(block));
            for at in 2001..2500 {
                before.push(EntryId::new(50, at), &Bytes::from_static(b"more"));
                after.push(EntryId::new(50, at), &Bytes::from_static(b"more"));
            }
            assert!(before.blocks().eq(after.blocks()), "entries of {size} bytes");
            assert_eq!((before.count(), before.last()), (after.count(), after.last()));
        }
    }
}
