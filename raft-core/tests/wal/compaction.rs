//! What the application has a snapshot of leaves the disk, and never more than that.

use crate::disk::*;
use raft_core::wal::{Op, Refusal, Wal};
use raft_core::{Entry, EntryId, Index, Payload, Recovered, Update};

/// A log in small segments, with all that its driver does.
struct Driver {
    files: Files,
    state: Recovered,
    wal: Wal,
    released: Index,
    /// Every file that was deleted, as it was.
    deleted: Files,
}

impl Driver {
    /// A log on a base, or of a node that joins and gets its configuration as an entry.
    fn new(joins: bool) -> Driver {
        let wal = reopen(&Files::new(), TINY).expect("empty").wal;
        let (files, deleted) = (Files::new(), Files::new());
        let mut driver = Driver { files, deleted, state: Recovered::default(), wal, released: Index(0) };
        let first = Entry::new(EntryId::new(1, 1), Payload::Membership(membership(3)));
        driver.write(Update {
            hard: Some(hard(1, None, 1)),
            base: (!joins).then(|| base(0, 0, 0)),
            entries: if joins { vec![first] } else { entries(1, 1, &[9]) },
            ..Update::default()
        });
        driver
    }

    fn write(&mut self, update: Update) {
        let mut ops = Vec::new();
        let number = self.wal.append(&update, &mut ops).expect("it fits");
        ops.iter().for_each(|op| carry_out(&mut self.files, TINY, op));
        for segment in self.wal.synced(number) {
            self.deleted.insert(segment, self.files.remove(&segment).expect("each is named once"));
        }
        apply(&mut self.state, &update);
    }

    /// So many entries, each in its own write.
    fn entries(&mut self, term: u64, count: u64) {
        for _ in 0..count {
            let index = last(&self.state).index.0 + 1;
            self.write(Update { entries: entries(index, term, &[150]), ..Update::default() });
        }
    }

    fn release(&mut self, through: u64) {
        self.released = Index(through);
        self.wal.release(self.released);
    }

    /// What a start finds, which must be this log. Returns the index that the log is read from.
    fn check(&self) -> Index {
        let recovery = reopen(&self.files, TINY).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert!(found(&recovery.recovered, &self.state, self.released), "{:?}", recovery.recovered);
        assert_eq!((recovery.discard, recovery.cut, recovery.mended), (vec![], None, vec![]));
        recovery.recovered.base.map_or(Index(0), |base| base.id.index)
    }

    fn restart(&mut self) {
        self.wal = reopen(&self.files, TINY).expect("undamaged").wal;
    }
}

#[test]
fn what_is_released_goes_once_a_later_segment_says_so() {
    for joins in [false, true] {
        let mut driver = Driver::new(joins);
        driver.entries(1, 20);
        let all = driver.files.len();
        assert!(driver.deleted.is_empty() || !joins, "without a base everything is needed");
        driver.release(15);
        assert_eq!(driver.files.len(), all, "a release alone deletes nothing");
        assert!(driver.check() <= Index(1));
        driver.entries(1, 4);
        assert!(driver.files.len() < all);
        let begins = driver.check();
        assert!((Index(10)..=Index(15)).contains(&begins), "{begins}");
    }
}

#[test]
fn the_disk_is_bounded_over_segments_and_starts() {
    for joins in [false, true] {
        let mut driver = Driver::new(joins);
        let mut most = 0;
        for round in 0..200 {
            driver.entries(1 + round / 3, 4);
            if round % 5 == 0 {
                driver.restart();
                driver.wal.release(driver.released);
            }
            driver.release(last(&driver.state).index.0 - round % 3);
            assert!(driver.check().0 + 20 > last(&driver.state).index.0);
            most = most.max(driver.files.len());
        }
        assert!(most < 12, "{most} segments");
        assert!(driver.deleted.len() > 300);
    }
}

/// Each start opens a segment. As soon as the application has a snapshot of what is in them, they go.
#[test]
fn starts_without_entries_leave_nothing_behind() {
    let mut driver = Driver::new(false);
    driver.entries(1, 3);
    for boot in 0..20 {
        driver.restart();
        driver.release(4);
        driver.write(Update { hard: Some(hard(1, None, 2 + boot)), ..Update::default() });
        assert!(driver.files.len() <= 3, "{:?}", driver.files.keys());
    }
    assert_eq!(driver.check(), Index(4));
}

/// Figure 8: an entry is replaced, and comes back. A segment from before that begins with it; but what it holds cuts the
/// log to below, so it can't be read from there.
#[test]
fn a_segment_that_the_log_was_cut_below_is_no_root_although_the_entry_came_back() {
    let mut kept_back = 0;
    for (count, restarts) in (1..14).flat_map(|count| [(count, false), (count, true)]) {
        let mut driver = Driver::new(false);
        driver.entries(1, count);
        let end = last(&driver.state).index;
        let again = entries(end.0, 1, &[150, 150]);
        driver.write(Update { keep: end.previous(), entries: again, ..Update::default() });
        assert_eq!(driver.state.entries.len() as u64, end.0 + 1);
        if restarts {
            driver.restart();
        }
        driver.release(end.0);
        driver.entries(1, 1);
        let begins = driver.check();
        kept_back += u32::from(begins < end);
        driver.entries(1, 5);
        driver.check();
    }
    assert!(kept_back > 5, "{kept_back}");
}

/// What was in the log before a reset may never have been committed, whatever is released later.
#[test]
fn no_segment_before_a_reset_becomes_a_root() {
    let mut driver = Driver::new(false);
    driver.entries(1, 9);
    let mut ops = Vec::new();
    let reset = Update { base: Some(base(7, 3, 42)), ..Update::default() };
    driver.wal.append(&reset, &mut ops).unwrap();
    let segment = *driver.files.keys().last().unwrap() + 1;
    driver.wal.release(Index(7));
    // Nothing is synced yet, so the next segments still need all of them.
    for from in [8, 10, 12] {
        let more = Update { entries: entries(from, 3, &[20, 20]), ..Update::default() };
        driver.wal.append(&more, &mut ops).unwrap();
    }
    // The reset is lost, and the header of its segment and all that follows are not.
    for op in &ops {
        if !matches!(op, Op::Put { segment: of, at: 1.., .. } if *of == segment) {
            carry_out(&mut driver.files, TINY, op);
        }
    }
    assert!(*driver.files.keys().last().unwrap() > segment);
    let recovery = reopen(&driver.files, TINY).unwrap();
    assert!(found(&recovery.recovered, &driver.state, Index(0)), "{:?}", recovery.recovered);
}

#[test]
fn a_reset_needs_nothing_before_it() {
    for restarts in [false, true] {
        let mut driver = Driver::new(false);
        driver.entries(1, 12);
        let old: Vec<u64> = driver.files.keys().copied().collect();
        let reset =
            Update { base: Some(base(30, 2, 5)), entries: entries(31, 2, &[10]), ..Update::default() };
        driver.write(reset);
        assert_eq!(
            driver.files.len(),
            old.len() + 1,
            "it begins a segment, and nothing says yet that it is whole"
        );
        if restarts {
            driver.restart();
        }
        driver.entries(2, 3);
        assert!(old.iter().all(|segment| !driver.files.contains_key(segment)));
        assert_eq!(driver.check(), Index(30));
        driver.restart();
        driver.entries(2, 1);
        assert_eq!(driver.check(), Index(30));
    }
}

#[test]
fn writes_larger_than_segments_are_released_too() {
    let mut driver = Driver::new(false);
    for round in 0..30 {
        let from = last(&driver.state).index.0 + 1;
        driver.write(Update { entries: entries(from, 1, &[300; 9]), ..Update::default() });
        driver.release(last(&driver.state).index.0 - round % 9);
        driver.check();
    }
    assert!(driver.files.len() < 40, "{} segments", driver.files.len());
}

/// A deletion is not synced: any of the files may be there again, then or later.
#[test]
fn files_that_come_back_are_nothing() {
    let mut driver = Driver::new(false);
    for round in 0..4 {
        driver.entries(1, 6);
        driver.release(4 + 6 * round);
        driver.entries(1, 2);
    }
    let deleted: Vec<(u64, Vec<u8>)> = driver.deleted.clone().into_iter().collect();
    assert!(deleted.len() > 6, "{}", deleted.len());
    for subset in 0..1_u32 << deleted.len().min(11) {
        let back = deleted.iter().enumerate().filter(|(at, _)| subset >> (at % 11) & 1 == 1);
        let mut files = driver.files.clone();
        files.extend(back.map(|(_, file)| file.clone()));
        let recovery = reopen(&files, TINY).unwrap();
        assert!(found(&recovery.recovered, &driver.state, driver.released));
        assert_eq!((recovery.discard.len(), recovery.cut), (files.len() - driver.files.len(), None));
        // The next start's first segment does not bring them into the log.
        let mut wal = recovery.wal;
        let update = Update { hard: Some(hard(8, None, 8)), ..Update::default() };
        store(&mut wal, &mut files, TINY, &update);
        let again = reopen(&files, TINY).unwrap();
        assert_eq!(
            (again.recovered.hard, again.recovered.entries),
            (hard(8, None, 8), recovery.recovered.entries)
        );
    }
}

/// A root is named only after it was synced. So the header that names it says that it was, also if no record is left
/// that could.
#[test]
fn a_root_that_is_gone_is_decay_even_if_only_a_header_is_left() {
    let mut driver = Driver::new(false);
    driver.entries(1, 12);
    driver.release(9);
    driver.entries(1, 2);
    let named = |file: &Vec<u8>| {
        u64::from_le_bytes(core::array::from_fn(|at| if at < 6 { file[10 + at] } else { 0 }))
    };
    let (newest, root) =
        driver.files.iter().map(|(number, file)| (*number, named(file))).next_back().unwrap();
    assert_eq!(driver.files.keys().next(), Some(&root));
    let page = |files: &mut Files, number: u64| files.get_mut(&number).unwrap()[4096..].fill(0);
    // All records of all segments, then also whole files, with and without what was deleted before.
    for back in [false, true] {
        let mut files = driver.files.clone();
        if back {
            files.extend(driver.deleted.clone());
        }
        let numbers: Vec<u64> = files.keys().copied().collect();
        numbers.iter().for_each(|number| page(&mut files, *number));
        let Err(Refusal::Decay(decay)) = reopen(&files, TINY) else { panic!("not refused") };
        assert!(decay.missing.is_empty() && decay.unreadable.is_empty(), "{decay}");
        files.get_mut(&root).unwrap().fill(0);
        let Err(Refusal::Decay(decay)) = reopen(&files, TINY) else { panic!("not refused") };
        assert_eq!(decay.unreadable, [root]);
        files.remove(&root);
        let Err(Refusal::Decay(decay)) = reopen(&files, TINY) else { panic!("not refused") };
        assert_eq!(decay.missing, [root], "{decay}");
        files.retain(|number, _| *number == newest);
        assert!(matches!(reopen(&files, TINY), Err(Refusal::Decay(_))));
    }
    // The hard state or the anchor of the root, in both copies.
    for (slot, offset) in [(0, 0), (1, 104)] {
        let mut files = driver.files.clone();
        let file = files.get_mut(&root).unwrap();
        file[4096 + 104 * slot..][..104].fill(0);
        file[4096 + TINY.ids_bytes as usize + offset..][..104].fill(0);
        assert!(matches!(reopen(&files, TINY), Err(Refusal::Decay(_))));
    }
}
