//! What clients and nodes say to each other, and what a node's driver does for its clients.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Action, Class, Fact, Key, OpId, Outcome, StaleRead, Time, Value, Violation};
use crate::naming::SETTINGS;
use crate::operator::OPERATOR;
use crate::options::Leases;
use crate::planted::{Lie, Planted};
use crate::workload::{Level, Operation};
use crate::world::{Event, World};
use raft_core::{Answer, Entry, EntryId, Index, Input, Payload, Ticket};
use raft_machine::{Reply, Verdict};

/// Where the number of an attempt stands in its ticket: below those of the operator.
const ATTEMPT: u32 = 32;

/// What the application's reply to a put with a key means to its client.
fn told(reply: &Reply) -> Outcome {
    match reply.verdict {
        Verdict::Done { .. } => Outcome::Put { index: reply.id.index },
        // This attempt did nothing, and of earlier ones it says nothing.
        _ => Outcome::Unknown,
    }
}

impl World {
    /// A client's turn.
    pub(crate) fn ask(&mut self, client: usize) -> Result<(), Violation> {
        let Some(op) = self.workload.next(client, self.now, &mut self.choices) else { return Ok(()) };
        self.counts.operations += 1;
        self.give_name(op);
        self.workload.relax(op, self.options.seats, &mut self.choices);
        self.invoke(op)?;
        if !self.workload.waits(client) {
            let next = self.now + self.workload.think(client, &mut self.choices);
            self.queue.push(next, Event::Client { client });
        }
        Ok(())
    }

    fn invoke(&mut self, op: OpId) -> Result<(), Violation> {
        let Operation { action, level, .. } = *self.workload.operation(op);
        if level != Level::Stale {
            self.judges.observe(self.now, &Fact::Invoked { op, action: &action })?;
        }
        self.send(op);
        Ok(())
    }

    /// Many commands come at once, to one node.
    pub(crate) fn burst(&mut self, at: usize) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        for _ in 0..=self.choices.pick(Purpose::Exiles.into(), 40) {
            let op = self.workload.burst(at, &mut self.choices);
            self.counts.operations += 1;
            self.invoke(op)?;
        }
        Ok(())
    }

    /// Sends an operation on its way, and begins to wait.
    fn send(&mut self, op: OpId) {
        let Operation { client, attempt, node: at, .. } = *self.workload.operation(op);
        if !self.workload.loses(client, &mut self.choices) {
            let arrives = self.now + self.wire(client);
            self.queue.push(arrives, Event::Request { op, attempt, at });
        }
        self.queue.push(self.now + self.workload.patience(client), Event::Patience { op });
    }

    fn wire(&mut self, client: usize) -> Time {
        let network = self.options.network;
        self.choices.range(Site::new(Purpose::Wire, client), network.delay, network.delay + network.jitter)
    }

    /// A request comes to a node.
    pub(crate) fn request(&mut self, op: OpId, attempt: u32, at: usize) -> Result<(), Violation> {
        let operation = *self.workload.operation(op);
        if self.servers[at].process.is_none() {
            self.respond(op, Outcome::NotApplied, None);
            return Ok(());
        }
        let refused = self.refuses(at, &operation.action);
        if refused {
            self.counts.refused_writes += 1;
            self.respond(op, Outcome::NotApplied, None);
            if self.planted != Some(Planted::Driver(Lie::RefusedWhenBegun)) {
                return Ok(());
            }
        }
        // Each attempt has a ticket of its own.
        let ticket = Ticket(u64::from(attempt) << ATTEMPT | op.0);
        let upper = self.options.naming.is_some() && attempt % 2 == 1;
        let (stamp, idempotency) = (self.stamp(at), operation.name.map(|name| name.text(upper)));
        match operation.action.command(stamp, operation.padding, idempotency) {
            Some(command) => self.input(at, Input::Propose { ticket, command }),
            None if operation.level == Level::Stale => self.ask_stale(at, op, operation.least),
            None => {
                let lease = operation.level == Level::Lease;
                self.counts.follower_reads += u64::from(self.leader != Some(at));
                self.counts.lease_reads += u64::from(lease);
                let read = if lease { Input::LeaseRead { ticket } } else { Input::Read { ticket } };
                self.input(at, read)
            }
        }
    }

    fn respond(&mut self, op: OpId, outcome: Outcome, leader: Option<usize>) {
        let client = self.workload.operation(op).client;
        if !self.workload.loses(client, &mut self.choices) {
            let arrives = self.now + self.wire(client);
            self.queue.push(arrives, Event::Response { op, outcome, leader });
        }
    }

    /// An operation ends for its client: with an answer, or with its patience.
    pub(crate) fn returned(
        &mut self,
        op: OpId,
        outcome: Outcome,
        leader: Option<usize>,
    ) -> Result<(), Violation> {
        if !self.workload.end(op, outcome, leader) {
            return Ok(());
        }
        let Operation { client, level, .. } = *self.workload.operation(op);
        if level != Level::Stale {
            self.judges.observe(self.now, &Fact::Returned { op, outcome })?;
        }
        if self.workload.waits(client) {
            let next = self.now + self.workload.think(client, &mut self.choices);
            self.queue.push(next, Event::Client { client });
        }
        Ok(())
    }

    /// A client has waited for as long as it wants to. A put with a key is sent again, a few times, to another node:
    /// it stays the same operation.
    pub(crate) fn impatient(&mut self, op: OpId) -> Result<(), Violation> {
        if self.healed || !self.workload.repeat(op) {
            return self.returned(op, Outcome::Unknown, None);
        }
        self.counts.repeats += 1;
        self.send(op);
        Ok(())
    }

    /// A node answers a ticket.
    pub(crate) fn answered(&mut self, at: usize, ticket: Ticket, answer: Answer) -> Result<(), Violation> {
        if ticket.0 >= OPERATOR {
            let changed = ticket.0 < SETTINGS && matches!(answer, Answer::Committed(_));
            self.counts.changed += u64::from(changed);
            return Ok(());
        }
        let op = OpId(ticket.0 % (1 << ATTEMPT));
        match answer {
            Answer::Committed(id) if self.workload.operation(op).name.is_none() => {
                self.respond(op, Outcome::Put { index: id.index }, None);
            }
            // Where it took effect, only the application knows.
            Answer::Committed(EntryId { index, .. }) | Answer::ReadAt(index) => {
                let Some(process) = &mut self.servers[at].process else { return Ok(()) };
                process.reads.push((op, index));
                self.serve(at)?;
            }
            Answer::NotLeader { leader } => {
                self.respond(op, Outcome::NotApplied, leader.map(|id| id.0 as usize));
            }
            Answer::Busy(_) | Answer::Lost | Answer::Refused(_) | Answer::HandingOver { .. } => {
                self.respond(op, Outcome::NotApplied, None)
            }
            Answer::Unknown => self.respond(op, Outcome::Unknown, None),
        }
        Ok(())
    }

    /// A committed entry changes the machine, and with it reads may be served.
    pub(crate) fn apply(&mut self, at: usize, entry: &Entry) -> Result<(), Violation> {
        let Some(process) = &mut self.servers[at].process else { return Ok(()) };
        match process.machine.apply(entry) {
            Ok(Some(reply)) => {
                process.replies.insert(entry.index(), reply);
                let node = self.servers[at].id;
                self.judges.observe(self.now, &Fact::Replied { node, at: entry.index(), reply })?;
            }
            Ok(None) => {}
            Err(said) => return Err(self.violation("machine", Class::Safety, format!("node {at}: {said}"))),
        }
        let Some(process) = &self.servers[at].process else { return Ok(()) };
        if process.reads.is_empty() { Ok(()) } else { self.serve(at) }
    }

    /// A stale read comes to a process. One that is paused answers nobody.
    fn ask_stale(&mut self, at: usize, op: OpId, least: Index) -> Result<(), Violation> {
        let Some(process) = &mut self.servers[at].process else { return Ok(()) };
        if process.halted || process.paused.is_some() {
            return Ok(());
        }
        process.reads.push((op, least));
        self.serve(at)
    }

    /// Serves a read from what a process has applied, whoever leads.
    fn serve_stale(&mut self, at: usize, key: Key, least: Index) -> Result<Outcome, Violation> {
        let Some(process) = &self.servers[at].process else { return Ok(Outcome::Unknown) };
        let (mut value, mut index) = (process.machine.get(key), process.machine.applied());
        match self.planted {
            Some(Planted::Driver(Lie::StaleNamesCommit)) => index = process.node.status().commit,
            Some(Planted::Driver(Lie::StaleSeesUncommitted)) => {
                let puts = process.node.log().from(index.next()).filter_map(|entry| put(entry, key));
                value = puts.last().or(value);
            }
            _ => {}
        }
        self.counts.stale_reads += 1;
        self.trace.say(self.now, format_args!("{at} serves key {key} as of {index}: {value:?}"));
        let node = self.servers[at].id;
        self.judges
            .observe(self.now, &Fact::ServedStale { node, read: StaleRead { key, value, index, least } })?;
        Ok(Outcome::Got { value, index })
    }

    /// Serves the reads, and tells of the puts with a key, whose index is applied.
    pub(crate) fn serve(&mut self, at: usize) -> Result<(), Violation> {
        loop {
            let Some(process) = &mut self.servers[at].process else { return Ok(()) };
            let index = process.machine.applied();
            let Some(ready) = process.reads.iter().position(|(_, needs)| *needs <= index) else {
                return Ok(());
            };
            let (op, needs) = process.reads.swap_remove(ready);
            let operation = self.workload.operation(op);
            let outcome = match (operation.action, operation.level) {
                (Action::Put { .. }, _) => process.replies.get(&needs).map_or(Outcome::Unknown, told),
                (Action::Get { key }, Level::Stale) => self.serve_stale(at, key, needs)?,
                // Beyond the bound on the clocks a lease promises nothing.
                (Action::Get { .. }, Level::Lease) if self.options.leases != Leases::Safe => Outcome::Unknown,
                (Action::Get { key }, _) => Outcome::Got { value: process.machine.get(key), index },
            };
            self.respond(op, outcome, None);
        }
    }
}

/// What an entry puts under a key, if it does.
fn put(entry: &Entry, key: Key) -> Option<Value> {
    let Payload::Command(command) = entry.payload() else { return None };
    match Action::of(command)? {
        Action::Put { key: its, value } => (its == key).then_some(value),
        Action::Get { .. } => None,
    }
}
