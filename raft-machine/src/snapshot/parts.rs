//! Keys and idempotency keys as they stand in a block.

use crate::dedupe::{Key, Retention, Row, Table};
use crate::machine::Version;
use crate::reply::Verdict;
use raft_core::{EntryId, Index};
use std::num::NonZeroU64;

/// Takes numbers and texts off the beginning of some bytes.
pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl<'a> Take<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    fn bytes(&mut self, length: u32) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A key and its version. In the first format there is no index of the put that made it.
    pub(super) fn key(&mut self, first_format: bool) -> Option<(&'a [u8], Version)> {
        let length = self.u32()?;
        let modified = Index(self.u64()?);
        let created = if first_format { modified } else { Index(self.u64()?) };
        Some((self.bytes(length)?, Version { created, modified }))
    }

    /// From which index on there are entries, and how many are kept.
    pub(super) fn first(&mut self) -> Option<(Index, Option<NonZeroU64>)> {
        let (first, least) = (Index(self.u64()?), NonZeroU64::new(self.u64()?));
        (self.0.is_empty() && (first > Index(0) || least.is_some())).then_some((first, least))
    }

    /// A key and its value.
    pub(super) fn value(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (key, value) = (self.u32()?, self.u32()?);
        Some((self.bytes(key)?, self.bytes(value)?))
    }

    /// Log time, how many rows follow, and the table without its rows.
    pub(super) fn table(&mut self) -> Option<(u64, u64, Table)> {
        let (time_ms, rows) = (self.u64()?, self.u64()?);
        let retention = Retention { window_ms: self.u64()?, least_ms: self.u64()?, keys: self.u64()? };
        let (matured, horizon) = (Index(self.u64()?), self.u128()?);
        self.0.is_empty().then(|| (time_ms, rows, Table::with(retention, matured, horizon)))
    }

    /// An idempotency key and what is known of it.
    pub(super) fn row(&mut self) -> Option<(Key, Row)> {
        let length = self.u32()?;
        let id = EntryId::new(self.u64()?, self.u64()?);
        let (time_ms, request) = (self.u64()?, self.u64()?);
        let verdict = match (self.u8()?, self.u128()?) {
            (tag @ (HELD | NOT_HELD), bits) => Verdict::Done { held: tag == HELD, bits },
            (FAILED, at) => {
                let at = u64::try_from(at).ok()?;
                Verdict::Failed { current: (at > 0).then_some(Index(at)) }
            }
            _ => return None,
        };
        let key = Key::of(self.bytes(length)?);
        Some((key, Row { id, time_ms, request, verdict }))
    }
}

const HELD: u8 = 1;
const NOT_HELD: u8 = 2;
const FAILED: u8 = 3;

/// Appends a key.
pub(super) fn put_key(out: &mut Vec<u8>, key: &[u8], version: Version) {
    put_length(out, key.len());
    out.extend_from_slice(&version.modified.0.to_le_bytes());
    out.extend_from_slice(&version.created.0.to_le_bytes());
    out.extend_from_slice(key);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("keys and values are far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
}

/// Appends from which index on there are entries, and how many are kept.
pub(super) fn put_first(out: &mut Vec<u8>, first: Index, least: Option<NonZeroU64>) {
    out.extend_from_slice(&first.0.to_le_bytes());
    out.extend_from_slice(&least.map_or(0, NonZeroU64::get).to_le_bytes());
}

/// Appends a key and its value.
pub(super) fn put_value(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    put_length(out, key.len());
    put_length(out, value.len());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Appends the table without its rows.
pub(super) fn put_table(out: &mut Vec<u8>, time_ms: u64, table: &Table) {
    let Retention { window_ms, least_ms, keys } = table.retention;
    let (matured, horizon) = table.marks();
    for number in [time_ms, table.len(), window_ms, least_ms, keys, matured.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&horizon.to_le_bytes());
}

/// Appends an idempotency key.
pub(super) fn put_row(out: &mut Vec<u8>, key: &Key, row: &Row) {
    let text = key.text();
    put_length(out, text.len());
    for number in [row.id.term.0, row.id.index.0, row.time_ms, row.request] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let (tag, bits) = match row.verdict {
        Verdict::Done { held, bits } => (if held { HELD } else { NOT_HELD }, bits),
        Verdict::Failed { current } => (FAILED, current.map_or(0, |at| u128::from(at.0))),
        other => unreachable!("{other:?} is not kept"),
    };
    out.push(tag);
    out.extend_from_slice(&bits.to_le_bytes());
    out.extend_from_slice(&text);
}
