//! The command line, as people and scripts use it.

use crate::cluster::ledger::{Entry, read_log};
use crate::cluster::{Cluster, ELECTION, ends_within, http, httpraft, report};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

fn run(directory: &Path, arguments: &[&str]) -> Output {
    httpraft(directory).env("RUST_LOG", "warn").args(arguments).output().expect("httpraft starts")
}

/// What a command that must succeed prints.
fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ends with {}: {out}{errors}", output.status);
    out
}

/// How a command ends that must fail, and what it says then.
fn fails(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    (output.status.code().expect("it ends by itself"), text(&output.stderr))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn append(cluster: &Cluster, entries: std::ops::Range<usize>) {
    let leader = &cluster.apis[cluster.leader().id];
    for number in entries {
        let answer = http::append(leader, &format!("entry {number}"), Duration::from_secs(10));
        assert_eq!(answer.expect("an answer").json["success"], true);
    }
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.text.as_str()).collect()
}

#[test]
fn every_command_has_help_with_an_example_and_is_completed() {
    let directory = tempfile::tempdir().expect("a directory");
    let commands = [
        "put",
        "get",
        "del",
        "ls",
        "watch",
        "append",
        "log",
        "status",
        "leader",
        "snapshot",
        "backup",
        "bench",
        "restore",
        "recover",
        "completion",
        "member list",
        "member add",
        "member promote",
        "member demote",
        "member replace",
        "member remove",
        "leader transfer",
        "wal dump",
        "wal verify",
    ];
    let script = done(directory.path(), &["completion", "bash"]);
    for command in commands {
        let mut words: Vec<&str> = command.split(' ').collect();
        let last = *words.last().expect("a command has a word");
        assert!(script.contains(last), "{command} is not completed");
        words.push("--help");
        assert!(done(directory.path(), &words).contains("Example: "), "{command} shows no example");
    }
    let (code, line) = fails(directory.path(), &["put"]);
    assert_eq!(code, 2, "{line}");
}

#[test]
fn status_shows_who_is_there_and_who_is_not() {
    let mut cluster = Cluster::started(3);
    let directory = cluster.directory().to_path_buf();
    let leader = cluster.leader().id;
    let endpoint = cluster.apis[leader].clone();
    let shown = done(&directory, &["status", "--endpoints", &endpoint]);
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(shown.lines().any(|line| line.contains("leader") && line.ends_with(&endpoint)), "{shown}");
    cluster.kill((leader + 1) % 3);
    let json = done(&directory, &["status", "-o", "json", "--endpoints", &endpoint]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let reached = json["nodes"].as_array().expect("nodes").iter().filter(|node| node["reachable"] == true);
    assert_eq!(reached.count(), 2, "{json}");
    // One that is down keeps no other one from its snapshot, and hides nothing that another one says.
    let (down, up) = (cluster.apis[(leader + 1) % 3].clone(), cluster.apis[leader].clone());
    let both = format!("{down},{up}");
    let output = run(&directory, &["snapshot", "--timeout", "2s", "--endpoints", &both]);
    let (rows, line) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), line.contains(&down)), (Some(75), true), "{line}");
    assert!(rows.lines().any(|row| row.contains(&down) && row.contains("can't be reached")), "{rows}");
    assert!(rows.lines().any(|row| row.split_whitespace().next() == Some(&leader.to_string())), "{rows}");
    let third = (leader + 2) % 3;
    cluster.kill(third);
    let order = [&up, &down].map(String::as_str).join(",");
    let (code, line) = fails(&directory, &["put", "a", "b", "--timeout", "3s", "--endpoints", &order]);
    assert!(code == 75 || code == 4, "{code}: {line}");
    assert!(line.contains(&format!("{up}: ")) && line.contains(&down), "{line}");
    let (code, line) = fails(&directory, &["status", "--timeout", "300ms", "--endpoints", "localhost:1"]);
    assert_eq!((code, line.contains("localhost:1")), (75, true), "{line}");
}

#[test]
fn keys_and_entries_are_written_and_read_at_any_node() {
    let cluster = Cluster::started(3);
    let directory = cluster.directory().to_path_buf();
    let all = cluster.apis.join(",");
    let follower = cluster.apis[(cluster.leader().id + 1) % 3].clone();
    let run = |arguments: &[&str]| done(&directory, &[arguments, &["--endpoints", &all]].concat());
    assert!(run(&["put", "colors/sky", "blue"]).starts_with("index "));
    assert!(run(&["put", "colors/a b%?", "red", "--if-absent"]).starts_with("index "));
    assert_eq!(done(&directory, &["get", "colors/sky", "--endpoints", &follower]), "blue");
    assert_eq!(run(&["get", "colors/a b%?"]), "red");
    let json: Value = serde_json::from_str(&run(&["get", "colors/sky", "-o", "json"])).expect("JSON");
    let index = json["mod_index"].to_string();
    let (code, line) = fails(&directory, &["put", "colors/sky", "x", "--if-absent", "--endpoints", &all]);
    assert_eq!((code, line.contains("condition")), (1, true), "{line}");
    run(&["put", "colors/sky", "grey", "--if-match", &index]);
    let listed = run(&["ls", "colors/"]);
    assert!(listed.lines().any(|line| line.starts_with("colors/sky") && line.ends_with("grey")), "{listed}");
    assert_eq!(run(&["ls", "nothing/"]).lines().count(), 1, "the titles alone");
    let changes = httpraft(&directory)
        .args(["watch", "colors/", "--from-index", "1", "-o", "json", "--endpoints", &all])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut changes = changes.expect("httpraft starts");
    assert!(run(&["del", "colors/sky"]).starts_with("deleted 1, "));
    assert!(run(&["del", "colors/sky"]).starts_with("deleted 0, "));
    let (code, line) = fails(&directory, &["get", "colors/sky", "--endpoints", &all]);
    assert_eq!((code, line.contains("stands for nothing")), (1, true), "{line}");
    let lines = BufReader::new(changes.stdout.take().expect("a pipe")).lines();
    let seen: Vec<Value> =
        lines.take(4).map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")).collect();
    changes.kill().and_then(|()| changes.wait()).expect("own child can be ended");
    let events: Vec<_> = seen.iter().map(|change| change["event"].as_str().unwrap_or("?")).collect();
    assert_eq!(events, ["put", "put", "put", "delete"], "{seen:?}");
    assert!(run(&["append", "hello"]).starts_with("index "));
    let log = run(&["log"]);
    assert!(log.lines().last().is_some_and(|line| line.ends_with("  hello")), "{log}");
    let log = run(&["log", "--limit", "2", "-o", "json"]);
    assert_eq!(log.lines().count(), 2, "{log}");
}

/// The system takes connections for it, and nobody reads what comes.
#[test]
fn who_stands_still_leaves_the_others_their_time() {
    let cluster = Cluster::started(1);
    let silent: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let mut endpoints: Vec<String> =
        silent.iter().map(|silent| silent.local_addr().expect("an address").to_string()).collect();
    let nobody = endpoints.join(",");
    endpoints.push(cluster.apis[0].clone());
    let all = endpoints.join(",");
    for words in [&["put", "k", "v"][..], &["get", "k"], &["log"], &["backup", "copy.snap"]] {
        let words = [words, &["--timeout", "3s", "--endpoints", &all]].concat();
        done(cluster.directory(), &words);
    }
    let begun = Instant::now();
    let (code, line) =
        fails(cluster.directory(), &["put", "k", "v", "--timeout", "1s", "--endpoints", &nobody]);
    assert_eq!((code, line.contains("its time is over")), (4, true), "it may have been done: {line}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_backup_becomes_a_new_cluster() {
    let cluster = Cluster::started(3);
    append(&cluster, 0..20);
    let directory = cluster.directory().to_path_buf();
    let old: Value = cluster.status(0).expect("a status");
    let follower = (cluster.leader().id + 1) % 3;
    let endpoint = &cluster.apis[follower];
    let told = done(&directory, &["backup", "copy.snap", "--endpoints", endpoint]);
    assert!(told.contains(old["cluster_id"].as_str().expect("an id")), "{told}");
    let hidden = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".httpraft-backup");
    let half = || fs::read_dir(&directory).expect("a directory").any(|entry| entry.is_ok_and(hidden));
    // A backup that fails leaves nothing behind, and what has its name stays.
    let whole = fs::read(directory.join("copy.snap")).expect("the backup");
    let (code, line) =
        fails(&directory, &["backup", "copy.snap", "--endpoints", "localhost:1", "--timeout", "1s"]);
    assert_eq!((code, line.contains("localhost:1")), (75, true), "{line}");
    assert_eq!(fs::read(directory.join("copy.snap")).expect("the backup"), whole);
    assert!(!half(), "half a backup is left");
    append(&cluster, 20..25);
    let mut new = Cluster::new(1);
    let (file, into) = (directory.join("copy.snap"), new.directory().to_path_buf());
    let file = file.to_str().expect("a path");
    let told = done(&into, &["restore", file]);
    assert!(told.contains("a cluster of its own"), "{told}");
    let (code, line) = fails(&into, &["restore", file]);
    assert_eq!((code, line.contains("empty directory")), (2, true), "{line}");
    new.start_all();
    let status = new.status(new.leader().id).expect("a status");
    assert_ne!(status["cluster_id"], old["cluster_id"], "members of the old cluster can't join");
    let expected: Vec<String> = (0..20).map(|number| format!("entry {number}")).collect();
    assert_eq!(texts(&read_log(&new.apis[0])), expected);
    append(&new, 20..22);
    assert_eq!(read_log(&new.apis[0]).len(), 22);
    // It is an ordinary data directory: it starts again.
    new.kill(0);
    new.start(0);
    new.leader();
    assert_eq!(read_log(&new.apis[0]).len(), 22);
    let mut damaged = fs::read(file).expect("the backup");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(directory.join("bad.snap"), damaged).expect("a file");
    let bad = directory.join("bad.snap");
    let (code, line) = fails(&into, &["restore", bad.to_str().expect("a path"), "--data-dir", "other"]);
    assert_eq!((code, line.contains("bad.snap")), (65, true), "{line}");
    assert!(!into.join("other").exists(), "nothing is made of a damaged backup");
}

#[test]
fn what_is_left_after_a_lost_quorum_becomes_a_new_cluster() {
    let mut cluster = Cluster::started(3);
    append(&cluster, 0..30);
    let directory = cluster.directory().to_path_buf();
    let old = cluster.status(0).expect("a status");
    cluster.kill_all();
    // Two machines are lost for good.
    for lost in [1, 2] {
        fs::remove_dir_all(&cluster.setups[lost].data_dir).expect("it is there");
    }
    let (code, line) = fails(&directory, &["recover", "0"]);
    assert_eq!((code, line.contains("--yes")), (2, true), "{line}");
    let settings = directory.join("config.json").to_str().expect("a path").to_string();
    let data = cluster.setups[0].data_dir.clone();
    // From within: the directory has no name there.
    let told = done(&data, &["recover", "0", "--yes", "--data-dir", ".", "--config", &settings]);
    assert!(told.contains("before-recover-1"), "{told}");
    let place = data.canonicalize().expect("it is there again");
    let next = format!("`httpraft 0 --config {settings} --data-dir {}`", place.display());
    assert!(told.contains(&next), "{told}");
    cluster.start(0);
    assert_eq!(cluster.leader().id, 0);
    let status = cluster.status(0).expect("a status");
    assert_ne!(status["cluster_id"], old["cluster_id"]);
    assert_eq!(status["members"].as_array().map(Vec::len), Some(1), "{status}");
    let entries = read_log(&cluster.apis[0]);
    assert_eq!(entries.len(), 30, "all that was acknowledged is there");
    append(&cluster, 30..31);
    // Another machine takes the place of a lost one.
    let join = cluster.apis[0].clone();
    cluster.setups[1].arguments = ["--join", &join].map(str::to_string).to_vec();
    cluster.start(1);
    let (peer, api) = (cluster.peers[1].clone(), cluster.apis[1].clone());
    let add = ["member", "add", "1", "--peer", &peer, "--api", &api, "--wait", "--endpoints", &join];
    done(&directory, &add);
    let there =
        || http::get(&api, "/v1/status").is_ok_and(|answer| answer.json["applied_index"].as_u64() > Some(30));
    assert!(ends_within(ELECTION, there), "the new node has caught up");
    assert_eq!(read_log(&api).len(), 31);
}

#[test]
fn a_log_is_verified_while_its_node_does_not_run() {
    let mut cluster = Cluster::started(1);
    append(&cluster, 0..10);
    let directory = cluster.directory().to_path_buf();
    let data: PathBuf = cluster.setups[0].data_dir.clone();
    let data = data.to_str().expect("a path").to_string();
    let (code, line) = fails(&directory, &["wal", "verify", &data]);
    assert_eq!((code, line.contains("in use")), (2, true), "a node runs on it: {line}");
    done(&directory, &["snapshot", "--endpoints", &cluster.apis[0].clone()]);
    append(&cluster, 10..12);
    let stopped = cluster.take(0);
    stopped.terminate();
    assert_eq!(stopped.ended(Duration::from_secs(25)), Some(0));
    let told = done(&directory, &["wal", "verify", &data]);
    assert!(told.contains("intact"), "{told}");
    let dumped = done(&directory, &["wal", "dump", &data]);
    assert!(dumped.contains("membership") && !dumped.contains("entry 3"), "{dumped}");
    let dumped = done(&directory, &["wal", "dump", &data, "--values", "-o", "json"]);
    let rows: Vec<Value> = dumped.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.iter().any(|row| row["value"].as_str().is_some_and(|value| value.contains("entry 3"))));
    report(&format!("wal verify: {}", told.replace('\n', "; ")));
    // A bit rots that was synced and vouched for.
    let wal = PathBuf::from(&data).join("wal");
    let segments = fs::read_dir(&wal).expect("the log").map(|file| file.expect("a file").path());
    let segment = segments.min().expect("a segment");
    let mut bytes = fs::read(&segment).expect("a segment");
    let found = bytes.windows(7).position(|window| window == b"entry 3").expect("the entry is there");
    bytes[found] ^= 1;
    fs::write(&segment, bytes).expect("it is written");
    let (code, line) = fails(&directory, &["wal", "verify", &data]);
    assert_eq!(code, 65, "{line}");
    let (code, line) = fails(&directory, &["wal", "verify", "nowhere"]);
    assert_eq!((code, line.contains("no data directory")), (2, true), "{line}");
}
