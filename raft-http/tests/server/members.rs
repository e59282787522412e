//! The routes for members and leadership: what they change, what they refuse, and what a follower does with them.

use crate::cluster::{Client, Cluster, PATIENCE, Reply, configs};
use raft_http::config::Config;
use raft_http::exit::Code;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// `founders` nodes that found a cluster, and the settings of more that join it.
fn growing(founders: usize, nodes: usize) -> Vec<Config> {
    let mut configs = configs(nodes, &[]);
    let cluster_id = configs[0].cluster_id;
    for (id, config) in configs.iter_mut().enumerate() {
        config.peers.truncate(founders);
        config.apis.truncate(founders);
        config.cluster_id = cluster_id;
        config.founds = id < founders;
    }
    configs
}

/// A cluster of which only the founders run.
async fn founded(founders: usize, nodes: usize) -> Cluster {
    let mut cluster = Cluster::idle(growing(founders, nodes));
    for id in 0..founders {
        cluster.start_node(id).await;
    }
    cluster.leader().await;
    cluster
}

fn body_of(cluster: &Cluster, id: usize) -> Value {
    json!({ "id": id, "peer": cluster.configs[id].peer(), "api": cluster.api(id) })
}

/// The member's row, by the leader's word.
async fn member(client: &mut Client, id: usize) -> Option<Value> {
    let reply = client.get("/v1/members").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json["members"].as_array().unwrap().iter().find(|member| member["id"] == id).cloned()
}

async fn until_standing(client: &mut Client, id: usize, standing: &str) {
    let begun = Instant::now();
    loop {
        let row = member(client, id).await;
        if row.as_ref().is_some_and(|row| row["standing"] == standing) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "node {id} is {row:?}, not {standing}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, &reply.json["code"]), (status, &json!(code)), "{reply:?}");
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert_eq!(reply.json["outcome"], "not_applied", "{reply:?}");
}

#[tokio::test]
async fn a_node_joins_learns_votes_and_leaves() {
    let mut cluster = founded(1, 2).await;
    cluster.start_node(1).await;
    let mut client = cluster.client(0).await;
    let waiting = cluster.client(1).await.get("/readyz").await;
    assert_eq!((waiting.status, &waiting.json["code"]), (503, &json!("starting")));

    let mut learner = body_of(&cluster, 1);
    learner["voter"] = json!(false);
    let added = client.post("/v1/members", &learner).await;
    assert_eq!((added.status, &added.json["joint"]), (200, &json!(false)), "{added:?}");
    assert_eq!(added.headers["etag"], format!("\"{}\"", added.json["membership_index"]));
    refused(&client.post("/v1/members", &learner).await, 409, "already_member");
    until_standing(&mut client, 1, "learner").await;
    let begun = Instant::now();
    loop {
        let row = member(&mut client, 1).await.unwrap();
        if row["disk"].is_string() && row["lag"] == "none" {
            assert_eq!((&row["behind"], row["silent_ms"].is_u64()), (&json!(0), true), "{row}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{row}");
        sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    loop {
        let ready = cluster.client(1).await.get("/readyz").await;
        if ready.json["code"] == "not_a_voter" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{ready:?}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.post("/v1/members/1/promote", &json!({})).await.status, 200);
    until_standing(&mut client, 1, "voter").await;
    refused(&client.post("/v1/members/1/promote", &json!({})).await, 409, "already_voter");
    assert_eq!(client.post("/v1/members/1/demote", &json!({})).await.status, 200);
    until_standing(&mut client, 1, "learner").await;
    assert_eq!(client.post("/v1/members/1/promote", &json!({})).await.status, 200);

    let removed = client.send("DELETE", "/v1/members/1", "").await;
    assert_eq!((removed.status, removed.json["members"].as_array().unwrap().len()), (200, 1));
    assert_eq!(cluster.ended(1).await.code, Code::Removed);
    assert_eq!(client.post("/request", &json!({ "entry": "alone" })).await.json["success"], true);
}

#[tokio::test]
async fn the_leader_may_remove_itself_and_answers_before_it_ends() {
    let mut cluster = founded(3, 3).await;
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    let removed = client.send("DELETE", &format!("/v1/members/{leader}"), "").await;
    assert_eq!((removed.status, removed.json["members"].as_array().unwrap().len()), (200, 2), "{removed:?}");
    assert_eq!(cluster.ended(leader).await.code, Code::Removed);
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    let written = cluster.client(next).await.post("/request", &json!({ "entry": "x" })).await;
    assert_eq!(written.json["success"], true, "{written:?}");
}

#[tokio::test]
async fn leadership_is_not_handed_to_a_dead_voter() {
    let (mut cluster, leader) = Cluster::of_three().await;
    let dead = (leader + 1) % 3;
    cluster.kill(dead).await;
    let mut client = cluster.client(leader).await;
    let begun = Instant::now();
    while member(&mut client, dead).await.is_none_or(|row| row["silent_ms"].as_u64() < Some(1500)) {
        assert!(begun.elapsed() < PATIENCE, "the leader notices");
        sleep(Duration::from_millis(20)).await;
    }
    let reply = client.post("/v1/leader/transfer?timeout=20s", &json!({ "to": dead })).await;
    refused(&reply, 409, "target_silent");
    let detail = reply.json["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("node {dead} was not heard")), "{detail}");
    assert_eq!(client.post("/request", &json!({ "entry": "x" })).await.json["success"], true);
    assert_eq!(cluster.leader().await, leader, "nothing has happened");
}

#[tokio::test]
async fn a_follower_forwards_redirects_or_rejects() {
    let cluster = founded(3, 4).await;
    let leader = cluster.leader().await;
    let mut follower = cluster.client((leader + 1) % 3).await;
    let listed = follower.get("/v1/members").await;
    assert_eq!(listed.status, 200, "{listed:?}");
    assert_eq!(listed.headers["raft-consistency"], "linearizable");
    let other = &listed.json["members"][(leader + 2) % 3];
    assert!(other["matched_index"].is_u64(), "the leader's own word: {other}");
    let stale = follower.get("/v1/members?consistency=stale").await;
    assert_eq!((stale.status, stale.headers["raft-consistency"].as_str()), (200, "stale"));

    let added = follower.post("/v1/members", &body_of(&cluster, 3)).await;
    assert_eq!((added.status, &added.json["leader"]), (200, &json!(cluster.api(leader))), "{added:?}");
    refused(&follower.post("/v1/members", &body_of(&cluster, 3)).await, 409, "already_member");
    refused(&follower.send("DELETE", "/v1/members/3?on_follower=reject", "").await, 421, "not_leader");
    let redirect = follower.send("DELETE", "/v1/members/3?on_follower=redirect&timeout=3s", "").await;
    let place = format!("http://{}/v1/members/3", cluster.api(leader));
    assert_eq!((redirect.status, &redirect.headers["location"]), (307, &place), "{redirect:?}");
    let twice = "DELETE /v1/members/3 HTTP/1.1\r\nRaft-Forwarded-By: 9\r\nContent-Length: 0\r\n\r\n";
    refused(&follower.raw(twice.as_bytes()).await, 421, "not_leader");
    // It never ran, so it caught up with nothing, and can go.
    assert_eq!(follower.send("DELETE", "/v1/members/3", "").await.status, 200);
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_its_reason() {
    let mut cluster = founded(3, 4).await;
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    for (method, path, body, status, code) in [
        ("DELETE", "/v1/members/9", "", 404, "member_not_found"),
        ("DELETE", "/v1/members/x", "", 404, "member_not_found"),
        ("POST", "/v1/members", r#"{"id": 3}"#, 400, "bad_json"),
        ("POST", "/v1/members", r#"{"id": 3, "peer": "here", "api": "a:1"}"#, 400, "bad_json"),
        ("POST", "/v1/members", r#"{"id": 3, "peer": "b:1", "api": "a:1", "vote": 1}"#, 400, "bad_json"),
        ("POST", "/v1/members?tmeout=1s", "{}", 400, "bad_query"),
        ("POST", "/v1/snapshot?consistency=stale", "", 400, "bad_query"),
        ("POST", "/v1/leader/transfer", r#"{"to": 9}"#, 404, "member_not_found"),
        ("PUT", "/v1/members", "", 405, "method"),
        ("POST", "/v1/members/1", "", 405, "method"),
        ("POST", "/v1/members/1/crown", "", 404, "no_route"),
    ] {
        refused(&client.send(method, path, body).await, status, code);
    }
    // Addresses as the config file has them: each is one node's.
    let theirs = body_of(&cluster, (leader + 1) % 3);
    let mut taken = body_of(&cluster, 3);
    taken["api"] = theirs["peer"].clone();
    refused(&client.post("/v1/members", &taken).await, 409, "not_a_configuration");
    let moved = json!({ "peer": theirs["peer"] }).to_string();
    let path = format!("/v1/members/{}", (leader + 2) % 3);
    refused(&client.send("PATCH", &path, &moved).await, 409, "not_a_configuration");
    taken["api"] = taken["peer"].clone();
    refused(&client.post("/v1/members", &taken).await, 400, "bad_json");
    let mut follower = cluster.client((leader + 1) % 3).await;
    for client in [&mut client, &mut follower] {
        refused(&client.send("PATCH", "/v1/members/9", &moved).await, 404, "member_not_found");
        refused(&client.send("PATCH", &path, "{}").await, 400, "bad_json");
    }
    let own = format!("/v1/members/{leader}/replace");
    refused(&client.send("POST", &own, "").await, 409, "leads");
    // A learner that never ran.
    let mut learner = body_of(&cluster, 3);
    learner["voter"] = json!(false);
    let added = client.post("/v1/members", &learner).await;
    assert_eq!(added.status, 200, "{added:?}");
    refused(&client.post("/v1/members/3/promote", &json!({})).await, 409, "learner_not_ready");
    refused(&client.post("/v1/leader/transfer", &json!({ "to": 3 })).await, 409, "not_a_voter");

    // Only what was read is changed.
    let at = added.json["membership_index"].as_u64().unwrap();
    let patch = |at: u64| {
        let body = r#"{"api": "127.0.0.1:1"}"#;
        let length = body.len();
        format!(
            "PATCH /v1/members/3 HTTP/1.1\r\nIf-Match: \"{at}\"\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let moved = client.raw(patch(at - 1).as_bytes()).await;
    refused(&moved, 412, "membership_moved");
    assert_eq!(moved.json["current_index"], json!(at));
    let patched = client.raw(patch(at).as_bytes()).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    let row = member(&mut client, 3).await.unwrap();
    assert_eq!((&row["api"], &row["peer"]), (&json!("127.0.0.1:1"), &learner["peer"]), "the other one stays");

    // With one of three away, another one may not go.
    let (away, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(away).await;
    sleep(Duration::from_millis(600)).await;
    refused(&client.send("DELETE", &format!("/v1/members/{other}"), "").await, 409, "would_lose_quorum");
    assert_eq!(client.send("DELETE", &format!("/v1/members/{away}"), "").await.status, 200);
}

#[tokio::test]
async fn leadership_is_handed_to_whom_it_is_wanted() {
    let cluster = founded(3, 3).await;
    let first = cluster.leader().await;
    let to = (first + 1) % 3;
    // Asked of one that has nothing to do with it.
    let mut client = cluster.client((first + 2) % 3).await;
    let reply = client.post("/v1/leader/transfer", &json!({ "to": to })).await;
    assert_eq!((reply.status, &reply.json["leader_id"]), (200, &json!(to)), "{reply:?}");
    assert_eq!(reply.json["leader"], cluster.api(to));
    assert_eq!(cluster.leader().await, to);
    let again = client.post("/v1/leader/transfer", &json!({ "to": to })).await;
    assert_eq!((again.status, &again.json["leader_id"]), (200, &json!(to)), "it leads already");
    let any = client.send("POST", "/v1/leader/transfer", "").await;
    assert_eq!(any.status, 200, "{any:?}");
    assert_ne!(cluster.leader().await, to);
}
