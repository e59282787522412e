//! `GET /v1/cluster`: every node by its own word, those that give none among them. It needs no leader.

use super::answer::Answer;
use super::{Api, about};
use crate::call::Call;
use http::StatusCode;
use raft_core::NodeId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a node may take.
const EACH: Duration = Duration::from_secs(1);

/// All nodes that this one knows as members.
pub(super) async fn answer(api: &Api) -> Answer {
    let own = about::status(api);
    let mut asked = JoinSet::new();
    let others = own["members"].as_array().into_iter().flatten().filter(|member| member["id"] != api.id.0);
    for member in others {
        let (id, address) = (member["id"].as_u64().unwrap_or_default(), member["api"].as_str());
        let address = address.map(str::to_string);
        asked.spawn(async move { (id, ask(id, address).await) });
    }
    let mut nodes = BTreeMap::from([(api.id.0, reached(own.clone()))]);
    while let Some(asked) = asked.join_next().await {
        nodes.extend(asked);
    }
    let leader = api.core.status.borrow().leader.map(|NodeId(id)| id);
    let body = json!({
        "leader": api.leader_or_self().api,
        "leader_id": leader,
        "cluster_id": own["cluster_id"],
        "nodes": nodes.into_values().collect::<Vec<Value>>(),
    });
    Answer::json(StatusCode::OK, &body)
}

async fn ask(id: u64, address: Option<String>) -> Value {
    let unreachable = |why: String| json!({ "id": id, "api": address, "reachable": false, "error": why });
    let Some(api) = &address else { return unreachable("its address for clients is not known".into()) };
    match Call::get("/v1/status").send(api, Instant::now() + EACH).await {
        Ok(reply) if reply.status == StatusCode::OK && reply.json().is_object() => {
            let mut said = reply.json();
            said["api"] = json!(api);
            reached(said)
        }
        Ok(reply) => unreachable(format!("{api} answered {}", reply.status)),
        Err(error) => unreachable(error.to_string()),
    }
}

fn reached(mut said: Value) -> Value {
    said["reachable"] = json!(true);
    said
}
