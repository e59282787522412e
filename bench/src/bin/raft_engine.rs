//! TiKV's raft-engine as a peer of raft-http/examples/log_speed.rs, which runs it: `raft_engine DIRECTORY`, the directory
//! being new. Each line that comes in asks for one write, with a sync; the line that goes out is how many microseconds it
//! took. `batch N`: N entries of one group. `joined N`: one entry of each of N groups, in one batch. `threads N`: the
//! same, each by a thread of its own, and the engine joins them.

use raft::eraftpb::Entry;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The payload of log_speed.rs' entries.
const PAYLOAD: usize = 256;

/// Of the engine's files; our segments are as large.
const FILE_MIB: u64 = 16;

/// How many writes each thread does one after the other; the time is that of all, divided by this.
const WRITES: u32 = 10;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// The engine, and where each group's log ends.
struct Peer {
    engine: Engine,
    last: BTreeMap<u64, u64>,
    batch: LogBatch,
}

impl Peer {
    /// The first file of a new engine is one that grows, the others are filled with zeros. So the first is filled up, and
    /// the zeros, which would be left to the first syncs, are put on the disk. Nothing is compressed, and nothing purged.
    fn open(directory: &Path) -> Result<Peer> {
        fs::create_dir(directory)?;
        let engine = Engine::open(Config {
            dir: directory.to_str().ok_or("the directory's name is no UTF-8")?.to_string(),
            target_file_size: ReadableSize::mb(FILE_MIB),
            purge_threshold: ReadableSize::mb(256),
            batch_compression_threshold: ReadableSize(0),
            enable_log_recycle: true,
            prefill_for_recycle: true,
            ..Config::default()
        })?;
        let mut batch = LogBatch::default();
        for index in 1..=FILE_MIB {
            batch.add_entries::<Entries>(0, &[entry(index, 1 << 20)])?;
            engine.write(&mut batch, true)?;
        }
        for file in fs::read_dir(directory)? {
            File::open(file?.path())?.sync_all()?;
        }
        Ok(Peer { engine, last: BTreeMap::from([(0, FILE_MIB)]), batch })
    }

    /// A group's next entries. To make them is not measured, as in log_speed.rs.
    fn entries(&mut self, group: u64, count: u64) -> Vec<Entry> {
        let last = self.last.entry(group).or_default();
        let entries = (*last + 1..=*last + count).map(|index| entry(index, PAYLOAD)).collect();
        *last += count;
        entries
    }

    fn write(&mut self, groups: &[(u64, Vec<Entry>)]) -> Result<Duration> {
        let began = Instant::now();
        for (group, entries) in groups {
            self.batch.add_entries::<Entries>(*group, entries)?;
        }
        self.engine.write(&mut self.batch, true)?;
        Ok(began.elapsed())
    }

    /// From the first thread's first write to the last one's last.
    fn threads(&mut self, count: u64) -> Result<Duration> {
        let entries: Vec<_> = (1..=count).map(|group| (group, self.entries(group, WRITES.into()))).collect();
        let (engine, ready) = (&self.engine, &Barrier::new(entries.len()));
        let write = move |group, entries: Vec<Entry>| -> Result<(Instant, Instant)> {
            let mut batch = LogBatch::default();
            ready.wait();
            let began = Instant::now();
            for entry in entries {
                batch.add_entries::<Entries>(group, &[entry])?;
                engine.write(&mut batch, true)?;
            }
            Ok((began, Instant::now()))
        };
        let times = thread::scope(|scope| {
            let threads: Vec<_> = entries
                .into_iter()
                .map(|(group, entries)| scope.spawn(move || write(group, entries)))
                .collect();
            let times = threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?);
            times.collect::<Result<Vec<_>>>()
        })?;
        let first = times.iter().map(|(began, _)| *began).min().ok_or("no threads")?;
        let last = times.iter().map(|(_, ended)| *ended).max().ok_or("no threads")?;
        Ok((last - first) / WRITES)
    }

    fn answer(&mut self, asked: &str) -> Result<Duration> {
        let (what, count) = asked.split_once(' ').ok_or("ask for a write like: batch 16")?;
        let count = count.parse()?;
        match what {
            "batch" => {
                let entries = [(0, self.entries(0, count))];
                self.write(&entries)
            }
            "joined" => {
                let entries: Vec<_> = (1..=count).map(|group| (group, self.entries(group, 1))).collect();
                self.write(&entries)
            }
            "threads" => self.threads(count),
            _ => Err(format!("there are batch, joined and threads, not {what}").into()),
        }
    }
}

fn entry(index: u64, bytes: usize) -> Entry {
    Entry { index, term: 1, data: vec![7; bytes].into(), ..Entry::default() }
}

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).ok_or("usage: raft_engine DIRECTORY")?;
    let mut peer = Peer::open(Path::new(&argument))?;
    for asked in io::stdin().lock().lines() {
        println!("{:.1}", peer.answer(&asked?)?.as_secs_f64() * 1e6);
        io::stdout().flush()?;
    }
    Ok(())
}
