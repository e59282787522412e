//! The bytes of one write while they are put together: one buffer a region, large payloads beside them uncopied.

use super::Op;
use super::layout::{Cursor, HEADER_BYTES, Layout};
use super::record::RECORD;
use alloc::vec::Vec;
use bytes::Bytes;

/// From this size on a payload is put out as it is, not copied into the region's buffer.
const SHARED: usize = 1024;
const PADDING: [u8; 8] = [0; 8];

/// Something to put out, in order. The buffers become `Bytes` only when they are complete.
enum Piece {
    Segment { segment: u64, page: Bytes },
    Ids { segment: u64, at: u64, length: usize },
    Data { segment: u64, at: u64, length: usize },
    Payload { segment: u64, at: u64, bytes: Bytes },
}

/// A run of adjacent bytes at the end of a buffer that is not put out yet.
#[derive(Default)]
struct Run {
    buffer: Vec<u8>,
    from: usize,
    at: u64,
}

impl Run {
    fn length(&self) -> usize {
        self.buffer.len() - self.from
    }

    /// Begins a new run at a place in the file.
    fn restart(&mut self, at: u64) {
        self.from = self.buffer.len();
        self.at = at;
    }
}

/// A write in the making.
pub(super) struct Draft {
    segment: u64,
    ids: Run,
    data: Run,
    pieces: Vec<Piece>,
}

/// How many bytes a record with this payload copies into the `data` buffer.
pub(super) fn copied(length: usize) -> usize {
    RECORD + if length < SHARED { length.next_multiple_of(8) } else { 8 }
}

impl Draft {
    /// An empty write with room in its buffers.
    pub(super) fn new(ids_bytes: usize, data_bytes: usize) -> Draft {
        let run = |capacity| Run { buffer: Vec::with_capacity(capacity), from: 0, at: 0 };
        Draft { segment: 0, ids: run(ids_bytes), data: run(data_bytes), pieces: Vec::with_capacity(4) }
    }

    /// What follows goes to this place.
    pub(super) fn seek(&mut self, segment: u64, layout: Layout, at: Cursor) {
        self.flush_data();
        self.flush_ids();
        self.segment = segment;
        self.ids.restart(layout.ids_at() + u64::from(at.slot) * RECORD as u64);
        self.data.restart(layout.data_at() + u64::from(at.offset));
    }

    /// A new file with its first page.
    pub(super) fn segment(&mut self, segment: u64, page: Bytes) {
        debug_assert_eq!(page.len(), HEADER_BYTES as usize);
        self.pieces.push(Piece::Segment { segment, page });
    }

    /// A record: its header in both regions, its payload in `data` and, if `twice`, in `ids`.
    pub(super) fn record(&mut self, header: &[u8; RECORD], payload: &Bytes, twice: bool) {
        self.ids.buffer.extend_from_slice(header);
        if twice {
            self.ids.buffer.extend_from_slice(payload);
            let slots = payload.len().next_multiple_of(RECORD);
            self.ids.buffer.resize(self.ids.buffer.len() + slots - payload.len(), 0);
        }
        self.data.buffer.extend_from_slice(header);
        if payload.len() < SHARED {
            self.data.buffer.extend_from_slice(payload);
        } else {
            self.flush_data();
            self.pieces.push(Piece::Payload {
                segment: self.segment,
                at: self.data.at,
                bytes: payload.clone(),
            });
            self.data.at += payload.len() as u64;
        }
        let padding = payload.len().next_multiple_of(8) - payload.len();
        self.data.buffer.extend_from_slice(&PADDING[..padding]);
    }

    fn flush_ids(&mut self) {
        let (length, at) = (self.ids.length(), self.ids.at);
        if length > 0 {
            self.pieces.push(Piece::Ids { segment: self.segment, at, length });
            self.ids.restart(at + length as u64);
        }
    }

    fn flush_data(&mut self) {
        let (length, at) = (self.data.length(), self.data.at);
        if length > 0 {
            self.pieces.push(Piece::Data { segment: self.segment, at, length });
            self.data.restart(at + length as u64);
        }
    }

    /// Puts everything out.
    pub(super) fn finish(mut self, ops: &mut Vec<Op>) {
        self.flush_data();
        self.flush_ids();
        let (mut ids, mut data) = (Bytes::from(self.ids.buffer), Bytes::from(self.data.buffer));
        for piece in self.pieces {
            let (segment, at, bytes) = match piece {
                Piece::Segment { segment, page } => {
                    ops.push(Op::Create { segment });
                    (segment, 0, page)
                }
                Piece::Ids { segment, at, length } => (segment, at, ids.split_to(length)),
                Piece::Data { segment, at, length } => (segment, at, data.split_to(length)),
                Piece::Payload { segment, at, bytes } => (segment, at, bytes),
            };
            ops.push(Op::Put { segment, at, bytes });
        }
    }
}
