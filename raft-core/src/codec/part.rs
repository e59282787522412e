//! The part of a frame between its head and its payloads: what the message says, in numbers.

use super::head::{HEAD_BYTES, Kind, RECORDED};
use super::{CodecError, ROW_BYTES, slice};
use crate::hash;
use crate::ids::{Boot, DiskId, EntryId, Index, Round, Stamp, Term};
use crate::membership::Membership;
use crate::message::{Acquaintance, Ballot, Body, Message};
use crate::snapshot::Snapshot;
use crate::write::Base;
use bytes::{BufMut, Bytes, BytesMut};

/// Appends all of a message but its entries.
pub(super) fn put(message: &Message, out: &mut BytesMut) {
    put_stamp(message.from, out);
    out.put_u64_le(message.term.0);
    if let Some(to) = message.to {
        put_stamp(to, out);
    }
    match &message.body {
        Body::Hello | Body::TimeoutNow | Body::Stale => {}
        Body::HelloReply(acquaintance) => match acquaintance {
            Acquaintance::Founding => out.put_u8(0),
            Acquaintance::OnRecord(membership) => {
                out.put_u8(1);
                out.put_slice(&membership.encode());
            }
            Acquaintance::Stranger => out.put_u8(2),
            Acquaintance::TakenIn => out.put_u8(3),
        },
        Body::PreVote { last, .. } => put_id(*last, out),
        Body::Vote { last, transfer, .. } => {
            put_id(*last, out);
            out.put_u8(u8::from(*transfer));
        }
        Body::PreVoteReply { answer } | Body::VoteReply { answer } => out.put_u8(*answer as u8),
        Body::Append { slice, commit } => {
            put_id(slice.prev(), out);
            out.put_u64_le(commit.0);
        }
        Body::Appended { matched } => out.put_u64_le(matched.0),
        Body::Conflict { asked, hint } => {
            put_id(*asked, out);
            put_id(*hint, out);
        }
        Body::Heartbeat { commit, round } => {
            out.put_u64_le(commit.0);
            out.put_u64_le(round.0);
        }
        Body::HeartbeatReply { round } => out.put_u64_le(round.0),
        Body::Chunk { snapshot, offset, data } | Body::Piece { snapshot, offset, data } => {
            put_chunk(snapshot, *offset, data, out);
        }
        Body::ChunkReply { last, have } => {
            put_id(*last, out);
            out.put_u64_le(*have);
        }
        Body::ReadIndex { batch } => out.put_u64_le(batch.0),
        Body::ReadIndexReply { batch, index } => {
            out.put_u64_le(batch.0);
            out.put_u64_le(index.0);
        }
        Body::Removed { at } => out.put_u64_le(at.0),
        Body::RolledBack { seen } => out.put_u64_le(seen.0),
        Body::Lacks { first, last, have } => {
            put_id(*first, out);
            put_id(*last, out);
            out.put_u64_le(*have);
        }
        Body::Copies { slice } => put_id(slice.prev(), out),
    }
}

/// All of a chunk but its data, which is the frame's payload and is guarded by its hash here.
fn put_chunk(snapshot: &Snapshot, offset: u64, data: &Bytes, out: &mut BytesMut) {
    put_id(snapshot.base.id, out);
    out.put_u64_le(snapshot.base.hash);
    out.put_u64_le(snapshot.size);
    out.put_u64_le(snapshot.digest);
    out.put_u64_le(offset);
    out.put_u64_le(hash::bytes(data));
    out.put_slice(&snapshot.base.membership.encode());
}

fn put_stamp(stamp: Stamp, out: &mut BytesMut) {
    out.put_u64_le(stamp.disk.0);
    out.put_u64_le(stamp.boot.0);
}

fn put_id(id: EntryId, out: &mut BytesMut) {
    out.put_u64_le(id.term.0);
    out.put_u64_le(id.index.0);
}

/// Reads a part from its start to its end. Each read names its field, for the error.
pub(super) struct Part<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Part<'a> {
    pub(super) fn new(part: &'a [u8]) -> Part<'a> {
        Part { rest: part, length: part.len() }
    }

    /// Where in the frame the next field stands.
    pub(super) fn at(&self) -> usize {
        HEAD_BYTES + self.length - self.rest.len()
    }

    /// The entries' rows: all that is left.
    pub(super) fn rows(&mut self) -> Result<&'a [[u8; ROW_BYTES]], CodecError> {
        let (rows, rest) = self.rest.as_chunks();
        self.rest = rest;
        if rest.is_empty() {
            Ok(rows)
        } else {
            Err(CodecError::TooShort { field: "last row", at: self.at() })
        }
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::TooMuch { at: self.at() }) }
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        self.take::<1>(field).map(u8::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, CodecError> {
        self.take::<8>(field).map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let short = CodecError::TooShort { field, at: self.at() };
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn stamp(&mut self) -> Result<Stamp, CodecError> {
        Ok(Stamp { disk: DiskId(self.u64("disk")?), boot: Boot(self.u64("boot")?) })
    }

    fn id(&mut self, field: &'static str) -> Result<EntryId, CodecError> {
        Ok(EntryId { term: Term(self.u64(field)?), index: Index(self.u64(field)?) })
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, CodecError> {
        let at = self.at();
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(CodecError::BadValue { field, at, found }),
        }
    }

    fn answer(&mut self) -> Result<Ballot, CodecError> {
        let at = self.at();
        match self.u8("answer")? {
            0 => Ok(Ballot::Refused),
            1 => Ok(Ballot::Granted),
            2 => Ok(Ballot::Blind),
            found => Err(CodecError::BadValue { field: "answer", at, found }),
        }
    }

    fn acquaintance(&mut self) -> Result<Acquaintance, CodecError> {
        let at = self.at();
        match self.u8("acquaintance")? {
            0 => Ok(Acquaintance::Founding),
            1 => self.membership().map(Acquaintance::OnRecord),
            2 => Ok(Acquaintance::Stranger),
            3 => Ok(Acquaintance::TakenIn),
            found => Err(CodecError::BadValue { field: "acquaintance", at, found }),
        }
    }

    /// The snapshot that a chunk is of, and where in it the chunk begins.
    fn chunk(&mut self, data: &Bytes) -> Result<(Snapshot, u64), CodecError> {
        let (id, hash) = (self.id("last entry")?, self.u64("running hash")?);
        let (size, digest) = (self.u64("size")?, self.u64("digest")?);
        let offset = self.u64("offset")?;
        if self.u64("data's hash")? != hash::bytes(data) {
            return Err(CodecError::ChunkHash { last: id, offset });
        }
        let membership = self.membership()?;
        let base = Base { id, hash, membership };
        Ok((Snapshot { base, size, digest }, offset))
    }

    /// A configuration: all that is left.
    fn membership(&mut self) -> Result<Membership, CodecError> {
        let at = self.at();
        Membership::decode(core::mem::take(&mut self.rest)).ok_or(CodecError::BadMembership { at })
    }

    /// The message of a kind.
    pub(super) fn message(&mut self, kind: Kind, flags: u16, payloads: Bytes) -> Result<Message, CodecError> {
        if !matches!(kind, Kind::Append | Kind::Copies | Kind::Chunk | Kind::Piece) && !payloads.is_empty() {
            return Err(CodecError::PayloadLeft { bytes: payloads.len() });
        }
        let from = self.stamp()?;
        let term = Term(self.u64("term")?);
        let to = if kind.is_reply() { Some(self.stamp()?) } else { None };
        let body = match kind {
            Kind::Hello => Body::Hello,
            Kind::HelloReply => Body::HelloReply(self.acquaintance()?),
            Kind::PreVote => Body::PreVote { last: self.id("last entry")?, recorded: flags & RECORDED != 0 },
            Kind::PreVoteReply => Body::PreVoteReply { answer: self.answer()? },
            Kind::Vote => Body::Vote {
                last: self.id("last entry")?,
                transfer: self.flag("transfer")?,
                recorded: flags & RECORDED != 0,
            },
            Kind::VoteReply => Body::VoteReply { answer: self.answer()? },
            Kind::Append => {
                let prev = self.id("entry before")?;
                let commit = Index(self.u64("commit")?);
                Body::Append { slice: slice(prev, self, payloads)?, commit }
            }
            Kind::Appended => Body::Appended { matched: Index(self.u64("matched")?) },
            Kind::Conflict => Body::Conflict { asked: self.id("asked entry")?, hint: self.id("hint")? },
            Kind::Heartbeat => {
                Body::Heartbeat { commit: Index(self.u64("commit")?), round: Round(self.u64("round")?) }
            }
            Kind::HeartbeatReply => Body::HeartbeatReply { round: Round(self.u64("round")?) },
            Kind::Chunk => {
                let (snapshot, offset) = self.chunk(&payloads)?;
                Body::Chunk { snapshot, offset, data: payloads }
            }
            Kind::ChunkReply => {
                Body::ChunkReply { last: self.id("last entry")?, have: self.u64("bytes there")? }
            }
            Kind::ReadIndex => Body::ReadIndex { batch: Round(self.u64("batch")?) },
            Kind::ReadIndexReply => {
                Body::ReadIndexReply { batch: Round(self.u64("batch")?), index: Index(self.u64("index")?) }
            }
            Kind::Removed => Body::Removed { at: Index(self.u64("configuration")?) },
            Kind::RolledBack => Body::RolledBack { seen: Boot(self.u64("boot")?) },
            Kind::Lacks => {
                let (first, last) = (self.id("first entry")?, self.id("last entry")?);
                Body::Lacks { first, last, have: self.u64("bytes there")? }
            }
            Kind::Copies => {
                let prev = self.id("entry before")?;
                Body::Copies { slice: slice(prev, self, payloads)? }
            }
            Kind::Piece => {
                let (snapshot, offset) = self.chunk(&payloads)?;
                Body::Piece { snapshot, offset, data: payloads }
            }
            Kind::TimeoutNow => Body::TimeoutNow,
            Kind::Stale => Body::Stale,
        };
        Ok(Message { from, to, term, body })
    }
}
