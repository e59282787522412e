//! What servers can be in and say to each other, each once and with a number. A server's step depends on nothing but
//! itself and what happens to it, so the core is asked once for each step, and the rest of a search is arithmetic on
//! numbers.

use super::bounds::Bounds;
use super::judge::{self, Past};
use super::numbering::Numbering;
use super::server::{Act, Server};
use crate::facts::Class;
use crate::invariants::{Broken, broken};
use crate::runner::caught;
use raft_core::{Message, NodeId, Output};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The name of what falls when the core's own assertions do.
const NO_PANIC: &str = "no panic";

/// What is numbered, each by the fingerprint of what matters of it.
#[derive(Debug)]
struct Table<T> {
    numbers: Numbering,
    values: Vec<T>,
}

impl<T> Table<T> {
    fn new() -> Table<T> {
        Table { numbers: Numbering::new(), values: Vec::new() }
    }

    fn number(&mut self, fingerprint: u64, value: T) -> u32 {
        let (number, new) = self.numbers.number(fingerprint);
        if new {
            self.values.push(value);
        }
        number
    }

    fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

/// A message on its way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Packet {
    pub(super) to: NodeId,
    /// From whom, and what.
    pub(super) sent: (NodeId, Message),
}

/// What came of a step.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The server after it.
    pub(super) server: u32,
    /// Messages that it sent.
    pub(super) sent: Box<[u32]>,
    /// Other servers' states matter for whether it was right.
    pub(super) concerns_others: bool,
    /// What fell by it.
    pub(super) fell: Option<Broken>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Tables {
    bounds: Bounds,
    servers: Table<Server>,
    packets: Table<Packet>,
    /// The place of the server that each is for.
    receivers: Vec<u8>,
    pasts: Table<Past>,
    outcomes: Table<Outcome>,
    inert: Table<bool>,
}

impl Tables {
    pub(super) fn new(bounds: Bounds) -> Tables {
        Tables {
            bounds,
            servers: Table::new(),
            packets: Table::new(),
            receivers: Vec::new(),
            pasts: Table::new(),
            outcomes: Table::new(),
            inert: Table::new(),
        }
    }

    pub(super) fn server(&self, number: u32) -> &Server {
        self.servers.get(number)
    }

    pub(super) fn packet(&self, number: u32) -> &Packet {
        self.packets.get(number)
    }

    /// The place of the server that a message is for.
    pub(super) fn receiver(&self, packet: u32) -> usize {
        usize::from(self.receivers[packet as usize])
    }

    /// How many states of one server there are.
    pub(super) fn servers(&self) -> usize {
        self.servers.values.len()
    }

    /// How many messages there are.
    pub(super) fn packets(&self) -> usize {
        self.packets.values.len()
    }

    /// How many steps of one server there are.
    pub(super) fn steps(&self) -> usize {
        self.outcomes.values.len()
    }

    /// In how many terms there was a leader, and how many entries were committed, at most.
    pub(super) fn extent(&self) -> (u64, u64) {
        let most = |(a, b): (u64, u64), (c, d): (u64, u64)| (a.max(c), b.max(d));
        self.pasts.values.iter().map(Past::extent).fold((0, 0), most)
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(super) fn number_server(&mut self, server: Server) -> u32 {
        self.servers.number(server.fingerprint(), server)
    }

    pub(super) fn number_past(&mut self, past: Past) -> u32 {
        self.pasts.number(fingerprint(&past), past)
    }

    /// The number of what comes of an act. It is worked out only once.
    pub(super) fn step(&mut self, server: u32, act: Act) -> u32 {
        let key = u64::from(server) << 32 | u64::from(code(act));
        if let Some(known) = self.outcomes.numbers.find(key) {
            return known;
        }
        let outcome = self.work_out(server, act);
        self.outcomes.number(key, outcome)
    }

    pub(super) fn outcome(&self, number: u32) -> &Outcome {
        self.outcomes.get(number)
    }

    fn work_out(&mut self, number: u32, act: Act) -> Outcome {
        let before = self.servers.get(number);
        let (after, outputs) = match self.play(number, act) {
            Ok(played) => played,
            Err(said) => {
                let said = format!("node {}: {said}", before.id());
                let fell = Some(broken(NO_PANIC, Class::Safety, said));
                return Outcome { server: number, sent: Box::new([]), concerns_others: false, fell };
            }
        };
        let fell = judge::alone(before, &after, &outputs).err();
        let concerns_others = judge::concerns_others(before, &after);
        let from = after.id();
        let server = self.servers.number(after.fingerprint(), after);
        let mut sent = Vec::new();
        for output in outputs {
            if let Output::Send { to, message } = output {
                let packet = Packet { to, sent: (from, message) };
                let number = self.packets.number(fingerprint(&packet), packet);
                sent.push(number);
                if number as usize == self.receivers.len() {
                    self.receivers.push((to.0 - 1) as u8);
                }
            }
        }
        Outcome { server, sent: sent.into(), concerns_others, fell }
    }

    /// The core is asked: the server after the act and what it put out, or what was said as it panicked.
    pub(super) fn play(&self, server: u32, act: Act) -> Result<(Server, Vec<Output>), String> {
        let message = match act {
            Act::Deliver(packet) => Some(&self.packets.get(packet).sent),
            _ => None,
        };
        let mut after = self.servers.get(server).clone();
        let outputs = caught(|| after.act(&self.bounds, act, message))?;
        Ok((after, outputs))
    }

    /// Whether a server calls a message to it inert.
    pub(super) fn is_inert(&mut self, server: u32, packet: u32) -> bool {
        let key = u64::from(server) << 32 | u64::from(packet);
        let number = match self.inert.numbers.find(key) {
            Some(known) => known,
            None => {
                let (from, message) = &self.packets.get(packet).sent;
                let inert = self.servers.get(server).node.is_inert(*from, message);
                self.inert.number(key, inert)
            }
        };
        *self.inert.get(number)
    }

    /// What has happened after a step from one server to another, among all servers as they are now.
    pub(super) fn past_after(
        &mut self,
        past: u32,
        before: u32,
        after: u32,
        servers: &[u32],
    ) -> Result<u32, Broken> {
        let server = |number: u32| self.servers.get(number);
        let all: Vec<&Server> = servers.iter().map(|number| server(*number)).collect();
        let past = self.pasts.get(past).after(server(before), server(after), &all)?;
        Ok(self.number_past(past))
    }
}

/// A number for an act.
fn code(act: Act) -> u32 {
    match act {
        Act::Persist => 0,
        Act::Campaign => 1,
        Act::Heartbeat => 2,
        Act::Change => 3,
        Act::Transfer => 4,
        Act::Patience => 5,
        Act::Propose(number) => 0x100 + u32::from(number),
        Act::Crash(kept) => 0x200 + u32::from(kept),
        Act::Deliver(packet) => 0x300 + packet,
    }
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
