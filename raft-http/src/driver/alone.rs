//! A driver without disk and peers. What the node asks for is done before the next turn; what it sends goes nowhere.

use super::{Event, Inbox, Waiting, hand_in};
use crate::machine::{Machine, Reply, snapshot};
use raft_core::{ClusterId, Index, Input, Node, Output};
use std::io;
use std::sync::{PoisonError, RwLockWriteGuard};

/// A node and what it has asked for.
pub(crate) struct Solo {
    node: Node,
    inbox: Inbox<Machine>,
    cluster: ClusterId,
    waiting: Waiting,
    done: Vec<Input>,
}

impl Solo {
    /// A driver for this node, which stands for election as soon as it can.
    pub(crate) fn new(node: Node, inbox: Inbox<Machine>, cluster: ClusterId) -> Solo {
        let waiting = Waiting::new(inbox.applied());
        Solo { node, inbox, cluster, waiting, done: vec![Input::Campaign] }
    }

    /// One turn of all that waits, if anything does.
    pub(crate) fn turn(&mut self) -> bool {
        let mut events = Vec::new();
        while let Ok(event) = self.inbox.events.try_recv() {
            events.push(event);
        }
        if events.is_empty() && self.done.is_empty() {
            return false;
        }
        let (mut progress, mut ended) = (Vec::new(), None);
        let mut turn = self.node.turn();
        self.done.drain(..).for_each(|input| turn.input(input));
        for event in events {
            match event {
                // There are no files.
                Event::Newest { answer } => drop(answer.send(None)),
                event => hand_in(event, &mut turn, &mut self.waiting, &mut progress, &mut ended),
            }
        }
        let outputs: Vec<Output> = turn.drain().collect();
        let replies = outputs.into_iter().filter_map(|output| self.carry_out(output)).collect::<Vec<_>>();
        self.inbox.publish(self.node.status());
        let applied = self.inbox.applied();
        self.waiting.deliver(Some(applied), &replies);
        self.inbox.show_applied(Some(applied));
        for answer in progress {
            // Who gave up waiting needs none.
            let _ = answer.send(self.node.peers());
        }
        true
    }

    /// Does what the node asks for; what became of a client's command.
    fn carry_out(&mut self, output: Output) -> Option<(Index, Reply)> {
        match output {
            Output::Persist(write) => self.done.push(Input::Persisted(write.persisted())),
            Output::Apply(entry) => {
                let reply = self.machine().apply(&entry).expect("the commands are of this version");
                return reply.map(|reply| (entry.index(), reply));
            }
            Output::Capture(base) => {
                let captured = snapshot::write(&self.machine(), &base, self.cluster, &mut io::sink());
                self.done.push(Input::Captured(captured.ok()));
            }
            Output::Answer { ticket, answer } => self.waiting.answered(ticket, answer),
            Output::Event(event) => self.inbox.tell(&event),
            Output::Send { .. } | Output::Release { .. } => {}
            other => unreachable!("nobody sends a node alone anything: {other:?}"),
        }
        None
    }

    fn machine(&self) -> RwLockWriteGuard<'_, Machine> {
        self.inbox.machine.write().unwrap_or_else(PoisonError::into_inner)
    }
}
