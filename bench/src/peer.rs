//! raft-rs 0.7 as a [`Cluster`]: `RawNode` on its own `MemStorage`, every `Ready` carried out at once.

use crate::cluster::Cluster;
use raft::eraftpb::{ConfState, Entry, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use slog::{Discard, Logger, o};
use std::mem;

/// No timeout passes in a run.
const NEVER: usize = 1 << 30;

/// The log is compacted down to so many entries.
const KEPT: u64 = 32;

/// `BATCHED`: all proposals that wait go into one `MsgPropose`, its best form; else each is proposed by itself.
pub(crate) struct Peer<const BATCHED: bool> {
    nodes: Vec<RawNode<MemStorage>>,
    inboxes: Vec<Vec<Message>>,
    committed: Vec<u64>,
    confirmed: u64,
    messages: u64,
}

impl<const BATCHED: bool> Peer<BATCHED> {
    fn deliver(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.messages += 1;
            self.inboxes[message.to as usize - 1].push(message);
        }
    }

    fn apply(&mut self, at: usize, entries: Vec<Entry>) {
        self.committed[at] += entries.iter().filter(|entry| !entry.data.is_empty()).count() as u64;
    }

    /// Steps all that waits and carries out what comes of it. Whether anything did.
    fn turn(&mut self, at: usize) -> bool {
        let mut inbox = mem::take(&mut self.inboxes[at]);
        let mut busy = !inbox.is_empty();
        for message in inbox.drain(..) {
            // A late message is refused; that is no concern here.
            let _ = self.nodes[at].step(message);
        }
        self.inboxes[at] = inbox;
        if self.nodes[at].has_ready() {
            busy = true;
            let mut ready = self.nodes[at].ready();
            self.confirmed += ready.take_read_states().len() as u64;
            let (messages, entries) = (ready.take_messages(), ready.take_committed_entries());
            self.deliver(messages);
            self.apply(at, entries);
            store(&mut self.nodes[at], &ready);
            let messages = ready.take_persisted_messages();
            self.deliver(messages);
            let mut light = self.nodes[at].advance(ready);
            if let Some(commit) = light.commit_index() {
                self.nodes[at].mut_store().wl().mut_hard_state().commit = commit;
            }
            let (messages, entries) = (light.take_messages(), light.take_committed_entries());
            self.deliver(messages);
            self.apply(at, entries);
            self.nodes[at].advance_apply();
        }
        busy
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
}

fn store(node: &mut RawNode<MemStorage>, ready: &raft::Ready) {
    let mut storage = node.mut_store().wl();
    if !ready.entries().is_empty() {
        storage.append(ready.entries()).expect("the log is contiguous");
    }
    if let Some(hard) = ready.hs() {
        storage.set_hardstate(hard.clone());
    }
}

impl<const BATCHED: bool> Cluster for Peer<BATCHED> {
    type Node = RawNode<MemStorage>;

    fn start(nodes: usize) -> Self {
        let log = Logger::root(Discard, o!());
        let ids: Vec<u64> = (1..=nodes as u64).collect();
        let node = |id: &u64| {
            let config = Config {
                id: *id,
                election_tick: NEVER,
                heartbeat_tick: NEVER / 2,
                max_size_per_msg: 1 << 20,
                max_inflight_msgs: 256,
                pre_vote: true,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state(ConfState::from((ids.clone(), vec![])));
            RawNode::new(&config, storage, &log).expect("the settings are sound")
        };
        let mut cluster = Peer {
            nodes: ids.iter().map(node).collect(),
            inboxes: vec![Vec::new(); nodes],
            committed: vec![0; nodes],
            confirmed: 0,
            messages: 0,
        };
        cluster.elect(0);
        cluster
    }

    fn propose(&mut self, batch: u64, payload: &[u8]) {
        if BATCHED {
            let entry = |_| Entry { data: payload.to_vec().into(), ..Entry::default() };
            let entries: Vec<Entry> = (0..batch).map(entry).collect();
            let mut message = Message { from: 1, entries: entries.into(), ..Message::default() };
            message.set_msg_type(MessageType::MsgPropose);
            self.nodes[0].step(message).expect("the leader takes it");
        } else {
            for _ in 0..batch {
                self.nodes[0].propose(vec![], payload.to_vec()).expect("the leader takes it");
            }
        }
        self.settle();
    }

    fn compact(&mut self) {
        for node in &mut self.nodes {
            let applied = node.raft.raft_log.applied;
            if applied > KEPT {
                node.mut_store().wl().compact(applied - KEPT).expect("what is applied can go");
            }
        }
    }

    fn elect(&mut self, node: usize) {
        self.nodes[node].campaign().expect("a voter may campaign");
        self.settle();
        assert_eq!(self.nodes[node].raft.state, StateRole::Leader);
    }

    fn read(&mut self, batch: u64) {
        for read in 0..batch {
            self.nodes[0].read_index((self.confirmed + read).to_le_bytes().to_vec());
        }
        self.settle();
    }

    fn committed(&self) -> u64 {
        self.committed[0]
    }

    fn confirmed(&self) -> u64 {
        self.confirmed
    }

    fn messages(&self) -> u64 {
        self.messages
    }

    fn take(mut self, node: usize) -> RawNode<MemStorage> {
        self.nodes.swap_remove(node)
    }

    fn idle_tick(node: &mut RawNode<MemStorage>) {
        assert!(!node.tick(), "nothing comes of it");
    }

    fn heartbeat(node: &mut RawNode<MemStorage>) -> usize {
        node.ping();
        let mut ready = node.ready();
        let sent = ready.take_messages().len() + ready.take_persisted_messages().len();
        let _ = node.advance(ready);
        node.advance_apply();
        sent
    }
}
