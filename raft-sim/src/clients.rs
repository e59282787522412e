//! What clients and nodes say to each other, and what a node's driver does for its clients.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Action, Class, Fact, OpId, Outcome, Time, Violation};
use crate::operator::OPERATOR;
use crate::options::Leases;
use crate::world::{Event, World};
use raft_core::{Answer, Entry, Input, Ticket};

impl World {
    /// A client's turn.
    pub(crate) fn ask(&mut self, client: usize) -> Result<(), Violation> {
        let Some(op) = self.workload.next(client, &mut self.choices) else { return Ok(()) };
        self.counts.operations += 1;
        self.send(client, op)?;
        if !self.workload.waits(client) {
            let next = self.now + self.workload.think(client, &mut self.choices);
            self.queue.push(next, Event::Client { client });
        }
        Ok(())
    }

    fn send(&mut self, client: usize, op: OpId) -> Result<(), Violation> {
        let action = self.workload.operation(op).action;
        self.judges.observe(self.now, &Fact::Invoked { op, action: &action })?;
        if !self.workload.loses(client, &mut self.choices) {
            let arrives = self.now + self.wire(client);
            self.queue.push(arrives, Event::Request { op });
        }
        self.queue.push(self.now + self.workload.patience(), Event::Patience { op });
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
            self.send(self.workload.clients(), op)?;
        }
        Ok(())
    }

    fn wire(&mut self, client: usize) -> Time {
        let network = self.options.network;
        self.choices.range(Site::new(Purpose::Wire, client), network.delay, network.delay + network.jitter)
    }

    /// A request comes to a node.
    pub(crate) fn request(&mut self, op: OpId) -> Result<(), Violation> {
        let operation = *self.workload.operation(op);
        let at = operation.node;
        if self.servers[at].process.is_none() {
            self.respond(op, Outcome::NotApplied, None);
            return Ok(());
        }
        let ticket = Ticket(op.0);
        match operation.action.command(self.now, operation.padding) {
            Some(command) => self.input(at, Input::Propose { ticket, command }),
            None => {
                self.counts.follower_reads += u64::from(self.leader != Some(at));
                self.counts.lease_reads += u64::from(operation.lease);
                let read = if operation.lease { Input::LeaseRead { ticket } } else { Input::Read { ticket } };
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
        let client = self.workload.operation(op).client;
        self.judges.observe(self.now, &Fact::Returned { op, outcome })?;
        if self.workload.waits(client) {
            let next = self.now + self.workload.think(client, &mut self.choices);
            self.queue.push(next, Event::Client { client });
        }
        Ok(())
    }

    /// A node answers a ticket.
    pub(crate) fn answered(&mut self, at: usize, ticket: Ticket, answer: Answer) {
        if ticket.0 >= OPERATOR {
            self.counts.changed += u64::from(matches!(answer, Answer::Committed(_)));
            return;
        }
        let op = OpId(ticket.0);
        match answer {
            Answer::Committed(id) => self.respond(op, Outcome::Put { index: id.index }, None),
            Answer::ReadAt(index) => {
                let Some(process) = &mut self.servers[at].process else { return };
                process.reads.push((op, index));
                self.serve(at);
            }
            Answer::NotLeader { leader } => {
                self.respond(op, Outcome::NotApplied, leader.map(|id| id.0 as usize));
            }
            Answer::Busy(_) | Answer::Lost | Answer::Refused(_) | Answer::HandingOver { .. } => {
                self.respond(op, Outcome::NotApplied, None)
            }
            Answer::Unknown => self.respond(op, Outcome::Unknown, None),
        }
    }

    /// A committed entry changes the machine, and with it reads may be served.
    pub(crate) fn apply(&mut self, at: usize, entry: &Entry) -> Result<(), Violation> {
        let Some(process) = &mut self.servers[at].process else { return Ok(()) };
        if let Err(said) = process.machine.apply(entry) {
            return Err(self.violation("machine", Class::Safety, format!("node {at}: {said}")));
        }
        if !process.reads.is_empty() {
            self.serve(at);
        }
        Ok(())
    }

    /// Serves the reads whose index is applied.
    pub(crate) fn serve(&mut self, at: usize) {
        loop {
            let Some(process) = &mut self.servers[at].process else { return };
            let index = process.machine.applied();
            let Some(ready) = process.reads.iter().position(|(_, needs)| *needs <= index) else { return };
            let (op, _) = process.reads.swap_remove(ready);
            let operation = self.workload.operation(op);
            let Action::Get { key } = operation.action else { continue };
            let value = process.machine.get(key);
            // Beyond the bound on the clocks a lease promises nothing.
            let relied_on = !operation.lease || self.options.leases == Leases::Safe;
            let outcome = if relied_on { Outcome::Got { value, index } } else { Outcome::Unknown };
            self.respond(op, outcome, None);
        }
    }
}
