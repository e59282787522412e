//! The library that stands between the nodes and their syncs, and what it was told.

use super::{Cluster, compile, ends_within};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// What the syncs of nodes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As usual.
    Work,
    /// They begin late.
    Slow,
    /// They don't return before another order.
    Hang,
    /// They sync nothing and say so.
    Fail,
    /// They sync nothing and say that they did.
    Lie,
}

/// The disks of a cluster's nodes.
pub(crate) struct Disks {
    directory: PathBuf,
}

impl Disks {
    /// Preloads the library in a cluster that was not started yet. The disks work.
    pub(crate) fn new(cluster: &mut Cluster) -> Disks {
        let disks = Disks { directory: cluster.directory().to_path_buf() };
        let library = disks.directory.join("sync.so");
        compile("sync.c", &library, &["-shared", "-fPIC", "-ldl"]);
        let text = |path: &Path| path.to_str().expect("a plain path").to_string();
        for (id, setup) in cluster.setups.iter_mut().enumerate() {
            setup.variables.push(("LD_PRELOAD".to_string(), text(&library)));
            setup.variables.push(("SYNC_CONTROL".to_string(), text(&disks.control(id))));
        }
        disks
    }

    fn control(&self, id: usize) -> PathBuf {
        self.directory.join(format!("sync-{id}"))
    }

    fn mark(&self, id: usize) -> PathBuf {
        self.control(id).with_extension("hangs")
    }

    /// What these nodes' syncs do from now on, those under way too if they hang.
    pub(crate) fn order(&self, nodes: &[usize], order: Order) {
        let word = match order {
            Order::Work => "ok",
            Order::Slow => "slow",
            Order::Hang => "hang",
            Order::Fail => "fail",
            Order::Lie => "lie",
        };
        for id in nodes {
            // The mark of an earlier order, if there was one.
            let _ = fs::remove_file(self.mark(*id));
            // Renamed into place, so that no call reads half of it.
            let new = self.directory.join("sync-new");
            fs::write(&new, word).expect("the order is written");
            fs::rename(&new, self.control(*id)).expect("the order is in its place");
        }
    }

    /// Waits until a sync of each of these nodes hangs.
    pub(crate) fn wait_hanging(&self, nodes: &[usize]) {
        for id in nodes {
            let hangs = ends_within(SOON, || self.mark(*id).exists());
            assert!(hangs, "no sync of node {id} hangs: is the library loaded?");
        }
    }
}
