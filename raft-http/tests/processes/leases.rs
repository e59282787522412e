//! A leader that sleeps past its lease answers no read by it, also if nobody tells it what happened meanwhile.

use crate::cluster::http::{self, Request};
use crate::cluster::{Cluster, ELECTION, ends_within, report};
use serde_json::{Value, json};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

const ROUNDS: usize = 4;
const READS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the woken leader is left without a word of the others: it has its clock alone.
const ALONE: Duration = Duration::from_millis(300);

fn put(api: &str, value: &str) -> bool {
    let body = json!({ "key": "k", "value": value });
    let request = Request { method: "PUT", path: "/", body: Some(&body), within: PATIENCE };
    http::ask(api, &request).is_ok_and(|answer| answer.status == 200 && answer.json["value"] == value)
}

/// A read by the lease that has its answer some time; `None` for a refusal.
fn read(api: &str) -> JoinHandle<Option<Value>> {
    let api = api.to_string();
    std::thread::spawn(move || {
        let path = "/?key=k&consistency=lease";
        let request = Request { method: "GET", path, body: None, within: PATIENCE };
        http::ask(&api, &request).ok().filter(|answer| answer.status == 200).map(|answer| answer.json)
    })
}

#[test]
fn a_stopped_leader_reads_nothing_stale_when_it_wakes() {
    let mut cluster = Cluster::new(3);
    let wires = cluster.put_wires();
    for setup in &mut cluster.setups {
        setup.arguments.push("--lease-reads".to_string());
    }
    cluster.start_all();
    let (mut fresh, mut none) = (0, 0);
    for round in 0..ROUNDS {
        let old = cluster.leader().id;
        let value = |what: &str| format!("{what} {round}");
        assert!(put(&cluster.apis[old], &value("before")));
        let awake = read(&cluster.apis[old]).join().expect("no panic").expect("an answer");
        assert_eq!(awake["value"], json!(value("before")));

        cluster.process(old).pause();
        wires[old].hold();
        let others = [(old + 1) % 3, (old + 2) % 3];
        let written = ends_within(ELECTION, || {
            let lead = |id: &usize| cluster.status(*id).is_some_and(|status| status["role"] == "leader");
            others.into_iter().find(lead).is_some_and(|id| put(&cluster.apis[id], &value("after")))
        });
        assert!(written, "another leader takes writes");
        // They begin after the write, and wait in the sleeping process's sockets.
        let reads: Vec<_> = (0..READS).map(|_| read(&cluster.apis[old])).collect();
        sleep(Duration::from_millis(100));
        cluster.process(old).wake();
        sleep(ALONE);
        wires[old].release();
        for answer in reads {
            match answer.join().expect("no panic") {
                Some(answer) => {
                    assert_eq!(
                        answer["value"],
                        json!(value("after")),
                        "a read begun after the write is stale"
                    );
                    fresh += 1;
                }
                None => none += 1,
            }
        }
    }
    report(&format!("lease reads at a leader that slept: {fresh} fresh, {none} refused, none stale"));
}
