//! A node's data directory: who may use it (a lock) and whose it is (`node.json`). The log in its `wal/` is
//! [`crate::storage`]'s.

mod node_file;

use crate::config::Config;
use crate::exit::{Code, Exit};
use node_file::NodeFile;
use raft_core::wal::Identity;
use raft_core::{ClusterId, DiskId, NodeId};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The newest format of a data directory that this version reads and the one that it writes.
pub const FORMAT: u32 = 1;

/// What a node says that was removed, then and at each later start.
pub(crate) const REMOVED: &str = "it was removed from its cluster, and takes part no more. Its data directory may go; to have \
     it back, start it on an empty one with --join, and name it with `httpraft member add`";

const MODE: u32 = 0o700;
const LOCK: &str = "lock";
const NODE: &str = "node.json";
const NODE_NEW: &str = "node.json.new";
const WAL: &str = "wal";

/// An open data directory, locked for as long as this value or the storage that was opened on it lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    node: NodeFile,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file operation failed.
    #[error("can't {doing} {path:?}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "the data directory {0:?} is in use by another process: stop that one, or give this node another --data-dir"
    )]
    Locked(PathBuf),
    /// Nobody has used it yet.
    #[error("{0:?} is no data directory of a node: name the one that holds its node.json")]
    NotUsed(PathBuf),
    /// There are files in it, but it is no data directory.
    #[error(
        "{path:?} is no data directory of httpraft, but holds {found:?}: give an empty one with --data-dir"
    )]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// A file in it.
        found: String,
    },
    /// It is another node's.
    #[error(
        "the data directory {path:?} belongs to node {theirs}, not to node {ours}: start node {theirs} on it, or \
         give this node another --data-dir"
    )]
    OtherNode {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        theirs: u64,
        /// Who asked.
        ours: u64,
    },
    /// It is another cluster's.
    #[error(
        "the data directory {path:?} belongs to another cluster ({theirs}) than the config file's ({ours}): use that \
         cluster's config file, or give this node another --data-dir"
    )]
    OtherCluster {
        /// Which directory.
        path: PathBuf,
        /// The cluster that it belongs to.
        theirs: String,
        /// The cluster that the settings describe.
        ours: String,
    },
    /// It is empty, and the node is none of those that found the cluster.
    #[error(
        "the data directory {path:?} is empty, and node {id} is not in \"peers\" and \"apis\", so it founds no cluster: \
         let it take part in a running one with --join HOST:PORT of one of its nodes, then name it there with \
         `httpraft member add {id}`"
    )]
    NotAFounder {
        /// Which directory.
        path: PathBuf,
        /// Which node.
        id: usize,
    },
    /// Its node was removed from the cluster.
    #[error("the data directory {path:?} is of node {id}: {REMOVED}")]
    Removed {
        /// Which directory.
        path: PathBuf,
        /// Which node.
        id: u64,
    },
    /// A newer version wrote it.
    #[error(
        "the data directory {path:?} has format {format}, and this version reads up to {FORMAT}: use the version \
         that wrote it, or a newer one"
    )]
    Newer {
        /// Which directory.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// What it says of itself can't be read.
    #[error(
        "{path:?} is damaged ({problem}): restore it from a copy of this data directory, or replace this member with \
         one on an empty directory"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<DataDirError> for Exit {
    fn from(error: DataDirError) -> Exit {
        let code = match &error {
            DataDirError::Io { .. } => Code::Io,
            DataDirError::Locked(_)
            | DataDirError::NotUsed(_)
            | DataDirError::Foreign { .. }
            | DataDirError::OtherNode { .. }
            | DataDirError::NotAFounder { .. }
            | DataDirError::OtherCluster { .. } => Code::Usage,
            DataDirError::Removed { .. } => Code::Removed,
            DataDirError::Newer { .. } => Code::Newer,
            DataDirError::Damaged { .. } => Code::Corrupt,
        };
        Exit::new(code, error)
    }
}

/// Names what was tried, and on what, when the system refuses it.
fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { doing, path: path.to_path_buf(), source }
}

impl DataDir {
    /// Whether a node was there before.
    pub fn is_used(path: &Path) -> Result<bool, DataDirError> {
        path.join(NODE).try_exists().map_err(io_error("look for", &path.join(NODE)))
    }

    /// The cluster of the node that was there before.
    pub fn cluster_of(path: &Path) -> Result<Option<ClusterId>, DataDirError> {
        Ok(NodeFile::read(&path.join(NODE))?.map(|node| node.cluster_id.into()))
    }

    /// Puts on record that the node was removed: nobody would tell it again after its next start.
    pub fn set_removed(path: &Path) -> Result<(), DataDirError> {
        let Some(mut node) = NodeFile::read(&path.join(NODE))? else { return Ok(()) };
        node.removed = true;
        node.write(path)
    }

    /// Opens and locks the directory; an empty or missing one becomes this node's, of the cluster that the settings
    /// found, or that they join.
    pub fn open(path: &Path, config: &Config) -> Result<DataDir, DataDirError> {
        if config.founds && !config.is_listed() && !DataDir::is_used(path)? {
            return Err(DataDirError::NotAFounder { path: path.to_path_buf(), id: config.id });
        }
        create(path)?;
        let known = DataDir::is_used(path)?;
        if !known {
            refuse_foreign(path)?;
        }
        restrict(path)?;
        let lock = lock(path)?;
        let node = match NodeFile::read(&path.join(NODE))? {
            Some(node) => node,
            None => found(path, config)?,
        };
        let data = DataDir { path: path.to_path_buf(), lock, node };
        data.check(config)?;
        Ok(data)
    }

    /// Opens and locks a directory that some node has used, whoever it was: to look at it, or to take it over.
    pub fn existing(path: &Path) -> Result<DataDir, DataDirError> {
        let missing = || DataDirError::NotUsed(path.to_path_buf());
        if !DataDir::is_used(path)? {
            return Err(missing());
        }
        let lock = lock(path)?;
        let node = NodeFile::read(&path.join(NODE))?.ok_or_else(missing)?;
        Ok(DataDir { path: path.to_path_buf(), lock, node })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster that it belongs to, since its founding.
    pub fn cluster(&self) -> ClusterId {
        self.node.cluster_id.into()
    }

    /// Whether it founded its cluster, or waits to; the others joined.
    pub fn founds(&self) -> bool {
        !self.node.joined
    }

    /// The node that it belongs to.
    pub fn node(&self) -> NodeId {
        NodeId(self.node.node_id)
    }

    /// The number drawn when it was made.
    pub fn disk(&self) -> DiskId {
        DiskId(self.node.disk_id.0)
    }

    /// Whose log it holds.
    pub fn identity(&self) -> Identity {
        Identity { cluster: self.cluster(), node: self.node(), disk: self.disk() }
    }

    /// Puts on record how long this start waits for a leader. If that is less than before, first waits until nobody can count
    /// on what the last start promised: a leader's lease may rest on it (rule 14), and its clock may run slower by a tenth.
    pub(crate) fn keep_promises(&mut self, patience: Duration) -> Result<(), DataDirError> {
        let new = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let old = self.node.patience_us.replace(new);
        if let Some(longer) = old.filter(|old| *old > new) {
            let wait = Duration::from_micros(longer.saturating_add(longer / 10));
            tracing::info!(
                ?wait,
                "the election timeout is shorter than at the last start: waiting for what that promised"
            );
            std::thread::sleep(wait);
        }
        if old == Some(new) { Ok(()) } else { self.node.write(&self.path) }
    }

    /// Where the log is.
    pub(crate) fn wal(&self) -> PathBuf {
        self.path.join(WAL)
    }

    /// The record of whether the log was begun, for who writes the log.
    pub(crate) fn log_begun(&self) -> Result<LogBegun, DataDirError> {
        let lock = self.lock.try_clone().map_err(io_error("keep the lock of", &self.path))?;
        Ok(LogBegun { path: self.path.clone(), node: self.node.clone(), _lock: lock })
    }

    /// Whether it is the settings' node's and cluster's. A file whose lists have changed is still the same cluster's:
    /// after the founding, the membership in the log is the truth. But one that names another cluster, or that shares
    /// no address at all with the founding, is a mistake.
    fn check(&self, config: &Config) -> Result<(), DataDirError> {
        let path = self.path.clone();
        if self.node.node_id != config.id as u64 {
            return Err(DataDirError::OtherNode { path, theirs: self.node.node_id, ours: config.id as u64 });
        }
        if self.node.removed {
            return Err(DataDirError::Removed { path, id: self.node.node_id });
        }
        // Of a node that joined, the file may know nothing.
        if self.cluster() == config.cluster_id || self.node.joined {
            return Ok(());
        }
        let same_name = self.node.cluster == config.cluster;
        let shared = |ours: &[String], theirs: &[String]| ours.iter().any(|address| theirs.contains(address));
        let related = config.cluster.is_some()
            || shared(&config.peers, &self.node.peers)
            || shared(&config.apis, &self.node.apis);
        if same_name && related {
            tracing::warn!(
                founded_with_peers = ?self.node.peers,
                founded_with_apis = ?self.node.apis,
                "the config file differs from the one that the cluster was founded with; the membership in the log counts"
            );
            return Ok(());
        }
        let name = |cluster: &Option<String>, peers: &[String]| match cluster {
            Some(name) => format!("named {name:?}"),
            None => format!("of {}", peers.join(", ")),
        };
        Err(DataDirError::OtherCluster {
            path,
            theirs: name(&self.node.cluster, &self.node.peers),
            ours: name(&config.cluster, &config.peers),
        })
    }
}

/// The record in `node.json` that the log was begun: from then on, a log without any segment is a loss and not a new
/// node. Keeps the directory locked.
#[derive(Debug)]
pub(crate) struct LogBegun {
    path: PathBuf,
    node: NodeFile,
    _lock: File,
}

impl LogBegun {
    /// Whether the log was begun.
    pub(crate) fn is(&self) -> bool {
        self.node.log_begun
    }

    /// Puts on record that it was.
    pub(crate) fn set(&mut self) -> Result<(), DataDirError> {
        if !self.node.log_begun {
            self.node.log_begun = true;
            self.node.write(&self.path)?;
        }
        Ok(())
    }
}

/// Draws a disk id.
pub fn random_disk_id() -> io::Result<DiskId> {
    Ok(DiskId(getrandom::u64()?))
}

/// Makes the directory's and its files' names durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes sure that the directory exists, and that the names of all that were made for it survive a power cut: a
/// directory that vanishes is a wiped voter.
fn create(path: &Path) -> Result<(), DataDirError> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(MODE)
        .create(path)
        .map_err(io_error("create the data directory", path))?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_dir(parent).map_err(io_error("sync", parent))?;
    }
    Ok(())
}

/// Lets nobody else in.
fn restrict(path: &Path) -> Result<(), DataDirError> {
    let mode = fs::metadata(path).map_err(io_error("look at", path))?.permissions().mode() & 0o777;
    if mode != MODE {
        fs::set_permissions(path, Permissions::from_mode(MODE))
            .map_err(io_error("set the mode 0700 of", path))?;
    }
    Ok(())
}

/// A directory without `node.json` may hold nothing but what a founding that was cut short leaves.
fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let entry = entry.map_err(io_error("list", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let in_wal = || fs::read_dir(entry.path()).is_ok_and(|mut files| files.next().is_some());
        match name.as_str() {
            LOCK | NODE_NEW | "lost+found" => {}
            WAL if in_wal() => {
                let problem = format!("it is missing, although {WAL}/ holds a log");
                return Err(DataDirError::Damaged { path: path.join(NODE), problem });
            }
            WAL => {}
            _ => return Err(DataDirError::Foreign { path: path.to_path_buf(), found: name }),
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let name = path.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(io_error("open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirError::Locked(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &name)(source)),
    }
}

/// Makes an empty directory this node's.
fn found(path: &Path, config: &Config) -> Result<NodeFile, DataDirError> {
    let wal = path.join(WAL);
    match DirBuilder::new().mode(MODE).create(&wal) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(io_error("create", &wal)(error));
        }
        _ => sync_dir(path).map_err(io_error("sync", path))?,
    }
    let disk = random_disk_id().map_err(io_error("draw the disk id of", path))?;
    let node = NodeFile::new(config, disk);
    node.write(path)?;
    Ok(node)
}
