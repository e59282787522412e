//! raft-core as a [`Cluster`].

use crate::cluster::Cluster;
use bytes::Bytes;
use raft_core::{
    Answer, Config, DiskId, Input, Membership, Node, NodeId, Output, Payload, Recovered, RoleName, Snapshot,
    Ticket,
};
use std::mem;

/// No timeout passes in a run: elections and heartbeats are asked for, on both sides.
const NEVER: u32 = 1 << 30;

pub(crate) struct Ours {
    nodes: Vec<Node>,
    inboxes: Vec<Vec<Input>>,
    tickets: u64,
    committed: u64,
    confirmed: u64,
    messages: u64,
}

impl Ours {
    /// One turn of a node with all that waits for it. Whether anything did.
    fn turn(&mut self, at: usize) -> bool {
        if self.inboxes[at].is_empty() {
            return false;
        }
        let mut inputs = mem::take(&mut self.inboxes[at]);
        let mut turn = self.nodes[at].turn();
        for input in inputs.drain(..) {
            turn.input(input);
        }
        let from = NodeId(at as u64);
        for output in turn.drain() {
            match output {
                Output::Persist(write) => inputs.push(Input::Persisted(write.persisted())),
                Output::Send { to, message } => {
                    self.messages += 1;
                    self.inboxes[to.0 as usize].push(Input::Receive { from, message });
                }
                Output::Apply(entry) => {
                    std::hint::black_box(matches!(entry.payload(), Payload::Command(_)));
                }
                Output::Answer { answer: Answer::Committed(_), .. } => self.committed += 1,
                Output::Answer { answer: Answer::ReadAt(_), .. } => self.confirmed += 1,
                Output::Answer { answer, .. } => panic!("nothing is refused here, but: {answer:?}"),
                Output::Halt(report) => panic!("node {at} stopped: {report:?}"),
                Output::Capture(base) => {
                    inputs.push(Input::Captured(Some(Snapshot { base, size: 0, digest: 0 })));
                }
                Output::Event(_) | Output::Release { .. } => {}
                other => panic!("no snapshot is sent here, but: {other:?}"),
            }
        }
        self.inboxes[at] = inputs;
        true
    }

    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for at in 0..self.nodes.len() {
                busy |= self.turn(at);
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn input_all(&mut self, input: impl Fn() -> Input) {
        self.inboxes.iter_mut().for_each(|inbox| inbox.push(input()));
        self.settle();
    }
}

impl Cluster for Ours {
    type Node = Node;

    fn start(nodes: usize) -> Ours {
        let founders = Membership::founders((0..nodes as u64).map(NodeId)).expect("the ids are distinct");
        let node = |id: u64| {
            let mut config = Config::new(NodeId(id), DiskId(100 + id), Some(founders.clone()), id);
            (config.election_ticks, config.heartbeat_ticks) = (NEVER, NEVER / 2);
            config.check_quorum = false;
            (config.limits.snapshot_entries, config.limits.snapshot_bytes) = (u64::MAX, usize::MAX);
            (config.limits.retain_entries, config.limits.retain_bytes) = (0, 0);
            let mut node = Node::new(config, Recovered::default()).expect("the settings are sound");
            let boot: Vec<Output> = node.turn().drain().collect();
            let receipts = boot.into_iter().filter_map(|output| match output {
                Output::Persist(write) => Some(Input::Persisted(write.persisted())),
                _ => None,
            });
            (node, receipts.collect())
        };
        let (nodes, inboxes) = (0..nodes as u64).map(node).unzip();
        let mut cluster = Ours { nodes, inboxes, tickets: 0, committed: 0, confirmed: 0, messages: 0 };
        cluster.settle();
        if !cluster.nodes.iter().all(|node| node.status().founded) {
            cluster.input_all(|| Input::Tick { elapsed: NEVER / 2 });
        }
        cluster.elect(0);
        cluster.input_all(|| Input::Heartbeat);
        cluster
    }

    fn propose(&mut self, batch: u64, payload: &[u8]) {
        for _ in 0..batch {
            let (ticket, command) = (self.ticket(), Bytes::from(payload.to_vec()));
            self.inboxes[0].push(Input::Propose { ticket, command });
        }
        self.settle();
    }

    /// Each node is told to take a snapshot; the log in memory begins behind it.
    fn compact(&mut self) {
        self.input_all(|| Input::Capture);
    }

    fn elect(&mut self, node: usize) {
        self.inboxes[node].push(Input::Campaign);
        self.settle();
        assert_eq!(self.nodes[node].status().role, RoleName::Leader, "{:?}", self.nodes[node].status());
    }

    fn read(&mut self, batch: u64) {
        for _ in 0..batch {
            let ticket = self.ticket();
            self.inboxes[0].push(Input::Read { ticket });
        }
        self.settle();
    }

    fn committed(&self) -> u64 {
        self.committed
    }

    fn confirmed(&self) -> u64 {
        self.confirmed
    }

    fn messages(&self) -> u64 {
        self.messages
    }

    fn take(mut self, node: usize) -> Node {
        self.nodes.swap_remove(node)
    }

    fn idle_tick(node: &mut Node) {
        assert!(node.step(Input::Tick { elapsed: 1 }).next().is_none(), "nothing comes of it");
    }

    fn heartbeat(node: &mut Node) -> usize {
        node.step(Input::Heartbeat).count()
    }
}
