//! Room on the disk. A write that finds none stops the node, so none of a client's is begun when room is short; what is
//! begun already, and what the cluster itself writes, still gets in.

use crate::config::{Config, Store};
use raft_core::wal::Layout;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

/// How often the room is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The room where a node keeps its data.
pub(super) struct Space {
    /// Where; a node in memory has no such place.
    directory: Option<PathBuf>,
    /// With less than this, room is short: a segment, and all that clients may have under way.
    least: u64,
    is_short: AtomicBool,
}

impl Space {
    pub(super) fn new(config: &Config) -> Space {
        let directory = match &config.store {
            Store::Directory(path) => Some(path.clone()),
            Store::Memory => None,
        };
        let least = Layout::default().segment_bytes() + config.limits.proposal_bytes as u64;
        Space { directory, least, is_short: AtomicBool::new(false) }
    }

    /// Whether no client's write may be begun.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Looks from time to time, for as long as the node runs.
    pub(super) async fn watch(&self) {
        let Some(directory) = &self.directory else { return };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let path = directory.clone();
            // A file system may take its time.
            let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path)).await;
            // What can't be known stops nobody; the next write says what is wrong with the disk.
            let Ok(Ok(found)) = looked else { continue };
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let is_short = free < self.least;
            if self.is_short.swap(is_short, Ordering::Relaxed) != is_short {
                let least = self.least;
                if is_short {
                    warn!(free, least, "the disk is nearly full: writes are refused until there is room");
                } else {
                    info!(free, least, "there is room on the disk again");
                }
            }
        }
    }
}
