//! The real files put to the test by `raft_kit`: at every file operation of the data directory, the log and the snapshots,
//! the power is cut, and what recovery makes of what may be left is what was promised (`docs/conformance.md`).

use crate::application::Replicated;
use crate::config::{Config, Given, GivenFrom};
use crate::data_dir::DataDir;
use crate::machine::{Command, Machine, Operation};
use crate::snapshots::{Snapshots, Stop};
use crate::storage::{Storage, StorageOptions};
use bytes::Bytes;
use raft_core::envelope::Envelope;
use raft_core::wal::Layout;
use raft_core::{Base, Entry, Fetch, Index, Persisted, Snapshot, Store, Stored, Write};
use raft_kit::{Directory, Driver, Failure, Opened, Report, Settings, recorded, run};
use serde_json::json;
use std::fmt::Display;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Small segments, so that there are many.
const OPTIONS: StorageOptions =
    StorageOptions { layout: Layout { ids_bytes: 4 << 10, data_bytes: 8 << 10 }, sync: true };

/// How many histories the ordinary run takes. `HTTPRAFT_TEST_SECONDS` asks for more, `HTTPRAFT_TEST_SEED` for others.
const SEEDS: usize = 4;

/// A node as `httpraft` opens it.
struct Node(Config);

/// Its log and its snapshots.
struct Files {
    log: Storage,
    snapshots: Snapshots,
}

fn text(error: impl Display) -> String {
    error.to_string()
}

impl Node {
    fn new() -> Node {
        let given = |key: &str, value| Given { from: GivenFrom::Flag, key: key.into(), value };
        let peers = json!(["localhost:8000", "localhost:8001", "localhost:8002"]);
        let apis = json!(["localhost:9000", "localhost:9001", "localhost:9002"]);
        Node(Config::new(0, &[given("peers", peers), given("apis", apis)]).unwrap())
    }
}

impl Driver for Node {
    type Medium = Directory;
    type State = Machine;
    type Storage = Files;

    fn open(&self, medium: &Directory) -> Result<Opened<Files>, String> {
        let data = DataDir::open(medium.path(), &self.0).map_err(text)?;
        let (log, mut recovered) = Storage::open(&data, data.identity(), OPTIONS).map_err(text)?;
        let mut snapshots = Snapshots::open(data.path(), data.cluster(), true).map_err(text)?;
        let state = snapshots.restore(&mut recovered).map_err(text)?;
        Ok(Opened { storage: Files { log, snapshots }, recovered, state, disk: data.disk() })
    }

    fn command(&self, number: u64, length: usize) -> Bytes {
        let text = Bytes::from(vec![number as u8; length]);
        let operation = match number % 3 {
            0 => Operation::Append(text),
            _ => Operation::Put { key: format!("key {}", number % 7).into(), value: text },
        };
        Envelope { time_ms: number, key: None, body: Command::One(operation).encode() }.encode()
    }

    fn apply(&self, state: &mut Machine, entry: &Entry) {
        state.apply(entry).unwrap();
    }

    fn encode(&self, state: &Machine, base: &Base) -> (Snapshot, Bytes) {
        let mut bytes = Vec::new();
        let snapshot = Replicated::write(state, base, self.0.cluster_id, &mut bytes).unwrap();
        (snapshot, bytes.into())
    }
}

impl raft_kit::Storage for Files {
    type State = Machine;

    fn persist(&mut self, writes: Vec<Write>) -> Result<Vec<Persisted>, String> {
        self.log.persist(writes).map_err(text)
    }

    fn release(&mut self, through: Index) {
        self.log.release(through);
    }

    fn idle(&mut self) -> Result<(), String> {
        self.log.idle().map_err(text)
    }

    fn capture(&mut self, base: Base, state: Machine) -> Result<Snapshot, String> {
        let captured = self.snapshots.writer(base, state, Stop::default())().map_err(text)?;
        self.snapshots.keep(captured).map_err(text)
    }

    fn store(&mut self, store: Store) -> Result<Stored, String> {
        let stored = self.snapshots.receive(store.snapshot(), store.offset(), store.data(), &Stop::default());
        let have = stored.unwrap_or_else(|_| {
            self.snapshots.drop_partial();
            0
        });
        Ok(store.stored(have))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<Machine, String> {
        self.snapshots.installed(snapshot.last());
        self.snapshots.loader(snapshot, Stop::default()).map_err(text)?().map_err(text)
    }

    fn read(&mut self, fetch: &Fetch) -> Result<Option<Bytes>, String> {
        let Some(file) = self.snapshots.file(fetch.snapshot()) else { return Ok(None) };
        let mut bytes = vec![0; fetch.length()];
        file.read_exact_at(&mut bytes, fetch.offset()).map_err(text)?;
        Ok(Some(bytes.into()))
    }
}

/// What a disk lies about, and the names of that.
type Lie = (&'static str, fn(&str) -> bool);

fn tried(media: &mut (Directory, Directory), settings: &Settings) -> Result<Report, Box<Failure>> {
    run(&Node::new(), &mut media.0, &mut media.1, settings)
}

#[test]
fn what_was_promised_survives_a_power_cut_at_any_file_operation() {
    let name = "conformance::what_was_promised_survives_a_power_cut_at_any_file_operation";
    let Some(mut media) = recorded(name) else { return };
    let number = |variable| std::env::var(variable).map_or(0, |text| text.parse().unwrap());
    let (began, time) = (Instant::now(), Duration::from_secs(number("HTTPRAFT_TEST_SECONDS")));
    for first in (number("HTTPRAFT_TEST_SEED")..).step_by(SEEDS) {
        let settings = Settings { seeds: first..first + SEEDS as u64, ..Settings::default() };
        let report = tried(&mut media, &settings).unwrap_or_else(|failure| panic!("{failure}"));
        println!("seeds {:?}, {:.0?}: {report}", settings.seeds, began.elapsed());
        if began.elapsed() >= time {
            return;
        }
    }
}

/// Every kind of sync that a promise depends on, left out, has to end in a failure.
#[test]
fn a_disk_that_lies_is_found_out() {
    let Some(mut media) = recorded("conformance::a_disk_that_lies_is_found_out") else { return };
    let lies: &[Lie] = &[
        ("the data directory", str::is_empty),
        ("node.json", |name| name == "node.json.new"),
        ("the log's directory", |name| name == "wal"),
        ("segments", |name| name.ends_with(".wal")),
        ("the snapshots' directory", |name| name == "snapshots"),
        ("captured snapshots", |name| name == "snapshots/capturing.tmp"),
        ("received snapshots", |name| name == "snapshots/receiving.part"),
    ];
    for &(about, lies) in lies {
        let settings = Settings { lies, seeds: 0..40, ..Settings::default() };
        match tried(&mut media, &settings) {
            Ok(report) => panic!("a lie about {about} was not found out: {report}"),
            Err(failure) => println!("a disk that lies about {about}: {failure}"),
        }
    }
}
