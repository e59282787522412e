//! The log on disk as pure code: writes become bytes for segment files, and the bytes of segment files become a log
//! again. No files here: a driver carries out [`Op`]s and hands in what the files hold at a start. The format, byte by
//! byte, and the reasons for every decision of the recovery are in `docs/wal.md`.
//!
//! The one question that recovery must answer is whether a damaged write was ever promised. A crash may take any part
//! of a write that was not synced: that is cut. A disk that lost what was synced has decayed: cutting that would let
//! this node vote as if it had never held an entry that is committed, so recovery refuses. Every record says which
//! writes were known to be synced when it was made; the highest such number in any intact record decides.

mod draft;
mod layout;
mod lineage;
mod record;
mod recovery;
mod refusal;
mod roots;
mod scan;
mod segment;
mod tail;
mod walk;
mod writer;

pub use layout::{HEADER_BYTES, Layout};
pub use recovery::{Cut, Recovery, recover};
pub use refusal::{Decay, Gone, Place, Refusal, Region};
pub use writer::Wal;

use crate::hash;
use crate::ids::{ClusterId, DiskId, NodeId};
use bytes::Bytes;

/// Whose log it is. All three stand in every segment, and no record of another log is ever taken for one of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub node: NodeId,
    /// The data directory.
    pub disk: DiskId,
}

impl Identity {
    /// What the chain of records begins with.
    fn chain(&self) -> u64 {
        hash::chain(0, &[self.cluster.0, self.node.0, self.disk.0])
    }

    /// The checksum state that every record's checksum continues, so that a stray record of another log never fits.
    fn seed(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for number in [self.cluster.0, self.node.0, self.disk.0] {
            crc.update(&number.to_le_bytes());
        }
        crc.finalize()
    }
}

/// The number of a write to the log: 1 for the first in a data directory's life, then one more each, over all starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl core::fmt::Display for Sequence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing to do to the files, in any order but before the sync that is to cover it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Make a new zero-filled file of [`Layout::segment_bytes`]; its directory entry must be durable before a sync of
    /// what is put into it counts.
    Create {
        /// The segment's number, which names the file.
        segment: u64,
    },
    /// Overwrite bytes there. Adjacent puts follow each other, so a driver may join them into one vectored write.
    Put {
        /// The segment's number.
        segment: u64,
        /// The offset in the file.
        at: u64,
        /// What to put there.
        bytes: Bytes,
    },
}

/// A record that no segment of this layout can hold. Nothing was written; the log is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The payload's size in bytes.
    pub bytes: usize,
    /// The size in bytes of the largest payload of its kind that an empty segment holds.
    pub limit: usize,
}

impl core::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "a record of {} bytes does not fit into a segment, which takes at most {} bytes: use larger segments \
             or a smaller limit for commands",
            self.bytes, self.limit
        )
    }
}

impl core::error::Error for TooLarge {}
