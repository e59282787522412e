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

/// A capture is not urgent, and the leader's disk is the one that writes wait for: a third of its time at most.
const CAPTURE_RESTS: u32 = 2;

/// The longest rest: a disk that hangs for a while is not paid back.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Set when the node stops: what takes long gives up.
pub(crate) type Stop = Arc<AtomicBool>;

fn stopped(stop: &Stop) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) { Err(io::Error::other("the node stops")) } else { Ok(()) }
}

/// Takes bytes of which only the digest matters, until the node stops.
pub(crate) struct Nowhere(Stop);

impl Nowhere {
    pub(crate) fn new(stop: Stop) -> Nowhere {
        Nowhere(stop)
    }
}

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stopped(&self.0).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes this thread the last to get a processor: it has time, and those who serve clients have none. In vain is no harm.
pub(crate) fn after_all_others() {
    let _ = rustix::process::nice(10);
}

/// Counts what is written, and what it took.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many times longer it rests than it works.
    rests: u32,
    bytes: usize,
    took: Duration,
}

impl Pace {
    pub(super) fn new(rests: u32) -> Pace {
        Pace { rests, bytes: 0, took: Duration::ZERO }
    }

    /// So much was written since then. After each piece it syncs, and then rests.
    pub(super) fn written<E>(
        &mut self,
        bytes: usize,
        since: Instant,
        sync: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes += bytes;
        if self.bytes < PIECE {
            self.took += since.elapsed();
            return Ok(());
        }
        sync()?;
        std::thread::sleep((self.rests * (self.took + since.elapsed())).min(LONGEST_REST));
        *self = Pace::new(self.rests);
        Ok(())
    }
}

/// A file that is written piece by piece.
pub(super) struct Paced<'a> {
    file: &'a File,
    sync: bool,
    stop: &'a Stop,
    pace: Pace,
}

impl<'a> Paced<'a> {
    pub(super) fn new(file: &'a File, sync: bool, stop: &'a Stop) -> Paced<'a> {
        Paced { file, sync, stop, pace: Pace::new(CAPTURE_RESTS) }
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stopped(self.stop)?;
        let began = Instant::now();
        let written = self.file.write(&bytes[..bytes.len().min(PIECE)])?;
        let (file, sync) = (self.file, self.sync);
        self.pace.written(written, began, || if sync { file.sync_data() } else { Ok(()) })?;
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
