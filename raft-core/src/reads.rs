//! Linearizable reads by read index (dissertation 6.4): a read notes the commit index on arrival, joins a round of
//! heartbeats that has not been sent yet, and is answered once a quorum has acknowledged that round or a later one.

use crate::ids::{Index, Round, Ticket};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The reads of one leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    /// Arrived, in no round yet.
    waiting: Vec<(Ticket, Index)>,
    /// In a round that was sent.
    asked: VecDeque<(Round, Ticket, Index)>,
    /// Confirmed; to be answered once applied.
    confirmed: Vec<(Ticket, Index)>,
}

impl Reads {
    /// How many have no answer yet.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.asked.len() + self.confirmed.len()
    }

    /// A read arrived while `commit` was the commit index.
    pub(crate) fn arrive(&mut self, ticket: Ticket, commit: Index) {
        self.waiting.push((ticket, commit));
    }

    /// Whether a new round is wanted: somebody waits, and no earlier round is on its way (all who arrive meanwhile
    /// share the next one).
    pub(crate) fn want_round(&self) -> bool {
        !self.waiting.is_empty() && self.asked.is_empty()
    }

    /// A round is about to be sent: all who wait join it. `first`: the leader's first own entry, at or after
    /// everything that earlier leaders committed.
    pub(crate) fn join(&mut self, round: Round, first: Index) {
        self.asked.extend(self.waiting.drain(..).map(|(ticket, commit)| (round, ticket, commit.max(first))));
    }

    /// Confirms the reads of every round that a quorum has acknowledged.
    pub(crate) fn confirm(&mut self, acknowledged: impl Fn(Round) -> bool) {
        while let Some((_, ticket, index)) = self.asked.pop_front_if(|(round, _, _)| acknowledged(*round)) {
            self.confirmed.push((ticket, index));
        }
    }

    /// Takes a confirmed read whose index is applied.
    pub(crate) fn ready(&mut self, applied: Index) -> Option<(Ticket, Index)> {
        let at = self.confirmed.iter().position(|(_, index)| *index <= applied)?;
        Some(self.confirmed.swap_remove(at))
    }

    /// Takes all tickets: leadership is over.
    pub(crate) fn give_up(self) -> impl Iterator<Item = Ticket> {
        let waiting = self.waiting.into_iter().map(|(ticket, _)| ticket);
        let asked = self.asked.into_iter().map(|(_, ticket, _)| ticket);
        waiting.chain(asked).chain(self.confirmed.into_iter().map(|(ticket, _)| ticket))
    }
}
