//! What was acknowledged is there again, whatever a crash does to the files; what a disk loses is refused.

mod compaction;

use super::*;
use crate::config::{Config, Given, GivenFrom};
use crate::data_dir::DataDir;
use bytes::Bytes;
use raft_core::{Base, Boot, Entry, EntryId, HardState, Index, Membership, NodeId, Payload, Term};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Command, Stdio};

/// Small enough that every test goes through several segments.
const SMALL: StorageOptions =
    StorageOptions { layout: Layout { ids_bytes: 4 << 10, data_bytes: 8 << 10 }, sync: true };

fn config() -> Config {
    let list = |key: &str, value| Given { from: GivenFrom::Flag, key: key.into(), value };
    let given = [list("peers", json!(["localhost:8000"])), list("apis", json!(["localhost:9000"]))];
    Config::new(0, &given).unwrap()
}

fn try_open(directory: &Path) -> Result<(Box<Files>, Recovered), StorageError> {
    let data = loop {
        match DataDir::open(directory, &config()) {
            // Another test starts a process: until that runs its own program, it shares all that is open here.
            Err(DataDirError::Locked(_)) => std::thread::yield_now(),
            other => break other?,
        }
    };
    match Storage::open(&data, data.identity(), SMALL)? {
        (Storage::Files(files), recovered) => Ok((files, recovered)),
        (Storage::Memory, _) => panic!("a directory was opened"),
    }
}

fn open(directory: &Path) -> (Box<Files>, Recovered) {
    try_open(directory).unwrap()
}

/// A node's writes: pseudo-random, and what they leave.
struct Story {
    state: u64,
    expected: Recovered,
}

impl Story {
    fn new(seed: u64) -> Story {
        Story { state: seed, expected: Recovered::default() }
    }

    /// Goes on from what was recovered.
    fn on(recovered: Recovered, seed: u64) -> Story {
        Story { state: seed, expected: recovered }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = raft_core::hash::chain(self.state, &[bound]);
        self.state % bound
    }

    fn last(&self) -> EntryId {
        let base = self.expected.base.as_ref().map_or(EntryId::ORIGIN, |base| base.id);
        self.expected.entries.last().map_or(base, Entry::id)
    }

    /// The next write.
    fn next(&mut self) -> Update {
        let mut update = Update::default();
        if self.expected.base.is_none() {
            let membership = Membership::founders([NodeId(0)]).unwrap();
            update.base = Some(Base { id: EntryId::ORIGIN, hash: 0, membership });
        }
        let hard = self.expected.hard;
        if hard.boot == Boot(0) || self.below(4) == 0 {
            let vote = (self.below(2) == 0).then_some(NodeId(0));
            update.hard = Some(HardState { term: hard.term.next(), vote, boot: Boot(hard.boot.0 + 1) });
        }
        let mut last = self.last();
        if !self.expected.entries.is_empty() && self.below(8) == 0 {
            let back = self.below(self.expected.entries.len().min(5) as u64) + 1;
            last = EntryId { index: Index(last.index.0 - back), ..last };
            update.keep = Some(last.index);
        }
        let term = update.hard.unwrap_or(hard).term;
        for _ in 0..self.below(4) + u64::from(update.hard.is_none()) {
            last = EntryId { term, index: last.index.next() };
            let length = self.below(900) as usize;
            update
                .entries
                .push(Entry::new(last, Payload::Command(Bytes::from(vec![self.state as u8; length]))));
        }
        self.take(&update);
        update
    }

    /// What the write does to the log.
    fn take(&mut self, update: &Update) {
        let log = &mut self.expected;
        log.hard = update.hard.unwrap_or(log.hard);
        if update.base.is_some() {
            log.base = update.base.clone();
            log.entries.clear();
        }
        if let Some(keep) = update.keep {
            log.entries.retain(|entry| entry.index() <= keep);
        }
        log.entries.extend(update.entries.iter().cloned());
    }
}

/// All files of a directory tree with their bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn put_back(files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn what_was_stored_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(1);
    for boot in 0..20 {
        let (mut files, recovered) = open(directory.path());
        assert_eq!(recovered, story.expected, "start {boot}");
        for _ in 0..10 {
            let batch: Vec<Update> = (0..story.below(4)).map(|_| story.next()).collect();
            files.store(batch.iter()).unwrap();
            if story.below(5) == 0 {
                files.mark().unwrap();
            }
        }
    }
    assert!(fs::read_dir(directory.path().join("wal")).unwrap().count() > 10, "there are many segments");
}

/// A power cut takes any sectors of the batch that was not synced yet: all or nothing of each write is left, in order,
/// and everything before it.
#[test]
fn what_a_crash_tears_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(2);
    let (mut whole, mut cut) = (0, 0);
    for _ in 0..60 {
        let (mut log, recovered) = open(directory.path());
        assert_eq!(recovered, story.expected);
        let before_it = story.next();
        log.store([&before_it].into_iter()).unwrap();
        let before = files(directory.path());
        let mut allowed = vec![story.expected.clone()];
        let batch: Vec<Update> = (0..=story.below(3))
            .map(|_| {
                let update = story.next();
                allowed.push(story.expected.clone());
                update
            })
            .collect();
        log.store(batch.iter()).unwrap();
        drop(log);
        let mut torn = files(directory.path());
        for (path, bytes) in &mut torn {
            let zeros = vec![0; bytes.len()];
            let old = before.get(path).unwrap_or(&zeros);
            for (new, old) in bytes.chunks_mut(512).zip(old.chunks(512)) {
                if path.extension().is_some_and(|name| name == "wal") && new != old && story.below(4) == 0 {
                    new.copy_from_slice(old);
                }
            }
        }
        put_back(&torn);
        let (_, recovered) = open(directory.path());
        assert!(allowed.contains(&recovered), "a state between two writes");
        if allowed.last() == Some(&recovered) {
            whole += 1
        } else {
            cut += 1
        }
        story = Story::on(recovered, story.state);
    }
    assert!(whole > 5 && cut > 5, "both were seen: {whole} whole, {cut} cut");
}

#[test]
fn rubbish_at_the_end_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(3);
    let (mut log, _) = open(directory.path());
    for _ in 0..5 {
        let update = story.next();
        log.store([&update].into_iter()).unwrap();
    }
    drop(log);
    let newest = files(directory.path())
        .into_keys()
        .rfind(|path| path.extension().is_some_and(|name| name == "wal"))
        .unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end + 64..].fill(0xa5);
    fs::write(&newest, bytes).unwrap();
    assert_eq!(open(directory.path()).1, story.expected);
}

#[test]
fn a_lost_command_is_named_and_anything_else_that_decays_is_refused_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    let mut story = Story::new(4);
    let mut update = story.next();
    let rare = Bytes::from_static(b"the only command with these words in it");
    let id = EntryId { term: Term(1), index: story.last().index.next() };
    update.entries.push(Entry::new(id, Payload::Command(rare.clone())));
    log.store([&update].into_iter()).unwrap();
    log.mark().unwrap();
    drop(log);

    let mut rotten = files(directory.path());
    rotten.retain(|path, _| path.extension().is_some_and(|name| name == "wal"));
    let place = |bytes: &Vec<u8>| bytes.windows(rare.len()).position(|window| window == rare.as_ref());
    let (bytes, at) = rotten.values_mut().find_map(|bytes| place(bytes).map(|at| (bytes, at))).unwrap();
    bytes[at] ^= 1;
    put_back(&rotten);
    let before = files(directory.path());
    let (log, recovered) = open(directory.path());
    let lost = recovered.entries.iter().find(|entry| entry.is_decayed()).unwrap();
    assert_eq!((lost.id(), lost.size()), (id, rare.len()));
    drop(log);
    put_back(&before);
    // Both copies of the record's head, by the id and the hash that stand in them.
    let head = [id.index.0.to_le_bytes(), id.term.0.to_le_bytes()].concat();
    let mut rotten = before.clone();
    rotten.retain(|path, _| path.extension().is_some_and(|name| name == "wal"));
    let mut heads = 0;
    for bytes in rotten.values_mut() {
        for at in (0..bytes.len() - 104).step_by(8) {
            if bytes[at..].starts_with(b"RREC") && bytes[at + 48..].starts_with(&head) {
                bytes[at] ^= 1;
                heads += 1;
            }
        }
    }
    assert_eq!(heads, 2);
    put_back(&rotten);
    let before = files(directory.path());
    let error = try_open(directory.path()).unwrap_err();
    assert!(matches!(error, StorageError::Refused { refusal: Refusal::Decay(_), .. }), "{error}");
    let exit = Exit::from(error);
    assert_eq!(exit.code, Code::Corrupt);
    assert!(exit.line.contains(".wal at byte"), "{}", exit.line);
    assert!(files(directory.path()) == before, "nothing was changed");
}

#[test]
fn a_lost_log_is_no_new_node() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    log.store([&Story::new(5).next()].into_iter()).unwrap();
    drop(log);
    let assert_refused = || {
        let exit = Exit::from(try_open(directory.path()).unwrap_err());
        assert_eq!(exit.code, Code::Corrupt, "{}", exit.line);
    };
    let wal = directory.path().join("wal");
    for (path, bytes) in files(&wal) {
        fs::write(path, vec![0; bytes.len()]).unwrap();
    }
    assert_refused();
    for (path, _) in files(&wal) {
        fs::remove_file(path).unwrap();
    }
    assert_refused();
}

#[test]
fn a_failure_is_final() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(6);
    let (mut log, _) = open(directory.path());
    let mut acknowledged = Recovered::default();
    let hidden = directory.path().join("hidden");
    fs::rename(directory.path().join("wal"), &hidden).unwrap();
    let error = loop {
        let update = story.next();
        match log.store([&update].into_iter()) {
            Ok(()) => acknowledged = story.expected.clone(),
            Err(error) => break error,
        }
    };
    assert_eq!(Exit::from(error).code, Code::Io);
    fs::rename(&hidden, directory.path().join("wal")).unwrap();
    let again = log.store([&story.next()].into_iter()).unwrap_err();
    assert!(
        matches!(again, StorageError::Failed),
        "the disk is back, and still nothing is acknowledged: {again}"
    );
    drop(log);
    assert_eq!(open(directory.path()).1, acknowledged);
}

/// Not a test by itself: the process that [`a_killed_process_loses_nothing_acknowledged`] kills. Says on standard
/// output which index is acknowledged.
#[test]
#[ignore = "run by another test"]
fn process_to_be_killed() {
    let Ok(directory) = std::env::var("KILLED_DIRECTORY") else { return };
    let (mut log, recovered) = open(Path::new(&directory));
    let mut story = Story::on(recovered, 7);
    let mut out = std::io::stdout();
    loop {
        let updates: Vec<Update> = (0..3)
            .map(|_| {
                let id = EntryId { term: Term(1), index: story.last().index.next() };
                let text = format!("entry {} {}", id.index, "x".repeat(id.index.0 as usize % 700));
                let entry = Entry::new(id, Payload::Command(Bytes::from(text)));
                let update = Update { entries: vec![entry], ..Update::default() };
                story.take(&update);
                update
            })
            .collect();
        log.store(updates.iter()).unwrap();
        writeln!(out, "\nacknowledged {}", story.last().index).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(8);
    let (mut log, _) = open(directory.path());
    while story.expected.base.is_none() {
        log.store([&Update { entries: vec![], ..story.next() }].into_iter()).unwrap();
    }
    drop(log);
    for round in 0..12 {
        let before = open(directory.path()).1.entries.len() as u64;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::tests::process_to_be_killed", "--ignored", "--nocapture"])
            .env("KILLED_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        for _ in 0..story.below(60) {
            out.read_line(&mut text).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_micros(story.below(3000)));
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_string(&mut text).unwrap();
        let acknowledged = text
            .lines()
            .filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
            .max()
            .unwrap_or(before);
        let (_, recovered) = open(directory.path());
        assert!(
            recovered.entries.len() as u64 >= acknowledged,
            "{acknowledged} of {}",
            recovered.entries.len()
        );
        for entry in &recovered.entries {
            let Payload::Command(command) = entry.payload() else { panic!("only commands were written") };
            assert!(command.starts_with(format!("entry {} ", entry.index()).as_bytes()));
        }
        assert!(round == 0 || recovered.entries.len() > 3, "something was written");
    }
}

/// The writes in the committed data directory of format 1: every kind of record, over more than one segment.
fn fixture_writes() -> Vec<Update> {
    let command = |text: &str| Payload::Command(Bytes::copy_from_slice(text.as_bytes()));
    let entries = |from: u64, term: u64, payloads: Vec<Payload>| {
        let entry = |(at, payload)| Entry::new(EntryId::new(term, from + at), payload);
        (0..).zip(payloads).map(entry).collect::<Vec<_>>()
    };
    let hard = |term, vote: Option<u64>, boot| {
        Some(HardState { term: Term(term), vote: vote.map(NodeId), boot: Boot(boot) })
    };
    let founders = Membership::founders([NodeId(0)]).unwrap();
    let on_record = founders.with_disks(|_| Some(raft_core::DiskId(7)));
    let base = Base { id: EntryId::ORIGIN, hash: 0, membership: founders };
    vec![
        Update { hard: hard(0, None, 1), base: Some(base), ..Update::default() },
        Update { hard: hard(1, Some(0), 1), ..Update::default() },
        Update {
            entries: entries(1, 1, vec![Payload::Noop, Payload::Membership(on_record)]),
            ..Update::default()
        },
        Update { entries: entries(3, 1, vec![command("alpha"), command("")]), ..Update::default() },
        Update { entries: entries(5, 1, vec![command(&"long ".repeat(1000))]), ..Update::default() },
        Update { hard: hard(3, None, 2), ..Update::default() },
        Update {
            keep: Some(Index(4)),
            entries: entries(
                5,
                3,
                vec![command("beta"), command(&"longer ".repeat(900)), command("g\u{e4}mma")],
            ),
            ..Update::default()
        },
    ]
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-v1")
}

/// How the fixture was made; a new format gets a new directory beside it.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_fixture() {
    if fixture().exists() {
        fs::remove_dir_all(fixture()).unwrap();
    }
    let (mut log, _) = open(&fixture());
    for update in fixture_writes() {
        log.store([&update].into_iter()).unwrap();
    }
    log.mark().unwrap();
    drop(log);
    for unneeded in ["lock", "wal/spare"] {
        fs::remove_file(fixture().join(unneeded)).unwrap();
    }
}

#[test]
fn a_data_directory_of_format_1_still_opens() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("wal")).unwrap();
    for (path, bytes) in files(&fixture()) {
        fs::write(directory.path().join(path.strip_prefix(fixture()).unwrap()), bytes).unwrap();
    }
    let mut story = Story::new(0);
    fixture_writes().iter().for_each(|update| story.take(update));
    let (mut log, recovered) = open(directory.path());
    assert_eq!(recovered, story.expected);
    log.store([&story.next()].into_iter()).unwrap();
    drop(log);
    assert_eq!(open(directory.path()).1, story.expected, "and it can be gone on with");
}
