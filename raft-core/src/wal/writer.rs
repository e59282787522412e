//! Updates become bytes.

use super::draft::{self, Draft};
use super::layout::{Cursor, Extent, Layout};
use super::record::{Header, Kind, RECORD};
use super::segment::SegmentHeader;
use super::{Identity, Op, Sequence, TooLarge};
use crate::entry::{Entry, Payload};
use crate::ids::{EntryId, Index};
use crate::write::{HardState, Update};
use alloc::vec::Vec;
use bytes::Bytes;

/// What the log holds, as far as the next record depends on it: the running hash after each index since the base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hashes {
    pub(super) base: Index,
    pub(super) base_hash: u64,
    pub(super) after: Vec<u64>,
}

impl Hashes {
    /// The last index of the log.
    pub(super) fn last(&self) -> Index {
        Index(self.base.0.saturating_add(self.after.len() as u64))
    }

    /// The running hash after the last entry.
    pub(super) fn running(&self) -> u64 {
        self.after.last().copied().unwrap_or(self.base_hash)
    }

    /// Starts again from a base.
    pub(super) fn reset(&mut self, id: EntryId, hash: u64) {
        *self = Hashes { base: id.index, base_hash: hash, after: Vec::new() };
    }

    /// Forgets the entries after `keep`. Whether it is between the base and the end.
    pub(super) fn truncate(&mut self, keep: Index) -> bool {
        let inside = (self.base..=self.last()).contains(&keep);
        if inside {
            self.after.truncate(usize::try_from(keep.0 - self.base.0).unwrap_or(usize::MAX));
        }
        inside
    }
}

/// The writing end of a log. Made by [`recover`](super::recover), also for an empty directory.
///
/// Invariants: writes are numbered without a gap over all starts; `vouched < next`, `synced < next`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wal {
    pub(super) identity: Identity,
    pub(super) layout: Layout,
    /// The checksums' initial state.
    pub(super) seed: u32,
    /// The number of the next write.
    pub(super) next: u64,
    /// The newest write that is more than a mark.
    pub(super) content: u64,
    /// The newest write that is known to be on stable storage.
    pub(super) synced: u64,
    /// The newest write that some record says is synced.
    pub(super) vouched: u64,
    /// The chain after the newest record.
    pub(super) chain: u64,
    /// The segment that holds the newest record; `None` before the first.
    pub(super) tip: Option<u64>,
    /// The highest segment number ever used.
    pub(super) newest: u64,
    /// Where the next record goes in the newest segment; `None`: a new segment has to be opened.
    pub(super) at: Option<Cursor>,
    pub(super) hard: HardState,
    pub(super) hashes: Hashes,
}

/// One write in progress.
struct Writing<'a> {
    wal: &'a mut Wal,
    draft: Draft,
    part: u32,
    /// How many records of the update are still to come.
    left: usize,
}

impl Wal {
    /// Puts out what stores an update, all of it under one number. The puts of one update may be carried out in any
    /// order and survive a crash in any part: recovery takes the update as a whole or not at all.
    ///
    /// # Errors
    /// [`TooLarge`] if one entry or base is larger than what an empty segment takes; then nothing has changed.
    ///
    /// # Panics
    /// If the update does not continue the log: a hole between its entries, a truncation beyond the log's ends, a base
    /// that has an index and no term.
    pub fn append(&mut self, update: &Update, ops: &mut Vec<Op>) -> Result<Sequence, TooLarge> {
        let (ids, data) = self.measure(update)?;
        let records = [update.hard.is_some(), update.base.is_some(), update.keep.is_some()];
        let left = records.into_iter().filter(|present| *present).count() + update.entries.len();
        if left == 0 {
            return Ok(self.write_mark(ops));
        }
        self.content = self.next;
        let mut writing = self.begin(ids, data, left);
        if let Some(hard) = update.hard {
            writing.wal.hard = hard;
            writing.put(hard_record(hard), &Bytes::new());
        }
        if let Some(base) = &update.base {
            assert_eq!(base.id.term.0 == 0, base.id.index.0 == 0, "only the origin has no term");
            writing.wal.hashes.reset(base.id, base.hash);
            let payload = base.membership.encode();
            writing.put(
                Header {
                    index: base.id.index.0,
                    term: base.id.term.0,
                    hash: crate::hash::bytes(&payload),
                    running: base.hash,
                    ..blank(Kind::Base)
                },
                &payload,
            );
        }
        if let Some(keep) = update.keep {
            assert!(writing.wal.hashes.truncate(keep), "a truncation stays within the log");
            writing.put(Header { index: keep.0, ..blank(Kind::Truncate) }, &Bytes::new());
        }
        for entry in &update.entries {
            writing.entry(entry);
        }
        Ok(writing.finish(ops))
    }

    /// A record that says nothing but what is synced, so that an idle log leaves nothing unvouched: damage to the
    /// newest synced write can then be told from a crash. `None` if all that is synced is vouched for, or more is to
    /// be synced first. It needs no sync of its own, but does its work only once it is stored.
    pub fn mark(&mut self, ops: &mut Vec<Op>) -> Option<Sequence> {
        (self.synced >= self.content && self.content > self.vouched).then(|| self.write_mark(ops))
    }

    /// Everything up to here is on stable storage, segments' directory entries included.
    ///
    /// # Panics
    /// If no such write was put out.
    pub fn synced(&mut self, through: Sequence) {
        assert!(through.0 < self.next, "only what was put out can be synced");
        self.synced = self.synced.max(through.0);
    }

    fn write_mark(&mut self, ops: &mut Vec<Op>) -> Sequence {
        let mut writing = self.begin(RECORD, RECORD, 1);
        writing.put(blank(Kind::Mark), &Bytes::new());
        writing.finish(ops)
    }

    fn begin(&mut self, ids: usize, data: usize, left: usize) -> Writing<'_> {
        let mut draft = Draft::new(ids, data);
        if let Some(at) = self.at {
            draft.seek(self.newest, self.layout, at);
        }
        Writing { wal: self, draft, part: 0, left }
    }

    /// How many bytes an update will copy into the two buffers.
    fn measure(&self, update: &Update) -> Result<(usize, usize), TooLarge> {
        let fixed = usize::from(update.hard.is_some()) + usize::from(update.keep.is_some());
        let (mut ids, mut data) = (RECORD * fixed, RECORD * fixed);
        if self.at.is_none() {
            (ids, data) = (ids + RECORD, data + RECORD);
        }
        let mut add = |length: usize, twice: bool| {
            let extent = self.room(length, twice)?;
            ids += extent.slots as usize * RECORD;
            data += draft::copied(length);
            Ok(())
        };
        if let Some(base) = &update.base {
            add(base.membership.encode().len(), true)?;
        }
        for entry in &update.entries {
            match entry.payload() {
                Payload::Noop => add(0, false)?,
                Payload::Command(bytes) => add(bytes.len(), false)?,
                Payload::Membership(membership) => add(membership.encode().len(), true)?,
            }
        }
        Ok((ids, data))
    }

    /// The room that a record takes, if an empty segment has it: behind the hard state that each segment begins with.
    fn room(&self, length: usize, twice: bool) -> Result<Extent, TooLarge> {
        let behind = Cursor { slot: 1, offset: RECORD as u32 };
        let extent = Extent::of(length, twice).filter(|extent| self.layout.fits(behind, *extent));
        extent.ok_or_else(|| {
            let data = (self.layout.data_bytes as usize).saturating_sub(2 * RECORD) & !7;
            let ids = (self.layout.ids_bytes as usize / RECORD).saturating_sub(2) * RECORD;
            TooLarge { bytes: length, limit: if twice { data.min(ids) } else { data } }
        })
    }
}

impl Writing<'_> {
    fn entry(&mut self, entry: &Entry) {
        let hashes = &mut self.wal.hashes;
        assert_eq!(entry.index(), hashes.last().next(), "entries are contiguous with the log");
        let running = entry.running_hash(hashes.running());
        hashes.after.push(running);
        let header = Header {
            payload: entry.payload().kind(),
            index: entry.index().0,
            term: entry.term().0,
            hash: entry.hash(),
            running,
            ..blank(Kind::Entry)
        };
        match entry.payload() {
            Payload::Command(bytes) => self.put(header, bytes),
            Payload::Noop | Payload::Membership(_) => self.put(header, &entry.payload().encoded()),
        }
    }

    /// Puts the write's next record, in a new segment if this one is full. A segment begins with the hard state.
    fn put(&mut self, mut header: Header, payload: &Bytes) {
        self.left -= 1;
        header.last = self.left == 0;
        header.length = u32::try_from(payload.len()).expect("measured before");
        let extent = header.extent().expect("measured before");
        let fitting = self.wal.at.filter(|at| self.wal.layout.fits(*at, extent));
        let at = match fitting {
            Some(at) => at,
            None => {
                let start = self.open();
                if header.kind == Kind::Hard as u8 {
                    start
                } else {
                    self.store(start, hard_record(self.wal.hard), &Bytes::new())
                }
            }
        };
        self.store(at, header, payload);
    }

    /// Opens a new segment that continues the newest record.
    fn open(&mut self) -> Cursor {
        let wal = &mut *self.wal;
        wal.newest = wal.newest.checked_add(1).expect("recovery leaves room for new segments");
        let header = SegmentHeader {
            generation: wal.newest,
            previous: wal.tip,
            first: wal.next,
            part: self.part,
            // A start opens a segment before it writes anything: nothing newer is vouched for yet.
            proven: if wal.at.is_none() { wal.vouched } else { wal.next - 1 },
            chain: wal.chain,
            layout: wal.layout,
        };
        wal.tip = Some(wal.newest);
        self.draft.seek(wal.newest, wal.layout, Cursor::default());
        self.draft.segment(wal.newest, header.page(&wal.identity));
        Cursor::default()
    }

    fn store(&mut self, at: Cursor, mut header: Header, payload: &Bytes) -> Cursor {
        let wal = &mut *self.wal;
        header.part = self.part;
        header.generation = wal.newest;
        header.cluster = wal.identity.cluster.0;
        header.write = wal.next;
        header.synced_through = wal.synced;
        header.at = at;
        let (bytes, chain) = header.seal(wal.chain, wal.seed);
        self.draft.record(&bytes, payload, header.twice());
        self.part += 1;
        wal.chain = chain;
        let after = header.extent().and_then(|extent| at.after(extent)).expect("the record fits the segment");
        wal.at = Some(after);
        after
    }

    fn finish(self, ops: &mut Vec<Op>) -> Sequence {
        assert_eq!(self.left, 0, "a write ends with its last record");
        self.draft.finish(ops);
        let number = self.wal.next;
        self.wal.vouched = self.wal.synced;
        self.wal.next += 1;
        Sequence(number)
    }
}

/// A record of a kind without anything in it.
fn blank(kind: Kind) -> Header {
    Header {
        kind: kind as u8,
        last: false,
        voted: false,
        payload: 0,
        part: 0,
        length: 0,
        generation: 0,
        cluster: 0,
        write: 0,
        synced_through: 0,
        index: 0,
        term: 0,
        hash: 0,
        running: 0,
        at: Cursor { slot: 0, offset: 0 },
    }
}

fn hard_record(hard: HardState) -> Header {
    Header {
        voted: hard.vote.is_some(),
        index: hard.vote.unwrap_or_default().0,
        term: hard.term.0,
        hash: hard.boot.0,
        ..blank(Kind::Hard)
    }
}
