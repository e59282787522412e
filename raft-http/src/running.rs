//! A node without its clients: disk, snapshots, peers and driver.

use crate::application::Replicated;
use crate::config::{BODY_AT_MOST, COMMAND_OVERHEAD, Config, Store};
use crate::contact::{self, AddressBook};
use crate::data_dir::DataDir;
use crate::disk_thread::DiskThread;
use crate::driver::{Admission, Core, Driver, Event, TickTimes, inbox};
use crate::exit::{Code, Exit};
use crate::listen::{ListenError, listen, raise_descriptor_limit};
use crate::machine::Machine;
use crate::patience::Patience;
use crate::peer_api::PeerApi;
use crate::peers::Peers;
use crate::peers::handshake::Identity;
use crate::snapshot_thread::SnapshotThread;
use crate::snapshots::Snapshots;
use crate::storage::Storage;
use raft_core::{Answer, ConfigError, DiskId, Index, Node, NodeId, Recovered, Refusal, Status};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

/// The pause before a hand-over is tried again.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(20);

/// What a frame may have beside the payloads of one append.
const FRAME_OVERHEAD: usize = 1 << 20;

/// A node that takes part. Dropping it stops it at once, which loses nothing that was acknowledged.
pub(crate) struct Running<M> {
    pub(crate) core: Core<M>,
    pub(crate) book: Arc<AddressBook>,
    pub(crate) patience: Arc<Patience>,
    store: Store,
    driver: JoinHandle<Exit>,
    /// What goes on beside the driver: the streams from the other nodes among others. It ends with this.
    pub(crate) tasks: JoinSet<()>,
}

/// The state that a node begins with, and the snapshots that it has.
#[derive(Debug)]
pub struct Restored<M = Machine> {
    /// The state: of the snapshot that [`Recovered`] names, or the empty one.
    pub machine: M,
    /// The snapshots.
    pub snapshots: Snapshots,
}

impl<M: Replicated> Restored<M> {
    /// Nothing, and nothing is kept over a restart.
    pub fn in_memory(config: &Config) -> Restored<M> {
        Restored { machine: M::default(), snapshots: Snapshots::in_memory(config.cluster_id) }
    }
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The core refuses its settings, or there is nothing to start from.
    #[error("{0}")]
    Node(ConfigError),
    /// The disk's thread can't be started.
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl From<StartError> for Exit {
    fn from(error: StartError) -> Exit {
        let code = match error {
            StartError::Node(ConfigError::GivenUp) => Code::Corrupt,
            StartError::Listen(_) | StartError::Node(_) => Code::Usage,
            StartError::Thread(_) | StartError::Random(_) => Code::Failed,
        };
        Exit::new(code, error)
    }
}

impl<M: Replicated> Running<M> {
    /// Starts the node on what its data directory held: listens for its peers, and speaks to them. `disk` is the
    /// directory's own id.
    pub(crate) async fn start(
        config: &Config,
        mut storage: Storage,
        recovered: Recovered,
        restored: Restored<M>,
        disk: DiskId,
    ) -> Result<Running<M>, StartError> {
        raise_descriptor_limit();
        let peer_listeners = listen(config.peer(), config.insecure).await?;
        if config.insecure {
            warn!("--insecure: whoever reaches these ports can read and write everything, and take part");
        }
        let scattered = storage.is_scattered(&recovered);
        let covered = recovered.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.last().index);
        if scattered {
            storage.release(covered);
        }
        let times = TickTimes::new(config.heartbeat, config.election_timeout);
        let node = Node::new(core_config(config, &times, disk)?, recovered).map_err(StartError::Node)?;
        let limits = &config.limits;
        let admission = Admission::new(limits.proposals, limits.proposal_bytes);
        let (core, inbox) = inbox(node.status(), admission, restored.machine);
        let disk_thread = DiskThread::start(storage, &core).map_err(StartError::Thread)?;
        let snapshot_thread = SnapshotThread::start::<M>(restored.snapshots, core.events.clone());
        let snapshot_thread = snapshot_thread.map_err(StartError::Thread)?;
        let identity = Arc::new(Identity {
            cluster: config.cluster_id,
            node: node.config().id,
            stamp: node.stamp(),
            contact: config.own.clone(),
            patience: times.patience(),
        });
        let patience = Arc::new(Patience::new(identity.node, identity.patience));
        // Of whatever size the others take requests: they may be set otherwise, as while all are set anew one by one.
        let command = BODY_AT_MOST + COMMAND_OVERHEAD;
        let max_frame = node.config().limits.batch_bytes.max(command) + FRAME_OVERHEAD;
        let book = Arc::new(AddressBook::new(config));
        let founders = node.config().founders.as_ref();
        let mut peers = Peers::new(identity.clone(), book.clone(), founders, core.events.clone());
        peers.follow(&node.status(), Instant::now());
        let mut tasks = JoinSet::new();
        let peer_api = PeerApi::new(identity, book.clone(), patience.clone(), core.events.clone(), max_frame);
        tasks.spawn(Arc::new(peer_api).run(peer_listeners));
        if scattered {
            tasks.spawn(gather(core.clone(), covered));
        }
        let driver = Driver::new(node, disk_thread, snapshot_thread, peers, inbox, &times);
        let driver = tokio::spawn(driver.run());
        info!(node = config.id, api = config.api(), peer = config.peer(), "started");
        Ok(Running { core, book, patience, store: config.store.clone(), driver, tasks })
    }

    /// Waits for the node's end.
    pub(crate) async fn ended(&mut self) -> Exit {
        // The driver panicked: an invariant of our own is broken. The panic's own message has said which.
        let exit = (&mut self.driver).await.unwrap_or_else(|error| Exit::new(Code::Failed, error));
        match (exit.code, &self.store) {
            // Nobody would tell it again after its next start.
            (Code::Removed, Store::Directory(path)) => {
                DataDir::set_removed(path).map_or_else(Exit::from, |()| exit)
            }
            _ => exit,
        }
    }
}

impl<M> Drop for Running<M> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Has a snapshot taken as soon as there is something new for it, by which the next start does without the segments before.
async fn gather<M: Replicated>(core: Core<M>, covered: Index) {
    if core.applied.clone().wait_for(|applied| *applied > covered).await.is_ok() {
        let _ = core.events.send(Event::Capture).await;
    }
}

/// Hands leadership over, if it is here, and waits until another node leads.
pub(crate) async fn hand_over<M>(core: &Core<M>, patience: Duration) {
    let handing = async {
        loop {
            let (answer, answered) = oneshot::channel();
            if core.events.send(Event::Transfer { to: None, answer }).await.is_err() {
                return None;
            }
            match answered.await {
                Ok(Answer::HandingOver { .. }) => {}
                // An earlier one is under way, or this one is too early.
                Ok(Answer::Busy(_) | Answer::Refused(Refusal::Transferring | Refusal::TermNotCommitted)) => {
                    tokio::time::sleep(HAND_OVER_AGAIN).await;
                    continue;
                }
                // It is not here, or there is nobody.
                Ok(_) | Err(_) => return None,
            }
            let mut status = core.status.clone();
            let other = |status: &Status| status.leader.is_some_and(|leader| leader != status.id);
            let over =
                |status: &Status| other(status) || (status.leader.is_some() && status.transferring.is_none());
            let now = status.wait_for(over).await.ok()?;
            if other(&now) {
                return now.leader;
            }
        }
    };
    match tokio::time::timeout(patience, handing).await {
        Ok(Some(leader)) => info!(leader = leader.0, "handed over"),
        Ok(None) => {}
        Err(_) => warn!("no other node took over in time"),
    }
}

/// The core's settings: the same founders on every node, a new seed at every start.
pub(crate) fn core_config(
    config: &Config,
    times: &TickTimes,
    disk: DiskId,
) -> Result<raft_core::Config, StartError> {
    let founders = if config.founds { contact::founders(config) } else { None };
    if config.founds && founders.is_none() {
        return Err(StartError::Node(ConfigError::NotAFounder));
    }
    let seed = getrandom::u64().map_err(StartError::Random)?;
    let mut core = raft_core::Config::new(NodeId(config.id as u64), disk, founders, seed);
    core.heartbeat_ticks = times.heartbeat;
    core.election_ticks = times.election;
    core.drift_ticks = times.drift;
    core.limits.command_bytes = config.limits.body + COMMAND_OVERHEAD;
    core.limits.uncommitted_bytes = config.limits.proposal_bytes;
    core.limits.snapshot_entries = config.compaction.snapshot_entries as u64;
    core.limits.snapshot_bytes = config.compaction.snapshot_bytes;
    core.limits.retain_entries = config.compaction.retain_entries as u64;
    core.limits.retain_bytes = config.compaction.retain_bytes;
    Ok(core)
}
