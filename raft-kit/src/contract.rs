//! What a storage owes: what it was asked for, what it gave receipts for, and whether what is there after a power cut is
//! that.

use raft_core::{Base, Entry, EntryId, Index, Log, Recovered, Snapshot, Update};

/// A write that was handed over.
#[derive(Clone, Debug)]
struct Written {
    /// How many file operations there were before.
    asked: usize,
    /// How many there were when its receipt was given.
    receipt: Option<usize>,
    /// What the log is with it.
    log: Recovered,
}

/// A snapshot that was handed over as a whole.
#[derive(Clone, Debug)]
struct Whole {
    asked: usize,
    snapshot: Snapshot,
    /// It was captured here, and the receipt was given then. (One that was sent is owed only once the log begins with it.)
    captured: Option<usize>,
}

/// All that a storage was asked for in one life, by the number of file operations before.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    start: Recovered,
    written: Vec<Written>,
    released: Vec<(usize, Index)>,
    wholes: Vec<Whole>,
}

/// Whether a cut comes after the beginning of what was asked for. What an earlier life was asked for stands at 0.
fn is_asked(asked: usize, cut: usize) -> bool {
    asked < cut.max(1)
}

/// The log when this has been written, too.
pub(crate) fn with(log: &Recovered, update: &Update) -> Recovered {
    let mut log = log.clone();
    log.hard = update.hard.unwrap_or(log.hard);
    if let Some(base) = &update.base {
        log.base = Some(base.clone());
        log.entries.clear();
    }
    if let Some(keep) = update.keep {
        log.entries.retain(|entry| entry.index() <= keep);
    }
    log.entries.extend(update.entries.iter().cloned());
    log
}

/// Whether a log is this one, or this one from a released place on.
pub(crate) fn is_rest(found: &Recovered, log: &Recovered, released: Index) -> bool {
    if found.hard != log.hard {
        return false;
    }
    if found.base == log.base {
        return found.entries == log.entries;
    }
    let Some(base) = found.base.as_ref().filter(|base| base.id.index <= released) else { return false };
    let whole = Log::recovered(log.base.as_ref(), log.entries.iter().cloned());
    let behind = log.entries.iter().filter(|entry| entry.index() > base.id.index);
    whole.base_at(base.id.index).as_ref() == Some(base) && found.entries.iter().eq(behind)
}

/// What a log is, in a few words.
fn words(log: &Recovered) -> String {
    let base = log.base.as_ref().map(|base| base.id);
    let snapshot = log.snapshot.as_ref().map(Snapshot::last);
    let show = |id: Option<EntryId>| id.map_or("none".to_string(), |id| id.to_string());
    format!(
        "term {} vote {:?} boot {}, base {}, {} entries to {}, snapshot {}",
        log.hard.term.0,
        log.hard.vote.map(|vote| vote.0),
        log.hard.boot.0,
        show(base),
        log.entries.len(),
        show(log.entries.last().map(Entry::id)),
        show(snapshot),
    )
}

impl Owed {
    /// Nothing was asked for yet; what a first recovery found stays.
    pub(crate) fn new(start: Recovered) -> Owed {
        Owed { start, written: Vec::new(), released: Vec::new(), wholes: Vec::new() }
    }

    /// What is owed in the next life: what a recovery found after a power cut at `at`, and of snapshots what was.
    pub(crate) fn after(&self, at: usize, found: Recovered) -> Owed {
        let before = |asked: usize| is_asked(asked, at).then_some(0);
        let whole = |whole: &Whole| {
            let captured = whole.captured.and_then(|receipt| (receipt <= at).then_some(0));
            Some(Whole { asked: before(whole.asked)?, captured, ..whole.clone() })
        };
        Owed {
            start: found,
            written: Vec::new(),
            released: self.released.iter().filter_map(|(asked, to)| Some((before(*asked)?, *to))).collect(),
            wholes: self.wholes.iter().filter_map(whole).collect(),
        }
    }

    /// A write is handed over. Its receipt is the one of this number.
    pub(crate) fn write(&mut self, at: usize, update: &Update) -> usize {
        let log = with(self.log(), update);
        self.written.push(Written { asked: at, receipt: None, log });
        self.written.len() - 1
    }

    pub(crate) fn receipt(&mut self, at: usize, write: usize) {
        self.written[write].receipt = Some(at);
    }

    pub(crate) fn release(&mut self, at: usize, through: Index) {
        self.released.push((at, through));
    }

    /// All of a snapshot is handed over. Gives its number for [`Owed::captured`].
    pub(crate) fn whole(&mut self, at: usize, snapshot: Snapshot) -> usize {
        self.wholes.push(Whole { asked: at, snapshot, captured: None });
        self.wholes.len() - 1
    }

    /// Whether all of a snapshot was handed over.
    pub(crate) fn knows(&self, snapshot: &Snapshot) -> bool {
        self.wholes.iter().any(|whole| whole.snapshot == *snapshot)
    }

    pub(crate) fn captured(&mut self, at: usize, whole: usize) {
        self.wholes[whole].captured = Some(at);
    }

    /// What the log is with all that was handed over.
    pub(crate) fn log(&self) -> &Recovered {
        self.written.last().map_or(&self.start, |written| &written.log)
    }

    /// Whether this may be found when the power went after so many operations; how many of the writes that were handed over
    /// by then are not there.
    pub(crate) fn check(&self, at: usize, found: &Recovered) -> Result<usize, String> {
        let owed =
            self.written.iter().rposition(|written| written.receipt.is_some_and(|receipt| receipt <= at));
        let owed = owed.map_or(0, |last| last + 1);
        let asked = self.written.iter().take_while(|written| written.asked < at).count();
        let released =
            self.released.iter().filter(|(asked, _)| is_asked(*asked, at)).map(|(_, to)| *to).max();
        let log = |writes: usize| writes.checked_sub(1).map_or(&self.start, |at| &self.written[at].log);
        let is = |writes: &usize| is_rest(found, log(*writes), released.unwrap_or_default());
        let Some(writes) = (owed..=asked.max(owed)).rev().find(is) else {
            let older = (0..owed).rev().find(is).map(|writes| format!(", as after write {writes} alone"));
            return Err(format!(
                "the log is no state from write {owed} (the last with a receipt) to write {asked}:\n  owed  {}\n  \
                 asked {}\n  found {}{}",
                words(log(owed)),
                words(log(asked)),
                words(found),
                older.unwrap_or_default(),
            ));
        };
        self.check_snapshot(at, found).map(|()| asked.max(owed) - writes)
    }

    fn check_snapshot(&self, at: usize, found: &Recovered) -> Result<(), String> {
        let is_known = |snapshot: &Snapshot| {
            self.wholes.iter().any(|whole| is_asked(whole.asked, at) && whole.snapshot == *snapshot)
        };
        if let Some(snapshot) = found.snapshot.as_ref().filter(|snapshot| !is_known(snapshot)) {
            return Err(format!(
                "the snapshot of entry {} was never handed over as a whole",
                snapshot.last()
            ));
        }
        let owed = self.wholes.iter().filter(|whole| whole.captured.is_some_and(|receipt| receipt <= at));
        let owed = found.newest(owed.map(|whole| &whole.snapshot)).map(Snapshot::last);
        let last = found.snapshot.as_ref().map(Snapshot::last);
        if owed.is_some_and(|owed| last.is_none_or(|last| last.index < owed.index)) {
            let said = last.map_or("none".to_string(), |last| last.to_string());
            return Err(format!(
                "the snapshot of entry {} has its receipt, and {said} was found",
                owed.unwrap_or_default()
            ));
        }
        let base = found.base.as_ref().map_or(EntryId::ORIGIN, |base: &Base| base.id);
        if base > last.unwrap_or(EntryId::ORIGIN) {
            return Err(format!("the log begins behind entry {base}, and no snapshot reaches there"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Boot, HardState, Membership, NodeId, Payload};

    fn write(boot: u64, keep: Option<u64>, entries: &[(u64, u64)]) -> Update {
        let entry = |(index, term): &(u64, u64)| Entry::new(EntryId::new(*term, *index), Payload::Noop);
        let hard = HardState { boot: Boot(boot), ..HardState::default() };
        let entries = entries.iter().map(entry).collect();
        Update { hard: Some(hard), base: None, keep: keep.map(Index), entries }
    }

    fn base(log: &Recovered, index: u64) -> Base {
        let log = Log::recovered(log.base.as_ref(), log.entries.iter().cloned());
        let membership = Membership::founders([NodeId(0)]).unwrap();
        log.base_at(Index(index)).unwrap_or(Base { id: EntryId::ORIGIN, hash: 0, membership })
    }

    /// Two entries with a receipt, then a truncation without one.
    fn story() -> Owed {
        let mut owed = Owed::new(Recovered::default());
        let first =
            Update { base: Some(base(&Recovered::default(), 0)), ..write(1, None, &[(1, 1), (2, 1)]) };
        let number = owed.write(2, &first);
        owed.receipt(5, number);
        owed.write(6, &write(2, Some(1), &[(2, 2)]));
        owed
    }

    #[test]
    fn only_states_between_the_last_receipt_and_the_last_write_are_right() {
        let owed = story();
        let log = |writes: usize| writes.checked_sub(1).map_or(&owed.start, |at| &owed.written[at].log);
        let right = |at, writes| owed.check(at, log(writes)).ok();
        assert_eq!((right(2, 0), right(2, 1)), (Some(0), None), "not yet asked for");
        assert_eq!((right(3, 0), right(3, 1)), (Some(1), Some(0)), "asked for, and no receipt");
        assert_eq!((right(5, 0), right(5, 1)), (None, Some(0)), "a receipt");
        assert_eq!((right(7, 0), right(7, 1), right(7, 2)), (None, Some(1), Some(0)));
        let mixed = Recovered { hard: log(2).hard, ..log(1).clone() };
        assert!(owed.check(7, &mixed).is_err(), "half a write");
    }

    #[test]
    fn a_log_begins_later_only_where_it_was_released_and_a_snapshot_reaches() {
        let mut owed = story();
        let whole = owed.log().clone();
        let snapshot = Snapshot { base: base(&whole, 1), size: 9, digest: 3 };
        let mut rest = whole.clone();
        rest.base = Some(snapshot.base.clone());
        rest.entries.remove(0);
        let with = Recovered { snapshot: Some(snapshot.clone()), ..rest.clone() };
        assert!(owed.check(9, &with).is_err(), "not released");
        owed.release(7, Index(1));
        assert!(owed.check(9, &with).is_err(), "nobody has taken that snapshot");
        let number = owed.whole(7, snapshot.clone());
        assert_eq!(owed.check(9, &with), Ok(0));
        assert!(owed.check(9, &rest).is_err(), "nothing is there for what the log has forgotten");
        assert_eq!(owed.check(9, &whole), Ok(0), "it is not owed yet");
        owed.captured(8, number);
        assert!(owed.check(9, &whole).is_err(), "it has a receipt");

        // Two lives that end before they begin.
        let later = owed.after(9, with.clone()).after(0, with.clone()).after(0, with.clone());
        assert_eq!(later.check(0, &with), Ok(0));
        assert!(later.check(0, &Recovered { snapshot: None, ..whole }).is_err(), "it is still owed");
    }
}
