//! The log against the simplest model of it: a list of entries.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{Base, Entry, EntryId, Index, Log, Membership, NodeId, Payload, Recovered, Snapshot, Term};

#[derive(Clone, Debug)]
enum Change {
    /// Append an entry of a term that is this much later.
    Append { later: u64, kind: u8 },
    /// Truncate: so many entries of every ten go.
    Truncate { tenths: u64 },
    /// Forget: so many entries of every ten go, from the first on.
    Compact { tenths: u64 },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..2_u64, 0..4_u8).prop_map(|(later, kind)| Change::Append { later, kind }),
        1 => (0..11_u64).prop_map(|tenths| Change::Truncate { tenths }),
        1 => (0..11_u64).prop_map(|tenths| Change::Compact { tenths }),
    ]
}

fn members(n: u64) -> Membership {
    Membership::founders((1..=n).map(NodeId)).unwrap()
}

fn base(index: u64) -> Base {
    let id = if index == 0 { EntryId::ORIGIN } else { EntryId::new(2, index) };
    Base { id, hash: index * 77, membership: members(3) }
}

/// The model: all entries that were ever appended and not truncated, and where those begin that are not forgotten.
struct Model {
    first: Base,
    all: Vec<Entry>,
    forgotten: usize,
}

impl Model {
    fn last(&self) -> EntryId {
        self.all.last().map_or(self.first.id, Entry::id)
    }

    /// The newest configuration among the first so many entries, and where it stands.
    fn membership(&self, of: usize) -> (Index, &Membership) {
        let newest = self.all[..of].iter().rev().find_map(|entry| match entry.payload() {
            Payload::Membership(membership) => Some((entry.index(), membership)),
            _ => None,
        });
        newest.unwrap_or((self.first.id.index, &self.first.membership))
    }

    /// What the log stands on after the first so many entries.
    fn base(&self, of: usize) -> Base {
        let hash = self.all[..of].iter().fold(self.first.hash, |hash, entry| entry.running_hash(hash));
        let id = self.all[..of].last().map_or(self.first.id, Entry::id);
        Base { id, hash, membership: self.membership(of).1.clone() }
    }
}

/// What the log should be, entry by entry.
fn check(log: &Log, whole: &Model) -> Result<(), TestCaseError> {
    let (base, model) = (whole.base(whole.forgotten), &whole.all[whole.forgotten..]);
    let last = model.last().map_or(base.id, Entry::id);
    prop_assert_eq!((log.base(), log.last()), (base.id, last));
    prop_assert_eq!(log.from(Index(0)).cloned().collect::<Vec<_>>(), model);
    let decayed = model.iter().filter(|entry| entry.is_decayed()).map(Entry::index);
    prop_assert_eq!(log.decayed(), decayed.collect::<Vec<_>>());
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
    let (at, membership) = whole.membership(whole.all.len());
    prop_assert_eq!((log.membership_index(), log.membership()), (Some(at), Some(membership)));
    let founding = (base.id == EntryId::ORIGIN).then_some(&base.membership);
    prop_assert_eq!(log.founding(), founding);
    // Every place in the log could be its base, and is one of it; what was forgotten is not, nor what is not there yet.
    for of in 0..=whole.all.len() {
        let base = whole.base(of);
        let held = of >= whole.forgotten;
        prop_assert_eq!(log.base_at(base.id.index), held.then(|| base.clone()));
        prop_assert_eq!(log.holds(&base), held);
        if held {
            prop_assert_eq!(log.membership_at(base.id.index), Some(&base.membership));
        }
        let other = Base { hash: base.hash ^ 1, ..base };
        prop_assert!(!log.holds(&other), "the same id on another past is another entry");
    }
    prop_assert_eq!(log.base_at(last.index.next()), None);
    Ok(())
}

proptest! {
    #[test]
    fn the_log_is_a_list_of_entries_on_a_base(index in 0..4_u64, changes in vec(change(), 1..60)) {
        let first = base(index);
        let mut log = Log::new(Some(&first));
        let mut model = Model { first, all: vec![], forgotten: 0 };
        for (number, change) in (1_u64..).zip(changes) {
            match change {
                Change::Append { later, kind } => {
                    let last = model.last();
                    let id = EntryId { term: Term((last.term.0 + later).max(1)), index: last.index.next() };
                    let mut entry = Entry::new(id, match kind {
                        0 => Payload::Noop,
                        1 | 3 => Payload::Command(format!("{number}").into()),
                        _ => Payload::Membership(members(1 + number % 5)),
                    });
                    if kind == 3 {
                        entry = Entry::decayed(id, entry.hash(), entry.size() as u32);
                    }
                    log.append(entry.clone());
                    model.all.push(entry);
                }
                Change::Truncate { tenths } => {
                    let kept = (model.all.len() - model.forgotten) * (10 - tenths as usize) / 10;
                    log.truncate(Index(log.base().index.0 + kept as u64));
                    model.all.truncate(model.forgotten + kept);
                }
                Change::Compact { tenths } => {
                    let gone = (model.all.len() - model.forgotten) * tenths as usize / 10;
                    log.compact(Index(log.base().index.0 + gone as u64));
                    model.forgotten += gone;
                }
            }
            check(&log, &model)?;
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

    /// A start finds the same log on the base that a compaction leaves, and of several snapshots the newest that is of
    /// this log: not one that lies beyond it, and not one of another log.
    #[test]
    fn a_compacted_log_is_found_again(terms in vec(0..2_u64, 1..20), at: prop::sample::Index, beyond in 1..4_u64) {
        let mut log = Log::new(Some(&base(0)));
        let mut term = 1;
        for (index, later) in (1..).zip(terms) {
            term += later;
            log.append(Entry::new(EntryId::new(term, index), Payload::Noop));
        }
        let through = Index(at.index(log.last().index.0 as usize + 1) as u64);
        let whole: Vec<Entry> = log.from(Index(0)).cloned().collect();
        let snapshot = |base: Base| Snapshot { base, size: 0, digest: 0 };
        let fitting = snapshot(log.base_at(through).unwrap());
        log.compact(through);
        let entries: Vec<Entry> = log.from(Index(0)).cloned().collect();
        let found = Log::recovered(Some(&fitting.base), entries.clone());
        prop_assert_eq!((found.base(), found.last()), (log.base(), log.last()));
        prop_assert_eq!(found.membership(), log.membership());
        for at in 0..=whole.len() as u64 {
            prop_assert_eq!(found.base_at(Index(at)), log.base_at(Index(at)));
        }
        let mut longer = fitting.clone();
        longer.base.id.index.0 += whole.len() as u64 + beyond;
        let mut other = fitting.clone();
        other.base.hash ^= 1;
        let recovered = Recovered { base: Some(fitting.base.clone()), entries, ..Recovered::default() };
        let found = [longer, fitting.clone(), other];
        prop_assert_eq!(recovered.newest(&found), Some(&fitting));
        prop_assert_eq!(recovered.newest(&found[..1]), None);
    }
}
