//! Every byte of a snapshot counts.

use super::*;
use crate::command::Command;
use crate::machine::Machine;
use crate::operation::Operation;
use bytes::Bytes;
use raft_core::envelope::Envelope;
use raft_core::{Base, ClusterId, Entry, EntryId, Index, Membership, NodeId, Payload, Snapshot};
use std::io::Cursor;
use std::num::NonZeroU64;

const CLUSTER: ClusterId = ClusterId(0xc1);

/// A state after this many entries: puts of few keys, some deletes, appends of `size` bytes, and no-ops; with and without
/// idempotency keys.
fn state(count: u64, size: usize) -> Machine {
    state_with(count, size, None)
}

/// The same, of which this many entries are kept.
fn state_with(count: u64, size: usize, least_kept: Option<u64>) -> Machine {
    let mut machine = Machine::default();
    machine.restore_dropped(Index(0), least_kept.and_then(NonZeroU64::new));
    for at in 1..=count {
        let command = match at % 5 {
            0 => None,
            1 | 2 => Some(Operation::Append(Bytes::from(vec![at as u8; size]))),
            3 if at % 7 == 0 => Some(Operation::Delete { key: format!("key {}", at / 7 % 7).into() }),
            _ => {
                Some(Operation::Put { key: format!("key {}", at % 7).into(), value: format!("{at}").into() })
            }
        };
        let key = match at % 4 {
            0 => Some(format!("018f0000-{at:04x}-7000-8000-{at:012x}").into()),
            1 => Some(format!("client 7, request {at}").into()),
            _ => None,
        };
        let time_ms = (0x018f_0000_0000 + at) << 4;
        let payload = command.map_or(Payload::Noop, |operation| {
            Payload::Command(Envelope { time_ms, key, body: Command::One(operation).encode() }.encode())
        });
        machine.apply(&Entry::new(EntryId::new(1 + at / 50, at), payload)).unwrap();
    }
    machine
}

fn base(machine: &Machine) -> Base {
    let index = machine.applied().0;
    Base {
        id: EntryId::new(1 + index / 50, index),
        hash: 7 * index,
        membership: Membership::founders((0..3).map(NodeId)).unwrap(),
    }
}

fn bytes(machine: &Machine) -> (Snapshot, Vec<u8>) {
    let mut out = Vec::new();
    let snapshot = write(machine, &base(machine), CLUSTER, &mut out).unwrap();
    assert_eq!(snapshot.size, out.len() as u64);
    (snapshot, out)
}

fn same(a: &Machine, b: &Machine) -> bool {
    let all = |machine: &Machine| machine.select(Index(0), usize::MAX, usize::MAX, |_| true);
    all(a) == all(b)
        && a.keys().eq(b.keys())
        && a.table().rows().eq(b.table().rows())
        && a.table().marks() == b.table().marks()
        && a.time_ms() == b.time_ms()
        && a.dropped() == b.dropped()
        && a.outlived().eq(b.outlived())
}

#[test]
fn a_state_survives_its_snapshot() {
    let whole = [(1, 0), (2, 3), (3, 10), (100, 10), (3000, 200), (20, 100_000)];
    let cut = [(1, 0), (100, 10), (3000, 200), (9000, 40), (20, 100_000), (30, 65_530)];
    let states = whole.map(|(count, size)| (count, size, None)).into_iter();
    for (count, size, least) in states.chain(cut.map(|(count, size)| (count, size, Some(7)))) {
        let before = state_with(count, size, least);
        assert_eq!(before.first() > Index(1), least.is_some() && count as usize * size > 70_000, "{count}");
        let (snapshot, bytes) = bytes(&before);
        assert_eq!(verify(&bytes[..], CLUSTER).unwrap(), snapshot);
        assert_eq!(label(Cursor::new(&bytes), CLUSTER).unwrap(), snapshot);
        let (found, mut after) = restore(&bytes[..], CLUSTER).unwrap();
        assert_eq!(found, snapshot);
        assert!(same(&before, &after), "{count} entries of {size} bytes");
        assert_eq!(after.get(b"key 2"), before.get(b"key 2"));
        // The same state has the same bytes on every node, wherever it was restored in between.
        let mut before = before;
        for machine in [&mut before, &mut after] {
            for at in count + 1..count + 500 {
                let body = Command::One(Operation::Append(Bytes::from_static(b"more"))).encode();
                let key = Some(format!("more {at}").into());
                let command = Envelope { time_ms: at, key, body }.encode();
                machine.apply(&Entry::new(EntryId::new(1000, at), Payload::Command(command))).unwrap();
            }
        }
        assert_eq!(self::bytes(&before), self::bytes(&after));
        let digest = |machine| digest(machine, &mut std::io::sink()).unwrap();
        assert_eq!(digest(&before), digest(&after));
        assert_ne!(digest(&before), digest(&state(count, size)));
    }
}

#[test]
fn no_beginning_of_a_snapshot_is_one() {
    let (snapshot, bytes) = bytes(&state(40, 20));
    for cut in 0..bytes.len() {
        let part = &bytes[..cut];
        assert!(matches!(verify(part, CLUSTER), Err(SnapshotError::Damaged { .. })), "cut at {cut}");
        assert!(restore(part, CLUSTER).is_err(), "cut at {cut}");
        assert!(label(Cursor::new(part), CLUSTER).is_err(), "cut at {cut}");
        let intact = intact(part, CLUSTER, &snapshot);
        assert!(intact <= cut as u64);
    }
    assert_eq!(intact(&bytes[..], CLUSTER, &snapshot), snapshot.size);
    let longer = [&bytes[..], &[0]].concat();
    assert!(verify(&longer[..], CLUSTER).is_err(), "a byte too many");
}

#[test]
fn every_flipped_bit_is_found() {
    let (snapshot, bytes) = bytes(&state_with(40, 20, Some(3)));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(verify(&flipped[..], CLUSTER).is_err(), "byte {at}, bit {bit}");
            assert!(restore(&flipped[..], CLUSTER).is_err(), "byte {at}, bit {bit}");
            assert!(intact(&flipped[..], CLUSTER, &snapshot) <= at as u64, "byte {at}, bit {bit}");
        }
    }
}

/// Whoever upgrades node by node needs it: an older program reads what has no use for the newer format.
#[test]
fn the_newest_format_is_written_only_where_it_is_needed() {
    for (least, version) in [(None, 2), (Some(7), 3)] {
        assert_eq!(bytes(&state_with(9, 1, least)).1[8..10], [version, 0]);
    }
}

#[test]
fn a_value_without_its_key_is_damage() {
    let mut state = state_with(3000, 200, Some(7));
    assert!(state.restore_outlived(b"nobody's", b"value"));
    let (_, bytes) = bytes(&state);
    assert!(matches!(verify(&bytes[..], CLUSTER), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn damage_is_named_where_it_is() {
    let (_, mut bytes) = bytes(&state(3000, 200));
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let Err(SnapshotError::Damaged { at: found, .. }) = verify(&bytes[..], CLUSTER) else {
        panic!("it is damaged")
    };
    assert!(found <= at as u64 && at as u64 - found < 70_000, "in the block at {found}");
    let other = verify(&bytes[..], ClusterId(1)).unwrap_err();
    assert!(matches!(other, SnapshotError::OtherCluster { theirs: 0xc1, ours: 1 }));
}

/// Version 1, byte by byte: two puts of a key and an append. It must be readable for ever.
#[test]
fn the_first_format_is_still_read() {
    let membership = Membership::founders([NodeId(1)]).unwrap().encode();
    let mut file = b"RAFTSNAP\x01\0\0\0\0\0\0\0".to_vec();
    for number in [CLUSTER.0, 4, 1, 5, 4, 3, 1] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    file.extend_from_slice(&(membership.len() as u32).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&[&file[..], &membership].concat()).to_le_bytes());
    file.extend_from_slice(&membership);
    let commands: [&[u8]; 3] = [b"\x02\x01\0\0\0kv", b"\x01x", b"\x02\x01\0\0\0kw"];
    let mut entries = [2_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat();
    entries.extend(3_u32.to_le_bytes());
    for row in [0_u32, 0, 7, 1, 0, 9, 2, 0, 16] {
        entries.extend(row.to_le_bytes());
    }
    entries.extend(commands.concat());
    let keys = [&1_u32.to_le_bytes()[..], &4_u64.to_le_bytes(), b"k"].concat();
    let mut digest = raft_core::hash::bytes(&file);
    for (number, (kind, content)) in [(1, entries), (2, keys), (3, Vec::new())].into_iter().enumerate() {
        let content = if kind == 3 { digest.to_le_bytes().to_vec() } else { content };
        let mut head = vec![kind, 0, 0, 0];
        head.extend((content.len() as u32).to_le_bytes());
        head.extend((number as u32).to_le_bytes());
        head.extend(crc32fast::hash(&[&head[..], &content].concat()).to_le_bytes());
        digest = raft_core::hash::chain(
            digest,
            &[raft_core::hash::bytes(&head), raft_core::hash::bytes(&content)],
        );
        file.extend(head);
        file.extend(content);
    }
    let (_, machine) = restore(&file[..], CLUSTER).unwrap();
    let found = machine.get(b"k").unwrap();
    assert_eq!(
        (found.value, found.version.created, found.version.modified),
        ("w".into(), Index(2), Index(4))
    );
    assert_eq!((machine.known_keys(), machine.time_ms()), (0, 0));
}
