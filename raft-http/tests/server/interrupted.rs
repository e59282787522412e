//! Writes that are under way when something happens to their leader, and what they may say of their outcome.

use crate::cluster::{Client, Cluster, Reply, configs, request};
use crate::proxy::Proxy;
use raft_http::exit::Code;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

fn refused(reply: &Reply, status: u16, code: &str, outcome: &str) {
    let found = (reply.status, &reply.json["code"], &reply.json["outcome"]);
    assert_eq!(found, (status, &json!(code), &json!(outcome)), "{reply:?}");
}

/// A write that is under way.
fn begin(mut client: Client) -> JoinHandle<Reply> {
    tokio::spawn(async move { client.with("POST", "/v1/log?timeout=30s", &[], b"in doubt").await })
}

/// Three nodes whose streams go over wires that can be held, one to each.
async fn wired(more: &[(&str, Value)]) -> (Cluster, Vec<Proxy>) {
    let mut configs = configs(3, more);
    let wires: Vec<Proxy> = configs[0].peers.iter().map(|peer| Proxy::to(peer)).collect();
    for config in &mut configs {
        config.peers = wires.iter().map(Proxy::address).collect();
    }
    (Cluster::start(configs).await, wires)
}

/// The node that two of three follow while the third one hears nothing.
async fn leader_beside(cluster: &Cluster, cut_off: usize) -> usize {
    for _ in 0..1000 {
        for id in (0..3).filter(|id| *id != cut_off) {
            let status = cluster.client(id).await.get("/v1/status").await.json;
            if status["role"] == "leader" {
                return id;
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the two others elect no leader");
}

/// Cuts the leader off with a write under way, lets others write this many entries, and joins it again: what the first
/// write is told. With `snapshot` the others' log forgets its beginning meanwhile.
async fn overtaken(more: &[(&str, Value)], writes: usize, snapshot: bool) -> Reply {
    let (cluster, wires) = wired(more).await;
    let old = cluster.leader().await;
    wires.iter().for_each(|wire| wire.hold_from(old));
    wires[old].hold();
    let doubtful = begin(cluster.client(old).await);
    let new = leader_beside(&cluster, old).await;
    let mut client = cluster.client(new).await;
    for _ in 0..writes {
        assert_eq!(client.with("POST", "/v1/log", &[], b"instead").await.status, 201);
    }
    if snapshot {
        // At both: either may lead when the third one is heard again.
        for id in (0..3).filter(|id| *id != old) {
            assert_eq!(cluster.client(id).await.post("/v1/snapshot", &json!({})).await.status, 200);
        }
    }
    assert!(!doubtful.is_finished(), "nobody can know yet");
    // What waited in the wires would tell the old leader before the snapshot does.
    wires.iter().for_each(Proxy::sever);
    let reply = doubtful.await.unwrap();
    let entries = client.get("/v1/log").await.json["entries"].take();
    let texts = entries.as_array().unwrap().iter().map(|entry| &entry["entry"]);
    assert!(
        texts.eq(vec![&json!("instead"); writes]),
        "the write was not applied, which only `lost` may say"
    );
    reply
}

#[tokio::test]
async fn a_write_whose_place_another_one_took_is_lost() {
    refused(&overtaken(&[], 2, false).await, 503, "lost", "not_applied");
}

#[tokio::test]
async fn a_write_whose_place_a_snapshot_covers_is_unknown() {
    let short = [("retain_entries", json!(1)), ("snapshot_entries", json!(1000))];
    refused(&overtaken(&short, 20, true).await, 503, "leadership_lost", "unknown");
}

#[tokio::test]
async fn a_write_that_outlasts_the_drain_is_told_that_the_node_stopped() {
    let mut cluster = Cluster::start(configs(3, &[])).await;
    let leader = cluster.leader().await;
    for id in (0..3).filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    let doubtful = begin(cluster.client(leader).await);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(cluster.stop(leader).await.code, Code::Ok);
    refused(&doubtful.await.unwrap(), 503, "shutting_down", "unknown");
}

#[tokio::test]
async fn a_write_whose_body_comes_too_late_is_not_begun() {
    let mut cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    let whole = request("POST", "/v1/log", &[], b"late");
    let (first, last) = whole.split_at(whole.len() - 2);
    client.write(first).await.unwrap();
    let finish = async {
        // Longer than a handover is waited for.
        sleep(Duration::from_millis(800)).await;
        client.raw(last).await
    };
    let (exit, reply) = tokio::join!(cluster.stop(0), finish);
    assert_eq!(exit.code, Code::Ok);
    crate::cluster::contract::check(&whole, &reply);
    refused(&reply, 503, "draining", "not_applied");
}

#[tokio::test]
async fn a_write_whose_body_comes_when_the_node_is_no_member_any_more_is_not_begun() {
    let mut cluster = Cluster::start(configs(3, &[])).await;
    let leader = cluster.leader().await;
    let removed = (leader + 1) % 3;
    let whole = request("POST", "/v1/log", &[], b"late");
    let (first, last) = whole.split_at(whole.len() - 2);
    let mut client = cluster.client(removed).await;
    client.write(first).await.unwrap();
    let gone = cluster.client(leader).await.with("DELETE", &format!("/v1/members/{removed}"), &[], b"").await;
    assert_eq!(gone.status, 200, "{gone:?}");
    // Until it has been told; it then waits for those whom it owes an answer.
    sleep(Duration::from_millis(500)).await;
    let reply = client.raw(last).await;
    crate::cluster::contract::check(&whole, &reply);
    refused(&reply, 410, "removed", "not_applied");
    assert_eq!(cluster.ended(removed).await.code, Code::Removed);
}

#[tokio::test]
async fn one_change_of_members_at_a_time() {
    let mut cluster = Cluster::start(configs(3, &[("election_timeout", json!("2s"))])).await;
    let leader = cluster.leader().await;
    for id in (0..3).filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    // Nothing is committed any more, and the leader doesn't know yet.
    let learner = |id: u64| {
        let [peer, api] = [id, id + 10].map(|port| format!("localhost:{port}"));
        json!({ "id": id, "peer": peer, "api": api, "voter": false })
    };
    let (mut first, mut second) = (cluster.client(leader).await, cluster.client(leader).await);
    let adding = tokio::spawn(async move { first.post("/v1/members?timeout=1s", &learner(7)).await });
    sleep(Duration::from_millis(100)).await;
    refused(&second.post("/v1/members", &learner(8)).await, 409, "change_in_progress", "not_applied");
    assert_eq!(adding.await.unwrap().json["outcome"], "unknown");
}
