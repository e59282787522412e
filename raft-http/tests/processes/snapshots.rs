//! A follower that was away while the log was compacted comes back by snapshot, whoever is killed on the way.

use crate::cluster::ledger::Ledger;
use crate::cluster::load::{Client, Load};
use crate::cluster::{Cluster, ends_within, http, report};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

/// Three nodes whose logs are compacted often.
fn compacting(arguments: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(3);
    for setup in &mut cluster.setups {
        setup.arguments.extend(arguments.iter().map(ToString::to_string));
    }
    cluster.start_all();
    cluster.leader();
    cluster
}

/// A number in what a node says of itself.
pub(crate) fn number(cluster: &Cluster, id: usize, name: &str) -> u64 {
    cluster.status(id).and_then(|status| status[name].as_u64()).unwrap_or_default()
}

/// Waits until a node has a snapshot of entries up to here.
pub(crate) fn wait_for_snapshot(cluster: &Cluster, id: usize, index: u64) {
    let taken = ends_within(SOON, || number(cluster, id, "snapshot_index") >= index);
    assert!(taken, "node {id} has no snapshot up to {index}: {:?}", cluster.status(id));
}

/// Waits until a node has applied all that the leader has.
pub(crate) fn wait_until_caught_up(cluster: &Cluster, id: usize, within: Duration) {
    let leader = cluster.leader().id;
    let caught_up = ends_within(within, || {
        number(cluster, id, "applied_index") >= number(cluster, leader, "commit_index")
    });
    assert!(caught_up, "node {id} is behind: {:?}", cluster.status(id));
}

/// The bytes that a node has of a snapshot that arrives.
fn arrived(cluster: &Cluster, id: usize) -> u64 {
    let part = cluster.setups[id].data_dir.join("snapshots/receiving.part");
    fs::metadata(part).map_or(0, |part| part.len())
}

fn snapshot_files(cluster: &Cluster, id: usize) -> Vec<String> {
    let files = fs::read_dir(cluster.setups[id].data_dir.join("snapshots")).expect("snapshots are kept");
    files.map(|file| file.expect("a file").file_name().into_string().expect("a name")).collect()
}

#[test]
fn a_follower_comes_back_by_snapshot_and_all_come_back_from_theirs() {
    let mut cluster = compacting(&["--snapshot-entries", "200", "--retain-entries", "10"]);
    let away = (cluster.leader().id + 1) % 3;
    let load = Load::start("compacted", &cluster.apis, 4);
    sleep(Duration::from_millis(300));
    cluster.kill(away);
    sleep(Duration::from_millis(2500));
    let leader = cluster.leader().id;
    let seen = number(&cluster, leader, "commit_index");
    wait_for_snapshot(&cluster, leader, seen.saturating_sub(400).max(200));
    let began = Instant::now();
    cluster.start(away);
    cluster.process(away).says("read a snapshot", SOON);
    wait_until_caught_up(&cluster, away, SOON);
    let back = began.elapsed();
    sleep(Duration::from_millis(500));
    let mut ledger = load.stop();
    ledger.check(&cluster);

    // Everybody begins with a snapshot: what was acknowledged is in it.
    cluster.kill_all();
    cluster.start_all();
    cluster.leader();
    let mut client = Client::new("afterwards", &cluster.apis, 0);
    client.write(0, || began.elapsed() > SOON).expect("writes go on");
    ledger.add(client.ledger);
    let log = ledger.check(&cluster);
    for id in 0..3 {
        let files = snapshot_files(&cluster, id);
        assert!((1..=2).contains(&files.len()), "the newest two stay: {files:?}");
        assert!(cluster.process(id).output().contains("restored the state from a snapshot"));
    }
    report(&format!(
        "snapshots every 200 entries: {} acknowledged, {} in every log; a follower is back by snapshot after {back:?}",
        ledger.acknowledged.len(),
        log.len(),
    ));
}

/// Appends this many entries of this size.
pub(crate) fn fill(cluster: &Cluster, entries: usize, bytes: usize) -> Ledger {
    let mut client = Client::new(&"x".repeat(bytes), &cluster.apis, cluster.leader().id);
    for number in 0..entries {
        let began = Instant::now();
        client.write(number, || began.elapsed() > SOON).expect("writes go on");
    }
    client.ledger
}

#[test]
fn a_transfer_goes_on_after_either_side_was_killed() {
    const ENTRIES: usize = 96;
    let mut cluster =
        compacting(&["--snapshot-bytes", "16MiB", "--retain-bytes", "1MiB", "--retain-entries", "1"]);
    let away = (cluster.leader().id + 1) % 3;
    cluster.kill(away);
    let ledger = fill(&cluster, ENTRIES, 1 << 20);
    for id in cluster.up() {
        wait_for_snapshot(&cluster, id, 3 * ENTRIES as u64 / 4);
    }
    let mut had = Vec::new();
    for (round, killed) in ["follower", "leader", "follower"].into_iter().enumerate() {
        cluster.start(away);
        let begun = had.last().copied().unwrap_or(0);
        let under_way = ends_within(SOON, || arrived(&cluster, away) >= begun + (8 << 20));
        assert!(under_way, "round {round}: {} bytes are there", arrived(&cluster, away));
        if killed == "leader" {
            let leader = cluster.leader().id;
            cluster.kill(leader);
            sleep(Duration::from_millis(300));
            cluster.start(leader);
        }
        cluster.kill(away);
        had.push(if killed == "leader" { 0 } else { arrived(&cluster, away) });
        if round == 0 {
            // What had arrived is gone on from, whatever a restart finds.
            cluster.start(away);
            let line = cluster.process(away).says("a part of a snapshot is here", SOON);
            assert!(!line.contains("have=0 "), "{line}");
            cluster.kill(away);
        }
    }
    cluster.start(away);
    wait_until_caught_up(&cluster, away, SOON);
    cluster.process(away).says("read a snapshot", SOON);
    assert!(!snapshot_files(&cluster, away).iter().any(|name| name.starts_with("receiving")));
    ledger.check(&cluster);
    report(&format!("a snapshot of {ENTRIES} MiB, killed on its way three times, at (MiB): {had:?}"));
    let answer = http::get(&cluster.apis[away], "/log?index=1&limit=1").expect("the log can be read");
    assert_eq!(answer.json["entries"].as_array().map(Vec::len), Some(1), "compaction removes no entry");
}
