//! What the checkers know of every node, and the one log that is committed.

use super::{
    chain::Chain, leadership, ledger::Ledger, model::Model, patience::Patience, quorum, receipts::Receipts,
    terms::Spoken, up_to_date::AskedBefore,
};
use crate::facts::{Room, Time};
use raft_core::{
    Base, DiskId, EntryId, Index, Log, Membership, NodeId, Payload, RoleName, Round, Snapshot, Stamp, Status,
    Term,
};
use std::collections::{BTreeMap, BTreeSet};

/// The newest index that a node has acknowledged to the leader of a term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// The process that had asked.
    pub(crate) asker: Stamp,
    pub(crate) matched: Index,
    /// The running hash of the durable log there; `None` if the log had moved on to a later term.
    pub(crate) hash: Option<u64>,
}

/// The vote that a node gave in a term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vote {
    /// The disk that spoke.
    pub(crate) disk: DiskId,
    pub(crate) candidate: NodeId,
    /// The process that had asked.
    pub(crate) asker: Stamp,
    /// How often the seat was given anew before.
    pub(crate) seating: u32,
    /// The candidate's log was found to be up-to-date.
    pub(crate) compared: bool,
}

/// Word that a node would vote in a term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreVote {
    /// The disk that spoke.
    pub(crate) disk: DiskId,
    pub(crate) term: Term,
}

/// The newest round of heartbeats that a node has answered to one process in one term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) disk: DiskId,
    pub(crate) asker: Stamp,
    pub(crate) term: Term,
    pub(crate) round: Round,
}

/// The first question of a follower for an index to read at that reached a process, of its newest batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) batch: Round,
    pub(crate) asked: super::reads::Asked,
}

/// One node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat {
    pub(crate) running: bool,
    pub(crate) halted: bool,
    /// Its disk was emptied under its old identity.
    pub(crate) wiped: bool,
    /// Its disk was put back to an earlier state.
    pub(crate) rolled_back: bool,
    /// The processes that began on a disk that was put back, as others may have before.
    pub(crate) again: BTreeSet<Stamp>,
    /// How often it was given a fresh disk, to join anew.
    pub(crate) seating: u32,
    /// The room on its disk, as this process found it.
    pub(crate) room: Room,
    /// The process that runs, or ran last.
    pub(crate) stamp: Stamp,
    /// It was told never to found.
    pub(crate) joins: bool,
    /// The newest process of this node that has sent a message.
    pub(crate) spoke: Stamp,
    /// The configurations in force one after another since this process began.
    pub(crate) forces: Vec<Membership>,
    /// Where in them the one stands that was in force before the newest turn.
    pub(crate) turn_since: usize,
    /// The term in which the process started.
    pub(crate) started_in: Term,
    /// What the snapshot covers that the process started from.
    pub(crate) started_at: Index,
    /// After the newest turn of this process.
    pub(crate) status: Option<Status>,
    /// Its log after the newest turn.
    pub(crate) log: Chain,
    /// Where its newest stale read of this boot was served.
    pub(crate) served_stale: Index,
    /// What the newest snapshot covers that took the place of its log in this boot.
    pub(crate) installed: Index,
    /// The most that it may commit by the messages of the turn that is being taken.
    pub(crate) told: Index,
    /// The newest terms in it.
    pub(crate) spoken: Spoken,
    /// The end of the newest snapshot of which a part has reached this process.
    pub(crate) snapshot_told: Index,
    /// The place among `forces` of the configuration in force when another disk last spoke to this process.
    pub(crate) spoken_to: BTreeMap<(NodeId, DiskId), usize>,
    /// The newest term that this process has led.
    pub(crate) led: Option<Term>,
    /// The newest round that this process has begun as a leader.
    pub(crate) round: Round,
    /// When each of the last rounds began, and how many ticks the process had taken then.
    pub(crate) rounds: BTreeMap<Round, (Time, u64)>,
    /// How many ticks it has taken.
    pub(crate) ticks: u64,
    /// Which processes have asked this one whether it would vote for them, and in which term.
    pub(crate) asked_before: BTreeMap<(NodeId, Stamp, Term), AskedBefore>,
    /// Somebody asks it to hand over in the turn that is being taken.
    pub(crate) asked_to_hand_over: bool,
    /// The newest term in which this process handed over.
    pub(crate) handed_over: Option<Term>,
    /// The term that this process stood for last, and the configuration by which it did.
    pub(crate) stands_by: Option<(Term, Membership)>,
    /// Whether it did so as a voter by a configuration that may be the committed one.
    pub(crate) stands_as_voter: bool,
    /// This process was asked for its vote.
    pub(crate) asked_to_vote: bool,
    /// What each member has acknowledged to this process in the term that it leads.
    pub(crate) matched: BTreeMap<NodeId, Index>,
    /// What followers have asked this process to read, each by its newest batch.
    pub(crate) questions: BTreeMap<(NodeId, Stamp), Question>,
    /// How many answers to such questions have reached this process, and the highest index in one.
    pub(crate) told_to_read: (u64, Index),
    /// What it has promised to leaders: its disks are all one.
    pub(crate) patience: Patience,
    /// What lets this process lead.
    pub(crate) standing: leadership::Standing,
    /// What its disk holds.
    pub(crate) ledger: Ledger,
    /// What it has heard of that.
    pub(crate) receipts: Receipts,
    /// The snapshots that were on stable storage at some time, by their last index.
    pub(crate) snapshots: BTreeMap<Index, Snapshot>,
    /// The capture of this boot that is under way.
    pub(crate) capturing: Option<Base>,
    /// Whether this process has said what it has of a snapshot.
    pub(crate) said_what_it_has: bool,
    /// What it has acknowledged, by term and disk.
    pub(crate) acks: BTreeMap<(Term, DiskId), Ack>,
    /// The end of its log that it asked for votes with, by term and disk.
    pub(crate) stood: BTreeMap<(Term, DiskId), EntryId>,
    /// What it has voted, by term and disk.
    pub(crate) votes: BTreeMap<(Term, DiskId), Vote>,
    /// The newest pre-vote that each of its disks has granted to each process.
    pub(crate) pre_votes: BTreeMap<(Stamp, DiskId), PreVote>,
    /// The heartbeats that each of its disks has answered, by leader.
    pub(crate) heard: BTreeMap<(NodeId, DiskId), Heard>,
}

impl Seat {
    /// A turn of it is over.
    pub(crate) fn stepped(&mut self, step: &Step<'_>) {
        self.turn_since = self.forces.len().saturating_sub(1);
        if step.installed {
            self.log = Chain::behind(step.log);
            self.installed = self.installed.max(step.log.base().index);
            self.forces.extend(self.log.configuration().map(|(_, members)| members.clone()));
        } else {
            self.log.truncate(step.kept);
            if let Some(founding) = step.log.membership_at(self.log.base().index) {
                self.log.found(founding);
            }
        }
        for entry in step.log.from(step.kept.next()) {
            let follows = self.log.push(entry);
            assert!(follows, "a log is contiguous, and its terms never go down");
            if let Payload::Membership(members) = entry.payload() {
                self.forces.push(members.clone());
            }
        }
        let members = self.log.configuration().map(|(_, members)| members);
        if self.forces.last() != members {
            self.forces.extend(members.cloned());
        }
        let term = step.after.term;
        let stands = step.after.role == RoleName::Candidate;
        if stands && self.stands_by.as_ref().is_none_or(|(stood, _)| *stood != term) {
            self.stands_by = members.map(|members| (term, members.clone()));
            let (id, commit) = (step.node, step.after.commit);
            let disk = self.stamp.disk;
            let votes = |members: &Membership| members.is_voter(id) && members.on_record(id, disk);
            let votes = self.log.configurations_since(commit).any(votes);
            self.stands_as_voter = votes || self.asked_to_vote;
        }
        let log = &self.log;
        let recorded = |id: &NodeId| {
            log.configuration()
                .and_then(|(_, members)| members.get(*id))
                .is_some_and(|member| member.disk.is_some())
        };
        self.matched.retain(|id, _| recorded(id));
        self.status = Some(step.after.clone());
    }

    /// The configuration in force in its log, if it has any.
    pub(crate) fn members(&self) -> Option<&Membership> {
        self.log.configuration().map(|(_, members)| members)
    }

    /// Where it stands.
    pub(crate) fn members_at(&self) -> Option<Index> {
        self.log.configuration().map(|(at, _)| at)
    }

    /// The configurations that were in force at some moment of the newest turn.
    pub(crate) fn in_play(&self) -> &[Membership] {
        self.forces.get(self.turn_since..).unwrap_or_default()
    }

    /// It answers a round of heartbeats; the answer to an older one, that came late, changes nothing.
    pub(crate) fn heard(&mut self, leader: NodeId, heard: Heard) {
        let known = self.heard.entry((leader, heard.disk)).or_insert(heard);
        if (heard.term, heard.round) >= (known.term, known.round) {
            *known = heard;
        }
    }

    /// It would vote for a process.
    pub(crate) fn pre_voted(&mut self, asker: Stamp, pre_vote: PreVote) {
        let known = self.pre_votes.entry((asker, pre_vote.disk)).or_insert(pre_vote);
        if pre_vote.term >= known.term {
            *known = pre_vote;
        }
    }

    /// A leader begins a round, or goes on with it.
    pub(crate) fn begins(&mut self, at: Time, round: Round) {
        self.round = self.round.max(round);
        self.rounds.entry(round).or_insert((at, self.ticks));
        while self.rounds.len() > 256 {
            self.rounds.pop_first();
        }
    }

    /// Its commit index in this boot.
    pub(crate) fn commit(&self) -> Index {
        self.status.as_ref().map_or(self.started_at, |status| status.commit)
    }

    /// Its term, role and the like, if it has taken a turn in this boot and led after it.
    pub(crate) fn leading(&self) -> Option<&Status> {
        self.status.as_ref().filter(|status| self.running && status.role == RoleName::Leader)
    }
}

/// One turn of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) node: NodeId,
    pub(crate) before: Option<&'a Status>,
    pub(crate) after: &'a Status,
    pub(crate) log: &'a Log,
    /// The last entry of the log before this turn.
    pub(crate) ended: EntryId,
    /// Up to here, the log is what it was before this turn; or the new base, if a snapshot took the place of the log.
    pub(crate) kept: Index,
    /// A snapshot took the place of the log.
    pub(crate) installed: bool,
}

impl Step<'_> {
    /// Whether the node led the same term before and after.
    pub(crate) fn led_throughout(&self) -> bool {
        let led = |status: &Status| status.role == RoleName::Leader;
        led(self.after) && self.before.is_some_and(|before| led(before) && before.term == self.after.term)
    }

    /// Whether entries were removed.
    pub(crate) fn truncated(&self) -> bool {
        self.kept < self.ended.index
    }
}

/// All nodes, and what is committed.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    seats: Vec<Seat>,
    /// Every committed entry, as the first node that knew saw it.
    pub(crate) canon: Chain,
    /// What every application must be at each index.
    pub(crate) model: Model,
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Cluster {
        Cluster { seats: vec![Seat::default(); nodes], canon: Chain::default(), model: Model::default() }
    }

    /// A node; ids are 1 to their number.
    pub(crate) fn seat(&self, node: NodeId) -> &Seat {
        &self.seats[seat_number(node)]
    }

    pub(crate) fn seat_mut(&mut self, node: NodeId) -> &mut Seat {
        &mut self.seats[seat_number(node)]
    }

    /// The node with this id, if there is one: ids in a configuration are not ours.
    pub(crate) fn find(&self, node: NodeId) -> Option<&Seat> {
        self.seats.get(seat_number(node))
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = (NodeId, &Seat)> {
        self.seats.iter().enumerate().map(|(at, seat)| (NodeId(at as u64 + 1), seat))
    }
}

/// The first of these configurations by which those who said yes are a quorum; if there is none, the ids of those of the
/// newest one who did.
pub(crate) fn quorum_of_any<'a>(
    configurations: impl IntoIterator<Item = &'a Membership>,
    yes: impl Fn(&Membership, NodeId) -> bool,
) -> Result<(), (Vec<u64>, usize)> {
    let mut newest = None;
    for members in configurations {
        if quorum::agreed(members, |id| yes(members, id)) {
            return Ok(());
        }
        newest = Some(members);
    }
    let Some(newest) = newest else { return Err((Vec::new(), 0)) };
    let ids = newest.members().iter().map(|member| member.id);
    Err((ids.filter(|id| yes(newest, *id)).map(|id| id.0).collect(), newest.members().len()))
}

fn seat_number(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap_or(usize::MAX).wrapping_sub(1)
}
