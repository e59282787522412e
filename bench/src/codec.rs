//! An append with one entry to bytes and back, ours and raft-rs' protobuf.

use crate::meter::Usage;
use bytes::{Bytes, BytesMut};
use protobuf::Message as _;
use raft_core::{Body, Boot, DiskId, Entry, EntryId, Index, LogSlice, Message, Payload, Stamp, Term, codec};
use std::hint::black_box;

const TIMES: u32 = 20_000;

fn ns_each(mut work: impl FnMut()) -> f64 {
    let begin = Usage::now();
    (0..TIMES).for_each(|_| work());
    begin.since().cpu_ns as f64 / f64::from(TIMES)
}

fn message(payload: usize) -> Message {
    let command = Payload::Command(Bytes::from(vec![7; payload]));
    let entries = vec![Entry::new(EntryId::new(5, 100_001), command)];
    let slice = LogSlice::new(EntryId::new(5, 100_000), entries).expect("it is contiguous");
    let from = Stamp { disk: DiskId(1), boot: Boot(1) };
    Message { from, to: None, term: Term(5), body: Body::Append { slice, commit: Index(99_999) } }
}

/// Encoding and decoding, ns of CPU. Ours checks a hash of the payload and a checksum of the rest; protobuf neither.
pub(crate) fn ours(payload: usize) -> (f64, f64) {
    let message = message(payload);
    let mut chunks = Vec::new();
    let encode = ns_each(|| {
        chunks.clear();
        codec::encode(black_box(&message), &mut chunks);
    });
    let mut joined = BytesMut::new();
    chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
    let frame = joined.freeze();
    let decode = ns_each(|| {
        black_box(codec::decode(black_box(&frame).clone())).expect("it was encoded here");
    });
    (encode, decode)
}

/// The same for raft-rs.
pub(crate) fn peer(payload: usize) -> (f64, f64) {
    let entry =
        raft::eraftpb::Entry { term: 5, index: 100_001, data: vec![7; payload].into(), ..Default::default() };
    let mut message = raft::eraftpb::Message {
        from: 1,
        to: 2,
        term: 5,
        index: 100_000,
        log_term: 5,
        commit: 99_999,
        entries: vec![entry].into(),
        ..Default::default()
    };
    message.set_msg_type(raft::eraftpb::MessageType::MsgAppend);
    let bytes = message.write_to_bytes().expect("it is complete");
    let encode = ns_each(|| {
        black_box(black_box(&message).write_to_bytes()).expect("it is complete");
    });
    let decode = ns_each(|| {
        let mut message = raft::eraftpb::Message::default();
        message.merge_from_bytes(black_box(&bytes)).expect("it was encoded here");
        black_box(message);
    });
    (encode, decode)
}
