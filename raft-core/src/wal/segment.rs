//! A segment file: its header, and its bytes as regions.

use super::layout::{Cursor, HEADER_BYTES, Layout};
use super::record::RECORD;
use super::refusal::{Place, Refusal, Region};
use super::{Identity, Sequence};
use crate::ids::{ClusterId, DiskId, NodeId};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The format that this code writes, and the newest that it reads. In format 1 there are no roots and no anchors.
pub(super) const VERSION: u16 = 2;
const MAGIC: [u8; 8] = *b"RAFTWAL\n";
/// Bytes of a segment's header. Magic, version and checksum stand at the same places in every version to come.
const BYTES: usize = 96;
const CHECKED: usize = BYTES - 4;
/// Where the header stands in its page.
const COPIES: [usize; 2] = [0, 2048];

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SegmentHeader {
    /// The format of the segment.
    pub(super) version: u16,
    /// The oldest segment that the log needed when this one was opened; 0: all from its first.
    pub(super) root: u64,
    /// The segment's number.
    pub(super) generation: u64,
    /// The segment that this one continues; `None` for a log's first.
    pub(super) previous: Option<u64>,
    /// The write of this segment's first record.
    pub(super) first: u64,
    /// That record's place within the write: not 0 when the write began in an earlier segment.
    pub(super) part: u32,
    /// The chain after the record that this segment continues.
    pub(super) chain: u64,
    /// The newest write that was known to be synced when a start opened this segment. The writes after it and before
    /// `first` were found whole, though each may have lost a copy to the crash before that start: that is no decay.
    /// `first - 1` in a segment that was opened later.
    pub(super) proven: u64,
    pub(super) layout: Layout,
}

impl SegmentHeader {
    /// Whether a walk may begin with this segment: it begins with a write, and may hold an anchor or a base.
    pub(super) fn can_be_root(&self) -> bool {
        // A number that no log reaches is no number: what follows must have room to count.
        self.version >= 2 && self.part == 0 && (1..1 << 63).contains(&self.first)
    }

    /// The segment's first page.
    pub(super) fn page(&self, identity: &Identity) -> Bytes {
        let mut header = [0; BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..10].copy_from_slice(&self.version.to_le_bytes());
        header[10..16].copy_from_slice(&self.root.to_le_bytes()[..6]);
        let previous = self.previous.unwrap_or(0);
        let (cluster, node, disk) = (identity.cluster.0, identity.node.0, identity.disk.0);
        let words = [cluster, node, disk, self.generation, previous, self.first, self.proven, self.chain];
        for (to, word) in header[16..80].chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        for (to, half) in
            header[80..92].chunks_exact_mut(4).zip([self.layout.ids_bytes, self.layout.data_bytes, self.part])
        {
            to.copy_from_slice(&half.to_le_bytes());
        }
        let crc = crc32fast::hash(&header[..CHECKED]);
        header[CHECKED..].copy_from_slice(&crc.to_le_bytes());
        let mut page = vec![0; HEADER_BYTES as usize];
        for at in COPIES {
            page[at..at + BYTES].copy_from_slice(&header);
        }
        Bytes::from(page)
    }

    /// Reads one copy. `Ok(None)`: it is not intact, or it is an older use's of the same file.
    fn read(copy: &[u8], identity: &Identity, number: u64) -> Result<Option<SegmentHeader>, Refusal> {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| copy[at + i]));
        let half = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| copy[at + i]));
        let intact = copy[..8] == MAGIC && half(CHECKED) == crc32fast::hash(&copy[..CHECKED]);
        if !intact {
            return Ok(None);
        }
        let version = half(8) as u16;
        if version > VERSION {
            return Err(Refusal::NewerFormat { segment: number, version, known: VERSION });
        }
        let (cluster, node, disk) = (ClusterId(word(16)), NodeId(word(24)), DiskId(word(32)));
        if cluster != identity.cluster {
            return Err(Refusal::WrongCluster {
                segment: number,
                found: cluster,
                expected: identity.cluster,
            });
        }
        if node != identity.node {
            return Err(Refusal::WrongNode { segment: number, found: node, expected: identity.node });
        }
        if disk != identity.disk {
            return Err(Refusal::WrongDisk { segment: number, found: disk, expected: identity.disk });
        }
        let header = SegmentHeader {
            version,
            root: if version == 1 { 0 } else { word(8) >> 16 },
            generation: word(40),
            previous: Some(word(48)).filter(|previous| *previous != 0),
            first: word(56),
            part: half(88),
            proven: word(64),
            chain: word(72),
            layout: Layout { ids_bytes: half(80), data_bytes: half(84) },
        };
        Ok((version >= 1 && header.generation == number).then_some(header))
    }
}

/// A segment file as it was read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    /// `None` if neither copy is intact.
    pub(super) header: Option<SegmentHeader>,
    /// The copy that is not intact while the other one is, with the write that it belongs to.
    pub(super) damaged: Vec<(Sequence, Place)>,
}

impl Segment {
    /// Reads a file's header. Refuses files of another log and of a newer format.
    pub(super) fn read(identity: &Identity, number: u64, bytes: Bytes) -> Result<Segment, Refusal> {
        let mut copies = [None; 2];
        for (found, at) in copies.iter_mut().zip(COPIES) {
            if let Some(copy) = bytes.get(at..at + BYTES) {
                *found = SegmentHeader::read(copy, identity, number)?;
            }
        }
        let header = copies[0].or(copies[1]);
        let damaged = header.map_or_else(Vec::new, |header| {
            let places = copies.iter().zip(COPIES).filter(|(copy, _)| **copy != Some(header));
            let place = |at| Place { segment: number, region: Region::Header, at: at as u64 };
            places.map(|(_, at)| (Sequence(header.first), place(at))).collect()
        });
        Ok(Segment { number, bytes, header, damaged })
    }

    /// Where the regions are, if the header is intact.
    pub(super) fn layout(&self) -> Layout {
        self.header.map_or(Layout { ids_bytes: 0, data_bytes: 0 }, |header| header.layout)
    }

    /// Bytes of the `ids` region from a slot on; `None` if the region or the file is shorter.
    pub(super) fn ids(&self, slot: u32, length: usize) -> Option<&[u8]> {
        let layout = self.layout();
        self.part(layout.ids_at(), u64::from(layout.ids_bytes), u64::from(slot) * RECORD as u64, length)
    }

    /// Bytes of the `data` region; `None` if the region or the file is shorter.
    pub(super) fn data(&self, offset: u32, length: usize) -> Option<&[u8]> {
        let layout = self.layout();
        self.part(layout.data_at(), u64::from(layout.data_bytes), u64::from(offset), length)
    }

    fn part(&self, region_at: u64, region_bytes: u64, from: u64, length: usize) -> Option<&[u8]> {
        let inside = from.checked_add(length as u64)? <= region_bytes;
        let start = usize::try_from(region_at.checked_add(from)?).ok()?;
        let end = start.checked_add(length)?;
        self.bytes.get(start..end).filter(|_| inside)
    }

    /// Where the copies of a record's header stand: in `ids`, in `data`.
    pub(super) fn places(&self, at: Cursor) -> [Place; 2] {
        let layout = self.layout();
        let place = |region, at| Place { segment: self.number, region, at };
        [
            place(Region::Ids, layout.ids_at() + u64::from(at.slot) * RECORD as u64),
            place(Region::Data, layout.data_at() + u64::from(at.offset)),
        ]
    }

    /// Where the copies of a record's payload stand.
    pub(super) fn payload_places(&self, at: Cursor) -> [Place; 2] {
        self.places(at).map(|place| Place { at: place.at + RECORD as u64, ..place })
    }
}
