//! The leader: it alone appends, replicates its log to every member, commits by its own term, and confirms reads
//! (paper sections 5.3, 5.4 and 8).

mod handover;
mod reading;
mod reconfigure;
mod replication;

use crate::candidate::Won;
use crate::entry::{Entry, Payload};
use crate::ids::{DiskId, EntryId, Index, NodeId, Round, Ticket};
use crate::message::Body;
use crate::output::{Answer, Limit};
use crate::planted::Bug;
use crate::progress::Progress;
use crate::reads::Reads;
use crate::state::State;
use crate::status::{Lag, PeerStatus};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use handover::Transfer;
use reconfigure::Round as CatchUp;

/// When one server was last heard, in ticks: kept apart from its progress, since the protocol's safety doesn't depend
/// on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pulse {
    heard_at: u64,
    /// It answered something since the last probe.
    heard: bool,
    /// The driver can't reach it: nothing but heartbeats is sent until the next one.
    absent: bool,
    /// Something is on its way, and this many heartbeats passed without any of it arriving.
    stalled: u32,
    catch_up: CatchUp,
}

/// A member, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    id: NodeId,
    /// The disk that it speaks from: the one on record, or the first that was heard while none is.
    disk: Option<DiskId>,
    /// The newest round, and the end of the log, when it became a member with the disk that it has, or without one.
    seated: (Round, Index),
    progress: Progress,
    pulse: Pulse,
}

/// What leading adds to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    /// The members of the configuration in force, itself included.
    peers: Vec<Peer>,
    /// The first entry of the own term: the no-op.
    first: Index,
    /// The newest round sent.
    round: Round,
    /// When each round was sent that no quorum has acknowledged yet, in ticks.
    sent: VecDeque<(Round, u64)>,
    /// Until when no other leader can be elected, as far as the clocks are good.
    lease_until: u64,
    reads: Reads,
    transfer: Option<Transfer>,
    /// A timeout-now has left in this term: whoever got it may be elected at any time, so there is no lease (rule 14).
    abdicated: bool,
    /// Members that the configuration in force is without, to be told once it is committed.
    leaving: Vec<(NodeId, Option<DiskId>)>,
    /// This leader entered the joint configuration itself (used by a planted bug).
    entered: bool,
    /// Something changed that may call for a change of the configuration.
    attends: bool,
    /// Payload bytes in the log after the commit index.
    uncommitted: usize,
    /// The own log is promised to the own count up to here.
    promised: Index,
    /// Ticks since the last heartbeat.
    beat: u64,
    beat_due: bool,
    /// Until something else than time is handed in, nothing happens before the next heartbeat.
    calm: bool,
}

impl Leader {
    /// A new leader. Its first entry is a no-op of its own term, since older entries are committed only along with one
    /// (paper section 5.4.2).
    pub(crate) fn new(_: Won, state: &mut State) -> Leader {
        let last = state.log.last().index;
        state.leader = Some(state.config.id);
        state.clock.leader_heard(&state.config);
        let mut leader = Leader {
            peers: Vec::new(),
            first: last.next(),
            round: Round(0),
            sent: VecDeque::new(),
            lease_until: 0,
            reads: Reads::default(),
            transfer: None,
            abdicated: false,
            leaving: Vec::new(),
            entered: false,
            attends: true,
            uncommitted: state.log.from(state.commit.next()).map(Entry::size).sum(),
            promised: Index(0),
            beat: 0,
            beat_due: false,
            calm: false,
        };
        leader.seat_members(state);
        let id = EntryId { term: state.hard.term, index: leader.first };
        state.append(Entry::new(id, Payload::Noop));
        leader
    }

    /// Appends a client's command, or says why not.
    pub(crate) fn propose(&mut self, state: &mut State, ticket: Ticket, command: Bytes) {
        let mut limits = state.config.limits;
        if state.config.planted(Bug::TicketsUnbounded) {
            limits.tickets = usize::MAX;
        }
        let size = command.len();
        let transfers = self.transfer.is_some() && !state.config.planted(Bug::ProposesDuringTransfer);
        let refused = if transfers {
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

    fn open_tickets(&self, state: &State) -> usize {
        state.tickets.len() + state.asks.len() + self.reads.len()
    }

    /// A member was heard: what is known of it.
    fn heard(&mut self, state: &mut State, from: NodeId) -> Option<&mut Peer> {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == from) else {
            state.ignored += 1;
            return None;
        };
        peer.pulse.heard_at = state.clock.now;
        peer.pulse.heard = true;
        Some(peer)
    }

    /// Commits what a quorum holds, if it is of the own term: entries of older terms are committed only along with one
    /// of the own (paper section 5.4.2).
    fn advance_commit(&mut self, state: &mut State) {
        let before = state.commit;
        let index = state.quorum_index(|id| of(&self.peers, id).map_or(Index(0), |it| it.matched));
        let own_term = state.log.term_at(index) == Some(state.hard.term);
        if index <= before || !(own_term || state.config.planted(Bug::CommitOldTerm)) {
            return;
        }
        state.commit_to(index);
        if !state.config.planted(Bug::UncommittedGrows) {
            let committed = state.log.from(before.next()).take_while(|entry| entry.index() <= index);
            self.uncommitted -= committed.map(Entry::size).sum::<usize>();
        }
        self.attends = true;
        self.tell_the_leaving(state);
    }

    /// Time passes. Whether this server may go on leading.
    pub(crate) fn tick(&mut self, state: &mut State, elapsed: u32) -> bool {
        self.beat += u64::from(elapsed);
        if self.beat < u64::from(state.config.heartbeat_ticks) {
            if !self.calm {
                self.end_transfer(state);
                self.tell_commits(state);
                self.calm = self.settled();
            }
            return true;
        }
        self.end_transfer(state);
        self.calm = false;
        self.beat = 0;
        self.beat_due = true;
        self.attends = true;
        self.ask_successor_again();
        self.peers.iter_mut().for_each(|peer| peer.pulse.absent = false);
        self.probe_the_stalled(state);
        let stalls = state.disk_stalls() && !state.config.planted(Bug::LeadsWithStalledDisk);
        let alone = state.config.check_quorum
            && !state.config.planted(Bug::LeadsWithoutQuorum)
            && !state.is_quorum(|id| self.is_live(state, id));
        !stalls && !alone
    }

    /// Whether time alone changes nothing before the next heartbeat.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Whether nothing is under way that time alone may end: a hand-over, a read by the lease, a snapshot on its way to a
    /// member that is heard no more.
    fn settled(&self) -> bool {
        let sends = |peer: &Peer| peer.progress.name() == crate::status::FlowName::Snapshot;
        self.transfer.is_none() && !self.attends && self.reads.len() == 0 && !self.peers.iter().any(sends)
    }

    /// Whether a member was heard within an election timeout. The leader hears itself.
    fn is_live(&self, state: &State, id: NodeId) -> bool {
        let timeout = u64::from(state.config.election_ticks);
        let peer = self.peers.iter().find(|peer| peer.id == id);
        id == state.config.id || peer.is_some_and(|peer| state.clock.now - peer.pulse.heard_at < timeout)
    }

    /// A heartbeat without a round tells a quiet follower of a new commit, once a tick, not once a commit.
    fn tell_commits(&mut self, state: &mut State) {
        for peer in &mut self.peers {
            let progress = &mut peer.progress;
            let commit = state.commit.min(progress.matched);
            if peer.id != state.config.id && progress.told < commit {
                progress.told = commit;
                let message = state.request(Body::Heartbeat { commit, round: self.round });
                state.outbox.send(peer.id, message);
            }
        }
    }

    /// The turn ends: whatever may leave is cut into messages, one append a member for all proposals of the turn.
    pub(crate) fn flush(&mut self, state: &mut State) {
        self.calm = false;
        self.attend(state);
        self.promise_own(state);
        let first = if state.config.planted(Bug::ReadBeforeOwnCommit) { Index(0) } else { self.first };
        if self.reads.want_round() && state.commit >= first {
            self.beat_due = true;
        }
        if self.beat_due {
            self.beat(state, first);
        }
        self.send(state);
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
        // What was sent a timeout ago gives no lease any more.
        let (now, timeout) = (state.clock.now, u64::from(state.config.election_ticks));
        while self.sent.pop_front_if(|(_, at)| *at + timeout <= now).is_some() {}
        self.sent.push_back((self.round, now));
        if state.commit >= first {
            self.reads.join(self.round, first);
        }
        for peer in &mut self.peers {
            let message = if peer.id == state.config.id {
                state.reply(state.stamp(), Body::HeartbeatReply { round: self.round })
            } else {
                peer.progress.told = state.commit.min(peer.progress.matched);
                let uncapped = state.config.planted(Bug::HeartbeatUncapped);
                let commit = if uncapped { state.commit } else { peer.progress.told };
                state.request(Body::Heartbeat { commit, round: self.round })
            };
            state.outbox.send(peer.id, message);
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

    /// What is known of every other member, and why it lags, if it does.
    pub(crate) fn peer_status(&self, state: &State) -> Vec<PeerStatus> {
        let membership = state.log.membership();
        let others = self.peers.iter().filter(|peer| peer.id != state.config.id);
        let status = |peer: &Peer| {
            let standing = membership.and_then(|membership| membership.get(peer.id))?.standing;
            Some(PeerStatus {
                id: peer.id,
                standing,
                flow: peer.progress.name(),
                matched: peer.progress.matched,
                next: peer.progress.next(),
                bytes: peer.progress.bytes(),
                silent: state.clock.now - peer.pulse.heard_at,
                lag: self.lag(state, peer),
            })
        };
        others.filter_map(status).collect()
    }

    fn lag(&self, state: &State, peer: &Peer) -> Lag {
        use crate::progress::Flow;
        let last = state.log.last().index;
        match &peer.progress.flow {
            _ if peer.progress.matched == last => Lag::None,
            _ if !self.is_live(state, peer.id) => Lag::Silent,
            Flow::Probe { .. } => Lag::Probing,
            Flow::Snapshot(sending) => Lag::Snapshot { have: sending.have, size: sending.snapshot.size },
            Flow::Replicate { next, .. } if *next <= last => Lag::WindowFull,
            Flow::Replicate { .. } => Lag::OnTheWay,
        }
    }

    /// What the protocol depends on.
    pub(crate) fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        let pulse = |pulse: &Pulse| (pulse.heard, pulse.absent, pulse.stalled, pulse.catch_up.is_done());
        let peers = self.peers.iter().map(move |it| (it.id, it.disk, &it.progress, pulse(&it.pulse)));
        (
            (peers.collect::<Vec<_>>(), self.first, self.round, &self.reads),
            (self.transfer.as_ref().map(Transfer::protocol), self.abdicated, &self.leaving, self.attends),
            (self.uncommitted, self.promised, self.beat_due),
        )
    }
}

/// What is known of a member's log.
fn of(peers: &[Peer], id: NodeId) -> Option<&Progress> {
    peers.iter().find(|peer| peer.id == id).map(|peer| &peer.progress)
}
