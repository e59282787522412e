//! Bytes from a peer.

use bytes::Bytes;
use raft_core::codec::{self, HEAD_BYTES};

/// Where an append's rows begin: after its stamp, term, entry before and commit index.
const ROWS_FROM: usize = HEAD_BYTES + 48;
const ROW_BYTES: usize = 21;
const APPEND: u8 = 7;
const CHUNK: u8 = 14;
/// Where the hash of a chunk's data stands: after stamp, term, last entry, running hash, size, digest and offset.
const CHUNK_HASH_AT: usize = HEAD_BYTES + 72;

/// Decodes a frame. What is accepted must be written back to the very same bytes. If the first byte is odd, the rest is
/// made a frame whose lengths, checksum and hashes are right.
pub fn decode(data: &[u8]) -> bool {
    let Some((mode, bytes)) = data.split_first() else { return false };
    let mut frame = bytes.to_vec();
    if mode % 2 == 1 {
        repair(&mut frame);
    }
    let frame = Bytes::from(frame);
    let length = codec::frame_len(&frame, 1 << 16);
    let Ok(message) = codec::decode(frame.clone()) else { return false };
    assert_eq!(length, Ok(Some(frame.len())));
    assert!(message.is_sound());
    let mut chunks = Vec::new();
    codec::encode(&message, &mut chunks);
    assert_eq!(chunks.concat(), frame, "a message has one frame");
    assert_eq!(codec::decode(chunks.concat().into()), Ok(message));
    true
}

/// Keeps what a frame says and makes true what it says about itself.
fn repair(frame: &mut Vec<u8>) {
    frame.resize(frame.len().max(ROWS_FROM), 0);
    frame[..4].copy_from_slice(b"RAFT");
    frame[8] = codec::VERSION;
    frame[9] = 1 + frame[9].wrapping_sub(1) % 18;
    frame[10..12].fill(0);
    let mut payload = frame.len();
    if frame[9] == APPEND {
        let rows = (frame.len() - ROWS_FROM) / ROW_BYTES;
        let rows = rows.min(usize::from(frame[12]));
        payload = ROWS_FROM + rows * ROW_BYTES;
        repair_rows(frame, rows, payload);
    }
    if frame[9] == CHUNK {
        frame.resize(frame.len().max(CHUNK_HASH_AT + 8), 0);
        // The data is as long as a byte says that has no other meaning.
        payload = frame.len() - usize::from(frame[12]).min(frame.len() - CHUNK_HASH_AT - 8);
        let hash = raft_core::hash::bytes(&frame[payload..]);
        frame[CHUNK_HASH_AT..CHUNK_HASH_AT + 8].copy_from_slice(&hash.to_le_bytes());
    }
    let (part, payloads) = (payload - HEAD_BYTES, frame.len() - payload);
    frame[12..16].copy_from_slice(&(part as u32).to_le_bytes());
    frame[16..20].copy_from_slice(&(payloads as u32).to_le_bytes());
    let checksum = crc32fast::hash(&frame[8..payload]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Gives each row a part of the payloads, the last one the rest, and the hash of it.
fn repair_rows(frame: &mut Vec<u8>, rows: usize, payloads: usize) {
    let mut at = payloads;
    for row in 0..rows {
        let row = ROWS_FROM + row * ROW_BYTES;
        let left = frame.len() - at;
        let length = if row + ROW_BYTES == payloads { left } else { usize::from(frame[row + 16]).min(left) };
        let hash = raft_core::hash::bytes(&frame[at..at + length]);
        frame[row + 8..row + 16].copy_from_slice(&hash.to_le_bytes());
        frame[row + 16..row + 20].copy_from_slice(&(length as u32).to_le_bytes());
        at += length;
    }
    frame.truncate(at);
}
