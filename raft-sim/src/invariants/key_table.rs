//! A model of the table of idempotency keys: a plain list in the order in which the commands took effect. It says what must
//! become of each committed command, and knows nothing of how the application keeps its keys.

use crate::coverage::{Coverage, Mark};
use crate::naming::settings;
use bytes::Bytes;
use raft_core::{EntryId, Envelope, Index, hash};
use raft_machine::{Retention, Verdict as Decided};

/// How many keys may leave with one command, or become old enough to.
const WITH_ONE_COMMAND: usize = 64;

/// How far a key may be ahead of log time, in milliseconds.
const AHEAD_MS: u64 = 300_000;

/// A key as commands are told apart by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// A UUIDv7, as a number: its highest 48 bits are the time when it was made.
    Timed(u128),
    /// Any other text.
    Text(Bytes),
}

impl Name {
    pub(crate) fn of(text: &Bytes) -> Name {
        uuid_v7(text).map_or_else(|| Name::Text(text.clone()), Name::Timed)
    }
}

fn uuid_v7(text: &[u8]) -> Option<u128> {
    let groups: Vec<&str> = std::str::from_utf8(text).ok()?.split('-').collect();
    let digits = groups.concat();
    let shape = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let variant = digits.get(16..17).is_some_and(|digit| "89abAB".contains(digit));
    let is_v7 = shape && hex && digits.get(12..13) == Some("7") && variant;
    if is_v7 { u128::from_str_radix(&digits, 16).ok() } else { None }
}

/// What one key adds to the digest of a table.
pub(crate) fn row_digest(kind: [u64; 3], at: Index, time_ms: u64) -> u64 {
    hash::chain(at.0, &[kind[0], kind[1], kind[2], time_ms])
}

/// What else a table holds adds this.
pub(crate) fn marks_digest(time_ms: u64, horizon: u128) -> u64 {
    hash::chain(time_ms, &[(horizon >> 64) as u64, horizon as u64])
}

/// A UUIDv7 in a digest.
pub(crate) fn timed_digest(uuid: u128) -> [u64; 3] {
    [1, (uuid >> 64) as u64, uuid as u64]
}

/// Any other key in a digest.
pub(crate) fn text_digest(text: &[u8]) -> [u64; 3] {
    [2, hash::bytes(text), text.len() as u64]
}

/// What must become of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It takes effect.
    Done,
    /// It repeats the one that took effect there, and does nothing.
    Repeats(EntryId),
    /// It does nothing, and is told so.
    Refused(Decided),
}

/// What is known of a key.
#[derive(Clone, Debug)]
struct Kept {
    name: Name,
    id: EntryId,
    time_ms: u64,
    body: Bytes,
}

impl Kept {
    fn digest(&self) -> u64 {
        let kind = match &self.name {
            Name::Timed(uuid) => timed_digest(*uuid),
            Name::Text(text) => text_digest(text),
        };
        row_digest(kind, self.id.index, self.time_ms)
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    retention: Retention,
    time_ms: u64,
    /// In the order of their commands, which is that of log time.
    kept: Vec<Kept>,
    /// Those up to here have once been old enough to leave for another.
    old: Index,
    horizon: u128,
    /// The sum over the keys.
    digest: u64,
}

impl Table {
    /// The next command is committed: what becomes of it.
    pub(crate) fn command(&mut self, id: EntryId, command: &Envelope, coverage: &mut Coverage) -> Fate {
        self.time_ms = self.time_ms.max(command.time_ms);
        self.grow_older(coverage);
        let fate = match &command.key {
            Some(key) => self.keyed(id, Name::of(key), &command.body, coverage),
            None => Fate::Done,
        };
        if fate == Fate::Done
            && let Some(retention) = settings(&command.body)
        {
            self.retention = retention;
        }
        fate
    }

    /// Log time.
    pub(crate) fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The digest of a table that is right.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.wrapping_add(marks_digest(self.time_ms, self.horizon))
    }

    fn grow_older(&mut self, coverage: &mut Coverage) {
        let Retention { window_ms, least_ms, .. } = self.retention;
        let now = self.time_ms;
        let over = |kept: &&Kept| kept.time_ms.saturating_add(window_ms.max(least_ms)) <= now;
        let gone = self.kept.iter().take(WITH_ONE_COMMAND).take_while(over).count();
        for _ in 0..gone {
            self.leave(0);
        }
        coverage.add(Mark::KeysLeftByAge, gone as u64);
        let younger = self.kept.partition_point(|kept| kept.id.index <= self.old);
        let old = |kept: &&Kept| kept.time_ms.saturating_add(least_ms) <= now;
        let behind = self.kept[younger..].iter().take(WITH_ONE_COMMAND).take_while(old);
        self.old = behind.last().map_or(self.old, |kept| kept.id.index);
    }

    fn leave(&mut self, at: usize) {
        let kept = self.kept.remove(at);
        self.digest = self.digest.wrapping_sub(kept.digest());
        if let Name::Timed(uuid) = kept.name {
            self.horizon = self.horizon.max(uuid);
        }
    }

    fn keyed(&mut self, id: EntryId, name: Name, body: &Bytes, coverage: &mut Coverage) -> Fate {
        if let Some(kept) = self.kept.iter().find(|kept| kept.name == name) {
            if kept.body == *body {
                return Fate::Repeats(kept.id);
            }
            coverage.reach(Mark::KeysMismatched);
            return Fate::Refused(Decided::Mismatch);
        }
        if let Some(refused) = self.refusal(&name, coverage) {
            coverage.reach(match refused {
                Decided::Expired => Mark::KeysExpired,
                Decided::Ahead => Mark::KeysAhead,
                _ => Mark::KeyTablesFull,
            });
            return Fate::Refused(refused);
        }
        let kept = Kept { name, id, time_ms: self.time_ms, body: body.clone() };
        self.digest = self.digest.wrapping_add(kept.digest());
        self.kept.push(kept);
        Fate::Done
    }

    /// Why an unknown key is not taken; otherwise there is room for it.
    fn refusal(&mut self, name: &Name, coverage: &mut Coverage) -> Option<Decided> {
        let keys = self.retention.keys;
        match name {
            Name::Timed(uuid) if *uuid <= self.horizon => return Some(Decided::Expired),
            Name::Timed(uuid) if (uuid >> 80) as u64 > self.time_ms + AHEAD_MS => {
                return Some(Decided::Ahead);
            }
            Name::Timed(_) => {}
            Name::Text(_) => {
                let texts = self.kept.iter().filter(|kept| matches!(kept.name, Name::Text(_))).count() as u64;
                if texts >= keys.div_ceil(2) {
                    return Some(Decided::Full);
                }
            }
        }
        for _ in 0..WITH_ONE_COMMAND {
            if (self.kept.len() as u64) < keys {
                break;
            }
            let old = self.kept.iter().enumerate().take_while(|(_, kept)| kept.id.index <= self.old);
            let timed = old.filter(|(_, kept)| matches!(kept.name, Name::Timed(_)));
            let Some((oldest, _)) = timed.min_by(|(_, one), (_, other)| one.name.cmp(&other.name)) else {
                return Some(Decided::Full);
            };
            self.leave(oldest);
            coverage.reach(Mark::KeysLeftForOthers);
        }
        None
    }
}
