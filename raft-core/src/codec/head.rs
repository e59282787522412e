//! The head of a frame: all that is needed to take the frame off a stream and to check that it arrived whole.

use super::CodecError;
use crate::message::Body;
use bytes::{Bytes, BytesMut};

/// The version that this program writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// The length of a frame's head in bytes.
pub const HEAD_BYTES: usize = 20;

const MAGIC: [u8; 4] = *b"RAFT";

/// The flag of a request for votes whose sender's configuration stands in its log.
pub(super) const RECORDED: u16 = 1;

/// Where the bytes begin that the checksum covers: right after the checksum.
const CHECKED_FROM: usize = 8;

/// The number of each kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 1,
    HelloReply = 2,
    PreVote = 3,
    PreVoteReply = 4,
    Vote = 5,
    VoteReply = 6,
    Append = 7,
    Appended = 8,
    Conflict = 9,
    Heartbeat = 10,
    HeartbeatReply = 11,
    TimeoutNow = 12,
    Stale = 13,
    Chunk = 14,
    ChunkReply = 15,
    ReadIndex = 16,
    ReadIndexReply = 17,
    Removed = 18,
    RolledBack = 19,
    Lacks = 20,
    Copies = 21,
    Piece = 22,
}

impl Kind {
    pub(super) fn of(body: &Body) -> Kind {
        match body {
            Body::Hello => Kind::Hello,
            Body::HelloReply(_) => Kind::HelloReply,
            Body::PreVote { .. } => Kind::PreVote,
            Body::PreVoteReply { .. } => Kind::PreVoteReply,
            Body::Vote { .. } => Kind::Vote,
            Body::VoteReply { .. } => Kind::VoteReply,
            Body::Append { .. } => Kind::Append,
            Body::Appended { .. } => Kind::Appended,
            Body::Conflict { .. } => Kind::Conflict,
            Body::Heartbeat { .. } => Kind::Heartbeat,
            Body::HeartbeatReply { .. } => Kind::HeartbeatReply,
            Body::TimeoutNow => Kind::TimeoutNow,
            Body::Stale => Kind::Stale,
            Body::Chunk { .. } => Kind::Chunk,
            Body::ChunkReply { .. } => Kind::ChunkReply,
            Body::ReadIndex { .. } => Kind::ReadIndex,
            Body::ReadIndexReply { .. } => Kind::ReadIndexReply,
            Body::Removed { .. } => Kind::Removed,
            Body::RolledBack { .. } => Kind::RolledBack,
            Body::Lacks { .. } => Kind::Lacks,
            Body::Copies { .. } => Kind::Copies,
            Body::Piece { .. } => Kind::Piece,
        }
    }

    fn read(number: u8) -> Result<Kind, CodecError> {
        Ok(match number {
            1 => Kind::Hello,
            2 => Kind::HelloReply,
            3 => Kind::PreVote,
            4 => Kind::PreVoteReply,
            5 => Kind::Vote,
            6 => Kind::VoteReply,
            7 => Kind::Append,
            8 => Kind::Appended,
            9 => Kind::Conflict,
            10 => Kind::Heartbeat,
            11 => Kind::HeartbeatReply,
            12 => Kind::TimeoutNow,
            13 => Kind::Stale,
            14 => Kind::Chunk,
            15 => Kind::ChunkReply,
            16 => Kind::ReadIndex,
            17 => Kind::ReadIndexReply,
            18 => Kind::Removed,
            19 => Kind::RolledBack,
            20 => Kind::Lacks,
            21 => Kind::Copies,
            22 => Kind::Piece,
            _ => return Err(CodecError::UnknownKind { found: number }),
        })
    }

    /// The flags that a frame of this kind may have.
    fn flags(self) -> u16 {
        if matches!(self, Kind::PreVote | Kind::Vote) { RECORDED } else { 0 }
    }

    /// Whether it answers a request, and so carries the asker's stamp. The same as [`Body::is_reply`].
    pub(super) fn is_reply(self) -> bool {
        match self {
            Kind::HelloReply
            | Kind::PreVoteReply
            | Kind::VoteReply
            | Kind::Appended
            | Kind::Conflict
            | Kind::HeartbeatReply
            | Kind::ChunkReply
            | Kind::ReadIndexReply
            | Kind::Removed
            | Kind::RolledBack
            | Kind::Copies
            | Kind::Piece
            | Kind::Stale => true,
            Kind::Hello
            | Kind::PreVote
            | Kind::Vote
            | Kind::Append
            | Kind::Heartbeat
            | Kind::Chunk
            | Kind::ReadIndex
            | Kind::Lacks
            | Kind::TimeoutNow => false,
        }
    }
}

/// A head that was read.
pub(super) struct Head {
    kind: u8,
    pub(super) flags: u16,
    checksum: u32,
    part: u32,
    payloads: u32,
}

/// How long the frame is that begins with `head`, in bytes and with its head; `None` if more bytes are needed to tell,
/// which is so with fewer than [`HEAD_BYTES`]. To be asked before a frame is buffered: nothing longer than `max` passes.
///
/// # Errors
/// [`CodecError`] if this is no head of a frame of this version, or the frame would be longer than `max`. The stream
/// can't be read on from there. A kind that a later program may have added is no error yet: see [`decode`](super::decode).
pub fn frame_len(head: &[u8], max: usize) -> Result<Option<usize>, CodecError> {
    if head.len() < HEAD_BYTES {
        return Ok(None);
    }
    let length = Head::read(head)?.frame();
    match usize::try_from(length) {
        Ok(fits) if fits <= max => Ok(Some(fits)),
        _ => Err(CodecError::TooLong { length, max }),
    }
}

impl Head {
    pub(super) fn read(frame: &[u8]) -> Result<Head, CodecError> {
        let short = CodecError::Length { stated: HEAD_BYTES as u64, found: frame.len() };
        let head = frame.first_chunk::<HEAD_BYTES>().ok_or(short)?;
        let [m0, m1, m2, m3, c0, c1, c2, c3, version, kind, f0, f1, l0, l1, l2, l3, p0, p1, p2, p3] = *head;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(CodecError::NotAFrame { found: [m0, m1, m2, m3] });
        }
        if version != VERSION {
            return Err(CodecError::UnknownVersion { found: version });
        }
        let flags = u16::from_le_bytes([f0, f1]);
        if Kind::read(kind).is_ok_and(|kind| flags & !kind.flags() != 0) {
            return Err(CodecError::UnknownFlags { found: flags });
        }
        Ok(Head {
            kind,
            flags,
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            part: u32::from_le_bytes([l0, l1, l2, l3]),
            payloads: u32::from_le_bytes([p0, p1, p2, p3]),
        })
    }

    /// The kind of message, if it is known here.
    pub(super) fn kind(&self) -> Result<Kind, CodecError> {
        Kind::read(self.kind)
    }

    fn frame(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.part) + u64::from(self.payloads)
    }

    /// The part, checked, and the payloads, not yet checked.
    pub(super) fn parts<'a>(&self, frame: &'a Bytes) -> Result<(&'a [u8], Bytes), CodecError> {
        let wrong = CodecError::Length { stated: self.frame(), found: frame.len() };
        if self.frame() != frame.len() as u64 {
            return Err(wrong);
        }
        // The payloads are the shorter way to where the part ends: `usize` may have 32 bits.
        let end = frame.len().checked_sub(self.payloads as usize).ok_or(wrong)?;
        let checked = frame.get(CHECKED_FROM..end).ok_or(wrong)?;
        let found = crc32fast::hash(checked);
        if found != self.checksum {
            return Err(CodecError::Checksum { stated: self.checksum, found });
        }
        let part = frame.get(HEAD_BYTES..end).ok_or(wrong)?;
        Ok((part, frame.slice(end..)))
    }
}

/// Fills the head in, when the part is written behind it and no payload is yet.
pub(super) fn fill(frame: &mut BytesMut, body: &Body, payloads: usize) {
    let kind = Kind::of(body);
    let recorded = matches!(body, Body::PreVote { recorded: true, .. } | Body::Vote { recorded: true, .. });
    let [low, high] = if recorded { RECORDED } else { 0 }.to_le_bytes();
    let part =
        u32::try_from(frame.len() - HEAD_BYTES).expect("a part is shorter than 4 GiB: Limits::batch_entries");
    let payloads = u32::try_from(payloads).expect("payloads are shorter than 4 GiB: Limits::batch_bytes");
    frame[8..12].copy_from_slice(&[VERSION, kind as u8, low, high]);
    frame[12..16].copy_from_slice(&part.to_le_bytes());
    frame[16..20].copy_from_slice(&payloads.to_le_bytes());
    let checksum = crc32fast::hash(&frame[CHECKED_FROM..]);
    frame[..4].copy_from_slice(&MAGIC);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}
