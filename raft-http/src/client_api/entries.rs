//! The clients' log: `/v1/log`.

use super::answer::{Answer, Problem, ProblemCode};
use super::data::{Asked, Reached, reach};
use super::feed::{Feed, Form};
use super::{Api, text, waits};
use crate::machine::{Command, Operation, Record, Reply};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, StatusCode, header};
use raft_core::Index;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How many entries a page has, by default and at most.
const PAGE: usize = 1000;
const LARGEST_PAGE: u64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    entries: Vec<String>,
}

/// `POST /v1/log`
pub(super) fn append(head: &Parts, body: &Bytes) -> Result<Asked, Problem> {
    let json = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        media.trim().eq_ignore_ascii_case("application/json")
    });
    let bad = |detail: String| Problem::new(ProblemCode::BadJson, detail);
    let command = if json {
        let Several { entries } = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        if entries.is_empty() {
            return Err(bad("there are no entries to append".to_string()));
        }
        Command::Many(entries.into_iter().map(|entry| Operation::Append(entry.into())).collect())
    } else {
        Operation::Append(body.clone()).into()
    };
    let show = Box::new(|reply: &Reply| {
        let body = json!({ "index": reply.id.index.0, "term": reply.id.term.0 });
        Answer::json(StatusCode::CREATED, &body)
    });
    Ok(Asked { command, show })
}

/// Whether it is an entry of the clients' log.
fn is_entry(operation: &Operation) -> bool {
    !matches!(operation, Operation::Delete { .. })
}

/// An entry as JSON.
fn describe(record: &Record) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("index".to_string(), json!(record.id.index.0));
    object.insert("term".to_string(), json!(record.id.term.0));
    text::put(&mut object, "entry", &record.operation.text().unwrap_or_default());
    object
}

/// `GET /v1/log`: a page, or a stream if the client accepts one.
pub(super) async fn read(api: &Api, request: &Request<()>) -> Result<Answer, Problem> {
    let from = waits::at_least(request, "from", 0)?;
    let limit = waits::at_least(request, "limit", 1)?;
    let limit = limit.map_or(PAGE, |limit| limit.min(LARGEST_PAGE) as usize);
    let until = waits::until(request)?;
    let level = match reach(api, request, &["from", "limit", "wait"]).await? {
        Reached::Here(level) => level,
        Reached::Elsewhere(answer) => return Ok(answer),
    };
    let first = api.core.machine().first();
    let from = from.map_or(first, |from| Index(from.max(1)));
    if let Some(form) = Form::accepted(request) {
        let event = |record: &Record| ("entry", describe(record));
        let from = form.resumed(request)?.unwrap_or(from);
        // Events tell of a gap themselves.
        if form == Form::Lines && from < first {
            return Err(Problem::compacted(first));
        }
        let feed = Feed { from, form, wanted: Box::new(is_entry), event };
        return Ok(level.mark(api, feed.start(api)));
    }
    let page = api.page_until(from, limit, is_entry, until).await?;
    if from < page.first {
        return Err(Problem::compacted(page.first));
    }
    let body = json!({
        "first": page.first.0,
        "commit": page.applied.0,
        "next": page.next.0,
        "entries": page.records.iter().map(describe).map(Value::from).collect::<Vec<Value>>(),
    });
    Ok(level.mark(api, Answer::json(StatusCode::OK, &body).at(page.applied)))
}
