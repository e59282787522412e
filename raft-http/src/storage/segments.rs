//! The segment files: `{segment:016x}.wal` in the data directory's `wal/`.

use super::spare::Spare;
use super::{StorageError, StorageOptions};
use crate::data_dir::sync_dir;
use bytes::Bytes;
use raft_core::wal::Op;
use rustix::fs::{Advice, fadvise};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The files of one log.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    sync: bool,
    bytes: usize,
    spare: Spare,
    /// The files that were written to since the last sync, and the newest one, which is the next to be written to.
    open: BTreeMap<u64, OpenSegment>,
    last_sync: Duration,
}

#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    file: File,
    dirty: bool,
}

impl Segments {
    /// The files in this directory, nothing read yet.
    pub(super) fn new(directory: PathBuf, options: StorageOptions) -> Segments {
        let bytes = options.layout.segment_bytes();
        let spare = Spare::new(&directory, bytes, options.sync);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Segments {
            directory,
            sync: options.sync,
            bytes,
            spare,
            open: BTreeMap::new(),
            last_sync: Duration::ZERO,
        }
    }

    /// How many bytes a new segment has.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The numbers of all segments on the disk, in order.
    pub(super) fn list(&self) -> Result<Vec<u64>, StorageError> {
        let mut found = Vec::new();
        let listing = |error| StorageError::io("list", &self.directory)(error);
        for entry in fs::read_dir(&self.directory).map_err(listing)? {
            let name = entry.map_err(listing)?.file_name();
            match name.to_str().and_then(number) {
                Some(segment) => found.push(segment),
                None if Spare::is(&name) => {}
                None => {
                    tracing::warn!(file = ?name, directory = ?self.directory, "not a file of the log; left alone")
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Reads all segments, in order, as they are on the disk.
    pub(super) fn read(&self) -> Result<Vec<(u64, Bytes)>, StorageError> {
        let found = self.list()?;
        self.sync_directory()?;
        let read = |segment| {
            let path = self.path(segment);
            let bytes = read_stable(&path, self.sync).map_err(StorageError::io("read", &path))?;
            Ok((segment, Bytes::from(bytes)))
        };
        found.into_iter().map(read).collect()
    }

    /// Deletes these segments.
    pub(super) fn delete(&mut self, segments: Vec<u64>) -> Result<(), StorageError> {
        for segment in &segments {
            let path = self.path(*segment);
            fs::remove_file(&path).map_err(StorageError::io("delete", &path))?;
        }
        if segments.is_empty() { Ok(()) } else { self.sync_directory() }
    }

    /// Starts to make the first spare segment.
    pub(super) fn prepare(&mut self) -> Result<(), StorageError> {
        self.spare.remove_left_over()?;
        self.spare.start();
        Ok(())
    }

    /// Creates and writes, without a sync of what is written.
    pub(super) fn carry_out(&mut self, ops: Vec<Op>) -> Result<(), StorageError> {
        let mut puts: BTreeMap<u64, Vec<(u64, Bytes)>> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Create { segment } => self.create(segment)?,
                Op::Put { segment, at, bytes } => puts.entry(segment).or_default().push((at, bytes)),
            }
        }
        for (segment, mut puts) in puts {
            // Records go to two regions in turn; sorted, each region's stand side by side. Nothing is put twice.
            puts.sort_by_key(|(at, _)| *at);
            let path = self.path(segment);
            let open = self.open(segment)?;
            for run in puts.chunk_by(|(at, bytes), (next, _)| at + bytes.len() as u64 == *next) {
                write_run(&open.file, run).map_err(StorageError::io("write to", &path))?;
            }
            open.dirty = true;
        }
        Ok(())
    }

    /// Puts all that was written on stable storage.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        let began = Instant::now();
        for open in self.open.values_mut().filter(|open| open.dirty) {
            if self.sync {
                open.file.sync_data().map_err(StorageError::io("sync", &open.path))?;
            }
            open.dirty = false;
        }
        self.last_sync = began.elapsed();
        if let Some(newest) = self.open.keys().next_back().copied() {
            self.open.retain(|segment, _| *segment == newest);
        }
        Ok(())
    }

    /// How long that took, the last time.
    pub(super) fn last_sync(&self) -> Duration {
        self.last_sync
    }

    fn create(&mut self, segment: u64) -> Result<(), StorageError> {
        let path = self.path(segment);
        self.spare.take(&path)?;
        self.sync_directory()?;
        self.spare.start();
        Ok(())
    }

    fn open(&mut self, segment: u64) -> Result<&mut OpenSegment, StorageError> {
        use std::collections::btree_map::Entry;
        let path = self.path(segment);
        Ok(match self.open.entry(segment) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let file =
                    OpenOptions::new().write(true).open(&path).map_err(StorageError::io("open", &path))?;
                place.insert(OpenSegment { path, file, dirty: false })
            }
        })
    }

    fn sync_directory(&self) -> Result<(), StorageError> {
        if self.sync {
            sync_dir(&self.directory).map_err(StorageError::io("sync", &self.directory))?;
        }
        Ok(())
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:016x}.wal"))
    }
}

/// The number of the segment in a file of this name.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let canonical =
        digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Reads what is on the disk, and not what the system only has in memory: what an earlier process wrote and didn't
/// sync, or couldn't. After a failed sync, such pages count as clean.
fn read_stable(path: &Path, sync: bool) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if sync {
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes adjacent pieces with as few calls as the system allows.
fn write_run(mut file: &File, run: &[(u64, Bytes)]) -> io::Result<()> {
    let Some((at, _)) = run.first() else { return Ok(()) };
    file.seek(SeekFrom::Start(*at))?;
    let mut slices: Vec<IoSlice<'_>> = run.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
    let mut rest: &mut [IoSlice<'_>] = &mut slices;
    // Removes empty pieces at the front, or a write of nothing would look like a full disk.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            // Nothing was written: this is not a failure.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
