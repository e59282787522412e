//! What clients ask for, to bytes and back.

use crate::condition::Condition;
use crate::dedupe::Retention;
use crate::operation::{Operation, decode_all, encode_all, put_length, take_counted, take_u32, take_u64};
use bytes::{BufMut, Bytes, BytesMut};
use raft_core::EntryId;
use raft_core::envelope::EnvelopeError;
use std::num::NonZeroU64;

/// What a client asks the cluster to do, as it stands in an envelope's body: a tag byte, and then
///
/// | tag | command | after the tag |
/// |---|---|---|
/// | 1, 2, 3 | one [`Operation`], whose tag it is | see there |
/// | 4 | several operations | each with its length (u32) before it |
/// | 5 | several, if conditions hold | how many conditions (u32), these; length (u32) of the operations then; these; those otherwise |
/// | 6 | settings of the table of keys | window u64, least u64, keys u64 |
/// | 7 | mark: every replica takes the digest of its state here | |
/// | 8 | how much is kept of the clients' log | entries u64, 0 for all |
///
/// All numbers are little-endian. A tag never changes its meaning; a new command takes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One change.
    One(Operation),
    /// Several changes, all at once.
    Many(Vec<Operation>),
    /// Some changes if all conditions hold, and others if not.
    When {
        /// The conditions.
        conditions: Vec<Condition>,
        /// What is done if all hold.
        then: Vec<Operation>,
        /// What is done otherwise. If this is nothing, the command fails instead.
        otherwise: Vec<Operation>,
    },
    /// What is kept of the keys from now on. A leader writes it when its own settings are others: they decide what a
    /// command does, so they must be the same on every replica.
    Settings(Retention),
    /// Take the digest of the state, which the replicas compare.
    Mark,
    /// From now on this many of the newest entries of the clients' log are kept, at least; without a number, all. A
    /// leader writes it when its own setting is another.
    KeepEntries(Option<NonZeroU64>),
}

const MANY: u8 = 4;
const WHEN: u8 = 5;
const SETTINGS: u8 = 6;
const MARK: u8 = 7;
const KEEP_ENTRIES: u8 = 8;

impl From<Operation> for Command {
    fn from(operation: Operation) -> Command {
        Command::One(operation)
    }
}

impl Command {
    /// The body of the command's envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Command::One(operation) => {
                out.reserve(operation.encoded());
                operation.encode(&mut out);
            }
            Command::Many(operations) => {
                out.put_u8(MANY);
                encode_all(operations, &mut out);
            }
            Command::When { conditions, then, otherwise } => {
                out.put_u8(WHEN);
                put_length(&mut out, conditions.len());
                conditions.iter().for_each(|condition| condition.encode(&mut out));
                put_length(&mut out, then.iter().map(|operation| 4 + operation.encoded()).sum());
                encode_all(then, &mut out);
                encode_all(otherwise, &mut out);
            }
            Command::Settings(Retention { window_ms, least_ms, keys }) => {
                out.put_u8(SETTINGS);
                for number in [window_ms, least_ms, keys] {
                    out.put_u64_le(*number);
                }
            }
            Command::Mark => out.put_u8(MARK),
            Command::KeepEntries(least) => {
                out.put_u8(KEEP_ENTRIES);
                out.put_u64_le(least.map_or(0, NonZeroU64::get));
            }
        }
        out.freeze()
    }

    /// Reads what [`Command::encode`] wrote; the parts share `body`'s memory.
    pub(crate) fn decode(body: &Bytes) -> Result<Command, Malformed> {
        let mut rest = body.slice(body.len().min(1)..);
        let command = match body.first() {
            Some(&MANY) => return Ok(Command::Many(decode_all(rest)?)),
            Some(&WHEN) => {
                let count = take_u32(&mut rest)?;
                let conditions =
                    (0..count).map(|_| Condition::take(&mut rest)).collect::<Result<_, Malformed>>()?;
                let then = decode_all(take_counted(&mut rest)?)?;
                return Ok(Command::When { conditions, then, otherwise: decode_all(rest)? });
            }
            Some(&SETTINGS) => Command::Settings(Retention {
                window_ms: take_u64(&mut rest)?,
                least_ms: take_u64(&mut rest)?,
                keys: take_u64(&mut rest)?,
            }),
            Some(&MARK) => Command::Mark,
            Some(&KEEP_ENTRIES) => Command::KeepEntries(NonZeroU64::new(take_u64(&mut rest)?)),
            _ => return Operation::decode(body).map(Command::One),
        };
        if rest.is_empty() { Ok(command) } else { Err(Malformed::Long) }
    }
}

/// A committed command that this version can't read. Skipping it would let nodes differ, so the node stops.
#[derive(Debug, thiserror::Error)]
#[error("the committed entry {id} can't be applied: {why}; run the newest httpraft on this data directory")]
pub struct Unreadable {
    /// Which entry.
    pub id: EntryId,
    /// Why.
    pub why: Malformed,
}

/// Why bytes are no command.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// A tag that this version doesn't know.
    #[error("it has the tag {0}, which this version doesn't know")]
    Tag(u8),
    /// It ends within a field.
    #[error("it is cut off")]
    Short,
    /// It goes on where it should end.
    #[error("it goes on behind its end")]
    Long,
    /// What it is wrapped in can't be read.
    #[error("{0}")]
    Envelope(EnvelopeError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Test;
    use proptest::prelude::*;
    use raft_core::Index;

    fn some_bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from)
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            some_bytes().prop_map(Operation::Append),
            (some_bytes(), some_bytes()).prop_map(|(key, value)| Operation::Put { key, value }),
            some_bytes().prop_map(|key| Operation::Delete { key }),
        ]
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let test = prop_oneof![
            Just(Test::Exists),
            Just(Test::Absent),
            any::<u64>().prop_map(|at| Test::Modified(Index(at))),
            some_bytes().prop_map(Test::Value),
        ];
        (some_bytes(), test).prop_map(|(key, test)| Condition { key, test })
    }

    fn command() -> impl Strategy<Value = Command> {
        let operations = || prop::collection::vec(operation(), 0..4);
        prop_oneof![
            operation().prop_map(Command::One),
            operations().prop_map(Command::Many),
            (prop::collection::vec(condition(), 0..4), operations(), operations())
                .prop_map(|(conditions, then, otherwise)| Command::When { conditions, then, otherwise }),
            any::<[u64; 3]>().prop_map(|[window_ms, least_ms, keys]| {
                Command::Settings(Retention { window_ms, least_ms, keys })
            }),
            Just(Command::Mark),
            any::<u64>().prop_map(|least| Command::KeepEntries(NonZeroU64::new(least))),
        ]
    }

    proptest! {
        #[test]
        fn a_command_survives_its_bytes(command in command()) {
            prop_assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }

        #[test]
        fn any_bytes_are_a_command_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(command) = Command::decode(&bytes.into()) {
                prop_assert_eq!(Command::decode(&command.encode()).unwrap(), command);
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let put = Operation::Put { key: Bytes::from_static(b"key"), value: Bytes::new() };
        let whole = Command::Many(vec![put]).encode();
        for cut in [0, 2, 5, 9, whole.len() - 1] {
            assert!(Command::decode(&whole.slice(..cut)).is_err(), "cut at {cut}");
        }
    }
}
