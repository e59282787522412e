//! The thread that waits for the disk, so that nothing else does. It takes all writes that wait, and one sync covers
//! them: group commit without a timer.

use crate::driver::{Core, Event};
use crate::metrics::Metrics;
use crate::storage::Storage;
use raft_core::{Index, Write};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// After how long without a write the log is told that nothing more comes for now.
const IDLE: Duration = Duration::from_millis(50);

/// How long the end waits for writes under way; a disk that hangs longer must not keep the process.
const FINISH: Duration = Duration::from_secs(5);

/// What there is to do.
enum Job {
    Persist(Write),
    Release(Index),
}

/// The way to the thread.
pub(crate) struct DiskThread {
    jobs: Sender<Job>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl DiskThread {
    /// Starts the thread. Receipts, or the failure that ends it, go to the driver.
    pub(crate) fn start<M>(storage: Storage, core: &Core<M>) -> io::Result<DiskThread> {
        let (jobs, waiting) = channel();
        let (running, ended) = oneshot::channel();
        let (events, metrics) = (core.events.clone(), core.metrics.clone());
        Builder::new().name("disk".into()).spawn(move || {
            let _running: oneshot::Sender<()> = running;
            if let Err(failed) = serve(storage, &waiting, &events, &metrics) {
                // Without a driver nobody is left to be stopped.
                let _ = events.blocking_send(failed);
            }
        })?;
        Ok(DiskThread { jobs, ended })
    }

    /// Hands a write to the disk; its receipt comes as an event.
    pub(crate) fn persist(&self, write: Write) {
        // A thread that ended said why, and that event stops the driver.
        let _ = self.jobs.send(Job::Persist(write));
    }

    /// The log need not keep the entries up to here any more.
    pub(crate) fn release(&self, through: Index) {
        let _ = self.jobs.send(Job::Release(through));
    }

    /// Waits until what was handed over is written and the thread has ended.
    pub(crate) async fn finish(self) {
        drop(self.jobs);
        if tokio::time::timeout(FINISH, self.ended).await.is_err() {
            warn!("the disk has not answered for {} s; stopping without it", FINISH.as_secs());
        }
    }
}

/// Serves until the driver is gone and all that it handed over is written; an error is the last event.
fn serve(
    mut storage: Storage,
    waiting: &Receiver<Job>,
    events: &mpsc::Sender<Event>,
    metrics: &Metrics,
) -> Result<(), Event> {
    let mut marked = true;
    loop {
        let first = match waiting.recv_timeout(if marked { Duration::MAX } else { IDLE }) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                storage.idle().map_err(Event::DiskFailed)?;
                marked = true;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return storage.idle().map_err(Event::DiskFailed),
        };
        let mut writes = Vec::new();
        for job in std::iter::once(first).chain(waiting.try_iter()) {
            match job {
                Job::Persist(write) => writes.push(write),
                Job::Release(through) => storage.release(through),
            }
        }
        if writes.is_empty() {
            continue;
        }
        let receipts = storage.persist(writes).map_err(Event::DiskFailed)?;
        metrics.fsync.observe(storage.last_sync().as_secs_f64());
        marked = false;
        // A node that has halted takes no receipts; what it handed over before is written all the same.
        let _ = events.blocking_send(Event::Persisted(receipts));
    }
}
