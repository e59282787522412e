//! The attack on the table of idempotency keys: commands that come again however late, keys that another command had,
//! clients and leaders whose clocks are wrong, and a table that keeps little, and that not for long.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{OpId, Time, Violation};
use crate::world::{Event, World};
use bytes::Bytes;
use raft_core::{Envelope, Input, Ticket};
use raft_machine::{Command, Retention};

/// The tickets of settings are those from here on, above those of the operator.
pub(crate) const SETTINGS: u64 = 1 << 41;

/// How often an operation may be sent in all: see `clients::ATTEMPT`.
const ATTEMPTS: u32 = 200;

/// How far a key may be ahead of log time, in milliseconds, and a bit.
const TOO_FAR_AHEAD_MS: u64 = 5 * 60 * 1000 + 60_000;

/// What a client calls its command.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The operation that it was made for.
    op: OpId,
    /// When, by its client's clock, in milliseconds.
    made_ms: u64,
    /// It is a UUIDv7, and says so.
    timed: bool,
}

impl Name {
    /// The name of an operation as good clients give it.
    pub(crate) fn of(op: OpId, made: Time) -> Name {
        Name { op, made_ms: made / 1000, timed: true }
    }

    /// The idempotency key. Both cases of a UUID's digits are the same.
    pub(crate) fn text(&self, upper: bool) -> Bytes {
        let Name { op, made_ms, timed } = *self;
        if !timed {
            return format!("operation {}", op.0).into();
        }
        let text = format!("{:08x}-{:04x}-7000-8000-{:012x}", made_ms >> 16, made_ms & 0xffff, op.0);
        if upper { text.to_uppercase().into() } else { text.into() }
    }
}

/// The wall clocks by which nodes stamp commands, apart from the clocks that tick: how far each is off.
#[derive(Clone, Debug, Default)]
pub(crate) struct WallClocks {
    off_ms: [i64; Site::NODES],
    settings: u64,
}

/// What a command says that the table is to keep; `None` for every other. Read here on its own, as puts are.
pub(crate) fn settings(body: &[u8]) -> Option<Retention> {
    let (6, numbers) = body.split_first()? else { return None };
    let ([window_ms, least_ms, keys], []) = numbers.as_chunks::<8>() else { return None };
    let [window_ms, least_ms, keys] = [window_ms, least_ms, keys].map(|number| u64::from_le_bytes(*number));
    Some(Retention { window_ms, least_ms, keys })
}

impl World {
    /// How far wall clocks may be off, more or less, in milliseconds.
    fn off_ms(&self) -> u64 {
        (4 * self.options.election_timeout()).div_ceil(1000)
    }

    /// The time that a node stamps on a command.
    pub(crate) fn stamp(&mut self, at: usize) -> Time {
        let Some(naming) = self.options.naming else { return self.now };
        let site = Site::new(Purpose::Keys, at);
        if self.choices.chance(site, naming.jumps) {
            let off = self.off_ms() as i64;
            self.wall.off_ms[at] = self.choices.one_of(site, &[0, off / 4, -off / 4, off, -off, 4 * off]);
        }
        self.now.saturating_add_signed(self.wall.off_ms[at] * 1000)
    }

    /// A client gives a new operation its name, if it has one.
    pub(crate) fn give_name(&mut self, op: OpId) {
        let Some(naming) = self.options.naming else { return };
        let operation = self.workload.operation(op);
        let (site, Some(mut name)) = (Site::new(Purpose::Keys, operation.client), operation.name) else {
            return;
        };
        if self.healed {
            // A service is owed at once then, and a table that is full of young keys owes none.
            return self.workload.rename(op, None);
        }
        name.timed = !self.choices.chance(site, naming.texts);
        if self.choices.chance(site, naming.skewed) {
            let (behind, ahead) = (name.made_ms.saturating_sub(self.off_ms()), name.made_ms + self.off_ms());
            let too_far = name.made_ms + TOO_FAR_AHEAD_MS;
            name.made_ms = self.choices.one_of(site, &[behind, behind, 0, ahead, too_far]);
        }
        if self.choices.chance(site, naming.borrowed)
            && let Some(other) = self.earlier(site)
            && let Some(borrowed) = self.workload.operation(other).name
        {
            name = borrowed;
        }
        self.workload.rename(op, Some(name));
    }

    /// An operation with a name that ended some time ago, and may have taken effect.
    fn earlier(&mut self, site: Site) -> Option<OpId> {
        let named = self.workload.ended_named().len() as u64;
        let among = self.choices.one_of(site, &[4, 32, named]).min(named);
        let back = self.choices.pick(site, among);
        self.workload.ended_named().iter().rev().nth(back as usize).copied()
    }

    /// A command comes once more, though nobody waits for its answer; or the table is to keep more or less from now on.
    pub(crate) fn again(&mut self) -> Result<(), Violation> {
        let Some(naming) = self.options.naming.filter(|_| !self.healed) else { return Ok(()) };
        let site = Site::from(Purpose::Keys);
        let next = 1 + self.choices.range(site, naming.again / 2, naming.again * 3 / 2);
        self.queue.push(self.now + next, Event::Again);
        if self.wall.settings == 0 || self.choices.pick(site, 16) == 15 {
            return self.settle_retention(naming.retentions);
        }
        let Some(op) = self.earlier(site) else { return Ok(()) };
        let member = 1 + self.choices.pick(site, self.options.seats as u64) as usize;
        let at = if self.choices.pick(site, 4) == 3 { member } else { self.leader.unwrap_or(member) };
        if let Some(attempt) = self.workload.send_again(op, ATTEMPTS) {
            self.counts.late_repeats += 1;
            let soon = self.choices.range(site, 0, self.options.tick);
            self.queue.push(self.now + soon, Event::Request { op, attempt, at });
        }
        Ok(())
    }

    /// A leader's own settings are others than those in its log.
    fn settle_retention(&mut self, retentions: [Retention; 2]) -> Result<(), Violation> {
        let Some(at) = self.leader else { return Ok(()) };
        let retention = self.choices.one_of(Purpose::Keys.into(), &retentions);
        let ticket = Ticket(SETTINGS + self.wall.settings);
        self.wall.settings += 1;
        self.counts.retentions += 1;
        let envelope = Envelope {
            time_ms: self.stamp(at) / 1000,
            key: None,
            body: Command::Settings(retention).encode(),
        };
        self.input(at, Input::Propose { ticket, command: envelope.encode() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_the_application_writes_them() {
        let retention = Retention { window_ms: 1, least_ms: 1 << 40, keys: 3 };
        let body = Command::Settings(retention).encode();
        assert_eq!(settings(&body), Some(retention));
        assert_eq!(settings(&body[1..]), None);
        assert_eq!(settings(&body[..24]), None);
        assert_eq!(settings(&[]), None);
    }
}
