//! The way into the driver and what it shows to everybody else.

use super::{Admission, Admitted, Told, Written, since_start};
use crate::application::Replicated;
use crate::exit::Exit;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::snapshot_thread::Copied;
use crate::storage::StorageError;
use bytes::Bytes;
use raft_core::{
    Answer, Change, EntryId, Index, Message, NodeId, PeerStatus, Persisted, RoleName, Snapshot, Status,
    Stored,
};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::info;

/// How many events may wait; who sends more waits. Peers and clients are slowed down by it, the driver never is.
const INBOX_EVENTS: usize = 8192;

/// How many changes of state a reader of them may be behind; one that is further behind misses some, and is told so.
const TOLD: usize = 256;

/// How many digests of the state are kept to be compared.
const DIGESTS: usize = 8;

/// What happens to a node, as its driver hears of it.
pub(crate) enum Event {
    /// Messages of a peer, as they came together.
    Received { from: NodeId, messages: Vec<Message> },
    /// The control stream from a peer ended, and not because it opened another one.
    StreamEnded { from: NodeId },
    /// The stream to a peer broke: what was on its way is most likely lost.
    StreamBroke { to: NodeId },
    /// Writes are on stable storage.
    Persisted(Vec<Persisted>),
    /// The disk failed: nothing more is known of any write that is not confirmed.
    DiskFailed(StorageError),
    /// The snapshot that was to be captured is on stable storage; `None` if it came to nothing.
    Captured(Option<Snapshot>),
    /// The state of the snapshot that is to be restored, or why the node can't go on.
    Loaded(Result<Box<dyn Any + Send>, Exit>),
    /// The digest of the state as it was at this index.
    Digested(Index, u64),
    /// This node's state is not that of the others.
    Astray(Exit),
    /// A part of a snapshot was read, for this node.
    Fetched { to: NodeId, message: Box<Message> },
    /// The snapshot that covers this entry is not there to be sent.
    Missing { last: EntryId },
    /// A part of a snapshot was stored.
    Stored(Stored),
    /// A client's command.
    Write { command: Bytes, admitted: Admitted, answer: oneshot::Sender<Written> },
    /// A client's linearizable read; `lease`: one that the leader's lease may answer.
    Read { answer: oneshot::Sender<Answer>, lease: bool },
    /// An operator's change of the configuration, if the one in force is still the expected one.
    Reconfigure { changes: Vec<Change>, expect: Option<Index>, answer: oneshot::Sender<Answer> },
    /// Hand leadership over, to this node or to the best one.
    Transfer { to: Option<NodeId>, answer: oneshot::Sender<Answer> },
    /// What the leader knows of the members; nothing, if it isn't this node.
    Progress { answer: oneshot::Sender<Vec<PeerStatus>> },
    /// Take a snapshot now.
    Capture,
    /// Show the newest snapshot to whoever wants a copy of it.
    Newest { answer: oneshot::Sender<Option<Copied>> },
    /// Stop for good.
    Stop,
}

/// The way to the driver of a machine, for everybody else. Cheap to clone.
pub(crate) struct Core<M = Machine> {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) status: watch::Receiver<Status>,
    /// Up to where entries are applied, and what they did can be read.
    pub(crate) applied: watch::Receiver<Index>,
    pub(crate) admission: Admission,
    pub(crate) metrics: Arc<Metrics>,
    /// Where the changes of state are told, each once.
    pub(crate) told: broadcast::Sender<Told>,
    /// The newest digests of the state, each with its index.
    pub(crate) digests: watch::Receiver<VecDeque<(Index, u64)>>,
    /// When the leader was heard last, by [`super::since_start`] in milliseconds; 0 for never.
    leader_heard: Arc<AtomicU64>,
    machine: Arc<RwLock<M>>,
}

impl<M> Clone for Core<M> {
    fn clone(&self) -> Core<M> {
        Core {
            events: self.events.clone(),
            status: self.status.clone(),
            applied: self.applied.clone(),
            admission: self.admission.clone(),
            metrics: self.metrics.clone(),
            told: self.told.clone(),
            digests: self.digests.clone(),
            leader_heard: self.leader_heard.clone(),
            machine: self.machine.clone(),
        }
    }
}

impl<M> Core<M> {
    /// The replicated state, to be held for a moment only: the driver waits for it when it applies.
    pub(crate) fn machine(&self) -> RwLockReadGuard<'_, M> {
        self.machine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many milliseconds ago the leader was heard last, if it ever was.
    pub(crate) fn last_contact(&self) -> Option<u64> {
        let heard = self.leader_heard.load(Ordering::Relaxed);
        (heard > 0).then(|| millis(since_start()).saturating_sub(heard))
    }
}

/// The driver's end.
pub(crate) struct Inbox<M> {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) machine: Arc<RwLock<M>>,
    pub(super) metrics: Arc<Metrics>,
    status: watch::Sender<Status>,
    told: broadcast::Sender<Told>,
    applied: watch::Sender<Index>,
    digests: watch::Sender<VecDeque<(Index, u64)>>,
    leader_heard: Arc<AtomicU64>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Both ends, for a node of which this is the status and the state.
pub(crate) fn inbox<M: Replicated>(status: Status, admission: Admission, machine: M) -> (Core<M>, Inbox<M>) {
    let (sender, events) = mpsc::channel(INBOX_EVENTS);
    let (publish, status) = watch::channel(status);
    let (show_digests, digests) = watch::channel(VecDeque::new());
    let (show_applied, applied) = watch::channel(machine.applied());
    let machine = Arc::new(RwLock::new(machine));
    let leader_heard = Arc::new(AtomicU64::new(0));
    let (metrics, (told, _)) = (Arc::new(Metrics::new()), broadcast::channel(TOLD));
    let core = Core {
        events: sender,
        status,
        applied,
        admission,
        metrics: metrics.clone(),
        told: told.clone(),
        digests,
        leader_heard: leader_heard.clone(),
        machine: machine.clone(),
    };
    let inbox = Inbox {
        events,
        machine,
        metrics,
        told,
        status: publish,
        applied: show_applied,
        digests: show_digests,
        leader_heard,
    };
    (core, inbox)
}

impl<M: Replicated> Inbox<M> {
    /// Up to where the application has applied.
    pub(super) fn applied(&self) -> Index {
        self.machine.read().unwrap_or_else(PoisonError::into_inner).applied()
    }

    /// Keeps a digest for those who compare, in place of an old one.
    pub(super) fn show_digest(&self, index: Index, digest: u64) {
        self.digests.send_modify(|digests| {
            digests.push_back((index, digest));
            if digests.len() > DIGESTS {
                digests.pop_front();
            }
        });
    }

    /// Wakes who waits for entries to be applied.
    pub(super) fn show_applied(&self, applied: Option<Index>) {
        if let Some(applied) = applied {
            self.applied.send_replace(applied);
        }
    }

    /// The node as it was at the end of the last turn.
    pub(super) fn status(&self) -> watch::Ref<'_, Status> {
        self.status.borrow()
    }

    /// Tells whoever listens that the node's state changed, and counts what is counted of it.
    pub(super) fn tell(&self, event: &raft_core::Event) {
        if let raft_core::Event::Role { role, term, leader } = event {
            let shown = self.status.borrow();
            let stands = *role == RoleName::Candidate && (shown.role, shown.term) != (*role, *term);
            self.metrics.elections.inc_by(u64::from(stands));
            let other = leader.is_some() && (shown.leader, shown.term) != (*leader, *term);
            self.metrics.leader_changes.inc_by(u64::from(other));
        }
        // Nobody listens, most of the time.
        if self.told.receiver_count() > 0 {
            let _ = self.told.send(Told::new(self.status.borrow().id, since_start(), event));
        }
    }

    /// The leader was heard, or is this node.
    pub(super) fn heard_leader(&self, now: Duration) {
        self.leader_heard.store(millis(now), Ordering::Relaxed);
    }

    /// Shows the node's status; wakes who waits for another leader, configuration or snapshot, and logs what changed.
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
            let reconfigured =
                shown.membership_at != status.membership_at || shown.membership != status.membership;
            if reconfigured {
                let members: Vec<_> =
                    status.membership.members().iter().map(|member| (member.id.0, member.standing)).collect();
                info!(node = status.id.0, at = status.membership_at.0, ?members, "configuration");
            }
            let settled = |status: &Status| status.commit >= status.membership_at;
            let told = changed
                || reconfigured
                || settled(shown) != settled(&status)
                || shown.snapshot != status.snapshot
                || shown.transferring != status.transferring
                || shown.halted != status.halted;
            *shown = status;
            told
        });
    }
}
