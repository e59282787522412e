//! Whose a data directory is, and what a node says when it can't use one.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests, too")]

use raft_http::config::{Config, Given, GivenFrom, Store};
use raft_http::data_dir::DataDir;
use raft_http::machine::Machine;
use raft_http::start::Prepared;
use raft_http::storage::{Storage, StorageOptions};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NODES: usize = 2;

/// One test at a time: a process that one of them starts shares all locks of the others until it runs its own program.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(id: usize, cluster: Option<&str>, port: u16) -> Config {
    let list =
        |first: u16| (0..NODES as u16).map(|id| format!("localhost:{}", first + id)).collect::<Vec<_>>();
    let mut settings = vec![("peers", json!(list(port))), ("apis", json!(list(port + 1000)))];
    settings.extend(cluster.map(|name| ("cluster", json!(name))));
    let given = |(key, value): (&str, Value)| Given { from: GivenFrom::Flag, key: key.into(), value };
    Config::new(id, &settings.into_iter().map(given).collect::<Vec<_>>()).unwrap()
}

/// A data directory of node 0 in which a log was begun.
fn used() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    drop(DataDir::open(directory.path(), &config(0, None, 8000)).unwrap());
    edit(directory.path(), |node| node["log_begun"] = json!(true));
    fs::write(wal(directory.path()), [0; 5000]).unwrap();
    directory
}

fn wal(directory: &Path) -> PathBuf {
    directory.join("wal/0000000000000000.wal")
}

fn edit(directory: &Path, change: impl FnOnce(&mut Value)) {
    let file = directory.join("node.json");
    let mut node = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut node);
    fs::write(&file, node.to_string()).unwrap();
}

/// Runs a node of these settings on the directory: it must end with this code and one line with these words.
fn assert_refused(directory: &Path, config: &Config, code: i32, words: &[&str]) {
    let surroundings = tempfile::tempdir().unwrap();
    let file = surroundings.path().join("peers.json");
    let mut settings = config.to_json();
    settings["data_dir"] = json!(directory);
    fs::write(&file, settings.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_httpraft"))
        .args([&config.id.to_string(), "--log", "error", "--config"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line, not {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr}");
    }
}

#[test]
fn a_shorter_patience_begins_when_the_longer_one_is_over() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let opened_within = |election_ms: u64| {
        let mut config = config(0, None, 8000);
        config.store = Store::Directory(directory.path().to_path_buf());
        config.heartbeat = Duration::from_millis(10);
        config.election_timeout = Duration::from_millis(election_ms);
        let begun = Instant::now();
        Prepared::<Machine>::open(config).unwrap();
        begun.elapsed()
    };
    let on_record = || -> Value {
        serde_json::from_slice::<Value>(&fs::read(directory.path().join("node.json")).unwrap()).unwrap()
            ["patience_us"]
            .clone()
    };
    opened_within(100);
    assert_eq!(on_record(), json!(99_000));
    opened_within(20_000);
    assert_eq!(on_record(), json!(19_999_000), "what it promises from then on");
    edit(directory.path(), |node| node["patience_us"] = json!(400_000));
    assert!(opened_within(100) >= Duration::from_millis(440), "what it had promised, by the slowest clock");
    assert_eq!(on_record(), json!(99_000));
    edit(directory.path(), |node| drop(node.as_object_mut().unwrap().remove("patience_us")));
    opened_within(100);
    assert_eq!(on_record(), json!(99_000), "a directory of an older version");
}

#[test]
fn an_empty_directory_becomes_this_nodes_for_good() {
    let _alone = alone();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/node-0");
    let first = DataDir::open(&directory, &config(0, None, 8000)).unwrap();
    let (disk, identity) = (first.disk(), first.identity());
    drop(first);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("wal"))), (0o700, 0o700));

    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let again = DataDir::open(&directory, &config(0, None, 8000)).unwrap();
    assert_eq!(again.identity(), identity);
    assert_eq!(mode(&directory), 0o700);
    let other = DataDir::open(&parent.path().join("other"), &config(0, None, 8000)).unwrap();
    assert_ne!(other.disk(), disk);
}

#[test]
fn two_processes_never_share_a_directory() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let config = config(0, None, 8000);
    let data = DataDir::open(directory.path(), &config).unwrap();
    let name = directory.path().to_str().unwrap();
    assert_refused(directory.path(), &config, 2, &["in use by another process", name, "--data-dir"]);
    let storage = Storage::open(&data, data.identity(), StorageOptions::default()).unwrap();
    drop(data);
    assert_refused(directory.path(), &config, 2, &["in use by another process"]);
    drop(storage);
    DataDir::open(directory.path(), &config).unwrap();
}

#[test]
fn another_nodes_or_clusters_directory_is_refused() {
    let _alone = alone();
    let directory = used();
    let words = ["belongs to node 0, not to node 1", "--data-dir"];
    assert_refused(directory.path(), &config(1, None, 8000), 2, &words);
    let words = ["another cluster", "localhost:8000", "localhost:8100", "--data-dir"];
    assert_refused(directory.path(), &config(0, None, 8100), 2, &words);
    assert_refused(
        directory.path(),
        &config(0, Some("blue"), 8000),
        2,
        &["another cluster", "named \"blue\""],
    );
}

#[test]
fn changed_lists_are_still_the_same_cluster() {
    let _alone = alone();
    let directory = used();
    let founded = config(0, None, 8000);
    let changed = config(0, None, 8001);
    assert_ne!(founded.cluster_id, changed.cluster_id, "8001 is in both");
    assert_eq!(DataDir::open(directory.path(), &changed).unwrap().cluster(), founded.cluster_id);

    let named = tempfile::tempdir().unwrap();
    let founded = config(0, Some("blue"), 8000);
    drop(DataDir::open(named.path(), &founded).unwrap());
    let moved = DataDir::open(named.path(), &config(0, Some("blue"), 8100)).unwrap();
    assert_eq!(moved.cluster(), founded.cluster_id, "a name stays when all addresses change");
}

#[test]
fn a_newer_format_is_refused() {
    let _alone = alone();
    let directory = used();
    edit(directory.path(), |node| *node = json!({"format": 2, "everything": "else"}));
    assert_refused(directory.path(), &config(0, None, 8000), 78, &["format 2", "reads up to 1"]);
}

#[test]
fn a_damaged_directory_is_refused() {
    let _alone = alone();
    let directory = used();
    let node = directory.path().join("node.json");
    edit(directory.path(), |node| node["disk_id"] = json!("12"));
    assert_refused(directory.path(), &config(0, None, 8000), 65, &["node.json", "16 hexadecimal digits"]);
    fs::write(&node, "{").unwrap();
    assert_refused(directory.path(), &config(0, None, 8000), 65, &["node.json", "line 1"]);
    fs::remove_file(&node).unwrap();
    assert_refused(directory.path(), &config(0, None, 8000), 65, &["node.json", "missing"]);
}

#[test]
fn a_lost_log_is_refused() {
    let _alone = alone();
    let directory = used();
    fs::remove_file(wal(directory.path())).unwrap();
    assert_log_is_lost(directory.path());
    fs::remove_dir(directory.path().join("wal")).unwrap();
    assert_log_is_lost(directory.path());
}

/// A start and who only looks agree.
fn assert_log_is_lost(directory: &Path) {
    let words = ["holds no log", "replace this member"];
    assert_refused(directory, &config(0, None, 8000), 65, &words);
    for look in ["verify", "dump"] {
        let httpraft = env!("CARGO_BIN_EXE_httpraft");
        let output = Command::new(httpraft).args(["wal", look]).arg(directory).env_clear().output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{look}: {stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{look}: {stderr}");
        assert!(output.stdout.is_empty(), "{look}: nothing is called good");
    }
}

#[test]
fn somebody_elses_directory_is_left_alone() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    assert_refused(directory.path(), &config(0, None, 8000), 2, &["no data directory", "letter.txt"]);
    assert_eq!(fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_cant_be_made_is_an_io_error() {
    let _alone = alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_refused(file.path(), &config(0, None, 8000), 74, &["can't create the data directory"]);
}
