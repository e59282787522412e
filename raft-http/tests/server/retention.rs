//! `log_retention`: what is dropped of the clients' log, the same on every node, and how clients learn of it.

use crate::cluster::stream::Stream;
use crate::cluster::{Client, Cluster, PATIENCE, Reply, configs};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Appends entries of a kibibyte; the newest one's index.
async fn fill(client: &mut Client, count: usize) -> u64 {
    let mut last = 0;
    for _ in 0..count {
        let appended = client.with("POST", "/v1/log", &[], &[b'x'; 1024]).await;
        last = appended.json["index"].as_u64().unwrap();
    }
    last
}

fn compacted(reply: &Reply, first: u64) {
    assert_eq!((reply.status, &reply.json["code"]), (410, &json!("compacted")), "{reply:?}");
    assert_eq!((&reply.json["first_index"], reply.json.get("outcome")), (&json!(first), None));
}

#[tokio::test]
async fn every_node_drops_the_same_and_keeps_the_keys() {
    let settings = [("log_retention", json!(100)), ("audit_interval", json!("100ms"))];
    let cluster = Cluster::start(configs(3, &settings)).await;
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    client.with("PUT", "/v1/kv/old", &[], b"kept").await;
    let last = fill(&mut client, 300).await;
    let page = client.get("/v1/log").await.json;
    let first = page["first"].as_u64().unwrap();
    assert!((last - 250..=last - 99).contains(&first), "of {last} entries the log begins at {first}");
    assert_eq!(page["entries"][0]["index"], json!(first));
    for node in 0..3 {
        let mut client = cluster.client(node).await;
        let path = format!("/v1/log?from={first}&min_index={last}");
        let same = client.get(&path).await;
        assert!(same.status == 200 && same.json["entries"] == page["entries"], "node {node}");
        assert_eq!(same.json["first"], json!(first), "node {node}");
        let old = client.get("/v1/kv/old").await;
        assert_eq!((old.status, old.body.as_slice()), (200, &b"kept"[..]), "node {node}");
    }
    // The digests of all that is kept agree, or nodes would stop. A mark behind the last entry is compared.
    let began = Instant::now();
    loop {
        let mut newest = Vec::new();
        for node in 0..3 {
            let digests = cluster.client(node).await.get("/v1/digest").await.json["digests"].take();
            newest.push(digests.as_array().unwrap().last().cloned().unwrap_or_default());
        }
        let is_behind = newest[0]["index"].as_u64().is_some_and(|index| index > last);
        if is_behind && newest.iter().all(|digest| digest["index"] == newest[0]["index"]) {
            assert!(newest.iter().all(|digest| digest == &newest[0]), "{newest:?}");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{newest:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_asks_for_what_is_gone_is_told_where_the_log_begins() {
    let cluster = Cluster::of_one(&[("log_retention", json!(1))]).await;
    let mut client = cluster.client(0).await;
    client.with("PUT", "/v1/kv/a", &[], b"1").await;
    fill(&mut client, 200).await;
    client.with("PUT", "/v1/kv/a", &[], b"2").await;
    let first = client.get("/v1/log").await.json["first"].as_u64().unwrap();
    assert!(first > 60, "it begins at {first}");
    let below = first - 1;
    compacted(&client.get(&format!("/v1/log?from={below}")).await, first);
    compacted(&client.get("/log?index=1").await, first);
    let lines = [("Accept", "application/x-ndjson")];
    compacted(&client.with("GET", "/v1/log?from=1", &lines, b"").await, first);
    let seed = client.get("/log").await.json;
    assert_eq!((&seed["first"], &seed["entries"][0]["index"]), (&json!(first), &json!(first)));
    assert_eq!(client.get(&format!("/log?index={first}")).await.status, 200);

    let mut watch = Stream::open(&client, "/v1/watch?from_index=1", &[]).await;
    let events = watch.events(3).await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["progress", "compacted", "put"]);
    assert_eq!((&events[1].data, events[1].id), (&json!({ "first_index": first }), Some(below)));
    assert_eq!(events[2].data["value"], json!("2"));
    // Who goes on behind it has missed nothing since.
    let mut resumed = Stream::open(&client, "/v1/watch", &[("Last-Event-ID", &below.to_string())]).await;
    assert_eq!(resumed.events(2).await[1], events[2]);
    let follow = [("Accept", "text/event-stream")];
    let mut log = Stream::open(&client, "/v1/log?from=1", &follow).await;
    let events = log.events(3).await;
    assert_eq!((events[1].kind.as_str(), &events[2].data["index"]), ("compacted", &json!(first)));
}

#[tokio::test]
async fn without_the_setting_all_is_kept() {
    let cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    fill(&mut client, 200).await;
    let page = client.get("/v1/log?from=1").await;
    assert_eq!((page.status, &page.json["first"]), (200, &json!(1)));
    assert_eq!(page.json["entries"].as_array().unwrap().len(), 200);
}
