//! What operators and their tools ask. None of it waits for anything.

use super::answer::Answer;
use super::{Api, Stage, members};
use http::StatusCode;
use raft_core::{RoleName, codec};
use serde_json::{Value, json};

/// How many entries a node may be behind and still count as caught up: under load none is ever quite at the end.
const CAUGHT_UP: u64 = 1000;

/// `GET /v1/status`: this node at this moment.
pub(super) fn status(api: &Api) -> Answer {
    let status = api.core.status.borrow().clone();
    let in_force = if status.membership.members().is_empty() { &api.founders } else { &status.membership };
    let members: Vec<Value> =
        in_force.members().iter().map(|member| members::describe(api, member)).collect();
    let role = match status.role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "pre_candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    };
    let body = json!({
        "id": api.id.0,
        "role": role,
        "term": status.term.0,
        "leader": api.leader_or_self().api,
        "leader_id": status.leader.map(|leader| leader.0),
        "cluster_id": format!("{:016x}", api.cluster.0),
        "first_index": status.base.index.0 + 1,
        "snapshot_index": status.snapshot.map_or(0, |last| last.index.0),
        "applied_index": status.applied.0,
        "commit_index": status.commit.0,
        "durable_index": status.durable.0,
        "last_index": status.last.index.0,
        "founded": status.founded,
        "boot": status.boot.0,
        "members": members,
        "membership_index": status.membership_at.0,
        "version": env!("CARGO_PKG_VERSION"),
        "disk": format!("{:016x}", api.disk.0),
    });
    Answer::json(StatusCode::OK, &body).at(status.applied)
}

/// `GET /livez`: the process answers. Nothing else is asked.
pub(super) fn live(api: &Api) -> Answer {
    Answer::json(StatusCode::OK, &json!({ "live": true, "leader": api.leader_or_self().api }))
}

/// `GET /readyz`: whether a load balancer should send clients here.
pub(super) fn ready(api: &Api) -> Answer {
    let status = api.core.status.borrow().clone();
    let problem = if api.is_in(Stage::Draining) {
        Some("draining")
    } else if !status.founded {
        Some("starting")
    } else if status.leader.is_none() {
        Some("no_leader")
    } else if status.applied.0 + CAUGHT_UP < status.commit.0 {
        Some("catching_up")
    } else if !status.membership.is_voter(api.id) {
        Some("not_a_voter")
    } else {
        None
    };
    let leader = &api.leader_or_self().api;
    match problem {
        None => Answer::json(StatusCode::OK, &json!({ "ready": true, "leader": leader })),
        Some(code) => {
            let body = json!({ "ready": false, "leader": leader, "code": code });
            Answer { retry_after: true, ..Answer::json(StatusCode::SERVICE_UNAVAILABLE, &body) }
        }
    }
}

/// `GET /version`
pub(super) fn version(api: &Api) -> Answer {
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": codec::VERSION,
        "leader": api.leader_or_self().api,
    });
    Answer::json(StatusCode::OK, &body)
}
