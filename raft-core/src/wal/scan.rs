//! Looking for records where none is expected: behind a damaged one the places are not known any more, and what still
//! stands there may be the only witness that the damaged write had been synced.

use super::Identity;
use super::layout::{Cursor, HEADER_BYTES};
use super::record::{Header, MAGIC, RECORD};
use super::refusal::{Place, Region};
use super::segment::Segment;

/// The highest `synced_through` of all intact records seen, and where it was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub(super) synced: u64,
    pub(super) place: Option<Place>,
}

impl Evidence {
    /// Takes in what a record at a place says.
    pub(super) fn see(&mut self, header: &Header, place: Place) {
        self.vouch(header.synced_through, place);
    }

    /// Something at a place says that this write was synced.
    pub(super) fn vouch(&mut self, write: u64, place: Place) {
        if write > self.synced {
            *self = Evidence { synced: write, place: Some(place) };
        }
    }
}

/// Looks through a segment from a place on, in both regions, or through all of it if its header does not say where
/// they are. Returns how many intact copies stand there. A record counts only at the very place that it names, so that
/// no payload that happens to hold a record is taken for one.
pub(super) fn scan(segment: &Segment, from: Cursor, identity: &Identity, evidence: &mut Evidence) -> usize {
    let seed = identity.seed();
    let page = u64::from(HEADER_BYTES);
    let ids_at = |header: &Header| page + u64::from(header.at.slot) * RECORD as u64;
    let mut count = 0;
    let mut look = |start: u64, end: u64, region: Option<Region>| {
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(segment.bytes.len());
        let bytes =
            usize::try_from(start).ok().and_then(|start| segment.bytes.get(start..end)).unwrap_or(&[]);
        for (step, word) in bytes.chunks_exact(8).enumerate() {
            if word[..4] != MAGIC.to_le_bytes() {
                continue;
            }
            let copy = bytes.get(8 * step..8 * step + RECORD).unwrap_or(&[]);
            let Some((header, _)) = Header::read(copy, identity, seed, segment.number) else { continue };
            let at = start + 8 * step as u64;
            let offset = u64::from(header.at.offset);
            let found = match region {
                Some(Region::Data) => (segment.layout().data_at() + offset == at).then_some(Region::Data),
                Some(_) => (ids_at(&header) == at).then_some(Region::Ids),
                None if ids_at(&header) == at => Some(Region::Ids),
                None => (at >= page + offset).then_some(Region::Data),
            };
            if let Some(region) = found {
                count += 1;
                evidence.see(&header, Place { segment: segment.number, region, at });
            }
        }
    };
    match segment.header {
        None => look(page, u64::MAX, None),
        Some(header) => {
            let layout = header.layout;
            let slot_at = layout.ids_at() + u64::from(from.slot) * RECORD as u64;
            look(slot_at, layout.data_at(), Some(Region::Ids));
            let data_at = layout.data_at() + u64::from(from.offset);
            look(data_at, layout.segment_bytes(), Some(Region::Data));
        }
    }
    count
}
