//! Envelopes: round trips, and the bytes of version 1.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{Envelope, EnvelopeError};

fn envelope() -> impl Strategy<Value = Envelope> {
    let key = prop::option::of(vec(any::<u8>(), 0..300).prop_map(Bytes::from));
    (any::<u64>(), key, vec(any::<u8>(), 0..300)).prop_map(|(time_ms, key, body)| Envelope {
        time_ms,
        key,
        body: body.into(),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(envelope in envelope()) {
        prop_assert_eq!(Envelope::decode(envelope.encode()), Ok(envelope));
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_an_envelope(
        start in prop_oneof![Just(vec![1, 0]), Just(vec![1, 1]), vec(any::<u8>(), 0..2)],
        rest: Vec<u8>,
    ) {
        let bytes = Bytes::from([start, rest].concat());
        if let Ok(envelope) = Envelope::decode(bytes.clone()) {
            prop_assert_eq!(envelope.encode(), bytes);
        }
    }
}

/// Envelopes stand in logs: these bytes are read to these values for ever.
#[test]
fn the_bytes_of_version_1() {
    let plain = Envelope { time_ms: 0x0102_0304_0506_0708, key: None, body: Bytes::from_static(b"body") };
    let bytes = [&[1, 0, 8, 7, 6, 5, 4, 3, 2, 1], &b"body"[..]].concat();
    assert_eq!(plain.encode(), bytes);
    assert_eq!(Envelope::decode(bytes.into()), Ok(plain.clone()));

    let keyed = Envelope { key: Some(Bytes::from_static(b"key")), ..plain };
    let bytes = [&[1, 1, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0], &b"keybody"[..]].concat();
    assert_eq!(keyed.encode(), bytes);
    assert_eq!(Envelope::decode(bytes.into()), Ok(keyed));
}

#[test]
fn errors_say_what_and_where() {
    let bytes = Envelope { time_ms: 1, key: Some(Bytes::from_static(b"key")), body: Bytes::new() }.encode();
    let fields = ["version", "flags", "time", "key's length", "key"];
    for (ends, field) in [0, 1, 2, 10, 12].into_iter().zip(fields) {
        assert_eq!(
            Envelope::decode(bytes.slice(..ends)),
            Err(EnvelopeError::TooShort { field, length: ends }),
            "cut at {ends}"
        );
    }
    assert_eq!(
        Envelope::decode(Bytes::from_static(&[2; 10])),
        Err(EnvelopeError::UnknownVersion { found: 2 })
    );
    let unknown = Envelope::decode(Bytes::from_static(&[1, 2])).unwrap_err();
    assert_eq!(unknown, EnvelopeError::UnknownFlags { found: 2 });
    assert!(unknown.to_string().contains("0x02"));
}
