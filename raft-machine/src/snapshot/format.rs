//! The bytes of a snapshot: a head, blocks with a checksum each, and at the end the digest of all that came before.
//! `docs/snapshot.md` has them one by one. Pure: bytes to values and back.

use raft_core::{Base, ClusterId, EntryId, Index, Membership, hash};
use std::io;

/// The newest format that this version reads. It is written only if entries of the clients' log are or may be dropped.
pub const VERSION: u16 = 3;

/// The format of a state with all its entries, which older programs read, too.
pub(super) const WHOLE_VERSION: u16 = 2;

/// The first format: without deletes, so a key was made by its first put; and without idempotency keys.
pub(super) const FIRST_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"RAFTSNAP";

/// Bytes of the head before the configuration.
pub(super) const HEAD_BYTES: usize = 80;

/// Bytes before a block's content.
pub(crate) const BLOCK_HEAD_BYTES: usize = 16;

/// How long a block's content may be. The largest is one entry with a row.
pub(super) const LARGEST_BLOCK: u32 = 64 << 20;

/// The content of the last block: the digest.
pub(super) const END_BYTES: u32 = 8;

/// How long a configuration may be: as many members as its format allows would be longer, and are nonsense.
const LARGEST_MEMBERSHIP: u32 = 16 << 20;

/// Why bytes are not a whole snapshot of this cluster.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It can't be read at all.
    #[error("can't read it: {0}")]
    Io(#[from] io::Error),
    /// It ends too early, or its bytes are not those that were written.
    #[error("it is damaged at byte {at}: {what}")]
    Damaged {
        /// The first byte of the part that is wrong.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A newer version wrote it.
    #[error("it is written by a newer httpraft: {what}; run the newest httpraft on this data directory")]
    Newer {
        /// What of it can't be read.
        what: String,
    },
    /// It is the state of another program.
    #[error("it holds the state of another application: start that one on this data directory")]
    OtherApplication,
    /// It is another cluster's.
    #[error("it belongs to cluster {theirs:016x}, and this node to cluster {ours:016x}")]
    OtherCluster {
        /// Whose it is.
        theirs: u64,
        /// This node's.
        ours: u64,
    },
}

/// What a snapshot says of itself at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The format.
    pub(crate) version: u16,
    /// Whose state it is.
    pub(crate) cluster: ClusterId,
    /// The last entry that it covers, the log's running hash and the configuration there.
    pub(crate) base: Base,
    /// Up to where the application had applied.
    pub(crate) applied: Index,
    /// How many client entries follow.
    pub(crate) entries: u64,
    /// How many keys follow.
    pub(crate) keys: u64,
}

/// What a block holds, in the order of the blocks. The first version had no idempotency keys, and its last kind is 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// From which index on there are entries, and how many are kept: one block.
    First,
    /// Values that outlived their entry.
    Values,
    /// Client entries.
    Entries,
    /// Keys.
    Keys,
    /// Log time and what is kept of idempotency keys: one block.
    Table,
    /// Idempotency keys.
    Rows,
    /// The state of another application, of which only that one knows what it means.
    State,
    /// The digest; nothing follows.
    End,
}

/// Each kind's byte.
const KINDS: [(Kind, u8); 8] = [
    (Kind::First, 7),
    (Kind::Values, 8),
    (Kind::Entries, 1),
    (Kind::Keys, 2),
    (Kind::Table, 4),
    (Kind::Rows, 5),
    (Kind::State, 6),
    (Kind::End, 3),
];

/// What stands before a block's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) kind: Kind,
    pub(super) length: u32,
    /// The block's place, from 0.
    pub(super) number: u32,
    checksum: u32,
}

impl Head {
    /// The bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let membership = self.base.membership.encode();
        let mut out = Vec::with_capacity(HEAD_BYTES + membership.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        let EntryId { term, index } = self.base.id;
        for number in
            [self.cluster.0, index.0, term.0, self.base.hash, self.applied.0, self.entries, self.keys]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let length = u32::try_from(membership.len()).expect("a configuration is small");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&checksum(&out, &membership).to_le_bytes());
        out.extend_from_slice(&membership);
        out
    }

    /// How many bytes the configuration has that follows these first bytes of a head.
    pub(super) fn rest(fixed: &[u8; HEAD_BYTES]) -> Result<usize, SnapshotError> {
        let length = u32_at(fixed, 72);
        if fixed[..8] != MAGIC || length > LARGEST_MEMBERSHIP {
            return Err(SnapshotError::Damaged { at: 0, what: "it doesn't begin like a snapshot" });
        }
        Ok(length as usize)
    }

    /// Reads what [`Head::encode`] wrote.
    pub(super) fn decode(fixed: &[u8; HEAD_BYTES], membership: &[u8]) -> Result<Head, SnapshotError> {
        let damaged = |what| SnapshotError::Damaged { at: 0, what };
        if checksum(&fixed[..76], membership) != u32_at(fixed, 76) {
            return Err(damaged("the checksum of its head is wrong"));
        }
        let version = u16::from_le_bytes([fixed[8], fixed[9]]);
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            return Err(SnapshotError::Newer { what: format!("its format is version {version}") });
        }
        let word = |at| u64_at(fixed, at);
        let membership = Membership::decode(membership).ok_or(damaged("its configuration can't be read"))?;
        let id = EntryId::new(word(32), word(24));
        let head = Head {
            version,
            cluster: ClusterId(word(16)),
            base: Base { id, hash: word(40), membership },
            applied: Index(word(48)),
            entries: word(56),
            keys: word(64),
        };
        let sound = fixed[10..16] == [0; 6] && head.applied == id.index && id.index > Index(0);
        if sound { Ok(head) } else { Err(damaged("its head contradicts itself")) }
    }
}

impl BlockHead {
    /// The head of a block with this content.
    pub(super) fn of(kind: Kind, number: u32, content: &[u8]) -> BlockHead {
        let length = u32::try_from(content.len()).expect("a block is far below 4 GiB");
        let mut head = BlockHead { kind, length, number, checksum: 0 };
        head.checksum = checksum(&head.encode()[..12], content);
        head
    }

    pub(super) fn encode(&self) -> [u8; BLOCK_HEAD_BYTES] {
        let mut out = [0; BLOCK_HEAD_BYTES];
        out[0] = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or(0, |(_, byte)| *byte);
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..12].copy_from_slice(&self.number.to_le_bytes());
        out[12..16].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    /// Reads a head; what is wrong with it, if anything is. Its checksum is checked with the content.
    pub(super) fn decode(bytes: &[u8; BLOCK_HEAD_BYTES]) -> Result<BlockHead, &'static str> {
        let kind = KINDS.iter().find(|(_, byte)| bytes[..4] == [*byte, 0, 0, 0]);
        let kind = kind.ok_or("no block begins like this")?.0;
        let head = BlockHead {
            kind,
            length: u32_at(bytes, 4),
            number: u32_at(bytes, 8),
            checksum: u32_at(bytes, 12),
        };
        let most = if kind == Kind::End { END_BYTES } else { LARGEST_BLOCK };
        if head.length <= most { Ok(head) } else { Err("a block is too long") }
    }

    /// Whether this is the content.
    pub(super) fn fits(&self, content: &[u8]) -> bool {
        checksum(&self.encode()[..12], content) == self.checksum
    }
}

fn checksum(head: &[u8], content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(content);
    crc.finalize()
}

/// The running digest after a snapshot's head.
pub(super) fn digest_of_head(head: &[u8]) -> u64 {
    hash::bytes(head)
}

/// The running digest after one more block.
pub(super) fn digest_after(before: u64, head: &[u8; BLOCK_HEAD_BYTES], content: &[u8]) -> u64 {
    hash::chain(before, &[hash::bytes(head), hash::bytes(content)])
}

/// A piece of a block's content at `at` as a number.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.iter().skip(at).take(4).rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// The same, of eight bytes.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.iter().skip(at).take(8).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
