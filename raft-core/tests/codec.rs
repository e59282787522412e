//! Frames: round trips of arbitrary messages, damage in every place, and the committed frames of version 1.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

mod messages;

use bytes::{BufMut, Bytes, BytesMut};
use messages::{message, more_samples, repair_samples, samples};
use proptest::prelude::*;
use raft_core::codec::{self, CodecError, HEAD_BYTES};
use raft_core::{Body, EntryId, Message, Payload, Stamp, Term};

const FRAMES: &[u8] = include_bytes!("fixtures/frames-v1.bin");
const CONTENTS: &str = include_str!("fixtures/frames-v1.txt");
/// The kinds that came with snapshots and changes of members: still version 1, which nobody had been given yet.
const MORE_FRAMES: &[u8] = include_bytes!("fixtures/frames-v1-more.bin");
const MORE_CONTENTS: &str = include_str!("fixtures/frames-v1-more.txt");

/// The kinds that came with the repair of decayed logs.
const REPAIR_FRAMES: &[u8] = include_bytes!("fixtures/frames-v1-repair.bin");
const REPAIR_CONTENTS: &str = include_str!("fixtures/frames-v1-repair.txt");

fn all_samples() -> impl Iterator<Item = (&'static str, Message)> {
    samples().into_iter().chain(more_samples()).chain(repair_samples())
}

fn frame(message: &Message) -> Bytes {
    let mut chunks = Vec::new();
    codec::encode(message, &mut chunks);
    chunks.concat().into()
}

/// The frame with its checksum made right for what is in it.
fn repaired(frame: &[u8]) -> Bytes {
    let mut frame = frame.to_vec();
    let payloads = u32::from_le_bytes(frame[16..20].try_into().unwrap()) as usize;
    let part = frame.len() - HEAD_BYTES - payloads;
    frame[12..16].copy_from_slice(&(part as u32).to_le_bytes());
    let end = HEAD_BYTES + part;
    let checksum = crc32fast::hash(&frame[8..end]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    frame.into()
}

proptest! {
    #[test]
    fn what_is_sent_arrives(message in message()) {
        let frame = frame(&message);
        prop_assert_eq!(codec::frame_len(&frame, frame.len()), Ok(Some(frame.len())));
        prop_assert_eq!(codec::decode(frame), Ok(message));
    }

    #[test]
    fn a_changed_byte_is_noticed(message in message(), at: prop::sample::Index, flip in 1..=255_u8) {
        let mut damaged = frame(&message).to_vec();
        let at = at.index(damaged.len());
        damaged[at] ^= flip;
        prop_assert!(codec::decode(damaged.into()).is_err());
    }

    #[test]
    fn behind_a_right_checksum_anything_may_stand(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut forged = frame(&message).to_vec();
        for (at, byte) in changes {
            let at = HEAD_BYTES + at.index(forged.len() - HEAD_BYTES);
            forged[at] = byte;
        }
        if let Ok(read) = codec::decode(repaired(&forged)) {
            prop_assert!(read.is_sound());
            prop_assert_eq!(codec::decode(frame(&read)), Ok(read));
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_frame(bytes: Vec<u8>) {
        prop_assert!(codec::decode(bytes.clone().into()).is_err());
        prop_assert!(!matches!(codec::frame_len(&bytes, usize::MAX), Ok(Some(_))));
    }
}

#[test]
fn every_truncation_and_every_changed_byte_is_an_error() {
    for (name, message) in all_samples() {
        let whole = frame(&message);
        for cut in 0..whole.len() {
            assert!(codec::decode(whole.slice(..cut)).is_err(), "{name} cut at {cut}");
        }
        let payloads = u32::from_le_bytes(whole[16..20].try_into().unwrap()) as usize;
        for at in 0..whole.len() {
            // The hash that guards payloads is the same for all of their bytes: one bit of each is enough.
            let flips = if at < whole.len() - payloads { 1..=255 } else { 1..=1 };
            for flip in flips {
                let mut damaged = whole.to_vec();
                damaged[at] ^= flip;
                assert!(codec::decode(damaged.into()).is_err(), "{name} byte {at} ^ {flip}");
            }
        }
    }
}

/// The same without the checksum's protection: what is read then is another message, but a sound one.
#[test]
fn every_truncation_and_every_forged_byte_is_an_error_or_a_sound_message() {
    let mut read = 0;
    for (name, message) in all_samples() {
        let whole = frame(&message);
        let payloads = u32::from_le_bytes(whole[16..20].try_into().unwrap()) as usize;
        for end in HEAD_BYTES..whole.len() - payloads {
            let cut = [&whole[..end], &whole[whole.len() - payloads..]].concat();
            let cut = codec::decode(repaired(&cut));
            // A whole row less, of an entry without payload, is another append.
            let entries = matches!(message.body, Body::Append { .. } | Body::Copies { .. });
            assert!(cut.is_err() || entries, "{name} cut at {end}");
        }
        for at in HEAD_BYTES..whole.len() - payloads {
            for value in [0, 1, 2, 3, 4, 6, 20, 21, 127, 255] {
                let mut forged = whole.to_vec();
                forged[at] = value;
                if let Ok(message) = codec::decode(repaired(&forged)) {
                    assert!(message.is_sound(), "{name} byte {at} = {value}");
                    assert_eq!(codec::decode(frame(&message)), Ok(message));
                    read += 1;
                }
            }
        }
    }
    assert!(read > 1_000, "forged frames get past the checksum: {read}");
}

#[test]
fn errors_say_what_and_where() {
    let whole = frame(&samples()[4].1);
    let with = |at: usize, value: u8| {
        let mut changed = whole.to_vec();
        changed[at] = value;
        Bytes::from(changed)
    };
    assert_eq!(codec::decode(with(0, b'x')), Err(CodecError::NotAFrame { found: *b"xAFT" }));
    assert_eq!(codec::decode(with(8, 2)), Err(CodecError::UnknownVersion { found: 2 }));
    assert!(matches!(codec::decode(with(9, 99)), Err(CodecError::Checksum { .. })));
    // A whole frame of a newer program: its length is known, and what follows it can be read.
    let newer = repaired(&with(9, 99));
    assert_eq!(codec::frame_len(&newer, newer.len()), Ok(Some(newer.len())));
    assert_eq!(codec::decode(newer), Err(CodecError::UnknownKind { found: 99 }));
    assert_eq!(codec::decode(with(10, 2)), Err(CodecError::UnknownFlags { found: 2 }));
    assert!(matches!(codec::decode(with(30, 77)), Err(CodecError::Checksum { .. })));
    let length = whole.len();
    assert_eq!(
        codec::decode(whole.slice(..length - 1)),
        Err(CodecError::Length { stated: length as u64, found: length - 1 })
    );
    let transfer = length - 1;
    assert_eq!(
        codec::decode(repaired(&with(transfer, 2))),
        Err(CodecError::BadValue { field: "transfer", at: transfer, found: 2 })
    );
    assert_eq!(
        codec::decode(repaired(&whole[..transfer])),
        Err(CodecError::TooShort { field: "transfer", at: transfer })
    );
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(codec::decode(repaired(&longer)), Err(CodecError::TooMuch { at: length }));
    let on_record = frame(&samples()[2].1);
    let at = HEAD_BYTES + 41;
    assert_eq!(
        codec::decode(repaired(&on_record[..on_record.len() - 1])),
        Err(CodecError::BadMembership { at })
    );
    let text = codec::decode(repaired(&with(transfer, 2))).unwrap_err().to_string();
    assert_eq!(text, format!("transfer at byte {transfer} of the frame can't be 2"));
}

#[test]
fn a_damaged_payload_names_its_entry() {
    let (_, message) = samples().into_iter().find(|(name, _)| name.starts_with("Append of")).unwrap();
    let Body::Append { slice, .. } = &message.body else { panic!("it is an append") };
    let last = slice.entries().last().unwrap();
    assert!(matches!(last.payload(), Payload::Command(_)));
    let mut damaged = frame(&message).to_vec();
    let at = damaged.len() - 1;
    damaged[at] ^= 1;
    let error = codec::decode(damaged.into()).unwrap_err();
    assert!(matches!(error, CodecError::PayloadHash { id, .. } if id == last.id()), "{error}");
}

/// A chunk's data is the frame's payload: shared both ways, and guarded by a hash of its own.
#[test]
fn a_chunk_carries_its_data_as_it_is() {
    let (_, message) = more_samples().into_iter().find(|(name, _)| name.contains("a large one")).unwrap();
    let Body::Chunk { snapshot, offset, data } = &message.body else { panic!("it is a chunk") };
    let mut chunks = Vec::new();
    codec::encode(&message, &mut chunks);
    assert_eq!(chunks.last().unwrap().as_ptr(), data.as_ptr(), "encoding copies no data");
    let whole: Bytes = chunks.concat().into();
    let Body::Chunk { data: read, .. } = codec::decode(whole.clone()).unwrap().body else {
        panic!("it is a chunk")
    };
    assert!(whole.as_ptr_range().contains(&read.as_ptr()), "decoding copies no data");
    let mut damaged = whole.to_vec();
    let at = damaged.len() - 1;
    damaged[at] ^= 1;
    let damage = CodecError::ChunkHash { last: snapshot.last(), offset: *offset };
    assert_eq!(codec::decode(damaged.into()), Err(damage));
}

#[test]
fn a_chunk_that_cannot_be_is_refused() {
    let (_, message) = more_samples().into_iter().find(|(name, _)| *name == "Chunk").unwrap();
    let Body::Chunk { snapshot, .. } = &message.body else { panic!("it is a chunk") };
    let last = snapshot.last();
    let put = |at: usize, value: u64| {
        let mut forged = frame(&message).to_vec();
        forged[HEAD_BYTES + at..HEAD_BYTES + at + 8].copy_from_slice(&value.to_le_bytes());
        codec::decode(repaired(&forged))
    };
    let [term_at, index_at, size_at, offset_at] = [24, 32, 48, 64];
    assert_eq!(
        put(term_at, 7).map(|read| read.term),
        Ok(Term(7)),
        "its last entry may be of the message's term"
    );
    let refused = |last: EntryId| Err(CodecError::BadChunk { last });
    assert_eq!(put(term_at, 8), refused(EntryId::new(8, last.index.0)), "of a later term than the message");
    assert_eq!(put(term_at, 0), refused(EntryId::new(0, last.index.0)), "no entry is of term 0");
    assert_eq!(put(index_at, 0), refused(EntryId::new(last.term.0, 0)), "no entry stands at index 0");
    assert_eq!(put(size_at, 116), refused(last), "longer than its snapshot");
    assert!(put(size_at, 117).is_ok(), "it may end with its snapshot");
    assert_eq!(put(offset_at, u64::MAX), refused(last), "the end of a number is no end");
}

#[test]
fn the_head_is_judged_before_anything_is_buffered() {
    let whole = frame(&samples()[0].1);
    for short in 0..HEAD_BYTES {
        assert_eq!(codec::frame_len(&whole[..short], 1 << 20), Ok(None));
    }
    assert_eq!(codec::frame_len(&whole[..HEAD_BYTES], whole.len()), Ok(Some(whole.len())));
    let too_long = CodecError::TooLong { length: whole.len() as u64, max: whole.len() - 1 };
    assert_eq!(codec::frame_len(&whole, whole.len() - 1), Err(too_long));
    let mut huge = whole.to_vec();
    huge[12..20].fill(0xff);
    assert_eq!(
        codec::frame_len(&huge, 1 << 20),
        Err(CodecError::TooLong { length: 20 + 2 * u64::from(u32::MAX), max: 1 << 20 })
    );
    assert!(codec::frame_len(b"GET / HTTP/1.1\r\nHost: me", 1 << 20).is_err());
}

/// A row of an entry of this term, with the hash of nothing and no payload.
fn row(term: u64, kind: u8) -> Vec<u8> {
    let mut row = BytesMut::new();
    row.put_u64_le(term);
    row.put_u64_le(raft_core::hash::bytes(b""));
    row.put_u32_le(0);
    row.put_u8(kind);
    row.to_vec()
}

#[test]
fn entries_that_do_not_fit_their_append_are_refused() {
    let (_, message) = samples().into_iter().find(|(name, _)| *name == "Append, empty").unwrap();
    let Body::Append { slice, .. } = &message.body else { panic!("it is an append") };
    let (prev, term) = (slice.prev(), message.term);
    let with =
        |rows: &[Vec<u8>]| codec::decode(repaired(&[frame(&message).to_vec(), rows.concat()].concat()));
    assert!(with(&[row(prev.term.0, 0), row(term.0, 1)]).is_ok());
    assert_eq!(with(&[row(prev.term.0 - 1, 0)]), Err(CodecError::NotConsecutive { prev }));
    assert_eq!(with(&[row(term.0 + 1, 0)]), Err(CodecError::LaterTerm { term }));
    let id = EntryId { term, index: prev.index.next() };
    let at = frame(&message).len();
    assert_eq!(with(&[row(term.0, 3)]), Err(CodecError::BadPayload { id, kind: 3, at }));
    assert!(matches!(with(&[row(term.0, 0)[..20].to_vec()]), Err(CodecError::TooShort { .. })));
}

#[test]
fn large_payloads_are_shared_both_ways_and_small_ones_joined() {
    let (_, message) = samples().into_iter().find(|(name, _)| name.starts_with("Append of")).unwrap();
    let Body::Append { slice, .. } = &message.body else { panic!("it is an append") };
    let commands = |slice: &raft_core::LogSlice| -> Vec<Bytes> {
        let command = |entry: &raft_core::Entry| match entry.payload() {
            Payload::Command(bytes) => Some(bytes.clone()),
            _ => None,
        };
        slice.entries().iter().filter_map(command).collect()
    };
    let large: Vec<Bytes> = commands(slice).into_iter().filter(|bytes| bytes.len() >= 1024).collect();
    assert_eq!(large.len(), 1);
    let mut chunks = Vec::new();
    codec::encode(&message, &mut chunks);
    assert_eq!(chunks.len(), 3, "what is before the large payload, it, and what is after it");
    assert_eq!(chunks[1].as_ptr(), large[0].as_ptr());

    let whole: Bytes = chunks.concat().into();
    let read = codec::decode(whole.clone()).unwrap();
    let Body::Append { slice, .. } = &read.body else { panic!("it is an append") };
    for command in commands(slice).iter().filter(|command| !command.is_empty()) {
        assert!(whole.as_ptr_range().contains(&command.as_ptr()), "decoding copies no payload");
    }
}

#[test]
#[should_panic(expected = "only sound messages are sent")]
fn an_unsound_message_is_not_sent() {
    let message = Message { from: Stamp::default(), to: None, term: Term(1), body: Body::Stale };
    codec::encode(&message, &mut Vec::new());
}

/// The frames of version 1 are read to the same values by every later version. A later version adds a file of its own.
#[test]
fn the_frames_of_version_1_are_read_for_ever() {
    check_frames(samples(), FRAMES, CONTENTS);
    check_frames(more_samples(), MORE_FRAMES, MORE_CONTENTS);
    check_frames(repair_samples(), REPAIR_FRAMES, REPAIR_CONTENTS);
}

fn check_frames(samples: Vec<(&str, Message)>, frames: &'static [u8], contents: &str) {
    let mut table = String::new();
    let mut at = 0;
    for (name, message) in samples {
        let length = codec::frame_len(&frames[at..], 1 << 20).unwrap().unwrap();
        table += &format!("{at:5} {length:5} {name}\n");
        assert_eq!(
            codec::decode(Bytes::from_static(&frames[at..at + length])),
            Ok(message.clone()),
            "{name}"
        );
        assert_eq!(&frames[at..at + length], frame(&message), "version 1 is still written: {name}");
        at += length;
    }
    assert_eq!(at, frames.len());
    let stated: String =
        contents.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(stated, table);
}
