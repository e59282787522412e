//! The files of a log, damaged and forged.

use crate::draw::Draw;
use bytes::Bytes;
use raft_core::wal::{HEADER_BYTES, Identity, Layout, Op, Recovery, Refusal, Wal, recover as read};
use raft_core::{
    Base, Boot, ClusterId, DiskId, Entry, EntryId, HardState, Index, LogSlice, Membership, NodeId, Payload,
    Term, Update,
};
use std::collections::BTreeMap;

const US: Identity = Identity { cluster: ClusterId(7), node: NodeId(2), disk: DiskId(99) };
const LAYOUT: Layout = Layout { ids_bytes: 8 * RECORD as u32, data_bytes: 1536 };
const RECORD: usize = 104;
const IDS: usize = HEADER_BYTES as usize;
const DATA: usize = IDS + LAYOUT.ids_bytes as usize;
const FILE: usize = DATA + LAYOUT.data_bytes as usize;

type Files = BTreeMap<u64, Vec<u8>>;

/// Writes a log, damages its files, and reads it back. In half of the runs checksums, hashes and chains are made right
/// again, so that what the damaged records say is believed. What is accepted must be a log, and must go on as one.
pub fn recover(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let repaired = draw.byte() % 2 == 1;
    let mut files = Files::new();
    for _ in 0..draw.below(4) {
        let Ok(recovery) = open(&files) else { panic!("an undamaged log is refused") };
        life(&mut draw, recovery, &mut files);
    }
    let numbers: Vec<u64> = files.keys().copied().collect();
    while !draw.is_empty() && !numbers.is_empty() {
        let number = numbers[draw.below(numbers.len())];
        damage(&mut draw, files.get_mut(&number).expect("one of the files"), number);
    }
    if repaired {
        repair(&mut files);
    }
    let Ok(recovery) = open(&files) else { return false };
    goes_on(recovery, files);
    true
}

fn open(files: &Files) -> Result<Recovery, Refusal> {
    read(US, LAYOUT, files.iter().map(|(number, file)| (*number, Bytes::from(file.clone()))).collect())
}

fn carry_out(files: &mut Files, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Create { segment } => {
                files.insert(*segment, vec![0; FILE]);
            }
            Op::Put { segment, at, bytes } => {
                // A damaged header may give an older segment any layout; new ones have ours.
                let file = files.get_mut(segment).expect("puts go to segments that were created");
                file[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// Some writes of one start. Some never reach the disk.
fn life(draw: &mut Draw<'_>, recovery: Recovery, files: &mut Files) {
    let base = recovery.recovered.base.as_ref().map_or(EntryId::ORIGIN, |base| base.id);
    let mut last = recovery.recovered.entries.last().map_or(base, Entry::id);
    let (mut hard, mut first) = (recovery.recovered.hard, base.index.0);
    let mut wal: Wal = recovery.wal;
    for _ in 0..draw.below(8) {
        let mut update = Update::default();
        let kinds = draw.byte();
        if kinds & 1 != 0 || hard.term == Term(0) {
            hard = HardState { term: hard.term.next(), vote: Some(NodeId(3)), boot: Boot(hard.boot.0 + 1) };
            update.hard = Some(hard);
        }
        if kinds & 14 == 14 {
            let membership = Membership::founders((1..=3).map(NodeId)).expect("three voters");
            last = EntryId { term: hard.term, index: last.index.next() };
            update.base = Some(Base { id: last, hash: 5, membership });
            first = last.index.0;
        } else if kinds & 6 == 6 {
            last.index = Index(first + draw.below(4) as u64).min(last.index);
            update.keep = Some(last.index);
        }
        for _ in 0..draw.below(4) {
            last = EntryId { term: hard.term, index: last.index.next() };
            let payload = match draw.below(8) {
                0 => Payload::Noop,
                1 => Payload::Membership(Membership::founders([NodeId(1)]).expect("a voter")),
                size => Payload::Command(vec![size as u8; size * size * 20].into()),
            };
            update.entries.push(Entry::new(last, payload));
        }
        let mut ops = Vec::new();
        let number = wal.append(&update, &mut ops).expect("a segment holds each entry");
        let torn = draw.rarely(8);
        carry_out(files, &ops[..if torn { draw.below(ops.len()) } else { ops.len() }]);
        if torn {
            return;
        }
        for unneeded in wal.synced(number) {
            if kinds & 64 != 0 {
                files.remove(&unneeded);
            }
        }
        if kinds & 128 != 0 {
            // What is released is committed: it is never cut again.
            first = last.index.0;
            wal.release(last.index);
        }
    }
}

/// Changes a few bytes of a file, mostly where records and headers are, or its length.
fn damage(draw: &mut Draw<'_>, file: &mut Vec<u8>, number: u64) {
    let region = [0, 2048, IDS, DATA][draw.below(4)];
    let at = region + RECORD * draw.below(8) + draw.below(RECORD);
    match draw.byte() {
        0 => file.truncate(at),
        1 => file.iter_mut().skip(at).take(512).for_each(|byte| *byte = 0),
        // A field of one byte, then of eight.
        kind => {
            let value = if kind % 2 == 0 { u64::from(draw.byte()) } else { draw.near(number) };
            let length = if kind % 2 == 0 { 1 } else { 8 };
            let at = if length == 8 { at / 8 * 8 } else { at };
            file.iter_mut().skip(at).zip(value.to_le_bytes()).take(length).for_each(|(to, byte)| *to = byte);
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|byte| bytes[at + byte]))
}

fn half(bytes: &[u8], at: usize) -> usize {
    word(bytes, at) as u32 as usize
}

/// Keeps what headers and records say and makes true what they say about themselves (`docs/wal.md` has the places).
fn repair(files: &mut Files) {
    let mut identity = crc32fast::Hasher::new();
    [7_u64, 2, 99].iter().for_each(|number| identity.update(&number.to_le_bytes()));
    let seed = identity.finalize();
    let mut chain = raft_core::hash::chain(0, &[7, 2, 99]);
    // The running hash after each index from the base on.
    let (mut base, mut hashes) = (0, vec![0]);
    for file in files.values_mut() {
        file.resize(FILE, 0);
        file[72..80].copy_from_slice(&chain.to_le_bytes());
        let checksum = crc32fast::hash(&file[..92]);
        file[92..96].copy_from_slice(&checksum.to_le_bytes());
        let (mut ids, mut data) = (IDS, DATA);
        while ids + RECORD <= DATA && data + RECORD <= FILE && file[ids..ids + 4] == *b"RREC" {
            let (kind, payload) = (file[ids + 4], file[ids + 6]);
            let length = half(file, ids + 12);
            let body = data + RECORD..(data + RECORD).saturating_add(length).min(FILE);
            if kind == 1 || kind == 3 || kind == 6 {
                let hash = raft_core::hash::bytes(&file[body]);
                file[ids + 64..ids + 72].copy_from_slice(&hash.to_le_bytes());
            }
            let (index, hash) = (word(file, ids + 48), word(file, ids + 64));
            match kind {
                1 => {
                    let numbers = [index, word(file, ids + 56), u64::from(payload), hash];
                    let before = *hashes.last().expect("the base's is always there");
                    hashes.push(raft_core::hash::chain(before, &numbers));
                    file[ids + 72..ids + 80].copy_from_slice(&hashes[hashes.len() - 1].to_le_bytes());
                }
                6 => {
                    let running = hashes[hashes.len() - 1];
                    file[ids + 72..ids + 80].copy_from_slice(&running.to_le_bytes());
                }
                3 => (base, hashes) = (index, vec![word(file, ids + 72)]),
                4 => hashes.truncate(index.saturating_sub(base).saturating_add(1) as usize),
                _ => {}
            }
            let words: [u64; 11] = core::array::from_fn(|at| word(file, ids + 8 * at));
            chain = raft_core::hash::chain(chain, &words);
            file[ids + 88..ids + 96].copy_from_slice(&chain.to_le_bytes());
            let mut crc = crc32fast::Hasher::new_with_initial(seed);
            crc.update(&file[ids..ids + 96]);
            file[ids + 96..ids + 100].copy_from_slice(&crc.finalize().to_le_bytes());
            file.copy_within(ids..ids + RECORD, data);
            let twice = kind == 3 || kind == 6 || (kind == 1 && payload == 2);
            ids += RECORD * if twice { 1 + length.div_ceil(RECORD) } else { 1 };
            data = data.saturating_add(RECORD + length.next_multiple_of(8));
        }
    }
}

/// A log that was accepted is one, and so it is after the next start's first write.
fn goes_on(recovery: Recovery, mut files: Files) {
    let Recovery { mut recovered, mut wal, discard, .. } = recovery;
    let base = recovered.base.as_ref().map_or(EntryId::ORIGIN, |base| base.id);
    assert!(LogSlice::new(base, recovered.entries.clone()).is_some(), "the log has a hole");
    let hard = HardState { term: Term(77), vote: None, boot: Boot(88) };
    let mut ops = Vec::new();
    let number = wal.append(&Update { hard: Some(hard), ..Update::default() }, &mut ops).expect("it fits");
    carry_out(&mut files, &ops);
    // A root may have moved, so that more is unneeded; what is deleted is not missed.
    for unneeded in wal.synced(number) {
        files.remove(&unneeded);
    }
    wal.mark(&mut ops).expect("the write is not vouched for");
    let again = open(&files).expect("what was accepted once is accepted again");
    recovered.hard = hard;
    assert_eq!(again.recovered, recovered);
    assert_eq!((again.discard, again.cut), (discard, None));
}
