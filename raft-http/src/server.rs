//! One whole node: sockets, disk, peers, driver and clients, from the start to an orderly end.

use crate::client_api::{self, Api, Stage};
use crate::config::Config;
use crate::disk_thread::DiskThread;
use crate::driver::{Admission, Core, Driver, Event, TickTimes, inbox};
use crate::exit::{Code, Exit};
use crate::listen::{ListenError, Listeners, listen, raise_descriptor_limit};
use crate::machine::Machine;
use crate::peer_api::PeerApi;
use crate::peers::Peers;
use crate::peers::handshake::Identity;
use crate::snapshot_thread::SnapshotThread;
use crate::snapshots::Snapshots;
use crate::storage::Storage;
use raft_core::{ConfigError, DiskId, Membership, Node, NodeId, Recovered};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

/// How long requests that are under way may take to finish when the node is stopped.
const DRAIN: Duration = Duration::from_secs(15);

/// How long the others may take to elect a new leader when this one is stopped.
const HAND_OVER: Duration = Duration::from_secs(4);

/// What a frame may have beside the payloads of one append.
const FRAME_OVERHEAD: usize = 1 << 20;

/// What a command may have beside the client's bytes.
const COMMAND_OVERHEAD: usize = 1 << 10;

/// A node that runs.
pub struct Server {
    core: Core,
    api: Arc<Api>,
    addresses: Vec<SocketAddr>,
    election_timeout: Duration,
    alone: bool,
    driver: JoinHandle<Exit>,
    clients: JoinHandle<()>,
    closing: watch::Sender<bool>,
    /// The streams to and from the other nodes; they end with this.
    _peers: JoinSet<()>,
}

/// The state that a node begins with, and the snapshots that it has.
#[derive(Debug)]
pub struct Restored {
    /// The state: of the snapshot that [`Recovered`] names, or the empty one.
    pub machine: Machine,
    /// The snapshots.
    pub snapshots: Snapshots,
}

impl Restored {
    /// Nothing, and nothing is kept over a restart.
    pub fn in_memory(config: &Config) -> Restored {
        Restored { machine: Machine::default(), snapshots: Snapshots::in_memory(config.cluster_id) }
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
            StartError::Listen(_) | StartError::Node(_) => Code::Usage,
            StartError::Thread(_) | StartError::Random(_) => Code::Failed,
        };
        Exit::new(code, error)
    }
}

impl Server {
    /// Starts the node on what its data directory held: binds both listeners, then speaks to its peers and serves
    /// clients. `disk` is the directory's own id.
    ///
    /// # Errors
    /// [`StartError`] if an address can't be bound or the settings don't fit what was recovered.
    pub async fn start(
        config: Config,
        storage: Storage,
        recovered: Recovered,
        restored: Restored,
        disk: DiskId,
    ) -> Result<Server, StartError> {
        raise_descriptor_limit();
        let peer_listeners = listen(config.peer(), config.insecure).await?;
        let client_listeners = listen(config.api(), config.insecure).await?;
        if config.insecure {
            warn!("--insecure: whoever reaches these ports can read and write everything, and take part");
        }
        let times = TickTimes::new(config.heartbeat, config.election_timeout);
        let node = Node::new(core_config(&config, &times, disk)?, recovered).map_err(StartError::Node)?;
        let limits = &config.limits;
        let (core, inbox) =
            inbox(node.status(), Admission::new(limits.proposals, limits.proposal_bytes), restored.machine);
        let disk_thread = DiskThread::start(storage, core.events.clone()).map_err(StartError::Thread)?;
        let snapshot_thread =
            SnapshotThread::start(restored.snapshots, core.events.clone()).map_err(StartError::Thread)?;
        let identity =
            Arc::new(Identity { cluster: config.cluster_id, node: node.config().id, stamp: node.stamp() });
        let limits = node.config().limits;
        let max_frame = limits.batch_bytes.max(limits.command_bytes) + FRAME_OVERHEAD;
        let (tasks, peers) = start_peers(&config, &identity, &core, peer_listeners, max_frame);
        let api = Arc::new(Api::new(core.clone(), &config, disk));
        let (closing, closed) = watch::channel(false);
        let addresses = client_listeners.addresses();
        let clients = tokio::spawn(client_api::serve(api.clone(), client_listeners, closed));
        let driver =
            tokio::spawn(Driver::new(node, disk_thread, snapshot_thread, peers, inbox, &times).run());
        info!(node = config.id, api = config.api(), peer = config.peer(), "started");
        Ok(Server {
            core,
            api,
            addresses,
            election_timeout: config.election_timeout,
            alone: config.peers.len() == 1,
            driver,
            clients,
            closing,
            _peers: tasks,
        })
    }

    /// Where clients are served.
    pub fn api_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Runs until `shutdown` completes, the node must not go on, or the disk fails. A shutdown is graceful: the node
    /// says that it is not ready, hands leadership over, and finishes what is under way. Dropping this future instead
    /// stops at once, which loses nothing that was acknowledged.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Exit {
        tokio::select! {
            exit = &mut self.driver => return ended(exit),
            () = shutdown => {}
        }
        info!("stopping: handing over, then finishing what is under way");
        self.api.enter(Stage::Draining);
        tokio::select! {
            exit = &mut self.driver => return ended(exit),
            () = hand_over(&self.core, self.alone, HAND_OVER.min(2 * self.election_timeout)) => {}
        }
        self.api.enter(Stage::Closing);
        // Nobody receives it only if the service has ended already.
        let _ = self.closing.send(true);
        tokio::select! {
            exit = &mut self.driver => return ended(exit),
            finished = tokio::time::timeout(DRAIN, &mut self.clients) => if finished.is_err() {
                warn!("requests are still under way after {} s; stopping without them", DRAIN.as_secs());
            }
        }
        // A driver that doesn't take it has ended, and says so next.
        let _ = self.core.events.send(Event::Stop).await;
        ended((&mut self.driver).await)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.driver.abort();
        self.clients.abort();
    }
}

/// Hands leadership over, if it is here, and waits until another node leads.
async fn hand_over(core: &Core, alone: bool, patience: Duration) {
    let mut status = core.status.clone();
    let leads = |status: &raft_core::Status| status.leader == Some(status.id);
    if alone || !leads(&status.borrow()) || core.events.send(Event::HandOver).await.is_err() {
        return;
    }
    let other = status.wait_for(|status| status.leader.is_some_and(|leader| leader != status.id));
    match tokio::time::timeout(patience, other).await {
        Ok(Ok(status)) => info!(leader = status.leader.map(|leader| leader.0), "handed over"),
        Ok(Err(_)) => {}
        Err(_) => warn!("no other node took over in time"),
    }
}

fn ended(exit: Result<Exit, tokio::task::JoinError>) -> Exit {
    // The driver panicked: an invariant of our own is broken. The panic's own message has said which.
    exit.unwrap_or_else(|error| Exit::new(Code::Failed, error))
}

/// The core's settings: the same founders on every node, a new seed at every start.
fn core_config(config: &Config, times: &TickTimes, disk: DiskId) -> Result<raft_core::Config, StartError> {
    let founders = Membership::founders((0..config.peers.len() as u64).map(NodeId));
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

/// Starts the streams to the other nodes and the listener for theirs.
fn start_peers(
    config: &Config,
    identity: &Arc<Identity>,
    core: &Core,
    listeners: Listeners,
    max_frame: usize,
) -> (JoinSet<()>, Peers) {
    let others: Vec<_> = (0_u64..)
        .map(NodeId)
        .zip(&config.peers)
        .filter(|(id, _)| *id != identity.node)
        .map(|(id, address)| (id, address.clone(), Arc::new(Notify::new())))
        .collect();
    let heard = others.iter().map(|(id, _, heard)| (*id, heard.clone())).collect();
    let mut tasks = JoinSet::new();
    let peers = Peers::start(identity, others, &mut tasks);
    let api = Arc::new(PeerApi::new(identity.clone(), heard, core.clone(), max_frame));
    tasks.spawn(api.run(listeners));
    (tasks, peers)
}
