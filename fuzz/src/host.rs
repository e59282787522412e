//! A node with its disk: carries out what the node asks for, honestly, and asserts what must hold of every output.

use crate::draw::Draw;
use crate::files::Files;
use raft_core::{
    Body, Boot, Config, Entry, EntryId, Input, LogSlice, Membership, Message, Node, NodeId, Output, Payload,
    Recovered, Status, Ticket, Update, Write,
};
use std::collections::{BTreeSet, VecDeque};

pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) sent: VecDeque<(NodeId, Message)>,
    durable: Recovered,
    /// Commands that the disk has lost.
    lost: Vec<Entry>,
    /// Writes that are not durable yet, or behind one that isn't; without their receipt once it is handed in.
    writes: VecDeque<(Update, Option<Write>)>,
    pub(crate) files: Files,
    tickets: BTreeSet<u64>,
    asked: u64,
    applied: u64,
}

/// How many sent messages are kept to be answered.
const SENT: usize = 16;

impl Host {
    pub(crate) fn new(config: Config, durable: Recovered) -> Host {
        let files = Files::new(durable.snapshot.clone());
        Host::start(config, durable, files)
    }

    fn start(config: Config, mut durable: Recovered, files: Files) -> Host {
        durable.snapshot = files.newest(&durable);
        let applied = durable.snapshot.as_ref().map_or(0, |snapshot| snapshot.last().index.0);
        let node = Node::new(config, durable.clone()).expect("the settings are sound");
        let mut host = Host {
            node,
            sent: VecDeque::new(),
            durable,
            lost: Vec::new(),
            writes: VecDeque::new(),
            files,
            tickets: BTreeSet::new(),
            asked: 0,
            applied,
        };
        host.turn([]);
        host
    }

    /// A new request's name.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.asked += 1;
        self.tickets.insert(self.asked);
        Ticket(self.asked)
    }

    /// Hands in the receipt of any write that is under way: they may come in any order.
    pub(crate) fn receipt(&mut self, draw: &mut Draw<'_>) -> Option<Input> {
        let mut waiting: Vec<_> =
            self.writes.iter_mut().map(|(_, write)| write).filter(|it| it.is_some()).collect();
        let at = draw.below(waiting.len().clamp(1, 256));
        let write = waiting.get_mut(at)?.take()?;
        self.sync(0);
        Some(Input::Persisted(write.persisted()))
    }

    /// What is confirmed without a gap is on the disk for good, and so are `more` writes after it.
    fn sync(&mut self, more: usize) {
        let unbroken = self.writes.iter().take_while(|(_, write)| write.is_none()).count();
        for (update, _) in self.writes.drain(..(unbroken + more).min(self.writes.len())) {
            let disk = &mut self.durable;
            disk.hard = update.hard.unwrap_or(disk.hard);
            if let Some(base) = update.base {
                *disk = Recovered { hard: disk.hard, base: Some(base), ..Recovered::default() };
            }
            disk.entries.retain(|entry| update.keep.is_none_or(|keep| entry.index() <= keep));
            disk.entries.extend(update.entries);
        }
    }

    /// The process dies. Some of the unconfirmed writes made it to the disk; one that was given up is replaced.
    pub(crate) fn restart(self, draw: &mut Draw<'_>) -> Host {
        let mut dead = self;
        dead.sync(draw.below(4));
        if dead.durable.hard.boot == Boot::GIVEN_UP {
            return Host::new(dead.node.config().clone(), Recovered::default());
        }
        dead.files.crash();
        dead.decay(draw);
        let lost = dead.lost;
        let mut host = Host::start(dead.node.config().clone(), dead.durable, dead.files);
        host.lost = lost;
        host
    }

    /// Commands that are on the disk are lost there. They can be had again from a peer alone.
    fn decay(&mut self, draw: &mut Draw<'_>) {
        let alone = |membership: &Membership| membership.members().len() < 2;
        let disk = &self.durable;
        let alone = disk.base.as_ref().is_none_or(|base| alone(&base.membership))
            || disk
                .entries
                .iter()
                .any(|entry| matches!(entry.payload(), Payload::Membership(it) if alone(it)));
        if alone || !draw.rarely(4) {
            return;
        }
        for entry in &mut self.durable.entries {
            if matches!(entry.payload(), Payload::Command(_)) && draw.rarely(3) {
                self.lost.push(entry.clone());
                *entry = Entry::decayed(entry.id(), entry.hash(), entry.size() as u32);
            }
        }
    }

    /// What a peer that holds it gives of a command that was lost here.
    pub(crate) fn copies(&self, first: EntryId) -> Option<Body> {
        let prev = first.index.previous().and_then(|index| self.node.log().id_at(index))?;
        let lost = self.lost.iter().find(|entry| entry.id() == first)?;
        LogSlice::new(prev, vec![lost.clone()]).map(|slice| Body::Copies { slice })
    }

    /// One turn of the node.
    pub(crate) fn turn(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let before = self.node.status();
        let mut turn = self.node.turn();
        let mut handed_in = 0;
        for input in inputs {
            turn.input(input);
            handed_in += 1;
        }
        let outputs: Vec<Output> = turn.drain().collect();
        let after = self.node.status();
        assert!(after.term >= before.term && after.commit >= before.commit, "{before:?} then {after:?}");
        self.check_bounds(&after, handed_in, outputs.len());
        for output in outputs {
            self.carry_out(output);
        }
        assert_eq!(self.applied, self.node.status().applied.0);
    }

    fn check_bounds(&self, status: &Status, handed_in: usize, outputs: usize) {
        let limits = self.node.config().limits;
        let log = (status.last.index.0 - self.node.log().base().index.0) as usize;
        let held = limits.held + 16 * (1 + handed_in);
        assert!(status.held <= held, "{} messages are held, the limit is {}", status.held, limits.held);
        assert!(outputs <= held + log + 16 * (1 + handed_in), "{outputs} outputs");
        assert!(status.tickets <= limits.tickets && self.tickets.len() <= limits.tickets + handed_in);
    }

    fn carry_out(&mut self, output: Output) {
        let limits = self.node.config().limits;
        match output {
            Output::Persist(write) => self.writes.push_back((write.update().clone(), Some(write))),
            Output::Send { to, message } => {
                assert!(message.is_sound() && to != self.node.status().id, "to {to}: {message:?}");
                self.sent.truncate(SENT - 1);
                self.sent.push_front((to, message));
            }
            Output::Apply(entry) => {
                self.applied += 1;
                assert_eq!(entry.index().0, self.applied, "applied in order, each once");
            }
            Output::Restore(snapshot) => {
                assert!(snapshot.last().index.0 > self.applied, "a restored state is newer");
                let holds = self.durable.entries.iter().any(|entry| entry.id() == snapshot.last());
                let reset = self.durable.base.as_ref() == Some(&snapshot.base);
                assert!(reset || holds, "the log is reset before, or holds what the snapshot covers");
                self.applied = snapshot.last().index.0;
                self.files.keep_from(&snapshot);
            }
            Output::Capture(base) => {
                assert_eq!(base.id.index.0, self.applied, "captured at its place");
                self.files.capture(base);
            }
            Output::Fetch(fetch) => {
                assert!(fetch.length() <= limits.chunk_bytes, "{fetch:?}");
                assert!(fetch.offset() + fetch.length() as u64 <= fetch.snapshot().size);
                self.files.fetch(fetch);
            }
            Output::Store(store) => self.files.store(store, limits.inflight_chunks),
            Output::Release { through } => {
                let held = self.files.complete().any(|snapshot| snapshot.last().index >= through);
                assert!(held, "{through} is released, but no snapshot covers it");
            }
            Output::Event(_) => {}
            Output::Answer { ticket, answer } => {
                assert!(self.tickets.remove(&ticket.0), "{ticket} was answered before: {answer:?}");
            }
            Output::Halt(_) => assert!(self.node.status().halted),
        }
    }
}
