//! One server: the real node, what its disk keeps over a crash, and the writes that are on their way there.

use super::bounds::Bounds;
use crate::facts::Action;
use raft_core::{
    Base, EntryId, HardState, Input, Log, Message, Node, NodeId, Output, Recovered, Ticket, Update, Write,
};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What happens to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Its oldest write becomes durable, and it is told so.
    Persist,
    Campaign,
    Heartbeat,
    Change,
    Transfer,
    Patience,
    /// The command with this number, which no other has.
    Propose(u8),
    /// A crash, of which the disk keeps so many of the writes on their way, the oldest ones; and the next start.
    Crash(u8),
    /// The message with this number arrives.
    Deliver(u32),
}

/// What a disk keeps.
#[derive(Clone, Debug, Hash)]
pub(super) struct Disk {
    pub(super) hard: HardState,
    pub(super) log: Log,
}

impl Disk {
    fn change(&mut self, update: &Update) {
        if let Some(hard) = update.hard {
            self.hard = hard;
        }
        if let Some(base) = &update.base {
            self.log = Log::new(Some(base));
        }
        if let Some(keep) = update.keep {
            self.log.truncate(keep);
        }
        for entry in &update.entries {
            self.log.append(entry.clone());
        }
    }

    fn recovered(&self) -> Recovered {
        let base = self.log.base_at(self.log.base().index);
        let entries = self.log.from(self.log.base().index.next()).cloned().collect();
        Recovered { hard: self.hard, base, entries, snapshot: None }
    }
}

/// A server and its disk.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) node: Node,
    pub(super) disk: Disk,
    writes: VecDeque<Write>,
}

impl Server {
    /// A server as it is when the founding is just over, or on an empty disk; its first write is durable.
    pub(super) fn new(bounds: &Bounds, server: usize) -> Server {
        let base = Base { id: EntryId::ORIGIN, hash: 0, membership: bounds.founders() };
        let founder = server < bounds.voters as usize;
        let disk = Disk { hard: HardState::default(), log: Log::new(founder.then_some(&base)) };
        let config = bounds.config(server);
        let node = Node::new(config, disk.recovered()).expect("the settings are sound");
        let mut server = Server { node, disk, writes: VecDeque::new() };
        server.turn(None);
        server.persist();
        server
    }

    /// What of it the protocol depends on.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.id(), self.node.protocol(), &self.disk, &self.writes).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn id(&self) -> NodeId {
        self.node.config().id
    }

    /// How many of its writes are on their way to the disk.
    pub(super) fn writes(&self) -> usize {
        self.writes.len()
    }

    /// The number of its oldest write on its way; 0 if there is none.
    pub(super) fn next_write(&self) -> u64 {
        self.writes.front().map_or(0, Write::number)
    }

    /// Lets something happen and gives what the node put out. `message`: what is delivered.
    pub(super) fn act(
        &mut self,
        bounds: &Bounds,
        act: Act,
        message: Option<&(NodeId, Message)>,
    ) -> Vec<Output> {
        let ticket = Ticket(1);
        let input = match act {
            Act::Persist => return self.persist(),
            Act::Crash(kept) => return self.crash(usize::from(kept)),
            Act::Campaign => Input::Campaign,
            Act::Heartbeat => Input::Heartbeat,
            Act::Transfer => Input::Transfer { ticket, to: None },
            Act::Change => Input::Reconfigure { ticket, changes: bounds.changes.clone(), expect: None },
            Act::Patience => {
                let config = self.node.config();
                Input::Tick { elapsed: config.election_ticks + config.drift_ticks }
            }
            Act::Propose(number) => {
                let put = Action::Put { key: 0, value: u64::from(number) };
                let command = put.command(0, 0, None).expect("a put is a command");
                Input::Propose { ticket: Ticket(10 + u64::from(number)), command }
            }
            Act::Deliver(_) => {
                let (from, message) = message.expect("a message is delivered").clone();
                Input::Receive { from, message }
            }
        };
        self.turn(Some(input))
    }

    fn persist(&mut self) -> Vec<Output> {
        let Some(write) = self.writes.pop_front() else { return Vec::new() };
        self.disk.change(write.update());
        self.turn(Some(Input::Persisted(write.persisted())))
    }

    fn crash(&mut self, kept: usize) -> Vec<Output> {
        for write in self.writes.drain(..).take(kept) {
            self.disk.change(write.update());
        }
        let config = self.node.config().clone();
        self.node = Node::new(config, self.disk.recovered()).expect("what was written can be recovered");
        self.turn(None)
    }

    fn turn(&mut self, input: Option<Input>) -> Vec<Output> {
        let mut turn = self.node.turn();
        input.into_iter().for_each(|input| turn.input(input));
        let outputs: Vec<Output> = turn.drain().collect();
        for output in &outputs {
            if let Output::Persist(write) = output {
                self.writes.push_back(write.clone());
            }
        }
        outputs
    }
}
