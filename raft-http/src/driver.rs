//! The only caller of the core. One task owns the node: it takes all that waits, hands it in as one turn, and carries
//! out what comes of it. Messages and the write are cut when the turn is drained, so whatever came in together leaves
//! together: one append a peer, one write, one sync.

mod admission;
#[cfg(feature = "fuzz")]
mod alone;
mod application;
mod inbox;
mod phases;
mod succession;
mod ticks;
mod told;
mod waiting;

pub(crate) use admission::{Admission, Admitted};
#[cfg(feature = "fuzz")]
pub(crate) use alone::Solo;
pub(crate) use inbox::{Core, Event, Inbox, inbox};
use phases::Phases;
use succession::Succession;
pub(crate) use ticks::{TickTimes, since_start};
pub(crate) use told::Told;

use crate::application::Replicated;
use crate::disk_thread::DiskThread;
use crate::exit::{Code, Exit};
use crate::peers::Peers;
use crate::snapshot_thread::SnapshotThread;
use application::Application;
use raft_core::{Input, Node, Output, PeerStatus, Report, Turn};
use std::time::Duration;
use ticks::Ticks;
use tokio::sync::oneshot;
use tokio::time::Instant;
use waiting::Waiting;
pub(crate) use waiting::Written;

/// How many events one turn takes at most: a bound on how long a turn is, not on what waits.
const TURN_EVENTS: usize = 4096;

/// What the driver's task owns.
pub(crate) struct Driver<M> {
    node: Node,
    inbox: Inbox<M>,
    disk: DiskThread,
    snapshots: SnapshotThread,
    application: Application<M>,
    peers: Peers,
    waiting: Waiting,
    ticks: Ticks,
    succession: Succession,
    phases: Phases,
    events: Vec<Event>,
    /// Who asked how far the members are, in this turn.
    progress: Vec<oneshot::Sender<Vec<PeerStatus>>>,
}

impl<M: Replicated> Driver<M> {
    /// A driver for this node. Nothing runs before [`Driver::run`].
    pub(crate) fn new(
        node: Node,
        disk: DiskThread,
        snapshots: SnapshotThread,
        peers: Peers,
        inbox: Inbox<M>,
        times: &TickTimes,
    ) -> Driver<M> {
        // A tick more than the core waits, whose own ticks may end a little later.
        let patience = times.length * (times.election + 1);
        let succession = Succession::new(node.config().id, patience, times.length * times.heartbeat / 5);
        let (applied, metrics) = (inbox.applied(), inbox.metrics.clone());
        Driver {
            node,
            application: Application::new(inbox.machine.clone()),
            inbox,
            disk,
            snapshots,
            peers,
            waiting: Waiting::new(applied),
            ticks: Ticks::new(times.length, since_start()),
            succession,
            phases: Phases::new(metrics),
            events: Vec::new(),
            progress: Vec::new(),
        }
    }

    /// Runs until told to stop, until the node halts or the disk fails. At the end the waiting clients' channels are
    /// dropped: they learn that the outcome is unknown.
    pub(crate) async fn run(mut self) -> Exit {
        // What `Node::new` put out: the write that raises the boot counter.
        let mut ended = self.turn();
        while ended.is_none() {
            tokio::select! {
                biased;
                _ = self.inbox.events.recv_many(&mut self.events, TURN_EVENTS) => {}
                () = tokio::time::sleep(self.ticks.wait(since_start())) => {}
            }
            ended = self.turn();
        }
        let Driver { disk, snapshots, inbox, peers, .. } = self;
        peers.finish().await;
        // The threads must not wait for somebody to take their events.
        drop(inbox);
        snapshots.finish().await;
        disk.finish().await;
        ended.unwrap_or_else(Exit::ok)
    }

    /// One turn: due ticks, then what was taken; then everything that the node asks for. The end, if it has come.
    ///
    /// The events are taken; only now is the clock read, so that no event is judged by a time before it. And its ticks go
    /// in first: a lease that ran out while a read waited, or the whole machine slept, answers no read (rule 14).
    fn turn(&mut self) -> Option<Exit> {
        let (time, now) = (since_start(), Instant::now());
        let stand = self.look(time, now);
        let mut turn = self.node.turn();
        let elapsed = self.ticks.due(time);
        if elapsed > 0 {
            turn.input(Input::Tick { elapsed });
        }
        if stand {
            turn.input(Input::Campaign);
        }
        let (mut ended, mut applied) = (None, None);
        for event in self.events.drain(..) {
            match event {
                Event::Fetched { to, message } => self.peers.send(to, *message),
                Event::Newest { answer } => self.snapshots.newest(answer),
                Event::Loaded(loaded) => {
                    let taken = loaded.and_then(|state| {
                        let state = state.downcast::<M>().expect("the thread reads this machine's states");
                        self.application.loaded(*state, &self.snapshots)
                    });
                    match taken {
                        Ok(index) => applied = Some(index),
                        Err(exit) => return Some(exit),
                    }
                }
                Event::Digested(index, digest) => self.inbox.show_digest(index, digest),
                event => {
                    if let Event::Write { admitted, .. } = &event {
                        self.phases.take(admitted, now.into_std());
                    }
                    hand_in(event, &mut turn, &mut self.waiting, &mut self.progress, &mut ended);
                }
            }
        }
        let mut feeding = self.application.feed(&self.snapshots);
        for output in turn.drain() {
            match output {
                Output::Persist(write) => self.disk.persist(write),
                Output::Send { to, message } => self.peers.send(to, message),
                Output::Apply(_) | Output::Restore(_) | Output::Capture(_) => {
                    if let Err(exit) = feeding.step(output) {
                        return Some(exit);
                    }
                }
                Output::Fetch(fetch) => self.snapshots.fetch(fetch),
                Output::Store(store) => self.snapshots.store(store),
                Output::Release { through } => self.disk.release(through),
                Output::Answer { ticket, answer } => self.waiting.answered(ticket, answer),
                Output::Halt(report) => ended = Some(halted(&report)),
                Output::Event(event) => self.inbox.tell(&event),
            }
        }
        let applied = feeding.applied().or(applied);
        drop(feeding);
        // Answers come last: whoever is told that an entry is applied finds it there, and the status as new as that.
        let status = self.node.status();
        self.peers.follow(&status, now);
        self.phases.turned(&status, applied, now.into_std());
        self.inbox.publish(status);
        let replies = self.application.replies();
        self.waiting.deliver(applied, replies.as_slice());
        drop(replies);
        self.inbox.show_applied(applied);
        for answer in self.progress.drain(..) {
            // Who gave up waiting needs none.
            let _ = answer.send(self.node.peers());
        }
        ended
    }

    /// Looks through the events for signs of the leader. Whether to stand for election now, since its process has ended.
    fn look(&mut self, time: Duration, now: Instant) -> bool {
        let status = self.inbox.status();
        let leader = status.leader;
        let mut heard = leader == Some(status.id);
        for event in &self.events {
            match event {
                Event::Received { from, .. } => {
                    heard |= leader == Some(*from);
                    self.succession.heard(*from, now);
                }
                Event::StreamEnded { from } => {
                    self.succession.ended(*from, leader, &status.membership, now);
                }
                _ => {}
            }
        }
        if heard {
            self.inbox.heard_leader(time);
        }
        self.succession.is_due(leader, now)
    }
}

/// Hands one event to the node, or notes that it is the end. After a failed sync the turn goes on: what depends on that
/// write is held back by the core, since its receipt never comes.
fn hand_in(
    event: Event,
    turn: &mut Turn<'_>,
    waiting: &mut Waiting,
    progress: &mut Vec<oneshot::Sender<Vec<PeerStatus>>>,
    ended: &mut Option<Exit>,
) {
    match event {
        Event::Received { from, messages } => {
            for message in messages {
                turn.input(Input::Receive { from, message });
            }
        }
        Event::Persisted(receipts) => {
            for receipt in receipts {
                turn.input(Input::Persisted(receipt));
            }
        }
        Event::Write { command, admitted, answer } => {
            turn.input(Input::Propose { ticket: waiting.write(admitted, answer), command });
        }
        Event::Captured(snapshot) => turn.input(Input::Captured(snapshot)),
        Event::Stored(receipt) => turn.input(Input::Stored(receipt)),
        Event::Missing { last } => turn.input(Input::Missing { last }),
        Event::Read { answer, lease: false } => turn.input(Input::Read { ticket: waiting.read(answer) }),
        Event::Read { answer, lease: true } => turn.input(Input::LeaseRead { ticket: waiting.read(answer) }),
        Event::Reconfigure { changes, expect, answer } => {
            turn.input(Input::Reconfigure { ticket: waiting.read(answer), changes, expect });
        }
        Event::Transfer { to, answer } => turn.input(Input::Transfer { ticket: waiting.read(answer), to }),
        Event::Capture => turn.input(Input::Capture),
        Event::Progress { answer } => progress.push(answer),
        Event::StreamBroke { to } => turn.input(Input::Unreachable { peer: to }),
        // Nothing to the core: see `Driver::look` and `Driver::turn`.
        Event::StreamEnded { .. }
        | Event::Fetched { .. }
        | Event::Newest { .. }
        | Event::Loaded(_)
        | Event::Digested(..) => {}
        Event::DiskFailed(error) => *ended = Some(error.into()),
        Event::Astray(exit) => *ended = Some(exit),
        Event::Stop => *ended = ended.take().or(Some(Exit::ok())),
    }
}

/// How the process ends when the node has stopped for good.
fn halted(report: &Report) -> Exit {
    match report {
        Report::NotOnRecord { disk, on_record, told_by } => {
            let on_record =
                on_record.map_or(String::new(), |disk| format!(" (on record is disk {:016x})", disk.0));
            Exit::new(
                Code::Usage,
                format!(
                    "node {told_by} says that the cluster is formed and that this data directory, disk {:016x}, is not \
                     the one on record for this node{on_record}: it was wiped, removed, or never belonged. Bring the \
                     old data directory back, or let a running node take this one in with `httpraft member replace`, or \
                     `member add` if it is no member",
                    disk.0
                ),
            )
        }
        Report::Removed { at } => Exit::new(
            Code::Removed,
            format!("the configuration at index {at} is without this node: {}", crate::data_dir::REMOVED),
        ),
        Report::RolledBack { boot, seen, told_by } => lost(format!(
            "this is start {boot} of the data directory, and node {told_by} has heard from start {seen}: it was put back to \
             an older state, or is a copy"
        )),
        Report::ConflictBelowCommit { theirs, ours } => lost(format!(
            "the leader's entry {theirs} conflicts with the entry {ours} here, which is committed"
        )),
        Report::LostAcknowledged { commit, last } => lost(format!(
            "the leader holds this node's word for index {commit}, but the log here ends with entry {last}"
        )),
        Report::SameIdOtherEntry { id } => {
            lost(format!("the leader's entry {id} is another one than the entry {id} here"))
        }
    }
}

fn lost(what: String) -> Exit {
    let remedy = "this node's disk lost or changed what it had promised to keep. Keep the data directory for a \
                  diagnosis, and replace this node";
    Exit::new(Code::Corrupt, format!("{what}: {remedy}"))
}
