//! The state, and how a command changes it.

use crate::block::Block;
use crate::command::{Command, Malformed, Unreadable};
use crate::condition::{Condition, Test};
use crate::dedupe::{Key, Retention, Row, Table};
use crate::entries::Entries;
use crate::operation::Operation;
use crate::planted::Bug;
use crate::reply::{Reply, Verdict};
use bytes::Bytes;
use imbl::OrdMap;
use raft_core::envelope::Envelope;
use raft_core::{Entry, EntryId, Index, Payload, hash};
use std::num::NonZeroU64;
use std::ops::Bound;
use std::sync::Arc;

/// How many blocks of entries may go with one command, so that none takes long: as many as one can fill.
const BLOCKS_WITH_ONE_COMMAND: usize = 2;

/// How many commands [`Machine::select`] looks at, at most: nobody waits long for one page.
const LOOKED_AT: usize = 4096;

/// A change of the state, committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where its command stands in Raft's log.
    pub id: EntryId,
    /// What was done. Several changes of one command have the same `id`.
    pub operation: Operation,
}

/// Some consecutive records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records. What one command did is never torn apart.
    pub records: Vec<Record>,
    /// The index to go on from: after the last command that was looked at if more are there, otherwise after all that is
    /// applied.
    pub next: Index,
    /// The index up to which this node had applied when it made the page.
    pub applied: Index,
    /// [`Machine::first`]: if the page was to begin below, entries before it are missing.
    pub first: Index,
}

/// Since when a key stands for something, and for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The put that made it, after it was not there.
    pub created: Index,
    /// Its newest put.
    pub modified: Index,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Bytes,
    /// Since when.
    pub version: Version,
}

/// Some consecutive keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Keys, and what each stands for.
    pub keys: Vec<(Bytes, Found)>,
    /// The key to go on from, if there are more.
    pub next: Option<Bytes>,
}

/// The replicated state. Invariants: `entries` holds all that was done by applied commands from `first` on; `keys` has
/// every key that stands for something, with the index of its newest put, which is among the entries, or its value is
/// among those that outlived their entry.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    applied: Index,
    /// Log time: the highest stamp so far.
    time_ms: u64,
    entries: Entries,
    /// Entries below are dropped; 0 if none ever was.
    first: Index,
    /// How many entries are kept at least.
    least_kept: Option<NonZeroU64>,
    keys: OrdMap<Arc<[u8]>, Version>,
    /// The values of the keys whose newest put is below `first`.
    outlived: OrdMap<Arc<[u8]>, Bytes>,
    table: Table,
}

impl Machine {
    /// Applies the next committed entry. The reply to it, if it is a client's.
    ///
    /// # Errors
    /// [`Unreadable`] if a newer version wrote it; the state is then as before.
    ///
    /// # Panics
    /// If it is not the next, or its command is lost.
    pub fn apply(&mut self, entry: &Entry) -> Result<Option<Reply>, Unreadable> {
        assert_eq!(entry.index(), self.applied.next(), "entries are applied in order, each once");
        assert!(!entry.is_decayed(), "a command that the disk has lost is not applied: {}", entry.id());
        let mut reply = None;
        if let Payload::Command(command) = entry.payload() {
            let unreadable = |why| Unreadable { id: entry.id(), why };
            let envelope =
                Envelope::decode(command.clone()).map_err(|error| unreadable(Malformed::Envelope(error)))?;
            let command = Command::decode(&envelope.body).map_err(unreadable)?;
            reply = Some(self.command(entry.id(), envelope, &command));
            self.drop_oldest();
        }
        self.applied = entry.index();
        Ok(reply)
    }

    fn command(&mut self, id: EntryId, envelope: Envelope, command: &Command) -> Reply {
        let Envelope { time_ms, key, body } = envelope;
        self.time_ms = self.time_ms.max(time_ms);
        let now = if self.table.planted(Bug::StampIsLogTime) { time_ms } else { self.time_ms };
        self.table.pass(now);
        // A mark is no client's, and nothing that is kept.
        let Some(key) = key.filter(|_| *command != Command::Mark).map(|key| Key::of(&key)) else {
            return Reply { id, replayed: false, verdict: self.carry_out(id, &body, command) };
        };
        let request = hash::bytes(&body);
        if let Some(reply) = self.table.answer(&key, request, id, now) {
            return reply;
        }
        let verdict = self.carry_out(id, &body, command);
        self.table.record(key, Row { id, time_ms: now, request, verdict });
        Reply { id, replayed: false, verdict }
    }

    fn carry_out(&mut self, id: EntryId, body: &Bytes, command: &Command) -> Verdict {
        match command {
            Command::One(operation) => {
                let bit = self.perform(id, operation);
                if bit.is_some() {
                    self.entries.push(id, body);
                }
                Verdict::Done { held: true, bits: u128::from(bit == Some(true)) }
            }
            Command::Many(operations) => Verdict::Done { held: true, bits: self.perform_all(id, operations) },
            Command::When { conditions, then, otherwise } => {
                match conditions.iter().find(|condition| !self.holds(condition)) {
                    None => Verdict::Done { held: true, bits: self.perform_all(id, then) },
                    Some(failed) if otherwise.is_empty() => {
                        Verdict::Failed { current: self.keys.get(&*failed.key).map(|key| key.modified) }
                    }
                    Some(_) => Verdict::Done { held: false, bits: self.perform_all(id, otherwise) },
                }
            }
            Command::Settings(retention) => {
                self.table.retention = *retention;
                Verdict::PLAIN
            }
            Command::Mark => Verdict::Marked,
            Command::KeepEntries(least) => {
                self.least_kept = *least;
                Verdict::PLAIN
            }
        }
    }

    /// Performs an operation, its entry apart: its bit in [`Verdict::Done`], or `None` if it had no effect.
    fn perform(&mut self, id: EntryId, operation: &Operation) -> Option<bool> {
        match operation {
            Operation::Append(_) => Some(false),
            Operation::Put { key, .. } => {
                let at = id.index;
                match self.keys.get_mut(&**key) {
                    Some(version) => {
                        if std::mem::replace(&mut version.modified, at) < self.first {
                            self.outlived.remove(&**key);
                        }
                        Some(false)
                    }
                    None => {
                        self.keys.insert(Arc::from(&**key), Version { created: at, modified: at });
                        Some(true)
                    }
                }
            }
            Operation::Delete { key } => {
                let version = self.keys.remove(&**key)?;
                if version.modified < self.first {
                    self.outlived.remove(&**key);
                }
                Some(true)
            }
        }
    }

    /// Performs operations in order, each seeing those before it. What had an effect becomes one entry.
    fn perform_all(&mut self, id: EntryId, operations: &[Operation]) -> u128 {
        let mut bits = 0;
        let mut done = Vec::with_capacity(operations.len());
        for (at, operation) in operations.iter().enumerate() {
            let Some(bit) = self.perform(id, operation) else { continue };
            if bit && at < 128 {
                bits |= 1 << at;
            }
            done.push(operation.clone());
        }
        if !done.is_empty() {
            let body = if done.len() == 1 { Command::One(done.remove(0)) } else { Command::Many(done) };
            self.entries.push(id, &body.encode());
        }
        bits
    }

    /// Drops entries that need not be kept. The values of keys stay.
    fn drop_oldest(&mut self) {
        let Some(least) = self.least_kept else { return };
        for _ in 0..BLOCKS_WITH_ONE_COMMAND {
            let Some(block) = self.entries.take_oldest(least) else { return };
            for (id, body) in block.from(Index(0)) {
                for operation in operations(&body) {
                    let Operation::Put { key, value } = operation else { continue };
                    if self.keys.get(&*key).is_some_and(|version| version.modified == id.index) {
                        // A copy, so that the block's memory is given back.
                        self.outlived.insert(Arc::from(&*key), Bytes::copy_from_slice(&value));
                    }
                }
            }
            self.first = block.last().index.next();
        }
    }

    fn holds(&self, condition: &Condition) -> bool {
        let version = self.keys.get(&*condition.key);
        match &condition.test {
            Test::Exists => version.is_some(),
            Test::Absent => version.is_none(),
            Test::Modified(index) => version.is_some_and(|version| version.modified == *index),
            Test::Value(value) => self.get(&condition.key).is_some_and(|found| found.value == *value),
        }
    }

    /// Up to where entries are applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Log time, in milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// How long idempotency keys are kept.
    pub fn retention(&self) -> Retention {
        self.table.retention
    }

    /// The first index of the clients' log: entries below are dropped.
    pub fn first(&self) -> Index {
        self.first.max(Index(1))
    }

    /// How many entries of the clients' log are kept, at least; without a number, all.
    pub fn least_kept(&self) -> Option<NonZeroU64> {
        self.least_kept
    }

    /// How many idempotency keys are kept now.
    pub fn known_keys(&self) -> u64 {
        self.table.len()
    }

    /// The idempotency keys that are kept now, in order: each with the index where its command took effect, and log time
    /// then.
    pub fn idempotency_keys(&self) -> impl Iterator<Item = (&Key, Index, u64)> {
        self.table.rows().map(|(key, row)| (key, row.id.index, row.time_ms))
    }

    /// The highest UUIDv7 that is not kept any more, as a number: an unknown one up to it is refused. 0 if none has left.
    pub fn horizon(&self) -> u128 {
        self.table.horizon()
    }

    /// What the key stands for.
    pub fn get(&self, key: &[u8]) -> Option<Found> {
        self.keys.get(key).map(|version| self.found(key, *version))
    }

    fn found(&self, key: &[u8], version: Version) -> Found {
        let value = self.value_at(key, version.modified).expect("a key stands for a put");
        Found { value, version }
    }

    /// The value of the key's last put, by the command at this index.
    fn value_at(&self, key: &[u8], at: Index) -> Option<Bytes> {
        if at < self.first {
            return self.outlived.get(key).cloned();
        }
        let body = self.entries.at(at)?;
        operations(&body).into_iter().rev().find_map(|operation| match operation {
            Operation::Put { key: put, value } if put == key => Some(value),
            _ => None,
        })
    }

    /// The keys that begin with `prefix`, from `start` on: at most `limit`, and no further one once they and their values
    /// hold `bytes` bytes.
    pub fn list(&self, prefix: &[u8], start: &[u8], limit: usize, bytes: usize) -> Listing {
        let mut room = bytes;
        let mut listing = Listing { keys: Vec::new(), next: None };
        let from = (Bound::Included(prefix.max(start)), Bound::Unbounded);
        for (key, version) in self.keys.range::<_, [u8]>(from) {
            if !key.starts_with(prefix) {
                break;
            }
            if listing.keys.len() >= limit || room == 0 {
                listing.next = Some(Bytes::copy_from_slice(key));
                break;
            }
            let found = self.found(key, *version);
            room = room.saturating_sub(key.len() + found.value.len());
            listing.keys.push((Bytes::copy_from_slice(key), found));
        }
        listing
    }

    /// The clients' log from an index on: at most `limit` entries, and no further one once they hold `bytes` bytes; a
    /// command's entries stay together.
    pub fn page(&self, from: Index, limit: usize, bytes: usize) -> Page {
        self.select(from, limit, bytes, |operation| !matches!(operation, Operation::Delete { .. }))
    }

    /// Like [`Machine::page`], of what is `wanted`. It may be cut short before anything wanted is found: go on from
    /// `next` until that is behind `applied`.
    pub fn select(
        &self,
        from: Index,
        limit: usize,
        bytes: usize,
        wanted: impl Fn(&Operation) -> bool,
    ) -> Page {
        let mut room = bytes;
        let mut records = Vec::new();
        let mut last = Index(0);
        for (id, body) in self.entries.from(from).take(LOOKED_AT) {
            if records.len() >= limit || room == 0 {
                break;
            }
            last = id.index;
            for operation in operations(&body).into_iter().filter(&wanted) {
                room = room.saturating_sub(operation.size());
                records.push(Record { id, operation });
            }
        }
        let more = last > Index(0) && last < self.entries.last().index;
        let next = if more { last.next() } else { from.max(self.applied.next()) };
        Page { records, next, applied: self.applied, first: self.first() }
    }

    /// As if a snapshot had no idempotency keys: a bug that the simulator plants.
    #[cfg(feature = "planted")]
    pub fn forget_keys(&mut self) {
        self.table = Table::with(self.table.retention, Index(0), 0);
    }

    /// From now on it behaves as if written with this bug.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: Bug) {
        self.table.bug = Some(bug);
    }

    /// How many entries, keys and idempotency keys there are.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (self.entries.count(), self.keys.len() as u64, self.table.len())
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + use<'_> {
        self.entries.blocks()
    }

    /// All keys in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], Version)> {
        self.keys.iter().map(|(key, version)| (key.as_ref(), *version))
    }

    /// What was dropped of the log: see the fields; `None` if nothing was and nothing will be.
    pub(crate) fn dropped(&self) -> Option<(Index, Option<NonZeroU64>)> {
        (self.first > Index(0) || self.least_kept.is_some()).then_some((self.first, self.least_kept))
    }

    /// The values that outlived their entry, in the order of their keys.
    pub(crate) fn outlived(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.outlived.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// Takes in what a snapshot says of the log's beginning.
    pub(crate) fn restore_dropped(&mut self, first: Index, least_kept: Option<NonZeroU64>) {
        (self.first, self.least_kept) = (first, least_kept);
    }

    /// Takes in a value of a snapshot that outlived its entry; `false` if there is one of this key.
    pub(crate) fn restore_outlived(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.outlived.insert(Arc::from(key), Bytes::copy_from_slice(value)).is_none()
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Takes in a block of a snapshot, which the commands of were read before.
    ///
    /// # Panics
    /// If it doesn't follow on what is there.
    pub(crate) fn restore_block(&mut self, block: Block) {
        self.entries.push_block(block);
    }

    /// Takes in a key of a snapshot; `false` if there is no put of it at that index.
    pub(crate) fn restore_key(&mut self, key: &[u8], version: Version) -> bool {
        let stands = self.value_at(key, version.modified).is_some() && version.created <= version.modified;
        stands && self.keys.insert(Arc::from(key), version).is_none()
    }

    /// Takes in what a snapshot says beside entries and keys.
    pub(crate) fn restore_table(&mut self, time_ms: u64, table: Table) {
        (self.time_ms, self.table) = (time_ms, table);
    }

    /// Takes in an idempotency key of a snapshot; `false` if it can't be one.
    pub(crate) fn restore_row(&mut self, key: Key, row: Row) -> bool {
        row.time_ms <= self.time_ms && self.table.restore(key, row)
    }

    /// The state of a snapshot, once all of it was taken in.
    pub(crate) fn restored(self, applied: Index) -> Machine {
        Machine { applied, ..self }
    }
}

/// What the command that stands for an entry did: it was read before, when it was applied or restored.
pub(crate) fn operations(body: &Bytes) -> Vec<Operation> {
    recorded(body).expect("only what can be read gets into the state")
}

/// Reads an entry of the state: one operation or several.
pub(crate) fn recorded(body: &Bytes) -> Result<Vec<Operation>, Malformed> {
    match Command::decode(body)? {
        Command::One(operation) => Ok(vec![operation]),
        Command::Many(operations) => Ok(operations),
        Command::When { .. } | Command::Settings(_) | Command::Mark | Command::KeepEntries(_) => {
            Err(Malformed::Tag(body[0]))
        }
    }
}

#[cfg(test)]
mod tests;
