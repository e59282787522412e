//! Starts that must be refused, each with its exit code and a line that names the cure.

use crate::cluster::load::{Client, Load};
use crate::cluster::process::Process;
use crate::cluster::{Cluster, ends_within, http, httpraft, report};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// Runs a command that must end by itself. Gives the exit code and standard error.
fn refused(mut command: Command, cluster: &Cluster) -> (Option<i32>, String) {
    let log = cluster.directory().join(format!("refused-{:?}.log", Instant::now()));
    let process = Process::start(&mut command, &log);
    let code = process.ended(SOON);
    (code, fs::read_to_string(log).expect("the log is there"))
}

#[test]
fn a_wiped_node_is_refused_and_told_how_to_come_back() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("beside a wiped node", &cluster.apis, 3);
    for wiped in [(cluster.leader().id + 1) % 3, cluster.leader().id] {
        cluster.kill(wiped);
        cluster.leader();
        let whole = cluster.setups[wiped].data_dir.clone();
        let aside = whole.with_extension("aside");
        fs::rename(&whole, &aside).expect("the data directory goes");
        let (code, said) = refused(cluster.command(wiped), &cluster);
        assert_eq!(code, Some(2), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("member replace"), "the last line names the cure: {said}");
        // With its own disk back it is the old member again.
        fs::remove_dir_all(&whole).expect("what the refused start made goes");
        fs::rename(&aside, &whole).expect("the data directory comes back");
        cluster.start(wiped);
        cluster.leader();
    }
    let ledger = load.stop();
    ledger.check(&cluster);
    let (longest, _) = ledger.pauses(ledger.acknowledged[0].1);
    report(&format!(
        "wiped nodes: a follower and a leader refused; {} acknowledged meanwhile, longest pause {longest:?}",
        ledger.acknowledged.len()
    ));
}

/// Each start begins a segment of 16 MiB: a node that starts often and writes little must not fill its disk.
#[test]
fn many_starts_do_not_fill_the_disk() {
    let mut cluster = Cluster::started(1);
    let put = serde_json::json!({ "key": "a", "value": "b" });
    let request = http::Request { method: "PUT", path: "/", body: Some(&put), within: SOON };
    assert_eq!(http::ask(&cluster.apis[0], &request).expect("an answer").status, 200);
    let data = cluster.setups[0].data_dir.clone();
    let names = |of: &str| -> BTreeSet<_> {
        fs::read_dir(data.join(of))
            .expect("a directory")
            .map(|entry| entry.expect("a file").file_name())
            .collect()
    };
    let segments = || names("wal").len();
    // Half a snapshot that a kill leaves is none, and goes with the next start.
    let snapshots = || -> Vec<_> {
        let whole = |name: &OsString| Path::new(name).extension().is_some_and(|ending| ending == "snap");
        names("snapshots").into_iter().filter(whole).collect()
    };
    let mut most = 0;
    for _ in 0..24 {
        cluster.kill(0);
        let (before, scattered) = (snapshots(), segments() > 8 + 2);
        cluster.start(0);
        cluster.leader();
        // It lives for as long as a small snapshot takes.
        assert!(!scattered || ends_within(SOON, || snapshots() != before));
        most = most.max(segments());
    }
    // With the reserve, the spare one, and those of the start that takes a snapshot and of the one that needs it.
    assert!(most <= 8 + 5, "{most} files at most, {} at the end", segments());
    let got = http::get(&cluster.apis[0], "/?key=a").expect("an answer");
    assert_eq!(got.json["value"], "b");
    report(&format!("24 starts with one write: {most} files of the log at most, {} at the end", segments()));
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy is made");
    for entry in fs::read_dir(from).expect("the directory is read") {
        let (entry, to) =
            entry.map(|it| (it.path(), to.join(it.file_name()))).expect("the directory is read");
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).expect("the file is copied");
        }
    }
}

/// As an operator does who restores a node's data directory from a backup of it.
#[test]
fn a_data_directory_that_was_put_back_is_refused_for_good() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("beside a node that was put back", &cluster.apis, 3);
    let node = (cluster.leader().id + 1) % 3;
    let whole = cluster.setups[node].data_dir.clone();
    let backup = whole.with_extension("backup");
    cluster.kill(node);
    copy(&whole, &backup);
    for _ in 0..2 {
        cluster.start(node);
        let leader = cluster.leader().id;
        let committed = |id| cluster.status(id).and_then(|status| status["commit_index"].as_u64());
        // To send the second part of what it wants, the leader must have heard that the first has come.
        for _ in 0..2 {
            let newest = committed(leader).expect("the leader answers");
            assert!(ends_within(SOON, || committed(node) > Some(newest)), "node {node} follows");
        }
        cluster.kill(node);
    }
    // Another term: what the node finds out comes while it writes that down.
    let leader = cluster.leader().id;
    cluster.process(leader).pause();
    let other = (0..3).find(|id| ![node, leader].contains(id)).expect("there are three");
    cluster.start(node);
    let another = || cluster.status(other)?["leader_id"].as_u64().filter(|id| *id != leader as u64);
    assert!(ends_within(SOON, || another().is_some()), "another one leads");
    cluster.process(leader).wake();
    cluster.kill(node);
    fs::remove_dir_all(&whole).expect("the data directory goes");
    fs::rename(&backup, &whole).expect("the backup takes its place");
    let mut lines = Vec::new();
    for _ in 0..3 {
        let (code, said) = refused(cluster.command(node), &cluster);
        assert_eq!(code, Some(65), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("replace this node"), "the last line names the cure: {said}");
        lines.push(last.to_string());
    }
    let mut verify = httpraft(cluster.directory());
    verify.args(["wal", "verify"]).arg(&whole);
    let (code, said) = refused(verify, &cluster);
    assert_eq!((code, said.lines().last()), (Some(65), Some(&*lines[2])), "{said}");
    assert!(lines[1].contains("was given up") && lines[1] == lines[2], "{lines:?}");
    let ledger = load.stop();
    ledger.check(&cluster);
    report(&format!(
        "a node on a backup of its disk: refused, {} acknowledged beside it",
        ledger.acknowledged.len()
    ));
}

/// As somebody does who takes a copy of a data directory for a further node.
#[test]
fn a_copy_beside_its_original_names_the_likely_cause() {
    let mut cluster = Cluster::growing(3, 4);
    (0..3).for_each(|id| cluster.start(id));
    let node = (cluster.leader().id + 1) % 3;
    let original = cluster.setups[node].data_dir.clone();
    let copied = original.with_extension("copy");
    cluster.kill(node);
    copy(&original, &copied);
    cluster.start(node);
    let mut command = httpraft(cluster.directory());
    command.arg(node.to_string()).arg("--data-dir").arg(&copied);
    command.args(["--peer", &cluster.peers[3], "--api", &cluster.apis[3]]);
    let beside = Process::start(&mut command, &cluster.directory().join("copy.log"));
    let line = beside.says("a copy of a data directory", SOON);
    assert!(line.contains("peer down") && line.contains("stop it"), "{line}");
}

#[test]
fn a_data_directory_belongs_to_one_process() {
    let mut cluster = Cluster::started(1);
    let (code, said) = refused(cluster.command(0), &cluster);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");

    let mut client = Client::new("undisturbed", &cluster.apis, 0);
    let began = Instant::now();
    client.write(0, || began.elapsed() > SOON).expect("the first process goes on");
    assert!(cluster.process(0).runs());
}
