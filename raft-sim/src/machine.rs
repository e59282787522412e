//! The replicated state machine of the simulation: some registers, set by puts.

use crate::facts::{Action, Key, Value, register_digest};
use raft_core::{Entry, Index, Payload};
use std::collections::BTreeMap;

/// The registers of one node.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    applied: Index,
    registers: BTreeMap<Key, Value>,
    /// The sum over all registers.
    digest: u64,
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
                    self.put(key, value);
                    Ok(())
                }
                _ => Err(format!("the entry {} is no client's command", entry.id())),
            },
        }
    }

    fn put(&mut self, key: Key, value: Value) {
        let before = self.registers.insert(key, value).map_or(0, |old| register_digest(key, old));
        self.digest = self.digest.wrapping_sub(before).wrapping_add(register_digest(key, value));
    }

    /// The last index that was applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// What a register holds.
    pub fn get(&self, key: Key) -> Option<Value> {
        self.registers.get(&key).copied()
    }

    /// The sum over all registers, see [`register_digest`].
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Its state as the bytes of a snapshot: the digest, then each register.
    pub fn freeze(&self) -> Vec<u8> {
        let registers = self.registers.iter().flat_map(|(key, value)| [*key, *value]);
        [self.digest].into_iter().chain(registers).flat_map(u64::to_le_bytes).collect()
    }

    /// The machine that was frozen after an index. `None` if the bytes are no machine.
    pub fn thaw(applied: Index, bytes: &[u8]) -> Option<Machine> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let (digest, registers) = words.split_first()?;
        let (pairs, []) = registers.as_chunks::<2>() else { return None };
        let mut machine = Machine { applied, ..Machine::default() };
        for [key, value] in pairs {
            machine.put(u64::from_le_bytes(*key), u64::from_le_bytes(*value));
        }
        (machine.digest == u64::from_le_bytes(*digest)).then_some(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_and_thawed_it_is_the_same() {
        let mut machine = Machine::default();
        for (key, value) in [(3, 1), (5, 2), (3, 9)] {
            machine.put(key, value);
        }
        let mut bytes = machine.freeze();
        let thawed = Machine::thaw(Index(7), &bytes).unwrap();
        assert_eq!((thawed.get(3), thawed.get(5), thawed.applied()), (Some(9), Some(2), Index(7)));
        assert_eq!(thawed.digest(), register_digest(3, 9).wrapping_add(register_digest(5, 2)));
        bytes[17] ^= 1;
        assert!(Machine::thaw(Index(7), &bytes).is_none());
    }
}
