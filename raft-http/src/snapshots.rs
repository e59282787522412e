//! The snapshots of a node: `{index:016x}-{term:016x}.snap` in the data directory's `snapshots/`, and the beginning of one
//! that arrives. A file has its name only when all of it is on stable storage.

mod files;
mod paced;
mod partial;

pub(crate) use paced::{FromStart, Nowhere, Stop, after_all_others};
pub use raft_machine::snapshot::{SnapshotError, restore, write};

use crate::application::Replicated;
use crate::exit::{Code, Exit};
use crate::machine::{Machine, snapshot as format};
use files::{Place, io_error};
use paced::{PIECE, Paced};
use partial::Partial;
use raft_core::{Base, ClusterId, EntryId, Recovered, Snapshot};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the cluster's id stands in a snapshot.
const CLUSTER_AT: u64 = 16;

/// A snapshot that is being written.
const CAPTURING: &str = "capturing.tmp";

/// Why a snapshot can't be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotsError {
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
    /// A file's bytes are no snapshot that can be used here.
    #[error("{path:?}: {error}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: SnapshotError,
    },
    /// A snapshot that was stored is not there.
    #[error("the snapshot of entry {0}, which was stored here, is gone: replace this member")]
    Gone(EntryId),
    /// The log begins behind its first entry, and nothing covers what is before.
    #[error(
        "{path:?} holds no intact snapshot that the log continues, and the log begins behind entry {base}: restore the \
         snapshot from a copy, or replace this member with one on an empty data directory (the others still have \
         everything)"
    )]
    Missing {
        /// Where snapshots are.
        path: PathBuf,
        /// What the log begins behind.
        base: EntryId,
    },
}

impl From<SnapshotsError> for Exit {
    fn from(error: SnapshotsError) -> Exit {
        let code = match &error {
            SnapshotsError::Io { .. } | SnapshotsError::Unusable { error: SnapshotError::Io(_), .. } => {
                Code::Io
            }
            SnapshotsError::Unusable { error: SnapshotError::Newer { .. }, .. } => Code::Newer,
            SnapshotsError::Unusable {
                error: SnapshotError::OtherCluster { .. } | SnapshotError::OtherApplication,
                ..
            } => Code::Usage,
            SnapshotsError::Unusable { error: SnapshotError::Damaged { .. }, .. }
            | SnapshotsError::Gone(_)
            | SnapshotsError::Missing { .. } => Code::Corrupt,
        };
        Exit::new(code, error)
    }
}

/// All snapshots of a node.
#[derive(Debug)]
pub struct Snapshots {
    place: Place,
    cluster: ClusterId,
    /// Each with an open file: a transfer that has begun outlives the file's name.
    kept: BTreeMap<EntryId, (Snapshot, Arc<File>)>,
    /// The one that the state was restored from or that was captured last: the log on disk may need it.
    current: Option<EntryId>,
    /// Files that turned out to be damaged. They go with the next snapshot, not before.
    damaged: Vec<String>,
    partial: Option<Partial>,
}

/// The name of the file of a snapshot.
fn name(last: EntryId) -> String {
    format!("{:016x}-{:016x}.snap", last.index.0, last.term.0)
}

fn is_name(name: &str) -> bool {
    let digits = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ids = name.strip_suffix(".snap").and_then(|ids| ids.split_once('-'));
    ids.is_some_and(|(index, term)| digits(index) && digits(term))
}

impl Snapshots {
    /// What a data directory holds. What a crash left half written goes; what had half arrived stays.
    pub fn open(data: &Path, cluster: ClusterId, sync: bool) -> Result<Snapshots, SnapshotsError> {
        let path = data.join("snapshots");
        let place = Place::directory(path.clone(), sync)?;
        place.remove(CAPTURING)?;
        let mut snapshots = Snapshots { place, cluster, ..Snapshots::in_memory(cluster) };
        for entry in fs::read_dir(&path).map_err(io_error("list", &path))? {
            let found = entry.map_err(io_error("list", &path))?.file_name();
            match found.to_str() {
                Some(name) if is_name(name) => snapshots.find(name)?,
                Some(partial::PART | partial::ABOUT) => {}
                _ => tracing::warn!(file = ?found, directory = ?path, "no snapshot; left alone"),
            }
        }
        snapshots.partial = Partial::resume(&snapshots.place, cluster)?;
        Ok(snapshots)
    }

    /// None yet, and nothing is kept over a restart.
    pub fn in_memory(cluster: ClusterId) -> Snapshots {
        let (kept, damaged) = (BTreeMap::new(), Vec::new());
        Snapshots { place: Place::Memory, cluster, kept, current: None, damaged, partial: None }
    }

    /// The newest one and its file, for whoever wants a copy of it.
    pub(crate) fn newest(&self) -> Option<(Snapshot, Arc<File>)> {
        self.kept.values().next_back().cloned()
    }

    /// Takes a state in as a snapshot of this base.
    pub(crate) fn store(&mut self, base: Base, state: impl Replicated) -> Result<Snapshot, SnapshotsError> {
        let captured = self.writer(base, state, Stop::default())()?;
        self.keep(captured)
    }

    /// Takes a file of a snapshot's name into account.
    fn find(&mut self, name: &str) -> Result<(), SnapshotsError> {
        let path = self.place.path(name);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        match format::label(&file, self.cluster) {
            Ok(snapshot) => drop(self.kept.insert(snapshot.last(), (snapshot, Arc::new(file)))),
            Err(error @ SnapshotError::Damaged { .. }) => self.set_aside(name.to_string(), &error),
            Err(error) => return Err(SnapshotsError::Unusable { path, error }),
        }
        Ok(())
    }

    fn set_aside(&mut self, name: String, error: &SnapshotError) {
        tracing::warn!(path = ?self.place.path(&name), "a snapshot can't be used: {error}; the disk may be failing");
        self.damaged.push(name);
    }

    /// The state to begin with: that of the newest intact snapshot that the log continues, which is named in
    /// `recovered`; the empty one if the log begins with its first entry.
    ///
    /// # Errors
    /// [`SnapshotsError::Missing`] if none fits and the log begins later.
    pub fn restore<M: Replicated>(&mut self, recovered: &mut Recovered) -> Result<M, SnapshotsError> {
        while let Some(newest) = recovered.newest(self.kept.values().map(|(snapshot, _)| snapshot)).cloned() {
            let last = newest.last();
            match self.load(&newest, Stop::default()) {
                Ok(machine) => {
                    tracing::info!(%last, size = newest.size, "restored the state from a snapshot");
                    self.current = Some(last);
                    recovered.snapshot = Some(newest);
                    return Ok(machine);
                }
                Err(SnapshotsError::Unusable { error: error @ SnapshotError::Damaged { .. }, .. }) => {
                    self.kept.remove(&last);
                    self.set_aside(name(last), &error);
                }
                Err(error) => return Err(error),
            }
        }
        match recovered.base.as_ref().map(|base| base.id).filter(|base| *base > EntryId::ORIGIN) {
            Some(base) => Err(SnapshotsError::Missing { path: self.place.path(""), base }),
            None => Ok(M::default()),
        }
    }

    /// How to read a snapshot's state; [`SnapshotsError::Gone`] if it is not there.
    pub(crate) fn loader<M: Replicated>(
        &self,
        snapshot: &Snapshot,
        stop: Stop,
    ) -> Result<impl FnOnce() -> Result<M, SnapshotsError> + Send + use<M>, SnapshotsError> {
        let last = snapshot.last();
        let (label, file) = self.kept.get(&last).ok_or(SnapshotsError::Gone(last))?;
        let (label, cluster, path) = (label.clone(), self.cluster, self.place.path(&name(last)));
        let input = BufReader::with_capacity(PIECE, FromStart::new(file.clone(), stop));
        Ok(move || {
            let unusable = |error| SnapshotsError::Unusable { path, error };
            match M::restore(input, cluster) {
                Ok((found, machine)) if found == label => Ok(machine),
                Ok(_) => Err(unusable(SnapshotError::Damaged { at: 0, what: "it is another snapshot" })),
                Err(error) => Err(unusable(error)),
            }
        })
    }

    fn load<M: Replicated>(&self, snapshot: &Snapshot, stop: Stop) -> Result<M, SnapshotsError> {
        self.loader(snapshot, stop)?()
    }

    /// The state is now that of this snapshot, and so is the log.
    pub(crate) fn installed(&mut self, last: EntryId) {
        self.current = Some(last);
    }

    /// How to write a frozen state, beside everything else that goes on; then [`Snapshots::keep`] it.
    pub(crate) fn writer<M: Replicated>(
        &self,
        base: Base,
        state: M,
        stop: Stop,
    ) -> impl FnOnce() -> Result<Captured, SnapshotsError> + Send + use<M> {
        let (place, cluster) = (self.place.clone(), self.cluster);
        move || {
            let path = place.path(CAPTURING);
            let file = place.create(CAPTURING)?;
            let mut out = BufWriter::with_capacity(PIECE, Paced::new(&file, place.syncs(), &stop));
            let written = state.write(&base, cluster, &mut out);
            let flushed = written.and_then(|snapshot| out.flush().map(|()| snapshot));
            // What it holds of the buffer is of no use after an error, and must not be written at the end of the scope.
            let (_, _) = out.into_parts();
            let snapshot = flushed.map_err(io_error("write to", &path));
            let snapshot = snapshot.and_then(|snapshot| place.sync(&file, CAPTURING).map(|()| snapshot));
            if snapshot.is_err() {
                // A full disk needs the room.
                let _ = place.remove(CAPTURING);
            }
            Ok(Captured { snapshot: snapshot?, file })
        }
    }

    /// Gives a captured snapshot its name, and deletes the ones that nobody needs any more.
    pub(crate) fn keep(&mut self, captured: Captured) -> Result<Snapshot, SnapshotsError> {
        let Captured { snapshot, file } = captured;
        self.name(CAPTURING, snapshot.last())?;
        // A later one may have been installed while this one was written.
        self.current = self.current.max(Some(snapshot.last()));
        self.kept.insert(snapshot.last(), (snapshot.clone(), Arc::new(file)));
        self.prune();
        Ok(snapshot)
    }

    /// Gives a file the name of a snapshot: also in the place of a damaged one, which must not be deleted then.
    fn name(&mut self, file: &str, last: EntryId) -> Result<(), SnapshotsError> {
        let name = name(last);
        self.place.rename(file, &name)?;
        self.damaged.retain(|damaged| *damaged != name);
        Ok(())
    }

    /// The current snapshot stays, the newest one before it, and the newest one behind it, which has arrived and is not
    /// installed yet. What can't be deleted is tried again with the next.
    fn prune(&mut self) {
        let Some(current) = self.current else { return };
        let before = self.kept.range(..current).rev().skip(1).map(|(last, _)| *last);
        let behind = self.kept.keys().rev().take_while(|last| **last > current).skip(1).copied();
        let old: Vec<EntryId> = before.chain(behind).collect();
        self.kept.retain(|last, _| !old.contains(last));
        self.damaged.extend(old.into_iter().map(name));
        let place = &self.place;
        self.damaged.retain(|name| {
            let deleted = place.remove(name);
            deleted.inspect_err(|error| tracing::warn!("an old snapshot stays: {error}")).is_err()
        });
    }

    /// The open file of a snapshot, for a transfer that may outlive its name.
    pub(crate) fn file(&self, snapshot: &Snapshot) -> Option<Arc<File>> {
        self.kept.get(&snapshot.last()).filter(|(label, _)| label == snapshot).map(|(_, file)| file.clone())
    }

    /// Stores a part of a snapshot that arrives and says up to where it is here now: all of it only once it is whole,
    /// intact and on stable storage under its name.
    pub(crate) fn receive(
        &mut self,
        snapshot: &Snapshot,
        offset: u64,
        data: &[u8],
        stop: &Stop,
    ) -> Result<u64, SnapshotsError> {
        if self.kept.get(&snapshot.last()).is_some_and(|(kept, _)| kept == snapshot) {
            return Ok(snapshot.size);
        }
        let mut partial = match self.partial.take().filter(|partial| partial.snapshot() == snapshot) {
            Some(partial) => partial,
            None => Partial::begin(&self.place, snapshot)?,
        };
        partial.store(&self.place, offset, data)?;
        let have = partial.have();
        if have < snapshot.size {
            self.partial = Some(partial);
            return Ok(have);
        }
        self.complete(partial, stop)
    }

    /// Verifies what has arrived as a whole, and gives it its name.
    fn complete(&mut self, partial: Partial, stop: &Stop) -> Result<u64, SnapshotsError> {
        let file = partial.file();
        self.place.sync(&file, partial::PART)?;
        let input = BufReader::with_capacity(PIECE, FromStart::new(file.clone(), stop.clone()));
        let unusable = |error| SnapshotsError::Unusable { path: self.place.path(partial::PART), error };
        let found = format::verify(input, self.cluster).map_err(unusable)?;
        if found != *partial.snapshot() {
            return Err(unusable(SnapshotError::Damaged { at: 0, what: "it is not what was announced" }));
        }
        self.name(partial::PART, found.last())?;
        self.place.remove(partial::ABOUT)?;
        let size = found.size;
        self.kept.insert(found.last(), (found, file));
        self.prune();
        Ok(size)
    }

    /// Gives up what has arrived of a snapshot.
    pub(crate) fn drop_partial(&mut self) {
        self.partial = None;
        for name in [partial::ABOUT, partial::PART] {
            if let Err(error) = self.place.remove(name) {
                tracing::warn!("a part of a snapshot stays: {error}");
            }
        }
    }
}

/// What a file outside of any data directory holds: a copy of a snapshot, of whichever cluster.
pub fn read_copy(path: &Path) -> Result<(ClusterId, Snapshot, Machine), SnapshotsError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    // The cluster's id stands there in every version of the format; the rest is checked against it.
    let mut id = [0; 8];
    file.read_exact_at(&mut id, CLUSTER_AT).map_err(io_error("read", path))?;
    let cluster = ClusterId(u64::from_le_bytes(id));
    let restored = restore(BufReader::with_capacity(PIECE, file), cluster);
    let (snapshot, machine) =
        restored.map_err(|error| SnapshotsError::Unusable { path: path.to_path_buf(), error })?;
    Ok((cluster, snapshot, machine))
}

/// A snapshot that is on stable storage, and has no name yet.
#[derive(Debug)]
pub(crate) struct Captured {
    snapshot: Snapshot,
    file: File,
}

#[cfg(test)]
mod tests;
