//! Which segments are the log. A life that ends in a crash may leave segments behind whose writes were cut; the next
//! life continues from an earlier one. So the order of the numbers alone does not say what continues what: each
//! segment names its predecessor, and the oldest segment that is still needed, its root.

use super::Identity;
use super::segment::{Segment, SegmentHeader};
use alloc::vec;
use alloc::vec::Vec;

/// The segment of this number, if its header is readable. `segments` are in order of their numbers.
fn header(segments: &[Segment], number: u64) -> Option<SegmentHeader> {
    position(segments, number).and_then(|at| segments[at].header)
}

fn position(segments: &[Segment], number: u64) -> Option<usize> {
    segments.binary_search_by_key(&number, |segment| segment.number).ok()
}

/// The positions of the segments that lead from the root, or from the log's first one, to the newest one that can be
/// followed back to the root that it names. Empty if there is none. `segments` are in order of their numbers.
pub(super) fn lineage(segments: &[Segment], identity: &Identity) -> Vec<usize> {
    let candidates = (0..segments.len()).rev();
    candidates
        .map(|newest| path(segments, identity, newest))
        .find(|path| !path.is_empty())
        .unwrap_or_default()
}

/// The positions from its root to this segment; empty if it can't be followed back.
fn path(segments: &[Segment], identity: &Identity, newest: usize) -> Vec<usize> {
    let root = segments[newest].header.map_or(0, |header| header.root);
    let mut path = Vec::new();
    let mut next = Some(newest);
    while let Some(at) = next {
        path.push(at);
        let Some(header) = segments[at].header else { break };
        let begins = match root {
            0 => (header.previous, header.first, header.part, header.chain) == (None, 1, 0, identity.chain()),
            root => header.generation == root && at != newest && header.can_be_root(),
        };
        if begins {
            path.reverse();
            return path;
        }
        // Only earlier ones: a segment is never continued by one with a lower number.
        next = header.previous.and_then(|number| position(&segments[..at], number));
    }
    vec![]
}

/// The roots that headers name: the header's segment, the root, and the write that the root begins with, if its header
/// is readable. A root is named only after it was synced.
pub(super) fn named_roots(segments: &[Segment]) -> impl Iterator<Item = (u64, u64, Option<u64>)> {
    segments.iter().filter_map(|segment| {
        let root = segment.header.map(|header| header.root).filter(|root| *root != 0)?;
        let first = header(segments, root).filter(SegmentHeader::can_be_root).map(|header| header.first);
        Some((segment.number, root, first))
    })
}

/// The segments that others name, as predecessor or as root, and that are not there. What stands before the newest root
/// is not missed.
pub(super) fn missing(segments: &[Segment]) -> Vec<u64> {
    let headers = || segments.iter().filter_map(|segment| segment.header);
    let newest_root = headers().map(|header| header.root).max().unwrap_or(0);
    let named = headers().flat_map(|header| [header.previous.unwrap_or(0), header.root]);
    let absent =
        |number: &u64| *number != 0 && *number >= newest_root && position(segments, *number).is_none();
    let mut missing: Vec<u64> = named.filter(absent).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}
