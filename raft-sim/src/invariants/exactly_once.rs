//! A command that a client repeats with its idempotency key takes effect once, as long as its key is kept: every application
//! answers a repetition with the place and the verdict of the first one, whatever was restored from a snapshot in between;
//! another command with the key is refused. What a key's fate is at each place of the log, a table of plain rows tells.
//!
//! What was promised to clients is looked at once more, by nothing but what took effect when: a UUIDv7 never does twice, no
//! other key does twice within its window, and none is forgotten before its least time.

mod effects;

use super::key_table::{Fate, Name, Table};
use super::{Broken, Verdict, demand};
use crate::coverage::{Coverage, Mark};
use crate::facts::Class;
use crate::naming::settings;
use effects::Effects;
use raft_core::{Entry, EntryId, Envelope, Index, NodeId, Payload};
use raft_machine::{Reply, Verdict as Decided};

/// The name of this invariant.
pub const NAME: &str = "exactly_once";
/// The name of the invariant that every application keeps the same keys.
pub const TABLES: &str = "key_tables";

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it repeats another, or was refused.
    None,
    /// What it says.
    Once,
    /// What it says, and so did an earlier one of the same client's command, whose key has left meanwhile.
    Again,
}

/// An entry of the log, and what the first application that applied it has decided.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: EntryId,
    fate: Option<Fate>,
    decided: Option<Decided>,
    /// The digest of the table behind it.
    table: u64,
}

/// What must become of each command, and what became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once {
    table: Table,
    /// By index, from 1 on.
    places: Vec<Place>,
    effects: Effects,
}

impl Once {
    /// The next entry is committed: what it does.
    pub(crate) fn committed(&mut self, entry: &Entry, coverage: &mut Coverage) -> Result<Effect, Broken> {
        let mut place = Place { id: entry.id(), fate: None, decided: None, table: 0 };
        let mut effect = Effect::Once;
        if let Payload::Command(command) = entry.payload()
            && let Ok(envelope) = Envelope::decode(command.clone())
        {
            let fate = self.table.command(entry.id(), &envelope, coverage);
            place.fate = Some(fate);
            if let Some(retention) = settings(&envelope.body) {
                self.effects.keep(entry.index(), retention);
            }
            if let Some(key) = envelope.key {
                let (now, name) = (self.table.time_ms(), Name::of(&key));
                effect = self.effects.took(entry.id(), now, name, envelope.body, fate)?;
            }
        }
        place.table = self.table.digest();
        self.places.push(place);
        if effect == Effect::Again {
            coverage.reach(Mark::KeysAppliedAnew);
        }
        Ok(effect)
    }

    fn place(&self, at: Index) -> Option<Place> {
        self.places.get(super::chain::position(at).checked_sub(1)?).copied()
    }

    /// An application says what became of the command at an index.
    pub(crate) fn replied(
        &mut self,
        node: NodeId,
        at: Index,
        reply: &Reply,
        coverage: &mut Coverage,
    ) -> Verdict {
        let place = self.place(at);
        let first = match place.and_then(|place| place.fate) {
            Some(Fate::Repeats(first)) => self.place(first.index),
            _ => place,
        };
        let decided = first.and_then(|first| first.decided);
        let done =
            |verdict| matches!(verdict, Decided::Done { .. }) && decided.is_none_or(|it| it == verdict);
        let right = match (place.and_then(|place| place.fate), reply) {
            (Some(Fate::Done), &Reply { replayed: false, verdict, .. }) => done(verdict),
            (Some(Fate::Repeats(_)), &Reply { replayed: true, verdict, .. }) => {
                coverage.reach(Mark::Replays);
                done(verdict)
            }
            (Some(Fate::Refused(refused)), Reply { replayed: false, verdict, .. }) => refused == *verdict,
            _ => false,
        };
        demand(right && first.map(|first| first.id) == Some(reply.id), NAME, Class::Safety, || {
            format!(
                "node {node} applies the command at {at} and replies {reply:?}; it should be {place:?}, by {first:?}"
            )
        })?;
        if let Some(place) = self.places.get_mut(super::chain::position(at).saturating_sub(1)) {
            place.decided = Some(reply.verdict);
        }
        Ok(())
    }

    /// An application that has applied everything up to an index keeps the keys that this is the digest of.
    pub(crate) fn keeps(&self, node: NodeId, at: Index, table: u64) -> Verdict {
        let right = self.place(at).map_or(Table::default().digest(), |place| place.table);
        demand(table == right, TABLES, Class::Safety, || {
            format!("node {node} keeps keys at {at} with the digest {table:016x}; it should be {right:016x}")
        })
    }
}

#[cfg(test)]
mod tests;
