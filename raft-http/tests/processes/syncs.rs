//! A write is acknowledged only after the sync on a majority, and a disk never holds up a heartbeat. A preloaded library
//! stands between the processes and their disks.

use crate::cluster::disks::{Disks, Order};
use crate::cluster::load::{Client, Load};
use crate::cluster::{Cluster, ends_within, http, report};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// Longer than any write takes here whose disks answer.
const NO_ANSWER: Duration = Duration::from_millis(2500);
const SOON: Duration = Duration::from_secs(10);

/// A cluster with a leader, and its disks.
fn started(arguments: &[&str]) -> (Cluster, Disks) {
    let mut cluster = Cluster::new(3);
    let disks = Disks::new(&mut cluster);
    for setup in &mut cluster.setups {
        setup.arguments.extend(arguments.iter().map(ToString::to_string));
    }
    cluster.start_all();
    cluster.leader();
    (cluster, disks)
}

fn followers(cluster: &Cluster) -> [usize; 2] {
    let leader = cluster.leader().id;
    [(leader + 1) % 3, (leader + 2) % 3]
}

/// Hangs the syncs of two nodes with a write under way: it is not acknowledged, and nothing else is, until they go on.
fn no_answer_while_two_hang(cluster: &Cluster, disks: &Disks, hanging: &[usize]) {
    disks.order(hanging, Order::Hang);
    let load = Load::start(&format!("{hanging:?} hang"), &cluster.apis, 3);
    disks.wait_hanging(hanging);
    // A sync that was under way before has had its time now; from here on none ends on a majority.
    sleep(Duration::from_millis(200));
    let quiet_from = Instant::now();
    sleep(NO_ANSWER);
    let released = Instant::now();
    disks.order(hanging, Order::Work);
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
    let (cluster, disks) = started(&[]);
    no_answer_while_two_hang(&cluster, &disks, &followers(&cluster));
    let leader = cluster.leader().id;
    no_answer_while_two_hang(&cluster, &disks, &[leader, (leader + 1) % 3]);
}

#[test]
fn writes_go_on_while_a_followers_disk_hangs() {
    let (cluster, disks) = started(&[]);
    let [hanging, _] = followers(&cluster);
    disks.order(&[hanging], Order::Hang);
    let began = Instant::now();
    let mut client = Client::new("one hangs", &cluster.apis, 0);
    for number in 0..200 {
        client.write(number, || began.elapsed() > SOON).expect("writes go on");
    }
    disks.wait_hanging(&[hanging]);
    report(&format!("sync of one follower hangs: 200 writes in {:?}", began.elapsed()));
    disks.order(&[hanging], Order::Work);
    client.ledger.check(&cluster);
}

#[test]
fn a_failed_sync_stops_the_node_and_the_others_go_on() {
    let (mut cluster, disks) = started(&[]);
    let load = Load::start("one fails", &cluster.apis, 3);
    for round in 0..2 {
        let failing = if round == 0 { followers(&cluster)[0] } else { cluster.leader().id };
        sleep(Duration::from_millis(500));
        disks.order(&[failing], Order::Fail);
        let failed = cluster.take(failing);
        let said = failed.says("can't sync", SOON);
        assert_eq!(failed.ended(SOON), Some(74), "{said}");
        let leader = cluster.leader();
        assert_ne!(leader.id, failing);
        sleep(Duration::from_millis(500));
        disks.order(&[failing], Order::Work);
        cluster.start(failing);
        cluster.leader();
    }
    let ledger = load.stop();
    ledger.check(&cluster);
    let (longest, _) = ledger.pauses(ledger.acknowledged[0].1);
    report(&format!(
        "failed syncs of a follower and of the leader: both exit 74; {} acknowledged, longest pause {longest:?}",
        ledger.acknowledged.len()
    ));
}

#[test]
fn heartbeats_go_on_while_all_disks_hang() {
    let (cluster, disks) = started(&["--election-timeout", "3s"]);
    let before = cluster.leader();
    let leader = &cluster.apis[before.id];
    let mut reads = 0;
    for round in 0..3 {
        disks.order(&[0, 1, 2], Order::Hang);
        let (to, text) = (leader.clone(), format!("during stall {round}"));
        let write = spawn(move || http::append(&to, &text, SOON));
        disks.wait_hanging(&[0, 1, 2]);
        // A read needs a whole round of heartbeats, there and back.
        let hung = Instant::now();
        while hung.elapsed() < Duration::from_secs(1) {
            let answer = http::get(leader, "/?key=k&timeout=500ms").expect("the leader answers");
            assert_eq!(answer.json["found"], false, "a read while all disks hang: {}", answer.json);
            reads += 1;
            sleep(Duration::from_millis(10));
        }
        disks.order(&[0, 1, 2], Order::Work);
        let answer = write.join().expect("no panic").expect("the leader answers");
        assert_eq!(answer.json["success"], true, "{}", answer.json);
    }
    assert_eq!(cluster.leader(), before, "a stall shorter than the election timeout changes nothing");
    report(&format!("all syncs stall 3 times for 1 s: {reads} reads meanwhile, the same leader and term"));
}

#[test]
fn a_leader_whose_disk_hangs_for_good_makes_room() {
    let timeout = Duration::from_millis(1500);
    let (cluster, disks) = started(&["--election-timeout", "1500ms"]);
    let before = cluster.leader();
    disks.order(&[before.id], Order::Hang);
    let load = Load::start("leader hangs", &cluster.apis, 3);
    disks.wait_hanging(&[before.id]);
    let hung = Instant::now();
    let others = [(before.id + 1) % 3, (before.id + 2) % 3];
    let follows_another = |id: &usize| {
        let leader = cluster.status(*id).and_then(|status| status["leader_id"].as_u64());
        leader.is_some_and(|leader| leader != before.id as u64)
    };
    let made_room = ends_within(SOON, || others.iter().all(follows_another));
    assert!(made_room, "node {} still leads with a disk that hangs", before.id);
    let took = hung.elapsed();
    // It leads for one election timeout more, with heartbeats; the others wait one more since the last of them.
    assert!(took > timeout * 2 - Duration::from_millis(200), "the disk held up heartbeats: {took:?}");
    sleep(Duration::from_millis(1000));
    disks.order(&[before.id], Order::Work);
    let ledger = load.stop();
    ledger.check(&cluster);
    report(&format!("the leader's sync hangs for good: another one leads after {took:?}"));
}
