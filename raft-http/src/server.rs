//! One whole node: sockets, disk, peers, driver and clients, from the start to an orderly end.

use crate::client_api::{self, Api, Stage};
use crate::config::Config;
use crate::contact::{self, AddressBook};
use crate::disk_thread::DiskThread;
use crate::driver::{Admission, Core, Driver, Event, TickTimes, inbox};
use crate::exit::{Code, Exit};
use crate::listen::{ListenError, listen, raise_descriptor_limit};
use crate::machine::Machine;
use crate::peer_api::PeerApi;
use crate::peers::Peers;
use crate::peers::handshake::Identity;
use crate::snapshot_thread::SnapshotThread;
use crate::snapshots::Snapshots;
use crate::storage::Storage;
use raft_core::{Answer, ConfigError, DiskId, Node, NodeId, Recovered, Refusal, Status};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

/// How long requests that are under way may take to finish when the node is stopped.
const DRAIN: Duration = Duration::from_secs(15);

/// How long a removed node's last answers may take to be read.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The pause before a hand-over is tried again.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(20);

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
    driver: JoinHandle<Exit>,
    clients: JoinHandle<()>,
    closing: watch::Sender<bool>,
    /// The streams from the other nodes; they end with this.
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
        let disk_thread = DiskThread::start(storage, &core).map_err(StartError::Thread)?;
        let snapshot_thread =
            SnapshotThread::start(restored.snapshots, core.events.clone()).map_err(StartError::Thread)?;
        let identity = Arc::new(Identity {
            cluster: config.cluster_id,
            node: node.config().id,
            stamp: node.stamp(),
            contact: config.own.clone(),
        });
        let limits = node.config().limits;
        let max_frame = limits.batch_bytes.max(limits.command_bytes) + FRAME_OVERHEAD;
        let book = Arc::new(AddressBook::new(&config));
        let founders = node.config().founders.as_ref();
        let mut peers = Peers::new(identity.clone(), book.clone(), founders, core.events.clone());
        peers.follow(&node.status(), Instant::now());
        let mut tasks = JoinSet::new();
        let peer_api = Arc::new(PeerApi::new(identity, book.clone(), core.clone(), max_frame));
        tasks.spawn(peer_api.run(peer_listeners));
        let api = Arc::new(Api::new(core.clone(), book, &config, disk));
        tasks.spawn(client_api::keep_up(api.clone()));
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
            exit = &mut self.driver => return self.ended_by_itself(ended(exit)).await,
            () = shutdown => {}
        }
        info!("stopping: handing over, then finishing what is under way");
        self.api.enter(Stage::Draining);
        tokio::select! {
            exit = &mut self.driver => return ended(exit),
            () = hand_over(&self.core, HAND_OVER.min(2 * self.election_timeout)) => {}
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

    /// A node that was removed has answers to give: above all to who removed it.
    async fn ended_by_itself(&mut self, exit: Exit) -> Exit {
        if exit.code == Code::Removed {
            self.api.enter(Stage::Closing);
            let _ = self.closing.send(true);
            // Who doesn't take its answer by then does without.
            let _ = tokio::time::timeout(LAST_ANSWERS, &mut self.clients).await;
        }
        exit
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.driver.abort();
        self.clients.abort();
    }
}

/// Hands leadership over, if it is here, and waits until another node leads.
async fn hand_over(core: &Core, patience: Duration) {
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

fn ended(exit: Result<Exit, tokio::task::JoinError>) -> Exit {
    // The driver panicked: an invariant of our own is broken. The panic's own message has said which.
    exit.unwrap_or_else(|error| Exit::new(Code::Failed, error))
}

/// The core's settings: the same founders on every node, a new seed at every start.
fn core_config(config: &Config, times: &TickTimes, disk: DiskId) -> Result<raft_core::Config, StartError> {
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
