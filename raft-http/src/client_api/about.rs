//! What operators and their tools ask. Of this node alone, so none of it waits for anything but the driver's next turn.

use super::answer::{Answer, Problem, ProblemCode};
use super::{Api, Stage, backup, cluster, events, members, query};
use crate::driver::Event;
use crate::metrics::OPENMETRICS;
use http::{Method, Request, StatusCode};
use raft_core::{RoleName, codec};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How many entries a node may be behind and still count as caught up: under load none is ever quite at the end.
const CAUGHT_UP: u64 = 1000;

/// How long the driver may take to tell what a leader knows of the others; then only the rest is shown.
const PROGRESS: Duration = Duration::from_millis(500);

/// Whether the path is one of those here.
pub(super) fn is_route(path: &str) -> bool {
    matches!(
        path,
        "/livez"
            | "/readyz"
            | "/version"
            | "/metrics"
            | "/v1/status"
            | "/v1/cluster"
            | "/v1/events"
            | "/v1/backup"
    )
}

/// Answers a request to one of these paths.
pub(super) async fn answer<B>(api: &Api, request: &Request<B>) -> Result<Answer, Problem> {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if request.method() != Method::GET {
        return Err(Problem::method("GET").of_write(writes));
    }
    let path = request.uri().path();
    if path.starts_with("/v1/") {
        query::only(request, &["timeout"])?;
    }
    Ok(match path {
        "/livez" => live(api),
        "/readyz" => ready(api),
        "/version" => version(api),
        "/metrics" => metrics(api).await,
        "/v1/status" => Answer::json(StatusCode::OK, &status(api)).at(api.core.status.borrow().applied),
        "/v1/cluster" => cluster::answer(api).await,
        "/v1/events" => events::answer(api),
        "/v1/backup" => backup::answer(api, api.deadline(request)?).await?,
        _ => return Err(Problem::new(ProblemCode::NoRoute, "there is no such path")),
    })
}

/// `GET /metrics`
async fn metrics(api: &Api) -> Answer {
    let (answer, answered) = oneshot::channel();
    // A driver that has ended, or is too busy, is itself something to be seen.
    let _ = api.core.events.try_send(Event::Progress { answer });
    let peers = timeout(PROGRESS, answered).await.ok().and_then(Result::ok).unwrap_or_default();
    let status = api.core.status.borrow().clone();
    let peers: Vec<_> = peers.into_iter().filter(|peer| peer.id != api.id).collect();
    let text = api.core.metrics.text(&status, &peers, api.tick);
    Answer { content_type: OPENMETRICS, body: text.into(), ..Answer::empty(StatusCode::OK) }
}

/// This node at this moment, for `GET /v1/status`.
pub(super) fn status(api: &Api) -> Value {
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
    json!({
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
        "decayed": status.decayed,
        "founded": status.founded,
        "boot": status.boot.0,
        "members": members,
        "membership_index": status.membership_at.0,
        "version": env!("CARGO_PKG_VERSION"),
        "disk": format!("{:016x}", api.disk.0),
    })
}

/// `GET /livez`: the process answers. Nothing else is asked.
fn live(api: &Api) -> Answer {
    Answer::json(StatusCode::OK, &json!({ "live": true, "leader": api.leader_or_self().api }))
}

/// `GET /readyz`: whether a load balancer should send clients here.
fn ready(api: &Api) -> Answer {
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
fn version(api: &Api) -> Answer {
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": codec::VERSION,
        "leader": api.leader_or_self().api,
    });
    Answer::json(StatusCode::OK, &body)
}
