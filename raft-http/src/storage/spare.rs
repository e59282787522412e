//! The next segment's file, made ahead of time in the background, so that a full segment doesn't stall the log; and one in
//! reserve, which takes its place when the disk is full: by then no client's write is begun any more, so it is for votes,
//! no-ops and configurations.

use super::{StorageError, is_full};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use tracing::warn;

const NAME: &str = "spare";
const RESERVE: &str = "reserve";

/// How much is zeroed between syncs: little enough that a sync of the log beside it does not wait long.
const CHUNK: usize = 1 << 20;

/// How much of it is written by one call. What one call writes may become one folio of the system's cache, and whenever
/// the log has put a few bytes there, a sync looks through all of the folio's blocks.
const PIECE: usize = 16 << 10;

/// A file of zeros that becomes a segment by getting its name.
#[derive(Debug)]
pub(super) struct Spare {
    path: PathBuf,
    bytes: u64,
    sync: bool,
    making: Option<JoinHandle<io::Result<()>>>,
}

impl Spare {
    /// None yet. `bytes` is the size of a segment.
    pub(super) fn new(directory: &Path, bytes: u64, sync: bool) -> Spare {
        Spare { path: directory.join(NAME), bytes, sync, making: None }
    }

    /// Whether a file of this name is a spare one.
    pub(super) fn is(name: &OsStr) -> bool {
        name == NAME || name == RESERVE
    }

    /// Removes what an earlier process may have left half made.
    pub(super) fn remove_left_over(&self) -> Result<(), StorageError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("delete", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Starts to make one in the background.
    pub(super) fn start(&mut self) {
        let (path, bytes, sync) = (self.path.clone(), self.bytes, self.sync);
        self.making = Some(std::thread::spawn(move || provide(&path, bytes, sync)));
    }

    /// Waits until it is made and gives it this name. The directory is not synced.
    pub(super) fn take(&mut self, name: &Path) -> Result<(), StorageError> {
        if self.making.is_none() {
            self.start();
        }
        let making = self.making.take().expect("it was started");
        let made =
            making.join().unwrap_or_else(|_| Err(io::Error::other("the thread that makes it panicked")));
        made.map_err(StorageError::io("make", &self.path))?;
        fs::rename(&self.path, name).map_err(StorageError::io("create", name))
    }
}

impl Drop for Spare {
    /// Leaves nothing running in the directory once its lock is gone.
    fn drop(&mut self) {
        if let Some(making) = self.making.take() {
            let _ = making.join();
        }
    }
}

/// Makes the spare file, and the one in reserve if there is none.
fn provide(path: &Path, bytes: u64, sync: bool) -> io::Result<()> {
    let reserve = path.with_file_name(RESERVE);
    // One that is shorter was left half made.
    let is_whole = |reserve: &Path| fs::metadata(reserve).is_ok_and(|file| file.len() == bytes);
    match make(path, bytes, sync) {
        Err(error) if is_full(&error) && is_whole(&reserve) => {
            warn!(file = ?path, "the disk is full: the log goes on in its reserve");
            return fs::rename(&reserve, path);
        }
        made => made?,
    }
    if is_whole(&reserve) {
        return Ok(());
    }
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    remove(&reserve)?;
    match make(&reserve, bytes, sync) {
        // The next one tries again.
        Err(error) if is_full(&error) => remove(&reserve),
        made => made,
    }
}

/// Writes the zeros out, so that a later sync has no blocks to allocate and no size to record: only bytes to put down.
fn make(path: &Path, bytes: u64, sync: bool) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut left = bytes;
    while left > 0 {
        let chunk = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        zeros[..chunk].chunks(PIECE).try_for_each(|piece| file.write_all(piece))?;
        if sync {
            file.sync_all()?;
        }
        left -= chunk as u64;
    }
    Ok(())
}
