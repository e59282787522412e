//! What every application must be at each index: a model of the machine takes the canonical log, entry by entry.

use crate::facts::{Action, Key, Value, register_digest};
use raft_core::{Entry, Index, Payload};
use std::collections::BTreeMap;

/// The model, with what it was at each index.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// What was put under each key, and where.
    registers: BTreeMap<Key, Vec<(Index, Value)>>,
    /// The digest of the machine, and the payload bytes of the log so far, by index.
    at: Vec<(u64, usize)>,
}

impl Default for Model {
    fn default() -> Model {
        Model { registers: BTreeMap::new(), at: vec![(0, 0)] }
    }
}

impl Model {
    /// The next entry is committed, and is no repetition if it is `effective`.
    pub(crate) fn committed(&mut self, entry: &Entry, effective: bool) {
        let (mut digest, bytes) = self.at.last().copied().unwrap_or_default();
        if effective
            && let Payload::Command(command) = entry.payload()
            && let Some(Action::Put { key, value }) = Action::of(command)
        {
            digest = digest.wrapping_add(register_digest(key, value));
            let puts = self.registers.entry(key).or_default();
            if let Some((_, before)) = puts.last() {
                digest = digest.wrapping_sub(register_digest(key, *before));
            }
            puts.push((entry.index(), value));
        }
        self.at.push((digest, bytes + entry.size()));
    }

    /// The digest of a machine that has applied everything up to an index.
    pub(crate) fn digest_at(&self, index: Index) -> Option<u64> {
        self.at.get(super::chain::position(index)).map(|(digest, _)| *digest)
    }

    /// What a key holds in a machine that has applied everything up to an index.
    pub(crate) fn value_at(&self, key: Key, index: Index) -> Option<Value> {
        let puts = self.registers.get(&key)?;
        let newest = puts.partition_point(|(at, _)| *at <= index).checked_sub(1)?;
        Some(puts[newest].1)
    }

    /// The payload bytes of the entries behind one index and up to another.
    pub(crate) fn bytes_between(&self, after: Index, through: Index) -> usize {
        let sum = |index| self.at.get(super::chain::position(index)).map_or(0, |(_, bytes)| *bytes);
        sum(through).saturating_sub(sum(after))
    }
}
