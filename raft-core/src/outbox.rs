//! What leaves a node, and what must wait before it may: every promise is held until the write that it depends on is
//! durable (rules 3 to 5). A message to this node itself takes the same way.

use crate::entry::Entry;
use crate::event::Event;
use crate::ids::{Index, NodeId, Stamp, Term, Ticket};
use crate::message::{Body, Message};
use crate::output::{Answer, Output, Report};
use crate::snapshot::{Fetch, Snapshot, Store, Stored};
use crate::write::{Base, HardState, Owner, Persisted, Update, Write};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem;

/// A write that was put out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    number: u64,
    persisted: bool,
    /// The last index of the log as of this write, less what was truncated since.
    last: Index,
}

/// A message and the write that it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    until: u64,
    to: NodeId,
    message: Message,
}

/// An output that nobody has taken yet. Not an [`Output`], because a node can be cloned and a write can't.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pending {
    Persist {
        number: u64,
        update: Update,
    },
    Send {
        to: NodeId,
        message: Message,
    },
    Apply(Entry),
    Restore(Snapshot),
    Capture(Base),
    Fetch {
        to: NodeId,
        asker: Option<Stamp>,
        from: Stamp,
        term: Term,
        snapshot: Snapshot,
        offset: u64,
        length: usize,
    },
    Store {
        snapshot: Snapshot,
        offset: u64,
        data: Bytes,
    },
    Release {
        through: Index,
    },
    Event(Event),
    Answer {
        ticket: Ticket,
        answer: Answer,
    },
    Halt(Report),
}

/// Invariants: `held` is in the order of `until`, all above `durable_write`; the numbers in `in_flight` are contiguous
/// and end right below `next_write`; `durable` never passes what the unbroken run of receipts covers (rule 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outbox {
    owner: Owner,
    next_write: u64,
    staged: Update,
    /// How many entries the last write had.
    usual: usize,
    in_flight: VecDeque<InFlight>,
    /// When each write in flight was put out, in ticks: statistics beside the protocol's state.
    issued: VecDeque<u64>,
    /// The last index that the writes put out so far have reached, less what was truncated since.
    written: Index,
    durable_write: u64,
    durable: Index,
    /// The newest write with a hard state.
    hard_write: u64,
    /// Nothing may leave yet.
    silent: bool,
    held: VecDeque<Held>,
    to_self: VecDeque<Message>,
    out: VecDeque<Pending>,
}

impl Outbox {
    /// The outbox of a new boot, on a log up to `written` that is durable up to `durable`. `silent`: nothing leaves before
    /// the first write is durable.
    pub(crate) fn new(owner: Owner, durable: Index, written: Index, silent: bool) -> Outbox {
        Outbox {
            owner,
            next_write: 1,
            staged: Update::default(),
            usual: 0,
            in_flight: VecDeque::new(),
            issued: VecDeque::new(),
            written,
            durable_write: 0,
            durable,
            hard_write: 0,
            silent,
            held: VecDeque::new(),
            to_self: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// The end of the unbroken durable part of the log.
    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// What a start found on the disk up to here is durable after all: what it had lost before is covered.
    pub(crate) fn found_whole(&mut self, through: Index) {
        self.durable = self.durable.max(through.min(self.written));
    }

    /// How many messages wait for a write.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether everything waits: the boot counter is not durable yet (rule 16).
    pub(crate) fn holds_all(&self) -> bool {
        self.silent
    }

    /// When the oldest write without a receipt was put out.
    pub(crate) fn oldest_write(&self) -> Option<u64> {
        self.issued.front().copied()
    }

    /// Whether the newest hard state is durable.
    pub(crate) fn hard_is_durable(&self) -> bool {
        self.staged.hard.is_none() && self.hard_write <= self.durable_write
    }

    /// The next write carries this hard state.
    pub(crate) fn stage_hard(&mut self, hard: HardState) {
        self.staged.hard = Some(hard);
    }

    /// Takes the hard state out of a write with entries (used by a planted bug).
    pub(crate) fn split_hard(&mut self) -> Option<HardState> {
        if self.staged.entries.is_empty() { None } else { self.staged.hard.take() }
    }

    /// The next write carries this base, and the log before it goes as a whole. What is committed, up to `commit`, is
    /// covered by the base; an acknowledgement of anything else, though held, must not leave.
    pub(crate) fn stage_base(&mut self, base: Base, commit: Index) {
        self.staged.entries.clear();
        self.staged.keep = None;
        self.staged.base = Some(base);
        self.written = commit;
        self.forget_after(commit);
    }

    /// What is durable or on its way ends here.
    pub(crate) fn forget_after(&mut self, keep: Index) {
        for write in &mut self.in_flight {
            write.last = write.last.min(keep);
        }
        self.durable = self.durable.min(keep);
        self.held.retain(|held| !matches!(held.message.body, Body::Appended { matched } if matched > keep));
    }

    /// The next write carries this entry. As a rule a write is about as large as the one before.
    pub(crate) fn stage_entry(&mut self, entry: Entry) {
        if self.staged.entries.capacity() == 0 {
            self.staged.entries.reserve(self.usual);
        }
        self.staged.entries.push(entry);
    }

    /// The next write carries these entries.
    pub(crate) fn stage_entries(&mut self, mut entries: Vec<Entry>) {
        if self.staged.entries.is_empty() {
            self.staged.entries = entries;
        } else {
            self.staged.entries.append(&mut entries);
        }
    }

    /// The next write removes what is after `keep`. An acknowledgement of what goes, though held, must not leave: see
    /// [`Outbox::forget_after`].
    pub(crate) fn stage_truncation(&mut self, keep: Index) {
        self.staged.entries.retain(|entry| entry.index() <= keep);
        if self.written > keep {
            self.staged.keep = Some(self.staged.keep.map_or(keep, |earlier| earlier.min(keep)));
            self.written = keep;
        }
    }

    /// Sends what promises nothing about this disk (rule 3). Before the boot counter is durable nothing leaves
    /// (rule 16).
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if self.holds_all() { self.promise(to, message) } else { self.release(to, message) }
    }

    /// Sends a promise: not before all that was staged and written so far is durable (rule 4).
    pub(crate) fn promise(&mut self, to: NodeId, message: Message) {
        let until = if self.staged == Update::default() { self.next_write - 1 } else { self.next_write };
        if until <= self.durable_write {
            self.release(to, message);
        } else {
            self.held.push_back(Held { until, to, message });
        }
    }

    fn release(&mut self, to: NodeId, message: Message) {
        if to == self.owner.node {
            self.to_self.push_back(message);
        } else {
            self.out.push_back(Pending::Send { to, message });
        }
    }

    /// Puts out what isn't a message.
    pub(crate) fn put(&mut self, output: Pending) {
        self.out.push_back(output);
    }

    /// What this node said to itself and has not heard yet.
    pub(crate) fn take_self(&mut self) -> Option<Message> {
        self.to_self.pop_front()
    }

    /// Cuts the write of this turn, if there is anything to write. `last`: the last index of the log; `whole`: up to where
    /// the disk will hold everything.
    pub(crate) fn cut(&mut self, last: Index, whole: Index, now: u64) {
        if self.staged == Update::default() {
            return;
        }
        let (number, update) = (self.next_write, mem::take(&mut self.staged));
        self.usual = update.entries.len();
        if update.hard.is_some() {
            self.hard_write = number;
        }
        self.next_write += 1;
        self.written = last;
        self.in_flight.push_back(InFlight { number, persisted: false, last: whole });
        self.issued.push_back(now);
        self.out.push_back(Pending::Persist { number, update });
    }

    /// Whether a receipt for a part of a snapshot is this boot's.
    pub(crate) fn check_stored(&self, receipt: &Stored) {
        assert_eq!(
            receipt.owner, self.owner,
            "a receipt is handed to the boot of the node that asked for it"
        );
    }

    /// A receipt came in: releases what waited for it and for everything before it.
    pub(crate) fn persisted(&mut self, receipt: &Persisted) {
        assert_eq!(
            receipt.owner, self.owner,
            "a receipt is handed to the boot of the node that made the write"
        );
        let write = self.in_flight.iter_mut().find(|write| write.number == receipt.number);
        write.expect("a receipt is handed in once").persisted = true;
        self.settle();
    }

    /// Takes a receipt for all writes up to its own (used by a planted bug).
    pub(crate) fn persisted_up_to(&mut self, receipt: &Persisted) {
        let covered = self.in_flight.iter_mut().filter(|write| write.number <= receipt.number);
        covered.for_each(|write| write.persisted = true);
        self.settle();
    }

    /// What the unbroken run of receipts covers is durable.
    fn settle(&mut self) {
        while self.in_flight.front().is_some_and(|write| write.persisted) {
            if let Some(write) = self.in_flight.pop_front() {
                self.issued.pop_front();
                self.durable_write = write.number;
                self.silent = false;
                self.durable = self.durable.max(write.last);
            }
        }
        while self.held.front().is_some_and(|held| held.until <= self.durable_write) {
            if let Some(held) = self.held.pop_front() {
                self.release(held.to, held.message);
            }
        }
    }

    /// The node stops: nothing that waits may leave any more.
    pub(crate) fn halt(&mut self, report: Report) {
        self.held.clear();
        self.to_self.clear();
        self.staged = Update::default();
        self.out.push_back(Pending::Halt(report));
    }

    /// The next output for the driver.
    pub(crate) fn pop(&mut self) -> Option<Output> {
        Some(match self.out.pop_front()? {
            Pending::Persist { number, update } => {
                Output::Persist(Write { owner: self.owner, number, update })
            }
            Pending::Send { to, message } => Output::Send { to, message },
            Pending::Apply(entry) => Output::Apply(entry),
            Pending::Restore(snapshot) => Output::Restore(snapshot),
            Pending::Capture(base) => Output::Capture(base),
            Pending::Fetch { to, asker, from, term, snapshot, offset, length } => {
                Output::Fetch(Fetch { to, asker, from, term, snapshot, offset, length })
            }
            Pending::Store { snapshot, offset, data } => {
                Output::Store(Store { owner: self.owner, snapshot, offset, data })
            }
            Pending::Release { through } => Output::Release { through },
            Pending::Event(event) => Output::Event(event),
            Pending::Answer { ticket, answer } => Output::Answer { ticket, answer },
            Pending::Halt(report) => Output::Halt(report),
        })
    }

    /// What the protocol depends on.
    pub(crate) fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        (
            (self.next_write, &self.staged, &self.in_flight, self.written),
            (self.durable_write, self.durable, self.hard_write, &self.held, &self.to_self, &self.out),
        )
    }
}
