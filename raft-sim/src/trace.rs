//! What identifies a run: a hash over every input and output in order; and its last steps as text, if somebody reads
//! along.

use crate::facts::Time;
use raft_core::hash::chain;
use raft_core::{Acquaintance, Answer, Body, Entry, EntryId, Input, Message, NodeId, Output};
use std::collections::VecDeque;
use std::fmt::Arguments;

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
}

/// The trace of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    reader: Reader,
    last: VecDeque<String>,
}

impl Trace {
    /// An empty trace.
    pub fn new(reader: Reader) -> Trace {
        Trace { hash: 0, reader, last: VecDeque::new() }
    }

    /// The hash of all that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last steps, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// Adds a step in words. They are only made if somebody reads along.
    pub fn say(&mut self, at: Time, words: Arguments<'_>) {
        let line = match self.reader {
            Reader::Nobody => return,
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
            Input::Transfer { to, .. } => self.absorb(&[at, node.0, 6, to.unwrap_or_default().0]),
            Input::Campaign => self.absorb(&[at, node.0, 7]),
            Input::Heartbeat => self.absorb(&[at, node.0, 8]),
            Input::LeaseRead { .. }
            | Input::Reconfigure { .. }
            | Input::Capture
            | Input::Captured(_)
            | Input::Stored(_)
            | Input::Missing { .. }
            | Input::Unreachable { .. } => self.absorb(&[at, node.0, 9]),
        }
        if self.reader != Reader::Nobody {
            self.say(at, format_args!("{node} < {}", Words(input)));
        }
    }

    /// Takes in an output that is carried out.
    pub fn output(&mut self, at: Time, node: NodeId, output: &Output) {
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
            Output::Restore(_)
            | Output::Capture(_)
            | Output::Fetch(_)
            | Output::Store(_)
            | Output::Release { .. }
            | Output::Event(_) => self.absorb(&[at, node.0, 15]),
        }
        if self.reader != Reader::Nobody {
            self.say(at, format_args!("{node} > {}", Words(output)));
        }
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
        Body::PreVote { last } => [2, place(*last), 0, 0],
        Body::PreVoteReply { granted } => [3, u64::from(*granted), 0, 0],
        Body::Vote { last, transfer } => [4, place(*last), u64::from(*transfer), 0],
        Body::VoteReply { granted } => [5, u64::from(*granted), 0, 0],
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

/// Inputs and outputs in words, in the notation of the golden scenarios: `index@term`.
struct Words<'a, T>(&'a T);

impl std::fmt::Display for Words<'_, Input> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Input::Receive { from, message } => write!(f, "from {from}: {}", Words(message)),
            Input::Persisted(receipt) => write!(f, "{receipt:?}"),
            Input::Propose { ticket, .. } => write!(f, "propose, ticket {ticket}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::fmt::Display for Words<'_, Output> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Output::Persist(write) => {
                let update = write.update();
                write!(f, "write {}:", write.number())?;
                if let Some(hard) = update.hard {
                    write!(f, " term {} vote {:?} boot {}", hard.term, hard.vote.map(|id| id.0), hard.boot)?;
                }
                if update.base.is_some() {
                    write!(f, " base")?;
                }
                if let Some(keep) = update.keep {
                    write!(f, " keep {keep}")?;
                }
                if let (Some(first), Some(last)) = (update.entries.first(), update.entries.last()) {
                    write!(f, " entries {} to {}", first.id(), last.id())?;
                }
                Ok(())
            }
            Output::Send { to, message } => write!(f, "to {to}: {}", Words(message)),
            Output::Apply(entry) => write!(f, "apply {}", entry.id()),
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::fmt::Display for Words<'_, Message> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Message { from, to, term, body } = self.0;
        write!(f, "[term {term}, boot {}", from.boot)?;
        if let Some(to) = to {
            write!(f, ", to boot {}", to.boot)?;
        }
        match body {
            Body::Append { slice, commit } => {
                let (prev, last, count) = (slice.prev(), slice.last(), slice.entries().len());
                write!(f, "] Append after {prev}, {count} entries to {last}, commit {commit}")
            }
            other => write!(f, "] {other:?}"),
        }
    }
}
