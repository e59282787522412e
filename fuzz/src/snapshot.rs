//! Bytes of a snapshot.

use crate::draw::Draw;
use raft_core::{ClusterId, Index, Membership, NodeId, hash};
use raft_machine::snapshot::{label, restore, verify, write};
use raft_machine::{Machine, Page};
use std::io::Cursor;

const CLUSTER: ClusterId = ClusterId(7);
const HEAD: usize = 80;

/// Restores a state. What is accepted is the same state after it was written and restored once more, and those who read
/// less of it take it, too. Unless the first byte is a multiple of four, the rest is made a snapshot whose lengths,
/// places, checksums and digest are right: of the first, the third or the second format.
pub fn read(data: &[u8]) -> bool {
    let Some((mode, bytes)) = data.split_first() else { return false };
    let file = match mode % 4 {
        1 => repaired(1, bytes),
        2 => repaired(3, bytes),
        3 => repaired(2, bytes),
        _ => bytes.to_vec(),
    };
    let Ok((snapshot, machine)) = restore(&file[..], CLUSTER) else { return false };
    assert_eq!(snapshot.size, file.len() as u64);
    assert_eq!(label(Cursor::new(&file), CLUSTER).expect("its ends are read, too"), snapshot);
    assert_eq!(verify(&file[..], CLUSTER).expect("all of it was read"), snapshot);
    let mut again = Vec::new();
    let rewritten = write(&machine, &snapshot.base, CLUSTER, &mut again).expect("memory takes everything");
    assert_eq!(rewritten.base, snapshot.base);
    let (found, restored) = restore(&again[..], CLUSTER).expect("what was written can be read");
    assert_eq!(found, rewritten);
    assert_eq!(all(&restored), all(&machine));
    assert_eq!(restored.known_keys(), machine.known_keys());
    assert_eq!(
        restored.list(b"", b"", usize::MAX, usize::MAX),
        machine.list(b"", b"", usize::MAX, usize::MAX)
    );
    assert_eq!((restored.first(), restored.least_kept()), (machine.first(), machine.least_kept()));
    true
}

fn all(machine: &Machine) -> Page {
    machine.select(Index(0), usize::MAX, usize::MAX, |_| true)
}

/// A file with these contents: a byte that may say that the next kind begins and one for the length, then so many bytes,
/// and so on.
fn repaired(version: u8, data: &[u8]) -> Vec<u8> {
    let mut draw = Draw(data);
    let (index, term) = (1 + u64::from(draw.byte()), 1 + u64::from(draw.byte()));
    let mut kinds = match version {
        1 => &[1, 2][..],
        2 => &[1, 2, 4, 5],
        _ => &[7, 8, 1, 2, 4, 5],
    };
    let (mut blocks, mut counts) = (Vec::new(), [0_u64; 9]);
    while !draw.is_empty() {
        if draw.rarely(4) && kinds.len() > 1 {
            kinds = &kinds[1..];
        }
        let length = usize::from(draw.byte()).min(draw.0.len());
        let content: Vec<u8> = (0..length).map(|_| draw.byte()).collect();
        counts[usize::from(kinds[0])] += match (kinds[0], version) {
            (1, _) => word(&content, 16, 4),
            (2, 1) => parts(&content, 12),
            (2, _) => parts(&content, 20),
            (5, _) => parts(&content, 53),
            _ => 1,
        };
        blocks.push((kinds[0], content));
    }
    for (_, content) in blocks.iter_mut().filter(|(kind, content)| *kind == 4 && content.len() >= 16) {
        content[8..16].copy_from_slice(&counts[5].to_le_bytes());
    }
    let membership = Membership::founders([NodeId(1)]).expect("one voter").encode();
    let mut file = b"RAFTSNAP".to_vec();
    file.extend([version, 0, 0, 0, 0, 0, 0, 0]);
    for number in [CLUSTER.0, index, term, 5, index, counts[1], counts[2]] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    file.extend_from_slice(&(membership.len() as u32).to_le_bytes());
    let checksum = crc32fast::hash(&[&file[..], &membership].concat());
    file.extend_from_slice(&checksum.to_le_bytes());
    file.extend_from_slice(&membership);
    assert_eq!(file.len(), HEAD + membership.len());
    let mut digest = hash::bytes(&file);
    for (number, (kind, content)) in (0..).zip(&blocks) {
        let head = block_head(*kind, number, content);
        digest = hash::chain(digest, &[hash::bytes(&head), hash::bytes(content)]);
        file.extend_from_slice(&head);
        file.extend_from_slice(content);
    }
    let digest = digest.to_le_bytes();
    file.extend_from_slice(&block_head(3, blocks.len() as u32, &digest));
    file.extend_from_slice(&digest);
    file
}

fn block_head(kind: u8, number: u32, content: &[u8]) -> [u8; 16] {
    let mut head = [0; 16];
    head[0] = kind;
    head[4..8].copy_from_slice(&(content.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&[&head[..12], content].concat());
    head[12..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// How many parts a block has, if each begins with its length and `head` bytes in all.
fn parts(mut content: &[u8], head: usize) -> u64 {
    let mut parts = 0;
    while !content.is_empty() {
        content = content.get(head + word(content, 0, 4) as usize..).unwrap_or_default();
        parts += 1;
    }
    parts
}

fn word(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes.iter().skip(at).take(length).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Inputs to begin with: what [`read`] makes snapshots of.
#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::envelope::Envelope;
    use raft_core::{Base, Entry, EntryId, Payload};
    use raft_machine::{Command, Operation};
    use std::num::NonZeroU64;

    /// A state of five commands; entries are dropped if only so many are kept.
    fn state(least: Option<NonZeroU64>) -> (Machine, Base) {
        let mut machine = Machine::default();
        let put = |key: &'static str| Operation::Put { key: key.into(), value: "v".into() }.into();
        let append = || Operation::Append("x".into()).into();
        let commands = [Command::KeepEntries(least), put("b"), put("a"), append(), put("a")];
        for (index, command) in (1..).zip(commands) {
            let key = (index > 1).then(|| vec![b'k', index as u8].into());
            let command = Envelope { time_ms: 1, key, body: command.encode() }.encode();
            machine.apply(&Entry::new(EntryId::new(1, index), Payload::Command(command))).unwrap();
        }
        let membership = Membership::founders([NodeId(1)]).unwrap();
        (machine, Base { id: EntryId::new(1, 5), hash: 5, membership })
    }

    /// A whole snapshot, and the same as blocks to be put together: of the second format, or of the third.
    fn seeds(least: Option<NonZeroU64>) -> [Vec<u8>; 2] {
        let (machine, base) = state(least);
        let mut file = Vec::new();
        write(&machine, &base, CLUSTER, &mut file).unwrap();
        let (mode, kinds) =
            if least.is_some() { (2, &[7, 8, 1, 2, 4, 5][..]) } else { (3, &[1, 2, 4, 5][..]) };
        let (mut blocks, mut at) = (vec![mode, 4, 0], 0);
        let mut rest = &file[HEAD + base.membership.encode().len()..];
        while rest[0] != 3 {
            let (length, next) = (rest[4], kinds.iter().position(|kind| *kind == rest[0]).unwrap());
            // A kind that isn't there has an empty block.
            (at + 1..next).for_each(|_| blocks.extend([3, 0]));
            blocks.extend([if next == at { 0 } else { 3 }, length]);
            let length = usize::from(length);
            at = next;
            blocks.extend(&rest[16..16 + length]);
            rest = &rest[16 + length..];
        }
        [[&[0], &file[..]].concat(), blocks]
    }

    #[test]
    fn the_seeds_are_accepted() {
        let all = [seeds(None), seeds(NonZeroU64::new(1))];
        for (number, seed) in all.into_iter().flatten().enumerate() {
            assert!(read(&seed), "seed {number}");
            if let Some(folder) = std::env::var_os("SNAPSHOT_SEEDS") {
                std::fs::write(std::path::Path::new(&folder).join(format!("seed-{number}")), seed).unwrap();
            }
        }
    }
}
