//! Linearizable reads by read index (dissertation 6.4): a read notes the commit index on arrival, joins a round of
//! heartbeats that has not been sent yet, and is answered once a quorum has acknowledged that round or a later one.

use crate::ids::{Index, NodeId, Round, Stamp, Ticket};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    /// A client of this node.
    Client(Ticket),
    /// A follower, for its own clients.
    Follower {
        /// Who.
        id: NodeId,
        /// Which process of it.
        asker: Stamp,
        /// Its name for the question.
        batch: Round,
    },
}

/// The reads of one leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    /// Arrived, in no round yet.
    waiting: Vec<(Reader, Index)>,
    /// In a round that was sent.
    asked: VecDeque<(Round, Reader, Index)>,
    /// Confirmed; a client's is to be answered once applied.
    confirmed: Vec<(Reader, Index)>,
    /// Covered by the lease, if it still is when they are answered.
    leased: Vec<(Ticket, Index)>,
}

impl Reads {
    /// How many have no answer yet.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.asked.len() + self.confirmed.len() + self.leased.len()
    }

    /// A read arrived while `commit` was the commit index.
    pub(crate) fn arrive(&mut self, reader: Reader, commit: Index) {
        self.waiting.push((reader, commit));
    }

    /// A follower's question arrived. It may come twice; and a new one takes the place of an older one, since a follower
    /// waits for one answer at a time.
    pub(crate) fn arrive_from(&mut self, id: NodeId, asker: Stamp, batch: Round, commit: Index) {
        let reader = Reader::Follower { id, asker, batch };
        let older = |other: &Reader| matches!(other, Reader::Follower { id: from, .. } if *from == id && *other != reader);
        self.waiting.retain(|(other, _)| !older(other));
        self.asked.retain(|(_, other, _)| !older(other));
        let again = self.waiting.iter().any(|(other, _)| *other == reader)
            || self.asked.iter().any(|(_, other, _)| *other == reader);
        if !again {
            self.arrive(reader, commit);
        }
    }

    /// A read arrived while there was a lease.
    pub(crate) fn lease(&mut self, ticket: Ticket, commit: Index) {
        self.leased.push((ticket, commit));
    }

    /// Whether a new round is wanted: somebody waits, and no earlier round is on its way (all who arrive meanwhile
    /// share the next one).
    pub(crate) fn want_round(&self) -> bool {
        !self.waiting.is_empty() && self.asked.is_empty()
    }

    /// A round is about to be sent: all who wait join it. `first`: the leader's first own entry, at or after
    /// everything that earlier leaders committed.
    pub(crate) fn join(&mut self, round: Round, first: Index) {
        self.asked.extend(self.waiting.drain(..).map(|(reader, commit)| (round, reader, commit.max(first))));
    }

    /// Confirms the reads of every round that a quorum has acknowledged.
    pub(crate) fn confirm(&mut self, acknowledged: impl Fn(Round) -> bool) {
        while let Some((_, reader, index)) = self.asked.pop_front_if(|(round, _, _)| acknowledged(*round)) {
            self.confirmed.push((reader, index));
        }
    }

    /// Takes a confirmed read that can be answered: a follower's always, a client's once its index is applied.
    pub(crate) fn ready(&mut self, applied: Index) -> Option<(Reader, Index)> {
        let is_ready = |(reader, index): &(Reader, Index)| {
            matches!(reader, Reader::Follower { .. }) || *index <= applied
        };
        let at = self.confirmed.iter().position(is_ready)?;
        Some(self.confirmed.swap_remove(at))
    }

    /// Takes a read under the lease whose index is applied.
    pub(crate) fn ready_by_lease(&mut self, applied: Index) -> Option<(Ticket, Index)> {
        let at = self.leased.iter().position(|(_, index)| *index <= applied)?;
        Some(self.leased.swap_remove(at))
    }

    /// The lease is over: who counted on it waits for a round instead.
    pub(crate) fn lease_is_over(&mut self) {
        let leased = mem::take(&mut self.leased).into_iter();
        self.waiting.extend(leased.map(|(ticket, index)| (Reader::Client(ticket), index)));
    }

    /// Takes all tickets: leadership is over. Followers notice by themselves.
    pub(crate) fn give_up(self) -> impl Iterator<Item = Ticket> {
        let waiting = self.waiting.into_iter().map(|(reader, _)| reader);
        let asked = self.asked.into_iter().map(|(_, reader, _)| reader);
        let all = waiting.chain(asked).chain(self.confirmed.into_iter().map(|(reader, _)| reader));
        let clients = all.filter_map(|reader| match reader {
            Reader::Client(ticket) => Some(ticket),
            Reader::Follower { .. } => None,
        });
        clients.chain(self.leased.into_iter().map(|(ticket, _)| ticket))
    }
}
