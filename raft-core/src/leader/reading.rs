//! Reads at the leader (dissertation 6.4): by a round of heartbeats, by a lease, and for followers.

use super::{Leader, of};
use crate::ids::{NodeId, Round, Stamp, Ticket};
use crate::message::Body;
use crate::output::{Answer, Limit};
use crate::planted::Bug;
use crate::reads::Reader;
use crate::state::State;

impl Leader {
    /// Takes a linearizable read. A leader that removed itself answers none (rule 13).
    pub(crate) fn read(&mut self, state: &mut State, ticket: Ticket, lease: bool) {
        if state.config.planted(Bug::ReadWithoutRound) && state.commit >= self.first {
            return state.answer(ticket, Answer::ReadAt(state.applied));
        }
        if !state.is_voter() {
            return state.answer(ticket, Answer::NotLeader { leader: None });
        }
        if self.open_tickets(state) >= state.config.limits.tickets {
            return state.answer(ticket, Answer::Busy(Limit::Tickets));
        }
        if lease && self.has_lease(state) {
            self.reads.lease(ticket, state.commit);
        } else {
            self.reads.arrive(Reader::Client(ticket), state.commit);
        }
        if state.config.planted(Bug::ReadJoinsSentRound) && state.commit >= self.first {
            self.reads.join(self.round, self.first);
        }
    }

    /// A follower asks for its own reads. It asks again if it hears nothing.
    pub(crate) fn read_index(&mut self, state: &mut State, id: NodeId, asker: Stamp, batch: Round) {
        if !state.is_voter() || self.open_tickets(state) >= state.config.limits.tickets {
            state.ignored += 1;
            return;
        }
        if state.config.planted(Bug::FollowerReadWithoutRound) && state.commit >= self.first {
            let reply = state.reply(asker, Body::ReadIndexReply { batch, index: state.commit });
            return state.outbox.send(id, reply);
        }
        self.reads.arrive_from(id, asker, batch, state.commit);
    }

    /// A member acknowledges a round.
    pub(crate) fn heard_round(&mut self, state: &mut State, from: NodeId, round: Round) {
        let newest = self.round;
        let Some(peer) = self.heard(state, from) else { return };
        if round > newest {
            state.ignored += 1;
            return;
        }
        peer.progress.round = peer.progress.round.max(round);
        self.catch_up(state, from);
        let acknowledged = |id, round| of(&self.peers, id).is_some_and(|progress| progress.round >= round);
        self.reads.confirm(|round| state.is_quorum(|id| acknowledged(id, round)));
        while let Some((round, sent_at)) = self.sent.front().copied() {
            if !state.is_quorum(|id| acknowledged(id, round)) {
                break;
            }
            self.sent.pop_front();
            let from = if state.config.planted(Bug::LeaseFromReply) { state.clock.now } else { sent_at };
            let length = u64::from(state.config.election_ticks)
                .saturating_sub(1)
                .saturating_sub(u64::from(state.config.drift_ticks));
            self.lease_until = self.lease_until.max(from + length);
        }
    }

    /// Whether no other leader can have been elected: a quorum heard this one so recently that it refuses every
    /// candidate. The lease runs from when the round was sent, is shorter than the voters' patience by a tick and the
    /// drift, and is void for the rest of the term once a timeout-now has left (rule 14).
    ///
    /// The quorum is one of the configuration in force, which alone can be uncommitted. Whoever is elected holds what is
    /// committed, so its own configuration is this one or the one before, and two neighbours' quorums meet (dissertation
    /// 4.3), in a voter with the same disk: a disk that was given up votes in neither.
    fn has_lease(&self, state: &State) -> bool {
        let abdicated = self.abdicated && !state.config.planted(Bug::LeaseOutlivesTransfer);
        state.config.check_quorum
            && state.commit >= self.first
            && !abdicated
            && state.is_voter()
            && (state.clock.now < self.lease_until || state.config.planted(Bug::LeaseByQuorumCheck))
    }

    /// Answers the reads whose index is applied. The lease is looked at once more.
    pub(crate) fn answer_reads(&mut self, state: &mut State) {
        if !self.has_lease(state) && !state.config.planted(Bug::LeaseCheckedOnce) {
            self.reads.lease_is_over();
        }
        while let Some((ticket, index)) = self.reads.ready_by_lease(state.applied) {
            state.answer(ticket, Answer::ReadAt(index));
        }
        while let Some((reader, index)) = self.reads.ready(state.applied) {
            match reader {
                Reader::Client(ticket) => state.answer(ticket, Answer::ReadAt(index)),
                Reader::Follower { id, asker, batch } => {
                    let reply = state.reply(asker, Body::ReadIndexReply { batch, index });
                    state.outbox.send(id, reply);
                }
            }
        }
    }
}
