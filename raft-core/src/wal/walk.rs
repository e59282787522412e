//! Reading the records in order, each where its predecessor says, until one is missing.

use super::layout::Cursor;
use super::record::{Header, Kind, RECORD};
use super::refusal::{Gone, Place, Refusal};
use super::roots::Roots;
use super::scan::Evidence;
use super::segment::{Segment, SegmentHeader};
use super::tail::Tail;
use super::{Identity, Sequence};
use crate::entry::{Entry, Payload};
use crate::hash;
use crate::ids::{Boot, EntryId, Index, NodeId, Term};
use crate::membership::Membership;
use crate::write::{Base, HardState, Recovered, Update};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Where a walk ended.
pub(super) struct End {
    /// What the record that is missing there lacks.
    pub(super) gone: Gone,
    /// How far the segments of the lineage were read.
    pub(super) cursors: Vec<Cursor>,
}

/// What was read so far.
pub(super) struct Walk<'a> {
    pub(super) identity: &'a Identity,
    seed: u32,
    /// The chain after the newest record, and after the newest whole write.
    chain: u64,
    pub(super) whole_chain: u64,
    /// The write that is being read, and its next record.
    pub(super) write: u64,
    pub(super) part: u32,
    /// What that write changes, so far.
    staged: Update,
    staged_hashes: Vec<u64>,
    /// A segment that it began with where the log stands, and the index there.
    staged_anchor: Option<(u64, Index)>,
    /// The walk begins at a root, whose anchor or base was not read yet.
    rootless: bool,
    /// The newest write that is more than a mark.
    pub(super) content: u64,
    /// The position in the lineage of the segment where the newest whole write ends.
    pub(super) tip: Option<usize>,
    pub(super) recovered: Recovered,
    pub(super) tail: Tail,
    pub(super) roots: Roots,
    pub(super) evidence: Evidence,
    /// Copies that are not intact while the other one is.
    pub(super) damaged: Vec<(Sequence, Place)>,
    /// Whether something stands where the missing record should.
    pub(super) torn: bool,
    /// The commands of synced writes up to this one may be lost: their entries are kept without them.
    spares: u64,
    /// Those that are.
    pub(super) decayed: Vec<(EntryId, Place)>,
}

/// A record that was read, or what it lacks; a refusal if it is intact and wrong.
type Read<T> = Result<Result<T, Gone>, Refusal>;

impl<'a> Walk<'a> {
    /// A walk from a root, or from a log's first segment.
    pub(super) fn new(identity: &'a Identity, root: Option<&SegmentHeader>, spares: u64) -> Walk<'a> {
        let chain = root.map_or(identity.chain(), |root| root.chain);
        Walk {
            identity,
            seed: identity.seed(),
            chain,
            whole_chain: chain,
            write: root.map_or(1, |root| root.first),
            part: 0,
            staged: Update::default(),
            staged_hashes: Vec::new(),
            staged_anchor: None,
            rootless: root.is_some(),
            content: 0,
            tip: None,
            recovered: Recovered::default(),
            tail: Tail::default(),
            roots: Roots::new(root.map_or(0, |root| root.generation)),
            evidence: Evidence::default(),
            damaged: Vec::new(),
            torn: false,
            spares,
            decayed: Vec::new(),
        }
    }

    /// Reads the lineage to its end.
    pub(super) fn run(&mut self, lineage: &[&Segment]) -> Result<End, Refusal> {
        let mut cursors = Vec::new();
        for (position, segment) in lineage.iter().enumerate() {
            self.damaged.extend(segment.damaged.iter().copied());
            if let Some(header) = segment.header {
                self.roots.enter(segment.number, header.first, header.root);
            }
            let next = lineage.get(position + 1).and_then(|next| next.header);
            let mut cursor = Cursor::default();
            let gone = loop {
                match next {
                    Some(next) if (next.first, next.part) == (self.write, self.part) => {
                        let gone = Gone::Succession { segment: next.generation };
                        break (next.chain != self.chain).then_some(gone);
                    }
                    _ => {}
                }
                match self.record(segment, cursor, position)? {
                    Ok(after) => cursor = after,
                    Err(gone) => break Some(gone),
                }
            };
            cursors.push(cursor);
            if let Some(gone) = gone {
                return Ok(End { gone, cursors });
            }
        }
        Ok(End { gone: Gone::Record { places: Vec::new() }, cursors })
    }

    /// Reads the record at a place and takes it in. Returns the place after it.
    fn record(&mut self, segment: &Segment, at: Cursor, position: usize) -> Read<Cursor> {
        let (ids, data) = (segment.ids(at.slot, RECORD), segment.data(at.offset, RECORD));
        let [ids_place, data_place] = segment.places(at);
        let (header, chain, place, other) = if let Some((header, chain)) = self.expected(ids, segment, at) {
            (header, chain, ids_place, (ids != data).then_some(data_place))
        } else if let Some((header, chain)) = self.expected(data, segment, at) {
            (header, chain, data_place, Some(ids_place))
        } else {
            self.torn = [ids, data].into_iter().flatten().flatten().any(|byte| *byte != 0);
            return Ok(Err(Gone::Record { places: vec![ids_place, data_place] }));
        };
        self.evidence.see(&header, place);
        self.damaged.extend(other.map(|other| (Sequence(self.write), other)));
        let wrong = |what| Refusal::Contradiction { place, write: Sequence(header.write), what };
        let after = header.extent().and_then(|extent| at.after(extent));
        let after = after.ok_or(wrong("the record is longer than any segment"))?;
        if let Err(gone) = self.stage(segment, &header).map_err(wrong)? {
            return Ok(Err(gone));
        }
        self.chain = chain;
        self.part = self.part.checked_add(1).ok_or(wrong("the write has too many records"))?;
        if header.last {
            self.commit(header.kind() != Some(Kind::Mark), position);
        }
        Ok(Ok(after))
    }

    /// The header in this copy if it is intact and the very one that must follow.
    fn expected(&self, copy: Option<&[u8]>, segment: &Segment, at: Cursor) -> Option<(Header, u64)> {
        let (header, chain) = Header::read(copy?, self.identity, self.seed, segment.number)?;
        let follows = (header.write, header.part, header.at) == (self.write, self.part, at);
        (follows && chain == header.chain(self.chain)).then_some((header, chain))
    }

    /// Adds an intact record to the write that is being read.
    fn stage(&mut self, segment: &Segment, header: &Header) -> Result<Result<(), Gone>, &'static str> {
        let kind = header.kind().ok_or("its kind is unknown")?;
        if !matches!(kind, Kind::Entry | Kind::Base | Kind::Anchor) && header.length != 0 {
            return Err("a payload where none belongs");
        }
        if self.rootless {
            match (header.part, kind) {
                (0, Kind::Hard) if !header.last => {}
                (1, Kind::Base | Kind::Anchor) => {}
                _ => return Err("a root that does not say where the log stands"),
            }
        }
        match kind {
            Kind::Entry => return self.stage_entry(segment, header),
            Kind::Base | Kind::Anchor => return self.stage_standing(segment, header, kind),
            Kind::Hard => {
                self.staged.hard = Some(HardState {
                    term: Term(header.term),
                    vote: header.voted.then_some(NodeId(header.index)),
                    boot: Boot(header.hash),
                });
            }
            Kind::Truncate => {
                let base = self.staged.base.as_ref().map(|base| base.id.index);
                let end = base.unwrap_or(self.tail.last().index);
                let inside = (base.unwrap_or(self.tail.base())..=end).contains(&Index(header.index));
                if !inside || self.staged.keep.is_some() || !self.staged.entries.is_empty() {
                    return Err("a truncation outside of the log");
                }
                self.staged.keep = Some(Index(header.index));
            }
            Kind::Mark => {}
        }
        Ok(Ok(()))
    }

    /// A base or an anchor.
    fn stage_standing(
        &mut self,
        segment: &Segment,
        header: &Header,
        kind: Kind,
    ) -> Result<Result<(), Gone>, &'static str> {
        let staged = &self.staged;
        if staged.base.is_some() || staged.keep.is_some() || !staged.entries.is_empty() {
            return Err("a base or an anchor in the middle of a write");
        }
        let intact = |bytes: &Bytes| (hash::bytes(bytes) == header.hash).then(|| bytes.clone());
        let Some(bytes) = self.payload(segment, header, intact) else {
            return Ok(Err(lost(segment, header)));
        };
        let membership = Membership::decode(&bytes).ok_or("its configuration can't be read")?;
        let id = EntryId::new(header.term, header.index);
        if (id.term == Term(0)) != (id.index == Index(0)) {
            return Err("a base or an anchor with only one of term and index");
        }
        // Behind the hard state at the beginning of its segment.
        let opens = segment.header.is_some_and(|header| header.can_be_root());
        let opens = opens && (header.part, header.at.slot) == (1, 1);
        if kind == Kind::Anchor && !self.rootless {
            let stands = (self.tail.last(), self.tail.running(), self.tail.membership());
            if !opens || stands != (id, header.running, Some(&membership)) {
                return Err("an anchor that is not where the log stands");
            }
        } else {
            self.staged.base = Some(Base { id, hash: header.running, membership });
        }
        if opens {
            self.staged_anchor = Some((segment.number, id.index));
        }
        self.rootless = false;
        Ok(Ok(()))
    }

    fn stage_entry(&mut self, segment: &Segment, header: &Header) -> Result<Result<(), Gone>, &'static str> {
        let id = EntryId::new(header.term, header.index);
        let read =
            self.payload(segment, header, |bytes| match Payload::decode(header.payload, bytes.clone()) {
                Some(payload) => Entry::verified(id, payload, header.hash).map(Ok),
                None if hash::bytes(bytes) == header.hash => Some(Err("the entry's payload can't be read")),
                None => None,
            });
        let entry = match read {
            Some(entry) => entry?,
            None if header.payload == 1 && header.write <= self.spares => {
                let [_, place] = segment.payload_places(header.at);
                self.decayed.push((id, place));
                Entry::decayed(id, header.hash, header.length)
            }
            None => return Ok(Err(lost(segment, header))),
        };
        let (last, running) = self.end();
        if last.index.0.checked_add(1) != Some(id.index.0) || id.term < last.term || id.term == Term(0) {
            return Err("the entry does not follow the one before it");
        }
        if entry.running_hash(running) != header.running {
            return Err("the log's running hash does not continue");
        }
        self.staged.entries.push(entry);
        self.staged_hashes.push(header.running);
        Ok(Ok(()))
    }

    /// The payload in `data`, or else its second copy in `ids`, by a reader that accepts only intact ones.
    fn payload<T>(
        &mut self,
        segment: &Segment,
        header: &Header,
        read: impl Fn(&Bytes) -> Option<T>,
    ) -> Option<T> {
        let length = header.length as usize;
        let [ids_place, data_place] = segment.payload_places(header.at);
        let data = segment.data(header.at.offset + RECORD as u32, length);
        let from_data = data.and_then(|bytes| read(&segment.bytes.slice_ref(bytes)));
        if !header.twice() {
            return from_data;
        }
        let ids = segment.ids(header.at.slot + 1, length);
        let from_ids = ids.and_then(|bytes| read(&segment.bytes.slice_ref(bytes)));
        let damaged = match (&from_ids, &from_data) {
            (Some(_), None) => Some(data_place),
            (None, Some(_)) => Some(ids_place),
            _ => None,
        };
        self.damaged.extend(damaged.map(|place| (Sequence(header.write), place)));
        from_data.or(from_ids)
    }

    /// The last entry, and the running hash with it, of the log as the write that is being read leaves it so far.
    fn end(&self) -> (EntryId, u64) {
        if let (Some(entry), Some(hash)) = (self.staged.entries.last(), self.staged_hashes.last()) {
            return (entry.id(), *hash);
        }
        if let Some(base) = &self.staged.base {
            return (base.id, base.hash);
        }
        let kept = self.staged.keep.and_then(|keep| self.tail.at(keep));
        kept.unwrap_or((self.tail.last(), self.tail.running()))
    }

    /// The write is whole: what it changes takes effect.
    fn commit(&mut self, content: bool, position: usize) {
        let staged = &mut self.staged;
        if let Some(hard) = staged.hard.take() {
            self.recovered.hard = hard;
        }
        if let Some(base) = staged.base.take() {
            self.tail.reset(&base);
            self.roots.reset(base.id.index);
            self.recovered.entries.clear();
            self.recovered.base = Some(base);
        }
        if let Some((segment, at)) = self.staged_anchor.take() {
            self.roots.anchored(segment, at);
        }
        if let Some(keep) = staged.keep.take() {
            assert!(self.tail.truncate(keep), "checked when it was staged");
            self.roots.truncate(keep);
            let kept = usize::try_from(keep.0 - self.tail.base().0).unwrap_or(usize::MAX);
            self.recovered.entries.truncate(kept);
        }
        for (entry, running) in staged.entries.iter().zip(self.staged_hashes.drain(..)) {
            self.tail.push(entry, running);
        }
        self.recovered.entries.append(&mut staged.entries);
        if content {
            self.content = self.write;
        }
        self.write += 1;
        self.part = 0;
        self.whole_chain = self.chain;
        self.tip = Some(position);
    }
}

/// The report of a payload that is intact in no copy.
fn lost(segment: &Segment, header: &Header) -> Gone {
    let [ids, data] = segment.payload_places(header.at);
    let places = if header.twice() { vec![ids, data] } else { vec![data] };
    let id = EntryId::new(header.term, header.index);
    let command = header.kind == Kind::Entry as u8 && header.payload == 1;
    Gone::Payload { places, bytes: header.length, id, command }
}
