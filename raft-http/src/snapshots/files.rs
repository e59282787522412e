//! Where snapshots are: a directory, or for a node that keeps nothing, anonymous memory.

use super::SnapshotsError;
use crate::data_dir::sync_dir;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In this directory.
    Directory {
        /// Which.
        path: PathBuf,
        /// Whether files are synced at all.
        sync: bool,
    },
    /// Nowhere: they have no names.
    Memory,
}

/// Names what was tried, and on what, when the system refuses it.
pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotsError {
    move |source| SnapshotsError::Io { doing, path: path.to_path_buf(), source }
}

impl Place {
    /// A directory, made if it is missing.
    pub(super) fn directory(path: PathBuf, sync: bool) -> Result<Place, SnapshotsError> {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(io_error("create", &path))?;
                let parent = path.parent().unwrap_or(Path::new("."));
                sync_dir(parent).map_err(io_error("sync", parent))?;
            }
        }
        Ok(Place::Directory { path, sync })
    }

    /// A file's path, for messages too.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Place::Directory { path, .. } => path.join(name),
            Place::Memory => PathBuf::from(name),
        }
    }

    /// Whether anything is synced here.
    pub(super) fn syncs(&self) -> bool {
        matches!(self, Place::Directory { sync: true, .. })
    }

    /// An empty file, to be read as well. One of that name goes.
    pub(super) fn create(&self, name: &str) -> Result<File, SnapshotsError> {
        let path = self.path(name);
        let file = match self {
            Place::Directory { .. } => {
                // Not truncated but replaced: somebody may still be reading the old one.
                self.remove(name)?;
                OpenOptions::new().read(true).write(true).create_new(true).open(&path)
            }
            Place::Memory => memfd_create(name, MemfdFlags::CLOEXEC).map(File::from).map_err(io::Error::from),
        };
        file.map_err(io_error("create", &path))
    }

    /// Deletes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), SnapshotsError> {
        let Place::Directory { path, .. } = self else { return Ok(()) };
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(io_error("delete", &path.join(name))(error))
            }
            _ => Ok(()),
        }
    }

    /// Puts a file's bytes on stable storage.
    pub(super) fn sync(&self, file: &File, name: &str) -> Result<(), SnapshotsError> {
        if self.syncs() { file.sync_all().map_err(io_error("sync", &self.path(name))) } else { Ok(()) }
    }

    /// Gives a file that was synced its final name, durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), SnapshotsError> {
        let Place::Directory { path, .. } = self else { return Ok(()) };
        let target = path.join(to);
        fs::rename(path.join(from), &target).map_err(io_error("create", &target))?;
        self.sync_names()
    }

    /// Makes the files' names durable.
    pub(super) fn sync_names(&self) -> Result<(), SnapshotsError> {
        match self {
            Place::Directory { path, sync: true } => sync_dir(path).map_err(io_error("sync", path)),
            Place::Directory { sync: false, .. } | Place::Memory => Ok(()),
        }
    }

    /// A small file, whole or not at all.
    pub(super) fn write_durably(&self, name: &str, bytes: &[u8]) -> Result<(), SnapshotsError> {
        if matches!(self, Place::Memory) {
            return Ok(());
        }
        let new = format!("{name}.new");
        let mut file = self.create(&new)?;
        file.write_all(bytes).map_err(io_error("write to", &self.path(&new)))?;
        self.sync(&file, &new)?;
        self.rename(&new, name)
    }
}
