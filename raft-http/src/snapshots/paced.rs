//! Writing much beside a log that is synced all the time. A disk serves one after another, so what one sync has to put
//! down is how long the log's next sync waits; and what a disk can do is for the log first.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How much is written between two syncs.
pub(super) const PIECE: usize = 1 << 20;

/// The longest rest: a disk that hangs for a while is not paid back.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Set when the node stops: what takes long gives up.
pub(crate) type Stop = Arc<AtomicBool>;

fn stopped(stop: &Stop) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) { Err(io::Error::other("the node stops")) } else { Ok(()) }
}

/// A file that is synced piece by piece. After each it rests for as long as the piece took, so that at least half of the
/// disk's time, and of a processor's, is left.
pub(super) struct Paced<'a> {
    file: &'a File,
    sync: bool,
    stop: &'a Stop,
    unsynced: usize,
    since: Instant,
}

impl<'a> Paced<'a> {
    pub(super) fn new(file: &'a File, sync: bool, stop: &'a Stop) -> Paced<'a> {
        Paced { file, sync, stop, unsynced: 0, since: Instant::now() }
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stopped(self.stop)?;
        let written = self.file.write(&bytes[..bytes.len().min(PIECE)])?;
        self.unsynced += written;
        if self.unsynced >= PIECE {
            if self.sync {
                self.file.sync_data()?;
            }
            std::thread::sleep(self.since.elapsed().min(LONGEST_REST));
            (self.unsynced, self.since) = (0, Instant::now());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file from its beginning, whoever else reads it at the same time.
pub(crate) struct FromStart {
    file: Arc<File>,
    at: u64,
    stop: Stop,
}

impl FromStart {
    pub(crate) fn new(file: Arc<File>, stop: Stop) -> FromStart {
        FromStart { file, at: 0, stop }
    }
}

impl Read for FromStart {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        stopped(&self.stop)?;
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
