//! The leader: it alone appends, replicates its log to every member, commits by its own term, and confirms reads
//! (paper sections 5.3, 5.4 and 8).

use crate::candidate::Won;
use crate::entry::{Entry, LogSlice, Payload};
use crate::ids::{EntryId, Index, NodeId, Round, Ticket};
use crate::message::{Body, Message};
use crate::output::{Answer, Limit};
use crate::planted::Bug;
use crate::progress::Progress;
use crate::reads::Reads;
use crate::state::State;
use alloc::vec::Vec;
use bytes::Bytes;

/// When one server was last heard, in ticks: kept apart from its progress, since the protocol's safety doesn't depend
/// on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pulse {
    heard_at: u64,
    /// It answered something since the last probe.
    heard: bool,
    /// Something is on its way, and this many heartbeats passed without any of it arriving.
    stalled: u32,
}

/// Leadership on its way to another server (dissertation 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transfer {
    to: NodeId,
    until: u64,
    asked: bool,
}

/// What leading adds to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    progress: Vec<(NodeId, Progress)>,
    pulses: Vec<Pulse>,
    /// The first entry of the own term: the no-op.
    first: Index,
    /// The newest round sent.
    round: Round,
    reads: Reads,
    transfer: Option<Transfer>,
    /// Payload bytes in the log after the commit index.
    uncommitted: usize,
    /// The own log is promised to the own count up to here.
    promised: Index,
    /// Ticks since the last heartbeat.
    beat: u64,
    beat_due: bool,
}

impl Leader {
    /// A new leader. Its first entry is a no-op of its own term, since older entries are committed only along with one
    /// (paper section 5.4.2).
    pub(crate) fn new(_: Won, state: &mut State) -> Leader {
        let last = state.log.last().index;
        state.leader = Some(state.config.id);
        state.clock.leader_heard(&state.config);
        let members = state.log.membership().map(|membership| membership.members()).unwrap_or_default();
        let now = state.clock.now;
        let leader = Leader {
            progress: members.iter().map(|member| (member.id, Progress::new(last))).collect(),
            pulses: members.iter().map(|_| Pulse { heard_at: now, heard: true, stalled: 0 }).collect(),
            first: last.next(),
            round: Round(0),
            reads: Reads::default(),
            transfer: None,
            uncommitted: state.log.from(state.commit.next()).map(Entry::size).sum(),
            promised: Index(0),
            beat: 0,
            beat_due: false,
        };
        let id = EntryId { term: state.hard.term, index: leader.first };
        state.append(Entry::new(id, Payload::Noop));
        leader
    }

    /// Appends a client's command, or says why not.
    pub(crate) fn propose(&mut self, state: &mut State, ticket: Ticket, command: Bytes) {
        let limits = state.config.limits;
        let size = command.len();
        let refused = if self.transfer.is_some() {
            Some(Limit::Transferring)
        } else if size > limits.command_bytes {
            Some(Limit::CommandTooLarge)
        } else if self.open_tickets(state) >= limits.tickets {
            Some(Limit::Tickets)
        } else if self.uncommitted > 0 && self.uncommitted.saturating_add(size) > limits.uncommitted_bytes {
            Some(Limit::UncommittedBytes)
        } else {
            None
        };
        if let Some(limit) = refused {
            return state.answer(ticket, Answer::Busy(limit));
        }
        let id = EntryId { term: state.hard.term, index: state.log.last().index.next() };
        self.uncommitted += size;
        state.append(Entry::new(id, Payload::Command(command)));
        state.tickets.open(id, ticket);
    }

    /// Takes a linearizable read.
    pub(crate) fn read(&mut self, state: &mut State, ticket: Ticket) {
        if state.config.planted(Bug::ReadWithoutRound) && state.commit >= self.first {
            return state.answer(ticket, Answer::ReadAt(state.applied));
        }
        if self.open_tickets(state) >= state.config.limits.tickets {
            return state.answer(ticket, Answer::Busy(Limit::Tickets));
        }
        self.reads.arrive(ticket, state.commit);
    }

    fn open_tickets(&self, state: &State) -> usize {
        state.tickets.len() + self.reads.len()
    }

    /// Begins to hand over to a voter, by default to the one whose log is longest. A hand-over under way goes on.
    pub(crate) fn transfer(&mut self, state: &State, to: Option<NodeId>) {
        let fit = |id: NodeId| {
            id != state.config.id && state.log.membership().is_some_and(|membership| membership.is_voter(id))
        };
        let heard = self.pulses.iter().map(|pulse| pulse.heard_at);
        let best =
            self.progress.iter().zip(heard).filter(|((id, _), _)| fit(*id) && to.is_none_or(|to| to == *id));
        let best = best.max_by_key(|((_, progress), heard_at)| (progress.matched, *heard_at));
        if let (Some(((to, _), _)), None) = (best, &self.transfer) {
            let until = state.clock.now + u64::from(state.config.election_ticks);
            self.transfer = Some(Transfer { to: *to, until, asked: false });
        }
    }

    /// A member holds everything up to `matched`.
    pub(crate) fn appended(&mut self, state: &mut State, from: NodeId, matched: Index) {
        let Some((progress, pulse)) = self.heard(state, from) else { return };
        // Each append is on the base or after it, so no answer is about less.
        if matched > state.log.last().index || matched < state.log.base().index {
            state.ignored += 1;
            return;
        }
        if progress.appended(matched) {
            pulse.stalled = 0;
            self.advance_commit(state);
        }
    }

    /// A member's log doesn't meet ours at `asked`.
    pub(crate) fn conflict(&mut self, state: &mut State, from: NodeId, asked: EntryId, hint: EntryId) {
        let Some((progress, pulse)) = self.heard(state, from) else { return };
        if hint.index >= asked.index {
            state.ignored += 1;
            return;
        }
        pulse.stalled = 0;
        let meet = state.log.newest_within(hint.index, hint.term).index;
        if state.config.planted(Bug::RejectBelowMatched) {
            progress.matched = progress.matched.min(meet);
            return progress.probe(meet.next());
        }
        progress.conflict(asked, meet);
    }

    /// A member acknowledges a round.
    pub(crate) fn heartbeat_reply(&mut self, state: &mut State, from: NodeId, round: Round) {
        let newest = self.round;
        let Some((progress, _)) = self.heard(state, from) else { return };
        if round > newest {
            state.ignored += 1;
            return;
        }
        progress.round = progress.round.max(round);
        let acknowledged = |id, round| of(&self.progress, id).is_some_and(|progress| progress.round >= round);
        self.reads.confirm(|round| state.is_quorum(|id| acknowledged(id, round)));
    }

    /// A member was heard: what is known of it.
    fn heard(&mut self, state: &mut State, from: NodeId) -> Option<(&mut Progress, &mut Pulse)> {
        let Some(at) = self.progress.iter().position(|(id, _)| *id == from) else {
            state.ignored += 1;
            return None;
        };
        let (progress, pulse) = (self.progress.get_mut(at)?, self.pulses.get_mut(at)?);
        pulse.heard_at = state.clock.now;
        pulse.heard = true;
        Some((&mut progress.1, pulse))
    }

    /// A member restarted: what was on its way to it is gone (rule 16).
    pub(crate) fn restarted(&mut self, state: &State, id: NodeId) {
        if let Some((_, progress)) = self.progress.iter_mut().find(|(other, _)| *other == id) {
            progress.probe(state.log.last().index.next());
        }
    }

    /// Commits what a quorum holds, if it is of the own term: entries of older terms are committed only along with one
    /// of the own (paper section 5.4.2).
    fn advance_commit(&mut self, state: &mut State) {
        let before = state.commit;
        let index =
            state.quorum_index(|id| of(&self.progress, id).map_or(Index(0), |progress| progress.matched));
        let own_term = state.log.term_at(index) == Some(state.hard.term);
        if index <= before || !(own_term || state.config.planted(Bug::CommitOldTerm)) {
            return;
        }
        state.commit_to(index);
        let committed = state.log.from(before.next()).take_while(|entry| entry.index() <= index);
        self.uncommitted -= committed.map(Entry::size).sum::<usize>();
        self.record_founders(state);
    }

    /// The first leader's first change puts the founders' disk ids on record in the log. It comes after a commit in the
    /// own term, as every change of members must (Ongaro 2015).
    fn record_founders(&mut self, state: &mut State) {
        let on_base = state.log.membership_index() == Some(state.log.base().index);
        if let (true, EntryId::ORIGIN, Some(membership)) = (on_base, state.log.base(), state.log.membership())
        {
            let id = EntryId { term: state.hard.term, index: state.log.last().index.next() };
            state.append(Entry::new(id, Payload::Membership(membership.clone())));
        }
    }

    /// Time passes. Whether this server may go on leading.
    pub(crate) fn tick(&mut self, state: &mut State, elapsed: u32) -> bool {
        self.beat += u64::from(elapsed);
        if self.beat < u64::from(state.config.heartbeat_ticks) {
            self.tell_commits(state);
            return true;
        }
        self.beat = 0;
        self.beat_due = true;
        let (now, timeout) = (state.clock.now, u64::from(state.config.election_ticks));
        if self.transfer.as_ref().is_some_and(|transfer| now >= transfer.until)
            && !state.config.planted(Bug::TransferNeverEnds)
        {
            self.transfer = None;
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.asked = false;
        }
        self.probe_the_stalled(state);
        let recent = |id: NodeId| {
            let at = self.progress.iter().position(|(other, _)| *other == id);
            let pulse = at.and_then(|at| self.pulses.get(at));
            id == state.config.id || pulse.is_some_and(|pulse| now - pulse.heard_at < timeout)
        };
        !state.disk_stalls() && (!state.config.check_quorum || state.is_quorum(recent))
    }

    /// A heartbeat without a round tells a quiet follower of a new commit, once a tick, not once a commit.
    fn tell_commits(&mut self, state: &mut State) {
        for (id, progress) in &mut self.progress {
            let commit = state.commit.min(progress.matched);
            if *id != state.config.id && progress.told < commit {
                progress.told = commit;
                let message = state.request(Body::Heartbeat { commit, round: self.round });
                state.outbox.send(*id, message);
            }
        }
    }

    /// What was on its way for two heartbeats without an answer is taken for lost, if the member answers at all.
    fn probe_the_stalled(&mut self, state: &State) {
        for ((_, progress), pulse) in self.progress.iter_mut().zip(&mut self.pulses) {
            pulse.stalled = if progress.waits() { pulse.stalled + 1 } else { 0 };
            if pulse.stalled >= 2 && pulse.heard && !state.config.planted(Bug::LostWindow) {
                let question = match progress.flow {
                    crate::progress::Flow::Probe { next, .. } => next,
                    crate::progress::Flow::Replicate { .. } => progress.matched.next(),
                };
                progress.probe(question);
                *pulse = Pulse { stalled: 0, heard: false, ..*pulse };
            }
        }
    }

    /// The turn ends: whatever may leave is cut into messages, one append a member for all proposals of the turn.
    pub(crate) fn flush(&mut self, state: &mut State) {
        self.promise_own(state);
        let first = if state.config.planted(Bug::ReadBeforeOwnCommit) { Index(0) } else { self.first };
        if self.reads.want_round() && state.commit >= first {
            self.beat_due = true;
        }
        if self.beat_due {
            self.beat(state, first);
        }
        for (id, progress) in &mut self.progress {
            while *id != state.config.id && progress.may_send(state.log.last().index, &state.config.limits) {
                let message = append_message(state, progress);
                state.outbox.send(*id, message);
            }
        }
        self.hand_over(state);
    }

    /// The leader is its own follower: its acknowledgement of its own log waits for the disk like any other.
    fn promise_own(&mut self, state: &mut State) {
        let matched = state.log.last().index;
        if matched > self.promised {
            self.promised = matched;
            let own = state.reply(state.stamp(), Body::Appended { matched });
            if state.config.planted(Bug::LeaderCountsEarly) {
                state.outbox.send(state.config.id, own);
            } else {
                state.outbox.promise(state.config.id, own);
            }
        }
    }

    fn beat(&mut self, state: &mut State, first: Index) {
        self.beat_due = false;
        self.round = Round(self.round.0 + 1);
        if state.commit >= first {
            self.reads.join(self.round, first);
        }
        for (id, progress) in &mut self.progress {
            let message = if *id == state.config.id {
                state.reply(state.stamp(), Body::HeartbeatReply { round: self.round })
            } else {
                progress.told = state.commit.min(progress.matched);
                let uncapped = state.config.planted(Bug::HeartbeatUncapped);
                let commit = if uncapped { state.commit } else { progress.told };
                state.request(Body::Heartbeat { commit, round: self.round })
            };
            state.outbox.send(*id, message);
        }
    }

    fn hand_over(&mut self, state: &mut State) {
        let Some(transfer) = &mut self.transfer else { return };
        let holds_all = self
            .progress
            .iter()
            .any(|(id, progress)| *id == transfer.to && progress.matched == state.log.last().index);
        if holds_all && !transfer.asked {
            transfer.asked = true;
            let message = state.request(Body::TimeoutNow);
            state.outbox.send(transfer.to, message);
        }
    }

    /// Answers the reads whose index is applied.
    pub(crate) fn answer_reads(&mut self, state: &mut State) {
        while let Some((ticket, index)) = self.reads.ready(state.applied) {
            state.answer(ticket, Answer::ReadAt(index));
        }
    }

    /// Leadership is over: reads can be asked again elsewhere; proposals wait for what becomes of them.
    pub(crate) fn step_down(self, state: &mut State) {
        for ticket in self.reads.give_up() {
            state.answer(ticket, Answer::NotLeader { leader: state.leader });
        }
        if state.config.planted(Bug::LostOnStepDown) {
            while let Some(ticket) = state.tickets.pop() {
                state.answer(ticket, Answer::Lost);
            }
        }
    }

    /// What the protocol depends on.
    pub(crate) fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        let transfer = self.transfer.as_ref().map(|transfer| (transfer.to, transfer.asked));
        (
            &self.progress,
            self.first,
            self.round,
            &self.reads,
            transfer,
            self.uncommitted,
            self.promised,
            self.beat_due,
        )
    }
}

/// What is known of a member.
fn of(progress: &[(NodeId, Progress)], id: NodeId) -> Option<&Progress> {
    progress.iter().find(|(other, _)| *other == id).map(|(_, progress)| progress)
}

/// The next append for a member: as many entries as the limits allow, at least one if there is one.
fn append_message(state: &State, progress: &mut Progress) -> Message {
    let limits = &state.config.limits;
    let next = progress.next();
    let mut entries = Vec::new();
    let mut size = 0;
    for entry in state.log.from(next).take(limits.batch_entries) {
        if !entries.is_empty() && size + entry.size() > limits.batch_bytes {
            break;
        }
        size += entry.size();
        entries.push(entry.clone());
    }
    let prev =
        next.previous().and_then(|index| state.log.id_at(index)).expect("the log reaches down to its base");
    let slice = LogSlice::new(prev, entries).expect("the log is contiguous");
    progress.sent(slice.last().index, size);
    progress.told = state.commit.min(slice.last().index).max(progress.told);
    state.request(Body::Append { slice, commit: state.commit })
}
