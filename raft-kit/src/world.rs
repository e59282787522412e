//! The rest of the cluster: two nodes that never fail and a network that does, so that what the node under test asks of its
//! storage is what a node asks.

use crate::draw::Draw;
use crate::{Driver, NODE, PEERS};
use bytes::Bytes;
use raft_core::{
    Boot, Config, DiskId, Input, Limits, Membership, Message, Node, NodeId, Output, Recovered, RoleName,
    Snapshot, Stamp, Store, Ticket,
};
use std::collections::VecDeque;

/// More than this is lost.
const ON_THE_WAY: usize = 60;

/// One of the two others.
struct Peer<S> {
    node: Node,
    state: S,
    /// Up to where a snapshot is here.
    partial: Option<(Snapshot, u64)>,
}

/// All but the node under test.
pub(crate) struct World<'a, D: Driver> {
    pub(crate) driver: &'a D,
    peers: Vec<Peer<D::State>>,
    on_the_way: Vec<(NodeId, NodeId, Message)>,
    /// Hears nothing and is not heard.
    cut_off: Option<NodeId>,
    /// Every snapshot that there is, whoever took it.
    snapshots: Vec<(Snapshot, Bytes, D::State)>,
    commands: u64,
}

fn founders() -> Membership {
    Membership::founders([NODE].into_iter().chain(PEERS)).expect("three ids, each once")
}

/// What the others' messages come from.
pub(crate) fn peers_disk(peer: NodeId) -> DiskId {
    DiskId(100 + peer.0)
}

/// A process that can't be older than any of a peer's.
pub(crate) fn newest(peer: NodeId) -> Stamp {
    Stamp { disk: peers_disk(peer), boot: Boot(1 << 40) }
}

/// A node's settings: small limits, so that snapshots are taken and sent all the time.
pub(crate) fn config(id: NodeId, disk: DiskId, seed: u64) -> Config {
    let limits = Limits {
        batch_entries: 6,
        batch_bytes: 2048,
        inflight_appends: 4,
        snapshot_entries: 16,
        retain_entries: 8,
        chunk_bytes: 1000,
        inflight_chunks: 2,
        ..Limits::default()
    };
    Config { limits, ..Config::new(id, disk, Some(founders()), seed) }
}

impl<'a, D: Driver> World<'a, D> {
    pub(crate) fn new(driver: &'a D, draw: &mut Draw) -> World<'a, D> {
        let peer = |id: NodeId| {
            let config = config(id, peers_disk(id), draw.seed());
            let node = Node::new(config, Recovered::default()).expect("the settings are sound");
            Peer { node, state: D::State::default(), partial: None }
        };
        let peers = PEERS.map(peer).into();
        World { driver, peers, on_the_way: Vec::new(), cut_off: None, snapshots: Vec::new(), commands: 0 }
    }

    /// Whether a state is the one of a snapshot: written again, it is the same.
    pub(crate) fn is_of(&self, state: &D::State, snapshot: Option<&Snapshot>) -> Result<(), String> {
        let empty = raft_core::Base { id: raft_core::EntryId::ORIGIN, hash: 0, membership: founders() };
        let base = snapshot.map_or(&empty, |snapshot| &snapshot.base);
        let (found, bytes) = self.driver.encode(state, base);
        let same = match snapshot {
            Some(snapshot) => found == *snapshot,
            None => bytes == self.driver.encode(&D::State::default(), base).1,
        };
        if same { Ok(()) } else { Err(format!("the restored state is not the one of entry {}", base.id)) }
    }

    /// Takes note of a snapshot.
    pub(crate) fn note(&mut self, snapshot: Snapshot, bytes: Bytes, state: D::State) {
        if self.snapshot(&snapshot).is_none() {
            self.snapshots.push((snapshot, bytes, state));
        }
    }

    /// The bytes of a snapshot, and the state in it.
    pub(crate) fn snapshot(&self, snapshot: &Snapshot) -> Option<(&Bytes, &D::State)> {
        let found = self.snapshots.iter().rev().find(|(known, ..)| known == snapshot);
        found.map(|(_, bytes, state)| (bytes, state))
    }

    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        if self.on_the_way.len() >= ON_THE_WAY {
            self.on_the_way.remove(0);
        }
        self.on_the_way.push((from, to, message));
    }

    /// Some message arrives, or is lost: at the node under test if it is given back.
    pub(crate) fn deliver(&mut self, draw: &mut Draw) -> Result<Option<Input>, String> {
        if self.on_the_way.is_empty() {
            return Ok(None);
        }
        // Mostly in order.
        let late = if draw.once_in(4) { draw.below(self.on_the_way.len()) } else { 0 };
        let (from, to, message) = self.on_the_way.remove(late);
        if self.cut_off.is_some_and(|off| off == from || off == to) || draw.once_in(40) {
            return Ok(None);
        }
        let input = Input::Receive { from, message };
        if to == NODE {
            return Ok(Some(input));
        }
        self.peer(to, input).map(|()| None)
    }

    /// Time passes at a peer.
    pub(crate) fn tick(&mut self, draw: &mut Draw) -> Result<(), String> {
        let peer = PEERS[draw.below(PEERS.len())];
        self.peer(peer, Input::Tick { elapsed: 1 + draw.below(3) as u32 })
    }

    /// Cuts somebody off, or nobody.
    pub(crate) fn cut_off(&mut self, draw: &mut Draw) {
        self.cut_off = match draw.below(6) {
            0..=2 => Some(NODE),
            3 => Some(PEERS[draw.below(PEERS.len())]),
            _ => None,
        };
    }

    /// A client's command.
    pub(crate) fn command(&mut self, draw: &mut Draw) -> Input {
        self.commands += 1;
        // Often of one length: then a later record ends where an earlier one did.
        let length = match draw.below(16) {
            0 => draw.below(3000),
            1..=6 => draw.below(100),
            _ => 10,
        };
        let command = self.driver.command(self.commands, length);
        Input::Propose { ticket: Ticket(self.commands), command }
    }

    /// Those who lead, or think so.
    fn leaders(&self) -> Vec<NodeId> {
        let leads = |(id, peer): (NodeId, &Peer<D::State>)| {
            (peer.node.status().role == RoleName::Leader).then_some(id)
        };
        PEERS.into_iter().zip(&self.peers).filter_map(leads).collect()
    }

    /// Clients ask the peers that lead.
    pub(crate) fn propose(&mut self, draw: &mut Draw) -> Result<(), String> {
        for leader in self.leaders() {
            let command = self.command(draw);
            self.peer(leader, command)?;
        }
        Ok(())
    }

    /// The node under test is to lead: what it then has alone, when it is cut off, will be truncated.
    pub(crate) fn transfer(&mut self) -> Result<(), String> {
        for leader in self.leaders() {
            self.commands += 1;
            self.peer(leader, Input::Transfer { ticket: Ticket(self.commands), to: Some(NODE) })?;
        }
        Ok(())
    }

    /// A peer takes a snapshot now.
    pub(crate) fn capture(&mut self, draw: &mut Draw) -> Result<(), String> {
        self.peer(PEERS[draw.below(PEERS.len())], Input::Capture)
    }

    /// A turn of a peer, and all that follows at once.
    fn peer(&mut self, id: NodeId, input: Input) -> Result<(), String> {
        let at = PEERS.iter().position(|peer| *peer == id).ok_or("a message to nobody")?;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let outputs: Vec<Output> = self.peers[at].node.step(input).collect();
            for output in outputs {
                inputs.extend(self.carry_out(id, at, output)?);
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, id: NodeId, at: usize, output: Output) -> Result<Option<Input>, String> {
        match output {
            Output::Persist(write) => return Ok(Some(Input::Persisted(write.persisted()))),
            Output::Send { to, message } => self.send(id, to, message),
            Output::Apply(entry) => self.driver.apply(&mut self.peers[at].state, &entry),
            Output::Capture(base) => {
                let state = self.peers[at].state.clone();
                let (snapshot, bytes) = self.driver.encode(&state, &base);
                self.note(snapshot.clone(), bytes, state);
                return Ok(Some(Input::Captured(Some(snapshot))));
            }
            Output::Restore(snapshot) => {
                let (_, state) = self.snapshot(&snapshot).ok_or("a peer restores what nobody has taken")?;
                self.peers[at].state = state.clone();
            }
            Output::Fetch(fetch) => {
                let (bytes, _) =
                    self.snapshot(fetch.snapshot()).ok_or("a peer sends what it doesn't have")?;
                let from = fetch.offset() as usize;
                let part = bytes.slice(from..from + fetch.length());
                self.send(id, fetch.to(), fetch.fill(part));
            }
            Output::Store(store) => return Ok(Some(self.store(at, store))),
            Output::Halt(report) => return Err(format!("node {} has stopped: {report:?}", id.0)),
            Output::Release { .. } | Output::Event(_) | Output::Answer { .. } => {}
        }
        Ok(None)
    }

    /// A part arrives at a peer, in memory.
    fn store(&mut self, at: usize, store: Store) -> Input {
        let mut have = match self.peers[at].partial.take() {
            Some((snapshot, have)) if snapshot == *store.snapshot() => have,
            _ => 0,
        };
        if store.offset() == have {
            have += store.data().len() as u64;
        }
        self.peers[at].partial = Some((store.snapshot().clone(), have));
        Input::Stored(store.stored(have))
    }
}
