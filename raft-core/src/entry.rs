//! An entry of the log: where it stands, what it carries, and the hash of what it carries.

use crate::hash;
use crate::ids::{EntryId, Index, Term};
use crate::membership::Membership;
use alloc::vec::Vec;
use bytes::Bytes;

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Nothing: a new leader's first entry (paper section 8).
    Noop,
    /// A client's command; the core never looks inside.
    Command(Bytes),
    /// A configuration, in force from its append on (dissertation 4.1).
    Membership(Membership),
    /// A command whose bytes this server's disk has lost. The entry's id and hash are good, so it is known which command it
    /// was: a peer has it. It is never sent, applied or acknowledged.
    Decayed {
        /// How many bytes there were.
        length: u32,
    },
}

impl Payload {
    /// The number that stands for the kind in the log and on the wire.
    pub fn kind(&self) -> u8 {
        match self {
            Payload::Noop => 0,
            Payload::Command(_) | Payload::Decayed { .. } => 1,
            Payload::Membership(_) => 2,
        }
    }

    /// The payload's bytes as written to disk and to peers.
    ///
    /// # Panics
    /// If they have decayed: nobody writes or sends what it doesn't have.
    pub fn encoded(&self) -> Bytes {
        match self {
            Payload::Noop => Bytes::new(),
            Payload::Command(bytes) => bytes.clone(),
            Payload::Membership(membership) => membership.encode(),
            Payload::Decayed { .. } => panic!("what has decayed is neither written nor sent"),
        }
    }

    /// Reads a payload of a kind from its bytes; `None` if the kind is unknown or the bytes are not of it.
    pub fn decode(kind: u8, bytes: Bytes) -> Option<Payload> {
        match kind {
            0 => bytes.is_empty().then_some(Payload::Noop),
            1 => Some(Payload::Command(bytes)),
            2 => Membership::decode(&bytes).map(Payload::Membership),
            _ => None,
        }
    }
}

/// An entry of the log. Its hash is computed once, where it is proposed, and travels with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    id: EntryId,
    hash: u64,
    payload: Payload,
}

impl Entry {
    /// An entry with the hash of its payload, as the leader makes it.
    pub fn new(id: EntryId, payload: Payload) -> Entry {
        let hash = match &payload {
            Payload::Noop => hash::bytes(b""),
            Payload::Command(bytes) => hash::bytes(bytes),
            Payload::Membership(_) | Payload::Decayed { .. } => hash::bytes(&payload.encoded()),
        };
        Entry { id, hash, payload }
    }

    /// An entry of which the disk has only this left: the bytes of its command had this hash and length.
    pub fn decayed(id: EntryId, hash: u64, length: u32) -> Entry {
        Entry { id, hash, payload: Payload::Decayed { length } }
    }

    /// Whether its command's bytes are lost here.
    pub fn is_decayed(&self) -> bool {
        matches!(self.payload, Payload::Decayed { .. })
    }

    /// An entry from the wire or the disk: `None` if the payload is not the one that was hashed.
    pub fn verified(id: EntryId, payload: Payload, hash: u64) -> Option<Entry> {
        let entry = Entry::new(id, payload);
        (entry.hash == hash).then_some(entry)
    }

    /// Term and index.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// The entry's term.
    pub fn term(&self) -> Term {
        self.id.term
    }

    /// The entry's position.
    pub fn index(&self) -> Index {
        self.id.index
    }

    /// The hash of the payload's bytes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// What the entry carries.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// How many bytes the payload counts against limits; a configuration is small and counts as 0.
    pub fn size(&self) -> usize {
        match &self.payload {
            Payload::Command(bytes) => bytes.len(),
            Payload::Decayed { length } => usize::try_from(*length).unwrap_or(usize::MAX),
            Payload::Noop | Payload::Membership(_) => 0,
        }
    }

    /// How many bytes the payload has on its way and in memory, a configuration's included.
    pub(crate) fn weight(&self) -> usize {
        match &self.payload {
            Payload::Membership(membership) => membership.size(),
            Payload::Noop | Payload::Command(_) | Payload::Decayed { .. } => self.size(),
        }
    }

    /// The log's running hash after this entry, given the one before it: two logs that agree on it at an index hold
    /// the same prefix (the Log Matching property of Figure 3 in one comparison).
    pub fn running_hash(&self, before: u64) -> u64 {
        hash::chain(before, &[self.id.index.0, self.id.term.0, u64::from(self.payload.kind()), self.hash])
    }
}

/// Some consecutive entries and the id of the one before them. Checked once, where bytes become values; inside, it is
/// trusted: indexes are contiguous and terms never go down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogSlice {
    prev: EntryId,
    entries: Vec<Entry>,
}

impl LogSlice {
    /// A slice; `None` if the entries are not contiguous after `prev` or a term goes down.
    pub fn new(prev: EntryId, entries: Vec<Entry>) -> Option<LogSlice> {
        let mut last = prev;
        for entry in &entries {
            let follows = last.index.0.checked_add(1) == Some(entry.id.index.0);
            if !follows || entry.id.term < last.term || entry.id.term == Term(0) {
                return None;
            }
            last = entry.id;
        }
        ((prev.term == Term(0)) == (prev.index == Index(0))).then_some(LogSlice { prev, entries })
    }

    /// The entry before the first one.
    pub fn prev(&self) -> EntryId {
        self.prev
    }

    /// The last entry that the slice covers: `prev` if it is empty.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.prev, Entry::id)
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The id of the entry at an index, the one before the first included.
    pub fn id_at(&self, index: Index) -> Option<EntryId> {
        match index.0.checked_sub(self.prev.index.0)?.checked_sub(1) {
            None => Some(self.prev),
            Some(at) => self.entries.get(usize::try_from(at).ok()?).map(Entry::id),
        }
    }

    /// The entries, taken out.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}
