//! One whole node: sockets, disk, peers, driver and clients, from the start to an orderly end.

use crate::client_api::{self, Api, Stage};
use crate::config::Config;
use crate::driver::Event;
use crate::exit::{Code, Exit};
use crate::listen::listen;
use crate::machine::Machine;
pub use crate::running::{Restored, StartError};
use crate::running::{Running, hand_over};
use crate::storage::Storage;
use raft_core::{DiskId, Recovered};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How long requests that are under way may take to finish when the node is stopped.
const DRAIN: Duration = Duration::from_secs(15);

/// How long a removed node's last answers may take to be read.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long the others may take to elect a new leader when this one is stopped.
const HAND_OVER: Duration = Duration::from_secs(4);

/// A node that runs.
pub struct Server {
    running: Running<Machine>,
    api: Arc<Api>,
    addresses: Vec<SocketAddr>,
    election_timeout: Duration,
    clients: JoinHandle<()>,
    closing: watch::Sender<bool>,
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
        let client_listeners = listen(config.api(), config.insecure).await?;
        let mut running = Running::start(&config, storage, recovered, restored, disk).await?;
        let (core, book, patience) = (running.core.clone(), running.book.clone(), running.patience.clone());
        let api = Arc::new(Api::new(core, book, patience, &config, disk));
        running.tasks.spawn(client_api::keep_up(api.clone()));
        let (closing, closed) = watch::channel(false);
        let addresses = client_listeners.addresses();
        let clients = tokio::spawn(client_api::serve(api.clone(), client_listeners, closed));
        Ok(Server { running, api, addresses, election_timeout: config.election_timeout, clients, closing })
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
            exit = self.running.ended() => return self.ended_by_itself(exit).await,
            () = shutdown => {}
        }
        info!("stopping: handing over, then finishing what is under way");
        self.api.enter(Stage::Draining);
        let core = self.running.core.clone();
        tokio::select! {
            exit = self.running.ended() => return exit,
            () = hand_over(&core, HAND_OVER.min(2 * self.election_timeout)) => {}
        }
        self.api.enter(Stage::Closing);
        // Nobody receives it only if the service has ended already.
        let _ = self.closing.send(true);
        tokio::select! {
            exit = self.running.ended() => return exit,
            finished = tokio::time::timeout(DRAIN, &mut self.clients) => if finished.is_err() {
                warn!("requests are still under way after {} s; stopping without them", DRAIN.as_secs());
            }
        }
        // A driver that doesn't take it has ended, and says so next.
        let _ = core.events.send(Event::Stop).await;
        self.running.ended().await
    }

    /// A node that was removed has answers to give: above all to who removed it.
    async fn ended_by_itself(&mut self, exit: Exit) -> Exit {
        if exit.code == Code::Removed {
            self.api.enter(Stage::Removed);
            let _ = self.closing.send(true);
            // Who doesn't take its answer by then does without.
            let _ = tokio::time::timeout(LAST_ANSWERS, &mut self.clients).await;
        }
        exit
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.clients.abort();
    }
}
