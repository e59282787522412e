//! The table of idempotency keys: a command whose key is in it is answered as the first time, and does nothing.
//!
//! A key that is a UUIDv7 holds the time at which its client made it. Such keys leave the oldest first, and a horizon
//! remembers how old the youngest was that left: an unknown key at or below it may have been known once, so it is
//! refused. No such key is ever applied twice, however late it is repeated. Other keys say nothing of their age; they
//! stay for the whole window, so they get half of the room at most.
//!
//! All ages are in log time: the leaders' stamps, made never to go back. How much leaves with one command is bounded, so
//! that no command takes long.

use crate::planted::Bug;
use crate::reply::{Reply, Verdict};
use imbl::{OrdMap, OrdSet};
use raft_core::{EntryId, Index};
use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

/// How many keys may leave, and how many may become old enough to, with one command.
const WITH_ONE_COMMAND: usize = 64;

/// How far a key's time may be ahead of log time, in milliseconds: clients' clocks differ.
const AHEAD_MS: u64 = 5 * 60 * 1000;

/// How long keys are kept, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For how long a key is kept, in milliseconds of log time.
    pub window_ms: u64,
    /// For how long a key is kept even if the table is full.
    pub least_ms: u64,
    /// How many keys are kept.
    pub keys: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { window_ms: 3_600_000, least_ms: 60_000, keys: 1_000_000 }
    }
}

/// An idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A UUIDv7 (RFC 9562): its highest 48 bits are the time in milliseconds since 1970.
    Timed(u128),
    /// Any other text.
    Named(Arc<[u8]>),
}

impl Key {
    /// What the client calls its command. Both cases of a UUID's digits are the same.
    pub fn of(text: &[u8]) -> Key {
        uuid_v7(text).map_or_else(|| Key::Named(Arc::from(text)), Key::Timed)
    }

    /// What [`Key::of`] makes this key of.
    pub(crate) fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Key::Timed(uuid) => {
                let hex = format!("{uuid:032x}");
                let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
                parts.join("-").into_bytes().into()
            }
            Key::Named(text) => Cow::Borrowed(text),
        }
    }
}

fn uuid_v7(text: &[u8]) -> Option<u128> {
    let (mut value, mut digits) = (0, 0);
    for (at, byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            (*byte == b'-').then_some(())?;
            continue;
        }
        value = value << 4 | u128::from(char::from(*byte).to_digit(16)?);
        digits += 1;
    }
    let is_v7 = digits == 32 && text.len() == 36 && value >> 76 & 0xf == 7 && value >> 62 & 0b11 == 0b10;
    is_v7.then_some(value)
}

fn made_at_ms(uuid: u128) -> u64 {
    (uuid >> 80) as u64
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where its command took effect.
    pub(crate) id: EntryId,
    /// When, in log time.
    pub(crate) time_ms: u64,
    /// The hash of the command.
    pub(crate) request: u64,
    /// What was decided.
    pub(crate) verdict: Verdict,
}

/// The table. Invariants: `by_age` names each key of `rows` at its row's index; `mature` has the timed ones among those up
/// to `matured`; `named` counts the others in `rows`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) retention: Retention,
    rows: OrdMap<Key, Row>,
    by_age: OrdMap<Index, Key>,
    mature: OrdSet<u128>,
    /// Keys up to here are old enough to leave for a new one.
    matured: Index,
    named: u64,
    /// The highest timed key that has left.
    horizon: u128,
    /// The bug that is planted.
    #[cfg(feature = "planted")]
    pub(crate) bug: Option<Bug>,
}

impl Table {
    /// Takes out what is older than the window, and notes what is old enough to leave.
    pub(crate) fn pass(&mut self, now: u64) {
        let Retention { window_ms, least_ms, .. } = self.retention;
        for _ in 0..WITH_ONE_COMMAND {
            let Some(key) = self.by_age.get_min().map(|(_, key)| key.clone()) else { break };
            if self.rows[&key].time_ms.saturating_add(window_ms.max(least_ms)) > now {
                break;
            }
            self.remove(&key);
        }
        for _ in 0..WITH_ONE_COMMAND {
            let younger = (Bound::Excluded(self.matured), Bound::Unbounded);
            let Some((at, key)) = self.by_age.range(younger).next() else { break };
            let young = self.rows[key].time_ms.saturating_add(least_ms) > now;
            if young && !self.planted(Bug::YoungKeyLeaves) {
                break;
            }
            self.matured = *at;
            if let Key::Timed(uuid) = key {
                self.mature.insert(*uuid);
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        let row = self.rows.remove(key).expect("only what is in the table is taken out");
        self.by_age.remove(&row.id.index);
        match key {
            Key::Timed(uuid) => {
                self.mature.remove(uuid);
                self.horizon = self.horizon.max(*uuid);
            }
            Key::Named(_) => self.named -= 1,
        }
    }

    /// The answer to a command with this key, at `id`, if it must not take effect. Otherwise there is room for the key.
    pub(crate) fn answer(&mut self, key: &Key, request: u64, id: EntryId, now: u64) -> Option<Reply> {
        if let Some(row) = self.rows.get(key) {
            return Some(if row.request == request {
                Reply { id: row.id, replayed: true, verdict: row.verdict }
            } else {
                Reply { id, replayed: false, verdict: Verdict::Mismatch }
            });
        }
        let refused = self.refusal(key, now)?;
        Some(Reply { id, replayed: false, verdict: refused })
    }

    fn refusal(&mut self, key: &Key, now: u64) -> Option<Verdict> {
        match key {
            Key::Timed(uuid) if *uuid <= self.horizon => return Some(Verdict::Expired),
            Key::Timed(uuid) if made_at_ms(*uuid) > now.saturating_add(AHEAD_MS) => {
                return Some(Verdict::Ahead);
            }
            Key::Named(_) if self.named >= self.retention.keys.div_ceil(2) => return Some(Verdict::Full),
            Key::Timed(_) | Key::Named(_) => {}
        }
        for _ in 0..WITH_ONE_COMMAND {
            if (self.rows.len() as u64) < self.retention.keys {
                break;
            }
            let Some(oldest) = self.mature.get_min().copied() else { return Some(Verdict::Full) };
            self.remove(&Key::Timed(oldest));
        }
        None
    }

    /// Notes what became of the first command with a key.
    pub(crate) fn record(&mut self, key: Key, row: Row) {
        self.by_age.insert(row.id.index, key.clone());
        self.named += u64::from(matches!(key, Key::Named(_)));
        let before = self.rows.insert(key, row);
        assert!(before.is_none(), "a key that is known was answered");
    }

    /// All keys in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Key, &Row)> {
        self.rows.iter()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// What there is beside the rows: up to where keys are old enough to leave, and the horizon.
    pub(crate) fn marks(&self) -> (Index, u128) {
        (self.matured, if self.planted(Bug::HorizonForgotten) { 0 } else { self.horizon })
    }

    /// The highest timed key that has left; 0 if none has.
    pub(crate) fn horizon(&self) -> u128 {
        self.horizon
    }

    /// An empty table with these marks.
    pub(crate) fn with(retention: Retention, matured: Index, horizon: u128) -> Table {
        Table { retention, matured, horizon, ..Table::default() }
    }

    /// Takes in a row of a snapshot; `false` if its key or its place is taken.
    pub(crate) fn restore(&mut self, key: Key, row: Row) -> bool {
        if self.rows.contains_key(&key) || self.by_age.contains_key(&row.id.index) {
            return false;
        }
        if let Key::Timed(uuid) = &key
            && row.id.index <= self.matured
        {
            self.mature.insert(*uuid);
        }
        self.record(key, row);
        true
    }
}

#[cfg(test)]
mod tests;
