//! A follower's linearizable reads (dissertation 6.4): it asks its leader which index they need, one question at a time
//! for all that wait, and serves them itself once it has applied that index.

use crate::ids::{Index, NodeId, Round, Ticket};
use crate::message::Body;
use crate::output::{Answer, Limit};
use crate::state::State;
use alloc::vec::Vec;
use core::mem;

/// A question on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    leader: NodeId,
    batch: Round,
    tickets: Vec<Ticket>,
}

/// The reads of one follower.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Asks {
    /// Arrived, in no question yet.
    waiting: Vec<Ticket>,
    asked: Option<Asked>,
    /// Confirmed; to be answered once applied.
    confirmed: Vec<(Ticket, Index)>,
    /// The newest question of this boot.
    newest: Round,
}

impl Asks {
    /// How many have no answer yet.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.confirmed.len() + self.asked.as_ref().map_or(0, |asked| asked.tickets.len())
    }

    /// A read arrived.
    pub(crate) fn arrive(&mut self, ticket: Ticket) {
        self.waiting.push(ticket);
    }

    /// The next question to this leader, for all who wait. Whoever arrives later is in a later one: the leader's
    /// answer is about the time when it was asked.
    pub(crate) fn ask(&mut self, leader: NodeId) -> Option<Round> {
        if self.waiting.is_empty() || self.asked.is_some() {
            return None;
        }
        self.newest = Round(self.newest.0 + 1);
        let tickets = mem::take(&mut self.waiting);
        self.asked = Some(Asked { leader, batch: self.newest, tickets });
        Some(self.newest)
    }

    /// The question on its way, to be sent again: it or its answer may be lost.
    pub(crate) fn again(&self) -> Option<(NodeId, Round)> {
        self.asked.as_ref().map(|asked| (asked.leader, asked.batch))
    }

    /// The leader answers.
    pub(crate) fn answered(&mut self, leader: NodeId, batch: Round, index: Index) {
        if let Some(asked) = self.asked.take_if(|asked| (asked.leader, asked.batch) == (leader, batch)) {
            self.confirmed.extend(asked.tickets.into_iter().map(|ticket| (ticket, index)));
        }
    }

    /// Takes a confirmed read whose index is applied.
    pub(crate) fn ready(&mut self, applied: Index) -> Option<(Ticket, Index)> {
        let at = self.confirmed.iter().position(|(_, index)| *index <= applied)?;
        Some(self.confirmed.swap_remove(at))
    }

    /// Whether another leader than this one was asked.
    fn are_lost(&self, leader: NodeId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.leader != leader)
    }

    /// Takes the tickets that no leader has confirmed.
    fn give_up(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let asked = self.asked.take().map(|asked| asked.tickets).unwrap_or_default();
        mem::take(&mut self.waiting).into_iter().chain(asked)
    }

    /// Takes all tickets: there is no leader, or the node halts. Who waits for an index that was confirmed may wait for
    /// ever without one.
    pub(crate) fn give_up_all(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let confirmed = mem::take(&mut self.confirmed).into_iter().map(|(ticket, _)| ticket);
        self.give_up().chain(confirmed)
    }
}

impl State {
    /// Takes a client's read at a follower.
    pub(crate) fn ask(&mut self, ticket: Ticket) {
        if self.leader.is_none() || !self.founded() {
            self.answer(ticket, Answer::NotLeader { leader: None });
        } else if self.tickets.len() + self.asks.len() >= self.config.limits.tickets {
            self.answer(ticket, Answer::Busy(Limit::Tickets));
        } else {
            self.asks.arrive(ticket);
        }
    }

    /// At the end of a turn: gives up what another leader was asked, and asks this one.
    pub(crate) fn ask_leader(&mut self) {
        if self.asks.len() == 0 {
            return;
        }
        let leader = self.leader.filter(|leader| *leader != self.config.id);
        let given_up: Vec<Ticket> = match leader {
            None => self.asks.give_up_all().collect(),
            Some(leader) if self.asks.are_lost(leader) => self.asks.give_up().collect(),
            Some(_) => Vec::new(),
        };
        for ticket in given_up {
            self.answer(ticket, Answer::NotLeader { leader: self.leader });
        }
        if let Some(to) = leader.filter(|_| self.may_hold())
            && let Some(batch) = self.asks.ask(to)
        {
            self.asked_ago = 0;
            let message = self.request(Body::ReadIndex { batch });
            self.outbox.send(to, message);
        }
    }

    /// Time passes: after a heartbeat interval without an answer the leader is asked again.
    pub(crate) fn ask_again(&mut self, elapsed: u32) {
        self.asked_ago = self.asked_ago.saturating_add(elapsed);
        if self.asked_ago >= self.config.heartbeat_ticks
            && self.may_hold()
            && let Some((to, batch)) = self.asks.again()
        {
            self.asked_ago = 0;
            let message = self.request(Body::ReadIndex { batch });
            self.outbox.send(to, message);
        }
    }

    /// Answers the reads whose index is applied.
    pub(crate) fn answer_asks(&mut self) {
        while let Some((ticket, index)) = self.asks.ready(self.applied) {
            self.answer(ticket, Answer::ReadAt(index));
        }
    }
}
