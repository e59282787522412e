//! What took effect when, key by key, and what was promised of it.

use super::super::{Broken, demand, key_table::Fate, key_table::Name};
use super::{Effect, NAME};
use crate::facts::Class;
use bytes::Bytes;
use raft_core::{EntryId, Index};
use raft_machine::{Retention, Verdict as Decided};
use std::collections::BTreeMap;

/// When a key's command took effect last, and what all of its commands say that ever did.
#[derive(Clone, Debug)]
struct Effective {
    at: Index,
    time_ms: u64,
    bodies: Vec<Bytes>,
}

/// All keys whose command took effect.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    keys: BTreeMap<Name, Effective>,
    /// What was to be kept, and from which index on; before, what is by default.
    retentions: Vec<(Index, Retention)>,
}

impl Effects {
    /// From an index on, this is to be kept.
    pub(super) fn keep(&mut self, from: Index, retention: Retention) {
        if self.retentions.last().is_none_or(|(_, before)| *before != retention) {
            self.retentions.push((from, retention));
        }
    }

    /// The least window and the least time that were in force at some moment since an index.
    fn least_since(&self, at: Index) -> (u64, u64) {
        let before = self.retentions.partition_point(|(from, _)| *from <= at).checked_sub(1);
        let default = before.is_none().then(Retention::default);
        let set = self.retentions.iter().skip(before.unwrap_or(0)).map(|(_, retention)| *retention);
        default.into_iter().chain(set).fold((u64::MAX, u64::MAX), |(window, least), retention| {
            let Retention { window_ms, least_ms, .. } = retention;
            (window.min(window_ms.max(least_ms)), least.min(least_ms))
        })
    }

    /// This becomes of a command with a key, at a log time.
    pub(super) fn took(
        &mut self,
        id: EntryId,
        now: u64,
        name: Name,
        body: Bytes,
        fate: Fate,
    ) -> Result<Effect, Broken> {
        match self.keys.get(&name) {
            Some(before) => self.promised(before, id, now, &name, &body, fate)?,
            None => {
                let known = matches!(fate, Fate::Repeats(_) | Fate::Refused(Decided::Mismatch));
                demand(!known, NAME, Class::Safety, || {
                    format!("no command with the key of that at {id} has taken effect: {fate:?}")
                })?;
            }
        }
        if fate != Fate::Done {
            return Ok(Effect::None);
        }
        let mut bodies = self.keys.remove(&name).map_or_else(Vec::new, |before| before.bodies);
        let effect = if bodies.contains(&body) { Effect::Again } else { Effect::Once };
        bodies.push(body);
        self.keys.insert(name, Effective { at: id.index, time_ms: now, bodies });
        Ok(effect)
    }

    /// Whether a key whose command took effect before may have this fate now.
    fn promised(
        &self,
        before: &Effective,
        id: EntryId,
        now: u64,
        name: &Name,
        body: &Bytes,
        fate: Fate,
    ) -> Result<(), Broken> {
        let age = now - before.time_ms;
        let (window, least) = self.least_since(before.at);
        let same = before.bodies.last() == Some(body);
        let kept = match (fate, name) {
            (Fate::Repeats(first), _) => first.index == before.at && same,
            (Fate::Refused(Decided::Mismatch), _) => !same,
            (Fate::Refused(Decided::Expired), Name::Timed(_)) => age >= least,
            (Fate::Done | Fate::Refused(Decided::Full), Name::Text(_)) => age >= window,
            (Fate::Done | Fate::Refused(_), _) => false,
        };
        demand(kept, NAME, Class::Safety, || {
            format!(
                "the command at {id} has a key whose command took effect at {}, {age} ms of log time before, \
                 in a window of {window} ms and a least time of {least} ms: {fate:?}",
                before.at
            )
        })
    }
}
