//! The log's own order as the witness of linearizability: puts stand at their index, reads after the index that they
//! saw. It is an order of all operations; what is left to check, at each answer, is that it respects real time and
//! explains each answer. Both are constant or logarithmic in time.

use super::WITNESS;
use crate::coverage::{Coverage, Mark};
use crate::facts::{Action, Class, Key, OpId, Outcome, Value};
use crate::invariants::{Verdict, demand};
use raft_core::Index;
use std::collections::{BTreeMap, BTreeSet};

/// The committed puts, and what clients know.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    /// Each key's values, by the index where they were put.
    keys: BTreeMap<Key, Vec<(Index, Value)>>,
    put_at: BTreeMap<Value, Index>,
    /// Where else a value was put, by a command that was repeated when its key had left.
    put_again: BTreeSet<(Value, Index)>,
    not_applied: BTreeSet<Value>,
    unknown: BTreeSet<Value>,
    floor: Index,
}

impl Witness {
    /// The highest index that any client knows of: what is asked from now on comes after it.
    pub(super) fn floor(&self) -> Index {
        self.floor
    }

    /// A put is committed.
    pub(super) fn took_effect(&mut self, key: Key, value: Value, index: Index) -> Verdict {
        let refused = self.not_applied.contains(&value);
        demand(!refused, WITNESS, Class::Linearizability, || {
            format!(
                "the put of {value} to key {key} is committed at {index}; its client was told that it never will"
            )
        })?;
        let first = self.put_at.insert(value, index);
        demand(first.is_none(), WITNESS, Class::Linearizability, || {
            format!("the put of {value} to key {key} is committed at {first:?} and at {index}")
        })?;
        self.keys.entry(key).or_default().push((index, value));
        Ok(())
    }

    /// A put that had taken effect before is committed once more.
    pub(super) fn took_effect_again(&mut self, key: Key, value: Value, index: Index) -> Verdict {
        let first = self.put_at.get(&value);
        demand(first.is_some(), WITNESS, Class::Linearizability, || {
            format!("the put of {value} to key {key} is committed again at {index}, and was never before")
        })?;
        self.put_again.insert((value, index));
        self.keys.entry(key).or_default().push((index, value));
        Ok(())
    }

    /// A client is told of its operation, that was asked when `floor` was known.
    pub(super) fn returned(
        &mut self,
        op: OpId,
        action: Action,
        floor: Index,
        outcome: Outcome,
        canon: Index,
    ) -> Verdict {
        let fail = |said: String| {
            demand(false, WITNESS, Class::Linearizability, || format!("operation {}: {said}", op.0))
        };
        match (action, outcome) {
            (Action::Put { value, .. }, Outcome::Put { index }) => {
                let put_at = self.put_at.get(&value);
                if put_at != Some(&index) && !self.put_again.contains(&(value, index)) {
                    return fail(format!(
                        "the put of {value} is acknowledged at {index}, but stands at {put_at:?}"
                    ));
                }
                if index <= floor {
                    return fail(format!(
                        "the put of {value} stands at {index}; {floor} was known before it was asked"
                    ));
                }
                self.floor = self.floor.max(index);
                Ok(())
            }
            (Action::Get { key }, Outcome::Got { value, index }) => {
                if index < floor || index > canon {
                    return fail(format!(
                        "the read saw index {index}; {floor} was known before it was asked, and {canon} is committed"
                    ));
                }
                let puts = self.keys.get(&key).map_or(&[][..], Vec::as_slice);
                let newest = puts.partition_point(|(at, _)| *at <= index).checked_sub(1);
                let there = newest.and_then(|newest| puts.get(newest)).map(|(_, value)| *value);
                if there != value {
                    return fail(format!(
                        "the read of key {key} at {index} saw {value:?}; {there:?} stands there"
                    ));
                }
                self.floor = self.floor.max(index);
                Ok(())
            }
            (Action::Put { value, .. }, Outcome::NotApplied) => {
                if let Some(index) = self.put_at.get(&value) {
                    return fail(format!(
                        "the put of {value} was told to have no effect; it stands at {index}"
                    ));
                }
                self.not_applied.insert(value);
                Ok(())
            }
            (Action::Put { value, .. }, Outcome::Unknown) => {
                self.unknown.insert(value);
                Ok(())
            }
            (Action::Get { .. }, Outcome::NotApplied | Outcome::Unknown) => Ok(()),
            (action, outcome) => fail(format!("{action:?} returns {outcome:?}")),
        }
    }

    /// What became of the puts that nobody could tell of.
    pub(super) fn fates(&self, coverage: &mut Coverage) {
        for value in &self.unknown {
            let took_effect = self.put_at.contains_key(value);
            coverage.reach(if took_effect { Mark::UnknownPutTookEffect } else { Mark::UnknownPutVanished });
        }
    }
}
