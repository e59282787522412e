//! What must hold in every run, one file each, checked after every fact at a cost that is bounded per fact: constant,
//! or proportional to what changed.

pub mod acknowledged_stays;
pub mod bounds;
mod chain;
mod cluster;
pub mod commit_quorum;
pub mod commit_told;
pub mod election_safety;
pub mod halts;
pub mod leader_append_only;
pub mod leader_completeness;
pub mod ledger;
pub mod liveness;
pub mod log_matching;
pub mod monotone;
pub mod one_vote;
pub mod pre_vote;
pub mod progress;
pub mod promises;
pub mod reads;
pub mod recovery;
mod sightings;
pub mod state_machine_safety;
#[cfg(test)]
mod tests;
pub mod tickets;
pub mod up_to_date;

use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, Fact, Time, Violation};
use crate::history::History;
use cluster::{Ack, Cluster, Heard, PreVote, Step, Vote};
use raft_core::{
    Answer, Body, Limits, Log, Membership, Message, NodeId, Recovered, RoleName, Stamp, Status, Ticket,
};

/// A violation without its time.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) class: Class,
    pub(crate) said: String,
}

/// Whether an invariant still stands.
pub(crate) type Verdict = Result<(), Broken>;

pub(crate) fn broken(invariant: &'static str, class: Class, said: String) -> Broken {
    Broken { invariant, class, said }
}

/// An invariant falls unless this holds; what is said is put into words only then.
pub(crate) fn demand(
    holds: bool,
    invariant: &'static str,
    class: Class,
    said: impl FnOnce() -> String,
) -> Verdict {
    if holds { Ok(()) } else { Err(broken(invariant, class, said())) }
}

/// What the run's options mean for the checkers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Node ids are 1 to this.
    pub nodes: usize,
    /// The limits that every node runs with.
    pub limits: Limits,
    /// Whether every node asks before it stands for election.
    pub pre_vote: bool,
    /// The minimal election timeout, in simulated time on the slowest clock.
    pub election_timeout: Time,
}

/// All invariants of a run.
#[derive(Clone, Debug)]
pub struct Judges {
    rules: Rules,
    cluster: Cluster,
    elections: election_safety::ElectionSafety,
    matching: log_matching::LogMatching,
    completeness: leader_completeness::LeaderCompleteness,
    applies: monotone::Applies,
    tickets: tickets::Tickets,
    reads: reads::Reads,
    bounds: bounds::Bounds,
    liveness: liveness::Liveness,
    history: History,
    coverage: Coverage,
}

impl Judges {
    /// The checkers of a run that begins: no node has run yet, and every disk is empty.
    pub fn new(rules: Rules) -> Judges {
        Judges {
            rules,
            cluster: Cluster::new(rules.nodes),
            elections: Default::default(),
            matching: Default::default(),
            completeness: Default::default(),
            applies: monotone::Applies::new(rules.nodes),
            tickets: tickets::Tickets::new(rules.nodes),
            reads: Default::default(),
            bounds: bounds::Bounds::new(rules.nodes, rules.limits),
            liveness: Default::default(),
            history: Default::default(),
            coverage: Coverage::default(),
        }
    }

    /// Takes in the next fact. After a violation the run is over: what a later call returns means nothing.
    ///
    /// # Errors
    /// The first invariant that this fact breaks.
    pub fn observe(&mut self, at: Time, fact: &Fact<'_>) -> Result<(), Violation> {
        self.judge(at, fact).map_err(|Broken { invariant, class, said }| Violation {
            invariant,
            class,
            at,
            said,
        })
    }

    /// Whether the cluster has done all that liveness asks of it. Once it is healed, the run may then end.
    pub fn settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What liveness still asks for, in words.
    pub fn unsettled(&self) -> Option<String> {
        self.liveness.unsettled(&self.cluster, &self.tickets)
    }

    /// Whether a healed cluster has had all the time that it may take to settle.
    pub fn overdue(&self, at: Time) -> bool {
        self.liveness.overdue(at, &self.rules)
    }

    /// The rare states that this run reached.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    fn judge(&mut self, at: Time, fact: &Fact<'_>) -> Verdict {
        match *fact {
            Fact::Started { node, stamp, recovered } => self.started(node, stamp, recovered),
            Fact::Crashed { node } => {
                self.crashed(node);
                Ok(())
            }
            Fact::Wiped { node } => {
                recovery::wiped(self.cluster.seat_mut(node));
                Ok(())
            }
            Fact::Received { node, from, message } => {
                sightings::received(&self.cluster, &mut self.coverage, node, from, message);
                commit_told::received(self.cluster.seat_mut(node), message);
                if let Body::Appended { matched } = message.body {
                    progress::heard(&mut self.cluster, node, from, message, matched);
                }
                Ok(())
            }
            Fact::Proposed { node, ticket, command } => {
                self.liveness.asked(node, ticket);
                self.tickets.proposed(node, ticket, command)
            }
            Fact::ReadAsked { node, ticket } => {
                self.liveness.asked(node, ticket);
                let asked = self.reads.asked(self.cluster.seat(node));
                self.tickets.read_asked(node, ticket, asked)
            }
            Fact::Stepped { node, ref status, log } => self.stepped(at, node, status, log),
            Fact::Wrote { node, number, update } => self.cluster.seat_mut(node).ledger.wrote(number, update),
            Fact::Synced { node, through } => self.cluster.seat_mut(node).ledger.synced(through),
            Fact::Sent { node, to, message } => self.sent(node, to, message),
            Fact::Applied { node, entry } => {
                state_machine_safety::applied(&self.cluster, node, entry)?;
                self.applies.applied(node, entry)?;
                promises::applied(&self.cluster, node, entry)
            }
            Fact::Answered { node, ticket, answer } => self.answered(node, ticket, answer),
            Fact::Halted { node, report } => {
                let seat = self.cluster.seat_mut(node);
                seat.halted = true;
                halts::halted(seat, node, report)
            }
            Fact::Invoked { op, action } => self.history.invoked(at, op, *action),
            Fact::Returned { op, outcome } => {
                self.history.returned(at, op, outcome, self.cluster.canon.last().index)
            }
            Fact::Healed => {
                self.liveness.healed(at);
                Ok(())
            }
            Fact::Ended => {
                self.liveness.ended(&self.cluster, &self.tickets)?;
                self.history.ended(&mut self.coverage)
            }
        }
    }

    fn started(&mut self, node: NodeId, stamp: Stamp, recovered: &Recovered) -> Verdict {
        self.applies.started(node);
        let survival = recovery::started(self.cluster.seat_mut(node), node, stamp, recovered)?;
        sightings::started(&mut self.coverage, stamp, survival);
        Ok(())
    }

    fn crashed(&mut self, node: NodeId) {
        let seat = self.cluster.seat_mut(node);
        seat.running = false;
        let left = self.tickets.crashed(node);
        if left > 0 {
            self.coverage.reach(Mark::CrashWithTickets);
        }
    }

    fn stepped(&mut self, at: Time, node: NodeId, status: &Status, log: &Log) -> Verdict {
        let seat = self.cluster.seat(node);
        let before = seat.status.clone();
        let kept = seat.log.agreement(log);
        let step = Step { node, before: before.as_ref(), after: status, log, ended: seat.log.last(), kept };
        monotone::stepped(&step, seat.started_in)?;
        leader_append_only::stepped(&step)?;
        acknowledged_stays::stepped(seat, &step)?;
        state_machine_safety::stepped(&self.cluster, &step)?;
        self.matching.stepped(&step)?;
        commit_told::stepped(self.cluster.seat_mut(node), &step)?;
        self.cluster.seat_mut(node).stepped(&step);
        if status.role == RoleName::Leader {
            self.leads(at, &step)?;
        }
        if status.commit > self.cluster.canon.last().index {
            self.committed(&step)?;
        }
        sightings::stepped(&self.cluster, &mut self.coverage, &step);
        let waiting = self.tickets.waiting(node);
        self.bounds.stepped(self.cluster.seat(node), &step, waiting)?;
        self.tickets.stepped(&step);
        Ok(())
    }

    /// A node leads after a turn.
    fn leads(&mut self, at: Time, step: &Step<'_>) -> Verdict {
        if self.liveness.leads(at, &self.rules) {
            self.coverage.reach(Mark::LateLeader);
        }
        let (node, term) = (step.node, step.after.term);
        if self.cluster.seat(node).led == Some(term) {
            return Ok(());
        }
        let newest = self.elections.newest();
        self.claim(node, step.after.term)?;
        let nobody = Membership::default();
        election_safety::elected(&self.cluster, node, term, step.log.membership().unwrap_or(&nobody))?;
        self.completeness.elected(node, term, step.log)?;
        sightings::elected(&self.cluster, &mut self.coverage, newest, step);
        Ok(())
    }

    /// A process leads a term, or speaks as if it did.
    fn claim(&mut self, node: NodeId, term: raft_core::Term) -> Verdict {
        let seat = self.cluster.seat_mut(node);
        if seat.led == Some(term) {
            return Ok(());
        }
        self.elections.claim(term, node, seat.stamp)?;
        seat.led = Some(term);
        seat.round = Default::default();
        seat.matched.clear();
        Ok(())
    }

    /// The first node whose commit reaches an index.
    fn committed(&mut self, step: &Step<'_>) -> Verdict {
        let term = commit_quorum::advanced(&self.cluster, step)?;
        let first = self.cluster.canon.last().index.next();
        for entry in step.log.from(first).take_while(|entry| entry.index() <= step.after.commit) {
            let follows = self.cluster.canon.push(entry);
            assert!(follows, "a log is contiguous, and the common part was compared");
            self.coverage.reach(Mark::Commits);
            if entry.term() < term {
                self.coverage.reach(Mark::OldTermCommitted);
            }
            self.history.committed(entry)?;
        }
        let canon = &self.cluster.canon;
        self.completeness.committed(term, canon.last(), canon.last_hash());
        Ok(())
    }

    fn sent(&mut self, node: NodeId, to: NodeId, message: &Message) -> Verdict {
        let seat = self.cluster.seat(node);
        promises::sent(seat, node, to, message)?;
        self.bounds.sent(node, message)?;
        sightings::sent(seat, &mut self.coverage, to, message);
        let term = message.term;
        let (disk, asker) = (message.from.disk, message.to.unwrap_or_default());
        self.cluster.seat_mut(node).spoke = message.from;
        match message.body {
            Body::Append { ref slice, .. } => {
                self.claim(node, term)?;
                progress::sent(self.cluster.seat(node), node, to, message, slice.prev().index)
            }
            Body::TimeoutNow => self.claim(node, term),
            Body::Heartbeat { round, .. } => {
                self.claim(node, term)?;
                let seat = self.cluster.seat_mut(node);
                seat.round = seat.round.max(round);
                Ok(())
            }
            Body::VoteReply { granted: true } => {
                up_to_date::granted(&self.cluster, node, to, term)?;
                self.voted(node, message, Vote { disk, candidate: to, asker })
            }
            Body::PreVoteReply { granted: true } => {
                self.cluster.seat_mut(node).pre_voted(asker, PreVote { disk, term });
                Ok(())
            }
            Body::Vote { last, transfer, .. } => {
                if self.rules.pre_vote && !transfer {
                    pre_vote::stands(&self.cluster, node, term)?;
                }
                self.cluster.seat_mut(node).stood.insert(term, last);
                self.voted(node, message, Vote { disk, candidate: node, asker: message.from })
            }
            Body::Appended { matched } => self.acknowledged(node, to, message, matched),
            Body::HeartbeatReply { round } => {
                self.cluster.seat_mut(node).heard(to, Heard { disk, asker, term, round });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn voted(&mut self, node: NodeId, message: &Message, vote: Vote) -> Verdict {
        let again = one_vote::sent(self.cluster.seat_mut(node), node, message.term, vote)?;
        sightings::voted(self.cluster.seat(node), &mut self.coverage, node, message.term, vote, again);
        Ok(())
    }

    fn acknowledged(
        &mut self,
        node: NodeId,
        to: NodeId,
        message: &Message,
        matched: raft_core::Index,
    ) -> Verdict {
        let (seat, asker) = (self.cluster.seat(node), message.to.unwrap_or_default());
        let current = seat.ledger.hard().term == message.term;
        if current && self.elections.leader_of(message.term) == Some((to, asker)) {
            promises::truthful(seat, self.cluster.seat(to), node, asker, matched)?;
        }
        let hash = if current { seat.ledger.chain().hash_at(matched) } else { None };
        let ack = Ack { disk: message.from.disk, asker, matched, hash };
        let known = self.cluster.seat_mut(node).acks.entry(message.term).or_insert(ack);
        // Another boot of the leader can't lead this term, so its asker is the same.
        if ack.matched > known.matched || ack.disk != known.disk {
            *known = ack;
        }
        Ok(())
    }

    fn answered(&mut self, node: NodeId, ticket: Ticket, answer: Answer) -> Verdict {
        let asked = self.tickets.answered(&self.cluster, node, ticket, answer)?;
        sightings::answered(&mut self.coverage, answer);
        self.liveness.answered(node, ticket, answer);
        match (answer, asked) {
            (Answer::Committed(id), _) => {
                self.reads.told(id.index);
                promises::answered(&self.cluster, node, id)
            }
            (Answer::ReadAt(index), Some(asked)) => self.reads.answered(&self.cluster, node, asked, index),
            _ => Ok(()),
        }
    }
}
