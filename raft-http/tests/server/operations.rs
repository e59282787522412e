//! What operators look at: metrics, the cluster, events.

use crate::cluster::{Cluster, PATIENCE};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A GET whose answer is no JSON, read until `enough` of it is there.
async fn text(address: &str, path: &str, enough: impl Fn(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: me\r\n\r\n").as_bytes()).await.unwrap();
    let mut received = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&received).into_owned();
        if enough(&so_far) {
            return so_far;
        }
        let read = timeout(PATIENCE, stream.read_buf(&mut received)).await;
        let read = read.unwrap_or_else(|_| panic!("it goes on: {so_far}")).unwrap();
        assert!(read > 0, "it ended early: {so_far}");
    }
}

async fn metrics(address: &str) -> String {
    text(address, "/metrics", |text| text.ends_with("# EOF\n")).await
}

/// The value of a metric, whose labels are part of the name.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let (cluster, leader) = Cluster::of_three().await;
    let mut client = cluster.client(leader).await;
    for number in 0..10 {
        client.post("/request", &json!({ "entry": format!("secret {number}") })).await;
    }
    client.get("/v1/kv/a/secret/key").await;
    let metrics = metrics(cluster.api(leader)).await;
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    for phase in ["queue", "sync", "replicate", "apply"] {
        let name = format!("httpraft_proposal_phase_seconds_count{{phase=\"{phase}\"}}");
        assert_eq!(value(&metrics, &name), 10.0, "{phase}");
    }
    let requests = "httpraft_http_request_seconds_count{method=\"POST\",route=\"/request\",status=\"200\"}";
    assert_eq!(value(&metrics, requests), 10.0);
    assert!(value(&metrics, "httpraft_wal_fsync_seconds_count") >= 1.0);
    assert_eq!(value(&metrics, "httpraft_is_leader"), 1.0);
    assert!(value(&metrics, "httpraft_elections_total") >= 1.0);
    assert!(value(&metrics, "httpraft_resident_memory_bytes") > 1e6);
    for peer in (0..3).filter(|peer| *peer != leader) {
        assert!(value(&metrics, &format!("httpraft_peer_lag_entries{{peer=\"{peer}\"}}")) < 10.0);
    }
    assert!(!metrics.contains("secret"), "neither keys nor values are labels");
    let follower = (leader + 1) % 3;
    let metrics = self::metrics(cluster.api(follower)).await;
    assert_eq!(value(&metrics, "httpraft_is_leader"), 0.0);
    assert!(!metrics.contains("httpraft_peer_lag_entries{"), "a follower knows nothing of the others");
}

#[tokio::test]
async fn the_cluster_is_shown_with_those_who_do_not_answer() {
    let (mut cluster, leader) = Cluster::of_three().await;
    let (dead, asked) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(leader).await;
    cluster.kill(dead).await;
    // Nobody leads any more.
    let reply = cluster.client(asked).await.get("/v1/cluster").await;
    assert_eq!(reply.status, 200);
    let rows = reply.json["nodes"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["id"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    for row in rows {
        let up = row["id"] == asked;
        assert_eq!(row["reachable"], up, "{row}");
        assert_eq!(row["error"].is_string(), !up, "{row}");
    }
    let refused = cluster.client(asked).await.get("/v1/cluster?consistancy=stale").await;
    assert_eq!((refused.status, &refused.json["code"]), (400, &json!("bad_query")));
}

#[tokio::test]
async fn events_tell_each_change_of_state() {
    let (cluster, leader) = Cluster::of_three().await;
    let address = cluster.api(leader).to_string();
    let new = (leader + 1) % 3;
    let following = tokio::spawn(async move {
        text(&address, "/v1/events", |text| text.contains(&format!("leader {new}\n"))).await
    });
    let known = || async { metrics(cluster.api(leader)).await.contains("route=\"/v1/events\"") };
    while !known().await {}
    cluster.client(leader).await.post("/v1/leader/transfer", &json!({ "to": new })).await;
    let events = following.await.unwrap();
    assert!(events.contains("text/event-stream"), "{events}");
    let term = events.lines().find(|line| line.contains("tells: leader in term"));
    assert!(term.is_some_and(|line| line.starts_with("data: ")), "how it is comes first: {events}");
    assert!(events.contains(&format!("{leader} tells: handing over to {new}")), "{events}");
    assert!(events.contains(&format!("{leader} tells: follower in term")), "{events}");
}
