//! The replicated application of the simulation: the very machine of the server, of which the clients here use puts as
//! registers.

use crate::facts::{Action, Key, Value, key_bytes, register_digest};
use crate::invariants::key_table::{marks_digest, row_digest, text_digest, timed_digest};
use crate::naming::settings;
use crate::planted::Planted;
use raft_core::{Base, ClusterId, Entry, Envelope, Index, Payload};
use raft_machine::snapshot::{restore, write};
use raft_machine::{Machine as Application, Reply};

/// Whose snapshots these are.
const CLUSTER: ClusterId = ClusterId(1);

/// The application of one node.
#[derive(Clone, Debug, Default)]
pub struct Machine(Application);

impl Machine {
    /// Takes the next entry. The reply to it, if it is a client's.
    ///
    /// # Errors
    /// If it isn't the next one, or is none that any client or leader wrote.
    pub fn apply(&mut self, entry: &Entry) -> Result<Option<Reply>, String> {
        if entry.index() != self.applied().next() {
            return Err(format!("{} is applied after index {}", entry.id(), self.applied()));
        }
        if let Payload::Command(command) = entry.payload()
            && Action::of(command).is_none()
            && !sets(command)
        {
            return Err(format!("the entry {} is no client's command", entry.id()));
        }
        self.0.apply(entry).map_err(|unreadable| unreadable.to_string())
    }

    /// The last index that was applied.
    pub fn applied(&self) -> Index {
        self.0.applied()
    }

    /// What a register holds.
    pub fn get(&self, key: Key) -> Option<Value> {
        self.0.get(&key_bytes(key)).and_then(|found| value_of(&found.value))
    }

    /// All registers, in order.
    fn registers(&self) -> Vec<(Key, Value)> {
        let all = self.0.list(b"", b"", usize::MAX, usize::MAX).keys;
        let register = |(key, found): &(bytes::Bytes, raft_machine::Found)| {
            let (key, _) = key.split_first_chunk()?;
            Some((u32::from_le_bytes(*key).into(), value_of(&found.value)?))
        };
        all.iter().map(|row| register(row).expect("only clients' puts are applied")).collect()
    }

    /// The sum over all registers, see [`register_digest`].
    pub fn digest(&self) -> u64 {
        self.registers()
            .into_iter()
            .map(|(key, value)| register_digest(key, value))
            .fold(0, u64::wrapping_add)
    }

    /// The digest of the idempotency keys that it keeps, with log time and the horizon: a sum over the keys.
    pub fn keys_digest(&self) -> u64 {
        let row = |(key, at, time_ms): (&raft_machine::Key, Index, u64)| {
            let kind = match key {
                raft_machine::Key::Timed(uuid) => timed_digest(*uuid),
                raft_machine::Key::Named(text) => text_digest(text),
            };
            row_digest(kind, at, time_ms)
        };
        let rows = self.0.idempotency_keys().map(row).fold(0, u64::wrapping_add);
        rows.wrapping_add(marks_digest(self.0.time_ms(), self.0.horizon()))
    }

    /// The same machine, that behaves as if written with a bug if it is one of the machine.
    pub(crate) fn planted(self, planted: Option<Planted>) -> Machine {
        #[cfg(feature = "planted")]
        if let Some(Planted::Machine(bug)) = planted {
            let mut machine = self;
            machine.0.plant(bug);
            return machine;
        }
        let _ = planted;
        self
    }

    /// As if the snapshot had held no idempotency keys.
    #[cfg(feature = "planted")]
    pub(crate) fn forget_keys(&mut self) {
        self.0.forget_keys();
    }
}

/// Whether a command says what the table of idempotency keys is to keep.
fn sets(command: &bytes::Bytes) -> bool {
    Envelope::decode(command.clone()).is_ok_and(|envelope| settings(&envelope.body).is_some())
}

fn value_of(bytes: &[u8]) -> Option<Value> {
    bytes.split_first_chunk().map(|(value, _)| u64::from_le_bytes(*value))
}

/// All frozen states of a run. A snapshot's file names one of these beside the registers: it stays as small as they are,
/// though the application keeps all that was ever put, so that chunks of a few bytes can still carry it. What is thawed
/// has gone through the application's real bytes.
#[derive(Clone, Debug, Default)]
pub struct Frozen(Vec<Application>);

impl Frozen {
    /// A state as the bytes of a snapshot: which one, then each register.
    pub fn freeze(&mut self, machine: &Machine) -> Vec<u8> {
        let place = self.0.len() as u64;
        self.0.push(machine.0.clone());
        let registers = machine.registers().into_iter().flat_map(|(key, value)| [key, value]);
        [place].into_iter().chain(registers).flat_map(u64::to_le_bytes).collect()
    }

    /// The machine that was frozen. `None` if the bytes are no machine's.
    pub fn thaw(&self, base: &Base, bytes: &[u8]) -> Option<Machine> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let (place, registers) = words.split_first()?;
        let frozen = self.0.get(usize::try_from(u64::from_le_bytes(*place)).ok()?)?;
        let mut file = Vec::new();
        write(frozen, base, CLUSTER, &mut file).expect("memory takes everything");
        let (_, application) = restore(&file[..], CLUSTER).expect("what was written can be read");
        let machine = Machine(application);
        let found = machine.registers().into_iter().flat_map(|(key, value)| [key, value]);
        registers.iter().map(|word| u64::from_le_bytes(*word)).eq(found).then_some(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{EntryId, Membership, NodeId};

    #[test]
    fn frozen_and_thawed_it_is_the_same() {
        let mut machine = Machine::default();
        for (index, (key, value)) in (1..).zip([(3, 1), (5, 2), (3, 9), (5, 2)]) {
            let idempotency = Some(format!("put {value}").into());
            let command = Action::Put { key, value }.command(0, 3, idempotency).unwrap();
            let entry = Entry::new(EntryId::new(1, index), Payload::Command(command));
            let reply = machine.apply(&entry).unwrap().unwrap();
            assert_eq!(reply.replayed, index == 4);
        }
        let mut frozen = Frozen::default();
        let mut bytes = frozen.freeze(&machine);
        let membership = Membership::founders([NodeId(1)]).unwrap();
        let base = Base { id: EntryId::new(1, 4), hash: 0, membership };
        let thawed = frozen.thaw(&base, &bytes).unwrap();
        assert_eq!((thawed.get(3), thawed.get(5), thawed.applied()), (Some(9), Some(2), Index(4)));
        assert_eq!(thawed.digest(), register_digest(3, 9).wrapping_add(register_digest(5, 2)));
        bytes[17] ^= 1;
        assert!(frozen.thaw(&base, &bytes).is_none());
    }
}
