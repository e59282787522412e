//! Some consecutive client entries in one piece of memory, and the same as bytes of a snapshot. An entry costs its
//! command's bytes and one row; nothing that its request or its frame brought along stays.

use bytes::{BufMut, Bytes};
use raft_core::{EntryId, Index, Term};
use std::sync::Arc;

/// Bytes of a row.
const ROW_BYTES: usize = 12;

/// Bytes before the rows: index and term of the first entry, how many rows.
const HEAD_BYTES: usize = 20;

/// Where an entry stands: its distance from the block's first entry, and where its command ends among the bytes. It
/// begins where the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    index: u32,
    term: u32,
    end: u32,
}

/// A block that is being filled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Open {
    first: EntryId,
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

/// A block that never changes again. Clones share it. Invariants: there is a row, indexes grow and terms never go down
/// from row to row, and so do the ends, of which the last is the number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    first: EntryId,
    rows: Arc<[Row]>,
    bytes: Bytes,
}

impl Open {
    /// What it takes up.
    pub(crate) fn size(&self) -> usize {
        self.rows.len() * ROW_BYTES + self.bytes.len()
    }

    /// Whether one more entry keeps it at or under this size. The first always does.
    pub(crate) fn has_room(&self, id: EntryId, length: usize, most: usize) -> bool {
        self.rows.is_empty()
            || (self.size() + ROW_BYTES + length <= most && distance(self.first, id).is_some())
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If there was no room.
    pub(crate) fn push(&mut self, id: EntryId, command: &[u8]) {
        if self.rows.is_empty() {
            self.first = id;
        }
        let (index, term) = distance(self.first, id).expect("there is room for it");
        self.bytes.extend_from_slice(command);
        let end = u32::try_from(self.bytes.len()).expect("a block is far below 4 GiB");
        self.rows.push(Row { index, term, end });
    }

    /// The block as it is now; `None` while there is nothing in it.
    pub(crate) fn block(&self) -> Option<Block> {
        let (rows, bytes) = (Arc::from(self.rows.as_slice()), Bytes::copy_from_slice(&self.bytes));
        (!self.rows.is_empty()).then_some(Block { first: self.first, rows, bytes })
    }

    /// Empties it for the next entries.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
    }
}

/// How far an entry is from a block's first: index and term.
fn distance(first: EntryId, id: EntryId) -> Option<(u32, u32)> {
    let index = u32::try_from(id.index.0.checked_sub(first.index.0)?).ok()?;
    let term = u32::try_from(id.term.0.checked_sub(first.term.0)?).ok()?;
    Some((index, term))
}

impl Block {
    /// A block of one entry, which shares the command's memory.
    pub(crate) fn of_one(id: EntryId, command: Bytes) -> Block {
        let end = u32::try_from(command.len()).expect("an entry is far below 4 GiB");
        Block { first: id, rows: Arc::from([Row { index: 0, term: 0, end }]), bytes: command }
    }

    /// Where it begins.
    pub(crate) fn first(&self) -> EntryId {
        self.first
    }

    /// Its last entry.
    pub(crate) fn last(&self) -> EntryId {
        self.rows.last().map_or(self.first, |row| self.id(row))
    }

    /// How many entries it holds.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What it takes up.
    pub(crate) fn size(&self) -> usize {
        self.rows.len() * ROW_BYTES + self.bytes.len()
    }

    /// The entries from an index on, their commands sharing the block's memory.
    pub(crate) fn from(&self, from: Index) -> impl Iterator<Item = (EntryId, Bytes)> + use<'_> {
        let skipped = self.rows.partition_point(|row| self.id(row).index < from);
        let begin = |at: usize| at.checked_sub(1).and_then(|at| self.rows.get(at)).map_or(0, |row| row.end);
        let rows = self.rows.iter().enumerate().skip(skipped);
        rows.map(move |(at, row)| (self.id(row), self.bytes.slice(begin(at) as usize..row.end as usize)))
    }

    fn id(&self, row: &Row) -> EntryId {
        EntryId {
            term: Term(self.first.term.0 + u64::from(row.term)),
            index: Index(self.first.index.0 + u64::from(row.index)),
        }
    }

    /// Appends the bytes that stand for it in a snapshot; `docs/snapshot.md` has them.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(HEAD_BYTES + self.size());
        out.put_u64_le(self.first.index.0);
        out.put_u64_le(self.first.term.0);
        out.put_u32_le(self.rows.len() as u32);
        for row in self.rows.iter() {
            out.put_u32_le(row.index);
            out.put_u32_le(row.term);
            out.put_u32_le(row.end);
        }
        out.put_slice(&self.bytes);
    }

    /// Reads what [`Block::encode`] wrote; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Block> {
        let (index, rest) = bytes.split_first_chunk()?;
        let (term, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let first = EntryId::new(u64::from_le_bytes(*term), u64::from_le_bytes(*index));
        let count = u32::from_le_bytes(*count) as usize;
        let (rows, bytes) = rest.split_at_checked(count.checked_mul(ROW_BYTES)?)?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let row = |bytes: &[u8]| {
            let (index, rest) = bytes.split_at(4);
            let (term, end) = rest.split_at(4);
            Row { index: number(index), term: number(term), end: number(end) }
        };
        let rows: Arc<[Row]> = rows.chunks_exact(ROW_BYTES).map(row).collect();
        let grows = rows.is_sorted_by(|a, b| a.index < b.index && a.term <= b.term && a.end <= b.end);
        let (head, tail) = (rows.first()?, rows.last()?);
        let whole = (head.index, head.term) == (0, 0) && tail.end as usize == bytes.len();
        let last = first.index.0.checked_add(u64::from(tail.index)).zip(
            // The last term is the highest.
            first.term.0.checked_add(u64::from(tail.term)),
        );
        let sound = grows && whole && last.is_some() && first.index > Index(0) && first.term > Term(0);
        sound.then(|| Block { first, rows, bytes: Bytes::copy_from_slice(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut open = Open::default();
        assert_eq!(open.block(), None);
        for (term, index, command) in [(2, 7, "a"), (2, 8, ""), (5, 12, "bcd")] {
            open.push(EntryId::new(term, index), command.as_bytes());
        }
        open.block().unwrap()
    }

    #[test]
    fn a_block_survives_its_bytes() {
        let mut bytes = Vec::new();
        block().encode(&mut bytes);
        assert_eq!(Block::decode(&bytes), Some(block()));
        for cut in 0..bytes.len() {
            assert_eq!(Block::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        bytes.push(0);
        assert_eq!(Block::decode(&bytes), None, "a byte too many");
    }

    #[test]
    fn entries_are_found_by_index() {
        let found = |from| block().from(Index(from)).map(|(id, _)| id.index.0).collect::<Vec<_>>();
        assert_eq!(found(0), [7, 8, 12]);
        assert_eq!(found(8), [8, 12]);
        assert_eq!(found(9), [12]);
        assert_eq!(found(13), [] as [u64; 0]);
        assert_eq!(block().from(Index(9)).next(), Some((EntryId::new(5, 12), Bytes::from_static(b"bcd"))));
        assert_eq!((block().last(), block().len()), (EntryId::new(5, 12), 3));
    }

    #[test]
    fn what_is_too_far_away_has_no_room() {
        let mut open = Open::default();
        open.push(EntryId::new(1, 1), b"x");
        assert!(open.has_room(EntryId::new(1, 2), 10, 100));
        assert!(!open.has_room(EntryId::new(1, 2), 80, 100));
        assert!(!open.has_room(EntryId::new(1, 1 << 33), 10, 100));
        assert!(!open.has_room(EntryId::new(1 << 33, 2), 10, 100));
    }
}
