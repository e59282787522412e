//! What the checkers know of every node, and the one log that is committed.

use super::{chain::Chain, ledger::Ledger};
use raft_core::{DiskId, EntryId, Index, Log, Membership, NodeId, RoleName, Round, Stamp, Status, Term};
use std::collections::BTreeMap;

/// The newest index that a node has acknowledged to the leader of a term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// The disk that spoke.
    pub(crate) disk: DiskId,
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

/// One node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat {
    pub(crate) running: bool,
    pub(crate) halted: bool,
    /// Its disk was emptied once.
    pub(crate) wiped: bool,
    /// The process that runs, or ran last.
    pub(crate) stamp: Stamp,
    /// The newest process of this node that has sent a message.
    pub(crate) spoke: Stamp,
    /// The members by its log, if it is founded.
    pub(crate) members: Option<Membership>,
    /// Where the newest of them stands.
    pub(crate) members_at: Option<Index>,
    /// The term in which the process started.
    pub(crate) started_in: Term,
    /// After the newest turn of this process.
    pub(crate) status: Option<Status>,
    /// Its log after the newest turn.
    pub(crate) log: Chain,
    /// The most that it may commit by the messages of the turn that is being taken.
    pub(crate) told: Index,
    /// The newest term that this process has led.
    pub(crate) led: Option<Term>,
    /// The newest round that this process has begun as a leader.
    pub(crate) round: Round,
    /// What each member has acknowledged to this process in the term that it leads.
    pub(crate) matched: BTreeMap<NodeId, Index>,
    /// What its disk holds.
    pub(crate) ledger: Ledger,
    /// What it has acknowledged, by term.
    pub(crate) acks: BTreeMap<Term, Ack>,
    /// The end of its log that it asked for votes with, by term.
    pub(crate) stood: BTreeMap<Term, EntryId>,
    /// What it has voted, by term.
    pub(crate) votes: BTreeMap<Term, Vote>,
    /// The newest pre-vote that it has granted to each process.
    pub(crate) pre_votes: BTreeMap<Stamp, PreVote>,
    /// The heartbeats that it has answered, by leader.
    pub(crate) heard: BTreeMap<NodeId, Heard>,
}

impl Seat {
    /// A turn of it is over.
    pub(crate) fn stepped(&mut self, step: &Step<'_>) {
        self.log.truncate(step.kept);
        for entry in step.log.from(step.kept.next()) {
            let follows = self.log.push(entry);
            assert!(follows, "a log is contiguous, and its terms never go down");
        }
        let members_at = step.log.membership_index();
        if step.truncated() || members_at != self.members_at {
            self.members_at = members_at;
            self.members = step.log.membership().cloned();
        }
        self.status = Some(step.after.clone());
    }

    /// It answers a round of heartbeats; the answer to an older one, that came late, changes nothing.
    pub(crate) fn heard(&mut self, leader: NodeId, heard: Heard) {
        let known = self.heard.entry(leader).or_insert(heard);
        if (heard.term, heard.round) >= (known.term, known.round) {
            *known = heard;
        }
    }

    /// It would vote for a process.
    pub(crate) fn pre_voted(&mut self, asker: Stamp, pre_vote: PreVote) {
        let known = self.pre_votes.entry(asker).or_insert(pre_vote);
        if pre_vote.term >= known.term {
            *known = pre_vote;
        }
    }

    /// Its commit index in this boot.
    pub(crate) fn commit(&self) -> Index {
        self.status.as_ref().map_or(Index(0), |status| status.commit)
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
    /// Up to here, the log is what it was before this turn.
    pub(crate) kept: Index,
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
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Cluster {
        Cluster { seats: vec![Seat::default(); nodes], canon: Chain::default() }
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

fn seat_number(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap_or(usize::MAX).wrapping_sub(1)
}
