//! Leadership on its way to another server (dissertation 3.10), also when the leader removed itself (4.2.2).

use super::Leader;
use crate::change::Refusal;
use crate::event::Event;
use crate::ids::{Index, NodeId, Ticket};
use crate::message::Body;
use crate::outbox::Pending;
use crate::output::Answer;
use crate::planted::Bug;
use crate::state::State;

/// A hand-over under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    to: NodeId,
    until: u64,
    asked: bool,
}

impl Transfer {
    pub(super) fn protocol(&self) -> (NodeId, bool) {
        (self.to, self.asked)
    }
}

impl Leader {
    /// To whom leadership is being handed over.
    pub(crate) fn transferring(&self) -> Option<NodeId> {
        self.transfer.as_ref().map(|transfer| transfer.to)
    }

    /// Begins to hand over to a voter, by default to the one whose log is longest. A hand-over under way goes on.
    pub(crate) fn transfer(&mut self, state: &mut State, ticket: Ticket, to: Option<NodeId>) {
        let answer = match self.successor(state, to) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(_) if self.transfer.is_some() => Answer::Refused(Refusal::Transferring),
            Ok(to) => {
                let until = state.clock.now + u64::from(state.config.election_ticks);
                self.transfer = Some(Transfer { to, until, asked: false });
                state.outbox.put(Pending::Event(Event::TransferBegun { to }));
                Answer::HandingOver { to }
            }
        };
        state.answer(ticket, answer);
    }

    /// The voter to hand over to: the one that was named, or the best.
    fn successor(&self, state: &State, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        let membership = state.log.membership().cloned().unwrap_or_default();
        if let Some(id) = to {
            let member = membership.get(id).ok_or(Refusal::UnknownMember { id })?;
            if !member.standing.votes() {
                return Err(Refusal::NotAVoter { id });
            }
        }
        let fit = |id: NodeId| {
            id != state.config.id && to.is_none_or(|to| to == id) && membership.new_half().any(|it| it == id)
        };
        let peers = self.peers.iter().filter(|peer| fit(peer.id));
        let best = peers.max_by_key(|peer| (peer.progress.matched, peer.pulse.heard_at));
        best.map(|peer| peer.id).ok_or(Refusal::NoSuccessor)
    }

    /// Gives up a hand-over that took too long (rule 15).
    pub(super) fn end_transfer(&mut self, state: &mut State) {
        let now = state.clock.now;
        let late = |transfer: &mut Transfer| now >= transfer.until;
        if !state.config.planted(Bug::TransferNeverEnds)
            && let Some(transfer) = self.transfer.take_if(late)
        {
            self.attends = true;
            state.outbox.put(Pending::Event(Event::TransferEnded { to: transfer.to }));
        }
    }

    /// A timeout-now may be lost.
    pub(super) fn ask_successor_again(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            transfer.asked = false;
        }
    }

    /// The successor may campaign as soon as it holds all.
    pub(super) fn hand_over(&mut self, state: &mut State) {
        let Some(transfer) = &mut self.transfer else { return };
        let holds_all = self
            .peers
            .iter()
            .any(|peer| peer.id == transfer.to && peer.progress.matched == state.log.last().index);
        if holds_all && !transfer.asked {
            transfer.asked = true;
            self.abdicated = true;
            let message = state.request(Body::TimeoutNow);
            state.outbox.send(transfer.to, message);
        }
    }

    /// Whether this server has led to the end of a change that takes its vote: the configuration without it is committed.
    pub(crate) fn is_done(&self, state: &State) -> bool {
        let settled = state.log.membership_index().is_some_and(|at| at <= state.commit);
        settled
            && state.commit >= self.first
            && !state.is_voter()
            && !state.config.planted(Bug::RemovedLeaderStays)
    }

    /// The last words of a leader without a vote: everybody learns of the commit, and the best voter campaigns at once.
    pub(crate) fn leave(&mut self, state: &mut State) {
        self.beat(state, Index(u64::MAX));
        if let Ok(to) = self.successor(state, None) {
            self.abdicated = true;
            let message = state.request(Body::TimeoutNow);
            state.outbox.send(to, message);
        }
    }
}
