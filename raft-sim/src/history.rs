//! What the clients asked and were told, and whether one order of all operations explains it (linearizability).
//!
//! Two opinions: the [`witness`] is the log itself and is asked at every answer; the [`search`] knows nothing of logs
//! and looks for any order at all, in small histories.

mod search;
#[cfg(test)]
mod tests;
mod witness;

use crate::coverage::{Coverage, Mark};
use crate::facts::{Action, Class, Key, OpId, Outcome, Time, Value};
use crate::invariants::exactly_once::Effect as Takes;
use crate::invariants::{Broken, Verdict, demand};
use raft_core::{Entry, Index, Payload};
use search::{Effect, Operation, Searched};
use std::collections::BTreeMap;
use witness::Witness;

/// The name of the invariant that the log's order explains the history.
pub(crate) const WITNESS: &str = "linearizable_by_log";
/// The name of the invariant that some order explains the history.
pub(crate) const SEARCH: &str = "linearizable";

/// The most operations on one key that are searched.
const SMALL: usize = 48;

/// An operation that was not answered yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    action: Action,
    invoked: Time,
    floor: Index,
}

/// The history of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    witness: Witness,
    open: BTreeMap<OpId, Open>,
    /// The operations on each key; those with too many are only counted on.
    keys: BTreeMap<Key, Vec<Operation>>,
}

impl History {
    /// An entry is committed, and takes effect like this.
    pub(crate) fn committed(&mut self, entry: &Entry, takes: Takes) -> Verdict {
        let Payload::Command(command) = entry.payload() else { return Ok(()) };
        let Some(Action::Put { key, value }) = Action::of(command) else { return Ok(()) };
        match takes {
            Takes::None => Ok(()),
            Takes::Once => self.witness.took_effect(key, value, entry.index()),
            Takes::Again => {
                self.again(key, value);
                self.witness.took_effect_again(key, value, entry.index())
            }
        }
    }

    /// A put takes effect once more: an operation of its own that began no earlier than the first one, and never ends.
    fn again(&mut self, key: Key, value: Value) {
        let known = self.keys.entry(key).or_default();
        let put = |effect| matches!(effect, Effect::Put { value: it, .. } if it == value);
        let ended = known.iter().find(|operation| put(operation.effect)).map(|it| it.invoked);
        let mut open = self.open.values().filter(|open| open.action == Action::Put { key, value });
        // Without either there are more operations on the key than are searched.
        let Some(invoked) = ended.or_else(|| open.next().map(|open| open.invoked)) else { return };
        if known.len() <= SMALL {
            known.push(Operation { invoked, returned: None, effect: Effect::Put { value, sure: false } });
        }
    }

    /// A client begins.
    pub(crate) fn invoked(&mut self, at: Time, op: OpId, action: Action) -> Verdict {
        let open = Open { action, invoked: at, floor: self.witness.floor() };
        demand(self.open.insert(op, open).is_none(), WITNESS, Class::Linearizability, || {
            format!("operation {} is invoked twice", op.0)
        })
    }

    /// A client is told.
    pub(crate) fn returned(&mut self, at: Time, op: OpId, outcome: Outcome, canon: Index) -> Verdict {
        let Some(open) = self.open.remove(&op) else {
            return demand(false, WITNESS, Class::Linearizability, || {
                format!("operation {} returns and is not open", op.0)
            });
        };
        self.record(&open, Some(at), outcome);
        self.witness.returned(op, open.action, open.floor, outcome, canon)
    }

    /// The run is over: whatever was not answered never will be.
    pub(crate) fn ended(&mut self, coverage: &mut Coverage) -> Verdict {
        for open in std::mem::take(&mut self.open).into_values() {
            self.record(&open, None, Outcome::Unknown);
        }
        self.witness.fates(coverage);
        for (key, operations) in self.keys.iter().filter(|(_, operations)| operations.len() <= SMALL) {
            match search::linearize(operations) {
                Searched::Found => coverage.reach(Mark::HistoriesSearched),
                Searched::GaveUp => coverage.reach(Mark::SearchesGivenUp),
                Searched::None => return Err(unexplained(*key, operations)),
            }
        }
        Ok(())
    }

    fn record(&mut self, open: &Open, returned: Option<Time>, outcome: Outcome) {
        let (key, effect) = match (open.action, outcome) {
            (Action::Put { key, value }, Outcome::Put { .. }) => (key, Effect::Put { value, sure: true }),
            (Action::Put { key, value }, Outcome::Unknown) => (key, Effect::Put { value, sure: false }),
            (Action::Get { key }, Outcome::Got { value, .. }) => (key, Effect::Get { value }),
            _ => return,
        };
        let operations = self.keys.entry(key).or_default();
        if operations.len() <= SMALL {
            operations.push(Operation { invoked: open.invoked, returned, effect });
        }
    }
}

fn unexplained(key: Key, operations: &[Operation]) -> Broken {
    let lines: Vec<String> = operations.iter().map(Operation::to_string).collect();
    Broken {
        invariant: SEARCH,
        class: Class::Linearizability,
        said: format!("no order of the operations on key {key} explains what was told: {}", lines.join("; ")),
    }
}
