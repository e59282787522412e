//! What must hold in every run, one file each, checked after every fact at a cost that is bounded per fact: constant,
//! or proportional to what changed.

pub mod acknowledged_stays;
pub mod bounds;
mod chain;
mod cluster;
pub mod commit_quorum;
pub mod commit_told;
pub mod configurations;
pub mod election_safety;
pub mod exactly_once;
pub mod hand_over;
pub(crate) mod key_table;
pub mod leader_append_only;
pub mod leader_completeness;
pub mod leadership;
pub mod leases;
pub mod ledger;
pub mod liveness;
pub mod log_matching;
mod messages;
mod model;
pub mod monotone;
pub mod one_vote;
pub mod patience;
pub mod perjury;
pub mod pre_vote;
pub mod progress;
pub mod promises;
pub(crate) mod quorum;
pub mod reads;
pub mod receipts;
pub mod recovery;
pub mod removal;
pub mod repair;
pub mod rollback;
pub mod ruin;
mod sightings;
pub mod snapshots;
pub mod stale_reads;
pub mod state_machine_safety;
pub mod terms;
#[cfg(test)]
mod tests;
pub mod tickets;
mod turns;
pub mod up_to_date;

use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, Fact, StaleRead, Time, Violation};
use crate::history::History;
use cluster::Cluster;
use raft_core::{
    Answer, EntryId, Index, Limits, Log, NodeId, Recovered, Report, Stamp, Term, Ticket, Update,
};
use reads::Means;
use tickets::Answered;

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
    /// Seats: node ids are 1 to this.
    pub nodes: usize,
    /// The cluster is founded with the ids from 1 to this.
    pub founders: usize,
    /// Whether every clock stays within the drift that the nodes are set to, and none jumps or stops: then a leader's
    /// lease must hold. The nodes check quorums, too.
    pub lease: bool,
    /// The limits that every node runs with.
    pub limits: Limits,
    /// Whether every node asks before it stands for election.
    pub pre_vote: bool,
    /// What a voter's patience with a leader is at least, in simulated time on the fastest clock.
    pub patience: Time,
    /// The minimal election timeout, in simulated time on the slowest clock.
    pub election_timeout: Time,
    /// How long a lease lasts from when its round began, in ticks of the leader's clock.
    pub lease_ticks: u64,
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
    once: exactly_once::Once,
    ruin: ruin::Ruin,
    perjury: Option<perjury::Perjury>,
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
            once: Default::default(),
            ruin: Default::default(),
            perjury: None,
            history: Default::default(),
            coverage: Coverage::default(),
        }
    }

    /// Takes in the next fact. After a violation the run is over: what a later call returns means nothing.
    ///
    /// # Errors
    /// The first invariant that this fact breaks.
    pub fn observe(&mut self, at: Time, fact: &Fact<'_>) -> Result<(), Violation> {
        let verdict = match &mut self.perjury {
            Some(perjury) => perjury.observe(&mut self.coverage, fact),
            None => self.judge(at, fact),
        };
        verdict.map_err(|Broken { invariant, class, said }| Violation { invariant, class, at, said })
    }

    /// Whether the cluster has done all that liveness asks of it. Once it is healed, the run may then end.
    pub fn settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What liveness still asks for, in words.
    pub fn unsettled(&self) -> Option<String> {
        self.liveness.unsettled(&self.cluster, &self.tickets, &self.rules)
    }

    /// Whether a healed cluster has had all the time that it may take to settle.
    pub fn overdue(&self, at: Time) -> bool {
        self.liveness.overdue(at, &self.rules)
    }

    /// The rare states that this run reached.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Up to where anybody has committed.
    pub(crate) fn commit(&self) -> Index {
        self.cluster.canon.last().index
    }

    fn judge(&mut self, at: Time, fact: &Fact<'_>) -> Verdict {
        if let Some(verdict) = rollback::observed(&mut self.cluster, &mut self.coverage, fact) {
            return verdict;
        }
        match *fact {
            Fact::Started { node, stamp, recovered, joins } => self.started(node, stamp, recovered, joins),
            Fact::Crashed { node } => self.crashed(node),
            Fact::Wiped { node } => {
                recovery::wiped(self.cluster.seat_mut(node));
                Ok(())
            }
            Fact::Seated { node } => {
                recovery::seated(self.cluster.seat_mut(node));
                Ok(())
            }
            Fact::Received { node, from, message } => {
                self.received(at, node, from, message);
                Ok(())
            }
            Fact::Proposed { node, ticket, command } => {
                self.liveness.asked(node, ticket);
                self.tickets.proposed(node, ticket, command)
            }
            Fact::ReadAsked { node, ticket, lease } => {
                self.liveness.asked(node, ticket);
                let asked = self.reads.asked(self.cluster.seat(node), lease);
                self.tickets.read_asked(node, ticket, asked)
            }
            Fact::Reconfigured { node, ticket, changes, expect } => {
                self.liveness.may_change_hands();
                self.tickets.reconfigured(node, ticket, changes, expect)
            }
            Fact::TransferAsked { node, ticket } => self.transfer_asked(node, ticket),
            Fact::Nudged { .. }
            | Fact::Ticked { .. }
            | Fact::Confirmed { .. }
            | Fact::Parted { .. }
            | Fact::Looked { .. } => {
                self.noted(fact);
                Ok(())
            }
            Fact::Stepped { node, ref status, log } => self.stepped(at, node, status, log),
            Fact::Wrote { node, number, update } => self.wrote(at, node, number, update),
            Fact::Synced { node, through } => self.synced(node, through),
            Fact::Sent { node, to, message } => self.sent(at, node, to, message),
            Fact::Applied { .. } | Fact::Replied { .. } | Fact::Keeps { .. } => self.application(fact),
            Fact::Answered { node, ticket, answer } => self.answered(at, node, ticket, answer),
            Fact::ServedStale { node, read } => self.served_stale(node, read),
            Fact::Halted { node, report } => self.halted(node, report),
            Fact::Invoked { op, action } => self.history.invoked(at, op, *action),
            Fact::Returned { op, outcome } => {
                self.history.returned(at, op, outcome, self.cluster.canon.last().index)
            }
            Fact::Healed | Fact::Settled | Fact::Ended | Fact::Perjured => self.course(at, fact),
            Fact::RolledBack { .. } => Ok(()),
            Fact::Revenant { node, stamp, term, log, leads } => {
                self.revenant(node, stamp, (term, leads), log)
            }
            Fact::Ruined { lost } => self.ruined(lost),
            Fact::Capturing { .. }
            | Fact::Captured { .. }
            | Fact::Fetching { .. }
            | Fact::Unread { .. }
            | Fact::Storing { .. }
            | Fact::Stored { .. }
            | Fact::StoreAnswered { .. }
            | Fact::Restored { .. }
            | Fact::Released { .. } => self.snapshot(at, fact),
        }
    }

    /// Of a process on an earlier disk of a seat no more is known than what it stands with, and that it has won.
    fn revenant(&mut self, node: NodeId, stamp: Stamp, (term, leads): (Term, bool), log: &Log) -> Verdict {
        if !leads {
            self.coverage.reach(Mark::RevenantStood);
            self.cluster.seat_mut(node).stood.insert((term, stamp.disk), log.last());
            return Ok(());
        }
        self.coverage.reach(Mark::RevenantElected);
        self.elections.claim(term, node, stamp)?;
        let ends = (log.base(), log.last());
        self.completeness.leads((node, term), ends, |index| log.hash_at(index), &self.cluster.canon)
    }

    fn ruined(&mut self, lost: EntryId) -> Verdict {
        assert_eq!(self.cluster.canon.id_at(lost.index), Some(lost), "what is lost was committed");
        self.ruin = ruin::Ruin(Some(lost));
        Ok(())
    }

    /// How far the run is.
    fn course(&mut self, at: Time, fact: &Fact<'_>) -> Verdict {
        match fact {
            Fact::Perjured => {
                self.history.ended(&mut self.coverage)?;
                self.perjury = Some(perjury::Perjury::begins(&self.cluster));
            }
            Fact::Healed => self.liveness.healed(at),
            Fact::Settled => self.liveness.settled(at, &self.cluster, &self.rules, &mut self.coverage),
            _ => {
                self.liveness.ended(&self.cluster, &self.tickets, &self.rules)?;
                self.history.ended(&mut self.coverage)?;
            }
        }
        Ok(())
    }

    /// What says nothing by itself that could be wrong.
    fn noted(&mut self, fact: &Fact<'_>) {
        match *fact {
            Fact::Nudged { node } => {
                self.liveness.may_change_hands();
                let seat = self.cluster.seat_mut(node);
                seat.patience.urged();
                seat.spoken.stirred();
            }
            Fact::Ticked { node, elapsed } => {
                let seat = self.cluster.seat_mut(node);
                seat.ticks += u64::from(elapsed);
                seat.spoken.stirred();
            }
            Fact::Confirmed { node, number } => {
                self.bounds.confirmed(node, number);
                self.cluster.seat_mut(node).receipts.confirmed(number);
            }
            Fact::Parted { .. } => self.coverage.reach(Mark::CrashPartedWrite),
            Fact::Looked { node, room } => self.cluster.seat_mut(node).room = room,
            _ => {}
        }
    }

    fn served_stale(&mut self, node: NodeId, read: StaleRead) -> Verdict {
        stale_reads::served(&mut self.cluster, &mut self.coverage, node, read)
    }

    fn transfer_asked(&mut self, node: NodeId, ticket: Ticket) -> Verdict {
        self.liveness.may_change_hands();
        self.cluster.seat_mut(node).asked_to_hand_over = true;
        self.tickets.transfer_asked(node, ticket)
    }

    fn application(&mut self, fact: &Fact<'_>) -> Verdict {
        match *fact {
            Fact::Applied { node, entry } => {
                state_machine_safety::applied(&self.cluster, node, entry)?;
                self.applies.applied(node, entry)?;
                self.ruin.applied(node, entry)?;
                promises::applied(&self.cluster, node, entry)
            }
            Fact::Replied { node, at, reply } => self.once.replied(node, at, &reply, &mut self.coverage),
            Fact::Keeps { node, at, table } => self.once.keeps(node, at, table),
            _ => Ok(()),
        }
    }

    /// What happens to snapshots, and to the log because of them.
    fn snapshot(&mut self, at: Time, fact: &Fact<'_>) -> Verdict {
        match *fact {
            Fact::Capturing { node, base, machine } => {
                snapshots::capturing(&mut self.cluster, node, base, machine, self.applies.newest(node))
            }
            Fact::Captured { node, snapshot } => {
                self.coverage.reach(Mark::Snapshots);
                self.bounds.captured(node);
                snapshots::captured(&mut self.cluster, node, snapshot)
            }
            Fact::Fetching { node, to, bytes } => {
                let seat = self.cluster.seat(node);
                let round = (seat.led, seat.round);
                self.bounds.fetching(node, to, bytes, round)
            }
            Fact::Unread { node, to } => {
                self.bounds.unread(node, to);
                Ok(())
            }
            Fact::Storing { node } => {
                self.liveness.moves(at);
                self.bounds.storing(node)
            }
            Fact::Stored { node, snapshot } => snapshots::stored(&mut self.cluster, node, snapshot),
            Fact::StoreAnswered { node } => {
                self.bounds.store_answered(node);
                Ok(())
            }
            Fact::Restored { node, snapshot, machine } => {
                self.coverage.reach(Mark::SnapshotsInstalled);
                if snapshot.base.membership.is_joint() {
                    self.coverage.reach(Mark::SnapshotInstalledWhileJoint);
                }
                snapshots::restored(&self.cluster, node, snapshot, machine)?;
                self.applies.restored(node, snapshot.last().index)
            }
            Fact::Released { node, through } => snapshots::released(&mut self.cluster, node, through),
            _ => Ok(()),
        }
    }

    fn started(&mut self, node: NodeId, stamp: Stamp, recovered: &Recovered, joins: bool) -> Verdict {
        let from = recovered.snapshot.as_ref().map(|snapshot| snapshot.last().index);
        self.applies.started(node, from.unwrap_or_default());
        self.bounds.started(node);
        let seat = self.cluster.seat_mut(node);
        seat.joins = joins;
        let survival = recovery::started(seat, node, stamp, recovered)?;
        snapshots::started(&mut self.cluster, node, recovered)?;
        sightings::started(&mut self.coverage, stamp, survival, from.is_some());
        Ok(())
    }

    fn wrote(&mut self, at: Time, node: NodeId, number: u64, update: &Update) -> Verdict {
        snapshots::wrote(&self.cluster, node, update)?;
        let seat = self.cluster.seat_mut(node);
        seat.standing.wrote(at, number);
        self.bounds.wrote(node, number, update.hard.is_some());
        seat.receipts.wrote(number, update);
        seat.ledger.wrote(number, update)
    }

    fn synced(&mut self, node: NodeId, through: u64) -> Verdict {
        let seat = self.cluster.seat_mut(node);
        seat.standing.synced(through);
        seat.ledger.synced(through)
    }

    fn halted(&mut self, node: NodeId, report: &Report) -> Verdict {
        self.cluster.seat_mut(node).halted = true;
        removal::halted(&self.cluster, node, report)
    }

    fn crashed(&mut self, node: NodeId) -> Verdict {
        let seat = self.cluster.seat_mut(node);
        seat.running = false;
        let left = self.tickets.crashed(node);
        if left > 0 {
            self.coverage.reach(Mark::CrashWithTickets);
        }
        Ok(())
    }

    fn answered(&mut self, at: Time, node: NodeId, ticket: Ticket, answer: Answer) -> Verdict {
        self.ruin.answered(node, answer)?;
        let asked = self.tickets.answered(&self.cluster, node, ticket, answer)?;
        sightings::answered(&mut self.coverage, asked, answer);
        self.liveness.answered(node, ticket, answer);
        match (answer, asked) {
            (Answer::Committed(id), _) => {
                self.reads.told(id.index);
                promises::answered(&self.cluster, node, id)
            }
            // With clocks that are worse than a lease needs, nobody relies on what it says.
            (Answer::ReadAt(_), Answered::Read(asked)) if asked.lease && !self.rules.lease => Ok(()),
            (Answer::ReadAt(index), Answered::Read(asked)) => {
                let Judges { cluster, rules, completeness, coverage, .. } = self;
                match self.reads.answered(cluster, node, asked, index)? {
                    Means::Round => {
                        sightings::read(cluster, coverage, node);
                        Ok(())
                    }
                    Means::Told => {
                        coverage.reach(Mark::FollowerReads);
                        Ok(())
                    }
                    Means::Neither => {
                        leases::answered(cluster, rules, completeness, coverage, at, node, index)
                    }
                }
            }
            _ => Ok(()),
        }
    }
}
