//! Keys that stand for values: `/v1/kv`.

use super::answer::{Answer, Problem, ProblemCode};
use super::data::{Asked, Reached, key_not_found, reach};
use super::reads::Consistency;
use super::waits::{self, PAGE_BYTES};
use super::{Api, query, text};
use crate::machine::{Command, Condition, Found, Operation, Test};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use raft_core::Index;
use serde_json::{Map, Value, json};

/// How many keys a page has, by default and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: u64 = 1000;

/// A key in a path: all behind `/v1/kv/`.
fn key_of(path: &str) -> Result<Bytes, Problem> {
    let bad = |detail| Err(Problem::new(ProblemCode::BadKey, detail));
    let Ok(key) = percent_decode_str(path.strip_prefix("/v1/kv/").unwrap_or_default()).decode_utf8() else {
        return bad("a key in a path is UTF-8, percent-encoded");
    };
    if key.is_empty() { bad("the key is empty") } else { Ok(Bytes::from(key.into_owned())) }
}

/// What the headers ask of the key: `If-Match` or `If-None-Match`.
fn condition(headers: &HeaderMap, key: &Bytes) -> Result<Option<Condition>, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let number = |text: &str| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Index);
    let bad = |detail| Err(Problem::new(ProblemCode::BadRequest, detail));
    let test = match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => return Ok(None),
        (Some("*"), None) => Test::Exists,
        (None, Some("*")) => Test::Absent,
        (Some(etag), None) => match number(etag) {
            Some(index) => Test::Modified(index),
            None => return bad("If-Match is * or the mod_index that was read, in quotation marks"),
        },
        (None, Some(_)) => return bad("If-None-Match is *"),
        (Some(_), Some(_)) => return bad("If-Match and If-None-Match don't go together"),
    };
    Ok(Some(Condition { key: key.clone(), test }))
}

fn command(condition: Option<Condition>, operation: Operation) -> Command {
    match condition {
        None => operation.into(),
        Some(condition) => {
            Command::When { conditions: vec![condition], then: vec![operation], otherwise: Vec::new() }
        }
    }
}

/// `PUT /v1/kv/{key}`
pub(super) fn put(head: &Parts, body: &Bytes) -> Result<Asked, Problem> {
    let key = key_of(head.uri.path())?;
    let condition = condition(&head.headers, &key)?;
    let command = command(condition, Operation::Put { key, value: body.clone() });
    let show = Box::new(|reply: &crate::machine::Reply| {
        let created = reply.verdict.bit(0);
        let status = if created { StatusCode::CREATED } else { StatusCode::OK };
        let (index, term) = (reply.id.index, reply.id.term.0);
        let body = json!({ "created": created, "index": index.0, "term": term });
        Answer { etag: Some(index), ..Answer::json(status, &body) }
    });
    Ok(Asked { command, show })
}

/// `DELETE /v1/kv/{key}`
pub(super) fn delete(head: &Parts, _: &Bytes) -> Result<Asked, Problem> {
    let key = key_of(head.uri.path())?;
    let command = command(condition(&head.headers, &key)?, Operation::Delete { key });
    let show = Box::new(|reply: &crate::machine::Reply| {
        let deleted = u8::from(reply.verdict.bit(0));
        let body = json!({ "deleted": deleted, "index": reply.id.index.0, "term": reply.id.term.0 });
        Answer::json(StatusCode::OK, &body)
    });
    Ok(Asked { command, show })
}

/// A key as JSON.
pub(super) fn describe(key: &[u8], found: &Found, with_value: bool) -> Map<String, Value> {
    let mut object = Map::new();
    text::put(&mut object, "key", key);
    if with_value {
        text::put(&mut object, "value", &found.value);
    }
    object.insert("create_index".to_string(), json!(found.version.created.0));
    object.insert("mod_index".to_string(), json!(found.version.modified.0));
    object
}

/// `GET /v1/kv/{key}`
pub(super) async fn get(api: &Api, request: &Request<()>) -> Result<Answer, Problem> {
    let key = key_of(request.uri().path())?;
    let after = waits::at_least(request, "wait_index", 0)?;
    let after = after.map(|after| waits::behind("wait_index", after)).transpose();
    let after = after.map_err(|detail| Problem::new(ProblemCode::BadQuery, detail))?;
    let until = waits::until(request)?;
    let level = match reach(api, request, &["meta", "wait_index", "wait"]).await? {
        Reached::Here(level) => level,
        Reached::Elsewhere(answer) => return Ok(answer),
    };
    if let Some(after) = after {
        // The record of the change may not be kept any more.
        let changed = {
            let machine = api.core.machine();
            machine.get(&key).map_or(after < machine.first(), |found| found.version.modified >= after)
        };
        if !changed {
            let about = |operation: &Operation| operation.key() == Some(&key);
            api.page_until(after, 1, about, until).await?;
        }
    }
    let (found, applied) = {
        let machine = api.core.machine();
        (machine.get(&key), machine.applied())
    };
    let Some(found) = found else { return Ok(key_not_found(api, level, applied)) };
    let answer = match query::parameter(request, "meta") {
        Some(_) => Answer::json(StatusCode::OK, &describe(&key, &found, true)),
        None => Answer {
            body: found.value,
            content_type: "application/octet-stream",
            marks: vec![
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CONTENT_DISPOSITION, "attachment"),
            ],
            ..Answer::empty(StatusCode::OK)
        },
    };
    Ok(level.mark(api, Answer { etag: Some(found.version.modified), ..answer }.at(applied)))
}

/// `GET /v1/kv`
pub(super) async fn list(api: &Api, request: &Request<()>) -> Result<Answer, Problem> {
    let limit = waits::at_least(request, "limit", 1)?;
    let limit = limit.map_or(PAGE, |limit| limit.min(LARGEST_PAGE) as usize);
    let level: Consistency = match reach(api, request, &["prefix", "start", "limit", "keys_only"]).await? {
        Reached::Here(level) => level,
        Reached::Elsewhere(answer) => return Ok(answer),
    };
    let prefix = query::parameter(request, "prefix").unwrap_or_default();
    let start = query::parameter(request, "start").unwrap_or_default();
    let with_values = query::parameter(request, "keys_only").is_none();
    let (listing, applied) = {
        let machine = api.core.machine();
        (machine.list(prefix.as_bytes(), start.as_bytes(), limit, PAGE_BYTES), machine.applied())
    };
    let rows = listing.keys.iter().map(|(key, found)| describe(key, found, with_values));
    let mut body = Map::new();
    body.insert("keys".to_string(), rows.map(Value::from).collect());
    if let Some(next) = &listing.next {
        text::put(&mut body, "next", next);
    }
    Ok(level.mark(api, Answer::json(StatusCode::OK, &body).at(applied)))
}
