//! Which segments the log still needs: where a walk may begin, and what lies before that.

use crate::ids::Index;
use alloc::vec::Vec;

/// A root has to fit into 48 bits of the segment header.
const LIMIT: u64 = 1 << 48;

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stretch {
    segment: u64,
    /// The write of its first record. Once that is synced, the segment's header is.
    first: u64,
    /// The root that its header names; 0: none.
    root: u64,
    /// Where its anchor or its base says that the log stands. `None` if it has neither, or if the log was later cut to
    /// below: a walk that begins here could not follow that, also if the same entry came back.
    anchor: Option<Index>,
}

/// The segments from the oldest one that is needed, in order, and how far the application needs no entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Roots {
    stretches: Vec<Stretch>,
    /// The oldest segment that the next header will say is needed; 0: all from the log's first.
    root: u64,
    released: Index,
}

impl Roots {
    /// Of a log that is read from this segment on; 0: from its first.
    pub(super) fn new(root: u64) -> Roots {
        Roots { root, ..Roots::default() }
    }

    /// The log goes on in a segment whose header was read.
    pub(super) fn enter(&mut self, segment: u64, first: u64, root: u64) {
        self.stretches.push(Stretch { segment, first, root, anchor: None });
    }

    /// The log goes on in a new segment. Returns the root that its header has to name: the newest segment that holds
    /// all that is needed. Only one whose beginning is on stable storage, which is so for writes up to `stable`: what a
    /// header says must not depend on what a crash may take.
    pub(super) fn open(&mut self, segment: u64, first: u64, anchor: Option<Index>, stable: u64) -> u64 {
        let serves = |stretch: &&Stretch| {
            stretch.first <= stable
                && stretch.segment < LIMIT
                && stretch.anchor.is_some_and(|anchor| anchor <= self.released)
        };
        if let Some(newest) = self.stretches.iter().rev().find(serves) {
            self.root = self.root.max(newest.segment);
        }
        self.stretches.push(Stretch { segment, first, root: self.root, anchor });
        self.root
    }

    /// A segment that was entered turned out to begin with the log at this index.
    pub(super) fn anchored(&mut self, segment: u64, at: Index) {
        if let Some(stretch) = self.stretches.iter_mut().rev().find(|stretch| stretch.segment == segment) {
            stretch.anchor = Some(at);
        }
    }

    /// The log begins anew on a base. What was before need not be a part of the committed log, so no earlier segment
    /// may become the root any more; the base itself is committed, and needs nothing before it.
    pub(super) fn reset(&mut self, base: Index) {
        self.stretches.iter_mut().for_each(|stretch| stretch.anchor = None);
        self.released = base;
    }

    /// The log was cut to end at `keep`.
    pub(super) fn truncate(&mut self, keep: Index) {
        for stretch in &mut self.stretches {
            stretch.anchor = stretch.anchor.filter(|anchor| *anchor <= keep);
        }
    }

    /// Entries up to here are not needed any more.
    pub(super) fn release(&mut self, through: Index) {
        self.released = self.released.max(through);
    }

    /// Forgets the segments behind the first `count`: nothing of them is a part of the log.
    pub(super) fn keep(&mut self, count: usize) {
        self.stretches.truncate(count);
    }

    /// The segments before the root that a header on stable storage names. Each is given once.
    pub(super) fn obsolete(&mut self, synced: u64) -> Vec<u64> {
        let durable = self.stretches.iter().rev().find(|stretch| stretch.first <= synced);
        let root = durable.map_or(0, |stretch| stretch.root);
        let needed = self.stretches.partition_point(|stretch| stretch.segment < root);
        self.stretches.drain(..needed).map(|stretch| stretch.segment).collect()
    }
}
