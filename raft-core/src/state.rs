//! What every server has, whatever its role (Figure 2, "all servers"), and what it does in every role: keep its hard
//! state, grant votes, take entries into the log, apply what is committed.

use crate::asks::Asks;
use crate::capture::Capture;
use crate::clock::Clock;
use crate::config::Config;
use crate::entry::{Entry, Payload};
use crate::founding::Founding;
use crate::ids::{Boot, DiskId, EntryId, Index, NodeId, Stamp, Term};
use crate::log::Log;
use crate::membership::{Membership, Standing};
use crate::message::{Body, Message};
use crate::outbox::{Outbox, Pending};
use crate::output::{Answer, Report};
use crate::planted::Bug;
use crate::receiving::Receiving;
use crate::repair::Repair;
use crate::snapshot::Snapshot;
use crate::status::RoleName;
use crate::tickets::Tickets;
use crate::write::{HardState, Owner, Recovered};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What was last told of a node's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) role: RoleName,
    pub(crate) term: Term,
    pub(crate) leader: Option<NodeId>,
    /// Where the configuration in force stands, and its entry if it is in the log.
    pub(crate) membership: Option<(Index, Option<EntryId>)>,
    /// Whether it is committed.
    pub(crate) committed: bool,
}

/// A server's state. Invariants: `applied <= commit`, and `applied` is durable here; `commit` never goes back within a
/// boot; `hard` is what was staged last, durable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) hard: HardState,
    /// The disk that the vote of this term was given to, if that was in this boot.
    pub(crate) voted_disk: Option<DiskId>,
    pub(crate) log: Log,
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    pub(crate) leader: Option<NodeId>,
    /// The last index that appends and snapshots of this term's leader have covered here: only up to there is the log
    /// known to be its log.
    pub(crate) met: Index,
    pub(crate) founding: Founding,
    /// The newest boot seen of each server.
    pub(crate) seen: BTreeMap<NodeId, Stamp>,
    pub(crate) tickets: Tickets,
    /// Reads for the leader to confirm.
    pub(crate) asks: Asks,
    /// The newest durable snapshot.
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) capture: Capture,
    pub(crate) receiving: Option<Receiving>,
    /// What the disk was found to have lost.
    pub(crate) repair: Repair,
    /// Parts of snapshots at the disk.
    pub(crate) storing: usize,
    /// A candidate with an older log took this server for a voter, and no leader was heard since.
    pub(crate) wanted: bool,
    /// Whether the newest applied configuration has this server, with this disk.
    member: bool,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Clock,
    pub(crate) halted: bool,
    /// Ticks since the leader was last asked for reads.
    pub(crate) asked_ago: u32,
    pub(crate) shown: Option<Shown>,
    /// Messages that came to nothing: statistics.
    pub(crate) ignored: u64,
}

impl State {
    /// The state of a new boot on what the data directory held. Its first write raises the boot counter (rule 16).
    pub(crate) fn new(config: Config, recovered: Recovered) -> State {
        // Not by the term: a heartbeat may have been acknowledged before its term was durable.
        let restarted = recovered.hard.boot > Boot(0);
        let boot = Boot(recovered.hard.boot.0 + 1);
        let hard = HardState { boot, ..recovered.hard };
        let mut log = Log::recovered(recovered.base.as_ref(), recovered.entries);
        let applied = recovered.snapshot.as_ref().map_or(log.base(), Snapshot::last).index;
        // What the snapshot covers is not missed.
        let covered = log.decayed().first().is_some_and(|first| *first <= applied);
        if covered {
            log.compact(applied);
        }
        let repair = Repair::of(&log);
        let member = log.membership_at(applied).is_some_and(|it| it.on_record(config.id, config.disk));
        let silent = !config.planted(Bug::SpeaksBeforeBoot);
        let owner = Owner { node: config.id, boot };
        let mut outbox = Outbox::new(owner, repair.whole(), log.last().index, silent);
        outbox.stage_hard(hard);
        if covered {
            outbox.put(Pending::Release { through: applied });
        }
        State {
            hard,
            voted_disk: None,
            commit: applied,
            applied,
            leader: None,
            met: Index(0),
            founding: Founding::default(),
            seen: BTreeMap::new(),
            tickets: Tickets::default(),
            asks: Asks::default(),
            snapshot: recovered.snapshot,
            capture: Capture::default(),
            receiving: None,
            repair,
            storing: 0,
            wanted: false,
            member,
            outbox,
            clock: Clock::new(&config, restarted),
            halted: false,
            asked_ago: 0,
            shown: None,
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

    /// Whether this server doesn't found, or not any more: a leader brings it the log, or has begun to.
    pub(crate) fn taken_in(&self) -> bool {
        self.config.founders.is_none() || self.founding.taken_in || self.log.last() != EntryId::ORIGIN
    }

    /// Whether this server votes, by its own log (rule 10).
    pub(crate) fn is_voter(&self) -> bool {
        self.log.membership().is_some_and(|membership| membership.is_voter(self.config.id))
    }

    /// Whether this server may stand for election: only a voter by its own log may, also on timeout-now (rule 10). One
    /// whose vote goes with a configuration that is not known to be committed may, too: it might be the only one that can
    /// still be elected (dissertation 4.2.2). So may be who holds entries that a lost leader gave to nobody else, and is a
    /// voter only in the joint configuration of a candidate that it must refuse: its word for itself counts in no quorum.
    /// What an earlier disk of its id was, a newcomer is not (rule 16).
    pub(crate) fn may_campaign(&self) -> bool {
        if self.repairs() && !self.config.planted(Bug::StandsWithDecay) {
            return false;
        }
        let (id, disk) = (self.config.id, self.config.disk);
        let any = self.config.planted(Bug::StandsForEarlierDisk);
        let votes = |it: &Membership| it.is_voter(id) && (any || it.on_record(id, disk));
        let mut memberships = self.log.memberships_from(self.commit);
        memberships.any(votes)
            || (self.founded() && self.wanted && !self.config.planted(Bug::WantedStaysSilent))
            || (self.founded() && self.config.planted(Bug::LearnerCampaigns))
    }

    /// The configuration in force: the newest of the log, but for a planted bug.
    fn in_force(&self) -> Option<&Membership> {
        if self.config.planted(Bug::MembershipFromCommit) {
            return self.log.membership_at(self.commit);
        }
        self.log.membership()
    }

    /// Whether those who said yes are a quorum of the configuration in force.
    pub(crate) fn is_quorum(&self, yes: impl Fn(NodeId) -> bool) -> bool {
        self.in_force().is_some_and(|membership| {
            if self.config.planted(Bug::HalfIsQuorum) {
                let voters = membership.new_half().count();
                return membership.new_half().filter(|id| yes(*id)).count() >= voters.div_ceil(2);
            }
            self.counted(membership).is_quorum(yes)
        })
    }

    /// Whether every quorum of the configuration in force has one of those who said yes.
    pub(crate) fn meets_quorums(&self, yes: impl Fn(NodeId) -> bool) -> bool {
        self.in_force().is_some_and(|membership| self.counted(membership).meets_quorums(yes))
    }

    /// The highest index that a quorum of the configuration in force has reached.
    pub(crate) fn quorum_index(&self, matched: impl Fn(NodeId) -> Index) -> Index {
        let Some(membership) = self.in_force() else { return Index(0) };
        if self.config.planted(Bug::HalfIsQuorum) {
            let mut matched: Vec<Index> = membership.new_half().map(matched).collect();
            matched.sort_unstable();
            return matched.get(matched.len() / 2).copied().unwrap_or_default();
        }
        self.counted(membership).quorum_index(matched)
    }

    /// The configuration by which votes and acknowledgements are counted: itself, but for planted bugs.
    fn counted<'a>(&self, membership: &'a Membership) -> Cow<'a, Membership> {
        if self.config.planted(Bug::LearnerCounts) {
            return Cow::Owned(membership.with_standings(|standing| match standing {
                Standing::Learner | Standing::Entrant => Standing::Voter,
                other => other,
            }));
        }
        if self.config.planted(Bug::OneHalfDecides) {
            return Cow::Owned(membership.leave().unwrap_or_else(|| membership.clone()));
        }
        Cow::Borrowed(membership)
    }

    /// Whether a vote or an acknowledgement from this disk counts for that member (rule 16).
    pub(crate) fn on_record(&self, id: NodeId, stamp: Stamp) -> bool {
        let any = self.config.planted(Bug::AnyDiskCounts);
        let counts = |it: &Membership| it.on_record(id, stamp.disk) || (any && it.get(id).is_some());
        self.log.membership().is_some_and(counts)
    }

    /// Whether this voter refuses to vote since it hears a leader (rule 14).
    pub(crate) fn hears_leader(&self) -> bool {
        self.config.check_quorum && self.clock.hears_leader() && !self.config.planted(Bug::VoterForgetsLeader)
    }

    /// Whether a write has waited for an election timeout (rule 15): whoever can't write can't lead.
    pub(crate) fn disk_stalls(&self) -> bool {
        let timeout = u64::from(self.config.election_ticks);
        self.outbox.oldest_write().is_some_and(|since| self.clock.now - since >= timeout)
    }

    /// Whether one more promise may wait for the disk. A disk that hangs must not fill the memory (rule 18).
    pub(crate) fn may_hold(&self) -> bool {
        self.outbox.held() < self.config.limits.held || self.config.planted(Bug::HeldUnbounded)
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
        self.met = Index(0);
        self.outbox.stage_hard(self.hard);
    }

    /// Adopts an older term (used by a planted bug).
    pub(crate) fn back_to(&mut self, term: Term) {
        self.hard = HardState { term, vote: None, ..self.hard };
        self.leader = None;
        self.outbox.stage_hard(self.hard);
    }

    /// Votes for a server, on this disk, in the current term.
    pub(crate) fn vote(&mut self, candidate: NodeId, disk: DiskId) {
        self.voted_disk = Some(disk);
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

    /// Appends entries to the log, and to the next write.
    pub(crate) fn append_all(&mut self, entries: Vec<Entry>) {
        entries.iter().for_each(|entry| self.log.append(entry.clone()));
        self.outbox.stage_entries(entries);
    }

    /// Removes what is after `keep`.
    pub(crate) fn truncate(&mut self, keep: Index) {
        let obeys = self.config.planted(Bug::TruncatesBelowCommit);
        assert!(keep >= self.commit || obeys, "what is committed is never removed");
        if self.config.planted(Bug::MembershipNotRolledBack) {
            self.log.truncate_entries(keep);
        } else {
            self.log.truncate(keep);
        }
        self.outbox.stage_truncation(keep);
        self.forget_rotten_after(keep);
        if !self.config.planted(Bug::TruncationKeepsAcks) {
            self.outbox.forget_after(keep);
        }
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
        let early = self.config.planted(Bug::RestoreBeforeDurable);
        self.restore(if early { self.commit } else { durable });
        while self.applied < self.commit.min(durable) && !self.halted && self.applied >= self.log.base().index
        {
            self.applied = self.applied.next();
            let entry = self.log.entry(self.applied).expect("what is committed is in the log");
            let id = entry.id();
            let configures = matches!(entry.payload(), Payload::Membership(_)).then(|| entry.clone());
            self.capture.applied(entry.size());
            self.outbox.put(Pending::Apply(entry.clone()));
            self.settle(id);
            if let Some(Payload::Membership(membership)) = configures.as_ref().map(Entry::payload) {
                self.note_membership(id.index, membership);
            }
        }
    }

    /// Answers the tickets whose fate is decided by what is applied up to `applied`.
    pub(crate) fn settle(&mut self, applied: EntryId) {
        let log = &self.log;
        let lost = self.config.planted(Bug::CoveredIsLost);
        while let Some((ticket, answer)) = self.tickets.settle(applied, |index| log.id_at(index)) {
            let answer = if lost && answer == Answer::Unknown { Answer::Lost } else { answer };
            self.outbox.put(Pending::Answer { ticket, answer });
        }
    }

    /// Stops if a configuration that is applied is the first without this server, or gives its place to another data
    /// directory. One that had not been a member before reads what happened before its time, and so does one that is a
    /// member again by a later configuration.
    pub(crate) fn note_membership(&mut self, at: Index, membership: &Membership) {
        let (id, disk) = (self.config.id, self.config.disk);
        let member = membership.on_record(id, disk);
        let in_force = self.log.membership().and_then(|membership| membership.get(id));
        let again = in_force.is_some_and(|it| it.disk.map_or(it.replaced != Some(disk), |had| had == disk));
        if self.member && !member && !again {
            self.removed(at, membership);
        }
        self.member = member;
    }

    /// A leader says that the configuration at `at`, which is committed, is without this server. One that is no member by
    /// its own log, or by a later configuration is one again, goes on; but its leader serves it no reads.
    pub(crate) fn told_removed(&mut self, at: Index) {
        let (Some(membership), Some(own)) = (self.log.membership(), self.log.membership_index()) else {
            return;
        };
        if at > own && membership.on_record(self.config.id, self.config.disk) {
            return self.halt(Report::Removed { at });
        }
        for ticket in self.asks.give_up_all() {
            self.answer(ticket, Answer::NotLeader { leader: self.leader });
        }
    }

    /// Tells a process of an earlier boot than was seen of its disk (rule 16). As a rule its message is only late, and it
    /// is no more: then nobody takes the word. It is not held for the own boot counter: the next message will do as well.
    pub(crate) fn tell_rolled_back(&mut self, from: NodeId, stamp: Stamp, seen: Boot) {
        if !self.outbox.holds_all() && !self.config.planted(Bug::RollbackNotTold) {
            let message = self.reply(stamp, Body::RolledBack { seen });
            self.outbox.send(from, message);
        }
    }

    /// A later boot of this disk was seen.
    pub(crate) fn told_rolled_back(&mut self, told_by: NodeId, seen: Boot) {
        let boot = self.hard.boot;
        if seen <= boot {
            return self.ignored += 1;
        }
        self.give_up(Report::RolledBack { boot, seen, told_by });
    }

    /// This disk lost what it had promised. It must not start again: its next boots would be taken for ones that have
    /// lost nothing. So the disk is given up, which is written with all that was staged.
    pub(crate) fn give_up(&mut self, report: Report) {
        if !self.config.planted(Bug::RollbackForgotten) {
            self.outbox.stage_hard(HardState { boot: Boot::GIVEN_UP, ..self.hard });
        }
        self.cut();
        self.halt(report);
    }

    /// This server, with this disk, is a member no more.
    pub(crate) fn removed(&mut self, at: Index, membership: &Membership) {
        let (id, disk) = (self.config.id, self.config.disk);
        self.halt(match membership.get(id) {
            None => Report::Removed { at },
            Some(member) => {
                let told_by = self.leader.unwrap_or(id);
                Report::NotOnRecord { disk, on_record: member.disk, told_by }
            }
        });
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
        for ticket in self.asks.give_up_all() {
            self.answer(ticket, Answer::NotLeader { leader: None });
        }
    }

    /// Cuts the write of this turn.
    pub(crate) fn cut(&mut self) {
        let (last, now) = (self.log.last().index, self.clock.now);
        let lost = !self.config.planted(Bug::LostIsDurable);
        let whole = if lost { self.repair.whole_of(last) } else { last };
        if self.config.planted(Bug::TermAfterEntries)
            && let Some(hard) = self.outbox.split_hard()
        {
            self.outbox.cut(last, whole, now);
            self.outbox.stage_hard(hard);
        }
        self.outbox.cut(last, whole, now);
    }

    /// What the protocol depends on.
    pub(crate) fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        (
            (&self.hard, &self.log, self.commit, self.applied, self.leader, self.met),
            (&self.founding, &self.seen, &self.tickets, self.outbox.protocol(), self.halted),
            (
                &self.asks,
                &self.snapshot,
                &self.capture,
                &self.receiving,
                &self.repair,
                self.storing,
                (self.member, self.wanted),
                (self.hears_leader(), self.disk_stalls()),
            ),
        )
    }
}
