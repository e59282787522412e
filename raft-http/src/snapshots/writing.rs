//! A frozen state to the bytes of a snapshot, block by block: memory for one block is enough.

use super::format::{BlockHead, Head, Kind, digest_after, digest_of_head, put_key};
use crate::machine::Machine;
use raft_core::{Base, ClusterId, Snapshot};
use std::io::{self, Write};

/// A block of keys is written at this size.
const KEYS_BYTES: usize = 64 << 10;

/// Writes the state as it was when this was its base.
///
/// # Errors
/// Those of `out`.
///
/// # Panics
/// If the state is of another index.
pub fn write(state: &Machine, base: &Base, cluster: ClusterId, out: &mut impl Write) -> io::Result<Snapshot> {
    assert_eq!(state.applied(), base.id.index, "a state is frozen at its place of the stream");
    let (entries, keys) = state.counts();
    let head = Head { cluster, base: base.clone(), applied: state.applied(), entries, keys }.encode();
    out.write_all(&head)?;
    let (digest, size) = (digest_of_head(&head), head.len() as u64);
    let mut blocks = Blocks { out, number: 0, digest, size };
    let mut content = Vec::new();
    for block in state.blocks() {
        content.clear();
        block.encode(&mut content);
        blocks.put(Kind::Entries, &content)?;
    }
    content.clear();
    for (key, at) in state.keys() {
        put_key(&mut content, key, at);
        if content.len() >= KEYS_BYTES {
            blocks.put(Kind::Keys, &content)?;
            content.clear();
        }
    }
    if !content.is_empty() {
        blocks.put(Kind::Keys, &content)?;
    }
    let digest = blocks.digest;
    blocks.put(Kind::End, &digest.to_le_bytes())?;
    Ok(Snapshot { base: base.clone(), size: blocks.size, digest })
}

struct Blocks<'a, W> {
    out: &'a mut W,
    number: u32,
    digest: u64,
    size: u64,
}

impl<W: Write> Blocks<'_, W> {
    fn put(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let head = BlockHead::of(kind, self.number, content).encode();
        self.out.write_all(&head)?;
        self.out.write_all(content)?;
        self.number += 1;
        self.digest = digest_after(self.digest, &head, content);
        self.size += (head.len() + content.len()) as u64;
        Ok(())
    }
}
