//! The node: inputs in, outputs out, and the protocol on one screen (`dispatch`).

mod admission;
mod view;

use crate::candidate::{Candidate, Count, Phase};
use crate::config::{Config, ConfigError};
use crate::follower;
use crate::founding;
use crate::ids::{Boot, Index, NodeId};
use crate::input::Input;
use crate::leader::Leader;
use crate::log::Log;
use crate::message::{Body, Message};
use crate::output::{Answer, Output};
use crate::planted::Bug;
use crate::receiving;
use crate::repair;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::voter::Asker;
use crate::write::Recovered;
use alloc::boxed::Box;
use core::mem;

/// What a role adds to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Follower,
    Candidate(Candidate),
    Leader(Box<Leader>),
}

/// One server. Deterministic: the same settings, recovered state and inputs give the same outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    state: State,
    role: Role,
    /// Something was handed in since the end of the last turn that may have consequences there.
    stirred: bool,
}

impl Node {
    /// A node on what its data directory held. It has outputs at once: take them with an empty turn. Its first output
    /// is the write that raises the boot counter; no message leaves before that is durable.
    ///
    /// # Errors
    /// If the settings contradict themselves or the recovered state.
    pub fn new(config: Config, recovered: Recovered) -> Result<Node, ConfigError> {
        config.check(recovered.base.is_none() && recovered.entries.is_empty())?;
        if recovered.hard.boot == Boot::GIVEN_UP {
            return Err(ConfigError::GivenUp);
        }
        let log = Log::recovered(recovered.base.as_ref(), recovered.entries.iter().cloned());
        match &recovered.snapshot {
            None if log.base().index > Index(0) => return Err(ConfigError::SnapshotMissing),
            Some(snapshot) if !log.holds(&snapshot.base) => return Err(ConfigError::SnapshotUnfit),
            _ => {}
        }
        let covered = recovered.snapshot.as_ref().map_or(log.base(), Snapshot::last).index;
        let lacks = log.decayed().last().is_some_and(|index| *index > covered);
        if lacks && repair::is_alone(&log, covered, &config) {
            return Err(ConfigError::DecayedAlone);
        }
        let mut state = State::new(config, recovered);
        founding::ask(&mut state);
        Ok(Node { state, role: Role::Follower, stirred: true })
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
        let time = matches!(input, Input::Tick { .. });
        self.stirred |= !time;
        if self.state.halted {
            return self.refuse(input);
        }
        match (&mut self.role, input) {
            (_, Input::Tick { elapsed }) => self.stirred |= self.tick(elapsed),
            (_, Input::Receive { from, message }) => self.receive(from, message),
            (_, Input::Persisted(receipt)) => {
                if self.state.config.planted(Bug::ReceiptCoversEarlier) {
                    self.state.outbox.persisted_up_to(&receipt);
                } else {
                    self.state.outbox.persisted(&receipt);
                }
            }
            (Role::Leader(leader), Input::Propose { ticket, command }) => {
                leader.propose(&mut self.state, ticket, command);
            }
            (Role::Leader(leader), Input::Read { ticket }) => leader.read(&mut self.state, ticket, false),
            (Role::Leader(leader), Input::LeaseRead { ticket }) => leader.read(&mut self.state, ticket, true),
            (Role::Leader(leader), Input::Reconfigure { ticket, changes, expect }) => {
                leader.reconfigure(&mut self.state, ticket, &changes, expect);
            }
            (Role::Leader(leader), Input::Transfer { ticket, to }) => {
                leader.transfer(&mut self.state, ticket, to);
            }
            (Role::Follower, Input::Read { ticket } | Input::LeaseRead { ticket }) => self.state.ask(ticket),
            (role, Input::Missing { last }) => {
                if let Role::Leader(leader) = role {
                    leader.missing(&mut self.state, last);
                }
                self.state.cannot_give(last);
            }
            (Role::Leader(leader), Input::Unreachable { peer }) => leader.unreachable(&mut self.state, peer),
            (Role::Leader(leader), Input::Heartbeat) => {
                let beat = self.state.config.heartbeat_ticks;
                leader.tick(&mut self.state, beat);
            }
            (_, Input::Capture) => self.state.capture.want(),
            (_, Input::Captured(snapshot)) => self.state.captured(snapshot),
            (role, Input::Stored(receipt)) => {
                receiving::stored(&mut self.state, receipt, matches!(role, Role::Follower));
            }
            (_, Input::Campaign) => self.election_timeout(),
            (_, Input::Heartbeat | Input::Unreachable { .. }) => {}
            (
                Role::Follower | Role::Candidate(_),
                input @ (Input::Propose { .. } | Input::Reconfigure { .. } | Input::Transfer { .. }),
            )
            | (Role::Candidate(_), input @ (Input::Read { .. } | Input::LeaseRead { .. })) => {
                self.refuse(input)
            }
        }
        self.hear_self();
    }

    /// Who doesn't lead, or has stopped, says so to whoever waits for an answer.
    fn refuse(&mut self, input: Input) {
        let (Input::Propose { ticket, .. }
        | Input::Read { ticket }
        | Input::LeaseRead { ticket }
        | Input::Reconfigure { ticket, .. }
        | Input::Transfer { ticket, .. }) = input
        else {
            return;
        };
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

    /// The end of a turn. When time has passed and nothing came of it, there is nothing to do: an idle group costs next to
    /// nothing.
    fn finish(&mut self) {
        if !mem::take(&mut self.stirred) {
            return;
        }
        if self.state.halted {
            return self.become_follower();
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.flush(&mut self.state);
        }
        self.hear_self();
        if let Role::Leader(leader) = &mut self.role
            && leader.is_done(&self.state)
        {
            leader.leave(&mut self.state);
            self.become_follower();
        }
        self.state.ask_leader();
        self.state.cut();
        self.state.apply();
        if self.state.halted {
            self.become_follower();
        }
        let needed = match &mut self.role {
            Role::Leader(leader) => {
                leader.answer_reads(&mut self.state);
                leader.needed(&self.state)
            }
            Role::Follower | Role::Candidate(_) => None,
        };
        self.state.capture(needed.is_some() || self.state.gives());
        self.state.compact(needed);
        self.state.answer_asks();
        self.tell_changes();
    }

    /// Time passes. Whether the end of the turn has to see to it.
    fn tick(&mut self, elapsed: u32) -> bool {
        self.state.clock.advance(elapsed);
        self.state.ask_again(elapsed);
        self.state.ask_for_copies(elapsed);
        match &mut self.role {
            Role::Leader(leader) => {
                if !leader.tick(&mut self.state, elapsed) {
                    self.become_follower();
                    return true;
                }
                self.state.clock.leader_heard(&self.state.config);
                !leader.is_calm()
            }
            Role::Follower | Role::Candidate(_) if !self.state.founded() => {
                if self.state.may_hold() && self.state.clock.passed(self.state.config.heartbeat_ticks) {
                    founding::ask(&mut self.state);
                }
                true
            }
            Role::Follower | Role::Candidate(_) => {
                let timed_out = self.state.clock.timed_out();
                if timed_out {
                    // Also for who may not stand: it knows of no leader any more.
                    self.state.leader = None;
                    self.election_timeout();
                }
                timed_out
            }
        }
    }

    /// Only a voter by its own log campaigns, and not while it must keep quiet (rules 10 and 14), nor while its disk
    /// stalls: its requests would never leave, and its newer terms would only undo the campaigns of the others.
    fn election_timeout(&mut self) {
        let leads = matches!(self.role, Role::Leader(_));
        if leads
            || !self.state.may_campaign()
            || self.state.hears_leader()
            || !self.state.may_hold()
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
        self.state.wanted = false;
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

    /// The protocol: every message in every role.
    fn dispatch(&mut self, from: NodeId, message: Message) {
        let stamp = message.from;
        let accepted = self.accepts(from, &message);
        let state = &mut self.state;
        match (&mut self.role, message.body) {
            (_, Body::PreVote { last, recorded }) => {
                state.answer_pre_vote(Asker { id: from, stamp, last, recorded }, message.term);
            }
            (_, Body::Vote { last, transfer: _, recorded }) => {
                if state.answer_vote(Asker { id: from, stamp, last, recorded }) {
                    self.become_follower();
                }
            }
            (Role::Candidate(candidate), Body::PreVoteReply { answer }) if candidate.phase == Phase::Pre => {
                let asked = !answer.is_yes() || message.term == state.hard.term.next();
                if asked {
                    let count = candidate.count(state, from, stamp, answer);
                    self.conclude(count);
                }
            }
            (Role::Candidate(candidate), Body::VoteReply { answer }) if candidate.phase == Phase::Real => {
                let count = candidate.count(state, from, stamp, answer);
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
            (Role::Follower | Role::Candidate(_), Body::Chunk { snapshot, offset, data }) => {
                if self.follow(from) {
                    receiving::chunk(&mut self.state, from, stamp, snapshot, offset, data);
                }
            }
            (Role::Follower, Body::TimeoutNow) if state.leader == Some(from) && state.may_campaign() => {
                self.campaign(true);
            }
            (Role::Follower, Body::ReadIndexReply { batch, index }) => {
                state.asks.answered(from, batch, index)
            }
            (Role::Leader(leader), _) if !accepted => {
                state.ignored += 1;
                leader.tell_stranger(state, from, stamp);
            }
            (Role::Leader(leader), Body::Appended { matched }) => leader.appended(state, from, matched),
            (Role::Leader(leader), Body::Conflict { asked, hint }) => {
                leader.conflict(state, from, asked, hint)
            }
            (Role::Leader(leader), Body::HeartbeatReply { round }) => leader.heard_round(state, from, round),
            (Role::Leader(leader), Body::ChunkReply { last, have }) => {
                leader.chunk_reply(state, from, last, have);
            }
            (Role::Leader(leader), Body::ReadIndex { batch }) => leader.read_index(state, from, stamp, batch),
            // The newer term was all that it had to say, and the term rule has taken it.
            (_, Body::Stale) => {}
            // Two leaders in one term, replies to another role, and what the founding has settled already.
            (Role::Leader(_), Body::Append { .. } | Body::Heartbeat { .. } | Body::Chunk { .. })
            | (_, Body::TimeoutNow | Body::PreVoteReply { .. } | Body::VoteReply { .. })
            | (_, Body::Appended { .. } | Body::Conflict { .. } | Body::HeartbeatReply { .. })
            | (_, Body::ChunkReply { .. } | Body::ReadIndex { .. } | Body::ReadIndexReply { .. })
            | (_, Body::Hello | Body::HelloReply(_))
            | (_, Body::Removed { .. } | Body::RolledBack { .. })
            | (_, Body::Lacks { .. } | Body::Copies { .. } | Body::Piece { .. }) => state.ignored += 1,
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
        self.state.wanted = false;
        self.state.clock.leader_heard(&self.state.config);
        true
    }

    fn conclude(&mut self, count: Count) {
        match count {
            Count::Open => {}
            Count::WouldWin => self.campaign(false),
            Count::Won(won) => self.role = Role::Leader(Box::new(Leader::new(won, &mut self.state))),
            Count::Lost => self.become_follower(),
        }
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
