//! The log on stable storage: [`raft_core::wal`] on real files. One caller, one thread; the disk never waits for
//! anything here but the disk.

mod segments;
mod spare;

use crate::data_dir::{DataDir, DataDirError, LogBegun};
use crate::exit::{Code, Exit};
use raft_core::wal::{self, Identity, Layout, Op, Recovery, Refusal, Sequence, TooLarge, Wal};
use raft_core::{Base, Entry, HardState, Index, Persisted, Recovered, Update, Write};
use segments::Segments;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many segments are no reason to do anything about them.
const SCATTERED: usize = 8;

/// How the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct StorageOptions {
    /// How large new segments are.
    pub layout: Layout,
    /// Whether to sync at all; `false` breaks what an acknowledgement promises.
    pub sync: bool,
}

impl Default for StorageOptions {
    fn default() -> StorageOptions {
        StorageOptions { layout: Layout::default(), sync: true }
    }
}

/// Where a node's writes go.
#[derive(Debug)]
pub enum Storage {
    /// Into the segment files of a data directory.
    Files(Box<Files>),
    /// Nowhere.
    Memory,
}

/// The log of an open data directory.
#[derive(Debug)]
pub struct Files {
    wal: Wal,
    segments: Segments,
    /// How many segments with a part of the log the start found.
    found: usize,
    /// Segments that recovery had no use for. They go after the first sync, when the log stands without them.
    discard: Vec<u64>,
    begun: LogBegun,
    /// A write or a sync failed: what is on the disk is not known any more.
    failed: bool,
}

/// Why a log can't be opened or written. Final: after an error of [`Storage::persist`] or [`Storage::idle`] nothing
/// more may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file operation failed. It is not tried again: after a failed sync the system may have dropped what it could
    /// not write, and a second sync would succeed without it.
    #[error("can't {doing} {path:?}: {source}; the node stops, because it can't know what is on the disk")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room.
    #[error("the disk is full: can't {doing} {path:?}: {source}; make room and start the node again")]
    Full {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write or sync failed.
    #[error("an earlier write to the log failed, and nothing is written after that")]
    Failed,
    /// What the segments hold can't be used.
    #[error("{path:?}: {refusal}")]
    Refused {
        /// The log's directory.
        path: PathBuf,
        /// Why, and what to do.
        refusal: Refusal,
    },
    /// There is nothing of a log, but it was begun.
    #[error(
        "{0:?} holds no log, although this node has run on it before: restore it from a copy, or replace this \
         member with one on an empty data directory (starting it empty could lose what it acknowledged)"
    )]
    Missing(PathBuf),
    /// One record is larger than a segment.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// The data directory failed.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl StorageError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        move |source| {
            let path = path.to_path_buf();
            if is_full(&source) {
                StorageError::Full { doing, path, source }
            } else {
                StorageError::Io { doing, path, source }
            }
        }
    }
}

/// Whether there is no room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<StorageError> for Exit {
    fn from(error: StorageError) -> Exit {
        let code = match error {
            StorageError::DataDir(error) => return error.into(),
            StorageError::Io { .. } | StorageError::Full { .. } | StorageError::Failed => Code::Io,
            StorageError::Missing(_) => Code::Corrupt,
            StorageError::TooLarge(_) => Code::Failed,
            StorageError::Refused { ref refusal, .. } => match refusal {
                Refusal::NewerFormat { .. } => Code::Newer,
                Refusal::WrongCluster { .. } | Refusal::WrongNode { .. } | Refusal::WrongDisk { .. } => {
                    Code::Usage
                }
                _ => Code::Corrupt,
            },
        };
        Exit::new(code, error)
    }
}

impl Storage {
    /// Recovers what the data directory's log holds and opens it for writing. What a crash left incomplete is cut;
    /// damage that no crash explains is refused, and nothing is changed.
    pub fn open(
        data: &DataDir,
        identity: Identity,
        options: StorageOptions,
    ) -> Result<(Storage, Recovered), StorageError> {
        let mut segments = Segments::new(data.wal(), options);
        let mut begun = data.log_begun()?;
        let recovery = recover(data, identity, &segments, options.layout, &begun)?;
        if recovery.recovered != Recovered::default() {
            begun.set()?;
        }
        if let Some(cut) = &recovery.cut {
            tracing::info!("{cut}");
        }
        for place in &recovery.mended {
            tracing::warn!(
                "the disk decays: {place} is damaged, and its copy elsewhere was used; replace the disk"
            );
        }
        for (id, place) in &recovery.decayed {
            tracing::warn!(
                "the disk decays: the command of entry {id} is lost ({place}); it is asked of the other members, and until \
                 it is here this node takes and acknowledges nothing behind it; replace the disk"
            );
        }
        segments.prepare()?;
        let found = segments.list()?.len().saturating_sub(recovery.discard.len());
        let files =
            Files { wal: recovery.wal, segments, found, discard: recovery.discard, begun, failed: false };
        Ok((Storage::Files(Box::new(files)), recovery.recovered))
    }

    /// What the data directory's log holds, changing nothing. What [`Storage::open`] refuses is refused.
    pub fn inspect(data: &DataDir) -> Result<Recovery, StorageError> {
        let options = StorageOptions::default();
        let segments = Segments::new(data.wal(), options);
        recover(data, data.identity(), &segments, options.layout, &data.log_begun()?)
    }

    /// Begins the log of an empty data directory behind this base, which a snapshot covers.
    pub fn begin(data: &DataDir, hard: HardState, base: Base) -> Result<(), StorageError> {
        let (mut storage, recovered) = Storage::open(data, data.identity(), StorageOptions::default())?;
        assert_eq!(recovered, Recovered::default(), "the directory was made for this");
        let update = Update { hard: Some(hard), base: Some(base), ..Update::default() };
        if let Storage::Files(files) = &mut storage {
            files.store([&update].into_iter())?;
        }
        storage.idle()
    }

    /// Keeps nothing: every start is on an empty disk.
    pub fn in_memory() -> (Storage, Recovered) {
        (Storage::Memory, Recovered::default())
    }

    /// Puts all writes on stable storage with one sync and gives their receipts, in order.
    ///
    /// # Errors
    /// Any error is final: nothing of these writes may be acknowledged, and the process must exit with the error's
    /// code.
    pub fn persist(&mut self, writes: Vec<Write>) -> Result<Vec<Persisted>, StorageError> {
        if let Storage::Files(files) = self {
            files.store(writes.iter().map(Write::update))?;
        }
        Ok(writes.into_iter().map(Write::persisted).collect())
    }

    /// The application has a snapshot through this index on stable storage, so the log need not keep the entries up to
    /// there any more. Segments are deleted by a later [`Storage::persist`]: a new segment has to say first that the
    /// log does without them. Each start opens one with its first write, so the snapshot that a start finds is best
    /// named before that.
    pub fn release(&mut self, through: Index) {
        if let Storage::Files(files) = self {
            files.wal.release(through);
        }
    }

    /// Whether a log with these entries is spread over far more segments than it fills: each start begins one, and only what
    /// a snapshot covers can go.
    pub(crate) fn is_scattered(&self, recovered: &Recovered) -> bool {
        let Storage::Files(files) = self else { return false };
        let bytes: usize = recovered.entries.iter().map(Entry::size).sum();
        files.found > SCATTERED + 2 * bytes / files.segments.bytes()
    }

    /// How long the last sync took that put something on the disk.
    pub fn last_sync(&self) -> Duration {
        match self {
            Storage::Files(files) => files.segments.last_sync(),
            Storage::Memory => Duration::ZERO,
        }
    }

    /// To be called when nothing has been written for a while: puts on record that the newest writes were synced, so
    /// that damage to them can be told from a crash.
    ///
    /// # Errors
    /// As [`Storage::persist`].
    pub fn idle(&mut self) -> Result<(), StorageError> {
        match self {
            Storage::Files(files) => files.mark(),
            Storage::Memory => Ok(()),
        }
    }
}

/// What is in the segments. A log that was begun holds something.
fn recover(
    data: &DataDir,
    identity: Identity,
    segments: &Segments,
    layout: Layout,
    begun: &LogBegun,
) -> Result<Recovery, StorageError> {
    let missing = || StorageError::Missing(data.wal());
    let found = match segments.read() {
        // A data directory has it from the first moment on.
        Err(StorageError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && !data.wal().exists() =>
        {
            return Err(missing());
        }
        found => found?,
    };
    let recovery = wal::recover(identity, layout, found)
        .map_err(|refusal| StorageError::Refused { path: data.wal(), refusal })?;
    // No segment, or none that says whose it is: to the log itself that looks like a new directory.
    let lost = recovery.recovered == Recovered::default() && begun.is();
    if lost { Err(missing()) } else { Ok(recovery) }
}

impl Files {
    /// Stores all updates with one sync.
    fn store<'a>(&mut self, updates: impl Iterator<Item = &'a Update>) -> Result<(), StorageError> {
        let mut ops = Vec::new();
        let mut last = None;
        for update in updates {
            last = Some(self.wal.append(update, &mut ops).map_err(StorageError::TooLarge)?);
        }
        self.carry_out(ops, last)
    }

    fn mark(&mut self) -> Result<(), StorageError> {
        let mut ops = Vec::new();
        let mark = self.wal.mark(&mut ops);
        self.carry_out(ops, mark)
    }

    /// Carries out the operations and syncs every file that they touched. Once something has failed, always fails.
    fn carry_out(&mut self, ops: Vec<Op>, through: Option<Sequence>) -> Result<(), StorageError> {
        let Some(through) = through else { return Ok(()) };
        if self.failed {
            return Err(StorageError::Failed);
        }
        self.failed = true;
        self.segments.carry_out(ops)?;
        self.segments.sync()?;
        self.begun.set()?;
        let mut unneeded = std::mem::take(&mut self.discard);
        unneeded.extend(self.wal.synced(through));
        self.segments.delete(unneeded)?;
        self.failed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
