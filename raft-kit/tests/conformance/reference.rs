//! A storage in as few lines as will do, in memory: one log file that is appended to and rewritten when the log is released,
//! and a file for each snapshot. And the mistakes that it can be told to make.

use bytes::Bytes;
use raft_core::{
    Base, DiskId, Entry, EntryId, Fetch, HardState, Index, Log, Membership, NodeId, Payload, Persisted,
    Recovered, Snapshot, Store, Stored, Term, Update, Write, hash,
};
use raft_kit::{Driver, Memory, Opened, Storage};

/// What can be got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    ReceiptBeforeSync,
    NewFileWithoutDirectorySync,
    RenameWithoutDirectorySync,
    RenameBeforeSync,
    TornRecordAccepted,
    TornTailKept,
    TornTailRefused,
    TruncationForgotten,
    VoteForgotten,
    WriteSplit,
    ReleasedTooFar,
    SnapshotBeforeSync,
    PartTakenForWhole,
    OldSnapshotDeletedEarly,
    SnapshotOfAnotherLog,
    LogGoesFirst,
}

impl Mistake {
    pub(crate) const ALL: [Mistake; 16] = [
        Mistake::ReceiptBeforeSync,
        Mistake::NewFileWithoutDirectorySync,
        Mistake::RenameWithoutDirectorySync,
        Mistake::RenameBeforeSync,
        Mistake::TornRecordAccepted,
        Mistake::TornTailKept,
        Mistake::TornTailRefused,
        Mistake::TruncationForgotten,
        Mistake::VoteForgotten,
        Mistake::WriteSplit,
        Mistake::ReleasedTooFar,
        Mistake::SnapshotBeforeSync,
        Mistake::PartTakenForWhole,
        Mistake::OldSnapshotDeletedEarly,
        Mistake::SnapshotOfAnotherLog,
        Mistake::LogGoesFirst,
    ];
}

/// The hashes of all entries that were applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct State(Vec<u8>);

/// The driver, with the mistake that it makes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reference(pub(crate) Option<Mistake>);

/// The open storage.
#[derive(Debug)]
pub(crate) struct Files {
    files: Memory,
    mistake: Option<Mistake>,
    /// The log file and its end.
    log: u64,
    end: u64,
    /// What it holds.
    content: Recovered,
    released: Index,
    /// A snapshot that arrives.
    partial: Option<(Snapshot, Vec<u8>)>,
}

const LOG: &str = "log";
const NEW: &str = "log.new";
const ARRIVING: &str = "snapshot.new";

fn name(last: EntryId) -> String {
    format!("snapshot-{}-{}", last.index.0, last.term.0)
}

/// Takes numbers and bytes off the beginning; `None` if there are not enough.
struct Reader(Bytes);

impl Reader {
    fn bytes(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn word(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.as_ref().try_into().ok()?))
    }

    fn sized(&mut self) -> Option<Bytes> {
        let length = self.word()?;
        self.bytes(usize::try_from(length).ok()?)
    }

    /// An id, a hash and bytes.
    fn base(&mut self) -> Option<Base> {
        let (index, term, hash) = (self.word()?, self.word()?, self.word()?);
        Some(Base { id: EntryId::new(term, index), hash, membership: Membership::decode(&self.sized()?)? })
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn base(&mut self, base: &Base) {
        [base.id.index.0, base.id.term.0, base.hash].into_iter().for_each(|word| self.word(word));
        self.sized(&base.membership.encode());
    }
}

fn encode(update: &Update) -> Vec<u8> {
    let mut out = Writer::default();
    out.word(u64::from(update.hard.is_some()));
    if let Some(hard) = update.hard {
        let vote = hard.vote.map_or(0, |vote| vote.0 + 1);
        [hard.term.0, vote, hard.boot.0].into_iter().for_each(|word| out.word(word));
    }
    out.word(u64::from(update.base.is_some()));
    update.base.iter().for_each(|base| out.base(base));
    out.word(update.keep.map_or(0, |keep| keep.0 + 1));
    out.word(update.entries.len() as u64);
    for entry in &update.entries {
        let words = [entry.index().0, entry.term().0, u64::from(entry.payload().kind())];
        words.into_iter().for_each(|word| out.word(word));
        out.sized(&entry.payload().encoded());
    }
    out.0
}

fn decode(bytes: Bytes) -> Option<Update> {
    let mut from = Reader(bytes);
    let mut update = Update::default();
    if from.word()? == 1 {
        let (term, vote, boot) = (Term(from.word()?), from.word()?, raft_core::Boot(from.word()?));
        update.hard = Some(HardState { term, vote: vote.checked_sub(1).map(NodeId), boot });
    }
    if from.word()? == 1 {
        update.base = Some(from.base()?);
    }
    update.keep = from.word()?.checked_sub(1).map(Index);
    for _ in 0..from.word()? {
        let (index, term, kind) = (from.word()?, from.word()?, from.word()? as u8);
        let payload = Payload::decode(kind, from.sized()?)?;
        update.entries.push(Entry::new(EntryId::new(term, index), payload));
    }
    Some(update)
}

/// Length, hash, content: the hash goes over the length, too.
fn record(content: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.word(hash::chain(hash::bytes(content), &[content.len() as u64]));
    out.sized(content);
    out.0
}

impl Files {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn take(&mut self, mut update: Update) {
        if self.makes(Mistake::TruncationForgotten)
            && let Some(keep) = update.keep.take()
        {
            update.entries.retain(|entry| {
                let stands = self.content.entries.iter().any(|old| old.index() == entry.index());
                entry.index() > keep && !stands
            });
        }
        let mut log = std::mem::take(&mut self.content);
        log.hard = update.hard.unwrap_or(log.hard);
        if self.makes(Mistake::VoteForgotten) {
            log.hard.vote = None;
        }
        if let Some(base) = update.base {
            log.base = Some(base);
            log.entries.clear();
        }
        log.entries.retain(|entry| update.keep.is_none_or(|keep| entry.index() <= keep));
        log.entries.extend(update.entries);
        self.content = log;
    }

    fn sync_names(&self) {
        self.files.sync(self.files.open(""));
    }

    fn append(&mut self, content: &[u8]) {
        let record = record(content);
        self.files.write(self.log, self.end, &record);
        self.end += record.len() as u64;
    }

    /// Reads all whole records, and cuts what is behind them.
    fn read(&mut self) -> Result<(), String> {
        let bytes = Bytes::from(self.files.read(self.log).to_vec());
        loop {
            let mut from = Reader(bytes.slice(self.end as usize..));
            let left = from.0.len();
            let Some((sum, content)) = from.word().zip(from.sized()) else { break };
            let right = sum == hash::chain(hash::bytes(&content), &[content.len() as u64]);
            if !right && !self.makes(Mistake::TornRecordAccepted) {
                break;
            }
            let Some(update) = decode(content) else { break };
            self.take(update);
            self.end += (left - from.0.len()) as u64;
        }
        if self.end < bytes.len() as u64 {
            if self.makes(Mistake::TornTailRefused) {
                return Err("the log is damaged".into());
            }
            if !self.makes(Mistake::TornTailKept) {
                self.files.set_length(self.log, self.end);
            }
        }
        self.files.sync(self.log);
        Ok(())
    }

    /// Writes the log anew without what was released.
    fn rewrite(&mut self) {
        let log = Log::recovered(self.content.base.as_ref(), self.content.entries.iter().cloned());
        let Some(base) = log.base_at(self.released).filter(|base| base.id > log.base()) else { return };
        self.content.entries.retain(|entry| entry.index() > base.id.index);
        self.content.base = Some(base.clone());
        let entries = self.content.entries.clone();
        let whole = Update { hard: Some(self.content.hard), base: Some(base), keep: None, entries };
        (self.log, self.end) = (self.files.create(NEW), 0);
        self.append(&encode(&whole));
        if !self.makes(Mistake::RenameBeforeSync) {
            self.files.sync(self.log);
        }
        if self.makes(Mistake::LogGoesFirst) {
            self.files.delete(LOG);
        }
        self.files.rename(NEW, LOG);
        if !self.makes(Mistake::RenameWithoutDirectorySync) {
            self.sync_names();
        }
    }

    fn snapshots(&self) -> Vec<(String, Snapshot, State)> {
        let named = |name: String| {
            let bytes = Bytes::from(self.files.read(self.files.open(&name)).to_vec());
            let mut from = Reader(bytes);
            let base = from.base()?;
            let state = State(from.0.to_vec());
            let (snapshot, _) = Reference(None).encode(&state, &base);
            Some((name, snapshot, state))
        };
        self.files.list().into_iter().filter(|name| name.starts_with("snapshot-")).filter_map(named).collect()
    }

    /// Those that are older than this go.
    fn prune(&self, last: EntryId) {
        for (name, snapshot, _) in self.snapshots() {
            if snapshot.last() < last {
                self.files.delete(&name);
            }
        }
    }

    fn keep(&mut self, last: EntryId, bytes: &[u8]) {
        if self.files.list().iter().any(|name| name == ARRIVING) {
            self.files.delete(ARRIVING);
        }
        let file = self.files.create(ARRIVING);
        self.files.write(file, 0, bytes);
        if !self.makes(Mistake::SnapshotBeforeSync) {
            self.files.sync(file);
        }
        self.files.rename(ARRIVING, &name(last));
        self.sync_names();
        if self.makes(Mistake::OldSnapshotDeletedEarly) {
            self.prune(last);
        }
    }
}

impl Driver for Reference {
    type Medium = Memory;
    type State = State;
    type Storage = Files;

    fn open(&self, medium: &Memory) -> Result<Opened<Files>, String> {
        let (files, mistake) = (medium.clone(), self.0);
        let new = !files.list().iter().any(|name| name == LOG);
        let log = if new { files.create(LOG) } else { files.open(LOG) };
        let content = Recovered::default();
        let mut storage = Files { files, mistake, log, end: 0, content, released: Index(0), partial: None };
        if mistake != Some(Mistake::NewFileWithoutDirectorySync) {
            storage.sync_names();
        }
        storage.read()?;
        let snapshots = storage.snapshots();
        let mut recovered = storage.content.clone();
        recovered.snapshot = recovered.newest(snapshots.iter().map(|(_, snapshot, _)| snapshot)).cloned();
        if mistake == Some(Mistake::SnapshotOfAnotherLog) {
            recovered.snapshot = snapshots
                .iter()
                .map(|(_, snapshot, _)| snapshot)
                .max_by_key(|snapshot| snapshot.last())
                .cloned();
        }
        let restored =
            snapshots.into_iter().find(|(_, snapshot, _)| Some(snapshot) == recovered.snapshot.as_ref());
        let state = restored.map(|(.., state)| state).unwrap_or_default();
        Ok(Opened { storage, recovered, state, disk: DiskId(7) })
    }

    fn apply(&self, state: &mut State, entry: &Entry) {
        state.0.extend_from_slice(&hash::chain(entry.hash(), &[entry.index().0]).to_le_bytes().repeat(8));
    }

    fn encode(&self, state: &State, base: &Base) -> (Snapshot, Bytes) {
        let mut out = Writer::default();
        out.base(base);
        out.0.extend_from_slice(&state.0);
        let snapshot = Snapshot { base: base.clone(), size: out.0.len() as u64, digest: hash::bytes(&out.0) };
        (snapshot, out.0.into())
    }
}

impl Storage for Files {
    type State = State;

    fn persist(&mut self, writes: Vec<Write>) -> Result<Vec<Persisted>, String> {
        if self.released > Index(0) {
            self.rewrite();
            self.released = Index(0);
        }
        for write in &writes {
            let update = write.update();
            if self.makes(Mistake::WriteSplit) && update.hard.is_some() {
                let hard = Update { hard: update.hard, ..Update::default() };
                let rest = Update { hard: None, ..update.clone() };
                self.append(&encode(&hard));
                self.append(&encode(&rest));
            } else {
                self.append(&encode(update));
            }
            self.take(update.clone());
        }
        if !self.makes(Mistake::ReceiptBeforeSync) {
            self.files.sync(self.log);
        }
        Ok(writes.into_iter().map(Write::persisted).collect())
    }

    fn release(&mut self, through: Index) {
        let further = u64::from(self.makes(Mistake::ReleasedTooFar));
        self.released = Index(through.0 + further);
    }

    fn capture(&mut self, base: Base, state: State) -> Result<Snapshot, String> {
        let (snapshot, bytes) = Reference(None).encode(&state, &base);
        self.keep(snapshot.last(), &bytes);
        self.prune(snapshot.last());
        Ok(snapshot)
    }

    fn store(&mut self, store: Store) -> Result<Stored, String> {
        let snapshot = store.snapshot().clone();
        let last = snapshot.last();
        if self.snapshots().iter().any(|(_, known, _)| *known == snapshot) {
            return Ok(store.stored(snapshot.size));
        }
        let same = self.partial.take().filter(|(partial, _)| *partial == snapshot);
        let mut bytes = same.map(|(_, bytes)| bytes).unwrap_or_default();
        if store.offset() == bytes.len() as u64 {
            bytes.extend_from_slice(store.data());
        }
        let have = bytes.len() as u64;
        if have == snapshot.size || self.makes(Mistake::PartTakenForWhole) {
            self.keep(last, &bytes);
        }
        self.partial = Some((snapshot, bytes));
        Ok(store.stored(have))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<State, String> {
        let found = self.snapshots().into_iter().find(|(_, known, _)| known == snapshot);
        let (.., state) = found.ok_or("the snapshot is gone")?;
        self.prune(snapshot.last());
        Ok(state)
    }

    fn read(&mut self, fetch: &Fetch) -> Result<Option<Bytes>, String> {
        let found = self.snapshots().into_iter().find(|(_, known, _)| known == fetch.snapshot());
        let from = fetch.offset() as usize;
        Ok(found.map(|(name, ..)| {
            let bytes = self.files.read(self.files.open(&name));
            Bytes::copy_from_slice(&bytes[from..from + fetch.length()])
        }))
    }
}
