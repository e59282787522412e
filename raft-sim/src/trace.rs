//! What identifies a run: a hash over every input and output in order; and its last steps as text, if somebody reads
//! along.

use crate::behaviour::Behaviour;
use crate::facts::Time;
use crate::notation::At;
use crate::record::Moment;
use raft_core::hash::chain;
use raft_core::{Acquaintance, Answer, Body, Change, Entry, EntryId, Event, Input, Message, NodeId, Output};
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::mem;

/// How many steps are kept as text.
const KEPT: usize = 40;

/// Who reads along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Nobody: only the hash is made.
    Nobody,
    /// A report that shows the last steps.
    Report,
    /// A person who sees every step.
    Person,
    /// A recorder that takes every step as data.
    Recorder,
}

/// The trace of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    reader: Reader,
    last: VecDeque<String>,
    moments: Vec<Moment>,
    /// The run as the specification sees it, if that is wanted.
    pub(crate) behaviour: Option<Box<Behaviour>>,
}

impl Trace {
    /// An empty trace.
    pub fn new(reader: Reader) -> Trace {
        Trace { hash: 0, reader, last: VecDeque::new(), moments: Vec::new(), behaviour: None }
    }

    /// The hash of all that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last steps, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// From now on somebody else reads along.
    pub(crate) fn listen(&mut self, reader: Reader) {
        self.reader = reader;
    }

    /// What a recorder has not taken yet.
    pub(crate) fn take(&mut self) -> Vec<Moment> {
        mem::take(&mut self.moments)
    }

    /// Adds a step in words. They are only made if somebody reads along.
    pub fn say(&mut self, at: Time, words: Arguments<'_>) {
        let line = match self.reader {
            Reader::Nobody => return,
            Reader::Recorder => return self.moments.push(Moment::said(at, words)),
            Reader::Report | Reader::Person => format!("{at:>10} {words}"),
        };
        if self.reader == Reader::Person {
            println!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Takes in that something happened to a node that is no input: a start, a crash.
    pub fn mark(&mut self, at: Time, node: usize, what: u64) {
        self.absorb(&[at, node as u64, 100 + what]);
    }

    /// Takes in an input.
    pub fn input(&mut self, at: Time, node: NodeId, input: &Input) {
        if let Some(behaviour) = &mut self.behaviour {
            behaviour.input(node, input);
        }
        match input {
            Input::Tick { elapsed } => self.absorb(&[at, node.0, 1, u64::from(*elapsed)]),
            Input::Receive { from, message } => {
                self.absorb(&[at, node.0, 2, from.0]);
                self.message(message);
            }
            Input::Persisted(_) => self.absorb(&[at, node.0, 3]),
            Input::Propose { ticket, command } => {
                self.absorb(&[at, node.0, 4, ticket.0, raft_core::hash::bytes(command)]);
            }
            Input::Read { ticket } => self.absorb(&[at, node.0, 5, ticket.0]),
            Input::Transfer { ticket, to } => {
                self.absorb(&[at, node.0, 6, ticket.0, to.unwrap_or_default().0]);
            }
            Input::Campaign => self.absorb(&[at, node.0, 7]),
            Input::Heartbeat => self.absorb(&[at, node.0, 8]),
            Input::LeaseRead { ticket } => self.absorb(&[at, node.0, 20, ticket.0]),
            Input::Reconfigure { ticket, changes, expect } => {
                let expect = expect.map_or(u64::MAX, |index| index.0);
                self.absorb(&[at, node.0, 21, ticket.0, expect]);
                for change in changes {
                    self.absorb(&[change.id().0, kind_of(change)]);
                }
            }
            Input::Capture => self.absorb(&[at, node.0, 22]),
            Input::Captured(snapshot) => {
                let taken = snapshot.as_ref().map_or([0; 2], |it| [place(it.last()), it.digest]);
                self.absorb(&[at, node.0, 23, taken[0], taken[1]]);
            }
            Input::Stored(_) => self.absorb(&[at, node.0, 24]),
            Input::Missing { last } => self.absorb(&[at, node.0, 25, place(*last)]),
            Input::Unreachable { peer } => self.absorb(&[at, node.0, 26, peer.0]),
        }
        match self.reader {
            Reader::Nobody => {}
            Reader::Recorder => self.moments.push(Moment::input(at, node, input)),
            Reader::Report | Reader::Person => self.say(at, format_args!("{}", At(node, input))),
        }
    }

    /// Takes in an output that is carried out.
    pub fn output(&mut self, at: Time, node: NodeId, output: &Output) {
        if let Some(behaviour) = &mut self.behaviour {
            behaviour.output(node, output);
        }
        match output {
            Output::Persist(write) => {
                let update = write.update();
                let hard = update.hard.unwrap_or_default();
                let last = update.entries.last().map_or((0, 0), numbers);
                self.absorb(&[
                    at,
                    node.0,
                    10,
                    write.number(),
                    hard.term.0,
                    hard.vote.unwrap_or_default().0,
                    update.keep.map_or(u64::MAX, |keep| keep.0),
                    last.0,
                    last.1,
                ]);
            }
            Output::Send { to, message } => {
                self.absorb(&[at, node.0, 11, to.0]);
                self.message(message);
            }
            Output::Apply(entry) => self.absorb(&[at, node.0, 12, entry.index().0, entry.hash()]),
            Output::Answer { ticket, answer } => self.absorb(&[at, node.0, 13, ticket.0, said(answer)]),
            Output::Halt(_) => self.absorb(&[at, node.0, 14]),
            Output::Restore(snapshot) => {
                self.absorb(&[at, node.0, 30, place(snapshot.last()), snapshot.digest]);
            }
            Output::Capture(base) => self.absorb(&[at, node.0, 31, place(base.id), base.hash]),
            Output::Fetch(fetch) => {
                let last = place(fetch.snapshot().last());
                self.absorb(&[at, node.0, 32, fetch.to().0, last, fetch.offset(), fetch.length() as u64]);
            }
            Output::Store(store) => {
                let (last, size) = (place(store.snapshot().last()), store.data().len() as u64);
                self.absorb(&[at, node.0, 33, last, store.offset(), size]);
            }
            Output::Release { through } => self.absorb(&[at, node.0, 34, through.0]),
            Output::Event(event) => self.event(at, node, event),
        }
        match self.reader {
            Reader::Nobody => {}
            Reader::Recorder => self.moments.push(Moment::output(at, node, output)),
            Reader::Report | Reader::Person => self.say(at, format_args!("{}", At(node, output))),
        }
    }

    fn event(&mut self, at: Time, node: NodeId, event: &Event) {
        let [kind, a, b] = match event {
            Event::Role { role, term, leader } => [*role as u64, term.0, leader.unwrap_or_default().0],
            Event::Membership { at, membership } => [10, at.0, raft_core::hash::bytes(&membership.encode())],
            Event::MembershipCommitted { at } => [11, at.0, 0],
            Event::TransferBegun { to } => [12, to.0, 0],
            Event::TransferEnded { to } => [13, to.0, 0],
            Event::Flow { peer, flow } => [14, peer.0, *flow as u64],
            Event::CaughtUp { peer } => [15, peer.0, 0],
            Event::Receiving { from, last } => [16, from.0, place(*last)],
            Event::Restored { last } => [17, place(*last), 0],
            Event::Captured { last } => [18, place(*last), 0],
            Event::Compacted { base } => [19, place(*base), 0],
            Event::Repaired => [20, 0, 0],
        };
        self.absorb(&[at, node.0, 35, kind, a, b]);
    }

    fn absorb(&mut self, numbers: &[u64]) {
        self.hash = chain(self.hash, numbers);
    }

    fn message(&mut self, message: &Message) {
        let to = message.to.unwrap_or_default();
        let [kind, a, b, c] = content(&message.body);
        self.absorb(&[
            message.from.boot.0,
            message.from.disk.0,
            to.boot.0,
            to.disk.0,
            message.term.0,
            kind,
            a,
            b,
            c,
        ]);
        if let Body::Append { slice, .. } = &message.body {
            for entry in slice.entries() {
                let (id, hash) = numbers(entry);
                self.absorb(&[id, hash]);
            }
        }
    }
}

fn place(id: EntryId) -> u64 {
    id.term.0 << 40 ^ id.index.0
}

fn kind_of(change: &Change) -> u64 {
    match change {
        Change::Add { votes, .. } => u64::from(*votes),
        Change::Promote { .. } => 2,
        Change::Demote { .. } => 3,
        Change::Remove { .. } => 4,
        Change::Replace { .. } => 5,
        Change::Update { .. } => 6,
    }
}

fn numbers(entry: &Entry) -> (u64, u64) {
    (place(entry.id()), entry.hash())
}

fn content(body: &Body) -> [u64; 4] {
    match body {
        Body::Hello => [0, 0, 0, 0],
        Body::HelloReply(Acquaintance::Founding) => [1, 0, 0, 0],
        Body::HelloReply(Acquaintance::OnRecord(_)) => [1, 1, 0, 0],
        Body::HelloReply(Acquaintance::Stranger) => [1, 2, 0, 0],
        Body::HelloReply(Acquaintance::TakenIn) => [1, 3, 0, 0],
        Body::PreVote { last, .. } => [2, place(*last), 0, 0],
        Body::PreVoteReply { answer } => [3, *answer as u64, 0, 0],
        Body::Vote { last, transfer, .. } => [4, place(*last), u64::from(*transfer), 0],
        Body::VoteReply { answer } => [5, *answer as u64, 0, 0],
        Body::Append { slice, commit } => [6, place(slice.prev()), place(slice.last()), commit.0],
        Body::Appended { matched } => [7, matched.0, 0, 0],
        Body::Conflict { asked, hint } => [8, place(*asked), place(*hint), 0],
        Body::Heartbeat { commit, round } => [9, commit.0, round.0, 0],
        Body::HeartbeatReply { round } => [10, round.0, 0, 0],
        Body::TimeoutNow => [11, 0, 0, 0],
        Body::Stale => [12, 0, 0, 0],
        Body::Chunk { snapshot, offset, data } => {
            [13, place(snapshot.last()), *offset, raft_core::hash::bytes(data)]
        }
        Body::ChunkReply { last, have } => [14, place(*last), *have, 0],
        Body::ReadIndex { batch } => [15, batch.0, 0, 0],
        Body::ReadIndexReply { batch, index } => [16, batch.0, index.0, 0],
        Body::Removed { at } => [17, at.0, 0, 0],
        Body::RolledBack { seen } => [18, seen.0, 0, 0],
        Body::Lacks { first, last, have } => [19, place(*first), place(*last), *have],
        Body::Copies { slice } => [20, place(slice.prev()), place(slice.last()), 0],
        Body::Piece { snapshot, offset, data } => {
            [21, place(snapshot.last()), *offset, raft_core::hash::bytes(data)]
        }
    }
}

fn said(answer: &Answer) -> u64 {
    match answer {
        Answer::Committed(id) => 1 << 60 | place(*id),
        Answer::ReadAt(index) => 2 << 60 | index.0,
        Answer::NotLeader { leader } => 3 << 60 | leader.unwrap_or_default().0,
        Answer::Busy(limit) => 4 << 60 | *limit as u64,
        Answer::Lost => 5 << 60,
        Answer::Unknown => 6 << 60,
        Answer::Refused(_) => 7 << 60,
        Answer::HandingOver { to } => 8 << 60 | to.0,
    }
}
