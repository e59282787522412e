//! Many lives of one disk: random updates, late reports, marks, power cuts at any time, also right after a start.

use crate::dice::Dice;
use crate::disk::*;
use raft_core::wal::{Layout, Op, Sequence, Wal};
use raft_core::{Index, Recovered, Update};

/// A disk with operations on their way, each with the write that it belongs to.
struct Life {
    layout: Layout,
    durable: Files,
    flying: Vec<(Sequence, Op)>,
    wal: Wal,
    /// What the log holds after each write that is not synced; the first is what is synced.
    states: Vec<(Sequence, Recovered)>,
    /// What may be deleted.
    discard: Vec<u64>,
    /// The log never changes any more up to here, and is not needed up to there.
    committed: Index,
    released: Index,
    /// It begins with a base; otherwise as a node that joins, with entries.
    founds: bool,
    cuts: usize,
    /// How often a log was read from a root, and how many files were deleted.
    rooted: usize,
    deleted: usize,
}

impl Life {
    fn put_out(&mut self, number: Sequence, ops: Vec<Op>, state: Recovered) {
        self.flying.extend(ops.into_iter().map(|op| (number, op)));
        self.states.push((number, state));
    }

    fn write(&mut self, dice: &mut Dice) {
        let mut state = self.states.last().expect("never empty").1.clone();
        let largest = u64::from(self.layout.data_bytes - 2 * 104);
        let mut update = dice.update(&state, self.committed, largest);
        if self.founds && state == Recovered::default() {
            let hard = update.hard;
            update = Update { hard, base: Some(base(0, 0, 0)), ..Update::default() };
        }
        let mut ops = Vec::new();
        let number = self.wal.append(&update, &mut ops).expect("it fits");
        apply(&mut state, &update);
        self.put_out(number, ops, state);
    }

    /// Everything up to a write reaches stable storage; the log may or may not hear of it.
    fn sync(&mut self, dice: &mut Dice) {
        let last = dice.pick(self.states.len() as u64) as usize;
        let through = self.states[last].0;
        self.states.drain(..last);
        let (done, flying) = self.flying.drain(..).partition(|(number, _)| *number <= through);
        self.flying = flying;
        let done: Vec<(Sequence, Op)> = done;
        done.iter().for_each(|(_, op)| carry_out(&mut self.durable, self.layout, op));
        if through > Sequence(0) {
            self.delete(dice);
            if dice.chance(80) {
                let obsolete = self.wal.synced(through);
                self.discard.extend(obsolete);
            }
        }
    }

    /// More is committed: of what is synced and is not about to change. The application may have no need of it.
    fn commit(&mut self, dice: &mut Dice) {
        let prefix = |state: &Recovered| {
            let synced = &self.states[0].1;
            let end = |state: &Recovered| last(state).index.0;
            if state.base != synced.base {
                return self.committed.0;
            }
            let same = state.entries.iter().zip(&synced.entries).take_while(|(a, b)| a == b).count();
            end(synced) - synced.entries.len() as u64 + same as u64
        };
        let most = self.states.iter().map(|(_, state)| prefix(state)).min().expect("never empty");
        self.committed =
            Index(most - dice.pick(most.saturating_sub(self.committed.0) + 1)).max(self.committed);
        if dice.chance(50) {
            self.released = self.committed;
            self.wal.release(self.released);
        }
    }

    fn mark(&mut self) {
        let mut ops = Vec::new();
        if let Some(number) = self.wal.mark(&mut ops) {
            let state = self.states.last().expect("never empty").1.clone();
            self.put_out(number, ops, state);
        }
    }

    /// Deletes some of what is not needed, once the start's own first write is synced.
    fn delete(&mut self, dice: &mut Dice) {
        for segment in core::mem::take(&mut self.discard) {
            match dice.pick(3) {
                0 => self.deleted += usize::from(self.durable.remove(&segment).is_some()),
                1 => self.discard.push(segment),
                // Never: as if a crash had undone it.
                _ => {}
            }
        }
    }

    /// Loses any part of what is in flight, then starts again.
    fn power_cut(&mut self, dice: &mut Dice) {
        let survival = [0, 30, 70, 95, 100][dice.pick(5) as usize];
        for (_, op) in core::mem::take(&mut self.flying) {
            if dice.chance(survival) {
                carry_out(&mut self.durable, self.layout, &op);
            } else if let (Op::Put { segment, at, bytes }, true) = (op, dice.chance(50)) {
                let start = dice.pick(bytes.len() as u64 + 1) as usize;
                let end = start + dice.pick((bytes.len() - start) as u64 + 1) as usize;
                let op = Op::Put { segment, at: at + start as u64, bytes: bytes.slice(start..end) };
                carry_out(&mut self.durable, self.layout, &op);
            }
        }
        let recovery = reopen(&self.durable, self.layout).unwrap_or_else(|refusal| panic!("{refusal}"));
        let is = |state: &Recovered| found(&recovery.recovered, state, self.released);
        let at = self.states.iter().rposition(|(_, state)| is(state));
        let at = at.expect("everything synced and at most a prefix of the writes in flight");
        self.cuts += usize::from(recovery.cut.is_some());
        self.rooted += usize::from(recovery.recovered.base != self.states[at].1.base);
        assert_eq!(recovery.mended, [], "a crash is no decay");
        self.states = vec![(Sequence(0), recovery.recovered)];
        self.wal = recovery.wal;
        if dice.chance(70) {
            self.wal.release(self.released);
        }
        self.discard = recovery.discard;
    }
}

#[test]
fn no_power_cut_loses_what_was_synced_or_is_taken_for_decay() {
    let (mut cuts, mut lives, mut segments, mut rooted, mut deleted) = (0, 0, 0, 0, 0);
    for seed in 0..2000 {
        let mut dice = Dice(seed);
        let layout = [TINY, SMALL][(seed % 2) as usize];
        let mut life = Life {
            layout,
            durable: Files::new(),
            flying: Vec::new(),
            wal: reopen(&Files::new(), layout).expect("empty").wal,
            states: vec![(Sequence(0), Recovered::default())],
            discard: Vec::new(),
            committed: Index(0),
            released: Index(0),
            founds: seed % 4 < 2,
            cuts: 0,
            rooted: 0,
            deleted: 0,
        };
        for _ in 0..100 {
            match dice.pick(14) {
                0..=4 => life.write(&mut dice),
                10..=13 => life.commit(&mut dice),
                5..=6 => life.sync(&mut dice),
                7..=8 => life.mark(),
                _ => {
                    life.power_cut(&mut dice);
                    lives += 1;
                }
            }
        }
        cuts += life.cuts;
        rooted += life.rooted;
        deleted += life.deleted;
        segments += life.durable.len();
    }
    println!(
        "{lives} lives, {cuts} cuts, {segments} segments at the end, {rooted} from a root, {deleted} deleted"
    );
    assert!(lives > 10_000 && cuts > 3000 && rooted > 1000 && deleted > 6000, "the storm was no storm");
}
