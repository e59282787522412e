//! True power cuts: each node's data directory is an ext4 of its own on a loop device, and its shutdown ioctl takes
//! away what was not synced. SIGKILL alone would prove nothing about syncs: the page cache survives it.
//!
//! Needs root, and the packages e2fsprogs, mount and util-linux: `cargo test -p raft-http --features root-tests --test
//! power_cuts`.

#[path = "processes/cluster/mod.rs"]
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod cluster;

use cluster::disks::{Disks, Order};
use cluster::ledger::{Entry, Ledger};
use cluster::load::Load;
use cluster::mounted::Mounted;
use cluster::namespaces::in_own_namespaces;
use cluster::{Cluster, ends_within, http, report};
use serde_json::json;
use std::thread::sleep;
use std::time::{Duration, Instant};

const CUTS: u64 = 20;
/// Room on a disk, or that there is none, is noticed within this.
const SOON: Duration = Duration::from_secs(5);
/// Without syncs each cut should lose something; so many tries it may take.
const TRIES: u32 = 5;

#[test]
fn twenty_cuts_of_all_nodes_lose_no_acknowledged_entry() {
    if !in_own_namespaces("twenty_cuts_of_all_nodes_lose_no_acknowledged_entry") {
        return;
    }
    let mut cluster = Cluster::new(3);
    let disks = Mounted::new(&mut cluster);
    let orders = Disks::new(&mut cluster);
    cluster.start_all();
    cluster.leader();
    let mut ledger = Ledger::default();
    let began = Instant::now();
    for cut in 0..CUTS {
        // A node that acknowledges before its sync is over loses nothing to a cut if the sync is faster than the answer.
        orders.order(&[0, 1, 2], if cut % 2 == 0 { Order::Work } else { Order::Slow });
        let load = Load::start(&format!("cut {cut}"), &cluster.apis, 6);
        // Not always at the same place after the election.
        sleep(Duration::from_millis(300 + cut * 97 % 400));
        disks.cut(&[0, 1, 2]);
        cluster.kill_all();
        orders.order(&[0, 1, 2], Order::Work);
        (0..3).for_each(|id| disks.restore(id));
        cluster.start_all();
        cluster.leader();
        ledger.add(load.stop());
        ledger.check(&cluster);
    }
    let log = ledger.check(&cluster);
    report(&format!(
        "{CUTS} power cuts of all nodes in {:?}: {} acknowledged, none lost; {} in the log",
        began.elapsed(),
        ledger.acknowledged.len(),
        log.len(),
    ));
}

#[test]
fn a_cut_of_one_node_stops_it_alone() {
    if !in_own_namespaces("a_cut_of_one_node_stops_it_alone") {
        return;
    }
    let mut cluster = Cluster::new(3);
    let disks = Mounted::new(&mut cluster);
    cluster.start_all();
    let load = Load::start("one cut", &cluster.apis, 4);
    let mut moments = Vec::new();
    for round in 0..2 {
        let leader = cluster.leader().id;
        let cut = if round == 0 { (leader + 1) % 3 } else { leader };
        sleep(Duration::from_millis(700));
        disks.cut(&[cut]);
        moments.push(Instant::now());
        // The next sync fails, and that ends the process: nobody kills it.
        assert_eq!(cluster.take(cut).ended(Duration::from_secs(10)), Some(74));
        cluster.leader();
        sleep(Duration::from_millis(700));
        disks.restore(cut);
        cluster.start(cut);
        cluster.leader();
    }
    let ledger = load.stop();
    ledger.check(&cluster);
    let after: Vec<Duration> = moments.into_iter().map(|moment| ledger.pauses(moment).1).collect();
    report(&format!(
        "a follower's and a leader's power cut: {} acknowledged, none lost; the next write after {after:?}",
        ledger.acknowledged.len(),
    ));
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    if !in_own_namespaces("a_full_disk_refuses_writes_and_loses_nothing") {
        return;
    }
    let mut cluster = Cluster::new(3);
    let disks = Mounted::new(&mut cluster);
    cluster.start_all();
    let load = Load::start("full", &cluster.apis, 4);
    let (mut leader, apis, mut probes) = (cluster.leader().id, cluster.apis.clone(), 0);
    let mut probe = |leader: usize| {
        probes += 1;
        let text = format!("probe {probes}");
        http::append(&apis[leader], &text, Duration::from_secs(5)).expect("a leader answers")
    };
    sleep(Duration::from_millis(700));
    assert!(ends_within(2 * SOON, || (0..3).all(|id| disks.has_reserve(id))), "each log has its reserve");
    let filling = Instant::now();
    (0..3).for_each(|id| disks.fill(id, 100 << 20));
    assert!(ends_within(SOON, || probe(leader).status == 507));
    let refused_after = filling.elapsed();
    // Whoever leads from here on knows it.
    for id in 0..3 {
        cluster.process(id).says("the disk is nearly full", SOON);
    }
    // To the last block: what the cluster itself writes has its reserve.
    (0..3).for_each(|id| disks.fill(id, 0));
    for _ in 0..3 {
        let refused = probe(leader).json;
        let said = (&refused["code"], &refused["outcome"], &refused["retryable"]);
        assert_eq!(said, (&json!("storage_full"), &json!("not_applied"), &json!(true)), "{refused}");
        let read = http::get(&cluster.apis[leader], "/log?index=1&limit=10").expect("reads go on");
        assert_eq!((read.status, read.json["entries"].as_array().map(Vec::len)), (200, Some(10)));
        let to = (leader + 1) % 3;
        let transfer = json!({ "to": to });
        let (method, path) = ("POST", "/v1/leader/transfer");
        let request = http::Request { method, path, body: Some(&transfer), within: SOON };
        let moved = http::ask(&cluster.apis[leader], &request).expect("leadership is handed over");
        assert_eq!(moved.status, 200, "{}", moved.json);
        leader = cluster.leader().id;
        assert_eq!(leader, to);
    }
    // A start takes a new segment, and there is no room for the next one; the first may find that of a segment which the
    // log doesn't need any more.
    let restarted = (leader + 1) % 3;
    let in_reserve = (0..3).any(|_| {
        cluster.kill(restarted);
        cluster.start(restarted);
        cluster.leader();
        let process = cluster.process(restarted);
        ends_within(SOON / 2, || process.output().contains("the log goes on in its reserve"))
    });
    assert!(in_reserve, "the log of node {restarted} goes on in its reserve");
    let emptied = Instant::now();
    (0..3).for_each(|id| disks.make_room(id));
    assert!(ends_within(SOON, || probe(leader).status == 200));
    let taken_after = emptied.elapsed();
    sleep(Duration::from_millis(700));
    let ledger = load.stop();
    ledger.check(&cluster);
    let during = |(_, time): &&(Entry, Instant)| *time > filling + refused_after && *time < emptied;
    let (refused, during) = (ledger.not_applied.len(), ledger.acknowledged.iter().filter(during).count());
    assert!(refused > 0 && ledger.acknowledged.iter().any(|(_, time)| *time > emptied));
    assert!((0..3).all(|id| cluster.process(id).runs()), "no node has stopped");
    report(&format!(
        "full disks: writes refused {refused_after:?} after the first was filled, taken {taken_after:?} after the first \
         had room; {} acknowledged ({during} while full), none lost; {refused} refused; three transfers and a start meanwhile",
        ledger.acknowledged.len(),
    ));
}

/// Shows that the tests above can see a loss: with nothing synced, one of a few cuts must lose something.
/// Disks that were set up lie from the first write of a client on.
fn must_lose(name: &str, set_up: impl Fn(&mut Cluster) -> Option<Disks>) {
    for tried in 1..=TRIES {
        let mut cluster = Cluster::new(3);
        let orders = set_up(&mut cluster);
        let disks = Mounted::new(&mut cluster);
        cluster.start_all();
        cluster.leader();
        // The founding and the empty segments stay, so that what is lost is entries and nothing else.
        disks.sync_all();
        if let Some(orders) = orders {
            orders.order(&[0, 1, 2], Order::Lie);
        }
        let load = Load::start(name, &cluster.apis, 6);
        sleep(Duration::from_millis(1000));
        disks.cut(&[0, 1, 2]);
        cluster.kill_all();
        let ledger = load.stop();
        (0..3).for_each(|id| disks.restore(id));
        cluster.start_all();
        cluster.leader();
        let logs: Vec<Vec<Entry>> = (0..3).map(|id| cluster.log(id)).collect();
        let lost = logs.iter().map(|log| ledger.missing(log).len()).min().unwrap_or(0);
        let acknowledged = ledger.acknowledged.len();
        report(&format!("{name}, cut {tried}: {lost} of {acknowledged} acknowledged entries lost"));
        if lost > 0 {
            return;
        }
    }
    panic!("{TRIES} power cuts with nothing synced lost nothing: these tests can't see a loss");
}

#[test]
fn without_syncs_a_cut_loses_acknowledged_entries() {
    if !in_own_namespaces("without_syncs_a_cut_loses_acknowledged_entries") {
        return;
    }
    must_lose("--unsafe-no-fsync", |cluster| {
        cluster.setups.iter_mut().for_each(|setup| setup.arguments.push("--unsafe-no-fsync".to_string()));
        None
    });
}

#[test]
fn disks_that_lie_lose_acknowledged_entries() {
    if !in_own_namespaces("disks_that_lie_lose_acknowledged_entries") {
        return;
    }
    must_lose("lying disks", |cluster| Some(Disks::new(cluster)));
}
