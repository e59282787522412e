//! One turn of a node, and the honest driver around it: outputs of different kinds in any order, writes to the disk,
//! syncs, and receipts after them.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Class, Fact, Violation};
use crate::operator::configured;
use crate::options::Family;
use crate::planted::{Lie, Planted};
use crate::server::{InFlight, Sync};
use crate::world::{Event, World};
use raft_core::wal::Sequence;
use raft_core::{Boot, Index, Input, Message, NodeId, Output, Report, RoleName, Write};
use std::mem;

/// What the checkers are told of an input.
fn handed_in(node: NodeId, input: &Input) -> Option<Fact<'_>> {
    Some(match input {
        Input::Receive { from, message } => Fact::Received { node, from: *from, message },
        Input::Propose { ticket, command } => Fact::Proposed { node, ticket: *ticket, command },
        Input::Read { ticket } => Fact::ReadAsked { node, ticket: *ticket, lease: false },
        Input::LeaseRead { ticket } => Fact::ReadAsked { node, ticket: *ticket, lease: true },
        Input::Reconfigure { ticket, changes, expect } => {
            Fact::Reconfigured { node, ticket: *ticket, changes, expect: *expect }
        }
        Input::Transfer { ticket, .. } => Fact::TransferAsked { node, ticket: *ticket },
        Input::Stored(_) => Fact::StoreAnswered { node },
        Input::Campaign => Fact::Nudged { node },
        Input::Tick { elapsed } => Fact::Ticked { node, elapsed: *elapsed },
        Input::Persisted(receipt) => Fact::Confirmed { node, number: receipt.number() },
        Input::Capture
        | Input::Captured(_)
        | Input::Missing { .. }
        | Input::Unreachable { .. }
        | Input::Heartbeat => return None,
    })
}

/// The orders of the four kinds of outputs: the place of each kind in each order.
const ORDERS: [[u8; 4]; 8] = [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [1, 0, 2, 3],
    [2, 3, 0, 1],
    [3, 0, 1, 2],
    [1, 3, 2, 0],
    [2, 0, 3, 1],
    [1, 2, 3, 0],
];

fn kind(output: &Output) -> usize {
    match output {
        Output::Persist(_) => 0,
        Output::Send { .. } => 1,
        Output::Apply(_) | Output::Restore(_) | Output::Capture(_) => 2,
        Output::Fetch(_) | Output::Store(_) => 1,
        Output::Answer { .. } | Output::Halt(_) | Output::Release { .. } | Output::Event(_) => 3,
    }
}

impl World {
    /// A node takes all that waits, and what comes of it is carried out.
    pub(crate) fn turn(&mut self, at: usize) -> Result<(), Violation> {
        let mut outputs = mem::take(&mut self.outputs);
        let role = self.drain(at, &mut outputs)?;
        if self.options.shuffled && outputs.len() > 1 {
            let places = self.choices.one_of(Site::new(Purpose::Order, at), &ORDERS);
            outputs.sort_by_key(|output| places[kind(output)]);
        }
        let dies = self.choices.chance(Site::new(Purpose::Turn, at), self.options.dies);
        if dies {
            let done = self.choices.pick(Site::new(Purpose::Turn, at), outputs.len() as u64 + 1);
            outputs.truncate(done as usize);
        }
        let life = self.servers[at].life;
        for output in outputs.drain(..) {
            if self.servers[at].life == life {
                self.carry_out(at, output)?;
            }
        }
        self.outputs = outputs;
        if self.servers[at].life != life {
            return Ok(());
        }
        if let (Some(behaviour), Some(process)) = (&mut self.trace.behaviour, &self.servers[at].process) {
            behaviour.turned(&process.node.status());
        }
        if dies {
            return self.crash(at);
        }
        self.gives_up(at);
        self.counts.repaired += u64::from(self.servers[at].is_repaired());
        if role == RoleName::Leader && self.leader != Some(at) {
            self.leader = Some(at);
            self.bequeath(at);
            self.replay_after_election();
        }
        Ok(())
    }

    fn drain(&mut self, at: usize, outputs: &mut Vec<Output>) -> Result<RoleName, Violation> {
        self.sift(at);
        let World { servers, judges, trace, counts, now, operator, .. } = self;
        let (now, id) = (*now, servers[at].id);
        let Some(process) = &mut servers[at].process else { return Ok(RoleName::Follower) };
        counts.inputs += process.inbox.len() as u64;
        for input in &process.inbox {
            trace.input(now, id, input);
            if let Some(fact) = handed_in(id, input) {
                judges.observe(now, &fact)?;
            }
        }
        let mut turn = process.node.turn();
        for input in process.inbox.drain(..) {
            turn.input(input);
        }
        outputs.extend(turn.drain());
        let status = process.node.status();
        process.standing = (status.role, status.term);
        let role = status.role;
        let settled = operator.notice(&status);
        judges.observe(now, &Fact::Stepped { node: id, status, log: process.node.log() })?;
        if settled {
            self.publish_members();
        }
        Ok(role)
    }

    /// Takes out the changes that nothing could save the cluster from.
    fn sift(&mut self, at: usize) {
        let asks = |input: &Input| matches!(input, Input::Reconfigure { .. });
        let Some(process) = &mut self.servers[at].process else { return };
        if !process.inbox.iter().any(asks) {
            return;
        }
        let mut inbox = mem::take(&mut process.inbox);
        let all = inbox.len();
        inbox.retain(|input| match input {
            Input::Reconfigure { changes, .. } => self.may_change(changes),
            _ => true,
        });
        self.counts.spared += (all - inbox.len()) as u64;
        self.counts.changes += inbox.iter().filter(|input| asks(input)).count() as u64;
        if let Some(process) = &mut self.servers[at].process {
            process.inbox = inbox;
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) -> Result<(), Violation> {
        let (now, id) = (self.now, self.servers[at].id);
        self.trace.output(now, id, &output);
        match output {
            Output::Persist(write) => self.persist(at, write),
            Output::Send { to, message } => self.post(at, to, message),
            Output::Apply(entry) => {
                self.judges.observe(now, &Fact::Applied { node: id, entry: &entry })?;
                self.apply(at, &entry)
            }
            Output::Answer { ticket, answer } => {
                self.judges.observe(now, &Fact::Answered { node: id, ticket, answer })?;
                self.answered(at, ticket, answer)
            }
            Output::Restore(snapshot) => self.restore(at, &snapshot),
            Output::Capture(base) => self.capture(at, base),
            Output::Fetch(fetch) => self.fetch(at, fetch),
            Output::Store(store) => self.store(at, store),
            Output::Release { through } => self.release(at, through),
            Output::Event(event) => {
                if let raft_core::Event::Membership { membership, .. } = &event {
                    self.in_force(membership);
                }
                Ok(())
            }
            Output::Halt(report) => {
                self.counts.halts += 1;
                let server = &mut self.servers[at];
                server.gave_up |=
                    matches!(report, Report::RolledBack { .. } | Report::LostAcknowledged { .. });
                if let Some(process) = &mut server.process {
                    process.halted = true;
                }
                self.judges.observe(now, &Fact::Halted { node: id, report: &report })
            }
        }
    }

    /// A message leaves a process.
    pub(crate) fn post(&mut self, from: usize, to: NodeId, message: Message) -> Result<(), Violation> {
        let fact = Fact::Sent { node: self.servers[from].id, to, message: &message };
        self.judges.observe(self.now, &fact)?;
        self.carry(from, to, message)
    }

    /// The network takes a message.
    pub(crate) fn carry(&mut self, from: usize, to: NodeId, message: Message) -> Result<(), Violation> {
        let to = to.0 as usize;
        if to >= self.servers.len() {
            return Err(self.violation("simulator", Class::Safety, format!("node {from} writes to {to}")));
        }
        let World { network, choices, queue, now, .. } = self;
        let sent = network.send(*now, (from, to), message, choices, |at, letter| {
            queue.push(at, Event::Arrive(letter));
        });
        sent.map_err(|(class, said)| self.violation("codec", class, said))
    }

    /// Hands a write to the disk.
    fn persist(&mut self, at: usize, write: Write) -> Result<(), Violation> {
        let World { servers, judges, now, queue, choices, planted, ops, options, counts, .. } = self;
        let server = &mut servers[at];
        judges.observe(*now, &Fact::wrote(server.id, &write))?;
        let Some(process) = &mut server.process else { return Ok(()) };
        let sequence = match process.wal.append(write.update(), ops) {
            Ok(sequence) => sequence,
            Err(too_large) => {
                return Err(self.violation("simulator", Class::Bounds, too_large.to_string()));
            }
        };
        server.stood.extend(configured(&write.update().entries));
        // Also if the process dies before it says so.
        server.gave_up |= write.update().hard.is_some_and(|hard| hard.boot == Boot::GIVEN_UP);
        let fits = server.space.takes(*now, (&server.disk, &server.snapshots), ops, choices);
        let site = Site::new(Purpose::Writes, at);
        let fails = fits && choices.chance(site, options.disk.fail);
        if fails {
            counts.failed_writes += 1;
            ops.truncate(choices.pick(site, ops.len() as u64 + 1) as usize);
        }
        server.disk.put(ops, sequence, process.vouches, process.written == Sequence(0));
        if !fits && *planted != Some(Planted::Driver(Lie::FullIsDone)) {
            return self.out_of_room(at);
        }
        if fails && *planted != Some(Planted::Driver(Lie::FailedIsDone)) {
            // Nobody knows what of it was done, and what comes behind it would not be read: the process must go.
            return self.crash_with_power(at);
        }
        process.written = sequence;
        process.handed = write.number();
        match *planted {
            Some(Planted::Driver(Lie::ReceiptBeforeSync)) => {
                server.founded |= write.update().base.is_some();
                let receipt = write.persisted();
                queue.push(*now, Event::Receipt { at, life: server.life, receipt });
            }
            other => {
                if matches!(
                    other,
                    Some(Planted::Driver(Lie::CutsDecay | Lie::HeadersUnheard | Lie::KeepsTorn))
                ) {
                    server.shadow.retain(|(earlier, _)| *earlier < sequence);
                    server.shadow.push((sequence, write.update().clone()));
                }
                process.writes.push_back(InFlight { write, sequence });
            }
        }
        self.begin_sync(at);
        Ok(())
    }

    /// Begins a sync if there is anything to sync and not too many are under way.
    fn begin_sync(&mut self, at: usize) {
        let options = self.options.disk;
        let server = &mut self.servers[at];
        let Some(process) = &mut server.process else { return };
        if process.syncs.len() >= options.at_once || process.written <= process.covered {
            return;
        }
        process.begun += 1;
        process.covered = process.written;
        process.syncs.push(Sync {
            number: process.begun,
            operations: server.disk.done(),
            sequence: process.written,
            writes: process.handed,
        });
        let site = Site::new(Purpose::Sync, at);
        let mut takes = self.choices.range(site, options.sync, options.sync + options.jitter);
        if self.choices.chance(site, options.slow) {
            takes += self.choices.range(site, 0, options.tail);
        }
        let due = self.now.max(server.stalled_until) + takes;
        self.queue.push(due, Event::Synced { at, life: server.life, sync: process.begun });
    }

    /// A sync is over.
    pub(crate) fn synced(&mut self, at: usize, sync: u64) -> Result<(), Violation> {
        if self.choices.chance(Site::new(Purpose::Sync, at), self.options.disk.fail) {
            // Nobody knows what a failed sync left, and a later one may say that all is well: the process must go.
            self.counts.failed_syncs += 1;
            return self.crash_with_power(at);
        }
        let World { servers, judges, now, choices, ops, options, counts, planted, .. } = self;
        let server = &mut servers[at];
        let Some(process) = &mut server.process else { return Ok(()) };
        let Some(place) = process.syncs.iter().position(|other| other.number == sync) else { return Ok(()) };
        let sync = process.syncs.swap_remove(place);
        server.disk.sync(sync.operations);
        if sync.writes > process.durable {
            process.durable = sync.writes;
            judges.observe(*now, &Fact::Synced { node: server.id, through: sync.writes })?;
        }
        if process.durable == process.handed {
            server.stood = configured(process.node.log().from(Index(0))).collect();
        }
        let obsolete = process.wal.synced(sync.sequence);
        counts.released += obsolete.len() as u64;
        server.disk.delete(&obsolete);
        server.disk.delete(&mem::take(&mut process.discard));
        process.vouches = process.vouches.max(sync.sequence);
        let waited = process.inbox.len();
        while let Some(first) = process.writes.pop_front_if(|first| first.sequence <= sync.sequence) {
            server.founded |= first.write.update().base.is_some();
            let receipt = first.write.persisted();
            let site = Site::new(Purpose::Receipt, at);
            match choices.range(site, 0, options.disk.receipt) {
                0 => {
                    // In any order among the receipts of one sync.
                    let fresh = process.inbox.len() - waited;
                    let before = choices.pick(site, fresh as u64 + 1) as usize;
                    process.inbox.insert(process.inbox.len() - before, Input::Persisted(receipt));
                }
                delay => self.queue.push(*now + delay, Event::Receipt { at, life: server.life, receipt }),
            }
        }
        if options.disk.marks
            && process.writes.is_empty()
            && let Some(sequence) = process.wal.mark(ops)
        {
            let fits = server.space.takes(*now, (&server.disk, &server.snapshots), ops, choices);
            server.disk.put(ops, sequence, process.vouches, false);
            if !fits && *planted != Some(Planted::Driver(Lie::FullIsDone)) {
                return self.out_of_room(at);
            }
        }
        let woken = process.inbox.len() > waited;
        self.founders_get_on(at)?;
        self.begin_sync(at);
        self.gives_up(at);
        if self.loses_when_new(at)? {
            return Ok(());
        }
        if woken { self.wake(at) } else { Ok(()) }
    }

    fn replay_after_election(&mut self) {
        if self.options.faults[Family::Replay as usize].is_some() && !self.healed {
            let count = self.choices.pick(Purpose::Replays.into(), 12);
            self.replay(count);
        }
    }

    /// Old messages arrive again, within an election timeout.
    pub(crate) fn replay(&mut self, count: u64) {
        for _ in 0..count {
            let timeout = self.options.election_timeout();
            let after = self.choices.pick(Purpose::Replays.into(), timeout);
            if let Some(letter) = self.network.replay(&mut self.choices) {
                self.queue.push(self.now + after, Event::Arrive(letter));
            }
        }
    }
}
