//! Orderly stops: exit code 0 in time, leadership handed over first, nothing acknowledged lost.

use crate::cluster::ledger::Ledger;
use crate::cluster::load::Load;
use crate::cluster::process::Process;
use crate::cluster::{Cluster, ends_within, http, report};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a node has unless it is told otherwise.
const DEFAULT_ELECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// What the contract allows.
const STOPPED: Duration = Duration::from_secs(25);
/// A handover is one message and one round of votes; without it the others wait for at least an election timeout.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(2000);

#[test]
fn a_stopped_leader_hands_over_under_load() {
    let mut cluster = Cluster::new(3);
    for setup in &mut cluster.setups {
        setup.arguments.extend(["--election-timeout".to_string(), "2s".to_string()]);
    }
    cluster.start_all();
    let mut leader = cluster.leader();
    let mut pauses = Vec::new();
    let mut ledger = Ledger::default();
    for round in 0..3 {
        let load = Load::start(&format!("stop {round}"), &cluster.apis, 4);
        sleep(Duration::from_millis(700));
        let began = Instant::now();
        let stopped = cluster.take(leader.id);
        stopped.terminate();
        assert_eq!(stopped.ended(STOPPED), Some(0), "SIGTERM ends with 0");
        let took = began.elapsed();
        let new = cluster.leader();
        assert_ne!(new.id, leader.id);
        assert_eq!(new.term, leader.term + 1, "one handover, no election beside it");
        sleep(Duration::from_millis(700));
        let of_load = load.stop();
        let (longest, _) = of_load.pauses(began);
        assert!(longest < ELECTION_TIMEOUT, "the others had to wait for an election: {longest:?}");
        pauses.push((took, longest));
        ledger.add(of_load);
        cluster.start(leader.id);
        leader = cluster.leader();
        ledger.check(&cluster);
    }
    report(&format!(
        "SIGTERM of the leader under load, (time to exit 0, longest pause of writes): {pauses:?}; {} acknowledged, \
         {} unknown",
        ledger.acknowledged.len(),
        ledger.unknown,
    ));
}

#[test]
fn a_leader_without_a_successor_drains_and_stops() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().id;
    cluster.kill((leader + 1) % 3);
    cluster.kill((leader + 2) % 3);
    let began = Instant::now();
    cluster.process(leader).terminate();
    let draining = || {
        http::get(&cluster.apis[leader], "/readyz")
            .is_ok_and(|answer| answer.status == 503 && answer.json["code"] == "draining")
    };
    assert!(ends_within(Duration::from_secs(5), draining), "/readyz says that it is going");
    assert_eq!(cluster.take(leader).ended(STOPPED), Some(0));
    report(&format!("SIGTERM of a leader whose followers are dead: exit 0 within {:?}", began.elapsed()));
}

/// Clients retry what was not applied, so no write fails; and the pauses are those of a handover, not of an election.
#[test]
fn a_rolling_restart_fails_no_write() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("roll", &cluster.apis, 4);
    sleep(Duration::from_millis(500));
    let began = Instant::now();
    for id in 0..3 {
        let stopped = cluster.take(id);
        stopped.terminate();
        assert_eq!(stopped.ended(STOPPED), Some(0), "node {id} ends with 0");
        cluster.start(id);
        // What an operator waits for before going on to the next one.
        let ready = || http::get(&cluster.apis[id], "/readyz").is_ok_and(|answer| answer.status == 200);
        assert!(ends_within(Duration::from_secs(15), ready), "node {id} is ready again");
    }
    sleep(Duration::from_millis(500));
    let ledger = load.stop();
    let (longest, _) = ledger.pauses(began);
    ledger.check(&cluster);
    report(&format!(
        "rolling restart of three nodes under load: longest pause of writes {longest:?}; {} acknowledged, {} not applied \
         and tried again, {} unknown",
        ledger.acknowledged.len(),
        ledger.not_applied.len(),
        ledger.unknown,
    ));
    assert_eq!(ledger.unknown, 0, "a write failed without saying that it was not applied");
    assert!(longest < 2 * DEFAULT_ELECTION_TIMEOUT, "writes paused for {longest:?}");
}

#[test]
fn a_whole_cluster_stops_in_order_and_comes_back() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("stop all", &cluster.apis, 4);
    sleep(Duration::from_millis(700));
    let began = Instant::now();
    let processes: Vec<_> = (0..3).map(|id| cluster.take(id)).collect();
    processes.iter().for_each(Process::terminate);
    for (id, process) in processes.into_iter().enumerate() {
        assert_eq!(process.ended(STOPPED), Some(0), "node {id} ends with 0");
    }
    let took = began.elapsed();
    cluster.start_all();
    cluster.leader();
    let ledger = load.stop();
    ledger.check(&cluster);
    report(&format!(
        "SIGTERM to all three under load: all exit 0 within {took:?}; {} acknowledged",
        ledger.acknowledged.len()
    ));
}

#[test]
fn a_forwarded_write_ends_at_its_deadline_while_the_leader_stands_still() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().id;
    let follower = cluster.apis[(leader + 1) % 3].clone();
    let body = serde_json::json!({ "entries": ["x"] });
    let path = "/v1/log?timeout=300ms";
    let within = Duration::from_secs(10);
    let request = http::Request { method: "POST", path, body: Some(&body), within };
    cluster.process(leader).pause();
    let answer = http::ask(&follower, &request);
    cluster.process(leader).wake();
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, &answer.json["code"]), (504, &"timeout".into()), "{}", answer.json);
    assert_eq!(answer.json["outcome"], "unknown", "{}", answer.json);
}
