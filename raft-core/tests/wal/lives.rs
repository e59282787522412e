//! Many lives of one disk: random updates, late reports, marks, power cuts at any time, also right after a start.

use crate::dice::Dice;
use crate::disk::*;
use raft_core::Recovered;
use raft_core::wal::{Layout, Op, Sequence, Wal};

/// A disk with operations on their way, each with the write that it belongs to.
struct Life {
    layout: Layout,
    durable: Files,
    flying: Vec<(Sequence, Op)>,
    wal: Wal,
    /// What the log holds after each write that is not synced; the first is what is synced.
    states: Vec<(Sequence, Recovered)>,
    discard: Vec<u64>,
    cuts: usize,
}

impl Life {
    fn put_out(&mut self, number: Sequence, ops: Vec<Op>, state: Recovered) {
        self.flying.extend(ops.into_iter().map(|op| (number, op)));
        self.states.push((number, state));
    }

    fn write(&mut self, dice: &mut Dice) {
        let mut state = self.states.last().expect("never empty").1.clone();
        let update = dice.update(&state, u64::from(self.layout.data_bytes - 2 * 104));
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
                self.wal.synced(through);
            }
        }
    }

    fn mark(&mut self) {
        let mut ops = Vec::new();
        if let Some(number) = self.wal.mark(&mut ops) {
            let state = self.states.last().expect("never empty").1.clone();
            self.put_out(number, ops, state);
        }
    }

    /// Deletes some of what a start found to be no part of the log, once its own first write is synced.
    fn delete(&mut self, dice: &mut Dice) {
        for segment in core::mem::take(&mut self.discard) {
            if dice.chance(50) {
                self.durable.remove(&segment);
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
        let found = self.states.iter().rposition(|(_, state)| *state == recovery.recovered);
        let found = found.expect("everything synced and at most a prefix of the writes in flight");
        self.cuts += usize::from(recovery.cut.is_some());
        assert_eq!(recovery.mended, [], "a crash is no decay");
        self.states = vec![(Sequence(0), self.states.swap_remove(found).1)];
        self.wal = recovery.wal;
        self.discard = recovery.discard;
    }
}

#[test]
fn no_power_cut_loses_what_was_synced_or_is_taken_for_decay() {
    let (mut cuts, mut lives, mut segments) = (0, 0, 0);
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let layout = [TINY, SMALL][(seed % 2) as usize];
        let mut life = Life {
            layout,
            durable: Files::new(),
            flying: Vec::new(),
            wal: reopen(&Files::new(), layout).expect("empty").wal,
            states: vec![(Sequence(0), Recovered::default())],
            discard: Vec::new(),
            cuts: 0,
        };
        for _ in 0..60 {
            match dice.pick(10) {
                0..=4 => life.write(&mut dice),
                5..=6 => life.sync(&mut dice),
                7..=8 => life.mark(),
                _ => {
                    life.power_cut(&mut dice);
                    lives += 1;
                }
            }
        }
        cuts += life.cuts;
        segments += life.durable.len();
    }
    println!("{lives} lives, {cuts} cuts, {segments} segments at the end");
    assert!(lives > 1000 && cuts > 300, "the storm was no storm");
}
