//! A write is acknowledged only after the sync on a majority, and a disk never holds up a heartbeat. A preloaded library
//! stands between the processes and their disks.

use crate::cluster::load::{Client, Load};
use crate::cluster::{Cluster, compile, ends_within, http, report};
use std::fs;
use std::path::PathBuf;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// Longer than any write takes here whose disks answer.
const NO_ANSWER: Duration = Duration::from_millis(2500);
const SOON: Duration = Duration::from_secs(10);

/// A cluster whose nodes' syncs do as they are told.
struct Disks {
    cluster: Cluster,
}

impl Disks {
    fn started(arguments: &[&str]) -> Disks {
        let mut cluster = Cluster::new(3);
        let library = cluster.directory().join("sync.so");
        compile("sync.c", &library, &["-shared", "-fPIC", "-ldl"]);
        let text = |path: PathBuf| path.to_str().expect("a plain path").to_string();
        for id in 0..3 {
            let control = text(control(&cluster, id));
            let setup = &mut cluster.setups[id];
            setup.variables.push(("LD_PRELOAD".into(), text(library.clone())));
            setup.variables.push(("SYNC_CONTROL".into(), control));
            setup.arguments.extend(arguments.iter().map(ToString::to_string));
        }
        cluster.start_all();
        cluster.leader();
        Disks { cluster }
    }

    /// What these nodes' syncs do from now on.
    fn order(&self, nodes: &[usize], order: &str) {
        for id in nodes {
            // The mark of an earlier order, if there was one.
            let _ = fs::remove_file(control(&self.cluster, *id).with_extension("hangs"));
            // Renamed into place, so that no call reads half of it.
            let (new, control) = (self.cluster.directory().join("new"), control(&self.cluster, *id));
            fs::write(&new, order).expect("the order is written");
            fs::rename(&new, &control).expect("the order is in its place");
        }
    }

    /// Waits until a sync of each of these nodes hangs.
    fn wait_hanging(&self, nodes: &[usize]) {
        for id in nodes {
            let mark = control(&self.cluster, *id).with_extension("hangs");
            assert!(
                ends_within(SOON, || mark.exists()),
                "no sync of node {id} hangs: is the library loaded?"
            );
        }
    }

    fn followers(&self) -> [usize; 2] {
        let leader = self.cluster.leader().id;
        [(leader + 1) % 3, (leader + 2) % 3]
    }

    /// Whether every other node follows somebody else.
    fn followers_know_another(&self, old: usize) -> bool {
        let knows = |id: usize| {
            let status = self.cluster.status(id)?;
            Some(status["leader_id"].as_u64()? != old as u64)
        };
        (0..3).filter(|id| *id != old).all(|id| knows(id) == Some(true))
    }
}

fn control(cluster: &Cluster, id: usize) -> PathBuf {
    cluster.directory().join(format!("sync-{id}"))
}

/// Hangs the syncs of two nodes with a write under way: it is not acknowledged, and nothing else is, until they go on.
fn no_answer_while_two_hang(disks: &Disks, hanging: &[usize]) {
    let cluster = &disks.cluster;
    disks.order(hanging, "hang");
    let load = Load::start(&format!("{hanging:?} hang"), &cluster.apis, 3);
    disks.wait_hanging(hanging);
    // A sync that was under way before has had its time now; from here on none ends on a majority.
    sleep(Duration::from_millis(200));
    let quiet_from = Instant::now();
    sleep(NO_ANSWER);
    let released = Instant::now();
    disks.order(hanging, "ok");
    sleep(Duration::from_millis(1500));
    let mut client = Client::new(&format!("{hanging:?} released"), &cluster.apis, 0);
    let written = client.write(0, || released.elapsed() > SOON);
    assert!(written.is_some(), "no write within {SOON:?} of the release");
    let mut ledger = load.stop();
    let early = ledger.acknowledged.iter().filter(|(_, at)| (quiet_from..released).contains(at)).count();
    assert_eq!(early, 0, "acknowledged with nothing but one disk");
    ledger.add(client.ledger);
    ledger.check(cluster);
    report(&format!(
        "syncs of {hanging:?} hang: no write acknowledged in {NO_ANSWER:?}, {} after the release, the first after {:?}",
        ledger.acknowledged.len(),
        ledger.pauses(released).1,
    ));
}

#[test]
fn no_write_is_acknowledged_while_two_of_three_disks_hang() {
    let disks = Disks::started(&[]);
    no_answer_while_two_hang(&disks, &disks.followers());
    let leader = disks.cluster.leader().id;
    no_answer_while_two_hang(&disks, &[leader, (leader + 1) % 3]);
}

#[test]
fn writes_go_on_while_a_followers_disk_hangs() {
    let disks = Disks::started(&[]);
    let [hanging, _] = disks.followers();
    disks.order(&[hanging], "hang");
    let began = Instant::now();
    let mut client = Client::new("one hangs", &disks.cluster.apis, 0);
    for number in 0..200 {
        client.write(number, || began.elapsed() > SOON).expect("writes go on");
    }
    disks.wait_hanging(&[hanging]);
    report(&format!("sync of one follower hangs: 200 writes in {:?}", began.elapsed()));
    disks.order(&[hanging], "ok");
    client.ledger.check(&disks.cluster);
}

#[test]
fn a_failed_sync_stops_the_node_and_the_others_go_on() {
    let mut disks = Disks::started(&[]);
    let load = Load::start("one fails", &disks.cluster.apis, 3);
    for round in 0..2 {
        let failing = if round == 0 { disks.followers()[0] } else { disks.cluster.leader().id };
        sleep(Duration::from_millis(500));
        disks.order(&[failing], "fail");
        let failed = disks.cluster.take(failing);
        let said = failed.says("can't sync", SOON);
        assert_eq!(failed.ended(SOON), Some(74), "{said}");
        let leader = disks.cluster.leader();
        assert_ne!(leader.id, failing);
        sleep(Duration::from_millis(500));
        disks.order(&[failing], "ok");
        disks.cluster.start(failing);
        disks.cluster.leader();
    }
    let ledger = load.stop();
    ledger.check(&disks.cluster);
    let (longest, _) = ledger.pauses(ledger.acknowledged[0].1);
    report(&format!(
        "failed syncs of a follower and of the leader: both exit 74; {} acknowledged, longest pause {longest:?}",
        ledger.acknowledged.len()
    ));
}

#[test]
fn heartbeats_go_on_while_all_disks_hang() {
    let disks = Disks::started(&["--election-timeout", "1500ms"]);
    let before = disks.cluster.leader();
    let leader = &disks.cluster.apis[before.id];
    let mut reads = 0;
    for round in 0..5 {
        disks.order(&[0, 1, 2], "hang");
        let (to, text) = (leader.clone(), format!("during stall {round}"));
        let write = spawn(move || http::append(&to, &text, SOON));
        disks.wait_hanging(&[0, 1, 2]);
        // A read needs a whole round of heartbeats, there and back.
        let hung = Instant::now();
        while hung.elapsed() < Duration::from_millis(750) {
            let answer = http::get(leader, "/?key=k&timeout=500ms").expect("the leader answers");
            assert_eq!(answer.json["found"], false, "a read while all disks hang: {}", answer.json);
            reads += 1;
            sleep(Duration::from_millis(10));
        }
        disks.order(&[0, 1, 2], "ok");
        let answer = write.join().expect("no panic").expect("the leader answers");
        assert_eq!(answer.json["success"], true, "{}", answer.json);
    }
    assert_eq!(disks.cluster.leader(), before, "a stall shorter than the election timeout changes nothing");
    report(&format!("all syncs stall 5 times for 750 ms: {reads} reads meanwhile, the same leader and term"));
}

#[test]
fn a_leader_whose_disk_hangs_for_good_makes_room() {
    let timeout = Duration::from_millis(1500);
    let disks = Disks::started(&["--election-timeout", "1500ms"]);
    let before = disks.cluster.leader();
    disks.order(&[before.id], "hang");
    let load = Load::start("leader hangs", &disks.cluster.apis, 3);
    disks.wait_hanging(&[before.id]);
    let hung = Instant::now();
    let made_room = ends_within(SOON, || disks.followers_know_another(before.id));
    assert!(made_room, "node {} still leads with a disk that hangs", before.id);
    let took = hung.elapsed();
    // It leads for one election timeout more, with heartbeats; the others wait one more since the last of them.
    assert!(took > timeout * 2 - Duration::from_millis(200), "the disk held up heartbeats: {took:?}");
    sleep(Duration::from_millis(1000));
    disks.order(&[before.id], "ok");
    let ledger = load.stop();
    ledger.check(&disks.cluster);
    report(&format!("the leader's sync hangs for good: another one leads after {took:?}"));
}
