//! Snapshots as the core knows them (paper section 7, dissertation 5): by the last entry that they cover, never by their
//! bytes. The bytes go from the leader's disk to the follower's in chunks that pass through the core one by one.

use crate::ids::{EntryId, NodeId, Stamp, Term};
use crate::message::{Body, Message};
use crate::write::{Base, Owner};
use bytes::Bytes;

/// A snapshot of the application's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The last entry that it covers, the log's running hash there, and the configuration.
    pub base: Base,
    /// How long it is, in bytes.
    pub size: u64,
    /// A hash of its bytes, by which a half-received one is known again. Of the driver's choice.
    pub digest: u64,
}

impl Snapshot {
    /// The last entry that it covers.
    pub fn last(&self) -> EntryId {
        self.base.id
    }
}

/// A part of a snapshot that another member needs.
#[must_use = "a follower waits for it"]
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub struct Fetch {
    pub(crate) to: NodeId,
    /// Who asked for it, if it was not this server's own idea as the leader.
    pub(crate) asker: Option<Stamp>,
    pub(crate) from: Stamp,
    pub(crate) term: Term,
    pub(crate) snapshot: Snapshot,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl Fetch {
    /// Who needs it.
    pub fn to(&self) -> NodeId {
        self.to
    }

    /// The whole.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where the part begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How long the part is, in bytes. It may be 0.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether it answers a member that has lost commands. Such a one asks again: when many of these wait, they may be dropped.
    pub fn is_answer(&self) -> bool {
        self.asker.is_some()
    }

    /// The message that carries these bytes.
    ///
    /// # Panics
    /// If they are not as many as were asked for.
    pub fn fill(self, data: Bytes) -> Message {
        assert_eq!(data.len(), self.length, "a chunk is as long as was asked for");
        let Fetch { asker: to, from, term, snapshot, offset, .. } = self;
        let body = match to {
            None => Body::Chunk { snapshot, offset, data },
            Some(_) => Body::Piece { snapshot, offset, data },
        };
        Message { from, to, term, body }
    }
}

/// A part of a snapshot to be stored.
///
/// The driver keeps what it has of one snapshot, from its first byte on without a hole, also over a restart. A part that
/// begins beyond that is not stored; one of another snapshot (another last entry, size or digest) replaces what there is.
/// A part without data only asks. Once all of it is there, the driver verifies it, puts it on stable storage under its
/// final name, and only then says that it has all.
#[must_use = "the leader waits for the receipt"]
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub struct Store {
    pub(crate) owner: Owner,
    pub(crate) snapshot: Snapshot,
    pub(crate) offset: u64,
    pub(crate) data: Bytes,
}

impl Store {
    /// The whole.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where the part begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The part.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The receipt: the driver has everything before `have`. All of it only if the whole snapshot is intact and on stable
    /// storage; 0 if it turned out to be damaged.
    ///
    /// # Panics
    /// If that is more than the snapshot's size.
    pub fn stored(self, have: u64) -> Stored {
        assert!(have <= self.snapshot.size, "nobody has more than all");
        Stored { owner: self.owner, snapshot: self.snapshot, have }
    }
}

/// The receipt for one [`Store`]. Nothing else makes one.
#[must_use = "a receipt that is not handed in stalls the transfer"]
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub struct Stored {
    pub(crate) owner: Owner,
    pub(crate) snapshot: Snapshot,
    pub(crate) have: u64,
}

impl Stored {
    /// The whole.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The driver has everything before this byte.
    pub fn have(&self) -> u64 {
        self.have
    }
}
