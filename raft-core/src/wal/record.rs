//! The header of a record: 104 bytes, little-endian, the same in both regions.
//!
//! Eleven words of 64 bits in the order of [`Header::words`], the chain, the checksum of these, and four zeros.

use super::Identity;
use super::layout::{Cursor, Extent};
use crate::hash;

/// Bytes of a record's header, and of a slot in the `ids` region.
pub(super) const RECORD: usize = 104;
/// The words that the chain covers: everything before the chain itself.
const CHAINED: usize = 11;
/// What the checksum covers: those words and the chain.
const CHECKED: usize = 8 * (CHAINED + 1);
/// The first four bytes of every record: `RREC`.
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"RREC");

const LAST: u8 = 1;
const VOTED: u8 = 2;

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Appends an entry.
    Entry = 1,
    /// Replaces term, vote and boot.
    Hard = 2,
    /// Replaces the log by a base.
    Base = 3,
    /// Removes the entries after an index.
    Truncate = 4,
    /// Nothing but to say what is synced.
    Mark = 5,
    /// Says where the log stands, so that it can be read from here on.
    Anchor = 6,
}

impl Kind {
    fn of(number: u8) -> Option<Kind> {
        [Kind::Entry, Kind::Hard, Kind::Base, Kind::Truncate, Kind::Mark, Kind::Anchor]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A record's header. What `index`, `term`, `hash` and `running` mean depends on the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Header {
    pub(super) kind: u8,
    /// The last record of its write.
    pub(super) last: bool,
    /// `Hard`: there is a vote.
    pub(super) voted: bool,
    /// `Entry`: what the entry carries.
    pub(super) payload: u8,
    /// The record's place within its write.
    pub(super) part: u32,
    /// The payload's length in bytes.
    pub(super) length: u32,
    /// The segment's number.
    pub(super) generation: u64,
    pub(super) cluster: u64,
    pub(super) write: u64,
    /// The newest write that was known to be synced.
    pub(super) synced_through: u64,
    /// `Entry`, `Base`, `Anchor`: the id's index. `Truncate`: the last index that stays. `Hard`: the vote.
    pub(super) index: u64,
    /// `Entry`, `Base`, `Anchor`: the id's term. `Hard`: the term.
    pub(super) term: u64,
    /// The payload's hash. `Hard`: the boot.
    pub(super) hash: u64,
    /// `Entry`, `Base`, `Anchor`: the log's running hash with it.
    pub(super) running: u64,
    pub(super) at: Cursor,
}

impl Header {
    /// What the record does; `None` for a number that this format does not have.
    pub(super) fn kind(&self) -> Option<Kind> {
        Kind::of(self.kind)
    }

    /// Whether the payload stands in both regions: every configuration does.
    pub(super) fn twice(&self) -> bool {
        self.kind == Kind::Base as u8
            || self.kind == Kind::Anchor as u8
            || (self.kind == Kind::Entry as u8 && self.payload == 2)
    }

    /// How much room the record takes.
    pub(super) fn extent(&self) -> Option<Extent> {
        Extent::of(usize::try_from(self.length).ok()?, self.twice())
    }

    fn words(&self) -> [u64; CHAINED] {
        let flags = if self.last { LAST } else { 0 } | if self.voted { VOTED } else { 0 };
        let numbers = u32::from_le_bytes([self.kind, flags, self.payload, 0]);
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [
            pair(MAGIC, numbers),
            pair(self.part, self.length),
            self.generation,
            self.cluster,
            self.write,
            self.synced_through,
            self.index,
            self.term,
            self.hash,
            self.running,
            pair(self.at.slot, self.at.offset),
        ]
    }

    /// The header's bytes, and the chain after it.
    pub(super) fn seal(&self, previous_chain: u64, seed: u32) -> ([u8; RECORD], u64) {
        let words = self.words();
        let chain = hash::chain(previous_chain, &words);
        let mut bytes = [0; RECORD];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words.into_iter().chain([chain])) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let crc = checksum(&bytes, seed);
        bytes[CHECKED..CHECKED + 4].copy_from_slice(&crc.to_le_bytes());
        (bytes, chain)
    }

    /// Reads an intact header from exactly its bytes, with the chain that it names: of this log, of this segment, and
    /// nothing in it that a writer never writes. Whether it follows its predecessor is for the caller to compare.
    pub(super) fn read(
        bytes: &[u8],
        identity: &Identity,
        seed: u32,
        generation: u64,
    ) -> Option<(Header, u64)> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[8 * at + i]));
        let (low, high) = (|word: u64| word as u32, |word: u64| (word >> 32) as u32);
        let [kind, flags, payload, zero] = high(word(0)).to_le_bytes();
        let header = Header {
            kind,
            last: flags & LAST != 0,
            voted: flags & VOTED != 0,
            payload,
            part: low(word(1)),
            length: high(word(1)),
            generation: word(2),
            cluster: word(3),
            write: word(4),
            synced_through: word(5),
            index: word(6),
            term: word(7),
            hash: word(8),
            running: word(9),
            at: Cursor { slot: low(word(10)), offset: high(word(10)) },
        };
        let fits = low(word(0)) == MAGIC
            && (zero, flags & !(LAST | VOTED)) == (0, 0)
            && (header.generation, header.cluster) == (generation, identity.cluster.0)
            && header.synced_through < header.write
            && bytes[CHECKED + 4..] == [0; 4]
            && bytes[CHECKED..CHECKED + 4] == checksum(bytes, seed).to_le_bytes();
        fits.then(|| (header, word(CHAINED)))
    }

    /// The chain after this header, if it follows `previous`.
    pub(super) fn chain(&self, previous: u64) -> u64 {
        hash::chain(previous, &self.words())
    }
}

fn checksum(bytes: &[u8; RECORD], seed: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(seed);
    crc.update(&bytes[..CHECKED]);
    crc.finalize()
}
