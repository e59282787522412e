//! Clients: some wait for each answer, some don't. What was refused or lost is tried again elsewhere, as an operation
//! of its own with a value of its own.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Action, OpId, Outcome, Time};
use crate::naming::Name;
use crate::options::{self, Leases};
use raft_core::Index;

/// What a read promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It sees all that was acknowledged before it began.
    Linearizable,
    /// The same, by a leader's lease if there is one.
    Lease,
    /// It sees what one server has applied.
    Stale,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Whose.
    pub client: usize,
    /// What.
    pub action: Action,
    /// Asked of which node.
    pub node: usize,
    /// What a read promises.
    pub level: Level,
    /// What a stale read waits for: that this is applied.
    pub least: Index,
    /// Bytes behind the command.
    pub padding: usize,
    /// The client has its answer, or has given up.
    pub done: bool,
    /// It was begun after the healing.
    pub fresh: bool,
    /// Its idempotency key: with one it is sent again until something is known of it.
    pub name: Option<Name>,
    /// How often it was sent again.
    pub attempt: u32,
}

/// How often a put with a key is sent again.
const ATTEMPTS: u32 = 3;

/// How many of a million reads are stale ones.
const STALE: u64 = 150_000;

#[derive(Clone, Copy, Debug)]
struct Client {
    waits: bool,
    /// The last operation was not served: more patience is asked for.
    refused: bool,
    /// How many in a row had no answer in time since the healing: each doubles the time. Else a queue that is longer than
    /// the patience would only ever hold what nobody waits for any more.
    unanswered: u32,
    target: usize,
    /// Whom it asks next if it doesn't follow a hint. A hint may lead in circles: every second one is not followed.
    next: usize,
    hinted: bool,
    wrote: bool,
    read: bool,
    /// The highest index that it was told of.
    told: Index,
}

impl Client {
    /// It was not served yet what it wants after the healing.
    fn wants(&self) -> bool {
        self.waits && !(self.wrote && self.read)
    }
}

/// All clients and their operations.
#[derive(Clone, Debug)]
pub struct Workload {
    options: options::Workload,
    /// Who is asked.
    members: Vec<usize>,
    clients: Vec<Client>,
    operations: Vec<Operation>,
    open: usize,
    /// Those with a name that ended for their clients, and may have taken effect.
    ended_named: Vec<OpId>,
    /// How much longer a client waits that was refused.
    refusal: Time,
    healed: bool,
}

impl Workload {
    /// Clients that have not begun.
    pub fn new(options: options::Workload, nodes: usize, refusal: Time) -> Workload {
        let client = |at| Client {
            waits: at < options.closed,
            refused: false,
            unanswered: 0,
            target: 1 + at % nodes,
            next: 1 + at % nodes,
            hinted: false,
            wrote: false,
            read: false,
            told: Index(0),
        };
        // The last one is whoever comes with a burst.
        let count = options.closed + options.open + 1;
        Workload {
            options,
            members: (1..=nodes).collect(),
            clients: (0..count).map(client).collect(),
            operations: Vec::new(),
            open: 0,
            ended_named: Vec::new(),
            refusal,
            healed: false,
        }
    }

    /// How many clients ask by themselves.
    pub fn clients(&self) -> usize {
        self.clients.len() - 1
    }

    /// One of a burst of writes to a node, by a client that asks for nothing else.
    pub fn burst(&mut self, node: usize, choices: &mut impl Choices) -> OpId {
        let client = self.clients.len() - 1;
        let key = choices.pick(Site::new(Purpose::Client, client), self.options.keys);
        self.invoke(client, node, Action::Put { key, value: self.operations.len() as u64 + 1 })
    }

    fn invoke(&mut self, client: usize, node: usize, action: Action) -> OpId {
        let op = OpId(self.operations.len() as u64);
        let fresh = self.healed;
        let (level, least, padding, done, name, attempt) = (Level::Linearizable, Index(0), 0, false, None, 0);
        self.operations.push(Operation {
            client,
            action,
            node,
            level,
            least,
            padding,
            done,
            fresh,
            name,
            attempt,
        });
        self.open += 1;
        op
    }

    /// From now on these are the members.
    pub fn serve(&mut self, members: Vec<usize>) {
        self.members = members;
    }

    /// Who is asked after a node that was of no help.
    fn after(&self, node: usize) -> usize {
        let next = self.members.iter().find(|member| **member > node).or(self.members.first());
        *next.expect("a cluster has members")
    }

    /// From now on each waiting client wants one write and one read served, and the others stop.
    pub fn heal(&mut self, patience: Time, leases: Leases) {
        self.healed = true;
        self.options.loss = 0;
        if leases != Leases::Safe {
            self.options.leased = 0;
        }
        self.options.patience = self.options.patience.min(patience);
        self.options.think = self.options.think.min(patience / 4);
    }

    /// All that is wanted was served, and each waiting client wants one more write and read: who these are.
    pub fn go_on(&mut self) -> Vec<usize> {
        let waiting = self.clients.iter_mut().enumerate().filter(|(_, client)| client.waits);
        let again = |(at, client): (usize, &mut Client)| {
            (client.wrote, client.read) = (false, false);
            at
        };
        waiting.map(again).collect()
    }

    /// Whether all that is wanted after the healing was served.
    pub fn served(&self) -> bool {
        self.open == 0 && !self.clients.iter().any(Client::wants)
    }

    /// What is still wanted, in words.
    pub fn wanted(&self) -> String {
        let waiting = self.clients.iter().filter(|client| client.wants()).count();
        format!("{waiting} clients had no fresh write or read served, and {} operations are open", self.open)
    }

    /// A client's next operation, if it wants one.
    pub fn next(&mut self, client: usize, now: Time, choices: &mut impl Choices) -> Option<OpId> {
        let site = Site::new(Purpose::Client, client);
        let options = self.options;
        let state = self.clients[client];
        if self.healed && (!state.waits || (state.wrote && state.read)) {
            return None;
        }
        let reads = match self.healed {
            true => state.wrote,
            false => client < options.readers || choices.chance(site, options.reads),
        };
        let hot = choices.chance(site, options.hot);
        let key = if hot { 0 } else { choices.pick(site, options.keys) };
        let lease = reads && choices.chance(site, options.leased);
        // Who doesn't wait doesn't learn either, and asks also nodes that don't know yet that they lead no longer.
        let anywhere = if reads { choices.chance(site, options.anywhere) } else { false };
        let node = match choices.pick(site, if state.waits && !anywhere { 1 } else { 2 }) {
            0 if !anywhere => state.target,
            _ => self.members[choices.pick(site, self.members.len() as u64) as usize],
        };
        let value = self.operations.len() as u64 + 1;
        let action = if reads { Action::Get { key } } else { Action::Put { key, value } };
        let padding = if self.healed || reads { 0 } else { choices.range(site, 0, options.padding) as usize };
        // Half of the clients never use one. 0, the benign choice, is without.
        let keyed =
            !reads && client.is_multiple_of(2) && choices.pick(Site::new(Purpose::Repeats, client), 3) > 0;
        let op = self.invoke(client, node, action);
        let operation = &mut self.operations[op.0 as usize];
        (operation.level, operation.padding) =
            (if lease { Level::Lease } else { Level::Linearizable }, padding);
        operation.name = keyed.then(|| Name::of(op, now));
        Some(op)
    }

    /// Perhaps a read is content with what any server has applied, or with that if it is as far as the client knows of.
    pub fn relax(&mut self, op: OpId, seats: usize, choices: &mut impl Choices) {
        let operation = &mut self.operations[op.0 as usize];
        let site = Site::new(Purpose::Stales, operation.client);
        if self.healed || !matches!(operation.action, Action::Get { .. }) || !choices.chance(site, STALE) {
            return;
        }
        operation.level = Level::Stale;
        operation.node = 1 + choices.pick(site, seats as u64) as usize;
        if choices.pick(site, 2) == 1 {
            operation.least = self.clients[operation.client].told;
        }
    }

    /// An operation.
    pub fn operation(&self, op: OpId) -> &Operation {
        &self.operations[op.0 as usize]
    }

    /// Gives an operation another name.
    pub(crate) fn rename(&mut self, op: OpId, name: Option<Name>) {
        self.operations[op.0 as usize].name = name;
    }

    /// The operations with a name that ended for their clients, and may have taken effect.
    pub(crate) fn ended_named(&self) -> &[OpId] {
        &self.ended_named
    }

    /// An operation that ended is sent once more, for the last time but for so many in all: the number of the attempt.
    pub(crate) fn send_again(&mut self, op: OpId, most: u32) -> Option<u32> {
        let attempt = &mut self.operations[op.0 as usize].attempt;
        *attempt += u32::from(*attempt < most);
        (*attempt < most).then_some(*attempt)
    }

    /// How long a client waits for an answer.
    pub fn patience(&self, client: usize) -> Time {
        self.options.patience.max(1) << self.clients[client].unanswered.min(10)
    }

    /// How long any client waits that still wants something: meanwhile it isn't refused.
    pub fn longest_patience(&self) -> Time {
        let waiting = self.clients.iter().enumerate().filter(|(_, client)| client.wants());
        waiting.map(|(at, _)| self.patience(at)).max().unwrap_or_default()
    }

    /// How long until a client's next operation.
    pub fn think(&self, client: usize, choices: &mut impl Choices) -> Time {
        let reader = client < self.options.readers;
        let think = if reader { self.options.think.min(self.options.glance) } else { self.options.think };
        let think = think + if self.clients[client].refused { self.refusal } else { 0 };
        1 + choices.range(Site::new(Purpose::Client, client), think / 4, think)
    }

    /// Whether a request or an answer is lost between client and node.
    pub fn loses(&self, client: usize, choices: &mut impl Choices) -> bool {
        choices.chance(Site::new(Purpose::Wire, client), self.options.loss)
    }

    /// Whether a client waits for answers before it goes on.
    pub fn waits(&self, client: usize) -> bool {
        self.clients[client].waits
    }

    /// Sends an operation once more, to another node; false if it won't be.
    pub fn repeat(&mut self, op: OpId) -> bool {
        let operation = self.operations[op.0 as usize];
        if operation.name.is_none() || operation.done || operation.attempt == ATTEMPTS {
            return false;
        }
        let node = self.after(operation.node);
        let operation = &mut self.operations[op.0 as usize];
        (operation.attempt, operation.node) = (operation.attempt + 1, node);
        true
    }

    /// An operation ends for its client. `leader`: where the node said that the leader is. False if it had ended.
    pub fn end(&mut self, op: OpId, outcome: Outcome, leader: Option<usize>) -> bool {
        let operation = &mut self.operations[op.0 as usize];
        // What is said of one attempt says nothing of the others.
        let doubtful = operation.attempt > 0 && outcome == Outcome::NotApplied;
        if operation.done || doubtful {
            return false;
        }
        operation.done = true;
        self.open -= 1;
        let operation = *operation;
        if operation.name.is_some() && outcome != Outcome::NotApplied {
            self.ended_named.push(op);
        }
        let next = self.after(self.clients[operation.client].next);
        let client = &mut self.clients[operation.client];
        if let Outcome::Put { index } | Outcome::Got { index, .. } = outcome {
            client.told = client.told.max(index);
        }
        if operation.level == Level::Stale {
            // It says nothing of who leads.
            return true;
        }
        client.refused = matches!(outcome, Outcome::NotApplied);
        client.unanswered += u32::from(operation.fresh && outcome == Outcome::Unknown);
        match outcome {
            Outcome::Put { .. } => client.wrote |= operation.fresh,
            Outcome::Got { .. } => client.read |= operation.fresh,
            Outcome::NotApplied | Outcome::Unknown => {
                let hint = leader.filter(|_| !client.hinted);
                client.hinted = hint.is_some();
                if hint.is_none() {
                    client.next = next;
                }
                client.target = hint.unwrap_or(next);
            }
        }
        true
    }
}
