//! The clients' routes of `/v1` on three nodes: forwarding, exactly once, and replicas that compare themselves.

use crate::cluster::{Cluster, PATIENCE, Reply, configs};
use raft_core::envelope::Envelope;
use raft_core::{ClusterId, Entry, EntryId, Index, Payload};
use raft_http::config::{Config, Store};
use raft_http::exit::{Code, Exit};
use raft_http::machine::{Command, Machine, Operation};
use raft_http::snapshots::{restore, write};
use raft_http::start::Prepared;
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

fn refused(reply: &Reply, status: u16, code: &str, outcome: &str) {
    let found = (reply.status, &reply.json["code"], &reply.json["outcome"]);
    assert_eq!(found, (status, &json!(code), &json!(outcome)), "{reply:?}");
}

/// A UUIDv7 made so many milliseconds from now.
fn uuid(from_now_ms: i64, number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let made = now + from_now_ms;
    format!("{:08x}-{:04x}-7000-8000-{number:012x}", made >> 16, made & 0xffff)
}

#[tokio::test]
async fn a_follower_forwards_once_or_says_where_to_go() {
    let (cluster, leader) = Cluster::of_three().await;
    let follower = (leader + 1) % 3;
    let mut client = cluster.client(follower).await;
    let put = client.with("PUT", "/v1/kv/k", &[("If-None-Match", "*")], b"v").await;
    assert_eq!((put.status, put.headers["raft-node"].as_str()), (201, follower.to_string().as_str()));
    assert!(put.headers.contains_key("etag") && put.headers.contains_key("raft-index"), "{put:?}");
    let failed = client.with("PUT", "/v1/kv/k", &[("If-None-Match", "*")], b"w").await;
    refused(&failed, 412, "cas_failed", "not_applied");
    assert_eq!(failed.json["current_index"], put.json["index"]);
    // It serves the read itself, as fresh as the leader.
    let got = client.get("/v1/kv/k").await;
    assert_eq!(
        (got.body.as_slice(), got.headers["raft-node"].as_str()),
        (&b"v"[..], follower.to_string().as_str())
    );
    for (method, path) in [("POST", "/v1/log?x"), ("GET", "/v1/kv/k?meta"), ("GET", "/v1/watch?prefix=a")] {
        let path = path.replace("?x", "");
        let join = if path.contains('?') { '&' } else { '?' };
        let moved =
            client.with(method, &format!("{path}{join}on_follower=redirect&timeout=1s"), &[], b"x").await;
        assert_eq!(moved.status, 307, "{moved:?}");
        let location = &moved.headers["location"];
        assert!(
            location.starts_with(&format!(
                "http://{}{}",
                cluster.api(leader),
                path.split('?').next().unwrap()
            )),
            "{location}"
        );
        assert!(!location.contains("on_follower"), "{location}");
        let reply = client.with(method, &format!("{path}{join}on_follower=reject"), &[], b"x").await;
        assert_eq!((reply.status, &reply.json["code"]), (421, &json!("not_leader")));
        assert_eq!(reply.json.get("outcome").is_some(), method == "POST");
    }
    let twice = client.with("POST", "/v1/log", &[("Raft-Forwarded-By", "9")], b"x").await;
    refused(&twice, 421, "not_leader", "not_applied");
    let stale = client.get("/v1/kv?consistency=stale").await;
    assert_eq!(stale.headers["raft-consistency"], "stale");
    assert!(stale.headers.contains_key("raft-last-contact-ms"));
    assert_eq!(client.get("/v1/log").await.json["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_forward_without_an_answer_is_never_sent_twice() {
    let (cluster, leader) = Cluster::of_three().await;
    // Somebody who takes requests in the leader's place and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let body = json!({ "api": mute.local_addr().unwrap().to_string() }).to_string();
    let moved = cluster.client(leader).await.send("PATCH", &format!("/v1/members/{leader}"), &body).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let asked = tokio::spawn(async move {
        let mut requests = 0;
        while let Ok(Ok((stream, _))) = timeout(Duration::from_secs(2), mute.accept()).await {
            requests += 1;
            // It leaves when the request is there.
            stream.readable().await.unwrap();
        }
        requests
    });
    let mut client = cluster.client((leader + 1) % 3).await;
    client.get(&format!("/v1/log?min_index={}", moved.headers["raft-index"])).await;
    let reply = client.with("POST", "/v1/log", &[], b"x").await;
    refused(&reply, 503, "forward_failed", "unknown");
    assert_eq!(asked.await.unwrap(), 1);
}

#[tokio::test]
async fn a_key_names_one_write_whoever_leads() {
    let (mut cluster, leader) = Cluster::of_three().await;
    let follower = (leader + 1) % 3;
    let mut client = cluster.client(follower).await;
    let key = uuid(0, 1);
    for key in [key.as_str(), "\"any text\""] {
        let header = [("Idempotency-Key", key)];
        let first = client.with("PUT", "/v1/kv/k", &header, b"v").await;
        assert_eq!(
            (first.status, first.headers.get("idempotency-replayed")),
            (if key.len() == 36 { 201 } else { 200 }, None)
        );
        let again = client.with("PUT", "/v1/kv/k", &header, b"v").await;
        assert_eq!(
            (again.status, &again.json, &again.headers["etag"]),
            (first.status, &first.json, &first.headers["etag"])
        );
        assert_eq!(again.headers["idempotency-replayed"], "true");
        refused(
            &client.with("PUT", "/v1/kv/k", &header, b"w").await,
            422,
            "idempotency_mismatch",
            "not_applied",
        );
        refused(
            &client.with("DELETE", "/v1/kv/k", &header, b"").await,
            422,
            "idempotency_mismatch",
            "not_applied",
        );
    }
    let failing = [("Idempotency-Key", "cas"), ("If-None-Match", "*")];
    let failed = client.with("PUT", "/v1/kv/k", &failing, b"x").await;
    refused(&failed, 412, "cas_failed", "not_applied");
    let again = client.with("PUT", "/v1/kv/k", &failing, b"x").await;
    assert_eq!((again.status, again.headers["idempotency-replayed"].as_str()), (412, "true"));
    // The seed's routes share the table.
    let mut writer = cluster.client(leader).await;
    let body = json!({ "entry": "once" }).to_string();
    let seed = [("Idempotency-Key", "seed")];
    let first = writer.with("POST", "/request", &seed, body.as_bytes()).await;
    assert_eq!((first.status, &first.json["success"]), (200, &json!(true)));
    cluster.kill(leader).await;
    let next = cluster.leader().await;
    let mut writer = cluster.client(next).await;
    let again = writer.with("POST", "/request", &seed, body.as_bytes()).await;
    assert_eq!((again.status, &again.json["index"]), (200, &first.json["index"]));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let retried = writer.with("PUT", "/v1/kv/k", &[("Idempotency-Key", &key)], b"v").await;
    assert_eq!(retried.headers["idempotency-replayed"], "true");
    assert_eq!(writer.get("/v1/log").await.json["entries"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn keys_that_have_left_are_never_applied_again_and_full_tables_say_so() {
    let small = [("dedupe_keys", json!(4)), ("dedupe_min", json!("400ms")), ("dedupe_window", json!("1h"))];
    let cluster = Cluster::start(configs(3, &small)).await;
    let leader = cluster.leader().await;
    let mut client = cluster.client((leader + 1) % 3).await;
    // The leader's settings come into force by the log.
    let until = Instant::now() + PATIENCE;
    while client.get("/v1/digest").await.status == 200
        && client.get("/v1/status").await.json["applied_index"].as_u64() < Some(3)
    {
        assert!(Instant::now() < until, "the settings are applied");
        sleep(Duration::from_millis(10)).await;
    }
    let mut append =
        async |key: &str| client.with("POST", "/v1/log", &[("Idempotency-Key", key)], b"x").await;
    refused(&append(&uuid(400_000, 0)).await, 400, "bad_key", "not_applied");
    for name in ["a", "b"] {
        assert_eq!(append(name).await.status, 201);
    }
    let full = append("c").await;
    refused(&full, 429, "overloaded", "not_applied");
    assert_eq!(full.headers["retry-after"], "1");
    let old = [uuid(-3000, 1), uuid(-2000, 2)];
    for key in &old {
        assert_eq!(append(key).await.status, 201);
    }
    refused(&append(&uuid(-1000, 3)).await, 429, "overloaded", "not_applied");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(append(&uuid(-1000, 3)).await.status, 201, "the oldest one makes room");
    refused(&append(&old[0]).await, 410, "key_expired", "unknown");
    assert_eq!(append(&old[1]).await.headers["idempotency-replayed"], "true");
}

/// Waits until a node knows a leader.
async fn ready(cluster: &Cluster, id: usize) {
    let until = Instant::now() + PATIENCE;
    while cluster.client(id).await.get("/readyz").await.status != 200 {
        assert!(Instant::now() < until, "node {id} is ready in time");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A node of a test with a data directory, running.
struct Durable {
    running: JoinHandle<Exit>,
    stop: tokio::sync::oneshot::Sender<()>,
}

async fn durable(config: &Config) -> Durable {
    let server = Prepared::open(config.clone()).unwrap().start().await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Durable { running, stop }
}

impl Durable {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        assert_eq!(timeout(PATIENCE, self.running).await.unwrap().unwrap().code, Code::Ok);
    }
}

/// Configs of three nodes with data directories below this one.
fn durable_configs(directory: &Path, more: &[(&str, serde_json::Value)]) -> Vec<Config> {
    let mut configs = configs(3, more);
    for config in &mut configs {
        config.store = Store::Directory(directory.join(config.id.to_string()));
    }
    configs
}

#[tokio::test]
async fn keys_survive_snapshots_and_restarts() {
    let directory = tempfile::TempDir::new().unwrap();
    let configs = durable_configs(directory.path(), &[("retain_entries", json!(1))]);
    let cluster = Cluster::idle(configs.clone());
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(durable(config).await);
    }
    ready(&cluster, 0).await;
    let key = [("Idempotency-Key", "a write that is repeated much later")];
    let mut client = cluster.client(0).await;
    let first = client.with("POST", "/v1/log?timeout=10s", &key, b"once").await;
    assert_eq!(first.status, 201, "{first:?}");
    // The log keeps an entry behind its snapshot.
    let last = client.with("POST", "/v1/log", &[], b"another").await.json["index"].clone();
    for id in 0..3 {
        let mut client = cluster.client(id).await;
        client.get(&format!("/v1/log?min_index={last}")).await;
        let taken = client.post("/v1/snapshot", &json!(null)).await.json;
        assert!(
            taken["first_index"].as_u64() > first.json["index"].as_u64(),
            "the log is without it: {taken}"
        );
    }
    for node in nodes {
        node.stop().await;
    }
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(durable(config).await);
    }
    ready(&cluster, 1).await;
    let again = cluster.client(1).await.with("POST", "/v1/log?timeout=10s", &key, b"once").await;
    assert_eq!((again.status, &again.json), (201, &first.json), "{again:?}");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    for node in nodes {
        node.stop().await;
    }
}

/// Puts another state of the same index in place of the newest snapshot's.
fn falsify(data: &Path, cluster: ClusterId) {
    let files = fs::read_dir(data.join("snapshots")).unwrap().map(|file| file.unwrap().path());
    let path = files.filter(|path| path.extension().is_some_and(|end| end == "snap")).max().unwrap();
    let (snapshot, good) = restore(File::open(&path).unwrap(), cluster).unwrap();
    let mut machine = Machine::default();
    let puts = good.select(Index(0), 1, 1, |operation| operation.key().is_some()).records;
    for index in 1..=good.applied().0 {
        let put = Operation::Put { key: "k".into(), value: "rotten".into() };
        let command = Envelope { time_ms: good.time_ms(), key: None, body: Command::from(put).encode() };
        let here = index == puts[0].id.index.0;
        let payload = if here { Payload::Command(command.encode()) } else { Payload::Noop };
        machine.apply(&Entry::new(EntryId { index: Index(index), ..puts[0].id }, payload)).unwrap();
    }
    let written = write(&machine, &snapshot.base, cluster, &mut File::create(&path).unwrap()).unwrap();
    assert_ne!(written.digest, snapshot.digest);
}

#[tokio::test]
async fn a_replica_that_has_gone_astray_stops_and_the_others_go_on() {
    let directory = tempfile::TempDir::new().unwrap();
    let configs = durable_configs(directory.path(), &[("audit_interval", json!("300ms"))]);
    let cluster = Cluster::idle(configs.clone());
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(durable(config).await);
    }
    ready(&cluster, 0).await;
    let mut client = cluster.client(0).await;
    let put = client.with("PUT", "/v1/kv/k?timeout=10s", &[], b"sound").await;
    assert_eq!(put.status, 201, "{put:?}");
    let mut third = cluster.client(2).await;
    third.get(&format!("/v1/kv/k?min_index={}", put.json["index"])).await;
    third.post("/v1/snapshot", &json!(null)).await;
    // All is well so far: every node has digests, and they are the same.
    let until = Instant::now() + PATIENCE;
    loop {
        let [one, other] = [client.get("/v1/digest").await.json, third.get("/v1/digest").await.json];
        let rows = |json: &serde_json::Value| json["digests"].as_array().unwrap().clone();
        let same = rows(&one).into_iter().filter(|row| rows(&other).contains(row)).count();
        let differ = rows(&one).iter().any(|row| {
            rows(&other)
                .iter()
                .any(|there| there["index"] == row["index"] && there["digest"] != row["digest"])
        });
        assert!(!differ && Instant::now() < until, "{one} {other}");
        if same > 0 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    third.post("/v1/snapshot", &json!(null)).await;
    nodes.pop().unwrap().stop().await;
    falsify(&directory.path().join("2"), configs[2].cluster_id);
    let astray = durable(&configs[2]).await;
    // A mark follows on what is written.
    let begun = Instant::now();
    while !astray.running.is_finished() {
        assert!(begun.elapsed() < PATIENCE, "it stops in time");
        client.with("POST", "/v1/log", &[], b"x").await;
        sleep(Duration::from_millis(50)).await;
    }
    let exit = astray.running.await.unwrap();
    assert_eq!(exit.code, Code::Corrupt, "{exit:?}");
    assert!(exit.line.contains("member replace"), "{}", exit.line);
    assert_eq!(client.get("/v1/kv/k").await.body, b"sound");
    for node in nodes {
        node.stop().await;
    }
}
