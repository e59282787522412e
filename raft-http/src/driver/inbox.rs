//! The way into the driver and what it shows to everybody else.

use super::{Admission, Admitted};
use crate::exit::Exit;
use crate::machine::Machine;
use crate::storage::StorageError;
use bytes::Bytes;
use raft_core::{Answer, EntryId, Index, Message, NodeId, Persisted, Snapshot, Status, Stored};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::info;

/// How many events may wait; who sends more waits. Peers and clients are slowed down by it, the driver never is.
const INBOX_EVENTS: usize = 8192;

/// What happens to a node, as its driver hears of it.
pub(crate) enum Event {
    /// Messages of a peer, as they came together.
    Received { from: NodeId, messages: Vec<Message> },
    /// The control stream from a peer ended, and not because it opened another one.
    StreamEnded { from: NodeId },
    /// Writes are on stable storage.
    Persisted(Vec<Persisted>),
    /// The disk failed: nothing more is known of any write that is not confirmed.
    DiskFailed(StorageError),
    /// The snapshot that was to be captured is on stable storage; `None` if it came to nothing.
    Captured(Option<Snapshot>),
    /// The state of the snapshot that is to be restored, or why the node can't go on.
    Loaded(Result<Box<Machine>, Exit>),
    /// A part of a snapshot was read, for this node.
    Fetched { to: NodeId, message: Message },
    /// The snapshot that covers this entry is not there to be sent.
    Missing { last: EntryId },
    /// A part of a snapshot was stored.
    Stored(Stored),
    /// A client's command.
    Write { command: Bytes, admitted: Admitted, answer: oneshot::Sender<Answer> },
    /// A client's linearizable read.
    Read { answer: oneshot::Sender<Answer> },
    /// Take a snapshot now.
    #[allow(dead_code, reason = "asked for by a route that is being written")]
    Capture,
    /// Hand leadership over, if it is here.
    HandOver,
    /// Stop for good.
    Stop,
}

/// The way to the driver, for everybody else. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) admission: Admission,
    machine: Arc<RwLock<Machine>>,
}

impl Core {
    /// The replicated state, to be held for a moment only: the driver waits for it when it applies.
    pub(crate) fn machine(&self) -> RwLockReadGuard<'_, Machine> {
        self.machine.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's end.
pub(crate) struct Inbox {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) machine: Arc<RwLock<Machine>>,
    status: watch::Sender<Status>,
}

/// Both ends, for a node of which this is the status and the state.
pub(crate) fn inbox(status: Status, admission: Admission, machine: Machine) -> (Core, Inbox) {
    let (sender, events) = mpsc::channel(INBOX_EVENTS);
    let (publish, status) = watch::channel(status);
    let machine = Arc::new(RwLock::new(machine));
    let core = Core { events: sender, status, admission, machine: machine.clone() };
    (core, Inbox { events, machine, status: publish })
}

impl Inbox {
    /// Up to where the application has applied.
    pub(super) fn applied(&self) -> Index {
        self.machine.read().unwrap_or_else(PoisonError::into_inner).applied()
    }

    /// The leader that was known at the end of the last turn.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.status.borrow().leader
    }

    /// Shows the node's status; wakes who waits for another leader, and logs a change of role, term or leader.
    pub(super) fn publish(&self, status: Status) {
        self.status.send_if_modified(|shown| {
            let changed = (shown.role, shown.term, shown.leader) != (status.role, status.term, status.leader);
            if changed {
                let leader = status.leader.map(|leader| leader.0);
                info!(node = status.id.0, role = ?status.role, term = status.term.0, leader, "role");
            }
            if shown.founded != status.founded {
                info!(node = status.id.0, "the cluster is founded");
            }
            *shown = status;
            changed
        });
    }
}
