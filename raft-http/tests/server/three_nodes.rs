//! Three nodes in one process: elections, writes, reads, the loss of a leader, answers to everybody their own.

use crate::cluster::{Client, Cluster, PATIENCE, configs};
use raft_http::exit::Code;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sends a write as a client does that goes where it is told, until it is acknowledged.
async fn insist(cluster: &Cluster, start: usize, entry: &str) -> u64 {
    let begun = Instant::now();
    let mut address = cluster.api(start).to_string();
    loop {
        assert!(begun.elapsed() < PATIENCE, "{entry} is acknowledged in time");
        if tokio::net::TcpStream::connect(&address).await.is_err() {
            let known = cluster.configs[start].apis.iter().position(|api| *api == address).unwrap();
            address = cluster.api((known + 1) % cluster.configs.len()).to_string();
            continue;
        }
        let mut client = Client::new(&address).await;
        let reply = client.post("/request", &json!({ "entry": entry })).await;
        reply.check(&cluster.configs[start].apis);
        if reply.json["success"] == true {
            return reply.json["index"].as_u64().unwrap();
        }
        address = reply.json["leader"].as_str().unwrap().to_string();
        sleep(Duration::from_millis(10)).await;
    }
}

/// The node's log from index 1 on, once it reaches `index`.
async fn log(cluster: &Cluster, id: usize, index: u64) -> BTreeMap<u64, String> {
    let begun = Instant::now();
    let mut client = cluster.client(id).await;
    loop {
        let reply = client.get("/log?index=1&limit=10000").await;
        if reply.json["commit"].as_u64().unwrap() >= index {
            let entries = reply.json["entries"].as_array().unwrap();
            let entry = |entry: &Value| {
                (entry["index"].as_u64().unwrap(), entry["entry"].as_str().unwrap().to_string())
            };
            return entries.iter().map(entry).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "node {id} catches up");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_node_has_what_was_acknowledged_in_one_order() {
    let (cluster, _) = Cluster::of_three().await;
    let mut written = BTreeMap::new();
    for number in 0..30 {
        let entry = format!("entry {number}");
        written.insert(insist(&cluster, number % 3, &entry).await, entry);
    }
    let last = *written.keys().last().unwrap();
    for id in 0..3 {
        assert_eq!(log(&cluster, id, last).await, written);
    }
}

#[tokio::test]
async fn a_follower_says_who_leads_and_that_nothing_happened() {
    let (cluster, leader) = Cluster::of_three().await;
    let follower = (leader + 1) % 3;
    let mut client = cluster.client(follower).await;
    let expected = |mut fields: Value| {
        fields["leader"] = json!(cluster.api(leader));
        fields["code"] = json!("not_leader");
        fields
    };
    let reply = client.post("/request", &json!({ "entry": "x" })).await;
    reply.check(&cluster.configs[0].apis);
    assert_eq!(
        (reply.status, reply.json),
        (200, expected(json!({ "success": false, "outcome": "not_applied" })))
    );
    let reply = client.put("/", &json!({ "key": "k", "value": "v" })).await;
    assert_eq!((reply.status, reply.json), (200, expected(json!({ "outcome": "not_applied" }))));
    // A read it serves itself, as fresh as the leader's.
    let mut writer = cluster.client(leader).await;
    for number in 0..20 {
        let value = json!(number.to_string());
        let written = writer.put("/", &json!({ "key": "k", "value": value })).await;
        let read = client.get("/?key=k").await;
        assert_eq!((read.status, &read.json["value"]), (200, &value), "{read:?}");
        assert_eq!(read.headers["raft-consistency"], "linearizable");
        let log = client.get(&format!("/log?index={}", written.json["index"])).await;
        assert_eq!(log.json["entries"][0]["entry"], json!(format!("k:{number}")));
    }
    let stale = client.get("/?key=k&consistency=stale").await;
    assert_eq!(stale.headers["raft-consistency"], "stale");
    assert!(stale.headers["raft-last-contact-ms"].parse::<u64>().unwrap() < 5000, "{stale:?}");
    let lease = client.get("/?key=k&consistency=lease").await;
    assert_eq!((lease.status, &lease.json["code"]), (400, &json!("bad_query")), "only where it is turned on");
    assert_eq!(client.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_read_sees_every_write_that_was_acknowledged_before_it() {
    let (cluster, leader) = Cluster::of_three().await;
    let mut writer = cluster.client(leader).await;
    let mut reader = cluster.client(leader).await;
    for number in 0..50 {
        let written = writer.put("/", &json!({ "key": "k", "value": number.to_string() })).await;
        assert_eq!(written.status, 200, "{written:?}");
        let read = reader.get("/?key=k").await;
        assert_eq!(read.json["value"], json!(number.to_string()));
        assert!(read.json["index"].as_u64() >= written.json["index"].as_u64());
        assert_eq!(read.headers["raft-consistency"], "linearizable");
    }
}

#[tokio::test]
async fn each_of_many_clients_gets_its_own_answer() {
    let (cluster, leader) = Cluster::of_three().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..32 {
        let mut connection = cluster.client(leader).await;
        clients.spawn(async move {
            let mut written = Vec::new();
            for number in 0..20 {
                let text = format!("client {client} entry {number}");
                let reply = if number % 2 == 0 {
                    connection.post("/request", &json!({ "entry": text })).await
                } else {
                    let put =
                        connection.put("/", &json!({ "key": format!("k{client}"), "value": text })).await;
                    assert_eq!(put.json["value"], json!(text));
                    put
                };
                assert_eq!(reply.status, 200, "{reply:?}");
                let index = reply.json["index"].as_u64().unwrap();
                let text = if number % 2 == 0 { text } else { format!("k{client}:{text}") };
                assert_eq!(reply.headers["raft-index"], index.to_string());
                written.push((index, text));
            }
            written
        });
    }
    let written: BTreeMap<u64, String> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(written.len(), 32 * 20);
    let last = *written.keys().last().unwrap();
    for id in 0..3 {
        assert_eq!(log(&cluster, id, last).await, written);
    }
}

#[tokio::test]
async fn the_cluster_outlives_the_stop_of_its_leader() {
    let (mut cluster, leader) = Cluster::of_three().await;
    let mut written = BTreeMap::new();
    for number in 0..10 {
        let entry = format!("before {number}");
        written.insert(insist(&cluster, leader, &entry).await, entry);
    }
    let stopping = Instant::now();
    let exit = cluster.stop(leader).await;
    assert_eq!(exit.code, Code::Ok, "{exit:?}");
    assert!(stopping.elapsed() < Duration::from_secs(5), "idle connections don't hold the stop up");
    for number in 0..10 {
        let entry = format!("after {number}");
        written.insert(insist(&cluster, leader, &entry).await, entry);
    }
    let last = *written.keys().last().unwrap();
    for id in (0..3).filter(|id| *id != leader) {
        assert_eq!(log(&cluster, id, last).await, written);
    }
}

#[tokio::test]
async fn without_a_quorum_a_write_ends_at_its_deadline_and_says_so() {
    let (mut cluster, leader) = Cluster::of_three().await;
    let mut client = cluster.client(leader).await;
    for id in (0..3).filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    let begun = Instant::now();
    let reply = client.post("/request?timeout=300ms", &json!({ "entry": "x" })).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    reply.check(&cluster.configs[0].apis);
    assert_eq!(
        (reply.status, &reply.json["code"], &reply.json["outcome"]),
        (504, &json!("timeout"), &json!("unknown"))
    );
    // By now it has stepped down, and knows of no leader.
    let begun = Instant::now();
    let reply = loop {
        let reply = client.post("/request", &json!({ "entry": "y" })).await;
        if reply.json["code"] != "timeout" {
            break reply;
        }
    };
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!((reply.status, &reply.json["code"]), (503, &json!("no_leader")), "{reply:?}");
    assert_eq!(reply.json["outcome"], "not_applied");
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(reply.json["leader"], cluster.api(leader), "its own address while none leads");
    let reply = client.get("/?key=k").await;
    assert_eq!((reply.status, reply.json.get("outcome")), (503, None));
    assert_eq!(client.get("/readyz").await.json["code"], "no_leader");
    assert_eq!(client.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_node_of_another_cluster_is_not_listened_to() {
    let configs = configs(2, &[]);
    let other = raft_core::ClusterId(configs[1].cluster_id.0 ^ 1);
    let mut configs = configs;
    configs[1].cluster_id = other;
    let cluster = Cluster::start(configs).await;
    let mut client = cluster.client(0).await;
    let reply = client.post("/request?timeout=500ms", &json!({ "entry": "x" })).await;
    assert_eq!((reply.status, &reply.json["code"]), (503, &json!("starting")), "{reply:?}");
    assert_eq!(client.get("/readyz").await.json["code"], "starting");
}

#[tokio::test]
async fn a_leader_that_is_stopped_under_load_leaves_nobody_without_an_answer() {
    let (mut cluster, leader) = Cluster::of_three().await;
    let apis = cluster.configs[0].apis.clone();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let apis = apis.clone();
        writers.spawn(async move {
            let (mut written, mut at) = (BTreeMap::new(), leader);
            for number in 0..60 {
                // A new connection each: one that is kept may be closed just as a request sets out.
                let entry = format!("writer {writer} entry {number}");
                let body = json!({ "entry": entry });
                let Ok(mut client) = Client::connect(&apis[at]).await else {
                    at = (at + 1) % 3;
                    continue;
                };
                let Some(reply) = client.try_post("/request", &body).await else { continue };
                reply.check(&apis);
                if reply.json["success"] == true {
                    written.insert(reply.json["index"].as_u64().unwrap(), entry);
                } else {
                    assert_eq!(reply.json["outcome"], "not_applied", "nothing is in doubt: {reply:?}");
                    at = apis.iter().position(|api| reply.json["leader"] == *api).unwrap();
                }
                sleep(Duration::from_millis(2)).await;
            }
            written
        });
    }
    sleep(Duration::from_millis(60)).await;
    assert_eq!(cluster.stop(leader).await.code, Code::Ok);
    let written: BTreeMap<u64, String> = writers.join_all().await.into_iter().flatten().collect();
    let last = *written.keys().last().unwrap();
    for id in (0..3).filter(|id| *id != leader) {
        let log = log(&cluster, id, last).await;
        for (index, entry) in &written {
            assert_eq!(log.get(index), Some(entry));
        }
        let distinct: std::collections::BTreeSet<&String> = log.values().collect();
        assert_eq!(distinct.len(), log.len(), "nothing twice");
    }
    assert!(written.len() > 300, "writes went on: {}", written.len());
}

#[tokio::test]
async fn the_death_of_a_leader_costs_little_more_than_the_election_timeout() {
    let times = [("heartbeat", json!("100ms")), ("election_timeout", json!("500ms"))];
    let mut cluster = Cluster::start(configs(3, &times)).await;
    let leader = cluster.leader().await;
    let before = cluster.client(leader).await.get("/v1/status").await.json["term"].as_u64().unwrap();
    cluster.kill(leader).await;
    let died = Instant::now();
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    assert!(died.elapsed() >= Duration::from_millis(400), "voters are patient: {:?}", died.elapsed());
    // Far less than the 1 s that the longest draw takes, even on a busy machine.
    assert!(died.elapsed() < Duration::from_millis(800), "{:?}", died.elapsed());
    let after = cluster.client(next).await.get("/v1/status").await.json["term"].as_u64().unwrap();
    assert_eq!(after, before + 1, "the first election is won");
}

/// Whether a leader that has just lost both others answers by its lease.
async fn leads_by_lease(short: Option<usize>) -> bool {
    let times =
        [("heartbeat", json!("100ms")), ("election_timeout", json!("3s")), ("lease_reads", json!(true))];
    let mut configs = configs(3, &times);
    if let Some(short) = short {
        configs[short].election_timeout = Duration::from_secs(2);
    }
    let mut cluster = Cluster::start(configs).await;
    cluster.leader().await;
    let to = json!({ "to": 0 });
    assert_eq!(cluster.client(1).await.post("/v1/leader/transfer", &to).await.status, 200);
    let mut client = cluster.client(0).await;
    // It has committed an entry of its term, and has heard both in it.
    assert_eq!(client.post("/request", &json!({ "entry": "x" })).await.status, 200);
    sleep(Duration::from_millis(300)).await;
    let path = "/v1/log?consistency=lease&timeout=400ms";
    assert_eq!(client.get(path).await.status, 200, "by a lease, or by a quorum");
    cluster.kill(1).await;
    cluster.kill(2).await;
    let reply = client.get(path).await;
    assert!(matches!(reply.status, 200 | 504), "{reply:?}");
    reply.status == 200
}

#[tokio::test]
async fn a_lease_rests_on_the_patience_of_all_voters() {
    assert!(leads_by_lease(None).await);
    assert!(!leads_by_lease(Some(2)).await, "one of them may elect another leader sooner");
    assert!(leads_by_lease(Some(0)).await, "the leader's own is the shortest");
}
