//! The clients' routes of `/v1`: what they have in common. A write is tried on this node, and goes on to the leader if the
//! core says that another node leads; a read is served here, once this node is as far as the read asks for.

use super::answer::{Answer, Outcome, PROBLEM_JSON, Problem, ProblemCode};
use super::forward::{OnFollower, Original};
use super::reads::Consistency;
use super::writes::{Refused, idempotency_key};
use super::{Api, batch, body, entries, kv, query, upkeep, waits, watch_keys};
use crate::machine::{Command, Reply};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;
use raft_core::Index;

/// What a client wants written, and how what became of it is told.
pub(super) struct Asked {
    pub(super) command: Command,
    pub(super) show: Box<dyn Fn(&Reply) -> Answer + Send + Sync>,
}

/// Whether the path is one of those here.
pub(super) fn is_route(path: &str) -> bool {
    matches!(path, "/v1/log" | "/v1/kv" | "/v1/batch" | "/v1/watch" | "/v1/digest" | "/v1/openapi.json")
        || path.starts_with("/v1/kv/")
}

/// Answers a request to one of these paths.
pub(super) async fn answer(api: &Api, request: Request<Incoming>) -> Result<Answer, Problem> {
    let method = request.method().clone();
    let path = request.uri().path();
    match (path, &method) {
        ("/v1/log", &Method::GET) => entries::read(api, &bare(request)).await,
        ("/v1/log", &Method::POST) => write(api, request, entries::append).await,
        ("/v1/log", _) => Err(wrong_method("GET, POST", &method)),
        ("/v1/kv", &Method::GET) => kv::list(api, &bare(request)).await,
        ("/v1/kv" | "/v1/watch" | "/v1/digest" | "/v1/openapi.json", _) if method != Method::GET => {
            Err(wrong_method("GET", &method))
        }
        ("/v1/watch", _) => watch_keys::follow(api, &bare(request)).await,
        ("/v1/digest", _) => upkeep::digests(api, &request),
        ("/v1/openapi.json", _) => {
            query::only(&request, &[])?;
            let body = Bytes::from_static(include_bytes!("../../openapi.json"));
            Ok(Answer { body, ..Answer::empty(http::StatusCode::OK) })
        }
        ("/v1/batch", &Method::POST) => write(api, request, batch::parse).await,
        ("/v1/batch", _) => Err(wrong_method("POST", &method)),
        (_, &Method::GET) => kv::get(api, &bare(request)).await,
        (_, &Method::PUT) => write(api, request, kv::put).await,
        (_, &Method::DELETE) => write(api, request, kv::delete).await,
        _ => Err(wrong_method("GET, PUT, DELETE", &method)),
    }
}

/// A read's request. A body says nothing.
fn bare(request: Request<Incoming>) -> Request<()> {
    Request::from_parts(request.into_parts().0, ())
}

fn wrong_method(allow: &'static str, method: &Method) -> Problem {
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    Problem::method(allow).of_write(writes)
}

/// Writes what the request asks for, here or at the leader.
async fn write(
    api: &Api,
    request: Request<Incoming>,
    parse: impl Fn(&Parts, &Bytes) -> Result<Asked, Problem>,
) -> Result<Answer, Problem> {
    let before = |problem: Problem| problem.with(Outcome::NotApplied);
    query::only(&request, &["timeout", "on_follower"]).map_err(before)?;
    let deadline = api.deadline(&request).map_err(before)?;
    let on_follower = OnFollower::of(&request).map_err(before)?;
    let (head, incoming) = request.into_parts();
    let key = idempotency_key(&head.headers)?;
    let body = body::read(&head.headers, incoming, &api.limits, deadline).await.map_err(before)?;
    let Asked { command, show } = parse(&head, &body).map_err(before)?;
    let original = Original { head: &head, body, writes: true };
    loop {
        match api.write(&command, key.as_ref(), deadline).await {
            Ok(reply) => return Ok(show(&reply).of(&reply)),
            Err(Refused::Problem(problem)) => return Err(problem),
            Err(Refused::NotLeader) => {}
        }
        // Only what never left this node may be tried anew.
        if let Some(answer) = original.pass_on(api, on_follower, deadline).await? {
            return Ok(answer);
        }
        api.pause(deadline).await?;
    }
}

/// Where a read may be served.
pub(super) enum Reached {
    /// Here, at this level.
    Here(Consistency),
    /// The client wants to go to the leader itself.
    Elsewhere(Answer),
}

/// Waits until this node may serve the read. `known`: its parameters beside those that all reads have.
pub(super) async fn reach(api: &Api, request: &Request<()>, known: &[&str]) -> Result<Reached, Problem> {
    let common = ["timeout", "consistency", "min_index", "on_follower"];
    query::only(request, &[known, &common].concat())?;
    let least = waits::at_least(request, "min_index", 0)?;
    let on_follower = OnFollower::of(request)?;
    let level = Consistency::of(request, api.lease_reads)?;
    let deadline = api.deadline(request)?;
    let elsewhere = on_follower != OnFollower::Forward && level != Consistency::Stale;
    if elsewhere && api.until_led(deadline).await.map_err(Problem::without_outcome)? != api.id {
        let (head, ()) = request.clone().into_parts();
        let original = Original { head: &head, body: Bytes::new(), writes: false };
        if let Some(answer) = original.pass_on(api, on_follower, deadline).await? {
            return Ok(Reached::Elsewhere(answer));
        }
    }
    api.reach_level(level, deadline).await?;
    let late = || Problem::new(ProblemCode::Timeout, "this node has not applied min_index in time");
    match least {
        Some(index) if !api.until_applied(Index(index), deadline).await? => Err(late()),
        Some(_) | None => Ok(Reached::Here(level)),
    }
}

/// The key is not there, as this node knows from all up to `applied`.
pub(super) fn key_not_found(api: &Api, level: Consistency, applied: Index) -> Answer {
    let problem =
        Problem::new(ProblemCode::KeyNotFound, "no value was put under this key, or it was deleted");
    let answer = problem.answer(&api.leader_or_self().api);
    level.mark(api, Answer { content_type: PROBLEM_JSON, ..answer }.at(applied))
}
