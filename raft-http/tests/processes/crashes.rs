//! Processes are killed with SIGKILL under load: what was acknowledged stays.

use crate::cluster::ledger::Ledger;
use crate::cluster::load::Load;
use crate::cluster::{Cluster, report};
use std::thread::sleep;
use std::time::{Duration, Instant};

const WHILE: Duration = Duration::from_millis(1500);

/// Waits until writes are acknowledged again after this moment: by a client of its own, since the load keeps its own.
fn writes_go_on(cluster: &Cluster, name: &str) -> Ledger {
    let began = Instant::now();
    let mut client = crate::cluster::load::Client::new(name, &cluster.apis, cluster.up()[0]);
    let written = client.write(0, || began.elapsed() > crate::cluster::ELECTION);
    assert!(written.is_some(), "no write within {:?}", crate::cluster::ELECTION);
    client.ledger
}

#[test]
fn killed_leaders_and_killed_clusters_lose_nothing() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("load", &cluster.apis, 6);
    sleep(WHILE);

    let old = cluster.leader();
    cluster.kill(old.id);
    let leader_killed = Instant::now();
    let mut ledger = writes_go_on(&cluster, "after the leader");
    sleep(WHILE);
    cluster.start(old.id);
    let new = cluster.leader();
    assert!(new.term > old.term, "{old:?} was killed, {new:?} leads");
    sleep(WHILE);

    cluster.kill_all();
    let all_killed = Instant::now();
    cluster.start_all();
    cluster.leader();
    ledger.add(writes_go_on(&cluster, "after all"));
    sleep(WHILE);

    ledger.add(load.stop());
    let log = ledger.check(&cluster);
    let (_, pause) = ledger.pauses(leader_killed);
    let (longest, again) = ledger.pauses(all_killed);
    report(&format!(
        "kills: {} acknowledged, {} in every log; {} unknown; writes again {pause:?} after the leader's kill, {again:?} \
         after everybody's; longest pause {longest:?}",
        ledger.acknowledged.len(),
        log.len(),
        ledger.unknown,
    ));
}

#[test]
fn a_cluster_of_one_survives_sigkill() {
    let mut cluster = Cluster::started(1);
    let mut ledger = Ledger::default();
    for round in 0..5 {
        let load = Load::start(&format!("round {round}"), &cluster.apis, 4);
        sleep(Duration::from_millis(400));
        cluster.kill(0);
        cluster.start(0);
        cluster.leader();
        ledger.add(load.stop());
        ledger.check(&cluster);
    }
    report(&format!("one node, killed 5 times: {} acknowledged, none lost", ledger.acknowledged.len()));
}
