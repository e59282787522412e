//! The thread that waits for the disk, so that nothing else does. It takes all writes that wait, and one sync covers
//! them: group commit without a timer.

use crate::driver::Event;
use crate::storage::Storage;
use raft_core::Write;
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

/// The way to the thread.
pub(crate) struct DiskThread {
    writes: Sender<Write>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl DiskThread {
    /// Starts the thread. Receipts, or the failure that ends it, go to `events`.
    pub(crate) fn start(storage: Storage, events: mpsc::Sender<Event>) -> io::Result<DiskThread> {
        let (writes, waiting) = channel();
        let (running, ended) = oneshot::channel();
        Builder::new().name("disk".into()).spawn(move || {
            let _running: oneshot::Sender<()> = running;
            if let Err(failed) = serve(storage, &waiting, &events) {
                // Without a driver nobody is left to be stopped.
                let _ = events.blocking_send(failed);
            }
        })?;
        Ok(DiskThread { writes, ended })
    }

    /// Hands a write to the disk; its receipt comes as an event.
    pub(crate) fn persist(&self, write: Write) {
        // A thread that ended said why, and that event stops the driver.
        let _ = self.writes.send(write);
    }

    /// Waits until what was handed over is written and the thread has ended.
    pub(crate) async fn finish(self) {
        drop(self.writes);
        if tokio::time::timeout(FINISH, self.ended).await.is_err() {
            warn!("the disk has not answered for {} s; stopping without it", FINISH.as_secs());
        }
    }
}

/// Serves until the driver is gone; an error is the last event.
fn serve(mut storage: Storage, waiting: &Receiver<Write>, events: &mpsc::Sender<Event>) -> Result<(), Event> {
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
        let writes = std::iter::once(first).chain(waiting.try_iter()).collect();
        let receipts = storage.persist(writes).map_err(Event::DiskFailed)?;
        marked = false;
        if events.blocking_send(Event::Persisted(receipts)).is_err() {
            return Ok(());
        }
    }
}
