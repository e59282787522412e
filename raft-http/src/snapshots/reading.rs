//! The bytes of a snapshot, read from their beginning to their end: to verify them, to restore the state, or to find how
//! far they are intact. Memory for one block is enough, and none is taken for what a length merely claims.

use super::format::{
    BLOCK_HEAD_BYTES, BlockHead, HEAD_BYTES, Head, Kind, SnapshotError, digest_after, digest_of_head,
    take_key, u64_at,
};
use crate::machine::{Block, Command, Machine};
use raft_core::{ClusterId, EntryId, Index, Snapshot};
use std::io::{self, Read};

/// A snapshot that is being read.
struct Reading<R> {
    input: R,
    head: Head,
    /// The end of what was found intact.
    at: u64,
    number: u32,
    digest: u64,
    kind: Kind,
    content: Vec<u8>,
}

/// A snapshot's state, and what the snapshot is known by.
///
/// # Errors
/// [`SnapshotError`] unless it is whole, of this cluster, and can be read by this version.
pub fn restore(input: impl Read, cluster: ClusterId) -> Result<(Snapshot, Machine), SnapshotError> {
    let mut machine = Machine::default();
    let mut reading = Reading::begin(input, cluster)?;
    let snapshot = reading.walk(|part| match part {
        Part::Entries(block) => {
            machine.restore_block(block);
            true
        }
        Part::Key(key, at) => machine.restore_key(key, at),
    })?;
    Ok((snapshot, machine.restored(reading.head.applied)))
}

/// What a whole and readable snapshot is known by.
pub(crate) fn verify(input: impl Read, cluster: ClusterId) -> Result<Snapshot, SnapshotError> {
    Reading::begin(input, cluster)?.walk(|_| true)
}

/// How many bytes from the beginning on are intact, if the snapshot is the one that is expected: up to the end of a
/// block.
pub(crate) fn intact(input: impl Read, cluster: ClusterId, expected: &Snapshot) -> u64 {
    let Ok(mut reading) = Reading::begin(input, cluster) else { return 0 };
    if reading.head.base != expected.base {
        return 0;
    }
    while let Ok(true) = reading.block() {}
    reading.at
}

/// A piece of the state.
enum Part<'a> {
    Entries(Block),
    Key(&'a [u8], Index),
}

impl<R: Read> Reading<R> {
    fn begin(mut input: R, cluster: ClusterId) -> Result<Reading<R>, SnapshotError> {
        let mut bytes = vec![0; HEAD_BYTES];
        whole(input.read_exact(&mut bytes), 0)?;
        let fixed: [u8; HEAD_BYTES] = bytes[..].try_into().expect("as many were read");
        let rest = Head::rest(&fixed)?;
        read_up_to(&mut input, rest, &mut bytes, 0)?;
        let head = Head::decode(&fixed, &bytes[HEAD_BYTES..])?;
        if head.cluster != cluster {
            return Err(SnapshotError::OtherCluster { theirs: head.cluster.0, ours: cluster.0 });
        }
        let (at, digest) = (bytes.len() as u64, digest_of_head(&bytes));
        bytes.clear();
        Ok(Reading { input, head, at, number: 0, digest, kind: Kind::Entries, content: bytes })
    }

    /// Reads the next block into `content`; `false` after the last, which is checked.
    fn block(&mut self) -> Result<bool, SnapshotError> {
        if self.kind == Kind::End {
            return Ok(false);
        }
        let damaged = |what| SnapshotError::Damaged { at: self.at, what };
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        whole(self.input.read_exact(&mut bytes), self.at)?;
        let head = BlockHead::decode(&bytes).map_err(damaged)?;
        if head.number != self.number || head.kind < self.kind {
            return Err(damaged("a block is out of order"));
        }
        self.content.clear();
        read_up_to(&mut self.input, head.length as usize, &mut self.content, self.at)?;
        if !head.fits(&self.content) {
            return Err(damaged("the checksum of a block is wrong"));
        }
        if head.kind == Kind::End && self.content != self.digest.to_le_bytes() {
            return Err(damaged("the digest is not that of the bytes before it"));
        }
        self.number = self.number.checked_add(1).ok_or(damaged("there are too many blocks"))?;
        self.kind = head.kind;
        if head.kind != Kind::End {
            self.digest = digest_after(self.digest, &bytes, &self.content);
        }
        self.at += (BLOCK_HEAD_BYTES + self.content.len()) as u64;
        Ok(true)
    }

    /// Reads everything to the end. `take` says whether a part fits on those before it.
    fn walk(&mut self, mut take: impl FnMut(Part<'_>) -> bool) -> Result<Snapshot, SnapshotError> {
        let (mut entries, mut keys) = (0, 0);
        let mut last = EntryId::ORIGIN;
        loop {
            let at = self.at;
            let damaged = move |what| SnapshotError::Damaged { at, what };
            if !self.block()? {
                break;
            }
            match self.kind {
                Kind::Entries => {
                    let block = Block::decode(&self.content).ok_or(damaged("entries can't be read"))?;
                    readable(&block)?;
                    let follows = block.first().index > last.index && block.first().term >= last.term;
                    (last, entries) = (block.last(), entries + block.len() as u64);
                    if !follows || last.index > self.head.applied || !take(Part::Entries(block)) {
                        return Err(damaged("entries don't follow on those before"));
                    }
                }
                Kind::Keys => {
                    let mut content = self.content.as_slice();
                    while !content.is_empty() {
                        let taken = take_key(&mut content).map(|(key, at)| take(Part::Key(key, at)));
                        if taken != Some(true) {
                            return Err(damaged("a key can't be read, or there is no put of it"));
                        }
                        keys += 1;
                    }
                }
                Kind::End => {}
            }
        }
        self.end()?;
        if (entries, keys) != (self.head.entries, self.head.keys) {
            let what = "there are not as many entries and keys as it says";
            return Err(SnapshotError::Damaged { at: 0, what });
        }
        Ok(Snapshot { base: self.head.base.clone(), size: self.at, digest: self.digest })
    }

    /// Nothing follows the last block.
    fn end(&mut self) -> Result<(), SnapshotError> {
        match self.input.read(&mut [0; 1])? {
            0 => Ok(()),
            _ => Err(SnapshotError::Damaged { at: self.at, what: "something follows its end" }),
        }
    }
}

/// A command of a newer version must be found before the state is replaced.
fn readable(block: &Block) -> Result<(), SnapshotError> {
    for (id, command) in block.from(Index(0)) {
        if let Err(why) = Command::decode(&command) {
            return Err(SnapshotError::Newer { what: format!("the entry {id}: {why}") });
        }
    }
    Ok(())
}

/// What a snapshot at rest is known by, without reading all of it: its head and its last block.
pub(crate) fn label(mut input: impl Read + io::Seek, cluster: ClusterId) -> Result<Snapshot, SnapshotError> {
    let head = Reading::begin(&mut input, cluster)?.head;
    let length = BLOCK_HEAD_BYTES + 8;
    let size = input.seek(io::SeekFrom::End(0))?;
    let at = size.saturating_sub(length as u64);
    input.seek(io::SeekFrom::Start(at))?;
    let mut last = Vec::new();
    read_up_to(&mut input, length, &mut last, at)?;
    let damaged = |what| SnapshotError::Damaged { at, what };
    let (bytes, content) = last.split_first_chunk().ok_or(damaged("it ends too early"))?;
    let end = BlockHead::decode(bytes).map_err(damaged)?;
    if end.kind != Kind::End || !end.fits(content) {
        return Err(damaged("it doesn't end like a snapshot"));
    }
    Ok(Snapshot { base: head.base, size, digest: u64_at(content, 0) })
}

/// Appends this many bytes. Memory grows with what comes.
fn read_up_to(input: &mut impl Read, length: usize, out: &mut Vec<u8>, at: u64) -> Result<(), SnapshotError> {
    let read = input.take(length as u64).read_to_end(out)?;
    if read == length { Ok(()) } else { Err(SnapshotError::Damaged { at, what: "it ends too early" }) }
}

/// An early end is damage, all else a failure of the disk.
fn whole(read: io::Result<()>, at: u64) -> Result<(), SnapshotError> {
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SnapshotError::Damaged { at, what: "it ends too early" },
        _ => SnapshotError::Io(error),
    })
}
