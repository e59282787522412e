//! The replicated application: the clients' entries in the order of the log, and the view of the puts among them as a
//! map from keys to values. Every node applies the same commands in the same order, so all hold the same state.

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::envelope::{Envelope, EnvelopeError};
use raft_core::{Entry, EntryId, Index, Payload};
use std::collections::HashMap;

/// What a client asks the cluster to do, as it stands in an envelope's body: a tag byte, and then
///
/// | tag | operation | after the tag |
/// |---|---|---|
/// | 1 | append | the entry's bytes |
/// | 2 | put | length of the key u32 little-endian, key, value |
///
/// A tag never changes its meaning; a new operation takes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Append an entry to the clients' log.
    Append(Bytes),
    /// Append `key:value` to the clients' log, and let the key stand for the value.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
}

const APPEND: u8 = 1;
const PUT: u8 = 2;

impl Command {
    /// The body of the command's envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(5 + self.size());
        match self {
            Command::Append(entry) => {
                out.put_u8(APPEND);
                out.put_slice(entry);
            }
            Command::Put { key, value } => {
                out.put_u8(PUT);
                out.put_u32_le(u32::try_from(key.len()).expect("a request's body is far below 4 GiB"));
                out.put_slice(key);
                out.put_slice(value);
            }
        }
        out.freeze()
    }

    /// Reads what [`Command::encode`] wrote; the parts share `body`'s memory.
    fn decode(body: &Bytes) -> Result<Command, Malformed> {
        match body.split_first() {
            Some((&APPEND, _)) => Ok(Command::Append(body.slice(1..))),
            Some((&PUT, rest)) => {
                let (length, _) = rest.split_first_chunk::<4>().ok_or(Malformed::Short)?;
                let key_end = 5 + u32::from_le_bytes(*length) as usize;
                if body.len() < key_end {
                    return Err(Malformed::Short);
                }
                Ok(Command::Put { key: body.slice(5..key_end), value: body.slice(key_end..) })
            }
            Some((&tag, _)) => Err(Malformed::Tag(tag)),
            None => Err(Malformed::Short),
        }
    }

    /// How many of the client's bytes the command carries.
    fn size(&self) -> usize {
        match self {
            Command::Append(entry) => entry.len(),
            Command::Put { key, value } => key.len() + value.len(),
        }
    }

    /// The entry as a client reads it: a put is `key:value`.
    pub fn text(&self) -> Bytes {
        match self {
            Command::Append(entry) => entry.clone(),
            Command::Put { key, value } => [key.as_ref(), b":", value.as_ref()].concat().into(),
        }
    }
}

/// A committed command that this version can't read. Skipping it would let nodes differ, so the node stops.
#[derive(Debug, thiserror::Error)]
#[error("the committed entry {id} can't be applied: {why}; run the newest httpraft on this data directory")]
pub struct Unreadable {
    id: EntryId,
    why: Malformed,
}

#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("its operation has the tag {0}, which this version doesn't know")]
    Tag(u8),
    #[error("its operation is cut off")]
    Short,
    #[error("{0}")]
    Envelope(EnvelopeError),
}

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

/// The replicated state. Invariants: `records` is in the order of the log and holds every applied client entry;
/// `values` is what the puts among them leave.
#[derive(Debug, Default)]
pub struct Machine {
    applied: Index,
    records: Vec<Record>,
    values: HashMap<Bytes, Bytes>,
}

impl Machine {
    /// Applies the next committed entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Unreadable> {
        assert_eq!(entry.index(), self.applied.next(), "entries are applied in order, each once");
        if let Payload::Command(command) = entry.payload() {
            let command = Envelope::decode(command.clone())
                .map_err(Malformed::Envelope)
                .and_then(|envelope| Command::decode(&envelope.body))
                .map_err(|why| Unreadable { id: entry.id(), why })?;
            if let Command::Put { key, value } = &command {
                self.values.insert(key.clone(), value.clone());
            }
            self.records.push(Record { id: entry.id(), command });
        }
        self.applied = entry.index();
        Ok(())
    }

    /// Up to where entries are applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The key's value.
    pub fn value(&self, key: &[u8]) -> Option<Bytes> {
        self.values.get(key).cloned()
    }

    /// The client entries from an index on: at most `limit`, and no further one once they hold `bytes` bytes.
    pub fn page(&self, from: Index, limit: usize, bytes: usize) -> Page {
        let start = self.records.partition_point(|record| record.id.index < from);
        let mut room = bytes;
        let mut records = Vec::new();
        let mut rest = self.records.iter().skip(start);
        while records.len() < limit && room > 0 {
            let Some(record) = rest.next() else { break };
            room = room.saturating_sub(record.command.size());
            records.push(record.clone());
        }
        let next = match records.last() {
            Some(last) if rest.next().is_some() => last.id.index.next(),
            _ => from.max(self.applied.next()),
        };
        Page { records, next, applied: self.applied }
    }
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
    fn a_command_survives_its_bytes() {
        for command in [append(""), append("a:b"), put("", ""), put("k:1", "v:2:3"), put("k", "")] {
            assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }
        assert!(Command::decode(&put("key", "").encode().slice(..6)).is_err());
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
