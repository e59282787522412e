//! What one disk truly holds, by the disk's own word: neither the core's belief nor the driver's.

use super::{Broken, Verdict, chain::Chain, demand, monotone, one_vote};
use crate::facts::Class;
use raft_core::{Base, Entry, EntryId, HardState, Index, NodeId, Recovered, Snapshot, Term, Update};
use std::collections::{BTreeSet, VecDeque};

/// The name of the invariant that a node's writes are numbered and follow each other.
pub const WRITE_ORDER: &str = "write_order";
/// The name of the invariant that recovery gives what was durable, plus at most writes in flight.
pub const RECOVERY: &str = "recovery";

/// One disk: its durable content, and the writes of this boot that are not known to be durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    hard: HardState,
    /// Whether the log stands on a base. One that doesn't was sent from its first entry on by a leader.
    based: bool,
    /// The log since the newest base that was written. What the disk has forgotten since is kept.
    chain: Chain,
    /// The log on the disk may begin anywhere up to here: only whole files of it are dropped, and not at once.
    released: Index,
    /// Entries of it whose commands the disk has lost, and not been given again.
    rotten: BTreeSet<Index>,
    /// Whether this boot began with such entries.
    lost: bool,
    in_flight: VecDeque<(u64, Update)>,
    written: u64,
    ballot: Option<Ballot>,
}

/// The newest vote on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ballot {
    pub(crate) term: Term,
    /// The end of the log when the vote became durable.
    pub(crate) tail: EntryId,
    /// Whether the vote's write left the log as it was.
    pub(crate) log_untouched: bool,
}

/// What a restart found of the writes that were in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survival {
    pub(crate) kept: usize,
    pub(crate) lost: usize,
}

impl Ledger {
    /// The durable hard state.
    pub(crate) fn hard(&self) -> HardState {
        self.hard
    }

    /// The durable log.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How the log stood when the newest vote became durable.
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        self.ballot
    }

    /// The vote that this disk holds for its term, if that is the term.
    pub(crate) fn vote_in(&self, term: Term) -> Option<NodeId> {
        self.hard.vote.filter(|_| self.hard.term == term)
    }

    /// A write is handed to the disk.
    pub(crate) fn wrote(&mut self, number: u64, update: &Update) -> Verdict {
        demand(number == self.written + 1, WRITE_ORDER, Class::Safety, || {
            format!("write {number} was put out, but the one before it was {}", self.written)
        })?;
        self.written = number;
        self.in_flight.push_back((number, update.clone()));
        Ok(())
    }

    /// The disk says that everything up to this write is on stable storage.
    pub(crate) fn synced(&mut self, through: u64) -> Verdict {
        while self.in_flight.front().is_some_and(|(number, _)| *number <= through) {
            self.settle()?;
        }
        Ok(())
    }

    /// The disk may forget the entries up to an index.
    pub(crate) fn released(&mut self, through: Index) {
        self.released = self.released.max(through);
        self.rotten.retain(|index| *index > through);
    }

    /// A snapshot on the disk covers lost commands, if it is one of this log.
    pub(crate) fn covered(&mut self, snapshot: &Snapshot) {
        if self.chain.hash_at(snapshot.last().index) == Some(snapshot.base.hash) {
            self.rotten.retain(|index| *index > snapshot.last().index);
        }
    }

    /// Whether a write is at the disk.
    pub(crate) fn is_writing(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The first entry whose command the disk has lost.
    pub(crate) fn rotten(&self) -> Option<Index> {
        self.rotten.first().copied()
    }

    /// Whether the disk had lost commands when this boot began.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost
    }

    /// A process starts on what the disk gave: the durable content and an unbroken run of what was in flight.
    pub(crate) fn started(&mut self, recovered: &Recovered) -> Result<Survival, Broken> {
        let mut given = Chain::on(recovered.base.as_ref());
        for entry in &recovered.entries {
            demand(given.push(entry), RECOVERY, Class::Durability, || {
                format!("recovery gave {} after {}", entry.id(), given.last())
            })?;
        }
        let durable = self.summary();
        let in_flight = self.in_flight.len();
        while !self.is(recovered, &given) {
            demand(!self.in_flight.is_empty(), RECOVERY, Class::Durability, || {
                format!(
                    "the disk held {durable} and {in_flight} writes in flight, but recovery gave {:?}, based: {}, log \
                     from {} to {}",
                    recovered.hard,
                    recovered.base.is_some(),
                    given.base(),
                    given.last()
                )
            })?;
            self.settle()?;
        }
        let survival = Survival { kept: in_flight - self.in_flight.len(), lost: self.in_flight.len() };
        self.in_flight.clear();
        self.written = 0;
        let covered = recovered.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.last().index);
        let lost = |entry: &&Entry| entry.is_decayed() && entry.index() > covered;
        let decayed = recovered.entries.iter().filter(lost).map(Entry::index);
        self.rotten = decayed.collect();
        self.lost = !self.rotten.is_empty();
        Ok(survival)
    }

    /// What is durable, in words.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{:?}, based: {}, log from {} to {}, released to {}",
            self.hard,
            self.based,
            self.chain.base(),
            self.chain.last(),
            self.released
        )
    }

    fn is(&self, recovered: &Recovered, given: &Chain) -> bool {
        self.hard == recovered.hard
            && self.may_begin(recovered.base.as_ref())
            && self.chain.last() == given.last()
            && self.chain.last_hash() == given.last_hash()
    }

    /// Whether the log may begin there: on the base that was written last, or where entries were released.
    fn may_begin(&self, base: Option<&Base>) -> bool {
        let Some(base) = base else { return !self.based };
        let written = self.based && base.id == self.chain.base();
        let index = base.id.index;
        let released = index > self.chain.base().index && index <= self.released;
        (written || released)
            && self.chain.id_at(index) == Some(base.id)
            && self.chain.hash_at(index) == Some(base.hash)
            && self.chain.membership_at(index).is_none_or(|members| *members == base.membership)
    }

    /// The oldest write in flight becomes durable.
    fn settle(&mut self) -> Verdict {
        let Some((number, update)) = self.in_flight.pop_front() else { return Ok(()) };
        if let Some(hard) = update.hard {
            one_vote::durable(self.hard, hard)?;
            monotone::durable(self.hard.term, hard.term)?;
            self.hard = hard;
        }
        let log_untouched = update.base.is_none() && update.keep.is_none() && update.entries.is_empty();
        if update.base.is_some() {
            self.based = true;
            self.rotten.clear();
            self.chain = Chain::on(update.base.as_ref());
        }
        if let Some(keep) = update.keep {
            self.chain.truncate(keep);
            self.rotten.retain(|index| *index <= keep);
        }
        for entry in &update.entries {
            demand(self.chain.push(entry), WRITE_ORDER, Class::Safety, || {
                format!(
                    "write {number} appends {} to a disk whose log ends with {}",
                    entry.id(),
                    self.chain.last()
                )
            })?;
        }
        if let Some(hard) = update.hard.filter(|hard| hard.vote.is_some())
            && self.ballot.is_none_or(|ballot| ballot.term < hard.term)
        {
            self.ballot = Some(Ballot { term: hard.term, tail: self.chain.last(), log_untouched });
        }
        Ok(())
    }
}
