//! The log against the simplest model of it: a list of entries.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{Base, Entry, EntryId, Index, Log, Membership, NodeId, Payload, Term};

#[derive(Clone, Debug)]
enum Change {
    /// Append an entry of a term that is this much later.
    Append { later: u64, kind: u8 },
    /// Truncate: so many entries of every ten go.
    Truncate { tenths: u64 },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..2_u64, 0..3_u8).prop_map(|(later, kind)| Change::Append { later, kind }),
        1 => (0..11_u64).prop_map(|tenths| Change::Truncate { tenths }),
    ]
}

fn members(n: u64) -> Membership {
    Membership::founders((1..=n).map(NodeId)).unwrap()
}

fn base(index: u64) -> Base {
    let id = if index == 0 { EntryId::ORIGIN } else { EntryId::new(2, index) };
    Base { id, hash: index * 77, membership: members(3) }
}

/// What the log should be, entry by entry.
fn check(log: &Log, base: &Base, model: &[Entry]) -> Result<(), TestCaseError> {
    let last = model.last().map_or(base.id, Entry::id);
    prop_assert_eq!((log.base(), log.last()), (base.id, last));
    prop_assert_eq!(log.from(Index(0)).cloned().collect::<Vec<_>>(), model);
    let mut hash = base.hash;
    for entry in model {
        hash = entry.running_hash(hash);
        prop_assert_eq!(log.entry(entry.index()), Some(entry));
        prop_assert_eq!(log.id_at(entry.index()), Some(entry.id()));
        prop_assert_eq!(log.hash_at(entry.index()), Some(hash));
        prop_assert_eq!(log.from(entry.index()).count() as u64, last.index.0 - entry.index().0 + 1);
    }
    prop_assert_eq!(
        (log.term_at(base.id.index), log.hash_at(base.id.index)),
        (Some(base.id.term), Some(base.hash))
    );
    prop_assert_eq!((log.term_at(last.index.next()), log.entry(last.index.next())), (None, None));
    let newest = model.iter().rev().find_map(|entry| match entry.payload() {
        Payload::Membership(membership) => Some((entry.index(), membership)),
        Payload::Noop | Payload::Command(_) => None,
    });
    let (at, membership) = newest.unwrap_or((base.id.index, &base.membership));
    prop_assert_eq!((log.membership_index(), log.membership()), (Some(at), Some(membership)));
    prop_assert_eq!(log.founding(), Some(&base.membership));
    Ok(())
}

proptest! {
    #[test]
    fn the_log_is_a_list_of_entries_on_a_base(index in 0..4_u64, changes in vec(change(), 1..60)) {
        let base = base(index);
        let (mut log, mut model) = (Log::new(Some(&base)), Vec::<Entry>::new());
        for (number, change) in (1_u64..).zip(changes) {
            match change {
                Change::Append { later, kind } => {
                    let last = model.last().map_or(base.id, Entry::id);
                    let id = EntryId { term: Term((last.term.0 + later).max(1)), index: last.index.next() };
                    let entry = Entry::new(id, match kind {
                        0 => Payload::Noop,
                        1 => Payload::Command(format!("{number}").into()),
                        _ => Payload::Membership(members(1 + number % 5)),
                    });
                    log.append(entry.clone());
                    model.push(entry);
                }
                Change::Truncate { tenths } => {
                    let kept = model.len() as u64 * (10 - tenths) / 10;
                    log.truncate(Index(base.id.index.0 + kept));
                    model.truncate(kept as usize);
                }
            }
            check(&log, &base, &model)?;
        }
    }

    /// Log Matching (Figure 3): two logs agree on the running hash at an index exactly if they hold the same entries up
    /// to there.
    #[test]
    fn equal_hashes_mean_equal_prefixes(same in 0..20_usize, a in vec(0..3_u8, 1..20), b in vec(0..3_u8, 1..20)) {
        let logs = [&a, &b].map(|own| {
            let mut log = Log::new(Some(&base(0)));
            for (at, byte) in (0..same).map(|at| (at, 9)).chain((same..).zip(own.iter().copied())) {
                let id = EntryId::new(1, at as u64 + 1);
                log.append(Entry::new(id, Payload::Command(vec![byte].into())));
            }
            log
        });
        let shorter = logs[0].last().index.min(logs[1].last().index).0;
        let mut equal = true;
        for at in 1..=shorter {
            equal &= logs[0].entry(Index(at)) == logs[1].entry(Index(at));
            prop_assert_eq!(logs[0].hash_at(Index(at)) == logs[1].hash_at(Index(at)), equal);
        }
    }
}
