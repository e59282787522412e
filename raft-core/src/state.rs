//! What every server has, whatever its role (Figure 2, "all servers"), and what it does in every role: keep its hard
//! state, grant votes, take entries into the log, apply what is committed.

use crate::clock::Clock;
use crate::config::Config;
use crate::entry::{Entry, Payload};
use crate::founding::Founding;
use crate::ids::{EntryId, Index, NodeId, Stamp, Term};
use crate::log::Log;
use crate::message::{Body, Message};
use crate::outbox::{Outbox, Pending};
use crate::output::{Answer, Report};
use crate::planted::Bug;
use crate::tickets::Tickets;
use crate::write::{HardState, Owner, Recovered};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A server's state. Invariants: `applied <= commit`, and `applied` is durable here; `commit` never goes back within a
/// boot; `hard` is what was staged last, durable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) hard: HardState,
    pub(crate) log: Log,
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    pub(crate) leader: Option<NodeId>,
    pub(crate) founding: Founding,
    /// The newest boot seen of each server.
    pub(crate) seen: BTreeMap<NodeId, Stamp>,
    pub(crate) tickets: Tickets,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Clock,
    pub(crate) halted: bool,
    /// Messages that came to nothing: statistics.
    pub(crate) ignored: u64,
}

impl State {
    /// The state of a new boot on what the data directory held. Its first write raises the boot counter (rule 16).
    pub(crate) fn new(config: Config, recovered: Recovered) -> State {
        let restarted = recovered.hard.term > Term(0);
        let boot = crate::ids::Boot(recovered.hard.boot.0 + 1);
        let hard = HardState { boot, ..recovered.hard };
        let mut log = Log::new(recovered.base.as_ref());
        for entry in recovered.entries {
            log.append(entry);
        }
        let base = log.base().index;
        let mut outbox = Outbox::new(Owner { node: config.id, boot }, log.last().index);
        outbox.stage_hard(hard);
        State {
            hard,
            commit: base,
            applied: base,
            leader: None,
            founding: Founding::default(),
            seen: BTreeMap::new(),
            tickets: Tickets::default(),
            outbox,
            clock: Clock::new(&config, restarted),
            halted: false,
            ignored: 0,
            log,
            config,
        }
    }

    /// This process.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { disk: self.config.disk, boot: self.hard.boot }
    }

    /// Whether the founding is over: there is a configuration.
    pub(crate) fn founded(&self) -> bool {
        self.log.membership().is_some()
    }

    /// Whether this server votes, by its own log (rule 10).
    pub(crate) fn is_voter(&self) -> bool {
        self.log.membership().is_some_and(|membership| membership.is_voter(self.config.id))
    }

    /// Whether those who said yes are a quorum of the configuration in force.
    pub(crate) fn is_quorum(&self, yes: impl Fn(NodeId) -> bool) -> bool {
        self.log.membership().is_some_and(|membership| {
            if self.config.planted(Bug::HalfIsQuorum) {
                let voters = membership.new_half().count();
                return membership.new_half().filter(|id| yes(*id)).count() >= voters.div_ceil(2);
            }
            membership.is_quorum(yes)
        })
    }

    /// The highest index that a quorum of the configuration in force has reached.
    pub(crate) fn quorum_index(&self, matched: impl Fn(NodeId) -> Index) -> Index {
        let Some(membership) = self.log.membership() else { return Index(0) };
        if self.config.planted(Bug::HalfIsQuorum) {
            let mut matched: Vec<Index> = membership.new_half().map(matched).collect();
            matched.sort_unstable();
            return matched.get(matched.len() / 2).copied().unwrap_or_default();
        }
        membership.quorum_index(matched)
    }

    /// Whether a vote or an acknowledgement from this disk counts for that member (rule 16).
    pub(crate) fn on_record(&self, id: NodeId, stamp: Stamp) -> bool {
        self.log.membership().is_some_and(|membership| membership.on_record(id, stamp.disk))
    }

    /// Whether this voter refuses to vote since it hears a leader (rule 14).
    pub(crate) fn hears_leader(&self) -> bool {
        self.config.check_quorum && self.clock.hears_leader()
    }

    /// Whether a write has waited for an election timeout (rule 15): whoever can't write can't lead.
    pub(crate) fn disk_stalls(&self) -> bool {
        let timeout = u64::from(self.config.election_ticks);
        self.outbox.oldest_write().is_some_and(|since| self.clock.now - since >= timeout)
    }

    /// A request of this process in its term.
    pub(crate) fn request(&self, body: Body) -> Message {
        Message { from: self.stamp(), to: None, term: self.hard.term, body }
    }

    /// A reply of this process in its term to who asked.
    pub(crate) fn reply(&self, asker: Stamp, body: Body) -> Message {
        Message { from: self.stamp(), to: Some(asker), term: self.hard.term, body }
    }

    /// Adopts a newer term, in which it has not voted.
    pub(crate) fn adopt(&mut self, term: Term) {
        assert!(term > self.hard.term, "terms only grow");
        self.hard = HardState { term, vote: None, ..self.hard };
        self.leader = None;
        self.outbox.stage_hard(self.hard);
    }

    /// Votes for a server in the current term.
    pub(crate) fn vote(&mut self, candidate: NodeId) {
        if self.hard.vote != Some(candidate) {
            self.hard.vote = Some(candidate);
            self.outbox.stage_hard(self.hard);
        }
    }

    /// Whether a candidate's log is at least as up-to-date as this one (paper section 5.4.1).
    pub(crate) fn up_to_date(&self, last: EntryId) -> bool {
        if self.config.planted(Bug::IndexBeforeTerm) {
            return (last.index, last.term) >= (self.log.last().index, self.log.last().term);
        }
        last >= self.log.last()
    }

    /// Appends an entry to the log, and to the next write.
    pub(crate) fn append(&mut self, entry: Entry) {
        self.log.append(entry.clone());
        self.outbox.stage_entry(entry);
    }

    /// Removes what is after `keep`.
    pub(crate) fn truncate(&mut self, keep: Index) {
        assert!(keep >= self.commit, "what is committed is never removed");
        self.log.truncate(keep);
        self.outbox.stage_truncation(keep);
    }

    /// Learns that everything up to here is committed.
    pub(crate) fn commit_to(&mut self, index: Index) {
        assert!(index <= self.log.last().index, "what is committed is in the log");
        self.commit = self.commit.max(index);
    }

    /// Puts out what is committed and durable here, in order, and answers its tickets.
    pub(crate) fn apply(&mut self) {
        let durable =
            if self.config.planted(Bug::ApplyBeforeDurable) { self.commit } else { self.outbox.durable() };
        while self.applied < self.commit.min(durable) && !self.halted {
            self.applied = self.applied.next();
            let entry = self.log.entry(self.applied).expect("what is committed is in the log").clone();
            self.check_record(&entry);
            self.outbox.put(Pending::Apply(entry));
            let log = &self.log;
            while let Some((ticket, answer)) = self.tickets.settle(self.applied, |index| log.id_at(index)) {
                self.outbox.put(Pending::Answer { ticket, answer });
            }
        }
    }

    /// Stops if a committed configuration gives this member's place to another data directory.
    fn check_record(&mut self, entry: &Entry) {
        let Payload::Membership(membership) = entry.payload() else { return };
        let on_record = membership.get(self.config.id).and_then(|member| member.disk);
        if on_record.is_some_and(|disk| disk != self.config.disk) {
            let told_by = self.leader.unwrap_or(self.config.id);
            self.halt(Report::NotOnRecord { disk: self.config.disk, on_record, told_by });
        }
    }

    /// Answers a ticket.
    pub(crate) fn answer(&mut self, ticket: crate::ids::Ticket, answer: Answer) {
        self.outbox.put(Pending::Answer { ticket, answer });
    }

    /// Stops for good.
    pub(crate) fn halt(&mut self, report: Report) {
        self.halted = true;
        self.outbox.halt(report);
        while let Some(ticket) = self.tickets.pop() {
            self.answer(ticket, Answer::Unknown);
        }
    }

    /// Cuts the write of this turn.
    pub(crate) fn cut(&mut self) {
        let (last, now) = (self.log.last().index, self.clock.now);
        if self.config.planted(Bug::TermAfterEntries)
            && let Some(hard) = self.outbox.split_hard()
        {
            self.outbox.cut(last, now);
            self.outbox.stage_hard(hard);
        }
        self.outbox.cut(last, now);
    }

    /// What the protocol depends on.
    pub(crate) fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        (
            (&self.hard, &self.log, self.commit, self.applied, self.leader),
            (&self.founding, &self.seen, &self.tickets, self.outbox.protocol(), self.halted),
        )
    }
}
