//! A small cluster for tests that read like the paper: real nodes, a network whose every message waits until the test
//! delivers or drops it, and disks that the test may hold back.

mod disk;
mod notation;
mod snapshots;

use disk::Disk;
#[allow(unused_imports)] // each test target uses its own part of the cluster
pub(crate) use notation::{Event, Text, standing};
use raft_core::{
    Answer, Base, Change, Config, DiskId, Entry, EntryId, HardState, Index, Input, Membership, Message, Node,
    NodeId, Output, Payload, Recovered, Status, Term, Ticket,
};
use snapshots::{Done, Snapshots};
#[allow(unused_imports)] // each test target uses its own part of the cluster
pub(crate) use snapshots::{Work, snapshot};
use std::collections::BTreeMap;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) message: Message,
}

struct Server {
    config: Config,
    /// `None` while crashed.
    node: Option<Node>,
    disk: Disk,
    /// What the disk held some time ago.
    image: Option<Recovered>,
    snapshots: Snapshots,
}

/// Servers, the messages between them, and all that has happened since it was last asked for.
pub(crate) struct Cluster {
    servers: BTreeMap<u64, Server>,
    network: Vec<Packet>,
    /// Messages from the first to the second are lost.
    cut: Vec<(u64, u64)>,
    /// Every output so far.
    pub(crate) events: Vec<Event>,
    tickets: u64,
    /// How many outputs a turn takes before it drops its drain; what is left comes with the next turn.
    pub(crate) patience: usize,
}

/// The disk id of a member's first data directory.
pub(crate) fn disk_of(id: u64) -> DiskId {
    DiskId(100 + id)
}

/// The settings of a member of a cluster of `n`.
pub(crate) fn config(id: u64, n: u64) -> Config {
    let founders = Membership::founders((1..=n).map(NodeId)).unwrap();
    Config::new(NodeId(id), disk_of(id), Some(founders), id)
}

/// A founded, otherwise empty data directory.
pub(crate) fn founded(n: u64) -> Recovered {
    let membership = Membership::founders((1..=n).map(NodeId)).unwrap();
    let membership = membership.with_disks(|id| Some(disk_of(id.0)));
    let base = Base { id: EntryId::ORIGIN, hash: 0, membership };
    Recovered { base: Some(base), ..Recovered::default() }
}

/// The application's state at the base of a drawn log.
const DRAWN: &str = "c1;";

/// A data directory with a log of these terms, as the paper's figures draw it. The first entry is below the base, so
/// that the cluster is past its founding: a snapshot covers it. Entries of the same term and index are the same entry.
pub(crate) fn with_log(n: u64, terms: &[u64], term: u64, vote: Option<u64>) -> Recovered {
    let mut recovered = founded(n);
    let (first, rest) = terms.split_first().expect("a drawn log has a first entry");
    let base = recovered.base.as_mut().unwrap();
    base.id = EntryId::new(*first, 1);
    recovered.snapshot = Some(snapshot(base.clone(), DRAWN));
    let ids = rest.iter().zip(2..).map(|(term, index)| EntryId::new(*term, index));
    let command = |id: EntryId| Payload::Command(format!("c{}", id.index).into());
    recovered.entries = ids.map(|id| Entry::new(id, command(id))).collect();
    recovered.hard = HardState { term: Term(term), vote: vote.map(NodeId), ..HardState::default() };
    recovered
}

impl Cluster {
    /// Founded servers 1 to `n`, their boot counters durable; `change` sets what differs from the defaults.
    pub(crate) fn with(n: u64, change: impl Fn(&mut Config)) -> Cluster {
        let mut cluster = Cluster::empty();
        for id in 1..=n {
            let mut config = config(id, n);
            change(&mut config);
            cluster.start(config, founded(n));
        }
        cluster.events.clear();
        cluster
    }

    /// Founded servers 1 to `n` with the default settings.
    pub(crate) fn new(n: u64) -> Cluster {
        Cluster::with(n, |_| ())
    }

    pub(crate) fn empty() -> Cluster {
        Cluster {
            servers: BTreeMap::new(),
            network: vec![],
            cut: vec![],
            events: vec![],
            tickets: 0,
            patience: usize::MAX,
        }
    }

    /// Starts a server on a data directory, in place of what was there.
    pub(crate) fn start(&mut self, config: Config, image: Recovered) {
        let id = config.id.0;
        let snapshots = Snapshots::new(&image, DRAWN);
        self.servers
            .insert(id, Server { config, node: None, disk: Disk::new(image), image: None, snapshots });
        self.restart(id);
    }

    /// Starts a server that founds nothing, on a new and empty data directory.
    pub(crate) fn join(&mut self, id: u64, change: impl Fn(&mut Config)) {
        let before = self.servers.get(&id).map(|server| server.config.disk);
        let disk = before.map_or(disk_of(id), |disk| DiskId(disk.0 + 100));
        let mut config = Config::new(NodeId(id), disk, None, id);
        change(&mut config);
        self.start(config, Recovered::default());
    }

    /// Puts another data directory under a running server: the process restarts with it.
    pub(crate) fn replace(&mut self, id: u64, image: Recovered) {
        let config = self.servers[&id].config.clone();
        self.start(config, image);
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.servers.keys().copied().collect()
    }

    pub(crate) fn config(&self, id: u64) -> &Config {
        &self.servers[&id].config
    }

    /// The running node.
    pub(crate) fn node(&self, id: u64) -> &Node {
        self.servers[&id].node.as_ref().expect("the server runs")
    }

    pub(crate) fn runs(&self, id: u64) -> bool {
        self.servers.get(&id).is_some_and(|server| server.node.is_some())
    }

    pub(crate) fn status(&self, id: u64) -> Status {
        self.node(id).status()
    }

    /// The terms of a log, entry by entry, from the base on.
    pub(crate) fn terms(&self, id: u64) -> Vec<u64> {
        let log = self.node(id).log();
        (log.base().index.0..=log.last().index.0)
            .filter(|index| *index > 0)
            .filter_map(|index| log.term_at(Index(index)))
            .map(|term| term.0)
            .collect()
    }

    fn server(&mut self, id: u64) -> &mut Server {
        self.servers.get_mut(&id).expect("the server exists")
    }

    /// One turn of a server: inputs in, outputs recorded and carried out. A server that doesn't run takes nothing.
    pub(crate) fn turn(&mut self, id: u64, inputs: Vec<Input>) {
        let server = self.servers.get_mut(&id).expect("the server exists");
        let Some(node) = &mut server.node else { return };
        let mut turn = node.turn();
        for input in inputs {
            turn.input(input);
        }
        for output in turn.drain().take(self.patience) {
            let event = Event::of(id, &output, &self.cut);
            let snapshots = &mut server.snapshots;
            match (output, &event) {
                (Output::Persist(write), _) => server.disk.write(write),
                (_, Event::Send(packet)) => self.network.push(packet.clone()),
                (Output::Apply(entry), _) => snapshots.apply(&entry),
                (Output::Restore(snapshot), _) => snapshots.restore(&snapshot),
                (Output::Capture(base), _) => snapshots.capture(base),
                (Output::Fetch(fetch), _) => snapshots.fetch(fetch),
                (Output::Store(store), _) => snapshots.store(store),
                (Output::Release { through }, _) => server.disk.release(through),
                _ => {}
            }
            self.events.push(event);
        }
        if !server.disk.slow {
            self.persist(id, |_| true);
        }
        for work in [Work::Capture, Work::Fetch, Work::Store] {
            while !self.servers[&id].snapshots.is_held(work) && self.work(id, work) {}
        }
    }

    /// Carries out the oldest piece of work that waits. Whether there was one.
    pub(crate) fn work(&mut self, id: u64, work: Work) -> bool {
        match self.server(id).snapshots.work(work) {
            Some(Done::Input(input)) => self.turn(id, vec![input]),
            Some(Done::Send(to, message)) => {
                let packet = Packet { from: id, to, message };
                if self.cut.contains(&(id, to)) {
                    self.events.push(Event::Lost(packet));
                } else {
                    self.events.push(Event::Send(packet.clone()));
                    self.network.push(packet);
                }
            }
            None => return false,
        }
        true
    }

    /// The oldest piece of work that waits comes to nothing, and the node is told.
    pub(crate) fn fail(&mut self, id: u64, work: Work) {
        let told = self.server(id).snapshots.fail(work);
        self.turn(id, told.into_iter().collect());
    }

    /// Holds back work with snapshots until it is asked for, or no longer does.
    pub(crate) fn hold(&mut self, id: u64, work: Work, held: bool) {
        self.server(id).snapshots.hold(work, held);
        self.turn(id, vec![]);
    }

    /// The application and its snapshots.
    pub(crate) fn snapshots(&mut self, id: u64) -> &mut Snapshots {
        &mut self.server(id).snapshots
    }

    /// Syncs the chosen writes of a server and hands in their receipts, in one turn.
    pub(crate) fn persist(&mut self, id: u64, chosen: impl Fn(u64) -> bool) {
        let done = self.server(id).disk.finish(chosen);
        if !done.is_empty() {
            self.turn(id, done.into_iter().map(|write| Input::Persisted(write.persisted())).collect());
        }
    }

    /// What the disk of a server would hold after a crash now.
    pub(crate) fn durable(&self, id: u64) -> Recovered {
        self.servers[&id].disk.synced()
    }

    /// The numbers of the writes of a server that are on their way.
    pub(crate) fn writes(&self, id: u64) -> Vec<u64> {
        self.servers[&id].disk.pending()
    }

    /// Syncs all writes of a server; their receipts still wait.
    pub(crate) fn sync(&mut self, id: u64) {
        self.server(id).disk.sync(|_| true);
    }

    /// Holds back a server's receipts until they are asked for, or no longer does.
    pub(crate) fn slow(&mut self, id: u64, slow: bool) {
        self.server(id).disk.slow = slow;
        if !slow {
            self.persist(id, |_| true);
        }
    }

    /// What is on its way.
    pub(crate) fn network(&self) -> &[Packet] {
        &self.network
    }

    /// Takes messages out of the network.
    pub(crate) fn take(&mut self, chosen: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        self.network.extract_if(.., |packet| chosen(packet)).collect()
    }

    /// Takes messages out of the network by their places in it.
    pub(crate) fn take_at(&mut self, places: &[usize]) -> Vec<Packet> {
        let mut at = 0..;
        self.network.extract_if(.., |_| at.next().is_some_and(|at| places.contains(&at))).collect()
    }

    /// The network delivers these messages twice.
    pub(crate) fn repeat(&mut self, places: &[usize]) {
        let copies: Vec<Packet> = places.iter().map(|at| self.network[*at].clone()).collect();
        self.network.extend(copies);
    }

    /// Hands a message to its receiver.
    pub(crate) fn receive(&mut self, packet: Packet) {
        let Packet { from, to, ref message } = packet;
        if !self.runs(to) {
            return;
        }
        let before = self.status(to).ignored;
        self.turn(to, vec![Input::Receive { from: NodeId(from), message: message.clone() }]);
        if self.status(to).ignored > before {
            self.events.push(Event::Ignored(packet));
        }
    }

    /// Delivers the chosen messages that are on their way now, in the order in which they were sent; what comes of
    /// them is on its way afterwards.
    pub(crate) fn deliver(&mut self, chosen: impl Fn(&Packet) -> bool) {
        for packet in self.take(chosen) {
            self.receive(packet);
        }
    }

    /// Delivers everything until nothing is on its way.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.network.is_empty() {
                return;
            }
            self.deliver(|_| true);
        }
        panic!("the cluster doesn't come to rest");
    }

    /// From now on messages from one server to the other are lost; what is on its way is not.
    pub(crate) fn cut(&mut self, from: u64, to: u64) {
        self.cut.push((from, to));
    }

    /// Cuts a server off, both ways, and loses what is on its way from and to it.
    pub(crate) fn isolate(&mut self, id: u64) {
        for other in self.ids() {
            self.cut(id, other);
            self.cut(other, id);
        }
        self.take(|packet| packet.from == id || packet.to == id);
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The process ends: memory and unsynced writes are gone. The numbers of the lost writes.
    pub(crate) fn crash(&mut self, id: u64) -> Vec<u64> {
        let server = self.server(id);
        server.node = None;
        server.snapshots.crash();
        server.disk.crash()
    }

    /// Keeps an image of what a server's disk holds.
    pub(crate) fn image(&mut self, id: u64) {
        let server = self.server(id);
        server.image = Some(server.disk.synced());
    }

    /// Puts a server's disk back to its image; its process ends.
    pub(crate) fn put_back(&mut self, id: u64) {
        self.crash(id);
        let server = self.server(id);
        server.disk = Disk::new(server.image.clone().expect("an image was kept"));
    }

    /// The disk of a crashed server loses the bytes of a command.
    #[allow(dead_code)] // each test target uses its own part of the cluster
    pub(crate) fn decay(&mut self, id: u64, index: Index) {
        self.server(id).disk.decay(index);
    }

    /// What a start of a crashed server would find.
    #[allow(dead_code)] // each test target uses its own part of the cluster
    pub(crate) fn found(&mut self, id: u64) -> Recovered {
        self.server(id).disk.image()
    }

    /// Starts a crashed server on what its disk kept.
    pub(crate) fn restart(&mut self, id: u64) {
        let server = self.server(id);
        assert!(server.node.is_none(), "a server is restarted after a crash");
        let mut image = server.disk.image();
        server.snapshots.start(&mut image);
        server.node = Some(Node::new(server.config.clone(), image).expect("the settings are sound"));
        self.turn(id, vec![]);
    }

    pub(crate) fn campaign(&mut self, id: u64) {
        self.turn(id, vec![Input::Campaign]);
    }

    pub(crate) fn tick(&mut self, id: u64, elapsed: u32) {
        self.turn(id, vec![Input::Tick { elapsed }]);
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Proposes commands in one turn; the ticket of the last one.
    pub(crate) fn propose(&mut self, id: u64, commands: &[&str]) -> Ticket {
        let mut inputs = Vec::new();
        for command in commands {
            let command = bytes::Bytes::copy_from_slice(command.as_bytes());
            inputs.push(Input::Propose { ticket: self.ticket(), command });
        }
        self.turn(id, inputs);
        Ticket(self.tickets)
    }

    /// A request with a ticket of its own.
    fn ask(&mut self, id: u64, request: impl FnOnce(Ticket) -> Input) -> Ticket {
        let ticket = self.ticket();
        self.turn(id, vec![request(ticket)]);
        ticket
    }

    pub(crate) fn read(&mut self, id: u64) -> Ticket {
        self.ask(id, |ticket| Input::Read { ticket })
    }

    pub(crate) fn lease_read(&mut self, id: u64) -> Ticket {
        self.ask(id, |ticket| Input::LeaseRead { ticket })
    }

    pub(crate) fn transfer(&mut self, id: u64, to: Option<u64>) -> Ticket {
        self.ask(id, |ticket| Input::Transfer { ticket, to: to.map(NodeId) })
    }

    pub(crate) fn change(&mut self, id: u64, changes: Vec<Change>, expect: Option<u64>) -> Ticket {
        let expect = expect.map(Index);
        self.ask(id, |ticket| Input::Reconfigure { ticket, changes, expect })
    }

    /// The answers to a ticket so far.
    pub(crate) fn answers(&self, ticket: Ticket) -> Vec<Answer> {
        let of = |event: &Event| match event {
            Event::Answer { ticket: whose, answer, .. } if *whose == ticket => Some(*answer),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}
