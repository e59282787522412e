//! The node: inputs in, outputs out, and the protocol on one screen (`dispatch`).

use crate::candidate::{Candidate, Count, Phase};
use crate::config::{Config, ConfigError};
use crate::follower;
use crate::founding;
use crate::ids::{NodeId, Stamp, Ticket};
use crate::input::Input;
use crate::leader::Leader;
use crate::log::Log;
use crate::message::{Body, Message};
use crate::output::{Answer, Output};
use crate::planted::Bug;
use crate::state::State;
use crate::status::{RoleName, Status};
use crate::write::Recovered;
use core::mem;

/// How far ahead a message's term may be. Elections raise terms one by one, so a larger step is not Raft's, and terms
/// never come near the end of their numbers.
const FARTHEST_TERM: u64 = 1 << 32;

/// What a role adds to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Follower,
    Candidate(Candidate),
    Leader(Leader),
}

/// One server. Deterministic: the same settings, recovered state and inputs give the same outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    state: State,
    role: Role,
}

impl Node {
    /// A node on what its data directory held. It has outputs at once: take them with an empty turn. Its first output
    /// is the write that raises the boot counter; no message leaves before that is durable.
    ///
    /// # Errors
    /// If the settings contradict themselves or the recovered state.
    pub fn new(config: Config, recovered: Recovered) -> Result<Node, ConfigError> {
        config.check(recovered.base.is_none())?;
        let mut state = State::new(config, recovered);
        founding::ask(&mut state);
        Ok(Node { state, role: Role::Follower })
    }

    /// The turn of one input: hands it in and drains what comes of it.
    pub fn step(&mut self, input: Input) -> Drain<'_> {
        let mut turn = self.turn();
        turn.input(input);
        turn.drain()
    }

    /// A turn of many inputs, or of none: messages and the write are cut once, when it is drained.
    pub fn turn(&mut self) -> Turn<'_> {
        Turn { node: self }
    }

    fn input(&mut self, input: Input) {
        if self.state.halted {
            if let Input::Propose { ticket, .. } | Input::Read { ticket } = input {
                self.refuse(ticket);
            }
            return;
        }
        match input {
            Input::Tick { elapsed } => self.tick(elapsed),
            Input::Receive { from, message } => self.receive(from, message),
            Input::Persisted(receipt) => self.state.outbox.persisted(&receipt),
            Input::Propose { ticket, command } => match &mut self.role {
                Role::Leader(leader) => leader.propose(&mut self.state, ticket, command),
                Role::Follower | Role::Candidate(_) => self.refuse(ticket),
            },
            Input::Read { ticket } => match &mut self.role {
                Role::Leader(leader) => leader.read(&mut self.state, ticket),
                Role::Follower | Role::Candidate(_) => self.refuse(ticket),
            },
            Input::LeaseRead { .. }
            | Input::Reconfigure { .. }
            | Input::Capture
            | Input::Captured(_)
            | Input::Stored(_)
            | Input::Missing { .. }
            | Input::Unreachable { .. } => {}
            Input::Transfer { ticket: _, to } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.transfer(&self.state, to);
                }
            }
            Input::Campaign => self.election_timeout(),
            Input::Heartbeat => {
                let beat = self.state.config.heartbeat_ticks;
                if let Role::Leader(leader) = &mut self.role {
                    leader.tick(&mut self.state, beat);
                }
            }
        }
        self.hear_self();
    }

    fn refuse(&mut self, ticket: Ticket) {
        let leader = self.state.leader;
        self.state.answer(ticket, Answer::NotLeader { leader });
    }

    /// A node is its own peer: what it says to itself is heard like any other message.
    fn hear_self(&mut self) {
        while let Some(message) = self.state.outbox.take_self() {
            let (id, stale) = (self.state.config.id, message.term < self.state.hard.term);
            if !stale && !self.state.halted {
                self.dispatch(id, message);
            }
        }
    }

    /// The end of a turn.
    fn finish(&mut self) {
        if self.state.halted {
            return;
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.flush(&mut self.state);
        }
        self.hear_self();
        self.state.cut();
        self.state.apply();
        if self.state.halted {
            self.become_follower();
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.answer_reads(&mut self.state);
        }
    }

    fn tick(&mut self, elapsed: u32) {
        self.state.clock.advance(elapsed);
        match &mut self.role {
            Role::Leader(leader) => {
                if leader.tick(&mut self.state, elapsed) {
                    self.state.clock.leader_heard(&self.state.config);
                } else {
                    self.become_follower();
                }
            }
            Role::Follower | Role::Candidate(_) if !self.state.founded() => {
                if self.may_hold() && self.state.clock.passed(self.state.config.heartbeat_ticks) {
                    founding::ask(&mut self.state);
                }
            }
            Role::Follower | Role::Candidate(_) => {
                if self.state.clock.timed_out() {
                    self.election_timeout();
                }
            }
        }
    }

    /// Only a voter by its own log campaigns, and not while it must keep quiet (rules 10 and 14), nor while its disk
    /// stalls: its requests would never leave, and its newer terms would only undo the campaigns of the others.
    fn election_timeout(&mut self) {
        let leads = matches!(self.role, Role::Leader(_));
        if leads
            || !self.state.is_voter()
            || self.state.hears_leader()
            || !self.may_hold()
            || self.state.disk_stalls()
        {
            return;
        }
        if self.state.config.pre_vote {
            self.become_follower();
            self.role = Role::Candidate(Candidate::ask_before(&mut self.state));
        } else {
            self.campaign(false);
        }
    }

    fn campaign(&mut self, transfer: bool) {
        self.become_follower();
        self.role = Role::Candidate(Candidate::campaign(&mut self.state, transfer));
    }

    /// Gives up the role. The vote of the term stays.
    fn become_follower(&mut self) {
        let was = mem::replace(&mut self.role, Role::Follower);
        if let Role::Leader(leader) = was {
            if self.state.leader == Some(self.state.config.id) {
                self.state.leader = None;
            }
            self.state.clock.reset();
            leader.step_down(&mut self.state);
        } else if matches!(was, Role::Candidate(_)) && self.state.config.planted(Bug::VoteForgotten) {
            self.state.hard.vote = None;
            self.state.outbox.stage_hard(self.state.hard);
        }
    }

    fn receive(&mut self, from: NodeId, message: Message) {
        let foreign = from != self.state.config.id;
        if !foreign || self.is_inert(from, &message) || !self.may_take(&message) {
            self.state.ignored += 1;
            return;
        }
        self.notice_boot(from, message.from);
        match &message.body {
            Body::Hello => founding::hello(&mut self.state, from, &message),
            Body::HelloReply(acquaintance) => {
                founding::hello_reply(&mut self.state, from, &message, acquaintance);
            }
            _ if self.settle_term(from, &message) => self.dispatch(from, message),
            _ => {}
        }
    }

    /// No term is taken that no cluster can have reached. Before the founding nothing is taken but what belongs to it;
    /// and what would have to be held is dropped when too much is held already (rule 18).
    fn may_take(&self, message: &Message) -> bool {
        let founding = matches!(message.body, Body::Hello | Body::HelloReply(_));
        let held = matches!(message.body, Body::Append { .. } | Body::Vote { .. } | Body::TimeoutNow)
            || self.state.outbox.holds_all();
        message.term.0.saturating_sub(self.state.hard.term.0) <= FARTHEST_TERM
            && (founding || self.state.founded())
            && (!held || self.may_hold())
    }

    /// Whether one more promise may wait for the disk. A disk that hangs must not fill the memory.
    fn may_hold(&self) -> bool {
        self.state.outbox.held() < self.state.config.limits.held
    }

    /// A server that restarted has lost what was on its way to it (rule 16).
    fn notice_boot(&mut self, from: NodeId, stamp: Stamp) {
        let seen = self.state.seen.get(&from).copied();
        if seen == Some(stamp) {
            return;
        }
        if seen.is_none() || self.state.on_record(from, stamp) {
            self.state.seen.insert(from, stamp);
            if let (Some(_), Role::Leader(leader)) = (seen, &mut self.role) {
                leader.restarted(&self.state, from);
            }
        }
    }

    /// The term rule (Figure 2, "all servers"; rule 10), once for all messages. Whether the message is of this term
    /// now; a request of an older one is answered with the newer term.
    fn settle_term(&mut self, from: NodeId, message: &Message) -> bool {
        let asks_for_term = match &message.body {
            Body::PreVote { .. } | Body::PreVoteReply { granted: true } => return true,
            Body::Vote { transfer, .. } => Some(*transfer),
            _ => None,
        };
        let own = self.state.hard.term;
        if message.term < own {
            if !message.body.is_reply() {
                let reply = self.state.reply(message.from, Body::Stale);
                self.state.outbox.send(from, reply);
            }
            return false;
        }
        if asks_for_term == Some(false) && self.state.hears_leader() {
            let reply = self.state.reply(message.from, Body::VoteReply { granted: false });
            self.state.outbox.send(from, reply);
            return false;
        }
        if message.term > own {
            self.become_follower();
            self.state.adopt(message.term);
        }
        true
    }

    /// The protocol: every message in every role.
    fn dispatch(&mut self, from: NodeId, message: Message) {
        let stamp = message.from;
        let state = &mut self.state;
        match (&mut self.role, message.body) {
            (_, Body::PreVote { last }) => state.answer_pre_vote(from, stamp, message.term, last),
            (_, Body::Vote { last, transfer: _ }) => {
                if state.answer_vote(from, stamp, last) {
                    self.become_follower();
                }
            }
            (Role::Candidate(candidate), Body::PreVoteReply { granted }) if candidate.phase == Phase::Pre => {
                let asked = !granted || message.term == state.hard.term.next();
                if asked {
                    let count = candidate.count(state, from, stamp, granted);
                    self.conclude(count);
                }
            }
            (Role::Candidate(candidate), Body::VoteReply { granted }) if candidate.phase == Phase::Real => {
                let count = candidate.count(state, from, stamp, granted);
                self.conclude(count);
            }
            (Role::Follower | Role::Candidate(_), Body::Append { slice, commit }) => {
                if self.follow(from) {
                    follower::append(&mut self.state, from, stamp, slice, commit);
                }
            }
            (Role::Follower | Role::Candidate(_), Body::Heartbeat { commit, round }) => {
                if self.follow(from) {
                    follower::heartbeat(&mut self.state, from, stamp, commit, round);
                }
            }
            (Role::Follower, Body::TimeoutNow) if state.leader == Some(from) && state.is_voter() => {
                self.campaign(true);
            }
            (Role::Leader(leader), Body::Appended { matched }) if state.on_record(from, stamp) => {
                leader.appended(state, from, matched);
            }
            (Role::Leader(leader), Body::Conflict { asked, hint }) if state.on_record(from, stamp) => {
                leader.conflict(state, from, asked, hint);
            }
            (Role::Leader(leader), Body::HeartbeatReply { round }) if state.on_record(from, stamp) => {
                leader.heartbeat_reply(state, from, round);
            }
            // The newer term was all that it had to say, and the term rule has taken it.
            (_, Body::Stale) => {}
            (
                _,
                Body::Chunk { .. }
                | Body::ChunkReply { .. }
                | Body::ReadIndex { .. }
                | Body::ReadIndexReply { .. }
                | Body::Removed { .. },
            ) => {}
            // Two leaders in one term, replies to another role, and what the founding has settled already.
            (Role::Leader(_), Body::Append { .. } | Body::Heartbeat { .. })
            | (_, Body::TimeoutNow | Body::PreVoteReply { .. } | Body::VoteReply { .. })
            | (_, Body::Appended { .. } | Body::Conflict { .. } | Body::HeartbeatReply { .. })
            | (_, Body::Hello | Body::HelloReply(_)) => state.ignored += 1,
        }
    }

    /// Follows the leader of this term; false if another one is known already, which can't be.
    fn follow(&mut self, leader: NodeId) -> bool {
        if self.state.leader.is_some_and(|known| known != leader) {
            self.state.ignored += 1;
            return false;
        }
        self.become_follower();
        self.state.leader = Some(leader);
        self.state.clock.leader_heard(&self.state.config);
        true
    }

    fn conclude(&mut self, count: Count) {
        match count {
            Count::Open => {}
            Count::WouldWin => self.campaign(false),
            Count::Won(won) => self.role = Role::Leader(Leader::new(won, &mut self.state)),
            Count::Lost => self.become_follower(),
        }
    }

    /// Whether a message can never matter again, whatever happens: it is dropped, and an exhaustive search need not
    /// deliver it at all.
    pub fn is_inert(&self, from: NodeId, message: &Message) -> bool {
        let state = &self.state;
        let older_boot = state
            .seen
            .get(&from)
            .is_some_and(|seen| seen.disk == message.from.disk && seen.boot > message.from.boot);
        let other_asker = message.to.is_some_and(|to| to != state.stamp())
            && !state.config.planted(Bug::ReplyToEarlierBoot);
        let too_late = match &message.body {
            Body::HelloReply(_) => state.founded(),
            Body::PreVoteReply { granted: true } => message.term <= state.hard.term,
            Body::VoteReply { .. } => {
                let counting = matches!(&self.role, Role::Candidate(it) if it.phase == Phase::Real);
                message.term < state.hard.term || (message.term == state.hard.term && !counting)
            }
            Body::Appended { .. } | Body::Conflict { .. } | Body::HeartbeatReply { .. } => {
                let leads = matches!(self.role, Role::Leader(_));
                message.term < state.hard.term || (message.term == state.hard.term && !leads)
            }
            Body::Stale => message.term <= state.hard.term,
            Body::PreVoteReply { granted: false } => message.term < state.hard.term,
            Body::Hello
            | Body::PreVote { .. }
            | Body::Vote { .. }
            | Body::Append { .. }
            | Body::Heartbeat { .. }
            | Body::Chunk { .. }
            | Body::ChunkReply { .. }
            | Body::ReadIndex { .. }
            | Body::ReadIndexReply { .. }
            | Body::Removed { .. }
            | Body::TimeoutNow => false,
        };
        state.halted || !message.is_sound() || older_boot || other_asker || too_late
    }

    /// This node at this moment.
    pub fn status(&self) -> Status {
        let state = &self.state;
        Status {
            id: state.config.id,
            boot: state.hard.boot,
            role: match &self.role {
                Role::Follower => RoleName::Follower,
                Role::Candidate(Candidate { phase: Phase::Pre, .. }) => RoleName::PreCandidate,
                Role::Candidate(_) => RoleName::Candidate,
                Role::Leader(_) => RoleName::Leader,
            },
            term: state.hard.term,
            vote: state.hard.vote,
            leader: state.leader,
            commit: state.commit,
            applied: state.applied,
            durable: state.outbox.durable(),
            last: state.log.last(),
            base: state.log.base(),
            snapshot: None,
            membership: state.log.membership().cloned().unwrap_or_default(),
            membership_at: state.log.membership_index().unwrap_or_default(),
            transferring: None,
            founded: state.founded(),
            halted: state.halted,
            ignored: state.ignored,
            held: state.outbox.held(),
            tickets: state.tickets.len(),
        }
    }

    /// What the protocol depends on: without tick counters, the random generator and statistics, so that an exhaustive
    /// search closes.
    pub fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        let (candidate, leader) = match &self.role {
            Role::Follower => (None, None),
            Role::Candidate(candidate) => (Some(candidate), None),
            Role::Leader(leader) => (None, Some(leader.protocol())),
        };
        (self.state.protocol(), candidate, leader)
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.state.log
    }

    /// The data directory and the boot of this process.
    pub fn stamp(&self) -> Stamp {
        self.state.stamp()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.state.config
    }
}

/// A turn: inputs are handed in, then all that comes of them is drained at once. Dropped undrained, it loses nothing.
#[must_use = "a turn that is not drained leaves its outputs for the next one"]
#[derive(Debug)]
pub struct Turn<'a> {
    node: &'a mut Node,
}

impl<'a> Turn<'a> {
    /// Hands in one input.
    pub fn input(&mut self, input: Input) {
        self.node.input(input);
    }

    /// Ends the turn: cuts the messages and the write.
    pub fn drain(self) -> Drain<'a> {
        self.node.finish();
        Drain { node: self.node }
    }
}

/// The outputs of a turn, and what earlier drains left. Dropped half-taken, it loses nothing: the rest comes first in
/// the next one.
#[must_use = "outputs that are not taken wait for the next drain"]
#[derive(Debug)]
pub struct Drain<'a> {
    node: &'a mut Node,
}

impl Iterator for Drain<'_> {
    type Item = Output;

    fn next(&mut self) -> Option<Output> {
        self.node.state.outbox.pop()
    }
}
