//! A disk in memory that keeps what was put since the last sync apart, and scripts of updates for it.

use bytes::Bytes;
use raft_core::wal::{Identity, Layout, Op, Recovery, Refusal, Wal, recover};
use raft_core::{
    Base, Boot, ClusterId, DiskId, Entry, EntryId, HardState, Index, Membership, NodeId, Payload, Recovered,
    Term, Update,
};
use std::collections::BTreeMap;

pub(crate) const US: Identity = Identity { cluster: ClusterId(7), node: NodeId(2), disk: DiskId(99) };
/// A few records a segment, so that writes span segments all the time.
pub(crate) const TINY: Layout = Layout { ids_bytes: 104 * 6, data_bytes: 1024 };
pub(crate) const SMALL: Layout = Layout { ids_bytes: 8192, data_bytes: 16384 };

pub(crate) type Files = BTreeMap<u64, Vec<u8>>;

/// Carries out one operation.
pub(crate) fn carry_out(files: &mut Files, layout: Layout, op: &Op) {
    match op {
        Op::Create { segment } => {
            files.insert(*segment, vec![0; layout.segment_bytes() as usize]);
        }
        Op::Put { segment, at, bytes } => {
            // Without its directory entry a file's content is nowhere.
            if let Some(file) = files.get_mut(segment) {
                file[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

pub(crate) fn reopen(files: &Files, layout: Layout) -> Result<Recovery, Refusal> {
    recover(US, layout, files.iter().map(|(number, bytes)| (*number, Bytes::from(bytes.clone()))).collect())
}

/// What a node's disk should hold after updates.
pub(crate) fn apply(state: &mut Recovered, update: &Update) {
    if let Some(hard) = update.hard {
        state.hard = hard;
    }
    if let Some(base) = &update.base {
        state.base = Some(base.clone());
        state.entries.clear();
    }
    if let Some(keep) = update.keep {
        state.entries.retain(|entry| entry.index() <= keep);
    }
    state.entries.extend(update.entries.iter().cloned());
}

/// The last entry of a log, or its base.
pub(crate) fn last(state: &Recovered) -> EntryId {
    let base = state.base.as_ref().map_or(EntryId::ORIGIN, |base| base.id);
    state.entries.last().map_or(base, Entry::id)
}

/// What a log that begins at an entry of this one has to say about it there; `None` if it is not in the log.
fn standing(state: &Recovered, at: EntryId) -> Option<Base> {
    let begins = state.base.as_ref().map_or(Index(0), |base| base.id.index);
    let count = at.index.0.checked_sub(begins.0 + 1)? as usize + 1;
    let mut hash = state.base.as_ref().map_or(0, |base| base.hash);
    let mut membership = state.base.as_ref().map(|base| base.membership.clone());
    for entry in state.entries.get(..count)? {
        hash = entry.running_hash(hash);
        if let Payload::Membership(newer) = entry.payload() {
            membership = Some(newer.clone());
        }
    }
    let standing = Base { id: at, hash, membership: membership? };
    (state.entries[count - 1].id() == at).then_some(standing)
}

/// What recovery found, with each command that it says is lost put back from this state: it knows which one it was.
pub(crate) fn refilled(recovery: &Recovery, state: &Recovered) -> Recovered {
    let mut recovered = recovery.recovered.clone();
    let lost = recovered.entries.iter_mut().filter(|entry| entry.is_decayed());
    let mut ids = Vec::new();
    for entry in lost {
        ids.push(entry.id());
        let had = state.entries.iter().find(|had| had.id() == entry.id());
        if let Some(had) = had.filter(|had| (had.hash(), had.size()) == (entry.hash(), entry.size())) {
            *entry = had.clone();
        }
    }
    assert_eq!(ids, recovery.decayed.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    recovered
}

/// Whether recovery found this state: as it is, or without entries that were released.
pub(crate) fn found(recovered: &Recovered, state: &Recovered, released: Index) -> bool {
    if recovered.base == state.base {
        return recovered == state;
    }
    let Some(base) = &recovered.base else { return false };
    let after = || state.entries.iter().filter(|entry| entry.index() > base.id.index);
    recovered.hard == state.hard
        && base.id.index <= released
        && standing(state, base.id).as_ref() == Some(base)
        && recovered.entries.iter().eq(after())
}

pub(crate) fn hard(term: u64, vote: Option<u64>, boot: u64) -> HardState {
    HardState { term: Term(term), vote: vote.map(NodeId), boot: Boot(boot) }
}

pub(crate) fn membership(n: u64) -> Membership {
    Membership::founders((1..=n).map(NodeId)).expect("distinct voters")
}

pub(crate) fn base(index: u64, term: u64, hash: u64) -> Base {
    Base { id: EntryId::new(term, index), hash, membership: membership(3) }
}

/// A command of a size, its bytes different for each index and term.
pub(crate) fn command(index: u64, term: u64, size: usize) -> Entry {
    let bytes: Vec<u8> = (0..size).map(|at| (at as u64 * 31 + index * 7 + term) as u8).collect();
    Entry::new(EntryId::new(term, index), Payload::Command(bytes.into()))
}

pub(crate) fn entries(from: u64, term: u64, sizes: &[usize]) -> Vec<Entry> {
    (from..).zip(sizes).map(|(index, size)| command(index, term, *size)).collect()
}

/// A life of a node: founding, an election, entries of many sizes, a configuration, a conflict, a reset.
pub(crate) fn script() -> Vec<Update> {
    let of = |index, term, payload| Entry::new(EntryId::new(term, index), payload);
    vec![
        Update { hard: Some(hard(0, None, 1)), ..Update::default() },
        Update { base: Some(base(0, 0, 0)), ..Update::default() },
        Update { hard: Some(hard(1, Some(2), 1)), ..Update::default() },
        Update { entries: vec![of(1, 1, Payload::Noop)], ..Update::default() },
        Update { entries: entries(2, 1, &[0, 1, 8, 100]), ..Update::default() },
        Update { entries: vec![of(6, 1, Payload::Membership(membership(5)))], ..Update::default() },
        Update { entries: entries(7, 1, &[300, 20]), ..Update::default() },
        Update {
            hard: Some(hard(2, None, 1)),
            keep: Some(Index(6)),
            entries: entries(7, 2, &[5, 600, 7]),
            ..Update::default()
        },
        Update { keep: Some(Index(9)), ..Update::default() },
        Update {
            hard: Some(hard(3, Some(1), 1)),
            base: Some(base(20, 3, 77)),
            entries: entries(21, 3, &[9]),
            ..Update::default()
        },
        Update { entries: entries(22, 3, &[64, 64, 64]), ..Update::default() },
    ]
}

/// How far the log is committed after each update of the script.
pub(crate) const COMMITTED: [Index; 11] = [
    Index(0),
    Index(0),
    Index(0),
    Index(1),
    Index(5),
    Index(6),
    Index(6),
    Index(7),
    Index(9),
    Index(21),
    Index(24),
];

/// Writes a whole update, says that it is synced, and deletes what is not needed any more.
pub(crate) fn store(wal: &mut Wal, files: &mut Files, layout: Layout, update: &Update) {
    let mut ops = Vec::new();
    let number = wal.append(update, &mut ops).expect("it fits");
    ops.iter().for_each(|op| carry_out(files, layout, op));
    delete(files, &wal.synced(number));
}

/// Deletes what is there.
pub(crate) fn delete(files: &mut Files, segments: &[u64]) {
    for segment in segments {
        files.remove(segment).expect("each is named once");
    }
}
