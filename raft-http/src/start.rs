//! How one node starts: its data directory, its log, its server.

use crate::application::Replicated;
use crate::config::{Config, Store};
use crate::data_dir::{DataDir, random_disk_id};
use crate::driver::TickTimes;
use crate::exit::{Code, Exit};
use crate::join;
use crate::machine::Machine;
use crate::running::Running;
use crate::server::{Restored, Server};
use crate::signal::StopSignal;
use crate::snapshots::Snapshots;
use crate::storage::{Storage, StorageOptions};
use raft_core::{DiskId, Recovered};
use tokio::runtime::{Builder, Runtime};

/// A node that is ready to listen.
#[derive(Debug)]
pub struct Prepared<M = Machine> {
    config: Config,
    storage: Storage,
    recovered: Recovered,
    restored: Restored<M>,
    disk: DiskId,
}

impl<M: Replicated> Prepared<M> {
    /// Opens the node's data directory and recovers its log.
    pub fn open(mut config: Config) -> Result<Prepared<M>, Exit> {
        if config.unsafe_no_fsync {
            tracing::warn!("--unsafe-no-fsync: a power cut takes back writes that were acknowledged");
        }
        let path = match &config.store {
            Store::Directory(path) => path,
            Store::Memory => {
                tracing::warn!("--in-memory: this node forgets everything when it stops, its votes included");
                let disk = random_disk_id().map_err(|error| Exit::new(Code::Io, error))?;
                let (storage, recovered) = Storage::in_memory();
                let restored = Restored::in_memory(&config);
                return Ok(Prepared { config, storage, recovered, restored, disk });
            }
        };
        let mut data = DataDir::open(path, &config)?;
        data.keep_promises(TickTimes::new(config.heartbeat, config.election_timeout).patience())?;
        let options = StorageOptions { sync: !config.unsafe_no_fsync, ..StorageOptions::default() };
        let (storage, mut recovered) = Storage::open(&data, data.identity(), options)?;
        tracing::info!(
            path = %data.path().display(),
            disk = format_args!("{:016x}", data.disk().0),
            term = recovered.hard.term.0,
            boots = recovered.hard.boot.0,
            entries = recovered.entries.len(),
            "opened the data directory"
        );
        config.cluster_id = data.cluster();
        config.founds = data.founds();
        let mut snapshots = Snapshots::open(data.path(), data.cluster(), !config.unsafe_no_fsync)?;
        let machine = snapshots.restore(&mut recovered)?;
        let disk = data.disk();
        let restored = Restored { machine, snapshots };
        Ok(Prepared { config, storage, recovered, restored, disk })
    }

    /// Takes part, without any clients.
    pub(crate) async fn launch(self) -> Result<Running<M>, Exit> {
        let running =
            Running::start(&self.config, self.storage, self.recovered, self.restored, self.disk).await;
        running.map_err(Exit::from)
    }
}

impl Prepared {
    /// Listens and takes part.
    pub async fn start(self) -> Result<Server, Exit> {
        Server::start(self.config, self.storage, self.recovered, self.restored, self.disk)
            .await
            .map_err(Exit::from)
    }
}

/// Runs a node until it is stopped by a signal, stops by itself or fails.
pub fn run(mut config: Config) -> Result<Exit, Exit> {
    let runtime = runtime()?;
    runtime.block_on(join::ask(&mut config))?;
    let prepared = Prepared::open(config)?;
    let exit = runtime.block_on(async {
        let stop = StopSignal::new().map_err(|error| Exit::new(Code::Io, error))?;
        let server = prepared.start().await?;
        Ok::<_, Exit>(server.run(stopped(stop)).await)
    });
    // A name server or a file system that hangs doesn't hold it up.
    runtime.shutdown_background();
    exit
}

/// What all of the process runs on, beside each node's disk thread: one thread. Connections that become readable
/// together are served before the driver's turn, so their requests share it, and nothing on a request's way wakes
/// another core. Measured against a thread a core: a third less CPU a write, 1.4 times the writes.
pub(crate) fn runtime() -> Result<Runtime, Exit> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::new(Code::Io, format!("can't start the runtime: {error}")))
}

/// Waits for a signal. A second one doesn't wait for the orderly end.
pub(crate) async fn stopped(mut stop: StopSignal) {
    stop.received().await;
    tracing::info!("stopping; another signal stops at once");
    tokio::spawn(async move {
        stop.received().await;
        std::process::exit(i32::from(Code::Failed as u8));
    });
}
