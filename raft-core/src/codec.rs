//! Messages to bytes and back. `docs/codec.md` has the format byte by byte; in short, all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic, `RAFT` |
//! | 4 | CRC-32 of all bytes from here to the end of the part |
//! | 1, 1, 2 | version, kind of the message, flags |
//! | 4, 4 | length of the part, length of the payloads |
//! | part | sender's disk and boot, term, a reply also the asker's disk and boot; then what the kind says |
//! | payloads | of an append: its entries' payloads, one after another |
//!
//! The checksum leaves the payloads out: each is guarded by the 64-bit hash in its entry's row of the part, which
//! [`decode`] has to compute anyway. So every byte is read once, and a payload is never copied: encoding shares the
//! large ones, decoding slices the frame.
//!
//! [`decode`] is total: whatever the bytes are, it gives a sound message or an error that says what was wrong and
//! where. What it allocates is bounded by a small multiple of the bytes that are there.

mod error;
mod head;
mod part;

pub use error::CodecError;
pub use head::{HEAD_BYTES, VERSION, frame_len};

use crate::entry::{Entry, LogSlice, Payload};
use crate::ids::{EntryId, Index, Term};
use crate::message::{Body, Message};
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use head::Head;
use part::Part;

/// Payloads of at least this many bytes are shared; copying a smaller one costs less than a chunk of its own.
const SHARED_BYTES: usize = 1024;

/// Bytes of an entry's row: term, hash, length, kind. Its index follows from its place.
const ROW_BYTES: usize = 21;

/// Appends a message's frame to `out`, as chunks to be sent one after another. Large payloads are chunks that share
/// the entry's memory, everything between them is joined.
///
/// # Panics
/// If the message is not sound, or its part or its payloads reach 4 GiB: both are mistakes of this process.
pub fn encode(message: &Message, out: &mut Vec<Bytes>) {
    assert!(message.is_sound(), "only sound messages are sent: {message:?}");
    let entries = match &message.body {
        Body::Append { slice, .. } | Body::Copies { slice } => slice.entries(),
        _ => &[],
    };
    let chunk = match &message.body {
        Body::Chunk { data, .. } | Body::Piece { data, .. } => data.clone(),
        _ => Bytes::new(),
    };
    let joined: usize = entries.iter().map(Entry::size).filter(|size| *size < SHARED_BYTES).sum();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + 64 + entries.len() * ROW_BYTES + joined);
    frame.put_bytes(0, HEAD_BYTES);
    part::put(message, &mut frame);
    let payloads: usize = entries.iter().map(|entry| put_row(entry, &mut frame)).sum();
    head::fill(&mut frame, &message.body, payloads + chunk.len());
    for entry in entries {
        with_encoded(entry.payload(), |bytes| {
            if bytes.len() < SHARED_BYTES {
                frame.put_slice(bytes);
            } else {
                if !frame.is_empty() {
                    out.push(frame.split().freeze());
                }
                out.push(bytes.clone());
            }
        });
    }
    if !frame.is_empty() {
        out.push(frame.freeze());
    }
    if !chunk.is_empty() {
        out.push(chunk);
    }
}

/// Reads one frame, exactly as long as [`frame_len`] said. The message is sound; its payloads are slices of `frame`.
///
/// # Errors
/// [`CodecError`] for anything but a frame that [`encode`] of this version may have written. After
/// [`CodecError::UnknownKind`] alone the stream can be read on: the frame is whole, and of a newer program.
pub fn decode(frame: Bytes) -> Result<Message, CodecError> {
    let head = Head::read(&frame)?;
    // The checksum first: of a frame that is whole it can be said that a newer program wrote it.
    let (part, payloads) = head.parts(&frame)?;
    let kind = head.kind()?;
    let mut part = Part::new(part);
    let message = part.message(kind, head.flags, payloads)?;
    part.end()?;
    // Requests and replies differ by their kind already; what is left to check is what they carry.
    match &message.body {
        _ if message.is_sound() => Ok(message),
        Body::Chunk { snapshot, .. } | Body::Piece { snapshot, .. } => {
            Err(CodecError::BadChunk { last: snapshot.last() })
        }
        _ => Err(CodecError::LaterTerm { term: message.term }),
    }
}

/// Appends an entry's row and tells the length of its payload.
fn put_row(entry: &Entry, frame: &mut BytesMut) -> usize {
    let length = with_encoded(entry.payload(), Bytes::len);
    frame.put_u64_le(entry.term().0);
    frame.put_u64_le(entry.hash());
    frame.put_u32_le(u32::try_from(length).expect("a command is shorter than 4 GiB: Limits::command_bytes"));
    frame.put_u8(entry.payload().kind());
    length
}

/// Hands out a payload's bytes without touching the reference count of a command's.
fn with_encoded<T>(payload: &Payload, then: impl FnOnce(&Bytes) -> T) -> T {
    match payload {
        Payload::Command(bytes) => then(bytes),
        _ => then(&payload.encoded()),
    }
}

/// Reads the rows that fill the rest of the part, and with each its payload.
fn slice(prev: EntryId, part: &mut Part<'_>, mut payloads: Bytes) -> Result<LogSlice, CodecError> {
    let mut at = part.at();
    let rows = part.rows()?;
    let mut entries = Vec::with_capacity(rows.len());
    let mut before = prev.index;
    for mut row in rows.iter().map(|row| &row[..]) {
        // These reads can't fail: a row has all its bytes.
        let (term, hash) = (Term(row.get_u64_le()), row.get_u64_le());
        let (length, kind) = (row.get_u32_le() as usize, row.get_u8());
        let index = before.0.checked_add(1).map(Index).ok_or(CodecError::NotConsecutive { prev })?;
        let id = EntryId { term, index };
        if length > payloads.len() {
            return Err(CodecError::PayloadMissing { id, at });
        }
        let Some(payload) = Payload::decode(kind, payloads.split_to(length)) else {
            return Err(CodecError::BadPayload { id, kind, at });
        };
        let Some(entry) = Entry::verified(id, payload, hash) else {
            return Err(CodecError::PayloadHash { id, at });
        };
        entries.push(entry);
        before = index;
        at += ROW_BYTES;
    }
    if !payloads.is_empty() {
        return Err(CodecError::PayloadLeft { bytes: payloads.len() });
    }
    LogSlice::new(prev, entries).ok_or(CodecError::NotConsecutive { prev })
}
