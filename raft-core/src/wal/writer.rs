//! Updates become bytes.

use super::draft::{self, Draft};
use super::layout::{Cursor, Extent, Layout};
use super::record::{Header, Kind, RECORD};
use super::roots::Roots;
use super::segment::{SegmentHeader, VERSION};
use super::tail::Tail;
use super::{Identity, Op, Sequence, TooLarge};
use crate::entry::{Entry, Payload};
use crate::hash;
use crate::ids::{EntryId, Index};
use crate::membership::Membership;
use crate::write::{HardState, Update};
use alloc::vec::Vec;
use bytes::Bytes;

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
    /// The newest write that the start found whole. It is on stable storage, although nothing may say so yet.
    pub(super) found: u64,
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
    pub(super) tail: Tail,
    pub(super) roots: Roots,
}

/// One write in progress.
struct Writing<'a> {
    wal: &'a mut Wal,
    draft: Draft,
    part: u32,
    /// How many records of the update are still to come.
    left: usize,
    /// It begins a new segment.
    anew: bool,
    /// It carries its own base.
    based: bool,
}

/// What an update takes.
struct Size {
    /// Bytes that are copied into the two buffers.
    ids: usize,
    data: usize,
    /// Room in a segment.
    extent: Extent,
}

impl Wal {
    /// Puts out what stores an update, all of it under one number. The puts of one update may be carried out in any
    /// order and survive a crash in any part: recovery takes the update as a whole or not at all.
    ///
    /// # Errors
    /// [`TooLarge`] if one entry or base is larger than what an empty segment takes; then nothing has changed.
    ///
    /// # Panics
    /// If the update does not continue the log: a hole between its entries, a truncation beyond the log's ends or of
    /// what was released, a base that has an index and no term.
    pub fn append(&mut self, update: &Update, ops: &mut Vec<Op>) -> Result<Sequence, TooLarge> {
        let size = self.measure(update)?;
        let records = [update.hard.is_some(), update.base.is_some(), update.keep.is_some()];
        let left = records.into_iter().filter(|present| *present).count() + update.entries.len();
        if left == 0 {
            return Ok(self.write_mark(ops));
        }
        self.content = self.next;
        if let Some(base) = &update.base {
            assert_eq!(base.id.term.0 == 0, base.id.index.0 == 0, "only the origin has no term");
            self.tail.reset(base);
            self.roots.reset(base.id.index);
        }
        let mut writing = self.begin(size, left, update.base.is_some());
        if let Some(hard) = update.hard {
            writing.wal.hard = hard;
            writing.put(hard_record(hard), &Bytes::new());
        }
        if let Some(base) = &update.base {
            let (header, payload) = standing(Kind::Base, base.id, base.hash, &base.membership);
            writing.put(header, &payload);
        }
        if let Some(keep) = update.keep {
            writing.put(Header { index: keep.0, ..blank(Kind::Truncate) }, &Bytes::new());
            // Not before: an anchor that stands in front of it still has what goes, and can't serve for that.
            assert!(writing.wal.tail.truncate(keep), "a truncation stays within the log");
            writing.wal.roots.truncate(keep);
        }
        for entry in &update.entries {
            writing.entry(entry);
        }
        Ok(writing.finish(ops))
    }

    /// The application needs no entry at or before `through` any more: it has a snapshot of them on stable storage. They
    /// are committed. The next segment to be opened says what is not needed for the rest; that is when room comes free,
    /// see [`Wal::synced`]. After a start, to be called before the first write, which opens a segment.
    pub fn release(&mut self, through: Index) {
        let through = through.min(self.tail.last().index);
        self.tail.release(through);
        self.roots.release(through);
    }

    /// A record that says nothing but what is synced, so that an idle log leaves nothing unvouched: damage to the
    /// newest synced write can then be told from a crash. `None` if all that is synced is vouched for, or more is to
    /// be synced first. It needs no sync of its own, but does its work only once it is stored.
    pub fn mark(&mut self, ops: &mut Vec<Op>) -> Option<Sequence> {
        (self.synced >= self.content && self.content > self.vouched).then(|| self.write_mark(ops))
    }

    /// Everything up to here is on stable storage, segments' directory entries included. Returns the segments that the
    /// log can now be read without, each once in a start: they may be deleted, at any time and in any order. If a crash
    /// brings some back, the next recovery's `discard` has them.
    ///
    /// # Panics
    /// If no such write was put out.
    #[must_use = "the segments that are not needed any more are named only once"]
    pub fn synced(&mut self, through: Sequence) -> Vec<u64> {
        assert!(through.0 < self.next, "only what was put out can be synced");
        self.synced = self.synced.max(through.0);
        self.roots.obsolete(self.synced)
    }

    fn write_mark(&mut self, ops: &mut Vec<Op>) -> Sequence {
        let record = Extent { slots: 1, bytes: RECORD as u32 };
        let mut writing = self.begin(Size { ids: RECORD, data: RECORD, extent: record }, 1, false);
        writing.put(blank(Kind::Mark), &Bytes::new());
        writing.finish(ops)
    }

    /// A write that its segment has no room for begins the next one, and so does one with a base: only a segment that
    /// begins with a write can become a root.
    fn begin(&mut self, size: Size, left: usize, based: bool) -> Writing<'_> {
        let mut draft = Draft::new(size.ids, size.data);
        let fitting = self.at.filter(|at| !based && self.layout.fits(*at, size.extent));
        if let Some(at) = fitting {
            draft.seek(self.newest, self.layout, at);
        }
        Writing { anew: fitting.is_none(), wal: self, draft, part: 0, left, based }
    }

    fn measure(&self, update: &Update) -> Result<Size, TooLarge> {
        let fixed = u32::from(update.hard.is_some()) + u32::from(update.keep.is_some());
        let extent = Extent { slots: fixed, bytes: fixed * RECORD as u32 };
        // The hard state that a new segment begins with; an anchor may make the buffers grow.
        let copied = RECORD * (fixed as usize + 1);
        let mut size = Size { ids: copied, data: copied, extent };
        let mut add = |length: usize, twice: bool| {
            let extent = self.room(length, twice)?;
            size.ids += extent.slots as usize * RECORD;
            size.data += draft::copied(length);
            size.extent = size.extent.and(extent);
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
                Payload::Decayed { .. } => panic!("what has decayed is not written"),
            }
        }
        Ok(size)
    }

    /// Where the log stands, for a segment that begins with a write. `None` without a configuration, or if it has no
    /// room behind the hard state: it once had, in segments of another layout.
    fn anchor(&self) -> Option<(Header, Bytes)> {
        let (header, payload) =
            standing(Kind::Anchor, self.tail.last(), self.tail.running(), self.tail.membership()?);
        self.room(payload.len(), true).is_ok().then_some((header, payload))
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
        let tail = &mut self.wal.tail;
        assert_eq!(entry.index(), tail.last().index.next(), "entries are contiguous with the log");
        let running = entry.running_hash(tail.running());
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
            _ => self.put(header, &entry.payload().encoded()),
        }
        // Not before: an anchor that stands in front of it leaves it out.
        self.wal.tail.push(entry, running);
    }

    /// Puts the write's next record, in a new segment if this one is full.
    fn put(&mut self, mut header: Header, payload: &Bytes) {
        self.left -= 1;
        header.last = self.left == 0;
        header.length = length(payload);
        let extent = header.extent().expect("measured before");
        let fits = |wal: &Wal| wal.at.filter(|at| wal.layout.fits(*at, extent));
        let anew = core::mem::take(&mut self.anew);
        if let Some(at) = fits(self.wal).filter(|_| !anew) {
            return self.store(at, header, payload);
        }
        if self.begin_segment(&mut header, payload) {
            return;
        }
        let at = fits(self.wal).unwrap_or_else(|| {
            // There is no room left behind the anchor.
            self.begin_segment(&mut header, payload);
            fits(self.wal).expect("measured before")
        });
        self.store(at, header, payload);
    }

    /// A new segment with the hard state, and with an anchor if a write begins here that has no base of its own.
    /// Whether this record, being the hard state, is stored with that.
    fn begin_segment(&mut self, header: &mut Header, payload: &Bytes) -> bool {
        let begins = self.part == 0;
        let anchor = if begins && !self.based { self.wal.anchor() } else { None };
        let stands = anchor.is_some() || (begins && self.based);
        let at = self.open(stands.then_some(self.wal.tail.last().index));
        let own = header.kind == Kind::Hard as u8;
        if own {
            header.last &= anchor.is_none();
            self.store(at, *header, payload);
        } else {
            self.store(at, hard_record(self.wal.hard), &Bytes::new());
        }
        if let Some((mut anchor, membership)) = anchor {
            anchor.last = own && self.left == 0;
            let at = self.wal.at.expect("the hard state stands before it");
            self.store(at, anchor, &membership);
        }
        own
    }

    /// Opens a new segment that continues the newest record, and begins with the log at this index if a walk may begin
    /// there.
    fn open(&mut self, anchor: Option<Index>) -> Cursor {
        let wal = &mut *self.wal;
        wal.newest = wal.newest.checked_add(1).expect("recovery leaves room for new segments");
        let header = SegmentHeader {
            version: VERSION,
            root: wal.roots.open(wal.newest, wal.next, anchor, wal.synced.max(wal.found)),
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

    fn store(&mut self, at: Cursor, mut header: Header, payload: &Bytes) {
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

/// A base or an anchor: where the log stands, and the configuration in force there.
fn standing(kind: Kind, id: EntryId, running: u64, membership: &Membership) -> (Header, Bytes) {
    let payload = membership.encode();
    let header = Header {
        index: id.index.0,
        term: id.term.0,
        hash: hash::bytes(&payload),
        running,
        length: length(&payload),
        ..blank(kind)
    };
    (header, payload)
}

fn length(payload: &Bytes) -> u32 {
    u32::try_from(payload.len()).expect("measured before")
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
