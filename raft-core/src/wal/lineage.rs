//! Which segments are the log. A life that ends in a crash may leave segments behind whose writes were cut; the next
//! life continues from an earlier one. So the order of the numbers alone does not say what continues what: each
//! segment names its predecessor.

use super::Identity;
use super::segment::Segment;
use alloc::vec;
use alloc::vec::Vec;

/// The positions of the segments that lead from the log's first to the newest one that can be followed back to it.
/// Empty if there is none. `segments` are in order of their numbers.
pub(super) fn lineage(segments: &[Segment], identity: &Identity) -> Vec<usize> {
    let mut previous: Vec<Option<usize>> = vec![None; segments.len()];
    let mut rooted = vec![false; segments.len()];
    for at in 0..segments.len() {
        let Some(header) = segments[at].header else { continue };
        let Some(number) = header.previous else {
            rooted[at] = (header.first, header.part, header.chain) == (1, 0, identity.chain());
            continue;
        };
        // Only earlier ones: a segment is never continued by one with a lower number.
        previous[at] = segments[..at].binary_search_by_key(&number, |segment| segment.number).ok();
        rooted[at] = previous[at].is_some_and(|previous| rooted[previous]);
    }
    let newest = rooted.iter().rposition(|rooted| *rooted);
    let mut path: Vec<usize> = core::iter::successors(newest, |at| previous[*at]).collect();
    path.reverse();
    path
}

/// The segments that others name as their predecessor and that are not there.
pub(super) fn missing(segments: &[Segment]) -> Vec<u64> {
    let named = segments.iter().filter_map(|segment| segment.header?.previous);
    let absent = |number: &u64| segments.binary_search_by_key(number, |segment| segment.number).is_err();
    let mut missing: Vec<u64> = named.filter(absent).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}
