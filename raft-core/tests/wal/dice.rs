//! Seeded chance, and valid updates drawn with it.

use crate::disk::{base, command, hard, membership};
use raft_core::{Entry, EntryId, Index, Payload, Recovered, Update};

/// A small generator (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `n`.
    pub(crate) fn pick(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.pick(100) < percent
    }

    /// An update that fits this state, which is committed up to an index, with entries of at most so many bytes.
    pub(crate) fn update(&mut self, state: &Recovered, committed: Index, largest: u64) -> Update {
        let mut update = Update::default();
        let mut term = state.hard.term.0;
        if self.chance(30) || term == 0 {
            term += self.pick(2) + u64::from(term == 0);
            update.hard = Some(hard(term, self.chance(50).then(|| self.pick(5)), state.hard.boot.0 + 1));
        }
        let start = state.base.as_ref().map_or(EntryId::ORIGIN, |base| base.id);
        let mut last = state.entries.last().map_or(start, Entry::id);
        if self.chance(5) {
            // Also below what is there: not all of that has to be committed.
            let from = if self.chance(50) { last.index } else { committed };
            update.base = Some(base(from.0 + 1 + self.pick(5), term, self.pick(1 << 40)));
            last = update.base.as_ref().expect("just made").id;
        } else if self.chance(20) {
            let first = start.index.max(committed).0;
            let keep = first + self.pick(last.index.0 - first + 1);
            update.keep = Some(Index(keep));
            last.index = Index(keep);
        }
        let count = if self.chance(10) { self.pick(20) } else { self.pick(4) };
        for index in last.index.0 + 1..=last.index.0 + count {
            let id = EntryId::new(term, index);
            update.entries.push(match self.pick(10) {
                0 => Entry::new(id, Payload::Noop),
                1 => Entry::new(id, Payload::Membership(membership(1 + self.pick(5)))),
                2 => command(index, term, self.pick(largest + 1) as usize),
                _ => command(index, term, self.pick(40) as usize),
            });
        }
        update
    }
}
