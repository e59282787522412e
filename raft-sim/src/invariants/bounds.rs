//! Nothing grows beyond its limit: bytes proposed and not committed, tickets without an answer, what one append
//! carries, appends on their way, messages that wait for the disk, the log since the snapshots, chunks on their way and in
//! the disk's hands (rule 18 of DESIGN). Where a bound on bytes is smaller than one entry, one entry passes.

use super::{
    Verdict,
    chain::Chain,
    cluster::{Cluster, Seat, Step},
    demand,
};
use crate::facts::Class;
use raft_core::{Body, Entry, EntryId, Index, Limits, Message, NodeId, RoleName, Round, Status, Term};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The name of this invariant.
pub const NAME: &str = "bounds";

/// What one leader has appended in its term and not committed.
#[derive(Clone, Copy, Debug, Default)]
struct Uncommitted {
    term: Term,
    /// Everything up to here is counted, or committed.
    counted: Index,
    committed: Index,
    bytes: usize,
    /// Entries with any bytes.
    entries: usize,
}

/// How much longer than its limits a log may grow while a snapshot is being sent, so that transfers end.
const PATIENCE: u64 = 4;
/// How many times its window, and a question, a leader may send, or ask its disk for, in one round without an answer: what
/// it takes for lost, it sends again.
const REPEATS: usize = 2;

/// Snapshots of which the oldest must not hold a log back any more: a driver keeps two, and whoever is sent an older one
/// is told so with the next part.
const KEPT: usize = 6;

/// The term that a process leads in, and its newest round.
type Led = (Option<Term>, Round);

/// The snapshots, appends and chunks of one process.
#[derive(Clone, Debug, Default)]
struct Transfers {
    /// The last snapshots that it knew as its newest.
    snapshots: VecDeque<Index>,
    /// Writes that it has not heard of, and the newest that holds a term.
    unconfirmed: BTreeSet<u64>,
    term_at: u64,
    /// After the turn before, the newest of it was not known to be durable: what a snapshot covers may be of that term.
    in_doubt: bool,
    /// One was captured since the newest turn.
    captured: bool,
    /// Chunks that its disk is storing.
    storing: usize,
    /// Chunks that were fetched for each member since it was last heard of them, and the round then.
    fetched: BTreeMap<NodeId, (Led, usize)>,
    /// Questions of members whose disks have lost commands: each may be answered by one chunk.
    lacking: BTreeMap<NodeId, usize>,
    /// Appends, and their bytes, that were sent to each member since it was last heard, and the round then.
    appends: BTreeMap<NodeId, (Led, usize, usize)>,
}

/// The counts of every node.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    limits: Limits,
    uncommitted: Vec<Uncommitted>,
    transfers: Vec<Transfers>,
}

impl Bounds {
    pub(crate) fn new(nodes: usize, limits: Limits) -> Bounds {
        Bounds {
            limits,
            uncommitted: vec![Uncommitted::default(); nodes + 1],
            transfers: vec![Transfers::default(); nodes + 1],
        }
    }

    /// A process begins.
    pub(crate) fn started(&mut self, node: NodeId) {
        *self.of(node) = Transfers::default();
    }

    /// A write is put out. `term`: it holds one.
    pub(crate) fn wrote(&mut self, node: NodeId, number: u64, term: bool) {
        let own = self.of(node);
        own.unconfirmed.insert(number);
        if term {
            own.term_at = number;
        }
    }

    /// It hears that a write is durable.
    pub(crate) fn confirmed(&mut self, node: NodeId, number: u64) {
        self.of(node).unconfirmed.remove(&number);
    }

    /// A capture is over, and the next turn hears of it.
    pub(crate) fn captured(&mut self, node: NodeId) {
        self.of(node).captured = true;
    }

    /// A chunk is handed to a disk: of a window of them, or a question.
    pub(crate) fn storing(&mut self, node: NodeId) -> Verdict {
        let most = self.limits.inflight_chunks + 1;
        let own = self.of(node);
        own.storing += 1;
        demand(own.storing <= most, NAME, Class::Bounds, || {
            format!(
                "node {node} has its disk store {} chunks at once, more than the {most} allowed",
                own.storing
            )
        })
    }

    /// A disk is done with a chunk.
    pub(crate) fn store_answered(&mut self, node: NodeId) {
        let own = self.of(node);
        own.storing = own.storing.saturating_sub(1);
    }

    /// A follower's word on a snapshot reaches a leader.
    pub(crate) fn chunk_heard(&mut self, node: NodeId, from: NodeId) {
        self.of(node).fetched.remove(&from);
    }

    /// A chunk that was asked of a disk is not there: it is not on its way.
    pub(crate) fn unread(&mut self, node: NodeId, to: NodeId) {
        if let Some((_, count)) = self.of(node).fetched.get_mut(&to) {
            *count = count.saturating_sub(1);
        }
    }

    /// The word that commands are lost reaches a node that may have them.
    pub(crate) fn lacks(&mut self, node: NodeId, from: NodeId) {
        *self.of(node).lacking.entry(from).or_default() += 1;
    }

    /// Anything of a member reaches a leader.
    pub(crate) fn heard(&mut self, node: NodeId, from: NodeId) {
        self.of(node).appends.remove(&from);
    }

    /// An append leaves a leader in its newest round.
    fn appending(&mut self, node: NodeId, to: NodeId, size: usize, round: Led) -> Verdict {
        let Limits { inflight_appends, inflight_bytes, batch_bytes, command_bytes, .. } = self.limits;
        let (since, count, bytes) = self.of(node).appends.entry(to).or_insert((round, 0, 0));
        if *since != round {
            (*since, *count, *bytes) = (round, 0, 0);
        }
        (*count, *bytes) = (*count + 1, *bytes + size);
        let (count, bytes) = (*count, *bytes);
        // The window is full once its bytes are reached: the last append may go beyond.
        let most = REPEATS * inflight_bytes.saturating_add(batch_bytes.max(command_bytes));
        demand(count <= REPEATS * (inflight_appends + 1) && bytes <= most, NAME, Class::Bounds, || {
            format!(
                "node {node} sends {count} appends of {bytes} bytes to node {to} in one round without an answer; \
                 {inflight_appends} of {inflight_bytes} bytes may be on their way"
            )
        })
    }

    /// A chunk is asked of a disk: a leader's, in its newest round, or for who lacks commands.
    pub(crate) fn fetching(&mut self, node: NodeId, to: NodeId, bytes: usize, round: Led) -> Verdict {
        let Limits { chunk_bytes, inflight_chunks, .. } = self.limits;
        demand(bytes <= chunk_bytes, NAME, Class::Bounds, || {
            format!(
                "node {node} is to send {bytes} bytes of a snapshot at once, more than the {chunk_bytes} allowed"
            )
        })?;
        let asked = self.of(node).lacking.get_mut(&to).filter(|asked| **asked > 0);
        if let Some(asked) = asked {
            *asked -= 1;
            return Ok(());
        }
        let (since, count) = self.of(node).fetched.entry(to).or_insert((round, 0));
        if *since != round {
            (*since, *count) = (round, 0);
        }
        *count += 1;
        let count = *count;
        demand(count <= REPEATS * (inflight_chunks + 1), NAME, Class::Bounds, || {
            format!(
                "node {node} fetches {count} chunks for node {to} in one round without an answer; {inflight_chunks} \
                 may be on their way"
            )
        })
    }

    /// The log since the snapshots. A capture that is under way may be slow; a snapshot that is being sent keeps the log
    /// behind it, and a driver keeps two.
    fn since_snapshots(&mut self, cluster: &Cluster, step: &Step<'_>) -> Verdict {
        let (node, limits) = (step.node, self.limits);
        let newest = step.after.snapshot.unwrap_or_default().index;
        let own = self.of(node);
        if own.snapshots.back() != Some(&newest) {
            own.snapshots.push_back(newest);
        }
        if own.snapshots.len() > KEPT {
            own.snapshots.pop_front();
        }
        let full = own.snapshots.len() == KEPT;
        let oldest = own.snapshots.front().copied().filter(|_| full).unwrap_or_default();
        let capturing = std::mem::take(&mut own.captured) || cluster.seat(node).capturing.is_some();
        let same = |before: &Status| (before.term, before.vote) == (step.after.term, step.after.vote);
        let doubt = own.unconfirmed.first().is_some_and(|first| *first <= own.term_at);
        let waits = std::mem::replace(&mut own.in_doubt, doubt || !step.before.is_some_and(same));
        let (base, retained) = (step.after.base.index, limits.retain_entries);
        // A log that was joined can't begin before the first configuration in it.
        let due = Index(oldest.0.saturating_sub(retained));
        demand(base >= due || step.log.membership_at(due).is_none(), NAME, Class::Bounds, || {
            format!(
                "the log of node {node} begins behind {base}; {} snapshots after the one at {oldest} are durable, and \
                 {retained} entries are to be kept",
                KEPT - 1
            )
        })?;
        let Some(before) = step.before else { return Ok(()) };
        let snapshot = before.snapshot.unwrap_or_default().index;
        // Before the first configuration that came with an entry, there is nothing that a snapshot could say of members.
        let members = cluster.canon.configuration_at(before.applied).is_some_and(|(at, _)| at > Index(0));
        let entries = before.applied.0.saturating_sub(snapshot.0);
        let bytes = cluster.model.bytes_between(snapshot, before.applied);
        let within = entries <= limits.snapshot_entries.saturating_mul(PATIENCE)
            && bytes
                <= limits
                    .snapshot_bytes
                    .saturating_mul(PATIENCE as usize)
                    .saturating_add(limits.command_bytes);
        demand(capturing || waits || before.halted || !members || within, NAME, Class::Bounds, || {
            format!(
                "node {node} has applied {entries} entries of {bytes} bytes since its snapshot at {snapshot}, and asks \
                 for no other"
            )
        })
    }

    fn of(&mut self, node: NodeId) -> &mut Transfers {
        &mut self.transfers[super::chain::position(Index(node.0))]
    }

    /// A turn is over; `seat` has its log already. `waiting`: tickets from earlier turns without an answer.
    pub(crate) fn stepped(&mut self, cluster: &Cluster, step: &Step<'_>, waiting: usize) -> Verdict {
        self.since_snapshots(cluster, step)?;
        let seat = cluster.seat(step.node);
        let waiting = waiting.max(step.after.tickets);
        demand(waiting <= self.limits.tickets, NAME, Class::Bounds, || {
            format!(
                "node {} owes {waiting} answers, more than the {} allowed",
                step.node, self.limits.tickets
            )
        })?;
        self.holding(seat, step)?;
        let own = &mut self.uncommitted[step.node.0 as usize];
        if step.after.role != RoleName::Leader {
            return Ok(());
        }
        if own.term != step.after.term {
            let start = step.kept;
            *own =
                Uncommitted { term: step.after.term, counted: start, committed: start, bytes: 0, entries: 0 };
        }
        own.count(&seat.log, step.log.last(), step.after.commit);
        let own = *own;
        let limit = self.limits.uncommitted_bytes;
        demand(own.bytes <= limit || own.entries <= 1, NAME, Class::Bounds, || {
            format!(
                "node {} has {} bytes in {} entries of its term {} uncommitted, more than the {limit} allowed",
                step.node, own.bytes, own.entries, own.term
            )
        })
    }

    /// What is taken while one more may be held asks every other server for its vote, at most. Beyond that, what was taken to
    /// be stored is answered; and a leader promises its own log, once for each entry at most that its disk lacks: for those
    /// with a ticket, and those without a command.
    fn holding(&self, seat: &Seat, step: &Step<'_>) -> Verdict {
        let Limits { held: most, inflight_chunks, .. } = self.limits;
        let most = most + self.transfers.len() + 2 + inflight_chunks + 1 + step.after.tickets;
        let held = step.after.held;
        if held <= most {
            return Ok(());
        }
        let lacking = (step.after.durable.0 + 1..=step.after.last.index.0).map(Index);
        let most = most + lacking.filter(|index| seat.log.size_at(*index) == 0).count();
        demand(held <= most, NAME, Class::Bounds, || {
            format!("node {} holds {held} messages for its disk, more than the {most} allowed", step.node)
        })
    }

    /// A message leaves a node, which leads in this term and round.
    pub(crate) fn sent(&mut self, node: NodeId, to: NodeId, message: &Message, round: Led) -> Verdict {
        let Body::Append { slice, .. } = &message.body else { return Ok(()) };
        let (entries, limits) = (slice.entries().len(), &self.limits);
        demand(entries <= limits.batch_entries, NAME, Class::Bounds, || {
            format!(
                "node {node} sends {entries} entries at once, more than the {} allowed",
                limits.batch_entries
            )
        })?;
        let bytes: usize = slice.entries().iter().map(Entry::size).sum();
        demand(bytes <= limits.batch_bytes || entries <= 1, NAME, Class::Bounds, || {
            format!("node {node} sends {bytes} bytes at once, more than the {} allowed", limits.batch_bytes)
        })?;
        self.appending(node, to, bytes, round)
    }
}

impl Uncommitted {
    fn count(&mut self, log: &Chain, last: EntryId, commit: Index) {
        while self.counted < last.index {
            self.counted = self.counted.next();
            let size = self.own_size(log, self.counted);
            self.bytes += size;
            self.entries += usize::from(size > 0);
        }
        while self.committed < commit.min(self.counted) {
            self.committed = self.committed.next();
            let size = self.own_size(log, self.committed);
            self.bytes -= size;
            self.entries -= usize::from(size > 0);
        }
    }

    /// The size of an entry of this term: what a leader inherited is not counted.
    fn own_size(&self, log: &Chain, index: Index) -> usize {
        if log.id_at(index).is_some_and(|id| id.term == self.term) { log.size_at(index) } else { 0 }
    }
}
