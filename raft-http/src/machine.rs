//! The replicated application: the clients' entries in the order of the log, and the view of the puts among them as a
//! map from keys to values. Every node applies the same commands in the same order, so all hold the same state. It is
//! persistent in the sense of data structures: a clone is a frozen copy that shares nearly everything, made in no time.

mod block;
mod command;
mod entries;

pub(crate) use block::Block;
pub use command::{Command, Unreadable};

use bytes::Bytes;
use command::Malformed;
use entries::Entries;
use imbl::OrdMap;
use raft_core::envelope::Envelope;
use raft_core::{Entry, EntryId, Index, Payload};
use std::sync::Arc;

/// A client's entry, committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the entry stands in Raft's log.
    pub id: EntryId,
    /// What it holds.
    pub command: Command,
}

/// Some consecutive client entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub records: Vec<Record>,
    /// The index to go on from: after the last entry if more are there, otherwise after all that is applied.
    pub next: Index,
    /// The index up to which this node had applied when it made the page.
    pub applied: Index,
}

/// The replicated state. Invariants: `entries` holds every applied client entry; `keys` has every key that was put, with
/// the index of its newest put.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    applied: Index,
    entries: Entries,
    keys: OrdMap<Arc<[u8]>, Index>,
}

impl Machine {
    /// Applies the next committed entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Unreadable> {
        assert_eq!(entry.index(), self.applied.next(), "entries are applied in order, each once");
        if let Payload::Command(command) = entry.payload() {
            let unreadable = |why| Unreadable { id: entry.id(), why };
            let body = Envelope::decode(command.clone())
                .map_err(|error| unreadable(Malformed::Envelope(error)))?
                .body;
            if let Command::Put { key, .. } = Command::decode(&body).map_err(unreadable)? {
                self.put(&key, entry.index());
            }
            self.entries.push(entry.id(), &body);
        }
        self.applied = entry.index();
        Ok(())
    }

    fn put(&mut self, key: &[u8], at: Index) {
        match self.keys.get_mut(key) {
            Some(newest) => *newest = at,
            None => drop(self.keys.insert(Arc::from(key), at)),
        }
    }

    /// Up to where entries are applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The key's value.
    pub fn value(&self, key: &[u8]) -> Option<Bytes> {
        match self.command(*self.keys.get(key)?) {
            Some(Command::Put { value, .. }) => Some(value),
            other => panic!("a key stands for a put, not for {other:?}"),
        }
    }

    /// The client's command at an index, if there is one.
    fn command(&self, index: Index) -> Option<Command> {
        self.entries.at(index).map(|body| readable(&body))
    }

    /// The client entries from an index on: at most `limit`, and no further one once they hold `bytes` bytes.
    pub fn page(&self, from: Index, limit: usize, bytes: usize) -> Page {
        let mut room = bytes;
        let mut records = Vec::new();
        let mut rest = self.entries.from(from);
        while records.len() < limit && room > 0 {
            let Some((id, body)) = rest.next() else { break };
            let command = readable(&body);
            room = room.saturating_sub(command.size());
            records.push(Record { id, command });
        }
        let next = match records.last() {
            Some(last) if last.id < self.entries.last() => last.id.index.next(),
            _ => from.max(self.applied.next()),
        };
        Page { records, next, applied: self.applied }
    }

    /// How many client entries and how many keys there are.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.entries.count(), self.keys.len() as u64)
    }

    /// All client entries.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + use<'_> {
        self.entries.blocks()
    }

    /// All keys in order, each with the index of its newest put.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], Index)> {
        self.keys.iter().map(|(key, at)| (key.as_ref(), *at))
    }

    /// Takes in a block of a snapshot, which the commands of were read before.
    ///
    /// # Panics
    /// If it doesn't follow on what is there.
    pub(crate) fn restore_block(&mut self, block: Block) {
        self.entries.push_block(block);
    }

    /// Takes in a key of a snapshot; `false` if there is no put of it at that index.
    pub(crate) fn restore_key(&mut self, key: &[u8], at: Index) -> bool {
        let stands = matches!(self.command(at), Some(Command::Put { key: put, .. }) if put == key);
        stands && self.keys.insert(Arc::from(key), at).is_none()
    }

    /// The state of a snapshot, once all of it was taken in.
    pub(crate) fn restored(self, applied: Index) -> Machine {
        Machine { applied, ..self }
    }
}

/// A command that was read before, when it was applied or restored.
fn readable(body: &Bytes) -> Command {
    Command::decode(body).expect("only what can be read gets into the state")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str, value: &'static str) -> Command {
        Command::Put { key: Bytes::from_static(key.as_bytes()), value: Bytes::from_static(value.as_bytes()) }
    }

    fn append(text: &'static str) -> Command {
        Command::Append(Bytes::from_static(text.as_bytes()))
    }

    fn entry(index: u64, body: Bytes) -> Entry {
        let envelope = Envelope { time_ms: 1, key: None, body };
        Entry::new(EntryId::new(1, index), Payload::Command(envelope.encode()))
    }

    fn machine(commands: &[Command]) -> Machine {
        let mut machine = Machine::default();
        machine.apply(&Entry::new(EntryId::new(1, 1), Payload::Noop)).unwrap();
        for (index, command) in (2..).zip(commands) {
            machine.apply(&entry(index, command.encode())).unwrap();
        }
        machine
    }

    #[test]
    fn the_last_put_wins_and_every_put_is_an_entry() {
        let machine = machine(&[put("a", "1:2"), append("x"), put("a", "3")]);
        assert_eq!(machine.value(b"a").unwrap(), "3");
        assert_eq!(machine.value(b"b"), None);
        let texts: Vec<_> =
            machine.page(Index(1), 10, 1000).records.iter().map(|record| record.command.text()).collect();
        assert_eq!(texts, ["a:1:2", "x", "a:3"]);
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let machine = machine(&[append("aaaa"), append("bbbb"), append("cccc")]);
        let shape = |page: Page| {
            let indexes: Vec<_> = page.records.iter().map(|record| record.id.index.0).collect();
            (indexes, page.next.0)
        };
        assert_eq!(shape(machine.page(Index(0), 2, 1000)), (vec![2, 3], 4));
        assert_eq!(shape(machine.page(Index(4), 2, 1000)), (vec![4], 5));
        assert_eq!(
            shape(machine.page(Index(1), 10, 5)),
            (vec![2, 3], 4),
            "bytes end a page, after one entry at least"
        );
        assert_eq!(shape(machine.page(Index(9), 10, 1000)), (vec![], 9), "past the end");
    }

    #[test]
    fn an_unknown_operation_is_not_skipped() {
        let mut machine = machine(&[]);
        let error = machine.apply(&entry(2, Bytes::from_static(&[9]))).unwrap_err();
        assert!(error.to_string().contains("2@1") && error.to_string().contains("tag 9"), "{error}");
        assert_eq!(machine.applied(), Index(1));
    }
}
