//! Bytes of a snapshot.

use crate::draw::Draw;
use raft_core::{ClusterId, Index, Membership, NodeId, hash};
use raft_http::machine::{Machine, Page};
use raft_http::snapshots::{restore, write};

const CLUSTER: ClusterId = ClusterId(7);
const HEAD: usize = 80;

/// Restores a state. What is accepted is the same state after it was written and restored once more. If the first byte is
/// odd, the rest is made a snapshot whose lengths, places, checksums and digest are right.
pub fn read(data: &[u8]) -> bool {
    let Some((mode, bytes)) = data.split_first() else { return false };
    let file = if mode % 2 == 1 { repaired(bytes) } else { bytes.to_vec() };
    let Ok((snapshot, machine)) = restore(&file[..], CLUSTER) else { return false };
    assert_eq!(snapshot.size, file.len() as u64);
    let mut again = Vec::new();
    let rewritten = write(&machine, &snapshot.base, CLUSTER, &mut again).expect("memory takes everything");
    assert_eq!(rewritten.base, snapshot.base);
    let (found, restored) = restore(&again[..], CLUSTER).expect("what was written can be read");
    assert_eq!(found, rewritten);
    assert_eq!(all(&restored), all(&machine));
    for record in all(&machine).records {
        if let raft_http::machine::Command::Put { key, .. } = record.command {
            assert_eq!(restored.value(&key), machine.value(&key));
        }
    }
    true
}

fn all(machine: &Machine) -> Page {
    machine.page(Index(0), usize::MAX, usize::MAX)
}

/// A file with these contents: a byte for the kind and one for the length, then so many bytes, and so on.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut draw = Draw(data);
    let (index, term) = (1 + u64::from(draw.byte()), 1 + u64::from(draw.byte()));
    let (mut blocks, mut counts) = (Vec::new(), [0_u64; 2]);
    let mut keys_from = false;
    while !draw.is_empty() {
        keys_from |= draw.rarely(4);
        let length = usize::from(draw.byte()).min(draw.0.len());
        let content: Vec<u8> = (0..length).map(|_| draw.byte()).collect();
        counts[usize::from(keys_from)] += if keys_from { keys(&content) } else { word(&content, 16, 4) };
        blocks.push((1 + u8::from(keys_from), content));
    }
    let membership = Membership::founders([NodeId(1)]).expect("one voter").encode();
    let mut file = b"RAFTSNAP\x01\0\0\0\0\0\0\0".to_vec();
    for number in [CLUSTER.0, index, term, 5, index, counts[0], counts[1]] {
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

/// How many keys a block of keys has, if it is one.
fn keys(mut content: &[u8]) -> u64 {
    let mut keys = 0;
    while !content.is_empty() {
        content = content.get(12 + word(content, 0, 4) as usize..).unwrap_or_default();
        keys += 1;
    }
    keys
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
    use raft_http::machine::Command;

    fn state() -> (Machine, Base) {
        let mut machine = Machine::default();
        for (index, text) in (1..).zip(["a", "", "a"]) {
            let command = if text.is_empty() {
                Command::Append("x".into())
            } else {
                Command::Put { key: text.into(), value: "v".into() }
            };
            let command = Envelope { time_ms: 1, key: None, body: command.encode() }.encode();
            machine.apply(&Entry::new(EntryId::new(1, index), Payload::Command(command))).unwrap();
        }
        let membership = Membership::founders([NodeId(1)]).unwrap();
        (machine, Base { id: EntryId::new(1, 3), hash: 5, membership })
    }

    /// A whole snapshot, and the same as blocks to be put together.
    pub(super) fn seeds() -> [Vec<u8>; 2] {
        let (machine, base) = state();
        let mut file = Vec::new();
        write(&machine, &base, CLUSTER, &mut file).unwrap();
        let mut blocks = vec![1, 2, 0];
        let mut rest = &file[HEAD + base.membership.encode().len()..];
        while rest[0] != 3 {
            let length = rest[4] as usize;
            blocks.extend([if rest[0] == 2 { 3 } else { 0 }, length as u8]);
            blocks.extend(&rest[16..16 + length]);
            rest = &rest[16 + length..];
        }
        [[&[0], &file[..]].concat(), blocks]
    }

    #[test]
    fn the_seeds_are_accepted() {
        for (number, seed) in seeds().into_iter().enumerate() {
            assert!(read(&seed), "seed {number}");
            if let Some(folder) = std::env::var_os("SNAPSHOT_SEEDS") {
                std::fs::write(std::path::Path::new(&folder).join(format!("seed-{number}")), seed).unwrap();
            }
        }
    }
}
