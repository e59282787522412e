//! The bytes of a snapshot, read from their beginning to their end: to verify them, to restore the state, or to find how
//! far they are intact. Memory for one block is enough, and none is taken for what a length merely claims.

use super::format::{
    BLOCK_HEAD_BYTES, BlockHead, FIRST_VERSION, HEAD_BYTES, Head, Kind, SnapshotError, VERSION, digest_after,
    digest_of_head, u64_at,
};
use super::parts::Take;
use crate::block::Block;
use crate::dedupe::{Key, Row, Table};
use crate::machine::{Machine, Version, recorded};
use crate::operation::Operation;
use bytes::Bytes;
use raft_core::{ClusterId, EntryId, Index, Snapshot};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::num::NonZeroU64;

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
    let mut first = (reading.head.version == FIRST_VERSION).then(BTreeMap::new);
    let snapshot = reading.walk(|part| match part {
        Part::First(first, least) => {
            machine.restore_dropped(first, least);
            true
        }
        Part::Value(key, value) => machine.restore_outlived(key, value),
        Part::Entries(block) => {
            if let Some(first) = &mut first {
                note_puts(&block, first);
            }
            machine.restore_block(block);
            true
        }
        Part::Key(key, mut version) => {
            let created = first.as_ref().and_then(|first| first.get(key));
            version.created = created.copied().unwrap_or(version.created);
            machine.restore_key(key, version)
        }
        Part::Table(time_ms, table) => {
            machine.restore_table(time_ms, table);
            true
        }
        Part::Row(key, row) => machine.restore_row(key, row),
        Part::State => false,
    })?;
    Ok((snapshot, machine.restored(reading.head.applied)))
}

/// Where each key was put first: the first format has no deletes.
fn note_puts(block: &Block, first: &mut BTreeMap<Bytes, Index>) {
    for (id, body) in block.from(Index(0)) {
        for operation in crate::machine::operations(&body) {
            if let Operation::Put { key, .. } = operation {
                first.entry(key).or_insert(id.index);
            }
        }
    }
}

/// The state of another application, of a snapshot that [`write_state`](super::write_state) wrote. `restore` reads it.
///
/// # Errors
/// [`SnapshotError`] unless it is whole, of this cluster, and `restore` can make something of it.
pub fn restore_state<T>(
    input: impl Read,
    cluster: ClusterId,
    restore: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> Result<(Snapshot, T), SnapshotError> {
    let mut state = State { reading: Reading::begin(input, cluster)?, at: 0, failed: None };
    let restored = restore(&mut state);
    // The digest stands at the end.
    let rest = io::copy(&mut state, &mut io::sink());
    if let Some(failed) = state.failed {
        return Err(failed);
    }
    rest?;
    let mut reading = state.reading;
    reading.end()?;
    let size = reading.at;
    Ok((Snapshot { base: reading.head.base, size, digest: reading.digest }, restored?))
}

/// The content of the blocks, one behind the other.
struct State<R> {
    reading: Reading<R>,
    at: usize,
    failed: Option<SnapshotError>,
}

impl<R: Read> Read for State<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.at == self.reading.content.len() || self.reading.kind != Kind::State {
            match self.reading.block() {
                Ok(true) if self.reading.kind == Kind::State => self.at = 0,
                Ok(true) if self.reading.kind == Kind::End => {}
                Ok(false) => return Ok(0),
                Ok(true) => {
                    self.failed = Some(SnapshotError::OtherApplication);
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Err(error) => {
                    self.failed = Some(error);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        let read = (&self.reading.content[self.at..]).read(bytes)?;
        self.at += read;
        Ok(read)
    }
}

/// What a whole and readable snapshot is known by.
///
/// # Errors
/// As those of [`restore`].
pub fn verify(input: impl Read, cluster: ClusterId) -> Result<Snapshot, SnapshotError> {
    Reading::begin(input, cluster)?.walk(|_| true)
}

/// How many bytes from the beginning on are intact, if the snapshot is the one that is expected: up to the end of a
/// block.
pub fn intact(input: impl Read, cluster: ClusterId, expected: &Snapshot) -> u64 {
    let Ok(mut reading) = Reading::begin(input, cluster) else { return 0 };
    if reading.head.base != expected.base {
        return 0;
    }
    while let Ok(true) = reading.block() {}
    reading.at
}

/// A piece of the state.
enum Part<'a> {
    First(Index, Option<NonZeroU64>),
    Value(&'a [u8], &'a [u8]),
    Entries(Block),
    Key(&'a [u8], Version),
    Table(u64, Table),
    Row(Key, Row),
    /// Another application's; it knows by itself whether it can read it.
    State,
}

/// What was read of each kind; the table says how many idempotency keys there are.
#[derive(Default)]
struct Counts {
    /// Where the entries begin, if some were dropped.
    first: Option<Index>,
    /// Values that outlived their entry, and keys that stand for such a one.
    values: u64,
    old_keys: u64,
    last: EntryId,
    entries: u64,
    keys: u64,
    table: Option<u64>,
    rows: u64,
    /// It is another application's.
    foreign: bool,
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
        Ok(Reading { input, head, at, number: 0, digest, kind: Kind::First, content: bytes })
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
        let mut counts = Counts::default();
        loop {
            let at = self.at;
            let damaged = move |what| SnapshotError::Damaged { at, what };
            if !self.block()? {
                break;
            }
            match self.kind {
                Kind::First => {
                    let (first, least) = self.first(&mut counts, at)?;
                    take(Part::First(first, least));
                }
                Kind::Values => {
                    let value = |content: &mut Take<'_>| {
                        let (key, value) = content.value()?;
                        Some(take(Part::Value(key, value)))
                    };
                    counts.values += self.parts(value).ok_or(damaged("a value can't be read"))?;
                }
                Kind::Entries => {
                    let block = self.entries(&mut counts, at)?;
                    if !take(Part::Entries(block)) {
                        return Err(damaged("entries don't follow on those before"));
                    }
                }
                Kind::Keys => {
                    let first_format = self.head.version == FIRST_VERSION;
                    let (first, mut old) = (counts.first.unwrap_or_default(), 0);
                    let key = |content: &mut Take<'_>| {
                        let (key, at) = content.key(first_format)?;
                        old += u64::from(at.modified < first);
                        Some(take(Part::Key(key, at)))
                    };
                    counts.keys +=
                        self.parts(key).ok_or(damaged("a key can't be read, or there is no put of it"))?;
                    counts.old_keys += old;
                }
                Kind::Table => {
                    let table = Take(&self.content).table().filter(|_| counts.table.is_none());
                    let (time_ms, rows, table) = table.ok_or(damaged("its table can't be read"))?;
                    counts.table = Some(rows);
                    take(Part::Table(time_ms, table));
                }
                Kind::Rows => {
                    let applied = self.head.applied;
                    let row = |content: &mut Take<'_>| {
                        let (key, row) = content.row().filter(|(_, row)| row.id.index <= applied)?;
                        Some(take(Part::Row(key, row)))
                    };
                    counts.rows += self.parts(row).ok_or(damaged("an idempotency key can't be read"))?;
                }
                Kind::State => {
                    counts.foreign = true;
                    if !take(Part::State) {
                        return Err(SnapshotError::OtherApplication);
                    }
                }
                Kind::End => {}
            }
        }
        self.end()?;
        self.check(&counts)?;
        Ok(Snapshot { base: self.head.base.clone(), size: self.at, digest: self.digest })
    }

    /// The block that says where the entries begin.
    fn first(&self, counts: &mut Counts, at: u64) -> Result<(Index, Option<NonZeroU64>), SnapshotError> {
        let first = Take(&self.content).first().filter(|_| counts.first.is_none());
        let what = "where its entries begin can't be read";
        let (first, least) = first.ok_or(SnapshotError::Damaged { at, what })?;
        (counts.first, counts.last.index) = (Some(first), Index(first.0.saturating_sub(1)));
        Ok((first, least))
    }

    /// The block of entries that was read, if it can follow on those before.
    fn entries(&self, counts: &mut Counts, at: u64) -> Result<Block, SnapshotError> {
        let damaged = |what| SnapshotError::Damaged { at, what };
        let block = Block::decode(&self.content).ok_or(damaged("entries can't be read"))?;
        readable(&block)?;
        let last = counts.last;
        let follows = block.first().index > last.index && block.first().term >= last.term;
        (counts.last, counts.entries) = (block.last(), counts.entries + block.len() as u64);
        if follows && counts.last.index <= self.head.applied {
            Ok(block)
        } else {
            Err(damaged("entries don't follow on those before"))
        }
    }

    /// As much was read as the head says.
    fn check(&self, counts: &Counts) -> Result<(), SnapshotError> {
        let head = &self.head;
        let tableless = head.version == FIRST_VERSION || counts.foreign;
        let table = if tableless { Some(0) } else { counts.table };
        let values = counts.values == counts.old_keys && counts.first.is_some() == (head.version == VERSION);
        if (counts.entries, counts.keys, Some(counts.rows)) != (head.entries, head.keys, table) || !values {
            let what = "there are not as many entries and keys as it says";
            return Err(SnapshotError::Damaged { at: 0, what });
        }
        Ok(())
    }

    /// Goes through a block of small parts: how many there are, if all can be read and fit.
    fn parts(&self, mut part: impl FnMut(&mut Take<'_>) -> Option<bool>) -> Option<u64> {
        let mut content = Take(&self.content);
        let mut count = 0;
        while !content.0.is_empty() {
            part(&mut content).filter(|fits| *fits)?;
            count += 1;
        }
        Some(count)
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
        if let Err(why) = recorded(&command) {
            return Err(SnapshotError::Newer { what: format!("the entry {id}: {why}") });
        }
    }
    Ok(())
}

/// What a snapshot at rest is known by, without reading all of it: its head and its last block.
///
/// # Errors
/// [`SnapshotError`] if they are not those of a snapshot of this cluster.
pub fn label(mut input: impl Read + io::Seek, cluster: ClusterId) -> Result<Snapshot, SnapshotError> {
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
