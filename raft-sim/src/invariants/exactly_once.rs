//! A command that a client repeats with its idempotency key takes effect once: every application answers a repetition with
//! the place of the first one, whatever was restored from a snapshot in between.

use super::{Verdict, demand};
use crate::coverage::{Coverage, Mark};
use crate::facts::Class;
use bytes::Bytes;
use raft_core::{Entry, Envelope, Index, NodeId, Payload};
use raft_machine::{Reply, Verdict as Decided};
use std::collections::BTreeMap;

/// The name of this invariant.
pub const NAME: &str = "exactly_once";

/// Where each key's command is committed first, and which commands repeat it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once {
    first: BTreeMap<Bytes, Index>,
    repeats: BTreeMap<Index, Index>,
}

impl Once {
    /// The next entry is committed: whether it takes effect.
    pub(crate) fn committed(&mut self, entry: &Entry) -> bool {
        let Payload::Command(command) = entry.payload() else { return true };
        let Ok(Envelope { key: Some(key), .. }) = Envelope::decode(command.clone()) else { return true };
        let first = *self.first.entry(key).or_insert(entry.index());
        if first < entry.index() {
            self.repeats.insert(entry.index(), first);
        }
        first == entry.index()
    }

    /// An application says what became of the command at an index.
    pub(crate) fn replied(&self, node: NodeId, at: Index, reply: &Reply, coverage: &mut Coverage) -> Verdict {
        let first = self.repeats.get(&at).copied();
        if first.is_some() {
            coverage.reach(Mark::Replays);
        }
        let done = matches!(reply.verdict, Decided::Done { .. });
        let expected = (first.unwrap_or(at), first.is_some(), true);
        demand((reply.id.index, reply.replayed, done) == expected, NAME, Class::Safety, || match first {
            Some(first) => format!(
                "node {node} applies the command at {at}, which repeats that at {first}, and replies {reply:?}"
            ),
            None => {
                format!("node {node} applies the command at {at} for the first time, and replies {reply:?}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Action;
    use raft_core::EntryId;

    fn entry(index: u64, key: Option<&'static str>) -> Entry {
        let put = Action::Put { key: 1, value: 7 };
        let command = put.command(0, 0, key.map(Bytes::from)).unwrap();
        Entry::new(EntryId::new(1, index), Payload::Command(command))
    }

    #[test]
    fn a_repetition_is_answered_with_the_first_place() {
        let mut once = Once::default();
        let commands = [None, Some("a"), Some("b"), Some("a"), None];
        let effective: Vec<bool> =
            (1..).zip(commands).map(|(index, key)| once.committed(&entry(index, key))).collect();
        assert_eq!(effective, [true, true, true, false, true]);
        let judge = |at: u64, first: u64, replayed: bool, verdict| {
            let reply = Reply { id: EntryId::new(1, first), replayed, verdict };
            once.replied(NodeId(1), Index(at), &reply, &mut Coverage::default())
                .map_err(|broken| broken.invariant)
        };
        let done = Decided::Done { held: true, bits: 0 };
        assert_eq!(judge(2, 2, false, done), Ok(()));
        assert_eq!(judge(4, 2, true, done), Ok(()));
        assert_eq!(judge(4, 4, false, done), Err(NAME), "applied twice");
        assert_eq!(judge(4, 3, true, done), Err(NAME));
        assert_eq!(judge(5, 2, true, done), Err(NAME), "it was never applied");
        assert_eq!(judge(3, 3, false, Decided::Expired), Err(NAME));
    }
}
