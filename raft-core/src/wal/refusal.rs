//! Why a log is not opened, with where the damage is and what to do.

use super::Sequence;
use crate::ids::{ClusterId, DiskId, EntryId, NodeId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result};

/// A part of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// The first page.
    Header,
    /// The second copies.
    Ids,
    /// Records with their payloads.
    Data,
}

/// A place on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The segment's number, which names its file.
    pub segment: u64,
    /// Which part of the file.
    pub region: Region,
    /// The offset in bytes from the beginning of the file.
    pub at: u64,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let region = match self.region {
            Region::Header => "header",
            Region::Ids => "ids",
            Region::Data => "data",
        };
        write!(f, "{:016x}.wal at byte {} ({region})", self.segment, self.at)
    }
}

/// What a write lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Neither copy of a record's header is intact: what the record held is not known.
    Record {
        /// Where its copies should stand; empty if not even the segment is there.
        places: Vec<Place>,
    },
    /// The header is intact, and no copy of the payload is.
    Payload {
        /// Where the copies stand.
        places: Vec<Place>,
        /// The payload's length in bytes.
        bytes: u32,
        /// The entry, or the base, that it belongs to.
        id: EntryId,
        /// Whether it is a command, which a peer may have.
        command: bool,
    },
    /// A segment says that it continues another one at this write, and what stands there is not what it names.
    Succession {
        /// The later segment.
        segment: u64,
    },
}

/// A disk that lost what it had promised to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decay {
    /// The first write that is not whole.
    pub write: Sequence,
    /// What of it is gone.
    pub gone: Gone,
    /// The newest write that is known to have been synced: at or after the damaged one.
    pub synced: Sequence,
    /// Where that is said: in a record, or in the header of a segment, which names a root only after it was synced.
    pub evidence: Place,
    /// Segments whose header is unreadable in both copies.
    pub unreadable: Vec<u64>,
    /// Segments that others continue or need and that are not there.
    pub missing: Vec<u64>,
}

/// Why the log is not opened. Nothing on disk was changed, and nothing may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What was synced is damaged or gone.
    Decay(Box<Decay>),
    /// A segment belongs to another cluster.
    WrongCluster {
        /// The segment.
        segment: u64,
        /// What it says.
        found: ClusterId,
        /// What this node is configured for.
        expected: ClusterId,
    },
    /// A segment belongs to another member.
    WrongNode {
        /// The segment.
        segment: u64,
        /// What it says.
        found: NodeId,
        /// Which node this is.
        expected: NodeId,
    },
    /// A segment belongs to another data directory.
    WrongDisk {
        /// The segment.
        segment: u64,
        /// What it says.
        found: DiskId,
        /// Which directory this is.
        expected: DiskId,
    },
    /// A segment was written by a newer version of the software.
    NewerFormat {
        /// The segment.
        segment: u64,
        /// Its format.
        version: u16,
        /// The newest format that this software reads.
        known: u16,
    },
    /// Intact records that no writer of this format produces: the files are not what this software wrote.
    Contradiction {
        /// Where.
        place: Place,
        /// In which write.
        write: Sequence,
        /// What is wrong.
        what: &'static str,
    },
    /// There is no number left for a new segment.
    Exhausted {
        /// The highest number.
        segment: u64,
    },
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Refusal::Decay(decay) => decay.fmt(f),
            Refusal::WrongCluster { segment, found, expected } => write!(
                f,
                "{segment:016x}.wal belongs to cluster {found}, this node to cluster {expected}: check the data \
                 directory and the lists of nodes in the configuration"
            ),
            Refusal::WrongNode { segment, found, expected } => write!(
                f,
                "{segment:016x}.wal belongs to node {found}, this is node {expected}: check the data directory"
            ),
            Refusal::WrongDisk { segment, found, expected } => write!(
                f,
                "{segment:016x}.wal belongs to disk {found}, this data directory is disk {expected}: files of two \
                 directories were mixed; put back this directory's own"
            ),
            Refusal::NewerFormat { segment, version, known } => write!(
                f,
                "{segment:016x}.wal has format {version}, and this version reads formats up to {known}: start the \
                 version that wrote it, or a newer one"
            ),
            Refusal::Contradiction { place, write, what } => write!(
                f,
                "write {write} at {place} is intact and makes no sense: {what}. The files are not as they were \
                 written; restore them from a good copy, or replace this member (httpraft member replace)"
            ),
            Refusal::Exhausted { segment } => write!(
                f,
                "{segment:016x}.wal has the highest number there is, so the log can't go on: it is not a file of \
                 this log; remove it"
            ),
        }
    }
}

impl Display for Decay {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "the disk lost what it had synced: write {} is damaged: ", self.write)?;
        match &self.gone {
            Gone::Record { places } => {
                f.write_str("a record is gone")?;
                list(f, " in both copies, ", places)?;
            }
            Gone::Payload { places, bytes, id, .. } => {
                write!(f, "the {bytes} bytes of entry {id} are gone")?;
                list(f, ", ", places)?;
            }
            Gone::Succession { segment } => {
                write!(f, "{segment:016x}.wal does not continue what stands before it")?;
            }
        }
        for segment in &self.unreadable {
            write!(f, "; {segment:016x}.wal: both copies of its header are unreadable")?;
        }
        for segment in &self.missing {
            write!(f, "; {segment:016x}.wal is missing")?;
        }
        write!(
            f,
            ". What stands in {} says that write {} was synced, so no crash explains this. Nothing was changed. This \
             node must not vote with what is left: restore the files from a good copy of this very disk's newest \
             state, or replace this member (httpraft member replace)",
            self.evidence, self.synced
        )
    }
}

fn list(f: &mut Formatter<'_>, before: &str, places: &[Place]) -> Result {
    for (at, place) in places.iter().enumerate() {
        write!(f, "{}{place}", if at == 0 { before } else { " and " })?;
    }
    Ok(())
}

impl core::error::Error for Refusal {}
