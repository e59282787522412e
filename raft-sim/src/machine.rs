//! The replicated state machine of the simulation: some registers, set by puts.

use crate::facts::{Action, Key, Value};
use raft_core::{Entry, Index, Payload};
use std::collections::BTreeMap;

/// The registers of one node.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    applied: Index,
    registers: BTreeMap<Key, Value>,
}

impl Machine {
    /// Takes the next entry.
    ///
    /// # Errors
    /// If it isn't the next one, or is none that any client or leader wrote.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.index() != self.applied.next() {
            return Err(format!("{} is applied after index {}", entry.id(), self.applied));
        }
        self.applied = entry.index();
        match entry.payload() {
            Payload::Noop | Payload::Membership(_) => Ok(()),
            Payload::Command(command) => match Action::of(command) {
                Some(Action::Put { key, value }) => {
                    self.registers.insert(key, value);
                    Ok(())
                }
                _ => Err(format!("the entry {} is no client's command", entry.id())),
            },
        }
    }

    /// The last index that was applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// What a register holds.
    pub fn get(&self, key: Key) -> Option<Value> {
        self.registers.get(&key).copied()
    }
}
