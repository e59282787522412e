//! From the bytes of segment files to a log, or to a refusal. `docs/wal.md` has the reason for every decision.

use super::layout::{Cursor, Extent, Layout};
use super::lineage;
use super::record::RECORD;
use super::refusal::{Decay, Gone, Place, Refusal, Region};
use super::scan::{Evidence, scan};
use super::segment::{Segment, SegmentHeader};
use super::walk::{End, Walk};
use super::writer::Wal;
use super::{Identity, Sequence};
use crate::entry::Entry;
use crate::ids::EntryId;
use crate::write::Recovered;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;

/// What the files held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Hard state, base and log: everything that was ever synced, and at most some writes that were not.
    pub recovered: Recovered,
    /// The log's writing end. It goes on in a new segment.
    pub wal: Wal,
    /// Segments that hold nothing of the log, or nothing that is needed. Delete them only after the first sync of `wal`'s writes.
    pub discard: Vec<u64>,
    /// What a crash took, if it took something.
    pub cut: Option<Cut>,
    /// Places of synced records whose other copy was used instead: the disk decays.
    pub mended: Vec<Place>,
    /// Entries whose commands are lost, and where these stood: the disk decays. They are in `recovered` without them, and
    /// the node gets them from its peers.
    pub decayed: Vec<(EntryId, Place)>,
}

/// The end of the log after a crash: from this write on nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first write that is not whole.
    pub write: Sequence,
    /// Where its first missing part was looked for; `None` if its segment never came to be.
    pub place: Option<Place>,
    /// How many intact copies of record headers are dropped with it.
    pub copies: usize,
}

impl core::fmt::Display for Cut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a crash left write {} incomplete", self.write)?;
        if let Some(place) = self.place {
            write!(f, " ({place})")?;
        }
        write!(
            f,
            "; it was never acknowledged, and the log goes on before it ({} copies dropped)",
            self.copies
        )
    }
}

/// Reads a log back from its files, in any order, each with the number that names it.
///
/// What is handed in must be on stable storage: a driver syncs the files and their directory before it reads them, and
/// does not read pages that an earlier failed sync may have left in memory only.
///
/// # Errors
/// A [`Refusal`] if the files are another log's, or if something that was synced is gone. Nothing may be changed then.
///
/// # Panics
/// If `layout` is not made of multiples of 8 with room for two records in each region.
pub fn recover(
    identity: Identity,
    layout: Layout,
    mut segments: Vec<(u64, Bytes)>,
) -> Result<Recovery, Refusal> {
    let two_records = Extent { slots: 2, bytes: 2 * RECORD as u32 };
    assert!(layout.fits(Cursor::default(), two_records), "a segment has room for two records");
    assert_eq!((layout.ids_bytes % 8, layout.data_bytes % 8), (0, 0), "regions are multiples of 8 bytes");
    segments.sort_by_key(|(number, _)| *number);
    segments.dedup_by_key(|(number, _)| *number);
    let newest = segments.last().map_or(0, |(number, _)| *number);
    if newest == u64::MAX {
        return Err(Refusal::Exhausted { segment: newest });
    }
    let read = |(number, bytes)| Segment::read(&identity, number, bytes);
    let segments = segments.into_iter().map(read).collect::<Result<Vec<Segment>, Refusal>>()?;
    let path = lineage::lineage(&segments, &identity);
    let header = |at: Option<&usize>| at.and_then(|at| segments[*at].header.as_ref());
    let rooted = header(path.last()).is_some_and(|newest| newest.root != 0);
    let root = header(path.first()).filter(|_| rooted);
    let (mut walk, end, copies) = walk_through(&identity, root, &segments, &path)?;
    let cut = cut(&walk, &end.gone, copies);
    let kept = walk.tip.map_or(&path[..0], |tip| &path[..=tip]);
    walk.roots.keep(kept.len());
    // What was cut off since, or is behind a base, is not missed.
    let missed = walk.recovered.entries.iter().filter(|entry| entry.is_decayed()).map(Entry::id);
    let missed: BTreeSet<EntryId> = missed.collect();
    walk.decayed.retain(|(id, _)| missed.contains(id));
    let mended = mended(&walk, kept.iter().filter_map(|at| segments[*at].header));
    Ok(Recovery {
        mended,
        discard: (0..segments.len())
            .filter(|at| kept.binary_search(at).is_err())
            .map(|at| segments[at].number)
            .collect(),
        cut,
        decayed: walk.decayed,
        wal: Wal {
            identity,
            layout,
            seed: identity.seed(),
            next: walk.write,
            content: walk.content,
            // Only the first sync proves the rest, together with the segment header that says what was not proven.
            synced: walk.evidence.synced,
            vouched: walk.evidence.synced,
            found: walk.write - 1,
            chain: walk.whole_chain,
            tip: kept.last().map(|at| segments[*at].number),
            newest,
            at: None,
            hard: walk.recovered.hard,
            tail: walk.tail,
            roots: walk.roots,
        },
        recovered: walk.recovered,
    })
}

/// Reads all that was synced, and looks for evidence that there was more: then it has decayed. If it is a command that is
/// gone, its entry is kept without it, now that it is known what no crash explains.
fn walk_through<'a>(
    identity: &'a Identity,
    root: Option<&SegmentHeader>,
    segments: &[Segment],
    path: &[usize],
) -> Result<(Walk<'a>, End, usize), Refusal> {
    let chain: Vec<&Segment> = path.iter().map(|at| &segments[*at]).collect();
    let mut spares = 0;
    loop {
        let mut walk = Walk::new(identity, root, spares);
        let end = walk.run(&chain)?;
        let copies = look_around(segments, path, &end, &mut walk);
        let evidence = headers_say(segments, path, &walk);
        if walk.write > evidence.synced {
            return Ok((walk, end, copies));
        }
        if !matches!(end.gone, Gone::Payload { command: true, .. }) || evidence.synced <= spares {
            return Err(Refusal::Decay(Box::new(decay(segments, &walk, end.gone, evidence))));
        }
        spares = evidence.synced;
    }
}

/// Looks for evidence wherever the walk did not come. Returns how many intact copies stand behind its end: what an
/// earlier crash left in segments before the last one that was read is known and done with.
fn look_around(segments: &[Segment], path: &[usize], end: &End, walk: &mut Walk<'_>) -> usize {
    let read = &path[..end.cursors.len()];
    let last = read.last().copied().unwrap_or(0);
    let mut behind = 0;
    for (at, segment) in segments.iter().enumerate() {
        let from = read.binary_search(&at).map_or(Cursor::default(), |position| end.cursors[position]);
        let copies = scan(segment, from, walk.identity, &mut walk.evidence);
        if at >= last {
            behind += copies;
        }
    }
    behind
}

/// What records and headers say. The header of a segment that a start opened behind writes that nobody had vouched for
/// says that the start had found them whole, on stable storage. A header that names a root says that the root's first write
/// was synced: so a log that does not reach the root has lost it, also if nothing else is left to say so. Both count for
/// that alone: the writes need not be proven in the sense of *Mended*.
fn headers_say(segments: &[Segment], path: &[usize], walk: &Walk<'_>) -> Evidence {
    let mut evidence = walk.evidence;
    for header in segments.iter().filter_map(|segment| segment.header) {
        if header.proven.saturating_add(1) < header.first {
            let place = Place { segment: header.generation, region: Region::Header, at: 0 };
            evidence.vouch(header.first - 1, place);
        }
    }
    let begins = path.first().map_or(0, |at| segments[*at].number);
    for (segment, root, first) in lineage::named_roots(segments) {
        let place = Place { segment, region: Region::Header, at: 0 };
        match first {
            Some(first) => evidence.vouch(first, place),
            // Its header is gone, so it is no part of what was read. What was read begins after it, or ends before it.
            None if root > begins => evidence.vouch(walk.write, place),
            None => {}
        }
    }
    evidence
}

/// What a crash took: nothing if the log simply ends.
fn cut(walk: &Walk<'_>, gone: &Gone, copies: usize) -> Option<Cut> {
    let place = match gone {
        Gone::Record { places } | Gone::Payload { places, .. } => places.first().copied(),
        Gone::Succession { .. } => None,
    };
    let begun = walk.part > 0 || !matches!(gone, Gone::Record { .. });
    (begun || walk.torn || copies > 0).then_some(Cut { write: Sequence(walk.write), place, copies })
}

/// The damaged places that no crash explains: their writes were known to be synced when the next start read them.
fn mended(walk: &Walk<'_>, headers: impl Iterator<Item = SegmentHeader>) -> Vec<Place> {
    // Only a segment that a start opened after a crash names unproven writes, and no two name the same ones.
    let crashes: Vec<(u64, u64)> = headers
        .map(|header| (header.proven, header.first))
        .filter(|(proven, first)| proven.saturating_add(1) < *first)
        .collect();
    let by_crash = |write: u64| {
        let next = crashes.partition_point(|(_, first)| *first <= write);
        crashes.get(next).is_some_and(|(proven, _)| *proven < write)
    };
    let decayed = |write: Sequence| write.0 <= walk.evidence.synced && !by_crash(write.0);
    walk.damaged.iter().filter(|(write, _)| decayed(*write)).map(|(_, place)| *place).collect()
}

fn decay(segments: &[Segment], walk: &Walk<'_>, gone: Gone, evidence: Evidence) -> Decay {
    let unreadable = segments.iter().filter(|segment| segment.header.is_none());
    Decay {
        write: Sequence(walk.write),
        gone,
        synced: Sequence(evidence.synced),
        evidence: evidence.place.expect("what is above 0 was seen somewhere"),
        unreadable: unreadable.map(|segment| segment.number).collect(),
        missing: lineage::missing(segments),
    }
}
