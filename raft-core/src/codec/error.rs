//! What can be wrong with bytes from a peer.

use super::head::VERSION;
use crate::ids::{EntryId, Term};
use core::fmt;

/// Why some bytes are not a frame. Whoever gets one closes the connection: what follows on it has no meaning. Every
/// `at` is an offset from the frame's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// It doesn't begin with the magic number: the other side isn't a peer, or the stream lost its place.
    NotAFrame {
        /// The bytes in its place.
        found: [u8; 4],
    },
    /// A version that this program can't read.
    UnknownVersion {
        /// Which.
        found: u8,
    },
    /// A kind of message that this version doesn't have.
    UnknownKind {
        /// Which.
        found: u8,
    },
    /// Flags that this version doesn't have.
    UnknownFlags {
        /// All flags of the frame.
        found: u16,
    },
    /// Longer than the receiver allows.
    TooLong {
        /// The frame's length by its head, in bytes.
        length: u64,
        /// The most that is allowed.
        max: usize,
    },
    /// The bytes at hand are not exactly one frame.
    Length {
        /// The frame's length by its head, or a head's length where even that is missing.
        stated: u64,
        /// The bytes at hand.
        found: usize,
    },
    /// Head or part were damaged.
    Checksum {
        /// The checksum in the frame.
        stated: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// The part ends within a field.
    TooShort {
        /// Which field.
        field: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// The part goes on after its last field.
    TooMuch {
        /// Where it should end.
        at: usize,
    },
    /// A field has a value that has no meaning.
    BadValue {
        /// Which field.
        field: &'static str,
        /// Where it stands.
        at: usize,
        /// The value.
        found: u8,
    },
    /// The configuration of a founding or of a snapshot is not one.
    BadMembership {
        /// Where its bytes begin; they end with the part.
        at: usize,
    },
    /// An entry's payload reaches beyond the end of the frame.
    PayloadMissing {
        /// Whose.
        id: EntryId,
        /// Where the entry's row stands.
        at: usize,
    },
    /// There are payload bytes that no entry owns.
    PayloadLeft {
        /// How many.
        bytes: usize,
    },
    /// An entry's payload is not one of its kind, or the kind is unknown.
    BadPayload {
        /// Whose.
        id: EntryId,
        /// The kind.
        kind: u8,
        /// Where the entry's row stands.
        at: usize,
    },
    /// An entry's payload is not the one that was hashed where it was proposed: it was damaged.
    PayloadHash {
        /// Whose.
        id: EntryId,
        /// Where the entry's row stands.
        at: usize,
    },
    /// A chunk's data is not what was hashed where it was sent: it was damaged.
    ChunkHash {
        /// The last entry that the snapshot covers.
        last: EntryId,
        /// Where in the snapshot the data begins.
        offset: u64,
    },
    /// A chunk reaches beyond its snapshot, or its snapshot is of a later term than the message.
    BadChunk {
        /// The last entry that the snapshot covers.
        last: EntryId,
    },
    /// The entries of an append don't follow each other: a term goes down, or is 0, or an index is too high.
    NotConsecutive {
        /// The entry before the first.
        prev: EntryId,
    },
    /// An append has an entry of a later term than its own.
    LaterTerm {
        /// The message's term.
        term: Term,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::NotAFrame { found } => {
                write!(f, "not a peer's frame: it begins with {found:02x?} in place of \"RAFT\"")
            }
            CodecError::UnknownVersion { found } => write!(
                f,
                "frame version {found} is unknown here, this program speaks version {VERSION}: upgrade the older node"
            ),
            CodecError::UnknownKind { found } => {
                write!(f, "message kind {found} is unknown (byte 9 of the frame)")
            }
            CodecError::UnknownFlags { found } => {
                write!(f, "frame flags {found:#06x} are unknown (bytes 10 and 11 of the frame)")
            }
            CodecError::TooLong { length, max } => {
                write!(f, "a frame of {length} bytes is longer than the {max} that are allowed")
            }
            CodecError::Length { stated, found } => {
                write!(f, "a frame of {stated} bytes was announced, and {found} are there")
            }
            CodecError::Checksum { stated, found } => {
                write!(f, "the frame was damaged: its checksum is {found:#010x} and should be {stated:#010x}")
            }
            CodecError::TooShort { field, at } => {
                write!(f, "the frame's part ends within its {field} at byte {at}")
            }
            CodecError::TooMuch { at } => write!(f, "the frame's part should end at byte {at} and goes on"),
            CodecError::BadValue { field, at, found } => {
                write!(f, "{field} at byte {at} of the frame can't be {found}")
            }
            CodecError::BadMembership { at } => {
                write!(f, "the bytes from byte {at} of the frame to the end of its part are no configuration")
            }
            CodecError::PayloadMissing { id, at } => {
                write!(f, "the payload of entry {id} (row at byte {at}) reaches beyond the end of the frame")
            }
            CodecError::PayloadLeft { bytes } => {
                write!(f, "the last {bytes} bytes of the frame belong to no entry")
            }
            CodecError::BadPayload { id, kind, at } => {
                write!(f, "the payload of entry {id} (row at byte {at}) is not one of kind {kind}")
            }
            CodecError::PayloadHash { id, at } => {
                write!(f, "the payload of entry {id} (row at byte {at}) was damaged: its hash is another one")
            }
            CodecError::ChunkHash { last, offset } => {
                write!(
                    f,
                    "the chunk at byte {offset} of the snapshot up to {last} was damaged: its hash is another one"
                )
            }
            CodecError::BadChunk { last } => {
                write!(
                    f,
                    "a chunk of the snapshot up to {last} lies outside of it, or is of a later term than its message"
                )
            }
            CodecError::NotConsecutive { prev } => {
                write!(f, "the entries after {prev} don't follow each other, or their terms go down")
            }
            CodecError::LaterTerm { term } => {
                write!(f, "an append of term {term} has entries of a later term")
            }
        }
    }
}

impl core::error::Error for CodecError {}
