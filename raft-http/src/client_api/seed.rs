//! The seed's routes: their shapes are the original's, and fields are only ever added.

use super::answer::{Answer, Problem, ProblemCode};
use super::writes::{Refused, idempotency_key};
use super::{Api, body, query, text};
use crate::machine::{Operation, Record};
use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use raft_core::Index;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How many entries a page of the log has at most, by default and if asked for.
const PAGE: usize = 1000;
const LARGEST_PAGE: usize = 10_000;

#[derive(Deserialize)]
struct AppendRequest {
    entry: String,
}

#[derive(Serialize)]
struct Appended<'a> {
    success: bool,
    leader: &'a str,
    index: u64,
    term: u64,
}

/// `POST /request`
pub(super) async fn append(api: &Api, request: Request<Incoming>) -> Result<Answer, Problem> {
    let deadline = api.deadline(&request).map_err(|problem| problem.of_write(true))?;
    let (head, body) = request.into_parts();
    let idempotency = idempotency_key(&head.headers)?;
    let AppendRequest { entry } = body::json(&head.headers, body, &api.limits, deadline)
        .await
        .map_err(|problem| problem.of_write(true))?;
    match api.write(&Operation::Append(entry.into()).into(), idempotency.as_ref(), deadline).await {
        Ok(reply) => {
            let leader = &api.leader_or_self().api;
            let (index, term) = (reply.id.index.0, reply.id.term.0);
            let body = Appended { success: true, leader, index, term };
            Ok(Answer::json(StatusCode::OK, &body).of(&reply))
        }
        Err(Refused::NotLeader) => Ok(not_leader(api, Some(false), "not_applied")),
        Err(Refused::Problem(problem)) => Err(problem),
    }
}

#[derive(Serialize)]
struct Entries<'a> {
    success: bool,
    leader: &'a str,
    first: u64,
    commit: u64,
    next: u64,
    entries: Vec<LogEntry<'a>>,
}

#[derive(Serialize)]
struct LogEntry<'a> {
    index: u64,
    term: u64,
    entry: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry_b64: Option<String>,
}

/// `GET /log`: what is committed, and applied on this node.
pub(super) async fn log<B>(api: &Api, request: &Request<B>) -> Result<Answer, Problem> {
    let clamped = |number: i128, highest: u64| u64::try_from(number.max(1)).unwrap_or(highest).min(highest);
    let from = query::number(request, "index")?.map(|index| Index(clamped(index, u64::MAX)));
    let limit =
        query::number(request, "limit")?.map_or(PAGE, |limit| clamped(limit, LARGEST_PAGE as u64) as usize);
    let level = api.reach(request).await?;
    let from = from.unwrap_or_else(|| api.core.machine().first());
    let page = api.page(from, limit, |operation| !matches!(operation, Operation::Delete { .. })).await;
    if from < page.first {
        return Err(Problem::compacted(page.first));
    }
    let texts: Vec<Bytes> =
        page.records.iter().map(|record| record.operation.text().unwrap_or_default()).collect();
    let entries = page.records.iter().zip(&texts).map(|(Record { id, .. }, text)| LogEntry {
        index: id.index.0,
        term: id.term.0,
        entry: String::from_utf8_lossy(text),
        entry_b64: text::base64_unless_text(text),
    });
    let leader = api.leader_or_self();
    let body = Entries {
        success: true,
        leader: &leader.api,
        first: page.first.0,
        commit: page.applied.0,
        next: page.next.0,
        entries: entries.collect(),
    };
    Ok(level.mark(api, Answer::json(StatusCode::OK, &body).at(page.applied)))
}

#[derive(Deserialize)]
struct PutRequest {
    key: String,
    value: String,
}

#[derive(Serialize)]
struct PutAnswer<'a> {
    success: bool,
    leader: &'a str,
    key: &'a str,
    value: &'a str,
    index: u64,
}

/// `PUT /`
pub(super) async fn put(api: &Api, request: Request<Incoming>) -> Result<Answer, Problem> {
    let deadline = api.deadline(&request).map_err(|problem| problem.of_write(true))?;
    let (head, body) = request.into_parts();
    let idempotency = idempotency_key(&head.headers)?;
    let PutRequest { key, value } = body::json(&head.headers, body, &api.limits, deadline)
        .await
        .map_err(|problem| problem.of_write(true))?;
    if key.is_empty() {
        return Err(Problem::new(ProblemCode::BadKey, "the key is empty").of_write(true));
    }
    let (key, value) = (Bytes::from(key), Bytes::from(value));
    let command = Operation::Put { key: key.clone(), value: value.clone() }.into();
    match api.write(&command, idempotency.as_ref(), deadline).await {
        Ok(reply) => {
            let (key, value) = (String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
            let leader = &api.leader_or_self().api;
            let body = PutAnswer { success: true, leader, key: &key, value: &value, index: reply.id.index.0 };
            Ok(Answer::json(StatusCode::OK, &body).of(&reply))
        }
        Err(Refused::NotLeader) => Ok(not_leader(api, None, "not_applied")),
        Err(Refused::Problem(problem)) => Err(problem),
    }
}

#[derive(Serialize)]
struct GetAnswer<'a> {
    leader: &'a str,
    key: &'a str,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_b64: Option<String>,
    found: bool,
    index: u64,
}

/// `GET /?key=`
pub(super) async fn get<B>(api: &Api, request: &Request<B>) -> Result<Answer, Problem> {
    let Some(key) = query::parameter(request, "key") else {
        return Err(Problem::new(ProblemCode::BadQuery, "a read names its key: /?key=k"));
    };
    let level = api.reach(request).await?;
    let (value, applied) = {
        let machine = api.core.machine();
        (machine.get(key.as_bytes()).map(|found| found.value), machine.applied())
    };
    let found = value.is_some();
    let value = value.unwrap_or_else(|| Bytes::from_static(b"null"));
    let (text, value_b64) = (String::from_utf8_lossy(&value), text::base64_unless_text(&value));
    let leader = &api.leader_or_self().api;
    let body = GetAnswer { leader, key: &key, value: &text, value_b64, found, index: applied.0 };
    Ok(level.mark(api, Answer::json(StatusCode::OK, &body).at(applied)))
}

#[derive(Serialize)]
struct NotLeader<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    leader: &'a str,
    code: &'static str,
    outcome: &'static str,
}

/// Another node leads: the client finds it in `leader`.
fn not_leader(api: &Api, success: Option<bool>, outcome: &'static str) -> Answer {
    let leader = &api.leader_or_self().api;
    let body = NotLeader { success, leader, code: "not_leader", outcome };
    Answer::json(StatusCode::OK, &body)
}
