//! A file system of its own for each node, and the power cuts of all of them.

use super::namespaces::run;
use super::{Cluster, compile};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Sparse: only what is written takes space.
const BYTES: u64 = 1 << 30;
/// A mount is busy for a moment after its last user was killed.
const UNMOUNTED: Duration = Duration::from_secs(5);

/// The file systems of a cluster's nodes.
pub(crate) struct Mounted {
    directory: PathBuf,
    nodes: usize,
}

impl Mounted {
    /// Gives each node of a cluster that was not started yet its own ext4.
    pub(crate) fn new(cluster: &mut Cluster) -> Mounted {
        let mounted = Mounted { directory: cluster.directory().to_path_buf(), nodes: cluster.apis.len() };
        compile("cut_power.c", &mounted.directory.join("cut_power"), &[]);
        for id in 0..mounted.nodes {
            let image = File::create(mounted.image(id)).expect("an image");
            image.set_len(BYTES).expect("an image has its size");
            run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &mounted.image(id)]);
            std::fs::create_dir(mounted.point(id)).expect("a mount point");
            mounted.mount(id);
            cluster.setups[id].data_dir = mounted.point(id).join("data");
        }
        mounted
    }

    fn image(&self, id: usize) -> PathBuf {
        self.directory.join(format!("disk-{id}.ext4"))
    }

    fn point(&self, id: usize) -> PathBuf {
        self.directory.join(format!("disk-{id}"))
    }

    fn mount(&self, id: usize) {
        run("mount", &[Path::new("-o"), Path::new("loop"), &self.image(id), &self.point(id)]);
    }

    /// Fills a node's disk with something else until about so many bytes are left for it, which runs as root.
    pub(crate) fn fill(&self, id: usize, left: u64) {
        let file = File::options().create(true).append(true).open(self.filler(id)).expect("a file");
        let mut at = file.metadata().expect("its length").len();
        for piece in [64 << 20, 1 << 20, 4 << 10] {
            let has_room = || {
                let found = rustix::fs::statvfs(self.point(id)).expect("the disk's room");
                found.f_bfree * found.f_frsize >= left + piece
            };
            let none = rustix::fs::FallocateFlags::empty();
            while has_room() && rustix::fs::fallocate(&file, none, at, piece).is_ok() {
                at += piece;
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn make_room(&self, id: usize) {
        std::fs::remove_file(self.filler(id)).expect("it was filled");
    }

    /// Whether the node has the segment of zeros with which its log goes on when the disk is full.
    pub(crate) fn has_reserve(&self, id: usize) -> bool {
        let reserve = self.point(id).join("data/wal/reserve");
        std::fs::metadata(reserve).is_ok_and(|file| file.len() == 16 << 20)
    }

    fn filler(&self, id: usize) -> PathBuf {
        self.point(id).join("filler")
    }

    /// Makes all that was written to it until now outlive a cut.
    pub(crate) fn sync_all(&self) {
        for id in 0..self.nodes {
            run("sync", &[Path::new("-f"), &self.point(id)]);
        }
    }

    /// The power of these nodes' disks fails at once. Their processes are not told.
    pub(crate) fn cut(&self, nodes: &[usize]) {
        let points: Vec<PathBuf> = nodes.iter().map(|id| self.point(*id)).collect();
        let points: Vec<&Path> = points.iter().map(PathBuf::as_path).collect();
        let helper = self.directory.join("cut_power");
        run(helper.to_str().expect("a plain path"), &points);
    }

    /// The power is back, once the node's process is gone: the file system recovers from its journal.
    pub(crate) fn restore(&self, id: usize) {
        let began = Instant::now();
        loop {
            let output = Command::new("umount").arg(self.point(id)).output().expect("umount is there");
            if output.status.success() {
                break;
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(began.elapsed() < UNMOUNTED, "umount: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mount(id);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What is left ends with the namespace; this only lets the directory be removed.
        for id in 0..self.nodes {
            let _ = Command::new("umount").arg("--lazy").arg(self.point(id)).output();
        }
    }
}
