//! A power cut with several writes in flight: every subset of their puts, and every put torn at every byte.

use crate::disk::*;
use raft_core::wal::{Layout, Op};
use raft_core::{Index, Recovered, Update};

/// The moment of a power cut: what is on stable storage, and what was on its way.
struct Moment {
    files: Files,
    /// Each operation in flight.
    flying: Vec<Op>,
    /// The states that recovery may find: of everything synced, and after each write in flight.
    allowed: Vec<Recovered>,
    released: Index,
}

/// What becomes of what is not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Old {
    /// Nothing is released.
    Kept,
    /// It is released, and its segments are deleted, or all of them but every other one.
    Deleted,
    Halved,
}

/// Writes a script: `synced` updates are synced, `flying` more are put out. `reports`: whether the log is told of each
/// sync before the next write, or only of every other.
fn moment(
    script: &[Update],
    layout: Layout,
    synced: usize,
    flying: usize,
    reports: usize,
    old: Old,
) -> Moment {
    let mut released = Index(0);
    let mut files = Files::new();
    let mut state = Recovered::default();
    let mut wal = reopen(&files, layout).expect("empty").wal;
    for (at, update) in script.iter().take(synced).enumerate() {
        let mut ops = Vec::new();
        let number = wal.append(update, &mut ops).expect("it fits");
        ops.iter().for_each(|op| carry_out(&mut files, layout, op));
        apply(&mut state, update);
        if at % reports == 0 {
            let gone = |segment: &u64| old == Old::Deleted || segment.is_multiple_of(2);
            for segment in wal.synced(number).into_iter().filter(gone) {
                files.remove(&segment).expect("each is named once");
            }
        }
        if old != Old::Kept {
            released = COMMITTED[at];
            wal.release(released);
        }
    }
    let mut moment = Moment { files, flying: Vec::new(), allowed: vec![state.clone()], released };
    for update in script.iter().skip(synced).take(flying) {
        wal.append(update, &mut moment.flying).expect("it fits");
        apply(&mut state, update);
        moment.allowed.push(state.clone());
    }
    moment
}

impl Moment {
    /// Recovers from what the cut left of each operation, twice: the second start must find what the first one found.
    fn check(&self, layout: Layout, left: impl Fn(usize, &Op) -> Option<Op>) {
        let mut files = self.files.clone();
        let survivors: Vec<Op> = self.flying.iter().enumerate().filter_map(|(at, op)| left(at, op)).collect();
        survivors.iter().for_each(|op| carry_out(&mut files, layout, op));
        let recovery = reopen(&files, layout).unwrap_or_else(|refusal| panic!("{refusal}\n{survivors:?}"));
        let is = |state: &Recovered| found(&recovery.recovered, state, self.released);
        assert!(self.allowed.iter().any(is), "neither synced nor in flight\n{survivors:?}");
        assert_eq!(recovery.mended, [], "a crash is no decay");
        if survivors.len() == self.flying.len() && survivors == self.flying {
            assert!(self.allowed.last().is_some_and(is), "everything is there");
            assert_eq!(recovery.cut, None);
        }
        let mut wal = recovery.wal;
        let update = Update { hard: Some(hard(9, None, 9)), ..Update::default() };
        let mut expected = recovery.recovered;
        store(&mut wal, &mut files, layout, &update);
        apply(&mut expected, &update);
        let again = reopen(&files, layout).unwrap_or_else(|refusal| panic!("{refusal}\n{survivors:?}"));
        assert_eq!(
            (again.recovered, again.cut, again.mended),
            (expected, None, vec![]),
            "after the next start\n{survivors:?}"
        );
        assert_eq!(again.discard, recovery.discard);
    }
}

/// The first `end` bytes of a put, or all but them.
fn torn(op: &Op, end: usize, suffix: bool) -> Op {
    match op {
        Op::Put { segment, at, bytes } if suffix => {
            Op::Put { segment: *segment, at: at + end as u64, bytes: bytes.slice(end..) }
        }
        Op::Put { segment, at, bytes } => Op::Put { segment: *segment, at: *at, bytes: bytes.slice(..end) },
        Op::Create { .. } => op.clone(),
    }
}

#[test]
fn any_subset_of_the_puts_in_flight_may_survive() {
    let script = script();
    let mut subsets = 0;
    let kinds = [
        (TINY, 2, 1, Old::Kept),
        (TINY, 2, 1, Old::Deleted),
        (TINY, 2, 2, Old::Halved),
        (TINY, 3, 2, Old::Deleted),
        (SMALL, 3, 1, Old::Deleted),
        (SMALL, 4, 3, Old::Halved),
    ];
    for (layout, flying, reports, old) in kinds {
        for synced in 0..script.len() {
            let moment = moment(&script, layout, synced, flying, reports, old);
            // Beyond nine, the others are decided by the low bits too: exhaustive would take too long.
            let bits = moment.flying.len().min(9);
            for subset in 0..1_u32 << bits {
                moment.check(layout, |at, op| (subset >> (at % bits) & 1 == 1).then(|| op.clone()));
                subsets += 1;
            }
        }
    }
    assert!(subsets > 5_000, "only {subsets}");
}

#[test]
fn a_put_may_be_torn_at_every_byte() {
    let script = script();
    for (layout, old) in [(TINY, Old::Deleted), (SMALL, Old::Halved)] {
        for synced in 0..script.len() {
            let moment = moment(&script, layout, synced, 2, 1, old);
            for (torn_op, op) in moment.flying.iter().enumerate() {
                let Op::Put { bytes, .. } = op else { continue };
                // A page has its two headers at 0 and 2048 and zeros between; the tiny layout is torn at every byte.
                let step = if layout == TINY { 1 } else { 29 };
                let interesting =
                    |byte: &usize| byte.is_multiple_of(step) && (bytes.len() < 4096 || byte % 2048 < 104);
                for end in (0..bytes.len()).filter(interesting) {
                    // The others: all there, or none; the torn one keeps its beginning or, at some bytes, its end.
                    for (others, suffix) in [(true, false), (false, false), (true, true)] {
                        if suffix && !end.is_multiple_of(5) {
                            continue;
                        }
                        moment.check(layout, |at, op| {
                            if at == torn_op {
                                Some(torn(op, end, suffix))
                            } else {
                                (others || matches!(op, Op::Create { .. })).then(|| op.clone())
                            }
                        });
                    }
                }
            }
        }
    }
}
