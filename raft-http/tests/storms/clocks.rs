//! Nodes whose clocks run at rates of their own.

use crate::cluster::{Cluster, compile};
use std::path::{Path, PathBuf};

/// The clocks of a cluster's nodes.
pub(crate) struct Clocks {
    directory: PathBuf,
}

impl Clocks {
    /// Prepares the clocks of a cluster that was not started yet.
    pub(crate) fn new(cluster: &Cluster) -> Clocks {
        let clocks = Clocks { directory: cluster.directory().to_path_buf() };
        compile("clock.c", &clocks.library(), &["-shared", "-fPIC"]);
        clocks
    }

    fn library(&self) -> PathBuf {
        self.directory.join("clock.so")
    }

    fn mark(&self, node: usize) -> PathBuf {
        self.directory.join(format!("clock-{node}"))
    }

    /// From its next start on, a node's clock runs so many thousandths as fast, and its time of day is so many seconds
    /// off.
    pub(crate) fn set(&self, cluster: &mut Cluster, node: usize, rate: u64, offset: i64) {
        let text = |path: &Path| path.to_str().expect("a plain path").to_string();
        let variables = [
            ("LD_PRELOAD", text(&self.library())),
            ("CLOCK_MARK", text(&self.mark(node))),
            ("CLOCK_RATE", rate.to_string()),
            ("CLOCK_OFFSET", offset.to_string()),
        ];
        cluster.setups[node].variables = variables.map(|(name, value)| (name.to_string(), value)).to_vec();
    }

    /// Whether the node's ticks were counted by such a clock: a server that asks the system in another way has none.
    pub(crate) fn ran(&self, node: usize) -> bool {
        self.mark(node).exists()
    }
}
