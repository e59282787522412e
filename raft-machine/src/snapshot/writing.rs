//! A frozen state to the bytes of a snapshot, block by block: memory for one block is enough.

use super::format::{BlockHead, Head, Kind, VERSION, WHOLE_VERSION, digest_after, digest_of_head};
use super::parts::{put_first, put_key, put_row, put_table, put_value};
use crate::machine::Machine;
use raft_core::{Base, ClusterId, Snapshot};
use std::io::{self, Write};

/// A block of keys, or of idempotency keys, is written at this size.
const PART_BYTES: usize = 64 << 10;

/// Writes the state as it was when this was its base.
///
/// # Errors
/// Those of `out`.
///
/// # Panics
/// If the state is of another index.
pub fn write(state: &Machine, base: &Base, cluster: ClusterId, out: &mut impl Write) -> io::Result<Snapshot> {
    assert_eq!(state.applied(), base.id.index, "a state is frozen at its place of the stream");
    let (entries, keys, _) = state.counts();
    let version = if state.dropped().is_some() { VERSION } else { WHOLE_VERSION };
    let head = Head { version, cluster, base: base.clone(), applied: state.applied(), entries, keys };
    let head = head.encode();
    out.write_all(&head)?;
    let (digest, size) = (digest_of_head(&head), head.len() as u64);
    let mut blocks = Blocks { out, number: 0, digest, size };
    blocks.state(state)?;
    let digest = blocks.digest;
    blocks.put(Kind::End, &digest.to_le_bytes())?;
    Ok(Snapshot { base: base.clone(), size: blocks.size, digest })
}

/// Writes the state of another application as a snapshot: what `state` writes, in blocks.
///
/// # Errors
/// Those of `out` and of `state`.
pub fn write_state(
    base: &Base,
    cluster: ClusterId,
    out: &mut impl Write,
    state: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Snapshot> {
    let applied = base.id.index;
    let head = Head { version: WHOLE_VERSION, cluster, base: base.clone(), applied, entries: 0, keys: 0 };
    let head = head.encode();
    out.write_all(&head)?;
    let (digest, size) = (digest_of_head(&head), head.len() as u64);
    let mut pieces = Pieces { blocks: Blocks { out, number: 0, digest, size }, content: Vec::new() };
    state(&mut pieces)?;
    let Pieces { mut blocks, content } = pieces;
    // An empty one says, too, that it is another application's.
    blocks.put(Kind::State, &content)?;
    let digest = blocks.digest;
    blocks.put(Kind::End, &digest.to_le_bytes())?;
    Ok(Snapshot { base: base.clone(), size: blocks.size, digest })
}

/// Gathers what is written into blocks.
struct Pieces<'a, W> {
    blocks: Blocks<'a, W>,
    content: Vec<u8>,
}

impl<W: Write> Write for Pieces<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.content.len());
        self.content.extend_from_slice(&bytes[..taken]);
        if self.content.len() == PART_BYTES {
            self.blocks.put(Kind::State, &self.content)?;
            self.content.clear();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest of the state alone: that of a snapshot's blocks without a head. Replicas that have applied as much have
/// the same, unless one of them has gone astray.
///
/// # Errors
/// Those of `out`, which takes the bytes: a sink, or one that gives up when it must.
pub fn digest(state: &Machine, out: &mut impl Write) -> io::Result<u64> {
    let mut blocks = Blocks { out, number: 0, digest: digest_of_head(&[]), size: 0 };
    blocks.state(state)?;
    Ok(blocks.digest)
}

struct Blocks<'a, W> {
    out: &'a mut W,
    number: u32,
    digest: u64,
    size: u64,
}

impl<W: Write> Blocks<'_, W> {
    fn state(&mut self, state: &Machine) -> io::Result<()> {
        let mut content = Vec::new();
        if let Some((first, least)) = state.dropped() {
            put_first(&mut content, first, least);
            self.put(Kind::First, &content)?;
            self.parts(Kind::Values, state.outlived(), |out, (key, value)| put_value(out, key, value))?;
        }
        for block in state.blocks() {
            content.clear();
            block.encode(&mut content);
            self.put(Kind::Entries, &content)?;
        }
        self.parts(Kind::Keys, state.keys(), |out, (key, version)| put_key(out, key, version))?;
        content.clear();
        put_table(&mut content, state.time_ms(), state.table());
        self.put(Kind::Table, &content)?;
        self.parts(Kind::Rows, state.table().rows(), |out, (key, row)| put_row(out, key, row))
    }

    /// Small parts, gathered into blocks.
    fn parts<T>(
        &mut self,
        kind: Kind,
        parts: impl Iterator<Item = T>,
        put: impl Fn(&mut Vec<u8>, T),
    ) -> io::Result<()> {
        let mut content = Vec::new();
        for part in parts {
            put(&mut content, part);
            if content.len() >= PART_BYTES {
                self.put(kind, &content)?;
                content.clear();
            }
        }
        if content.is_empty() { Ok(()) } else { self.put(kind, &content) }
    }

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
